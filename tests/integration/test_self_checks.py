"""A merchant's self-check: the gate's rules on the same bytes, on simulated data, with repairs that were tried."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import duckdb
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from pipelines.registry import HANDLERS
from sandbox.applications import repository as applications
from sandbox.catalog import repository as catalogue
from sandbox.exports import selfcheck
from sandbox.exports.selfcheck import SelfCheck
from sandbox.exports.wording import NOT_ASSESSED
from sandbox.kernel.jobs import LocalExecutor, dispatch
from sandbox.lake import Lake
from sandbox.workspaces import folder, metering_record
from sandbox.workspaces.metering_record import UseEntry
from tests import workshop
from tests.factories import World
from tests.real_products import opened

pytestmark = pytest.mark.jail
TWIN = (
    "SELECT '仿真人员' || (100000 + range) AS 身份证号, CASE WHEN range < 4 THEN '中区' WHEN range < 9 THEN '北区' "
    "ELSE '区' || (range % 3) END AS 区, (50 + range % 40)::DOUBLE AS 费用 FROM range(900)"
)
REAL = TWIN.replace("仿真人员", "真实人员").replace("range < 4", "false").replace("range < 9", "false")
PHONES = ("店主电话,数量\n" + "".join(f"1390000{n:04d},{n}\n" for n in range(30))).encode()


@pytest.fixture
def room(world: World) -> tuple[str, str]:
    """A workspace with a grant whose twin has two small districts, which the real rows have not: (workspace, grant)."""
    workspace_id, grant_id = opened(world, REAL)
    with world.system() as unit:
        held = applications.grant(unit.session, grant_id)
        resource = catalogue.get(unit.session, held.resource_id)
        rows = duckdb.sql(TWIN).to_arrow_table()
        lake = Lake(unit.settings.lake_root)
        resource.simulated_version = lake.write(
            resource.simulated_table, rows.to_reader(), mode="overwrite", facts={}, once="test-twin"
        )
    return workspace_id, grant_id


def job(grant: str, **product: Any) -> dict[str, Any]:
    return {
        "job": "visits", "edition": 2, "inputs": {"t": {"grant": grant}},
        "product": {"from": "t", "dimensions": ["区"], "measures": {"人次": {"op": "count"}}} | product,
        "output": {"kind": "aggregate", "format": "csv"},
    }  # fmt: skip


def done(world: World) -> None:
    executor = LocalExecutor(world.platform, HANDLERS)
    dispatch(world.platform, executor)
    executor.drain()


def of(world: World, check_id: str) -> SelfCheck:
    with world.by(world.merchant) as unit:
        return selfcheck.read(unit, check_id)


def test_a_file_is_judged_at_once_in_words_without_a_number(world: World, room: tuple[str, str]) -> None:
    made = selfcheck.check_file(world.platform, world.merchant, room[0], "店主.csv", BytesIO(PHONES))
    assert made.outcome == "block" and made.verdict is not None
    findings = made.verdict["findings"]
    assert ("EXP-PII-01", "店主.csv#column=1") in {(f["rule"], f["place"]) for f in findings}
    assert {(f["measured"], f["threshold"], f["evidence"]) for f in findings} == {(None, None, None)}
    assert {(r["measured"], r["threshold"]) for r in made.verdict["rules"]} == {(None, None)}
    assert all(f["repair"] for f in findings)
    told = {f["rule"]: f["text"]["zh"] for f in findings}
    assert told["EXP-DIFF-01"] == NOT_ASSESSED.text.zh, "what nobody could look at is not told as if it were found"
    assert "1390000" not in str(made.verdict)


def test_a_file_is_compared_with_simulated_rows_and_never_with_real_ones(world: World, room: tuple[str, str]) -> None:
    """An oracle would tell a merchant who guesses a real identifier that it is one."""

    def leads_back(name: str) -> bool:
        lines = "谁,量\n" + "".join(f"{name}{100000 + n},{n}\n" for n in range(20, 60))
        made = selfcheck.check_file(world.platform, world.merchant, room[0], "a.csv", BytesIO(lines.encode()))
        assert made.verdict is not None
        return any(f["rule"] == "EXP-JOIN-01" for f in made.verdict["findings"])

    assert leads_back("仿真人员")
    assert not leads_back("真实人员")


def test_a_file_of_the_workspace_is_no_download_and_a_large_one_is_refused_unread(
    world: World, room: tuple[str, str]
) -> None:
    place = world.platform.settings.workspaces_root / room[0] / "simulated"
    place.mkdir(parents=True, exist_ok=True)
    (place / "店主.csv").write_bytes(PHONES)
    with (place / "大.csv").open("wb") as large:
        large.truncate(1 << 40)  # more than any memory holds
    with world.by(world.merchant) as unit:
        ids = {f.path: f.id for f in folder.list_files(unit, room[0]).files}
    made = selfcheck.check_own_file(world.platform, world.merchant, room[0], ids["店主.csv"])
    assert (made.name, made.outcome) == ("店主.csv", "block")
    with pytest.raises(selfcheck.LimitExceeded, match="too_large"):
        selfcheck.check_own_file(world.platform, world.merchant, room[0], ids["大.csv"])
    assert world.events("file:download") == []


def test_a_job_that_fails_gets_repairs_which_are_applied_and_checked_again(
    world: World, room: tuple[str, str]
) -> None:
    workspace_id, grant = room
    with world.by(world.merchant) as unit:
        check_id = selfcheck.ask(unit, workspace_id, job(grant)).id
    assert of(world, check_id).outcome is None
    done(world)
    found = of(world, check_id)
    assert found.outcome == "block" and found.error is None
    kinds = {one["kind"]: one for one in found.repairs}
    assert {"merge", "suppress"} <= kinds.keys()
    assert all(one["outcome"] != "error" for one in found.repairs)
    best = found.repairs[0]
    with world.by(world.merchant) as unit:
        again = selfcheck.apply(unit, check_id, best["id"]).id
    done(world)
    changed = of(world, again)
    assert changed.after == check_id and changed.outcome == best["outcome"] == "pass"
    assert changed.spec == best["spec"] and changed.repairs == []


def test_a_self_check_is_metered_and_counted(world: World, room: tuple[str, str]) -> None:
    for n in range(2):
        selfcheck.check_file(world.platform, world.merchant, room[0], f"{n}.csv", BytesIO(b"a,b\n1,2\n"))
    with world.system() as unit:
        kinds = [e.kind for e in unit.session.query(UseEntry) if e.workspace_id == room[0]]
        assert kinds.count("check") == 2
        assert metering_record.of_day(unit.session, room[0], _day(unit)).cpu_us > 0
        most = 100
        made = unit.session.query(SelfCheck).first()
        facts = {c.name: getattr(made, c.name) for c in SelfCheck.__table__.columns}
        unit.session.add_all(SelfCheck(**facts | {"id": f"chk_{n}"}) for n in range(most - 2))
    with pytest.raises(selfcheck.LimitExceeded):
        selfcheck.check_file(world.platform, world.merchant, room[0], "more.csv", BytesIO(b"a,b\n1,2\n"))


def _day(unit: Any) -> str:
    from sandbox.kernel.clock import city_date

    return city_date(unit.now).isoformat()


def test_a_job_on_a_grant_of_others_is_refused(world: World, room: tuple[str, str]) -> None:
    with world.by(world.merchant) as unit, pytest.raises(selfcheck.BadInput):
        selfcheck.ask(unit, room[0], job("grt_none"))


def test_over_http_the_own_merchant_only(world: World, room: tuple[str, str]) -> None:
    broker = workshop.broker()
    client = TestClient(create_app(world.platform, broker, dict), base_url="http://portal.test")
    place = f"/api/v1/workspaces/{room[0]}/self-checks"

    def ask(method: str, path: str, login: str, **options: Any) -> Any:
        return client.request(method, path, headers={"authorization": f"Bearer {world.token(login)}"}, **options)

    try:
        sent = ask("POST", place, "merchant", files={"file": ("店主.csv", PHONES)})
        assert sent.status_code == 201 and sent.json()["outcome"] == "block"
        one = f"/api/v1/self-checks/{sent.json()['id']}"
        assert [c["id"] for c in ask("GET", place, "merchant").json()] == [sent.json()["id"]]
        assert ask("GET", one, "merchant").json() == sent.json()
        for login, status in (("stranger", 404), ("operator", 403), ("officer", 403)):
            assert ask("GET", one, login).status_code == status, login
            assert ask("POST", place, login, files={"file": ("a.csv", b"a\n1\n")}).status_code == status, login
        assert ask("POST", f"{one}/apply", "merchant", json={"repair": "none"}).status_code == 404
    finally:
        broker.close()
