"""Aggregate previews of granted real data: what may be asked, what comes back, and what stays behind.

Real lake, real jobs, real broker and jails; only the clock is set.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from sandbox.catalog import repository as catalogue
from sandbox.catalog import twins
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.errors import BadInput, InvalidTransition, LimitExceeded, NotPermitted, OutOfReach, UserError
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from sandbox.lake import Lake
from sandbox.workspaces import ending, preview, repository, selftest, snapshot
from sandbox.workspaces.broker import Broker, Mode, WorkspaceMount
from sandbox.workspaces.preview import Wanted
from sandbox.workspaces.preview_record import NOT_RUN
from tests.conftest import MONDAY
from tests.factories import World
from tests.integration.test_reading import LIMITS, Stage
from tests.pages import Person, words_of

COLUMNS = {"身份证号": 3, "区": 1, "性别": 2, "费用": 2, "补贴": 2, "诊断": 4, "就诊日": 2}
TYPES = {"费用": "decimal", "补贴": "decimal", "就诊日": "date"}
AREAS = """
    SELECT '东区' AS 区, 4 AS every, range AS who FROM range(400)      -- 100 people with four visits each
    UNION ALL SELECT '西区', 1, 1000 + range FROM range(43)            -- one of 43 pays for nearly everything
    UNION ALL SELECT '南区', 1, 2000 + range FROM range(29)            -- one person too few
    UNION ALL SELECT '北区', 60, 3000 + range FROM range(600)          -- ten people with sixty visits each
    UNION ALL SELECT NULL, 1, 4000 + range FROM range(31)              -- no area known
"""


def visits(prefix: str) -> pa.Table:
    """One row a visit; a quarter of the east's people have a subsidy on record."""
    return duckdb.sql(
        f"SELECT '{prefix}' || lpad((who - who % every)::VARCHAR, 12, '0') AS 身份证号, 区,"
        " CASE WHEN (who // every) % 2 = 0 THEN '女' ELSE '男' END AS 性别,"
        " CAST(CASE WHEN who = 1000 THEN 1000000 ELSE 123.45 END AS DECIMAL(18, 2)) AS 费用,"
        " CAST(CASE WHEN 区 = '东区' AND who < 100 THEN 50 END AS DECIMAL(18, 2)) AS 补贴,"
        f" 'F' || (who % 20) AS 诊断, DATE '2026-01-01' + (who % 60)::INTEGER AS 就诊日 FROM ({AREAS})"
    ).to_arrow_table()


def granted(stage: Stage, levels: dict[str, int] | None = None, *, columns: tuple[str, ...] = (), **more: Any) -> str:
    """A workspace whose one grant is a table of visits; `columns`: those granted."""
    world, levels = stage.world, levels or COLUMNS
    resource = world.delivered()
    world.take_in(resource, columns=levels, uplifts=more.pop("uplifts", None))
    with world.system() as unit:
        for column in catalogue.columns(unit.session, resource, 1):
            column.type = TYPES.get(column.name, "text")
    world.publish(resource)
    lake = Lake(stage.home.lake_root)
    for kind, prefix in (("typed", "440100"), ("simulated", "999999")):
        lake.write(f"{resource}/{kind}", visits(prefix).to_reader(), mode="overwrite", facts={}, once="once")
    with world.system() as unit:
        twins.record(unit, resource, None, world.made(unit, resource))
    return world.workspace(stage.active(resource, columns=columns or tuple(levels), **more))


def only_table(stage: Stage, workspace: str) -> preview.PreviewTable:
    with stage.world.by(stage.world.merchant) as unit:
        return preview.tables(unit, workspace)[0]


def without_key(stage: Stage, workspace: str) -> None:
    """Its table is registered without the key of an entity."""
    resource = only_table(stage, workspace).grant.resource_id
    with stage.world.system() as unit:
        catalogue.get(unit.session, resource).subjects = {"entities": {}}


def ask(stage: Stage, workspace: str, groups: list[str], measures: list[tuple[str, str]], *conditions: Any) -> Any:
    wanted = Wanted(only_table(stage, workspace).name, groups, measures, conditions)
    return preview.preview(stage.world.platform, stage.broker, stage.world.merchant, workspace, wanted)


