"""The recipient's mark: which of equally valid spellings a released file uses, chosen by a secret key of the release.

No value changes. In a CSV a cell is quoted or not (RFC 4180 gives both one meaning), and where a column has a fixed
number of decimals a number may carry one more zero; in plain text and Markdown a line ends with one blank or with none.
Each choice depends on the key and on what the cell or line itself says, never on its place, so what is left after
columns or rows were deleted, sorted or moved still shows it. Taking the mark off gives the reviewed bytes back.

What it does not survive: a spreadsheet or data frame that writes the table anew (quotes and zeros go), rounding, a
photograph. A copy without the mark is compared by its content only (`contained`), which names every release with the
same rows. Other forms (images, PDF, office files, models) are not marked.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

CERTAIN = 1e-6
"""Chance of naming a wrong recipient, over all releases asked about, below which the mark names one."""

_BOM = b"\xef\xbb\xbf"
_DECIMAL = re.compile(r"-?\d+\.(\d+)")
_PLAIN = re.compile(r'[^",\r\n]+')
_TEXTS = (".txt", ".md")

Rows = list[list[str]]


def key_of(secret: bytes, release: str, organisation: str) -> bytes:
    """The key of one release to one organisation; without the platform's secret nobody can make it."""
    return hmac.new(secret, f"{release}:{organisation}".encode(), hashlib.sha256).digest()


def name_of(key: bytes) -> str:
    """What the manifest calls a mark: says nothing about the choices."""
    return hmac.new(key, b"name", hashlib.sha256).hexdigest()[:16]


def marked(name: str, content: bytes, key: bytes) -> bytes:
    """`content` in the spelling of `key`; unchanged where the form has no spellings to choose from."""
    if name.casefold().endswith(".csv"):
        made = _marked_table(content, key)
    elif name.casefold().endswith(_TEXTS):
        made = _marked_lines(content, key)
    else:
        return content
    return made if made is not None and unmarked(name, made) == content else content


def unmarked(name: str, content: bytes) -> bytes:
    """The reviewed bytes behind a marked file; bytes without a mark stay as they are."""
    try:
        if name.casefold().endswith(".csv"):
            rows = [[cell.text for cell in row] for row in _cells(content)]
            for column, digits in _fixed(rows).items():
                for row in rows[1:]:
                    found = _DECIMAL.fullmatch(row[column]) if column < len(row) else None
                    if found and len(found.group(1)) > digits:
                        row[column] = row[column][:-1]
            return _written(rows, content.startswith(_BOM))
        if name.casefold().endswith(_TEXTS):
            return b"\n".join(line[:-1] if line.endswith(b" ") else line for line in content.split(b"\n"))
    except (UnicodeDecodeError, ValueError):
        pass
    return content


def _choice(key: bytes, channel: str, said: str) -> bool:
    return bool(hmac.new(key, f"{channel}|{said}".encode(), hashlib.sha256).digest()[0] & 1)


def _marked_lines(content: bytes, key: bytes) -> bytes | None:
    lines = content.split(b"\n")
    if any(line.endswith((b" ", b"\r")) for line in lines):
        return None
    return b"\n".join(
        line + b" " if line and _choice(key, "line", line.decode("utf-8", "replace")) else line for line in lines
    )


def _marked_table(content: bytes, key: bytes) -> bytes | None:
    try:
        rows = [[cell.text for cell in row] for row in _cells(content)]
    except (UnicodeDecodeError, ValueError):
        return None
    if _written(rows, content.startswith(_BOM)) != content:
        return None  # not as the platform writes tables: a mark could not be taken off again
    if len({len(row) for row in rows}) > 1:
        return None
    for column, digits in _fixed(rows, slack=0).items():
        longer = [_longer(row[column], key) for row in rows[1:]]
        decimals = [len(m.group(1)) for m in map(_DECIMAL.fullmatch, longer) if m]
        if decimals and min(decimals) == digits:  # one cell has to keep the number of decimals
            for row, text in zip(rows[1:], longer, strict=True):
                row[column] = text
    lines = [",".join(map(_minimal, rows[0]))] if rows else []
    lines += [",".join(_spelled(text, key) for text in row) for row in rows[1:]]
    return (_BOM if content.startswith(_BOM) else b"") + "".join(line + "\n" for line in lines).encode()


def _longer(text: str, key: bytes) -> str:
    return text + "0" if _DECIMAL.fullmatch(text) and _choice(key, "zero", _number(text) or text) else text


def _spelled(text: str, key: bytes) -> str:
    """A cell quoted or not. An empty one is left: to some readers a quoted empty cell is a text and not a gap."""
    return f'"{text}"' if _PLAIN.fullmatch(text) and _choice(key, "quote", _said(text)) else _minimal(text)


def _minimal(text: str) -> str:
    return text if not text or _PLAIN.fullmatch(text) else '"' + text.replace('"', '""') + '"'


def _written(rows: Rows, bom: bool) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return (_BOM if bom else b"") + buffer.getvalue().encode()


