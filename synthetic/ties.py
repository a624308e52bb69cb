"""How rows of a child follow their parents: which parent columns matter, how many children, who gets which row.

The few parent columns that say most about a child are put beside the child's real rows, so that every engine learns
and draws them together with the child's own columns. Each drawn row then goes to a simulated parent that looks like
the drawn parent columns; how many children a parent has is drawn from real parents that look like it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from synthetic.columns import Scale
from synthetic.fields import Field, blinded
from synthetic.links import Link, Parent, copied, links, reach

_MOST_COLUMNS = 3
"""parent columns beside a child, a link"""
_SAMPLE = 20_000
_LEAST_INFORMATION = 0.02
"""nats; below it a parent column says too little about the child to be worth a column"""
_REDUNDANT = 0.8
"""share of its entropy from which a column says nothing that a chosen one does not say"""
_MOST_LABELS = 200
_FINE, _COARSE = 32, 8
_SPARE = 4
"""further children a parent may get so that a row finds one of its own look, below the cap"""
_INFORMATION_BINS = 12
_LEAST_PARENTS = 20
"""real parents of one look from which their own numbers of children are used"""


@dataclass(frozen=True, slots=True)
class Tie:
    """One link. `contexts`: column beside the child → the parent's column, most telling first.

    `sizes` = children of each real parent, zeros included, capped so that at least k parents reach the largest; they
    are empty where no row may be read. `real` are the real parents' contexts in the order of `sizes`, if known.
    """

    link: Link
    sizes: np.ndarray
    null_share: float = 0.0
    contexts: Mapping[str, Field] = field(default_factory=dict)
    real: pl.DataFrame | None = None

    @property
    def place(self) -> str:
        """The column in which an engine that draws whole families says which parent row a child row belongs to."""
        return f"{self.link.column}→"


@dataclass(frozen=True, slots=True)
class Ties:
    """All links of a table, and the context columns for its real rows."""

    ties: tuple[Tie, ...]
    beside: pl.DataFrame

    @property
    def fields(self) -> tuple[Field, ...]:
        """The context columns as fields that an engine learns."""
        return tuple(f for tie in self.ties for f in _renamed(tie))

    @property
    def places(self) -> frozenset[str]:
        """See `Tie.place`."""
        return frozenset(tie.place for tie in self.ties)

    @classmethod
    def learn(
        cls, frame: pl.DataFrame, fields: Sequence[Field], parents: Mapping[str, Parent], *, k: int, max_level: int,
        hidden: Sequence[str], own: str = "",
    ) -> Ties:  # fmt: skip
        """What ties the real rows of `frame` (plan-typed) to their parents; `own` is the table's own name."""
        by_name = {f.name: f for f in fields}
        ties, beside = [], pl.DataFrame()
        for link in links(fields):
            parent = parents.get(link.table)
            tie = Tie(link, _sizes(frame, link, parent, k), _missing(frame, link))
            if parent is not None and parent.real is not None and link.table != own and not frame.is_empty():
                tie, found = _with_contexts(tie, frame, by_name, parent, k, max_level, hidden)
                beside = beside.hstack(found) if beside.width else found
            ties.append(tie)
        return cls(tuple(ties), beside)

    @classmethod
    def blind(cls, fields: Sequence[Field]) -> Ties:
        """The links alone, for an engine that reads no row."""
        by_name = {f.name: f for f in fields}
        shares = {x: (by_name[x.column].null_share or 0.0) * by_name[x.column].nullable for x in links(fields)}
        return cls(tuple(Tie(x, np.zeros(0, np.int64), shares[x]) for x in links(fields)), pl.DataFrame())


def _renamed(tie: Tie) -> list[Field]:
    plain = {"district": "category", "street": "category", "code": "category", "constant": "category"}
    return [
        replace(f, name=name, nullable=True, null_share=None, unique=False, references=None, follows={},
                semantic=plain.get(f.semantic, f.semantic))
        for name, f in tie.contexts.items()
    ]  # fmt: skip


def _missing(frame: pl.DataFrame, link: Link) -> float:
    return frame.get_column(link.column).null_count() / frame.height if frame.height else 0.0


