"""Grades of columns: carried over where confirmed, made stricter by one, weaker by two, never below a floor."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from policies.text import Text
from sandbox.catalog import repository, subjects
from sandbox.catalog.model import DELIVERY, LOWERING
from sandbox.catalog.protection import ROLES, Change, Grade, Override, split, weakens
from sandbox.catalog.repository import Lowering, Resource, ResourceColumn, ResourceVersion
from sandbox.kernel import editions, permissions
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition, NotFound, NotPermitted
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit

HIGHEST = 4
"""what counts where nothing is known"""


@dataclass(frozen=True, slots=True)
class GradedColumn:
    """A column as the pipeline proposes it."""

    name: str
    type: str
    comment: str
    category: str
    level: int
    sensitive: bool
    subject: str
    identifier_role: str
    entity: str | None
    rule: str
    evidence: list[str]
    missing: int
    distinct: int


@dataclass(frozen=True, slots=True)
class Changed:
    """What an override did: columns changed at once, columns where a second person must agree to less protection."""

    changed: list[str]
    requested: list[str]


# ---- what is carried over ----


def held(proposed: GradedColumn, before: ResourceColumn | None) -> Grade | None:
    """The confirmed grade that still holds for a column of a new version; None where people must look again.

    It holds when the evidence is the same (the category, sensitivity and role that the machine proposes, entity and
    subject) and the machine proposes no more than was confirmed, or no more than it proposed when people confirmed
    less.
    """
    if before is None or not before.confirmed:
        return None
    now = (proposed.category, proposed.sensitive, proposed.identifier_role, proposed.entity, proposed.subject)
    then = (before.proposed_category, before.proposed_sensitive, before.proposed_role, before.entity, before.subject)
    if now != then or proposed.level > max(before.level, before.proposed_level):
        return None
    return Grade.of(before)


def same_shape(proposed: Sequence[GradedColumn], before: Sequence[ResourceColumn]) -> bool:
    """Whether the new version has the same columns with the same types; others need a person, even if fewer."""
    return {(c.name, c.type) for c in proposed} == {(c.name, c.type) for c in before}


def same_uplifts(grading: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether no rule lifts the whole table that did not before (a volume crossed, columns that came together)."""
    return {u["rule"] for u in grading.get("uplifts", [])} <= {u["rule"] for u in before.get("uplifts", [])}


def level_of(grading: dict[str, Any], columns: Sequence[ResourceColumn]) -> int:
    """A table's level: its highest column (GB/T 43697 6.6), or more where a rule lifts the whole table."""
    lifted = [u["level"] for u in grading.get("uplifts", []) if u["level"] is not None]
    return max([*(c.level for c in columns), *lifted], default=HIGHEST)


# ---- which version people grade ----


def graded_version(unit: Unit, resource: Resource) -> ResourceVersion:
    """The version whose grades can be changed now: the proposal that waits, else the published one.

    Raises `InvalidTransition` while a confirmed proposal waits for publication, or when there is no version.
    """
    waiting = repository.pending(unit.session, resource.id)
    if waiting is not None and waiting.version is not None and waiting.state in ("proposed", "confirmed"):
        if waiting.state == "confirmed":
            raise InvalidTransition(
                "grade.confirmed",
                Text("分级已确认，等待发布，不能再调整", "The grades are confirmed and wait for publication"),
                fix=Text("请待发布后再调整，或撤回这次交付", "Change them after publication, or withdraw the delivery"),
                id=resource.id,
            )
        return repository.version(unit.session, resource.id, waiting.version)
    if resource.current_version is None:
        raise InvalidTransition("grade.no_version", Text("还没有可以分级的版本", "There is no version to grade yet"),
                                fix=Text("请先交付数据", "Deliver data first"), id=resource.id)  # fmt: skip
    return repository.version(unit.session, resource.id, resource.current_version)


