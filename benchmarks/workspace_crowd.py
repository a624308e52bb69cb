"""Many workspaces on one machine: what the idle ones hold, whether busy ones all get on, what a bad neighbour costs."""

from __future__ import annotations

import itertools
import os
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.workspace import LIMITS, answered, capacity, five_columns, seconds
from policies.text import Text
from sandbox.workspaces.admission import family
from sandbox.workspaces.broker import Broker, Mode, QueryFailed, WorkspaceMount
from sandbox.workspaces.selftest import selftest

_IDLE_GB, _SMALL_SECONDS, _BOMB_TIMES = 4.0, 1.0, 3.0
_SMALL = "SELECT kind, count(*), avg(share) FROM t GROUP BY kind ORDER BY kind"
_BURNING = "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE (a.range * b.range) % 7 = 3"
_BOMBS = (
    "SELECT len(range(1000000000))",
    "SELECT len(repeat('x', 4000000000))",
    "SELECT len(list(range)) FROM range(200000000)",
)
_BURNERS = 2


def idle() -> list[Figure]:
    """Proportional set size of workspaces that answered once and wait."""
    count = int(os.environ.get("PDS_BENCH_WORKSPACES", "100"))
    with _crowd(count) as (broker, mounts):
        for mount in mounts:
            answered(broker.query(mount, _SMALL))
        held = sum(_pss_mb(worker.jailed.process.pid) for worker in broker._workers.values()) / 1024
        if len(broker.status()) != count:
            raise RuntimeError("a workspace was sent away: this machine has no room for so many")
    aim = _IDLE_GB * count / 100
    text = Text(
        f"{count} 个空闲工作空间占用内存（PSS），对目标（100 个 ≤ {_IDLE_GB:g} GB）",
        f"memory of {count} idle workspaces (PSS), against the bar ({_IDLE_GB:g} GB for 100)",
    )
    return [Figure("idle", held, aim, "GB", text)]


def busy() -> list[Figure]:
    """Do all of many busy workspaces get answers; and how long a small query takes while neighbours burn both cores."""
    count, span = int(os.environ.get("PDS_BENCH_BUSY", "32")), _span()
    with _crowd(count) as (broker, mounts):
        for mount in mounts:
            answered(broker.query(mount, _SMALL))
        answers = _together([lambda m=mount: answered(broker.query(m, _SMALL)) for mount in mounts], span)
    with _crowd(_BURNERS + 1) as (broker, mounts):
        *burners, quick = mounts
        answered(broker.query(quick, _SMALL))
        with _burning(broker, burners):
            taken = _repeated(lambda: answered(broker.query(quick, _SMALL)), span)
    fewest = min(len(times) for times in answers)
    return [
        Figure("busy_fewest", fewest, statistics.mean(len(t) for t in answers), "answers", Text(
            f"{count} 个忙碌的工作空间在 {span:g} 秒内：最少的一个得到的答案数，对平均（目标：人人有进展）",
            f"{count} busy workspaces in {span:g} s: answers of the one with fewest, over the mean (bar: all get on)")),
        Figure("busy_p95", _p95(taken), _SMALL_SECONDS, "s", Text(
            "两个邻居占满处理器时小查询的 95 分位用时，对目标",
            "p95 of a small query while two neighbours burn both cores, against the bar")),
    ]  # fmt: skip


def bomb() -> list[Figure]:
    """Middle answer time of others while a neighbour sends one memory bomb after the other, over the quiet one."""
    span = _span()
    with _crowd(3) as (broker, mounts):
        attacker, *others = mounts
        for mount in mounts:
            answered(broker.query(mount, _SMALL))
        asked = [lambda m=mount: answered(broker.query(m, _SMALL)) for mount in others]
        quiet = statistics.median(itertools.chain(*_together(asked, span)))
        with _bombing(broker, attacker) as outcomes:
            loud = statistics.median(itertools.chain(*_together(asked, span)))
    text = Text(
        f"邻居连续引爆 {len(outcomes)} 个内存炸弹（结果：{'、'.join(sorted(set(outcomes)))}）时他人的中位用时，"
        f"对平静时（目标比值 ≤ {_BOMB_TIMES:g}）",
        f"median of others while a neighbour sets off {len(outcomes)} memory bombs (each ended as:"
        f" {', '.join(sorted(set(outcomes)))}), over quiet (bar: ratio ≤ {_BOMB_TIMES:g})",
    )
    return [Figure("bomb", loud, quiet, "s", text)]


@contextmanager
def _crowd(count: int) -> Iterator[tuple[Broker, list[WorkspaceMount]]]:
    """A broker with the platform's own number of places, and so many workspaces with a table each."""
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as place:
        tables = {"t": five_columns(Path(place), 10_000)}
        broker = Broker(selftest(), LIMITS, capacity_mb=capacity(4))
        try:
            yield broker, [
                WorkspaceMount(f"w{n}", Mode.SIMULATED, Path(place, f"w{n}"), tables, quota_mb=8192)
                for n in range(count)
            ]
        finally:
            broker.close()


def _together(works: list[Callable[[], object]], span: float) -> list[list[float]]:
    """Each work again and again in a thread of its own for `span` seconds; the times of each."""
    found: list[list[float]] = [[] for _ in works]
    threads = [
        threading.Thread(target=lambda into, w: into.extend(_repeated(w, span)), args=pair)
        for pair in zip(found, works, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _repeated(work: Callable[[], object], span: float) -> list[float]:
    until, taken = time.monotonic() + span, []
    while time.monotonic() < until:
        taken.append(seconds(work))
    return taken


@contextmanager
def _burning(broker: Broker, mounts: list[WorkspaceMount]) -> Iterator[None]:
    """These workspaces compute without end."""
    threads = [threading.Thread(target=broker.query, args=(mount, _BURNING)) for mount in mounts]
    for thread in threads:
        thread.start()
    while broker.load()["running"] != len(mounts):
        time.sleep(0.01)
    time.sleep(1.0)  # the neighbours' own start is over
    try:
        yield
    finally:
        for mount in mounts:
            broker.stop(mount.workspace_id)
        for thread in threads:
            thread.join()


@contextmanager
def _bombing(broker: Broker, mount: WorkspaceMount) -> Iterator[list[str]]:
    """This workspace sends bomb after bomb; yields how each of them ended."""
    over, outcomes = threading.Event(), list[str]()

    def send() -> None:
        for sql in itertools.cycle(_BOMBS):
            if over.is_set():
                return
            outcome = broker.query(mount, sql)
            outcomes.append(outcome.kind if isinstance(outcome, QueryFailed) else "ok")

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield outcomes
    finally:
        over.set()
        thread.join()


def _pss_mb(pid: int) -> float:
    """Proportional set size of a process and all below it, in MB."""
    total = 0
    for process in family(pid):
        told = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE)
        total += int(told[1]) if told else 0
    return total / 1024


def _p95(taken: list[float]) -> float:
    return sorted(taken)[min(len(taken) - 1, int(len(taken) * 0.95))]


def _span() -> float:
    return float(os.environ.get("PDS_BENCH_SECONDS", "10"))
