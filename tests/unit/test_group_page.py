"""A group as a page: the merchant asks for several products in one act, officers open it as one and decide on each."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from policies.verdict import Outcome
from sandbox.exports import service
from sandbox.exports.review import COVERED, Stakes
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from tests.conftest import MONDAY
from tests.factories import CONTEXT, World, verdict
from tests.pages import Person, application, reviewed_verdict, words_of

LOW = Stakes("aggregate", 2, False, 10.0)


@dataclass
class Office:
    """A merchant with three products of one workspace and one of another; people at the portal."""

    world: World
    products: list[str]
    foreign: str

    def __post_init__(self) -> None:
        self.app = application(self.world.platform)

    def person(self, login: str) -> Person:
        return Person(self.app, login)

    def asked(self, count: int = 3) -> str:
        """The address that the form leads to, for the first `count` products."""
        merchant = self.person("merchant")
        merchant.get("/exports/new")
        form = {"artefact_id": self.products[0], "title": "门诊量", "remark": "按区", **CONTEXT}
        answer = merchant.client.post(
            "/exports", data=form | {"also": self.products[1:count], "csrf_token": merchant.token}
        )
        assert answer.status_code == 303, words_of(answer.text)
        return str(answer.headers["location"])

    def checked(self, group: str, *, flagged: int = -1) -> list[str]:
        """Submitted and through with the machine; the ids of its files. `flagged`: the one left to people."""
        merchant = self.person("merchant")
        page = merchant.get(group).text
        merchant.press(f"{group}/submit")
        ids = list(dict.fromkeys(re.findall(r'href="/exports/(exp-\w+)"', page)))
        left = reviewed_verdict(self.world)
        with self.world.system() as unit:
            for at, one in enumerate(service.begin_checks(unit, ids)):
                service.conclude_check(unit, one, left if at == flagged else verdict(), stakes=LOW)
        return ids


@pytest.fixture
def office(sqlite_template: Path, tmp_path: Path) -> Iterator[Office]:
    shutil.copy(sqlite_template, tmp_path / "metadata.sqlite")
    world = World.settle(Platform(Settings(home=tmp_path), FixedClock(MONDAY)))
    place = world.workspace()
    yield Office(world, [world.artefact(place) for _ in range(3)], world.artefact())
    world.platform.database.dispose()


def test_one_form_asks_for_several_products_and_leads_to_the_group(office: Office) -> None:
    group = office.asked()
    assert group.startswith("/export-groups/grp-")
    page = office.person("merchant").get(group).text
    assert "门诊量（visits.csv） 等 3 个文件" in page and CONTEXT["purpose"] in page
    assert "冻结并提交 3 个草稿" in page and "整组撤回" in page
    assert office.asked(1).startswith("/exports/exp-"), "one product is a request as before"


def test_products_of_two_applications_are_refused_beside_the_form(office: Office) -> None:
    merchant = office.person("merchant")
    merchant.get("/exports/new")
    form = {"artefact_id": office.products[0], "title": "门诊量", **CONTEXT}
    answer = merchant.client.post("/exports", data=form | {"also": [office.foreign], "csrf_token": merchant.token})
    assert answer.status_code == 422 and "一次只能申请同一使用申请下的产品" in answer.text
    assert f'value="{office.foreign}" checked' in answer.text, "what was chosen is still chosen"


def test_the_group_is_one_line_of_the_queue_with_its_count(office: Office) -> None:
    group = office.asked()
    ids = office.checked(group)
    page = office.person("officer").get("/exports").text
    assert page.count(f'href="{group}"') == 1 and not any(f'href="/exports/{one}"' in page for one in ids)
    assert "等 3 个文件" in page
    for other, status in (("merchant", 200), ("auditor", 200), ("operator", 200), ("stranger", 404)):
        assert office.person(other).get(group).status_code == status


def test_an_officer_opens_each_file_and_decides_on_several_in_one_act(office: Office) -> None:
    group = office.asked()
    ids = office.checked(group)
    officer = office.person("officer")
    assert "尚未打开" in officer.get(group).text
    form = {"chosen": ids[:2], "decision": "approve", "reason": "逐件核对"}
    assert officer.client.post(f"{group}/opinions", data=form | {"csrf_token": officer.token}).status_code == 409
    for one in ids:
        assert "同组共 3 个文件" in officer.get(f"/exports/{one}").text
    officer.get(group)
    assert officer.client.post(f"{group}/opinions", data=form | {"csrf_token": officer.token}).status_code == 303
    assert [office.world.export_state(one) for one in ids] == ["approved", "approved", "in_review"]
    back = {"chosen": ids[2:], "reason": "口径不清"}
    officer.get(group)
    assert officer.client.post(f"{group}/early-return", data=back | {"csrf_token": officer.token}).status_code == 303
    assert office.world.export_state(ids[2]) == "returned"


def test_a_vote_on_one_file_is_kept_without_an_opinion_and_nobody_else_reads_it(office: Office) -> None:
    group = office.asked()
    ids = office.checked(group)
    officer = office.person("officer")
    page = officer.get(group).text
    assert "只保存表决" in page and page.count('<option value="undecided" selected>') == 3
    form = {f"vote.{one}": "undecided" for one in ids} | {f"vote.{ids[1]}": "changes", "csrf_token": officer.token}
    for _ in range(2):  # the second says nothing new
        assert officer.client.post(f"{group}/votes", data=form).status_code == 303
    page = officer.get(group).text
    assert page.count('<option value="changes" selected>') == 1
    assert '<option value="changes" selected>' not in office.person("second_officer").get(group).text
    assert {office.world.export_state(one) for one in ids} == {"in_review"}
    assert [event.object_id for event in office.world.events("export:vote")] == [ids[1]]
    for one in ids:
        officer.get(f"/exports/{one}")
    approval = {"chosen": ids, "decision": "approve", "reason": "逐件核对", "csrf_token": officer.token}
    assert officer.client.post(f"{group}/opinions", data=form | approval).status_code == 422, "against the own vote"
    assert {office.world.export_state(one) for one in ids} == {"in_review"}
    wrong = {"vote.exp-elsewhere": "approve", "csrf_token": officer.token}
    assert officer.client.post(f"{group}/votes", data=wrong).status_code == 422


def test_what_the_machine_left_to_people_has_a_field_of_its_own_and_needs_it(office: Office) -> None:
    group = office.asked(2)
    ids = office.checked(group, flagged=1)
    officer = office.person("officer")
    for one in ids:
        officer.get(f"/exports/{one}")
    page = officer.get(group).text
    assert f'name="reason.{ids[1]}"' in page and f'name="reason.{ids[0]}"' not in page
    assert "须由 2 位合规人员同意" in page and "机器转人工的事项" in page
    form = {"chosen": ids, "decision": "approve", "reason": "逐件核对", "csrf_token": officer.token}
    assert officer.client.post(f"{group}/opinions", data=form).status_code == 422
    own = form | {f"reason.{ids[1]}": "占比高的是全市最大医院，公开信息"}
    assert officer.client.post(f"{group}/opinions", data=own).status_code == 303
    assert [office.world.export_state(one) for one in ids] == ["second_review"] * 2


def test_words_that_a_check_found_wanting_in_one_file_are_covered_for_the_group(office: Office) -> None:
    group = office.asked(2)
    merchant = office.person("merchant")
    merchant.get(group)
    merchant.press(f"{group}/submit")
    page = office.person("officer").get(group).text
    assert COVERED.zh in page and "排班参考" not in page
    assert "排班参考" in office.person("merchant").get(group).text


def test_next_leads_through_the_groups_files_and_on_to_the_next_line(office: Office) -> None:
    group = office.asked(2)
    ids = office.checked(group)
    other = office.world.export("checking")
    with office.world.system() as unit:
        service.conclude_check(unit, other, verdict(Outcome.PASS), stakes=LOW)
    officer = office.person("officer")
    assert f'href="/exports/{ids[1]}" data-key="]"' in officer.get(f"/exports/{ids[0]}").text
    assert f'href="/exports/{other}" data-key="]"' in officer.get(f"/exports/{ids[1]}").text
    assert f'href="/exports/{other}" data-key="]"' in officer.get(group).text
    assert f'href="{group}" data-key="]"' in officer.get(f"/exports/{other}").text
