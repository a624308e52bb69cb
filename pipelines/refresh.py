"""Refreshing: a table is fetched from its source and delivered if it is new; a round does so for a department or all.

A round asks and ends; the tables it delivered are taken in by runs of their own, within their department's limit, and
one that fails stops nobody else. The summary is a job that waits in the outbox until the round's others have ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.sources import Fetched, fetch
from policies.text import UserError
from sandbox.catalog import deliveries, repository, schedules
from sandbox.catalog.repository import Resource
from sandbox.kernel import attempts, jobs
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.unit import Unit

SUMMARY = "refresh_summary"
DELIVERED, UNCHANGED, NOTHING, BUSY, FAILED = "delivered", "unchanged", "nothing", "busy", "failed"


@dataclass(frozen=True, slots=True)
class TableOutcome:
    """What became of one table: delivered, unchanged, nothing to fetch, busy (a delivery is in work), or failed."""

    resource_id: str
    name: str
    outcome: str
    code: str | None = None
    error: dict[str, Any] | None = None


def _failed(resource_id: str, name: str, error: UserError) -> TableOutcome:
    return TableOutcome(resource_id, name, FAILED, error.code, attempts.told(error))


class _Asking:
    """A kind of job without a subject of its own: its row says how it ended."""

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        """Nothing waits for it: the next round looks again."""


class Refresh(_Asking):
    """One table, asked for by an operator."""

    def run(self, work: Work) -> Effect:
        resource_id = work.job.subject_id
        fetched = work.step("fetch", 10, lambda: fetch(work, resource_id), patient=True)

        def effect(unit: Unit) -> Mapping[str, Any]:
            resource = repository.get(unit.session, resource_id)
            return asdict(_delivered(unit, resource, fetched, work.job.round_id))

        return effect


class Round(_Asking):
    """The tables of one department, one after the other: a source is read by one hand at a time."""

    def run(self, work: Work) -> Effect:
        if work.job.subject_id == schedules.CITY_WIDE:
            return _every_department(work.job)
        tables = _tables(work)
        found: list[tuple[Resource, Fetched | TableOutcome]] = []
        for place, table in enumerate(tables):
            found.append((table, _look(work, table, 5 + 90 * place // len(tables))))

        def effect(unit: Unit) -> Mapping[str, Any]:
            root = work.job.round_id or work.job.id
            outcomes = [_settled(unit, table, seen, root) for table, seen in found]
            if work.job.round_id is None:
                _ask_summary(unit, work.job)
            return {"tables": [asdict(o) for o in outcomes], **_counts([o.outcome for o in outcomes])}

        return effect


def _tables(work: Work) -> list[Resource]:
    with work.platform.system() as unit:
        owned = repository.every(unit.session, organisation_id=work.job.subject_id)
        return [r for r in owned if schedules.is_fed(r)]


def _look(work: Work, table: Resource, percent: int) -> Fetched | TableOutcome:
    """Fetch one table. Whatever goes wrong with it is its own outcome and not the round's."""
    try:
        return work.step("fetch", percent, lambda: fetch(work, table.id), patient=True, about=table.id)
    except jobs.ClaimLost:
        raise
    except UserError as error:
        return _failed(table.id, table.name, error)
    except Exception as error:
        return _failed(table.id, table.name, jobs.unexpected(work.platform, work.job, error))


def _settled(unit: Unit, table: Resource, seen: Fetched | TableOutcome, root: str) -> TableOutcome:
    if isinstance(seen, TableOutcome):
        return seen
    return _delivered(unit, repository.get(unit.session, table.id), seen, root)


def _delivered(unit: Unit, resource: Resource, fetched: Fetched, round_id: str | None) -> TableOutcome:
    """Deliver what is new. A table that cannot take a delivery now says why; the others are not touched."""
    if fetched.outcome != "new":
        return TableOutcome(resource.id, resource.name, fetched.outcome)
    try:
        with unit.session.begin_nested():
            deliveries.deliver(
                unit, resource.id, file_name=fetched.file_name, sha256=fetched.sha256, size=fetched.size,
                round_id=round_id,
            )  # fmt: skip
    except UserError as error:
        settled = {"delivery.repeated": UNCHANGED, "delivery.in_progress": BUSY}.get(error.code)
        if settled is not None:
            return TableOutcome(resource.id, resource.name, settled)
        return _failed(resource.id, resource.name, error)
    return TableOutcome(resource.id, resource.name, DELIVERED)


def _every_department(job: Job) -> Effect:
    """One round a department, each a run of its own."""

    def effect(unit: Unit) -> Mapping[str, Any]:
        fed = [p for p in schedules.every(unit.session, unit.now) if p.tables]
        for plan in fed:
            unit.enqueue(schedules.ROUND, "organisation", plan.organisation_id, round_id=job.id)
        _ask_summary(unit, job)
        return {"departments": len(fed)}

    return effect


def _ask_summary(unit: Unit, job: Job) -> None:
    unit.enqueue(SUMMARY, job.noun, job.subject_id, round_id=job.id, waits=True)


class Summary(_Asking):
    """What a round brought, once all it asked for has ended. A later retry of one table does not change it."""

    def run(self, work: Work) -> Effect:
        def effect(unit: Unit) -> Mapping[str, Any]:
            return summary_of(unit, work.job.round_id or "")

        return effect


def summary_of(unit: Unit, round_id: str) -> dict[str, Any]:
    """Every table of a round with its outcome: what its fetch said, and for a delivered one how its ingest ended."""
    members = [jobs.get(unit.session, round_id), *jobs.of_round(unit.session, round_id)]
    ingests = {j.subject_id: j for j in members if j.kind == "ingest"}
    tables: list[dict[str, Any]] = []
    for job in members:
        for table in (job.result or {}).get("tables", []) if job.kind == schedules.ROUND else []:
            tables.append(_with_ingest(table, ingests.get(table["resource_id"])))
    broken = [j for j in members if j.kind == schedules.ROUND and j.state in jobs.AGAIN]
    return {"tables": tables, **_counts([t["outcome"] for t in tables]), "rounds_failed": len(broken)}


def _with_ingest(table: dict[str, Any], job: Job | None) -> dict[str, Any]:
    if job is None:
        return table
    if job.state == jobs.SUCCEEDED:
        return {**table, "job": job.id}
    return {**table, "job": job.id, "outcome": FAILED, "code": job.error_code, "error": job.error}


def _counts(outcomes: list[str]) -> dict[str, int]:
    return {kind: outcomes.count(kind) for kind in (DELIVERED, UNCHANGED, NOTHING, BUSY, FAILED)}
