"""One true story, from a raw file to a signed release, through the public API. Each step says what it expects."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from api.demo.client import ApiError, Client, Stage

STORY_TABLES = ("居民登记", "门诊就诊")
"""the two departments' tables: police and health"""
SCENARIO = "各区门诊负荷分析"
CONTEXT = {
    "purpose": "为社区医院排班提供参考", "population": "在本市门诊就诊的居民，按月",
    "controls": "人次取整，均值保留到元",
}  # fmt: skip
"""what reviewers are told of the product"""
PHONE_IN_REMARK = "15400001234"
"""a mobile number in a range that was never allotted"""


class Unexpected(Exception):
    """A step did not go as the story says."""


@dataclass
class Told:
    """One step, told: what was done, what was seen, which audit event it left."""

    chapter: str
    what: str
    seen: str
    event: str


@dataclass
class Scene:
    """What later steps need to know of earlier ones."""

    stage: Stage
    tell: Callable[[Told], None]
    chapter: str = ""
    resources: dict[str, str] = field(default_factory=dict)
    merchant: str = ""
    application: str = ""
    grants: dict[str, str] = field(default_factory=dict)
    workspace: str = ""
    artefacts: list[str] = field(default_factory=list)
    export: str = ""
    package: bytes = b""

    @property
    def client(self) -> Client:
        return self.stage.client

    def say(self, what: str, seen: Any, *, about: str = "") -> None:
        """Tell a step, with the newest audit event about the object it touched."""
        self.tell(Told(self.chapter, what, str(seen), self.last_event(about) if about else ""))

    def last_event(self, object_id: str) -> str:
        events = self.client.get("auditor", "/audit/events", object_id=object_id, limit=500)
        newest = [e for e in events if e["event"] != "audit:read"][-1]
        return f"#{newest['seq']} {newest['event']} ({newest['role']})"

    def refused(self, what: str, status: set[int], action: Callable[[], Any]) -> None:
        """A step that must be refused with one of these statuses."""
        try:
            action()
        except ApiError as error:
            if error.status not in status:
                raise Unexpected(f"{what}: {error}") from error
            self.tell(Told(self.chapter, what, f"拒绝 refused {error.status} {error.code}", "access:refused"))
            return
        raise Unexpected(f"{what}: was not refused")


def expect(condition: bool, what: str) -> None:
    """Stop the story when a step is not as it should be."""
    if not condition:
        raise Unexpected(what)


def play(stage: Stage, tell: Callable[[Told], None]) -> None:
    """Play the whole story. Raises `Unexpected` or `ApiError` at the first step that is not as told."""
    scene = Scene(stage, tell)
    for chapter, act in ACTS:
        scene.chapter = chapter
        act(scene)


def sign_in_everybody(scene: Scene) -> None:
    for login in ("operator", "officer1", "officer2", "auditor", "police", "health"):
        scene.client.sign_in(login, scene.stage.password)
    state = scene.client.get("", "/platform")
    if state["tier"] != "strong":
        scene.client.post("operator", "/platform/isolation",
                          {"tier": state["tier"], "reason": "演示市没有真实个人，按演示要求继续"})  # fmt: skip
    scene.say("各方登录 · everybody signs in", f"隔离等级 tier={state['tier']}")
    wrong = {"login": "operator", "password": "wrong-password"}
    scene.refused("错误密码 · a wrong password", {401}, lambda: scene.client.post("", "/session", wrong))


def govern(scene: Scene) -> None:
    """Two departments register and deliver; the pipeline ingests; a department confirms; the operator publishes."""
    tables = [t for t in scene.stage.files if t.name in STORY_TABLES]
    for table in sorted(tables, key=lambda t: STORY_TABLES.index(t.name)):
        _register_and_deliver(scene, table)
    scene.stage.settle()
    for table in tables:
        _confirm_and_publish(scene, table)
    scene.stage.settle()


def _register_and_deliver(scene: Scene, table: Any) -> None:
    known = {r["name"]: r for r in scene.client.get(table.login, "/resources")}
    resource = known.get(table.name) or scene.client.post(table.login, "/resources", table.registration)
    scene.resources[table.name] = resource["id"]
    scene.say(f"{table.department}登记“{table.name}” · registers", resource["state_label"], about=resource["id"])
    if not scene.client.get(table.login, f"/resources/{resource['id']}")["versions"]:
        made = scene.client.upload(table.login, f"/resources/{resource['id']}/deliveries", table.path)
        scene.say(f"交付 {table.path.name} · delivers", f"{table.path.stat().st_size:,} bytes", about=made["id"])


