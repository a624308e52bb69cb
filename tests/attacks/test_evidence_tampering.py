"""The file of a merchant that says something else than the platform computed: every kind of change, 200 times each."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from policies.verdict import Outcome
from sandbox.exports.gate import run_rule
from sandbox.exports.subject import ExportFile, ExportSubject
from sandbox.products.spec import parse
from tests.export_subjects import clinic_sources, edition, subject_of

TRIALS = 50
Table = list[list[str]]

_VISITS: dict[str, Any] = {
    "edition": 1, "inputs": {"visit": {"grant": "G-1"}, "resident": {"grant": "G-2"}}, "from": "visit",
    "join": [{"input": "resident", "on": {"身份证号": "身份证号"}}], "derive": {"月份": {"month": "就诊日期"}},
    "output": {"kind": "aggregate", "format": "csv"},
}  # fmt: skip
_COUNT, _SUM = {"op": "count"}, {"op": "sum", "of": "费用", "round": 2}
PRODUCTS = [
    _VISITS | {"job": "a", "dimensions": ["区", "月份"], "measures": {"人次": _COUNT, "总费用": _SUM}},
    _VISITS | {"job": "b", "dimensions": ["区"], "measures": {
        "人数": {"op": "count_distinct", "of": "身份证号"}, "均费": {"op": "mean", "of": "费用", "round": 3}}},
    _VISITS | {"job": "c", "dimensions": ["月份"], "measures": {"人次": _COUNT, "总费用": _SUM}},
    _VISITS | {"job": "d", "dimensions": ["月份", "区"], "measures": {
        "人次": _COUNT, "次费": {"op": "ratio", "of": "费用", "per": "费用", "round": 6}, "总费用": _SUM}},
]  # fmt: skip


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> list[ExportSubject]:
    sources = clinic_sources(tmp_path_factory.mktemp("clinic"))
    return [subject_of(parse(product), sources) for product in PRODUCTS]


def _place(table: Table, random_: random.Random, width: int) -> tuple[int, int]:
    """A cell that holds a number."""
    return random_.randrange(1, len(table)), random_.randrange(width, len(table[0]))


def _by(change: Callable[[Decimal], Decimal]) -> Callable[[Table, random.Random, int], None]:
    def tamper(table: Table, random_: random.Random, width: int) -> None:
        row, column = _place(table, random_, width)
        table[row][column] = format(change(Decimal(table[row][column])), "f")

    return tamper


def _one(table: Table, random_: random.Random, width: int) -> None:
    row, column = _place(table, random_, width)
    table[row][column] = str(Decimal(table[row][column]) + random_.choice((-1, 1)))


def _drop(table: Table, random_: random.Random, _: int) -> None:
    del table[random_.randrange(1, len(table))]


def _repeat(table: Table, random_: random.Random, _: int) -> None:
    table.append(list(table[random_.randrange(1, len(table))]))


def _swap(table: Table, random_: random.Random, _: int) -> None:
    first, second = random_.sample(range(1, len(table)), 2)
    table[first], table[second] = table[second], table[first]


def _exchange(table: Table, random_: random.Random, width: int) -> None:
    """The values of two rows under each other's names."""
    first, second = random_.sample(range(1, len(table)), 2)
    table[first][:width], table[second][:width] = table[second][:width], table[first][:width]


def _blank(table: Table, random_: random.Random, width: int) -> None:
    row, column = _place(table, random_, width)
    table[row][column] = ""


def _coarse(table: Table, random_: random.Random, width: int) -> None:
    row, column = _place(table, random_, width)
    table[row][column] = format(Decimal(table[row][column]).scaleb(-4).quantize(Decimal(1)).scaleb(4) + 7, "f")


TAMPERING: dict[str, Callable[[Table, random.Random, int], None]] = {
    "one more or less": _one, "a factor of 1 + 1e-6": _by(lambda v: v * (1 + Decimal("1e-6")) + Decimal("1e-9")),
    "a factor of 1 + 1e-8": _by(lambda v: v * (1 + Decimal("1e-8"))),
    "a factor of 1 + 1e-11": _by(lambda v: v * (1 + Decimal("1e-11"))),
    "a row dropped": _drop, "a row twice": _repeat, "two rows change places": _swap,
    "two rows change names": _exchange, "a cell blanked": _blank, "rounding nobody declared": _coarse,
}  # fmt: skip


def found(subject: ExportSubject, tamper: Callable[[Table, random.Random, int], None], seed: int) -> bool:
    """Whether the gate's rule about the file blocks the tampered one."""
    assert subject.spec is not None
    text = subject.files[0].content.decode("utf-8-sig")
    table = list(csv.reader(io.StringIO(text, newline="")))
    tamper(table, random.Random(seed), len(subject.spec.dimensions))
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(table)
    file = ExportFile(subject.files[0].name, b"\xef\xbb\xbf" + buffer.getvalue().encode())
    assert file.content != subject.files[0].content
    rule = edition().by_check("rounding")
    return run_rule(rule, replace(subject, files=(file,))).run.outcome is Outcome.BLOCK


@pytest.mark.parametrize("kind", TAMPERING)
def test_every_tampered_file_is_found(kind: str, subjects: list[ExportSubject]) -> None:
    trials = [found(subject, TAMPERING[kind], seed) for subject in subjects for seed in range(TRIALS)]
    assert sum(trials) == len(trials) == 200


def test_the_platforms_own_file_is_not_tampered_with(subjects: list[ExportSubject]) -> None:
    rule = edition().by_check("rounding")
    assert [run_rule(rule, subject).run.outcome for subject in subjects] == [Outcome.PASS] * len(subjects)
