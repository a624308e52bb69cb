"""社会数据: a merchant's own data on its way into a workspace, with where it comes from and what the check found in it.

A file lies in quarantine, in a folder of its own that no workspace sees, until the check (two jails, `importing`) has
made a plain table of it and looked for personal data. What the merchant declared is held against what was found: data
declared free of personal information that has some, and identifiers of the highest level, are the operator's decision,
on counts and masked evidence, never on rows. Accepted tables are mounted read-only beside the granted ones.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from policies.text import Text, UserError
from sandbox.applications import repository as applications
from sandbox.applications.service import ENDED
from sandbox.kernel import editions, permissions
from sandbox.kernel.errors import BadInput, Conflict, LimitExceeded
from sandbox.kernel.identity import SYSTEM, Actor, Role
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces import importing, metering, own_record, repository, service
from sandbox.workspaces.broker import Mode
from sandbox.workspaces.import_inside import OUTPUT
from sandbox.workspaces.importing import Checked
from sandbox.workspaces.model import UPLOAD
from sandbox.workspaces.own_record import Upload
from sandbox.workspaces.repository import Workspace

if TYPE_CHECKING:
    from policies.schema.workspace import Uploads
    from sandbox.workspaces.broker import Broker

_NAME = re.compile(r"[A-Za-z_\u4e00-\u9fff][A-Za-z0-9_\u4e00-\u9fff]{0,62}")
_ORIGINAL, _BLOCK = "original", 1 << 20


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the merchant declares, word by word on record: where the data comes from, the legal basis for holding and
    using it, its licence, whether it has personal information, whom to ask, the period it covers."""

    source: str
    basis: str
    licence: str
    personal: bool
    contact: str
    period: str

    def check(self, statement: bool) -> None:
        """Raise BadInput unless every entry is there, of sane length, and the statement was made."""
        entries = asdict(self)
        missing = [_FIELDS[k] for k, v in entries.items() if k in _FIELDS and not 0 < len(v.strip()) <= 500]
        if missing:
            zh, en = "、".join(m.zh for m in missing), ", ".join(m.en for m in missing)
            raise BadInput("upload.provenance", Text(f"请填写（500 字以内）：{zh}", f"Fill in (500 characters): {en}"))
        if not statement:
            raise BadInput(
                "upload.statement", Text("请确认数据来源合法的声明", "The statement on lawful origin is missing"),
                fix=Text("勾选声明后再上传", "Make the statement and upload again"),
            )  # fmt: skip


_FIELDS: dict[str, Text] = {
    "source": Text("数据来源", "source"), "basis": Text("合法性依据", "legal basis"),
    "licence": Text("许可范围", "licence"), "contact": Text("联系人", "contact"), "period": Text("数据时段", "period"),
}  # fmt: skip


# ---- bringing ----


