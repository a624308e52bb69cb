"""Which rows an application asks for: a few declared conditions a resource, shown to whoever decides on them.

A condition is a column, an operator and values, never SQL: the platform reads the values by the column's type and
writes the SQL itself. All conditions of a resource hold together; a row without a value in such a column is left out.
A condition may name only a column that is asked for too, because the rows that are left tell its value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from policies.text import Text
from sandbox.kernel.errors import BadInput

MAX_CONDITIONS = 3
MAX_VALUES = 200
MAX_LENGTH = 200
OPERATORS: dict[str, Text] = {
    "in": Text("是其中之一", "is one of"),
    "between": Text("介于（含两端）", "is between (both included)"),
    ">=": Text("不小于", "is at least"),
    "<=": Text("不大于", "is at most"),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, its values as canonical text of the column's type."""

    column: str
    op: str
    values: tuple[str, ...]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Condition:
        return cls(stored["column"], stored["op"], tuple(stored["values"]))

    def as_dict(self) -> dict[str, Any]:
        return {"column": self.column, "op": self.op, "values": list(self.values)}

    @property
    def text(self) -> Text:
        """The condition in words."""
        zh, en = "、".join(self.values), ", ".join(self.values)
        if self.op == "between":
            zh, en = " 至 ".join(self.values), " and ".join(self.values)
        word = OPERATORS[self.op]
        return Text(f"“{self.column}”{word.zh}：{zh}", f"“{self.column}” {word.en} {en}")


def checked(conditions: Sequence[Mapping[str, Any]], types: Mapping[str, str], asked: Collection[str]) -> list[Any]:
    """The conditions as they are stored, values in canonical form. `types`: column → its type; `asked`: columns asked.

    Raises `BadInput` that names the condition and what is wrong with it.
    """
    if len(conditions) > MAX_CONDITIONS:
        raise _bad(f"每项数据最多 {MAX_CONDITIONS} 个行条件", f"At most {MAX_CONDITIONS} conditions a resource")
    return [_one(c, types, asked).as_dict() for c in conditions]


def _one(given: Mapping[str, Any], types: Mapping[str, str], asked: Collection[str]) -> Condition:
    column, op, values = str(given["column"]), str(given["op"]), [str(v).strip() for v in given["values"]]
    if column not in types or column not in asked:
        raise _bad(
            f"行条件的列“{column[:80]}”不在申请的字段中",
            f"Condition column “{column[:80]}” is not among those asked for",
            Text("行条件会透露该列的取值，请同时申请该列", "Rows tell that column's value, so ask for the column too"),
        )  # fmt: skip
    wanted = {"between": (2, 2), "in": (1, MAX_VALUES)}.get(op, (1, 1))
    if op not in OPERATORS or not wanted[0] <= len(values) <= wanted[1]:
        raise _bad(f"“{column}”的行条件运算或取值个数不对", f"Wrong operator or number of values for “{column}”")
    canonical = tuple(_written(_read(value, types[column], column)) for value in values)
    if op == "between" and _read(canonical[0], types[column], column) > _read(canonical[1], types[column], column):
        raise _bad(f"“{column}”的起止值颠倒", f"The bounds of “{column}” are the wrong way round")
    return Condition(column, op, canonical if op == "between" else tuple(dict.fromkeys(canonical)))


def sql(conditions: Sequence[Condition], types: Mapping[str, str]) -> str:
    """The conditions as one SQL expression written by the platform from typed values; empty without conditions."""
    return " AND ".join(f"({_sql(c, types[c.column])})" for c in conditions)


def _sql(condition: Condition, kind: str) -> str:
    column = '"' + condition.column.replace('"', '""') + '"'
    values = [_literal(_read(v, kind, condition.column)) for v in condition.values]
    if condition.op == "in":
        return f"{column} IN ({', '.join(values)})"
    if condition.op == "between":
        return f"{column} BETWEEN {values[0]} AND {values[1]}"
    return f"{column} {condition.op} {values[0]}"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.isoformat(' ')}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    return "'" + str(value).replace("'", "''") + "'"


def _number(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite() or len(text) > 40 or abs(value.adjusted()) > 18:
        raise ValueError(text)
    return value


def _whole(text: str) -> int:
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ValueError(text)
    return value


def _moment(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    if value.tzinfo is not None:
        raise ValueError(text)
    return value


def _text(text: str) -> str:
    if not text or len(text) > MAX_LENGTH or not text.isprintable():
        raise ValueError(text)
    return text


_READERS: dict[str, Callable[[str], Any]] = {
    "text": _text,
    "integer": _whole,
    "decimal": _number,
    "date": date.fromisoformat,
    "timestamp": _moment,
    "boolean": {"true": True, "false": False, "是": True, "否": False}.__getitem__,
}


def _read(value: str, kind: str, column: str) -> Any:
    try:
        return _READERS[kind](value)
    except (ValueError, KeyError, InvalidOperation) as error:
        raise _bad(
            f"“{column}”的行条件取值“{value[:40]}”不符合该列的类型", f"“{value[:40]}” is no value of “{column}”",
            Text("日期写作 2026-01-31，时间写作 2026-01-31 08:00，是否写作 true 或 false",
                 "Write a date as 2026-01-31, a time as 2026-01-31 08:00, yes or no as true or false"),
        ) from error  # fmt: skip


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)


def _bad(zh: str, en: str, fix: Text | None = None) -> BadInput:
    return BadInput("application.rows", Text(zh, en), fix=fix or Text("请修改行条件", "Change the condition"))
