"""A job of several jails: each stage sees exactly the tables it may read, and hands on flat tables only.

Between stages tables lie in the run's own folder, which no jail of a merchant ever sees whole. On real data every
table that is handed on has exactly the columns and types the twin's had.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from policies.text import Text
from sandbox.workspaces import run, wording
from sandbox.workspaces.broker import STRONG_ONLY, Mode
from sandbox.workspaces.run import Cancel, Never, RunOrder, RunOutcome, Schema, State
from sandbox.workspaces.selftest import SelfTest
from sandbox.workspaces.usage import Usage

_FLAT = re.compile(
    r"BOOLEAN|U?(TINYINT|SMALLINT|INTEGER|BIGINT)|U?HUGEINT|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)|VARCHAR|DATE|TIME"
    r"|TIMESTAMP( WITH TIME ZONE|_S|_MS|_NS)?|INTERVAL|UUID"
)

_NOT_FLAT = Text(
    "{subject}：交给下一步的表只能有文本、数值、日期等简单类型。",
    "{subject}: tables handed on have plain types only, such as text, numbers and dates.",
)


_MISFITS = frozenset({"binding", "bad_value", "out_of_range", "refused", "failed", "schema_differs"})
"""How casting a script's table fails when the table is not what was declared."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One jail: its steps (name, text), the number people know each by, the tables it reads and hands on.

    `script`: its one step is a Python script. `reading`: it casts what the script step of this number left. `given`:
    a table it reads → the table handed on that it gets under this name, where they differ.
    """

    steps: tuple[tuple[str, str], ...]
    numbers: tuple[int, ...]
    outputs: tuple[str, ...]
    reads: tuple[str, ...]
    script: bool = False
    reading: int = 0
    given: tuple[tuple[str, str], ...] = ()

    def as_facts(self) -> list[Any]:
        """What is run, without where anything lies."""
        facts = [self.script, [list(s) for s in self.steps], list(self.outputs), list(self.reads)]
        return facts + [list(pair) for pair in self.given]


@dataclass(frozen=True, slots=True)
class StagedOrder:
    """`shared` holds what every stage has in common (limits, buckets, error store, tables by input name); its steps,
    outputs and output folder are replaced stage by stage below `folder`. `expected`: the twin's schemas by table."""

    stages: tuple[Stage, ...]
    folder: Path
    shared: RunOrder
    expected: Mapping[str, Schema] | None = None


def execute(
    order: StagedOrder,
    mode: Mode,
    tested: SelfTest,
    *,
    accepted: frozenset[str] = STRONG_ONLY,
    cancel: Cancel | None = None,
) -> RunOutcome:
    """Run every stage, each in a fresh jail; the outcome counts steps as people wrote them.

    On the twin `schemas` holds every table handed on. The product lies in `folder`/<last stage>/0.parquet. Raises
    UserError before anything runs when isolation is too weak or the twin's schemas are missing.
    """
    tables, schemas = dict(order.shared.tables), dict[str, Schema]()
    began, used, outcome, cancel = time.monotonic(), Usage(), None, cancel or Never()
    for place, stage in enumerate(order.stages):
        one = _order_of(order, stage, place, tables)
        left = order.shared.limits.wall_seconds - int(time.monotonic() - began)
        one = replace(one, limits=replace(one.limits, wall_seconds=max(1, left)))  # one limit for the whole run
        outcome = run.execute(one, mode, tested, accepted=accepted, cancel=cancel)
        used += outcome.usage
        outcome = _numbered(_checked(outcome, stage, mode), stage)
        if outcome.state != State.DONE:
            break
        schemas |= {} if stage.script else outcome.schemas
        tables |= _handed_on(one)
    assert outcome is not None
    duration = run.bucket(time.monotonic() - began, order.shared.buckets.seconds)
    return replace(outcome, duration=duration, usage=used, schemas=schemas if mode == Mode.SIMULATED else {})


def product_file(order: StagedOrder) -> Path:
    """Where the product of a finished run lies."""
    return order.folder / str(len(order.stages) - 1) / "0.parquet"


def _handed_on(one: RunOrder) -> dict[str, Path]:
    """A stage's tables for the next jail, whose process has a UID of its own; their folder stays the platform's."""
    files = {name: one.output_folder / f"{n}.parquet" for n, name in enumerate(one.outputs)}
    for file in files.values():
        file.chmod(0o444)
    return files


def _order_of(order: StagedOrder, stage: Stage, place: int, tables: Mapping[str, Path]) -> RunOrder:
    expected: Mapping[str, Schema] | None = None
    if stage.script:
        expected = dict.fromkeys(stage.outputs, ())  # a script's own word about its table counts for nothing
    elif order.expected is not None:
        expected = {name: order.expected[name] for name in stage.outputs}
    given = {name: tables[dict(stage.given).get(name, name)] for name in stage.reads}
    return replace(
        order.shared, steps=stage.steps, outputs=stage.outputs, tables=given,
        output_folder=order.folder / str(place), expected=expected, script=stage.script,
    )  # fmt: skip


def _checked(outcome: RunOutcome, stage: Stage, mode: Mode) -> RunOutcome:
    """On the twin: a type with names inside (ENUM, STRUCT …) is refused, because data could have made those names."""
    if mode == Mode.REAL or outcome.state != State.DONE:
        return outcome
    for table, schema in outcome.schemas.items():
        for column, kind in schema:
            if not _FLAT.fullmatch(kind):
                text = _NOT_FLAT.fill(subject=f"{table}.{column} {kind}"[:120].replace("{", "(").replace("}", ")"))
                fix = Text("请在该步骤中转换为文本、数值或日期。", "Cast it to text, a number or a date in that step.")
                return RunOutcome(State.REFUSED, len(stage.steps), "refused", outcome.duration, {}, {}, text, fix)
    return outcome


def _numbered(outcome: RunOutcome, stage: Stage) -> RunOutcome:
    number = stage.numbers[min(max(outcome.step, 1), len(stage.numbers)) - 1]
    if stage.reading and outcome.error_class in _MISFITS:
        return replace(outcome, step=number, text=wording.failure("declared"), fix=wording.REPAIRS["declared"],
                       error_class="refused" if outcome.state == State.REFUSED else "bad_value",
                       line=None, column=None)  # fmt: skip
    return replace(outcome, step=number)
