"""From specification to SQL: right results on DuckDB, and nothing of the merchant's text in the statement's
structure."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.products.compile import columns_read, compile, literal, partials, quote
from sandbox.products.entities import EntityRegister, SessionCodes
from sandbox.products.evidence import derive
from sandbox.products.source import EntityKey, EvidenceError, Source, opened
from sandbox.products.spec import as_data, parse
from sandbox.products.spec_errors import SpecError
from tests.export_subjects import CLINIC, PERSON, clinic_sources, job, source, write


def run(sources: dict[str, Source], spec: Any) -> list[tuple[Any, ...]]:
    with opened(sources) as con:
        return con.execute(compile(parse(spec))[-1].sql).fetchall()


@pytest.fixture
def table(tmp_path: Path) -> dict[str, Source]:
    rows = {
        "身份证号": ["A", "B", "B", None],
        "区": ["东", "东", "西", None],
        "费用": [1.5, None, 4.0, 10.0],
        "次数": [1, 2, 3, 4],
        "日": [date(2026, 1, 31), date(2026, 2, 1), date(2025, 12, 31), None],
        "时": [datetime(2026, 1, 1, 13, 30)] * 4,
        "码": ["440103001", "440104", " ab ", None],
    }
    return {"t": source(write(tmp_path / "t.parquet", rows))}


def test_measures_and_order(table: dict[str, Source]) -> None:
    measures = {
        "行": {"op": "count"}, "有费用": {"op": "count", "of": "费用"},
        "人": {"op": "count_distinct", "of": "身份证号"},
        "合计": {"op": "sum", "of": "费用"}, "均": {"op": "mean", "of": "费用"},
        "比": {"op": "ratio", "of": "费用", "per": "次数"},
    }  # fmt: skip
    assert run(table, job(measures=measures)) == [
        ("东", 2, 1, 2, 1.5, 1.5, 0.5),
        ("西", 1, 1, 1, 4.0, 4.0, 4 / 3),
        (None, 1, 1, 0, 10.0, 10.0, 2.5),
    ]


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        ({"column": "区", "op": "=", "value": "东"}, 2),
        ({"column": "区", "op": "<>", "value": "东"}, 1),
        ({"column": "次数", "op": ">=", "value": 2}, 3),
        ({"column": "费用", "op": "<", "value": 4.5}, 2),
        ({"column": "次数", "op": "in", "value": [1, 4, 9]}, 2),
        ({"column": "日", "op": "between", "value": ["2026-01-01", "2026-01-31"]}, 1),
        ({"column": "区", "op": "is_null"}, 1),
        ({"column": "区", "op": "not_null"}, 3),
        ({"column": "区", "op": "=", "value": "东' OR '1'='1"}, 0),
        ({"column": "次数", "op": ">", "value": -3}, 4),
    ],
)
def test_filters(table: dict[str, Source], condition: dict[str, Any], left: int) -> None:
    spec = job(where=[condition], dimensions=[], measures={"n": {"op": "count"}})
    assert run(table, spec) == [(left,)]


@pytest.mark.parametrize(
    ("function", "values"),
    [
        ({"month": "日"}, ["2025-12", "2026-01", "2026-02", None]),
        ({"year": "日"}, [2025, 2026, None]),
        ({"quarter": "日"}, ["2025-Q4", "2026-Q1", None]),
        ({"month_of_year": "日"}, [1, 2, 12, None]),
        ({"weekday": "日"}, [3, 6, 7, None]),
        ({"hour": "时"}, [13]),
        ({"date": "时"}, [date(2026, 1, 1)]),
        ({"band": {"of": "费用", "width": 4}}, [0, 4, 8, None]),
        ({"prefix": {"of": "码", "length": 6}}, [" ab ", "440103", "440104", None]),
        ({"upper": "码"}, [" AB ", "440103001", "440104", None]),
        ({"trim": "码"}, ["440103001", "440104", "ab", None]),
    ],
)
def test_derived_columns(table: dict[str, Source], function: dict[str, Any], values: list[Any]) -> None:
    spec = job(derive={"派生": function}, dimensions=["派生"], measures={"n": {"op": "count"}})
    assert [row[0] for row in run(table, spec)] == values


def test_values_are_put_together_and_others_stay_what_they_are(table: dict[str, Source]) -> None:
    groups = {"市'内": ["440103001", "440104"], "440103001": ["无此值"]}
    product = {"derive": {"并": {"recode": {"of": "码", "groups": groups}}}, "dimensions": ["并"]}
    spec = job()
    cube = {name: spec.pop(name) for name in ("from", "dimensions", "measures")} | {"measures": {"n": {"op": "count"}}}
    assert [row[0] for row in run(table, spec | {"edition": 2, "product": cube | product})] == [" ab ", "市'内", None]


def test_joined_columns_resolve_to_their_input(tmp_path: Path) -> None:
    rows = run(clinic_sources(tmp_path), as_data(parse(CLINIC)))
    assert [row[:3] for row in rows] == [
        ("东区", "2026-01", 100), ("东区", "2026-02", 100), ("西区", "2026-01", 100), ("西区", "2026-02", 100)
    ]  # fmt: skip


def test_columns_read_says_which_input_and_what_is_ambiguous() -> None:
    spec = parse(CLINIC)
    columns = {"visit": ["身份证号", "费用", "就诊日期"], "resident": ["身份证号", "区"]}
    assert columns_read(spec, columns) == {"visit": set(columns["visit"]), "resident": {"身份证号", "区"}}
    with pytest.raises(SpecError, match=r"alias\.column"):
        columns_read(spec, {**columns, "resident": ["身份证号", "区", "费用"]})
    with pytest.raises(SpecError, match="no such column"):
        columns_read(spec, {**columns, "resident": ["身份证号"]})
    with pytest.raises(SpecError, match="this name"):
        columns_read(spec, {**columns, "resident": ["身份证号", "区", "月份"]})


HOSTILE = [
    'a"b',
    "a'b",
    "x\ny",
    "; DROP TABLE t --",
    '"); SELECT 1; --',
    "=cmd|'/c calc'!A1",
    "select",
    "é\u200b",
    "a.b",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_column_names_stay_names(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "t.parquet", {name: ["u", "u", "v"], "费用": [1, 2, 3], "身份证号": ["A", "B", "C"]})
    measures = {name + "和": {"op": "sum", "of": "费用"}, name + "数": {"op": "count_distinct", "of": name}}
    spec = job(dimensions=[name], measures=measures)
    evidence = derive(parse(spec), {"t": source(path)}, codes=SessionCodes(), halves=1)
    assert evidence.rows == (("u", 3, 1), ("v", 3, 1)) and evidence.kinds[0].proved
    assert evidence.columns == (name, *measures)


@settings(deadline=None)
@given(st.text().filter(lambda s: "\x00" not in s))
def test_quoting_and_literals_round_trip(text: str) -> None:
    import duckdb

    text = text.encode("utf-8", "replace").decode()
    with duckdb.connect(":memory:") as con:
        row = con.execute(f"SELECT {literal(text)} AS {quote('c' + text)}")
        assert row.description is not None and row.description[0][0] == "c" + text
        assert row.fetchall() == [(text,)]


@pytest.mark.parametrize("value", [True, False, 0, -(2**63), 2**63 - 1, 0.1, -1e300])
def test_typed_literals_keep_their_value(value: Any) -> None:
    import duckdb

    with duckdb.connect(":memory:") as con:
        assert con.execute(f"SELECT {literal(value)}").fetchall() == [(value,)]


def test_a_ratio_is_judged_by_both_sides() -> None:
    spec = parse(job(measures={"比": {"op": "ratio", "of": "费用", "per": "次数"}}))
    assert [(p.part, p.column) for p in partials(spec)] == [("numerator", "费用"), ("denominator", "次数")]


def test_two_key_columns_of_one_kind_are_ambiguous(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"身份证号": ["A"], "证件": ["B"], "区": ["东"], "费用": [1]})
    both = Source((str(path),), "sha256:t", (EntityKey("person", "身份证号"), EntityKey("person", "证件")))
    with pytest.raises(EvidenceError) as error:
        derive(parse(job()), {"t": both}, codes=SessionCodes())
    assert error.value.code == "evidence.two_keys"


def test_rows_of_two_different_entities_stop_the_evidence(tmp_path: Path) -> None:
    left = write(tmp_path / "l.parquet", {"身份证号": ["A", "B"], "区": ["东", "东"], "费用": [1, 2]})
    right = write(tmp_path / "r.parquet", {"身份证号": ["B", "A"], "街": ["东", "东"]})
    spec = parse(job(inputs={"t": {"grant": "G-1"}, "u": {"grant": "G-2"}}, join=[{"input": "u", "on": {"区": "街"}}]))
    with pytest.raises(EvidenceError) as error:
        derive(spec, {"t": source(left), "u": source(right)}, codes=SessionCodes())
    assert error.value.code == "evidence.mixed_owner"


def test_errors_of_the_engine_never_quote_a_value(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"身份证号": ["A"], "区": ["绝密值"], "费用": [1]})
    spec = parse(job(derive={"月": {"month": "区"}}, dimensions=["月"]))
    with pytest.raises(EvidenceError) as error:
        derive(spec, {"t": source(path)}, codes=SessionCodes())
    assert "绝密值" not in f"{error.value} {error.value.text} {error.value.detail}" and error.value.__cause__ is None


def test_the_connection_reads_nothing_but_its_files(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"身份证号": ["A"]})
    other = write(tmp_path / "other.parquet", {"a": [1]})
    for attack in (
        f"SELECT * FROM read_parquet('{other}')",
        "SET enable_external_access=true",
        f"COPY (SELECT 1) TO '{other}'",
    ):
        with pytest.raises(EvidenceError), opened({"t": source(path)}) as con:
            con.execute(attack)


def test_register_gives_lasting_numbers_and_keeps_no_key(tmp_path: Path) -> None:
    register = EntityRegister(tmp_path / "register", b"k" * 32)
    first = register.assign("person", ["A", "B", "A"])
    again = EntityRegister(tmp_path / "register", b"k" * 32).assign("person", ["C", "B", "A"])
    assert first.tolist() == [0, 1, 0] and again.tolist() == [2, 1, 0]
    assert register.assign("clinic", ["A"]).tolist() == [0]
    kept = [p for p in (tmp_path / "register").iterdir() if p.stat().st_size]
    assert all(p.stat().st_mode & 0o077 == 0 for p in kept)
    assert sorted(p.stat().st_size for p in kept) == [16, 48]


def test_register_refuses_a_damaged_file(tmp_path: Path) -> None:
    register = EntityRegister(tmp_path, b"k" * 32)
    register.assign("person", ["A"])
    (file,) = (p for p in tmp_path.iterdir() if p.stat().st_size)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="damaged"):
        register.assign("person", ["A"])


def test_person_keys_differing_in_width_and_case_are_one_person(tmp_path: Path) -> None:
    rows = {"身份证号": ["12x", "１２X", " 12x "], "区": ["东"] * 3, "费用": [1, 2, 3]}
    evidence = derive(parse(job()), {"t": source(write(tmp_path / "t.parquet", rows), PERSON)}, codes=SessionCodes())
    assert evidence.kinds[0].cells["n"].to_list() == [1, 1]


def test_columns_that_were_not_granted_do_not_exist_for_the_job_but_keys_still_count(tmp_path: Path) -> None:
    left = write(tmp_path / "l.parquet", {"身份证号": ["A", "A"], "码": [1, 2], "区": ["x", "y"], "费用": [1, 2]})
    right = write(tmp_path / "r.parquet", {"身份证号": ["A", "A"], "号": [1, 2], "区": ["东", "东"]})
    sources = {
        "t": replace(source(left), columns=("码", "费用")),
        "u": replace(source(right), columns=("号", "区")),
    }
    inputs = {"t": {"grant": "G-1"}, "u": {"grant": "G-2"}}
    spec = parse(job(inputs=inputs, join=[{"input": "u", "on": {"码": "号"}}]))
    evidence = derive(spec, sources, codes=SessionCodes(), halves=2)
    assert evidence.rows == (("东", 2, 3),) and evidence.kinds[0].cells["n"].to_list() == [1, 1]
    assert evidence.kinds[0].proved
    hidden = parse(job(inputs=inputs, join=[{"input": "u", "on": {"码": "号"}}], dimensions=["u.身份证号"]))
    with pytest.raises(EvidenceError):
        derive(hidden, sources, codes=SessionCodes())


def test_every_kind_of_entity_is_judged_for_itself(tmp_path: Path) -> None:
    rows = {
        "身份证号": [f"P{i}" for i in range(30)],
        "诊所": [f"C{i % 3}" for i in range(30)],
        "区": ["东"] * 30,
        "费用": [1] * 30,
    }
    keys = (*PERSON, EntityKey("clinic", "诊所"))
    evidence = derive(parse(job()), {"t": source(write(tmp_path / "t.parquet", rows), keys)}, codes=SessionCodes())
    assert {k.kind: k.cells["n"].to_list() for k in evidence.kinds} == {"clinic": [3, 3], "person": [30, 30]}
    assert all(k.proved for k in evidence.kinds)
