"""The file that the platform writes at the gate is what people review, what is frozen and what leaves."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any

import pytest

from pipelines.registry import HANDLERS
from policies.text import UserError
from sandbox.exports import repository as export_records
from sandbox.exports import reviewing
from sandbox.exports import service as exports
from sandbox.kernel.jobs import LocalExecutor
from tests.factories import World
from tests.real_products import ROWS, opened, product, submitted, verdict

pytestmark = pytest.mark.jail
INSIDE = f"SELECT 区, avg(费用) + 0.04 AS 均 FROM ({ROWS}) GROUP BY 区 ORDER BY 区"


@pytest.fixture
def reviewed(world: World) -> str:
    """A request in review: the run's own file has decimals that the platform's does not."""
    workspace_id, grant = opened(world)
    spec: dict[str, Any] = world.spec(grant) | {"measures": {"均": {"op": "mean", "of": "费用", "round": 2}}}
    request_id = submitted(world, product(world, workspace_id, spec, INSIDE))
    LocalExecutor(world.platform, HANDLERS).drain()
    state, found = verdict(world, request_id)
    assert state == "in_review", [(f["rule"], f["measured"]) for f in found["findings"]]
    return request_id


def record_of(world: World, request_id: str) -> export_records.ExportRequest:
    with world.system() as unit:
        return export_records.get(unit.session, request_id)


def test_what_is_frozen_is_the_platforms_file_and_that_is_what_leaves(world: World, reviewed: str) -> None:
    frozen = record_of(world, reviewed).frozen
    assert frozen and frozen["file"] != frozen["artefact"]
    with world.by(world.officer) as unit:
        shown = exports.reviewed_path(unit, exports.read(unit, reviewed)).read_bytes()
    assert hashlib.sha256(shown).hexdigest() == frozen["file"]
    with world.by(world.officer) as unit:
        reviewing.review(unit, reviewed, "approve", "数值稳妥")
    LocalExecutor(world.platform, HANDLERS).drain()
    assert verdict(world, reviewed)[0] == "released"
    with world.by(world.merchant) as unit:
        package = exports.download(unit, reviewed).read_bytes()
    with zipfile.ZipFile(io.BytesIO(package)) as files:
        assert any(frozen["file"].encode() in files.read(name) for name in files.namelist()), "the manifest names it"


def test_a_file_changed_after_it_was_checked_voids_what_was_approved(world: World, reviewed: str) -> None:
    frozen = record_of(world, reviewed).frozen
    assert frozen is not None
    path = world.platform.settings.artefacts_root / frozen["file"]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b" ")
    with world.by(world.officer) as unit, pytest.raises(UserError, match=r"export\.bytes_changed"):
        reviewing.review(unit, reviewed, "approve", "数值稳妥")
