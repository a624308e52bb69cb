"""The job specification: a product described as data, bound once to the simulated twin and once to granted snapshots.

The first edition is a declared cube and nothing else: inputs, equality joins, filters, derived columns, dimensions and
measures, from which the platform writes every statement. The second puts free steps before the cube (`prepare`: SQL
or a script) and one statement behind it (`post`: sees the rounded cube only). A job of the second edition keeps its
cube under `product`; inside there is one model for both, so that whoever reads a cube reads either edition.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, model_validator

from sandbox.products.spec_errors import SpecError, SpecProblem, as_problems, line_of, load_text
from sandbox.products.spec_parts import (
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
    Step,
    folded,
    refuse,
    slug,
)


class JobSpec(Part):
    """A whole product, read as: prepared, from one table, joined, filtered, derived, grouped, measured, written."""

    job: Annotated[str, AfterValidator(slug)]
    edition: Annotated[int, Field(ge=1, le=2)]
    inputs: Annotated[dict[Alias, Input], Field(min_length=1, max_length=8)]
    prepare: Annotated[list[Step], Field(max_length=20, default_factory=list)]
    from_: Annotated[Alias, Field(alias="from")]
    join: Annotated[list[Join], Field(max_length=7, default_factory=list)]
    where: Annotated[list[Condition], Field(max_length=20, default_factory=list)]
    derive: Annotated[dict[Name, Derive], Field(max_length=20, default_factory=dict)]
    dimensions: Annotated[list[Column], Field(max_length=8)]
    measures: Annotated[dict[Name, Measure], Field(min_length=1, max_length=20)]
    post: Post | None = None
    output: Output

    @model_validator(mode="after")
    def _tables_fit(self) -> JobSpec:
        used = [self.from_, *(j.input for j in self.join)]
        unknown = [a for a in used if a not in self.tables]
        if unknown:
            raise refuse("unknown_input", f"未声明的输入：{unknown[0]}", f"input not declared: {unknown[0]}")
        repeated = len({folded(a) for a in used}) != len(used)
        if repeated or (self.edition == 1 and sorted(used) != sorted(self.inputs)):
            raise refuse(
                "inputs_once",
                "每个输入必须在 from 或 join 中恰好用一次，别名不能只差大小写",
                "each input is used exactly once, in from or join, and aliases differ by more than case",
            )
        if self.edition == 1 and any(i.upload for i in self.inputs.values()):
            raise refuse("upload", "上传数据从第二版起可用", "uploads need the second edition")
        return self

    @model_validator(mode="after")
    def _steps_fit(self) -> JobSpec:
        if len({folded(n) for n in (*self.tables, *RESERVED)}) != len(self.tables) + len(RESERVED):
            raise refuse(
                "step_name",
                f"输入和步骤的名称不能重复（不区分大小写），也不能是 {'、'.join(RESERVED)}",
                f"inputs and steps have different names, and none is called {', '.join(RESERVED)}",
            )
        known = set(self.inputs)
        for step in self.prepare:
            missing = [t for t in step.reads if t not in known]
            if missing:
                raise refuse(
                    "step_reads",
                    f"步骤 {step.name} 读取的 {missing[0]} 不是输入，也不是更早的步骤",
                    f"step {step.name} reads {missing[0]}, which is neither an input nor an earlier step",
                )
            known.add(step.name)
        return self

    @model_validator(mode="after")
    def _output_names_are_unique(self) -> JobSpec:
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

    @property
    def tables(self) -> list[str]:
        """Everything the cube may be made from: inputs, then the prepared steps in order."""
        return [*self.inputs, *(step.name for step in self.prepare)]

    @property
    def grants(self) -> list[str]:
        """The grants the job uses, each once."""
        return list(dict.fromkeys(i.grant for i in self.inputs.values() if i.grant))

    @property
    def beyond_proof(self) -> list[str]:
        """The parts whose evidence the platform cannot derive, as paths; none: the whole job is the declared cube."""
        parts = [f"inputs.{alias}" for alias, one in self.inputs.items() if one.upload]
        parts += [f"prepare.{step.name}" for step in self.prepare]
        return parts + ["post"] * (self.post is not None)

    def split(self, column: str) -> tuple[str | None, str]:
        """(alias, name) of a column reference; the alias is None where the reference does not say."""
        head, dot, rest = column.partition(".")
        return (head, rest) if dot and head in self.tables and rest else (None, column)

    def output_name(self, dimension: str) -> str:
        """Header of a dimension: its column name without the alias."""
        return dimension if dimension in self.derive else self.split(dimension)[1]

    @property
    def output_columns(self) -> list[str]:
        return [*(self.output_name(d) for d in self.dimensions), *self.measures]

    @property
    def file_name(self) -> str:
        return f"{self.job}.{self.output.format}"

    def source_columns(self) -> list[str]:
        """Every column reference that reads a source, as written, in order of first use (derived names resolved)."""
        found: dict[str, None] = {}
        for join in self.join:
            for left, right in join.on.items():
                left_alias, left_name = self.split(left)
                found[f"{left_alias or self.from_}.{left_name}"] = None
                found[f"{join.input}.{right}"] = None
        for derived in self.derive.values():
            argument = derived.call[1]
            found[argument if isinstance(argument, str) else argument.of] = None
        measured = [c for m in self.measures.values() for c in (m.of, m.per) if c]
        for reference in [*(c.column for c in self.where), *self.dimensions, *measured]:
            if reference not in self.derive:
                found[reference] = None
        return list(found)


CUBE = ("from", "join", "where", "derive", "dimensions", "measures")
"""Fields of the cube: at the top in the first edition, under `product` in the second."""
RESERVED = ("product", "post")
_LATER = ("prepare", "product", "post")
_AWAITED = {
    "reference": ("参照步骤（reference）", "reference steps"),
    "product.margins": ("合计行（margins）", "margins"),
    "product.suppress": ("小格抑制（suppress）", "suppression"),
}


def parse(source: str | bytes | dict[str, Any]) -> JobSpec:
    """Read a job from YAML or JSON text, or from a mapping.

    Raises `SpecError` whose `problems` name the field path and, for text, the line; all problems at once.
    """
    data, lines = load_text(source) if isinstance(source, (str, bytes)) else (source, {})
    if not isinstance(data, dict):
        raise SpecError([SpecProblem("", None, "作业说明须是一组键值", "a job specification is a mapping of keys")])
    second = data.get("edition") == 2 and data.get("edition") is not True
    misplaced = [SpecProblem(p, line_of(p, lines), zh, en) for p, zh, en in _misplaced(data, second)]
    if misplaced:
        raise SpecError(misplaced)
    flat = {**{k: v for k, v in data.items() if k != "product"}, **data["product"]} if second else data
    try:
        return JobSpec.model_validate(flat)
    except ValidationError as error:
        raise SpecError(as_problems(error, data, lines, inside=CUBE if second else ())) from None


def _misplaced(data: dict[str, Any], second: bool) -> Iterator[tuple[str, str, str]]:
    """What is written where its edition does not have it: (path, text, English)."""
    product = data.get("product")
    for path, (zh, en) in _AWAITED.items():
        head, _, rest = path.partition(".")
        if head in data if not rest else isinstance(product, dict) and rest in product:
            yield path, f"{zh}须由平台另行推导证据，目前还不能运行", f"{en} need evidence not derived here yet"
    if not second:
        for name in (n for n in _LATER if n in data):
            yield name, "第一版没有这一项；请写 edition: 2", "not in the first edition: write edition: 2"
        return
    if not isinstance(product, dict):
        yield "product", "第二版的产品写在 product 下（from、dimensions、measures 等）", "a cube belongs under product"
        return
    for name in (n for n in CUBE if n in data):
        yield name, "第二版请写在 product 下", "write it under product"
    for name in (n for n in product if n not in (*CUBE, "margins", "suppress")):
        yield f"product.{name}", "不认识的字段", "unknown field"


def as_data(spec: JobSpec) -> dict[str, Any]:
    """The job as plain data in the form of its edition; `parse` of it gives an equal job."""
    data = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    if spec.edition == 1:
        data.pop("prepare")
        return data
    data["product"] = _filled({name: data.pop(name) for name in CUBE}) | {"dimensions": list(spec.dimensions)}
    data["prepare"] = [_filled(step) for step in data["prepare"]]
    order = ("job", "edition", "inputs", "prepare", "product", "post", "output")
    return {name: data[name] for name in order if name in data and data[name] != []}


def _filled(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if value not in ([], {})}


def canonical(spec: JobSpec) -> bytes:
    """The one byte form of a specification: JSON, sorted keys, no blanks, UTF-8.

    Dictionaries whose order matters (measures and their column order, a script's columns) keep it through explicit
    lists. The form of the first edition never changes: digests of old runs and releases stay what they were.
    """
    data = as_data(spec) | {"output_columns": spec.output_columns}
    if spec.edition > 1:
        data["step_columns"] = [list(step.columns) for step in spec.prepare]
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def digest(spec: JobSpec) -> str:
    """`sha256:` and the hex digest of the canonical form: names the job in runs, evidence and manifests."""
    return "sha256:" + hashlib.sha256(canonical(spec)).hexdigest()


def json_schema() -> dict[str, Any]:
    """JSON schema of both editions, for editors: completion and errors while a job is written."""
    whole = JobSpec.model_json_schema(by_alias=True)
    shared, fields = whole.pop("$defs"), whole["properties"]
    both = {name: fields[name] for name in ("job", "inputs", "output")}
    cube = {name: fields[name] for name in CUBE}
    needed = [name for name in CUBE if name in whole["required"]]

    def form(edition: int, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
        return {
            "type": "object", "additionalProperties": False, "title": f"edition {edition}",
            "properties": {"edition": {"const": edition}, **both, **properties},
            "required": ["job", "edition", "inputs", *required, "output"],
        }  # fmt: skip

    product = {"type": "object", "additionalProperties": False, "properties": cube, "required": needed}
    second = {"prepare": fields["prepare"], "product": product, "post": fields["post"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "作业说明 · job",
        "description": whole["description"], "oneOf": [form(1, cube, needed), form(2, second, ["product"])],
        "$defs": shared,
    }  # fmt: skip
