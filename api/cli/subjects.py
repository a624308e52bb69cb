"""`pds subjects …`: whose records a table holds and what its columns are, as declared and as the rows bear it out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.installation import Login, actor_of, installed
from api.cli.output import AsJson, answer, say, table
from api.cli.tables import require_file
from policies.text import Text

if TYPE_CHECKING:
    from api.routes.subjects import SubjectsOut
    from sandbox.catalog.entityfacts import Facts

ResourceId = Annotated[str, typer.Argument(metavar="RESOURCE", help="资源编号 · id of the resource")]
_KINDS = (
    Text("主体", "entity"), Text("标识列", "key"), Text("另由其决定", "determined by"), Text("行", "rows"),
    Text("缺标识", "without key"), Text("主体数", "entities"), Text("校验", "verified"),
)  # fmt: skip
_COLUMNS = (Text("列", "column"), Text("角色", "role"), Text("扰动", "perturbation"), Text("按分级", "by grade"))


def show(resource: ResourceId, login: Login, as_json: AsJson = False) -> None:
    """查看声明与校验结果（不成立时退出码 1）· What is declared; exit 1 where the rows do not bear it out"""
    from api.routes.subjects import SubjectsOut
    from sandbox.catalog import subjects

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        found = SubjectsOut.of(unit, subjects.read(unit, resource))
    _answer(found, as_json)


def declare(
    resource: ResourceId,
    file: Annotated[Path, typer.Argument(help="YAML：entities 与 columns · entities and columns")],
    reason: Annotated[str, typer.Option(help="理由 · why")],
    login: Login,
    as_json: AsJson = False,
) -> None:
    """按文件声明，平台随后逐行校验 · Declare them from a file; the running platform verifies every row"""
    from api.routes.subjects import SubjectsOut
    from sandbox.catalog import subjects

    facts = _facts_in(file)
    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        subjects.declare(unit, resource, facts, reason)
        found = SubjectsOut.of(unit, subjects.read(unit, resource))
    _answer(found, as_json)


def _facts_in(file: Path) -> Facts:
    """The facts in a YAML or JSON file. Raises `UserError` where it is neither or has not their form."""
    from sandbox.catalog.entityfacts import Facts
    from sandbox.products.spec_errors import load_text

    require_file(file)
    found, _ = load_text(file.read_bytes())
    return Facts.read(found)


def _answer(found: SubjectsOut, as_json: bool) -> None:
    answer(found.model_dump(mode="json"), as_json, lambda: _show(found), finding=bool(found.failures))


def _show(found: SubjectsOut) -> None:
    checked = found.check.kinds if found.check else {}
    table(_KINDS, [_line(kind, fact, checked.get(kind)) for kind, fact in found.entities.items()])
    table(_COLUMNS, [(c.name, c.role, c.perturb, c.by_grade if c.corrected else None) for c in found.columns])
    if found.waiting:
        print(say(Text(f"放宽保护须由第二人核定，尚未生效：{found.waiting}",
                       f"Less protection waits for a second person, nothing changed: {found.waiting}")))  # fmt: skip
    for one in found.failures:
        print(f"✘ {one['kind']}: {say(Text(**one['text']))}. {say(Text(**one['fix']))}")


def _line(kind: str, fact: dict[str, Any], checked: dict[str, Any] | None) -> tuple[Any, ...]:
    further = "、".join(fact["determined_by"]) or None
    if checked is None:
        return kind, fact["column"], further, None, None, None, Text("未校验", "not verified")
    state = Text("不成立", "not borne out") if checked["failures"] else Text("成立", "holds")
    return kind, fact["column"], further, checked["rows"], checked["missing"], checked["entities"], state
