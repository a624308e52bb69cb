"""Every route of the API: who may, what a wrong request gets, and that refusals are on record."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from api import deps
from api.app import create_app
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.identity import Role
from sandbox.kernel.permissions import PERMISSIONS
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from sandbox.workspaces.broker import Broker
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.selftest import SelfTest
from tests.conftest import MONDAY
from tests.factories import World

PROBLEM = "application/problem+json"
OPEN = {("POST", "/session"), ("POST", "/registrations"), ("GET", "/reports"), ("GET", "/platform"),
        ("GET", "/platform/key"), ("GET", "/recalls")}
"""routes that everybody may use, signed in or not"""
LOGINS = {Role.OPERATOR: "operator", Role.COMPLIANCE: "officer", Role.DEPARTMENT: "department",
          Role.MERCHANT: "stranger", Role.AUDITOR: "auditor"}  # fmt: skip
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/tokens"): {"label": "x", "days": 1},
    ("POST", "/onboardings"): {"contact": "x", "business": "x"},
    ("POST", "/onboardings/{onboarding_id}/materials"): {"materials": {}},
    ("POST", "/resources"): {"name": "x", "description": "x", "registration_code": "x", "update_cycle": "x"},
    ("POST", "/resources/{resource_id}/grades"): {"column": "x", "level": 2, "reason": "x"},
    ("POST", "/resources/{resource_id}/subjects"): {"entities": {}, "columns": {}, "reason": "x"},
    ("POST", "/deliveries/{delivery_id}/recipe"): {"recipe": {}},
    ("POST", "/resources/{resource_id}/comments"): {"columns": ["x"]},
    ("POST", "/resources/{resource_id}/source"): {"source": {"kind": "drop"}},
    ("POST", "/schedules/{organisation_id}/cron"): {"cron": "30 1 * * *"},
    ("POST", "/schedules/{organisation_id}/pause"): {"paused": True},
    ("POST", "/applications"): {"scenario": "x", "purpose": "x", "product_form": "report", "audience": "public",
                                "term_months": 1, "requested": {}},
    ("POST", "/workspaces"): {"application_id": "x"},
    ("POST", "/workspaces/{workspace_id}/query"): {"sql": "SELECT 1"},
    ("POST", "/workspaces/{workspace_id}/preview"): {"table": "x", "groups": ["x"], "measures": [{"kind": "rows"}]},
    ("POST", "/workspaces/{workspace_id}/runs"): {"spec": {}},
    ("POST", "/workspaces/{workspace_id}/quota-requests"): {"measure": "cpu", "wanted": 300, "reason": "x"},
    ("POST", "/quota-requests/{request_id}/grant"): {"amount": 300, "until": "2026-03-31"},
    ("POST", "/exports"): {"artefact_id": "x", "title": "x", "audience": "public",
                           "context": {"purpose": "x", "population": "x", "controls": "x"}},
    ("POST", "/exports/{request_id}/votes"): {"artefact_id": "x", "vote": "approve"},
    ("POST", "/export-groups"): {"files": [{"artefact_id": "x", "title": "x"}], "audience": "public",
                                 "context": {"purpose": "x", "population": "x", "controls": "x"}},
    ("POST", "/export-groups/{group_id}/votes"): {"votes": {"exp-x": "approve"}},
    ("POST", "/export-groups/{group_id}/opinions"): {"opinions": {"exp-x": {"decision": "approve"}}},
    ("POST", "/exports/{request_id}/comments"): {"text": "x"},
    ("POST", "/exports/{request_id}/revise"): {},
    ("POST", "/policies"): {"text": "x"},
    ("POST", "/reports"): {"period_from": "2026-01-01", "period_to": "2026-02-01"},
    ("POST", "/platform/clock"): {"to": "2026-05-01T00:00:00Z"},
    ("POST", "/platform/isolation"): {"tier": "medium", "reason": "x"},
}  # fmt: skip
ANY_DECISION = {"decision": "approve", "reason": "x"}


@dataclass(frozen=True)
class Route:
    """One operation of the API, with the action it names (None: open)."""

    method: str
    path: str
    action: str | None
    takes_file: bool

    @property
    def key(self) -> tuple[str, str]:
        return self.method, self.path.removeprefix("/api/v1")

    @property
    def url(self) -> str:
        return re.sub(r"\{\w+\}", "nothere-000000000000", self.path)


@dataclass(frozen=True)
class Portal:
    """The application on a platform with people, who hold tokens."""

    app: FastAPI
    client: TestClient
    world: World
    tokens: dict[str, str]

    def ask(self, route: Route, login: str | None = None, **options: Any) -> Any:
        headers = {"accept-language": "zh", **options.pop("headers", {})}
        if login:
            headers["authorization"] = f"Bearer {self.tokens[login]}"
        return self.client.request(route.method, route.url, headers=headers, **(options or body_of(route)))


def body_of(route: Route) -> dict[str, Any]:
    if route.takes_file:
        return {"files": {"file": ("x.csv", b"a,b\n1,2\n")}}
    if route.method != "POST":
        return {}
    last = route.path.rsplit("/", 1)[-1]
    if last in ("decision", "review", "check", "standing") or route.key[1] == "/applications/{application_id}/close":
        return {"json": ANY_DECISION}
    if last in ("recall", "regrade") or route.key[1] == "/resources/{resource_id}/withdraw":
        return {"json": {"reason": "x"}}
    return {"json": BODIES[route.key]} if route.key in BODIES else {}


def _declared(route: APIRoute) -> tuple[str | None, bool]:
    """The action named by the route's dependency, and whether it names any (or says that it is open)."""
    for dependency in route.dependant.dependencies:
        if isinstance(dependency.call, deps._Acting | deps._Asking):
            return dependency.call.action, True
    return None, False


