"""The black-box lane: what a job's behaviour tells about who is behind its cells, where no evidence can be derived.

The job is run again and again, each time in fresh jails: without one hash bucket of a kind's entities (remove), or with
one bucket's sensitive values at the column's minimum, at its maximum, or shuffled (perturb; missing values stay
missing). The buckets that change a cell are a lower bound on the entities that influence it; the largest relative
change by one bucket bounds what the largest contributor does. There are no sets of entities, so nothing for the ledger:
this supports a person and never passes alone.

What only a bucket's removal shows is not enough: a job that uses one person's value and constants for all others moves
with every bucket when people leave, and with one bucket when values change. Both numbers are told, and the smaller one
counts. Rows keep their order in every run, so that a job that looks at the first ones is not moved by mere sorting.
"""

from __future__ import annotations

import math
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from policies.text import Text
from sandbox.catalog.keys import normal_key
from sandbox.kernel.errors import LimitExceeded, Unavailable
from sandbox.products import plan
from sandbox.products.budget import Budget, Cancelled, Clock, Watch
from sandbox.products.compile import quote
from sandbox.products.evidence_values import same_value
from sandbox.products.proving import Unwatched, ended
from sandbox.products.source import EntityKey, EvidenceError, Source, column_names, opened
from sandbox.products.spec import JobSpec
from sandbox.workspaces import handover, staged
from sandbox.workspaces.broker import STRONG_ONLY, Mode, require_tier
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.run import Buckets, RunOrder, State
from sandbox.workspaces.selftest import SelfTest
from sandbox.workspaces.staged import StagedOrder

BUCKETS = 32
MODES = ("minimum", "maximum", "shuffle")
Cell = tuple[Any, ...]

SCRIPTS = "evidence.beyond_proof"
FOLLOWED_BY_TRIALS = frozenset({
    "order", "set_operation", "recursive", "join.kind", "join.outer", "join.full", "join.lateral", "several",
    "aggregate.not_determined", "distinct.not_determined", "window.not_determined", "subquery.place",
    "subquery.correlated", "subquery.records",
})  # fmt: skip
"""What the carrier refuses because it cannot follow who owns a row. What it refuses by name (functions off the list,
other tables, hidden names) stays refused: there is something to rewrite and nothing to try."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What leaving out and changing buckets of one kind's entities showed.

    `fewest`: the smallest number of buckets, other than none, that changed any cell, by removal or by perturbation: a
    lower bound on the entities behind it. `removed` and `perturbed` are the same for each alone. `largest`: the largest
    relative change by removing one bucket: an upper bound on any entity's share. None: no cell changed at all.
    `tried`: buckets of which every run finished. `failed`: runs that did not, which count for nothing. `over_budget`:
    not all runs were made. `steady`: two runs on the same data gave the same; if not, nothing is claimed.
    """

    kind: str
    buckets: int
    cells: int
    fewest: int | None
    largest: float | None
    removed: int | None = None
    perturbed: int | None = None
    tried: int = 0
    failed: int = 0
    over_budget: bool = False
    steady: bool = True


@dataclass(frozen=True, slots=True)
class Room:
    """What each run may use, what was found of this host, and how long all of it may take."""

    limits: Limits
    folder_mb: int
    tested: SelfTest
    error_store: Path
    base: int
    budget: Budget
    accepted: frozenset[str] = STRONG_ONLY
    buckets: int = BUCKETS


def fits(error: EvidenceError) -> bool:
    """Whether trials can say something where no evidence could be derived: scripts, and SQL beyond the carrier."""
    refusals = error.detail.get("refusals", ())
    codes = {one.code for one in refusals}
    return error.code in (SCRIPTS, "evidence.reference_needed") or (bool(codes) and codes <= FOLLOWED_BY_TRIALS)


@dataclass(frozen=True, slots=True)
class _Stop:
    """The watch, as a run's jail asks it."""

    watch: Watch

    def is_set(self) -> bool:
        return self.watch.cancelled()

    def cancelled(self) -> bool:
        return self.watch.cancelled()

    def progress(self, step: str, share: float) -> None:
        """Copying is part of a run: nothing is shown."""