def _confirm_and_publish(scene: Scene, table: Any) -> None:
    resource_id = scene.resources[table.name]
    detail = scene.client.get(table.login, f"/resources/{resource_id}")
    if detail["state"] == "published":
        scene.say(f"“{table.name}”此前已发布 · published before", detail["state_label"], about=resource_id)
        return
    delivery = detail["deliveries"][0]
    expect(delivery["state"] == "proposed", f"{table.name}: {delivery['state']}, expected proposed")
    version = detail["versions"][-1]
    expect(version["rows_in"] == version["rows_loaded"] + version["rows_quarantined"], "rows in = loaded + quarantined")
    expect(version["rows_quarantined"] > 0, "the city's files hold rows that must be quarantined")
    assessed = [i for i in version["quality"]["indicators"] if i["assessed"]]
    levels = {c["name"]: c["level"] for c in detail["proposed"]}
    expect(levels["身份证号"] == 4, "a resident ID is level 4")
    scene.say(
        f"“{table.name}”入湖、测质量、提分级 · ingested, measured, graded",
        f"{version['rows_loaded']} 行 + 隔离 {version['rows_quarantined']} 行；"
        f"已评价指标 {len(assessed)}；级别 {version['level']}",
        about=delivery["id"],
    )
    scene.client.post(table.login, f"/resources/{resource_id}/confirm")
    scene.client.post("operator", f"/resources/{resource_id}/publish")
    scene.say(f"{table.department}确认分级，运营机构发布 · confirmed and published", "已发布", about=resource_id)


def simulate(scene: Scene) -> None:
    """Every published table has a simulated twin that passed its gates and can be browsed."""
    for name, resource_id in scene.resources.items():
        entry = scene.client.get("operator", f"/catalogue/{resource_id}")
        expect(entry["simulated"], f"{name} has no simulated twin")
        rows = scene.client.get("operator", f"/catalogue/{resource_id}/simulated", limit=5)
        expect(len(rows["rows"]) == 5 and "仿真" in rows["label"], "simulated rows are browsable and labelled")
        engine = entry["simulation"]["engine"]["used"]
        scene.say(
            f"“{name}”的仿真数据通过检验 · passed its gates",
            f"引擎 {engine}，{len(rows['columns'])} 列",
            about=resource_id,
        )


def admit(scene: Scene) -> None:
    """A merchant registers, applies to enter, is checked and admitted; it sees simulated rows and no real value."""
    scene.merchant = f"shop{secrets.token_hex(3)}"
    body = {"organisation": f"数智科技（{scene.merchant}）有限公司", "uscc": _new_uscc(), "login": scene.merchant,
            "person": "产品经理", "password": scene.stage.password}  # fmt: skip
    scene.client.post("", "/registrations", body)
    scene.client.sign_in(scene.merchant, scene.stage.password)
    me = scene.merchant
    scene.refused(
        "未进驻就申请用数 · applying before admission",
        {403},
        lambda: scene.client.post(me, "/applications", _application(scene)),
    )
    onboarding = scene.client.post(me, "/onboardings", {
        "contact": "产品经理", "business": "城市健康服务",
        "materials": {"licence": "营业执照.pdf", "security_capability": "安全证明.pdf", "commitment": "承诺书.pdf"},
    })["id"]  # fmt: skip
    scene.refused(
        "缺材料提交 · submitting without a material",
        {409},
        lambda: scene.client.post(me, f"/onboardings/{onboarding}/submit"),
    )
    scene.client.post(me, f"/onboardings/{onboarding}/materials", {"materials": {"credit": "信用报告.pdf"}})
    scene.client.post(me, f"/onboardings/{onboarding}/submit")
    scene.client.post("operator", f"/onboardings/{onboarding}/decision", {"decision": "admit"})
    scene.say("数据商进驻：提交、核查、准予 · admitted", body["organisation"], about=onboarding)
    catalogue = scene.client.get(me, "/catalogue")
    expect(set(STORY_TABLES) <= {e["name"] for e in catalogue}, "the merchant sees the catalogue")
    visits = scene.resources["门诊就诊"]
    rows = scene.client.get(me, f"/catalogue/{visits}/simulated", limit=100)
    scene.say("浏览目录和仿真样例 · browses simulated rows", f"{len(rows['rows'])} 行，{rows['label']}", about=visits)
    scene.refused(
        "查看真实资源详情 · reading the real resource", {403, 404}, lambda: scene.client.get(me, f"/resources/{visits}")
    )


