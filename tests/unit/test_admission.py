"""Places on the machine: first come, first served, nobody twice, and no memory promised that is not there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.workspaces import admission
from sandbox.workspaces.admission import SPARE, Admission, Key, WorkspaceBusy

LONG = 30.0


class Desk:
    """An admission with a thread for each who asks; `ended` are the idle workers it sent away."""

    def __init__(self, places: int = 2, capacity_mb: int = 1000) -> None:
        self.ended: list[Key] = []
        self.admission = Admission(places, capacity_mb, self.ended.append)
        self.pool = ThreadPoolExecutor(32)
        self.places: dict[str, list[int]] = {}

    def come(self, name: str, mb: int = 100, mode: str = "simulated", seconds: float = LONG) -> Future[object]:
        """Ask in a thread; returns once it is in or waits."""
        heard, told = threading.Event(), self.places.setdefault(name, [])

        def waiting(place: int) -> None:
            told.append(place)
            heard.set()

        asked = self.pool.submit(
            self.admission.enter, (name, mode), mb, cancel=threading.Event(), waiting=waiting, seconds=seconds
        )
        asked.add_done_callback(lambda _: heard.set())
        assert heard.wait(LONG)
        return asked

    def leave(self, name: str, holds: int | None = None, mode: str = "simulated") -> None:
        self.admission.leave((name, mode), holds)

    def running(self) -> set[str]:
        return {name for name in self.places if self.admission.runs((name, "simulated"))}


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    for name in desk.places:
        for mode in ("simulated", "real", "script"):
            desk.admission.cancel(name, mode)
            desk.leave(name, mode=mode)
    desk.pool.shutdown()


def test_who_came_first_runs_first_and_is_told_the_place(desk: Desk) -> None:
    for name in "ab":
        assert desk.come(name).result(LONG)
    waiting = {name: desk.come(name) for name in "cde"}
    assert [desk.places[name] for name in "cde"] == [[1], [2], [3]]
    desk.leave("a")
    assert waiting["c"].result(LONG)
    assert not waiting["d"].done()
    desk.leave("b")
    assert waiting["d"].result(LONG)
    desk.leave("c")
    assert waiting["e"].result(LONG)
    assert desk.places["e"] == sorted(set(desk.places["e"]), reverse=True), "a place only ever gets nearer"


def test_a_workspace_holds_one_place_and_lets_others_pass(desk: Desk) -> None:
    assert desk.come("a").result(LONG)
    second = desk.come("a", mode="real")
    assert desk.come("b").result(LONG), "the second of a workspace does not hold up the next workspace"
    assert not second.done()
    desk.leave("a")
    assert second.result(LONG)


def test_the_same_question_place_is_not_asked_for_twice(desk: Desk) -> None:
    assert desk.come("a").result(LONG)
    with pytest.raises(WorkspaceBusy) as caught:
        desk.come("a").result(LONG)
    assert caught.value.code == "workspace.busy_workspace"


def test_limits_of_the_running_and_sizes_of_the_idle_stay_within_the_machine(desk: Desk) -> None:
    assert desk.come("a", 600).result(LONG)
    waiting = desk.come("b", 600)
    assert not waiting.done()
    desk.leave("a", holds=300)
    assert waiting.result(LONG), "an idle worker counts with what it holds"
    assert desk.ended == []
    desk.leave("b", holds=300)
    assert desk.come("c", 600).result(LONG)
    assert desk.ended == [("a", "simulated")], "the longest unused made room, and no more than needed"
    assert desk.admission.status()["held_mb"] == 900


def test_a_workspace_that_returns_takes_over_its_own_worker(desk: Desk) -> None:
    assert desk.come("a", 900).result(LONG)
    desk.leave("a", holds=900)
    assert desk.come("a", 900).result(LONG)
    assert desk.ended == []


def test_spares_count_and_are_never_sent_away(desk: Desk) -> None:
    desk.admission.hold((SPARE, ""), 500)
    waiting = desk.come("a", 600, seconds=0.3)
    with pytest.raises(WorkspaceBusy):
        waiting.result(LONG)
    assert desk.ended == []
    desk.admission.hold((SPARE, ""), 400)
    assert desk.come("b", 600).result(LONG)


def test_what_can_never_fit_and_a_full_queue_are_refused_at_once(desk: Desk) -> None:
    with pytest.raises(WorkspaceBusy) as caught:
        desk.come("big", 1001).result(LONG)
    assert caught.value.code == "workspace.busy_machine"
    small = Desk(places=1)
    for number in range(admission.QUEUE_PER_PLACE + 1):
        small.come(f"w{number}")
    with pytest.raises(WorkspaceBusy):
        small.come("one too many").result(LONG)
    for name in small.places:
        small.admission.cancel(name)
        small.leave(name)
    small.pool.shutdown()


def test_cancelling_takes_out_of_the_queue_and_marks_who_runs(desk: Desk) -> None:
    running = desk.come("a").result(LONG)
    assert desk.come("b").result(LONG)
    waiting, behind = desk.come("c"), desk.come("d")
    assert desk.admission.cancel("c", "simulated")
    assert waiting.result(LONG) is None
    assert not desk.admission.cancel("c", "simulated"), "it is gone"
    assert desk.admission.cancel("a", end=True)
    assert running.cancel.is_set()  # type: ignore[attr-defined]
    assert running.ended  # type: ignore[attr-defined]
    desk.leave("a")
    assert behind.result(LONG)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(50, 700)), min_size=1, max_size=12), st.integers(1, 3))
def test_at_no_time_are_more_places_or_megabytes_given_than_there_are(
    asked: list[tuple[str, int]], places: int
) -> None:
    found = Admission(places, 1000, lambda key: None)
    seen: list[dict[str, int]] = []

    def work(name: str, mb: int, number: int) -> None:
        key = (name, str(number))
        if found.enter(key, mb, cancel=threading.Event(), waiting=None, seconds=LONG):
            seen.append(found.status())
            found.leave(key, mb // 2)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, name, mb, number) for number, (name, mb) in enumerate(asked)]:
            done.result()
    assert len(seen) == len(asked)
    assert all(status["running"] <= places and status["held_mb"] <= 1000 for status in seen)


def test_the_machines_memory_is_a_number_the_machine_has() -> None:
    assert 0 < admission.machine_mb() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def test_a_process_counts_with_its_children() -> None:
    assert os.getpid() in admission.family(os.getpid())
    assert admission.footprint_mb(os.getpid()) > 1
