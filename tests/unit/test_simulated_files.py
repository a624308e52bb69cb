"""Files of simulated rows: bytes, encodings, marks, cells that are no formulas, read back by independent programs."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pyarrow.parquet as pq
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.text import Text
from synthetic.ddl import DIALECTS, create_table
from synthetic.fields import Field
from synthetic.formats import FORMATS, Subject, neutral, write_all
from synthetic.preview import BINS, MOST_LABELS, distributions
from tests.postgres import PostgresServer

ID = "449900199001011234"
HOSTILE = ["=cmd|' /C calc'!A0", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "＝1+1", "𠮷野家", '引"号,逗'] * 3
NAME = "门诊'; DROP TABLE x; --"


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    n = len(HOSTILE)
    return pl.DataFrame({
        "文本": HOSTILE, "证号": [ID] * n, "带符号": ["-12.5", "+8613800000000", "+1e5", None] * (n // 4),
        "长整数": [2**60, -3, None] * (n // 3), "小数": [1.5, float("inf"), float("nan"), None] * (n // 4),
        "金额": [Decimal("12.30")] * n, "日期": [date(1800, 1, 1), date(2024, 1, 2)] * (n // 2),
        "时间": [datetime(2024, 1, 1, 8, 30)] * n, "=是否": [True, None] * (n // 2),
    }, schema_overrides={"金额": pl.Decimal(10, 2)})  # fmt: skip


@pytest.fixture(scope="module")
def subject(frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """Two Parquet files, as the lake may keep them."""
    folder = tmp_path_factory.mktemp("lake")
    half = frame.height // 2
    files = []
    for place, part in enumerate((frame[:half], frame[half:])):
        files.append(str(folder / f"{place}.parquet"))
        part.write_parquet(files[-1])
    word = {"zh": "词", "en": "word"}
    said = {"type": "text", "comment": "它的'说明\\", "codes": ["=1"], "meaning": word, "made": word}
    fields = [{"name": c, **said} for c in frame.columns]
    public = {"table": NAME, "mark": "仿真数据", "not_preserved": [word]}
    return Subject(files, fields, public, [(Text("行数", "rows"), "24")])


@pytest.fixture(scope="module")
def files(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_all(subject, tmp_path_factory.mktemp("files"))


def test_the_same_rows_give_the_same_bytes(subject: Subject, files: dict[str, Path], tmp_path: Path) -> None:
    again = write_all(subject, tmp_path)
    assert list(again) == list(FORMATS)
    assert {k: p.read_bytes() for k, p in again.items()} == {k: p.read_bytes() for k, p in files.items()}


def test_csv_has_its_mark_of_encoding_and_every_row_once(files: dict[str, Path], frame: pl.DataFrame) -> None:
    content = files["csv"].read_bytes()
    assert content.startswith(b"\xef\xbb\xbf") and content.count(b"\xef\xbb\xbf") == 1
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert len(rows) == frame.height + 1
    assert [r[1] for r in rows[1:]] == [ID] * frame.height
    assert rows[1][7] == "2024-01-01 08:30:00"


def test_gb18030_is_the_same_text(files: dict[str, Path]) -> None:
    content = files["csv-gb18030"].read_bytes()
    assert content.decode("gb18030") == files["csv"].read_text(encoding="utf-8-sig")
    with pytest.raises(UnicodeDecodeError):
        content.decode("utf-8")


@pytest.mark.parametrize("key", ["csv", "csv-gb18030"])
def test_no_cell_of_a_csv_is_a_formula(files: dict[str, Path], key: str) -> None:
    text = files[key].read_bytes().decode("utf-8-sig" if key == "csv" else "gb18030")
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    assert [c for c in cells if c[:1] in "=@\t＝" and c] == []
    assert {c for c in cells if c[:1] in ("+", "-")} == {"-12.5", "+8613800000000", "+1e5", "-3"}


@pytest.mark.parametrize(
    ("text", "kept"),
    [("-12.5", True), ("+8613800000000", True), ("1+1", True), ("", True), ("a=b", True), ("=1", False), ("-", False),
     ("-1-1", False), ("+cmd|x", False), ("@x", False), ("\r=1", False), ("＋1", False)],
)  # fmt: skip
def test_what_counts_as_a_formula(text: str, kept: bool) -> None:
    assert neutral(text) == (text if kept else f"'{text}")


@given(st.text(max_size=20))
@settings(max_examples=200, deadline=None)
def test_a_neutral_cell_stays_neutral_and_can_be_undone(text: str) -> None:
    made = neutral(text)
    assert neutral(made) == made
    assert made.removeprefix("'" if made != text else "") == text


def test_workbook_keeps_identifiers_as_text_and_runs_nothing(files: dict[str, Path], frame: pl.DataFrame) -> None:
    book = openpyxl.load_workbook(files["xlsx"])
    assert book.sheetnames == ["仿真数据", "数据", "字段"]
    sheet = book["数据"]
    rows = list(sheet.iter_rows())
    assert [c.value for c in rows[0]] == frame.columns
    assert {c.data_type for row in rows for c in row} <= {"s", "n", "d", "b"}, "no cell is a formula"
    first = dict(zip(frame.columns, rows[1], strict=True))
    assert (first["证号"].value, first["证号"].data_type) == (ID, "s")
    assert (first["长整数"].value, first["长整数"].data_type) == (str(2**60), "s"), "a spreadsheet keeps 15 digits only"
    assert (first["金额"].value, first["日期"].value) == (12.3, "1800-01-01")
    assert (rows[2][6].value, rows[1][7].value) == (datetime(2024, 1, 2), datetime(2024, 1, 1, 8, 30))
    assert [rows[n][0].value for n in range(1, 7)] == HOSTILE[:6]
    assert all(rows[n][0].quotePrefix for n in range(1, 7)), "editing such a cell does not wake it"
    with zipfile.ZipFile(files["xlsx"]) as inside:
        sheets = [n for n in inside.namelist() if n.startswith("xl/worksheets/sheet")]
        assert not any(re.search(rb"<f[ >]", inside.read(n)) for n in sheets)


def test_workbook_begins_with_what_it_is(files: dict[str, Path]) -> None:
    book = openpyxl.load_workbook(files["xlsx"])
    cover = "\n".join(str(c.value) for row in book["仿真数据"].iter_rows() for c in row if c.value)
    assert "不对应任何真实的人或单位" in cover
    assert "仿真数据" in str(book.properties.title) and "仿真数据" in str(book.properties.keywords)


def test_parquet_has_the_values_as_they_are_and_the_mark(files: dict[str, Path], frame: pl.DataFrame) -> None:
    table = pq.read_table(files["parquet"])
    assert pl.DataFrame(pl.from_arrow(table)).equals(frame)
    facts = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
    assert (facts["mark"], facts["simulated"]) == ("仿真数据", "true")
    assert json.loads(facts["manifest"])["mark"] == "仿真数据"


def test_a_workbook_that_cannot_hold_the_rows_is_left_out(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setitem(FORMATS, "xlsx", replace(FORMATS["xlsx"], most_rows=3))  # type: ignore[arg-type]
    assert "xlsx" not in write_all(subject, tmp_path)


# ---- DDL ----

names = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=12).filter(lambda s: s.strip() != "")


@given(st.sampled_from(sorted(DIALECTS)), names, st.dictionaries(names, names, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_hostile_name_or_comment_stays_a_name_or_a_comment(dialect: str, table: str, columns: dict[str, str]) -> None:
    """sqlglot, which knows nothing of our quoting, sees one table and comments, and nothing else."""
    schema = dict.fromkeys(columns, pl.String())
    made = create_table(table, schema, {}, columns, "仿真数据", DIALECTS[dialect])
    found = [s for s in sqlglot.parse(made, read="postgres" if dialect == "postgresql" else "mysql") if s]
    assert type(found[0]).__name__ == "Create"
    assert {type(s).__name__ for s in found[1:]} <= {"Comment"}
    assert len(list(found[0].find_all(sqlglot.exp.ColumnDef))) == len(columns)


@pytest.mark.postgres
def test_postgresql_takes_the_statement_with_every_comment(files: dict[str, Path], postgres: PostgresServer) -> None:
    import psycopg

    text = files["ddl-postgresql"].read_text(encoding="utf-8")
    with psycopg.connect(postgres.fresh_database().replace("+psycopg", "")) as connection:
        connection.execute(text)  # type: ignore[arg-type]
        said = connection.execute(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod), col_description(a.attrelid, a.attnum) "
            "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relname = %s AND a.attnum > 0 "
            "ORDER BY a.attnum", (NAME,)
        ).fetchall()  # fmt: skip
    assert [s[0] for s in said] == ["文本", "证号", "带符号", "长整数", "小数", "金额", "日期", "时间", "=是否"]
    assert [s[1] for s in said] == [
        "character varying(50)", "character varying(50)", "character varying(50)", "bigint", "double precision",
        "numeric(18,2)", "date", "timestamp without time zone", "boolean",
    ]  # fmt: skip
    assert {s[2] for s in said} == {"它的'说明\\"}


# ---- distributions ----


def field(name: str, dtype: Any, semantic: str, **more: Any) -> Field:
    return Field(name, dtype, semantic, level=2, **more)


def test_distributions_count_every_row_once() -> None:
    n = 1000
    made = pl.DataFrame({
        "年龄": [i % 100 for i in range(n)], "费用": [i * 0.37 for i in range(n - 1)] + [None],
        "日期": [date(2024, 1, 1 + i % 28) for i in range(n)], "区": [f"区{i % 20}" for i in range(n)],
        "等级": [i % 3 for i in range(n)], "姓名": [f"人{i}" for i in range(n)],
    })  # fmt: skip
    fields = [
        field("年龄", "integer", "number"), field("费用", "decimal", "amount"), field("日期", "date", "date"),
        field("区", "text", "category"), field("等级", "integer", "category"), field("姓名", "text", "person_name"),
    ]  # fmt: skip
    found = {d["name"]: d for d in distributions(made, fields)}
    for name in ("年龄", "费用", "日期"):
        assert found[name]["kind"] == "bins"
        assert len(found[name]["bins"]) <= BINS
        assert sum(b[2] for b in found[name]["bins"]) == n - found[name]["missing"]
    assert (found["年龄"]["smallest"], found["年龄"]["largest"]) == (0, 99)
    assert {b[2] for b in found["年龄"]["bins"]} == {50}, "equal values, equal bars"
    assert found["区"]["labels"][0][1] == 50 and len(found["区"]["labels"]) == MOST_LABELS
    assert sum(c for _, c in found["区"]["labels"]) + found["区"]["others"] == n
    assert found["等级"]["labels"] == [["0", 334], ["1", 333], ["2", 333]]
    assert found["姓名"] == {"name": "姓名", "type": "text", "rows": n, "missing": 0, "distinct": n, "kind": "values",
                            "examples": ["人0", "人1", "人2"]}  # fmt: skip
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    "values",
    [[None, None], [float("inf")] * 30 + [1.0], [2**60 + i for i in range(40)], [7] * 9,
     [float("inf"), float("-inf"), float("nan"), *(n / 3 for n in range(40))]],
)  # fmt: skip
def test_odd_columns_have_a_distribution(values: list[Any]) -> None:
    column = pl.Series("x", values, dtype=pl.Float64 if any(isinstance(v, float) for v in values) else pl.Int64)
    (found,) = distributions(column.to_frame(), [field("x", "decimal", "number")])
    assert found["missing"] + sum(b[-1] for b in found.get("bins", found.get("labels", []))) <= len(values)
    json.dumps(found, allow_nan=False)
