"""`pds policy lint | diff`: policy files before they are proposed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import AsJson, answer, say, table
from policies.text import Text

if TYPE_CHECKING:
    from policies.schema.base import Edition

_CHANGES = (
    Text("规则", "rule"),
    Text("字段", "field"),
    Text("变化", "change"),
    Text("原值", "before"),
    Text("新值", "after"),
)
_EDITION = "种类:版次（如 export:2026-01）或文件 · kind:edition, or a file"


def lint(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="草稿；不写则检查全部已发布规则 · drafts; none: all published"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """检查规则文件，给出行号（有问题时退出码 1）· Check policy files, with line numbers; exit 1 on problems"""
    from policies.editions import KINDS, shipped
    from policies.lint import lint as check

    problems = check(paths or None)
    checked = len(paths) if paths else sum(len(shipped(kind)) for kind in KINDS)

    def show() -> None:
        for problem in problems:
            place = f"{problem.file}:{problem.line}" if problem.line else problem.file
            print(f"{place}  {problem.field}: {say(problem.text)}")
        words = Text(
            f"检查了 {checked} 份规则，{len(problems)} 处问题", f"{checked} editions checked, {len(problems)} problems"
        )
        print(say(words))

    findings = [{"file": p.file, "line": p.line, "field": p.field, "text": p.text.as_dict()} for p in problems]
    answer({"checked": checked, "findings": findings}, as_json, show, finding=bool(problems))


def diff(
    before: Annotated[str, typer.Argument(help=_EDITION)],
    after: Annotated[str, typer.Argument(help=_EDITION)],
    as_json: AsJson = False,
) -> None:
    """比较两版规则（有差别时退出码 1）· Compare two editions; exit 1 when they differ"""
    from policies.editions import diff as compare

    changes = compare(_edition(before), _edition(after))
    findings: list[dict[str, Any]] = [
        {"rule": c.rule, "field": c.field, "change": c.kind, "before": c.before, "after": c.after} for c in changes
    ]

    def show() -> None:
        table(_CHANGES, [(c.rule or "—", c.field, c.kind, c.before, c.after) for c in changes])
        print(say(Text(f"{len(changes)} 处差别", f"{len(changes)} differences")))

    answer({"findings": findings}, as_json, show, finding=bool(changes))


def _edition(name: str) -> Edition[Any]:
    from policies.editions import KINDS, load, load_file

    kind, mark, edition = name.partition(":")
    return load(kind, edition) if mark and kind in KINDS else load_file(name)
