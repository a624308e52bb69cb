"""`pds ws saved|script|files|download|upload|usage`: what a workspace holds and did, over the HTTP API."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli import output
from api.cli.output import AsJson, answer, table
from api.cli.ws import WorkspaceId, connected
from policies.text import Text

if TYPE_CHECKING:
    from api.client.connection import Connection

_LOOK_SECONDS = 0.3


def saved(
    workspace: WorkspaceId,
    name: Annotated[str, typer.Option(help="保存为此名称 · save under this name")] = "",
    sql: Annotated[str, typer.Option(help="要保存的语句 · the statement to save")] = "",
    note: Annotated[str, typer.Option(help="说明 · a note")] = "",
    delete: Annotated[str, typer.Option(metavar="QUERY", help="按编号删除一条 · delete one, by its id")] = "",
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """收藏的语句；给出 --name 与 --sql 则保存一条 · Saved queries; --name and --sql save one"""
    from api.client.connection import path_to

    if delete and (name or sql or note):
        text = Text("--delete 不能与其他选项同用", "--delete goes with no other option")
        raise output.WrongUse("ws.saved", text)
    place = path_to("workspaces", workspace, "queries")
    with connected() as connection:
        if delete:
            connection.delete(path_to("workspaces", workspace, "queries", delete))
            answer({"deleted": delete}, as_json, lambda: print(f"✔ {_plain(delete)}"))
            return
        if name or sql:
            made = connection.post(place, {"name": name, "sql": sql, "note": note})
            answer(made, as_json, lambda: print(f"✔ {made['id']}"))
            return
        found = connection.get(place)
    headers = [Text("编号", "id"), Text("名称", "name"), Text("语句", "statement")]
    rows = [[q["id"], _plain(q["name"]), _plain(q["sql"])] for q in found]
    answer({"queries": found}, as_json, lambda: table(headers, rows))


def script(
    workspace: WorkspaceId,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Python 脚本 · a Python script")],
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """运行脚本并跟随输出；Ctrl-C 取消 · Run a script and follow what it prints; Ctrl-C cancels"""
    from api.client.connection import path_to

    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise output.WrongUse("ws.read", Text(f"不能读取 {file}", f"cannot read {file}")) from error
    with connected() as connection:
        begun = connection.post(path_to("workspaces", workspace, "scripts", "run"),
                                {"source": source, "name": file.name[:80]})  # fmt: skip
        run = _followed(connection, path_to("script-runs", begun["id"]), shown=not as_json)
    good = run["outcome"] == "done"
    answer(run, as_json, lambda: _ended(run), finding=not good)


def _followed(connection: Connection, place: str, *, shown: bool) -> dict[str, Any]:
    """The run once it has ended, with all it printed; a Ctrl-C asks the platform to end it, a second one leaves."""
    from api.cli.ws_show import CtrlC

    said, offset, asked = [], 0, False
    with CtrlC().counted() as ctrl_c:
        while True:
            if ctrl_c.presses and not asked:
                asked = True
                connection.post(f"{place}/cancel")
            run: dict[str, Any] = connection.get(place, offset=offset)
            said.append(run["output"])
            if shown:
                sys.stdout.write(_lines(run["output"]))
                sys.stdout.flush()
            ended = run["outcome"] is not None and run["next_offset"] <= offset
            offset = run["next_offset"]
            if ended:
                return run | {"output": "".join(said)}
            if run["outcome"] is None:
                time.sleep(_LOOK_SECONDS)


def _ended(run: dict[str, Any]) -> None:
    if run["outcome"] != "done":
        print(f"✘ {_plain(run['text'])}  [script.{run['outcome']}]", file=sys.stderr)
        error = run["error"] or {}
        for line in error.get("lines", ()):
            print(f"  {_plain(line)}", file=sys.stderr)
        if error.get("message"):
            print(f"  {_plain(error.get('class', ''))}: {_plain(error['message'])}", file=sys.stderr)
    for made in run["files"]:
        print(f"✔ {_plain(made.get('path', ''))}", file=sys.stderr)


def files(workspace: WorkspaceId, as_json: AsJson = False) -> None:
    """空间内的文件（仿真数据）· Files of a workspace; all of them simulated"""
    from api.client.connection import path_to

    with connected() as connection:
        found = connection.get(path_to("workspaces", workspace, "files"))
    headers = [Text("编号", "id"), Text("路径", "path"), Text("类型", "kind"), Text("字节", "bytes")]
    rows = [[f["id"], _plain(f["path"]), f["kind"], f["size"]] for f in found["files"]]
    answer(found, as_json, lambda: table(headers, rows))


def download(
    workspace: WorkspaceId,
    file: Annotated[str, typer.Argument(metavar="FILE", help="文件编号，见 pds ws files · id of a file")],
    out: Annotated[Path, typer.Option(help="写到哪里；名称会加上仿真标识 · where to; the name gets the mark")],
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """下载一个文件，文件名带仿真标识 · Download a file; its name says that it is simulated"""
    from api.client.connection import path_to
    from api.client.twin import whole_file

    with connected() as connection:
        place, size = whole_file(out.expanduser(), lambda stream: connection.fetch(
            "GET", path_to("workspaces", workspace, "files", file), stream)[0])  # fmt: skip
    answer({"file": str(place), "bytes": size, "simulated": True}, as_json, lambda: print(f"✔ {place}"))


def upload(
    workspace: WorkspaceId,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="表文件 · a table's file")],
    name: Annotated[str, typer.Option(help="空间内的表名 · the table's name in the workspace")],
    source: Annotated[str, typer.Option(help="来源 · where it comes from")],
    basis: Annotated[str, typer.Option(help="取得依据 · on what basis it was obtained")],
    licence: Annotated[str, typer.Option(help="许可 · its licence")],
    contact: Annotated[str, typer.Option(help="联系人 · who answers for it")],
    period: Annotated[str, typer.Option(help="时间范围 · the time it covers")],
    declare: Annotated[bool, typer.Option("--declare", help="声明来源合法且属实 · declare it lawful")] = False,
    personal: Annotated[bool, typer.Option("--personal", help="含个人信息 · holds personal information")] = False,
    sheet: Annotated[str, typer.Option(help="工作表 · sheet of a workbook")] = "",
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """引入自有数据：先进隔离区，核查后才可用 · Bring in own data; it is checked before it can be used"""
    from api.client.connection import path_to

    if not file.is_file():
        raise output.WrongUse("ws.read", Text(f"不能读取 {file}", f"cannot read {file}"))
    fields = {"name": name, "source": source, "basis": basis, "licence": licence, "contact": contact,
              "period": period, "personal": str(personal).lower(), "statement": str(declare).lower(),
              "sheet": sheet}  # fmt: skip
    with connected() as connection:
        made = connection.upload(path_to("workspaces", workspace, "uploads"), file, fields)
    answer(made, as_json, lambda: print(f"✔ {made['id']}  {made['state_label']}"))


def usage(workspace: WorkspaceId, as_json: AsJson = False) -> None:
    """今日用量和配额 · Use of today against the quotas"""
    from api.client.connection import path_to

    with connected() as connection:
        found = connection.get(path_to("workspaces", workspace, "usage"))
    headers = [Text("项目", "measure"), Text("已用", "used"), Text("上限", "limit"), Text("占比", "share")]
    marks = {"near": " ⚠", "full": " ✘"}
    rows = [[q["measure"], q["used"], q["limit"], f"{q['percent']} %{marks.get(q['state'], '')}"]
            for q in found["quotas"]]  # fmt: skip
    answer(found, as_json, lambda: table(headers, rows))


def _plain(value: Any) -> str:
    from api.client.terminal import neutral

    return neutral(str(value))


def _lines(text: str) -> str:
    """What a script printed: line breaks stay; on a terminal nothing else moves the cursor."""
    from api.client.terminal import neutral

    return "\n".join(map(neutral, text.split("\n"))) if sys.stdout.isatty() else text
