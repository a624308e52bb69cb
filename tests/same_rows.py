"""Equality of two results in plain Python, as the proofs mean it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any


def same_rows(left: Sequence[tuple[Any, ...]], right: Sequence[tuple[Any, ...]], keys: int) -> bool:
    """Whether two results in the same order are equal: keys, counts and decimals exactly, floats to 1e-9 relative."""
    return len(left) == len(right) and all(
        a[:keys] == b[:keys] and all(map(same_value, a[keys:], b[keys:])) for a, b in zip(left, right, strict=True)
    )


def same_value(a: Any, b: Any) -> bool:
    """Equal values; two missing ones are equal, and so are two NaN."""
    if isinstance(a, float) or isinstance(b, float):
        if a is None or b is None:
            return a is b
        return math.isclose(a, b, rel_tol=1e-9) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, Decimal) or isinstance(b, Decimal):
        return a is not None and b is not None and Decimal(a) == Decimal(b)
    return bool(a == b)
