"""Simulated tables of any size straight into a file: flat memory, and nothing to see before the gates have spoken."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from policies.verdict import Outcome, Verdict
from synthetic.fields import Field
from synthetic.manifest import public
from synthetic.simulate import simulate_into


class ParquetSink:
    """Collects batches under a temporary name beside `path`; `publish` marks the file and gives it its name."""

    def __init__(self, path: Path) -> None:
        self._path, self._part = path, path.with_name(f".{path.name}.part")
        self._writer: Any = None

    def __enter__(self) -> ParquetSink:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *raised: object) -> None:
        self.begin()

    def begin(self) -> None:
        """Drop what was taken so far."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._part.unlink(missing_ok=True)

    def take(self, frame: pl.DataFrame) -> None:
        """Append one row group."""
        import pyarrow.parquet as pq

        table = frame.to_arrow()
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._part, table.schema.remove_metadata())
        self._writer.write_table(table.cast(self._writer.schema))

    def publish(self, metadata: Mapping[str, str]) -> Path:
        """Close the file with `metadata` in it and move it to its name."""
        self._writer.add_key_value_metadata(dict(metadata))
        self._writer.close()
        self._writer = None
        self._part.replace(self._path)
        return self._path


def simulate_file(
    out: Path, frame: pl.DataFrame, fields: Sequence[Field], *, name: str = "table", **asked: Any
) -> tuple[Path | None, dict[str, Any], Verdict]:
    """`simulate` for any number of rows into `<name>_仿真数据.parquet` in the folder `out`; the same rows by seed.

    Args:
        asked: rows, seed, engine, policy, constraints, parents, given and progress of `simulate_into`.

    Returns:
        The file with its manifest, and the verdict. No file where the verdict blocks, where something fails or where
        `progress` cancels: the temporary one is removed.
    """
    with ParquetSink(out / f"{name}_仿真数据.parquet") as sink:
        manifest, verdict = simulate_into(sink, frame, fields, name=name, **asked)
        if verdict.outcome not in (Outcome.PASS, Outcome.REVIEW):
            return None, manifest, verdict
        text = json.dumps(public(manifest), ensure_ascii=False, sort_keys=True)
        path = sink.publish({"mark": manifest["mark"], "simulated": "true", "manifest": text})
    return path, manifest, verdict
