"""Granted data as files: a physical copy of exactly the approved columns and rows, immutable and named by its hash.

A view is no boundary (whoever can read the file reads every column, and its statistics leak hidden rows), so what is
not granted is not in the bytes. Rows are ordered by their own granted values alone, every column a key, because the
source's order could carry hidden information; source metadata is dropped. Equal grants share one snapshot.

What pays for the sort (`pds bench grant` has the figures): Parquet's second version writes sorted numbers by their
differences, dictionaries are not tried for columns that will not have one, and the keys are short: whole numbers before
texts, decimals as narrow as their values allow while they are sorted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb

from policies.text import Text, UserError
from sandbox.workspaces import pseudonyms
from sandbox.workspaces.engine import identifier, in_city_time, literal
from sandbox.workspaces.jail import DATA

MANIFEST = "manifest.json"
BUILDING, LEAVING = ".building-", ".leaving-"
_TWINS = ".twins-"
_ABANDONED_SECONDS = 86_400.0
_FORMAT = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, DICTIONARY_SIZE_LIMIT 2000"
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_WIDTHS = (4, 9, 18)
"""digits that fit into two, four and eight bytes"""
_CHEAP_FIRST = ("INT", "DATE", "TIMESTAMP", "DECIMAL", "DOUBLE", "FLOAT", "BOOLEAN")
"""types in the order in which they lead the sort: long text last, because comparing it is what costs"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`path` is the Parquet file to mount; `digest` names the whole (source, columns, row rule and bytes)."""

    digest: str
    path: Path
    columns: tuple[tuple[str, str], ...]
    rows: int
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Room:
    """What building may use; sorting spills to disk beyond it."""

    memory_mb: int
    threads: int


@dataclass(frozen=True, slots=True)
class Content:
    """What of the source goes in: `columns`, rows of `where` (SQL the platform wrote, "" for all), and for columns in
    `kinds` (column → domain) the pseudonym under `key` instead of the value."""

    columns: Sequence[str]
    where: str = ""
    kinds: Mapping[str, str] | None = None
    key: pseudonyms.Key | None = None


