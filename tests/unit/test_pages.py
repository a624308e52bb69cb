"""Every page for every role: it shows or refuses correctly, in both languages, and says nothing it must not."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st

from api import deps
from api.pages import (
    MODULES,
    applications,
    corrections,
    deliveries,
    exports,
    frame,
    grading,
    onboarding,
    resources,
    sheets,
    workspace_files,
    workspaces,
)
from api.pages import metering as metering_pages
from api.pages.examples import Granted, specification, written
from api.pages.filters import place
from api.pages.words_events import EVENTS, LIFECYCLES
from api.pages.words_quality import why_apart
from policies.text import Text, UserError
from policies.verdict import Finding, Outcome
from sandbox.catalog import corrections as slips
from sandbox.catalog import deliveries as delivery_records
from sandbox.catalog import grades, twins
from sandbox.catalog import repository as records
from sandbox.catalog import service as catalog
from sandbox.catalog.protection import Override
from sandbox.exports import service as export_service
from sandbox.exports.review import Stakes
from sandbox.exports.service import Basis
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.identity import Role
from sandbox.kernel.permissions import PERMISSIONS
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform, Unit
from sandbox.products import spec
from sandbox.workspaces import metering, quotas
from sandbox.workspaces.usage import Usage
from tests.conftest import MONDAY
from tests.factories import CONTEXT, World, poor_report
from tests.pages import Person, application, reviewed_verdict, words_of

ROOT = Path(__file__).parents[2]
OPEN_PAGES = {"/", "/login", "/register", "/reports"}
OPEN_FORMS = {"/login", "/register"}
NAMES = re.compile(r"\b[a-z]{3}-[0-9a-z]{12}\b|\b[\w-]+\.(?:csv|pdf)\b|SF-\d+|GB/T|visits-\d+")
"""numbers of records, files and jobs of the test city"""
HOSTILE = '<script>alert("x")</script>'
FORM = {"scenario": "门诊负荷", "purpose": "排班", "product_form": "report", "audience": "public", "term_months": "12"}
LOGINS = {
    "operator": Role.OPERATOR, "officer": Role.COMPLIANCE, "department": Role.DEPARTMENT, "auditor": Role.AUDITOR,
    "merchant": Role.MERCHANT,
}  # fmt: skip
ANYBODY = set(LOGINS)
GOVERNING = {"operator", "officer", "department", "auditor"}
PAGES: dict[str, set[str]] = {
    "/": ANYBODY, "/account": ANYBODY, "/catalog": ANYBODY, "/catalog?q=就诊&level=3": ANYBODY, "/reports": ANYBODY,
    "/catalog/{published}": ANYBODY, "/catalog/{published}?tab=about": ANYBODY, "/catalog/{twinless}?tab=rows": ANYBODY,
    "/catalog/{published}?tab=shapes": ANYBODY, "/catalog/{published}?tab=files": ANYBODY,
    "/catalog/{refused}": ANYBODY, "/resources/{published}/twins": GOVERNING, "/resources/{twinless}/twins": GOVERNING,
    "/resources/{refused}/twins": GOVERNING,
    "/resources": GOVERNING, "/resources?state=published&q=x": GOVERNING, "/resources/new": {"department"},
    **{f"/resources/{{published}}?tab={tab}": GOVERNING for tab in resources.TABS},
    "/resources/{proposed}?tab=columns": GOVERNING, "/resources/{delivered}": GOVERNING,
    "/resources/{lowered}?tab=columns&history=费用": GOVERNING,
    "/resources/{lowered}?tab=columns&column=区&level=3": GOVERNING,
    "/resources/{asking}": GOVERNING, "/deliveries/{asking_delivery}": GOVERNING,
    "/deliveries/{asking_delivery}?show=1": GOVERNING, "/resources/{published}/versions/1": GOVERNING,
    "/onboarding": ANYBODY - {"department"}, "/onboarding/new": {"merchant"},
    "/onboarding/{onboarding}": {"operator", "officer", "auditor"}, "/merchants": ANYBODY - {"department"},
    "/applications": ANYBODY, "/applications/new": {"merchant"}, "/applications/new?resource={published}": {"merchant"},
    "/applications/{drafted}": {"merchant"}, "/applications/{checking}": ANYBODY, "/applications/{approving}": ANYBODY,
    "/applications/{approved}": ANYBODY, "/applications/{active}": ANYBODY,
    "/workspaces": {"operator", "merchant", "auditor"},
    **{f"/workspaces/{{workspace}}?tab={tab}": {"operator", "merchant", "auditor"} for tab in workspaces.TABS},
    "/workspaces/{workspace}/usage/2026-03": {"operator", "merchant", "auditor"},
    **{path: {"operator", "merchant", "auditor"}
       for path in ("/usage", "/usage?month=2026-01", "/quota-requests", "/quota-requests/{wish}")},
    "/machine": {"operator", "auditor"}, "/isolation": {"operator", "officer", "auditor"},
    "/runs/{run}": ANYBODY - {"department"}, "/runs/{waiting}": ANYBODY - {"department"},
    "/release-notices": {"department", "merchant"},
    "/exports": ANYBODY - {"department"}, "/exports/new": {"merchant"}, "/exports/{export_draft}": {"merchant"},
    **{f"/exports/{{export_{s}}}": ANYBODY - {"department"} for s in ("in_review", "second_review", "released")},
    "/audit": {"auditor"}, "/audit?before=20": {"auditor"}, "/audit?object_id={published}": {"auditor"},
    "/jobs": {"operator", "auditor"}, "/jobs?state=queued": {"operator", "auditor"},
    "/jobs?q=x&days=1&kind=ingest&department=x&page=2": {"operator", "auditor"},
    "/schedules": {"operator", "department", "auditor"}, "/policies": ANYBODY,
    "/policies/{policy}": ANYBODY, "/corrections": GOVERNING, "/corrections/{slip}": GOVERNING,
    "/resources/{dirty}?tab=quality": GOVERNING,
}  # fmt: skip


@dataclass
class City:
    """A world with one object of each kind and state, and its application."""

    world: World
    ids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.app = application(self.world.platform)
        self.people: dict[str, Person] = {}

    def person(self, login: str) -> Person:
        if login not in self.people:
            self.people[login] = Person(self.app, login)
        return self.people[login]


def new_world(template: Path, home: Path) -> World:
    home.mkdir(exist_ok=True)
    shutil.copy(template, home / "metadata.sqlite")
    return World.settle(Platform(Settings(home=home), FixedClock(MONDAY)))


def furnish(world: World) -> dict[str, str]:
    """One object of each kind, in the states people work on."""
    resource = world.published()
    proposed = world.delivered(name="居民登记")
    world.take_in(proposed)
    twinless = world.delivered(name="学校")
    world.take_in(twinless)
    world.publish(twinless)
    asking = world.delivered(name="读不出")
    lowered = world.published(name="收费")
    world.deliver(lowered, world.department)
    world.take_in(lowered, columns={"身份证号": 4, "费用": 4, "区": 1, "新列": 3})
    with world.by(world.department) as unit:
        grades.change(unit, lowered, "费用", Override(2), "收费标准已公开")
    with world.system() as unit:
        asking_delivery = _stopped(unit, asking)
    dirty = world.delivered(name="低质量")
    world.take_in(dirty, quality=poor_report())
    with world.by(world.operator) as unit:
        slip = slips.issue(unit, dirty).id
    refused = world.published(name="未过检验")
    with world.system() as unit:
        records.columns(unit.session, refused)[2].level = 4
        twins.record(unit, refused, None, world.made(unit, refused, outcome="block", lake_version=None))
    states = ("checking", "approving", "approved", "active")
    ids = {state: world.application(state, resource) for state in states}
    workspace = world.workspace(ids["active"])
    made = world.artefact
    world.artefact = lambda _=None: made(workspace)  # type: ignore[method-assign]
    ids |= {f"export_{state}": world.export(state) for state in ("draft", "in_review", "second_review", "released")}
    with world.system() as unit:
        from sandbox.exports import repository
        from sandbox.kernel import editions
        from sandbox.products import repository as products

        released = repository.get(unit.session, ids["export_released"])
        ids["run"] = products.artefact(unit.session, released.artefact_id).run_id
        ids["policy"] = next(e.id for e in editions.every(unit.session) if e.kind == "export")
    with world.system() as unit:
        metering.record(unit, workspace, "query", Usage(12.5, 900.0), rows=3)
        metering.record(unit, workspace, "run", Usage(70.0, 9000.0))
    with world.by(world.merchant) as unit:
        wish = quotas.ask(unit, workspace, "cpu", 480, "季度报告").id
    return ids | {
        "slip": slip, "wish": wish, "dirty": dirty, "refused": refused,
        "published": resource, "proposed": proposed, "twinless": twinless, "asking": asking,
        "asking_delivery": asking_delivery, "lowered": lowered, "delivered": world.delivered(name="交付"),
        "drafted": world.drafted(resource, scenario="草稿场景"), "workspace": workspace,
        "waiting": world.requested_run(workspace), "onboarding": world.applied(world.stranger),
    }  # fmt: skip


def _stopped(unit: Unit, resource_id: str) -> str:
    """A delivery whose reading ended in a question, with the head of its file; its id."""
    waiting = records.pending(unit.session, resource_id)
    assert waiting is not None
    delivery_records.begin_reading(unit, waiting.id)
    lines = [{"line": 1, "raw": "某表;张三", "cells": ["某表;张三"], "role": "record"}]
    delivery_records.keep_preview(unit, waiting.id, {"decisions": {"encoding": "utf-8"}, "lines": lines})
    question = UserError("reading.one_column", Text("只识别出一列", "Only one column"), fix=Text("请写明", "Name it"),
                         what="columns 1")  # fmt: skip
    delivery_records.failed(unit, waiting.id, question)
    return waiting.id


@pytest.fixture(scope="module")
def city(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    world = new_world(sqlite_template, tmp_path_factory.mktemp("city"))
    yield City(world, furnish(world))
    world.platform.database.dispose()


@pytest.fixture
def fresh(platform: Platform) -> City:
    """An empty city of one's own, for tests that change things."""
    return City(World.settle(platform))


