"""Evidence of aggregate products: how much of TPC-H is derived and never wrong, what it costs, ten products of a city.

`PDS_BENCH_SECTIONS` names the sections to run (all: derived, removal, cost, city, attacks). `PDS_BENCH_SCALE` is the
scale factor of TPC-H for the costs (1; removals are always tried at 0.01), `PDS_BENCH_ROWS` the visits and taps of the
city (10,000,000), `PDS_BENCH_SECONDS` how long one section may take (1800): what did not fit is said in its text and
counts as missed. Needs the generator `tpchgen-cli`.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb

from benchmarks import evidence_city as town
from benchmarks import evidence_tpch as questions
from benchmarks import tpch
from benchmarks.evidence_lab import Lab, removals
from benchmarks.figures import Figure, peak_mb
from policies.text import Text
from sandbox.products import compile as sql
from sandbox.products import twin
from sandbox.products.carrier import Refused
from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import HALVES, derive
from sandbox.products.source import EvidenceError, Source
from sandbox.products.spec import JobSpec, parse

DERIVED_BAR, COST_BAR, GATE_BAR, MEMORY_MB = 30, 2.0, 20.0, 3072
"""Memory: the 2 GB that DuckDB may take, and what Python holds beside it"""
SMALL = 0.01
_MEMORY, _THREADS = "2GB", 2


def run() -> list[Figure]:
    """The figures of every section that `PDS_BENCH_SECTIONS` names. Raises ValueError for a section there is not."""
    sections = {"derived": derived, "removal": removal, "cost": cost, "city": city, "attacks": attacks}
    wanted = [s for s in os.environ.get("PDS_BENCH_SECTIONS", ",".join(sections)).split(",") if s]
    unknown = [s for s in wanted if s not in sections]
    if unknown:
        raise ValueError(f"no section {', '.join(unknown)}; there are {', '.join(sections)}")
    return [figure for name in wanted for figure in sections[name]()]


def _until() -> float:
    return time.monotonic() + float(os.environ.get("PDS_BENCH_SECONDS", "1800"))


def cases() -> Iterator[tuple[questions.Kind, int]]:
    """The 39 pairs of kind and question in which the question touches the kind."""
    for kind in questions.KINDS:
        yield from ((kind, number) for number in questions.PRODUCTS if number not in questions.UNTOUCHED[kind])


@contextmanager
def _data(scale: float) -> Iterator[dict[str, Path]]:
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as place:
        yield tpch.generate(Path(place, "data"), scale)


@contextmanager
def _connection(threads: int = _THREADS) -> Iterator[duckdb.DuckDBPyConnection]:
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as scratch:
        options = {"threads": threads, "memory_limit": _MEMORY, "temp_directory": scratch}
        with closing(duckdb.connect(config=options)) as con:
            yield con


def derived() -> list[Figure]:
    """How many of the 39 cases the gate derives and proves, whole, at the small scale."""
    proved, refused = [], []
    with _data(SMALL) as files:
        for kind, number in cases():
            try:
                evidence = derive(parse(questions.PRODUCTS[number]), questions.sources(number, kind, files),
                                  codes=SessionCodes(), halves=HALVES)  # fmt: skip
            except EvidenceError:
                refused.append(f"{kind} {number}")
                continue
            if all(k.proved for one in (evidence, *evidence.references) for k in one.kinds):
                proved.append((kind, number))
    text = Text(
        f"TPC-H 39 例中推导并经 P1、P2 证明的例数（目标 ≥ {DERIVED_BAR}；拒绝：{'、'.join(refused)}）",
        f"of 39 cases of TPC-H, derived and proved by P1 and P2 (bar ≥ {DERIVED_BAR}; refused: {', '.join(refused)})",
    )
    return [Figure("derived", len(proved), DERIVED_BAR, "cases", text)]


def removal() -> list[Figure]:
    """Every entity of every derived case taken out of the source, one at a time: how often the evidence is wrong.

    A process a core, each with a thread of its own: the data are too small for the threads of one statement.
    """
    with _data(SMALL) as files, ProcessPoolExecutor(_THREADS, mp_context=get_context("spawn")) as pool:
        told = pool.map(partial(_removed, files=files, until=_until()), cases())
        tried, moved, wrong, left_out = (sum(column) for column in zip(*told, strict=True))
    text = Text(
        f"规模 {SMALL:g} 逐个删去主体 {tried} 次（{moved} 次改变结果），证据出错的次数（目标 0）",
        f"entities removed one at a time at scale {SMALL:g}, {tried} times ({moved} changed the product): times the"
        " evidence was wrong (bar 0)",
    )
    late = Text("因时间未做的删除（目标 0）", "removals left out for time (bar 0)")
    return [Figure("removal_wrong", wrong, 1, "times", text), Figure("removal_left", left_out, 1, "times", late)]


def _removed(case: tuple[questions.Kind, int], files: Mapping[str, Path], until: float) -> tuple[int, int, int, int]:
    """Of one case: entities taken out, how many changed the product, how often the evidence was wrong, how many are
    left."""
    kind, number = case
    tried = moved = wrong = 0
    with _connection(threads=1) as con:
        try:
            lab = Lab(con, parse(questions.PRODUCTS[number]), questions.sources(number, kind, files))
        except Refused:
            return 0, 0, 0, 0
        lab.contribute()
        entities = lab.entities()
        for _, changed, bad in removals(lab, entities):
            tried, moved, wrong = tried + 1, moved + changed, wrong + bad
            if time.monotonic() > until:
                break
    return tried, moved, wrong, len(entities) - tried


@dataclass
class Cost:
    """Seconds of one kind's derived questions, summed."""

    plain: float = 0.0
    evidence: float = 0.0
    cases: int = 0


