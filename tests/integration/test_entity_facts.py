"""Facts about entities on the platform: verified as data comes in, shown, corrected, and required by every job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from api.demo import stages
from api.demo.client import ApiError
from pipelines import granted, upkeep
from sandbox.applications import repository as applications
from sandbox.applications.repository import Grant
from sandbox.catalog import grades, repository, service, subjects
from sandbox.catalog.entityfacts import ColumnFact, Facts
from sandbox.kernel.errors import BadInput
from sandbox.lake import Lake
from sandbox.products import service as products
from sandbox.products.source import EntityKey, EvidenceError, Source
from tests.factories import World

ID = "11010119900307{:04d}"
PERSON = {"person": {"column": "证件", "determined_by": {"流水号": "就诊"}, "missing_share_max": 0.1}}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stages.Embedded]:
    with stages.embedded(tmp_path_factory.mktemp("facts") / "home") as made:
        for login in ("health", "operator", "police", "officer1"):
            made.client.sign_in(login, made.password)
        yield made


def rows(people: int = 40, *, torn: bool = False, lacking: int = 0) -> str:
    """Two visits a person; `torn`: one number is of two people; `lacking`: visits of nobody."""
    lines = [f"K{n:05d},{'' if n < lacking else ID.format(n // 2)},{n * 7}" for n in range(2 * people)]
    if torn:
        lines.append(f"K00002,{ID.format(people)},1")
    return "流水号,证件,费用\n" + "\n".join(lines) + "\n"


class Table:
    """A resource of the health department with its deliveries."""

    def __init__(self, stage: stages.Embedded, name: str, entities: dict[str, Any]) -> None:
        self.stage, self.name = stage, name
        body = {"name": name, "description": "测试", "registration_code": "T-E", "update_cycle": "每月",
                "entities": entities,
                "declared": {"columns": {"流水号": {"semantic": "key"}, "证件": {"semantic": "resident_id"},
                                         "费用": {"semantic": "number"}}}}  # fmt: skip
        self.id = str(stage.client.post("health", "/resources", body)["id"])

    def deliver(self, content: str, *, publish: bool = True) -> dict[str, Any]:
        path = self.stage.platform.settings.home / "表.csv"
        path.write_text(content, encoding="utf-8")
        self.stage.client.upload("health", f"/resources/{self.id}/deliveries", path)
        self.stage.settle()
        found = self.resource()
        if publish and found["deliveries"][0]["state"] == "proposed":
            self.stage.client.post("health", f"/resources/{self.id}/confirm")
            self.stage.client.post("operator", f"/resources/{self.id}/publish")
            self.stage.settle()
        return self.facts()

    def resource(self) -> dict[str, Any]:
        return dict(self.stage.client.get("operator", f"/resources/{self.id}"))

    def facts(self) -> dict[str, Any]:
        return dict(self.stage.client.get("operator", f"/resources/{self.id}/subjects"))

    def declare(self, entities: dict[str, Any], columns: dict[str, Any] | None = None) -> dict[str, Any]:
        body = {"entities": entities, "columns": columns or {}, "reason": "核对登记表"}
        self.stage.client.post("health", f"/resources/{self.id}/subjects", body)
        self.stage.settle()
        return self.facts()

    def agreed(self) -> dict[str, Any]:
        """A compliance officer agrees to the less protection that waits."""
        body = {"decision": "approve", "reason": "已核实"}
        self.stage.client.post("officer1", f"/lowerings/{self.facts()['waiting']}/decision", body)
        self.stage.settle()
        return self.facts()

    def unusable(self) -> Any:
        with self.stage.platform.system() as unit:
            resource = repository.get(unit.session, self.id)
            version = repository.version(unit.session, self.id, resource.current_version or 0)
            return subjects.unusable(unit.session, resource, version)


def test_facts_are_verified_over_every_row_of_a_delivery(stage: stages.Embedded) -> None:
    table = Table(stage, "就诊一", PERSON)
    found = table.deliver(rows(lacking=4))
    kind = found["check"]["kinds"]["person"]
    assert (found["check"]["rows"], kind["missing"], kind["entities"], kind["failures"]) == (80, 4, 38, [])
    assert found["check"]["holds"] is True
    assert {c["name"]: c["role"] for c in found["columns"]} == {"流水号": "key", "证件": "key", "费用": "sensitive"}
    assert table.unusable() is None


def test_rows_that_do_not_bear_a_fact_out_are_a_finding_and_block_proofs(stage: stages.Embedded) -> None:
    table = Table(stage, "就诊二", PERSON)
    found = table.deliver(rows(torn=True))
    assert [f["code"] for f in found["failures"]] == ["determined_by"]
    (told,) = [f for f in table.resource()["versions"][-1]["findings"] if f["code"].startswith("subject_")]
    assert "流水号" in told["detail"]["zh"]
    assert "K00002" not in json.dumps([told, found], ensure_ascii=False)
    assert table.unusable()[0].zh.startswith("资源“就诊二”的主体声明与该版本数据不符")
    assert table.declare({"person": {"column": "证件"}})["failures"] != [], "rows without an owner: nobody agreed yet"
    assert table.agreed()["failures"] == []
    assert table.unusable() is None
    assert table.deliver(rows(lacking=30))["failures"] == []


def test_a_proposal_is_offered_and_becomes_a_fact_when_the_department_agrees(stage: stages.Embedded) -> None:
    table = Table(stage, "就诊三", {"person": {"column": "证件"}})
    found = table.deliver(rows().replace("流水号", "单号"))
    (proposed,) = found["proposals"]
    assert proposed == {"kind": "person", "column": "单号", "domain": "就诊三.单号", "why": "determines"}
    agreed = {"person": {"column": "证件", "determined_by": {"单号": "就诊三.单号"}}}
    found = table.declare(agreed)
    assert (found["check"]["holds"], found["proposals"]) == (True, [])


def test_a_domain_is_one_value_space_over_all_tables(stage: stages.Embedded) -> None:
    facts = {"person": {"column": "证件", "determined_by": {"流水号": "处方"}}}
    Table(stage, "处方一", facts).deliver(rows())
    other = Table(stage, "处方二", facts)
    assert other.deliver(rows())["failures"] == []
    shifted = "流水号,证件,费用\n" + "".join(f"K{n:05d},{ID.format(n)},5\n" for n in range(40))
    (failure,) = other.deliver(shifted)["failures"]
    assert failure["code"] == "domain"
    assert "处方一" in failure["text"]["zh"]


def test_owners_known_by_another_table_are_verified_once_it_is_there(stage: stages.Embedded) -> None:
    through = {"resource": "挂号", "key": "流水号", "owner": "证件"}
    table = Table(stage, "费用", {"person": {"column": "流水号", "through": through}})
    assert [f["code"] for f in table.deliver(rows())["failures"]] == ["resource"]
    owners = Table(stage, "挂号", {"person": {"column": "证件"}})
    owners.deliver(rows())
    found = table.facts()
    assert found["failures"] == []
    assert found["check"]["kinds"]["person"]["through"]["resource"] == owners.id


def test_declaring_needs_a_reason_a_change_and_columns_that_exist(stage: stages.Embedded) -> None:
    table = Table(stage, "就诊四", PERSON)
    table.deliver(rows())
    for body, code in [
        ({"entities": PERSON, "columns": {}, "reason": "再次"}, "subject.same"),
        ({"entities": {}, "columns": {}, "reason": " "}, "subject.reason"),
        ({"entities": {"person": {"column": "无此列"}}, "columns": {}, "reason": "x"}, "subject.column"),
        ({"entities": {"person": {"key": "证件"}}, "columns": {}, "reason": "x"}, "subject.invalid"),
    ]:
        with pytest.raises(ApiError) as refused:
            stage.client.post("health", f"/resources/{table.id}/subjects", body)
        assert refused.value.code == code
    for login in ("operator", "police"):
        with pytest.raises(ApiError):
            stage.client.post(login, f"/resources/{table.id}/subjects", {"entities": {}, "columns": {}, "reason": "x"})


def test_no_snapshot_or_twin_holds_more_than_its_columns(stage: stages.Embedded) -> None:
    """A code of an entity is neither stored beside rows nor derived for anything a workspace reads."""
    home = stage.platform.settings.home
    files = [*Path(stage.platform.settings.lake_root).rglob("*.parquet"), *home.rglob("snapshots/**/*.parquet")]
    assert files
    assert not [f for f in files if any(name.startswith("__") for name in pl.read_parquet_schema(f))]


# ---- what jobs may rest on ----


def source(stage: stages.Embedded, table: Table) -> Source:
    """What the proof would know of the whole published table."""
    with stage.platform.system() as unit:
        resource = repository.get(unit.session, table.id)
        columns = [c.name for c in repository.columns(unit.session, table.id)]
        grant = Grant(resource_id=table.id, version=resource.current_version, columns=columns, rows=[], snapshot=None)
        return granted.source_of(unit, Lake(stage.platform.settings.lake_root), grant)


def test_the_proof_knows_what_was_declared_and_borne_out(stage: stages.Embedded) -> None:
    table = Table(stage, "就诊五", PERSON)
    table.deliver(rows())
    table.declare(PERSON, {"费用": {"role": "quasi", "perturb": "domain", "reason": "核对"}})
    found = source(stage, table)
    assert found.keys == (EntityKey("person", "证件", {"流水号": "就诊"}, missing_share_max=0.1),)
    assert (found.role("证件"), found.role("流水号"), found.role("费用")) == ("key", "key", "quasi")
    assert (found.perturb["费用"], found.identifiers, found.level) == ("domain", ("证件",), 4)


def test_an_owner_is_looked_up_in_the_version_it_was_verified_against(stage: stages.Embedded) -> None:
    through = {"resource": "登记簿", "key": "流水号", "owner": "证件"}
    owners = Table(stage, "登记簿", {"person": {"column": "证件"}})
    owners.deliver(rows())
    table = Table(stage, "收费", {"person": {"column": "流水号", "through": through}})
    table.deliver(rows())
    before = source(stage, table).keys[0].through
    assert before is not None and (before.key, before.owner) == ("流水号", "证件")
    owners.deliver(rows(people=50))
    after = source(stage, table).keys[0].through
    assert after is not None and after.files != before.files, "new owners were verified again by themselves"


def test_a_fact_that_failed_never_reaches_the_proof_but_its_key_stays_an_identifier(stage: stages.Embedded) -> None:
    table = Table(stage, "就诊六", PERSON)
    table.deliver(rows(torn=True))
    found = source(stage, table)
    assert (found.keys, found.identifiers) == ((), ("证件",))


def granted_table(world: World) -> tuple[str, str, dict[str, Any]]:
    """(resource, workspace, a job on it) of an active application."""
    resource = world.published()
    application = world.application("active", resource)
    (grant,) = world.grants(application)
    return resource, world.workspace(application), world.spec(grant)


def start(world: World, workspace: str, spec: dict[str, Any]) -> str:
    with world.by(world.merchant) as unit:
        return products.start_run(unit, workspace, spec).id


def test_a_job_on_withdrawn_data_is_refused_when_submitted_and_at_the_gate(world: World) -> None:
    resource, workspace, spec = granted_table(world)
    start(world, workspace, spec)
    with world.by(world.operator) as unit:
        service.withdraw(unit, resource, "数据有误")
    with pytest.raises(BadInput, match=r"run\.input") as refused:
        start(world, workspace, spec)
    assert "已下架" in refused.value.text.zh
    with world.system() as unit:
        used = [applications.grant(unit.session, i["grant"]) for i in spec["inputs"].values()]
        with pytest.raises(EvidenceError, match=r"evidence\.input"):
            granted.require_provable(unit, used)


def test_a_fact_that_nobody_has_verified_is_not_used(world: World) -> None:
    resource, workspace, spec = granted_table(world)
    facts = Facts.read({"entities": {"person": {"column": "身份证号", "determined_by": {"区": "区"}}}})
    with world.by(world.department) as unit:
        subjects.declare(unit, resource, facts, "按登记表")
    with pytest.raises(BadInput, match=r"run\.input") as refused:
        start(world, workspace, spec)
    assert "尚未" in refused.value.text.zh
    with world.system() as unit:
        world.verified(unit, resource)
    start(world, workspace, spec)


def test_the_role_of_a_column_is_corrected_without_another_verification(world: World) -> None:
    resource, workspace, spec = granted_table(world)
    with world.by(world.department) as unit:
        entities = subjects.read(unit, resource).facts.entities
        facts = Facts(entities=entities, columns={"费用": ColumnFact(role="open", reason="收费标准已公开")})
        asked = subjects.declare(unit, resource, facts, "收费标准已公开")
        assert asked is not None
    with world.by(world.colleague) as unit:
        grades.decide(unit, asked.id, "approve", "已核实")
        told = {c.name: (c.role, c.by_grade) for c in subjects.read(unit, resource).columns}
    assert told["费用"] == ("open", "sensitive")
    start(world, workspace, spec)
    (event,) = world.events("resource:subjects")
    assert event.facts["reason"] == "收费标准已公开"


def test_what_was_declared_before_there_was_a_verification_is_verified_by_itself(world: World) -> None:
    resource = world.published()
    with world.system() as unit:
        repository.get(unit.session, resource).subjects = {"entities": {"person": {"column": "区"}}}
    assert upkeep.run(world.platform).verified == [resource]
    assert upkeep.run(world.platform).verified == []
