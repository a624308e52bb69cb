"""A throw-away PostgreSQL server: real binaries, a temporary directory, a unix socket."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path


def find_server() -> Path | None:
    """The folder of PostgreSQL's server programs, newest first."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


@dataclass
class PostgresServer:
    """A running server; `fresh_database` gives the URL of a new empty database."""

    bin: Path
    folder: Path
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    @classmethod
    def start(cls, folder: Path) -> PostgresServer:
        programs = find_server()
        if programs is None:
            raise RuntimeError("no PostgreSQL server")
        folder.chmod(0o777)
        server = cls(programs, folder)
        how = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        server._as_user(programs / "initdb", "-D", folder / "data", *how)
        options = f"-c fsync=off -c listen_addresses='' -c unix_socket_directories={folder}"
        server._as_user(programs / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start")
        return server

    def fresh_database(self, template: str = "template1") -> str:
        """URL of a new database, a copy of `template` (a database's name, which nobody may be using)."""
        name = f"test{next(self.numbers)}"
        self._as_user(self.bin / "createdb", "-h", self.folder, "-U", "postgres", "-T", template, name)
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def stop(self) -> None:
        self._as_user(self.bin / "pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _as_user(self, *argv: object) -> None:
        """PostgreSQL refuses to run as root: then its own user runs it."""
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        done = subprocess.run([*prefix, *map(str, argv)], capture_output=True, text=True, check=False, cwd="/")
        if done.returncode:
            raise RuntimeError(done.stderr or done.stdout)
