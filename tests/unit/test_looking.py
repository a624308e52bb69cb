"""What is shown of raw text: its shape, never a value."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.catalog.looking import shape


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("11010519491231002X,王小明,男", "00000000000000000a,某某某,某"),
        ('"a;b"\t13800138000', '"a;a"\t00000000000'),
        ("粤A·12345", "某a·00000"),
        ("１３８００１３８０００", "00000000000"),
        ("ⅣÉé", "0某某"),
        ("", ""),
    ],
)
def test_shape_keeps_signs_and_widths_only(raw: str, shown: str) -> None:
    assert shape(raw) == shown


@given(st.text())
def test_no_letter_or_digit_survives(raw: str) -> None:
    masked = shape(raw)
    assert {c for c in masked if unicodedata.category(c)[0] in "LNM"} <= {"0", "a", "某"}
    assert len(masked) == len(unicodedata.normalize("NFC", raw))