def records(stage: Stage, workspace: str) -> list[preview.Recorded]:
    with stage.world.by(stage.world.operator) as unit:
        return preview.history(unit, workspace)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("preview")
    shutil.copy(sqlite_template, home / "metadata.sqlite")
    platform = Platform(Settings(home=home), FixedClock(MONDAY))
    broker = Broker(selftest.selftest(), LIMITS, capacity_mb=8 * LIMITS.memory_mb, running=4)
    broker.permit = ending.permit(platform)
    yield Stage(World.settle(platform), broker)
    broker.close()
    platform.database.dispose()


@pytest.fixture(scope="module")
def shared(stage: Stage) -> str:
    """A workspace for tests that only look."""
    return granted(stage)


# --- what comes back --------------------------------------------------------------------------------------------------


@pytest.mark.jail
def test_large_groups_are_shown_in_round_figures_and_small_ones_not_at_all(stage: Stage, shared: str) -> None:
    found = ask(stage, shared, ["区"], [("rows", ""), ("entities", ""), ("mean", "费用"), ("sum", "补贴")])
    assert found.columns == ("区", "行数", "主体数", "费用·均值", "补贴·合计")
    assert {row[0]: row[1:] for row in found.rows} == {
        "东区": (400, 100, 123.0, None),  # 25 people with a subsidy are too few for its sum
        "西区": (40, 40, None, None),  # one person has nearly all of the cost
        None: (30, 30, 123.0, None),
    }, "the south's 29 people and the north's ten are not there, whatever number of rows they have"


@pytest.mark.jail
def test_conditions_are_values_whatever_they_say(stage: Stage, shared: str) -> None:
    east = {"column": "区", "op": "in", "values": ["东区", "' OR 1=1 --"]}
    days = {"column": "就诊日", "op": "between", "values": ["2026-01-01", "2026-03-01"]}
    cost = {"column": "费用", "op": "<=", "values": ["123.45"]}
    found = ask(stage, shared, ["区", "性别"], [("rows", "")], east, days, cost)
    assert found.rows == (("东区", "女", 200), ("东区", "男", 200))
    assert ask(stage, shared, ["区"], [("rows", "")], east | {"values": ["没有"]}).rows == ()


# --- what may be asked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "measures", "condition", "why"),
    [
        (["身份证号"], [("rows", "")], None, "主体标识"),
        (["诊断"], [("rows", "")], None, "级别过高"),
        (["区"], [("mean", "诊断")], None, "级别过高"),
        (["区"], [("sum", "身份证号")], None, "主体标识"),
        (["区"], [("rows", "")], ("诊断", "in", ["F1"]), "级别过高"),
        (["区"], [("rows", "")], ("身份证号", "in", ["440100"]), "主体标识"),
        (["没有"], [("rows", "")], None, "没有授权列"),
        (["区"], [("sum", "性别")], None, "不是数值列"),
        (["区"], [("median", "费用")], None, "指标只能是"),
        (["区"], [("rows", "费用")], None, "指标只能是"),
        (["区"], [("mean", "")], None, "指标只能是"),
        ([], [("rows", "")], None, "分组列"),
        (["区", "区"], [("rows", "")], None, "分组列"),
        (["区", "性别", "就诊日", "费用"], [("rows", "")], None, "分组列"),
        (["区"], [], None, "指标"),
        (["区"], [("rows", "")], ("费用", ">=", ["1; DROP TABLE x"]), "不符合"),
        (["区"], [("rows", "")], ("费用", "OR 1=1", ["1"]), "运算"),
        (["区\" FROM x --"], [("rows", "")], None, "没有授权列"),
    ],
)  # fmt: skip
def test_what_a_question_may_not_name(
    stage: Stage, shared: str, groups: Any, measures: Any, condition: Any, why: str
) -> None:
    given = [dict(zip(("column", "op", "values"), condition, strict=True))] if condition else []
    before = only_table(stage, shared).left
    with pytest.raises(BadInput) as refused:
        ask(stage, shared, groups, measures, *given)
    assert why in refused.value.text.zh
    assert only_table(stage, shared).left == before, "what never ran counts for nothing"


