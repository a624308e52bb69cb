"""The simulated twin of a published resource: field plan, engine, gates, files to download, publication."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

from pipelines.fieldplan import answers_for, plan, propose, refuse_open
from policies.text import Text, UserError
from sandbox.catalog import repository, twins
from sandbox.catalog.repository import Resource
from sandbox.catalog.twins import DEFAULT_ROWS, Made
from sandbox.kernel import accounts, editions
from sandbox.kernel.errors import BadInput
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Unit
from sandbox.lake import Lake
from synthetic.fields import Constraint, Field, kept
from synthetic.filling import Parent
from synthetic.invariants import rules_of
from synthetic.language_model import LanguageModel
from synthetic.manifest import public
from synthetic.report import Audience, report
from synthetic.simulate import Simulated, simulate

_FROM, _TO = 5, 80
"""percent of the job between which the engines work"""
_REPORTS: dict[str, tuple[Audience, str, Text]] = {
    "report-merchant": ("merchant", "_报告.html", Text("仿真报告", "Report")),
    "report-operator": ("operator", "_运营报告.html", Text("仿真报告（运营与核查）", "Report for those who govern")),
}
_HTML = "text/html; charset=utf-8"
_PAUSE = 0.5
"""seconds between two looks whether the job may go on"""


@dataclass(frozen=True, slots=True)
class ParentTwin:
    """A published table that others refer to: files of its twin, and of its published version with what its plan
    explains, so that values of a child can follow those of its parent."""

    files: list[str]
    real_files: list[str]
    fields: tuple[Field, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be simulated, read in one transaction."""

    resource: Resource
    department: str
    version: int
    basis: str
    fields: list[Field]
    files: list[str]
    parents: dict[str, ParentTwin]
    """by the parent's name"""
    parent_twins: dict[str, int]
    """parent's id → number of that twin"""
    rules: list[Constraint]
    policy: Any
    engine: str
    planner: LanguageModel | None
    asked: dict[str, int]
    """rows and seed an operator asked for, now or for the last twin"""

    @property
    def made(self) -> tuple[Field, ...]:
        """The columns of the twin: those that nobody left out."""
        return kept(self.fields)

    @property
    def seed(self) -> int:
        return self.asked.get("seed", crc32(self.resource.id.encode()))


class GatesFailed(BadInput):
    """The rows did not pass; what was made is kept for those who govern the table, without the rows."""

    def __init__(self, task: Task, made: Simulated) -> None:
        rules = sorted({r.rule for r in made.verdict.rules if r.outcome in ("block", "error")})
        super().__init__(
            "simulation.blocked",
            Text(f"仿真数据未通过检验：{'、'.join(rules)}", f"The simulated data failed: {', '.join(rules)}"),
            fix=Text("请调整字段说明或引擎后重试", "Change the field plan or the engine and retry"),
            rules=rules,
        )
        self.task, self.made = task, made


class Simulation:
    """Makes, checks and publishes one twin."""

    def run(self, work: Work) -> Effect:
        lake = Lake(work.platform.settings.lake_root)
        task = _task(work, lake)
        refuse_open(task.fields)
        made = work.step("simulate", _FROM, lambda: _simulate(task, _Progress(work)))
        if made.verdict.outcome not in ("pass", "review"):
            raise GatesFailed(task, made)
        version = work.step("publish", 85, lambda: _publish(lake, task, made, work.job.id))
        handed = work.step("files", 90, lambda: _files(work, lake, task, made, version))

        def effect(unit: Unit) -> Mapping[str, Any]:
            twin = twins.record(unit, task.resource.id, work.job, handed)
            generator = made.manifest["generator"]
            if generator and generator["fallback"]:
                unit.audit("simulated:fallback", "resource", task.resource.id, code=generator["fallback"]["code"])
            _renew(unit, task)
            return {"rows": twin.rows, "engine": twin.engine, "twin": twin.number, **_planned(made)}

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        unit.audit("simulated:fail", "resource", job.subject_id, code=error.code)
        if isinstance(error, GatesFailed):
            twins.record(unit, job.subject_id, job, _made(error.task, error.made, None))