# ---- who sees what ----


@pytest.mark.parametrize("path", sorted(PAGES))
@pytest.mark.parametrize("login", sorted(LOGINS))
def test_page_shows_for_those_who_may_and_refuses_the_others(city: City, login: str, path: str) -> None:
    address = path.format(**city.ids)
    for language in ("zh", "en"):
        answer = city.person(login).get(address, headers={"accept-language": language})
        expected = (200,) if login in PAGES[path] else (403, 404)
        assert answer.status_code in expected, words_of(answer.text)
        assert f'lang="{frame.words.HTML_LANGUAGE[language]}"' in answer.text
        assert f"{login}" in answer.text, "the header names the person, on an error page too"


@pytest.mark.parametrize("path", sorted(PAGES))
def test_visitor_is_sent_to_sign_in_and_back(city: City, path: str) -> None:
    address = path.format(**city.ids)
    answer = Person(city.app).get(address)
    if path.partition("?")[0] in OPEN_PAGES:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(f"/login?next={address.partition('?')[0]}")


@pytest.mark.parametrize("path", sorted(PAGES))
def test_chinese_pages_say_nothing_in_english(city: City, path: str) -> None:
    login = next(iter(sorted(PAGES[path])))
    answer = city.person(login).get(path.format(**city.ids), headers={"accept-language": "zh"})
    read = NAMES.sub(" ", words_of(answer.text))
    known = {"English", "Ctrl", "Enter", "SQL", "CSV", "TSV", "TXT", "XLSX", "XLS", "JSON", "Parquet", "ZIP", "MB",
             "GB"}  # fmt: skip
    known |= {"officer", *LOGINS, "other", "second", "stranger", "department"}
    assert {word for word in re.findall(r"[A-Za-z]{2,}", read) if word not in known} == set()


