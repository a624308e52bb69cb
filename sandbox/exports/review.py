"""Review as pure rules: how many officers and why, what their opinions come to, who may read which remark."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from policies.text import Text
from policies.verdict import Outcome
from sandbox.exports.model import UNDER_REVIEW
from sandbox.kernel.identity import Role

if TYPE_CHECKING:
    from policies.schema.people import Reviewers
    from sandbox.exports.repository import Comment, ExportRequest
    from sandbox.kernel.identity import Actor

Decision = Literal["approve", "return", "reject"]
DECISIONS = ("approve", "return", "reject")
VOTES = ("approve", "changes", "undecided")
MODELS = (".onnx", ".pmml")
"""Suffixes of files that are models; any other form of a model is no file type that may leave."""
BLIND = ("in_review", "second_review")
"""States in which no reviewer learns what another one thinks."""

DROPPED = ("draft", "blocked", "returned", "rejected", "withdrawn", "measured")
"""States in which a file is not on its way out and has not left."""

REASONS: dict[str, Text] = {
    "level": Text("输入数据级别较高", "the inputs have a high level"),
    "form": Text("逐条数据", "record-level data"),
    "model": Text("含模型文件", "holds a model"),
    "flag": Text("机器转人工的事项", "the machine left something to people"),
    "volume": Text("数据量超过限额的一定比例", "a large part of the volume allowed"),
    "unknown": Text("有关事实未能确定", "facts about it could not be established"),
}
"""Why a second officer is needed, in words."""


@dataclass(frozen=True, slots=True)
class Stakes:
    """What is at stake with a request. None: could not be established, which asks for two officers.

    `level`: highest of the inputs (1–4); `volume_percent`: rows in percent of the cap, with those released before.
    """

    form: str
    level: int | None
    model: bool
    volume_percent: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Needed:
    """How many different officers must agree, and the codes of the reasons for more than the ordinary number."""

    count: int
    reasons: tuple[str, ...]

    @property
    def words(self) -> list[Text]:
        return [REASONS[code] for code in self.reasons]


def needed(stakes: Mapping[str, Any] | None, outcome: str | None, rule: Reviewers) -> Needed:
    """How many officers a request needs under `rule`; whatever is not known asks for two."""
    if stakes is None or outcome is None:
        return Needed(2, ("unknown",))
    known = Stakes(**stakes)
    found = {
        "unknown": known.level is None or known.volume_percent is None,
        "level": known.level is not None and known.level >= rule.two_from_level,
        "form": known.form in rule.two_for_forms,
        "model": known.model,
        "flag": outcome != Outcome.PASS,
        "volume": known.volume_percent is not None and known.volume_percent > rule.two_above_volume_percent,
    }
    reasons = tuple(code for code, holds in found.items() if holds)
    return Needed(2 if reasons else rule.ordinary, reasons)


def needed_together(
    files: Iterable[tuple[Mapping[str, Any] | None, str | None]], rule: Reviewers
) -> Needed:  # fmt: skip
    """How many officers each file (stakes, outcome) of a group needs: what one of them asks for, all of them need."""
    found = [needed(stakes, outcome, rule) for stakes, outcome in files]
    named = {code for one in found for code in one.reasons}
    return Needed(max(one.count for one in found), tuple(code for code in REASONS if code in named))


Step = Literal["first_opinion", "approve", "return", "reject", "disagree", "stay"]


def next_step(state: str, opinions: Mapping[str, str], count: int) -> Step:
    """What the opinions of a round (reviewer → decision) come to where `count` officers must agree.

    A third officer decides by majority; three different opinions go back to the author, which releases nothing.
    """
    tally = Counter(opinions.values())
    if state == "third_review":
        decision, times = tally.most_common(1)[0]
        return _step(decision) if times >= count else "return"
    if len(opinions) < count:
        return "first_opinion"
    if len(tally) == 1:
        return _step(next(iter(tally)))
    return "stay" if state == "discussion" else "disagree"


def _step(decision: str) -> Step:
    return {"approve": "approve", "return": "return", "reject": "reject"}[decision]  # type: ignore[return-value]


def implied(votes: Collection[str]) -> set[str]:
    """The decisions that votes on files allow: nothing is approved while a file is to be changed or undecided."""
    if not votes or set(votes) <= {"approve"}:
        return set(DECISIONS)
    return {"return", "reject"}


def independent(actor: Actor, record: ExportRequest, administrators: Collection[str]) -> Text | None:
    """Why `actor` may not review this request; None where nothing stands against it."""
    if actor.id == record.author_id or actor.organisation_id == record.organisation_id:
        return Text("不能复核本人或本单位的申请", "Nobody reviews their own request")
    if actor.id in administrators:
        return Text("办理过该开发空间管理事项的人员须回避", "Whoever administered that workspace does not review")
    return None


def sees_opinion(actor: Actor, record: ExportRequest, round_number: int, reviewer_id: str, *, blind: bool) -> bool:
    """Whether `actor` may read the opinion (and its writer) of a round. `blind`: an opinion on a file of the group is
    still outstanding."""
    if actor.role is Role.AUDITOR or reviewer_id == actor.id:
        return True
    if actor.role is not Role.COMPLIANCE:
        return False
    return round_number < record.round or not blind


def sees_comment(actor: Actor, record: ExportRequest, comment: Comment, *, blind: bool) -> bool:
    """Whether `actor` may read a remark.

    The author reads what is meant for the author, once the officers are done with the round; officers read one
    another's remarks once no opinion is outstanding; what the author's side writes every reader of the request sees.
    """
    if actor.organisation_id == record.organisation_id:
        over = comment.round < record.round or record.state not in UNDER_REVIEW
        return comment.organisation_id == actor.organisation_id or (comment.audience == "author" and over)
    if actor.role not in (Role.COMPLIANCE, Role.AUDITOR):
        return False
    return comment.organisation_id == record.organisation_id or sees_opinion(
        actor, record, comment.round, comment.writer_id, blind=blind
    )


COVERED = Text("〔可能含个人信息，已遮盖〕", "[may hold personal data, masked]")
WORDS = ("title", "remark", "purpose", "population", "controls")
"""What the author types about a product; the machine looks for personal data in all of it."""


def words_for(actor: Actor, record: ExportRequest) -> dict[str, str | Text]:
    """The author's words as `actor` may read them: others see only what the machine has looked through and found clean.

    A merchant's text may hold a citizen's number, and a refused request stays in everybody's lists.
    """
    said = {"title": record.title, "remark": record.remark, **{key: record.context.get(key, "") for key in WORDS[2:]}}
    if actor.organisation_id == record.organisation_id:
        return dict(said)
    verdict = record.verdict or {"outcome": Outcome.ERROR}
    bad = {f["place"].removeprefix("request#").partition(";")[0] for f in verdict.get("findings", ())}
    unread = verdict["outcome"] == Outcome.ERROR
    return {key: COVERED if text and (unread or key in bad) else text for key, text in said.items()}


def digest(verdict: Mapping[str, Any] | None) -> str:
    """What names a verdict: an opinion says which one it was given on."""
    return hashlib.sha256(json.dumps(verdict, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def unseen(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """Rules that find something now and did not in the verdict the reviewers had before them."""
    seen = {f["rule"] for f in (before or {}).get("findings", ())}
    return sorted({f["rule"] for f in now["findings"]} - seen)


def risk(record: ExportRequest) -> int:
    """0–100: what to look at first among requests that are due on the same day."""
    verdict, stakes = record.verdict or {}, record.stakes or {}
    flags = len({f["rule"] for f in verdict.get("findings", ())})
    level = stakes.get("level") or 4
    parts = (
        10 * level, min(24, 8 * flags), 16 if stakes.get("form") != "aggregate" else 0,
        10 if record.audience == "public" else 0, min(10, int((stakes.get("volume_percent") or 100) / 10)),
    )  # fmt: skip
    return min(100, sum(parts))
