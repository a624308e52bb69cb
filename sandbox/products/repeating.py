"""Keeping a proof so that a third party can repeat its verdict, and repeating it.

What is kept is the evidence as files: values, cell tables, sets of entities and the record with spec, texts, seeds,
versions and digests. Repeated on the same data with the recorded seed, everything must come out again: counts exactly,
floating numbers within the tolerance of the proofs. Sets of entities are compared by their sizes, because whoever
repeats has numbers of its own for them.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from policies.text import Text
from sandbox.kernel.errors import BadInput
from sandbox.products import evidence_files
from sandbox.products.cells import CELL_SCHEMA
from sandbox.products.evidence import Evidence, KindEvidence
from sandbox.products.evidence_files import Caps
from sandbox.products.evidence_values import same_rows, same_value

_FACTS = ("touched", "several", "reproduced", "halves", "halves_as_predicted", "perturbed", "not_perturbed",
          "ownerless_rows", "rows_total")  # fmt: skip
_NAMED = ("cell", "measure", "part", "op")


@dataclass(frozen=True, slots=True)
class Difference:
    """`place` is a table, a kind or a column of a cell table; `count` how many rows of it differ. Never a value."""

    place: str
    what: str
    count: int = 1


def keep(evidence: Evidence, root: Path) -> str:
    """Leave the evidence below `root` in a folder named by its digest, whole or not at all; the digest (hex)."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=root) as building:
        part = Path(building, "proof")
        part.mkdir(mode=0o700)
        evidence_files.write(evidence, part)
        digest = digest_of(part)
        if not (root / digest).exists():
            part.rename(root / digest)
    return digest


def read(folder: Path, caps: Caps) -> Evidence:
    """A kept proof, checked like one that comes out of a jail. Raises `BadInput` for anything else."""
    try:
        found = evidence_files.read(folder, caps)
    except evidence_files.NotEvidence:
        raise _unusable("文件夹中没有完整的证明记录", "The folder holds no whole record of a proof") from None
    if not re.fullmatch(r"[0-9a-f]{1,64}", found.record.seed):
        raise _unusable("证明记录中没有随机种子", "The record of the proof holds no seed")
    return found


def _unusable(zh: str, en: str) -> BadInput:
    fix = Text("请给出 pds job run --record 或平台保存的文件夹", "Name the folder that `pds job run --record` has left")
    return BadInput("repeat.record", Text(zh, en), fix=fix)


def digest_of(folder: Path) -> str:
    """Names a kept proof: the hex digest over the names and digests of its files."""
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            whole.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def differences(kept: Evidence, again: Evidence) -> list[Difference]:
    """Everything in which a repeated proof is not the kept one; versions are no difference, their effect is."""
    return list(_differences(kept, again))


def _differences(kept: Evidence, again: Evidence) -> Iterator[Difference]:
    place = kept.name
    for fact in ("name", "job", "columns", "dimensions", "groupings", "suspects", "over_budget"):
        if getattr(kept, fact) != getattr(again, fact):
            yield Difference(place, fact)
    for text in ("spec", "texts", "carried", "frozen", "halves"):
        if getattr(kept.record, text) != getattr(again.record, text):
            yield Difference(place, f"record.{text}")
    yield from _sources(kept, again)
    if not same_rows(kept.rows, again.rows, kept.dimensions):
        wrong = sum(not same_rows([a], [b], kept.dimensions) for a, b in zip(kept.rows, again.rows, strict=False))
        yield Difference(place, "rows", wrong + abs(len(kept.rows) - len(again.rows)))
    yield from _kinds(kept, again)
    if len(kept.references) != len(again.references):
        yield Difference(place, "references")
    for one, other in zip(kept.references, again.references, strict=False):
        yield from _differences(one, other)


def _sources(kept: Evidence, again: Evidence) -> Iterator[Difference]:
    """Which inputs there are. Whether they hold the same is seen in what comes out: a folder of files and a snapshot
    have digests of their own making."""
    if set(kept.sources) != set(again.sources):
        yield Difference(kept.name, "sources")


def _kinds(kept: Evidence, again: Evidence) -> Iterator[Difference]:
    theirs = {kind.kind: kind for kind in again.kinds}
    for kind in kept.kinds:
        if kind.kind not in theirs:
            yield Difference(f"{kept.name}/{kind.kind}", "missing")
        else:
            yield from _kind(f"{kept.name}/{kind.kind}", kind, theirs.pop(kind.kind))
    for name in theirs:
        yield Difference(f"{kept.name}/{name}", "added")


def _kind(place: str, kept: KindEvidence, again: KindEvidence) -> Iterator[Difference]:
    for fact in _FACTS:
        if getattr(kept, fact) != getattr(again, fact):
            yield Difference(place, fact)
    tables = [kind.cells.sort(_NAMED) for kind in (kept, again)]
    if tables[0].height != tables[1].height:
        yield Difference(place, "cells", abs(tables[0].height - tables[1].height))
        return
    for column in CELL_SCHEMA:
        if column != "bitmap" and (wrong := _unequal(tables[0].get_column(column), tables[1].get_column(column))):
            yield Difference(f"{place}/{column}", "cells", wrong)


def _unequal(kept: pl.Series, again: pl.Series) -> int:
    if not kept.dtype.is_float():
        return int((kept.ne_missing(again)).sum())
    return sum(not same_value(a, b) for a, b in zip(kept, again, strict=True))
