"""The detection benchmark measures what it says: both sides see the same cells, and the hidden IDs are there."""

from __future__ import annotations

import pytest

from benchmarks import detect, mixed
from sandbox.detection import scan_table

TABLE = mixed.table(400, seed=5)


def test_both_sides_agree_on_every_hit() -> None:
    missed, extra, agreed, _ = detect._agreement(TABLE)
    assert (missed, extra) == (0, 0) and agreed > 8 * TABLE.height


def test_the_five_hidden_ids_are_found_two_of_them_in_disguise() -> None:
    _, plain, disguised = detect.our_hits(TABLE)
    hidden = [{cell for cell in cells if cell[0] == mixed.HIDDEN_IN} for cells in (plain, disguised)]
    assert [len(cells) for cells in hidden] == [3, 2]
    (found,) = scan_table(TABLE.select(mixed.HIDDEN_IN)).columns[0].entities
    assert (found.entity, found.hits, found.decision) == ("CN_RESIDENT_ID", 5, "contains")


def test_the_mixed_table_has_twenty_columns_and_is_the_same_for_the_same_seed() -> None:
    assert TABLE.width == 20 and TABLE.equals(mixed.table(400, seed=5))
    assert not TABLE.equals(mixed.table(400, seed=6))


def test_the_tall_table_holds_different_texts() -> None:
    assert mixed.tall(3000).collect()["备注"].n_unique() == 3000


@pytest.mark.parametrize("missing", ["", "-", "无", "NULL"])
def test_missing_cells_are_spelled_in_several_ways(missing: str) -> None:
    assert any((TABLE[name] == missing).any() for name in TABLE.columns)
