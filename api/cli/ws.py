"""`pds ws …`: a merchant's workspaces over the HTTP API, from wherever the merchant sits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import AsJson, answer, language, table
from policies.text import Text, UserError

if TYPE_CHECKING:
    from api.client.connection import Connection

WorkspaceId = Annotated[str, typer.Argument(metavar="WORKSPACE", help="开发空间编号 · id of the workspace")]


@contextmanager
def connected() -> Iterator[Connection]:
    """The platform, as the person is signed in there."""
    from api.client import login

    connection = login.connect(language())
    try:
        yield connection
    finally:
        connection.close()


def login(
    url: Annotated[str, typer.Option(envvar="PDS_URL", help="平台地址 · address of the platform")],
    account: Annotated[str, typer.Option("--as", help="登录名；口令取自 PDS_PASSWORD 或提示输入 · login name")],
    days: Annotated[int, typer.Option(min=0, max=365, help="令牌天数，0 为一次会话 · a token for so many days")] = 0,
    plain_http: Annotated[bool, typer.Option("--plain-http", help="允许不加密 · allow plain http")] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """登录平台，令牌只存在本人的配置目录 · Sign in; the token stays in your own configuration folder"""
    from api.cli.installation import secret
    from api.client.connection import Connection, checked_url
    from api.client.login import Login, keep
    from api.client.terminal import neutral

    place = checked_url(url, plain_http=plain_http)
    password = secret("PDS_PASSWORD", Text(f"{account} 的口令", f"password of {account}"))
    session = Connection(place, language=language())
    token = session.post("/session", {"login": account, "password": password})["token"]
    session.close()
    signed_in = Connection(place, token, language())
    me = signed_in.get("/me")
    if days:
        lasting = signed_in.post("/tokens", {"label": "pds ws", "days": days})["token"]
        signed_in.delete("/session")
        token = lasting
    signed_in.close()
    kept = keep(Login(place, account, token, plain_http))
    document = {"url": place, "login": account, "name": me["name"], "role": me["role"], "file": str(kept)}
    answer(document, as_json, lambda: print(f"✔ {neutral(me['name'])}  {place}"))


def logout(as_json: AsJson = False) -> None:
    """退出并删除保存的令牌 · Sign out and remove the kept token"""
    from api.client import login as kept
    from sandbox.kernel.errors import Unauthenticated

    ended = True
    try:
        with connected() as connection:
            connection.delete("/session")
    except (Unauthenticated, UserError):
        ended = False  # the token no longer holds, or the platform is away: what is kept here goes in any case
    kept.forget()
    answer({"ended": ended}, as_json, lambda: print("✔"))


def show(as_json: AsJson = False) -> None:
    """列出我的开发空间 · List my workspaces"""
    with connected() as connection:
        found = connection.get("/workspaces")
    headers = [Text("编号", "id"), Text("状态", "state"), Text("使用申请", "application"), Text("隔离", "tier")]
    rows = [[w["id"], w["state_label"], w["application_id"], w["tier"]] for w in found]
    answer({"workspaces": found}, as_json, lambda: table(headers, rows))


def open_workspace(
    application: Annotated[str, typer.Argument(metavar="APPLICATION", help="使用申请编号 · id of the application")],
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """为一份生效的使用申请开通开发空间 · Open the workspace of an active application"""
    with connected() as connection:
        made = connection.post("/workspaces", {"application_id": application})
    answer(made, as_json, lambda: print(f"✔ {made['id']}  {' '.join(map(_plain, made['tables']))}"))


def query(
    workspace: WorkspaceId,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="语句；- 从标准输入读 · - reads standard input")],
    mode: Annotated[str, typer.Option(help="table|box|line|markdown|csv|json|jsonl")] = "table",
    param: Annotated[list[str] | None, typer.Option(help="名称=值，用于 $名称 · name=value for $name")] = None,
    out: Annotated[Path | None, typer.Option(help="写入带标识的 .csv .xlsx .parquet · into a marked file")] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """在仿真数据上执行语句 · Run statements on simulated data"""
    from api.cli import ws_query

    text = sys.stdin.read() if sql == "-" else sql
    with connected() as connection:
        ws_query.run(connection, workspace, text, mode=mode, given=param or [], out=out, as_json=as_json)


def shell(
    workspace: WorkspaceId,
    mode: Annotated[str, typer.Option(help="table|box|line|markdown|csv|json|jsonl")] = "",
) -> None:  # fmt: skip
    """交互式 SQL；在管道中则逐条执行 · Interactive SQL; in a pipe, statement by statement"""
    from api.cli import ws_query
    from api.cli.ws_shell import Shell

    interactive = sys.stdin.isatty()
    terminal = sys.stdout.isatty()
    with connected() as connection:
        connection.get(ws_query.place(workspace))  # a wrong number is said before anything is typed
        look = ws_query.look(mode or ("box" if terminal else "csv"))
        sitting = Shell(connection, workspace, look, sys.stdout, interactive, most=200 if interactive else 0)
        code = sitting.run()
    raise typer.Exit(code)


def history(
    workspace: WorkspaceId,
    find: Annotated[str, typer.Option(help="只列含此文字的语句 · only statements with this text")] = "",
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """本空间执行过的语句 · Statements run in a workspace"""
    from api.cli import ws_query

    with connected() as connection:
        found = connection.get(ws_query.place(workspace, "history"), **({"q": find} if find else {}))
    answer(found, as_json, lambda: ws_query.show_history(found["entries"]))


def _plain(value: Any) -> str:
    from api.client.terminal import neutral

    return neutral(str(value))
