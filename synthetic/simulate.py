"""仿真数据 from a real table and its field plan: check, split, fit, draw, fill, judge, describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from policies.text import Text, UserError
from policies.verdict import Outcome, Verdict
from synthetic import fidelity, gates
from synthetic.columns import Conformed, Scale, conform, restore
from synthetic.constraints import beside_blind, fixed_columns, keep_inside, repair
from synthetic.engines.base import Engine, engine_named
from synthetic.engines.schema_engine import SchemaEngine
from synthetic.fields import Constraint, Field, blinded, check_plan, entity_of
from synthetic.filling import Facts, Parent, fill, same
from synthetic.manifest import describe
from synthetic.protect import View, one_per_person, protect
from synthetic.usefulness import check_target

MAX_ROWS = 10_000_000


@dataclass(frozen=True, slots=True)
class Simulated:
    """Simulated rows in the types of the source table, what they are (`manifest`, JSON-able), and the verdict.

    The rows are there even when the verdict blocks; `write_published` refuses those.
    """

    frame: pl.DataFrame
    manifest: dict[str, Any]
    verdict: Verdict


def simulate(
    frame: pl.DataFrame,
    fields: Sequence[Field],
    *,
    rows: int,
    seed: int,
    engine: str = "auto",
    policy: Any = None,
    name: str = "table",
    constraints: Sequence[Constraint] = (),
    parents: Mapping[str, Parent] | None = None,
    target: str | None = None,
) -> Simulated:
    """Draw `rows` simulated rows. The same arguments give the same frame, byte for byte.

    Args:
        frame: the real table; may have no rows when `engine` is "schema", which reads none in any case.
        engine: "auto" compares the engines the policy names and takes the most faithful one that passes every gate;
            "tree", "sdv" or "schema" asks for one. A table below the policy's minimum of rows always gets "schema".
        policy: a simulation edition; the one in force when left out.
        parents: simulated parent tables by name, for fields with `references`.
        target: the column a model would be trained for, to see what it learns; chosen by rule when left out.

    Raises:
        UserError: a plan that leaves a column unclassified or does not fit the table, an unknown or missing engine.
    """
    edition = policy or _policy_in_force()
    check_plan(fields, frame.columns, constraints)
    _check_request(rows, edition, engine, target, fields)
    people = one_per_person(frame, fields).height
    if engine == "schema" or people < edition.by_check("minimum_rows").parameters.rows:
        frame = frame.clear()  # from here on there is no row to read
    task = _Task.prepare(frame, fields, rows, seed, edition, name, tuple(constraints), parents or {}, people)
    tried = [task.attempt(candidate) for candidate in task.candidates(engine)]
    eligible = [a for a in tried if a.verdict.outcome in (Outcome.PASS, Outcome.REVIEW)]
    if not eligible and engine == "auto" and task.may_fall_back(tried[-1]):
        tried.append(task.attempt(SchemaEngine()))
        eligible = tried[-1:]
    best = max(eligible or tried, key=lambda a: a.evidence.fidelity.ratio or 0.0)
    return task.finish(best, tried, engine, target)


@dataclass(slots=True)
class Attempt:
    """One engine's rows, and what the gates say about them."""

    engine: Engine
    evidence: gates.Evidence
    verdict: Verdict


