"""A large table drawn batch by batch: what must be remembered between batches, and how their verdicts become one.

Every gate runs on every row: each batch is judged as a table of its own, counts are added up, shares are averaged by
rows, the worst outcome wins. What only shows across batches (a key that comes again) is counted over all of them.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as parts_of
from typing import IO, Any

import numpy as np
import polars as pl

from policies.text import Text
from policies.verdict import Finding, Outcome, RuleRun, Verdict, worst_of
from synthetic.fidelity import Fidelity
from synthetic.fields import Field
from synthetic.filling import DISTINCT, Facts, Parent

BATCH_ROWS = 100_000
"""Rows drawn and judged at a time: more than the real rows held out, so that the gates that allow for chance are as
strict on a batch as on the whole table."""

_COUNTED = frozenset({"real_values", "rare_categories", "unique_extremes", "orphans", "constraint_violations"})
_AVERAGED = frozenset({"exact_rows", "closer_to_training", "copy_control", "fidelity_ratio"})
_BITS_A_ROW = 16
_PARTS = 16
_CHUNK = 1_000_000
_DIGEST_ROWS = 50_000
_FEW_PARENTS = 100

Progress = Callable[[str, float], None]
"""Told the name of each step before it begins, one of `STEPS`, and the share done in [0, 1], which never falls.