def test_unknown_page_keeps_the_header_of_who_asks(city: City) -> None:
    answer = city.person("merchant").get("/nowhere")
    assert answer.status_code == 404 and "示范数科" in answer.text


def test_merchants_and_departments_read_rules_without_parameters(city: City) -> None:
    address = "/policies/{policy}".format(**city.ids)
    assert "threshold" in city.person("officer").get(address).text
    for login in ("merchant", "department"):
        page = city.person(login).get(address).text
        assert "EXP-CELL-01" in page and "threshold" not in page


# ---- routes, buttons, words: complete by construction ----


def routes() -> list[APIRoute]:
    return [route for module in MODULES for route in module.router.routes if isinstance(route, APIRoute)]


@pytest.mark.parametrize("route", routes(), ids=lambda r: f"{sorted(r.methods)[0]} {r.path}")
def test_every_page_names_its_action_or_is_known_to_be_open(route: APIRoute) -> None:
    calls = [d.call for d in route.dependant.dependencies]
    named = [c.action for c in calls if isinstance(c, deps._Acting | deps._Asking)]
    assert len(named) == 1
    expected_open = OPEN_FORMS if "POST" in (route.methods or ()) else OPEN_PAGES
    assert (named[0] is None) == (route.path in expected_open)
    assert frame.security.verify_csrf in calls


OPINION = {"first_opinion", "disagree", "approve", "return", "reject", "call_third"}
"""What the card of an officer's opinion leads to, whichever it is (api/templates/exports/review.html)"""


def test_every_human_step_of_every_table_has_its_button() -> None:
    buttons = {
        "resource": {*resources.STEPS, "publish"}, "delivery": {*deliveries.STEPS, "correct"},
        "lowering": set(grading.LOWERING_STEPS), "onboarding": set(onboarding.STEPS),
        "merchant": set(onboarding.STANDING),
        "application": set(applications.STEPS), "approval": set(applications.APPROVAL_STEPS),
        "workspace": set(workspaces.STEPS), "run": {"cancel"}, "quota": {*metering_pages.STEPS, "grant"},
        "upload": {*workspace_files.STEPS, "remove"}, "export": {*exports.STEPS, "revise", *OPINION},
        "correction": {*corrections.STEPS, "issue", "answer"}, "recall": {"grant", "refuse"},
    }  # fmt: skip
    for noun, life in LIFECYCLES.items():
        human = {t.name for t in life.transitions if Role.SYSTEM not in PERMISSIONS[t.action]}
        assert human <= buttons[noun], noun
        assert buttons[noun] <= {t.name for t in life.transitions}


def test_every_audit_event_has_words() -> None:
    sources = [p.read_text("utf-8") for name in ("sandbox", "pipelines", "api") for p in (ROOT / name).rglob("*.py")]
    written = {event for source in sources for event in re.findall(r'\.audit\(\s*"([a-z_]+:[a-z_]+)"', source)}
    assert len(written) > 30
    assert written - EVENTS.keys() == set()