@dataclass(slots=True)
class _Task:
    """One table on its way. `sides` are rows of disjoint people; `fitted` and `holdout` one row a person of each."""

    name: str
    fields: Sequence[Field]
    schema: Mapping[str, pl.DataType]
    conformed: Conformed
    rows: int
    seed: int
    edition: Any
    constraints: tuple[Constraint, ...]
    parents: Mapping[str, Parent]
    fitted: pl.DataFrame
    holdout: pl.DataFrame
    sides: tuple[pl.DataFrame, pl.DataFrame]
    people: int
    _views: list[View] = field(default_factory=list)
    _facts: dict[str, Facts] = field(default_factory=dict)

    @classmethod
    def prepare(
        cls, frame: pl.DataFrame, fields: Sequence[Field], rows: int, seed: int, edition: Any, name: str,
        constraints: tuple[Constraint, ...], parents: Mapping[str, Parent], people: int,
    ) -> _Task:  # fmt: skip
        limits = edition.by_check("modelled_columns").parameters
        by_name = {f.name: f for f in blinded(fields, limits.max_level, limits.generated_roles)}
        ordered = [by_name[c] for c in frame.columns]
        conformed = conform(frame, ordered)
        fit = edition.by_check("fit_limits").parameters
        sides = split(conformed.frame, ordered, fit.holdout_share, seed)
        fitted, holdout = (one_per_person(side, ordered)[: fit.fit_rows] for side in sides)
        sides = sides[0][: fit.fit_rows], sides[1][: fit.fit_rows]
        return cls(
            name,
            ordered,
            dict(frame.schema),
            conformed,
            rows,
            seed,
            edition,
            constraints,
            parents,
            fitted,
            holdout,
            sides,
            people,
        )

    def may_fall_back(self, last: Attempt) -> bool:
        """True when structure only is allowed and was not what just failed."""
        return "schema" in self.edition.by_check("engines").parameters.allowed and last.engine.reads_rows

    def candidates(self, asked: str) -> list[Engine]:
        """The engines to run; too few rows, or nothing that may be learned, leave only the one that reads none."""
        minimum = self.edition.by_check("minimum_rows").parameters
        if self.conformed.frame.is_empty() or self.people < minimum.rows or not any(f.learned for f in self.fields):
            return [SchemaEngine()]
        names = self.edition.by_check("engines").parameters.auto if asked == "auto" else (asked,)
        return [engine_named(n) for n in names]

    def attempt(self, used: Engine) -> Attempt:
        """Draw, fill, repair and judge with one engine."""
        made = self._draw(used)
        evidence = gates.Evidence(
            used.name, made, self.fields, self.constraints, self.parents,
            people=self.people,
            fidelity=fidelity.Fidelity.unknown(),
            mark=self.edition.by_check("simulated_label").parameters.zh,
            reads_rows=used.reads_rows,
        )  # fmt: skip
        if used.reads_rows:
            evidence.patterned = self._view().patterned
            evidence.real = gates.RealRows(self.conformed.frame, self.fitted, self.holdout)
            evidence.fidelity = fidelity.measure(made, *self.sides, evidence.learned)
        return Attempt(used, evidence, gates.judge(evidence, self.edition))

    def finish(self, best: Attempt, tried: Sequence[Attempt], asked: str, target: str | None) -> Simulated:
        frame = restore(best.evidence.simulated, self.schema, self.conformed.formats)
        view = self._views[0] if best.engine.reads_rows else None
        manifest = describe(
            table=self.name, frame=frame, seed=self.seed, asked=asked, best=best, tried=tried, view=view,
            formats=self.conformed.formats, k=self._k(), target=target,
        )  # fmt: skip
        return Simulated(frame, manifest, best.verdict)

    def _draw(self, used: Engine) -> pl.DataFrame:
        seeds = np.random.SeedSequence(self.seed).spawn(4)
        patterned = self._view().patterned if used.reads_rows else ()
        learned = [f for f in self.fields if f.learned and f.name not in patterned]
        blind = [f for f in self.fields if f.blind and not f.generated and not f.references]
        columns: list[pl.Series] = []
        if learned:
            view = self._view().frame if used.reads_rows else pl.DataFrame()
            drawn = used.fit_sample(view, learned, self.rows, _number(seeds[1]))
            columns += [self._decode(drawn, f, used.reads_rows) for f in learned]
        if blind:
            drawn = SchemaEngine().fit_sample(pl.DataFrame(), blind, self.rows, _number(seeds[2]))
            columns += [Scale.of(f).decode(drawn.get_column(f.name)) for f in blind]
        facts = self._known() if used.reads_rows else {f.name: Facts.none(f) for f in self.fields}
        rng = np.random.default_rng(seeds[3])
        modelled = repair(pl.DataFrame(columns), self.constraints, beside_blind(self.fields, self.constraints))
        if used.reads_rows:
            modelled = keep_inside(modelled, self.constraints, self._inside(modelled), np.random.default_rng(seeds[0]))
        filled = fill(modelled, self.fields, facts, rng, rows=self.rows, parents=self.parents)
        return repair(filled, self.constraints, fixed_columns(self.fields))

    def _decode(self, drawn: pl.DataFrame, one: Field, reads_rows: bool) -> pl.Series:
        column = drawn.get_column(one.name)
        if not reads_rows:
            return Scale.of(one).decode(column)
        view = self._view()
        if one.name in view.bounds:
            column = column.clip(*view.bounds[one.name])
        return view.scales[one.name].decode(column)

    def _inside(self, modelled: pl.DataFrame) -> dict[str, pl.Series]:
        view = self._view()
        return {
            name: view.scales[name].encode(modelled.get_column(name)).round(0).is_between(*bounds)
            for name, bounds in view.bounds.items()
        }

    def _view(self) -> View:
        if not self._views:
            rng = np.random.default_rng(np.random.SeedSequence(self.seed).spawn(1)[0])
            self._views.append(protect(self.fitted, self.fields, k=self._k(), rng=rng))
        return self._views[0]

    def _known(self) -> dict[str, Facts]:
        if not self._facts:
            real = self.conformed.frame
            wanted = [f for f in self.fields if not f.learned or f.name in self._view().patterned]
            self._facts = {f.name: Facts.of(real.get_column(f.name), f, self._k()) for f in wanted}
        return self._facts

    def _k(self) -> int:
        return int(self.edition.by_check("rare_categories").parameters.k)


def split(
    frame: pl.DataFrame, fields: Sequence[Field], holdout_share: float, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two disjoint sides in random order, to fit and to hold out; a person's rows all fall on one side."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    owner = entity_of(fields)
    height = frame.height
    people = np.arange(height) if owner is None else same(frame.get_column(owner.name))
    place = rng.permutation(int(people.max(initial=-1)) + 1)[people]
    held = place < np.quantile(place, holdout_share) if height else np.zeros(0, dtype=bool)
    order = rng.permutation(height)
    inside, outside = order[~held[order]], order[held[order]]
    return frame[inside], frame[outside]


def _number(sequence: np.random.SeedSequence) -> int:
    return int(sequence.generate_state(1)[0])


def _policy_in_force() -> Any:
    from policies.editions import load

    return load("simulation")


def _check_request(rows: int, edition: Any, asked: str, target: str | None, fields: Sequence[Field]) -> None:
    check_target(target, fields)
    if not 1 <= rows <= MAX_ROWS:
        raise UserError(
            "simulation.rows",
            Text("行数须在 1 到 {m} 之间。", "Rows must be between 1 and {m}.").fill(m=MAX_ROWS),
            fix=Text("请改小行数。", "Ask for fewer rows."),
            rows=rows,
        )
    if asked == "auto":
        return
    engine_named(asked)
    if asked not in edition.by_check("engines").parameters.allowed:
        raise UserError(
            "engine.not_allowed",
            Text("规则不允许使用引擎 {e}。", "The policy does not allow the engine {e}.").fill(e=asked),
            fix=Text("请用 auto,或由合规官发布新规则。", "Use auto, or have a new edition published."),
            engine=asked,
        )
