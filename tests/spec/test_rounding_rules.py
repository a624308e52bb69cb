"""R10: what is rounded by itself is an interval of its own; what is computed from rounded numbers tells nothing more.

13 and 13 persons are released as 15 and 15 and their total, 26, as 25: whoever adds up the parts does not get the
total, and the ledger keeps three intervals.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sandbox.exports.history import cells_of
from sandbox.products import releasing
from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import Evidence, derive
from sandbox.products.source import EntityKey, Source
from sandbox.products.spec import JobSpec, parse
from tests.export_subjects import edition

PEOPLE = {("东", "甲"): 13, ("东", "乙"): 13, ("西", "甲"): 12, ("西", "乙"): 12}
COUNTED: dict[str, Any] = {"人次": {"op": "count"}}
AMOUNT: dict[str, Any] = {"金额": {"op": "sum", "of": "费用", "round": 0}}
SHARE: dict[str, Any] = {"占比": {"op": "share_of_margin", "margin": [], "round": 3}}
OF_AMOUNT: dict[str, Any] = {"金额占比": {"op": "share_of_margin", "of": "费用", "margin": [], "round": 3}}


def proved(measures: dict[str, Any], folder: Path) -> tuple[JobSpec, Evidence]:
    spec = parse({
        "job": "取整", "edition": 2, "inputs": {"t": {"grant": "G-1"}},
        "product": {"from": "t", "dimensions": ["区", "类"], "margins": [["区"], []], "measures": measures},
        "output": {"kind": "aggregate", "format": "csv"},
    })  # fmt: skip
    rows = [(*key, 100.0 + i % 3) for key, n in PEOPLE.items() for i in range(n)]
    path = folder / "t.parquet"
    frame = pl.DataFrame(rows, schema=["区", "类", "费用"], orient="row").with_row_index("人")
    frame.write_parquet(path)
    source = Source((str(path),), "sha256:t", (EntityKey("person", "人"),))
    return spec, derive(spec, {"t": source}, codes=SessionCodes(), halves=4)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> tuple[JobSpec, Evidence]:
    return proved(COUNTED, tmp_path_factory.mktemp("counted"))


@pytest.mark.parametrize(("row", "released", "interval"), [
    (("东", "甲"), 15, (13, 17)), (("东", "乙"), 15, (13, 17)), (("东", None), 25, (23, 27)),
    (("西", "甲"), 10, (8, 12)), (("西", "乙"), 10, (8, 12)), (("西", None), 25, (23, 27)),
    ((None, None), 50, (48, 52)),
])  # fmt: skip
def test_a_total_is_rounded_by_itself_and_kept_as_an_interval_of_its_own(
    row: tuple[str | None, ...], released: int, interval: tuple[int, int], counted: tuple[JobSpec, Evidence]
) -> None:
    spec, evidence = counted
    shown = releasing.released(spec, evidence, edition().by_check("rounding").parameters)
    number = next(i for i, values in enumerate(evidence.rows) if values[:2] == row)
    assert shown.rows[number][2] == released
    kept = [c for c in cells_of(spec, evidence, release="R-1", base=5) if f"#row={number + 2};" in c.place]
    assert {(c.value, c.low, c.high) for c in kept} == {("rounded", *interval)}


@pytest.mark.parametrize(("measures", "name", "value", "seen"), [
    (COUNTED, "人次", "rounded", True),
    (AMOUNT, "金额", "exact", True),
    (COUNTED | SHARE, "占比", "derived", False),
    (SHARE, "占比", "exact", True),
    (AMOUNT | OF_AMOUNT, "金额占比", "derived", False),
    (COUNTED | OF_AMOUNT, "金额占比", "exact", True),
])  # fmt: skip
def test_only_what_follows_from_other_released_numbers_is_derived(
    measures: dict[str, Any], name: str, value: str, seen: bool, tmp_path: Path
) -> None:
    cells = cells_of(*proved(measures, tmp_path), release="R-1", base=5)
    assert {(c.value, c.seen) for c in cells if c.place.endswith(f"column={name}")} == {(value, seen)}


def test_a_share_is_computed_from_the_rounded_numbers(tmp_path: Path) -> None:
    spec, evidence = proved(COUNTED | SHARE, tmp_path)
    shown = releasing.released(spec, evidence, edition().by_check("rounding").parameters)
    for row in shown.rows:
        assert abs(row[3] - Decimal(row[2]) / 50) <= shown.steps["占比"] / 2