def test_every_word_is_said_somewhere() -> None:
    pages, templates = Path(frame.__file__).parent, frame.TEMPLATES
    own = [p for p in pages.glob("*.py") if p.stem in ("words_states", "words_events") or "words" not in p.stem]
    said = "\n".join(p.read_text("utf-8") for p in [*own, *templates.rglob("*.html")])
    built = tuple(re.findall(r'text\(f"([a-z_.]+)\{', said))
    assert [k for k in frame.words.CATALOGUE if f'"{k}"' not in said and not k.startswith(built)] == []


# ---- signing in ----


def test_session_cookie_is_out_of_reach_of_scripts_and_other_sites(city: City) -> None:
    visitor = Person(city.app)
    visitor.get("/login?next=/catalog")
    answer = visitor.post("/login", account="auditor", password="correct-horse-battery", next="/audit")
    cookie = answer.headers["set-cookie"].lower()
    assert answer.headers["location"] == "/audit"
    assert "httponly" in cookie and "samesite=strict" in cookie


@given(st.text(max_size=40) | st.sampled_from(["//evil.test", "/\\evil.test", "https://evil.test/x", "x:y", "\t//e"]))
def test_no_address_leads_to_another_site(address: str) -> None:
    found = frame.local_address(address)
    assert found.startswith("/") and not found.startswith(("//", "/\\")) and found.isprintable()


def test_wrong_password_is_said_beside_the_form_and_recorded(fresh: City) -> None:
    visitor = Person(fresh.app)
    visitor.get("/login")
    answer = visitor.post("/login", account="merchant", password="guess-guess", next="/exports")
    assert answer.status_code == 401
    assert 'value="merchant"' in answer.text and 'value="/exports"' in answer.text and "guess" not in answer.text
    assert fresh.world.events("access:refused")[-1].facts["code"] == "account.wrong_password"


def test_signing_out_ends_the_session(fresh: City) -> None:
    person = Person(fresh.app, "merchant")
    secret = person.client.cookies["pds_session"]
    assert person.press("/logout") == "/"
    person.client.cookies.set("pds_session", secret, domain="portal.test", path="/")
    assert person.get("/exports").headers["location"] == "/login?next=/exports"


def test_registration_names_each_wrong_field_and_keeps_what_was_typed(fresh: City) -> None:
    visitor = Person(fresh.app)
    visitor.get("/register")
    answer = visitor.post("/register", organisation="新公司", uscc="123", login="A B", person="经办", password="short")
    assert answer.status_code == 422
    for name in ("uscc", "login", "password"):
        assert f'id="f-{name}-error"' in answer.text
    assert 'value="新公司"' in answer.text and "short" not in answer.text


def test_registered_company_signs_in_and_may_only_apply_to_enter(fresh: City) -> None:
    from tests.factories import quick_passwords, uscc

    visitor = Person(fresh.app)
    visitor.get("/register")
    with quick_passwords():
        goal = visitor.press("/register", organisation="新公司", uscc=uscc(77), login="newone", person="经办",
                             password="correct-horse-battery")  # fmt: skip
    assert goal == "/login"
    person = Person(fresh.app, "newone")
    assert "尚未进驻" in person.get("/").text
    answer = person.post("/applications", scenario="x", purpose="x", product_form="aggregate", audience="public",
                         term_months="1")  # fmt: skip
    assert answer.status_code == 422


def test_token_is_shown_once(fresh: City) -> None:
    person = Person(fresh.app, "merchant")
    answer = person.post("/account/tokens", label="夜间作业", days="7")
    assert re.search(r"pds_[\w-]{20,}", answer.text)
    assert not re.search(r"pds_[\w-]{20,}", person.get("/account").text)


# ---- pressing buttons ----


def test_form_without_the_token_changes_nothing(fresh: City) -> None:
    application_id = fresh.world.drafted()
    person = Person(fresh.app, "merchant")
    answer = person.client.post(f"/applications/{application_id}/steps", data={"transition": "submit"})
    assert answer.status_code == 403
    assert fresh.world.events("application:submit") == []


def test_application_goes_from_draft_to_signed_through_the_pages(fresh: City) -> None:
    resource = fresh.world.published()
    fresh.world.admitted()
    merchant, operator, department = (Person(fresh.app, login) for login in ("merchant", "operator", "department"))
    place_of = merchant.press(
        "/applications", **FORM, **{f"use.{resource}.1": "1", f"why.{resource}.1": "统计维度"}
    )  # fmt: skip
    assert merchant.press(f"{place_of}/steps", transition="submit") == place_of
    assert operator.press(f"{place_of}/steps", transition="pass_check") == place_of
    approval = next(iter(fresh.world.approvals(place_of.rpartition("/")[2])))
    assert "超期视为同意" in department.get(place_of).text
    assert department.press(f"/approvals/{approval}/steps", transition="approve") == place_of
    merchant.press(f"{place_of}/steps", transition="sign")
    page = merchant.get(place_of).text
    assert "已完成：签署协议" in page and "已完成" not in words_of(merchant.get(place_of).text)


