"""Runs on real data from asking to artefact: what is seen, counted, kept, cancelled, looked at, and let out."""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import upkeep
from pipelines.registry import HANDLERS
from policies.verdict import Outcome
from sandbox.applications import repository as applications
from sandbox.exports import drafting
from sandbox.exports import repository as export_records
from sandbox.exports import service as exports
from sandbox.exports.gate import evaluate, verdict_for
from sandbox.exports.subject import refusals_of
from sandbox.kernel import jobs
from sandbox.kernel.errors import BadInput, InvalidTransition, LimitExceeded, NotFound, NotPermitted, OutOfReach
from sandbox.kernel.identity import Actor
from sandbox.kernel.jobs import Job, LocalExecutor
from sandbox.kernel.unit import Unit
from sandbox.products import reports, repository, service
from sandbox.products.blackbox import Tried
from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import derive
from sandbox.products.repository import Run
from sandbox.products.source import EvidenceError
from sandbox.products.spec import JobSpec, parse
from sandbox.workspaces import snapshot, tiers
from sandbox.workspaces.metering_record import UseEntry
from sandbox.workspaces.selftest import selftest
from sandbox.workspaces.snapshot import Content, Room
from tests.export_subjects import edition, job, subject_with
from tests.factories import CONTEXT, World

MARK = "真名"


class Desk:
    """A merchant at work: a workspace whose grant has a twin and a real snapshot."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.workspace = world.workspace()
        with world.system() as unit:
            place = repository_workspace(unit, self.workspace)
            self.grant = applications.grants(unit.session, place)[0].id
            held = applications.grants(unit.session, place)[0]
            held.snapshot = {side: self._snapshot(folder, side, rows, who) for side, rows, who in
                             (("twin", 60, "仿"), ("real", 400, MARK))}  # fmt: skip

    def _snapshot(self, folder: Path, side: str, rows: int, who: str) -> dict[str, Any]:
        file = folder / f"{side}.parquet"
        duckdb.sql(
            f"SELECT '{who}' || range AS 姓名, '区' || (range % 4) AS 区, (range % 50)::DOUBLE AS 费用"
            f" FROM range({rows})"
        ).write_parquet(str(file))
        made = snapshot.build([str(file)], Content(["姓名", "区", "费用"]), room=Room(256, 1), source={"side": side},
                              out_root=self.world.platform.settings.snapshots_root)  # fmt: skip
        return {"digest": made.digest, "columns": [], "rows": rows}

    def job(self, **changes: Any) -> dict[str, Any]:
        return {
            "job": "按区汇总", "edition": 1, "inputs": {"t": {"grant": self.grant}}, "from": "t", "dimensions": ["区"],
            "measures": {"人次": {"op": "count"}, "均": {"op": "mean", "of": "费用", "round": 1}},
            "output": {"kind": "aggregate", "format": "csv"},
        } | changes  # fmt: skip

    def stepped(self, sql: str = "SELECT 区, 费用 FROM t", **more: Any) -> dict[str, Any]:
        """A job of the second edition over one SQL step."""
        return {
            "job": "分步作业", "edition": 2, "inputs": {"t": {"grant": self.grant}},
            "prepare": [{"name": "v", "sql": sql}],
            "product": {"from": "v", "dimensions": ["区"], "measures": {"人次": {"op": "count"}}},
            "output": {"kind": "aggregate", "format": "csv"},
        } | more  # fmt: skip

    def ask(self, spec: dict[str, Any]) -> str:
        self.world.advance(seconds=1)
        with self.world.by(self.world.merchant) as unit:
            return service.start_run(unit, self.workspace, spec).id

    def work(self) -> None:
        LocalExecutor(self.world.platform, HANDLERS).drain()

    def ran(self, spec: dict[str, Any]) -> Run:
        run_id = self.ask(spec)
        self.work()
        return self.read(run_id)

    def read(self, run_id: str) -> Run:
        with self.world.system() as unit:
            return repository.get(unit.session, run_id)

    def artefact(self, run: Run) -> repository.Artefact:
        with self.world.system() as unit:
            return repository.artefact(unit.session, str(run.artefact_id))

    def bytes_of(self, run: Run) -> str:
        return (self.world.platform.settings.artefacts_root / self.artefact(run).sha256).read_text("utf-8-sig")


def repository_workspace(unit: Any, workspace_id: str) -> str:
    from sandbox.workspaces.repository import get

    return get(unit.session, workspace_id).application_id


@pytest.fixture
def desk(world: World, tmp_path: Path) -> Desk:
    return Desk(world, tmp_path)


def outside(home: Path) -> str:
    """Every byte below the platform's folder that is not for operators or the real data itself, as text."""
    inside = ("operator-only", "snapshots", "artefacts")
    files = [p for p in home.rglob("*") if p.is_file() and not set(p.relative_to(home).parts) & set(inside)]
    return "".join(p.read_bytes().decode("utf-8", "replace") for p in files)


