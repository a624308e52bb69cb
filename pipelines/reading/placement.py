"""Where a table stands among rows of cells and what its columns are called: judged, told, or held to a recipe."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pipelines.reading.dialect import NO_DELIMITER, Dialect, Record, dialect
from pipelines.reading.findings import ReadFinding, finding
from pipelines.reading.fit import Difference, column_names, find_header, refuse
from pipelines.reading.layout import Layout, joined, layout, unique_names
from pipelines.reading.recipe import Recipe
from pipelines.reading.source import Survey, blocks, with_encoding
from policies.text import UserError

_DETECTED = frozenset({"utf-8", "gb18030", "utf-16-le", "utf-16-be"})
_SAME = {"gbk": "gb18030", "gb2312": "gb18030", "utf-8-sig": "utf-8"}


@dataclass(frozen=True, slots=True)
class Placement:
    """`names` are what the columns are called here, `header_names` what the file calls them; both in file order.

    `header_row` is the line of the header's last row, `skip` the number of lines before the first record.
    """

    layout: Layout
    names: tuple[str, ...]
    header_names: tuple[str, ...]
    header_row: int | None
    skip: int
    findings: list[ReadFinding]

    def recipe(self, hints: Recipe) -> Recipe:
        """The recipe with this placement spelled out."""
        laid = self.layout
        return hints.model_copy(
            update={
                "header": laid.header > 0, "header_row": self.header_row, "skip": self.skip, "names": self.names,
                "header_names": self.header_names, "ghost_column": laid.ghost, "trim": hints.trim or laid.trim,
                "section_rows": hints.section_rows and laid.sections,
            }
        )  # fmt: skip


def place(
    rows: Sequence[Record], width: int, hints: Recipe, found: Recipe, *, digest: str, merged: Collection[int] = ()
) -> Placement:
    """Place the table that a sample of rows (without blank ones) begins.

    Args:
        width: usual number of cells.
        hints: a recipe decided on another file must fit; any other is obeyed as far as it goes.
        found: what is already known of the file (format, encoding, delimiter), to be compared with the recipe.
        digest: SHA-256 of the file.
        merged: indexes of rows that one cell spans.

    Raises:
        UserError: `reading.recipe_mismatch`.
    """
    cells = [r.cells for r in rows]
    binds = hints.binds(digest)
    at = _held_to(cells, hints) if binds else _told(rows, hints)
    laid = layout(cells, width, merged=merged, header=None if binds else hints.header, at=at)
    above = rows[laid.titles + laid.header - 1] if laid.titles + laid.header else None
    header_row = above.line if above is not None and laid.header else None
    last = above.line + above.lines - 1 if above is not None else 0
    theirs = tuple(laid.names)
    seen = found.model_copy(update={"header": laid.header > 0, "header_row": header_row, "names": theirs})
    names, adapted = column_names(hints, seen, digest)
    findings = [*adapted, *laid.findings]
    if laid.titles:
        findings.append(finding("title_rows", n=laid.titles))
    skip = last if binds or hints.skip is None else hints.skip
    return Placement(laid, names, theirs, header_row, skip, findings)


def with_last(placed: Placement, filled: int, hints: Recipe, digest: str) -> Placement:
    """The table with its last column kept: it has no name and was empty in the sample, and yet `filled` rows have a
    value there.

    Raises:
        UserError: `reading.recipe_mismatch`: a recipe of another file knows no such column.
    """
    names, _ = unique_names([*placed.names, ""], len(placed.names) + 1)
    if hints.binds(digest):
        refuse([Difference("column_added", None, names[-1], names[-1])])
    laid = replace(placed.layout, ghost=False, names=names)
    found = [*placed.findings, finding("ghost_column_kept", n=filled)]
    return replace(
        placed, layout=laid, names=tuple(names), header_names=(*placed.header_names, names[-1]), findings=found
    )


def _held_to(cells: Sequence[Sequence[str]], recipe: Recipe) -> tuple[int, int] | None:
    if recipe.header is False:
        return None
    there = find_header(cells, recipe.header_names or ())
    return (there[0], there[1]) if there else None


def told_header(rows: Sequence[Record], hints: Recipe) -> Sequence[Record]:
    """The rows of the header by the recipe's `header_row`: two where only together they give its `header_names`."""
    inside = [i for i, r in enumerate(rows) if r.line <= (hints.header_row or 0) < r.line + r.lines]
    first, size = _one_or_two(rows, inside[0], hints) if inside else (0, 0)
    return rows[first : first + size]


