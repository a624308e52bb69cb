"""One story in a real browser, told by every role: what each sees first, and the one button that moves things on."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from api import server
from api.demo import city
from api.demo.client import Client
from api.demo.story import STORY_TABLES
from api.setup import prepare
from pipelines.registry import HANDLERS
from sandbox.kernel.jobs import LocalExecutor
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from tests.e2e.browser import Browser, picture, serving, sign_in

pytestmark = pytest.mark.chromium
COLUMNS = {"门诊就诊": ("身份证号", "就诊日期", "费用"), "居民登记": ("身份证号", "所属区")}
COMPANY, USCC = "示范数科（浏览器）有限公司", "91449967MAQXJT373A"


@dataclass
class Stage:
    """A served platform, its executor, a browser, and one signed-in page a role."""

    platform: Platform
    address: str
    password: str
    browser: Browser
    pictures: Path
    pages: dict[str, Page] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    """the city's files by table"""
    taken: int = 0

    def settle(self) -> None:
        LocalExecutor(self.platform, HANDLERS).drain()

    def as_(self, login: str) -> Page:
        """The page of somebody, signed in once."""
        if login not in self.pages:
            self.pages[login] = self.browser.page(self.address)
            sign_in(self.pages[login], login, self.password)
        return self.pages[login]

    def look(self, page: Page, name: str) -> None:
        """Keep a picture of a page worth looking at."""
        self.taken += 1
        picture(page, self.pictures / f"{self.taken:02d}-{name}.png")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """The city with its two tables ingested and their grades proposed."""
    platform = Platform(Settings(home=tmp_path / "home"))
    prepare(platform)
    password = city.password_of(platform)
    with platform.system() as unit:
        city.found(unit, password)
    pictures = Path(os.environ.get("PDS_SCREENSHOTS", str(tmp_path / "pictures")))
    pictures.mkdir(parents=True, exist_ok=True)
    with serving(server.build(platform)) as address, Browser() as browser:
        made = Stage(platform, address, password, browser, pictures)
        with httpx.Client(base_url=address, timeout=60) as http:
            client = Client(http)
            for table in city.build_files(tmp_path / "city", scale=0.1):
                if table.name in STORY_TABLES:
                    client.sign_in(table.login, password)
                    resource = client.post(table.login, "/resources", table.registration)["id"]
                    client.upload(table.login, f"/resources/{resource}/deliveries", table.path)
                    made.files[table.name] = table.path
        made.settle()
        yield made


def press(page: Page, label: str) -> None:
    """Press the button of that label and wait for where it leads."""
    button = page.get_by_role("button", name=re.compile(f"^{re.escape(label)}")).first
    with page.expect_navigation():
        button.click()


def open_from_home(page: Page, title: str) -> None:
    """What waits for a person is on the home page, one click away."""
    page.goto("/")
    page.get_by_role("link", name=title).first.click()
    page.wait_for_load_state()


def state_of(page: Page) -> Locator:
    return page.locator(".page-head")


def test_every_role_does_its_part_of_the_story_in_the_portal(stage: Stage) -> None:
    govern(stage)
    redeliver(stage)
    merchant = enter(stage)
    apply_for_data(stage, merchant)
    develop(stage, merchant)
    take_out(stage, merchant)
    oversee(stage)
    assert stage.browser.outside == []
    assert [c for c in stage.browser.complaints if "401" not in c] == []


def govern(stage: Stage) -> None:
    """Departments confirm grades, the operator publishes."""
    for login, name in (("police", "居民登记"), ("health", "门诊就诊")):
        page = stage.as_(login)
        open_from_home(page, name)
        stage.look(page, f"{login}-grades")
        press(page, "确认分级")
        expect(state_of(page)).to_contain_text("分级已确认")
        operator = stage.as_("operator")
        open_from_home(operator, name)
        press(operator, "发布目录")
        expect(state_of(operator)).to_contain_text("已发布")
    stage.settle()


