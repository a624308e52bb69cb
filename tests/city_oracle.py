"""Quality of the demonstration city computed by hand: plain Python over the files and their answer key.

Nothing of the product is used here. Cells are read with the standard library (openpyxl for workbooks), lines that are
no record are skipped because the answer key names them.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

Row = dict[str, str]
Tables = dict[str, list[Row]]

INDICATOR = {
    "column_type": "0101", "dictionary": "0103", "condition": "0104", "code_list": "0105", "check_digit": "0105",
    "masked": "0106", "required": "0201", "expected_rows": "0202", "encoded": "0301", "truth": "0301", "range": "0302",
    "regex": "0302", "unique_key": "0304", "same_data": "0401", "reference": "0402", "total": "0402", "period": "0501",
    "fresh_within": "0502", "update_cycle": "0502", "date_order": "0503",
}  # fmt: skip
TODAY = date(2026, 1, 5)
MISSING = {"", "-", "--", "NA", "NULL", "暂无", "/"}


# ---- reading -------------------------------------------------------------------------------------------------------
def load(folder: Path, table: dict[str, Any]) -> list[Row]:
    """The records of a table as text, refused ones left out, in the order of the file."""
    layout, path = table["layout"], folder / table["file"]
    skipped = {q["line"] for q in table["quarantined"]}
    for kind in ("preamble_lines", "repeated_header_lines", "section_lines", "footer_lines", "blank_lines"):
        skipped |= set(layout.get(kind, []))
    names = [c["name"] for c in table["columns"]]
    if path.suffix == ".xlsx":
        return _workbook(path, names, skipped | {layout["header_line"]})
    lines = path.read_bytes().decode(layout["encoding"]).split("\n")
    kept = [(n, text.removesuffix("\r")) for n, text in enumerate(lines, 1) if text.strip("\r") and n not in skipped]
    if path.suffix == ".ndjson":
        return [{k: _text(v) for k, v in json.loads(text).items()} for _, text in kept]
    records = csv.reader([text for n, text in kept if n != layout["header_line"]], delimiter=layout["delimiter"])
    return [dict(zip(names, record, strict=True)) for record in records]


def _workbook(path: Path, names: list[str], skipped: set[int]) -> list[Row]:
    import openpyxl

    sheet = openpyxl.load_workbook(path, read_only=True).worksheets[0]
    rows = enumerate(sheet.iter_rows(max_col=len(names), values_only=True), 1)
    return [dict(zip(names, map(_text, row), strict=True)) for n, row in rows if n not in skipped]


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


# ---- values --------------------------------------------------------------------------------------------------------
def value(row: Row, column: str) -> str | None:
    text = row[column].strip()
    return None if text in MISSING else text


def day(text: str | None) -> date | None:
    """The date in one of the city's four spellings, with or without a time; None when there is no such day."""
    found = re.match(r"(\d{4})(?:-(\d{1,2})-|/(\d{1,2})/|年(\d{1,2})月|(\d{2}))(\d{1,2})日?", text or "")
    if not found:
        return None
    year, *months, last = found.groups()
    try:
        return date(int(year), int(next(m for m in months if m)), int(last))
    except ValueError:
        return None


def number(text: str | None) -> float | None:
    plain = (text or "").replace(",", "")
    return float(plain) if re.fullmatch(r"-?\d+(\.\d+)?", plain) else None


def fits(text: str, dtype: str) -> bool:
    if dtype == "timestamp":
        clock = re.search(r" (\d{1,2}):(\d{2}):(\d{2})$", text)
        return day(text) is not None and bool(clock) and int(clock.group(1)) < 24  # type: ignore[union-attr]
    if dtype == "date":
        return day(text) is not None
    return number(text) is not None and (dtype == "decimal" or "." not in text)


def resident_id(text: str) -> bool:
    """ISO 7064 MOD 11-2 over seventeen ASCII digits, with a birth date that exists."""
    if not re.fullmatch(r"[0-9]{17}[0-9X]", text) or day(text[6:14]) is None:
        return False
    total = sum(int(c) * pow(2, 17 - i, 11) for i, c in enumerate(text[:17])) + "0123456789X".index(text[17])
    return total % 11 == 1


def uscc(text: str) -> bool:
    """GB 32100: MOD 31 over the alphabet without I O S V Z, and the organisation code inside it (GB 11714)."""
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    if len(text) != 18 or set(text) - set(alphabet):
        return False
    check = (31 - sum(alphabet.index(c) * pow(3, i, 31) for i, c in enumerate(text[:17])) % 31) % 31
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    inner = (11 - sum(int(c, 36) * w for c, w in zip(text[8:16], weights, strict=True)) % 11) % 11
    return alphabet[check] == text[17] and text[16] == "0123456789X"[inner]


# ---- rules ---------------------------------------------------------------------------------------------------------
def _alone(good: Callable[[str, dict[str, Any]], bool]) -> Callable[..., tuple[int, int]]:
    """A and B of a rule about the values of one column."""

    def count(rows: list[Row], rule: dict[str, Any], _tables: Tables, _names: list[str]) -> tuple[int, int]:
        there = [v for r in rows if (v := value(r, rule["column"])) is not None]
        return sum(good(v, rule) for v in there), len(there)

    return count


def _range(text: str, rule: dict[str, Any]) -> bool:
    found = number(text)
    return found is not None and rule["min"] <= found <= rule["max"]


def _unique(rows: list[Row], rule: dict[str, Any], *_: Any) -> tuple[int, int]:
    keys = [tuple(value(r, c) for c in rule["columns"]) for r in rows]
    return len({k for k in keys if None not in k}), len(rows)


