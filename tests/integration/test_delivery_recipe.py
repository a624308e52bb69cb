"""The recipe of the last version is held against the next delivery: adapted to, or back to the department by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from api.demo import stages

ROWS = "".join(f"{i},东湖区,{i}\n" for i in range(30))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stages.Embedded]:
    with stages.embedded(tmp_path_factory.mktemp("recipes") / "home") as made:
        for login in ("health", "operator"):
            made.client.sign_in(login, made.password)
        yield made


def test_a_changed_layout_is_adapted_to_or_sent_back_and_the_last_version_stays(stage: stages.Embedded) -> None:
    columns = {"编号": {"semantic": "key"}, "区": {"semantic": "district"}, "数量": {"semantic": "number"}}
    body = {"name": "方案", "description": "测试", "registration_code": "T-R", "update_cycle": "每月",
            "declared": {"columns": columns}}  # fmt: skip
    resource = str(stage.client.post("health", "/resources", body)["id"])

    def deliver(content: str) -> dict[str, Any]:
        path = stage.platform.settings.home / "表.csv"
        path.write_bytes(content.encode())
        stage.client.upload("health", f"/resources/{resource}/deliveries", path)
        stage.settle()
        found: dict[str, Any] = stage.client.get("health", f"/resources/{resource}")
        return found

    deliver("编号,区,数量\n" + ROWS)
    stage.client.post("health", f"/resources/{resource}/confirm")
    stage.client.post("operator", f"/resources/{resource}/publish")
    moved = deliver("示范市\n数量,区,编号\n" + ROWS)
    assert moved["current_version"] == 2
    told = {f["code"] for f in moved["versions"][-1]["findings"]}
    assert {"recipe_columns_reordered", "recipe_header_moved"} <= told
    changed = deliver("编号,街道,数量\n" + ROWS)
    assert [v["number"] for v in changed["versions"]] == [1, 2]
    assert (changed["current_version"], changed["deliveries"][0]["state"]) == (2, "needs_recipe")
    (job, *_) = [j for j in stage.client.get("operator", "/jobs") if j["subject_id"] == resource]
    assert job["error_code"] == "reading.recipe_mismatch"
    assert "区" in job["error"]["text"]["zh"]
    assert "街道" in job["error"]["text"]["zh"]
