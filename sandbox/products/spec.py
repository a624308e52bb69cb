"""The job specification: a product described as data, bound once to the simulated twin and once to granted snapshots.

The first edition is a declared cube and nothing else: inputs, equality joins, filters, derived columns, dimensions and
measures, from which the platform writes every statement. The second puts free steps before the cube (`prepare`: SQL
or a script) and one statement behind it (`post`: sees the rounded cube only). A job of the second edition keeps its
cube under `product`; inside there is one model for both, so that whoever reads a cube reads either edition.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sandbox.products.spec_errors import SpecError, SpecProblem, as_problems, line_of, load_text
from sandbox.products.spec_parts import (
    LATER_MEASURES,
    MAX_CONDITIONS,
    ROWS,
    Alias,
    Column,
    Condition,
    Derive,
    Input,
    Join,
    Measure,
    Name,
    Output,
    Part,
    Post,
    SqlText,
    Step,
    Suppress,
    folded,
    refuse,
    slug,
)


def _condition(value: str) -> str:
    from sandbox.products.expressions import tree_of

    tree_of(value)
    return value


def _form(value: Any) -> str:
    return "text" if isinstance(value, str) else "list"


Conditions = Annotated[list[Condition], Field(max_length=MAX_CONDITIONS)]
Expression = Annotated[SqlText, AfterValidator(_condition)]
"""One SQL expression over the columns of a row."""
Where = Annotated[Annotated[Conditions, Tag("list")] | Annotated[Expression, Tag("text")], Discriminator(_form)]


class Cube(Part):
    """A declared cube, read as: from one table, joined, filtered, derived, grouped, measured.

    `margins` are further groupings by some of the dimensions: their rows have the other dimensions empty.
    """

    from_: Annotated[Alias, Field(alias="from")]
    join: Annotated[list[Join], Field(max_length=7, default_factory=list)]
    where: Annotated[Where, Field(default_factory=list)]
    derive: Annotated[dict[Name, Derive], Field(max_length=20, default_factory=dict)]
    dimensions: Annotated[list[Column], Field(max_length=8)]
    margins: Annotated[list[Annotated[list[Column], Field(max_length=7)]], Field(max_length=16, default_factory=list)]
    measures: Annotated[dict[Name, Measure], Field(min_length=1, max_length=20)]
    suppress: Suppress | None = None

    @model_validator(mode="after")
    def _output_names_are_unique(self) -> Cube:
        names = [folded(n) for n in self.output_columns]
        if len(set(names)) != len(names):
            raise refuse(
                "duplicate_output",
                "输出列名重复（不区分大小写与全半角）",
                "two output columns share a name (case and width do not distinguish)",
            )
        if len({folded(n) for n in self.derive}) != len(self.derive):
            raise refuse("duplicate_derived", "派生列名重复", "two derived columns share a name")
        return self

    @field_validator("margins")
    @classmethod
    def _margins_fit(cls, margins: list[list[str]], info: ValidationInfo) -> list[list[str]]:
        dimensions = info.data.get("dimensions", [])
        found = [frozenset(dimensions)]
        for margin in margins:
            if not set(margin) <= set(dimensions) or len(set(margin)) != len(margin):
                raise refuse(
                    "margin_dimensions",
                    f"合计行 [{'、'.join(margin)}] 只能取自 dimensions，且不重复",
                    f"the margin [{', '.join(margin)}] takes dimensions of the cube, each once",
                )
            if frozenset(margin) in found:
                raise refuse(
                    "margin_twice",
                    f"合计行 [{'、'.join(margin)}] 重复，或与全部维度相同",
                    f"the margin [{', '.join(margin)}] is written twice, or is all dimensions",
                )
            found.append(frozenset(margin))
        return margins

    @field_validator("measures")
    @classmethod
    def _shares_are_of_margins(cls, measures: dict[str, Measure], info: ValidationInfo) -> dict[str, Measure]:
        margins = [frozenset(margin) for margin in info.data.get("margins", [])]
        for name, measure in measures.items():
            if measure.margin is not None and frozenset(measure.margin) not in margins:
                raise refuse(
                    "share_margin",
                    f"{name} 的 margin 须是 margins 中的一项：分母要作为合计行一并核查",
                    f"the margin of {name} is one of `margins`: what shares are taken of is judged as well",
                )
        return measures

    @model_validator(mode="after")
    def _dimensions_differ(self) -> Cube:
        calls = [self.derive[d].call for d in self.dimensions if d in self.derive]
        if self.margins and any(call in calls[:i] for i, call in enumerate(calls)):
            raise refuse("dimension_twice", "两个维度是同一个派生列", "two dimensions are the same derived column")
        return self

    @property
    def used(self) -> list[str]:
        """Tables the cube is made from."""
        return [self.from_, *(j.input for j in self.join)]

    @property
    def groupings(self) -> list[list[str]]:
        """Grouping number → its dimensions: 0 is all of them, then the margins as written."""
        return [self.dimensions, *self.margins]

    def split(self, column: str) -> tuple[str | None, str]:
        """(alias, name) of a column reference; the alias is None where the reference does not say."""
        head, dot, rest = column.partition(".")
        return (head, rest) if dot and head in self.used and rest else (None, column)

    def output_name(self, dimension: str) -> str:
        """Header of a dimension: its column name without the alias."""
        return dimension if dimension in self.derive else self.split(dimension)[1]

    @property
    def output_columns(self) -> list[str]:
        return [*(self.output_name(d) for d in self.dimensions), *self.measures]

    def per_rows(self, measure: Measure) -> bool:
        """Whether a ratio is per row, not per a column's sum."""
        return measure.per == ROWS

    def columns_of(self, measure: Measure) -> list[str]:
        """Columns a measure is made from."""
        per = None if self.per_rows(measure) else measure.per
        return [c for c in (measure.of, per, measure.weight) if c]

    def filter_columns(self) -> list[str]:
        """Columns the filter mentions, as written."""
        if isinstance(self.where, str):
            from sandbox.products.expressions import columns_of

            return columns_of(self.where)
        return [c.column for c in self.where]

    def source_columns(self) -> list[str]:
        """Every column reference that reads a table, as written, in order of first use (derived names resolved)."""
        found: dict[str, None] = {}
        for join in self.join:
            for left, right in join.on.items():
                left_alias, left_name = self.split(left)
                found[f"{left_alias or self.from_}.{left_name}"] = None
                found[f"{join.input}.{right}"] = None
        for derived in self.derive.values():
            argument = derived.call[1]
            found[argument if isinstance(argument, str) else argument.of] = None
        measured = [c for m in self.measures.values() for c in self.columns_of(m)]
        for reference in [*self.filter_columns(), *self.dimensions, *measured]:
            if reference not in self.derive:
                found[reference] = None
        return list(found)


