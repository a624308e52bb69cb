"""Which rows of a table are titles, header and body; works on the cells of text files and sheets alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pipelines.reading.findings import ReadFinding, finding, refusal
from pipelines.reading.kinds import is_year, kind, main_kind, names_something

SECTION = re.compile(r".{1,40}[（(]\s*[共计]*\s*\d+\s*[所家个户人项条件类名]\s*[）)]", re.DOTALL)
FOOTER = re.compile(
    r"\s*(合\s*计|总\s*计|小\s*计|共\s*计|共\s*\d+\s*[条行户人个家项页]|注\s*[:：\d]|备注\s*[:：]|说明\s*[:：]|(数据|资料)?来源\s*[:：]|制[表单]|填[表报]|审核|复核|经办|报送|统计人|联系人|联系电话|(单位)?负责人"
    r"|打印|导出时间|统计时间|更新时间|total\b|source\s*:|note\s*:)",
    re.IGNORECASE,
)
TOTAL = re.compile(r"\s*(合\s*计|总\s*计|共\s*计|total)\s*", re.IGNORECASE)
_COUNTS = re.compile(r"[号码序]|(?i:\bid\b|\bno\b|index)")
_TITLE_ROWS = 20
_TITLE_FILL = 0.6


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows counted in the given list: `titles` rows, then `header` rows (0, 1 or 2), then the body."""

    titles: int
    header: int
    names: list[str]
    header_cells: list[str]
    ghost: bool
    trim: bool
    sections: bool
    first_kind: str
    findings: list[ReadFinding] = field(default_factory=list)


def layout(
    rows: Sequence[Sequence[str]],
    width: int,
    *,
    merged: Collection[int] = (),
    header: bool | None = None,
    at: tuple[int, int] | None = None,
) -> Layout:
    """Judge a sample of rows without blank ones.

    Args:
        rows: cells; rows may be ragged.
        width: usual number of cells.
        merged: indexes of rows that one cell spans.
        header: what the operator said, None to judge.
        at: where the header is known to stand: its first row and how many rows it takes (0: none).

    Raises:
        UserError: `reading.short_header`: one name fewer than cells, and nothing tells which cell has no name.
    """
    grid = [[*r, *[""] * (width - len(r))][:width] for r in rows]
    titles = _titles(grid, merged, width) if at is None else at[0]
    cells, body_from, findings = _header_of(grid, titles, width, header, at)
    if not cells:
        findings.append(finding("no_header"))
    body = [r for i, r in enumerate(grid[body_from:], body_from) if i not in merged and r != cells]
    ragged = bool(cells) and len(rows[body_from - 1]) == width - 1
    ghost = _ghost(cells, body)
    if ragged and not ghost and body:
        _refuse_shifted(cells, body)
        cells = ["", *cells[:-1]]
        findings.append(finding("short_header"))
    names, renamed = unique_names(cells[: width - 1] if ghost and cells else cells, width - ghost)
    if cells and renamed:
        findings.append(finding("renamed_columns", n=renamed))
    first_kind = main_kind(r[0] for r in body if _filled(r) > 1)
    return Layout(
        titles, body_from - titles, names, cells, ghost, _trim(body), _sections(body, first_kind), first_kind, findings
    )


def _header_of(
    grid: list[list[str]], titles: int, width: int, header: bool | None, at: tuple[int, int] | None
) -> tuple[list[str], int, list[ReadFinding]]:
    """The header's cells (none without header), the row after it, and what was found."""
    if at is not None:
        rows = grid[titles : titles + at[1]]
        cells = joined(*rows) if len(rows) == 2 else [*rows[0]] if rows else []
        return cells, titles + len(rows), [finding("two_line_header")] if len(rows) == 2 else []
    if header is False or titles >= len(grid):
        return [], titles, []
    size, cells, found = _header(grid, titles, width, sure=header is True)
    return cells, titles + size, found


def _refuse_shifted(cells: list[str], body: list[list[str]]) -> None:
    """A first column without a name counts the rows (R writes it so); else a cell holds the delimiter unquoted."""
    first = [r[0].strip() for r in body]
    start = int(first[0]) if first[0] in ("0", "1") else None
    counted = start is not None and first == [str(i) for i in range(start, start + len(first))]
    if not counted or _COUNTS.search(cells[0]):
        raise refusal("short_header", names=len(cells) - 1, cells=len(cells))


def _filled(row: Sequence[str]) -> int:
    return sum(bool(c.strip()) for c in row)


def _titles(grid: list[list[str]], merged: Collection[int], width: int) -> int:
    """Leading rows that one merged cell spans or that are mostly empty, unless they open a two-line header."""
    for i, row in enumerate(grid[:_TITLE_ROWS]):
        if i in merged and width > 1:
            continue
        if _filled(row) >= _TITLE_FILL * width or _opens_two_lines(grid, i, width):
            return i
    return 0


