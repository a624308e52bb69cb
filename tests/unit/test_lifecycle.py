"""The lifecycle tables, and what no sequence of steps can ever reach."""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipelines import upkeep
from policies.editions import load
from policies.schema.deadlines import CLOCKS
from policies.text import UserError
from policies.verdict import Outcome, Verdict
from sandbox.applications import repository as application_records
from sandbox.applications import service as applications
from sandbox.exports import drafting, reviewing
from sandbox.exports import repository as export_records
from sandbox.exports import service as exports
from sandbox.exports.model import UNDER_REVIEW
from sandbox.exports.review import Stakes
from sandbox.kernel import editions
from sandbox.kernel.clock import FixedClock, city_date
from sandbox.kernel.clocks import history
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition
from sandbox.kernel.identity import Actor, Role
from sandbox.kernel.lifecycle import Lifecycle
from sandbox.kernel.permissions import PERMISSIONS
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from sandbox.merchants import service as merchants
from tests.conftest import MONDAY
from tests.factories import CONTEXT, World, verdict
from tests.lifecycles import LIFECYCLES

every_lifecycle = pytest.mark.parametrize("lifecycle", LIFECYCLES, ids=lambda x: x.noun)
TERMINAL = {
    "resource": {"withdrawn"},
    "correction": {"verified", "withdrawn"},
    "delivery": {"superseded", "withdrawn"},
    "lowering": {"approved", "refused", "withdrawn", "dropped"},
    "onboarding": {"rejected", "admitted"},
    "merchant": set(),
    "application": {"check_rejected", "rejected", "expired", "revoked", "closed", "withdrawn"},
    "approval": {"approved", "returned", "rejected", "approved_by_lapse", "dropped"},
    "workspace": {"closed"},
    "quota": {"rejected", "withdrawn", "revoked"},
    "upload": {"refused", "removed"},
    "run": {"succeeded", "failed", "cancelled"},
    "export": {"recalled", "withdrawn", "measured"},
    "recall": {"granted", "refused"},
}
LOW, HIGH = Stakes("aggregate", 2, False, 10.0), Stakes("aggregate", 4, False, 10.0)
QUICK = settings(
    max_examples=20, stateful_step_count=16, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


# -- the tables


@every_lifecycle
def test_every_state_can_be_reached(lifecycle: Lifecycle) -> None:
    reached, grown = {lifecycle.initial}, True
    while grown:
        more = {t.target for t in lifecycle.transitions if set(t.sources) & reached} - reached
        reached, grown = reached | more, bool(more)
    assert reached == {s.name for s in lifecycle.states}


@every_lifecycle
def test_exactly_the_ends_have_no_exit(lifecycle: Lifecycle) -> None:
    leaving = {s for t in lifecycle.transitions for s in t.sources}
    assert {s.name for s in lifecycle.states} - leaving == TERMINAL[lifecycle.noun]


@every_lifecycle
def test_transitions_name_known_states_actions_guards_and_clocks(lifecycle: Lifecycle) -> None:
    names = {s.name for s in lifecycle.states}
    for row in lifecycle.transitions:
        assert {*row.sources, row.target} <= names, row.name
        assert row.action in PERMISSIONS, row.name
        assert set(row.guards) <= set(lifecycle.guards), row.name
        assert row.clock is None or row.clock in CLOCKS, row.name
        assert row.label.zh and row.label.en


@every_lifecycle
def test_every_registered_guard_guards_something(lifecycle: Lifecycle) -> None:
    assert set(lifecycle.guards) == {g for t in lifecycle.transitions for g in t.guards}


@every_lifecycle
def test_names_are_unique_and_say_one_thing(lifecycle: Lifecycle) -> None:
    names = [t.name for t in lifecycle.transitions]
    assert len(set(names)) == len(names)
    assert len({s.name for s in lifecycle.states}) == len(lifecycle.states)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", n) for n in [*names, *(s.name for s in lifecycle.states)])


@every_lifecycle
def test_whose_turn_it_is_can_do_something(lifecycle: Lifecycle) -> None:
    """A state that waits for a role offers it a step; an application waits in its approvals, a resource for a delivery:
    those are records of their own."""
    elsewhere = {("application", "approving"), ("resource", "registered"), ("delivery", "refused")}
    for state in lifecycle.states:
        if state.turn is None or (lifecycle.noun, state.name) in elsewhere:
            continue
        able = {r for t in lifecycle.transitions if state.name in t.sources for r in PERMISSIONS[t.action]}
        assert state.turn in able, state.name


def test_every_clock_of_the_policy_is_started_somewhere() -> None:
    """Approvals start theirs when they are opened, the others by their transition."""
    started = {t.clock for lifecycle in LIFECYCLES for t in lifecycle.transitions if t.clock}
    assert started | {"application_approval"} == set(CLOCKS)


def test_only_the_departments_approval_may_lapse_into_consent() -> None:
    edition: Any = load("deadlines")
    consenting = {name for name in CLOCKS if edition.clock(name).on_lapse == "consent"}
    assert consenting == {"application_approval"}


# -- one record


def test_wrong_state_is_refused_with_both_states_named(world: World) -> None:
    application_id = world.application("checking")
    with pytest.raises(InvalidTransition) as refused, world.by(world.merchant) as unit:
        applications.sign(unit, application_id)
    assert "核查中" in refused.value.text.zh
    assert refused.value.status == 409


def test_reason_is_obligatory_where_the_table_says_so(world: World) -> None:
    application_id = world.application("checking")
    for reason in ("", "   "):
        with pytest.raises(BadInput, match="reason_missing"), world.by(world.operator) as unit:
            applications.check(unit, application_id, "return", reason)


def test_transition_leaves_who_when_from_to_and_why(world: World) -> None:
    application_id = world.application("checking")
    with world.by(world.operator) as unit:
        applications.check(unit, application_id, "return", "用途不清")
    event = world.events("application:return")[-1]
    assert (event.actor_id, event.role, event.object_id) == (world.operator.id, "operator", application_id)
    assert event.facts == {"source": "checking", "target": "returned", "reason": "用途不清"}
    assert event.at == world.platform.clock.now()


def test_second_of_two_simultaneous_changes_conflicts(any_world: World) -> None:
    onboarding_id = any_world.applied()
    with any_world.by(any_world.operator) as unit:
        seen_before = merchants.get(unit.session, onboarding_id)
        unit.session.expunge(seen_before)
    with any_world.by(any_world.operator) as unit:
        merchants.decide(unit, onboarding_id, "return", "请补正")
    with pytest.raises(Conflict, match=r"record\.changed"), any_world.by(any_world.operator) as unit:
        unit.session.add(seen_before)
        merchants.ONBOARDING.advance(unit, seen_before, "admit")
    with any_world.system() as unit:
        assert merchants.get(unit.session, onboarding_id).state == "returned"
        assert unit.session.get(merchants.Merchant, any_world.merchant.organisation_id) is None


def test_offers_are_buttons_with_their_reasons(world: World) -> None:
    request_id = world.export("second_review")
    with world.by(world.officer) as unit:
        record = export_records.get(unit.session, request_id)
        offered = {o.name: o for o in exports.EXPORT.offers(unit, record)}
    assert set(offered) == {"approve", "disagree", "return", "reject"}
    assert not offered["approve"].allowed
    assert offered["approve"].why_not and "另一位" in offered["approve"].why_not.zh
    with world.by(world.second_officer) as unit:
        again = {o.name: o.allowed for o in exports.EXPORT.offers(unit, export_records.get(unit.session, request_id))}
    assert again["approve"] and again["return"] and not again["reject"], "one refusal of two refuses nothing"


def test_offers_are_only_what_the_role_could_ever_do(world: World) -> None:
    application_id = world.application("checking")
    names = {}
    for who in (world.merchant, world.operator, world.department, world.auditor):
        with world.by(who) as unit:
            record = application_records.get(unit.session, application_id)
            names[who.role] = {o.name for o in applications.APPLICATION.offers(unit, record)}
    assert names == {
        Role.MERCHANT: {"withdraw"}, Role.OPERATOR: {"return", "reject_check", "pass_check"}, Role.DEPARTMENT: set(),
        Role.AUDITOR: set(),
    }  # fmt: skip


def test_an_offer_that_is_allowed_can_be_taken(world: World) -> None:
    """The button and the step ask the same question, through the whole life of an application."""
    application_id = world.application("active")
    with world.by(world.operator) as unit:
        record = application_records.get(unit.session, application_id)
        offered = [o for o in applications.APPLICATION.offers(unit, record) if o.allowed]
    assert {o.name for o in offered} == {"suspend", "revoke"}
    with world.by(world.operator) as unit:
        assert applications.stand(unit, application_id, "suspend", "复查").state == "suspended"


def test_diagram_shows_every_state_and_row() -> None:
    for lifecycle in LIFECYCLES:
        drawn = lifecycle.mermaid()
        arrows = sum(len(t.sources) for t in lifecycle.transitions)
        assert drawn.count("-->") == 1 + arrows + len(TERMINAL[lifecycle.noun])


# -- what no sequence of steps reaches


class Stage:
    """A prepared home on disk that every example starts from."""

    def __init__(self, template: Path) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="pds-stage-"))
        shutil.copy(template, self.home / "metadata.sqlite")
        world = World.settle(Platform(Settings(home=self.home), FixedClock(MONDAY)))
        self.artefact = world.artefact()
        two = (world.published(name="甲"), world.published(name="乙", department=world.other_department))
        self.application = world.drafted(*two)
        self.people = world.people
        world.platform.database.dispose()

    def open(self) -> World:
        home = Path(tempfile.mkdtemp(prefix="pds-example-"))
        shutil.copytree(self.home, home, dirs_exist_ok=True)
        return World(Platform(Settings(home=home), FixedClock(MONDAY)), dict(self.people))


