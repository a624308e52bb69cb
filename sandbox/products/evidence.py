"""Evidence of an aggregate product, derived from source microdata and proved by running, not by reading.

For every cell: how many registered entities' records entered, with what contributions, and the set of those entities.
**P1**: the evidence reproduces the output. **P2**: with a random half of the entities deleted from the source, the
product's own statement gives exactly what the evidence predicts (an error about one entity survives m halves with
probability of about 2^-m; the seeds are secret and drawn after the job is frozen). **P3**: with the amounts of a job
set to their minimum, maximum and shuffled, count per cell the entities whose contribution moved; that is a fact of
the cell table (`n_informative`), for the threshold rule to judge.

Entity sets say who entered a cell, not with which records; where one entity has several, record sets (`records`) do.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from policies.text import Text
from sandbox.products import cells, perturb, proofs, records, shuffle
from sandbox.products import compile as sql
from sandbox.products import evidence_values as values
from sandbox.products.budget import Budget, Cancelled, Clock, OverBudget, Watch
from sandbox.products.cells import CELL_SCHEMA, packed
from sandbox.products.contributions import (
    build_main,
    carried_schema,
    output,
    twins,
)
from sandbox.products.digests import digest
from sandbox.products.entities import MISSING_KEY, EntityCodes
from sandbox.products.flow import unchanged
from sandbox.products.kept import AT_ONCE, Kept, keep, parts_of, prepare_halves
from sandbox.products.program import Program, Task
from sandbox.products.proofs import TOLERANCE, seed_of
from sandbox.products.records import Records
from sandbox.products.source import EvidenceError, Source, opened
from sandbox.products.spec import JobSpec, as_data
from sandbox.products.spec import digest as digest_of

if TYPE_CHECKING:
    import duckdb

    from sandbox.products.carrier import Suspect

__all__ = [
    "CELL_SCHEMA", "TOLERANCE", "Budget", "Cancelled", "Evidence", "KindEvidence", "ProofRecord", "Watch", "derive",
    "packed",
]  # fmt: skip

HALVES = 3
MAX_CELLS = 1_000_000

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class KindEvidence:
    """Evidence about one kind of entity.

    `touched`: whether the plan says that entities of this kind enter the product; where it says no, there is no cell
    table, and the halves show that deleting them changes nothing. `reproduced` is None, and there is no cell table,
    where the budget was spent before there were contributions. `several`: a row may have more than one owner.
    `perturbed` and `not_perturbed` are source columns and modes, as `input.column:mode`; `*:mode` where the product
    rests on no column that could be perturbed: every mode has then been tried on all there is. `ownerless_rows` of the
    product's `rows_total` rows have no entity of this kind. `records`: the sets of records behind the cells, where an
    entity has several and they could be followed.
    """

    kind: str
    touched: bool
    several: bool
    cells: pl.DataFrame
    bitmaps: Mapping[str, bytes]
    reproduced: bool | None
    halves: int
    halves_as_predicted: int
    perturbed: tuple[str, ...] = ()
    not_perturbed: tuple[str, ...] = ()
    ownerless_rows: int = 0
    rows_total: int = 0
    records: Records = field(default_factory=Records)

    @property
    def proved(self) -> bool:
        return self.reproduced is True and self.halves > 0 and self.halves_as_predicted == self.halves


@dataclass(frozen=True, slots=True)
class ProofRecord:
    """Everything a third party needs to repeat the verdict on the same sources; plain data, ready for JSON.

    `spec` is the canonical job; `texts` what was run to get the values, by step; `carried` what was run to get the
    contributions, by kind and step; `frozen` the sub-queries used as constants, by name. `seed` (hex) is the secret
    drawn after the values were frozen: every half and shuffle follows from it. `digests`: sources, output,
    contributions and cell tables.
    """

    spec: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    carried: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    frozen: Mapping[str, str] = field(default_factory=dict)
    seed: str = ""
    halves: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the platform computed itself for one cube on named snapshots: values and, per kind, who is behind them.

    `name` is `product`, or the name of a reference step; `references` are judged like the product itself. `groupings`
    has one number per row: 0 where every dimension is present, else the place of the row's margin, from 1.
    `made_of`: measure → part → the source columns that its amounts are computed from. `over_budget` names what was not
    finished: such evidence is for people, never a pass.
    """

    job: str
    sources: Mapping[str, str]
    columns: tuple[str, ...]
    dimensions: int
    rows: tuple[Row, ...]
    kinds: tuple[KindEvidence, ...]
    name: str = "product"
    groupings: tuple[int, ...] = ()
    references: tuple[Evidence, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    record: ProofRecord = field(default_factory=ProofRecord)
    over_budget: tuple[str, ...] = ()
    made_of: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)


