"""Leaks by the form of a file: an identifier in every place that a form has, and files that act or hide something."""

from __future__ import annotations

from pathlib import PurePath

from benchmarks.leaks.files import (
    CLEAN,
    COUNTS,
    HOSTILE,
    PLACES,
    Make,
    document,
    parquet,
    png,
    run_of,
    table,
    workbook,
    zipped,
)
from benchmarks.leaks.identifiers import KINDS, people
from benchmarks.leaks.registry import Pair, case
from benchmarks.leaks.town import BY_HAND, Town, report
from policies.verdict import Outcome

LOOKED_AT = (*BY_HAND, "EXP-FILE-01", "EXP-TEXT-01")
"""Rules that send documents, pictures, models, archives and free text to a person whatever they say."""
UNSEEN = frozenset({
    "xlsx comment", "xlsx hidden sheet", "xlsx defined name", "docx comment", "docx custom xml", "pdf attachment",
    "pdf note", "png own chunk", "jpeg comment", "parquet dictionary", "notebook output", "notebook attachment",
    "html comment", "html data url", "onnx doc", "onnx vocabulary", "onnx metadata",
})  # fmt: skip
"""Places that whoever opens the file does not see, so that a person is shown them whatever they say."""
NOTHING = frozenset({"pdf trailing", "png trailing", "jpeg trailing"})
"""Places in which nothing has any business to be: the twin has nothing there."""
ANOTHER = {
    "png chart data": png, "docx deleted text": lambda: document(run_of(CLEAN)),
    "json key twice": lambda: b'{"a": "x"}',
}  # fmt: skip
"""Twins of files whose very form blocks."""
NUMBERS = ("resident id", "mobile", "bank card")
"""Identifiers that any encoding of a text can hold."""


def _plant_places() -> None:
    for where, name, make in PLACES:
        unseen = ("EXP-HIDDEN-01",) if where in UNSEEN else ()

        @case(f"an identifier in: {where}", "EXP-PII-01", PurePath(name).suffix[1:], (*LOOKED_AT, *unseen))
        def placed(town: Town, where: str = where, name: str = name, make: Make = make) -> Pair:
            rng = town.rng(where)
            value = KINDS[rng.choice(NUMBERS)](town, rng)
            twin = ANOTHER[where]() if where in ANOTHER else make("" if where in NOTHING else CLEAN)
            return _pair(town, name, make(value), name, twin)


def _pair(town: Town, name: str, leak: bytes, twin_name: str, twin: bytes) -> Pair:
    sources = {"t": town.source(people(town), "身份证号", identifiers=("姓名", "手机号", "现住址"))}
    return Pair(report(sources, _with_table(name, leak)), report(sources, _with_table(twin_name, twin)))


def _with_table(name: str, content: bytes) -> dict[str, bytes]:
    """A photograph cannot carry the table it was drawn from: that lies beside it."""
    photograph = name.endswith((".jpg", ".jpeg"))
    return {name: content} | ({f"{PurePath(name).stem}.csv": COUNTS} if photograph else {})


def _plain() -> dict[str, tuple[str, bytes]]:
    """A file of each form in which nothing is hidden; where the form itself is refused, one that is not."""
    found = {PurePath(name).suffix: (name, content) for _, name, content, _, said in HOSTILE if said is Outcome.PASS}
    box = ("t.zip", zipped({"a.csv": table(CLEAN)}))
    return {
        ".docx": ("t.docx", document(run_of(CLEAN))), ".zip": box, ".7z": box, ".gz": box, ".txt": ("t.txt", b"a"),
        ".json": ("t.json", b'[{"a": "x"}]'), ".parquet": ("t.parquet", parquet(CLEAN, "cell")),
        ".xlsx": ("t.xlsx", workbook(lambda _b, _s, _x: None, CLEAN)),
    } | found  # fmt: skip


def _plant_hostile() -> None:
    plain = _plain()
    for what, name, content, rule, said in HOSTILE:
        suffix = PurePath(name).suffix
        if said is Outcome.PASS:
            continue

        @case(f"a file that is no plain one: {what}", rule, suffix[1:], LOOKED_AT)
        def hostile(town: Town, name: str = name, content: bytes = content, suffix: str = suffix) -> Pair:
            return _pair(town, name, content, *plain[suffix])


_plant_places()
_plant_hostile()
