"""Exports: the machine's verdict from evidence on the source, and the signed package."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

from pipelines import proving
from pipelines.granted import CHANGED, NO_SNAPSHOT, graded, kinds_of, require_provable, source_of
from pipelines.watching import Claim, ForRules, Page
from policies.text import Text, UserError
from policies.verdict import Outcome, Verdict, worst_of
from sandbox.applications import repository as applications
from sandbox.applications.repository import Application, Grant
from sandbox.catalog import repository as catalogue
from sandbox.exports import ledger, marks, repository, service, sight
from sandbox.exports import release as packaging
from sandbox.exports.checks.proofs import mismatches
from sandbox.exports.finishing import finished
from sandbox.exports.gate import evaluate, terms, unshowable
from sandbox.exports.history import ReleasedCell, cells_of
from sandbox.exports.ledger import Entry, Seen
from sandbox.exports.repository import ExportRequest, Release
from sandbox.exports.review import MODELS, Stakes
from sandbox.exports.service import Basis
from sandbox.exports.subject import (
    FORMS,
    REAL_LABEL,
    ApplicationFacts,
    ExportFile,
    ExportSubject,
    GrantFacts,
    VolumeFacts,
    matched,
    refusals_of,
)
from sandbox.exports.summary import record_of, summary
from sandbox.exports.tracing import marks_secret
from sandbox.exports.volume import volume_of
from sandbox.kernel import audit, editions
from sandbox.kernel.clock import city_date
from sandbox.kernel.errors import BadInput
from sandbox.kernel.ids import new_id
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.keys import load_secret
from sandbox.kernel.unit import Platform, Unit
from sandbox.lake import Lake
from sandbox.products import blackbox, post, repeating, reports
from sandbox.products import repository as products
from sandbox.products import service as runs
from sandbox.products.artefact import Artefact as Written
from sandbox.products.blackbox import Tried
from sandbox.products.compile import columns_read
from sandbox.products.evidence import Budget, Evidence
from sandbox.products.proving import BROKEN, Asked
from sandbox.products.releasing import Table
from sandbox.products.repository import Artefact, Run
from sandbox.products.source import EvidenceError, Source, column_names
from sandbox.products.spec import JobSpec, digest, parse
from sandbox.workspaces import tiers, uploads
from sandbox.workspaces.limits import limits_of
from sandbox.workspaces.own_record import Upload
from sandbox.workspaces.selftest import selftest


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the gate needs from the database, read in one transaction."""

    request: ExportRequest
    artefact: Artefact
    application: Application
    spec: JobSpec
    grants: dict[str, GrantFacts]
    sources: dict[str, Source]
    kinds: frozenset[str] | None
    """kinds of entities in the inputs; None when nobody has said whose records they are"""
    refused: EvidenceError | None
    """why nothing can be proved on these inputs"""
    resources: frozenset[str]
    """the granted resources that are read"""
    volume: VolumeFacts
    edition: Any
    platform: Platform
    live: bool
    trials: dict[str, Any]
    """what the last verdict's trials were of and what they showed; empty where there were none"""


