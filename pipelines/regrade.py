"""The grades of a published version looked at again: detection and grading over all its rows; no row is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines import fieldplan
from pipelines.grading import ColumnInfo, grade
from pipelines.ingest import column_of, grading_of
from policies.text import Text, UserError
from sandbox.catalog import deliveries, repository, versions
from sandbox.catalog.versions import TakenIn
from sandbox.kernel import editions
from sandbox.kernel.errors import BadInput
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.unit import Unit
from sandbox.lake import Lake

if TYPE_CHECKING:
    from sandbox.catalog.grades import GradedColumn
    from sandbox.catalog.repository import ResourceVersion
    from sandbox.detection.scan import TableScan


class Regrade:
    """Proposes grades for the rows that are published, under the edition in force."""

    def run(self, work: Work) -> Effect:
        with work.platform.system() as unit:
            row = deliveries.begin_reading(unit, work.job.payload["delivery"])
            resource = repository.get(unit.session, row.resource_id)
            version = repository.version(unit.session, resource.id, resource.current_version or 0)
            columns = repository.columns(unit.session, resource.id)
            policy: Any = editions.in_force(unit, "grading")
        comments = {c.name: c.comment for c in columns}
        files = _files(Lake(work.platform.settings.lake_root), resource.raw_table, version)
        scan = work.step("detect", 10, lambda: _scan(files, [c.name for c in columns], comments))
        infos = [ColumnInfo(c.name, c.type, c.comment) for c in columns]
        graded = work.step("grade", 90, lambda: grade(scan, infos, policy, table=resource.name))
        proposed = [column_of(c.name, c.type, comments, scan, graded) for c in columns]
        taken = _again(version, grading_of(graded), proposed)

        def effect(unit: Unit) -> Mapping[str, Any]:
            made = versions.take_in(unit, row.id, taken)
            fieldplan.propose(unit, made.resource_id, made.number)
            return {"version": made.number, "level": made.level}

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        deliveries.failed(unit, job.payload["delivery"], error)


def _files(lake: Lake, table: str, version: ResourceVersion) -> list[str]:
    if version.raw_version is None:
        raise BadInput(
            "regrade.no_text", Text("已发布版本没有保存原文，不能重新检测", "Its text is not on record"),
            fix=Text("请数源部门重新交付一次", "The department should deliver it once more"),
        )  # fmt: skip
    return lake.files(table, version.raw_version)


def _scan(files: list[str], names: list[str], comments: Mapping[str, str]) -> TableScan:
    """All rows; a version without rows has no file."""
    import polars as pl

    from sandbox.detection.scan import scan_table

    rows = pl.scan_parquet(files) if files else pl.LazyFrame(schema=dict.fromkeys(names, pl.String))
    return scan_table(rows, comments=comments)


def _again(version: ResourceVersion, grading: dict[str, Any], proposed: list[GradedColumn]) -> TakenIn:
    """The same rows, reading and quality under new grades."""
    return TakenIn(
        file_name=version.file_name, file_sha256=version.file_sha256, lake_version=version.lake_version,
        raw_version=version.raw_version, quarantine_version=version.quarantine_version,
        lake_digest=version.lake_digest, rows=version.rows, rows_in=version.rows_in, rows_loaded=version.rows_loaded,
        rows_quarantined=version.rows_quarantined, recipe=version.recipe, accounting=version.accounting,
        findings=version.findings, quality=version.quality, grading=grading, columns=proposed,
    )  # fmt: skip
