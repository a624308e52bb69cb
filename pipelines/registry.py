"""Every kind of job, and the handler that does it."""

from __future__ import annotations

from pipelines.exporting import Checking, Releasing
from pipelines.granting import Disposal, Granting
from pipelines.importing import Importing
from pipelines.ingest import Ingest
from pipelines.refresh import SUMMARY, Refresh, Summary
from pipelines.refresh import Round as RefreshRound
from pipelines.regrade import Regrade
from pipelines.running import Running
from pipelines.selfchecking import SelfChecking
from pipelines.simulation import Simulation
from pipelines.subjects import CheckSubjects
from pipelines.upkeep import Round
from sandbox.catalog.schedules import ROUND
from sandbox.catalog.subjects import JOB as CHECK_SUBJECTS
from sandbox.exports.selfcheck import JOB as SELF_CHECK
from sandbox.kernel.jobs import Handler

HANDLERS: dict[str, Handler] = {
    "ingest": Ingest(),
    "regrade": Regrade(),
    "refresh": Refresh(),
    ROUND: RefreshRound(),
    SUMMARY: Summary(),
    CHECK_SUBJECTS: CheckSubjects(),
    "simulate": Simulation(),
    "grant": Granting(),
    "dispose": Disposal(),
    "run": Running(),
    "import": Importing(),
    "check_export": Checking(),
    "release": Releasing(),
    SELF_CHECK: SelfChecking(),
    "upkeep": Round(),
}
