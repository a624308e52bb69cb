"""Arrow arrays of numbers from and to numpy by their buffers: Arrow's own ways there import pandas, which takes longer
than a small product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

Values = npt.NDArray[Any]


def values_of(held: pa.Array) -> Values:
    """The numbers of an array, anything where there are none. Those beyond 64 bits are their bytes."""
    import pyarrow as pa

    plain = held.type.bit_width <= 64 and not pa.types.is_decimal(held.type)
    of = held.type.to_pandas_dtype() if plain else f"V{held.type.bit_width // 8}"
    return np.frombuffer(held.buffers()[1], of)[held.offset : held.offset + len(held)]


def present(held: pa.Array) -> npt.NDArray[np.bool_]:
    """Where an array has a value."""
    bits = held.buffers()[0]
    if bits is None:
        return np.ones(len(held), np.bool_)
    every = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
    return every[held.offset : held.offset + len(held)].astype(np.bool_)


def array_of(values: Values, there: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Numbers as an array of their own type; where one is not `there`, it is missing."""
    import pyarrow as pa

    valid = None if there is None or there.all() else np.packbits(there, bitorder="little")
    buffers = [None if one is None else pa.py_buffer(one.tobytes()) for one in (valid, values)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), buffers)


def array_of_texts(texts: list[str | None]) -> pa.Array:
    """Texts as an array of strings, None being missing."""
    import pyarrow as pa

    raw = [b"" if text is None else text.encode() for text in texts]
    ends = array_of(np.cumsum([0, *map(len, raw)], dtype=np.int32))
    there = array_of(np.zeros(len(raw), np.int8), np.array([text is not None for text in texts], np.bool_))
    data = [there.buffers()[0], ends.buffers()[1], pa.py_buffer(b"".join(raw))]
    return pa.Array.from_buffers(pa.string(), len(raw), data)
