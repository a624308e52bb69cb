"""The public API's description is whole, and the API keeps to it whatever it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.demo import city
from api.server import build
from sandbox.kernel.unit import Platform

METHODS = ("get", "post", "put", "patch", "delete")
LOGINS = ("operator", "officer1", "health", "auditor")
LEFT_OUT = "/session|/clock|/registrations"
"""signing out, moving the clock and making accounts would change what later requests meet"""
CHECKS = (
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
)  # fmt: skip


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Any) -> Iterator[Platform]:
    """A platform with the demonstration city's accounts."""
    import shutil

    from sandbox.kernel.settings import Settings

    home = tmp_path_factory.mktemp("api") / "home"
    home.mkdir()
    shutil.copy(sqlite_template, home / "metadata.sqlite")
    platform = Platform(Settings(home=home))
    with platform.system() as unit:
        city.found(unit, "demo-password")
    yield platform
    platform.database.dispose()


@pytest.fixture(scope="module")
def app(founded: Platform) -> FastAPI:
    return build(founded)


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(m, p, o) for p, item in document["paths"].items() for m, o in item.items() if m in METHODS]


def test_every_operation_says_what_it_is_in_both_languages(document: dict[str, Any]) -> None:
    found = operations(document)
    assert len(found) > 50
    for method, path, operation in found:
        assert " · " in operation["summary"], (method, path)
        assert operation["tags"], (method, path)
        assert path.startswith("/api/v1/"), (method, path)


def test_every_operation_documents_its_errors_as_problems(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        for status in ("401", "403", "404", "409", "422", "503"):
            content = operation["responses"][status]["content"]
            assert content["application/problem+json"]["schema"]["$ref"].endswith("/Problem"), (method, path, status)
    assert document["components"]["schemas"]["Problem"]["required"]


def test_every_body_has_an_example_for_every_field_that_must_be_sent(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for method, path, operation in operations(document):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is None:
            continue
        schema = schemas[body["schema"]["$ref"].rsplit("/", 1)[1]]
        for name in schema.get("required", []):
            field = schema["properties"][name]
            assert field.get("examples") or field.get("description"), (method, path, name)


def test_nothing_in_the_description_points_outside(document: dict[str, Any]) -> None:
    text = str(document)
    assert "http://" not in text
    assert "https://" not in text


@pytest.mark.parametrize("login", LOGINS)
def test_whatever_is_sent_the_answer_keeps_to_the_description(app: FastAPI, login: str) -> None:
    """No crash, no undocumented status, no other shape, for requests made from the schema and broken on purpose."""
    with TestClient(app) as client:
        token = client.post("/api/v1/session", json={"login": login, "password": "demo-password"}).json()["token"]
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app).exclude(path_regex=LEFT_OUT)
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=4, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(case=operation.as_strategy())
        def answers_as_described(case: schemathesis.Case) -> None:
            case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)

        answers_as_described()
