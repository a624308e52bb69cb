"""The evidence beside the file: who sees it, what it says, and what happens where a proof contradicts it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import pytest
from fastapi import FastAPI

from policies.text import Text
from sandbox.exports import service
from sandbox.exports.checks.proofs import mismatches
from sandbox.exports.gate import evaluate
from sandbox.exports.service import Basis, keep_basis
from sandbox.exports.subject import ExportSubject
from sandbox.exports.summary import record_of, summary
from sandbox.kernel.unit import Platform
from sandbox.products.blackbox import Tried
from sandbox.products.carrier import Refusal, Suspect
from tests.export_subjects import clean, edition, with_cells, with_kind
from tests.factories import World
from tests.pages import Person, application


@dataclass
class Desk:
    world: World
    app: FastAPI


@pytest.fixture
def desk(platform: Platform) -> Desk:
    world = World.settle(platform)
    return Desk(world, application(world.platform))


def checked(desk: Desk, subject: ExportSubject) -> str:
    """A request whose machine check has ended with this subject; its id."""
    request_id = desk.world.export("checking")
    wrong = mismatches(subject.evidence) if subject.evidence else []
    record = record_of(subject.evidence) if subject.evidence else None
    digest = keep_basis(desk.world.platform.settings, {"summary": summary(subject), "record": record})
    with desk.world.system() as unit:
        service.conclude_check(unit, request_id, evaluate(subject, edition()), Basis(digest, tuple(wrong)))
    return request_id


def suspicious() -> ExportSubject:
    subject = with_cells(clean(), n=pl.when(pl.col("cell") == 2).then(11).otherwise(pl.col("n")))
    assert subject.evidence is not None
    suspect = Suspect("v", "CASE WHEN pid = 42 THEN fee END", ("visit.pid",))
    city = replace(subject.evidence, name="city", suspects=())
    return replace(subject, evidence=replace(subject.evidence, suspects=(suspect,), references=(city,)))


def test_officers_see_proofs_weakest_cells_expressions_and_references_and_merchants_none(desk: Desk) -> None:
    address = f"/exports/{checked(desk, suspicious())}"
    officer, auditor, merchant = (Person(desk.app, p).get(address).text for p in ("officer", "auditor", "merchant"))
    for page in (officer, auditor):
        assert "证据与证明" in page and "8 / 8" in page and "reference:city" in page
        assert "CASE WHEN pid = 42 THEN fee END" in page and "南区" in page
        assert page.index("南区", page.index("依据最弱")) < page.index("东区", page.index("依据最弱"))
    for secret in ("证据与证明", "CASE WHEN", "8 / 8", "最少主体数"):
        assert secret not in merchant
    assert "表达式涉及主键或准标识符" in merchant


def test_a_contradicted_proof_is_an_incident_for_officers_and_operators(desk: Desk) -> None:
    request_id = checked(desk, with_kind(clean(), halves_as_predicted=7))
    assert desk.world.export_state(request_id) == "blocked"
    (event,) = desk.world.events("export:incident")
    assert event.object_id == request_id
    assert "已列为事件" in Person(desk.app, "officer").get(f"/exports/{request_id}").text
    home = Person(desk.app, "operator").get("/").text
    assert "证明与结果不一致" in home and request_id in home
    assert "证明与结果不一致" not in Person(desk.app, "merchant").get("/").text


def test_a_clean_check_is_no_incident(desk: Desk) -> None:
    checked(desk, clean())
    assert desk.world.events("export:incident") == []
    assert "证明与结果不一致" not in Person(desk.app, "operator").get("/").text


def test_a_refused_job_shows_where_and_what_to_write_instead(desk: Desk) -> None:
    refusal = Refusal("window", "v", 3, 7, Text("窗口跨主体", "crosses"), Text("改用 post", "use post"))
    request_id = checked(desk, replace(clean(), evidence=None, refusals=(refusal,)))
    officer, merchant = (Person(desk.app, p).get(f"/exports/{request_id}").text for p in ("officer", "merchant"))
    assert "步骤 v 第 3 行第 7 列" in officer and "改用 post" in officer
    assert "窗口跨主体" in merchant and "改用 post" in merchant


def test_officers_see_what_trials_showed_and_merchants_that_a_person_decides(desk: Desk) -> None:
    refusal = Refusal("window.not_determined", "v", 3, 7, Text("窗口跨主体", "crosses"), Text("改用 post", "use post"))
    tried = Tried("person", 32, 6, 21, 0.124, 32, 21, tried=30, over_budget=True)
    shaky = Tried("clinic", 32, 6, None, None, steady=False)
    request_id = checked(desk, replace(clean(), evidence=None, refusals=(refusal,), black_box=(tried, shaky)))
    officer, merchant = (Person(desk.app, p).get(f"/exports/{request_id}").text for p in ("officer", "merchant"))
    told = ("分桶试验", "30 / 32", "12.4 %", "预算用尽，未试完", "同一数据两次运行结果不同", "步骤 v 第 3 行第 7 列")
    for words in told:
        assert words in officer
    for secret in ("能改变单元格的桶数", "30 / 32", "12.4 %"):
        assert secret not in merchant
    assert "两次运行的结果不同" in merchant and "请去掉随机数" in merchant


def test_only_officers_get_the_basis_and_changed_bytes_are_none(desk: Desk) -> None:
    request_id = checked(desk, clean())
    with desk.world.system() as unit:
        record: Any = service.get(unit.session, request_id)
        name = record.verdict["basis"]
    path = desk.world.platform.settings.evidence_root / f"{name}.json"
    assert path.stat().st_mode & 0o077 == 0
    path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert "证据与证明" not in Person(desk.app, "officer").get(f"/exports/{request_id}").text
