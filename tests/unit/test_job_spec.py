"""The job specification: what it accepts, what it refuses, and how it says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.products.spec import as_data, canonical, digest, parse
from sandbox.products.spec_errors import SpecError
from sandbox.products.spec_parts import Derive
from sandbox.products.spec_schema import json_schema
from tests.export_subjects import CLINIC, job


def problems(source: Any) -> list[tuple[str, int | None]]:
    with pytest.raises(SpecError) as error:
        parse(source)
    assert error.value.text.zh and error.value.text.en and error.value.fix
    return [(p.path, p.line) for p in error.value.problems]


def test_yaml_json_and_mapping_of_one_job_have_one_digest() -> None:
    spec = parse(CLINIC)
    data = as_data(spec)
    assert digest(parse(json.dumps(data))) == digest(parse(data)) == digest(spec)
    assert parse(data) == spec


def test_dates_are_text_in_both_forms() -> None:
    dated = CLINIC.replace("value: 100000", "value: 2026-01-31")
    assert parse(dated).where[0].value == "2026-01-31"


def test_order_of_measures_is_part_of_the_job() -> None:
    a = job(measures={"甲": {"op": "count"}, "乙": {"op": "count"}})
    b = job(measures={"乙": {"op": "count"}, "甲": {"op": "count"}})
    assert digest(parse(a)) != digest(parse(b))
    assert canonical(parse(a)) == canonical(parse(dict(reversed(a.items()))))


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("{op: count}", "{op: max}", ("measures.人次.op", 11)),
        ("edition: 1", "edition: 3", ("edition", 3)),
        ("job: clinic-visits-by-district", "job: ../x", ("job", 2)),
        ("value: 100000", "value: [1, 2]", ("where[1]", 7)),
        ("column: 费用", "column: __e", ("where[1].column", 7)),
        ("column: 费用", "column: ＿＿e", ("where[1].column", 7)),
        ("{grant: G-2}", "{grant: G-2, snapshot: x}", ("inputs.resident.snapshot", 4)),
        ("{month: 就诊日期}", "{month: 就诊日期, year: 就诊日期}", ("derive.月份", 8)),
        ("{month: 就诊日期}", "{sql: 就诊日期}", ("derive.月份.sql", 8)),
        ("round: 1", "round: 9", ("measures.次均费用.round", 13)),
        ("round: 1", "round: 1.5", ("measures.次均费用.round", 13)),
        ("kind: aggregate", "kind: record", ("output.kind", 14)),
    ],
)
def test_errors_name_field_and_line(before: str, after: str, place: tuple[str, int]) -> None:
    assert place in problems(CLINIC.replace(before, after))


def test_a_missing_field_is_named() -> None:
    assert ("dimensions", 2) in problems(CLINIC.replace("dimensions: [区, 月份]\n", ""))


def test_every_problem_is_reported_at_once() -> None:
    found = problems(CLINIC.replace("{op: count}", "{op: mode}").replace("edition: 1", "edition: 3"))
    assert {"measures.人次.op", "edition"} <= {path for path, _ in found}


@pytest.mark.parametrize(
    "change",
    [
        {"from": "other"},
        {"inputs": {"t": {"grant": "G-1"}, "u": {"grant": "G-2"}}},
        {"dimensions": ["区", "t.区"]},
        {"dimensions": ["人次"]},
        {"measures": {"A": {"op": "count"}, "Ａ": {"op": "count"}}},
        {"measures": {}},
        {"measures": {"人次": {"op": "count", "round": 1}}},
        {"measures": {"占比": {"op": "ratio", "of": "费用"}}},
        {"measures": {"均": {"op": "mean"}}},
        {"measures": {"a\x00b": {"op": "count"}}},
        {"where": [{"column": "区", "op": "=", "value": None}]},
        {"where": [{"column": "区", "op": "between", "value": [1]}]},
        {"where": [{"column": "区", "op": "like", "value": "%"}]},
        {"where": [{"column": "费用", "op": "<", "value": float("nan")}]},
        {"where": "费用 < 100"},
        {"sql": "SELECT 1"},
        {"post": {"sql": "SELECT 1"}},
        {"dimensions": ["区"] * 9},
        {"edition": True},
    ],
)
def test_what_the_form_does_not_know_is_refused(change: dict[str, Any]) -> None:
    assert problems(job(**change))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 1",
        "a: [",
        "[" * 3000,
        "job: &a x\nb: *a",
        "x: !!python/object:os.system x",
        b"\xff\xfe\x00",
        "a: 1\na: 2",
    ],
)
def test_text_that_is_no_plain_mapping_is_refused(text: str | bytes) -> None:
    assert problems(text)


def test_nested_aliases_do_not_expand() -> None:
    bomb = "a: &a [1,1]\n" + "".join(f"x{i}: &x{i} [{'*a' if not i else f'*x{i - 1}'}, *a]\n" for i in range(60))
    assert problems(bomb)


def test_long_text_is_refused_unread() -> None:
    assert problems("a" * 70_000) == [("", None)]


def test_columns_may_have_any_unicode_name() -> None:
    name = 'say "hi"\n; DROP TABLE x --'
    spec = parse(job(dimensions=[name], measures={"=1+1": {"op": "count"}}))
    assert spec.output_columns == [name, "=1+1"]


SECOND = """
job: 分步作业
edition: 2
inputs: {visit: {grant: G-1}, 权重: {upload: U-1}}
prepare:
  - name: v
    sql: |
      SELECT 区, 费用
      FROM visit
  - {name: s, script: "result = 1", reads: [v], columns: {区: text, 分: number}}
