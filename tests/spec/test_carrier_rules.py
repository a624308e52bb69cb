"""Which SQL carries the owner of a row, which becomes a reference step, and which is refused: one line a case.

Every text that is carried or frozen is also run: on a small city, what it gives must equal its carried form, and after
the removal of any single entity it must give exactly what the owners predict.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from sandbox.products.carrier import Carried, Refused, carry
from sandbox.products.carrier.refusals import runtime
from tests.carried import city, mistakes, relations, rows

CARRIED = [
    # tables, filters, projections
    "SELECT pid, income FROM person WHERE age >= 30",
    "FROM person",
    "FROM person SELECT street, age + 1 AS next WHERE income IS NOT NULL",
    "SELECT * FROM person",
    "SELECT * EXCLUDE (income) REPLACE (age // 10 AS age) FROM person",
    "SELECT p.*, 1 AS one FROM person AS p",
    "SELECT CASE WHEN age > 30 THEN 'old' ELSE street END AS x FROM person WHERE street LIKE '东%' OR age IN (20, 41)",
    # inner joins, in every spelling
    "SELECT p.street, v.fee FROM person p JOIN visit v ON v.pid = p.pid",
    "SELECT p.street, v.fee FROM person p, visit v WHERE v.pid = p.pid AND v.fee > 10",
    "SELECT p.street, v.fee FROM person p CROSS JOIN visit v WHERE p.pid = v.pid",
    "SELECT * FROM person JOIN visit USING (pid)",
    "SELECT pid, street, line FROM tap JOIN person USING (pid) JOIN visit USING (pid)",
    "SELECT a.income, b.income AS other FROM person a JOIN person b ON a.pid = b.pid",
    "SELECT zone, income FROM person JOIN street USING (street)",
    "SELECT zone, w, income FROM person JOIN street USING (street) JOIN weights USING (zone)",
    "SELECT w, income FROM weights JOIN person ON who = pid",
    # outer joins that keep the entity's side
    "SELECT p.pid, v.fee FROM person p LEFT JOIN visit v ON v.pid = p.pid AND v.fee > 10",
    "SELECT p.pid, v.fee FROM visit v RIGHT JOIN person p ON v.pid = p.pid",
    "SELECT * FROM person LEFT JOIN visit USING (pid)",
    "SELECT p.pid, zone FROM person p LEFT JOIN street USING (street)",
    "SELECT pid, zone FROM street RIGHT JOIN person USING (street)",
    "SELECT p.pid FROM person p LEFT JOIN visit v ON v.pid = p.pid WHERE v.pid IS NULL",
    "SELECT p.pid AS a, t.pid AS b, income, line FROM person p FULL JOIN tap t ON p.pid = t.pid",
    "SELECT pid, income, line FROM person FULL JOIN tap USING (pid)",
    # sub-selects, CTEs, UNION ALL
    "SELECT street, twice FROM (SELECT street, income * 2 AS twice FROM person WHERE age > 20) WHERE twice > 100",
    "WITH rich AS (SELECT pid, income FROM person WHERE income > 90) SELECT fee FROM rich JOIN visit USING (pid)",
    "WITH a(who, money) AS (SELECT pid, income FROM person), b AS (SELECT * FROM a) SELECT money FROM b",
    "SELECT who FROM (SELECT pid, income FROM person) AS t(who, money) WHERE money > 90",
    "SELECT pid, income AS x FROM person UNION ALL SELECT pid, fee FROM visit",
    "SELECT income AS x FROM person UNION ALL SELECT w FROM weights UNION ALL SELECT 7",
    "SELECT x + y AS z FROM (VALUES (1, 2), (3, 4)) AS t(x, y)",
    # groups, DISTINCT and windows by a column that determines the entity
    "SELECT pid, count(*) AS n, sum(fee) AS total FROM visit GROUP BY pid",
    "SELECT p.pid, count(v.vid) AS n FROM person p LEFT JOIN visit v ON v.pid = p.pid GROUP BY 1",
    "SELECT pid, d, max(fee) AS most FROM visit GROUP BY ALL",
    "SELECT pid AS who, avg(fee) AS mean FROM visit GROUP BY who HAVING count(*) > 1",
    "SELECT vid, sum(fee) AS s FROM visit JOIN tap ON tap.pid = visit.pid GROUP BY vid",
    "SELECT who, sum(income) AS s FROM weights JOIN person ON who = pid GROUP BY who",
    "SELECT n, count(*) FILTER (x > 20) AS m FROM (SELECT pid AS n, fee AS x FROM visit) GROUP BY n",
    "SELECT DISTINCT pid, street FROM person JOIN visit USING (pid)",
    "SELECT DISTINCT pid, count(*) AS n FROM visit GROUP BY pid, d",
    "SELECT pid, row_number() OVER (PARTITION BY pid ORDER BY d, vid) AS nth FROM visit",
    "SELECT fee - lag(fee) OVER (PARTITION BY pid ORDER BY vid) AS change FROM visit WHERE pid IS NOT NULL",
    "SELECT pid, sum(sum(fee)) OVER (PARTITION BY pid ORDER BY d) AS so_far FROM visit GROUP BY pid, d",
    "SELECT d, n FROM (SELECT d, count(*) OVER (PARTITION BY pid) AS n FROM visit) WHERE n > 1",
    # sub-queries tied to the entity of the outer row
    "SELECT street FROM person WHERE EXISTS (FROM visit WHERE visit.pid = person.pid AND fee > 10)",
    "SELECT street FROM person p WHERE NOT EXISTS (SELECT 1 FROM visit v WHERE v.pid = p.pid)",
    "SELECT street FROM person p WHERE age > 40 OR EXISTS (FROM visit v WHERE v.pid = p.pid)",
    "SELECT street, (SELECT sum(fee) FROM visit v WHERE v.pid = p.pid) AS fees FROM person p",
    "SELECT street FROM person p WHERE 9 > (SELECT avg(fee) FROM visit JOIN tap USING (pid) WHERE tap.pid = p.pid)",
    "SELECT fee FROM visit v WHERE fee < (SELECT max(o.fee) FROM visit o WHERE o.pid = v.pid AND o.vid <> v.vid)",
    "SELECT d FROM visit v WHERE EXISTS (FROM person p WHERE p.pid = v.pid AND EXISTS (FROM tap WHERE pid = v.pid))",
    "SELECT street FROM person WHERE pid IN (SELECT pid FROM visit WHERE fee > 10)",
    "SELECT street FROM person WHERE pid IN (SELECT pid FROM visit GROUP BY pid HAVING count(*) > 1) OR age = 70",
    "SELECT d FROM visit WHERE pid IS NOT NULL AND fee IN (SELECT o.fee FROM visit o WHERE o.pid = visit.pid)",
    "SELECT street FROM (SELECT * FROM person WHERE pid IS NOT NULL) q"
    " WHERE q.pid NOT IN (SELECT pid FROM tap WHERE pid IS NOT NULL)",
    "SELECT pid, sum(fee) AS s FROM visit GROUP BY pid HAVING sum(fee) >"
    " (SELECT count(*) FROM tap WHERE tap.pid = visit.pid)",
    # sub-queries that read none of these entities
    "SELECT income FROM person WHERE street IN (SELECT street FROM street WHERE zone = 'A')",
    "SELECT income * (SELECT max(w) FROM weights) AS x FROM person",
    "SELECT (SELECT sum(w) FROM weights JOIN street s USING (zone) WHERE s.street = p.street) AS w FROM person p",
    "SELECT zone, count(*) AS n, rank() OVER (ORDER BY zone) AS r FROM street GROUP BY zone",
    # names
    'SELECT "PID", "Income" AS "收 入", AGE AS "age""x" FROM PERSON AS "P""q" WHERE "P""q"."Age" > 20',
    'SELECT PERSON.Pid FROM Person JOIN (SELECT pid AS "PID" FROM visit) V ON v.PID = person.pid',
    'SELECT "ｐｉｄ" AS "Ｐｉｄ" FROM (SELECT pid AS "ｐｉｄ", 1 AS "ＰＩＤ" FROM person)',
]  # fmt: skip

FROZEN = [
    "SELECT pid FROM person WHERE income > (SELECT avg(income) FROM person)",
    "SELECT pid, income / (SELECT sum(income) FROM person) AS share FROM person",
    "SELECT p.pid, income - mean AS above FROM person p"
    " JOIN (SELECT street, avg(income) AS mean FROM person GROUP BY street) m ON m.street = p.street",
    "WITH mean AS (SELECT street, avg(income) AS m FROM person GROUP BY street)"
    " SELECT pid, m FROM person JOIN mean USING (street)",
    "WITH v AS (SELECT pid, fee FROM visit) SELECT fee FROM v WHERE fee >= (SELECT median(fee) FROM v)",
    "SELECT pid, sum(fee) AS s FROM visit GROUP BY pid HAVING sum(fee) > (SELECT 0.3 * sum(fee) FROM visit)",
    "SELECT pid FROM person WHERE street IN (SELECT street FROM person GROUP BY street HAVING count(*) > 1)",
    "SELECT w FROM weights WHERE w > (SELECT min(age) / 10 FROM person)",
]  # fmt: skip

SEVERAL = [
    "SELECT a.pid AS x, b.pid AS y FROM person a JOIN person b ON a.street = b.street AND a.pid < b.pid",
    "SELECT a.age, b.age AS other FROM (SELECT * FROM person WHERE age > 20) a, person b, street",
    "SELECT a.pid, b.fee FROM person a JOIN visit b ON a.pid = b.pid",
    "SELECT a.age AS x FROM person a JOIN person b ON a.street = b.street UNION ALL SELECT age FROM person"
    " UNION ALL SELECT 1",
    "SELECT a.age FROM person a JOIN person b ON a.age = b.age WHERE EXISTS (FROM visit v WHERE v.pid = a.pid)",
]  # fmt: skip

# text | refused with | line, column
REFUSED = [
    ("", "unreadable", (0, 0)),
    ("SELECT pid FROM", "unreadable", (0, 0)),
    ("SELECT 1; SELECT 2", "unreadable", (0, 0)),
    ("DELETE FROM person", "unreadable", (0, 0)),
    ("SELECT pid FROM people", "table.unknown", (1, 17)),
    ("SELECT pid FROM main.person", "table.qualified", (1, 17)),
    ("SELECT pid FROM 'person.parquet'", "table.unknown", None),
    ("SELECT pidd FROM person", "name.unknown", (1, 8)),
    ("SELECT pid FROM person JOIN visit ON true", "name.ambiguous", (1, 8)),
    ("SELECT p FROM person p", "name.unknown", (1, 8)),
    ("SELECT p.__e FROM person p", "name.hidden", (1, 10)),
    ('SELECT pid AS "__x" FROM person', "name.hidden", (1, 15)),
    ('WITH "__k" AS (FROM person) SELECT 1 AS x FROM "__k"', "name.hidden", (1, 6)),
    ("SELECT age FROM person, person", "name.twice", None),
    ("WITH person AS (SELECT 1 AS x) SELECT x FROM person", "name.twice", (1, 6)),
    ("SELECT pid, pid FROM person", "name.twice", (1, 13)),
    ("SELECT x FROM (SELECT age + 1, age AS x FROM person)", "name.missing", (1, 23)),
    # order, cuts, samples
    ("SELECT pid FROM person ORDER BY income", "order", (1, 33)),
    ("SELECT pid FROM person\nLIMIT 3", "order", (2, 7)),
    ("SELECT pid FROM person OFFSET 2", "order", (1, 31)),
    ("SELECT pid FROM (SELECT pid FROM person ORDER BY age LIMIT 3)", "order", None),
    ("SELECT pid FROM person QUALIFY row_number() OVER (PARTITION BY pid) = 1", "order", None),
    ("SELECT DISTINCT ON (street) pid FROM person", "node", None),
    ("SELECT pid FROM person USING SAMPLE 2", "node", None),
    ("SELECT pid FROM person TABLESAMPLE 10%", "node", None),
    # set operations and recursion
    ("SELECT pid FROM person UNION SELECT pid FROM visit", "set_operation", None),
    ("SELECT pid FROM person EXCEPT SELECT pid FROM visit", "set_operation", None),
    ("SELECT pid FROM person INTERSECT ALL SELECT pid FROM visit", "set_operation", None),
    ("SELECT pid FROM person UNION ALL BY NAME SELECT pid FROM visit", "node", None),
    ("WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r) SELECT i FROM r", "recursive", None),
    # joins
    ("SELECT p.pid FROM person p SEMI JOIN visit v ON v.pid = p.pid", "join.kind", None),
    ("SELECT p.pid FROM person p ANTI JOIN visit v ON v.pid = p.pid", "join.kind", None),
    ("SELECT p.pid FROM person p ASOF JOIN visit v ON p.pid = v.pid AND p.age >= v.d", "join.kind", None),
    ("SELECT p.pid FROM person p POSITIONAL JOIN visit v", "join.kind", None),
    ("SELECT age FROM person NATURAL JOIN visit", "join.kind", None),
    ("SELECT a.age FROM person a, street s LEFT JOIN person c ON c.street = s.street", "join.comma", None),
    ("SELECT zone, pid FROM street LEFT JOIN person USING (street)", "join.outer", None),
    ("SELECT zone, pid FROM person RIGHT JOIN street USING (street)", "join.outer", None),
    ("SELECT zone, pid FROM person FULL JOIN street USING (street)", "join.outer", None),
    ("SELECT a.pid FROM person a FULL JOIN visit b ON a.age = b.fee", "join.full", None),
    ("SELECT p.pid, f FROM person p, LATERAL (SELECT max(fee) AS f FROM visit WHERE visit.pid = p.pid)", None, None),
    ("SELECT p.pid, f FROM person p, (SELECT fee AS f FROM visit WHERE visit.pid = p.pid)", "name.unknown", (1, 78)),
    # functions
    ("SELECT random() AS r FROM person", "function", (1, 8)),
    ("SELECT error('x') AS r FROM person", "function", (1, 8)),
    ('SELECT "error"(street) AS r FROM person', "function", None),
    ("SELECT now() AS r FROM person", "function", (1, 8)),
    ("SELECT current_date AS r FROM person", None, None),
    ("SELECT user AS r FROM person", None, None),
    ("SELECT getvariable('gone') AS r FROM person", "function", (1, 8)),
    ("SELECT main.lower(street) AS r FROM person", "node", None),
    ("SELECT list(income) AS r FROM person GROUP BY pid", "function", (1, 8)),
    ("SELECT string_agg(street) AS r FROM person GROUP BY pid", "function", (1, 8)),
    ("SELECT arg_max(street, income) AS r FROM person GROUP BY pid", "function", (1, 8)),
    ("SELECT first(income) AS r FROM person GROUP BY pid", "window_function", (1, 8)),
    ("SELECT any_value(income) AS r FROM person GROUP BY pid", "function", (1, 8)),
    ("SELECT sum(fee ORDER BY d) AS r FROM visit GROUP BY pid", "order", None),
    ("SELECT unnest([1, 2]) AS r FROM person", None, None),
    ("SELECT x FROM range(3) t(x)", "table_function", None),
    ("SELECT x FROM read_csv('a.csv')", "table_function", None),
    ("SELECT COLUMNS(*) FROM person", None, None),
    ("SELECT ? AS x FROM person", None, None),
    ("SELECT {'a': pid} AS x FROM person", "node", None),
    ("PIVOT person ON street USING sum(income)", None, None),
    # aggregates, DISTINCT and windows across entities
    ("SELECT street, avg(income) AS m FROM person GROUP BY street", "aggregate.not_determined", (1, 54)),
    ("SELECT count(*) AS n FROM person", "aggregate.not_determined", (1, 8)),
    ("SELECT pid % 2 AS half, sum(fee) AS s FROM visit GROUP BY pid % 2", "aggregate.not_determined", None),
    ("SELECT street, sum(income) AS s FROM person GROUP BY ROLLUP (street)", "node", None),
    ("SELECT pid, sum(fee) AS s FROM visit GROUP BY GROUPING SETS ((pid), ())", "node", None),
    ("SELECT DISTINCT street FROM person", "distinct.not_determined", None),
    ("SELECT pid, row_number() OVER (ORDER BY income) AS r FROM person", "window.not_determined", (1, 13)),
    ("SELECT pid, avg(income) OVER (PARTITION BY street) AS m FROM person", "window.not_determined", (1, 13)),
    ("SELECT avg(n) AS m FROM (SELECT rank() OVER () AS n FROM person) GROUP BY n", "window.not_determined", None),
    ("SELECT pid, rank() OVER w AS r FROM person WINDOW w AS (PARTITION BY pid)", None, None),
    ("SELECT pid, first_value(fee IGNORE NULLS) OVER (PARTITION BY pid) AS r FROM visit", "node", None),
    # sub-queries over others
    ("SELECT age FROM person p WHERE EXISTS (FROM visit v WHERE v.d = p.age)", "subquery.correlated", None),
    ("SELECT age FROM person p WHERE EXISTS (FROM visit v WHERE v.pid = p.pid OR d = 3)", "subquery.correlated", None),
    ("SELECT age FROM person p WHERE EXISTS (FROM visit v WHERE NOT (v.pid = p.pid))", "subquery.correlated", None),
    ("SELECT age FROM person p WHERE EXISTS (FROM visit v WHERE (v.pid = p.pid) = FALSE)", "subquery.correlated", None),
    ("SELECT age FROM person p WHERE EXISTS (FROM visit v WHERE v.pid = p.pid + 1)", "subquery.correlated", None),
    ("SELECT age FROM person p WHERE EXISTS (FROM visit v WHERE v.vid = p.pid)", "subquery.correlated", None),
    ("SELECT age FROM person p WHERE EXISTS (FROM visit v, visit o WHERE v.pid = p.pid AND o.d = v.d)",
     "subquery.correlated", None),
    ("SELECT age FROM person p WHERE EXISTS (FROM tap LEFT JOIN visit ON fee = p.pid)", "subquery.correlated", None),
    ("SELECT w FROM weights WHERE w > (SELECT avg(age) FROM person WHERE pid = who)", "subquery.correlated", None),
    ("SELECT age FROM person WHERE EXISTS (FROM visit WHERE fee > 10)", "subquery.records", None),
    ("SELECT age FROM person WHERE age IN (SELECT fee FROM visit)", "subquery.records", None),
    ("SELECT age FROM person WHERE pid IN (SELECT vid FROM visit)", "subquery.records", None),
    ("SELECT age FROM person WHERE pid IN (SELECT a.pid FROM visit a JOIN tap b ON d = 3)", "subquery.records", None),
    ("SELECT age FROM person WHERE age = ANY (SELECT fee FROM visit)", "node", None),
    ("SELECT p.pid FROM person p JOIN visit v ON v.pid = p.pid AND v.fee > (SELECT avg(fee) FROM visit)",
     "subquery.place", None),
    ("SELECT x FROM (VALUES ((SELECT max(income) FROM person))) t(x)", "subquery.place", None),
]  # fmt: skip

MIXED = [
    "SELECT a.pid FROM person a JOIN person b ON a.street = b.street",
    "SELECT a.pid FROM person a, visit b",
    "SELECT v.vid, count(*) AS n FROM person p LEFT JOIN visit v ON v.pid = p.pid GROUP BY v.vid",
    "SELECT v.vid, count(*) AS n FROM person p LEFT JOIN visit v ON v.pid = p.pid GROUP BY v.vid HAVING count(*) < 3",
    "SELECT v.vid, rank() OVER (PARTITION BY v.vid) AS r FROM person p LEFT JOIN visit v ON v.pid = p.pid",
    "SELECT DISTINCT v.vid FROM person p LEFT JOIN visit v ON v.pid = p.pid",
    "SELECT p.pid FROM person p LEFT JOIN visit v ON v.fee > p.age",
]  # fmt: skip


@pytest.fixture(scope="module", name="persons")
def persons_of_the_city() -> Iterator[duckdb.DuckDBPyConnection]:
    with city("person") as con:
        yield con


@pytest.fixture(scope="module", name="clinics")
def clinics_of_the_city() -> Iterator[duckdb.DuckDBPyConnection]:
    with city("clinic") as con:
        yield con


def carried(text: str, *, several: bool = False) -> Carried:
    return carry(text, relations("person"), step="s", several=several)


@pytest.mark.parametrize("text", CARRIED)
def test_a_carried_text_says_what_the_removal_of_any_person_changes(
    persons: duckdb.DuckDBPyConnection, text: str
) -> None:
    found = carried(text)
    assert found.frozen == () and found.text == text
    assert mistakes(persons, text, found, "person") == []


@pytest.mark.parametrize("text", FROZEN)
def test_a_figure_over_other_entities_becomes_a_reference_step_of_its_own(
    persons: duckdb.DuckDBPyConnection, text: str
) -> None:
    found = carried(text)
    assert len(found.frozen) == 1 and found.frozen[0].name in found.text and found.frozen[0].name in found.sql
    assert mistakes(persons, text, found, "person") == []


@pytest.mark.parametrize("text", SEVERAL)
def test_a_row_of_several_entities_stays_only_while_all_of_them_do(
    persons: duckdb.DuckDBPyConnection, text: str
) -> None:
    found = carried(text, several=True)
    assert mistakes(persons, text, found, "person") == []


@pytest.mark.parametrize(("text", "code", "place"), REFUSED)
def test_what_no_rule_covers_is_refused_with_its_place_and_a_repair(
    text: str, code: str | None, place: tuple[int, int] | None
) -> None:
    with pytest.raises(Refused) as refused:
        carried(text)
    first = refused.value.refusals[0]
    assert code in (None, first.code)
    assert place in (None, (first.line, first.column))
    assert first.step == "s" and all(side for text in (first.text, first.repair) for side in (text.zh, text.en))


@pytest.mark.parametrize("text", MIXED)
def test_rows_of_two_owners_stop_the_carried_text_when_it_runs(persons: duckdb.DuckDBPyConnection, text: str) -> None:
    found = carried(text)
    with pytest.raises(duckdb.Error, match="mixed_owner"):
        rows(persons, "k", found.sql)


@pytest.mark.parametrize("text", [*CARRIED, *FROZEN])
def test_the_same_text_seen_by_another_kind_of_entity_is_right_as_well(
    clinics: duckdb.DuckDBPyConnection, text: str
) -> None:
    try:
        found = carry(text, relations("clinic"), step="s")
    except Refused:
        return
    try:
        assert mistakes(clinics, text, found, "clinic") == []
    except duckdb.Error as error:
        assert runtime(str(error)) is not None
