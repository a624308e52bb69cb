"""The leak corpus: requests that leak in ways a rule claims to see, each beside a clean twin; how many the gate finds.

`PDS_LEAK_SEED` is the city's seed (7). Everything is generated; nothing in it is about anybody.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure
from policies.text import Text
from policies.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from benchmarks.leaks.registry import Case

AREAS = ("records", "cells", "identifiers", "forms", "charts", "models", "ledger", "suppression")
"""The modules that plant cases; those that are not there yet plant none."""
RECALL_BAR, REVIEW_BAR, CASES_BAR = 0.99, 0.05, 120


@dataclass(frozen=True, slots=True)
class Told:
    """What the gate said of one case: of the leak, the rule that claims it; of the twin, the worst rule's outcome
    without those that look at every request of its form, and which rules it was."""

    case: Case
    leak: Outcome
    twin: Outcome
    by: tuple[str, ...]

    @property
    def caught(self) -> bool:
        """Whether the rule that claims the leak blocked it or sent it to a person; an error is neither."""
        return self.leak in (Outcome.BLOCK, Outcome.REVIEW)


def cases() -> dict[str, Case]:
    """Every case of every area."""
    from benchmarks.leaks.registry import CASES

    here = Path(__file__).parent
    for area in AREAS:
        if (here / f"{area}.py").exists():
            import_module(f"benchmarks.leaks.{area}")
    return CASES


def judged(seed: int, names: tuple[str, ...] = ()) -> Iterator[Told]:
    """Every case (or those named) of the city of `seed`, judged by the edition in force."""
    from benchmarks.leaks.town import edition, town
    from sandbox.exports.gate import evaluate

    with tempfile.TemporaryDirectory(prefix="pds-leaks-") as folder:
        city = town(seed, Path(folder))
        for one in cases().values():
            if names and one.name not in names:
                continue
            pair = one.build(city)
            yield _told(one, evaluate(pair.leak, edition()), evaluate(pair.twin, edition()))


def write(folder: Path) -> list[dict[str, str]]:
    """Every leak as a file of its own folder, with its case and rule, to be planted among what officers review."""
    from benchmarks.leaks.town import town

    written = []
    with tempfile.TemporaryDirectory(prefix="pds-leaks-") as kept:
        city = town(int(os.environ.get("PDS_LEAK_SEED", "7")), Path(kept))
        for number, one in enumerate(cases().values(), start=1):
            for file in one.build(city).leak.files:
                place = folder / f"{number:03d}" / file.name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(file.content)
                written.append({"file": str(place), "case": one.name, "rule": one.rule})
    return written


def _told(case: Case, leak: Verdict, twin: Verdict) -> Told:
    claimed = next(run.outcome for run in leak.rules if run.rule == case.rule)
    order = list(Outcome)
    wrong = {run.rule: run.outcome for run in twin.rules
             if run.outcome not in (Outcome.PASS, *([Outcome.REVIEW] if run.rule in case.people else []))}  # fmt: skip
    worst = max(wrong.values(), key=order.index, default=Outcome.PASS)
    return Told(case, claimed, worst, tuple(rule for rule, found in wrong.items() if found is worst))


def run() -> list[Figure]:
    """Recall and false alarms of each rule and of all."""
    seed = int(os.environ.get("PDS_LEAK_SEED", "7"))
    told = list(judged(seed))
    by_rule: dict[str, list[Told]] = defaultdict(list)
    for one in told:
        by_rule[one.case.rule].append(one)
    figures = [_recall(f"recall {rule}", found) for rule, found in sorted(by_rule.items())]
    blocked = [t for t in told if t.twin in (Outcome.BLOCK, Outcome.ERROR)]
    looked = [t for t in told if t.twin is Outcome.REVIEW]
    share = len(looked) / max(len(told), 1)
    return [
        *figures, _recall("recall", told),
        Figure("leaks", len(told), CASES_BAR, "cases", Text("植入的泄漏（目标 ≥ 120）", "planted leaks (bar ≥ 120)")),
        Figure("twins blocked", len(blocked), 1, "cases",
               Text(f"被误拦的清白件（目标 0）：{_names(blocked)}", f"clean twins blocked (bar 0): {_names(blocked)}")),
        Figure("twins reviewed", share, REVIEW_BAR, "share",
               Text(f"被送人工的清白件（目标 ≤ 5 %）：{_names(looked)}",
                    f"clean twins sent to a person (bar ≤ 5 %): {_names(looked)}")),
    ]  # fmt: skip


def _recall(name: str, told: list[Told]) -> Figure:
    missed = [t for t in told if not t.caught]
    text = Text(f"{len(told)} 件中查出；漏：{_names(missed)}", f"found of {len(told)}; missed: {_names(missed)}")
    return Figure(name, 1 - len(missed) / max(len(told), 1), RECALL_BAR, "share", text)


def _names(told: list[Told]) -> str:
    return "; ".join(f"{t.case.name} ({t.leak} / {t.twin} {' '.join(t.by)})" for t in told) or "—"
