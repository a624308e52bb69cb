"""Tab completion and line editing with the standard library's readline; everything works without it, only plainer."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from types import ModuleType

from api.client import login

_KEYWORDS = (
    "ALL AND ANTI AS ASC BETWEEN BY CASE CAST COLUMNS CREATE CROSS DELETE DESC DESCRIBE DISTINCT DROP ELSE END EXCEPT "
    "EXCLUDE EXISTS EXPLAIN FALSE FILTER FROM FULL GROUP HAVING IN INNER INSERT INTERSECT INTO IS JOIN LEFT LIKE LIMIT "
    "MACRO NOT NULL NULLS OFFSET ON OR ORDER OVER PARTITION PIVOT QUALIFY REPLACE RIGHT SELECT SEMI SET SUMMARIZE "
    "TABLE THEN TRUE TRY_CAST UNION UNNEST UNPIVOT UPDATE USING VALUES VIEW WHEN WHERE WINDOW WITH "
    "avg count max median min quantile_cont round string_agg sum coalesce date_trunc extract strftime substr trim"
)
_PLAIN = re.compile(r"[^\W\d]\w*\Z")
_KEPT = 2000
_DELIMITERS = " \t\n\"'`@$><=;|&{(,+-*/%[]"


def quoted(name: str) -> str:
    """The name as SQL takes it."""
    return name if _PLAIN.match(name) else '"' + name.replace('"', '""') + '"'


def candidates(word: str, line: str, tables: dict[str, Sequence[str]], dotted: Sequence[str]) -> list[str]:
    """What may follow: dot commands at the start, a table's columns after `table.`, else tables, columns, words."""
    if line.startswith(".") and " " not in line:
        return [d for d in dotted if d.startswith(word)]
    table, dot, part = word.rpartition(".")
    if dot:
        name = next((t for t in tables if table in (t, quoted(t))), None)
        return [f"{table}.{quoted(c)}" for c in tables.get(name or "", ()) if c.lower().startswith(part.lower())]
    names = [quoted(t) for t in tables] + [quoted(c) for columns in tables.values() for c in columns]
    begun = [n for n in dict.fromkeys(names) if n.lower().startswith(word.lower())]
    words = [k for k in _KEYWORDS.split() if word and k.lower().startswith(word.lower())]
    return begun + [k.lower() if word.islower() else k for k in words]


class Editor:
    """Line editing with a history file that nobody else can read."""

    def __init__(self, tables: Callable[[], dict[str, Sequence[str]]], dotted: Sequence[str]) -> None:
        self._tables, self._dotted = tables, dotted
        self._found: list[str] = []
        self._readline = _readline()
        if self._readline:
            self.file = login.private(login.folder() / "history")
            self._prepare(self._readline)

    def _prepare(self, readline: ModuleType) -> None:
        with contextlib.suppress(OSError):
            readline.read_history_file(str(self.file))
        readline.set_auto_history(False)
        readline.set_history_length(_KEPT)
        readline.set_completer_delims(_DELIMITERS)
        readline.set_completer(self._complete)
        for binding in ("tab: complete", "set enable-bracketed-paste on", "set show-all-if-ambiguous on"):
            readline.parse_and_bind(binding)

    def _complete(self, word: str, number: int) -> str | None:
        if number == 0 and self._readline:
            line = self._readline.get_line_buffer()
            try:
                self._found = candidates(word, line, self._tables(), self._dotted)
            except Exception:  # no completion is worth a broken line
                self._found = []
        return self._found[number] if number < len(self._found) else None

    def remember(self, text: str) -> None:
        """Keep a statement as one entry; the file is of lines, so it becomes one, unless a comment needs its end."""
        if self._readline and text.strip():
            entries = text.splitlines() if "--" in text else [" ".join(text.split("\n"))]
            for entry in entries:
                self._readline.add_history(entry)

    def save(self) -> None:
        """Write the history; it stays readable by its owner only."""
        if self._readline:
            with contextlib.suppress(OSError):
                self._readline.write_history_file(str(self.file))
                login.private(self.file)


def _readline() -> ModuleType | None:
    try:
        import readline
    except ImportError:
        return None
    return readline
