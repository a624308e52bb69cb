"""What a file holds, told by its bytes: type, tables, texts, hidden parts, and what could not be read.

A merchant's file is read in a jail (`reading/`); the platform never parses its bytes. What comes back is plain: tables
of strings as Arrow streams, texts, and codes of problems. Whatever ends a reader early is a problem of that file, never
silence. Only files that the platform wrote itself are read where it runs.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary, finalize

from sandbox.exports.places import escaped, parse
from sandbox.exports.reading.found import MODEL
from sandbox.products.coded import CodedTable

if TYPE_CHECKING:
    import polars as pl

    from sandbox.exports.reading.bounds import Bounds
    from sandbox.exports.subject import ExportFile


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about a file that a rule has a word on; codes are listed in `checks.files`."""

    code: str
    place: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table as text. `place` names file, sheet or part; `header` may hold equal and empty names.

    `path`: an Arrow file of strings with columns "1", "2", … in the order of the file, null where a cell is empty.
    `hidden`: not seen by whoever opens the file. `first_row`: number in the file of the first data row. `held` keeps
    the folder of `path` while the table is in use. `cells`: the columns as codes of their values.
    """

    place: str
    header: tuple[str, ...]
    path: Path
    rows: int
    hidden: bool = False
    first_row: int = 2
    held: object = field(default=None, repr=False, compare=False)
    cells: CodedTable = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", CodedTable(self.path))

    def frame(self) -> pl.LazyFrame:
        """The rows; columns are numbered because names may repeat."""
        import polars as pl

        return pl.scan_ipc(self.path)

    def column(self, number: int) -> list[str | None]:
        """The cells of one column, counted from 0."""
        found: list[str | None] = self.frame().select(str(number + 1)).collect().to_series().to_list()
        return found

    def lines(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """(row number in the file, cells) of every row, "" for an empty cell; a batch at a time in memory."""
        import pyarrow as pa

        with pa.memory_map(str(self.path)) as source:
            number = self.first_row
            reader = pa.ipc.open_file(source)
            for place in range(reader.num_record_batches):
                columns = [column.to_pylist() for column in reader.get_batch(place).columns]
                for row in zip(*columns, strict=True):
                    yield number, tuple("" if cell is None else cell for cell in row)
                    number += 1


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as its bare pixels, at most 1600 a side: three bytes each, row by row, in the file at `path`."""

    place: str
    width: int
    height: int
    path: Path
    held: object = field(default=None, repr=False, compare=False)


def is_model(table: Table) -> bool:
    """Whether the table is what a reader tells of a model, in words of its own, not something the file shows."""
    return table.header == MODEL and parse(table.place).get("part") == "model"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Contents:
    """A file as read. `suffix` is what the name says, `kind` what the bytes say ("unknown" where neither fits).

    `parts`: place → kind of everything inside that is a file of its own (members of archives, attachments, pictures).
    `held` keeps the folder of the tables while this is in use.
    """

    name: str
    size: int
    suffix: str
    kind: str
    tables: tuple[Table, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    held: object = field(default=None, repr=False, compare=False)

    @property
    def rows(self) -> int:
        """Rows of all its tables."""
        return sum(table.rows for table in self.tables)

    @property
    def place(self) -> str:
        """The place of the file as a whole."""
        return escaped(self.name)


_read: WeakValueDictionary[tuple[str, str, Bounds], Contents] = WeakValueDictionary()
_lock = threading.Lock()


def read_all(files: Sequence[ExportFile], bounds: Bounds, ours: frozenset[bytes] = frozenset()) -> tuple[Contents, ...]:
    """Every file read within `bounds`, all in one jail; contents in use are not read twice.

    `ours`: bytes that the platform wrote itself, which need no jail.
    """
    keys = [(file.name, hashlib.sha256(file.content).hexdigest(), bounds) for file in files]
    with _lock:
        known = [_read.get(key) for key in keys]
    missing = [n for n, contents in enumerate(known) if contents is None]
    if missing:
        for n, contents in zip(missing, _anew([files[n] for n in missing], bounds, ours), strict=True):
            known[n] = contents
            with _lock:
                _read[keys[n]] = contents
    return tuple(contents for contents in known if contents is not None)


def _anew(files: Sequence[ExportFile], bounds: Bounds, ours: frozenset[bytes]) -> list[Contents]:
    from sandbox.exports.reading import jailed

    folder = _Folder()
    return jailed.read(files, bounds, ours, folder.path, folder)


class _Folder:
    """A temporary folder that goes with the last of what was read into it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="pds-read-"))
        finalize(self, shutil.rmtree, self.path, ignore_errors=True)