def tried(
    spec: JobSpec, sources: Mapping[str, Source], room: Room, work: Path, watch: Watch | None = None
) -> tuple[Tried, ...]:
    """Try the job's cube for every kind of entity that its inputs carry; `work` is the caller's scratch folder.

    Raises `EvidenceError`: `evidence.cancelled`, `evidence.crashed` where a jail broke, `evidence.trials` where the job
    does not finish on the source; UserError where isolation is too weak.
    """
    require_tier(room.tested, room.accepted)
    kinds = sorted({key.kind for source in sources.values() for key in source.keys})
    with tempfile.TemporaryDirectory(prefix="blackbox-", dir=work) as folder:
        lane = _Lane(spec.model_copy(update={"post": None}), sources, room, Path(folder), watch or Unwatched())
        try:
            plain, again = lane.plain(), lane.plain()
            if _changed(plain, again):
                return tuple(Tried(kind, room.buckets, len(plain), None, None, steady=False) for kind in kinds)
            return tuple(lane.kind(kind, plain, (n, len(kinds))) for n, kind in enumerate(kinds))
        except Cancelled:
            raise ended("cancelled") from None


@dataclass(slots=True)
class _Seen:
    """Of one kind: cell → the buckets that changed it by removal, and by perturbation."""

    removed: dict[Cell, set[int]] = field(default_factory=dict)
    perturbed: dict[Cell, set[int]] = field(default_factory=dict)
    largest: float | None = None
    failed: int = 0
    whole: int = 0
    over_budget: bool = False

    def note(self, mode: str, bucket: int, changed: Mapping[Cell, float]) -> None:
        into = self.removed if mode == "remove" else self.perturbed
        for cell, change in changed.items():
            into.setdefault(cell, set()).add(bucket)
            if mode == "remove":
                self.largest = max(self.largest or 0.0, change)


