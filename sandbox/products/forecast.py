"""What the machine will be able to prove of a job, told before it runs: nothing here reads a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from policies.text import Text
from sandbox.products.carrier import Carried, Refusal, Refused, Relation, Suspect, allowed, carry, lineage
from sandbox.products.carrier.lineage import Program
from sandbox.products.compile import cube_sql
from sandbox.products.source import Source, column_names
from sandbox.products.spec import Cube, JobSpec
from sandbox.products.spec_parts import Step

Fate = Literal["carried", "reference", "free", "script", "refused", "waiting"]
FATES = {
    "carried": Text("随行携带主体", "carried"),
    "reference": Text("参照，按发布核查", "a reference, judged like a release"),
    "free": Text("与此类主体无关", "not about them"), "script": Text("脚本，黑盒核查", "a script: black-box lane"),
    "refused": Text("不能推导", "refused"), "waiting": Text("前面的步骤不能推导", "an earlier step is refused"),
}  # fmt: skip
_EDGES = {
    "min": Text("最小值、最大值接近门槛时须人工复核", "minima and maxima near the threshold need a person"),
    "quantile": Text("分位数接近门槛时须人工复核", "quantiles near the threshold need a person"),
}


@dataclass(frozen=True, slots=True)
class Outlook:
    """What becomes of one step (or reference, or the product) for one kind of entity.

    `frozen`: sub-queries that are judged as if released. `refusals`: why it cannot be derived, each with its repair.
    """

    kind: str
    step: str
    fate: Fate
    owner: str = "none"
    frozen: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Review:
    """Something of the job that a person will decide about, and the place in the specification it comes from."""

    path: str
    text: Text


def forecast(spec: JobSpec, sources: Mapping[str, Source]) -> list[Outlook]:
    """For every kind of entity that an input holds, what becomes of every step, in order; the product comes last."""
    kinds = dict.fromkeys(key.kind for source in sources.values() for key in source.keys)
    return [one for kind in kinds for one in _of_kind(spec, kind, relations(sources, kind))]


def relations(sources: Mapping[str, Source], kind: str) -> dict[str, Relation]:
    """The inputs as the carrier knows them for one kind: the granted columns, and which of them tell the owner."""
    found = {}
    for alias, source in sources.items():
        columns = tuple(column_names(source))
        keys = [key for key in source.keys if key.kind == kind]
        domains = {c: domain for key in keys for c, domain in key.domains.items() if c in columns}
        found[alias] = Relation(columns, "one" if keys else "none", domains)
    return found


def _of_kind(spec: JobSpec, kind: str, known: dict[str, Relation]) -> Iterator[Outlook]:
    lost: set[str] = set()
    for step in spec.sequence:
        name = step.name
        if isinstance(step, Cube):
            fate = _read(kind, name, [known.get(a) for a in step.used], "reference")
            known[name] = Relation(tuple(step.output_columns))
        elif step.script is not None:
            fate = Outlook(kind, name, "script")
        else:
            fate = _step(kind, step, known, lost)
        if fate.fate in ("script", "refused", "waiting"):
            lost.add(name)
            known.pop(name, None)
        yield fate
    yield _read(kind, "product", [known.get(a) for a in spec.used], "carried")


def _read(kind: str, name: str, read: list[Relation | None], fate: Fate) -> Outlook:
    """A cube over relations, of which None is one that could not be derived."""
    if None in read:
        return Outlook(kind, name, "waiting")
    owners = {one.owner for one in read if one is not None} - {"none"}
    owner = "several" if "several" in owners else "one" if owners else "none"
    return Outlook(kind, name, fate if owners else "free", owner)


def _step(kind: str, step: Step, known: dict[str, Relation], lost: set[str]) -> Outlook:
    try:
        made: Carried = carry(str(step.sql), known, step=step.name, several=step.owners == "several")
    except Refused as refused:
        waiting = any(r.code == "table.unknown" for r in refused.refusals) and any(
            name in str(step.sql) for name in lost
        )
        return Outlook(kind, step.name, "waiting") if waiting else Outlook(
            kind, step.name, "refused", refusals=refused.refusals
        )  # fmt: skip
    known[step.name] = made.relation
    owner = made.relation.owner
    frozen = tuple(one.text for one in made.frozen)
    return Outlook(kind, step.name, "free" if owner == "none" and not frozen else "carried", owner, frozen)


def unprovable(spec: JobSpec) -> list[Refusal]:
    """SQL steps that no catalogue can make provable: what they use is not on the second allow-list."""
    found: list[Refusal] = []
    names = list(spec.inputs)
    for step in spec.sequence:
        if isinstance(step, Step) and step.sql is not None:
            try:
                allowed(step.sql, names, step=step.name)
            except Refused as refused:
                found += refused.refusals
        names.append(step.name)
    return found


def suspects(spec: JobSpec, sources: Mapping[str, Source]) -> tuple[Suspect, ...]:
    """Expressions that an officer will be shown: they may treat entities apart by who they are. Raises `Refused`."""
    tables = {alias: tuple(column_names(source)) for alias, source in sources.items()}
    roles = {alias: {c: source.role(c) for c in tables[alias]} for alias, source in sources.items()}
    steps = {
        one.name: cube_sql(one, numbered=False) if isinstance(one, Cube) else str(one.sql) for one in spec.sequence
    }
    return lineage(Program(tables, steps, cube_sql(spec, numbered=False)), roles)[1]


def reviews(spec: JobSpec) -> list[Review]:
    """What of a job goes to people whatever the numbers are, and what does where a number lies near a threshold."""
    found = []
    for i, step in enumerate(spec.prepare, start=1):
        if step.script is not None:
            text = Text(
                "脚本不能由机器证明，走黑盒核查，由人决定", "no machine proves a script: black-box lane and a person"
            )
            found.append(Review(f"prepare[{i}]", text))
        if step.owners == "several":
            text = Text("一行属于多个主体，须人工复核", "rows belong to several entities: a person decides")
            found.append(Review(f"prepare[{i}].owners", text))
    named: list[tuple[str, Cube]] = [("product" if spec.edition > 1 else "", spec)]
    named += [(f"reference[{i}]", one) for i, one in enumerate(spec.reference, start=1)]
    for place, cube in named:
        for name, measure in cube.measures.items():
            edge = {"min": "min", "max": "min", "quantile": "quantile", "median": "quantile"}.get(measure.op)
            if edge:
                found.append(Review(".".join(filter(None, (place, "measures", name))), _EDGES[edge]))
    return found
