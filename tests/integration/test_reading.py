"""Granted rows in a workspace: what the levels let people read, and what is left once the grant has ended.

Real lake, real jobs, real broker and jails; only the clock is set.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipelines.registry import HANDLERS
from sandbox.applications import repository as records
from sandbox.applications import service as applications
from sandbox.catalog import twins
from sandbox.kernel import jobs
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.errors import (
    BadInput,
    InvalidTransition,
    LimitExceeded,
    NotPermitted,
    OutOfReach,
    Unavailable,
    UserError,
)
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from sandbox.lake import Lake
from sandbox.workspaces import develop, ending, pseudonyms, reading, selftest, snapshot, tiers
from sandbox.workspaces.broker import Broker
from sandbox.workspaces.limits import Limits
from tests.conftest import MONDAY
from tests.factories import World
from tests.pages import Person, words_of

LIMITS = Limits(
    memory_mb=768, cpu_seconds=60, wall_seconds=30, processes=64, file_mb=512, result_rows=10_000, result_mb=16,
    threads=1,
)  # fmt: skip
ENDLESS = "SELECT count(*) FROM 门诊 a, 门诊 b, 门诊 c, 门诊 d WHERE length(a.区 || b.费用 || c.区) % 7 = 3"
LEVELS = {"身份证号": 3, "区": 1, "费用": 2, "诊断": 4, "就诊日": 2}
PEOPLE = 900


def people(prefix: str) -> pa.Table:
    """Rows whose identity numbers could be anybody's; `prefix` tells the real table from its twin."""
    return duckdb.sql(
        f"SELECT '{prefix}' || lpad((range * 7919 % {PEOPLE})::VARCHAR, 12, '0') AS 身份证号,"
        " ['东区', '西区', '南区'][1 + range % 3] AS 区, (range % 97)::VARCHAR AS 费用,"
        " 'F' || (range % 20) AS 诊断, (DATE '2026-01-01' + (range % 60)::INTEGER)::VARCHAR AS 就诊日"
        f" FROM range({PEOPLE})"
    ).to_arrow_table()


class Executor(jobs.LocalExecutor):
    """Leaves alone what publication asks for: the twins of these tables are given."""

    def start(self, job: jobs.Job) -> str:
        if job.kind not in ("grant", "dispose"):
            raise jobs.NotReady
        return super().start(job)


@dataclass
class Stage:
    """A world whose tables are in the lake, with a broker; every test makes its own applications."""

    world: World
    broker: Broker

    @property
    def home(self) -> Settings:
        return self.world.platform.settings

    def table(self, levels: dict[str, int] | None = None, uplifts: dict[str, int | None] | None = None) -> str:
        """A published table with rows in the lake; its id."""
        world = self.world
        name = f"门诊{len(list(self.home.lake_root.glob('*')))}"
        resource = world.delivered(name=name)
        world.take_in(resource, columns=levels or LEVELS, uplifts=uplifts)
        world.publish(resource)
        lake = Lake(self.home.lake_root)
        for kind, prefix in (("typed", "440100"), ("simulated", "999999")):
            lake.write(f"{resource}/{kind}", people(prefix).to_reader(), mode="overwrite", facts={}, once="once")
        with world.system() as unit:
            twins.record(unit, resource, None, world.made(unit, resource))
        return resource

    def active(self, *resources: str, columns: tuple[str, ...] = tuple(LEVELS), rows: Any = None) -> str:
        """An application of the merchant in effect, its bytes built by the job; its id."""
        world = self.world
        first = world.drafted(resources[0])
        with world.by(world.merchant) as unit:
            applications.withdraw(unit, first)
            made = applications.draft(
                unit, scenario="读取", purpose="排班", product_form="aggregate", audience="public", term_months=12,
                requested={r: dict.fromkeys(columns, "需要") for r in resources},
                rows=dict.fromkeys(resources, rows or []),
            ).id  # fmt: skip
        for state in ("checking", "approving", "approved", "agreement_signed"):
            world._towards(state, made, world.merchant)
        self.work()
        return made

    def work(self) -> None:
        """Do the jobs that build and remove granted bytes."""
        executor = Executor(self.world.platform, HANDLERS)
        while jobs.dispatch(self.world.platform, executor):
            pass

    def bindings(self, application: str) -> list[dict[str, Any]]:
        with self.world.system() as unit:
            return [dict(g.snapshot or {}) for g in records.grants(unit.session, application)]

    def rows_of(self, application: str) -> snapshot.Snapshot:
        return snapshot.load(self.home.snapshots_root, self.bindings(application)[0]["rows"]["digest"])

    def read(self, workspace: str, sql: str) -> reading.Rows:
        return reading.read(self.world.platform, self.broker, self.world.merchant, workspace, sql)

    def stand(self, application: str, step: str) -> None:
        with self.world.by(self.world.operator) as unit:
            applications.stand(unit, application, step, "查实违规")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("reading")
    shutil.copy(sqlite_template, home / "metadata.sqlite")
    platform = Platform(Settings(home=home), FixedClock(MONDAY))
    broker = Broker(selftest.selftest(), LIMITS, capacity_mb=8 * LIMITS.memory_mb, running=4)
    broker.permit = ending.permit(platform)
    yield Stage(World.settle(platform), broker)
    broker.close()
    platform.database.dispose()


