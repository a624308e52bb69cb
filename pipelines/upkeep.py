"""What the platform does by itself as time passes: deemed consent, expiry, recall of expired releases, a look again at
grades under a new edition, facts about entities nobody has verified, checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from policies.text import UserError
from sandbox.applications import service as applications
from sandbox.catalog import regrading, subjects
from sandbox.exports import service as exports
from sandbox.kernel import clocks, oversight
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.unit import Platform, Unit
from sandbox.products import reports
from sandbox.workspaces import metering


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What one round did."""

    lapsed: list[str]
    expired: list[str]
    undisposed: list[str]
    releases_expired: list[str]
    reminded: list[str]
    regraded: list[str]
    reports_disposed: list[str]
    verified: list[str]


def run(platform: Platform) -> Upkeep:
    """One round. Safe to repeat at any time: a second round right after the first does nothing."""
    with platform.system() as unit:
        lapsed = applications.lapse_overdue(unit)
    with platform.system() as unit:
        expired = applications.expire_due(unit)
    with platform.system() as unit:
        undisposed = applications.undisposed(unit)
    with platform.system() as unit:
        ended = exports.expire_due(unit)
    with platform.system() as unit:
        reminded = clocks.remind(unit)
    with platform.system() as unit:
        metering.measure_storage(unit)
    oversight.seal(platform)
    with platform.system() as unit:
        regraded = regrading.regrade_outdated(unit)
    with platform.system() as unit:
        disposed = reports.dispose_due(unit)
    with platform.system() as unit:
        verified = subjects.verify_unverified(unit)
    return Upkeep(lapsed, expired, undisposed, ended, reminded, regraded, disposed, verified)


class Round:
    """One round asked for as a job, e.g. after the demonstration city's clock was moved."""

    def run(self, work: Work) -> Effect:
        done = run(work.platform)

        def effect(_unit: Unit) -> Mapping[str, Any]:
            return asdict(done)

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        """The next scheduled round does the same."""