class Checking:
    """The machine checks of one round of the files of a group that were submitted together.

    Each file's cells are reserved in the ledger as soon as it is known what is suppressed; only then are the files
    judged, so that each verdict has seen all the others.
    """

    def run(self, work: Work) -> Effect:
        with work.platform.system() as unit:
            ids = service.begin_checks(unit, _asked(work.job))
        every = [_facts(work.platform, one) for one in ids]
        proved = [self._proved(work, facts, _part(10, 60, at, len(every))) for at, facts in enumerate(every)]
        judged = work.step("rules", 60, lambda: self._judged(work, every, proved))
        kept = [(facts, subject, seen) for facts, (subject, _, seen) in zip(every, judged, strict=True)]
        bases = work.step("record", 90, lambda: [_keep(*one) for one in kept])

        def effect(unit: Unit) -> Mapping[str, Any]:
            for facts, (subject, verdict, _), basis in zip(every, judged, bases, strict=True):
                service.conclude_check(unit, facts.request.id, verdict, basis, _stakes(facts, subject))
            return {"outcome": worst_of(verdict.outcome for _, verdict, _ in judged), "files": len(judged)}

        return effect

    def _proved(self, work: Work, facts: Facts, span: tuple[int, int]) -> Proved:
        return work.step("evidence", span[0], lambda: _prove(facts, work, span), about=facts.request.id)

    def _judged(
        self, work: Work, every: Sequence[Facts], proved: Sequence[Proved]
    ) -> list[tuple[ExportSubject, Verdict, Seen]]:  # fmt: skip
        """Every file as it would leave, what the rules say to it, and what it was compared with.

        Those that hide cells are written last: they can hide what the others would let work out.
        """
        order = sorted(range(len(every)), key=lambda at: every[at].spec.suppress is not None)
        with proving.claimed(work):
            written = {
                at: _written(work, every[at], proved[at], _watch(work, _part(60, 90, step, len(every))))
                for step, at in enumerate(order)
            }
            return [_evaluated(facts, written[at], _seen(facts, proved[at])) for at, facts in enumerate(every)]

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        """What could not be checked does not pass: the requests are blocked with an error verdict."""
        edition = editions.in_force(unit, "export")
        nothing_ran = Verdict.conclude("export", edition.edition, edition.digest, [], [])
        for one in service.in_check(unit, _asked(job)):
            service.conclude_check(unit, one, nothing_ran)


def _asked(job: Job) -> list[str]:
    """The requests that a check is of; a job of an older installation names its subject only."""
    return list(job.payload.get("requests") or [job.subject_id])


def _part(first: int, last: int, at: int, of: int) -> tuple[int, int]:
    """The percentages that part `at` of `of` equal ones has between `first` and `last`."""
    return first + (last - first) * at // of, first + (last - first) * (at + 1) // of


def _watch(work: Work, span: tuple[int, int]) -> ForRules:
    return ForRules(Page(work, span, Claim(work), "rules"))


class Releasing:
    """Checks once more against what was released meanwhile, signs the package, fills the ledger."""

    def run(self, work: Work) -> Effect:
        facts = _facts(work.platform, work.job.subject_id)
        proved = work.step("evidence", 10, lambda: _prove(facts, work, (10, 50)))
        seen = _seen(facts, proved)
        watch = ForRules(Page(work, (50, 80), Claim(work), "last_check"))
        subject, verdict = work.step("last_check", 50, lambda: _judged(work, facts, proved, seen, watch))
        if verdict.outcome in (Outcome.BLOCK, Outcome.ERROR):
            return _withholding(facts, verdict, _keep(facts, subject, seen))
        release_id = new_id("rel")
        cells = _left(facts, subject, release_id)
        made = work.step("package", 80, lambda: _package(facts, subject, verdict, release_id))
        basis = work.step("record", 95, lambda: _keep(facts, subject, seen))

        def effect(unit: Unit) -> Mapping[str, Any]:
            ledger.recheck(unit.session, {cell.kind for cell in cells}, seen.versions)
            why = service.reopens(unit, facts.request.id, verdict)
            if why:
                service.reopen(unit, facts.request.id, verdict, why, basis)
                return {"reopened": why}
            service.release(unit, facts.request.id, made, _entry(facts, release_id, cells, unit), verdict)
            return {"release": release_id, "cells": len(cells)}

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        """The approval stands and nothing has left; an operator retries the release."""


def _withholding(facts: Facts, verdict: Verdict, basis: Basis) -> Effect:
    def effect(unit: Unit) -> Mapping[str, Any]:
        service.withhold(unit, facts.request.id, verdict, basis)
        return {"outcome": verdict.outcome}

    return effect


