"""Random SQL through the carrier: whatever it accepts, the removal of every single entity is predicted.

The texts are made without regard to what they mean; the only judge is DuckDB, which runs the text itself on the source
without one entity.
"""

from __future__ import annotations

from random import Random
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.evidence_lab import Lab, same_rows
from sandbox.products.carrier import Refused
from sandbox.products.spec import parse
from tests.evidence_programs import PIDS, Program, Record, records, stored

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
def row_conditions(draw: st.DrawFn) -> str:
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
    on, where = draw(conditions("a", "b")), draw(st.one_of(st.just("TRUE"), row_conditions()))
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


def derived_right(program: Program, spec: dict[str, Any]) -> str:
    """`right` if every removal is predicted, `wrong`, or why the job is not derived."""
    with stored(program) as sources, duckdb.connect(config={"threads": 1}) as con:
        try:
            lab = Lab(con, parse(spec), sources, CODE)
            plain = lab.plain()
            lab.contribute()
        except Refused:
            return "refused"
        except duckdb.Error:
            # two owners in a row, and what a text gets wrong by itself
            return "stopped"
        fits = same_rows(plain, lab.recompute(), 1) and all(
            same_rows(lab.without(pid + OFFSET), lab.recompute(without=pid + OFFSET), 1) for pid in PIDS
        )
        return "right" if fits else "wrong"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(jobs())
def test_whatever_is_carried_predicts_the_removal_of_every_single_entity(job: tuple[Program, dict[str, Any]]) -> None:
    outcome = derived_right(*job)
    assert outcome != "wrong"


