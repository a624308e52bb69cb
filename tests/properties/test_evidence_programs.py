"""The properties of evidence over generated jobs, against what the jobs mean in plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from benchmarks.evidence_lab import Lab
from sandbox.products.carrier import Refused
from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import Evidence, derive
from sandbox.products.source import EvidenceError
from sandbox.products.spec import as_data, parse
from tests.evidence_programs import PIDS, Program, programs, records, stored
from tests.evidence_reference import ADDED, MEASURES, Joined, Keep, Made, Mixed, Outcome, PerPerson, Stacked, same

SLOW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])

OFFSET, MISSING_KEY = 10, 2**32 - 1
Cells = dict[tuple[int, tuple[Any, ...], str, str], dict[str, Any]]


def evidence_of(program: Program, codes: Any = None, halves: int = 1) -> Evidence | None:
    """The job's evidence, or None where it is refused."""
    with stored(program) as sources:
        try:
            return derive(parse(program.spec), sources, codes=codes or SessionCodes(), halves=halves)
        except EvidenceError:
            return None


def cells_of(evidence: Evidence) -> Cells:
    keys = [(g, row[: evidence.dimensions]) for g, row in zip(evidence.groupings, evidence.rows, strict=True)]
    found = {}
    for row in evidence.kinds[0].cells.iter_rows(named=True):
        grouping, key = keys[row["cell"]]
        found[grouping, key, row["measure"], row["part"]] = row
    return found


def sets_of(evidence: Evidence, cells: Cells) -> dict[Any, frozenset[int]]:
    bitmaps = evidence.kinds[0].bitmaps
    return {key: frozenset(BitMap.deserialize(bitmaps[row["bitmap"]])) for key, row in cells.items()}


def numbers(evidence: Evidence) -> dict[Any, int]:
    """Cell and partial → entities."""
    return {key: row["n"] for key, row in cells_of(evidence).items()}


def assert_never_more(before: Evidence | None, after: Evidence | None) -> None:
    if before is None or after is None:
        return
    small = numbers(after)
    for key, n in numbers(before).items():
        assert small.get(key, 0) <= n


@SLOW
@given(programs())
def test_derived_evidence_is_proved_and_equals_the_meaning_of_the_job(program: Program) -> None:
    codes = SessionCodes()
    evidence = evidence_of(program, codes, halves=3)
    try:
        wanted = program.outcome()
    except Mixed:
        assert evidence is None
        return
    if evidence is None:
        return
    kind = evidence.kinds[0]
    assert kind.proved and kind.halves == 3
    _assert_values(evidence, wanted, program)
    if not kind.touched:
        assert not any(cell.owners for cell in wanted.cells.values())
        return
    code = {pid: int(codes.assign("person", [str(pid)])[0]) for pid in PIDS}
    found = cells_of(evidence)
    sets = sets_of(evidence, found)
    assert found.keys() == wanted.cells.keys()
    for key, row in found.items():
        cell = wanted.cells[key]
        assert (row["n"], row["n_non_missing"] or 0, row["n_non_zero"]) == (cell.n, cell.present, cell.non_zero), key
        assert sets[key] == {code[pid] for pid in cell.owners}, key
        if MEASURES[key[2]]["op"] in ADDED:
            sizes = [float(x or 0) for x in (row["x1"], row["x2"], row["x_total"])]
            assert all(map(same, sizes, (cell.x1, cell.x2, cell.total))), key


def _assert_values(evidence: Evidence, wanted: Any, program: Program) -> None:
    found = {
        (g, row[: evidence.dimensions]): row[evidence.dimensions :]
        for g, row in zip(evidence.groupings, evidence.rows, strict=True)
    }
    assert found.keys() == wanted.values.keys()
    for key, values in found.items():
        for name, value in zip(program.measures, values, strict=True):
            assert same(value, wanted.values[key][name]), (key, name)


@SLOW
@given(programs())
def test_removing_any_entity_changes_only_cells_whose_set_has_it(program: Program) -> None:
    codes = SessionCodes()
    evidence = evidence_of(program, codes)
    if evidence is None or not evidence.kinds[0].touched:
        return
    sets = sets_of(evidence, cells_of(evidence))
    before = program.outcome().values
    for pid in PIDS:
        code, after = int(codes.assign("person", [str(pid)])[0]), program.without(pid).outcome().values
        for key, values in before.items():
            for name, value in values.items():
                if not same(value, after.get(key, {}).get(name, math.inf)):
                    parts = [owners for (*place, _), owners in sets.items() if tuple(place) == (*key, name)]
                    rows_left = [owners for (g, k, _, _), owners in sets.items() if (g, k) == key]
                    # a row may vanish with the last entity that gave it anything
                    assert any(code in owners for owners in (parts if key in after else rows_left)), (key, name)


@SLOW
@given(programs(), st.integers(2, 3), st.randoms(use_true_random=False))
def test_repeated_and_reordered_rows_never_raise_the_number_of_entities(
    program: Program, times: int, random: Any
) -> None:
    repeated = program.changed(lambda name, record: [record] * times)
    shuffled = {name: tuple(random.sample(rows, len(rows))) for name, rows in repeated.tables.items()}
    by_district = _by_district(program)
    again = Program(**{**_fields(repeated), "tables": shuffled})
    assert_never_more(evidence_of(by_district), evidence_of(_by_district(again)))


@SLOW
@given(programs())
def test_other_keys_for_the_same_persons_never_raise_the_number_of_entities(program: Program) -> None:
    renamed = program.changed(lambda name, r: [(None if r[0] is None else 1000 - 7 * r[0], *r[1:])])
    before, after = evidence_of(_by_district(program)), evidence_of(_by_district(renamed))
    assert (before is None) == (after is None)
    assert_never_more(before, after)
    assert_never_more(after, before)


