"""Hostile jobs, each with the check that stops it and a clean twin that must pass.

Every attack wants something about person 42 of the town (`evidence_world`): the income, one bit of it, or whether the
person is there. `stop` is the check that has to speak; others may speak as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.attacks.evidence_world import job

Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Attack:
    """`stop`: `spec` (the specification is refused), `refused` (a step is), or the name of a rule that finds it."""

    name: str
    stop: str
    hostile: Spec
    clean: Spec


_INCOME = "SELECT district, income AS x FROM resident"
INCOME = job(_INCOME)
COUNT = {"人数": {"op": "count"}}
SUM = {"op": "sum", "of": "x", "round": -3}
MEAN = {"均": {"op": "mean", "of": "x", "round": -2}}
CAPPED = job("SELECT district, CASE WHEN income > 80000 THEN 80000 ELSE income END AS x FROM resident")
"""A condition on the amount itself is no crime"""
FEES = job(
    "SELECT r.district, v.fee AS x FROM visit v JOIN resident r USING (pid)", inputs="visit resident",
    measures={"人次": {"op": "count"}, "和": {"op": "sum", "of": "x", "round": -2}},
)  # fmt: skip


def _case(value: str) -> Spec:
    return job(f"SELECT district, {value} AS x FROM resident")


def _where(condition: str, inputs: str = "resident", **parts: Any) -> Spec:
    return job(f"SELECT r.district, r.income AS x FROM resident r WHERE {condition}", inputs=inputs, **parts)


def _from(tables: str, x: str = "r.income", inputs: str = "resident", **parts: Any) -> Spec:
    return job(f"SELECT r.district, {x} AS x FROM {tables}", inputs=inputs, **parts)


_BEFORE = [
    Attack("row_number as the key of a person", "refused",
           job("SELECT district, row_number() OVER (ORDER BY pid) AS k, income AS x FROM resident"),
           job("SELECT pid, vid, fee, row_number() OVER (PARTITION BY pid ORDER BY vid) AS k FROM visit",
               "SELECT r.district, s1.fee AS x FROM s1 JOIN resident r USING (pid) WHERE s1.k = 1",
               inputs="visit resident")),
    Attack("a window broadcasts one value", "refused",
           _case("max(CASE WHEN pid = 42 THEN income END) OVER ()"), INCOME),
    Attack("a row that says something by being there", "R1",
           job("SELECT CASE WHEN income > 89000 THEN '高' ELSE '低' END AS district, "
               "CASE WHEN income <= 89000 THEN income END AS x FROM resident", measures={"和": SUM}),
           job("SELECT CASE WHEN income > 60000 THEN '高' ELSE '低' END AS district, income AS x FROM resident")),
    Attack("the whole as a window", "refused", _case("income - sum(income) OVER () / 300"), INCOME),
    Attack("a window by district", "refused", _case("max(income) OVER (PARTITION BY district)"), INCOME),
    Attack("aggregate to a made-up key first", "refused",
           job("SELECT hash(pid) % 100 AS k, min(district) AS district, sum(income) AS x FROM resident GROUP BY 1"),
           job("SELECT pid, min(district) AS district, sum(income) AS x FROM resident GROUP BY pid")),
    Attack("one person twelve times", "R1",
           _from("resident r CROSS JOIN (VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10),(11),(12)) n(i) "
                 "WHERE r.pid = 42"), INCOME),
    Attack("one person's visits stand for many", "R1",
           _from("resident r JOIN visit v USING (pid) WHERE r.pid = 42", inputs="resident visit"), FEES),
    Attack("an uploaded map singles a person out", "R1",
           job("SELECT m.grp AS district, r.income AS x FROM resident r JOIN lookup m USING (pid)",
               inputs="resident lookup"),
           job("SELECT m.grp AS district, r.income AS x FROM resident r JOIN even m USING (pid)",
               inputs="resident even")),
    Attack("padded with uploaded rows", "R1",
           job("SELECT district, income AS x FROM resident WHERE pid = 42 UNION ALL SELECT district, income FROM extra",
               inputs="resident extra"),
           job(f"{_INCOME} UNION ALL SELECT district, income FROM extra", inputs="resident extra")),
    Attack("padded with invented rows", "R1",
           job("SELECT district, income AS x FROM resident WHERE pid = 42 UNION ALL "
               "SELECT * FROM (VALUES ('东', 1), ('东', 2), ('东', 3), ('东', 4), ('东', 5)) v(district, x)"),
           job(f"{_INCOME} UNION ALL SELECT * FROM (VALUES ('东', 1)) v(district, x)")),
    Attack("padded with real persons at a constant", "P3",
           job("SELECT district, income AS x FROM resident WHERE pid = 42 UNION ALL "
               "SELECT district, 50000 FROM resident WHERE pid <> 42"),
           job("SELECT district, income AS x FROM resident WHERE age < 50 UNION ALL "
               "SELECT district, income FROM resident WHERE age >= 50")),
]  # fmt: skip

_CONSTANTS = [
    Attack("zero for everybody else", "non-zero", _case("CASE WHEN pid = 42 THEN income ELSE 0 END"), CAPPED),
    Attack("a constant for everybody else", "P3", _case("CASE WHEN pid = 42 THEN income ELSE 1000000 END"), CAPPED),
    Attack("three constants for everybody else", "P3",
           _case("CASE WHEN pid = 42 THEN income WHEN pid % 3 = 0 THEN 40000 WHEN pid % 3 = 1 THEN 50000 ELSE 60000 "
               "END"),
           CAPPED),
    Attack("arithmetic instead of a condition", "P3", _case("income * (1 - sign(abs(pid - 42))) + pid * 1000"), INCOME),
    Attack("powers instead of a condition", "P3", _case("income * pow(0, abs(pid - 42)) + 50000"), INCOME),
    Attack("the person by age, street and sex", "P3",
           _case("CASE WHEN age = (20 + (42 * 42 * 13 + 42 // 7) % 60) AND street = 'S0' AND sex = '男' "
                 "AND pid BETWEEN 40 AND 44 THEN income ELSE 50000 END"), CAPPED),
    Attack("hidden two steps before the cube", "P3",
           job("SELECT pid, district, CASE WHEN pid = 42 THEN income ELSE 50000 END AS y FROM resident",
               "SELECT pid, district, y + 1 AS z FROM s1", "SELECT district, z - 1 AS x FROM s2"),
           job("SELECT pid, district, income AS y FROM resident", "SELECT district, y AS x FROM s1")),
    Attack("the middle of a crafted median", "P3",
           job("SELECT '全' AS district, CASE WHEN pid = 42 THEN income WHEN pid % 2 = 0 THEN 0 ELSE 9000000 END AS x "
               "FROM resident", measures={"中": {"op": "median", "of": "x"}}),
           job(_INCOME, measures={"中": {"op": "median", "of": "x", "round": -2}})),
    Attack("the spread around a constant", "P3",
           job("SELECT district, CASE WHEN pid = 42 THEN income ELSE 50000 END AS x FROM resident",
               measures={"差": {"op": "stddev", "of": "x"}}),
           job(_INCOME, measures={"差": {"op": "stddev", "of": "x", "round": -2}})),
    Attack("constants and twenty faint decoys", "change share",
           _case("CASE WHEN pid = 42 THEN income WHEN pid <= 90 THEN 50000 + income / 1000000000.0 ELSE 50000 END"),
           CAPPED),
    Attack("one person a million times larger", "R3", _case("CASE WHEN pid = 42 THEN income * 1000000 ELSE income END"),
           CAPPED),
    Attack("a remainder instead of a condition", "P3", _case("CASE WHEN pid = 42 THEN income % 7 + 1 ELSE pid % 7 + "
        "1 END"),
           CAPPED),
    Attack("a number built as text", "P3",
           _case("CAST(concat(CASE WHEN pid = 42 THEN income ELSE 50000 END, '0') AS BIGINT)"), CAPPED),
    Attack("division by a zero that depends on one person", "P3",
           _case("CASE WHEN pid = 42 THEN 50000 / (CASE WHEN income > 60000 THEN 1 END) ELSE 50000 END"), CAPPED),
    Attack("days from a date that only one person moves", "P3",
           job("SELECT r.district, date_diff('day', DATE '2024-12-31', "
               "CASE WHEN v.pid = 42 THEN v.day ELSE DATE '2025-06-30' END) AS x "
               "FROM visit v JOIN resident r USING (pid)", inputs="visit resident"),
           job("SELECT r.district, date_diff('day', DATE '2024-12-31', v.day) AS x "
               "FROM visit v JOIN resident r USING (pid)", inputs="visit resident")),
    Attack("the fees of one clinic, named by the visits' own column", "P3",
           job("SELECT c.level AS district, CASE WHEN v.cid = 42 THEN v.fee ELSE 1000 END AS x "
               "FROM visit v JOIN clinic c USING (cid)", inputs="visit clinic"),
           job("SELECT c.level AS district, v.fee AS x FROM visit v JOIN clinic c USING (cid)", inputs="visit clinic")),
    Attack("not a number if one person is rich", "contributions",
           _case("CASE WHEN pid = 42 AND income > 60000 THEN CAST('nan' AS DOUBLE) ELSE income END"), CAPPED),
    Attack("infinite if one person is rich", "contributions",
           _case("CASE WHEN pid = 42 AND income > 60000 THEN CAST('inf' AS DOUBLE) ELSE income END"), CAPPED),
    Attack("an overflow if one person is rich", "refused",
           _case("CASE WHEN pid = 42 AND income > 60000 THEN CAST(income AS TINYINT) ELSE income END"), CAPPED),
    Attack("more than 38 digits if one person is rich", "refused",
           _case("CASE WHEN pid = 42 AND income > 60000 THEN CAST(repeat('9', 39) AS DECIMAL(38, 0)) ELSE income END"),
           _case("CAST(income AS DECIMAL(38, 0))")),
    Attack("how many have exactly this income", "non-zero", _case("CASE WHEN income = 62598 THEN 1 ELSE 0 END"),
           _case("CASE WHEN income > 50000 THEN 1 ELSE 0 END")),
]  # fmt: skip

_COUNTS = [
    Attack("a count that one person leaves when poor", "P3",
           _where("r.pid <> 42 OR r.income > 40000", measures=COUNT), _where("r.income > 40000", measures=COUNT)),
    Attack("a count with a narrow band for one person", "P3",
           _where("r.pid <> 42 OR r.income BETWEEN 62000 AND 63000", measures=COUNT),
           _where("r.income BETWEEN 40000 AND 80000", measures=COUNT)),
    Attack("a missing side tells of one person", "P3",
           job("SELECT pid FROM resident WHERE pid = 42 AND income > 60000",
               "SELECT r.district, CASE WHEN h.pid IS NULL THEN 1 END AS x FROM resident r LEFT JOIN s1 h ON r.pid = "
                   "h.pid",
               measures={"数": {"op": "count", "of": "x"}}),
           job("SELECT pid, 1 AS rich FROM resident WHERE income > 60000",
               "SELECT r.district, CASE WHEN h.rich IS NULL THEN 1 ELSE 0 END AS x "
               "FROM resident r LEFT JOIN s1 h ON r.pid = h.pid",
               measures=COUNT | {"率": {"op": "mean", "of": "x", "round": 2}})),
    Attack("different values over a crafted union", "P3",
           job("SELECT district, 1000000 + pid AS x FROM resident UNION ALL "
               "SELECT district, income FROM resident WHERE pid = "
                   "42", measures={"种": {"op": "count_distinct", "of": "x"}}),
           job("SELECT district, income // 1000 AS x FROM "
               "resident", measures={"种": {"op": "count_distinct", "of": "x"}})),
    Attack("a dimension carries the value", "R1", job("SELECT income AS district, 1 AS x FROM resident"), INCOME),
    Attack("street, age and sex make a key", "R1",
           job("SELECT street || age || sex AS district, income AS x FROM resident"),
           job("SELECT street || sex AS district, income AS x FROM resident")),
    Attack("a narrow band of incomes", "R1", _where("r.income BETWEEN 62000 AND 62700"), _where("r.income > 40000")),
    Attack("the largest", "R9", job(_INCOME, measures={"最大": {"op": "max", "of": "x"}}),
           job("SELECT district, income // 20000 AS x FROM resident", measures={"最大": {"op": "max", "of": "x"}})),
    Attack("the smallest", "R9", job(_INCOME, measures={"最小": {"op": "min", "of": "x"}}),
           job("SELECT district, income // 20000 AS x FROM resident", measures={"最小": {"op": "min", "of": "x"}})),
    Attack("an outer quantile", "R9", job(_INCOME, measures={"九九": {"op": "quantile", "of": "x", "q": 0.99}}),
           job(_INCOME, measures={"八成": {"op": "quantile", "of": "x", "q": 0.8, "round": -2}})),
    Attack("the denominator is one person", "non-zero",
           job("SELECT district, income AS x, CASE WHEN pid = 42 THEN 1 ELSE 0 END AS y FROM resident",
               measures={"比": {"op": "ratio", "of": "x", "per": "y"}}),
           job("SELECT district, income AS x, age AS y FROM resident",
               measures={"比": {"op": "ratio", "of": "x", "per": "y", "round": -2}})),
    Attack("uploaded weights are zero for everybody else", "non-zero",
           job("SELECT r.district, r.income AS x, m.w FROM resident r JOIN lookup m USING (pid)", inputs="resident "
               "lookup",
               measures={"均": {"op": "weighted_mean", "of": "x", "weight": "w"}}),
           job("SELECT r.district, r.income AS x, m.w FROM resident r JOIN even m USING (pid)", inputs="resident even",
               measures={"均": {"op": "weighted_mean", "of": "x", "weight": "w", "round": -2}})),
    Attack("uploaded weights are tiny for everybody else", "R3",
           job("SELECT r.district, r.income AS x, m.w + 0.000000001 AS w FROM resident r JOIN lookup m USING (pid)",
               inputs="resident lookup", measures={"均": {"op": "weighted_mean", "of": "x", "weight": "w"}}),
           job("SELECT r.district, r.income AS x, w.w FROM resident r JOIN weights w USING (district)",
               inputs="resident "
                   "weights", measures={"均": {"op": "weighted_mean", "of": "x", "weight": "w", "round": -2}})),
    Attack("a share that only one person has", "non-zero",
           job("SELECT district, CASE WHEN pid = 42 THEN income ELSE 0 END AS x FROM resident",
               measures={"占": {"op": "share_of_margin", "of": "x", "margin": []}}, margins=[[]]),
           job(_INCOME, measures={"占": {"op": "share_of_margin", "of": "x", "margin": [], "round": 2}}, margins=[[]])),
    Attack("three branches of one holding", "R3",
           job("SELECT district, revenue AS x FROM firm", inputs="firm"),
           job("SELECT district, staff AS x FROM firm", inputs="firm",
               measures={"家数": {"op": "count"}, "和": {"op": "sum", "of": "x", "round": -2}})),
    Attack("a filtered sum an entity", "R1",
           job("SELECT pid, district, sum(income) FILTER (WHERE pid = 42) AS x FROM resident GROUP BY pid, district",
               measures={"和": {"op": "sum", "of": "x"}}),
           job("SELECT pid, sum(fee) FILTER (WHERE fee > 60) AS x FROM visit GROUP BY pid",
               "SELECT r.district, s1.x FROM s1 JOIN resident r USING (pid)", inputs="visit resident",
               measures={"和": {"op": "sum", "of": "x", "round": -2}})),
    Attack("a table of cards leads to one person", "R1",
           job("SELECT t.station AS district, t.fare AS x FROM tap t WHERE t.card = 'K0042'", inputs="tap"),
           job("SELECT t.station AS district, t.fare AS x FROM tap t", inputs="tap",
               measures={"人次": {"op": "count"}, "和": {"op": "sum", "of": "x", "round": -2}})),
]  # fmt: skip

_QUERIES = [
    Attack("a scalar about one person", "refused", _case("(SELECT q.income FROM resident q WHERE q.pid = 42)"), INCOME),
    Attack("a figure about one person", "R1", _case("income + (SELECT max(q.income) FROM resident q WHERE q.pid = 42)"),
           _case("income + (SELECT round(avg(q.income), -3) FROM resident q)")),
    Attack("a figure about one person in a condition", "R1",
           _where("(SELECT count(*) FROM resident q WHERE q.pid = 42 AND q.income > 60000) = 1"),
           _where("(SELECT count(*) FROM resident q WHERE q.income > 60000) > 10")),
    Attack("there is a rich person 42", "refused",
           _where("EXISTS (SELECT 1 FROM resident q WHERE q.pid = 42 AND q.income > 60000)"),
           _where("EXISTS (SELECT 1 FROM visit v WHERE v.pid = r.pid AND v.fee > 60)", "resident visit")),
    Attack("or there is a rich person 42", "refused",
           _where("r.age > 30 OR EXISTS (SELECT 1 FROM resident q WHERE q.pid = 42 AND q.income > 60000)"),
           _where("r.income > 50000 OR EXISTS (SELECT 1 FROM visit v WHERE v.pid = r.pid)", "resident visit")),
    Attack("NOT around the correlating equality", "refused",
           _where("EXISTS (SELECT 1 FROM visit v WHERE NOT (v.pid = r.pid) AND v.fee > 340)", "resident visit"),
           _where("NOT EXISTS (SELECT 1 FROM visit v WHERE v.pid = r.pid AND v.fee > 340)", "resident visit")),
    Attack("the equality compared with false", "refused",
           _where("EXISTS (SELECT 1 FROM visit v WHERE (v.pid = r.pid) = false AND v.fee > 340)", "resident visit"),
           _where("EXISTS (SELECT 1 FROM visit v WHERE v.pid = r.pid AND v.fee > 60)", "resident visit")),
    Attack("OR around the correlating equality", "refused",
           _where("EXISTS (SELECT 1 FROM visit v WHERE v.pid = r.pid OR v.pid = 42)", "resident visit"),
           _where("EXISTS (SELECT 1 FROM visit v WHERE v.pid = r.pid AND (v.fee > 200 OR v.cid > 30))", "resident "
               "visit")),
    Attack("CASE around the correlating equality", "refused",
           _where("EXISTS (SELECT 1 FROM visit v WHERE CASE WHEN v.pid = r.pid THEN FALSE ELSE v.fee > 340 END)",
                  "resident visit"),
           _where("EXISTS (SELECT 1 FROM visit v WHERE v.pid = r.pid AND CASE WHEN v.fee > 60 THEN TRUE ELSE FALSE "
               "END)",
                  "resident visit")),
    Attack("the equality with coalesce around it", "refused",
           _where("EXISTS (SELECT 1 FROM visit v WHERE coalesce(v.pid = r.pid, FALSE) IS FALSE)", "resident visit"),
           _where("EXISTS (SELECT 1 FROM visit v WHERE v.pid = r.pid AND coalesce(v.fee, 0) > 60)", "resident visit")),
    Attack("the equality on a neighbour's number", "refused",
           _where("EXISTS (SELECT 1 FROM visit v WHERE v.pid = r.pid + 1 AND v.fee > 60)", "resident visit"),
           _where("EXISTS (SELECT 1 FROM visit v WHERE v.pid = r.pid AND v.fee > 60)", "resident visit")),
    Attack("the equality on another domain", "refused",
           _where("EXISTS (SELECT 1 FROM visit v WHERE v.vid = r.pid + 1000)", "resident visit"),
           _where("r.pid IN (SELECT v.pid FROM visit v WHERE v.fee > 60)", "resident visit")),
    Attack("the average of others in one's district", "refused",
           _where("r.income > (SELECT avg(q.income) FROM resident q WHERE q.district = r.district)"),
           job("SELECT v.pid, v.fee FROM visit v WHERE v.fee >= (SELECT avg(w.fee) FROM visit w WHERE w.pid = v.pid)",
               "SELECT r.district, s1.fee AS x FROM s1 JOIN resident r USING (pid)", inputs="visit resident")),
    Attack("a condition that asks about one person", "refused",
           _case("CASE WHEN EXISTS (SELECT 1 FROM resident q WHERE q.pid = 42 AND q.income > 60000) THEN 1 ELSE 2 END"),
           INCOME),
    Attack("incomes equal to that of one person", "refused",
           _where("r.income >= (SELECT q.income FROM resident q WHERE q.pid = 42)"), _where("r.income >= 40000")),
    Attack("not among those of one person", "refused",
           _where("r.income NOT IN (SELECT q.income FROM resident q WHERE q.pid = 42)"),
           _where("r.pid NOT IN (SELECT v.pid FROM visit v WHERE v.fee > 340)", "resident visit")),
    Attack("one row joined to all", "refused",
           _from("resident r CROSS JOIN (SELECT income AS t FROM resident WHERE pid = 42) q", "r.income + "
               "q.t"), INCOME),
    Attack("joined on anything", "refused",
           _from("resident r JOIN visit v ON r.pid = v.pid OR v.pid = 42", "v.fee", "resident visit"), FEES),
    Attack("joined to the neighbour under a made-up key", "refused",
           _from("resident r JOIN (SELECT pid + 1 AS pid, income FROM resident) q USING (pid)", "q.income"),
           _from("resident r JOIN (SELECT pid, income FROM resident) q USING (pid)", "q.income")),
    Attack("the same table, shifted", "refused", _from("resident r JOIN resident q ON q.pid = r.pid + 1", "q.income"),
           _from("resident r JOIN resident q ON q.pid = r.pid", "q.income")),
    Attack("a lateral table", "refused",
           _from("resident r, LATERAL (SELECT max(q.income) AS m FROM resident q WHERE q.pid = 42) z", "z.m"), INCOME),
    Attack("a semi join", "refused", _from("resident r SEMI JOIN (SELECT pid + 1 AS pid FROM visit) v USING (pid)",
                                         inputs="resident visit"), FEES),
    Attack("an anti join", "refused", _from("resident r ANTI JOIN (SELECT 42 AS pid) v USING (pid)"), INCOME),
    Attack("an asof join", "refused",
           _from("resident r ASOF JOIN visit v ON r.pid >= v.pid", "v.fee", "resident visit"), FEES),
    Attack("a positional join", "refused",
           _from("resident r POSITIONAL JOIN (SELECT income AS i FROM resident) q", "q.i"), INCOME),
    Attack("a recursive table", "refused",
           job("WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 12) "
               "SELECT r.district, r.income AS x FROM resident r, n WHERE r.pid = 42"),
           job("WITH n AS (SELECT pid, district, income FROM resident) SELECT district, income AS x FROM n")),
    Attack("a common table takes a granted table's name", "refused",
           job("WITH resident AS (SELECT * FROM resident WHERE pid = 42) SELECT district, income AS x FROM resident"),
           job("WITH other AS (SELECT * FROM resident WHERE age > 25) SELECT district, income AS x FROM other")),
    Attack("a common table hides an upload behind a granted name", "refused",
           job("WITH resident AS (SELECT pid, district, income FROM extra) SELECT district, income AS x FROM resident",
               inputs="resident extra"),
           job("WITH more AS (SELECT pid, district, income FROM extra) SELECT district, income AS x FROM more "
               "UNION ALL SELECT district, income FROM resident", inputs="resident extra")),
    Attack("except", "refused", job(f"{_INCOME} EXCEPT SELECT district, income FROM resident WHERE pid <> 42"), INCOME),
    Attack("intersect", "refused",
           job(f"{_INCOME} INTERSECT SELECT district, income FROM resident WHERE pid = 42"), INCOME),
    Attack("union without all", "refused", job(f"{_INCOME} UNION SELECT district, income FROM resident"), INCOME),
    Attack("one row a district", "refused", job("SELECT DISTINCT ON (district) district, income AS x FROM resident"),
           job("SELECT DISTINCT pid, district, income AS x FROM resident")),
    Attack("selection by order and limit", "refused",
           job(f"{_INCOME} ORDER BY CASE WHEN pid = 42 THEN income ELSE 60000 END LIMIT 30"), INCOME),
    Attack("an offset", "refused", job(f"{_INCOME} LIMIT 100 OFFSET 41"), INCOME),
    Attack("qualify", "refused", job(f"{_INCOME} QUALIFY row_number() OVER (ORDER BY income) <= 50"), INCOME),
    Attack("a sample", "refused", job(f"{_INCOME} USING SAMPLE 50 ROWS"), INCOME),
    Attack("a sampled table", "refused", job("SELECT district, income AS x FROM resident TABLESAMPLE 50%"), INCOME),
    Attack("grouping sets in a step", "refused",
           job("SELECT pid, district, sum(income) AS x FROM resident GROUP BY GROUPING SETS ((pid, district), "
               "(district))"),
           job("SELECT pid, district, sum(income) AS x FROM resident GROUP BY pid, district")),
    Attack("a rollup in a step", "refused",
           job("SELECT district, sum(income) AS x FROM resident GROUP BY ROLLUP (district)"), INCOME),
    Attack("HAVING that isolates", "refused",
           job("SELECT district, sum(income) AS x FROM resident GROUP BY district "
               "HAVING max(CASE WHEN pid = 42 THEN income END) > 60000"), INCOME),
    Attack("grouped by district before the cube", "refused",
           job("SELECT district, sum(CASE WHEN pid = 42 THEN income ELSE 0 END) AS x FROM resident GROUP BY district"),
           INCOME),
    Attack("a pivot", "refused", job("PIVOT resident ON sex USING sum(income) GROUP BY district"), INCOME),
]  # fmt: skip

_LANGUAGE = [
    Attack(f"{what}", "refused", job(f"SELECT district, {x} AS x FROM resident"), INCOME)
    for what, x in {
        "random numbers": "CASE WHEN random() < 0.5 THEN income ELSE 0 END",
        "the clock": "income + epoch(now())",
        "an error message": "CASE WHEN pid = 42 THEN CAST(error(CAST(income AS VARCHAR)) AS INTEGER) ELSE income END",
        "a variable": "income + CAST(getvariable('v') AS INTEGER)",
        "a setting": "length(current_setting('memory_limit')) + income",
        "the environment": "length(getenv('HOME')) + income",
        "a list": "len(list_transform([income], lambda v: v + 1)) + income",
        "unnest": "unnest([income, income, income])",
        "a field of a structure": "struct_pack(v := income).v",
        "every column by pattern": "COLUMNS('inc.*')",
        "the hidden column by name": '"__e"',
        "the hidden column in capitals": '"__E"',
        "the row number of the file": "rowid",
    }.items()
] + [
    Attack("text of many persons", "refused",
           job("SELECT district, length(string_agg(CAST(income AS VARCHAR), ',')) AS x FROM resident GROUP BY "
               "district"),
           INCOME),
    Attack("the value beside the largest", "refused",
           job("SELECT district, arg_max(income, pid) AS x FROM resident GROUP BY district"), INCOME),
    Attack("any value", "refused", job("SELECT pid % 3 AS k, any_value(district) AS district, first(income) AS x "
                                     "FROM resident GROUP BY 1"), INCOME),
    Attack("a file", "refused", job("SELECT district, income AS x FROM read_csv('/etc/passwd')"), INCOME),
    Attack("a file by its name", "refused", job("SELECT district, income AS x FROM 'resident.parquet'"), INCOME),
    Attack("a table function", "refused", job("SELECT r.district, r.income AS x FROM resident r, range(12) WHERE "
        "r.pid = 42"),
           INCOME),
    Attack("the catalogue of tables", "refused", job("SELECT table_name AS district, 1 AS x FROM "
        "information_schema.tables"),
           INCOME),
    Attack("the catalogue by function", "refused", job("SELECT table_name AS district, 1 AS x FROM "
        "duckdb_tables()"), INCOME),
    Attack("the carrier's schema", "refused", job("SELECT district, income AS x FROM __k.resident"), INCOME),
    Attack("a schema by name", "refused", job("SELECT district, income AS x FROM main.resident"), INCOME),
    Attack("two statements", "refused", job(f"{_INCOME}; DROP VIEW resident"), INCOME),
    Attack("a statement that is no query", "refused", job("CREATE TABLE t AS SELECT 1"), INCOME),
    Attack("a parameter", "refused", job("SELECT district, income AS x FROM resident WHERE pid = $1"), INCOME),
    Attack("a table that was not granted", "refused", job("SELECT district, fee AS x FROM visit"), INCOME),
    Attack("a column named like the hidden one", "refused",
           job('SELECT district, income AS "__e", income AS x FROM resident'),
           job('SELECT district, income AS "e__", income AS x FROM resident')),
    Attack("a full-width name like the hidden one", "refused",
           job('SELECT district, income AS "＿＿ｅ", income AS x FROM resident'),
           job('SELECT "DISTRICT", "InCoMe" AS "X" FROM "Resident"')),
    Attack("a step named like a granted table in capitals", "spec",
           job(("RESIDENT", "SELECT * FROM resident WHERE pid = 42")), INCOME),
    Attack("a step named like a granted table in full width", "spec",
           job(("ｒｅｓｉｄｅｎｔ", "SELECT * FROM resident WHERE pid = 42")), INCOME),
    Attack("a step named like the hidden column", "spec", job(("__e", _INCOME)), job(("e__", _INCOME))),
    Attack("a sub-query in the filter of the cube", "spec",
           job(_INCOME, where="x > (SELECT income FROM resident WHERE pid = 42)"), job(_INCOME, where="x > 40000")),
    Attack("a window in the filter of the cube", "spec", job(_INCOME, where="row_number() OVER () < 50"),
           job(_INCOME, where="x > 40000")),
]  # fmt: skip

_ONE = "SELECT district, income AS x FROM resident WHERE pid = 42"
_CITY = {"name": "city", "from": "all_", "dimensions": [], "measures": {"m": {"op": "mean", "of": "x", "round": -2}}}
_AFTER = [
    Attack("a reference about one person", "R1",
           job(("all_", _ONE), "SELECT r.district, r.income / c.m AS x FROM resident r CROSS JOIN city c",
               reference=(_CITY,), measures=MEAN),
           job(("all_", _INCOME), "SELECT r.district, r.income / c.m AS x FROM resident r CROSS JOIN city c",
               reference=(_CITY,), measures={"均": {"op": "mean", "of": "x", "round": 2}})),
    Attack("a reference about one person for post", "R1",
           job(("all_", _ONE), _INCOME, reference=(_CITY,), post="SELECT p.*, c.m FROM product p CROSS JOIN city c"),
           job(("all_", _INCOME), "SELECT district, x FROM all_", reference=(_CITY,),
               post="SELECT p.*, c.m FROM product p CROSS JOIN city c")),
    Attack("a reference with a constant for everybody else", "P3",
           job(("all_", "SELECT CASE WHEN pid = 42 THEN income ELSE 50000 END AS x FROM resident"), _INCOME,
               reference=(_CITY,)),
           job(("all_", _INCOME), "SELECT district, x FROM all_", reference=(_CITY,))),
    Attack("post reads the source", "refused",
           job(_INCOME, post="SELECT p.*, (SELECT income FROM resident WHERE pid = 42) AS y FROM product p"),
           job(_INCOME, post="SELECT *, rank() OVER (ORDER BY 和 DESC) AS 名次 FROM product")),
    Attack("post reads a step", "refused", job(_INCOME, post="SELECT * FROM s1"),
           job(_INCOME, post="SELECT * FROM product ORDER BY 和 DESC LIMIT 2")),
    Attack("post reads a file", "refused", job(_INCOME, post="SELECT * FROM read_text('/etc/passwd')"),
           job(_INCOME, post="SELECT district, 和 FROM product")),
    Attack("post counts what it does not know", "refused",
           job(_INCOME, post="SELECT p.*, random() AS y FROM product p"),
           job(_INCOME, post="SELECT *, 和 / sum(和) OVER () AS 占比 FROM product")),
]  # fmt: skip

ATTACKS = (*_BEFORE, *_CONSTANTS, *_COUNTS, *_QUERIES, *_LANGUAGE, *_AFTER)

PACKED = {
    "whole thousands for everybody else":
        _case("CASE WHEN pid = 42 THEN income ELSE income // 1000 * 1000 END"),
    "a fraction beside whole thousands":
        _case("CASE WHEN pid = 42 THEN income / 1000000.0 ELSE income // 1000 * 1000 END"),
}  # fmt: skip
"""Low digits carry one person's value: nothing in the evidence is odd; the rounding of the released file destroys it"""

