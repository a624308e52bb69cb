"""The simulation plan beside the catalogue: questions stop it, answers are recorded and hold for the same columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select

from pipelines import fieldplan
from pipelines.fieldplan import plan
from policies.text import UserError
from sandbox.catalog import deliveries, plans, repository, twins, versions
from sandbox.catalog.grades import GradedColumn
from sandbox.kernel import permissions
from sandbox.kernel.audit import AuditEvent
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition, NotFound, NotPermitted, OutOfReach
from sandbox.kernel.identity import Role
from sandbox.kernel.jobs import Job
from sandbox.kernel.unit import Platform
from tests.factories import World
from tests.pages import Person, application, words_of

ROWS = 5_000


def column(
    name: str, type_: str = "text", *, entity: str | None = None, role: str = "none", distinct: int = 4_000
) -> GradedColumn:
    return GradedColumn(name, type_, "", "B1", 3, False, "person", role, entity, "GRD-01", [], 0, distinct)


COLUMNS = (
    column("身份证号", entity="CN_RESIDENT_ID", role="direct"),
    column("姓名", entity="PERSON", role="direct"),
    column("性别", role="quasi", distinct=2),
    column("办件情况"),
    column("所在网格", distinct=900),
    column("金额", "decimal"),
)
QUESTIONS = ["办件情况", "所在网格"]


@dataclass
class Case:
    """A published resource of these columns, whose plan has open questions."""

    world: World
    resource: str

    def read(self) -> plans.Plan:
        with self.world.by(self.world.operator) as unit:
            found = plans.read(unit, self.resource)
        assert found is not None
        return found

    def answer(self, given: Mapping[str, str]) -> None:
        with self.world.by(self.world.operator) as unit:
            plans.answer(unit, self.resource, given)

    def take_default(self) -> None:
        with self.world.by(self.world.operator) as unit:
            plans.take_default(unit, self.resource)

    def events(self, prefix: str) -> list[AuditEvent]:
        with self.world.system() as unit:
            found = unit.session.scalars(select(AuditEvent).order_by(AuditEvent.seq))
            return [e for e in found if e.event.startswith(prefix)]

    def meanings(self) -> dict[str, tuple[str, str]]:
        """What the pipeline would simulate: column → semantic and who decided."""
        with self.world.system() as unit:
            columns = repository.columns(unit.session, self.resource)
            answers = fieldplan.answers_for(unit, self.resource, columns)
            fields = plan(columns, {}, {}, ROWS, answers)
        return {f.name: (f.semantic, f.decision.by if f.decision else "") for f in fields}

    def deliver(self, columns: tuple[GradedColumn, ...]) -> None:
        """A new version of these columns, taken in and published (by itself where nothing changed)."""
        self.world.deliver(self.resource, self.world.department)
        take_in(self.world, self.resource, columns)
        with self.world.system() as unit:
            waits = repository.pending(unit.session, self.resource) is not None
        if waits:
            self.world.publish(self.resource)


def take_in(world: World, resource: str, columns: tuple[GradedColumn, ...]) -> None:
    with world.system() as unit:
        waiting = repository.pending(unit.session, resource)
        assert waiting is not None
        taken = versions.TakenIn(
            file_name=waiting.file_name, file_sha256=waiting.file_sha256, lake_version=0, raw_version=0,
            quarantine_version=None, lake_digest="0" * 64, rows=ROWS, rows_in=ROWS, rows_loaded=ROWS,
            rows_quarantined=0, recipe={}, accounting={}, findings=[], quality={"verdict": {"outcome": "pass"}},
            grading={"edition": "2026-01", "uplifts": []}, columns=list(columns),
        )  # fmt: skip
        deliveries.begin_reading(unit, waiting.id)
        number = versions.take_in(unit, waiting.id, taken).number
        fieldplan.propose(unit, resource, number)


@pytest.fixture
def case(platform: Platform) -> Case:
    world = World.settle(platform)
    resource = world.delivered(name="办件")
    take_in(world, resource, COLUMNS)
    world.publish(resource)
    return Case(world, resource)


# ---- what is proposed and asked ----


def test_every_column_has_a_meaning_with_its_reason_or_is_a_question(case: Case) -> None:
    found = case.read()
    assert found.questions == QUESTIONS
    assert {c.name: c.semantic for c in found.columns if not c.open} == {
        "身份证号": "resident_id", "姓名": "person_name", "性别": "category", "金额": "amount",
    }  # fmt: skip
    assert all(c.entry["reason"]["zh"] and c.entry["reason"]["en"] and c.entry["rule"] for c in found.columns)


def test_new_questions_are_an_audit_event_once(case: Case) -> None:
    assert [e.facts["columns"] for e in case.events("plan:ask")] == [QUESTIONS]
    with case.world.system() as unit:
        fieldplan.propose(unit, case.resource, 1)
    assert len(case.events("plan:ask")) == 1


def test_plan_of_an_identifier_offers_nothing_that_is_learned(case: Case) -> None:
    assert case.read().column("身份证号").entry["learned"] == []
    assert "category" not in case.read().column("姓名").entry["choices"]
    assert "category" in case.read().column("办件情况").entry["learned"]


# ---- answers ----


def test_an_answer_counts_and_says_who_gave_it_and_when(case: Case) -> None:
    case.answer({"办件情况": "free_text"})
    found = case.read().column("办件情况")
    assert (found.semantic, found.by, found.open) == ("free_text", "operator", False)
    assert found.answer is not None
    assert found.answer.answered_by == case.world.operator.id
    assert case.meanings()["办件情况"] == ("free_text", "operator")
    assert [e.facts["column"] for e in case.events("plan:answer")] == ["办件情况"]


def test_the_default_answer_is_kept_as_assumed(case: Case) -> None:
    case.answer({"所在网格": "code"})
    case.take_default()
    assert case.read().questions == []
    assert case.meanings()["办件情况"] == ("shape", "default")
    assert case.meanings()["所在网格"] == ("code", "operator")
    assert [e.facts["column"] for e in case.events("plan:default")] == ["办件情况"]
    with pytest.raises(Conflict):
        case.take_default()


def test_the_machine_can_be_corrected_and_the_correction_taken_back(case: Case) -> None:
    case.answer({"性别": "drop"})
    assert case.meanings()["性别"] == ("drop", "operator")
    case.answer({"性别": ""})
    assert case.read().column("性别").by == "machine"
    assert case.meanings()["性别"] == ("category", "machine")
    assert len(case.events("plan:reset")) == 1


@pytest.mark.parametrize(
    ("column_name", "semantic"),
    [
        ("身份证号", "category"), ("姓名", "district"), ("金额", "free_text"), ("办件情况", "amount"),
        ("办件情况", "nonsense"),
    ],
)  # fmt: skip
def test_a_meaning_that_does_not_fit_is_refused(case: Case, column_name: str, semantic: str) -> None:
    with pytest.raises(BadInput) as caught:
        case.answer({"性别": "drop", column_name: semantic})
    assert caught.value.detail["column"] == column_name
    assert case.read().column("性别").by == "machine"
    assert case.events("plan:answer") == []


def test_unknown_column_and_resource_without_a_plan_are_not_found(case: Case) -> None:
    with pytest.raises(NotFound):
        case.answer({"没有": "drop"})
    bare = case.world.delivered(name="未读")
    with pytest.raises(NotFound), case.world.by(case.world.operator) as unit:
        plans.answer(unit, bare, {"x": "drop"})


# ---- versions ----


def test_answers_hold_for_the_next_version_of_the_same_columns(case: Case) -> None:
    case.answer({"办件情况": "free_text", "所在网格": "code"})
    case.deliver(COLUMNS)
    assert case.read().version == 2
    assert case.read().questions == []
    assert case.read().column("办件情况").by == "operator"


def test_a_column_of_another_type_is_asked_about_anew(case: Case) -> None:
    case.answer({"金额": "drop"})
    case.deliver((*COLUMNS[:5], column("金额", "text")))
    assert case.read().column("金额").open


def test_an_answer_lapses_where_the_column_turns_out_to_identify_people(case: Case) -> None:
    case.answer({"办件情况": "category"})
    case.deliver((*COLUMNS[:3], column("办件情况", entity="CN_MOBILE", role="direct"), *COLUMNS[4:]))
    found = case.read().column("办件情况")
    assert (found.semantic, found.by, found.expired) == ("mobile", "machine", True)
    assert case.meanings()["办件情况"] == ("mobile", "machine")


# ---- making it again ----


def test_nothing_is_made_while_a_question_is_open(case: Case) -> None:
    with case.world.system() as unit:
        job = unit.session.scalars(select(Job).where(Job.kind == "simulate")).one()
        job.state = "failed"
    with pytest.raises(InvalidTransition) as caught, case.world.by(case.world.operator) as unit:
        twins.ask(unit, case.resource)
    assert caught.value.code == "simulated.open_questions"
    case.take_default()
    with case.world.by(case.world.operator) as unit:
        assert twins.ask(unit, case.resource).kind == "simulate"
    with pytest.raises(Conflict), case.world.by(case.world.operator) as unit:
        twins.ask(unit, case.resource)
    assert len(case.events("simulated:ask")) == 1


def test_the_pipeline_stops_with_the_question(case: Case) -> None:
    with case.world.system() as unit:
        fields = plan(repository.columns(unit.session, case.resource), {}, {}, ROWS)
    with pytest.raises(UserError) as caught:
        fieldplan.refuse_open(fields)
    assert caught.value.code == "plan.unclassified"
    assert caught.value.detail["columns"] == QUESTIONS
    assert caught.value.fix is not None and "仿真方案" in caught.value.fix.zh


# ---- who may ----


@pytest.mark.parametrize("login", ["department", "colleague", "officer", "auditor", "merchant"])
def test_only_the_operator_answers(case: Case, login: str) -> None:
    assert permissions.PERMISSIONS["plan:answer"].keys() == {Role.OPERATOR}
    with pytest.raises(NotPermitted), case.world.by(case.world.people[login]) as unit:
        plans.answer(unit, case.resource, {"办件情况": "drop"})


def test_those_who_govern_read_the_plan_and_others_do_not(case: Case) -> None:
    for login in ("department", "officer", "auditor"):
        with case.world.by(case.world.people[login]) as unit:
            assert plans.read(unit, case.resource) is not None
    with pytest.raises(OutOfReach), case.world.by(case.world.other_department) as unit:
        plans.read(unit, case.resource)
    with pytest.raises(NotPermitted), case.world.by(case.world.merchant) as unit:
        plans.read(unit, case.resource)


# ---- pages ----


@pytest.fixture
def operator(case: Case) -> Person:
    return Person(application(case.world.platform), "operator")


def sent(case: Case, **answers: str) -> dict[str, Any]:
    places = {c.name: f"column-{n}" for n, c in enumerate(case.read().columns)}
    return {"version": str(case.read().version)} | {places[name]: value for name, value in answers.items()}


def test_operator_answers_on_the_page_and_takes_the_default_for_the_rest(case: Case, operator: Person) -> None:
    page = words_of(operator.get(f"/resources/{case.resource}").text)
    assert "有 2 列要请您说明内容" in page
    page = words_of(operator.get(f"/resources/{case.resource}?tab=plan").text)
    assert all(name in page for name in QUESTIONS)
    answer = operator.post(f"/resources/{case.resource}/plan", step="rest", **sent(case, 所在网格="code", 性别="drop"))
    assert answer.status_code == 303
    assert {c.name: (c.semantic, c.by) for c in case.read().columns if c.answer} == {
        "办件情况": ("shape", "default"), "所在网格": ("code", "operator"), "性别": ("drop", "operator"),
    }  # fmt: skip
    page = words_of(operator.get(f"/resources/{case.resource}?tab=plan").text)
    assert "默认处理（假定）" in page


def test_questions_stand_on_the_operators_desk_until_they_are_answered(case: Case, operator: Person) -> None:
    home = words_of(operator.get("/").text)
    assert "办件：仿真方案待回答" in home
    case.take_default()
    assert "待回答" not in words_of(operator.get("/").text)
    with pytest.raises(NotPermitted), case.world.by(case.world.department) as unit:
        plans.waiting_for(unit)


def test_page_of_a_version_that_was_replaced_is_refused(case: Case, operator: Person) -> None:
    operator.get(f"/resources/{case.resource}?tab=plan")
    form = sent(case, 办件情况="drop")
    case.deliver(COLUMNS)
    assert operator.post(f"/resources/{case.resource}/plan", step="save", **form).status_code == 409
    assert case.read().column("办件情况").open


def test_department_sees_the_plan_without_a_form(case: Case) -> None:
    page = Person(application(case.world.platform), "department").get(f"/resources/{case.resource}?tab=plan").text
    assert "办件情况" in page
    assert 'name="column-' not in page
    assert "plan/regenerate" not in page
