"""Where the product comes from: application, grants, level, and the label real or simulated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.schema.base import Strict
from sandbox.exports.checks.base import Measured, Miss, check, need
from sandbox.exports.subject import REAL_LABEL, SIMULATED_LABEL, ExportSubject, GrantFacts


@check("grant_and_lineage", lanes=["platform"])
def grant_and_lineage(subject: ExportSubject, parameters: Strict) -> Measured:
    """Application in force and of this form; every input, column and snapshot of the job inside its grant (27号 14,
    21)."""
    misses = tuple(Miss(place, "outside the grant") for place in _outside(subject))
    return Measured(len(misses), 0, misses)


def _outside(subject: ExportSubject) -> Iterator[str]:
    application = need(subject.application, "application")
    today = need(subject.today, "date")
    spec = need(subject.spec, "job")
    grants = need(subject.grants, "grants")
    columns = need(subject.columns_read, "columns read")
    # trials are made on nothing but what was granted: on other data the job is refused before
    used = None
    if subject.records:
        used = subject.records.sources
    elif subject.black_box is None:
        used = subject.need_evidence()[1].sources
    if not application.active:
        yield "application#state"
    if subject.form not in application.forms:
        yield "application#form"
    for name, until in (("agreement", application.agreement_until), ("registration", application.registered_until)):
        if until is not None and until < today:
            yield f"application#{name}"
    for alias, declared in spec.inputs.items():
        if declared.upload:
            continue  # the merchant's own data, checked when it was brought in
        grant = grants.get(alias)
        if grant is None or not grant.active or grant.id != declared.grant or grant.application != application.id:
            yield f"input={alias}"
            continue
        if not columns.get(alias, frozenset({""})) <= grant.columns:
            yield f"input={alias}#columns"
        if used is not None and used.get(alias) != grant.snapshot:
            yield f"input={alias}#snapshot"


@check("level_allowed", lanes=["platform"])
def level_allowed(subject: ExportSubject, parameters: Any) -> Measured:
    """No input above the highest level of the product's form; core and important data never leave (GB/T 43697)."""
    grants = need(subject.grants, "grants")
    spec = need(subject.spec, "job")
    highest = getattr(parameters, f"max_level_{subject.form}")
    levels = {alias: _level(need(grants.get(alias), "grant")) for alias, one in spec.inputs.items() if one.grant}
    misses = [Miss(f"input={alias}", level, highest) for alias, level in levels.items() if level > highest]
    return Measured(max(levels.values(), default=0), highest, tuple(misses))


def _level(grant: GrantFacts) -> int:
    return 5 if grant.important else grant.level


@check("label", lanes=["platform"])
def label(subject: ExportSubject, parameters: Strict) -> Measured:
    """The label says what the inputs are: real or simulated, never both, never nothing."""
    real = need(subject.real_inputs, "kind of inputs")
    wanted = REAL_LABEL if real else SIMULATED_LABEL
    stated = need(subject.label, "label")
    return Measured(stated == wanted, True, () if stated == wanted else (Miss("request#label", False, True),))
