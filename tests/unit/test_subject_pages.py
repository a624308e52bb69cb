"""主体与角色 as people see and change it: on the resource's page, and with `pds subjects`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli import subjects as command
from sandbox.catalog import repository, subjects
from sandbox.catalog.entityfacts import EntityFact, Facts
from tests.factories import PASSWORD, World
from tests.pages import Person, application, words_of


class Page:
    """The tab of one published resource as its department sees it."""

    def __init__(self, world: World) -> None:
        self.world, self.id = world, world.published()
        self.person = Person(application(world.platform), "department")
        self.words()

    def words(self) -> str:
        return words_of(self.person.get(f"/resources/{self.id}?tab=subjects", headers={"accept-language": "zh"}).text)

    def press(self, where: str = "", **typed: str) -> None:
        assert self.person.press(f"/resources/{self.id}/subjects{where}", **typed).endswith("tab=subjects")

    def agreed(self, who: str = "colleague") -> None:
        """A second person agrees to what waits."""
        with self.world.system() as unit:
            asked = subjects.waiting(unit.session, self.id)
        assert asked is not None
        second = Person(application(self.world.platform), who)
        assert second.press(f"/lowerings/{asked.id}/steps", transition="approve", reason="已核实").endswith("=subjects")

    def facts(self) -> Facts:
        with self.world.system() as unit:
            return repository.get(unit.session, self.id).facts

    def found(self, failures: list[dict[str, Any]], proposals: list[dict[str, Any]] | None = None) -> None:
        """What a verification of the facts as they are now has found."""
        with self.world.system() as unit:
            facts = repository.get(unit.session, self.id).facts
            kinds = {kind: subjects.KindCheck(99, 1, 90, failures, []).as_dict() for kind in facts.entities}
            subjects.record(unit, self.id, 0, subjects.Checked(facts.digest, 99, kinds, proposals or []))


@pytest.fixture
def page(world: World) -> Page:
    return Page(world)


def test_what_is_declared_and_borne_out_is_shown(page: Page) -> None:
    said = page.words()
    assert all(word in said for word in ("主体与角色", "个人", "身份证号", "成立", "99 行"))
    assert "主体标识" in said and "按声明的主体" in said


def test_a_failed_verification_says_what_broke_and_what_to_do(page: Page) -> None:
    page.found([{"code": "determined_by", "column": "流水号", "count": 3, "example": "K***1"}])
    said = page.words()
    assert "声明与数据不符" in said and "不成立" in said
    assert "“流水号”有 3 个取值对应多个主体（如 K***1）" in said and "请更正数据" in said


def test_an_entity_is_declared_changed_and_declared_no_longer(page: Page) -> None:
    page.press(kind="household", column="区", determined="费用：账单\n", most="5", holding="", reason="按登记表")
    fact = page.facts().entities["household"]
    assert fact == EntityFact(column="区", determined_by={"费用": "账单"}, missing_share_max=0.05)
    assert "尚未校验" in page.words(), "it is not used before it was verified"
    elsewhere = {"other": "户籍", "other_key": "户号", "other_owner": "户主"}
    page.press(kind="household", column="区", most="5", reason="更正", **elsewhere)
    page.agreed()
    through = page.facts().entities["household"].through
    assert through is not None and (through.resource, through.key, through.owner) == ("户籍", "户号", "户主")
    page.press(kind="household", step="remove", reason="重复")
    page.agreed()
    assert list(page.facts().entities) == ["person"]
    assert [e.facts["reason"] for e in page.world.events("resource:subjects")] == ["按登记表", "更正", "重复"]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"determined": "费用"}, "determined"), ({"most": "101"}, "most"), ({"most": "许多"}, "most"),
        ({"kind": "人"}, "entities.人"), ({"column": "无此列"}, "无此列"), ({"reason": " "}, "理由"),
        ({"other": "户籍"}, "through"),
    ],
)  # fmt: skip
def test_what_does_not_hold_is_refused_and_changes_nothing(page: Page, typed: dict[str, str], told: str) -> None:
    before = page.facts()
    good = {"kind": "household", "column": "区", "most": "5", "reason": "按登记表"}
    answer = page.person.post(f"/resources/{page.id}/subjects", **(good | typed))
    assert answer.status_code == 422
    assert told in words_of(answer.text)
    assert page.facts() == before


def test_a_proposal_is_accepted_by_its_button(page: Page) -> None:
    page.found([], [
        {"kind": "person", "column": "费用", "domain": "门诊.费用", "why": "determines"},
        {"kind": "enterprise", "column": "区", "why": "same_name", "resource": "企业登记"},
    ])  # fmt: skip
    said = page.words()
    assert "“费用”的每个取值只对应一个个人" in said and "资源“企业登记”以同名列“区”标识企业" in said
    page.press("/proposals", kind="person", column="费用", domain="门诊.费用")
    page.press("/proposals", kind="enterprise", column="区", domain="")
    facts = page.facts()
    assert facts.entities["person"].determined_by == {"费用": "门诊.费用"}
    assert facts.entities["enterprise"] == EntityFact(column="区")


def test_a_role_is_corrected_with_its_reason_and_given_back_to_the_grade(page: Page) -> None:
    page.press("/columns", column="费用", role="open", perturb="", reason="收费标准已公开")
    page.agreed()
    said = page.words()
    assert "部门更正：收费标准已公开" in said and "公开值" in said
    page.press("/columns", column="费用", role="", perturb="", reason="撤回")
    assert page.facts().columns == {}
    refused = page.person.post(f"/resources/{page.id}/subjects/columns", column="费用", role="secret", reason="x")
    assert refused.status_code == 422


def test_who_asks_for_less_protection_is_not_who_agrees_to_it(page: Page) -> None:
    page.press(kind="person", step="remove", reason="误填")
    said = page.words()
    assert list(page.facts().entities) == ["person"], "nothing has changed yet"
    assert "申请放宽保护" in said and "不再当作“个人”的数据" in said and "误填" in said
    assert page.id in Person(application(page.world.platform), "officer").get("/").text
    again = page.person.post(f"/resources/{page.id}/subjects", kind="person", step="remove", reason="再次")
    assert again.status_code == 409
    with page.world.system() as unit:
        asked = subjects.waiting(unit.session, page.id)
    assert asked is not None
    alone = page.person.post(f"/lowerings/{asked.id}/steps", transition="approve", reason="x")
    assert alone.status_code == 403 and list(page.facts().entities) == ["person"]
    page.agreed("officer")
    assert page.facts().entities == {}
    assert "申请放宽保护" not in page.words()


def test_what_was_asked_for_is_not_agreed_to_once_something_else_was_declared(page: Page) -> None:
    page.press("/columns", column="费用", role="open", perturb="", reason="收费标准已公开")
    assert "列“费用”的角色放宽：" in page.words()
    page.press(kind="household", column="区", most="5", reason="按登记表")
    with page.world.system() as unit:
        asked = subjects.waiting(unit.session, page.id)
    assert asked is not None
    second = Person(application(page.world.platform), "colleague")
    refused = second.post(f"/lowerings/{asked.id}/steps", transition="approve", reason="已核实")
    assert refused.status_code == 409 and "另有调整" in refused.text
    assert page.facts().columns == {} and "household" in page.facts().entities


def test_only_the_department_itself_changes_what_is_declared(page: Page) -> None:
    app = application(page.world.platform)
    for login, statuses in (("operator", (403,)), ("merchant", (403, 404))):
        other = Person(app, login)
        answer = other.post(f"/resources/{page.id}/subjects", kind="person", step="remove", reason="x")
        assert answer.status_code in statuses
    assert list(page.facts().entities) == ["person"]


# ---- the command ----


@pytest.fixture
def pds(page: Page, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`pds subjects …` on the page's installation, as the department."""
    import typer

    monkeypatch.setenv("PDS_HOME", str(page.world.platform.settings.home))
    monkeypatch.setenv("PDS_PASSWORD", PASSWORD)
    app = typer.Typer()
    app.command("show")(command.show)
    app.command("declare")(command.declare)
    return lambda *argv: CliRunner().invoke(app, [*argv, "--as", "department"])


