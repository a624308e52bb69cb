"""Facts about entities verified over every row of a table, compared with the tables that share a domain with it.

Values are compared as values, never by a hash. What a fact rests on is counted in one scan each; an example is masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.watching import Claim, Page
from policies.text import Text, UserError
from sandbox.catalog import repository, subjects
from sandbox.catalog.entityfacts import EntityFact, Facts
from sandbox.catalog.repository import Resource
from sandbox.catalog.subjects import Checked, KindCheck
from sandbox.detection.mask import mask
from sandbox.kernel.jobs import ClaimLost, Effect, Job, Work
from sandbox.kernel.unit import Unit
from sandbox.lake import Lake
from sandbox.products import factcheck
from sandbox.products.budget import Cancelled, Clock, Watch
from sandbox.products.source import EntityKey, Through, scan
from sandbox.workspaces.engine import identifier, literal

if TYPE_CHECKING:
    import duckdb

MEMORY = "2GB"
MOST_CANDIDATES = 12
"""columns of a table that are tried as a determining column nobody has declared"""
CODE = r"^[A-Za-z0-9_./:-]{4,64}$"


@dataclass(frozen=True, slots=True)
class Column:
    """What is known of a column before its rows are read again."""

    name: str
    type: str
    distinct: int
    missing: int


@dataclass(frozen=True, slots=True)
class Owner:
    """The table that knows the owners of another one."""

    resource_id: str
    lake_version: int
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Other:
    """Another published table with entities of one kind."""

    resource: str
    kind: str
    key: EntityKey
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Around:
    """The tables beside the one that is verified."""

    name: str
    facts: Facts
    owners: Mapping[str, Owner | None]
    """kind → the table its `through` names; None where there is no single one"""
    others: tuple[Other, ...]


def around(unit: Unit, resource: Resource, lake: Lake) -> Around:
    """What the database says of the tables that a verification has to look at, each in its published version."""
    facts = resource.facts
    known = [r for r in repository.every(unit.session) if r.id != resource.id]
    owners = {
        kind: _owner(unit, resource, fact.through.resource, known, lake)
        for kind, fact in facts.entities.items() if fact.through
    }  # fmt: skip
    return Around(resource.name, facts, owners, tuple(_others(unit, known, lake)))


def _others(unit: Unit, known: Iterable[Resource], lake: Lake) -> Iterable[Other]:
    for one in known:
        if one.current_version is None:
            continue
        files = _files(unit, one, lake)[1]
        for kind, fact in one.facts.entities.items():
            owner = _owner(unit, one, fact.through.resource, known, lake) if fact.through else None
            if files and (fact.through is None or owner is not None):
                yield Other(one.name, kind, key_of(kind, fact, owner.files if owner else ()), files)


def _owner(unit: Unit, asking: Resource, name: str, known: Iterable[Resource], lake: Lake) -> Owner | None:
    """The resource of that name: the same department's first, else the only one. None where none was taken in."""
    named = [r for r in known if r.name == name and subjects.newest(unit.session, r) is not None]
    own = [r for r in named if r.organisation_id == asking.organisation_id]
    chosen = own or named
    if len(chosen) != 1:
        return None
    version, files = _files(unit, chosen[0], lake)
    return Owner(chosen[0].id, version, files) if files else None


def _files(unit: Unit, resource: Resource, lake: Lake) -> tuple[int, tuple[str, ...]]:
    number = resource.current_version or subjects.newest(unit.session, resource) or 0
    version = repository.version(unit.session, resource.id, number).lake_version
    return version, tuple(lake.files(resource.typed_table, version))


def verify(
    files: Sequence[str], columns: Sequence[Column], beside: Around, scratch: Path, watch: Watch | None = None
) -> Checked:  # fmt: skip
    """Verify the facts of one table over all rows of `files`, and propose what its rows would bear out besides.

    `watch` is told how far it is, and may stop it within a second: raises `budget.Cancelled`.
    """
    import duckdb

    facts = beside.facts
    if not files:
        kinds = {kind: KindCheck(0, 0, 0, _absent(fact, columns), []) for kind, fact in facts.entities.items()}
        return Checked(facts.digest, 0, {k: one.as_dict() for k, one in kinds.items()}, [])
    options: dict[str, Any] = {"memory_limit": MEMORY, "temp_directory": str(scratch), "threads": 2}
    with duckdb.connect(":memory:", config=options) as con:
        con.execute(f"CREATE VIEW own AS SELECT * FROM {_read(files)}")
        (rows,) = con.execute("SELECT count(*) FROM own").fetchall()[0]
        clock = Clock(con, None, watch)
        clock.plain_run_ended(_steps(beside))
        with clock.running():
            found = {kind: _kind(con, kind, fact, columns, beside, clock) for kind, fact in facts.entities.items()}
            with clock.step("shared"):
                _tell_shared_keys(con, found)
            with clock.step("proposals"):
                proposals = _proposals(con, columns, beside, found)
    return Checked(facts.digest, int(rows), {kind: one.as_dict() for kind, one in found.items()}, proposals)