@pytest.mark.parametrize(
    ("levels", "more", "why"),
    [
        (COLUMNS, {"uplifts": {"GRD-UP-01": 4}}, "整表"),
        (COLUMNS, {"columns": ("区", "费用")}, "主体标识列未获授权"),
        (COLUMNS, {"rows": [{"column": "诊断", "op": "in", "values": ["F1"]}]}, "行条件依据“诊断”"),
        ({"身份证号": 3, "区": 4, "费用": 4}, {}, "没有可预览的列"),
        (COLUMNS, {"uplifts": {"GRD-UP-01": 3}}, None),
    ],
    ids=["table-is-4", "no-key-granted", "rows-chosen-by-4", "nothing-but-4", "table-is-3"],
)
def test_which_tables_may_be_asked(stage: Stage, levels: Any, more: Any, why: str | None) -> None:
    workspace = granted(stage, levels, **more)
    told = only_table(stage, workspace).withheld
    assert (told is None) if why is None else (told is not None and why in told.zh)
    if why is not None:
        with pytest.raises(InvalidTransition, match="withheld"):
            ask(stage, workspace, ["区"], [("rows", "")])


@pytest.mark.jail
def test_a_table_without_a_registered_key_is_counted_by_rows(stage: Stage) -> None:
    workspace = granted(stage, {"区": 1, "费用": 2})
    without_key(stage, workspace)
    found = ask(stage, workspace, ["区"], [("rows", ""), ("mean", "费用")])
    assert {row[0]: row[1] for row in found.rows} == {"东区": 400, "西区": 40, "北区": 600, None: 30}
    assert next(row[2] for row in found.rows if row[0] == "西区") is None, "one row has most of the sum"
    with pytest.raises(BadInput) as refused:
        ask(stage, workspace, ["区"], [("entities", "")])
    assert "未登记主体标识" in refused.value.text.zh


def test_a_column_graded_higher_since_may_no_longer_be_asked(stage: Stage) -> None:
    workspace = granted(stage)
    resource = only_table(stage, workspace).grant.resource_id
    stage.world.deliver(resource, stage.world.department)
    stage.world.take_in(resource, columns=COLUMNS | {"性别": 4})
    stage.world.publish(resource)
    with pytest.raises(BadInput) as refused:
        ask(stage, workspace, ["性别"], [("rows", "")])
    assert "级别过高" in refused.value.text.zh


def test_nobody_else_asks(stage: Stage, shared: str) -> None:
    world, wanted = stage.world, Wanted("x", ["区"], [("rows", "")])
    for who, why in ((world.stranger, OutOfReach), (world.operator, NotPermitted), (world.officer, NotPermitted)):
        with pytest.raises(why):
            preview.preview(world.platform, stage.broker, who, shared, wanted)


# --- what stays behind ------------------------------------------------------------------------------------------------


@pytest.mark.jail
def test_every_question_is_on_record_without_its_answer_and_the_day_runs_out(stage: Stage) -> None:
    workspace = granted(stage)
    most = only_table(stage, workspace).left
    ask(stage, workspace, ["区"], [("rows", ""), ("mean", "费用")])
    stage.world.advance(minutes=1)
    ask(stage, workspace, ["区"], [("rows", "")], {"column": "性别", "op": "in", "values": ["女"]})
    second, first = records(stage, workspace)
    assert (first.record.outcome, first.record.shown, first.differs) == ("ok", 3, None)
    assert [t.zh for t in second.differs or []] == ["+ “性别”是其中之一：女", "− 费用·均值"]
    facts = stage.world.events("rows:preview")[-2].facts
    assert facts["groups"] == ["区"] and facts["measures"] == [["rows", ""], ["mean", "费用"]] and facts["shown"] == 3
    last = stage.world.events("rows:preview")[-1].facts
    assert last["conditions"] == [["性别", "in"]], "values are not for the chain"
    kept = f"{first.record.asked} {facts}"
    assert "123" not in kept and "400" not in kept and "东区" not in kept, "no figure and no group"
    with stage.world.by(stage.world.merchant) as unit:
        table = preview.tables(unit, workspace)[0]
        for number in range(most - 2):
            made = preview.Preview(
                id=f"prv-{number}", workspace_id=workspace, grant_id=table.grant.id, account_id=unit.actor.id,
                at=unit.now, table_name=table.name, asked=first.record.asked, edition="2026-01", outcome="failed",
                shown=0, milliseconds=0,
            )  # fmt: skip
            unit.session.add(made)
    with pytest.raises(LimitExceeded, match="used_up"):
        ask(stage, workspace, ["区"], [("rows", "")])
    stage.world.advance(hours=24, seconds=1)
    assert only_table(stage, workspace).left == most


