"""Tables and use cases of public reporting."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Mapped, Session

from policies.text import Text
from sandbox.kernel import permissions
from sandbox.kernel.audit import AuditEvent, canonical
from sandbox.kernel.clock import city_date
from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import BadInput, NotFound
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit

FIGURES: dict[str, tuple[str, Text]] = {
    "resources_published": ("resource:publish", Text("发布数据资源", "resources published")),
    "simulated_published": ("simulated:publish", Text("发布仿真数据", "simulated tables published")),
    "merchants_admitted": ("onboarding:admit", Text("进驻数据商", "merchants admitted")),
    "applications_submitted": ("application:submit", Text("提交使用申请", "use applications submitted")),
    "approvals_given": ("approval:approve", Text("部门审核同意", "departments' approvals")),
    "approvals_by_lapse": ("approval:lapse", Text("超期视为同意", "deemed consents")),
    "applications_active": ("application:activate", Text("授权生效", "applications taking effect")),
    "runs_succeeded": ("run:succeed", Text("真实数据运行", "runs on real data")),
    "exports_blocked": ("export:block", Text("机器核查拦截", "exports blocked by the machine")),
    "exports_released": ("export:release", Text("出域放行", "exports released")),
    "exports_recalled": ("export:recall", Text("召回", "recalls")),
    "refusals": ("access:refused", Text("越权与不合规操作被拒", "refusals")),
}
"""What is reported, and the audit event that is counted: the figures can always be recounted from the log."""


class PublicReport(Base):
    """A published report: its period, figures, and the state of the log it was counted from."""

    __tablename__ = "public_report"

    id: Mapped[str] = short(primary_key=True)
    period_from: Mapped[str] = short(10)
    period_to: Mapped[str] = short(10)
    figures: Mapped[dict[str, Any]]
    audit_seq: Mapped[int]
    sha256: Mapped[str] = short(64)
    published_by: Mapped[str] = short()
    published_at: Mapped[datetime]


def count(session: Session, start: date, end: date) -> dict[str, int]:
    """Figures of the days `start` to `end` (city time, both included), counted from the audit log."""
    events = select(AuditEvent.event, AuditEvent.at).where(AuditEvent.event.in_([e for e, _ in FIGURES.values()]))
    totals = dict.fromkeys((e for e, _ in FIGURES.values()), 0)
    for event, at in session.execute(events):
        if start <= city_date(at) <= end:
            totals[event] += 1
    return {key: totals[event] for key, (event, _) in FIGURES.items()}


def publish(unit: Unit, start: date, end: date) -> PublicReport:
    """The operator publishes the figures of a period. They are counts of acts of institutions, never of persons."""
    permissions.check(unit.actor, "report:publish")
    if end < start:
        raise BadInput("report.period", Text("结束日期早于开始日期", "The period ends before it begins"))
    figures = count(unit.session, start, end)
    seq = unit.session.scalar(select(func.max(AuditEvent.seq))) or 0
    body = {"from": start.isoformat(), "to": end.isoformat(), "figures": figures, "audit_seq": seq}
    report = PublicReport(
        id=new_id("rpt"), period_from=start.isoformat(), period_to=end.isoformat(), figures=figures, audit_seq=seq,
        sha256=hashlib.sha256(canonical(body).encode()).hexdigest(), published_by=unit.actor.id, published_at=unit.now,
    )  # fmt: skip
    unit.session.add(report)
    unit.session.flush()
    unit.audit("report:publish", "report", report.id, sha256=report.sha256)
    return report


def published(session: Session) -> list[PublicReport]:
    """All published reports, newest first: open to everybody."""
    return list(session.scalars(select(PublicReport).order_by(PublicReport.published_at.desc())))


def get(session: Session, report_id: str) -> PublicReport:
    report = session.get(PublicReport, report_id)
    if report is None:
        raise NotFound.of("report", report_id)
    return report
