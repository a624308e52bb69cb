"""The machine checks of a group, over real rows: every file is judged beside the others, and leaves by itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.registry import HANDLERS
from sandbox.exports import drafting, groups, reviewing, service
from sandbox.exports import repository as records
from sandbox.exports.drafting import Asked
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.jobs import LocalExecutor
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from tests.conftest import MONDAY
from tests.factories import CONTEXT, World
from tests.integration.test_gate_story import CELLS, ROWS, counted
from tests.real_products import opened, product, verdict

pytestmark = pytest.mark.jail
JOBS: dict[str, tuple[dict[str, Any], str]] = CELLS | {
    "all": ({}, "SELECT 区, 200"),
    "sums": ({"measures": {"总额": {"op": "sum", "of": "费用"}}}, "SELECT 区, 13900"),
}
"""product → what differs in its job, and rows like those that the run left"""


@dataclass
class Office:
    """One workspace with its products, none of them asked for yet."""

    world: World
    products: dict[str, str]

    def asked(self, *names: str) -> tuple[str, list[str]]:
        """A group of these products, submitted and checked."""
        files = [Asked(self.products[name], f"门诊量{n}", "按区") for n, name in enumerate(names)]
        with self.world.by(self.world.merchant) as unit:
            made = drafting.draft_together(unit, files, audience="public", context=CONTEXT)
            groups.submit(unit, made[0].group_id)
            found = made[0].group_id, [r.id for r in made]
        self.drain()
        return found

    def drain(self) -> None:
        LocalExecutor(self.world.platform, HANDLERS).drain()

    def states(self, ids: Sequence[str]) -> list[str]:
        return [self.world.export_state(one) for one in ids]

    def approve(self, request_id: str) -> None:
        for who in (self.world.officer, self.world.second_officer):
            if self.world.export_state(request_id) in ("in_review", "second_review"):
                with self.world.by(who) as unit:
                    reviewing.review(unit, request_id, "approve", "数值稳妥")

    def rules(self, request_id: str) -> set[str]:
        return {f["rule"] for f in verdict(self.world, request_id)[1]["findings"] if f["severity"] == "block"}


@pytest.fixture(scope="module")
def prepared(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Office:
    home = tmp_path_factory.mktemp("prepared")
    shutil.copy(sqlite_template, home / "metadata.sqlite")
    world = World.settle(Platform(Settings(home=home), FixedClock(MONDAY)))
    workspace_id, grant = opened(world, ROWS)
    made = {}
    for name, (changes, rows) in JOBS.items():
        values = f"{rows} FROM (VALUES ('区0'), ('区1'), ('区2')) t(区)"
        made[name] = product(world, workspace_id, counted(grant, **changes), values)
    world.platform.database.dispose()
    return Office(world, made)


@pytest.fixture
def office(prepared: Office, tmp_path: Path) -> Iterator[Office]:
    home = tmp_path / "home"
    shutil.copytree(prepared.world.platform.settings.home, home)
    world = World(Platform(Settings(home=home), FixedClock(MONDAY)), dict(prepared.world.people))
    yield Office(world, prepared.products)
    world.platform.database.dispose()


PAIR = ("all", "nearly all")
"""one less the other is five people of each district"""


def test_two_tables_that_pass_alone_but_not_together_block_both(office: Office) -> None:
    for name in PAIR:
        _, alone = office.asked(name)
        assert office.states(alone) == ["in_review"], verdict(office.world, alone[0])
        with office.world.by(office.world.merchant) as unit:
            service.withdraw(unit, alone[0])
    for order in (PAIR, PAIR[::-1]):
        _, ids = office.asked(*order)
        assert office.states(ids) == ["blocked"] * 2, [verdict(office.world, one) for one in ids]
        for one in ids:
            found = verdict(office.world, one)[1]["findings"]
            said = [f["text"]["zh"] for f in found if f["rule"] == "EXP-DIFF-01" and f["severity"] == "block"]
            assert said and all("同组" in words for words in said)


def test_a_file_hides_also_what_another_file_of_the_group_would_let_work_out(office: Office) -> None:
    """Five people of each district are hidden; the other file has the districts' totals."""
    files = []
    for names in (("covered",), ("covered", "all"), ("all", "covered")):
        _, ids = office.asked(*names)
        assert office.states(ids) == ["in_review"] * len(ids), [verdict(office.world, one) for one in ids]
        with office.world.by(office.world.merchant) as unit:
            hiding = records.get(unit.session, ids[names.index("covered")])
            files.append(service.reviewed_path(unit, hiding).read_text("utf-8-sig"))
            for one in ids:
                service.withdraw(unit, one)
    assert "195" in files[0] and files[1] == files[2] and "195" not in files[1]


def test_a_blocked_file_reserves_nothing_and_is_let_out_by_itself(office: Office) -> None:
    _, ids = office.asked("all", "nearly all")
    with office.world.by(office.world.merchant) as unit:
        drafting.revise(unit, ids[0], remark="只申请全部人次")
        service.submit(unit, ids[0])
    office.drain()
    assert office.states(ids) == ["in_review", "blocked"]
    office.approve(ids[0])
    office.drain()
    assert office.states(ids) == ["released", "blocked"], "a part of a group leaves where it passed by itself"


def test_files_that_go_together_wait_together_and_each_leaves_with_its_own_package(office: Office) -> None:
    group_id, ids = office.asked("all", "sums")
    assert office.states(ids) == ["in_review"] * 2, [verdict(office.world, one) for one in ids]
    office.approve(ids[0])
    office.drain()
    assert office.states(ids) == ["released", "in_review"]
    with office.world.by(office.world.second_officer) as unit:
        groups.early_return(unit, group_id, (), "请说明口径")
    with office.world.by(office.world.merchant) as unit:
        drafting.revise(unit, ids[1], remark="总额按区")
        groups.submit(unit, group_id)
    office.drain()
    office.approve(ids[1])
    office.drain()
    assert office.states(ids) == ["released"] * 2
    with office.world.system() as unit:
        made = [records.release_of(unit.session, one) for one in ids]
        assert len({m.sha256 for m in made if m}) == 2


def test_a_file_under_review_that_was_compared_with_a_changed_one_is_checked_again(office: Office) -> None:
    group_id, ids = office.asked("sums", "all")
    with office.world.system() as unit:
        rests = [set((records.get(unit.session, one).verdict or {})["beside"]) for one in ids]
    with office.world.by(office.world.officer) as unit:
        groups.early_return(unit, group_id, ids[1:], "请说明口径")
    with office.world.by(office.world.merchant) as unit:
        drafting.revise(unit, ids[1], artefact_id=office.products["nearly all"])
        groups.submit(unit, group_id)
    office.drain()
    with office.world.system() as unit:
        rounds = [records.get(unit.session, one).round for one in ids]
    assert office.states(ids) == ["in_review"] * 2
    assert rounds == [2 if ids[1] in rests[0] else 1, 2]


def test_many_small_files_are_as_large_as_one(office: Office) -> None:
    """Six cells each, and ten are allowed in one act."""
    office.world.rules("export", "2026-02", max_cells=10)
    _, one = office.asked("all")
    assert office.states(one) == ["in_review"]
    with office.world.by(office.world.merchant) as unit:
        service.withdraw(unit, one[0])
    _, ids = office.asked("all", "sums")
    assert office.states(ids) == ["blocked"] * 2
    assert all("EXP-VOL-01" in office.rules(one) for one in ids)
