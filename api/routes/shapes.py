"""What the API takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from sandbox.applications.model import APPLICATION, APPROVAL
from sandbox.applications.repository import Application, Approval, Grant
from sandbox.catalog.model import RESOURCE
from sandbox.catalog.repository import Resource
from sandbox.catalog.work import Attempt
from sandbox.exports.model import EXPORT, RECALL
from sandbox.exports.repository import ExportRequest, RecallRequest
from sandbox.kernel.database import Base
from sandbox.kernel.jobs import Job
from sandbox.kernel.lifecycle import Lifecycle, Record
from sandbox.kernel.unit import Unit
from sandbox.merchants.model import MERCHANT, ONBOARDING
from sandbox.merchants.service import Merchant, Onboarding
from sandbox.products.model import RUN
from sandbox.products.repository import Run
from sandbox.workspaces.model import WORKSPACE
from sandbox.workspaces.repository import Workspace

Line = Annotated[str, Field(min_length=1, max_length=300)]
Prose = Annotated[str, Field(max_length=4000)]


class In(BaseModel):
    """Input: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Out(BaseModel):
    """Output, read from attributes."""

    model_config = ConfigDict(from_attributes=True)


class OfferOut(Out):
    """A step out of the present state, as a button: allowed, or not with the reason."""

    name: str
    label: str
    allowed: bool
    why_not: str | None
    needs_reason: bool


class Standing(Out):
    """Where an object stands in its life, and what the asker may do with it."""

    id: str = Field(examples=["app-7kq2m9x4c8ab"])
    organisation_id: str
    state: str = Field(examples=["approving"])
    state_label: str = Field(examples=["数源部门审核中"])
    turn: str | None = Field(examples=["department"], description="the role whose turn it is")
    state_since: datetime
    created_at: datetime
    offers: list[OfferOut]

    @classmethod
    def of(cls, unit: Unit, record: Record, lifecycle: Lifecycle, **more: Any) -> Self:
        state = lifecycle.state(record.state)
        offers = [
            OfferOut(name=o.name, label=o.label.zh, allowed=o.allowed, why_not=o.why_not.zh if o.why_not else None,
                     needs_reason=o.needs_reason)
            for o in lifecycle.offers(unit, record)
        ]  # fmt: skip
        facts = {name: getattr(record, name) for name in cls.model_fields if hasattr(record, name)}
        facts |= {"state_label": state.label.zh, "turn": state.turn, "offers": offers} | more
        return cls(**facts)


class DecisionIn(In):
    """A decision with its reason."""

    decision: str = Field(examples=["approve"])
    reason: Prose = Field(default="", examples=["材料齐全"])


class BatchIn(DecisionIn):
    """One opinion on several export requests of a kind."""

    ids: list[Line] = Field(min_length=1, max_length=20, examples=[["exp-7kq2m9x4c8ab"]])


class ReasonIn(In):
    reason: Prose = Field(examples=["数据商主动申请"])


class SignInIn(In):
    login: Line = Field(examples=["merchant"])
    password: str = Field(max_length=200, examples=["a-long-password"])


class TokenOut(Out):
    """The secret is shown this once."""

    token: str = Field(examples=["pds_…"])


class TokenIn(In):
    label: Annotated[str, Field(min_length=1, max_length=80)] = Field(examples=["nightly job"])
    days: int = Field(ge=1, le=365, examples=[30])


class MeOut(Out):
    id: str
    name: str
    role: str
    organisation_id: str


class RegistrationIn(In):
    organisation: Annotated[str, Field(min_length=1, max_length=200)] = Field(examples=["示范数科有限公司"])
    uscc: Annotated[str, Field(min_length=18, max_length=18)] = Field(examples=["91110000600037341L"])
    login: Annotated[str, Field(min_length=3, max_length=80, pattern=r"^[a-z0-9._-]+$")] = Field(examples=["datashop"])
    person: Annotated[str, Field(min_length=1, max_length=80)] = Field(examples=["经办人"])
    password: Annotated[str, Field(min_length=10, max_length=200)] = Field(examples=["a-long-password"])


class OnboardingIn(In):
    contact: Annotated[str, Field(min_length=1, max_length=80)] = Field(examples=["经办人"])
    business: Prose = Field(examples=["城市健康指数"])
    materials: dict[str, Line] = Field(default_factory=dict, examples=[{"licence": "licence.pdf"}])


class MaterialsIn(In):
    materials: dict[str, Line] = Field(examples=[{"credit": "credit.pdf"}])


class OnboardingOut(Standing):
    contact: str
    business: str
    materials: dict[str, Any]

    @classmethod
    def from_record(cls, unit: Unit, record: Onboarding) -> Self:
        return cls.of(unit, record, ONBOARDING)


class MerchantOut(Standing):
    onboarding_id: str

    @classmethod
    def from_record(cls, unit: Unit, record: Merchant) -> Self:
        return cls.of(unit, record, MERCHANT)


class TieIn(In):
    """A tie between merchants: what one of them has seen, the others are taken to know."""

    kind: str = Field(examples=["beneficial_owner"], description="beneficial_owner or consortium")
    name: Annotated[str, Field(min_length=1, max_length=200)] = Field(examples=["示范控股集团有限公司"])


