"""CREATE TABLE with comments, so that a merchant's own database gets the table's shape before any row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_DIGITS = 18
_LENGTHS = (20, 50, 100, 200, 500, 1000, 2000)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one family of databases quotes and names types. `inline`: comments stand inside the statement."""

    quote: str
    inline: bool
    types: Mapping[str, str]


DIALECTS: Mapping[str, Dialect] = {
    "postgresql": Dialect('"', False, {
        "boolean": "BOOLEAN", "integer": "BIGINT", "float": "DOUBLE PRECISION", "date": "DATE",
        "timestamp": "TIMESTAMP", "text": "TEXT",
    }),
    "mysql": Dialect("`", True, {
        "boolean": "TINYINT(1)", "integer": "BIGINT", "float": "DOUBLE", "date": "DATE", "timestamp": "DATETIME(6)",
        "text": "TEXT",
    }),
}  # fmt: skip


def create_table(
    name: str, schema: Mapping[str, pl.DataType], longest: Mapping[str, int], comments: Mapping[str, str], mark: str,
    dialect: Dialect,
) -> str:  # fmt: skip
    """The statement(s), commented as simulated. Names and comments are anything a file may have held: they are quoted.

    `longest`: characters of the longest value of each text column; the declared length leaves room to grow.
    """
    table = _name(name, dialect)
    about = _text(f"{name}（{mark}，非真实记录）", dialect)
    lines = [f"  {_name(c, dialect)} {_type(k, longest.get(c, 0), dialect)}" for c, k in schema.items()]
    if dialect.inline:
        lines = [f"{line} COMMENT {_text(comments.get(c, ''), dialect)}" for c, line in zip(schema, lines, strict=True)]
        return f"-- {mark}\nCREATE TABLE {table} (\n" + ",\n".join(lines) + f"\n) COMMENT = {about};\n"
    said = [f"COMMENT ON TABLE {table} IS {about};"]
    said += [
        f"COMMENT ON COLUMN {table}.{_name(c, dialect)} IS {_text(comments[c], dialect)};"
        for c in schema if comments.get(c)
    ]  # fmt: skip
    return f"-- {mark}\nCREATE TABLE {table} (\n" + ",\n".join(lines) + "\n);\n" + "\n".join(said) + "\n"


def _type(kind: pl.DataType, longest: int, dialect: Dialect) -> str:
    import polars as pl

    if kind == pl.Boolean:
        return dialect.types["boolean"]
    if isinstance(kind, pl.Decimal):
        # The table's own precision is that of its largest real value: nobody needs to know it.
        return f"DECIMAL({max(_DIGITS, kind.precision or 38)},{kind.scale})"
    if kind.is_integer():
        return dialect.types["integer"]
    if kind.is_float():
        return dialect.types["float"]
    if isinstance(kind, pl.Date):
        return dialect.types["date"]
    if isinstance(kind, pl.Datetime):
        return dialect.types["timestamp"]
    length = next((n for n in _LENGTHS if n >= 2 * longest), None)
    return f"VARCHAR({length})" if length else dialect.types["text"]


def _name(name: str, dialect: Dialect) -> str:
    return dialect.quote + _plain(name).replace(dialect.quote, dialect.quote * 2) + dialect.quote


def _text(value: str, dialect: Dialect) -> str:
    """A string literal; MySQL reads a backslash as an escape, the others do not."""
    shown = _plain(value).replace("\\", "\\\\") if dialect.inline else _plain(value)
    return "'" + shown.replace("'", "''") + "'"


def _plain(text: str) -> str:
    """Without control characters, which neither names nor comments can hold everywhere."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
