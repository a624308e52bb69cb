"""仿真数据 from a real table and its field plan: check, split, fit, draw, fill, judge, describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import polars as pl

from policies.text import UserError
from policies.verdict import Outcome, Verdict
from synthetic import batches, fidelity, gates
from synthetic.batches import NotRun, Progress, Steps
from synthetic.columns import Conformed, Scale, conform, restore
from synthetic.constraints import beside_blind, keep_apart, keep_inside, repair, repair_beside, settled
from synthetic.engines.base import Condition, Engine, Model, cannot_fix, engine_named
from synthetic.engines.schema_engine import SchemaEngine
from synthetic.fields import Constraint, Field, blinded, check_plan, decisions, entity_of, kept, standing
from synthetic.filling import Facts, Parent, fill, same
from synthetic.given import Given, check_given, conditions, fulfilled, must_hold
from synthetic.links import Family
from synthetic.manifest import describe
from synthetic.planning import Planned, Planner
from synthetic.protect import View, one_per_person, protect
from synthetic.refusals import MAX_ROWS, check_engine, check_rows, guarded, none_ran
from synthetic.ties import Ties
from synthetic.usefulness import check_target


@dataclass(frozen=True, slots=True)
class Simulated:
    """Simulated rows in the types of the source table, what they are (`manifest`, JSON-able), and the verdict.

    The rows are there even when the verdict blocks; `write_published` refuses those.
    """

    frame: pl.DataFrame
    manifest: dict[str, Any]
    verdict: Verdict


class Sink(Protocol):
    """Takes the batches of a table that is too large for memory."""

    def begin(self) -> None:
        """Forget what was taken: the rows begin anew, because an engine failed a gate and another one takes over."""
        ...

    def take(self, frame: pl.DataFrame) -> None:
        """The next rows, in the types of the source table."""
        ...


def simulate(
    frame: pl.DataFrame, fields: Sequence[Field], *, rows: int, seed: int, engine: str = "auto", policy: Any = None,
    name: str = "table", constraints: Sequence[Constraint] = (), parents: Mapping[str, Parent] | None = None,
    family: Family | None = None, given: Given | None = None, target: str | None = None,
    planner: Planner | None = None, progress: Progress | None = None,
) -> Simulated:  # fmt: skip
    """Draw `rows` simulated rows. The same arguments give the same frame, byte for byte.

    Args:
        frame: the real table; may have no rows when `engine` is "schema", which reads none in any case.
        engine: "auto" compares the engines the policy names and takes the most faithful one that passes every gate;
            "tree", "sdv", "ctgan" or "schema" asks for one. A table below the policy's minimum of rows always gets
            "schema".
        policy: a simulation edition; the one in force when left out.
        parents: simulated parent tables by name, for fields with `references`; `family`: what relatives know.
        given: columns fixed to a value, to missing (None) or to a range (`Between`); every row fulfils them exactly.
        target: the column a model would be trained for, to see what it learns; chosen by rule when left out.
        planner: asked once for a generator plan where columns are drawn from the catalogue alone; rules without one.
        progress: told before each step, see `batches.Progress`; what it raises cancels the run.

    The rows come back even when the verdict blocks; `write_published` refuses those.

    Raises:
        UserError: a plan that leaves a column unclassified or does not fit the table, an unknown or missing engine, a
            condition that cannot be fulfilled.
    """
    check_rows(rows, MAX_ROWS)
    taken = _Frames()
    manifest, verdict = simulate_into(
        taken, frame, fields, rows=rows, seed=seed, engine=engine, policy=policy, name=name, constraints=constraints,
        parents=parents, family=family, given=given, target=target, planner=planner, progress=progress,
    )  # fmt: skip
    return Simulated(pl.concat(taken.frames), manifest, verdict)


def simulate_into(
    sink: Sink,
    frame: pl.DataFrame, fields: Sequence[Field], *, rows: int, seed: int, engine: str = "auto", policy: Any = None,
    name: str = "table", constraints: Sequence[Constraint] = (), parents: Mapping[str, Parent] | None = None,
    family: Family | None = None, given: Given | None = None, target: str | None = None,
    planner: Planner | None = None, progress: Progress | None = None,
) -> tuple[dict[str, Any], Verdict]:  # fmt: skip
    """`simulate` for any number of rows, in flat memory: `sink` takes the same rows batch by batch.

    Every gate runs on every row. A sink holds rows of which nobody knows yet whether they pass: show them to nobody
    before the verdict is back (`synthetic.streaming.ParquetSink` keeps them under a temporary name until then).

    Returns:
        The manifest and the verdict over all rows.
    """
    edition = policy or policy_in_force()
    check_plan(fields, frame.columns, constraints)
    constraints = standing(constraints, fields)
    decided, fields = decisions(fields), kept(fields)
    frame = frame.drop(set(frame.columns) - {f.name for f in fields})
    check_target(target, fields)
    check_rows(rows, None)
    family = family or Family()
    check_engine(engine, edition, family)
    people = one_per_person(frame, fields).height
    if engine == "schema" or people < edition.by_check("minimum_rows").parameters.rows:
        frame = frame.clear()  # from here on there is no row to read
    task = _Task.prepare(
        frame, fields, rows, seed, edition, name, constraints, parents or {}, people, given or {}, family
    )
    task.planner, task.target = planner, target
    manifest, verdict = task.run(engine, sink, progress)
    return manifest | {"decisions": decided}, verdict


class _Frames:
    def __init__(self) -> None:
        self.frames: list[pl.DataFrame] = []

    def begin(self) -> None:
        self.frames.clear()

    def take(self, frame: pl.DataFrame) -> None:
        self.frames.append(frame)


@dataclass(slots=True)
class Attempt:
    """One engine's rows (of a large table the first batch) and what the gates say about them, in the end about all."""

    engine: Engine
    model: Model
    evidence: gates.Evidence
    verdict: Verdict

    @property
    def passed(self) -> bool:
        return self.verdict.outcome in (Outcome.PASS, Outcome.REVIEW)


