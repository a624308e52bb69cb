"""The portal for tests: one application on a settled city, and people who read pages and press buttons."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from api import errors
from api.middleware import RequestNumber
from api.pages import frame, router
from policies.verdict import Finding, Outcome, RuleRun, Verdict
from sandbox.exports.wording import WORDINGS
from sandbox.kernel.unit import Platform
from tests.factories import PASSWORD, World

TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
HIDDEN = re.compile(r"<(script|style|code|pre|textarea|svg)\b.*?</\1>|<!--.*?-->", re.DOTALL)
CODED = re.compile(r'<(\w+)[^>]*class="[^"]*\b(?:mono|digest|number|null|language)\b[^"]*"[^>]*>.*?</\1>', re.DOTALL)


def application(platform: Platform, **options: Any) -> FastAPI:
    """The pages, the frame and the error handlers, as the composition root joins them; no broker, no JSON routes."""
    app = FastAPI(docs_url=None, redoc_url=None)
    app.state.platform = platform
    frame.install(app, frame.Portal(secret=b"s" * 32, tier="strong", **options))
    app.include_router(router)
    errors.install(app)
    app.add_middleware(RequestNumber)
    return app


@dataclass
class Person:
    """A browser with its cookies; forms bring the token of the last page."""

    app: FastAPI
    login: str | None = None
    token: str = ""
    client: TestClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = TestClient(
            self.app, base_url="http://portal.test", follow_redirects=False, headers={"accept": "text/html"}
        )
        if self.login:
            self.get("/login")
            answer = self.post("/login", account=self.login, password=PASSWORD)
            assert answer.status_code == 303, answer.text
            self.get("/account")

    def get(self, path: str, **options: Any) -> Any:
        answer = self.client.get(path, **options)
        if found := TOKEN.search(answer.text):
            self.token = found.group(1)
        return answer

    def post(self, path: str, **data: str) -> Any:
        return self.client.post(path, data=data | {"csrf_token": self.token})

    def press(self, path: str, **data: str) -> str:
        """A form that must work; returns where it leads."""
        answer = self.post(path, **data)
        assert answer.status_code == 303, words_of(answer.text)
        return str(answer.headers["location"])


def words_of(page: str) -> str:
    """What a person reads on a page outside code, numbers and digests."""
    body = page[page.index("<body") :]
    plain = CODED.sub(" ", HIDDEN.sub(" ", body))
    return unescape(re.sub(r"<[^>]+>", " ", plain))


def reviewed_verdict(world: World) -> Verdict:
    """A verdict of the shipped edition that asks people about the cell in the first row of the file."""
    from sandbox.kernel import editions

    with world.system() as unit:
        edition = editions.in_force(unit, "export")
    rule = edition.by_check("dominance")
    wording = WORDINGS["dominance"]
    finding = Finding(
        rule.id, Outcome.REVIEW, "visits.csv#row=2;column=人次", 61.25, 47.5, wording.text, wording.repair
    )
    runs = [RuleRun(rule.id, Outcome.REVIEW, 61.25, 47.5)]
    return Verdict.conclude("export", edition.edition, edition.digest, runs, [finding])
