"""Small sources, jobs and export subjects for the tests of products and exports. Every identifier is an invented
one."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from policies.editions import load
from sandbox.exports.subject import (
    REAL_LABEL,
    ApplicationFacts,
    ExportFile,
    ExportSubject,
    GrantFacts,
    VolumeFacts,
)
from sandbox.products import artefact, releasing
from sandbox.products.cells import CELL_SCHEMA, packed
from sandbox.products.coded import Coded, coded
from sandbox.products.compile import columns_read
from sandbox.products.entities import EntityCodes, SessionCodes
from sandbox.products.evidence import Evidence, KindEvidence, derive
from sandbox.products.matching import SharedRows, SourceMatch
from sandbox.products.source import EntityKey, Source, column_names
from sandbox.products.spec import JobSpec, digest, parse

TODAY = date(2026, 6, 1)


def cells(column: pl.Series) -> Coded:
    """A column of texts as the gate has it."""
    array = column.to_frame().to_arrow().column(0)
    return coded(array.cast(pa.large_string()))


PERTURBED = ("t.费用:minimum", "t.费用:maximum", "t.费用:shuffle")
PERSON = (EntityKey("person", "身份证号"),)

CLINIC = """
job: clinic-visits-by-district
edition: 1
inputs: {visit: {grant: G-1}, resident: {grant: G-2}}
from: visit
join: [{input: resident, on: {身份证号: 身份证号}}]
where: [{column: 费用, op: "<", value: 100000}]
derive: {月份: {month: 就诊日期}}
dimensions: [区, 月份]
measures:
  人次: {op: count}
  人数: {op: count_distinct, of: 身份证号}
  次均费用: {op: mean, of: 费用, round: 1}
