"""Grants take effect and end: projected snapshots of the real rows and of the simulated twin, and their disposal.

Three bindings a grant: `real` (every granted column, for jobs only), `rows` (what the levels let people read, direct
identifiers as pseudonyms; absent where nothing may be read) and `twin` (the simulated columns).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.text import Text, UserError
from sandbox.applications import repository as applications
from sandbox.applications import rowrule, service
from sandbox.applications.repository import Grant
from sandbox.catalog import repository as catalogue
from sandbox.catalog.repository import Resource
from sandbox.kernel import editions
from sandbox.kernel.errors import InvalidTransition, Unavailable
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.unit import Unit
from sandbox.lake import Lake
from sandbox.workspaces import ending, own_record, pseudonyms, readable, snapshot, uploads
from sandbox.workspaces import repository as workspaces
from sandbox.workspaces.readable import TableUse
from sandbox.workspaces.snapshot import Content, Room


@dataclass(frozen=True, slots=True)
class _Planned:
    """One grant with what building its bindings needs."""

    grant: Grant
    resource: Resource
    lake_version: int
    where: str
    use: TableUse


class Granting:
    """Builds the bindings of every grant: exactly the approved columns and rows, nothing else in the bytes."""

    def run(self, work: Work) -> Effect:
        application_id, settings = work.job.subject_id, work.platform.settings
        with work.platform.system() as unit:
            if applications.get(unit.session, application_id).state != "agreement_signed":
                raise InvalidTransition(
                    "grant.not_signed", Text("该申请不在待授权状态", "The application does not wait for its grants"),
                    fix=Text("无需处理", "Nothing has to be done"),
                )  # fmt: skip
            planned = [_plan(unit, g) for g in applications.grants(unit.session, application_id)]
            limits = editions.in_force(unit, "workspace").by_check("run_limits").parameters
        builder = _Builder(
            Lake(settings.lake_root), settings.snapshots_root, Room(limits.duckdb_memory_mb, limits.threads),
            pseudonyms.key_of(settings.keys_root, application_id), application_id,
        )  # fmt: skip
        built: dict[str, dict[str, Any]] = {}
        for number, one in enumerate(planned):
            built[one.grant.id] = work.step(
                "snapshot", 100 * number // len(planned), lambda p=one: builder.bindings(p),  # type: ignore[misc]
                about=one.grant.resource_id,
            )  # fmt: skip
        _claim(work, application_id, built, settings.snapshots_root)

        def effect(unit: Unit) -> Mapping[str, Any]:
            service.activate(unit, application_id, built)
            return {"grants": len(built)}

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        """The agreement stands; an operator retries the job."""


def _plan(unit: Unit, granted: Grant) -> _Planned:
    resource = catalogue.get(unit.session, granted.resource_id)
    version = catalogue.version(unit.session, granted.resource_id, granted.version)
    return _Planned(granted, resource, version.lake_version, rows_of(unit, granted), readable.of_grant(unit, granted))


def rows_of(unit: Unit, granted: Grant) -> str:
    """The grant's row rule as SQL over the granted version; empty for every row."""
    types = {c.name: c.type for c in catalogue.columns(unit.session, granted.resource_id, granted.version)}
    return rowrule.sql([rowrule.Condition.of(c) for c in granted.rows], types)


