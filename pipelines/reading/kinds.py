"""What one cell looks like, for judging the layout; the types of columns are decided elsewhere, over all rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from pipelines.reading.recipe import MISSING

CellKind = Literal["empty", "number", "date", "text"]

_MISSING = frozenset(MISSING)
_NUMBER = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)?(\.\d*)?([eE][+-]?\d+)?%?", re.ASCII)
_DATE = re.compile(
    r"\d{4}([-/.]\d{1,2}[-/.]\d{1,2}|年\d{1,2}月(\d{1,2}日)?)([ T]?\d{1,2}[:时]\d{1,2}.*)?"
    r"|\d{1,2}[/-](\d{1,2}|[A-Z][a-z]{2})[/-]\d{4}.*",
    re.ASCII,
)
_YEAR = re.compile(r"(19|20)\d{2}(年|年度)?", re.ASCII)
_WORDS = re.compile(
    r"名|号|码|代|日|期|时|址|型|类|量|额|率|别|职|备注|省|市|区|县|街道|单位|部门|机构|经度|纬度|内容|标题|来源|电话|年|月|数|价|费|态"
    r"|\b(id|name|code|date|time|type|address|city|title|content|level|year|month|day|count|amount|price|status|sex"
    r"|gender|age|phone|email|url|value|key|number|desc\w*|remark|category|class)\b",
    re.IGNORECASE,
)


def kind(cell: str) -> CellKind:
    """Empty (also a spelling of "missing"), number, date or text."""
    value = cell.strip()
    if value in _MISSING:
        return "empty"
    if _NUMBER.fullmatch(value) and any(c.isdigit() for c in value):
        return "number"
    return "date" if _DATE.fullmatch(value) else "text"


def is_year(cell: str) -> bool:
    """`2019` or `2019年`: a number that may name a column."""
    return _YEAR.fullmatch(cell.strip()) is not None


def names_something(cell: str) -> bool:
    """Whether the text holds a word that column names are made of."""
    return _WORDS.search(cell.replace("_", " ").replace("-", " ")) is not None


def main_kind(cells: Iterable[str], share: float = 0.7) -> CellKind:
    """The kind that at least `share` of the filled cells have; `text` when none has, `empty` when all are empty."""
    counts = Counter(kind(c) for c in cells)
    filled = sum(n for k, n in counts.items() if k != "empty")
    if not filled:
        return "empty"
    for wanted in ("number", "date"):
        if counts[wanted] >= share * filled:
            return wanted
    return "text"