@dataclass
class _Progress:
    """Engines say how far they are; the job's row shows it, and a job that was cancelled stops at the next word."""

    work: Work
    said: float = field(default=0.0)

    def __call__(self, stage: str, share: float) -> None:
        """`share` of the whole simulation, 0 to 1. Raises `ClaimLost` when the job may not go on."""
        now = time.monotonic()
        if now - self.said >= _PAUSE:
            self.said = now
            self.work.reached(stage, _FROM + int((_TO - _FROM) * min(max(share, 0.0), 1.0)))


def _task(work: Work, lake: Lake) -> Task:
    with work.platform.system() as unit:
        resource = repository.get(unit.session, work.job.subject_id)
        version = repository.version(unit.session, resource.id, resource.current_version or 0)
        parents, numbers, references = _parents(unit, lake, resource)
        columns = repository.columns(unit.session, resource.id)
        propose(unit, resource.id, version.number)  # versions taken in before plans were kept, or by older rules
        fields = plan(columns, resource.declared, references, version.rows, answers_for(unit, resource.id, columns))
        return Task(
            resource=resource, department=accounts.organisation(unit.session, resource.organisation_id).name,
            version=version.number, basis=twins.basis(unit.session, resource), fields=fields,
            files=lake.files(resource.typed_table, version.lake_version), parents=parents, parent_twins=numbers,
            rules=rules_of(resource.declared, fields),
            policy=editions.in_force(unit, "simulation"), engine=str(resource.declared.get("engine", "auto")),
            asked=_asked(unit, resource, work.job.payload), planner=planner(work.platform.settings),
        )  # fmt: skip


def _asked(unit: Unit, resource: Resource, payload: Mapping[str, Any]) -> dict[str, int]:
    before = next(iter(twins.every(unit.session, resource.id)), None)
    return (before.asked if before else {}) | {k: int(payload[k]) for k in ("rows", "seed") if k in payload}


def planner(settings: Settings) -> LanguageModel | None:
    """The language model that this installation may ask for generator plans, if one is configured."""
    key = settings.model_key.get_secret_value() if settings.model_key else None
    return LanguageModel.configured(settings.model_url, settings.model_name, key)


def _parents(
    unit: Unit, lake: Lake, resource: Resource
) -> tuple[dict[str, ParentTwin], dict[str, int], dict[str, tuple[str, str]]]:
    """Twins of the resources this one refers to, their numbers, and column → (parent, column) for those there are."""
    parents: dict[str, ParentTwin] = {}
    numbers: dict[str, int] = {}
    references: dict[str, tuple[str, str]] = {}
    for link in resource.declared.get("references", []):
        parent = next((r for r in repository.every(unit.session) if r.name == link["resource"]), None)
        twin = twins.current(unit.session, parent) if parent else None
        if parent is None or twin is None or parent.current_version is None:
            continue
        version = repository.version(unit.session, parent.id, parent.current_version)
        columns = repository.columns(unit.session, parent.id)
        planned = plan(columns, parent.declared, {}, version.rows, answers_for(unit, parent.id, columns))
        parents[parent.name] = ParentTwin(
            lake.files(parent.simulated_table, twin.lake_version),
            lake.files(parent.typed_table, version.lake_version),
            tuple(f for f in kept(planned) if f.semantic), version.rows,  # nothing unexplained is looked at
        )  # fmt: skip
        numbers[parent.id] = twin.number
        references[link["column"]] = (parent.name, link["to"])
    return parents, numbers, references


def _renew(unit: Unit, task: Task) -> None:
    """Ask for what is stale now: tables whose keys come from this one, and this one itself when what it was made of
    changed meanwhile (its parent's twin came, say)."""
    resource = repository.get(unit.session, task.resource.id)
    late = {
        parent.id for parent in repository.every(unit.session, state="published")
        if parent.name in twins.parent_names(resource) and twins.current(unit.session, parent)
    } - set(task.parent_twins)  # fmt: skip
    twin = twins.current(unit.session, resource)
    if late or (twin and twins.stale(unit.session, resource, twin)):
        twins.renew(unit, resource.id)
    for other in twins.followers(unit.session, resource):
        twins.renew(unit, other.id)


