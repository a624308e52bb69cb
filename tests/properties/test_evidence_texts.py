"""Random SQL through the carrier: whatever it accepts, the removal of every single entity is predicted.

The texts are made without regard to what they mean; the only judge is DuckDB, which runs the text itself on the source
without one entity.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.evidence_lab import Lab
from sandbox.products.carrier import Refused
from sandbox.products.evidence import same_rows
from sandbox.products.spec import parse
from tests.evidence_programs import PIDS, Program, records, stored

OFFSET, MISSING_KEY = 10, 2**32 - 1
CODE = f"coalesce(({{key}} + {OFFSET})::UINTEGER, {MISSING_KEY}::UINTEGER)"
TABLES = ("t", "u", "w")


@st.composite
def conditions(draw: st.DrawFn, left: str, right: str) -> str:
    """A condition over two tables, often one that a careless reader would take for an equality of keys."""
    equal = f"{left}.pid = {right}.pid"
    amount = f"{right}.{draw(st.sampled_from(('x', 'y')))} > {draw(st.integers(-2, 3))}"
    return draw(
        st.sampled_from(
            [equal, equal, f"{equal} AND {amount}", f"{equal} OR {amount}", f"NOT ({equal})", f"({equal}) = false",
             f"{left}.pid = {right}.x", f"{left}.x = {right}.x", f"{equal} AND {left}.x = {right}.x", amount,
             f"CASE WHEN {equal} THEN TRUE ELSE {amount} END", f"{left}.pid <= {right}.pid",
             f"coalesce({equal}, {amount})", f"{left}.pid IS NOT DISTINCT FROM {right}.pid",
             f"{left}.pid + 0 = {right}.pid", f"{equal} AND ({amount} OR {left}.y > 1)"]
        )
    )  # fmt: skip


@st.composite
def tests(draw: st.DrawFn) -> str:
    """A condition on a row of `a`."""
    table, on = draw(st.sampled_from(TABLES)), draw(conditions("a", "q"))
    alone = draw(st.sampled_from(["TRUE", "q.x > 1", "q.y IS NULL", "q.pid = 2"]))
    column, none = draw(st.sampled_from(("pid", "x"))), draw(st.sampled_from(("", "NOT ")))
    grouped = "SELECT pid, max(x) AS x, min(y) AS y"
    figure = draw(st.sampled_from(["max(q.x)", "count(*)", "avg(q.y)", "sum(q.x)", "q.x"]))
    return draw(
        st.sampled_from(
            [f"{none}EXISTS (SELECT 1 FROM {table} q WHERE {on})", f"a.x > (SELECT {figure} FROM {table} q WHERE {on})",
             f"a.{column} {none}IN (SELECT q.{column} FROM {table} q WHERE {alone})",
             f"(a.y > 1 OR {none}EXISTS (SELECT 1 FROM {table} q WHERE {on}))",
             f"a.x > (SELECT {figure} FROM {table} q WHERE {alone})", "a.x > 0", f"{none}(a.y > 1)", "a.pid <> 3",
             f"a.x > (SELECT {figure} FROM ({grouped} FROM {table} GROUP BY pid) q WHERE {on})"]
        )
    )  # fmt: skip


@st.composite
def selects(draw: st.DrawFn, tables: tuple[str, ...] = TABLES) -> str:
    """One SELECT that gives pid, district, x and y."""
    first, second = draw(st.sampled_from(tables)), draw(st.sampled_from(tables))
    how = draw(st.sampled_from(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]))
    on, where = draw(conditions("a", "b")), draw(st.one_of(st.just("TRUE"), tests()))
    part = draw(st.sampled_from(["a.pid", "a.pid, a.district", "a.district", "a.x"]))
    key = draw(st.sampled_from(["a.pid", "a.pid, a.district", "a.district, a.x", "a.pid + 0"]))
    pid = key.split(",")[0] if "pid" in key else "min(a.pid)"
    having = draw(st.sampled_from(["", " HAVING count(*) > 1", " HAVING max(a.x) > 1"]))
    plain = f"SELECT a.pid, a.district, a.x, a.y FROM {first} a"
    return draw(
        st.sampled_from(
            [f"{plain} WHERE {where}",
             f"SELECT a.pid, a.district, b.x, a.y FROM {first} a {how} {second} b ON {on} WHERE {where}",
             f"SELECT coalesce(a.pid, b.pid) AS pid, b.district, a.x, b.y FROM {first} a {how} {second} b ON {on}",
             f"SELECT {pid} AS pid, min(a.district) AS district, CAST(sum(a.x) AS BIGINT) AS x, count(*) AS y "
             f"FROM {first} a WHERE {where} GROUP BY {key}{having}",
             f"SELECT a.pid, a.district, CAST(sum(a.x) OVER (PARTITION BY {part}) AS BIGINT) AS x, "
             f"row_number() OVER (PARTITION BY {part} ORDER BY a.x, a.y, a.district) AS y FROM {first} a",
             f"SELECT DISTINCT a.pid, a.district, a.x, a.y FROM {first} a WHERE {where}",
             f"SELECT DISTINCT a.x AS pid, a.district, a.x, a.y FROM {first} a",
             f"{plain} WHERE {where} UNION ALL SELECT b.pid, b.district, b.y, b.x FROM {second} b",
             f"WITH c AS (SELECT * FROM {second} WHERE x > 0) SELECT a.pid, c.district, a.x, c.y FROM {first} a "
             f"{how} c ON a.pid = c.pid",
             f"SELECT a.pid, a.district, CASE WHEN {where} THEN 1 ELSE 0 END AS x, a.y FROM {first} a"]
        )
    )  # fmt: skip


@st.composite
def jobs(draw: st.DrawFn) -> tuple[Program, dict[str, Any]]:
    """Tables, and a job of one or two random steps."""
    keyed = records([*PIDS, None], most=6)
    tables = {"t": draw(keyed), "u": draw(keyed), "w": draw(records(PIDS, most=3))}
    texts = [draw(selects())]
    if draw(st.booleans()):
        texts.append(draw(selects((*TABLES, "s1", "s1"))))
    program = Program(tables, (), ("district",), (), ("rows", "sum", "kinds", "most"))
    spec = program.spec
    spec["prepare"] = [{"name": f"s{i}", "sql": text} for i, text in enumerate(texts, 1)]
    spec["product"]["from"] = f"s{len(texts)}"
    return program, spec


SEEN: Counter[str] = Counter()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(jobs())
def test_whatever_is_carried_predicts_the_removal_of_every_single_entity(job: tuple[Program, dict[str, Any]]) -> None:
    program, spec = job
    with stored(program) as sources, duckdb.connect(config={"threads": 1}) as con:
        try:
            lab = Lab(con, parse(spec), sources, CODE)
            plain = lab.plain()
            lab.contribute()
        except Refused:
            SEEN["refused"] += 1
            return
        except duckdb.Error as error:
            # two owners in a row, and what a text gets wrong by itself
            SEEN[f"stopped: {str(error)[:40]}"] += 1
            return
        SEEN["derived"] += 1
        assert same_rows(plain, lab.recompute(), 1)
        for code in [pid + OFFSET for pid in PIDS]:
            truth = lab.without(code)
            assert same_rows(truth, lab.recompute(without=code), 1), (code - OFFSET, truth)
