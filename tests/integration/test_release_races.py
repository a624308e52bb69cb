"""Two releases at once, in threads, on both databases: of two that are not safe together at most one leaves.

What a release has compared itself with is asked again inside its transaction (`ledger.recheck`); the lineage is held
until it commits. The threads meet at a barrier between their last check and their transaction, which is the moment at
which each believes that it is alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import select

from pipelines import exporting
from pipelines.registry import HANDLERS
from policies.text import UserError
from policies.verdict import Outcome
from sandbox.exports import ledger, reviewing
from sandbox.exports import repository as records
from sandbox.exports.differencing import near_pairs
from sandbox.exports.ledger import LedgerCell, LedgerLineage
from sandbox.kernel import jobs
from sandbox.kernel.identity import Actor
from sandbox.kernel.jobs import LocalExecutor
from sandbox.kernel.unit import Unit
from tests.factories import World
from tests.integration.test_gate_story import CELLS, ROWS, counted
from tests.real_products import opened, product, submitted
from tests.unit.test_ledger import RESOURCES, cell, request

THRESHOLD = 10


@dataclass
class Meeting:
    """A barrier that two threads pass together."""

    barrier: threading.Barrier

    @classmethod
    def of(cls, parties: int) -> Meeting:
        return cls(threading.Barrier(parties, timeout=60))


def checked(unit: Unit, merchant: str, members: Sequence[int], audience: str) -> tuple[ledger.Seen, bool]:
    """What the last check of that merchant sees, and whether it lets this table out."""
    mine = cell(members)
    seen = ledger.seen(unit.session, request(merchant, audience, f"exp-{merchant}"), [mine], RESOURCES, "k", THRESHOLD)
    every = [*seen.history, *seen.elsewhere]
    return seen, not near_pairs([mine], every, threshold=THRESHOLD, near=seen.near).found


def release_of(world: World, merchant: str, members: Sequence[int], audience: str, meet: Callable[[], object]) -> str:
    """A release as its job makes it: check, meet, then record under the lineage's lock; how it ended."""
    with world.system() as unit:
        seen, safe = checked(unit, merchant, members, audience)
    meet()
    if not safe:
        return "withheld"
    mine = cell(members, release=f"rel-{merchant}")
    try:
        with world.system() as unit:
            ledger.recheck(unit.session, {mine.kind}, seen.versions)
            ledger.append(unit.session, request(merchant, audience, f"exp-{merchant}"),
                          ledger.Entry(f"rel-{merchant}", [mine], RESOURCES, "k", unit.now))  # fmt: skip
    except UserError as refused:
        return refused.code
    return "released"


def released(world: World) -> list[str]:
    with world.system() as unit:
        return sorted(unit.session.scalars(select(LedgerCell.release_id).where(LedgerCell.status == "released")))


@pytest.mark.parametrize("first", [True, False], ids=["no lineage yet", "a lineage with history"])
@pytest.mark.parametrize("audience", ["public", "contract"])
@pytest.mark.parametrize("apart", [3, 40], ids=["three people apart", "far apart"])
def test_two_releases_that_both_found_nothing_do_not_both_leave(
    any_world: World, audience: str, apart: int, first: bool
) -> None:
    world = any_world
    if not first:
        assert release_of(world, "m-0", range(5000, 5060), audience, lambda: None) == "released"
    before = released(world)
    meeting = Meeting.of(2)
    tables = {"m-1": range(100), "m-2": range(100 + apart)}
    with ThreadPoolExecutor(2) as pool:
        tried = [pool.submit(release_of, world, who, list(members), audience, meeting.barrier.wait)
                 for who, members in tables.items()]  # fmt: skip
        ended = sorted(one.result() for one in tried)
    assert ended.count("released") == 1, ended
    assert ended[0] in ("record.changed", "record.exists", "release.raced"), "the other one is told to look again"
    assert len(released(world)) == len(before) + 1
    # the other one looks again: together they are let out only where they are safe together
    (late,) = [who for who in tables if f"rel-{who}" not in released(world)]
    again = release_of(world, late, list(tables[late]), audience, lambda: None)
    assert again == ("withheld" if apart < THRESHOLD else "released")


