"""The job specification: a product described as data, bound once to the simulated twin and once to granted snapshots.

The first edition is a declared cube and nothing else: inputs, equality joins, filters, derived columns, dimensions and
measures, from which the platform writes every statement. The second puts free steps before the cube (`prepare`: SQL
or a script) and one statement behind it (`post`: sees the rounded cube only). A job of the second edition keeps its
cube under `product`; inside there is one model for both, so that whoever reads a cube reads either edition.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from sandbox.products.spec_errors import SpecError, SpecProblem, as_problems, line_of, load_text

MAX_NAME = 128
"""Characters in a column, alias or measure name (assumed; keeps headers readable)."""
DIGITS = 6
"""Most decimals a measure may declare: finer digits can carry packed values and say nothing about a population."""


def _refuse(code: str, zh: str, en: str) -> PydanticCustomError:
    return PydanticCustomError(code, "{en}", {"zh": zh, "en": en})


def folded(name: str) -> str:
    """How DuckDB and a reader would confuse two names: case and width do not distinguish."""
    return unicodedata.normalize("NFKC", name).casefold()


def _name(value: str) -> str:
    if not value.strip() or len(value) > MAX_NAME:
        raise _refuse("name_length", f"名称须为 1–{MAX_NAME} 个字符", f"a name has 1 to {MAX_NAME} characters")
    if "\x00" in value:
        raise _refuse("name_nul", "名称不能含空字符", "a name cannot contain the NUL character")
    if folded(value).strip().startswith("__"):
        raise _refuse(
            "name_reserved", "以 __ 开头的名称由平台保留", "names that start with __ are kept for the platform"
        )
    return value


def _slug(value: str) -> str:
    plain = value.replace("-", "").replace("_", "")
    if not plain.isalnum() or len(value) > 64:
        raise _refuse(
            "job_name",
            "作业名只能用文字、数字、- 和 _，最多 64 个字符",
            "a job name uses letters, digits, - and _ only, at most 64 characters",
        )
    return value


def _alias(value: str) -> str:
    if "." in _name(value):
        raise _refuse("alias_dot", "别名不能含“.”", "an alias cannot contain a dot")
    return value


def _finite(value: float) -> float:
    if value != value or value in (float("inf"), float("-inf")):
        raise _refuse("not_finite", "数值必须有限", "a number must be finite")
    return value


def _literal_text(value: str) -> str:
    if "\x00" in value or len(value) > 1000:
        raise _refuse(
            "literal", "文本值不能含空字符且不超过 1000 字", "a text value has no NUL and at most 1000 characters"
        )
    return value


def _program(value: str) -> str:
    if not value.strip() or "\x00" in value:
        raise _refuse("program", "语句或脚本不能为空，也不能含空字符", "a statement is not empty and has no NUL")
    return value


Name = Annotated[str, AfterValidator(_name)]
Column = Annotated[str, AfterValidator(_name)]
"""A column: `name`, or `alias.name` where two inputs share the name."""
Alias = Annotated[str, AfterValidator(_alias)]
Scalar = (
    bool
    | Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
    | Annotated[float, AfterValidator(_finite)]
    | Annotated[str, AfterValidator(_literal_text)]
)
SqlText = Annotated[str, AfterValidator(_program)]
ColumnType = Literal["text", "integer", "number", "boolean", "date", "timestamp"]
"""What a script may declare: flat types only, because the names inside an ENUM or a STRUCT could be made from data."""
Operator = Literal["=", "<>", "<", "<=", ">", ">=", "in", "between", "is_null", "not_null"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)


class Input(_Part):
    """One granted table, or (second edition) one of the merchant's own uploads, whose rows belong to nobody.

    Snapshot digest and entity keys come from the platform, never from here.
    """

    grant: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    upload: Annotated[str, Field(min_length=1, max_length=64)] | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Input:
        if (self.grant is None) == (self.upload is None):
            raise _refuse(
                "input_origin", "每个输入写 grant 或 upload 之一", "an input names either a grant or an upload"
            )
        return self


class Join(_Part):
    """Inner join with one more input on equal columns: left column → column of the new input.

    A left column without an alias belongs to the `from` input.
    """

    input: Alias
    on: Annotated[dict[Column, Column], Field(min_length=1, max_length=8)]


class Condition(_Part):
    """One filter over rows; all conditions of a job hold together."""

    column: Column
    op: Operator
    value: Scalar | Annotated[list[Scalar], Field(min_length=1, max_length=1000)] | None = None

    @model_validator(mode="after")
    def _value_fits_operator(self) -> Condition:
        many = isinstance(self.value, list)
        if self.op in ("is_null", "not_null"):
            fits = self.value is None
        elif self.op == "in":
            fits = many
        elif self.op == "between":
            fits = many and len(self.value) == 2  # type: ignore[arg-type]
        else:
            fits = self.value is not None and not many
        if not fits:
            raise _refuse(
                "condition_value",
                f"运算 {self.op} 的取值个数不对：in 用列表，between 用两个值，is_null/not_null 不带值，其余用一个值",
                f"wrong kind of value for {self.op}: in takes a list, between two values, null tests none",
            )
        return self


class Band(_Part):
    """Lower edge of equal-width numeric bands."""

    of: Column
    width: Annotated[int, Field(ge=1, le=10**12)]


class Prefix(_Part):
    """The first characters of a code, e.g. six digits of a region code."""

    of: Column
    length: Annotated[int, Field(ge=1, le=32)]


class Derive(_Part):
    """One derived column: exactly one allow-listed function.

    `month` gives 2026-03, `quarter` 2026-Q1, `year` 2026, `month_of_year` 1–12, `weekday` 1 (Monday)–7, `hour` 0–23.
    """

    month: Column | None = None
    year: Column | None = None
    quarter: Column | None = None
    month_of_year: Column | None = None
    weekday: Column | None = None
    hour: Column | None = None
    date: Column | None = None
    upper: Column | None = None
    lower: Column | None = None
    trim: Column | None = None
    band: Band | None = None
    prefix: Prefix | None = None

    @model_validator(mode="after")
    def _one_function(self) -> Derive:
        if sum(value is not None for _, value in self) != 1:
            raise _refuse("derive_one", "每个派生列只能写一个函数", "a derived column has exactly one function")
        return self

    @property
    def call(self) -> tuple[str, Any]:
        """Function name and its argument."""
        return next((name, value) for name, value in self if value is not None)


class Measure(_Part):
    """One measure. `count` counts rows, or rows with `of` present; `ratio` is sum(of) / sum(per).

    `round` is the number of decimals released for sum, mean and ratio (negative: tens, hundreds); counts are rounded
    by policy and declare none.
    """

    op: Literal["count", "count_distinct", "sum", "mean", "ratio"]
    of: Column | None = None
    per: Column | None = None
    round: Annotated[int, Field(ge=-DIGITS, le=DIGITS)] | None = None

    @model_validator(mode="after")
    def _arguments_fit_op(self) -> Measure:
        if self.op != "count" and self.of is None:
            raise _refuse("measure_of", f"{self.op} 需要写 of（对哪一列）", f"{self.op} needs `of` (which column)")
        if (self.op == "ratio") != (self.per is not None):
            raise _refuse("measure_per", "只有 ratio 需要且必须写 per", "ratio, and only ratio, takes `per`")
        if self.is_count and self.round is not None:
            raise _refuse(
                "measure_round", "计数按政策取整，不写 round", "counts are rounded by policy: leave `round` out"
            )
        return self

    @property
    def is_count(self) -> bool:
        return self.op in ("count", "count_distinct")

    @property
    def digits(self) -> int:
        """Decimals released; 2 where a job declares none."""
        return 2 if self.round is None else self.round


class Step(_Part):
    """One step before the cube: one SELECT over inputs and earlier steps, or a Python script.

    A script finds its tables in `tables` (name → polars frame) and leaves its result in `result`; it gets the tables it
    `reads` and nothing else, and gives the declared `columns`, cast by the platform.
    """

    name: Alias
    sql: SqlText | None = None
    script: SqlText | None = None
    reads: Annotated[list[Alias], Field(max_length=8)] = []
    columns: Annotated[dict[Name, ColumnType], Field(max_length=200)] = {}

    @model_validator(mode="after")
    def _one_form(self) -> Step:
        if (self.sql is None) == (self.script is None):
            raise _refuse("step_form", "每一步写 sql 或 script 之一", "a step is either sql or a script")
        if self.sql is not None and (self.reads or self.columns):
            raise _refuse("step_sql", "SQL 步骤不写 reads 和 columns", "a SQL step has neither reads nor columns")
        if self.script is not None and not (self.reads and self.columns):
            raise _refuse(
                "step_script",
                "脚本步骤须写明 reads（读哪些表）和 columns（输出哪些列、什么类型）",
                "a script step names the tables it reads and the columns it gives, with their types",
            )
        if len({folded(c) for c in self.columns}) != len(self.columns):
            raise _refuse("step_columns", "输出列名重复", "two columns of the step share a name")
        return self


class Post(_Part):
    """One SELECT over `product`, the cube after rounding: ranks, shares, moving averages."""

    sql: SqlText


class Output(_Part):
    kind: Literal["aggregate"]
    format: Literal["csv"]


class JobSpec(_Part):
    """A whole product, read as: prepared, from one table, joined, filtered, derived, grouped, measured, written."""

    job: Annotated[str, AfterValidator(_slug)]
    edition: Annotated[int, Field(ge=1, le=2)]
    inputs: Annotated[dict[Alias, Input], Field(min_length=1, max_length=8)]
    prepare: Annotated[list[Step], Field(max_length=20)] = []
    from_: Annotated[Alias, Field(alias="from")]
    join: Annotated[list[Join], Field(max_length=7)] = []
    where: Annotated[list[Condition], Field(max_length=20)] = []
    derive: Annotated[dict[Name, Derive], Field(max_length=20)] = {}
    dimensions: Annotated[list[Column], Field(max_length=8)]
    measures: Annotated[dict[Name, Measure], Field(min_length=1, max_length=20)]
    post: Post | None = None
    output: Output

    @model_validator(mode="after")
    def _tables_fit(self) -> JobSpec:
        used = [self.from_, *(j.input for j in self.join)]
        unknown = [a for a in used if a not in self.tables]
        if unknown:
            raise _refuse("unknown_input", f"未声明的输入：{unknown[0]}", f"input not declared: {unknown[0]}")
        repeated = len({folded(a) for a in used}) != len(used)
        if repeated or (self.edition == 1 and sorted(used) != sorted(self.inputs)):
            raise _refuse(
                "inputs_once",
                "每个输入必须在 from 或 join 中恰好用一次，别名不能只差大小写",
                "each input is used exactly once, in from or join, and aliases differ by more than case",
            )
        if self.edition == 1 and any(i.upload for i in self.inputs.values()):
            raise _refuse("upload", "上传数据从第二版起可用", "uploads need the second edition")
        return self

    @model_validator(mode="after")
    def _steps_fit(self) -> JobSpec:
        if len({folded(n) for n in (*self.tables, *RESERVED)}) != len(self.tables) + len(RESERVED):
            raise _refuse(
                "step_name",
                f"输入和步骤的名称不能重复（不区分大小写），也不能是 {'、'.join(RESERVED)}",
                f"inputs and steps have different names, and none is called {', '.join(RESERVED)}",
            )
        known = set(self.inputs)
        for step in self.prepare:
            missing = [t for t in step.reads if t not in known]
            if missing:
                raise _refuse(
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
            raise _refuse(
                "duplicate_output",
                "输出列名重复（不区分大小写与全半角）",
                "two output columns share a name (case and width do not distinguish)",
            )
        if len({folded(n) for n in self.derive}) != len(self.derive):
            raise _refuse("duplicate_derived", "派生列名重复", "two derived columns share a name")
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
    data["product"] = {name: data.pop(name) for name in CUBE}
    data["prepare"] = [{k: v for k, v in step.items() if v not in ([], {})} for step in data["prepare"]]
    return data


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