@pytest.mark.parametrize(("state", "login", "transition"), [
    ("draft", "merchant", "submit"), ("checking", "operator", "pass_check"), ("approved", "merchant", "sign"),
])  # fmt: skip
def test_same_button_twice_is_refused_in_words(fresh: City, state: str, login: str, transition: str) -> None:
    address = f"/applications/{fresh.world.application(state)}/steps"
    person = Person(fresh.app, login)
    person.press(address, transition=transition)
    again = person.post(address, transition=transition)
    assert again.status_code == 409 and "当前状态是" in again.text
    assert len(fresh.world.events(f"application:{transition}")) == 1


def test_same_draft_twice_makes_one(fresh: City) -> None:
    artefact = fresh.world.artefact()
    person = Person(fresh.app, "merchant")
    resource = fresh.world.published(name="另一张表")
    wanted = {f"use.{resource}.1": "1", f"why.{resource}.1": "统计"}
    export = {"artefact_id": artefact, "title": "同一标题", "remark": "", **CONTEXT}
    for address, values in (("/applications", FORM | wanted), ("/exports", export)):
        event = f"{address[1:-1]}:draft"
        before = len(fresh.world.events(event))
        person.press(address, **values)
        again = person.post(address, **values)
        assert again.status_code == 409 and "没有重复建立" in again.text
        assert len(fresh.world.events(event)) == before + 1


def test_same_run_twice_makes_one(fresh: City) -> None:
    workspace = fresh.world.workspace()
    person = Person(fresh.app, "merchant")
    page = person.get(f"/workspaces/{workspace}?tab=runs").text
    example = re.search(r"<textarea[^>]*name=\"spec\"[^>]*>(.*?)</textarea>", page, re.DOTALL)
    assert example and spec.parse(example.group(1))
    address = f"/workspaces/{workspace}/runs"
    assert person.press(address, spec=example.group(1)).startswith("/runs/")
    assert person.post(address, spec=example.group(1)).status_code == 409
    assert len(fresh.world.events("run:request")) == 1


def test_form_with_a_mistake_comes_back_as_it_was_typed(fresh: City) -> None:
    resource = fresh.world.published()
    fresh.world.admitted()
    person = Person(fresh.app, "merchant")
    answer = person.post(
        "/applications", **FORM | {"term_months": "999"}, **{f"use.{resource}.1": "1", f"why.{resource}.1": ""}
    )  # fmt: skip
    assert answer.status_code == 422
    assert "门诊负荷" in answer.text and re.search(rf'name="use.{resource}.1" value="1" checked', answer.text)
    assert fresh.world.events("application:draft") == []


def test_scenario_that_could_never_be_submitted_is_refused_at_once(fresh: City) -> None:
    resource = fresh.world.published()
    fresh.world.admitted()
    answer = Person(fresh.app, "merchant").post(
        "/applications", **FORM | {"scenario": "一个；两个"}, **{f"use.{resource}.1": "1", f"why.{resource}.1": "统计"}
    )  # fmt: skip
    assert answer.status_code == 409 and "只能写一个应用场景" in answer.text
    assert fresh.world.events("application:draft") == []


def test_unknown_step_is_refused(city: City) -> None:
    answer = city.person("merchant").post(f"/applications/{city.ids['drafted']}/steps", transition="activate")
    assert answer.status_code == 422 and "没有这个操作" in answer.text


def test_delivery_through_the_page_is_taken_once(fresh: City) -> None:
    person = Person(fresh.app, "department")
    goal = person.press("/resources", name="体检", description="x", registration_code="SF-1", update_cycle="每月",
                        person_key="身份证号", comments="身份证号：居民身份证号\n区: 所在区")  # fmt: skip
    files = {"file": ("体检.csv", b"a,b\n1,2\n")}
    sent = [
        person.client.post(f"{goal}/deliveries", files=files, data={"csrf_token": person.token}).status_code
        for _ in range(2)
    ]
    assert sent == [303, 409]
    assert len(fresh.world.events("delivery:receive")) == 1


def test_raising_a_column_to_the_level_it_has_is_refused(fresh: City) -> None:
    resource = fresh.world.delivered()
    fresh.world.take_in(resource)
    person = Person(fresh.app, "department")
    form = {"column": "区", "level": "2", "reason": "含街道"}
    person.press(f"/resources/{resource}/grades", **form)
    assert person.post(f"/resources/{resource}/grades", **form).status_code == 409
    assert len(fresh.world.events("resource:raise")) == 1


def test_a_department_registers_comments_of_its_database_through_the_page(fresh: City) -> None:
    resource = fresh.world.delivered()
    number = fresh.world.take_in(resource)
    told = {"code": "source_comments", "detail": {"zh": "来源带有说明", "en": "comments"}, "title": "<b>就诊</b>表",
            "comments": {"费用": "自费部分"}}  # fmt: skip
    with fresh.world.system() as unit:
        records.version(unit.session, resource, number).findings = [told]
    person = Person(fresh.app, "department")
    page = person.get(f"/resources/{resource}").text
    assert "费用：自费部分" in page and "&lt;b&gt;就诊" in page
    assert "登记所选说明" not in Person(fresh.app, "operator").get(f"/resources/{resource}").text
    person.press(f"/resources/{resource}/comments", columns="费用", title="yes")
    assert "登记所选说明" not in person.get(f"/resources/{resource}").text
    assert "自费部分" in person.get(f"/resources/{resource}?tab=columns").text


