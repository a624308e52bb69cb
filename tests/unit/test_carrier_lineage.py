"""Which columns reach a product in which way, and which expressions are laid before an officer."""

from __future__ import annotations

import pytest

from sandbox.products.carrier import Lineage, Program, Suspect, lineage

TABLES = {
    "person": ("pid", "street", "age", "income"),
    "visit": ("vid", "pid", "cid", "d", "fee"),
    "zone": ("street", "z"),
}
ROLES = {
    "person": {"pid": "key", "age": "quasi", "street": "open"},
    "visit": {"pid": "key", "vid": "key", "fee": "sensitive"},
}


def found(cube: str, **steps: str) -> tuple[Lineage, tuple[Suspect, ...]]:
    return lineage(Program(TABLES, steps, cube), ROLES)


def test_columns_are_told_apart_by_how_they_reach_the_product() -> None:
    step = "SELECT p.street, v.fee * 2 AS twice FROM visit v JOIN person p USING (pid) WHERE p.age > 18"
    of, suspects = found("SELECT street, sum(twice) AS s, count(*) AS n FROM v WHERE twice > 3 GROUP BY 1", v=step)
    assert of.values == {("visit", "fee")}
    assert of.conditions == {("visit", "fee"), ("visit", "pid"), ("person", "pid"), ("person", "age")}
    assert of.dimensions == {("person", "street")}
    assert suspects == ()


def test_what_only_decides_is_no_value() -> None:
    of, _ = found("SELECT sum(CASE WHEN income > 3 THEN age ELSE 0 END) AS s FROM person")
    assert (of.values, of.conditions) == ({("person", "age")}, {("person", "income")})
    of, _ = found("SELECT count(*) FILTER (WHERE income > 3) AS n FROM person")
    assert (of.values, of.conditions) == (frozenset(), {("person", "income")})


def test_a_subquery_brings_its_value_and_what_decided_it() -> None:
    step = "SELECT street, (SELECT max(v.fee) FROM visit v WHERE v.pid = p.pid AND v.d > 3) AS most FROM person p"
    of, _ = found("SELECT street, sum(most) AS s FROM x GROUP BY 1", x=step)
    assert of.values == {("visit", "fee")}
    assert of.conditions == {("visit", "pid"), ("person", "pid"), ("visit", "d")}


def test_margins_and_hidden_columns_of_the_generator_are_no_part_of_the_product() -> None:
    cube = (
        "SELECT street AS a, z AS b, avg(income) AS m, CASE grouping(street, z) WHEN 1 THEN 1 ELSE 0 END AS __g"
        " FROM p GROUP BY GROUPING SETS ((street, z), (street)) ORDER BY __g, 1 ASC NULLS LAST"
    )
    of, _ = found(cube, p="SELECT * FROM person JOIN zone USING (street)")
    assert of.dimensions == {("person", "street"), ("zone", "street"), ("zone", "z")}
    assert of.values == {("person", "income")}


def test_unions_and_stars_and_renamed_columns_keep_their_sources() -> None:
    money = "WITH a(who, money) AS (SELECT pid, income FROM person) SELECT * EXCLUDE (who) FROM a"
    step = f"{money} UNION ALL SELECT fee FROM visit"
    of, _ = found("SELECT sum(money) AS s FROM x", x=step)
    assert of.values == {("person", "income"), ("visit", "fee")}


# the measure | what is shown of it
SHOWN = [
    ("sum(CASE WHEN pid = 42 THEN income ELSE 1000000 END)", ["CASE WHEN pid = 42 THEN income ELSE 1000000 END"]),
    ("sum(income * (1 - sign(abs(pid - 42))))", ["income * (1 - SIGN(ABS(pid - 42)))"]),
    ("count(*) FILTER (WHERE pid <> 42 OR income > 20000)", ["pid <> 42 OR income > 20000"]),
    ("sum(coalesce(nullif(pid, 42), income))", ["COALESCE(NULLIF(pid, 42), income)"]),
    ("sum(if(age > 30 AND street = 'x', income, 0))", ["CASE WHEN age > 30 AND street = 'x' THEN income ELSE 0 END"]),
    ("median(income + age)", ["income + age"]),
    ("sum(income) / count(DISTINCT pid)", []),
    ("avg(age)", []),
    ("sum(CASE WHEN street = 'x' THEN income ELSE 0 END)", []),
    ("sum(income * 1.06)", []),
]  # fmt: skip


@pytest.mark.parametrize(("measure", "shown"), SHOWN)
def test_a_measure_that_turns_on_who_somebody_is_is_shown(measure: str, shown: list[str]) -> None:
    _, direct = found(f"SELECT street, {measure} AS m FROM person GROUP BY 1")
    assert [s.expression for s in direct] == shown


# the condition | whether it is shown
CONDITIONS = [
    ("age > 30", False),
    ("age BETWEEN 20 AND 30 AND income > 3", False),
    ("pid IS NOT NULL", False),
    ("income > 3 OR street = 'x'", False),
    ("age > 30 OR income > 3", True),
    ("NOT (age > 30)", True),
    ("pid <> 42", True),
    ("abs(pid - 42) > 0", True),
    ("pid NOT IN (1, 2)", True),
    ("pid IN (SELECT pid FROM visit WHERE fee > 3)", False),
    ("NOT EXISTS (FROM visit v WHERE v.pid = person.pid)", False),
    ("EXISTS (FROM visit v WHERE v.pid = person.pid AND v.vid <> 7)", True),
    ("CASE WHEN age = 30 THEN income ELSE 1 END > 0", True),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "shown"), CONDITIONS)
def test_a_filter_is_shown_where_it_is_more_than_a_plain_condition(condition: str, shown: bool) -> None:
    step = f"SELECT street, income FROM person WHERE {condition}"
    _, suspects = found("SELECT street, sum(income) AS s FROM x GROUP BY 1", x=step)
    assert bool(suspects) == shown and all(s.step == "x" for s in suspects)


def test_a_suspect_column_that_no_measure_reads_is_not_shown() -> None:
    step = "SELECT CASE WHEN age < 18 THEN 'child' ELSE 'grown' END AS band, income FROM person"
    assert found("SELECT band, sum(income) AS s FROM x GROUP BY 1", x=step)[1] == ()
    names = found("SELECT sum(income) AS s FROM x WHERE band = 'child'", x=step)[1]
    assert [(s.step, s.columns) for s in names] == [("x", ("person.age",))]
