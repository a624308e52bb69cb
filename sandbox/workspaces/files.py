"""The files of a workspace's simulated folder, read by a platform that does not trust a single name in it.

The folder belongs to the merchant's programs, also while we look: a link may appear between two looks, a pipe may lie
where a table was, a sparse file may claim any size. So everything goes by descriptors below an open folder, no link is
ever followed, nothing but an ordinary file with one name is opened, never waiting for it, and looking is bounded.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import quote

from policies.text import Text
from sandbox.kernel.errors import Conflict, NotFound

MARK = "仿真数据"
Kind = Literal["table", "picture", "text", "archive", "other", "database", "not_a_file"]
_DATABASE = frozenset({b"workspace.duckdb", b"workspace.duckdb.wal"})
_DEPTH, _LOOKED_AT, _BLOCK = 8, 20_000, 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PNG = b"\x89PNG\r\n\x1a\n"
_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"PAR1", "table"), (b"ARROW1", "table"), (_PNG, "picture"), (b"\xff\xd8\xff", "picture"),
    (b"PK\x03\x04", "archive"), (b"\x1f\x8b", "archive"), (b"7z\xbc\xaf", "archive"),
)  # fmt: skip
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)(\..*)?", re.IGNORECASE)
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class WorkspaceFile:
    """One entry. `id` names it in addresses; `path` is its place as people read it (odd characters made visible);
    `size` the bytes it says it holds, `on_disk` those it takes of the quota."""

    id: str
    path: str
    kind: Kind
    size: int
    on_disk: int
    at: datetime
    stamp: tuple[int, int, int]
    """changes whenever the file is written: inode, modification time in nanoseconds, size"""

    @property
    def readable(self) -> bool:
        return self.kind not in ("database", "not_a_file")

    @property
    def is_png(self) -> bool:
        return self.kind == "picture" and self.path.lower().endswith(".png")


@dataclass(frozen=True, slots=True)
class Contents:
    """What the folder holds. `complete` is False where there was more than is ever looked at."""

    files: tuple[WorkspaceFile, ...]
    on_disk: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """An open file; the caller closes `stream`. `size` at the time of opening: no more than that is read."""

    stream: BinaryIO
    size: int
    path: str
    is_png: bool

    def blocks(self) -> Iterator[bytes]:
        """The content in blocks, at most `size` bytes in all; a file that shrinks meanwhile ends early."""
        with self.stream:
            left = self.size
            while left > 0 and (block := self.stream.read(min(_BLOCK, left))):
                left -= len(block)
                yield block


def contents(folder: Path) -> Contents:
    """Everything below `folder`, newest first. A folder that is not there is empty."""
    try:
        handle = os.open(folder, _FOLDER)
    except OSError:
        return Contents((), 0, True)
    found: list[WorkspaceFile] = []
    room = [_LOOKED_AT]
    try:
        _look(handle, b"", 0, found, room)
    finally:
        os.close(handle)
    found.sort(key=lambda f: f.at, reverse=True)
    return Contents(tuple(found), sum(f.on_disk for f in found), room[0] > 0)


def _look(handle: int, prefix: bytes, depth: int, found: list[WorkspaceFile], room: list[int]) -> None:
    try:
        names = [os.fsencode(entry.name) for entry in _some(handle, room)]
    except OSError:
        return
    for name in names:
        try:
            facts = os.stat(name, dir_fd=handle, follow_symlinks=False)
        except OSError:  # gone meanwhile
            continue
        if not stat.S_ISDIR(facts.st_mode):
            found.append(_described(handle, name, prefix + name, facts))
        elif depth < _DEPTH:
            try:
                below = os.open(name, _FOLDER, dir_fd=handle)
            except OSError:
                continue
            try:
                _look(below, prefix + name + b"/", depth + 1, found, room)
            finally:
                os.close(below)


def _some(handle: int, room: list[int]) -> Iterator[os.DirEntry[str]]:
    with os.scandir(handle) as entries:
        for entry in entries:
            if room[0] <= 0:
                return
            room[0] -= 1
            yield entry


def _described(handle: int, name: bytes, path: bytes, facts: os.stat_result) -> WorkspaceFile:
    return WorkspaceFile(
        file_id(path), visible(path), _kind(handle, name, path, facts), facts.st_size, facts.st_blocks * 512,
        datetime.fromtimestamp(max(0, min(facts.st_mtime, 32503680000)), UTC),
        (facts.st_ino, facts.st_mtime_ns, facts.st_size),
    )  # fmt: skip


def _kind(handle: int, name: bytes, path: bytes, facts: os.stat_result) -> Kind:
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
        return "not_a_file"
    if path in _DATABASE:
        return "database"
    try:
        opened = os.open(name, _FILE, dir_fd=handle)
    except OSError:
        return "not_a_file"
    try:
        head = os.read(opened, 512) if stat.S_ISREG(os.fstat(opened).st_mode) else b""
    except OSError:
        return "not_a_file"
    finally:
        os.close(opened)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if name.lower().endswith((b".csv", b".tsv", b".json", b".jsonl", b".ndjson")):
        return "table"
    return "text" if head and b"\0" not in head else "other"


def open_file(folder: Path, file_id: str) -> Opened:
    """Open an entry for reading. Raises NotFound for anything but an ordinary file with one name below `folder`."""
    *above, name = _parts(file_id)
    if (b"/".join([*above, name])) in _DATABASE:
        raise _missing()
    handle = _descend(folder, above)
    try:
        opened = os.open(name, _FILE, dir_fd=handle)
    except OSError as error:
        raise _missing() from error
    finally:
        os.close(handle)
    facts = os.fstat(opened)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
        os.close(opened)
        raise _missing()
    stream = os.fdopen(opened, "rb")
    is_png = stream.read(len(_PNG)) == _PNG
    stream.seek(0)
    return Opened(stream, facts.st_size, visible(b"/".join([*above, name])), is_png)


def delete(folder: Path, file_id: str) -> WorkspaceFile:
    """Take an entry away (a link itself, never what it points at); returns what it was. Raises NotFound, Conflict."""
    *above, name = _parts(file_id)
    path = b"/".join([*above, name])
    if path in _DATABASE:
        raise Conflict(
            "file.database", Text("这是工作空间的数据库文件，不能删除", "This is the workspace's database"),
            fix=Text("请用 DROP TABLE 删除不需要的表", "Drop tables you no longer need"),
        )  # fmt: skip
    handle = _descend(folder, above)
    try:
        facts = os.stat(name, dir_fd=handle, follow_symlinks=False)
        was = _described(handle, name, path, facts)
        os.unlink(name, dir_fd=handle)
    except OSError as error:
        raise _missing() from error
    finally:
        os.close(handle)
    return was


def _descend(folder: Path, above: list[bytes]) -> int:
    """A descriptor of the folder that holds the entry, reached step by step without following a link."""
    try:
        handle = os.open(folder, _FOLDER)
        for step in above:
            below = os.open(step, _FOLDER, dir_fd=handle)
            os.close(handle)
            handle = below
    except OSError as error:
        raise _missing() from error
    return handle


def file_id(path: bytes) -> str:
    """The path as it can stand in any address: names may hold any byte."""
    return base64.urlsafe_b64encode(path).decode().rstrip("=")


def _parts(file_id: str) -> list[bytes]:
    try:
        path = base64.b64decode(file_id + "=" * (-len(file_id) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _missing() from error
    parts = path.split(b"/")
    if len(parts) > _DEPTH + 1 or any(p in (b"", b".", b"..") or b"\0" in p or len(p) > 255 for p in parts):
        raise _missing()
    return parts


def _missing() -> NotFound:
    return NotFound(
        "file.not_found", Text("没有这个文件，或它不是普通文件", "There is no such file, or it is no ordinary file"),
        fix=Text("请刷新文件列表", "Reload the list of files"),
    )  # fmt: skip


def visible(path: bytes) -> str:
    """A path as it may be shown: control, direction and other invisible characters appear as their numbers."""
    return "".join(_shown(c) for c in path.decode("utf-8", "backslashreplace"))


def _shown(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return f"⟨{ord(character):04X}⟩" if hidden else character


def download_name(path: str, *, mark: str = MARK) -> str:
    """A name that no system takes for anything but a name, beginning with the mark of simulated data."""
    name = re.sub(r'[\\/:*?"<>|⟨⟩\x00-\x1f]', "_", path.rsplit("/", 1)[-1]).strip(". ") or "file"
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > 10:
        stem, dot, ending = name, "", ""
    stem = stem[: _LONGEST - len(ending) - 1]
    stem = f"_{stem}" if _DEVICES.fullmatch(stem) else stem
    return f"{mark}_{stem}{dot}{ending}"


def disposition(path: str) -> str:
    """The header that makes a browser save the file and never show it (RFC 6266)."""
    name = download_name(path)
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name.removeprefix(f"{MARK}_"))
    return f"attachment; filename=\"simulated_{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
