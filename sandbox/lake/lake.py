"""Versioned tables: append, overwrite, read any version. The only module that knows Delta Lake."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Never

from policies.text import Text
from sandbox.kernel.errors import BadInput, Conflict, NotFound
from sandbox.lake.names import locked, table_path

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable

    from sandbox.lake.parts import Part

_ATTEMPTS = 5
Mode = Literal["append", "overwrite"]


class Lake:
    """Tables `<resource>/raw|typed|quarantine|simulated` under one folder.

    A version never changes once written. Writers of one table queue on a lock; readers need none. Files left by a
    writer that was killed belong to no version and disturb nobody.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(
        self, table: str, batches: pa.RecordBatchReader, *, mode: Mode, facts: Mapping[str, str], once: str
    ) -> int:
        """Commit one version and return its number.

        Args:
            table: `<resource>/<kind>`.
            batches: the rows; consumed as a stream.
            mode: `append` keeps the earlier rows and demands the same columns; `overwrite` replaces rows and columns.
            facts: what a later reader must be able to prove (source digest, recipe, counts); kept with the commit.
            once: id of the job; a second write with the same id changes nothing and returns the first one's version.

        Raises:
            BadInput: bad name, no columns, or an unreadable kind of table.
            Conflict: other columns than the table has, or another program kept changing the table.
        """
        from sandbox.lake.parts import write_parts

        return self._add_parts(table, batches.schema, lambda folder: write_parts(folder, batches), mode, facts, once)

    def adopt(self, table: str, files: Sequence[Path], *, mode: Mode, facts: Mapping[str, str], once: str) -> int:
        """As `write`, of Parquet files that are complete already: they become the version's files as they are.

        All have the same columns and follow each other in row order. They stay where they are too; nobody may write to
        them any more.
        """
        import pyarrow.parquet as pq

        from sandbox.lake.parts import lake_schema, link_parts

        schema = pq.read_schema(files[0])
        for other in map(pq.read_schema, files[1:]):
            if lake_schema(other) != lake_schema(schema):
                _refuse_columns(table, lake_schema(schema), lake_schema(other))
        return self._add_parts(table, schema, lambda folder: link_parts(folder, files), mode, facts, once)

    def _add_parts(
        self, table: str, given: pa.Schema, make: Callable[[Path], list[Part]], mode: Mode, facts: Mapping[str, str],
        once: str,
    ) -> int:  # fmt: skip
        """Make the files outside the lock, commit them inside, and leave none behind that no version refers to."""
        from sandbox.lake.parts import discard, lake_schema

        path = table_path(self._root, table)
        if not once:
            raise BadInput("lake.no_job_id", Text("写入缺少任务编号", "A write needs the id of its job"))
        schema = lake_schema(given)
        with locked(self._root, table):
            if (done := self._version_of(path, once)) is not None:
                return done
            self._refuse_other_columns(path, table, schema, mode)
        parts = make(path)
        try:
            with locked(self._root, table):
                done = self._version_of(path, once)
                if done is None:
                    return self._commit(path, table, parts, schema, mode, facts, once)
        except Exception:
            discard(path, parts)
            raise
        discard(path, parts)
        return done

    def files(self, table: str, version: int | None = None) -> list[str]:
        """Absolute paths of the Parquet files of a version (newest when None), in row order; DuckDB reads them."""
        return sorted(self._table(table, version).file_uris())

    def schema(self, table: str, version: int | None = None) -> pa.Schema:
        """Column names and Arrow types of a version."""
        import pyarrow as pa

        return pa.schema(self._table(table, version).schema().to_arrow())

    def rows(self, table: str, version: int | None = None) -> int:
        """Number of rows of a version, counted from the files themselves."""
        import pyarrow.parquet as pq

        return sum(pq.read_metadata(path).num_rows for path in self.files(table, version))

    def facts(self, table: str, version: int | None = None) -> dict[str, str]:
        """What the writer of that version stated."""
        newest = self._table(table, None)  # the history of an older version counts its commits from the wrong end
        wanted = newest.version() if version is None else version
        for entry in newest.history():
            if entry.get("version") == wanted and "facts" in entry:
                return {str(k): str(v) for k, v in json.loads(entry["facts"]).items()}
        raise _no_version(table, wanted)

    def digest(self, table: str, version: int | None = None) -> str:
        """SHA-256 (hex) that stands for the exact files of a version."""
        from sandbox.lake.parts import files_digest

        return files_digest(self.files(table, version))

    def versions(self, table: str) -> list[int]:
        """Versions that a write made, oldest first; maintenance steps of the format itself are left out."""
        return sorted(int(e["version"]) for e in self._table(table, None).history() if "once" in e)

    def rows_of(self, table: str, version: int, limit: int, offset: int) -> list[dict[str, Any]]:
        """At most `limit` rows of a version from `offset` on, in row order, by column name."""
        import polars as pl

        files = self.files(table, version)  # a version without rows has none
        return pl.scan_parquet(files).slice(max(offset, 0), limit).collect().to_dicts() if files else []

    def exists(self, table: str) -> bool:
        """Whether at least one version was committed."""
        from deltalake import DeltaTable

        return DeltaTable.is_deltatable(str(table_path(self._root, table)))

    def _table(self, table: str, version: int | None) -> DeltaTable:
        opened = _open(table_path(self._root, table))
        if opened is None:
            raise NotFound.of("lake_table", table)
        if version is None:
            return opened
        if not 0 <= version <= opened.version():
            raise _no_version(table, version)
        opened.load_as_version(version)
        return opened

    def _version_of(self, path: Path, once: str) -> int | None:
        """Version an earlier write with this id made; None when there was none."""
        opened = _open(path)
        if opened is None:
            return None
        recorded = opened.transaction_version(once)
        if recorded is None:
            return None
        made = [int(e["version"]) for e in opened.history() if e.get("once") == once]
        return made[0] if made else recorded

    def _refuse_other_columns(self, path: Path, table: str, schema: pa.Schema, mode: Mode) -> None:
        if not len(schema):
            raise BadInput("lake.no_columns", Text("写入的数据没有任何列", "The data to write have no column"))
        opened = _open(path)
        if opened is None or mode == "overwrite":
            return
        from sandbox.lake.parts import lake_schema

        have = lake_schema(self.schema(table))
        if have != schema:
            _refuse_columns(table, have, schema)

    def _commit(
        self,
        path: Path,
        table: str,
        parts: list[Part],
        schema: pa.Schema,
        mode: Mode,
        facts: Mapping[str, str],
        once: str,
    ) -> int:
        """One commit; a change by another program in between is retried with the files already written."""
        from deltalake.exceptions import CommitFailedError

        for attempt in range(_ATTEMPTS):
            self._refuse_other_columns(path, table, schema, mode)
            try:
                _add(path, parts, schema, mode, facts, once)
            except CommitFailedError:
                time.sleep(0.1 * (attempt + 1) * (0.5 + os.getpid() % 8 / 8))  # processes wait unequally
                continue
            version = self._version_of(path, once)
            if version is not None:
                return version
        raise Conflict(
            "lake.busy",
            Text(
                f"表 {table} 一直被其他程序修改，写入未完成",
                f"Another program kept changing {table}; nothing was written",
            ),
            fix=Text("稍后重试；数据没有变化", "Try again later; the table is as it was"),
        )


