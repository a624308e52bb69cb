"""What one jailed process may use. Read on both sides of the wall: standard library only."""

from __future__ import annotations

import resource
from dataclasses import asdict, dataclass
from typing import Any

MEGABYTE = 1 << 20
# RLIMIT_DATA has to be about 3–4 times DuckDB's own memory_limit, because DuckDB does not count everything it
# allocates; with this ratio every memory bomb tried ended as a clean error and the worker answered the next query.
DATA_TO_DUCKDB = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one worker. Values are policy; this class has no defaults on purpose.

    `memory_mb` private writable memory of the process; `cpu_seconds` processor time a query (a run: of the whole run);
    `wall_seconds` real time a query; `processes` processes and threads together; `file_mb` any one file;
    `result_rows`, `result_mb` what one answer may carry; `threads` DuckDB's own.
    """

    memory_mb: int
    cpu_seconds: int
    wall_seconds: int
    processes: int
    file_mb: int
    result_rows: int
    result_mb: int
    threads: int

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"limit {name} must be a whole number above zero, got {value!r}")

    @property
    def duckdb_mb(self) -> int:
        return max(64, self.memory_mb // DATA_TO_DUCKDB)

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def limits_of(parameters: Any) -> Limits:
    """The jail's limits from a workspace policy's parameters."""
    return Limits(
        memory_mb=parameters.memory_mb, cpu_seconds=parameters.cpu_seconds, wall_seconds=parameters.wall_seconds,
        processes=parameters.processes, file_mb=parameters.file_mb, result_rows=parameters.result_rows,
        result_mb=parameters.result_mb, threads=parameters.threads,
    )  # fmt: skip


def apply(limits: Limits, *, hard_cpu: bool) -> None:
    """Set the limits on this process and all it starts; they cannot be raised again without privilege.

    `hard_cpu` False: a long-lived worker renews its soft processor limit before each query (`renew_cpu`).
    RLIMIT_NPROC is not enforced for UID 0, so it is worth something only after the UID was dropped.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for what, value in (
        (resource.RLIMIT_DATA, limits.memory_mb * MEGABYTE),
        (resource.RLIMIT_FSIZE, limits.file_mb * MEGABYTE),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        _lower(what, value)
    if hard_cpu:
        _lower(resource.RLIMIT_CPU, limits.cpu_seconds)
    else:
        renew_cpu(limits)


def renew_cpu(limits: Limits) -> None:
    """Give the next query `cpu_seconds` of processor time counted from now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = int(used.ru_utime + used.ru_stime) + 1 + limits.cpu_seconds
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (wanted, hard))


def _lower(what: int, value: int) -> None:
    _soft, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(what, (value, value))