WITHOUT_ONE = {
    "a filter on the key": (INCOME, _where("r.pid <> 42")),
    "a filter on the value": (_where("r.income < 62600", name="a"), _where("r.income < 62500", name="b")),
    "an uploaded map": (INCOME, job("SELECT r.district, r.income AS x FROM resident r JOIN lookup m USING (pid) "
                                    "WHERE m.grp = '众'", inputs="resident lookup")),
}  # fmt: skip
"""Pairs of jobs that differ by one person: each may pass alone, the second falls to the ledger once the first is out"""

_POOR = "SELECT street AS district FROM resident WHERE pid <= 60 AND (pid <> 42 OR income > 60000)"
ORACLE = job(_POOR, measures=COUNT, suppress={"below": "policy", "as": "*"})
"""Whether a cell is hidden would tell whether one person is poor, if it were not hidden either way"""

_ALONE = "SELECT CASE WHEN pid IN (42, 45, 48) THEN '孤' ELSE district END AS district, income AS x FROM resident"
MARGIN = job(_ALONE, margins=[[]], suppress={"below": "policy", "as": "*"})
"""A hidden cell is the margin less the other cells, unless a second one is hidden"""

TWO_COLUMNS = {
    "of one product": (INCOME, job(
        "SELECT district, income AS x, CASE WHEN pid <> 42 THEN income END AS y FROM resident",
        measures={"和": {"op": "sum", "of": "x"}, "他": {"op": "sum", "of": "y"}})),
    "of two products": (
        job(_INCOME, measures={"和": {"op": "sum", "of": "x"}}),
        job("SELECT r.district, r.income AS y FROM resident r WHERE r.pid <> 42", name="b",
            measures={"和": {"op": "sum", "of": "y"}})),
}  # fmt: skip
"""The same amounts under two names, once without one person"""
