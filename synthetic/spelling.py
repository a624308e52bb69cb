"""One spelling for a value that can be written in many ways: 138-0013-8000, １３８００１３８０００, 王 芳."""

from __future__ import annotations

import polars as pl

_GROUPED = frozenset({"resident_id", "mobile", "landline", "uscc", "bank_card", "plate", "person_name"})


def wide(values: pl.Series) -> pl.Series:
    """Full-width forms made plain (NFKC), letters large."""
    return values.cast(pl.String).str.normalize("NFKC").str.to_uppercase()


def plain(values: pl.Series, semantic: str) -> pl.Series:
    """The values as the platform compares them; missing stays missing.

    Numbers, plates and names lose blanks, dashes, dots, brackets and the country code 86; elsewhere dashes and case may
    tell two values apart, so only form and blanks go.
    """
    if semantic not in _GROUPED:
        return values.cast(pl.String).str.normalize("NFKC").str.replace_all(r"\s", "")
    return wide(values).str.replace_all(r"[\s\-_·•.()]", "").str.replace(r"^(\+|00)86", "")
