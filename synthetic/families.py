"""HMA for small related tables: which tables it models together, what it sees of them, and whether it did better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from policies.verdict import Outcome
from synthetic.columns import conform
from synthetic.engines import hma_engine
from synthetic.fields import blinded, entity_of
from synthetic.links import Family, Link, Parent, copied, links
from synthetic.protect import one_per_person, protect
from synthetic.simulate import Simulated, split
from synthetic.tables import TableInput

_TURN = 7919  # a prime: seeds of families differ from those of tables


def draw_families(
    tables: Mapping[str, TableInput], order: Sequence[str], sizes: Mapping[str, int], seed: int, edition: Any, *,
    asked: bool,
) -> dict[str, Family]:  # fmt: skip
    """What HMA drew for each table that it can model: at least two that hang together, all large enough to learn from.

    A table belongs to a family where a person's rows cannot fall on both sides of the split: its owner column, if it
    has one, is the link itself.

    Raises:
        UserError: `engine.no_family`, `engine.too_large`, only where HMA was asked for.
    """
    members = _members(tables, order, edition)
    drawn: dict[str, Family] = {}
    for group in _connected(members):
        family = _Family({n: tables[n] for n in order if n in group}, members, seed, edition)
        rows, cells = family.size()
        most = (hma_engine.MOST_ROWS, hma_engine.MOST_CELLS) if asked else (hma_engine.AUTO_ROWS, hma_engine.AUTO_CELLS)
        if rows <= most[0] and cells <= most[1]:
            drawn |= family.draw(sizes)
        elif asked:
            raise hma_engine.too_large(rows, cells)
    if asked and not drawn:
        raise hma_engine.no_family()
    return drawn


def better_of(one: Mapping[str, Simulated], other: Mapping[str, Simulated]) -> dict[str, Simulated]:
    """The set of tables that passes and is more faithful in the mean, `one` on a tie; both are shown as candidates.

    Keys tie the tables of a set together, so they are never mixed.
    """
    best, rest = (other, one) if _merit(other) > _merit(one) else (one, other)
    for name, made in best.items():
        known = {c["engine"] for c in made.manifest["candidates"]}
        made.manifest["candidates"] += [c for c in rest[name].manifest["candidates"] if c["engine"] not in known]
    return dict(best)


def _merit(made: Mapping[str, Simulated]) -> tuple[bool, float]:
    passed = all(m.verdict.outcome in (Outcome.PASS, Outcome.REVIEW) for m in made.values())
    ratios = [m.manifest["fidelity"]["ratio"] for m in made.values()]
    return passed, float(np.mean([r for r in ratios if r is not None] or [0.0]))


def _members(tables: Mapping[str, TableInput], order: Sequence[str], edition: Any) -> dict[str, list[Link]]:
    """Tables that HMA could model, with the links it would: one to each other such table."""
    least = edition.by_check("minimum_rows").parameters.rows
    found: dict[str, list[Link]] = {}
    for name in order:
        table = tables[name]
        if one_per_person(table.frame, table.fields).height < least or not any(f.learned for f in table.fields):
            continue
        owner = entity_of(table.fields)
        usable: dict[str, Link] = {}
        for link in links(table.fields):
            if link.table in found and (owner is None or owner.name in {child for child, _ in link.pairs}):
                usable.setdefault(link.table, link)
        found[name] = list(usable.values())[:1]
    return found


def _connected(members: Mapping[str, Sequence[Link]]) -> list[set[str]]:
    groups: list[set[str]] = []
    for name, found in members.items():
        near = {name, *(x.table for x in found)}
        touched = [g for g in groups if g & near]
        groups = [*(g for g in groups if not g & near), near.union(*touched)]
    return [g for g in groups if len(g) > 1]


class _Family:
    """Tables that hang together as a tree, split into sides by their root's rows."""

    def __init__(
        self, tables: Mapping[str, TableInput], members: Mapping[str, Sequence[Link]], seed: int, edition: Any
    ) -> None:
        self._links = {n: members[n] for n in tables}
        self._seed, self._k = seed, int(edition.by_check("rare_categories").parameters.k)
        limits, fit = (edition.by_check(c).parameters for c in ("modelled_columns", "fit_limits"))
        self._fields = {n: blinded(t.fields, limits.max_level, limits.generated_roles) for n, t in tables.items()}
        self._frames = {n: conform(t.frame, self._fields[n]).frame for n, t in tables.items()}
        self._held: dict[str, np.ndarray] = {}
        self._above: dict[str, np.ndarray] = {}
        for name, frame in self._frames.items():
            if not self._links[name]:
                numbered = frame.with_row_index("\0row")
                held = split(numbered, self._fields[name], fit.holdout_share, seed)[1]["\0row"].to_numpy()
                self._held[name] = np.isin(np.arange(frame.height), held)
            else:
                self._follow(name, self._links[name][0], fit.holdout_share)

    def _follow(self, name: str, link: Link, holdout_share: float) -> None:
        """Rows stand on the side of their parent; those without one on either."""
        above, fields = self._frames[link.table], self._fields[name]
        parent = Parent(above, above.height, fields=self._fields[link.table])
        pairs = link.key(parent)
        by_name = {f.name: f for f in fields}
        keys = pl.DataFrame([copied(parent, column, by_name[child]).cast(pl.String) for child, column in pairs])
        there = keys.with_row_index("\0above").unique(keys.columns, keep="first", maintain_order=True)
        asked = self._frames[name].select(pl.col(n).cast(pl.String) for n in keys.columns)
        rows = asked.join(there, on=keys.columns, how="left", maintain_order="left")["\0above"]
        self._above[name] = rows.cast(pl.Int64).fill_null(-1).to_numpy()
        lonely = np.random.default_rng(self._seed).random(len(rows)) < holdout_share
        self._held[name] = np.where(self._above[name] < 0, lonely, self._held[link.table][self._above[name]])

    def size(self) -> tuple[int, int]:
        """Fitted rows of the largest root, and fitted rows times learned columns over all tables."""
        fitted = {n: int((~held).sum()) for n, held in self._held.items()}
        learned = {n: sum(f.learned for f in fields) for n, fields in self._fields.items()}
        return max(fitted[n] for n in fitted if not self._links[n]), sum(fitted[n] * learned[n] for n in fitted)

    def draw(self, sizes: Mapping[str, int]) -> dict[str, Family]:
        pieces, places = {}, {}
        fitted = {n: ~held for n, held in self._held.items()}
        for name, frame in self._frames.items():
            for link in self._links[name]:  # without its parent's row a row cannot be in the model
                above = self._above[name]
                fitted[name] = fitted[name] & (above >= 0) & fitted[link.table][above]
            kept = np.flatnonzero(fitted[name])
            view = protect(frame[kept], self._fields[name], k=self._k, rng=np.random.default_rng(self._seed))
            numbers = {x.table: self._above[name][kept] for x in self._links[name]}
            pieces[name] = hma_engine.Piece(view.frame, kept, numbers)
            places[name] = {x.table: f"{x.column}→" for x in self._links[name]}
        root = max((n for n in pieces if not self._links[n]), key=lambda n: len(pieces[n].keys))
        scale = sizes[root] / len(pieces[root].keys)
        drawn = hma_engine.draw_family(pieces, scale, self._seed * _TURN % 2**32)
        return {
            name: Family(
                held=self._held[name], rows=one.rows,
                engine=hma_engine.HmaEngine(one, {places[name][p]: at for p, at in one.places.items()}),
            )
            for name, one in drawn.items()
        }  # fmt: skip
