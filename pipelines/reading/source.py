"""The bytes of a file: digest, line ends and encoding, all over every byte."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.reading.findings import refusal
from policies.text import UserError

BLOCK = 4 * 1024 * 1024
_AHEAD = 4  # blocks being looked at while the next ones are read
_UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_GB_IN_COMMON_USE = 0.8  # share of characters within GB 2312 below which text read as GB18030 is probably not Chinese
_SAMPLED_BLOCKS, _SAMPLED_BYTES = 64, 128 * 1024  # blocks, and bytes of each, where the encoding is in doubt
_GLANCE = 2 * _SAMPLED_BYTES
_ASCII = re.compile(r"[\x00-\x7f]+")


@dataclass(frozen=True, slots=True)
class Lines:
    """Line ends (LF), how many lines are empty, the longest line in bytes, whether the last line has no end."""

    newlines: int = 0
    empty: int = 0
    longest: int = 0
    open_end: bool = False

    @property
    def count(self) -> int:
        """Physical lines; a last one without a line end counts too."""
        return self.newlines + self.open_end


class LineCounter:
    """Counts the lines of a text that comes in blocks."""

    def __init__(self) -> None:
        self._newlines = self._empty = self._longest = 0
        self._at = 0  # bytes seen
        self._last_end = -1  # place of the last line end

    def add(self, size: int, ends: np.ndarray) -> None:
        """One more block: its size and the places of its line ends within it."""
        if ends.size:
            gaps = np.diff(ends, prepend=self._last_end - self._at)
            self._newlines += ends.size
            self._empty += int(np.count_nonzero(gaps == 1))
            self._longest = max(self._longest, int(gaps.max()) - 1)
            self._last_end = self._at + int(ends[-1])
        self._at += size

    def lines(self) -> Lines:
        """The counts so far; what follows the last line end is an open last line."""
        rest = self._at - self._last_end - 1
        return Lines(self._newlines, self._empty, max(self._longest, rest), rest > 0)


def line_ends(block: bytes) -> np.ndarray:
    """Places of the line ends (LF) in a block."""
    return np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == 10)


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over all bytes told. `low` counts the bytes 0 to 31.

    `copied` are the lines of the UTF-8 copy, where the parser needs one.
    """

    path: Path
    digest: str
    size: int
    stamp: tuple[int, int, int]
    lines: Lines
    low: tuple[int, ...]
    utf8: bool
    bom: bytes
    encoding: str = "utf-8"
    copied: Lines | None = None

    @property
    def returns(self) -> bool:
        """Whether there are carriage returns."""
        return self.low[13] > 0

    @property
    def zeros(self) -> int:
        """How many bytes are zero."""
        return self.low[0]

    @property
    def text_lines(self) -> Lines:
        """The lines of the text that the parser takes."""
        return self.copied or self.lines