@pytest.fixture(scope="module")
def stage(sqlite_template: Path) -> Any:
    made = Stage(sqlite_template)
    yield made
    shutil.rmtree(made.home)


class _Machine(RuleBasedStateMachine):
    stage: Stage
    world: World

    def open_stage(self) -> None:
        self.world = self.stage.open()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.platform.database.dispose()
            shutil.rmtree(self.world.platform.settings.home)

    def pass_time(self, hours: int) -> None:
        self.world.advance(hours=hours)
        upkeep.run(self.world.platform)


class ExportMachine(_Machine):
    """Anybody tries anything with one export request; the oracle counts verdicts, editions and opinions by itself."""

    @initialize(far=st.booleans(), canary=st.booleans(), low=st.booleans())
    def begin(self, far: bool, canary: bool, low: bool) -> None:
        self.open_stage()
        merchant = self.world.merchant
        with self.world.by(merchant) as unit:
            self.request = drafting.draft(
                unit, artefact_id=self.stage.artefact, title="t", remark="r", audience="public", context=CONTEXT
            ).id
        if canary:
            with self.world.system() as unit:
                export_records.get(unit.session, self.request).canary = "FRM-01"
        insider = Actor("acc-insider", "内部", Role.COMPLIANCE, merchant.organisation_id)
        author = Actor(merchant.id, merchant.name, Role.COMPLIANCE, "org-elsewhere")
        self.officers = [self.world.officer, self.world.second_officer, self.world.third_officer]
        self.reviewers = [*self.officers, insider, author, self.world.operator, merchant]
        self.canary, self.stakes = canary, LOW if low else HIGH
        self.outcome: Outcome | None = None
        self.edition = "2026-01"
        self.opinions: dict[str, str] = {}
        self.frozen_bytes = b""
        self.path = next(self.world.platform.settings.artefacts_root.iterdir())
        self.honest = self.path.read_bytes()
        if far:  # half of the examples begin where the first officer has approved
            self.submit("merchant")
            self.machine(Outcome.PASS, "system")
            self.review(0, "approve")

    def state(self) -> str:
        return self.world.export_state(self.request)

    @rule(reviewer=st.integers(0, 6), outcome=st.sampled_from(Outcome), tamper=st.booleans())
    def go_on(self, reviewer: int, outcome: Outcome, tamper: bool) -> None:
        """The next step of the plain way, so that examples get far; perhaps other bytes, perhaps the wrong person."""
        state = self.state()
        if state == "draft":
            self.touch_bytes(False)
            self.submit("merchant")
        elif state == "frozen":
            self.machine(outcome, "system")
        elif state in UNDER_REVIEW:
            self.touch_bytes(tamper and state == "second_review")
            self.review(reviewer, "approve")
        elif state == "approved":
            self.touch_bytes(tamper)
            self.release(Outcome.PASS)
        elif state in ("blocked", "returned"):
            self.revise("merchant")

    @rule(who=st.sampled_from(["merchant", "stranger", "operator"]))
    def submit(self, who: str) -> None:
        with suppress(UserError), self.world.by(self.world.people[who]) as unit:
            exports.submit(unit, self.request)
            self.frozen_bytes, self.outcome, self.opinions = self.path.read_bytes(), None, {}

    @rule(outcome=st.sampled_from(Outcome), who=st.sampled_from(["system", "officer", "merchant"]))
    def machine(self, outcome: Outcome, who: str) -> None:
        begin = self.world.system() if who == "system" else self.world.by(self.world.people[who])
        with suppress(UserError), begin as unit:
            exports.begin_check(unit, self.request)
            exports.conclude_check(unit, self.request, verdict(outcome), stakes=self.stakes)
            self.outcome = outcome

    @rule(reviewer=st.integers(0, 6), decision=st.sampled_from(["approve", "approve", "approve", "return", "reject"]))
    def review(self, reviewer: int, decision: str) -> None:
        who = self.reviewers[reviewer]
        with suppress(UserError):
            with self.world.by(who) as unit:
                reviewing.review(unit, self.request, decision, "理由")
            self.opinions[who.id] = decision

    @rule(reviewer=st.integers(0, 6), step=st.sampled_from(["early", "third", "vote", "comment"]))
    def meddle(self, reviewer: int, step: str) -> None:
        with suppress(UserError), self.world.by(self.reviewers[reviewer]) as unit:
            if step == "early":
                reviewing.early_return(unit, self.request, "请补充")
            elif step == "third":
                reviewing.call_third(unit, self.request, "谈不拢")
            elif step == "vote":
                reviewing.vote(unit, self.request, self.stage.artefact, "changes")
            else:
                reviewing.comment(unit, self.request, "请看第一行", "officers")

    @precondition(lambda self: getattr(self, "edition", "") == "2026-01")
    @rule()
    def activate(self) -> None:
        """The next edition comes into force in the middle of whatever is going on; from now on all need two."""
        self.world.rules("export", "2026-02", two_from_level=1)
        self.edition = "2026-02"

    @rule(who=st.sampled_from(["merchant", "stranger"]))
    def revise(self, who: str) -> None:
        with suppress(UserError), self.world.by(self.world.people[who]) as unit:
            drafting.revise(unit, self.request, remark="r2")

    @rule(changed=st.booleans())
    def touch_bytes(self, changed: bool) -> None:
        self.path.write_bytes(self.honest + b"x" if changed else self.honest)

    @rule(outcome=st.sampled_from(Outcome), stale=st.booleans())
    def release(self, outcome: Outcome, stale: bool = False) -> None:
        """The release job: a last check under the edition in force (or, `stale`, under the first one)."""
        was, said = self.state(), self.said(outcome, stale)
        with suppress(UserError):
            with self.world.system() as unit:
                why = exports.reopens(unit, self.request, said)
                if why:
                    exports.reopen(unit, self.request, said, why)
            if why:
                self.opinions = {}
                return
            self.world.release(self.request, last=said)
            self.check_release(was, outcome, stale)

    def said(self, outcome: Outcome, stale: bool) -> Verdict:
        with self.world.system() as unit:
            digest = editions.in_force(unit, "export").digest
        made = verdict(outcome)
        return made if stale else Verdict.conclude("export", self.edition, digest, made.rules, made.findings)

    def check_release(self, was: str, outcome: Outcome, stale: bool) -> None:
        assert was == "approved" and not self.canary
        assert outcome in (Outcome.PASS, Outcome.REVIEW) and not (stale and self.edition != "2026-01")
        self.check_signers()
        assert self.path.read_bytes() == self.frozen_bytes == self.honest

    @rule(step=st.sampled_from(["withhold", "recall"]))
    def other(self, step: str) -> None:
        with suppress(UserError):
            if step == "withhold":
                with self.world.system() as unit:
                    exports.withhold(unit, self.request, verdict(Outcome.BLOCK))
            else:
                with self.world.by(self.world.officer) as unit:
                    exports.recall(unit, self.request, "发现问题")

    @rule(hours=st.integers(1, 24 * 40))
    def wait(self, hours: int) -> None:
        was = self.state()
        self.pass_time(hours)
        now = self.state()
        assert now == was or (was, now) == ("released", "expired"), "time alone approves and releases nothing"

    def check_signers(self) -> None:
        """Enough different officers agree, none of them an outsider to review."""
        agreed = {who for who, decision in self.opinions.items() if decision == "approve"}
        assert agreed <= {o.id for o in self.officers}
        assert len(agreed) >= (1 if self.stakes is LOW and self.outcome is Outcome.PASS else 2)

    @invariant()
    def approved_only_by_enough_people_and_a_verdict(self) -> None:
        if hasattr(self, "request") and self.state() in ("approved", "released", "recalled", "expired"):
            assert self.outcome in (Outcome.PASS, Outcome.REVIEW)
            assert not self.canary, "a planted case never gets that far"
            self.check_signers()


