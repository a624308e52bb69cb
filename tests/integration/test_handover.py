"""A file that a merchant's process wrote is read in a jail, within the caps, or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from policies.text import UserError
from sandbox.workspaces import handover, jail
from sandbox.workspaces.selftest import selftest
from tests.workshop import LIMITS

pytestmark = pytest.mark.jail


def handed(file: Path, **changes: int) -> list[tuple[object, ...]]:
    table, used = handover.rows_of(file, replace(LIMITS, **changes), 64, selftest().form)
    assert used.cpu_seconds > 0
    return [tuple(row.values()) for row in table.to_pylist()]


def test_rows_come_in_the_order_of_the_file_with_their_types(tmp_path: Path) -> None:
    file = tmp_path / "0.parquet"
    duckdb.sql(
        "SELECT 900 - range AS n, '区' || range AS 区, DATE '2026-01-01' AS d, 1.25::DECIMAL(9, 2) AS m FROM range(900)"
    ).write_parquet(str(file))
    found = handed(file)
    assert found == [(900 - n, f"区{n}", date(2026, 1, 1), Decimal("1.25")) for n in range(900)]
    assert [f.name for f in tmp_path.iterdir()] == ["0.parquet"]


@pytest.mark.parametrize("caps", [{"result_rows": 100}, {"result_mb": 1}])
def test_a_product_over_the_caps_is_refused_not_cut(tmp_path: Path, caps: dict[str, int]) -> None:
    file = tmp_path / "0.parquet"
    duckdb.sql("SELECT repeat(range::VARCHAR, 10000) AS t FROM range(101)").write_parquet(str(file))
    with pytest.raises(UserError, match=r"handover\.too_large"):
        handed(file, **{"result_rows": 1000} | caps)


@pytest.mark.parametrize("damage", ["no parquet", "cut", "a column's bytes"])
def test_a_damaged_file_is_refused_without_a_word_of_it(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "0.parquet"
    duckdb.sql("SELECT md5(range::VARCHAR) AS t FROM range(5000)").write_parquet(str(file))
    whole = bytearray(file.read_bytes())
    if damage == "no parquet":
        whole = bytearray(b"secret,1\n" * 50)
    elif damage == "cut":
        del whole[len(whole) // 2 :]
    else:
        whole[4 : len(whole) // 2] = b"\xff" * (len(whole) // 2 - 4)
    file.write_bytes(whole)
    with pytest.raises(UserError) as refused:
        handed(file)
    assert refused.value.code == "handover.unreadable" and not refused.value.detail


def test_the_platform_itself_does_not_open_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its jail there is no other way to the rows."""
    file = tmp_path / "0.parquet"
    duckdb.sql("SELECT 1 AS n").write_parquet(str(file))

    def closed(*_order: object) -> jail.Jailed:
        raise jail.failed("none", "")

    monkeypatch.setattr(jail, "start", closed)
    with pytest.raises(jail.JailFailed):
        handed(file)
