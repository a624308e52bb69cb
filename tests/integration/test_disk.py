"""The bound of a workspace's folder: what counts, and that it holds while a hostile script fills it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.workspaces import disk, jail, selftest
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import ChannelClosed

LIMITS = Limits(
    memory_mb=512, cpu_seconds=30, wall_seconds=30, processes=32, file_mb=64, result_rows=1000, result_mb=16, threads=1
)
QUOTA_MB = 25


@pytest.fixture(scope="module")
def tested() -> selftest.SelfTest:
    return selftest.selftest()


def fill(file: Path, megabytes: float) -> Path:
    file.write_bytes(os.urandom(1024) * int(megabytes * 1024))
    return file


def test_blocks_count_and_holes_do_not(tmp_path: Path) -> None:
    fill(tmp_path / "full", 5)
    with (tmp_path / "sparse").open("wb") as out:
        out.truncate(1 << 40)
    assert disk.share([tmp_path], 10) == pytest.approx(0.5, abs=0.01)


def test_every_inode_counts_folders_and_links_too(tmp_path: Path) -> None:
    for n in range(10):
        (tmp_path / f"folder{n}").mkdir()
        (tmp_path / f"folder{n}" / "empty").touch()
        (tmp_path / f"link{n}").symlink_to("/nowhere")
    assert disk.share([tmp_path], 1000, files=60) == 0.5


def test_a_file_with_two_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "second").hardlink_to(fill(tmp_path / "first", 5))
    assert disk.share([tmp_path], 10) == pytest.approx(0.5, abs=0.01)


def test_nothing_outside_is_counted_through_a_link(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    fill(outside / "big", 5)
    (inside / "link").symlink_to(outside)
    assert disk.share([inside], 10) < 0.01


def test_counting_stops_once_the_bound_is_passed(tmp_path: Path) -> None:
    for n in range(100):
        (tmp_path / str(n)).touch()
    assert disk.share([tmp_path], 1000, files=10) == pytest.approx(1.1)


def test_nesting_deeper_than_a_path_may_be_long_counts_as_full(tmp_path: Path) -> None:
    code = "import os\nfor _ in range(60):\n os.mkdir('d' * 100); os.chdir('d' * 100)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert disk.share([tmp_path], 10) == float("inf")
    subprocess.run(["rm", "-rf", str(tmp_path / ("d" * 100))], check=True)


@pytest.mark.parametrize("closed", [True, False])
def test_an_unlinked_file_counts_while_it_is_open_or_mapped(tmp_path: Path, closed: bool) -> None:
    code = f"""
import mmap, os
handle = os.open("hidden", os.O_RDWR | os.O_CREAT)
os.write(handle, os.urandom(1 << 20) * 5)
kept = mmap.mmap(handle, 5 << 20)
os.unlink("hidden")
if {closed}: os.close(handle)
print("ready", flush=True)
input()
"""
    (tmp_path / "home").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path / "home", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"ready\n"
        assert disk.share([tmp_path / "home"], 10) < 0.01
        if os.geteuid() == 0 or not closed:  # mappings are shown to the administrator only
            assert disk.share([tmp_path / "home"], 10, processes=[holder.pid]) == pytest.approx(0.5, abs=0.01)
        holder.kill()


FILL = {
    "many files": "while True:\n open(str(n), 'wb').write(block); n += 1",
    "one name again and again, unlinked while open": (
        "held = []\nwhile True:\n f = open('x', 'wb'); held.append(f); os.unlink('x'); n += 1\n"
        " for _ in range(8): f.write(block)\n f.flush()\n if n > 200: n = 0; time.sleep(60)"
    ),
    "a million empty files": "while True:\n os.close(os.open(str(n), os.O_CREAT | os.O_WRONLY)); n += 1",
    "a million folders": "while True:\n os.mkdir(str(n)); n += 1",
    "deep nesting": "while True:\n os.mkdir('d' * 200); os.chdir('d' * 200); n += 1\n if n > 400: time.sleep(60)",
    "a growing database": (
        "import sqlite3\nc = sqlite3.connect('a.db'); c.execute('create table t (b)')\nwhile True:\n"
        " c.execute('insert into t values (?)', [block]); c.commit(); n += 1\n"
        " if n % 50 == 0: c.close(); c = sqlite3.connect(f'a{n}.db'); c.execute('create table t (b)')"
    ),
    "closed folders": "while True:\n os.mkdir(str(n)); open(f'{n}/x', 'wb').write(block); os.chmod(str(n), 0); n += 1",
}  # fmt: skip


@pytest.mark.jail
@pytest.mark.parametrize("how", FILL)
def test_a_script_that_fills_the_disk_is_ended_near_its_bound(
    tested: selftest.SelfTest, tmp_path: Path, how: str
) -> None:
    source = f"import os, time\nn, block = 0, os.urandom(1 << 20)\n{FILL[how]}"
    home = tmp_path / "home"
    order = jail.Order("script", home, LIMITS, "simulated", extra={"source": source, "output_bytes": 1 << 20})
    jailed = jail.start(order, tested.form)
    bound = disk.Bound([home], QUOTA_MB, jailed)
    try:
        while not bound.passed():
            frame = jailed.data.receive(timeout=0.1)
            assert frame is None, frame
    except ChannelClosed:
        pytest.fail(f"the script ended before the bound was seen: {jailed.death()}")
    finally:
        jailed.kill()
    measured = subprocess.run(["du", "-sm", str(home)], capture_output=True, check=True)
    assert int(measured.stdout.split()[0]) < 40 * QUOTA_MB
    subprocess.run(["chmod", "-R", "u+rwx", str(home)], check=False)
    subprocess.run(["rm", "-rf", str(home)], check=True)
