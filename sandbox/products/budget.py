"""How long a proof may take, and who may stop it: a clock that interrupts the statement that is running."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import duckdb

_LOOK_SECONDS = 0.2
_SHORTEST = 1.0
"""Seconds that a shorter plain run counts for: below that the machine's other work would decide what is over budget"""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long the whole proof may take: in seconds, or as a multiple of the plain run, which counts for a second at
    least; None: no limit of this sort."""

    seconds: float | None = None
    times: float | None = None


class Watch(Protocol):
    """Who looks on: told how far the proof is, asked whether to go on. Asked from a second thread, too."""

    def progress(self, step: str, share: float) -> None: ...
    def cancelled(self) -> bool: ...


class Cancelled(Exception):
    """The watch asked to stop: nothing is left of the proof."""


class OverBudget(Exception):
    """The time is up; holds the name of what was not finished."""


class Clock:
    """The time left, and one connection to interrupt when it is up or when the watch says so."""

    def __init__(self, con: duckdb.DuckDBPyConnection, budget: Budget | None, watch: Watch | None) -> None:
        self._con, self._budget, self._watch = con, budget or Budget(), watch
        self._start = time.monotonic()
        self._deadline = None if self._budget.seconds is None else self._start + self._budget.seconds
        self._ended, self._lock, self._stepping = threading.Event(), threading.Lock(), False
        self._steps, self._done = 1, 0

    def plain_run_ended(self, steps: int) -> None:
        """The plain run is over: a limit that is a multiple of it is known now, and so are the steps to come."""
        self._steps = max(steps, 1)
        if self._budget.times is not None:
            limit = time.monotonic() + self._budget.times * max(time.monotonic() - self._start, _SHORTEST)
            self._deadline = limit if self._deadline is None else min(limit, self._deadline)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look at the clock and the watch while statements run."""
        looker = threading.Thread(target=self._look, daemon=True)
        looker.start()
        try:
            yield
        finally:
            self._ended.set()
            looker.join()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step: raises `Cancelled` or `OverBudget` before or during it."""
        import duckdb

        self._tell(name)
        self._check(name)
        self._step_runs(True)
        try:
            yield
        except duckdb.InterruptException:
            self._check(name)
            raise
        finally:
            self._step_runs(False)
        self._done += 1

    def _step_runs(self, runs: bool) -> None:
        with self._lock:
            self._stepping = runs

    def _tell(self, name: str) -> None:
        if self._watch is not None:
            self._watch.progress(name, min(1.0, self._done / self._steps))

    def _check(self, name: str) -> None:
        if self._watch is not None and self._watch.cancelled():
            raise Cancelled(name)
        if self._late():
            raise OverBudget(name)

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _look(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            if self._late() or (self._watch is not None and self._watch.cancelled()):
                with self._lock:
                    if self._stepping:  # what is put in order between steps belongs to no budget
                        self._con.interrupt()
