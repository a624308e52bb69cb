"""A job as the proofs see it: every step and reference in order, carried for every kind of entity, and its cubes.

A sub-query that the carrier makes a constant is a reference step that nobody declared: it is read as a cube of its own
and judged like a declared one, or the job is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from policies.text import Text
from sandbox.products.compile import columns_of, cube_sql, joined_sql, partials
from sandbox.products.source import EvidenceError, Source, column_names
from sandbox.products.spec import Cube, JobSpec, Reference
from sandbox.products.spec_parts import Measure, Step

if TYPE_CHECKING:
    from sandbox.products.carrier import Carried, Frozen, Lineage, Refusal, Relation, Suspect


@dataclass(frozen=True, slots=True)
class Task:
    """One cube to be judged. `post` is what makes a frozen sub-query of it, None where the cube is the result."""

    name: str
    cube: Cube
    frozen: bool = False
    post: str | None = None


class Program:
    """Everything a job runs. Raises `EvidenceError` where a step cannot be carried."""

    def __init__(self, spec: JobSpec, sources: Mapping[str, Source], kinds: Sequence[str]) -> None:
        self.sources = sources
        self.columns = {alias: tuple(column_names(source)) for alias, source in sources.items()}
        self.kinds = kinds
        self.items: list[Step | Reference | Frozen] = []
        self.tasks: list[Task] = []
        self.carried: dict[str, dict[str, Carried]] = {kind: {} for kind in kinds or [""]}
        self.relations = {
            kind: {a: _relation(kind, s, self.columns[a]) for a, s in sources.items()} for kind in kinds or [""]
        }
        for item in spec.sequence:
            self._add(item)
        self.tasks.append(Task("product", spec))

    def owners(self, kind: str) -> dict[str, str]:
        """Relation → whether it has the hidden column, for one kind."""
        return {name: relation.owner for name, relation in self.relations[kind].items()}

    def touched(self, kind: str, cube: Cube) -> bool:
        """Whether rows of this kind enter the cube by the plan."""
        return any(self.relations[kind][alias].owner != "none" for alias in cube.used)

    def frozen(self) -> dict[str, str]:
        return {i.name: i.text for i in self.items if not isinstance(i, Step | Reference)}

    def lineage(self, cube: Cube, name: str) -> tuple[list[tuple[str, str]], tuple[Suspect, ...]]:
        """Source columns behind the measures and conditions of a cube, and its suspect expressions."""
        found, suspects = self._lineage(cube, name)
        return sorted((a, c) for a, c in found.values | found.conditions if a in self.sources), suspects

    def steering(self, cube: Cube, name: str) -> set[tuple[str, str]]:
        """Source columns that decide which rows there are and which cell each is in."""
        found, _ = self._lineage(cube, name)
        return {*found.conditions, *found.dimensions}

    def behind(self, cube: Cube, name: str) -> dict[tuple[str, str], set[int]]:
        """Source column → the partials that it has a part in, by value, by condition or by a dimension."""
        found: dict[tuple[str, str], set[int]] = {}
        for i, partial in enumerate(partials(cube)):
            alone = {"measures": {partial.measure: cube.measures[partial.measure]}}
            flow, _ = self._lineage(cube.model_copy(update=alone), name)
            for column in flow.values | flow.conditions | flow.dimensions:
                found.setdefault(column, set()).add(i)
        return found

    @cached_property
    def naming(self) -> Mapping[str, frozenset[tuple[str, str]]]:
        """Kind → source columns that name its entities without being its keys: wherever the job reads them, rows are
        joined by them to the entities. To exchange their values is to exchange owners, and a job could as well write
        the key itself in their place: they are keys for this kind, and not perturbed."""
        return {kind: self._naming(kind) for kind in self.carried}

    def _naming(self, kind: str) -> frozenset[tuple[str, str]]:
        from sandbox.products.carrier import Refused, carry, fold

        relations, found = self.relations[kind], dict[tuple[str, str], bool]()
        try:
            cubes = [carry(joined_sql(task.cube), relations, step=task.name) for task in self.tasks]
        except Refused:
            return frozenset()
        for read in (*self.carried[kind].values(), *cubes):
            found |= {column: names and found.get(column, True) for column, names in read.naming.items()}
        columns = [(alias, c) for alias, names in self.columns.items() for c in names]
        return frozenset((alias, c) for alias, c in columns if found.get((fold(alias), fold(c)), False))

    def made_of(self, cube: Cube) -> dict[str, dict[str, tuple[str, ...]]]:
        """Measure → part → the source columns its amounts are computed from, whatever the steps called them.

        Only columns of entities' own tables count: what a merchant uploads can have any name, and a reference is one
        number for everybody. Nothing left means that an amount is the same for all: it counts people.
        """
        owned = {alias for alias, source in self.sources.items() if source.keys}
        found: dict[str, dict[str, tuple[str, ...]]] = {}
        for partial in partials(cube):
            columns: set[str] = set()
            for column in columns_of(partial):
                alone = {"measures": {partial.measure: Measure(op="sum", of=column)}}
                flow, _ = self._lineage(cube.model_copy(update=alone), "product")
                columns |= {name.casefold() for alias, name in flow.values if alias in owned}
            found.setdefault(partial.measure, {})[partial.part] = tuple(sorted(columns))
        return found

    def _lineage(self, cube: Cube, name: str) -> tuple[Lineage, tuple[Suspect, ...]]:
        from sandbox.products.carrier import Program as Texts
        from sandbox.products.carrier import lineage

        tables = dict(self.columns)
        tables |= {i.name: tuple(i.output_columns) for i in self.items if isinstance(i, Reference)}
        steps = {i.name: str(i.sql) for i in self.items if isinstance(i, Step)}
        keys = frozenset[tuple[str, str]]().union(*self.naming.values())
        roles = {
            alias: {c: "key" if (alias, c) in keys else s.role(c) for c in self.columns[alias]}
            for alias, s in self.sources.items()
        }
        return lineage(Texts(tables, steps, cube_sql(cube, numbered=False), name), roles)

    def key_columns(self, cube: Cube, name: str, kind: str) -> list[tuple[str, str]]:
        """Entity keys behind the amounts of a cube that nothing else but keys, for this kind, and reference data are
        behind."""
        found, naming = set[tuple[str, str]](), self.naming[kind]
        for measure, written in cube.measures.items():
            if not any(p.is_amount for p in partials(cube) if p.measure == measure):
                continue
            lineage, _ = self._lineage(cube.model_copy(update={"measures": {measure: written}}), name)
            owned = {(a, c) for a, c in lineage.values if a in self.sources and self.sources[a].keys}
            if all(self.sources[a].role(c) == "key" or (a, c) in naming for a, c in owned):
                found |= owned
        return sorted(found)

    def _add(self, item: Step | Reference) -> None:
        from sandbox.products.carrier import Refused, Relation, carry

        if isinstance(item, Reference):
            self.tasks.append(Task(item.name, item))
            for relations in self.relations.values():
                relations[item.name] = Relation(tuple(item.output_columns))
        elif item.sql is None:
            raise _beyond(item.name)
        else:
            for kind, relations in self.relations.items():
                try:
                    carried = carry(item.sql, relations, step=item.name, several=item.owners == "several")
                except Refused as refused:
                    raise _refused(refused, kind if len(self.kinds) > 1 else "") from None
                for one in carried.frozen:
                    self._freeze(one, item.name)
                self.carried[kind][item.name] = carried
            for kind, relations in self.relations.items():
                relations[item.name] = self.carried[kind][item.name].relation
        self.items.append(item)

    def _freeze(self, one: Frozen, step: str) -> None:
        from sandbox.products.spec_select import Table, from_select

        if one.name in self.frozen():
            return
        known = {
            name: Table("frozen", relation.columns) for name, relation in next(iter(self.relations.values())).items()
        }
        spec = from_select(one.text, known).spec
        taken = {name.casefold() for name in known}
        if spec is None or any(item.name.casefold() in taken for item in spec.sequence):
            raise EvidenceError(
                "evidence.reference_needed",
                Text(f"步骤 {step} 中的子查询要先算出汇总值", f"A sub-query in step {step} needs a figure first"),
                Text("请把它写成 reference 中的一项", "Write it as an entry of `reference`"),
                step=step,
            )
        for item in spec.sequence:
            self._add(item)
        self.tasks.append(Task(one.name, spec, frozen=True, post=spec.post.sql if spec.post else None))
        self.items.append(one)


def _relation(kind: str, source: Source, columns: tuple[str, ...]) -> Relation:
    from sandbox.products.carrier import Relation

    key = next((key for key in source.keys if key.kind == kind), None)
    if key is None:
        return Relation(columns)
    return Relation(columns, "one", {c: d for c, d in key.domains.items() if c in columns})


def _refused(refused: Exception, kind: str) -> EvidenceError:
    """The carrier's refusals. Where the inputs hold several kinds of entities they say for which of them: a step that
    is fine for persons may merge the clinics of its table."""
    refusals = getattr(refused, "refusals")  # noqa: B009 - the class is imported where it is needed
    refusals = tuple(_about(one, kind) for one in refusals) if kind else refusals
    first = refusals[0]
    return EvidenceError("evidence.refused", first.text, first.repair, step=first.step, line=first.line,
                         column=first.column, refusals=refusals)  # fmt: skip


def _about(one: Refusal, kind: str) -> Refusal:
    text = Text(f"{one.text.zh}（就主体“{kind}”而言）", f"{one.text.en} (for entities of kind “{kind}”)")
    if not one.code.endswith(".not_determined"):
        return replace(one, text=text)
    zh = f"{one.repair.zh}；输入还含“{kind}”的记录，分组时须一并写上它的标识"
    en = f"{one.repair.en}; the inputs hold records of “{kind}” as well, so group by its key too"
    return replace(one, text=text, repair=Text(zh, en))


def _beyond(step: str) -> EvidenceError:
    return EvidenceError(
        "evidence.beyond_proof",
        Text("作业含有机器不能证明的部分", "The job has parts that the machine cannot prove"),
        Text("请把脚本步骤改写为 SQL 步骤", "Write the script as SQL steps"),
        parts=[f"prepare.{step}"],
    )
