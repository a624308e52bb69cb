"""The bytes of a file: digest, encoding over all bytes, and a UTF-8 copy with plain line ends where one is needed."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.reading.findings import refusal
from policies.text import UserError

BLOCK = 4 * 1024 * 1024
_UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_GB_IN_COMMON_USE = 0.8  # share of characters within GB 2312 below which text read as GB18030 is probably not Chinese
_SAMPLED_LINES = 500


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over all bytes told. `bad_lines` counts lines that the encoding cannot decode."""

    path: Path
    digest: str
    size: int
    mtime_ns: int
    newlines: int
    carriage_returns: int
    quotes: int
    zeros: int
    utf8: bool
    bom: bytes
    encoding: str = "utf-8"
    bad_lines: int = 0


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


def survey(path: Path) -> Survey:
    """One pass: SHA-256, counts of the bytes that shape lines, and whether all of it is UTF-8."""
    before = path.stat()
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    newlines = returns = quotes = zeros = 0
    utf8, bom = True, b""
    for i, block in enumerate(blocks(path)):
        bom = _bom(block) if i == 0 else bom
        digest.update(block)
        newlines += block.count(b"\n")
        returns += block.count(b"\r")
        quotes += block.count(b'"')
        zeros += block.count(b"\0")
        utf8 = utf8 and _decodes(decoder, block)
    utf8 = utf8 and _decodes(decoder, b"", final=True)
    return Survey(
        path, digest.hexdigest(), before.st_size, before.st_mtime_ns, newlines, returns, quotes, zeros, utf8, bom
    )


def _bom(block: bytes) -> bytes:
    if block.startswith(codecs.BOM_UTF8):
        return codecs.BOM_UTF8
    return block[:2] if block[:2] in _UTF16 else b""


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def refuse_if_changed(seen: Survey) -> None:
    """Compare size, time and digest with those of the survey.

    Raises:
        UserError: `reading.changed_while_reading`.
    """
    path = seen.path
    now = path.stat() if path.exists() else None
    same = now is not None and (now.st_size, now.st_mtime_ns) == (seen.size, seen.mtime_ns)
    if same:
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
    """UTF-8 with a few broken lines, GB18030, or a refusal: judged line by line, because either accepts much."""
    lines = utf8_lines = bad_utf8 = bad_gb = total = 0
    for block in line_blocks(seen.path):
        rows = [r for r in block.split(b"\n") if not r.isascii()]
        total += len(rows)
        head = rows[:_SAMPLED_LINES]
        lines += len(head)
        utf8_lines += sum(_valid(r, "utf-8") for r in head)
        if not _valid(block, "gb18030"):
            bad_gb += sum(not _valid(r, "gb18030") for r in rows)
        if not _valid(block, "utf-8") and utf8_lines * 2 > lines:
            bad_utf8 += sum(not _valid(r, "utf-8") for r in rows)
    if utf8_lines >= 0.9 * lines:
        return replace(seen, encoding="utf-8", bad_lines=bad_utf8)
    if utf8_lines > 0.3 * lines:
        raise refusal("ambiguous_encoding")
    if bad_gb > 0.05 * total:
        raise refusal("unknown_encoding")
    if not _looks_chinese(seen.path):
        raise refusal("ambiguous_encoding")
    return replace(seen, encoding="gb18030", bad_lines=bad_gb)


def _valid(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _looks_chinese(path: Path) -> bool:
    """GB18030 accepts Big5, Shift-JIS and Latin text too, but then few characters are of GB 2312."""
    text = next(line_blocks(path)).decode("gb18030", "ignore")
    foreign = "".join(c for c in text if not c.isascii())[:200_000]
    return len(foreign.encode("gb2312", "ignore")) >= 2 * _GB_IN_COMMON_USE * len(foreign)


def line_blocks(path: Path) -> Iterator[bytes]:
    """Blocks that end at a line end (0x0A is no part of a longer character in UTF-8 and GB18030)."""
    rest = b""
    for block in blocks(path):
        cut = block.rfind(b"\n") + 1
        if cut:
            yield rest + block[:cut]
            rest = block[cut:]
        else:
            rest += block
    if rest:
        yield rest
