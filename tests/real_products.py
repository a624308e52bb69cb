"""A real product over real rows, waiting at the export gate: what tests of the gate's own job share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sandbox.applications import repository as applications
from sandbox.catalog import repository as catalogue
from sandbox.exports import drafting
from sandbox.exports import repository as export_records
from sandbox.exports import service as exports
from sandbox.kernel import jobs
from sandbox.kernel.ids import new_id
from sandbox.lake import Lake
from sandbox.products import artefact, repository, service
from sandbox.products.releasing import declared
from sandbox.products.spec import parse
from sandbox.workspaces import snapshot
from tests.factories import CONTEXT, World

ROWS = "SELECT '人' || range AS 身份证号, '区' || (range % 3) AS 区, (50 + range % 40)::DOUBLE AS 费用 FROM range(600)"


def opened(world: World, rows: str = ROWS) -> tuple[str, str]:
    """A workspace with one grant of a table that holds `rows`, its snapshot made: (workspace, grant)."""
    workspace_id = world.workspace()
    real = duckdb.sql(rows).to_arrow_table()
    with world.system() as unit:
        from sandbox.workspaces.repository import get

        held = applications.grants(unit.session, get(unit.session, workspace_id).application_id)[0]
        resource = catalogue.get(unit.session, held.resource_id)
        lake = Lake(unit.settings.lake_root)
        version = catalogue.version(unit.session, held.resource_id, held.version)
        version.lake_version = _write(lake, resource.typed_table, real)
        version.lake_digest = lake.digest(resource.typed_table, version.lake_version)
        world.verified(unit, resource.id, version.lake_version)
        made = snapshot.build(
            lake.files(resource.typed_table, version.lake_version), snapshot.Content(list(held.columns)),
            out_root=unit.settings.snapshots_root, room=snapshot.Room(256, 1), source={"grant": held.id},
        )  # fmt: skip
        held.snapshot = {side: {"digest": made.digest, "columns": [], "rows": 600} for side in ("real", "twin")}
        return workspace_id, held.id


def _write(lake: Lake, table: str, rows: pa.Table) -> int:
    return lake.write(table, rows.to_reader(), mode="overwrite", facts={}, once=f"test-{table}")


def product(world: World, workspace_id: str, spec: dict[str, Any], values: str = "") -> str:
    """The artefact that a run of `spec` leaves, without the run: `values` are its rows as SQL over nothing."""
    with world.by(world.merchant) as unit:
        run_id = service.start_run(unit, workspace_id, spec).id
    with world.system() as unit:
        for waiting in jobs.of_subject(unit.session, "run", run_id):
            waiting.state = "cancelled"
    text = values or f"SELECT 区, count(*) AS 人次 FROM ({ROWS}) GROUP BY 区 ORDER BY 区"
    job, rows = parse(spec), duckdb.sql(text).fetchall()
    made = artefact.write(job.file_name, declared(job, rows, base=5))
    root: Path = world.platform.settings.artefacts_root
    root.mkdir(parents=True, exist_ok=True)
    (root / made.sha256).write_bytes(made.content)
    with world.system() as unit:
        kept = repository.Artefact(
            id=new_id("art"), organisation_id=world.merchant.organisation_id, run_id=run_id, name=made.name,
            sha256=made.sha256, bytes=len(made.content), rows=made.rows, columns=list(made.columns),
            lineage={"spec": "sha256:x", "inputs": {}}, created_at=unit.now,
        )  # fmt: skip
        service.succeed(unit, run_id, {"rows": 3}, {"state": "done", "rows_bucket": "1-10"}, kept)
        return kept.id


def submitted(world: World, artefact_id: str) -> str:
    """An export of it whose check waits in the outbox; the request's id."""
    with world.by(world.merchant) as unit:
        request = drafting.draft(
            unit, artefact_id=artefact_id, title="门诊量", remark="按区", audience="public", context=CONTEXT
        )
        exports.submit(unit, request.id)
        return request.id


def verdict(world: World, request_id: str) -> tuple[str, dict[str, Any]]:
    """The request's state and what the machine said."""
    with world.system() as unit:
        record = export_records.get(unit.session, request_id)
        return record.state, dict(record.verdict or {})
