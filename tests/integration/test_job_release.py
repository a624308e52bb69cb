"""`post` at the gate and the black-box lane: statements of merchants in jails, on released values or changed data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from policies.text import UserError
from sandbox.products import blackbox, plan, post
from sandbox.products.budget import Budget, Watch
from sandbox.products.releasing import Table, declared
from sandbox.products.source import EntityKey, EvidenceError, Source
from sandbox.products.spec import JobSpec, parse
from sandbox.workspaces.selftest import selftest
from tests.workshop import LIMITS

pytestmark = pytest.mark.jail
ROWS = [("东", 1, 43, 20.25), ("西", None, 4, 10.5), ("东", None, 47, 30.0), ("西", None, 4, 10.5)]
GROUPINGS = (0, 0, 1, 1)


def job(sql: str | None, **changes: Any) -> JobSpec:
    return parse({
        "job": "收尾", "edition": 2, "inputs": {"t": {"grant": "G-1"}},
        "reference": [{"name": "city", "from": "t", "dimensions": [], "measures": {"总数": {"op": "count"}}}],
        "product": {
            "from": "t", "dimensions": ["区", "月"], "margins": [["区"]], "suppress": {"below": "policy", "as": "*"},
            "measures": {"人次": {"op": "count"}, "均": {"op": "mean", "of": "费用", "round": 1}},
        },
        "post": {"sql": sql or "SELECT 1 AS n"}, "output": {"kind": "aggregate", "format": "csv"},
    } | changes)  # fmt: skip


def finished(sql: str, tmp_path: Path, columns: list[str] | None = None, threads: int = 1) -> str:
    spec = job(sql)
    table = declared(spec, ROWS, base=5, groupings=GROUPINGS)
    rows = [(*row[:2], None, None) if n == 1 else row for n, row in enumerate(table.rows)]
    table = Table("product", spec, tuple(rows), table.groupings, table.steps, frozenset({(1, "人次"), (1, "均")}))
    city = declared(spec.reference[0], [(51,)], base=5, name="city")
    room = post.Room(replace(LIMITS, threads=threads), 64, selftest(), tmp_path / "post.jsonl")
    return post.finish(spec, table, [city], room, columns).content.decode("utf-8-sig")


def test_post_sees_released_numbers_margins_and_references(tmp_path: Path) -> None:
    made = finished("SELECT p.*, 人次 / 总数 AS 占 FROM product p, city WHERE 月 = '合计' OR 人次 IS NULL", tmp_path)
    assert made == "区,月,人次,均,占\n东,合计,45,30,0.9\n西,合计,5,10.5,0.1\n西,,,,\n"


@pytest.mark.parametrize("statement", [
    "SELECT * FROM t", "SELECT * FROM __cube", "SELECT * FROM read_parquet('/granted/0.parquet')",
    "SELECT * FROM duckdb_tables()", "SELECT * FROM nothing", "SELECT CAST(区 AS INTEGER) AS 区 FROM product",
])  # fmt: skip
def test_post_that_reads_or_does_anything_else_gives_no_file_and_no_word(statement: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"release\.post") as refused:
        finished(statement, tmp_path)
    assert "东" not in str(refused.value) + str(refused.value.detail)


def test_post_gives_the_columns_that_it_gave_on_simulated_data(tmp_path: Path) -> None:
    assert finished("SELECT 区 FROM product", tmp_path, ["区"]).startswith("区\n")
    with pytest.raises(UserError, match=r"release\.post"):
        finished("SELECT 区 FROM product", tmp_path, ["区", "月"])


def test_references_are_made_in_the_chain_and_post_reads_them_rounded() -> None:
    made = plan.stages(job("SELECT 1 AS n"), 5)
    assert [stage.reads for stage in made] == [("t",), ("product", "city")]
    assert [name for name, _ in made[0].steps] == ["city", "__cube", "product", "__shown0"]
    assert dict(made[1].given) == {"city": "__shown0"} and made[0].outputs == ("product", "__shown0")
    assert plan.step_names(job("SELECT 1 AS n")) == ["city", "product", "post"]


# --- black box -------------------------------------------------------------------------------------------------------

HONEST = "import polars as pl\nt = pl.read_parquet(tables['t'])\nresult = t.select('区', '费用')"
CRAFTED = """
import polars as pl
t = pl.read_parquet(tables['t'])
result = t.select('区', pl.when(pl.col('人') == 'P7').then(pl.col('费用')).otherwise(1000.0).alias('费用'))
"""
RANDOM = HONEST + ".with_columns(pl.lit(__import__('random').random()).alias('费用'))"


class Seen:
    """Looks on, and asks to stop once the first run has begun."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def progress(self, step: str, share: float) -> None:
        self.steps.append(step)

    def cancelled(self) -> bool:
        return bool(self.steps)