def _fixed(rows: Rows, slack: int = 1) -> dict[int, int]:
    """Columns whose decimals all have one length (or one more, with `slack`), and that length."""
    found: dict[int, set[int]] = defaultdict(set)
    for row in rows[1:]:
        for column, text in enumerate(row):
            match = _DECIMAL.fullmatch(text)
            if match:
                found[column].add(len(match.group(1)))
    return {c: min(lengths) for c, lengths in found.items() if max(lengths) - min(lengths) <= slack}


def _said(text: str) -> str:
    """What a cell says whatever zeros it ends with."""
    return _number(text) or text.strip()


def _number(text: str) -> str | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return format(value.normalize(), "f") if value.is_finite() else None


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    quoted: bool


def _cells(content: bytes) -> list[list[_Cell]]:
    """The cells of a CSV with comma, semicolon or tab, and whether each was quoted. Raises `ValueError` for no CSV."""
    text = content.decode("utf-8-sig").replace("\r\n", "\n")
    first = text.split("\n", 1)[0]
    comma = max(",;\t", key=first.count)
    pattern = re.compile(rf'(?:"((?:[^"]|"")*)"|([^{comma}"\n]*))({comma}|\n|\Z)')
    rows: list[list[_Cell]] = [[]]
    at = 0
    while at < len(text):
        found = pattern.match(text, at)
        if found is None:
            raise ValueError("no table")
        quoted, plain, end = found.groups()
        rows[-1].append(_Cell(plain if quoted is None else quoted.replace('""', '"'), quoted is not None))
        at = found.end()
        if end == "\n":
            rows.append([])
        elif not end:
            break
    return [row for row in rows if row]


# ---- whose copy is this ----


@dataclass(frozen=True, slots=True)
class Match:
    """What a found copy has of one release: rows (0–1), spellings compared and agreeing, chance that they agree so
    often by accident (all releases asked about counted)."""

    release: str
    rows: float
    compared: int
    agreeing: int
    chance: float

    @property
    def certain(self) -> bool:
        return self.chance <= CERTAIN


@dataclass(frozen=True, slots=True)
class Released:
    """A release as it may be recognised: its key and its files as they left."""

    release: str
    key: bytes
    files: Mapping[str, bytes]


def trace(copy: bytes, releases: Sequence[Released]) -> list[Match]:
    """Every release that `copy` may come from, likeliest first: by its mark, and by rows it has in common."""
    said = list(_observed(copy))
    rows = _values(copy)
    found = []
    for one in releases:
        agreeing = sum(_choice(one.key, channel, text) == chosen for channel, text, chosen in said)
        chance = min(1.0, len(releases) * _tail(len(said), agreeing))
        held = max((contained(rows, _values(content)) for content in one.files.values()), default=0.0)
        if chance <= CERTAIN or held > 0.5:
            found.append(Match(one.release, round(held, 4), len(said), agreeing, chance))
    return sorted(found, key=lambda m: (m.chance, -m.rows))


def _observed(copy: bytes) -> Iterator[tuple[str, str, bool]]:
    """Channel, what is said, and the spelling used (by majority where a copy has both), for each thing said once."""
    seen: dict[tuple[str, str], Counter[bool]] = defaultdict(Counter)
    try:
        cells = _cells(copy)
    except (UnicodeDecodeError, ValueError):
        cells = []
    widths = _fixed([[c.text for c in row] for row in cells])
    for row in cells[1:]:  # a header is not marked
        for column, cell in enumerate(row):
            if _PLAIN.fullmatch(cell.text):
                seen["quote", _said(cell.text)][cell.quoted] += 1
            match = _DECIMAL.fullmatch(cell.text)
            if match and column in widths:
                seen["zero", _number(cell.text) or cell.text][len(match.group(1)) > widths[column]] += 1
    for line in copy.split(b"\n"):
        if line.strip():
            seen["line", line.rstrip().decode("utf-8", "replace")][line.endswith(b" ")] += 1
    live = {channel for (channel, _), chosen in seen.items() if len(chosen) > 1 or chosen[True]}
    for (channel, text), chosen in seen.items():
        if channel in live:  # a channel without any choice in it was wiped
            yield channel, text, chosen[True] > chosen[False]


def _tail(n: int, agreeing: int) -> float:
    """Chance that at least `agreeing` of `n` fair coins agree."""
    return sum(math.comb(n, k) for k in range(agreeing, n + 1)) / 2**n if n else 1.0


def _values(content: bytes) -> list[Counter[str]]:
    """The rows as what they say, without order; the lines of a text where it is no table."""
    try:
        cells = _cells(content)
    except (UnicodeDecodeError, ValueError):
        return [Counter([line.strip()]) for line in content.decode("utf-8", "replace").split("\n") if line.strip()]
    return [Counter(_said(c.text) for c in row if c.text) for row in cells[1:]]


def contained(rows: Sequence[Counter[str]], others: Sequence[Counter[str]]) -> float:
    """Share of `rows` that are part of some row of `others`: columns may be missing and moved, rows too."""
    index: dict[str, list[Counter[str]]] = defaultdict(list)
    for other in others:
        for value in other:
            index[value].append(other)
    kept = [row for row in rows if row]
    hits = sum(any(row <= other for other in min((index[v] for v in row), key=len)) for row in kept)
    return hits / len(kept) if kept else 0.0
