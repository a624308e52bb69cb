"""Evidence as files: what a proof leaves in its jail's output folder, and how it is read on the other side of the wall.

The jail has run a merchant's statements, so its files are the merchant's word. Tables are uncompressed Arrow streams
and not Parquet: what they can hold is bounded by their size, so that no small file unfolds, and they pass the checks of
every other Arrow batch that leaves a jail. Nothing is unpickled; every set's digest is computed anew; what contradicts
itself (a set of another size than its cell says, a cell without a row) is refused.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import stat
import struct
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from pyroaring import BitMap

from sandbox.products import evidence_values as values
from sandbox.products import records
from sandbox.products.carrier import Suspect
from sandbox.products.cells import CELL_SCHEMA
from sandbox.products.evidence import Evidence, KindEvidence, ProofRecord
from sandbox.products.records import Records
from sandbox.workspaces.limits import MEGABYTE
from sandbox.workspaces.protocol import ProtocolError, decode

RECORD = "evidence.json"
MAX_KINDS, MAX_PARTS = 16, 64
_RECORD_MB = 8
_ENTRY = struct.Struct("<16sI")
_SAID = ("touched", "several")
_COUNTED = ("halves", "halves_as_predicted", "ownerless_rows", "rows_total")
_LISTED = ("perturbed", "not_perturbed")


class NotEvidence(ValueError):
    """The folder does not hold evidence that `write` made. The text names a file and a rule, never a value."""


@dataclass(frozen=True, slots=True)
class Caps:
    """What evidence may take, the larger of which is a lie: rows of the product, cells of one kind, megabytes of any
    one file."""

    rows: int
    cells: int
    file_mb: int


def write(evidence: Evidence, folder: Path) -> None:
    """Leave `evidence` in the empty `folder`. Raises ValueError for values that have no plain form (lists, structs)."""
    record = _written(evidence, folder, itertools.count())
    (folder / RECORD).write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")


def _written(evidence: Evidence, folder: Path, numbers: Iterator[int]) -> dict[str, Any]:
    """Write the tables of one cube and of its references, numbered as they are met; the facts that go beside them."""
    part = next(numbers)
    forms, batch = values.pack(evidence.rows, len(evidence.columns))
    _write_batch(folder / _rows_name(part), batch)
    for n, kind in enumerate(evidence.kinds):
        _write_batch(folder / _cells_name(part, n), _batch_of(kind.cells))
        _write_sets(folder / _sets_name(part, n), kind.bitmaps)
        _write_batch(folder / _records_name(part, n), _batch_of(_record_table(kind.records)))
        _write_sets(folder / _record_sets_name(part, n), kind.records.sets)
    return {
        "name": evidence.name, "job": evidence.job, "sources": dict(evidence.sources),
        "columns": list(evidence.columns), "dimensions": evidence.dimensions, "rows": len(evidence.rows),
        "forms": forms, "groupings": list(evidence.groupings), "kinds": [_facts(kind) for kind in evidence.kinds],
        "suspects": [{**asdict(s), "columns": list(s.columns)} for s in evidence.suspects],
        "record": asdict(evidence.record), "over_budget": list(evidence.over_budget),
        "made_of": {name: {p: list(c) for p, c in parts.items()} for name, parts in evidence.made_of.items()},
        "references": [_written(one, folder, numbers) for one in evidence.references],
    }  # fmt: skip


def _facts(kind: KindEvidence) -> dict[str, Any]:
    told = {name: getattr(kind, name) for name in (*_SAID, "reproduced", *_COUNTED)}
    listed = {name: list(getattr(kind, name)) for name in _LISTED}
    behind = kind.records
    return {
        "kind": kind.kind, **told, **listed, "cells": kind.cells.height, "sets": len(kind.bitmaps),
        "records": len(behind.cells), "record_sets": len(behind.sets), "followed": behind.followed,
    }  # fmt: skip


def _rows_name(part: int) -> str:
    return f"rows-{part}.arrow"


def _cells_name(part: int, n: int) -> str:
    return f"cells-{part}-{n}.arrow"


def _sets_name(part: int, n: int) -> str:
    return f"sets-{part}-{n}.bin"


def _records_name(part: int, n: int) -> str:
    return f"records-{part}-{n}.arrow"


def _record_sets_name(part: int, n: int) -> str:
    return f"record-sets-{part}-{n}.bin"


_RECORDS = {"cell": pl.UInt32, "measure": pl.String, "part": pl.String, "records": pl.String}
_OF_KIND = (_cells_name, _sets_name, _records_name, _record_sets_name)


def _record_table(behind: Records) -> pl.DataFrame:
    return pl.DataFrame([(*cell, name) for cell, name in behind.cells.items()], schema=_RECORDS, orient="row")


def _batch_of(cells: pl.DataFrame) -> pa.RecordBatch:
    table = cells.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
    return table.to_batches()[0] if table.num_rows else pa.RecordBatch.from_pylist([], table.schema)


def _write_batch(path: Path, batch: pa.RecordBatch) -> None:
    with path.open("wb") as file, pa.ipc.new_stream(file, batch.schema) as writer:
        writer.write_batch(batch)


def _write_sets(path: Path, sets: Mapping[str, bytes]) -> None:
    with path.open("wb") as file:
        for digest, raw in sets.items():
            file.write(_ENTRY.pack(bytes.fromhex(digest), len(raw)))
            file.write(raw)


# ---- reading ----


def read(folder: Path, caps: Caps) -> Evidence:
    """The evidence that a jail left in `folder`. Raises `NotEvidence` for anything that is not exactly that.

    The jail must have ended: its files may not change while they are looked at.
    """
    try:
        return _read(folder, caps)
    except NotEvidence:
        raise
    except (ProtocolError, ValueError, KeyError, TypeError, OSError, RecursionError, OverflowError) as error:
        raise NotEvidence(f"{type(error).__name__} in the evidence's files") from None


def _read(folder: Path, caps: Caps) -> Evidence:
    record = json.loads(_bytes(folder / RECORD, min(_RECORD_MB, caps.file_mb)))
    expected = {RECORD}
    found = _cube(folder, record, caps, itertools.count(), expected)
    if {entry.name for entry in folder.iterdir()} != expected:
        raise NotEvidence("other files than evidence has")
    return found


def _cube(folder: Path, record: Any, caps: Caps, numbers: Iterator[int], expected: set[str]) -> Evidence:
    part = next(numbers)
    kinds, references = _typed(record, "kinds", list), _typed(record, "references", list)
    if part >= MAX_PARTS or len(kinds) > MAX_KINDS:
        raise NotEvidence("too many parts")
    expected |= {_rows_name(part), *(f(part, n) for n in range(len(kinds)) for f in _OF_KIND)}
    columns = _texts(record, "columns")
    dimensions = _count(record, "dimensions", len(columns))
    rows = _rows(folder / _rows_name(part), record, len(columns), caps)
    return Evidence(
        name=_typed(record, "name", str), job=_typed(record, "job", str), sources=_mapping(record, "sources"),
        columns=columns, dimensions=dimensions, rows=rows, groupings=_groupings(record, len(rows), dimensions),
        kinds=tuple(_kind(folder, (part, n), facts, len(rows), caps) for n, facts in enumerate(kinds)),
        references=tuple(_cube(folder, one, caps, numbers, expected) for one in references),
        suspects=tuple(_suspect(one) for one in _typed(record, "suspects", list)),
        record=_proof(_typed(record, "record", dict)), over_budget=_texts(record, "over_budget"),
        made_of={name: {p: _texts(parts, p) for p in parts} for name, parts in _typed(record, "made_of", dict).items()},
    )  # fmt: skip


def _rows(path: Path, record: Mapping[str, Any], width: int, caps: Caps) -> tuple[values.Row, ...]:
    forms = _texts(record, "forms")
    if len(forms) != width or not set(forms) <= set(values.FORMS):
        raise NotEvidence("forms of the columns")
    rows = values.unpack(decode(_bytes(path, caps.file_mb), caps.rows), forms)
    if len(rows) != _count(record, "rows", caps.rows):
        raise NotEvidence("number of rows")
    return rows


def _groupings(record: Mapping[str, Any], rows: int, dimensions: int) -> tuple[int, ...]:
    found = _typed(record, "groupings", list)
    if len(found) != rows or not all(type(g) is int and 0 <= g < 1 << dimensions for g in found):
        raise NotEvidence("groupings")
    return tuple(found)


def _kind(folder: Path, place: tuple[int, int], facts: Any, rows: int, caps: Caps) -> KindEvidence:
    cells = _table(folder / _cells_name(*place), CELL_SCHEMA, caps)
    sets = _read_sets(folder / _sets_name(*place), caps)
    if cells.height != _count(facts, "cells", caps.cells) or len(sets) != _count(facts, "sets", caps.cells):
        raise NotEvidence("number of cells or sets")
    told: dict[str, Any] = {name: _typed(facts, name, bool) for name in _SAID}
    told |= {name: _count(facts, name, 2**63) for name in _COUNTED}
    told |= {name: _texts(facts, name) for name in _LISTED}
    told["reproduced"] = None if facts["reproduced"] is None else _typed(facts, "reproduced", bool)
    bitmaps = {digest: raw for digest, (raw, _) in sets.items()}
    behind = _records(folder, place, facts, caps)
    found = KindEvidence(kind=_typed(facts, "kind", str), cells=cells, bitmaps=bitmaps, records=behind, **told)
    if found.halves_as_predicted > found.halves or (cells.height and not found.touched):
        raise NotEvidence("facts that contradict themselves")
    _require_consistent(cells, {digest: size for digest, (_, size) in sets.items()}, rows)
    if not records.fit(behind, cells, bitmaps):
        raise NotEvidence("records of others than the entities of a cell")
    return found


def _records(folder: Path, place: tuple[int, int], facts: Any, caps: Caps) -> Records:
    """The sets of records; the digest of each is computed from its numbers, which have to ascend."""
    table = _table(folder / _records_name(*place), _RECORDS, caps)
    sets = {}
    for digest, raw in _entries(folder / _record_sets_name(*place), caps):
        name, same = records.named(records.numbers(raw))
        if name != digest or same != raw or digest in sets:
            raise NotEvidence("a set of records that is not what its digest says")
        sets[digest] = raw
    cells = {(cell, measure, part): name for cell, measure, part, name in table.iter_rows()}
    if not len(cells) == table.height == _count(facts, "records", caps.cells) or set(cells.values()) != set(sets):
        raise NotEvidence("cells and records that do not belong together")
    if len(sets) != _count(facts, "record_sets", caps.cells):
        raise NotEvidence("number of record sets")
    return Records(cells, sets, _typed(facts, "followed", bool))


def _suspect(told: Any) -> Suspect:
    return Suspect(_typed(told, "step", str), _typed(told, "expression", str), _texts(told, "columns"))


def _proof(told: Mapping[str, Any]) -> ProofRecord:
    """The record is stored and shown as it is: plain JSON of the right kinds, with nothing added."""
    if set(told) != {f.name for f in fields(ProofRecord)}:
        raise NotEvidence("record of the proof")
    plain = {name: _mapping(told, name) for name in ("texts", "frozen", "versions", "digests")}
    carried = {kind: _mapping(told["carried"], kind) for kind in _typed(told, "carried", dict)}
    return ProofRecord(
        spec=_typed(told, "spec", dict), carried=carried, seed=_typed(told, "seed", str),
        halves=_count(told, "halves", 1000), **plain,
    )  # fmt: skip


def _table(path: Path, schema: Mapping[str, Any], caps: Caps) -> pl.DataFrame:
    batch = decode(_bytes(path, caps.file_mb), caps.cells)
    if not batch.schema.equals(_batch_of(pl.DataFrame(schema=schema)).schema):
        raise NotEvidence("schema of a cell table")
    found = pl.from_arrow(batch)
    assert isinstance(found, pl.DataFrame)
    return found.cast(schema)  # type: ignore[arg-type]


def _read_sets(path: Path, caps: Caps) -> dict[str, tuple[bytes, int]]:
    """Digest → (bytes of the set, its size); the digest is computed from the members, whatever the file says."""
    found: dict[str, tuple[bytes, int]] = {}
    for digest, raw in _entries(path, caps):
        members = BitMap.deserialize(raw)
        ids = np.asarray(members.to_array(), dtype="<u4")
        if hashlib.sha256(ids.tobytes()).hexdigest()[:32] != digest or digest in found:
            raise NotEvidence("a set of entities that is not what its digest says")
        found[digest] = (members.serialize(), len(ids))
    return found


def _entries(path: Path, caps: Caps) -> Iterator[tuple[str, bytes]]:
    """(digest, bytes) of each set as the file says."""
    data = memoryview(_bytes(path, caps.file_mb))
    at = count = 0
    while at < len(data):
        if len(data) - at < _ENTRY.size or count >= caps.cells:
            raise NotEvidence("sets")
        digest, size = _ENTRY.unpack_from(data, at)
        at, count = at + _ENTRY.size, count + 1
        raw = bytes(data[at : at + size])
        if len(raw) != size:
            raise NotEvidence("a set that ends early")
        at += size
        yield digest.hex(), raw


def _require_consistent(cells: pl.DataFrame, sizes: Mapping[str, int], rows: int) -> None:
    """The cell table agrees with itself, with the product's rows and with the sets."""
    told = cells.get_column("bitmap")
    if told.null_count() or set(told) != set(sizes):
        raise NotEvidence("cells and sets that do not belong together")
    size = told.replace_strict(dict(sizes), return_dtype=pl.UInt64) if sizes else pl.Series([], dtype=pl.UInt64)
    lies = cells.with_columns(__size=size).select(
        wrong=pl.any_horizontal(
            pl.col("cell") >= rows, pl.col("n") != pl.col("__size"), pl.col("n_non_zero") > pl.col("n"),
            pl.col("x1") < pl.col("x2"), pl.col("x2") < 0,
        ).fill_null(False).any(),
        nameless=pl.any_horizontal(pl.col(c).is_null() for c in ("cell", "measure", "part", "op", "n")).any(),
    )  # fmt: skip
    if cells.height and any(lies.row(0)):
        raise NotEvidence("cells that contradict themselves")


def _bytes(path: Path, mb: int) -> bytes:
    """A whole file, if it is an ordinary one of at most `mb` megabytes that has no other name."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_size > mb * MEGABYTE:
            raise NotEvidence(f"{path.name}: no ordinary file, or too large")
        return file.read()


def _typed(facts: Any, name: str, kind: type) -> Any:
    if not isinstance(facts, dict) or type(facts[name]) is not kind:
        raise NotEvidence(f"{name}: another type")
    return facts[name]


def _count(facts: Mapping[str, Any], name: str, most: int) -> int:
    found: int = _typed(facts, name, int)
    if not 0 <= found <= most:
        raise NotEvidence(f"{name}: out of range")
    return found


def _texts(facts: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = _typed(facts, name, list)
    if not all(isinstance(text, str) for text in found):
        raise NotEvidence(f"{name}: another type")
    return tuple(found)


def _mapping(facts: Mapping[str, Any], name: str) -> dict[str, str]:
    found = _typed(facts, name, dict)
    if not all(isinstance(text, str) for text in found.values()):
        raise NotEvidence(f"{name}: another type")
    return dict(found)
