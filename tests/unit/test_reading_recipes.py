"""A stored recipe and the next delivery: harmless changes are adapted to and told, all others stop with their names."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter

from pipelines.reading import Recipe, TableReading, read, typed
from pipelines.reading.fit import fit
from pipelines.reading.recipe import document_of, recipes_of
from policies.text import UserError

HEAD = "编号,姓名,区,人数,日期\n"


def body(n: int = 30) -> str:
    return "".join(f"{i:06d},居民{i},东湖区,{i + 1},2025-03-{i % 28 + 1:02d}\n" for i in range(n))


def codes(reading: TableReading) -> set[str]:
    return {f.code for f in reading.findings} | {f.code for c in reading.columns for f in c.findings}


def first(reading: TableReading) -> dict[str, Any]:
    return dict(pl.read_parquet(typed(reading)).row(0, named=True))


Deliver = Callable[..., TableReading]


@pytest.fixture
def deliver(tmp_path: Path) -> Deliver:
    """Read one file under a recipe, which goes through its JSON form as it does when stored."""

    def run(data: bytes | str, recipe: Recipe | None = None, name: str = "t.csv") -> TableReading:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        kept = Recipe.model_validate_json(recipe.model_dump_json(exclude_defaults=True)) if recipe else None
        (reading,) = read(path, work=tmp_path / "work", recipe=kept)
        reading.accounting.balance()
        return reading

    return run


def swapped(text: str) -> str:
    """The second and the fourth column change places."""
    rows = [line.split(",") for line in text.splitlines()]
    return "".join(",".join([r[0], r[3], r[2], r[1], r[4]]) + "\n" for r in rows)


ADAPTED: list[tuple[str, bytes | str, set[str]]] = [
    ("the same layout again", HEAD + body(10), set()),
    ("another order of columns", swapped(HEAD + body(30)), {"recipe_columns_reordered"}),
    ("GB18030 instead of UTF-8", (HEAD + body()).encode("gb18030"), {"recipe_encoding"}),
    ("UTF-16 instead of UTF-8", (HEAD + body()).encode("utf-16"), {"recipe_encoding"}),
    ("title lines above", f"示范市居民表\n导出人：信息科\n{HEAD}{body()}", {"recipe_header_moved", "title_rows"}),
    ("blanks and width in names", "编号, 姓名,区,人 数,日期\n" + body(), {"recipe_column_respelled"}),
    ("a delimiter at every end", HEAD.replace("\n", ",\n") + body().replace("\n", ",\n"), {"ghost_column"}),
    ("another line end", (HEAD + body()).replace("\n", "\r\n"), {"line_ends_changed"}),
    ("a footer", HEAD + body() + "合计,,,465,\n", {"footer_rows"}),
    ("few values that do not fit", HEAD + body(30).replace(",7,2025", ",七,2025"), {"values_refused"}),
    ("a header and no rows", HEAD, {"header_only"}),
]


@pytest.mark.parametrize(("data", "told"), [c[1:] for c in ADAPTED], ids=[c[0] for c in ADAPTED])
def test_a_harmless_change_is_adapted_to_and_told(deliver: Deliver, data: bytes | str, told: set[str]) -> None:
    stored = deliver(HEAD + body()).recipe
    reading = deliver(data, stored)
    assert told <= codes(reading)
    assert {c for c in codes(reading) if c.startswith("recipe_")} <= told
    assert {c.name: c.type for c in reading.columns} == {
        "编号": "text", "姓名": "text", "区": "text", "人数": "integer", "日期": "date"
    }  # fmt: skip
    if reading.accounting.rows_loaded:
        row = first(reading)
        assert (row["编号"], row["姓名"], row["人数"], str(row["日期"])) == ("000000", "居民0", 1, "2025-03-01")


STOPPED: list[tuple[str, str, list[tuple[str, str | None, str | None]]]] = [
    ("a new column", HEAD.replace("区", "区,街道") + body().replace("东湖区", "东湖区,长庚"),
     [("column_added", None, "街道")]),
    ("a missing column", HEAD.replace(",区", "") + body().replace(",东湖区", ""), [("column_missing", "区", None)]),
    ("a similar name", HEAD.replace("姓名", "居民姓名") + body(), [("column_renamed", "姓名", "居民姓名")]),
    ("another name in the same place", HEAD.replace("区", "行政区划") + body(),
     [("column_renamed", "区", "行政区划")]),
    ("one came, another went",
     "编号,姓名,人数,日期,手机\n" + "".join(f"{i},甲{i},{i},2025-01-01,备{i}\n" for i in range(30)),
     [("column_missing", "区", None), ("column_added", None, "手机")]),
    ("semicolons", (HEAD + body()).replace(",", ";"), [("delimiter", ",", ";")]),
    ("tabs", (HEAD + body()).replace(",", "\t"), [("delimiter", ",", "'\\t'")]),
    ("no header", body(), [("header_gone", None, None)]),
    ("words in a column of numbers", HEAD + body().replace("东湖区,1", "东湖区,约1"),
     [("column_values", "integer", "36.7%")]),
    ("decimals in a column of integers", HEAD + body().replace(",2025", ".5,2025"),
     [("column_values", "integer", "100.0%")]),
    ("JSON", "".join(json.dumps({"编号": i, "姓名": "甲"}) + "\n" for i in range(9)),
     [("format", "csv", "ndjson")]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), [c[1:] for c in STOPPED], ids=[c[0] for c in STOPPED])
def test_a_change_that_leaves_a_doubt_stops_and_names_the_difference(
    deliver: Deliver, tmp_path: Path, text: str, wanted: list[tuple[str, str | None, str | None]]
) -> None:
    stored = deliver(HEAD + body()).recipe
    for folder in (tmp_path / "work").iterdir():
        folder.rename(tmp_path / f"kept-{folder.name}")
    with pytest.raises(UserError) as stopped:
        deliver(text, stored)
    assert stopped.value.code == "reading.recipe_mismatch"
    differences = stopped.value.detail["differences"]
    assert [(d["kind"], d["was"], d["now"]) for d in differences] == wanted
    for one in wanted:
        assert all(name.strip("'") in stopped.value.text.zh for name in one[1:] if name and "\\" not in name)
    assert stopped.value.fix is not None
    assert not list((tmp_path / "work").iterdir())


def test_without_a_header_the_number_of_columns_must_hold(deliver: Deliver) -> None:
    stored = deliver("1,甲,5\n2,乙,6\n3,丙,7\n").recipe.model_copy(update={"names": ("编号", "名称", "数")})
    stored = stored.model_copy(update={"columns": ()})
    assert [c.name for c in deliver("4,甲,5\n5,乙,6\n", stored).columns] == ["编号", "名称", "数"]
    for text, kind in (
        ("4,甲,5,x\n5,乙,6,y\n6,丙,7,z\n", "column_count"), ("编号,名称,数\n4,甲,5\n", "header_appeared"),
    ):  # fmt: skip
        with pytest.raises(UserError) as stopped:
            deliver(text, stored)
        assert [d["kind"] for d in stopped.value.detail["differences"]] == [kind]


def test_a_header_of_two_lines_is_found_again_below_a_title(deliver: Deliver) -> None:
    text = "地区,人口,,产值\n,男,女,\n" + "".join(f"区{i},{i},{i + 1},{i}.5\n" for i in range(9))
    stored = deliver(text).recipe
    assert stored.header_names == ("地区", "人口/男", "人口/女", "产值")
    reading = deliver("示范市\n" + text, stored)
    assert [c.name for c in reading.columns] == list(stored.header_names)
    assert reading.accounting.rows_loaded == 9


def test_names_that_the_operator_gave_hold_for_the_next_delivery(deliver: Deliver) -> None:
    text = "编号,数量,数量\n1,2,3\n4,5,6\n7,8,9\n"
    stored = deliver(text).recipe
    renamed = stored.model_copy(update={"names": ("编号", "本期", "上期"), "columns": ()})
    assert [c.name for c in deliver(text, renamed).columns] == ["编号", "本期", "上期"]
    following = deliver("编号,数量,数量\n7,8,9\n", deliver(text, renamed).recipe)
    assert first(following) == {"编号": 7, "本期": 8, "上期": 9}
    assert following.recipe.header_names == ("编号", "数量", "数量_2")


HINTS: list[tuple[str, str, dict[str, Any], list[str], int]] = [
    ("the delimiter", "a|b,c\n1|2,3\n4|5,6\n", {"delimiter": "|"}, ["a", "b,c"], 2),
    ("the header row", "甲,乙,丙\n编号,名称,数\n1,x,2\n3,y,4\n", {"header_row": 2}, ["编号", "名称", "数"], 2),
    ("lines to skip", "甲,乙,丙\n编号,名称,数\n1,x,2\n3,y,4\n", {"skip": 2}, ["编号", "名称", "数"], 2),
    ("that there is no header", "甲,乙\n丙,丁\n", {"header": False}, ["column_1", "column_2"], 2),
    ("names", "1,甲\n2,乙\n", {"names": ["编号", "名"]}, ["编号", "名"], 2),
    ("names instead of a header one short", "名,数\n1,甲,3\n5,乙,6\n",
     {"header": False, "skip": 1, "names": ["编号", "名", "数"]}, ["编号", "名", "数"], 2),
]  # fmt: skip


@pytest.mark.parametrize(("text", "hints", "names", "rows"), [c[1:] for c in HINTS], ids=[c[0] for c in HINTS])
def test_a_partial_recipe_is_obeyed(
    deliver: Deliver, text: str, hints: dict[str, Any], names: list[str], rows: int
) -> None:
    reading = deliver(text, Recipe.model_validate(hints))
    assert [c.name for c in reading.columns] == names
    assert (reading.accounting.rows_loaded, reading.accounting.rows_quarantined) == (rows, 0)


def test_types_and_missing_spellings_of_a_recipe_are_obeyed_on_its_own_file(deliver: Deliver) -> None:
    text = "编号,数\n1,5\n2,无数据\n3,7\n4,8\n"
    stored = deliver(text).recipe.model_dump(mode="json")
    stored["columns"] = [{"name": "编号", "type": "text", "role": "code"},
                         {"name": "数", "type": "integer", "missing": ["", "无数据"]}]  # fmt: skip
    reading = deliver(text, Recipe.model_validate(stored))
    assert [(c.name, c.type, c.missing) for c in reading.columns] == [("编号", "text", 0), ("数", "integer", 1)]


def test_more_digits_than_the_scale_are_never_rounded_away(deliver: Deliver) -> None:
    recipe = Recipe.model_validate({"columns": [{"name": "价", "type": "decimal", "precision": 6, "scale": 2}]})
    reading = deliver("编号,价\n1,1.25\n2,1.239\n3,1.500\n", recipe)
    values = pl.read_parquet(typed(reading))["价"].to_list()
    assert [str(v) if v is not None else None for v in values] == ["1.25", None, "1.50"]
    assert reading.values_parquet is not None
    assert pl.read_parquet(reading.values_parquet)["raw"].to_list() == ["1.239"]


def test_json_is_held_to_its_keys_and_its_list_in_any_order(deliver: Deliver) -> None:
    def page(path: str, *keys: str) -> str:
        return json.dumps({path: [dict.fromkeys(keys, str(i)) for i in range(5)]})

    stored = deliver(page("data", "a", "b"), name="p.json").recipe
    assert not {c for c in codes(deliver(page("data", "b", "a"), stored, "p.json")) if c.startswith("recipe")}
    for text, kinds in (
        (page("data", "a", "c", "d"), {"column_missing", "column_added"}), (page("rows", "a", "b"), {"json_path"}),
    ):  # fmt: skip
        with pytest.raises(UserError) as stopped:
            deliver(text, stored, "p.json")
        assert {d["kind"] for d in stopped.value.detail["differences"]} == kinds


def workbook(*sheets: tuple[str, list[list[Any]]]) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        for name, rows in sheets:
            sheet = book.add_worksheet(name)
            for i, row in enumerate(rows):
                sheet.write_row(i, 0, row)
    return out.getvalue()


ROWS: list[list[Any]] = [["编号", "名称", "人数"], *[[f"A{i}", f"第{i}小学", i] for i in range(9)]]


def test_a_sheet_may_be_called_otherwise_only_where_there_is_one(deliver: Deliver) -> None:
    stored = deliver(workbook(("一月", ROWS)), name="b.xlsx").recipe
    again = deliver(workbook(("二月", [["名单"], *ROWS])), stored, "b.xlsx")
    assert {"recipe_sheet_renamed", "recipe_header_moved"} <= codes(again)
    assert (again.recipe.sheet, again.accounting.rows_loaded) == ("二月", 9)
    with pytest.raises(UserError) as stopped:
        deliver(workbook(("二月", ROWS), ("三月", ROWS)), stored, "b.xlsx")
    assert stopped.value.detail["differences"] == [
        {"kind": "sheet", "column": None, "was": "一月", "now": "二月、三月"}
    ]
    beside = deliver(workbook(("一月", ROWS), ("说明", [["甲", "乙"], [1, 2]])), stored, "b.xlsx")
    assert "parts_not_read" in codes(beside)


def archive(**members: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, text in members.items():
            made.writestr(name.replace("_csv", ".csv").replace("_txt", ".txt"), text)
    return out.getvalue()


def test_a_member_may_be_called_otherwise_only_where_there_is_one(deliver: Deliver) -> None:
    stored = deliver(archive(m1_csv=HEAD + body()), name="a.zip").recipe
    again = deliver(archive(m2_csv=HEAD + body(5)), stored, "a.zip")
    assert "recipe_member_renamed" in codes(again)
    assert (again.recipe.member, again.accounting.rows_loaded) == ("m2.csv", 5)
    with pytest.raises(UserError) as stopped:
        deliver(archive(m2_csv=HEAD + body(5), m3_csv=HEAD + body(5)), stored, "a.zip")
    assert [d["kind"] for d in stopped.value.detail["differences"]] == ["member"]


def test_a_readme_beside_the_data_is_named_and_not_read(deliver: Deliver) -> None:
    reading = deliver(archive(readme_txt="本压缩包含居民表\n", m1_csv=HEAD + body()), name="a.zip")
    assert reading.accounting.rows_loaded == 30
    assert "parts_not_read" in codes(reading)


def test_recipes_of_several_tables_go_through_one_document(tmp_path: Path) -> None:
    path = tmp_path / "b.xlsx"
    path.write_bytes(workbook(("学校", ROWS), ("说明", [["项目", "值"], ["甲", 1], ["乙", 2]])))
    tables = read(path, work=tmp_path / "work")
    document = json.loads(json.dumps(document_of([t.recipe for t in tables])))
    assert [t["sheet"] for t in document["tables"]] == ["学校", "说明"]
    document["tables"][0]["columns"][2]["type"] = "decimal"
    document["tables"].reverse()
    again = read(path, work=tmp_path / "work", recipe=recipes_of(document))
    assert [t.recipe.sheet for t in again] == ["说明", "学校"]
    assert [c.type for c in again[1].columns] == ["text", "text", "decimal"]


def test_fit_compares_two_recipes_and_nothing_else() -> None:
    stored = Recipe(format="csv", header=True, header_row=1, header_names=("编号", "姓名", "备注"), delimiter=",")
    found = Recipe(format="csv", header=True, header_row=1, names=("编号", "备注", "姓 名"), delimiter=",")
    assert [(d.kind, d.harmless) for d in fit(stored, found)] == [
        ("column_respelled", True), ("columns_reordered", True),
    ]  # fmt: skip
    assert fit(stored, found.model_copy(update={"names": stored.header_names})) == ()
