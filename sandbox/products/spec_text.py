"""A job as one readable SQL text: its steps and references in a WITH, then the cube, then `post`.

What SQL has no words for stands in comment lines on top, as JSON: grants, owners, decimals, suppression, the names of
derived columns. `spec_select` reads the whole back. The one form of the texts in it is the SQL generator's: a job comes
back as it was, up to how its own SQL was laid out (`normal`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field

from sandbox.products.compile import cube_sql, quote, resolved
from sandbox.products.expressions import tree_of
from sandbox.products.spec import Cube, JobSpec, as_data, parse
from sandbox.products.spec_errors import SpecError, SpecProblem
from sandbox.products.spec_parts import Alias, Derive, Input, Name, Output, Part, Suppress
from sandbox.products.spec_tree import conditions

_HEAD = re.compile(r"^-- (job|inputs|owners|cubes|output): (.*)$", re.MULTILINE)


def text_of(spec: JobSpec) -> str:
    """The job as one SQL text that runs on tables named like its inputs and gives its numbers before rounding.

    Raises `SpecError` where a step is a script.
    """
    scripts = [i for i, step in enumerate(spec.prepare, start=1) if step.script is not None]
    if scripts:
        zh, en = "脚本步骤不能写成 SQL", "a script cannot be written as SQL"
        raise SpecError([SpecProblem(f"prepare[{i}]", None, zh, en) for i in scripts])
    spec = normal(spec)
    steps = [(one.name, str(cube_text(one) if isinstance(one, Cube) else one.sql)) for one in spec.sequence]
    steps.append(("product", cube_text(spec)))
    if spec.post:
        steps.append(("post", spec.post.sql))
    parts = ",\n".join(f"{quote(name)} AS (\n{sql}\n)" for name, sql in steps)
    return f"{_head(spec)}\nWITH {parts}\nSELECT * FROM {steps[-1][0]}\n"


class _CubeHead(Part):
    derive: Annotated[dict[Name, Derive], Field(default_factory=dict)]
    suppress: Suppress | None = None
    round: Annotated[dict[Name, int], Field(default_factory=dict)]


class _Head(Part):
    job: str | None = None
    inputs: Annotated[dict[Alias, Input], Field(default_factory=dict)]
    owners: Annotated[dict[Alias, Literal["several"]], Field(default_factory=dict)]
    cubes: Annotated[dict[Alias, _CubeHead], Field(default_factory=dict)]
    output: Output | None = None


def head_of(text: str) -> dict[str, Any]:
    """What the comment lines of such a text say; empty for any other text. Raises `ValueError` where they are torn."""
    head = {name: json.loads(value) for name, value in _HEAD.findall(text)}
    _Head.model_validate(head)
    return head


def cube_text(cube: Cube) -> str:
    return pretty(cube_sql(cube, numbered=False))


def pretty(sql: str) -> str:
    """The one form of a statement, without comments. Raises `SpecError` where it cannot be read."""
    from sqlglot import errors, parse_one

    try:
        return parse_one(sql, dialect="duckdb").sql("duckdb", pretty=True, comments=False)
    except (errors.SqlglotError, RecursionError):
        raise SpecError([SpecProblem("", None, "SQL 语句无法读懂", "an SQL statement cannot be read")]) from None


def normal(spec: JobSpec) -> JobSpec:
    """An equal job in its one form: edition 2, references resolved, statements laid out by the generator."""
    data = as_data(spec)
    if spec.edition == 1:
        cube = {name: data.pop(name) for name in ("from", "join", "where", "derive", "dimensions", "measures")}
        data = {**data, "edition": 2, "product": cube}
        rows = [m for m in cube["measures"].values() if m.get("per") == "count"]
        for one in rows:  # the first edition knows no such word: there it is a column
            one["per"] = f"{spec.from_}.count"
    for step in data.get("prepare", ()):
        if "sql" in step:
            step["sql"] = pretty(step["sql"])
    if "post" in data:
        data["post"] = {"sql": pretty(data["post"]["sql"])}
    _resolve(data["product"], spec)
    for one, reference in zip(data.get("reference", ()), spec.reference, strict=True):
        _resolve(one, reference)
    return parse(data)


def _resolve(data: dict[str, Any], cube: Cube) -> None:
    """Write every column of a cube's data in the one way the generator would name it."""

    def name(column: str) -> str:
        return column if column in cube.derive else resolved(cube, column)

    for join in data.get("join", ()):
        join["on"] = {c.removeprefix(f"{cube.from_}."): other for c, other in join["on"].items()}
    for one in data.get("derive", {}).values():
        function, argument = next(iter(one.items()))
        one[function] = name(argument) if isinstance(argument, str) else {**argument, "of": name(argument["of"])}
    data["dimensions"] = list(map(name, data["dimensions"]))
    if "margins" in data:
        data["margins"] = [list(map(name, margin)) for margin in data["margins"]]
    for one in data["measures"].values():
        one |= {k: name(one[k]) for k in ("of", "per", "weight") if k in one and not (k == "per" and one[k] == "count")}
        one |= {"margin": list(map(name, one["margin"]))} if "margin" in one else {}
        if one.get("q") == 0.5:
            del one["q"]
            one["op"] = "median"
    if isinstance(data.get("where"), str):
        data["where"] = _where(cube, data["where"], name)
    for one in data.get("where", ()) if isinstance(data.get("where"), list) else ():
        one["column"] = name(one["column"])


def _where(cube: Cube, text: str, name: Callable[[str], str]) -> str | list[dict[str, Any]]:
    from sqlglot import exp

    from sandbox.products.expressions import placed

    def put(column: str) -> exp.Expr:
        alias, rest = cube.split(name(column))
        return exp.column(rest, alias, quoted=True)

    tree = placed(tree_of(text), put)
    return conditions(tree) or tree.sql("duckdb", identify=True, comments=False)


def _head(spec: JobSpec) -> str:
    data = as_data(spec)
    cubes = {"product": data["product"], **{one["name"]: one for one in data.get("reference", ())}}
    told = {
        "job": spec.job, "inputs": data["inputs"], "output": data["output"],
        "owners": {step["name"]: "several" for step in data.get("prepare", ()) if "owners" in step},
        "cubes": {name: _unsaid(cube) for name, cube in cubes.items()},
    }  # fmt: skip
    return "\n".join(f"-- {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in told.items() if value)


def _unsaid(cube: dict[str, Any]) -> dict[str, Any]:
    """What SQL has no words for."""
    digits = {name: m["round"] for name, m in cube["measures"].items() if "round" in m}
    found = {"derive": cube.get("derive"), "suppress": cube.get("suppress"), "round": digits}
    return {name: value for name, value in found.items() if value}
