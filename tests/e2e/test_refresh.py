"""Departments' tables refreshed by the real scheduler: schedules, limits, failures, cancelling, trying again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from api.demo import city
from api.demo.client import Client
from sandbox.catalog import deliveries, repository, sources
from sandbox.catalog import service as catalog
from sandbox.detection import ColumnTally, scan_column, scan_table, summarise
from sandbox.kernel import accounts, jobs
from sandbox.kernel.identity import Actor
from sandbox.kernel.jobs import Job
from sandbox.kernel.settings import Settings
from sandbox.kernel.steps import Kept, Step, key_of
from sandbox.kernel.unit import Platform
from tests.e2e.cluster import kill_busy_worker, two_workers
from tests.e2e.server import Server

ROWS = [f"{i},示范区{i % 13},{i % 97}" for i in range(40_000)]
PLANTED = ("上官示例", "440106199001011234", "13912345678")
"""a name, a resident ID and a mobile number that nobody holds"""
EVERY_MINUTE = "* * * * *"


@dataclass
class Operations:
    """`pds up` with one table of a department at a time, and the hands of its people."""

    server: Server
    platform: Platform
    client: Client

    def actor(self, login: str) -> Actor:
        with self.platform.system() as unit:
            account = accounts.account_by_login(unit.session, login)
        assert account is not None
        return account.actor()

    def table(self, login: str, name: str, **declared: Any) -> str:
        """A resource whose deliveries come from its drop folder."""
        owner = self.actor(login)
        with self.platform.begin(owner) as unit:
            made = catalog.register(
                unit, name=name, description="", update_cycle="每日", registration_code=f"T-{name}",
                declared=declared,
            )  # fmt: skip
            sources.declare(unit, made.id, {"kind": "drop"})
        return made.id

    def drop(self, resource_id: str, content: str, name: str = "表.csv") -> None:
        """A file that was completely written a minute ago."""
        with self.platform.system() as unit:
            folder = sources.drop_folder(unit.settings, repository.get(unit.session, resource_id))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_text(content, encoding="utf-8")
        then = time.time() - 60
        os.utime(path, (then, then))

    def jobs_of(self, resource_id: str, kind: str = "ingest") -> list[Job]:
        with self.platform.system() as unit:
            return [j for j in jobs.of_subject(unit.session, "resource", resource_id) if j.kind == kind][::-1]

    def job(self, job_id: str) -> Job:
        with self.platform.system() as unit:
            return jobs.get(unit.session, job_id)

    def summary_of(self, organisation_id: str) -> Job | None:
        """The summary of the department's first round, once it is written."""
        with self.platform.system() as unit:
            found = jobs.of_subject(unit.session, "organisation", organisation_id)
        ended = [j for j in found if j.kind == "refresh_summary" and j.state == "succeeded"]
        return ended[-1] if ended else None

    def wait(self, what: Callable[[], Any], seconds: float = 90) -> Any:
        """The first true answer. Raises with the state of every job when there is none in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if answer := what():
                return answer
            time.sleep(0.3)
        with self.platform.system() as unit:
            known = [(j.kind, j.subject_id, j.state, j.step, j.error_code) for j in unit.session.query(Job).all()]
        raise AssertionError(f"not in {seconds} s: {known}")

    @property
    def scheduler(self) -> str:
        text = self.server.log.read_text()
        return next(w for w in text.split() if w.startswith("http://127.0.0.1") and w.endswith("/api"))

    def prefect(self, path: str, **body: Any) -> Any:
        """What Prefect's API answers; one that is busy (its SQLite file is locked) is asked again."""
        for _ in range(10):
            answer = httpx.post(f"{self.scheduler}{path}", json=body, timeout=30)
            if answer.status_code < 500:
                break
            time.sleep(1)
        assert answer.is_success, answer.text[:500]
        return answer.json()

    def deployment(self, name: str) -> Any:
        return httpx.get(f"{self.scheduler}/deployments/name/{name}", timeout=10).json()


@pytest.fixture(scope="module")
def ops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operations]:
    settings = {"PDS_DEPARTMENT_LIMIT": "1", "PDS_LOST_AFTER_SECONDS": "30"}
    server = Server.start(tmp_path_factory.mktemp("refresh") / "home", "--no-settle", settings=settings)
    try:
        server.wait_for("portal", "scheduler", "worker")
        platform = Platform(Settings(home=server.home))
        with httpx.Client(base_url=server.url, timeout=30) as http:
            client = Client(http)
            client.sign_in("operator", city.password_of(platform))
            yield Operations(server, platform, client)
    finally:
        server.stop()


def csv(*rows: str) -> str:
    return "\n".join(["序号,所属区,人次", *rows]) + "\n"