def _places(cube: Cube) -> list[tuple[str | int, ...]]:
    """Where each of the tables a cube uses is written."""
    return [("from",), *(("join", i, "input") for i in range(len(cube.join)))]


def _once(*place: str | int) -> Exception:
    return refuse(
        "inputs_once",
        "每个输入必须在 from 或 join 中恰好用一次，别名不能只差大小写",
        "each input is used exactly once, in from or join, and aliases differ by more than case",
        *place,
    )


class Reference(Cube):
    """A cube whose numbers are used as constants by later steps, the product or `post`; judged as if released."""

    name: Alias


class JobSpec(Cube):
    """A whole product: prepared, referred to, its cube (the job itself), finished and written."""

    job: Annotated[str, AfterValidator(slug)]
    edition: Annotated[int, Field(ge=1, le=2)]
    inputs: Annotated[dict[Alias, Input], Field(min_length=1, max_length=8)]
    prepare: Annotated[list[Step], Field(max_length=20, default_factory=list)]
    reference: Annotated[list[Reference], Field(max_length=8, default_factory=list)]
    post: Post | None = None
    output: Output

    @model_validator(mode="after")
    def _tables_fit(self) -> JobSpec:
        for place, cube in self._cubes():
            aliases = [folded(a) for a in cube.used]
            for alias, where in zip(cube.used, _places(cube), strict=True):
                if alias not in self.tables:
                    zh, en = f"未声明的输入：{alias}", f"input not declared: {alias}"
                    raise refuse("unknown_input", zh, en, *place, *where)
                if aliases.count(folded(alias)) > 1:
                    raise _once(*place, *where)
        if self.edition == 1 and sorted(self.used) != sorted(self.inputs):
            raise _once()
        for alias, one in self.inputs.items():
            if self.edition == 1 and one.upload:
                raise refuse("upload", "上传数据从第二版起可用", "uploads need the second edition", "inputs", alias)
        return self

    @model_validator(mode="after")
    def _steps_fit(self) -> JobSpec:
        named = [("inputs", a, a) for a in self.inputs] + [
            (group, i, one.name) for group, part in self._parts() for i, one in enumerate(part)
        ]
        seen = {folded(n) for n in RESERVED}
        for group, i, name in named:
            if folded(name) in seen:
                raise refuse(
                    "step_name",
                    f"输入和步骤的名称不能重复（不区分大小写），也不能是 {'、'.join(RESERVED)}",
                    f"inputs and steps have different names, and none is called {', '.join(RESERVED)}",
                    *((group, i, "name") if group != "inputs" else (group, i)),
                )
            seen.add(folded(name))
        known = set(self.inputs)
        for step in self.sequence:
            missing = [t for t in (step.reads if isinstance(step, Step) else step.used) if t not in known]
            if missing:
                place = next((g, i) for g, i, name in named if name == step.name)
                raise refuse(
                    "step_reads",
                    f"步骤 {step.name} 读取的 {missing[0]} 不是输入，也不是更早的步骤",
                    f"step {step.name} reads {missing[0]}, which is neither an input nor an earlier step",
                    *place,
                )
            known.add(step.name)
        return self

    def _parts(self) -> tuple[tuple[str, Sequence[Step | Reference]], ...]:
        return ("prepare", self.prepare), ("reference", self.reference)

    def _cubes(self) -> list[tuple[tuple[str | int, ...], Cube]]:
        return [((), self), *((("reference", i), one) for i, one in enumerate(self.reference))]

    @property
    def sequence(self) -> list[Step | Reference]:
        """Steps and references in the order they are made: a reference as soon as what it is made from is there.

        A reference that waits for another one declared after it never is; it comes last, for the check to refuse.
        """
        known, waiting = set(self.inputs), list(self.reference)
        made: list[Step | Reference] = []
        for step in (None, *self.prepare):
            if step is not None:
                made.append(step)
                known.add(step.name)
            while ready := next((r for r in waiting if set(r.used) <= known), None):
                made.append(ready)
                known.add(ready.name)
                waiting.remove(ready)
        return made + waiting

    @property
    def tables(self) -> list[str]:
        """Everything the cube may be made from: inputs, the prepared steps in order, the references."""
        return [*self.inputs, *(step.name for step in self.prepare), *(one.name for one in self.reference)]

    @property
    def grants(self) -> list[str]:
        """The grants the job uses, each once."""
        return list(dict.fromkeys(i.grant for i in self.inputs.values() if i.grant))

    @property
    def beyond_proof(self) -> list[str]:
        """The parts that no evidence can be derived for, as paths: scripts, which go the black-box lane and to people.

        A SQL step may still turn out to be one, when the carrier refuses it.
        """
        return [f"prepare.{step.name}" for step in self.prepare if step.script is not None]

    def per_rows(self, measure: Measure) -> bool:
        # the first edition had no such word: there it is a column's name
        return self.edition > 1 and super().per_rows(measure)

    @property
    def file_name(self) -> str:
        return f"{self.job}.{self.output.format}"


