"""One delivery into the lake: read, land, measure, detect, grade, propose."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipelines import quality
from pipelines.grading import ColumnInfo, TableGrade, grade
from pipelines.landed import Landed
from pipelines.reading import Recipe, TableReading, read, typed
from policies.schema.quality import ResourceRules
from policies.text import Text, UserError
from sandbox.catalog import repository, service
from sandbox.catalog.service import GradedColumn, TakenIn
from sandbox.kernel import editions
from sandbox.kernel.clock import city_date
from sandbox.kernel.errors import BadInput
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.steps import Kept, Step, key_of
from sandbox.kernel.unit import Unit
from sandbox.lake import Lake

if TYPE_CHECKING:
    import pyarrow as pa

    from sandbox.detection.scan import ColumnLook, TableScan


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the database says about the delivery before it is read."""

    resource_id: str
    resource_name: str
    declared: dict[str, Any]
    file: Path
    file_name: str
    sha256: str
    version: int | None
    """the version it comes after"""
    recipe: Recipe | None
    grading: Any
    quality: Any
    today: date


class Ingest:
    """Takes one delivered file in as a new version of its resource."""

    def run(self, work: Work) -> Effect:
        delivery = _delivery(work)
        lake = Lake(work.platform.settings.lake_root)
        landed = work.step(
            "land", 5, lambda: _landed(lake, delivery, work), kept=Kept(_landing_key(delivery), Landed), patient=True
        )
        files, content = _text_files(lake, delivery, landed, work), _content_key(delivery, landed)
        others = _references(lake, delivery, work)
        measured = work.step(
            "quality", 50, lambda: _quality(files, delivery, landed, others),
            kept=Kept(_quality_key(content, delivery, landed, others), dict),
        )  # fmt: skip
        from sandbox.detection.scan import join_columns

        scan = join_columns(work.fan(65, _looks(files, content, delivery, landed)))
        graded = work.step(
            "grade", 90, lambda: _grade(scan, landed, delivery),
            kept=Kept(key_of("grade", content, _comments(delivery), delivery.grading.digest), TableGrade),
        )  # fmt: skip
        taken = _taken(lake, delivery, landed, measured, scan, graded)

        def effect(unit: Unit) -> Mapping[str, Any]:
            row = service.take_in(unit, delivery.resource_id, taken)
            return {"version": row.number, "rows": row.rows_loaded, "quarantined": row.rows_quarantined}

        return effect

    def resume(self, unit: Unit, job: Job) -> None:
        service.retake(unit, job.subject_id, job.id)

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        service.delivery_failed(unit, job.subject_id, error)


def _landing_key(delivery: Delivery) -> str:
    """The same bytes read by the same recipe onto the same version land once."""
    recipe = delivery.recipe.model_dump(mode="json") if delivery.recipe else None
    return key_of("land", delivery.resource_id, delivery.version, delivery.sha256, delivery.file_name, recipe)


def _content_key(delivery: Delivery, landed: Landed) -> str:
    """The rows as text: these bytes, read by the complete recipe."""
    return key_of("rows", delivery.sha256, landed.recipe.model_dump(mode="json"))


def _text_files(lake: Lake, delivery: Delivery, landed: Landed, work: Work) -> list[str]:
    """The text version's files; a version without rows has none, so an empty one stands in for it."""
    import polars as pl

    files = lake.files(f"{delivery.resource_id}/raw", landed.raw)
    if files:
        return files
    empty = work.folder / "empty.parquet"
    pl.DataFrame(schema={c.name: pl.String for c in landed.columns}).write_parquet(empty)
    return [str(empty)]


def _quality_key(content: str, delivery: Delivery, landed: Landed, others: dict[str, list[str]]) -> str:
    facts = (delivery.declared.get("quality", []), delivery.quality.digest, delivery.today.isoformat(), others)
    return key_of("quality", content, *facts, landed.accounting.as_dict())


