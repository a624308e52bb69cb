"""Invariants of verdicts: less knowledge never helps, a failing rule always stops, adding history never clears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.verdict import Outcome, worst_of
from sandbox.exports import gate
from sandbox.exports.checks import CHECKS
from sandbox.exports.checks.base import Registered
from sandbox.exports.closure import Exposure, closure
from sandbox.exports.differencing import near_pairs
from sandbox.exports.history import ReleasedCell, load, save
from sandbox.exports.subject import ExportSubject
from sandbox.products.evidence import packed
from tests.export_subjects import clean, edition, subject_with

ORDER = list(Outcome)
OPTIONAL = [
    f.name for f in fields(ExportSubject)
    if f.name in {"today", "label", "real_inputs", "application", "grants", "columns_read", "spec", "evidence",
                  "entity_kinds", "rounding_base", "match", "history", "volume", "level"}
]  # fmt: skip
CONTRIBUTIONS = st.lists(st.lists(st.integers(0, 60).map(float), min_size=1, max_size=25), min_size=1, max_size=4)
FEW = settings(max_examples=15, deadline=None)


def table(rows: Sequence[Sequence[float]]) -> ExportSubject:
    return subject_with([(f"区{i}", xs) for i, xs in enumerate(rows)])


def outcomes(subject: ExportSubject) -> dict[str, Outcome]:
    return {run.rule: run.outcome for run in gate.evaluate(subject, edition()).rules}


@FEW
@given(CONTRIBUTIONS, st.sampled_from(OPTIONAL))
def test_taking_a_fact_away_improves_no_rule(rows: list[list[float]], name: str) -> None:
    whole, less = outcomes(table(rows)), outcomes(replace(table(rows), **{name: None}))
    assert whole.keys() == less.keys()
    assert all(ORDER.index(less[rule]) >= ORDER.index(whole[rule]) for rule in whole)


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_missing_fact_never_passes(name: str) -> None:
    assert gate.evaluate(replace(clean(), **{name: None}), edition()).outcome is Outcome.ERROR


@pytest.mark.parametrize("column", [
    "n", "n_non_missing", "n_non_zero", "n_informative", "change_share", "x1", "x2", "x_total", "bitmap"
])
def test_taking_a_measured_value_away_improves_no_rule(column: str) -> None:
    subject = table([[100.0] * 20, [50.0, 41.0] + [0.9] * 10, [5.0] * 3, [7.0] * 4 + [0.0] * 20])
    assert subject.evidence is not None
    (kind,) = subject.evidence.kinds
    before = outcomes(subject)
    for number in range(kind.cells.height):
        gone = pl.when(pl.int_range(pl.len()) == number).then(None).otherwise(pl.col(column)).alias(column)
        less = replace(kind, cells=kind.cells.with_columns(gone))
        after = outcomes(replace(subject, evidence=replace(subject.evidence, kinds=(less,))))
        assert all(ORDER.index(after[rule]) >= ORDER.index(before[rule]) for rule in before)


@pytest.mark.parametrize("check", sorted(CHECKS))
@pytest.mark.parametrize("error", [RuntimeError("a value"), KeyError("a value"), MemoryError()])
def test_a_rule_that_raises_blocks_and_says_no_value(
    check: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(subject: ExportSubject, parameters: Any) -> Any:
        raise error

    monkeypatch.setitem(CHECKS, check, Registered(fails, frozenset({"platform", "file"})))
    rule = next(r for r in edition().rules if r.check == check)
    result = gate.run_rule(rule, clean())
    assert result.run.outcome is Outcome.ERROR and "a value" not in str(result)
    assert worst_of([Outcome.PASS, result.run.outcome]) is Outcome.ERROR


def test_a_rule_without_a_function_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(CHECKS, "volume")
    verdict = gate.evaluate(clean(), edition())
    assert verdict.outcome is Outcome.ERROR
    assert {r.rule for r in verdict.rules if r.outcome is Outcome.ERROR} == {"EXP-VOL-01"}


@FEW
@given(CONTRIBUTIONS)
def test_the_merchants_verdict_has_the_officers_outcome_and_no_number(rows: list[list[float]]) -> None:
    verdict = gate.evaluate(table(rows), edition())
    merchant = gate.verdict_for(verdict, "merchant")
    assert merchant.outcome is verdict.outcome
    assert {(f.rule, f.severity) for f in merchant.findings} == {(f.rule, f.severity) for f in verdict.findings}
    assert all((f.measured, f.threshold, f.evidence) == (None, None, None) for f in merchant.findings)


# ---- history ------------------------------------------------------------------------------------------------------
SETS = st.lists(st.sets(st.integers(0, 14), min_size=1), min_size=1, max_size=6)


def cells(sets: Sequence[set[int]], release: str) -> tuple[ReleasedCell, ...]:
    found = []
    for i, members in enumerate(sets):
        name, raw = packed(sorted(members))
        found.append(ReleasedCell(release, f"{release}{i}", "person", "count", "count", len(members), name, raw))
    return tuple(found)


@settings(deadline=None)
@given(SETS, SETS, st.integers(2, 6))
def test_near_pairs_are_those_of_brute_force(new: list[set[int]], old: list[set[int]], t: int) -> None:
    found = near_pairs(cells(new, "n"), cells(old, "o"), threshold=t)
    mine = {frozenset((p.new.bitmap, p.other.bitmap)): p.distance for p in found.found}
    everything = [*cells(new, "n"), *cells(old, "o")]
    wanted = {
        frozenset((a.bitmap, b.bitmap)): len(set(a.entities) ^ set(b.entities))
        for a in cells(new, "n")
        for b in everything
        if 0 < len(set(a.entities) ^ set(b.entities)) < t
    }
    # two cells that are both below t are compared only if they share a member or both are small: never lost
    assert mine == wanted and found.complete


@settings(deadline=None)
@given(SETS, SETS, SETS, st.integers(2, 6))
def test_more_history_never_removes_a_pair(
    new: list[set[int]], old: list[set[int]], more: list[set[int]], t: int
) -> None:
    def found(history: tuple[ReleasedCell, ...]) -> set[tuple[str, str]]:
        return {(p.new.bitmap, p.other.bitmap) for p in near_pairs(cells(new, "n"), history, threshold=t).found}

    assert found(cells(old, "o")) <= found((*cells(old, "o"), *cells(more, "p")))


def spans(sets: Sequence[set[int]], target: frozenset[int]) -> bool:
    """Exact: is the indicator of `target` a rational combination of the sets' indicators?"""
    from fractions import Fraction

    rows = [[Fraction(int(i in s)) for i in range(15)] for s in sets]
    goal = [Fraction(int(i in target)) for i in range(15)]
    for column in range(15):
        pivot = next((r for r in rows if r[column]), None)
        if pivot is None:
            continue
        rows = [
            r if r is pivot else [a - r[column] / pivot[column] * b for a, b in zip(r, pivot, strict=True)]
            for r in rows
        ]
        goal = [a - goal[column] / pivot[column] * b for a, b in zip(goal, pivot, strict=True)]
        rows.remove(pivot)
    return not any(goal)


