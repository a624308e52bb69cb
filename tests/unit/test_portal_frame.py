"""The portal's frame: words, safety headers, escaping, form tokens, and assets that ask nothing of the outside."""

from __future__ import annotations

import asyncio
import json
import re
import string
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Form, Request, Response
from jinja2 import UndefinedError

from api.assets import build
from api.pages import filters, frame, icons, security, words
from api.pages.views import Clock
from api.pages.words_states import FIXED_STATES, ICON_OF_STATE, ICON_OF_TONE, icon_of
from policies.text import Text, UserError
from sandbox.kernel.lifecycle import State

SECRET = b"s" * 32
CJK = re.compile(r"[\u3400-\u9fff]")
ADDRESS = re.compile(r"https?://[^\s\"'`)\\<>]+")
TEMPLATES = sorted(frame.TEMPLATES.rglob("*.html"))
DOWNLOADED = {"corrections/print.html"}
"""documents that are saved or mailed, never shown by the portal: they carry their own style"""
SOURCES = sorted(path for path in (build.ASSETS / "src").rglob("*") if path.suffix in (".css", ".js", ".svg"))


def application(**options: Any) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None)
    router = frame.page_router()

    @router.get("/plain")
    def plain(request: Request) -> Response:
        return frame.render(request, "error.html", error=UserError("test.case", Text("<b>坏</b>", "<b>bad</b>")))

    @router.post("/change")
    def change(name: str = Form()) -> dict[str, str]:
        return {"name": name}

    frame.install(app, frame.Portal(secret=SECRET, **options))
    app.include_router(router)
    return app


def ask(app: FastAPI, *calls: Callable[[httpx.AsyncClient], Any]) -> list[httpx.Response]:
    """Answers to a sequence of calls by one client that keeps its cookies."""

    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://portal.test") as client:
            return [await call(client) for call in calls]

    return asyncio.run(run())


def get(path: str, **options: Any) -> Callable[[httpx.AsyncClient], Any]:
    return lambda client: client.get(path, **options)


def post(path: str, **options: Any) -> Callable[[httpx.AsyncClient], Any]:
    return lambda client: client.post(path, **options)


# ---- words ----


def places(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("key", sorted(words.CATALOGUE))
def test_every_sentence_has_both_languages_and_the_same_places(key: str) -> None:
    sentence = words.CATALOGUE[key]
    assert places(sentence.zh) == places(sentence.en)
    assert sentence.en.strip() and not CJK.search(sentence.en)
    assert CJK.search(re.sub(r"\{\w+\}", "", sentence.zh)) or not sentence.zh.strip("{}/ abcdefghijklmnopqrstuvwxyz")


def test_a_key_defined_in_two_groups_is_refused() -> None:
    with pytest.raises(ValueError, match=r"nav\.home"):
        words._merged((words.FRAME, {"nav.home": Text("首页", "Home")}))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_use_only_known_words_and_icons(template: Path) -> None:
    source = template.read_text("utf-8")
    assert set(re.findall(r"\bt\(\"([a-z_.]+)\"", source)) <= words.CATALOGUE.keys()
    assert set(re.findall(r"\bicon\(\"([a-z-]+)\"", source)) <= icons.PATHS.keys()


@pytest.mark.parametrize("template", [p for p in TEMPLATES if p.name != "styleguide.html"], ids=lambda path: path.name)
def test_templates_hold_no_sentence_of_their_own(template: Path) -> None:
    without_comments = re.sub(r"\{#.*?#\}", "", template.read_text("utf-8"), flags=re.DOTALL)
    assert CJK.findall(without_comments.replace('"中文"', "").replace('"、"', "")) == []


def test_every_state_has_a_word_a_tone_and_a_shape() -> None:
    for state in (state for states in FIXED_STATES.values() for state in states.values()):
        assert state.label.zh and state.label.en
        assert icon_of(state) in icons.PATHS
    assert set(ICON_OF_STATE.values()) | set(ICON_OF_TONE.values()) <= icons.PATHS.keys()
    assert icon_of(State("never_seen", Text("新", "new"), tone="bad")) == ICON_OF_TONE["bad"]


# ---- language ----


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ("", {}, "zh-CN"),
        ("?lang=en", {"accept-language": "zh-CN"}, "en"),
        ("?lang=fr", {"accept-language": "fr,en;q=0.5"}, "en"),
        ("", {"accept-language": "en-GB,zh;q=0.8"}, "en"),
        ("", {"accept-language": "en", "cookie": "pds_lang=zh"}, "zh-CN"),
    ],
)
def test_language_comes_from_query_then_cookie_then_browser(query: str, headers: dict[str, str], expected: str) -> None:
    (answer,) = ask(application(), get(f"/plain{query}", headers=headers))
    assert f'<html lang="{expected}">' in answer.text
    assert answer.headers["content-language"] == expected


