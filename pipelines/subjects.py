"""Facts about entities verified over every row of a table, compared with the tables that share a domain with it.

Values are compared as values, never by a hash. What a fact rests on is counted in one scan each; an example is masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policies.text import Text, UserError
from sandbox.catalog import repository, subjects
from sandbox.catalog.entityfacts import EntityFact, Facts
from sandbox.catalog.keys import normal_key
from sandbox.catalog.repository import Resource
from sandbox.catalog.subjects import Checked, KindCheck
from sandbox.detection.mask import mask
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.unit import Unit
from sandbox.lake import Lake
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
    fact: EntityFact
    files: tuple[str, ...]
    through: tuple[str, ...]
    """files of the table that knows its owners; empty where it knows them itself"""


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
                yield Other(one.name, kind, fact, files, owner.files if owner else ())


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


def verify(files: Sequence[str], columns: Sequence[Column], beside: Around, scratch: Path) -> Checked:
    """Verify the facts of one table over all rows of `files`, and propose what its rows would bear out besides."""
    import duckdb

    facts = beside.facts
    if not files:
        kinds = {kind: KindCheck(0, 0, 0, _absent(fact, columns), []) for kind, fact in facts.entities.items()}
        return Checked(facts.digest, 0, {k: one.as_dict() for k, one in kinds.items()}, [])
    options: dict[str, Any] = {"memory_limit": MEMORY, "temp_directory": str(scratch), "threads": 2}
    with duckdb.connect(":memory:", config=options) as con:
        con.execute(f"CREATE VIEW own AS SELECT * FROM {_read(files)}")
        (rows,) = con.execute("SELECT count(*) FROM own").fetchall()[0]
        found = {kind: _kind(con, kind, fact, columns, beside) for kind, fact in facts.entities.items()}
        _tell_shared_keys(con, found)
        proposals = _proposals(con, columns, beside, found)
    return Checked(facts.digest, int(rows), {kind: one.as_dict() for kind, one in found.items()}, proposals)


def _read(files: Sequence[str]) -> str:
    return f"read_parquet([{', '.join(literal(f) for f in files)}])"


def _absent(fact: EntityFact, columns: Sequence[Column]) -> list[dict[str, Any]]:
    missing = set(fact.columns) - {c.name for c in columns}
    return [{"code": "column", "column": name} for name in sorted(missing)]


def _kind(
    con: duckdb.DuckDBPyConnection, kind: str, fact: EntityFact, columns: Sequence[Column], beside: Around
) -> KindCheck:
    """One kind: a view `kind_<kind>` of the table's rows with their entity `__e`, and everything that depends on it."""
    failures = _absent(fact, columns)
    owner = beside.owners.get(kind)
    if fact.through and owner is None:
        failures.append({"code": "resource", "resource": fact.through.resource})
    if failures:
        return KindCheck(0, 0, 0, failures, [])
    if fact.through and owner and (told := _not_unique(con, fact, owner)):
        return KindCheck(0, 0, 0, [told], [])
    keys = identifier(f"keys_{kind}")
    con.execute(f"CREATE TABLE {keys} AS {_entities('own', fact, owner.files if owner else ())}")
    con.execute(f"CREATE VIEW {_view(kind)} AS {_with_entity('own', fact, keys)}")
    text = f"SELECT count(*), count(*) FILTER (WHERE __e IS NULL), count(DISTINCT __e) FROM {_view(kind)}"
    rows, missing, entities = con.execute(text).fetchall()[0]
    if missing > fact.missing_share_max * rows:
        share, most = round(100 * missing / rows, 2), round(100 * fact.missing_share_max, 2)
        failures.append({"code": "missing", "share": share, "most": most})
    failures += [f for column in fact.domains if (f := _several(con, kind, column)) is not None]
    failures += [f for other in beside.others if other.kind == kind for f in _across(con, kind, fact.domains, other)]
    through = {"resource": owner.resource_id, "lake_version": owner.lake_version} if owner else None
    return KindCheck(rows, missing, entities, failures, [], through)


def _view(kind: str) -> str:
    return identifier(f"kind_{kind}")


def _entities(table: str, fact: EntityFact, owners: Sequence[str]) -> str:
    """Value of the key column → its entity `__e`, each value once: its normal form, or as the other table has it."""
    if fact.through is None:
        values = f"SELECT DISTINCT {identifier(fact.column)}::VARCHAR AS k FROM {table}"
        return f"SELECT k, {normal_key('k')} AS __e FROM ({values})"
    key, owner = identifier(fact.through.key), identifier(fact.through.owner)
    return f"SELECT {key}::VARCHAR AS k, {normal_key(owner)} AS __e FROM {_read(owners)}"


