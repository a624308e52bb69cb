"""Evidence of whole jobs: steps, references, frozen sub-queries and margins; repeated, stopped and out of time."""

from __future__ import annotations

import random

import polars as pl
import pytest

from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import Budget, Cancelled, Evidence, derive
from sandbox.products.source import EntityKey, Source
from sandbox.products.spec import parse

JOB = """
job: visits
edition: 2
inputs: {person: {grant: G-1}, visit: {grant: G-2}}
prepare:
  - name: v
    sql: "SELECT p.street, v.fee, v.pid, v.cid FROM visit v JOIN person p USING (pid)
      WHERE v.fee < (SELECT avg(fee) * 10 FROM visit)"
reference:
  - {name: city, from: person, dimensions: [], measures: {m: {op: mean, of: income}}}
product:
  from: v
  dimensions: [street]
  margins: [[]]
  measures: {n: {op: count}, k: {op: count_distinct, of: pid}, s: {op: sum, of: fee}, md: {op: median, of: fee},
    mx: {op: max, of: fee}, sd: {op: stddev, of: fee}, r: {op: ratio, of: fee, per: count}}
output: {kind: aggregate, format: csv}
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Source]:
    folder, rng = tmp_path_factory.mktemp("city"), random.Random(1)
    pids = [i if i % 50 else None for i in range(-3, 297)]
    person = {"pid": pids, "street": [rng.choice(["东", "西", None]) for _ in pids],
              "income": [float(rng.randint(1, 99)) for _ in pids],
              "group": [f"g{i % 7}" for i in range(len(pids))]}  # fmt: skip
    visit = {"pid": [rng.randint(0, 290) for _ in range(900)], "cid": [rng.randint(0, 9) for _ in range(900)],
             "fee": [rng.choice([None, 5.5, 7.25, 100.0]) for _ in range(900)]}  # fmt: skip
    pl.DataFrame(person).write_parquet(folder / "person.parquet")
    pl.DataFrame(visit).write_parquet(folder / "visit.parquet")
    keys = {
        "person": (EntityKey("person", "pid", holding="group"),),
        "visit": (EntityKey("person", "pid"), EntityKey("clinic", "cid")),
    }
    return {name: Source((str(folder / f"{name}.parquet"),), f"sha256:{name}", own) for name, own in keys.items()}


@pytest.fixture(scope="module")
def evidence(sources: dict[str, Source]) -> Evidence:
    return derive(parse(JOB), sources, codes=SessionCodes(), halves=3)


def test_product_references_and_frozen_sub_queries_are_each_proved_for_every_kind(evidence: Evidence) -> None:
    assert sum(one.name == "city" for one in evidence.references) == 1 and len(evidence.references) == 2
    for one in (evidence, *evidence.references):
        assert [kind.kind for kind in one.kinds] == ["clinic", "person"]
        assert all(kind.proved for kind in one.kinds) and not one.over_budget
    city = next(one for one in evidence.references if one.name == "city")
    assert [kind.touched for kind in city.kinds] == [False, True]


def test_a_margin_never_meets_a_street_that_is_missing(evidence: Evidence, sources: dict[str, Source]) -> None:
    person, visit = (pl.read_parquet(sources[name].files[0]) for name in ("person", "visit"))
    rows = visit.join(person, on="pid").filter(pl.col("fee").is_not_null())
    empty = [i for i, row in enumerate(evidence.rows) if row[0] is None]
    assert [evidence.groupings[i] for i in empty] == [0, 1]
    wanted = [rows.filter(pl.col("street").is_null())["pid"].n_unique(), rows["pid"].n_unique()]
    cells = evidence.kinds[1].cells.filter(pl.col("measure") == "k")
    assert [cells["n"][i] for i in empty] == wanted


def test_holdings_are_merged_for_amounts_and_not_for_heads(evidence: Evidence) -> None:
    total = evidence.kinds[1].cells.filter((pl.col("measure") == "n") & (pl.col("cell") == len(evidence.rows) - 1))
    assert total["n"][0] > 7 and total["x1"][0] >= total["x_total"][0] / 7


def test_a_verdict_is_repeated_with_the_recorded_seed(evidence: Evidence, sources: dict[str, Source]) -> None:
    again = derive(parse(JOB), sources, codes=SessionCodes(), halves=3, seed=lambda _: evidence.record.seed)
    assert again.record == evidence.record


class Impatient:
    """Lets some steps begin, then asks to stop."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def progress(self, step: str, share: float) -> None:
        self.left -= 1

    def cancelled(self) -> bool:
        return self.left < 0


@pytest.mark.parametrize("steps", [0, 2, 6])
def test_a_proof_that_is_stopped_leaves_nothing_half_judged(steps: int, sources: dict[str, Source]) -> None:
    with pytest.raises(Cancelled):
        derive(parse(JOB), sources, codes=SessionCodes(), watch=Impatient(steps))


def test_what_does_not_fit_the_budget_is_named_and_never_proved(sources: dict[str, Source]) -> None:
    found = derive(parse(JOB), sources, codes=SessionCodes(), budget=Budget(times=0.0))
    assert found.rows and found.over_budget
    assert not any(kind.proved for one in (found, *found.references) for kind in one.kinds)
