"""Workbooks, JSON, Parquet and archives: the same promises as for text."""

from __future__ import annotations

import datetime as dt
import json
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter

from pipelines.reading import Recipe, TableReading, inspect, read, typed
from policies.text import UserError


def tables(path: Path, recipe: Recipe | None = None) -> list[TableReading]:
    found = read(path, work=path.parent / "work", recipe=recipe)
    for table in found:
        table.accounting.balance()
    return found


def rows(reading: TableReading) -> list[tuple[str | None, ...]]:
    return pl.read_parquet(reading.text_parquet).rows()


def codes(reading: TableReading) -> set[str]:
    return {f.code for f in reading.findings} | {f.code for c in reading.columns for f in c.findings}


def workbook(path: Path) -> Path:
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("学校")
        zeros = book.add_format({"num_format": "000000"})
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        sheet.merge_range(0, 0, 0, 4, "示范市学校名单")
        sheet.write_row(2, 0, ["编号", "学校名称", "建校日期", "人数", "编码"])
        sheet.merge_range(3, 0, 3, 4, "东湖区（2所）")
        for i in range(3):
            sheet.write_number(4 + i, 0, 7 + i, zeros)
            sheet.write(4 + i, 1, f"第{i}小学")
            sheet.write_datetime(4 + i, 2, dt.datetime(2001, 9, 1 + i), day)
            sheet.write_number(4 + i, 3, 100 + i)
            sheet.write_number(4 + i, 4, 449901199001011200.0 + 64 * i)
        sheet.merge_range(7, 0, 7, 4, "注：截至2025年底")
        book.add_worksheet("草稿").hide()
        other = book.add_worksheet("说明")
        other.write_row(0, 0, ["项目", "值"])
        other.merge_range(1, 0, 2, 0, "甲")
        other.write_column(1, 1, [1, 2])
        book.add_worksheet("空")
    return path


def test_a_workbook_with_titles_sections_footers_and_hidden_sheets(tmp_path: Path) -> None:
    school, other = tables(workbook(tmp_path / "b.xlsx"))
    assert (school.name, other.name) == ("b/学校", "b/说明")
    account = school.accounting
    assert (account.rows_loaded, account.preamble, account.header, account.section) == (3, 1, 1, 1)
    assert (account.footer, account.blank, account.lines) == (1, 1, 8)
    assert school.recipe.header_row == 3
    assert rows(school)[0][:4] == ("000007", "第0小学", "2001-09-01", "100")
    assert {"damaged_long_number", "restored_zeros", "hidden_sheet", "empty_sheet"} <= codes(school)
    kinds = {c.name: (c.type, c.role) for c in school.columns}
    assert kinds["编号"] == kinds["编码"] == ("text", "code")
    assert (kinds["建校日期"][0], kinds["人数"][0]) == ("date", "integer")
    assert rows(other) == [("甲", "1"), ("甲", "2")]
    assert "merged_filled" in codes(other)


def test_a_hidden_sheet_is_read_when_asked_for(tmp_path: Path) -> None:
    path = workbook(tmp_path / "b.xlsx")
    with pytest.raises(UserError) as empty:
        tables(path, Recipe(sheet="草稿"))
    assert empty.value.code == "reading.no_table"
    with pytest.raises(UserError) as unknown:
        tables(path, Recipe(sheet="没有"))
    assert unknown.value.code == "reading.no_work_left"
    assert [t.recipe.sheet for t in tables(path, Recipe(sheet="说明"))] == ["说明"]


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


def test_an_envelope_gives_the_largest_list_without_its_own_fields(tmp_path: Path) -> None:
    body = {
        "total": 3,
        "page": 1,
        "links": [{"a": 1}],
        "data": [{"编号": str(i), "值": i / 2, "嵌": {"x": i}} for i in range(3)],
    }
    (table,) = tables(write_json(tmp_path / "e.json", body))
    assert [c.name for c in table.columns] == ["编号", "值", "嵌.x"]
    assert table.recipe.json_path == "$.data[*]"
    assert rows(table)[1] == ("1", "0.5", "1")


def test_lists_under_several_parents_are_joined_with_the_parents_fields(tmp_path: Path) -> None:
    body = {
        "城市": "示范市",
        "线": [{"名": "一号线", "站": [{"站名": "甲"}, {"站名": "乙"}]}, {"名": "二号线", "站": [{"站名": "丙"}]}],
    }
    (table,) = tables(write_json(tmp_path / "n.json", body))
    assert rows(table) == [("一号线", "甲"), ("一号线", "乙"), ("二号线", "丙")]
    assert [c.name for c in table.columns] == ["线.名", "站名"]
    (lines,) = tables(tmp_path / "n.json", Recipe(json_path="$.线[*]"))
    assert lines.accounting.rows_loaded == 2