TRICKY = (
    "SELECT a.x AS pid, min(a.district) AS district, count(*) AS x, 1 AS y FROM t a GROUP BY pid",
    "SELECT a.x AS pid, min(district) AS district, count(*) AS x, 1 AS y FROM t a GROUP BY 1",
    "SELECT x AS pid, district, count(*) AS x, 1 AS y FROM t GROUP BY ALL",
    "SELECT pid, district, count(*) AS x, 1 AS y FROM t GROUP BY ALL",
    "SELECT pid % 2 AS pid, district, x, y FROM t WHERE pid = 1",
    "SELECT x AS pid, district, y AS x, pid AS y FROM t a WHERE EXISTS (SELECT 1 FROM u q WHERE q.pid = a.x)",
    "SELECT pid, district, x, y FROM t a WHERE EXISTS (SELECT 1 FROM u WHERE pid = a.pid)",
    "SELECT pid, district, x, y FROM t a WHERE EXISTS (SELECT 1 FROM u WHERE u.pid = pid)",
    "SELECT pid, district, x, y FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.x = t.x AND pid = pid)",
    "SELECT a.pid, a.district, b.x, b.y FROM t a JOIN u b USING (pid, district)",
    "SELECT pid, a.district, b.x, b.y FROM t a NATURAL JOIN u b",
    "SELECT pid, district, x, y FROM t NATURAL JOIN u",
    "SELECT pid, a.district, b.x, b.y FROM t a LEFT JOIN u b USING (pid)",
    "SELECT pid, a.district, b.x, b.y FROM t a FULL JOIN u b USING (pid)",
    "SELECT pid, a.district, b.x, b.y FROM t a RIGHT JOIN u b USING (pid)",
    "SELECT pid, a.district, b.x, b.y FROM t a FULL JOIN w b USING (pid)",
    "SELECT pid, a.district, b.x, b.y FROM t a RIGHT JOIN w b USING (pid)",
    "SELECT pid, a.district, b.x, b.y FROM w a LEFT JOIN t b USING (pid)",
    "SELECT b.pid, a.district, b.x, b.y FROM w a LEFT JOIN t b USING (pid)",
    "SELECT DISTINCT pid, district, 1 AS x, 1 AS y FROM t",
    "SELECT DISTINCT pid, district, 1 AS x, 1 AS y FROM (SELECT * FROM t UNION ALL SELECT * FROM w)",
    "SELECT pid, min(district) AS district, count(DISTINCT x) AS x, CAST(sum(y) FILTER (WHERE x > 1) AS "
    "BIGINT) AS y FROM t GROUP BY pid HAVING count(*) > 1",
    "SELECT pid, district, CAST(sum(x) OVER (PARTITION BY pid ORDER BY x, y, district ROWS BETWEEN 1 "
    "PRECEDING AND CURRENT ROW) AS BIGINT) AS x, lag(y) OVER (PARTITION BY pid ORDER BY x,y,district) AS y "
    "FROM t",
    "SELECT pid, district, x, count(*) OVER w AS y FROM t WINDOW w AS (PARTITION BY pid)",
    "SELECT pid, district, x, count(*) OVER w AS y FROM t WINDOW w AS (PARTITION BY district)",
    "SELECT pid, district, x, rank() OVER (PARTITION BY pid, x ORDER BY y) AS y FROM t",
    "SELECT q.p AS pid, q.d AS district, q.a AS x, q.b AS y FROM (SELECT * FROM t) AS q(p, d, a, b)",
    "SELECT q.x AS pid, q.district, q.pid AS x, q.y FROM (SELECT * FROM t) AS q(x, district, pid, y) JOIN u "
    "ON u.pid = q.pid",
    "WITH c(x, district, pid, y) AS (SELECT * FROM t) SELECT c.pid, c.district, c.x, c.y FROM c JOIN u ON "
    "u.pid = c.pid",
    "WITH c(x, district, pid, y) AS (SELECT * FROM t) SELECT pid, min(district) AS district, count(*) AS x, 1 "
    "AS y FROM c GROUP BY pid",
    "SELECT pid, district, x, y FROM t WHERE pid IN (SELECT pid FROM u)",
    "SELECT pid, district, x, y FROM t WHERE pid NOT IN (SELECT pid FROM u WHERE pid IS NOT NULL)",
    "SELECT pid, district, x, y FROM t WHERE (pid, x) IN (SELECT pid, x FROM u)",
    "SELECT pid, district, x, y FROM t WHERE x IN (SELECT x FROM u WHERE u.pid = t.pid)",
    "SELECT pid, district, x, y FROM t WHERE x NOT IN (SELECT x FROM u WHERE u.pid = t.pid)",
    "SELECT pid, district, x, y FROM t WHERE x >= ALL (SELECT x FROM u WHERE u.pid = t.pid)",
    "SELECT pid, district, x, y FROM t WHERE x > ANY (SELECT x FROM u)",
    "SELECT pid, district, x + coalesce((SELECT max(x) FROM u WHERE u.pid = t.pid), 0) AS x, y FROM t",
    "SELECT pid, district, x + (SELECT max(x) FROM u) AS x, y FROM t",
    "SELECT pid, district, (SELECT count(*) FROM u WHERE u.pid = t.pid OR u.pid IS NULL) AS x, y FROM t",
    "SELECT pid, district, (SELECT count(*) FROM u WHERE u.pid IS NOT DISTINCT FROM t.pid) AS x, y FROM t",
    "SELECT pid, district, (SELECT count(*) FROM u WHERE u.pid = t.pid AND EXISTS (SELECT 1 FROM t z WHERE "
    "z.pid = u.pid)) AS x, y FROM t",
    "SELECT pid, district, (SELECT count(*) FROM u WHERE u.pid = t.pid AND EXISTS (SELECT 1 FROM t z WHERE "
    "z.x = u.x)) AS x, y FROM t",
    "SELECT pid, district, x, y FROM t WHERE EXISTS (SELECT 1 FROM w JOIN u ON w.x = u.x WHERE u.pid = t.pid)",
    "SELECT pid, district, x, y FROM t WHERE EXISTS (SELECT 1 FROM w LEFT JOIN u ON w.x = u.x WHERE w.pid = "
    "t.pid)",
    "SELECT pid, district, x, y FROM t WHERE NOT EXISTS (SELECT 1 FROM w WHERE w.x = t.x AND NOT EXISTS "
    "(SELECT 1 FROM u WHERE u.pid = w.pid))",
    "SELECT pid, district, x, y FROM t WHERE EXISTS (SELECT pid FROM u GROUP BY pid HAVING pid = t.pid)",
    "SELECT pid, district, x, y FROM t WHERE EXISTS (SELECT count(*) FROM u WHERE u.pid = t.pid)",
    "SELECT pid, district, x, y FROM t WHERE EXISTS (SELECT max(x) FROM u WHERE u.pid = t.pid HAVING max(x) > "
    "1)",
    "SELECT pid, district, x, y FROM t WHERE (SELECT count(*) FROM u WHERE u.pid = t.pid) = 0",
    "SELECT t.pid, t.district, t.x, t.y FROM t, u WHERE t.pid = u.pid",
    "SELECT t.pid, t.district, t.x, t.y FROM t, u WHERE t.pid = u.pid OR u.x = 1",
    "SELECT t.pid, t.district, q.x, t.y FROM t LEFT JOIN (SELECT pid, max(x) AS x FROM u GROUP BY pid) q ON "
    "t.pid = q.pid",
    "SELECT t.pid, t.district, q.x, t.y FROM t LEFT JOIN (SELECT district, max(x) AS x FROM u GROUP BY "
    "district) q ON t.district = q.district",
    "SELECT t.pid, t.district, q.x, t.y FROM t CROSS JOIN (SELECT count(*) AS x FROM u) q",
    "SELECT t.pid, t.district, q.x, t.y FROM t JOIN (SELECT district, count(*) AS x FROM t GROUP BY district "
    "HAVING count(*) > 2) q USING (district)",
    "SELECT pid AS pid, district, x AS y, y AS x FROM t WHERE y > 1",
    "SELECT pid, district, x, x + 1 AS y FROM t WHERE y > 1",
    "SELECT 1 AS z, pid, district, z + x AS x, y FROM t WHERE z = 1",
    "SELECT pid + 1 AS pid, district, pid AS x, y FROM t",
    "SELECT pid, district, x, y FROM t WHERE CAST(pid AS VARCHAR) IN (SELECT CAST(pid AS VARCHAR) FROM u)",
    "SELECT a.pid, a.district, a.x, a.y FROM t a JOIN u b ON CAST(a.pid AS VARCHAR) = CAST(b.pid AS VARCHAR)",
    "SELECT a.pid, a.district, a.x, a.y FROM t a JOIN u b ON a.pid = b.pid JOIN w c ON c.pid = a.pid LEFT "
    "JOIN u d ON d.pid = c.pid",
    "SELECT a.pid, a.district, a.x, a.y FROM t a JOIN w c ON c.pid = a.pid LEFT JOIN u d ON d.pid = c.pid AND "
    "d.pid = a.pid",
    "SELECT pid, CASE WHEN count(*) OVER (PARTITION BY pid) > 1 THEN '东' ELSE '西' END AS district, x, y FROM "
    "t",
    "SELECT pid, district, x, y FROM (SELECT * FROM t UNION ALL SELECT * FROM u) WHERE pid IN (SELECT pid "
    "FROM t WHERE x > 2)",
    "SELECT pid, min(district) AS district, max(x) AS x, max(y) AS y FROM (SELECT * FROM t UNION ALL SELECT * "
    "FROM u) GROUP BY pid",
    "SELECT pid, min(district) AS district, max(x) AS x, max(y) AS y FROM (SELECT * FROM t UNION ALL SELECT * "
    "FROM w) GROUP BY pid",
    "SELECT pid, district, list_max([x, y]) AS x, y FROM t",
    "SELECT * FROM t",
    "FROM t",
    "SELECT * EXCLUDE (y), y FROM t",
    "SELECT * REPLACE (x + 1 AS pid) FROM t",
    "WITH c AS (SELECT * REPLACE (x AS pid) FROM t) SELECT pid, min(district) AS district, count(*) AS x, 1 "
    "AS y FROM c GROUP BY pid",
    "WITH c AS (SELECT x AS pid, district, pid AS x, y FROM t) SELECT a.pid, a.district, a.x, a.y FROM c a "
    "JOIN u b ON a.pid = b.pid",
    "SELECT t.pid, t.district, t.x, t.y FROM t JOIN u ON t.pid = u.pid AND t.x = (SELECT max(z.x) FROM u z "
    "WHERE z.pid = t.pid)",
    "SELECT pid, max(district) AS district, x, count(*) AS y FROM t GROUP BY pid, x HAVING EXISTS (SELECT 1 "
    "FROM u WHERE u.pid = t.pid)",
    "SELECT pid, max(district) AS district, count(*) AS x, count(*) AS y FROM t GROUP BY pid HAVING count(*) "
    "> (SELECT avg(y) FROM u)",
    "SELECT pid, district, x, y FROM t WHERE pid = (SELECT u.pid FROM u WHERE u.pid = t.pid LIMIT 1)",
    "SELECT pid, district, x, y FROM t WHERE pid = (SELECT min(u.pid) FROM u WHERE u.pid >= t.pid)",
)  # fmt: skip
"""Texts in which the key is renamed, hidden, shadowed, missing or compared in ways that look right"""


@pytest.mark.parametrize("text", TRICKY)
def test_a_tricky_text_is_refused_or_right(text: str) -> None:
    random = Random(7)

    def row(pids: list[int | None]) -> Record:
        x, y = random.choice([None, 0, 1, 2, 3, 4, 5]), random.choice([None, 0, 1, 2, 3])
        return random.choice(pids), random.choice(["东", "西", None]), x, y

    keyed = [*PIDS, None]
    tables = {"t": tuple(row(keyed) for _ in range(9)), "u": tuple(row(keyed) for _ in range(9)),
              "w": tuple(row(list(PIDS)) for _ in range(4))}  # fmt: skip
    program = Program(tables, (), ("district",), (), ("rows", "sum", "kinds", "most"))
    spec = program.spec | {"prepare": [{"name": "s1", "sql": text}]}
    spec["product"]["from"] = "s1"
    assert derived_right(program, spec) != "wrong"
