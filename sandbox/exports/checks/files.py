"""The files themselves: type by content, archives, what is hidden in them, formula cells, volume."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any

from policies.verdict import Outcome
from sandbox.detection.canon import canonical
from sandbox.exports.checks.base import Measured, Miss, check, limited, need
from sandbox.exports.contents import Contents, Problem, Table
from sandbox.exports.places import parse, within
from sandbox.exports.subject import ExportSubject
from sandbox.products.artefact import is_formula

_MB = 2**20
_NUMBER = r"^[ \x{a0}\x{3000}]*[+-][0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?$"

ARCHIVES = frozenset({"zip", "tar", "gz", "bz2", "xz", "zst", "7z", "rar"})
IN_ARCHIVES = frozenset({"depth", "members", "ratio", "unpacked", "encrypted", "link", "path"})
"""Problems the rule about archives answers for."""
CARRIED = frozenset({
    "script", "external_link", "embedded_object", "trailing", "polyglot", "revision", "gap", "external_data",
    "operator", "duplicate_name",
})  # fmt: skip
"""Things that act, or that are there to be overlooked: nobody needs them in a product."""
UNSEEN = frozenset({
    "hidden_sheet", "hidden_rows", "hidden_columns", "hidden_text", "hidden_slide", "hidden_layer", "comment", "notes",
    "pivot_cache", "defined_name", "custom_data", "embedded_file", "attachment", "dictionary", "form", "picture",
    "chunk", "outputs", "header_trick",
})  # fmt: skip
"""Things that whoever opens the file does not see at once: a person looks."""


@check("file_types")
def file_types(subject: ExportSubject, parameters: Any) -> Measured:
    """Every file, and every file inside one, is of an allowed type, told by its bytes, named so, and readable to the
    end."""
    # a job that is refused has no file; its refusal says why
    misses = [] if subject.files or subject.refusals else [Miss("request#files", 0, 1)]
    names = [f.name for f in subject.files]
    misses += [Miss("request#files", "name used twice")] * (len(set(names)) < len(names))
    for contents in subject.contents:
        problem = _type_problem(contents, parameters)
        misses += [Miss(contents.place, problem)] * bool(problem)
        if not problem and {contents.kind, contents.suffix} & set(parameters.review):
            misses.append(Miss(contents.place, contents.kind, None, Outcome.REVIEW))
        misses += _parts(contents, parameters)
        misses += [Miss(p.place, p.code) for p in contents.problems if not _judged_elsewhere(p.code)]
    return Measured(len(subject.files), None, limited(misses))


def _judged_elsewhere(code: str) -> bool:
    return code in IN_ARCHIVES | CARRIED | UNSEEN | {"formula"}


def _type_problem(contents: Contents, parameters: Any) -> str | None:
    name = contents.name
    if name != name.strip() or not name.isprintable() or set(name) & set('/\\:*?"<>|') or name.startswith("."):
        return "file name"
    kinds = {*parameters.allowed, *parameters.review}
    if contents.kind not in kinds:
        return f"type {contents.kind}"
    return None if contents.suffix == contents.kind else f"named {contents.suffix}, is {contents.kind}"


def _parts(contents: Contents, parameters: Any) -> Iterator[Miss]:
    for where, kind in contents.parts.items():
        if kind not in {*parameters.allowed, *parameters.review}:
            yield Miss(where, f"type {kind}")
        name = (parse(where).members or ("",))[-1]
        if name and (not name.isprintable() or set(name) & set('\\:*?"<>|')):
            yield Miss(where, "file name")


@check("archives")
def archives(subject: ExportSubject, parameters: Any) -> Measured:
    """Archives, and office files (which are archives), stay within depth, ratio and members; none encrypted or
    linked."""
    misses = [Miss(p.place, p.code) for c in subject.contents for p in c.problems if _of_archive(c, p)]
    return Measured(len(misses), 0, limited(misses))


def _of_archive(contents: Contents, problem: Problem) -> bool:
    """A limit of archives, or an archive that cannot be read."""
    kind = contents.kind if problem.place == contents.place else contents.parts.get(problem.place)
    return problem.code in IN_ARCHIVES or (kind in ARCHIVES and problem.code not in CARRIED | UNSEEN)


@check("hidden_content")
def hidden_content(subject: ExportSubject, parameters: Any) -> Measured:
    """Nothing in a file acts by itself or lies where it is overlooked; what is merely out of sight is shown to a
    person."""
    found = [p for c in subject.contents for p in c.problems]
    misses = [Miss(p.place, p.code) for p in found if p.code in CARRIED]
    misses += [Miss(p.place, p.code, None, Outcome.REVIEW) for p in found if p.code in UNSEEN]
    unseen = [t for c in subject.contents for t in c.tables if t.hidden]
    misses += [Miss(t.place, "hidden table", None, Outcome.REVIEW) for t in unseen]
    misses += list(_header_tricks(subject))
    return Measured(len(misses), 0, limited(misses))


def _header_tricks(subject: ExportSubject) -> Iterator[Miss]:
    """Names that look like others: invisible, direction-changing or look-alike characters, or one name twice."""
    for contents in subject.contents:
        for table in contents.tables:
            seen: set[str] = set()
            for i, name in enumerate(table.header, start=1):
                plain = canonical(name).text.strip().casefold()
                odd = plain != name.strip().casefold() or not name.isprintable() or _mixed(name)
                if odd or (plain and plain in seen):
                    severity = None if any(unicodedata.category(c) == "Cf" for c in name) else Outcome.REVIEW
                    yield Miss(within(table.place, header=i), "name", None, severity)
                seen.add(plain)


def _mixed(name: str) -> bool:
    """Latin letters beside Greek or Cyrillic ones in one word."""
    for word in name.split():
        scripts = {unicodedata.name(c, "").split(" ")[0] for c in word if c.isalpha() and not c.isascii()}
        if scripts & {"CYRILLIC", "GREEK"} and any(c.isascii() and c.isalpha() for c in word):
            return True
    return False


@check("formula_cells")
def formula_cells(subject: ExportSubject, parameters: Any) -> Measured:
    """No cell or header a spreadsheet would run; full-width operators count, plain signed numbers do not."""
    prefixes = "".join(parameters.prefixes) + "\n＝＋－＠"
    misses = [Miss(p.place, "formula") for c in subject.contents for p in c.problems if p.code == "formula"]
    for contents in subject.contents:
        for table in contents.tables:
            headers = [i for i, name in enumerate(table.header) if is_formula(name, prefixes)]
            misses += [Miss(within(table.place, header=i + 1), 1, 0) for i in headers]
            misses += _formulas(table, prefixes)
    return Measured(len(misses), 0, limited(misses))


def _formulas(table: Table, prefixes: str) -> Iterator[Miss]:
    import numpy as np

    characters = "".join(rf"\x{{{ord(c):x}}}" for c in prefixes)
    starts = rf"^[ \x{{a0}}\x{{3000}}]*[{characters}]"
    for i in range(len(table.header)):
        cells = table.cells.column(i)
        suspects = cells.values.str.contains(starts) & ~cells.values.str.contains(_NUMBER)
        formulas = [p for p in suspects.arg_true() if is_formula(cells.values[p], prefixes)]
        for row in np.flatnonzero(np.isin(cells.codes, formulas)) if formulas else ():
            yield Miss(within(table.place, row=table.first_row + int(row), column=i + 1), 1, 0)


@check("volume")
def volume(subject: ExportSubject, parameters: Any) -> Measured:
    """Rows, cells and bytes of this export with the files that are asked for beside it, and of all exports of the
    application within the window: many columns carry as much as many rows, and many files as much as a large one."""
    p = parameters
    now = {
        "rows": sum(contents.rows for contents in subject.contents),
        "cells": sum(table.rows * len(table.header) for contents in subject.contents for table in contents.tables),
        "bytes": sum(contents.size for contents in subject.contents),
    }
    beside = subject.volume.beside if subject.volume else None
    now = {what: count + (getattr(beside, what) if beside else 0) for what, count in now.items()}
    single = {"rows": p.max_rows, "cells": p.max_cells, "bytes": p.max_mb * _MB}
    about = "together" if beside else ""
    misses = [Miss(f"request#{w}", now[w], most, about=about) for w, most in single.items() if now[w] > most]
    if subject.lane == "platform":
        before = need(subject.volume, "volume released before")
        every = {"rows": p.cumulative_rows, "cells": p.cumulative_cells, "bytes": p.cumulative_mb * _MB}
        for what, most in every.items():
            total = now[what] + getattr(before, what)
            if total >= p.warn_share * most:
                misses.append(Miss(f"application#{what}", total, most, None if total > most else Outcome.REVIEW))
    return Measured(now["rows"], p.max_rows, tuple(misses))
