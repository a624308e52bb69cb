"""The whole gate on one job of the small town, and by which check it was stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from policies.editions import load
from policies.verdict import Outcome
from sandbox.exports.finishing import finished
from sandbox.exports.gate import evaluate
from sandbox.exports.history import ReleasedCell
from sandbox.exports.isolated import in_this_process
from sandbox.exports.standalone import Matcher
from sandbox.exports.subject import ExportSubject
from sandbox.kernel.errors import BadInput
from sandbox.products import post
from sandbox.products.evidence import Evidence
from sandbox.products.spec import parse
from sandbox.products.spec_errors import SpecError
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.selftest import MEDIUM, STRONG, WEAK, selftest
from tests.attacks.evidence_world import sources

LIMITS = Limits(
    memory_mb=1024, cpu_seconds=60, wall_seconds=60, processes=40, file_mb=64, result_rows=1000, result_mb=8, threads=1
)

RULES = {
    "EXP-DOM-01": "R3", "EXP-DOM-02": "R3", "EXP-EXTREME-01": "R9", "EXP-DIFF-01": "ledger", "EXP-DIFF-02": "ledger",
    "EXP-SUPP-01": "suppression", "EXP-ROUND-01": "rounding", "EXP-EXPR-01": "suspects", "EXP-PROOF-01": "proofs",
}  # fmt: skip
"""Rule → the name the corpus gives it; the threshold and the perturbations have two names each"""


@dataclass(frozen=True)
class Judgement:
    """`fired`: the checks that found something; `codes`: the carrier's codes of a refusal."""

    outcome: str
    fired: frozenset[str]
    codes: frozenset[str] = frozenset()
    subject: ExportSubject | None = None


class Judge:
    """The gate over one town; entities keep their numbers from job to job."""

    def __init__(self, folder: Path, **other: list[dict[str, Any]]) -> None:
        self._sources = sources(folder, **other)
        self._edition: Any = load("export", "2026-01")
        self._matchers: dict[tuple[str, ...], Matcher] = {}
        self._known: dict[str, Judgement] = {}
        tiers = frozenset({STRONG, MEDIUM, WEAK})
        self._room = post.Room(LIMITS, folder_mb=64, tested=selftest(), error_store=folder / "errors", accepted=tiers)

    def of(self, job: Mapping[str, Any], history: tuple[ReleasedCell, ...] = ()) -> Judgement:
        """The judgement of a job, remembered."""
        name = json.dumps(job, sort_keys=True, default=str, ensure_ascii=False)
        if history:
            return self._judged(job, history)
        if name not in self._known:
            self._known[name] = self._judged(job, ())
        return self._known[name]

    def _judged(self, job: Mapping[str, Any], history: tuple[ReleasedCell, ...]) -> Judgement:
        try:
            spec = parse(dict(job))
        except SpecError:
            return Judgement("block", frozenset({"spec"}))
        base = self._edition.by_check("rounding").parameters.base
        subject = ExportSubject(files=(), audience="contract", lane="file", rounding_base=base)
        aliases = tuple(sorted(spec.inputs))
        used = {a: self._sources[a] for a in aliases}
        matcher = self._matchers.setdefault(aliases, Matcher(used, self._edition, in_this_process))
        try:
            subject = matcher.described(subject, spec, None, stated=True)
            if spec.post is not None and subject.evidence is not None:
                subject = finished(subject, self._edition, lambda *released: post.finish(spec, *released, self._room))
        except (BadInput, SpecError) as error:
            return Judgement("block", frozenset({"refused"}), frozenset({getattr(error, "code", "")}))
        if subject.refusals:
            return Judgement("block", frozenset({"refused"}), frozenset(r.code for r in subject.refusals))
        verdict = evaluate(replace(subject, history=history), self._edition)
        fired = {name for finding in verdict.findings for name in _names(finding)}
        if "EXP-CELL-01" in {f.rule for f in verdict.findings} and subject.evidence:
            fired |= set(_small(subject.evidence, self._edition.by_check("cell_threshold").parameters.threshold))
        return Judgement(verdict.outcome.value, frozenset(fired), subject=subject)


def _names(finding: Any) -> Iterator[str]:
    if finding.severity is Outcome.ERROR:
        yield "contributions" if finding.measured == "missing: contributions" else f"error {finding.rule}"
    elif finding.rule == "EXP-PROOF-02":
        yield "change share" if isinstance(finding.measured, float) else "P3"
    elif finding.rule != "EXP-CELL-01":
        yield RULES.get(finding.rule, finding.rule)


def _small(evidence: Evidence, t: int) -> Iterator[str]:
    for one in (evidence, *evidence.references):
        for kind in one.kinds:
            present = kind.cells.filter(pl.col("n_non_missing") > 0)
            empty = kind.cells.filter((pl.col("n_non_missing").max().over("cell") == 0) & (one.dimensions > 0))
            if present.filter(pl.col("n") < t).height or empty.height:
                yield "R1"
            if present.filter((pl.col("n_non_zero") > 0) & (pl.col("n_non_zero") < t) & (pl.col("n") >= t)).height:
                yield "non-zero"
