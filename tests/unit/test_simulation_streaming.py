"""Large tables in batches: the same bytes as in one piece, every gate on every row, cancelled without a trace."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from policies.editions import load
from policies.text import UserError
from policies.verdict import Finding, Outcome, RuleRun, Verdict
from synthetic import batches
from synthetic.engines.sdv_engine import SdvEngine
from synthetic.fields import Field
from synthetic.filling import Parent
from synthetic.simulate import Simulated, simulate
from synthetic.streaming import simulate_file
from tests.simulation_tables import (
    RESIDENT_FIELDS,
    RESIDENT_RULES,
    RESIDENTS,
    VISIT_FIELDS,
    VISITS,
    residents,
    visits,
)

REAL, BATCH, ROWS = 1_600, 1_000, 3_300


@pytest.fixture(scope="module")
def real() -> pl.DataFrame:
    return residents(REAL)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", BATCH)


ASKED: dict[str, Any] = {"rows": ROWS, "seed": 5, "engine": "tree", "constraints": RESIDENT_RULES, "name": RESIDENTS}


def in_one_piece(real: pl.DataFrame, **changes: Any) -> Simulated:
    return simulate(real, RESIDENT_FIELDS, **ASKED | changes)


def test_file_holds_the_rows_of_one_piece(real: pl.DataFrame, tmp_path: Path) -> None:
    whole = in_one_piece(real)
    path, manifest, verdict = simulate_file(tmp_path, real, RESIDENT_FIELDS, **ASKED)
    assert path is not None
    assert verdict.outcome is Outcome.PASS, verdict.findings
    assert pl.read_parquet(path).equals(whole.frame)
    assert manifest == whole.manifest
    assert verdict == whole.verdict
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [1_000, 1_000, 1_000, 300]
    assert file.metadata.metadata[b"mark"].decode() == "仿真数据"
    assert [p.name for p in tmp_path.iterdir()] == ["居民登记_仿真数据.parquet"]


def test_same_seed_same_bytes_and_another_seed_differs(real: pl.DataFrame, tmp_path: Path) -> None:
    paths = [simulate_file(tmp_path / n, real, RESIDENT_FIELDS, **ASKED)[0] for n in ("a", "b")]
    other, _, _ = simulate_file(tmp_path / "c", real, RESIDENT_FIELDS, **ASKED | {"seed": 6})
    assert paths[0] is not None
    assert paths[1] is not None
    assert other is not None
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert not pl.read_parquet(other).equals(pl.read_parquet(paths[0]))


def test_a_large_table_begins_with_the_rows_of_a_small_one(real: pl.DataFrame) -> None:
    assert in_one_piece(real).frame[:BATCH].equals(in_one_piece(real, rows=BATCH).frame)


def test_identifiers_stay_different_across_batches(real: pl.DataFrame) -> None:
    made = in_one_piece(real).frame
    assert made["身份证号"].n_unique() == ROWS
    assert made["手机号"].drop_nulls().is_unique().all()


def test_batches_of_crowded_codes_stay_different() -> None:
    """Three digits leave room for 1,000 codes only: later batches must make room, not repeat."""
    rng = np.random.default_rng(1)
    frame = pl.DataFrame({"编号": [f"A{i:03d}" for i in range(900)], "数": np.round(rng.normal(0, 50, 900))})
    fields = [Field("编号", "text", "key", "direct", 2, nullable=False), Field("数", "decimal", "number", level=2)]
    made = simulate(frame, fields, rows=2_500, seed=1, engine="tree").frame
    assert made["编号"].n_unique() == 2_500
    assert not set(made["编号"]) & set(frame["编号"])


def test_children_of_each_batch_have_parents_of_their_own(real: pl.DataFrame) -> None:
    parent = Parent(in_one_piece(real).frame, REAL)
    child = visits(real, 4_000)
    made = simulate(child, VISIT_FIELDS, rows=2_500, seed=2, engine="tree", parents={RESIDENTS: parent}, name=VISITS)
    assert made.verdict.outcome is Outcome.PASS, made.verdict.findings
    joined = made.frame.join(parent.frame, on="身份证号")
    assert joined.height == 2_500
    assert (joined["姓名"] == joined["姓名_right"]).all()
    seen = [set(made.frame["身份证号"][start : start + BATCH]) for start in range(0, 2_500, BATCH)]
    assert not seen[0] & seen[1]
    assert not seen[1] & seen[2]


# ── every row is judged ──


def test_one_broken_row_in_the_last_batch_blocks_the_table() -> None:
    edition = load("simulation")
    good, broken = edition_verdict(edition, {}), edition_verdict(edition, {"constraint_violations": 1})
    joined = batches.joined([(1_000, good), (1_000, good), (300, broken)], edition, {})
    assert joined.outcome is Outcome.BLOCK
    assert [f.rule for f in joined.findings] == ["SIM-CONS-01"]


def edition_verdict(edition: Any, failing: dict[str, Any]) -> Verdict:
    """A verdict in which the named checks measured what is given, and failed."""
    runs, findings = [], []
    for rule in edition.rules:
        bad = rule.check in failing
        measured = failing.get(rule.check, 0)
        outcome = rule.on_fail if bad else Outcome.PASS
        runs.append(RuleRun(rule.id, outcome, measured, 0))
        if bad:
            findings.append(Finding(rule.id, outcome, f"列{measured}", measured, 0, rule.title))
    return Verdict.conclude(edition.policy, edition.edition, edition.digest, runs, findings)


def test_counts_add_up_and_shares_are_averaged_by_rows() -> None:
    edition = load("simulation")
    checks = {rule.id: rule.check for rule in edition.rules}
    parts = [
        (3_000, edition_verdict(edition, {"rare_categories": 2, "closer_to_training": 0.6})),
        (1_000, edition_verdict(edition, {"rare_categories": 5, "closer_to_training": 0.8})),
    ]
    joined = batches.joined(parts, edition, {})
    measured = {checks[r.rule]: r.measured for r in joined.rules}
    assert measured["rare_categories"] == 7
    assert measured["closer_to_training"] == pytest.approx(0.65)
    assert {checks[f.rule]: f.place for f in joined.findings} == {
        "rare_categories": "列2、列5", "closer_to_training": "列0.6、列0.8"
    }  # fmt: skip


def test_a_gate_that_could_not_run_on_one_batch_is_an_error() -> None:
    edition = load("simulation")
    good = edition_verdict(edition, {})
    runs = [replace(r, outcome=Outcome.ERROR, measured=None) if r.rule == "SIM-DCR-01" else r for r in good.rules]
    bad = Verdict.conclude(edition.policy, edition.edition, edition.digest, runs, ())
    assert batches.joined([(10, good), (10, bad), (10, good)], edition, {}).outcome is Outcome.ERROR


def test_a_key_that_comes_again_in_another_batch_blocks() -> None:
    edition = load("simulation")
    good = edition_verdict(edition, {})
    joined = batches.joined([(10, good), (10, good)], edition, {"编号": 3, "别的": 0})
    assert joined.outcome is Outcome.BLOCK
    assert [(f.rule, f.measured, f.place) for f in joined.findings] == [("SIM-CONS-01", 3, "编号: unique")]


def test_repeats_are_counted_over_all_batches() -> None:
    rng = np.random.default_rng(0)
    parts = [pl.DataFrame({"k": rng.integers(0, 5_000, 1_500).astype(str)}) for _ in range(4)]
    with batches.Repeats([Field("k", "text", "key")]) as repeats:
        for part in parts:
            repeats.add(part.with_columns(pl.col("k").replace("7", None)))
        whole = pl.concat(parts)["k"].replace("7", None).drop_nulls()
        assert repeats.count() == {"k": len(whole) - whole.n_unique()}


def test_a_value_given_out_before_is_always_recognised() -> None:
    values = pl.Series([f"v{i}" for i in range(20_000)])
    issued = batches.Issued(20_000)
    issued.add(values)
    assert issued.holds(values).all()
    new = pl.Series([f"w{i}" for i in range(20_000)])
    assert issued.holds(new).mean() < 0.12


def test_blocked_rows_leave_no_file(tmp_path: Path) -> None:
    """Two labels only: nobody can prove that copies would be noticed."""
    frame = pl.DataFrame({"性别": np.random.default_rng(0).choice(["男", "女"], 600)})
    fields = [Field("性别", "text", "category", level=1)]
    path, manifest, verdict = simulate_file(tmp_path, frame, fields, rows=2_500, seed=1, engine="tree")
    assert path is None
    assert verdict.outcome is Outcome.ERROR
    assert manifest["rows"] == 2_500
    assert list(tmp_path.iterdir()) == []


# ── progress and cancel ──


def test_progress_names_every_step_and_never_falls(real: pl.DataFrame) -> None:
    told: list[tuple[str, float]] = []
    in_one_piece(real, progress=lambda step, share: told.append((step, share)))
    names, shares = [t[0] for t in told], [t[1] for t in told]
    assert set(names) == set(batches.STEPS)
    assert names.count("draw") == names.count("judge") == 4
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] == 1.0


class Cancelled(Exception):
    """What the one who asked raises to stop."""


@pytest.mark.parametrize("at", range(9))
def test_raising_from_progress_stops_at_once_and_leaves_nothing(real: pl.DataFrame, tmp_path: Path, at: int) -> None:
    told: list[str] = []

    def cancel(step: str, share: float) -> None:
        del share
        told.append(step)
        if len(told) > at:
            raise Cancelled

    with pytest.raises(Cancelled):
        simulate_file(tmp_path, real, RESIDENT_FIELDS, **ASKED, progress=cancel)
    assert len(told) == at + 1
    assert list(tmp_path.iterdir()) == []


# ── candidates that do not run ──


def with_auto(*engines: str) -> Any:
    edition = load("simulation")
    rules = [
        r.model_copy(update={"parameters": r.parameters.model_copy(update={"auto": engines})})
        if r.check == "engines" else r
        for r in edition.rules
    ]  # fmt: skip
    return edition.model_copy(update={"rules": tuple(rules)})


def broken(*_: object) -> None:
    raise ValueError("440103199001010011 is not a number")


def test_a_candidate_that_raises_is_shown_as_not_run(real: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SdvEngine, "_synthesizer", broken)
    made = in_one_piece(real, engine="auto", rows=500)
    ran, failed = made.manifest["candidates"]
    assert (ran["engine"], ran["outcome"]) == ("tree", "pass")
    assert (failed["engine"], failed["outcome"], failed["code"]) == ("sdv", "not_run", "engine.failed")
    assert "ValueError" in failed["reason"]["en"]
    assert "440103" not in str(made.manifest)


def test_an_engine_asked_for_alone_says_that_it_broke_but_not_on_what(
    real: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SdvEngine, "_synthesizer", broken)
    with pytest.raises(UserError) as caught:
        in_one_piece(real, engine="sdv", rows=500)
    assert caught.value.code == "engine.failed"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_candidate_without_its_software_is_shown_as_not_run(
    real: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    made = in_one_piece(real, engine="auto", rows=500, policy=with_auto("tree", "ctgan"))
    shown = {c["engine"]: (c["outcome"], c.get("code")) for c in made.manifest["candidates"]}
    assert shown == {"tree": ("pass", None), "ctgan": ("not_run", "engine.unavailable")}


def test_where_no_candidate_runs_structure_remains(real: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SdvEngine, "_synthesizer", broken)
    made = in_one_piece(real, engine="auto", rows=500, policy=with_auto("sdv"))
    assert [c["outcome"] for c in made.manifest["candidates"]] == ["not_run", "pass"]
    assert made.manifest["engine"]["used"] == "schema"


def test_network_engine_draws_what_it_may_and_repeats_by_seed(
    real: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="CTGAN needs torch, which is no dependency (docs/ctgan.md)")
    from synthetic.engines import sdv_engine

    monkeypatch.setattr(sdv_engine, "_CTGAN_EPOCHS", 2)
    one, two = (in_one_piece(real, engine="ctgan", rows=600) for _ in range(2))
    assert one.frame.equals(two.frame)
    assert one.manifest["engine"]["version"].startswith("sdv/2")
    assert set(one.frame["性别"]) == {"男", "女"}
    failed = {f.rule for f in one.verdict.findings}
    assert failed <= {"SIM-FIDELITY-01"}
