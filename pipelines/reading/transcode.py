"""A UTF-8 copy with plain line ends, made with flat memory; large files by two processes."""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from subprocess import PIPE, Popen

from pipelines.reading import gbk
from pipelines.reading.findings import refusal
from pipelines.reading.source import LineCounter, Lines, Survey, blocks, line_ends

LONE_RETURN = "\ue00d"
"""Stands for a carriage return that ends no line while the file is parsed; put back afterwards."""

_TWO_PROCESSES_FROM = 64 * 1024 * 1024
_HEAD_START = 100 * 1024 * 1024  # what this process converts while the other one starts
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
    return seen.encoding != "utf-8" or bool(seen.bom) or seen.returns


def copy_as_utf8(seen: Survey, target: Path) -> Lines:
    """Write `target`: UTF-8, LF, no byte order mark; undecodable bytes become 0xFF. Returns its lines.

    CRLF becomes LF; in a file without any LF, CR becomes LF; any other CR is kept as `LONE_RETURN`.

    Raises:
        UserError: a UTF-16 file, or one in an encoding the recipe names, does not decode.
    """
    only_returns = seen.lines.newlines == 0 and seen.returns
    start = len(seen.bom)
    if seen.encoding not in ("gb18030", "utf-8") or seen.size < _TWO_PROCESSES_FROM or only_returns:
        return convert(seen.path, target, start, seen.size, seen.encoding, only_returns)
    cut = _line_start_after(seen.path, min(seen.size // 2 + _HEAD_START, seen.size * 3 // 4))
    second = target.with_name(f"{target.name}.second")
    worker = _worker(seen.path, second, cut, seen.size, seen.encoding)
    try:
        ours = convert(seen.path, target, start, cut, seen.encoding, False)
        told, _ = worker.communicate()
    finally:
        worker.kill()
    if worker.returncode:
        raise refusal("encoding_mismatch", encoding=seen.encoding)
    _append(target, second)
    second.unlink()
    return _joined(ours, Lines(**json.loads(told)))


def _append(target: Path, more: Path) -> None:
    """Add one file to the end of another, without its bytes passing through this process."""
    with target.open("r+b") as out, more.open("rb") as rest:
        out.seek(0, os.SEEK_END)
        done, size = 0, more.stat().st_size
        while done < size:
            done += os.sendfile(out.fileno(), rest.fileno(), done, size - done)


def _joined(first: Lines, second: Lines) -> Lines:
    """The lines of two pieces of one text, cut after a line end."""
    longest = max(first.longest, second.longest)
    is_open = first.open_end or second.open_end
    return Lines(first.newlines + second.newlines, first.empty + second.empty, longest, is_open)


def _worker(source: Path, target: Path, start: int, end: int, encoding: str) -> Popen[bytes]:
    """The rest in a process of its own, started by name: the caller's main module is not imported again."""
    told = json.dumps([str(source), str(target), start, end, encoding])
    code = "import sys; from pipelines.reading.transcode import convert_as_told; convert_as_told(sys.argv[1])"
    paths = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
    return Popen([sys.executable, "-c", code, told], env={**os.environ, "PYTHONPATH": paths}, stdout=PIPE)


def convert_as_told(told: str) -> None:
    """`convert` with its arguments as JSON, for the worker process; prints the lines as JSON."""
    source, target, start, end, encoding = json.loads(told)
    sys.stdout.write(json.dumps(asdict(convert(Path(source), Path(target), start, end, encoding, False))))


def convert(source: Path, target: Path, start: int, end: int, encoding: str, only_returns: bool) -> Lines:
    """Convert one range of bytes that begins and ends at a character; returns the lines written."""
    counter = LineCounter()
    with target.open("wb") as out:
        for piece in _plain_ends(_utf8(source, start, end, encoding), only_returns):
            out.write(piece)
            counter.add(len(piece), line_ends(piece))
    return counter.lines()


def _utf8(source: Path, start: int, end: int, encoding: str) -> Iterator[bytes]:
    if encoding == "utf-8":
        yield from blocks(source, start, end)
        return
    if encoding == "gb18030":
        tolerant = gbk.Decoder(_TOLERANT)
        yield from map(tolerant.decode, blocks(source, start, end))
        yield tolerant.decode(b"", final=True)
        return
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        for block in blocks(source, start, end):
            yield decoder.decode(block).encode("utf-8")
        yield decoder.decode(b"", True).encode("utf-8")
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
        if b"\r" not in piece:
            yield piece
        elif only_returns:
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
