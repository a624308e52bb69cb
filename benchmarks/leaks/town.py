"""The demonstration city of one seed as clean tables, and requests made of them as the platform would judge them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import Any, cast

import polars as pl

from policies.editions import load
from policies.schema.export import ExportEdition
from sandbox.exports.finishing import finished
from sandbox.exports.history import ReleasedCell, cells_of
from sandbox.exports.subject import (
    REAL_LABEL,
    ApplicationFacts,
    Audience,
    ExportFile,
    ExportSubject,
    Form,
    GrantFacts,
    VolumeFacts,
    matched,
    refusals_of,
)
from sandbox.products.blackbox import Tried
from sandbox.products.compile import columns_read
from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import derive
from sandbox.products.source import EntityKey, EvidenceError, Role, Source, column_names
from sandbox.products.spec import CUBE, parse

TODAY = date(2026, 6, 1)
_SCALE = 0.25
_LEVEL = 2


@dataclass(eq=False)
class Town:
    """Residents, visits and firms of the demonstration city at `seed`; `folder` keeps the files that sources name."""

    seed: int
    folder: Path
    codes: SessionCodes = field(default_factory=SessionCodes)

    def rng(self, name: str) -> random.Random:
        """A stream of its own for each case."""
        return random.Random(f"{self.seed}/{name}")

    def _table(self, key: str, rows: int) -> pl.DataFrame:
        from synthetic.city import TABLES
        from synthetic.city.society import Society

        table = next(t for t in TABLES if t.key == key)
        chunks = table.chunks(Society(self.seed, _SCALE), rows)
        return pl.concat([pl.DataFrame({n: pl.Series(c[n].tolist(), dtype=pl.String) for n in table.names()})
                          for c in chunks])  # fmt: skip

    @cached_property
    def residents(self) -> pl.DataFrame:
        """One row a person."""
        return self._table("residents", 3000).with_columns(pl.col("年龄").cast(pl.Int64))

    @cached_property
    def visits(self) -> pl.DataFrame:
        """Visits to clinics; some persons come several times, some are not named."""
        amounts = [pl.col(n).cast(pl.Float64) for n in ("费用", "医保支付", "自付金额")]
        return self._table("clinic_visits", 8000).with_columns(
            pl.col("年龄").cast(pl.Int64), pl.col("就诊日期").str.to_date(), *amounts
        )

    @cached_property
    def firms(self) -> pl.DataFrame:
        """One row an enterprise."""
        return self._table("enterprises", 500).with_columns(
            pl.col("注册资本(万元)").cast(pl.Float64), pl.col("从业人数").cast(pl.Int64)
        )

    def source(
        self, frame: pl.DataFrame, key: str | None = None, kind: str = "person", *,
        roles: Mapping[str, Role] | None = None, identifiers: Sequence[str] = (), holding: str | None = None,
    ) -> Source:  # fmt: skip
        """`frame` as an input whose column `key` names the entity (None: nobody's records)."""
        digest = hashlib.sha256(frame.write_ipc(None).getvalue()).hexdigest()
        path = self.folder / f"{digest[:16]}.parquet"
        if not path.exists():
            frame.write_parquet(path)
        keys = (EntityKey(kind, key, holding=holding),) if key else ()
        return Source((str(path),), f"sha256:{digest}", keys, tuple(identifiers), roles=roles or {}, level=_LEVEL)


def town(seed: int, folder: Path) -> Town:
    """The city of `seed`; its files go to `folder`, which must exist as long as its requests are judged."""
    return Town(seed, folder)


@cache
def edition() -> ExportEdition:
    """The edition that the corpus is judged by."""
    return cast("ExportEdition", load("export", "2026-01"))


Sources = Mapping[str, Source]


def job(measures: Mapping[str, Any], dimensions: Sequence[str], **changes: Any) -> dict[str, Any]:
    """A job over one input `t`; `changes` go to the part of the job they belong to."""
    product = {"from": "t", "dimensions": list(dimensions), "measures": dict(measures)}
    whole = {"job": "leak-corpus", "edition": 2, "inputs": {"t": {"grant": "G-t"}}}
    for name, value in changes.items():
        (product if name in CUBE else whole)[name] = value
    return {**whole, "product": product, "output": {"kind": "aggregate", "format": "csv"}}


def aggregate(
    town: Town, sources: Sources, text: Mapping[str, Any], *, history: Sequence[ReleasedCell] = (), **changes: Any
) -> ExportSubject:
    """A request for a product of cells as the platform judges it: evidence derived and proved, file written, matched
    with the source. `changes`: facts of the subject to replace before the file is written."""
    spec = parse(dict(text))
    read = {alias: frozenset(column_names(s)) for alias, s in sources.items()}
    if not spec.prepare:
        read = {a: frozenset(c) for a, c in columns_read(spec, {a: sorted(c) for a, c in read.items()}).items()}
    subject = ExportSubject(
        files=(), audience="contract", spec=spec, columns_read=read, history=tuple(history),
        entity_kinds=frozenset(key.kind for s in sources.values() for key in s.keys), **_facts(sources, "aggregate"),
    )  # fmt: skip
    halves = edition().by_check("evidence_proofs").parameters.halves_for(_LEVEL)
    try:
        subject = replace(subject, evidence=derive(spec, sources, codes=town.codes, halves=halves))
    except EvidenceError as error:
        subject = replace(subject, refusals=refusals_of(error))
    return matched(finished(replace(subject, **changes), edition()), sources)


def records(
    sources: Sources, files: Mapping[str, bytes | pl.DataFrame], *, audience: Audience = "contract", **changes: Any
) -> ExportSubject:
    """A request for record-level data: files that a script made of the sources."""
    return _made("record", sources, files, audience, changes)


def report(
    sources: Sources, files: Mapping[str, bytes | pl.DataFrame], *, audience: Audience = "contract", **changes: Any
) -> ExportSubject:
    """A request for documents, charts or models that a script made of the sources."""
    return _made("report", sources, files, audience, changes)


BY_HAND = ("EXP-LANE-01",)
"""Rules that send to a person whatever a script has made: `people` of the cases that are made by `report`."""


def _made(form: Form, sources: Sources, files: Mapping[str, Any], audience: Audience, changes: Any) -> ExportSubject:
    spec = parse(job({"人次": {"op": "count"}}, [], inputs={a: {"grant": f"G-{a}"} for a in sources},
                     **{"from": next(iter(sources))}))  # fmt: skip
    raw = {n: c if isinstance(c, bytes) else c.write_csv().encode() for n, c in files.items()}
    tried = tuple(Tried(key.kind, 32, 1, 32, 0.05) for s in sources.values() for key in s.keys)
    subject = ExportSubject(
        files=tuple(ExportFile(n, c) for n, c in raw.items()), audience=audience, spec=spec, black_box=tried,
        columns_read={alias: frozenset(column_names(s)) for alias, s in sources.items()}, history=(),
        entity_kinds=frozenset(key.kind for s in sources.values() for key in s.keys), **_facts(sources, form),
    )  # fmt: skip
    return matched(replace(subject, **changes), sources)


def _facts(sources: Sources, form: str) -> dict[str, Any]:
    grants = {a: GrantFacts(f"G-{a}", "A-1", True, frozenset(column_names(s)), _LEVEL, False, s.digest)
              for a, s in sources.items()}  # fmt: skip
    return {
        "form": form, "today": TODAY, "texts": {"title": "示范市数据产品"}, "label": REAL_LABEL, "real_inputs": True,
        "application": ApplicationFacts("A-1", True, frozenset({form}), None, None), "grants": grants,
        "volume": VolumeFacts(0, 0, 0), "level": _LEVEL,
        "rounding_base": edition().by_check("rounding").parameters.base,
    }  # fmt: skip


def released(town: Town, sources: Sources, text: Mapping[str, Any], name: str = "R-1") -> tuple[ReleasedCell, ...]:
    """The cells that an earlier release of this job left in the ledger."""
    subject = aggregate(town, sources, text)
    spec, evidence = subject.need_evidence()
    return cells_of(spec, evidence, release=name, base=subject.rounding_base or 1, hidden=subject.hidden)
