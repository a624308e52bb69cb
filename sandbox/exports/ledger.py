"""The ledger of released cells: what has been seen, what is about to be, what is hidden. Nothing is ever taken out.

A lineage is one numbering of one kind of entity; cells are compared within it only. Sets of entities are kept once, by
the digest of their members, with their lowest ranks as a packed index of near sets. They are level-4 data: nobody reads
them, only the checks do. A request on its way reserves its cells as pending; the release turns them into released ones,
and a lineage's version says whether anything was released since a check looked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sqlalchemy import BigInteger, ColumnElement, LargeBinary, UnicodeText, delete, func, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from policies.text import Text, UserError
from sandbox.exports import repository
from sandbox.exports.differencing import NearSets, looking, lowest_of, reach
from sandbox.exports.history import ReleasedCell, Status, Unit, Value
from sandbox.exports.ranks import PREFIX, Lowest
from sandbox.kernel.database import Base, short
from sandbox.kernel.ids import new_id
from sandbox.merchants import ties
from sandbox.products.records import loosened, squeezed
from sandbox.workspaces.limits import MEGABYTE

if TYPE_CHECKING:
    from sandbox.exports.repository import ExportRequest

T = TypeVar("T")

BATCH = 400
"""Values asked for at once."""
BLOCK, READ = 4096, 16
"""Sets in a block of the index, at most; blocks read at once."""
MOST_RECORDS_MB = 256
"""Sets of records that a check reads, as they are kept: about as many as the closure compares."""


class LedgerLineage(Base):
    """One numbering of one kind of entity."""

    __tablename__ = "ledger_lineage"

    id: Mapped[str] = short(primary_key=True)
    kind: Mapped[str] = short(80, unique=True)
    key: Mapped[str] = short(16)
    """fingerprint of the key the numbering rests on; empty until the first release under it"""
    version: Mapped[int] = mapped_column(BigInteger, default=0)
    """grows with every release"""


class LedgerRoot(Base):
    """A resource whose releases are kept in a lineage."""

    __tablename__ = "ledger_root"

    lineage_id: Mapped[str] = short(primary_key=True)
    resource_id: Mapped[str] = short(primary_key=True, index=True)


class LedgerSet(Base):
    """A set of `n` entities, by the digest of its members: a roaring bitmap, or their records (`records.squeezed`)."""

    __tablename__ = "ledger_set"

    lineage_id: Mapped[str] = short(primary_key=True)
    digest: Mapped[str] = short(80, primary_key=True)
    n: Mapped[int]
    members: Mapped[bytes] = mapped_column(LargeBinary)


class LedgerBlock(Base):
    """The index of some sets of a lineage, put in together: what is looked through for near sets, a small part of what
    the sets themselves take. `digests`, one a line, in the order of `sizes` and `marks` (`ranks.Lowest`); sizes lie in
    `least`…`most`."""

    __tablename__ = "ledger_block"

    id: Mapped[str] = short(primary_key=True)
    lineage_id: Mapped[str] = short(index=True)
    least: Mapped[int]
    most: Mapped[int]
    digests: Mapped[str] = mapped_column(UnicodeText)
    sizes: Mapped[bytes] = mapped_column(LargeBinary)
    marks: Mapped[bytes] = mapped_column(LargeBinary)


class LedgerCell(Base):
    """A number that has left, is pending or is hidden, with the set it rests on. A recall never removes a row.

    `release_id`: the release, or the request while it is pending.
    """

    __tablename__ = "ledger_cell"

    id: Mapped[str] = short(primary_key=True)
    release_id: Mapped[str] = short(index=True)
    organisation_id: Mapped[str] = short(index=True)
    audience: Mapped[str] = short(20)
    lineage_id: Mapped[str] = short(index=True)
    variable: Mapped[str] = short(600)
    digest: Mapped[str] = short(80, index=True)
    place: Mapped[str] = short(600)
    op: Mapped[str] = short(20)
    n: Mapped[int]
    low: Mapped[float | None]
    high: Mapped[float | None]
    value: Mapped[str] = short(20)
    x_total: Mapped[float | None]
    tops: Mapped[list[Any]]
    table_name: Mapped[str] = short(600)
    grouping: Mapped[int]
    unit: Mapped[str] = short(20)
    status: Mapped[str] = short(20)
    at: Mapped[datetime | None]
    """when it was released or reserved; missing for what an older installation released"""
    recalled_at: Mapped[datetime | None]
    labels: Mapped[list[Any] | None]
    """missing for what an older installation released"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check compares a request with.

    `history`: what the merchant, the merchants tied to it and the public have seen, and what their waiting requests
    reserve; the cells of the request's own group, which are asked for with it, stand there as `together`.
    `elsewhere`: cells released to other merchants that are near one of the request's. `versions`: kind → version of
    its lineage. `lost`: kinds without any history though earlier products of the same tables are kept under another
    kind. `near`: which of the ledger's sets may be near which of the request's. `unread`: kinds whose sets of records
    are too many to be compared.
    """

    history: tuple[ReleasedCell, ...]
    elsewhere: tuple[ReleasedCell, ...]
    versions: Mapping[str, int]
    lost: tuple[str, ...]
    near: NearSets
    unread: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """What of it an `ExportSubject` holds."""
        return {"history": self.history, "elsewhere": self.elsewhere, "near": self.near, "lost_kinds": self.lost,
                "unread_kinds": self.unread}  # fmt: skip


def seen(
    session: Session, request: ExportRequest, cells: Sequence[ReleasedCell], resources: Collection[str], key: str,
    threshold: int,
) -> Seen:  # fmt: skip
    """What the ledger holds against a request with these `cells`, computed from `resources`: only the partitions
    (lineage and variable) that it touches are read. `key`: fingerprint of the numbering's key. Raises `UserError` where
    that is another one than the ledger's."""
    lineages = {one.kind: one for one in _lineages(session, {cell.kind for cell in cells})}
    for one in lineages.values():
        _require_key(one, key)
    readers = ties.readers_with(session, request.organisation_id)
    theirs = LedgerCell.organisation_id.in_(sorted(readers)) | (LedgerCell.audience == "public")
    others = (LedgerCell.status != "pending") | (LedgerCell.release_id != request.id)
    group = {one.id for one in repository.together(session, request.group_id)}
    history: list[ReleasedCell] = []
    elsewhere: list[ReleasedCell] = []
    near = {cell.bitmap: set[str]() for cell in cells}
    unread: list[str] = []
    for kind, lineage in sorted(lineages.items()):
        mine = [cell for cell in cells if cell.kind == kind]
        within = (
            (LedgerCell.lineage_id == lineage.id)
            & LedgerCell.variable.in_(sorted({cell.variable for cell in mine})) & others
        )  # fmt: skip
        if _records_mb(session, lineage, within & theirs) > MOST_RECORDS_MB:
            unread.append(kind)
            within &= LedgerCell.unit != "record"
        history += (
            replace(c, status="together") if c.status == "pending" and c.release in group else c
            for c in _cells(session, lineage, within & theirs)
        )  # fmt: skip
        found = near_sets(session, lineage.id, mine, threshold)
        for name, others_near in found.items():
            near[name] |= others_near
        for some in _batches(sorted(set().union(*found.values()))):
            released = within & ~theirs & (LedgerCell.status != "pending")
            elsewhere += _cells(session, lineage, released & LedgerCell.digest.in_(some))
    versions = {kind: one.version for kind, one in lineages.items()}
    lost = _lost(session, {cell.kind for cell in cells} - {cell.kind for cell in history}, resources, theirs)
    return Seen(tuple(history), tuple(elsewhere), versions, lost, near, tuple(unread))