def _facts(platform: Platform, request_id: str) -> Facts:
    with platform.system() as unit:
        request = repository.get(unit.session, request_id)
        artefact = products.artefact(unit.session, request.artefact_id)
        run = products.get(unit.session, artefact.run_id)
        application = applications.get(unit.session, request.application_id)
        spec = parse(run.spec)
        brought, unbound = _brought(unit, run, spec)
        own = {alias: _upload(unit, one) for alias, one in brought.items()}
        granted = {g.id: g for g in applications.grants(unit.session, application.id)}
        used = {alias: granted[i.grant] for alias, i in spec.inputs.items() if i.grant}
        lake = Lake(unit.settings.lake_root)
        sources = own | {alias: source_of(unit, lake, g) for alias, g in used.items()}
        kinds = kinds_of(unit, used.values())
        edition = editions.in_force(unit, "export")
        since = unit.now - timedelta(days=edition.by_check("volume").parameters.window_days)
        return Facts(
            request=request, artefact=artefact, application=application, spec=spec, sources=sources, kinds=kinds,
            refused=unbound or _refused(unit, used.values(), sources),
            grants={alias: _grant_facts(unit, g) for alias, g in used.items()},
            resources=frozenset(g.resource_id for g in used.values()), edition=edition, platform=platform,
            volume=volume_of(unit.session, request, since),
            live=_live(application, unit), trials=(service.basis_of(unit, request) or {}).get("trials", {}),
        )  # fmt: skip


def _brought(unit: Unit, run: Run, spec: JobSpec) -> tuple[dict[str, Upload], EvidenceError | None]:
    """The merchant's own tables by alias; or why the job is no longer bound to the data that it names: an upload that
    was taken back, a pin that another snapshot has replaced."""
    try:
        brought = runs.uploads_of(unit, run.workspace_id, spec)
        runs.require_pins(unit, run.application_id, spec, brought)
    except BadInput as other:
        return {}, EvidenceError(other.code, other.text, other.fix)
    return brought, None


def _refused(unit: Unit, used: Iterable[Grant], sources: Mapping[str, Source]) -> EvidenceError | None:
    """Why nothing can be proved on these inputs: data withdrawn, facts not borne out, rows not those of the grant."""
    try:
        require_provable(unit, used)
    except EvidenceError as refused:
        return refused
    changed = sorted(alias for alias, source in sources.items() if source.digest in (NO_SNAPSHOT, CHANGED))
    if not changed:
        return None
    return EvidenceError(
        "evidence.source_changed",
        Text(f"授权快照已不存在，或与平台保存的数据不一致：{'、'.join(changed)}",
             f"The granted snapshot is gone, or is not what the platform holds: {', '.join(changed)}"),
        Text("请运营人员重新生成授权快照，再重新运行作业", "An operator makes the snapshot anew; run the job again"),
    )  # fmt: skip


def _upload(unit: Unit, one: Upload) -> Source:
    """The merchant's own table: nobody's records, and read inside the proof's jail only."""
    return Source((str(uploads.table_of(unit, one)),), f"sha256:{one.table_sha256}")


def _live(application: Application, unit: Unit) -> bool:
    return application.state == "active" and application.expires_at is not None and application.expires_at > unit.now


def _grant_facts(unit: Unit, granted: Grant) -> GrantFacts:
    levels: dict[str, int] = {}
    for column in graded(unit, granted):
        levels[column.name] = max(column.level, levels.get(column.name, 1))
    declared = catalogue.get(unit.session, granted.resource_id).declared
    return GrantFacts(
        id=granted.id, application=granted.application_id, active=granted.ended_at is None,
        columns=frozenset(granted.columns), level=max((levels.get(c, 4) for c in granted.columns), default=4),
        important=bool(declared.get("important", False)),
        snapshot=granted.snapshot["real"]["digest"] if granted.snapshot else "",
    )  # fmt: skip


