"""What of a file is found again in the source: identifiers under every encoding, in pieces, and rows."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from sandbox.products import facts
from sandbox.products.coded import CodedTable
from sandbox.products.matching import FileTable, SourceMatch, match
from sandbox.products.source import Source

IDS = [f"44010619900101{n:04d}" for n in range(40)]
PHONES = [f"138{n:08d}" for n in range(40)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    path = tmp_path_factory.mktemp("source") / "t.parquet"
    pl.DataFrame({
        "身份证": [*IDS[:-1], "44010619900101003X"], "手机": PHONES, "区": ["东", "西"] * 20,
        "年龄": list(range(20, 60)),
        "费用": [100.25 + 7 * n for n in range(40)], "药": [f"药品{n % 9}" for n in range(40)],
    }).write_parquet(path)  # fmt: skip
    return replace(facts.described({"t": path}, path.parent, ["身份证"])["t"], identifiers=("手机",))


def found(source: Source, tmp_path: Path, header: list[str], rows: list[list[str]]) -> SourceMatch:
    path = tmp_path / "f.arrow"
    frame = pl.DataFrame(rows, schema=[str(i + 1) for i in range(len(header))], orient="row")
    frame.write_ipc(path, compat_level=pl.CompatLevel.oldest())
    return match({"t": source}, [FileTable(tuple(header), CodedTable(path), len(rows), tuple(range(len(header))))])


def digest(name: str) -> Callable[[str], str]:
    return lambda key: hashlib.new(name, key.encode()).hexdigest()


ENCODINGS: list[tuple[str, Callable[[str], str]]] = [
    ("raw", str), ("raw", lambda k: f" {k} "), ("raw", lambda k: k.translate({48 + n: 0xFF10 + n for n in range(10)})),
    ("raw", lambda k: f"{k[:6]}-{k[6:14]}-{k[14:]}"), ("raw", lambda k: f"{k[:3]}\u200b{k[3:]}"),
    ("md5", digest("md5")), ("md5", lambda k: digest("md5")(k).upper()), ("sha1", digest("sha1")),
    ("sha256", digest("sha256")), ("sm3", digest("sm3")), ("hex", lambda k: k.encode().hex()),
    ("base64", lambda k: base64.b64encode(k.encode()).decode()),
    ("base64", lambda k: base64.b64encode(k.encode()).decode().rstrip("=")),
]  # fmt: skip


@pytest.mark.parametrize(("encoding", "encode"), ENCODINGS)
def test_a_value_leads_back_under_its_encoding_and_no_other(
    encoding: str, encode: Callable[[str], str], source: Source, tmp_path: Path
) -> None:
    rows = [["东", encode(IDS[3])], ["西", encode(PHONES[7])], ["西", encode("999999999999999999")]]
    answer = found(source, tmp_path, ["区", "码"], rows).identifiers
    assert {name: n for name, n in answer.items() if n} == {encoding: 2}


def test_digests_of_a_key_with_a_small_letter_lead_back(source: Source, tmp_path: Path) -> None:
    answer = found(source, tmp_path, ["码"], [[digest("md5")("44010619900101003x")]])
    assert answer.identifiers["md5"] == 1


def test_identifiers_in_pieces_of_adjacent_columns(source: Source, tmp_path: Path) -> None:
    rows = [[k[:6], k[6:14], k[14:], p[:3], p[3:]] for k, p in zip(IDS[:30], PHONES[:30], strict=True)]
    answer = found(source, tmp_path, ["一", "二", "三", "四", "五"], rows)
    assert {s.columns for s in answer.split} == {(0, 1, 2), (3, 4)} and {s.rows for s in answer.split} == {30}
    apart = [[r[0], "x", r[1], "y", r[2]] for r in rows]
    assert found(source, tmp_path, ["一", "二", "三", "四", "五"], apart).split == ()


@pytest.mark.parametrize("looked", [(), (1,)], ids=["none", "one"])
def test_a_file_of_which_hardly_a_column_is_looked_up(source: Source, tmp_path: Path, looked: tuple[int, ...]) -> None:
    path = tmp_path / "f.arrow"
    pl.DataFrame({"1": ["12", "34"], "2": IDS[:2]}).write_ipc(path, compat_level=pl.CompatLevel.oldest())
    answer = match({"t": source}, [FileTable(("人数", "码"), CodedTable(path), 2, looked)])
    assert answer.split == () and answer.identifiers["raw"] == 2 * len(looked)


def raw(n: int) -> list[str]:
    return ["东" if n % 2 == 0 else "西", str(20 + n), str(100.25 + 7 * n), f"药品{n % 9}"]


NAMES = ["区", "年龄", "费用", "药"]
ROWS: list[tuple[str, list[str], list[list[str]], int]] = [
    ("as they are", NAMES, [raw(n) for n in range(10)], 10),
    ("reordered", NAMES, [raw(n) for n in reversed(range(10))], 10),
    ("columns in another order", NAMES[::-1], [raw(n)[::-1] for n in range(10)], 10),
    ("renamed", ["a", "b", "c", "d"], [raw(n) for n in range(30)], 30),
    ("fewer columns", NAMES[:3], [raw(n)[:3] for n in range(10)], 10),
    ("rounded", NAMES, [[*raw(n)[:2], str(round(100.25 + 7 * n)), raw(n)[3]] for n in range(10)], 10),
    ("trailing zeros", NAMES, [[*raw(n)[:2], f"{raw(n)[2]}00", raw(n)[3]] for n in range(10)], 10),
    ("other rows", NAMES, [["东", str(200 + n), "1.5", "药品77"] for n in range(10)], 0),
    ("groups that many rows share", ["区"], [["东"], ["西"]], 0),
]


@pytest.mark.parametrize(("name", "header", "rows", "expected"), ROWS, ids=[r[0] for r in ROWS])
def test_rows_of_the_source_are_found_again(
    name: str, header: list[str], rows: list[list[str]], expected: int, source: Source, tmp_path: Path
) -> None:
    assert max(r.rows for r in found(source, tmp_path, header, rows).rows) == expected
