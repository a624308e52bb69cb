"""The platform's side of reading: files go into a jail, plain tables and texts come back and are not believed further
than they can be seen."""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.exports.contents import Contents, Picture, Problem, Table
from sandbox.exports.places import escaped
from sandbox.exports.reading import inside, readers
from sandbox.exports.reading.bounds import Bounds
from sandbox.exports.reading.found import LONGEST_SIDE, Found
from sandbox.exports.reading.readers import suffix_of
from sandbox.workspaces import disk, jail
from sandbox.workspaces.broker import DEATHS
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import ChannelClosed, ProtocolError
from sandbox.workspaces.selftest import selftest
from sandbox.workspaces.spares import Spares

if TYPE_CHECKING:
    from sandbox.exports.subject import ExportFile

CODE = ("sandbox/exports/reading", "sandbox/exports/places.py")
ENDS = {"time_limit", "memory_limit", "disk_full", "crashed", "protocol"}
"""How the reading of a file can end without a result."""
_CODE = re.compile(r"[a-z_]{1,30}(:[A-Za-z_]{1,60})?")
_KIND = re.compile(r"[a-z0-9]{1,12}")
_FILE_MB = 4096
_REFILL_SECONDS = 1.0
_spares: Spares | None = None
_log = logging.getLogger(__name__)


def read(
    files: Sequence[ExportFile], bounds: Bounds, ours: frozenset[bytes], folder: Path, held: object
) -> list[Contents]:  # fmt: skip
    """Every file, its tables left in `folder`, which lives as long as `held`."""
    answers: dict[int, dict[str, Any]] = {}
    for n, file in enumerate(files):
        path = folder / f"in{n}"
        path.write_bytes(file.content)
        path.chmod(0o444)
        if file.content in ours:
            found = Found(_made(folder / "ours"), str(n), bounds, readers.read)
            report = inside.one(path, file.name, escaped(file.name), found)
            answers[n] = {**report, "folder": folder / "ours"}
    rest = [n for n in range(len(files)) if n not in answers]
    while rest:
        answers |= _run(rest, files, bounds, folder)
        rest = [n for n in rest if n not in answers]
    return [_contents(file, answers[n], held) for n, file in enumerate(files)]


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _run(wanted: Sequence[int], files: Sequence[ExportFile], bounds: Bounds, folder: Path) -> dict[int, dict[str, Any]]:
    """One jail; it answers at least for the first of the files that are wanted, even if only with how it ended."""
    home = folder / f"home{wanted[0]}"
    order = jail.Order(
        "reading", home, limits_of(bounds), "simulated", {str(n): folder / f"in{n}" for n in wanted}, code=CODE,
        extra={"bounds": bounds.as_dict(), "files": {str(n): [files[n].name, escaped(files[n].name)] for n in wanted}},
    )  # fmt: skip
    listening = _Listening(wanted)
    jailed = _start(order, selftest().form)
    try:
        listening.until(jailed, bounds, disk.Bound([home], bounds.unpacked_mb, jailed))
    except ProtocolError:
        listening.ended("protocol")
    except ChannelClosed:
        kind = DEATHS.get(jailed.death(), "crashed")
        listening.ended(kind if kind in ENDS else "crashed")
    finally:
        jailed.kill()
    place = _take_back(home)
    return {n: {**answer, "folder": place} for n, answer in listening.answers.items()}


def keep_warm(bounds: Bounds) -> None:
    """Keep one process of this platform warm for the next file, for a service whose people wait; starts it now."""
    global _spares
    if _spares is None or _spares.limits != limits_of(bounds):
        if _spares is not None:
            _spares.close()
        _spares = Spares(selftest().form, limits_of(bounds), 1, task="reading", code=CODE)
        atexit.register(_spares.close)
    _spares.fill()


def _start(order: jail.Order, form: str) -> jail.Jailed:
    """From the spare where one is kept and fits; it is replaced when the reading has had its time."""
    if _spares is None:
        return jail.start(order, form)
    later = threading.Timer(_REFILL_SECONDS, _spares.fill)
    later.daemon = True
    later.start()
    return _spares.start(order, form)


def limits_of(bounds: Bounds) -> Limits:
    """The jail's limits: processor time for all files of a request is bounded file by file from outside."""
    return Limits(
        memory_mb=bounds.memory_mb, cpu_seconds=20 * bounds.seconds, wall_seconds=bounds.seconds, processes=40,
        file_mb=_FILE_MB, result_rows=1, result_mb=1, threads=2,
    )  # fmt: skip


