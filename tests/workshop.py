"""A merchant's open workspace with one granted table, a broker, and the steps tests take in it."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.registry import HANDLERS
from sandbox.applications import repository as applications
from sandbox.kernel.jobs import LocalExecutor, dispatch
from sandbox.workspaces import files, own_record, scripts, snapshot, uploads
from sandbox.workspaces.broker import Broker
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.own_record import ScriptRun, Upload
from sandbox.workspaces.selftest import selftest
from sandbox.workspaces.snapshot import Content, Room
from tests.factories import World

LIMITS = Limits(
    memory_mb=768, cpu_seconds=60, wall_seconds=60, processes=64, file_mb=64, result_rows=1000, result_mb=16, threads=1
)
READING = replace(LIMITS, memory_mb=2048, file_mb=256)
NOTHING_PERSONAL = uploads.Provenance("自采", "自有经营数据", "自用", False, "张工", "2026 年 1 月")
PERSONAL = uploads.Provenance("自采", "已取得个人同意", "自用", True, "张工", "2026 年 1 月")


def broker() -> Broker:
    return Broker(selftest(), LIMITS, capacity_mb=8192)


@dataclass
class Workshop:
    """One workspace of `world.merchant`, whose granted table has columns n and 区."""

    world: World
    broker: Broker
    workspace_id: str
    table: str

    @classmethod
    def open(cls, world: World, broker: Broker, tmp_path: Path) -> Workshop:
        workspace_id = world.workspace()
        source = tmp_path / "source.parquet"
        pq.write_table(pa.table({"n": [1, 2, 3], "区": ["越秀", "天河", "天河"]}), source)
        with world.system() as unit:
            built = snapshot.build([str(source)], Content(["n", "区"]), out_root=unit.settings.snapshots_root,
                                   room=Room(256, 1), source={"t": 1})  # fmt: skip
            from sandbox.workspaces import repository, service

            workspace = repository.get(unit.session, workspace_id)
            for granted in applications.grants(unit.session, workspace.application_id):
                granted.snapshot = {b: {"digest": built.digest, "columns": [], "rows": 3} for b in ("real", "twin")}
            unit.session.flush()
            (table,) = service.twin_tables(unit, workspace)
        return cls(world, broker, workspace_id, table)

    @property
    def folder(self) -> Path:
        return self.world.platform.settings.workspaces_root / self.workspace_id / "simulated"

    def start(self, source: str, name: str = "") -> str:
        started = scripts.start(
            self.world.platform, self.broker, self.world.merchant, self.workspace_id, source, name=name
        )
        return started.id

    def run(self, source: str) -> tuple[ScriptRun, str]:
        """Run to the end; the record and what it printed."""
        return self.ended(self.start(source))

    def ended(self, run_id: str) -> tuple[ScriptRun, str]:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with self.world.by(self.world.merchant) as unit:
                run = scripts.read(unit, run_id)
                if run.outcome is not None:
                    return run, scripts.output(unit, run)[0]
            time.sleep(0.05)
        raise AssertionError("the script did not end")

    def printed(self, run_id: str, wanted: str) -> None:
        """Wait until the running script has printed that."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with self.world.by(self.world.merchant) as unit:
                if wanted in scripts.output(unit, own_record.script_run(unit.session, run_id))[0]:
                    return
            time.sleep(0.02)
        raise AssertionError("nothing came")

    def bring(
        self, content: bytes, name: str = "own", *, provenance: uploads.Provenance = NOTHING_PERSONAL,
        file_name: str = "data.csv", sheet: str = "",
    ) -> Upload:  # fmt: skip
        """Upload and let the check run; the record as it is then."""
        made = uploads.bring(
            self.world.platform, self.world.merchant, self.workspace_id, io.BytesIO(content), file_name=file_name,
            name=name, provenance=provenance, statement=True, sheet=sheet,
        )  # fmt: skip
        self.check()
        return self.upload(made.id)

    def check(self) -> None:
        executor = LocalExecutor(self.world.platform, HANDLERS)
        dispatch(self.world.platform, executor)
        executor.drain()

    def upload(self, upload_id: str) -> Upload:
        with self.world.system() as unit:
            return own_record.upload(unit.session, upload_id)

    def files(self) -> dict[str, files.WorkspaceFile]:
        return {f.path: f for f in files.contents(self.folder).files}


