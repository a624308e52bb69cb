"""Grants take effect and end: projected snapshots of the real rows and of the simulated twin, and their disposal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from policies.text import Text, UserError
from sandbox.applications import repository as applications
from sandbox.applications import service
from sandbox.applications.repository import Grant
from sandbox.catalog import repository as catalogue
from sandbox.catalog.repository import Resource
from sandbox.kernel.errors import Unavailable
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.unit import Unit
from sandbox.lake import Lake
from sandbox.workspaces import snapshot


class Granting:
    """Builds both bindings of every grant: exactly the approved columns, nothing else in the bytes."""

    def run(self, work: Work) -> Effect:
        application_id = work.job.subject_id
        with work.platform.system() as unit:
            grants = applications.grants(unit.session, application_id)
            resources = {g.id: catalogue.get(unit.session, g.resource_id) for g in grants}
            versions = {g.id: catalogue.version(unit.session, g.resource_id, g.version).lake_version for g in grants}
        lake, root = Lake(work.platform.settings.lake_root), work.platform.settings.snapshots_root
        built: dict[str, dict[str, Any]] = {}
        for number, granted in enumerate(grants):
            built[granted.id] = work.step(
                "snapshot", 100 * number // len(grants),
                lambda g=granted: _both(lake, root, g, resources[g.id], versions[g.id]),  # type: ignore[misc]
                about=granted.resource_id,
            )  # fmt: skip

        def effect(unit: Unit) -> Mapping[str, Any]:
            service.activate(unit, application_id, built)
            return {"grants": len(built)}

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        """The agreement stands; an operator retries the job."""


def _both(lake: Lake, root: Path, granted: Grant, resource: Resource, version: int) -> dict[str, Any]:
    twin_of = resource.simulated_version
    if twin_of is None or set(granted.columns) - set(lake.schema(resource.simulated_table, twin_of).names):
        # While a new version's twin is being made, the one before may lack its columns.
        raise Unavailable(
            "grant.no_twin",
            Text(f"资源“{resource.name}”的仿真数据尚未发布", f"“{resource.name}” has no simulated twin yet"),
            fix=Text("请运营人员先完成仿真数据，再重试任务", "Finish its simulated data, then retry the job"),
        )
    columns = list(granted.columns)
    real = snapshot.build(
        lake.files(resource.typed_table, version), columns, out_root=root,
        source={"resource": resource.id, "version": version, "binding": "real"},
    )  # fmt: skip
    twin = snapshot.build(
        lake.files(resource.simulated_table, twin_of), columns, out_root=root,
        source={"resource": resource.id, "version": twin_of, "binding": "simulated"},
    )  # fmt: skip
    return {"real": _manifest(real), "twin": _manifest(twin)}


def _manifest(made: snapshot.Snapshot) -> dict[str, Any]:
    return {"digest": made.digest, "columns": [list(c) for c in made.columns], "rows": made.rows}


class Disposal:
    """Removes the bytes of an ended application's grants and records what is gone."""

    def run(self, work: Work) -> Effect:
        application_id, root = work.job.subject_id, work.platform.settings.snapshots_root
        with work.platform.system() as unit:
            grants = applications.grants(unit.session, application_id)
            shared = applications.snapshot_digests(unit.session, except_application=application_id)
        disposals = {g.id: _dispose(root, g, shared) for g in grants if g.snapshot}

        def effect(unit: Unit) -> Mapping[str, Any]:
            service.end_grants(unit, application_id, disposals)
            return {"grants": len(disposals)}

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        """The application has ended already; the bytes wait for a retry, and reading them is refused meanwhile."""


def _dispose(root: Path, granted: Grant, shared: set[str]) -> dict[str, Any]:
    """What is gone, per binding; a snapshot that another live grant shares stays, and the record says so."""
    record: dict[str, Any] = {}
    for binding, manifest in (granted.snapshot or {}).items():
        digest = manifest["digest"]
        if digest in shared:
            record[binding] = {"digest": digest, "gone": False, "shared": True}
        elif not (root / digest).exists():
            record[binding] = {"digest": digest, "gone": True, "shared": False}
        else:
            gone = snapshot.dispose(snapshot.load(root, digest))
            record[binding] = {"digest": digest, "sha256": gone.sha256, "bytes": gone.bytes, "rows": gone.rows,
                               "gone": gone.gone, "shared": False}  # fmt: skip
    return record
