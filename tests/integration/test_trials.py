"""Scripts, and SQL that owners cannot be carried through, at the export gate: trials by buckets, and then people."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from pipelines.registry import HANDLERS
from pipelines.watching import Page
from sandbox.exports import repository as export_records
from sandbox.exports import reviewing
from sandbox.exports import service as exports
from sandbox.exports.ledger import LedgerCell
from sandbox.kernel import cancellation, jobs
from sandbox.kernel.jobs import LocalExecutor
from sandbox.products import blackbox
from tests.factories import World
from tests.real_products import ROWS, opened, product, submitted, verdict

pytestmark = pytest.mark.jail
WINDOW = "SELECT 区, avg(费用) OVER (PARTITION BY 区 ORDER BY 费用 ROWS 3 PRECEDING) AS 费用 FROM visit"


def moving_average(grant: str) -> dict[str, Any]:
    return {
        "job": "移动平均", "edition": 2, "inputs": {"visit": {"grant": grant}},
        "prepare": [{"name": "v", "sql": WINDOW}],
        "product": {"from": "v", "dimensions": ["区"], "measures": {"均": {"op": "mean", "of": "费用", "round": 1}}},
        "output": {"kind": "aggregate", "format": "csv"},
    }  # fmt: skip


def counted(grant: str) -> dict[str, Any]:
    return {
        "job": "按区计数", "edition": 2, "inputs": {"visit": {"grant": grant}},
        "product": {"from": "visit", "dimensions": ["区"], "measures": {"人次": {"op": "count"}}},
        "output": {"kind": "aggregate", "format": "csv"},
    }  # fmt: skip


@pytest.fixture
def waiting(world: World) -> str:
    world.rules("export", "2026-02", max_times=10)
    workspace_id, grant = opened(world)
    values = f"SELECT 区, avg(费用) AS 均 FROM ({ROWS}) GROUP BY 区 ORDER BY 区"
    return submitted(world, product(world, workspace_id, moving_average(grant), values))


def of(found: dict[str, Any], rule: str) -> list[dict[str, Any]]:
    return [one for one in found["findings"] if one["rule"] == rule]


def test_trials_reach_people_and_are_not_made_again_for_the_release(
    world: World, waiting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget of the test's rules ends before all buckets are tried: that, too, is for people."""
    executor = LocalExecutor(world.platform, HANDLERS)
    executor.drain()
    state, found = verdict(world, waiting)
    bad = [(one["rule"], one["measured"]) for one in found["findings"] if one["severity"] != "review"]
    assert (state, found["outcome"], bad) == ("in_review", "review", [])
    said = {(one["place"].partition("#")[0], one["severity"]) for one in of(found, "EXP-PROOF-01")}
    assert ("step:v", "review") in said and all(severity == "review" for _, severity in said)
    assert [one["severity"] for one in of(found, "EXP-LANE-01")] == ["review"]
    with world.by(world.officer) as unit:
        document = exports.basis_of(unit, export_records.get(unit.session, waiting))
    assert document is not None
    (tried,) = document["summary"]["black_box"]
    assert tried["kind"] == "person" and tried["steady"] and tried["over_budget"] and tried["tried"] < 32

    monkeypatch.setattr(blackbox, "tried", lambda *_, **__: pytest.fail("tried again on the same data"))
    for officer in (world.officer, world.second_officer):
        with world.by(officer) as unit:
            reviewing.review(unit, waiting, "approve", "趋势平滑，逐桶试验稳妥")
    executor.drain()
    assert verdict(world, waiting)[0] == "released"


def test_a_check_that_is_cancelled_in_a_trial_stops_and_leaves_nothing(world: World, waiting: str) -> None:
    (job,) = [j for j in _jobs(world, waiting) if j.kind == "check_export"]

    def stop(self: object, step: str, share: float) -> None:
        if step == "trial" and share > 0:
            with world.system() as unit:
                cancellation.cancel(unit, job.id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.watching.Page.progress", stop)
        LocalExecutor(world.platform, HANDLERS).drain()
    assert all(j.state.startswith("cancel") for j in _jobs(world, waiting) if j.kind == "check_export")
    assert verdict(world, waiting) == ("checking", {})
    assert not list((world.platform.settings.home / "work").rglob("*.parquet"))


def test_a_check_that_is_cancelled_while_its_rules_run_ends_as_cancelled_and_says_nothing(world: World) -> None:
    """The job's page is reached as ever, and finds that the job is no longer ours: no rule takes that for its own."""
    workspace_id, grant = opened(world)
    request_id = submitted(world, product(world, workspace_id, counted(grant)))
    (job,) = [j for j in _jobs(world, request_id) if j.kind == "check_export"]
    reached: list[str] = []
    told = Page.progress

    def stop(self: Page, step: str, share: float) -> None:
        if step == "closure" and not reached:
            reached.append(self.name)
            with world.system() as unit:
                cancellation.cancel(unit, job.id)
            self.said = 0.0
        told(self, step, share)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.watching.Page.progress", stop)
        executor = LocalExecutor(world.platform, HANDLERS)
        executor.drain()
    assert reached == ["rules"] and verdict(world, request_id) == ("checking", {})
    assert cancellation.stop_cancelled(world.platform, executor, HANDLERS) == [job.id]
    assert [j.state for j in _jobs(world, request_id) if j.kind == "check_export"] == ["cancelled"]
    state, found = verdict(world, request_id)
    assert (state, found["outcome"], found["rules"], found["findings"]) == ("blocked", "error", [], [])
    with world.system() as unit:
        assert list(unit.session.scalars(select(LedgerCell))) == []


def _jobs(world: World, request_id: str) -> list[jobs.Job]:
    with world.system() as unit:
        return list(jobs.of_subject(unit.session, "export", request_id))
