"""The worker process: serves Prefect's deployments, hands waiting jobs to Prefect, and looks after lost ones."""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx

from sandbox.kernel import cancellation, jobs
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform

if TYPE_CHECKING:
    from pipelines.flows import Deployments

log = logging.getLogger("pds.worker")

TICK = 0.5
RECONCILE_EVERY = 5.0


def main() -> None:
    """Run until the process is told to stop."""
    import sandbox.migrations.tables  # noqa: F401

    settings = Settings()
    wait_for_scheduler(settings)
    from pipelines import flows

    platform = Platform(settings)

    def dispatch(deployments: flows.Deployments) -> None:
        args = (platform, deployments)
        threading.Thread(target=_dispatch_forever, args=args, name="dispatcher", daemon=True).start()

    flows.serve(platform, dispatch)


def wait_for_scheduler(settings: Settings, seconds: float = 300.0) -> None:
    """Block until Prefect's server answers. Raises `TimeoutError` after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if scheduler_answers(settings):
            return
        time.sleep(0.5)
    raise TimeoutError("Prefect's server did not answer")


def scheduler_answers(settings: Settings) -> bool:
    """Whether Prefect's server is up."""
    try:
        return httpx.get(f"{settings.prefect_api_url}/health", timeout=2.0).status_code == 200
    except httpx.HTTPError:
        return False


def _dispatch_forever(platform: Platform, deployments: Deployments) -> None:
    """Empty the outbox, stop what was cancelled, look for lost jobs and new schedules, for ever.

    A scheduler that is away is waited for, never given up.
    """
    from pipelines.flows import PrefectExecutor
    from pipelines.registry import HANDLERS

    executor, last = PrefectExecutor(2 * timedelta(seconds=platform.settings.lost_after_seconds)), 0.0
    while True:
        try:
            cancellation.stop_cancelled(platform, executor, HANDLERS)
            jobs.dispatch(platform, executor)
            if time.monotonic() - last > RECONCILE_EVERY:
                last = time.monotonic()
                jobs.reconcile(platform, executor, HANDLERS)
                deployments.follow()
        except Exception as error:
            # Prefect or the database is away: the outbox keeps everything, the next tick tries again.
            log.warning("dispatch will be retried: %s", type(error).__name__)
            time.sleep(2)
        time.sleep(TICK)


if __name__ == "__main__":
    main()