@pytest.fixture(scope="module")
def table(stage: Stage) -> str:
    return stage.table()


@pytest.fixture(scope="module")
def name(stage: Stage, table: str) -> str:
    with stage.world.system() as unit:
        from sandbox.catalog import repository as catalogue

        return catalogue.get(unit.session, table).name


@pytest.fixture(scope="module")
def shared(stage: Stage, table: str) -> tuple[str, str]:
    """One application in effect with its workspace, for tests that leave it as it is."""
    application = stage.active(table)
    return application, stage.world.workspace(application)


# --- what is in the bytes ---------------------------------------------------------------------------------------------


def test_levels_decide_what_is_in_the_readable_bytes(stage: Stage, shared: tuple[str, str]) -> None:
    made = stage.rows_of(shared[0])
    assert [c for c, _ in made.columns] == ["区", "就诊日", "费用", "身份证号"], "level 4 is not in it"
    found = duckdb.sql(f"SELECT 身份证号, 费用 FROM '{made.path}'").fetchall()
    assert len(found) == PEOPLE
    assert all(re.fullmatch(pseudonyms.PATTERN, row[0]) for row in found)
    content = made.path.read_bytes()
    assert b"440100" not in content and "诊断".encode() not in content
    real = snapshot.load(stage.home.snapshots_root, stage.bindings(shared[0])[0]["real"]["digest"])
    assert {c for c, _ in real.columns} == set(LEVELS), "jobs have every granted column"


@pytest.mark.parametrize(
    ("levels", "uplifts", "rows", "readable"),
    [
        ({"区": 1, "费用": 2}, None, [], {"区", "费用"}),
        ({"区": 3, "费用": 4}, None, [], {"区"}),
        ({"区": 4, "费用": 4}, None, [], None),
        ({"区": 1, "费用": 1}, {"GRD-UP-01": 4}, [], None),
        ({"区": 1, "费用": 1}, {"GRD-UP-01": 3}, [], {"区", "费用"}),
        ({"区": 1, "费用": 4}, None, [{"column": "费用", "op": "in", "values": ["1"]}], None),
    ],
    ids=["1-2", "3-and-4", "only-4", "table-is-4", "table-is-3", "rows-chosen-by-4"],
)
def test_a_table_has_readable_bytes_only_where_its_levels_allow(
    stage: Stage, levels: dict[str, int], uplifts: Any, rows: Any, readable: set[str] | None
) -> None:
    application = stage.active(stage.table(levels, uplifts), columns=tuple(levels), rows=rows)
    binding = stage.bindings(application)[0].get("rows")
    assert (None if binding is None else {c for c, _ in binding["columns"]}) == readable


