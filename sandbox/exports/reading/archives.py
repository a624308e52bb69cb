"""Readers of archives. Limits hold for what is really unpacked, not for what the archive says of itself."""

from __future__ import annotations

import bz2
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from sandbox.exports.places import member, within
from sandbox.exports.reading.found import Found, TooMuch
from sandbox.exports.reading.plain import gaps, printable

_CHUNK = 1 << 16
_LOCAL_HEADER, _DESCRIPTOR = 30, 24
_GRACE = 1 << 19
"""Bytes that anything may unfold to: a ratio says nothing of a small file."""


def read_zip(path: Path, place: str, found: Found) -> None:
    """Every member, read as a file of its own."""
    with zipfile.ZipFile(path) as box:
        for info, part in members(box, path, place, found):
            found.inner(part, PurePosixPath(info.filename).name, member(place, info.filename))


def members(
    box: zipfile.ZipFile, path: Path, place: str, found: Found
) -> Iterator[tuple[zipfile.ZipInfo, Path]]:  # fmt: skip
    """Every member that may be unpacked, with the place it was unpacked to. Also looks at what lies between them."""
    infos = box.infolist()
    if len(infos) > found.bounds.max_members:
        raise TooMuch("members")
    _beside(box, infos, path, place, found)
    names: set[str] = set()
    for info in infos:
        where = member(place, info.filename)
        if info.filename.casefold() in names:
            found.problem("duplicate_name", where)
        names.add(info.filename.casefold())
        code = _refused(info, found)
        if code:
            found.problem(code, where)
        elif not info.is_dir():
            with box.open(info) as source:
                part = _unpacked(source, info.compress_size, found)
            yield info, part


def _refused(info: zipfile.ZipInfo, found: Found) -> str:
    kind = (info.external_attr >> 16) & 0o170000
    if info.flag_bits & 0x1:
        return "encrypted"
    if kind not in (0, 0o100000, 0o040000):
        return "link"
    if not _inside(info.filename) or "\\" in info.orig_filename:
        return "path"
    return "ratio" if info.file_size > max(_GRACE, found.bounds.max_ratio * info.compress_size) else ""


def _inside(name: str) -> bool:
    return not name.startswith(("/", "\\")) and ".." not in name.replace("\\", "/").split("/") and ":" not in name


def _unpacked(source: IO[bytes], packed: int, found: Found) -> Path:
    part, size = found.scratch(), 0
    with part.open("wb") as sink:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            found.unpack(len(chunk))
            if size > max(_GRACE, found.bounds.max_ratio * packed):
                raise TooMuch("ratio")
            sink.write(chunk)
    return part


def _beside(box: zipfile.ZipFile, infos: list[zipfile.ZipInfo], path: Path, place: str, found: Found) -> None:
    """Comments, extra fields, and bytes that belong to no member."""
    words = [box.comment, *(i.comment for i in infos)]
    found.text(within(place, part="comment"), "\n".join(w.decode("utf-8", "replace") for w in words if w))
    found.text(within(place, part="extra"), "\n".join(filter(None, (printable(i.extra) for i in infos))))
    size = path.stat().st_size
    spans = [(box.start_dir, size)]
    with path.open("rb") as file:
        for info in infos:
            file.seek(info.header_offset + 26)
            lengths = file.read(4)
            end = info.header_offset + _LOCAL_HEADER + int.from_bytes(lengths[:2], "little")
            end += int.from_bytes(lengths[2:], "little") + info.compress_size
            spans.append((info.header_offset, end + (_DESCRIPTOR if info.flag_bits & 0x8 else 0)))
        file.seek(max(0, size - (1 << 17)))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    after = tail[at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little") :] if at >= 0 else b""
    _trailing(after, place, found)
    gaps(path, spans, place, found)


def _trailing(after: bytes, place: str, found: Found) -> None:
    if after.strip(b"\0\r\n "):
        found.problem("trailing", place)
        found.text(within(place, part="trailing"), printable(after))


def read_tar(path: Path, place: str, found: Found) -> None:
    """Every member; links, devices and paths that lead out are refused."""
    with tarfile.open(path, "r:") as box:
        for number, info in enumerate(box, start=1):
            if number > found.bounds.max_members:
                raise TooMuch("members")
            where = member(place, info.name)
            found.text(within(where, part="header"), "\n".join(map(str, [*info.pax_headers.values(), info.uname])))
            if info.isdir():
                continue
            if not info.isreg() or info.issparse():
                found.problem("link", where)
            elif not _inside(info.name):
                found.problem("path", where)
            else:
                source = box.extractfile(info)
                assert source is not None  # a regular member
                found.inner(_unpacked(source, info.size, found), PurePosixPath(info.name).name, where)
        end = box.offset
    with path.open("rb") as file:
        file.seek(end)
        _trailing(file.read(1 << 24), place, found)


def read_gz(path: Path, place: str, found: Found) -> None:
    """One compressed file; its header's name and comment are texts."""
    with path.open("rb") as file:
        found.text(within(place, part="header"), _gz_words(file.read(4096)))
    _stream(path, zlib.decompressobj(31), place, found)


def _gz_words(head: bytes) -> str:
    flags, rest = head[3], head[10:]
    if flags & 0x4:
        rest = rest[2 + int.from_bytes(rest[:2], "little") :]
    words = []
    for bit in (0x8, 0x10):
        if flags & bit:
            word, _, rest = rest.partition(b"\0")
            words.append(word.decode("utf-8", "replace"))
    return "\n".join([*words, printable(head[10:] if flags & 0x4 else b"")])


def read_bz2(path: Path, place: str, found: Found) -> None:
    """One compressed file."""
    _stream(path, bz2.BZ2Decompressor(), place, found)


def read_xz(path: Path, place: str, found: Found) -> None:
    """One compressed file."""
    _stream(path, lzma.LZMADecompressor(memlimit=256 << 20), place, found)


def read_zst(path: Path, place: str, found: Found) -> None:
    """One compressed file."""
    import pyarrow as pa

    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as source:
        found.inner(_unpacked(source, path.stat().st_size, found), _inner_name(place), _inner_place(place))


def _stream(path: Path, decompressor: Any, place: str, found: Found) -> None:
    part, size = found.scratch(), 0
    most = max(_GRACE, found.bounds.max_ratio * path.stat().st_size)
    with path.open("rb") as source, part.open("wb") as sink:
        while not decompressor.eof and (chunk := source.read(_CHUNK)):
            plain = decompressor.decompress(chunk)
            size += len(plain)
            found.unpack(len(plain))
            if size > most:
                raise TooMuch("ratio")
            sink.write(plain)
        after = decompressor.unused_data + source.read(1 << 24)
    if not decompressor.eof:
        raise EOFError
    _trailing(after, place, found)
    found.inner(part, _inner_name(place), _inner_place(place))


def _inner_name(place: str) -> str:
    name = place.rpartition("!")[2]
    stem, _, suffix = name.rpartition(".")
    return f"{stem}.tar" if suffix in ("tgz", "tbz2", "txz") else stem or name


def _inner_place(place: str) -> str:
    return member(place, _inner_name(place))
