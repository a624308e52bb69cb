"""Long work of a job: it is shown while it runs, and stops when its attempt has lost the job."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sandbox.kernel.jobs import RUNNING, ClaimLost, Job, Work
from sandbox.products.budget import Cancelled
from sandbox.workspaces.run import RunOutcome
from sandbox.workspaces.usage import Usage

_LOOK_SECONDS = 1.0
_SAY_SECONDS = 0.5


class Claim:
    """Whether this attempt has lost its job (cancelled, taken over), looked up at most once a second; and what it has
    `used` so far."""

    def __init__(self, work: Work) -> None:
        self.used = Usage()
        self._work, self._looked, self._gone = work, 0.0, False

    def is_set(self) -> bool:
        if not self._gone and time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            with self._work.platform.database.transaction() as session:
                row = session.get(Job, self._work.job.id)
                self._gone = row is None or row.state != RUNNING or row.attempt != self._work.job.attempt
        return self._gone

    def spend(self, outcome: RunOutcome) -> None:
        """Add what a run has used. Raises `ClaimLost` when it was stopped for want of the claim."""
        self.used += outcome.usage
        if outcome.error_class == "cancelled":
            raise ClaimLost(self._work.job.key)


@dataclass(slots=True)
class Page:
    """Shows on the job's page how far long work is, and ends it when the job is no longer ours. `name`: what the page
    calls the step, with `{step}` for what the work itself is at."""

    work: Work
    span: tuple[int, int]
    claim: Claim
    name: str
    said: float = field(default=0.0)

    def progress(self, step: str, share: float) -> None:
        if time.monotonic() - self.said >= _SAY_SECONDS:
            first, last = self.span
            self.work.reached(self.name.format(step=step), first + round(share * (last - first)))
            self.said = time.monotonic()

    def cancelled(self) -> bool:
        return self.claim.is_set()


@dataclass(frozen=True, slots=True)
class ForRules:
    """A page for rules, which take everything but `Cancelled` for a failure of their own."""

    page: Page

    def progress(self, step: str, share: float) -> None:
        try:
            self.page.progress(step, share)
        except ClaimLost:
            raise Cancelled(step) from None

    def cancelled(self) -> bool:
        return self.page.cancelled()