def cost() -> list[Figure]:
    """Contributions, recomputation and cell table over the derived questions, against the plain questions."""
    scale, until = float(os.environ.get("PDS_BENCH_SCALE", "1")), _until()
    spent = {kind: Cost() for kind in questions.KINDS}
    skipped = []
    with _data(scale) as files:
        for kind, number in cases():
            if time.monotonic() > until:
                skipped.append(f"{kind} {number}")
                continue
            with _connection() as con:
                try:
                    lab = Lab(con, parse(questions.PRODUCTS[number]), questions.sources(number, kind, files))
                except Refused:
                    continue
                spent[kind].plain += _seconds(lambda n=number, c=con: c.execute(tpch.QUERIES[n]).fetchall())
                lab.freeze()
                spent[kind].evidence += _seconds(partial(_derived, lab))
                spent[kind].cases += 1
    late = f"；未做 {'、'.join(skipped)} · not done: {', '.join(skipped)}" if skipped else ""
    return [
        Figure(f"cost_{kind}", own.evidence, max(own.plain, 1e-9), "s", Text(
            f"规模 {scale:g}，{kind} {own.cases} 例：证据、重算与单元格表，对原语句（目标比值 ≤ {COST_BAR}{late}）",
            f"scale {scale:g}, {own.cases} cases of {kind}: evidence, recomputation, cell table over plain"
            f" (bar: ratio ≤ {COST_BAR}{late})"))
        for kind, own in spent.items()
    ]  # fmt: skip


def _derived(lab: Lab) -> None:
    lab.contribute()
    if not lab.reproduced():
        raise RuntimeError("the contributions do not give the product")
    lab.cells()


def _seconds(work: Callable[[], object]) -> float:
    return _spent(work)[0]