def change(unit: Unit, resource_id: str, pattern: str, override: Override, reason: str) -> Changed:
    """Give the columns that `pattern` names another level, category, sensitivity or role, with a reason.

    `pattern` is a column's name, or a name with `*` for any characters. What protects more, and a category, takes
    effect at once; what protects less is asked for and waits for a second person. Raises `BadInput` (unknown column,
    level, category or role, no reason, below the floor) and `Conflict` when nothing would change.
    """
    resource = repository.get(unit.session, resource_id, locked=True)
    permissions.check(unit.actor, "resource:confirm", owner=resource.organisation_id)
    version = graded_version(unit, resource)
    chosen = named(repository.columns(unit.session, resource.id, version.number), pattern)
    if not reason.strip():
        raise BadInput("grade.no_reason", Text("请写明调整分级的理由", "A change of a grade needs a reason"))
    wanted = {c.name: wanted_changes(unit, resource, c, override) for c in chosen}
    if not any(wanted.values()):
        raise Conflict(
            "grade.same", Text("这些列的分级已经如此", "These columns have this grade already"),
            fix=Text("请选择其他级别、类别或标识作用", "Choose another level, category or role"), id=resource.id,
        )  # fmt: skip
    done = Changed([], [])
    for column in chosen:
        at_once, asked = split(wanted[column.name])
        if at_once:
            stricter = any(fact != "category" for fact in at_once)
            _set_grade(unit, resource, version, column, at_once, "resource:raise" if stricter else "resource:classify",
                       reason)  # fmt: skip
            done.changed.append(column.name)
        if asked:
            _ask_for_lowering(unit, resource, version, column, asked, reason)
            done.requested.append(column.name)
    return done


def wanted_changes(
    unit: Unit, resource: Resource, column: ResourceColumn, override: Override
) -> dict[str, Change]:  # fmt: skip
    """Fact → (before, after) of what the override asks of a column; a column called sensitive is lifted to its floor.

    Raises `BadInput` for a level, category or role that does not exist, and for a level below the floor.
    """
    policy = editions.in_force(unit, "grading")
    if not 1 <= (override.level or 1) <= HIGHEST:
        raise BadInput("grade.level", Text("级别应为 1–4", "A level is 1 to 4"))
    if override.identifier_role is not None and override.identifier_role not in ROLES:
        raise BadInput("grade.role", Text("没有这种标识作用", "There is no such role of an identifier"),
                       fix=Text(f"可选：{'、'.join(ROLES)}", f"One of {', '.join(ROLES)}"))  # fmt: skip
    if override.category is not None and override.category not in categories(policy):
        raise BadInput(
            "grade.category", Text("现行分级规则中没有这个类别", "The grading edition in force has no such category"),
            fix=Text(f"可选：{'、'.join(categories(policy))}", "Choose one of the edition's categories"),
        )  # fmt: skip
    grade = Grade.of(column)
    changes = grade.changes(override.applied(grade))
    if "sensitive" in changes and column.sensitive is False and override.level is None:
        floor = floor_of(column, "person" in resource.facts.entities, policy, sensitive=True)
        changes |= {"level": (column.level, floor)} if column.level < floor else {}
    _check_floor(resource, column, changes, policy)
    return changes


def categories(policy: Any) -> list[str]:
    """The categories a grading edition knows, in its order (GB/T 43697 annex B for personal data)."""
    known = (getattr(rule.parameters, "category", None) for rule in policy.rules)
    return list(dict.fromkeys(name for name in known if name))


def named(columns: Sequence[ResourceColumn], pattern: str) -> list[ResourceColumn]:
    """The columns of that name, else those that match it as a pattern. Raises `BadInput` when there is none."""
    exact = [c for c in columns if c.name == pattern]
    wanted = re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)
    found = exact or [c for c in columns if "*" in pattern and wanted.fullmatch(c.name)]
    if not found:
        raise BadInput(
            "column.not_found",
            Text(f"没有名为“{pattern}”的列", f"There is no column “{pattern}”"),
            fix=Text("请核对列名；可用 * 代表任意字符", "Check the name; * stands for any characters"),
        )
    return found


def _set_grade(
    unit: Unit, resource: Resource, version: ResourceVersion, column: ResourceColumn, changes: dict[str, Change],
    event: str, reason: str,
) -> None:  # fmt: skip
    """One column's grade, and the table's level after it. What is published changes at once."""
    for fact, (_, after) in changes.items():
        setattr(column, fact, after)
    unit.session.flush()
    version.level = level_of(version.grading, repository.columns(unit.session, resource.id, version.number))
    if resource.current_version == version.number:
        resource.level = version.level
    unit.audit(event, "resource", resource.id, column=column.name, **_told(changes), reason=reason.strip(),
               version=version.number)  # fmt: skip


def _told(changes: dict[str, Change]) -> dict[str, dict[str, Any]]:
    return {
        "before": {fact: old for fact, (old, _) in changes.items()},
        "after": {fact: new for fact, (_, new) in changes.items()},
    }


