"""What the gate writes: cells that fail are suppressed where the job says so, then the platform makes its own file.

Everything that fails is hidden, and what a reader could work it out from: with a margin a single hidden cell is the
margin less the others, so that further ones, the cheapest, are hidden with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from policies.verdict import Outcome
from sandbox.exports.checks import CHECKS
from sandbox.exports.checks.suppression import reader_of
from sandbox.exports.hiding import Protection
from sandbox.exports.history import cell_place
from sandbox.exports.protecting import protect
from sandbox.exports.solver import Unsolved
from sandbox.exports.subject import CannotRun, ExportFile, ExportSubject
from sandbox.exports.systems import Contradiction, Limits
from sandbox.products import artefact, releasing
from sandbox.products.artefact import Artefact
from sandbox.products.budget import OverBudget
from sandbox.products.releasing import Place, Table

if TYPE_CHECKING:
    from policies.schema.export import ExportEdition

_ROUNDS = 3
"""What is hidden decides how finely the rest is rounded, and that what has to be hidden."""
CELL_RULES = frozenset({"cell_threshold", "dominance", "p_percent", "perturbation", "extremes", "group_disclosure",
                        "residual_freedom"})  # fmt: skip
"""Rules about single cells that read the evidence only: what fails them can be suppressed. What fails another rule,
such as differencing against the history, is blocked."""

Post = Callable[[Table, list[Table]], Artefact]
"""Runs the job's `post` on the product and the references, as released, and gives the file."""


def finished(subject: ExportSubject, edition: ExportEdition, post: Post | None = None) -> ExportSubject:
    """`subject` with what is suppressed and, where it has no file of its own, with the file that the platform writes.

    `post` is asked only for jobs that have such a statement. Raises what `post` raises, and `Cancelled` where the
    subject's watch ended it.
    """
    if subject.spec is None or subject.evidence is None:
        return subject
    failing, rows = _rows(subject, edition)
    if rows:
        subject = _hiding(subject, edition, failing, rows)
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
    """The cells that the platform hides: those that fail, and the cheapest others that they need to stay hidden; none
    where the job does not ask for it. Raises `Cancelled` where the subject's watch ended it."""
    spec, _ = subject.need_evidence()
    _, rows = _rows(subject, edition)
    return releasing.suppressed(spec, [(row, name) for row in rows for name in spec.measures])


def _rows(subject: ExportSubject, edition: ExportEdition) -> tuple[frozenset[int], frozenset[int]]:
    """The rows that fail a rule, and those that are hidden; none of either where the job does not ask for it."""
    spec, _ = subject.need_evidence()
    if spec.suppress is None:
        return frozenset(), frozenset()
    failing = rows = frozenset(row for row, _ in failing_cells(subject, edition))
    for _ in range(_ROUNDS):
        more = rows | _beside(_hiding(subject, edition, failing, rows), edition, rows)
        if more == rows:
            break
        rows = more
    return failing, rows


def _hiding(
    subject: ExportSubject, edition: ExportEdition, failing: frozenset[int], rows: frozenset[int]
) -> ExportSubject:
    """`subject` with these rows hidden, what they need, and the numbers as they are then released."""
    spec, evidence = subject.need_evidence()
    hidden = releasing.suppressed(spec, [(row, name) for row in rows for name in spec.measures])
    width = edition.by_check("suppression_audit").parameters.min_interval_width
    protection = Protection(
        failing, width, edition.by_check("p_percent").parameters.of_largest, edition.by_check("dominance").parameters
    )
    shown = releasing.released(spec, evidence, edition.by_check("rounding").parameters, hidden)
    return replace(subject, hidden=hidden, protection=protection, shown=shown)


def _beside(subject: ExportSubject, edition: ExportEdition, rows: frozenset[int]) -> frozenset[int]:
    """Rows to hide besides; none where it cannot be decided or nothing helps, which the audit will say.

    Decided on exact numbers: rounding alone keeps a hidden value wide, but what is shown must not isolate its people
    either (the rules about differences take amounts as exact).
    """
    parameters = edition.by_check("suppression_audit").parameters
    if not rows:
        return frozenset()
    try:
        exact = replace(subject, shown=None, rounding_base=1)
        system = reader_of(exact, set(rows), subject.history or (), parameters.min_interval_width)
        limits = Limits(parameters.program_budget, parameters.budget_seconds, subject.watch)
        extra = set(protect(system, limits))
    except (OverBudget, Contradiction, Unsolved, CannotRun):
        return frozenset()
    return frozenset(c.bundle for c in system.cells if c.key in extra and c.bundle is not None)


def failing_cells(subject: ExportSubject, edition: ExportEdition) -> Iterator[Place]:
    """Every cell that some rule about single cells blocks, each rule asked once."""
    spec, evidence = subject.need_evidence()
    places = {
        cell_place(spec.file_name, row, name): (row, name)
        for row in range(len(evidence.rows)) for name in spec.measures
    }  # fmt: skip
    everything = replace(subject, hidden=frozenset(), exhaustive=True)
    for rule in edition.for_form(subject.form):
        if rule.check in CELL_RULES:
            try:
                misses = CHECKS[rule.check].run(everything, rule.parameters).misses
            except CannotRun:  # the gate says so: nothing that this rule cannot judge leaves
                continue
            for miss in misses:
                if (miss.severity or rule.on_fail) is Outcome.BLOCK and miss.place in places:
                    yield places[miss.place]
