"""What the API takes and gives about deliveries, versions and grades."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import Field

from api.routes.shapes import In, Line, Out, Prose, ResourceOut, Standing
from sandbox.catalog.looking import Comparison
from sandbox.catalog.model import DELIVERY, LOWERING
from sandbox.catalog.protection import Override, Role
from sandbox.catalog.repository import Delivery, Lowering, Resource, ResourceColumn, ResourceVersion
from sandbox.kernel.unit import Unit
from sandbox.reporting.impact import ColumnImpact, GrantImpact


class ColumnOut(Out):
    name: str
    type: str
    comment: str
    category: str
    level: int
    proposed_level: int
    sensitive: bool
    subject: str
    identifier_role: str
    entity: str | None
    rule: str
    evidence: list[Any]
    confirmed: bool


class GradeStepOut(ColumnOut):
    """A column's grade in one version."""

    version: int


class VersionOut(Out):
    """One version with its lineage: file, recipe, rows, job, lake version and digest, quality, grading."""

    number: int
    created_at: datetime
    delivery_id: str
    file_name: str
    file_sha256: str
    lake_version: int
    lake_digest: str
    rows: int = Field(description="rows of the whole version; the next three count what this delivery brought")
    rows_in: int
    rows_loaded: int
    rows_quarantined: int
    level: int
    recipe: dict[str, Any]
    accounting: dict[str, Any]
    findings: list[Any]
    quality: dict[str, Any]
    grading: dict[str, Any]


class DeliveryOut(Standing):
    resource_id: str
    number: int
    mode: str = Field(examples=["replace"])
    file_name: str
    file_sha256: str
    bytes: int
    delivered_by: str
    reason: str
    attempt: int
    job_id: str | None
    version: int | None
    recipe: dict[str, Any] | None = Field(description="how an operator says it is to be read")
    error: dict[str, Any] | None = Field(description="code, text, fix and detail: never a value of a record")

    @classmethod
    def from_record(cls, unit: Unit, record: Delivery) -> Self:
        return cls.of(unit, record, DELIVERY)


class LoweringOut(Standing):
    resource_id: str
    version: int
    column_name: str = Field(description="empty: the request is about the table's entities and roles (/subjects)")
    before: dict[str, Any] = Field(examples=[{"level": 4}], description="what the grade was when somebody asked")
    after: dict[str, Any] = Field(examples=[{"level": 2}], description="what it is to be")
    reason: str
    author_id: str
    reviewer_id: str | None
    decision: str

    @classmethod
    def from_record(cls, unit: Unit, record: Lowering) -> Self:
        return cls.of(unit, record, LOWERING)


class ResourceDetailOut(ResourceOut):
    """The published version's columns, what waits beside it, and everything delivered so far."""

    columns: list[ColumnOut] = Field(description="of the published version")
    proposed: list[ColumnOut] = Field(description="of the version that waits for confirmation or publication")
    deliveries: list[DeliveryOut] = Field(description="newest first")
    versions: list[VersionOut] = Field(description="oldest first")
    lowerings: list[LoweringOut]

    @classmethod
    def whole(
        cls, unit: Unit, record: Resource, columns: list[ResourceColumn], proposed: list[ResourceColumn],
        deliveries: list[Delivery], versions: list[ResourceVersion], lowerings: list[Lowering],
    ) -> Self:  # fmt: skip
        return cls.from_record(
            unit, record, columns=[ColumnOut.model_validate(c) for c in columns],
            proposed=[ColumnOut.model_validate(c) for c in proposed],
            deliveries=[DeliveryOut.from_record(unit, d) for d in deliveries],
            versions=[VersionOut.model_validate(v) for v in versions],
            lowerings=[LoweringOut.from_record(unit, r) for r in lowerings],
        )  # fmt: skip