# --- a run from asking to artefact -----------------------------------------------------------------------------------


@pytest.mark.jail
def test_a_run_leaves_one_immutable_artefact_with_its_whole_lineage(desk: Desk) -> None:
    ranked = "SELECT 区, 人次, rank() OVER (ORDER BY 人次 DESC, 区) AS 名次 FROM product"
    run = desk.ran(desk.stepped(post={"sql": ranked}))
    assert run.state == "succeeded", run.outcome
    assert desk.bytes_of(run) == "区,人次,名次\n区0,100,1\n区1,100,2\n区2,100,3\n区3,100,4\n"
    made = desk.artefact(run)
    assert oct((desk.world.platform.settings.artefacts_root / made.sha256).stat().st_mode)[-3:] == "400"
    lineage = made.lineage
    assert [s["name"] for s in lineage["steps"]] == ["v", "__cube", "product", "post"]
    assert lineage["steps"][0]["text"] == "SELECT 区, 费用 FROM t"
    assert (lineage["spec"], lineage["tier"]) == (run.spec_digest, "strong")
    assert lineage["limits"]["wall_seconds"] and lineage["policies"]["workspace"]
    assert lineage["inputs"]["t"]["snapshot"] and lineage["beyond_proof"] == []
    assert lineage["text"] == run.dry_run["text"]


@pytest.mark.jail
def test_a_failed_run_says_class_and_bucket_and_leaves_nothing(desk: Desk) -> None:
    """The value is in the operator's file and nowhere else: no record, log line or scratch file holds it."""
    spec = desk.stepped("SELECT 区, CAST(replace(姓名, '仿', '') AS DOUBLE) AS 费用 FROM t")
    run = desk.ran(spec)
    assert (run.state, run.outcome["error"], run.outcome["step_name"]) == ("failed", "bad_value", "v")
    assert run.outcome["on"] == "real" and run.artefact_id is None
    assert MARK not in json.dumps([run.outcome, run.dry_run], ensure_ascii=False)
    home = desk.world.platform.settings.home
    assert MARK not in outside(home)
    assert list((home / "work").rglob("*.parquet")) == []
    assert not (home / "artefacts").exists() or list((home / "artefacts").iterdir()) == []
    assert MARK in reports.place(desk.world.platform.settings, run.id, "real").read_text()


@pytest.mark.jail
def test_a_job_that_is_wrong_on_the_twin_says_everything_and_is_not_counted(desk: Desk) -> None:
    run = desk.ran(desk.stepped("SELECT 区,\n nope FROM t"))
    told = run.outcome
    assert (run.state, told["on"], told["line"], told["column"]) == ("failed", "simulated", 2, 2)
    assert "nope" in told["engine_text"]
    assert run.counted is False


@pytest.mark.jail
def test_the_end_is_seen_at_the_edge_of_its_duration_bucket(desk: Desk) -> None:
    """Whether the work takes one second or nine, the state flips ten seconds after the real run began."""
    run = desk.ran(desk.job())
    assert run.outcome["duration"] == "<10"
    assert 5 < (run.state_since - run.created_at).total_seconds() <= 10
    assert desk.world.events("job:succeed")[-1].at == run.state_since