def redeliver(stage: Stage) -> None:
    """The next month's file has a column more: an operator has it detected anew, the department asks a second person
    to lower the new column's level, and what was published stays until the new version is."""
    page, operator, officer = stage.as_("health"), stage.as_("operator"), stage.as_("officer1")
    page.goto("/resources")
    page.get_by_role("link", name="门诊就诊").first.click()
    page.wait_for_load_state()
    address = page.url
    page.locator("#f-file").set_input_files(wider(stage.files["门诊就诊"]))
    press(page, "上传并交付")
    stage.settle()
    page.goto(address)
    expect(page.get_by_text("读取方式需要确定")).to_be_visible()
    open_from_home(operator, "门诊就诊")
    stage.look(operator, "operator-recipe")
    press(operator, "全部由系统重新识别")
    stage.settle()
    page.goto(f"{address}?tab=columns")
    expect(page.get_by_text("有 1 列的分级需要确认")).to_be_visible()
    expect(page.get_by_text("已发布的第 1 版照常使用")).to_be_visible()
    page.locator("#f-column").fill("陪诊人")
    page.locator("#f-level").select_option("2")
    press(page, "查看影响")
    page.locator("#f-reason").first.fill("只记有无，不含姓名")
    press(page, "确定调整")
    stage.look(page, "department-lowering")
    open_from_home(officer, "门诊就诊 陪诊人")
    stage.look(officer, "officer-lowering")
    officer.locator("textarea").first.fill("核实无误")
    press(officer, "同意放宽")
    page.goto(address)
    press(page, "确认分级")
    open_from_home(operator, "门诊就诊")
    press(operator, "发布目录")
    expect(operator.get_by_text("第 2 版").first).to_be_visible()
    stage.settle()
    operator.goto(f"{address}/versions/2")
    expect(operator.get_by_text("新增列")).to_be_visible()
    stage.look(operator, "operator-version")


def wider(path: Path) -> Path:
    """The same table with one more column."""
    rows = [r for r in csv.reader(path.read_text("utf-8-sig").splitlines(keepends=True)) if r]
    made = path.with_name("门诊就诊二月.csv")
    with made.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([[*row, "陪诊人" if not place else "有"] for place, row in enumerate(rows)])
    return made


def enter(stage: Stage) -> Page:
    """A company registers, applies with its papers and is admitted."""
    visitor = stage.browser.page(stage.address)
    visitor.goto("/")
    stage.look(visitor, "visitor-home")
    visitor.goto("/register")
    for name, value in (("organisation", COMPANY), ("uscc", USCC), ("person", "王经理"), ("login", "datashop"),
                        ("password", stage.password)):  # fmt: skip
        visitor.locator(f"#f-{name}").fill(value)
    press(visitor, "")
    merchant = stage.as_("datashop")
    merchant.goto("/onboarding/new")
    merchant.locator("#f-contact").fill("王经理")
    merchant.locator("#f-business").fill("城市健康服务")
    for field_ in merchant.locator("input[name^='material.']").all():
        field_.fill("材料.pdf")
    press(merchant, "保存")
    press(merchant, "提交")
    operator = stage.as_("operator")
    operator.goto("/")
    stage.look(operator, "operator-home")
    open_from_home(operator, COMPANY)
    press(operator, "准予进驻")
    expect(state_of(operator)).to_contain_text("准予进驻")
    return merchant


