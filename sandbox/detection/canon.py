"""Canonical text: what a value says once full-width forms, invisible characters and disguises are taken away.

`canonical` keeps, for every character, where it came from, so that a hit can be shown in the original. `views` are
further readings of canonical text (separators removed, Chinese numerals, decoded base64, hexadecimal or URL text):
each is another text in which an identifier may come to light. An identifier found only in a view was disguised.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from sandbox.detection.recognizers import TABLE

if TYPE_CHECKING:
    import polars as pl

# Dashes, look-alikes of X, and the invisible characters that are no format characters (category Cf) in Unicode.
_FOLD: Final = {
    **dict.fromkeys("‐‑‒–—―−﹣－", "-"),
    **dict.fromkeys("ХхΧχ×✕", "X"),
    **dict.fromkeys("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0", ""),
    **{chr(code): "" for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))},
}
# Values without any such character are canonical already: ASCII, ideographs and the plain Chinese full stop and comma.
ODD: Final = r"[^\x00-\x7F\u3001\u3002\u3400-\u4DBF\u4E00-\u9FFF]"
_OUTER: Final = " \t\r\n\f\v\x85\u2028\u2029"
WHOLE_FLOAT: Final = r"^([0-9]{10,19})\.0+$"  # an integer that went through a float column

JOINABLE: Final = r"[0-9][\s._/\\,:|·\-]{1,3}[0-9Xx]"
_JOINTS: Final = r"[\s._/\\,:|·\-]{1,3}"
_NUMERALS: Final = {
    **dict(zip("〇零○一二三四五六七八九", "000123456789", strict=True)),
    **dict(zip("壹贰叁肆伍陆柒捌玖幺貳參陸", "1234567891236", strict=True)),
}
NUMERALS: Final = rf"[{''.join(_NUMERALS)}0-9Xx]{{11,}}"
NUMERAL_CHARACTER: Final = rf"[{''.join(_NUMERALS)}]"
_NUMERAL: Final = re.compile(NUMERAL_CHARACTER)
# Base64 of ASCII text has a top bit of zero in every byte: one random group in eight looks so.
BASE64_TEXT: Final = r"(?:[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_\-]){3}"
HEX_TEXT: Final = r"(?:3[0-9]){11,}(?:[57]8)?"
PERCENT: Final = r"%[0-9A-Fa-f]{2}"
ENCODED: Final = f"{BASE64_TEXT}|{HEX_TEXT}|{PERCENT}"
STRONG: Final = "(?i)" + "|".join(f"(?:{row.core})" for row in TABLE if row.through_disguise)
_BASE64_TOKEN: Final = re.compile(r"[A-Za-z0-9+/_\-]{12,}={0,2}")
_URL_TOKEN: Final = re.compile(rf"[!-$&-~]*{PERCENT}[!-~]*")
_HEX_TOKEN: Final = re.compile(HEX_TEXT)


@dataclass(frozen=True, slots=True)
class Canonical:
    """Canonical `text`; `origin[i]` is the index in the original of the character at `i`, and one more for the end."""

    text: str
    origin: tuple[int, ...] | range

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Half-open span in the original of a non-empty half-open span of the canonical text."""
        return self.origin[start], self.origin[end - 1] + 1


