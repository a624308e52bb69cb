"""The recipe: every decision about one table of one file, visible, editable and reusable."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

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


class ColumnRecipe(_Frozen):
    """How the text of one column becomes values.

    `formats` are names of `values.DATES`; `unit` is what was written after every number and stays as it was; a decimal
    without `scale` is a floating number. `missing` are the spellings that mean "no value" in this column.
    """

    name: str
    type: Kind = "text"
    role: Literal["value", "code"] = "value"
    formats: tuple[str, ...] = ()
    precision: int | None = None
    scale: int | None = None
    thousands: bool = False
    fold_width: bool = False
    unit: str | None = None
    missing: tuple[str, ...] = MISSING
    on_bad_value: OnBad | None = None


class Recipe(_Frozen):
    """None means "not decided yet": the reader decides and returns the recipe complete.

    Lines and rows count from 1. `header_row` is the line (CSV) or sheet row of the header's last row, None without
    header; `skip` counts the lines before the first record, header included.
    """

    edition: Literal[1] = 1
    format: Literal["csv", "ndjson", "json", "excel", "parquet"] | None = None
    member: str | None = None
    sheet: str | None = None
    json_path: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    header: bool | None = None
    header_row: int | None = None
    skip: int | None = None
    names: tuple[str, ...] | None = None
    ghost_column: bool = False
    trim: bool = False
    section_rows: bool = True
    repeated_headers: bool = True
    footer_rows: bool = True
    missing: tuple[str, ...] = MISSING
    columns: tuple[ColumnRecipe, ...] = ()
    on_bad_value: OnBad = "null"
    max_quarantined_share: float = Field(default=0.2, ge=0, le=1)

    def column(self, name: str) -> ColumnRecipe | None:
        """The decision on a column, if there is one."""
        return next((c for c in self.columns if c.name == name), None)
