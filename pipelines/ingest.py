"""One delivery into the lake: read, land, measure, detect, grade, propose."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from pipelines import fieldplan, quality, subjects
from pipelines.grading import ColumnInfo, TableGrade, grade
from pipelines.landed import Landed
from pipelines.quality.samples import Places, set_apart
from pipelines.reading import Recipe, TableReading, quarantined, read, typed
from pipelines.reading.findings import finding
from pipelines.reading.preview import decisions, preview
from policies.schema.quality import ResourceRules
from policies.text import Text, UserError
from sandbox.catalog import comments, deliveries, repository, versions
from sandbox.catalog import subjects as catalogued
from sandbox.catalog.grades import GradedColumn
from sandbox.catalog.model import DELIVERY
from sandbox.catalog.repository import Resource
from sandbox.catalog.subjects import Checked
from sandbox.catalog.versions import TakenIn
from sandbox.kernel import editions
from sandbox.kernel.clock import city_date
from sandbox.kernel.errors import BadInput
from sandbox.kernel.identity import SYSTEM
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.steps import Kept, Step, key_of
from sandbox.kernel.unit import Unit
from sandbox.lake import Lake

if TYPE_CHECKING:
    from sandbox.detection import ColumnTally, TableScan


SHOWN = 20
"""lines of a delivered file that are shown beside what they became"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the database says about the delivery before it is read."""

    id: str
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
    base: Base | None
    """the published version that the rows are added to; None: the file is the whole table"""
    naming: frozenset[str]
    """columns that name people or firms by the published grades, whatever the machine says of them"""


@dataclass(frozen=True, slots=True)
class Base:
    """The published version under an append: its lake versions, and its columns with their types."""

    raw: int
    typed: int
    columns: dict[str, str]


class Ingest:
    """Takes one delivered file in as a new version of its resource."""

    def run(self, work: Work) -> Effect:
        delivery = _delivery(work)
        lake = Lake(work.platform.settings.lake_root)
        landed = work.step(
            "land", 5, lambda: _landed(lake, delivery, work), kept=Kept(_landing_key(delivery), Landed), patient=True
        )
        texts, content = _text_files(lake, delivery, landed, work), _content_key(delivery, landed)
        scan = _scanned(landed, delivery, work.fan(50, _looks(texts, content, delivery, landed)))
        graded = work.step(
            "grade", 65, lambda: _grade(scan, landed, delivery),
            kept=Kept(key_of("grade", content, _comments(delivery), delivery.grading.digest), TableGrade),
        )  # fmt: skip
        around = _around(lake, delivery, work)
        measured = work.step(
            "quality", 70, lambda: _quality(lake, delivery, landed, texts, graded, around, work),
            kept=Kept(_quality_key(content, delivery, landed, graded, around), dict),
        )  # fmt: skip
        checked = work.step("subjects", 90, lambda: _verified(lake, delivery, landed, scan, work))
        taken = _taken(lake, delivery, landed, measured, scan, graded)
        taken.findings.extend(subjects.findings(checked))

        def effect(unit: Unit) -> Mapping[str, Any]:
            catalogued.record(unit, delivery.resource_id, landed.typed, checked)
            row = versions.take_in(unit, delivery.id, taken)
            _verify_again(unit, row.resource_id, checked)
            fieldplan.propose(unit, row.resource_id, row.number)
            return {"version": row.number, "rows": row.rows_loaded, "quarantined": row.rows_quarantined}

        return effect

    def resume(self, unit: Unit, job: Job) -> None:
        delivery = repository.delivery(unit.session, job.payload["delivery"])
        DELIVERY.check(unit.acting_as(SYSTEM), delivery, "read")

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        deliveries.failed(unit, job.payload["delivery"], error)


def _landing_key(delivery: Delivery) -> str:
    """The same bytes read by the same recipe, alone or onto the same published rows, land once."""
    recipe = delivery.recipe.model_dump(mode="json") if delivery.recipe else None
    return key_of("land", delivery.id, delivery.sha256, delivery.file_name, recipe, _under(delivery))


def _content_key(delivery: Delivery, landed: Landed) -> str:
    """The rows as text: these bytes, read by the complete recipe, and the published rows they were added to."""
    return key_of("rows", delivery.sha256, landed.recipe.model_dump(mode="json"), _under(delivery))


def _under(delivery: Delivery) -> list[Any] | None:
    return [delivery.resource_id, delivery.base.raw, delivery.base.typed] if delivery.base else None


def _text_files(lake: Lake, delivery: Delivery, landed: Landed, work: Work) -> list[str]:
    """The text version's files; a version without rows has none, so an empty one stands in for it."""
    import polars as pl

    files = lake.files(f"{delivery.resource_id}/raw", landed.raw)
    if files:
        return files
    empty = work.folder / "empty.parquet"
    pl.DataFrame(schema={c.name: pl.String for c in landed.columns}).write_parquet(empty)
    return [str(empty)]


