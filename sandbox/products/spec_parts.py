"""The parts a job is made of: inputs, conditions, derived columns, measures, steps; each refuses what does not fit."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

MAX_NAME = 128
"""Characters in a column, alias or measure name (assumed; keeps headers readable)."""
DIGITS = 6
"""Most decimals a measure may declare: finer digits can carry packed values and say nothing about a population."""


def refuse(code: str, zh: str, en: str, *place: str | int) -> PydanticCustomError:
    """What a validator raises: a code and the sentence in both languages; `place` below the part that is validated."""
    return PydanticCustomError(code, "{en}", {"zh": zh, "en": en, "place": place})


def folded(name: str) -> str:
    """How DuckDB and a reader would confuse two names: case and width do not distinguish."""
    return unicodedata.normalize("NFKC", name).casefold()


def _name(value: str) -> str:
    if not value.strip() or len(value) > MAX_NAME:
        raise refuse("name_length", f"名称须为 1–{MAX_NAME} 个字符", f"a name has 1 to {MAX_NAME} characters")
    if "\x00" in value:
        raise refuse("name_nul", "名称不能含空字符", "a name cannot contain the NUL character")
    if folded(value).strip().startswith("__"):
        raise refuse(
            "name_reserved", "以 __ 开头的名称由平台保留", "names that start with __ are kept for the platform"
        )
    return value


def slug(value: str) -> str:
    """A job's name, which becomes a file's name."""
    plain = value.replace("-", "").replace("_", "")
    if not plain.isalnum() or len(value) > 64:
        raise refuse(
            "job_name",
            "作业名只能用文字、数字、- 和 _，最多 64 个字符",
            "a job name uses letters, digits, - and _ only, at most 64 characters",
        )
    return value


def _alias(value: str) -> str:
    if "." in _name(value):
        raise refuse("alias_dot", "别名不能含“.”", "an alias cannot contain a dot")
    return value


def _finite(value: float) -> float:
    if value != value or value in (float("inf"), float("-inf")):
        raise refuse("not_finite", "数值必须有限", "a number must be finite")
    return value


def _literal_text(value: str) -> str:
    if "\x00" in value or len(value) > 1000:
        raise refuse(
            "literal", "文本值不能含空字符且不超过 1000 字", "a text value has no NUL and at most 1000 characters"
        )
    return value


def _program(value: str) -> str:
    if not value.strip() or "\x00" in value:
        raise refuse("program", "语句或脚本不能为空，也不能含空字符", "a statement is not empty and has no NUL")
    return value


Name = Annotated[str, AfterValidator(_name)]
Column = Annotated[str, AfterValidator(_name)]
"""A column: `name`, or `alias.name` where two inputs share the name."""
Alias = Annotated[str, AfterValidator(_alias)]
LiteralText = Annotated[str, AfterValidator(_literal_text)]
Scalar = (
    bool
    | Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
    | Annotated[float, AfterValidator(_finite)]
    | LiteralText
)
SqlText = Annotated[str, AfterValidator(_program)]


def _pin(value: str) -> str:
    if not re.fullmatch(r"sha256:([0-9a-f]{64}|[0-9a-f]{0,63}…)", value):
        raise refuse(
            "snapshot",
            "快照写成 sha256: 加 64 位十六进制摘要，或摘要的开头加“…”",
            "a snapshot is sha256: and 64 hexadecimal digits, or the first of them and an ellipsis (…)",
        )
    return value


def _mark(value: str) -> str:
    if not value.strip() or len(value) > 8 or value[0] in "=+-@\t\r" or any(c.isdigit() for c in value):
        raise refuse(
            "mark",
            "代替被抑制数值的标记须为 1–8 个字符，不含数字，也不以 = + - @ 开头",
            "the mark for a suppressed number has 1 to 8 characters, no digit, and does not start with = + - @",
        )
    return value


Pin = Annotated[str, AfterValidator(_pin)]
Mark = Annotated[str, AfterValidator(_mark)]
ColumnType = Literal["text", "integer", "number", "boolean", "date", "timestamp"]
"""What a script may declare: flat types only, because the names inside an ENUM or a STRUCT could be made from data."""
Operator = Literal["=", "<>", "<", "<=", ">", ">=", "in", "between", "is_null", "not_null"]


class Part(BaseModel):
    """Frozen and strict; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)


class Input(Part):
    """One granted table, or (second edition) one of the merchant's own uploads, whose rows belong to nobody.

    Entity keys come from the catalogue, never from here. `snapshot` pins the data: a job bound to anything else does
    not run.
    """

    grant: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    upload: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    snapshot: Pin | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Input:
        if (self.grant is None) == (self.upload is None):
            raise refuse(
                "input_origin", "每个输入写 grant 或 upload 之一", "an input names either a grant or an upload"
            )
        return self

    def pins(self, digest: str) -> bool:
        """Whether the pin, if there is one, allows data of this digest (`sha256:…`)."""
        return self.snapshot is None or digest.startswith(self.snapshot.rstrip("…"))


class Join(Part):
    """Inner join with one more input on equal columns: left column → column of the new input.

    A left column without an alias belongs to the `from` input.
    """

    input: Alias
    on: Annotated[dict[Column, Column], Field(min_length=1, max_length=8)]


MAX_CONDITIONS = 20


class Condition(Part):
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
            raise refuse(
                "condition_value",
                f"运算 {self.op} 的取值个数不对：in 用列表，between 用两个值，is_null/not_null 不带值，其余用一个值",
                f"wrong kind of value for {self.op}: in takes a list, between two values, null tests none",
            )
        return self


