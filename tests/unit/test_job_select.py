"""From a SELECT to a specification: what becomes what, what is refused, and a job that comes back from its text."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.tpch import QUERIES, TABLES, generate
from sandbox.products.spec import JobSpec, as_data, parse
from sandbox.products.spec_errors import SpecError
from sandbox.products.spec_select import Table, Translation, from_select
from sandbox.products.spec_text import normal, text_of
from tests.export_subjects import CLINIC
from tests.unit.test_job_spec import FULL, SECOND

TWO = {"t": Table("G-1", ("区", "街", "日", "费", "人", "量")), "u": Table("G-2", ("街", "级"))}


def made(text: str) -> dict[str, Any]:
    found = from_select(text, TWO)
    assert found.spec is not None, found.notes
    return as_data(found.spec)


def refused(text: str) -> Translation:
    found = from_select(text, TWO)
    assert found.spec is None and found.notes
    assert all(n.text.zh and n.text.en and n.repair.zh and n.repair.en for n in found.notes)
    return found


def test_a_plain_aggregate_is_a_declared_cube_and_nothing_else() -> None:
    data = made("""
        SELECT 区, strftime(CAST(日 AS TIMESTAMP), '%Y-%m') AS 月, count(*) AS 次, count(DISTINCT 人) AS 人数,
               avg(费) AS 均, sum(费) / count(*) AS 次均, quantile_cont(费, 0.9) AS 高, min(费) AS 低
        FROM t JOIN u ON t.街 = u.街
        WHERE 费 < 1000 AND 级 IN ('一', '二') AND 人 IS NOT NULL
        GROUP BY 区, 月 ORDER BY 区""")
    assert "prepare" not in data and "post" not in data
    assert data["inputs"] == {"t": {"grant": "G-1"}, "u": {"grant": "G-2"}}
    assert data["product"] == {
        "from": "t", "join": [{"input": "u", "on": {"街": "街"}}],
        "where": [
            {"column": "费", "op": "<", "value": 1000}, {"column": "级", "op": "in", "value": ["一", "二"]},
            {"column": "人", "op": "not_null"},
        ],
        "derive": {"月": {"month": "日"}}, "dimensions": ["区", "月"],
        "measures": {
            "次": {"op": "count"}, "人数": {"op": "count_distinct", "of": "人"}, "均": {"op": "mean", "of": "费"},
            "次均": {"op": "ratio", "of": "费", "per": "count"}, "高": {"op": "quantile", "of": "费", "q": 0.9},
            "低": {"op": "min", "of": "费"},
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("by", "margins"),
    [
        ("ROLLUP (区, 街)", [["区"], []]),
        ("CUBE (区, 街)", [["区"], ["街"], []]),
        ("GROUPING SETS ((区, 街), (街))", [["街"]]),
        ("区, ROLLUP (街)", [["区"]]),
        ("ALL", None),
        ("1, 2", None),
    ],
)
def test_grouping_sets_are_margins(by: str, margins: list[list[str]] | None) -> None:
    product = made(f"SELECT 区, 街, count(*) AS n FROM t GROUP BY {by}")["product"]
    assert (product["dimensions"], product.get("margins")) == (["区", "街"], margins)


def test_expressions_go_before_and_what_is_made_of_aggregates_after() -> None:
    data = made("""
        SELECT 区 || 街 AS 地, sum(费 * 量) AS 额, round(sum(费 * 量) / 7, 1) AS 周,
               rank() OVER (ORDER BY count(*)) AS 名次
        FROM t LEFT JOIN u USING (街) WHERE 费 > 0.5 GROUP BY 地 HAVING count(*) > 9 ORDER BY 额 DESC LIMIT 3""")
    (step,) = data["prepare"]
    assert "LEFT JOIN u" in step["sql"] and "费 > 0.5" in step["sql"] and '区 || 街 AS "地"' in step["sql"]
    measures = {"额": {"op": "sum", "of": "额"}, "count": {"op": "count"}}
    assert data["product"] == {"from": "rows", "dimensions": ["地"], "measures": measures}
    post = " ".join(data["post"]["sql"].split())
    assert (
        post.startswith('SELECT "地", "额", ROUND("额" / 7, 1) AS "周", RANK() OVER (ORDER BY "count")')
        and post.endswith("DESC LIMIT 3")
        and 'WHERE "count" > 9' in post
    )


def test_a_scalar_over_aggregates_is_a_reference_judged_like_a_release() -> None:
    data = made("SELECT 区, avg(费) / (SELECT avg(费) FROM t WHERE 区 <> '东') AS 比 FROM t GROUP BY 区")
    (reference,) = data["reference"]
    assert reference["from"] == "t" and reference["dimensions"] == []
    assert reference["measures"] == {"mean_费": {"op": "mean", "of": "费"}}
    assert 'SELECT "mean_费" FROM r1' in " ".join(data["post"]["sql"].split())


def test_a_filter_on_an_aggregate_is_a_column_of_the_step_before() -> None:
    data = made(
        "SELECT 区, count(*) FILTER (WHERE 费 > 9) AS 贵, count(DISTINCT 人) FILTER (费 > 9) AS 谁 FROM t GROUP BY 1"
    )
    assert data["product"]["measures"] == {
        "贵": {"op": "count", "of": "贵"}, "谁": {"op": "count_distinct", "of": "谁"}
    }  # fmt: skip
    assert 'CASE WHEN 费 > 9 THEN 1 END AS "贵"' in data["prepare"][0]["sql"]


def test_a_window_over_an_aggregate_is_post() -> None:
    data = made("""
        WITH m AS (SELECT 区, sum(费) AS 费 FROM t GROUP BY 区)
        SELECT 区, 费, 费 - lag(费) OVER (ORDER BY 区) AS 差 FROM m ORDER BY 差""")
    assert data["product"]["dimensions"] == ["区"] and "LAG" in data["post"]["sql"] and "prepare" not in data


def test_an_aggregate_over_an_aggregate_keeps_the_inner_one_as_a_step() -> None:
    data = made("SELECT 次, count(*) AS 人数 FROM (SELECT 人, count(*) AS 次 FROM t GROUP BY 人) GROUP BY 次")
    assert "GROUP BY" in data["prepare"][0]["sql"] and data["product"]["dimensions"] == ["次"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELECT 人, 费 FROM t WHERE 费 > 3", "records"),
        ("SELECT 区, list(费) AS x FROM t GROUP BY 区", "no measure"),
        ("SELECT 区, var_samp(费) AS x FROM t GROUP BY 区", "no measure"),
        ("SELECT arg_max(人, 费) FROM t", "no measure"),
        ("SELECT count(*) FROM nowhere", "no grant"),
        ("SELECT count(*) FROM t UNION ALL SELECT count(*) FROM u", "only one SELECT"),
        ("SELECT 1; SELECT 2", "only one SELECT"),
        ("DELETE FROM t", "only one SELECT"),
        ("SELEC 1 FROM", "cannot be read"),
        ("SELECT 'a", "cannot be read"),
        ("", "only one SELECT"),
        ("WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x FROM r) SELECT count(*) FROM r", "recursive"),
        ("SELECT 区, count(*) AS a, sum(费) AS A FROM t GROUP BY 区", "share a name"),
        ("-- cubes: {\nSELECT count(*) FROM t", "cannot be read"),
        ("-- cubes: [1]\nSELECT count(*) FROM t", "cannot be read"),
        ('-- cubes: {"product": {"derive": {"x": 1}}}\nSELECT count(*) FROM t', "cannot be read"),
        ('-- cubes: {"product": {}}\nWITH product AS (SELECT sum(费) + 1 FROM t) SELECT * FROM product', "no declared"),
        ("SELECT 街, count(*) FROM t GROUP BY 区", "neither grouped"),
        ("SELECT *, count(*) FROM t GROUP BY ALL", "star"),
        ("SELECT count(*) FROM t USING SAMPLE 10%", "clause"),
        ("SELECT 区, rank() OVER w, count(*) FROM t GROUP BY 区 WINDOW w AS (ORDER BY 区)", "clause"),
        ("WITH m(a) AS (SELECT 区 FROM t) SELECT a, count(*) FROM m GROUP BY a", "brackets"),
        ("SELECT 区, count(*) FROM t GROUP BY 区 HAVING 区 IN (SELECT 级 FROM u)", "after the aggregate"),
    ],
)
def test_what_cannot_be_said_is_listed_with_a_repair(text: str, words: str) -> None:
    assert words in refused(text).notes[-1].text.en


def test_a_note_names_the_place() -> None:
    (found,) = refused("SELECT 区,\n  list(费) AS x\nFROM t GROUP BY 区").notes
    assert found.line == 2


def test_a_grouping_that_is_missing_is_said() -> None:
    found = from_select("SELECT 区, 街, count(*) AS n FROM t GROUP BY GROUPING SETS ((区), (街))", TWO)
    assert found.spec is not None and [n.text.en for n in found.notes] == [
        "no grouping has all dimensions: rows are added"
    ]


@given(st.sampled_from(sorted(QUERIES)), st.data())
@settings(max_examples=150, deadline=None)
def test_no_text_makes_it_fall(number: int, data: st.DataObject) -> None:
    words = QUERIES[number].split()
    first = data.draw(st.integers(0, len(words)))
    cut = words[:first] + words[first + data.draw(st.integers(0, 6)) :]
    found = from_select(" ".join(cut), {n: Table(f"G-{n}") for n in TABLES})
    assert found.spec is not None or found.notes


@pytest.mark.parametrize("text", [CLINIC, FULL])
def test_a_job_comes_back_from_its_text(text: str) -> None:
    spec = normal(parse(text))
    assert normal(spec) == spec
    assert from_select(text_of(spec), {}) == Translation(spec, ())


def test_a_script_is_not_sql() -> None:
    with pytest.raises(SpecError, match="script"):
        text_of(parse(SECOND))


NAMES = st.sampled_from(["区", "街 道", 'say "x"', "t.k", "Fee", "select"])
OPERATORS = st.sampled_from(["=", "<>", "<", ">="])
VALUE = st.one_of(
    st.integers(-9, 10**12), st.booleans(), st.sampled_from([0.5, -1e-7]), st.sampled_from(["东'; --", ""])
)
CONDITION = st.one_of(
    st.builds(lambda c, o, v: {"column": c, "op": o, "value": v}, NAMES, OPERATORS, VALUE),
    st.builds(lambda c, v: {"column": c, "op": "in", "value": v}, NAMES, st.lists(VALUE, min_size=1, max_size=3)),
    st.builds(lambda c, a, b: {"column": c, "op": "between", "value": [a, b]}, NAMES, VALUE, VALUE),
    st.builds(lambda c, o: {"column": c, "op": o}, NAMES, st.sampled_from(["is_null", "not_null"])),
)  # fmt: skip
TEXTS = st.sampled_from(
    ['费 < 0.5 OR "Fee" IS NULL', "t.k = 3 AND NOT (区 LIKE '%a\nb%')", "区 IN ('a', 'b') AND 费 BETWEEN 1 AND 2",
     "abs(费) + 1 > DATE '2026-01-01' - 日", "月 = '2026-01' OR 带 > 3"]
)  # fmt: skip
DERIVE = {
    "月": {"month": "日"}, "周": {"weekday": "t.日"}, "带": {"band": {"of": "费", "width": 10}}, "名": {"upper": "区"},
    "码": {"prefix": {"of": "码", "length": 6}}, "并": {"recode": {"of": "区", "groups": {"其他'": ["东'; --", ""]}}},
}  # fmt: skip


@st.composite
def measures(draw: st.DrawFn, margins: list[list[str]]) -> dict[str, Any]:
    column = st.sampled_from(["费", "t.量", 'say "x"', "带"])
    kinds = [
        st.just({"op": "count"}),
        st.builds(lambda o, c, r: {"op": o, "of": c, **r},
                  st.sampled_from(["sum", "mean", "median", "stddev", "min", "max"]), column,
                  st.sampled_from([{}, {"round": 1}, {"round": -2}])),
        st.builds(lambda o, c: {"op": o, "of": c}, st.sampled_from(["count", "count_distinct"]), column),
        st.builds(lambda c, p: {"op": "ratio", "of": c, "per": p}, column, st.sampled_from(["费", "t.量", "count"])),
        st.builds(lambda c, w: {"op": "weighted_mean", "of": c, "weight": w}, column, column),
        st.builds(lambda c, q: {"op": "quantile", "of": c, "q": q}, column, st.sampled_from([0.25, 0.9])),
    ]  # fmt: skip
    if margins:
        of = st.sampled_from([{}, {"of": "费"}])
        kinds.append(st.builds(lambda m, o: {"op": "share_of_margin", "margin": m, **o}, st.sampled_from(margins), of))
    found = draw(st.lists(st.one_of(kinds), min_size=1, max_size=4))
    return {f"m{i} 值": m for i, m in enumerate(found)}


@st.composite
def cubes(draw: st.DrawFn, table: str) -> dict[str, Any]:
    dims = draw(st.lists(st.sampled_from(["区", "街 道", "Fee", "月", "带", "名", "并"]), max_size=3, unique=True))
    margins = (
        draw(st.lists(st.sampled_from([dims[:n] for n in range(len(dims))]), max_size=2, unique_by=tuple))
        if dims
        else []
    )
    found: dict[str, Any] = {
        "from": table, "where": draw(st.one_of(st.lists(CONDITION, max_size=3), TEXTS)),
        "derive": DERIVE if table == "t" else {n: d for n, d in DERIVE.items() if n != "周"},
        "dimensions": dims, "margins": margins, "measures": draw(measures(margins)),
    }  # fmt: skip
    if table == "t" and draw(st.booleans()):
        found["join"] = [{"input": "u", "on": {"t.街": "街", "日": "d"}}]
    if draw(st.booleans()):
        found["suppress"] = {"below": "policy", "as": "*"}
    return found


@st.composite
def jobs(draw: st.DrawFn) -> JobSpec:
    steps = [{"name": "步 1", "sql": "SELECT *, 费 + 1 AS x -- 说明\nFROM t WHERE 区 <> 'a\n  b'", "owners": "several"}]
    steps = steps[: draw(st.integers(0, 1))]
    reference = [{"name": f"r{i}", **draw(cubes("t"))} for i in range(draw(st.integers(0, 2)))]
    post = {"post": {"sql": "SELECT *, rank() OVER (ORDER BY 1) AS 名次 FROM product ORDER BY 2 LIMIT 3"}}
    return parse({
        "job": "往返", "edition": 2, "inputs": {"t": {"grant": "G-1"}, "u": {"upload": "U-1"}}, "prepare": steps,
        "reference": reference, "product": draw(cubes("步 1" if steps else "t")),
        "output": {"kind": "aggregate", "format": "csv"}, **(post if draw(st.booleans()) else {}),
    })  # fmt: skip


@given(jobs())
@settings(max_examples=100, deadline=None)
def test_specification_to_text_to_tree_to_specification_is_the_identity(spec: JobSpec) -> None:
    found = from_select(text_of(spec), {})
    assert found == Translation(normal(spec), ())
    assert normal(normal(spec)) == normal(spec)


RECORDS = {2, 15, 20}
"""Questions of TPC-H whose answer is a list of records, not an aggregate."""


@pytest.fixture(scope="module")
def tpch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tpch")
    try:
        generate(folder, 0.01)
    except FileNotFoundError:
        if os.environ.get("CI"):
            raise
        pytest.skip("tpchgen-cli is not installed")
    return folder


@pytest.mark.parametrize("number", sorted(QUERIES))
def test_the_questions_of_tpch_as_specifications_give_the_same_numbers(number: int, tpch: Path) -> None:
    with duckdb.connect(":memory:", config={"threads": 1}) as con:
        for name in TABLES:
            con.execute(f"CREATE VIEW {name} AS FROM '{tpch / name}.parquet'")
        columns = {n: tuple(r[0] for r in con.execute(f"DESCRIBE {n}").fetchall()) for n in TABLES}
        found = from_select(QUERIES[number], {n: Table(f"G-{n}", c) for n, c in columns.items()})
        if number in RECORDS:
            assert found.spec is None and "records" in found.notes[0].text.en
            return
        assert found.spec is not None and not found.notes
        assert from_select(text_of(found.spec), {}).spec == found.spec
        want, got = (_sorted(con.execute(t).fetchall()) for t in (QUERIES[number], text_of(found.spec)))
    assert len(want) == len(got) > 0
    assert all(_near(a, b) for one, other in zip(want, got, strict=True) for a, b in zip(one, other, strict=True))


def _sorted(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: [str(v) for v in row if isinstance(v, (str, int))])


def _near(a: Any, b: Any) -> bool:
    return a == b or (a is not None and b is not None and math.isclose(float(a), float(b), rel_tol=1e-9))
