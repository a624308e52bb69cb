"""Grades looked at again over the rows that are published (GB/T 43697 annex J; reference regulation.md §5.3).

New rows, new columns and a crossed volume bring their own delivery, which is graded anew as a whole. What needs a look
without new data is here: a new edition of the policy, an incident, an authority's order.
"""

from __future__ import annotations

from policies.text import Text
from sandbox.catalog import deliveries, repository
from sandbox.catalog.repository import Delivery
from sandbox.kernel import editions, permissions
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition
from sandbox.kernel.unit import Unit


def regrade(unit: Unit, resource_id: str, reason: str) -> Delivery:
    """Look at the grades of the published version again: an incident, an order, a new edition (regulation.md §5.3).

    Raises `BadInput` without a reason, `Conflict` while a delivery is on its way (it is graded anew anyhow), and
    `InvalidTransition` when nothing is published.
    """
    resource = repository.get(unit.session, resource_id, locked=True)
    permissions.check(unit.actor, "resource:regrade", owner=resource.organisation_id)
    if not reason.strip():
        raise BadInput("regrade.reason", Text("请写明重新分级的理由", "Say why the grades are looked at again"))
    if resource.state != "published" or resource.current_version is None:
        raise InvalidTransition("regrade.not_published", Text("只有已发布的资源需要重新分级", "Nothing is published"),
                                fix=Text("请直接交付数据", "Deliver data instead"), id=resource.id)  # fmt: skip
    waiting = repository.pending(unit.session, resource.id)
    if waiting is not None:
        raise Conflict(
            "delivery.in_progress",
            Text(f"第 {waiting.number} 次交付尚未办结，其分级正在重新确定", "A delivery is on its way and graded anew"),
            fix=Text("请先办结这次交付", "Finish that delivery first"), id=resource.id,
        )  # fmt: skip
    now = repository.version(unit.session, resource.id, resource.current_version)
    made = deliveries.record(unit, resource, "regrade", now.file_name, now.file_sha256, 0, reason.strip())
    unit.audit("delivery:regrade", "delivery", made.id, resource=resource.id, reason=made.reason, version=now.number)
    deliveries.start(unit, made, "regrade")
    return made


def regrade_outdated(unit: Unit) -> list[str]:
    """Look again at every published version that was graded under another edition than the one in force.

    A version is looked at once an edition: a proposal that waits, or was refused, is not asked for again.
    """
    edition = editions.in_force(unit, "grading")
    started: list[str] = []
    for resource in repository.every(unit.session, state="published"):
        version = repository.version(unit.session, resource.id, resource.current_version or 0)
        reason = f"分级规则 {edition.edition} 版生效"
        if version.grading.get("digest") in (None, edition.digest):
            continue
        asked = {d.reason for d in repository.deliveries(unit.session, resource.id) if d.mode == "regrade"}
        if reason not in asked and repository.pending(unit.session, resource.id) is None:
            regrade(unit, resource.id, reason)
            started.append(resource.id)
    return started
