"""Rows about single persons or firms: who may get them, classes of rows that are alike, what the classes tell.

Thresholds of classes and risk are GB/T 42460-2023 annex D; diversity and closeness are statistical disclosure control.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from policies.verdict import Outcome
from sandbox.exports.checks.base import MOST, Measured, Miss, check, limited, need
from sandbox.exports.checks.cells import least
from sandbox.exports.classes import Classes, class_sizes
from sandbox.exports.places import within
from sandbox.exports.records import TableRoles, roles_alone
from sandbox.exports.subject import CannotRun, ExportSubject
from sandbox.products.coded import Coded

if TYPE_CHECKING:
    import polars as pl

    from sandbox.exports.contents import Table


TAU = {"public": 1 / 20, "contract": 1 / 5, "enclave": 1 / 3}
"""Largest risk of one class by audience (GB/T 42460 D.1.5)."""


@dataclass(frozen=True, slots=True)
class Records:
    """One table of records with the roles of its columns."""

    table: Table
    roles: TableRoles

    @property
    def quasi(self) -> list[str]:
        """Numbers of the columns that people could be recognised by. A direct identifier that is in the file (which
        other rules block) is one of them."""
        return self.roles.of("direct", "quasi")

    def sizes(self) -> pl.DataFrame:
        """The classes, each with the fewest it can be: rows, or the distinct entities that the source has in it."""
        import polars as pl

        found = class_sizes(self.table.frame(), self.quasi).collect(engine="streaming")
        people = self.roles.people
        if people is None:
            return found
        shared = [name for name in people.columns if name != "entities"]
        joined = found.join(people, on=shared, how="left", nulls_equal=True)
        return joined.with_columns(size=pl.min_horizontal("size", pl.col("entities").replace(0, None)))


def tables_of(subject: ExportSubject) -> list[Records]:
    """Every table of the request with its roles; a file without any table has no records to judge, and on the platform
    the source must have been looked at."""
    tables = [table for contents in subject.contents for table in contents.tables]
    if not tables:
        raise CannotRun("table")
    known = {roles.place: roles for roles in subject.records.tables} if subject.records else {}
    if subject.lane == "platform":
        need(subject.records, "roles of the columns")
    return [Records(table, known.get(table.place) or roles_alone(table)) for table in tables]


def _doubts(found: list[Records]) -> list[Miss]:
    """Columns that nobody has graded: a person looks whether their role is right."""
    return [
        Miss(within(one.table.place, column=c.number), f"role {c.role} guessed from the {c.known}", None,
             Outcome.REVIEW, about="roles")
        for one in found for c in one.roles.guessed
    ]  # fmt: skip


@check("record_level")
def record_level(subject: ExportSubject, parameters: Any) -> Measured:
    """Rows about single persons or firms go to these audiences only, and never to everybody."""
    allowed = ", ".join(parameters.audiences)
    misses = () if subject.audience in parameters.audiences else (Miss("request#audience", subject.audience, allowed),)
    return Measured(subject.audience, allowed, misses)


@check("equivalence_classes")
def equivalence_classes(subject: ExportSubject, parameters: Any) -> Measured:
    """Every class of equal quasi-identifiers has the rows, and the distinct entities, that its audience asks for
    (R13, GB/T 42460 D.1.5: θ = 1/f is not above τ). A missing value is a value of its own; rows of one entity count
    once as far as the source tells; weights do not count."""
    import polars as pl

    k = parameters.of(subject.audience)
    found = tables_of(subject)
    misses, smallest = _doubts(found), None
    for one in found:
        sizes = one.sizes()
        small = sizes.filter(pl.col("size") < k).sort("size", "row")
        told, first = f"{small.height} classes", one.table.first_row
        misses += [Miss(within(one.table.place, row=first + row), size, k, evidence=told)
                   for size, row in small.select("size", "row").head(MOST).iter_rows()]  # fmt: skip
        smallest = least(smallest, sizes["size"].min())
    return Measured(smallest, k, limited(misses))


@check("overall_risk")
def overall_risk(subject: ExportSubject, parameters: Any) -> Measured:
    """Data risk × context risk (GB/T 42460 D.1.5): the largest 1/f for everybody, the mean over the classes for known
    recipients; with any class below its audience's size the risk is 1."""
    import polars as pl

    most, context = parameters.max_risk, parameters.context(subject.audience)
    smallest = 1 / TAU[subject.audience]
    worst, misses = 0.0, []
    for one in tables_of(subject):
        sizes = one.sizes()
        risk = pl.max("θ") if subject.audience == "public" else pl.mean("θ")
        data = float(sizes.select(θ=1 / pl.col("size")).select(risk).item() or 0.0)
        too_small = sizes.filter(pl.col("size") < smallest).height
        overall = 1.0 if too_small else round(data * context, 12)
        worst = max(worst, overall)
        if overall > most or (overall == most and parameters.risk_compare == "lt"):
            misses.append(Miss(one.table.place, round(overall, 4), most))
    return Measured(round(worst, 4), most, tuple(misses))


