"""A worker from a warm spare stands behind the same walls as one from a cold start."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from sandbox.workspaces import jail, selftest, spares, system
from sandbox.workspaces.broker import Broker, Mode, QueryResult, WorkspaceMount
from sandbox.workspaces.inside import OWN_UID
from sandbox.workspaces.limits import Limits

LIMITS = Limits(
    memory_mb=768, cpu_seconds=60, wall_seconds=30, processes=64, file_mb=64, result_rows=1000, result_mb=16, threads=1
)
pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting into a spare needs root; elsewhere every start is cold"),
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grant") / "visits.parquet"
    duckdb.sql("SELECT range AS n FROM range(10)").write_parquet(str(path))
    return path


@pytest.fixture
def warm() -> Iterator[spares.Spares]:
    kept = spares.Spares(OWN_UID, LIMITS, 1)
    kept.fill()
    assert kept.unavailable == ""
    yield kept
    kept.close()


def inner(jailed: jail.Jailed) -> int:
    """The jailed Python itself: the last of the chain bwrap, bwrap inside, Python."""
    pid = jailed.process.pid
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pid = int(children[0])
    return pid


def status(pid: int, task: int, *names: str) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/task/{task}/status").read_text().splitlines()
    return {k: v.strip() for k, _, v in (line.partition(":") for line in lines) if k in names}


def mounts(pid: int) -> dict[str, tuple[str, ...]]:
    """Place of each mount → (what of the file system, flags, type)."""
    found = {}
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        _id, _parent, _device, root, place, flags = before.split()[:6]
        found[place] = (root, *sorted(flags.split(",")), after.split()[0])
    return found


def test_all_attacks_end_as_on_a_cold_start() -> None:
    kept = spares.Spares(OWN_UID, selftest._LIMITS, 1, task="attacks")
    kept.fill()
    taken = kept.pids()
    try:
        warm = selftest.attack(OWN_UID, kept.start)
        assert (kept.unavailable, len(taken), kept.pids()) == ("", 1, []), "the attacks ran on the spare"
    finally:
        kept.close()
    cold = selftest.selftest()
    assert warm.tier == selftest.STRONG
    assert [(a.name, a.stopped, a.by) for a in warm.attacks] == [(a.name, a.stopped, a.by) for a in cold.attacks]


def test_mounts_user_filters_limits_and_groups_equal_those_of_a_cold_start(
    warm: spares.Spares, table: Path, tmp_path: Path
) -> None:
    order = jail.Order("worker", tmp_path / "w", LIMITS, "simulated", {"visits": table, "again": table})
    seen = []
    for start in (warm.start, jail.start):
        jailed = start(order, OWN_UID)
        try:
            assert jailed.data.receive(timeout=30) == ({"is": "open"}, b"")
            pid = inner(jailed)
            tasks = [int(t) for t in os.listdir(f"/proc/{pid}/task")]
            names = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs",
                     "Seccomp", "Seccomp_filters")  # fmt: skip
            walls = [status(pid, task, *names) for task in tasks]
            assert all(wall == walls[0] for wall in walls), "a thread is outside the walls"
            own = {place: found for place, found in mounts(pid).items() if place != "/granted"}
            seen.append((own, walls[0], Path(f"/proc/{pid}/limits").read_text(), jailed.notes))
        finally:
            jailed.kill()
    (warm_mounts, warm_walls, warm_limits, warm_notes), cold = seen[0], seen[1]
    assert warm_mounts == cold[0]
    assert "ro" in warm_mounts["/granted/0.parquet"]
    assert (warm_walls, warm_notes) == (cold[1], cold[3])
    assert warm_walls["Seccomp_filters"] == "2"
    cpu = [line for line in warm_limits.splitlines() if not line.startswith("Max cpu time")]
    assert cpu == [line for line in cold[2].splitlines() if not line.startswith("Max cpu time")]


def test_the_place_of_the_tables_cannot_be_written_and_nothing_else_is_there(
    warm: spares.Spares, table: Path, tmp_path: Path
) -> None:
    order = jail.Order("worker", tmp_path / "w", LIMITS, "simulated", {"visits": table})
    jailed = warm.start(order, OWN_UID)
    try:
        jailed.data.receive(timeout=30)
        root = Path(f"/proc/{inner(jailed)}/root")
        assert os.listdir(root / "granted") == ["0.parquet"]
        with pytest.raises(OSError, match="Read-only"):
            (root / "granted" / "x").write_text("x")
        with pytest.raises(OSError, match="Read-only"):
            (root / "granted" / "0.parquet").write_text("x")
        assert sorted(os.listdir(root / "workspace")) == sorted(os.listdir(tmp_path / "w"))
    finally:
        jailed.kill()


def test_a_spare_holds_nothing_of_anybody(warm: spares.Spares) -> None:
    (pid,) = warm.pids()
    inside = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    assert os.listdir(f"/proc/{inside}/root/workspace") == []
    assert os.listdir(f"/proc/{inside}/root/granted") == []
    lives = {Path(path).parts[2] for path in (*system.read_only(), sys.prefix) if path.startswith("/tmp/")}
    assert set(os.listdir(f"/proc/{inside}/root/tmp")) <= lives, "at most the folder that Python lives in"


def test_another_order_or_a_broken_spare_starts_cold(warm: spares.Spares, tmp_path: Path) -> None:
    other = Limits(**{**LIMITS.as_dict(), "file_mb": 32})
    jailed = warm.start(jail.Order("worker", tmp_path / "w", other, "simulated"), OWN_UID)
    jailed.kill()
    assert len(warm.pids()) == 1, "other limits do not fit a spare"
    warm._warm[0].process.kill()
    warm._warm[0].process.wait()
    jailed = warm.start(jail.Order("worker", tmp_path / "w", LIMITS, "simulated"), OWN_UID)
    assert jailed.data.receive(timeout=30) == ({"is": "open"}, b"")
    jailed.kill()


def test_a_snapshot_that_is_gone_is_not_opened_from_a_spare_either(warm: spares.Spares, tmp_path: Path) -> None:
    order = jail.Order("worker", tmp_path / "w", LIMITS, "simulated", {"gone": tmp_path / "gone.parquet"})
    with pytest.raises(jail.JailFailed):
        warm.start(order, OWN_UID)


def test_the_broker_opens_from_spares_and_makes_new_ones(table: Path, tmp_path: Path) -> None:
    broker = Broker(selftest.selftest(), LIMITS, capacity_mb=4000, spares=1)
    try:
        broker.warm()
        (first,) = broker._spares.pids()
        result = broker.query(
            WorkspaceMount("w1", Mode.SIMULATED, tmp_path / "w1", {"t": table}, quota_mb=512), "SELECT sum(n) FROM t"
        )
        assert isinstance(result, QueryResult)
        assert result.rows[0].to_pylist() == [45]
        assert [w.jailed.process.pid for w in broker._workers.values()] == [first]
        broker.warm()
        assert len(broker._spares.pids()) == 1
        assert first not in broker._spares.pids()
    finally:
        broker.close()
    assert broker._spares.pids() == []
