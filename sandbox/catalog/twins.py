"""Simulated twins: every set of simulated rows made of a table, bound to the version it imitates.

A twin is stale as soon as what it was made of is not what is published: other rows, other grades or meanings, or
another twin of a table it refers to. Earlier twins stay readable. Each differing set that was published tells a little
more about the real rows, so they are counted.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from policies.text import Text
from sandbox.catalog import plans, repository
from sandbox.catalog.repository import Resource
from sandbox.kernel import jobs, permissions
from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition, NotFound
from sandbox.kernel.ids import new_id
from sandbox.kernel.jobs import Job
from sandbox.kernel.steps import key_of
from sandbox.kernel.unit import Unit

JOB = "simulate"
DEFAULT_ROWS = 20_000
"""rows of a twin unless an operator asks for another number (fewer when the table has fewer): enough to develop on,
quick to check on every row (assumed)"""
MOST_ROWS = 500_000
"""rows an operator may ask for: every gate runs on all of them, and a spreadsheet still opens them (assumed)"""
MOST_SEED = 2**32 - 1
PASSED = ("pass", "review")
_DECLARED = ("columns", "references", "sums", "products", "ratios", "orders", "combinations", "conditions", "ranges",
             "quality", "engine")  # fmt: skip
"""what a department declares that simulated rows follow"""


class Twin(Base):
    """One attempt at simulated rows of one table: published, or refused by its gates (`lake_version` is None then)."""

    __tablename__ = "twin"

    id: Mapped[str] = short(primary_key=True)
    resource_id: Mapped[str] = short(index=True)
    number: Mapped[int]
    """the how-manieth of its table"""
    version: Mapped[int]
    """number of the real version it imitates"""
    basis: Mapped[str] = short(64)
    """digest of what it was made of; empty where that was not recorded"""
    parents: Mapped[dict[str, Any]]
    """id of a table it refers to → number of that table's twin"""
    lake_version: Mapped[int | None]
    engine: Mapped[str] = short(40)
    seed: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    content_sha256: Mapped[str] = short(64)
    """digest of the rows: the same one again tells nothing new"""
    outcome: Mapped[str] = short(20)
    asked: Mapped[dict[str, Any]]
    """rows and seed as an operator asked for them; the next one takes them over"""
    manifest: Mapped[dict[str, Any]]
    """in full, for those who govern it"""
    public: Mapped[dict[str, Any]]
    """the manifest that travels"""
    manifest_sha256: Mapped[str] = short(64)
    """digest of the file of the public manifest"""
    signature: Mapped[str] = short(100)
    """Ed25519 over that digest (ASCII hex), base64"""
    fields: Mapped[list[Any]]
    """the field dictionary: name, type, comment, semantic, source, codes"""
    distributions: Mapped[list[Any]]
    """of the simulated rows alone"""
    files: Mapped[dict[str, Any]]
    """format → sha256, bytes, media type, what its name ends in, and its word in both languages"""
    job_id: Mapped[str] = short()
    made_by: Mapped[str] = short()
    created_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("resource_id", "number"),)

    @property
    def published(self) -> bool:
        return self.lake_version is not None


@dataclass(frozen=True, slots=True)
class Made:
    """What a simulation hands over."""

    version: int
    basis: str
    parents: Mapping[str, int]
    lake_version: int | None
    asked: Mapping[str, int]
    manifest: Mapping[str, Any]
    public: Mapping[str, Any]
    fields: list[dict[str, Any]]
    distributions: list[dict[str, Any]]
    files: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a table's twins stand: the published one, why it is stale, what is under way."""

    current: Twin | None
    stale: tuple[str, ...]
    """"version", "grades", "parents" or "unbound"; empty while it imitates what is published"""
    releases: int
    """differing sets of rows published so far"""
    job: Job | None
    """the latest job that makes one, where it is under way or did not go well"""


# ---- reading ----


def every(session: Session, resource_id: str) -> list[Twin]:
    """All attempts, newest first."""
    return list(session.scalars(select(Twin).where(Twin.resource_id == resource_id).order_by(Twin.number.desc())))


def current(session: Session, resource: Resource) -> Twin | None:
    """The published twin."""
    if resource.simulated_version is None:
        return None
    statement = select(Twin).where(Twin.resource_id == resource.id, Twin.lake_version == resource.simulated_version)
    return session.scalars(statement.order_by(Twin.number.desc())).first()


def chosen(session: Session, resource: Resource, number: int | None = None) -> Twin:
    """The published twin, or an earlier one by its number. Raises `InvalidTransition` while there is none."""
    if number is None:
        found = current(session, resource)
        if found is None:
            raise _not_ready(resource)
        return found
    statement = select(Twin).where(Twin.resource_id == resource.id, Twin.number == number)
    earlier = session.scalars(statement).first()
    if earlier is None or not earlier.published:
        raise NotFound.of("twin", f"{resource.id}#{number}")
    return earlier


