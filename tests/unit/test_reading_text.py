"""Dirty text tables: each kind of dirt has one right answer, and no line is ever lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from benchmarks.tables import write_dirty
from pipelines.reading import Recipe, TableReading, read
from pipelines.reading.records import Body, unclosed
from policies.text import UserError

Reader = Callable[..., TableReading]
HEAD = "编号,姓名,区,金额,日期\n"


@pytest.fixture
def table(tmp_path: Path) -> Reader:
    """Write the bytes as a file, read it, and give back its only table with the lines proven."""

    def run(data: bytes | str, name: str = "t.csv", recipe: Recipe | None = None) -> TableReading:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        (reading,) = read(path, work=tmp_path / "work", recipe=recipe)
        reading.accounting.balance()
        return reading

    return run


def rows(reading: TableReading) -> list[tuple[str | None, ...]]:
    return pl.read_parquet(reading.text_parquet).rows()


def names(reading: TableReading) -> list[str]:
    return [c.name for c in reading.columns]


def codes(reading: TableReading) -> set[str]:
    return {f.code for f in reading.findings} | {f.code for c in reading.columns for f in c.findings}


def counts(reading: TableReading) -> tuple[int, int]:
    return reading.accounting.rows_loaded, reading.accounting.rows_quarantined


def quarantine(reading: TableReading) -> pl.DataFrame:
    assert reading.quarantine_parquet is not None
    return pl.read_parquet(reading.quarantine_parquet)


def good(n: int, start: int = 0) -> list[str]:
    return [f"{i:06d},居民{i},东湖区,{i % 90 + 1}.50,2025-03-{i % 28 + 1:02d}\n" for i in range(start, start + n)]


def dirty(every: int, change: Callable[[int], str], total: int = 2000) -> tuple[str, int]:
    """A table in which every `every`-th line is replaced, and how many were."""
    lines = good(total)
    places = range(every // 2, total, every)
    for i in places:
        lines[i] = change(i)
    return HEAD + "".join(lines), len(places)


CASES: list[tuple[str, Callable[[int], str], int]] = [
    ("a newline in a quoted cell", lambda i: f'{i:06d},"居\n民",东湖区,1.50,2025-03-01\n', 0),
    ("a short row", lambda i: f"{i:06d},居民\n", 1),
    ("a long row", lambda i: f"{i:06d},居民,东湖区,1.50,2025-03-01,多,余\n", 1),
    ("unescaped quotes in a quoted cell", lambda i: f'{i:06d},"未转义"引号",东湖区,1.50,2025-03-01\n', 1),
    ("a bare quote in a plain cell", lambda i: f'{i:06d},5"屏,东湖区,1.50,2025-03-01\n', 0),
    ("doubled quotes", lambda i: f'{i:06d},"他说""好""",东湖区,1.50,2025-03-01\n', 0),
    ("a list in a quoted cell", lambda i: f'{i:06d},"甲,乙,丙",东湖区,1.50,2025-03-01\n', 0),
    ("a quote that never closes", lambda i: f'{i:06d},"居民,东湖区,1.50,2025-03-01\n', 1),
]