def tried(script: str, tmp_path: Path, watch: Watch | None = None, sql: str = "", **changes: Any) -> blackbox.Tried:
    duckdb.sql(
        "SELECT 'P' || (range % 120) AS 人, '区' || (range % 2) AS 区, (range * 37 % 101)::DOUBLE AS 费用"
        " FROM range(240)"
    ).write_parquet(str(tmp_path / "t.parquet"))
    step = {"name": "s", "script": script, "reads": ["t"], "columns": {"区": "text", "费用": "number"}}
    step = {"name": "s", "sql": sql} if sql else step
    cube = {"from": "s", "dimensions": ["区"], "measures": {"和": {"op": "sum", "of": "费用"}}}
    spec = job(None, prepare=[step], product=cube, reference=[])
    keys = (EntityKey("person", "人"),)
    sources = {"t": Source((str(tmp_path / "t.parquet"),), "sha256:t", keys, roles={"区": "open"})}
    room = blackbox.Room(LIMITS, 64, selftest(), tmp_path / "lane.jsonl", base=5, budget=Budget(times=1000), buckets=3)
    (one,) = blackbox.tried(spec, sources, replace(room, **changes), tmp_path, watch)
    return one


def test_an_honest_script_moves_with_every_bucket(tmp_path: Path) -> None:
    one = tried(HONEST, tmp_path)
    assert (one.buckets, one.tried, one.cells, one.fewest, one.failed, one.steady) == (3, 3, 2, 3, 0, True)
    assert one.largest is not None and 0 < one.largest < 0.9


def test_constants_for_all_but_one_person_are_seen_by_changing_values_only(tmp_path: Path) -> None:
    one = tried(CRAFTED, tmp_path)
    assert (one.removed, one.perturbed, one.fewest) == (3, 1, 1)


def test_what_is_not_steady_or_not_finished_claims_nothing(tmp_path: Path) -> None:
    assert tried(RANDOM, tmp_path).fewest is None
    stopped = tried(HONEST, tmp_path, budget=Budget(times=0.0))
    assert stopped.over_budget and (stopped.fewest, stopped.tried) == (None, 0)


FIRST = "import polars as pl\nresult = pl.read_parquet(tables['t']).head(60).select('区', '费用')"
PICKY = HONEST + "\nassert result['费用'].sum() == 11988.0, 'not the real data'"


def test_a_job_that_takes_the_first_rows_is_told_by_whose_rows_those_are(tmp_path: Path) -> None:
    assert tried(FIRST, tmp_path).steady


def test_a_job_that_only_works_on_the_real_data_has_nothing_tried(tmp_path: Path) -> None:
    one = tried(PICKY.replace("11988.0", str(float(sum(n * 37 % 101 for n in range(240))))), tmp_path)
    assert (one.tried, one.fewest) == (0, None) and one.failed >= 9


WINDOW = "SELECT 区, avg(费用) OVER (PARTITION BY 区 ORDER BY 费用 ROWS 3 PRECEDING) AS 费用 FROM t"


def test_sql_that_owners_cannot_be_carried_through_is_tried_like_a_script(tmp_path: Path) -> None:
    one = tried("", tmp_path, sql=WINDOW)
    assert (one.tried, one.fewest, one.failed) == (3, 3, 0)


def test_the_lane_can_be_stopped(tmp_path: Path) -> None:
    seen = Seen()
    with pytest.raises(EvidenceError, match=r"evidence\.cancelled"):
        tried(HONEST, tmp_path, seen)
    assert seen.steps == ["trial"]
    assert not list(tmp_path.glob("blackbox-*"))
