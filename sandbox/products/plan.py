"""What a job runs, step by step and jail by jail: who sees which tables is decided here, and the mounts hold it.

SQL steps that follow each other share a jail. A script has a jail of its own in which only the tables it reads exist;
what it leaves is read by a second jail that has nothing else, where the platform casts it to the declared columns.
`post` has a jail with the rounded cube and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from sandbox.products import compile as sql
from sandbox.products.artefact import MARGIN
from sandbox.products.compile import quote
from sandbox.products.spec import Cube, JobSpec, Reference
from sandbox.products.spec_parts import Measure, Step
from sandbox.workspaces.staged import Stage

PRODUCT, POST = "product", "post"
_CUBE, _RAW, _SHOWN = "__cube", "__raw", "__shown"
_GUARD = 3
"""Floats are rounded to this many more decimals first, as where the file is written (`artefact`)."""
TYPES = {
    "text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE",
    "timestamp": "TIMESTAMP",
}  # fmt: skip


def stages(spec: JobSpec, base: int) -> tuple[Stage, ...]:
    """The jails of a job in order; the last one's only output is the product. `base` rounds counts before `post`.

    People count what is made in its order: prepared steps and references from 1, then the cube, then `post`.
    """
    made: list[Stage] = []
    waiting: list[tuple[int, str, str]] = []
    for number, step in enumerate(spec.sequence, start=1):
        if isinstance(step, Reference):
            waiting.append((number, step.name, sql.cube_sql(step)))
        elif step.script is None:
            waiting.append((number, step.name, str(step.sql)))
        else:
            made += [_together(spec, waiting)] if waiting else []
            waiting = []
            made += _scripted(number, step)
    return (*made, *_cube(spec, waiting, base))


def post_stage(spec: JobSpec) -> Stage:
    """The jail of `post`: the released product and references, and nothing else. Raises `ValueError` without one."""
    if spec.post is None:
        raise ValueError("the job has no post statement")
    reads = (PRODUCT, *(one.name for one in spec.reference))
    given = tuple((one.name, f"{_SHOWN}{place}") for place, one in enumerate(spec.reference))
    return Stage(((POST, spec.post.sql),), (len(step_names(spec)),), outputs=(POST,), reads=reads, given=given)


def digest_of(planned: Sequence[Stage]) -> str:
    """`sha256:` and the hex digest of everything that is run: equal on the twin and on real data, whatever is bound."""
    facts = [stage.as_facts() for stage in planned]
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def step_names(spec: JobSpec) -> list[str]:
    """The steps as people count them, from 1."""
    return [*(step.name for step in spec.sequence), PRODUCT, *([POST] if spec.post else [])]


def _together(spec: JobSpec, waiting: Sequence[tuple[int, str, str]]) -> Stage:
    """Statements before a script: later ones may read any of them, so all of them are handed on."""
    steps = tuple((name, text) for _, name, text in waiting)
    numbers = tuple(number for number, _, _ in waiting)
    return Stage(steps, numbers, outputs=tuple(name for name, _ in steps), reads=_before(spec, numbers[0]))


def _scripted(number: int, step: Step) -> list[Stage]:
    columns = [f"CAST({quote(name)} AS {TYPES[kind]}) AS {quote(name)}" for name, kind in step.columns.items()]
    cast = f"SELECT {', '.join(columns)} FROM {_RAW}"
    run = Stage(((_RAW, str(step.script)),), (number,), outputs=(_RAW,), reads=tuple(step.reads), script=True)
    return [run, Stage(((step.name, cast),), (number,), outputs=(step.name,), reads=(_RAW,), reading=number)]


def _cube(spec: JobSpec, waiting: Sequence[tuple[int, str, str]], base: int) -> list[Stage]:
    number = len(spec.sequence) + 1
    before = tuple((name, text) for _, name, text in waiting)
    numbers = tuple(n for n, _, _ in waiting)
    reads = _before(spec, numbers[0] if numbers else number)
    cube = sql.cube_sql(spec)
    if spec.post is None:
        return [Stage((*before, (PRODUCT, cube)), (*numbers, number), outputs=(PRODUCT,), reads=reads)]
    shown = [(PRODUCT, rounded_sql(spec, _CUBE, base))]
    shown += [(f"{_SHOWN}{n}", rounded_sql(one, one.name, base)) for n, one in enumerate(spec.reference)]
    steps = (*before, (_CUBE, cube), *shown)
    outputs = tuple(name for name, _ in shown)
    return [Stage(steps, (*numbers, *[number] * (1 + len(shown))), outputs=outputs, reads=reads), post_stage(spec)]


def _before(spec: JobSpec, number: int) -> tuple[str, ...]:
    """Inputs and the results of the steps before step `number`."""
    return (*spec.inputs, *(step.name for step in spec.sequence[: number - 1]))


def rounded_sql(cube: Cube, table: str, base: int) -> str:
    """The cube in `table` as `post` may see it while a job is tried: no digit that the job does not declare, margins
    named. What is suppressed, and the steps that one entity's effect asks for, only the gate can know."""
    columns = [_dimension(cube, place, d) for place, d in enumerate(cube.dimensions)]
    columns += [f"{_rounding(m, quote(name), base)} AS {quote(name)}" for name, m in cube.measures.items()]
    return f"SELECT {', '.join(columns)} FROM {quote(table)}"


def _dimension(cube: Cube, place: int, dimension: str) -> str:
    name = quote(cube.output_name(dimension))
    left = [str(number) for number, present in enumerate(cube.groupings) if dimension not in present]
    if not left:
        return name
    return f"CASE WHEN __g IN ({', '.join(left)}) THEN '{MARGIN}' ELSE CAST({name} AS VARCHAR) END AS {name}"


def _rounding(measure: Measure, column: str, base: int) -> str:
    if measure.is_count:
        return f"CAST((2 * {column} + {base}) // (2 * {base}) * {base} AS BIGINT)"
    value = f"CAST({column} AS DOUBLE)"
    exact = f"round(round({value}, {measure.digits + _GUARD}), {measure.digits})"
    return f"CASE WHEN isfinite({value}) THEN {exact} END"
