"""Runs one Python script of a merchant inside the jail, on simulated data, streaming what it prints.

The script shares the process with this module, so whatever comes over the channel is the merchant's own word.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from typing import Any

from sandbox.workspaces.inside import Setting
from sandbox.workspaces.protocol import Channel, ChannelClosed

_CHUNK = 1 << 16


def run(setting: Setting, data: Channel, control: Channel) -> None:
    """Run `extra["source"]` with `tables` (name → Parquet path) in its globals; print and errors go out."""
    read_end, write_end = os.pipe()
    for descriptor in (1, 2):
        os.dup2(write_end, descriptor)
    os.close(write_end)
    pump = threading.Thread(target=_pump, args=(read_end, data), daemon=True)
    pump.start()
    status = _run(setting.extra["source"], dict(setting.tables))
    sys.stdout.flush()
    sys.stderr.flush()
    nowhere = os.open("/dev/null", os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    pump.join(timeout=5)
    data.send({"is": "end", "status": status})


def _run(source: str, tables: dict[str, Any]) -> str:
    sys.argv = ["script.py"]
    try:
        exec(compile(source, "script.py", "exec"), {"__name__": "__main__", "tables": tables})  # noqa: S102 — this is the task
    except SystemExit as leaving:
        return "done" if leaving.code in (None, 0) else "failed"
    except MemoryError:
        return "memory_limit"
    except BaseException:
        traceback.print_exc()
        return "failed"
    return "done"


def _pump(read_end: int, data: Channel) -> None:
    while chunk := os.read(read_end, _CHUNK):
        try:
            data.send({"is": "out"}, chunk)
        except ChannelClosed:
            return
