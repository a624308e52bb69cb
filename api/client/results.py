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
from policies.text import Text, UserError
from sandbox.kernel.errors import Unavailable

NDJSON = "application/x-ndjson"
_WAITING_LINES = 512


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result, with its type as the platform names it."""

    name: str
    type: str

    @property
    def is_number(self) -> bool:
        return self.type.startswith(("int", "uint", "float", "double", "halffloat", "decimal"))


@dataclass(slots=True)
class Ending:
    """What the platform says at the end. `truncated`: there were more rows than may be returned."""

    rows: int = 0
    truncated: bool = False
    milliseconds: int = 0


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

    def events(self, every: float) -> Iterator[dict[str, Any] | list[Any] | None]:
        """Objects (head, progress, ending) and rows as they come; None where `every` seconds passed without one.

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

    def leave(self) -> None:
        """Read no further; the thread ends with the next line."""
        self.left.set()

    def _read(self, body: dict[str, Any]) -> None:
        try:
            ended = False
            path = path_to("workspaces", self.workspace, "query")
            with self.connection.open("POST", path, body, NDJSON) as answer:
                for line in answer.iter_lines():
                    if ended:
                        raise _incomplete()
                    parsed = _parsed(line)
                    ended = isinstance(parsed, dict) and parsed.get("is") == "end"
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


def _parsed(line: str) -> Any:
    """One line: a row or an object. Raises the error that a line tells, and `Unavailable` for what is neither."""
    try:
        parsed = json.loads(line)
    except ValueError as broken:
        raise _incomplete() from broken
    if isinstance(parsed, dict) and parsed.get("is") == "failed":
        raise error_of(parsed["problem"], int(parsed["problem"].get("status", 500)))
    if not isinstance(parsed, dict | list):
        raise _incomplete()
    return parsed


def _incomplete() -> Unavailable:
    return Unavailable(
        "ws.incomplete",
        Text("结果没有完整到达，不能使用", "The result did not arrive whole; it cannot be used"),
        fix=Text("请重新执行", "Run it again"),
    )