def _looks(files: list[str], content: str, delivery: Delivery, landed: Landed) -> list[Step[ColumnLook]]:
    """One step a column; what a column shows depends on its content, name and comment."""
    from sandbox.detection.scan import ColumnLook, scan_column

    comments = _comments(delivery)
    return [
        Step(
            "detect", scan_column, (files, name, comments.get(name, "")), label=name, percent=65,
            kept=Kept(key_of("detect", content, name, comments.get(name, "")), ColumnLook),
        )
        for name in (c.name for c in landed.columns)
    ]  # fmt: skip


def _landed(lake: Lake, delivery: Delivery, work: Work) -> Landed:
    work.reached("read", 5)
    reading = _read(delivery, work.folder)
    work.reached("land", 35)
    return Landed.of(reading, *_land(lake, delivery, reading, work.job.id))


def _delivery(work: Work) -> Delivery:
    with work.platform.system() as unit:
        resource = repository.get(unit.session, work.job.subject_id)
        payload = work.job.payload
        number = resource.current_version
        earlier = repository.version(unit.session, resource.id, number).recipe if number else None
        return Delivery(
            resource_id=resource.id, resource_name=resource.name, declared=resource.declared,
            file=unit.settings.inbox / payload["sha256"], file_name=payload["file_name"], sha256=payload["sha256"],
            version=number, recipe=Recipe.model_validate(earlier) if earlier else None,
            grading=editions.in_force(unit, "grading"), quality=editions.in_force(unit, "quality"),
            today=city_date(unit.now),
        )  # fmt: skip


def _read(delivery: Delivery, folder: Path) -> TableReading:
    """Read the stored bytes under the name they were delivered with; exactly one table is a resource."""
    safe = re.sub(r"[^\w.\-]", "_", delivery.file_name)[-120:]
    named = folder / (safe.lstrip(".") or "delivery")
    if not named.exists():
        os.link(delivery.file, named)
    tables = read(named, work=folder / "read", recipe=delivery.recipe)
    if len(tables) != 1:
        names = [t.name for t in tables]
        raise BadInput(
            "delivery.several_tables",
            Text(
                f"文件里有 {len(names)} 张表，一个资源对应一张表",
                f"The file holds {len(names)} tables, a resource is one",
            ),
            fix=Text("请把每张表作为单独的资源交付", "Deliver each table to a resource of its own"),
            tables=len(names),
        )
    if tables[0].source_digest != delivery.sha256:
        raise BadInput("delivery.changed", Text("文件在读取期间发生了变化", "The file changed while it was read"),
                       fix=Text("请重新交付", "Deliver it again"))  # fmt: skip
    return tables[0]


def _parquet_stream(path: Path) -> pa.RecordBatchReader:
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = pq.ParquetFile(path)
    return pa.RecordBatchReader.from_batches(source.schema_arrow, source.iter_batches(65_536))


def _land(lake: Lake, delivery: Delivery, reading: TableReading, once: str) -> tuple[int, int]:
    """Write text, quarantine and typed versions; the typed version's commit carries the proof. Returns the numbers of
    the text version and the typed one."""
    facts = {**reading.facts(), "source_file": delivery.file_name, "job": once}
    base = delivery.resource_id
    raw = lake.write(f"{base}/raw", _parquet_stream(reading.text_parquet), mode="overwrite", facts=facts, once=once)
    if reading.quarantine_parquet is not None:
        stream = _parquet_stream(reading.quarantine_parquet)
        lake.write(f"{base}/quarantine", stream, mode="overwrite", facts=facts, once=once)
    return raw, lake.write(f"{base}/typed", typed(reading), mode="overwrite", facts=facts, once=once)


