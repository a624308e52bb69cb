"""What no sequence of steps on a group can ever reach: the oracle keeps its own account of every file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from policies.text import UserError
from policies.verdict import Outcome
from sandbox.exports import drafting, groups, service
from sandbox.exports.drafting import Asked
from sandbox.exports.groups import Opinion
from sandbox.exports.review import DROPPED, Stakes
from sandbox.exports.service import Basis
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.identity import Actor, Role
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from tests.conftest import MONDAY
from tests.factories import CONTEXT, World, verdict
from tests.integration.test_queue import look_at

FILES = 3
PASSING = (Outcome.PASS, Outcome.REVIEW)
LEFT = ("approved", "released")
DECISIONS = st.sampled_from(["", "", "approve", "approve", "approve", "return", "reject"])


@dataclass
class Stage:
    """A prepared home that every example starts from: three products of one workspace."""

    home: Path
    people: dict[str, Actor]
    artefacts: list[str]

    def open(self) -> World:
        home = Path(tempfile.mkdtemp(prefix="pds-group-"))
        shutil.copytree(self.home, home, dirs_exist_ok=True)
        return World(Platform(Settings(home=home), FixedClock(MONDAY)), dict(self.people))


@pytest.fixture(scope="module")
def stage(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("stage")
    shutil.copy(sqlite_template, home / "metadata.sqlite")
    world = World.settle(Platform(Settings(home=home), FixedClock(MONDAY)))
    place = world.workspace()
    made = [world.artefact(place) for _ in range(FILES)]
    world.platform.database.dispose()
    yield Stage(home, dict(world.people), made)


@dataclass
class File:
    """What the oracle knows of one file: what the machine said last, and the opinions of this round."""

    outcome: Outcome | None = None
    asks: int = 2
    opinions: dict[str, str] = field(default_factory=dict)

    def forget(self) -> None:
        self.outcome, self.opinions = None, {}


class GroupMachine(RuleBasedStateMachine):
    """Anybody tries anything with a group of three files."""

    stage: Stage

    @initialize(low=st.none() | st.lists(st.booleans(), min_size=FILES, max_size=FILES))
    def begin(self, low: list[bool] | None) -> None:
        """Most examples begin where the machine has passed all three, with more or less at stake (`low`)."""
        self.world = self.stage.open()
        with self.world.by(self.world.merchant) as unit:
            asked = [Asked(one, f"t{n}", "r") for n, one in enumerate(self.stage.artefacts)]
            made = drafting.draft_together(unit, asked, audience="public", context=CONTEXT)
            self.group, self.ids = made[0].group_id, [r.id for r in made]
        self.files = {one: File() for one in self.ids}
        insider = Actor("acc-insider", "内部", Role.COMPLIANCE, self.world.merchant.organisation_id)
        self.officers = [self.world.officer, self.world.second_officer, self.world.third_officer]
        self.reviewers = [*self.officers, insider, self.world.operator, self.world.merchant]
        if low is not None:
            self.submit()
            self.machine([Outcome.PASS] * FILES, low, True)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.platform.database.dispose()
            shutil.rmtree(self.world.platform.settings.home)

    def states(self) -> dict[str, str]:
        return {one: self.world.export_state(one) for one in self.ids}

    def look(self) -> None:
        """Whatever was sent to the machine anew has no verdict and no opinions."""
        for one, state in self.states().items():
            if state in ("draft", "frozen"):
                self.files[one].forget()

    @rule()
    def submit(self) -> None:
        with suppress(UserError), self.world.by(self.world.merchant) as unit:
            groups.submit(unit, self.group)
        self.look()

    @rule(
        outcomes=st.lists(st.sampled_from([*PASSING, *Outcome]), min_size=FILES, max_size=FILES),
        low=st.lists(st.booleans(), min_size=FILES, max_size=FILES), tied=st.booleans(),
    )  # fmt: skip
    def machine(self, outcomes: list[Outcome], low: list[bool], tied: bool) -> None:
        """The job of the checks: all that waits, or one of it at a time; `tied`: they were compared with each other."""
        waits = [one for one, state in self.states().items() if state in ("frozen", "checking")]
        if not waits:
            return
        with self.world.system() as unit:
            for one in service.begin_checks(unit, waits):
                at = self.ids.index(one)
                stakes = Stakes("aggregate" if low[at] else "record", 2, False, 10.0)
                basis = Basis("0" * 64, beside=tuple(i for i in self.ids if i != one) if tied else ())
                service.conclude_check(unit, one, verdict(outcomes[at]), basis, stakes)
                self.files[one] = File(outcomes[at], 1 if low[at] and outcomes[at] is Outcome.PASS else 2)
        for one in waits:
            for who in self.officers:
                look_at(self.world, who, one)

    @rule(reviewer=st.integers(0, 5), decisions=st.lists(DECISIONS, min_size=FILES, max_size=FILES))
    def decide(self, reviewer: int, decisions: list[str]) -> None:
        who, was = self.reviewers[reviewer], self.states()
        said = {one: Opinion(d, "理由") for one, d in zip(self.ids, decisions, strict=True) if d}
        try:
            with self.world.by(who) as unit:
                groups.decide(unit, self.group, said)
        except UserError:
            assert self.states() == was, "all or none"
            return
        assert not set(was.values()) & {"frozen", "checking"}, "the machine was not through"
        assert who.id in {o.id for o in self.officers}
        for one, opinion in said.items():
            self.files[one].opinions[who.id] = opinion.decision
        now = self.states()
        live = [one for one, state in now.items() if state not in DROPPED]
        for one in said:
            if now[one] == "approved":
                agreed = [d for d in self.files[one].opinions.values() if d == "approve"]
                assert len(agreed) >= max(self.files[other].asks for other in live), "what one asks for, all need"

    @rule(reviewer=st.integers(0, 5), chosen=st.sets(st.integers(0, FILES - 1)))
    def early_return(self, reviewer: int, chosen: set[int]) -> None:
        with suppress(UserError), self.world.by(self.reviewers[reviewer]) as unit:
            groups.early_return(unit, self.group, [self.ids[n] for n in sorted(chosen)], "请补充")

    @rule(which=st.integers(0, FILES - 1))
    def revise(self, which: int) -> None:
        with suppress(UserError), self.world.by(self.world.merchant) as unit:
            drafting.revise(unit, self.ids[which], remark="r2")
        self.look()

    @rule(which=st.integers(0, FILES - 1))
    def withdraw(self, which: int) -> None:
        with suppress(UserError), self.world.by(self.world.merchant) as unit:
            service.withdraw(unit, self.ids[which])

    @rule(which=st.integers(0, FILES - 1))
    def release(self, which: int) -> None:
        """The release job of one file, whatever became of the others."""
        one, was = self.ids[which], self.states()
        said = verdict(Outcome.PASS)
        with suppress(UserError):
            with self.world.system() as unit:
                why = service.reopens(unit, one, said)
                if why:
                    service.reopen(unit, one, said, why)
            if why:
                self.files[one].opinions = {}
                return
            self.world.release(one, last=said)
            assert was[one] == "approved"
            now = self.states()
            assert {i: s for i, s in now.items() if i != one} == {i: s for i, s in was.items() if i != one}

    @invariant()
    def each_file_that_leaves_has_passed_by_itself(self) -> None:
        if not hasattr(self, "ids"):
            return
        for one, state in self.states().items():
            if state in LEFT:
                known = self.files[one]
                agreed = {who for who, decision in known.opinions.items() if decision == "approve"}
                assert known.outcome in PASSING and len(agreed) >= known.asks
                assert agreed <= {o.id for o in self.officers}


def test_no_sequence_of_steps_lets_a_file_of_a_group_out_without_its_own_verdict_and_officers(stage: Stage) -> None:
    class Machine(GroupMachine):
        pass

    Machine.stage = stage
    how = settings(max_examples=20, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Machine, settings=how)
