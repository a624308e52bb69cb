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


# ── real values in other clothes ──


@pytest.mark.parametrize(
    ("column", "spelt"),
    [
        ("手机号", lambda v: f"+86 {v[:3]}-{v[3:7]}-{v[7:]}"),
        ("手机号", lambda v: v.translate({ord("0") + i: chr(0xFF10 + i) for i in range(10)})),
        ("身份证号", lambda v: f"{v[:6]} {v[6:14]} {v[14:]}".lower()),
        ("姓名", lambda v: f"{v[0]}　{v[1:]}"),
    ],
)
def test_real_value_spelt_otherwise_is_blocked(
    honest: gates.Evidence, edition: Any, real: pl.DataFrame, column: str, spelt: Any
) -> None:
    assert "real_values" in failed(changed(honest, **{column: [spelt(real.get_column(column)[11])]}), edition)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("手机号", "2024-01-05 来电 {0}-{1} 已回复"),
        ("身份证号", "证件{0}{1}已核"),
        ("姓名", "联系人:{0}{1},电话另附"),
        ("住址", "现住{0}{1},已搬离"),
    ],
)
def test_real_value_inside_a_remark_is_blocked(
    honest: gates.Evidence, edition: Any, real: pl.DataFrame, column: str, text: str
) -> None:
    value = real.get_column(column)[11]
    found = gates.judge(changed(honest, 备注=[text.format(value[:3], value[3:])]), edition)
    assert [f.place for f in found.findings] == ["备注 (inside text)"]


def test_real_number_in_a_label_that_was_learned_is_blocked(
    honest: gates.Evidence, edition: Any, real: pl.DataFrame
) -> None:
    found = gates.judge(changed(honest, 职业=[f"工人{real['手机号'][3]}", real["手机号"][4]]), edition)
    assert [f.place for f in found.findings] == ["职业 (inside text)"]
    assert found.findings[0].measured == 2


def test_rare_label_with_blanks_around_it_is_still_that_label(honest: gates.Evidence, edition: Any) -> None:
    assert failed(changed(honest, 职业=[f" {RARE_JOB} "]), edition) == {"rare_categories"}


def test_label_of_merged_ones_is_no_rare_label(honest: gates.Evidence, edition: Any) -> None:
    """Three real people have 其他 as their job; the simulated 其他 stands for all merged labels, for nobody."""
    assert honest.real is not None
    every = honest.real.every.with_columns(职业=pl.col("职业").replace(RARE_JOB, "其他"))
    evidence = replace(changed(honest, 职业=["其他"]), real=replace(honest.real, every=every), _closer={})
    assert "rare_categories" not in failed(evidence, edition)


def test_extreme_of_one_person_with_many_rows_is_unique(honest: gates.Evidence, edition: Any) -> None:
    assert honest.real is not None
    top = honest.real.every["月收入"].max()
    owner = honest.real.every.filter(pl.col("月收入") == top)
    every = pl.concat([honest.real.every, *[owner] * 11])
    evidence = replace(changed(honest, 月收入=[top]), real=replace(honest.real, every=every), _closer={})
    assert "unique_extremes" in failed(evidence, edition)


def test_common_combinations_are_no_copies(edition: Any) -> None:
    """Rows that hundreds share come again more often in typical rows than in the holdout; nobody is copied."""
    rng = np.random.default_rng(0)
    columns = {"性别": ["男", "女"], "区": list("甲乙丙"), "类": list("子丑寅卯")}
    real = pl.DataFrame({n: rng.choice(v, 1_000) for n, v in columns.items()})
    rare = pl.DataFrame({"性别": ["男"] * 30, "区": ["丁"] * 30, "类": [f"罕{i}" for i in range(30)]})
    fields = [Field(n, "text", "category", level=1) for n in columns]
    made, every = real.sample(fraction=1.0, with_replacement=True, seed=1), pl.concat([real, rare])
    fitted, holdout = split(every, fields, 0.5, 0)
    evidence = gates.Evidence(
        "tree", made, fields, (), {}, 1_030, Fidelity.unknown(), "仿真数据", gates.RealRows(every, fitted, holdout)
    )
    assert outcomes(evidence, edition)["exact_rows"] is Outcome.PASS


# ── inference of a sensitive column ──


def attacked(evidence: gates.Evidence, edition: Any) -> tuple[Outcome, Any]:
    verdict = gates.judge(evidence, edition)
    run = next(r for r in verdict.rules if edition.rule(r.rule).check == "sensitive_inference")
    return run.outcome, run.measured


def test_attack_gains_nothing_from_honest_rows_and_much_from_copies(honest: gates.Evidence, edition: Any) -> None:
    outcome, measured = attacked(honest, edition)
    assert outcome is Outcome.PASS
    assert measured["low"] <= measured["advantage"] + 0.01 <= measured["high"] + 0.02
    assert measured["copies"] > 0.5


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_rows_that_keep_the_sensitive_value_of_people_are_blocked(
    honest: gates.Evidence, edition: Any, share: float
) -> None:
    """Every other value may be changed a little: who knows the person still finds the income."""
    assert honest.real is not None
    learned = [f.name for f in honest.learned]
    moved = honest.real.fitted.with_columns(pl.col("登记日期").dt.offset_by("1d")).select(learned)
    count = round(share * honest.simulated.height)
    made = honest.simulated.with_columns(
        pl.concat([moved.sample(count, with_replacement=True, seed=1).get_column(n),
                   honest.simulated.get_column(n).tail(honest.simulated.height - count)]) for n in learned
    )  # fmt: skip
    outcome, measured = attacked(replace(honest, simulated=made, _closer={}), edition)
    assert outcome is Outcome.BLOCK
    assert measured["low"] > edition.by_check("sensitive_inference").parameters.max_advantage


