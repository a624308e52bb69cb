"""目录: what is published, its fields, and simulated rows to try whether it fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.responses import FileResponse

from api.deps import Acting
from api.pages import frame
from api.pages.common import labels, listing
from api.pages.shapes import shape_of
from api.pages.twins import about, standing_of
from api.pages.views import Choice, Crumb, Label, Sheet, Tab
from api.pages.words import text
from api.pages.words_catalog import TYPES
from api.pages.words_states import fixed_state
from api.routes.simulated import gates, handed_out
from policies.text import Text
from sandbox.catalog import browsing, repository, service, twins
from sandbox.catalog.repository import Resource, ResourceColumn
from sandbox.catalog.twins import Twin
from sandbox.kernel import accounts, permissions
from sandbox.kernel.unit import Unit

router = frame.page_router()
ROWS = 50
TABS = ("dictionary", "rows", "shapes", "about", "files")
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
"""a report is a page without scripts that loads nothing"""
Chosen = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


@dataclass(frozen=True, slots=True)
class Entry:
    """A published resource as the list shows it."""

    resource: Resource
    department: str
    level: int
    columns: list[ResourceColumn]

    @property
    def search_text(self) -> str:
        fields = " ".join(f"{c.name} {c.comment}" for c in self.columns)
        return f"{self.resource.name} {self.resource.description} {self.department} {fields}"


@dataclass(frozen=True, slots=True)
class Field:
    """One line of the field dictionary: what the catalogue says, and how the twin's column was made."""

    name: str
    type: Label
    comment: str
    category: str
    level: int
    sensitive: bool
    meaning: Text | None
    made: Text | None
    codes: list[str]
    closeness: float | None


@router.get("/catalog")
def show_catalogue(
    request: Request, unit: Annotated[Unit, Acting("catalogue:browse")], department: str = "", level: str = ""
) -> Response:
    """Every published resource, filtered by words, department and level."""
    names = accounts.names(unit.session)
    entries = [
        Entry(r, names[r.organisation_id], r.level or 4, repository.columns(unit.session, r.id))
        for r in service.catalogue(unit)
    ]
    kept = [e for e in entries if department in ("", e.department) and level in ("", str(e.level))]
    found = listing(request, kept, None, lambda e: e.search_text)
    return frame.render(
        request, "catalog/list.html", listing=found, stale=_stale(unit, found.items),
        total=len(entries), department=department, level=level,
        departments=[Choice(d, d) for d in sorted({e.department for e in entries})],
        levels=[Choice(str(n), fixed_state("grade", n).label) for n in sorted({e.level for e in entries})],
    )  # fmt: skip


def _stale(unit: Unit, entries: Sequence[Entry]) -> set[str]:
    """Ids of the resources whose simulated data is stale."""
    found = {e.resource.id: twins.current(unit.session, e.resource) for e in entries}
    return {e.resource.id for e in entries
            if (twin := found[e.resource.id]) and twins.stale(unit.session, e.resource, twin)}  # fmt: skip


@router.get("/catalog/{resource_id}")
def show_entry(
    request: Request, resource_id: str, unit: Annotated[Unit, Acting("catalogue:browse")], tab: str = "dictionary",
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0, twin: Chosen = None,
) -> Response:  # fmt: skip
    """One entry: fields, simulated rows, their distribution, what they are good for, files; the tab is in the address.

    `twin`: an earlier one by its number.
    """
    resource = service.entry(unit, resource_id)
    published = twins.current(unit.session, resource)
    shown = twins.chosen(unit.session, resource, twin) if twin else published
    chosen = tab if tab in TABS else TABS[0]
    earlier = f"&twin={shown.number}" if shown and shown != published else ""
    return frame.render(
        request, "catalog/entry.html", resource=resource, level=resource.level or 4, tab=chosen, twin=shown,
        earlier=earlier, department=accounts.organisation(unit.session, resource.organisation_id).name,
        fields=_fields(unit, resource, shown), offset=offset, step=ROWS,
        standing=standing_of(unit, resource, shown), simulated=chosen != TABS[0],
        tabs=[Tab(k, text(f"catalog.{k}"), f"?tab={k}{earlier}") for k in TABS],
        crumbs=[Crumb(text("catalog.title"), "/catalog"), Crumb(resource.name)],
        may_apply=permissions.permitted(unit.actor, "application:draft") and resource.state == "published",
        may_manage=permissions.permitted(unit.actor, "resource:read", owner=resource.organisation_id),
        **(_tab(unit, resource, shown, chosen, offset) if shown else {}),
    )  # fmt: skip


def _tab(unit: Unit, resource: Resource, twin: Twin, tab: str, offset: int) -> dict[str, Any]:
    """What one tab shows besides the fields."""
    if tab == "rows":
        found = browsing.simulated_rows(unit, resource, ROWS, offset, twin.number)
        return {"sheet": Sheet(tuple(found.columns), tuple(map(tuple, found.rows)), first_row=offset + 1)}
    if tab == "shapes":
        return {"shapes": [shape_of(column) for column in twin.distributions]}
    if tab == "about":
        return {"about": about(twin), "gates": gates(unit, twin, governs=False), "governs": False}
    if tab == "files":
        return {"files": [f for f in browsing.downloads(unit, resource, twin) if not f.format.startswith("report-")]}
    return {}


@router.get("/catalog/{resource_id}/files/{format}")
def download(
    resource_id: str, format: str, unit: Annotated[Unit, Acting("simulated:download")], twin: Chosen = None
) -> Response:  # fmt: skip
    """One file of the twin; on record."""
    return handed_out(browsing.download(unit, service.entry(unit, resource_id), format, twin))


@router.get("/catalog/{resource_id}/report")
def show_report(
    resource_id: str, unit: Annotated[Unit, Acting("simulated:download")], twin: Chosen = None
) -> Response:  # fmt: skip
    """The report as a page of its own: those who govern the data get theirs. It carries its style and loads nothing."""
    governs = permissions.permitted(unit.actor, "simulated:evidence")
    found = browsing.download(
        unit, service.entry(unit, resource_id), "report-operator" if governs else "report-merchant", twin
    )
    headers = {"content-security-policy": REPORT_POLICY}
    return FileResponse(found.path, media_type=found.media, headers=headers, content_disposition_type="inline")


def _fields(unit: Unit, resource: Resource, twin: Twin | None) -> list[Field]:
    made = {f["name"]: f for f in twin.fields} if twin else {}
    close = {c["name"]: c.get("fidelity") for c in twin.public.get("columns", [])} if twin else {}
    return [
        Field(
            c.name, labels(TYPES, c.type), c.comment, c.category, c.level, c.sensitive,
            Text(**made[c.name]["meaning"]) if c.name in made else None,
            Text(**made[c.name]["made"]) if c.name in made else None,
            made[c.name]["codes"] if c.name in made else [], close.get(c.name),
        )
        for c in repository.columns(unit.session, resource.id)
    ]  # fmt: skip