class GradeIn(In):
    """What a column is said to be; what is left out stays as it is."""

    column: Line = Field(examples=["就诊日期"], description="a column's name, or one with * for any characters")
    level: int | None = Field(default=None, ge=1, le=4, examples=[4])
    category: Line | None = Field(default=None, description="one of the categories of the grading edition in force")
    sensitive: bool | None = None
    identifier_role: Role | None = None
    reason: Prose = Field(examples=["与诊断合并后更敏感"])

    def override(self) -> Override:
        return Override(self.level, self.category, self.sensitive, self.identifier_role)


class ChangedOut(Out):
    """Columns changed at once, and columns where a second person must agree to less protection."""

    changed: list[str]
    requested: list[str]


class RecipeIn(In):
    recipe: dict[str, Any] = Field(
        examples=[{"encoding": "gb18030", "delimiter": "|", "header_row": 3}],
        description="decisions of the reader; what is left out is decided by the reader",
    )


class PreviewOut(Out):
    """The head of a delivered file, raw beside parsed."""

    shown: bool = Field(description="false: values appear by their shape only")
    decisions: dict[str, Any]
    lines: list[dict[str, Any]]


class RefusedRowOut(Out):
    line: int
    byte_place: int
    reason: str
    raw: str


class QuarantineOut(Out):
    version: int
    shown: bool = Field(description="false: text appears by its shape only")
    rows: list[RefusedRowOut]


class ColumnChangeOut(Out):
    name: str
    before: dict[str, Any]
    after: dict[str, Any]


class ComparisonOut(Out):
    """How one version differs from another."""

    before: int
    after: int
    rows_before: int
    rows_after: int
    level_before: int
    level_after: int
    added: list[ColumnOut]
    removed: list[ColumnOut]
    changed: list[ColumnChangeOut]

    @classmethod
    def of(cls, found: Comparison) -> Self:
        changed = [
            ColumnChangeOut(
                name=c.name,
                before={f: old for f, (old, _) in c.facts.items()},
                after={f: new for f, (_, new) in c.facts.items()},
            )
            for c in found.changed
        ]
        return cls(
            before=found.before.number, after=found.after.number, rows_before=found.before.rows,
            rows_after=found.after.rows, level_before=found.before.level, level_after=found.after.level,
            added=[ColumnOut.model_validate(c) for c in found.added],
            removed=[ColumnOut.model_validate(c) for c in found.removed], changed=changed,
        )  # fmt: skip


class GradeOut(Out):
    level: int
    category: str
    sensitive: bool
    identifier_role: str


class ColumnImpactOut(Out):
    name: str
    before: GradeOut
    after: GradeOut | None = Field(description="null: the column is gone")
    use_before: str = Field(examples=["rows"], description="rows, pseudonyms, jobs or none")
    use_after: str
    gains: bool
    loses: bool

    @classmethod
    def of(cls, one: ColumnImpact) -> Self:
        return cls(
            name=one.name, before=GradeOut.model_validate(one.before),
            after=GradeOut.model_validate(one.after) if one.after else None, use_before=one.use_before,
            use_after=one.use_after, gains=one.gains, loses=one.loses,
        )  # fmt: skip


class WorkspaceImpactOut(Out):
    id: str
    state: str
    jobs: list[str] = Field(description="its jobs that use a changed column")
    exports: list[str] = Field(description="its requests to export, on their way, whose product rests on one")


class GrantImpactOut(Out):
    grant: str
    application: str
    scenario: str
    merchant: str
    version: int
    columns: list[ColumnImpactOut]
    workspaces: list[WorkspaceImpactOut]

    @classmethod
    def of(cls, one: GrantImpact) -> Self:
        return cls(
            grant=one.grant, application=one.application, scenario=one.scenario, merchant=one.merchant,
            version=one.version, columns=[ColumnImpactOut.of(c) for c in one.columns],
            workspaces=[WorkspaceImpactOut.model_validate(w) for w in one.workspaces],
        )  # fmt: skip
