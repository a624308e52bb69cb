"""One statement in front of a person: progress, Ctrl-C, the rows, and an error under their own text."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, TextIO

from api.cli.output import say
from api.cli.ws_render import Look, write
from api.client.results import Column, Ending, Head, Running
from api.client.terminal import neutral, neutral_lines, width
from policies.text import Text, UserError

_TICK = 0.1
_EVERY_SECONDS = 1.0
"""progress is told only after so long and so often; most statements are done by then"""
_AROUND = 60
"""columns of the person's text shown on each side of an error's place"""


@dataclass(slots=True)
class CtrlC:
    """Counts Ctrl-C while a statement runs: the first asks for its end, the second leaves."""

    presses: int = 0

    @contextlib.contextmanager
    def counted(self) -> Iterator[CtrlC]:
        before = signal.signal(signal.SIGINT, self._pressed)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)

    def _pressed(self, _number: int, _frame: FrameType | None) -> None:
        self.presses += 1
        if self.presses > 1:
            raise KeyboardInterrupt


@dataclass(slots=True)
class Showing:
    """Shows one running statement. `most` rows are printed (0: all); the rest are counted."""

    running: Running
    look: Look
    out: TextIO
    most: int = 0
    columns: tuple[Column, ...] | None = None
    ending: Ending | None = None
    _told: bool = False
    _began: float = field(default_factory=time.monotonic)
    _asked: float = 0.0

    def show(self) -> Ending:
        """Print the result as it comes. Raises the statement's error; `KeyboardInterrupt` on the second Ctrl-C."""
        ctrl_c = CtrlC()
        with ctrl_c.counted():
            try:
                rows = self._rows(ctrl_c)
                first = next(rows, None)
                if self.columns and not ctrl_c.presses:
                    write(self.columns, _again(first, rows), self.look, self.out)
                for _row in rows:  # a result without columns has no rows, but it has an ending
                    pass
            except BaseException:
                self.running.leave()
                raise
            finally:
                self._clear()
        assert self.ending is not None, "a stream without its ending raises"
        return self.ending

    def _rows(self, ctrl_c: CtrlC) -> Iterator[Sequence[Any]]:
        asked, printed = False, 0
        for event in self.running.events(_TICK):
            if ctrl_c.presses and not asked:
                asked = True
                self._tell(Text("正在取消…（再按一次 Ctrl-C 离开）", "cancelling… (Ctrl-C again leaves)"))
                self.running.cancel()
            if isinstance(event, list):
                if not asked and (not self.most or printed < self.most):
                    self._clear()
                    printed += 1
                    yield event
            elif isinstance(event, Head):
                self.columns = event.columns
            elif isinstance(event, Ending):
                self.ending = event
            elif not asked:
                self._progress()

    def _progress(self) -> None:
        """Once a second after the first one, on a terminal, until rows come."""
        now = time.monotonic()
        if self.columns is not None or not sys.stderr.isatty() or now - max(self._began, self._asked) < _EVERY_SECONDS:
            return
        self._asked = now
        state = self.running.state()
        seconds, more = f"{now - self._began:.0f}", Text("", "")
        if state.get("place"):
            more = Text(f"排队第 {state['place']} 位 · ", f"number {state['place']} in the queue · ")
        elif state.get("percent", -1) >= 0:
            more = Text(f"{state['percent']} % · ", f"{state['percent']} % · ")
        self._tell(Text(f"{seconds} 秒 · {more.zh}Ctrl-C 取消", f"{seconds} s · {more.en}Ctrl-C cancels"))

    def _tell(self, text: Text) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K  {say(text)}")
            sys.stderr.flush()
            self._told = True

    def _clear(self) -> None:
        if self._told:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._told = False


def _again(first: Sequence[Any] | None, rest: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    if first is not None:
        yield first
        yield from rest


def footer(ending: Ending, most: int) -> Text:
    """What was done, how many rows there were, and why there are no more."""
    if not ending.rows and ending.done:
        told = "\n".join(f"✔ {line}" for line in ending.done)
        waits = Text("\n  事务未结束：COMMIT 或 ROLLBACK", "\n  a transaction waits for COMMIT or ROLLBACK")
        return Text(told + waits.zh, told + waits.en) if ending.open_transaction else Text(told, told)
    zh, en = f"{ending.rows:,} 行", f"{ending.rows:,} rows"
    if most and ending.rows > most:
        zh, en = f"{zh}，显示 {most:,} 行（.maxrows）", f"{en}, {most:,} shown (.maxrows)"
    if ending.truncated:
        zh, en = f"{zh}，已达返回上限，结果不全", f"{en}, the limit of an answer; there are more"
    return Text(f"{zh} · 仿真数据", f"{en} · simulated data")


def tell_failure(error: UserError, sql: str, *, place: str = "", before: int = 0) -> None:
    """An error under the person's own text, with a caret at its place; the engine's words last.

    `place` names a file, `before` the lines above the statement in it.
    """
    line, column = error.detail.get("line"), error.detail.get("column")
    head = f"✘ {say(error.text)}  [{error.code}]"
    if isinstance(line, int) and isinstance(column, int):
        where = say(Text(f"第 {line + before} 行第 {column} 列", f"line {line + before}, column {column}"))
        print(f"{head}  {neutral(place)} {where}".replace("   ", "  "), file=sys.stderr)
        print(_caret(sql, line, column), file=sys.stderr)
    else:
        print(head, file=sys.stderr)
    engine = error.detail.get("engine_text")
    if isinstance(engine, str):
        print("  DuckDB: " + neutral_lines(engine).replace("\n", "\n  "), file=sys.stderr)
    for field_name in error.detail.get("fields", ()):
        print(f"  {neutral(str(field_name))}", file=sys.stderr)
    if error.fix:
        print(f"  {say(Text('怎么办：', 'what to do: '))}{say(error.fix)}", file=sys.stderr)


def _caret(sql: str, line: int, column: int) -> str:
    """The line of the text, cut around the place, and a caret under it that counts Chinese characters as two."""
    lines = sql.split("\n")
    if not 1 <= line <= len(lines):
        return ""
    text, at = lines[line - 1], column - 1
    start, end = max(0, at - _AROUND), at + _AROUND
    head = ("…" if start else "") + neutral(text[start:at])
    tail = neutral(text[at:end]) + ("…" if end < len(text) else "")
    return f"    {head}{tail}\n    {' ' * width(head)}^"
