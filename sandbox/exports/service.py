"""Use cases of exports: draft, freeze, machine checks, two reviewers, release, recall, download."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.text import Text
from policies.verdict import Outcome, Verdict
from sandbox.applications import service as application_service
from sandbox.exports import ledger, notices, reviewing
from sandbox.exports import review as rules
from sandbox.exports.model import EXPORT, UNDER_REVIEW
from sandbox.exports.repository import (
    ExportRequest,
    Release,
    every,
    get,
    release_of,
    releases,
    together,
)
from sandbox.exports.review import Stakes
from sandbox.kernel import editions, permissions
from sandbox.kernel.errors import InvalidTransition, LimitExceeded
from sandbox.kernel.identity import SYSTEM
from sandbox.kernel.ids import new_id
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Unit
from sandbox.merchants import service as merchants
from sandbox.products import repository as products


@EXPORT.guard("application_live")
def _application_live(unit: Unit, record: ExportRequest) -> None:
    application_service.require_live(unit, record.application_id)


@EXPORT.guard("bytes_unchanged")
def _bytes_unchanged(unit: Unit, record: ExportRequest) -> None:
    """What was frozen is what is reviewed and released: one changed byte voids the approval."""
    if record.frozen != fingerprint(unit, record):
        raise InvalidTransition(
            "export.bytes_changed",
            Text("冻结后的内容发生了变化，审批作废", "The content changed after the freeze; approvals are void"),
            fix=Text("请退回并重新提交", "Return it and submit again"),
            id=record.id,
        )


def fingerprint(unit: Unit, record: ExportRequest) -> dict[str, Any]:
    """Digests of everything that would leave with this request: of what the run left, and, once the machine has
    checked, of the file that the platform has written of it, which is what people review and what leaves."""
    artefact = products.artefact(unit.session, record.artefact_id)
    content = _bytes_of(unit, artefact.sha256)
    words = json.dumps([record.title, record.remark, record.context], ensure_ascii=False, sort_keys=True).encode()
    found: dict[str, Any] = {
        "artefact": hashlib.sha256(content).hexdigest(), "declared": artefact.sha256,
        "words": hashlib.sha256(words).hexdigest(), "bytes": len(content),
    }  # fmt: skip
    if (frozen := frozen_file(record)) is not None:
        found["file"] = hashlib.sha256(_bytes_of(unit, frozen)).hexdigest()
    return found


def _bytes_of(unit: Unit, sha256: str) -> bytes:
    try:
        return artefact_path(unit, sha256).read_bytes()
    except FileNotFoundError:
        return b""  # gone is changed: an empty file's digest equals no declared one


def frozen_file(record: ExportRequest) -> str | None:
    """The digest of the platform's file that was checked; None before a check, and where none was written."""
    return (record.frozen or {}).get("file")


def reviewed_path(unit: Unit, record: ExportRequest) -> Path:
    """What people review: the platform's file, and before there is one what the run left."""
    artefact = products.artefact(unit.session, record.artefact_id)
    return artefact_path(unit, frozen_file(record) or artefact.sha256)


def keep_file(settings: Settings, content: bytes) -> str:
    """Keep the platform's file under its digest, beside what the runs left."""
    name = hashlib.sha256(content).hexdigest()
    settings.artefacts_root.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = settings.artefacts_root / f".{new_id('part')}"
    part.touch(mode=0o600)
    part.write_bytes(content)
    part.chmod(0o400)
    part.replace(settings.artefacts_root / name)
    return name


def artefact_path(unit: Unit, sha256: str) -> Path:
    return unit.settings.artefacts_root / sha256


def submit(unit: Unit, request_id: str) -> ExportRequest:
    """Freeze the content by digest and hand it to the machine checks."""
    (record,) = submit_together(unit, [get(unit.session, request_id)])
    return record


