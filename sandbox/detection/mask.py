"""A value as evidence: enough to recognise the kind, not the person."""

from __future__ import annotations

import re
from typing import Final

_HAN: Final = r"[\u3400-\u4dbf\u4e00-\u9fff]"


def mask(value: str) -> str:
    """A value as evidence: Chinese text keeps its first character (姓*), other text at most the first three and last
    two characters and never more than a third of them. Anything up to four characters is hidden whole."""
    text = value.strip()
    if re.search(_HAN, text):
        return text[0] + "*" * min(3, max(1, len(text) - 1)) if re.match(_HAN, text) else "***"
    head, tail = (min(3, len(text) // 5), min(2, len(text) // 8)) if len(text) > 4 else (0, 0)
    return text[:head] + "*" * min(24, max(3, len(text) - head - tail)) + text[len(text) - tail :]