@dataclass(slots=True)
class _Task:
    """One table on its way. `sides` are rows of disjoint people; `fitted` and `holdout` one row a person of each."""

    name: str
    fields: Sequence[Field]
    schema: Mapping[str, pl.DataType]
    conformed: Conformed
    sizes: Sequence[int]
    seed: int
    edition: Any
    constraints: tuple[Constraint, ...]
    parents: Mapping[str, Parent]
    fitted: pl.DataFrame
    holdout: pl.DataFrame
    sides: tuple[pl.DataFrame, pl.DataFrame]
    people: int
    given: Given
    family: Family
    ties: Ties
    planner: Planner | None = None
    target: str | None = None
    steps: Steps = field(default_factory=lambda: Steps(None, 1))
    _structure: SchemaEngine | None = None
    _views: list[View] = field(default_factory=list)
    _rows_apart: list[pl.DataFrame] = field(default_factory=list)
    _facts: dict[str, Facts] = field(default_factory=dict)

    @classmethod
    def prepare(
        cls, frame: pl.DataFrame, fields: Sequence[Field], rows: int, seed: int, edition: Any, name: str,
        constraints: tuple[Constraint, ...], parents: Mapping[str, Parent], people: int, given: Given,
        family: Family,
    ) -> _Task:  # fmt: skip
        limits = edition.by_check("modelled_columns").parameters
        by_name = {f.name: f for f in blinded(fields, limits.max_level, limits.generated_roles)}
        ordered = [by_name[c] for c in frame.columns]
        check_given(given, ordered, constraints)
        conformed = conform(frame, ordered)
        k = edition.by_check("rare_categories").parameters.k
        constraints = settled(constraints, conformed.frame, ordered, k)
        ties = Ties.learn(
            conformed.frame, ordered, parents, k=k, max_level=limits.max_level, hidden=limits.generated_roles, own=name
        )
        conformed = Conformed(conformed.frame.hstack(ties.beside), conformed.formats)
        fit = edition.by_check("fit_limits").parameters
        held = None if frame.is_empty() else family.held
        sides = split(conformed.frame, ordered, fit.holdout_share, seed, held)
        fitted, holdout = (one_per_person(side, ordered)[: fit.fit_rows] for side in sides)
        return cls(
            name, ordered, dict(frame.schema), conformed, batches.sizes(rows, batches.BATCH_ROWS), seed, edition,
            constraints, parents, fitted, holdout, (sides[0][: fit.fit_rows], sides[1][: fit.fit_rows]), people, given,
            family, ties,
        )  # fmt: skip

    def run(self, asked: str, sink: Sink, progress: Progress | None) -> tuple[dict[str, Any], Verdict]:
        """Try the candidates, then draw the whole table with the best one that keeps passing."""
        names = self.candidates(asked)
        self.steps = Steps(progress, 2 + 4 * len(names) + 2 * (len(self.sizes) - 1))
        self.steps.begin("prepare")
        tried = [self._try(name, asked) for name in names]
        ran = [a for a in tried if isinstance(a, Attempt)]
        if asked == "auto" and not any(a.passed for a in ran) and self._may_fall_back(names):
            fallback = self.attempt(self.structure())
            tried.append(fallback)
            ran = [fallback]
        if not ran:
            raise none_ran([a for a in tried if isinstance(a, NotRun)])
        left = [a for a in ran if a.passed] or ran
        while True:
            best = max(left, key=lambda a: a.evidence.fidelity.ratio or 0.0)
            digest = self._complete(best, sink)
            left.remove(best)
            if best.passed or not left:
                break
        self.steps.begin("finish")
        return self._describe(best, tried, asked, digest), best.verdict

    def candidates(self, asked: str) -> Sequence[str]:
        """The engines to run; too few rows, or nothing that may be learned, leave only the one that reads none."""
        minimum = self.edition.by_check("minimum_rows").parameters
        if self.conformed.frame.is_empty() or self.people < minimum.rows or not any(f.learned for f in self.fields):
            return ["schema"]
        return self.edition.by_check("engines").parameters.auto if asked == "auto" else (asked,)

    def _may_fall_back(self, tried: Sequence[str]) -> bool:
        """True when structure only is allowed and was not what just failed; it cannot fix a column."""
        return (
            "schema" in self.edition.by_check("engines").parameters.allowed and "schema" not in tried and not self.given
        )

    def _try(self, name: str, asked: str) -> Attempt | NotRun:
        """One candidate. Of several, one whose software is missing or fails is reported; asked for alone, it raises."""
        try:
            return self.attempt(self._engine(name, asked))
        except UserError as error:
            if asked != "auto" or not error.code.startswith("engine."):
                raise
            return NotRun(name, error.code, error.text)

    def _engine(self, name: str, asked: str) -> Engine:
        if self.family.engine is not None and asked != "auto":
            return self.family.engine
        return self.structure() if name == "schema" else engine_named(name)

    def structure(self) -> SchemaEngine:
        """The engine that reads no row, with one generator plan for the whole table."""
        if self._structure is None:
            planned = Planned.by_rules() if self.planner is None else self.planner.plan(self.name, self.fields)
            self._structure = SchemaEngine(planned)
        return self._structure

    def attempt(self, used: Engine) -> Attempt:
        """Fit one engine, draw the first batch (of most tables: all rows) and judge it."""
        if self.given and not used.conditional:
            raise cannot_fix(list(self.given))
        self.steps.begin("fit")
        model = guarded(used, lambda: self._fit(used))
        self.steps.begin("draw")
        made = self._draw(used, model, 0, self._known_to(used))
        self.steps.begin("judge", 2)
        evidence = self._evidence(used, made)
        return Attempt(used, model, evidence, gates.judge(evidence, self.edition))

    def _complete(self, best: Attempt, sink: Sink) -> str:
        """Hand over all rows, judging every batch; the attempt's verdict and scores become those of the whole."""
        told = batches.Digest()
        facts = self._known_to(best.engine)
        issued = {f.name: batches.Issued(sum(self.sizes)) for f in self.fields if batches.distinct(f)}
        evidence, verdicts, scores = best.evidence, [(self.sizes[0], best.verdict)], []
        sink.begin()
        with batches.Repeats(self.fields) as repeats:
            for index, rows in enumerate(self.sizes):
                if index:
                    self.steps.begin("draw")
                    made = self._draw(best.engine, best.model, index, batches.facts_beside(facts, issued))
                    self.steps.begin("judge")
                    evidence = self._evidence(best.engine, made)
                    verdicts.append((rows, gates.judge(evidence, self.edition)))
                scores.append((rows, evidence.fidelity))
                restored = restore(evidence.simulated, self.schema, self.conformed.formats)
                told.add(restored)
                sink.take(restored)
                if len(self.sizes) > 1:
                    repeats.add(evidence.simulated)
                    for name, known in issued.items():
                        known.add(evidence.simulated.get_column(name))
            if len(self.sizes) > 1:
                best.verdict = batches.joined(verdicts, self.edition, repeats.count())
                best.evidence = replace(best.evidence, fidelity=batches.mean_fidelity(scores))
        return told.hex()

    def _describe(self, best: Attempt, tried: Sequence[Attempt | NotRun], asked: str, digest: str) -> dict[str, Any]:
        """The manifest. Of a large table its comparison with the real one shows the first batch, and says so."""
        first = restore(best.evidence.simulated, self.schema, self.conformed.formats)
        manifest = describe(
            table=self.name, frame=first, seed=self.seed, asked=asked, best=best, tried=tried,
            view=self._view() if best.engine.reads_rows else None, formats=self.conformed.formats,
            k=self._k(), target=self.target, structure=self._structure,
        )  # fmt: skip
        whole = {"rows": sum(self.sizes), "digest": digest, "compared_rows": first.height}
        shown = [{"column": name, "value": str(wanted)} for name, wanted in self.given.items()]
        return manifest | whole | ({"given": shown} if shown else {})

    def _evidence(self, used: Engine, made: pl.DataFrame) -> gates.Evidence:
        evidence = gates.Evidence(
            used.name, made, self.fields, self.constraints, {self.name: Parent(made, made.height), **self.parents},
            people=self.people,
            fidelity=fidelity.Fidelity.unknown(),
            mark=self.edition.by_check("simulated_label").parameters.zh,
            reads_rows=used.reads_rows,
        )  # fmt: skip
        if used.reads_rows:
            evidence.patterned = self._view().patterned
            fitted, holdout = self._alike((self.fitted, self.holdout))
            evidence.real = gates.RealRows(self.conformed.frame, fitted, holdout)
            evidence.fidelity = fidelity.measure(made, *self._alike(self.sides), evidence.learned)
        return evidence

    def _alike(self, sides: tuple[pl.DataFrame, pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The real rows that fulfil the conditions too, where enough of both sides do: rows of one district are
        compared with that district. Where too few do all are kept, which only makes the gates stricter."""
        wanted = self._conditions()
        if not wanted:
            return sides
        kept = [
            s.filter(fulfilled(s, wanted, self._view().scales).select(pl.all_horizontal(pl.all())).to_series())
            for s in sides
        ]
        least = self.edition.by_check("minimum_rows").parameters.rows
        return (kept[0], kept[1]) if min(k.height for k in kept) >= least else sides

    def _conditions(self) -> Mapping[str, Condition]:
        return conditions(self.given, self.fields, self._view().scales) if self.given else {}

    def _learned(self, used: Engine) -> list[Field]:
        patterned = self._view().patterned if used.reads_rows else ()
        beside = self.ties.fields if used.reads_rows and used.name != "hma" else ()
        written = [] if used.reads_rows else [f.name for f in self.fields if self.structure().writes(f)]
        asked = [f for f in (*self.fields, *beside) if f.learned or f.name in written]
        return [f for f in asked if f.name not in patterned]

    def _fit(self, used: Engine) -> Model:
        view = self._view().frame if used.reads_rows else pl.DataFrame()
        seed = _number(np.random.SeedSequence(self.seed).spawn(2)[1])
        return used.fit(view, self._learned(used), seed).given(self._conditions())

    def _draw(self, used: Engine, model: Model, index: int, facts: Mapping[str, Facts]) -> pl.DataFrame:
        """Batch `index`: the engine's columns, then those drawn blind, then identifiers, then what constraints say."""
        rows, seeds = self.sizes[index], np.random.SeedSequence([self.seed, index]).spawn(4)
        learned = self._learned(used)
        blind = [f for f in self.fields if f.blind and not f.generated and not f.references]
        columns: list[pl.Series] = []
        if learned:
            drawn = guarded(used, lambda: model.sample(rows, _number(seeds[1])))
            columns += [self._decode(drawn, f, used.reads_rows) for f in learned]
            columns += [drawn.get_column(name) for name in drawn.columns if name in self.ties.places]
        if blind:
            drawn = self.structure().fit_sample(pl.DataFrame(), blind, rows, _number(seeds[2]))
            columns += [Scale.of(f).decode(drawn.get_column(f.name)) for f in blind]
        fixed = frozenset(self.given)
        modelled = repair(pl.DataFrame(columns), self.constraints, beside_blind(self.fields, self.constraints) | fixed)
        if used.reads_rows:
            chance = np.random.default_rng(seeds[0])
            modelled = keep_inside(modelled, self.constraints, self._inside(modelled), chance)
            modelled = keep_apart(modelled, self._rare(), chance)
        parents = batches.part_of(self.parents, index, len(self.sizes))
        ties = self.ties if used.reads_rows else Ties.blind(self.fields)
        filled = fill(
            modelled, self.fields, facts, np.random.default_rng(seeds[3]), rows=rows, parents=parents, ties=ties,
            own=self.name,
        )  # fmt: skip
        done = repair_beside(filled, self.fields, self.constraints, parents, fixed)
        if self.given:
            must_hold(done, self._conditions(), self._view().scales)
        return done

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
            if name in modelled.columns
        }

    def _view(self) -> View:
        if not self._views:
            rng = np.random.default_rng(np.random.SeedSequence(self.seed).spawn(1)[0])
            self._views.append(protect(self.fitted, (*self.fields, *self.ties.fields), k=self._k(), rng=rng))
        return self._views[0]

    def _rare(self) -> pl.DataFrame:
        """Combinations of learned values that fewer than k rows, or people, share: a row equal to one is somebody's."""
        if not self._rows_apart:
            names = [f.name for f in self.fields if f.learned and f.name not in self._view().patterned]
            rare = [gates.rare_rows(rows, names, self._k()) for rows in (self.conformed.frame, self.fitted)]
            self._rows_apart.append(pl.concat(rare).unique())
        return self._rows_apart[0]

    def _known_to(self, used: Engine) -> Mapping[str, Facts]:
        if not used.reads_rows:
            return {f.name: Facts.none(f) for f in self.fields}
        if not self._facts:
            real = self.conformed.frame
            wanted = [f for f in self.fields if not f.learned or f.name in self._view().patterned]
            self._facts = {
                f.name: Facts.of(real.get_column(f.name), f, self._k()).never(self.family.known.get(f.name))
                for f in wanted
            }
        return self._facts

    def _k(self) -> int:
        return int(self.edition.by_check("rare_categories").parameters.k)


def split(
    frame: pl.DataFrame, fields: Sequence[Field], holdout_share: float, seed: int, held: np.ndarray | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two disjoint sides in random order, to fit and to hold out; a person's rows all fall on one side. `held` says
    which rows are held out where that is settled already."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    owner = entity_of(fields)
    height = frame.height
    people = np.arange(height) if owner is None else same(frame.get_column(owner.name))
    place = rng.permutation(int(people.max(initial=-1)) + 1)[people]
    if held is None:
        held = place < np.quantile(place, holdout_share) if height else np.zeros(0, dtype=bool)
    order = rng.permutation(height)
    inside, outside = order[~held[order]], order[held[order]]
    return frame[inside], frame[outside]


def _number(sequence: np.random.SeedSequence) -> int:
    return int(sequence.generate_state(1)[0])


def policy_in_force() -> Any:
    """The shipped simulation edition that counts today."""
    from policies.editions import load

    return load("simulation")
