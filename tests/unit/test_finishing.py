"""What the platform suppresses, which further cells it hides with it, and the file that results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from policies.verdict import Outcome
from sandbox.exports.checks.suppression import reader_of
from sandbox.exports.finishing import finished, suppressed
from sandbox.exports.gate import run_rule
from sandbox.exports.subject import ExportSubject
from sandbox.products import artefact, compile, releasing
from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import derive
from sandbox.products.source import EntityKey, Source
from sandbox.products.spec import JobSpec, parse
from tests.export_subjects import edition

DISTRICTS = {"东": (40, 30), "西": (30, 2), "南": (25, 35)}
"""District → persons in January and in February"""


def job(*, margins: list[list[str]], suppress: bool = True) -> JobSpec:
    more: dict[str, Any] = {"suppress": {"below": "policy", "as": "*"}} if suppress else {}
    return parse({
        "job": "收尾", "edition": 2, "inputs": {"t": {"grant": "G-1"}},
        "product": {
            "from": "t", "dimensions": ["区", "月"], "margins": margins,
            "measures": {"人次": {"op": "count"}, "金额": {"op": "sum", "of": "费用", "round": 0}}, **more,
        },
        "output": {"kind": "aggregate", "format": "csv"},
    })  # fmt: skip


def subject(spec: JobSpec, folder: Path) -> ExportSubject:
    rows: list[tuple[int, str, int, float]] = []
    for district, months in DISTRICTS.items():
        for month, people in enumerate(months, start=1):
            first = len(rows)
            rows += [(first + i, district, month, 100.0 + i % 5) for i in range(people)]
    path = folder / "t.parquet"
    pl.DataFrame(rows, schema=["人", "区", "月", "费用"], orient="row").write_parquet(path)
    source = Source((str(path),), "sha256:t", (EntityKey("person", "人"),))
    evidence = derive(spec, {"t": source}, codes=SessionCodes(), halves=4)
    return ExportSubject(
        files=(),
        audience="contract",
        spec=spec,
        evidence=evidence,
        entity_kinds=frozenset({"person"}),
        rounding_base=5,
        level=3,
    )


def hidden_cells(found: ExportSubject) -> set[tuple[Any, ...]]:
    assert found.evidence is not None
    return {found.evidence.rows[row][:2] for row, _ in suppressed(found, edition())}


def test_nothing_is_hidden_unless_the_job_asks(tmp_path: Path) -> None:
    assert suppressed(subject(job(margins=[], suppress=False), tmp_path), edition()) == frozenset()


def test_a_small_cell_is_hidden_with_all_its_measures(tmp_path: Path) -> None:
    found = subject(job(margins=[]), tmp_path)
    assert hidden_cells(found) == {("西", 2)}
    assert {name for _, name in suppressed(found, edition())} == {"人次", "金额"}


@pytest.mark.parametrize(("margins", "hidden"), [
    ([["区"]], {("西", 2), ("西", 1)}),
    ([["月"]], {("西", 2), ("东", 2)}),
    ([["区"], ["月"]], {("西", 2), ("西", 1), ("南", 1), ("南", 2)}),
])  # fmt: skip
def test_the_cheapest_cells_that_protect_a_hidden_one_are_hidden_with_it(
    margins: list[list[str]], hidden: set[tuple[Any, ...]], tmp_path: Path
) -> None:
    """With both margins four corners are needed: those of 南 hold sixty people, those of 东 seventy."""
    assert hidden_cells(subject(job(margins=margins), tmp_path)) == hidden


@pytest.mark.parametrize("margins", [[["区"]], [["月"]], [["区"], ["月"]], [["月"], ["区"], []]])
def test_a_table_whose_suppression_is_proved_passes_the_audit_without_a_person(
    margins: list[list[str]], tmp_path: Path
) -> None:
    made = finished(replace(subject(job(margins=margins), tmp_path), history=()), edition())
    run = run_rule(edition().by_check("suppression_audit"), made).run
    assert made.hidden and run.outcome is Outcome.PASS
    for check in ("cell_threshold", "dominance", "p_percent"):
        assert run_rule(edition().by_check(check), made).run.outcome is Outcome.PASS


@pytest.mark.parametrize("margins", [[["区"]], [["月"]], [["区"], ["月"]], [["月"], ["区"], []]])
def test_no_margin_that_is_shown_has_exactly_one_hidden_cell_below_it(margins: list[list[str]], tmp_path: Path) -> None:
    spec = job(margins=margins)
    one = subject(spec, tmp_path)
    assert one.evidence is not None
    gone = {row for row, _ in suppressed(one, edition())}
    rows = list(zip(one.evidence.rows, one.evidence.groupings, strict=True))
    for number, margin in enumerate(spec.groupings):
        for finer, present in enumerate(spec.groupings):
            if not set(margin) < set(present):
                continue
            places = [spec.dimensions.index(d) for d in margin]
            for key in {tuple(values[p] for p in places) for values, g in rows if g == number}:
                below = [
                    r for r, (values, g) in enumerate(rows) if g == finer and tuple(values[p] for p in places) == key
                ]
                assert len(below) == 1 or len(gone & set(below)) != 1


class Passes(tuple[Any, ...]):
    """Rows that count how often somebody goes through them."""

    passes = 0

    def __iter__(self) -> Iterator[Any]:
        self.passes += 1
        return super().__iter__()


def test_what_a_reader_solves_takes_as_many_passes_over_many_cells_as_over_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass a cell is no matter in a small table and hours in one of half a million cells."""
    passes = []
    for more in ({}, {"北": (20, 40), "中": (35, 25)}):
        for district, people in more.items():
            monkeypatch.setitem(DISTRICTS, district, people)
        found = subject(job(margins=[["区"]]), tmp_path)
        assert found.evidence is not None
        rows = Passes(found.evidence.rows)
        reader_of(replace(found, evidence=replace(found.evidence, rows=rows)), {0}, (), 5)
        passes.append(rows.passes)
    assert passes[0] == passes[1] > 0


