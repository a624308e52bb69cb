"""An officer's morning in a real browser: a queue of forty requests, by keyboard, to the last opinion."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from api.assets import build
from policies.verdict import Finding, Outcome, RuleRun, Verdict
from sandbox.exports import drafting, groups, service
from sandbox.exports.drafting import Asked
from sandbox.exports.review import Stakes
from sandbox.exports.wording import WORDINGS
from sandbox.kernel import editions
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from tests.conftest import MONDAY
from tests.e2e.browser import Browser, picture, serving, sign_in
from tests.factories import CONTEXT, PASSWORD, World
from tests.pages import application

pytestmark = pytest.mark.chromium
OVERFLOW = "document.documentElement.scrollWidth - window.innerWidth"
TOPICS = ("门诊量", "住院费用", "药品使用", "急诊时长", "预约挂号", "疫苗接种", "慢病随访", "出生登记", "公交客流",
          "停车周转")  # fmt: skip
BY = ("按区", "按月", "按街道", "按年龄段")
GROUPS = (3, 4)
"""files of the groups; all others are asked for by themselves, forty in all"""
RULES = ("dominance", "zero_cells")


@dataclass
class Office:
    """The served portal, and what waits: request → title."""

    world: World
    address: str
    browser: Browser
    pictures: Path
    groups: list[list[str]]

    def page(self, login: str = "officer", **options: object) -> Page:
        page = self.browser.page(self.address, **options)
        sign_in(page, login, PASSWORD)
        return page

    def look(self, page: Page, name: str) -> None:
        picture(page, self.pictures / f"queue-{name}.png")

    def states(self, ids: Sequence[str]) -> list[str]:
        return [self.world.export_state(one) for one in ids]


def said(world: World, *checks: str) -> Verdict:
    """A verdict of the edition in force; what is named was left to people."""
    with world.system() as unit:
        edition = editions.in_force(unit, "export")
    found = []
    for name in checks:
        rule, wording = edition.by_check(name), WORDINGS[name]
        found.append(Finding(rule.id, Outcome.REVIEW, "visits.csv#row=1;column=人次", 61.25, 47.5, wording.text,
                             wording.repair))  # fmt: skip
    runs = [RuleRun(f.rule, Outcome.REVIEW, 61.25, 47.5) for f in found]
    runs.append(RuleRun("EXP-CELL-01", Outcome.PASS, 12, 10))
    return Verdict.conclude("export", edition.edition, edition.digest, runs, found)


def filled(world: World) -> list[list[str]]:
    """Forty requests over two weeks: some clean, some left to people, some with much at stake; two of them groups."""
    place = world.workspace()
    products = [world.artefact(place) for _ in range(8)]
    made: list[list[str]] = []
    verdicts = [said(world), said(world), said(world, RULES[0]), said(world, *RULES[:2])]
    for at, size in enumerate([*GROUPS, *[1] * (40 - sum(GROUPS))]):
        files = []
        for n in range(size):
            topic, by = TOPICS[(at + n) % len(TOPICS)], BY[(at // len(TOPICS)) % len(BY)]
            files.append(Asked(products[(at + n) % len(products)], f"{topic}{by}", "按月更新"))
        with world.by(world.merchant) as unit:
            asked = drafting.draft_together(unit, files, audience="public", context=CONTEXT)
            groups.submit(unit, asked[0].group_id)
            made.append([r.id for r in asked])
        with world.system() as unit:
            for one in service.begin_checks(unit, made[-1]):
                stakes = Stakes("record" if at % 5 == 4 else "aggregate", 1 + at % 3, False, float(at % 60))
                service.conclude_check(unit, one, verdicts[at % 4], stakes=stakes)
        if at % 4 == 3:
            world.advance(days=1)
    return made


@pytest.fixture(scope="module")
def office(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    home = tmp_path_factory.mktemp("office")
    shutil.copy(sqlite_template, home / "metadata.sqlite")
    world = World.settle(Platform(Settings(home=home), FixedClock(MONDAY)))
    made = filled(world)
    pictures = Path(os.environ.get("PDS_SCREENSHOTS", str(home / "pictures")))
    pictures.mkdir(parents=True, exist_ok=True)
    build.build()
    with serving(application(world.platform)) as address, Browser() as browser:
        yield Office(world, address, browser, pictures, made)
    world.platform.database.dispose()


def rows(page: Page) -> list[tuple[str, int]]:
    """(last day, risk) of each line, from top to bottom."""
    found = []
    for line in page.locator("table.queue-review tbody tr").all():
        words = line.inner_text()
        day, risk = re.search(r"\d{4}-\d\d-\d\d", words), re.search(r"风险 (\d+)", words)
        assert day and risk, words
        found.append((day.group(), int(risk.group(1))))
    return found


def go_to(page: Page, href: str) -> None:
    """Move with the keyboard, as an officer does, until that line is focused."""
    for _ in range(45):
        page.keyboard.press("j")
        if page.evaluate("document.activeElement.getAttribute('href')") == href:
            return
    raise AssertionError(f"{href} was not reached")


def decide(page: Page, grounds: str, label: str) -> None:
    page.locator("#f-grounds").fill(grounds)
    with page.expect_navigation():
        page.get_by_role("button", name=label, exact=True).click()


def test_a_morning_with_forty_requests(office: Office) -> None:
    page = office.page()
    sort_and_filter(office, page)
    open_a_group(office, page)
    one_opinion_for_several(office, page)
    assert office.browser.outside == [] and office.browser.complaints == []


def sort_and_filter(office: Office, page: Page) -> None:
    """By deadline, then risk; by risk alone; by what the machine said. The address keeps it all."""
    page.goto("/exports")
    office.look(page, "desktop")
    order = rows(page)
    assert len(order) == 40 - sum(GROUPS) + len(GROUPS), "a group is one line"
    assert order == sorted(order, key=lambda row: (row[0], -row[1]))
    page.locator("#f-sort").select_option("risk")
    page.get_by_role("button", name="筛选").click()
    page.wait_for_url("**sort=risk**")
    risks = [risk for _, risk in rows(page)]
    assert risks == sorted(risks, reverse=True) and len(set(risks)) > 5
    page.locator("#f-outcome").select_option("review")
    page.locator("#f-form").select_option("record")
    page.get_by_role("button", name="筛选").click()
    page.wait_for_url("**outcome=review**")
    assert 0 < len(rows(page)) < 10 and "sort=risk" in page.url and "form=record" in page.url
    page.reload()
    expect(page.locator("#f-form")).to_have_value("record")
    page.get_by_role("link", name="待复核").first.click()
    assert len(rows(page)) == len(order)


def open_a_group(office: Office, page: Page) -> None:
    """With the keyboard alone: to the line, into the group, through its files, back, and one opinion on two of them."""
    ids = office.groups[0]
    page.goto("/exports")
    line = page.locator("a[href^='/export-groups/']", has_text="等 3 个文件").get_attribute("href")
    assert line is not None
    go_to(page, line)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{line}")
    office.look(page, "group")
    go_to(page, f"/exports/{ids[0]}")
    page.keyboard.press("Enter")
    for one in ids:
        page.wait_for_url(f"**/exports/{one}")
        expect(page.get_by_text("同组共 3 个文件")).to_be_visible()
        page.keyboard.press("]")
    page.wait_for_url(re.compile(r"/(exports|export-groups)/(?!" + "|".join(ids) + ")"))
    page.goto(line)
    expect(page.get_by_text("尚未打开")).to_have_count(0)
    for one in ids[:2]:
        go_to(page, f"/exports/{one}")
        page.keyboard.press("x")
    decide(page, "两张表逐格核对，均达标", "同意")
    assert office.states(ids) == ["approved", "approved", "in_review"]
    go_to(page, f"/exports/{ids[2]}")
    page.keyboard.press("x")
    decide(page, "请说明统计口径", "提前退回")
    assert office.states(ids) == ["approved", "approved", "returned"]
    office.look(page, "group-decided")


def one_opinion_for_several(office: Office, page: Page) -> None:
    """Three clean ones of a kind, each opened before; the form comes along while the list is long."""
    alike = [one for (one, *more), at in zip(office.groups, range(40), strict=False)
             if not more and at % 4 < 2 and at % 5 != 4 and at % 3 == 1][:3]  # fmt: skip
    assert len(alike) == 3
    for one in alike:
        page.goto(f"/exports/{one}")
    page.goto("/exports")
    grounds = page.locator("#f-grounds")
    assert not grounds.is_visible() or grounds.bounding_box()["y"] > 900  # type: ignore[index]
    for one in alike:
        go_to(page, f"/exports/{one}")
        page.keyboard.press("x")
    box = page.locator(".chosen-act").bounding_box()
    assert box and box["y"] + box["height"] <= 901, "what was ticked can be decided without scrolling to the end"
    picture(page, office.pictures / "queue-chosen.png", whole=False)
    decide(page, "同类三件，逐件核对无误", "同意")
    assert office.states(alike) == ["approved"] * 3
    expect(page.locator("table.queue-review tbody tr")).to_have_count(40 - sum(GROUPS) + len(GROUPS) - 1 - 3)


def test_the_queue_and_a_group_fit_a_telephone_and_can_be_decided_there(office: Office) -> None:
    page = office.page("second_officer", width=390, height=844)
    page.goto("/exports")
    assert page.evaluate(OVERFLOW) <= 0
    office.look(page, "phone")
    page.locator("a[href^='/export-groups/']", has_text="等 4 个文件").click()
    assert page.evaluate(OVERFLOW) <= 0
    office.look(page, "group-phone")
    page.locator("input[name=chosen]").first.check()
    box = page.locator(".chosen-act").bounding_box()
    assert box and box["y"] + box["height"] <= 845 and box["height"] < 300, "the rows keep most of the screen"
    picture(page, office.pictures / "queue-group-phone-chosen.png", whole=False)
    assert office.browser.outside == [] and office.browser.complaints == []


def test_a_merchant_chooses_several_products_in_one_form(office: Office) -> None:
    page = office.page("merchant")
    page.goto("/exports/new")
    page.locator("#f-artefact_id").select_option(index=1)
    page.get_by_text("同时申请其他产品").first.click()
    page.locator("input[name=also]").nth(1).check()
    page.locator("input[name=also]").nth(2).check()
    page.locator("#f-title").fill("各区门诊统计")
    for name, words in CONTEXT.items():
        page.locator(f"#f-{name}").fill(words)
    office.look(page, "merchant-form")
    with page.expect_navigation():
        page.get_by_role("button", name="保存").first.click()
    expect(page.locator("table.queue-review tbody tr")).to_have_count(3)
    with page.expect_navigation():
        page.get_by_role("button", name="冻结并提交 3 个草稿").click()
    expect(page.get_by_text("已冻结，待机器核查")).to_have_count(3)
    office.look(page, "merchant-group")
    assert office.browser.outside == [] and office.browser.complaints == []
