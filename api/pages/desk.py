"""A person's desk: every kind of object as one row of a queue, with its state, whose turn it is and its clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from api.pages import views, words
from api.pages.common import Clocks, is_turn, turn_of
from policies.text import Text
from sandbox.applications import repository as application_records
from sandbox.applications import service as applications
from sandbox.applications.model import APPLICATION
from sandbox.applications.repository import Application
from sandbox.catalog import corrections, deliveries, grades, plans, twins
from sandbox.catalog import repository as catalogue_records
from sandbox.catalog import service as catalogue
from sandbox.catalog.corrections import CORRECTION, Correction
from sandbox.catalog.model import DELIVERY, LOWERING, RESOURCE
from sandbox.catalog.repository import Delivery, Lowering, Resource
from sandbox.exports import review, reviewing
from sandbox.exports import service as exports
from sandbox.exports.model import EXPORT, UNDER_REVIEW
from sandbox.exports.repository import ExportRequest
from sandbox.kernel import accounts, permissions
from sandbox.kernel.identity import Role
from sandbox.kernel.lifecycle import Lifecycle
from sandbox.kernel.unit import Unit
from sandbox.merchants import service as merchants
from sandbox.merchants.model import ONBOARDING
from sandbox.merchants.service import Onboarding
from sandbox.products.model import RUN
from sandbox.products.repository import Run
from sandbox.workspaces import quotas, uploads
from sandbox.workspaces.metering_record import QuotaRequest
from sandbox.workspaces.model import QUOTA, UPLOAD, WORKSPACE
from sandbox.workspaces.own_record import Upload
from sandbox.workspaces.repository import Workspace

RESTING = frozenset({"published", "withdrawn", "admitted", "active", "expired", "revoked", "closed", "rejected",
                     "check_rejected", "released", "recalled", "measured", "open", "succeeded", "failed", "verified",
                     "granted", "accepted", "refused", "replaced", "removed"})  # fmt: skip
"""states in which nothing is under way"""


@dataclass(frozen=True)
class Desk:
    """Names and clocks read once, then a row for each record."""

    unit: Unit
    names: Mapping[str, str]
    clocks: Clocks
    mixed: bool = False
    """whether rows of several kinds stand together, so that each says its kind"""

    @classmethod
    def of(cls, unit: Unit, *, mixed: bool = False) -> Desk:
        return cls(unit, accounts.names(unit.session), Clocks.of(unit), mixed)

    def row(
        self, life: Lifecycle, record: Any, title: views.Label, href: str, note: views.Label = "", *,
        mine: bool | None = None, clock: views.Clock | None = None,
    ) -> views.QueueItem:  # fmt: skip
        turn = is_turn(self.unit, life, record) if mine is None else mine
        note = life.title if self.mixed else note
        return views.QueueItem(
            record.id, title, href, self.names.get(record.organisation_id, ""), life.state(record.state),
            turn_of(self.unit, life, record, self.names, mine=turn),
            clock or self.clocks.at(life.noun, record), note,
        )  # fmt: skip

    def resource(self, record: Resource) -> views.QueueItem:
        """A resource; what is on its way to it stands below its name, and decides whose turn it is."""
        row = self.row(RESOURCE, record, record.name, f"/resources/{record.id}", record.registration_code)
        waiting = catalogue_records.pending(self.unit.session, record.id)
        if waiting is None:
            twin = twins.current(self.unit.session, record)
            old = twin is not None and record.state == "published" and twins.stale(self.unit.session, record, twin)
            return replace(row, note=words.text("twin.stale_note", code=record.registration_code)) if old else row
        mine = is_turn(self.unit, DELIVERY, waiting)
        turn = turn_of(self.unit, DELIVERY, waiting, self.names, mine=mine)
        state = DELIVERY.state(waiting.state).label
        note = Text(f"{record.registration_code} {state.zh}", f"{record.registration_code} {state.en}")
        return replace(row, turn=turn, note=note)

    def delivery(self, record: Delivery) -> views.QueueItem:
        """How a file is to be read is decided on the delivery's page, everything else on the resource's."""
        resource = catalogue_records.get(self.unit.session, record.resource_id)
        href = f"/deliveries/{record.id}" if record.state == "needs_recipe" else f"/resources/{record.resource_id}"
        return self.row(DELIVERY, record, resource.name, href, words.text("delivery.number", number=record.number))

    def lowering(self, record: Lowering) -> views.QueueItem:
        """A lowering waits for anybody who may review it but who asked."""
        resource = catalogue_records.get(self.unit.session, record.resource_id)
        mine = record.author_id != self.unit.actor.id
        tab = "columns" if record.column_name else "subjects"
        title = f"{resource.name} {record.column_name}".strip()
        return self.row(LOWERING, record, title, f"/resources/{resource.id}?tab={tab}#lowerings", mine=mine)

    def question(self, record: Resource) -> views.QueueItem:
        """Columns that keep the simulated data from being made, whatever state the resource is in."""
        title = words.text("plan.desk", name=record.name)
        return self.row(RESOURCE, record, title, f"/resources/{record.id}?tab=plan", mine=True)

    def correction(self, record: Correction) -> views.QueueItem:
        note = words.text("correction.of_version", number=record.version_number)
        return self.row(CORRECTION, record, record.content["resource"], f"/corrections/{record.id}", note)

    def onboarding(self, record: Onboarding) -> views.QueueItem:
        title = self.names.get(record.organisation_id, record.id)
        return self.row(ONBOARDING, record, title, f"/onboarding/{record.id}")

    def application(self, record: Application) -> views.QueueItem:
        """While departments decide, the clock is the own approval's, else the one that ends first."""
        note = words.text("application.asks", count=len(record.requested))
        href = f"/applications/{record.id}"
        if record.state != "approving":
            return self.row(APPLICATION, record, record.scenario, href, note)
        own = self.unit.actor.organisation_id
        pending = [a for a in self._approvals(record) if a.state == "pending"]
        mine = [a for a in pending if a.organisation_id == own]
        running = [self.clocks.at("approval", a) for a in mine or pending]
        soonest = min(running, key=urgency, default=views.Clock())
        return self.row(APPLICATION, record, record.scenario, href, note, mine=bool(mine), clock=soonest)

    def _approvals(self, record: Application) -> list[application_records.Approval]:
        return application_records.approvals(self.unit.session, record.id, record.round)

    def workspace(self, record: Workspace) -> views.QueueItem:
        application = application_records.get(self.unit.session, record.application_id)
        return self.row(
            WORKSPACE, record, application.scenario, f"/workspaces/{record.id}",
            mine=is_turn(self.unit, WORKSPACE, record) and record.state != "open",
        )  # fmt: skip

    def quota(self, record: QuotaRequest) -> views.QueueItem:
        title = quotas.MEASURES[record.measure].label
        return self.row(QUOTA, record, title, f"/quota-requests/{record.id}")

    def upload(self, record: Upload) -> views.QueueItem:
        return self.row(UPLOAD, record, record.name, f"/uploads/{record.id}")

    def run(self, record: Run) -> views.QueueItem:
        return self.row(RUN, record, str(record.spec.get("job", record.id)), f"/runs/{record.id}")

    def export(self, record: ExportRequest, *, mine: bool | None = None) -> views.QueueItem:
        """For officers with the risk and how many opinions are in; whose turn it is follows from who gave one."""
        note: views.Label = ""
        if record.state in UNDER_REVIEW and permissions.permitted(self.unit.actor, "export:evidence"):
            given, needed = reviewing.progress(self.unit, record)
            one, two = words.text("review.progress", given=given, needed=needed), words.text(
                "review.risk", risk=review.risk(record))
            note = Text(f"{one.zh} · {two.zh}", f"{one.en} · {two.en}")
        title = review.words_for(self.unit.actor, record)["title"]
        return self.row(EXPORT, record, title, f"/exports/{record.id}", note,
                        mine=self.may_review(record) if mine is None else mine)  # fmt: skip

    def may_review(self, record: ExportRequest) -> bool | None:
        """Whether this officer may be the next reviewer; None where the state does not wait for officers."""
        if record.state not in UNDER_REVIEW or self.unit.actor.role is not Role.COMPLIANCE:
            return None
        return reviewing.may_review(self.unit, record) is None

    def everything(self) -> Iterator[views.QueueItem]:
        """Every object on the way that this person may see."""
        unit = self.unit
        found: Sequence[tuple[str, Any, Any]] = (
            ("onboarding:read", merchants.list_for, self.onboarding),
            ("resource:read", self._undelivered, self.resource),
            ("resource:read", deliveries.waiting_for, self.delivery),
            ("lowering:decide", grades.waiting_for_second, self.lowering),
            ("correction:read", corrections.list_for, self.correction),
            ("application:read", applications.list_for, self.application),
            ("quota:read", quotas.list_for, self.quota),
            ("upload:read", uploads.queue, self.upload),
        )
        for action, every, row in found:
            if permissions.permitted(unit.actor, action):
                yield from (row(r) for r in every(unit) if r.state not in RESTING)
        if permissions.permitted(unit.actor, "export:read"):
            yield from self._exports()
        if permissions.permitted(unit.actor, "plan:answer"):
            yield from map(self.question, plans.waiting_for(unit))

    def _exports(self) -> Iterator[views.QueueItem]:
        """Requests on their way, those of one group as one row: the one that waits for this person, or the first."""
        found: dict[str, list[views.QueueItem]] = {}
        for record in exports.list_for(self.unit):
            if record.state not in RESTING:
                found.setdefault(record.group_id, []).append(self.export(record))
        for group_id, rows in found.items():
            shown = next((row for row in rows if row.turn.mine), rows[0])
            soonest = min((row.clock for row in rows), key=urgency)
            yield shown if len(rows) == 1 else replace(
                shown, title=of_several(shown.title, len(rows)), href=f"/export-groups/{group_id}", clock=soonest
            )

    @staticmethod
    def _undelivered(unit: Unit) -> list[Resource]:
        """Registered resources whose first delivery has not come."""
        waiting = {d.resource_id for d in deliveries.waiting_for(unit)}
        return [r for r in catalogue.list_for(unit) if r.state == "registered" and r.id not in waiting]


def of_several(title: views.Label, count: int) -> views.Label:
    """What `count` files of a group are called after the first one."""
    if count == 1:
        return title
    zh, en = (title.zh, title.en) if isinstance(title, Text) else (title, title)
    return Text(f"{zh} 等 {count} 个文件", f"{en} and {count - 1} more")


def urgency(clock: views.Clock) -> tuple[bool, date]:
    """Sorts the nearest deadline first, clocks without one last."""
    return clock.stopped or clock.due is None, clock.due or date.max


def by_urgency(items: Sequence[views.QueueItem]) -> list[views.QueueItem]:
    """Rows with the nearest deadline first, those without one last."""
    return sorted(items, key=lambda item: urgency(item.clock))