def _told(rows: Sequence[Record], hints: Recipe) -> tuple[int, int] | None:
    """First row and size of the header by the recipe's `header_row` or `skip`; None where it says neither."""
    if hints.header_row is not None:
        inside = [i for i, r in enumerate(rows) if r.line <= hints.header_row < r.line + r.lines]
        if not inside:
            refuse([Difference("header_gone")])
        return _one_or_two(rows, inside[0], hints)
    if hints.skip is None:
        return None
    before = sum(r.line <= hints.skip for r in rows)
    return (before, 0) if hints.header is False or not before else _one_or_two(rows, before - 1, hints)


def _one_or_two(rows: Sequence[Record], last: int, hints: Recipe) -> tuple[int, int]:
    """Two rows when only together they give the names that the recipe says the file has."""
    if last and hints.header_names is not None and len(rows[last - 1].cells) == len(rows[last].cells):
        both = joined(rows[last - 1].cells, rows[last].cells)
        if tuple(unique_names(both, len(hints.header_names))[0]) == hints.header_names:
            return last - 1, 2
    return last, 1


def text_placed(text: str, seen: Survey, hints: Recipe, digest: str) -> tuple[Recipe, list[ReadFinding]]:
    """The recipe for one delimited text file with its dialect and placement spelled out, from a sample of it."""
    chosen = _dialect(text, hints, digest)
    rows = _filled(chosen)
    delimiter = "" if chosen.delimiter == NO_DELIMITER else chosen.delimiter
    found = Recipe(format="csv", encoding=None if _ascii(seen, hints) else seen.encoding, delimiter=delimiter)
    placed = place(rows, chosen.width, hints, found, digest=digest)
    recipe = placed.recipe(hints)
    dialect_of_file = {"format": "csv", "delimiter": delimiter, "quote": chosen.quote, "escape": chosen.escape}
    return recipe.model_copy(update={**dialect_of_file, "encoding": seen.encoding}), placed.findings


def _filled(chosen: Dialect) -> list[Record]:
    return [r for r in chosen.records if any(c.strip() for c in r.cells)]


def _dialect(text: str, hints: Recipe, digest: str) -> Dialect:
    """The recipe's own dialect where it still gives its table, else what the text shows."""
    if not hints.binds(digest):
        return dialect(text, hints)
    free = hints.model_copy(update={"delimiter": None, "quote": None, "escape": None})
    tried: list[Dialect] = []
    refused: UserError | None = None
    for told in (hints, free):
        try:
            candidate = dialect(text, told)
        except UserError as error:
            refused = error
            continue
        if _gives(candidate, hints):
            return candidate
        tried.append(candidate)
    if not tried and refused is not None:
        raise refused
    return tried[0]


def _gives(candidate: Dialect, recipe: Recipe) -> bool:
    names = recipe.header_names or ()
    if recipe.header is False:
        return candidate.width - recipe.ghost_column == len(names)
    return find_header([r.cells for r in _filled(candidate)], names) is not None


def _ascii(seen: Survey, hints: Recipe) -> bool:
    """Whether the bytes say nothing about the encoding; looked at only where it seems to have changed."""
    return hints.encoding != seen.encoding and seen.utf8 and all(b.isascii() for b in blocks(seen.path))


def encoding_for(seen: Survey, hints: Recipe, digest: str) -> str | None:
    """The encoding to read with: the recipe's, or for a recipe of another file what this file's bytes show.

    A recipe's encoding that cannot be told from bytes (Big5) holds until the file is UTF-8 or UTF-16.
    """
    told = codecs.lookup(hints.encoding).name if hints.encoding else None
    told = _SAME.get(told, told) if told else None
    if told is None or not hints.binds(digest):
        return told
    try:
        shown = with_encoding(seen, None).encoding
    except UserError:
        return told
    return told if told not in _DETECTED and shown == "gb18030" else shown
