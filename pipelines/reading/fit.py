"""Whether a recipe still fits: what differs between the file it was decided on and the next delivery, by name."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from pipelines.reading.findings import ReadFinding, refusal
from pipelines.reading.layout import joined, unique_names
from pipelines.reading.recipe import Recipe
from pipelines.reading.types import ColumnProfile
from policies.text import Text

DifferenceKind = Literal[
    "column_added", "column_missing", "column_renamed", "column_respelled", "columns_reordered", "column_values",
    "column_count", "header_gone", "header_appeared", "header_moved", "format", "encoding", "delimiter", "member",
    "member_renamed", "sheet", "sheet_renamed", "json_path",
]  # fmt: skip
HARMLESS: frozenset[DifferenceKind] = frozenset(
    {"column_respelled", "columns_reordered", "header_moved", "encoding", "member_renamed", "sheet_renamed"}
)
"""Differences that leave no doubt which value belongs to which column: adapted to, and told."""

_TEXTS: dict[DifferenceKind, Text] = {
    "column_added": Text("多了列“{now}”", "a new column {now!r}"),
    "column_missing": Text("缺少列“{was}”", "the column {was!r} is missing"),
    "column_renamed": Text("列“{was}”可能已改名为“{now}”", "the column {was!r} seems to be called {now!r} now"),
    "column_respelled": Text("列名“{was}”写成了“{now}”", "the column {was!r} is spelled {now!r}"),
    "columns_reordered": Text("列的顺序变了，已按列名对应", "the order of columns changed; they were matched by name"),
    "column_values": Text(
        "列“{column}”原为 {was}，现有 {now} 的值不符", "the column {column!r} was {was}, {now} of its values are not"
    ),
    "column_count": Text("列数原为 {was}，现为 {now}", "there were {was} columns, now {now}"),
    "header_gone": Text("原有表头，现在没有", "there was a header, now there is none"),
    "header_appeared": Text("原来没有表头，现在有", "there was no header, now there is one"),
    "header_moved": Text("表头由第 {was} 行移到第 {now} 行", "the header moved from line {was} to line {now}"),
    "format": Text("格式原为 {was}，现为 {now}", "the format was {was}, now {now}"),
    "encoding": Text("编码原为 {was}，现为 {now}", "the encoding was {was}, now {now}"),
    "delimiter": Text("分隔符原为 {was}，现为 {now}", "the delimiter was {was}, now {now}"),
    "member": Text("压缩包中没有“{was}”，现有：{now}", "the archive has no {was!r}; it has: {now}"),
    "member_renamed": Text(
        "压缩包中的文件由“{was}”改名为“{now}”", "the archive's only file {was!r} is called {now!r} now"
    ),
    "sheet": Text("没有工作表“{was}”，现有：{now}", "there is no sheet {was!r}; there are: {now}"),
    "sheet_renamed": Text("唯一的工作表由“{was}”改名为“{now}”", "the only sheet {was!r} is called {now!r} now"),
    "json_path": Text("JSON 中没有 {was}，现有：{now}", "the document has no {was}; it has: {now}"),
}
_SIMILAR = 0.6
_HEADER_ROWS = 60
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a file is not as the recipe says; names of columns and parts, never a value of a record."""

    kind: DifferenceKind
    was: str | None = None
    now: str | None = None
    column: str | None = None

    @property
    def harmless(self) -> bool:
        return self.kind in HARMLESS

    @property
    def text(self) -> Text:
        return _TEXTS[self.kind].fill(was=self.was, now=self.now, column=self.column)

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "column": self.column, "was": self.was, "now": self.now}

    def finding(self) -> ReadFinding:
        return ReadFinding(f"recipe_{self.kind}", self.text, self.column)


def fit(recipe: Recipe, found: Recipe) -> tuple[Difference, ...]:
    """What separates a stored recipe from the one that the file itself would give (its `names` are the file's own).

    Only what both of them state is compared. Names are equal when they differ in width, case or blanks only; of a
    missing and a new name at the same place, or of similar ones, one is taken for the other renamed.
    """
    both: list[tuple[DifferenceKind, str | None, str | None]] = [
        ("format", recipe.format, found.format),
        ("encoding", recipe.encoding, found.encoding),
        ("delimiter", recipe.delimiter, found.delimiter),
    ]
    out = [
        Difference(kind, _shown(was), _shown(now)) for kind, was, now in both if None not in (was, now) and was != now
    ]
    if out and out[0].kind == "format":
        return tuple(out)
    had, has = recipe.header, found.header
    if had is not None and has is not None and had != has:
        return (*out, Difference("header_gone" if had else "header_appeared"), *_count(recipe, found))
    if had is False:
        return (*out, *_count(recipe, found))
    if recipe.header_row and found.header_row and recipe.header_row != found.header_row:
        out.append(Difference("header_moved", str(recipe.header_row), str(found.header_row)))
    ordered = recipe.format not in ("json", "ndjson")
    return (*out, *_names(recipe.header_names or (), found.names or (), ordered=ordered))


def _shown(value: str | None) -> str | None:
    return repr(value) if value is not None and not value.isprintable() else value


def _count(recipe: Recipe, found: Recipe) -> list[Difference]:
    was, now = len(recipe.header_names or ()), len(found.names or ())
    return [Difference("column_count", str(was), str(now))] if was != now else []