class ApplicationMachine(_Machine):
    """Operator, two departments and time decide one application in any order."""

    @initialize()
    def begin(self) -> None:
        self.open_stage()
        self.id = self.stage.application

    def record(self) -> Any:
        with self.world.system() as unit:
            record = application_records.get(unit.session, self.id)
            return record, application_records.approvals(unit.session, self.id, record.round)

    @rule()
    def submit(self) -> None:
        with suppress(UserError), self.world.by(self.world.merchant) as unit:
            applications.submit(unit, self.id)

    @rule(decision=st.sampled_from(["pass", "pass", "return", "reject"]),
          who=st.sampled_from(["operator", "department"]))  # fmt: skip
    def check(self, decision: str, who: str) -> None:
        with suppress(UserError), self.world.by(self.world.people[who]) as unit:
            applications.check(unit, self.id, decision, "理由")

    @precondition(lambda self: hasattr(self, "id"))
    @rule(index=st.integers(0, 1), decision=st.sampled_from(["approve", "approve", "return", "reject"]),
          who=st.sampled_from(["department", "other_department", "operator", "merchant"]))  # fmt: skip
    def decide(self, index: int, decision: str, who: str) -> None:
        _, approvals = self.record()
        if index < len(approvals):
            mine = approvals[index].organisation_id == self.world.people[who].organisation_id
            try:
                with self.world.by(self.world.people[who]) as unit:
                    applications.decide(unit, approvals[index].id, decision, "理由")
                assert mine, "a department decides its own approval only"
            except UserError:
                pass

    @rule(hours=st.integers(1, 24 * 12))
    def wait(self, hours: int) -> None:
        was = self.record()[0].state
        self.pass_time(hours)
        now = self.record()[0].state
        assert now == was or was in ("approving", "active"), "time moves only approvals, and ends terms"
        assert now != "approved", "what time decided is called by its name"

    @rule()
    def withdraw(self) -> None:
        with suppress(UserError), self.world.by(self.world.merchant) as unit:
            if application_records.get(unit.session, self.id).round > 2:
                applications.withdraw(unit, self.id)

    @invariant()
    def approved_means_every_department_agreed_in_this_round(self) -> None:
        if not hasattr(self, "id"):
            return
        record, approvals = self.record()
        if record.state in ("approved", "approved_by_lapse"):
            assert {a.organisation_id for a in approvals} == set(record.department_ids)
            states = {a.state for a in approvals}
            assert states <= {"approved", "approved_by_lapse"}
            assert (record.state == "approved_by_lapse") == ("approved_by_lapse" in states)

    @invariant()
    def lapse_comes_only_after_the_last_day(self) -> None:
        if not hasattr(self, "id"):
            return
        approvals = self.record()[1]
        with self.world.system() as unit:
            for approval in approvals:
                if approval.state == "approved_by_lapse":
                    last = history(unit.session, "approval", approval.id)[-1].due
                    assert last is not None and city_date(approval.state_since) > last


