"""What the readers of one file find: tables on disk, texts, parts, problems. All of it within the bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from sandbox.exports.places import within
from sandbox.exports.reading.bounds import Bounds

BATCH = 20_000
MOST_PICTURES = 20
LONGEST_SIDE = 1600
"""Pixels of the longest side of a picture that is kept for people."""
_MOST_PROBLEMS = 500


Read = Callable[[Path, str, str, "Found"], str]
"""Reads the file at a path, of a name, found at a place; gives its kind."""
CONTAINERS = frozenset({"zip", "tar", "gz", "bz2", "xz", "zst", "xlsx", "docx", "pptx"})


MODEL = ("operator", "values", "leaves", "samples")
"""Header of the table that a reader makes of a model, at `part=model`: each operator, the values fitted for it, of a
tree the most leaves that one has, and the samples that its smallest leaf says it has."""


class TooMuch(Exception):
    """The file goes past a bound: the code of the problem."""


class Found:
    """Collects; `folder` is where tables go, `prefix` makes their names unique among files."""

    def __init__(self, folder: Path, prefix: str, bounds: Bounds, read: Read) -> None:
        self.folder, self.prefix, self.bounds, self._read = folder, prefix, bounds, read
        self.depth = 0
        self.tables: list[dict[str, Any]] = []
        self.pictures: list[dict[str, Any]] = []
        self.texts: dict[str, str] = {}
        self.parts: dict[str, str] = {}
        self.problems: list[tuple[str, str]] = []
        self.unpacked = 0
        self._characters = 0
        self._temporary = 0

    def problem(self, code: str, place: str) -> None:
        """Note a problem, once a place, up to a bound that only a hostile file meets."""
        if (code, place) not in self.problems and len(self.problems) < _MOST_PROBLEMS:
            self.problems.append((code, place))

    def text(self, place: str, text: str) -> None:
        """Note a text; texts of one place are joined. Raises TooMuch."""
        if not text.strip():
            return
        self._characters += len(text)
        if self._characters > self.bounds.text_mb << 20:
            raise TooMuch("text")
        clean = text.encode("utf-8", "replace").decode()  # a lone surrogate is no text
        self.texts[place] = f"{self.texts[place]}\n{clean}" if place in self.texts else clean

    def picture(self, place: str, width: int, height: int, pixels: bytes) -> None:
        """Keep a picture as its bare pixels (red, green, blue) for people; of many the first."""
        if len(self.pictures) < MOST_PICTURES:
            path = self.folder / f"{self.prefix}-{len(self.pictures) + 1}.rgb"
            path.write_bytes(pixels)
            self.pictures.append({"place": place, "file": path.name, "width": width, "height": height})

    def unpack(self, size: int) -> None:
        """Count bytes that came out of something packed. Raises TooMuch."""
        self.unpacked += size
        if self.unpacked > self.bounds.unpacked_mb << 20:
            raise TooMuch("unpacked")

    def inner(self, path: Path, name: str, place: str) -> None:
        """Read a file that was inside another one."""
        self.parts[place] = self._read(path, name, place, self)
        path.unlink()

    def scratch(self) -> Path:
        """A fresh file name for something unpacked."""
        self._temporary += 1
        return self.folder / f"{self.prefix}-part{self._temporary}"

    def table(
        self, place: str, header: Sequence[str], rows: Iterable[Sequence[str | None]], *, hidden: bool = False,
        first_row: int = 2, ready: Iterable[Sequence[Any]] = (),
    ) -> None:  # fmt: skip
        """Write a table, a batch at a time. Cells beyond the header become texts of their row. `ready`: batches before
        `rows`, each a list of equally long Arrow arrays of large strings, one a column. Raises TooMuch."""
        import pyarrow as pa

        if len(self.tables) >= self.bounds.tables:
            raise TooMuch("tables")
        if len(header) > self.bounds.columns:
            raise TooMuch("columns")
        width, count = len(header), 0
        path = self.folder / f"{self.prefix}-{len(self.tables) + 1}.arrow"
        schema = pa.schema([(str(n + 1), pa.large_string()) for n in range(width)])
        entry = {"place": place, "header": [_clean(h) for h in header], "file": path.name, "hidden": hidden,
                 "first_row": first_row, "rows": 0}  # fmt: skip
        self.tables.append(entry)
        source = iter(rows)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for columns in ready:
                writer.write_batch(pa.record_batch(columns, schema=schema))
                count += len(columns[0])
            while chunk := list(islice(source, BATCH)):
                columns = self._columns(place, chunk, width, first_row + count)
                writer.write_batch(pa.record_batch(columns, schema=schema))
                count += len(chunk)
        entry["rows"] = count

    def _columns(self, place: str, chunk: list[Sequence[str | None]], width: int, first: int) -> list[Any]:
        import pyarrow as pa

        if any(len(row) != width for row in chunk):
            self.problem("ragged", place)
            for number, row in enumerate(chunk, start=first):
                if len(row) > width:
                    self.text(within(place, row=number), " ".join(cell or "" for cell in row[width:]))
            chunk = [[*row, *[None] * (width - len(row))][:width] for row in chunk]
        found = []
        for column in zip(*chunk, strict=True):
            cells = [cell or None for cell in column]
            try:
                found.append(pa.array(cells, pa.large_string()))
            except UnicodeEncodeError:
                found.append(pa.array([cell and _clean(cell) for cell in cells], pa.large_string()))
        return found

    def report(self) -> dict[str, Any]:
        """What goes to the platform, beside the tables."""
        return {"tables": self.tables, "texts": self.texts, "parts": self.parts, "problems": self.problems,
                "pictures": self.pictures}  # fmt: skip


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
