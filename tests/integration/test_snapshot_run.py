"""A run on real data says almost nothing."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import editions
from policies.text import UserError
from sandbox.workspaces import run, selftest, snapshot
from sandbox.workspaces.broker import Mode
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.run import Buckets, RunOrder, RunOutcome, State

LIMITS = Limits(
    memory_mb=768, cpu_seconds=30, wall_seconds=20, processes=64, file_mb=256, result_rows=1000, result_mb=16, threads=1
)
ENDLESS = "SELECT count(*) AS x FROM range(10000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 3"
MARK = "真名"
"""part of every text value of the real table; it must appear in nothing that is returned"""


@pytest.fixture(scope="module")
def tested() -> selftest.SelfTest:
    return selftest.selftest()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "source.parquet"
    duckdb.sql(
        f"SELECT range AS id, '{MARK}' || (range * 7 % 1000) AS 姓名, (range % 7)::VARCHAR AS 区, range * 1.5 AS 费用,"
        " 'never granted' AS hidden FROM range(1000)"
    ).write_parquet(str(file))
    return file


def built(source: Path, columns: list[str], version: int = 1) -> snapshot.Snapshot:
    return snapshot.build(
        [str(source)], snapshot.Content(columns), out_root=source.parent / "snapshots", room=snapshot.Room(512, 2),
        source={"version": version},
    )  # fmt: skip


# --- runs ------------------------------------------------------------------------------------------------------------

STEPS = (
    ("按区", "SELECT 区, count(*) AS 人次, sum(费用)::DOUBLE AS 总费用 FROM 就诊 GROUP BY 区"),
    ("结果", "SELECT * FROM 按区 WHERE 人次 > 5"),
)
SCHEMA = {"结果": (("区", "VARCHAR"), ("人次", "BIGINT"), ("总费用", "DOUBLE"))}


def order(source: Path, **changes: object) -> RunOrder:
    made = built(source, ["姓名", "区", "费用"])
    base = RunOrder(
        steps=STEPS, outputs=("结果",), tables={"就诊": made.path.parent}, output_folder=source.parent / "out",
        limits=LIMITS, buckets=Buckets((10, 60), (5, 100)), error_store=source.parent / "operator" / "errors.jsonl",
        folder_mb=512, expected=SCHEMA,
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def real(source: Path, tested: selftest.SelfTest, **changes: object) -> RunOutcome:
    return run.execute(order(source, **changes), Mode.REAL, tested)


def test_the_twin_says_everything_and_gives_the_schema(source: Path, tested: selftest.SelfTest) -> None:
    outcome = run.execute(order(source, expected=None), Mode.SIMULATED, tested)
    assert (outcome.state, outcome.step, outcome.schemas) == (State.DONE, 2, SCHEMA)
    wrong = (("a", "SELECT\n nope FROM 就诊"),)
    told = run.execute(
        order(source, steps=wrong, outputs=("a",), expected=None, output_folder=source.parent / "o2"),
        Mode.SIMULATED,
        tested,
    )
    assert (told.error_class, told.line, told.column) == ("binding", 2, 2)
    assert told.engine_text and "nope" in told.engine_text


@pytest.mark.jail
def test_a_real_run_says_state_step_and_buckets(source: Path, tested: selftest.SelfTest) -> None:
    outcome = real(source, tested)
    assert (outcome.state, outcome.rows, outcome.duration) == (State.DONE, {"结果": "5-100"}, "<10")
    assert (outcome.schemas, outcome.engine_text) == ({}, None)
    file = source.parent / "out" / "0.parquet"
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert duckdb.sql(f"SELECT count(*) FROM '{file}'").fetchall() == [(7,)]


@pytest.mark.jail
def test_a_run_may_leave_no_more_on_the_disk_than_its_folder_holds(source: Path, tested: selftest.SelfTest) -> None:
    steps = (("结果", "SELECT md5(range::VARCHAR) AS x FROM range(200_000)"),)
    outcome = real(source, tested, steps=steps, folder_mb=1, expected={"结果": (("x", "VARCHAR"),)})
    assert (outcome.state, outcome.error_class) == (State.FAILED, "disk_full")
    assert list((source.parent / "out").iterdir()) == []


LEAKS = [
    "SELECT CAST(姓名 AS INT) AS x FROM 就诊",
    "SELECT strptime(姓名, '%Y') AS x FROM 就诊",
    "SELECT error(姓名) AS x FROM 就诊",
    "SELECT date_trunc(姓名, now()) AS x FROM 就诊",
    "SELECT regexp_matches('a', 姓名 || '(') AS x FROM 就诊",
    "SELECT json_extract('{}', 姓名 || '$$$[') AS x FROM 就诊",
    "SELECT 姓名::ENUM('a') AS x FROM 就诊",
    "SELECT (SELECT 姓名 FROM 就诊) AS x",
    "SELECT nope FROM 就诊",
    "SELECT chr(-1) || 姓名 AS x FROM 就诊",
    "SELECT 姓名 AS x FROM 就诊; SELECT 1",
    "SELEC 1",
]


@pytest.mark.jail
@pytest.mark.parametrize("sql", LEAKS)
def test_no_value_of_real_data_is_in_anything_returned(source: Path, tested: selftest.SelfTest, sql: str) -> None:
    changes: Mapping[str, object] = {
        "steps": (("a", sql),), "outputs": ("a",), "expected": {"a": (("x", "VARCHAR"),)},
    }  # fmt: skip
    outcome = real(source, tested, **changes)
    assert MARK not in repr(outcome)
    assert MARK not in json.dumps(outcome.as_dict(), ensure_ascii=False)
    assert (outcome.engine_text, outcome.line, outcome.column, outcome.schemas) == (None, None, None, {})
    if outcome.state != State.DONE:
        assert list((source.parent / "out").iterdir()) == []


@pytest.mark.jail
def test_the_full_text_is_for_the_operator_only(source: Path, tested: selftest.SelfTest) -> None:
    outcome = real(source, tested, steps=(("a", LEAKS[0]),), outputs=("a",), expected={"a": (("x", "INTEGER"),)})
    assert (outcome.state, outcome.step, outcome.error_class) == (State.FAILED, 1, "bad_value")
    store = source.parent / "operator" / "errors.jsonl"
    assert MARK in store.read_text()
    assert stat.S_IMODE(store.stat().st_mode) == 0o600


@pytest.mark.jail
def test_values_smuggled_into_the_schema_are_refused(source: Path, tested: selftest.SelfTest) -> None:
    """A column named after data, or a type that lists data, is a result schema that differs from the twin's."""
    pivot = "SELECT * FROM (SELECT 区, 费用 FROM 就诊) PIVOT (count(*) FOR 区 IN ('0', '1'))"
    expected = {"a": (("费用", "DECIMAL(21,1)"), ("twin-0", "BIGINT"), ("twin-1", "BIGINT"))}
    outcome = real(source, tested, steps=(("a", pivot),), outputs=("a",), expected=expected)
    assert outcome.state == State.SCHEMA_DIFFERS
    assert list((source.parent / "out").iterdir()) == []