def drawn(output: str) -> str:
    """A new secret seed (64 hex digits). `output` is the digest of the frozen values: whoever draws has seen it."""
    return secrets.token_hex(32)


def derive(
    spec: JobSpec,
    sources: Mapping[str, Source],
    *,
    codes: EntityCodes,
    halves: int = HALVES,
    budget: Budget | None = None,
    watch: Watch | None = None,
    seed: Callable[[str], str] = drawn,
) -> Evidence:
    """Run the job on the source and derive and prove its evidence for every kind of entity the inputs carry.

    `halves`: random halves of P2. `seed` is asked once, after every value is frozen, with their digest; to repeat a
    verdict it gives the recorded one. Raises `EvidenceError` where the evidence cannot be derived and `Cancelled` when
    the watch says so; a failed proof is no error but a fact of the result (`proved` false) that the gate blocks on.
    """
    kinds = _kinds(sources)
    program = Program(spec, sources, kinds)
    with opened(sources) as con:
        clock = Clock(con, budget, watch)
        with clock.running():
            return _Proof(con, clock, program, spec, codes, halves).evidence(seed)


def _kinds(sources: Mapping[str, Source]) -> list[str]:
    for alias, source in sources.items():
        own = [key.kind for key in source.keys]
        if len(set(own)) != len(own):
            raise EvidenceError(
                "evidence.two_keys",
                Text(f"输入 {alias} 有两列都是同一类主体的标识", f"Input {alias} has two keys of one kind of entity"),
                Text("请主管部门在目录中只保留一列", "The department keeps one of them in the catalogue"),
                input=alias,
            )
    return sorted({key.kind for source in sources.values() for key in source.keys})


