"""`pds simulate` on folders: references found, declared, asked about; rows in proportion; what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from api.cli.main import run
from pipelines.relations import references
from synthetic.fields import Field

Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def do(*arguments: object) -> tuple[int, Any]:
        capsys.readouterr()
        code = run([str(a) for a in (*arguments, "--json")])
        return code, json.loads(capsys.readouterr().out)

    return do


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Departments, their staff (with managers), and what they hand in; a code list; one table that stands alone."""
    out, rng = tmp_path_factory.mktemp("shop"), np.random.default_rng(3)
    staff, bills = 600, 1_500
    kinds = pl.DataFrame({"kind": ["K1", "K2", "K3"], "label": ["travel", "goods", "other"]})
    people = pl.DataFrame(
        {
            "staff_id": np.arange(1_000, 1_000 + staff),
            "manager_id": [None if i < 30 else 1_000 + int(v) for i, v in enumerate(rng.integers(0, 60, staff))],
            "grade": rng.choice(["A", "B", "C"], staff),
            "pay": np.round(rng.lognormal(9, 0.4, staff), 2),
            "hired": (np.datetime64("2010-01-01") + rng.integers(0, 4_000, staff)).astype(str),
        }
    )
    who = rng.integers(0, staff, bills)
    handed = pl.DataFrame(
        {
            "单号": [f"B{i:06d}" for i in range(bills)],
            "staff_id": people["staff_id"].to_numpy()[who],
            "grade": people["grade"].to_numpy()[who],
            "kind": rng.choice(kinds["kind"].to_numpy(), bills),
            "paid": (np.datetime64("2021-06-01") + rng.integers(0, 900, bills)).astype(str),
            "net": np.round(rng.lognormal(6, 1, bills), 2),
            "tax": np.round(rng.lognormal(4, 1, bills), 2),
        }
    ).with_columns((pl.col("net") + pl.col("tax")).round(2).alias("gross"))
    alone = pl.DataFrame({"区": rng.choice(["东", "西"], 300), "数值": rng.normal(0, 9, 300).round(3)})
    for name, frame in {"kinds": kinds, "people": people, "bills": handed, "alone": alone}.items():
        frame.write_csv(out / f"{name}.csv")
    (out / "read me.md").write_text("not a table")
    return out