CUBE = ("from", "join", "where", "derive", "dimensions", "margins", "measures", "suppress")
"""Fields of the cube: at the top in the first edition, under `product` in the second."""
RESERVED = ("product", "post")
_FIRST = ("from", "join", "where", "derive", "dimensions", "measures")
LATER = ("prepare", "reference", "product", "post", "margins", "suppress")
"""Fields that the first edition did not have."""
_ORDER = ("job", "edition", "inputs", "prepare", "reference", *_FIRST, "product", "post", "output")


def parse(source: str | bytes | dict[str, Any]) -> JobSpec:
    """Read a job from YAML or JSON text, or from a mapping; edition 1 with a `product` is read as the second.

    Raises `SpecError` whose `problems` name the field path and, for text, the line; all problems at once.
    """
    data, lines = load_text(source) if isinstance(source, (str, bytes)) else (source, {})
    if not isinstance(data, dict):
        raise SpecError([SpecProblem("", None, "作业说明须是一组键值", "a job specification is a mapping of keys")])
    edition = data.get("edition") if type(data.get("edition")) is int else None
    second = edition == 2 or (edition == 1 and "product" in data)
    early = _too_early(data) if edition == 1 and not second else ()
    misplaced = [SpecProblem(p, line_of(p, lines), zh, en) for p, zh, en in _misplaced(data) if second] + [
        SpecProblem(p, line_of(p, lines), "第一版没有这一项；请写 edition: 2", "write edition: 2 for this")
        for p in early
    ]
    if misplaced:
        raise SpecError(misplaced)
    flat = {**{k: v for k, v in data.items() if k != "product"}, **data["product"], "edition": 2} if second else data
    try:
        return JobSpec.model_validate(flat)
    except ValidationError as error:
        raise SpecError(as_problems(error, data, lines, inside=CUBE if second else ())) from None


