"""Repairs of a job that the gate does not let through: made, run, judged again, and offered only if they help.

What would help is not argued but tried: every change is a whole job, which runs on the same tables, is proved and
judged by the same rules. Whoever may not see a table must not be given repairs that were tried on it, since each
answer tells something: a merchant's are tried on simulated data, and what the real data say is the next run's verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from policies.text import Text, UserError
from policies.verdict import Outcome, Verdict
from sandbox.exports.coarser import Change, Dimension, Job, Kind
from sandbox.exports.finishing import CELL_RULES, failing_cells
from sandbox.exports.gate import Checked
from sandbox.exports.subject import CannotRun, ExportSubject
from sandbox.products.budget import Cancelled
from sandbox.products.spec import JobSpec, digest

if TYPE_CHECKING:
    from policies.schema.export import ExportEdition

OFFERED = 5
"""Repairs shown, the best first."""
TRIED = 16
"""Changes tried at most; a second round, which adds to the best change of the first, counts too."""
HISTORY_RULES = frozenset({"differencing", "linear_closure", "suppression_audit", "row_per_entity", "zero_cells",
                           "raw_rows", "volume"})  # fmt: skip
"""Rules that coarser groups may satisfy, beside those about single cells."""
COLUMN_RULES = frozenset({"identifiers_anywhere", "possible_identifiers", "join_back", "opaque_columns", "free_text",
                          "coordinates"})  # fmt: skip
"""Rules about a column, which can be left out."""
_ORDER = list(Outcome)
_HELD = (Outcome.BLOCK, Outcome.ERROR)


@dataclass(frozen=True, slots=True)
class Repair:
    """A changed job that the gate judges better than the one it was asked about. `id` names the job it makes."""

    kind: Kind
    text: Text
    spec: JobSpec
    verdict: Verdict
    shown: int

    @property
    def id(self) -> str:
        return digest(self.spec).partition(":")[2][:12]

    @property
    def outcome(self) -> Outcome:
        return self.verdict.outcome


Again = Callable[[JobSpec], Checked]
"""Runs a job anew on the same tables and judges the file that the platform makes of it."""
Progress = Callable[[int, int], None]
"""(changes tried, changes to try)."""


def suggest(
    before: Checked, again: Again, edition: ExportEdition, progress: Progress | None = None
) -> tuple[Repair, ...]:  # fmt: skip
    """Changes of the job that get it further, best outcome first, then those that keep most cells; what leaves it
    blocked only where nothing gets it through.

    Nothing is offered for a job that passes, or of which no cell is known. Raises `Cancelled`, and what broke the
    proof of a job for reasons that are not the job's.
    """
    if before.verdict.passed or before.subject.spec is None or before.subject.evidence is None:
        return ()
    search = _Search(again, edition, progress or (lambda done, of: None))
    found = search.better(before, TRIED * 3 // 4)
    best = min(found, key=_rank, default=None)
    if best is not None and best.outcome in _HELD:
        found += search.beyond(best)
    through = [one for one in found if one.outcome not in _HELD]
    return tuple(sorted(through or found, key=_rank)[:OFFERED])


def improves(after: Verdict, before: Verdict) -> bool:
    """Whether the outcome is better; or the same, and some rule says less against it while none says more."""
    if after.outcome != before.outcome:
        return _ORDER.index(after.outcome) < _ORDER.index(before.outcome)
    old = {run.rule: _ORDER.index(run.outcome) for run in before.rules}
    new = {run.rule: _ORDER.index(run.outcome) for run in after.rules}
    rules = old.keys() | new.keys()
    worse = any(new.get(rule, 0) > old.get(rule, 0) for rule in rules)
    return not worse and any(new.get(rule, 0) < old.get(rule, 0) for rule in rules)


def _rank(repair: Repair) -> tuple[int, int, int]:
    held = sum(run.outcome is not Outcome.PASS for run in repair.verdict.rules)
    return _ORDER.index(repair.outcome), held, -repair.shown


class _Search:
    """Tries changes, each job once, within a number of tries."""

    def __init__(self, again: Again, edition: ExportEdition, progress: Progress) -> None:
        self._again, self._edition, self._progress = again, edition, progress
        self._known: dict[str, Checked] = {}
        self._tries = 0

    def better(self, before: Checked, limit: int) -> list[Repair]:
        """The changes of `before` that improve on it, tried until `limit` tries were made in all."""
        assert before.subject.spec is not None
        seen = {digest(before.subject.spec)}
        wanted = [c for c in changes(before, self._edition) if digest(c.spec) not in seen][: limit - self._tries]
        found = []
        for change in wanted:
            if digest(change.spec) in self._known:
                continue
            after = self._try(change)
            self._tries += 1
            self._progress(self._tries, TRIED)
            if after is not None and improves(after.verdict, before.verdict):
                self._known[digest(change.spec)] = after
                found.append(Repair(change.kind, change.text, change.spec, after.verdict, _shown(after.subject)))
        return found

    def beyond(self, best: Repair) -> list[Repair]:
        """Changes added to the best one, which alone does not get the job through."""
        more = self.better(self._known[digest(best.spec)], TRIED)
        return [replace(one, text=_both(best.text, one.text)) for one in more]

    def _try(self, change: Change) -> Checked | None:
        try:
            return self._again(change.spec)
        except Cancelled:
            raise
        except UserError as error:
            if error.status >= 500:  # the platform's fault, not the change's
                raise
            return None  # a later part of the job does not stand the change


def changes(before: Checked, edition: ExportEdition) -> Iterator[Change]:
    """What to try for the rules that hold something against this job: mild changes of each kind first."""
    subject = before.subject
    assert subject.spec is not None and subject.evidence is not None
    checks = {rule.id: rule.check for rule in edition.rules}
    against = {checks[run.rule] for run in before.verdict.rules if run.outcome is not Outcome.PASS}
    job, dimensions = Job(subject.spec), _dimensions(subject, edition)
    named = _named(before, {rule for rule, check in checks.items() if check in COLUMN_RULES | CELL_RULES})
    if against & (CELL_RULES | HISTORY_RULES):
        people = _people(subject)
        yield from _in_turn([
            job.suppressing(), *(job.merging(d, people[n]) for n, d in enumerate(dimensions)),
            *(job.coarsening(d) for d in dimensions), job.dropping(named, dimensions), job.rounding(),
        ])  # fmt: skip
    elif against & COLUMN_RULES:
        yield from job.dropping(named, [d for d in dimensions if d.header in _columns(before)])


def _in_turn(ways: list[Iterator[Change]]) -> Iterator[Change]:
    """The first of each, then the second of each."""
    return (one for one in chain.from_iterable(zip_longest(*ways)) if one is not None)


def _named(before: Checked, rules: set[str]) -> list[str]:
    """Measures that findings of these rules name, unless they name all."""
    spec = before.subject.spec
    assert spec is not None
    columns = _columns(before, rules)
    return [name for name in spec.measures if name in columns]


def _columns(before: Checked, rules: set[str] | None = None) -> set[str]:
    return {
        f.place.rpartition("column=")[2] for f in before.verdict.findings
        if "column=" in f.place and (rules is None or f.rule in rules)
    }  # fmt: skip


def _dimensions(subject: ExportSubject, edition: ExportEdition) -> list[Dimension]:
    spec, evidence = subject.spec, subject.evidence
    assert spec is not None and evidence is not None
    try:
        rows = {row for row, _ in failing_cells(subject, edition)}
    except CannotRun:
        rows = set()
    finest = [n for n, grouping in enumerate(evidence.groupings) if grouping == 0]
    return [
        Dimension(name, spec.output_name(name), [evidence.rows[n][at] for n in finest],
                  frozenset(evidence.rows[n][at] for n in finest if n in rows and evidence.rows[n][at] is not None))
        for at, name in enumerate(spec.dimensions)
    ]  # fmt: skip


def _people(subject: ExportSubject) -> list[Counter[Any]]:
    """For every dimension: value → entities behind its cells, the kind with most of them counting."""
    spec, evidence = subject.spec, subject.evidence
    assert spec is not None and evidence is not None
    found: list[Counter[Any]] = [Counter() for _ in spec.dimensions]
    behind: Counter[int] = Counter()
    for kind in evidence.kinds:
        for cell, n in kind.cells.select("cell", "n").iter_rows():
            behind[cell] = max(behind[cell], n or 0)
    for cell, n in behind.items():
        if evidence.groupings[cell] == 0:
            for at, counter in enumerate(found):
                counter[evidence.rows[cell][at]] += n
    return found


def _shown(subject: ExportSubject) -> int:
    """Numbers that stand in the file."""
    spec, evidence = subject.spec, subject.evidence
    if spec is None or evidence is None:
        return 0
    return len(evidence.rows) * len(spec.measures) - len(subject.hidden)


def _both(first: Text, second: Text) -> Text:
    return Text(f"{first.zh}；并{second.zh}", f"{first.en}; and {second.en}")
