"""The benchmark of related tables measures rows that pass, join and keep their rules."""

from __future__ import annotations

from benchmarks.simulate_related import measured, related_tables
from synthetic.links import Parent, orphans


def test_its_tables_are_related_and_what_it_measures_has_no_orphan() -> None:
    tables = related_tables(400)
    parents = {n: Parent(t.frame, t.frame.height, fields=t.fields) for n, t in tables.items()}
    assert {sum(orphans(t.frame, t.fields, parents).values()) for t in tables.values()} == {0}
    told = measured(400)
    assert (told["orphans"], told["broken"]) == (0, 0)
    assert told["rows"] == sum(t.frame.height for t in tables.values())