def _quality_key(
    content: str, delivery: Delivery, landed: Landed, graded: TableGrade, around: quality.Around
) -> str:
    roles = {c.name: c.identifier_role for c in graded.columns}
    told = TypeAdapter(quality.Around).dump_python(around, mode="json")
    facts = (
        landed.accounting.as_dict(), _declared(delivery), delivery.quality.digest, roles, sorted(delivery.naming), told
    )  # fmt: skip
    return key_of("quality", content, *facts)


def _looks(files: list[str], content: str, delivery: Delivery, landed: Landed) -> list[Step[ColumnTally]]:
    """One step a column; what a column shows depends on its content, name and comment."""
    from sandbox.detection import ColumnTally, scan_column

    comments = _comments(delivery)
    return [
        Step(
            "detect", scan_column, (files, name, comments.get(name, "")), label=name, percent=50,
            kept=Kept(key_of("detect", content, name, comments.get(name, "")), ColumnTally),
        )
        for name in (c.name for c in landed.columns)
    ]  # fmt: skip


def _scanned(landed: Landed, delivery: Delivery, tallies: Sequence[ColumnTally]) -> TableScan:
    from sandbox.detection import summarise

    names = (c.name for c in landed.columns)
    return summarise(dict(zip(names, tallies, strict=True)), _comments(delivery))


def _landed(lake: Lake, delivery: Delivery, work: Work) -> Landed:
    work.reached("read", 5)
    reading = _read(delivery, work.folder)
    _keep_preview(work, delivery, reading)
    _refuse_other_columns(delivery, reading)
    work.reached("land", 35)
    return Landed.of(reading, *_land(lake, delivery, reading, work.job.id))


def _delivery(work: Work) -> Delivery:
    with work.platform.system() as unit:
        row = deliveries.begin_reading(unit, work.job.payload["delivery"])
        resource = repository.get(unit.session, row.resource_id)
        return Delivery(
            id=row.id, resource_id=resource.id, resource_name=resource.name, declared=resource.declared,
            file=unit.settings.inbox / row.file_sha256, file_name=row.file_name, sha256=row.file_sha256,
            recipe=_recipe(unit, resource, row), grading=editions.in_force(unit, "grading"),
            quality=editions.in_force(unit, "quality"), today=city_date(unit.now),
            earlier=tuple(city_date(v.created_at) for v in repository.versions(unit.session, resource.id)),
            base=_base(unit, resource) if row.mode == "append" else None,
            naming=frozenset(
                c.name for c in repository.columns(unit.session, resource.id) if c.identifier_role == "direct"
            ),
        )  # fmt: skip


def _recipe(unit: Unit, resource: Resource, row: repository.Delivery) -> Recipe | None:
    """How it is to be read: as an operator says, else as the last delivery that was read, else to be decided.

    Raises `BadInput` when what the operator says has not the form of a recipe.
    """
    known = repository.known_recipe(unit.session, resource, row.mode)
    wanted = row.recipe if row.recipe is not None else known
    try:
        return None if wanted is None else Recipe.model_validate(wanted)
    except ValidationError as wrong:
        fields = sorted({".".join(map(str, e["loc"])) or "recipe" for e in wrong.errors()})
        raise BadInput(
            "reading.recipe_invalid",
            Text(f"读取方案有误：{'、'.join(fields)}", f"The recipe does not hold: {', '.join(fields)}"),
            fix=Text("请改正这些项，或留空由系统识别", "Correct these entries, or leave them out"),
            fields=fields,
        ) from wrong


def _base(unit: Unit, resource: Resource) -> Base:
    """The published version that rows are added to. Raises `BadInput` for one whose raw rows are not on record."""
    row = repository.version(unit.session, resource.id, resource.current_version or 0)
    if row.raw_version is None:
        raise BadInput(
            "delivery.no_base", Text("已发布版本不支持追加", "Rows cannot be added to the published version"),
            fix=Text("请以整表方式交付一次", "Deliver the whole table once"),
        )  # fmt: skip
    columns = {c.name: c.type for c in repository.columns(unit.session, resource.id)}
    return Base(row.raw_version, row.lake_version, columns)


