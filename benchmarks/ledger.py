"""The differencing ledger at size: a request against years of releases, beside other ways to the same findings.

`PDS_BENCH_ROWS`: persons in the city (100,000). Every method is asked the same question in this run and has to find the
same, or the run fails; those that would take hours are asked about a sample of the request's cells.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from api.cli.output import CouldNotRun
from benchmarks.figures import Figure, peak_mb
from benchmarks.leaks import cases, judged
from benchmarks.ledger_city import THRESHOLD, releases
from policies.text import Text
from policies.verdict import Outcome
from sandbox.exports import ledger
from sandbox.exports.closure import closure
from sandbox.exports.differencing import Pairs, near_pairs
from sandbox.exports.encoding import encode
from sandbox.exports.history import COUNT, ReleasedCell
from sandbox.exports.ranks import members_of
from sandbox.kernel.database import Base

T = TypeVar("T")
Found = set[tuple[int, int]]
SAMPLE, _PART = 40, 8
"""Cells of the request that the slowest method is asked about, and of how many others it is given one."""
CLOSURE_SECONDS = 600.0
SEED = 7
LINEAGE = "lin"


def run() -> list[Figure]:
    """Bars of the ledger: candidates, encoding, closure, and the pair search beside three others."""
    made = releases(int(os.environ.get("PDS_BENCH_ROWS", "100000")))
    old, new = ([c for c in side if c.variable == COUNT] for side in (made.old, made.new))
    return [*_pairs(_distinct(new), _distinct(old)), *_closure(new, old), *_planted(), _peak()]


def _distinct(cells: Sequence[ReleasedCell]) -> list[ReleasedCell]:
    return list({cell.bitmap: cell for cell in cells}.values())


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def _pairs(new: list[ReleasedCell], old: list[ReleasedCell]) -> list[Figure]:
    cells = [*new, *old]
    for cell in cells:
        _ = cell.entities  # every method needs them: read once, before any is timed
    with _ledger(old) as session:
        ledger.near_sets(session, LINEAGE, old[:1], THRESHOLD)  # a platform that runs has asked before
        ours, searched = _timed(
            lambda: near_pairs(
                new, old, threshold=THRESHOLD, budget=10**9, near=ledger.near_sets(session, LINEAGE, new, THRESHOLD)
            )
        )
    anew, again = _timed(lambda: near_pairs(new, old, threshold=THRESHOLD, budget=10**9))
    window, by_size = _timed(lambda: _by_size(cells, len(new)))
    product, by_product = _timed(lambda: _by_product(cells, len(new)))
    mine = _numbered(searched, cells)
    if not mine == _numbered(again, cells) == by_size == by_product:
        raise CouldNotRun("bench.differs", Text("各方法找到的不一致", "the methods do not find the same"))
    sample = min(SAMPLE, len(new))
    slow, by_sets = _by_sets(cells, sample)
    if by_sets != {(a, b) for a, b in mine if a < sample <= b and (b - sample) % _PART == 0}:
        text = Text("抽样的逐对比较与索引不一致", "the sample of all pairs finds something else")
        raise CouldNotRun("bench.differs", text)
    possible = len(new) * (len(new) - 1) // 2 + len(new) * len(old)
    return [
        Figure("pairs", len(mine), 1, "pairs", Text(f"相差不足 {THRESHOLD} 人的格对", "pairs that differ in too few")),
        Figure("candidates", searched.compared / possible, 0.001, "share",
               Text("比较过的占全部格对（目标 ≤ 0.1 %）", "compared, of all pairs (bar ≤ 0.1 %)")),
        Figure("search", ours, anew, "s", Text("用台账所存索引，对照重建索引",
               "by the index that the ledger keeps, against one made anew")),
        Figure("size_window", window / ours, 5, "×",
               Text("按大小筛选的耗时倍数（目标 ≥ 5）", "a window of sizes takes (bar ≥ 5)")),
        Figure("sparse_product", product / ours, 3, "×",
               Text("稀疏矩阵乘的耗时倍数（目标 ≥ 3）", "a sparse product takes (bar ≥ 3)")),
        Figure("frozensets", slow * _PART * len(new) / sample / ours, 100, "×",
               Text("逐对集合比较（抽样，目标 ≥ 100）", "all pairs of frozensets take (sampled, bar ≥ 100)")),
    ]  # fmt: skip


@contextmanager
def _ledger(old: list[ReleasedCell]) -> Iterator[Session]:
    """A ledger that holds these sets, as a release leaves them behind."""
    with TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/ledger.db")
        Base.metadata.create_all(engine, [Base.metadata.tables[name] for name in ("ledger_set", "ledger_block")])
        with Session(engine) as session:
            ledger.keep_sets(session, LINEAGE, old)
            session.commit()
            yield session
        engine.dispose()


def _numbered(pairs: Pairs, cells: list[ReleasedCell]) -> Found:
    at = {(cell.release, cell.bitmap): i for i, cell in enumerate(cells)}
    found = {(at[p.new.release, p.new.bitmap], at[p.other.release, p.other.bitmap]) for p in pairs.found}
    return {(min(p), max(p)) for p in found}


def _by_size(cells: list[ReleasedCell], new: int) -> Found:
    """Compare only cells whose sizes differ by less than the threshold, with roaring bitmaps."""
    sizes = np.array([cell.n for cell in cells])
    order = np.argsort(sizes, kind="stable")
    ranked = sizes[order]
    found: Found = set()
    for a in range(new):
        low, high = np.searchsorted(ranked, [sizes[a] - THRESHOLD + 1, sizes[a] + THRESHOLD])
        for b in order[low:high].tolist():
            if b > a and 0 < cells[a].entities.symmetric_difference_cardinality(cells[b].entities) < THRESHOLD:
                found.add((a, b))
    return found


def _by_product(cells: list[ReleasedCell], new: int) -> Found:
    """The sizes of all intersections by one product of sparse matrices, a lot of rows at a time."""
    import scipy.sparse as sparse  # type: ignore[import-untyped]

    members = [members_of(cell.entities) for cell in cells]
    sizes = np.array([len(m) for m in members])
    ends = np.concatenate([[0], np.cumsum(sizes)])
    top = max(int(m[-1]) for m in members) + 1
    matrix = sparse.csr_matrix((np.ones(ends[-1], np.int32), np.concatenate(members), ends), shape=(len(cells), top))
    turned = matrix.T.tocsr()
    found: Found = set()
    for start, end in pairwise([*range(0, new, 128), new]):
        shared = (matrix[start:end] @ turned).tocoo()
        first, second = shared.row + start, shared.col
        apart = sizes[first] + sizes[second] - 2 * shared.data
        kept = (apart > 0) & (apart < THRESHOLD) & (second > first)
        found |= set(zip(first[kept].tolist(), second[kept].tolist(), strict=True))
    return found


def _by_sets(cells: list[ReleasedCell], sample: int) -> tuple[float, Found]:
    """(seconds of comparing, pairs) of the first `sample` cells with every `_PART`-th after them. The sets are made
    beforehand, one of the others at a time: all of them would take ten gigabytes of a city of a million."""
    some = [frozenset(members_of(cell.entities).tolist()) for cell in cells[:sample]]
    found: Found = set()
    seconds = 0.0
    for b in range(sample, len(cells), _PART):
        other = frozenset(members_of(cells[b].entities).tolist())
        start = time.perf_counter()
        near = [a for a, one in enumerate(some) if 0 < len(one ^ other) < THRESHOLD]
        seconds += time.perf_counter() - start
        found |= {(a, b) for a in near}
    return seconds, found


def _closure(new: list[ReleasedCell], old: list[ReleasedCell]) -> list[Figure]:
    encoding, encoded = _timed(lambda: encode(old, new))
    before, after = sum(cell.n for cell in encoded.sets), sum(row.size for row in encoded.rows)
    taken, found = _timed(lambda: closure(new, old, threshold=THRESHOLD, seconds=CLOSURE_SECONDS))
    cells = len(encoded.sets)
    proved = Text(f"新证实的泄露，{cells} 个集合", f"newly proved exposures, {cells} sets")
    return [
        Figure("encoding", before / after, 8, "×", Text("非零元压缩（目标 ≥ 8）", "fewer entries (bar ≥ 8)")),
        Figure("encoding_seconds", encoding, taken, "s", Text("编码，对照整个闭包", "encoding; against the closure")),
        Figure("closure_proved", len(found.exposures), 1, "sets", proved),
        Figure("closure_open", found.opened + (not found.complete), 1, "sets", Text("未决（目标 0）", "open (bar 0)")),
    ]  # fmt: skip


def _planted() -> list[Figure]:
    """The planted leaks of the ledger with their clean twins."""
    told = list(judged(SEED, tuple(name for name in cases() if name.startswith("ledger:"))))
    found = sum(one.caught for one in told) / len(told)
    stopped = sum(one.twin in (Outcome.BLOCK, Outcome.ERROR) for one in told)
    return [
        Figure("recall", found, 1, "share", 
               Text(f"{len(told)} 种植入泄露的查出率", f"found of {len(told)} planted leaks")),
        Figure("twins_blocked", stopped, 1, "cases", Text("被误拦的清白件（目标 0）", "clean twins blocked (bar 0)")),
    ]  # fmt: skip


def _peak() -> Figure:
    return Figure("peak", peak_mb(), 4096, "MB", Text("内存峰值，对照上限", "peak memory against the bound"))