class TieOut(Out):
    kind: str
    name: str
    declared_at: datetime


class ResourceIn(In):
    name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\"'\\/]+$")] = Field(
        examples=["门诊就诊"]
    )
    description: Annotated[str, Field(max_length=2000)] = Field(examples=["各医疗机构门诊就诊记录"])
    registration_code: Annotated[str, Field(min_length=1, max_length=80)] = Field(examples=["SF-2026-0001"])
    update_cycle: Annotated[str, Field(min_length=1, max_length=40)] = Field(examples=["每月"])
    entities: dict[str, Any] = Field(
        default_factory=dict, description="kind → whose records its rows are",
        examples=[{"person": {"column": "身份证号", "determined_by": {"就诊流水号": "就诊"}}}],
    )  # fmt: skip
    declared: dict[str, Any] = Field(default_factory=dict, description="comments, quality rules, references")


class CatalogueColumnOut(Out):
    """A column as everybody may see it: no evidence, no counts."""

    name: str
    type: str
    comment: str
    category: str
    level: int
    sensitive: bool


class ResourceOut(Standing):
    name: str
    description: str
    registration_code: str
    update_cycle: str
    subjects: dict[str, Any] = Field(description="whose records its rows are, and what its columns are")
    level: int | None
    current_version: int | None
    simulated_version: int | None

    @classmethod
    def from_record(cls, unit: Unit, record: Resource, **more: Any) -> Self:
        return cls.of(unit, record, RESOURCE, **more)


class CatalogueOut(Out):
    """A published table as everybody signed in may see it."""

    id: str
    name: str
    department: str
    description: str
    update_cycle: str
    level: int
    columns: list[CatalogueColumnOut]
    simulated: bool
    stale: bool = Field(description="the simulated data imitates what is no longer published")
    simulation: dict[str, Any] | None = Field(description="engine, scores in words and gates of the simulated data")


class RowConditionIn(In):
    """One condition on the rows asked for; values are written as text and read by the column's type."""

    column: Line = Field(examples=["区"])
    op: Literal["in", "between", ">=", "<="] = Field(examples=["in"])
    values: list[Annotated[str, Field(max_length=200)]] = Field(min_length=1, max_length=200, examples=[["示范区"]])


class ApplicationIn(In):
    scenario: Line = Field(examples=["街道级门诊负荷分析"])
    purpose: Prose = Field(examples=["为社区医院排班提供参考"])
    product_form: str = Field(examples=["aggregate"])
    audience: str = Field(examples=["public"])
    term_months: int = Field(ge=1, examples=[12])
    requested: dict[str, dict[str, Line]] = Field(examples=[{"res-7kq2m9x4c8ab": {"区": "统计维度"}}])
    rows: dict[str, list[RowConditionIn]] = Field(
        default_factory=dict, description="resource id → conditions its rows must all meet; none: every row"
    )


class ApprovalOut(Standing):
    application_id: str
    round: int
    reason: str
    due_on: str | None = None

    @classmethod
    def from_record(cls, unit: Unit, record: Approval, due_on: str | None) -> Self:
        return cls.of(unit, record, APPROVAL, due_on=due_on)


class GrantOut(Out):
    id: str
    application_id: str
    resource_id: str
    version: int
    columns: list[Any]
    rows: list[Any] = Field(description="conditions on the rows; none: every row")
    expires_at: datetime
    ended_at: datetime | None
    disposal: dict[str, Any] | None = Field(description="once ended: each binding's digest, size, and that it is gone")


class ApplicationOut(Standing):
    scenario: str
    purpose: str
    product_form: str
    audience: str
    term_months: int
    requested: dict[str, Any]
    expires_at: datetime | None
    disposal: dict[str, Any] | None = Field(description="once ended: pseudonyms' key and what was made of real rows")
    approvals: list[ApprovalOut] = Field(default_factory=list)
    grants: list[GrantOut] = Field(default_factory=list)

    @classmethod
    def from_record(
        cls,
        unit: Unit,
        record: Application,
        approvals: Sequence[ApprovalOut] = (),
        grants: Sequence[Grant] = (),
    ) -> Self:
        return cls.of(
            unit, record, APPLICATION, approvals=list(approvals), grants=[GrantOut.model_validate(g) for g in grants]
        )


class WorkspaceIn(In):
    application_id: Line = Field(examples=["app-7kq2m9x4c8ab"])


class WorkspaceOut(Standing):
    application_id: str
    tier: str
    tables: list[str] = Field(default_factory=list, description="names of the simulated tables inside")

    @classmethod
    def from_record(cls, unit: Unit, record: Workspace, tables: Sequence[str] = ()) -> Self:
        return cls.of(unit, record, WORKSPACE, tables=list(tables))


class RunIn(In):
    spec: str | dict[str, Any] = Field(description="a job spec, as YAML text or as an object")


