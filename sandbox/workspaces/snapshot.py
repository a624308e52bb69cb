"""Granted data as files: a physical copy of exactly the approved columns and rows, immutable and named by its hash.

A view is no boundary (whoever can read the file reads every column, and its statistics leak hidden rows), so what is
not granted is not in the bytes. Rows are ordered by the granted columns, because the source's order could carry hidden
information; source metadata is dropped. Equal grants share one snapshot.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from policies.text import Text, UserError
from sandbox.workspaces.engine import identifier, literal
from sandbox.workspaces.jail import DATA

MANIFEST = "manifest.json"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`path` is the Parquet file to mount; `digest` names the whole (source, columns, row rule and bytes)."""

    digest: str
    path: Path
    columns: tuple[tuple[str, str], ...]
    rows: int


@dataclass(frozen=True, slots=True)
class DisposalRecord:
    """Evidence that a snapshot was deleted: what it was (`sha256` of its data), how big, and that it is gone."""

    digest: str
    sha256: str
    bytes: int
    rows: int
    gone: bool


def build(
    files: Sequence[str],
    columns: Sequence[str],
    *,
    out_root: Path,
    row_limit: int | None = None,
    source: Mapping[str, Any],
) -> Snapshot:
    """Write the `columns` of the Parquet `files` as one immutable snapshot below `out_root`; reuse an equal one.

    `source` says what the files are (resource, version, masking edition …), must be JSON, and is part of the digest.
    `row_limit` keeps the first rows in the order of the granted columns. Raises UserError for an unknown column.
    """
    if not files or not columns or len(set(columns)) != len(columns):
        raise _unusable("没有数据文件，或列为空或重复。", "No data files, or the columns are empty or repeated.")
    out_root.mkdir(parents=True, exist_ok=True, mode=0o700)
    work = Path(tempfile.mkdtemp(prefix=".building-", dir=out_root))
    try:
        written = work / DATA
        types, rows = _project(list(files), list(columns), written, row_limit, work)
        manifest = {
            "columns": types, "rows": rows, "row_limit": row_limit, "sha256": _sha256(written), "source": dict(source),
        }  # fmt: skip
        text = json.dumps(manifest, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
        (work / MANIFEST).write_bytes(text)
        digest = hashlib.sha256(text).hexdigest()
        _publish(work, out_root / digest)
    finally:
        _delete(work)
    return load(out_root, digest)


def load(out_root: Path, digest: str) -> Snapshot:
    """A snapshot that exists, by its digest. Raises UserError when it is missing or its manifest was changed."""
    place = out_root / digest
    try:
        text = (place / MANIFEST).read_bytes()
        manifest = json.loads(text)
    except (OSError, ValueError) as error:
        raise _unusable("快照不存在或不可读。", "The snapshot is missing or unreadable.") from error
    if hashlib.sha256(text).hexdigest() != digest:
        raise _unusable("快照清单已被改动。", "The snapshot's manifest was changed.")
    return Snapshot(digest, place / DATA, tuple((n, t) for n, t in manifest["columns"]), manifest["rows"])


def verify(snapshot: Snapshot) -> bool:
    """Do the bytes still have the hash that the manifest names?"""
    manifest = json.loads((snapshot.path.parent / MANIFEST).read_bytes())
    return bool(manifest["sha256"] == _sha256(snapshot.path))


def dispose(snapshot: Snapshot) -> DisposalRecord:
    """Delete the snapshot. The caller ended every worker that mounts it and knows that no other grant shares it."""
    manifest = json.loads((snapshot.path.parent / MANIFEST).read_bytes())
    size = snapshot.path.stat().st_size
    _delete(snapshot.path.parent)
    _sync(snapshot.path.parents[1])
    gone = not snapshot.path.parent.exists()
    return DisposalRecord(snapshot.digest, manifest["sha256"], size, manifest["rows"], gone)


def _project(
    files: list[str], columns: list[str], out: Path, row_limit: int | None, work: Path
) -> tuple[list[list[str]], int]:
    """Write the projection; returns [[column, type]…] and the row count."""
    chosen = ", ".join(identifier(c) for c in columns)
    listed = "[" + ", ".join(literal(f) for f in files) + "]"
    limit = "" if row_limit is None else f" LIMIT {int(row_limit)}"
    with duckdb.connect(config={"temp_directory": str(work / "spill"), "async_threads": 1}) as con:
        try:
            # by every granted column: ties broken by the source's order would carry that order along
            query = f"SELECT {chosen} FROM read_parquet({listed}, union_by_name = true) ORDER BY ALL{limit}"
            con.execute(f"COPY ({query}) TO {literal(str(out))} (FORMAT parquet, COMPRESSION zstd)")
            types = con.execute(f"DESCRIBE SELECT * FROM read_parquet({literal(str(out))})").fetchall()
            rows = con.execute(f"SELECT count(*) FROM read_parquet({literal(str(out))})").fetchall()[0][0]
        except duckdb.BinderException as error:
            raise _unusable(
                "授权的列在数据中不存在。", "A granted column does not exist in the data.", columns=columns
            ) from error
    shutil.rmtree(work / "spill", ignore_errors=True)
    return [[str(row[0]), str(row[1])] for row in types], int(rows)


def _publish(work: Path, place: Path) -> None:
    """Make the files durable and read-only, then give the folder its name in one step."""
    for name in (DATA, MANIFEST):
        (work / name).chmod(0o444)
        _sync(work / name)
    work.chmod(0o700)
    try:
        work.rename(place)
    except OSError:
        if not (place / MANIFEST).exists():  # an equal snapshot is what we wanted; anything else is an error
            raise
    else:
        place.chmod(0o555)
    _sync(place.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _delete(folder: Path) -> None:
    if folder.exists():
        folder.chmod(0o700)
        shutil.rmtree(folder)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as data:
        while chunk := data.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _unusable(zh: str, en: str, **detail: Any) -> UserError:
    return UserError("workspace.snapshot", Text(zh, en), **detail)