@pytest.mark.jail
@pytest.mark.parametrize(
    ("sql", "kind"),
    [("SELECT len(range(1000000000)) AS x", "memory_limit"),
     (ENDLESS, "time_limit")],
)  # fmt: skip
def test_limits_end_a_run_with_their_name(source: Path, tested: selftest.SelfTest, sql: str, kind: str) -> None:
    changes: Mapping[str, object] = {
        "steps": (("a", sql),), "outputs": ("a",), "expected": {"a": (("x", "BIGINT"),)},
        "limits": replace(LIMITS, wall_seconds=3),
    }  # fmt: skip
    assert real(source, tested, **changes).error_class == kind


@pytest.mark.jail
def test_a_run_can_be_stopped(source: Path, tested: selftest.SelfTest) -> None:
    stop = threading.Event()
    threading.Timer(1, stop.set).start()
    asked = order(source, steps=(("a", ENDLESS),), outputs=("a",), expected={"a": (("x", "BIGINT"),)})
    assert run.execute(asked, Mode.REAL, tested, cancel=stop).error_class == "cancelled"


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": ()},
        {"outputs": ()},
        {"outputs": ("不是步骤",)},
        {"steps": (("就诊", "SELECT 1"),), "outputs": ("就诊",)},
        {"expected": None},
        {"expected": {}},
    ],
)
def test_an_order_that_makes_no_sense_never_starts(
    source: Path, tested: selftest.SelfTest, changes: dict[str, object]
) -> None:
    with pytest.raises(UserError):
        run.execute(order(source, **changes), Mode.REAL, replace(tested, tier=selftest.STRONG))


def test_a_used_output_folder_is_refused(source: Path, tested: selftest.SelfTest) -> None:
    (source.parent / "out").mkdir()
    (source.parent / "out" / "0.parquet").write_bytes(b"of an earlier run")
    with pytest.raises(UserError):
        run.execute(order(source), Mode.SIMULATED, tested)


@pytest.mark.parametrize("tier", [selftest.MEDIUM, selftest.WEAK])
def test_a_real_run_needs_the_tier(source: Path, tested: selftest.SelfTest, tier: str) -> None:
    with pytest.raises(UserError) as caught:
        real(source, replace(tested, tier=tier))
    assert caught.value.code == "workspace.tier"


def test_the_shipped_row_buckets_are_written_one_way() -> None:
    edges = editions.load("workspace", "2026-01").by_check("row_buckets").parameters.bounds
    told = [run.bucket(n, edges) for n in (0, 99, 100, 9_999, 10_000, 10**9)]
    assert told == ["<100", "<100", "100-10000", "100-10000", "10000-1000000", ">=1000000"]


@given(st.floats(0, 1e9), st.lists(st.integers(1, 10**6), min_size=1, max_size=5, unique=True).map(sorted))
def test_a_bucket_holds_its_value_and_says_no_more(value: float, edges: list[int]) -> None:
    name = run.bucket(value, edges)
    low, _, high = name.lstrip("<>=").partition("-")
    if name.startswith("<"):
        assert value < int(low)
    elif name.startswith(">="):
        assert value >= int(low)
    else:
        assert int(low) <= value < int(high)
    assert len({run.bucket(v, edges) for v in range(2000)}) <= len(edges) + 1