class RunOut(Standing):
    """A run on real data: state, step, error class and buckets; no row, no message."""

    workspace_id: str
    spec_digest: str
    dry_run: dict[str, Any] = Field(description="what the same spec gave on simulated data")
    outcome: dict[str, Any] | None
    artefact_id: str | None
    tier: str

    @classmethod
    def from_record(cls, unit: Unit, record: Run) -> Self:
        return cls.of(unit, record, RUN)


class ContextIn(In):
    """What reviewers must be told; for them only, it does not leave with the product."""

    purpose: Prose = Field(examples=["为社区医院排班提供参考"])
    population: Prose = Field(examples=["2025 年在本市门诊就诊的居民，按区、月"])
    controls: Prose = Field(examples=["少于 10 人的单元格已抑制，人次取整到 5"])


class ExportIn(In):
    artefact_id: Line = Field(examples=["art-7kq2m9x4c8ab"])
    title: Line = Field(examples=["各区门诊量月报"])
    remark: Prose = Field(default="", examples=["按月汇总"])
    audience: str = Field(examples=["public"])
    context: ContextIn = Field(description="用途、总体与控制措施 · purpose, population and controls")


class ReviseIn(In):
    artefact_id: Line | None = None
    title: Line | None = None
    remark: Prose | None = None
    context: ContextIn | None = None


class VoteIn(In):
    artefact_id: Line = Field(examples=["art-7kq2m9x4c8ab"])
    vote: Literal["approve", "changes", "undecided"] = Field(examples=["approve"])


class CommentIn(In):
    text: Prose = Field(examples=["请说明 8 月为何没有数据"])
    audience: Literal["officers", "author"] = "officers"


class ReviewOut(Out):
    """Where a review stands, as this reader may know it."""

    given: int = Field(description="opinions given in this round")
    needed: int = Field(description="officers who must agree")
    reasons: list[dict[str, str]] = Field(description="why more than the ordinary number; for officers and auditors")
    opinions: list[dict[str, Any]] = Field(description="blind: another officer's only once all are in")
    comments: list[dict[str, Any]]
    votes: dict[str, str] = Field(description="file → the own vote of this round")


class NoticeOut(Out):
    request_id: str
    release: str
    kind: str
    title: str
    state: str
    resources: list[str] = Field(description="the own resources that the release rests on")
    at: datetime


class RecallOut(Standing):
    request_id: str
    reason: str
    answer: str

    @classmethod
    def from_record(cls, unit: Unit, record: RecallRequest) -> Self:
        return cls.of(unit, record, RECALL)


class ExportOut(Standing):
    group_id: str
    application_id: str
    artefact_id: str
    title: str
    remark: str
    audience: str
    context: dict[str, str]
    round: int
    frozen: dict[str, Any] | None = Field(description="digests of what was frozen; for officers and auditors")
    verdict: dict[str, Any] | None = Field(description="officers see values and thresholds, merchants rule and repair")

    @classmethod
    def from_record(cls, unit: Unit, record: ExportRequest, verdict: dict[str, Any] | None) -> Self:
        return cls.of(unit, record, EXPORT, verdict=verdict)


class JobOut(Out):
    id: str
    kind: str
    noun: str
    subject_id: str
    state: str
    attempt: int
    progress: int
    step: str
    department_id: str | None
    round_id: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error_code: str | None
    error: dict[str, Any] | None
    result: dict[str, Any] | None


class StepOut(Out):
    number: int
    name: str
    about: str = Field(description="id of the record the step is about, where a job has several")
    state: str = Field(examples=["done", "reused", "failed", "running", "stopped"])
    parts: int = Field(description="how many steps ran side by side, e.g. one a column")
    reused: int = Field(description="how many of them were remembered from an earlier try")
    kept: bool = Field(description="whether another attempt may reuse its result")
    started_at: datetime
    finished_at: datetime | None
    error_code: str | None


class AttemptOut(Out):
    attempt: int
    state: str = Field(examples=["running", "succeeded", "failed", "cancelled", "lost"])
    started_at: datetime
    finished_at: datetime | None
    reached: str = Field(description="the last thing it was doing")
    error_code: str | None
    error: dict[str, Any] | None
    steps: list[StepOut]


class JobRecordOut(JobOut):
    """A job with everything it did."""

    created_by: str
    attempts: list[AttemptOut]

    @classmethod
    def of(cls, job: Job, attempts: Sequence[Attempt]) -> JobRecordOut:
        """Attempts newest first, their steps in the order they began."""
        made = [{**_columns(a.record), "steps": [_columns(s) for s in a.steps]} for a in attempts]
        return cls.model_validate({**_columns(job), "attempts": made})


def _columns(row: Base) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__mapper__.column_attrs}


class EventOut(Out):
    seq: int
    at: datetime
    actor_id: str
    role: str
    organisation_id: str
    event: str
    noun: str
    object_id: str
    facts: dict[str, Any]
    hash: str


class ReportIn(In):
    period_from: str = Field(pattern=r"^\d{4}-\d\d-\d\d$", examples=["2026-01-01"])
    period_to: str = Field(pattern=r"^\d{4}-\d\d-\d\d$", examples=["2026-12-31"])


class ReportOut(Out):
    id: str
    period_from: str
    period_to: str
    figures: dict[str, Any]
    sha256: str
    published_at: datetime
