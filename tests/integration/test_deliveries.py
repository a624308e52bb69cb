"""What a department delivers may be anything: each bad file goes back in clear words, nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from api.demo import stages
from api.demo.client import ApiError, Client
from pipelines import upkeep
from policies import editions
from sandbox.kernel.editions import PolicyEdition

HEADER = "编号,区,数量\n"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stages.Embedded]:
    with stages.embedded(tmp_path_factory.mktemp("deliveries") / "home") as made:
        for login in ("health", "operator", "auditor", "officer1"):
            made.client.sign_in(login, made.password)
        yield made


def register(client: Client, name: str) -> str:
    columns = {"编号": {"semantic": "key"}, "区": {"semantic": "district"}, "数量": {"semantic": "number"}}
    body = {
        "name": name, "description": "测试", "registration_code": f"T-{name}", "update_cycle": "每月",
        "declared": {"columns": columns},
    }  # fmt: skip
    return str(client.post("health", "/resources", body)["id"])


def deliver(
    stage: stages.Embedded, resource: str, content: bytes, name: str = "表.csv", mode: str = "replace"
) -> dict[str, Any]:
    """Deliver a file and let every job run; the resource as its department then sees it."""
    path = stage.platform.settings.home / name
    path.write_bytes(content)
    stage.client.upload("health", f"/resources/{resource}/deliveries", path, mode=mode)
    stage.settle()
    found: dict[str, Any] = stage.client.get("health", f"/resources/{resource}")
    return found


def deliver_anew(stage: stages.Embedded, resource: str, content: bytes, mode: str = "replace") -> dict[str, Any]:
    """Deliver a file of another shape: it no longer fits its recipe, and an operator has it detected anew."""
    stopped = deliver(stage, resource, content, mode=mode)["deliveries"][0]
    assert (stopped["state"], stopped["error"]["code"]) == ("needs_recipe", "reading.recipe_mismatch")
    return read_again(stage, resource, stopped["id"], {})


def read_again(stage: stages.Embedded, resource: str, delivery: str, recipe: dict[str, Any]) -> dict[str, Any]:
    """An operator has a delivery read by another recipe."""
    stage.client.post("operator", f"/deliveries/{delivery}/recipe", {"recipe": recipe})
    stage.settle()
    found: dict[str, Any] = stage.client.get("health", f"/resources/{resource}")
    return found


def publish(stage: stages.Embedded, resource: str) -> dict[str, Any]:
    """Confirm and publish what waits."""
    stage.client.post("health", f"/resources/{resource}/confirm")
    stage.client.post("operator", f"/resources/{resource}/publish")
    found: dict[str, Any] = stage.client.get("health", f"/resources/{resource}")
    return found


def table(rows: range, district: str = "东湖区") -> bytes:
    return (HEADER + "".join(f"{i},{district},{i}\n" for i in rows)).encode()


@pytest.mark.parametrize(
    ("name", "state", "content"),
    [
        ("乱码", "needs_recipe", b"\x00\xff\xfe\x81\x00\x9f" * 400),
        ("引号不成对", "needs_recipe", (HEADER + '1,"东湖区,3\n' * 50).encode()),
        ("单列", "needs_recipe", "只有一句话\n又一句话\n第三句话\n".encode()),
        ("加密的表格", "refused", b"PK\x03\x04" + b"\x00" * 60),
        ("空白", "refused", b"\n\n\n"),
    ],
)
def test_a_file_that_cannot_be_read_says_why_and_a_good_one_is_then_taken(
    stage: stages.Embedded, name: str, state: str, content: bytes
) -> None:
    resource = register(stage.client, name)
    stopped = deliver(stage, resource, content)
    (first,) = stopped["deliveries"]
    assert (stopped["state"], first["state"], stopped["versions"]) == ("registered", state, [])
    reason = first["error"]
    assert reason["code"] != "job.unexpected", reason
    assert reason["text"]["zh"]
    assert reason["text"]["en"]
    assert reason["fix"]["zh"]
    good = deliver(stage, resource, table(range(30)))
    assert [d["state"] for d in good["deliveries"]] == ["proposed", "superseded" if state == "needs_recipe" else state]
    assert good["versions"][0]["rows_loaded"] == 30


def test_an_empty_file_is_refused_at_once(stage: stages.Embedded) -> None:
    resource = register(stage.client, "空文件")
    with pytest.raises(ApiError, match=r"delivery\.empty"):
        deliver(stage, resource, b"")


def test_the_same_bytes_again_are_refused_as_delivered_before(stage: stages.Embedded) -> None:
    resource = register(stage.client, "重复交付")
    deliver(stage, resource, table(range(30)))
    with pytest.raises(ApiError, match=r"delivery\.repeated"):
        deliver(stage, resource, table(range(30)))
    assert len(stage.client.get("health", f"/resources/{resource}")["versions"]) == 1


def test_bytes_that_were_sent_back_may_be_delivered_again(stage: stages.Embedded) -> None:
    resource = register(stage.client, "再次交付")
    assert deliver(stage, resource, b"\n\n\n")["deliveries"][0]["state"] == "refused"
    assert [d["number"] for d in deliver(stage, resource, b"\n\n\n")["deliveries"]] == [2, 1]


def test_an_operator_retries_a_failed_job_and_the_same_delivery_is_read_again(stage: stages.Embedded) -> None:
    resource = register(stage.client, "重试任务")
    stopped = deliver(stage, resource, table(range(30)), name="表.csv")
    assert stopped["deliveries"][0]["state"] == "proposed"
    again = table(range(31))
    inbox = stage.platform.settings.inbox
    path = stage.platform.settings.home / "表.csv"
    path.write_bytes(again)
    delivery = stage.client.upload("health", f"/resources/{resource}/deliveries", path)
    (inbox / delivery["file_sha256"]).rename(inbox / "away")
    stage.settle()
    assert stage.client.get("health", f"/deliveries/{delivery['id']}")["state"] == "refused"
    (inbox / "away").rename(inbox / delivery["file_sha256"])
    stage.client.post("operator", f"/jobs/{delivery['job_id']}/retry")
    stage.settle()
    found = stage.client.get("health", f"/deliveries/{delivery['id']}")
    assert (found["state"], found["error"]) == ("proposed", None)


def test_a_table_without_rows_is_taken_in_published_and_simulated_from_its_structure(stage: stages.Embedded) -> None:
    resource = register(stage.client, "零行")
    taken = deliver(stage, resource, HEADER.encode())
    assert taken["deliveries"][0]["state"] == "proposed"
    assert (taken["versions"][0]["rows_in"], taken["versions"][0]["rows_loaded"]) == (0, 0)
    assert not [i for i in taken["versions"][0]["quality"]["indicators"] if i["assessed"]]


def test_a_table_without_rows_is_added_to_and_graded_again(stage: stages.Embedded) -> None:
    resource = register(stage.client, "空表")
    deliver(stage, resource, HEADER.encode())
    publish(stage, resource)
    stage.settle()
    stage.client.post("operator", f"/resources/{resource}/regrade", {"reason": "场景变化"})
    stage.settle()
    found = stage.client.get("health", f"/resources/{resource}")
    assert (found["deliveries"][0]["mode"], found["deliveries"][0]["state"]) == ("regrade", "current")
    found = deliver(stage, resource, HEADER.encode() + b"\n", mode="append")
    assert (found["deliveries"][0]["state"], found["versions"][-1]["rows"]) == ("current", 0)


def test_two_clicks_on_the_same_button_do_it_once(stage: stages.Embedded) -> None:
    resource = register(stage.client, "两次点击")
    delivery = deliver(stage, resource, table(range(30)))["deliveries"][0]["id"]
    stage.client.post("health", f"/resources/{resource}/confirm")
    with pytest.raises(ApiError, match=r"delivery\.wrong_state") as second:
        stage.client.post("health", f"/resources/{resource}/confirm")
    assert "已确认" in second.value.problem["title"]
    events = stage.client.get("auditor", "/audit/events", object_id=delivery, limit=500)
    assert [e["event"] for e in events].count("delivery:confirm") == 1


# -- the published version while another is on its way


def test_a_redelivery_of_the_same_shape_and_grades_takes_effect_by_the_system(stage: stages.Embedded) -> None:
    resource = register(stage.client, "逐月更新")
    deliver(stage, resource, table(range(30)))
    publish(stage, resource)
    stage.settle()
    second = deliver(stage, resource, table(range(40), "西岭区"))
    assert [d["state"] for d in second["deliveries"]] == ["current", "superseded"]
    assert (second["state"], second["current_version"], second["versions"][-1]["rows"]) == ("published", 2, 40)
    events = stage.client.get("auditor", "/audit/events", object_id=second["deliveries"][0]["id"], limit=500)
    carried = [e for e in events if e["event"] in ("delivery:carry_over", "delivery:take_effect")]
    assert [e["role"] for e in carried] == ["system", "system"]


def test_a_redelivery_with_another_column_waits_while_the_published_version_stays(stage: stages.Embedded) -> None:
    resource = register(stage.client, "新增一列")
    deliver(stage, resource, table(range(30)))
    publish(stage, resource)
    stage.settle()
    rows = "".join(f"{i},东湖区,{i},甲\n" for i in range(40))
    second = deliver_anew(stage, resource, ("编号,区,数量,备用字段\n" + rows).encode())
    assert second["deliveries"][0]["state"] == "proposed"
    assert (second["state"], second["current_version"]) == ("published", 1)
    assert [c["name"] for c in second["columns"]] == ["编号", "区", "数量"]
    assert {c["name"]: c["confirmed"] for c in second["proposed"]} == {
        "编号": True, "区": False, "数量": True, "备用字段": False
    }, "with a column that may be about people, a district is no longer a place of nobody"  # fmt: skip
    entry = stage.client.get("operator", f"/catalogue/{resource}")
    assert (len(entry["columns"]), entry["simulated"]) == (3, True), "merchants see what is published"
    done = publish(stage, resource)
    assert (done["current_version"], len(done["columns"])) == (2, 4)


def test_a_bad_redelivery_leaves_what_is_published_as_it_is(stage: stages.Embedded) -> None:
    resource = register(stage.client, "坏文件")
    deliver(stage, resource, table(range(30)))
    before = publish(stage, resource)
    stage.settle()
    for content in (b"\n\n\n", b"PK\x03\x04" + b"\x00" * 60):
        after = deliver(stage, resource, content)
        assert after["deliveries"][0]["state"] == "refused"
        assert (after["state"], after["current_version"], after["columns"]) == ("published", 1, before["columns"])


@contextmanager
def spoilt(stage: stages.Embedded, kind: str, how: str) -> Iterator[None]:
    """The edition in force, damaged in its store: cut off in the middle, of another form, or with a rule changed."""
    with stage.platform.database.transaction() as session:
        wanted = select(PolicyEdition).where(PolicyEdition.kind == kind, PolicyEdition.state == "active")
        row = session.scalars(wanted.order_by(PolicyEdition.effective_from.desc())).first()
        assert row is not None
        whole, key = row.text, row.id
        row.text = {
            "cut off": whole[: len(whole) // 2] + "\n  - [",
            "another form": whole.replace("rules:", "no_defaults: true\nrules:", 1),
            "changed": whole + "\n# one character more is another edition\n",
        }[how]
    try:
        yield
    finally:
        with stage.platform.database.transaction() as session:
            kept = session.get(PolicyEdition, key)
            assert kept is not None
            kept.text = whole


def lake_versions(stage: stages.Embedded, resource: str) -> dict[str, int]:
    from deltalake import DeltaTable

    root = stage.platform.settings.lake_root / resource
    return {one.name: DeltaTable(str(one)).version() for one in sorted(root.iterdir()) if one.is_dir()}


@pytest.mark.parametrize(
    ("kind", "how", "code"),
    [
        ("grading", "cut off", "policy.invalid"),
        ("grading", "another form", "policy.invalid"),
        ("grading", "changed", "policy.changed"),
        ("quality", "changed", "policy.changed"),
    ],
)
def test_a_policy_that_does_not_load_stops_a_delivery_by_name_and_touches_nothing(
    stage: stages.Embedded, kind: str, how: str, code: str
) -> None:
    resource = register(stage.client, f"规则坏了{kind}{how}")
    deliver(stage, resource, table(range(30)))
    before = publish(stage, resource)
    stage.settle()
    lake = lake_versions(stage, resource)
    with spoilt(stage, kind, how):
        after = deliver(stage, resource, table(range(31)))
    stopped = after["deliveries"][0]
    assert (stopped["state"], stopped["error"]["code"]) == ("refused", code)
    assert kind in stopped["error"]["text"]["zh"] and stopped["error"]["fix"]["zh"]
    assert (after["state"], after["current_version"], after["columns"]) == ("published", 1, before["columns"])
    assert (after["versions"], lake_versions(stage, resource)) == (before["versions"], lake), "nothing half done"
    stage.client.post("operator", f"/jobs/{stopped['job_id']}/retry")
    stage.settle()
    healed = stage.client.get("health", f"/resources/{resource}")
    assert (healed["deliveries"][0]["state"], healed["current_version"]) == ("current", 2), "read once it loads again"


def test_both_versions_stay_readable_with_their_lineage(stage: stages.Embedded) -> None:
    from sandbox.lake import Lake

    resource = register(stage.client, "两个版本")
    deliver(stage, resource, table(range(30)))
    publish(stage, resource)
    found = deliver(stage, resource, table(range(40), "西岭区"))
    versions = stage.client.get("operator", f"/resources/{resource}/versions")
    assert [(v["number"], v["rows"], v["level"]) for v in versions] == [
        (1, 30, v0 := versions[0]["level"]),
        (2, 40, v0),
    ]
    lake = Lake(stage.platform.settings.lake_root)
    for version, delivery in zip(versions, found["deliveries"][::-1], strict=True):
        assert version["delivery_id"] == delivery["id"]
        assert version["file_sha256"] == delivery["file_sha256"]
        assert version["recipe"]["encoding"]
        assert lake.rows(f"{resource}/typed", version["lake_version"]) == version["rows"]
        assert lake.digest(f"{resource}/typed", version["lake_version"]) == version["lake_digest"]


# -- append


def test_an_append_adds_its_rows_and_is_measured_as_a_whole(stage: stages.Embedded) -> None:
    from sandbox.lake import Lake

    resource = register(stage.client, "追加")
    deliver(stage, resource, table(range(30)))
    publish(stage, resource)
    found = deliver(stage, resource, table(range(30, 45), "西岭区"), mode="append")
    version = found["versions"][-1]
    assert found["deliveries"][0]["state"] == "current", found["deliveries"][0]
    assert (version["rows"], version["rows_in"], version["rows_loaded"]) == (45, 15, 15)
    assert version["quality"]["rows"] == 45, "quality speaks of everything that can be used"
    lake = Lake(stage.platform.settings.lake_root)
    assert lake.rows(f"{resource}/raw") == lake.rows(f"{resource}/typed") == 45
    with pytest.raises(ApiError, match=r"delivery\.repeated"):
        deliver(stage, resource, table(range(30, 45), "西岭区"), mode="append")


def test_an_append_never_takes_in_rows_of_a_delivery_that_was_not_published(stage: stages.Embedded) -> None:
    resource = register(stage.client, "追加在已发布之后")
    deliver(stage, resource, table(range(30)))
    publish(stage, resource)
    wider = deliver_anew(
        stage, resource, ("编号,区,数量,备注\n" + "".join(f"{i},东湖区,{i},x\n" for i in range(99))).encode()
    )
    assert wider["deliveries"][0]["state"] == "proposed"
    stage.client.post("health", f"/deliveries/{wider['deliveries'][0]['id']}/withdraw")
    found = deliver(stage, resource, table(range(30, 40)), mode="append")
    assert (found["deliveries"][0]["state"], found["versions"][-1]["rows"]) == ("current", 40)


@pytest.mark.parametrize(
    ("content", "differences"),
    [
        ("编号,区\n" + "".join(f"{i},东湖区\n" for i in range(20)), ["缺少 数量"]),
        ("编号,区,数量,备注\n" + "".join(f"{i},东湖区,{i},x\n" for i in range(20)), ["多出 备注"]),
    ],
)
def test_an_append_of_other_columns_is_refused_and_names_the_difference(
    stage: stages.Embedded, content: str, differences: list[str]
) -> None:
    resource = register(stage.client, f"追加不符{differences[0]}")
    deliver(stage, resource, table(range(30)))
    publish(stage, resource)
    found = deliver_anew(stage, resource, content.encode(), mode="append")
    error = found["deliveries"][0]["error"]
    assert (found["deliveries"][0]["state"], error["code"]) == ("refused", "delivery.append_mismatch")
    assert all(d in error["text"]["zh"] for d in differences), error
    assert (found["state"], found["current_version"]) == ("published", 1)


def test_an_append_of_another_type_is_refused_and_names_both_types(stage: stages.Embedded) -> None:
    resource = register(stage.client, "追加类型不符")
    deliver(stage, resource, table(range(30)))
    publish(stage, resource)
    shorter = ("编号,区\n" + "".join(f"{i},东湖区\n" for i in range(9))).encode()
    stopped = deliver(stage, resource, shorter, mode="append")["deliveries"][0]["id"]
    names = {"names": ["编号", "区"], "columns": [{"name": "编号", "type": "text"}]}
    found = read_again(stage, resource, stopped, names)
    assert "编号（integer → text）" in found["deliveries"][0]["error"]["text"]["zh"]


def test_nothing_can_be_appended_to_nothing(stage: stages.Embedded) -> None:
    resource = register(stage.client, "无可追加")
    with pytest.raises(ApiError, match=r"delivery\.mode"):
        deliver(stage, resource, table(range(30)), mode="append")


# -- recipes


def one_column(rows: range) -> bytes:
    return ("编号\n" + "".join(f"{i}\n" for i in rows)).encode()


def test_an_operator_corrects_the_recipe_and_the_stored_bytes_are_read_again(stage: stages.Embedded) -> None:
    resource = register(stage.client, "单列改正")
    stopped = deliver(stage, resource, one_column(range(30)))
    delivery = stopped["deliveries"][0]
    assert (delivery["state"], delivery["error"]["code"]) == ("needs_recipe", "reading.one_column")
    with pytest.raises(ApiError, match="403"):
        stage.client.post("health", f"/deliveries/{delivery['id']}/recipe", {"recipe": {}})
    recipe = {"recipe": {"delimiter": "", "header": True}}
    assert stage.client.post("operator", f"/deliveries/{delivery['id']}/recipe", recipe)["state"] == "received"
    stage.settle()
    found = stage.client.get("operator", f"/resources/{resource}")
    assert [(d["state"], d["attempt"], d["error"]) for d in found["deliveries"]] == [("proposed", 2, None)]
    assert found["versions"][0]["rows_loaded"] == 30
    again = deliver(stage, resource, one_column(range(40)))
    assert again["deliveries"][0]["state"] == "proposed", "the next delivery is read the same way"
    assert again["versions"][-1]["rows_loaded"] == 40


def test_lines_of_a_file_are_kept_beside_what_they_became_until_its_delivery_is_settled(stage: stages.Embedded) -> None:
    resource = register(stage.client, "逐行对照")
    content = "二〇二六年一月统计表\n".encode() + table(range(30)) + "7,东湖区,7,王小明\n".encode()
    path = f"/deliveries/{deliver(stage, resource, content)['deliveries'][0]['id']}/preview"
    seen = stage.client.get("operator", path)
    assert [(n["line"], n["role"], n["raw"], n["cells"]) for n in seen["lines"][:3]] == [
        (1, "preamble", "二〇二六年一月统计表", None), (2, "header", "编号,区,数量", None),
        (3, "record", "0,某某某,0", ["0", "某某某", "0"]),
    ]  # fmt: skip
    assert seen["decisions"]["delimiter"] == ","
    publish(stage, resource)
    assert stage.client.get("operator", path) is None


def test_an_operator_sees_the_head_of_a_file_that_could_not_be_read_by_its_shape_first(stage: stages.Embedded) -> None:
    resource = register(stage.client, "看看开头")
    content = "姓名电话\n王小明15400001234\n李小红15400005678\n".encode("gb18030")
    delivery = deliver(stage, resource, content)["deliveries"][0]
    assert delivery["state"] == "needs_recipe"
    path = f"/deliveries/{delivery['id']}/preview"
    masked = stage.client.get("operator", path)
    assert [n["raw"] for n in masked["lines"]] == ["某某某某", "某某某00000000000", "某某某00000000000"]
    assert stage.client.get("operator", path, show=True)["lines"][1]["raw"] == "王小明15400001234"
    with pytest.raises(ApiError, match="403"):
        stage.client.get("officer1", path)
    looks = stage.client.get("auditor", "/audit/events", object_id=delivery["id"], limit=500)
    assert [e["facts"]["shown"] for e in looks if e["event"] == "delivery:look"] == [False, True]
    assert "15400001234" not in str(looks)


def test_a_recipe_that_does_not_hold_comes_back_as_a_question_that_names_the_entries(stage: stages.Embedded) -> None:
    resource = register(stage.client, "方案有误")
    stopped = deliver(stage, resource, "只有一句话\n又一句话\n第三句话\n".encode())
    delivery = stopped["deliveries"][0]["id"]
    wrong = {"recipe": {"encoding": 7, "nonsense": True, "columns": [{"name": "a", "type": "number"}]}}
    stage.client.post("operator", f"/deliveries/{delivery}/recipe", wrong)
    stage.settle()
    found = stage.client.get("operator", f"/deliveries/{delivery}")
    assert (found["state"], found["error"]["code"]) == ("needs_recipe", "reading.recipe_invalid")
    assert found["error"]["detail"]["fields"] == ["columns.0.type", "encoding", "nonsense"]


# -- grades looked at again


def test_an_order_has_the_published_rows_graded_again_by_the_real_rules(stage: stages.Embedded) -> None:
    resource = register(stage.client, "重新分级")
    deliver(stage, resource, table(range(30)))
    publish(stage, resource)
    stage.settle()
    asked = stage.client.post("operator", f"/resources/{resource}/regrade", {"reason": "主管部门要求复核"})
    assert (asked["state"], asked["mode"]) == ("received", "regrade")
    stage.settle()
    found = stage.client.get("health", f"/resources/{resource}")
    assert [(d["mode"], d["state"]) for d in found["deliveries"]] == [("regrade", "current"), ("replace", "superseded")]
    first, second = found["versions"]
    assert first["lake_version"] == second["lake_version"], "no row is written"
    assert first["lake_digest"] == second["lake_digest"]
    history = stage.client.get("operator", f"/resources/{resource}/history", column="区")
    assert [(h["version"], h["confirmed"]) for h in history] == [(1, True), (2, True)]


def test_a_new_edition_of_the_grading_policy_has_published_versions_graded_again(stage: stages.Embedded) -> None:
    resource = register(stage.client, "新版规则")
    deliver(stage, resource, table(range(30)))
    publish(stage, resource)
    stage.settle()
    assert resource not in upkeep.run(stage.platform).regraded
    shipped = (Path(editions.HOME) / "grading" / "2026-01.yaml").read_text(encoding="utf-8")
    stage.client.sign_in("officer2", stage.password)
    text = shipped.replace('"2026-01"', '"2026-02"', 1).replace("from: 2026-01-01", "from: 2026-02-01", 1)
    proposed = stage.client.post("officer1", "/policies", {"text": text})
    stage.client.post("officer2", f"/policies/{proposed['id']}/activate")
    assert resource in upkeep.run(stage.platform).regraded
    assert resource not in upkeep.run(stage.platform).regraded, "asked for once"
    stage.settle()
    found = stage.client.get("health", f"/resources/{resource}")
    assert [(d["mode"], d["state"]) for d in found["deliveries"]] == [("regrade", "current"), ("replace", "superseded")]
    assert found["versions"][-1]["grading"]["edition"] == "2026-02"
    assert resource not in upkeep.run(stage.platform).regraded


# -- quarantine


def test_quarantine_is_read_masked_by_default_and_every_look_is_on_record(stage: stages.Embedded) -> None:
    resource = register(stage.client, "隔离行")
    rows = table(range(200)) + "7,东湖区,7,王小明15400001234\n".encode()
    found = deliver(stage, resource, rows)
    assert found["versions"][0]["rows_quarantined"] == 1, found["deliveries"][0]
    path = f"/resources/{resource}/quarantine"
    masked = stage.client.get("health", path, version=1)
    assert not masked["shown"]
    assert masked["rows"][0]["raw"] == "0,某某某,0,某某某00000000000"
    assert masked["rows"][0]["line"] == 202
    assert masked["rows"][0]["reason"]
    assert "15400001234" in stage.client.get("operator", path, version=1, show=True)["rows"][0]["raw"]
    with pytest.raises(ApiError, match="403"):
        stage.client.get("auditor", path, version=1)
    stage.client.sign_in("police", stage.password)
    with pytest.raises(ApiError, match="404"):
        stage.client.get("police", path, version=1)
    events = stage.client.get("auditor", "/audit/events", object_id=resource, limit=500)
    looks = [e["facts"]["shown"] for e in events if e["event"] == "quarantine:read"]
    assert looks == [False, True]
    assert "15400001234" not in str(events)


def test_two_versions_are_compared(stage: stages.Embedded) -> None:
    resource = register(stage.client, "对比")
    deliver(stage, resource, table(range(30)))
    rows = "".join(f"{i},{i}.5,154{i:08d},x\n" for i in range(40))
    deliver_anew(stage, resource, ("编号,数量,联系电话,备注\n" + rows).encode())
    found = stage.client.get("operator", f"/resources/{resource}/comparison", before=1, after=2)
    assert (found["rows_before"], found["rows_after"]) == (30, 40)
    assert ([c["name"] for c in found["added"]], [c["name"] for c in found["removed"]]) == (
        ["联系电话", "备注"],
        ["区"],
    )
    changed = {c["name"]: (c["before"], c["after"]) for c in found["changed"]}
    assert (changed["数量"][0]["type"], changed["数量"][1]["type"]) == ("integer", "decimal")


def test_nothing_of_a_refused_upload_stays_in_the_inbox(stage: stages.Embedded, tmp_path: Path) -> None:
    before = sorted(p.name for p in stage.platform.settings.inbox.iterdir())
    resource = register(stage.client, "他人交付")
    stage.client.sign_in("police", stage.password)
    path = tmp_path / "x.csv"
    path.write_text(HEADER)
    with pytest.raises(ApiError, match="404"):
        stage.client.upload("police", f"/resources/{resource}/deliveries", path)
    assert sorted(p.name for p in stage.platform.settings.inbox.iterdir()) == before
