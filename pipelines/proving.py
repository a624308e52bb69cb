"""The step of a job in which a product's evidence is derived and proved, in jails; trials where none can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipelines.watching import Claim, Page
from sandbox.kernel import editions
from sandbox.kernel.jobs import ClaimLost, Work
from sandbox.kernel.keys import load_secret
from sandbox.products import blackbox, proving, reports
from sandbox.products.blackbox import Tried
from sandbox.products.budget import Cancelled
from sandbox.products.entities import EntityRegister
from sandbox.products.evidence import Budget, Evidence
from sandbox.products.source import EvidenceError, Source
from sandbox.products.spec import JobSpec
from sandbox.workspaces import tiers
from sandbox.workspaces.broker import require_tier
from sandbox.workspaces.limits import limits_of
from sandbox.workspaces.selftest import selftest


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
        form=selftest().form, room=proving.room_of(limits), work=work.folder, twins=settings.snapshots_root,
        watch=Page(work, span, Claim(work), "proof:{step}"),
    )  # fmt: skip
    register = EntityRegister(settings.home / "entities", load_secret(settings.keys_root / "entities.key"))
    with claimed(work):
        return proving.prove(spec, sources, asked, codes=register, place=place)


def trials(
    work: Work, spec: JobSpec, sources: Mapping[str, Source], edition: Any, run_id: str, span: tuple[int, int]
) -> tuple[Tried, ...]:  # fmt: skip
    """What leaving out and changing buckets of entities shows of a job that no evidence can be derived for.

    `edition`: the export rules, which say how many buckets and how long. What the jails say goes to the operator's
    reports of the run. Shows progress, stops and raises as `evidence` does.
    """
    asked, proofs = edition.by_check("no_evidence").parameters, edition.by_check("evidence_proofs").parameters
    with work.platform.system() as unit:
        bounds = editions.in_force(unit, "workspace").by_check("run_limits").parameters
        tiers.require_for_real_data(unit)
        accepted = tiers.accepted(unit)
    room = blackbox.Room(
        limits_of(bounds), bounds.folder_mb, selftest(), reports.place(work.platform.settings, run_id, "trials"),
        base=edition.by_check("rounding").parameters.base, budget=Budget(proofs.budget_seconds, asked.max_times),
        accepted=accepted, buckets=asked.buckets,
    )  # fmt: skip
    with claimed(work):
        return blackbox.tried(spec, sources, room, work.folder, Page(work, span, Claim(work), "proof:{step}"))


@contextmanager
def claimed(work: Work) -> Iterator[None]:
    """A proof or a check that was stopped was stopped because this attempt has lost its job."""
    try:
        yield
    except Cancelled:
        raise ClaimLost(work.job.key) from None
    except EvidenceError as error:
        if error.code == "evidence.cancelled":
            raise ClaimLost(work.job.key) from None
        raise
