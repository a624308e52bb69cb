"""Control groups on the machine the tests run on: what is inside them, what they count, and that none stays."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.workspaces import cgroup, jail, script, selftest
from sandbox.workspaces.broker import Mode, WorkspaceMount
from sandbox.workspaces.inside import LANDLOCK, LIMITS_ONLY
from sandbox.workspaces.limits import Limits

LIMITS = Limits(
    memory_mb=512, cpu_seconds=30, wall_seconds=20, processes=32, file_mb=64, result_rows=1000, result_mb=16, threads=1
)
HOLD = """
import os, time
def hold(megabytes):
    held = bytearray(megabytes << 20)
    for page in range(0, len(held), 4096):
        held[page] = 1
    time.sleep(3)
for _ in range(6):
    if os.fork() == 0:
        hold(250)
        os._exit(0)
hold(400)
"""


@pytest.fixture
def group() -> Iterator[cgroup.Group]:
    made = cgroup.make(LIMITS)
    if made is None:
        pytest.skip("this machine allows no control group")
    yield made
    made.remove()


@pytest.fixture(scope="module")
def tested() -> selftest.SelfTest:
    return selftest.selftest()


def _enter(group: cgroup.Group, command: str) -> subprocess.Popen[bytes]:
    entering = "".join(f"echo 0 > {entrance}; " for entrance in group.entrances)
    return subprocess.Popen(["/bin/sh", "-c", f"{entering} {command}"], stdout=subprocess.PIPE)


def _names(pid: int) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text()


def _descendants(pid: int) -> list[int]:
    children = [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [d for child in children for d in _descendants(child)]


def _left() -> set[Path]:
    mark = cgroup._mark(os.getpid())
    return {p for folder in cgroup._parents()[0].values() for p in folder.glob(f"{mark}*")}


@pytest.mark.parametrize("form", jail.forms())
def test_every_process_of_a_jail_is_inside_before_it_is_told_anything(form: str, tmp_path: Path) -> None:
    jailed = jail.start(jail.Order("worker", tmp_path / "own", LIMITS, "simulated"), form)
    try:
        if jailed.group is None:
            pytest.skip("this machine allows no control group")
        (name,) = {Path(e).parent.name for e in jailed.group.entrances}
        everyone = [jailed.process.pid, *_descendants(jailed.process.pid)]
        assert len(everyone) == (1 if form in (LANDLOCK, LIMITS_ONLY) else 3)
        for pid in everyone:
            assert _names(pid).count(name) == len(jailed.group.entrances)
        assert jailed.group.cpu_seconds() > 0
        assert jailed.group.memory_bytes() > 1 << 20
    finally:
        jailed.kill()
    assert _left() == set()


@pytest.mark.jail
def test_memory_of_many_processes_together_is_bounded_and_the_death_is_named(
    tested: selftest.SelfTest, tmp_path: Path
) -> None:
    """Each child stays below its own limit; all together do not: with no group the script may not fork at all."""
    mount = WorkspaceMount("w", Mode.SIMULATED, tmp_path / "w", quota_mb=512)
    outcome = script.execute(mount, HOLD, LIMITS, tested)
    assert outcome.kind == ("memory_limit" if cgroup.MEMORY in cgroup._parents()[0] else "failed")
    assert _left() == set()


def test_a_kill_by_the_kernel_for_memory_is_told_from_any_other_kill(group: cgroup.Group) -> None:
    if cgroup.MEMORY not in group.controllers:
        pytest.skip("no memory controller")
    assert group.oom_kills() == 0
    with _enter(group, f"exec {sys.executable} -c \"b'x' * (1 << 30)\"") as eater:
        assert eater.wait() == -9
    assert group.oom_kills() == 1


def test_what_is_still_inside_ends_with_the_group(group: cgroup.Group) -> None:
    with _enter(group, "echo here; exec sleep 60") as sleeper:
        assert sleeper.stdout is not None and sleeper.stdout.readline() == b"here\n"
        group.remove()
        assert sleeper.wait() == -9
    assert not any(Path(entrance).exists() for entrance in group.entrances)


def test_groups_of_an_ended_platform_are_removed_at_the_next_start_and_those_of_a_living_one_stay() -> None:
    parents = set(cgroup._parents()[0].values())
    if not parents:
        pytest.skip("this machine allows no control group")
    folder = parents.pop()
    table = Path("/proc/self/ns/pid").stat().st_ino
    ended = folder / f"pds-jail-{table}-{os.getpid()}-1-0"  # our number, used by a process that started earlier
    living, elsewhere = folder / f"{cgroup._mark(os.getpid())}-900", folder / f"pds-jail-1-{os.getpid()}-1-0"
    for place in (ended, living, elsewhere):
        place.mkdir()
    try:
        cgroup._sweep(folder)
        assert [p.exists() for p in (ended, living, elsewhere)] == [False, True, True]
    finally:
        for place in (living, elsewhere):
            place.rmdir()


def test_version_2_is_entered_counted_and_removed() -> None:
    """With whatever controllers it has: on a machine with version 1 it counts processor time only."""
    root, point = cgroup._mounts(Path("/proc/self/mountinfo").read_text()).get("", ("/", "/nowhere"))
    folder = cgroup._folder((root, point), dict(cgroup._own_paths(Path("/proc/self/cgroup").read_text())).get(""))
    if folder is None:
        pytest.skip("no version 2 hierarchy that we may write")
    place = folder / f"{cgroup._mark(os.getpid())}-v2"
    place.mkdir()
    group = cgroup.Group({**cgroup._delegated(folder), cgroup.PROCESSOR: place}, unified=True)
    group._folders = dict.fromkeys(group.controllers, place)
    group.limit(LIMITS)
    with _enter(group, "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo done; exec sleep 60") as counting:
        assert counting.stdout is not None and counting.stdout.readline() == b"done\n"
        assert group.cpu_seconds() > 0
        group.remove()
        assert counting.wait() == -9
    assert not place.exists()


def test_where_no_group_can_be_made_a_script_may_not_fork(
    tested: selftest.SelfTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroup, "make", lambda _limits: None)
    mount = WorkspaceMount("w", Mode.SIMULATED, tmp_path / "w", quota_mb=512)
    source = "import os\ntry:\n    os.fork()\nexcept PermissionError:\n    print('refused')"
    outcome = script.execute(mount, source, LIMITS, tested)
    assert (outcome.kind, outcome.output) == ("done", "refused\n")


V1 = """12:pids:/docker/abc
11:cpu,cpuacct:/docker/abc
9:memory:/docker/abc
1:name=systemd:/docker/abc
0::/docker/abc
"""
MOUNTS = """\
30 24 0:26 /docker/abc /sys/fs/cgroup/memory ro,nosuid shared:9 - cgroup cgroup rw,memory
31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 24 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_where_the_own_group_is_seen_is_read_from_the_kernels_tables(tmp_path: Path) -> None:
    own, mounts = dict(cgroup._own_paths(V1)), cgroup._mounts(MOUNTS)
    assert own["cpuacct"] == own["memory"] == own[""] == "/docker/abc"
    assert mounts["memory"] == ("/docker/abc", "/sys/fs/cgroup/memory")
    assert mounts["cpuacct"] == mounts["cpu"] == ("/", "/sys/fs/cgroup/cpu,cpuacct")
    assert mounts[""] == ("/", "/sys/fs/cgroup/unified")
    (tmp_path / "docker/abc").mkdir(parents=True)
    assert cgroup._folder(("/docker/abc", str(tmp_path)), "/docker/abc") == tmp_path
    assert cgroup._folder(("/", str(tmp_path)), "/docker/abc") == tmp_path / "docker/abc"
    assert cgroup._folder(("/docker/other", str(tmp_path)), "/docker/abc") is None
    assert cgroup._folder(None, "/docker/abc") is None
