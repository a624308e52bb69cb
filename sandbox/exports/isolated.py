"""A proof without a platform: a job's own statements run in a jail here as well, on tables of whoever asks.

Any form of jail is good enough for one's own tables. Only where this machine starts none at all the proof runs in this
process; that is logged, and every answer says in which form its proofs ran.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sandbox.products import proving
from sandbox.products.entities import EntityCodes
from sandbox.products.evidence import Evidence, derive
from sandbox.products.proving import Asked
from sandbox.products.source import Source
from sandbox.products.spec import JobSpec
from sandbox.workspaces.jail import JailFailed
from sandbox.workspaces.selftest import selftest

NO_JAIL = "none"
Prover = Callable[[JobSpec, Mapping[str, Source], Asked, EntityCodes], Evidence]

_log = logging.getLogger(__name__)


def form() -> str:
    """The form of jail in which jobs are proved here, or `NO_JAIL`."""
    try:
        return selftest().form
    except JailFailed:
        return NO_JAIL


def prove(spec: JobSpec, sources: Mapping[str, Source], asked: Asked, codes: EntityCodes) -> Evidence:
    """The evidence of a job that somebody wrote. Raises `EvidenceError` as `proving.prove` does."""
    from policies.editions import load

    where = form()
    if where == NO_JAIL:
        _log.warning("no jail can be had on this machine: the job's statements run in this process")
        return in_this_process(spec, sources, asked, codes)
    parameters: Any = load("workspace").by_check("proof_limits").parameters
    with tempfile.TemporaryDirectory(prefix="pds-proof-") as work:
        place = proving.Place(where, proving.room_of(parameters), Path(work))
        return proving.prove(spec, sources, asked, codes=codes, place=place)


def in_this_process(spec: JobSpec, sources: Mapping[str, Source], asked: Asked, codes: EntityCodes) -> Evidence:
    """The same without a jail: for a job that the platform made of a closed list of measures itself."""
    return derive(spec, sources, codes=codes, halves=asked.halves, budget=asked.budget, seed=asked.seed)
