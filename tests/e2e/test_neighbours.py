"""Two merchants, and two applications of one merchant, side by side on one platform: each sees its own, nothing else.

In results, errors, counts, files, lists, pages, history, use, the queue and logs. Everything goes through HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from api.pages.workspaces import TABS
from sandbox.kernel.audit import AuditEvent
from tests import hostile
from tests.factories import PASSWORD
from tests.hostile import statements, unknown, wait_until, work_of
from tests.neighbours import House, Street, served
from tests.pages import TOKEN

ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 3"
MONTH = "2026-03"


@dataclass(frozen=True)
class Neighbours:
    """Everybody at work; `things` are the ids of what each made. `logged` is all that any logger said meanwhile."""

    street: Street
    houses: tuple[House, ...]
    clients: dict[str, httpx.Client]
    things: dict[House, dict[str, str]]
    logged: list[str]

    def client(self, house: House) -> httpx.Client:
        return self.clients[house.owner]

    def ask(self, house: House, sql: str) -> httpx.Response:
        return self.client(house).post(f"/workspaces/{house.workspace}/query", json={"sql": sql})

    def others(self, house: House, *, merchants_only: bool = False) -> list[House]:
        return [h for h in self.houses if (h.owner != house.owner if merchants_only else h is not house)]


class _Kept(logging.Handler):
    def __init__(self, kept: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self.kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(f"{record.name} {record.getMessage()} {record.exc_info or ''}")


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Neighbours]:
    logged: list[str] = []
    keeping, root = _Kept(logged), logging.getLogger()
    root.addHandler(keeping)
    try:
        with served(tmp_path_factory.mktemp("street") / "home", sqlite_template) as street:
            owners = {"甲一": "merchant", "甲二": "merchant", "乙一": "stranger"}
            houses = tuple(street.build(owner, mark) for mark, owner in owners.items())
            clients = {login: street.client(login) for login in ("merchant", "stranger")}
            made = Neighbours(street, houses, clients, {h: work_of(clients[h.owner], h) for h in houses}, logged)
            for house in houses:
                everyday_work(made, house)
            yield made
            for client in clients.values():
                client.close()
    finally:
        root.removeHandler(keeping)


def everyday_work(neighbours: Neighbours, house: House) -> None:
    """Tables of the same name in every workspace, a look at real rows, an error."""
    created = neighbours.ask(house, f"CREATE TABLE 共同名 AS SELECT '{house.mark}-共同名' AS 标记; FROM 共同名")
    assert created.json()["rows"] == [[f"{house.mark}-共同名"]]
    read = neighbours.client(house).post(f"/workspaces/{house.workspace}/data", json={"sql": f"FROM {house.table}"})
    assert read.status_code == 200, read.text
    assert {row[0].split("-")[0] for row in read.json()["rows"]} == {house.mark}
    assert neighbours.ask(house, f"SELECT '{house.mark}' AS a, 没有这列").status_code == 422


def marks_of(houses: list[House]) -> list[str]:
    return [m for h in houses for m in (h.mark, h.workspace, h.application, h.grant)]


def scoped(neighbours: Neighbours) -> list[hostile.Operation]:
    """Every reading route of one workspace."""
    found = [o for o in hostile.operations(neighbours.street.app) if o.method == "GET"]
    return [o for o in found if "{workspace_id}" in o.path and set(o.parameters) <= {"workspace_id", "month"}]


def test_everything_that_is_read_of_a_workspace_is_its_own(neighbours: Neighbours) -> None:
    for house in neighbours.houses:
        texts = {}
        for operation in scoped(neighbours):
            answer = neighbours.client(house).get(operation.url({"workspace_id": house.workspace, "month": MONTH}))
            assert answer.status_code == 200, (operation.name, answer.text)
            texts[operation.name] = answer.text
            for mark in marks_of(neighbours.others(house)):
                assert mark not in answer.text, (operation.name, house.mark, mark)
        assert sum(house.mark in text for text in texts.values()) >= 4, texts.keys()


def test_a_table_of_one_name_holds_each_ones_own_rows(neighbours: Neighbours) -> None:
    for house in neighbours.houses:
        assert neighbours.ask(house, "SELECT 标记 FROM 共同名").json()["rows"] == [[f"{house.mark}-共同名"]]
        assert neighbours.ask(house, f"SELECT count(*) FROM {house.table}").json()["rows"] == [[40]]


def test_errors_name_only_what_is_ones_own(neighbours: Neighbours) -> None:
    for house in neighbours.houses:
        for other in neighbours.others(house):
            answer = neighbours.ask(house, f"FROM {other.table}")
            assert answer.status_code == 422
            assert house.table in answer.text
            for mark in marks_of([other]):
                assert mark not in answer.text
            nobodys = neighbours.ask(house, f"FROM {other.table[:-1]}九")
            assert {**answer.json()["detail"], "facts": 0, "milliseconds": 0, "engine_text": 0} == {
                **nobodys.json()["detail"], "facts": 0, "milliseconds": 0, "engine_text": 0
            }  # fmt: skip
            assert answer.json()["code"] == nobodys.json()["code"]


def test_what_a_neighbour_made_takes_as_many_steps_to_deny_as_what_nobody_made(neighbours: Neighbours) -> None:
    mine, victim = neighbours.houses[2], neighbours.houses[0]
    client = neighbours.client(mine)
    things = neighbours.things[victim]
    paths = [f"/workspaces/{victim.workspace}", f"/applications/{victim.application}", f"/grants/{victim.grant}",
             f"/script-runs/{things['run_id:script-runs']}", f"/uploads/{things['upload_id']}",
             f"/quota-requests/{things['request_id:quota-requests']}",
             f"/workspaces/{mine.workspace}/files/{things['file_id']}"]  # fmt: skip
    for path in paths:
        place, _, one = path.rpartition("/")
        with statements(neighbours.street) as for_theirs:
            theirs = client.get(path)
        with statements(neighbours.street) as for_nobodys:
            nobodys = client.get(f"{place}/{unknown(one)}")
        assert theirs.status_code == 404
        assert hostile.bare(theirs, one) == hostile.bare(nobodys, unknown(one))
        assert for_theirs == for_nobodys, path


def test_lists_counts_and_statements_of_use_are_ones_own(neighbours: Neighbours) -> None:
    for login, client in neighbours.clients.items():
        own = [h for h in neighbours.houses if h.owner == login]
        others = [h for h in neighbours.houses if h.owner != login]
        assert {w["id"] for w in client.get("/workspaces").json()} == {h.workspace for h in own}
        assert {a["id"] for a in client.get("/applications").json()} == {h.application for h in own}
        lists = ["/workspaces", "/applications", "/exports", "/uploads", "/quota-requests", f"/usage/{MONTH}", "/me"]
        for path in lists:
            answer = client.get(path)
            assert answer.status_code == 200, (path, answer.text)
            for mark in marks_of(others):
                assert mark not in answer.text, (path, mark)
        assert {s["workspace_id"] for s in client.get(f"/usage/{MONTH}").json()} <= {h.workspace for h in own}
        assert len(client.get("/uploads").json()) == len(own)
        for path in ("/machine", "/jobs", "/audit/events", "/merchants"):
            refused = client.get(path)
            assert refused.status_code == 403 or all(m not in refused.text for m in marks_of(others)), path


def test_use_and_history_grow_by_ones_own_work_only(neighbours: Neighbours) -> None:
    def figures(house: House) -> tuple[Any, Any]:
        client, place = neighbours.client(house), f"/workspaces/{house.workspace}"
        return client.get(f"{place}/history").json()["total"], client.get(f"{place}/usage").json()["today"]["counts"]

    busy, *quiet = neighbours.houses
    before = {h: figures(h) for h in neighbours.houses}
    for _ in range(3):
        assert neighbours.ask(busy, "SELECT 1").status_code == 200
    assert figures(busy)[0] == before[busy][0] + 3
    assert figures(busy)[1]["query"] == before[busy][1]["query"] + 3
    for house in quiet:
        assert figures(house) == before[house]


def test_who_runs_and_who_waits_is_not_seen_from_next_door(neighbours: Neighbours) -> None:
    busy, *others = neighbours.houses
    idle = {h: neighbours.client(h).get(f"/workspaces/{h.workspace}/query").json() for h in others}
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(neighbours.ask, busy, ENDLESS)
        place = f"/workspaces/{busy.workspace}/query"
        wait_until(lambda: bool(neighbours.client(busy).get(place).json()["running"]))
        for house in others:
            assert neighbours.client(house).get(f"/workspaces/{house.workspace}/query").json() == idle[house]
            assert neighbours.ask(house, "SELECT 1 AS n").json()["rows"] == [[1]]
            for path in (f"/workspaces/{house.workspace}", f"/workspaces/{house.workspace}/usage", "/platform"):
                assert busy.workspace not in neighbours.client(house).get(path).text
        wait_until(lambda: bool(neighbours.client(busy).post(f"{place}/cancel").json()["cancelled"]))
        assert running.result(30).json()["code"] == "query.cancelled"


def test_pages_show_only_ones_own(neighbours: Neighbours) -> None:
    for login in neighbours.clients:
        own = [h for h in neighbours.houses if h.owner == login]
        with httpx.Client(base_url=neighbours.street.url, headers={"accept": "text/html"}, timeout=60) as browser:
            found = TOKEN.search(browser.get("/login").text)
            assert found
            answer = browser.post("/login", data={"account": login, "password": PASSWORD, "csrf_token": found.group(1)})
            assert answer.status_code == 303
            foreign = marks_of([h for h in neighbours.houses if h.owner != login])
            for path in ("/", "/workspaces", "/applications", "/exports", "/catalog", "/account"):
                text = browser.get(path, follow_redirects=True).text
                assert not [m for m in foreign if m in text], path
            for house in own:
                for tab in TABS:
                    page = browser.get(f"/workspaces/{house.workspace}?tab={tab}")
                    assert page.status_code == 200, (tab, page.text[:500])
                    for mark in [h.mark for h in neighbours.others(house)] + foreign:
                        assert mark not in page.text, (tab, house.mark, mark)


def test_logs_and_the_audit_log_hold_nobodys_statements(neighbours: Neighbours) -> None:
    home = neighbours.street.world.platform.settings.home
    for house in neighbours.houses:
        assert not [line for line in neighbours.logged if house.mark in line]
        for file in home.rglob("*.log"):
            if house.workspace not in file.parts:
                assert house.mark not in file.read_text("utf-8", "replace"), file
    with neighbours.street.world.system() as unit:
        details = "".join(unit.session.scalars(sa.select(AuditEvent.detail)))
    for house in neighbours.houses:
        assert f"{house.mark}-" not in details
        assert f"'{house.mark}'" not in details


def test_on_the_disk_each_mark_lies_in_its_own_workspace_only(neighbours: Neighbours) -> None:
    root = neighbours.street.world.platform.settings.workspaces_root
    for house in neighbours.houses:
        for file in (f for f in root.rglob("*") if f.is_file()):
            if house.workspace not in file.parts:
                assert house.mark.encode() not in file.read_bytes(), file
