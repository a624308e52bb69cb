"""`post` at the gate: the merchant's statement over the released product and references, in a jail with nothing else.

What it gives is a function of released values only: the tables it reads are written here from the rounded numbers, and
no other file is in its jail. It runs on one thread, so that its bytes do not depend on how many the machine has.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policies.text import Text
from sandbox.kernel.errors import BadInput, LimitExceeded, Unavailable
from sandbox.products import artefact, plan
from sandbox.products.artefact import Artefact
from sandbox.products.carrier import Refused, repeatable
from sandbox.products.releasing import Table
from sandbox.products.spec import JobSpec
from sandbox.workspaces import handover, run
from sandbox.workspaces.broker import STRONG_ONLY, Mode, require_tier
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.run import Buckets, RunOrder, State
from sandbox.workspaces.selftest import SelfTest

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Room:
    """What the jail may use (policy values), what was found of this host, which tiers are good enough, and where the
    operator reads what it said."""

    limits: Limits
    folder_mb: int
    tested: SelfTest
    error_store: Path
    accepted: frozenset[str] = STRONG_ONLY


def finish(
    spec: JobSpec, product: Table, references: Sequence[Table], room: Room, columns: Sequence[str] | None = None
) -> Artefact:
    """The file of a job with `post`. `columns`: what the run on simulated data gave; other ones are refused.

    Raises `BadInput` where the statement fails on released values or gives other columns, and UserError where isolation
    is too weak.
    """
    require_tier(room.tested, room.accepted)
    _readable(spec)
    with tempfile.TemporaryDirectory(prefix="pds-post-") as scratch:
        names, rows = _ran(spec, {one.name: one for one in (product, *references)}, room, Path(scratch))
    if columns is not None and list(columns) != names:
        raise _failed("other_columns")
    return artefact.write_post(spec, names, rows)


def _readable(spec: JobSpec) -> None:
    stage = plan.post_stage(spec)
    try:
        repeatable(stage.steps[0][1], stage.reads, step=plan.POST)
    except Refused as error:
        first = error.refusals[0]
        raise BadInput("release.post", first.text, fix=first.repair, error_class=first.code) from None


def _ran(spec: JobSpec, tables: Mapping[str, Table], room: Room, folder: Path) -> tuple[list[str], list[Any]]:
    import polars as pl
    import pyarrow.parquet as pq

    stage, files = plan.post_stage(spec), {}
    for number, name in enumerate(stage.reads):
        if name not in tables:
            raise _failed("no_reference")
        files[name] = folder / f"{number}.parquet"
        pq.write_table(arrow(tables[name]), files[name])
        files[name].chmod(0o444)
    # `SIMULATED` is only how a jail words errors: nothing real is in this one, and its words stay the operator's
    order = RunOrder(
        steps=stage.steps, outputs=stage.outputs, tables=files, output_folder=folder / "out",
        limits=replace(room.limits, threads=1), buckets=Buckets((1,), (1,)), error_store=room.error_store,
        folder_mb=room.folder_mb,
    )  # fmt: skip
    outcome = run.execute(order, Mode.SIMULATED, room.tested)
    if outcome.state is not State.DONE:
        raise _failed(str(outcome.error_class))
    made = order.output_folder / "0.parquet"
    made.chmod(0o444)  # for the jail that reads it, whose process has a UID of its own
    try:
        found, _used = handover.rows_of(made, room.limits, room.folder_mb, room.tested.form)
    except (Unavailable, LimitExceeded) as error:
        if error.code.partition(".")[0] != "handover":
            raise  # no isolation on this host: nothing that the job could change
        raise _failed(error.code) from error
    return found.column_names, list(pl.DataFrame(pl.from_arrow(found)).rows())


def arrow(table: Table) -> pa.Table:
    """A released table as `post` reads it: a dimension that some margin sums over is text and names its margins; a
    missing value is missing, and so is a suppressed number."""
    import pyarrow as pa

    columns: list[pa.Array] = []
    for place, values in enumerate(_columns(table)):
        if place >= table.keys:
            count = table.cube.measures[table.columns[place]].is_count
            columns.append(pa.array([_number(v) for v in values], pa.int64() if count else pa.float64()))
        elif place in table.summed_over:
            columns.append(pa.array(_named(table, place, values), pa.string()))
        else:
            columns.append(pa.array(values) if any(v is not None for v in values) else pa.array(values, pa.string()))
    return pa.table(columns, names=table.columns)


def _columns(table: Table) -> list[list[Any]]:
    return [[row[place] for row in table.rows] for place in range(len(table.columns))]


def _named(table: Table, place: int, values: Sequence[Any]) -> list[str | None]:
    left = {g for g in set(table.groupings) if place in table.left_out[g]}
    pairs = zip(values, table.groupings, strict=True)
    return [artefact.MARGIN if g in left else None if v is None else artefact.dimension_text(v) for v, g in pairs]


def _number(value: Any) -> int | float | None:
    return value if value is None or isinstance(value, int) else float(value)


def _failed(why: str) -> BadInput:
    return BadInput(
        "release.post",
        Text("post 未能在放行后的数值上完成", "`post` did not finish on the released values"),
        fix=Text(
            "请让 post 容许缺失（被抑制）的数值和合计行，列不随数据变化",
            "Let `post` allow missing (suppressed) numbers and margins, with columns that do not depend on data",
        ),
        error_class=why,
    )