def raise_published(unit: Unit, resource: Resource, proposed: Sequence[GradedColumn]) -> list[str]:
    """Let stricter proposals for the very rows that are published take effect before anybody has confirmed them.

    Fail closed: what the machine now finds is treated as true at once, for new grants, runs and exports, and the
    department confirms it (or has it lowered by two people) afterwards. Returns the columns made stricter.
    """
    if resource.current_version is None:
        return []
    version = repository.version(unit.session, resource.id, resource.current_version)
    wanted = {c.name: c for c in proposed}
    raised: list[str] = []
    for column in repository.columns(unit.session, resource.id, version.number):
        new = wanted.get(column.name)
        if new is None or held(new, column) is not None:
            continue
        found = Override(new.level, None, new.sensitive, new.identifier_role).applied(Grade.of(column))
        stricter, _ = split(Grade.of(column).changes(found))
        if stricter:
            _set_grade(unit, resource, version, column, stricter, "resource:raise",
                       "重新分级：先按较高级别执行，待部门确认")  # fmt: skip
            column.confirmed = False
            raised.append(column.name)
    return raised


# ---- lowering ----


def floor_of(column: ResourceColumn, about_people: bool, policy: Any, *, sensitive: bool) -> int:
    """The lowest level the policy allows this column, were it sensitive or not (GB/T 43697 H.4).

    Sensitive data has the floor of sensitive personal data; a column about a person, or in a table whose rows are
    about people, that of personal data; text that holds identifiers keeps the level its rule gives.
    """
    floors = policy.by_check("floors").parameters
    found = [1]
    if sensitive:
        found.append(floors.sensitive_personal)
    if column.subject == "person" or about_people:
        found.append(floors.personal)
    found += [r.parameters.level for r in policy.all_by_check("text_contains") if r.id == column.rule]
    return max(found)


def _check_floor(resource: Resource, column: ResourceColumn, changes: dict[str, Change], policy: Any) -> None:
    """A level that is lowered, or that of a column called sensitive, is at least the floor of what it is to be."""
    grade = Override(**{fact: after for fact, (_, after) in changes.items()}).applied(Grade.of(column))
    lowered = "level" in changes and weakens("level", changes["level"])
    if not lowered and not ("sensitive" in changes and grade.sensitive):
        return
    floor = floor_of(column, "person" in resource.facts.entities, policy, sensitive=grade.sensitive)
    if grade.level < floor:
        raise BadInput(
            "grade.below_floor",
            Text(
                f"列“{column.name}”不得低于 {floor} 级（GB/T 43697 附录 H.4）",
                f"“{column.name}” cannot be below level {floor} (GB/T 43697 annex H.4)",
            ),
            fix=Text("请保留较高级别；规则只能由合规人员修订", "Keep the higher level; only a new edition changes it"),
            id=resource.id, floor=floor,
        )  # fmt: skip


def _ask_for_lowering(
    unit: Unit, resource: Resource, version: ResourceVersion, column: ResourceColumn, changes: dict[str, Change],
    reason: str,
) -> None:  # fmt: skip
    asked = repository.lowerings(unit.session, resource_id=resource.id, number=version.number, state="requested")
    if column.name in {one.column_name for one in asked}:
        raise Conflict(
            "lowering.exists",
            Text(f"列“{column.name}”已有一份降级申请待核定", f"A lowering of “{column.name}” is waiting already"),
            fix=Text("请先撤回原申请，或等待核定", "Withdraw it first, or wait for the decision"), id=resource.id,
        )  # fmt: skip
    row = Lowering(
        id=new_id("low"), organisation_id=resource.organisation_id, state=LOWERING.initial, state_since=unit.now,
        created_at=unit.now, resource_id=resource.id, version=version.number, column_name=column.name,
        **_told(changes), reason=reason.strip(), author_id=unit.actor.id, reviewer_id=None, decision="",
    )  # fmt: skip
    unit.session.add(row)
    unit.session.flush()
    unit.audit("lowering:request", "resource", resource.id, lowering=row.id, column=column.name, **_told(changes),
               reason=row.reason)  # fmt: skip


@LOWERING.guard("second_person")
def _second_person(unit: Unit, request: Lowering) -> None:
    if unit.actor.id == request.author_id:
        raise NotPermitted(
            "lowering.same_person",
            Text("降级须由申请人以外的第二人核定", "Somebody other than who asked must decide on a lowering"),
            fix=Text("请交给本部门其他人员或合规人员", "Hand it to a colleague or to a compliance officer"),
            id=request.id,
        )


