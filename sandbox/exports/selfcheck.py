"""A merchant's own look at what the gate would say, before anybody is asked: the same code on the same bytes.

It never touches real data. A file (of the workspace's simulated folder, or brought along) holds nothing that the
merchant does not have already, and it is compared with the simulated twins only; a job runs on those twins. So whatever
is asked, and however often, nothing is learnt about a real record; the real data speak only in the verdict on a request
(`gate.verdict_for`). Self-checks are counted all the same: they cost the machine, and many of them would map the
policy's limits, which are no merchant's to know.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Mapped, mapped_column

from policies.text import Text, UserError
from policies.verdict import Outcome, Verdict
from sandbox.applications import repository as applications
from sandbox.exports.gate import evaluate, verdict_for
from sandbox.exports.places import escaped
from sandbox.exports.subject import FORMS, ExportFile, ExportSubject, bounds_of, matched
from sandbox.exports.twinsources import sources_of, tables_of
from sandbox.kernel import editions, permissions
from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import BadInput, LimitExceeded, NotFound, Unavailable
from sandbox.kernel.identity import Actor
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Platform, Unit
from sandbox.products import service as products
from sandbox.products import spec as specs
from sandbox.workspaces import files, folder, metering, service
from sandbox.workspaces.limits import MEGABYTE
from sandbox.workspaces.repository import Workspace
from sandbox.workspaces.usage import Usage

if TYPE_CHECKING:
    from policies.schema.export import ExportEdition
    from sandbox.exports.repairs import Repair
    from sandbox.products.spec import JobSpec

JOB = "self_check"
_AT_ONCE = threading.BoundedSemaphore(2)
"""Files checked at the same moment in one process; a job waits in the queue instead."""
_PATIENCE_SECONDS = 20.0
_LISTED = 50


class SelfCheck(Base):
    """One self-check, in the merchant's words only. `outcome` is null while a job waits or runs."""

    __tablename__ = "self_check"

    id: Mapped[str] = short(primary_key=True)
    organisation_id: Mapped[str] = short()
    workspace_id: Mapped[str] = short(index=True)
    author_id: Mapped[str] = short()
    created_at: Mapped[datetime] = mapped_column(index=True)
    name: Mapped[str] = short(300)
    sha256: Mapped[str] = short(64)
    """digest of the file, or of the job"""
    spec: Mapped[dict[str, Any] | None]
    """the job that was checked; null for a file"""
    after: Mapped[str | None] = short(64, nullable=True)
    """the self-check whose repair this job is"""
    outcome: Mapped[str | None] = short(20, nullable=True)
    verdict: Mapped[dict[str, Any] | None]
    repairs: Mapped[list[Any]]
    error: Mapped[dict[str, Any] | None]
    milliseconds: Mapped[int | None]


# ---- files ----


def check_file(
    platform: Platform, actor: Actor, workspace_id: str, name: str, stream: BinaryIO
) -> SelfCheck:  # fmt: skip
    """Judge a file that is brought along as the gate would judge it, at once. No more of `stream` is read than may
    leave.

    Raises `LimitExceeded` for a file that is too large or over the day's number, `Unavailable` while too many run.
    """
    with platform.begin(actor) as unit:
        workspace = _allowed(unit, workspace_id)
        edition = cast("ExportEdition", editions.in_force(unit, "export"))
        most = edition.by_check("volume").parameters.max_mb * MEGABYTE
        content = stream.read(most + 1)
        if len(content) > most:
            raise LimitExceeded("check.too_large", Text("文件超过大小上限", "Larger than a file that may leave"),
                                fix=Text("请拆分或进一步汇总", "Split it, or aggregate further"))  # fmt: skip
        application = applications.get(unit.session, workspace.application_id)
        sources = sources_of(unit, tables_of(unit, workspace))
        base = edition.by_check("rounding").parameters.base
    subject = ExportSubject(
        files=(ExportFile(name, content),), audience=application.audience,  # type: ignore[arg-type]
        form=FORMS.get(application.product_form, "aggregate"),  # type: ignore[arg-type]
        lane="file", rounding_base=base, bounds=bounds_of(edition),
    )  # fmt: skip
    with _turn():
        start, used = time.monotonic(), time.thread_time()
        verdict = evaluate(matched(subject, sources) if sources else subject, edition)
        seconds, own = time.monotonic() - start, time.thread_time() - used
    made = _record(workspace, actor, escaped(name)[:300], hashlib.sha256(content).hexdigest(), None)
    made.outcome, made.milliseconds = verdict.outcome, round(seconds * 1000)
    made.verdict = verdict_for(verdict, "merchant").as_dict()
    with platform.begin(actor) as unit:
        made.created_at = unit.now
        _keep(unit, made)
        metering.record(unit, workspace_id, "check", Usage(max(seconds, own), 0.0), subject=made.id)
    return made


def check_own_file(platform: Platform, actor: Actor, workspace_id: str, file_id: str) -> SelfCheck:
    """The same for a file in the workspace's simulated folder. Raises `NotFound`."""
    with platform.begin(actor) as unit:
        service.require_usable(unit, workspace_id, "selfcheck:run")
        found = files.open_file(folder.folder_of(unit, workspace_id, "file:read"), file_id)
    with found.stream:
        return check_file(platform, actor, workspace_id, found.path.rpartition("/")[2], found.stream)


@contextmanager
def _turn() -> Iterator[None]:
    if not _AT_ONCE.acquire(timeout=_PATIENCE_SECONDS):
        raise Unavailable("check.busy", Text("自查较多，请稍后再试", "Many self-checks are running"),
                          fix=Text("过一会儿再试", "Try again in a moment"))  # fmt: skip
    try:
        yield
    finally:
        _AT_ONCE.release()


