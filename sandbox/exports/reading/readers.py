"""From a file to what is in it: its type by content, then the reader of that type."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path, PurePath

from sandbox.exports.reading import archives, kinds, markup, models, office, pdf, pictures, plain
from sandbox.exports.reading.found import CONTAINERS, Found, TooMuch

Reader = Callable[[Path, str, Found], None]

READERS: dict[str, Reader] = {
    "csv": plain.read_csv, "tsv": plain.read_tsv, "json": plain.read_json, "jsonl": plain.read_jsonl,
    "txt": plain.read_text, "md": plain.read_text, "parquet": plain.read_parquet,
    "zip": archives.read_zip, "tar": archives.read_tar, "gz": archives.read_gz, "bz2": archives.read_bz2,
    "xz": archives.read_xz, "zst": archives.read_zst,
    "xlsx": office.read_workbook, "docx": office.read_document, "pptx": office.read_document,
    "html": markup.read_html, "ipynb": markup.read_notebook, "pdf": pdf.read_pdf,
    "png": pictures.read_png, "jpg": pictures.read_jpeg, "onnx": models.read_onnx,
}  # fmt: skip


def read(path: Path, name: str, place: str, found: Found) -> str:
    """Read a file or a part of one; its kind. What cannot be read is a problem at its place."""
    kind = kinds.kind_of(path, suffix_of(name))
    reader = READERS.get(kind)
    if reader is None:
        found.problem("no_reader", place)
        return kind
    deeper = kind in CONTAINERS
    found.depth += deeper
    try:
        if found.depth > found.bounds.max_depth:
            raise TooMuch("depth")
        reader(path, place, found)
        _second_nature(path, kind, place, found)
    except TooMuch as much:
        found.problem(str(much), place)
    except MemoryError:
        raise
    except BaseException as error:  # a panic of polars is no Exception
        found.problem(f"unreadable:{type(error).__name__}", place)
    finally:
        found.depth -= deeper
    return kind


def _second_nature(path: Path, kind: str, place: str, found: Found) -> None:
    """A file that is also an archive or a document of another type shows different things to different programs."""
    if kind in CONTAINERS:
        return
    with path.open("rb") as file:
        head = file.read(1024)
        file.seek(max(0, path.stat().st_size - (1 << 17)))
        tail = file.read()
    if zipfile.is_zipfile(path) or (kind != "pdf" and b"%PDF-" in head) or (kind == "pdf" and b"<script" in tail):
        found.problem("polyglot", place)


def suffix_of(name: str) -> str:
    """What the name says of the type, in one spelling."""
    suffix = PurePath(name).suffix.lstrip(".").lower()
    return {"jpeg": "jpg", "htm": "html", "tgz": "gz"}.get(suffix, suffix)
