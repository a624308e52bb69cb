"""The merchant's query tab in a real browser, and the same form without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.desk import ENDLESS, Desk, seated
from tests.e2e.browser import Browser, serving, sign_in
from tests.factories import PASSWORD

pytestmark = pytest.mark.chromium


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with seated(tmp_path_factory.mktemp("desk")) as found:
        yield found


def typed(page: Page, sql: str) -> None:
    """Replace the editor's text."""
    page.locator(".code-editor .cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.keyboard.insert_text(sql)


def run(page: Page, sql: str) -> None:
    typed(page, sql)
    page.keyboard.press("Control+Enter")


@pytest.mark.islands
def test_a_day_at_the_desk(desk: Desk, tmp_path: Path) -> None:
    assert desk.client.app is not None
    with serving(desk.client.app) as address, Browser() as browser:
        page = browser.page(address)
        sign_in(page, "merchant", PASSWORD)
        page.goto(f"/workspaces/{desk.workspace}")
        expect(page.locator(".code-editor")).to_be_visible()
        result = page.locator("#result")

        made = "SELECT 区, count(*) AS 人次, NULL AS 空, '' AS 无 FROM 门诊就诊 GROUP BY 区"
        run(page, f"CREATE OR REPLACE TABLE 汇总 AS\n{made}")
        expect(result).to_contain_text("已创建表 汇总，2 行")
        expect(page.locator("#own-objects")).to_contain_text("汇总")

        run(page, "SELECT * FROM 汇总 WHERE 区 = “东区”")
        expect(result).to_contain_text("中文（全角）符号")
        expect(page.locator(".code-editor .cm-error")).to_be_visible()

        run(page, "SELECT 这一句是错的;\nSELECT * FROM 汇总 ORDER BY 区")
        expect(result).to_contain_text("这一句是错的")
        page.locator(".code-editor .cm-line").last.click()
        page.keyboard.press("Home")
        page.keyboard.press("Shift+End")
        page.keyboard.press("Control+Enter")
        expect(page.locator("#result-grid tbody tr")).to_have_count(2)
        first = page.locator("#result-grid tbody tr").first.locator("td")
        assert first.all_inner_texts() == ["东区", "500", "空值", "空文本"]

        run(page, "SELECT count(*) AS n FROM 门诊就诊 WHERE 区 = $区")
        page.locator("[name='p.区']").fill("西区")
        page.locator("[data-run]").click()
        expect(page.locator("#result-grid td")).to_have_text("500")
        with page.expect_download() as taken:
            result.get_by_role("button", name="下载").click()
        assert "仿真数据" in taken.value.suggested_filename

        run(page, ENDLESS)
        page.locator("[data-cancel]").click()
        expect(result).to_contain_text("语句已取消")
        page.get_by_text("保存当前语句").click()
        page.locator(".form-line [name=name]").fill("月度汇总")
        page.get_by_role("button", name="保存为").click()
        expect(page.locator(".saved")).to_contain_text("月度汇总")
        page.goto(f"/workspaces/{desk.workspace}?tab=history&q=汇总")
        expect(page.locator("tbody tr")).to_have_count(4)
        assert browser.outside == []


@pytest.mark.islands
def test_the_python_editor_knows_the_tables_and_shows_where_a_script_failed(desk: Desk) -> None:
    with serving(desk.client.app) as address, Browser() as browser:
        page = browser.page(address)
        sign_in(page, "merchant", PASSWORD)
        page.goto(f"/workspaces/{desk.workspace}?tab=scripts")
        typed(page, "import polars as pl\n")
        page.keyboard.type('t = pl.read_parquet(tables["门')
        page.get_by_role("option", name="门诊就诊").click()
        page.keyboard.press("End")
        page.keyboard.type('\nfor row in range(1):\nt.get_column("没有这一列")')
        page.locator("[data-run]").click()
        expect(page.locator("#script-run")).to_contain_text("ColumnNotFound", timeout=30_000)
        source = page.locator("#f-source").input_value()
        assert source.splitlines()[1:] == [
            't = pl.read_parquet(tables["门诊就诊"])', "for row in range(1):", '    t.get_column("没有这一列")'
        ]  # fmt: skip
        marked = page.locator(".code-editor .cm-line").nth(3).locator(".cm-error")
        expect(marked.first).to_be_visible()
        assert "".join(marked.all_inner_texts()) == 't.get_column("没有这一列")'
        page.locator(".code-editor .cm-line").first.click()
        page.keyboard.press("Tab")
        assert page.locator("#f-source").input_value() != source
        assert page.locator(".code-editor .cm-error").count() == 0, "the text is no longer the one that failed"
        page.keyboard.press("Escape")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('.code-editor')") is None, "Escape, Tab leaves the editor"
        assert browser.outside == []


def test_the_form_works_without_scripts(desk: Desk) -> None:
    with serving(desk.client.app) as address, Browser() as browser:
        page = browser.page(address, java_script_enabled=False)
        sign_in(page, "merchant", PASSWORD)
        page.goto(f"/workspaces/{desk.workspace}?tab=query")
        page.locator("#f-sql").fill("SELECT 区, count(*) AS n FROM 门诊就诊 WHERE 区 = ? GROUP BY 区")
        page.get_by_role("button", name="运行").click()
        expect(page.locator("#result")).to_contain_text("没有给值")
        page.locator("[name='p.1']").fill("东区")
        page.get_by_role("button", name="运行").click()
        assert page.locator("#result-grid td").all_inner_texts() == ["东区", "500"]
        page.get_by_role("button", name="执行计划").click()
        expect(page.locator(".plan-step").first).to_be_visible()
