"""The distance between jobs: a metric that no constant and no name of the author's moves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.products import families
from sandbox.products.spec import as_data, canonical, digest, parse

COLUMNS = ("区", "费用", "就诊日期", "性别", "年龄")
RESOURCES = {"G-1": "res-a", "G-2": "res-a", "G-3": "res-b"}
column = st.sampled_from(COLUMNS)
condition = st.builds(lambda c, n: {"column": c, "op": ">", "value": n}, column, st.integers(-5, 5))
measure = st.one_of(
    st.just({"op": "count"}), st.builds(lambda c, d: {"op": "sum", "of": c, "round": d}, column, st.integers(0, 3))
)
step = st.builds(
    lambda n, cols: {"name": f"s{n}", "sql": f"SELECT {', '.join(cols)} FROM t WHERE 费用 > {n} -- {n}"},
    st.integers(0, 9), st.lists(column, min_size=1, max_size=4),
)  # fmt: skip


@st.composite
def jobs(draw: st.DrawFn) -> dict[str, Any]:
    steps = draw(st.lists(step, max_size=2, unique_by=lambda s: s["name"]))
    measures = draw(st.lists(measure, min_size=1, max_size=3))
    cube = {
        "from": steps[-1]["name"] if steps else "t",
        "where": draw(st.lists(condition, max_size=3)),
        "dimensions": draw(st.lists(column, max_size=3, unique=True)),
        "measures": {f"m{i}": m for i, m in enumerate(measures)},
    }
    whole = {"job": "j", "inputs": {"t": {"grant": draw(st.sampled_from(sorted(RESOURCES)))}},
             "output": {"kind": "aggregate", "format": "csv"}}  # fmt: skip
    return {**whole, "edition": 2, "prepare": steps, "product": cube} if steps else {**whole, "edition": 1, **cube}


def shape(data: dict[str, Any]) -> dict[str, Any]:
    return families.shape_of(parse(data), RESOURCES).as_dict()


@given(jobs(), jobs(), jobs())
@settings(max_examples=80, deadline=None)
def test_it_is_a_metric_on_shapes(a: Any, b: Any, c: Any) -> None:
    one, two, three = shape(a), shape(b), shape(c)
    assert families.distance(one, one) == 0
    assert families.distance(one, two) == families.distance(two, one) >= 0
    assert families.distance(one, three) <= families.distance(one, two) + families.distance(two, three)


@given(jobs(), st.integers(-(10**6), 10**6))
@settings(max_examples=60, deadline=None)
def test_constants_and_the_authors_names_do_not_move_it(data: Any, value: int) -> None:
    other = {**data, "job": "anders"}
    cube = {**(data["product"] if data["edition"] == 2 else data)}
    cube["where"] = [{**c, "value": value} for c in cube["where"]]
    cube["measures"] = {f"umbenannt{i}": m for i, m in enumerate(cube["measures"].values())}
    other |= {"product": cube} if data["edition"] == 2 else {k: cube[k] for k in ("where", "measures")}
    if data["inputs"]["t"]["grant"] == "G-1":
        other["inputs"] = {"t": {"grant": "G-2"}}  # another grant on the same resource
    if data.get("prepare"):
        texts = [s["sql"].split(" -- ")[0].replace("> ", f">  {abs(value)}") for s in data["prepare"]]
        other["prepare"] = [{**s, "sql": text} for s, text in zip(data["prepare"], texts, strict=True)]
    assert families.distance(shape(data), shape(other)) == 0


@given(jobs(), condition)
@settings(max_examples=60, deadline=None)
def test_one_more_filter_or_dimension_is_one_part(data: Any, more: Any) -> None:
    cube = {**(data["product"] if data["edition"] == 2 else data)}
    cube = cube | {"where": [*cube["where"], more]}
    other = {**data, "product": cube} if data["edition"] == 2 else {**data, "where": cube["where"]}
    assert families.distance(shape(data), shape(other)) == 1


@given(jobs())
@settings(max_examples=60, deadline=None)
def test_a_job_comes_back_from_its_own_form(data: Any) -> None:
    spec = parse(data)
    again = parse(as_data(spec))
    assert (again, canonical(again), digest(again)) == (spec, canonical(spec), digest(spec))
    assert families.changes(spec, again) == []


def test_changes_name_the_constant_that_moved() -> None:
    base = {
        "job": "j", "edition": 1, "inputs": {"t": {"grant": "G-1"}}, "from": "t", "dimensions": ["区"],
        "where": [{"column": "年龄", "op": ">", "value": 30}], "measures": {"n": {"op": "count"}},
        "output": {"kind": "aggregate", "format": "csv"},
    }  # fmt: skip
    moved = {**base, "where": [{"column": "年龄", "op": ">", "value": 31}], "dimensions": ["性别"]}
    assert [c.zh for c in families.changes(parse(base), parse(moved))] == [
        "筛选 年龄 > 30 → 31", "去掉维度 区", "增加维度 性别"
    ]  # fmt: skip
    sql = {**{k: base[k] for k in ("job", "inputs", "output")}, "edition": 2,
           "product": {"from": "v", "dimensions": [], "measures": {"n": {"op": "count"}}}}  # fmt: skip
    one, two, three = (
        parse({**sql, "prepare": [{"name": "v", "sql": text}]})
        for text in ("SELECT 区 FROM t WHERE 年龄 > 30", "select 区 from t where 年龄 > 31 /* x */",
                     "SELECT 区 FROM t WHERE 年龄 > 30 AND 性别 = '女'")
    )  # fmt: skip
    assert [c.zh for c in families.changes(one, two)] == ["语句 v 30 → 31"]
    assert [c.zh for c in families.changes(one, three)] == ["增加语句 v '女'", "步骤 v 的语句改动约 3 个词"]
    assert families.distance(*(families.shape_of(s, RESOURCES).as_dict() for s in (one, three))) == 1


def full(**cube: Any) -> dict[str, Any]:
    """A job of the full form whose product is changed by `cube`; `reference` and `owners` belong beside it."""
    more = {name: cube.pop(name) for name in ("reference",) if name in cube}
    step = {
        "name": "v",
        "sql": "SELECT 区, 费用 FROM t",
        **({"owners": cube.pop("owners")} if "owners" in cube else {}),
    }
    product = {"from": "v", "dimensions": ["区"], "measures": {"n": {"op": "count"}}, **cube}
    return {"job": "j", "edition": 2, "inputs": {"t": {"grant": "G-1"}}, "prepare": [step], "product": product,
            "output": {"kind": "aggregate", "format": "csv"}, **more}  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        ({}, {"margins": [[]]}, 1),
        ({}, {"suppress": {"below": "policy", "as": "*"}}, 1),
        ({"suppress": {"below": "policy", "as": "*"}}, {"suppress": {"below": "policy", "as": "…"}}, 0),
        ({}, {"owners": "several"}, 1),
        ({}, {"where": "费用 > 3"}, 1),
        ({"where": "费用 > 3"}, {"where": "费用 > 4"}, 0),
        ({"where": "费用 > 3"}, {"where": [{"column": "费用", "op": ">", "value": 9}]}, 0),
        ({"where": "费用 * 2 > 3 OR 区 = 'a'"}, {"where": "费用 * 7 > 4 OR 区 = 'b'"}, 0),
        ({}, {"reference": [{"name": "r", "from": "v", "dimensions": [], "measures": {"m": {"op": "count"}}}]}, 3),
        ({"measures": {"m": {"op": "quantile", "of": "费用", "q": 0.5}}},
         {"measures": {"m": {"op": "quantile", "of": "费用", "q": 0.6}}}, 0),
        ({"measures": {"m": {"op": "ratio", "of": "费用", "per": "count"}}},
         {"measures": {"m": {"op": "ratio", "of": "费用", "per": "费用"}}}, 1),
    ],
)  # fmt: skip
def test_parts_of_the_full_form_count_and_their_constants_do_not(before: Any, after: Any, parts: int) -> None:
    one, other = full(**before), full(**after)
    assert families.distance(shape(one), shape(other)) == parts
    assert bool(families.changes(parse(one), parse(other))) == (one != other)
