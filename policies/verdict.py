"""The vocabulary every check answers in: outcome, finding, rule run, verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from policies.text import Text


class Outcome(StrEnum):
    """What a rule or a whole check says; later members are worse."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    REVIEW = "review"
    BLOCK = "block"
    ERROR = "error"


_ORDER = list(Outcome)


def worst_of(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst outcome; none at all is an error, because a check that ran nothing proved nothing."""
    found = [Outcome(o) for o in outcomes]
    return max(found, key=_ORDER.index) if found else Outcome.ERROR


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a rule found. `evidence` is masked; `measured` and `threshold` are for officers, not merchants."""

    rule: str
    severity: Outcome
    place: str
    measured: Any
    threshold: Any
    text: Text
    repair: Text | None = None
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class RuleRun:
    """A rule that was evaluated, with the value it measured; rules that passed are listed too."""

    rule: str
    outcome: Outcome
    measured: Any
    threshold: Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of one check under one policy edition, re-readable without the repository."""

    outcome: Outcome
    policy: str
    edition: str
    digest: str
    rules: tuple[RuleRun, ...]
    findings: tuple[Finding, ...]

    @classmethod
    def conclude(
        cls, policy: str, edition: str, digest: str, rules: Iterable[RuleRun], findings: Iterable[Finding]
    ) -> Self:
        """The verdict over all rule runs: the worst of them and of the findings; no rule run at all is an error."""
        runs, found = tuple(rules), tuple(findings)
        outcome = worst_of([r.outcome for r in runs]) if runs else Outcome.ERROR
        return cls(worst_of([outcome, *(f.severity for f in found)]), policy, edition, digest, runs, found)

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASS

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `as_dict`, also after a trip through JSON."""
        text = lambda t: Text(**t) if t else None  # noqa: E731
        findings = [
            Finding(**{**f, "severity": Outcome(f["severity"]), "text": Text(**f["text"]), "repair": text(f["repair"])})
            for f in data["findings"]
        ]
        runs = [RuleRun(**{**r, "outcome": Outcome(r["outcome"])}) for r in data["rules"]]
        return cls(
            Outcome(data["outcome"]), data["policy"], data["edition"], data["digest"], tuple(runs), tuple(findings)
        )