product:
  from: s
  dimensions: [区]
  measures:
    人次: {op: count}
post: {sql: SELECT * FROM product}
output: {kind: aggregate, format: csv}
"""


def test_the_first_edition_keeps_its_digest() -> None:
    """Recorded before there was a second edition: runs and releases of then still name the job by it."""
    assert digest(parse(CLINIC)) == "sha256:8b0a81e4e03eb1c453f0b3b18e770b3655fc31accfa10c9813c35f89ee9c9e92"
    assert digest(parse(job())) == "sha256:4600ade70932815f2246e81120b3fdac68c1208d3c811ccc9d051d0d24d20bea"


def test_the_second_edition_keeps_its_digest_where_it_uses_nothing_newer() -> None:
    """Recorded before there were references and margins."""
    assert digest(parse(SECOND)) == "sha256:2241ae86b17d01054c303ead8979d29971c18dfc2aaaf55e5690ec0d794ecf0f"
    cube = {"from": "t", "join": [{"input": "u", "on": {"a": "b"}}], "derive": {"月": {"month": "d"}},
            "where": [{"column": "a", "op": "in", "value": [1, 2]}], "dimensions": ["月"],
            "measures": {"r": {"op": "ratio", "of": "a", "per": "c", "round": 1}}}  # fmt: skip
    whole = {"job": "j", "edition": 2, "inputs": {"t": {"grant": "G-1"}, "u": {"grant": "G-2"}}, "product": cube,
             "output": {"kind": "aggregate", "format": "csv"}}  # fmt: skip
    assert digest(parse(whole)) == "sha256:66bac262c95ecec8db42ec501a114f0e89c983f571b76235e510aaa8c6becd74"


def test_the_second_edition_comes_back_as_it_was_written() -> None:
    spec = parse(SECOND)
    assert parse(as_data(spec)) == spec
    assert digest(parse(json.dumps(as_data(spec)))) == digest(spec)
    assert spec.beyond_proof == ["prepare.s"]
    assert spec.tables == ["visit", "权重", "v", "s"]


FULL = """
job: clinic-visits-by-street
edition: 1
inputs:                         # granted snapshots by digest; entity keys come from the catalogue, never from here
  visit: {grant: G-017, snapshot: sha256:…}
  clinic: {grant: G-018, snapshot: sha256:…}
  weights: {upload: U-003}      # no entity, licence on file
prepare:                        # row-wise or per-entity SQL; one SELECT each; the platform carries the owner
  - {name: v, owners: one, sql: "SELECT street, month(d) AS 月, pid, fee FROM visit JOIN clinic USING (cid)"}
reference:                      # aggregates over entities used as constants; judged as if released
  - {name: city, from: v, dimensions: [], measures: {fee: {op: mean, of: fee}}}
product:
  from: v
  where: "fee < 100000"         # an expression over columns of v; no sub-query
  dimensions: [street, 月]
  margins: [[street], []]       # explicit grouping sets instead of ROLLUP
  measures:
    人次: {op: count}
    人数: {op: count_distinct, of: pid}
    次均费用: {op: ratio, of: fee, per: count, round: 1}
  suppress: {below: policy, as: "*"}   # the platform suppresses, merchants do not HAVING
post:                           # sees only product and reference tables, after suppression and rounding
  sql: "SELECT *, rank() OVER (PARTITION BY 月 ORDER BY 人次 DESC) AS 名次 FROM product"
