"""What the gate judges: the file and every fact about where it comes from.

A fact that is None was not established. In the `platform` lane that is an error of the rule that needs it, never a
pass, so taking a fact away cannot improve a verdict. In the `file` lane (a file judged without a platform behind it)
rules about applications and grants are out of scope, and cells without evidence are judged on the file alone: review
at best.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Literal, cast

from policies.verdict import Outcome
from sandbox.exports.history import COUNTS, ReleasedCell, cell_place, cells_of, without_plain
from sandbox.exports.wording import wording_of
from sandbox.products.artefact import Artefact
from sandbox.products.blackbox import Tried
from sandbox.products.evidence import Evidence
from sandbox.products.matching import FileTable, SourceMatch, match
from sandbox.products.source import EvidenceError, Source
from sandbox.products.spec import JobSpec

if TYPE_CHECKING:
    import polars as pl

    from policies.schema.export import ExportEdition
    from sandbox.exports.contents import Contents, Table
    from sandbox.exports.differencing import NearSets
    from sandbox.exports.hiding import Protection
    from sandbox.exports.reading.bounds import Bounds
    from sandbox.exports.records import RecordFacts
    from sandbox.exports.scan import Hits
    from sandbox.products.budget import Watch
    from sandbox.products.carrier import Refusal
    from sandbox.products.holding import Held
    from sandbox.products.releasing import Table as ReleasedTable

Audience = Literal["public", "contract", "enclave"]
Form = Literal["aggregate", "record", "report"]
FORMS = {"dataset": "record"}
"""Form of an application → form of the gate, where the names differ."""
Lane = Literal["platform", "file"]

REAL_LABEL = "真实数据加工产品"
SIMULATED_LABEL = "仿真数据"


class CannotRun(Exception):
    """A check lacks a fact it needs; the gate turns this into an error run. Holds the name of the fact only."""


class NoEvidence(CannotRun):
    """No evidence can be derived for this job, and another rule says why: its outcome is this rule's too."""

    def __init__(self, why: str, outcome: Outcome) -> None:
        super().__init__(why)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file of the request: its bare name and bytes."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ApplicationFacts:
    """The application an export rests on. `forms`: product forms approved; dates None: not limited by a date."""

    id: str
    active: bool
    forms: frozenset[str]
    agreement_until: date | None
    registered_until: date | None


@dataclass(frozen=True, slots=True)
class GrantFacts:
    """One granted table: its columns, its highest level (1–4; unmarked data counts as 4), core or important data or
    not, and the digest of the snapshot made for it."""

    id: str
    application: str
    active: bool
    columns: frozenset[str]
    level: int
    important: bool
    snapshot: str


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """What was released for this application within the policy's window before this request: rows, cells, bytes.

    `beside`: what the other files of its group hold that have not left (None: it is alone). `waiting_rows`: of other
    requests of the application on their way.
    """

    rows: int
    cells: int
    bytes: int
    beside: VolumeFacts | None = None
    waiting_rows: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """One table that is judged as released: the product itself, or a reference step whose values it may show.

    `hidden`: cells (row from 0, measure) that the platform suppresses in the file.
    """

    place: str
    evidence: Evidence
    hidden: frozenset[tuple[int, str]] = frozenset()

    def cell(self, row: int, column: str) -> str:
        """Where a cell is, without saying any value."""
        return cell_place(self.place, row, column)

    @property
    def counts(self) -> tuple[str, ...]:
        """The measures that count rows or entities."""
        found = (kind.cells for kind in self.evidence.kinds)
        names = (c.filter(c["op"].is_in(COUNTS) & (c["part"] == "value"))["measure"] for c in found)
        return tuple(dict.fromkeys(name for one in names for name in one.unique(maintain_order=True)))

    def shown(self, cells: pl.DataFrame) -> pl.DataFrame:
        """The cells that the file shows."""
        if not self.hidden:
            return cells
        import polars as pl

        schema = {name: cells.schema[name] for name in ("cell", "measure")}
        return cells.join(pl.DataFrame(list(self.hidden), schema=schema, orient="row"), on=list(schema), how="anti")