def test_language_switch_keeps_the_page_and_its_query() -> None:
    first, second = ask(application(), get("/plain?tab=trail&lang=en"), get("/plain"))
    assert 'href="?tab=trail&amp;lang=zh"' in first.text
    assert '<html lang="en">' in second.text


# ---- safety ----


@pytest.mark.parametrize("path", ["/plain", "/nowhere", "/assets/0/portal.css"])
def test_every_answer_carries_the_content_policy(path: str) -> None:
    (answer,) = ask(application(), get(path))
    policy = answer.headers["content-security-policy"]
    for part in ("default-src 'self'", "style-src 'self'", "script-src 'self'", "img-src 'self' data:",
                 "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):  # fmt: skip
        assert part in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_are_not_stored_by_browsers() -> None:
    (answer,) = ask(application(), get("/plain"))
    assert answer.headers["cache-control"] == "no-store"


def test_values_are_escaped() -> None:
    (answer,) = ask(application(), get("/plain"))
    assert "<b>坏</b>" not in answer.text
    assert "&lt;b&gt;坏&lt;/b&gt;" in answer.text


def test_icon_labels_are_escaped() -> None:
    assert 'aria-label="&lt;x&gt;"' in icons.icon("check", "<x>")


def test_an_unknown_name_stops_the_page() -> None:
    with pytest.raises(UndefinedError):
        frame.environment().from_string("{{ nobody_gave_this }}").render()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_have_no_inline_script_style_or_handler(template: Path) -> None:
    source = template.read_text("utf-8")
    if template.relative_to(frame.TEMPLATES).as_posix() in DOWNLOADED:
        source = re.sub(r"<style>.*?</style>", "", source, flags=re.DOTALL)
    assert not re.search(r"<script(?![^>]*\bsrc=)", source)
    assert not re.search(r"<style\b|\sstyle=|\son[a-z]+=|javascript:|\|\s*safe\b", source)


# ---- form tokens ----


def token_in(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found
    return found.group(1)


def signed_in_page(app: FastAPI) -> str:
    (answer,) = ask(app, get("/styleguide", headers={"cookie": "pds_session=one"}))
    return token_in(answer.text)


def test_a_form_with_its_own_token_is_accepted() -> None:
    app = application(demonstration=True)
    data = {"name": "x", "csrf_token": signed_in_page(app)}
    (answer,) = ask(app, post("/change", data=data, headers={"cookie": "pds_session=one"}))
    assert answer.json() == {"name": "x"}


def test_the_header_serves_as_well_as_the_field() -> None:
    app = application(demonstration=True)
    headers = {"cookie": "pds_session=one", "x-csrf-token": signed_in_page(app)}
    (answer,) = ask(app, post("/change", data={"name": "x"}, headers=headers))
    assert answer.status_code == 200


@pytest.mark.parametrize("cookie", ["pds_session=two", "pds_session=", ""])
def test_a_token_of_another_session_is_refused(cookie: str) -> None:
    app = application(demonstration=True)
    data = {"name": "x", "csrf_token": signed_in_page(app)}
    (answer,) = ask(app, post("/change", data=data, headers={"cookie": cookie}))
    assert answer.status_code >= 400 and answer.text != '{"name":"x"}'


@pytest.mark.parametrize("token", ["", ".", "aa.bb", "é"])
def test_a_made_up_token_never_holds(token: str) -> None:
    assert not security.token_holds(SECRET, "one", token)
    assert not security.token_holds(SECRET, "", security.issue_token(SECRET, ""))


def test_before_sign_in_a_form_is_bound_to_the_visit() -> None:
    app = application(demonstration=True)

    async def run() -> tuple[int, int]:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://portal.test") as client:
            page = await client.get("/styleguide/login")
            data = {"name": "x", "csrf_token": token_in(page.text)}
            with_visit = await client.post("/change", data=data)
            client.cookies.clear()
            without = await client.post("/change", data=data)
            return with_visit.status_code, without.status_code

    accepted, refused = asyncio.run(run())
    assert accepted == 200
    assert refused >= 400


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://other.test"}]
)
def test_a_change_sent_by_another_site_is_refused_before_any_route(headers: dict[str, str]) -> None:
    (answer,) = ask(application(), post("/nowhere", headers=headers | {"cookie": "pds_session=one"}))
    assert answer.status_code == 403
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin", "cookie": "pds_session=one"},
        {"origin": "http://portal.test", "cookie": "pds_session=one"},
        {"origin": "http://other.test", "authorization": "Bearer t"},
    ],
)
def test_own_pages_and_token_clients_are_not_taken_for_other_sites(headers: dict[str, str]) -> None:
    (answer,) = ask(application(), post("/nowhere", headers=headers))
    assert answer.status_code == 404


