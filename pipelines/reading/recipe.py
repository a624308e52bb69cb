"""The recipe: every decision about one table of one file, visible, editable and reusable."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from policies.text import Text

Kind = Literal["text", "integer", "decimal", "date", "timestamp", "boolean"]
OnBad = Literal["null", "quarantine"]

MISSING = (
    "", "-", "--", "---", "—", "——", "NA", "N/A", "n/a", "NULL", "null", "Null", "None", "NaN", "nan", "?", "？", "/",
    "\\N", "#N/A", "暂无", "无", "未知", "不详", "0000-00-00",
)  # fmt: skip
"""Spellings that usually mean "no value"; those of `DOUBTFUL` are real values in some columns of codes."""

DOUBTFUL = frozenset({"无", "未知", "不详", "NA"})


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _wrong(zh: str, en: str) -> PydanticCustomError:
    """A field's error in both languages; `context` holds them for whoever shows it."""
    return PydanticCustomError("recipe", "{en}", {"zh": zh, "en": en})


def _known_encoding(name: str | None) -> str | None:
    try:
        return name if name is None or codecs.lookup(name) else None
    except LookupError:
        raise _wrong(f"没有名为 {name} 的编码", f"there is no encoding {name}") from None


def _one_character(text: str | None) -> str | None:
    if text is not None and (len(text) > 1 or text in ("\n", "\r")):
        raise _wrong("应为一个字符（换行除外）或空文本", "one character (no line end) or an empty text")
    return text