def bring(
    platform: Platform, actor: Actor, workspace_id: str, stream: BinaryIO, *, file_name: str, name: str,
    provenance: Provenance, statement: bool, sheet: str = "",
) -> Upload:  # fmt: skip
    """Take a file into quarantine and ask for its check.

    Refused before a byte is stored: who may not, a bad or taken name, an incomplete declaration. Raises LimitExceeded
    for a file over the limit; nothing of it stays.
    """
    with platform.begin(actor) as unit:
        provenance.check(statement)
        _require_room(unit, service.require_usable(unit, workspace_id, "upload:bring"), name)
        metering.require_quota(unit, workspace_id, "upload")
        limit = file_limit_mb(unit) << 20
    upload_id = new_id("upl")
    place = platform.settings.uploads_root / upload_id
    try:
        sha256, size = _store(place, stream, limit)
        with platform.begin(actor) as unit:
            workspace = service.require_usable(unit, workspace_id, "upload:bring")
            version = _require_room(unit, workspace, name)
            made = Upload(
                id=upload_id, organisation_id=workspace.organisation_id, state=UPLOAD.initial, state_since=unit.now,
                created_at=unit.now, workspace_id=workspace_id, name=name, version=version,
                file_name=_shown(file_name)[:200], sheet=sheet.strip()[:100], sha256=sha256, size=size,
                provenance=asdict(provenance), uploaded_by=actor.id, found=[], reasons=[],
            )  # fmt: skip
            unit.session.add(made)
            unit.session.flush()
            unit.audit("upload:bring", "upload", upload_id, workspace=workspace_id, name=name, version=version,
                       sha256=sha256, bytes=size, personal=provenance.personal)  # fmt: skip
            metering.record(unit, workspace_id, "upload", subject=upload_id, size=size)
            made.job_id = unit.enqueue("import", "upload", upload_id).id
            return made
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _store(place: Path, stream: BinaryIO, limit: int) -> tuple[str, int]:
    place.mkdir(parents=True, mode=0o700)
    digest, size = hashlib.sha256(), 0
    with (place / _ORIGINAL).open("xb") as target:
        while block := stream.read(_BLOCK):
            size += len(block)
            if size > limit:
                raise LimitExceeded(
                    "upload.too_large", Text(f"文件超过 {limit >> 20} MB 上限", f"The limit is {limit >> 20} MB"),
                    fix=Text("请拆分文件，或另存为 Parquet", "Split the file, or save it as Parquet"),
                )  # fmt: skip
            digest.update(block)
            target.write(block)
    if size == 0:
        raise BadInput("upload.empty", Text("文件是空的", "The file is empty"))
    return digest.hexdigest(), size


def _require_room(unit: Unit, workspace: Workspace, name: str) -> int:
    """The version this upload would be. Raises for a bad name, a granted table's name, one on its way, too many."""
    if not _NAME.fullmatch(name):
        raise BadInput(
            "upload.name", Text("表名须以字母、汉字或下划线开头，只含字母、数字、汉字、下划线，不超过 63 个字符",
                                "A table's name begins with a letter or _ and has letters, digits and _, at most 63"),
        )  # fmt: skip
    taken = {granted.casefold() for granted in service.twin_tables(unit, workspace)}
    if name.casefold() in taken:
        raise Conflict("upload.name_taken", Text("与已授权的表重名", "A granted table has this name"),
                       fix=Text("请换一个表名", "Choose another name"))  # fmt: skip
    found = own_record.uploads(unit.session, workspace.id)
    same = [u for u in found if u.name.casefold() == name.casefold()]
    if any(u.state in ("uploaded", "checking", "needs_decision") for u in same):
        raise Conflict("upload.waiting", Text("同名的数据正在检查或等待决定", "One of this name is on its way"),
                       fix=Text("请等待办结或先删除它", "Wait for it, or remove it first"))  # fmt: skip
    live = {u.name.casefold() for u in found if u.state not in ("refused", "replaced", "removed")}
    if len(live - {name.casefold()}) >= _policy(unit).tables:
        raise LimitExceeded("upload.too_many", Text("引入的表已达上限", "The workspace has all the tables it may have"),
                            fix=Text("请先删除不用的表", "Remove tables you no longer need"))  # fmt: skip
    return max((u.version for u in same), default=0) + 1


# ---- the check's steps (the system's) ----


def begin_check(unit: Unit, upload_id: str) -> Upload:
    """The check starts; a second attempt at the same one goes on."""
    found = own_record.upload(unit.session, upload_id)
    if found.state != "checking":
        UPLOAD.advance(unit, found, "check")
    return found


def settings_of(unit: Unit, found: Upload) -> importing.Settings:
    """The check's bounds under the edition in force."""
    from sandbox.workspaces.limits import Limits

    rules, limits = _policy(unit), editions.in_force(unit, "workspace").by_check("import_limits").parameters
    bounds = {key: getattr(limits, key) for key in Limits.__dataclass_fields__}
    return importing.Settings(
        Limits(**bounds), limits.folder_mb, rules.rows, rules.columns, rules.unpacked_mb, found.sheet
    )