def _seen(facts: Facts, proved: Proved) -> Seen:
    """What the ledger holds against this product; nothing where there is no evidence to compare."""
    if proved.evidence is None:
        return Seen((), (), {}, (), {})
    cells = _cells(facts, proved.evidence, "this", frozenset())
    threshold = facts.edition.by_check("differencing").parameters.threshold
    with facts.platform.system() as unit:
        return ledger.seen(unit.session, facts.request, cells, facts.resources, _numbering(facts), threshold)


def _left(facts: Facts, subject: ExportSubject, name: str) -> tuple[ReleasedCell, ...]:
    """The cells that leave with this product; what people let out without evidence has none to compare with later."""
    return () if subject.evidence is None else _cells(facts, subject.evidence, name, subject.hidden)


def _cells(
    facts: Facts, evidence: Evidence, name: str, hidden: frozenset[tuple[int, str]]
) -> tuple[ReleasedCell, ...]:
    base = facts.edition.by_check("rounding").parameters.base
    return cells_of(facts.spec, evidence, release=name, base=base, hidden=hidden)


def _entry(facts: Facts, name: str, cells: tuple[ReleasedCell, ...], unit: Unit) -> Entry:
    return Entry(name, cells, facts.resources, _numbering(facts), unit.now)


def _numbering(facts: Facts) -> str:
    """Fingerprint of the key that the entities' numbers rest on."""
    secret = load_secret(facts.platform.settings.keys_root / "entities.key")
    return hmac.digest(secret, b"ledger", "sha256").hex()[:16]


@dataclass(frozen=True, slots=True)
class Proved:
    """Who is behind every cell, or why nobody can say."""

    evidence: Evidence | None = None
    refused: EvidenceError | None = None
    tried: tuple[Tried, ...] | None = None
    """what trials showed where none could be derived"""


def _prove(facts: Facts, work: Work, span: tuple[int, int]) -> Proved:
    """Derive the evidence from the source and prove it in a jail, with secret seeds drawn then; or the reason why the
    job or its inputs do not let it be. Raises `EvidenceError` where the jail broke: that says nothing about the job."""
    if facts.refused is not None:
        return Proved(refused=facts.refused)
    proofs = facts.edition.by_check("evidence_proofs").parameters
    asked = Asked(proofs.halves_for(_level(facts)), Budget(seconds=proofs.budget_seconds, times=proofs.budget_times))
    try:
        return Proved(proving.evidence(work, facts.spec, facts.sources, asked, span))
    except EvidenceError as error:
        if error.code in BROKEN:
            raise
        return _tried(facts, work, error, span) if blackbox.fits(error) else Proved(refused=error)


def _tried(facts: Facts, work: Work, refused: EvidenceError, span: tuple[int, int]) -> Proved:
    """Trials by buckets of entities; those that the last check has made on the same data by the same rules are not
    made again: they hang on nothing that was released meanwhile."""
    known = facts.trials.get("of") == _trials_of(facts)
    if known:
        return Proved(refused=refused, tried=tuple(Tried(**one) for one in facts.trials["tried"]))
    try:
        tried = proving.trials(work, facts.spec, facts.sources, facts.edition, facts.artefact.run_id, span)
    except EvidenceError as error:
        if error.code in BROKEN:
            raise
        return Proved(refused=error)
    return Proved(refused=refused, tried=tried)


def _trials_of(facts: Facts) -> dict[str, Any]:
    """What trials depend on, as their document keeps it."""
    sources = {alias: source.digest for alias, source in facts.sources.items()}
    return {"job": digest(facts.spec), "sources": sources, "policy": facts.edition.digest}


def _level(facts: Facts) -> int:
    return max((source.level for source in facts.sources.values()), default=4)


def _stakes(facts: Facts, subject: ExportSubject) -> Stakes:
    """What decides how many officers review: see `policies.schema.export.Reviewers`."""
    volume = facts.edition.by_check("volume").parameters
    now = sum(contents.rows for contents in subject.contents)
    now += facts.volume.beside.rows if facts.volume.beside else 0
    rows, single = facts.volume.rows + facts.volume.waiting_rows + now, 100 * now / volume.max_rows
    return Stakes(
        subject.form, subject.level, any(f.name.casefold().endswith(MODELS) for f in subject.files),
        round(max(single, 100 * rows / volume.cumulative_rows), 1),
    )  # fmt: skip


