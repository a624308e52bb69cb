"""The files themselves: type by content, archives, formula cells, volume."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from policies.verdict import Outcome
from sandbox.exports.checks.base import Measured, Miss, check, limited, need
from sandbox.exports.contents import ARCHIVES, Contents
from sandbox.exports.subject import ExportSubject
from sandbox.products.artefact import is_formula

_SAME_TYPE = {"jpeg": "jpg"}
_MB = 2**20


@check("file_types")
def file_types(subject: ExportSubject, parameters: Any) -> Measured:
    """Every file is of an allowed type, told by its bytes, named so, and readable to the end."""
    # a job that is refused has no file; its refusal says why
    misses = [] if subject.files or subject.refusals else [Miss("request#files", 0, 1)]
    names = [f.name for f in subject.files]
    misses += [Miss("request#files", "name used twice")] * (len(set(names)) < len(names))
    for contents in subject.contents:
        problem = _type_problem(contents, parameters)
        if problem:
            misses.append(Miss(contents.name, problem))
        elif contents.kind in parameters.review or contents.suffix in parameters.review:
            misses.append(Miss(contents.name, contents.kind, None, Outcome.REVIEW))
    return Measured(len(subject.files), None, tuple(misses))


def _type_problem(contents: Contents, parameters: Any) -> str | None:
    name = contents.name
    if name != name.strip() or not name.isprintable() or set(name) & set('/\\:*?"<>|') or name.startswith("."):
        return "file name"
    kinds = {*parameters.allowed, *parameters.review}
    suffix = _SAME_TYPE.get(contents.suffix, contents.suffix)
    if contents.suffix not in kinds or contents.kind not in kinds:
        return f"type {contents.kind}"
    if suffix != contents.kind:
        return f"named {contents.suffix}, is {contents.kind}"
    return contents.problems[0] if set(contents.problems) - {"formula"} else None


@check("archives")
def archives(subject: ExportSubject, parameters: Any) -> Measured:
    """Archives, and office files (which are archives), stay within depth, ratio and members; none encrypted or
    linked."""
    misses = []
    for file, contents in zip(subject.files, subject.contents, strict=True):
        if file.content.startswith(b"PK"):
            problem = _zip_problem(file.content, parameters, 1)
        else:
            problem = f"type {contents.kind}" if contents.kind in ARCHIVES else None
        if problem:
            misses.append(Miss(contents.name, problem))
    return Measured(len(misses), 0, tuple(misses))


def _zip_problem(content: bytes, limits: Any, depth: int) -> str | None:
    if depth > limits.max_depth:
        return "depth"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as box:
            members = box.infolist()
            if len(members) > limits.max_members:
                return "members"
            for member in members:
                problem = _member_problem(box, member, limits, depth)
                if problem:
                    return problem
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, EOFError):
        return "unreadable"
    return None


def _member_problem(box: zipfile.ZipFile, member: zipfile.ZipInfo, limits: Any, depth: int) -> str | None:
    if member.flag_bits & 0x1:
        return "encrypted"
    if (member.external_attr >> 16) & 0o170000 == 0o120000:
        return "link"
    if ".." in member.filename.split("/") or member.filename.startswith(("/", "\\")):
        return "path"
    if member.file_size > limits.max_ratio * max(member.compress_size, 1):
        return "ratio"
    with box.open(member) as file:
        nested = file.read(4) == b"PK\x03\x04"
    return _zip_problem(box.read(member), limits, depth + 1) if nested else None


@check("formula_cells")
def formula_cells(subject: ExportSubject, parameters: Any) -> Measured:
    """No cell or header a spreadsheet would run; full-width operators count, plain signed numbers do not."""
    prefixes = "".join(parameters.prefixes) + "\n＝＋－＠"
    misses = [Miss(c.name, "formula") for c in subject.contents if "formula" in c.problems]
    for contents in subject.contents:
        for table in contents.tables:
            headers = [i for i, name in enumerate(table.header) if is_formula(name, prefixes)]
            misses += [Miss(f"{table.place}#header={i + 1}", 1, 0) for i in headers]
            for number, row in enumerate(table.rows, start=1):
                cells = [i for i, cell in enumerate(row) if is_formula(cell, prefixes)]
                misses += [Miss(f"{table.place}#row={number};column={i + 1}", 1, 0) for i in cells]
    return Measured(len(misses), 0, limited(misses))


@check("volume")
def volume(subject: ExportSubject, parameters: Any) -> Measured:
    """Rows and bytes of this export, and rows of all exports of the application within the window."""
    rows = sum(contents.rows for contents in subject.contents)
    size = sum(contents.size for contents in subject.contents)
    misses = []
    if rows > parameters.max_rows:
        misses.append(Miss("request#rows", rows, parameters.max_rows))
    if size > parameters.max_mb * _MB:
        misses.append(Miss("request#bytes", size, parameters.max_mb * _MB))
    if subject.lane == "platform":
        total = rows + need(subject.volume, "volume released before").rows_released
        if total > parameters.cumulative_rows:
            misses.append(Miss("application#rows", total, parameters.cumulative_rows))
        elif total >= parameters.warn_share * parameters.cumulative_rows:
            misses.append(Miss("application#rows", total, parameters.cumulative_rows, Outcome.REVIEW))
    return Measured(rows, parameters.max_rows, tuple(misses))