def _with_entity(table: str, fact: EntityFact, entities: str) -> str:
    """The rows of `table` with the entity each belongs to, as `__e`."""
    return f"SELECT t.*, o.__e FROM {table} t LEFT JOIN {entities} o ON t.{identifier(fact.column)}::VARCHAR = o.k"


def _not_unique(con: duckdb.DuckDBPyConnection, fact: EntityFact, owner: Owner) -> dict[str, Any] | None:
    """The key that owners are looked up by names one row each; a column that is not there is told likewise."""
    assert fact.through is not None
    named = {name for (name, *_) in con.execute(f"DESCRIBE SELECT * FROM {_read(owner.files)}").fetchall()}
    if lacking := {fact.through.key, fact.through.owner} - named:
        return {"code": "column", "column": f"{fact.through.resource}.{min(lacking)}"}
    key = identifier(fact.through.key)
    text = (f"SELECT count(*), min(k) FROM (SELECT {key}::VARCHAR AS k FROM {_read(owner.files)} "
            f"WHERE {key} IS NOT NULL GROUP BY ALL HAVING count(*) > 1)")  # fmt: skip
    return _told(con, text, "through", column=fact.through.key, resource=fact.through.resource)


def _told(con: duckdb.DuckDBPyConnection, text: str, code: str, **named: str) -> dict[str, Any] | None:
    """A failure with its count and one masked value, None where the statement counts nothing."""
    count, example = con.execute(text).fetchall()[0]
    return {"code": code, **named, "count": int(count), "example": mask(example)} if count else None


def _pairs(view: str, column: str) -> str:
    name = identifier(column)
    return f"SELECT DISTINCT {name}::VARCHAR AS k, __e FROM {view} WHERE {name} IS NOT NULL AND __e IS NOT NULL"


def _several(con: duckdb.DuckDBPyConnection, kind: str, column: str) -> dict[str, Any] | None:
    """Values of the column that belong to more than one entity: count(DISTINCT (k, e)) = count(DISTINCT k)."""
    several = f"SELECT k FROM ({_pairs(_view(kind), column)}) GROUP BY k HAVING count(*) > 1"
    text = f"SELECT count(*), min(k) FROM ({several})"
    return _told(con, text, "determined_by", column=column)


def _across(
    con: duckdb.DuckDBPyConnection, kind: str, domains: Mapping[str, str], other: Other
) -> Iterable[dict[str, Any]]:
    """Values of a shared domain that belong to one entity here and to another one there."""
    theirs = {domain: column for column, domain in other.fact.domains.items()}
    shared = [(column, theirs[domain]) for column, domain in domains.items() if domain in theirs]
    for column, there in shared:
        table = _read(other.files)
        rows = f"({_with_entity(table, other.fact, f'({_entities(table, other.fact, other.through)})')})"
        text = (f"SELECT count(DISTINCT a.k), min(a.k) FROM ({_pairs(_view(kind), column)}) a "
                f"JOIN ({_pairs(rows, there)}) b ON a.k = b.k WHERE a.__e <> b.__e")  # fmt: skip
        if (told := _told(con, text, "domain", column=column, resource=other.resource)) is not None:
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
        other.kind: {"kind": other.kind, "column": other.fact.column, "why": "same_name", "resource": other.resource}
        for other in beside.others
        if other.kind not in facts.entities and not other.fact.through and other.fact.column in names
        and other.fact.column not in used
    }  # fmt: skip
    determining = [_determining(con, kind, columns, beside, used) for kind, one in found.items() if one.entities > 1]
    return [*offered.values(), *(proposal for some in determining for proposal in some)]


def _determining(
    con: duckdb.DuckDBPyConnection, kind: str, columns: Sequence[Column], beside: Around, used: set[str]
) -> Iterable[dict[str, Any]]:
    """Columns of codes, each of which has one entity; of the domain of another table's column of that name where the
    two agree, else of a domain of their own."""
    others = [o for o in beside.others if o.kind == kind]
    domains = {c: d for o in others for c, d in o.fact.domains.items()}
    (entities,) = con.execute(f"SELECT count(DISTINCT __e) FROM {_view(kind)}").fetchall()[0]
    likely = [c for c in columns if c.name not in used and c.distinct >= entities and c.type == "text"]
    for column in likely[:MOST_CANDIDATES]:
        if not _coded(con, column.name) or _several(con, kind, column.name) is not None:
            continue
        domain = domains.get(column.name, "")
        if not domain or any(told for o in others for told in _across(con, kind, {column.name: domain}, o)):
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
                lambda v=version, c=columns: verify(lake.files(resource.typed_table, v), c, beside, work.folder),  # type: ignore[misc]
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
