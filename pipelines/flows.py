"""The only importer of Prefect: flows, their deployments and schedules, and the executor that starts runs.

A flow does nothing of its own: it runs a job through `sandbox.kernel.jobs.execute`, with every step of the handler as
a Prefect task, so that Prefect retries, remembers, limits, shows and schedules, and the domain's job row stays the
truth. Prefect is told names, counts and classes of exceptions, never a record's value.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from prefect import flow, task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.deployments import run_deployment
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner
from prefect.runtime import flow_run
from prefect.schedules import Cron, Interval, Schedule
from prefect.states import Cancelling, Crashed
from prefect.task_runners import ThreadPoolTaskRunner

from pipelines.cards import ingest_cards, round_card, twin_cards
from policies.text import Text, UserError
from sandbox.catalog import schedules, twins
from sandbox.kernel import jobs
from sandbox.kernel.clock import CITY
from sandbox.kernel.jobs import Job, NotReady
from sandbox.kernel.settings import Settings
from sandbox.kernel.steps import Kept, Step, StepFailed, may_pass
from sandbox.kernel.unit import Platform, Unit

log = logging.getLogger("pds.flows")
T = TypeVar("T")

UPKEEP_EVERY = timedelta(minutes=1)
CONCURRENT = 3
"""runs at a time; each is a process of its own"""
KINDS = (
    "grant", "dispose", "run", "import", "check_export", "release", "self_check", "upkeep", "refresh_summary",
    "check_subjects",
)  # fmt: skip
"""kinds of jobs whose runs nothing limits but the machine"""
TABLE_KINDS = ("ingest", "regrade", "refresh")
"""kinds of jobs on one table, limited per department"""
TWINS = "twins"
"""deployment of the flow that makes simulated twins"""
RETRY_DELAYS = (2.0, 10.0, 60.0)
"""seconds before a patient step is tried again"""
REMEMBERED_STATE = "Cached"
"""what Prefect calls the end of a task whose result it remembered"""
REMEMBERED = timedelta(days=30)
"""results of steps are forgotten after this time"""
PREFETCH_SECONDS = 2.0
"""runs are picked up this long before they are due; shorter than the pause of a run that waits for a slot"""
STOP_SECONDS = 10.0
"""a run that was cancelled has this long to be ended by Prefect's runner before it ends itself"""
THREADS = 4
"""columns scanned at a time on one machine: each holds its own distinct values in memory"""
GRACE_SECONDS = 60
"""a slot of a department whose run never began is free again after this time"""


def _platform() -> Platform:
    """The platform of this process, by its environment; a flow run is a process of its own."""
    import sandbox.migrations.tables  # noqa: F401 - every table must be known before the first query

    return Platform(Settings())


# ---- steps --------------------------------------------------------------------------------------------------------
@lru_cache
def program() -> str:
    """SHA-256 over this program's own sources: what another program computed is not taken for its own result."""
    total = sha256()
    for package in ("pipelines", "sandbox", "policies"):
        for path in sorted((Path(__file__).parent.parent / package).rglob("*.py")):
            total.update(path.read_bytes())
    return total.hexdigest()


def scrubbed(function: Callable[[], Any], raised: list[Exception]) -> Callable[[], Any]:
    """`function` with every exception put aside and replaced by one that says its class only."""

    def step() -> Any:
        try:
            return function()
        except Exception as error:
            raised.append(error)
        raise StepFailed(type(raised[-1]).__name__)

    return step


def _stored(step: Step[Any]) -> Any:
    """A step's result as Prefect may keep it: JSON text of plain data; as it is when nothing is kept."""
    value = step()
    return value if step.kept is None else json.dumps(step.kept.dump(value), ensure_ascii=False)


def _called(step: Step[Any], called: list[bool]) -> Any:
    """A step's result, with a mark that it was computed here and not remembered."""
    called.append(True)
    return _stored(step)


def _loaded(step: Step[T], stored: Any) -> T:
    result: T = stored if step.kept is None else step.kept.load(json.loads(stored))
    return result


def _remembering(kept: Kept[Any] | None) -> dict[str, Any]:
    """Task options: where the result is remembered by key, or that it is not."""
    if kept is None:
        return {"persist_result": False, "cache_policy": NO_CACHE}
    key = sha256(f"{program()}:{kept.key}".encode()).hexdigest()
    return {
        "persist_result": True, "cache_key_fn": lambda _context, _parameters: key, "result_serializer": "json",
        "cache_expiration": REMEMBERED,
    }  # fmt: skip


def _elsewhere(step: Step[Any]) -> Callable[[], Any]:
    """One step for another thread or another machine; of an exception only its class comes back."""
    return lambda: scrubbed(lambda: _stored(step), [])()