def submit_together(unit: Unit, records: Sequence[ExportRequest]) -> Sequence[ExportRequest]:
    """Freeze files of one group and hand them to the machine, which checks them in one job; those of the group under
    review whose verdict depends on one of them are checked with them anew, and opinions on them count no more."""
    for record in records:
        _freeze(unit, record)
    changed = {record.id for record in records}
    beside = together(unit.session, records[0].group_id)
    again = [r for r in beside if r.state in UNDER_REVIEW and _rests_on(r, changed)]
    for record in again:
        record.round, record.verdict, record.stakes = record.round + 1, None, None
        record.frozen = {k: v for k, v in (record.frozen or {}).items() if k != "file"}
        EXPORT.advance(unit.acting_as(SYSTEM), record, "recheck", because=sorted(changed))
    asked = [record.id for record in (*records, *again)]
    unit.enqueue("check_export", "export", asked[0], requests=asked, round=records[0].round)
    return records


def _rests_on(record: ExportRequest, others: Collection[str]) -> bool:
    return not set(others).isdisjoint((record.verdict or {}).get("beside", ()))


def _freeze(unit: Unit, record: ExportRequest) -> None:
    EXPORT.check(unit, record, "submit")
    record.frozen = fingerprint(unit, record)
    if record.frozen["artefact"] != record.frozen["declared"]:
        raise InvalidTransition(
            "export.artefact_damaged",
            Text("产品文件与登记的摘要不一致", "The product's file does not match its recorded digest"),
            fix=Text("请重新运行作业后再提交", "Run the job again and submit the new product"),
            id=record.id,
        )
    EXPORT.advance(unit, record, "submit", **record.frozen)


def begin_check(unit: Unit, request_id: str) -> ExportRequest:
    record = get(unit.session, request_id)
    EXPORT.advance(unit, record, "begin_check")
    return record


def in_check(unit: Unit, ids: Sequence[str]) -> list[str]:
    """Those that still wait for the machine; one that was withdrawn meanwhile does not."""
    return [one for one in ids if get(unit.session, one).state in ("frozen", "checking")]


def begin_checks(unit: Unit, ids: Sequence[str]) -> list[str]:
    """Begin the checks of what was submitted together, and say of which. Raises `InvalidTransition` where nothing of it
    waits any more."""
    return [begin_check(unit, one).id for one in in_check(unit, ids) or ids]


@dataclass(frozen=True, slots=True)
class Basis:
    """What a verdict rests on: the digest of the document kept about it, where a proof contradicted it, the digest of
    the file that was judged, and the requests of its group whose cells it was compared with."""

    digest: str
    mismatches: tuple[str, ...] = ()
    file: str | None = None
    beside: tuple[str, ...] = ()


def keep_basis(settings: Settings, document: Mapping[str, Any]) -> str:
    """Write what a verdict rests on, or what people may look at, under the digest of its bytes; the platform's only."""
    raw = json.dumps(document, ensure_ascii=False, sort_keys=True, default=str).encode()
    name = hashlib.sha256(raw).hexdigest()
    settings.evidence_root.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = settings.evidence_root / f".{new_id('part')}"
    part.touch(mode=0o600)
    part.write_bytes(raw)
    part.replace(settings.evidence_root / f"{name}.json")
    return name


KEPT = ("basis", "incident", "beside")
"""What a verdict carries besides what the rules said."""


def basis_of(unit: Unit, record: ExportRequest) -> dict[str, Any] | None:
    """The document the last verdict rests on, for officers and auditors; None where there was none, or it changed."""
    permissions.check(unit.actor, "export:evidence")
    return _kept(unit, str((record.verdict or {}).get("basis", "")))


def sight_of(unit: Unit, record: ExportRequest) -> dict[str, Any] | None:
    """What officers may look at of the file that was checked last (`sight.sight_of`); None where there is none."""
    return _kept(unit, str((basis_of(unit, record) or {}).get("sight", "")))


def _kept(unit: Unit, name: str) -> dict[str, Any] | None:
    path = unit.settings.evidence_root / f"{name}.json"
    raw = path.read_bytes() if name and path.is_file() else b""
    if hashlib.sha256(raw).hexdigest() != name:
        return None
    found: dict[str, Any] = json.loads(raw)
    return found