def test_numbers_in_json_keep_their_digits(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text('[{"a": 449901199001011234, "b": 1.10}, {"a": 2, "b": 3}, "x"]', encoding="utf-8")
    (table,) = tables(path)
    assert rows(table) == [("449901199001011234", "1.10"), ("2", "3")]
    assert table.accounting.rows_quarantined == 1


def test_ndjson_by_content_with_broken_lines_and_late_keys(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    lines = [json.dumps({"编号": i, "值": "甲"}, ensure_ascii=False) for i in range(50)]
    lines[20] = '{"编号": 20, "值": '
    lines[30] = "[1, 2]"
    lines[40] = json.dumps({"编号": 40, "值": "乙", "晚": True}, ensure_ascii=False)
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    (table,) = tables(path)
    account = table.accounting
    assert (account.rows_loaded, account.rows_quarantined, account.blank) == (48, 2, 1)
    assert [c.name for c in table.columns] == ["编号", "值", "晚"]
    assert table.quarantine_parquet is not None
    assert pl.read_parquet(table.quarantine_parquet)["line"].to_list() == [21, 31]


def test_parquet_keeps_the_types_it_states(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"码": ["007", "008"], "数": [1, None], "日": [dt.date(2020, 1, 1), None],
         "时": [dt.datetime(2020, 1, 1, 8), None],
         "真": [True, False], "值": [0.5, 1e-7]}
    )  # fmt: skip
    path = tmp_path / "p.parquet"
    frame.write_parquet(path)
    (table,) = tables(path)
    assert {c.name: c.type for c in table.columns} == {
        "码": "text", "数": "integer", "日": "date", "时": "timestamp", "真": "boolean", "值": "decimal"
    }  # fmt: skip
    back = pl.read_parquet(typed(table))
    assert back.rows() == frame.rows()


def test_every_member_of_an_archive_is_a_table_and_names_in_gbk_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/一.csv", "编号,值\n1,甲\n2,乙\n")
        archive.writestr("__MACOSX/._一.csv", "x")
        archive.writestr("../XX.csv", "编号,值\n1,甲\n")
    path.write_bytes(path.read_bytes().replace(b"../XX.csv", "../二.csv".encode("gbk")))
    one, two = tables(path)
    assert (one.name, two.name) == ("一", "二")
    assert (one.recipe.member, one.source.name) == ("x/一.csv", "a.zip")
    assert [t.accounting.rows_loaded for t in (one, two)] == [2, 1]
    (picked,) = tables(path, Recipe(member="x/一.csv"))
    assert picked.name == "一"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "work"]


def test_bombs_and_archives_in_archives_are_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("z.csv", b"0" * (80 * 1024 * 1024))
    many = tmp_path / "many.zip"
    with zipfile.ZipFile(many, "w") as archive:
        for i in range(1001):
            archive.writestr(f"{i}.csv", "a,b\n")
    nested = tmp_path / "nested.zip"
    with zipfile.ZipFile(nested, "w") as archive:
        archive.writestr("in.zip", many.read_bytes())
    wanted = {bomb: "reading.archive_limits", many: "reading.archive_limits", nested: "reading.unsupported"}
    for path, code in wanted.items():
        with pytest.raises(UserError) as refused:
            tables(path)
        assert refused.value.code == code


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "locked.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "a,b\n1,2\n")
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UserError) as refused:
        tables(path)
    assert refused.value.code == "reading.encrypted"


def test_inspect_gives_the_document_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("编号,值\n000001,甲\n000002,-\n坏\n", encoding="utf-8")
    document = json.loads(json.dumps(inspect(path).as_dict(), ensure_ascii=False))
    (table,) = document["tables"]
    assert (table["name"], table["rows"], table["rejected_rows"]) == ("t", 2, 1)
    source = table["source"]
    assert (source["file"], source["encoding"], source["delimiter"], source["sheet"], source["header_row"]) == (
        "t.csv", "utf-8", ",", None, 1,
    )  # fmt: skip
    first, second = table["columns"]
    assert (first["name"], first["type"], first["missing"], first["distinct"]) == ("编号", "text", 0, 2)
    assert (second["missing"], second["distinct"]) == (1, 1)
    assert {"code", "detail"} <= set(table["findings"][0])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        inspect(tmp_path / "none.csv")
    assert refused.value.code == "reading.not_a_file"


def test_a_value_far_down_in_a_column_without_a_name_is_kept_and_told(tmp_path: Path) -> None:
    """The sample of 5,000 rows shows the last column empty; what comes later must not be lost."""
    import xlsxwriter

    path = tmp_path / "t.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["编号", "名称"])
        for i in range(1, 6001):
            sheet.write_row(i, 0, [f"k{i}", f"甲{i}"])
        sheet.write(5500, 2, "补充说明")
    (table,) = read(path, work=tmp_path / "work")
    last = table.recipe.columns[-1].name
    assert (len(table.columns), table.accounting.rows_loaded) == (3, 6000)
    assert pl.read_parquet(table.text_parquet)[last].drop_nulls().to_list().count("补充说明") == 1
    assert "ghost_column_kept" in {f.code for f in table.findings}