def test_an_operator_corrects_the_recipe_through_the_page(fresh: City) -> None:
    resource = fresh.world.delivered()
    with fresh.world.system() as unit:
        delivery = _stopped(unit, resource)
    person = Person(fresh.app, "operator")
    page = person.get(f"/deliveries/{delivery}").text
    assert "只识别出一列" in page and "张三" not in page and "某某;某某" in page, "values are masked"
    assert "张三" in person.get(f"/deliveries/{delivery}?show=1").text
    assert [e.facts["shown"] for e in fresh.world.events("delivery:look")] == [False, True]
    wrong = {"header_row": "第三行", "types": "费用", "rest": "[1]"}
    answer = person.post(f"/deliveries/{delivery}/recipe", **wrong)
    assert answer.status_code == 422 and "第三行" in answer.text
    assert all(f'id="f-{name}-error"' in answer.text for name in wrong)
    form = {"encoding": "gb18030", "delimiter": "\\t", "header": "no", "missing": "无\n-", "types": "费用：小数",
            "rest": '{"trim": true}'}  # fmt: skip
    person.press(f"/deliveries/{delivery}/recipe", **form)
    with fresh.world.system() as unit:
        row = records.delivery(unit.session, delivery)
    assert (row.state, row.attempt, row.recipe) == (
        "received", 2,
        {"encoding": "gb18030", "delimiter": "\t", "header": False, "missing": ["无", "-"], "trim": True,
         "columns": [{"name": "费用", "type": "decimal"}]},
    )  # fmt: skip


def test_a_lowering_stands_on_the_second_persons_desk_and_not_on_the_first_ones(fresh: City) -> None:
    resource = fresh.world.delivered(name="收费表")
    fresh.world.take_in(resource, columns={"费用": 4})
    first = Person(fresh.app, "department")
    seen = first.get(f"/resources/{resource}?tab=columns&column=费用&level=2").text
    assert "4 级 → 2 级" in seen and "待第二人核定" in seen
    first.press(f"/resources/{resource}/grades", column="费用", level="2", reason="已公开")
    assert "轮到您" not in re.sub(r"(?s).*收费表 费用", "", first.get("/").text)[:600]
    for login in ("colleague", "officer"):
        second = Person(fresh.app, login)
        assert "收费表 费用" in second.get("/").text
        assert "已公开" in second.get(f"/resources/{resource}?tab=columns").text
    with fresh.world.system() as unit:
        (asked,) = records.lowerings(unit.session, resource_id=resource)
    refused = first.post(f"/lowerings/{asked.id}/steps", transition="approve", reason="x")
    assert refused.status_code == 403 and "第二人" in refused.text
    second.press(f"/lowerings/{asked.id}/steps", transition="approve", reason="核实无误")
    assert "已同意放宽" in first.get(f"/resources/{resource}?tab=columns").text


def test_category_sensitivity_and_role_are_corrected_on_the_page(fresh: City) -> None:
    """Only what was filled in is changed; the machine's proposal stays beside what two people decided."""
    resource = fresh.world.published(name="流水")
    person = Person(fresh.app, "department")
    form = {"column": "身份证号", "level": "", "category": "业务编号", "sensitive": "no", "identifier_role": "none"}
    query = "&".join(f"{name}={value}" for name, value in form.items())
    seen = words_of(person.get(f"/resources/{resource}?tab=columns&{query}").text)
    assert "B1 → 业务编号" in seen and "是 → 否" in seen and "直接标识 → 无" in seen
    assert "立即生效" in seen and "待第二人核定" in seen
    person.press(f"/resources/{resource}/grades", **form, reason="实为流水号")
    second = Person(fresh.app, "colleague")
    assert "直接标识 → 无" in words_of(second.get(f"/resources/{resource}?tab=columns").text)
    with fresh.world.system() as unit:
        (asked,) = records.lowerings(unit.session, resource_id=resource)
    second.press(f"/lowerings/{asked.id}/steps", transition="approve", reason="核实无误")
    after = words_of(person.get(f"/resources/{resource}?tab=columns").text)
    assert "机器建议：标识作用 直接标识" in after and "机器建议：分类 B1" in after and "机器建议：敏感 是" in after


def test_a_correction_below_the_floor_says_so_before_anything_is_sent(fresh: City) -> None:
    resource = fresh.world.published()
    page = Person(fresh.app, "department").get(f"/resources/{resource}?tab=columns&column=身份证号&level=2").text
    assert "不得低于 4 级" in page and "确定调整" not in page


