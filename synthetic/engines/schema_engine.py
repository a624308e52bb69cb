"""Catalogue only: values from names, types and dictionaries. Structure, no statistics; no row is ever read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

import synthetic.generator as g
from synthetic.columns import SECOND_US, Scale
from synthetic.engines.base import Unfitted
from synthetic.fields import Field
from synthetic.planning import Planned
from synthetic.providers.pools import Words, decimal_texts, digits, pick, texts, words
from synthetic.rules import catalogue_rule

_NULL_SHARE = 0.05
_DAY = 86_400
_CAPITALS = tuple("ABCDEFGHJKLMNPQRSTUVWXYZ")
_EPSILON = 1e-9
_RANGES = {"year": (2019, 2025), "month": (1, 12), "day": (1, 28), "hour": (0, 23), "count": (1, 9)}
_SPREAD = 2.0
"""standard deviations from the middle of a range to its ends"""


@dataclass(slots=True)
class SchemaEngine:
    """Runs one rule a column: that of a generator plan where there is one, else that of the catalogue."""

    planned: Planned = field(default_factory=Planned.by_rules)
    name: str = "schema"
    reads_rows: bool = False
    conditional: bool = False
    sources: dict[str, str] = field(default_factory=dict)
    """which source made each column drawn so far, for the manifest"""

    def version(self) -> str:
        return f"schema/2 source: {self.planned.source}"

    def fit(self, frame: pl.DataFrame, fields: Sequence[Field], seed: int) -> Unfitted:
        """See `Engine.fit`; nothing is learned."""
        del frame, seed
        return Unfitted(self, fields)

    def fit_sample(self, frame: pl.DataFrame, fields: Sequence[Field], rows: int, seed: int) -> pl.DataFrame:
        """See `Maker.fit_sample`; `frame` is not used, not even its column types."""
        del frame
        chosen = {f.name: self._rule(f, fields) for f in fields}
        row = _Row({f.name: f for f in fields}, {}, rows)
        for name in _in_order(chosen):
            rng = np.random.default_rng(np.random.SeedSequence([seed, list(chosen).index(name)]))
            row.drawn[name] = _draw(chosen[name], row.fields[name], row, rng)
        rng = np.random.default_rng(np.random.SeedSequence([seed, len(fields)]))
        return pl.DataFrame([_series(f, row.drawn[f.name], rows, rng) for f in fields])

    def writes(self, column: Field) -> bool:
        """Whether the plan writes the texts of a column that else gets the pools' remarks."""
        return column.semantic == "free_text" and column.name in self.planned.rules

    def _rule(self, column: Field, fields: Sequence[Field]) -> g.Rule:
        rule, why = catalogue_rule(column, fields)
        if rule.column and getattr(self.planned.rules.get(rule.column), "column", None):
            rule = rule.model_copy(update={"of": None})  # else two rules, ours and the plan's, might lean on each other
        made_by = "dictionary" if why == "dictionary" else f"rules: {why}"
        asked = self.planned.rules.get(column.name)
        if asked is not None:
            # Its own columns are learned and those above a level drawn blind, apart from each other: a rule of the plan
            # that leans from one side on the other cannot be run.
            misfit = g.misfit(asked, column, {f.name: f for f in fields})
            made_by = f"{self.planned.source}: {asked.make}" if misfit is None else f"{made_by} (plan: {misfit})"
            rule = asked if misfit is None else rule
        self.sources[column.name] = made_by
        return rule


@dataclass(slots=True)
class _Row:
    """What is drawn so far: labels as texts, numbers and dates as ticks (see `Scale`)."""

    fields: Mapping[str, Field]
    drawn: dict[str, np.ndarray]
    rows: int

    def values(self, name: str) -> np.ndarray:
        """Numbers of a drawn column in its own unit; dates and moments in seconds since 1970."""
        one = self.fields[name]
        if one.dtype == "date":
            return self.drawn[name] * _DAY
        return self.drawn[name] * Scale.of(one).step / (SECOND_US if one.dtype == "timestamp" else 1.0)


def _in_order(chosen: Mapping[str, g.Rule]) -> list[str]:
    """The columns with those in front that others depend on (a plan with a circle was refused before)."""
    order: list[str] = []
    while len(order) < len(chosen):
        order += [n for n, rule in chosen.items() if n not in order and (rule.column is None or rule.column in order)]
    return order


def _series(column: Field, values: np.ndarray, rows: int, rng: np.random.Generator) -> pl.Series:
    series = pl.Series(column.name, values, dtype=pl.Float64 if column.numeric else pl.String)
    missing = rng.random(rows) < (_NULL_SHARE if column.null_share is None else column.null_share)
    return series.set(pl.Series(missing), None) if column.nullable else series