@dataclass(frozen=True, slots=True)
class View:
    """One further reading. `strong_only`: only shapes with a strong check are looked for in it.

    `origin[i]` is the index in the canonical text of the character at `i`; a decoded token has none and is pointed at
    as a whole.
    """

    name: str
    text: str
    origin: tuple[int, ...] | range | None
    strong_only: bool = False
    token: tuple[int, int] = (0, 0)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Half-open span in the canonical text of a non-empty half-open span of this view."""
        return self.token if self.origin is None else (self.origin[start], self.origin[end - 1] + 1)


@cache
def _fold(char: str) -> str:
    """The canonical form of one character: NFKC, format characters dropped, every Unicode digit as ASCII."""
    out = []
    for c in unicodedata.normalize("NFKC", char):
        if c in _FOLD:
            out.append(_FOLD[c])
        elif unicodedata.category(c) == "Cf":
            continue
        elif (digit := unicodedata.digit(c, None)) is not None:
            out.append(str(digit))
        else:
            out.append(" " if unicodedata.category(c) == "Zs" else c)
    return "".join(out)


def canonical(text: str) -> Canonical:
    """Canonical form of any text, with the way back."""
    if text.isascii():
        return Canonical(text, range(len(text)))
    pieces: list[str] = []
    origin: list[int] = []
    for index, char in enumerate(text):
        folded = char if char.isascii() else _fold(char)
        pieces.append(folded)
        origin.extend([index] * len(folded))
    return Canonical("".join(pieces), tuple(origin))


def canonical_cell(value: str) -> str:
    """Canonical form of one cell: outer white space off, a whole float as an integer."""
    return re.sub(WHOLE_FLOAT, r"\1", canonical(value).text.strip(_OUTER))


def canonical_values(values: pl.Series) -> pl.Series:
    """Column form of `canonical_cell`."""
    import polars as pl

    # Characters are few and values many: one pass over the distinct odd characters gives the whole mapping.
    odd = values.str.contains(ODD)
    if odd.any():
        rest = values.filter(odd)
        chars = rest.str.extract_all(ODD).list.explode(empty_as_null=False).unique().to_list()
        mapping = {c: _fold(c) for c in chars if c is not None}
        folded = rest.str.replace_many(list(mapping), list(mapping.values()))
        values = values.clone().scatter(odd.arg_true(), folded)  # scatter writes into the column it is called on
    bare = values.str.strip_chars(_OUTER).cast(pl.String)
    floats = bare.str.contains(WHOLE_FLOAT)
    return bare.str.replace(WHOLE_FLOAT, "${1}") if floats.any() else bare


def views(text: str) -> Iterator[View]:
    """Further readings of canonical text, one decoding deep."""
    if re.search(JOINABLE, text):
        yield from _joined(text)
    if any(_NUMERAL.search(run) for run in re.findall(NUMERALS, text)):
        yield View("numerals", _numerals(text), range(len(text)))
    for token in _URL_TOKEN.finditer(text):
        yield from _decoded("url", token, unquote_to_bytes)
    for token in _HEX_TOKEN.finditer(text):
        yield from _decoded("hex", token, binascii.unhexlify)
    if re.search(BASE64_TEXT, text):
        for token in _BASE64_TOKEN.finditer(text):
            yield from _decoded("base64", token, _from_base64)


def _joined(text: str) -> Iterator[View]:
    gone = [False] * len(text)
    for joint in re.finditer(_JOINTS, text):
        gone[joint.start() : joint.end()] = [True] * (joint.end() - joint.start())
    origin = tuple(i for i, dropped in enumerate(gone) if not dropped)
    joined = "".join(text[i] for i in origin)
    if re.search(STRONG, joined):
        yield View("joined", joined, origin, strong_only=True)


def _numerals(text: str) -> str:
    digits = lambda run: "".join(_NUMERALS.get(c, c) for c in run[0])  # noqa: E731
    return re.sub(NUMERALS, digits, text)


def _from_base64(token: str) -> bytes:
    plain = token.rstrip("=").replace("-", "+").replace("_", "/")
    plain = plain[: len(plain) - (len(plain) % 4 == 1)]
    return base64.b64decode(plain + "=" * (-len(plain) % 4))


def _decoded(name: str, token: re.Match[str], decode: Callable[[str], bytes]) -> Iterator[View]:
    try:
        text = decode(token[0]).decode("utf-8")
    except (ValueError, binascii.Error):
        return
    text = canonical(text).text
    if text and text != token[0] and all(c.isprintable() or c.isspace() for c in text):
        yield View(name, text, None, token=token.span())


def join_values(values: pl.Series) -> pl.Series:
    """Column form of the `joined` view's text, for the funnel's pre-filter."""
    return values.str.replace_all(_JOINTS, "")
