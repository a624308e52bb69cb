"""Planted cases: a known leak put into the live queue to measure reviewers. It can never be released."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from policies.text import Text
from policies.verdict import Outcome, Verdict
from sandbox.exports import drafting, repository, service
from sandbox.exports.contents import read_all
from sandbox.exports.repository import ExportRequest
from sandbox.exports.review import Stakes
from sandbox.exports.service import Basis
from sandbox.exports.sight import sight_of
from sandbox.exports.subject import ExportFile, bounds_of
from sandbox.kernel import editions, permissions
from sandbox.kernel.errors import BadInput
from sandbox.kernel.identity import SYSTEM
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit
from sandbox.products import repository as products
from sandbox.products.repository import Artefact


@dataclass(frozen=True, slots=True)
class Leak:
    """A file with a known leak: what the corpus calls it, and the rule that a reviewer should think of."""

    case: str
    rule: str
    name: str
    content: bytes


def plant(unit: Unit, leak: Leak, *, like: str, verdict: Verdict, stakes: Stakes) -> ExportRequest:
    """Put `leak` into the queue under the looks of the request `like`.

    `verdict` and `stakes`: what the reviewers shall see of the machine. Merchants never see it, whoever's name it
    carries. Raises `BadInput` where `like` is itself planted or was never submitted, or no rule has such an id.
    """
    permissions.check(unit.actor, "canary:plant")
    model = repository.get(unit.session, like)
    if model.canary is not None or model.state == "draft":
        raise BadInput("canary.like", Text("请选择一件已提交的真实申请作为样子", "Name a real, submitted request"))
    if verdict.outcome not in (Outcome.PASS, Outcome.REVIEW):
        raise BadInput("canary.blocked", Text("机器已拦截的不用来检验人", "What the machine blocks measures nobody"))
    if leak.rule not in {rule.id for rule in editions.in_force(unit, "export").rules}:
        raise BadInput("canary.rule", Text(f"没有规则 {leak.rule}", f"no rule is called {leak.rule}"),
                       fix=Text("请写现行出域规则的编号", "Name a rule of the export edition in force"))  # fmt: skip
    artefact = _artefact(unit, model, leak)
    alone = drafting.new_group(unit, application_id=model.application_id, organisation_id=model.organisation_id,
                              author_id=model.author_id, context=model.context)  # fmt: skip
    record = ExportRequest(
        id=new_id("exp"), organisation_id=model.organisation_id, state="checking", state_since=unit.now,
        created_at=unit.now, application_id=model.application_id, artefact_id=artefact.id, title=model.title,
        remark=model.remark, audience=model.audience, author_id=model.author_id, group_id=alone.id, number=1,
        frozen=None, verdict=None, stakes=None, round=1, canary=leak.case,
        canary_rule=leak.rule,
    )  # fmt: skip
    unit.session.add(record)
    unit.session.flush()
    record.frozen = service.fingerprint(unit, record)
    unit.audit("canary:plant", "canary", record.id, case=leak.case, rule=leak.rule, artefact=artefact.sha256)
    return service.conclude_check(unit.acting_as(SYSTEM), record.id, verdict, _basis(unit, leak), stakes)


def _basis(unit: Unit, leak: Leak) -> Basis:
    """What officers may look at of the file, as of any other that no evidence can be derived for."""
    edition: Any = editions.in_force(unit, "export")
    contents = read_all([ExportFile(leak.name, leak.content)], bounds_of(edition))
    shown = service.keep_basis(unit.settings, sight_of(contents, frozenset()))
    return Basis(service.keep_basis(unit.settings, {"summary": None, "record": None, "sight": shown}))


def _artefact(unit: Unit, model: ExportRequest, leak: Leak) -> Artefact:
    """The file under the model's run; it belongs to the platform, so that no merchant lists it."""
    original = products.artefact(unit.session, model.artefact_id)
    digest = service.keep_file(unit.settings, leak.content)
    made = Artefact(
        id=new_id("art"), organisation_id=SYSTEM.organisation_id, run_id=original.run_id, name=leak.name,
        sha256=digest, bytes=len(leak.content),
        rows=leak.content.count(b"\n"), columns=list(original.columns), lineage={},
        created_at=unit.now,
    )  # fmt: skip
    unit.session.add(made)
    unit.session.flush()
    return made

