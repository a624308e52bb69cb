"""主体与角色 on the resource's page: whose records its rows are, how far they bear it out, and what its columns are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Form, Request, Response

from api.deps import Acting
from api.pages import common, frame, inputs
from api.pages.grading import LOWERING_STEPS
from api.pages.views import Choice, Label
from api.pages.words import text
from api.pages.words_subjects import PERTURBATIONS, ROLE_HELP, ROLES, kind_words
from policies.text import Text
from sandbox.catalog import repository, subjects
from sandbox.catalog.entityfacts import WEAKENINGS, EntityFact, Facts, Weakening, weakened
from sandbox.catalog.model import LOWERING
from sandbox.catalog.repository import Lowering, Resource
from sandbox.catalog.subjects import Standing
from sandbox.kernel import accounts, permissions
from sandbox.kernel.lifecycle import Offer
from sandbox.kernel.unit import Unit

FIELDS = ("kind", "column", "determined", "holding", "most", "other", "other_key", "other_owner")
router = frame.page_router()
Typed = Annotated[str, Form()]


@dataclass(frozen=True, slots=True)
class Failure:
    text: Text
    fix: Text


@dataclass(frozen=True, slots=True)
class KindRow:
    """One kind of entity as declared, with what the verification found; `checked` is None before there was one."""

    kind: str
    name: Label
    fact: EntityFact
    checked: dict[str, Any] | None
    failures: list[Failure]
    notes: list[Text]
    share: str
    most: str


@dataclass(frozen=True, slots=True)
class Proposal:
    said: Text
    fields: dict[str, str]


def subjects_tab(request: Request, unit: Unit, resource: Resource) -> dict[str, Any]:
    """What the tab needs; `?kind=` names the entity that the form begins with."""
    standing = subjects.read(unit, resource.id)
    may = permissions.permitted(unit.actor, "resource:declare", owner=resource.organisation_id)
    chosen = request.query_params.get("kind", "")
    fact = standing.facts.entities.get(chosen)
    columns = [Choice(c.name, c.name) for c in standing.columns]
    return {
        "waiting": _waiting(unit, resource), "check": standing.check,
        "kinds": [_kind(standing, k, f) for k, f in standing.facts.entities.items()],
        "columns": standing.columns, "determining": standing.facts.key_columns,
        "roles": ROLES, "modes": PERTURBATIONS, "may": may and bool(columns),
        "proposals": [_proposal(p) for p in standing.check.proposals] if standing.check and may else [],
        "typed": _typed(chosen, fact), "column_choices": columns, "other": bool(fact and fact.through),
        "optional_columns": [Choice("", text("fact.none")), *columns],
        "role_choices": [Choice("", text("subject.as_grade")), *(Choice(r, ROLES[r], ROLE_HELP[r]) for r in ROLES)],
        "mode_choices": [Choice("", text("subject.as_grade")), *(Choice(m, PERTURBATIONS[m]) for m in PERTURBATIONS)],
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request to protect the table less, with what it takes away and what this person may do about it."""

    request: Lowering
    said: list[Text]
    author: str
    offers: list[Offer]


def _waiting(unit: Unit, resource: Resource) -> Waiting | None:
    found = subjects.waiting(unit.session, resource.id)
    if found is None:
        return None
    columns = repository.columns(unit.session, resource.id, found.version)
    taken = weakened(Facts.of(found.before), Facts.of(found.after), columns)
    author = unit.session.get(accounts.Account, found.author_id)
    offers = common.offers(unit, LOWERING, found, LOWERING_STEPS)
    return Waiting(found, [_less(one) for one in taken], author.name if author else found.author_id, offers)


def _less(taken: Weakening) -> Text:
    named, said = dict(taken.named), WEAKENINGS[taken.code]
    if taken.code == "role":
        before, after = ROLES[named["before"]], ROLES[named["after"]]
        return Text(f"{said.zh}：{before.zh} → {after.zh}", f"{said.en}: {before.en} → {after.en}").fill(**named)
    kind = kind_words(named["kind"])
    return Text(said.zh.format(**named | {"kind": kind.zh}), said.en.format(**named | {"kind": kind.en}))


def _kind(standing: Standing, kind: str, fact: EntityFact) -> KindRow:
    found = (standing.check.kinds if standing.check else {}).get(kind)
    failures = [Failure(*subjects.words_of(f)) for f in found["failures"]] if found else []
    shared = [(n["count"], kind_words(n["kind"]).zh) for n in found["notes"]] if found else []
    notes = [text("subject.shared", count=count, kind=name) for count, name in shared]
    share = _percent(found["missing"] / found["rows"]) if found and found["rows"] else "0"
    return KindRow(kind, kind_words(kind), fact, found, failures, notes, share, _percent(fact.missing_share_max))


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".")


