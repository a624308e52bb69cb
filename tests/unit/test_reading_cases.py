"""One table of dirty files and what each must become: rows, quarantined rows, columns with their types, findings."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from pipelines.reading import TableReading, read
from policies.text import UserError

PEOPLE = "".join(f"{i},居民{i},东湖区,{i}.5\n" for i in range(1, 31))
HEAD = "编号,姓名,区,值\n"
ENVELOPE = json.dumps({"code": 0, "data": {"list": [{"编号": i, "名": "甲"} for i in range(9)]}}, ensure_ascii=False)
RECORDS = "".join(json.dumps({"编号": i, "内": {"值": i / 2}}) + "\n" for i in range(9))
PAIRS = [[f"甲{i}", i] for i in range(8)]
TYPES = "编号:integer 姓名:text 区:text 值:decimal"


def sheet(fill: Callable[[xlsxwriter.Workbook, Worksheet], None], name: str = "表") -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        fill(book, book.add_worksheet(name))
    return out.getvalue()


def rows(*lines: list[Any], at: tuple[int, int] = (0, 0)) -> Callable[[xlsxwriter.Workbook, Worksheet], None]:
    def fill(_: xlsxwriter.Workbook, page: Worksheet) -> None:
        for i, line in enumerate(lines):
            page.write_row(at[0] + i, at[1], line)

    return fill


def two_line_header(_: xlsxwriter.Workbook, page: Worksheet) -> None:
    page.merge_range(0, 0, 0, 3, "示范市统计表")
    page.merge_range(1, 0, 2, 0, "地区")
    page.merge_range(1, 1, 1, 2, "人口")
    page.merge_range(1, 3, 2, 3, "产值")
    page.write_row(2, 1, ["男", "女"])
    for i in range(8):
        page.write_row(3 + i, 0, [f"区{i}", i, i + 1, i * 1.5])


def dates(book: xlsxwriter.Workbook, page: Worksheet) -> None:
    day = book.add_format({"num_format": "yyyy/m/d"})
    page.write_row(0, 0, ["名称", "日期"])
    for i in range(8):
        page.write(1 + i, 0, f"甲{i}")
        page.write_datetime(1 + i, 1, dt.datetime(2020, 1, 1 + i), day)


def one_date_is_a_number(book: xlsxwriter.Workbook, page: Worksheet) -> None:
    dates(book, page)
    page.write_number(4, 1, 43834)


def errors(_: xlsxwriter.Workbook, page: Worksheet) -> None:
    page.write_row(0, 0, ["名称", "比"])
    for i in range(6):
        page.write(1 + i, 0, f"甲{i}")
        page.write_formula(1 + i, 1, "=1/0", None, "#DIV/0!" if i < 2 else 0.5)


# name · file · bytes · loaded + quarantined · columns with types · findings that must be, and "!" those that must not
CASES: list[tuple[str, str, str | bytes, tuple[int, int], str, str]] = [
    # -- delimiters and encodings
    ("semicolons in .csv", "t.csv", (HEAD + PEOPLE).replace(",", ";"), (30, 0), TYPES, "!renamed_columns"),
    ("tabs in .csv, UTF-16 with mark", "t.csv", (HEAD + PEOPLE).replace(",", "\t").encode("utf-16"), (30, 0), TYPES,
     "!no_header"),
    ("GBK, CRLF, line feeds inside cells", "t.csv",
     ("编号,备注\r\n" + "".join(f'{i},"上\n下"\r\n' for i in range(9))).encode("gbk"), (9, 0),
     "编号:integer 备注:text", "line_ends_changed"),
    ("pipes with a trailing one, no header", "t.tbl", "".join(f"{i}|甲 {i}, 乙|{i}.50|\n" for i in range(9)), (9, 0),
     "column_1:integer column_2:text column_3:decimal", "no_header ghost_column"),
    ("blanks after commas in header and cells", "t.csv", "age, class\n" + "39, a\n40, b\n41, c\n" * 3, (9, 0),
     "age:integer class:text", "!renamed_columns"),
    ("everything quoted, commas inside", "t.csv", '"编号","备注"\n' + '"1","甲,乙"\n' * 6, (6, 0),
     "编号:integer 备注:text", "!uneven_width"),
    ("quotes escaped by a backslash", "t.csv", '编号,备注\n1,"甲\\"乙"\n2,"丙"\n3,丁\n', (3, 0),
     "编号:integer 备注:text", "!rows_refused"),
    # -- rows that are no records
    ("preamble lines of words", "t.csv", f"示范市统计局\n导出人：信息科 2025-01-01\n{HEAD}{PEOPLE}", (30, 0), TYPES,
     "title_rows !rows_refused"),
    ("preamble filled up with delimiters", "t.csv", f"导出时间:2025-01-01,,,\n{HEAD}{PEOPLE}", (30, 0), TYPES,
     "title_rows"),
    ("total, count and notes at the end", "t.csv", f"{HEAD}{PEOPLE}合计,,,480\n共 30 条\n填报人：张三,,审核人：李四,\n"
     "注：截至2025年底\n", (30, 0), TYPES, "footer_rows !rows_refused"),
    ("a total whose first cell is empty", "t.csv", f"{HEAD}{PEOPLE},合计,,480\n", (30, 0), TYPES, "footer_rows"),
    ("the header again in the middle", "t.csv", HEAD + PEOPLE + HEAD + PEOPLE, (60, 0), TYPES, "repeated_headers"),
    ("the header twice at the top", "t.csv", HEAD + HEAD + PEOPLE, (30, 0), TYPES, "repeated_headers"),
    ("a row with only its id", "t.csv", HEAD + PEOPLE + "31,,,\n" + PEOPLE, (61, 0), TYPES, "!section_rows"),
    # -- cells with delimiters of their own
    ("a comma in an unquoted last cell", "t.csv", HEAD.replace("值", "备注") + "1,甲,东湖区,好\n" * 40
     + "2,乙,东湖区,好,很好\n", (40, 1), "编号:integer 姓名:text 区:text 备注:text", "rows_refused many_rows_refused"),
    # -- headers
    ("years as columns", "t.csv", "地区,2019年,2020年,2021年\n" + "".join(f"区{i},{i},1.5,2\n" for i in range(9)),
     (9, 0), "地区:text 2019年:integer 2020年:decimal 2021年:integer", "!no_header"),
    ("rows counted in a column without a name", "t.csv", "name,value\n" + "".join(f"{i},甲,2.5\n" for i in range(1, 9)),
     (8, 0), "column_1:integer name:text value:decimal", "short_header"),
    ("values where a header should be", "t.csv", "".join(f"44{i:02d},甲{i},2.5\n" for i in range(9)), (9, 0),
     "column_1:integer column_2:text column_3:decimal", "no_header"),
    ("only a header", "t.csv", HEAD, (0, 0), "编号:text 姓名:text 区:text 值:text", "header_only"),
    # -- values
    ("NA among integers, full-width digits", "t.csv", "序,数\n" + "".join(f"{i},{i}\n" for i in range(40))
     + "40,NA\n41,１２\n42,-\n", (43, 0), "序:integer 数:integer", "missing_spellings full_width_values"),
    ("codes of 18 digits", "t.csv", "序,统一编码\n" + "".join(f"{i},44990119900101{1000 + i}\n" for i in range(9)),
     (9, 0), "序:integer 统一编码:text", "code_kept_as_text !exponent_numbers"),
    ("codes that a spreadsheet has rounded", "t.csv", "序,证号\n" + "".join(f"{i},4.49901E+17\n" for i in range(9)),
     (9, 0), "序:integer 证号:decimal", "damaged_long_number exponent_numbers"),
    ("codes wrapped against spreadsheets", "t.csv", "序,证号\n" + "".join(f'{i},="00{i}"\n' for i in range(9)), (9, 0),
     "序:integer 证号:text", "wrapped_values"),
    ("day numbers of Excel in text", "t.csv", "序,登记日期\n" + "".join(f"{i},{43841 + i}\n" for i in range(9)), (9, 0),
     "序:integer 登记日期:integer", "maybe_serial_dates"),
    ("control characters", "t.csv", HEAD + PEOPLE + "31,甲\x00乙,丙\x0b丁,1.5\n", (31, 0), TYPES, "control_characters"),
    # -- JSON
    ("an envelope in GBK", "t.json", ENVELOPE.encode("gb18030"), (9, 0), "编号:integer 名:text", "!nested_flattened"),
    ("records in a .log, one line each", "t.log", RECORDS, (9, 0), "编号:integer 内.值:decimal", "!other_format"),
    ("control characters in strings", "t.json", json.dumps([{"a": "x\u0000y", "b": 1}, {"a": "z", "b": 2}]), (2, 0),
     "a:text b:integer", "control_characters"),
    # -- workbooks
    ("a title over a header of two merged rows", "t.xlsx", sheet(two_line_header), (8, 0),
     "地区:text 人口/男:integer 人口/女:integer 产值:decimal", "title_rows two_line_header"),
    ("a table that begins at C5", "t.xlsx", sheet(rows(["学校名单"], [], ["名称", "人数"], *PAIRS, at=(2, 2))), (8, 0),
     "名称:text 人数:integer", "title_rows !renamed_columns"),
    ("years as numbers", "t.xlsx", sheet(rows(["地区", 2019, 2020], *([f"区{i}", i, i / 2] for i in range(8)))), (8, 0),
     "地区:text 2019:integer 2020:decimal", "!no_header"),
    ("real dates", "t.xlsx", sheet(dates), (8, 0), "名称:text 日期:date", "!dates_and_numbers"),
    ("a number among dates", "t.xlsx", sheet(one_date_is_a_number), (8, 0), "名称:text 日期:text", "dates_and_numbers"),
    ("formulas that failed", "t.xlsx", sheet(errors), (6, 0), "名称:text 比:decimal", "error_cells"),
    ("ten-digit codes stored as floats", "t.xlsx", sheet(rows(["学校标识码", "名"], *([4111010001.0 + i, "甲"]
     for i in range(8)))), (8, 0), "学校标识码:text 名:text", "code_kept_as_text !damaged_long_number"),
    ("line breaks in cells", "t.xlsx", sheet(rows(["编号", "备注"], *([f"A{i}", "上\n下"] for i in range(8)))), (8, 0),
     "编号:text 备注:text", "!swallowed_rows"),
]  # fmt: skip


def reading(tmp_path: Path, name: str, data: str | bytes) -> TableReading:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    (found,) = read(path, work=tmp_path / "work")
    found.accounting.balance()
    return found


@pytest.mark.parametrize(
    ("name", "data", "counts", "columns", "findings"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_case(
    tmp_path: Path, name: str, data: str | bytes, counts: tuple[int, int], columns: str, findings: str
) -> None:
    found = reading(tmp_path, name, data)
    assert " ".join(f"{c.name}:{c.type}" for c in found.columns) == columns
    assert (found.accounting.rows_loaded, found.accounting.rows_quarantined) == counts
    codes = {f.code for f in found.findings} | {f.code for c in found.columns for f in c.findings}
    assert {c for c in findings.split() if not c.startswith("!")} <= codes
    assert not {c[1:] for c in findings.split() if c.startswith("!")} & codes


REFUSED: list[tuple[str, str, str]] = [
    ("a comma unquoted in every last cell", "编号,姓名,备注\n" + "".join(f"{i},甲,好,很好\n" for i in range(20)),
     "short_header"),
    ("a comma unquoted in most last cells", HEAD + "1,甲,乙,好\n" * 8 + "1,甲,乙,好,很好\n" * 12, "short_header"),
    ("a comma unquoted in a quarter of the cells", HEAD + "1,甲,乙,好\n" * 15 + "1,甲,乙,好,很好\n" * 5,
     "too_many_refused"),
    ("columns by blanks", "编号   名称\n1      甲\n2      乙\n", "one_column"),
    ("one column", "名称\n甲\n乙\n丙\n", "one_column"),
    ("as many commas as semicolons", "a,b;c,d\ne,f;g,h\ni,j;k,l\n", "ambiguous_delimiter"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_a_doubt_about_the_columns_is_a_question_not_a_guess(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(UserError) as refused:
        reading(tmp_path, "t.csv", text)
    assert refused.value.code == f"reading.{code}"
    assert refused.value.fix is not None


def test_a_refused_row_keeps_its_text_and_shifts_nothing(tmp_path: Path) -> None:
    found = reading(tmp_path, "t.csv", HEAD + PEOPLE + "31,乙,东湖区,1.5,多\n" + PEOPLE)
    assert found.quarantine_parquet is not None
    assert pl.read_parquet(found.quarantine_parquet).select("line", "reason", "raw").rows() == [
        (32, "too_many_columns", "31,乙,东湖区,1.5,多")
    ]
    assert pl.read_parquet(found.text_parquet)["值"].to_list() == [f"{i}.5" for i in [*range(1, 31), *range(1, 31)]]
