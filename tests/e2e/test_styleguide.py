"""The style guide in a real Chromium: colour schemes, 200 % zoom, keyboard, editor, charts, and no outside request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from api.assets import build
from api.pages import frame
from tests.e2e.browser import Browser, picture, serving

pytestmark = pytest.mark.chromium

OVERFLOW = "document.documentElement.scrollWidth - window.innerWidth"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    build.build()
    app = FastAPI(docs_url=None, redoc_url=None)
    frame.install(app, frame.Portal(secret=b"s" * 32, demonstration=True, tier="strong"))
    with serving(app) as base:
        yield base


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    chromium.outside.clear()
    chromium.complaints.clear()
    yield chromium
    assert chromium.outside == []
    assert chromium.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_renders_in_both_schemes_and_languages(
    address: str, browser: Browser, tmp_path: Path, scheme: str, language: str
) -> None:
    page = browser.page(address, scheme=scheme)
    page.goto(f"/styleguide?lang={language}")
    page.wait_for_load_state("networkidle")
    assert page.evaluate(OVERFLOW) <= 0
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in re.findall(r"\d+", background)[:3])
    assert (brightness < 200) == (scheme == "dark")
    assert picture(page, tmp_path / "page.png").stat().st_size > 50_000


@pytest.mark.parametrize("path", ["/styleguide", "/styleguide/login"])
def test_at_200_percent_the_page_does_not_scroll_sideways(address: str, browser: Browser, path: str) -> None:
    page = browser.page(address, width=1280, zoom=2.0)
    page.goto(path)
    page.wait_for_load_state("networkidle")
    assert page.evaluate(OVERFLOW) <= 0


def test_on_a_phone_the_page_does_not_scroll_sideways(address: str, browser: Browser) -> None:
    page = browser.page(address, width=375, height=700)
    page.goto("/styleguide?lang=en")
    page.wait_for_load_state("networkidle")
    assert page.evaluate(OVERFLOW) <= 0


def test_every_stop_of_the_keyboard_shows_its_focus(address: str, browser: Browser) -> None:
    page = browser.page(address)
    page.goto("/styleguide")
    page.wait_for_load_state("networkidle")
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e.closest('.code-editor') ?? e);
                       return [e.tagName + e.className + e.id, s.outlineStyle, parseFloat(s.outlineWidth)]; }"""
        )
        if stop[0] == "BODY":
            break
        seen.add(stop[0])
        assert stop[1] != "none" and stop[2] >= 2, stop
    assert len(seen) > 15


def test_the_first_stop_skips_to_the_content(address: str, browser: Browser) -> None:
    page = browser.page(address)
    page.goto("/styleguide")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_letters_move_through_queue_and_marked_cells(address: str, browser: Browser) -> None:
    page = browser.page(address)
    page.goto("/styleguide")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert "EX-2026-0118" in page.evaluate("document.activeElement.closest('td').textContent")
    page.keyboard.press("n")
    assert page.evaluate("document.activeElement.id") == "cell-2-2"
    page.keyboard.press("p")
    assert page.evaluate("document.activeElement.id") == "cell-4-4"


def test_a_button_that_cannot_be_used_tells_its_reason_and_does_nothing(address: str, browser: Browser) -> None:
    page = browser.page(address)
    page.goto("/styleguide")
    button = page.get_by_role("button", name="放行", exact=True)
    reason = button.get_attribute("aria-describedby")
    assert reason and "阻断" in page.locator(f"[id='{reason}']").inner_text()
    button.focus()
    page.keyboard.press("Enter")
    assert page.url.endswith("/styleguide")


def test_ids_on_the_page_are_unique(address: str, browser: Browser) -> None:
    page = browser.page(address)
    page.goto("/styleguide")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert sorted(ids) == sorted(set(ids))


@pytest.mark.islands
def test_control_enter_in_the_editor_sends_its_form(address: str, browser: Browser) -> None:
    page = browser.page(address)
    page.goto("/styleguide")
    content = page.locator(".cm-content")
    content.click()
    page.keyboard.press("Control+A")
    page.keyboard.type("SELECT 7")
    with page.expect_request(lambda request: request.method == "POST") as sent:
        page.keyboard.press("Control+Enter")
    assert "SELECT+7" in (sent.value.post_data or "")


@pytest.mark.islands
def test_the_editor_completes_columns_of_a_table_with_a_chinese_name(address: str, browser: Browser) -> None:
    page = browser.page(address)
    page.goto("/styleguide")
    page.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text("\nSELECT 居民登记")
    page.keyboard.type(".")
    page.get_by_role("option", name="出生日期").click()
    assert page.locator("#f-sql").input_value().endswith("SELECT 居民登记.出生日期")


@pytest.mark.islands
def test_escape_in_the_editor_neither_sends_nor_clears(address: str, browser: Browser) -> None:
    page = browser.page(address)
    page.goto("/styleguide")
    page.locator(".cm-content").click()
    before = page.locator("#f-sql").input_value()
    page.keyboard.press("Escape")
    assert page.locator("#f-sql").input_value() == before
    assert page.url.endswith("/styleguide")


@pytest.mark.islands
def test_editor_lines_and_numbers_align(address: str, browser: Browser) -> None:
    page = browser.page(address)
    page.goto("/styleguide")
    page.locator(".cm-content").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    tops = """selector => [...document.querySelector('.code-editor').shadowRoot.querySelectorAll(selector)]
              .map(e => Math.round(e.getBoundingClientRect().top))"""
    assert page.evaluate(tops, ".cm-lineNumbers .cm-gutterElement")[1:] == page.evaluate(tops, ".cm-line")


@pytest.mark.islands
def test_charts_are_drawn_over_their_tables(address: str, browser: Browser) -> None:
    page = browser.page(address)
    page.goto("/styleguide")
    page.wait_for_selector("#chart-2[data-enhanced=yes]")
    assert page.locator("#chart .chart-canvas svg").count() == 1
    page.locator("#chart summary").click()
    assert page.locator("#chart tbody tr").count() == 6


def test_without_scripts_everything_is_still_there(address: str, browser: Browser) -> None:
    page = browser.page(address, java_script_enabled=False)
    page.goto("/styleguide")
    assert page.locator("textarea#f-sql").is_visible()
    assert page.locator("#chart figcaption").is_visible()


def test_the_policy_stops_a_request_to_the_outside(address: str, chromium: Browser) -> None:
    page = chromium.page(address)
    page.goto("/styleguide")
    page.evaluate("() => fetch('http://outside.invalid/y').catch(() => null)")
    assert any("Content Security Policy" in complaint for complaint in chromium.complaints)


def test_what_a_page_asks_of_the_outside_is_recorded(chromium: Browser) -> None:
    page = chromium.page("http://127.0.0.1")
    page.set_content("<img src='http://outside.invalid/x.png' alt=''>")
    assert chromium.outside == ["http://outside.invalid/x.png"]
