"""What the machine will be able to prove of a job, told from the catalogue's facts before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.products import forecast
from sandbox.products.source import EntityKey, Source
from sandbox.products.spec import parse
from tests.export_subjects import write

CUBE = {"dimensions": ["区"], "measures": {"n": {"op": "count"}}}


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Source]:
    visit = write(tmp_path / "v.parquet", {"pid": ["A"], "cid": ["C"], "区": ["东"], "费": [1]})
    clinic = write(tmp_path / "c.parquet", {"cid": ["C"], "级": ["一"]})
    keys = (EntityKey("person", "pid"), EntityKey("clinic", "cid"))
    return {
        "visit": Source((str(visit),), "sha256:1", keys, roles={"区": "quasi"}),
        "clinic": Source((str(clinic),), "sha256:2", (EntityKey("clinic", "cid"),)),
    }


def job(*steps: dict[str, Any], from_: str, measures: dict[str, Any] | None = None, **more: Any) -> Any:
    cube = {"from": from_, **CUBE, **({"measures": measures} if measures else {})}
    return parse({
        "job": "j", "edition": 2, "inputs": {"visit": {"grant": "G-1"}, "clinic": {"grant": "G-2"}},
        "prepare": list(steps), "product": cube, "output": {"kind": "aggregate", "format": "csv"},
        **more,
    })  # fmt: skip


def fates(spec: Any, sources: dict[str, Source]) -> dict[tuple[str, str], str]:
    return {(one.kind, one.step): one.fate for one in forecast.forecast(spec, sources)}


def test_every_step_is_foreseen_for_every_kind(sources: dict[str, Source]) -> None:
    spec = job(
        {"name": "k", "sql": "SELECT cid, 级 FROM clinic"},
        {"name": "v", "sql": "SELECT 区, 费, 级 FROM visit JOIN k USING (cid)"},
        from_="v",
        reference=[{"name": "r", "from": "v", "dimensions": [], "measures": {"m": {"op": "mean", "of": "费"}}}],
    )
    assert fates(spec, sources) == {
        ("person", "k"): "free", ("person", "v"): "carried", ("person", "r"): "reference",
        ("person", "product"): "carried", ("clinic", "k"): "carried", ("clinic", "v"): "carried",
        ("clinic", "r"): "reference", ("clinic", "product"): "carried",
    }  # fmt: skip


def test_a_refusal_names_its_place_and_what_waits_for_it(sources: dict[str, Source]) -> None:
    spec = job(
        {"name": "v", "sql": "SELECT 区, 费,\n  rank() OVER (ORDER BY 费) AS 名次 FROM visit"},
        {"name": "w", "sql": "SELECT 区 FROM v"},
        from_="w",
    )
    assert [fates(spec, sources)["person", step] for step in ("v", "w", "product")] == ["refused", "waiting", "waiting"]
    refusals = next(one.refusals for one in forecast.forecast(spec, sources) if one.step == "v")
    assert refusals[0].line == 2 and refusals[0].repair.zh and refusals[0].repair.en


def test_a_script_goes_to_people_and_so_do_several_owners_and_extremes(sources: dict[str, Source]) -> None:
    script = {"name": "s", "script": "result = 1", "reads": ["visit"], "columns": {"区": "text"}}
    pairs = {"name": "p", "sql": "SELECT 区 FROM visit", "owners": "several"}
    spec = job(script, pairs, from_="s")
    assert fates(spec, sources)["person", "product"] == "waiting"
    assert [one.path for one in forecast.reviews(spec)] == ["prepare[1]", "prepare[2].owners"]
    low = job(from_="visit", measures={"低": {"op": "min", "of": "费"}})
    assert [one.path for one in forecast.reviews(low)] == ["product.measures.低"]


def test_what_no_catalogue_can_make_provable_is_said_without_one() -> None:
    spec = job({"name": "v", "sql": "SELECT random() AS 区 FROM visit"}, from_="v")
    (refusal,) = forecast.unprovable(spec)
    assert (refusal.step, refusal.line) == ("v", 1)
    assert forecast.unprovable(job({"name": "v", "sql": "SELECT 区 FROM visit"}, from_="v")) == []


def test_an_expression_that_tells_people_apart_is_shown(sources: dict[str, Source]) -> None:
    text = "SELECT 区, CASE WHEN pid = 'A' THEN 费 ELSE 0 END AS 费 FROM visit"
    spec = job({"name": "v", "sql": text}, from_="v", measures={"s": {"op": "sum", "of": "费"}})
    assert [s.columns for s in forecast.suspects(spec, sources)] == [("visit.pid",)]
