"""Several files asked for in one act: submitted, voted on, decided, sent back and withdrawn together or in part.

Every file keeps its own bytes, verdict, votes, opinions and release. What is asked per group (how many officers, who
may not be one, when opinions are blind, how much may leave) is asked in `reviewing` and by the rules; here is what one
act does to several files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from policies.text import Text
from policies.verdict import Outcome
from sandbox.exports import batches, drafting, repository, review, reviewing, service
from sandbox.exports.model import EXPORT, UNDER_REVIEW
from sandbox.exports.repository import ExportRequest
from sandbox.exports.review import COVERED, words_for
from sandbox.kernel import clocks, permissions
from sandbox.kernel.errors import BadInput, InvalidTransition
from sandbox.kernel.unit import Unit


@dataclass(frozen=True, slots=True)
class Opinion:
    """What an officer thinks of one file; without words of its own it takes those of the act."""

    decision: str
    reason: str = ""


def read(unit: Unit, group_id: str) -> list[ExportRequest]:
    """The files of a group that this reader may see, in their order. Raises `NotFound`, and as out of reach where
    there are none."""
    group = repository.group(unit.session, group_id)
    permissions.check(unit.actor, "export:read", owner=group.organisation_id)
    found = [r for r in repository.together(unit.session, group.id) if service.visible(unit, r)]
    if not found:
        raise permissions.out_of_reach("export:read")
    return found


def submit(unit: Unit, group_id: str) -> list[ExportRequest]:
    """Freeze the group's drafts and hand them to the machine together."""
    found = _in(unit, group_id, ("draft",), "export:submit")
    service.submit_together(unit, found)
    return found


def withdraw(unit: Unit, group_id: str) -> list[ExportRequest]:
    """Take back whatever of the group can be taken back."""
    found = _in(unit, group_id, EXPORT.transition("withdraw").sources, "export:withdraw")
    return [service.withdraw(unit, record.id) for record in found]


def _in(unit: Unit, group_id: str, states: Collection[str], action: str) -> list[ExportRequest]:
    """The files of the own group in one of `states`. Raises `InvalidTransition` where there are none."""
    group = repository.group(unit.session, group_id)
    permissions.check(unit.actor, action, owner=group.organisation_id)
    found = [r for r in repository.together(unit.session, group.id) if r.state in states]
    if not found:
        raise InvalidTransition(
            "group.state", Text("组内没有处于可办理状态的文件", "No file of the group is in a state for this"),
            fix=Text("请刷新页面查看最新状态", "Reload the page to see the present state"), id=group.id,
        )  # fmt: skip
    return found


def _chosen(unit: Unit, group_id: str, ids: Collection[str]) -> list[ExportRequest]:
    """Files of the group by id, locked, in their order. Raises `BadInput` for none, and for one that is elsewhere."""
    known = {r.id for r in read(unit, group_id)}
    if not ids or not known.issuperset(ids):
        raise BadInput("group.files", Text("请选择本组的文件", "Choose files of this group"), id=group_id)
    return sorted(repository.locked_all(unit.session, ids), key=lambda r: r.number)


def vote(unit: Unit, group_id: str, votes: Mapping[str, str]) -> None:
    """Keep this reviewer's votes on files (request → vote), all or none."""
    for record in _chosen(unit, group_id, votes):
        reviewing.vote(unit, record.id, record.artefact_id, votes[record.id])


def decide(
    unit: Unit, group_id: str, opinions: Mapping[str, Opinion], reason: str = ""
) -> list[ExportRequest]:  # fmt: skip
    """Give an opinion on each of the files named, on all or on none. `reason`: for those without words of their own.

    Raises `BadInput` for an approval without words of its own where the machine left something to people, and
    `InvalidTransition` where the officer has not opened a file.
    """
    permissions.check(unit.actor, "export:review")
    records = _chosen(unit, group_id, opinions)
    for record in records:
        _require_own_words(record, opinions[record.id])
    seen = batches.opened(unit, records)
    if unseen := [r.id for r in records if r.id not in seen]:
        raise InvalidTransition(
            "group.unseen", Text(f"还有 {len(unseen)} 个文件没有打开看过", f"{len(unseen)} files were not opened"),
            fix=Text("请先打开查看，再提交意见", "Open them first"), ids=unseen,
        )  # fmt: skip
    given = [(record.id, opinions[record.id]) for record in records]
    return [reviewing.review(unit, one, said.decision, said.reason.strip() or reason) for one, said in given]


def _require_own_words(record: ExportRequest, said: Opinion) -> None:
    flagged = (record.verdict or {}).get("outcome") != Outcome.PASS
    if said.decision == "approve" and flagged and not said.reason.strip():
        raise BadInput(
            "group.flagged", Text("机器转人工的文件，同意时须逐件写明理由",
                                  "What the machine left to people is approved with words of its own"),
            fix=Text("请在该文件下写明理由", "Write the grounds below that file"), id=record.id,
        )  # fmt: skip


def early_return(unit: Unit, group_id: str, ids: Sequence[str], reason: str) -> list[ExportRequest]:
    """Send chosen files back before all opinions are in; with no `ids` every file of the group under review."""
    permissions.check(unit.actor, "export:review")
    waiting = ids or [r.id for r in read(unit, group_id) if r.state in UNDER_REVIEW]
    return [reviewing.early_return(unit, record.id, reason) for record in _chosen(unit, group_id, waiting)]


@dataclass(frozen=True, slots=True)
class Line:
    """A group in the queue: its files that wait for officers. `due_on`: the earliest of their days, ISO; None where
    none is known. `risk`: the highest of theirs."""

    group_id: str
    files: tuple[ExportRequest, ...]
    due_on: str | None
    risk: int

    @property
    def first(self) -> ExportRequest:
        """The file whose day or risk put the group where it stands."""
        return self.files[0]


_NEVER = "9999"
"""sorts after every day"""


def queue(unit: Unit) -> list[Line]:
    """What officers are asked about, a line for each group: nearest deadline first, then the riskiest."""
    due = {c.subject_id: c.due_on for c in clocks.running(unit.session, "export") if c.due_on}
    found: dict[str, list[ExportRequest]] = {}
    for record in reviewing.queue(unit):  # in this order: what comes first in a group decides where the group stands
        found.setdefault(record.group_id, []).append(record)
    lines = [
        Line(name, tuple(files), min((due[r.id] for r in files if r.id in due), default=None),
             max(review.risk(r) for r in files))
        for name, files in found.items()
    ]  # fmt: skip
    return sorted(lines, key=lambda line: (line.due_on or _NEVER, -line.risk, line.first.created_at))


def context_for(unit: Unit, records: Sequence[ExportRequest]) -> dict[str, str | Text]:
    """Purpose, population and controls as this reader may read them: covered where the check of any file says so."""
    said = [words_for(unit.actor, record) for record in records]
    return {key: next((one[key] for one in said if one[key] is COVERED), said[0][key]) for key in drafting.CONTEXT}