def conclude(unit: Unit, upload_id: str, read: Checked, looked: Checked) -> Upload:
    """The check has ended: into the workspace, to the operator, or back to the merchant with the reason."""
    found = own_record.upload(unit.session, upload_id)
    workspace = repository.get(unit.session, found.workspace_id)
    if workspace.state == "closed" or applications.get(unit.session, workspace.application_id).state in ENDED:
        return _refused(unit, found, "closed", _CLOSED, None)
    for checked in (read, looked):
        if checked.refused:
            text, fix = importing.REFUSALS[checked.refused]
            detail = {str(k): str(v) for k, v in (checked.detail or {}).items()}
            return _refused(unit, found, checked.refused, text.fill(**detail), fix)
    found.report, found.table_sha256 = dict(read.report or {}), read.sha256
    found.found = [dict(f) for f in looked.found]
    found.reasons = _reasons(_policy(unit), found)
    (unit.settings.uploads_root / found.id / _ORIGINAL).unlink(missing_ok=True)
    if "contradiction" in found.reasons and _policy(unit).contradiction == "refused":
        return _refused(unit, found, "contradiction", _CONTRADICTION, _DECLARE)
    if found.reasons:
        UPLOAD.advance(unit, found, "ask", reasons="、".join(found.reasons))
    else:
        UPLOAD.advance(unit, found, "pass_check", rows=found.report.get("rows"))
        _replace_earlier(unit, found)
    return found


_CLOSED = Text("开发空间已关闭或授权已结束", "The workspace has been closed, or its grant has ended")
_CONTRADICTION = Text("声明不含个人信息，但检查发现了个人信息", "Declared free of personal information; some was found")
_DECLARE = Text("请如实声明，或去除个人信息后重新上传", "Declare it, or take it out, and upload again")


def _reasons(rules: Uploads, found: Upload) -> list[str]:
    entities = {f["entity"] for f in found.found}
    reasons = []
    if entities & set(rules.personal) and not found.provenance["personal"]:
        reasons.append("contradiction")
    if entities & set(rules.decision):
        reasons.append("identifiers")
    return reasons


def failed(unit: Unit, upload_id: str, error: UserError) -> None:
    """The check could not run: nothing gets in."""
    _refused(unit, own_record.upload(unit.session, upload_id), error.code, error.text, error.fix)


def _refused(unit: Unit, found: Upload, code: str, text: Text, fix: Text | None) -> Upload:
    found.refusal = {"code": code, "text": text.as_dict(), "fix": fix.as_dict() if fix else None}
    UPLOAD.advance(unit, found, "fail_check", code=code)
    _dispose(unit, found)
    return found


def _replace_earlier(unit: Unit, found: Upload) -> None:
    """The version before leaves the workspace; its bytes stay for what was computed from them, until removed."""
    for earlier in own_record.uploads(unit.session, found.workspace_id):
        if earlier.id != found.id and earlier.state == "accepted" and earlier.name.casefold() == found.name.casefold():
            UPLOAD.advance(unit.acting_as(SYSTEM), earlier, "replace", by=found.id)


# ---- people's steps ----


def decide(unit: Unit, upload_id: str, step: str, reason: str) -> Upload:
    """The operator's decision ("accept" or "refuse"), with its reason, on findings alone."""
    found = own_record.upload(unit.session, upload_id)
    if step not in ("accept", "refuse"):
        raise BadInput("upload.step", Text("只能同意或不同意", "Accept or refuse"))
    UPLOAD.advance(unit, found, step, reason=reason, reasons="、".join(found.reasons))
    if step == "accept":
        _replace_earlier(unit, found)
    else:
        found.refusal = {"code": "decided", "text": _DECIDED.as_dict(), "fix": _DECLARE.as_dict()}
        _dispose(unit, found)
    return found


_DECIDED = Text("运营机构不同意引入", "The operator refused it")


