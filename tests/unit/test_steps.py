"""Steps: what is remembered is plain data under a key of all it depends on; what may pass by itself is waited for."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy.exc import OperationalError

from pipelines.landed import Landed
from pipelines.reading import read
from policies.text import Text, UserError
from sandbox.detection import ColumnTally, TableScan, scan_column, scan_table, summarise
from sandbox.kernel.steps import Here, Kept, Step, key_of, may_pass

TABLE = pl.DataFrame(
    {
        "身份证号": [f"44010619900101{n:04d}" for n in range(300)],
        "经度": [f"113.{n:05d}" for n in range(300)],
        "纬度": [f"23.{n:05d}" for n in range(300)],
        "备注": [f"第{n}号" for n in range(300)],
    }
)


def through(kept: Kept[object], value: object) -> object:
    """The value as an executor would keep it and give it back."""
    return kept.load(json.loads(json.dumps(kept.dump(value))))


def test_what_landed_comes_back_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("名称,数量,日期\n甲,1,2026-01-02\n乙,-,2026/1/3\n", encoding="utf-8")
    (reading,) = read(file, work=tmp_path / "work")
    landed = Landed.of(reading, 3, 7, None)
    assert through(Kept("k", Landed), landed) == landed  # type: ignore[arg-type]


def test_what_a_column_shows_comes_back_as_it_was_and_holds_no_value(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    TABLE.write_parquet(path)
    for name in TABLE.columns:
        look = scan_column([str(path)], name)
        kept = Kept("k", ColumnTally)
        assert through(kept, look) == look  # type: ignore[arg-type]
        text = json.dumps(kept.dump(look), ensure_ascii=False)
        assert [v for v in TABLE[name] if v in text] == []


@pytest.mark.parametrize("files", [1, 3])
def test_columns_scanned_apart_make_the_table_scanned_whole(tmp_path: Path, files: int) -> None:
    paths = [str(tmp_path / f"{n}.parquet") for n in range(files)]
    for n, path in enumerate(paths):
        TABLE[n * 300 // files : (n + 1) * 300 // files].write_parquet(path)
    apart = summarise({name: scan_column(paths, name) for name in TABLE.columns})
    assert apart.as_dict() == scan_table(TABLE).as_dict()
    assert [e.entity for e in apart.column("经度").decided("is")] == ["COORDINATES"]


def test_longitude_without_its_neighbour_is_only_a_number() -> None:
    assert scan_table(TABLE.select("经度").rename({"经度": "数"})).columns[0].decided("is") == []
    assert summarise({}) == TableScan(0, [])


def test_equal_facts_are_one_key_and_anything_else_is_another() -> None:
    facts = ["land", "a", {"x": 1, "y": [2]}]
    assert key_of(*facts) == key_of("land", "a", {"y": [2], "x": 1})
    others = [key_of("land", "a", {"x": 1, "y": [3]}), key_of("land", "b", {"x": 1, "y": [2]}), key_of("grade", "a")]
    assert len({key_of(*facts), *others}) == 4


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (UserError("lake.busy", Text("忙", "busy")), True),
        (UserError("source.unreachable", Text("无", "none")), True),
        (UserError("reading.one_column", Text("一列", "one")), False),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (OSError(errno.ENOSPC, "full"), False),
        (FileNotFoundError(), False),
        (OperationalError("x", {}, Exception()), True),
        (ValueError("x"), False),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, Exception) else str(v),
)
def test_only_hindrances_that_pass_by_themselves_are_waited_out(error: Exception, passes: bool) -> None:
    assert may_pass(error) is passes


def test_here_runs_every_step_in_order() -> None:
    done: list[int] = []
    assert Here().fan([Step("s", done.append, (n,)) for n in range(3)]) == [None] * 3
    assert done == [0, 1, 2]