def test_attack_that_would_miss_copies_is_an_error(honest: gates.Evidence, edition: Any) -> None:
    """Each person's income is a coin toss that two hundred others with the same values share: copies tell a little,
    too little to be sure, and no stronger attacker exists."""
    rng = np.random.default_rng(3)
    frame = pl.DataFrame({"性别": rng.choice(["男", "女"], 120), "月收入": rng.choice([1.0, 2.0, 3.0], 120)})
    fields = [Field("性别", "text", "category", "quasi", 2), Field("月收入", "decimal", "amount", "sensitive", 3)]
    sides = frame.head(60), frame.tail(60)
    evidence = replace(
        honest, simulated=frame, fields=fields, constraints=(), real=gates.RealRows(frame, *sides), _closer={}
    )
    assert attacked(evidence, edition)[0] is Outcome.ERROR


def test_a_value_that_few_people_have_counts_like_one_that_most_have(honest: gates.Evidence, edition: Any) -> None:
    """Nineteen of twenty are in order: who always guesses that is mostly right, and knows nothing of the others."""
    rng = np.random.default_rng(4)

    def people() -> pl.DataFrame:
        state = ["欠缴" if i % 20 == 0 else "正常" for i in range(240)]
        return pl.DataFrame({"年龄": rng.normal(50, 15, 240), "状态": rng.permutation(state)})

    real, fresh = people(), people()
    fields = [Field("年龄", "decimal", "number", "quasi", 2), Field("状态", "text", "category", "sensitive", 3)]
    sides = gates.RealRows(real, real.head(120), real.tail(120))
    found = [
        attacked(replace(honest, simulated=made, fields=fields, constraints=(), real=sides, _closer={}), edition)
        for made in (fresh, real.head(120))
    ]
    assert [outcome for outcome, _ in found] == [Outcome.PASS, Outcome.BLOCK]


def test_where_nothing_is_sensitive_or_known_there_is_nothing_to_infer(honest: gates.Evidence, edition: Any) -> None:
    tame = [replace(f, role="none", level=2) if f.role == "sensitive" else f for f in honest.fields]
    assert attacked(replace(honest, fields=tame), edition) == (Outcome.PASS, 0.0)
    alone = [f for f in honest.fields if f.name == "月收入"]
    evidence = replace(honest, fields=alone, constraints=(), simulated=honest.simulated.select("月收入"), _closer={})
    assert attacked(evidence, edition) == (Outcome.PASS, 0.0)


# ── no gate passes unmeasured ──

UNMEASURABLE: dict[str, Any] = {
    "exact_rows": lambda e: replace(e, real=replace(e.real, holdout=e.real.holdout.clear())),
    "real_values": lambda e: replace(e, real=replace(e.real, every=e.real.every.drop("手机号"))),
    "rare_categories": lambda e: replace(e, real=replace(e.real, every=e.real.every.drop("职业"))),
    "unique_extremes": lambda e: replace(e, real=replace(e.real, every=e.real.every.drop("月收入"))),
    "closer_to_training": lambda e: replace(e, real=replace(e.real, holdout=e.real.holdout.clear()), _closer={}),
    "copy_control": lambda e: replace(e, real=replace(e.real, fitted=e.real.fitted.clear()), _closer={}),
    "sensitive_inference": lambda e: replace(e, real=replace(e.real, holdout=e.real.holdout.clear())),
    "orphans": lambda e: replace(e, fields=[replace(f, references=("户", "x")) for f in e.fields]),
    "constraint_violations": lambda e: replace(e, simulated=e.simulated.drop("职业"), _closer={}),
    "unclassified_columns": lambda e: replace(e, fields=None),
    "fidelity_ratio": lambda e: replace(e, fidelity=Fidelity.unknown()),
    "minimum_rows": lambda e: replace(e, people=None),
    "fit_limits": lambda e: replace(e, real=replace(e.real, fitted=None)),
    "modelled_columns": lambda e: replace(e, fields=None),
    "engines": lambda e: replace(e, engine=None),
    "simulated_label": lambda e: replace(e, mark=None),
}


def test_every_gate_has_a_case_in_which_it_cannot_be_computed() -> None:
    assert set(UNMEASURABLE) == set(gates.CHECKS) | set(gates.COMPARISONS)


@pytest.mark.parametrize("check", sorted(UNMEASURABLE))
def test_gate_that_cannot_be_computed_blocks(honest: gates.Evidence, edition: Any, check: str) -> None:
    broken = UNMEASURABLE[check](honest)
    assert outcomes(broken, edition)[check] in (Outcome.BLOCK, Outcome.ERROR)
    assert gates.judge(broken, edition).outcome in (Outcome.BLOCK, Outcome.ERROR)


def test_unknown_rule_is_an_error(honest: gates.Evidence, edition: Any) -> None:
    rule = edition.rules[0].model_copy(update={"check": "no_such_check"})
    odd = edition.model_copy(update={"rules": (rule, *edition.rules[1:])})
    assert gates.judge(honest, odd).outcome is Outcome.ERROR


def test_counts_of_parts_add_up(honest: gates.Evidence, edition: Any, real: pl.DataFrame) -> None:
    """A table longer than one part is counted to its last row."""
    long = pl.concat([honest.simulated] * 51)
    last = long.tail(1).with_columns(职业=pl.lit(RARE_JOB), 手机号=pl.lit(real["手机号"][3]))
    evidence = replace(honest, simulated=pl.concat([long, last]))
    for check in ("rare_categories", "real_values"):
        measure = gates.COMPARISONS[check](evidence, honest.real, edition.by_check(check).parameters, edition)
        assert (measure.value, measure.passed) == (1, False)
