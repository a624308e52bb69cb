"""HMA draws small related tables as one family; it is refused, with words, where it would take hours."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from policies.text import UserError
from policies.verdict import Outcome
from synthetic.fields import Field
from synthetic.links import Parent, orphans
from synthetic.related import simulate_related
from synthetic.simulate import Simulated, simulate
from synthetic.tables import TableInput

SHOPS, ORDERS = "商户", "订单"
SHOP_FIELDS = (
    Field("商户号", "text", "key", "none", 2, nullable=False),
    Field("名称", "text", "organisation", "none", 2),
    Field("面积", "decimal", "number", "none", 2),
    Field("年租金", "decimal", "amount", "none", 2),
    Field("年收入", "decimal", "amount", "none", 2),
)
ORDER_FIELDS = (
    Field("订单号", "integer", "key", "none", 2, nullable=False),
    Field("商户号", "text", "key", "none", 2, nullable=False, references=(SHOPS, "商户号")),
    Field("金额", "decimal", "amount", "none", 2),
    Field("渠道", "text", "category", "none", 2),
)


def tables(shops: int = 260, orders: int = 650) -> dict[str, TableInput]:
    """Large shops sell dearer things."""
    rng = np.random.default_rng(8)
    area = np.round(rng.lognormal(4, 0.4, shops), 1)
    who = rng.integers(0, shops, orders)
    parent = pl.DataFrame(
        {
            "商户号": [f"SH{i:05d}" for i in range(shops)],
            "名称": [f"实有商户{i}" for i in range(shops)],
            "面积": area,
            "年租金": np.round(area * rng.lognormal(6, 0.3, shops), 2),
            "年收入": np.round(rng.lognormal(12, 0.6, shops), 2),
        }
    )
    child = pl.DataFrame(
        {
            "订单号": np.arange(orders),
            "商户号": parent["商户号"].to_numpy()[who],
            "金额": np.round(area[who] * 100 + rng.normal(0, 900, orders), 2),
            "渠道": rng.choice(["线上", "门店"], orders),
        }
    )
    return {SHOPS: TableInput(parent, SHOP_FIELDS), ORDERS: TableInput(child, ORDER_FIELDS)}


@pytest.fixture(scope="module")
def family() -> dict[str, Simulated]:
    return simulate_related(tables(), seed=1, rows=200, engine="hma")


def test_a_family_joins_and_its_identifiers_are_new(family: dict[str, Simulated]) -> None:
    real = tables()
    for name, one in family.items():
        assert one.manifest["engine"]["used"] == "hma"
        assert one.verdict.outcome in (Outcome.PASS, Outcome.REVIEW), one.verdict.findings
        assert one.frame.schema == real[name].frame.schema
    shops, orders = family[SHOPS].frame, family[ORDERS].frame
    assert orphans(orders, ORDER_FIELDS, {SHOPS: Parent(shops, 1, fields=SHOP_FIELDS)}) == {"商户号": 0}
    assert shops.height == 200
    assert orders.height / shops.height == pytest.approx(2.5, rel=0.2)
    assert not set(shops["商户号"]) & set(real[SHOPS].frame["商户号"])
    assert not set(shops["名称"]) & set(real[SHOPS].frame["名称"])


def test_the_child_follows_its_parent(family: dict[str, Simulated]) -> None:
    joined = family[ORDERS].frame.join(family[SHOPS].frame, on="商户号")
    assert float(joined.select(pl.corr("金额", "面积", method="spearman")).item()) > 0.5


def test_the_better_set_as_a_whole_is_taken_and_both_are_shown() -> None:
    made = simulate_related(tables(220, 450), seed=1, rows=60)
    for one in made.values():
        assert {"tree", "hma"} <= {c["engine"] for c in one.manifest["candidates"]}
    used = {one.manifest["engine"]["used"] for one in made.values()}
    assert used == {"hma"} or "hma" not in used


def test_tables_too_large_or_without_kin_are_refused_before_anything_is_fitted() -> None:
    large = tables(2_500, 3_000)
    with pytest.raises(UserError) as caught:
        simulate_related(large, seed=1, rows=10, engine="hma")
    assert (caught.value.code, caught.value.detail["rows"]) == ("engine.too_large", 1_250)
    alone: Any = {SHOPS: large[SHOPS]}
    with pytest.raises(UserError) as caught:
        simulate_related(alone, seed=1, rows=10, engine="hma")
    assert caught.value.code == "engine.no_family"
    with pytest.raises(UserError) as caught:
        simulate(large[SHOPS].frame, SHOP_FIELDS, rows=10, seed=1, engine="hma")
    assert caught.value.code == "engine.no_family"