def test_the_schedule_fires_tables_queue_behind_their_department_and_a_failed_one_stops_nobody(ops: Operations) -> None:
    """The real scheduler starts the round: two tables are taken in one after the other, one is sent back."""
    good, second, bad = (ops.table("health", name) for name in ("门诊人次", "住院人次", "坏表"))
    quiet, other = ops.table("health", "没有文件"), ops.table("police", "警情")
    ops.drop(good, csv(*ROWS))
    ops.drop(second, csv(*ROWS[:-1]))
    ops.drop(bad, "只有一列\n甲\n乙\n")
    health = ops.actor("health").organisation_id
    plan = ops.client.post("operator", f"/schedules/{health}/cron", {"cron": EVERY_MINUTE})
    assert (plan["cron"], plan["by_cycle"], plan["tables"]) == (EVERY_MINUTE, False, 4)
    ops.wait(lambda: ops.jobs_of(good), 120)
    _deliver(ops, other, csv(*ROWS[:-2]))
    summary = ops.wait(lambda: ops.summary_of(health), 120)
    ops.client.post("operator", f"/schedules/{health}/pause", {"paused": True})
    ops.wait(lambda: [x["active"] for x in ops.deployment(f"city_refresh/{health}")["schedules"]] == [False], 20)
    outcomes = {t["resource_id"]: t["outcome"] for t in summary.result["tables"]}
    assert outcomes == {good: "delivered", second: "delivered", bad: "failed", quiet: "nothing"}
    assert (summary.result["delivered"], summary.result["failed"]) == (2, 1)
    taken = sorted((j.started_at, j.finished_at) for r in (good, second, bad) for j in ops.jobs_of(r))
    assert all(ended <= began for (_, ended), (began, _) in pairwise(taken)), "the department's limit was not kept"
    assert ops.jobs_of(other)[0].started_at < taken[-1][0], "another department waited for this one"
    runs = ops.prefect("/flow_runs/filter", flows={"name": {"any_": ["city_refresh"]}})
    assert any(r["auto_scheduled"] and r["state_type"] == "COMPLETED" for r in runs)


def _deliver(ops: Operations, resource_id: str, content: str) -> None:
    from io import BytesIO

    digest, size = deliveries.store_delivery(ops.platform.settings.inbox, BytesIO(content.encode()), 1 << 30)
    with ops.platform.system() as unit:
        deliveries.deliver(unit, resource_id, file_name="表.csv", sha256=digest, size=size)


def test_a_cancelled_job_stops_within_seconds_leaves_nothing_and_can_be_tried_again(ops: Operations) -> None:
    resource = ops.table("civil", "低保")
    rows = [f"{i},欧阳示例{i % 8999},示范路{i}号,{13800000000 + i}" for i in range(300_000)]
    rows[:200] = [f"{i},{','.join(PLANTED)}" for i in range(200)]
    _deliver(ops, resource, "序号,姓名,身份证号,电话\n" + "\n".join(rows) + "\n")
    job_id = ops.jobs_of(resource)[0].id
    ops.wait(lambda: ops.job(job_id).step in ("quality", "detect"))
    ops.client.post("operator", f"/jobs/{job_id}/cancel")
    ops.wait(lambda: ops.job(job_id).state == "cancelled", 60)
    with ops.platform.system() as unit:
        told = repository.get(unit.session, resource)
        assert (told.state, told.current_version) == ("registered", None)
        assert repository.deliveries(unit.session, resource)[0].state == "refused"
        assert repository.versions(unit.session, resource) == []
    assert not (ops.server.home / "work" / job_id / "1").exists()
    ops.client.post("operator", f"/jobs/{job_id}/retry")
    done = ops.wait(lambda: (j := ops.job(job_id)).finished_at and j.attempt == 2 and j, 180)
    assert done.state == "succeeded", (done.error_code, done.error)
    second, first = ops.client.get("operator", f"/jobs/{job_id}")["attempts"]
    assert (first["state"], first["error_code"]) == ("cancelled", "job.cancelled")
    before, again = ({s["name"]: s for s in attempt["steps"]} for attempt in (first, second))
    assert (before["land"]["state"], again["land"]["state"]) == ("done", "reused")
    last = first["steps"][-1]
    behind = (last["name"] in ("quality", "detect"), last["state"]) == (True, "done")
    assert last["state"] == "stopped" or behind, "stopped in the step, or behind it where it had just ended"
    assert again["detect"]["parts"] == 4
    if before.get("detect", {}).get("state") == "done":
        assert again["detect"]["reused"] == 4, "what was found in columns is not looked for again"
    landings = _task_states(ops, "land", job_id, 2)
    assert landings.count("Completed") <= 1, "what had landed is not landed again"
    assert set(landings) <= {"Cached", "Completed"}


def _task_states(ops: Operations, name: str, job_id: str, expected: int) -> list[str]:
    """How the task ended in each run of the job, as far as Prefect knows.

    It writes task runs from events, a little later, and drops events while its database is busy: one that is missing
    says nothing. What the platform itself recorded of each step is complete.
    """
    flow_runs = ops.prefect("/flow_runs/filter", flow_runs={"name": {"any_": [f"ingest-{job_id}"]}})
    ids = [r["id"] for r in flow_runs]
    end = time.monotonic() + 30
    while True:
        runs = ops.prefect("/task_runs/filter", flow_runs={"id": {"any_": ids}}, task_runs={"name": {"like_": name}})
        states = [r["state_name"] for r in runs if r["state_type"] == "COMPLETED"]
        if len(states) >= expected or time.monotonic() > end:
            return states
        time.sleep(0.3)


