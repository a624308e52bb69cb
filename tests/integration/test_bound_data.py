"""A product whose data were withdrawn, changed or replaced is refused at the gate with a repair, never an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipelines.registry import HANDLERS
from policies.text import UserError
from sandbox.applications import repository as applications
from sandbox.catalog import repository as catalogue
from sandbox.kernel.jobs import LocalExecutor
from sandbox.kernel.unit import Unit
from sandbox.products import service
from sandbox.workspaces import snapshot
from tests.factories import World
from tests.real_products import opened, product, submitted, verdict

pytestmark = pytest.mark.jail


def pinned(world: World, pin: str | None = None) -> tuple[str, str, dict[str, Any]]:
    """A workspace, its grant, and a job that pins the very snapshot of the grant (or `pin`)."""
    workspace_id, grant = opened(world)
    with world.system() as unit:
        held = _grant(unit, grant)
        digest = held.snapshot["real"]["digest"] if held.snapshot else ""
    spec = world.spec(grant)
    cube = {name: spec.pop(name) for name in ("from", "dimensions", "measures")}
    inputs = {"visit": {"grant": grant, "snapshot": pin or f"sha256:{digest}"}}
    return workspace_id, grant, spec | {"edition": 2, "inputs": inputs, "product": cube}


def _grant(unit: Unit, grant: str) -> applications.Grant:
    found = unit.session.get(applications.Grant, grant)
    assert found is not None
    return found


def replaced(unit: Unit, grant: str) -> None:
    held = _grant(unit, grant)
    assert held.snapshot is not None
    held.snapshot = {side: {**one, "digest": "0" * 64} for side, one in held.snapshot.items()}


def disposed(unit: Unit, grant: str) -> None:
    held = _grant(unit, grant)
    assert held.snapshot is not None
    snapshot.set_aside(unit.settings.snapshots_root, held.snapshot["real"]["digest"])


def changed(unit: Unit, grant: str) -> None:
    held = _grant(unit, grant)
    assert held.snapshot is not None
    file = snapshot.load(unit.settings.snapshots_root, held.snapshot["real"]["digest"]).path
    file.chmod(0o600)
    file.write_bytes(file.read_bytes() + b" ")


def withdrawn(unit: Unit, grant: str) -> None:
    catalogue.get(unit.session, _grant(unit, grant).resource_id).state = "withdrawn"


CASES = {
    "another snapshot took its place": (replaced, "run.pin", "snapshot"),
    "its snapshot is gone": (disposed, "evidence.source_changed", "重新生成"),
    "its bytes were changed": (changed, "evidence.source_changed", "重新生成"),
    "its table was withdrawn": (withdrawn, "evidence.input", "重新申请"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_product_of_data_that_are_no_longer_what_was_granted_is_refused_with_a_repair(
    world: World, case: str
) -> None:
    act: Callable[[Unit, str], None]
    act, code, repair = CASES[case]
    workspace_id, grant, spec = pinned(world)
    request_id = submitted(world, product(world, workspace_id, spec))
    with world.system() as unit:
        act(unit, grant)
    LocalExecutor(world.platform, HANDLERS).drain()
    state, found = verdict(world, request_id)
    assert (state, found["outcome"]) == ("blocked", "block"), [f for f in found["findings"] if f["severity"] == "error"]
    (refusal,) = [f for f in found["findings"] if f["rule"] == "EXP-PROOF-01"]
    assert refusal["measured"] == code and repair in refusal["repair"]["zh"]


def test_a_job_that_pins_what_its_grant_holds_is_judged_like_any_other(world: World) -> None:
    workspace_id, _grant_id, spec = pinned(world)
    request_id = submitted(world, product(world, workspace_id, spec))
    LocalExecutor(world.platform, HANDLERS).drain()
    assert verdict(world, request_id)[0] == "in_review"


def test_a_job_that_pins_other_data_is_not_started(world: World) -> None:
    workspace_id, _grant_id, spec = pinned(world, "sha256:" + "0" * 64)
    with world.by(world.merchant) as unit, pytest.raises(UserError, match=r"run\.pin") as refused:
        service.start_run(unit, workspace_id, spec)
    assert refused.value.fix is not None and "snapshot" in refused.value.fix.zh
