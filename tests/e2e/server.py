"""A whole platform as a user starts it: `pds up` in a process of its own, with the real Prefect server and worker."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """`pds up`, running."""

    home: Path
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls, home: Path, *options: str, port: int = 0, prefect_port: int = 0, settings: Mapping[str, str] | None = None
    ) -> Server:
        """Start and return at once; `wait_for` says when a part is up. `settings`: more of the environment."""
        port, prefect_port = port or free_port(), prefect_port or free_port()
        log = home.parent / f"{home.name}.log"
        argv = [sys.executable, "-m", "api.cli.main", "up", "--port", str(port), "--prefect-port", str(prefect_port)]
        told = {"PDS_HOME": str(home), "PDS_LOST_AFTER_SECONDS": "6", "PDS_HEARTBEAT_SECONDS": "1", **(settings or {})}
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*argv, *options], env={**os.environ, **told}, stdout=output, stderr=subprocess.STDOUT
            )
        return cls(home, f"http://127.0.0.1:{port}", process, log)

    def parts(self) -> dict[str, str]:
        """State of each part as the platform says; nothing while the portal does not answer."""
        try:
            answer = httpx.get(f"{self.url}/api/v1/platform", timeout=5)
            return dict(answer.json()["parts"]) if answer.status_code == 200 else {}
        except httpx.HTTPError:
            return {}

    def wait_for(self, *names: str, seconds: float = 180) -> None:
        """Block until these parts are up. Raises with the log's end when they do not come up."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            parts = self.parts()
            if all(parts.get(name) in ("up", "done") for name in names):
                return
            time.sleep(0.5)
        raise AssertionError(f"{names} not up: {self.parts()}\n{self.log.read_text()[-3000:]}")

    def pid_of(self, module: str) -> int | None:
        """Process id of the part that runs `module`, by the command lines of the supervisor's children."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                status = (folder / "status").read_text()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if f"PPid:\t{self.process.pid}\n" in status and module in command:
                return int(folder.name)
        return None

    def kill(self, module: str) -> None:
        """kill -9 of one part with everything it started."""
        pid = self.pid_of(module)
        if pid is not None:
            os.killpg(pid, signal.SIGKILL)

    def stop(self) -> int:
        """Ctrl-C; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()