def _sizes(frame: pl.DataFrame, link: Link, parent: Parent | None, k: int) -> np.ndarray:
    names = [child for child, _ in (link.pairs[:1] if parent is None else link.key(parent))]
    counts = frame.select(names).drop_nulls().group_by(names).len("\0children")["\0children"]
    known = counts.sort().to_numpy().astype(np.int64)
    if not len(known):
        return known
    empty = max(0, (parent.real_rows if parent else 0) - len(known))
    return np.concatenate([np.minimum(known, _cap(known, k)), np.zeros(empty, dtype=np.int64)])


def _cap(counts: np.ndarray, k: int) -> int:
    """The largest number of children that at least k parents have (or one)."""
    return int(np.sort(counts)[-k]) if len(counts) >= k else 1


def _with_contexts(
    tie: Tie, frame: pl.DataFrame, by_name: Mapping[str, Field], parent: Parent, k: int, max_level: int,
    hidden: Sequence[str],
) -> tuple[Tie, pl.DataFrame]:  # fmt: skip
    assert parent.real is not None
    real = replace(parent, frame=parent.real)
    candidates = [f for f in blinded(parent.fields, max_level, hidden) if f.learned and _usable(parent.real, f)]
    names = {f.name: f"{tie.link.column}→{f.name}" for f in candidates}
    joined = reach(frame, by_name, tie.link, real, candidates).rename(names)
    pairs = tie.link.key(parent)
    keys = pl.DataFrame([copied(real, column, by_name[child]).cast(pl.String) for child, column in pairs])
    whole = keys.hstack([copied(real, f.name, f).alias(names[f.name]) for f in candidates]).drop_nulls(keys.columns)
    whole = whole.unique(keys.columns, keep="first", maintain_order=True)
    children = frame.select(pl.col(n).cast(pl.String) for n in keys.columns).group_by(keys.columns).len("\0children")
    whole = whole.join(children, on=keys.columns, how="left", maintain_order="left")
    whole = whole.with_columns(pl.col("\0children").fill_null(0))
    chosen = _telling(joined, whole, frame, [f for f in by_name.values() if f.learned], candidates, tie.link)
    counts = whole["\0children"].to_numpy().astype(np.int64)
    if not counts.any():
        return tie, joined.select([])
    capped = np.minimum(counts, _cap(counts[counts > 0], k))
    contexts = {f"{tie.link.column}→{f.name}": f for f in chosen}
    tie = replace(tie, sizes=capped, contexts=contexts, real=whole.select(list(contexts)))
    return tie, joined.select(list(contexts))


def _usable(real: pl.DataFrame, field: Field) -> bool:
    return field.numeric or real.get_column(field.name).n_unique() <= _MOST_LABELS


def _telling(
    joined: pl.DataFrame, parents: pl.DataFrame, frame: pl.DataFrame, own: Sequence[Field],
    candidates: Sequence[Field], link: Link,
) -> list[Field]:  # fmt: skip
    """The parent's columns that say most about a column of the child or about the number of children."""
    rng = np.random.default_rng(0)
    # One child of each parent: brothers repeat all their parent's values, which would look like information.
    first = np.flatnonzero(frame.select(pl.struct(child for child, _ in link.pairs).is_first_distinct()).to_series())
    rows = rng.permutation(first)[:_SAMPLE]
    some = rng.permutation(parents.height)[:_SAMPLE]
    child = [_codes(frame.get_column(f.name)[rows], f) for f in own]
    children = _codes(parents["\0children"][some], Field("\0children", "integer", "number"))
    scored = []
    for candidate in candidates:
        name = f"{link.column}→{candidate.name}"
        here, there = (_codes(t.get_column(name)[r], candidate) for t, r in ((joined, rows), (parents, some)))
        said = [_information(here, c) for c in child] + [_information(there, children)]
        scored.append((max(said), candidate, here))
    chosen: list[tuple[Field, np.ndarray]] = []
    for information, candidate, here in sorted(scored, key=lambda s: -s[0]):
        if information < _LEAST_INFORMATION or len(chosen) == _MOST_COLUMNS:
            break
        entropy = max(_information(here, here), 1e-9)
        if all(_information(here, other) < _REDUNDANT * entropy for _, other in chosen):
            chosen.append((candidate, here))
    return [candidate for candidate, _ in chosen]


def _codes(column: pl.Series, field: Field) -> np.ndarray:
    look = _Look.of(column, field, _INFORMATION_BINS)
    return np.unique(look.codes(column), return_inverse=True)[1]