class _Proof:
    """One derivation under way."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        clock: Clock,
        program: Program,
        spec: JobSpec,
        codes: EntityCodes,
        halves: int,
    ) -> None:
        self.con, self.clock, self.program, self.spec = con, clock, program, spec
        self.codes, self.halves = codes, halves
        self.over: list[str] = []
        self.digests = {f"source:{alias}": source.digest for alias, source in program.sources.items()}

    def evidence(self, draw: Callable[[str], str]) -> Evidence:
        try:
            with self.clock.step("plain"):
                rows = self._frozen()
            frozen = self._cubes(rows)
            self.clock.plain_run_ended(len(self.program.tasks) * len(self.program.kinds) * (self.halves + 3))
        except OverBudget as stopped:
            raise EvidenceError(
                "evidence.over_budget",
                Text("作业本身已超出运行时限", "The job itself takes longer than its budget"),
                Text("请缩小作业范围", "Make the job smaller"),
                step=str(stopped),
            ) from None
        secret = draw(self.digests["frozen"])
        owned = self._stage("owners", partial(twins, self.con, self.program, self.codes))
        found: dict[str, list[KindEvidence]] = {task.name: [] for task in self.program.tasks}
        for kind in self.program.kinds:
            for name, one in self._of_kind(kind, secret, owned):
                found[name].append(one)
        made = [self._made(task, *frozen[task.name], found[task.name], secret) for task in self.program.tasks]
        return _with_references(made, tuple(self.over))

    def _frozen(self) -> dict[str, list[Row]]:
        """Run everything once; the values of every cube, which nothing changes any more."""
        build_main(self.con, self.program)
        rows = {}
        for number, task in enumerate(self.program.tasks):
            output(self.con, task, number)
            found = self.con.execute(f"SELECT * FROM __o{number} LIMIT {MAX_CELLS + 1}").fetchall()
            if len(found) > MAX_CELLS:
                raise EvidenceError(
                    "evidence.too_many_cells",
                    Text(f"结果超过 {MAX_CELLS} 个单元格", f"The product has more than {MAX_CELLS} cells"),
                    Text("请减少维度或合并取值", "Use fewer dimensions or merge values"),
                )
            rows[task.name] = found
            self.digests[f"output:{task.name}"] = digest(self.con, f"__o{number}")
            if task.frozen:
                self._frozen_is_its_cube(task, number)
        return rows

    def _cubes(self, rows: Mapping[str, list[Row]]) -> dict[str, tuple[tuple[Row, ...], tuple[int, ...]]]:
        """(values, groupings) of every cube. Their digest is told before the seed is known; outside, it is computed
        again from what comes out, so that nobody in here can still change a value."""
        found = {}
        for task in self.program.tasks:
            width, all_rows = len(task.cube.output_columns), rows[task.name]
            groupings = tuple(int(row[width]) for row in all_rows) if task.cube.margins else (0,) * len(all_rows)
            found[task.name] = tuple(row[:width] for row in all_rows), groupings
        try:
            self.digests["frozen"] = values.digest_of(
                (task.name, task.cube.output_columns, *found[task.name]) for task in self.program.tasks
            )
        except ValueError:
            raise EvidenceError(
                "evidence.no_plain_value",
                Text("结果中有列表等无法逐项核对的取值", "The result holds lists or other values that are not plain"),
                Text("请把维度改为文字、数字或日期", "Let dimensions be texts, numbers or dates"),
            ) from None
        return found

    def _frozen_is_its_cube(self, task: Task, number: int) -> None:
        columns = ", ".join(sql.quote(c) for c in task.cube.output_columns)
        self.con.execute(f"CREATE OR REPLACE TEMP VIEW product AS SELECT {columns} FROM __o{number}")
        text = task.post or "SELECT * FROM product"
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE __left AS SELECT * FROM ({text}) ORDER BY ALL")
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE __right AS SELECT * FROM {sql.quote(task.name)} ORDER BY ALL")
        self.con.execute("DROP VIEW product")
        if not proofs.same(self.con, "__left", "__right"):
            raise EvidenceError(
                "evidence.reference_needed",
                Text("子查询无法按汇总步骤读懂", "A sub-query could not be read as a reference step"),
                Text("请把它写成 reference 中的一项", "Write it as an entry of `reference`"),
            )

    def _of_kind(self, kind: str, secret: str, owned: bool) -> list[tuple[str, KindEvidence]]:
        made: list[tuple[str, KindEvidence]] = []
        carry = partial(carried_schema, self.con, self.program, kind, "__k", {})
        ready = owned and self._stage(f"{kind}:carry", carry)
        for number, task in enumerate(self.program.tasks):
            made.append((task.name, self._judged(kind, task, number, secret, ready)))
        return made

    def _stage(self, name: str, work: Callable[[], object]) -> bool:
        """Whether a step was finished inside the budget; what was not is named."""
        try:
            with self.clock.step(name):
                work()
        except OverBudget:
            self.over.append(name)
            return False
        return True

    def _judged(self, kind: str, task: Task, number: int, secret: str, ready: bool) -> KindEvidence:
        name = f"{task.name}:{kind}"
        touched = self.program.touched(kind, task.cube)
        owner = "several" if any(self.program.relations[kind][a].owner == "several" for a in task.cube.used) else "one"
        one = _Kind(self, kind, task, number, secret, owner == "several", touched)
        if not ready or (touched and not self._stage(f"{name}:contributions", one.contribute)):
            return one.facts(0, 0)
        tried = held = 0
        for i in range(self.halves):
            if not self._stage(f"{name}:half {i + 1}", partial(one.half, i)):
                break
            tried, held = tried + 1, held + one.held
        if touched:
            one.perturb()
            self._stage(f"{name}:cells", one.table)
            self._stage(f"{name}:records", one.follow)
        return one.facts(tried, held)

    def _made(
        self, task: Task, rows: tuple[Row, ...], groupings: tuple[int, ...], kinds: Sequence[KindEvidence], secret: str
    ) -> Evidence:
        cube = task.cube
        _, suspects = self.program.lineage(cube, task.name)
        used = {alias: source.digest for alias, source in self.program.sources.items()}
        return Evidence(
            digest_of(self.spec), used, tuple(cube.output_columns), len(cube.dimensions),
            rows, tuple(kinds), name=task.name, groupings=groupings, suspects=suspects, record=self._record(secret),
            made_of=self.program.made_of(cube),
        )  # fmt: skip

    def _record(self, secret: str) -> ProofRecord:
        from importlib.metadata import version

        texts = {item.name: str(item.sql) for item in self.spec.prepare}
        texts |= {task.name: sql.cube_sql(task.cube) for task in self.program.tasks}
        return ProofRecord(
            spec=as_data(self.spec), texts=texts, carried=proofs.texts(self.program), frozen=self.program.frozen(),
            seed=secret, halves=self.halves, digests=dict(self.digests),
            versions={name: version(name) for name in ("duckdb", "sqlglot")} | {"shuffle": shuffle.EDITION},
        )  # fmt: skip


class _Kind:
    """One cube for one kind of entity."""

    def __init__(
        self, proof: _Proof, kind: str, task: Task, number: int, secret: str, several: bool, touched: bool
    ) -> None:
        self.proof, self.con, self.program = proof, proof.con, proof.program
        self.kind, self.task, self.number, self.secret = kind, task, number, secret
        self.several, self.touched = several, touched
        self.reproduced: bool | None = None if touched else True
        self.held = False
        self.cells, self.bitmaps = pl.DataFrame(schema=CELL_SCHEMA), dict[str, bytes]()
        self.perturbed: list[str] = []
        self.not_perturbed: list[str] = []
        self.rows = self.ownerless = 0
        self.kept: Kept | None = None
        self.records = Records()
        self.batch = -1

    def contribute(self) -> None:
        self.kept = keep(self.con, self.program, self.kind, self.task, self.number)
        self._prepare(0)
        self.reproduced = proofs.reproduced(self.con, self.kept, self.number)
        missing = f"list_has_any(__e, [{MISSING_KEY}])" if self.several else f"__e = {MISSING_KEY}"
        self.rows, self.ownerless = map(int, self.con.execute(
            f"SELECT coalesce(sum(__rows), 0), coalesce(sum(__rows) FILTER (WHERE __e IS NULL OR {missing}), 0) "
            "FROM __x JOIN __cells USING (__cell) WHERE __g = 0"
        ).fetchall()[0])  # fmt: skip
        self.proof.digests[f"contributions:{self.task.name}:{self.kind}"] = self._digest()

    def _digest(self) -> str:
        """Of the contributions to the finest cells (they come first), from which those to margins are added up, and of
        those to none."""
        assert self.kept is not None
        self.con.execute(
            f"CREATE OR REPLACE TEMP VIEW __finest AS SELECT {self.kept.columns(self.con)} FROM __x "
            "WHERE __cell IS NULL OR __cell < (SELECT count(*) FROM __cells WHERE __g = 0)"
        )
        parts = ["TRUE"] if self.several else parts_of(self.con, "__x")
        return digest(self.con, "__finest", parts, "__e NULLS FIRST, __cell NULLS FIRST")

    def _prepare(self, batch: int) -> int:
        """The seed of a batch of halves, whose predictions are made together."""
        seed = seed_of(self.secret, self.task.name, self.kind, "halves", str(batch))
        if self.kept is not None and self.batch != batch:
            prepare_halves(self.con, self.kept, seed)
            self.batch = batch
        return seed

    def half(self, i: int) -> None:
        batch, bit = divmod(i, AT_ONCE)
        seed = self._prepare(batch)
        self.held = proofs.half_holds(self.con, self.program, self.kind, self.task, self.number, self.kept, seed, bit)

    def perturb(self) -> None:
        """Every column behind the measures, in every mode; what the job cannot be run on is named."""
        assert self.kept is not None
        behind_it, _ = self.program.lineage(self.task.cube, self.task.name)
        columns = [column for column in behind_it if column not in self.program.naming[self.kind]]
        behind = self.program.behind(self.task.cube, self.task.name)
        found, impossible = perturb.plan(self.con, self.program, columns)
        keys = self.program.key_columns(self.task.cube, self.task.name, self.kind)
        self.not_perturbed += [*impossible, *(f"{alias}.{column}" for alias, column in keys)]
        perturb.begin(self.con)
        origins = unchanged(self.program, self.task.cube)
        steering = self.program.steering(self.task.cube, self.task.name)
        if not found and not keys:
            self.perturbed = [f"*:{mode}" for mode in perturb.MODES]
        for alias, column, modes in found:
            name = f"{alias}.{column}"
            concerned = behind.get((alias, column)) or set(range(len(sql.partials(self.task.cube))))
            seeds = {mode: seed_of(self.secret, "values", f"{name}:{mode}") for mode in modes}
            known = (alias, column) not in steering and concerned <= set(origins)
            trial = perturb.Trial(
                self.con, self.program, self.kind, self.kept, alias, column, concerned, origins if known else None
            )
            done: list[str] = []
            self.proof._stage(f"{self.task.name}:{self.kind}:{name}", partial(trial.run, seeds, done))
            self.perturbed += [f"{name}:{mode}" for mode in modes if mode in done]
            self.not_perturbed += [f"{name}:{mode}" for mode in modes if mode not in done]

    def table(self) -> None:
        some = bool(self.perturbed)
        assert self.kept is not None
        self.cells, self.bitmaps = cells.table_of(self.con, self.program, self.kind, self.kept, some)
        raw = hashlib.sha256(self.cells.write_json().encode()).hexdigest()
        self.proof.digests[f"cells:{self.task.name}:{self.kind}"] = f"sha256:{raw}"

    def follow(self) -> None:
        """The records behind the cells; their owners have to be the entities that the cell table tells."""
        found = records.LOST if self.several else records.of_cells(
            self.con, self.program, self.kind, self.task, self.ownerless
        )
        self.records = found if records.fit(found, self.cells, self.bitmaps) else records.LOST

    def facts(self, tried: int, held: int) -> KindEvidence:
        return KindEvidence(
            self.kind, self.touched, self.several, self.cells, self.bitmaps, self.reproduced, tried, held,
            tuple(self.perturbed), tuple(self.not_perturbed), self.ownerless, self.rows, self.records,
        )  # fmt: skip


def _with_references(made: Sequence[Evidence], over: tuple[str, ...]) -> Evidence:
    *references, product = made
    own = [tuple(o for o in over if o.startswith(f"{one.name}:") or o.endswith(":carry")) for one in references]
    stopped = (replace(one, over_budget=names) for one, names in zip(references, own, strict=True))
    return replace(product, references=tuple(stopped), over_budget=over)
