"""仿真方案: what each column is simulated as and why, open questions, and an operator's answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter
from pydantic import Field

from api.deps import Acting
from api.routes.shapes import In, JobOut, Line, Out
from sandbox.catalog import plans, twins
from sandbox.catalog.plans import Plan, PlannedColumn
from sandbox.kernel.errors import NotFound
from sandbox.kernel.unit import Unit

router = APIRouter(tags=["catalogue"])


class PlannedColumnOut(Out):
    name: str
    type: str
    semantic: str = Field(examples=["person_name"], description="empty: an open question")
    open: bool
    by: str = Field(description="machine, declared, operator or default")
    rule: str = Field(examples=["PLAN-ENTITY"], description="the machine's rule, whoever decided")
    reason: dict[str, str]
    follows: dict[str, str] = Field(examples=[{"sex": "性别"}], description="columns of the same row it agrees with")
    choices: list[str] = Field(description="what it can be simulated as; `drop` leaves it out")
    learned: list[str] = Field(description="of these, what is learned from real values; none for an identifier")
    answered_by: str | None
    answered_at: datetime | None

    @classmethod
    def of(cls, one: PlannedColumn) -> Self:
        kept: dict[str, Any] = {
            k: one.entry[k] for k in ("name", "type", "rule", "reason", "follows", "choices", "learned")
        }
        return cls(
            **kept, semantic=one.semantic, open=one.open, by=one.by,
            answered_by=one.answer.answered_by if one.answer else None,
            answered_at=one.answer.answered_at if one.answer else None,
        )  # fmt: skip


class FieldPlanOut(Out):
    """The plan of the version that waits, else of the published one."""

    version: int
    questions: list[str] = Field(description="columns that keep simulated data from being made until answered")
    columns: list[PlannedColumnOut]

    @classmethod
    def from_plan(cls, plan: Plan) -> Self:
        columns = [PlannedColumnOut.of(c) for c in plan.columns]
        return cls(version=plan.version, questions=plan.questions, columns=columns)


class AnswersIn(In):
    answers: dict[Line, Annotated[str, Field(max_length=40)]] = Field(
        min_length=1, examples=[{"办件描述": "free_text"}],
        description="column → one of its choices; empty: back to what the machine makes of it",
    )  # fmt: skip


@router.get("/resources/{resource_id}/plan", summary="仿真方案 · The simulation plan")
def read(resource_id: str, unit: Annotated[Unit, Acting("resource:read")]) -> FieldPlanOut:
    """What each column is simulated as, by which rule, and which columns an operator has to say something about."""
    plan = plans.read(unit, resource_id)
    if plan is None:
        raise NotFound.of("plan", resource_id)
    return FieldPlanOut.from_plan(plan)


@router.put("/resources/{resource_id}/plan", summary="回答与更正 · Answer and correct")
def answer(resource_id: str, body: AnswersIn, unit: Annotated[Unit, Acting("plan:answer")]) -> FieldPlanOut:
    """All of the answers count or none; each is recorded with who gave it and when."""
    return FieldPlanOut.from_plan(plans.answer(unit, resource_id, body.answers))


@router.post("/resources/{resource_id}/plan/default", summary="其余按默认处理 · Default for the rest")
def take_default(resource_id: str, unit: Annotated[Unit, Acting("plan:answer")]) -> FieldPlanOut:
    """Every open question gets the default answer: new values of the column's shape. It is recorded as assumed."""
    return FieldPlanOut.from_plan(plans.take_default(unit, resource_id))


@router.post("/resources/{resource_id}/plan/regenerate", status_code=202, summary="按方案重新生成 · Make it again")
def regenerate(resource_id: str, unit: Annotated[Unit, Acting("simulated:generate")]) -> JobOut:
    return JobOut.model_validate(twins.ask(unit, resource_id))
