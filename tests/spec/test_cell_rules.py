"""The rules that read the cell table and its proofs, as tables: hand-made evidence on both sides of every threshold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from policies.text import Text
from policies.verdict import Outcome
from sandbox.exports.checks.proofs import mismatches
from sandbox.exports.gate import evaluate, run_rule, verdict_for
from sandbox.exports.history import cells_of
from sandbox.exports.subject import ExportSubject
from sandbox.exports.summary import summary
from sandbox.products.carrier import Refusal, Suspect
from sandbox.products.evidence import Evidence
from sandbox.products.spec import parse
from tests.export_subjects import PERTURBED, clean, edition, job, subject_with, with_cells, with_kind

PASS, REVIEW, BLOCK, ERROR = Outcome.PASS, Outcome.REVIEW, Outcome.BLOCK, Outcome.ERROR


def outcome(subject: ExportSubject, rule: str) -> Outcome:
    return run_rule(edition().rule(rule), subject).run.outcome


def about(kind: str, subject: ExportSubject) -> ExportSubject:
    """The same evidence, but about another kind of entity."""
    return replace(with_kind(subject, kind=kind), entity_kinds=frozenset({kind}))


# rule, what the cells say, columns of the cell table, verdict
TABLE: list[tuple[str, str, dict[str, Any], Outcome]] = [
    ("EXP-CELL-01", "rows of nobody are not entities", {"n": 0, "n_non_zero": 0}, BLOCK),
    ("EXP-CELL-01", "nine contribute more than nothing", {"n_non_zero": 9}, BLOCK),
    ("EXP-CELL-01", "nobody contributes anything", {"n_non_zero": 0}, PASS),
    ("EXP-CELL-01", "how many is not known", {"n": None}, ERROR),
    ("EXP-PROOF-02", "one entity's value matters", {"n_informative": 1}, BLOCK),
    ("EXP-PROOF-02", "nine entities' values matter", {"n_informative": 9}, BLOCK),
    ("EXP-PROOF-02", "ten entities' values matter", {"n_informative": 10}, PASS),
    ("EXP-PROOF-02", "nobody's value matters", {"n_informative": 0, "change_share": None}, PASS),
    ("EXP-PROOF-02", "one entity makes up the movement", {"change_share": 0.81}, BLOCK),
    ("EXP-PROOF-02", "one entity makes up much of it", {"change_share": 0.8}, PASS),
    ("EXP-PROOF-02", "who moved is not known", {"n_informative": None}, ERROR),
    ("EXP-PROOF-02", "how much of it is not known", {"change_share": None}, ERROR),
    ("EXP-EXTREME-01", "a minimum of nine", {"op": "min", "n_min": 9}, BLOCK),
    ("EXP-EXTREME-01", "a minimum of ten", {"op": "min", "n_min": 10}, REVIEW),
    ("EXP-EXTREME-01", "a minimum of fifteen", {"op": "min", "n_min": 15}, PASS),
    ("EXP-EXTREME-01", "a maximum of one", {"op": "max", "n_max": 1}, BLOCK),
    ("EXP-EXTREME-01", "a median with nine above", {"op": "median", "n_below": 50, "n_above": 9}, BLOCK),
    ("EXP-EXTREME-01", "a median in the middle", {"op": "median", "n_below": 50, "n_above": 50}, PASS),
    ("EXP-EXTREME-01", "a quantile with twelve above", {"op": "quantile", "n_below": 90, "n_above": 12}, REVIEW),
    ("EXP-EXTREME-01", "sides not known", {"op": "quantile", "n_below": 90}, ERROR),
    ("EXP-DOM-01", "a median is no sum", {"op": "median", "x1": None, "x2": None, "x_total": None}, PASS),
    ("EXP-DOM-01", "a mean is one", {"op": "mean", "x1": None}, ERROR),
    ("EXP-DOM-01", "an endless contribution", {"x1": float("inf")}, ERROR),
]


@pytest.mark.parametrize(("rule", "what", "values", "expected"), TABLE, ids=[f"{t[0]} {t[1]}" for t in TABLE])
def test_cells(rule: str, what: str, values: dict[str, Any], expected: Outcome) -> None:
    columns = {name: pl.lit(value) for name, value in values.items()}
    assert outcome(with_cells(clean(), **columns), rule) is expected


# contributions of one cell, verdict for persons, verdict for enterprises
GRADES = [
    ("equal shares", [1.0] * 20, PASS, PASS),
    ("one gives 49 %", [49.0] + [3.0] * 17, PASS, PASS),
    ("one gives half", [50.0] + [2.5] * 20, PASS, BLOCK),
    ("two give 66 %", [40.0, 26.0] + [2.0] * 17, PASS, PASS),
    ("two give 67 %", [40.0, 27.0] + [3.0] * 11, PASS, BLOCK),
    ("two give 90 %", [46.0, 44.0] + [1.0] * 10, BLOCK, BLOCK),
]


@pytest.mark.parametrize(("what", "contributions", "person", "enterprise"), GRADES, ids=[g[0] for g in GRADES])
def test_enterprises_are_held_to_stricter_dominance(
    what: str, contributions: list[float], person: Outcome, enterprise: Outcome
) -> None:
    subject = subject_with([("东区", contributions), ("西区", [1.0] * 60)])
    assert outcome(subject, "EXP-DOM-01") is person
    assert outcome(about("enterprise", subject), "EXP-DOM-01") is enterprise


def test_prior_knowledge_asks_for_more_to_be_left() -> None:
    subject = subject_with([("东区", [100.0, 50.0] + [1.5] * 10)])  # 15 % of the largest are left
    rule = edition().rule("EXP-DOM-02")
    assert run_rule(rule, subject).run.outcome is PASS
    wary = rule.model_copy(update={"parameters": rule.parameters.model_copy(update={"q_percent": 50.0})})
    assert run_rule(wary, subject).run.outcome is BLOCK


PROOFS: list[tuple[str, dict[str, Any], Outcome]] = [
    ("proved", {}, PASS),
    ("not reproduced", {"reproduced": False}, BLOCK),
    ("one half differs", {"halves_as_predicted": 7}, BLOCK),
    ("too few halves", {"halves": 3, "halves_as_predicted": 3}, BLOCK),
    ("nothing perturbed", {"perturbed": ()}, REVIEW),
    ("shuffled only", {"perturbed": ("t.费用:shuffle",)}, REVIEW),
    ("one column could not be", {"not_perturbed": ("t.身份证号",)}, REVIEW),
    ("several owners a row", {"several": True}, REVIEW),
    ("never reached", {"touched": False}, REVIEW),
]


@pytest.mark.parametrize(("what", "change", "expected"), PROOFS, ids=[p[0] for p in PROOFS])
def test_proofs(what: str, change: dict[str, Any], expected: Outcome) -> None:
    assert outcome(with_kind(clean(), **change), "EXP-PROOF-01") is expected


@pytest.mark.parametrize(("level", "halves", "expected"), [(1, 3, PASS), (2, 3, PASS), (2, 2, BLOCK), (3, 3, BLOCK),
                                                           (3, 8, PASS), (4, 7, BLOCK), (4, 8, PASS)])  # fmt: skip
def test_higher_levels_need_more_halves(level: int, halves: int, expected: Outcome) -> None:
    subject = replace(with_kind(clean(), halves=halves, halves_as_predicted=halves), level=level)
    assert outcome(subject, "EXP-PROOF-01") is expected


def test_what_the_budget_did_not_reach_goes_to_a_person_and_is_no_incident() -> None:
    subject = clean()
    assert subject.evidence is not None
    untried: dict[str, Any] = {"reproduced": None, "halves": 0, "halves_as_predicted": 0, "bitmaps": {}}
    untried["cells"] = subject.evidence.kinds[0].cells.clear()
    nothing = with_kind(subject, **untried)
    assert outcome(nothing, "EXP-PROOF-01") is BLOCK  # nobody said why
    assert nothing.evidence is not None
    stopped = replace(nothing, evidence=replace(nothing.evidence, over_budget=("product:person:contributions",)))
    assert stopped.evidence is not None and mismatches(stopped.evidence) == []
    assert outcome(stopped, "EXP-PROOF-01") is REVIEW
    assert outcome(stopped, "EXP-ENTITY-01") is not BLOCK
    assert mismatches(replace(with_kind(stopped, reproduced=False).evidence or nothing.evidence)) == ["product#person"]


def test_a_row_in_which_nobody_has_a_value_is_a_row_about_nobody_knows_whom() -> None:
    subject = with_cells(clean(), n_non_missing=pl.lit(0), n=pl.lit(0), n_non_zero=pl.lit(0))
    assert outcome(subject, "EXP-CELL-01") is BLOCK
    assert subject.evidence is not None
    total = replace(subject, evidence=replace(subject.evidence, dimensions=0))
    assert outcome(total, "EXP-CELL-01") is PASS


def test_a_spent_budget_goes_to_a_person_and_is_no_excuse_for_a_mismatch() -> None:
    subject = clean()
    assert subject.evidence is not None
    stopped = replace(subject, evidence=replace(subject.evidence, over_budget=("person:halves",)))
    assert outcome(with_kind(stopped, halves=2, halves_as_predicted=2), "EXP-PROOF-01") is REVIEW
    assert outcome(with_kind(stopped, halves=2, halves_as_predicted=1), "EXP-PROOF-01") is BLOCK


def reference(subject: ExportSubject) -> Evidence:
    assert subject.evidence is not None
    return replace(subject.evidence, name="city")


def resting_on(part: ExportSubject) -> ExportSubject:
    """The clean product, computed with what `part` releases as constants."""
    subject = clean()
    assert subject.evidence is not None
    return replace(subject, evidence=replace(subject.evidence, references=(reference(part),)))


REFERENCES = [
    ("clean", clean(), set()),
    ("three people", subject_with([("东区", [1.0] * 3), ("西区", [1.0] * 30)]), {"EXP-CELL-01", "EXP-GROUP-01"}),
    ("one dominates", subject_with([("东区", [1e6] + [1.0] * 30)]), {"EXP-DOM-01", "EXP-DOM-02"}),
    ("a half differs", with_kind(clean(), halves_as_predicted=7), {"EXP-PROOF-01"}),
    ("one matters", with_cells(clean(), n_informative=pl.lit(1)), {"EXP-PROOF-02"}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "part", "failing"), REFERENCES, ids=[r[0] for r in REFERENCES])
def test_a_reference_step_is_judged_as_if_released(what: str, part: ExportSubject, failing: set[str]) -> None:
    verdict = evaluate(resting_on(part), edition())
    assert failing <= {run.rule for run in verdict.rules if run.outcome is not PASS}
    assert (verdict.outcome is PASS) is not failing
    assert all("reference:city" in f.place for f in verdict.findings if f.rule in failing)


def test_what_a_reference_rests_on_is_judged_too() -> None:
    inner = resting_on(with_cells(clean(), n=pl.lit(2)))
    assert inner.evidence is not None
    outer = replace(inner, evidence=replace(clean().evidence, references=(replace(inner.evidence, name="middle"),)))  # type: ignore[type-var]
    assert outcome(outer, "EXP-CELL-01") is BLOCK


def test_a_mismatch_anywhere_is_named_as_an_incident() -> None:
    part = resting_on(with_kind(clean(), reproduced=False))
    assert part.evidence is not None
    assert mismatches(part.evidence) == ["city#person"]
    assert mismatches(clean().evidence) == []  # type: ignore[arg-type]


def test_suspect_expressions_are_shown_to_officers_only() -> None:
    subject = clean()
    assert subject.evidence is not None
    suspect = Suspect("v", "CASE WHEN pid = 42 THEN fee ELSE 1000000 END", ("visit.pid",))
    subject = replace(subject, evidence=replace(subject.evidence, suspects=(suspect,)))
    verdict = evaluate(subject, edition())
    assert verdict.outcome is REVIEW
    (finding,) = verdict_for(verdict, "officer").findings
    assert finding.rule == "EXP-EXPR-01" and finding.evidence == suspect.expression and "step=v" in finding.place
    assert "42" not in str(verdict_for(verdict, "merchant").as_dict())


REFUSED = Refusal("window", "v", 3, 7, Text("窗口跨主体", "a window crosses entities"), Text("改用 post", "use post"))


def test_a_refused_job_is_blocked_with_its_place_and_repair_and_nothing_else() -> None:
    verdict = evaluate(replace(clean(), evidence=None, refusals=(REFUSED,)), edition())
    assert verdict.outcome is BLOCK
    (finding,) = verdict.findings
    assert finding.place == "step:v#line=3;column=7" and finding.repair == REFUSED.repair
    assert verdict_for(verdict, "merchant").findings[0].text == REFUSED.text
    assert not {r.rule for r in verdict.rules if r.outcome is PASS} & {"EXP-CELL-01", "EXP-DOM-01", "EXP-PROOF-02"}


def margins(rows: list[tuple[str | None, int]], groupings: tuple[int, ...]) -> ExportSubject:
    """Counts by district, with margins (district None)."""
    subject = subject_with([(name or "", [1.0] * n) for name, n in rows])
    assert subject.evidence is not None
    values = tuple((name, n, float(n)) for name, n in rows)
    spec = parse(job()).model_copy(update={"margins": [[]] if 1 in groupings else []})
    return replace(subject, spec=spec, evidence=replace(subject.evidence, rows=values, groupings=groupings))


def test_a_margin_is_a_table_of_its_own() -> None:
    whole = [("东区", 40), ("西区", 60), (None, 100)]
    assert outcome(margins(whole, (0, 0, 1)), "EXP-GROUP-01") is PASS
    assert outcome(margins(whole, (0, 0, 1)), "EXP-ZERO-01") is PASS
    # without groupings the total would be a district that holds half of everybody
    assert outcome(margins([("东区", 95), ("西区", 5), (None, 100)], (0, 0, 1)), "EXP-GROUP-01") is REVIEW


def test_a_hidden_cell_says_nothing_of_its_group() -> None:
    subject = margins([("东区", 95), ("西区", 5), (None, 100)], (0, 0, 1))
    assert outcome(replace(subject, hidden=frozenset({(0, "人次")})), "EXP-GROUP-01") is PASS
    assert outcome(replace(subject, hidden=frozenset({(1, "人次")})), "EXP-GROUP-01") is REVIEW


def test_a_margin_that_meets_a_real_missing_value_stays_apart() -> None:
    rows = [("东区", 60), (None, 40), (None, 100)]
    assert outcome(margins(rows, (0, 0, 1)), "EXP-GROUP-01") is PASS


def test_hidden_cells_are_not_judged_as_released_but_never_pass_unaudited() -> None:
    subject = subject_with([("东区", [100.0 + i for i in range(4)]), ("西区", [100.0 + i for i in range(40)]),
                            ("南区", [100.0 + i for i in range(40)])])  # fmt: skip
    assert outcome(subject, "EXP-CELL-01") is BLOCK
    hidden = replace(subject, hidden=frozenset({(0, "人次"), (0, "金额")}))
    assert outcome(hidden, "EXP-CELL-01") is PASS
    half = replace(subject, hidden=frozenset({(0, "金额")}))
    assert outcome(half, "EXP-CELL-01") is BLOCK  # the count of the same four people is still shown
    assert outcome(half, "EXP-SUPP-01") is REVIEW
    assert outcome(hidden, "EXP-SUPP-01") is PASS  # nothing else that is released adds up to the hidden row


def test_a_hidden_row_that_a_total_or_an_earlier_release_gives_back_blocks() -> None:
    subject = margins([("东区", 40), ("西区", 4), (None, 44)], (0, 0, 1))
    hidden = replace(subject, hidden=frozenset({(1, "人次"), (1, "金额")}))
    assert outcome(hidden, "EXP-SUPP-01") is BLOCK
    assert outcome(replace(hidden, spec=parse(job())), "EXP-SUPP-01") is ERROR  # evidence of other tables
    alone = margins([("东区", 40), ("西区", 4)], (0, 0))
    alone = replace(alone, hidden=hidden.hidden)
    assert outcome(alone, "EXP-SUPP-01") is PASS
    assert alone.spec is not None and alone.evidence is not None
    earlier = cells_of(alone.spec, alone.evidence, release="R-1", base=5)
    assert outcome(replace(alone, history=earlier), "EXP-SUPP-01") is BLOCK
    assert outcome(replace(alone, history=earlier[:2]), "EXP-SUPP-01") is PASS  # what is said of others only
    assert outcome(replace(alone, history=None), "EXP-SUPP-01") is ERROR


def test_the_summary_shows_the_weakest_cells_first_and_no_entity() -> None:
    found = summary(subject_with([("东区", [5.0] * 30), ("西区", [5.0] * 12), ("南区", [5.0] * 20)]))
    (table,) = found["tables"]
    (kind,) = table["kinds"]
    assert [cell["n"] for cell in kind["worst"]] == [12, 12, 20, 20, 30, 30]
    assert kind["worst"][0]["group"] == ["西区"] and kind["smallest"]["n"] == 12
    assert kind["p2"] == {"halves": 8, "as_predicted": 8} and kind["p3"]["perturbed"] == list(PERTURBED)
