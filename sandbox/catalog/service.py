"""Use cases of a resource: register, withdraw, what each may see of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.text import Text
from sandbox.catalog import deliveries
from sandbox.catalog.entityfacts import Facts
from sandbox.catalog.model import BUSY, RESOURCE
from sandbox.catalog.repository import Resource, by_name, every, get, pending
from sandbox.kernel import permissions
from sandbox.kernel.errors import Conflict
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit


def register(
    unit: Unit, *, name: str, description: str, update_cycle: str, registration_code: str,
    entities: Mapping[str, Any] | None = None, declared: Mapping[str, Any] | None = None,
) -> Resource:  # fmt: skip
    """A department registers a resource; `entities`: kind → `entityfacts.EntityFact`.

    Raises `Conflict` when it already has one of that name, `BadInput` for facts that do not hold.
    """
    permissions.check(unit.actor, "resource:register")
    facts = Facts.read({"entities": entities or {}})
    if by_name(unit.session, unit.actor.organisation_id, name):
        raise Conflict(
            "resource.exists",
            Text(f"本部门已登记名为“{name}”的资源", f"Your department already has a resource named “{name}”"),
            fix=Text("请直接交付新版本", "Deliver a new version instead"),
        )
    resource = Resource(
        id=new_id("res"), organisation_id=unit.actor.organisation_id, state=RESOURCE.initial, state_since=unit.now,
        created_at=unit.now, name=name, description=description, registration_code=registration_code,
        update_cycle=update_cycle, subjects=facts.stored(), declared=dict(declared or {}),
        current_version=None, level=None, simulated_version=None,
    )  # fmt: skip
    unit.session.add(resource)
    unit.session.flush()
    unit.audit("resource:register", "resource", resource.id, registration=registration_code)
    return resource


def withdraw(unit: Unit, resource_id: str, reason: str) -> Resource:
    """Take the resource out of the catalogue; what waited beside the published version ends with it."""
    resource = get(unit.session, resource_id)
    RESOURCE.advance(unit, resource, "withdraw", reason=reason)
    waiting = pending(unit.session, resource.id)
    if waiting is not None and waiting.state not in BUSY:
        deliveries.supersede(unit, waiting)
    return resource


def read(unit: Unit, resource_id: str) -> Resource:
    """A resource with everything about it, for those who govern it."""
    resource = get(unit.session, resource_id)
    permissions.check(unit.actor, "resource:read", owner=resource.organisation_id)
    return resource


def list_for(unit: Unit) -> list[Resource]:
    """Resources the actor governs: a department's own, or all."""
    permissions.check(unit.actor, "resource:read")
    scope = permissions.PERMISSIONS["resource:read"][unit.actor.role]
    own = unit.actor.organisation_id if scope is permissions.Scope.OWN else None
    return every(unit.session, organisation_id=own)


def catalogue(unit: Unit) -> list[Resource]:
    """Published resources: what everyone signed in may see (names, columns, grades; never a value)."""
    permissions.check(unit.actor, "catalogue:browse")
    return every(unit.session, state="published")


def entry(unit: Unit, resource_id: str) -> Resource:
    """One published catalogue entry; an unpublished one does not exist for browsers."""
    permissions.check(unit.actor, "catalogue:browse")
    resource = get(unit.session, resource_id)
    governs = permissions.permitted(unit.actor, "resource:read", owner=resource.organisation_id)
    if resource.state != "published" and not governs:
        raise permissions.out_of_reach("resource:read")
    return resource
