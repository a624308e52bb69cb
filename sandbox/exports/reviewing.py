"""Use cases of the people who review: votes on files, remarks, opinions, discussion, a third officer, looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select, union_all

from policies.text import Text
from sandbox.exports import ledger, repository
from sandbox.exports import review as rules
from sandbox.exports.model import EXPORT, REVIEWING, UNDER_REVIEW
from sandbox.exports.repository import Comment, ExportRequest, Look, Review, Vote
from sandbox.exports.review import Needed
from sandbox.kernel import accounts, editions, permissions
from sandbox.kernel.audit import AuditEvent
from sandbox.kernel.errors import BadInput, InvalidTransition, NotFound, NotPermitted
from sandbox.kernel.identity import SYSTEM, Role
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit
from sandbox.products.repository import Artefact, Run
from sandbox.workspaces.metering_record import QuotaRequest
from sandbox.workspaces.own_record import Upload


def needed_for(unit: Unit, record: ExportRequest, outcome: str | None = None) -> Needed:
    """How many officers must agree under the edition in force, and why: as many as any file of its group on its way
    or released asks for. `outcome`: of a check made just now, in place of the record's."""
    rule = editions.in_force(unit, "export").by_check("reviewers").parameters
    outcome = outcome or (record.verdict or {}).get("outcome")
    beside = [
        (r.stakes, (r.verdict or {}).get("outcome")) for r in repository.together(unit.session, record.group_id)
        if r.id != record.id and r.state not in rules.DROPPED
    ]  # fmt: skip
    return rules.needed_together([(record.stakes, outcome), *beside], rule)


def blind(unit: Unit, record: ExportRequest) -> bool:
    """Whether an opinion on a file of the group is outstanding: until then nobody learns what another one thinks."""
    return any(r.state in rules.BLIND for r in repository.together(unit.session, record.group_id))


def administrators(unit: Unit, record: ExportRequest) -> set[str]:
    """Accounts that froze or closed a workspace that a product of the group comes from, or decided its quotas or
    uploads."""
    files = select(ExportRequest.artefact_id).where(ExportRequest.group_id == record.group_id)
    workspace = select(Run.workspace_id).where(Run.id.in_(select(Artefact.run_id).where(Artefact.id.in_(files))))
    ids = union_all(
        workspace,
        select(QuotaRequest.id).where(QuotaRequest.workspace_id.in_(workspace)),
        select(Upload.id).where(Upload.workspace_id.in_(workspace)),
    )
    wanted = select(AuditEvent.actor_id).where(AuditEvent.object_id.in_(ids), AuditEvent.noun.in_(_ADMINISTERED))
    return set(unit.session.scalars(wanted.where(AuditEvent.role == Role.OPERATOR).distinct()))


_ADMINISTERED = ("workspace", "quota", "upload")


def may_review(unit: Unit, record: ExportRequest) -> Text | None:
    """Why this officer may not give an opinion now; None where they may."""
    if not permissions.permitted(unit.actor, "export:review"):
        return Text("只有合规人员复核", "Only compliance officers review")
    refused = rules.independent(unit.actor, record, administrators(unit, record))
    return refused or _turn(unit, record) or _unchecked(unit, record)


def _turn(unit: Unit, record: ExportRequest) -> Text | None:
    done = unit.actor.id in {r.reviewer_id for r in repository.reviews(unit.session, record.id, record.round)}
    if record.state == "discussion":
        return None if done else Text("讨论由已提交意见的两位人员进行", "The two who gave an opinion discuss")
    if not done:
        return None
    if record.state == "third_review":
        return Text("第三人须是另一位合规人员", "The third must be another officer")
    return Text("第二人复核必须由另一位合规人员办理", "The second review needs another officer")


@EXPORT.guard("reviewer_independent")
def _reviewer_independent(unit: Unit, record: ExportRequest) -> None:
    refused = rules.independent(unit.actor, record, administrators(unit, record))
    if refused is not None:
        raise NotPermitted("export.own_request", refused, fix=_ANOTHER, id=record.id)


@EXPORT.guard("reviewer_turn")
def _reviewer_turn(unit: Unit, record: ExportRequest) -> None:
    refused = _turn(unit, record)
    if refused is not None:
        raise NotPermitted("export.same_reviewer", refused, fix=_ANOTHER, id=record.id)