class Band(Part):
    """Lower edge of equal-width numeric bands."""

    of: Column
    width: Annotated[int, Field(ge=1, le=10**12)]


class Prefix(Part):
    """The first characters of a code, e.g. six digits of a region code."""

    of: Column
    length: Annotated[int, Field(ge=1, le=32)]


class Recode(Part):
    """Values put together: name of the group → the values (as text) that it takes in; others stay what they are."""

    of: Column
    groups: Annotated[
        dict[Name, Annotated[list[LiteralText], Field(min_length=1, max_length=1000)]],
        Field(min_length=1, max_length=50),
    ]

    @model_validator(mode="after")
    def _each_value_once(self) -> Recode:
        values = [value for group in self.groups.values() for value in group]
        if len(set(values)) != len(values):
            raise refuse("recode_twice", "同一取值只能归入一个分组", "a value goes into one group only")
        return self


class Derive(Part):
    """One derived column: exactly one allow-listed function.

    `month` gives 2026-03, `quarter` 2026-Q1, `year` 2026, `month_of_year` 1–12, `weekday` 1 (Monday)–7, `hour` 0–23.
    `recode` (second edition) puts values together.
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
    recode: Recode | None = None

    @model_validator(mode="after")
    def _one_function(self) -> Derive:
        if sum(value is not None for _, value in self) != 1:
            raise refuse("derive_one", "每个派生列只能写一个函数", "a derived column has exactly one function")
        return self

    @property
    def call(self) -> tuple[str, Any]:
        """Function name and its argument."""
        return next((name, value) for name, value in self if value is not None)


ROWS = "count"
"""Written for a column under `per`: the number of rows. A column of that name is written with its alias."""


class Measure(Part):
    """One measure. `count` counts rows, or rows with `of` present; `ratio` is sum(of) / sum(per), per `count` sum(of) /
    number of rows; `weighted_mean` is sum(of · weight) / sum(weight where `of` is present); `median` and `quantile`
    interpolate; `stddev` is that of a sample; `share_of_margin` is the part of a margin's sum (without `of`: of its
    rows) that lies in the cell.

    `round` is the number of decimals released (negative: tens, hundreds); counts are rounded by policy and declare
    none.
    """

    op: Literal[
        "count", "count_distinct", "sum", "mean", "ratio", "weighted_mean", "median", "quantile", "stddev", "min",
        "max", "share_of_margin",
    ]  # fmt: skip
    of: Column | None = None
    per: Column | None = None
    weight: Column | None = None
    q: Annotated[float, Field(gt=0, lt=1)] | None = None
    margin: Annotated[list[Column], Field(max_length=8)] | None = None
    round: Annotated[int, Field(ge=-DIGITS, le=DIGITS)] | None = None

    @model_validator(mode="after")
    def _arguments_fit_op(self) -> Measure:
        if self.op not in ("count", "share_of_margin") and self.of is None:
            raise refuse("measure_of", f"{self.op} 需要写 of（对哪一列）", f"{self.op} needs `of` (which column)")
        for name, op in ARGUMENTS.items():
            if (self.op == op) != (getattr(self, name) is not None):
                zh, en = f"只有 {op} 需要且必须写 {name}", f"{op}, and only {op}, takes `{name}`"
                raise refuse(f"measure_{name}", zh, en)
        if self.is_count and self.round is not None:
            raise refuse(
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


ARGUMENTS = {"per": "ratio", "weight": "weighted_mean", "q": "quantile", "margin": "share_of_margin"}
"""Argument of a measure → the one kind that takes it."""
LATER_MEASURES = ("weighted_mean", "median", "quantile", "stddev", "min", "max", "share_of_margin")
"""The measures that the first edition did not have."""


class Suppress(Part):
    """Cells below the policy's threshold are suppressed by the platform, and stand in the file as `as`."""

    below: Literal["policy"]
    as_: Annotated[Mark, Field(alias="as")]


class Step(Part):
    """One step before the cube: one SELECT over inputs, earlier steps and references, or a Python script.

    `owners: several` allows rows that belong to more than one entity of a kind (pairs of persons).

    A script finds its tables in `tables` (name → polars frame) and leaves its result in `result`; it gets the tables it
    `reads` and nothing else, and gives the declared `columns`, cast by the platform.
    """

    name: Alias
    sql: SqlText | None = None
    script: SqlText | None = None
    reads: Annotated[list[Alias], Field(max_length=8)] = []
    columns: Annotated[dict[Name, ColumnType], Field(max_length=200)] = {}
    owners: Literal["one", "several"] = "one"

    @model_validator(mode="after")
    def _one_form(self) -> Step:
        if (self.sql is None) == (self.script is None):
            raise refuse("step_form", "每一步写 sql 或 script 之一", "a step is either sql or a script")
        if self.sql is not None and (self.reads or self.columns):
            raise refuse("step_sql", "SQL 步骤不写 reads 和 columns", "a SQL step has neither reads nor columns")
        if self.script is not None and not (self.reads and self.columns):
            raise refuse(
                "step_script",
                "脚本步骤须写明 reads（读哪些表）和 columns（输出哪些列、什么类型）",
                "a script step names the tables it reads and the columns it gives, with their types",
            )
        if len({folded(c) for c in self.columns}) != len(self.columns):
            raise refuse("step_columns", "输出列名重复", "two columns of the step share a name")
        return self


class Post(Part):
    """One SELECT over `product` and the references, after suppression and rounding: ranks, shares, moving averages."""

    sql: SqlText


class Output(Part):
    kind: Literal["aggregate"]
    format: Literal["csv"]
    order: Literal["dimensions"] = "dimensions"
