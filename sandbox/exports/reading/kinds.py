"""The type of a file, told by its bytes; the name only decides between texts."""

from __future__ import annotations

import codecs
import pickletools
import re
import zipfile
from pathlib import Path

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "parquet"), (b"%PDF-", "pdf"), (b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpg"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"), (b"\x1f\x8b", "gz"), (b"7z\xbc\xaf", "7z"), (b"Rar!", "rar"),
    (b"BZh", "bz2"), (b"\xfd7zXZ", "xz"), (b"\x7fELF", "so"), (b"MZ", "exe"), (b"\x28\xb5\x2f\xfd", "zst"),
    (b"\x93NUMPY", "npy"), (b"\x89HDF", "hdf5"), (b"SQLite format 3", "sqlite"), (b"GIF8", "gif"), (b"RDX", "rds"),
    (b"ARROW1", "arrow"), (b"\x80\x01", "pkl"), (b"\x80\x02", "pkl"), (b"\x80\x03", "pkl"), (b"\x80\x04", "pkl"),
    (b"\x80\x05", "pkl"), (b"\xca\xfe\xba\xbe", "class"), (b"II*\0", "tif"), (b"MM\0*", "tif"),
)  # fmt: skip
_OFFICE = (("xl/workbook.xml", "xlsx"), ("word/document.xml", "docx"), ("ppt/presentation.xml", "pptx"))
TEXTS = frozenset({"csv", "tsv", "txt", "md", "json", "jsonl"})
ARCHIVES = frozenset({"zip", "tar", "gz", "bz2", "xz", "zst"})
_CHUNK = 1 << 20
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def kind_of(path: Path, suffix: str) -> str:
    """The type the bytes say: a magic number, an office container, or text of the type its name claims."""
    with path.open("rb") as file:
        head = file.read(4096)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.startswith(b"PK"):
        return _container(path)
    if head[257:262] == b"ustar":
        return "tar"
    encoding = encoding_of(path)
    if encoding is None:
        return "onnx" if suffix == "onnx" and head[:1] == b"\x08" else "unknown"
    return _text_kind(path, head.decode(encoding, "ignore").lstrip("\ufeff"), suffix)


def _container(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as box:
            names = box.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "unknown"
    if any("vbaproject" in n.lower() or "macrosheets/" in n.lower() for n in names):
        return "xlsm"
    if any(n.endswith(("data.pkl", ".npy")) for n in names):
        return "pkl"
    found = [kind for marker, kind in _OFFICE if marker in names]
    return found[0] if len(found) == 1 else "unknown" if found else "zip"


def encoding_of(path: Path) -> str | None:
    """The encoding of a text file; None where the bytes are no text."""
    with path.open("rb") as file:
        head = file.read(4)
    order = ("utf-16",) if head[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "gb18030")
    return next((e for e in order if _decodes(path, e)), None)


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        try:
            while chunk := file.read(_CHUNK):
                if _CONTROL.search(decoder.decode(chunk)):
                    return False
            return not _CONTROL.search(decoder.decode(b"", final=True))
        except UnicodeDecodeError:
            return False


def _text_kind(path: Path, head: str, suffix: str) -> str:
    if re.match(r"\s*(<\?xml|<!doctype|<html|<svg|<script|<head|<body)", head, re.IGNORECASE):
        return "svg" if "<svg" in head.lower() else "html"
    if head.startswith("#!"):
        return "sh"
    if _is_pickle(path, head):
        return "pkl"
    if head.lstrip()[:1] == "{" and '"nbformat"' in path.read_text("utf-8", "ignore"):
        return "ipynb"
    return suffix if suffix in TEXTS else "txt"


def _is_pickle(path: Path, head: str) -> bool:
    """Whether the text is a pickle of the oldest protocol, which is all ASCII. Nothing is executed."""
    if not head or head[0] not in "(clIFSVd]}" or path.stat().st_size > 64 << 20:
        return False
    try:
        operations = [opcode.name for opcode, _, _ in pickletools.genops(path.read_bytes())]
    except (ValueError, IndexError, KeyError, OverflowError):
        return False
    return operations[-1:] == ["STOP"] and len(operations) > 1