def modules() -> list[Route]:
    """Every operation of the API's routers."""
    from api.app import ROUTERS

    found = []
    for module in ROUTERS:
        for route in module.router.routes:
            assert isinstance(route, APIRoute)
            action, _ = _declared(route)
            takes_file = any(type(p.field_info).__name__ == "File" for p in route.dependant.body_params)
            found += [Route(m, f"/api/v1{route.path}", action, takes_file) for m in sorted(route.methods)]
    return found


ROUTES = modules()
named = pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.key[1]}")
acting = pytest.mark.parametrize("route", [r for r in ROUTES if r.action], ids=lambda r: f"{r.method} {r.key[1]}")


@pytest.fixture(scope="module")
def portal(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    home = tmp_path_factory.mktemp("portal")
    shutil.copy(sqlite_template, home / "metadata.sqlite")
    world = World.settle(Platform(Settings(home=home, body_limit_mb=1), FixedClock(MONDAY)))
    limits = Limits(memory_mb=256, cpu_seconds=5, wall_seconds=5, processes=16, file_mb=16, result_rows=100,
                    result_mb=8, threads=1)  # fmt: skip
    broker = Broker(SelfTest("weak", "none", (), 0.0), limits, capacity_mb=512)
    app = create_app(world.platform, broker, lambda: {"portal": "up"})
    tokens = {login: world.token(login) for login in world.people}
    yield Portal(app, TestClient(app, raise_server_exceptions=False), world, tokens)
    broker.close()
    world.platform.database.dispose()


def check_problem(answer: Any, *statuses: int) -> dict[str, Any]:
    """The answer is a whole problem document of one of these statuses."""
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == PROBLEM
    body: dict[str, Any] = answer.json()
    assert set(body) == {"type", "title", "status", "code", "fix", "detail", "request_id", "verdict"}
    assert (body["status"], body["type"]) == (answer.status_code, f"urn:pds:{body['code']}")
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


# -- who may


def test_walk_finds_every_operation(portal: Portal) -> None:
    documented = {
        (method.upper(), path) for path, item in portal.app.openapi()["paths"].items() for method in item
        if path.startswith("/api/")
    }  # fmt: skip
    assert documented == {(r.method, r.path) for r in ROUTES}
    assert len(ROUTES) > 50


@named
def test_every_route_names_an_action_or_is_known_to_be_open(route: Route) -> None:
    if route.key in OPEN:
        assert route.action is None
    else:
        assert route.action in PERMISSIONS


@acting
def test_visitor_is_asked_to_sign_in_and_it_is_recorded(portal: Portal, route: Route) -> None:
    before = len(portal.world.events("access:refused"))
    answer = portal.ask(route)
    body = check_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert body["code"] == "session.required"
    recorded = portal.world.events("access:refused")[before:]
    assert [(r.role, r.facts["action"]) for r in recorded] == [("visitor", route.action)]
    assert recorded[0].request_id == body["request_id"]


@pytest.mark.parametrize(
    ("route", "role"),
    [(r, role) for r in ROUTES if r.action for role in LOGINS if role not in PERMISSIONS[r.action]],
    ids=lambda x: x.value if isinstance(x, Role) else f"{x.method} {x.key[1]}",
)
def test_role_without_permission_is_refused_in_words_and_on_record(portal: Portal, route: Route, role: Role) -> None:
    before = len(portal.world.events("access:refused"))
    login = LOGINS[role]
    chinese = check_problem(portal.ask(route, login), 403, 404)
    english = check_problem(portal.ask(route, login, headers={"accept-language": "en-GB,en;q=0.9,zh;q=0.1"}), 403, 404)
    assert re.search(r"[一-鿿]", chinese["title"]) and re.search(r"[一-鿿]", chinese["fix"])
    assert not re.search(r"[一-鿿]", english["title"] + english["fix"])
    assert chinese["code"] == english["code"]
    recorded = portal.world.events("access:refused")[before:]
    assert [(r.actor_id, r.facts["action"]) for r in recorded] == [(portal.world.people[login].id, route.action)] * 2


@acting
def test_role_with_permission_gets_past_the_door(portal: Portal, route: Route) -> None:
    """Whoever may is not refused for the role: made-up objects are 404, made-up content is 4xx, nothing is 500."""
    assert route.action is not None
    if route.key == ("DELETE", "/session"):
        pytest.skip("it would end the session of the other tests; signing out is tested by itself")
    for role in PERMISSIONS[route.action]:
        if role in LOGINS:
            answer = portal.ask(route, LOGINS[role])
            expected = {200, 201, 202, 204, 404, 409, 422}
            if route.key in (("POST", "/platform/clock"), ("POST", "/applications")):
                expected = {403}  # no demonstration city; not admitted
            assert answer.status_code in expected, f"{role}: {answer.text}"
            if answer.status_code >= 400:
                check_problem(answer, answer.status_code)


# -- who asks


def test_expired_token_is_401_and_recorded(portal: Portal) -> None:
    from sandbox.kernel import accounts

    world = portal.world
    with world.by(world.merchant) as unit:
        secret = accounts.issue_token(unit, "short", 1)
    world.advance(days=1)
    try:
        answer = portal.client.get("/api/v1/me", headers={"authorization": f"Bearer {secret}"})
    finally:
        world.advance(days=-1)
    assert check_problem(answer, 401)["code"] == "session.expired"
    assert world.events("access:refused")[-1].facts["code"] == "session.expired"


@pytest.mark.parametrize("header", ["Bearer made-up", "Bearer ", "bearer pds_x", "Bearer 密"])
def test_made_up_token_is_401(portal: Portal, header: str) -> None:
    answer = portal.client.get("/api/v1/me", headers={"authorization": header.encode()})
    check_problem(answer, 401)


def test_api_takes_no_cookie(portal: Portal) -> None:
    """A foreign page can make a browser send cookies, never a bearer token."""
    client = TestClient(portal.app, cookies={deps.SESSION_COOKIE: portal.tokens["merchant"]})
    check_problem(client.get("/api/v1/me"), 401)


def test_sign_in_and_out(portal: Portal) -> None:
    from tests.factories import PASSWORD

    answer = portal.client.post("/api/v1/session", json={"login": "auditor", "password": PASSWORD})
    headers = {"authorization": f"Bearer {answer.json()['token']}"}
    assert portal.client.get("/api/v1/me", headers=headers).json()["role"] == "auditor"
    assert portal.client.delete("/api/v1/session", headers=headers).status_code == 204
    check_problem(portal.client.get("/api/v1/me", headers=headers), 401)


def test_wrong_password_is_401_without_echo(portal: Portal) -> None:
    answer = portal.client.post("/api/v1/session", json={"login": "auditor", "password": "guess-guess-guess"})
    check_problem(answer, 401)
    assert "guess" not in answer.text


def test_outsider_gets_404_for_what_exists(portal: Portal) -> None:
    application_id = portal.world.drafted()
    mine = portal.client.get(
        f"/api/v1/applications/{application_id}", headers={"authorization": f"Bearer {portal.tokens['merchant']}"}
    )
    assert mine.status_code == 200
    hidden = portal.client.get(
        f"/api/v1/applications/{application_id}", headers={"authorization": f"Bearer {portal.tokens['stranger']}"}
    )
    missing = portal.client.get(
        "/api/v1/applications/app-nothere", headers={"authorization": f"Bearer {portal.tokens['stranger']}"}
    )
    assert check_problem(hidden, 404)["code"] == check_problem(missing, 404)["code"]


# -- what is sent

WITH_BODY = [r for r in ROUTES if "json" in body_of(r) or (r.key in OPEN and r.method == "POST")]
bodied = pytest.mark.parametrize("route", WITH_BODY, ids=lambda r: f"{r.method} {r.key[1]}")


def someone(route: Route) -> str | None:
    roles = [r for r in PERMISSIONS.get(route.action or "", {}) if r in LOGINS]
    return LOGINS[roles[0]] if roles else None


@bodied
@pytest.mark.parametrize("content", [b"{", b'{"a": }', b"\xff\xfe", b"[1,"])
def test_malformed_json_is_400(portal: Portal, route: Route, content: bytes) -> None:
    answer = portal.ask(route, someone(route), content=content, headers={"content-type": "application/json"})
    check_problem(answer, 400)


@bodied
def test_unknown_field_is_422_and_what_was_sent_is_not_repeated(portal: Portal, route: Route) -> None:
    secret = "440106199001011234"
    body = body_of(route).get("json", {}) | {"surprise": secret, secret: "x"}
    answer = portal.ask(route, someone(route), json=body)
    problem = check_problem(answer, 422)
    assert secret not in answer.text
    assert "surprise" in problem["detail"]["fields"]


@bodied
@pytest.mark.parametrize("wrong", [[], "text", 3, None])
def test_body_of_another_shape_is_422(portal: Portal, route: Route, wrong: Any) -> None:
    answer = portal.ask(route, someone(route), content=json.dumps(wrong), headers={"content-type": "application/json"})
    check_problem(answer, 422)


@bodied
def test_body_over_the_limit_is_413(portal: Portal, route: Route) -> None:
    answer = portal.ask(route, someone(route), content=b'{"a": "' + b"x" * (1 << 20) + b'"}',
                        headers={"content-type": "application/json"})  # fmt: skip
    check_problem(answer, 413)


def test_upload_over_the_limit_is_413_and_leaves_nothing(portal: Portal) -> None:
    resource_id = portal.world.published()
    before = sorted(portal.world.platform.settings.inbox.iterdir())
    for size in ((1 << 20) + 1, 3 << 20):  # over the file's limit; over the request's
        answer = portal.client.post(
            f"/api/v1/resources/{resource_id}/deliveries", files={"file": ("x.csv", b"x" * size)},
            headers={"authorization": f"Bearer {portal.tokens['department']}"},
        )  # fmt: skip
        check_problem(answer, 413)
    assert sorted(portal.world.platform.settings.inbox.iterdir()) == before


def test_delivery_is_accepted_once(portal: Portal) -> None:
    resource_id = portal.world.published()
    url = f"/api/v1/resources/{resource_id}/deliveries"
    headers = {"authorization": f"Bearer {portal.tokens['department']}"}
    answer = portal.client.post(url, files={"file": ("x.csv", b"a\n1\n")}, headers=headers)
    assert (answer.status_code, answer.json()["state"]) == (202, "received")
    check_problem(portal.client.post(url, files={"file": ("x.csv", b"a\n1\n")}, headers=headers), 409)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/v1/nothing", 404), ("DELETE", "/api/v1/me", 405), ("GET", "/api/v1/audit/events?after=-1", 422),
     ("GET", "/api/v1/audit/events?limit=100000", 422), ("GET", f"/api/v1/audit/events?after={10**30}", 422)],
)  # fmt: skip
def test_wrong_address_method_or_query_is_a_problem_document(
    portal: Portal, method: str, path: str, status: int
) -> None:
    headers = {"authorization": f"Bearer {portal.tokens['auditor']}"}
    check_problem(portal.client.request(method, path, headers=headers), status)


