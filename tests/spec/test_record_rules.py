"""Record-level rules as a table: classes on both sides of every size, diversity and closeness worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from policies.verdict import Outcome
from sandbox.exports.classes import Classes, class_sizes, masked
from sandbox.exports.gate import run_rule
from sandbox.exports.records import ColumnRole, RecordFacts, TableRoles
from sandbox.exports.subject import ExportFile, ExportSubject, matched
from sandbox.products.source import EntityKey, Source
from tests.export_subjects import cells, edition

PASS, REVIEW, BLOCK, ERROR = Outcome.PASS, Outcome.REVIEW, Outcome.BLOCK, Outcome.ERROR
ROLES = {"区": "quasi", "年龄": "quasi", "诊断": "sensitive", "费用": "sensitive", "年份": "open"}


def records(frame: pl.DataFrame, audience: Any = "contract", people: pl.DataFrame | None = None) -> ExportSubject:
    """A file of records whose columns have the roles above by lineage."""
    columns = [ColumnRole(i, name, ROLES[name], "lineage") for i, name in enumerate(frame.columns, 1)]  # type: ignore[arg-type]
    facts = RecordFacts((TableRoles("t.csv", tuple(columns), people),), 100_000, {})
    file = ExportFile("t.csv", frame.write_csv().encode())
    return ExportSubject(files=(file,), audience=audience, form="record", records=facts)


def outcome(subject: ExportSubject, rule: str, **parameters: Any) -> Outcome:
    found = edition().rule(rule)
    found = found.model_copy(update={"parameters": found.parameters.model_copy(update=parameters)})
    return run_rule(found, subject).run.outcome


def classes(*sizes: int) -> pl.DataFrame:
    rows = [(f"{n}区", 30 + n, f"病{i % 4}") for n, size in enumerate(sizes) for i in range(size)]
    return pl.DataFrame(rows, schema=["区", "年龄", "诊断"], orient="row")


SIZES = [
    ("public", 20, PASS), ("public", 19, BLOCK), ("contract", 5, PASS), ("contract", 4, BLOCK), ("enclave", 3, PASS),
    ("enclave", 2, BLOCK),
]  # fmt: skip


@pytest.mark.parametrize(("audience", "size", "expected"), SIZES)
def test_the_smallest_class_by_audience(audience: str, size: int, expected: Outcome) -> None:
    assert outcome(records(classes(50, size), audience), "EXP-KANON-01") is expected


RISKS: list[tuple[str, tuple[int, ...], dict[str, Any], Outcome]] = [
    ("public", (21, 21), {}, PASS), ("public", (21, 20), {}, BLOCK),
    ("public", (21, 20), {"risk_compare": "le"}, PASS), ("public", (19,), {"risk_compare": "le"}, BLOCK),
    ("contract", (5,), {"context_contract": 0.2}, PASS), ("contract", (5,), {"context_contract": 0.3}, BLOCK),
    ("contract", (4, 4000), {}, BLOCK), ("enclave", (3,), {"context_enclave": 0.15}, BLOCK),
    ("enclave", (3,), {"context_enclave": 0.14}, PASS),
    # the mean over the classes, (1/5 + 1/50) / 2 × 0.5 = 0.055, and not over the rows
    ("contract", (5, 50), {"context_contract": 0.5}, BLOCK),
]  # fmt: skip


@pytest.mark.parametrize(("audience", "sizes", "change", "expected"), RISKS)
def test_overall_risk(audience: str, sizes: tuple[int, ...], change: dict[str, Any], expected: Outcome) -> None:
    assert outcome(records(classes(*sizes), audience), "EXP-RISK-01", **change) is expected


def test_records_are_never_for_everybody() -> None:
    assert outcome(records(classes(50), "public"), "EXP-ROW-01") is BLOCK
    assert outcome(records(classes(50), "contract"), "EXP-ROW-01") is PASS


def test_a_missing_value_is_a_class_of_its_own() -> None:
    frame = classes(50).with_columns(区=pl.when(pl.int_range(pl.len()) < 4).then(None).otherwise("区"))
    assert outcome(records(frame), "EXP-KANON-01") is BLOCK
    frame = frame.with_columns(区=pl.when(pl.int_range(pl.len()) < 5).then(None).otherwise("区"))
    assert outcome(records(frame), "EXP-KANON-01") is PASS


def test_rows_of_one_person_count_once() -> None:
    subject = records(classes(50, 6))
    people = pl.DataFrame({"1": ["0区", "1区"], "2": ["30", "31"], "entities": [50, 1]})
    assert outcome(subject, "EXP-KANON-01") is PASS
    assert outcome(records(classes(50, 6), people=people), "EXP-KANON-01") is BLOCK


DIVERSE = [
    (["a"] * 6, BLOCK, "one value"),
    (["a", "b"] * 3, PASS, "two alike"),
    (["a"] * 5 + ["b"], BLOCK, "five of six are one"),
    (["a"] * 4 + ["b"] * 2, PASS, "entropy of 4:2 is 0.637, ln 1.5 is 0.405"),
    ([None] * 5 + ["a"], BLOCK, "missing values hide nobody"),
    ([None] * 6, PASS, "nobody has a value"),
]


@pytest.mark.parametrize(("values", "expected", "why"), DIVERSE, ids=[d[2] for d in DIVERSE])
def test_diversity(values: list[str | None], expected: Outcome, why: str) -> None:
    frame = pl.DataFrame({"区": ["东"] * 6, "诊断": values}, schema={"区": pl.String, "诊断": pl.String})
    assert outcome(records(frame), "EXP-LDIV-01") is (PASS if expected is PASS else REVIEW)


def test_recursive_diversity_by_hand() -> None:
    # counts 6, 2, 1: with l = 3 the tail is 1; 6 < 3·1 is false. With l = 2 it is 3: 6 < 9
    frame = pl.DataFrame({"区": ["东"] * 9, "诊断": ["a"] * 6 + ["b"] * 2 + ["c"]})
    assert outcome(records(frame), "EXP-LDIV-01", recursive_l=2) is PASS
    assert outcome(records(frame), "EXP-LDIV-01", recursive_l=3) is REVIEW
    (row,) = Classes([cells(frame["区"])], 9).variety(cells(frame["诊断"]), 3).iter_rows(named=True)
    assert (row["first"], row["tail"], row["distinct"], row["top"]) == (6, 1, 3, 6 / 9)
    shares = (6 / 9, 2 / 9, 1 / 9)
    assert row["entropy"] == pytest.approx(-sum(p * math.log(p) for p in shares))


def far(quasi: list[str], values: list[str | None]) -> dict[str, float]:
    found = Classes([cells(pl.Series(quasi))], len(quasi)).distances(cells(pl.Series(values, dtype=pl.String)))
    return dict(zip(dict.fromkeys(quasi), found.tolist(), strict=True))


def test_closeness_of_categories_by_hand() -> None:
    found = far(["x"] * 4 + ["y"] * 4, ["a", "a", "b", "b", "a", "a", "a", "c"])
    # all: a 5/8, b 2/8, c 1/8. x: ½(1/8 + 2/8 + 1/8) = 1/4; y: ½(1/8 + 2/8 + 1/8) = 1/4
    assert found == {"x": pytest.approx(0.25), "y": pytest.approx(0.25)}


def test_closeness_of_numbers_follows_their_order_by_hand() -> None:
    # Li et al.: salaries 3k … 11k, class {3k, 4k, 5k} against nine values: 0.375
    salaries = ["3", "4", "5", "6", "8", "11", "7", "9", "10"]
    found = far(["1"] * 3 + ["2"] * 3 + ["3"] * 3, salaries)
    assert found["1"] == pytest.approx(0.375)
    # class {6k, 8k, 11k} of the same example: 0.167
    assert found["2"] == pytest.approx(1 / 6)


def test_closeness_counts_a_missing_value_and_ignores_a_constant() -> None:
    assert far(["x", "x", "y", "y"], ["5", "5", "5", "5"]) == {"x": 0.0, "y": 0.0}
    assert far(["x", "x", "y", "y"], [None, None, "5", "5"])["x"] == pytest.approx(0.5)


def test_without_quasi_identifiers_all_rows_are_one_class() -> None:
    values = pl.Series("1", ["a", "b", "c"])
    assert class_sizes(values.to_frame().lazy(), []).collect()["size"].to_list() == [3]
    assert Classes([], 3).distances(cells(values)).tolist() == [0.0]


MASKED = [
    (["138****0000", "139****1234"], True), (["4401**********12", None], True), (["张*", "李**"], True),
    (["王某", "李某某"], True), (["张三", "李四"], False), (["*", "*"], False), (["A01", "B02"], False),
]  # fmt: skip


@pytest.mark.parametrize(("values", "expected"), MASKED)
def test_masked_identifiers_still_tell_people_apart(values: list[str | None], expected: bool) -> None:
    assert masked(cells(pl.Series(values))) is expected


def source(folder: Path) -> Source:
    n = 600
    frame = pl.DataFrame({
        "身份证号": [f"K{i:05d}" for i in range(n)], "所属区": [["东区", "西区", "南区"][i % 3] for i in range(n)],
        "出生年": [1940 + i % 50 for i in range(n)], "诊断": [f"病种{i % 7}" for i in range(n)], "年份": [2025] * n,
    })  # fmt: skip
    frame.write_parquet(folder / "s.parquet")
    roles: Any = {"所属区": "quasi", "出生年": "quasi", "诊断": "sensitive", "年份": "open"}
    return Source((str(folder / "s.parquet"),), "sha256:s", (EntityKey("person", "身份证号"),), roles=roles)


def roles_in(tmp_path: Path, frame: pl.DataFrame) -> dict[str, tuple[str, str]]:
    subject = ExportSubject(files=(ExportFile("t.csv", frame.write_csv().encode()),), audience="contract")
    facts = matched(subject, {"s": source(tmp_path)}).records
    assert facts is not None
    return {c.name: (c.role, c.known) for c in facts.tables[0].columns}


def test_roles_follow_the_grading_through_names_values_and_bands(tmp_path: Path) -> None:
    rows = pl.read_parquet(source(tmp_path).files[0]).head(90)
    found = roles_in(tmp_path, rows.select(
        "身份证号", "所属区", "诊断", "年份", x=pl.col("出生年"), 出生年段=pl.col("出生年") // 10, y=pl.col("诊断"),
        手机=pl.lit("138****0001"), 备用=pl.lit("q"),
    ))  # fmt: skip
    assert found["身份证号"] == ("direct", "lineage")
    assert found["所属区"] == ("quasi", "lineage") and found["诊断"] == ("sensitive", "lineage")
    assert found["年份"] == ("open", "lineage")
    assert found["x"] == ("quasi", "values") and found["y"] == ("sensitive", "values")
    assert found["出生年段"] == ("quasi", "name") and found["手机"] == ("quasi", "lineage")
    assert found["备用"] == ("quasi", "unknown")


def test_repeating_the_rows_of_a_few_adds_nobody(tmp_path: Path) -> None:
    full = pl.read_parquet(source(tmp_path).files[0])
    few = full.filter((pl.col("出生年") == 1941) & (pl.col("所属区") == "东区")).select("所属区", "出生年", "诊断")
    assert few.height == 4
    twice = pl.concat([few, few])
    subject = ExportSubject(
        files=(ExportFile("t.csv", twice.write_csv().encode()),), audience="contract", form="record"
    )
    assert outcome(matched(subject, {"s": source(tmp_path)}), "EXP-KANON-01") is BLOCK


def test_a_guessed_role_goes_to_a_person_and_a_missing_look_is_an_error() -> None:
    file = ExportFile("t.csv", classes(50).write_csv().encode())
    alone = ExportSubject(files=(file,), audience="contract", form="record", lane="file")
    assert outcome(alone, "EXP-KANON-01") is not PASS
    assert outcome(ExportSubject(files=(file,), audience="contract", form="record"), "EXP-KANON-01") is ERROR
    nothing = ExportSubject(files=(ExportFile("t.txt", b"x"),), audience="contract", form="record", lane="file")
    assert outcome(nothing, "EXP-KANON-01") is ERROR


FIRMS = [
    ("企业名称,纳税额\n甲厂,5\n", REVIEW),
    ("行业,纳税额\n制造业,5\n", PASS),
    ("企业名称,注册资本\n甲厂,5\n", PASS),
]


@pytest.mark.parametrize(("content", "expected"), FIRMS)
def test_what_is_not_public_beside_the_name_of_a_firm(content: str, expected: Outcome) -> None:
    subject = ExportSubject(files=(ExportFile("t.csv", content.encode()),), audience="contract", form="record")
    assert outcome(subject, "EXP-FIRM-01") is expected


def test_the_whole_register_is_no_selection() -> None:
    from dataclasses import replace

    subject = records(classes(50))
    assert subject.records is not None
    for people, expected in ((100, REVIEW), (101, PASS), (None, REVIEW)):
        judged = replace(subject, records=replace(subject.records, entities=people))
        assert outcome(judged, "EXP-ENTITY-01") is expected