def _set_verdict(unit: Unit, record: ExportRequest, verdict: Verdict, basis: Basis | None) -> None:
    """Keep the verdict and its basis. A contradicted proof is an incident: our rewriting or the job is wrong."""
    kept = {"basis": basis.digest, "incident": list(basis.mismatches), "beside": list(basis.beside)} if basis else {}
    record.verdict = verdict.as_dict() | kept
    if basis and basis.file:
        record.frozen = {**(record.frozen or {}), "file": basis.file}
    if basis and basis.mismatches:
        unit.audit("export:incident", "export", record.id, places=list(basis.mismatches), basis=basis.digest)


def incidents(unit: Unit) -> list[ExportRequest]:
    """Requests whose last verdict is an incident, for those who run the platform."""
    permissions.check(unit.actor, "export:read")
    return [r for r in every(unit.session) if r.state == "blocked" and (r.verdict or {}).get("incident")]


def conclude_check(
    unit: Unit, request_id: str, verdict: Verdict, basis: Basis | None = None, stakes: Stakes | None = None
) -> ExportRequest:
    """Record the machine's verdict: block and error stop the request, pass and review go to people.

    `stakes` decides how many of them; without it two are asked.
    """
    record = get(unit.session, request_id)
    _set_verdict(unit, record, verdict, basis)
    record.stakes = stakes.as_dict() if stakes else None
    step = "block" if verdict.outcome in (Outcome.BLOCK, Outcome.ERROR) else "to_review"
    if step == "block":
        ledger.forget_pending(unit.session, record.id)
    EXPORT.advance(unit, record, step, outcome=verdict.outcome, edition=verdict.edition,
                   findings=sorted({f.rule for f in verdict.findings}))  # fmt: skip
    return record


@EXPORT.guard("verdict_in_force")
def _verdict_in_force(unit: Unit, record: ExportRequest) -> None:
    """The last verdict let it through under the very edition that is in force now."""
    last, edition = record.verdict or {}, editions.in_force(unit, "export")
    if last.get("outcome") not in (Outcome.PASS, Outcome.REVIEW) or last.get("digest") != edition.digest:
        raise InvalidTransition(
            "export.edition_changed",
            Text("核查结论不是按现行规则作出的，不能放行", "The verdict is not of the edition in force"),
            fix=Text("请运营人员重试放行任务，按现行规则复查", "An operator should retry the release job"),
            id=record.id,
        )


@EXPORT.guard("never_a_canary")
def _never_a_canary(unit: Unit, record: ExportRequest) -> None:
    if record.canary is not None:
        raise InvalidTransition("export.canary", Text("检验件永远不能放行", "A planted case is never released"),
                                id=record.id)  # fmt: skip


@EXPORT.guard("a_canary")
def _a_canary(unit: Unit, record: ExportRequest) -> None:
    if record.canary is None:
        raise InvalidTransition("export.no_canary", Text("这不是检验件", "This is no planted case"), id=record.id)


def reopens(unit: Unit, request_id: str, verdict: Verdict) -> list[str]:
    """Why the last check sends an approved request back to review: rules that found what nobody had before them, or
    `signers` where the edition in force asks for more officers than agreed. Empty: it may be released."""
    record = get(unit.session, request_id)
    found = rules.unseen(record.verdict, verdict.as_dict())
    wanted = reviewing.needed_for(unit, record, verdict.outcome).count
    return [*found, *(["signers"] if len(reviewing.signers(unit, record)) < wanted else [])]


def reopen(unit: Unit, request_id: str, verdict: Verdict, why: list[str], basis: Basis | None = None) -> ExportRequest:
    """Back to people with the new verdict: opinions on the old one count no more."""
    record = get(unit.session, request_id)
    _set_verdict(unit, record, verdict, basis)
    record.round += 1
    EXPORT.advance(unit, record, "reopen", outcome=verdict.outcome, edition=verdict.edition, new=why)
    return record


