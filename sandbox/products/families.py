"""Near-equal jobs: each run tells about one bit, and the same question asked with a moving constant tells a value.

A job's **shape** is its canonical form without constants and without the names its author chose. The distance of two
shapes counts the declared parts in which they differ, and `CLAUSE` words of free text as one part; constants never
count. Jobs of one organisation within the policy's distance of each other are a **family**. The distance is a metric,
so a family cannot be left by a detour; it can be left by padding a text with dead code, which is why the number of
runs per grant is limited as well.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policies.text import Text
from sandbox.products.expressions import tree_of
from sandbox.products.spec import Cube, JobSpec
from sandbox.products.spec_parts import Condition
from sandbox.products.spec_tree import conditions

CLAUSE = 8
"""Words of free text that count as one part: about a condition with its column, operator and connective."""
KINDS = {
    "input": Text("输入", "input"), "from": Text("来源", "from"), "join": Text("连接", "join"),
    "where": Text("筛选", "filter"), "by": Text("维度", "dimension"), "measure": Text("指标", "measure"),
    "round": Text("小数位", "decimals"), "step": Text("步骤", "step"), "column": Text("脚本列", "script column"),
    "text": Text("语句", "text"), "margin": Text("合计行", "margin"), "reference": Text("参照", "reference"),
    "suppress": Text("抑制", "suppression"), "owners": Text("多个主体", "several owners"),
}  # fmt: skip
_WORD = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|\#[^\n]*|/\*.*?\*/)"""
    r"""|(?P<constant>'{3}.*?'{3}|"{3}.*?"{3}|'(?:[^']|'')*'|\$\$.*?\$\$|\d[\w.]*)"""
    r"""|(?P<word>"(?:[^"]|"")*"|\w+|.)""",
    re.DOTALL | re.VERBOSE,
)
Part = tuple[str, str]
"""Kind (a key of `KINDS`) and what it is, e.g. ("where", "年龄 >")."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a job asks, without constants: declared parts and words of its free texts, both as multisets."""

    parts: Mapping[str, int]
    words: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        return {"parts": dict(self.parts), "words": dict(self.words)}


def shape_of(spec: JobSpec, resources: Mapping[str, str]) -> Shape:
    """The shape of a job; `resources`: grant → resource, so that two grants on one table are one input."""
    names = {alias: resources.get(one.grant or "", "upload") for alias, one in spec.inputs.items()}
    meant = {alias.casefold(): name for alias, name in names.items()}
    meant |= {step.name.casefold(): "step" for step in spec.prepare}
    meant |= {one.name.casefold(): "reference" for one in spec.reference}
    parts = Counter(f"{kind} {name}" for kind, name, _ in _parts(spec, names))
    words = Counter(word for step in _texts(spec) for word, constant in _words(step[1], meant) if not constant)
    return Shape(parts, words)


