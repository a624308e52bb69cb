"""Which columns are the key of a kind under another name: one line a text, and what follows for the perturbations."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from sandbox.products.carrier import Relation, carry
from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import Evidence, derive
from sandbox.products.source import EntityKey, Source
from sandbox.products.spec import parse

CLINICS, VISITS = 60, 1200
RELATIONS = {
    "visit": Relation(("vid", "pid", "cid", "fee")),
    "clinic": Relation(("cid", "level", "beds"), "one", {"cid": "clinic"}),
    "away": Relation(("cid", "since")),
}
NAMED = [
    ("SELECT level, fee FROM visit JOIN clinic USING (cid)", {"visit.cid"}),
    ("SELECT level, fee FROM visit v JOIN clinic c ON v.cid = c.cid AND v.fee > c.beds", {"visit.cid"}),
    ("SELECT level, fee FROM visit v, clinic c WHERE c.cid = v.cid", {"visit.cid"}),
    ("SELECT level, fee FROM clinic c JOIN visit v ON c.cid = v.cid JOIN away a ON a.cid = v.cid",
     {"visit.cid", "away.cid"}),
    ("WITH x AS (SELECT v.cid, v.fee, c.level FROM visit v JOIN clinic c USING (cid)) SELECT level, fee FROM x",
     {"visit.cid"}),
    ("SELECT level, fee FROM clinic c LEFT JOIN visit v ON v.cid = c.cid AND v.fee > 5", {"visit.cid"}),
    # an equality that not every row has passed says nothing
    ("SELECT level, fee FROM visit v JOIN clinic c ON v.cid = c.cid OR v.fee = c.beds", set()),
    ("SELECT level, fee FROM visit v CROSS JOIN clinic c WHERE (v.cid = c.cid) = (v.fee > 5)", set()),
    # nor does one with a column that many clinics share
    ("SELECT level, fee FROM visit v JOIN clinic c ON v.fee = c.beds", set()),
    # read once more without it, the column can say something of its own
    ("SELECT c.level, v.fee FROM visit v JOIN clinic c USING (cid) JOIN visit w ON w.pid = v.pid", set()),
    ("SELECT level, fee FROM visit v JOIN clinic c USING (cid) WHERE v.pid IN (SELECT pid FROM visit WHERE cid < 5)",
     set()),
    # under names that a text gives them, columns are not known again
    ("SELECT level, x FROM visit AS v(a, b, fee, x) JOIN clinic c ON v.fee = c.cid", set()),
    ("SELECT level, fee FROM (SELECT cid AS k, fee FROM visit) v JOIN clinic c ON v.k = c.cid", set()),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), NAMED)
def test_a_column_is_a_key_where_every_row_is_joined_by_it_to_its_owner(text: str, expected: set[str]) -> None:
    found = carry(text, RELATIONS, step="s").naming
    assert {f"{table}.{column}" for (table, column), names in found.items() if names} == expected


def derived(folder: Path, value: str) -> Evidence:
    """`value` of the visits to 60 clinics, by the clinics' level; both persons and clinics are protected."""
    pl.DataFrame({
        "vid": range(VISITS), "pid": [v % 400 for v in range(VISITS)],
        "cid": [v * 7 % CLINICS for v in range(VISITS)], "fee": [50 + v * 37 % 300 for v in range(VISITS)],
    }).write_parquet(folder / "visit.parquet")  # fmt: skip
    pl.DataFrame({
        "cid": range(CLINICS), "level": ["甲乙"[c % 2] for c in range(CLINICS)],
        "beds": [20 + c for c in range(CLINICS)],
    }).write_parquet(folder / "clinic.parquet")  # fmt: skip
    keys = {"visit": (EntityKey("person", "pid"),), "clinic": (EntityKey("clinic", "cid"),)}
    sources = {a: Source((str(folder / f"{a}.parquet"),), f"sha256:{a}", key) for a, key in keys.items()}
    step = f"SELECT c.level, {value} AS x FROM visit v JOIN clinic c USING (cid)"
    measures = {"n": {"op": "count"}, "s": {"op": "sum", "of": "x"}}
    spec = {
        "job": "clinics", "edition": 2, "inputs": {a: {"grant": f"G-{a}"} for a in keys},
        "prepare": [{"name": "s1", "sql": step}],
        "product": {"from": "s1", "dimensions": ["level"], "measures": measures},
        "output": {"kind": "aggregate", "format": "csv"},
    }  # fmt: skip
    return derive(parse(spec), sources, codes=SessionCodes(), halves=3)


def columns(perturbed: tuple[str, ...]) -> set[str]:
    return {name.partition(":")[0] for name in perturbed}


def test_the_column_that_says_which_clinic_is_changed_for_persons_alone(tmp_path: Path) -> None:
    clinic, person = derived(tmp_path, "v.fee").kinds
    assert columns(clinic.perturbed) == {"visit.fee"} and columns(person.perturbed) == {"visit.fee", "visit.cid"}
    assert clinic.not_perturbed == person.not_perturbed == ()


def test_no_clinic_stands_out_because_all_visits_were_sent_to_it(tmp_path: Path) -> None:
    """With `visit.cid` set to its minimum one clinic had them all: it made up nearly the whole change of its cell."""
    clinic, _ = derived(tmp_path, "v.fee").kinds
    shares = clinic.cells.filter(pl.col("n_informative") > 0)["change_share"]
    assert len(shares) and shares.max() < 0.1  # type: ignore[operator]


@pytest.mark.parametrize("who", ["v.cid = 42", "c.cid = 42", "v.cid - 42 = 0"])
def test_the_fees_of_one_clinic_among_constants_are_seen_whatever_its_column_is_called(
    who: str, tmp_path: Path
) -> None:
    found = derived(tmp_path, f"CASE WHEN {who} THEN v.fee ELSE 1000 END")
    clinic, _ = found.kinds
    moved = clinic.cells.filter(pl.col("measure") == "s")["n_informative"].to_list()
    assert sorted(moved) == [0, 1]
    assert [one.columns for one in found.suspects] == [(f"{'clinic' if 'c.cid' in who else 'visit'}.cid",)]


def test_an_amount_made_of_it_alone_is_an_amount_made_of_keys(tmp_path: Path) -> None:
    clinic, person = derived(tmp_path, "v.cid").kinds
    assert clinic.not_perturbed == ("visit.cid",) and person.not_perturbed == ()