@SLOW
@given(programs(), records(PIDS, most=5))
def test_rows_that_belong_to_nobody_never_raise_the_number_of_entities(program: Program, more: Any) -> None:
    padded = program.changed(lambda name, r: [r])
    tables = {**padded.tables, "w": (*padded.tables["w"], *more)}
    by_district = _by_district(program)
    if any(isinstance(step, Joined) for step in program.steps):
        return  # a join with more rows may let more persons in
    assert_never_more(evidence_of(by_district), evidence_of(Program(**{**_fields(by_district), "tables": tables})))


@SLOW
@given(programs())
def test_one_more_step_never_makes_a_refused_job_pass(program: Program) -> None:
    longer = Program(**{**_fields(program), "steps": (*program.steps, Keep(program.last, "x", -1000))})
    if evidence_of(program) is None:
        assert evidence_of(longer) is None


CODE = f"coalesce(({{key}} + {OFFSET})::UINTEGER, {MISSING_KEY}::UINTEGER)"


@settings(SLOW, max_examples=25)
@given(programs())
def test_carried_contributions_predict_the_removal_of_every_single_entity(program: Program) -> None:
    """The parts on their own: what the carrier and the cube's generator say, the text itself, and its meaning."""
    with stored(program) as sources, duckdb.connect(config={"threads": 1}) as con:
        try:
            lab = Lab(con, parse(program.spec), sources, CODE)
            plain = lab.plain()
            lab.contribute()
        except Refused:
            return
        except duckdb.Error as error:
            assert "mixed_owner" in str(error) or "missing_key" in str(error)
            return
        for rows in (plain, lab.recompute()):
            _assert_table(program, rows, program.outcome())
        for pid in PIDS:
            wanted = program.without(pid).outcome()
            for rows in (lab.without(pid + OFFSET), lab.recompute(without=pid + OFFSET)):
                _assert_table(program, rows, wanted)


def _assert_table(program: Program, rows: Sequence[tuple[Any, ...]], wanted: Outcome) -> None:
    """Rows of the cube, its grouping number last where there are margins."""
    width, last = len(program.dimensions), len(program.dimensions) + len(program.measures)
    found = {(row[last] if program.margins else 0, row[:width]): row[width:last] for row in rows}
    assert found.keys() == wanted.values.keys()
    for key, values in found.items():
        for name, value in zip(program.measures, values, strict=True):
            assert same(value, wanted.values[key][name]), (key, name)


class Shifted(SessionCodes):
    """Other numbers for the same persons."""

    def assign(self, kind: str, keys: Sequence[str]) -> Any:
        return (np.uint32(1_000_003) - super().assign(kind, keys) * np.uint32(7)).astype(np.uint32)


@SLOW
@given(programs())
def test_other_numbers_for_entities_change_only_the_sets(program: Program) -> None:
    a, b = evidence_of(program), evidence_of(program, Shifted())
    assert (a is None) == (b is None)
    if a is None or b is None:
        return
    assert a.groupings == b.groupings
    settled = ("cell", "measure", "part", "n", "n_non_missing", "n_non_zero", "n_min", "n_max", "n_below", "n_above")
    assert a.kinds[0].cells.select(settled).equals(b.kinds[0].cells.select(settled))


@SLOW
@given(programs(low=0))
def test_two_entities_merged_never_improve_a_cell(program: Program) -> None:
    plain = _by_district(program)
    if any(isinstance(step, (Joined, PerPerson)) for step in plain.steps):
        return  # merging keys changes which rows meet there, not only whose they are
    merged = plain.changed(lambda name, r: [(1 if r[0] == 2 else r[0], *r[1:])])
    before, after = evidence_of(plain), evidence_of(merged)
    assert_never_more(before, after)
    if before is None or after is None:
        return
    others = cells_of(after)
    for key, row in cells_of(before).items():
        if row["op"] in ADDED and row["x1"]:
            old, new = (r["x_total"] - r["x1"] - r["x2"] for r in (row, others[key]))
            assert new <= old + 1e-9 and others[key]["x1"] >= row["x1"] - 1e-9


@SLOW
@given(programs())
def test_a_specification_survives_being_written_and_read(program: Program) -> None:
    spec = parse(program.spec)
    assert parse(as_data(spec)) == spec


@pytest.mark.parametrize(
    "step", [Keep("t", "x", 0), Made("t"), Stacked("t", "u"), Stacked("t", "w"), Joined("t", "u", False),
             Joined("t", "w", True), PerPerson("t"), Joined("w", "t", False)],
    ids=lambda step: f"{type(step).__name__}-{step.sql()[-12:]}",
)  # fmt: skip
def test_each_kind_of_step_is_derived(step: Any) -> None:
    rows = tuple((pid, "东", pid + 1, 2) for pid in PIDS)
    program = Program({"t": rows, "u": rows, "w": rows}, (step,), ("district",), (), ("rows", "sum"))
    evidence = evidence_of(program, halves=3)
    assert evidence is not None and evidence.kinds[0].proved
    assert set(numbers(evidence).values()) <= {len(PIDS), len(PIDS) - 1, len(PIDS) - 2}


def _by_district(program: Program) -> Program:
    """The same job with dimensions that do not depend on amounts."""
    return Program(**{**_fields(program), "dimensions": ("district",), "margins": ()})


def _fields(program: Program) -> dict[str, Any]:
    return {name: getattr(program, name) for name in ("tables", "steps", "dimensions", "margins", "measures")}
