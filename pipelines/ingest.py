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
from pipelines.quality.samples import Places, set_apart
from pipelines.reading import Recipe, TableReading, read, typed
from policies.schema.quality import ResourceRules
from policies.text import Text, UserError
from sandbox.catalog import repository, service
from sandbox.catalog.service import GradedColumn, TakenIn
from sandbox.kernel import editions
from sandbox.kernel.clock import city_date
from sandbox.kernel.errors import BadInput
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.unit import Unit
from sandbox.lake import Lake

if TYPE_CHECKING:
    from sandbox.detection.scan import TableScan


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the database says about the delivery before it is read."""

    resource_id: str
    resource_name: str
    declared: dict[str, Any]
    file: Path
    file_name: str
    sha256: str
    recipe: Recipe | None
    grading: Any
    quality: Any
    today: date
    earlier: tuple[date, ...]
    """days of the earlier deliveries"""


class Ingest:
    """Takes one delivered file in as a new version of its resource."""

    def run(self, work: Work) -> Effect:
        delivery = _delivery(work)
        reading = work.step("read", 5, lambda: _read(delivery, work.folder))
        lake = Lake(work.platform.settings.lake_root)
        version = work.step("land", 35, lambda: _land(lake, delivery, reading, work.job.id))
        scan = work.step("detect", 50, lambda: _scan(reading, delivery))
        graded = work.step("grade", 65, lambda: _grade(scan, reading, delivery))
        measured = work.step("quality", 90, lambda: _quality(lake, delivery, reading, graded, work))
        taken = _taken(lake, delivery, reading, version, measured, scan, graded)

        def effect(unit: Unit) -> Mapping[str, Any]:
            row = service.take_in(unit, delivery.resource_id, taken)
            return {"version": row.number, "rows": row.rows_loaded, "quarantined": row.rows_quarantined}

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        service.delivery_failed(unit, job.subject_id, error)


def _delivery(work: Work) -> Delivery:
    with work.platform.system() as unit:
        resource = repository.get(unit.session, work.job.subject_id)
        payload = work.job.payload
        number = resource.current_version
        earlier = repository.version(unit.session, resource.id, number).recipe if number else None
        return Delivery(
            resource_id=resource.id, resource_name=resource.name, declared=resource.declared,
            file=unit.settings.inbox / payload["sha256"], file_name=payload["file_name"], sha256=payload["sha256"],
            recipe=Recipe.model_validate(earlier) if earlier else None,
            grading=editions.in_force(unit, "grading"), quality=editions.in_force(unit, "quality"),
            today=city_date(unit.now),
            earlier=tuple(city_date(v.created_at) for v in repository.versions(unit.session, resource.id)),
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


def _land(lake: Lake, delivery: Delivery, reading: TableReading, once: str) -> int:
    """Adopt text, quarantine and typed files; the typed version's commit carries the proof. Returns its number."""
    facts = {**reading.facts(), "source_file": delivery.file_name, "job": once}
    base = delivery.resource_id
    lake.adopt(f"{base}/raw", [reading.text_parquet], mode="overwrite", facts=facts, once=once)
    if reading.quarantine_parquet is not None:
        lake.adopt(f"{base}/quarantine", [reading.quarantine_parquet], mode="overwrite", facts=facts, once=once)
    return lake.adopt(f"{base}/typed", typed(reading), mode="overwrite", facts=facts, once=once)


def _quality(
    lake: Lake, delivery: Delivery, reading: TableReading, graded: TableGrade, work: Work
) -> dict[str, Any]:
    """The indicators over the rows as they were delivered, by the rules the department declared.

    It comes after grading, so that no sample shows a value of a column that names people.
    """
    apart = set_apart(reading.quarantine_parquet)
    report = quality.measure(
        [str(reading.text_parquet)], reading.recipe.columns, _rules(delivery), reading.accounting, delivery.quality,
        name=delivery.resource_name,
        around=quality.Around(_references(lake, delivery, work), delivery.earlier, delivery.today),
        direct=[c.name for c in graded.columns if c.identifier_role == "direct"],
        places=Places.of(reading.accounting, [line for one in apart for line in one.lines]),
        work=work.folder,
    )  # fmt: skip
    return {**report.as_dict(), "quarantine": [one.as_dict() for one in apart]}


def _rules(delivery: Delivery) -> tuple[Any, ...]:
    """The declared quality rules, checked against the policy's own form. Raises `BadInput` when one does not hold."""
    declared = [*delivery.declared.get("quality", []), *_dictionary(delivery)]
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


def _dictionary(delivery: Delivery) -> list[dict[str, Any]]:
    """The registered meanings of the columns, as the dictionary that 0103 is measured against."""
    described = [name for name, comment in _comments(delivery).items() if comment.strip()]
    return [{"kind": "dictionary", "columns": described}] if described else []


def _references(lake: Lake, delivery: Delivery, work: Work) -> dict[str, list[str]]:
    """Files of the resources that this one refers to, by name, where they have been ingested."""
    wanted = {r["resource"] for r in delivery.declared.get("references", [])}
    with work.platform.system() as unit:
        found = [r for r in repository.every(unit.session) if r.name in wanted and r.current_version]
        versions = {r.name: (r, repository.version(unit.session, r.id, r.current_version or 0)) for r in found}
    return {name: lake.files(r.typed_table, v.lake_version) for name, (r, v) in versions.items()}


def _scan(reading: TableReading, delivery: Delivery) -> TableScan:
    import polars as pl

    from sandbox.detection.scan import scan_table

    return scan_table(pl.scan_parquet(reading.text_parquet), comments=_comments(delivery))


def _comments(delivery: Delivery) -> dict[str, str]:
    return {name: str(c.get("comment", "")) for name, c in delivery.declared.get("columns", {}).items()}


def _grade(scan: TableScan, reading: TableReading, delivery: Delivery) -> TableGrade:
    comments = _comments(delivery)
    columns = [ColumnInfo(c.name, c.type, comments.get(c.name, "")) for c in reading.columns]
    return grade(scan, columns, delivery.grading, table=delivery.resource_name)


def _taken(
    lake: Lake, delivery: Delivery, reading: TableReading, version: int, measured: dict[str, Any], scan: TableScan,
    graded: TableGrade,
) -> TakenIn:  # fmt: skip
    accounting = reading.accounting
    loaded = lake.rows(f"{delivery.resource_id}/typed", version)
    return TakenIn(
        file_name=delivery.file_name, file_sha256=delivery.sha256, lake_version=version,
        lake_digest=lake.digest(f"{delivery.resource_id}/typed", version),
        rows_in=accounting.rows_loaded + accounting.rows_quarantined, rows_loaded=loaded,
        rows_quarantined=accounting.rows_quarantined + accounting.rows_loaded - loaded,
        recipe=reading.recipe.model_dump(mode="json", exclude_defaults=True), accounting=accounting.as_dict(),
        findings=[f.as_dict() for f in reading.findings], quality=measured, level=graded.level,
        grading={"edition": graded.edition, "digest": graded.digest, "uplifts": [u.rule for u in graded.uplifts]},
        columns=[_column(c.name, c.type, delivery, scan, graded) for c in reading.columns],
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
