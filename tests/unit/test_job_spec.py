"""The job specification: what it accepts, what it refuses, and how it says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.products.spec import canonical, digest, json_schema, parse
from sandbox.products.spec_errors import SpecError
from tests.export_subjects import CLINIC, job


def problems(source: Any) -> list[tuple[str, int | None]]:
    with pytest.raises(SpecError) as error:
        parse(source)
    assert error.value.text.zh and error.value.text.en and error.value.fix
    return [(p.path, p.line) for p in error.value.problems]


def test_yaml_json_and_mapping_of_one_job_have_one_digest() -> None:
    spec = parse(CLINIC)
    data = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
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
        ("edition: 1", "edition: 2", ("edition", 3)),
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
    found = problems(CLINIC.replace("{op: count}", "{op: max}").replace("edition: 1", "edition: 2"))
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


def test_schema_refuses_unknown_keys_and_knows_from() -> None:
    schema = json_schema()
    assert schema["additionalProperties"] is False and "from" in schema["properties"]