def _steps(beside: Around) -> int:
    """How many steps a verification has, at most."""
    declared = beside.facts.entities
    others = sum(1 for other in beside.others if other.kind in declared)
    return 2 + others + sum(1 + len(fact.determined_by) for fact in declared.values())


def _read(files: Sequence[str]) -> str:
    return f"read_parquet([{', '.join(literal(f) for f in files)}])"


def _absent(fact: EntityFact, columns: Sequence[Column]) -> list[dict[str, Any]]:
    missing = set(fact.columns) - {c.name for c in columns}
    return [{"code": "column", "column": name} for name in sorted(missing)]


def _kind(
    con: duckdb.DuckDBPyConnection, kind: str, fact: EntityFact, columns: Sequence[Column], beside: Around, clock: Clock
) -> KindCheck:  # fmt: skip
    """One kind: a view `kind_<kind>` of the table's rows with their entity `__e`, and everything that depends on it."""
    failures = _absent(fact, columns)
    owner = beside.owners.get(kind)
    if fact.through and owner is None:
        failures.append({"code": "resource", "resource": fact.through.resource})
    if failures:
        return KindCheck(0, 0, 0, failures, [])
    key, keys = key_of(kind, fact, owner.files if owner else ()), identifier(f"keys_{kind}")
    with clock.step(f"{kind}:owners"):
        if fact.through and (told := _owner_told(con, key, fact.through.resource)):
            return KindCheck(0, 0, 0, [told], [])
        con.execute(f"CREATE TABLE {keys} AS {factcheck.entities('own', key)}")
        con.execute(f"CREATE VIEW {_view(kind)} AS {factcheck.with_entity('own', key, keys)}")
        text = f"SELECT count(*), count(*) FILTER (WHERE __e IS NULL), count(DISTINCT __e) FROM {_view(kind)}"
        rows, missing, entities = con.execute(text).fetchall()[0]
    if missing > fact.missing_share_max * rows:
        share, most = round(100 * missing / rows, 2), round(100 * fact.missing_share_max, 2)
        failures.append({"code": "missing", "share": share, "most": most})
    failures += _determined(con, key, beside, clock)
    through = {"resource": owner.resource_id, "lake_version": owner.lake_version} if owner else None
    return KindCheck(rows, missing, entities, failures, [], through)


def _determined(
    con: duckdb.DuckDBPyConnection, key: EntityKey, beside: Around, clock: Clock
) -> list[dict[str, Any]]:  # fmt: skip
    """Each further column has one entity a value, here and against every table that shares its domain."""
    failures = []
    for column in factcheck.determining(key):
        with clock.step(f"{key.kind}:{column}"):
            found = factcheck.several(con, _view(key.kind), column)
        failures += [told] if (told := _told(found, "determined_by", column=column)) else []
    for other in (one for one in beside.others if one.kind == key.kind):
        with clock.step(f"{key.kind}:{other.resource}"):
            failures += _across(con, key, other)
    return failures


def key_of(kind: str, fact: EntityFact, files: tuple[str, ...]) -> EntityKey:
    """A declared fact as the proofs know it; `files` are those of the table that it leads through."""
    through = Through(files, fact.through.key, fact.through.owner) if fact.through else None
    return EntityKey(kind, fact.column, fact.domains, through, fact.holding, fact.missing_share_max)


def _view(kind: str) -> str:
    return identifier(f"kind_{kind}")


def _owner_told(con: duckdb.DuckDBPyConnection, key: EntityKey, resource: str) -> dict[str, Any] | None:
    """The key that owners are looked up by names one row each; a column that is not there is told likewise."""
    assert key.through is not None
    named = {name for (name, *_) in con.execute(f"DESCRIBE SELECT * FROM {scan(key.through)}").fetchall()}
    if lacking := {key.through.key, key.through.owner} - named:
        return {"code": "column", "column": f"{resource}.{min(lacking)}"}
    return _told(factcheck.repeated(con, key), "through", column=key.through.key, resource=resource)


def _told(found: factcheck.Found | None, code: str, **named: str) -> dict[str, Any] | None:
    """A failure with its count and one masked value."""
    return {"code": code, **named, "count": found[0], "example": mask(found[1])} if found else None


def _across(con: duckdb.DuckDBPyConnection, key: EntityKey, other: Other) -> Iterable[dict[str, Any]]:
    """Values of a shared domain that belong to one entity here and to another one there."""
    table = _read(other.files)
    rows = f"({factcheck.with_entity(table, other.key, f'({factcheck.entities(table, other.key)})')})"
    for column, there in factcheck.shared(key, other.key):
        found = factcheck.elsewhere(con, _view(key.kind), column, rows, there)
        if (told := _told(found, "domain", column=column, resource=other.resource)) is not None:
            yield told


