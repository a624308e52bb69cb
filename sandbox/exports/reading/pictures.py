"""Readers of pictures, by their chunks: metadata, a chart's own data, bytes after the end. Pixels are for people."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sandbox.exports.places import within
from sandbox.exports.reading.found import LONGEST_SIDE, Found, TooMuch
from sandbox.exports.reading.plain import printable

_KNOWN = frozenset({
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"bKGD", b"hIST", b"pHYs",
    b"sPLT", b"tIME", b"cICP", b"mDCV", b"cLLI",
})  # fmt: skip
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
DATA = "data"
"""Keyword of the PNG text in which a chart carries its table as CSV."""
_LONGEST = 16 << 20
_MOST_PIXELS = 100_000_000


def read_png(path: Path, place: str, found: Found) -> None:
    """Texts of every chunk; chunks that no reader shows; a chart's table."""
    with path.open("rb") as file:
        file.seek(8)
        for kind, body, at in _chunks(file, path.stat().st_size):
            where = within(place, part=kind.decode("ascii", "replace"), offset=at)
            if kind in _TEXTS:
                _text(kind, body, where, place, found)
            elif kind == b"eXIf" or kind not in _KNOWN:
                found.problem("chunk", where)
                found.text(where, printable(body, 4))
            elif kind in (b"iCCP", b"sPLT"):
                found.text(where, printable(body))
        _after(file.read(_LONGEST), place, found)
    _pixels(path, place, found)


def _chunks(file: IO[bytes], size: int) -> Iterator[tuple[bytes, bytes, int]]:
    while True:
        at = file.tell()
        head = file.read(8)
        length = int.from_bytes(head[:4], "big")
        if len(head) < 8 or at + 12 + length > size:
            raise EOFError
        body = file.read(min(length, _LONGEST))
        file.seek(at + 8 + length)
        checksum = int.from_bytes(file.read(4), "big")
        if length <= _LONGEST and zlib.crc32(head[4:] + body) != checksum:
            raise ValueError("checksum")
        yield head[4:], body, at
        if head[4:] == b"IEND":
            return


def _text(kind: bytes, body: bytes, where: str, place: str, found: Found) -> None:
    keyword, _, rest = body.partition(b"\0")
    encoding = "latin-1"
    if kind == b"zTXt":
        rest = _inflated(rest[1:])
    elif kind == b"iTXt":
        packed, rest = rest[:1], rest[2:]
        language, _, rest = rest.partition(b"\0")
        translated, _, rest = rest.partition(b"\0")
        found.text(where, f"{language.decode('latin-1')} {translated.decode('utf-8', 'replace')}")
        rest, encoding = (_inflated(rest) if packed == b"\1" else rest), "utf-8"
    name, text = keyword.decode("latin-1"), rest.decode(encoding, "replace")
    if name == DATA:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        if lines:
            found.table(within(place, part=DATA), lines[0], lines[1:])
            return
    found.text(where, f"{name} {text}")


def _inflated(packed: bytes) -> bytes:
    decompressor = zlib.decompressobj()
    plain = decompressor.decompress(packed, _LONGEST)
    if decompressor.unconsumed_tail:
        raise TooMuch("ratio")
    return plain


def _after(rest: bytes, place: str, found: Found) -> None:
    if rest.strip(b"\0\r\n "):
        found.problem("trailing", place)
        found.text(within(place, part="trailing"), printable(rest))


def read_jpeg(path: Path, place: str, found: Found) -> None:
    """Texts of application segments and comments, and what comes after the picture."""
    data = path.read_bytes()
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        where = within(place, part=f"segment {marker:02X}", offset=at)
        if marker == 0xFE or 0xE1 <= marker <= 0xEF:
            if marker not in (0xE2, 0xEE):  # colour profiles and Adobe's own mark
                found.problem("chunk", where)
            found.text(where, printable(body, 4))
        at += 2 + length
        if marker == 0xDA:
            break
    end = _end_of_scan(data, at)
    if end is None:
        raise EOFError
    _after(data[end:], place, found)
    _pixels(path, place, found)


def _end_of_scan(data: bytes, at: int) -> int | None:
    """The place after the end marker that belongs to this picture: inside a scan FF is followed by 00 or a restart."""
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        marker = data[at + 1]
        if marker == 0xD9:
            return at + 2
        if marker in (0x00, 0xFF) or 0xD0 <= marker <= 0xD7:
            at += 1 if marker == 0xFF else 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _pixels(path: Path, place: str, found: Found) -> None:
    """The picture decodes, and is not so large that decoding it is an attack. It is kept for people: on grey, on
    which neither white nor black can hide, and where it has transparent parts also with the colours that they cover."""
    from PIL import Image

    with Image.open(path) as picture:
        if picture.width * picture.height > _MOST_PIXELS or getattr(picture, "n_frames", 1) > 1:
            raise TooMuch("pixels")
        picture.load()
        seen = picture.convert("RGBA")
        seen.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        opaque, bare = seen.getchannel("A"), seen.convert("RGB")
        page = Image.new("RGB", seen.size, "grey")
        page.paste(bare, mask=opaque)
        found.picture(place, page.width, page.height, page.tobytes())
        if opaque.getextrema()[0] < 255:
            found.picture(within(place, part="alpha"), bare.width, bare.height, bare.tobytes())