class TaskSteps:
    """Runs every step of a job as a Prefect task, and shows how far the job is."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.remembers = True
        self.reused = 0
        self._progress: Any = None

    def run(self, step: Step[T]) -> T:
        raised: list[Exception] = []
        called: list[bool] = []
        options = _remembering(step.kept)
        if step.patient:
            options |= {
                "retries": len(RETRY_DELAYS), "retry_delay_seconds": list(RETRY_DELAYS),
                "retry_condition_fn": lambda _task, _run, _state: may_pass(raised[-1]),
            }  # fmt: skip
        self._show(step)
        try:
            made = task(scrubbed(lambda: _called(step, called), raised), name=step.name, log_prints=False, **options)
            result = _loaded(step, made())
        except StepFailed:
            raise raised[-1] from None
        self.reused += not called
        return result

    def fan(self, steps: Sequence[Step[T]]) -> list[T]:
        if not steps:
            return []
        self._show(steps[0])
        with _room(self.settings) as room:
            futures = [room.submit(_task_of(step), parameters={}) for step in steps]
            results = [future.result() for future in futures]
            self.reused += sum(future.state.name == REMEMBERED_STATE for future in futures)
        return [_loaded(step, result) for step, result in zip(steps, results, strict=True)]

    def _show(self, step: Step[Any]) -> None:
        share = float(step.percent)
        if self._progress is None:
            self._progress = _shown(lambda: create_progress_artifact(progress=share, description=step.name))
        else:
            _shown(lambda: update_progress_artifact(artifact_id=self._progress, progress=share))


def _task_of(step: Step[Any]) -> Any:
    label = f"{step.name} {step.label}".strip()
    options = _remembering(step.kept)
    return task(_elsewhere(step), name=step.name, task_run_name=lambda: label, log_prints=False, **options)


def _room(settings: Settings) -> Any:
    """Where fanned-out steps run: threads of this process, or a Dask cluster where one is set."""
    if settings.dask_address is None:
        return ThreadPoolTaskRunner(max_workers=min(THREADS, os.cpu_count() or 1))
    from distributed import Client
    from prefect_dask import DaskTaskRunner

    try:
        Client(settings.dask_address, timeout=5, set_as_default=False).close()
    except (OSError, TimeoutError) as away:
        raise UserError(
            "dask.unreachable",
            Text("Dask 集群没有应答", "The Dask cluster does not answer"),
            fix=Text("请检查 PDS_DASK_ADDRESS 与集群，然后重试", "Check PDS_DASK_ADDRESS and the cluster, then retry"),
        ) from away
    return DaskTaskRunner(address=settings.dask_address)


def _shown(call: Callable[[], T]) -> T | None:
    """What Prefect shows is a copy of the platform's own tables: when it cannot be shown, the work goes on."""
    try:
        return call()
    except Exception as error:
        log.warning("not shown in Prefect: %s", type(error).__name__)
        return None


# ---- flows --------------------------------------------------------------------------------------------------------
def _execute(platform: Platform, job_id: str) -> str:
    """Run a job here. A process that was started for this run alone ends itself when the job is cancelled."""
    from pipelines.registry import HANDLERS

    alone = "PREFECT__FLOW_RUN_ID" in os.environ
    return jobs.execute(platform, HANDLERS, job_id, TaskSteps(platform.settings), _end_process if alone else None)


