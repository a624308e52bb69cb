"""Random streams: one `SeedSequence` child for every table, column and chunk."""

from __future__ import annotations

from zlib import crc32

import numpy as np


class Streams:
    """Independent generators by name. Adding a column does not change the values of another."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def rng(self, table: str, column: str, chunk: int = 0) -> np.random.Generator:
        """The generator of one column of one chunk; the same names always give the same stream."""
        key = (crc32(table.encode()), crc32(column.encode()), chunk)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
