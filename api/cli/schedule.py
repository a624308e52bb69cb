"""`pds schedule …`: when departments' tables are refreshed by themselves, and a round started by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.installation import Login, actor_of, installed
from api.cli.output import AsJson, answer, table
from policies.text import Text

if TYPE_CHECKING:
    from sandbox.catalog.schedules import Plan
    from sandbox.kernel.unit import Unit

Department = Annotated[str, typer.Argument(metavar="DEPARTMENT", help="部门名称或编号 · name or id of the department")]
_HEADERS = (
    Text("部门", "department"), Text("编号", "id"), Text("表", "tables"), Text("计划", "cron"), Text("依据", "by"),
    Text("下次（UTC）", "next (UTC)"),
)  # fmt: skip


def show(login: Login, as_json: AsJson = False) -> None:
    """列出各部门的更新计划 · List every department's schedule"""
    from sandbox.catalog import schedules

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        plans = schedules.plans(unit)
    answer({"schedules": [_document(p) for p in plans]}, as_json, lambda: table(_HEADERS, [_line(p) for p in plans]))


def set_cron(
    department: Department,
    login: Login,
    cron: Annotated[
        str | None, typer.Option(help='如 "30 1 * * *"（北京时间）；不写则按更新周期 · five fields; none: by the cycle')
    ] = None,
    as_json: AsJson = False,
) -> None:
    """设定一个部门何时更新（运营人员）· Set when a department is refreshed; an operator"""
    from sandbox.catalog import schedules

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        plan = schedules.set_cron(unit, _id_of(unit, department), cron)
    _answer(plan, as_json)


def pause(department: Department, login: Login, as_json: AsJson = False) -> None:
    """暂停一个部门的更新计划 · Pause a department's schedule"""
    _pause(department, login, True, as_json)


def resume(department: Department, login: Login, as_json: AsJson = False) -> None:
    """恢复一个部门的更新计划 · Let a paused schedule go on"""
    _pause(department, login, False, as_json)


def _pause(department: str, login: str, paused: bool, as_json: bool) -> None:
    from sandbox.catalog import schedules

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        plan = schedules.pause(unit, _id_of(unit, department), paused)
    _answer(plan, as_json)


def run(
    login: Login,
    department: Annotated[str | None, typer.Argument(metavar="DEPARTMENT", help="不写则全市 · none: the city")] = None,
    as_json: AsJson = False,
) -> None:
    """立即开始一轮更新，由运行中的平台执行 · Start a round now; the running platform does it"""
    from sandbox.catalog import schedules

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        job = schedules.start(unit, _id_of(unit, department) if department else None)
    answer({"job": job.id, "state": job.state}, as_json, lambda: print(f"✔ {job.id}"))


def _id_of(unit: Unit, department: str) -> str:
    """The department of that name, else the one of that id (which may not exist: the use case says so)."""
    from sandbox.kernel import accounts

    return next((i for i, name in accounts.names(unit.session).items() if name == department), department)


def _document(plan: Plan) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(plan), "next_at": plan.next_at.isoformat() if plan.next_at else None}


def _line(plan: Plan) -> tuple[Any, ...]:
    by = Text("更新周期", "cycle") if plan.by_cycle else Text("设定", "set")
    why = Text("已暂停", "paused") if plan.paused else by
    due = f"{plan.next_at:%Y-%m-%d %H:%M}" if plan.next_at else None
    return plan.department, plan.organisation_id, plan.tables, plan.cron if plan.tables else None, why, due


def _answer(plan: Plan, as_json: bool) -> None:
    answer(_document(plan), as_json, lambda: table(_HEADERS, [_line(plan)]))
