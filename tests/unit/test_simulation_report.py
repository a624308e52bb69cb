"""Scores agree with an independent library; the page says what the rows are good for and shows no small group."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from policies.editions import load
from policies.text import UserError
from synthetic import fidelity, usefulness
from synthetic.fields import Field
from synthetic.report import Audience, report, report_data
from synthetic.sidebyside import grouped, suppressed, two_way
from synthetic.simulate import Simulated, simulate, split
from tests.e2e.browser import Browser
from tests.simulation_tables import RESIDENT_FIELDS, RESIDENT_RULES, RESIDENTS, residents

ROWS, K = 3_000, 5
LEARNED = [f for f in RESIDENT_FIELDS if f.learned]
AUDIENCES: tuple[Audience, ...] = ("operator", "merchant")
TITLES = {rule.id: rule.title for rule in load("simulation").rules}


@pytest.fixture(scope="module")
def real() -> pl.DataFrame:
    return residents(ROWS)


@pytest.fixture(scope="module")
def made(real: pl.DataFrame) -> Simulated:
    return simulate(real, RESIDENT_FIELDS, rows=ROWS, seed=7, engine="tree", name=RESIDENTS, constraints=RESIDENT_RULES)


@pytest.fixture(scope="module")
def structure(real: pl.DataFrame) -> Simulated:
    return simulate(real, RESIDENT_FIELDS, rows=200, seed=7, engine="schema", name=RESIDENTS)


# ── scores ──


def test_shapes_agree_with_sdmetrics(real: pl.DataFrame, made: Simulated) -> None:
    from sdmetrics.single_column import KSComplement, TVComplement

    fitted, holdout = split(real, RESIDENT_FIELDS, 0.5, 7)
    ours = fidelity.measure(made.frame, fitted, holdout, LEARNED).columns
    rows = min(made.frame.height, holdout.height)
    for field in LEARNED:
        sides = [f.get_column(field.name).to_pandas() for f in (fitted, made.frame.head(rows))]
        if field.name == "月收入":  # the library leaves missing values out, we count them
            assert ours[field.name] <= KSComplement.compute(*sides) + 1e-9
            continue
        metric = KSComplement if field.numeric else TVComplement
        assert ours[field.name] == pytest.approx(metric.compute(*sides), abs=1e-9), field.name


def test_fresh_real_rows_score_as_the_holdout_does_at_any_size() -> None:
    """A large draw from the same population is not more faithful than a small one only because it is large."""
    people = residents(12_000, 3)
    for size in (150, 3_000):
        fitted, holdout, fresh = people.head(size), people[size : 2 * size], people.tail(4_000)
        ratio = fidelity.measure(fresh, fitted, holdout, LEARNED).ratio
        assert ratio is not None
        assert abs(ratio - 1) < 0.05


def test_worst_pair_is_the_one_that_was_broken(real: pl.DataFrame) -> None:
    fitted, holdout = split(real, RESIDENT_FIELDS, 0.5, 7)
    shuffled = holdout.with_columns(pl.col("街道").shuffle(seed=1))
    worst = fidelity.measure(shuffled, fitted, holdout, LEARNED).worst(1)[0]
    assert set(worst.columns) == {"区", "街道"}
    assert worst.made < 0.2 < 0.8 < worst.real


@pytest.mark.parametrize(
    ("shares", "strength"),
    [([[0.5, 0.0], [0.0, 0.5]], 1.0), ([[0.5, 0.5], [0.0, 0.0]], 0.0), ([[0.25, 0.25], [0.25, 0.25]], 0.0)],
)
def test_strength_of_a_relation_is_between_none_and_one(shares: list[list[float]], strength: float) -> None:
    assert fidelity.strength(np.array(shares)) == pytest.approx(strength)


def test_model_trained_on_fresh_real_rows_is_as_good_as_the_ceiling_and_on_noise_is_not(real: pl.DataFrame) -> None:
    people = residents(9_000, 5)
    fitted, holdout, fresh = people.head(3_000), people[3_000:6_000], people.tail(3_000)
    for target in ("月收入", "职业"):
        good = usefulness.measure(fresh, fitted, holdout, LEARNED, target)
        noise = fresh.with_columns(pl.col(f.name).shuffle(seed=i) for i, f in enumerate(LEARNED))
        bad = usefulness.measure(noise, fitted, holdout, LEARNED, target)
        assert good is not None
        assert bad is not None
        assert good.share is not None
        assert good.share > 0.85
        assert (bad.share or 0.0) < 0.3
        assert good.words() != bad.words()


def test_target_is_declared_or_the_sensitive_column_with_most_to_learn(real: pl.DataFrame, made: Simulated) -> None:
    assert made.manifest["usefulness"]["target"] == "月收入"
    assert not made.manifest["usefulness"]["declared"]
    declared = simulate(real, RESIDENT_FIELDS, rows=500, seed=7, engine="tree", target="职业").manifest["usefulness"]
    assert (declared["target"], declared["declared"], declared["kind"]) == ("职业", True, "label")
    for wrong in ("姓名", "没有这列"):
        with pytest.raises(UserError) as caught:
            simulate(real, RESIDENT_FIELDS, rows=500, seed=7, engine="tree", target=wrong)
        assert caught.value.code == "plan.target"


def test_column_that_repeats_another_is_no_target(real: pl.DataFrame) -> None:
    twin = real.with_columns(代码=pl.col("区"))
    fields = [*(f for f in LEARNED if f.role != "sensitive"), Field("代码", "text", "category", level=2)]
    fitted, holdout = split(twin, fields, 0.5, 7)
    measured = fidelity.measure(fitted, fitted, holdout, fields)
    assert usefulness.choose_target(fields, measured) not in {"区", "代码", None}


def test_too_few_rows_to_test_say_nothing(real: pl.DataFrame) -> None:
    assert usefulness.measure(real, real, real.head(99), LEARNED, "职业") is None


# ── small groups ──


def test_rare_label_is_merged_with_enough_others() -> None:
    """Three people alone would be found as what is missing to the whole: the next smallest group goes with them."""
    values = pl.Series(["甲"] * 60 + ["乙"] * 30 + ["丙"] * 7 + ["丁"] * 3)
    found = grouped(Field("x", "text", "category"), values, values, pl.Series(np.arange(100)), K)
    assert found is not None
    assert found.labels == ("甲", "乙", None)
    assert found.real[-1] == pytest.approx(0.10)


def test_people_count_not_rows() -> None:
    values = pl.Series(["甲"] * 60 + ["乙"] * 40)
    people = pl.Series([*range(60), *[100, 101] * 20])
    assert grouped(Field("x", "text", "category"), values, values, people, K) is None


def test_range_of_few_people_is_joined_to_its_neighbour_and_no_extreme_is_a_cut() -> None:
    real = pl.Series([*range(100), 950, 999], dtype=pl.Int64)
    made = pl.Series([*range(100)] * 5 + [400, 700, 980])
    found = grouped(Field("x", "integer", "number"), real, made, pl.Series(np.arange(102)), K)
    assert found is not None
    assert found.ends[0][0] is None
    assert found.ends[-1] == (found.ends[-2][1], None)
    assert min(found.real) * 102 >= K
    assert len(found.real) > K
    assert not {950, 999} & {end for ends in found.ends for end in ends}


@pytest.mark.parametrize(
    ("people", "hidden"),
    [
        ([[50, 50], [50, 50]], [[0, 0], [0, 0]]),
        ([[50, 2], [50, 50]], [[1, 1], [1, 1]]),
        ([[50, 2, 60], [40, 30, 50], [50, 50, 50]], [[1, 1, 0], [1, 1, 0], [0, 0, 0]]),
        ([[50, 0], [0, 50]], [[0, 0], [0, 0]]),
    ],
)
def test_cell_of_few_people_takes_others_with_it(people: list[list[int]], hidden: list[list[int]]) -> None:
    assert suppressed(np.array(people), K).astype(int).tolist() == hidden


def test_two_way_table_hides_the_small_cell() -> None:
    left = pl.Series(["甲"] * 100 + ["乙"] * 100)
    right = pl.Series((["子"] * 98 + ["丑"] * 2) + (["子"] * 40 + ["丑"] * 60))
    people = pl.Series(np.arange(200))
    sides = [grouped(Field(n, "text", "category"), s, s, people, K) for n, s in (("l", left), ("r", right))]
    assert sides[0] is not None
    assert sides[1] is not None
    table = two_way(sides[0], sides[1], (people, people), K)
    assert all(share is None for line in table["real"] for share in line)
    assert sum(share for line in table["simulated"] for share in line) == pytest.approx(1)


def test_no_sensitive_column_is_mapped(made: Simulated) -> None:
    sensitive = {f.name for f in RESIDENT_FIELDS if f.role == "sensitive"}
    assert made.manifest["maps"]
    assert not [m for m in made.manifest["maps"] if sensitive & set(m["columns"])]


# ── the page ──


@pytest.mark.parametrize("audience", AUDIENCES)
def test_json_beside_the_page_is_json(made: Simulated, audience: Audience) -> None:
    data = json.loads(json.dumps(report_data(made.manifest, TITLES, audience), allow_nan=False))
    assert data["audience"] == audience
    assert {c["column"] for c in data["distributions"]} == {f.name for f in LEARNED}
    assert data["mark"] == "仿真数据"


def test_merchants_get_no_measured_value_no_threshold_and_no_figure_of_the_source(made: Simulated) -> None:
    data = report_data(made.manifest, TITLES, "merchant")
    assert not {"source", "k", "plan_digest", "software"} & set(data)
    assert {key for gate in data["gates"] for key in gate} == {"rule", "title", "outcome"}
    assert {key for one in data["candidates"] for key in one} == {"engine", "version", "outcome", "fidelity"}
    page = report(made.manifest, TITLES, "merchant")
    assert "门槛" not in page
    assert str(made.manifest["source"]["digest"]) not in page


def test_merchants_get_real_shares_in_whole_percents(made: Simulated) -> None:
    data = report_data(made.manifest, TITLES, "merchant")
    shares = [g["real"] for c in data["distributions"] for g in c["groups"]]
    shares += [v for m in data["maps"] for line in m["real"] for v in line if v is not None]
    assert shares == [round(share, 2) for share in shares]


def test_officers_see_what_was_measured(made: Simulated) -> None:
    page = report(made.manifest, TITLES, "operator")
    for rule in made.manifest["verdict"]["rules"]:
        assert rule["rule"] in page
    assert "advantage" in page
    assert f"{made.manifest['source']['people']:,}" in page


@pytest.mark.parametrize("audience", AUDIENCES)
def test_page_has_every_part_and_loads_nothing(made: Simulated, audience: Audience) -> None:
    page = report(made.manifest, TITLES, audience)
    for part in ("能用来做什么", "得分", "核查", "引擎比较", "真实与仿真对照", "列与列的关系", "没有保留什么", "来历"):
        assert part in page
    assert page.count("<svg") >= len(LEARNED) + 4
    assert not re.search(r"<script|<link|<img|<iframe|http|url\(|@import|\son\w+=", page)


def test_structure_only_says_so_and_shows_no_real_share(structure: Simulated) -> None:
    for audience in AUDIENCES:
        data = report_data(structure.manifest, TITLES, audience)
        assert (data["distributions"], data["maps"], data["association"]) == ([], [], None)
        page = report(structure.manifest, TITLES, audience)
        assert "只有结构" in page
        assert "真实与仿真对照" not in page


def test_default_answers_candidates_that_did_not_run_and_blocks_are_shown(made: Simulated) -> None:
    decided = {"column": "备注", "semantic": "free_text", "rule": "r", "by": "default",
               "reason": {"zh": "未作答,按默认处理", "en": "nobody answered"}}  # fmt: skip
    missing = {"engine": "ctgan", "version": "ctgan", "outcome": "not_run", "failed": [], "fidelity": None,
               "reason": {"zh": "没有安装", "en": "not installed"}}  # fmt: skip
    manifest = made.manifest | {
        "decisions": [decided, decided | {"column": "区", "by": "operator"}],
        "candidates": [*made.manifest["candidates"], missing],
        "verdict": made.manifest["verdict"] | {"outcome": "block"},
    }
    page = report(manifest, TITLES, "operator")
    for words in ("未作答,按默认处理", "没有安装", "未能运行", "不得提供"):
        assert words in page
    assert "按默认处理的列" in page
    assert "<td>区</td><td>free_text</td>" not in page


@pytest.mark.parametrize("audience", AUDIENCES)
def test_hostile_names_and_labels_stay_text(real: pl.DataFrame, audience: Audience) -> None:
    evil = "</title><svg onload=x>\"'&"
    frame = real.select(pl.col("区").replace_strict({"东湖区": evil}, default=pl.col("区")).alias(evil), "职业")
    fields = [Field(evil, "text", "category", level=1), Field("职业", "text", "category", level=1)]
    frame = frame.with_columns(数=np.random.default_rng(0).normal(size=frame.height))
    fields.append(Field("数", "decimal", "number", level=1))
    made = simulate(frame, fields, rows=400, seed=1, engine="tree", name=evil)
    page = report(made.manifest, TITLES, audience)
    assert evil not in page
    assert "<svg onload" not in page
    assert page.count("</title>") >= 1


@pytest.mark.chromium
@pytest.mark.parametrize("width", [1200, 380])
def test_page_fits_screen_and_phone_and_asks_nobody_for_anything(made: Simulated, width: int) -> None:
    with Browser() as browser:
        page = browser.page("http://127.0.0.1", width=width)
        page.set_content(report(made.manifest, TITLES, "merchant"))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("svg[aria-label]").count() == page.locator("svg").count()
        assert browser.outside == []
        assert browser.complaints == []


def test_blinded_target_column_is_no_error(real: pl.DataFrame) -> None:
    fields = [replace(f, blind=True) if f.name == "月收入" else f for f in RESIDENT_FIELDS]
    made = simulate(real, fields, rows=300, seed=1, engine="tree")
    assert made.manifest["usefulness"]["target"] != "月收入"


def test_page_of_a_manifest_that_went_through_json_is_the_same(made: Simulated) -> None:
    """The platform keeps the manifest as JSON and writes the page later."""
    kept: dict[str, Any] = json.loads(json.dumps(made.manifest))
    for audience in AUDIENCES:
        assert report(kept, TITLES, audience) == report(made.manifest, TITLES, audience)
