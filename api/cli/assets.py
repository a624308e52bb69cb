"""`pds assets`: build the portal's islands (code editor, charts) where this machine can."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.output import AsJson, CouldNotRun, answer, say


def command(
    force: Annotated[bool, typer.Option("--force", help="重新构建 · build again")] = False, as_json: AsJson = False
) -> None:
    """构建门户增强组件（编辑器、图表）· Build the portal's islands: editor and charts"""
    from api.assets.build import build

    report = build(force)
    if report.state == "unavailable":
        raise CouldNotRun("assets.unavailable", report.text, fix=report.fix, tool=report.detail)
    answer(report.as_dict(), as_json, lambda: print(f"✔ {say(report.text)}"))