def _distinct(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    seen: set[str] = set()
    for name in names or ():
        if not name.strip() or name.casefold() in seen:
            raise _wrong(f"列名为空或重复：“{name}”", f"a name is empty or given twice: {name!r}")
        seen.add(name.casefold())
    return names


def _known_formats(formats: tuple[str, ...]) -> tuple[str, ...]:
    from pipelines.reading.values import DATES

    unknown = [f for f in formats if f not in DATES]
    if unknown:
        known = ", ".join(DATES)
        raise _wrong(f"没有这种日期写法：{unknown[0]}；可用：{known}", f"no date spelling {unknown[0]}; known: {known}")
    return formats


_Mark = Annotated[str | None, AfterValidator(_one_character)]
_Names = Annotated[tuple[str, ...] | None, AfterValidator(_distinct)]


class ColumnRecipe(_Frozen):
    """How the text of one column becomes values.

    `formats` are names of `values.DATES`; `unit` is what was written after every number and stays as it was; a decimal
    without `scale` is a floating number. `missing` are the spellings that mean "no value" in this column.
    """

    name: str
    type: Kind = "text"
    role: Literal["value", "code"] = "value"
    formats: Annotated[tuple[str, ...], AfterValidator(_known_formats)] = ()
    precision: int | None = Field(default=None, ge=1, le=38)
    scale: int | None = Field(default=None, ge=0, le=38)
    thousands: bool = False
    fold_width: bool = False
    unit: str | None = None
    missing: tuple[str, ...] = MISSING
    on_bad_value: OnBad | None = None


class Recipe(_Frozen):
    """None means "not decided yet": the reader decides and returns the recipe complete.

    Lines and rows count from 1. `header_row` is the line (CSV) or sheet row of the header's last row, None without
    header; `skip` counts the lines before the first record, header included. `names` are what the columns are called
    here, `header_names` what the file calls them: the next delivery must have the latter. `source_digest` is the
    SHA-256 of the file that the recipe was decided on: any other file must fit it (`fit.fit`); on that very file, and
    without a digest, it is obeyed to the letter. `max_quarantined_share` is of the records, `max_unfit_share` of the
    values of a typed column.
    """

    edition: Literal[1] = 1
    format: Literal["csv", "ndjson", "json", "excel", "html", "parquet"] | None = None
    member: str | None = None
    sheet: str | None = None
    json_path: str | None = None
    encoding: Annotated[str | None, AfterValidator(_known_encoding)] = None
    delimiter: _Mark = None
    quote: _Mark = None
    escape: _Mark = None
    header: bool | None = None
    header_row: int | None = Field(default=None, ge=1)
    skip: int | None = Field(default=None, ge=0)
    names: _Names = None
    header_names: _Names = None
    ghost_column: bool = False
    trim: bool = False
    section_rows: bool = True
    repeated_headers: bool = True
    footer_rows: bool = True
    missing: tuple[str, ...] = MISSING
    columns: tuple[ColumnRecipe, ...] = ()
    on_bad_value: OnBad = "null"
    max_quarantined_share: float = Field(default=0.2, ge=0, le=1)
    max_unfit_share: float = Field(default=0.1, ge=0, le=1)
    source_digest: str | None = None

    def column(self, name: str) -> ColumnRecipe | None:
        """The decision on a column, if there is one."""
        return next((c for c in self.columns if c.name == name), None)

    @property
    def placed(self) -> bool:
        """Whether it says where the table stands or what its columns are called."""
        return not (self.skip is None and self.header_row is None and self.names is None)

    def binds(self, digest: str) -> bool:
        """Whether a file with this digest has to fit: the recipe was decided on another one."""
        return self.header_names is not None and self.source_digest not in (None, digest)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.header is False and self.header_row is not None:
            raise _wrong("header 为 false 时不能有 header_row", "header_row must be empty where header is false")
        if self.skip is not None and self.header_row is not None and self.header_row > self.skip:
            raise _wrong("skip 包含表头行，不能小于 header_row", "skip counts the header too: not below header_row")
        if self.names and self.header_names and len(self.names) != len(self.header_names):
            raise _wrong("names 与 header_names 的个数不同", "names and header_names differ in number")
        _distinct(tuple(c.name for c in self.columns))
        strangers = [c.name for c in self.columns if self.names and c.name not in self.names]
        if strangers:
            raise _wrong(f"columns 中的“{strangers[0]}”不在 names 里", f"columns has {strangers[0]!r}, names has not")
        return self


class RecipeFile(_Frozen):
    """The recipes of a file with several tables; `member` and `sheet` say which is whose."""

    edition: Literal[1] = 1
    tables: tuple[Recipe, ...] = Field(min_length=1)


def recipes_of(document: Any) -> tuple[Recipe, ...]:
    """The recipes of a recipe document: one recipe, or several under `tables`.

    Raises:
        ValidationError: with the place of every field that does not hold.
    """
    if isinstance(document, dict) and "tables" in document:
        return RecipeFile.model_validate(document).tables
    return (Recipe.model_validate(document),)


def document_of(recipes: Sequence[Recipe]) -> dict[str, Any]:
    """The document that `recipes_of` reads back: every decision on the table, of columns what is not by default."""
    told = [
        {
            **r.model_dump(mode="json", exclude={"columns"}, exclude_none=True),
            "columns": [{"name": c.name, "type": c.type, **c.model_dump(mode="json", exclude_defaults=True)}
                        for c in r.columns],
        }
        for r in recipes
    ]  # fmt: skip
    return told[0] if len(told) == 1 else {"edition": 1, "tables": told}


_PROBLEMS: dict[str, Text] = {
    "extra_forbidden": Text("没有这个字段", "there is no such field"),
    "missing": Text("缺少这个字段", "this field is missing"),
    "literal_error": Text("只能是 {expected}", "only {expected}"),
    "string_type": Text("应为文本（数字请加引号）", "a text (put numbers in quotes)"),
    "model_type": Text("应为字段与值", "fields with values"),
    "tuple_type": Text("应为列表", "a list"),
    "greater_than_equal": Text("不能小于 {ge}", "not below {ge}"),
    "less_than_equal": Text("不能大于 {le}", "not above {le}"),
    "int_type": Text("应为整数", "a whole number"),
    "int_parsing": Text("应为整数", "a whole number"),
    "float_parsing": Text("应为数值", "a number"),
    "bool_type": Text("应为 true 或 false", "true or false"),
    "bool_parsing": Text("应为 true 或 false", "true or false"),
}


def problems_of(error: ValidationError) -> list[tuple[str, Text]]:
    """Every field of a recipe that does not hold (`tables.0.names.2`), with what it should be."""
    out = []
    for problem in error.errors():
        context = problem.get("ctx", {})
        if problem["type"] == "recipe":
            text = Text(context["zh"], context["en"])
        elif problem["type"] in _PROBLEMS:
            text = _PROBLEMS[problem["type"]].fill(**context)
        else:
            text = Text(problem["msg"], problem["msg"])
        out.append((".".join(map(str, problem["loc"])), text))
    return out