class _Lane:
    """One job, run on changed copies of its inputs."""

    def __init__(self, spec: JobSpec, sources: Mapping[str, Source], room: Room, folder: Path, watch: Watch) -> None:
        self._spec, self._sources, self._room, self._folder, self._watch = spec, sources, room, folder, watch
        self._seed, self._runs, self._until = secrets.randbits(63), 0, float("inf")
        self._unchanged: dict[str, Path] = {}

    def plain(self) -> dict[Cell, Any]:
        """The cells on the source as it is; the time of the first such run is what the budget is counted in."""
        began = time.monotonic()
        self._watch.progress("trial", 0.0)
        cells = self._cells("", "", 0)
        if isinstance(cells, str):
            raise ended("crashed") if cells in _BROKEN else _unfinished(cells)
        if self._until == float("inf"):
            now, budget = time.monotonic(), self._room.budget
            limits = [budget.seconds, None if budget.times is None else budget.times * (now - began)]
            self._until = now + min((limit for limit in limits if limit is not None), default=float("inf"))
        return cells

    def kind(self, kind: str, plain: Mapping[Cell, Any], share: tuple[int, int]) -> Tried:
        seen, buckets = _Seen(), self._room.buckets
        for bucket in range(buckets):  # bucket after bucket: where the budget ends, what was tried was tried whole
            if time.monotonic() > self._until:
                return self._told(kind, plain, replace(seen, over_budget=True))
            failed = seen.failed
            for number, mode in enumerate(("remove", *MODES), start=1):
                cells = self._cells(kind, mode, bucket)
                done = (bucket + number / (1 + len(MODES))) / buckets
                self._watch.progress("trial", (share[0] + done) / share[1])
                if isinstance(cells, str):
                    seen.failed += 1
                else:
                    seen.note(mode, bucket, _changed(plain, cells))
            seen.whole += seen.failed == failed
        return self._told(kind, plain, seen)

    def _told(self, kind: str, plain: Mapping[Cell, Any], seen: _Seen) -> Tried:
        removed = min((len(b) for b in seen.removed.values()), default=None)
        perturbed = min((len(b) for b in seen.perturbed.values()), default=None)
        fewest = min((n for n in (removed, perturbed) if n is not None), default=None)
        return Tried(
            kind, self._room.buckets, len(plain), fewest, seen.largest,
            removed, perturbed, seen.whole, seen.failed, seen.over_budget,
        )  # fmt: skip

    def _cells(self, kind: str, mode: str, bucket: int) -> dict[Cell, Any] | str:
        """(grouping, dimensions, measure) → value of one run; the error's class where it did not finish."""
        if self._watch.cancelled():
            raise Cancelled
        self._runs += 1
        folder = self._folder / str(self._runs)
        folder.mkdir()
        try:
            tables = {alias: self._table(alias, kind, mode, bucket, folder) for alias in self._sources}
            return self._ran(tables, folder)
        finally:
            shutil.rmtree(folder)

    def _ran(self, tables: Mapping[str, Path], folder: Path) -> dict[Cell, Any] | str:
        room = self._room
        shared = RunOrder(
            steps=(), outputs=(), tables=tables, output_folder=folder / "run", limits=room.limits,
            folder_mb=room.folder_mb, buckets=Buckets((1,), (1,)), error_store=room.error_store,
        )  # fmt: skip
        order = StagedOrder(plan.stages(self._spec, room.base), folder / "run", shared)
        # nobody but this function sees the outcome, so that it may run without the twin's schemas
        outcome = staged.execute(order, Mode.SIMULATED, room.tested, cancel=_Stop(self._watch))
        if outcome.error_class == "cancelled":
            raise Cancelled
        if outcome.state is not State.DONE:
            return str(outcome.error_class)
        product = staged.product_file(order)
        try:
            found, _used = handover.rows_of(product, room.limits, room.folder_mb, room.tested.form)
        except (Unavailable, LimitExceeded) as error:
            if not error.code.startswith("handover."):
                raise  # no isolation on this host: nothing that the job could change
            return error.code
        return dict(_by_cell(self._spec, found.column_names, found.to_pylist()))

    def _table(self, alias: str, kind: str, mode: str, bucket: int, folder: Path) -> Path:
        """The file of an input for one run. What no run changes is copied once; an upload is not read here at all."""
        source = self._sources[alias]
        if not source.keys and not source.rows and source.columns is None and len(source.files) == 1:
            return Path(source.files[0])
        place = f"{list(self._sources).index(alias)}.parquet"
        key = next((k for k in source.keys if k.kind == kind), None)
        if key is not None:
            return self._copy(alias, folder / place, key, mode, bucket)
        if alias not in self._unchanged:
            self._unchanged[alias] = self._copy(alias, self._folder / place, None, mode, bucket)
        return self._unchanged[alias]

    def _copy(self, alias: str, file: Path, key: EntityKey | None, mode: str, bucket: int) -> Path:
        """The granted columns of an input, changed for one bucket; the jail's process may read it, nobody else's."""
        import pyarrow.parquet as pq

        source, stop = self._sources[alias], _Stop(self._watch)
        through = {f"{alias}#{k.kind}": Source(k.through.files, "") for k in source.keys if k.through is not None}
        with opened({alias: source, **through}, whole=True) as con:
            rows = f"SELECT * FROM {quote(alias)}"
            visible = column_names(source)
            text = f"SELECT {', '.join(map(quote, visible))} FROM ({rows})"
            if key is not None:
                inside = f"(hash({_owner(alias, key)} || ':{self._seed:x}') % {self._room.buckets} = {bucket})"
                text = _changed_rows(rows, visible, inside, _sensitive(source), mode, self._seed)
            clock = Clock(con, None, stop)
            with clock.running(), clock.step("copy"):
                reader = con.sql(text).to_arrow_reader(65_536)  # the connection itself may write nowhere
                with pq.ParquetWriter(file, reader.schema) as writer:
                    for batch in reader:
                        writer.write_batch(batch)
        file.chmod(0o444)
        return file


