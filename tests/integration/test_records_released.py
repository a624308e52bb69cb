"""People with several records: what a filter leaves out is found by the records, on the platform and over versions."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.registry import HANDLERS
from sandbox.exports import reviewing
from sandbox.exports.ledger import LedgerCell
from sandbox.kernel.jobs import LocalExecutor
from tests.factories import World
from tests.integration.test_gate_story import IDS, ROWS, counted
from tests.real_products import opened, product, submitted, verdict

pytestmark = pytest.mark.jail
SECOND = f"SELECT {IDS}, '区' || (range % 3), 900::DOUBLE FROM range(600) WHERE range % 3 = 0"
FEW, MANY = (f"SELECT * FROM ({ROWS}) UNION ALL (SELECT * FROM ({SECOND}) LIMIT {n})" for n in (4, 150))


def amounts(grant: str, where: str | None = None) -> dict[str, Any]:
    return counted(grant, measures={"费用": {"op": "sum", "of": "费用"}}, **({"where": where} if where else {}))


def asked(world: World, workspace: str, job: dict[str, Any], rows: str) -> str:
    """A request for the product of `job`, checked."""
    where = f"WHERE {job['product']['where']}" if "where" in job["product"] else ""
    values = f"SELECT 区, sum(费用) AS 费用 FROM ({rows}) {where} GROUP BY 区 ORDER BY 区"
    found = submitted(world, product(world, workspace, job, values))
    LocalExecutor(world.platform, HANDLERS).drain()
    return found


def released(world: World, workspace: str, grant: str, rows: str) -> None:
    first = asked(world, workspace, amounts(grant), rows)
    assert verdict(world, first)[0] == "in_review", verdict(world, first)
    with world.by(world.officer) as unit:
        reviewing.review(unit, first, "approve", "每格两百人")
    LocalExecutor(world.platform, HANDLERS).drain()
    assert verdict(world, first)[0] == "released"
    with world.system() as unit:
        units = unit.session.query(LedgerCell.unit).filter(LedgerCell.release_id != first)
        assert {one for (one,) in units} == {"entity", "record"}


@pytest.mark.parametrize(("rows", "state"), [(FEW, "blocked"), (MANY, "in_review")], ids=["of four", "of many"])
def test_what_a_filter_leaves_out_is_told_by_the_records(world: World, rows: str, state: str) -> None:
    """The same people are behind both tables; in the one, four of them lack a record."""
    workspace, grant = opened(world, rows)
    released(world, workspace, grant, rows)
    later = asked(world, workspace, amounts(grant, "费用 < 800"), rows)
    found, told = verdict(world, later)
    assert found == state, told
    blocked = {f["rule"] for f in told["findings"] if f["severity"] == "block"}
    assert ("EXP-DIFF-01" in blocked) == (state == "blocked")
