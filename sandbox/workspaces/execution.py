"""Runs the statements of one query inside the jail, in order, and says of each what it did.

The rows of one statement travel: of the last one that gives rows. The others run to their end and say how many. When
one fails, those before it stand, except inside a transaction, which is undone as a whole: left open, it would refuse
every later statement until somebody thought of ROLLBACK.
"""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from sandbox.workspaces import diagnosis, guard
from sandbox.workspaces.engine import batches
from sandbox.workspaces.inside import Setting
from sandbox.workspaces.lexing import plain
from sandbox.workspaces.limits import MEGABYTE
from sandbox.workspaces.protocol import Channel, ProtocolError, encode, pieces

BATCH_ROWS = 65_536
_SMALL = 1 << 16
"""bytes of a last batch that wait for the trailer"""
CAUGHT = (duckdb.Error, MemoryError, ProtocolError, pa.ArrowException, RuntimeError, ValueError)
_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE_INTO"})
_RETURNING = re.compile(r"\breturning\b", re.IGNORECASE)
_OPENS = re.compile(r"\s*(begin|start)\b", re.IGNORECASE)
_SUBJECT = re.compile(
    r"""\s*(?P<verb>create|drop|alter|insert|update|delete|truncate|merge|comment)\b
        (?:\s+(?:or\s+(?:replace|ignore)|into|from|on|temp|temporary|unique|recursive))*
        (?:\s+(?P<what>table|view|macro|function|sequence|schema|type|index|column)\b)?
        (?:\s+if\s+(?:not\s+)?exists)?
        \s+(?P<name>(?:"(?:[^"]|"")+"|[^\s("';,]+)(?:\.(?:"(?:[^"]|"")+"|[^\s("';,]+))*)""",
    re.IGNORECASE | re.VERBOSE,
)