def test_impact_is_on_the_page_before_the_department_confirms(fresh: City) -> None:
    resource = fresh.world.published()
    place = fresh.world.workspace(fresh.world.application("active", resource))
    fresh.world.deliver(resource, fresh.world.department)
    fresh.world.take_in(resource, columns={"身份证号": 3, "区": 4, "费用": 2})
    person, address = Person(fresh.app, "department"), f"/resources/{resource}?tab=columns"
    html = person.get(address).text
    page = words_of(html)
    assert "门诊负荷分析" in page and "不可见，只能运行作业" in page and "收紧" in page
    assert place in html and "没有作业用到这些列" in page
    fresh.world.requested_run(place)
    assert "用到这些列的作业：visits-" in words_of(person.get(address).text)


def test_same_report_twice_is_published_once(fresh: City) -> None:
    person = Person(fresh.app, "operator")
    form = {"start": "2026-03-01", "end": "2026-03-02"}
    person.press("/reports", **form)
    assert person.post("/reports", **form).status_code == 409
    assert "2026-03-01" in Person(fresh.app).get("/reports").text


def test_clock_moves_only_in_a_demonstration_and_never_back(fresh: City) -> None:
    person = Person(fresh.app, "operator")
    assert person.get("/demonstration").status_code == 403
    with fresh.world.system() as unit:
        from sandbox.kernel import demonstration

        demonstration.mark(unit, "示范市")
    person.press("/demonstration", to="2026-03-20T09:00")
    assert "2026-03-20 09:00" in person.get("/demonstration").text
    assert person.post("/demonstration", to="2026-03-01T09:00").status_code == 422


def test_auditor_verifies_the_chain(city: City) -> None:
    answer = city.person("auditor").post("/audit/verify")
    assert answer.status_code == 200 and "审计链完整" in answer.text


# ---- exports: who may read what ----


def sight(*tables: tuple[str, list[list[str | None]], int]) -> dict[str, Any]:
    """What was kept of a file with these tables: place, rows, number of the first row."""
    plain = {"header": ["区", "人次"], "hidden": False, "model": False}
    made = [plain | {"place": place, "rows": rows, "first_row": n, "of": len(rows)} for place, rows, n in tables]
    return {"tables": made, "texts": [], "pictures": [], "parts": [], "left_out": {"tables": 0, "texts": 0}}


def in_review(fresh: City) -> str:
    """A request in review whose verdict carries measured values."""
    request_id, verdict = fresh.world.export("checking"), reviewed_verdict(fresh.world)
    with fresh.world.system() as unit:
        stakes = Stakes("aggregate", 3, False, 10.0)
        kept = export_service.keep_basis(unit.settings, sight(("visits.csv", [["示范区", "10"], ["海心区", "12"]], 2)))
        basis = export_service.keep_basis(unit.settings, {"summary": None, "record": None, "sight": kept})
        export_service.conclude_check(unit, request_id, verdict, Basis(basis), stakes)
    return request_id


def test_officer_sees_values_and_the_marked_file_and_the_merchant_neither(fresh: City) -> None:
    address = f"/exports/{in_review(fresh)}"
    looking = Person(fresh.app, "officer")
    officer, merchant = looking.get(address).text, Person(fresh.app, "merchant").get(address).text
    assert "61.25" in officer and "47.5" in officer and "cell-marked" in officer
    assert "示范区" not in officer, "text of a file that the platform did not compute is shown for a reason only"
    looking.press(f"{address}/look", reason="核对地区名称")
    looked_at = looking.get(address).text
    assert "示范区" in looked_at and "&lt;" not in looked_at
    assert "EXP-DOM" in merchant and "建议处理" in merchant
    for secret in ("61.25", "47.5", "示范区", "文件指纹", "第 2 行"):
        assert secret not in merchant
    looked = fresh.world.events("export:preview")
    assert {e.actor_id for e in looked} == {fresh.world.officer.id}


def test_second_officer_decides_without_knowing_the_first(fresh: City) -> None:
    address = f"/exports/{in_review(fresh)}"
    first, second, merchant = (Person(fresh.app, login) for login in ("officer", "second_officer", "merchant"))
    first.press(f"{address}/opinion", decision="approve", vote="approve", reason="核对了第 1 行")
    assert "核对了第 1 行" in first.get(address).text
    blinded = second.get(address).text
    assert "核对了第 1 行" not in blinded and "运营机构officer" not in blinded
    assert first.post(f"{address}/opinion", decision="approve", reason="我自己").status_code == 403
    second.press(f"{address}/opinion", decision="approve", reason="同意")
    assert "核对了第 1 行" in second.get(address).text
    page = merchant.get(address).text
    assert "核对了第 1 行" not in page and "运营机构officer" not in page


def test_merchant_reads_why_a_request_came_back_and_revises_it(fresh: City) -> None:
    request_id = in_review(fresh)
    address = f"/exports/{request_id}"
    officer, merchant = Person(fresh.app, "officer"), Person(fresh.app, "merchant")
    assert officer.post(f"{address}/early-return", reason=" ").status_code == 422
    officer.press(f"{address}/early-return", reason="请合并海心区")
    page = merchant.get(address).text
    assert "请合并海心区" in page
    artefact = re.search(r'<option value="(art-\w+)" selected', page)
    assert artefact
    merchant.press(f"{address}/revise", artefact_id=artefact.group(1), title="新标题", remark="", **CONTEXT)
    assert fresh.world.export_state(request_id) == "draft"