# --- the isolation that the platform has on record -------------------------------------------------------------------


@pytest.mark.jail
@pytest.mark.parametrize("step", ["asked", "dry_run"])
@pytest.mark.parametrize("tier", ["medium", "weak"])
def test_a_weaker_tier_on_record_stops_a_run_whose_worker_still_believes_the_stronger(
    desk: Desk, step: str, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A self-test asked for in the portal is another process than the worker's, which keeps "strong"."""
    assert selftest().tier == tiers.STRONG
    run_id, reached = desk.ask(desk.job()), jobs.Work.reached

    def found_weaker(unit: Unit) -> None:
        tiers.record(unit, {"tier": tier, "attacks": []})

    def weakened(work: jobs.Work, name: str, percent: int) -> None:
        reached(work, name, percent)
        if name == step:
            with desk.world.system() as unit:
                found_weaker(unit)

    monkeypatch.setattr(jobs.Work, "reached", weakened)
    if step == "asked":
        with desk.world.system() as unit:
            found_weaker(unit)
    desk.work()
    run = desk.read(run_id)
    assert (run.state, run.artefact_id, run.outcome["error"]) == ("failed", None, "isolation.too_weak")
    assert not reports.place(desk.world.platform.settings, run_id, "real").exists(), "no jail has held real data"


@pytest.mark.jail
def test_a_decided_tier_is_the_lineages_as_of_the_runs_start(desk: Desk) -> None:
    run_id = desk.ask(desk.job())
    with desk.world.by(desk.world.operator) as unit:
        tiers.decide(unit, tiers.MEDIUM, "旧主机，已评估")
        tiers.record(unit, {"tier": tiers.MEDIUM, "attacks": []})
    desk.work()
    run = desk.read(run_id)
    assert (run.state, run.tier, desk.artefact(run).lineage["tier"]) == ("succeeded", "strong", "medium")


# --- cancelling and crashes ------------------------------------------------------------------------------------------


def test_a_waiting_run_is_cancelled_at_once_and_never_starts(desk: Desk) -> None:
    run_id = desk.ask(desk.job())
    with desk.world.by(desk.world.merchant) as unit:
        assert service.cancel_run(unit, run_id).state == "cancelled"
    desk.work()
    assert (desk.read(run_id).state, desk.read(run_id).artefact_id) == ("cancelled", None)
    with pytest.raises(InvalidTransition), desk.world.by(desk.world.merchant) as unit:
        service.cancel_run(unit, run_id)


@pytest.mark.jail
@pytest.mark.parametrize("step", ["dry_run", "real_run", "artefact", "settle"])
def test_a_run_is_cancelled_at_each_stage_and_leaves_nothing(
    desk: Desk, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = desk.ask(desk.job())
    reached = jobs.Work.reached

    def cancelling(work: jobs.Work, name: str, percent: int) -> None:
        reached(work, name, percent)
        if name == step and desk.read(run_id).state == "requested":
            with desk.world.by(desk.world.merchant) as unit:
                service.cancel_run(unit, run_id)

    monkeypatch.setattr(jobs.Work, "reached", cancelling)
    desk.work()
    run, home = desk.read(run_id), desk.world.platform.settings.home
    assert (run.state, run.artefact_id) == ("cancelled", None)
    assert list((home / "work").rglob("*.parquet")) == []
    assert MARK not in outside(home)


@pytest.mark.jail
def test_a_run_is_stopped_inside_its_jail_and_charged_for_what_it_used(desk: Desk) -> None:
    """On real data the script never ends by itself."""
    script = f"import polars as pl\nresult = pl.read_parquet(tables['t'])\nwhile result['姓名'][0] > '{MARK}': pass"
    step = {"name": "v", "script": script, "reads": ["t"], "columns": {"区": "text", "费用": "number"}}
    run_id = desk.ask(desk.stepped(prepare=[step]))

    def cancel() -> None:
        while not reports.place(desk.world.platform.settings, run_id, "twin").exists():
            time.sleep(0.2)
        with desk.world.by(desk.world.merchant) as unit:
            service.cancel_run(unit, run_id)

    person = threading.Thread(target=cancel)
    person.start()
    desk.work()
    person.join()
    assert desk.read(run_id).state == "cancelled"
    with desk.world.system() as unit:
        assert unit.session.get_one(UseEntry, f"run:{run_id}:1").measured_cpu_us > 0


@pytest.mark.jail
def test_a_run_whose_worker_died_is_done_by_the_next_one(desk: Desk) -> None:
    """What the dead attempt had written is swept before anything else begins."""
    run_id = desk.ask(desk.job())
    platform = desk.world.platform
    with desk.world.system() as unit:
        job = jobs.of_subject(unit.session, "run", run_id)[0]
        job.state, job.started_at, job.run_ref = "running", unit.now, "local:dead"
    left = platform.settings.home / "work" / job.id / "1"
    left.mkdir(parents=True)
    (left / "real.parquet").write_text(MARK)
    desk.world.advance(minutes=5)
    executor = LocalExecutor(platform, HANDLERS)
    assert jobs.reconcile(platform, executor, HANDLERS) == [job.id]
    assert not left.exists()
    executor.drain()
    assert desk.read(run_id).state == "succeeded"


def test_an_ended_run_is_not_executed_again(desk: Desk) -> None:
    run_id = desk.ask(desk.job())
    with desk.world.system() as unit:
        service.fail(unit, run_id, {"state": "failed", "error": "failed", "on": "real"})
    desk.work()
    with desk.world.system() as unit:
        job = jobs.of_subject(unit.session, "run", run_id)[0]
        assert (job.state, job.error_code) == ("failed", "run.ended")
    assert not reports.place(desk.world.platform.settings, run_id, "real").exists()


# --- the operator's store --------------------------------------------------------------------------------------------


@pytest.fixture
def reported(desk: Desk) -> str:
    """A run with something kept about it; no jail was needed for that."""
    run_id = desk.ask(desk.job())
    file = reports.place(desk.world.platform.settings, run_id, "real")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"steps": ["v"], "report": "{}", "full": f"cannot cast {MARK}7", "seconds": 1.5}))
    with desk.world.system() as unit:
        service.fail(unit, run_id, {"state": "failed", "error": "bad_value", "on": "real"})
    return run_id


