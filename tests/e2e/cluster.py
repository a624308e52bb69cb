"""A real Dask cluster of this machine: a scheduler and two worker processes, each watched by its nanny."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def two_workers() -> Iterator[Any]:
    """The cluster; workers hold one thread each."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, scheduler_port=0
    ) as cluster:
        yield cluster


def kill_busy_worker(address: str, seconds: float = 60) -> int:
    """kill -9 of a worker process in the middle of a task; returns its process id."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        pids = client.run(os.getpid)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            busy = [worker for worker, tasks in client.processing().items() if tasks]
            if busy:
                time.sleep(0.2)
                os.kill(pids[busy[0]], signal.SIGKILL)
                return int(pids[busy[0]])
            time.sleep(0.05)
    raise AssertionError("no worker had anything to do")
