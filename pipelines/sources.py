"""Fetching a delivery from where the department keeps it, into the inbox, if its content is new."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from policies.text import Text, UserError
from sandbox.catalog import deliveries, repository
from sandbox.catalog.sources import DatabaseTable, connection_url, drop_folder, source_of
from sandbox.kernel.jobs import Work

if TYPE_CHECKING:
    from sandbox.catalog.repository import Resource
    from sandbox.kernel.unit import Unit

Outcome = Literal["new", "unchanged", "nothing"]
SETTLED = 5.0
"""seconds without a change after which a file counts as completely written"""
FLOOR_BYTES = 1 << 30
"""disk space that a fetch leaves free"""
_UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", ".swp", "~")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a source gave: `new` content is in the inbox under its SHA-256."""

    outcome: Outcome
    sha256: str = ""
    size: int = 0
    file_name: str = ""


def fetch(work: Work, resource_id: str) -> Fetched:
    """Look at a resource's source and store its newest content in the inbox unless it was delivered before.

    Raises:
        UserError: `source.*`: badly declared, unreachable, or the disk is too full.
    """
    with work.platform.system() as unit:
        resource = repository.get(unit.session, resource_id)
        known = _delivered(unit, resource)
        source = source_of(resource)
        url = connection_url(unit, resource, source) if isinstance(source, DatabaseTable) else ""
    if source is None:
        return Fetched("nothing")
    inbox = work.platform.settings.inbox
    if isinstance(source, DatabaseTable):
        return _stored(_extracted(source, url, work.folder / f"{resource.id}.parquet"), inbox, known)
    newest = newest_complete(drop_folder(work.platform.settings, resource))
    return Fetched("nothing") if newest is None else _stored(newest, inbox, known)


def _delivered(unit: Unit, resource: Resource) -> frozenset[str]:
    """Digests of everything this resource was ever given, taken in or sent back."""
    return frozenset(d.file_sha256 for d in repository.deliveries(unit.session, resource.id) if d.mode != "regrade")


def newest_complete(folder: Path) -> Path | None:
    """The newest file that nobody is still writing; links and hidden files are not looked at."""
    found: list[tuple[int, str, Path]] = []
    for path in folder.iterdir() if folder.is_dir() else ():
        facts = path.lstat()
        settled = time.time() - facts.st_mtime >= SETTLED
        hidden = path.name.startswith(".") or path.name.lower().endswith(_UNFINISHED)
        if stat.S_ISREG(facts.st_mode) and settled and facts.st_size and not hidden:
            found.append((facts.st_mtime_ns, path.name, path))
    return max(found)[2] if found else None


def _stored(path: Path, inbox: Path, known: frozenset[str]) -> Fetched:
    """Into the inbox, unless its digest is known; a file that changes meanwhile is left for the next time."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
        before = os.fstat(stream.fileno())
        digest = _digest(stream)
        if digest in known:
            return Fetched("unchanged", digest, before.st_size, path.name)
        _refuse_full_disk(inbox, before.st_size)
        stream.seek(0)
        stored, size = deliveries.store_delivery(inbox, stream, before.st_size)
        after = os.fstat(stream.fileno())
    if stored != digest or (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
        return Fetched("nothing", file_name=path.name)
    return Fetched("new", digest, size, path.name)


def _digest(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _refuse_full_disk(inbox: Path, size: int) -> None:
    inbox.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(inbox).free
    if free - size < FLOOR_BYTES:
        raise UserError(
            "source.disk_full",
            Text(
                f"磁盘剩余 {free >> 20} MB，放不下 {size >> 20} MB 的新文件",
                f"{free >> 20} MB of disk are left, too few for a new file of {size >> 20} MB",
            ),
            fix=Text("请清理磁盘后重试", "Free some disk and retry"),
        )


def _extracted(source: DatabaseTable, url: str, target: Path) -> Path:
    """The table as a Parquet file. What the driver says may hold the address, so only its class goes on."""
    from pipelines.reading import database

    try:
        database.extract(url, source.table, target, schema=source.namespace)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            "source.unreachable",
            Text(
                f"数据库连接“{source.connection}”没有给出数据（{type(error).__name__}）",
                f"The database connection {source.connection} gave no data ({type(error).__name__})",
            ),
            fix=Text("稍后会自动重试；请检查连接与只读账号", "It is tried again; check the connection and its account"),
        ) from None
    return target