def blocks(path: Path, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """The bytes from `start` to `end` in blocks of 4 MB."""
    with path.open("rb") as handle:
        handle.seek(start)
        left = None if end is None else end - start
        while left is None or left > 0:
            block = handle.read(BLOCK if left is None else min(BLOCK, left))
            if not block:
                return
            left = None if left is None else left - len(block)
            yield block


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one block told."""

    size: int
    ends: np.ndarray
    low: np.ndarray
    utf8: bool


def survey(path: Path) -> Survey:
    """One pass: SHA-256, the bytes that shape lines, and whether all of it is UTF-8.

    The digest is made here while other threads look at the blocks; all of them leave the interpreter free.
    """
    stamp, size = _stamp(path), path.stat().st_size
    digest = hashlib.sha256()
    told: deque[Future[_Seen]] = deque()
    counter = LineCounter()
    found: list[_Seen] = []
    bom = cut_off = b""

    def settle(left: int) -> None:
        while len(told) > left:
            seen = told.popleft().result()
            counter.add(seen.size, seen.ends)
            found.append(replace(seen, ends=_NO_ENDS))

    with ThreadPoolExecutor(2) as pool:
        for number, block in enumerate(blocks(path)):
            bom = _bom(block) if number == 0 else bom
            cut = _character_end(block)
            told.append(pool.submit(_look, block, cut_off, cut))
            cut_off = block[cut:]
            digest.update(block)
            settle(_AHEAD)
        settle(0)
    whole = not cut_off and all(s.utf8 for s in found)
    return Survey(
        path, digest.hexdigest(), size, stamp, counter.lines(), tuple(sum((s.low for s in found), _NONE).tolist()),
        whole, bom,
    )  # fmt: skip


_NO_ENDS, _NONE = np.zeros(0, dtype=np.int64), np.zeros(32, dtype=np.int64)


def _look(block: bytes, before: bytes, cut: int) -> _Seen:
    """`before`: the first bytes of a character that the block before was cut in; `cut`: where the last one begins that
    this block is cut in."""
    data = np.frombuffer(block, dtype=np.uint8)
    places = np.flatnonzero(data < 32)
    kinds = data[places]
    rest = 0
    while before and rest < min(cut, 4 - len(before)) and 0x80 <= block[rest] < 0xC0:
        rest += 1
    utf8 = is_utf8(memoryview(block)[rest:cut]) and (not before or is_utf8(before + block[:rest]))
    return _Seen(len(block), places[kinds == 10], np.bincount(kinds, minlength=32), utf8)


def is_utf8(block: bytes | memoryview) -> bool:
    """Whether the bytes are UTF-8 from their first to their last."""
    places = pa.py_buffer(np.array([0, len(block)], dtype=np.int64))
    cell = pa.Array.from_buffers(pa.large_binary(), 1, [None, places, pa.py_buffer(block)])
    try:
        cell.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _character_end(block: bytes) -> int:
    """Where the last UTF-8 character that is whole ends: at most three bytes before the end of the block."""
    for back in range(1, min(4, len(block) + 1)):
        byte = block[-back]
        if byte < 0x80:
            return len(block)
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(block) if length <= back else len(block) - back
    return len(block)


def _stamp(path: Path) -> tuple[int, int, int]:
    """Times of the last change of the content and of the entry, and the file's number."""
    now = path.stat()
    return now.st_mtime_ns, now.st_ctime_ns, now.st_ino


def _bom(block: bytes) -> bytes:
    if block.startswith(codecs.BOM_UTF8):
        return codecs.BOM_UTF8
    return block[:2] if block[:2] in _UTF16 else b""


def refuse_if_changed(seen: Survey) -> None:
    """Compare the file with what it was when the survey began.

    Any write moves the entry's change time, which no program can set; so may another name for the same file, and then
    the digest tells.

    Raises:
        UserError: `reading.changed_while_reading`.
    """
    path = seen.path
    same = path.exists() and path.stat().st_size == seen.size
    if same and _stamp(path) != seen.stamp:
        with path.open("rb") as handle:
            same = hashlib.file_digest(handle, "sha256").hexdigest() == seen.digest
    if not same:
        raise refusal("changed_while_reading", name=path.name)


def with_encoding(seen: Survey, wanted: str | None) -> Survey:
    """The survey with its encoding decided: as the recipe says, or from all bytes.

    Raises:
        UserError: the encoding is unknown or ambiguous, or the file is not text.
    """
    if wanted is not None:
        try:
            return replace(seen, encoding=codecs.lookup(wanted).name)
        except LookupError:
            raise refusal("encoding_mismatch", encoding=wanted) from None
    if seen.bom in _UTF16:
        return replace(seen, encoding=_UTF16[seen.bom])
    if seen.zeros and not seen.bom:
        return _with_stray_zeros(seen) or replace(seen, encoding=_utf16_by_zeros(seen))
    if seen.utf8:
        return seen
    return _by_lines(seen)


def _with_stray_zeros(seen: Survey) -> Survey | None:
    """Text in which less than one byte in a hundred is NUL (old programs pad with it); UTF-16 has more of them."""
    if seen.zeros * 100 > seen.size:
        return None
    try:
        return seen if seen.utf8 else _by_lines(seen)
    except UserError:
        return None


def _utf16_by_zeros(seen: Survey) -> str:
    """UTF-16 without a mark has its zeros on one side; anything else with zeros is not text."""
    head = next(blocks(seen.path))
    even, odd = head[0::2].count(0), head[1::2].count(0)
    for name, here, there in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if here > 10 * there and here > len(head) // 50:
            return name
    raise refusal("unsupported", kind="binary")


def _by_lines(seen: Survey) -> Survey:
    """UTF-8 with a few broken lines, GB18030, or a refusal: judged by lines from all over the file, because either
    accepts much. Every byte is decoded later, and a line that cannot be then goes to quarantine."""
    apart = max(1, seen.size // BLOCK // _SAMPLED_BLOCKS)
    starts = range(0, seen.size, BLOCK * apart)
    rows = [line for at in starts for line in _foreign_lines(seen.path, at)]
    utf8 = sum(_valid(r, "utf-8") for r in rows)
    if utf8 >= 0.9 * len(rows):
        return replace(seen, encoding="utf-8")
    if utf8 > 0.3 * len(rows):
        raise refusal("ambiguous_encoding")
    if sum(not _valid(r, "gb18030") for r in rows) > 0.05 * len(rows):
        raise refusal("unknown_encoding")
    if not _looks_chinese(rows):
        raise refusal("ambiguous_encoding")
    return replace(seen, encoding="gb18030")


def _foreign_lines(path: Path, start: int) -> list[bytes]:
    """Lines of one block that are not plain ASCII: some hundreds, from the first one on."""
    for size in (_GLANCE, BLOCK):  # most often they begin at once
        block = _lines_at(path, start, size)
        if block.isascii():
            continue
        first = int(np.argmax(np.frombuffer(block, dtype=np.uint8) > 127))
        begin = block.rfind(b"\n", 0, first) + 1
        end = block.find(b"\n", min(len(block), begin + _SAMPLED_BYTES)) + 1
        if end or size == BLOCK:
            return [r for r in block[begin : end or len(block)].split(b"\n") if not r.isascii()]
    return []


def _valid(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _looks_chinese(lines: list[bytes]) -> bool:
    """GB18030 accepts Big5, Shift-JIS and Latin text too, but then few characters are of GB 2312."""
    text = b"".join(lines[:5000]).decode("gb18030", "ignore")
    foreign = _ASCII.sub("", text)[:200_000]
    return len(foreign.encode("gb2312", "ignore")) >= 2 * _GB_IN_COMMON_USE * len(foreign)


def _lines_at(path: Path, start: int, size: int) -> bytes:
    """The lines within some bytes (0x0A is no part of a longer character in UTF-8 and GB18030)."""
    block = next(blocks(path, start, start + size), b"")
    begin = block.find(b"\n") + 1 if start else 0
    return block[begin : block.rfind(b"\n") + 1] or block[begin:]
