"""Workbooks in SpreadsheetML 2003, one XML file called .xls: read like any other workbook, or refused by name."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pipelines.reading import TableReading, read
from pipelines.reading.preview import preview
from policies.text import UserError

_HEAD = """<?xml version="1.0" encoding="{encoding}"?>
<?mso-application progid="Excel.Sheet"?>
<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet" xmlns:o="urn:schemas-microsoft-com:office:office"
 xmlns:x="urn:schemas-microsoft-com:office:excel" xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet">"""
_HIDDEN = (
    '<WorksheetOptions xmlns="urn:schemas-microsoft-com:office:excel"><Visible>SheetHidden</Visible></WorksheetOptions>'
)


def cell(value: str, kind: str = "String", **given: str | int) -> str:
    attributes = "".join(f' ss:{name}="{said}"' for name, said in given.items())
    return f'<Cell{attributes}><Data ss:Type="{kind}">{value}</Data></Cell>'


def row(*cells: str, **given: int) -> str:
    attributes = "".join(f' ss:{name}="{said}"' for name, said in given.items())
    return f"<Row{attributes}>{''.join(cells)}</Row>"


def sheet(name: str, *rows: str, after: str = "") -> str:
    return f'<Worksheet ss:Name="{name}"><Table>{"".join(rows)}</Table>{after}</Worksheet>'


def book(*sheets: str, encoding: str = "UTF-8") -> bytes:
    return (_HEAD.format(encoding=encoding) + "".join(sheets) + "</Workbook>").encode(encoding)


def tables(tmp_path: Path, content: bytes) -> list[TableReading]:
    path = tmp_path / "t.xls"
    path.write_bytes(content)
    return read(path, work=tmp_path / "work")


def rows_of(reading: TableReading) -> list[tuple[str | None, ...]]:
    return pl.read_parquet(reading.text_parquet).rows()


def codes(reading: TableReading) -> set[str]:
    return {f.code for f in reading.findings}


STAFF = (
    row(cell("职工名册", MergeAcross=4)),
    row(*(cell(name) for name in ("身份证号", "姓名", "入职", "工资", "在编"))),
    row(cell("440524188001010014", "Number"), cell("甲"), cell("2025-01-31T00:00:00.000", "DateTime"),
        cell("3.50", "Number"), cell("1", "Boolean")),
    row(cell("11010519491231002X"), cell("乙", Index=2), cell("2024-02-29T08:30:00.000", "DateTime"),
        cell("0", "Boolean", Index=5), Index=5),
)  # fmt: skip


def test_cells_stand_where_their_indices_say_and_keep_their_digits(tmp_path: Path) -> None:
    (reading,) = tables(tmp_path, book(sheet("名册", *STAFF)))
    assert [c.name for c in reading.columns] == ["身份证号", "姓名", "入职", "工资", "在编"]
    assert rows_of(reading) == [
        ("440524188001010014", "甲", "2025-01-31", "3.5", "true"),
        ("11010519491231002X", "乙", "2024-02-29 08:30:00", "", "false"),
    ]
    assert (reading.recipe.format, reading.recipe.sheet, reading.recipe.header_row) == ("excel", "名册", 2)
    assert (reading.accounting.lines, reading.accounting.preamble, reading.accounting.blank) == (5, 1, 1)
    assert "other_format" not in codes(reading)


def test_a_page_shows_raw_rows_beside_what_was_loaded(tmp_path: Path) -> None:
    (reading,) = tables(tmp_path, book(sheet("名册", *STAFF)))
    shown = preview(reading, 10)["lines"]
    assert [line["role"] for line in shown] == ["preamble", "header", "record", "blank", "record"]
    assert shown[2]["raw"].startswith("440524188001010014\t甲")


def test_every_visible_sheet_is_a_table_and_hidden_ones_are_named(tmp_path: Path) -> None:
    rows = (row(cell("编码"), cell("名称")), row(cell("001"), cell("东湖区")))
    found = tables(
        tmp_path, book(sheet("一", *rows), sheet("二", *rows), sheet("三", *rows, after=_HIDDEN), sheet("空"))
    )
    assert [t.name for t in found] == ["t/一", "t/二"]
    assert {"hidden_sheet", "empty_sheet"} <= codes(found[0])


