"""数据湖: versioned tables on Delta Lake, every version immutable, readable by any engine through its Parquet files."""

from __future__ import annotations

from sandbox.lake.lake import Lake

__all__ = ["Lake"]