def test_only_approved_rows_are_in_the_bytes_of_every_binding(stage: Stage, table: str) -> None:
    rows = [{"column": "区", "op": "in", "values": ["东区"]},
            {"column": "就诊日", "op": "between", "values": ["2026-01-01", "2026-01-20"]}]  # fmt: skip
    application = stage.active(table, rows=rows)
    for binding in ("real", "rows"):
        made = snapshot.load(stage.home.snapshots_root, stage.bindings(application)[0][binding]["digest"])
        found = duckdb.sql(f"SELECT DISTINCT 区, 就诊日 <= '2026-01-20' FROM '{made.path}'").fetchall()
        assert found == [("东区", True)]
        assert "西区".encode() not in made.path.read_bytes()
    every = stage.active(table)
    assert stage.bindings(every)[0]["real"]["digest"] != stage.bindings(application)[0]["real"]["digest"]


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ({"column": "没有", "op": "in", "values": ["1"]}, "不在申请的字段中"),
        ({"column": "诊断", "op": "in", "values": ["F1"]}, "不在申请的字段中"),
        ({"column": "区", "op": "=", "values": ["东区"]}, "运算"),
        ({"column": "区", "op": "in", "values": []}, "取值个数"),
        ({"column": "区", "op": "between", "values": ["a"]}, "取值个数"),
        ({"column": "区", "op": "between", "values": ["b", "a"]}, "颠倒"),
        ({"column": "区", "op": "in", "values": ["x\0y"]}, "不符合"),
        ({"column": "区", "op": "in", "values": ["长" * 300]}, "不符合"),
    ],
)
def test_a_condition_that_does_not_fit_is_refused(stage: Stage, table: str, condition: Any, why: str) -> None:
    with pytest.raises(BadInput) as refused, stage.world.by(stage.world.merchant) as unit:
        applications.draft(
            unit, scenario="读取", purpose="x", product_form="aggregate", audience="public", term_months=1,
            requested={table: {"区": "需要", "费用": "需要"}}, rows={table: [condition]},
        )  # fmt: skip
    assert why in refused.value.text.zh


def test_values_with_quotes_are_values(stage: Stage, table: str) -> None:
    application = stage.active(table, rows=[{"column": "区", "op": "in", "values": ["' OR 1=1 --", '";DROP TABLE x']}])
    assert stage.bindings(application)[0]["real"]["rows"] == 0


def test_two_applications_of_one_merchant_cannot_join(stage: Stage, table: str, shared: tuple[str, str]) -> None:
    other = stage.rows_of(stage.active(table))
    mine = stage.rows_of(shared[0])
    met = duckdb.sql(f"SELECT count(*) FROM '{mine.path}' a JOIN '{other.path}' b USING (身份证号)").fetchall()
    assert met == [(0,)]
    real = [stage.bindings(a)[0]["real"]["digest"] for a in (shared[0],)]
    assert real[0] != mine.digest


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.jail
def test_a_merchant_reads_the_rows_that_the_levels_allow(stage: Stage, shared: tuple[str, str], name: str) -> None:
    found = stage.read(shared[1], f"SELECT * FROM \"{name}\" WHERE 区 = '东区' ORDER BY 费用 LIMIT 5")
    assert found.table.num_rows == 5 and found.touched == (name,)
    assert set(found.table.column_names) == {"区", "就诊日", "费用", "身份证号"}
    event = stage.world.events("rows:read")[-1]
    assert event.facts["tables"] == [name] and event.facts["rows"] == 5
    with stage.world.by(stage.world.merchant) as unit:
        kept = reading.history(unit, shared[1])[0]
    assert (kept.outcome, kept.rows, kept.tables) == ("ok", 5, [name])
    assert "东区" in kept.text