def _not_ready(resource: Resource) -> InvalidTransition:
    return InvalidTransition(
        "simulated.not_ready",
        Text("仿真数据尚未生成", "The simulated data is not ready yet"),
        fix=Text("请稍后再看", "Come back later"),
        id=resource.id,
    )


def standing(session: Session, resource: Resource) -> Standing:
    """How the table's twins stand now."""
    twin = current(session, resource)
    return Standing(
        twin, stale(session, resource, twin) if twin else (), releases(every(session, resource.id)),
        _latest_job(session, resource.id),
    )  # fmt: skip


def releases(twins: Iterable[Twin]) -> int:
    """Differing sets of rows that were published."""
    return len({t.content_sha256 for t in twins if t.published})


def stale(session: Session, resource: Resource, twin: Twin) -> tuple[str, ...]:
    """Why the twin no longer imitates what is published; empty while it does."""
    if not twin.basis:
        return ("unbound",)
    found: list[str] = []
    if resource.current_version is not None and twin.basis != basis(session, resource):
        found.append("version" if twin.version != resource.current_version else "grades")
    if any(_number(session, parent) != number for parent, number in twin.parents.items()):
        found.append("parents")
    return tuple(found)


def _number(session: Session, resource_id: str) -> int | None:
    resource = session.get(Resource, resource_id)
    twin = current(session, resource) if resource else None
    return twin.number if twin else None


def basis(session: Session, resource: Resource) -> str:
    """Digest of what a twin of the published version is made of: rows, columns with their grades, declared meanings,
    answers to the questions of the field plan."""
    version = repository.version(session, resource.id, resource.current_version or 0)
    columns = [
        (c.name, c.type, c.comment, c.level, c.identifier_role, c.entity)
        for c in repository.columns(session, resource.id)
    ]
    declared = {k: v for k, v in resource.declared.items() if k in _DECLARED}
    answers = sorted((*key, a.semantic) for key, a in plans.answers(session, resource.id).items())
    return key_of("twin", version.lake_digest, columns, declared, answers)


def _latest_job(session: Session, resource_id: str) -> Job | None:
    """The job that makes one now, else the newest, unless it went well."""
    found = [j for j in jobs.of_subject(session, "resource", resource_id) if j.kind == JOB]
    latest = next((j for j in found if j.state in jobs.LIVE), next(iter(found), None))
    return latest if latest and latest.state != jobs.SUCCEEDED else None


# ---- asking for one ----


def ask(unit: Unit, resource_id: str, *, rows: int | None = None, seed: int | None = None) -> Job:
    """An operator asks for a twin; what is left out is as it was for the last one.

    Raises:
        InvalidTransition: the table is not published, or a question of its field plan is open.
        Conflict: one is being made.
        BadInput: rows or seed out of range.
    """
    permissions.check(unit.actor, "simulated:generate")
    resource = repository.get(unit.session, resource_id, locked=True)
    _check_request(rows, seed)
    if resource.state != "published":
        raise InvalidTransition(
            "simulated.not_published", Text("资源尚未发布或已下架", "The resource is not in the catalogue"),
            fix=Text("发布后再生成仿真数据", "Publish it first"), id=resource.id,
        )  # fmt: skip
    if unanswered := plans.questions(unit.session, resource):
        raise InvalidTransition(
            "simulated.open_questions",
            Text(f"还有 {len(unanswered)} 列没有回答", f"{len(unanswered)} columns are still unanswered"),
            fix=Text("请逐列回答，或对其余各列采用默认处理", "Answer them, or take the default for the rest"),
            id=resource.id,
        )
    job = _latest_job(unit.session, resource.id)
    if job is not None and job.state in jobs.LIVE:
        raise Conflict(
            "simulated.in_progress", Text("这张表的仿真数据正在生成", "Simulated data of this table is being made"),
            fix=Text("请等它完成，或先取消该任务", "Wait for it, or cancel that job first"), id=resource.id,
        )  # fmt: skip
    asked: dict[str, Any] = {k: v for k, v in (("rows", rows), ("seed", seed)) if v is not None}
    job = unit.enqueue(JOB, "resource", resource.id, **asked)
    unit.audit("simulated:ask", "resource", resource.id, job=job.id, **asked)
    return job