def _proposal(found: dict[str, Any]) -> Proposal:
    kind, named = kind_words(found["kind"]), {"column": found["column"], "resource": found.get("resource", "")}
    said = text(f"subject.offer_{found['why']}", **named, kind="{kind}")
    fields = {"kind": found["kind"], "column": found["column"], "domain": found.get("domain", "")}
    return Proposal(Text(said.zh.replace("{kind}", kind.zh), said.en.replace("{kind}", kind.en)), fields)


def _typed(kind: str, fact: EntityFact | None) -> dict[str, str]:
    """The form as it begins: a declared fact, or nothing."""
    if fact is None:
        return dict.fromkeys(FIELDS, "") | {"kind": kind, "most": "100"}
    through = fact.through.model_dump() if fact.through else {}
    return {
        "kind": kind, "column": fact.column, "holding": fact.holding or "", "most": _percent(fact.missing_share_max),
        "determined": "\n".join(f"{c}：{d}" for c, d in fact.determined_by.items()),
        "other": through.get("resource", ""), "other_key": through.get("key", ""),
        "other_owner": through.get("owner", ""),
    }  # fmt: skip


@router.post("/resources/{resource_id}/subjects")
def declare(
    request: Request, resource_id: str, unit: Annotated[Unit, Acting("resource:declare")], kind: Typed = "",
    column: Typed = "", determined: Typed = "", holding: Typed = "", most: Typed = "100", other: Typed = "",
    other_key: Typed = "", other_owner: Typed = "", reason: Typed = "", step: Typed = "save",
) -> Response:  # fmt: skip
    """Declares one kind of entity, or (step `remove`) declares it no longer; a job verifies it over every row."""
    facts = subjects.read(unit, resource_id).facts
    entities = {k: f for k, f in facts.stored()["entities"].items() if k != kind.strip()}
    if step != "remove":
        through = {"resource": other.strip(), "key": other_key.strip(), "owner": other_owner.strip()}
        entities[kind.strip()] = {
            "column": column, "determined_by": _lines(determined), "missing_share_max": _share(most),
            "holding": holding or None, "through": through if any(through.values()) else None,
        }  # fmt: skip
    return _declared(unit, resource_id, entities, facts.stored()["columns"], reason)


@router.post("/resources/{resource_id}/subjects/proposals")
def accept(
    request: Request, resource_id: str, unit: Annotated[Unit, Acting("resource:declare")], kind: Typed = "",
    column: Typed = "", domain: Typed = "",
) -> Response:  # fmt: skip
    """The department agrees with a proposal: a further determining column (with its domain), or a key column."""
    facts = subjects.read(unit, resource_id).facts
    entities = facts.stored()["entities"]
    if domain and kind in entities:
        entities[kind]["determined_by"][column] = domain
    else:
        entities[kind] = {"column": column}
    reason = text("subject.accepted").zh
    return _declared(unit, resource_id, entities, facts.stored()["columns"], reason)


@router.post("/resources/{resource_id}/subjects/columns")
def correct(
    request: Request, resource_id: str, unit: Annotated[Unit, Acting("resource:declare")], column: Typed = "",
    role: Typed = "", perturb: Typed = "", reason: Typed = "",
) -> Response:  # fmt: skip
    """Corrects what one column is to the proofs; with neither role nor perturbation its grade decides again."""
    facts = subjects.read(unit, resource_id).facts
    columns = {n: f for n, f in facts.stored()["columns"].items() if n != column}
    if role or perturb:
        columns[column] = {"role": role or None, "perturb": perturb or None, "reason": reason.strip()}
    return _declared(unit, resource_id, facts.stored()["entities"], columns, reason)


def _declared(
    unit: Unit, resource_id: str, entities: dict[str, Any], columns: dict[str, Any], reason: str
) -> Response:
    asked = subjects.declare(unit, resource_id, Facts.read({"entities": entities, "columns": columns}), reason)
    return frame.go(f"/resources/{resource_id}?tab=subjects", "lowering:request" if asked else "resource:subjects")


def _lines(typed: str) -> dict[str, str]:
    """Lines "列名：值域". Raises `FormProblem` for a line without both."""
    found: dict[str, str] = {}
    for number, line in enumerate(typed.splitlines(), start=1):
        column, _, domain = line.replace(":", "：", 1).partition("：")
        if line.strip() and not (column.strip() and domain.strip()):
            raise inputs.FormProblem({"determined": text("subject.determined_line", line=number)})
        if line.strip():
            found[column.strip()] = domain.strip()
    return found


def _share(typed: str) -> float:
    """A percentage as a share. Raises `FormProblem` for what is none."""
    try:
        share = float(typed) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise inputs.FormProblem({"most": text("subject.most_bad")})
    return share