def test_long_object_id_in_a_query_is_answered(portal: Portal) -> None:
    headers = {"authorization": f"Bearer {portal.tokens['auditor']}"}
    answer = portal.client.get("/api/v1/audit/events", params={"object_id": "x" * 500}, headers=headers)
    assert answer.json() == []
    assert len(portal.world.events("audit:read")[-1].object_id) <= 64


def test_unexpected_fault_says_nothing_of_its_text(portal: Portal, caplog: pytest.LogCaptureFixture) -> None:
    """Neither to the asker nor to the server's log: nothing is raised through to the server."""
    secret = "440106199001011234"
    client = TestClient(portal.app, raise_server_exceptions=True)

    def crash() -> dict[str, str]:
        raise ValueError(secret)

    portal.app.state.parts, kept = crash, portal.app.state.parts
    try:
        answer = client.get("/api/v1/platform")
    finally:
        portal.app.state.parts = kept
    assert check_problem(answer, 500)["code"] == "internal.error"
    assert secret not in answer.text + caplog.text


@pytest.mark.parametrize(
    ("header", "language"),
    [("", "zh"), ("en", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-US,en;q=0.9", "en"), ("fr", "zh"),
     ("zh;q=0.1,en;q=0.9", "en"), ("en;q=abc", "zh"), ("*", "zh")],
)  # fmt: skip
def test_language_follows_the_asker(portal: Portal, header: str, language: str) -> None:
    answer = portal.client.get("/api/v1/me", headers={"accept-language": header})
    assert answer.headers["content-language"] == language