def _application(scene: Scene) -> dict[str, Any]:
    return {
        "scenario": SCENARIO, "purpose": "按区、按月分析门诊量和费用，为社区医院排班提供参考",
        "product_form": "aggregate", "audience": "public", "term_months": 12,
        "requested": {
            scene.resources["门诊就诊"]: {"身份证号": "与居民登记关联", "就诊日期": "按月统计", "费用": "统计次均费用"},
            scene.resources["居民登记"]: {"身份证号": "与门诊关联", "所属区": "统计维度", "所属街道": "统计维度"},
        },
    }  # fmt: skip


def authorise(scene: Scene) -> None:
    """The operator checks; one department approves, the other's clock runs out; the agreement is signed."""
    me, client = scene.merchant, scene.client
    scene.application = client.post(me, "/applications", _application(scene))["id"]
    path = f"/applications/{scene.application}"
    client.post(me, f"{path}/submit")
    scene.refused(
        "数据商自己核查 · checking one's own application",
        {403},
        lambda: client.post(me, f"{path}/check", {"decision": "pass"}),
    )
    client.post("operator", f"{path}/check", {"decision": "pass"})
    scene.say("运营机构核查通过 · the operator's check passes", "两个部门待审核", about=scene.application)
    approvals = {a["organisation_id"]: a for a in client.get("operator", path)["approvals"]}
    mine = client.get("health", "/me")["organisation_id"]
    other = next(a for o, a in approvals.items() if o != mine)
    client.post("health", f"/approvals/{approvals[mine]['id']}/decision", {"decision": "approve"})
    scene.say("卫健局审核同意 · one department approves", "同意", about=approvals[mine]["id"])
    _let_lapse(scene, other)
    approved = client.get(me, path)
    expect(approved["state"] == "approved_by_lapse", f"state {approved['state']}")
    client.post(me, f"{path}/sign")
    scene.stage.settle()
    active = client.get(me, path)
    expect(active["state"] == "active" and len(active["grants"]) == 2, "grants are active")
    scene.grants = {g["resource_id"]: g["id"] for g in active["grants"]}
    scene.say(
        "签署协议，授权生效 · agreement signed, grants active", f"{len(scene.grants)} 项授权", about=scene.application
    )


def _let_lapse(scene: Scene, approval: dict[str, Any]) -> None:
    """Move the city's clock to the last day (nothing happens), then past it (consent is deemed)."""
    due = datetime.fromisoformat(f"{approval['due_on']}T15:00:00+00:00")
    path = f"/applications/{scene.application}"
    scene.client.post("operator", "/platform/clock", {"to": due.isoformat()})
    scene.stage.settle()
    expect(scene.client.get("operator", path)["state"] == "approving", "on the last day nothing has lapsed")
    scene.client.post("operator", "/platform/clock", {"to": (due + timedelta(hours=2)).isoformat()})
    scene.stage.settle()
    events = scene.client.get("auditor", "/audit/events", object_id=approval["id"], limit=500)
    lapses = [e for e in events if e["event"] == "approval:lapse"]
    expect(len(lapses) == 1 and lapses[0]["role"] == "system", "exactly one lapse, by the system")
    scene.say(
        "公安局超期，视为同意 · deemed consent",
        f"期限 {approval['due_on']}（{lapses[0]['facts']['rule']}）",
        about=approval["id"],
    )


