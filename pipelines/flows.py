"""The only importer of Prefect: one flow a kind of job, the upkeep schedule, and the executor that starts runs.

A flow does nothing of its own: it runs the job of the given number through `sandbox.kernel.jobs.execute`, with every
step of the handler as a Prefect task, so that Prefect shows what runs and the domain's job row stays the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import flow, task
from prefect import serve as prefect_serve
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.deployments.runner import EntrypointType
from prefect.exceptions import ObjectNotFound

from sandbox.kernel import jobs
from sandbox.kernel.jobs import Job
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform

UPKEEP_EVERY = timedelta(minutes=1)
CONCURRENT = 3
"""runs at a time; each is a process of its own"""
KINDS = ("ingest", "regrade", "simulate", "grant", "dispose", "run", "check_export", "release", "upkeep")


def _platform() -> Platform:
    """The platform of this process, by its environment; a flow run is a process of its own."""
    import sandbox.migrations.tables  # noqa: F401 - every table must be known before the first query

    return Platform(Settings())


class StepFailed(Exception):
    """A step ended in an exception of this class. Prefect logs and stores what it is told: never the exception's text,
    which may quote a record."""


def scrubbed(function: Callable[[], Any], kept: list[Exception]) -> Callable[[], Any]:
    """`function` with every exception kept aside and replaced by one that says its class only."""

    def step() -> Any:
        try:
            return function()
        except Exception as error:
            kept.append(error)
        raise StepFailed(type(kept[0]).__name__)

    return step


def _as_task(name: str, function: Callable[[], Any]) -> Any:
    """One step of a handler as a Prefect task. Its result and its exception stay in this process."""
    kept: list[Exception] = []
    try:
        return task(scrubbed(function, kept), name=name, persist_result=False, log_prints=False)()
    except StepFailed:
        raise kept[0] from None


@flow(name="job", persist_result=False)
def run_job(job_id: str) -> str:
    """Run one job to its end; returns its final state. A job that has ended, or runs elsewhere, is left alone."""
    from pipelines.registry import HANDLERS

    return jobs.execute(_platform(), HANDLERS, job_id, _as_task)


@flow(name="upkeep", persist_result=False)
def upkeep() -> dict[str, int]:
    """One round of what the platform does by itself as time passes."""
    from pipelines import upkeep as rounds

    done = rounds.run(_platform())
    return {name: len(ids) for name, ids in asdict(done).items()}


class PrefectExecutor:
    """Starts a job as a run of its kind's deployment; job and attempt are the idempotency key.

    `patience`: a silent run that Prefect has called pending or running for longer is given up.
    """

    def __init__(self, patience: timedelta) -> None:
        self.patience = patience

    def start(self, job: Job) -> str:
        run = run_deployment(
            f"job/{job.kind}", parameters={"job_id": job.id}, idempotency_key=job.key, timeout=0, as_subflow=False,
            flow_run_name=f"{job.kind}-{job.id}",
        )  # fmt: skip
        return str(run.id)

    def lost(self, run_ref: str) -> bool:
        """Whether the run of a job that has fallen silent is not coming back.

        Prefect may call a killed process running for ever: past `patience` that word is not believed. A run that
        waits for a free slot is not lost.
        """
        with get_client(sync_client=True) as client:
            try:
                run = client.read_flow_run(run_ref)
            except ObjectNotFound:
                return True
        if run.state is None or run.state.is_final():
            return True
        stuck = datetime.now(UTC) - run.state.timestamp > self.patience
        return stuck and not run.state.is_scheduled()


def serve() -> None:
    """Serve one deployment a kind of job, and upkeep on its schedule, until the process is told to stop."""
    by_module = EntrypointType.MODULE_PATH
    deployments = [run_job.to_deployment(name=kind, entrypoint_type=by_module) for kind in KINDS]
    deployments.append(upkeep.to_deployment(name="every-minute", interval=UPKEEP_EVERY, entrypoint_type=by_module))
    prefect_serve(*deployments, limit=CONCURRENT, pause_on_shutdown=False, print_starting_message=False)
