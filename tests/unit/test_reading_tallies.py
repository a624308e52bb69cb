"""Columns stored by code are looked at once a value: the answers are those of looking at every cell."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.reading.recipe import Recipe
from pipelines.reading.tallies import number_of, tallies
from pipelines.reading.types import infer

ROWS = 6000
VALUES: dict[str, list[str | None]] = {
    "登记日期": ["2024-02-29", "2023-2-1", "-", None, " 2022-12-31", "2021-02-30"],
    "变更时间": ["2024-01-02 00:00:00", "2024/1/2 08:30", "暂无", "2024-01-02T01:02:03"],
    "占比": ["12.5%", "３％", "0%", "NA", "1,000.25%"],
    "金额": ["1,234.50", "7", "-3.25", "", "100万元", "n/a"],
    "人数": ["1", "25", "NA", None, "25 "],
    "状态": ["正常", "注销", "无", "多行\n文字", "未知"],
    "是否": ["是", "否", None],
    "日月": ["1/2/2020", "13/2/2020", "31/12/1999"],
    "长码": ["440101199001011234", "91440101MA5A", "0012"],
}


def _table(rows: int = ROWS) -> pa.Table:
    rng = random.Random(20260101)
    cells = {name: [rng.choice(values) for _ in range(rows)] for name, values in VALUES.items()}
    return pa.table({name: pa.array(column, pa.string()) for name, column in cells.items()})


def _stored(folder: Path, table: pa.Table, *, by_code: bool) -> Path:
    path = folder / f"{by_code}.parquet"
    pq.write_table(table, path, use_dictionary=by_code, row_group_size=1700)
    return path


def test_a_tally_counts_every_cell_of_every_row_group_the_empty_ones_too(tmp_path: Path) -> None:
    table = _table()
    found = tallies(_stored(tmp_path, table, by_code=True), table.column_names)
    assert found.keys() == VALUES.keys()
    for name, tally in found.items():
        counted = dict(tally.select(name, number_of(name)).iter_rows())
        assert counted == Counter(table.column(name).to_pylist())


def test_columns_of_many_values_and_those_stored_as_they_are_have_no_tally(tmp_path: Path) -> None:
    many = pa.table({"流水号": pa.array([f"T{i}" for i in range(ROWS)]), "数": pa.array([1] * ROWS, pa.int64())})
    assert tallies(_stored(tmp_path, many, by_code=True), many.column_names) == {}
    assert tallies(_stored(tmp_path, _table(), by_code=False), list(VALUES)) == {}


def test_only_the_columns_that_were_named_are_counted(tmp_path: Path) -> None:
    assert list(tallies(_stored(tmp_path, _table(), by_code=True), ["状态"])) == ["状态"]


def test_a_table_without_rows_has_none(tmp_path: Path) -> None:
    assert tallies(_stored(tmp_path, _table(0), by_code=True), list(VALUES)) == {}


@pytest.mark.parametrize("rows", [ROWS, 240_000], ids=["distinct values exactly", "distinct values about"])
def test_types_and_profiles_do_not_depend_on_how_a_column_is_stored(tmp_path: Path, rows: int) -> None:
    table = _table(rows)
    told = [infer(_stored(tmp_path, table, by_code=by_code), Recipe(), {}) for by_code in (True, False)]
    assert told[0] == told[1]
    assert {c.type for c in told[0][0].columns} > {"text", "date", "timestamp", "integer", "boolean"}


def test_a_file_is_typed_by_value_as_it_would_be_cell_by_cell(tmp_path: Path) -> None:
    from pipelines.reading import read, typed
    from pipelines.reading.values import converted

    rng = random.Random(7)
    dates = ["2024-02-29", "2023-2-1", "-", "2021-12-31"]
    lines = [f"{i},{rng.choice(dates)},{rng.choice(['12.5%', '3%', 'NA'])},{rng.choice('甲乙')}" for i in range(ROWS)]
    path = tmp_path / "table.csv"
    path.write_text("编号,登记日期,占比,类别\n" + "\n".join(lines) + "\n")
    (reading,) = read(path, work=tmp_path / "work")
    assert set(tallies(reading.text_parquet, ["登记日期", "占比"])) == {"登记日期", "占比"}
    cell_by_cell = pl.read_parquet(reading.text_parquet).select(converted(c) for c in reading.recipe.columns)
    by_value = pl.read_parquet(typed(reading))
    assert by_value.schema == cell_by_cell.schema
    assert by_value.equals(cell_by_cell)
    assert by_value["登记日期"].null_count() == sum(",-," in line for line in lines)