def job_spec(scene: Scene, dimensions: list[str], name: str) -> dict[str, Any]:
    """The merchant's job: visits joined with residents, counted by some dimensions and month."""
    return {
        "job": name, "edition": 1,
        "inputs": {"visit": {"grant": scene.grants[scene.resources["门诊就诊"]]},
                   "resident": {"grant": scene.grants[scene.resources["居民登记"]]}},
        "from": "visit", "join": [{"input": "resident", "on": {"身份证号": "身份证号"}}],
        "where": [
            {"column": "费用", "op": "between", "value": [0, 100000]},
            {"column": "就诊日期", "op": "not_null"},
            {"column": dimensions[0], "op": "not_null"},
        ],
        "derive": {"月份": {"month": "就诊日期"}}, "dimensions": [*dimensions, "月份"],
        "measures": {"人次": {"op": "count"}, "人数": {"op": "count_distinct", "of": "visit.身份证号"},
                     "次均费用": {"op": "mean", "of": "费用", "round": 0}},
        "output": {"kind": "aggregate", "format": "csv"},
    }  # fmt: skip


def develop(scene: Scene) -> None:
    """A workspace opens in its own jail: SQL on the twin gives rows, the same job on real data state and buckets."""
    me, client = scene.merchant, scene.client
    scene.workspace = client.post(me, "/workspaces", {"application_id": scene.application})["id"]
    scene.say("开通开发空间 · a workspace opens", "独立隔离", about=scene.workspace)
    sql = ('SELECT r."所属区", count(*) AS 人次 FROM "门诊就诊" v JOIN "居民登记" r USING ("身份证号") '
           'GROUP BY 1 ORDER BY 1')  # fmt: skip
    answer = client.post(me, f"/workspaces/{scene.workspace}/query", {"sql": sql})
    expect(answer["row_count"] > 1, "SQL on the simulated twin gives rows")
    scene.say(
        "在仿真数据上查询 · SQL on the twin", f"{answer['row_count']} 行 · {answer['label']}", about=scene.workspace
    )
    scene.refused(
        "读取主机文件 · reading a file of the host",
        {422},
        lambda: client.post(
            me, f"/workspaces/{scene.workspace}/query", {"sql": "SELECT * FROM read_text('/etc/passwd')"}
        ),
    )
    for dimensions, name in ((["所属街道"], "visits-by-street"), (["所属区"], "visits-by-district")):
        _run(scene, job_spec(scene, dimensions, name), name)


def _run(scene: Scene, spec: dict[str, Any], name: str) -> None:
    run = scene.client.post(scene.merchant, f"/workspaces/{scene.workspace}/runs", {"spec": spec})
    scene.stage.settle()
    done = scene.client.get(scene.merchant, f"/runs/{run['id']}")
    expect(done["state"] == "succeeded", f"run {name}: {done['state']} {done['outcome']}")
    told = set(done["outcome"])
    expect(told <= {"state", "step", "error_class", "duration", "rows", "text", "fix"}, f"a run says too much: {told}")
    scene.artefacts.append(done["artefact_id"])
    scene.say(f"同一作业在真实数据上运行（{name}）· the same job, unseen",
              f"{done['outcome']['duration']} s，行数 {done['outcome']['rows']}", about=run["id"])  # fmt: skip


def export(scene: Scene) -> None:
    """The first request is blocked (a small cell, a mobile number); the repaired one is released by two officers."""
    me, client = scene.merchant, scene.client
    fine, coarse = scene.artefacts
    remark = f"按街道、按月统计，如有疑问请联系{PHONE_IN_REMARK}"
    scene.export = client.post(
        me, "/exports",
        {"artefact_id": fine, "title": "街道门诊统计", "remark": remark, "audience": "public", "context": CONTEXT},
    )["id"]
    path = f"/exports/{scene.export}"
    client.post(me, f"{path}/submit")
    scene.stage.settle()
    blocked = client.get(me, path)
    rules = {f["rule"] for f in blocked["verdict"]["findings"] if f["severity"] == "block"}
    expect(blocked["state"] == "blocked", f"first request: {blocked['state']}")
    expect({"EXP-CELL-01", "EXP-PII-01"} <= rules, f"blocked by {sorted(rules)}")
    expect(all(f["measured"] is None for f in blocked["verdict"]["findings"]), "a merchant never sees measured values")
    scene.say("第一次出域被拦截 · the first request is blocked", "、".join(sorted(rules)), about=scene.export)
    _repair(scene, coarse)
    _told(scene, path)
    scene.package = client.download(me, f"{path}/package")
    _verify_offline(scene)