def _information(parent: np.ndarray, child: np.ndarray) -> float:
    """Mutual information in nats less what chance adds to it; 0 where chance alone could give it.

    Under independence 2 n I follows the chi-square law with (a-1)(b-1) degrees of freedom: its mean is taken off, and
    three standard deviations are the least that counts.
    """
    rows = len(parent)
    if not rows:
        return 0.0
    size = int(child.max()) + 1
    joint = np.bincount(parent * size + child, minlength=(int(parent.max()) + 1) * size).reshape(-1, size) / rows
    left, right = joint.sum(1), joint.sum(0)
    at = np.nonzero(joint)
    raw = float((joint[at] * np.log(joint[at] / (left[at[0]] * right[at[1]]))).sum())
    freedom = (len(left) - 1) * (size - 1)
    found = raw - freedom / (2 * rows)
    return found if found > 3 * np.sqrt(2 * freedom) / (2 * rows) else 0.0


def place_rows(
    tie: Tie, drawn: Mapping[str, pl.Series], rows: int, parent: Parent, rng: np.random.Generator
) -> np.ndarray:
    """The row of the simulated parent for each of `rows` drawn child rows.

    Numbers of children follow the real ones of parents that look alike. A drawn row goes to a parent of its own look
    as long as there is one with room, else to one that is like it in fewer columns, at last to any; only where more
    rows are asked for than all parents have room for does one exceed the cap.
    """
    count = parent.frame.height
    if tie.place in drawn:
        return drawn[tie.place].cast(pl.Int64).to_numpy() % count
    names = [n for n in tie.contexts if n in drawn]
    simulated = {n: copied(parent, tie.contexts[n].name, tie.contexts[n]) for n in names}
    fine, coarse = (
        {n: _Look.of(simulated[n], tie.contexts[n], bins) for n in names} for bins in (_FINE, _COARSE)
    )
    wanted = _children(tie, {n: coarse[n].codes(simulated[n]) for n in names}, coarse, count, rng)
    room = np.maximum(int(tie.sizes.max(initial=1)) - wanted, 0)
    spare = np.repeat(np.arange(count), np.where(wanted > 0, np.minimum(room, _SPARE), 0))
    pools = [np.repeat(np.arange(count), wanted), spare]
    index = np.full(rows, -1)
    for look, used, which in _turns(names):
        open_rows = np.flatnonzero(index < 0)
        bins = fine if look == _FINE else coarse
        here, there = (_cells([bins[n].codes(t[n]) for n in used], [bins[n].size for n in used], size)
                       for t, size in ((drawn, rows), (simulated, count)))  # fmt: skip
        mine, theirs = _match(here[open_rows], there[pools[which]], rng)
        index[open_rows[mine]] = pools[which][theirs]
        pools[which] = np.delete(pools[which], theirs)
    return _squeeze(index, wanted, int(tie.sizes.max(initial=1)), rng)


def _turns(names: Sequence[str]) -> list[tuple[int, Sequence[str], int]]:
    """In which order rows look for a parent: how finely, alike in which columns, among the places that real numbers of
    children give (0) or those left below the cap (1)."""
    turns: list[tuple[int, Sequence[str], int]] = [(_FINE, names, 0)] if names else []
    for depth in range(len(names), 0, -1):
        turns += [(_COARSE, names[:depth], 0), (_COARSE, names[:depth], 1)]
    return [*turns, (_COARSE, (), 0)]


def _squeeze(index: np.ndarray, wanted: np.ndarray, cap: int, rng: np.random.Generator) -> np.ndarray:
    """Rows still without a parent: one more for parents that have children, again and again up to the cap, then for
    those that have none, then for anybody."""
    left = np.flatnonzero(index < 0)
    has = np.maximum(np.bincount(index[index >= 0], minlength=len(wanted)), wanted)
    room = np.maximum(cap - has, 0)
    for able in (wanted > 0, wanted == 0):
        while len(left) and (room * able).any():
            taken = rng.permutation(np.flatnonzero(room * able))[: len(left)]
            index[left[: len(taken)]] = taken
            room[taken] -= 1
            left = left[len(taken) :]
    index[left] = rng.integers(0, len(wanted), len(left))
    return index


