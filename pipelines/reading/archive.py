"""Members of a zip archive, within limits; nothing is written outside the work folder."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from pipelines.reading.findings import refusal

MAX_MEMBERS = 1000
MAX_BYTES = 64 * 1024**3
MAX_RATIO = 200
_RATIO_FROM = 64 * 1024**2  # small members may compress well
_BLOCK = 1024 * 1024


def refuse_bomb(path: Path, most: int = MAX_BYTES) -> None:
    """Judge an archive by what its directory states.

    Raises:
        UserError: encrypted, too many members, too large, or compressed beyond what data ever are.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except zipfile.BadZipFile:
        raise refusal("broken_file", name=path.name) from None
    if any(i.flag_bits & 1 for i in infos):
        raise refusal("encrypted", name=path.name)
    if len(infos) > MAX_MEMBERS or sum(i.file_size for i in infos) > most:
        raise refusal("archive_limits")
    sizes = [(i.file_size, i.compress_size) for i in infos]
    # Members may share their bytes in the archive, so the whole is judged too.
    for unpacked, packed in [*sizes, (sum(s for s, _ in sizes), path.stat().st_size)]:
        if unpacked > _RATIO_FROM and unpacked > MAX_RATIO * max(1, packed):
            raise refusal("archive_limits")


def member_names(path: Path) -> list[str]:
    """The members that may hold a table.

    Raises:
        UserError: as `refuse_bomb`.
    """
    refuse_bomb(path)
    with zipfile.ZipFile(path) as archive:
        return [_name(i) for i in archive.infolist() if not (i.is_dir() or _is_litter(_name(i)))]


def members(path: Path, folder: Path, wanted: Collection[str]) -> Iterator[tuple[str, Path]]:
    """Each wanted member with the file it was unpacked to (named by number, never by its own name).

    Raises:
        UserError: as `refuse_bomb`; a member longer than the directory says.
    """
    refuse_bomb(path)
    with zipfile.ZipFile(path) as archive:
        for number, info in enumerate(archive.infolist()):
            name = _name(info)
            if info.is_dir() or name not in wanted:
                continue
            target = folder / f"{number:04d}{PurePosixPath(name).suffix.lower()[:10]}"
            _unpack(archive, info, target)
            yield name, target


def open_member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """The member's bytes, by the name that `member_names` gives it."""
    return archive.open(next(i for i in archive.infolist() if _name(i) == name))


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    left = info.file_size
    try:
        with archive.open(info) as source, target.open("wb") as out:
            while block := source.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise refusal("archive_limits")
                out.write(block)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error):
        raise refusal("broken_file", name=_name(info)) from None


def _name(info: zipfile.ZipInfo) -> str:
    """The member's name; Chinese Windows tools write GBK without saying so."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("gb18030")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return info.filename


def _is_litter(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(p.startswith((".", "__MACOSX")) and p != ".." for p in parts) or name.endswith(
        ("Thumbs.db", "desktop.ini")
    )
