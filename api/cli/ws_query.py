"""One statement or a whole text of them from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from api.cli import output
from api.cli.output import say
from api.cli.ws_render import MODES, Look, json_text
from api.cli.ws_show import Showing, footer, tell_failure
from api.client.connection import path_to
from api.client.results import Ending, Head, Running
from api.client.terminal import neutral
from policies.text import Text, UserError

if TYPE_CHECKING:
    from api.client.connection import Connection

LABEL = "仿真数据，非真实记录"


def place(workspace: str, *more: str) -> str:
    """Path of a workspace, or of what belongs to it."""
    return path_to("workspaces", workspace, *more)


def look(mode: str) -> Look:
    """How results are shown on this standard output. Raises `WrongUse` for a style that does not exist."""
    if mode not in MODES:
        text = Text(f"没有样式 {mode}", f"there is no style {mode}")
        raise output.WrongUse("ws.mode", text, fix=Text("、".join(MODES), ", ".join(MODES)))
    return Look(mode, terminal=sys.stdout.isatty())


def show_history(found: list[dict[str, Any]]) -> None:
    """Statements with their outcome, newest first."""
    output.table(
        [Text("时间", "at"), Text("结果", "outcome"), Text("行数", "rows"), Text("毫秒", "ms"),
         Text("语句", "statement")],
        [[s["at"][:19].replace("T", " "), s["outcome"], s["rows"], s["milliseconds"], neutral(s["text"])]
         for s in found],
    )  # fmt: skip


def run(
    connection: Connection, workspace: str, sql: str, *, mode: str, given: list[str], out: Path | None, as_json: bool
) -> None:
    """Run the text as one request: its last statement's rows are the result."""
    shown, parameters = look(mode), _parameters(given)
    try:
        if out is not None:
            from api.client.twin import Download

            written = Download.into(out.expanduser()).write(connection, workspace, sql, parameters)
            output.answer({"label": LABEL, **written.as_dict()}, as_json, lambda: print(say(written)))
        elif as_json:
            print(json_text(_document(connection, workspace, sql, parameters)))
        else:
            ending = Showing(Running(connection, workspace).start(sql, parameters), shown, sys.stdout).show()
            print(say(footer(ending, 0)), file=sys.stderr)
    except UserError as error:
        if as_json:
            raise
        tell_failure(error, sql)
        raise typer.Exit(output.exit_code_of(error)) from None


def _document(connection: Connection, workspace: str, sql: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The whole result as one document; the platform's limit of an answer bounds it."""
    document: dict[str, Any] = {"label": LABEL, "columns": [], "rows": []}
    for event in Running(connection, workspace).start(sql, parameters).events(1.0):
        if isinstance(event, list):
            document["rows"].append(event)
        elif isinstance(event, Head):
            document["columns"] = [{"name": c.name, "type": c.type} for c in event.columns]
        elif isinstance(event, Ending):
            document |= {"row_count": event.rows, "truncated": event.truncated, "milliseconds": event.milliseconds}
    return document


def _parameters(given: list[str]) -> dict[str, Any]:
    from api.cli.ws_shell import scalar

    pairs = [text.partition("=") for text in given]
    if wrong := next((name for name, sign, _ in pairs if not sign or not name.isidentifier()), None):
        raise output.WrongUse("ws.parameter", Text(f"参数应为 名称=值：{wrong}", f"a parameter is name=value: {wrong}"))
    return {name: scalar(value) for name, _, value in pairs}
