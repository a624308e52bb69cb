"""Usage, quotas, the machine and its isolation in the portal: what people press and read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from sandbox.workspaces import metering, quotas, service, tiers
from sandbox.workspaces.usage import Usage
from tests.factories import World
from tests.pages import Person, application, words_of


@dataclass
class Desk:
    """A workspace and people in front of it."""

    world: World
    workspace: str

    def __post_init__(self) -> None:
        self.app = application(self.world.platform)

    def person(self, login: str) -> Person:
        return Person(self.app, login)

    @property
    def tab(self) -> str:
        return f"/workspaces/{self.workspace}?tab=usage"

    def change(self, step: str) -> None:
        with self.world.by(self.world.operator) as unit:
            service.change(unit, self.workspace, step, "待核实")

    def use(self, minutes: float) -> None:
        with self.world.system() as unit:
            metering.record(unit, self.workspace, "query", Usage(minutes * 60, 0))


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world, world.workspace())


def test_warning_is_above_every_tab_from_four_fifths_on(desk: Desk) -> None:
    merchant = desk.person("merchant")
    desk.use(191)
    assert "已用 79%" not in merchant.get(desk.tab).text
    desk.use(1)
    for tab in ("usage", "runs", "about"):
        assert "处理器时间已用 80%" in words_of(merchant.get(f"/workspaces/{desk.workspace}?tab={tab}").text)
    desk.use(48)
    page = words_of(merchant.get(desk.tab).text)
    assert "处理器时间已用满" in page and "零点恢复，或申请追加" in page


def test_merchant_asks_and_operator_grants_by_buttons(desk: Desk) -> None:
    merchant, operator = desk.person("merchant"), desk.person("operator")
    merchant.get(desk.tab)
    merchant.press(f"/workspaces/{desk.workspace}/quota-requests", measure="cpu", wanted="480", reason="季度报告")
    assert "待办理" in words_of(merchant.get(desk.tab).text)
    assert "配额追加申请" in words_of(operator.get("/").text), "it waits on the operator's desk"
    with desk.world.by(desk.world.operator) as unit:
        (wish,) = quotas.list_for(unit)
    operator.get(f"/quota-requests/{wish.id}")
    operator.press(f"/quota-requests/{wish.id}/grant", amount="360", until="2026-03-31")
    shown = words_of(merchant.get(desk.tab).text)
    assert "360 分钟" in merchant.get(desk.tab).text and "已追加，有效至 2026-03-31" in shown


@pytest.mark.parametrize("wanted", ["", "many", "１２０００", "-5", "240", "99999999999"])
def test_wish_that_makes_no_sense_comes_back_with_what_was_typed(desk: Desk, wanted: str) -> None:
    merchant = desk.person("merchant")
    merchant.get(desk.tab)
    answer = merchant.post(
        f"/workspaces/{desk.workspace}/quota-requests", measure="cpu", wanted=wanted, reason="还要更多时间"
    )
    assert answer.status_code == 422 and "还要更多时间" in answer.text


@pytest.mark.parametrize(("amount", "until"), [("", "2026-03-31"), ("300", "soon"), ("300", "2020-01-01")])
def test_grant_that_makes_no_sense_comes_back(desk: Desk, amount: str, until: str) -> None:
    with desk.world.by(desk.world.merchant) as unit:
        wish = quotas.ask(unit, desk.workspace, "cpu", 300, "建模").id
    operator = desk.person("operator")
    operator.get(f"/quota-requests/{wish}")
    assert operator.post(f"/quota-requests/{wish}/grant", amount=amount, until=until).status_code == 422


def test_statement_page_and_file_have_the_same_figures(desk: Desk) -> None:
    desk.use(90)
    merchant = desk.person("merchant")
    page = merchant.get(f"/workspaces/{desk.workspace}/usage/2026-03").text
    file = merchant.get(f"/workspaces/{desk.workspace}/usage/2026-03/csv")
    assert "1.500000" in page and "1.500000" in file.text and "5400000000" in file.text
    assert file.headers["content-type"].startswith("text/csv") and "2026-03" in file.headers["content-disposition"]
    for login in ("stranger", "department", "officer"):
        assert desk.person(login).get(f"/workspaces/{desk.workspace}/usage/2026-03/csv").status_code in (403, 404)


def test_operators_list_says_nothing_of_the_content(desk: Desk) -> None:
    with desk.world.system() as unit:
        metering.record(unit, desk.workspace, "query", Usage(3, 5), subject="stm_geheim")
    page = desk.person("operator").get("/machine").text
    assert desk.workspace in page and "未启动" in page
    assert "SELECT" not in page and "stm_geheim" not in page


def test_decision_on_a_weaker_tier_is_kept_with_who_and_why_and_can_be_taken_back(desk: Desk) -> None:
    with desk.world.system() as unit:
        tiers.record(unit, {"tier": "medium", "form": "landlock", "attacks": [
            {"name": "read_other_workspace", "stopped": True, "by": "EACCES"}]})  # fmt: skip
    operator = desk.person("operator")
    assert "真实数据作业已停用" in words_of(operator.get("/isolation").text)
    operator.press("/isolation/decision", tier="medium", reason="容器平台不开放命名空间")
    page = words_of(operator.get("/isolation").text)
    assert "可以运行真实数据作业" in page and "容器平台不开放命名空间" in page and "决定隔离等级" in page
    operator.press("/isolation/decision", tier="strong", reason="主机已更换")
    assert "真实数据作业已停用" in words_of(operator.get("/isolation").text)


def test_decision_without_a_reason_or_beyond_the_demonstration_is_refused(desk: Desk) -> None:
    operator = desk.person("operator")
    operator.get("/isolation")
    assert operator.post("/isolation/decision", tier="medium", reason=" ").status_code == 422
    assert operator.post("/isolation/decision", tier="weak", reason="主机受限").status_code == 503


def test_only_the_operator_decides_and_tests(desk: Desk) -> None:
    for login in ("officer", "auditor"):
        person = desk.person(login)
        person.get("/isolation")
        assert person.post("/isolation/decision", tier="medium", reason="x").status_code == 403
        assert person.post("/isolation/selftest").status_code == 403


ENDS: dict[str, tuple[str, Callable[[Desk], None]]] = {
    "frozen": ("空间已冻结", lambda d: d.change("freeze")), "closed": ("空间已关闭", lambda d: d.change("close")),
    "expired": ("授权当前无效", lambda d: d.world.advance(days=400)),
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_every_tab_says_why_nothing_can_be_done_in_it(desk: Desk, end: str) -> None:
    why, happens = ENDS[end]
    happens(desk)
    merchant = desk.person("merchant")
    for tab in ("scripts", "uploads", "runs", "usage"):
        assert why in words_of(merchant.get(f"/workspaces/{desk.workspace}?tab={tab}").text), tab
    assert "<textarea" not in desk.person("operator").get(f"/workspaces/{desk.workspace}?tab=runs").text


def test_where_no_granted_row_may_be_read_no_statement_is_asked_for(desk: Desk) -> None:
    page = desk.person("merchant").get(f"/workspaces/{desk.workspace}?tab=data").text
    assert "没有可读取的授权表" in words_of(page) and "<textarea" not in page