def remove(platform: Platform, broker: Broker, actor: Actor, upload_id: str) -> None:
    """Take a table out of the workspace and delete its bytes; programs that have it open are ended first."""
    with platform.begin(actor) as unit:
        found = own_record.upload(unit.session, upload_id)
        UPLOAD.check(unit, found, "remove")
        workspace_id, mounted = found.workspace_id, found.state == "accepted"
    if mounted:
        broker.stop(workspace_id, Mode.SIMULATED)
        broker.cancel(workspace_id, "script")
    with platform.begin(actor) as unit:
        found = own_record.upload(unit.session, upload_id)
        UPLOAD.advance(unit, found, "remove", sha256=found.table_sha256, gone=_dispose(unit, found))


def end_with(unit: Unit, workspace: Workspace) -> None:
    """The workspace was closed or its grant has ended: every byte that was brought into it goes, on record."""
    system = unit.acting_as(SYSTEM)
    for found in own_record.uploads(unit.session, workspace.id):
        if found.state in UPLOAD.transition("end").sources:
            UPLOAD.advance(system, found, "end", sha256=found.table_sha256, gone=_dispose(unit, found))


def _dispose(unit: Unit, found: Upload) -> bool:
    """Delete every byte of the upload; whether they are gone."""
    place = unit.settings.uploads_root / found.id
    shutil.rmtree(place, ignore_errors=True)
    return not place.exists()


# ---- reading ----


def get(unit: Unit, upload_id: str) -> Upload:
    """One upload, for those who may see it."""
    found = own_record.upload(unit.session, upload_id)
    permissions.check(unit.actor, "upload:read", owner=found.organisation_id)
    return found


def of_workspace(unit: Unit, workspace_id: str) -> list[Upload]:
    """Uploads of a workspace, newest first."""
    workspace = service.read(unit, workspace_id)
    permissions.check(unit.actor, "upload:read", owner=workspace.organisation_id)
    return own_record.uploads(unit.session, workspace_id)


def queue(unit: Unit) -> list[Upload]:
    """All uploads that the actor may see; those that wait for the operator first."""
    permissions.check(unit.actor, "upload:read")
    own = unit.actor.organisation_id if unit.actor.role is Role.MERCHANT else None
    found = [u for u in own_record.every_upload(unit.session) if own is None or u.organisation_id == own]
    return sorted(found, key=lambda u: u.state != "needs_decision")


def tables(unit: Unit, workspace: Workspace) -> dict[str, Path]:
    """Table name → Parquet file of what this workspace brought in; a granted table of that name comes first."""
    return _beside(unit, workspace, service.granted_tables(unit, workspace))


def with_granted(unit: Unit, workspace: Workspace) -> dict[str, Path]:
    """Table name → Parquet file of everything that is mounted on the simulated side."""
    twins = service.twin_tables(unit, workspace)
    return twins | _beside(unit, workspace, twins)


def _beside(unit: Unit, workspace: Workspace, tables: Iterable[str]) -> dict[str, Path]:
    granted = {name.casefold() for name in tables}
    return {
        name: _table(unit, number)
        for number, name in own_record.accepted_uploads(unit.session, workspace.id)
        if name.casefold() not in granted
    }


def table_of(unit: Unit, found: Upload) -> Path:
    """The table's Parquet file, to be opened inside a jail only."""
    return _table(unit, found.id)


def _table(unit: Unit, number: str) -> Path:
    return unit.settings.uploads_root / number / "table" / OUTPUT


def original_of(unit: Unit, found: Upload) -> Path:
    """The file as it was brought, to be opened inside a jail only; gone once the check has ended."""
    return unit.settings.uploads_root / found.id / _ORIGINAL


def file_limit_mb(unit: Unit) -> int:
    """The largest file that can be brought."""
    return int(min(_policy(unit).file_mb, unit.settings.body_limit_mb))


def _policy(unit: Unit) -> Any:
    return editions.in_force(unit, "workspace").by_check("uploads").parameters


def _shown(file_name: str) -> str:
    from sandbox.workspaces.files import visible

    return visible(file_name.replace("\\", "/").rsplit("/", 1)[-1].encode("utf-8", "surrogatepass")) or "file"