PLAN = """
references:
  - {table: people, column: manager_id, parent: people, to: staff_id}
tables:
  kinds: {columns: {label: {semantic: category}}}
  bills:
    orders: [["people.hired", paid]]
    sums: [{total: gross, parts: [net, tax]}]
    ranges: [{column: net, min: 1, max: 100000}]
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("plan") / "plan.yaml"
    file.write_text(PLAN, "utf-8")
    return file


def frames(document: Any) -> dict[str, pl.DataFrame]:
    return {t["name"]: pl.read_parquet(t["files"]["parquet"]) for t in document["tables"]}


def test_a_folder_of_related_files_joins_and_keeps_its_rules(
    call: Call, folder: Path, plan: Path, tmp_path: Path
) -> None:
    code, document = call(
        "simulate", folder, "--rows", 400, "--seed", 4, "--plan", plan, "--engine", "tree", "--out", tmp_path
    )
    told = {t["name"]: t for t in document["tables"]}
    assert code == 0, [(n, t["verdict"]["findings"]) for n, t in told.items()]
    assert {n: t["rows"] for n, t in told.items()} == {"alone": 400, "bills": 1_000, "kinds": 3, "people": 400}
    assert {n: t["parents"] for n, t in told.items()} == {
        "alone": [], "bills": ["people", "kinds"], "kinds": [], "people": [],
    }  # fmt: skip
    assert all((t["orphans"], t["constraint_violations"]) == (0, 0) for t in told.values())
    made = frames(document)
    joined = made["bills"].join(made["people"], on="staff_id").join(made["kinds"], on="kind")
    assert joined.height == 1_000
    assert (joined["grade"] == joined["grade_right"]).all()
    assert (joined["hired"].cast(pl.String) <= joined["paid"].cast(pl.String)).all()
    assert made["people"]["manager_id"].drop_nulls().is_in(made["people"]["staff_id"].implode()).all()
    assert made["bills"].select(((pl.col("net") + pl.col("tax") - pl.col("gross")).abs() < 0.006).all()).item()
    used = {(r["table"], r["column"]): r for r in document["references"] if r["used"]}
    assert {k: r["source"] for k, r in used.items()} == {
        ("people", "manager_id"): "declared", ("bills", "staff_id"): "found", ("bills", "kind"): "found",
    }  # fmt: skip
    assert used["bills", "staff_id"]["copies"] == [{"column": "grade", "to": "grade"}]


def test_files_given_one_by_one_are_the_folder_and_the_seed_repeats(
    call: Call, folder: Path, plan: Path, tmp_path: Path
) -> None:
    files = [folder / f"{n}.csv" for n in ("people", "bills", "kinds", "alone")]
    made = []
    for number, paths in enumerate(([folder], files)):
        _, document = call(
            "simulate", *paths, "--rows", 300, "--seed", 4, "--plan", plan, "--engine", "tree",
            "--out", tmp_path / str(number),
        )  # fmt: skip
        made.append(frames(document))
    assert set(made[0]) == set(made[1])
    assert all(made[0][n].equals(made[1][n]) for n in made[0])


def test_a_child_without_its_parent_is_refused_where_declared_and_made_alone_where_not(
    call: Call, folder: Path, plan: Path, tmp_path: Path
) -> None:
    declared = tmp_path / "plan.yaml"
    declared.write_text("references: [{table: bills, column: staff_id, parent: people, to: staff_id}]\n", "utf-8")
    arguments = ["simulate", folder / "bills.csv", "--rows", 300, "--engine", "tree", "--out", tmp_path / "out"]
    code, document = call(*arguments, "--plan", declared)
    assert (code, document["error"]["code"]) == (1, "simulation.parent_missing")
    assert "people" in document["error"]["text"]["zh"]
    assert not (tmp_path / "out").exists()
    code, document = call(*arguments)
    assert code == 0
    assert document["references"] == []
    assert document["tables"][0]["rows"] == 300


@pytest.mark.parametrize(
    ("text", "expected", "exit_code"),
    [
        ("references: [{table: bills, column: nobody, parent: people, to: staff_id}]", "plan.reference", 1),
        ("references: [{table: bills, parent: people}]", "plan.reference", 1),
        ("tables: {nothing: {rows: 3}}", "usage.plan", 2),
        ("tables: {bills: {colums: {}}}", "usage.plan", 2),
        ("surprise: 1", "usage.plan", 2),
        ("tables: {bills: {orders: [[paid]]}}", "plan.constraint", 1),
        ("tables: {bills: {orders: [[paid, net]]}}", "plan.constraint", 1),
        ("tables: {bills: {orders: [[nothing, paid]]}}", "plan.unknown_column", 1),
    ],
)
def test_a_plan_that_does_not_hold_is_refused(
    call: Call, folder: Path, tmp_path: Path, text: str, expected: str, exit_code: int
) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(text, "utf-8")
    code, document = call(
        "simulate", folder / "people.csv", folder / "bills.csv", "--rows", 50, "--plan", file, "--engine", "tree",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert (code, document["error"]["code"]) == (exit_code, expected)


def test_an_empty_folder_and_two_tables_of_one_name_are_wrong_use(call: Call, folder: Path, tmp_path: Path) -> None:
    code, document = call("simulate", tmp_path, "--rows", 5, "--out", tmp_path / "out")
    assert (code, document["error"]["code"]) == (2, "usage.no_file")
    for place in ("a", "b", "c"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "t.csv").write_text("x,y\n1,2\n3,4\n")
    code, document = call("simulate", *(tmp_path / p for p in "abc"), "--rows", 5, "--out", tmp_path / "out")
    assert (code, document["error"]["code"]) == (2, "usage.same_name")


def test_a_column_is_fixed_in_the_tables_that_learn_it_or_refused(
    call: Call, folder: Path, plan: Path, tmp_path: Path
) -> None:
    arguments = ["simulate", folder, "--rows", 250, "--plan", plan, "--engine", "tree", "--out", tmp_path]
    code, document = call(*arguments, "--given", "grade=B", "--given", "pay=5000..20000")
    assert code == 0
    made = frames(document)
    assert set(made["people"]["grade"]) == set(made["bills"]["grade"]) == {"B"}
    assert made["people"]["pay"].is_between(5_000, 20_000).all()
    code, document = call(*arguments, "--given", "staff_id=1001")
    assert (code, document["error"]["code"]) == (2, "usage.given")


# ── which references are found ──


def found(**tables: pl.DataFrame) -> dict[tuple[str, str, str, str], bool]:
    plans = {n: [Field(c, "text", "category") for c in f.columns] for n, f in tables.items()}
    return {(r.table, r.columns[0], r.parent, r.to[0]): r.certain for r in references(tables, (), plans)}


IDS = [f"P{i:03d}" for i in range(40)]


def test_same_name_and_every_value_inside_a_unique_key_is_certain() -> None:
    parent, child = pl.DataFrame({"code": IDS, "pid": IDS}), pl.DataFrame({"pid": IDS[:9] * 3})
    assert found(parent=parent.select("pid"), child=child) == {("child", "pid", "parent", "pid"): True}


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        (pl.DataFrame({"pid": IDS}), pl.DataFrame({"pid": [*IDS[:9], "X1"] * 3})),
        (pl.DataFrame({"pid": [*IDS, IDS[0]]}), pl.DataFrame({"pid": IDS[:9] * 3})),
        (pl.DataFrame({"pid": IDS}), pl.DataFrame({"whose": IDS[:9] * 3})),
    ],
)
def test_what_is_nearly_so_or_not_named_so_is_asked(parent: pl.DataFrame, child: pl.DataFrame) -> None:
    assert list(found(parent=parent, child=child).values()) == [False]


def test_numbers_refer_only_by_name() -> None:
    parent, child = pl.DataFrame({"id": range(1, 50)}), pl.DataFrame({"amount": [1, 2, 3] * 9, "id": range(1, 28)})
    assert found(customers=parent, orders=child) == {}
    named = child.select(pl.col("amount").alias("customer_id"))
    assert found(customers=parent, orders=named) == {("orders", "customer_id", "customers", "id"): True}


def test_a_circle_is_broken_by_a_question() -> None:
    one = pl.DataFrame({"aid": IDS, "bid": [f"Q{i % 20:03d}" for i in range(40)]})
    two = pl.DataFrame({"bid": [f"Q{i:03d}" for i in range(40)], "aid": IDS[:20] * 2})
    assert sorted(found(one=one, two=two).values()) == [False, True]
