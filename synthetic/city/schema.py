"""What a table of the city is: its columns with their true meaning, its department, its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from synthetic.city.dirt import Soiler
    from synthetic.city.society import Society

Frame = dict[str, NDArray[np.object_]]  # column name → texts, None where nothing is written; "_name" is not written out


@dataclass(frozen=True, slots=True)
class Column:
    """A column and the truth about it.

    `semantic` uses the vocabulary of the field plan; `entity` names the identifier its values are (None for free text,
    where the truth counts what is contained); `level` is the range of grades 1–4 a correct grading may give.
    """

    name: str
    dtype: str
    semantic: str
    comment: str
    role: str = "none"
    entity: str | None = None
    category: str = "公共数据"
    level: tuple[int, int] = (1, 2)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the file is written. `lead` are lines above the header, `tail` lines below the data; both may use {rows}."""

    suffix: str
    encoding: str
    kind: str = "delimited"  # delimited | sheet | ndjson
    delimiter: str = ","
    newline: str = "\n"
    bom: bool = False
    lead: tuple[str, ...] = ()
    tail: tuple[str, ...] = ()
    blank_tail: int = 0
    repeat_header_after: int = 0  # loadable rows before the header comes once more; 0 = never
    section_column: str | None = None  # sheet only: a merged row above each group of this column


@dataclass(frozen=True, slots=True)
class Table:
    """One table: `chunks` yields clean columns, `soil` puts the dirt in."""

    key: str
    title: str
    department: str
    grain: str
    columns: tuple[Column, ...]
    layout: Layout
    entities: dict[str, str]
    base_rows: int
    chunks: Callable[[Society, int], Iterator[Frame]]
    soil: Callable[[Soiler], None]

    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def file_name(self, part: int = 0) -> str:
        tail = f"_{part + 1:02d}" if part else ""
        return f"{self.department}_{self.title}{tail}.{self.layout.suffix}"


POLICE = "示范市公安局"
MARKET = "示范市市场监督管理局"
LABOUR = "示范市人力资源和社会保障局"
HEALTH = "示范市卫生健康局"
TRANSPORT = "示范市交通运输局"
APPROVAL = "示范市行政审批局"
EDUCATION = "示范市教育局"
ENVIRONMENT = "示范市生态环境局"
CIVIL = "示范市民政局"

AS_OF = np.datetime64("2025-12-31", "D")
"""The day the city is described at. A fixed day, so that the same seed gives the same bytes in any year."""

CHUNK = 100_000
"""Rows held at once while a table is written."""