def _keep(facts: Facts, subject: ExportSubject, seen: Seen) -> Basis:
    """What the verdict rests on, kept under its digest: to look at, and to repeat it (`pds job repeat`)."""
    evidence, settings = subject.evidence, facts.platform.settings
    shown = service.keep_basis(settings, sight.sight_of(subject.contents, unshowable(subject)))
    document: dict[str, Any] = {"summary": summary(subject), "record": evidence and record_of(evidence), "sight": shown}
    if evidence is not None:
        document["proof"] = repeating.keep(evidence, settings.evidence_root / "proofs")
    if subject.black_box is not None:
        document["trials"] = {"of": _trials_of(facts), "tried": [asdict(one) for one in subject.black_box]}
    file = service.keep_file(settings, subject.files[0].content) if len(subject.files) == 1 else None
    beside = tuple(sorted({cell.release for cell in seen.history if cell.status == "together"}))
    wrong = tuple(mismatches(evidence)) if evidence else ()
    return Basis(service.keep_basis(settings, document), wrong, file, beside)


def _written(work: Work, facts: Facts, proved: Proved, watch: ForRules) -> ExportSubject:
    """The request as it would leave, its cells reserved: whoever is checked from now on is compared with them."""
    subject = _subject(facts, proved, _seen(facts, proved), watch)
    request = facts.request
    with work.platform.system() as unit:
        audit.hold(unit.session)  # one at a time: sets of entities are kept once
        cells = _left(facts, subject, request.id)
        ledger.reserve(unit.session, request, _entry(facts, request.id, cells, unit))
    return subject


def _evaluated(facts: Facts, subject: ExportSubject, seen: Seen) -> tuple[ExportSubject, Verdict, Seen]:
    """What the rules say to it, compared with `seen`."""
    compared = replace(subject, **seen.facts)
    subject = matched(compared, {alias: facts.sources[alias] for alias in facts.grants})
    return subject, evaluate(subject, facts.edition), seen


def _judged(
    work: Work, facts: Facts, proved: Proved, seen: Seen, watch: ForRules
) -> tuple[ExportSubject, Verdict]:  # fmt: skip
    """The request as it would leave, and what the rules say to it. Raises `ClaimLost` within seconds of the job's
    being cancelled: nothing is written before the verdict is."""
    with proving.claimed(work):
        return _evaluated(facts, _subject(facts, proved, seen, watch), seen)[:2]


def _subject(facts: Facts, proved: Proved, seen: Seen, watch: ForRules) -> ExportSubject:
    request, application = facts.request, facts.application
    columns = {alias: column_names(facts.sources[alias]) for alias in facts.grants}
    free = facts.spec.prepare or len(columns) < len(facts.sources)
    read = columns if free else columns_read(facts.spec, columns)  # free text may read all that it is granted
    with facts.platform.system() as unit:
        today = city_date(unit.now)
    subject = ExportSubject(
        files=_files(facts, proved), audience=request.audience,  # type: ignore[arg-type]
        form="record" if application.product_form == "dataset" and not proved.evidence else "aggregate",
        lane="platform", today=today,
        texts={"title": request.title, "remark": request.remark, **request.context}, label=REAL_LABEL, real_inputs=True,
        application=ApplicationFacts(
            application.id, facts.live, frozenset({FORMS.get(application.product_form, application.product_form)}),
            city_date(application.expires_at) if application.expires_at else None, None,
        ),
        grants=facts.grants, columns_read={a: frozenset(c) for a, c in read.items()},
        spec=facts.spec, evidence=proved.evidence, entity_kinds=facts.kinds,
        **seen.facts, volume=facts.volume, rounding_base=facts.edition.by_check("rounding").parameters.base,
        refusals=refusals_of(proved.refused) if proved.refused else (), level=_level(facts),
        black_box=proved.tried, watch=watch,
    )  # fmt: skip
    return finished(subject, facts.edition, lambda product, others: _post(facts, product, others))


