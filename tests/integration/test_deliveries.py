"""What a department delivers may be anything: each bad file goes back in clear words, nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.demo import stages
from api.demo.client import ApiError, Client

HEADER = "编号,区,数量\n"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stages.Embedded]:
    with stages.embedded(tmp_path_factory.mktemp("deliveries") / "home") as made:
        for login in ("health", "operator", "auditor"):
            made.client.sign_in(login, made.password)
        yield made


def register(client: Client, name: str) -> str:
    columns = {"编号": {"semantic": "key"}, "区": {"semantic": "district"}, "数量": {"semantic": "number"}}
    body = {
        "name": name, "description": "测试", "registration_code": f"T-{name}", "update_cycle": "每月",
        "declared": {"columns": columns},
    }  # fmt: skip
    return str(client.post("health", "/resources", body)["id"])


def deliver(stage: stages.Embedded, resource: str, content: bytes, name: str = "表.csv") -> dict[str, Any]:
    path = stage.platform.settings.home / name
    path.write_bytes(content)
    stage.client.upload("health", f"/resources/{resource}/deliveries", path)
    stage.settle()
    found: dict[str, Any] = stage.client.get("health", f"/resources/{resource}")
    return found


def why(stage: stages.Embedded, resource: str) -> dict[str, Any]:
    """The error of the last job on the resource, as people read it."""
    jobs = [j for j in stage.client.get("operator", "/jobs") if j["subject_id"] == resource]
    return {"code": jobs[0]["error_code"], **(jobs[0]["error"] or {})}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("乱码", b"\x00\xff\xfe\x81\x00\x9f" * 400),
        ("引号不成对", (HEADER + '1,"东湖区,3\n' * 50).encode()),
        ("单列", "只有一句话\n又一句话\n第三句话\n".encode()),
        ("加密的表格", b"PK\x03\x04" + b"\x00" * 60),
        ("空白", b"\n\n\n"),
    ],
)
def test_a_file_that_cannot_be_read_goes_back_with_the_reason_and_a_good_one_is_then_taken(
    stage: stages.Embedded, name: str, content: bytes
) -> None:
    resource = register(stage.client, name)
    sent_back = deliver(stage, resource, content)
    assert sent_back["state"] == "rejected"
    assert sent_back["versions"] == []
    reason = why(stage, resource)
    assert reason["code"] != "job.unexpected", reason
    assert reason["text"]["zh"]
    assert reason["text"]["en"]
    assert reason["fix"]["zh"]
    good = deliver(stage, resource, (HEADER + "".join(f"{i},东湖区,{i}\n" for i in range(30))).encode())
    assert good["state"] == "proposed"
    assert good["versions"][0]["rows_loaded"] == 30


def test_an_empty_file_is_refused_at_once(stage: stages.Embedded) -> None:
    resource = register(stage.client, "空文件")
    with pytest.raises(ApiError, match=r"delivery\.empty"):
        deliver(stage, resource, b"")


def test_the_same_bytes_again_are_refused_as_delivered_before(stage: stages.Embedded) -> None:
    resource = register(stage.client, "重复交付")
    content = (HEADER + "".join(f"{i},东湖区,{i}\n" for i in range(30))).encode()
    assert deliver(stage, resource, content)["current_version"] == 1
    with pytest.raises(ApiError, match=r"delivery\.repeated"):
        deliver(stage, resource, content)
    assert stage.client.get("health", f"/resources/{resource}")["current_version"] == 1


def test_a_table_without_rows_is_taken_in_published_and_simulated_from_its_structure(stage: stages.Embedded) -> None:
    resource = register(stage.client, "零行")
    taken = deliver(stage, resource, HEADER.encode())
    assert taken["state"] == "proposed"
    assert (taken["versions"][0]["rows_in"], taken["versions"][0]["rows_loaded"]) == (0, 0)
    assert not [i for i in taken["versions"][0]["quality"]["indicators"] if i["assessed"]]


def test_two_clicks_on_the_same_button_do_it_once(stage: stages.Embedded) -> None:
    resource = register(stage.client, "两次点击")
    deliver(stage, resource, (HEADER + "".join(f"{i},东湖区,{i}\n" for i in range(30))).encode())
    stage.client.post("health", f"/resources/{resource}/confirm")
    with pytest.raises(ApiError, match=r"resource\.wrong_state") as second:
        stage.client.post("health", f"/resources/{resource}/confirm")
    assert "已确认" in second.value.problem["title"]
    events = stage.client.get("auditor", "/audit/events", object_id=resource, limit=500)
    assert [e["event"] for e in events].count("resource:confirm_grade") == 1


def test_a_second_version_replaces_the_first_and_the_first_stays_readable(stage: stages.Embedded) -> None:
    from sandbox.lake import Lake

    resource = register(stage.client, "两个版本")
    deliver(stage, resource, (HEADER + "".join(f"{i},东湖区,{i}\n" for i in range(30))).encode())
    second = deliver(stage, resource, (HEADER + "".join(f"{i},西岭区,{i}\n" for i in range(40))).encode())
    assert [v["number"] for v in second["versions"]] == [1, 2]
    lake = Lake(stage.platform.settings.lake_root)
    assert [lake.rows(f"{resource}/typed", v) for v in lake.versions(f"{resource}/typed")][-2:] == [30, 40]


def test_nothing_of_a_refused_upload_stays_in_the_inbox(stage: stages.Embedded, tmp_path: Path) -> None:
    before = sorted(p.name for p in stage.platform.settings.inbox.iterdir())
    resource = register(stage.client, "他人交付")
    stage.client.sign_in("police", stage.password)
    path = tmp_path / "x.csv"
    path.write_text(HEADER)
    with pytest.raises(ApiError, match="404"):
        stage.client.upload("police", f"/resources/{resource}/deliveries", path)
    assert sorted(p.name for p in stage.platform.settings.inbox.iterdir()) == before