class _Listening:
    """What the jail has told so far, and which file it is at."""

    def __init__(self, wanted: Sequence[int]) -> None:
        self.wanted = list(wanted)
        self.answers: dict[int, dict[str, Any]] = {}

    def until(self, jailed: jail.Jailed, bounds: Bounds, bound: disk.Bound) -> None:
        """Listen until all is read, or a file takes too long or too much."""
        deadline = time.monotonic() + bounds.seconds
        while self.wanted:
            frame = jailed.data.receive(timeout=0.2)
            if bound.passed():
                return self.ended("disk_full")
            if time.monotonic() > deadline:
                return self.ended("time_limit")
            if frame is not None and self._heard(frame[0], bytes(frame[1])):
                deadline = time.monotonic() + bounds.seconds
        return None

    def ended(self, code: str) -> None:
        """The file that was being read ended the reading."""
        if self.wanted:
            self.answers[self.wanted.pop(0)] = {"problems": [[code, ""]]}

    def _heard(self, header: Mapping[str, Any], payload: bytes) -> bool:
        """Take one frame; whether a file was finished."""
        if header.get("file") != str(self.wanted[0]) or header.get("is") not in ("began", "read"):
            raise ProtocolError("out of turn")
        if header["is"] == "began":
            return False
        try:
            report = json.loads(payload)
        except (ValueError, RecursionError):
            raise ProtocolError("report") from None
        if not isinstance(report, dict):
            raise ProtocolError("report")
        self.answers[self.wanted.pop(0)] = report
        return True


def _take_back(home: Path) -> Path:
    """The folder was the jail's; from here on it is the platform's alone."""
    for place in (home, home / inside.OUTPUT):
        if place.is_symlink() or not place.is_dir():
            return home / "none"
        os.chown(place, os.geteuid(), os.getegid())
        place.chmod(0o700)
    return home / inside.OUTPUT


def _contents(file: ExportFile, told: Mapping[str, Any], held: object) -> Contents:
    """The report in plain, checked values; anything else makes the file unreadable."""
    place = escaped(file.name)
    plain = Contents(file.name, len(file.content), suffix_of(file.name), "unknown", held=held)
    try:
        tables = tuple(_table(one, told["folder"], place, held) for one in told.get("tables", ()))
        texts = {_placed(p, place): str(text) for p, text in dict(told.get("texts", {})).items()}
        pictures = tuple(_picture(one, told["folder"], place, held) for one in told.get("pictures", ()))
        parts = {_placed(p, place): _matching(_KIND, kind) for p, kind in dict(told.get("parts", {})).items()}
        problems = tuple(
            Problem(_matching(_CODE, code), _placed(where or place, place)) for code, where in told["problems"]
        )
        kind = _matching(_KIND, told.get("kind", "unknown"))
    except (NotPlain, KeyError, TypeError, ValueError, OSError) as error:
        _log.error("a reader left what is no report: %s", type(error).__name__)
        return Contents(plain.name, plain.size, plain.suffix, "unknown", problems=(Problem("protocol", place),))
    return Contents(plain.name, plain.size, plain.suffix, kind, tables, texts, problems, parts, pictures, held)


class NotPlain(Exception):
    """What a jail left is not what it says."""


def _table(told: Mapping[str, Any], folder: Path, place: str, held: object) -> Table:
    import pyarrow as pa

    path = _plain_file(told, folder)
    header = tuple(str(name) for name in told["header"])
    wanted = pa.schema([(str(n + 1), pa.large_string()) for n in range(len(header))])
    rows = 0
    try:
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            if not reader.schema.equals(wanted):
                raise NotPlain
            for n in range(reader.num_record_batches):
                batch = reader.get_batch(n)
                batch.validate(full=True)
                rows += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise NotPlain from error
    first = told["first_row"]
    if rows != told["rows"] or type(first) is not int or first < 0:
        raise NotPlain
    return Table(_placed(told["place"], place), header, path, rows, told["hidden"] is True, first, held)


def _picture(told: Mapping[str, Any], folder: Path, place: str, held: object) -> Picture:
    path, width, height = _plain_file(told, folder), told["width"], told["height"]
    if not all(type(side) is int and 1 <= side <= LONGEST_SIDE for side in (width, height)):
        raise NotPlain
    if path.stat().st_size != 3 * width * height:
        raise NotPlain
    return Picture(_placed(told["place"], place), width, height, path, held)


def _plain_file(told: Mapping[str, Any], folder: Path) -> Path:
    path = folder / Path(str(told["file"])).name
    if path.is_symlink() or not path.is_file() or path.stat().st_nlink != 1:
        raise NotPlain
    return path


def _placed(told: Any, place: str) -> str:
    """A place inside this file, of one line."""
    if not isinstance(told, str) or not told.startswith(place) or not told.isprintable():
        raise NotPlain
    return told[:1000]


def _matching(pattern: re.Pattern[str], told: Any) -> str:
    if not isinstance(told, str) or not pattern.fullmatch(told):
        raise NotPlain
    return told