def test_a_look_needs_a_reason_and_is_one_event(desk: Desk, reported: str) -> None:
    operator = desk.world.operator
    with pytest.raises(BadInput, match="reason"), desk.world.by(operator) as unit:
        reports.look(unit, reported, "  x ")
    assert desk.world.events("run:diagnose") == []
    with desk.world.by(operator) as unit:
        assert MARK in reports.look(unit, reported, "工单 118：反复失败")[0].full
    events = desk.world.events("run:diagnose")
    assert [e.object_id for e in events] == [reported]
    assert MARK not in str(events[0].detail)


@pytest.mark.parametrize("who", ["merchant", "stranger", "officer", "auditor", "department"])
def test_nobody_but_an_operator_looks(desk: Desk, reported: str, who: str) -> None:
    actor: Actor = getattr(desk.world, who)
    with pytest.raises((NotPermitted, OutOfReach)), desk.world.by(actor) as unit:
        reports.look(unit, reported, "好奇")


def test_the_store_is_emptied_when_its_days_are_over(desk: Desk, reported: str) -> None:
    waiting = desk.ask(desk.job())
    reports.place(desk.world.platform.settings, waiting, "real").parent.mkdir(parents=True)
    desk.world.advance(days=29)
    assert upkeep.run(desk.world.platform).reports_disposed == []
    desk.world.advance(days=2)
    assert upkeep.run(desk.world.platform).reports_disposed == [reported]
    with pytest.raises(NotFound), desk.world.by(desk.world.operator) as unit:
        reports.look(unit, reported, "迟到的查看")
    assert upkeep.run(desk.world.platform).reports_disposed == []
    assert reports.place(desk.world.platform.settings, waiting, "real").parent.exists()


# --- quotas and families ---------------------------------------------------------------------------------------------