def distance(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    """Parts in which two shapes (as kept) differ; a part put in another's place counts once. A metric."""
    return _apart(one["parts"], other["parts"]) + -(-_apart(one["words"], other["words"]) // CLAUSE)


def _apart(one: Mapping[str, int], other: Mapping[str, int]) -> int:
    a, b = Counter(one), Counter(other)
    return max((a - b).total(), (b - a).total())


def changes(old: JobSpec, new: JobSpec) -> list[Text]:
    """What differs between two jobs, constants included, in words: “筛选 年龄 > 30 → 31”."""
    before, after = _facts(old), _facts(new)
    found = []
    for place in [p for p in before if p in after and before[p] != after[p]]:
        found.append(_said(place, f"{_value(before[place])} → {_value(after[place])}"))
    found += [_said(p, _value(before[p]), Text("去掉", "without")) for p in before if p not in after]
    found += [_said(p, _value(after[p]), Text("增加", "with")) for p in after if p not in before]
    return found + _rewritten(dict(_texts(old)), dict(_texts(new)))


def _rewritten(old: Mapping[str, str], new: Mapping[str, str]) -> list[Text]:
    found = []
    for label in [name for name in new if name in old]:
        one, other = (Counter(w for w, constant in _words(t[label], {}) if not constant) for t in (old, new))
        if words := _apart(one, other):
            found.append(Text(f"步骤 {label} 的语句改动约 {words} 个词", f"about {words} words of step {label}"))
    return found


def _said(place: tuple[str, str, int], value: str, verb: Text | None = None) -> Text:
    kind, name, _ = place
    zh, en = f"{KINDS[kind].zh} {name} {value}".strip(), f"{KINDS[kind].en} {name} {value}".strip()
    return Text(f"{verb.zh}{zh}", f"{verb.en} {en}") if verb else Text(zh, en)


def _value(value: Any) -> str:
    return "" if value is None else "、".join(map(str, value)) if isinstance(value, list) else str(value)


def _facts(spec: JobSpec) -> dict[tuple[str, str, int], Any]:
    """Every part and constant by its place; a place met twice is numbered."""
    seen: Counter[Part] = Counter()
    found: dict[tuple[str, str, int], Any] = {}
    names = {alias: alias for alias in spec.inputs}
    listed = [*_parts(spec, names), *_constants(spec, names)]
    for kind, name, value in listed:
        found[(kind, name, seen[(kind, name)])] = value
        seen[(kind, name)] += 1
    return found


def _constants(spec: JobSpec, names: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    for label, text in _texts(spec):
        yield from (("text", label, word) for word, constant in _words(text, names) if constant)


def _texts(spec: JobSpec) -> list[tuple[str, str]]:
    found = [(step.name, str(step.sql or step.script)) for step in spec.prepare]
    named = [*((f"{one.name}.where", one) for one in spec.reference), ("where", spec)]
    found += [(label, cube.where) for label, cube in named if isinstance(cube.where, str) and not _conditions(cube)]
    return [*found, *([("post", spec.post.sql)] if spec.post else [])]


def _words(text: str, names: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """(word, whether it is a constant) of SQL or Python; case, blanks and comments do not matter."""
    for match in _WORD.finditer(text):
        if match.lastgroup == "constant":
            yield match[0], True
        elif match.lastgroup == "word":
            plain = match[0].strip('"').casefold()
            yield names.get(plain, plain), False


def _parts(spec: JobSpec, names: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    """(kind, name, constant) of everything declared; names the author chose are replaced by what they mean."""
    tables = {**{step.name: "step" for step in spec.prepare}, **{one.name: "reference" for one in spec.reference}}
    tables |= names
    yield from (("input", names[alias], None) for alias in spec.inputs)
    yield from _cube_parts(spec, tables)
    for one in spec.reference:
        yield "reference", "", None
        yield from _cube_parts(one, tables)
    for step in spec.prepare:
        yield "step", "sql" if step.script is None else "script", None
        yield from (("column", f"{name} {kind}", None) for name, kind in step.columns.items())
        if step.owners == "several":
            yield "owners", "", None
    if spec.post:
        yield "step", "post", None


def _conditions(cube: Cube) -> list[Condition]:
    """The filter as conditions, also where it is written as an expression that is nothing else."""
    if isinstance(cube.where, list):
        return cube.where
    return [Condition.model_validate(c) for c in conditions(tree_of(cube.where)) or ()]


def _cube_parts(cube: Cube, tables: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    def expression(column: str) -> str:
        if column not in cube.derive:
            return cube.split(column)[1]
        function, argument = cube.derive[column].call
        if isinstance(argument, str):
            return f"{function}({cube.split(argument)[1]})"
        options = argument.model_dump(exclude={"of"})
        return f"{function}({cube.split(argument.of)[1]} {'/'.join(options)})"

    yield "from", tables[cube.from_], None
    for join in cube.join:
        pairs = ", ".join(f"{cube.split(a)[1]}={b}" for a, b in sorted(join.on.items()))
        yield "join", f"{tables[join.input]} {pairs}", None
    for c in _conditions(cube):
        yield "where", f"{expression(c.column)} {c.op}", c.value
    for dimension in cube.dimensions:
        argument = cube.derive[dimension].call[1] if dimension in cube.derive else ""
        sizes = None if isinstance(argument, str) else next(iter(argument.model_dump(exclude={"of"}).values()))
        yield "by", expression(dimension), sizes
    yield from (("margin", " ".join(sorted(map(expression, margin))), None) for margin in cube.margins)
    for m in cube.measures.values():
        rows = ["rows"] * cube.per_rows(m)
        asked = [m.op, *map(expression, cube.columns_of(m)), *rows, *map(expression, m.margin or ())]
        yield "measure", " ".join(asked), m.round if m.q is None else [m.round, m.q]
    if cube.suppress:
        yield "suppress", "", cube.suppress.as_
