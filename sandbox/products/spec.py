"""The job specification: a product described as data, from which the platform writes every statement itself.

A merchant names inputs, equality joins, filters, derived columns, dimensions and measures. There is no place for SQL
text: what cannot be said in this form cannot be run on real data. The same specification (same digest) is bound once
to the simulated twin and once to the granted snapshot.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from sandbox.products.spec_errors import SpecError, SpecProblem, as_problems, load_text

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
Operator = Literal["=", "<>", "<", "<=", ">", ">=", "in", "between", "is_null", "not_null"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)


class Input(_Part):
    """One granted table. Snapshot digest and entity keys come from the platform, never from here."""

    grant: Annotated[str, Field(min_length=1, max_length=64)]


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


class Output(_Part):
    kind: Literal["aggregate"]
    format: Literal["csv"]


class JobSpec(_Part):
    """A whole product, read as: from one input, joined, filtered, derived, grouped, measured, written."""

    job: Annotated[str, AfterValidator(_slug)]
    edition: Annotated[int, Field(ge=1, le=1)]
    inputs: Annotated[dict[Alias, Input], Field(min_length=1, max_length=8)]
    from_: Annotated[Alias, Field(alias="from")]
    join: Annotated[list[Join], Field(max_length=7)] = []
    where: Annotated[list[Condition], Field(max_length=20)] = []
    derive: Annotated[dict[Name, Derive], Field(max_length=20)] = {}
    dimensions: Annotated[list[Column], Field(max_length=8)]
    measures: Annotated[dict[Name, Measure], Field(min_length=1, max_length=20)]
    output: Output

    @model_validator(mode="after")
    def _inputs_are_used_once(self) -> JobSpec:
        used = [self.from_, *(j.input for j in self.join)]
        unknown = [a for a in used if a not in self.inputs]
        if unknown:
            raise _refuse("unknown_input", f"未声明的输入：{unknown[0]}", f"input not declared: {unknown[0]}")
        if sorted(used) != sorted(self.inputs) or len({folded(a) for a in used}) != len(used):
            raise _refuse(
                "inputs_once",
                "每个输入必须在 from 或 join 中恰好用一次，别名不能只差大小写",
                "each input is used exactly once, in from or join, and aliases differ by more than case",
            )
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

    def split(self, column: str) -> tuple[str | None, str]:
        """(alias, name) of a column reference; the alias is None where the reference does not say."""
        head, dot, rest = column.partition(".")
        return (head, rest) if dot and head in self.inputs and rest else (None, column)

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


def parse(source: str | bytes | dict[str, Any]) -> JobSpec:
    """Read a job from YAML or JSON text, or from a mapping.

    Raises `SpecError` whose `problems` name the field path and, for text, the line; all problems at once.
    """
    data, lines = load_text(source) if isinstance(source, (str, bytes)) else (source, {})
    if not isinstance(data, dict):
        raise SpecError([SpecProblem("", None, "作业说明须是一组键值", "a job specification is a mapping of keys")])
    try:
        return JobSpec.model_validate(data)
    except ValidationError as error:
        raise SpecError(as_problems(error, data, lines)) from None


def canonical(spec: JobSpec) -> bytes:
    """The one byte form of a specification: JSON, sorted keys, no blanks, UTF-8.

    Dictionaries whose order matters (measures and their column order) keep it through an explicit list.
    """
    data = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    data["output_columns"] = spec.output_columns
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def digest(spec: JobSpec) -> str:
    """`sha256:` and the hex digest of the canonical form: names the job in runs, evidence and manifests."""
    return "sha256:" + hashlib.sha256(canonical(spec)).hexdigest()


def json_schema() -> dict[str, Any]:
    """JSON schema of the specification, for editors and the portal's form."""
    return JobSpec.model_json_schema(by_alias=True)