def test_the_style_guide_exists_in_demonstrations_only() -> None:
    (shown,) = ask(application(demonstration=True), get("/styleguide"))
    (hidden,) = ask(application(), get("/styleguide"))
    assert (shown.status_code, hidden.status_code) == (200, 404)


# ---- assets ----


@pytest.mark.parametrize("path", [*TEMPLATES, *SOURCES], ids=lambda path: path.name)
def test_sources_name_no_outside_address(path: Path) -> None:
    text = path.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert ADDRESS.findall(text) == []
    assert not re.search(r"@import|url\(\s*['\"]?//|src=\"//", text)


@pytest.mark.islands
def test_built_files_name_no_outside_address() -> None:
    manifest = build.read_manifest()
    assert manifest is not None
    for entry in manifest["files"]:
        found = ADDRESS.findall((build.DIST / entry["file"]).read_text("utf-8"))
        assert [address for address in found if not address.startswith("http://www.w3.org/")] == []
        assert entry["licence"] != "unknown"


def test_packages_of_the_islands_are_pinned_exactly() -> None:
    facts = json.loads((build.PROJECT / "package.json").read_text("utf-8"))
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in facts["dependencies"].values())


def test_a_file_is_kept_for_ever_under_its_digest_and_unknown_under_another() -> None:
    app = application()
    address = app.state.portal.files.address("portal.css")
    right, again, wrong = ask(
        app,
        get(address),
        get(address, headers={"if-none-match": f'"{address.split("/")[2]}"'}),
        get("/assets/0000000000000000/portal.css"),
    )
    assert (right.status_code, again.status_code, wrong.status_code) == (200, 304, 404)
    assert "immutable" in right.headers["cache-control"]


def test_the_page_works_without_islands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "DIST", tmp_path)
    app = application(demonstration=True)
    (answer,) = ask(app, get("/styleguide"))
    assert answer.status_code == 200
    assert "islands.js" not in answer.text
    assert "<details open>" in answer.text
    assert build.status().state == "missing"