@pytest.mark.jail
@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ('SELECT 诊断 FROM "{name}"', "query.failed"),
        ("SELECT * FROM read_parquet('/granted/0.parquet')", "query.refused"),
        ('CREATE TABLE t AS FROM "{name}"', "query.refused"),
        ('WITH x AS (DELETE FROM "{name}" RETURNING *) SELECT * FROM x', "query.refused"),
        ("SELECT CAST(身份证号 AS INTEGER) FROM \"{name}\"", "query.bad_value"),
        ('COPY "{name}" TO \'x.csv\'', "query.refused"),
    ],
)  # fmt: skip
def test_what_is_refused_says_nothing_of_the_data(
    stage: Stage, shared: tuple[str, str], name: str, sql: str, code: str
) -> None:
    with pytest.raises(UserError) as refused:
        stage.read(shared[1], sql.replace("{name}", name))
    assert refused.value.code == code
    said = f"{refused.value.text} {refused.value.fix} {refused.value.detail}"
    assert pseudonyms.PREFIX not in said and "Exception" not in said and "Error" not in said


@pytest.mark.jail
def test_answers_are_cut_at_the_limits(stage: Stage, shared: tuple[str, str], name: str) -> None:
    with stage.world.system() as unit:
        policy = reading.limits(unit)
    found = stage.read(shared[1], f'FROM "{name}"')
    assert found.truncated and found.table.num_rows == policy.rows_per_answer
    with pytest.raises(LimitExceeded, match="too_big"):
        stage.read(shared[1], f"SELECT string_agg(repeat(身份证号, 20), ',') FROM \"{name}\"")