def test_download_counts_and_ends_at_the_limit(fresh: City) -> None:
    request_id = fresh.world.export("released")
    merchant = Person(fresh.app, "merchant")
    statuses = [merchant.post(f"/exports/{request_id}/package").status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 413]
    assert "下载次数已用完" in merchant.get(f"/exports/{request_id}").text


# ---- hostile content ----


def test_names_and_reasons_are_shown_as_text(fresh: City) -> None:
    world = fresh.world
    with world.by(world.department) as unit:
        made = catalog.register(
            unit, name=HOSTILE, description=HOSTILE, update_cycle=HOSTILE, registration_code=HOSTILE,
        )  # fmt: skip
    world.deliver(made.id, world.department)
    world.take_in(made.id, columns={HOSTILE: 2, "x": 1})
    world.publish(made.id)
    asked = [f"/resources/{made.id}?tab={tab}" for tab in resources.TABS]
    for login, addresses in {
        "department": ["/resources", "/catalog", f"/catalog/{made.id}", *asked],
        "merchant": ["/applications/new", f"/catalog?q={HOSTILE}", f"/resources?state={HOSTILE}"],
        "auditor": [f"/audit?object_id={HOSTILE}"],
    }.items():
        person = Person(fresh.app, login)
        for address in addresses:
            assert HOSTILE not in person.get(address).text, address


# ---- small parts ----


def test_marks_lead_from_places_to_cells() -> None:
    from tests.factories import verdict

    words = verdict().rules
    assert words
    text = frame.words.text("nav.home")
    findings = [
        Finding("A", Outcome.BLOCK, "f.csv#row=2;column=人次", 3, 10, text),
        Finding("B", Outcome.REVIEW, "f.csv#row=2;column=2", 3, 10, text),
        Finding("E", Outcome.REVIEW, "other.csv#row=2;column=2", 3, 10, text),
        Finding("F", Outcome.REVIEW, "f.csv#sheet=二;row=5;column=1", 3, 10, text),
        Finding("C", Outcome.REVIEW, "f.csv#row=99;column=人次", 3, 10, text),
        Finding("D", Outcome.REVIEW, "history", 3, 10, text),
    ]
    kept = sight(("f.csv", [["示范区", "10"], ["海心区", None]], 2), ("f.csv#sheet=二", [["甲", "1"]], 5))
    found = sheets.preview(kept, findings)
    first, second = (table.sheet for table in found.tables)
    assert first.rows == (("示范区", 10), ("海心区", None))
    assert [(m.row, m.column, m.rules, m.severity) for m in first.marks] == [(0, 1, ("A", "B"), "block")]
    assert [(m.row, m.column, m.rules) for m in second.marks] == [(0, 0, ("F",))]
    assert found.anchors == {"A": "cell-0-1", "B": "cell-0-1", "F": "t2-cell-0-0"}
    assert sheets.spot(found, "f.csv", {"row": 3}) == "row-3" and not sheets.spot(found, "f.csv", {"row": 4})


@given(st.lists(st.tuples(st.sampled_from(["text", "date", "integer", "boolean"]),
                          st.sampled_from(["none", "quasi", "direct"])), min_size=1, max_size=6))  # fmt: skip
def test_example_job_always_parses(columns: list[tuple[str, str]]) -> None:
    named = tuple((f"列{i}", kind, role) for i, (kind, role) in enumerate(columns))
    assert spec.parse(specification([Granted("grt-1", "表", ("列0",), named)])).measures
    assert specification([]) == ""


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=12) | st.booleans() | st.integers(), max_size=4))
def test_what_is_written_is_read_back_as_it_was(values: dict[str, str | bool | int]) -> None:
    from sandbox.products.spec_errors import load_text

    awkward = {"no": "2026-01", "a: b": "yes", "1": "01", "列": ["[x", "#"], "深": {"内": {"k": "v, w"}}}
    body = {f"k{key}": value for key, value in values.items()} | awkward
    assert load_text(written(body))[0] == body


def test_places_are_said_in_words() -> None:
    assert place({"lang": "zh"}, "f.csv#row=3;column=人次") == "f.csv，第 3 行，“人次”列"  # type: ignore[arg-type]
    assert place({"lang": "en"}, "f.csv#column=2") == "f.csv, column 2"  # type: ignore[arg-type]
    assert place({"lang": "zh"}, "history") == "已放行产品台账"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("broken_quote", "引号不成对"),
        ("not_date:登记日期", "“登记日期”不是有效的日期"),
        ("not_date:登记日期\nnot_integer:人 数:合计", "“登记日期”不是有效的日期；“人 数:合计”不是有效的整数"),
        ("never_seen", "never_seen"),
    ],
)
def test_why_a_record_was_set_apart_is_said_in_words(reason: str, words: str) -> None:
    assert why_apart(reason).zh == words
