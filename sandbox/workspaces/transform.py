"""Runs one script step of a job inside the jail: named tables in, one table out, and not a word about it.

The script shares the process with this module, so the file it leaves and the report are the merchant's own word: the
file is read only in another jail, and of the report `run.py` believes no more than "done" or "failed".
"""

from __future__ import annotations

import os
import traceback
from typing import Any

from sandbox.workspaces import guard
from sandbox.workspaces.inside import Setting
from sandbox.workspaces.protocol import Channel

_FILE = "step.py"
_POOLS = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_MAX_THREADS")


class NoResult(Exception):
    """The script ended without leaving a table in `result`."""


def run(setting: Setting, data: Channel, control: Channel) -> None:
    """Run `extra["script"]` with `tables` (name → Parquet path, as while developing); write what it leaves in
    `result`."""
    os.environ.update(dict.fromkeys(_POOLS, str(setting.limits.threads)))
    try:
        found: dict[str, Any] = {"__name__": "__main__", "tables": dict(setting.tables)}
        exec(compile(setting.extra["script"], _FILE, "exec"), found)  # noqa: S102 — this is the task
        _write(found.get("result"), f"{setting.output}/0.parquet")
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        data.send({"is": "failed", "step": 1, "error": _told(error, setting.mode)}, _full(error))
        return
    data.send({"is": "done", "step": 1, "outputs": [{"name": setting.extra["outputs"][0], "schema": [], "rows": 0}]})


def _write(result: Any, file: str) -> None:
    """`result` as Parquet; a polars, pandas or Arrow table. Types and names are the caster's business, not ours."""
    import pyarrow.parquet as pq

    kind = f"{type(result).__module__.partition('.')[0]}.{type(result).__name__}"
    if kind == "polars.LazyFrame":
        result = result.collect()
    if kind in ("polars.LazyFrame", "polars.DataFrame"):
        result = result.to_arrow()
    elif kind == "pandas.DataFrame":
        import pyarrow as pa

        result = pa.Table.from_pandas(result, preserve_index=False)
    elif kind != "pyarrow.Table":
        raise NoResult(f"result is {type(result).__name__}, not a table")
    pq.write_table(result, file)


def _told(error: BaseException, mode: str) -> dict[str, Any]:
    """On simulated data the sentence and the line in the script; on real data nothing."""
    if mode != guard.SIMULATED:
        return {"kind": "failed"}
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == _FILE]
    line = error.lineno if isinstance(error, SyntaxError) else frames[-1].lineno if frames else None
    column = error.offset if isinstance(error, SyntaxError) else None
    kind = "no_result" if isinstance(error, NoResult) else "script"
    return {"kind": kind, "text": f"{type(error).__name__}: {error}"[:4000], "line": line, "column": column}


def _full(error: BaseException) -> bytes:
    return "".join(traceback.format_exception(error))[-60_000:].encode("utf-8", "replace")
