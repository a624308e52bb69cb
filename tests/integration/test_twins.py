"""Simulated twins: bound to the version they imitate, stale when it changes, taken away with checksums, fed back."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import polars as pl
import pytest

from api.demo import stages
from api.demo.client import ApiError
from pipelines.registry import HANDLERS
from sandbox.catalog import repository, twins
from sandbox.exports.feedback import METADATA
from sandbox.exports.release import verify
from sandbox.kernel import cancellation, jobs
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition, NotFound, NotPermitted
from sandbox.kernel.steps import Here, Step
from tests.factories import PASSWORD, World
from tests.pages import Person, words_of

NAME = "停车记录"
DECLARED = {
    "columns": {
        "编号": {"semantic": "key", "comment": "记录编号"}, "区": {"semantic": "category", "comment": "所在区"},
        "时长": {"semantic": "number", "comment": "分钟"}, "车主": {"semantic": "person_name", "comment": "登记的车主"},
        "费用": {"semantic": "amount"}, "日期": {"semantic": "date"},
    },
    "engine": "tree",
}  # fmt: skip
PEOPLE = ["planted甲", "planted乙"]


def content(rows: int, seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    areas = rng.choice(["东区", "西区", "南区", "北区"], rows, p=[0.4, 0.3, 0.2, 0.1])
    spent, cost, day = rng.integers(1, 500, rows), rng.gamma(2, 9, rows).round(2), rng.integers(1, 29, rows)
    lines = [
        f"P{n:05d},{areas[n]},{spent[n]},{PEOPLE[n % 2]}{n},{cost[n]},2024-0{day[n] % 9 + 1}-{day[n]:02d}"
        for n in range(rows)
    ]
    return ("编号,区,时长,车主,费用,日期\n" + "\n".join(lines) + "\n").encode()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stages.Embedded]:
    with stages.embedded(tmp_path_factory.mktemp("twins") / "home") as made:
        for login in ("health", "operator", "auditor", "officer1"):
            made.client.sign_in(login, made.password)
        made.client.post("", "/registrations", {
            "organisation": "停车数据公司", "uscc": "91110000600037341L", "login": "parking", "person": "经办人",
            "password": PASSWORD,
        })  # fmt: skip
        made.client.sign_in("parking", PASSWORD)
        yield made


@pytest.fixture(scope="module")
def table(stage: stages.Embedded) -> str:
    """A published table with its first twin; returns its id."""
    body = {"name": NAME, "description": "停车时长", "registration_code": "SF-P", "update_cycle": "每月",
            "declared": DECLARED}  # fmt: skip
    resource = str(stage.client.post("health", "/resources", body)["id"])
    deliver(stage, resource, content(600))
    return resource


def deliver(stage: stages.Embedded, resource: str, data: bytes) -> None:
    path = stage.platform.settings.home / "停车.csv"
    path.write_bytes(data)
    stage.client.upload("health", f"/resources/{resource}/deliveries", path, mode="replace")
    stage.executor.drain()
    if stage.client.get("health", f"/resources/{resource}")["deliveries"][0]["state"] == "proposed":
        stage.client.post("health", f"/resources/{resource}/confirm")
        stage.client.post("operator", f"/resources/{resource}/publish")
    stage.executor.drain()


def events(stage: stages.Embedded, name: str) -> list[dict[str, Any]]:
    return [e for e in stage.client.get("auditor", "/audit/events", limit=200) if e["event"] == name]


def twins_of(stage: stages.Embedded, resource: str, login: str = "operator") -> dict[str, Any]:
    found: dict[str, Any] = stage.client.get(login, f"/catalogue/{resource}/twins")
    return found


def answer(stage: stages.Embedded, login: str, path: str) -> Any:
    headers = {"Authorization": f"Bearer {stage.client.tokens[login]}"}
    return stage.client.http.request("GET", f"/api/v1{path}", headers=headers)


# ---- the record ----


def test_a_twin_says_what_it_imitates_who_made_it_and_how(stage: stages.Embedded, table: str) -> None:
    found = twins_of(stage, table)
    first = found["twins"][-1]
    assert (first["number"], first["version"], first["published"], first["outcome"]) == (1, 1, True, "pass")
    assert first["engine"] == "tree" and first["rows"] == 600
    assert first["job_id"].startswith("job-") and len(first["content_sha256"]) == 64
    assert {c["engine"] for c in first["candidates"]} == {"tree"}
    report = stage.client.get("operator", f"/catalogue/{table}/simulated/report", number=1)
    signed = stage.client.download("operator", f"/catalogue/{table}/simulated/files/manifest?number=1")
    assert hashlib.sha256(signed).hexdigest() == report["manifest_sha256"] == first["manifest_sha256"]


def test_the_platform_signs_the_manifest(stage: stages.Embedded, table: str) -> None:
    import base64

    from sandbox.kernel.keys import verify_signature

    report = stage.client.get("parking", f"/catalogue/{table}/simulated/report")
    signature = base64.b64decode(report["signature"])
    key = stage.platform.signing_key.public_pem
    assert verify_signature(key, signature, report["manifest_sha256"].encode())
    assert not verify_signature(key, signature, b"0" * 64)


# ---- previews ----


def test_a_merchant_pages_through_rows_that_hold_nobody(stage: stages.Embedded, table: str) -> None:
    first = stage.client.get("parking", f"/catalogue/{table}/simulated", limit=200)
    last = stage.client.get("parking", f"/catalogue/{table}/simulated", limit=200, offset=500)
    assert (first["total"], len(first["rows"]), len(last["rows"])) == (600, 200, 100)
    assert first["label"] == "仿真数据，非真实记录" and first["columns"][:4] == ["编号", "区", "时长", "车主"]
    assert "planted" not in json.dumps([first, last], ensure_ascii=False)


def test_the_dictionary_says_how_each_column_was_made(stage: stages.Embedded, table: str) -> None:
    fields = {f["name"]: f for f in stage.client.get("parking", f"/catalogue/{table}/simulated/fields")["fields"]}
    assert (fields["车主"]["semantic"], fields["车主"]["source"]) == ("person_name", "provider")
    assert (fields["区"]["source"], fields["区"]["made"]["zh"]) == ("learned", "按真实分布的统计特征抽样")
    assert (fields["时长"]["type"], fields["编号"]["meaning"]["zh"]) == ("integer", "编号")


def test_distributions_are_those_of_the_rows_one_can_download(stage: stages.Embedded, table: str) -> None:
    found = stage.client.get("parking", f"/catalogue/{table}/simulated/distributions")["columns"]
    shown = {c["name"]: c for c in found}
    rows = pl.read_parquet(io.BytesIO(stage.client.download("parking", f"/catalogue/{table}/simulated/files/parquet")))
    counted = dict(rows["区"].drop_nulls().value_counts().iter_rows())
    assert dict(shown["区"]["labels"]) == counted
    assert sum(b[2] for b in shown["时长"]["bins"]) == rows["时长"].drop_nulls().len()
    assert shown["时长"]["largest"] == rows["时长"].max()


def test_measured_values_and_the_whole_manifest_are_for_those_who_govern(stage: stages.Embedded, table: str) -> None:
    mine = stage.client.get("parking", f"/catalogue/{table}/simulated/report")
    theirs = stage.client.get("operator", f"/catalogue/{table}/simulated/report")
    assert [g["outcome"] for g in mine["gates"]] == [g["outcome"] for g in theirs["gates"]]
    assert all(g["measured"] is None for g in mine["gates"])
    assert any(g["measured"] is not None for g in theirs["gates"])
    assert {"source", "candidates"} <= set(theirs["manifest"])
    assert not {"source", "candidates"} & set(mine["manifest"])
    listed = {f["format"] for f in stage.client.get("parking", f"/catalogue/{table}/simulated/files")["files"]}
    assert "report-merchant" in listed and "report-operator" not in listed
    with pytest.raises(ApiError) as refused:
        stage.client.download("parking", f"/catalogue/{table}/simulated/files/report-operator")
    assert refused.value.status == 403
    assert b"<html" in stage.client.download("officer1", f"/catalogue/{table}/simulated/files/report-operator")
    assert "candidates" not in twins_of(stage, table, "parking")["twins"][0]
    assert twins_of(stage, table, "parking")["job"] is None


# ---- downloads ----


def test_every_file_is_the_one_its_checksum_names(stage: stages.Embedded, table: str) -> None:
    listed = stage.client.get("parking", f"/catalogue/{table}/simulated/files")["files"]
    assert {f["format"] for f in listed} == {
        "csv", "csv-gb18030", "xlsx", "parquet", "ddl-postgresql", "ddl-mysql", "manifest", "report-merchant",
    }  # fmt: skip
    before = len(events(stage, "simulated:download"))
    for file in listed:
        got = answer(stage, "parking", f"/catalogue/{table}/simulated/files/{file['format']}")
        assert got.status_code == 200
        assert hashlib.sha256(got.content).hexdigest() == file["sha256"] == got.headers["x-checksum-sha256"]
        assert len(got.content) == file["bytes"] == int(got.headers["content-length"])
        name = unquote(got.headers["content-disposition"].partition("filename*=UTF-8''")[2])
        assert name == file["name"] and name.startswith("停车记录_仿真数据_第")
        assert got.headers["repr-digest"].startswith("sha-256=:") and got.headers["x-simulated"] == "true"
        assert b"planted" not in got.content
    taken = events(stage, "simulated:download")
    assert len(taken) == before + len(listed)
    assert {e["facts"]["sha256"] for e in taken} >= {f["sha256"] for f in listed}


@pytest.mark.parametrize(
    "path", ["files/exe", "files/..%2f..%2fmetadata.sqlite", "files/csv?number=99", "distributions?number=99"]
)
def test_what_is_not_there_is_not_found(stage: stages.Embedded, table: str, path: str) -> None:
    assert answer(stage, "parking", f"/catalogue/{table}/simulated/{path}").status_code == 404


def test_visitors_get_nothing(stage: stages.Embedded, table: str) -> None:
    for path in ("", "/fields", "/distributions", "/report", "/files", "/files/csv"):
        assert stage.client.http.get(f"/api/v1/catalogue/{table}/simulated{path}").status_code == 401


# ---- again and again ----


def test_the_same_data_and_seed_are_no_new_release_and_another_seed_is(stage: stages.Embedded, table: str) -> None:
    before = twins_of(stage, table)
    stage.client.post("operator", f"/resources/{table}/twins", {})
    stage.executor.drain()
    same = twins_of(stage, table)
    assert same["twins"][0]["content_sha256"] == before["twins"][0]["content_sha256"]
    assert (same["current"], same["releases"]) == (before["current"] + 1, before["releases"])
    stage.client.post("operator", f"/resources/{table}/twins", {"seed": 7, "rows": 450})
    stage.executor.drain()
    other = twins_of(stage, table)
    assert (other["twins"][0]["seed"], other["twins"][0]["rows"], other["releases"]) == (7, 450, before["releases"] + 1)
    old = stage.client.get("parking", f"/catalogue/{table}/simulated", number=before["current"], limit=1)
    assert (old["twin"], old["total"], old["stale"]) == (before["current"], before["twins"][0]["rows"], [])


def test_a_new_version_makes_a_new_twin_as_the_last_was_asked_for(stage: stages.Embedded, table: str) -> None:
    stage.client.post("operator", f"/resources/{table}/twins", {"seed": 9, "rows": 300})
    stage.executor.drain()
    deliver(stage, table, content(700, seed=3))
    found = twins_of(stage, table)
    newest = found["twins"][0]
    version = stage.client.get("operator", f"/resources/{table}")["current_version"]
    assert (newest["version"], newest["seed"], newest["rows"], found["stale"]) == (version, 9, 300, [])


def test_only_an_operator_makes_one_and_only_one_at_a_time(stage: stages.Embedded, table: str) -> None:
    for login in ("parking", "health", "officer1", "auditor"):
        with pytest.raises(ApiError) as refused:
            stage.client.post(login, f"/resources/{table}/twins", {})
        assert refused.value.status == 403
    job = stage.client.post("operator", f"/resources/{table}/twins", {})
    with pytest.raises(ApiError) as busy:
        stage.client.post("operator", f"/resources/{table}/twins", {})
    assert busy.value.code == "simulated.in_progress"
    assert twins_of(stage, table)["job"]["id"] == job["id"]
    stage.executor.drain()
    assert twins_of(stage, table)["job"] is None


# ---- progress and cancelling ----


class CancelledMidway(Here):
    """Steps run here; once the engines work, an operator cancels the job."""

    def __init__(self, stage: stages.Embedded, job_id: str) -> None:
        self.stage, self.job_id, self.reached = stage, job_id, list[str]()

    def run(self, step: Step[Any]) -> Any:
        self.reached.append(step.name)
        if step.name == "simulate":
            self.stage.client.post("operator", f"/jobs/{self.job_id}/cancel")
        return step()


def test_a_cancelled_simulation_stops_between_engines_and_leaves_nothing(stage: stages.Embedded, table: str) -> None:
    before = twins_of(stage, table)
    job = stage.client.post("operator", f"/resources/{table}/twins", {"seed": 11})
    steps = CancelledMidway(stage, job["id"])
    assert jobs.execute(stage.platform, HANDLERS, job["id"], steps) == jobs.CANCELLING
    assert steps.reached == ["simulate"], "the engines' next word ended it: nothing was published"
    cancellation.stop_cancelled(stage.platform, stage.executor, HANDLERS)
    found = twins_of(stage, table)
    assert (found["job"]["state"], found["twins"]) == ("cancelled", before["twins"])
    stage.client.post("operator", f"/jobs/{job['id']}/retry")
    stage.executor.drain()
    assert twins_of(stage, table)["twins"][0]["seed"] == 11


# ---- what does not pass ----


def test_what_fails_its_gates_is_shown_to_those_who_govern_and_to_nobody_else(stage: stages.Embedded) -> None:
    """Two labels only: nobody can prove that copies would be noticed, and an engine was prescribed."""
    columns = {"编号": {"semantic": "key"}, "性别": {"semantic": "category"}}
    body = {"name": "两值", "description": "两种取值", "registration_code": "SF-2", "update_cycle": "每月",
            "declared": {"columns": columns, "engine": "tree"}}  # fmt: skip
    resource = str(stage.client.post("health", "/resources", body)["id"])
    deliver(stage, resource, ("编号,性别\n" + "".join(f"N{n:04d},{'男女'[n % 2]}\n" for n in range(300))).encode())
    found = twins_of(stage, resource)
    assert (found["job"]["state"], found["job"]["error_code"]) == ("failed", "simulation.blocked")
    (refused,) = found["twins"]
    assert (refused["published"], refused["outcome"], found["current"], found["releases"]) == (False, "error", None, 0)
    assert refused["candidates"][0]["failed"] and events(stage, "simulated:fail")
    assert twins_of(stage, resource, "parking")["twins"] == []
    for path in ("", "/report", "/files", "/files/csv"):
        assert answer(stage, "parking", f"/catalogue/{resource}/simulated{path}").status_code == 409


# ---- feedback ----


def test_feedback_is_a_signed_package_with_the_catalogues_own_words(
    stage: stages.Embedded, table: str, tmp_path: Path
) -> None:  # fmt: skip
    headers = {"Authorization": f"Bearer {stage.client.tokens['operator']}"}
    got = stage.client.http.post(f"/api/v1/resources/{table}/feedback", headers=headers, json={})
    again = stage.client.http.post(f"/api/v1/resources/{table}/feedback", headers=headers, json={})
    assert got.status_code == 200 and got.content == again.content
    path = tmp_path / "package.zip"
    path.write_bytes(got.content)
    assert verify(path, stage.platform.signing_key.public_pem) == []
    with zipfile.ZipFile(path) as box:
        members = {n: box.read(n) for n in box.namelist()}
    described = json.loads(members[METADATA])
    core = described["核心元数据"]
    assert core["信息资源名称"] == f"{NAME}（仿真数据）" and core["关联资源代码"] == "SF-P"
    assert [i["信息项名称"] for i in core["信息项信息"]] == ["编号", "区", "时长", "车主", "费用", "日期"]
    assert described["依据"]["status"] == "assumed" and set(described["待补充"]) >= {"共享属性", "信息资源分类"}
    for line in members["SHA256SUMS"].decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(members[name]).hexdigest() == digest
    assert any(n.endswith(".csv") and "仿真数据" in n for n in members)
    shared = events(stage, "simulated:share")
    assert shared[-1]["facts"]["sha256"] == hashlib.sha256(got.content).hexdigest() or len(shared) >= 2
    for login in ("parking", "health", "officer1"):
        with pytest.raises(ApiError) as refused:
            stage.client.post(login, f"/resources/{table}/feedback", {})
        assert refused.value.status == 403


# ---- the portal ----


@pytest.fixture(scope="module")
def operator(stage: stages.Embedded) -> Person:
    found = Person(stage.client.http.app)  # type: ignore[attr-defined]
    found.get("/login")
    found.post("/login", account="operator", password=stage.password)
    found.get("/account")
    return found


def test_a_merchant_reads_the_tabs_and_takes_a_file(stage: stages.Embedded, table: str) -> None:
    merchant = Person(stage.client.http.app, "parking")  # type: ignore[attr-defined]
    tabs = ("dictionary", "rows", "shapes", "about", "files")
    pages = {tab: merchant.get(f"/catalog/{table}?tab={tab}").text for tab in tabs}
    assert "由程序按规则生成，不对应任何真实对象" in pages["dictionary"]
    assert pages["shapes"].count('class="histogram"') == 3 and "东区" in pages["shapes"]
    assert "没有保留的特征" in pages["about"] and "0.95" not in words_of(pages["about"]), "no threshold for merchants"
    listed = stage.client.get("parking", f"/catalogue/{table}/simulated/files")["files"]
    assert all(f["sha256"] in pages["files"] for f in listed if not f["format"].startswith("report-"))
    assert all("仿真" in page and "planted" not in page for page in pages.values())
    got = merchant.get(f"/catalog/{table}/files/xlsx")
    assert got.content[:2] == b"PK" and "attachment" in got.headers["content-disposition"]
    report = merchant.get(f"/catalog/{table}/report")
    assert "sandbox" in report.headers["content-security-policy"] and "planted" not in report.text
    assert merchant.get(f"/resources/{table}/twins").status_code in (403, 404)
    assert merchant.post(f"/resources/{table}/twins", rows="10").status_code in (403, 404)


def test_an_operator_makes_watches_cancels_and_makes_one_again(
    stage: stages.Embedded, table: str, operator: Person
) -> None:  # fmt: skip
    place = f"/resources/{table}/twins"
    operator.get(place)
    assert operator.post(place, rows="abc", seed="").status_code == 422
    assert operator.post(place, rows="1,200", seed="21").status_code == 303
    page = operator.get(place).text
    assert "正在生成新一版" in page and "取消生成" in page and f'action="{place}"' not in page
    watched = operator.get(place, headers={"hx-request": "true"}).text
    assert "hx-get" in watched and "<html" not in watched
    job = twins_of(stage, table)["job"]["id"]
    assert operator.post(f"{place}/cancel", job=job).status_code == 303
    cancellation.stop_cancelled(stage.platform, stage.executor, HANDLERS)
    assert "重试" in operator.get(place).text
    operator.post(f"{place}/retry", job=job)
    stage.executor.drain()
    page = operator.get(place).text
    assert "1,200" in page and "与已发布数据一致" in page and "0.95" in page, "operators see thresholds"
    package = operator.post(f"{place}/feedback")
    assert package.content[:2] == b"PK"


# ---- staleness, by the records alone ----


def stale(world: World, resource_id: str) -> tuple[str, ...]:
    with world.system() as unit:
        return twins.standing(unit.session, repository.get(unit.session, resource_id)).stale


def test_a_twin_is_stale_from_the_moment_a_new_version_is_published(any_world: World) -> None:
    resource_id = any_world.published()
    assert stale(any_world, resource_id) == ()
    any_world.deliver(resource_id, any_world.department)
    any_world.take_in(resource_id, columns={"身份证号": 3, "区": 1, "费用": 3})
    assert stale(any_world, resource_id) == (), "what waits beside the published version changes nothing"
    any_world.publish(resource_id)
    assert stale(any_world, resource_id) == ("version",)
    with any_world.system() as unit:
        twins.record(unit, resource_id, None, any_world.made(unit, resource_id))
    assert stale(any_world, resource_id) == ()


def test_a_higher_grade_on_the_same_rows_makes_the_twin_stale(any_world: World) -> None:
    resource_id = any_world.published()
    with any_world.system() as unit:
        repository.columns(unit.session, resource_id)[2].level = 4
    assert stale(any_world, resource_id) == ("grades",)


def test_where_a_source_lies_does_not_make_a_twin_stale(any_world: World) -> None:
    resource_id = any_world.published()
    with any_world.system() as unit:
        resource = repository.get(unit.session, resource_id)
        resource.declared = {**resource.declared, "source": {"kind": "drop"}}
    assert stale(any_world, resource_id) == ()
    with any_world.system() as unit:
        resource = repository.get(unit.session, resource_id)
        resource.declared = {**resource.declared, "columns": {"区": {"semantic": "district"}}}
    assert stale(any_world, resource_id) == ("grades",)


def test_a_twin_whose_keys_come_from_an_earlier_parent_is_stale_and_made_again(any_world: World) -> None:
    parent, child = any_world.published(name="居民"), any_world.published(name="就诊")
    with any_world.system() as unit:
        record = repository.get(unit.session, child)
        record.declared = {"references": [{"column": "身份证号", "resource": "居民", "to": "身份证号"}]}
        made = any_world.made(unit, child)
        twins.record(unit, child, None, twins.Made(**{f: getattr(made, f) for f in made.__dataclass_fields__}
                                                   | {"parents": {parent: 1}}))  # fmt: skip
    assert stale(any_world, child) == ()
    with any_world.system() as unit:
        twins.record(unit, parent, None, any_world.made(unit, parent))
        above = repository.get(unit.session, parent)
        assert [r.id for r in twins.followers(unit.session, above)] == [child]
        above.declared = {"references": [{"column": "身份证号", "resource": "就诊", "to": "身份证号"}]}
        assert twins.followers(unit.session, above) == [], "two tables that refer to each other do not chase each other"
    assert stale(any_world, child) == ("parents",)


def test_a_late_twin_of_an_older_version_does_not_replace_a_newer_one(any_world: World) -> None:
    resource_id = any_world.published()
    with any_world.system() as unit:
        late = any_world.made(unit, resource_id, lake_version=7)
    any_world.deliver(resource_id, any_world.department)
    any_world.take_in(resource_id, columns={"身份证号": 3, "区": 1, "费用": 3})
    any_world.publish(resource_id)
    with any_world.system() as unit:
        twins.record(unit, resource_id, None, any_world.made(unit, resource_id))
        twins.record(unit, resource_id, None, late)
        record = repository.get(unit.session, resource_id)
        current = twins.current(unit.session, record)
        assert current is not None and (current.version, record.simulated_version) == (2, 0)
        assert twins.chosen(unit.session, record, 3).version == 1, "it stays readable"


def test_a_refused_one_is_kept_without_rows_and_changes_nothing(any_world: World) -> None:
    resource_id = any_world.published()
    with any_world.system() as unit:
        twins.record(unit, resource_id, None, any_world.made(unit, resource_id, outcome="block", lake_version=None))
        record = repository.get(unit.session, resource_id)
        assert [t.published for t in twins.every(unit.session, resource_id)] == [False, True]
        assert twins.standing(unit.session, record).releases == 1
        assert twins.chosen(unit.session, record).number == 1
        with pytest.raises(NotFound):
            twins.chosen(unit.session, record, 2)


def test_publication_asks_once_for_what_waits_already(any_world: World) -> None:
    resource_id = any_world.published()
    with any_world.system() as unit:
        twins.renew(unit, resource_id)
        twins.renew(unit, resource_id)
        waiting = [j for j in jobs.of_subject(unit.session, "resource", resource_id) if j.kind == twins.JOB]
    assert [j.state for j in waiting] == ["queued"]


def test_all_that_is_stale_or_missing_is_asked_for_and_nothing_else(any_world: World) -> None:
    fresh, old, never = any_world.published(), any_world.published(), any_world.delivered()
    any_world.take_in(never)
    any_world.publish(never)
    with any_world.system() as unit:
        repository.columns(unit.session, old)[0].level = 4
        for job in jobs.outbox(unit.session):
            job.state = jobs.SUCCEEDED
    with any_world.by(any_world.operator) as unit:
        assert set(twins.renew_stale(unit)) == {old, never}
        assert twins.renew_stale(unit) == [], "they are under way"
    with pytest.raises(NotPermitted), any_world.by(any_world.merchant) as unit:
        twins.renew_stale(unit)
    assert fresh not in {old, never}


@pytest.mark.parametrize("asked", [{"rows": 0}, {"rows": twins.MOST_ROWS + 1}, {"seed": -1}, {"seed": 2**32}])
def test_impossible_requests_are_refused(world: World, asked: dict[str, int]) -> None:
    resource_id = world.published()
    with pytest.raises(BadInput), world.by(world.operator) as unit:
        twins.ask(unit, resource_id, **asked)


def test_a_table_out_of_the_catalogue_gets_no_twin(world: World) -> None:
    resource_id = world.delivered()
    with pytest.raises(InvalidTransition), world.by(world.operator) as unit:
        twins.ask(unit, resource_id)
    other = world.published()
    with pytest.raises(Conflict), world.by(world.operator) as unit:  # the one of its publication still waits
        twins.ask(unit, other)