@pytest.mark.parametrize(("change", "refused"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_one_kind_of_dirt_costs_exactly_its_rows(
    table: Reader, change: Callable[[int], str], refused: int, ending: str, encoding: str
) -> None:
    text, hit = dirty(100, change)
    reading = table(text.replace("\n", ending).encode(encoding))
    assert counts(reading) == (2000 - hit * refused, hit * refused)
    assert names(reading) == ["编号", "姓名", "区", "金额", "日期"]
    assert "swallowed_rows" not in codes(reading)


def test_blank_lines_are_counted_and_nothing_else(table: Reader) -> None:
    text, hit = dirty(100, lambda i: "\n")
    reading = table(text + "\n\n")
    assert counts(reading) == (2000 - hit, 0)
    assert reading.accounting.blank == hit + 2


def test_a_line_that_is_not_utf8_costs_one_row_and_is_kept_in_hex(table: Reader) -> None:
    lines = [line.encode() for line in good(500)]
    lines[7] = lines[7].replace("居民".encode(), b"\xff\xfe")
    reading = table(HEAD.encode() + b"".join(lines))
    assert counts(reading) == (499, 1)
    refused = quarantine(reading).row(0, named=True)
    assert (refused["line"], refused["reason"]) == (9, "bad_encoding")
    assert bytes.fromhex(refused["raw"]) == lines[7].rstrip(b"\n")
    assert refused["byte_place"] == len(HEAD.encode()) + sum(map(len, lines[:7]))


def test_a_broken_byte_in_gb18030_costs_one_row_and_its_place_is_that_of_the_source(table: Reader) -> None:
    lines = [line.encode("gb18030") for line in good(500)]
    lines[100] = lines[100].replace("居民".encode("gb18030"), b"\x81")
    data = HEAD.encode("gb18030") + b"".join(lines)
    reading = table(data)
    refused = quarantine(reading).row(0, named=True)
    assert counts(reading) == (499, 1)
    assert refused["line"] == 102
    assert data[refused["byte_place"] :].startswith(b"000100,")


def test_everything_at_once_and_the_quarantine_names_lines_and_reasons(table: Reader) -> None:
    lines = good(3000)
    for i in range(0, 3000, 150):
        lines[i] = f"{i},短\n"
        lines[i + 20] = lines[i + 20].rstrip() + ",多\n"
        lines[i + 40] = f'{i},"坏"引号",东湖区,1,2025-01-01\n'
        lines[i + 60] = "\n"
        lines[i + 80] = f'{i:06d},"两\n行",东湖区,1.50,2025-01-01\n'
    lines[1777] = '1777,"没有结束,东湖区,1.5,2025-01-01\n'
    reading = table(HEAD + "".join(lines))
    assert counts(reading) == (3000 - 20 * 4 - 1, 61)
    assert (reading.accounting.blank, reading.accounting.continuation) == (20, 20)
    reasons = dict(quarantine(reading)["reason"].value_counts().rows())
    assert reasons == {"too_few_columns": 20, "too_many_columns": 20, "broken_quote": 21}
    kept = quarantine(reading)
    text = (HEAD + "".join(lines)).split("\n")
    assert all(text[line - 1] == raw for line, raw in kept.select("line", "raw").rows())


def test_a_very_long_cell_is_read(table: Reader) -> None:
    long = "长" * 1_000_000
    reading = table(HEAD + "".join(good(5)) + f'000005,"{long}",东湖区,1,2025-01-01\n' + "".join(good(5, 6)))
    assert counts(reading) == (11, 0)
    assert len(rows(reading)[5][1] or "") == 1_000_000


def test_a_quote_opened_in_a_large_file_loses_one_row_only(table: Reader) -> None:
    lines = good(120_000)
    lines[300] = '000300,"没有结束,东湖区,1.5,2025-01-01\n'
    reading = table(HEAD + "".join(lines))
    assert counts(reading) == (119_999, 1)


LAYOUTS: list[tuple[str, str, list[str], int, set[str]]] = [
    ("no header, numbers", "1,2.5,甲\n2,3.5,乙\n3,4.5,丙\n", ["column_1", "column_2", "column_3"], 3, {"no_header"}),
    (
        "no header, all text",
        "东湖区,男,甲\n西山区,女,乙\n东湖区,女,甲\n西山区,男,乙\n",
        ["column_1", "column_2", "column_3"],
        4,
        {"no_header"},
    ),
    ("header over all text", "街道名称,所属区\n长庚街道,东湖区\n桂花街道,西山区\n", ["街道名称", "所属区"], 2, set()),
    (
        "years as columns",
        "地区,2019,2020,2021\n甲,1.5,2.5,3.5\n乙,4.5,5.5,6.5\n",
        ["地区", "2019", "2020", "2021"],
        2,
        set(),
    ),
    (
        "title, blank line, footer",
        "示范市统计表\n\n区,人数,金额\n东湖区,5,1.5\n西山区,6,2.5\n合计,11,\n注：数据来源于示范市\n",
        ["区", "人数", "金额"],
        2,
        {"title_rows", "footer_rows", "blank_rows"},
    ),
    (
        "sections",
        "序号,名称,数\n东湖区（2所）,,\n1,甲,5\n2,乙,6\n西山区（1所）\n3,丙,7\n4,丁,8\n5,戊,9\n",
        ["序号", "名称", "数"],
        5,
        {"section_rows"},
    ),
    ("repeated header", "编号,数\n1,5\n2,6\n编号,数\n3,7\n4,8\n", ["编号", "数"], 4, {"repeated_headers"}),
    ("semicolons in text", "编号,备注\n1,甲;乙\n2,丙;丁\n3,戊;己\n", ["编号", "备注"], 3, set()),
    (
        "two delimiters as regular as each other",
        "1|a,b,c|d,e\n2|f,g,h|i,j\n3|k,l,m|n,o\n",
        ["column_1", "column_2", "column_3"],
        3,
        {"no_header"},
    ),
    ("tabs", "编号\t名称\t数\n1\t甲\t5\n2\t乙\t6\n", ["编号", "名称", "数"], 2, set()),
    ("control-A", "编号\x01名称\x01数\n1\x01甲\x015\n2\x01乙\x016\n", ["编号", "名称", "数"], 2, set()),
    (
        "a delimiter at every end",
        "1|甲|5|\n2|乙|6|\n3|丙|7|\n",
        ["column_1", "column_2", "column_3"],
        3,
        {"ghost_column"},
    ),
    (
        "a header of two lines",
        "地区,人口,,产值\n,男,女,\n甲,1,2,3\n乙,4,5,6\n丙,7,8,9\n",
        ["地区", "人口/男", "人口/女", "产值"],
        3,
        {"two_line_header"},
    ),
    (
        "names empty or twice",
        "编号,数量,数量,\n1,2,3,x\n4,5,6,y\n",
        ["编号", "数量", "数量_2", "column_4"],
        2,
        {"renamed_columns"},
    ),
    ("a row with only its id", "编号,名称,数\n1,甲,5\n2,,\n3,乙,6\n4,丙,7\n", ["编号", "名称", "数"], 4, set()),
    ("a blank after every comma", "age, class\n39, a\n40, b\n41, a\n", ["age", "class"], 3, set()),
    ("a header alone", "编号,姓名,日期\n", ["编号", "姓名", "日期"], 0, {"header_only"}),
    ("a row of commas", "编号,姓名,数\n1,甲,2\n,,\n3,乙,4\n", ["编号", "姓名", "数"], 2, {"blank_rows"}),
    ("no line end at the end", "编号,数\n1,2\n3,4", ["编号", "数"], 2, set()),
    ("quotes in the header", '"编\n号","数"\n1,2\n3,4\n', ["编 号", "数"], 2, set()),
]


@pytest.mark.parametrize(("text", "wanted", "count", "found"), [c[1:] for c in LAYOUTS], ids=[c[0] for c in LAYOUTS])
def test_layout(table: Reader, text: str, wanted: list[str], count: int, found: set[str]) -> None:
    reading = table(text)
    assert names(reading) == wanted
    assert counts(reading) == (count, 0)
    assert found <= codes(reading)
    if not found:
        assert not codes(reading) & {"no_header", "section_rows", "footer_rows", "repeated_headers", "ghost_column"}


ENCODINGS = [
    ("utf-8-sig", "utf-8"),
    ("gb18030", "gb18030"),
    ("gbk", "gb18030"),
    ("utf-16", "utf-16-le"),
    ("utf-16-le", "utf-16-le"),
    ("utf-16-be", "utf-16-be"),
]


@pytest.mark.parametrize(("encoding", "told"), ENCODINGS)
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_encodings_and_line_ends(table: Reader, encoding: str, told: str, ending: str) -> None:
    text = (HEAD + "".join(good(50)) + "短,行\n").replace("\n", ending)
    reading = table(text.encode(encoding))
    assert reading.recipe.encoding == told
    assert counts(reading) == (50, 1)
    assert rows(reading)[3][:2] == ("000003", "居民3")
    assert quarantine(reading)["line"].to_list() == [52]


def test_a_file_of_ascii_only_is_utf8(table: Reader) -> None:
    assert table("id,name\n1,a\n2,b\n").recipe.encoding == "utf-8"


def test_lone_carriage_returns_stay_in_their_cells(table: Reader) -> None:
    reading = table('编号,备注\n1,"上\r下"\n2,左\r右\n3,无\n')
    assert [r[1] for r in rows(reading)[:2]] == ["上\r下", "左\r右"]


def test_mixed_line_ends_are_one_table(table: Reader) -> None:
    reading = table('编号,备注\r\n1,甲\n2,"乙\r\n丙"\r\n3,丁\n')
    assert [r[1] for r in rows(reading)] == ["甲", "乙\n丙", "丁"]


REFUSED: list[tuple[str, bytes, str]] = [
    ("empty", b"", "reading.empty"),
    ("blank lines only", b"\n \n\n", "reading.empty"),
    ("a byte order mark only", b"\xef\xbb\xbf", "reading.empty"),
    ("one column", "甲\n乙\n丙\n丁\n".encode(), "reading.one_column"),
    ("full-width commas", "编号，姓名\n1，甲\n2，乙\n".encode(), "reading.one_column"),
    ("fixed width", b"id    name\n1     a\n22    b\n", "reading.one_column"),
    ("Big5", ("編號,姓名\n" + "1,國際經濟貿易戰略發展\n" * 40).encode("big5"), "reading.ambiguous_encoding"),
    ("Latin", ("id,nom\n" + "1,andré léger\n" * 40).encode("latin-1"), "reading.unknown_encoding"),
    (
        "Latin that GB18030 would accept",
        ("id,nom,mot\n" + "1,Mélange,théâtre\n" * 40).encode("latin-1"),
        "reading.ambiguous_encoding",
    ),
    (
        "two encodings glued",
        ("编号,姓名\n" + "1,甲乙丙\n" * 20).encode() + ("1,甲乙丙\n" * 20).encode("gb18030"),
        "reading.ambiguous_encoding",
    ),
    ("no encoding at all", b"a,b\n" + b"\xff\xfd\x80,\xfa\n" * 50, "reading.unknown_encoding"),
    ("binary", bytes(range(256)) * 20, "reading.unsupported"),
    ("PDF", b"%PDF-1.7\n...", "reading.unsupported"),
    ("gzip", b"\x1f\x8b\x08\x00abc", "reading.unsupported"),
    (
        "an encrypted workbook",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le"),
        "reading.encrypted",
    ),
    ("a damaged workbook", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "reading.broken_file"),
    ("a damaged archive", b"PK\x03\x04 not a zip", "reading.broken_file"),
    ("mostly broken rows", HEAD.encode() + "".join(good(30) + ["坏,行\n"] * 20).encode(), "reading.too_many_refused"),
]


@pytest.mark.parametrize(("data", "code"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_refused_with_both_languages_and_a_way_out(table: Reader, data: bytes, code: str) -> None:
    with pytest.raises(UserError) as refused:
        table(data)
    assert refused.value.code == code
    assert refused.value.text.zh != refused.value.text.en
    assert refused.value.fix is not None


def test_a_recipe_settles_what_the_reader_would_not_guess(table: Reader) -> None:
    big5 = ("編號,姓名\n" + "1,國際經濟貿易戰略發展\n" * 40).encode("big5")
    assert counts(table(big5, recipe=Recipe(encoding="big5"))) == (40, 0)
    single = table("名称\n甲\n\n乙\n", recipe=Recipe(delimiter="", header=True))
    assert rows(single) == [("甲",), (None,), ("乙",)]
    with pytest.raises(UserError) as refused:
        table("编号,姓名\n1,甲\n".encode("gb18030"), recipe=Recipe(encoding="utf-16"))
    assert refused.value.code == "reading.encoding_mismatch"


def test_a_repeated_header_of_one_cell_is_no_section_as_well(table: Reader) -> None:
    """The only name of the header looks like a section's title; each of its rows is counted once, and none is lost."""
    head, records = "全市学校（8所）,,\n", "1,甲,5\n2,乙,6\n3,,7\n4,丁,\n"
    told = Recipe(header=True, header_row=1)
    reading = table(head + ("东湖区（2所）,,\n" + records + head + records) * 3, recipe=told)
    counted = reading.accounting
    assert (counted.section, counted.repeated_header, counts(reading)) == (3, 3, (24, 0))
    assert rows(reading) == [("1", "甲", "5"), ("2", "乙", "6"), ("3", None, "7"), ("4", "丁", None)] * 6


def test_the_recipe_that_was_used_reads_the_file_again_the_same_way(table: Reader) -> None:
    text = "表\n区,人数\n东湖区,5\n西山区,坏\n南屏区,6\n坏行\n"
    first = table(text)
    stored = Recipe.model_validate_json(first.recipe.model_dump_json())
    second = table(text, recipe=stored)
    assert rows(first) == rows(second)
    assert first.accounting == second.accounting
    assert first.recipe.columns == second.recipe.columns


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pipelines.reading.textfile as module

    path = tmp_path / "t.csv"
    path.write_text(HEAD + "".join(good(20)), encoding="utf-8")
    real = module.infer

    def meddling(*args: object) -> object:
        path.write_text(HEAD + "".join(good(20, 1)), encoding="utf-8")
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "infer", meddling)
    with pytest.raises(UserError) as refused:
        read(path, work=tmp_path / "work")
    assert refused.value.code == "reading.changed_while_reading"


def test_a_large_gb18030_file_is_converted_by_two_processes_to_the_same_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipelines.reading.transcode as module
    from pipelines.reading.source import survey, with_encoding

    text = HEAD + "".join(good(4000))
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("gb18030"))
    monkeypatch.setattr(module, "_TWO_PROCESSES_FROM", 1000)
    module.copy_as_utf8(with_encoding(survey(path), None), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == text.encode()


@pytest.mark.parametrize("seed", range(3))
def test_dirt_costs_exactly_the_lines_that_are_dirty(tmp_path: Path, seed: int) -> None:
    """20,000 lines with broken and unclosed quotes, ragged rows, bad bytes: every good record is loaded once."""
    path = tmp_path / "t.csv"
    sound, dirt = write_dirty(path, seed)
    (reading,) = read(path, work=tmp_path / "work", recipe=Recipe(delimiter=",", quote='"'))
    assert sorted(pl.read_parquet(reading.text_parquet)["编号"].to_list()) == sorted(sound)
    assert quarantine(reading).height == sum(dirt.values())


def test_more_refused_text_than_quarantine_takes_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pipelines.reading.records as module

    monkeypatch.setattr(module, "_MOST_REFUSED", 1000)
    path = tmp_path / "t.csv"
    path.write_text(HEAD + "".join(good(200)) + "太短,\n" + "甲" * 2000 + "\n", encoding="utf-8")
    with pytest.raises(UserError) as refused:
        read(path, work=tmp_path / "work", recipe=Recipe(delimiter=","))
    assert refused.value.code == "reading.quarantine_too_large"


def test_a_refused_record_longer_than_the_parser_tells_is_not_read_beyond_what_quarantine_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipelines.reading.records as module

    monkeypatch.setattr(module, "_MOST_REFUSED", 15_000)  # the parser tells of 10,000 bytes at most
    path = tmp_path / "t.csv"
    path.write_text(HEAD + "".join(good(200)) + "太短," + "甲" * 20_000 + "\n", encoding="utf-8")
    with pytest.raises(UserError) as refused:
        read(path, work=tmp_path / "work", recipe=Recipe(delimiter=","))
    assert refused.value.code == "reading.quarantine_too_large"


@pytest.mark.parametrize(("between", "lost"), [(199, 0), (200, 1)])
def test_an_open_quote_is_closed_within_two_hundred_lines_or_taken_alone(
    tmp_path: Path, between: int, lost: int
) -> None:
    path = tmp_path / "t.csv"
    cell = "\n".join(["说明"] * between)
    path.write_text(f'编号,说明\n1,"甲\n{cell}\n乙"\n2,丙\n', encoding="utf-8")
    found = unclosed(Body(path, len("编号,说明\n".encode()), 1, ",", '"', '"'), 2)
    assert found[:1] == [(len("编号,说明\n".encode()), len('1,"甲\n'.encode()))] * lost


def test_a_giant_cell_of_many_lines_is_a_refusal_that_keeps_no_more_errors_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipelines.reading.records as module

    monkeypatch.setattr(module, "MOST_ERRORS", 1000)
    path = tmp_path / "t.csv"
    cell = "一行文字\n" * 250_000
    path.write_text(HEAD + "".join(good(30_000)) + f'9,"{cell}",2\n' + "".join(good(200)), encoding="utf-8")
    with pytest.raises(UserError) as refused:
        read(path, work=tmp_path / "work", recipe=Recipe(delimiter=",", quote='"'))
    assert refused.value.code == "reading.quarantine_too_many"


def test_a_parser_that_takes_too_much_memory_is_interrupted_and_the_file_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipelines.reading.limits as module

    monkeypatch.setattr(module, "MOST_MEMORY", -1 << 40)
    path = tmp_path / "t.csv"
    path.write_text(HEAD + "".join(good(100)), encoding="utf-8")
    with pytest.raises(UserError) as refused:
        read(path, work=tmp_path / "work")
    assert refused.value.code == "reading.quarantine_too_many"
    assert not list((tmp_path / "work").iterdir())


def test_watching_over_memory_hides_no_other_failure() -> None:
    from pipelines.reading.limits import bounded_memory

    with pytest.raises(ZeroDivisionError), bounded_memory(lambda: None):
        raise ZeroDivisionError