output: {kind: aggregate, format: csv}
"""


def job(**changes: Any) -> dict[str, Any]:
    """A one-input job as a mapping, with top-level fields replaced."""
    return {
        "job": "by-district", "edition": 1, "inputs": {"t": {"grant": "G-1"}}, "from": "t", "dimensions": ["区"],
        "measures": {"人次": {"op": "count"}, "金额": {"op": "sum", "of": "费用", "round": 0}},
        "output": {"kind": "aggregate", "format": "csv"},
    } | changes  # fmt: skip


def write(path: Path, rows: Mapping[str, Sequence[Any]]) -> Path:
    pl.DataFrame(rows).write_parquet(path)
    return path


def source(path: Path, keys: tuple[EntityKey, ...] = PERSON) -> Source:
    return Source((str(path),), f"sha256:{path.stem}", keys)


def clinic_sources(folder: Path, people: int = 400, seed: int = 1) -> dict[str, Source]:
    """Visits and residents of `people` persons in two districts, one visit each in one of two months."""
    rng = random.Random(seed)
    keys = [f"P{i:06d}" for i in range(people)]
    residents = write(folder / "resident.parquet", {"身份证号": keys, "区": ["东区", "西区"] * (people // 2)})
    visits = {
        "身份证号": keys,
        "费用": [float(rng.randint(50, 400)) for _ in keys],
        "就诊日期": [date(2026, 1 + (i // 2) % 2, 5) for i in range(people)],
    }
    return {"visit": source(write(folder / "visit.parquet", visits)), "resident": source(residents)}


@cache
def edition() -> Any:
    return load("export", "2026-01")


def platform_file(spec: JobSpec, evidence: Evidence) -> artefact.Artefact:
    """The file that the platform writes of a product."""
    shown = releasing.released(spec, evidence, edition().by_check("rounding").parameters)
    return artefact.write(spec.file_name, shown)


def subject_of(spec: JobSpec, sources: Mapping[str, Source], codes: EntityCodes | None = None) -> ExportSubject:
    """A platform subject whose every fact is established and in order."""
    evidence = derive(spec, sources, codes=codes or SessionCodes(), halves=8)
    read = columns_read(spec, {alias: column_names(s) for alias, s in sources.items()})
    grants = {
        alias: GrantFacts(spec.inputs[alias].grant, "A-1", True, frozenset(read[alias]), 3, False, s.digest)
        for alias, s in sources.items()
    }
    made = platform_file(spec, evidence)
    return ExportSubject(
        files=(ExportFile(made.name, made.content),),
        audience="contract",
        today=TODAY,
        texts={"title": "门诊就诊按区汇总", "remark": ""},
        label=REAL_LABEL,
        real_inputs=True,
        application=ApplicationFacts("A-1", True, frozenset({"aggregate"}), date(2027, 1, 1), date(2027, 1, 1)),
        grants=grants,
        columns_read={alias: frozenset(names) for alias, names in read.items()},
        spec=spec,
        evidence=evidence,
        entity_kinds=frozenset(k.kind for k in evidence.kinds),
        rounding_base=5,
        match=SourceMatch(dict.fromkeys(("raw", "md5", "sha1", "sha256", "sm3", "base64", "hex"), 0), ()),
        history=(),
        volume=VolumeFacts(0, 0, 0),
        level=3,
    )


def subject_with(rows: Sequence[tuple[str, Sequence[float]]], **changes: Any) -> ExportSubject:
    """A platform subject from a readable table: one line a cell, (district, contribution of each person)."""
    spec = parse(job())
    values = tuple((name, len(xs), float(sum(xs))) for name, xs in rows)
    cells: list[tuple[Any, ...]] = []
    bitmaps, first = {}, 0
    for cell, (_, xs) in enumerate(rows):
        owners = range(first, first + len(xs))
        first += len(xs)
        name, raw = packed(list(owners))
        bitmaps[name] = raw
        top = [*sorted((abs(x) for x in xs), reverse=True), 0.0, 0.0]
        moved, some = len(xs), sum(x != 0 for x in xs)
        n, sides = len(xs), (None, None, None, None, name)
        each = 1 / n if n else None
        cells.append((cell, "人次", "value", "count", n, n, n, n, each, 1.0, 1.0, float(n), *sides))
        total = float(sum(map(abs, xs)))
        share = top[0] / total if total else None
        cells.append((cell, "金额", "value", "sum", n, n, some, moved, share, top[0], top[1], total, *sides))
    frame = pl.DataFrame(cells, schema=CELL_SCHEMA, orient="row")
    kind = KindEvidence("person", True, False, frame, bitmaps, True, 8, 8, PERTURBED)
    evidence = Evidence(
        digest(spec), {"t": "sha256:t"}, ("区", "人次", "金额"), 1, values, (kind,), groupings=(0,) * len(rows),
        made_of={"人次": {"value": ()}, "金额": {"value": ("费用",)}},
    )  # fmt: skip
    made = platform_file(spec, evidence)
    facts: dict[str, Any] = {
        "files": (ExportFile(made.name, made.content),),
        "audience": "contract",
        "today": TODAY,
        "texts": {"title": "按区汇总"},
        "label": REAL_LABEL,
        "real_inputs": True,
        "application": ApplicationFacts("A-1", True, frozenset({"aggregate"}), None, None),
        "grants": {"t": GrantFacts("G-1", "A-1", True, frozenset({"区", "费用"}), 3, False, "sha256:t")},
        "columns_read": {"t": frozenset({"区", "费用"})},
        "spec": spec,
        "evidence": evidence,
        "entity_kinds": frozenset({"person"}),
        "rounding_base": 5,
        "match": SourceMatch(
            dict.fromkeys(("raw", "md5", "sha1", "sha256", "sm3", "base64", "hex"), 0), (SharedRows("t", 1, 0),)
        ),
        "history": (),
        "volume": VolumeFacts(0, 0, 0),
        "level": 3,
    }
    return ExportSubject(**facts | changes)


def clean(**changes: Any) -> ExportSubject:
    """A subject every rule passes: four districts with twenty like contributions each."""
    return subject_with(
        [(name, [100.0 + i for i in range(20)]) for name in ("东区", "北区", "南区", "西区")], **changes
    )


def with_cells(subject: ExportSubject, **values: Any) -> ExportSubject:
    """`subject` with columns of its cell table set to a value or an expression."""
    assert subject.evidence is not None
    kinds = tuple(
        replace(kind, cells=kind.cells.with_columns(**values).cast(dict(kind.cells.schema)))  # type: ignore[arg-type]
        for kind in subject.evidence.kinds
    )
    return replace(subject, evidence=replace(subject.evidence, kinds=kinds))


def with_kind(subject: ExportSubject, **changes: Any) -> ExportSubject:
    """`subject` with facts of its evidence about persons changed."""
    assert subject.evidence is not None
    kinds = tuple(replace(kind, **changes) for kind in subject.evidence.kinds)
    return replace(subject, evidence=replace(subject.evidence, kinds=kinds))


__all__ = [
    "CLINIC", "PERSON", "TODAY", "clean", "clinic_sources", "edition", "job", "replace", "source", "subject_of",
    "subject_with", "with_cells", "with_kind", "write",
]  # fmt: skip