def _children(
    tie: Tie, codes: Mapping[str, np.ndarray], looks: Mapping[str, _Look], count: int, rng: np.random.Generator
) -> np.ndarray:
    """How many children each simulated parent has."""
    if not len(tie.sizes):
        return np.ones(count, dtype=np.int64)
    wanted = rng.choice(tie.sizes, count)
    if tie.real is None or not codes:
        return wanted
    bins = [looks[n].size for n in codes]
    mine = _cells(list(codes.values()), bins, count)
    real = _cells([looks[n].codes(tie.real[n]) for n in codes], bins, len(tie.sizes))
    order = np.argsort(real, kind="stable")
    first, last = (np.searchsorted(real[order], mine, side=side) for side in ("left", "right"))
    many = last - first >= _LEAST_PARENTS
    place = first + (rng.random(count) * (last - first)).astype(np.int64)
    wanted[many] = tie.sizes[order][place[many]]
    return wanted


@dataclass(frozen=True, slots=True)
class _Look:
    """Bins of one parent column, cut on the simulated parents: quantiles or frequent labels; the last is missing."""

    scale: Scale
    cuts: np.ndarray
    labels: pl.Series | None

    @classmethod
    def of(cls, column: pl.Series, field: Field, bins: int) -> _Look:
        scale = Scale.of(field)
        seen = scale.encode(column).drop_nulls()
        if scale.kind == "label":
            counts = seen.alias("label").value_counts().sort(["count", "label"], descending=[True, False])
            return cls(scale, np.zeros(0), counts["label"].head(_MOST_LABELS))
        values = seen.to_numpy()
        cuts = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])) if len(values) else np.zeros(0)
        return cls(scale, cuts, None)

    @property
    def size(self) -> int:
        return (len(self.cuts) if self.labels is None else len(self.labels)) + 2

    def codes(self, column: pl.Series) -> np.ndarray:
        seen = self.scale.encode(column)
        if self.labels is None:
            inside = np.searchsorted(self.cuts, seen.fill_null(0.0).to_numpy(), side="right")
        else:
            other = len(self.labels)
            found = seen.replace_strict(self.labels, np.arange(other), default=other, return_dtype=pl.Int64)
            inside = found.fill_null(other).to_numpy()
        return np.where(seen.is_null().to_numpy(), self.size - 1, inside)


def _cells(codes: Sequence[np.ndarray], sizes: Sequence[int], rows: int) -> np.ndarray:
    """One number for each combination of codes."""
    cell = np.zeros(rows, dtype=np.int64)
    for code, size in zip(codes, sizes, strict=True):
        cell = cell * size + code
    return cell


def _match(left: np.ndarray, right: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of places with equal values, as many as there are, each place once, at random."""
    orders = [np.lexsort((rng.random(len(side)), side)) for side in (left, right)]
    values = np.unique(np.concatenate([left, right]))
    bounds = [np.searchsorted(side[order], values) for side, order in zip((left, right), orders, strict=True)]
    counts = [np.diff(np.append(b, len(side))) for b, side in zip(bounds, (left, right), strict=True)]
    pairs = np.minimum(*counts)
    mine, theirs = (
        order[np.repeat(b - np.cumsum(pairs) + pairs, pairs) + np.arange(pairs.sum())]
        for order, b in zip(orders, bounds, strict=True)
    )
    return mine, theirs


def hierarchy(tie: Tie, rows: int, nullable: bool, rng: np.random.Generator) -> np.ndarray:
    """For a table that references itself: the row each row refers to, -1 for none; nobody is above himself.

    Rows stand in a hidden order. The first ones refer to nobody (to themselves where a value is required); each other
    refers to an earlier one, with as many followers a row as in reality.
    """
    tops = max(1, round(tie.null_share * rows)) if nullable else 1
    sizes = tie.sizes[tie.sizes > 0] if len(tie.sizes) else np.ones(1, dtype=np.int64)
    followers = rows - tops
    above = np.zeros(0, dtype=np.int64)
    if followers > 0:
        drawn = rng.choice(sizes, followers)
        above = np.repeat(np.arange(followers), drawn)[:followers]
    order = rng.permutation(rows)
    index = np.full(rows, -1)
    index[order[tops:]] = order[above]
    if not nullable:
        index[order[:tops]] = order[:tops]
    return index