def test_many_at_once_leave_only_what_is_safe_together(any_world: World) -> None:
    """Eight merchants, each three people more than the one before, each trying until it is released or withheld."""
    world, meeting = any_world, Meeting.of(8)

    def persist(number: int) -> str:
        meeting.barrier.wait()
        while True:
            ended = release_of(world, f"m-{number}", list(range(100 + 3 * number)), "public", lambda: None)
            if ended in ("released", "withheld"):
                return ended

    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(persist, range(8)))
    sizes = sorted(100 + 3 * n for n, how in enumerate(ended) if how == "released")
    assert sizes and all(b - a >= THRESHOLD for a, b in pairwise(sizes))
    assert all(how == "released" or any(abs(100 + 3 * n - s) < THRESHOLD for s in sizes) for n, how in enumerate(ended))
    with world.system() as unit:
        (lineage,) = unit.session.scalars(select(LedgerLineage))
        assert lineage.version == len(sizes)


# -- the jobs themselves, over real rows


@pytest.fixture
def two(world: World) -> Iterator[tuple[World, list[str]]]:
    """Two approved requests that reserve nothing, as those of an older installation: all people, and all but five of
    each district."""
    workspace_id, grant = opened(world, ROWS)
    ids = []
    for changes, rows in (({}, "SELECT 区, 200"), CELLS["nearly all"]):
        values = f"{rows} FROM (VALUES ('区0'), ('区1'), ('区2')) t(区)"
        ids.append(submitted(world, product(world, workspace_id, counted(grant, **changes), values)))
    LocalExecutor(world.platform, HANDLERS).drain()
    for one in ids:
        approve(world, one, world.officer, world.second_officer)
    assert [world.export_state(one) for one in ids] == ["approved"] * 2
    with world.system() as unit:
        for one in ids:
            ledger.forget_pending(unit.session, one)
    yield world, ids


def approve(world: World, request_id: str, *officers: Actor) -> None:
    for who in officers:
        if world.export_state(request_id) in ("in_review", "second_review"):
            with world.by(who) as unit:
                reviewing.review(unit, request_id, "approve", "数值稳妥")


@pytest.mark.jail
def test_two_release_jobs_at_once_let_one_product_out(
    two: tuple[World, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, ids = two
    meeting = Meeting.of(2)
    packed: Callable[..., Any] = exporting._package

    def meet(*given: Any) -> Any:
        """Each has made its last check and found nothing; now both go on."""
        made = packed(*given)
        meeting.barrier.wait()
        return made

    with world.system() as unit:
        waiting = [j.id for one in ids for j in jobs.of_subject(unit.session, "export", one) if j.kind == "release"]
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "_package", meet)
        with ThreadPoolExecutor(2) as pool:
            ended = sorted(pool.map(lambda job: jobs.execute(world.platform, HANDLERS, job), waiting))
    assert ended == ["failed", "succeeded"]
    assert sorted(world.export_state(one) for one in ids) == ["approved", "released"]
    with world.system() as unit:
        failed = next(j for j in (jobs.get(unit.session, one) for one in waiting) if j.state == "failed")
        assert failed.error_code == "release.raced"
    with world.by(world.operator) as unit:
        jobs.retry(unit, failed.id)
    LocalExecutor(world.platform, HANDLERS).drain()
    assert sorted(world.export_state(one) for one in ids) == ["blocked", "released"]
    with world.system() as unit:
        late = next(r for r in (records.get(unit.session, one) for one in ids) if r.state == "blocked")
        blocked = [f["rule"] for f in (late.verdict or {})["findings"] if f["severity"] == Outcome.BLOCK]
        assert "EXP-DIFF-01" in blocked
        assert sum(records.release_of(unit.session, one) is not None for one in ids) == 1