def _sensitive(subject: ExportSubject) -> Iterator[tuple[Classes, Coded, str]]:
    """(classes of the rows, cells, place) of every sensitive column; a guessed role may hide one, which the rule about
    classes sends to a person."""
    for one in tables_of(subject):
        sensitive, column = one.roles.of("sensitive"), one.table.cells.column
        if sensitive:
            classes = Classes([column(int(number) - 1) for number in one.quasi], one.table.rows)
        for number in sensitive:
            yield classes, column(int(number) - 1), within(one.table.place, column=number)


@check("sensitive_diversity")
def sensitive_diversity(subject: ExportSubject, parameters: Any) -> Measured:
    """In every class, each sensitive column is l-diverse (R14): enough distinct values, none too common, entropy of at
    least ln l, and r₁ < c (r_l + … + r_m). Classes in which nobody has a value tell nothing."""
    import polars as pl

    p, fewest, misses = parameters, None, []
    bad = (
        (pl.col("distinct") < p.min_distinct) | (pl.col("top") > p.max_top_share)
        | (pl.col("entropy") < math.log(p.entropy_l) - 1e-12)
        | (pl.col("first") >= p.recursive_c * pl.col("tail"))
    )  # fmt: skip
    for classes, cells, place in _sensitive(subject):
        found = classes.variety(cells, p.recursive_l)
        if not found.height:
            continue
        fewest = least(fewest, found["distinct"].min())
        alike = found.filter(bad)
        if alike.height:
            worst = alike.sort("distinct", "entropy").row(0, named=True)
            told = f"{alike.height} classes; top share {worst['top']:.2f}"
            misses.append(Miss(place, worst["distinct"], p.min_distinct, evidence=told))
    return Measured(fewest, p.min_distinct, limited(misses))


@check("sensitive_closeness")
def sensitive_closeness(subject: ExportSubject, parameters: Any) -> Measured:
    """No class is farther than `max_distance` from the whole table in any sensitive column (R15)."""
    worst, misses = 0.0, []
    for classes, cells, place in _sensitive(subject):
        far = float(classes.distances(cells).max(initial=0.0))
        worst = max(worst, far)
        if far > parameters.max_distance:
            misses.append(Miss(place, round(far, 3), parameters.max_distance))
    return Measured(round(worst, 3), parameters.max_distance, limited(misses))


@check("firm_fields")
def firm_fields(subject: ExportSubject, parameters: Any) -> Measured:
    """Rows that name an enterprise beside what is not public about it (E25): finance, tax, contracts, staff."""
    misses, named = [], 0
    for contents in subject.contents:
        for table in contents.tables:
            firm = [i for i, name in enumerate(table.header) if any(word in name for word in parameters.names)]
            hidden = [i for i, name in enumerate(table.header) if any(word in name for word in parameters.not_public)]
            if firm and hidden:
                named += len(hidden)
                misses += [Miss(within(table.place, column=i + 1), table.header[i], None) for i in hidden]
    return Measured(named, 0, limited(misses))
