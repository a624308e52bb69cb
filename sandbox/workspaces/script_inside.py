"""Runs one Python script of a merchant inside the jail, on simulated data, streaming what it prints.

The script shares the process with this module, so whatever comes over the channel is the merchant's own word: a script
may send frames of its own, close the pipe or end the pump. It lies to itself then; the platform's side holds.
"""

from __future__ import annotations

import linecache
import os
import random
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from sandbox.workspaces.inside import Setting
from sandbox.workspaces.protocol import Channel, ChannelClosed

NAME = "script.py"
_CHUNK = 1 << 16
_FRAMES = 8
PLOT_FONTS = ("Noto Sans CJK SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi Micro Hei",
              "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC", "SimHei")  # fmt: skip
"""Families with Chinese: the first that the machine has is taken for plots; with none of them Chinese is squares"""
_PLOTS = f"""backend: Agg
font.family: sans-serif
font.sans-serif: {", ".join(PLOT_FONTS)}, DejaVu Sans
axes.unicode_minus: False
figure.autolayout: True
"""


def run(setting: Setting, data: Channel, control: Channel) -> None:
    """Run `extra["source"]` with `tables` (name → Parquet path) in its globals; print and errors go out."""
    _prepare(setting)
    read_end, write_end = os.pipe()
    for descriptor in (1, 2):
        os.dup2(write_end, descriptor)
    os.close(write_end)
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    pump = threading.Thread(target=_pump, args=(read_end, data, int(setting.extra["output_bytes"])), daemon=True)
    pump.start()
    ended = _run(setting.extra["source"], dict(setting.tables), setting.home)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # the script closed or replaced it
            continue
    nowhere = os.open("/dev/null", os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    pump.join(timeout=5)
    data.send({"is": "end", **ended})


def _prepare(setting: Setting) -> None:
    """Cores, plots and the import path; the workspace's own modules come last, so they hide no library."""
    use_cores(setting.limits.threads)
    os.environ["JOBLIB_MULTIPROCESSING"] = "0"  # there is no shared memory: joblib works serially, without a warning
    plots = Path(setting.temporary, "plots")
    plots.mkdir(exist_ok=True)
    Path(plots, "matplotlibrc").write_text(_PLOTS, encoding="utf-8")
    os.environ["MPLCONFIGDIR"] = str(plots)
    sys.path.append(setting.home)
    sys.argv = [NAME]


def use_cores(number: int) -> None:
    """Show this process `number` of the machine's cores, by lot. Every library starts as many threads as it sees
    cores, and the jail counts threads as processes: on a large machine the import alone would be over the limit."""
    seen = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, random.SystemRandom().sample(seen, min(number, len(seen))))


def _run(source: str, tables: dict[str, Any], home: str) -> dict[str, Any]:
    linecache.cache[NAME] = (len(source), None, source.splitlines(keepends=True), NAME)
    try:
        exec(compile(source, NAME, "exec"), {"__name__": "__main__", "tables": tables})  # noqa: S102 — this is the task
    except SystemExit as leaving:
        if leaving.code in (None, 0):
            return {"status": "done"}
        return {"status": "failed", "error": {"class": "SystemExit", "message": str(leaving.code)[:2000]}}
    except MemoryError as error:
        return {"status": "memory_limit", "error": {"class": "MemoryError", "frames": _frames(error, home)}}
    except BaseException as error:
        return {"status": "failed", "error": _described(error, home)}
    return {"status": "done"}


def _described(error: BaseException, home: str) -> dict[str, Any]:
    """Class, message and the frames of the person's own files; the libraries' inside is left out."""
    try:
        message = str(error)[:2000]
    except Exception:  # the script's own exception class may do anything
        message = ""
    told: dict[str, Any] = {"class": type(error).__name__, "message": message, "frames": _frames(error, home)}
    if isinstance(error, SyntaxError) and error.filename == NAME:
        told["frames"] = [{"file": NAME, "line": error.lineno, "code": (error.text or "").strip()[:300], "in": ""}]
        told["column"] = error.offset
        told["message"] = str(error.msg)[:2000]
    return told


def _frames(error: BaseException, home: str) -> list[dict[str, Any]]:
    found = traceback.extract_tb(error.__traceback__)
    own = [f for f in found if f.filename == NAME or f.filename.startswith(f"{home}/")]
    return [
        {"file": f.filename.removeprefix(f"{home}/")[:200], "line": f.lineno, "code": (f.line or "")[:300],
         "in": "" if f.name == "<module>" else f.name[:100]}
        for f in own[-_FRAMES:]
    ]  # fmt: skip


def _pump(read_end: int, data: Channel, room: int) -> None:
    """What is over the cap is read and thrown away, so that a script that prints too much still comes to its end."""
    cut = False
    while chunk := os.read(read_end, _CHUNK):
        try:
            if room:
                data.send({"is": "out"}, chunk[:room])
            if len(chunk) > room and not cut:
                data.send({"is": "cut"})
                cut = True
        except ChannelClosed:
            return
        room -= min(room, len(chunk))
