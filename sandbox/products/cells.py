"""The cell table: for every cell and partial, who is behind it and with how much."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import polars as pl
from pyroaring import BitMap

from sandbox.products.entities import Codes

CELL_SCHEMA = {
    "cell": pl.UInt32, "measure": pl.String, "part": pl.String, "op": pl.String, "n": pl.UInt32,
    "n_non_missing": pl.UInt64, "n_non_zero": pl.UInt32, "n_informative": pl.UInt32, "change_share": pl.Float64,
    "x1": pl.Float64, "x2": pl.Float64, "x_total": pl.Float64, "n_min": pl.UInt32, "n_max": pl.UInt32,
    "n_below": pl.UInt32, "n_above": pl.UInt32, "bitmap": pl.String,
}  # fmt: skip
"""Cell table: one row per cell and partial.

`cell` is the row number in the product (margins included); `n` distinct entities with a value, `n_non_missing` rows
with a value, `n_non_zero` entities whose contribution is not zero. `n_informative` is the smallest number, other than
zero, of entities moved by perturbing one column (0: no column moves anybody; missing: nothing could be perturbed), and
`change_share` the largest share that one entity has in the amounts moved by one column. `x1` ≥ `x2` are the largest
absolute contributions after merging holdings and `x_total` their sum (all rows without a key count as one contributor
and as no entity). `n_min` and `n_max` are the entities that hold the smallest or largest value (minimum, maximum),
`n_below` and `n_above` those with a value on either side of a quantile; missing for other measures. `bitmap` is the
digest of the entity set."""


def packed(owners: Sequence[int] | Codes) -> tuple[str, bytes]:
    """(digest, bytes) of a set of entity codes. The digest is over the sorted codes, so it names the set itself."""
    ids = np.unique(np.asarray(owners, dtype=np.uint32))
    bitmap = BitMap(ids)
    bitmap.run_optimize()
    return hashlib.sha256(ids.astype("<u4").tobytes()).hexdigest()[:32], bitmap.serialize()
