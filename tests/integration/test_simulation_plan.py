"""From a delivered file to its twin: an unclassified column stops the simulation until somebody answers for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from api.demo import stages
from api.demo.client import ApiError

ROWS = 400


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stages.Embedded]:
    with stages.embedded(tmp_path_factory.mktemp("plan") / "home") as made:
        for login in ("health", "operator", "auditor", "officer1"):
            made.client.sign_in(login, made.password)
        yield made


def content() -> bytes:
    rng = np.random.default_rng(3)
    lines = [
        f"T{i:05d},{rng.choice(['甲科', '乙科'])},{rng.lognormal(4, 1):.2f},现场{i}情形{rng.integers(0, 10**6)}样"
        for i in range(ROWS)
    ]
    return ("办件编号,科室,费用,处置结果描写\n" + "\n".join(lines) + "\n").encode()


@pytest.fixture(scope="module")
def resource(stage: stages.Embedded) -> str:
    """A published table with a text column that nobody explained."""
    body = {"name": "办件", "description": "测试", "registration_code": "T-1", "update_cycle": "每月"}
    made = str(stage.client.post("health", "/resources", body)["id"])
    path = stage.platform.settings.home / "办件.csv"
    path.write_bytes(content())
    stage.client.upload("health", f"/resources/{made}/deliveries", path, mode="replace")
    stage.settle()
    stage.client.post("health", f"/resources/{made}/confirm")
    stage.client.post("operator", f"/resources/{made}/publish")
    stage.settle()
    return made


def plan(stage: stages.Embedded, resource: str, login: str = "operator") -> dict[str, Any]:
    found: dict[str, Any] = stage.client.get(login, f"/resources/{resource}/plan")
    return found


def test_a_question_stops_the_twin_and_the_default_answer_makes_it(stage: stages.Embedded, resource: str) -> None:
    asked = plan(stage, resource)
    assert asked["questions"] == ["处置结果描写"]
    assert not stage.client.get("health", f"/catalogue/{resource}")["simulated"]
    made = [j for j in stage.client.get("operator", "/jobs") if j["kind"] == "simulate"]
    assert [j["state"] for j in made if j["subject_id"] == resource] == ["failed"]
    with pytest.raises(ApiError) as refused:
        stage.client.post("operator", f"/resources/{resource}/plan/regenerate")
    assert "没有回答" in str(refused.value)
    answered = stage.client.post("operator", f"/resources/{resource}/plan/default")
    assert answered["questions"] == []
    stage.client.post("operator", f"/resources/{resource}/plan/regenerate")
    stage.settle()
    entry = stage.client.get("health", f"/catalogue/{resource}")
    assert entry["simulated"]
    decided = {d["column"]: d for d in entry["simulation"]["decisions"]}
    assert decided["处置结果描写"]["by"] == "default"
    assert "假定" in decided["处置结果描写"]["reason"]["zh"]
    assert all("who" not in d for d in decided.values())
    rows = stage.client.get("health", f"/catalogue/{resource}/simulated")
    texts = [row[rows["columns"].index("处置结果描写")] for row in rows["rows"]]
    assert not any("现场" in t or "情形" in t for t in texts if t)


def test_a_column_can_be_left_out_of_the_twin(stage: stages.Embedded, resource: str) -> None:
    stage.client.put("operator", f"/resources/{resource}/plan", {"answers": {"处置结果描写": "drop"}})
    stage.client.post("operator", f"/resources/{resource}/plan/regenerate")
    stage.settle()
    rows = stage.client.get("health", f"/catalogue/{resource}/simulated")
    assert rows["columns"] == ["办件编号", "科室", "费用"]
    decided = {d["column"]: d for d in stage.client.get("health", f"/catalogue/{resource}")["simulation"]["decisions"]}
    assert (decided["处置结果描写"]["semantic"], decided["处置结果描写"]["by"]) == ("drop", "operator")
