"""A table or view of a database as a Parquet file: one read-only snapshot, streamed, then a delivery like any other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.reading.findings import ReadFinding, finding, no_space, refusal
from policies.text import UserError

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Inspector

_ROWS = 10_000
_CONNECT_SECONDS = 15
_OF_THE_TABLE = ("0A", "22", "25", "42")  # SQLSTATE classes: a value, a view that wants to write, a broken view
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """One column as the source declares it; `stored` is its type in the Parquet file."""

    name: str
    type: str
    comment: str | None
    nullable: bool
    stored: pa.DataType


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns that refer to columns of another table of the source."""

    columns: tuple[str, ...]
    table: str
    refers_to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Extract:
    """A complete copy. Without a `key` the rows have no fixed order, so the same content may give another digest."""

    path: Path
    rows: int
    title: str | None
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...]
    foreign_keys: tuple[ForeignKey, ...]
    findings: tuple[ReadFinding, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """What the database says about the table before it is read."""

    schema: str | None
    table: str
    comment: str | None
    columns: tuple[dict[str, Any], ...]
    key: tuple[str, ...]
    foreign_keys: tuple[ForeignKey, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """Batches of a table in the order of its key; `stated` tells how many rows the database says it sent, None where
    it does not say, once the batches are consumed."""

    columns: tuple[SourceColumn, ...]
    batches: Generator[pa.RecordBatch]
    stated: Callable[[], int | None]
    findings: list[ReadFinding]


def extract(
    url: str, table: str, target: Path, *, schema: str | None = None, progress: Progress | None = None
) -> Extract:
    """Copy one table or view into the Parquet file `target`; memory does not grow with the table.

    All rows are of one moment (PostgreSQL: REPEATABLE READ, READ ONLY) and in the order of the primary key, so equal
    content gives an equal file. Types and comments of the source go into the file; PostgreSQL is copied by its own
    COPY, other databases by a plain SELECT with every value as text.

    Args:
        url: `postgresql://…`, `sqlite:///…` or another SQLAlchemy URL whose driver is installed. A password in it is
            used and never told: not in errors, findings or the file.
        table: exact name, any characters.
        schema: exact name; None is the account's own default.
        progress: called with the number of rows written so far; what it raises stops the copy.

    Raises:
        UserError: `reading.source_…` (bad URL, unreachable, refused, no such table, connection lost) or
            `reading.no_space`; `target` does not exist then.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        with _connected(url) as connection, _named_errors(table):
            source = _reflected(connection, table, schema)
            stream = _stream(connection, source)
            rows = _written(stream, source.comment, part, progress)
            notes = [*stream.findings, *_notes(connection, source)]
        part.replace(target)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if no_space(error):
            raise refusal("no_space") from None
        raise
    return Extract(target, rows, source.comment, stream.columns, source.key, source.foreign_keys, tuple(notes))


def is_database(address: str) -> bool:
    """Whether an address names a database (`scheme://…`), not a file."""
    return "://" in address


@contextlib.contextmanager
def _connected(url: str) -> Iterator[Connection]:
    """One read-only transaction. The words of drivers may repeat the address: they never get out."""
    import sqlalchemy as sa
    from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

    try:
        parsed = _with_driver(sa.make_url(url))
        engine = sa.create_engine(parsed, poolclass=sa.NullPool, **_arguments(parsed))
    except (NoSuchModuleError, ImportError):
        raise refusal("source_driver", kind=parsed.drivername) from None
    except (ArgumentError, ValueError):
        raise refusal("source_url") from None
    options: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with contextlib.ExitStack() as closing:
        closing.callback(engine.dispose)
        try:
            connection = engine.connect()
            if parsed.get_backend_name() == "postgresql":
                connection = connection.execution_options(**options)
            connection.begin()
            closing.callback(lambda: _closed(connection))
        except (DBAPIError, OSError):
            raise refusal("source_unreachable", where=_where(parsed)) from None
        yield connection


def _closed(connection: Connection) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    with contextlib.suppress(SQLAlchemyError):
        connection.close()


def _with_driver(url: URL) -> URL:
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def _arguments(url: URL) -> dict[str, Any]:
    """What makes a connection read-only, its text forms fixed, and a dead one noticed."""
    if url.get_backend_name() == "sqlite":
        return {"creator": lambda: _read_only_sqlite(url.database or "")}
    if url.get_backend_name() != "postgresql":
        return {}
    settings = (
        "default_transaction_read_only=on", "timezone=UTC", "datestyle=ISO,YMD", "intervalstyle=iso_8601",
        "extra_float_digits=1",
    )  # fmt: skip
    return {
        "connect_args": {
            "options": " ".join(f"-c {s}" for s in settings), "connect_timeout": _CONNECT_SECONDS,
            "client_encoding": "utf8", "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3,
        }
    }  # fmt: skip


def _read_only_sqlite(path: str) -> Any:
    """A database that is not there is an error, not a new empty file."""
    import sqlite3
    from urllib.parse import quote

    return sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=_CONNECT_SECONDS)


def _where(url: URL) -> str:
    """The place of a database without account and password."""
    return f"{url.get_backend_name()}://{url.host or ''}/{url.database or ''}"


@contextlib.contextmanager
def _named_errors(table: str) -> Iterator[None]:
    """What drivers raise, by its meaning; their words may hold values of records."""
    from sqlalchemy.exc import DBAPIError, NoSuchTableError, SQLAlchemyError

    try:
        yield
    except NoSuchTableError:
        raise refusal("source_no_table", table=table) from None
    except DBAPIError as error:
        raise _named(error.orig, table) from None
    except pa.ArrowException:
        raise refusal("source_unreadable", table=table) from None
    except SQLAlchemyError:
        raise refusal("source_lost", table=table) from None
    except Exception as error:
        if isinstance(error, UserError | OSError) or not _of_driver(error):
            raise
        raise _named(error, table) from None


def _of_driver(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in ("psycopg", "sqlite3")


def _named(error: BaseException | None, table: str) -> UserError:
    state = getattr(error, "sqlstate", None) or ""
    if state == "42501":
        return refusal("source_denied", table=table)
    return refusal("source_unreadable" if state[:2] in _OF_THE_TABLE else "source_lost", table=table)


def _reflected(connection: Connection, table: str, schema: str | None) -> Source:
    import sqlalchemy as sa

    inspector = sa.inspect(connection)
    columns = inspector.get_columns(table, schema)
    key = inspector.get_pk_constraint(table, schema)["constrained_columns"]
    foreign = [
        ForeignKey(tuple(f["constrained_columns"]), f["referred_table"], tuple(f["referred_columns"]))
        for f in inspector.get_foreign_keys(table, schema)
    ]
    return Source(
        schema or inspector.default_schema_name, table, _table_comment(inspector, table, schema),
        tuple(dict(c) for c in columns), tuple(key), tuple(foreign),
    )  # fmt: skip


def _table_comment(inspector: Inspector, table: str, schema: str | None) -> str | None:
    """What the database says the table is; None where it says nothing or has no comments at all."""
    try:
        return inspector.get_table_comment(table, schema)["text"]
    except NotImplementedError:
        return None


def _stream(connection: Connection, source: Source) -> Stream:
    if connection.dialect.name == "postgresql":
        from pipelines.reading.postgresql import copied

        return copied(connection, source)
    return _selected(connection, source)


def _selected(connection: Connection, source: Source) -> Stream:
    """Any other database: rows through its driver, every value as text, types left to the values."""
    import sqlalchemy as sa

    names = [c["name"] for c in source.columns]
    columns = tuple(declared(c, pa.string()) for c in source.columns)
    schema = None if connection.dialect.name == "sqlite" else source.schema
    table = sa.table(source.table, *(sa.column(n) for n in names), schema=schema)
    query = sa.select(*table.c).order_by(*(table.c[k] for k in source.key))
    shape = parquet_schema(columns)

    def batches() -> Generator[pa.RecordBatch]:
        result = connection.execution_options(stream_results=True, yield_per=_ROWS).execute(query)
        for rows in result.partitions():
            cells = [pa.array([_as_text(v) for v in column], pa.string()) for column in zip(*rows, strict=True)]
            yield pa.RecordBatch.from_arrays(cells, schema=shape)

    return Stream(columns, batches(), lambda: None, [])


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return str(value)


def declared(column: dict[str, Any], stored: pa.DataType) -> SourceColumn:
    """A reflected column with the type it is stored in."""
    try:
        told = str(column["type"])
    except NotImplementedError:  # a type SQLAlchemy does not know cannot be spelled
        told = "?"
    return SourceColumn(column["name"], told, column.get("comment"), bool(column.get("nullable", True)), stored)


def parquet_schema(columns: Sequence[SourceColumn], title: str | None = None) -> pa.Schema:
    """Fields with the declared type and the comment as their metadata; the table's own comment is its `title`."""
    fields = [
        pa.field(c.name, c.stored, metadata={"declared_type": c.type, **({"comment": c.comment} if c.comment else {})})
        for c in columns
    ]
    return pa.schema(fields, metadata={"title": title} if title else None)


def _written(stream: Stream, title: str | None, part: Path, progress: Progress | None) -> int:
    """Write every batch and hold the number of rows against what the database says it sent.

    Raises:
        UserError: `reading.source_lost`: fewer rows than sent.
    """
    rows = 0
    shape = parquet_schema(stream.columns, title)
    # A copy that is still running when this stops has to be broken off before its connection can be closed.
    with pq.ParquetWriter(part, shape, compression="zstd") as out, contextlib.closing(stream.batches) as batches:
        for batch in batches:
            out.write_batch(batch)
            rows += batch.num_rows
            if progress is not None:
                progress(rows)
    stated = stream.stated()
    if stated is not None and stated != rows:
        raise refusal("source_lost", table=part.stem)
    return rows


def _notes(connection: Connection, source: Source) -> list[ReadFinding]:
    notes = [] if source.key else [finding("source_without_key")]
    if connection.dialect.name == "postgresql":
        from pipelines.reading.postgresql import can_write

        notes += [finding("source_account_can_write")] if can_write(connection, source) else []
    return notes
