"""The step of a job in which a product's evidence is derived and proved, in a jail of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.running import Claim, limits_of
from sandbox.kernel import editions
from sandbox.kernel.jobs import ClaimLost, Work
from sandbox.kernel.keys import load_secret
from sandbox.products import proving
from sandbox.products.entities import EntityRegister
from sandbox.products.evidence import Evidence
from sandbox.products.evidence_files import Caps
from sandbox.products.source import EvidenceError, Source
from sandbox.products.spec import JobSpec
from sandbox.workspaces import tiers
from sandbox.workspaces.broker import require_tier
from sandbox.workspaces.selftest import selftest

_SAY_SECONDS = 0.5


def evidence(
    work: Work, spec: JobSpec, sources: Mapping[str, Source], asked: proving.Asked, span: tuple[int, int]
) -> Evidence:
    """Evidence and proofs of `spec`; between the percentages of `span` the job's page shows where the proof is.

    A job that was cancelled or taken over stops within a second. Raises `ClaimLost`, `EvidenceError`, and `UserError`
    where isolation is too weak for real data.
    """
    settings = work.platform.settings
    with work.platform.system() as unit:
        limits = editions.in_force(unit, "workspace").by_check("proof_limits").parameters
        tiers.require_for_real_data(unit)
        require_tier(selftest(), tiers.accepted(unit))
    place = proving.Place(
        form=selftest().form, room=room_of(limits), work=work.folder, twins=settings.snapshots_root,
        watch=_Page(work, span, Claim(work)),
    )  # fmt: skip
    register = EntityRegister(settings.home / "entities", load_secret(settings.keys_root / "entities.key"))
    try:
        return proving.prove(spec, sources, asked, codes=register, place=place)
    except EvidenceError as error:
        if error.code == "evidence.cancelled":
            raise ClaimLost(work.job.key) from None
        raise


def room_of(parameters: Any) -> proving.Room:
    """What a proof may use, from the workspace policy's `proof_limits`."""
    caps = Caps(rows=parameters.result_rows, cells=parameters.measured_cells, file_mb=parameters.result_mb)
    return proving.Room(limits_of(parameters), parameters.folder_mb, caps)


@dataclass(slots=True)
class _Page:
    """Shows the proof's steps on the job's page and ends it when the job is no longer ours."""

    work: Work
    span: tuple[int, int]
    claim: Claim
    said: float = field(default=0.0)

    def progress(self, step: str, share: float) -> None:
        if time.monotonic() - self.said >= _SAY_SECONDS:
            first, last = self.span
            self.work.reached(f"proof:{step}", first + round(share * (last - first)))
            self.said = time.monotonic()

    def cancelled(self) -> bool:
        return self.claim.is_set()
