"""A statement's result as it comes: rows line by line, memory flat; what ends without a good ending is no result."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from api.client.connection import Connection, error_of, path_to
from api.client.terminal import neutral
from policies.text import Text, UserError
from sandbox.kernel.errors import Unavailable

NDJSON = "application/x-ndjson"
_WAITING_LINES = 512


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result, with the family of its type as the platform names it."""

    name: str
    type: str

    @property
    def is_number(self) -> bool:
        return self.type in ("integer", "decimal", "double")


@dataclass(frozen=True, slots=True)
class Head:
    """What comes first."""

    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Ending:
    """What the platform says at the end. `truncated`: there were more rows than may be returned.

    `done`: what each statement did, in the person's language; `open_transaction`: one waits for COMMIT or ROLLBACK.
    """

    rows: int
    truncated: bool
    milliseconds: int
    done: tuple[str, ...]
    open_transaction: bool


Event = Head | Ending | list[Any] | None


@dataclass(slots=True)
class Running:
    """One statement under way. A thread reads the answer; whoever iterates `events` keeps the terminal and Ctrl-C.

    The queue between them is short, so a reader that pauses makes the platform pause.
    """

    connection: Connection
    workspace: str
    lines: queue.Queue[Any] = field(default_factory=lambda: queue.Queue(_WAITING_LINES))
    left: threading.Event = field(default_factory=threading.Event)

    def start(self, sql: str, parameters: Any = None) -> Running:
        body = {"sql": sql} | ({"parameters": parameters} if parameters else {})
        threading.Thread(target=self._read, args=(body,), name="result", daemon=True).start()
        return self

    def events(self, every: float) -> Iterator[Event]:
        """The head, rows and the ending as they come; None where `every` seconds passed without one.

        Raises the statement's error, and `Unavailable` for a stream that stops before its ending.
        """
        while True:
            try:
                got = self.lines.get(timeout=every)
            except queue.Empty:
                yield None
                continue
            if got is _END:
                return
            if isinstance(got, Exception):
                raise got
            yield got

    def cancel(self) -> None:
        """Ask the platform to stop this workspace's statement; its outcome still comes through `events`."""
        with contextlib.suppress(UserError):
            self.connection.post(path_to("workspaces", self.workspace, "query", "cancel"))

    def state(self) -> dict[str, Any]:
        """How far it is: `place` in the queue (0: it runs), `percent` (−1: nobody knows); nothing when it is over."""
        with contextlib.suppress(UserError):
            found = self.connection.get(path_to("workspaces", self.workspace, "query"))
            return dict(found) if found["running"] else {}
        return {}

    def leave(self) -> None:
        """Read no further; the thread ends with the next line."""
        self.left.set()

    def _read(self, body: dict[str, Any]) -> None:
        try:
            ended, language = False, self.connection.language
            path = path_to("workspaces", self.workspace, "query")
            with self.connection.open("POST", path, body, NDJSON) as answer:
                for line in answer.iter_lines():
                    if ended:
                        raise _incomplete()
                    parsed = _parsed(line, language)
                    ended = isinstance(parsed, Ending)
                    if not self._hand_over(parsed):
                        return
            self._hand_over(_END if ended else _incomplete())
        except Exception as error:
            self._hand_over(error)

    def _hand_over(self, thing: Any) -> bool:
        while not self.left.is_set():
            with contextlib.suppress(queue.Full):
                self.lines.put(thing, timeout=0.2)
                return True
        return False


_END = object()


def _parsed(line: str, language: str) -> Head | Ending | list[Any]:
    """One line of a result. Raises the error that a line tells, and `Unavailable` for what is no such line."""
    try:
        parsed = json.loads(line)
        if isinstance(parsed, list):
            return parsed
        if "error" in parsed:
            raise error_of(parsed["error"], int(parsed["error"]["status"]))
        if "done" in parsed:
            done = parsed["done"]
            told = tuple(neutral(s["text"][language]) for s in done["statements"])
            return Ending(done["row_count"], done["truncated"], done["milliseconds"], told, done["open_transaction"])
        return Head(tuple(Column(n, t) for n, t in zip(parsed["columns"], parsed["types"], strict=True)))
    except (ValueError, TypeError, KeyError) as broken:
        raise _incomplete() from broken


def _incomplete() -> Unavailable:
    return Unavailable(
        "ws.incomplete",
        Text("结果没有完整到达，不能使用", "The result did not arrive whole; it cannot be used"),
        fix=Text("请重新执行", "Run it again"),
    )