def _unchecked(unit: Unit, record: ExportRequest) -> Text | None:
    if any(r.state in ("frozen", "checking") for r in repository.together(unit.session, record.group_id)):
        return Text("同组文件的机器核查还没有结束", "The machine still checks a file of the group")
    return None


@EXPORT.guard("group_checked")
def _group_checked(unit: Unit, record: ExportRequest) -> None:
    """Files of a group are judged side by side: nobody decides on one before the machine is through with all."""
    refused = _unchecked(unit, record)
    if refused is not None:
        raise InvalidTransition("export.group_unchecked", refused, fix=_LATER, id=record.id)


_LATER = Text("请等核查结束后再提交意见", "Wait until the checks are over")
_ANOTHER = Text("请交给另一位合规人员", "Hand it to another officer")


def signers(unit: Unit, record: ExportRequest, decision: str = "approve") -> set[str]:
    """Officers whose present opinion of this round is `decision`."""
    found = repository.reviews(unit.session, record.id, record.round)
    return {r.reviewer_id for r in found if r.decision == decision}


@EXPORT.guard("signers_enough")
def _signers_enough(unit: Unit, record: ExportRequest) -> None:
    """As many different officers approve as the edition in force asks for, the one who acts now included."""
    _enough(unit, record, "approve")


@EXPORT.guard("refusers_enough")
def _refusers_enough(unit: Unit, record: ExportRequest) -> None:
    _enough(unit, record, "reject")


def _enough(unit: Unit, record: ExportRequest, decision: str) -> None:
    agreed = signers(unit, record, decision) | ({unit.actor.id} if unit.actor.role is Role.COMPLIANCE else set())
    wanted = needed_for(unit, record).count
    if len(agreed) < wanted:
        raise InvalidTransition(
            "export.signers", Text(f"还需要另一位合规人员复核：共需 {wanted} 人", f"{wanted} officers must agree"),
            fix=_ANOTHER, id=record.id,
        )  # fmt: skip


def vote(unit: Unit, request_id: str, artefact_id: str, choice: str) -> Vote:
    """Keep what this reviewer thinks of one file; nobody else reads it before the opinions are in."""
    record = repository.locked(unit.session, request_id)
    EXPORT.check(unit, record, "return")  # a reviewer, independent, in a state in which officers are asked
    _reviewer_turn(unit, record)
    if choice not in rules.VOTES or artefact_id != record.artefact_id:
        raise BadInput("export.vote", Text("请对申请中的文件选择同意、需修改或未定",
                                           "Vote approve, changes or undecided on a file of the request"))  # fmt: skip
    key = (record.id, record.round, unit.actor.id, artefact_id)
    kept = unit.session.get(Vote, key)
    if kept is None:
        kept = Vote(request_id=key[0], round=key[1], reviewer_id=key[2], artefact_id=key[3], vote=choice, at=unit.now)
        unit.session.add(kept)
    kept.vote, kept.at = choice, unit.now
    unit.session.flush()
    unit.audit("export:vote", "export", record.id, artefact=artefact_id, round=record.round)
    return kept


def own_votes(unit: Unit, record: ExportRequest) -> dict[str, str]:
    """File → this reviewer's vote in this round."""
    found = repository.votes(unit.session, record.id, record.round)
    return {v.artefact_id: v.vote for v in found if v.reviewer_id == unit.actor.id}


def review(unit: Unit, request_id: str, decision: str, reason: str = "") -> ExportRequest:
    """Submit an opinion: `approve`, `return` or `reject`. What the opinions come to is decided by `review.next_step`.

    Files without a vote take the opinion's. Raises `BadInput` for an approval against the own vote on a file.
    """
    record = repository.locked(unit.session, request_id)
    if decision not in rules.DECISIONS:
        raise BadInput("export.decision", Text("复核意见应为同意、退回或不予出域", "Decide approve, return or reject"))
    if decision not in rules.implied(own_votes(unit, record).values()):
        raise BadInput("export.votes", Text("还有文件未定或需修改，不能同意", "A file is undecided or to be changed"),
                       fix=Text("请先改为同意，或选择退回", "Vote for every file first, or return it"))  # fmt: skip
    if decision != "approve" and not reason.strip():
        raise BadInput("lifecycle.reason_missing", Text("退回或不予出域必须填写理由", "A reason is needed"),
                       fix=Text("请写明理由后重新提交", "Write the reason and submit again"))  # fmt: skip
    EXPORT.check(unit, record, "return")
    for guard in REVIEWING:
        EXPORT.guards[guard](unit, record)
    given = {r.reviewer_id: r.decision for r in repository.reviews(unit.session, record.id, record.round)}
    step = rules.next_step(record.state, given | {unit.actor.id: decision}, needed_for(unit, record).count)
    _move(unit, record, step, reason)
    _keep(unit, record, decision, reason)
    _conclude(unit, record)
    return record