def _end_process() -> None:
    """Prefect's runner ends a cancelled run; where it does not, or code outside Python does not listen, this does."""
    time.sleep(STOP_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


@flow(name="job", persist_result=False)
def run_job(job_id: str) -> str:
    """Run one job to its end; returns its final state. A job that has ended, or runs elsewhere, is left alone."""
    platform = _platform()
    state = _execute(platform, job_id)
    _show_round(platform, job_id)
    return state


@flow(name="refresh_dataset", persist_result=False)
def refresh_dataset(resource_id: str = "", job_id: str = "") -> str:
    """One table: fetch it from its source and deliver what is new, or take a delivery in; returns the job's state.

    A run that was not asked for by a job asks for one itself.
    """
    platform = _platform()
    try:
        job_id = job_id or _own_job(platform, lambda unit: schedules.refresh(unit, resource_id))
    except UserError as refused:
        return refused.code
    state = _execute(platform, job_id)
    _show_table(platform, job_id)
    return state


@flow(name="simulate_dataset", persist_result=False)
def simulate_dataset(resource_id: str = "", job_id: str = "") -> str:
    """The simulated twin of one table; returns the job's state.

    A run that was not asked for by a job asks for one itself; without a table it asks for every twin that is stale or
    missing, and says how many.
    """
    platform = _platform()
    if not (job_id or resource_id):
        with platform.system() as unit:
            return f"asked:{len(twins.renew_stale(unit))}"
    try:
        job_id = job_id or _own_job(platform, lambda unit: twins.ask(unit, resource_id))
    except UserError as refused:
        return refused.code
    state = _execute(platform, job_id)
    _show_twin(platform, job_id)
    return state


@flow(name="city_refresh", persist_result=False)
def city_refresh(organisation_id: str = "", job_id: str = "") -> str:
    """All tables of one department, or of every one; a round that is still under way is not started twice."""
    platform = _platform()
    try:
        job_id = job_id or _own_job(platform, lambda unit: schedules.start(unit, organisation_id or None))
    except UserError as refused:
        return refused.code
    return _execute(platform, job_id)


def _own_job(platform: Platform, ask: Callable[[Unit], Job]) -> str:
    """The job of a run that the schedule started: handed over already, so that nobody starts it again."""
    with platform.system() as unit:
        job = ask(unit)
        job.dispatched_at, job.run_ref = unit.now, str(flow_run.get_id())
        return job.id


@flow(name="upkeep", persist_result=False)
def upkeep() -> dict[str, int]:
    """One round of what the platform does by itself as time passes."""
    from pipelines import upkeep as rounds

    platform = _platform()
    done = rounds.run(platform)
    forgotten = forget(platform.settings.step_results, time.time() - REMEMBERED.total_seconds())
    return {**{name: len(ids) for name, ids in asdict(done).items()}, "forgotten": forgotten}


def forget(folder: Path, before: float) -> int:
    """Remove remembered results older than the moment `before`; returns how many."""
    old = [p for p in folder.glob("*") if p.is_file() and p.stat().st_mtime < before]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


# ---- artifacts ----------------------------------------------------------------------------------------------------
def _show_table(platform: Platform, job_id: str) -> None:
    """Grading sheet, quality card and link of a table that has just been taken in."""
    with platform.system() as unit:
        job = jobs.get(unit.session, job_id)
        cards = ingest_cards(unit, job) if job.kind == "ingest" and job.state == jobs.SUCCEEDED else None
    if cards is None:
        return
    _shown(lambda: create_table_artifact(cards.grading, key=f"grading-{cards.key}", description=cards.title))
    _shown(lambda: create_markdown_artifact(cards.quality, key=f"quality-{cards.key}", description=cards.title))
    _shown(lambda: create_link_artifact(cards.link, link_text=cards.title, key=f"resource-{cards.key}"))


def _show_twin(platform: Platform, job_id: str) -> None:
    """Which engines competed for a twin, and where people look at it."""
    with platform.system() as unit:
        job = jobs.get(unit.session, job_id)
        cards = twin_cards(unit, job) if job.state == jobs.SUCCEEDED else None
    if cards is None:
        return
    _shown(lambda: create_table_artifact(cards.candidates, key=f"simulated-{cards.key}", description=cards.title))
    _shown(lambda: create_link_artifact(cards.link, link_text=cards.title, key=f"twin-{cards.key}"))


def _show_round(platform: Platform, job_id: str) -> None:
    """What a refresh round brought, a line a table."""
    with platform.system() as unit:
        job = jobs.get(unit.session, job_id)
    if job.kind == "refresh_summary" and job.result is not None:
        rows = round_card(job.result)
        _shown(lambda: create_table_artifact(rows, key=f"round-{job.subject_id}", description=str(job.round_id)))


# ---- executor -----------------------------------------------------------------------------------------------------
def deployment_of(job: Job) -> str:
    """The deployment that runs a job: its kind's, or its department's, which holds the department's limit."""
    if job.kind in TABLE_KINDS:
        return f"refresh_dataset/{job.department_id}"
    if job.kind == twins.JOB:
        return f"simulate_dataset/{TWINS}"
    return f"city_refresh/{job.subject_id}" if job.kind == schedules.ROUND else f"job/{job.kind}"


class PrefectExecutor:
    """Starts a job as a run of its deployment; job and attempt are the idempotency key.

    `patience`: a silent run that Prefect has called pending or running for longer is given up.
    """

    def __init__(self, patience: timedelta) -> None:
        self.patience = patience

    def start(self, job: Job) -> str:
        try:
            run = run_deployment(
                deployment_of(job), parameters={"job_id": job.id}, idempotency_key=job.key, timeout=0,
                as_subflow=False, flow_run_name=f"{job.kind}-{job.id}",
            )  # fmt: skip
        except ObjectNotFound as unknown:
            raise NotReady(job.kind) from unknown  # a department that is new: its deployment comes in a moment
        return str(run.id)

    def stop(self, run_ref: str) -> None:
        """Prefect's runner ends the process; a run that has not begun is cancelled at once."""
        with get_client(sync_client=True) as client:
            try:
                state = client.read_flow_run(run_ref).state
                if state is not None and not state.is_final() and not state.is_cancelling():
                    client.set_flow_run_state(run_ref, Cancelling(message="cancelled by an operator"))
            except ObjectNotFound:
                return

    def lost(self, run_ref: str) -> bool:
        """Whether the run of a job that has fallen silent is not coming back.

        Prefect may call a killed process running for ever: past `patience` that word is not believed, and the run is
        declared crashed, which frees its department's slot. A run that waits for a free slot is not lost.
        """
        with get_client(sync_client=True) as client:
            try:
                run = client.read_flow_run(run_ref)
            except ObjectNotFound:
                return True
            if run.state is None or run.state.is_final():
                return True
            stuck = datetime.now(UTC) - run.state.timestamp > self.patience and not run.state.is_scheduled()
            if stuck:
                client.set_flow_run_state(run_ref, Crashed(message="silent for too long"), force=True)
            return stuck


# ---- deployments --------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Served:
    """One deployment as it should be; compared to see whether it has changed."""

    flow: str
    name: str
    parameters: tuple[tuple[str, str], ...] = ()
    cron: str | None = None
    limit: int | None = None

    def deployment(self) -> RunnerDeployment:
        by_flow = {
            "job": run_job, "refresh_dataset": refresh_dataset, "simulate_dataset": simulate_dataset,
            "city_refresh": city_refresh,
        }  # fmt: skip
        limit = self.limit and ConcurrencyLimitConfig(limit=self.limit, grace_period_seconds=GRACE_SECONDS)
        made: RunnerDeployment = by_flow[self.flow].to_deployment(
            name=self.name, parameters=dict(self.parameters), entrypoint_type=EntrypointType.MODULE_PATH,
            schedules=_schedules(self.cron) if self.flow == "city_refresh" else None, concurrency_limit=limit or None,
        )  # fmt: skip
        return made


def _schedules(cron: str | None) -> list[Schedule]:
    """One schedule, switched off where there is none: an empty list would leave the last one standing in Prefect."""
    return [Cron(cron or "0 0 1 1 *", timezone=CITY.key, active=cron is not None)]


def wanted(platform: Platform) -> list[Served]:
    """Every deployment: one a kind of job, and for each department its tables with their limit and its rounds."""
    with platform.system() as unit:
        plans = schedules.every(unit.session, unit.now)
    limit = platform.settings.department_limit
    found = [Served("job", kind) for kind in KINDS]
    found.append(Served("simulate_dataset", TWINS))
    found.append(Served("city_refresh", schedules.CITY_WIDE))
    for plan in plans:
        department = plan.organisation_id
        cron = plan.cron if plan.active else None
        found.append(Served("refresh_dataset", department, limit=limit))
        found.append(Served("city_refresh", department, (("organisation_id", department),), cron))
    return found


class Deployments:
    """What this worker serves. `follow` brings it up to date with departments, schedules and limits."""

    def __init__(self, platform: Platform, runner: Runner) -> None:
        self.platform, self.runner = platform, runner
        self.served: dict[tuple[str, str], Served] = {}

    def follow(self) -> list[Served]:
        """Register what is new or has changed; returns it."""
        return [self._serve(s) for s in wanted(self.platform) if self.served.get((s.flow, s.name)) != s]

    def _serve(self, served: Served) -> Served:
        self.runner.add_deployment(served.deployment())
        self.served[served.flow, served.name] = served
        return served


def prepare_results(settings: Settings) -> None:
    """The folder of remembered results, for this account only, before Prefect makes it for everybody."""
    for folder in (settings.prefect_home, settings.step_results):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)


def serve(platform: Platform, begin: Callable[[Deployments], None]) -> None:
    """Serve every deployment and upkeep on its schedule until the process is told to stop.

    `begin` is called with the deployments once they are known; whoever hands out jobs starts there.
    """
    prepare_results(platform.settings)
    runner = Runner(name="pds", limit=CONCURRENT, pause_on_shutdown=False, prefetch_seconds=PREFETCH_SECONDS)
    every = upkeep.to_deployment(
        name="every-minute", schedules=[Interval(UPKEEP_EVERY)], entrypoint_type=EntrypointType.MODULE_PATH
    )
    runner.add_deployment(every)
    deployments = Deployments(platform, runner)
    deployments.follow()
    begin(deployments)
    asyncio.run(runner.start())
