"""GB18030 to UTF-8 by two hands: Python's codec alone is the oracle."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.reading import gbk
from pipelines.reading.transcode import _TOLERANT

PAIRS = [bytes((first, second)) for first in range(0x80, 0x100) for second in range(0x100)]
FOURS = [
    bytes((first, second, third, fourth))
    for first in (*range(0x81, 0x86), *range(0x8F, 0x92), 0xE3, 0xFD, 0xFE)
    for second in range(0x30, 0x3A)
    for third in (*range(0x81, 0xFF, 5), 0xFE)
    for fourth in (0x2F, 0x30, 0x35, 0x39, 0x3A)
]
pieces = st.one_of(
    st.text("甲乙丙€·—丂ABC,\n\r", max_size=8).map(lambda t: t.encode("gb18030")),
    st.text(max_size=3).map(lambda t: t.encode("gb18030", "ignore")),
    st.sampled_from([b"\x80", b"\xff", b"\x81", b"\x810", b"\x810\x81", b"\xa2\xe3", b"\xfe\x80", b"\n", b"\x80\n"]),
    st.binary(max_size=4),
)


def expected(text: bytes) -> bytes:
    """What Python's codec alone makes of it."""
    return text.decode("gb18030", _TOLERANT).encode("utf-8", "surrogateescape")


def converted(text: bytes, cuts: list[int]) -> bytes:
    decoder = gbk.Decoder(_TOLERANT)
    places = sorted({0, len(text), *(c % (len(text) + 1) for c in cuts)})
    told = [decoder.decode(text[a:b]) for a, b in pairwise(places)]
    return b"".join([*told, decoder.decode(b"", final=True)])


@pytest.mark.parametrize("sequences", [PAIRS, FOURS], ids=["pairs", "fours"])
def test_every_sequence_becomes_what_it_becomes_by_python_alone(sequences: list[bytes]) -> None:
    text = b"".join(b"\xbc\xd7" + one + b"a\xd2\xd2\n" for one in sequences)
    assert converted(text, []) == expected(text)


@given(st.lists(pieces, max_size=12).map(b"".join), st.lists(st.integers(0, 100), max_size=4))
def test_any_bytes_cut_anywhere_become_what_they_become_by_python_alone(text: bytes, cuts: list[int]) -> None:
    assert converted(text, cuts) == expected(text)


@given(st.lists(pieces, max_size=12).map(b"".join), st.lists(st.integers(0, 100), max_size=4))
def test_it_is_the_same_where_the_c_library_has_no_such_table(text: bytes, cuts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gbk, "_library", lambda: None)
        assert converted(text, cuts) == expected(text)


def test_a_library_whose_table_differs_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gbk, "_characters", lambda: "ༀ甲".encode("gb18030"))  # four bytes, no part of GBK
    assert gbk._library.__wrapped__() is None
