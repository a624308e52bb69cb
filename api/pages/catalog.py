"""目录: what is published, its fields, and simulated rows to try whether it fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query, Request, Response

from api.deps import Acting
from api.pages import frame
from api.pages.common import labels, listing
from api.pages.views import Choice, Crumb, Label, Sheet, Tab
from api.pages.words import text
from api.pages.words_catalog import ENGINES, SOURCES, TYPES
from api.pages.words_states import fixed_state
from policies.text import Text
from sandbox.catalog import browsing, repository, service
from sandbox.catalog.repository import Resource, ResourceColumn
from sandbox.kernel import accounts, permissions
from sandbox.kernel.unit import Unit

router = frame.page_router()
ROWS = 50


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
    """One line of the field dictionary."""

    name: str
    type: Label
    comment: str
    category: str
    level: int
    sensitive: bool
    source: Label
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
        request, "catalog/list.html", listing=found, total=len(entries), department=department, level=level,
        departments=[Choice(d, d) for d in sorted({e.department for e in entries})],
        levels=[Choice(str(n), fixed_state("grade", n).label) for n in sorted({e.level for e in entries})],
    )  # fmt: skip


@router.get("/catalog/{resource_id}")
def show_entry(
    request: Request, resource_id: str, unit: Annotated[Unit, Acting("catalogue:browse")], tab: str = "dictionary",
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Response:  # fmt: skip
    """One entry: its fields, some simulated rows, or what the simulation is good for; the tab is in the address."""
    resource = service.entry(unit, resource_id)
    simulated = resource.simulation is not None
    chosen = tab if tab in ("rows", "about") else "dictionary"
    sheet = _rows(unit, resource, offset) if chosen == "rows" and simulated else None
    return frame.render(
        request, "catalog/entry.html", resource=resource, level=resource.level or 4, tab=chosen, sheet=sheet,
        department=accounts.organisation(unit.session, resource.organisation_id).name,
        fields=_fields(unit, resource), about=_about(resource), offset=offset, step=ROWS,
        tabs=[Tab(k, text(f"catalog.{k}"), f"?tab={k}") for k in ("dictionary", "rows", "about")],
        crumbs=[Crumb(text("catalog.title"), "/catalog"), Crumb(resource.name)], simulated=chosen != "dictionary",
        may_apply=permissions.permitted(unit.actor, "application:draft") and resource.state == "published",
        may_manage=permissions.permitted(unit.actor, "resource:read", owner=resource.organisation_id),
    )  # fmt: skip


def _rows(unit: Unit, resource: Resource, offset: int) -> Sheet:
    found = browsing.simulated_rows(unit, resource, ROWS, offset)
    return Sheet(tuple(found.columns), tuple(map(tuple, found.rows)), first_row=offset + 1)


def _public(resource: Resource) -> Mapping[str, Any]:
    """What the twin's manifest says to everybody; empty while there is no twin."""
    return (resource.simulation or {}).get("public") or {}


def _fields(unit: Unit, resource: Resource) -> list[Field]:
    described = {c["name"]: c for c in _public(resource).get("columns", [])}
    return [
        Field(
            c.name, labels(TYPES, c.type), c.comment, c.category, c.level, c.sensitive,
            labels(SOURCES, str(described.get(c.name, {}).get("source", "")).split(" ")[0].rstrip(":")),
            described.get(c.name, {}).get("fidelity"),
        )
        for c in repository.columns(unit.session, resource.id)
    ]  # fmt: skip


def _about(resource: Resource) -> dict[str, Any] | None:
    """The published facts of the simulation, in words; None while there is no twin."""
    public = _public(resource)
    if not public:
        return None
    fidelity, engine = public.get("fidelity", {}), public.get("engine", {})
    words = fidelity.get("words")
    return {
        "engine": labels(ENGINES, engine.get("used")), "version": engine.get("version", ""),
        "rows": public.get("rows"), "seed": public.get("seed"), "ratio": fidelity.get("ratio"),
        "shapes": fidelity.get("shapes"), "pairs": fidelity.get("pairs"), "words": Text(**words) if words else None,
        "not_kept": [Text(**t) for t in public.get("not_preserved", [])],
        "outcome": (public.get("verdict") or {}).get("outcome"),
    }  # fmt: skip