def _required(rows: list[Row], rule: dict[str, Any], *_: Any) -> tuple[int, int]:
    cells = [value(r, c) for r in rows for c in rule["columns"]]
    return sum(c is not None for c in cells), len(cells)


def _reference(rows: list[Row], rule: dict[str, Any], tables: Tables, _names: list[str]) -> tuple[int, int]:
    known = {tuple(r[c].strip() for c in rule["to_columns"]) for r in tables[rule["to_table"]]}
    keys = [k for r in rows if None not in (k := tuple(value(r, c) for c in rule["columns"]))]
    return sum(k in known for k in keys), len(keys)


def _elsewhere(rows: list[Row], rule: dict[str, Any], tables: Tables, _names: list[str]) -> tuple[int, int]:
    """Texts are compared as they are, dates by the day."""
    there: dict[str, set[Any]] = {}
    for row in tables[rule["to_table"]]:
        key, found = row[rule["to_columns"][0]].strip(), row[rule["to_column"]].strip()
        there.setdefault(key, set()).add(day(found) or found)
    a = b = 0
    for row in rows:
        key, found = value(row, rule["columns"][0]), value(row, rule["column"])
        if key in there and found is not None:
            b += 1
            a += (day(found) or found) in there[key]
    return a, b


def _order(rows: list[Row], rule: dict[str, Any], *_: Any) -> tuple[int, int]:
    pairs = [[d for c in rule["columns"] if (d := day(value(r, c)))] for r in rows]
    pairs = [p for p in pairs if len(p) > 1]
    return sum(p == sorted(p) for p in pairs), len(pairs)


def _encoded(rows: list[Row], rule: dict[str, Any], *_: Any) -> tuple[int, int]:
    a = b = 0
    for row in rows:
        identity, found = value(row, rule["id_column"]), value(row, rule["column"])
        if identity and found and resident_id(identity):
            b += 1
            sex = "男" if int(identity[16]) % 2 else "女"
            a += found == sex if rule["part"] == "sex" else day(found) == day(identity[6:14])
    return a, b


def _total(rows: list[Row], rule: dict[str, Any], *_: Any) -> tuple[int, int]:
    sums = [[number(value(r, c)) for c in (rule["column"], *rule["parts"])] for r in rows]
    whole = [s for s in sums if None not in s]
    return sum(abs(t - sum(parts)) <= rule["tolerance"] + 1e-9 * max(1, abs(t)) for t, *parts in whole), len(whole)  # type: ignore[arg-type,misc]


def _condition(rows: list[Row], rule: dict[str, Any], *_: Any) -> tuple[int, int]:
    then = [value(r, rule["then_column"]) for r in rows if value(r, rule["column"]) in rule["values"]]
    wanted = rule["then_values"]
    return sum(v is not None if wanted is None else v in wanted for v in then), len(then)


def _expected(rows: list[Row], rule: dict[str, Any], *_: Any) -> tuple[int, int]:
    return min(len(rows), rule["rows"]), rule["rows"]


def _fresh(rows: list[Row], rule: dict[str, Any], *_: Any) -> tuple[int, int]:
    newest = max(d for r in rows if (d := day(value(r, rule["column"]))))
    return int(newest >= TODAY - timedelta(days=rule["days"])), 1


def _dictionary(_rows: list[Row], rule: dict[str, Any], _tables: Tables, names: list[str]) -> tuple[int, int]:
    return len(set(rule["columns"]) & set(names)), len(set(rule["columns"]) | set(names))


_RULES: dict[str, Callable[..., tuple[int, int]]] = {
    "column_type": _alone(lambda v, rule: fits(v, rule["type"])),
    "code_list": _alone(lambda v, rule: v in rule["values"]),
    "check_digit": _alone(lambda v, rule: {"resident_id": resident_id, "uscc": uscc}[rule["scheme"]](v)),
    "masked": _alone(lambda v, rule: v.count("*") >= rule["hidden"]),
    "regex": _alone(lambda v, rule: re.fullmatch(rule["pattern"], v, re.ASCII) is not None),
    "range": _alone(_range),
    "period": _alone(lambda v, rule: (d := day(v)) is not None and rule["start"] <= d.isoformat() <= rule["end"]),
    "unique_key": _unique, "required": _required, "reference": _reference, "same_data": _elsewhere,
    "truth": _elsewhere, "date_order": _order, "encoded": _encoded, "total": _total, "condition": _condition,
    "expected_rows": _expected, "fresh_within": _fresh, "dictionary": _dictionary,
}  # fmt: skip


def indicators(
    table: dict[str, Any], rows: list[Row], rules: list[dict[str, Any]], tables: Tables
) -> dict[str, tuple[int, int]]:
    """Code → (A, B) of every indicator that can be assessed, by hand."""
    names = [c["name"] for c in table["columns"]]
    found: dict[str, tuple[int, int]] = {}
    model = []
    for rule in rules:
        a, b = _RULES[rule["kind"]](rows, rule, tables, names)
        before = found.get(INDICATOR[rule["kind"]], (0, 0))
        found[INDICATOR[rule["kind"]]] = (before[0] + a, before[1] + b)
        if rule["kind"] in ("unique_key", "reference"):
            model.append(a == b)
    if model:
        found["0102"] = (sum(model), len(model))
    found["0303"] = (len(rows) - len({tuple(r.values()) for r in rows}), len(rows))
    typed = [(r, c) for c in table["columns"] if c["dtype"] != "text" for r in rows]
    cells = [(v, c["dtype"]) for r, c in typed if (v := value(r, c["name"])) is not None]
    found["0305"] = (sum(not fits(v, dtype) for v, dtype in cells), len(cells))
    return {code: pair for code, pair in found.items() if pair[1]}