@settings(deadline=None, max_examples=60)
@given(SETS, SETS, st.integers(2, 5))
def test_closure_finds_the_exact_exposures_of_single_atoms_and_pairs(
    new: list[set[int]], old: list[set[int]], t: int
) -> None:
    everyone = [*old, *new]
    atoms: dict[tuple[bool, ...], set[int]] = {}
    for person in set().union(*everyone):
        atoms.setdefault(tuple(person in s for s in everyone), set()).add(person)
    groups = [frozenset(a) for a in atoms.values()]
    singles = {g for g in groups if len(g) < t and spans(everyone, g)}
    others = [g for g in groups if g not in singles and len(g) < t]
    pairs = {a | b for i, a in enumerate(others) for b in others[i + 1 :] if len(a | b) < t and spans(everyone, a | b)}
    wanted = {u for u in singles | pairs if not spans(old, u)}
    result = closure(cells(new, "n"), cells(old, "o"), threshold=t, seconds=30)
    found = [isolated(e) for e in result.exposures]
    assert result.decided and wanted <= set(found) and len(set(found)) == len(found)
    # what is found besides are larger unions: true ones, and not the history's
    assert all(len(u) < t and spans(everyone, u) and not spans(old, u) for u in found)


def isolated(exposure: Exposure) -> frozenset[int]:
    """Whom a certificate isolates: its cells, taken as often as it says, add up to them and to nobody else."""
    total: dict[int, int] = {}
    for term in exposure.terms:
        for person in term.cell.entities:
            total[person] = total.get(person, 0) + term.times
    left = {person: times for person, times in total.items() if times}
    assert set(left.values()) == {exposure.divisor} and len(left) == exposure.entities
    return frozenset(left)


def test_closure_blames_a_release_only_for_what_it_adds() -> None:
    old = cells([set(range(12)), set(range(11))], "o")
    assert closure(cells([set(range(20, 40))], "n"), old, threshold=5, seconds=10).exposures == ()
    assert (
        len(closure(cells([set(range(20, 40)), set(range(20, 39))], "n"), old, threshold=5, seconds=10).exposures) == 1
    )


def test_closure_without_time_is_not_complete() -> None:
    assert not closure(cells([{1, 2}, {2, 3}], "n"), (), threshold=5, seconds=-1).complete


def test_history_survives_storage_and_only_its_owner_reads_it(tmp_path: Any) -> None:
    kept = cells([{1, 2}, set(range(12))], "o")
    save(tmp_path / "h.parquet", kept)
    assert load(tmp_path / "h.parquet") == kept
    assert (tmp_path / "h.parquet").stat().st_mode & 0o077 == 0
    save(tmp_path / "none.parquet", ())
    assert load(tmp_path / "none.parquet") == ()
