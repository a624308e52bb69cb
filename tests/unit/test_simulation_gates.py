"""Every gate is green on honest rows and red on the violation it exists for."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from policies.editions import load
from policies.verdict import Outcome
from synthetic import gates
from synthetic.distance import Comparison
from synthetic.fidelity import Fidelity, measure
from synthetic.fields import Field
from synthetic.filling import Parent
from synthetic.simulate import simulate, split
from tests.simulation_tables import RARE_JOB, RESIDENT_FIELDS, RESIDENT_RULES, residents

ROWS = 2_000


@pytest.fixture(scope="module")
def edition() -> Any:
    return load("simulation", "2026-01")


@pytest.fixture(scope="module")
def real() -> pl.DataFrame:
    return residents(ROWS)


@pytest.fixture(scope="module")
def honest(real: pl.DataFrame, edition: Any) -> gates.Evidence:
    """Evidence about rows of the tree engine, built the way `simulate` builds it."""
    fitted, holdout = split(real, RESIDENT_FIELDS, 0.2, 7)
    made = simulate(
        real, RESIDENT_FIELDS, rows=ROWS, seed=7, engine="tree", policy=edition, constraints=RESIDENT_RULES
    ).frame
    learned = [f for f in RESIDENT_FIELDS if f.learned]
    return gates.Evidence(
        "tree", made, RESIDENT_FIELDS, RESIDENT_RULES, {}, people=real.height,
        fidelity=measure(made, fitted, holdout, learned), mark="仿真数据",
        real=gates.RealRows(real, fitted, holdout),
    )  # fmt: skip


def outcomes(evidence: gates.Evidence, edition: Any) -> dict[str, Outcome]:
    verdict = gates.judge(evidence, edition)
    return {edition.rule(run.rule).check: run.outcome for run in verdict.rules}


def failed(evidence: gates.Evidence, edition: Any) -> set[str]:
    return {check for check, outcome in outcomes(evidence, edition).items() if outcome is not Outcome.PASS}


def changed(evidence: gates.Evidence, **columns: Any) -> gates.Evidence:
    """The same evidence with the first cells of columns overwritten."""
    made = evidence.simulated
    for name, values in columns.items():
        column = made.get_column(name)
        made = made.with_columns(column.scatter(list(range(len(values))), pl.Series(values, dtype=column.dtype)))
    return replace(evidence, simulated=made, _closer={})


def test_honest_rows_pass_every_gate(honest: gates.Evidence, edition: Any) -> None:
    verdict = gates.judge(honest, edition)
    assert verdict.outcome is Outcome.PASS
    assert len(verdict.rules) == len(edition.rules)
    assert verdict.findings == ()


def test_policy_names_only_predicates_that_exist(edition: Any) -> None:
    assert {rule.check for rule in edition.rules} == set(gates.CHECKS) | set(gates.COMPARISONS)


def test_copies_of_real_rows_are_blocked(honest: gates.Evidence, edition: Any, real: pl.DataFrame) -> None:
    assert honest.real is not None
    copies = honest.real.fitted.sample(ROWS, with_replacement=True, seed=1)
    found = failed(replace(honest, simulated=copies, _closer={}), edition)
    assert {"exact_rows", "closer_to_training", "real_values"} <= found


def test_one_copied_row_is_enough(honest: gates.Evidence, edition: Any) -> None:
    assert honest.real is not None
    learned = [f.name for f in honest.learned]
    row = honest.real.fitted.select(learned).row(0)
    found = failed(changed(honest, **{n: [v] for n, v in zip(learned, row, strict=True)}), edition)
    assert "exact_rows" in found


def test_nearly_copied_rows_are_closer_to_training(honest: gates.Evidence, edition: Any) -> None:
    """Copies with one value moved are no exact rows any more; the distance still gives them away."""
    assert honest.real is not None
    copies = honest.real.fitted.sample(ROWS, with_replacement=True, seed=1).with_columns(pl.col("月收入") + 0.01)
    checks = outcomes(replace(honest, simulated=copies, _closer={}), edition)
    assert checks["closer_to_training"] is Outcome.BLOCK
    assert checks["copy_control"] is Outcome.PASS


@pytest.mark.parametrize("column", ["身份证号", "姓名", "手机号", "住址", "备注"])
def test_real_value_in_a_generated_column_is_blocked(
    honest: gates.Evidence, edition: Any, real: pl.DataFrame, column: str
) -> None:
    found = gates.judge(changed(honest, **{column: [real.get_column(column)[11]]}), edition)
    finding = next(f for f in found.findings if f.rule == "SIM-IDENT-01")
    assert finding.severity is Outcome.BLOCK
    assert column in finding.place
    assert real.get_column(column)[11] not in str(found.as_dict())


def test_real_identifier_inside_free_text_is_blocked(honest: gates.Evidence, edition: Any, real: pl.DataFrame) -> None:
    found = failed(changed(honest, 备注=[f"请联系{real.get_column('手机号')[3]}办理"]), edition)
    assert found == {"real_values"}


def test_rare_category_is_blocked(honest: gates.Evidence, edition: Any) -> None:
    assert failed(changed(honest, 职业=[RARE_JOB]), edition) == {"rare_categories"}


def test_category_of_many_rows_of_one_person_counts_as_rare(honest: gates.Evidence, edition: Any) -> None:
    assert honest.real is not None
    one = honest.real.every.with_columns(
        pl.when(pl.int_range(pl.len()) < 50).then(pl.lit("独有")).otherwise("职业").alias("职业"),
        pl.when(pl.int_range(pl.len()) < 50).then(pl.col("身份证号").first()).otherwise("身份证号").alias("身份证号"),
    )
    evidence = replace(changed(honest, 职业=["独有"]), real=replace(honest.real, every=one))
    assert "rare_categories" in failed(evidence, edition)


def test_unique_extreme_is_blocked(honest: gates.Evidence, edition: Any, real: pl.DataFrame) -> None:
    assert failed(changed(honest, 月收入=[real.get_column("月收入").max()]), edition) == {"unique_extremes"}


def test_broken_order_and_disagreeing_id_are_counted(honest: gates.Evidence, edition: Any) -> None:
    late = changed(honest, 登记日期=[date(1900, 1, 1)])
    assert failed(late, edition) == {"constraint_violations"}
    sexes = honest.simulated.get_column("性别")
    other = changed(honest, 性别=["女" if sexes[0] == "男" else "男"])
    assert failed(other, edition) == {"constraint_violations"}


def test_repeated_key_is_a_violation(honest: gates.Evidence, edition: Any) -> None:
    number = honest.simulated.get_column("身份证号")[1]
    assert "constraint_violations" in failed(changed(honest, 身份证号=[number]), edition)


def test_orphan_is_blocked(honest: gates.Evidence, edition: Any) -> None:
    keyed = [replace(f, references=("户", "手机号")) if f.name == "手机号" else f for f in honest.fields]
    parent = Parent(honest.simulated.select("手机号")[1:], ROWS)
    evidence = replace(honest, fields=keyed, parents={"户": parent})
    assert failed(evidence, edition) == {"orphans"}
    assert failed(replace(evidence, parents={"户": Parent(honest.simulated, ROWS)}), edition) == set()


def test_reference_to_an_unknown_parent_is_an_error(honest: gates.Evidence, edition: Any) -> None:
    keyed = [replace(f, references=("户", "手机号")) if f.name == "手机号" else f for f in honest.fields]
    assert outcomes(replace(honest, fields=keyed), edition)["orphans"] is Outcome.ERROR


def test_gate_that_cannot_recognise_copies_is_an_error(edition: Any) -> None:
    """With two labels every row has a twin in the holdout: distance cannot tell copies, so it may not pass anything."""
    frame = pl.DataFrame({"性别": np.random.default_rng(0).choice(["男", "女"], 600)})
    fields = (Field("性别", "text", "category", level=1),)
    fitted, holdout = split(frame, fields, 0.3, 0)
    evidence = gates.Evidence(
        "tree", frame, fields, (), {}, 600, Fidelity.unknown(), "仿真数据", gates.RealRows(frame, fitted, holdout)
    )
    assert outcomes(evidence, edition)["copy_control"] is Outcome.ERROR
    assert gates.judge(evidence, edition).outcome is Outcome.ERROR


def test_missing_real_rows_never_pass_for_an_engine_that_reads_them(honest: gates.Evidence, edition: Any) -> None:
    blind = outcomes(replace(honest, real=None), edition)
    assert {check for check, outcome in blind.items() if outcome is Outcome.ERROR} == set(gates.COMPARISONS)


def test_empty_holdout_is_an_error(honest: gates.Evidence, edition: Any) -> None:
    assert honest.real is not None
    none = replace(honest, real=replace(honest.real, holdout=honest.real.holdout.clear()), _closer={})
    assert {"exact_rows", "closer_to_training", "copy_control"} <= failed(none, edition)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"mark": "数据"}, "simulated_label"),
        ({"engine": "other"}, "engines"),
        ({"people": 100}, "minimum_rows"),
        ({"fidelity": Fidelity(0.5, 0.5, 0.5, 0.9, 0.55, {})}, "fidelity_ratio"),
        ({"fidelity": Fidelity.unknown()}, "fidelity_ratio"),
    ],
)
def test_other_rules_can_fail(honest: gates.Evidence, edition: Any, change: dict[str, Any], check: str) -> None:
    assert failed(replace(honest, **change), edition) == {check}


def test_modelled_identifier_and_unplanned_column_are_blocked(honest: gates.Evidence, edition: Any) -> None:
    direct = [replace(f, role="direct") if f.name == "职业" else f for f in honest.fields]
    assert failed(replace(honest, fields=direct), edition) == {"modelled_columns"}
    extra = replace(honest, simulated=honest.simulated.with_columns(x=pl.lit(1)))
    assert failed(extra, edition) == {"unclassified_columns"}


def test_too_many_fitted_rows_are_counted(honest: gates.Evidence, edition: Any) -> None:
    assert honest.real is not None
    many = replace(honest, real=replace(honest.real, fitted=pl.concat([honest.real.fitted] * 40)))
    assert not gates.CHECKS["fit_limits"](many, edition.by_check("fit_limits").parameters).passed


def test_distance_is_not_biased_by_ties_or_by_sizes() -> None:
    """Rows of the same population score 0.5 though most of them tie and one set is nine times the other."""
    fields = (Field("a", "text", "category"), Field("b", "integer", "number"))

    def rows(count: int, seed: int) -> pl.DataFrame:
        rng = np.random.default_rng(seed)
        return pl.DataFrame({"a": rng.choice(list("xyz"), count), "b": rng.integers(0, 40, count)})

    fitted, holdout, fresh = rows(4_500, 1), rows(500, 2), rows(4_000, 3)
    share = Comparison(fitted, fitted, holdout, fields).closer([fresh]).share
    assert share is not None
    assert abs(share - 0.5) < 0.04


def test_split_keeps_a_person_on_one_side() -> None:
    people = residents(50)
    frame = pl.concat([people] * 8)
    fitted, holdout = split(frame, RESIDENT_FIELDS, 0.3, 3)
    assert fitted.height + holdout.height == frame.height
    assert not set(fitted["身份证号"]) & set(holdout["身份证号"])