def _quality(
    files: list[str], delivery: Delivery, landed: Landed, others: dict[str, list[str]]
) -> dict[str, Any]:  # fmt: skip
    """The indicators over the rows as they were delivered, by the rules the department declared."""
    report = quality.measure(
        files, landed.recipe.columns, _rules(delivery), landed.accounting, delivery.quality,
        name=delivery.resource_name, today=delivery.today, others=others,
    )  # fmt: skip
    return report.as_dict()


def _rules(delivery: Delivery) -> tuple[Any, ...]:
    """The declared quality rules, checked against the policy's own form. Raises `BadInput` when one does not hold."""
    declared = delivery.declared.get("quality", [])
    if not declared:
        return ()
    try:
        tables = {"tables": [{"table": delivery.resource_name, "rules": declared}]}
        return ResourceRules.model_validate_json(json.dumps(tables)).of(delivery.resource_name)
    except ValidationError as wrong:
        fields = sorted({".".join(map(str, e["loc"][3:])) for e in wrong.errors()})
        raise BadInput(
            "quality.rules",
            Text(f"登记的质量规则有误：{'、'.join(fields)}", f"The declared rules do not hold: {', '.join(fields)}"),
            fix=Text("请数源部门修改登记信息", "The department should correct the registration"),
        ) from wrong


def _references(lake: Lake, delivery: Delivery, work: Work) -> dict[str, list[str]]:
    """Files of the resources that this one refers to, by name, where they have been ingested."""
    wanted = {r["resource"] for r in delivery.declared.get("references", [])}
    with work.platform.system() as unit:
        found = [r for r in repository.every(unit.session) if r.name in wanted and r.current_version]
        versions = {r.name: (r, repository.version(unit.session, r.id, r.current_version or 0)) for r in found}
    return {name: lake.files(r.typed_table, v.lake_version) for name, (r, v) in versions.items()}


def _comments(delivery: Delivery) -> dict[str, str]:
    return {name: str(c.get("comment", "")) for name, c in delivery.declared.get("columns", {}).items()}


def _grade(scan: TableScan, landed: Landed, delivery: Delivery) -> TableGrade:
    comments = _comments(delivery)
    columns = [ColumnInfo(c.name, c.type, comments.get(c.name, "")) for c in landed.columns]
    return grade(scan, columns, delivery.grading, table=delivery.resource_name)


def _taken(
    lake: Lake, delivery: Delivery, landed: Landed, measured: dict[str, Any], scan: TableScan, graded: TableGrade
) -> TakenIn:
    accounting, version = landed.accounting, landed.typed
    loaded = lake.rows(f"{delivery.resource_id}/typed", version)
    return TakenIn(
        file_name=delivery.file_name, file_sha256=delivery.sha256, lake_version=version,
        lake_digest=lake.digest(f"{delivery.resource_id}/typed", version),
        rows_in=accounting.rows_loaded + accounting.rows_quarantined, rows_loaded=loaded,
        rows_quarantined=accounting.rows_quarantined + accounting.rows_loaded - loaded,
        recipe=landed.recipe.model_dump(mode="json", exclude_defaults=True), accounting=accounting.as_dict(),
        findings=[f.as_dict() for f in landed.findings], quality=measured, level=graded.level,
        grading={"edition": graded.edition, "digest": graded.digest, "uplifts": [u.rule for u in graded.uplifts]},
        columns=[_column(c.name, c.type, delivery, scan, graded) for c in landed.columns],
    )  # fmt: skip


def _column(name: str, kind: str, delivery: Delivery, scan: TableScan, graded: TableGrade) -> GradedColumn:
    seen, proposal = scan.column(name), graded.column(name)
    sure = seen.decided("is")
    return GradedColumn(
        name=name, type=kind, comment=_comments(delivery).get(name, ""), category=proposal.category,
        level=proposal.level, sensitive=proposal.sensitive, identifier_role=proposal.identifier_role,
        entity=sure[0].entity if sure else None, rule=proposal.rule, evidence=list(proposal.evidence),
        missing=seen.missing, distinct=seen.distinct,
    )  # fmt: skip
