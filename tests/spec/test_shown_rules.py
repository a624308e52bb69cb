"""Charts, reports and models as a table: what they show or store, and what their rules say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.leaks.charts import drawn
from benchmarks.leaks.files import jpeg, png, zipped
from benchmarks.leaks.models import ensemble, forest, linear, onnx
from policies.verdict import Outcome
from sandbox.exports.contents import Contents, read_all
from sandbox.exports.gate import run_rule
from sandbox.exports.records import RecordFacts
from sandbox.exports.subject import ExportFile, ExportSubject, bounds_of
from tests.export_subjects import edition

PASS, REVIEW, BLOCK = Outcome.PASS, Outcome.REVIEW, Outcome.BLOCK
PEOPLE = 300


def chart(text: str) -> bytes:
    import io

    import polars as pl

    return drawn(pl.read_csv(io.StringIO(text), infer_schema=False))


SAFE = "区,人数\n东,20\n西,35\n"
CHARTS: list[tuple[str, dict[str, bytes], Outcome]] = [
    ("with its table inside", {"图.png": chart(SAFE)}, PASS),
    ("with its table beside it", {"图.jpg": jpeg(), "图.csv": SAFE.encode()}, PASS),
    ("with its table beside it in an archive",
     {"a.zip": zipped({"图.png": png(bare=True), "图.csv": SAFE.encode()})}, PASS),
    ("without a table", {"图.png": png(bare=True)}, BLOCK),
    ("with the table of another", {"图.png": png(bare=True), "表.csv": SAFE.encode()}, BLOCK),
    ("in an archive without a table", {"a.zip": zipped({"图.png": png(bare=True)})}, BLOCK),
    ("in a document, which may be a logo",
     {"t.docx": zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w:document/>",
                        "word/media/a.png": png(bare=True)})}, REVIEW),
    ("with a bar of nine", {"图.png": chart("区,人数\n东,9\n")}, BLOCK),
    ("with a bar of ten", {"图.png": chart("区,人数\n东,10\n")}, PASS),
    ("with a bar that is not rounded", {"图.png": chart("区,人数\n东,23\n")}, BLOCK),
    ("with a maximum", {"图.png": chart("区,人数,最大值\n东,20,7.5\n")}, REVIEW),
    ("with points and no count", {"图.png": chart("x,y\n1.5,20.5\n")}, REVIEW),
    ("a table of a report with three", {"表.csv": "区,人数\n东,3\n".encode()}, BLOCK),
    ("a report without numbers", {"报告.txt": "说明".encode()}, PASS),
]  # fmt: skip
BRANCH = {"split": "a", "left": {"value": 1, "samples": 20}, "right": {"value": 2}}
MODELS: list[tuple[str, dict[str, bytes], Outcome]] = [
    ("99 values of 300 people", {"m.onnx": linear(98)}, PASS), ("100 values", {"m.onnx": linear(99)}, BLOCK),
    ("values in a tensor", {"m.onnx": onnx("Normalizer", stored=[[1.0] * 10] * 10)}, BLOCK),
    ("30 leaves", {"m.onnx": ensemble(30)}, PASS), ("31 leaves", {"m.onnx": ensemble(31)}, BLOCK),
    ("support vectors", {"m.onnx": onnx("SVMClassifier", support_vectors=[1.0])}, BLOCK),
    ("JSON with leaves of ten", {"m.json": forest([200, 10])}, PASS),
    ("JSON with a leaf of nine", {"m.json": forest([200, 9])}, BLOCK),
    ("JSON with a leaf that does not say", {"m.json": json.dumps({"model": "tree", "trees": [BRANCH]}).encode()},
     BLOCK),
    ("JSON that is no model", {"m.json": b'{"a": [1, 2, 3]}'}, PASS),
    ("no model", {"t.csv": SAFE.encode()}, PASS),
]  # fmt: skip


@pytest.fixture(scope="module")
def opened() -> tuple[Contents, ...]:
    """All files of the tables read in one jail: what is in use is not read again."""
    every = [ExportFile(n, c) for table in (CHARTS, MODELS) for _, files, _ in table for n, c in files.items()]
    return read_all(every, bounds_of(edition()))


def outcome(rule: str, files: dict[str, bytes], **changes: Any) -> Outcome:
    made = tuple(ExportFile(name, content) for name, content in files.items())
    subject = ExportSubject(files=made, audience="contract", form="report", lane="file", **changes)
    return run_rule(edition().rule(rule), subject).run.outcome


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize(("what", "files", "expected"), CHARTS, ids=[c[0] for c in CHARTS])
def test_a_chart(what: str, files: dict[str, bytes], expected: Outcome) -> None:
    assert outcome("EXP-CHART-01", files) is expected


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize(("what", "files", "expected"), MODELS, ids=[m[0] for m in MODELS])
def test_a_model_of_three_hundred_people(what: str, files: dict[str, bytes], expected: Outcome) -> None:
    assert outcome("EXP-MODEL-01", files, records=RecordFacts((), PEOPLE, {})) is expected


def test_a_model_of_nobody_knows_how_many_goes_to_a_person() -> None:
    assert outcome("EXP-MODEL-01", {"m.onnx": linear(3)}) is REVIEW


def test_an_operator_that_the_format_does_not_know_blocks() -> None:
    """Its name could be anything: nothing else is looked for in it."""
    assert outcome("EXP-HIDDEN-01", {"m.onnx": onnx("aGVsbG8gd29ybGQ")}) is BLOCK