def _plain(name: str) -> str:
    """A name as it is compared: NFKC, without case and blanks."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def _names(was: Sequence[str], now: Sequence[str], *, ordered: bool) -> list[Difference]:
    here = {_plain(n): n for n in now}
    there = {_plain(n): n for n in was}
    out = [
        Difference("column_respelled", n, here[_plain(n)], n) for n in was if _plain(n) in here and n not in now
    ]  # fmt: skip
    missing = [n for n in was if _plain(n) not in here]
    added = [n for n in now if _plain(n) not in there]
    for old in list(missing):
        new = _renamed(old, missing, added, was, now)
        if new is not None:
            out.append(Difference("column_renamed", old, new, old))
            missing.remove(old)
            added.remove(new)
    out += [Difference("column_missing", n, None, n) for n in missing]
    out += [Difference("column_added", None, n, n) for n in added]
    kept = [_plain(n) for n in now if _plain(n) in there]
    if ordered and kept != [_plain(n) for n in was if _plain(n) in here]:
        out.append(Difference("columns_reordered"))
    return out


def _renamed(
    old: str, missing: Sequence[str], added: Sequence[str], was: Sequence[str], now: Sequence[str]
) -> str | None:
    """The new name of a column: the one in its place when as many came as went, or the most similar one."""
    same_place = now[was.index(old)] if was.index(old) < len(now) else None
    if same_place in added and len(missing) == len(added):
        return same_place
    likeness = {n: SequenceMatcher(None, _plain(old), _plain(n)).ratio() for n in added}
    best = max(likeness, key=lambda n: likeness[n], default=None)
    return best if best is not None and likeness[best] >= _SIMILAR else None


def column_names(hints: Recipe, found: Recipe, digest: str) -> tuple[tuple[str, ...], list[ReadFinding]]:
    """What the columns are called, in the order of the file, and what a recipe of another file was adapted to.

    Raises:
        UserError: `reading.recipe_mismatch`.
    """
    return settled(hints, found) if hints.binds(digest) else (renamed(hints, found.names or ()), [])


def settled(recipe: Recipe, found: Recipe) -> tuple[tuple[str, ...], list[ReadFinding]]:
    """The recipe's names for the columns in the order of the file, and what it was adapted to.

    Raises:
        UserError: `reading.recipe_mismatch` with every difference.
    """
    differences = fit(recipe, found)
    refuse(differences)
    ours = recipe.names or recipe.header_names or ()
    if recipe.header is False:
        return ours, [d.finding() for d in differences]
    called = {_plain(theirs): mine for theirs, mine in zip(recipe.header_names or (), ours, strict=True)}
    return tuple(called[_plain(n)] for n in found.names or ()), [d.finding() for d in differences]


def renamed(recipe: Recipe, theirs: Sequence[str]) -> tuple[str, ...]:
    """The file's names with those replaced that the recipe gives others, by name or else by position.

    Raises:
        UserError: `reading.recipe_mismatch`: another number of names than columns.
    """
    if recipe.names is None:
        return tuple(theirs)
    if recipe.header_names is not None and set(recipe.header_names) == set(theirs):
        called = dict(zip(recipe.header_names, recipe.names, strict=True))
        return tuple(called[n] for n in theirs)
    if len(recipe.names) != len(theirs):
        refuse([Difference("column_count", str(len(recipe.names)), str(len(theirs)))])
    return recipe.names


def refuse(differences: Sequence[Difference]) -> None:
    """Stop where a difference is more than harmless; the error names all of them.

    Raises:
        UserError: `reading.recipe_mismatch`.
    """
    if all(d.harmless for d in differences):
        return
    what = Text("；".join(d.text.zh for d in differences), "; ".join(d.text.en for d in differences))
    error = refusal("recipe_mismatch", what=what)
    error.detail = {"differences": [d.as_dict() for d in differences]}
    raise error


def values_that_do_not_fit(recipe: Recipe, columns: Sequence[ColumnProfile]) -> tuple[Difference, ...]:
    """Columns whose type is the recipe's and refuses more of the values that are there than `max_unfit_share`."""
    out = []
    for column in columns:
        given = recipe.column(column.name)
        there = column.rows - column.missing
        if given is not None and column.refused > recipe.max_unfit_share * there:
            share = f"{100 * column.refused / there:.1f}%"
            out.append(Difference("column_values", given.type, share, column.name))
    return tuple(out)


def find_header(rows: Sequence[Sequence[str]], names: Sequence[str]) -> tuple[int, int, list[str]] | None:
    """Where the header stands that has most of `names`, at least half: its first row, how many it takes, its names."""
    wanted = {_plain(n) for n in names}
    best: tuple[int, int, list[str]] | None = None
    most = _HALF * len(wanted)
    for i, row in enumerate(rows[:_HEADER_ROWS]):
        below = rows[i + 1] if i + 1 < len(rows) else ()
        for size, cells in ((1, list(row)), (2, joined(row, below) if len(row) == len(below) else [])):
            while len(cells) > len(names) and not cells[-1].strip():
                cells.pop()
            found, _ = unique_names(cells, len(cells))
            hits = sum(_plain(n) in wanted for n in found)
            if hits > most or (hits == most and best is None and hits):
                best, most = (i, size, found), hits
    return best