def _spent(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


@dataclass(frozen=True)
class Gate:
    """One product of the city; seconds as `_spent` gives them. `proofs`: evidence, three halves and the perturbations,
    as for data of level 1 and 2; `whole`: evidence with the halves of level 3, the rules, and the file written."""

    plain: tuple[float, float]
    proofs: tuple[float, float]
    whole: tuple[float, float]
    peak: float
    cells: int
    proved: bool
    outcome: str


def city() -> list[Figure]:
    """The ten products: one plain run, the proofs, then the whole gate, each in a process of its own whose memory is
    read.

    The gate starts from the evidence twins, which the platform makes once for a snapshot; what they cost is told too.
    """
    rows, until = int(os.environ.get("PDS_BENCH_ROWS", "10000000")), _until()
    figures, found = [], list[Gate]()
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as place:
        files = town.generate(Path(place, "city"), rows)
        tables = town.sources(files)
        with _alone() as pool:
            coded, seconds = pool.submit(_twins, tables, Path(place, "twins")).result()
        for name in town.PRODUCTS:
            if time.monotonic() > until:
                figures.append(_late(name))
                continue
            with _alone() as pool:
                proofs = pool.submit(proved, name, coded).result()
            with _alone() as pool:
                found.append(pool.submit(gate, name, tables, coded, proofs).result())
            figures += _told(name, rows, found[-1])
    together = [_together(found, side, clock) for side in _SIDES for clock in (0, 1)]
    return [*figures, *together, Figure("city_twins", seconds, together[0].against, "s", Text(
        "所有表的证据孪生（每个快照只做一次，不计入闸门），对全部产品的一次原运行",
        "evidence twins of all tables (made once a snapshot, no part of the gate) over one plain run of all products",
    ))]  # fmt: skip


def _alone() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def _twins(tables: Mapping[str, Source], folder: Path) -> tuple[dict[str, Source], float]:
    codes, room = SessionCodes(), twin.Room(2048, _THREADS)
    began = time.perf_counter()
    coded = {alias: twin.made(source, codes, folder / alias, room) for alias, source in tables.items()}
    return coded, time.perf_counter() - began


_SIDES = {
    "proofs": Text(
        "证据、三次删半与扰动（1、2 级数据）", "evidence, three halves, perturbations (data of level 1 and 2)"
    ),
    "whole": Text(
        "八次删半、全部规则与写出文件（3 级数据）", "eight halves, all rules, the file written (data of level 3)"
    ),
}


def _together(found: Sequence[Gate], side: str, clock: int) -> Figure:
    """By the clock (0), or in seconds of the processor (1), which neighbours on the machine hardly change."""
    spent, plain = (sum(getattr(one, of)[clock] for one in found) for of in (side, "plain"))
    name, how = (f"city_{side}_processor", Text("，处理器时间", ", processor time")) if clock else (
        f"city_{side}", Text("", ""))  # fmt: skip
    return Figure(name, spent, round(plain, 4), "s", Text(
        f"{len(found)} 个产品合计，{_SIDES[side].zh}：对一次原运行{how.zh}（目标比值 ≤ {GATE_BAR:g}）",
        f"{len(found)} products together, {_SIDES[side].en}: over one plain run{how.en} (bar: ratio ≤ {GATE_BAR:g})",
    ))  # fmt: skip


def _late(name: str) -> Figure:
    text = Text(f"{name}：因时间未做", f"{name}: not done for time")
    return Figure(f"city_{name}", float("inf"), 1, "s", text)


def _told(name: str, rows: int, found: Gate) -> list[Figure]:
    proved = ("已证明", "proved") if found.proved else ("未证明", "NOT PROVED")
    return [
        Figure(f"city_{name}", found.whole[0], round(found.plain[0], 4), "s", Text(
            f"{name}，{rows} 行，{found.cells} 格，{proved[0]}，结论 {found.outcome}：整个闸门对一次原运行（目标比值 "
                f"≤ {GATE_BAR:g}）",
            f"{name}, {rows} rows, {found.cells} cells, {proved[1]}, verdict {found.outcome}: whole gate over one "
                f"plain run"
            f" (bar: ratio ≤ {GATE_BAR:g})")),
        Figure(f"memory_{name}", found.peak, MEMORY_MB, "MB", Text(
            f"{name}：进程内存峰值，对上限", f"{name}: the process's peak memory against the bound")),
    ]  # fmt: skip


def proved(name: str, coded: Mapping[str, Source]) -> tuple[float, float]:
    """What evidence and proofs of one product take, here and now."""
    spec = parse(town.PRODUCTS[name])
    sources = {alias: coded[alias] for alias in spec.inputs}
    return _spent(lambda: derive(spec, sources, codes=SessionCodes(), halves=HALVES))


def gate(name: str, tables: Mapping[str, Source], coded: Mapping[str, Source], proofs: tuple[float, float]) -> Gate:
    """One product, here and now: its plain run on the tables, its gate on their twins."""
    from policies.editions import load
    from sandbox.exports.gate import evaluate
    from sandbox.exports.isolated import in_this_process
    from sandbox.exports.standalone import Matcher
    from sandbox.exports.subject import ExportSubject

    spec = parse(town.PRODUCTS[name])
    plain = _plain(spec, {alias: tables[alias] for alias in spec.inputs})
    sources = {alias: coded[alias] for alias in spec.inputs}
    edition: Any = load("export")
    base = edition.by_check("rounding").parameters.base
    subject = ExportSubject(files=(), audience="contract", lane="file", rounding_base=base)

    def judged() -> None:
        nonlocal subject, verdict
        subject = Matcher(sources, edition, in_this_process).described(subject, spec, None, stated=True)
        verdict = evaluate(subject, edition)

    verdict: Any = None
    whole = _spent(judged)
    evidence = subject.evidence
    proved = evidence is not None and all(k.proved for one in (evidence, *evidence.references) for k in one.kinds)
    return Gate(plain, proofs, whole, peak_mb(), len(evidence.rows) if evidence else 0, proved, verdict.outcome.value)


def _plain(spec: JobSpec, sources: Mapping[str, Source]) -> tuple[float, float]:
    """What is spent on the job's own statements, references too, the files being in the system's cache already: the
    median of three runs, one alone differs by a third from another."""
    with _connection() as con:
        for alias, source in sources.items():
            con.execute(f"CREATE VIEW {sql.quote(alias)} AS SELECT * FROM read_parquet({sql.literal(source.files[0])})")
        _run(con, spec)
        return sorted(_spent(lambda: _run(con, spec)) for _ in range(3))[1]


def _run(con: duckdb.DuckDBPyConnection, spec: JobSpec) -> None:
    for step in spec.sequence:
        text = step.sql if hasattr(step, "sql") else sql.cube_sql(step)
        form = "VIEW" if hasattr(step, "sql") else "TABLE"
        con.execute(f"CREATE OR REPLACE {form} {sql.quote(step.name)} AS {text}")
    con.execute(sql.cube_sql(spec)).fetchall()


def attacks() -> list[Figure]:
    """The corpus of hostile jobs and their clean twins, as the tests run it."""
    from tests.attacks.evidence_corpus import ATTACKS
    from tests.attacks.evidence_judge import Judge

    with tempfile.TemporaryDirectory(prefix="pds-bench-") as place:
        judge = Judge(Path(place))
        through = [a.name for a in ATTACKS if a.stop not in judge.of(a.hostile).fired]
        blocked = [a.name for a in ATTACKS if judge.of(a.clean).outcome != "pass"]
    return [
        Figure("attacks", len(through), 1, "jobs", Text(
            f"{len(ATTACKS)} 个攻击作业中未被指名的检查拦下的（目标 0）：{'、'.join(through)}",
            f"of {len(ATTACKS)} hostile jobs, not stopped by the named check (bar 0): {', '.join(through)}")),
        Figure("clean_twins", len(blocked), 1, "jobs", Text(
            f"其正常对照中未通过的（目标 0）：{'、'.join(blocked)}",
            f"their clean twins that did not pass (bar 0): {', '.join(blocked)}")),
    ]  # fmt: skip
