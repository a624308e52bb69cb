"""The story of a hostile merchant: ten ways out through the real checks, and what an officer sees of each.

Rows, proofs, jails, ledger, rules, pages are real, driven by the jobs themselves; only the run that leaves the
merchant's file is left out, so that the file can be anything that a hostile run might leave.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.registry import HANDLERS
from sandbox.exports import reviewing
from sandbox.exports import service as exports
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.jobs import LocalExecutor
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from sandbox.products import repository as products
from tests.conftest import MONDAY
from tests.factories import World
from tests.pages import Person, application
from tests.real_products import opened, product, submitted, verdict

pytestmark = pytest.mark.jail
IDS = "'4499671990' || lpad(range::VARCHAR, 8, '0')"
ROWS = f"SELECT {IDS} AS 身份证号, '区' || (range % 3) AS 区, (50 + range % 40)::DOUBLE AS 费用 FROM range(600)"
PERSON = re.compile(r"4499671990\d{4,8}")
"""anybody of the source: a region that does not exist"""
SLIDING = "SELECT 区, avg(费用) OVER (PARTITION BY 区 ORDER BY 费用 ROWS 3 PRECEDING) AS 费用 FROM visit"


def counted(grant: str, **changes: Any) -> dict[str, Any]:
    """People by district: the platform derives who is behind every cell."""
    cube = {"from": "visit", "dimensions": ["区"], "measures": {"人次": {"op": "count"}}} | changes
    name = hashlib.sha256(repr(sorted(changes.items())).encode()).hexdigest()[:6]
    return {"job": f"按区人次{name}", "edition": 2, "inputs": {"visit": {"grant": grant}}, "product": cube,
            "output": {"kind": "aggregate", "format": "csv"}}  # fmt: skip


def underived(grant: str) -> dict[str, Any]:
    """A window that owners cannot be carried through: the file of the run itself is what is judged."""
    return counted(grant, measures={"均": {"op": "mean", "of": "费用", "round": 1}}) | {
        "job": "移动平均", "prepare": [{"name": "visits", "sql": SLIDING}],
        "product": {"from": "visits", "dimensions": ["区"], "measures": {"均": {"op": "mean", "of": "费用"}}},
    }  # fmt: skip


def table(select: str) -> bytes:
    rows = duckdb.sql(f"SELECT {select} FROM ({ROWS}) LIMIT 60")
    return ("\n".join([",".join(rows.columns), *(",".join(map(str, r)) for r in rows.fetchall())]) + "\n").encode()


def workbook() -> bytes:
    import xlsxwriter

    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer)
    book.add_worksheet("汇总").write_column(0, 0, ["区", "东"])
    below = book.add_worksheet("名单")
    below.write_column(0, 0, [row[0] for row in duckdb.sql(ROWS).fetchall()[:60]])
    below.very_hidden()
    book.close()
    return buffer.getvalue()


def bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as box:
        for n in range(20):
            box.writestr(f"{n}.csv", b"0" * (16 << 20))
    return buffer.getvalue()


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as box:
        box.writestr("汇总.xlsx", workbook())
        box.writestr("均.csv", pickle.dumps({"model": [1, 2, 3]}))
        box.writestr("键.csv", table("left(身份证号, 9) AS 甲, right(身份证号, 9) AS 乙, md5(身份证号) AS 键"))
        box.writestr("链接.csv", "区,均\n东,=HYPERLINK(\"http://x.test/\")\n")
    return buffer.getvalue()


FILES: dict[str, tuple[str, bytes]] = {
    "archive": ("均.zip", archive()), "bomb": ("炸.zip", bomb()),
}  # fmt: skip
"""what hostile runs leave: name and bytes"""

WAYS: dict[str, tuple[str, str, str]] = {
    "a hidden sheet": ("archive", "EXP-HIDDEN-01", "均.zip!汇总.xlsx#sheet=名单"),
    "a renamed pickle": ("archive", "EXP-FILE-01", "均.zip!均.csv"),
    "a formula": ("archive", "EXP-FORMULA-01", "均.zip!链接.csv"),
    "a zip bomb": ("bomb", "EXP-ARCHIVE-01", "炸.zip"),
    "a number split over two columns": ("archive", "EXP-JOIN-02", "均.zip!键.csv#column=1"),
    "a hashed number": ("archive", "EXP-JOIN-01", "encoding=md5"),
    "a small cell": ("few", "EXP-CELL-01", "row=2;column=人次"),
    "the difference to what was released": ("nearly all", "EXP-DIFF-01", "row=2;column=人次"),
}
"""way → the request that tries it, the rule and the place that the officer reads"""

CELLS: dict[str, tuple[dict[str, Any], str]] = {
    "few": ({"where": [{"column": "费用", "op": "=", "value": 50}]}, "SELECT 区, 5"),
    "nearly all": ({"where": [{"column": "费用", "op": "<", "value": 89}]}, "SELECT 区, 195"),
    "covered": (
        {"derive": {"档": {"band": {"of": "费用", "width": 51}}}, "dimensions": ["区", "档"],
         "suppress": {"below": "policy", "as": "*"}}, "SELECT 区, unnest([0, 51]), 5"),
}  # fmt: skip
"""request → what differs in its job, and rows like those that the run left"""


@dataclass
class Story:
    """What was tried, and the city it was tried in."""

    world: World
    officer: Person
    asked: dict[str, str]

    def page(self, way: str) -> str:
        answer = self.officer.get(f"/exports/{self.asked[way]}")
        assert answer.status_code == 200, answer.text
        return str(answer.text)


@pytest.fixture(scope="module")
def story(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("story")
    shutil.copy(sqlite_template, home / "metadata.sqlite")
    world = World.settle(Platform(Settings(home=home), FixedClock(MONDAY)))
    world.rules("export", "2026-02", max_times=10, buckets=8)  # few trials: the files are looked at
    workspace_id, grant = opened(world, ROWS)
    executor = LocalExecutor(world.platform, HANDLERS)
    honest = submitted(world, product(world, workspace_id, counted(grant), "SELECT '区0', 200"))
    executor.drain()
    assert verdict(world, honest)[0] == "in_review", verdict(world, honest)
    with world.by(world.officer) as unit:
        reviewing.review(unit, honest, "approve", "每格两百人")
    executor.drain()
    assert verdict(world, honest)[0] == "released"
    asked = {way: submitted(world, left(world, workspace_id, grant, name, raw))
             for way, (name, raw) in FILES.items()}  # fmt: skip
    for way, (changes, rows) in CELLS.items():
        values = f"{rows} FROM (VALUES ('区0'), ('区1'), ('区2')) t(区)"
        asked[way] = submitted(world, product(world, workspace_id, counted(grant, **changes), values))
    executor.drain()
    yield Story(world, Person(application(world.platform), "officer"), asked | {"honest": honest})
    world.platform.database.dispose()


def left(world: World, workspace_id: str, grant: str, name: str, raw: bytes) -> str:
    """The artefact of a run that left these bytes under this name."""
    artefact_id = product(world, workspace_id, underived(grant), "SELECT '区0', 69.5")
    digest = hashlib.sha256(raw).hexdigest()
    (world.platform.settings.artefacts_root / digest).write_bytes(raw)
    with world.system() as unit:
        made = products.artefact(unit.session, artefact_id)
        made.name, made.sha256, made.bytes = name, digest, len(raw)
    return artefact_id


@pytest.mark.parametrize("way", WAYS)
def test_the_officer_sees_the_way_its_place_and_its_rule_and_nobody_in_person(story: Story, way: str) -> None:
    request, rule, place = WAYS[way]
    state, said = verdict(story.world, story.asked[request])
    assert state == "blocked", [(f["rule"], f["severity"], f["place"]) for f in said["findings"]]
    found = [f for f in said["findings"] if f["rule"] == rule]
    assert found and all(f["text"]["zh"] and f["repair"]["zh"] for f in found)
    assert any(place in f["place"] for f in found), [f["place"] for f in found]
    page = story.page(request)
    assert rule in page and found[0]["text"]["zh"] in page
    assert not PERSON.search(page) and not PERSON.search(str(said))


def test_what_is_hidden_cannot_be_computed_from_what_was_released(story: Story) -> None:
    """Every district's total is out; a hidden part of five would follow from the other part, so that one hides too."""
    world, request_id = story.world, story.asked["covered"]
    with world.by(world.officer) as unit:
        record = exports.read(unit, request_id)
        shown = exports.reviewed_path(unit, record).read_text("utf-8-sig").splitlines()
    assert len(shown) == 7 and all(line.endswith(",*") for line in shown[1:]), shown
    assert verdict(world, request_id)[0] in ("in_review", "blocked")


def test_a_file_exchanged_after_the_check_is_refused_to_officer_and_release_and_on_record(story: Story) -> None:
    world, request_id = story.world, story.asked["covered"]
    with world.by(world.officer) as unit:
        path = exports.reviewed_path(unit, exports.read(unit, request_id))
    path.chmod(0o600)
    path.write_bytes(b"x" + path.read_bytes())
    story.officer.get(f"/exports/{request_id}")
    answer = story.officer.post(f"/exports/{request_id}/opinion", decision="approve", reason="看过")
    assert answer.status_code == 409 and "冻结后的内容发生了变化" in answer.text
    refused = [e for e in world.events("access:refused") if e.facts.get("code") == "export.bytes_changed"]
    assert refused and refused[-1].object_id == request_id