def _records_mb(session: Session, lineage: LedgerLineage, condition: ColumnElement[bool]) -> float:
    """Megabytes of the sets of records of cells."""
    digests = select(LedgerCell.digest).where(condition, LedgerCell.unit == "record")
    kept = select(func.sum(func.length(LedgerSet.members)))
    kept = kept.where(LedgerSet.lineage_id == lineage.id, LedgerSet.digest.in_(digests))
    return (session.scalar(kept) or 0) / MEGABYTE


def _batches(names: Sequence[T]) -> Iterator[Sequence[T]]:
    return (names[start : start + BATCH] for start in range(0, len(names), BATCH))


def _lineages(session: Session, kinds: Collection[str]) -> list[LedgerLineage]:
    return list(session.scalars(select(LedgerLineage).where(LedgerLineage.kind.in_(sorted(kinds)))))


def _require_key(lineage: LedgerLineage, key: str) -> None:
    if lineage.key not in ("", key):
        raise UserError(
            "ledger.key_changed",
            Text(
                "主体编号所用的密钥与放行台账不一致，无法与历次放行比较",
                "The key of the entity numbering is not the ledger's: nothing can be compared with earlier releases",
            ),
            fix=Text("请运维人员恢复原密钥", "Whoever runs the platform should restore the key"),
            kind=lineage.kind,
        )