def release(unit: Unit, request_id: str, made: Release, entry: ledger.Entry, verdict: Verdict) -> Release:
    """Record the signed package, put its cells into the ledger and tell the departments, in one transaction.

    `verdict`: the last check's; it must be of the edition in force, let the product through, and have been seen.
    """
    record = get(unit.session, request_id)
    why = reopens(unit, request_id, verdict)
    record.verdict = verdict.as_dict() | {k: v for k, v in (record.verdict or {}).items() if k in KEPT}
    if why:
        raise InvalidTransition("export.reopens", Text("放行前复查有新情况，须重新复核", "It must be reviewed again"),
                                fix=Text("请重试放行任务", "Retry the release job"), id=record.id)  # fmt: skip
    EXPORT.advance(unit, record, "release", package=made.sha256, cells=len(entry.cells))
    unit.session.add(made)
    ledger.append(unit.session, record, entry)
    unit.session.flush()
    notices.tell_departments(unit, record, made)
    return made


def withhold(unit: Unit, request_id: str, verdict: Verdict, basis: Basis | None = None) -> ExportRequest:
    """The last check inside the release found something (another release came first): back to blocked."""
    record = get(unit.session, request_id)
    _set_verdict(unit, record, verdict, basis)
    EXPORT.advance(unit, record, "withhold", outcome=verdict.outcome)
    ledger.forget_pending(unit.session, record.id)
    return record


def recall(unit: Unit, request_id: str, reason: str) -> ExportRequest:
    """Stop further downloads; the cells stay in the ledger, because what was seen cannot be unseen."""
    record = get(unit.session, request_id)
    notices.carry_out_recall(unit, record, reason)
    return record


def expire_due(unit: Unit) -> list[str]:
    """End releases past their date; returns the request ids."""
    ended = [r.request_id for r in releases(unit.session) if r.expires_at <= unit.now]
    due = [r for r in (get(unit.session, i) for i in ended) if r.state == "released"]
    for record in due:
        EXPORT.advance(unit, record, "expire")
    return [r.id for r in due]


def withdraw(unit: Unit, request_id: str) -> ExportRequest:
    record = get(unit.session, request_id)
    EXPORT.advance(unit, record, "withdraw")
    ledger.forget_pending(unit.session, record.id)
    return record


def download(unit: Unit, request_id: str) -> Path:
    """The package of a released request, counted and audited.

    Raises when recalled, expired, over the limit, or asked for by a merchant that is suspended.
    """
    record = get(unit.session, request_id)
    permissions.check(unit.actor, "release:download", owner=record.organisation_id)
    made = release_of(unit.session, record.id)
    if made is None or record.state != "released":
        raise InvalidTransition("release.not_available", Text("该申请没有可下载的放行包", "There is no package"),
                                fix=Text("请查看申请状态", "Look at the request's state"), id=record.id)  # fmt: skip
    if made.expires_at <= unit.now:
        raise InvalidTransition("release.expired", Text("放行包已过期", "The package has expired"), id=record.id)
    if unit.actor.organisation_id == record.organisation_id:
        merchants.require_active(unit)
        unit.session.refresh(made, with_for_update=True)  # two downloads at once count as two
        if made.downloads >= made.download_limit:
            raise LimitExceeded(
                "release.downloads", Text("下载次数已用完", "The download limit is reached"), id=record.id
            )
        made.downloads += 1
    unit.audit("release:download", "export", record.id, package=made.sha256, count=made.downloads)
    return unit.settings.releases_root / made.sha256


def read(unit: Unit, request_id: str) -> ExportRequest:
    record = get(unit.session, request_id)
    permissions.check(unit.actor, "export:read", owner=record.organisation_id)
    if not visible(unit, record):
        raise permissions.out_of_reach("export:read")
    return record


def visible(unit: Unit, record: ExportRequest) -> bool:
    """Not others' drafts, and no planted case for the organisation whose name it carries."""
    own = record.organisation_id == unit.actor.organisation_id
    return not own if record.canary is not None else own or record.state != "draft"


def list_for(unit: Unit) -> list[ExportRequest]:
    permissions.check(unit.actor, "export:read")
    return [
        r for r in every(unit.session)
        if permissions.permitted(unit.actor, "export:read", owner=r.organisation_id)
        and visible(unit, r)
    ]  # fmt: skip
