"""PostgreSQL by its own COPY: text made by the server, parsed into the types that the table declares."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pc

from pipelines.reading.database import Source, SourceColumn, Stream, declared
from pipelines.reading.findings import finding

if TYPE_CHECKING:
    from psycopg.sql import Composed, Identifier
    from sqlalchemy import Connection

_BLOCKS = (4 << 20, 64 << 20, 1 << 30)  # a row must fit into one; larger ones are tried only when it does not
_WIDEST = 38  # digits of a decimal
_PATIENCE = 1.0  # seconds that a read may take to end by itself


def copied(connection: Connection, source: Source) -> Stream:
    """The table's rows in the order of its key.

    Values that no type of the file can hold (NaN, infinity, years before 1 or after 9999) would be lost or fail: a
    column that has any is stored as text, and a finding says so. Finding that out costs one scan on the server.
    """
    columns = [_column(c) for c in source.columns]
    wild = _wild(connection, source, columns)
    columns = [(declared(c, pa.string()), e) if i in wild else (s, e)
               for i, (c, (s, e)) in enumerate(zip(source.columns, columns, strict=True))]  # fmt: skip
    told = tuple(s for s, _ in columns)
    notes = [finding("source_kept_as_text", column=told[i].name) for i in sorted(wild)]
    notes += [finding("utc_timestamps", column=c["name"]) for c in source.columns if _has_offset(c)]
    copy = _Copy(connection, _query(source, columns), told)
    return Stream(told, copy.batches(), lambda: copy.sent, notes)


def can_write(connection: Connection, source: Source) -> bool:
    """Whether the account may change the table; a source account should not."""
    from psycopg.sql import SQL, Literal

    query = SQL("SELECT pg_catalog.has_table_privilege({}::regclass, 'INSERT, UPDATE, DELETE, TRUNCATE')")
    return bool(_scalar_row(connection, query.format(Literal(_table(source).as_string(None))))[0])


def _table(source: Source) -> Identifier:
    from psycopg.sql import Identifier

    return Identifier(*(part for part in (source.schema, source.table) if part is not None))


def _raw(connection: Connection) -> Any:
    """psycopg's own connection, in SQLAlchemy's transaction."""
    return connection.connection.driver_connection


def _scalar_row(connection: Connection, query: Composed) -> tuple[Any, ...]:
    with _raw(connection).cursor() as cursor:
        return tuple(cursor.execute(query).fetchone())


def _has_offset(column: dict[str, Any]) -> bool:
    import sqlalchemy as sa

    return isinstance(column["type"], sa.DateTime) and bool(column["type"].timezone)


def _column(column: dict[str, Any]) -> tuple[SourceColumn, str]:
    """How a column is stored, and the SQL that makes its text; `{}` stands for its quoted name."""
    import sqlalchemy as sa
    from sqlalchemy.dialects import postgresql as pg

    kind = column["type"]
    stored: tuple[pa.DataType, str] = pa.string(), "{}::text"
    if isinstance(kind, sa.Integer):
        stored = pa.int64(), "{}::text"
    elif isinstance(kind, sa.Boolean):
        stored = pa.bool_(), "{}::text"
    elif isinstance(kind, sa.Float):
        stored = pa.float64(), "{}::text"
    elif isinstance(kind, sa.Numeric) and kind.precision and 0 <= (kind.scale or 0) <= kind.precision <= _WIDEST:
        stored = pa.decimal128(kind.precision, kind.scale or 0), "{}::text"
    elif isinstance(kind, sa.DateTime):
        stored = pa.timestamp("us"), "({} AT TIME ZONE 'UTC')::text" if kind.timezone else "{}::text"
    elif isinstance(kind, sa.Date):
        stored = pa.date32(), "{}::text"
    elif isinstance(kind, pg.BYTEA | sa.LargeBinary):
        stored = pa.string(), "pg_catalog.encode({}, 'hex')"
    elif isinstance(kind, sa.ARRAY | pg.HSTORE):
        stored = pa.string(), "pg_catalog.to_json({})::text"
    return declared(column, stored[0]), stored[1]


def _wild(connection: Connection, source: Source, columns: list[tuple[SourceColumn, str]]) -> set[int]:
    """Columns with a value outside of what their stored type can hold."""
    from psycopg.sql import SQL

    tests = {
        i: "{} = 'NaN'" if pa.types.is_decimal(c.stored) else "NOT {} BETWEEN '0001-01-01' AND '9999-12-31 23:59:59'"
        for i, (c, _) in enumerate(columns)
        if pa.types.is_decimal(c.stored) or pa.types.is_temporal(c.stored)
    }
    if not tests:
        return set()
    asked = [SQL(f"bool_or({test})").format(_name(columns[i][0])) for i, test in tests.items()]
    row = _scalar_row(connection, SQL("SELECT {} FROM {}").format(SQL(", ").join(asked), _table(source)))
    return {i for i, found in zip(tests, row, strict=True) if found}


def _name(column: SourceColumn) -> Identifier:
    from psycopg.sql import Identifier

    return Identifier(column.name)


def _query(source: Source, columns: list[tuple[SourceColumn, str]]) -> Composed:
    from psycopg.sql import SQL, Identifier

    values = SQL(", ").join(SQL(e).format(_name(c)) for c, e in columns)
    # Qualified: a bare name would mean the text of the key, which is selected under the same name.
    key = SQL(", ").join(Identifier("source", k) for k in source.key)
    order = SQL(" ORDER BY {}").format(key) if source.key else SQL("")
    rows = SQL("SELECT {} FROM {} AS source{}").format(values, _table(source), order)
    return SQL("COPY ({}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')").format(rows)


class _Copy:
    """Runs the COPY and parses its bytes; again with larger blocks where a row does not fit into one."""

    def __init__(self, connection: Connection, query: Composed, columns: tuple[SourceColumn, ...]) -> None:
        self.connection, self.query = connection, query
        self.schema = pa.schema([(f"c{i}", c.stored) for i, c in enumerate(columns)])
        self.fields = [c.name for c in columns]
        self.sent: int | None = None

    def batches(self) -> Generator[pa.RecordBatch]:
        seen = 0
        # A copy that is broken off fails its transaction: the savepoint keeps the snapshot for another try.
        _raw(self.connection).execute("SAVEPOINT copy")
        for block in _BLOCKS:
            try:
                with contextlib.closing(self._parsed(block, seen)) as parsed:
                    for batch in parsed:
                        seen += batch.num_rows
                        yield batch.rename_columns(self.fields)
                return
            except pa.ArrowInvalid as error:
                if "straddl" not in str(error) or block == _BLOCKS[-1]:
                    raise
                _raw(self.connection).execute("ROLLBACK TO SAVEPOINT copy")

    def _parsed(self, block: int, skip: int) -> Generator[pa.RecordBatch]:
        """All rows after the first `skip`, in batches that depend on the bytes only."""
        with (
            _raw(self.connection).cursor() as cursor,
            cursor.copy(self.query) as copy,
            contextlib.ExitStack() as leaving,
        ):
            reader = _Bytes(iter(copy))
            # Arrow reads ahead in a thread of its own, also while this generator is being closed. The connection is
            # not made for two: that thread must be out of it before the copy is broken off.
            leaving.callback(reader.stop, _raw(self.connection).cancel_safe)
            try:
                opened = pc.open_csv(
                    reader,
                    read_options=pc.ReadOptions(
                        column_names=self.schema.names, block_size=block, use_threads=False
                    ),
                    parse_options=pc.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
                    convert_options=pc.ConvertOptions(
                        column_types=self.schema, null_values=[""], strings_can_be_null=True,
                        quoted_strings_can_be_null=False, true_values=["true"], false_values=["false"],
                    ),
                )  # fmt: skip
            except pa.ArrowInvalid as error:
                if "Empty CSV" not in str(error):
                    raise
                opened = iter(())
            for batch in opened:
                if batch.num_rows > skip:
                    yield batch.slice(skip)
                skip = max(0, skip - batch.num_rows)
            self.sent = cursor.rowcount


class _Bytes(io.RawIOBase):
    """The chunks of a COPY as a file that gives exactly as many bytes as are asked for, until its end or a stop."""

    def __init__(self, chunks: Iterator[bytes | memoryview]) -> None:
        self.chunks = chunks
        self.held = bytearray()
        self.stopped = False
        self.reading = threading.Lock()

    def readable(self) -> bool:
        return True

    def stop(self, cancel: Callable[[], None]) -> None:
        """Let no thread read any more, and come back when none does; one that waits for the server is cancelled."""
        self.stopped = True
        if not self.reading.acquire(timeout=_PATIENCE):
            with contextlib.suppress(Exception):  # a server that is gone ends the wait too
                cancel()
            self.reading.acquire()
        self.reading.release()

    def read(self, size: int = -1) -> bytes:
        with self.reading:
            return self._read(size)

    def _read(self, size: int) -> bytes:
        while not self.stopped and (size < 0 or len(self.held) < size):
            chunk = next(self.chunks, None)
            if chunk is None:
                break
            self.held += chunk
        size = len(self.held) if size < 0 else size
        out = bytes(self.held[:size])
        del self.held[:size]
        return out