def _misplaced(data: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What is written where the second edition does not have it: (path, text, English)."""
    product = data.get("product")
    if not isinstance(product, dict):
        yield "product", "第二版的产品写在 product 下（from、dimensions、measures 等）", "a cube belongs under product"
        return
    for name in (n for n in CUBE if n in data):
        yield name, "第二版请写在 product 下", "write it under product"
    for name in (n for n in product if n not in CUBE):
        yield f"product.{name}", "不认识的字段", "unknown field"


def _too_early(data: dict[str, Any]) -> Iterator[str]:
    """Paths of what the first edition does not have."""
    yield from (name for name in LATER if name in data)
    if isinstance(data.get("where"), str):
        yield "where"
    for group, later in (("inputs", "snapshot"), ("output", "order")):
        part = data.get(group)
        holders = {"": part} if group == "output" else part
        for name, one in holders.items() if isinstance(holders, dict) else ():
            if isinstance(one, dict) and later in one:
                yield ".".join(filter(None, (group, str(name), later)))
    derive = data.get("derive")
    for name, one in derive.items() if isinstance(derive, dict) else ():
        if isinstance(one, dict) and "recode" in one:
            yield f"derive.{name}.recode"
    measures = data.get("measures")
    for name, one in measures.items() if isinstance(measures, dict) else ():
        if isinstance(one, dict) and one.get("op") in LATER_MEASURES:
            yield f"measures.{name}.op"


def as_data(spec: JobSpec) -> dict[str, Any]:
    """The job as plain data in the form of its edition, without what is the default; `parse` gives an equal job."""
    data = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    del data["output"]["order"]
    if spec.edition == 1:
        return {name: data[name] for name in _ORDER if name in data and name not in LATER}
    cube = {name: data.pop(name) for name in CUBE if name in data}
    data["product"] = _filled(cube) | {"dimensions": list(spec.dimensions)}
    data["prepare"] = [_filled(step, owners="one") for step in data["prepare"]]
    data["reference"] = [
        {"name": one["name"], **_filled(one), "dimensions": one["dimensions"]} for one in data["reference"]
    ]
    return {name: data[name] for name in _ORDER if name in data and data[name] != []}


def _filled(part: dict[str, Any], **usual: Any) -> dict[str, Any]:
    return {k: v for k, v in part.items() if v not in ([], {}) and usual.get(k) != v}


def canonical(spec: JobSpec) -> bytes:
    """The one byte form of a specification: JSON, sorted keys, no blanks, UTF-8.

    Dictionaries whose order matters (measures and their column order, a script's columns) keep it through explicit
    lists. The form of the first edition never changes: digests of old runs and releases stay what they were.
    """
    data = as_data(spec) | {"output_columns": spec.output_columns}
    if spec.edition > 1:
        data["step_columns"] = [list(step.columns) for step in spec.prepare]
    if spec.reference:
        data["reference_columns"] = [one.output_columns for one in spec.reference]
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def digest(spec: JobSpec) -> str:
    """`sha256:` and the hex digest of the canonical form: names the job in runs, evidence and manifests."""
    return "sha256:" + hashlib.sha256(canonical(spec)).hexdigest()