def filtered(desk: Desk, age: int) -> dict[str, Any]:
    return desk.job(where=[{"column": "费用", "op": ">", "value": age}])


def test_the_same_question_with_a_moving_constant_is_stopped_and_explained(desk: Desk) -> None:
    for age in range(10):
        desk.ask(filtered(desk, age))
    with pytest.raises(LimitExceeded, match=r"run\.family_quota") as refused:
        desk.ask(filtered(desk, 10))
    assert "筛选 费用 > 9 → 10" in refused.value.text.zh and refused.value.fix
    desk.ask(desk.job(dimensions=["费用"], measures={"和": {"op": "sum", "of": "费用"}}, where=[]))
    desk.world.advance(days=1, seconds=1)
    desk.ask(filtered(desk, 11))


def test_a_run_knows_its_place_among_near_equal_ones(desk: Desk) -> None:
    runs = [desk.ask(filtered(desk, age)) for age in (30, 31, 30)]
    other = desk.ask(desk.job(dimensions=[], measures={"和": {"op": "sum", "of": "费用"}}))
    with desk.world.system() as unit:
        standings = [service.standing(unit, repository.get(unit.session, r)) for r in [*runs, other]]
    assert [(s.number, s.total) for s in standings] == [(1, 1), (2, 2), (3, 3), (1, 1)]
    assert [c.zh for c in standings[1].changes] == ["筛选 费用 > 30 → 31"]
    assert standings[2].before is not None and standings[2].before.id == runs[1]
    assert standings[3].before is None


def test_the_quota_is_each_grants_and_counts_failures_but_not_the_twin(any_world: World) -> None:
    """Jobs that are far apart, so that only the grant's own limit stops them."""
    workspace = any_world.workspace()
    grant = any_world.grants(_application(any_world, workspace))[0]

    def ask(n: int) -> str:
        columns = [f"c{n}-{i}" for i in range(4)]
        spec = any_world.spec(grant) | {"dimensions": columns}
        with any_world.by(any_world.merchant) as unit:
            return service.start_run(unit, workspace, spec).id

    runs = [ask(n) for n in range(20)]
    for run_id, on in ((runs[0], "real"), (runs[1], "simulated")):
        with any_world.system() as unit:
            service.fail(unit, run_id, {"state": "failed", "error": "failed", "on": on})
    with any_world.by(any_world.merchant) as unit:
        service.cancel_run(unit, runs[2])
    ask(20)  # in place of the one that never left simulated data
    with pytest.raises(LimitExceeded, match=r"run\.quota"):
        ask(21)
    other = any_world.workspace(any_world.application("active"))
    any_world.requested_run(other)
    any_world.advance(days=1, seconds=1)
    ask(22)


def _application(world: World, workspace_id: str) -> str:
    with world.system() as unit:
        return repository_workspace(unit, workspace_id)


def test_uploads_and_grants_of_others_are_refused(desk: Desk) -> None:
    spec = desk.stepped()
    spec["inputs"]["w"] = {"upload": "upl-foreign"}
    with pytest.raises(BadInput, match=r"run\.upload"):
        desk.ask(spec)


# --- out of the sandbox ----------------------------------------------------------------------------------------------

SOUND = [("东区", [float(n % 7 + 1) for n in range(60)]), ("西区", [float(n % 5 + 1) for n in range(60)])]
SCRIPTED = {"name": "v", "script": "result = 1", "reads": ["t"], "columns": {"区": "text", "费用": "number"}}
TRIED = Tried("person", 32, 2, fewest=32, largest=0.04, removed=32, perturbed=32, tried=32)


def scripted() -> JobSpec:
    """A cube over what a script made."""
    base = job()
    cube = {name: base.pop(name) for name in ("from", "dimensions", "measures")}
    return parse({**base, "edition": 2, "product": {**cube, "from": "v"}, "prepare": [SCRIPTED]})


