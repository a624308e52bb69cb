"""Self-checks of jobs: run, proved and judged on the simulated twins, with repairs that were tried the same way."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines import proving
from pipelines.watching import Claim, ForRules, Page
from policies.text import Text, UserError
from sandbox.applications import repository as applications
from sandbox.exports import selfcheck
from sandbox.exports.finishing import Post
from sandbox.exports.gate import Checked, evaluate
from sandbox.exports.repairs import suggest
from sandbox.exports.standalone import Matcher
from sandbox.exports.subject import ExportSubject, bounds_of
from sandbox.exports.twinsources import sources_of, tables_of
from sandbox.kernel import editions
from sandbox.kernel.errors import Unavailable
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.unit import Unit
from sandbox.products import post, reports
from sandbox.products import proving as proofs
from sandbox.products import service as products
from sandbox.products.entities import EntityCodes
from sandbox.products.evidence import Evidence
from sandbox.products.proving import Asked
from sandbox.products.source import Source
from sandbox.products.spec import JobSpec
from sandbox.workspaces import tiers, uploads
from sandbox.workspaces.limits import limits_of
from sandbox.workspaces.selftest import selftest
from sandbox.workspaces.usage import Usage


@dataclass(frozen=True, slots=True)
class Bound:
    """Everything a self-check needs, read in one transaction."""

    spec: JobSpec
    sources: Mapping[str, Source]
    audience: str
    edition: Any
    stated: bool
    proof: Any
    run: Any
    accepted: frozenset[str]


class SelfChecking:
    """Judges a job on simulated data and looks for changes that get it further."""

    def run(self, work: Work) -> Effect:
        bound, began = _bind(work), time.monotonic()
        page = Page(work, (5, 30), Claim(work), "proof:{step}")
        before = work.step("evidence", 5, lambda: _checked(work, bound, bound.spec, page))
        page.span = (30, 95)

        def told(done: int, of: int) -> None:
            work.reached("repairs", 30 + round(65 * done / of))

        found = work.step("repairs", 30, lambda: suggest(
            before, lambda spec: _checked(work, bound, spec, page), bound.edition, told))  # fmt: skip
        seconds = time.monotonic() - began

        def effect(unit: Unit) -> Mapping[str, Any]:
            done = selfcheck.conclude(unit, work.job.subject_id, before.verdict, found, Usage(seconds, 0.0),
                                      round(seconds * 1000))  # fmt: skip
            return {"outcome": done.outcome, "repairs": len(found)}

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        """What could not be checked has not passed, and the merchant reads why."""
        selfcheck.failed(unit, job.subject_id, error)


def _bind(work: Work) -> Bound:
    with work.platform.system() as unit:
        _, workspace, spec = selfcheck.inputs(unit, work.job.subject_id)
        granted = {g.id: g for g in tables_of(unit, workspace).values()}
        used = {alias: granted[one.grant] for alias, one in spec.inputs.items() if one.grant in granted}
        sources = sources_of(unit, used)
        brought = products.uploads_of(unit, workspace.id, spec)
        sources |= {
            alias: Source((str(uploads.table_of(unit, one)),), f"sha256:{one.table_sha256}")
            for alias, one in brought.items()
        }
        if missing := sorted(set(spec.inputs) - set(sources)):
            raise Unavailable(
                "check.no_twin", Text(f"输入 {'、'.join(missing)} 还没有可用的仿真数据",
                                      f"There is no simulated twin yet of {', '.join(missing)}"),
                fix=Text("请待仿真数据发布后再查", "Check again when it is published"),
            )  # fmt: skip
        workspace_policy = editions.in_force(unit, "workspace")
        return Bound(
            spec, sources, applications.get(unit.session, workspace.application_id).audience,
            editions.in_force(unit, "export"), all(s.keys or not s.identifiers for s in sources.values()),
            workspace_policy.by_check("proof_limits").parameters, workspace_policy.by_check("run_limits").parameters,
            tiers.accepted(unit),
        )  # fmt: skip


def _checked(work: Work, bound: Bound, spec: JobSpec, page: Page) -> Checked:
    """The job on the twins, by the rules that judge it on real data: what differs is what the tables hold."""

    def prove(spec: JobSpec, sources: Mapping[str, Source], asked: Asked, codes: EntityCodes) -> Evidence:
        room = proofs.room_of(bound.proof)
        place = proofs.Place(selftest().form, room, work.folder, twins=work.folder / "twins", watch=page)
        with proving.claimed(work):
            return proofs.prove(spec, sources, asked, codes=codes, place=place)

    base = bound.edition.by_check("rounding").parameters.base
    subject = ExportSubject(
        files=(), audience=bound.audience, lane="file", rounding_base=base,  # type: ignore[arg-type]
        bounds=bounds_of(bound.edition), watch=ForRules(page),
    )  # fmt: skip
    matcher = Matcher(bound.sources, bound.edition, prove)
    with proving.claimed(work):
        described = matcher.described(subject, spec, None, stated=bound.stated, post=_post(work, bound, spec))
        return Checked(described, evaluate(described, bound.edition))


def _post(work: Work, bound: Bound, spec: JobSpec) -> Post:
    """The job's last statement, in a jail with nothing but what is released; it reads simulated numbers."""
    store = reports.place(work.platform.settings, work.job.subject_id, "post")
    room = post.Room(limits_of(bound.run), bound.run.folder_mb, selftest(), store, bound.accepted)
    return lambda product, references: post.finish(spec, product, references, room)
