"""主体与角色: whose records a table holds and what its columns are, declared, verified, proposed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from api.deps import Acting
from api.routes.shapes import In, Out, Prose
from sandbox.catalog import subjects
from sandbox.catalog.entityfacts import Facts
from sandbox.catalog.subjects import Standing, words_of
from sandbox.kernel.unit import Unit

router = APIRouter(tags=["catalogue"])


class SubjectsIn(In):
    entities: dict[str, Any] = Field(
        default_factory=dict, description="kind → key column, what determines it, where else it is known",
        examples=[
            {"person": {"column": "身份证号", "determined_by": {"就诊流水号": "就诊"}, "missing_share_max": 0.02}}
        ],
    )  # fmt: skip
    columns: dict[str, Any] = Field(
        default_factory=dict, description="column → what differs from its grade, and why",
        examples=[{"科室": {"role": "open", "reason": "机构公开信息"}}],
    )  # fmt: skip
    reason: Prose = Field(examples=["按登记表填写"])


class ColumnRoleOut(Out):
    name: str
    role: str
    perturb: str
    by_grade: str
    corrected: bool


class SubjectCheckOut(Out):
    """What the verification over all rows found: names, counts and masked values."""

    at: datetime
    rows: int
    holds: bool
    kinds: dict[str, Any]


class SubjectsOut(Out):
    resource_id: str
    version: int | None = Field(description="the version people work on: the one that waits, else the published one")
    entities: dict[str, Any]
    columns: list[ColumnRoleOut]
    check: SubjectCheckOut | None = Field(description="none: not verified over these rows, so not used")
    failures: list[dict[str, Any]] = Field(description="what the rows do not bear out, and what to do")
    proposals: list[dict[str, Any]]
    waiting: str | None = Field(description="the lowering that a second person has to decide on; nothing of it counts")

    @classmethod
    def of(cls, unit: Unit, standing: Standing) -> SubjectsOut:
        check = standing.check
        kinds = check.kinds if check else {}
        asked = subjects.waiting(unit.session, standing.resource.id)
        failed = [(kind, failure) for kind, one in kinds.items() for failure in one["failures"]]
        said = [(kind, failure["code"], *words_of(failure)) for kind, failure in failed]
        return cls(
            resource_id=standing.resource.id, version=standing.version, entities=standing.facts.stored()["entities"],
            columns=[
                ColumnRoleOut(name=c.name, role=c.role, perturb=c.perturb, by_grade=c.by_grade,
                              corrected=c.said is not None)
                for c in standing.columns
            ],
            check=SubjectCheckOut(at=check.at, rows=check.rows, holds=check.holds, kinds=kinds) if check else None,
            failures=[{"kind": k, "code": c, "text": t.as_dict(), "fix": f.as_dict()} for k, c, t, f in said],
            proposals=list(check.proposals) if check else [], waiting=asked.id if asked else None,
        )  # fmt: skip


@router.get("/resources/{resource_id}/subjects", summary="主体与角色 · Entities and roles of a table")
def read(resource_id: str, unit: Annotated[Unit, Acting("resource:read")]) -> SubjectsOut:
    return SubjectsOut.of(unit, subjects.read(unit, resource_id))


@router.post("/resources/{resource_id}/subjects", summary="声明主体与角色 · Declare entities and roles")
def declare(resource_id: str, body: SubjectsIn, unit: Annotated[Unit, Acting("resource:declare")]) -> SubjectsOut:
    """Replaces everything declared before; a job verifies it over every row, and nothing is used until it holds.

    What protects less than before waits for a second person (`waiting`, decided under /lowerings) and changes nothing.
    """
    facts = Facts.read({"entities": body.entities, "columns": body.columns})
    subjects.declare(unit, resource_id, facts, body.reason)
    return SubjectsOut.of(unit, subjects.read(unit, resource_id))