def _simulate(task: Task, progress: _Progress) -> Simulated:
    import polars as pl

    frame = pl.read_parquet(task.files)
    parents = {
        name: Parent(
            pl.read_parquet(p.files), p.rows, pl.scan_parquet(p.real_files).select(f.name for f in p.fields).collect(),
            p.fields,
        )
        for name, p in task.parents.items()
    }
    made = simulate(
        frame, task.fields, rows=task.asked.get("rows", max(1, min(frame.height, DEFAULT_ROWS))), seed=task.seed,
        engine=task.engine, policy=task.policy, name=task.resource.name, parents=parents, constraints=task.rules,
        planner=task.planner, progress=progress,
    )  # fmt: skip
    made.manifest["parents"] = sorted(parents)
    return made


def _planned(made: Simulated) -> dict[str, Any]:
    """Who planned the columns that no row was read for, and why it was not the model that was to be asked."""
    generator = made.manifest["generator"]
    return {} if generator is None else {"planned_by": generator["source"], "planner_failed": generator["fallback"]}


def _publish(lake: Lake, task: Task, made: Simulated, once: str) -> int:
    """Write the twin into the lake, marked as simulated."""
    import pyarrow as pa

    table = made.frame.to_arrow()
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    facts = {"mark": "仿真数据", "engine": str(made.manifest["engine"]["used"]), "job": once}
    return lake.write(task.resource.simulated_table, reader, mode="overwrite", facts=facts, once=once)


def _files(work: Work, lake: Lake, task: Task, made: Simulated, version: int) -> Made:
    """Everything people get of the twin, each file once under its digest."""
    from synthetic.formats import FORMATS, Subject, write_all
    from synthetic.preview import field_dictionary

    shown = public(made.manifest)
    fields = field_dictionary(task.made, shown)
    rows = lake.files(task.resource.simulated_table, version)
    written = write_all(Subject(rows, fields, shown, _cover(task, made)), work.folder)
    titles = {rule.id: rule.title for rule in task.policy.rules}
    store = work.platform.settings.twin_files
    files = {
        k: _keep(path, store, FORMATS[k].media, FORMATS[k].ending, FORMATS[k].label) for k, path in written.items()
    }
    for key, (audience, ending, label) in _REPORTS.items():
        path = work.folder / f"{key}.html"
        path.write_text(report(made.manifest, titles, audience), encoding="utf-8")
        files[key] = _keep(path, store, _HTML, ending, label)
    return _made(task, made, version, files)


def _made(task: Task, made: Simulated, version: int | None, files: Mapping[str, Any] | None = None) -> Made:
    from synthetic.preview import distributions, field_dictionary

    shown = public(made.manifest)
    return Made(
        version=task.version, basis=task.basis, parents=task.parent_twins, lake_version=version, asked=task.asked,
        manifest=made.manifest, public=shown, fields=field_dictionary(task.made, shown),
        distributions=[] if version is None else distributions(made.frame, task.made), files=files or {},
    )  # fmt: skip


def _cover(task: Task, made: Simulated) -> list[tuple[Text, str]]:
    """What the first sheet of a workbook says besides the warning."""
    fidelity, verdict = made.manifest["fidelity"], made.manifest["verdict"]
    return [
        (Text("数源部门", "department"), task.department),
        (Text("模拟的版本", "imitates version"), f"第 {task.version} 版"),
        (Text("仿真行数", "rows"), f"{made.frame.height:,}"),
        (Text("生成引擎", "engine"), str(made.manifest["engine"]["version"])),
        (Text("随机种子", "seed"), str(made.manifest["seed"])),
        (Text("适用范围", "good for"), str(fidelity["words"]["zh"])),
        (Text("检验规则", "gates"), f"{verdict['edition']}（{verdict['digest'][:12]}）"),
        (Text("内容摘要", "content SHA-256"), str(made.manifest["digest"])),
    ]


def _keep(path: Path, store: Path, media: str, ending: str, label: Text) -> dict[str, Any]:
    """Move a file into the store under its SHA-256; the same bytes again change nothing."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    size = path.stat().st_size
    path.replace(store / digest.hexdigest())
    return {"sha256": digest.hexdigest(), "bytes": size, "media": media, "ending": ending, "label": label.as_dict()}