@dataclass(frozen=True, slots=True)
class _Builder:
    """Writes the bindings of grants of one application."""

    lake: Lake
    root: Path
    room: Room
    key: pseudonyms.Key
    application_id: str

    def bindings(self, planned: _Planned) -> dict[str, Any]:
        granted, resource = planned.grant, planned.resource
        twin_of = resource.simulated_version
        if twin_of is None or set(granted.columns) - set(self.lake.schema(resource.simulated_table, twin_of).names):
            # While a new version's twin is being made, the one before may lack its columns.
            raise Unavailable(
                "grant.no_twin",
                Text(f"资源“{resource.name}”的仿真数据尚未发布", f"“{resource.name}” has no simulated twin yet"),
                fix=Text("请运营人员先完成仿真数据，再重试任务", "Finish its simulated data, then retry the job"),
            )
        columns = list(granted.columns)
        real = self._build(
            self.lake.files(resource.typed_table, planned.lake_version), Content(columns, planned.where),
            resource=resource.id, version=planned.lake_version, binding="real", rows=granted.rows,
        )  # fmt: skip
        twin = self._build(
            self.lake.files(resource.simulated_table, twin_of), Content(columns),
            resource=resource.id, version=twin_of, binding="simulated",
        )  # fmt: skip
        made = {"real": _manifest(real), "twin": _manifest(twin)}
        return made | ({"rows": self._rows(planned, real)} if planned.use.readable else {})

    def _rows(self, planned: _Planned, real: snapshot.Snapshot) -> dict[str, Any]:
        """The readable part, out of the real snapshot; with pseudonyms it is this application's alone."""
        use = planned.use
        if use.plan() == dict.fromkeys(planned.grant.columns, "rows"):
            return _manifest(real) | {"plan": use.plan()}  # all of it may be read as it is: the same bytes
        kinds = {c.name: c.domain for c in use.readable if c.domain}
        whose = {"application": self.application_id} if kinds else {}
        rows = self._build(
            [str(real.path)], Content([c.name for c in use.readable], kinds=kinds, key=self.key),
            of=real.digest, binding="rows", plan=use.plan(), **whose,
        )  # fmt: skip
        return _manifest(rows) | {"plan": use.plan()}

    def _build(self, files: list[str], content: Content, **source: Any) -> snapshot.Snapshot:
        return snapshot.build(files, content, out_root=self.root, room=self.room, source=source)


def _manifest(made: snapshot.Snapshot) -> dict[str, Any]:
    columns = [list(c) for c in made.columns]
    return {"digest": made.digest, "columns": columns, "rows": made.rows, "sha256": made.sha256, "bytes": made.bytes}


def _claim(work: Work, application_id: str, built: Mapping[str, Mapping[str, Any]], root: Path) -> None:
    """Say whose the snapshots are before relying on them: from here on no disposal of an equal grant removes them.

    One that a disposal took in between is missing now, and the job's next attempt builds it anew.
    """
    with work.platform.system() as unit:
        for one in applications.grants(unit.session, application_id):
            one.snapshot = dict(built[one.id])
    for bindings in built.values():
        for manifest in bindings.values():
            snapshot.load(root, manifest["digest"])


class Disposal:
    """Removes the bytes of an ended application's grants, its key, what its workspace made of real rows, and what was
    brought into it."""

    def run(self, work: Work) -> Effect:
        application_id, settings = work.job.subject_id, work.platform.settings
        with work.platform.system() as unit:
            service.require_ended(unit, application_id)
            grants = applications.grants(unit.session, application_id)
            folders = ending.real_folders(unit, application_id)
            workspace = workspaces.of_application(unit.session, application_id)
            brought = [u.id for u in own_record.uploads(unit.session, workspace.id)] if workspace else []
        digests = sorted({m["digest"] for g in grants for m in (g.snapshot or {}).values()})
        for digest in digests:
            snapshot.set_aside(settings.snapshots_root, digest)
        ending.end_holders([*digests, *brought])
        with work.platform.system() as unit:  # only now: an equal grant may have come meanwhile
            shared = applications.snapshot_digests(unit.session, except_application=application_id)
        disposals = {g.id: _dispose(settings.snapshots_root, g, shared) for g in grants}
        swept = ending.remove_folders(folders)
        gone = {"pseudonym_key": {"gone": pseudonyms.destroy(settings.keys_root, application_id)}, "folders": swept}
        snapshot.sweep(settings.snapshots_root)

        def effect(unit: Unit) -> Mapping[str, Any]:
            service.end_grants(unit, application_id, disposals, gone)
            if workspace is not None:
                uploads.end_with(unit, workspace)
            return {"grants": len(disposals)}

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        """The application has ended already; upkeep asks again, and reading the bytes is refused meanwhile."""


def _dispose(root: Path, granted: Grant, shared: set[str]) -> dict[str, Any]:
    """What is gone, per binding; a snapshot that another live grant shares stays, and the record says so."""
    record: dict[str, Any] = {}
    for binding, manifest in (granted.snapshot or {}).items():
        digest = manifest["digest"]
        if digest in shared:
            snapshot.bring_back(root, digest)
        stays = digest in shared
        facts = {fact: manifest.get(fact) for fact in ("digest", "sha256", "bytes", "rows")}
        record[binding] = {**facts, "gone": not stays and snapshot.dispose(root, digest), "shared": stays}
    return record