def _move(unit: Unit, record: ExportRequest, step: str, reason: str) -> None:
    if step == "stay":
        unit.audit("export:opinion", "export", record.id, round=record.round)
        return
    said = reason if step in ("approve", "return", "reject") else ""
    EXPORT.advance(unit, record, step, reason=said or ("—" if step in ("return", "reject") else ""), round=record.round)


def _keep(unit: Unit, record: ExportRequest, decision: str, reason: str) -> None:
    own = [r for r in repository.reviews(unit.session, record.id, record.round) if r.reviewer_id == unit.actor.id]
    seen = rules.digest(record.verdict)
    if own:
        own[0].decision, own[0].reason, own[0].at, own[0].verdict = decision, reason, unit.now, seen
    else:
        unit.session.add(
            Review(id=new_id("rev"), request_id=record.id, round=record.round, reviewer_id=unit.actor.id,
                   decision=decision, reason=reason, at=unit.now, verdict=seen)
        )  # fmt: skip
    unit.session.flush()


def _conclude(unit: Unit, record: ExportRequest) -> None:
    """What follows from a conclusion: a release is asked for; a planted case ends; what goes back reserves nothing."""
    if record.state in ("returned", "rejected"):
        ledger.forget_pending(unit.session, record.id)
    if record.canary is not None and record.state in ("approved", "returned", "rejected"):
        EXPORT.advance(unit.acting_as(SYSTEM), record, "measure", canary=record.canary, concluded=record.state)
    elif record.state == "approved":
        unit.enqueue("release", "export", record.id, round=record.round)


def early_return(unit: Unit, request_id: str, reason: str) -> ExportRequest:
    """Send a request back before all opinions are in. Opinions and votes of this round count no more."""
    record = repository.locked(unit.session, request_id)
    EXPORT.advance(unit, record, "return", reason=reason, round=record.round, early=True)
    _keep(unit, record, "return", reason)
    _conclude(unit, record)
    return record


def call_third(unit: Unit, request_id: str, reason: str) -> ExportRequest:
    """One of the two who differ asks a third officer to decide."""
    record = repository.locked(unit.session, request_id)
    EXPORT.advance(unit, record, "call_third", reason=reason, round=record.round)
    return record


def comment(unit: Unit, request_id: str, text: str, audience: str) -> Comment:
    """A remark: an officer's to `officers` or to the `author`; the author's side answers to `author`."""
    record = repository.get(unit.session, request_id)
    permissions.check(unit.actor, "export:comment", owner=record.organisation_id)
    own = unit.actor.organisation_id == record.organisation_id
    if record.state == "draft" or (own and record.canary) or audience not in ("officers", "author"):
        raise BadInput("export.comment", Text("草稿不能留言；留言对象应为合规人员或申请人",
                                              "No remarks on drafts; write to officers or the author"))  # fmt: skip
    if not text.strip():
        raise BadInput("export.comment_empty", Text("请填写留言", "Write something"))
    made = Comment(
        id=new_id("com"), request_id=record.id, round=record.round, writer_id=unit.actor.id,
        organisation_id=unit.actor.organisation_id, audience="author" if own else audience, text=text.strip(),
        at=unit.now,
    )  # fmt: skip
    unit.session.add(made)
    unit.session.flush()
    unit.audit("export:comment", "export", record.id, audience=made.audience, round=record.round)
    return made


@dataclass(frozen=True, slots=True)
class Opinion:
    """An opinion as a reader may see it."""

    round: int
    name: str
    decision: str
    reason: str
    votes: Mapping[str, str]
    at: Any
    own: bool


def opinions(unit: Unit, record: ExportRequest) -> list[Opinion]:
    """The opinions this reader may see, oldest first: blind until all are in, none for merchants and operators."""
    found, hidden = [], blind(unit, record)
    for one in repository.reviews(unit.session, record.id):
        if rules.sees_opinion(unit.actor, record, one.round, one.reviewer_id, blind=hidden):
            cast = repository.votes(unit.session, record.id, one.round)
            mine = {v.artefact_id: v.vote for v in cast if v.reviewer_id == one.reviewer_id}
            found.append(Opinion(one.round, _name(unit, one.reviewer_id), one.decision, one.reason, mine, one.at,
                                 one.reviewer_id == unit.actor.id))  # fmt: skip
    return found


