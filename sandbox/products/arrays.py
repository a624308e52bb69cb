"""Arrow arrays of numbers from and to numpy by their buffers: Arrow's own ways there import pandas, which takes longer
than a small product."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

Values = npt.NDArray[Any]
_Given = TypeVar("_Given")
_Found = TypeVar("_Found")
_PIECE = 200_000
"""Members of lists that are worth a thread's while"""
_LONG = 1_000
"""Members of a list, on the average, from which threads get on beside one another: at shorter ones they take turns"""


def values_of(held: pa.Array) -> Values:
    """The numbers of an array, anything where there are none. Those beyond 64 bits are their bytes."""
    import pyarrow as pa

    plain = held.type.bit_width <= 64 and not pa.types.is_decimal(held.type)
    of = held.type.to_pandas_dtype() if plain else f"V{held.type.bit_width // 8}"
    return np.frombuffer(held.buffers()[1], of)[held.offset : held.offset + len(held)]


def column_of(table: pa.Table, name: str) -> Values:
    """The values of a table's column of numbers without missing ones."""
    column = table.column(name)
    return np.concatenate([np.empty(0, column.type.to_pandas_dtype()), *map(values_of, column.chunks)])


def present(held: pa.Array) -> npt.NDArray[np.bool_]:
    """Where an array has a value."""
    bits = held.buffers()[0]
    if bits is None:
        return np.ones(len(held), np.bool_)
    every = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
    return every[held.offset : held.offset + len(held)].astype(np.bool_)


def array_of(values: Values, there: npt.NDArray[np.bool_] | None = None, type_: pa.DataType | None = None) -> pa.Array:
    """Numbers as an array of their own type, or of one that has the same bytes; where one is not `there`, it is
    missing."""
    import pyarrow as pa

    valid = None if there is None or there.all() else np.packbits(there, bitorder="little")
    buffers = [None if one is None else pa.py_buffer(np.ascontiguousarray(one)) for one in (valid, values)]
    return pa.Array.from_buffers(type_ or pa.from_numpy_dtype(values.dtype), len(values), buffers)


def array_of_texts(texts: list[str | None]) -> pa.Array:
    """Texts as an array of strings, None being missing."""
    import pyarrow as pa

    raw = [b"" if text is None else text.encode() for text in texts]
    ends = array_of(np.cumsum([0, *map(len, raw)], dtype=np.int32))
    there = array_of(np.zeros(len(raw), np.int8), np.array([text is not None for text in texts], np.bool_))
    data = [there.buffers()[0], ends.buffers()[1], pa.py_buffer(b"".join(raw))]
    return pa.Array.from_buffers(pa.string(), len(raw), data)


def beside(
    given: Iterable[_Given], work: Callable[[_Given], _Found], *, workers: int = 1, ahead: int = 8
) -> Iterator[_Found]:
    """What `work` finds, in order, while the next is asked for: numbers are put in order and hashed beside a database
    that is busy, or beside one another. At most `ahead` more wait to be looked at."""
    waiting = deque[Future[_Found]]()
    with ThreadPoolExecutor(workers) as pool:
        for one in given:
            waiting.append(pool.submit(work, one))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def pieces(lengths: Iterable[int]) -> list[range]:
    """Places of lists that lie one after another, so many together that they are worth a thread's while; of short lists
    all together."""
    before = np.cumsum([0, *lengths])
    many = len(before) - 1
    if before[-1] < many * _LONG:
        return [range(many)]
    starts = np.flatnonzero(np.diff(before[:-1] // _PIECE, prepend=-1))
    return [range(int(first), int(end)) for first, end in pairwise([*starts, many])]