@pytest.mark.parametrize("machine", [ExportMachine, ApplicationMachine])
def test_no_sequence_of_steps_breaks_the_rules(machine: type[_Machine], stage: Stage) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    machine.stage = stage
    run_state_machine_as_test(machine, settings=QUICK)


@given(st.lists(st.integers(1, 24 * 60), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
def test_time_alone_releases_no_export_and_passes_no_check(stage: Stage, hours: list[int]) -> None:
    world = stage.open()
    try:
        with world.by(world.merchant) as unit:
            request = drafting.draft(
                unit, artefact_id=stage.artefact, title="t", remark="r", audience="public", context=CONTEXT
            ).id
            exports.submit(unit, request)
            applications.submit(unit, stage.application)
        with world.system() as unit:
            exports.begin_check(unit, request)
            exports.conclude_check(unit, request, verdict())
        for elapsed in hours:
            world.advance(hours=elapsed)
            upkeep.run(world.platform)
        with world.system() as unit:
            assert application_records.get(unit.session, stage.application).state == "checking"
        assert world.export_state(request) == "in_review"
    finally:
        world.platform.database.dispose()
        shutil.rmtree(world.platform.settings.home)


def test_waiting_a_year_in_every_pending_export_state_changes_nothing(world: World) -> None:
    for state in ("frozen", "in_review", "second_review", "approved"):
        request_id = world.export(state)
        moment = world.platform.clock.now()
        world.advance(days=365)
        upkeep.run(world.platform)
        assert world.export_state(request_id) == state
        world.platform.clock.moment = moment  # type: ignore[attr-defined]
