"""Changes of a job that make its product coarser: what a person would try when the gate says no.

Each is a whole changed job, so that it can be run and judged like any other. Nothing here looks at the gate: which
changes help is found out by trying (`repairs`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from policies.text import Text
from sandbox.products.spec import CUBE, JobSpec, as_data, parse
from sandbox.products.spec_errors import SpecError

Kind = Literal["suppress", "merge", "coarsen", "round", "drop_dimension", "drop_measure"]
MARK = "*"
"""Stands for a suppressed number where a job has no mark of its own."""
REST = Text("其他", "others")
_PERIODS = ("date", "month", "quarter", "year")
_WORDS = {"month": Text("月份", "month"), "quarter": Text("季度", "quarter"), "year": Text("年份", "year")}
_MANY = 8
"""More different numbers than this in a dimension are put into bands."""
_ROUNDER = (1, 2, 3)
"""Digits that amounts lose."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a job: what is done, in words without a number of anybody's, and the job that results."""

    kind: Kind
    text: Text
    spec: JobSpec


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension of a cube as it came out: how it is written, its header, its values by the rows of all
    dimensions, and the values that failing cells have."""

    name: str
    header: str
    values: Sequence[Any]
    failing: frozenset[Any]


class Job:
    """A job as plain data of the second edition, to be changed; nothing that does not parse is yielded."""

    def __init__(self, spec: JobSpec) -> None:
        self._spec = spec

    def suppressing(self) -> Iterator[Change]:
        """Let the platform hide what is too small."""
        if self._spec.suppress is None:
            text = Text("由平台隐去过小的单元格", "let the platform hide cells that are too small")
            yield from self._changed("suppress", text, suppress={"below": "policy", "as": MARK})

    def merging(self, dimension: Dimension, people: Mapping[Any, int]) -> Iterator[Change]:
        """Put the values of failing cells together; `people`: value → entities behind it, fewest first is next."""
        values = dict.fromkeys(v for v in dimension.values if v is not None)
        if not dimension.failing or not all(isinstance(v, str) for v in values):
            return
        ordered = sorted(values, key=lambda v: (v not in dimension.failing, people.get(v, 0), v))
        first = max(2, len(dimension.failing))
        for size in dict.fromkeys((first, first + 1)):
            if size < len(values):
                yield from self._merged(dimension, ordered[:size])

    def _merged(self, dimension: Dimension, values: list[str]) -> Iterator[Change]:
        known = self._spec.derive.get(dimension.name)
        if known is not None and known.recode is None:
            return
        of = dimension.name if known is None or known.recode is None else known.recode.of
        before = {} if known is None or known.recode is None else known.recode.groups
        groups = {name: list(held) for name, held in before.items() if name not in values}
        groups[REST.zh] = [inner for value in values for inner in before.get(value, [value])]
        groups[REST.zh] = list(dict.fromkeys([*groups[REST.zh], *before.get(REST.zh, ())]))
        listed = "、".join(values[:6]) + ("…" if len(values) > 6 else "")
        text = Text(f"合并“{dimension.header}”中的 {listed} 为“{REST.zh}”",
                    f"merge {listed} of {dimension.header} into {REST.zh}")  # fmt: skip
        yield from self._derived("merge", text, dimension, f"{dimension.header}合并",
                                 {"recode": {"of": of, "groups": groups}})  # fmt: skip

    def coarsening(self, dimension: Dimension) -> Iterator[Change]:
        """Longer periods, wider bands, shorter codes."""
        known = self._spec.derive.get(dimension.name)
        call = known.call if known is not None else None
        values = {v for v in dimension.values if v is not None}
        if call is not None and call[0] in _PERIODS:
            yield from self._periods(dimension, call[1], _PERIODS[_PERIODS.index(call[0]) + 1 :])
        elif call is not None and call[0] == "band":
            yield from self._bands(dimension, call[1].of, [call[1].width * n for n in (2, 5)])
        elif call is not None and call[0] == "prefix":
            yield from self._prefixes(dimension, call[1].of, call[1].length)
        elif call is None and values and all(isinstance(v, date) for v in values):
            yield from self._periods(dimension, dimension.name, _PERIODS[1:])
        elif call is None and len(values) > _MANY and all(type(v) in (int, float) for v in values):
            yield from self._bands(dimension, dimension.name, _widths(values))
        elif call is None and values and all(isinstance(v, str) and v.isdigit() for v in values):
            yield from self._prefixes(dimension, dimension.name, min(map(len, values)))

    def _periods(self, dimension: Dimension, of: str, longer: Sequence[str]) -> Iterator[Change]:
        for one in longer:
            text = Text(f"把“{dimension.header}”改为按{_WORDS[one].zh}", f"{dimension.header} by {_WORDS[one].en}")
            yield from self._derived("coarsen", text, dimension, _WORDS[one].zh, {one: of})

    def _bands(self, dimension: Dimension, of: str, widths: Sequence[int]) -> Iterator[Change]:
        for width in widths:
            text = Text(f"把“{dimension.header}”按每 {width} 分段", f"{dimension.header} in bands of {width}")
            made = {"band": {"of": of, "width": width}}
            yield from self._derived("coarsen", text, dimension, f"{dimension.header}分段", made)

    def _prefixes(self, dimension: Dimension, of: str, length: int) -> Iterator[Change]:
        for short in (n for n in (length - 2, length - 4) if n >= 2):
            text = Text(f"“{dimension.header}”只取前 {short} 位", f"the first {short} characters of {dimension.header}")
            made = {"prefix": {"of": of, "length": short}}
            yield from self._derived("coarsen", text, dimension, f"{dimension.header}前{short}位", made)

    def rounding(self) -> Iterator[Change]:
        """Fewer digits of amounts; counts are rounded by policy."""
        amounts = {n: m for n, m in self._spec.measures.items() if not m.is_count}
        for less in _ROUNDER if amounts else ():
            measures = self._cube()["measures"]
            for name, measure in amounts.items():
                measures[name] = {**measures[name], "round": max(-6, measure.digits - less)}
            names = "、".join(amounts)
            text = Text(f"{names} 少保留 {less} 位", f"round {names} to {less} digit(s) fewer")
            yield from self._changed("round", text, measures=measures)

    def dropping(self, measures: Sequence[str], dimensions: Sequence[Dimension]) -> Iterator[Change]:
        """Leave out measures, then one dimension after the other."""
        cube = self._cube()
        if measures and len(measures) < len(self._spec.measures):
            names = "、".join(measures)
            kept = {n: m for n, m in cube["measures"].items() if n not in measures}
            yield from self._changed("drop_measure", Text(f"去掉 {names}", f"drop {names}"), measures=kept)
        for one in dimensions if len(self._spec.dimensions) > 1 else ():
            text = Text(f"去掉维度“{one.header}”", f"drop the dimension {one.header}")
            yield from self._redone("drop_dimension", text, one.name, [], {})

    def _derived(
        self, kind: Kind, text: Text, dimension: Dimension, name: str, derived: dict[str, Any]
    ) -> Iterator[Change]:  # fmt: skip
        taken = {*self._spec.derive, *self._spec.output_columns} - {dimension.name}
        while name in taken:
            name += "_"
        yield from self._redone(kind, text, dimension.name, [name], {name: derived})

    def _redone(
        self, kind: Kind, text: Text, old: str, new: Sequence[str], derived: Mapping[str, Any]
    ) -> Iterator[Change]:  # fmt: skip
        """The job with one dimension written otherwise, or left out; margins that become equal are one."""
        cube = self._cube()

        def put(names: Sequence[str]) -> list[str]:
            return [one for name in names for one in (new if name == old else [name])]

        dimensions, margins = put(self._spec.dimensions), list[list[str]]()
        for margin in map(put, self._spec.margins):
            if set(margin) != set(dimensions) and set(margin) not in map(set, margins):
                margins.append(margin)
        kept = {name: one for name, one in cube.get("derive", {}).items() if name != old}
        measures = {
            name: {**one, "margin": put(one["margin"])} if "margin" in one else one
            for name, one in cube["measures"].items()
        }
        yield from self._changed(kind, text, dimensions=dimensions, margins=margins, measures=measures,
                                 derive=kept | dict(derived))  # fmt: skip

    def _cube(self) -> dict[str, Any]:
        return dict(second_edition(self._spec)["product"])

    def _changed(self, kind: Kind, text: Text, **parts: Any) -> Iterator[Change]:
        data = second_edition(self._spec)
        filled = {name: part for name, part in parts.items() if part not in ([], {}) or name == "dimensions"}
        data["product"] = {**{k: v for k, v in data["product"].items() if k not in parts}, **filled}
        try:
            spec = parse(data)
        except SpecError:  # a later part of the job needs what is gone
            return
        yield Change(kind, text, spec)


def second_edition(spec: JobSpec) -> dict[str, Any]:
    """The job as data of the second edition, which means the same."""
    data = as_data(spec)
    if spec.edition > 1:
        return data
    cube = {name: data.pop(name) for name in CUBE if name in data}
    for measure in cube["measures"].values():
        if measure.get("per") == "count":  # a word of its own in the second edition
            measure["per"] = f"{spec.from_}.count"
    return {**data, "edition": 2, "product": cube}


def _widths(values: set[Any]) -> list[int]:
    """Round widths that make about ten, five and three bands of these numbers."""
    span = max(values) - min(values)
    steps = [n * 10**e for e in range(12) for n in (1, 2, 5)]
    found = [next((s for s in steps if span / s <= bands), steps[-1]) for bands in (10, 5, 3)]
    return list(dict.fromkeys(found))
