"""A UTF-8 copy with plain line ends, made with flat memory; large files by two processes."""

from __future__ import annotations

import codecs
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

from pipelines.reading.findings import refusal
from pipelines.reading.source import BLOCK, Survey, blocks

LONE_RETURN = "\ue00d"
"""Stands for a carriage return that ends no line while the file is parsed; put back afterwards."""

_TWO_PROCESSES_FROM = 64 * 1024 * 1024
_BAD = "\udcff"
_TOLERANT = "pds-mark-bad-bytes"


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Put a byte that can never be UTF-8 where the source cannot be decoded, so that the record is refused later."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _BAD * (error.end - error.start), error.end


codecs.register_error(_TOLERANT, _mark)


def needs_copy(seen: Survey) -> bool:
    """Whether the parser cannot take the file as it is."""
    return seen.encoding != "utf-8" or bool(seen.bom) or seen.carriage_returns > 0


def copy_as_utf8(seen: Survey, target: Path) -> None:
    """Write `target`: UTF-8, LF, no byte order mark; undecodable bytes become 0xFF.

    CRLF becomes LF; in a file without any LF, CR becomes LF; any other CR is kept as `LONE_RETURN`.

    Raises:
        UserError: a UTF-16 file, or one in an encoding the recipe names, does not decode.
    """
    only_returns = seen.newlines == 0 and seen.carriage_returns > 0
    start = len(seen.bom)
    halves = [(start, seen.size)]
    if seen.encoding == "gb18030" and seen.size > _TWO_PROCESSES_FROM:
        middle = _line_start_after(seen.path, seen.size // 2)
        halves = [(start, middle), (middle, seen.size)]
    jobs = [(seen.path, Path(f"{target}.{i}"), a, b, seen.encoding, only_returns) for i, (a, b) in enumerate(halves)]
    if len(jobs) == 1:
        convert(seen.path, target, start, seen.size, seen.encoding, only_returns)
        return
    workers = [_worker(*job) for job in jobs]
    exits = [worker.wait() for worker in workers]
    if any(exits):
        raise refusal("encoding_mismatch", encoding=seen.encoding)
    first, second = jobs[0][1], jobs[1][1]
    with first.open("ab") as out, second.open("rb") as rest:
        shutil.copyfileobj(rest, out, BLOCK)
    second.unlink()
    first.rename(target)


def _worker(source: Path, target: Path, start: int, end: int, encoding: str, only_returns: bool) -> Popen[bytes]:
    """One half in a process of its own, started by name: the caller's main module is not imported again."""
    told = json.dumps([str(source), str(target), start, end, encoding, only_returns])
    code = "import sys; from pipelines.reading.transcode import convert_as_told; convert_as_told(sys.argv[1])"
    paths = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
    return Popen([sys.executable, "-c", code, told], env={**os.environ, "PYTHONPATH": paths})


def convert_as_told(told: str) -> None:
    """`convert` with its arguments as JSON, for the worker process."""
    source, target, start, end, encoding, only_returns = json.loads(told)
    convert(Path(source), Path(target), start, end, encoding, only_returns)


def convert(source: Path, target: Path, start: int, end: int, encoding: str, only_returns: bool) -> None:
    """Convert one range of bytes that begins and ends at a character."""
    with target.open("wb") as out:
        for piece in _plain_ends(_utf8(source, start, end, encoding), only_returns):
            out.write(piece)


def _utf8(source: Path, start: int, end: int, encoding: str) -> Iterator[bytes]:
    if encoding == "utf-8":
        yield from blocks(source, start, end)
        return
    decoder = codecs.getincrementaldecoder(encoding)(_TOLERANT if encoding == "gb18030" else "strict")
    try:
        for block in blocks(source, start, end):
            yield decoder.decode(block).encode("utf-8", "surrogateescape")
        yield decoder.decode(b"", True).encode("utf-8", "surrogateescape")
    except UnicodeError:
        raise refusal("encoding_mismatch", encoding=encoding) from None


def _plain_ends(pieces: Iterator[bytes], only_returns: bool) -> Iterator[bytes]:
    mark = LONE_RETURN.encode()
    held = b""
    for piece in pieces:
        piece = held + piece
        held = b""
        if piece.endswith(b"\r") and not only_returns:
            piece, held = piece[:-1], b"\r"
        if only_returns:
            yield piece.replace(b"\r", b"\n")
        else:
            yield piece.replace(b"\r\n", b"\n").replace(b"\r", mark)
    if held:
        yield mark


def _line_start_after(path: Path, offset: int) -> int:
    with path.open("rb") as handle:
        handle.seek(offset)
        handle.readline()
        return handle.tell()