def test_the_command_shows_what_is_declared(page: Page, pds: Any) -> None:
    shown = pds("show", page.id, "--json")
    found = json.loads(shown.stdout)
    assert (shown.exit_code, list(found["entities"]), found["check"]["holds"]) == (0, ["person"], True)
    assert "身份证号" in pds("show", page.id).stdout
    page.found([{"code": "missing", "share": 12.5, "most": 1.0}])
    failed = pds("show", page.id)
    assert failed.exit_code == 1
    assert "12.5%" in failed.stdout


def test_the_command_declares_from_a_file(page: Page, pds: Any, tmp_path: Path) -> None:
    file = tmp_path / "facts.yaml"
    file.write_text("entities:\n  person: {column: 身份证号, determined_by: {费用: 账单}}\n", encoding="utf-8")
    assert pds("declare", page.id, str(file), "--reason", "按登记表").exit_code == 0
    assert page.facts().entities["person"].determined_by == {"费用": "账单"}
    file.write_text("entities: {}\n", encoding="utf-8")
    assert "第二人" in pds("declare", page.id, str(file), "--reason", "误填").stdout
    assert "person" in page.facts().entities
    file.write_text("entities: [1, 2]\n", encoding="utf-8")
    assert pds("declare", page.id, str(file), "--reason", "再改").exit_code != 0
