"""From a file to what is in it: its type by content, then the reader of that type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath

from sandbox.exports.reading import kinds, plain
from sandbox.exports.reading.found import Found, TooMuch

Reader = Callable[[Path, str, Found], None]

READERS: dict[str, Reader] = {
    "csv": plain.read_csv, "tsv": plain.read_tsv, "json": plain.read_json, "jsonl": plain.read_jsonl,
    "txt": plain.read_text, "md": plain.read_text, "parquet": plain.read_parquet,
}  # fmt: skip


def read(path: Path, name: str, place: str, found: Found) -> str:
    """Read a file or a part of one; its kind. What cannot be read is a problem at its place."""
    kind = kinds.kind_of(path, suffix_of(name))
    reader = READERS.get(kind)
    if reader is None:
        found.problem("no_reader", place)
    else:
        try:
            reader(path, place, found)
        except TooMuch as much:
            found.problem(str(much), place)
        except MemoryError:
            raise
        except BaseException as error:  # a panic of polars is no Exception
            found.problem(f"unreadable:{type(error).__name__}", place)
    return kind


def suffix_of(name: str) -> str:
    """What the name says of the type: "jpeg" as "jpg"."""
    suffix = PurePath(name).suffix.lstrip(".").lower()
    return {"jpeg": "jpg", "htm": "html", "tgz": "gz"}.get(suffix, suffix)
