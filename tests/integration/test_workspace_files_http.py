"""Scripts, files and uploads over HTTP and in the portal, with the real jail behind them."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from sandbox.workspaces.broker import Broker
from sandbox.workspaces.files import file_id
from tests import workshop
from tests.factories import World
from tests.pages import Person, words_of
from tests.workshop import Workshop

pytestmark = pytest.mark.jail
DECLARED = {"source": "自采", "basis": "自有数据", "licence": "自用", "contact": "张工", "period": "2026 年"}
PHONES = ("店主电话\n" + "".join(f"1390000{n:04d}\n" for n in range(30))).encode()


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    made = workshop.broker()
    yield made
    made.close()


@dataclass
class Desk:
    room: Workshop
    app: FastAPI

    def api(self, method: str, path: str, login: str = "merchant", **options: Any) -> Any:
        client = TestClient(self.app, base_url="http://portal.test")
        token = self.room.world.token(login)
        return client.request(method, f"/api/v1{path}", headers={"authorization": f"Bearer {token}"}, **options)

    @property
    def place(self) -> str:
        return f"/workspaces/{self.room.workspace_id}"


@pytest.fixture
def desk(world: World, broker: Broker, tmp_path: Path) -> Desk:
    room = Workshop.open(world, broker, tmp_path)
    return Desk(room, create_app(world.platform, broker, dict))


def test_a_program_runs_a_script_follows_it_and_fetches_its_files(desk: Desk) -> None:
    source = "import time\nprint('一', flush=True)\ntime.sleep(0.3)\nprint('二')\nopen('a \"b\\n.csv', 'w').write('x')"
    started = desk.api("POST", f"{desk.place}/scripts/run", json={"source": source, "name": "试"})
    assert (started.status_code, started.json()["outcome"]) == (202, None)
    run, text, offset = started.json()["id"], "", 0
    until = time.monotonic() + 30
    while time.monotonic() < until:
        told = desk.api("GET", f"/script-runs/{run}", params={"offset": offset}).json()
        text, offset = text + told["output"], told["next_offset"]
        if told["outcome"]:
            break
        time.sleep(0.05)
    assert (told["outcome"], text) == ("done", "一\n二\n")
    (file,) = told["files"]
    listed = desk.api("GET", f"{desk.place}/files").json()
    assert [f["path"] for f in listed["files"]] == ['a "b⟨000A⟩.csv']
    answer = desk.api("GET", f"{desk.place}/files/{file['id']}")
    assert answer.content == b"x"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith('attachment; filename="simulated_')
    assert "%E4%BB%BF%E7%9C%9F%E6%95%B0%E6%8D%AE" in answer.headers["content-disposition"], "仿真数据"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert desk.api("DELETE", f"{desk.place}/files/{file['id']}").status_code == 204
    assert desk.api("GET", f"{desk.place}/files/{file['id']}").status_code == 404


def test_only_a_png_is_ever_shown_and_in_a_box(desk: Desk) -> None:
    desk.room.folder.mkdir(parents=True)
    desk.room.folder.joinpath("图.png").write_bytes(b"\x89PNG\r\n\x1a\n123")
    desk.room.folder.joinpath("fake.png").write_text("<html><script>alert(1)</script>")
    desk.room.folder.joinpath("big.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * (9 << 20))
    (desk.room.folder / "link.png").symlink_to(desk.room.world.platform.settings.home / "metadata.sqlite")
    os.mkfifo(desk.room.folder / "pipe.png")
    person = Person(desk.app, "merchant")
    shown = person.get(f"{desk.place}/pictures/{file_id('图.png'.encode())}")
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/png")
    assert shown.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert shown.headers["x-content-type-options"] == "nosniff"
    for name in ("fake.png", "big.png", "link.png", "pipe.png", "../x.png"):
        assert person.get(f"{desk.place}/pictures/{file_id(name.encode())}").status_code == 404, name
    saved = person.get(f"{desk.place}/files/{file_id(b'fake.png')}")
    assert saved.headers["content-type"] == "application/octet-stream"
    assert saved.headers["content-security-policy"] == "sandbox"
    page = person.get(f"{desk.place}?tab=files").text
    assert "link.png" in page and f'/files/{file_id(b"link.png")}"' not in page, "no download of a link"
    assert f'/files/{file_id(b"fake.png")}"' in page


def test_others_find_nothing(desk: Desk) -> None:
    desk.room.folder.mkdir(parents=True)
    desk.room.folder.joinpath("a.txt").write_text("x")
    run, _printed = desk.room.run("print(1)")
    paths = [
        ("GET", f"{desk.place}/files"), ("GET", f"{desk.place}/files/{file_id(b'a.txt')}"),
        ("GET", f"{desk.place}/scripts"), ("GET", f"{desk.place}/script-runs"), ("GET", f"/script-runs/{run.id}"),
        ("POST", f"/script-runs/{run.id}/cancel"), ("GET", f"{desk.place}/uploads"),
        ("DELETE", f"{desk.place}/files/{file_id(b'a.txt')}"),
    ]  # fmt: skip
    for method, path in paths:
        assert desk.api(method, path, "stranger").status_code == 404, path
        nowhere = path.replace(desk.room.workspace_id, "wsp-none").replace(run.id, "scr-none")
        assert desk.api(method, nowhere).status_code == 404, nowhere
    for method, path in paths[:6]:
        assert desk.api(method, path, "operator").status_code == 403, path


def test_an_upload_goes_its_way_over_http_and_the_operator_sees_masks_only(desk: Desk) -> None:
    form = DECLARED | {"name": "店主", "personal": "false", "statement": "true"}
    sent = desk.api("POST", f"{desk.place}/uploads", data=form, files={"file": ("店主.csv", PHONES)})
    assert (sent.status_code, sent.json()["state"]) == (202, "uploaded")
    desk.room.check()
    (waiting,) = desk.api("GET", "/uploads", "operator", params={"state": "needs_decision"}).json()
    assert waiting["reasons"] == ["contradiction"]
    operator = Person(desk.app, "operator")
    page = operator.get(f"/uploads/{waiting['id']}").text
    read = words_of(page)
    assert "手机号" in read and "声明不含个人信息，检查却发现了个人信息" in read
    assert not re.search(r"1390000\d{4}", page), "no value of a record"
    assert waiting["name"] in operator.get("/uploads?state=needs_decision").text
    operator.press(f"/uploads/{waiting['id']}/steps", transition="accept", reason="已核实")
    assert desk.api("GET", f"/uploads/{waiting['id']}").json()["state"] == "accepted"
    assert desk.api("DELETE", f"/uploads/{waiting['id']}", "stranger").status_code == 404
    assert desk.api("DELETE", f"/uploads/{waiting['id']}").status_code == 204


def test_what_was_brought_in_stands_in_the_editors_tree_and_is_completed(desk: Desk) -> None:
    form = DECLARED | {"name": "客流", "personal": "false", "statement": "true"}
    person = Person(desk.app, "merchant")
    assert "已引入的数据" not in words_of(person.get(f"{desk.place}?tab=query").text)
    desk.api("POST", f"{desk.place}/uploads", data=form, files={"file": ("客流.csv", "商圈,人次\n东湖,120\n".encode())})
    desk.room.check()
    page = person.get(f"{desk.place}?tab=query").text
    tree = page[page.index("已引入的数据") : page.index("自建的表")]
    assert all(f'data-insert="{name}"' in tree for name in ("客流", "商圈", "人次"))
    assert ">文本" in tree and ">整数" in tree
    (schema,) = (json.loads(unescape(found)) for found in re.findall(r'data-schema="([^"]*)"', page))
    assert schema["客流"] == ["商圈", "人次"]
    own = person.get(f"{desk.place}/objects").text
    assert "客流" not in own, "its own tables are others"


def test_the_operator_sees_who_works_on_the_machine_just_now(desk: Desk) -> None:
    assert desk.api("POST", f"{desk.place}/query", json={"sql": "SELECT 42 AS 秘密"}).status_code == 200
    page = Person(desk.app, "operator").get("/machine").text
    assert "空闲" in words_of(page) and f"/ {workshop.LIMITS.memory_mb} MB" in page
    assert "秘密" not in page


def test_the_portals_forms_save_run_and_show_themselves_again(desk: Desk) -> None:
    person = Person(desk.app, "merchant")
    person.get(f"{desk.place}?tab=scripts")
    where = person.press(f"{desk.place}/scripts", source="print(1)", name="汇总", do="save")
    assert "print(1)" in person.get(where).text
    started = person.press(f"{desk.place}/scripts", source="1/0", do="run")
    ended, _printed = desk.room.ended(started.rsplit("=", 1)[1])
    assert (ended.outcome, (ended.error or {}).get("class")) == ("failed", "ZeroDivisionError")
    read = words_of(person.get(started).text)
    assert "除数为零" in read and "第 1 行" in read
    again = person.post(f"{desk.place}/scripts", source="   ", do="run")
    assert again.status_code == 422 and "脚本是空的" in again.text
    person.get(f"{desk.place}?tab=uploads")
    typed = DECLARED | {"name": "1x", "personal": "no", "statement": "yes", "csrf_token": person.token}
    bad = person.client.post(f"{desk.place}/uploads", data=typed, files={"file": ("a.csv", b"a\n1\n")})
    assert bad.status_code == 422 and "表名须以" in bad.text and "张工" in bad.text
    unstated = person.client.post(
        f"{desk.place}/uploads", data=DECLARED | {"name": "x", "personal": "no", "csrf_token": person.token},
        files={"file": ("a.csv", b"a\n1\n")},
    )  # fmt: skip
    assert unstated.status_code == 422 and "声明" in unstated.text
    assert not desk.room.world.platform.settings.uploads_root.exists()


def test_a_body_over_the_limit_is_stopped_while_it_comes(desk: Desk) -> None:
    form = DECLARED | {"name": "x", "personal": "false", "statement": "true"}
    huge = desk.api("POST", f"{desk.place}/uploads", data=form, files={"file": ("a", b"x" * (66 << 20))})
    assert huge.status_code == 413
    small = desk.api("POST", f"{desk.place}/scripts/run", json={"source": "#" * (2 << 20)})
    assert small.status_code in (413, 422)