def _steps(evidence: Evidence) -> Iterator[Judged]:
    """The reference steps an evidence rests on, and those that they rest on."""
    for one in evidence.references:
        yield Judged(f"reference:{one.name}", one)
        yield from _steps(one)


@dataclass(frozen=True, eq=False)
class ExportSubject:
    """Everything about one export request that rules may look at.

    `texts`: place → text typed by people (title, description, remark). `grants` and `columns_read`: by input alias.
    `real_inputs`: whether any input is real data. `entity_kinds`: the kinds the catalogue says the inputs are about (an
    empty set is the catalogue's word that nobody is in them). `rounding_base`: what the file's counts were rounded
    to. `match`: what of the files was found again in the source. `level`: the highest of the inputs (1–4). `hidden`:
    cells that the platform suppresses in the file; `finished`: the file that it wrote. `refusals`: why no evidence can
    be derived and what helps; `black_box`: what was found by leaving out and changing buckets of entities instead
    (scripts, SQL that the carrier cannot follow): it supports a person, and the refusals are its reasons. `bounds`: how
    much a file may hold; None is what the edition in force says. `history`: cells that this reader has seen or that
    wait; `elsewhere`: near cells of other readers; `near`: which sets of both may be near which of this product's
    (None: nobody has looked); `lost_kinds`: kinds whose history is empty though it should not be; `unread_kinds`: those
    whose sets of records are too many to be compared. `records`: roles of the columns of tables that no evidence is
    behind. `protection`: what hidden cells need, None: the most that can be asked; `shown`: the product's numbers as
    released, None: they are taken as exact. `exhaustive`: rules list every miss, for the platform to hide the cells.
    `watch`: who looks on and may end what takes long.
    """

    files: tuple[ExportFile, ...]
    audience: Audience
    form: Form = "aggregate"
    lane: Lane = "platform"
    today: date | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    label: str | None = None
    real_inputs: bool | None = None
    application: ApplicationFacts | None = None
    grants: Mapping[str, GrantFacts] | None = None
    columns_read: Mapping[str, frozenset[str]] | None = None
    spec: JobSpec | None = None
    evidence: Evidence | None = None
    entity_kinds: frozenset[str] | None = None
    rounding_base: int | None = None
    match: SourceMatch | None = None
    history: tuple[ReleasedCell, ...] | None = None
    elsewhere: tuple[ReleasedCell, ...] = ()
    near: NearSets | None = None
    lost_kinds: tuple[str, ...] = ()
    unread_kinds: tuple[str, ...] = ()
    volume: VolumeFacts | None = None
    level: int | None = None
    hidden: frozenset[tuple[int, str]] = frozenset()
    finished: Artefact | None = None
    protection: Protection | None = None
    shown: ReleasedTable | None = None
    exhaustive: bool = False
    refusals: tuple[Refusal, ...] = ()
    black_box: tuple[Tried, ...] | None = None
    bounds: Bounds | None = None
    records: RecordFacts | None = None
    watch: Watch | None = None

    @cached_property
    def contents(self) -> tuple[Contents, ...]:
        """The files as read in a jail: type by content, tables, texts, problems."""
        from sandbox.exports.contents import read_all

        ours = frozenset({self.finished.content}) if self.finished else frozenset()
        return read_all(self.files, self.bounds or bounds_in_force(), ours)

    @cached_property
    def hits(self) -> Hits:
        """Personal data anywhere in files, headers, names and typed texts; looked for once for all rules."""
        from sandbox.exports.scan import scan

        return scan(self)

    @cached_property
    def cells(self) -> tuple[ReleasedCell, ...]:
        """What a release adds to the history, hidden cells too; `CannotRun` as in `need_evidence`."""
        spec, evidence = self.need_evidence()
        if self.rounding_base is None:
            raise CannotRun("rounding base")
        return cells_of(spec, evidence, release="this", base=self.rounding_base, hidden=self.hidden)

    @cached_property
    def compared(self) -> tuple[ReleasedCell, ...]:
        """Of `cells` those that are compared with the history; `CannotRun` without one, and as in `need_evidence`."""
        mine = self.cells  # why there are none comes before that there is no history
        if self.history is None:
            raise CannotRun("history")
        return without_plain(mine, (*self.history, *self.elsewhere))

    @property
    def measure_columns(self) -> frozenset[str]:
        """Columns that hold nothing but numbers the platform computed itself."""
        return frozenset() if self.spec is None or self.evidence is None else frozenset(self.spec.measures)

    @property
    def by_file(self) -> bool:
        """Whether cells have to be judged on the file alone."""
        judged_otherwise = self.refusals or self.black_box is not None
        return self.lane == "file" and (self.evidence is None or self.spec is None) and not judged_otherwise

    def need_evidence(self) -> tuple[JobSpec, Evidence]:
        """The job and its evidence; `CannotRun` unless the evidence covers exactly the kinds the catalogue names."""
        if self.black_box is not None:
            raise NoEvidence("black box", Outcome.REVIEW)
        if self.refusals:
            raise NoEvidence("refused", Outcome.BLOCK)
        if self.spec is None or self.evidence is None:
            raise CannotRun("evidence")
        if self.entity_kinds is None or {k.kind for k in self.evidence.kinds} != self.entity_kinds:
            raise CannotRun("entity kinds")
        return self.spec, self.evidence

    def judged(self) -> list[Judged]:
        """Product and references, each judged as if it were released; `CannotRun` as in `need_evidence`."""
        spec, evidence = self.need_evidence()
        return [Judged(spec.file_name, evidence, self.hidden), *_steps(evidence)]


