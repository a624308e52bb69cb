"""The officers' queue as a page: filters in the address, one opinion for several, masked columns, planted cases."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.pages import sheets
from policies.text import Text
from policies.verdict import Finding, Outcome
from sandbox.exports import service
from sandbox.exports.review import COVERED, Stakes
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from tests.conftest import MONDAY
from tests.factories import World, verdict
from tests.pages import Person, application, reviewed_verdict

FLAG = Text("含标识", "an identifier")


@dataclass
class Office:
    """A city with three requests that wait (one flagged, one of records) and people at the portal."""

    world: World
    ids: dict[str, str]

    def __post_init__(self) -> None:
        self.app = application(self.world.platform)

    def person(self, login: str) -> Person:
        return Person(self.app, login)


@pytest.fixture(scope="module")
def office(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    home = tmp_path_factory.mktemp("queue")
    shutil.copy(sqlite_template, home / "metadata.sqlite")
    world = World.settle(Platform(Settings(home=home), FixedClock(MONDAY)))
    ids = {}
    for name, form in (("clean", "aggregate"), ("other", "aggregate"), ("flagged", "aggregate"), ("record", "record")):
        ids[name] = world.export("checking")
        said = reviewed_verdict(world) if name == "flagged" else verdict()
        with world.system() as unit:
            service.conclude_check(unit, ids[name], said, stakes=Stakes(form, 2, False, 10.0))
    ids["unread"] = world.export("checking")
    yield Office(world, ids)
    world.platform.database.dispose()


@pytest.mark.parametrize(("query", "shown"), [
    ("", {"clean", "other", "flagged", "record"}), ("?form=record", {"record"}), ("?outcome=review", {"flagged"}),
    ("?outcome=pass&form=aggregate", {"clean", "other"}), ("?rule=EXP-DOM-01", {"flagged"}),
    ("?mine=1&due=overdue", set()),
    ("?view=all", {"clean", "other", "flagged", "record", "unread"}),
])  # fmt: skip
def test_the_address_is_the_filter(office: Office, query: str, shown: set[str]) -> None:
    page = office.person("officer").get(f"/exports{query}").text
    assert {name for name, one in office.ids.items() if f"/exports/{one}" in page} == shown


def test_chosen_requests_get_one_opinion_once_their_files_were_opened(office: Office) -> None:
    officer, two = office.person("officer"), [office.ids["clean"], office.ids["other"]]
    form = {"chosen": two, "decision": "approve", "reason": "逐件核对"}
    assert officer.client.post("/export-queue/opinions", data=form | {"csrf_token": officer.token}).status_code == 409
    for one in two:
        assert officer.get(f"/exports/{one}").status_code == 200
    assert "我已看过文件" in officer.get("/exports").text
    answer = officer.client.post("/export-queue/opinions", data=form | {"csrf_token": officer.token})
    assert answer.status_code == 303
    assert {office.world.export_state(one) for one in two} == {"approved"}


def test_words_nobody_has_looked_through_are_covered_on_every_list(office: Office) -> None:
    for login in ("officer", "operator", "auditor"):
        page = office.person(login).get(f"/exports/{office.ids['unread']}").text
        assert COVERED.zh in page and "门诊量" not in page
    assert "门诊量" in office.person("merchant").get(f"/exports/{office.ids['unread']}").text


def test_planted_cases_are_for_those_who_run_the_platform_and_for_auditors(office: Office) -> None:
    for login, status in (("operator", 200), ("auditor", 200), ("officer", 403), ("merchant", 403)):
        assert office.person(login).get("/canaries").status_code == status


def test_a_column_in_which_somebody_was_found_is_masked_whole() -> None:
    table = {"place": "a.csv", "header": ["编号", "人次"], "rows": [["甲", "12"], ["乙", "15"]], "first_row": 2}
    table |= {"of": 2, "hidden": False, "model": False}
    kept = {"tables": [table], "texts": [], "pictures": [], "parts": [], "left_out": {}}
    for name in ("1", "编号"):
        one = Finding("EXP-PII-01", Outcome.REVIEW, f"a.csv#column={name}", 1, 0, FLAG, FLAG, None)
        (shown,) = sheets.preview(kept, [one], "marked").tables
        assert shown.sheet.rows == (("＊＊＊", 12), ("＊＊＊", 15))


@pytest.mark.parametrize("finding", ["a.csv#header=2", "a.csv#column=1", "history"])
def test_headings_that_are_values_are_masked_and_those_in_which_somebody_was_found(finding: str) -> None:
    table = {"place": "a.csv", "header": ["440101199001010000", "甲某", "区"], "rows": [], "first_row": 2, "of": 0}
    table |= {"hidden": False, "model": False}
    kept = {"tables": [table], "texts": [], "pictures": [], "parts": [], "left_out": {}}
    one = Finding("EXP-PII-01", Outcome.REVIEW, finding, 1, 0, FLAG, FLAG, None)
    (covered,), (looked,) = (sheets.preview(kept, [one], masked).tables for masked in ("all", ""))
    assert covered.sheet.columns == ("＊＊＊", "＊＊＊" if "header" in finding else "甲某", "区")
    assert looked.sheet.columns == ("440101199001010000", "甲某", "区")
