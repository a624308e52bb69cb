"""One supervised group: portal, Prefect server, worker. A part that dies is restarted and said so; Ctrl-C ends all."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from api.parts import clear_parts, write_parts
from sandbox.kernel.settings import Settings

TICK = 0.5
GRACE = 8.0
BACKOFF = (1.0, 2.0, 5.0, 10.0, 30.0)
STEADY = 60.0
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def environment(settings: Settings) -> dict[str, str]:
    """Environment of every part: one home, Prefect with its own home, no telemetry, no outside request."""
    return {
        **os.environ,
        "PDS_HOME": str(settings.home.resolve()),
        "PDS_HOST": settings.host,
        "PDS_PORT": str(settings.port),
        "PDS_PREFECT_PORT": str(settings.prefect_port),
        "PYTHONUNBUFFERED": "1",
        "PREFECT_HOME": str(settings.prefect_home.resolve()),
        "PREFECT_API_URL": settings.prefect_api_url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_LOCAL_STORAGE_PATH": str(settings.step_results.resolve()),
        # Slots of departments survive a restart of the server, and a waiting run asks again soon.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }


@dataclass
class Part:
    """One process of the group."""

    name: str
    argv: list[str]
    ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restarts: int = 0
    wait_until: float = 0.0
    was_ready: bool = field(default=False)
    once: bool = False
    """ends by itself when its work is done, and is then not started again"""

    @property
    def done(self) -> bool:
        return self.once and self.process is not None and self.process.poll() == 0

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def state(self) -> str:
        if self.done:
            return "done"
        if not self.alive:
            return "down"
        return "up" if self.was_ready else "starting"


class Supervisor:
    """Starts the parts, keeps them up, tells `say` what happens, and ends them together."""

    def __init__(self, settings: Settings, parts: list[Part], say: Callable[[str], None]) -> None:
        self.settings, self.parts, self.say = settings, parts, say
        self.stopping = False
        self.logs: list[IO[bytes]] = []

    def run(self) -> None:
        """Run until SIGINT or SIGTERM."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        for part in self.parts:
            self._start(part)
        try:
            while not self.stopping:
                self._look()
                time.sleep(TICK)
        finally:
            self._end()

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _start(self, part: Part) -> None:
        folder = self.settings.home / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        log = (folder / f"{part.name}.log").open("ab")
        self.logs.append(log)
        part.process = subprocess.Popen(
            part.argv, stdout=log, stderr=subprocess.STDOUT, env=environment(self.settings), start_new_session=True,
            preexec_fn=_die_with_parent,
        )  # fmt: skip
        part.started, part.was_ready = time.monotonic(), False

    def _look(self) -> None:
        for part in self.parts:
            if not part.was_ready and (part.done or (part.alive and part.ready())):
                part.was_ready = True
                self.say(f"  ✔ {part.name}: {time.monotonic() - part.started:.1f} s")
            if part.done:
                continue
            if not part.alive:
                self._revive(part)
            elif time.monotonic() - part.started > STEADY:
                part.restarts = 0
        write_parts(self.settings.home, {p.name: p.state for p in self.parts})

    def _revive(self, part: Part) -> None:
        now = time.monotonic()
        if part.process is not None:
            pause = BACKOFF[min(part.restarts, len(BACKOFF) - 1)]
            self.say(
                f"  ✘ {part.name} 已退出（{part.process.returncode}），{pause:.0f} 秒后重启 · ended, restarting; "
                f"日志 log: {self.settings.home / 'logs' / part.name}.log"
            )
            part.process, part.restarts, part.wait_until = None, part.restarts + 1, now + pause
        elif now >= part.wait_until:
            self._start(part)

    def _end(self) -> None:
        """Tell all to stop, wait a little, then insist; each part leads its own group, so its children go too."""
        self.say("正在停止 · stopping …")
        _adopt_orphans()
        live = [p.process for p in self.parts if p.process and p.process.poll() is None]
        for process in reversed(live):
            _signal_group(process, signal.SIGTERM)
        end = time.monotonic() + GRACE
        for process in live:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, end - time.monotonic()))
            _signal_group(process, signal.SIGKILL)
        _end_orphans()
        clear_parts(self.settings.home)
        for log in self.logs:
            log.close()


def _die_with_parent() -> None:
    """Ask Linux to end this child when the supervisor is killed, so that no part is left behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _adopt_orphans() -> None:
    """From here on what a part leaves behind is a child of this process: the scheduler's runs lead their own groups."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def _end_orphans() -> None:
    """Nothing may touch the home once this process has ended: it can then be copied."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while left := children.read_text().split() if children.exists() else []:
        for pid in map(int, left):
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return


def parts_of(settings: Settings, *, with_city: bool) -> list[Part]:
    """Portal first: it answers while Prefect's server is still starting. `with_city`: fill the demonstration city."""
    import httpx

    from api.worker import scheduler_answers

    def answers(url: str) -> bool:
        try:
            return httpx.get(url, timeout=2.0).status_code < 500
        except httpx.HTTPError:
            return False

    python = sys.executable
    prefect = str(Path(python).parent / "prefect")
    portal_url = f"http://{settings.host}:{settings.port}/api/v1/platform"
    parts = [
        Part("portal", [python, "-m", "api.server"], lambda: answers(portal_url)),
        Part(
            "scheduler",
            [prefect, "server", "start", "--host", "127.0.0.1", "--port", str(settings.prefect_port), "--no-ui"],
            lambda: scheduler_answers(settings),
        ),
        Part("worker", [python, "-m", "api.worker"], lambda: scheduler_answers(settings)),
    ]
    if with_city:
        parts.append(Part("city", [python, "-m", "api.demo.settle"], lambda: False, once=True))
    return parts