def test_a_machine_that_cannot_build_says_so_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "DIST", tmp_path / "dist")
    monkeypatch.setattr(build, "WORK", tmp_path / "work")
    monkeypatch.setattr(build, "_candidates", lambda: iter(()))
    report = build.build()
    assert report.state == "unavailable" and not report.usable
    assert report.text.zh and report.fix is not None


def test_a_damaged_build_counts_as_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "islands.js").write_text("x")
    facts = {"inputs": "", "files": [{"file": "islands.js", "sha256": "0" * 64}]}
    (tmp_path / "manifest.json").write_text(json.dumps(facts))
    monkeypatch.setattr(build, "DIST", tmp_path)
    assert build.read_manifest() is None


# ---- colours ----


def schemes() -> dict[str, dict[str, str]]:
    text = (build.ASSETS / "src" / "css" / "tokens.css").read_text("utf-8")
    light, _, dark = text.partition("@media (prefers-color-scheme: dark)")
    found = [dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", part)) for part in (light, dark)]
    return {"light": found[0], "dark": found[0] | found[1]}


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


PLAIN = ("canvas", "surface", "sunken", "field", "hover")
TONES = ("neutral", "wait", "good", "warn", "bad")
PAIRS = (
    [(ink, ground) for ink in ("ink", "ink-2", "ink-3", "accent-text") for ground in PLAIN]
    + [(f"{tone}-text", ground) for tone in TONES for ground in (f"{tone}-soft", "surface", "canvas")]
    + [(ink, f"{tone}-soft") for ink in ("ink", "ink-2", "accent-text") for tone in (*TONES, "accent")]
    + [("ink-3", "neutral-soft"), ("on-accent", "accent"), ("on-accent", "accent-hover"), ("good-text", "field"),
       ("warn-text", "field"), ("on-brand", "brand"), ("on-brand", "brand-2"), ("on-brand-2", "brand")]
)  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_keeps_its_contrast(scheme: str) -> None:
    tokens = schemes()[scheme]
    weak = {pair: round(contrast(tokens[pair[0]], tokens[pair[1]]), 2) for pair in PAIRS}
    assert {pair: value for pair, value in weak.items() if value < 4.5} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_borders_of_fields_and_focus_keep_their_contrast(scheme: str) -> None:
    tokens = schemes()[scheme]
    for line in ("line-strong", "focus", "accent"):
        for ground in ("canvas", "surface", "field"):
            assert contrast(tokens[line], tokens[ground]) >= 3


# ---- how values are written ----


def test_times_are_written_in_city_time() -> None:
    assert ">2026-11-23 09:41<" in filters.when(datetime(2026, 11, 23, 1, 41, tzinfo=UTC))
    assert ">2026-11-23 09:41<" in filters.when(datetime(2026, 11, 23, 1, 41))
    assert ">2026-11-24<" in filters.day(datetime(2026, 11, 23, 16, 30, tzinfo=UTC))
    assert filters.when(None) == "—"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (999, "999 B"), (3_412_345, "3.4 MB"), (123_456_789, "123 MB"), (5 * 10**9, "5.0 GB")],
)
def test_sizes_are_written_in_decimal_units(value: int, shown: str) -> None:
    assert filters.size(value) == shown


@pytest.mark.parametrize(("value", "places", "shown"), [(12345, 0, "12,345"), (12345, 2, "12,345"), (1.5, 2, "1.50")])
def test_numbers_are_grouped(value: float, places: int, shown: str) -> None:
    assert filters.number(value, places) == shown


@pytest.mark.parametrize(
    ("clock", "tone"),
    [
        (Clock(), "neutral"),
        (Clock(date(2026, 11, 30), 5), "neutral"),
        (Clock(date(2026, 11, 24), 1), "warn"),
        (Clock(date(2026, 11, 20), 0, overdue=True), "bad"),
        (Clock(date(2026, 11, 20), 0, overdue=True, stopped=True), "neutral"),
    ],
)
def test_a_clock_presses_only_while_it_runs(clock: Clock, tone: str) -> None:
    assert clock.tone == tone