# ---- jobs ----


def ask(unit: Unit, workspace_id: str, spec_text: str | dict[str, Any], after: str | None = None) -> SelfCheck:
    """Ask for the self-check of a job on the simulated twins, with repairs where it does not pass.

    Raises `SpecError`, `BadInput` for inputs that are not this workspace's, `LimitExceeded` over the day's number.
    """
    workspace, spec = _allowed(unit, workspace_id), specs.parse(spec_text)
    granted = {g.id for g in tables_of(unit, workspace).values()}
    if foreign := sorted(set(spec.grants) - granted):
        raise BadInput("check.grant", Text(f"作业引用了不属于本空间的授权：{'、'.join(foreign)}",
                       f"The job names grants that are not this workspace's: {', '.join(foreign)}"),
                       fix=Text("请使用本空间列出的授权编号", "Use the grants listed in this workspace"))  # fmt: skip
    products.uploads_of(unit, workspace_id, spec)
    made = _record(workspace, unit.actor, spec.job, specs.digest(spec).partition(":")[2], specs.as_data(spec))
    made.created_at, made.after = unit.now, after
    _keep(unit, made)
    unit.enqueue(JOB, JOB, made.id)
    return made


def apply(unit: Unit, check_id: str, repair_id: str) -> SelfCheck:
    """Take a repair over: the changed job is a self-check of its own, from which it is run like any job."""
    found = read(unit, check_id)
    for one in found.repairs:
        if one["id"] == repair_id:
            return ask(unit, found.workspace_id, one["spec"], after=found.id)
    raise NotFound.of("repair", repair_id)


def conclude(
    unit: Unit, check_id: str, verdict: Verdict, repairs: Sequence[Repair], usage: Usage, milliseconds: int
) -> SelfCheck:
    """Record what the gate said of a job on the twins, and which changes of it would do better."""
    permissions.check(unit.actor, "selfcheck:conclude")
    found = _get(unit, check_id)
    found.outcome, found.milliseconds = verdict.outcome, milliseconds
    found.verdict = verdict_for(verdict, "merchant").as_dict()
    found.repairs = [_told(one) for one in repairs]
    metering.record(unit, found.workspace_id, "check", usage, subject=found.id)
    return found


def _told(repair: Repair) -> dict[str, Any]:
    held = sorted(run.rule for run in repair.verdict.rules if run.outcome is not Outcome.PASS)
    return {
        "id": repair.id, "kind": repair.kind, "text": repair.text.as_dict(), "outcome": repair.outcome,
        "rules": held, "spec": specs.as_data(repair.spec),
    }  # fmt: skip


def failed(unit: Unit, check_id: str, error: UserError) -> None:
    """What could not be checked has not passed; it says why."""
    found = _get(unit, check_id)
    found.outcome = Outcome.ERROR
    found.error = {"text": error.text.as_dict(), "fix": error.fix.as_dict() if error.fix else None}


def inputs(unit: Unit, check_id: str) -> tuple[SelfCheck, Workspace, JobSpec]:
    """What the self-check of a job needs."""
    from sandbox.workspaces import repository

    found = _get(unit, check_id)
    return found, repository.get(unit.session, found.workspace_id), specs.parse(found.spec or {})


# ---- both ----


def read(unit: Unit, check_id: str) -> SelfCheck:
    """One self-check, for its own merchant."""
    found = _get(unit, check_id)
    permissions.check(unit.actor, "selfcheck:run", owner=found.organisation_id)
    return found


def of_workspace(unit: Unit, workspace_id: str) -> list[SelfCheck]:
    """The newest self-checks of a workspace, newest first."""
    service.read(unit, workspace_id)
    own = select(SelfCheck).where(SelfCheck.workspace_id == workspace_id)
    return list(unit.session.scalars(own.order_by(SelfCheck.created_at.desc(), SelfCheck.id).limit(_LISTED)))


def _get(unit: Unit, check_id: str) -> SelfCheck:
    found = unit.session.get(SelfCheck, check_id)
    if found is None:
        raise NotFound.of("self_check", check_id)
    return found


def _allowed(unit: Unit, workspace_id: str) -> Workspace:
    workspace = service.require_usable(unit, workspace_id, "selfcheck:run")
    metering.require_quota(unit, workspace_id, "check")
    most = editions.in_force(unit, "workspace").by_check("self_checks").parameters.per_day
    since = unit.now - timedelta(days=1)
    recent = select(func.count()).where(SelfCheck.workspace_id == workspace_id, SelfCheck.created_at >= since)
    if (unit.session.scalar(recent) or 0) >= most:
        raise LimitExceeded(
            "check.quota", Text(f"本空间 24 小时内最多自查 {most} 次", f"A workspace has {most} self-checks in 24 h"),
            fix=Text("请稍后再查，或直接提交出域申请", "Wait, or submit an export request"),
        )  # fmt: skip
    return workspace


def _record(workspace: Workspace, actor: Actor, name: str, sha256: str, spec: Mapping[str, Any] | None) -> SelfCheck:
    return SelfCheck(
        id=new_id("chk"), organisation_id=workspace.organisation_id, workspace_id=workspace.id, author_id=actor.id,
        name=name, sha256=sha256, spec=dict(spec) if spec else None, after=None, outcome=None, verdict=None,
        repairs=[], error=None, milliseconds=None,
    )  # fmt: skip


def _keep(unit: Unit, made: SelfCheck) -> None:
    unit.session.add(made)
    unit.session.flush()
    unit.audit("selfcheck:run", "workspace", made.workspace_id, check=made.id, sha256=made.sha256,
               job=made.spec is not None, outcome=made.outcome or "waiting")  # fmt: skip