def _files(facts: Facts, proved: Proved) -> tuple[ExportFile, ...]:
    """What is judged: the platform's file that people have reviewed; before there is one, none, so that it is written;
    and where no evidence lets the platform write another, the file that the run left inside."""
    frozen = service.frozen_file(facts.request)
    if proved.evidence is not None and frozen is None:
        return ()
    content = (facts.platform.settings.artefacts_root / (frozen or facts.artefact.sha256)).read_bytes()
    return (ExportFile(facts.artefact.name, content),)


def _post(facts: Facts, product: Table, references: list[Table]) -> Written:
    """The job's last statement over what is released, in a jail with nothing else."""
    with facts.platform.system() as unit:
        bounds = editions.in_force(unit, "workspace").by_check("run_limits").parameters
        accepted = tiers.accepted(unit)
        run = products.get(unit.session, facts.artefact.run_id)
    room = post.Room(
        limits_of(bounds), bounds.folder_mb, selftest(),
        reports.place(facts.platform.settings, facts.artefact.run_id, "post"), accepted,
    )  # fmt: skip
    return post.finish(facts.spec, product, references, room, [str(c[0]) for c in run.dry_run["columns"]])


def _package(facts: Facts, subject: ExportSubject, verdict: Verdict, release_id: str) -> Release:
    """Mark, sign and store the package; it gets its name only when it is whole."""
    settings, request = facts.platform.settings, facts.request
    allowed = terms(facts.edition)
    with facts.platform.system() as unit:
        now = unit.now
        signers = [
            {"account": r.reviewer_id, "at": r.at.isoformat(), "verdict": r.verdict}
            for r in repository.reviews(unit.session, request.id, request.round) if r.decision == "approve"
        ]  # fmt: skip
    mark = marks.key_of(marks_secret(settings), release_id, request.organisation_id)
    files = [replace(one, content=marks.marked(one.name, one.content, mark)) for one in subject.files]
    expires = now + timedelta(days=allowed.expires_days)
    written = subject.finished or facts.artefact  # without evidence the file of the run itself leaves, by people's word
    described = packaging.ReleaseFacts(
        release=release_id, request=request.id, form=subject.form, audience=request.audience, rows=written.rows,
        schema={c: "measure" if c in facts.spec.measures else "dimension" for c in written.columns},
        lineage=_lineage(facts, written.sha256), verdict=packaging.told(verdict), signers=signers,
        reviewed={one.name: hashlib.sha256(one.content).hexdigest() for one in subject.files},
        recipient=request.organisation_id, recipient_mark=marks.name_of(mark),
        issued_at=now.isoformat(), expires_at=expires.isoformat(), title=request.title, description=request.remark,
    )  # fmt: skip
    key = facts.platform.signing_key
    packed = packaging.package(described, files, key)
    sha256 = hashlib.sha256(packed).hexdigest()
    settings.releases_root.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = settings.releases_root / f".{new_id('part')}"
    part.write_bytes(packed)
    part.replace(settings.releases_root / sha256)
    return Release(
        id=release_id, request_id=request.id, application_id=request.application_id,
        organisation_id=request.organisation_id, audience=request.audience, sha256=sha256, bytes=len(packed),
        manifest=packaging.manifest(described, files, key.key_id), released_at=now, expires_at=expires, downloads=0,
        download_limit=allowed.max_downloads,
    )  # fmt: skip


def _lineage(facts: Facts, released: str) -> dict[str, str]:
    """Where the released file of digest `released` comes from."""
    inputs = {f"snapshot.{alias}": source.digest for alias, source in facts.sources.items()}
    edition = {"policy.export": facts.edition.digest, "policy.edition": facts.edition.edition}
    return {"job": facts.artefact.lineage["spec"], "artefact": released, **inputs, **edition}