def test_a_cell_merged_over_records_holds_for_each_and_comments_are_no_values(tmp_path: Path) -> None:
    noted = (
        '<Cell><ss:Data ss:Type="String" xmlns="http://www.w3.org/TR/REC-html40"><B>东</B>湖</ss:Data>'
        '<Comment ss:Author="x"><ss:Data xmlns="http://www.w3.org/TR/REC-html40">批注</ss:Data></Comment></Cell>'
    )
    rows = (
        row(cell("市"), cell("区"), cell("人口")),
        row(cell("示范市", MergeDown=1), noted, cell("5", "Number")),
        row(cell("西山", Index=2), cell("7", "Number")),
    )
    (reading,) = tables(tmp_path, book(sheet("区划", *rows)))
    assert rows_of(reading) == [("示范市", "东湖", "5"), ("示范市", "西山", "7")]
    assert "merged_filled" in codes(reading)


def test_a_chinese_encoding_is_read_as_declared(tmp_path: Path) -> None:
    rows = (row(cell("编码"), cell("名称")), row(cell("001"), cell("东湖区")))
    (reading,) = tables(tmp_path, book(sheet("区划", *rows), encoding="GB2312"))
    assert rows_of(reading) == [("001", "东湖区")]


def test_what_only_looks_empty_or_lost_its_digits_is_told(tmp_path: Path) -> None:
    rows = (
        row(cell("编码"), cell("合计"), cell("率")),
        row(cell("4.4052418800101E+17", "Number"), '<Cell ss:Formula="=SUM(A1)"/>', cell("#DIV/0!", "Error")),
        row(cell("12", "Number"), cell("3", "Number", Formula="=1+2"), cell("0.5", "Number")),
    )
    (reading,) = tables(tmp_path, book(sheet("表", *rows)))
    assert {"damaged_long_number", "formulas_without_value", "error_cells"} <= codes(reading)
    assert rows_of(reading)[1] == ("12", "3", "0.5")


_BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
_OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
_GOOD = book(sheet("表", row(cell("a"), cell("b")), row(cell("1"), cell("2"))))
BAD = [
    ("entities that expand", _GOOD.replace(b"<Workbook", _BOMB.encode() + b"<Workbook"), "unsupported"),
    ("an entity outside the file", _GOOD.replace(b"<Workbook", _OUTSIDE.encode() + b"<Workbook"), "unsupported"),
    ("cut off", _GOOD[:-40], "broken_file"),
    ("bytes that its encoding does not have", _GOOD.replace(b">a<", b">\xff\xfe<"), "broken_file"),
    ("an encoding that nobody has", _GOOD.replace(b"UTF-8", b"UTF-99"), "broken_file"),
    ("a cell outside any sheet", _GOOD.replace(b"Worksheet", b"Elsewhere"), "broken_file"),
    ("a cell in a far column", _GOOD.replace(b"<Cell>", b'<Cell ss:Index="99999">'), "too_many_columns"),
    ("a row far away", _GOOD.replace(b"<Row>", b'<Row ss:Index="900000000">'), "too_many_cells"),
    ("no cell at all", book(sheet("表")), "no_table"),
    ("another XML", b'<?xml version="1.0"?><rows><row/></rows>', "unsupported"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "code"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, content: bytes, code: str) -> None:
    with pytest.raises(UserError) as refused:
        tables(tmp_path, content)
    assert refused.value.code == f"reading.{code}"
    assert not any((tmp_path / "work").iterdir())


def test_of_two_sheets_with_one_name_neither_is_lost(tmp_path: Path) -> None:
    head = row(cell("区"), cell("户数"))
    found = tables(tmp_path, book(*(sheet("一", head, row(cell(d), cell("7", "Number"))) for d in "东西北")))
    assert [(one.recipe.sheet, rows_of(one)) for one in found] == [
        ("一", [("东", "7")]), ("一 (2)", [("西", "7")]), ("一 (3)", [("北", "7")])
    ]  # fmt: skip
