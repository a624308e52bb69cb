"""What a planted leak is, and the register of them.

A case is a pair: a request that leaks in one way, and its clean twin, as like it as can be, that a sensible officer
would let go. Both are made from the demonstration city of a seed (`benchmarks.leaks.town`), so that a second seed gives
the same leaks in other people, names and amounts.

A module of this package plants its cases with the decorator and is named in `benchmarks.leaks.AREAS`:

    @case("three people in a cell", "EXP-CELL-01", "csv")
    def three_people(town: Town) -> Pair:
        return Pair(leak=aggregate(town, ...), twin=aggregate(town, ...))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.leaks.town import Town
    from sandbox.exports.subject import ExportSubject


@dataclass(frozen=True, slots=True)
class Pair:
    """The request that leaks and the one that does not."""

    leak: ExportSubject
    twin: ExportSubject


@dataclass(frozen=True, slots=True)
class Case:
    """`rule` claims to see this leak; `form` is what carries it (csv, xlsx, png, a job, …).

    `people`: rules that send every request of this form to a person whatever it holds (pictures, free text). Their
    review of a twin is what the policy asks for and no false alarm; a block of theirs is one.
    """

    name: str
    rule: str
    form: str
    build: Callable[[Town], Pair]
    people: frozenset[str] = frozenset()


CASES: dict[str, Case] = {}


def case(
    name: str, rule: str, form: str = "csv", people: tuple[str, ...] = ()
) -> Callable[[Callable[[Town], Pair]], Callable[[Town], Pair]]:
    """Plant a case. Raises ValueError where the name is taken."""

    def plant(build: Callable[[Town], Pair]) -> Callable[[Town], Pair]:
        if name in CASES:
            raise ValueError(f"two cases are called {name}")
        CASES[name] = Case(name, rule, form, build, frozenset(people))
        return build

    return plant