def comments(unit: Unit, record: ExportRequest) -> list[tuple[Comment, str | None]]:
    """The remarks this reader may see, with the writer's name (None: an officer, whose name authors do not learn)."""
    said, hidden = repository.comments(unit.session, record.id), blind(unit, record)
    seen = [c for c in said if rules.sees_comment(unit.actor, record, c, blind=hidden)]
    outside = unit.actor.organisation_id == record.organisation_id
    return [(c, None if outside and c.organisation_id != unit.actor.organisation_id else _name(unit, c.writer_id))
            for c in seen]  # fmt: skip


def progress(unit: Unit, record: ExportRequest) -> tuple[int, int]:
    """Opinions given in this round, and how many are asked for: a number says nothing about what they are."""
    given = len(repository.reviews(unit.session, record.id, record.round))
    return given, needed_for(unit, record).count + (record.state == "third_review")


def look(unit: Unit, request_id: str, reason: str) -> Look:
    """Open a request's content unmasked for a while; the reason is obligatory and the look is on record."""
    record = repository.get(unit.session, request_id)
    permissions.check(unit.actor, "export:evidence")
    if record.state == "draft":
        raise permissions.out_of_reach("export:evidence")
    if not reason.strip():
        raise BadInput("export.look_reason", Text("查看未遮盖内容必须填写理由", "A look needs a reason"),
                       fix=Text("请写明为什么需要看", "Write why you have to look"))  # fmt: skip
    minutes = editions.in_force(unit, "export").by_check("reviewers").parameters.look_minutes
    made = Look(id=new_id("loo"), request_id=record.id, officer_id=unit.actor.id, reason=reason.strip(), at=unit.now,
                until=unit.now + timedelta(minutes=minutes))  # fmt: skip
    unit.session.add(made)
    unit.session.flush()
    unit.audit("export:look", "export", record.id, reason=reason.strip(), minutes=minutes)
    return made


def looking_until(unit: Unit, record: ExportRequest) -> Any | None:
    """Until when this reader's open look lasts; None where content stays masked."""
    own = [one.until for one in repository.looks(unit.session, record.id) if one.officer_id == unit.actor.id]
    return max((until for until in own if until > unit.now), default=None)


def queue(unit: Unit) -> list[ExportRequest]:
    """What officers are asked about: nearest deadline first, then the riskiest."""
    from sandbox.kernel import clocks

    permissions.check(unit.actor, "export:evidence")
    due = {c.subject_id: c.due_on or "9999" for c in clocks.running(unit.session, "export")}
    found = repository.in_states(unit.session, UNDER_REVIEW)
    return sorted(found, key=lambda r: (due.get(r.id, "9999"), -rules.risk(r), r.created_at))


def _name(unit: Unit, account_id: str) -> str:
    account = unit.session.get(accounts.Account, account_id)
    if account is None:
        raise NotFound.of("account", account_id)
    return account.name


# ---- planted cases ----


def catches(unit: Unit) -> dict[str, Any]:
    """How reviewers did on planted cases: each officer's share of cases that they did not approve."""
    permissions.check(unit.actor, "canary:read")
    cases, seen, caught = [], Counter[str](), Counter[str]()
    for record in repository.every(unit.session):
        if record.canary is None:
            continue
        given = repository.reviews(unit.session, record.id)
        for one in given:
            seen[one.reviewer_id] += 1
            caught[one.reviewer_id] += one.decision != "approve"
        kept = [r for r in given if r.decision != "approve"]
        cases.append({"id": record.id, "case": record.canary, "rule": record.canary_rule, "state": record.state,
                      "planted_at": record.created_at, "opinions": len(given), "caught": bool(kept)})  # fmt: skip
    over = [c for c in cases if c["state"] == "measured"]
    officers = [{"officer": _name(unit, who), "cases": n, "caught": caught[who]} for who, n in sorted(seen.items())]
    unit.audit("canary:read", "canary", "all", cases=len(cases))
    return {"planted": len(cases), "over": len(over), "caught": sum(c["caught"] for c in over), "cases": cases,
            "officers": officers}  # fmt: skip