def build(files: Sequence[str], content: Content, *, out_root: Path, room: Room, source: Mapping[str, Any]) -> Snapshot:
    """Write `content` of the Parquet `files` as one immutable snapshot below `out_root`; reuse an equal one.

    `source` says what the files are (resource, version, conditions on rows …), must be JSON, and is part of the
    digest. Raises UserError for an unknown column.
    """
    columns = list(content.columns)
    if not files or not columns or len(set(columns)) != len(columns):
        raise _unusable("没有数据文件，或列为空或重复。", "No data files, or the columns are empty or repeated.")
    out_root.mkdir(parents=True, exist_ok=True, mode=0o700)
    work = Path(tempfile.mkdtemp(prefix=BUILDING, dir=out_root))
    try:
        written = work / DATA
        types, rows = _project(list(files), content, written, work, room)
        manifest = {
            "columns": types, "rows": rows, "sha256": _sha256(written), "bytes": written.stat().st_size,
            "source": dict(source),
        }  # fmt: skip
        text = json.dumps(manifest, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
        (work / MANIFEST).write_bytes(text)
        digest = hashlib.sha256(text).hexdigest()
        _publish(work, out_root / digest)
    finally:
        _delete(work)
    return load(out_root, digest)


def load(out_root: Path, digest: str) -> Snapshot:
    """A snapshot that exists, by its digest. Raises UserError when it is missing or its manifest was changed.

    A manifest is read again as soon as it is another file than the one that was verified, or was written to.
    """
    place = out_root / digest
    try:
        file = (place / MANIFEST).stat()
    except OSError as error:
        raise _unusable("快照不存在或不可读。", "The snapshot is missing or unreadable.") from error
    return _verified(place, (file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns))


@lru_cache(maxsize=4096)
def _verified(place: Path, _file: tuple[int, ...]) -> Snapshot:
    digest = place.name
    try:
        text = (place / MANIFEST).read_bytes()
        manifest = json.loads(text)
    except (OSError, ValueError) as error:
        raise _unusable("快照不存在或不可读。", "The snapshot is missing or unreadable.") from error
    if hashlib.sha256(text).hexdigest() != digest:
        raise _unusable("快照清单已被改动。", "The snapshot's manifest was changed.")
    columns = tuple((n, t) for n, t in manifest["columns"])
    return Snapshot(digest, place / DATA, columns, manifest["rows"], manifest["sha256"], manifest["bytes"])


def verify(snapshot: Snapshot) -> bool:
    """Do the bytes still have the hash that the manifest names?"""
    return snapshot.sha256 == _sha256(snapshot.path)


def twins_of(out_root: Path, digest: str) -> Path:
    """The folder of what the export gate derives from the snapshot's source (`products.twin`). It is mounted into no
    workspace and goes with the snapshot."""
    return out_root / f"{_TWINS}{digest}"


def set_aside(out_root: Path, digest: str) -> None:
    """Take the snapshot's name away: from now on nobody mounts it anew. Repeating does no harm."""
    _delete(twins_of(out_root, digest))
    if (out_root / digest).exists():
        _delete(out_root / f"{LEAVING}{digest}")
        (out_root / digest).rename(out_root / f"{LEAVING}{digest}")
        _sync(out_root)


def bring_back(out_root: Path, digest: str) -> None:
    """Undo `set_aside`; where an equal snapshot was built meanwhile, that one stays."""
    aside = out_root / f"{LEAVING}{digest}"
    if aside.exists() and not (out_root / digest).exists():
        aside.rename(out_root / digest)
    _delete(aside)


def dispose(out_root: Path, digest: str) -> bool:
    """Delete a snapshot that was set aside; True when neither name exists. Repeating after a crash ends the work."""
    aside, twins = out_root / f"{LEAVING}{digest}", twins_of(out_root, digest)
    _delete(aside)
    _delete(twins)
    if out_root.exists():
        _sync(out_root)
    return not any(place.exists() for place in (aside, twins, out_root / digest))


def sweep(out_root: Path) -> None:
    """Remove what a builder that was killed left behind: such a folder holds granted rows and belongs to nobody."""
    for folder in out_root.glob(f"{BUILDING}*"):
        if time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
            _delete(folder)


def _project(
    files: list[str], content: Content, out: Path, work: Path, room: Room
) -> tuple[list[list[str]], int]:  # fmt: skip
    """Write the projection; returns [[column, type]…] and the row count."""
    listed = f"read_parquet([{', '.join(map(literal, files))}], union_by_name = true)"
    config: dict[str, Any] = {
        "temp_directory": str(work / "spill"), "memory_limit": f"{room.memory_mb}MB", "threads": room.threads,
        "async_threads": 1,
    }  # fmt: skip
    with duckdb.connect(config=config) as con:
        in_city_time(con)
        try:
            types = {str(r[0]): str(r[1]) for r in con.execute(f"DESCRIBE SELECT * FROM {listed}").fetchall()}
            query = _query(listed, content, types, _narrow(con, files, types))
            parameters = content.key.parameters() if content.key and content.kinds else {}
            con.execute(f"COPY ({query}) TO {literal(str(out))} ({_FORMAT})", parameters)
        except (duckdb.BinderException, KeyError) as error:
            raise _unusable(
                "授权的列在数据中不存在。",
                "A granted column does not exist in the data.",
                columns=list(content.columns),
            ) from error
        written = con.execute(f"DESCRIBE SELECT * FROM read_parquet({literal(str(out))})").fetchall()
        rows = con.execute(f"SELECT count(*) FROM read_parquet({literal(str(out))})").fetchall()[0][0]
    shutil.rmtree(work / "spill", ignore_errors=True)
    return [[str(row[0]), str(row[1])] for row in written], int(rows)


def _query(listed: str, content: Content, types: Mapping[str, str], narrow: Mapping[str, str]) -> str:
    """The projection, ordered by what it gives (pseudonyms after they were made: a rank would tell the identifier)."""
    kinds = content.kinds or {}
    inner, outer, costs = [], [], {}
    for name in content.columns:
        column, kind = identifier(name), types[name]
        made = back = column
        if name in kinds:
            made, kind = pseudonyms.expression(column, kinds[name]), "VARCHAR"
        elif kind in ("DOUBLE", "FLOAT"):
            made = f"{column} + 0.0::{kind}"  # −0.0 equals 0.0: which of them comes first would be the source's order
        elif name in narrow:
            made, back = f"CAST({column} AS {narrow[name]})", f"CAST({column} AS {kind})"
        inner.append(f"{made} AS {column}")
        outer.append(f"{back} AS {column}")
        costs[name] = _cost(kind)
    keys = ", ".join(identifier(n) for n in sorted(costs, key=lambda n: (costs[n], n)))
    where = f" WHERE {content.where}" if content.where else ""
    rows = f"SELECT {', '.join(inner)} FROM {listed}{where}"
    return f"SELECT {', '.join(outer)} FROM (SELECT * FROM ({rows}) ORDER BY {keys})"


def _narrow(con: duckdb.DuckDBPyConnection, files: list[str], types: Mapping[str, str]) -> dict[str, str]:
    """Decimal column → the narrowest type that holds its values, by the files' own statistics; only for sorting."""
    wide = {name: match for name, kind in types.items() if (match := _DECIMAL.fullmatch(kind))}
    bounds = ", ".join(f"abs(TRY_CAST(stats_{end}_value AS DECIMAL(38, 10))) AS {end}" for end in ("min", "max"))
    found = con.execute(
        "SELECT path_in_schema, bool_and(empty OR min + max IS NOT NULL), max(greatest(min, max)) FROM ("
        f" SELECT path_in_schema, stats_null_count IS NOT DISTINCT FROM num_values AS empty, {bounds}"
        " FROM parquet_metadata($files) WHERE list_contains($names, path_in_schema)) GROUP BY ALL",
        {"files": files, "names": list(wide)},
    ).fetchall()
    narrow: dict[str, str] = {}
    for name, known, largest in found:
        precision, scale = map(int, wide[name].groups())
        digits = scale + len(str(int(largest or 0)))
        fits = next((w for w in _WIDTHS if digits <= w < precision), None)
        if known and fits:
            narrow[name] = f"DECIMAL({fits},{scale})"
    return narrow


def _cost(kind: str) -> int:
    return next((place for place, start in enumerate(_CHEAP_FIRST) if start in kind), len(_CHEAP_FIRST))


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
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _unusable(zh: str, en: str, **detail: Any) -> UserError:
    return UserError("workspace.snapshot", Text(zh, en), **detail)
