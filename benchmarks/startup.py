"""How long a person waits: for help, for the first page after `pds up`, and for the scheduler behind it.

`PDS_BENCH_TIMES` sets how often `pds --help` is measured (5). The platform is started three processes strong on free
ports with an empty temporary home; nothing of an existing installation is touched.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.figures import Figure
from policies.text import Text

HELP_AIM, PAGE_AIM = 0.4, 15.0
_PDS = [sys.executable, "-m", "api.cli.main"]
_LONGEST = 300.0


def run() -> list[Figure]:
    """CPU seconds of `pds --help`; seconds of `pds up` to the first page and to the scheduler.

    Raises TimeoutError when the platform is not up after five minutes.
    """
    with _platform() as (began, page, scheduler, process):
        to_page = _answers(page, began, process)
        to_scheduler = _answers(scheduler, began, process)
    return [
        Figure(
            "help_cpu",
            help_cpu(),
            HELP_AIM,
            "s",
            Text("pds --help 的 CPU 时间，对目标", "CPU time of pds --help, against the aim"),
        ),
        Figure(
            "first_page",
            to_page,
            PAGE_AIM,
            "s",
            Text("pds up 到首页，对目标", "pds up to the first page, against the aim"),
        ),
        Figure(
            "scheduler",
            to_scheduler,
            PAGE_AIM,
            "s",
            Text(
                "pds up 到调度服务可用（无目标，对首页目标）",
                "pds up to the scheduler (no aim of its own, against that of the page)",
            ),
        ),
    ]


def help_cpu(times: int | None = None) -> float:
    """Median CPU seconds (user and system) of `pds --help`."""
    count = times or int(os.environ.get("PDS_BENCH_TIMES", "5"))
    return statistics.median(_cpu_of([*_PDS, "--help"]) for _ in range(count))


def _cpu_of(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@contextmanager
def _platform() -> Iterator[tuple[float, str, str, subprocess.Popen[bytes]]]:
    """`pds up` on an empty home: the moment it was started, the page's and the scheduler's address, the process."""
    port, prefect_port = _free_port(), _free_port()
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as home:
        command = [*_PDS, "up", "--port", str(port), "--prefect-port", str(prefect_port), "--empty"]
        began = time.monotonic()
        process = subprocess.Popen(
            command, env={**os.environ, "PDS_HOME": home}, stdout=subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield began, f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{prefect_port}/api/health", process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str, began: float, process: subprocess.Popen[bytes]) -> float:
    """Seconds since `began` until the address answers."""
    while time.monotonic() - began < _LONGEST:
        if process.poll() is not None:
            raise RuntimeError(f"pds up ended with {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status < 500:
                    return time.monotonic() - began
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise TimeoutError(f"{url} did not answer in {_LONGEST:.0f} s")
