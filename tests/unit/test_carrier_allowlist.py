"""DuckDB's own tree as a second opinion: it refuses without asking the carrier's parser."""

from __future__ import annotations

import pytest

from sandbox.products.carrier import Refused, allowed

TABLES = ("person", "visit")

PASSED = [
    "SELECT pid, income * 1.5 AS x FROM person WHERE age > 3 AND street LIKE 'a%' AND NOT income IN (1, 2)",
    "WITH v AS (FROM visit) SELECT count(*) AS n, quantile_cont(fee, 0.5) AS m FROM v FULL JOIN person USING (pid)",
    "SELECT sum(fee) OVER (PARTITION BY pid ORDER BY d ROWS 2 PRECEDING) AS s FROM visit UNION ALL SELECT 1",
    "SELECT DISTINCT year(d) AS y, d::DATE + INTERVAL 3 DAY AS e FROM visit WHERE EXISTS (FROM person)",
    "SELECT CASE WHEN fee > 3 THEN coalesce(fee, 0) END AS x FROM visit WHERE pid NOT IN (SELECT pid FROM person)",
]  # fmt: skip

# text | code | place
REFUSED = [
    ("SELECT 1; SELECT 2", "unreadable", (0, 0)),
    ("INSERT INTO person VALUES (1)", "unreadable", (0, 0)),
    ("SELEC 1", "unreadable", (0, 0)),
    ("SELECT a FROM people", "table.unknown", (1, 15)),
    ("SELECT pid\nFROM main.person", "table.qualified", (2, 6)),
    ("SELECT a.b.c FROM person", "table.qualified", (1, 8)),
    ("SELECT 你, random() FROM person", "function", (1, 11)),
    ("SELECT error('x') FROM person", "function", (1, 8)),
    ("SELECT system.main.lower('x') FROM person", "function", (1, 8)),
    ("SELECT current_user FROM person", "function", (1, 8)),
    ("SELECT list(pid) FROM person", "function", (1, 8)),
    ("SELECT row_number() FROM person", "function", (1, 8)),
    ("SELECT __e FROM person", "name.hidden", (1, 8)),
    ("SELECT p.__e FROM person p", "name.hidden", (1, 8)),
    ("SELECT * FROM range(3)", "table_function", None),
    ("FROM read_parquet('x')", "table_function", None),
    ("SELECT unnest([1]) FROM person", "function", None),
    ("SELECT COLUMNS(*) FROM person", "node", (1, 16)),
    ("SELECT * LIKE 'a' FROM person", "node", None),
    ("SELECT pid FROM person WHERE pid = ALL (FROM visit)", "node", None),
    ("SELECT [x FOR x IN [1]] FROM person", None, None),
    ("SELECT pid FROM person WHERE pid = ?", "node", None),
    ("SELECT pid FROM person ORDER BY pid", "order", None),
    ("SELECT pid FROM (FROM person LIMIT 3)", "order", None),
    ("SELECT sum(fee ORDER BY d) FROM visit", "order", None),
    ("SELECT pid FROM person QUALIFY rank() OVER () = 1", "order", None),
    ("SELECT pid FROM person UNION FROM visit", "set_operation", None),
    ("FROM person EXCEPT ALL FROM visit", "set_operation", None),
    ("WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL FROM r) FROM r", "recursive", None),
    ("FROM person SEMI JOIN visit USING (pid)", "join.kind", None),
    ("FROM person ASOF JOIN visit USING (pid)", "join.kind", None),
    ("FROM person NATURAL JOIN visit", "join.kind", None),
    ("FROM person POSITIONAL JOIN visit", "join.kind", None),
    ("SELECT pid, count(*) FROM person GROUP BY ROLLUP (pid)", "node", None),
    ("SELECT DISTINCT ON (pid) age FROM person", "node", None),
    ("FROM person TABLESAMPLE 10%", "node", None),
    ("FROM person AT (VERSION => 1)", "node", None),
]  # fmt: skip


@pytest.mark.parametrize("text", PASSED)
def test_known_nodes_and_functions_over_known_tables_pass(text: str) -> None:
    allowed(text, TABLES)


@pytest.mark.parametrize(("text", "code", "place"), REFUSED)
def test_everything_else_is_denied_with_its_place(text: str, code: str | None, place: tuple[int, int] | None) -> None:
    with pytest.raises(Refused) as refused:
        allowed(text, TABLES, step="s")
    codes = {r.code for r in refused.value.refusals}
    assert code is None or code in codes
    assert place is None or place in {(r.line, r.column) for r in refused.value.refusals}


def test_a_text_too_deep_to_read_is_refused_and_not_a_crash() -> None:
    with pytest.raises(Refused):
        allowed(f"SELECT {'(' * 5000}1{')' * 5000} AS x FROM person", TABLES)