def _cells(session: Session, lineage: LedgerLineage, condition: ColumnElement[bool]) -> Iterator[ReleasedCell]:
    """Cells in a stable order; equal sets share one object."""
    rows = session.scalars(select(LedgerCell).where(condition).order_by(LedgerCell.id)).all()
    records = {row.digest for row in rows if row.unit == "record"}
    sets: dict[str, bytes] = {}
    for digests in _batches(sorted({row.digest for row in rows})):
        wanted = select(LedgerSet.digest, LedgerSet.members)
        wanted = wanted.where(LedgerSet.lineage_id == lineage.id, LedgerSet.digest.in_(digests))
        for digest, members in session.execute(wanted).tuples():
            sets[digest] = loosened(members) if digest in records else members
    for row in rows:
        yield ReleasedCell(
            row.release_id, row.place, lineage.kind, row.variable, row.op, row.n, row.digest, sets[row.digest],
            row.low, row.high, cast(Value, row.value), row.x_total, tuple(row.tops), row.table_name, row.grouping,
            cast(Unit, row.unit), cast(Status, row.status), tuple(row.labels or ()),
        )  # fmt: skip


def near_sets(
    session: Session, lineage: str, cells: Iterable[ReleasedCell], threshold: int
) -> dict[str, AbstractSet[str]]:
    """Digest of each of these sets → digests of the others, and of the lineage's, that may differ from it by fewer than
    `threshold` entities; all that do are among them."""
    mine = {cell.bitmap: cell for cell in cells}
    found: dict[str, AbstractSet[str]] = {}
    for alike in _by_unit(mine.values()):
        found |= _near_alike(session, lineage, alike, threshold)
    return found


def _by_unit(cells: Iterable[ReleasedCell]) -> list[list[ReleasedCell]]:
    units: dict[Unit, list[ReleasedCell]] = defaultdict(list)
    for cell in cells:
        units[cell.unit].append(cell)
    return list(units.values())


def _near_alike(
    session: Session, lineage: str, cells: Sequence[ReleasedCell], threshold: int
) -> dict[str, AbstractSet[str]]:
    names, lowest = [cell.bitmap for cell in cells], lowest_of(cells, min(reach(cells, threshold), PREFIX))
    look = looking(cells, lowest, threshold)
    found: dict[str, set[str]] = defaultdict(set)
    wide = reach(cells, threshold)
    least, most = int(lowest.sizes.min()) - wide, int(lowest.sizes.max()) + wide
    for a, b in look.each_other():
        found[names[a]].add(names[b])
        found[names[b]].add(names[a])
    for digests, others in _blocks(session, lineage, least, most):
        for a, b in zip(*(side.tolist() for side in look.among(others)), strict=True):
            if names[a] != digests[b]:
                found[names[a]].add(digests[b])
    nothing: AbstractSet[str] = frozenset()
    return {**dict.fromkeys(names, nothing), **found}  # most are near nothing, and making a set for each takes long


def _blocks(session: Session, lineage: str, least: int, most: int) -> Iterator[tuple[list[str], Lowest]]:
    """(digests, index) of sets, some at a time: all whose size is between `least` and `most`, and others."""
    block = LedgerBlock
    within = (block.lineage_id == lineage) & (block.most > least) & (block.least < most)
    rows = select(block.digests, block.sizes, block.marks).where(within).execution_options(yield_per=READ)
    for digests, sizes, marks in session.execute(rows).tuples():
        yield digests.split(), Lowest.unpacked(sizes, marks)


def _lost(
    session: Session, kinds: Collection[str], resources: Collection[str], theirs: ColumnElement[bool]
) -> tuple[str, ...]:
    """Kinds of this request without history, where products of the same resources are kept under other kinds."""
    roots = select(LedgerRoot.lineage_id).where(LedgerRoot.resource_id.in_(sorted(resources)))
    kept = session.scalars(select(LedgerLineage.kind).where(LedgerLineage.id.in_(roots))).all()
    released = select(LedgerCell.id).where(LedgerCell.lineage_id.in_(roots), theirs).limit(1)
    if session.scalar(released) is None:
        return ()
    return tuple(sorted(kind for kind in kinds if kind not in kept))