output: {kind: aggregate, format: csv, order: dimensions}
"""


def test_the_full_form_parses_and_comes_back() -> None:
    spec = parse(FULL)
    assert parse(as_data(spec)) == spec and digest(parse(json.dumps(as_data(spec)))) == digest(spec)
    assert spec.edition == 2 and digest(parse(FULL.replace("edition: 1", "edition: 2"))) == digest(spec)
    assert [step.name for step in spec.sequence] == ["v", "city"]
    assert spec.groupings == [["street", "月"], ["street"], []]
    assert spec.per_rows(spec.measures["次均费用"]) and spec.suppress and spec.suppress.as_ == "*"


def test_what_is_written_as_the_default_is_the_same_job() -> None:
    plain = FULL.replace(", order: dimensions", "").replace("owners: one, ", "")
    assert digest(parse(plain)) == digest(parse(FULL))
    assert digest(parse(FULL.replace("owners: one", "owners: several"))) != digest(parse(FULL))


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("snapshot: sha256:…}\n  clinic", "snapshot: latest}\n  clinic", ("inputs.visit.snapshot", 5)),
        ("fee < 100000", "fee < ", ("product.where", 14)),
        ("fee < 100000", "sum(fee) < 3", ("product.where", 14)),
        ("fee < 100000", "rank() OVER () < 3", ("product.where", 14)),
        ("fee < 100000", "fee < (SELECT 3)", ("product.where", 14)),
        ("fee < 100000", "fee < 3; DROP TABLE v", ("product.where", 14)),
        ("fee < 100000", "fee < 3) OR (1 = 1", ("product.where", 14)),
        ("[[street], []]", "[[street], [street]]", ("product.margins", 16)),
        ("[[street], []]", "[[月, street]]", ("product.margins", 16)),
        ("[[street], []]", "[[pid]]", ("product.margins", 16)),
        ("per: count, round: 1", "q: 0.5, round: 1", ("product.measures.次均费用", 20)),
        ("op: ratio, of: fee, per: count", "op: quantile, of: fee, q: 1.5", ("product.measures.次均费用.q", 20)),
        ("op: ratio, of: fee, per: count", "op: weighted_mean, of: fee", ("product.measures.次均费用", 20)),
        ("op: ratio, of: fee, per: count", "op: share_of_margin, of: fee", ("product.measures.次均费用", 20)),
        ('as: "*"', "as: 0", ("product.suppress.as", 21)),
        ('as: "*"', 'as: "<10"', ("product.suppress.as", 21)),
        ("from: v\n", "from: w\n", ("product.from", 13)),
        ("below: policy", "below: 10", ("product.suppress.below", 21)),
        ("owners: one", "owners: many", ("prepare[1].owners", 9)),
        ("name: city, from: v", "name: city, from: city", ("reference[1]", 11)),
        ("name: city", "name: product", ("reference[1].name", 11)),
        ("dimensions: [], measures: {fee: {op: mean, of: fee}}", "dimensions: []", ("reference[1].measures", 11)),
        ("order: dimensions", "order: random", ("output.order", 24)),
    ],
)  # fmt: skip
def test_errors_of_the_full_form_name_field_and_line(before: str, after: str, place: tuple[str, int | None]) -> None:
    assert before in FULL
    found = problems(FULL.replace(before, after, 1))
    assert place in found, found


@pytest.mark.parametrize(
    "change",
    [
        {"margins": [[]]}, {"suppress": {"below": "policy", "as": "*"}}, {"reference": []}, {"where": "费用 < 3"},
        {"measures": {"m": {"op": "median", "of": "费用"}}},
        {"derive": {"并": {"recode": {"of": "区", "groups": {"其他": ["东"]}}}}},
        {"inputs": {"t": {"grant": "G-1", "snapshot": "sha256:…"}}},
        {"output": {"kind": "aggregate", "format": "csv", "order": "dimensions"}},
    ],
)  # fmt: skip
def test_the_first_edition_does_not_know_what_came_later(change: dict[str, Any]) -> None:
    assert problems(job(**change))


def test_in_the_first_edition_count_is_a_columns_name() -> None:
    measures = {"m": {"op": "ratio", "of": "费用", "per": "count"}}
    assert "count" in parse(job(measures=measures)).source_columns()


def test_a_reference_is_made_as_soon_as_its_tables_are_there() -> None:
    cube = {"dimensions": [], "measures": {"n": {"op": "count"}}}
    data = {**as_data(parse(FULL)), "prepare": [{"name": n, "sql": "SELECT 1"} for n in "ab"]}
    data["reference"] = [{"name": "r", "from": "b", **cube}, {"name": "q", "from": "visit", **cube},
                         {"name": "p", "from": "q", **cube}]  # fmt: skip
    data["product"] = {"from": "a", **cube, "join": [{"input": "r", "on": {"x": "n"}}]}
    assert [step.name for step in parse(data).sequence] == ["q", "p", "a", "b", "r"]


def test_a_pin_allows_what_begins_like_it() -> None:
    pinned = parse(FULL.replace("sha256:…", "sha256:ab…", 1)).inputs["visit"]
    assert pinned.pins("sha256:abcd") and not pinned.pins("sha256:cd")


def test_the_order_of_a_scripts_columns_is_part_of_the_job() -> None:
    other = SECOND.replace("{区: text, 分: number}", "{分: number, 区: text}")
    assert digest(parse(other)) != digest(parse(SECOND))


def test_a_job_of_the_second_edition_may_be_a_declared_cube_and_nothing_else() -> None:
    plain = {k: v for k, v in job(edition=2).items() if k in ("job", "edition", "inputs", "output")}
    cube = {k: v for k, v in job().items() if k not in plain}
    assert parse({**plain, "product": cube}).beyond_proof == []


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("{op: count}", "{op: mode}", ("product.measures.人次.op", 15)),
        ("{op: count}", "{op: max}", ("product.measures.人次", 15)),
        ("  from: s\n", "", ("product.from", 11)),
        ("dimensions: [区]", "dimensions: 区", ("product.dimensions", 13)),
        ("  from: s", "  from: s\n  limit: 3", ("product.limit", 13)),
        ("product:\n", "from: s\nproduct:\n", ("from", 11)),
        ("  from: s", "  from: s\n  suppress: {}", ("product.suppress.as", 13)),
        ("  from: s", "  from: s\n  where: 区 = (SELECT 1)", ("product.where", 13)),
        ("  from: s", "  from: s\n  where: [{column: 区, op: like}]", ("product.where[1].op", 13)),
        ("分: number", "分: enum", ("prepare[2].columns.分", 10)),
        ("reads: [v], ", "", ("prepare[2]", 10)),
        ('script: "result = 1"', 'script: "result = 1", sql: SELECT 1', ("prepare[2]", 10)),
        ("{upload: U-1}", "{upload: U-1, grant: G-2}", ("inputs.权重", 4)),
    ],
)
def test_errors_of_the_second_edition_name_field_and_line(before: str, after: str, place: tuple[str, int]) -> None:
    assert before in SECOND
    assert place in problems(SECOND.replace(before, after, 1))


@pytest.mark.parametrize(
    "change",
    [
        ("name: v", "name: product"), ("name: v", "name: visit"), ("name: v", "name: VISIT"), ("name: v", "name: __v"),
        ("reads: [v]", "reads: [later]"), ("reads: [v]", "reads: [s]"), ("from: s", "from: nowhere"),
        ("FROM visit", "FROM visit \0"), ("分: number", "区: number"), ("分: number", "Ｑ: text, q: number"),
        ("script: \"result = 1\"", "script: \"  \""),
    ],
)  # fmt: skip
def test_steps_that_do_not_fit_are_refused(change: tuple[str, str]) -> None:
    assert change[0] in SECOND
    assert problems(SECOND.replace(*change, 1))


def test_the_schema_for_editors_accepts_both_editions_and_refuses_unknown_keys() -> None:
    from jsonschema import Draft202012Validator

    checker = Draft202012Validator(json_schema())
    for data in (job(), as_data(parse(CLINIC)), as_data(parse(SECOND)), as_data(parse(FULL))):
        assert list(checker.iter_errors(data)) == []
    for wrong in (job(sql="x"), {**as_data(parse(SECOND)), "from": "s"}, job(margins=[[]]), job(edition=2)):
        assert list(checker.iter_errors(wrong))


def test_the_schema_for_editors_has_a_chinese_sentence_for_every_field() -> None:
    schema = json_schema()
    described = {name for one in _objects(schema) for name, field in one["properties"].items() if _chinese(field)}
    every = {name for one in _objects(schema) for name in one["properties"]}
    assert every - described == set(Derive.model_fields)  # functions, and their names say what they do


def _objects(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for one in node for found in _objects(one)]
    if not isinstance(node, dict):
        return []
    return [node] * isinstance(node.get("properties"), dict) + [f for one in node.values() for f in _objects(one)]


def _chinese(field: dict[str, Any]) -> bool:
    return any("\u4e00" <= c <= "\u9fff" for c in field.get("description", ""))
