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
from sandbox.products.compile import quote
from sandbox.products.spec import JobSpec
from sandbox.products.spec_parts import Measure, Step
from sandbox.workspaces.staged import Stage

PRODUCT, POST = "product", "post"
_CUBE, _RAW = "__cube", "__raw"
_GUARD = 3
"""Floats are rounded to this many more decimals first, as where the file is written (`artefact`)."""
TYPES = {
    "text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE",
    "timestamp": "TIMESTAMP",
}  # fmt: skip


def stages(spec: JobSpec, base: int) -> tuple[Stage, ...]:
    """The jails of a job in order; the last one's only output is the product. `base` rounds counts before `post`.

    People count steps as they wrote them: prepared steps from 1, then the cube, then `post`.
    """
    made: list[Stage] = []
    waiting: list[tuple[int, Step]] = []
    for number, step in enumerate(spec.prepare, start=1):
        if step.script is None:
            waiting.append((number, step))
            continue
        if waiting:
            made.append(_together(spec, waiting))
            waiting = []
        made += _scripted(number, step)
    return (*made, *_cube(spec, waiting, base))


def digest_of(planned: Sequence[Stage]) -> str:
    """`sha256:` and the hex digest of everything that is run: equal on the twin and on real data, whatever is bound."""
    facts = [stage.as_facts() for stage in planned]
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def step_names(spec: JobSpec) -> list[str]:
    """The steps as people count them, from 1."""
    return [*(step.name for step in spec.prepare), PRODUCT, *([POST] if spec.post else [])]


def _together(spec: JobSpec, waiting: Sequence[tuple[int, Step]]) -> Stage:
    """SQL steps before a script: later ones may read any of them, so all of them are handed on."""
    steps = tuple((step.name, str(step.sql)) for _, step in waiting)
    numbers = tuple(number for number, _ in waiting)
    return Stage(steps, numbers, outputs=tuple(name for name, _ in steps), reads=_before(spec, numbers[0]))


def _scripted(number: int, step: Step) -> list[Stage]:
    columns = [f"CAST({quote(name)} AS {TYPES[kind]}) AS {quote(name)}" for name, kind in step.columns.items()]
    cast = f"SELECT {', '.join(columns)} FROM {_RAW}"
    run = Stage(((_RAW, str(step.script)),), (number,), outputs=(_RAW,), reads=tuple(step.reads), script=True)
    return [run, Stage(((step.name, cast),), (number,), outputs=(step.name,), reads=(_RAW,), reading=number)]


def _cube(spec: JobSpec, waiting: Sequence[tuple[int, Step]], base: int) -> list[Stage]:
    number = len(spec.prepare) + 1
    before = tuple((step.name, str(step.sql)) for _, step in waiting)
    numbers = tuple(n for n, _ in waiting)
    reads = _before(spec, numbers[0] if numbers else number)
    cube = sql.compile(spec)[-1].sql
    if spec.post is None:
        return [Stage((*before, (PRODUCT, cube)), (*numbers, number), outputs=(PRODUCT,), reads=reads)]
    steps = (*before, (_CUBE, cube), (PRODUCT, _rounded(spec, base)))
    post = Stage(((POST, spec.post.sql),), (number + 1,), outputs=(POST,), reads=(PRODUCT,))
    return [Stage(steps, (*numbers, number, number), outputs=(PRODUCT,), reads=reads), post]


def _before(spec: JobSpec, number: int) -> tuple[str, ...]:
    """Inputs and the results of the steps before step `number`."""
    return (*spec.inputs, *(step.name for step in spec.prepare[: number - 1]))


def _rounded(spec: JobSpec, base: int) -> str:
    """The cube as it would be released: what `post` may build on holds no digit that the file would not."""
    columns = [quote(spec.output_name(d)) for d in spec.dimensions]
    columns += [f"{_rounding(m, quote(name), base)} AS {quote(name)}" for name, m in spec.measures.items()]
    return f"SELECT {', '.join(columns)} FROM {_CUBE}"


def _rounding(measure: Measure, column: str, base: int) -> str:
    if measure.is_count:
        return f"CAST((2 * {column} + {base}) // (2 * {base}) * {base} AS BIGINT)"
    value = f"CAST({column} AS DOUBLE)"
    exact = f"round(round({value}, {measure.digits + _GUARD}), {measure.digits})"
    return f"CASE WHEN isfinite({value}) THEN {exact} END"