def _tell_shared_keys(con: duckdb.DuckDBPyConnection, found: Mapping[str, KindCheck]) -> None:
    """Keys that are of two kinds at once (a sole trader's firm under the owner's number): told, not refused."""
    held = [kind for kind, one in found.items() if one.rows]
    for place, kind in enumerate(held):
        for second in held[place + 1 :]:
            text = (f"SELECT count(*) FROM (SELECT DISTINCT __e FROM {_view(kind)} WHERE __e IS NOT NULL "
                    f"INTERSECT SELECT DISTINCT __e FROM {_view(second)} WHERE __e IS NOT NULL)")  # fmt: skip
            (count,) = con.execute(text).fetchall()[0]
            if count:
                found[kind].notes.append({"code": "shared", "kind": second, "count": int(count)})


def _proposals(
    con: duckdb.DuckDBPyConnection, columns: Sequence[Column], beside: Around, found: Mapping[str, KindCheck]
) -> list[dict[str, Any]]:
    """Facts nobody has declared: columns named like the key of a kind elsewhere, codes that determine an entity."""
    facts, names = beside.facts, [c.name for c in columns]
    used = {c for fact in facts.entities.values() for c in fact.columns}
    offered = {
        other.kind: {"kind": other.kind, "column": other.key.column, "why": "same_name", "resource": other.resource}
        for other in beside.others
        if other.kind not in facts.entities and not other.key.through and other.key.column in names
        and other.key.column not in used
    }  # fmt: skip
    determining = [_determining(con, kind, columns, beside, used) for kind, one in found.items() if one.entities > 1]
    return [*offered.values(), *(proposal for some in determining for proposal in some)]


def _determining(
    con: duckdb.DuckDBPyConnection, kind: str, columns: Sequence[Column], beside: Around, used: set[str]
) -> Iterable[dict[str, Any]]:
    """Columns of codes, each of which has one entity; of the domain of another table's column of that name where the
    two agree, else of a domain of their own."""
    others = [o for o in beside.others if o.kind == kind]
    domains = {c: d for o in others for c, d in factcheck.determining(o.key).items()}
    (entities,) = con.execute(f"SELECT count(DISTINCT __e) FROM {_view(kind)}").fetchall()[0]
    likely = [c for c in columns if c.name not in used and c.distinct >= entities and c.type == "text"]
    for column in likely[:MOST_CANDIDATES]:
        if not _coded(con, column.name) or factcheck.several(con, _view(kind), column.name) is not None:
            continue
        domain = domains.get(column.name, "")
        tried = EntityKey(kind, "", {column.name: domain})
        if not domain or any(told for o in others for told in _across(con, tried, o)):
            domain = f"{beside.name}.{column.name}"
        yield {"kind": kind, "column": column.name, "domain": domain, "why": "determines"}


def _coded(con: duckdb.DuckDBPyConnection, column: str) -> bool:
    """Whether the column holds codes and nothing else: free text that happens to be unique is no key."""
    name = identifier(column)
    coded = f"coalesce(bool_and(regexp_full_match({name}, {literal(CODE)})), false)"
    text = f"SELECT {coded} FROM own WHERE {name} IS NOT NULL"
    return bool(con.execute(text).fetchall()[0][0])


def findings(checked: Checked) -> list[dict[str, Any]]:
    """What the delivery is told: every fact that its rows do not bear out, with what to do."""
    found = []
    for failure in checked.failures:
        said, fix = subjects.words_of(failure)
        kind = failure["kind"]
        detail = Text(f"主体“{kind}”：{said.zh}。{fix.zh}", f"Entity “{kind}”: {said.en}. {fix.en}")
        found.append({"code": f"subject_{failure['code']}", "detail": detail.as_dict()})
    return found


def verified(
    work: Work, files: Sequence[str], columns: Sequence[Column], beside: Around, span: tuple[int, int]
) -> Checked:  # fmt: skip
    """`verify` as a step of a job: it shows how far it is and ends when the job is no longer ours (`ClaimLost`)."""
    try:
        return verify(files, columns, beside, work.folder, Page(work, span, Claim(work), "subjects"))
    except Cancelled:
        raise ClaimLost(work.job.key) from None


class CheckSubjects:
    """Verifies the facts of a resource again after they were declared anew: over the published and the waiting rows."""

    def run(self, work: Work) -> Effect:
        lake = Lake(work.platform.settings.lake_root)
        with work.platform.system() as unit:
            resource = repository.get(unit.session, work.job.subject_id)
            beside = around(unit, resource, lake)
            versions = subjects.to_check(unit.session, resource)
            wanted = {v.lake_version: _columns_of(unit, resource, v.number) for v in versions}
        found = {
            version: work.step(
                "subjects", 10,
                lambda v=version, c=columns: verified(work, lake.files(resource.typed_table, v), c, beside, (10, 90)),  # type: ignore[misc]
            )
            for version, columns in wanted.items()
        }  # fmt: skip

        def effect(unit: Unit) -> Mapping[str, Any]:
            for version, checked in found.items():
                subjects.record(unit, resource.id, version, checked)
            return {"failures": sum(len(c.failures) for c in found.values())}

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        """What is not verified is not used; an operator retries the job."""


def _columns_of(unit: Unit, resource: Resource, number: int) -> list[Column]:
    return [
        Column(c.name, c.type, c.distinct, c.missing) for c in repository.columns(unit.session, resource.id, number)
    ]  # fmt: skip
