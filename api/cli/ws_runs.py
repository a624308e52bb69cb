"""`pds ws runs`: runs on real data: list, start, follow, cancel. Only states and coarse sizes ever come back."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli import output
from api.cli.output import AsJson, answer, say, table
from api.cli.ws import WorkspaceId, connected
from policies.text import Text

if TYPE_CHECKING:
    from api.client.connection import Connection

_LOOK_SECONDS = 1.0


def runs(
    workspace: WorkspaceId,
    job: Annotated[Path | None, typer.Option(help="按此作业说明开始一次运行 · start a run of this job's file")] = None,
    run: Annotated[str, typer.Option(help="查看一次运行，直到结束 · show one run, until it ends")] = "",
    cancel: Annotated[str, typer.Option(help="取消一次运行 · cancel a run")] = "",
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """真实数据上的运行：只有状态与档位；Ctrl-C 离开，运行继续 · Runs on real data; Ctrl-C leaves, the run goes on"""
    if sum(map(bool, (job, run, cancel))) > 1:
        text = Text("--job、--run、--cancel 只能用一个", "use one of --job, --run and --cancel")
        raise output.WrongUse("ws.runs", text)
    with connected() as connection:
        if job:
            run = _start(connection, workspace, job)
        if cancel:
            _cancel(connection, cancel, as_json)
        elif run:
            ended = _followed(connection, workspace, run)
            answer(ended, as_json, lambda: _show(ended), finding=ended["state"] != "succeeded")
        else:
            _list(connection, workspace, as_json)


def _start(connection: Connection, workspace: str, file: Path) -> str:
    from api.client.connection import path_to

    try:
        spec = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise output.WrongUse("ws.read", Text(f"不能读取 {file}", f"cannot read {file}")) from error
    return str(connection.post(path_to("workspaces", workspace, "runs"), {"spec": spec})["id"])


def _cancel(connection: Connection, run_id: str, as_json: bool) -> None:
    from api.client.connection import path_to

    made = connection.post(path_to("runs", run_id, "cancel"))
    answer(made, as_json, lambda: print(f"✔ {_plain(made['id'])}  {_plain(made['state_label'])}"))


def _followed(connection: Connection, workspace: str, run_id: str) -> dict[str, Any]:
    """The run once it has ended. It belongs to the platform: whoever leaves is told how to find or end it."""
    from api.cli.ws_show import CtrlC
    from api.client.connection import path_to

    began, told = time.monotonic(), sys.stderr.isatty()
    try:
        # counted, not raised wherever the program happens to be: inside a library it can get lost
        with CtrlC().counted() as asked:
            while not asked.presses:
                found: dict[str, Any] = connection.get(path_to("runs", run_id))
                if found["state"] != "requested":
                    return found
                if told:
                    seconds = f"{time.monotonic() - began:.0f}"
                    state = _plain(found["state_label"])
                    line = Text(f"{run_id} {state} · 已等待 {seconds} 秒 · Ctrl-C 离开，运行继续",
                                f"{run_id} {state} · {seconds} s · Ctrl-C leaves, the run goes on")  # fmt: skip
                    sys.stderr.write(f"\r\x1b[K  {say(line)}")
                    sys.stderr.flush()
                time.sleep(_LOOK_SECONDS)
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        again = f"pds ws runs {_plain(workspace)}"
        left = Text(f"运行仍在继续。查看：{again} --run {run_id}；取消：{again} --cancel {run_id}",
                    f"The run goes on. See {again} --run {run_id}, end it with {again} --cancel {run_id}")  # fmt: skip
        print(f"\n  {say(left)}", file=sys.stderr)
        raise
    finally:
        if told:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _show(found: dict[str, Any]) -> None:
    """How it ended, in the platform's words; where it stopped, and on which data."""
    outcome = found["outcome"] or {}
    good = found["state"] == "succeeded"
    print(f"{'✔' if good else '✘'} {_plain(found['id'])}  {_plain(found['state_label'])}")
    data = {"simulated": Text("仿真数据", "simulated data"), "real": Text("真实数据", "real data")}
    on = data.get(str(outcome.get("on")))
    rows = outcome.get("rows")
    facts: list[tuple[Text, Any]] = [
        (Text("说明", "outcome"), _said(outcome.get("text"))),
        (Text("怎么办", "what to do"), _said(outcome.get("fix"))),
        (Text("所在数据", "on"), say(on) if on else None),
        (Text("步骤", "step"), outcome.get("step_name")),
        (Text("用时（秒，分档）", "seconds, coarse"), outcome.get("duration")),
        (Text("行数（分档）", "rows, coarse"), "、".join(map(str, rows.values())) if isinstance(rows, dict) else None),
        (Text("产物", "artefact"), found["artefact_id"]),
    ]  # fmt: skip
    if outcome.get("on") == "simulated":  # what the engine said is about the twin
        facts.append((Text("引擎原文", "engine"), outcome.get("engine_text")))
    for label, value in facts:
        if value:
            print(f"  {say(label)}  {_plain(value)}")


def _said(words: Any) -> str | None:
    return say(Text(words["zh"], words["en"])) if isinstance(words, dict) else words


def _list(connection: Connection, workspace: str, as_json: bool) -> None:
    from api.client.connection import path_to

    found = connection.get(path_to("workspaces", workspace, "runs"))
    headers = [Text("编号", "id"), Text("状态", "state"), Text("说明", "outcome"), Text("产物", "artefact")]
    rows = [[r["id"], r["state_label"], _plain(_said((r["outcome"] or {}).get("text")) or "—"), r["artefact_id"] or "—"]
            for r in found]  # fmt: skip
    answer({"runs": found}, as_json, lambda: table(headers, rows))


def _plain(value: Any) -> str:
    from api.client.terminal import neutral

    return neutral(str(value))
