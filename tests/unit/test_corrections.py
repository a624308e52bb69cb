"""整改单: issued for what fails, answered by a delivery, settled only by a version that measures and meets it."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from policies.text import Text, UserError
from sandbox.catalog import corrections, deliveries, repository
from sandbox.kernel import clocks, oversight
from sandbox.kernel.errors import Conflict, InvalidTransition, NotPermitted
from sandbox.kernel.unit import Platform
from tests.factories import World, poor_report
from tests.pages import Person, application


@pytest.fixture
def world(platform: Platform) -> World:
    return World.settle(platform)


def dirty(world: World) -> str:
    resource = world.delivered(name="低质量")
    world.take_in(resource, quality=poor_report())
    return resource


def issued(world: World, resource: str) -> str:
    with world.by(world.operator) as unit:
        return corrections.issue(unit, resource).id


def state(world: World, slip: str) -> tuple[str, int | None, list[str | None]]:
    """State, version that settled it, and the days of its running clocks."""
    with world.system() as unit:
        found = corrections.get(unit.session, slip)
        return found.state, found.verified_version, [c.due_on for c in clocks.running(unit.session, "correction", slip)]


def test_a_slip_says_what_failed_and_gives_ten_working_days(world: World) -> None:
    slip = issued(world, dirty(world))
    assert state(world, slip) == ("issued", None, ["2026-03-16"])  # issued on Monday 2 March
    with world.by(world.department) as unit:
        content = corrections.read(unit, slip).content
    assert content["failed"] == ["QUA-IND-0304"]
    assert [(i["code"], i["a"], i["b"], i["threshold"]) for i in content["indicators"]] == [("0304", 90, 100, 0.99)]
    assert content["rules"][0]["samples"] == [{"row": 3, "line": 5, "values": {"编号": "***"}}]
    assert content["quarantine"] == [{"reason": "broken_quote", "count": 1, "lines": [7]}]


CASES: list[tuple[str, dict[str, Any] | None, str]] = [
    ("the next version meets every rule", poor_report(repaired=True), "verified"),
    ("the next version fails again", poor_report(), "issued"),
    ("the next version does not measure it any more", {"verdict": {"outcome": "pass", "rules": []}}, "issued"),
    ("the delivery cannot be read", None, "issued"),
]


@pytest.mark.parametrize(("report", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_delivery_answers_the_slip_and_its_report_settles_it(
    world: World, report: dict[str, Any] | None, wanted: str
) -> None:
    resource = dirty(world)
    slip = issued(world, resource)
    world.deliver(resource, world.department)
    assert state(world, slip)[0] == "answered"
    if report is None:
        with world.system() as unit:
            waiting = repository.pending(unit.session, resource)
            assert waiting is not None
            deliveries.begin_reading(unit, waiting.id)
            deliveries.failed(unit, waiting.id, UserError("reading.empty", Text("空文件", "empty file")))
    else:
        world.take_in(resource, quality=report)
    found = state(world, slip)
    assert found[0] == wanted
    assert found[1] == (2 if wanted == "verified" else None)
    assert len(found[2]) == (0 if wanted == "verified" else 1)
    with world.system() as unit:
        events = [e.event for e in oversight.trail(unit, slip)]
    last = "correction:verify" if wanted == "verified" else "correction:reopen"
    assert events == ["correction:issue", "correction:answer", last]


def test_nothing_to_correct_is_refused_and_so_is_a_second_open_slip(world: World) -> None:
    good = world.delivered(name="好数据")
    world.take_in(good, quality=poor_report(repaired=True))
    with world.by(world.operator) as unit, pytest.raises(InvalidTransition, match="nothing"):
        corrections.issue(unit, good)
    resource = dirty(world)
    slip = issued(world, resource)
    with world.by(world.operator) as unit, pytest.raises(Conflict, match=r"correction\.open"):
        corrections.issue(unit, resource)
    with world.by(world.operator) as unit:
        corrections.withdraw(unit, slip, "误发")
    assert state(world, slip)[0] == "withdrawn"
    assert issued(world, resource) != slip


def test_only_the_operator_issues_and_departments_see_their_own(world: World) -> None:
    resource = dirty(world)
    with world.by(world.department) as unit, pytest.raises(NotPermitted):
        corrections.issue(unit, resource)
    slip = issued(world, resource)
    with world.by(world.department) as unit:
        assert [s.id for s in corrections.list_for(unit)] == [slip]
    with world.by(world.merchant) as unit, pytest.raises(NotPermitted):
        corrections.list_for(unit)


def test_through_the_pages_a_slip_is_issued_shown_and_taken_home(world: World) -> None:
    resource = dirty(world)
    app = application(world.platform)
    operator, department = Person(app, "operator"), Person(app, "department")
    assert "签发整改单" in operator.get(f"/resources/{resource}?tab=quality").text
    address = operator.post(f"/resources/{resource}/corrections").headers["location"]
    assert address in department.get("/").text
    assert address in operator.get("/corrections").text
    page = department.get(address).text
    assert "删去重复记录" in page
    assert "引号不成对" in page
    document = json.loads(department.get(f"{address}/file.json").text)
    assert (document["due_on"], document["failed"]) == ("2026-03-16", ["QUA-IND-0304"])
    rows = list(csv.reader(io.StringIO(department.get(f"{address}/file.csv").text.removeprefix("\ufeff"))))
    assert rows[1] == ["0304", "“编号”齐全且不重复", "90/100", "4", "5", "编号：***", "删去重复记录"]
    printed = department.get(f"{address}/file.html")
    assert "attachment" in printed.headers["content-disposition"]
    assert "2026-03-16" in printed.text
    assert "src=" not in printed.text
    assert "href=" not in printed.text, "the page must need nothing but itself"
    assert operator.get(f"{address}/file.exe").status_code == 404


def test_cells_of_the_table_never_start_a_formula(world: World) -> None:
    report = poor_report()
    report["rules"][0]["fix"] = {"zh": "=cmd()", "en": "x"}
    resource = world.delivered(name="低质量")
    world.take_in(resource, quality=report)
    slip = issued(world, resource)
    text = Person(application(world.platform), "operator").get(f"/corrections/{slip}/file.csv").text
    assert "'=cmd()" in text
