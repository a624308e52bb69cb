"""A column of a file that holds the values of a source column: every type, spelling and encoding; and near misses."""

from __future__ import annotations

import base64
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sandbox.products.coded import CodedTable
from sandbox.products.holding import Held, held, plain
from sandbox.products.source import Source, opened


def holding(tmp_path: Path, source: pl.Series, file: list[str | None]) -> list[Held]:
    """What the column of the file holds of the one source column."""
    source.to_frame().write_parquet(tmp_path / "s.parquet")
    pl.DataFrame({"1": file}, schema={"1": pl.String}).write_ipc(
        tmp_path / "f.arrow", compat_level=pl.CompatLevel.oldest()
    )
    with opened({"s": Source((str(tmp_path / "s.parquet"),), "sha256:s")}) as con:
        return held(con, CodedTable(tmp_path / "f.arrow"), [0], {"s": [source.name]})


TYPED: list[tuple[str, list[Any], pl.DataType, list[str | None]]] = [
    ("whole numbers", [3, -5, 2**62], pl.Int64(), ["3", "-5", str(2**62)]),
    ("unsigned", [0, 255], pl.UInt8(), ["0", "255"]),
    ("doubles", [1.5, -0.0, 1e20, 1e-9, float("inf")], pl.Float64(), ["1.50", "-0", "1e+20", "1E-09", "inf"]),
    ("singles", [0.1, 16777216.0], pl.Float32(), ["0.1", "16777216.0"]),
    ("decimals", [Decimal("1.50"), Decimal("100.00")], pl.Decimal(18, 2), ["1.5", "100"]),
    ("dates", [date(2020, 1, 1), date(1, 1, 1)], pl.Date(), ["2020-01-01", "0001-01-01"]),
    ("truth values", [True, False], pl.Boolean(), ["TRUE", "false"]),
    ("case, blanks and zeros", ["Ab", " cd ", "1.50", "2.0 "], pl.String(), ["AB ", "CD", "1.5", "2"]),
    ("wide blanks", ["\u3000甲", "乙\u2003"], pl.String(), ["甲", "乙"]),
    ("missing cells", ["甲", None, "乙"], pl.String(), ["甲", None, "乙", " "]),
    ("lists", [[1, 2], [3]], pl.List(pl.Int64()), ["[1, 2]", "[3]"]),
]


@pytest.mark.parametrize(("name", "values", "kind", "file"), TYPED, ids=[t[0] for t in TYPED])
def test_values_of_every_type_are_found_as_text(
    name: str, values: list[Any], kind: pl.DataType, file: list[str | None], tmp_path: Path
) -> None:
    (found,) = holding(tmp_path, pl.Series("c", values, dtype=kind), file)
    assert (found.number, found.how, found.hits, found.of) == (1, "plain", len(values) - values.count(None), found.hits)


ENCODED = [
    ("base64", lambda text: base64.b64encode(text.encode()).decode()),
    ("hex", lambda text: text.encode().hex()),
]


@pytest.mark.parametrize(("how", "encode"), ENCODED)
def test_encoded_values_are_found_once_decoded(how: str, encode: Any, tmp_path: Path) -> None:
    values = [f"街道{n}" for n in range(20)]
    found = holding(tmp_path, pl.Series("c", values), list(map(encode, values)))
    assert [(one.how, one.share) for one in found] == [(how, 1.0)]


@pytest.mark.parametrize(("there", "expected"), [(100, [1.0]), (90, [0.9]), (89, [])])
def test_most_values_have_to_be_there(there: int, expected: list[float], tmp_path: Path) -> None:
    file = [f"v{n}" if n < there else f"x{n}" for n in range(100)]
    found = holding(tmp_path, pl.Series("c", [f"v{n}" for n in range(500)]), [*file])
    assert [one.share for one in found] == expected


def test_numbers_that_were_changed_hold_nothing(tmp_path: Path) -> None:
    values = [1000.25 + 7.5 * n for n in range(50)]
    assert holding(tmp_path, pl.Series("c", values), [str(round(v) + 0.125) for v in values]) == []


@pytest.mark.parametrize(
    "kind", ["BIGINT", "UTINYINT", "HUGEINT", "DOUBLE", "FLOAT", "DECIMAL(9,3)", "DATE", "BOOLEAN"]
)
def test_the_text_of_a_value_is_read_as_this_value(kind: str) -> None:
    """Why typed columns may be compared by value: nothing that has the text of another is lost."""
    import duckdb

    some = {"DATE": ["2020-02-29", "9999-12-31", "infinity"], "BOOLEAN": ["true", "false"]}
    values = some.get(kind, ["0", "1", "100", "127", "-0", "-3", "0.1", "1e20", "nan", "-inf", "5e-324", "123456.789"])
    query = (
        f"SELECT count(*), count(*) FILTER (TRY_CAST({plain('x', kind)} AS {kind}) = x)"
        f" FROM (SELECT TRY_CAST(unnest(?::VARCHAR[]) AS {kind}) AS x) WHERE x IS NOT NULL"
    )
    with duckdb.connect() as con:
        of, same = con.execute(query, [values]).fetchall()[0]
    assert of == same > 1
