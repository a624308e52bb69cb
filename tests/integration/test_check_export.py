"""Checking files without a platform: with a job, with a source only, with a history, with nothing."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest

from policies.verdict import Outcome, Verdict
from sandbox.exports.standalone import check_files, rules_out_of_scope
from sandbox.kernel.errors import BadInput
from sandbox.products.spec_errors import SpecError

JOB = """
job: fees-by-district
edition: 1
inputs: {visit: {grant: G-1}}
from: visit
dimensions: [区]
measures: {人次: {op: count}, 人数: {op: count_distinct, of: 身份证号}, 次均费用: {op: mean, of: 费用, round: 1}}
output: {kind: aggregate, format: csv}
"""


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    rng = random.Random(3)
    rows = [(f"K{i:05d}", ["东区", "南区", "西区"][i % 3], rng.randint(40, 300)) for i in range(330)] * 2
    path = tmp_path / "visits.csv"
    pl.DataFrame(rows, schema=["身份证号", "区", "费用"], orient="row").write_csv(path)
    return path


def table(visits: Path, name: str = "fees-by-district.csv", keep: pl.Expr | None = None, base: int = 5) -> Path:
    """What an honest merchant would hand in: counts to the nearest multiple, mean to one decimal."""
    frame = pl.read_csv(visits).filter(pl.lit(True) if keep is None else keep)
    count = ((2 * pl.len() + base) // (2 * base) * base).alias("人次")
    people = ((2 * pl.col("身份证号").n_unique() + base) // (2 * base) * base).alias("人数")
    out = frame.group_by("区").agg(count, people, pl.col("费用").mean().round(1).alias("次均费用")).sort("区")
    path = visits.parent / name
    out.write_csv(path)
    return path


def rules(verdict: Verdict, *outcomes: Outcome) -> set[str]:
    return {run.rule for run in verdict.rules if run.outcome in outcomes}


def test_an_honest_file_passes_with_its_job(visits: Path) -> None:
    verdict = check_files(table(visits), visits, "身份证号", JOB)
    assert verdict.outcome is Outcome.PASS, verdict.findings


def test_an_honest_file_is_matched_to_its_source_without_a_job(visits: Path) -> None:
    verdict = check_files(table(visits), visits, "身份证号")
    assert verdict.outcome is Outcome.PASS, verdict.findings


def test_a_file_without_its_source_is_review_at_best(visits: Path) -> None:
    verdict = check_files(table(visits))
    assert verdict.outcome is Outcome.REVIEW
    assert "EXP-LANE-01" in rules(verdict, Outcome.REVIEW)


def test_a_number_that_was_changed_blocks_with_the_job_and_is_unmatched_without(visits: Path) -> None:
    path = table(visits)
    path.write_text(path.read_text().replace("220", "225", 1))
    assert "EXP-ROUND-01" in rules(check_files(path, visits, "身份证号", JOB), Outcome.BLOCK)
    assert "EXP-LANE-01" in rules(check_files(path, visits, "身份证号"), Outcome.REVIEW)


def test_one_person_many_times_is_one_entity(visits: Path) -> None:
    frame = pl.read_csv(visits, schema_overrides={"身份证号": pl.String})
    extra = pl.DataFrame([("K00001", "北区", 100 + i) for i in range(60)], schema=frame.schema, orient="row")
    pl.concat([frame, extra]).write_csv(visits)
    verdict = check_files(table(visits), visits, "身份证号", JOB)
    assert {"EXP-CELL-01", "EXP-DOM-01"} <= rules(verdict, Outcome.BLOCK)


def test_the_same_table_without_one_person_is_found_in_the_history(visits: Path, tmp_path: Path) -> None:
    (tmp_path / "released").mkdir()
    before = table(visits, keep=pl.col("身份证号") != "K00003")
    earlier = tmp_path / "released" / "2026-05.csv"
    before.rename(earlier)
    earlier.with_suffix(".yaml").write_text(
        JOB.replace("dimensions:", 'where: [{column: 身份证号, op: "<>", value: K00003}]\ndimensions:'),
        encoding="utf-8",
    )
    verdict = check_files(table(visits), visits, "身份证号", JOB, history=tmp_path / "released")
    assert {"EXP-DIFF-01", "EXP-DIFF-02"} <= rules(verdict, Outcome.BLOCK)


def test_an_equal_earlier_release_is_no_finding(visits: Path, tmp_path: Path) -> None:
    (tmp_path / "released").mkdir()
    table(visits).rename(tmp_path / "released" / "2026-05.csv")
    verdict = check_files(table(visits), visits, "身份证号", JOB, history=tmp_path / "released")
    assert verdict.outcome is Outcome.PASS, verdict.findings


def test_a_history_that_cannot_be_matched_never_passes(visits: Path, tmp_path: Path) -> None:
    (tmp_path / "released").mkdir()
    (tmp_path / "released" / "other.csv").write_text("甲,乙\n1,2\n", encoding="utf-8")
    verdict = check_files(table(visits), visits, "身份证号", JOB, history=tmp_path / "released")
    assert verdict.outcome in (Outcome.ERROR, Outcome.REVIEW) and "EXP-DIFF-01" not in rules(verdict, Outcome.PASS)


def test_raw_rows_and_their_keys_are_found_under_disguise(visits: Path, tmp_path: Path) -> None:
    import hashlib

    frame = pl.read_csv(visits).unique(maintain_order=True)
    frame.write_csv(visits)
    raw = tmp_path / "raw.csv"
    frame.sort("费用").head(40).select("费用", "区", "身份证号").write_csv(raw)
    assert {"EXP-RAW-01", "EXP-JOIN-01"} <= rules(check_files(raw, visits, "身份证号"), Outcome.BLOCK)
    for encode in (hashlib.md5, hashlib.sha256, lambda b: hashlib.new("sm3", b)):
        hashed = frame.head(40).with_columns(
            pl.col("身份证号").map_elements(lambda v, e=encode: e(v.encode()).hexdigest(), pl.String)
        )
        hashed.write_csv(raw)
        assert "EXP-JOIN-01" in rules(check_files(raw, visits, "身份证号"), Outcome.BLOCK)


def test_rules_about_the_platform_are_out_of_scope(visits: Path) -> None:
    assert set(rules_out_of_scope()) == {"grant_and_lineage", "level_allowed", "label"}
    ran = {run.rule for run in check_files(table(visits)).rules}
    assert not ran & {"EXP-GRANT-01", "EXP-LEVEL-01", "EXP-LABEL-01"}


def test_wrong_arguments_are_told(visits: Path, tmp_path: Path) -> None:
    path = table(visits)
    with pytest.raises(BadInput, match="entity"):
        check_files(path, visits, "无此列", JOB)
    with pytest.raises(SpecError):
        check_files(path, visits, "身份证号", JOB.replace("费用,", "无此列,"))
    with pytest.raises(BadInput):
        check_files(path, {"other": visits}, "身份证号", JOB)
    (tmp_path / "x.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput):
        check_files(path, tmp_path / "x.bin", "身份证号", JOB)
