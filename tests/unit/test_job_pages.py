"""The portal's pages of jobs: what failed, what to do, what a retry reuses, who may; a list that keeps its filter."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest

from pipelines.registry import HANDLERS
from sandbox.catalog import repository
from sandbox.kernel import cancellation, jobs
from sandbox.kernel.jobs import LocalExecutor
from tests.factories import World
from tests.pages import Person, application, words_of

MAY = {"operator", "auditor"}


@dataclass
class Jobs:
    """A job that waits, one that failed at its step and one that was cancelled, on one table; and who looks at them."""

    world: World
    ids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        table = self.world.delivered(name="学校")
        with self.world.system() as unit:
            gone = {"kind": "database", "connection": "gone", "table": "t"}
            repository.get(unit.session, table).declared = {"source": gone}
            names = ("queued", "failed", "cancelled")
            self.ids = {name: unit.enqueue("refresh", "resource", table).id for name in names}
        platform = self.world.platform
        assert jobs.execute(platform, HANDLERS, self.ids["failed"]) == "failed"
        with self.world.by(self.world.operator) as unit:
            cancellation.cancel(unit, self.ids["cancelled"])
        cancellation.stop_cancelled(platform, LocalExecutor(platform, HANDLERS), HANDLERS)
        self.app = application(platform)

    def person(self, login: str) -> Person:
        return Person(self.app, login)

    def address(self, name: str) -> str:
        return f"/jobs/{self.ids[name]}"


@pytest.fixture
def made(world: World) -> Jobs:
    return Jobs(world)


@pytest.mark.parametrize("login", ["operator", "auditor", "officer", "department", "merchant"])
def test_operators_and_auditors_see_a_job_in_both_languages_and_nobody_else(made: Jobs, login: str) -> None:
    person = made.person(login)
    for name in made.ids:
        for language in ("zh", "en"):
            answer = person.get(made.address(name), headers={"accept-language": language})
            assert answer.status_code == (200 if login in MAY else 403)
    assert person.get("/jobs/job-nothere00000").status_code == (404 if login in MAY else 403)
    assert Person(made.app).get(made.address("failed")).status_code == 303, "a visitor signs in first"


def test_chinese_pages_of_jobs_say_nothing_in_english(made: Jobs) -> None:
    person = made.person("operator")
    for address in ("/jobs", *(made.address(name) for name in made.ids)):
        read = words_of(person.get(address, headers={"accept-language": "zh"}).text)
        read = re.sub(r"\b[a-z]{3}-[0-9a-z]{12}\b|PDS_SOURCES|English|gone|operator|department", " ", read)
        assert re.findall(r"[A-Za-z]{2,}", read) == []


def test_a_failed_job_says_what_happened_what_to_do_and_which_step_failed(made: Jobs) -> None:
    page = made.person("operator").get(made.address("failed"), headers={"accept-language": "zh"})
    with made.world.system() as unit:
        job = jobs.get(unit.session, made.ids["failed"])
    assert job.error is not None
    for words in (job.error["text"]["zh"], job.error["fix"]["zh"], "停在：从来源取数", "从来源更新：学校",
                  "这个任务没有可沿用的步骤"):  # fmt: skip
        assert words in words_of(page.text), words
    assert page.text.count('class="step-failed"') == 1
    assert str(job.error_code) in page.text


def test_the_auditor_is_told_who_may_retry(made: Jobs) -> None:
    button = f'action="{made.address("failed")}/retry"'
    page = made.person("auditor").get(made.address("failed"), headers={"accept-language": "zh"})
    assert button not in page.text
    assert "由运营人员办理" in words_of(page.text)
    assert button in made.person("operator").get(made.address("failed")).text


def test_an_earlier_attempt_stays_on_the_page_after_a_retry(made: Jobs) -> None:
    person = made.person("operator")
    person.get(made.address("failed"))
    assert person.post(f"{made.address('failed')}/retry").headers["location"] == made.address("failed")
    page = words_of(person.get(made.address("failed"), headers={"accept-language": "zh"}).text)
    assert "排队中" in page and "历次执行" in page and "停在：从来源取数" in page
    assert jobs.execute(made.world.platform, HANDLERS, made.ids["failed"]) == "failed"
    page = words_of(person.get(made.address("failed"), headers={"accept-language": "zh"}).text)
    assert "第 2 次的步骤" in page and "第 1 次" in page


def test_the_log_is_searched_by_the_words_people_read_and_each_look_is_on_record(made: Jobs) -> None:
    address, person = made.address("failed"), made.person("operator")
    found = person.get(f"{address}?q=任务失败").text
    assert "job:fail" in found and "job:enqueue" not in found
    nothing = person.get(f"{address}?q=没有这个词", headers={"accept-language": "zh"})
    assert "没有符合的记录" in words_of(nothing.text)
    assert len(made.world.events("job:look")) == 2
    live = person.get(made.address("queued"), headers={"hx-request": "true"})
    assert 'hx-trigger="every 3s"' in live.text and "<html" not in live.text
    assert "job:enqueue" not in live.text
    assert len(made.world.events("job:look")) == 2, "what asks for itself shows no log"


def test_a_job_that_has_ended_asks_no_more(made: Jobs) -> None:
    page = made.person("operator").get(made.address("cancelled"), headers={"hx-request": "true"})
    assert "hx-trigger" not in page.text


@pytest.mark.parametrize(
    ("back", "stays"),
    [("/jobs?state=failed", True), ("/jobs", True), ("", False), ("//evil.test", False), ("/jobsx", False),
     ("https://evil.test/jobs", False)],
)  # fmt: skip
def test_whoever_cancels_from_the_list_stays_in_it_and_nowhere_else(made: Jobs, back: str, stays: bool) -> None:
    answer = made.person("operator").post(f"{made.address('queued')}/cancel", back=back)
    assert answer.headers["location"] == (back if stays else made.address("queued"))


def test_the_list_keeps_its_filter_in_every_tab_and_finds_by_kind_in_words(made: Jobs) -> None:
    person = made.person("operator")
    page = person.get("/jobs?q=学校&kind=refresh&days=7").text
    tabs = [t for t in re.findall(r'href="(/jobs\?[^"]*)"', page) if "state=" in t]
    assert len(tabs) >= 3
    assert all("kind=refresh" in t and "days=7" in t for t in tabs)
    every = set(made.ids.values())
    for query, expected in {
        "q=来源更新": every, "state=failed&days=1": {made.ids["failed"]}, "q=没有这张表": set(), "kind=simulate": set(),
    }.items():  # fmt: skip
        shown = set(re.findall(r'href="/jobs/(job-\w+)"', person.get(f"/jobs?{query}").text))
        assert shown & every == expected, query