def recheck(session: Session, kinds: Collection[str], since: Mapping[str, int]) -> None:
    """Inside the transaction that releases: nothing may have been released under these kinds since a check read
    `since`. The lineages stay locked until the transaction ends; one that is not there yet begins here, because what is
    not there cannot be held. Raises `UserError` where the check is stale."""
    statement = select(LedgerLineage).where(LedgerLineage.kind.in_(sorted(kinds))).with_for_update()
    now = {one.kind: one.version for one in session.scalars(statement.execution_options(populate_existing=True))}
    for kind in sorted(set(kinds) - set(now)):
        session.add(LedgerLineage(id=new_id("lin"), kind=kind, key="", version=0))
    session.flush()
    if any(now.get(kind, 0) != since.get(kind, 0) for kind in kinds):
        raise UserError(
            "release.raced",
            Text(
                "复查期间有其他产品放行，需要重新复查",
                "Another product was released meanwhile; the last check must be repeated",
            ),
            fix=Text("请运营人员重试该任务", "An operator should retry the job"),
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """What a request puts into the ledger: its cells under `name` (the release, or the request while it is pending),
    the resources they are computed from, and the fingerprint of the numbering's key."""

    name: str
    cells: Sequence[ReleasedCell]
    resources: frozenset[str]
    key: str
    at: datetime


def reserve(session: Session, request: ExportRequest, entry: Entry) -> None:
    """Keep the cells of a request that is being checked or waits for people, so that others are compared with them:
    of two checks at the same time each reserves before it looks, so that at least one sees the other."""
    forget_pending(session, request.id)
    _append(session, request, entry, "pending")


def append(session: Session, request: ExportRequest, entry: Entry) -> None:
    """Put the cells of a release into the ledger in place of what the request had reserved; call `recheck` before."""
    forget_pending(session, request.id)
    for lineage in _append(session, request, entry, "released"):
        lineage.version += 1
    session.flush()


def forget_pending(session: Session, request_id: str) -> None:
    """A request that ended before its release reserves nothing more; nobody has seen its cells."""
    session.execute(delete(LedgerCell).where(LedgerCell.release_id == request_id, LedgerCell.status == "pending"))


def recalled(session: Session, release_id: str, at: datetime) -> None:
    """Note that a release was recalled. Its cells stay and still count: they have been seen."""
    changed = update(LedgerCell).where(LedgerCell.release_id == release_id)
    session.execute(changed.values(status="recalled", recalled_at=at))


def _append(session: Session, request: ExportRequest, entry: Entry, status: Status) -> list[LedgerLineage]:
    known = {one.kind: one for one in _lineages(session, {cell.kind for cell in entry.cells})}
    for kind in sorted({cell.kind for cell in entry.cells}):
        if kind not in known:
            known[kind] = LedgerLineage(id=new_id("lin"), kind=kind, key=entry.key, version=0)
            session.add(known[kind])
        _require_key(known[kind], entry.key)
        known[kind].key = entry.key
        session.flush()
        keep_sets(session, known[kind].id, [cell for cell in entry.cells if cell.kind == kind])
        if status == "released":
            _keep_roots(session, known[kind].id, entry.resources)
    rows = [_row(cell, known[cell.kind].id, request, entry, status) for cell in entry.cells]
    if rows:
        session.execute(insert(LedgerCell), rows)
    return list(known.values())


def _keep_roots(session: Session, lineage: str, resources: Collection[str]) -> None:
    kept = set(session.scalars(select(LedgerRoot.resource_id).where(LedgerRoot.lineage_id == lineage)))
    session.add_all(LedgerRoot(lineage_id=lineage, resource_id=one) for one in sorted(set(resources) - kept))
    session.flush()


def keep_sets(session: Session, lineage: str, cells: Iterable[ReleasedCell]) -> None:
    """Put sets into a lineage, with the index of near ones; those that are there are left alone."""
    wanted = {cell.bitmap: cell for cell in cells}
    for some in _batches(sorted(wanted)):
        kept = select(LedgerSet.digest).where(LedgerSet.lineage_id == lineage, LedgerSet.digest.in_(some))
        for name in session.scalars(kept):
            del wanted[name]
    for alike in _by_unit(sorted(wanted.values(), key=lambda cell: (cell.n, cell.bitmap))):
        for put in (alike[start : start + BLOCK] for start in range(0, len(alike), BLOCK)):
            _put(session, lineage, put)
    session.flush()


def _kept(cell: ReleasedCell) -> bytes:
    return squeezed(cell.members) if cell.unit == "record" else cell.members


def _put(session: Session, lineage: str, put: Sequence[ReleasedCell]) -> None:
    """Sets of one unit and the block of their index."""
    session.execute(insert(LedgerSet), [
        {"lineage_id": lineage, "digest": c.bitmap, "n": c.n, "members": _kept(c)} for c in put
    ])  # fmt: skip
    lowest = lowest_of(put)
    sizes, marks = lowest.packed()
    session.add(LedgerBlock(
        id=new_id("blk"), lineage_id=lineage, least=int(lowest.sizes.min()), most=int(lowest.sizes.max()),
        digests="\n".join(cell.bitmap for cell in put), sizes=sizes, marks=marks,
    ))  # fmt: skip


def _row(cell: ReleasedCell, lineage: str, request: ExportRequest, entry: Entry, status: Status) -> dict[str, Any]:
    return {
        "id": new_id("cel"), "release_id": entry.name, "organisation_id": request.organisation_id,
        "audience": request.audience, "lineage_id": lineage, "variable": cell.variable, "digest": cell.bitmap,
        "place": cell.place, "op": cell.op, "n": cell.n, "low": cell.low, "high": cell.high, "value": cell.value,
        "x_total": cell.x_total, "tops": list(cell.tops), "table_name": cell.table, "grouping": cell.grouping,
        "unit": cell.unit, "status": status, "at": entry.at, "recalled_at": None, "labels": list(cell.labels),
    }  # fmt: skip