def refusals_of(error: EvidenceError) -> tuple[Refusal, ...]:
    """Why no evidence could be derived: the carrier's refusals, or the error's own words about the whole job."""
    from sandbox.products.carrier import Refusal

    given: tuple[Refusal, ...] = error.detail.get("refusals", ())
    repair = error.fix or wording_of("evidence_proofs").repair
    return given or (Refusal(error.code, "job", 0, 0, error.text, repair),)


def matched(subject: ExportSubject, sources: Mapping[str, Source]) -> ExportSubject:
    """`subject` with what of its files and texts is found again in the source; numbers the platform computed are not
    looked up. Call it last: it needs the job and the evidence."""
    words = [word for contents in subject.contents for text in contents.texts.values() for word in text.split()]
    words += [word for text in subject.texts.values() for word in text.split()]
    tables = [table for contents in subject.contents for table in contents.tables]
    columns = [
        FileTable(
            table.header, table.cells, table.rows,
            tuple(i for i, name in enumerate(table.header) if name not in subject.measure_columns),
        )
        for table in looked_up(subject)
    ]  # fmt: skip
    alone = subject.evidence is None and not subject.refusals
    found = match(sources, columns, words, records=alone)
    held = {table.place: one for table, one in zip(looked_up(subject), found.held, strict=False)}
    records = _records(tables, sources, held) if alone else None
    answer = replace(subject, match=found, records=records)
    answer.contents  # noqa: B018 - what is in use is not read again
    return answer


def looked_up(subject: ExportSubject) -> list[Table]:
    """The tables of the request in the order in which `match` numbers them."""
    return [table for contents in subject.contents for table in contents.tables if table.rows]


def _records(
    tables: Sequence[Table], sources: Mapping[str, Source], held: Mapping[str, Sequence[Held]]
) -> RecordFacts:
    """What the columns of tables are that no evidence is behind."""
    from sandbox.exports.records import facts_of

    return facts_of(tables, sources, held)


def bounds_in_force() -> Bounds:
    """How much a file may hold, by the export edition in force today."""
    from policies.editions import load

    return bounds_of(cast("ExportEdition", load("export")))


def bounds_of(edition: ExportEdition) -> Bounds:
    """How much a file may hold under `edition`."""
    from sandbox.exports.reading.bounds import Bounds

    reading, archives = (edition.by_check(name).parameters for name in ("file_types", "archives"))
    return Bounds(**reading.reading.model_dump(), **archives.model_dump())
