"""Repairs of a blocked job: every one is a whole job that was run and judged, and none is offered that does not
help."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl
import pytest

from policies.text import Text
from policies.verdict import Outcome, RuleRun, Verdict
from sandbox.exports.coarser import Change, Dimension, Job, second_edition
from sandbox.exports.gate import Checked, evaluate
from sandbox.exports.isolated import in_this_process
from sandbox.exports.repairs import OFFERED, TRIED, Repair, improves, suggest
from sandbox.exports.standalone import Matcher
from sandbox.exports.subject import ExportSubject
from sandbox.kernel.errors import BadInput
from sandbox.products.entities import EntityCodes
from sandbox.products.evidence import Evidence
from sandbox.products.proving import Asked
from sandbox.products.source import EntityKey, Source
from sandbox.products.spec import JobSpec, digest, parse
from tests.export_subjects import edition, job

AREAS = {"东": 240, "西": 120, "南": 60, "北": 7, "中": 5}


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Callable[[JobSpec], Checked]:
    """Runs and judges a job on visits of people of five areas, of which two are small."""
    rng, rows = random.Random(7), []
    for area, people in AREAS.items():
        rows += [
            (f"P{len(rows) + i:05d}", area, f"3301{i % 3:02d}", date(2026, 1 + i % 6, 3), 100.0 + rng.randint(0, 30))
            for i in range(people)
        ]
    path = tmp_path_factory.mktemp("visits") / "t.parquet"
    pl.DataFrame(rows, schema=["人", "区", "编码", "日期", "费用"], orient="row").write_parquet(path)
    sources = {"t": Source((str(path),), "sha256:t", (EntityKey("person", "人"),), level=2)}

    def run(spec: JobSpec) -> Checked:
        matcher = Matcher(sources, edition(), _untimed)
        subject = ExportSubject(files=(), audience="contract", lane="file", rounding_base=5)
        described = matcher.described(subject, spec, None, stated=True)
        return Checked(described, evaluate(described, edition()))

    return run


def _untimed(spec: JobSpec, sources: Mapping[str, Source], asked: Asked, codes: EntityCodes) -> Evidence:
    """On a busy machine a proof may run out of its budget, which is not what these tests are about."""
    return in_this_process(spec, sources, replace(asked, budget=None), codes)


def offered(again: Callable[[JobSpec], Checked], **changes: Any) -> tuple[Checked, tuple[Repair, ...]]:
    before = again(parse(job(**changes)))
    return before, suggest(before, again, edition())


def test_small_groups_are_merged_hidden_or_left_out(again: Callable[[JobSpec], Checked]) -> None:
    before, found = offered(again)
    assert before.verdict.outcome is Outcome.BLOCK
    assert {"merge", "suppress"} <= {one.kind for one in found} and len(found) <= OFFERED
    merge = next(one for one in found if one.kind == "merge")
    recode = merge.spec.derive["区合并"].recode
    assert recode is not None and recode.groups == {"其他": ["中", "北"]}
    assert merge.outcome is Outcome.PASS


def test_what_is_offered_gives_the_same_verdict_when_it_is_run_again(again: Callable[[JobSpec], Checked]) -> None:
    before, found = offered(again)
    for one in found:
        verdict = again(one.spec).verdict
        assert verdict.outcome is one.outcome
        assert improves(verdict, before.verdict)


def test_the_best_outcome_comes_first_and_of_equals_what_keeps_most(again: Callable[[JobSpec], Checked]) -> None:
    _, found = offered(again)
    worse = [list(Outcome).index(one.outcome) for one in found]
    assert worse == sorted(worse)
    assert len({one.id for one in found}) == len(found)


def test_a_job_that_passes_is_not_repaired(again: Callable[[JobSpec], Checked]) -> None:
    passing = job(where=[{"column": "区", "op": "in", "value": ["东", "西", "南"]}])
    before, found = offered(again, **passing)
    assert before.verdict.outcome is Outcome.PASS
    assert found == ()


def test_changes_that_make_it_worse_or_break_it_are_not_offered() -> None:
    """The second run of every change says what the first said, or cannot be made."""
    spec = parse(job())
    verdict = _verdict(block="EXP-CELL-01")
    subject = ExportSubject(files=(), audience="contract", lane="file", spec=spec)
    assert suggest(Checked(subject, verdict), _refusing, edition()) == ()


def test_trying_ends_after_so_many_changes(again: Callable[[JobSpec], Checked]) -> None:
    asked: list[str] = []
    before = again(parse(job(dimensions=["区", "编码", "日期"])))

    def counted(spec: JobSpec) -> Checked:
        asked.append(digest(spec))
        return before

    told: list[tuple[int, int]] = []
    assert suggest(before, counted, edition(), lambda done, of: told.append((done, of))) == ()
    assert len(asked) == len(set(asked)) <= TRIED
    assert told[-1] == (len(asked), TRIED)


def test_a_job_whose_last_statement_needs_what_is_dropped_is_not_broken_by_a_repair(
    again: Callable[[JobSpec], Checked],
) -> None:
    before = again(parse(job()))

    def refusing_merges(spec: JobSpec) -> Checked:
        if spec.derive:
            raise BadInput("post.column", Text("没有这一列", "no such column"))
        return again(spec)

    found = suggest(before, refusing_merges, edition())
    assert found and all(not one.spec.derive for one in found)


@pytest.mark.parametrize(("before", "after", "better"), [
    ({"block": "A"}, {"review": "A"}, True),
    ({"review": "A"}, {"block": "B"}, False),
    ({"block": "A"}, {"block": "A"}, False),
    ({"block": "A"}, {"block": "B"}, False),
    ({"block": "A B"}, {"block": "A"}, True),
    ({"block": "A", "review": "B"}, {"block": "A"}, True),
    ({"block": "A"}, {"block": "A", "review": "B"}, False),
    ({"error": "A"}, {"block": "A"}, True),
])  # fmt: skip
def test_better_is_a_better_outcome_or_fewer_rules_and_none_more(
    before: dict[str, str], after: dict[str, str], better: bool
) -> None:
    assert improves(_verdict(**after), _verdict(**before)) is better


DATES = [date(2026, 1, 3), date(2026, 5, 3)]


@pytest.mark.parametrize(("derive", "dimension", "values", "made"), [
    ({}, "日期", DATES, [{"month": "日期"}, {"quarter": "日期"}, {"year": "日期"}]),
    ({"月": {"month": "日期"}}, "月", ["2026-01", "2026-05"], [{"quarter": "日期"}, {"year": "日期"}]),
    ({"年": {"year": "日期"}}, "年", [2025, 2026], []),
    ({}, "年龄", list(range(95)), [{"band": {"of": "年龄", "width": w}} for w in (10, 20, 50)]),
    ({"段": {"band": {"of": "年龄", "width": 5}}}, "段", [0, 5],
     [{"band": {"of": "年龄", "width": w}} for w in (10, 25)]),
    ({}, "编码", ["330106", "330108"], [{"prefix": {"of": "编码", "length": n}} for n in (4, 2)]),
    ({}, "性别", ["男", "女"], []),
])  # fmt: skip
def test_dimensions_become_coarser_step_by_step(
    derive: Mapping[str, Any], dimension: str, values: list[Any], made: list[dict[str, Any]]
) -> None:
    spec = parse(job(derive=dict(derive), dimensions=[dimension]))
    shape = Dimension(dimension, dimension, values, frozenset())
    found = [next(iter(c.spec.derive.values())) for c in Job(spec).coarsening(shape)]
    assert [one.model_dump(exclude_none=True) for one in found] == made


def test_merging_again_adds_to_the_group_that_is_there() -> None:
    recode = {"区合并": {"recode": {"of": "区", "groups": {"其他": ["中", "北"]}}}}
    spec = parse(second_edition(parse(job())) | {"product": second_edition(parse(job()))["product"] | {
        "derive": recode, "dimensions": ["区合并"],
    }})  # fmt: skip
    shape = Dimension("区合并", "区合并", ["东", "南", "其他"], frozenset({"其他"}))
    first: Change = next(Job(spec).merging(shape, {"东": 50, "南": 9, "其他": 4}))
    made = first.spec.derive[first.spec.dimensions[0]].recode
    assert made is not None and made.of == "区"
    assert sorted(made.groups["其他"]) == sorted(["中", "北", "南"])


def test_margins_follow_their_dimensions() -> None:
    base = second_edition(parse(job()))
    base["product"] |= {"dimensions": ["区", "日期"], "margins": [["区"], ["日期"]]}
    spec, shape = parse(base), Dimension("日期", "日期", DATES, frozenset())
    month = next(Job(spec).coarsening(shape)).spec
    assert month.dimensions == ["区", "月份"] and month.margins == [["区"], ["月份"]]
    (dropped,) = Job(spec).dropping([], [shape])
    assert dropped.spec.dimensions == ["区"] and dropped.spec.margins == [[]]


def test_a_job_of_the_first_edition_means_the_same_in_the_second(again: Callable[[JobSpec], Checked]) -> None:
    first = parse(job())
    second = parse(second_edition(first))
    assert second.edition == 2
    one, other = again(first).subject.evidence, again(second).subject.evidence
    assert one is not None and other is not None and one.rows == other.rows


def _verdict(**held: str) -> Verdict:
    runs = [RuleRun(rule, Outcome(level), None, None) for level, rules in held.items() for rule in rules.split()]
    return Verdict.conclude("export", "t", "sha256:t", runs or [RuleRun("A", Outcome.PASS, None, None)], [])


def _refusing(spec: JobSpec) -> Checked:
    raise BadInput("run.broken", Text("不能运行", "cannot run"))