def _repair(scene: Scene, coarse: str) -> None:
    """The merchant mends the request; two different officers approve it; the platform releases it."""
    me, client, path = scene.merchant, scene.client, f"/exports/{scene.export}"
    client.post(me, f"{path}/revise", {"artefact_id": coarse, "title": "各区门诊统计", "remark": "按区、按月统计"})
    client.post(me, f"{path}/submit")
    scene.stage.settle()
    passed = client.get("officer1", path)
    expect(passed["state"] == "in_review", f"repaired request: {passed['state']} {_why(passed)}")
    scene.say(
        "修改后通过机器核查 · the repaired one passes", f"{len(passed['verdict']['rules'])} 条规则", about=scene.export
    )
    scene.refused(
        "运营人员复核 · an operator reviews",
        {403},
        lambda: client.post("operator", f"{path}/review", {"decision": "approve"}),
    )
    _discuss(scene, path, passed["artefact_id"])
    scene.stage.settle()
    released = client.get(me, path)
    expect(released["state"] == "released", f"after two approvals: {released['state']} {_why(released)}")
    scene.say("两名合规人员复核，放行 · two officers approve, released", released["state_label"], about=scene.export)


def _discuss(scene: Scene, path: str, file: str) -> None:
    """Two officers vote blind, differ, discuss, and agree; nobody learns the other's opinion before both are in."""
    client = scene.client
    client.post("officer1", f"{path}/votes", {"artefact_id": file, "vote": "approve"})
    client.post("officer1", f"{path}/comments", {"text": "单元格均达标，取整一致", "audience": "officers"})
    client.post("officer1", f"{path}/review", {"decision": "approve", "reason": "单元格均达标"})
    scene.refused(
        "同一人复核两次 · the same officer twice",
        {403},
        lambda: client.post("officer1", f"{path}/review", {"decision": "approve"}),
    )
    blind = client.get("officer2", f"{path}/review")
    expect((blind["given"], blind["needed"]) == (1, 2), f"opinions {blind['given']} of {blind['needed']}")
    expect(not blind["opinions"] and not blind["comments"], "the second officer reviews blind")
    scene.say("第一人表决并提交，第二人看不到 · blind to each other", "、".join(r["zh"] for r in blind["reasons"]),
              about=scene.export)  # fmt: skip
    client.post("officer2", f"{path}/review", {"decision": "return", "reason": "请说明 8 月口径"})
    both = client.get("officer1", f"{path}/review")
    expect(client.get("officer1", path)["state"] == "discussion", "two different opinions are discussed")
    expect(len(both["opinions"]) == 2, "once both are in, both are seen")
    client.post("officer2", f"{path}/look", {"reason": "核对 8 月各行"})
    client.post("officer1", f"{path}/comments", {"text": "8 月按就诊日期统计，见说明", "audience": "officers"})
    scene.say("意见不一致，讨论 · opinions differ, discussed", "2 条意见，2 条留言", about=scene.export)
    client.post("officer2", f"{path}/review", {"decision": "approve", "reason": "口径已核对，同意"})


def _told(scene: Scene, path: str) -> None:
    """The departments are told, one asks for a recall and is refused with a reason; the copy names its recipient."""
    client = scene.client
    for login in ("health", "police"):
        told = client.get(login, "/release-notices")
        expect([n["request_id"] for n in told][:1] == [scene.export], f"{login} is told of the release")
    asked = client.post("police", f"{path}/recall-requests", {"reason": "本部门需要复核口径"})["id"]
    scene.refused(
        "部门自己决定召回 · a department decides on its own request",
        {403},
        lambda: client.post("police", f"/recall-requests/{asked}/decision", {"decision": "grant", "reason": "x"}),
    )
    decided = client.post("operator", f"/recall-requests/{asked}/decision",
                          {"decision": "refuse", "reason": "口径与批准一致"})  # fmt: skip
    expect(decided["state"] == "refused", "the recall is refused with a reason")
    scene.say("告知两个部门，部门请求召回并得到答复 · departments told, a recall asked and answered",
              decided["answer"], about=scene.export)  # fmt: skip


def _why(request: dict[str, Any]) -> list[str]:
    return sorted({f"{f['rule']} {f['place']}" for f in (request["verdict"] or {"findings": []})["findings"]})[:8]


