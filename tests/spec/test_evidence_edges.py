"""What evidence makes of awkward input: every line is a job over a small table and who is behind its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from pyroaring import BitMap

from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import Evidence, derive
from sandbox.products.perturb import ring
from sandbox.products.source import EntityKey, EvidenceError, Source, Through
from sandbox.products.spec import parse

PERSON = (EntityKey("person", "pid"),)
COUNT, SUM = {"op": "count"}, {"op": "sum", "of": "x"}


def job(*steps: str, by: Sequence[str] = ("d",), inputs: str = "t", **cube: Any) -> dict[str, Any]:
    """A job whose last step is what the cube reads."""
    return {
        "job": "edge", "edition": 2, "inputs": {alias: {"grant": f"G-{alias}"} for alias in inputs.split()},
        "prepare": [{"name": f"s{i}", "sql": sql} for i, sql in enumerate(steps, 1)],
        "product": {"from": f"s{len(steps)}", "dimensions": list(by), "measures": {"n": COUNT, "s": SUM}} | cube,
        "output": {"kind": "aggregate", "format": "csv"},
    }  # fmt: skip


def evidence_of(
    spec: Mapping[str, Any], folder: Path, keys: tuple[EntityKey, ...] = PERSON, **tables: pl.DataFrame
) -> Evidence:
    sources = {}
    for name, frame in tables.items():
        frame.write_parquet(folder / f"{name}.parquet")
        sources[name] = Source((str(folder / f"{name}.parquet"),), f"sha256:{name}", keys)
    return derive(parse(dict(spec)), sources, codes=SessionCodes(), halves=3)


def table(pids: Sequence[Any], xs: Sequence[Any] | None = None, ds: Sequence[Any] | None = None) -> pl.DataFrame:
    values = [1] * len(pids) if xs is None else list(xs)
    return pl.DataFrame({"pid": list(pids), "d": ds or ["东"] * len(pids), "x": values})


def counted(evidence: Evidence, kind: int = 0) -> list[tuple[Any, str, int, int]]:
    """(dimension values, measure, entities, non-zero) of every cell."""
    rows = evidence.kinds[kind].cells.iter_rows(named=True)
    return [(evidence.rows[r["cell"]][: evidence.dimensions], r["measure"], r["n"], r["n_non_zero"]) for r in rows]


PLAIN = job("SELECT pid, d, x FROM t")
KEYS = {
    "whole numbers": ([1, 2, 3], 3), "negative": ([-1, 1, 0], 3), "missing": ([1, None, None], 1),
    "text": (["甲", "乙", "甲"], 2), "text that is equal once normalised": (["a1", "A1 ", "b"], 2),
    "dates": ([date(2025, 1, 31), date(2025, 2, 28), None], 2), "all missing": ([None, None, None], 0),
    "large": ([2**62, 2**62 + 1, -(2**62)], 3), "decimals": ([Decimal("1.0"), Decimal("2.0"), None], 2),
}  # fmt: skip


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_every_form_are_counted(name: str, tmp_path: Path) -> None:
    pids, entities = KEYS[name]
    frame = table(pids) if any(p is not None for p in pids) else table(pids).with_columns(pl.col("pid").cast(pl.Int64))
    evidence = evidence_of(PLAIN, tmp_path, t=frame)
    assert evidence.kinds[0].proved
    assert counted(evidence) == [(("东",), "n", entities, entities), (("东",), "s", entities, entities)]


def test_rows_without_a_key_are_nobody_for_the_threshold_and_one_for_dominance(tmp_path: Path) -> None:
    evidence = evidence_of(PLAIN, tmp_path, t=table([1, 2, None, None], xs=[5, 5, 30, 30]))
    sums = evidence.kinds[0].cells.filter(pl.col("measure") == "s").row(0, named=True)
    assert (sums["n"], sums["n_non_missing"], sums["x1"], sums["x_total"]) == (2, 4, 60.0, 70.0)


def test_one_key_may_stand_for_two_kinds(tmp_path: Path) -> None:
    keys = (EntityKey("person", "pid"), EntityKey("household", "d"))
    evidence = evidence_of(
        job("SELECT 1 AS one, x FROM t", by=["one"]), tmp_path, keys, t=table([1, 2, 3], ds=["甲", "甲", "乙"])
    )
    assert {k.kind: counted(evidence, i)[0][2] for i, k in enumerate(evidence.kinds)} == {"household": 2, "person": 3}


def test_no_row_at_all_gives_no_cell_by_dimension_and_an_empty_total(tmp_path: Path) -> None:
    empty = table([1]).clear()
    assert evidence_of(PLAIN, tmp_path, t=empty).rows == ()
    total = evidence_of(job("SELECT pid, d, x FROM t", by=[]), tmp_path, t=empty)
    assert total.rows == ((0, None),) and total.kinds[0].proved
    assert [row[2:] for row in counted(total)] == [(0, 0), (0, 0)]


def test_one_entity_is_one_entity_however_often_it_comes(tmp_path: Path) -> None:
    evidence = evidence_of(job("SELECT a.d, a.x FROM t a JOIN t b USING (pid)"), tmp_path, t=table([7] * 12))
    assert evidence.rows[0][1] == 144 and counted(evidence)[0][2] == 1


def test_a_measure_that_is_missing_everywhere_rests_on_nobody(tmp_path: Path) -> None:
    frame = table([1, 2], xs=[None, None]).with_columns(pl.col("x").cast(pl.Int64))
    evidence = evidence_of(PLAIN, tmp_path, t=frame)
    assert counted(evidence) == [(("东",), "n", 2, 2), (("东",), "s", 0, 0)] and evidence.rows == (("东", 2, None),)


def test_a_margin_is_told_from_a_dimension_that_is_missing(tmp_path: Path) -> None:
    frame = table([1, 2, 3], xs=[1, 2, 4], ds=["东", None, None])
    evidence = evidence_of(job("SELECT pid, d, x FROM t", margins=[[]]), tmp_path, t=frame)
    assert evidence.kinds[0].proved
    found = {(g != 0, row[0]): row[2] for g, row in zip(evidence.groupings, evidence.rows, strict=True)}
    assert found == {(False, "东"): 1, (False, None): 6, (True, None): 7}
    assert [n for _, measure, n, _ in counted(evidence) if measure == "n"] == [1, 2, 3]


NAMES = ['a"b', "a b", "金额（元）", "金额(元)", "SELECT", "ｘ", "x'; DROP TABLE t; --", "e__"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_names_whatever_they_look_like(name: str, tmp_path: Path) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    spec = job(f"SELECT pid, d, {quoted} FROM t", measures={"s": {"op": "sum", "of": name}})
    evidence = evidence_of(spec, tmp_path, t=table([1, 2], xs=[3, 4]).rename({"x": name}))
    assert evidence.rows == (("东", 7),) and evidence.kinds[0].proved


def test_the_same_table_twice_is_the_same_people(tmp_path: Path) -> None:
    frame = table([1, 2, 3])
    spec = job("SELECT t.d, u.x FROM t JOIN u USING (pid)", inputs="t u")
    evidence = evidence_of(spec, tmp_path, t=frame, u=frame)
    assert counted(evidence)[0][2] == 3
    stacked = job("SELECT pid, d, x FROM t UNION ALL SELECT pid, d, x FROM u", inputs="t u")
    assert counted(evidence_of(stacked, tmp_path, t=frame, u=frame))[0][2] == 3


def test_month_ends_fall_into_their_own_month(tmp_path: Path) -> None:
    days = [date(2024, 2, 29), date(2024, 3, 1), date(2024, 12, 31), date(2025, 1, 1)]
    spec = job("SELECT pid, x, strftime(d, '%Y-%m') AS m FROM t", by=["m"])
    evidence = evidence_of(spec, tmp_path, t=table([1, 2, 3, 4], ds=days))
    assert [row[0] for row in evidence.rows] == ["2024-02", "2024-03", "2024-12", "2025-01"] and evidence.kinds[
        0
    ].proved


REFUSED = {
    "a row of two persons": ("SELECT a.d, b.x FROM t a JOIN t b ON a.pid <> b.pid", {}),
    "sums beyond 38 digits": ("SELECT pid, d, CAST('9' || repeat('0', 37) AS DECIMAL(38, 0)) AS x FROM t", {}),
    "a value that cannot be read": ("SELECT pid, d, CAST(d AS INTEGER) AS x FROM t", {}),
    "a column that is not there": ("SELECT pid, d, y AS x FROM t", {}),
    "a dimension that is not there": ("SELECT pid, d, x FROM t", {"by": ["nowhere"]}),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_derived_is_a_refusal_that_quotes_no_value(name: str, tmp_path: Path) -> None:
    text, parts = REFUSED[name]
    frame = table(list(range(40)), xs=[10**12] * 40, ds=["绝密值"] * 40)
    with pytest.raises(EvidenceError) as refused:
        evidence_of(job(text, **parts), tmp_path, t=frame)
    told = f"{refused.value.text} {refused.value.fix} {refused.value.detail}"
    assert refused.value.fix is not None or refused.value.detail.get("refusals")
    assert "绝密值" not in told


def test_the_set_of_a_cell_is_that_of_its_entities(tmp_path: Path) -> None:
    codes = SessionCodes()
    frame = table([5, 6, 7], ds=["东", "东", "西"])
    frame.write_parquet(tmp_path / "t.parquet")
    source = Source((str(tmp_path / "t.parquet"),), "sha256:t", PERSON)
    evidence = derive(parse(PLAIN), {"t": source}, codes=codes, halves=1)
    kind = evidence.kinds[0]
    east = kind.cells.filter((pl.col("cell") == 0) & (pl.col("measure") == "n")).row(0, named=True)
    wanted = {int(codes.assign("person", [key])[0]) for key in ("5", "6")}
    assert set(BitMap.deserialize(kind.bitmaps[east["bitmap"]])) == wanted


def moved(evidence: Evidence, measure: str = "m") -> list[int | None]:
    cells = evidence.kinds[0].cells.filter(pl.col("measure") == measure)
    return cells["n_informative"].to_list()


WHO = list(range(1, 31))
HOLISTIC: dict[str, dict[str, Any]] = {
    "count_distinct": {}, "median": {}, "quantile": {"q": 0.9}, "stddev": {}, "min": {}, "max": {},
}  # fmt: skip


@pytest.mark.parametrize("op", HOLISTIC)
def test_values_that_change_have_moved_though_their_number_stays(op: str, tmp_path: Path) -> None:
    """Everybody has one made-up value, and number 7 the true one as well, in whose place another could stand."""
    text = "SELECT d, 1000000 + pid AS x FROM t WHERE pid <> 7 UNION ALL SELECT d, x FROM t WHERE pid = 7"
    spec = job(text, measures={"m": {"op": op, "of": "x"} | HOLISTIC[op]})
    evidence = evidence_of(spec, tmp_path, t=table(WHO, xs=[100 + 7 * p for p in WHO]))
    assert evidence.kinds[0].proved and moved(evidence) == [1]


def test_floats_that_a_step_added_up_do_not_move_in_their_last_bits(tmp_path: Path) -> None:
    steps = "SELECT pid, d, sum(x) AS x, max(y) AS y FROM t GROUP BY pid, d"
    frame = pl.concat([table(WHO, xs=[p / 7 for p in WHO]).with_columns(y=pl.col("pid") % 2) for _ in range(200)])
    spec = job(steps, "SELECT d, CASE WHEN y > 5 THEN 0 ELSE x END AS x FROM s1",
               measures={"m": {"op": "median", "of": "x"}})  # fmt: skip
    evidence = evidence_of(spec, tmp_path, t=frame)
    assert "t.y:shuffle" in evidence.kinds[0].perturbed and moved(evidence) == [30]


def test_what_belongs_to_nobody_is_not_perturbed(tmp_path: Path) -> None:
    table(WHO, xs=[3 * p for p in WHO], ds=["东", "西"] * 15).write_parquet(tmp_path / "t.parquet")
    pl.DataFrame({"d": ["东", "西"], "w": [1.0, 2.0]}).write_parquet(tmp_path / "w.parquet")
    sources = {
        name: Source((str(tmp_path / f"{name}.parquet"),), f"sha256:{name}", keys)
        for name, keys in (("t", PERSON), ("w", ()))
    }
    spec = job("SELECT t.d, t.x * w.w AS x FROM t JOIN w USING (d)", inputs="t w")
    kind = derive(parse(spec), sources, codes=SessionCodes(), halves=1).kinds[0]
    assert kind.proved and not kind.not_perturbed
    assert {name.split(":")[0] for name in kind.perturbed} == {"t.x", "t.d"}


def test_an_amount_made_of_keys_is_named_and_a_number_of_people_is_not(tmp_path: Path) -> None:
    keyed = job("SELECT d, pid AS x, pid FROM t")
    kind = evidence_of(keyed, tmp_path, t=table(WHO)).kinds[0]
    assert (kind.perturbed, kind.not_perturbed) == ((), ("t.pid",))
    people = job("SELECT d, pid FROM t", measures={"n": COUNT, "k": {"op": "count_distinct", "of": "pid"}})
    kind = evidence_of(people, tmp_path, t=table(WHO)).kinds[0]
    assert kind.not_perturbed == () and kind.perturbed == ("*:minimum", "*:maximum", "*:shuffle")
    mixed = job("SELECT d, x, pid + 0 AS y FROM t", measures={"s": SUM, "m": {"op": "mean", "of": "y"}})
    kind = evidence_of(mixed, tmp_path, t=table(WHO, xs=WHO)).kinds[0]
    assert kind.not_perturbed == ("t.pid",) and "t.x:shuffle" in kind.perturbed


def test_a_coded_column_is_exchanged_for_other_codes(tmp_path: Path) -> None:
    table(WHO, ds=["东"] * 30, xs=[(1, 2, 3)[p % 3] for p in WHO]).write_parquet(tmp_path / "t.parquet")
    source = Source((str(tmp_path / "t.parquet"),), "sha256:t", PERSON, perturb={"x": "domain"})
    spec = job("SELECT d, CASE WHEN x = 2 THEN 1 ELSE 0 END AS x FROM t", measures={"m": SUM})
    evidence = derive(parse(spec), {"t": source}, codes=SessionCodes(), halves=1)
    assert [n.split(":")[1] for n in evidence.kinds[0].perturbed] == ["minimum", "maximum", "shuffle", "domain"]
    moves = moved(evidence)[0]
    assert moves is not None and moves >= 20  # those of 1 get 2, and those of 2 get 3


def test_codes_are_exchanged_in_a_ring_and_missing_ones_stay_missing() -> None:
    with duckdb.connect() as con:
        con.execute("CREATE TABLE t AS SELECT unnest(['甲', '丙', NULL, '乙', '甲']) AS c, unnest(range(5)) AS i")
        found = con.execute(f"SELECT c FROM ({ring('t', 'c')}) ORDER BY i").fetchall()
    given = sorted("甲乙丙")
    after = dict(zip(given, [*given[1:], given[0]], strict=True))
    assert [c for (c,) in found] == [after["甲"], after["丙"], None, after["乙"], after["甲"]]


def test_with_several_owners_each_has_the_whole_row_and_the_halves_hold(tmp_path: Path) -> None:
    spec = job("SELECT a.d, a.x + b.x AS x FROM t a JOIN t b ON a.pid + 1 = b.pid")
    spec["prepare"][0]["owners"] = "several"
    evidence = evidence_of(spec, tmp_path, t=table(WHO, xs=WHO))
    kind = evidence.kinds[0]
    assert kind.several and kind.proved and kind.halves == 3
    assert counted(evidence)[0][2] == 30 and evidence.rows == (("东", 29, sum(2 * p + 1 for p in WHO[:-1])),)
    x = kind.cells.filter(pl.col("measure") == "s").row(0, named=True)
    assert (x["x1"], x["x_total"]) == (29 + 28 + 30 + 29, 2.0 * evidence.rows[0][2])


def through(tmp_path: Path, owners: Sequence[int | None], share: float = 1.0) -> Evidence:
    """Taps by card; who has the card is known by another table."""
    cards = [f"K{i}" for i in range(len(owners))]
    pl.DataFrame({"card": cards, "pid": owners}).write_parquet(tmp_path / "card.parquet")
    pl.DataFrame({"card": [*cards, *cards], "d": ["东"] * 2 * len(cards), "x": 1}).write_parquet(tmp_path / "t.parquet")
    key = EntityKey("person", "card", through=Through((str(tmp_path / "card.parquet"),), "card", "pid"),
                    missing_share_max=share)  # fmt: skip
    source = Source((str(tmp_path / "t.parquet"),), "sha256:t", (key,))
    return derive(parse(job("SELECT d, x FROM t")), {"t": source}, codes=SessionCodes(), halves=3)


def test_cards_of_one_person_are_one_person(tmp_path: Path) -> None:
    evidence = through(tmp_path, [1, 1, 2, 3, None])
    assert evidence.kinds[0].proved and counted(evidence)[0][2] == 3 and evidence.rows == (("东", 10, 10),)
    assert (evidence.kinds[0].ownerless_rows, evidence.kinds[0].rows_total) == (2, 10)


@pytest.mark.parametrize(("share", "refused"), [(1.0, False), (0.2, False), (0.19, True), (0.0, True)])
def test_more_rows_without_an_owner_than_the_catalogue_allows_are_refused(
    share: float, refused: bool, tmp_path: Path
) -> None:
    if not refused:
        assert through(tmp_path, [1, 2, 3, 4, None], share).kinds[0].proved
        return
    with pytest.raises(EvidenceError) as error:
        through(tmp_path, [1, 2, 3, 4, None], share)
    assert error.value.code == "evidence.missing_keys"