def _draw(rule: g.Rule, column: Field, row: _Row, rng: np.random.Generator) -> np.ndarray:
    match rule:
        case g.Vocabulary():
            return pick(rng, rule.values, row.rows, rule.weights)
        case g.Cases():
            return _cases(rule, row, rng)
        case g.Template():
            return _templates(rule, row.rows, rng)
        case g.Provider():
            return _provided(rule, column, row, rng)
        case g.Number():
            return _numbers(rule, column, row.rows, rng)
        case g.Portion():
            ticks = row.values(rule.of) * rng.uniform(rule.low, rule.high, row.rows) / Scale.of(column).step
            return np.round(ticks)
        case g.Dates():
            first, last = (np.datetime64(day, "D").astype(np.int64) for day in (rule.first, rule.last))
            if column.dtype == "date":
                return rng.integers(first, last + 1, row.rows).astype(np.float64)
            return rng.integers(first * _DAY, (last + 1) * _DAY, row.rows) * (SECOND_US / Scale.of(column).step)
        case g.After():
            return _after(rule, column, row, rng)


def _numbers(rule: g.Number, column: Field, rows: int, rng: np.random.Generator) -> np.ndarray:
    step = Scale.of(column).step
    low, high = np.ceil(rule.low / step - _EPSILON), np.floor(rule.high / step + _EPSILON)
    if rule.distribution == "uniform":
        return rng.integers(int(low), int(max(low, high)) + 1, rows).astype(np.float64)
    ends = np.array([rule.low, rule.high])
    ends = np.log(ends) if rule.distribution == "lognormal" else ends
    drawn = rng.normal(ends.mean(), (ends[1] - ends[0]) / (2 * _SPREAD), rows)
    drawn = np.exp(drawn) if rule.distribution == "lognormal" else drawn
    return np.round(drawn / step).clip(low, max(low, high))


def _after(rule: g.After, column: Field, row: _Row, rng: np.random.Generator) -> np.ndarray:
    seconds = row.values(rule.of) + rng.integers(rule.least, rule.most + 1, row.rows) * _DAY
    if column.dtype == "date":
        return np.floor(seconds / _DAY)
    late = rng.integers(0, _DAY, row.rows) if row.fields[rule.of].dtype == "date" else 0
    return (seconds + late) * (SECOND_US / Scale.of(column).step)


def _cases(rule: g.Cases, row: _Row, rng: np.random.Generator) -> np.ndarray:
    out = pick(rng, rule.otherwise, row.rows)
    told = row.drawn[rule.of]
    for value, choices in rule.cases.items():
        rows = np.flatnonzero(told == value)
        out[rows] = pick(rng, choices, len(rows))
    return out


def _templates(rule: g.Template, rows: int, rng: np.random.Generator) -> Words:
    chosen = rng.integers(0, len(rule.templates), rows)
    out = np.empty(rows, dtype=object)
    for number, template in enumerate(rule.templates):
        at = np.flatnonzero(chosen == number)
        text = words([""])[np.zeros(len(at), dtype=np.int64)]
        for literal, place in g.parts(template):
            text = text + literal + (_place(place, len(at), rng) if place else "")
        out[at] = text
    return out


def _place(place: str, rows: int, rng: np.random.Generator) -> Words:
    import synthetic.providers as p

    name, _, width = place.partition(":")
    if name == "digits":
        return texts(digits(rng.integers(0, 10 ** int(width), rows), int(width)))
    if name == "letter":
        return pick(rng, _CAPITALS, rows)
    if name in ("street", "district"):
        return p.places(rng, rows)[name == "street"]
    low, high = _RANGES[name]
    return decimal_texts(rng.integers(low, high + 1, rows))


def _provided(rule: g.Provider, column: Field, row: _Row, rng: np.random.Generator) -> Words:
    import synthetic.providers as p

    n = row.rows
    if rule.provider in p.INDEPENDENT:
        return p.INDEPENDENT[rule.provider](rng, n)
    match rule.provider:
        case "person_name":
            return p.person_names(rng, n)
        case "organisation":
            return p.company_names(rng, n)
        case "resident_id":
            return p.people(rng, n).resident_ids
        case "ip":
            return p.ips(rng, n)
        case "address":
            return p.addresses(rng, *p.places(rng, n))
        case "remark":
            table = " ".join(f"{f.name} {f.comment}" for f in row.fields.values())
            return p.remarks(rng, n, kind=p.remark_kind(f"{column.name} {column.comment}", table))
        case "street" if rule.of is not None:
            return p.streets_in(rng, row.drawn[rule.of])
        case place:
            return p.places(rng, n)[place == "street"]