def _open(path: Path) -> DeltaTable | None:
    """The table at `path`, or None; a table whose rows a plain Parquet reader cannot see is refused."""
    from deltalake import DeltaTable

    if not DeltaTable.is_deltatable(str(path)):
        return None
    opened = DeltaTable(str(path))
    if "deletionVectors" in (opened.protocol().reader_features or []):
        raise BadInput(
            "lake.deletion_vectors",
            Text(
                "这张表启用了删除向量：按文件读取会读到已删除的行，因此拒绝打开",
                "This table uses deletion vectors: reading its files would show deleted rows, so it is refused",
            ),
            fix=Text(
                "请在写入端关闭删除向量并重写此表", "Turn deletion vectors off where it is written, and rewrite it"
            ),
        )
    return opened


def _add(path: Path, parts: list[Part], schema: pa.Schema, mode: Mode, facts: Mapping[str, str], once: str) -> None:
    from deltalake import Schema
    from deltalake.transaction import AddAction, create_table_with_add_actions

    now = int(time.time() * 1000)
    actions = [AddAction(p.name, p.size, {}, now, True, json.dumps({"numRecords": p.rows})) for p in parts]
    opened = _open(path)
    if opened is None:
        create_table_with_add_actions(
            str(path), Schema.from_arrow(schema), actions, mode="error", commit_properties=_properties(facts, once, 0)
        )
        return
    opened = _with_local_timestamps(path, opened, schema)
    opened.create_write_transaction(
        actions, mode, Schema.from_arrow(schema), commit_properties=_properties(facts, once, opened.version() + 1)
    )


def _properties(facts: Mapping[str, str], once: str, version: int) -> CommitProperties:
    from deltalake import CommitProperties, Transaction

    stated: dict[str, Any] = {"facts": json.dumps(dict(facts), ensure_ascii=False, sort_keys=True), "once": once}
    # No retry inside the format's own library: it would rebase an overwrite onto a table it has not looked at.
    return CommitProperties(custom_metadata=stated, max_commit_retries=0, app_transactions=[Transaction(once, version)])


def _with_local_timestamps(path: Path, opened: DeltaTable, schema: pa.Schema) -> DeltaTable:
    """Announce timestamps without a zone before the first one is stored; a table without them stays plain."""
    import pyarrow as pa
    from deltalake import DeltaTable, TableFeatures

    wanted = any(pa.types.is_timestamp(f.type) and f.type.tz is None for f in schema)
    if not wanted or "timestampNtz" in (opened.protocol().reader_features or []):
        return opened
    opened.alter.add_feature(TableFeatures.TimestampWithoutTimezone, allow_protocol_versions_increase=True)
    return DeltaTable(str(path))


def _refuse_columns(table: str, have: pa.Schema, given: pa.Schema) -> Never:
    changed = sorted({f.name for f in have} ^ {f.name for f in given}) or [
        f.name for f in given if have.field(f.name).type != f.type
    ]
    names = "、".join(changed[:8])
    raise Conflict(
        "lake.other_columns",
        Text(
            f"要追加的数据与表 {table} 的列不一致（{names or '列的顺序'}）",
            f"The data to append have other columns than {table} ({names or 'the order of columns'})",
        ),
        fix=Text(
            "按原有列追加，或以覆盖方式写入新版本", "Append the same columns, or write a new version by overwrite"
        ),
        columns=changed,
    )


def _no_version(table: str, version: int) -> NotFound:
    return NotFound(
        "lake.no_such_version",
        Text(f"表 {table} 没有版本 {version}", f"{table} has no version {version}"),
        fix=Text("请从版本列表中选择", "Choose one from the list of versions"),
    )