class Refused(Exception):
    """The guard did not let a statement through."""

    def __init__(self, refusal: guard.Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


@dataclass(slots=True)
class Executor:
    """The connection and whether a transaction of the person is open on it."""

    setting: Setting
    con: duckdb.DuckDBPyConnection
    transaction: bool = False

    def run(self, data: Channel, sql: str, parameters: Any) -> dict[str, Any]:
        """Run `sql`, send its rows, and return the trailer. Raises ChannelClosed only."""
        course = _Course(sql)
        try:
            return self._all(course, data, parameters)
        except Refused as refused:
            left = self._left(course)
            refusal = refused.refusal
            trailer: dict[str, Any] = {"is": "refused", "code": refusal.code, "subject": refusal.subject}
            if self._open_data:
                trailer["error"] = diagnosis.of_refusal(self.con, refusal, sql, course.start, self._granted)
        except CAUGHT as error:
            left = self._left(course)
            told = diagnosis.describe(error, sql, self.setting.mode, start=course.start, con=self.con,
                                      granted=self._granted)  # fmt: skip
            trailer = {"is": "failed", "error": told}
        return trailer | {"tables": sorted(course.tables)} | left

    @property
    def _open_data(self) -> bool:
        return self.setting.mode == guard.SIMULATED

    @property
    def _granted(self) -> frozenset[str]:
        return frozenset(self.setting.tables)

    def _all(self, course: _Course, data: Channel, parameters: Any) -> dict[str, Any]:
        statements = course.read(self.con)
        shown = max((n for n, s in enumerate(statements) if gives_rows(s)), default=len(statements) - 1)
        rows, truncated = 0, False
        for place, statement in enumerate(statements):
            course.enter(statement)
            checked = guard.check(self.con, statement, granted=self._granted, mode=self.setting.mode)
            course.tables.update(checked.tables)
            if checked.refusal is not None:
                raise Refused(checked.refusal)
            began = time.monotonic()
            values = _values(statement, parameters, last=place == len(statements) - 1)
            count, cut, sent = self._statement(course, data if place == shown else None, statement, values)
            if sent:
                rows, truncated = count or 0, cut
                if place < len(statements) - 1:
                    data.flush()  # what follows may take long
            self._follow(statement)
            course.leave(statement, checked.kind, count, time.monotonic() - began)
        told = {"statements": course.done, "open_transaction": self.transaction} if self._open_data else {}
        return {"is": "done", "rows": rows, "truncated": truncated, "tables": sorted(course.tables), **told}

    def _statement(
        self, course: _Course, data: Channel | None, statement: Any, values: Any
    ) -> tuple[int | None, bool, bool]:
        """(rows returned or changed or None, cut short, whether rows were sent)."""
        try:
            relation = self.con.sql(statement, params=values)
        except (duckdb.BinderException, duckdb.CatalogException):
            start, course.start = course.start, 0  # `execute` counts places in the whole text, `sql` in the statement
            self.con.execute(statement, values)  # raises the same error with its place, which `sql` leaves out
            course.start = start
            raise
        if relation is None:
            return None, False, False
        reader = relation.to_arrow_reader(BATCH_ROWS)
        try:
            if not gives_rows(statement):
                return self._count(reader), False, False
            if data is not None:
                count, cut = _stream(self.setting, reader, data)
                return count, cut, True
            return sum(batch.num_rows for batch in batches(reader)), False, False  # it has to run to its end
        finally:
            reader.close()

    @staticmethod
    def _count(reader: pa.RecordBatchReader) -> int | None:
        """How many rows a statement without rows of its own changed, where DuckDB says so."""
        counts = [batch[0].to_pylist() for batch in batches(reader) if batch.schema.names == ["Count"]]
        counted = [value for count in counts for value in count]
        return int(counted[0]) if len(counted) == 1 and isinstance(counted[0], int) else None

    def _follow(self, statement: Any) -> None:
        if statement.type.name == "TRANSACTION":
            self.transaction = _OPENS.match(plain(statement.query)) is not None

    def _left(self, course: _Course) -> dict[str, Any]:
        """What a failed query leaves behind; asked before names are looked up, which a broken transaction refuses."""
        rolled_back = self.transaction
        if self.transaction:
            self.transaction = False
            with contextlib.suppress(duckdb.Error):
                self.con.execute("ROLLBACK")
        if not self._open_data:
            return {}
        return {"statements": course.done, "failed": course.number, "rolled_back": rolled_back}


@dataclass(slots=True)
class _Course:
    """Where a query stands: `start` is the byte offset of the statement at hand, `number` which it is (from 1)."""

    sql: str
    start: int = 0
    number: int = 0
    place: int = 0
    tables: set[str] = field(default_factory=set)
    done: list[list[Any]] = field(default_factory=list)

    def read(self, con: duckdb.DuckDBPyConnection) -> list[Any]:
        """The statements of the text; what the binding cannot read, or has no name for, is refused."""
        try:
            found = con.extract_statements(self.sql)
            for statement in found:
                _ = statement.type.name, statement.expected_result_type
            return found
        except (duckdb.ParserException, duckdb.NotImplementedException):
            raise
        except Exception as error:
            raise Refused(guard.Refusal("unreadable")) from error

    def enter(self, statement: Any) -> None:
        self.number += 1
        found = self.sql.find(statement.query, self.place)
        self.place = found if found >= 0 else self.place
        self.start = len(self.sql[: self.place].encode())

    def leave(self, statement: Any, kind: str, rows: int | None, seconds: float) -> None:
        line = self.sql.count("\n", 0, self.place) + 1
        named, subject = (kind, "") if kind == "SELECT" else _title(kind, plain(statement.query))
        self.done.append([named, subject, rows, round(seconds * 1000), line])
        self.place += len(statement.query)


def gives_rows(statement: Any) -> bool:
    """Whether the statement answers with rows of its own, not with a count or nothing."""
    kind = statement.type.name
    if kind in _CHANGES:
        return _RETURNING.search(plain(statement.query)) is not None
    return kind == "MULTI" or statement.expected_result_type[0].name == "QUERY_RESULT"


def _title(kind: str, text: str) -> tuple[str, str]:
    """("CREATE TABLE", "表名") of a statement's text; the bare kind where it has no subject."""
    found = _SUBJECT.match(text)
    if found is None:
        first = re.match(r"\s*(\w+)", text)
        return (first.group(1).upper() if kind == "TRANSACTION" and first else kind), ""
    verb = "DELETE" if found["verb"].upper() == "TRUNCATE" else found["verb"].upper()
    return f"{verb} {(found['what'] or '').upper()}".strip(), found["name"].strip('"').replace('""', '"')


def _values(statement: Any, parameters: Any, *, last: bool) -> Any:
    """The parameters of one statement: by name to every one that names them, by place to the last."""
    wanted = set(statement.named_parameters)
    if not wanted:
        return None
    if isinstance(parameters, dict):
        return {name: parameters[name] for name in wanted if name in parameters}
    return parameters if last and isinstance(parameters, list) else None


def _stream(setting: Setting, reader: pa.RecordBatchReader, data: Channel) -> tuple[int, bool]:
    data.hold({"is": "begin"}, reader.schema.serialize().to_pybytes())
    rows = size = 0
    allowed = setting.limits.result_mb * MEGABYTE
    for batch in batches(reader):
        for piece in pieces(batch):
            room = setting.limits.result_rows - rows
            if room <= 0 and piece.num_rows:
                return rows, True
            kept = piece.slice(0, room)
            payload = encode(kept)
            while size + len(payload) > allowed and kept.num_rows > 1:
                kept = kept.slice(0, kept.num_rows // 2)
                payload = encode(kept)
            if size + len(payload) > allowed:
                return rows, True
            data.hold({"is": "batch"}, payload)
            if batch.num_rows == BATCH_ROWS or len(payload) > _SMALL:  # else the last one: the trailer follows at once
                data.flush()
            size += len(payload)
            rows += kept.num_rows
            if kept.num_rows < piece.num_rows:
                return rows, True
    return rows, False
