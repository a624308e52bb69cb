"""The metadata database: SQLite (WAL) by default, PostgreSQL by URL. One transaction at a time, nobody else commits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    Connection,
    Dialect,
    Engine,
    MetaData,
    String,
    TypeDecorator,
    create_engine,
    event,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

_NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcTime(TypeDecorator[datetime]):
    """A moment kept as ISO text in UTC, so that both databases sort, compare and hash it alike."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


class Base(DeclarativeBase):
    """Every table of the platform."""

    metadata = MetaData(naming_convention=_NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcTime(), dict[str, Any]: JSON(), list[Any]: JSON()}


def short(length: int = 64, **options: Any) -> Any:
    """A text column of bounded length."""
    return mapped_column(String(length), **options)


def _prepare_sqlite(engine: Engine, *, reads: bool) -> None:
    """WAL, foreign keys, and a write lock taken at BEGIN so that two writers queue instead of failing half-way.

    Connections that only read are their own: switching one to and fro makes SQLite compile every statement anew.
    """

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "busy_timeout=30000", "synchronous=NORMAL"):
            connection.execute(f"PRAGMA {pragma}")
        if reads:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        if reads:
            connection.connection.dbapi_connection.execute("BEGIN")  # takes no lock, so it cannot fail
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")


class Database:
    """One metadata database by URL (`sqlite:///…` or `postgresql://…`)."""

    def __init__(self, url: str) -> None:
        if url.startswith("postgresql://"):
            url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        self.url = url
        if url.startswith("sqlite:///"):
            Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self.engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
        if self.engine.dialect.name == "sqlite":
            self._reader = create_engine(url)
            _prepare_sqlite(self.engine, reads=False)
            _prepare_sqlite(self._reader, reads=True)
        else:
            self._reader = self.engine.execution_options(postgresql_readonly=True)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that commits when the block ends well and rolls back when it does not."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for one look: it takes no lock, and the database refuses to write by it."""
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def looking(self) -> Iterator[Session]:
        """A session that reads one state of the database, as `reading`."""
        with Session(self._reader, expire_on_commit=False, autoflush=False) as session:
            yield session

    def migrate(self) -> None:
        """Bring the schema to the newest revision. Safe to repeat; refuses a database newer than this program."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations"))
        config.attributes["engine"] = self.engine
        command.upgrade(config, "head")

    def ping(self) -> None:
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def dispose(self) -> None:
        self.engine.dispose()
        self._reader.dispose()