def test_the_file_shows_a_mark_where_a_cell_is_hidden_and_no_number_of_it(tmp_path: Path) -> None:
    made = finished(subject(job(margins=[["区"]]), tmp_path), edition())
    assert made.finished is not None and made.files[0].content == made.finished.content
    table = {tuple(r[:2]): r[2:] for r in artefact.read_csv(made.finished.content)[1:]}
    assert table["西", "1"] == table["西", "2"] == ["*", "*"]
    assert table["西", "合计"][0] == "30" and table["东", "1"][0] == "40"
    assert [r[:2] for r in artefact.read_csv(made.finished.content)[1:]][-3:] == [
        [d, "合计"] for d in sorted(DISTRICTS)
    ]


def test_a_file_of_the_merchants_own_is_kept_beside_the_platforms(tmp_path: Path) -> None:
    made = finished(subject(job(margins=[]), tmp_path), edition())
    again = finished(replace(made, files=(replace(made.files[0], content=b"x"),)), edition())
    assert again.files[0].content == b"x" and again.finished == made.finished


def test_rows_of_two_margins_have_the_same_number_where_they_are_made_proved_and_released(tmp_path: Path) -> None:
    """`__g` of the compiled text, the evidence's groupings and the released table's: one numbering, the spec's."""
    spec = job(margins=[["月"], ["区"]], suppress=False)
    found = subject(spec, tmp_path)
    evidence = found.evidence
    assert evidence is not None and spec.groupings == [["区", "月"], ["月"], ["区"]]
    con = duckdb.connect()
    con.sql(f"CREATE TABLE t AS FROM read_parquet('{tmp_path / 't.parquet'}')")
    made = con.sql(compile.cube_sql(spec)).pl()
    assert sorted(zip(made["__g"], made["区"], made["月"], strict=True), key=str) == sorted(
        ((g, *row[:2]) for row, g in zip(evidence.rows, evidence.groupings, strict=True)), key=str
    )
    shown = releasing.released(spec, evidence, edition().by_check("rounding").parameters)
    assert shown.groupings == evidence.groupings
    for row, number in zip(evidence.rows, shown.groupings, strict=True):
        assert [d for d, v in zip(spec.dimensions, row[:2], strict=True) if v is not None] == spec.groupings[number]


def test_twenty_runs_on_one_and_on_two_threads_give_the_same_bytes(tmp_path: Path) -> None:
    """Sums of floats depend on the order of additions: the file must not."""
    spec, path = job(margins=[["区"]], suppress=False), tmp_path / "t.parquet"
    con = duckdb.connect()
    con.sql(
        "COPY (SELECT i AS 人, CASE i % 3 WHEN 0 THEN '东' WHEN 1 THEN '西' ELSE '南' END AS 区, i % 2 + 1 AS 月,"
        " 0.1 + (i * 7919 % 10007) / 7.0 AS 费用 FROM range(3000) r(i))"
        f" TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 500)"
    )
    source = Source((str(path),), "sha256:t", (EntityKey("person", "人"),))
    evidence = derive(spec, {"t": source}, codes=SessionCodes(), halves=1)
    kept = {place[:2]: place for place in evidence.rows}
    files = set()
    for threads in (1, 2):
        con.sql(f"SET threads = {threads}")
        for _ in range(10):
            made = con.sql(f"WITH t AS (FROM read_parquet('{path}')) {compile.cube_sql(spec)}").pl()
            assert made["__g"].to_list() == list(evidence.groupings)
            rows = made.drop("__g").rows()
            ours = replace(evidence, rows=tuple(rows))
            assert {row[:2] for row in rows} == set(kept)
            shown = releasing.released(spec, ours, edition().by_check("rounding").parameters)
            files.add(artefact.write(spec.file_name, shown).content)
    assert len(files) == 1