def _check_request(rows: int | None, seed: int | None) -> None:
    if rows is not None and not 1 <= rows <= MOST_ROWS:
        raise BadInput(
            "simulated.rows", Text(f"行数须在 1 到 {MOST_ROWS:,} 之间", f"Rows must be between 1 and {MOST_ROWS:,}"),
            fix=Text("请改小行数", "Ask for fewer rows"), rows=rows,
        )  # fmt: skip
    if seed is not None and not 0 <= seed <= MOST_SEED:
        raise BadInput(
            "simulated.seed", Text(f"种子须在 0 到 {MOST_SEED} 之间", f"The seed must be between 0 and {MOST_SEED}"),
            fix=Text("请换一个种子，或留空沿用上一次的", "Take another, or leave it out to keep the last one"),
        )  # fmt: skip


def renew(unit: Unit, resource_id: str) -> None:
    """The platform asks for a twin because what it imitates has changed; one that waits already is enough."""
    waiting = _latest_job(unit.session, resource_id)
    if waiting is None or waiting.state != jobs.QUEUED:
        unit.enqueue(JOB, "resource", resource_id)


def renew_stale(unit: Unit) -> list[str]:
    """Ask for a twin of every published table whose twin is stale or missing; returns the tables' ids.

    What failed on the very same data is left to people.
    """
    permissions.check(unit.actor, "simulated:generate")
    asked: list[str] = []
    for resource in repository.every(unit.session, state="published"):
        found = standing(unit.session, resource)
        if found.job is None and (found.current is None or found.stale):
            unit.enqueue(JOB, "resource", resource.id)
            asked.append(resource.id)
    return asked


# ---- recording ----


def record(unit: Unit, resource_id: str, job: Job | None, made: Made) -> Twin:
    """Keep what a simulation made. One that passed every gate becomes the published twin, unless what is published
    imitates a later version already; a refused one is kept for those who govern it."""
    permissions.check(unit.actor, "simulated:generate")
    resource = repository.get(unit.session, resource_id, locked=True)
    outcome = str(made.manifest["verdict"]["outcome"])
    if made.lake_version is not None and outcome not in PASSED:
        raise InvalidTransition("simulated.gate", Text("仿真数据未通过检验，不能发布", "It failed its gates"),
                                id=resource.id)  # fmt: skip
    before = current(unit.session, resource)
    earlier = every(unit.session, resource.id)
    digest = str(made.files.get("manifest", {}).get("sha256", ""))
    twin = Twin(
        id=new_id("twin"), resource_id=resource.id, number=earlier[0].number + 1 if earlier else 1,
        version=made.version, basis=made.basis, parents=dict(made.parents), lake_version=made.lake_version,
        engine=str(made.manifest["engine"]["used"]), seed=int(made.manifest.get("seed", 0)),
        rows=int(made.manifest.get("rows", 0)), content_sha256=str(made.manifest.get("digest", "")), outcome=outcome,
        asked=dict(made.asked), manifest=dict(made.manifest), public=dict(made.public), manifest_sha256=digest,
        signature=base64.b64encode(unit.platform.signing_key.sign(digest.encode())).decode() if digest else "",
        fields=list(made.fields), distributions=list(made.distributions),
        files={k: dict(v) for k, v in made.files.items()},
        job_id=job.id if job else "", made_by=job.created_by if job else unit.actor.id, created_at=unit.now,
    )  # fmt: skip
    unit.session.add(twin)
    unit.session.flush()
    if not twin.published:
        return twin
    if before is None or before.version <= twin.version:
        resource.simulated_version = twin.lake_version
    unit.audit(
        "simulated:publish", "resource", resource.id, twin=twin.number, version=twin.version,
        lake_version=twin.lake_version, engine=twin.engine, seed=twin.seed, rows=twin.rows, manifest=digest,
        releases=releases([twin, *earlier]),
    )  # fmt: skip
    return twin


def followers(session: Session, resource: Resource) -> list[Resource]:
    """Published tables with a twin whose keys came from an earlier twin of this one, or from none: joins with the new
    twin would find nothing. A table that this one refers to itself, however far, is left out: they would chase each
    other for ever."""
    published = {r.name: r for r in repository.every(session, state="published")}
    above = _ancestors(resource, published)
    found = []
    for name, other in published.items():
        twin = current(session, other)
        if twin is None or name in above or name == resource.name or resource.name not in parent_names(other):
            continue
        if twin.parents.get(resource.id) != _number(session, resource.id):
            found.append(other)
    return found


def parent_names(resource: Resource) -> set[str]:
    """Names of the tables this one declares references to."""
    return {link["resource"] for link in resource.declared.get("references", [])} - {resource.name}


def _ancestors(resource: Resource, published: Mapping[str, Resource]) -> set[str]:
    seen: set[str] = set()
    waiting = list(parent_names(resource))
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += parent_names(published[name]) if name in published else ()
    return seen
