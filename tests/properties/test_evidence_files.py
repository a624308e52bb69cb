"""Evidence that crosses the wall of a proof's jail: the same evidence comes out, and nothing else is taken for it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from sandbox.products import evidence_files, evidence_values
from sandbox.products.carrier import Suspect
from sandbox.products.cells import CELL_SCHEMA, packed
from sandbox.products.evidence import Evidence, KindEvidence, ProofRecord
from sandbox.products.evidence_files import Caps, NotEvidence
from sandbox.products.records import BITS, LOST, Records, named

CAPS = Caps(rows=1000, cells=1000, file_mb=4)
COLUMNS = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5), st.booleans(), st.integers(-(2**130), 2**130),
    st.floats(), st.decimals(allow_nan=False, allow_infinity=False), st.dates(), st.times(), st.datetimes(),
    st.binary(max_size=4), st.uuids(), st.timedeltas(timedelta(days=-9999), timedelta(days=9999)),
    st.datetimes(timezones=st.just(UTC), min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),
)  # fmt: skip
_NO_CELLS: Any = None
RECORD = ProofRecord(
    spec={"job": "甲", "edition": 2, "inputs": {"t": {"grant": "G"}}}, texts={"product": "SELECT 1"},
    carried={"person": {"v": "SELECT 2"}}, frozen={"__f1": "SELECT 3"}, seed="ab", halves=3,
    versions={"duckdb": "2"}, digests={"output": "x"},
)  # fmt: skip


def cells(sets: list[list[int]]) -> tuple[pl.DataFrame, dict[str, bytes]]:
    """One count for each set of owners."""
    rows, bitmaps = [], {}
    for cell, owners in enumerate(sets):
        name, raw = packed(owners)
        bitmaps[name] = raw
        n = len(set(owners))
        rows.append((cell, "人次", "value", "count", n, n, n, None, None, 1.0, 1.0, float(n), None, None, None, None,
                     name))  # fmt: skip
    return pl.DataFrame(rows, schema=CELL_SCHEMA, orient="row"), bitmaps


def behind(sets: list[list[int]]) -> Records:
    """Two records of each owner; of codes that leave no room for a number, none that could be followed."""
    if any(owner >> 64 - BITS for owners in sets for owner in owners):
        return LOST
    found: dict[str, bytes] = {}
    told = {}
    for cell, owners in enumerate(sets):
        name, raw = named(np.array([o << BITS | n for o in owners for n in (5, 2**BITS - 1)], dtype=np.uint64))
        if owners:
            found[name], told[cell, "人次", "value"] = raw, name
    return Records(told, found)


def evidence(sets: list[list[int]], rows: tuple[tuple[Any, ...], ...] | None = None) -> Evidence:
    table, bitmaps = cells(sets)
    kind = KindEvidence(
        "person", True, False, table, bitmaps, True, 3, 3, ("t.费用:minimum",), ("t.区:shuffle",), 2, 40,
        behind(sets),
    )  # fmt: skip
    rows = rows if rows is not None else tuple((f"区{i}", i) for i in range(len(sets)))
    width = len(rows[0]) if rows else 2
    return Evidence(
        "sha256:job", {"t": "sha256:t"}, tuple(f"列{i}" for i in range(width)), 1, rows, (kind,),
        groupings=tuple(i % 2 for i in range(len(rows))), suspects=(Suspect("v", "CASE WHEN x", ("x",)),),
        record=RECORD, over_budget=("person: halves",),
        made_of={"人次": {"value": ()}, "均": {"numerator": ("费用", "次数"), "denominator": ()}},
    )  # fmt: skip


def same(a: Evidence, b: Evidence) -> bool:
    """Equal in everything; cell tables by their content, values by type too (NaN and −0.0 included)."""
    kinds = all(
        x.cells.equals(y.cells)
        and x.cells.schema == y.cells.schema
        and replace(x, cells=_NO_CELLS) == replace(y, cells=_NO_CELLS)
        for x, y in zip(a.kinds, b.kinds, strict=True)
    )
    rest = [replace(e, rows=(), kinds=(), references=()) for e in (a, b)]
    parts = all(same(x, y) for x, y in zip(a.references, b.references, strict=True))
    return kinds and parts and rest[0] == rest[1] and typed(a.rows) == typed(b.rows)


def typed(rows: tuple[tuple[Any, ...], ...]) -> list[list[tuple[str, str]]]:
    return [[(type(v).__name__, str(v.timestamp() if isinstance(v, datetime) and v.tzinfo else v)) for v in row]
            for row in rows]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_written_is_read(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4))
    rows = tuple(data.draw(st.lists(st.tuples(*(st.one_of(st.none(), k) for k in kinds)), max_size=5)))
    sets = data.draw(st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=6), min_size=len(rows), max_size=len(rows)))
    product = replace(evidence(sets, rows), references=(evidence([[1, 2]]),))
    if not rows:
        product = replace(product, columns=("a",), dimensions=0)
    with tempfile.TemporaryDirectory() as folder:
        evidence_files.write(product, Path(folder))
        assert same(evidence_files.read(Path(folder), CAPS), product)


@pytest.mark.parametrize("value", [[1], {"a": 1}, object()])
def test_a_value_without_a_plain_form_is_not_written(value: Any) -> None:
    with pytest.raises(ValueError, match="a column of"):
        evidence_values.pack([(value,)], 1)


def test_a_column_of_two_types_is_not_written() -> None:
    with pytest.raises(ValueError, match="a column of"):
        evidence_values.pack([(1,), ("1",)], 1)


# ---- what a hostile jail may leave ----


def record(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        path = folder / evidence_files.RECORD
        told = json.loads(path.read_text(encoding="utf-8"))
        change(told)
        path.write_text(json.dumps(told), encoding="utf-8")

    return forge


def table(name: str, change: Callable[[pa.Table], pa.Table], **options: Any) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        with pa.ipc.open_stream((folder / name).read_bytes()) as reader:
            changed = change(reader.read_all()).combine_chunks()
        with (folder / name).open("wb") as file, pa.ipc.new_stream(file, changed.schema, **options) as writer:
            for batch in changed.to_batches():
                writer.write_batch(batch)

    return forge


def column(name: str, value: Any) -> Callable[[pa.Table], pa.Table]:
    def change(found: pa.Table) -> pa.Table:
        place = found.schema.get_field_index(name)
        field = found.schema.field(place)
        return found.set_column(place, field, pa.array([value] * found.num_rows, field.type))

    return change


def replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return forge


def cut(name: str, by: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size - by)


def forged_set(folder: Path) -> None:
    """Another set of the same size under the digest of the first."""
    path = folder / "sets-0-0.bin"
    raw = path.read_bytes()
    digest, size = struct.unpack_from("<16sI", raw)
    other = BitMap([7, 8, 9]).serialize()
    path.write_bytes(struct.pack("<16sI", digest, len(other)) + other + raw[20 + size :])


def of_records(change: Callable[[np.ndarray], np.ndarray], *, honest: bool) -> Callable[[Path], None]:
    """Other numbers in the first set of records; `honest`: under their own digest."""

    def forge(folder: Path) -> None:
        path, raw = folder / RECORD_SETS, (folder / RECORD_SETS).read_bytes()
        digest, size = struct.unpack_from("<16sI", raw)
        other = change(np.frombuffer(raw[20 : 20 + size], dtype="<u8")).astype("<u8").tobytes()
        own = bytes.fromhex(hashlib.sha256(other).hexdigest()[:32]) if honest else digest
        path.write_bytes(struct.pack("<16sI", own, len(other)) + other + raw[20 + size :])
        if honest:
            names = {digest.hex(): own.hex()}
            swap = lambda t: t.set_column(3, t.schema.field(3), pa.array(  # noqa: E731
                [names.get(one, one) for one in t["records"].to_pylist()], t.schema.field(3).type))  # fmt: skip
            table(RECORDS, swap)(folder)

    return forge


HUGE = 5 << 20
CELLS, SETS, ROWS = "cells-0-0.arrow", "sets-0-0.bin", "rows-0.arrow"
RECORDS, RECORD_SETS = "records-0-0.arrow", "record-sets-0-0.bin"
FORGED: dict[str, Callable[[Path], object]] = {
    "no record": lambda f: (f / evidence_files.RECORD).unlink(),
    "record is no JSON": lambda f: (f / evidence_files.RECORD).write_text("{"),
    "record nested too deep": lambda f: (f / evidence_files.RECORD).write_text("[" * 100_000),
    "record is a list": lambda f: (f / evidence_files.RECORD).write_text("[]"),
    "record too large": lambda f: (f / evidence_files.RECORD).write_bytes(b" " * HUGE),
    "a table is missing": lambda f: (f / CELLS).unlink(),
    "a file too many": lambda f: (f / "more").touch(),
    "a folder too many": lambda f: (f / "more").mkdir(),
    "a link in place of a table": replaced(ROWS, lambda p: p.symlink_to("/etc/passwd")),
    "a pipe in place of a table": replaced(SETS, os.mkfifo),
    "a second name of a table": lambda f: os.link(f / ROWS, f.parent / f"{f.name}-link"),
    "a sparse table": lambda f: os.truncate(f / ROWS, 1 << 40),
    "rows cut": cut(ROWS, 9),
    "cells cut": cut(CELLS, 9),
    "sets cut": cut(SETS, 1),
    "a Parquet table": replaced(CELLS, lambda p: pq.write_table(pa.table({"cell": [0]}), p)),
    "compressed cells": table(CELLS, lambda t: t, options=pa.ipc.IpcWriteOptions(compression="zstd")),
    "a column too many": table(CELLS, lambda t: t.append_column("x", pa.array([1] * t.num_rows))),
    "a column too few": table(CELLS, lambda t: t.drop_columns(["x1"])),
    "a column of another type": table(ROWS, lambda t: t.set_column(1, "c1", pa.array(["x"] * t.num_rows))),
    "more rows than told": table(ROWS, lambda t: pa.concat_tables([t, t])),
    "cells of rows that are not there": table(CELLS, column("cell", 9)),
    "more entities than the set has": table(CELLS, column("n", 4)),
    "more informative zeros than entities": table(CELLS, column("n_non_zero", 9)),
    "second above first": table(CELLS, column("x2", 5.0)),
    "an unnamed measure": table(CELLS, column("measure", None)),
    "a set that is not there": table(CELLS, column("bitmap", "0" * 32)),
    "no set": table(CELLS, column("bitmap", None)),
    "another set under a digest": forged_set,
    "sets twice": lambda f: (f / SETS).write_bytes((f / SETS).read_bytes() * 2),
    "records cut": cut(RECORD_SETS, 8),
    "records of a cell left out": table(RECORDS, lambda t: t.slice(1)),
    "records of a cell told twice": table(RECORDS, lambda t: pa.concat_tables([t, t])),
    "records of a cell that is not there": table(RECORDS, column("cell", 9)),
    "other records under a digest": of_records(lambda n: n + np.uint64(1), honest=False),
    "records of somebody else": of_records(lambda n: n + np.uint64(2**BITS), honest=True),
    "records of some of the entities": of_records(lambda n: n[:-2], honest=True),
    "records out of order": of_records(lambda n: n[::-1], honest=True),
    "records told twice": of_records(lambda n: np.repeat(n, 2), honest=True),
    "half a record": lambda f: (f / RECORD_SETS).write_bytes(
        (raw := (f / RECORD_SETS).read_bytes())[:16] + struct.pack("<I", 4) + raw[20:24]
    ),
    "no records, and sets": table(RECORDS, lambda t: t.slice(0, 0)),
    "job of another type": record(lambda r: r.update(job=1)),
    "a fact missing": record(lambda r: r.pop("sources")),
    "more dimensions than columns": record(lambda r: r.update(dimensions=3)),
    "groupings of other rows": record(lambda r: r.update(groupings=[0])),
    "a grouping beyond the dimensions": record(lambda r: r.update(groupings=[0, 2])),
    "an unknown form": record(lambda r: r.update(forms=["text", "pickle"])),
    "more halves held than tried": record(lambda r: r["kinds"][0].update(halves_as_predicted=4)),
    "a truth that is a number": record(lambda r: r["kinds"][0].update(reproduced=1)),
    "cells of a kind not touched": record(lambda r: r["kinds"][0].update(touched=False)),
    "kinds without end": record(lambda r: r.update(kinds=r["kinds"] * 17)),
    "a reference without files": record(lambda r: r.update(references=[{**r, "references": []}])),
    "a fact too many in the proof": record(lambda r: r["record"].update(more="x")),
    "a text that is a list": record(lambda r: r["record"]["texts"].update(product=["x"])),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_evidence_is_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    evidence_files.write(evidence([[1, 2, 3], [4, 5, 6]]), folder)
    evidence_files.read(folder, CAPS)
    FORGED[name](folder)
    with pytest.raises(NotEvidence) as raised:
        evidence_files.read(folder, CAPS)
    assert "区" not in str(raised.value) and str(tmp_path) not in str(raised.value)


def test_whatever_bytes_are_changed_a_set_is_what_its_digest_says() -> None:
    drawn = random.Random(5)
    with tempfile.TemporaryDirectory() as place:
        folder, refused = Path(place), 0
        product = evidence([sorted(drawn.sample(range(100_000), 500)), [1, 2]])
        evidence_files.write(product, folder)
        good = (folder / SETS).read_bytes()
        for _ in range(300):
            raw = bytearray(good)
            raw[drawn.randrange(len(raw))] ^= 1 << drawn.randrange(8)
            (folder / SETS).write_bytes(raw)
            try:
                read = evidence_files.read(folder, CAPS)
            except NotEvidence:
                refused += 1
            else:  # a byte that means nothing to the set: what comes out does not have it
                assert read.kinds[0].bitmaps == product.kinds[0].bitmaps
        assert refused > 250


def test_more_rows_than_the_cap_are_refused(tmp_path: Path) -> None:
    evidence_files.write(evidence([[1]] * 20), tmp_path)
    with pytest.raises(NotEvidence):
        evidence_files.read(tmp_path, replace(CAPS, rows=19))
    with pytest.raises(NotEvidence):
        evidence_files.read(tmp_path, replace(CAPS, cells=19))


def test_the_forms_are_exactly_the_values(tmp_path: Path) -> None:
    """A decimal keeps its digits, an integer beyond 64 bits its value, a zoned moment its instant."""
    zoned = datetime(2026, 1, 1, tzinfo=UTC)
    row = (Decimal("1.20"), 2**100, zoned, date(2026, 2, 28), time(1, 2, 3, 4), -0.0, float("nan"), None)
    forms, batch = evidence_values.pack([row], len(row))
    (back,) = evidence_values.unpack(batch, forms)
    assert forms == ["decimal", "long", "zoned", "date", "time", "float", "float", "nothing"]
    assert [str(v) for v in back[:2]] == ["1.20", str(2**100)] and back[2] == zoned
    assert str(back[5]) == "-0.0" and str(back[6]) == "nan"