def _refuse_other_columns(delivery: Delivery, reading: TableReading) -> None:
    """Rows are added only under the very same columns; the refusal names every difference."""
    if delivery.base is None:
        return
    have, given = delivery.base.columns, {c.name: c.type for c in reading.columns}
    missing, added = [n for n in have if n not in given], [n for n in given if n not in have]
    retyped = [f"{n}（{have[n]} → {given[n]}）" for n in have if n in given and have[n] != given[n]]
    if not (missing or added or retyped) and list(have) == list(given):
        return
    zh = [f"缺少 {'、'.join(missing)}"] * bool(missing) + [f"多出 {'、'.join(added)}"] * bool(added)
    en = [f"missing {', '.join(missing)}"] * bool(missing) + [f"new {', '.join(added)}"] * bool(added)
    zh += [f"类型不同 {'、'.join(retyped)}"] * bool(retyped)
    en += [f"other types {', '.join(retyped)}"] * bool(retyped)
    raise BadInput(
        "delivery.append_mismatch",
        Text(
            f"追加的列与已发布版本不一致：{'；'.join(zh) or '列的顺序不同'}",
            f"The columns differ from the published version: {'; '.join(en) or 'their order'}",
        ),
        fix=Text("请按原有的列追加，或以整表方式交付", "Append the same columns, or deliver the whole table"),
        missing=missing, added=added, retyped=retyped,
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


def _keep_preview(work: Work, delivery: Delivery, reading: TableReading) -> None:
    """The head of the file beside what became of it, for the people who decide; gone when the delivery is settled."""
    with work.platform.system() as unit:
        deliveries.keep_preview(unit, delivery.id, {"decisions": decisions(reading), **preview(reading, SHOWN)})


def _land(lake: Lake, delivery: Delivery, reading: TableReading, once: str) -> tuple[int, int, int | None]:
    """Adopt text, typed and quarantine files; the typed version's commit carries the proof. Returns their versions."""
    facts = {**reading.facts(), "source_file": delivery.file_name, "job": once}
    name, base = delivery.resource_id, delivery.base
    texts = [*_published(lake, f"{name}/raw", base.raw if base else None), reading.text_parquet]
    raw = lake.adopt(f"{name}/raw", texts, mode="overwrite", facts=facts, once=once)
    apart = None
    if (refused := quarantined(reading)) is not None:
        apart = lake.adopt(f"{name}/quarantine", [refused], mode="overwrite", facts=facts, once=once)
    rows = [*_published(lake, f"{name}/typed", base.typed if base else None), *typed(reading)]
    return raw, lake.adopt(f"{name}/typed", rows, mode="overwrite", facts=facts, once=once), apart


def _published(lake: Lake, table: str, version: int | None) -> list[Path]:
    """Files of the published version, which new rows are added to; none for a whole table.

    The lake's own append adds to its newest version, which may be of a delivery that was read and not published: its
    rows must not slip in, so a version names the published files and then the new ones.
    """
    return [] if version is None else [Path(f) for f in lake.files(table, version)]


def _around(lake: Lake, delivery: Delivery, work: Work) -> quality.Around:
    before = lake.rows(f"{delivery.resource_id}/raw", delivery.base.raw) if delivery.base else 0
    return quality.Around(_references(lake, delivery, work), delivery.earlier, delivery.today, before)


def _quality(
    lake: Lake, delivery: Delivery, landed: Landed, texts: list[str], graded: TableGrade, around: quality.Around,
    work: Work,
) -> dict[str, Any]:  # fmt: skip
    """The indicators over the rows as they were delivered, by the rules the department declared.

    It comes after grading, so that no sample shows a value of a column that names people.
    """
    apart = []
    if landed.quarantine is not None:
        apart = set_apart(Path(lake.files(f"{delivery.resource_id}/quarantine", landed.quarantine)[0]))
    report = quality.measure(
        texts, landed.recipe.columns, _rules(delivery), landed.accounting, delivery.quality,
        name=delivery.resource_name, around=around,
        direct=[c.name for c in graded.columns if c.identifier_role == "direct" or c.name in delivery.naming],
        places=Places.of(landed.accounting, [line for one in apart for line in one.lines], before=around.before),
        work=work.folder,
    )  # fmt: skip
    return {**report.as_dict(), "quarantine": [one.as_dict() for one in apart]}


def _rules(delivery: Delivery) -> tuple[Any, ...]:
    """The declared quality rules, checked against the policy's own form. Raises `BadInput` when one does not hold."""
    declared = _declared(delivery)
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


def _declared(delivery: Delivery) -> list[dict[str, Any]]:
    return [*delivery.declared.get("quality", []), *_dictionary(delivery)]


def _dictionary(delivery: Delivery) -> list[dict[str, Any]]:
    """The registered meanings of the columns, as the dictionary that 0103 is measured against."""
    described = [name for name, comment in _comments(delivery).items() if comment.strip()]
    return [{"kind": "dictionary", "columns": described}] if described else []


def _references(lake: Lake, delivery: Delivery, work: Work) -> dict[str, list[str]]:
    """Files of the resources that this one refers to, by name, where they have been ingested."""
    wanted = {r["resource"] for r in delivery.declared.get("references", [])}
    with work.platform.system() as unit:
        every = {r.name: r for r in repository.every(unit.session) if r.name in wanted}
        numbers = {n: r.current_version or repository.last_number(unit.session, r.id) for n, r in every.items()}
        found = {n: repository.version(unit.session, every[n].id, k) for n, k in numbers.items() if k}
    return {name: lake.files(every[name].typed_table, v.lake_version) for name, v in found.items()}


def _comments(delivery: Delivery) -> dict[str, str]:
    return {name: str(c.get("comment", "")) for name, c in delivery.declared.get("columns", {}).items()}


def _grade(scan: TableScan, landed: Landed, delivery: Delivery) -> TableGrade:
    comments = _comments(delivery)
    columns = [ColumnInfo(c.name, c.type, comments.get(c.name, "")) for c in landed.columns]
    return grade(scan, columns, delivery.grading, table=delivery.resource_name)


def _verified(lake: Lake, delivery: Delivery, landed: Landed, scan: TableScan, work: Work) -> Checked:
    """The facts about entities as they are declared now, over every row of the new version."""
    with work.platform.system() as unit:
        beside = subjects.around(unit, repository.get(unit.session, delivery.resource_id), lake)
    seen = {c.name: scan.column(c.name) for c in landed.columns}
    columns = [subjects.Column(c.name, c.type, seen[c.name].distinct, seen[c.name].missing) for c in landed.columns]
    files = lake.files(f"{delivery.resource_id}/typed", landed.typed)
    return subjects.verified(work, files, columns, beside, (90, 98))


def _verify_again(unit: Unit, resource_id: str, checked: Checked) -> None:
    """Facts that were declared anew while the rows were read, and those of tables that look owners up in these rows,
    are verified by jobs of their own."""
    resource = repository.get(unit.session, resource_id)
    catalogued.verify_dependants(unit, resource)
    if resource.facts.digest != checked.facts:
        catalogued.verify_again(unit, resource)


def _taken(
    lake: Lake, delivery: Delivery, landed: Landed, measured: dict[str, Any], scan: TableScan, graded: TableGrade
) -> TakenIn:
    name, base, accounting = delivery.resource_id, delivery.base, landed.accounting
    rows = lake.rows(f"{name}/typed", landed.typed)
    loaded = rows - (lake.rows(f"{name}/typed", base.typed) if base else 0)
    return TakenIn(
        file_name=delivery.file_name, file_sha256=delivery.sha256, lake_version=landed.typed,
        raw_version=landed.raw, quarantine_version=landed.quarantine,
        lake_digest=lake.digest(f"{name}/typed", landed.typed), rows=rows,
        rows_in=accounting.rows_loaded + accounting.rows_quarantined, rows_loaded=loaded,
        rows_quarantined=accounting.rows_quarantined + accounting.rows_loaded - loaded,
        recipe=landed.recipe.model_dump(mode="json", exclude_defaults=True), accounting=accounting.as_dict(),
        findings=[*(f.as_dict() for f in landed.findings), *_offered(delivery, landed)], quality=measured,
        grading=grading_of(graded),
        columns=[column_of(c.name, c.type, _comments(delivery), scan, graded) for c in landed.columns],
    )  # fmt: skip


def _offered(delivery: Delivery, landed: Landed) -> list[dict[str, Any]]:
    """What the source itself says of its table and columns, for the department to register."""
    from pipelines.reading.parquetfiles import comments_in

    if landed.recipe.format != "parquet" or landed.recipe.member is not None:
        return []
    title, told = comments_in(delivery.file, landed.recipe)
    found = finding(comments.OFFERED, n=len(told)).as_dict()
    return [{**found, "title": title, "comments": told}] if title or told else []


def grading_of(graded: TableGrade) -> dict[str, Any]:
    """Edition, digest and the rules that lift the whole table, as the catalogue keeps them."""
    uplifts = [{"rule": u.rule, "level": u.level, "evidence": u.evidence} for u in graded.uplifts]
    return {"edition": graded.edition, "digest": graded.digest, "uplifts": uplifts}


def column_of(name: str, kind: str, comments: Mapping[str, str], scan: TableScan, graded: TableGrade) -> GradedColumn:
    """One column as the machine proposes it, with what detection saw in it."""
    seen, proposal = scan.column(name), graded.column(name)
    sure = seen.decided("is")
    return GradedColumn(
        name=name, type=kind, comment=comments.get(name, ""), category=proposal.category, level=proposal.level,
        sensitive=proposal.sensitive, subject=proposal.subject, identifier_role=proposal.identifier_role,
        entity=sure[0].entity if sure else None, rule=proposal.rule, evidence=list(proposal.evidence),
        missing=seen.missing, distinct=seen.distinct,
    )  # fmt: skip