_BROKEN = frozenset({"worker_died", "protocol"})
"""How a run ends that says nothing about the job."""


def _unfinished(error_class: str) -> EvidenceError:
    return EvidenceError(
        "evidence.trials",
        Text("作业未能在源数据上完成，无从试验", "The job does not finish on the source: nothing could be tried"),
        Text("请减少作业的计算量，或确认脚本在真实数据上可以完成", "Let the job do less, and finish on real data"),
        error_class=error_class,
    )


def _owner(alias: str, key: EntityKey) -> str:
    own = normal_key(f"r.{quote(key.column)}")
    if key.through is None:
        return own
    look, owner = normal_key(quote(key.through.key)), normal_key(quote(key.through.owner))
    return f"(SELECT any_value({owner}) FROM {quote(f'{alias}#{key.kind}')} WHERE {look} = {own})"


def _sensitive(source: Source) -> list[str]:
    """Columns whose values are changed: those that say nothing else of themselves, and no key."""
    keys = {column for key in source.keys for column in (key.column, *key.domains)}
    return [c for c in column_names(source) if c not in keys and source.roles.get(c, "sensitive") == "sensitive"]


def _changed_rows(
    rows: str, visible: Sequence[str], inside: str, sensitive: Sequence[str], mode: str, seed: int
) -> str:  # fmt: skip
    """The rows without a bucket, or with its sensitive values changed; rows without an owner are in no bucket."""
    marked = f"SELECT r.*, coalesce({inside}, false) AS __in, row_number() OVER () AS __r FROM ({rows}) r"
    if mode == "remove":
        return f"SELECT {', '.join(map(quote, visible))} FROM ({marked}) WHERE NOT __in ORDER BY __r"
    columns, joins = [], ""
    for place, name in enumerate(visible):
        column = quote(name)
        if name not in sensitive:
            columns.append(f"m.{column}")
            continue
        new = f"(SELECT {'min' if mode == 'minimum' else 'max'}({column}) FROM m)"
        if mode == "shuffle":
            order = f"row_number() OVER (ORDER BY hash(__r, {seed}))"
            joins += f" LEFT JOIN (SELECT {column} AS v, {order} AS n FROM m WHERE {column} IS NOT NULL) s{place}"
            joins += f" ON s{place}.n = m.__n{place}"
            new = f"s{place}.v"
        columns.append(f"CASE WHEN m.__in AND m.{column} IS NOT NULL THEN {new} ELSE m.{column} END AS {column}")
    known = [f"row_number() OVER (PARTITION BY {quote(n)} IS NULL ORDER BY __r) AS __n{p}"
             for p, n in enumerate(visible) if n in sensitive]  # fmt: skip
    numbered = f"SELECT {', '.join(['*', *known])} FROM ({marked})"
    return f"WITH m AS ({numbered}) SELECT {', '.join(columns)} FROM m{joins} ORDER BY m.__r"


def _by_cell(spec: JobSpec, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Cell, Any]]:
    dimensions = [spec.output_name(d) for d in spec.dimensions]
    for row in rows:
        place = (row.get("__g", 0), *(row[d] for d in dimensions))
        for name in spec.measures:
            yield (*place, name), row[name]


def _changed(plain: Mapping[Cell, Any], other: Mapping[Cell, Any]) -> dict[Cell, float]:
    """The cells that differ, with the relative change; a cell that comes or goes has changed wholly."""
    found = dict.fromkeys(plain.keys() ^ other.keys(), 1.0)
    for cell in plain.keys() & other.keys():
        if not same_value(plain[cell], other[cell]):
            found[cell] = _relative(plain[cell], other[cell])
    return found


def _relative(before: Any, after: Any) -> float:
    """The change by which a bucket moves a value; of what is no number, or not there, all of it."""
    if not all(isinstance(v, int | float | Decimal) and math.isfinite(v) for v in (before, after)) or not before:
        return 1.0
    return abs(float(after) - float(before)) / abs(float(before))