Raising from it cancels: it is called between steps and batches, nothing catches what it raises, and half-written files
are removed.
"""

STEPS: Mapping[str, Text] = {
    "prepare": Text("准备", "prepare"),
    "fit": Text("学习", "learn"),
    "draw": Text("生成", "draw"),
    "judge": Text("核查", "judge"),
    "finish": Text("收尾", "finish"),
}


class Steps:
    """Turns units of work into the share done."""

    def __init__(self, told: Progress | None, units: int) -> None:
        self._told, self._units, self._done = told, units, 0

    def begin(self, name: str, units: int = 1) -> None:
        """Tell that a step of `units` begins; what began before is done. May raise what the callback raises."""
        if self._told:
            self._told(name, 1.0 if name == "finish" else min(0.99, self._done / self._units))
        self._done += units


def sizes(rows: int, batch_rows: int) -> list[int]:
    """How many rows each batch has."""
    return [min(batch_rows, rows - start) for start in range(0, rows, batch_rows)]


def part_of(parents: Mapping[str, Parent], index: int, count: int) -> Mapping[str, Parent]:
    """The parents of one batch: every batch serves its own stretch of them, so that all have their children in one.

    Where there are only a few parents each batch draws from all of them.
    """
    if count == 1:
        return parents
    found = {}
    for name, parent in parents.items():
        height = parent.frame.height
        start, end = height * index // count, height * (index + 1) // count
        found[name] = parent if height < count * _FEW_PARENTS else replace(parent, frame=parent.frame[start:end])
    return found


def distinct(field: Field) -> bool:
    """True for columns in which different people or things never share a value."""
    return not field.learned and not field.references and (field.semantic in DISTINCT or field.shaped or field.unique)


class Issued:
    """Values that earlier batches gave out, as a bitmap of hashes: two bytes a row. It may take a new value for an old
    one, which is then drawn again, but never an old one for new."""

    def __init__(self, rows: int) -> None:
        self._mask = np.uint64(2 ** int(np.ceil(np.log2(max(1024, rows * _BITS_A_ROW)))) - 1)
        self._bits = np.zeros((int(self._mask) + 1) // 8, dtype=np.uint8)

    def add(self, column: pl.Series) -> None:
        place, bit = self._places(column.drop_nulls())
        np.bitwise_or.at(self._bits, place, bit)

    def holds(self, column: pl.Series) -> pl.Series:
        """Which values were given out before."""
        place, bit = self._places(column)
        return pl.Series(self._bits[place] & bit != 0)

    def _places(self, column: pl.Series) -> tuple[np.ndarray, np.ndarray]:
        hashed = column.cast(pl.String).hash(1).to_numpy() & self._mask
        return (hashed >> np.uint64(3)).astype(np.int64), np.left_shift(1, hashed & np.uint64(7)).astype(np.uint8)


def facts_beside(facts: Mapping[str, Facts], issued: Mapping[str, Issued]) -> Mapping[str, Facts]:
    """The facts of a batch that also avoids what earlier ones gave out."""
    return {n: replace(f, taken=issued[n].holds) if n in issued else f for n, f in facts.items()}


class Repeats:
    """Counts values of key columns that come more than once in the whole table; hashes wait in temporary files."""

    def __init__(self, fields: Sequence[Field]) -> None:
        unique = [f.name for f in fields if f.unique or (f.semantic == "key" and not f.references)]
        self._files: dict[str, IO[bytes]] = {name: tempfile.TemporaryFile() for name in unique}  # noqa: SIM115

    def __enter__(self) -> Repeats:
        return self

    def __exit__(self, *raised: object) -> None:
        for file in self._files.values():
            file.close()

    def add(self, frame: pl.DataFrame) -> None:
        for name, file in self._files.items():
            column = frame.get_column(name).drop_nulls().cast(pl.String)
            file.write(column.hash(2).to_numpy().tobytes())

    def count(self) -> dict[str, int]:
        """Repeated values by column, one sixteenth of the hashes in memory at a time."""
        return {name: sum(_repeated(file, part) for part in range(_PARTS)) for name, file in self._files.items()}


def _repeated(file: IO[bytes], part: int) -> int:
    file.seek(0)
    here = []
    while block := file.read(_CHUNK * 8):
        hashes = np.frombuffer(block, dtype=np.uint64)
        here.append(hashes[hashes % np.uint64(_PARTS) == part])
    found = np.concatenate(here) if here else np.zeros(0, dtype=np.uint64)
    return len(found) - len(np.unique(found))


def joined(judged: Sequence[tuple[int, Verdict]], edition: Any, repeated: Mapping[str, int]) -> Verdict:
    """One verdict over all batches: `judged` holds the rows and the verdict of each."""
    runs, findings = [], []
    for at, rule in enumerate(edition.rules):
        parts = [(rows, verdict.rules[at]) for rows, verdict in judged]
        run = _joined_run(rule.check, parts)
        found = [f for _, verdict in judged for f in verdict.findings if f.rule == rule.id]
        again = sum(repeated.values()) if rule.check == "constraint_violations" else 0
        if again:
            run = replace(run, outcome=worst_of([run.outcome, rule.on_fail]), measured=(run.measured or 0) + again)
            places = "、".join(f"{name}: unique" for name, count in repeated.items() if count)
            found.append(Finding(rule.id, rule.on_fail, places, again, run.threshold, rule.title))
        runs.append(run)
        findings += [_joined_finding(run, found)] if found else []
    return Verdict.conclude(edition.policy, edition.edition, edition.digest, runs, findings)


def _joined_run(check: str, parts: Sequence[tuple[int, RuleRun]]) -> RuleRun:
    outcome = worst_of([run.outcome for _, run in parts])
    worst = next(run for _, run in parts if run.outcome is outcome)
    values = [run.measured for _, run in parts]
    if outcome is Outcome.ERROR or not all(isinstance(v, int | float) for v in values):
        return worst
    if check in _COUNTED:
        return replace(worst, measured=sum(values))
    if check in _AVERAGED:
        return replace(worst, measured=round(float(np.average(values, weights=[rows for rows, _ in parts])), 6))
    return worst


def _joined_finding(run: RuleRun, found: Sequence[Finding]) -> Finding:
    places = dict.fromkeys(place for f in found for place in f.place.split("、") if place)
    worst = max(found, key=lambda f: list(Outcome).index(f.severity))
    return replace(worst, measured=run.measured, place="、".join(places))


def mean_fidelity(measured: Sequence[tuple[int, Fidelity]]) -> Fidelity:
    """The mean over batches, by rows; scores that no batch has stay unknown."""
    weights = [rows for rows, _ in measured]

    def mean(values: Sequence[Any]) -> Any:
        if all(isinstance(v, int | float) for v in values):
            return float(np.average(values, weights=weights))
        if all(isinstance(v, dict) for v in values):
            return {key: mean([v[key] for v in values]) for key in values[0] if all(key in v for v in values)}
        return values[0]

    parts: Iterator[tuple[str, Any]] = (
        (p.name, mean([getattr(f, p.name) for _, f in measured])) for p in parts_of(Fidelity)
    )
    return Fidelity(**dict(parts))


class Digest:
    """sha256 of the CSV form (UTF-8, header, LF) of a table that comes in parts."""

    def __init__(self) -> None:
        self._hash, self._header = hashlib.sha256(), True

    def add(self, frame: pl.DataFrame) -> None:
        for start in range(0, max(1, frame.height), _DIGEST_ROWS):
            part = frame[start : start + _DIGEST_ROWS]
            self._hash.update(part.write_csv(include_header=self._header).encode())
            self._header = False

    def hex(self) -> str:
        return self._hash.hexdigest()


@dataclass(frozen=True, slots=True)
class NotRun:
    """A candidate that could not run, and why: shown beside those that ran, never dropped."""

    engine: str
    code: str
    reason: Text

    def as_dict(self) -> dict[str, Any]:
        """Its entry among the candidates of a manifest."""
        return {
            "engine": self.engine, "version": self.engine, "outcome": "not_run", "failed": [], "fidelity": None,
            "code": self.code, "reason": self.reason.as_dict(),
        }  # fmt: skip
