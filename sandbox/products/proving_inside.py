"""The inside of a proof: derives evidence in the jail, over twins that hold granted columns and numbers of entities.

It runs a merchant's statements, so nothing it says is believed further than `proving` can see. The random seed comes
from outside, once, and only after the values of every cube were reported by their digest: whoever wrote the job could
not have known it.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sandbox.catalog.entityfacts
import sandbox.catalog.keys  # noqa: F401 — with Landlock their folder can be listed only before the walls are up
from sandbox.products.source import EntityKey, EvidenceError, Source, within
from sandbox.products.spec import parse
from sandbox.workspaces.inside import Setting
from sandbox.workspaces.protocol import Channel, ChannelClosed
from sandbox.workspaces.script_inside import use_cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.products.entities import Codes


# What is imported above is light and is found before the walls are up; whatever starts threads comes after them.


def run(setting: Setting, data: Channel, control: Channel) -> None:
    """Derive the evidence of `extra["spec"]` over `extra["sources"]` and leave it in the output folder."""
    use_cores(setting.limits.threads)
    within(setting.limits.duckdb_mb, setting.limits.threads)
    tempfile.tempdir = setting.home  # spilled rows go to the disk; the jail's own /tmp is memory
    try:
        _prove(setting, data)
    except EvidenceError as error:
        data.send({"is": "refused", **_told(error)})
    except (MemoryError, ChannelClosed):
        raise
    except BaseException as error:  # a panic of polars is no Exception; its text may quote a record
        data.send({"is": "failed", "class": type(error).__name__})
    else:
        data.send({"is": "done"})


def _prove(setting: Setting, data: Channel) -> None:
    from sandbox.products import evidence_files
    from sandbox.products.evidence import Budget, derive

    shown = _Shown(data)
    shown.progress("start", 0)
    sources = {alias: _source(alias, facts, setting) for alias, facts in setting.extra["sources"].items()}
    spec, halves = parse(setting.extra["spec"]), setting.extra["halves"]
    evidence = derive(
        spec, sources, codes=_Given(), halves=halves, budget=Budget(**setting.extra["budget"]), watch=shown,
        seed=_Outside(data).seed,
    )  # fmt: skip
    evidence_files.write(evidence, Path(str(setting.output)))


def _source(alias: str, facts: dict[str, Any], setting: Setting) -> Source:
    listed = {name: tuple(facts[name]) for name in ("identifiers", "columns")}
    keys = tuple(EntityKey(**key) for key in facts["keys"])  # a twin's keys lead through no other table
    return Source(**{**facts, **listed, "files": (setting.tables[alias],), "keys": keys})


class _Given:
    """Entities are numbers already, and so are records."""

    salt = ""

    def assign(self, kind: str, keys: Sequence[str]) -> Codes:
        import numpy as np

        return np.array([int(key) for key in keys], dtype=np.uint32)


class _Shown:
    """Tells the platform how far the proof is. Whether to go on is not asked in here: the platform ends the jail."""

    def __init__(self, data: Channel) -> None:
        self._data, self._lock = data, threading.Lock()

    def progress(self, step: str, share: float) -> None:
        with self._lock:
            self._data.send({"is": "progress", "step": step, "share": 0.05 + 0.95 * share})

    def cancelled(self) -> bool:
        return False


class _Outside:
    """Asks the platform for seeds, once it has told what they may no longer change."""

    def __init__(self, data: Channel) -> None:
        self._data = data

    def seed(self, digest: str) -> str:
        """The secret, in exchange for the digest of the frozen values."""
        self._data.send({"is": "seed", "frozen": digest})
        answer = self._data.receive()
        if answer is None or answer[0].get("is") != "seed":
            raise ChannelClosed("no seed")
        return str(answer[0]["value"])


def _told(error: EvidenceError) -> dict[str, Any]:
    """The error as JSON: its words, names and counts, and the carrier's refusals."""
    plain = {k: v for k, v in error.detail.items() if isinstance(v, str | int | float | bool)}
    refusals = [
        [r.code, r.step, r.line, r.column, r.text.as_dict(), r.repair.as_dict()]
        for r in error.detail.get("refusals", ())
    ]
    fix = error.fix.as_dict() if error.fix else None
    return {"code": error.code, "text": error.text.as_dict(), "fix": fix, "detail": plain, "refusals": refusals}