def apply_for_data(stage: Stage, merchant: Page) -> None:
    """The merchant browses simulated rows, asks for columns with reasons; operator and departments decide."""
    merchant.goto("/catalog")
    merchant.get_by_role("link", name="门诊就诊").first.click()
    expect(merchant.get_by_text("仿真数据").first).to_be_visible()
    stage.look(merchant, "catalogue-entry")
    merchant.get_by_role("link", name="分布").click()
    expect(merchant.locator("svg.histogram").first).to_be_visible()
    stage.look(merchant, "catalogue-distributions")
    merchant.get_by_role("link", name="下载", exact=True).click()
    with merchant.expect_download() as taken:
        merchant.locator("a[href*='files/xlsx']").click()
    assert "仿真数据" in taken.value.suggested_filename
    stage.look(merchant, "catalogue-files")
    merchant.goto("/applications/new")
    merchant.locator("#f-scenario").fill("各区门诊负荷分析")
    merchant.locator("#f-purpose").fill("为社区医院排班提供参考")
    merchant.locator("input[name=audience][value=public]").check()
    for table, columns in COLUMNS.items():
        box = merchant.locator("details.card", has=merchant.get_by_text(table, exact=True)).first
        if box.get_attribute("open") is None:
            box.locator("summary").click()
        for column in columns:
            row = box.locator("tr").filter(has_text=re.compile(rf"^\s*{column}")).first
            row.locator("input[type=checkbox]").check()
            row.locator("input.input").fill("统计需要")
    stage.look(merchant, "application-form")
    press(merchant, "保存")
    press(merchant, "提交")
    address = merchant.url
    operator = stage.as_("operator")
    operator.goto(address)
    press(operator, "核查通过")
    for login in ("health", "police"):
        open_from_home(stage.as_(login), "各区门诊负荷分析")
        stage.look(stage.as_(login), f"{login}-approval")
        press(stage.as_(login), "同意")
    merchant.goto(address)
    press(merchant, "签署协议")
    stage.settle()
    merchant.reload()
    expect(state_of(merchant)).to_contain_text("授权有效")
    stage.look(merchant, "application-active")


def develop(stage: Stage, merchant: Page) -> None:
    """SQL on simulated data gives rows; the run on real data gives state and buckets."""
    press(merchant, "开通开发空间")
    merchant.get_by_role("button", name=re.compile("运行")).first.click()
    expect(merchant.locator("#result table").first).to_be_visible(timeout=20_000)
    stage.look(merchant, "workspace-query")
    workspace = merchant.url.split("?")[0]
    merchant.goto(f"{workspace}?tab=runs")
    stage.look(merchant, "workspace-runs")
    press(merchant, "提交运行")
    stage.settle()
    merchant.reload()
    expect(merchant.get_by_text("已完成").first).to_be_visible()
    stage.look(merchant, "run-done")


def take_out(stage: Stage, merchant: Page) -> None:
    """The request passes the machine; two officers approve; the merchant downloads the package."""
    merchant.goto("/exports/new")
    merchant.locator("#f-artefact_id").select_option(index=1)
    merchant.locator("#f-title").fill("各区门诊统计")
    merchant.locator("#f-remark").fill("按区、按月统计")
    told = {"purpose": "排班参考", "population": "全部门诊", "controls": "按区汇总并取整"}
    for name, words in told.items():
        merchant.locator(f"#f-{name}").fill(words)
    press(merchant, "保存")
    press(merchant, "冻结并提交")
    stage.settle()
    address = merchant.url
    first, second = stage.as_("officer1"), stage.as_("officer2")
    first.goto("/")
    stage.look(first, "officer-home")
    first.goto(address)
    stage.look(first, "officer-review")
    for officer, grounds in ((first, "单元格均达标"), (second, "同意放行")):
        officer.goto(address)
        officer.locator("#f-grounds").fill(grounds)
        press(officer, "同意")
    stage.settle()
    merchant.goto(address)
    expect(state_of(merchant)).to_contain_text("已放行")
    stage.look(merchant, "released")
    with merchant.expect_download() as download:
        merchant.get_by_role("button", name=re.compile("下载")).first.click()
    assert download.value.suggested_filename.endswith(".zip")


def oversee(stage: Stage) -> None:
    """The auditor verifies the chain; the operator reports; everybody can read the report."""
    auditor = stage.as_("auditor")
    auditor.goto("/audit")
    press(auditor, "校验")
    expect(auditor.get_by_text("完整").first).to_be_visible()
    stage.look(auditor, "audit")
    operator = stage.as_("operator")
    operator.goto("/reports")
    press(operator, "发布")
    visitor = stage.browser.page(stage.address, language="en-US")
    visitor.goto("/reports?lang=en")
    expect(visitor.get_by_text("exports released").first).to_be_visible()
    stage.look(visitor, "report-english")