@pytest.mark.jail
def test_the_process_of_a_preview_is_its_own_and_ends_with_it(stage: Stage) -> None:
    """Also where everything granted may be read, so that reading mounts the very same bytes."""
    workspace = granted(stage, {"区": 1, "费用": 2})
    without_key(stage, workspace)
    table = only_table(stage, workspace)
    bindings = table.grant.snapshot or {}
    assert bindings["real"]["digest"] == bindings["rows"]["digest"]
    stage.read(workspace, f'SELECT 区 FROM "{table.name}" LIMIT 1')
    reader = stage.broker._workers[workspace, "real"]
    seen: list[Any] = []
    permit = stage.broker.permit

    def note(asked: str) -> None:
        seen.append(stage.broker._workers[asked, "real"])
        assert permit is not None
        permit(asked)

    stage.broker.permit = note
    try:
        ask(stage, workspace, ["区"], [("rows", "")])
        assert (workspace, "real") not in stage.broker._workers, "nothing is left that a later statement could meet"
        stage.read(workspace, f'SELECT 区 FROM "{table.name}" LIMIT 1')
    finally:
        stage.broker.permit = permit
    pids = {w.jailed.process.pid for w in (reader, *seen)}
    assert len(seen) == 2 and len(pids) == 3
    assert seen[0].jailed.process.poll() is not None
    assert list((stage.home.workspaces_root / workspace).glob(f"{ending.PREVIEW}*")) == []


@pytest.mark.jail
@pytest.mark.parametrize("tables", ["equal", "other"])
def test_a_mount_for_one_statement_never_meets_a_worker_that_lives(
    stage: Stage, shared: str, tmp_path: Path, tables: str
) -> None:
    """The broker's promise, whatever is mounted: before, during and after."""
    place = snapshot.load(
        stage.home.snapshots_root, (only_table(stage, shared).grant.snapshot or {})["real"]["digest"]
    ).path
    lasting = WorkspaceMount(shared, Mode.REAL, tmp_path / "lasting", {"t": place}, quota_mb=512)
    once = WorkspaceMount(
        shared, Mode.REAL, tmp_path / "once", {"t" if tables == "equal" else "u": place}, quota_mb=512, once=True
    )
    stage.broker.query(lasting, "SELECT 1")
    before = stage.broker._workers[shared, "real"].jailed.process.pid
    stage.broker.query(once, "SELECT 1")
    assert (shared, "real") not in stage.broker._workers
    stage.broker.query(lasting, "SELECT 1")
    assert stage.broker._workers[shared, "real"].jailed.process.pid != before
    stage.broker.stop(shared)


@pytest.mark.jail
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_grant_that_ends_stops_the_question(stage: Stage, when: str) -> None:
    workspace = granted(stage)
    application = _application(stage, workspace)
    permit, query = stage.broker.permit, stage.broker.query

    def end_first(asked: str) -> None:
        stage.stand(application, "suspend")
        assert permit is not None
        permit(asked)

    def end_after(*asked: Any, **more: Any) -> Any:
        answer = query(*asked, **more)
        stage.stand(application, "suspend")
        return answer

    if when == "before":
        stage.broker.permit = end_first
    else:
        stage.broker.query = end_after  # type: ignore[method-assign]
    try:
        with pytest.raises(UserError, match="ended"):
            ask(stage, workspace, ["区"], [("rows", "")])
    finally:
        stage.broker.permit = permit
        stage.broker.query = query  # type: ignore[method-assign]
    assert [r.record.outcome for r in records(stage, workspace)] == [NOT_RUN if when == "before" else "ended"]
    with pytest.raises(UserError):
        ask(stage, workspace, ["区"], [("rows", "")])