@LOWERING.guard("floor_kept")
def _floor_kept(unit: Unit, request: Lowering) -> None:
    if not request.column_name:
        return  # whose records the rows are has no floor
    resource, policy = repository.get(unit.session, request.resource_id), editions.in_force(unit, "grading")
    column = _column_of(unit, request)
    _check_floor(resource, column, _changes_of(request, column), policy)


def _changes_of(request: Lowering, column: ResourceColumn) -> dict[str, Change]:
    """What the request changes on the column as it stands now."""
    return Grade.of(column).changes(Override(**request.after).applied(Grade.of(column)))


def _column_of(unit: Unit, request: Lowering) -> ResourceColumn:
    columns = repository.columns(unit.session, request.resource_id, request.version)
    found = next((c for c in columns if c.name == request.column_name), None)
    if found is None:
        raise NotFound.of("column", request.column_name)
    return found


def decide(unit: Unit, lowering_id: str, step: str, reason: str) -> Lowering:
    """A second person approves or refuses a lowering, or the department withdraws it.

    Raises `NotPermitted` for the person who asked, `BadInput` below the policy's floor or for an unknown step.
    """
    if step not in ("approve", "refuse", "withdraw"):
        raise BadInput("lowering.step", Text("没有这个操作", "There is no such step"))
    request = repository.lowering(unit.session, lowering_id)
    resource = repository.get(unit.session, request.resource_id, locked=True)
    LOWERING.advance(unit, request, step, reason=reason, resource=resource.id, column=request.column_name)
    if step != "withdraw":
        request.reviewer_id, request.decision = unit.actor.id, reason.strip()
    if step == "approve" and not request.column_name:
        subjects.lower(unit, resource, request)
    elif step == "approve":
        version = repository.version(unit.session, resource.id, request.version)
        column = _column_of(unit, request)
        _set_grade(unit, resource, version, column, _changes_of(request, column), "resource:lower", request.reason)
        column.confirmed = True if resource.current_version == version.number else column.confirmed
    return request


def drop_lowerings(unit: Unit, resource_id: str, number: int) -> None:
    """Requests on a version that nobody will publish any more lapse with it."""
    for request in repository.lowerings(unit.session, resource_id=resource_id, number=number, state="requested"):
        LOWERING.advance(unit, request, "drop")


def read_lowering(unit: Unit, lowering_id: str) -> Lowering:
    request = repository.lowering(unit.session, lowering_id)
    permissions.check(unit.actor, "resource:read", owner=request.organisation_id)
    return request


def waiting_for_second(unit: Unit) -> list[Lowering]:
    """Lowerings that wait for a second person, as far as this person may see them."""
    found = repository.lowerings(unit.session, state="requested")
    return [r for r in found if permissions.permitted(unit.actor, "lowering:decide", owner=r.organisation_id)]


# ---- before a version is confirmed ----


@DELIVERY.guard("levels_hold")
def _levels_hold(unit: Unit, delivery: Any) -> None:
    """The dataset's level is never below its highest column (GB/T 43697; reference regulation.md §5.3)."""
    version = repository.version(unit.session, delivery.resource_id, delivery.version)
    columns = repository.columns(unit.session, delivery.resource_id, version.number)
    if version.level < level_of(version.grading, columns):
        raise InvalidTransition(
            "grade.below_columns",
            Text("数据集级别低于其最高列级别", "The dataset's level is below its highest column"),
            fix=Text("请先调整级别", "Raise the level first"), id=delivery.resource_id,
        )  # fmt: skip


@DELIVERY.guard("no_open_lowering")
def _no_open_lowering(unit: Unit, delivery: Any) -> None:
    """A level that two people are still discussing is not confirmed over their heads."""
    open_ones = repository.lowerings(
        unit.session, resource_id=delivery.resource_id, number=delivery.version, state="requested"
    )
    if open_ones:
        names = "、".join(sorted(r.column_name or "主体与角色" for r in open_ones))
        raise InvalidTransition(
            "grade.lowering_open",
            Text(f"降级申请尚待第二人核定：{names}", f"A lowering waits for its second person: {names}"),
            fix=Text("请先核定或撤回降级申请", "Decide on it or withdraw it first"), id=delivery.resource_id,
        )  # fmt: skip
