"""The ledger on both databases: what is kept, who is compared with what, and what makes a check stale."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from policies.text import UserError
from sandbox.exports import ledger
from sandbox.exports import repository as exports
from sandbox.exports.differencing import near_pairs
from sandbox.exports.history import COUNT, RECORDS, ReleasedCell
from sandbox.kernel.unit import Unit
from sandbox.merchants import ties
from sandbox.products.cells import packed
from sandbox.products.records import BITS, named
from tests.factories import World

RESOURCES = frozenset({"res-1"})


def cell(members: Sequence[int], *, kind: str = "person", variable: str = "count", release: str = "x") -> ReleasedCell:
    name, raw = packed(list(members))
    return ReleasedCell(release, f"{release}#row=1", kind, variable, "count_distinct", len(members), name, raw)


def request(merchant: str, audience: str = "contract", name: str = "exp-1") -> exports.ExportRequest:
    return exports.ExportRequest(id=name, organisation_id=merchant, audience=audience)


def put(unit: Unit, one: exports.ExportRequest, *cells: ReleasedCell, name: str = "rel-1", key: str = "k") -> None:
    ledger.append(unit.session, one, ledger.Entry(name, cells, RESOURCES, key, unit.now))


def look(unit: Unit, one: exports.ExportRequest, *cells: ReleasedCell, key: str = "k") -> ledger.Seen:
    return ledger.seen(unit.session, one, cells, RESOURCES, key, 10)


def test_a_cell_comes_back_as_it_went_in_and_a_set_is_kept_once(any_world: World) -> None:
    kept = replace(
        cell(range(40)), low=38, high=42, value="rounded", x_total=40.0, tops=(2.0, 1.0), table="product", grouping=2,
        labels=("内科", None),
    )  # fmt: skip
    with any_world.system() as unit:
        put(unit, request("m-1"), kept, replace(kept, place="x#row=2", value="suppressed", low=None, high=None))
        found = look(unit, request("m-1"), cell(range(39))).history
        assert {replace(c, release="x") for c in found} == {
            kept, replace(kept, place="x#row=2", value="suppressed", low=None, high=None)
        }  # fmt: skip
        assert unit.session.query(ledger.LedgerSet).count() == 1
        assert [len(names.split()) for (names,) in unit.session.query(ledger.LedgerBlock.digests)] == [1]


def records(members: Sequence[tuple[int, int]], *, release: str = "x") -> ReleasedCell:
    """A count of records, each an owner and its number."""
    name, raw = named(np.array([who << BITS | number for who, number in members], dtype=np.uint64))
    people = len({who for who, _ in members})
    place = f"{release}#row=1"
    return ReleasedCell(release, place, "person", RECORDS + COUNT, "count", people, name, raw, unit="record")


def test_sets_of_records_come_back_and_lead_to_those_that_few_people_differ_by(any_world: World) -> None:
    every = [(who, number) for who in range(60) for number in range(4)]
    without = [one for one in every if not (one[0] < 3 and one[1] > 1)]
    far = [one for one in every if one[1] < 2]
    with any_world.system() as unit:
        put(unit, request("m-1"), records(every), records(far, release="far"))
        put(unit, request("m-3"), records(every, release="theirs"), name="rel-other")
        found = look(unit, request("m-1"), records(without))
        stored = unit.session.query(ledger.LedgerSet.members).filter_by(digest=records(every).bitmap).scalar()
    assert sorted(c.records.tolist() for c in found.history) == sorted(
        c.records.tolist() for c in (records(every), records(far))
    )
    assert len(stored) < len(records(every).members)
    pairs = near_pairs([records(without)], found.history, threshold=10, near=found.near).found
    assert [(p.other.bitmap, p.distance, p.nested) for p in pairs] == [(records(every).bitmap, 3, True)]
    assert [c.bitmap for c in found.elsewhere] == [records(every).bitmap]


def test_sets_of_records_that_are_too_many_are_not_read_and_that_is_said(
    any_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = [(who, number) for who in range(60) for number in range(4)]
    with any_world.system() as unit:
        put(unit, request("m-1"), records(every), cell(range(60)))
        asked = records(every[:-1]), cell(range(60))
        assert look(unit, request("m-1"), *asked).unread == ()
        monkeypatch.setattr(ledger, "MOST_RECORDS_MB", 0)
        found = look(unit, request("m-1"), *asked)
    assert found.unread == ("person",) and [c.unit for c in found.history] == ["entity"]


def test_only_the_partition_that_a_request_touches_is_read(any_world: World) -> None:
    with any_world.system() as unit:
        put(unit, request("m-1"), cell(range(40)), cell(range(40), variable="amount:fee"), cell(range(40), kind="firm"))
        found = look(unit, request("m-1"), cell(range(39))).history
    assert [(c.kind, c.variable) for c in found] == [("person", "count")]


def test_public_cells_are_everybodys_and_those_of_strangers_count_when_they_are_near(any_world: World) -> None:
    with any_world.system() as unit:
        put(unit, request("m-2", "public"), cell(range(100, 160)), name="rel-public")
        put(unit, request("m-3"), cell(range(40)), cell(range(500, 600)), name="rel-other")
        found = look(unit, request("m-1"), cell(range(39)))
    assert [c.release for c in found.history] == ["rel-public"]
    assert [c.n for c in found.elsewhere] == [40]


def test_the_kept_index_leads_to_the_pairs_that_comparing_everything_finds(any_world: World) -> None:
    rng = random.Random(4)
    some = [rng.sample(range(60), rng.choice((2, 5, 9, 10, 14, 40))) for _ in range(60)]
    sets = [*some, *(set(s) ^ set(rng.sample(range(60), rng.randrange(1, 12))) for s in some)]
    cells = [cell(sorted(s), release=f"r{i}") for i, s in enumerate(sets) if s]
    old, new = cells[::2], cells[1::2]
    with any_world.system() as unit:
        put(unit, request("m-1"), *old)
        found = look(unit, request("m-1"), *new)
    pairs = near_pairs(new, found.history, threshold=10, near=found.near).found
    every = near_pairs(new, old, threshold=10).found
    assert {(p.new.bitmap, p.other.bitmap) for p in pairs} == {(p.new.bitmap, p.other.bitmap) for p in every}
    assert any(p.new.n < 10 and p.other.n < 10 for p in pairs)
    assert sum(map(len, found.near.values())) < len(old) * len(new)


def test_sets_of_strangers_that_are_near_without_sharing_anybody_are_seen(any_world: World) -> None:
    with any_world.system() as unit:
        put(unit, request("m-2"), cell(range(4)), name="rel-other")
        assert [c.n for c in look(unit, request("m-1"), cell(range(10, 14))).elsewhere] == [4]


def test_merchants_of_one_owner_share_a_history_over_others_too(any_world: World) -> None:
    with any_world.system() as unit:
        for merchant, kind, name in (
            ("m-1", "beneficial_owner", "甲"), ("m-2", "beneficial_owner", "甲"), ("m-2", "consortium", "乙"),
            ("m-3", "consortium", "乙"), ("m-4", "consortium", "甲"),
        ):  # fmt: skip
            unit.session.add(ties.MerchantTie(
                merchant_id=merchant, kind=kind, name=name, declared_by="a", declared_at=unit.now
            ))  # fmt: skip
        unit.session.flush()
        assert ties.readers_with(unit.session, "m-1") == {"m-1", "m-2", "m-3"}
        put(unit, request("m-3"), cell(range(40)))
        assert len(look(unit, request("m-1"), cell(range(39))).history) == 1


def test_a_recalled_cell_still_counts_and_a_withdrawn_request_reserves_nothing(any_world: World) -> None:
    waiting = request("m-1", name="exp-2")
    with any_world.system() as unit:
        put(unit, request("m-1"), cell(range(40)))
        ledger.recalled(unit.session, "rel-1", unit.now)
        ledger.reserve(unit.session, waiting, ledger.Entry("exp-2", [cell(range(60))], RESOURCES, "k", unit.now))
        found = look(unit, request("m-1"), cell(range(39))).history
        assert sorted((c.n, c.status) for c in found) == [(40, "recalled"), (60, "pending")]
        assert [c.n for c in look(unit, waiting, cell(range(39))).history] == [40]  # not against itself
        ledger.forget_pending(unit.session, "exp-2")
        assert [c.n for c in look(unit, request("m-1"), cell(range(39))).history] == [40]


def test_a_release_in_between_makes_a_check_stale(any_world: World) -> None:
    with any_world.system() as unit:
        before = look(unit, request("m-1"), cell(range(40))).versions
        ledger.recheck(unit.session, {"person"}, before)
        put(unit, request("m-2"), cell(range(40)))
        with pytest.raises(UserError) as stale:
            ledger.recheck(unit.session, {"person"}, before)
        assert stale.value.code == "release.raced"
        ledger.recheck(unit.session, {"person"}, look(unit, request("m-1"), cell(range(40))).versions)


def test_a_renamed_kind_is_a_lost_history_and_another_key_is_an_error(any_world: World) -> None:
    with any_world.system() as unit:
        assert look(unit, request("m-1"), cell(range(40), kind="resident")).lost == ()
        put(unit, request("m-1"), cell(range(40)))
        assert look(unit, request("m-1"), cell(range(40), kind="resident")).lost == ("resident",)
        with pytest.raises(UserError) as changed:
            look(unit, request("m-1"), cell(range(40)), key="another")
        assert changed.value.code == "ledger.key_changed"
