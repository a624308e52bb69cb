"""The ledger of use, quotas and statements on both databases."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from api.app import create_app
from sandbox.applications import repository as application_records
from sandbox.applications import service as applications
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition, NotPermitted, OutOfReach
from sandbox.workspaces import billing, metering, metering_record, quotas, repository, service
from sandbox.workspaces.broker import Broker
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.metering import QuotaExhausted
from sandbox.workspaces.selftest import SelfTest, selftest
from sandbox.workspaces.usage import Usage
from tests.factories import World

MINUTE = Usage(60.0, 1024.0)


def _use(world: World, workspace_id: str, kind: metering.Kind = "query", usage: Usage = MINUTE, **counts: int) -> None:
    with world.system() as unit:
        metering.record(unit, workspace_id, kind, usage, **counts)


def _today(world: World, workspace_id: str) -> dict[str, quotas.Standing]:
    with world.by(world.merchant) as unit:
        return metering.today(unit, workspace_id)


# -- the ledger


def test_same_use_is_counted_once(any_world: World) -> None:
    place = any_world.workspace()
    for _again in range(3):
        with any_world.system() as unit:
            metering.record(unit, place, "script", Usage(1.5, 300.25), subject="stm_one", rows=7)
    with any_world.by(any_world.merchant) as unit:
        (day,) = metering.days(unit, place, "2026-03-01", "2026-03-31").values()
    assert (day.counts, day.cpu_us, day.memory_mb_ms, day.rows) == ({"script": 1}, 1_500_000, 300_250, 7)


@pytest.mark.parametrize("change", ["UPDATE use_entry SET cpu_us = 0", "DELETE FROM use_entry"])
def test_ledger_takes_no_change(any_world: World, change: str) -> None:
    place = any_world.workspace()
    _use(any_world, place)
    with pytest.raises(DatabaseError, match="append-only"), any_world.platform.database.transaction() as session:
        session.execute(text(change))


def test_what_is_not_recorded_leaves_nothing(any_world: World) -> None:
    """Outcome and use are one transaction: when it fails neither is there."""
    place = any_world.workspace()
    with pytest.raises(BadInput), any_world.system() as unit:
        metering.record(unit, place, "query", MINUTE)
        service.change(unit, place, "no such step")
    assert _today(any_world, place)["queries"].used == 0


def test_use_belongs_to_the_citys_day_in_which_it_ended(world: World) -> None:
    place = world.workspace()
    _use(world, place)
    world.advance(hours=15)  # 24:00 in the city
    assert _today(world, place)["cpu"].used == 0
    _use(world, place, "script")
    with world.by(world.merchant) as unit:
        found = metering.days(unit, place, "2026-03-02", "2026-03-03")
    assert {day: one.counts for day, one in found.items()} == {"2026-03-02": {"query": 1}, "2026-03-03": {"script": 1}}


@pytest.mark.parametrize(
    ("seconds", "mb_seconds", "charged"),
    [(0.0, 0, 10), (9.9, 100, 10), (10.1, 100, 60), (59, 100, 60), (61, 0, 600), (601, 0, 1800), (9000, 0, 1800),
     (1, 10 * 4096 + 1, 60)],
)  # fmt: skip
def test_run_is_charged_by_its_step_and_tells_no_more(
    world: World, seconds: float, mb_seconds: float, charged: int
) -> None:
    place = world.workspace()
    _use(world, place, "run", Usage(seconds, mb_seconds))
    with world.system() as unit:
        day = metering_record.totals(unit.session, "day", workspace_id=place)["2026-03-02"]
    assert (day.cpu_us, day.memory_mb_ms) == (charged * 1_000_000, charged * 1000 * 1024)
    assert day.measured_cpu_us == round(seconds * 1_000_000)


def test_use_is_for_the_merchant_the_operator_and_the_auditor(any_world: World) -> None:
    place = any_world.workspace()
    for who in (any_world.merchant, any_world.operator, any_world.auditor):
        with any_world.by(who) as unit:
            metering.today(unit, place)
    with pytest.raises(OutOfReach), any_world.by(any_world.stranger) as unit:
        metering.today(unit, place)
    with pytest.raises(NotPermitted), any_world.by(any_world.department) as unit:
        billing.statement(unit, place, "2026-03")


# -- storage


def test_storage_is_what_was_there_times_how_long_split_at_midnight(any_world: World) -> None:
    place = any_world.workspace()
    own = any_world.platform.settings.workspaces_root / place / "simulated"
    own.mkdir(parents=True)
    (own / "file").write_bytes(b"x" * 400_000)
    with any_world.system() as unit:
        assert metering.measure_storage(unit) == 0
        held = metering.held_kb(unit, unit.session.get_one(metering.Workspace, place))
    assert held >= 390
    any_world.advance(hours=20)
    (own / "file").unlink()
    with any_world.system() as unit:
        assert metering.measure_storage(unit) == 2
    with any_world.system() as unit:
        assert metering.measure_storage(unit) == 0, "a second round right after it does nothing"
    with any_world.by(any_world.merchant) as unit:
        found = metering.days(unit, place, "2026-03-02", "2026-03-03")
    assert {d: one.storage_kb_s for d, one in found.items()} == {"2026-03-02": held * 15 * 3600,
                                                                 "2026-03-03": held * 5 * 3600}  # fmt: skip


def test_closed_workspace_is_charged_to_its_closing(any_world: World) -> None:
    place = any_world.workspace()
    own = any_world.platform.settings.workspaces_root / place
    own.mkdir(parents=True)
    (own / "file").write_bytes(b"x" * 4096)
    with any_world.system() as unit:
        metering.measure_storage(unit)
        held = metering.held_kb(unit, unit.session.get_one(metering.Workspace, place))
    any_world.advance(hours=1)
    with any_world.by(any_world.merchant) as unit:
        service.change(unit, place, "close")
    any_world.advance(days=3)
    for _round in range(2):
        with any_world.system() as unit:
            metering.measure_storage(unit)
    with any_world.by(any_world.merchant) as unit:
        (day,) = metering.days(unit, place, "2026-03-01", "2026-03-31").values()
    assert day.storage_kb_s == held * 3600


# -- quotas


def test_four_fifths_warn_once_and_the_whole_refuses(any_world: World) -> None:
    place = any_world.workspace()
    any_world.workspace_rules("2026-02", queries_per_day=10)
    for _use_number in range(7):
        _use(any_world, place)
    assert (any_world.events("quota:warn"), _today(any_world, place)["queries"].near) == ([], False)
    for _use_number in range(3):
        _use(any_world, place)
    (warning,) = any_world.events("quota:warn")
    assert (warning.object_id, warning.facts["measure"], warning.facts["percent"]) == (place, "queries", 80)
    with pytest.raises(QuotaExhausted) as refused, any_world.by(any_world.merchant) as unit:
        metering.require_quota(unit, place, "query")
    assert (refused.value.status, refused.value.detail["measure"]) == (429, "queries")
    assert "查询次数" in refused.value.text.zh and "10" in refused.value.text.zh
    assert refused.value.fix and "次日零点" in refused.value.fix.zh and "申请追加" in refused.value.fix.zh
    with any_world.by(any_world.merchant) as unit:
        metering.require_quota(unit, place, "script")  # another measure
    any_world.advance(hours=15)
    with any_world.by(any_world.merchant) as unit:
        metering.require_quota(unit, place, "query")


@pytest.mark.parametrize("kind", ["query", "read", "script", "run"])
@pytest.mark.parametrize(("parameter", "usage"), [("cpu_minutes_per_day", Usage(60, 0)),
                                                  ("memory_gb_hours_per_day", Usage(0, 1024 * 3600))])  # fmt: skip
def test_processor_and_memory_time_stop_every_kind(
    world: World, kind: metering.Kind, parameter: str, usage: Usage
) -> None:
    place = world.workspace()
    world.workspace_rules("2026-02", **{parameter: 1})
    with world.by(world.merchant) as unit:
        metering.require_quota(unit, place, kind)
    _use(world, place, "query", usage)
    with pytest.raises(QuotaExhausted), world.by(world.merchant) as unit:
        metering.require_quota(unit, place, kind)


def test_full_storage_stops_scripts_and_not_the_query_that_drops_a_table(world: World) -> None:
    place = world.workspace()
    world.workspace_rules("2026-02", storage_mb=64)
    own = world.platform.settings.workspaces_root / place
    own.mkdir(parents=True)
    (own / "file").write_bytes(bytes(64 << 20))
    with world.by(world.merchant) as unit:
        metering.require_quota(unit, place, "query")
    for kind in ("script", "upload"):
        with pytest.raises(QuotaExhausted) as refused, world.by(world.merchant) as unit:
            metering.require_quota(unit, place, kind)  # type: ignore[arg-type]
        assert refused.value.fix and "删除" in refused.value.fix.zh


def test_storage_warns_once_a_day_however_often_it_is_measured(world: World) -> None:
    place = world.workspace()
    world.workspace_rules("2026-02", storage_mb=64)
    own = world.platform.settings.workspaces_root / place
    own.mkdir(parents=True)
    (own / "file").write_bytes(bytes(60 << 20))
    for hours in (0, 1, 1, 20):
        world.advance(hours=hours)
        with world.system() as unit:
            metering.measure_storage(unit)
    found = world.events("quota:warn")
    assert [(e.object_id, e.facts["measure"], e.facts["percent"]) for e in found] == [(place, "storage", 93)] * 2


def test_more_is_asked_for_granted_until_a_day_and_effective_at_once(any_world: World) -> None:
    place = any_world.workspace()
    any_world.workspace_rules("2026-02", queries_per_day=1)
    _use(any_world, place)
    with any_world.by(any_world.merchant) as unit:
        wish = quotas.ask(unit, place, "queries", 5, "季度报告需要反复比对")
    with pytest.raises(NotPermitted), any_world.by(any_world.merchant) as unit:
        quotas.grant(unit, wish.id, 5, date(2026, 3, 3))
    with any_world.by(any_world.operator) as unit:
        quotas.grant(unit, wish.id, 3, date(2026, 3, 3))
    with any_world.by(any_world.merchant) as unit:
        metering.require_quota(unit, place, "query")
    assert (_today(any_world, place)["queries"].limit, _today(any_world, place)["queries"].raised_until) == (
        3, "2026-03-03")  # fmt: skip
    any_world.advance(days=1)
    assert _today(any_world, place)["queries"].limit == 3, "its last day counts"
    any_world.advance(days=1)
    assert _today(any_world, place)["queries"].limit == 1
    assert [e.object_id for n in ("quota:submit", "quota:grant") for e in any_world.events(n)] == [wish.id, wish.id]


def test_what_was_granted_can_be_taken_back(any_world: World) -> None:
    place = any_world.workspace()
    with any_world.by(any_world.merchant) as unit:
        wish = quotas.ask(unit, place, "scripts", 900, "批量试验")
    with any_world.by(any_world.operator) as unit:
        quotas.grant(unit, wish.id, 900, date(2026, 4, 1))
    with any_world.by(any_world.operator) as unit:
        quotas.decide(unit, wish.id, "revoke", "机器检修")
    assert _today(any_world, place)["scripts"].limit == 500


def test_refusal_needs_a_reason_and_another_can_be_asked_after_it(any_world: World) -> None:
    place = any_world.workspace()
    with any_world.by(any_world.merchant) as unit:
        wish = quotas.ask(unit, place, "cpu", 500, "建模")
    with pytest.raises(Conflict), any_world.by(any_world.merchant) as unit:
        quotas.ask(unit, place, "cpu", 600, "建模")
    with pytest.raises(BadInput), any_world.by(any_world.operator) as unit:
        quotas.decide(unit, wish.id, "reject", " ")
    with any_world.by(any_world.operator) as unit:
        assert quotas.decide(unit, wish.id, "reject", "请先优化语句").answer == "请先优化语句"
    with any_world.by(any_world.merchant) as unit:
        quotas.decide(unit, quotas.ask(unit, place, "cpu", 600, "已优化").id, "withdraw", "")


@pytest.mark.parametrize(("measure", "wanted", "reason"), [("cpu", 240, "x"), ("cpu", 24_001, "x"), ("cpu", 241, " "),
                                                           ("time", 300, "x"), ("queries", -1, "x")])  # fmt: skip
def test_wish_that_makes_no_sense_is_refused(world: World, measure: str, wanted: int, reason: str) -> None:
    place = world.workspace()
    with pytest.raises(BadInput), world.by(world.merchant) as unit:
        quotas.ask(unit, place, measure, wanted, reason)


@pytest.mark.parametrize("end", ["frozen", "closed", "revoked", "expired"])
def test_nothing_more_is_asked_for_where_nothing_can_be_worked_on(any_world: World, end: str) -> None:
    place = any_world.workspace()
    with any_world.system() as unit:
        application_id = repository.get(unit.session, place).application_id
    if end == "expired":
        any_world.advance(days=400)
    else:
        with any_world.by(any_world.operator) as unit:
            match end:
                case "frozen":
                    service.change(unit, place, "freeze", "待核实")
                case "closed":
                    service.change(unit, place, "close", "不再使用")
                case "revoked":
                    applications.stand(unit, application_id, "revoke", "协议终止")
    with pytest.raises((InvalidTransition, NotPermitted)) as refused, any_world.by(any_world.merchant) as unit:
        quotas.ask(unit, place, "cpu", 300, "建模")
    assert refused.value.code == ("workspace.not_open" if end in ("frozen", "closed") else "application.not_active")
    assert refused.value.fix is not None
    with any_world.by(any_world.operator) as unit:
        assert quotas.list_for(unit, place) == []


@pytest.mark.parametrize(("amount", "days"), [(240, 3), (24_001, 3), (300, -1), (300, 367)])
def test_grant_that_makes_no_sense_is_refused(world: World, amount: int, days: int) -> None:
    place = world.workspace()
    with world.by(world.merchant) as unit:
        wish = quotas.ask(unit, place, "cpu", 300, "建模")
    with pytest.raises(BadInput), world.by(world.operator) as unit:
        quotas.grant(unit, wish.id, amount, date(2026, 3, 2) + timedelta(days=days))


def test_requests_are_their_merchants_and_the_operators(any_world: World) -> None:
    place = any_world.workspace()
    with any_world.by(any_world.merchant) as unit:
        wish = quotas.ask(unit, place, "cpu", 300, "建模")
    with pytest.raises(OutOfReach), any_world.by(any_world.stranger) as unit:
        quotas.ask(unit, place, "queries", 9000, "x")
    with pytest.raises(OutOfReach), any_world.by(any_world.stranger) as unit:
        quotas.read(unit, wish.id)
    with any_world.by(any_world.stranger) as unit:
        assert quotas.list_for(unit) == []
    with any_world.by(any_world.operator) as unit:
        assert [r.id for r in quotas.list_for(unit)] == [wish.id]


# -- statements


@settings(database=None)
@given(
    priced=st.sampled_from(billing.PRICED), quantity=st.integers(0, 2**62), price=st.integers(0, 10**7),
)  # fmt: skip
def test_amount_is_quantity_times_price_rounded_once(priced: billing.Priced, quantity: int, price: int) -> None:
    line = billing.Line(priced, "2026-01", quantity, price)
    exact = Fraction(quantity, priced.size)
    assert abs(line.amount_fen - exact * price) <= Fraction(1, 2)
    assert abs(Fraction(line.units) - exact) <= Fraction(1, 2_000_000)


SIZES = {"cpu_us": Decimal(3_600_000_000), "memory_mb_ms": Decimal(1024 * 3_600_000),
         "storage_kb_s": Decimal(1024 * 1024 * 86_400)}  # fmt: skip
PRICES = {"cpu_us": 137, "memory_mb_ms": 2909, "storage_kb_s": 41_111}
USES = st.lists(
    st.tuples(
        st.sampled_from(["query", "read", "script", "run"]), st.floats(0, 2000), st.floats(0, 500_000),
        st.integers(0, 60 * 24 * 40),
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck),
          phases=(Phase.explicit, Phase.generate))  # fmt: skip
@given(uses=USES)
def test_statement_is_the_sum_of_the_ledger_to_the_last_digit(
    priced_world: tuple[World, str], uses: list[tuple[metering.Kind, float, float, int]]
) -> None:
    """The oracle reads the table row by row and computes with decimals; the uses of all examples add up."""
    world, place = priced_world
    start = world.platform.clock.now()
    for kind, cpu, memory, minutes in uses:
        world.platform.clock.moment = start + timedelta(minutes=minutes)  # type: ignore[attr-defined]
        _use(world, place, kind, Usage(cpu, memory))
    with world.system() as unit:
        metering.measure_storage(unit)
    world.platform.clock.moment = start  # type: ignore[attr-defined]
    with world.platform.database.transaction() as session:
        rows = session.execute(text("SELECT day, cpu_us, memory_mb_ms, storage_kb_s FROM use_entry")).all()
    for month in {row[0][:7] for row in rows}:
        with world.by(world.merchant) as unit:
            found = billing.statement(unit, place, month)
        for number, (column, size) in enumerate(SIZES.items(), start=1):
            quantity = sum(int(row[number]) for row in rows if row[0].startswith(month))
            amount = (Decimal(quantity) * PRICES[column] / size).quantize(Decimal(1), ROUND_HALF_UP)
            (line,) = [one for one in found.lines if one.priced.column == column]
            assert (line.quantity, line.amount_fen, line.edition) == (quantity, amount, "2026-02")
        assert found.total_fen == sum(line.amount_fen for line in found.lines)
        assert sum(found.counts.values()) == sum(1 for r in rows if r[0].startswith(month) and not r[3])
        for day, one in found.days.items():  # what quotas go by
            with world.system() as unit:
                sums = quotas.used(metering_record.of_day(unit.session, place, day))
            counts = [one.counts.get(kind, 0) for kind in ("query", "read", "script")]
            assert [*sums.values()] == [one.cpu_us, one.memory_mb_ms, *counts]


@pytest.fixture
def priced_world(world: World) -> tuple[World, str]:
    place = world.workspace()
    own = world.platform.settings.workspaces_root / place
    own.mkdir(parents=True)
    (own / "file").write_bytes(b"x" * 8192)
    world.workspace_rules("2026-02", cpu_hour_fen=PRICES["cpu_us"], memory_gb_hour_fen=PRICES["memory_mb_ms"],
           storage_gb_day_fen=PRICES["storage_kb_s"])  # fmt: skip
    return world, place


def test_change_of_prices_within_a_month_leaves_earlier_use_at_its_price(any_world: World) -> None:
    place = any_world.workspace()
    any_world.workspace_rules("2026-02", cpu_hour_fen=100)
    _use(any_world, place, usage=Usage(3600, 0))
    any_world.advance(days=1)
    any_world.workspace_rules("2026-03", cpu_hour_fen=300)
    _use(any_world, place, usage=Usage(1800, 0))
    with any_world.by(any_world.merchant) as unit:
        found = billing.statement(unit, place, "2026-03")
    lines = {one.edition: one.amount_fen for one in found.lines if one.priced.column == "cpu_us"}
    assert (lines, found.total_fen) == ({"2026-02": 100, "2026-03": 150}, 250)


def test_equal_use_costs_every_merchant_the_same(any_world: World) -> None:
    resource = any_world.published()
    mine = any_world.workspace(any_world.application("active", resource))
    any_world.admitted(any_world.stranger)
    theirs = any_world.workspace(
        any_world.application("active", resource, merchant=any_world.stranger), merchant=any_world.stranger
    )
    any_world.workspace_rules("2026-02", cpu_hour_fen=777, memory_gb_hour_fen=55)
    for place in (mine, theirs):
        _use(any_world, place, usage=Usage(1234.5678, 98765.4))
    with any_world.by(any_world.operator) as unit:
        found = {s.workspace.id: [line.amount_fen for line in s.lines] for s in billing.statements(unit, "2026-03")}
    assert found[mine] == found[theirs] and sum(found[mine]) > 0


def test_statement_as_a_file_says_the_same(world: World) -> None:
    place = world.workspace()
    world.workspace_rules("2026-02", cpu_hour_fen=360)
    _use(world, place, usage=Usage(1000, 5), rows=12)
    _use(world, place, "download", Usage(), size=2048)
    with world.by(world.merchant) as unit:
        found = billing.statement(unit, place, "2026-03")
        rows = list(csv.reader(io.StringIO(billing.as_csv(found).removeprefix("\ufeff"))))
    assert [r[4:] for r in rows if r[:1] == ["处理器时间"]] == [["1000000000", "360", "100"]]
    assert [r[-1] for r in rows if r[:1] == ["合计"]] == [str(found.total_fen)]
    assert rows[-1] == ["2026-03-02", "1000000000", "5000", "0", "1", "0", "0", "0", "1", "12", "2048"]
    assert found.counts == {"query": 1, "download": 1}


@pytest.mark.parametrize("month", ["2026-13", "2026-3", "2026-03-01", "x", "2026-03\n"])
def test_what_is_no_month_is_wrong_input(world: World, month: str) -> None:
    place = world.workspace()
    with pytest.raises(BadInput), world.by(world.merchant) as unit:
        billing.statement(unit, place, month)


def test_days_of_a_month_are_all_of_them() -> None:
    assert billing.period("2028-02") == ("2028-02-01", "2028-02-29")
    assert billing.period("2026-12")[1] == "2026-12-31"


# -- from the jail to the ledger


@pytest.mark.jail
def test_statement_over_http_is_in_the_ledger_with_what_it_burned(world: World) -> None:
    """A query that fails is use too; looking at one's use is none. No table is needed, so none is mounted."""
    limits = Limits(memory_mb=768, cpu_seconds=30, wall_seconds=30, processes=64, file_mb=64, result_rows=100,
                    result_mb=8, threads=1)  # fmt: skip
    broker = Broker(selftest(), limits, capacity_mb=2048)
    place = world.workspace()
    with world.system() as unit:
        for grant in application_records.grants(unit.session, repository.get(unit.session, place).application_id):
            grant.snapshot = None
    with TestClient(create_app(world.platform, broker, dict)) as client:
        client.headers["authorization"] = f"Bearer {world.token('merchant')}"
        for sql in ("SELECT sum(hash(range)) FROM range(40000000)", "SELECT no_such_column"):
            client.post(f"/api/v1/workspaces/{place}/query", json={"sql": sql})
        answer = client.get(f"/api/v1/workspaces/{place}/usage").json()
    assert answer["today"]["counts"] == {"query": 2}
    assert 100_000 < answer["today"]["cpu_us"] < 20_000_000
    assert answer["today"]["memory_mb_ms"] > 0
    (queries,) = [q for q in answer["quotas"] if q["measure"] == "queries"]
    assert (queries["used"], queries["state"]) == (2, "ok")


def test_used_up_quota_answers_429_with_what_to_do_and_runs_nothing(world: World) -> None:
    place = world.workspace()
    world.workspace_rules("2026-02", queries_per_day=1)
    _use(world, place)
    limits = Limits(memory_mb=256, cpu_seconds=5, wall_seconds=5, processes=16, file_mb=16, result_rows=100,
                    result_mb=8, threads=1)  # fmt: skip
    broker = Broker(SelfTest("weak", "none", (), 0.0), limits, capacity_mb=512)
    with TestClient(create_app(world.platform, broker, dict)) as client:
        client.headers["authorization"] = f"Bearer {world.token('merchant')}"
        answer = client.post(f"/api/v1/workspaces/{place}/query", json={"sql": "SELECT 1"})
        usage = client.get(f"/api/v1/workspaces/{place}/usage").json()
    assert (answer.status_code, answer.json()["code"]) == (429, "workspace.quota")
    assert "查询次数已用满" in answer.json()["title"] and "申请追加" in answer.json()["fix"]
    assert usage["today"]["counts"] == {"query": 1}