def _verify_offline(scene: Scene) -> None:
    """The signature verifies without the platform, and one changed byte is found."""
    from sandbox.exports.release import verify

    with tempfile.TemporaryDirectory() as folder:
        good, bad = Path(folder, "good.zip"), Path(folder, "bad.zip")
        good.write_bytes(scene.package)
        expect(not verify(good), "the package verifies offline")
        middle = scene.package.index("所属区".encode()) + 1
        bad.write_bytes(scene.package[:middle] + bytes([scene.package[middle] ^ 1]) + scene.package[middle + 1 :])
        expect(bool(verify(bad)), "a changed byte is detected")
    what = "离线验证签名，改动一个字节即被发现 · verified offline, a changed byte is found"
    scene.say(what, f"{len(scene.package):,} bytes", about=scene.export)


def oversee(scene: Scene) -> None:
    """The public report counts it, the chain verifies, and nobody could do another's step."""
    client = scene.client
    now = datetime.fromisoformat(client.get("", "/platform")["clock"])
    today = (now + timedelta(hours=8)).date().isoformat()  # the city's day, not Greenwich's
    report = client.post("operator", "/reports", {"period_from": "2026-01-01", "period_to": today})
    figures = report["figures"]
    expect(figures["exports_released"] >= 1 and figures["approvals_by_lapse"] >= 1, "the report counts it")
    seen = f"放行 {figures['exports_released']}，拒绝 {figures['refusals']}"
    scene.say("发布信息披露 · the public report", seen, about=report["id"])
    _trespass(scene)
    chain = client.post("auditor", "/audit/verify")
    expect(chain["intact"], f"the chain is broken at {chain['first_bad']}")
    scene.say("校验审计链 · the audit chain verifies", f"{chain['rows']} 条，检查点 {chain['checkpoints']} 个")


def _trespass(scene: Scene) -> None:
    """Each role tries another's step; each is refused, and the refusal is in the log."""
    client, app, exp = scene.client, f"/applications/{scene.application}", f"/exports/{scene.export}"
    visits = scene.resources["门诊就诊"]
    tries: list[tuple[str, str, str, Any]] = [
        ("operator", "开通开发空间 · open a workspace", "/workspaces", {"application_id": scene.application}),
        ("operator", "登记资源 · register a resource", "/resources", scene.stage.files[0].registration),
        ("officer1", "核查使用申请 · check an application", f"{app}/check", {"decision": "pass"}),
        ("auditor", "召回产品 · recall a release", f"{exp}/recall", {"reason": "x"}),
        ("health", "发布目录 · publish", f"/resources/{visits}/publish", None),
        ("police", "确认他部门分级 · confirm another department's grades", f"/resources/{visits}/confirm", None),
        (scene.merchant, "复核出域 · review an export", f"{exp}/review", {"decision": "approve"}),
    ]
    before = client.get("operator", "/platform")["clock"]
    for login, what, path, body in tries:
        scene.refused(f"{login} {what}", {403, 404}, lambda i=login, p=path, b=body: client.post(i, p, b))  # type: ignore[misc]
    after = [e for e in _all_events(client) if e["event"] == "access:refused" and e["at"] >= before[:19]]
    expect(len(after) >= len(tries), f"{len(after)} refusals recorded, {len(tries)} tried")


def _all_events(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while page := client.get("auditor", "/audit/events", after=found[-1]["seq"] if found else 0, limit=500):
        found += page
        if len(page) < 500:
            break
    return found


def _new_uscc() -> str:
    """A credit code of valid form in a region nobody holds, new at every call."""
    import numpy as np

    from synthetic.providers import usccs

    return str(usccs(np.random.default_rng(), 1)[0])


ACTS: tuple[tuple[str, Callable[[Scene], None]], ...] = (
    ("0 准备 · before", sign_in_everybody),
    ("1 汇聚治理 · governance", govern),
    ("2 仿真数据 · simulated data", simulate),
    ("3 进驻 · onboarding", admit),
    ("4 使用申请 · use application", authorise),
    ("5 开发利用 · development", develop),
    ("6 出域 · export", export),
    ("7 披露与审计 · oversight", oversee),
)
