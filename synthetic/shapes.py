"""Does a text that came from outside look like somebody's identifier, or like more than a text?

The pools have recognisers of their own elsewhere; this is the coarse sieve for vocabularies, templates and catalogue
words: it may refuse too much, it must not let an identifier through. It knows shapes only, no checksum: a wrong check
digit does not make a number harmless.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_MOST_DIGITS = 6
"""digits in one text, separators left out; a telephone number has seven at least"""
_DATE = re.compile(  # no digit beside it, not even behind a separator: 138-1990-0101 is a telephone number
    r"(?<!\d)(?<!\d[-/. ])(?:19|20)\d{2}[-/.年]?(?:0?[1-9]|1[0-2])[-/.月]?(?:0?[1-9]|[12]\d|3[01])日?(?![-/. ]?\d)"
)
_SHAPES = re.compile(
    r"@"
    r"|[A-Z]{1,2}\d{6}"  # passports, permits, identity cards of Hong Kong and Taiwan
    r"|[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-Z][ ·.\-]?[0-9A-Z]{4,6}"
    r"|(?=[0-9A-Z\-]*\d)[0-9A-Z]{8}-?[0-9X]"  # organisation codes, and with them credit codes and VINs
    r"|(?:[0-9A-F]{2}[:\-]){5}[0-9A-F]{2}"
    r"|\d{1,3}(?:\.\d{1,3}){3}"
    r"|(?:[0-9A-F]{1,4}:){4}"
    r"|\d{1,3}\.\d{4,}"  # a coordinate
)
_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def identifying(text: str) -> bool:
    """Whether some part of `text` has the shape of an identifier, in whatever width, case and spacing it is written."""
    plain = unicodedata.normalize("NFKC", text).upper()
    plain = "".join(c for c in plain if unicodedata.category(c)[0] != "C")
    undated = _DATE.sub(" ", plain)
    return sum(c.isdigit() for c in undated) > _MOST_DIGITS or bool(
        _SHAPES.search(undated) or _SHAPES.search(re.sub(r"(?<=[0-9A-Z])[ _](?=[0-9A-Z])", "", undated))
    )


def unsafe(text: str) -> bool:
    """Whether `text` is no plain text: control or invisible characters, or what a spreadsheet takes for a formula."""
    return text.startswith(_FORMULA) or any(unicodedata.category(c) in _INVISIBLE for c in text)


def first_refused(texts: Iterable[str]) -> int | None:
    """The place of the first text that may not be used; the text itself is never repeated in a message."""
    return next((place for place, text in enumerate(texts) if identifying(text) or unsafe(text)), None)