def _opens_two_lines(grid: list[list[str]], i: int, width: int) -> bool:
    if i + 2 >= len(grid):
        return False
    upper, lower, body = grid[i], grid[i + 1], grid[i + 2 : i + 300]
    gaps = [k for k in range(width) if not upper[k].strip()]
    if not gaps or _filled(upper) < 2 or not any(lower[k].strip() for k in gaps):
        return False
    if any(kind(c) in ("number", "date") and not is_year(c) for c in [*upper, *lower]):
        return False
    named = sum(bool(upper[k].strip() or lower[k].strip()) for k in range(width))
    return named >= 0.9 * width and _typed_below(lower, body) > 0


def _typed_below(cells: list[str], body: list[list[str]]) -> int:
    """How many columns hold numbers or dates under a text."""
    kinds = (main_kind(column) for column in zip(*body, strict=True))
    return sum(k in ("number", "date") and bool(c.strip()) for c, k in zip(cells, kinds, strict=True))


def _header(grid: list[list[str]], at: int, width: int, sure: bool) -> tuple[int, list[str], list[ReadFinding]]:
    if _opens_two_lines(grid, at, width):
        return 2, joined(grid[at], grid[at + 1]), [finding("two_line_header")]
    row = grid[at]
    score = header_score(row, [r for r in grid[at + 1 : at + 2000] if r != row])
    if sure:
        return 1, row, [finding("header_of_values")] if score < 0 else []
    if score < 0:
        return 0, [], []
    return 1, row, [] if score > 0 else [finding("header_uncertain")]


def joined(upper: Sequence[str], lower: Sequence[str]) -> list[str]:
    """The names of a header of two rows: `人口` over `男` is `人口/男`; an upper cell holds until the next one."""
    names, above = [], ""
    for top, bottom in zip((c.strip() for c in upper), (c.strip() for c in lower), strict=True):
        above = top or (above if bottom else "")
        names.append(f"{above}/{bottom}" if above and bottom else above or bottom)
    return names


def header_score(row: list[str], body: list[list[str]]) -> float:
    """From −1 (values) to 1 (names): numbers and dates are values, names differ from what stands below them."""
    years = sum(is_year(c) for c in row)
    if any(kind(c) in ("number", "date") and not (years > 1 and is_year(c)) for c in row):
        return -1.0
    if not body:
        return 1.0 if _filled(row) == len(row) else 0.0
    evidence = [
        _evidence(name, column) for name, column in zip(row, zip(*body, strict=True), strict=True) if name.strip()
    ]
    return sum(evidence) / len(evidence) if evidence else -1.0


def _evidence(name: str, column: Sequence[str]) -> float:
    if main_kind(column) in ("number", "date"):
        return 1.0
    below = {c.strip() for c in column if c.strip()}
    if name.strip() in below:
        return -1.0
    if names_something(name):
        return 1.0
    lengths = Counter(len(v) for v in below)
    one_length = len(lengths) == 1 and len(below) > 2 and len(name.strip()) not in lengths
    other_script = bool(below) and name.isascii() != (sum(v.isascii() for v in below) * 2 > len(below))
    return 0.5 if one_length or other_script else 0.0


def _ghost(cells: list[str], body: list[list[str]]) -> bool:
    last_named = bool(cells) and bool(cells[-1].strip())
    return bool(body) and len(body[0]) > 1 and not last_named and not any(r[-1].strip() for r in body)


def _trim(body: list[list[str]]) -> bool:
    """Whether a blank belongs to the delimiter: most cells after the first begin with one."""
    cells = [c for r in body[:2000] for c in r[1:] if c]
    return bool(cells) and sum(c[0] == " " for c in cells) >= 0.5 * len(cells)


def _sections(body: list[list[str]], first_kind: str) -> bool:
    """Lone first cells that open something: two of them, or one that counts what follows (`北京市（92所）`)."""
    alone = [r[0] for r in body[:-1] if _filled(r) == 1 and r[0].strip()]
    found = [c for c in alone if is_section(c, first_kind)]
    sure = len(found) > 1 or any(SECTION.fullmatch(c.strip()) for c in found)
    return sure and len(alone) < 0.5 * len(body)


def is_section(cell: str, first_kind: str) -> bool:
    """A lone first cell unlike the column's other cells; one like them is a record with only its id filled."""
    if first_kind in ("number", "date"):
        return kind(cell) == "text" and not FOOTER.match(cell)
    return SECTION.fullmatch(cell.strip()) is not None


def unique_names(cells: Sequence[str], width: int) -> tuple[list[str], int]:
    """Column names without blanks at the ends, none empty, none twice; and how many had to be changed."""
    given = [re.sub(r"\s+", " ", c.strip().lstrip("\ufeff")) for c in cells] or [""] * width
    given += [""] * (width - len(given))
    names: list[str] = []
    taken: set[str] = set()
    changed = 0
    for i, name in enumerate(given, 1):
        wanted = name or f"column_{i}"
        unique, n = wanted, 2
        while unique.casefold() in taken:
            unique, n = f"{wanted}_{n}", n + 1
        changed += unique != name
        names.append(unique)
        taken.add(unique.casefold())
    return names, changed
