"""The pages of a run: ask, follow, cancel, compare with near-equal ones, look at the engine's words."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest

from api.pages import examples
from sandbox.products import reports, service
from sandbox.products.spec import as_data, parse
from sandbox.workspaces.repository import get
from tests.factories import World
from tests.pages import Person, application


@pytest.fixture
def merchant(world: World) -> Person:
    return Person(application(world.platform), "merchant")


@pytest.fixture
def run(world: World) -> str:
    return world.requested_run()


def person(world: World, login: str) -> Person:
    return Person(application(world.platform), login)


def shown_spec(page: str) -> str:
    found = re.search(r'<textarea[^>]*name="spec"[^>]*>(.*?)</textarea>', page, re.DOTALL)
    assert found
    return unescape(found.group(1))


def test_both_examples_are_jobs_that_parse(world: World, merchant: Person) -> None:
    place = world.workspace()
    for example, edition in (("declared", 1), ("stepwise", 2), ("unknown", 1)):
        page = merchant.get(f"/workspaces/{place}?tab=runs&example={example}").text
        assert parse(shown_spec(page)).edition == edition


def test_an_example_with_steps_is_asked_for_and_shown_as_written(world: World, merchant: Person) -> None:
    place = world.workspace()
    spec = shown_spec(merchant.get(f"/workspaces/{place}?tab=runs&example=stepwise").text)
    assert "sql: |" in spec
    address = merchant.press(f"/workspaces/{place}/runs", spec=spec)
    page = merchant.get(address).text
    for word in ("准备", "SQL 步骤", "后处理", "取消运行"):
        assert word in page


@pytest.mark.parametrize(
    "text",
    ["SELECT 1\nFROM t\n", "SELECT 1\nFROM t", "a\n\n  b: {x}\n", " lead\nx", "tab\tx\ny", "x\n \ny", "a\r\nb", "\n"],
)
def test_texts_of_several_lines_come_back_as_they_were(text: str) -> None:
    spec = {
        "job": "j", "edition": 2, "inputs": {"t": {"grant": "G-1"}},
        "prepare": [{"name": "v", "sql": f"SELECT '{text}'"}, {"name": "w", "sql": f"x{text}"}],
        "product": {"from": "v", "where": [{"column": "a", "op": "=", "value": text}], "dimensions": [],
                    "measures": {"n": {"op": "count"}}},
        "post": {"sql": f"y{text}"}, "output": {"kind": "aggregate", "format": "csv"},
    }  # fmt: skip
    assert parse(examples.written(spec)) == parse(spec)
    assert parse(examples.shown(as_data(parse(spec)))) == parse(spec)


def test_the_merchant_cancels_a_run_and_a_stranger_does_not_see_it(world: World, merchant: Person, run: str) -> None:
    assert person(world, "stranger").post(f"/runs/{run}/cancel").status_code == 404
    assert merchant.get(f"/runs/{run}").text.count("/cancel") == 1
    assert merchant.press(f"/runs/{run}/cancel") == f"/runs/{run}"
    page = merchant.get(f"/runs/{run}").text
    assert "已取消" in page and "/cancel" not in page


def test_near_equal_runs_are_shown_to_merchant_operator_and_officer(world: World, merchant: Person) -> None:
    place = world.workspace()
    with world.system() as unit:
        application_id = get(unit.session, place).application_id
    grant = world.grants(application_id)[0]
    for value in (30, 31):
        world.advance(seconds=1)
        spec = world.spec(grant) | {"where": [{"column": "年龄", "op": ">", "value": value}]}
        with world.by(world.merchant) as unit:
            run = service.start_run(unit, place, spec)
    for login in ("merchant", "operator", "officer"):
        page = person(world, login).get(f"/runs/{run.id}").text
        assert "第 2 次相近作业" in page and "筛选 年龄 &gt; 30 → 31" in page, login


def test_an_operator_looks_with_a_reason_and_the_merchant_sees_that_it_happened(
    world: World, merchant: Person, run: str
) -> None:
    file = reports.place(world.platform.settings, run, "real")
    file.parent.mkdir(parents=True)
    entry = {"steps": ["product"], "report": "{}", "full": "<b>真名7</b>", "seconds": 2.0}
    file.write_text(json.dumps(entry))
    for login in ("merchant", "officer", "auditor"):
        reader = person(world, login)
        assert "报错原文（仅运营人员）" not in reader.get(f"/runs/{run}").text
        assert reader.post(f"/runs/{run}/reports", reason="想看一看").status_code == 403
    operator = person(world, "operator")
    assert "真名7" not in operator.get(f"/runs/{run}").text
    refused = operator.post(f"/runs/{run}/reports", reason="")
    assert refused.status_code == 422 and "写明理由" in refused.text and "真名7" not in refused.text
    assert "&lt;b&gt;真名7&lt;/b&gt;" in operator.post(f"/runs/{run}/reports", reason="工单 118 的机密原因").text
    page = merchant.get(f"/runs/{run}").text
    assert "查看报错原文" in page and "工单 118" not in page and "真名7" not in page