def test_a_script_is_refused_with_its_place_and_a_repair() -> None:
    spec = scripted()
    with pytest.raises(EvidenceError, match=r"evidence\.beyond_proof") as refused:
        derive(spec, {}, codes=SessionCodes())
    subject = replace(subject_with(SOUND), spec=spec, evidence=None, refusals=refusals_of(refused.value))
    verdict = evaluate(subject, edition())
    assert verdict.outcome is Outcome.BLOCK
    said = [f for f in verdict_for(verdict, "merchant").findings if "机器不能证明" in f.text.zh]
    assert said and all(f.repair and "SQL" in f.repair.zh for f in said)


@pytest.mark.parametrize(("tried", "outcome", "said"), [
    (TRIED, Outcome.REVIEW, ""),
    (replace(TRIED, fewest=1, perturbed=1), Outcome.BLOCK, "依据的主体过少"),
    (replace(TRIED, fewest=None, largest=None, tried=0, steady=False), Outcome.BLOCK, "两次运行的结果不同"),
    (replace(TRIED, fewest=20, tried=20, failed=7), Outcome.BLOCK, "不能完成"),
    (replace(TRIED, fewest=None, largest=None, tried=0, over_budget=True), Outcome.REVIEW, "试验未做完"),
    (replace(TRIED, fewest=5, tried=5, over_budget=True), Outcome.REVIEW, "超出预算"),
    (replace(TRIED, fewest=1, tried=5, over_budget=True), Outcome.BLOCK, "依据的主体过少"),
], ids=["every bucket moves it", "one bucket moves it", "never the same", "only on this data", "nothing was tried",
        "all that were tried move it", "one of few moves it"])  # fmt: skip
def test_what_no_machine_can_prove_never_passes_the_gate(tried: Tried, outcome: Outcome, said: str) -> None:
    """The best a script can get is a person; what its trials show only makes it worse, and is told as what it is."""
    with pytest.raises(EvidenceError) as refused:
        derive(scripted(), {}, codes=SessionCodes())
    subject = replace(subject_with(SOUND), spec=scripted(), evidence=None, black_box=(tried,))
    subject = replace(subject, refusals=refusals_of(refused.value))
    found = evaluate(subject, edition())
    assert found.outcome is outcome
    assert any(said in f.text.zh and f.severity is outcome for f in found.findings)


@pytest.mark.parametrize("parts", [
    {"prepare": [SCRIPTED]}, {"post": {"sql": "SELECT * FROM product"}},
    {"prepare": [{"name": "v", "sql": "SELECT * FROM t"}]},
], ids=["script", "post", "step"])  # fmt: skip
def test_evidence_of_another_job_is_no_evidence(parts: dict[str, Any]) -> None:
    base = job()
    cube = {name: base.pop(name) for name in ("from", "dimensions", "measures")}
    spec = parse({**base, "edition": 2, "product": cube} | parts)
    assert evaluate(replace(subject_with(SOUND), spec=spec), edition()).outcome is Outcome.ERROR


def test_the_same_cube_without_such_parts_passes() -> None:
    assert evaluate(subject_with(SOUND), edition()).outcome in (Outcome.PASS, Outcome.REVIEW)


@pytest.mark.jail
def test_a_request_with_a_free_step_is_blocked(desk: Desk) -> None:
    run = desk.ran(desk.stepped())
    assert run.state == "succeeded", run.outcome
    with desk.world.by(desk.world.merchant) as unit:
        request = drafting.draft(
            unit, artefact_id=str(run.artefact_id), title="按区", remark="", audience="public", context=CONTEXT
        )
        exports.submit(unit, request.id)
    desk.work()
    with desk.world.system() as unit:
        record = export_records.get(unit.session, request.id)
    assert record.state == "blocked"
    assert (record.verdict or {})["outcome"] == Outcome.ERROR


def test_a_job_row_never_tells_a_merchant_how_far_its_run_is(desk: Desk) -> None:
    """Progress would tell the moment at which real data was done."""
    from sandbox.kernel.permissions import permitted

    assert not permitted(desk.world.merchant, "job:read", owner=desk.world.merchant.organisation_id)
    assert re.search(r"run", Job.__tablename__) is None
