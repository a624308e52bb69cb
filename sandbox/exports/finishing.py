"""What the gate writes: cells that fail are suppressed where the job says so, then the platform makes its own file.

Suppression goes on until nothing that is still shown fails: a list of findings is bounded, and with a margin a single
hidden cell is the margin less the others, so that a second one, the smallest, is hidden with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from policies.verdict import Outcome
from sandbox.exports.gate import run_rule
from sandbox.exports.history import cell_place
from sandbox.exports.subject import ExportFile, ExportSubject
from sandbox.products import artefact, releasing
from sandbox.products.artefact import Artefact
from sandbox.products.evidence import Evidence
from sandbox.products.releasing import Place, Table
from sandbox.products.spec import Cube

if TYPE_CHECKING:
    from policies.schema.export import ExportEdition

CELL_RULES = frozenset({"cell_threshold", "dominance", "p_percent", "perturbation", "extremes", "group_disclosure",
                        "residual_freedom"})  # fmt: skip
"""Rules about single cells that read the evidence only: what fails them can be suppressed. What fails another rule,
such as differencing against the history, is blocked."""

Post = Callable[[Table, list[Table]], Artefact]
"""Runs the job's `post` on the product and the references, as released, and gives the file."""


def finished(subject: ExportSubject, edition: ExportEdition, post: Post | None = None) -> ExportSubject:
    """`subject` with what is suppressed and, where it has no file of its own, with the file that the platform writes.

    `post` is asked only for jobs that have such a statement. Raises what `post` raises.
    """
    if subject.spec is None or subject.evidence is None:
        return subject
    subject = replace(subject, hidden=suppressed(subject, edition))
    made = _made(subject, edition, post)
    if made is None:
        return subject
    files = subject.files or (ExportFile(made.name, made.content),)
    return replace(subject, finished=made, files=files)


def _made(subject: ExportSubject, edition: ExportEdition, post: Post | None) -> Artefact | None:
    spec, evidence = subject.need_evidence()
    rounding = edition.by_check("rounding").parameters
    shown = releasing.released(spec, evidence, rounding, subject.hidden)
    if spec.post is None:
        return artefact.write(spec.file_name, shown)
    if post is None:
        return None
    return post(shown, [releasing.released(cube, one, rounding) for cube, one in releasing.references(spec, evidence)])


def suppressed(subject: ExportSubject, edition: ExportEdition) -> frozenset[Place]:
    """The cells that the platform hides; none where the job does not ask for it."""
    spec, evidence = subject.need_evidence()
    if spec.suppress is None:
        return frozenset()
    hidden: frozenset[Place] = frozenset()
    while True:
        failing = hidden | set(_failing(replace(subject, hidden=hidden), edition))
        more = releasing.suppressed(spec, failing | set(_recoverable(spec, evidence, failing)))
        if more == hidden:
            return hidden
        hidden = more


def _failing(subject: ExportSubject, edition: ExportEdition) -> Iterator[Place]:
    spec, evidence = subject.need_evidence()
    places = {
        cell_place(spec.file_name, row, name): (row, name)
        for row in range(len(evidence.rows)) for name in spec.measures
    }  # fmt: skip
    for rule in edition.for_form(subject.form):
        if rule.check in CELL_RULES:
            for finding in run_rule(rule, subject).findings:
                if finding.severity is Outcome.BLOCK and finding.place in places:
                    yield places[finding.place]


def _recoverable(spec: Cube, evidence: Evidence, failing: Collection[Place]) -> Iterator[Place]:
    """One more cell for every margin that is shown and has exactly one hidden cell below it in some grouping."""
    rows, people = {row for row, _ in failing}, _people(evidence)
    for below in _families(spec, evidence):
        gone = [row for row in below if row in rows]
        if len(gone) == 1 and len(below) > 1:
            least = min((row for row in below if row not in rows), key=lambda row: (people.get(row, 0), row))
            yield from ((least, name) for name in spec.measures)


def _families(spec: Cube, evidence: Evidence) -> Iterator[list[int]]:
    """For every margin row and every finer grouping the rows that add up to it."""
    if not spec.margins:
        return
    at = {name: place for place, name in enumerate(spec.dimensions)}
    found: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for row, (values, grouping) in enumerate(zip(evidence.rows, evidence.groupings, strict=True)):
        for number, margin in enumerate(spec.groupings):
            if number != grouping and set(margin) < set(spec.groupings[grouping]):
                found[(grouping, number, *(values[at[d]] for d in margin))].append(row)
    yield from found.values()


def _people(evidence: Evidence) -> dict[int, int]:
    """Row → entities behind it, at most: what is hidden beside a small cell should cost little."""
    found: dict[int, int] = {}
    for kind in evidence.kinds:
        for cell, n in kind.cells.select("cell", "n").iter_rows():
            found[cell] = max(found.get(cell, 0), n or 0)
    return found
