"""`pds export`: a merchant asks for several products in one act, an officer sees them as one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.cli.main import run
from sandbox.exports import service
from sandbox.exports.review import Stakes
from sandbox.kernel import clocks
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from tests.conftest import MONDAY
from tests.factories import PASSWORD, World, verdict

Call = Callable[..., tuple[int, Any]]
SAID = ("--purpose", "排班参考", "--population", "全部门诊", "--controls", "按区汇总并取整", "--title", "门诊量")


@pytest.fixture
def world(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    shutil.copy(sqlite_template, tmp_path / "metadata.sqlite")
    monkeypatch.setenv("PDS_HOME", str(tmp_path))
    monkeypatch.delenv("PDS_DATABASE_URL", raising=False)
    monkeypatch.setenv("PDS_PASSWORD", PASSWORD)
    return World.settle(Platform(Settings(home=tmp_path), FixedClock(MONDAY)))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def _call(*arguments: str) -> tuple[int, Any]:
        code = run([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return _call


def test_several_products_are_asked_for_in_one_command_and_wait_as_one_line(
    world: World, call: Call, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = world.workspace()
    artefacts = [world.artefact(place) for _ in range(2)]
    code, made = call("export", "submit", *artefacts, *SAID, "--as", "merchant")
    assert code == 0 and [f["state"]["zh"] for f in made["files"]] == ["已冻结，待机器核查"] * 2
    assert [f["title"]["zh"] for f in made["files"]] == ["门诊量（visits.csv）"] * 2
    ids = [f["id"] for f in made["files"]]
    assert call("export", "queue", "--as", "officer")[1]["queue"] == []
    with world.system() as unit:
        for one in service.begin_checks(unit, ids):
            service.conclude_check(unit, one, verdict(), stakes=Stakes("aggregate", 2, False, 10.0))
    (line,) = call("export", "queue", "--as", "officer")[1]["queue"]
    assert (line["group"], line["count"], [f["id"] for f in line["files"]]) == (made["group"], 2, ids)
    assert all(f["mine"] and f["needed"] == 1 for f in line["files"])
    assert line["days_left"] is not None
    shown = call("export", "show", made["group"], "--as", "merchant")[1]
    assert [f["outcome"] for f in shown["files"]] == ["pass", "pass"]
    assert run(["export", "queue", "--as", "officer"]) == 0
    printed = capsys.readouterr().out
    asked: list[tuple[Any, ...]] = []
    with monkeypatch.context() as patched:
        of = clocks.running
        patched.setattr(clocks, "running", lambda *given: asked.append(given[1:]) or of(*given))
        call("export", "queue", "--as", "officer")
    assert set(asked) == {("export",)}, "the clocks of all requests at once, never those of one"
    assert "2 个文件" in printed and printed.count("→") == 2


def test_a_draft_stays_one_and_products_of_two_applications_are_refused(world: World, call: Call) -> None:
    one, other = world.artefact(), world.artefact()
    code, made = call("export", "submit", one, *SAID, "--draft", "--as", "merchant")
    assert code == 0 and [f["state"]["zh"] for f in made["files"]] == ["草稿"]
    code, refused = call("export", "submit", one, other, *SAID, "--as", "merchant")
    assert code == 2 and refused["error"]["code"] == "export.applications"
    code, hidden = call("export", "show", made["group"], "--as", "officer")
    assert code != 0 and "门诊量" not in json.dumps(hidden, ensure_ascii=False), "drafts are their author's alone"