def test_prefect_itself_keeps_the_limit_for_runs_that_nobody_handed_out(ops: Operations) -> None:
    """Two runs started in Prefect at once, past the platform's own queue: the second waits for the first."""
    with ops.platform.system() as unit:
        mine = [r for r in repository.every(unit.session) if r.name in ("门诊人次", "住院人次")]
    found = ops.deployment(f"refresh_dataset/{mine[0].organisation_id}")
    assert found["global_concurrency_limit"]["limit"] == 1
    runs = [
        ops.prefect(f"/deployments/{found['id']}/create_flow_run", parameters={"resource_id": r.id})["id"] for r in mine
    ]

    def ended() -> list[Any]:
        rows = ops.prefect("/flow_runs/filter", flow_runs={"id": {"any_": runs}}, sort="START_TIME_ASC")
        return rows if all(r["state_type"] == "COMPLETED" for r in rows) else []

    first, second = ops.wait(ended)
    assert first["end_time"] <= second["start_time"]


def test_artifacts_say_what_the_catalogue_says(ops: Operations) -> None:
    with ops.platform.system() as unit:
        resource = next(r for r in repository.every(unit.session) if r.name == "门诊人次")
        columns = repository.columns(unit.session, resource.id)
    found = ops.prefect("/artifacts/filter", artifacts={"key": {"any_": [f"grading-{resource.id}"]}})
    sheet = json.loads(found[0]["data"])
    assert [(r["列"], r["级别"], r["角色"]) for r in sheet] == [(c.name, c.level, c.identifier_role) for c in columns]
    (card,) = ops.prefect("/artifacts/filter", artifacts={"key": {"any_": [f"quality-{resource.id}"]}})
    assert "0201" in card["data"]


def test_what_prefect_keeps_is_for_this_account_only_and_holds_no_value_of_a_record(ops: Operations) -> None:
    """The values of the table that the test before has taken in twice, once cancelled."""
    settings = ops.platform.settings
    assert settings.step_results.stat().st_mode & 0o077 == 0
    assert any(settings.step_results.iterdir())
    kept = [p for p in settings.prefect_home.rglob("*") if p.is_file()]
    assert len(kept) > 5
    leaks = [(p, value) for p in kept for value in PLANTED for form in _forms(value) if form in p.read_bytes()]
    assert leaks == []


def _forms(value: str) -> tuple[bytes, ...]:
    """A value as it would stand in a file: plain, or escaped once or twice in JSON."""
    once = json.dumps(value)[1:-1]
    return value.encode(), once.encode(), json.dumps(once)[1:-1].encode()


def test_columns_scanned_on_a_cluster_are_those_of_one_machine_though_a_worker_dies(
    ops: Operations, tmp_path: Path
) -> None:
    """Two worker processes; one is killed while it scans. Only summaries come back, and they are the same."""
    from prefect import flow
    from prefect.settings import PREFECT_API_URL, PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    from pipelines.flows import TaskSteps

    table = _people(5_000)
    file = tmp_path / "t.parquet"
    table.write_parquet(file)
    steps = [
        Step("detect", scan_column, ([str(file)], name, ""), label=name, kept=Kept(key_of(name), ColumnTally))
        for name in table.columns
    ]
    results = tmp_path / "results"
    with two_workers() as cluster, ThreadPoolExecutor(1) as pool:
        there = TaskSteps(Settings(home=tmp_path, dask_address=cluster.scheduler_address))
        with temporary_settings({PREFECT_API_URL: ops.scheduler, PREFECT_LOCAL_STORAGE_PATH: results}):
            killed = pool.submit(kill_busy_worker, cluster.scheduler_address)
            looks = flow(lambda: there.fan(steps), name="columns", persist_result=False)()
            assert killed.result(60) > 0
            again = flow(lambda: TaskSteps(Settings(home=tmp_path)).fan(steps), name="columns")()
    assert summarise(dict(zip(table.columns, looks, strict=True))).as_dict() == scan_table(table).as_dict()
    assert again == looks
    assert len(list(results.iterdir())) == len(steps), "what the cluster found is remembered for one machine, too"


def _people(rows: int) -> pl.DataFrame:
    """A table in which every column makes work: identifiers, names, addresses, coordinates."""
    ids = [f"44010619{60 + n % 40}0101{n % 10_000:04d}" for n in range(rows)]
    return pl.DataFrame(
        {
            "身份证号": ids,
            "手机号": [f"138{n:08d}" for n in range(rows)],
            "姓名": [
                f"{'赵钱孙李周吴郑王'[n % 8]}{'一二三四五六七八九'[n % 9]}{'甲乙丙丁'[n % 4]}" for n in range(rows)
            ],
            "住址": [f"示范区示范路{n % 997}号{n % 31}室" for n in range(rows)],
            "备注": [f"第{n}次，联系人电话 139{n:08d}" if n % 3 else "无" for n in range(rows)],
            "经度": [f"113.{n:05d}" for n in range(rows)],
            "纬度": [f"23.{n:05d}" for n in range(rows)],
        }
    )