def _application(stage: Stage, workspace: str) -> str:
    with stage.world.system() as unit:
        return repository.get(unit.session, workspace).application_id


@pytest.mark.jail
def test_what_a_crash_left_of_a_preview_goes_with_the_grant(stage: Stage) -> None:
    workspace = granted(stage)
    left = stage.home.workspaces_root / workspace / f"{ending.PREVIEW}x"
    (left / "real").mkdir(parents=True)
    (left / "real" / "spilled").write_bytes(b"rows")
    stage.stand(_application(stage, workspace), "revoke")
    stage.work()
    assert not left.exists()


# --- over HTTP and in the portal --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app(stage: Stage) -> Any:
    from api.app import create_app

    return create_app(stage.world.platform, stage.broker, dict)


@pytest.mark.jail
def test_the_api_answers_and_lists(stage: Stage, app: Any, shared: str) -> None:
    def caller(login: str) -> TestClient:
        return TestClient(app, headers={"authorization": f"Bearer {stage.world.token(login)}"})

    place, name = f"/api/v1/workspaces/{shared}", only_table(stage, shared).name
    body = {"table": name, "groups": ["区"], "measures": [{"kind": "rows"}, {"kind": "mean", "column": "费用"}],
            "conditions": [{"column": "区", "op": "in", "values": ["东区", "南区"]}]}  # fmt: skip
    found = caller("merchant").post(f"{place}/preview", json=body).json()
    assert (found["label"], found["columns"]) == ("汇总预览·不得出域", ["区", "行数", "费用·均值"])
    assert (found["rows"], found["more"]) == ([["东区", 400, 123.0]], False)
    assert caller("merchant").post(f"{place}/preview", json=body | {"groups": ["诊断"]}).status_code == 422
    assert caller("merchant").post(f"{place}/preview", json=body | {"sql": "SELECT 1"}).status_code == 422
    assert caller("stranger").post(f"{place}/preview", json=body).status_code == 404
    assert caller("operator").post(f"{place}/preview", json=body).status_code == 403
    listed = caller("operator").get(f"{place}/previews").json()[0]
    assert (listed["table"], listed["shown"], listed["outcome"]) == (name, 1, "ok")
    assert "rows" not in listed and listed["asked"]["groups"] == ["区"]
    assert caller("stranger").get(f"{place}/previews").status_code == 404


@pytest.mark.jail
def test_the_portal_asks_and_says_what_it_does_not_protect(stage: Stage, app: Any, shared: str) -> None:
    merchant, place = Person(app, "merchant"), f"/workspaces/{shared}"
    seen = words_of(merchant.get(f"{place}?tab=data").text)
    for said in ("汇总预览", "小组不显示也不计入任何合计", "两次结果相减可能透露更多", "不是出域产品"):
        assert said in seen
    form = {"table": only_table(stage, shared).name, "group_1": "区", "measure_1": "rows:", "measure_2": "mean:费用"}
    answer = merchant.post(f"{place}/preview", **form)
    shown = words_of(answer.text)
    assert answer.status_code == 200 and "汇总预览·不得出域" in shown and "不显示" in shown
    result, _, _record = shown.partition("预览记录")
    assert "西区" in result and "南区" not in result and "北区" not in result
    some = {"column_1": "区", "op_1": "in", "values_1": "东区、西区"}
    merchant.post(f"{place}/preview", **form | some)
    refused = merchant.post(f"{place}/preview", **form | some | {"op_1": ">", "values_1": "东区"})
    assert refused.status_code == 422 and "运算" in words_of(refused.text) and 'value="东区"' in refused.text
    operator = words_of(Person(app, "operator").get(f"{place}?tab=data").text)
    assert "预览记录" in operator and "“区”是其中之一：东区、西区" in operator and "预览结果" not in operator
