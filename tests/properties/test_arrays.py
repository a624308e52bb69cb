"""Arrow arrays made and read by their buffers are what Arrow's own ways make and read, to the byte."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.products import arrays
from sandbox.products.arrays import array_of, array_of_texts, present, values_of

INT64 = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.one_of(
    st.tuples(st.just(pa.int64()), st.lists(st.none() | INT64)),
    st.tuples(st.just(pa.uint32()), st.lists(st.none() | st.integers(0, 2**32 - 1))),
    st.tuples(st.just(pa.float64()), st.lists(st.none() | st.floats())),
    st.tuples(st.just(pa.float64()), st.lists(st.floats(), max_size=3)),
)


def stream(held: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    batch = pa.RecordBatch.from_arrays([held], names=["c"])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


@settings(deadline=None)
@given(NUMBERS, st.integers(0, 5), st.integers(0, 5))
def test_numbers_go_to_arrow_and_back(given_: tuple[pa.DataType, list[Any]], start: int, end: int) -> None:
    form, values = given_
    theirs = pa.array(values, form)
    there = np.array([v is not None for v in values], np.bool_)
    ours = array_of(np.array([0 if v is None else v for v in values], form.to_pandas_dtype()), there)
    ours.validate(full=True)
    assert ours.type == form and stream(ours) == stream(theirs)
    part = theirs[start : len(theirs) - end] if start + end <= len(theirs) else theirs[:0]
    assert present(part).tolist() == part.is_valid().to_pylist()
    assert values_of(part)[present(part)].tobytes() == part.drop_null().to_numpy().tobytes()


@settings(deadline=None)
@given(st.lists(st.none() | st.text()))
def test_texts_go_to_arrow(texts: list[str | None]) -> None:
    ours = array_of_texts(texts)
    ours.validate(full=True)
    assert stream(ours) == stream(pa.array(texts, pa.string()))


def test_what_is_beyond_64_bits_is_its_bytes() -> None:
    held = pa.array([5, None, -1], pa.decimal128(38, 0))
    raw = values_of(held)
    assert raw[0].tobytes() == (5).to_bytes(16, "little") and raw[2].tobytes() == b"\xff" * 16


def test_nothing_of_it_imports_pandas() -> None:
    text = (
        "import sys, numpy as np; from sandbox.products import arrays, evidence_values as v;"
        "held = arrays.array_of(np.arange(9), np.arange(9) > 3); arrays.values_of(held); arrays.present(held);"
        "v.digest_of([('n', ['区', '数', '均'], [('东', 1, 0.5), (None, None, None)], [0, 0])]);"
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == 0


@given(st.lists(st.integers(0, 9), max_size=12))
def test_pieces_are_all_places_in_order_and_what_is_found_of_them_too(lengths: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        assert arrays.pieces(lengths) == ([range(len(lengths))] if lengths else [])
        patch.setattr(arrays, "_LONG", 0)
        patch.setattr(arrays, "_PIECE", 5)
        cut = arrays.pieces(lengths)
    assert [k for piece in cut for k in piece] == [*range(len(lengths))]
    assert all(sum(lengths[k] for k in piece[:-1]) < 5 for piece in cut)
    found = arrays.beside(cut, lambda piece: [lengths[k] for k in piece], workers=2, ahead=1)
    assert [n for piece in found for n in piece] == lengths


def test_what_goes_wrong_beside_goes_wrong() -> None:
    with pytest.raises(ZeroDivisionError):
        list(arrays.beside([2, 1, 0, 3], lambda n: 6 // n))
