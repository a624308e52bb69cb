"""The export gate: every rule of an edition runs, and the verdict can be read by an officer or by a merchant.

A rule that raises is an error run. A rule the platform has no function for is one too. Nothing is skipped except
rules that judge other forms, rules about a later stage (reviewers, terms of release), and, for a file without a
platform behind it, rules about applications and grants.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from policies.text import Text
from policies.verdict import Finding, Outcome, RuleRun, Verdict, worst_of
from sandbox.exports.checks import CHECKS, Measured, Miss
from sandbox.exports.checks.base import MOST
from sandbox.exports.spoken import value_text
from sandbox.exports.subject import CannotRun, ExportSubject, NoEvidence
from sandbox.exports.wording import CANNOT_RUN, wording_of
from sandbox.products.budget import Cancelled

if TYPE_CHECKING:
    from policies.schema.export import ExportEdition

LATER_STAGES = frozenset({"reviewers", "release_terms"})
"""Rules the service enforces when people review and when the file is released: see `terms`."""

Reader = Literal["officer", "merchant"]

_MEASURED, _THRESHOLD = Text("实测", "measured"), Text("阈值", "threshold")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule evaluated: its run and its findings."""

    run: RuleRun
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """What an edition asks of a release: downloads, days until expiry. Who reviews: `review.needed`."""

    max_downloads: int
    expires_days: int


@dataclass(frozen=True, eq=False)
class Checked:
    """A verdict and everything it rests on."""

    subject: ExportSubject
    verdict: Verdict


def evaluate(subject: ExportSubject, edition: ExportEdition) -> Verdict:
    """Run every rule of `edition` that judges this form and lane; the verdict names all runs and findings.

    Findings are worded for both readers at once; show them through `verdict_for`.
    """
    results = [run_rule(rule, subject) for rule in edition.for_form(subject.form) if _applies(rule, subject)]
    hidden = unshowable(subject)
    findings = [replace(f, place=covered(f.place, hidden)) for result in results for f in result.findings]
    runs = [result.run for result in results]
    return Verdict.conclude(edition.policy, edition.edition, edition.digest, runs, findings)


def _applies(rule: Any, subject: ExportSubject) -> bool:
    if rule.check in LATER_STAGES:
        return False
    registered = CHECKS.get(rule.check)
    return registered is None or subject.lane in registered.lanes


def run_rule(rule: Any, subject: ExportSubject) -> RuleResult:
    """One rule; whatever it raises becomes an error run that names the class of the failure and no value. Raises
    `Cancelled` alone: where the subject's watch ended the check there is no verdict."""
    try:
        registered = CHECKS.get(rule.check)
        if registered is None:
            raise CannotRun("no such check on this platform")
        return _result(rule, registered.run(subject, rule.parameters))
    except Cancelled:
        raise
    except NoEvidence as known:
        return RuleResult(RuleRun(rule.id, known.outcome, str(known), None), ())
    except CannotRun as missing:
        return _error(rule, f"missing: {missing}")
    except Exception as error:
        _log.error("export rule %s failed: %s", rule.id, type(error).__name__)
        return _error(rule, type(error).__name__)


def _result(rule: Any, measured: Measured) -> RuleResult:
    findings = tuple(_finding(rule, measured, miss) for miss in measured.misses[:MOST])
    outcome = worst_of([Outcome.PASS, *(f.severity for f in findings)])
    return RuleResult(RuleRun(rule.id, outcome, measured.measured, measured.threshold), findings)


def _finding(rule: Any, measured: Measured, miss: Miss) -> Finding:
    wording = miss.wording or wording_of(rule.check, miss.about)
    threshold = measured.threshold if miss.threshold is None else miss.threshold
    severity = miss.severity or rule.on_fail
    return Finding(rule.id, severity, miss.place, miss.measured, threshold, wording.text, wording.repair, miss.evidence)


def _error(rule: Any, reason: str) -> RuleResult:
    finding = Finding(rule.id, Outcome.ERROR, "request", reason, None, CANNOT_RUN.text, CANNOT_RUN.repair)
    return RuleResult(RuleRun(rule.id, Outcome.ERROR, reason, None), (finding,))


def unshowable(subject: ExportSubject) -> frozenset[str]:
    """Names that hold personal data themselves; if even looking failed, every file name is hidden."""
    try:
        return subject.hits.unshowable
    except Exception:
        return frozenset(file.name for file in subject.files)


def covered(place: str, hidden: frozenset[str]) -> str:
    """A place without the names that hold personal data."""
    for name in sorted(hidden, key=len, reverse=True):
        place = place.replace(name, "***")
    return place


def terms(edition: ExportEdition) -> Terms:
    """What the release of a product needs under `edition`."""
    release = edition.by_check("release_terms").parameters
    return Terms(release.max_downloads, release.expires_days)


def verdict_for(verdict: Verdict, audience: Reader) -> Verdict:
    """The verdict as `audience` may see it.

    Officers read values and thresholds in the sentence. Merchants read which rule and what helps: no measured value, no
    threshold, no evidence, no row, and one finding per rule and column, so that even their number says nothing.
    """
    if audience == "officer":
        return replace(verdict, findings=tuple(map(_for_officer, verdict.findings)))
    runs = tuple(RuleRun(run.rule, run.outcome, None, None) for run in verdict.rules)
    return replace(verdict, rules=runs, findings=tuple(_for_merchant(verdict.findings)))


def _for_officer(finding: Finding) -> Finding:
    told = [
        Text(f"{name.zh} {value_text(value).zh}", f"{name.en} {value_text(value).en}")
        for name, value in ((_MEASURED, finding.measured), (_THRESHOLD, finding.threshold)) if value is not None
    ]  # fmt: skip
    zh, en = "，".join(t.zh for t in told), ", ".join(t.en for t in told)
    return replace(finding, text=Text(f"{finding.text.zh}（{zh}）", f"{finding.text.en} ({en})")) if told else finding


def _for_merchant(findings: tuple[Finding, ...]) -> Iterator[Finding]:
    seen = set()
    for finding in findings:
        place = re.sub(r"row=\d+;?", "", finding.place).rstrip("#")
        plain = replace(finding, place=place, measured=None, threshold=None, evidence=None)
        key = (plain.rule, plain.severity, place)
        if key not in seen:
            seen.add(key)
            yield plain