@pytest.mark.jail
def test_rows_and_statements_of_a_day_run_out(stage: Stage, table: str, name: str) -> None:
    workspace = stage.world.workspace(stage.active(table))
    with stage.world.system() as unit:
        policy = reading.limits(unit)
    for _ in range(policy.rows_per_day // policy.rows_per_answer):
        stage.read(workspace, f'FROM "{name}"')
    with pytest.raises(LimitExceeded, match="used_up"):
        stage.read(workspace, f'FROM "{name}"')
    with stage.world.by(stage.world.merchant) as unit:
        assert [t.rows_left for t in reading.tables(unit, workspace)] == [0]
        while reading.statements_since(unit.session, workspace, unit.now - reading.DAY) < policy.statements_per_day:
            reading._record(unit, workspace, "SELECT 1", "ok", None, {}, 0.0)
            unit.session.flush()
    with pytest.raises(LimitExceeded, match="statements"):
        stage.read(workspace, "SELECT 1")


@pytest.mark.jail
def test_real_rows_need_the_strong_tier_or_a_decision(stage: Stage, shared: tuple[str, str]) -> None:
    with stage.world.system() as unit:
        tiers.record(unit, {"tier": tiers.MEDIUM, "attacks": []})
    try:
        with pytest.raises(Unavailable):
            stage.read(shared[1], "SELECT 1")
    finally:
        with stage.world.system() as unit:
            tiers.record(unit, {"tier": tiers.STRONG, "attacks": []})


def test_nobody_else_reads(stage: Stage, shared: tuple[str, str]) -> None:
    world = stage.world
    for who, why in ((world.stranger, OutOfReach), (world.operator, NotPermitted), (world.auditor, NotPermitted)):
        with pytest.raises(why):
            reading.read(world.platform, stage.broker, who, shared[1], "SELECT 1")


def test_a_column_that_is_graded_higher_later_stops_the_reading(stage: Stage) -> None:
    resource = stage.table({"区": 1, "费用": 2})
    workspace = stage.world.workspace(stage.active(resource, columns=("区", "费用")))
    stage.world.deliver(resource, stage.world.department)
    stage.world.take_in(resource, columns={"区": 1, "费用": 4})
    stage.world.publish(resource)
    with stage.world.by(stage.world.merchant) as unit:
        told = reading.tables(unit, workspace)[0].withheld
    assert told is not None and "分级已提高" in told.zh
    with pytest.raises(InvalidTransition, match="nothing"):
        stage.read(workspace, "SELECT 1")


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.jail
def test_an_end_stops_what_runs_and_leaves_nothing_but_a_record(stage: Stage, table: str, name: str) -> None:
    application = stage.active(table)
    workspace = stage.world.workspace(application)
    stage.read(workspace, f'SELECT count(*) FROM "{name}"')
    assert (stage.home.workspaces_root / workspace / "real").exists()
    gone = [m["digest"] for m in stage.bindings(application)[0].values()]
    ends: list[UserError] = []

    def endless() -> None:
        with pytest.raises(UserError) as stopped:
            stage.read(workspace, ENDLESS.replace("门诊", f'"{name}"'))
        ends.append(stopped.value)

    ask, asked = stage.broker.permit, threading.Event()

    def tell(workspace_id: str) -> None:
        assert ask is not None
        ask(workspace_id)
        asked.set()

    stage.broker.permit = tell
    running = threading.Thread(target=endless)
    running.start()
    assert asked.wait(30)
    stage.broker.permit = ask
    stage.stand(application, "revoke")
    assert ending.stop_ended(stage.world.platform, stage.broker) >= 1
    running.join(20)
    assert [e.code for e in ends] == ["rows.ended"]
    stage.work()
    own = set(gone) - _others(stage, application)
    assert [p for p in stage.home.snapshots_root.iterdir() if any(d in p.name for d in own)] == []
    assert not pseudonyms.key_file(stage.home.keys_root, application).exists()
    assert not (stage.home.workspaces_root / workspace / "real").exists()
    with stage.world.by(stage.world.auditor) as unit:
        record = applications.read(unit, application)
        granted = records.grants(unit.session, application)[0]
    assert granted.disposal is not None and record.disposal is not None
    rows = granted.disposal["rows"]
    assert (rows["gone"], rows["rows"], len(rows["sha256"]), rows["bytes"] > 0) == (True, PEOPLE, 64, True)
    assert record.disposal["pseudonym_key"] == {"gone": True}
    assert record.disposal["folders"][0]["gone"] is True
    assert stage.world.events("grant:dispose")[-1].facts["digests"]


def _others(stage: Stage, application: str) -> set[str]:
    with stage.world.system() as unit:
        return records.snapshot_digests(unit.session, except_application=application)


@pytest.mark.jail
def test_nothing_runs_between_the_permission_and_the_end(stage: Stage, table: str, name: str) -> None:
    """The grant ends while the statement waits for its worker: on real rows and on the twin nothing is sent."""
    application = stage.active(table)
    workspace = stage.world.workspace(application)
    ask, asked = stage.broker.permit, []

    def end_first(workspace_id: str) -> None:
        asked.append(workspace_id)
        stage.stand(application, "suspend")
        assert ask is not None
        ask(workspace_id)

    stage.broker.permit = end_first
    try:
        with pytest.raises(InvalidTransition, match="ended"):
            stage.read(workspace, f'FROM "{name}"')
        with stage.world.by(stage.world.operator) as unit:
            applications.stand(unit, application, "resume", "查清")
        with pytest.raises(InvalidTransition, match="ended"):
            develop.query(stage.world.platform, stage.broker, stage.world.merchant, workspace, f'FROM "{name}"')
    finally:
        stage.broker.permit = ask
    assert asked == [workspace, workspace]
    digests = [m["digest"] for m in stage.bindings(application)[0].values()]
    assert all((stage.home.snapshots_root / d).exists() for d in digests), "suspended: the bytes stay"
    with pytest.raises(NotPermitted):
        stage.read(workspace, f'FROM "{name}"')


@pytest.mark.jail
def test_a_disposal_ends_a_jail_that_nobody_else_ended(stage: Stage, table: str, name: str) -> None:
    application = stage.active(table, rows=[{"column": "区", "op": "in", "values": ["南区"]}])
    workspace = stage.world.workspace(application)
    stage.read(workspace, f'SELECT count(*) FROM "{name}"')
    digests = [m["digest"] for m in stage.bindings(application)[0].values()]
    assert ending._holders(digests) != []
    assert ending.end_holders(digests, grace=0.2) >= 1
    assert ending._holders(digests) == []


@pytest.mark.parametrize("broken_off_after", ["set_aside", "dispose", "destroy"])
def test_a_disposal_that_was_broken_off_is_taken_up_again(
    stage: Stage, table: str, broken_off_after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = stage.active(table, rows=[{"column": "区", "op": "in", "values": ["北区"]}])
    gone = [m["digest"] for m in stage.bindings(application)[0].values()]
    module = pseudonyms if broken_off_after == "destroy" else snapshot
    real = getattr(module, broken_off_after)

    def then_killed(*arguments: Any) -> Any:
        real(*arguments)
        raise Unavailable("test.killed", MARKED)

    from policies.text import Text

    MARKED = Text("断电", "power cut")
    stage.stand(application, "revoke")
    with monkeypatch.context() as patch:
        patch.setattr(module, broken_off_after, then_killed)
        stage.work()
    with stage.world.system() as unit:
        assert records.grants(unit.session, application)[0].ended_at is None
        assert application in applications.undisposed(unit)
    stage.work()
    with stage.world.system() as unit:
        granted = records.grants(unit.session, application)[0]
        assert applications.undisposed(unit) == []
    assert granted.disposal is not None
    for binding, facts in granted.disposal.items():
        assert facts["sha256"] and (facts["gone"] or facts["shared"]), binding
    assert not any((stage.home.snapshots_root / d).exists() for d in gone if d not in _others(stage, application))


def test_a_shared_snapshot_outlives_the_first_of_its_grants(stage: Stage, table: str) -> None:
    rows = [{"column": "区", "op": "in", "values": ["南区"]}, {"column": "费用", "op": "in", "values": ["1"]}]
    first, second = stage.active(table, rows=rows), stage.active(table, rows=rows)
    one, two = stage.bindings(first)[0], stage.bindings(second)[0]
    assert one["real"]["digest"] == two["real"]["digest"] and one["rows"]["digest"] != two["rows"]["digest"]
    stage.stand(first, "revoke")
    stage.work()
    with stage.world.system() as unit:
        disposal = records.grants(unit.session, first)[0].disposal
    assert disposal is not None
    assert (disposal["real"]["shared"], disposal["real"]["gone"], disposal["rows"]["gone"]) == (True, False, True)
    assert snapshot.verify(snapshot.load(stage.home.snapshots_root, two["real"]["digest"]))


def test_grants_are_built_once_only_for_a_signed_application(stage: Stage, table: str) -> None:
    application = stage.active(table)
    stage.stand(application, "revoke")
    stage.work()
    with stage.world.system() as unit:
        unit.enqueue("grant", "application", application)
    stage.work()
    assert not pseudonyms.key_file(stage.home.keys_root, application).exists()


# --- as people meet it ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app(stage: Stage) -> Any:
    from api.app import create_app

    return create_app(stage.world.platform, stage.broker, dict)


@pytest.mark.jail
def test_the_api_tells_what_may_be_read_and_gives_marked_rows(
    stage: Stage, app: Any, shared: tuple[str, str], name: str
) -> None:
    from fastapi.testclient import TestClient

    def caller(login: str) -> TestClient:
        return TestClient(app, headers={"authorization": f"Bearer {stage.world.token(login)}"})

    place = f"/api/v1/workspaces/{shared[1]}/data"
    told = caller("merchant").get(place).json()
    assert [(t["name"], t["withheld"]) for t in told] == [(name, None)]
    uses = {c["name"]: c["use"] for c in told[0]["columns"]}
    assert uses == {"区": "rows", "费用": "rows", "就诊日": "rows", "身份证号": "pseudonyms", "诊断": "jobs"}
    found = caller("merchant").post(place, json={"sql": f'SELECT 身份证号, 区 FROM "{name}" LIMIT 3'}).json()
    assert found["label"] == "授权数据·不得出域" and found["row_count"] == 3
    assert all(re.fullmatch(pseudonyms.PATTERN, row[0]) for row in found["rows"])
    assert caller("stranger").post(place, json={"sql": "SELECT 1"}).status_code == 404
    assert caller("operator").post(place, json={"sql": "SELECT 1"}).status_code == 403


@pytest.mark.jail
def test_the_portal_shows_how_each_column_is_read_and_the_rows_with_their_mark(
    stage: Stage, app: Any, shared: tuple[str, str], name: str
) -> None:
    merchant = Person(app, "merchant")
    seen = words_of(merchant.get(f"/workspaces/{shared[1]}?tab=data").text)
    for said in ("化名可读", "仅限作业", "4 级，可用不可见", "只能查看，不能下载", "化名只替换直接标识"):
        assert said in seen
    answer = merchant.post(f"/workspaces/{shared[1]}/data", sql=f'SELECT 身份证号 AS 人 FROM "{name}" LIMIT 2')
    assert answer.status_code == 200
    assert "授权数据·不得出域" in words_of(answer.text) and len(re.findall(pseudonyms.PATTERN, answer.text)) == 2
    refused = merchant.post(f"/workspaces/{shared[1]}/data", sql="DROP TABLE x")
    assert "真实数据上只运行 SELECT" in words_of(refused.text)
    operator = Person(app, "operator").get(f"/workspaces/{shared[1]}?tab=data").text
    assert "化名可读" in words_of(operator) and "AS 人" not in operator, "statements are the merchant's"


def test_who_decides_sees_the_rows_asked_for_and_the_auditor_what_is_gone(stage: Stage, app: Any, table: str) -> None:
    rows = [{"column": "区", "op": "in", "values": ["东区", "西区"]}]
    application = stage.active(table, rows=rows)
    for login in ("department", "operator"):
        assert "“区”是其中之一：东区、西区" in words_of(Person(app, login).get(f"/applications/{application}").text)
    stage.stand(application, "revoke")
    stage.work()
    seen = words_of(Person(app, "auditor").get(f"/applications/{application}").text)
    for said in ("数据销毁记录", "可读数据", "化名密钥", "已销毁"):
        assert said in seen


def test_the_form_takes_conditions_and_gives_them_back(stage: Stage, app: Any, table: str) -> None:
    merchant = Person(app, "merchant")
    merchant.get("/applications/new")
    sent = {
        "scenario": "行条件表单", "purpose": "x", "product_form": "aggregate", "audience": "public", "term_months": "3",
        **{f"use.{table}.{n}": "1" for n in (1, 2)}, **{f"why.{table}.{n}": "需要" for n in (1, 2)},
        f"row.{table}.0": "1", f"op.{table}.0": "in", f"values.{table}.0": "东区，西区",
    }  # fmt: skip
    place = merchant.press("/applications", **sent)
    with stage.world.by(stage.world.merchant) as unit:
        asked = applications.read(unit, place.rpartition("/")[2]).requested[table]
    assert asked["rows"] == [{"column": "区", "op": "in", "values": ["东区", "西区"]}]
    assert 'value="东区，西区"' in merchant.get(f"{place}/edit").text
    again = merchant.post("/applications", **sent | {f"row.{table}.0": "0", "scenario": "另一个"})
    assert again.status_code == 422 and "不在申请的字段中" in words_of(again.text)
