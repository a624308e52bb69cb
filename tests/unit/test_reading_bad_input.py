"""Hostile and broken files: each ends in a named refusal, in quarantine or in a finding, within memory and time."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from pipelines.reading import TableReading, read
from pipelines.reading.limits import MAX_COLUMNS
from policies.text import UserError

MB = 1024 * 1024
MEASURED = """
import json, resource, sys
from pathlib import Path
from pipelines.reading import read
from policies.text import UserError
for limit in sys.argv[2:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
work = Path(sys.argv[1]).parent / "work"
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    code = str(sum(t.accounting.rows_loaded for t in read(sys.argv[1], work=work)))
except UserError as refused:
    code = refused.code
left = len(list(work.rglob("*")))
print(json.dumps([code, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, left]))
"""


def measured(path: Path, *limits: int) -> tuple[str, int, int]:
    """Read in a process of its own: the refusal's code (or the rows), megabytes it took, files left in its folder."""
    argv = [sys.executable, "-c", MEASURED, str(path), *map(str, limits)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120, env={**os.environ})
    code, megabytes, left = json.loads(done.stdout)
    return code, megabytes, left


def refused(path: Path) -> str:
    work = path.parent / "work"
    with pytest.raises(UserError) as error:
        read(path, work=work)
    assert error.value.fix is not None
    assert not [p for p in work.iterdir() if p.name.startswith("table-")]
    return error.value.code


def tables(path: Path) -> list[TableReading]:
    return read(path, work=path.parent / "work")


def codes(reading: TableReading) -> set[str]:
    return {f.code for f in reading.findings} | {f.code for c in reading.columns for f in c.findings}


# ---- size ---------------------------------------------------------------------------------------------------------
LONG: list[tuple[str, str, bytes, bytes, bytes, str]] = [
    ("a cell of 130 MB", "t.csv", "编号,备注\n1,甲\n2,".encode(), b"x" * MB, b"\n3,y\n", "line_too_long"),
    ("no line end at all", "t.csv", b"", b"1,2," * (MB // 4), b"", "line_too_long"),
    ("a cell of 130 MB in GB18030", "t.csv", "编号,备注\n2,".encode("gb18030"), "备注".encode("gb18030") * (MB // 4),
     b"\n", "line_too_long"),
    ("one JSON string of 300 MB", "t.json", b'[{"a": "', b"x" * MB, b'"}]', "line_too_long"),
    ("a page of 300 MB", "t.xls", b"<html><table><tr><td>", b"x" * MB, b"</td></tr></table>", "too_large"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "head", "unit", "tail", "code"), [c[1:] for c in LONG], ids=[c[0] for c in LONG])
def test_a_giant_is_refused_before_it_is_held_in_memory(
    tmp_path: Path, name: str, head: bytes, unit: bytes, tail: bytes, code: str
) -> None:
    path = tmp_path / name
    with path.open("wb") as out:
        out.write(head)
        for _ in range(300 if code == "too_large" or name == "t.json" else 130):
            out.write(unit)
        out.write(tail)
    told, megabytes, left = measured(path)
    path.unlink()
    assert told == f"reading.{code}"
    assert megabytes < 150
    assert left == 0


def test_a_cell_of_twenty_megabytes_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("编号,备注\n1,甲\n2," + "x" * 20_000_000 + "\n3,乙\n", "utf-8")
    (reading,) = tables(path)
    assert pl.read_parquet(reading.text_parquet)["备注"].str.len_bytes().to_list() == [3, 20_000_000, 3]


def test_a_hundred_thousand_columns_are_refused_and_a_thousand_are_read(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    for width in (100_000, 1_000):
        rows = (",".join(str(i * r % 97) for i in range(width)) for r in range(1, 4))
        path.write_text(",".join(f"列{i}" for i in range(width)) + "\n" + "\n".join(rows) + "\n", "utf-8")
        if width > MAX_COLUMNS:
            assert refused(path) == "reading.too_many_columns"
            continue
        (reading,) = tables(path)
        assert (len(reading.columns), reading.accounting.rows_loaded) == (1_000, 3)


def test_json_of_ever_new_keys_is_refused(tmp_path: Path) -> None:
    for name in ("k.json", "k.log"):
        path = tmp_path / name
        records = [json.dumps({f"k{i}": 1}) for i in range(MAX_COLUMNS + 1)]
        path.write_text("[" + ",".join(records) + "]" if name == "k.json" else "\n".join(records), "utf-8")
        assert refused(path) == "reading.too_many_columns"


# ---- depth --------------------------------------------------------------------------------------------------------
def test_json_nested_beyond_the_parser_is_refused_or_costs_its_line(tmp_path: Path) -> None:
    deep = '{"a":' * 100_000 + "1" + "}" * 100_000
    path = tmp_path / "d.json"
    for text in (deep, "[" * 100_000 + "]" * 100_000):
        path.write_text(text)
        assert refused(path) == "reading.broken_file"
    path = tmp_path / "d.log"
    path.write_text('{"a": 1}\n{"a": 2}\n' + deep + '\n{"a": 3}\n')
    (reading,) = tables(path)
    assert (reading.accounting.rows_loaded, reading.accounting.rows_quarantined) == (3, 1)


def test_json_nested_deeply_becomes_text_below_the_fifth_level(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text('[{"编号": 1, "a": ' + '{"b": ' * 300 + "1" + "}" * 300 + "}]", "utf-8")
    (reading,) = tables(path)
    assert [c.name for c in reading.columns] == ["编号", "a.b.b.b.b"]


# ---- archives -----------------------------------------------------------------------------------------------------
def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return path


def overlapping(path: Path) -> Path:
    """Many directory entries for the same bytes: small ratios each, a bomb together."""
    inner = io.BytesIO()
    data = b"".join(b"%d,%d\n" % (i, i % 7) for i in range(40_000))
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.csv", data)
        (info,) = archive.infolist()
        for i in range(1, 900):
            twin = zipfile.ZipInfo(f"{i}.csv")
            twin.CRC, twin.compress_size, twin.file_size = info.CRC, info.compress_size, info.file_size
            twin.header_offset, twin.compress_type = info.header_offset, info.compress_type
            archive.filelist.append(twin)
    path.write_bytes(inner.getvalue())
    return path


def lying(path: Path) -> Path:
    """The directory states fewer bytes than the member unpacks to."""
    zipped(path, t__csv=b"a,b\n" + b"1,2\n" * 100_000)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    return path


def damaged(path: Path) -> Path:
    """The compressed bytes of the member are not what they were."""
    zipped(path, t__csv=b"a,b\n" + b"1,2\n" * 100_000)
    data = bytearray(path.read_bytes())
    data[60:90] = b"x" * 30
    path.write_bytes(bytes(data))
    return path


ARCHIVES: list[tuple[str, Callable[[Path], Path], str]] = [
    ("members that share their bytes", overlapping, "archive_limits"),
    ("a size that is a lie", lying, "broken_file"),
    ("an archive called otherwise in an archive",
     lambda p: zipped(p, t__csv=zipped(p.with_name("in.zip"), a__csv=b"a,b\n1,2\n").read_bytes()), "unsupported"),
    ("damaged bytes", damaged, "broken_file"),
    ("nothing to read", lambda p: zipped(p, **{"__MACOSX/x": b"x"}), "no_table"),
    ("only a document", lambda p: zipped(p, a__pdf=b"%PDF-1.4 "), "unsupported"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "code"), [c[1:] for c in ARCHIVES], ids=[c[0] for c in ARCHIVES])
def test_archives_that_are_not_what_they_say(tmp_path: Path, make: Callable[[Path], Path], code: str) -> None:
    assert refused(make(tmp_path / "a.zip")) == f"reading.{code}"


def test_names_of_members_reach_no_path(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    path = zipped(tmp_path / "deep" / "a.zip", **{"../../evil.csv": b"a,b\n1,2\n2,3\n", "/tmp/abs.csv": b"a,b\n1,2\n"})
    assert [t.accounting.rows_loaded for t in tables(path)] == [2, 1]
    assert {p.name for p in tmp_path.iterdir()} == {"deep"}
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"a.zip", "work"}
    assert not Path("/tmp/abs.csv").exists()


# ---- workbooks ----------------------------------------------------------------------------------------------------
def test_a_stray_cell_far_away_does_not_take_all_memory(tmp_path: Path) -> None:
    path = tmp_path / "far.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("表")
        sheet.write_row(0, 0, ["编号", "名称"])
        sheet.write(1_048_575, 16_383, "x")
    told, megabytes, left = measured(path)
    assert (told, left) == ("reading.too_many_cells", 0)
    assert megabytes < 150


ODS = (
    '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
    ' xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'
    ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet>'
    '<table:table table:name="表">{}</table:table></office:spreadsheet></office:body></office:document-content>'
)


def ods(path: Path, *rows: tuple[str, list[tuple[str, str]]]) -> Path:
    """An OpenDocument sheet; each row and each cell with its further attributes."""
    cells = [(row, "".join(f'<table:table-cell office:value-type="string" {more}><text:p>{text}</text:p>'
                           "</table:table-cell>" for text, more in cells)) for row, cells in rows]  # fmt: skip
    body = "".join(f"<table:table-row {row}>{inner}</table:table-row>" for row, inner in cells)
    empty = '<table:table-row table:number-rows-repeated="1048000"><table:table-cell/></table:table-row>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr("content.xml", ODS.format(body + empty))
    return path


def test_a_repeated_cell_of_an_open_document_does_not_take_all_memory(tmp_path: Path) -> None:
    rows = [("", [("编号", ""), ("名称", "")]), *(("", [(f"A{i}", ""), ("甲", "")]) for i in range(8))]
    (reading,) = tables(ods(tmp_path / "good.ods", *rows))
    assert (reading.accounting.rows_loaded, len(reading.columns)) == (8, 2)
    wide = [("x", 'table:number-columns-repeated="999"')]
    bomb = ods(tmp_path / "bomb.ods", ('table:number-rows-repeated="1048576"', wide))
    told, megabytes, _ = measured(bomb)
    assert told == "reading.too_many_cells"
    assert megabytes < 100


def test_formulas_saved_without_their_value_are_counted(tmp_path: Path) -> None:
    import openpyxl

    path = tmp_path / "f.xlsx"
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["编号", "数", "和"])
    for i in range(2, 8):
        sheet.append([f"A{i}", i, f"=B{i}*2"])
    book.save(path)
    (reading,) = tables(path)
    (found,) = [f for f in reading.findings if f.code == "formulas_without_value"]
    assert "6" in found.detail.zh
    with xlsxwriter.Workbook(path) as made:
        out = made.add_worksheet("表")
        out.write_row(0, 0, ["编号", "和"])
        for i in range(1, 6):
            out.write(i, 0, f"A{i}")
            out.write_formula(i, 1, "=1+1", None, 2)
    (reading,) = tables(path)
    assert "formulas_without_value" not in codes(reading)
    assert pl.read_parquet(reading.text_parquet)["和"].to_list() == ["2"] * 5


# ---- names that lie -----------------------------------------------------------------------------------------------
PAGE = (
    '<html xmlns:x="urn:schemas-microsoft-com:office:excel"><head><meta charset="gb2312"></head><body><table>'
    '<tr><td colspan="3">示范市名单</td></tr><tr><th>编号</th><th>姓名</th><th>区</th></tr>'
    + "".join(f'<tr><td>{i:04d}<td>居民&nbsp;{i}<td rowspan="1">东<br>湖</tr>' for i in range(20))
    + '<tr><td>0020</td><td>甲</td><td rowspan="2">西山</td></tr><tr><td>0021</td><td>乙</td></tr>'
    "</table></body></html>"
)
LIES: list[tuple[str, str, bytes, str | tuple[int, int]]] = [
    ("a page called .xls", "t.xls", PAGE.encode("gb18030"), (22, 3)),
    ("text called .xlsx", "t.xlsx", "编号,名称\n1,甲\n2,乙\n".encode(), (2, 2)),
    ("NDJSON called .csv", "t.csv", b'{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n', (2, 2)),
    ("an image called .csv", "t.csv", b"\x89PNG\r\n\x1a\n" + bytes(500), "unsupported"),
    ("XML called .xls", "t.xls", b'<?xml version="1.0"?><Workbook/>', "unsupported"),
    ("a mail page called .xls", "t.xls", b"MIME-Version: 1.0\r\n\r\n<html>", "unsupported"),
    ("a database called .csv", "t.csv", b"SQLite format 3\0" + bytes(500), "unsupported"),
    ("half a Parquet file", "t.parquet", b"PAR1" + bytes(200), "broken_file"),
    ("half a workbook", "t.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "broken_file"),
    ("a page without a table", "t.html", b"<!doctype html><html><p>404</p></html>", "no_table"),
]


@pytest.mark.parametrize(("name", "data", "wanted"), [c[1:] for c in LIES], ids=[c[0] for c in LIES])
def test_the_content_decides_and_a_name_that_lies_is_told(
    tmp_path: Path, name: str, data: bytes, wanted: str | tuple[int, int]
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    if isinstance(wanted, str):
        assert refused(path) == f"reading.{wanted}"
        return
    (reading,) = tables(path)
    assert (reading.accounting.rows_loaded, len(reading.columns)) == wanted
    assert "other_format" in codes(reading)


def test_a_cell_of_a_page_that_spans_rows_holds_for_each(tmp_path: Path) -> None:
    path = tmp_path / "t.xls"
    path.write_bytes(PAGE.encode("gb18030"))
    (reading,) = tables(path)
    assert pl.read_parquet(reading.text_parquet).rows()[-3:] == [
        ("0019", "居民 19", "东\n湖"), ("0020", "甲", "西山"), ("0021", "乙", "西山"),
    ]  # fmt: skip
    assert (reading.recipe.header_row, reading.accounting.preamble) == (2, 1)


# ---- a full disk --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_a_full_disk_has_a_name_and_leaves_nothing_behind(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.csv"
    rows = "".join(f"{i},{i * 7919 % 104729:08d}居民{i},{os.urandom(20).hex()}\n" for i in range(60_000))
    path.write_bytes(("编号,姓名,备注\n" + rows).encode(encoding))
    code, _, left = measured(path, 200_000)
    assert (code, left) == ("reading.no_space", 0)
    assert measured(path, 1 << 40)[0] == "60000"
