"""`pds ws shell`: statements that end with a semicolon, commands that begin with a dot, as in other SQL shells."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from api.cli import output
from api.cli.output import say
from api.cli.ws_complete import Editor
from api.cli.ws_query import show_history
from api.cli.ws_render import MODES, Look
from api.cli.ws_show import Showing, footer, tell_failure
from api.client.connection import Connection, path_to
from api.client.results import Running
from api.client.statements import everything, has_words, parameters_in, split
from api.client.terminal import neutral
from api.client.twin import Download, objects
from policies.text import Text, UserError
from sandbox.kernel.errors import BadInput

_DEEPEST = 8
"""`.read` inside a file that is read, and so on"""


class Quit(Exception):
    """The person wants to leave."""


@dataclass(slots=True)
class Shell:
    """One sitting in one workspace. `interactive`: a person types; else a pipe is read and the first error ends it."""

    connection: Connection
    workspace: str
    look: Look
    out: TextIO
    interactive: bool
    most: int = 0
    timer: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    download: Download | None = None
    editor: Editor | None = None
    code: int = output.FINE
    _depth: int = 0
    _names: dict[str, Sequence[str]] | None = None

    # ---- reading -------------------------------------------------------------------------------------------------
    def run(self) -> int:
        """Read until the end; returns the exit code."""
        if self.interactive:
            self.editor = Editor(self.names, list(COMMANDS))
            self._say(_WELCOME)
        try:
            self._typed() if self.interactive else self.feed(sys.stdin)
        except Quit:
            pass
        finally:
            if self.editor:
                self.editor.save()
        return output.FINE if self.interactive else self.code

    def _typed(self) -> None:
        buffer = ""
        while True:
            try:
                line = input(self._prompt(buffer))
            except KeyboardInterrupt:
                print("^C")
                buffer = ""
                continue
            except EOFError:
                print()
                return
            if line.startswith(".") and not has_words(buffer):
                self._keep(line)
                self.dot(line)
                continue
            buffer = f"{buffer}\n{line}" if buffer else line
            done, rest = split(buffer)
            if done:
                self._keep(buffer[: len(buffer) - len(rest)])
                buffer = rest.strip()
                for statement in done:
                    if not self.statement(statement.text):
                        break

    def feed(self, lines: Iterable[str], place: str = "") -> None:
        """Run what a pipe or a file holds, statement by statement as it comes; `place` names the file in errors."""
        buffer, above = "", 0
        for line in lines:
            if line.startswith(".") and not has_words(buffer):
                above += buffer.count("\n") + 1
                buffer = ""
                self.dot(line)
                continue
            buffer += line
            if ";" not in line:
                continue
            done, rest = split(buffer)
            for statement in done:
                self.statement(statement.text, place=place, before=above + statement.line - 1)
            above += buffer[: len(buffer) - len(rest)].count("\n")
            buffer = rest
        for statement in everything(buffer):
            self.statement(statement.text, place=place, before=above + statement.line - 1)

    def _prompt(self, buffer: str) -> str:
        name = say(Text("仿真", "simulated"))
        return f"{name}:{self.workspace[:12]}> " if not buffer else "   ...> "

    def _keep(self, text: str) -> None:
        if self.editor:
            self.editor.remember(text)

    # ---- statements ----------------------------------------------------------------------------------------------
    def statement(self, sql: str, *, place: str = "", before: int = 0) -> bool:
        """Run one statement and show its result, or its error; False when it failed. In a pipe an error ends all."""
        began = time.monotonic()
        try:
            self._execute(sql)
        except UserError as error:
            tell_failure(error, sql, place=place, before=before)
            self._failed(error)
            return False
        if self.timer:
            took = time.monotonic() - began
            self._say(Text(f"用时 {took:.3f} 秒", f"{took:.3f} s"))
        return True

    def _execute(self, sql: str) -> None:
        used = {name: self.parameters[name] for name in parameters_in(sql) if name in self.parameters}
        if self.download:
            self._say(self.download.write(self.connection, self.workspace, sql, used))
            return
        running = Running(self.connection, self.workspace).start(sql, used)
        try:
            ending = Showing(running, self.look, self.out, self.most).show()
        except KeyboardInterrupt:
            if self.interactive:
                raise Quit from None
            raise
        self.out.flush()
        self._names = None
        if self.interactive:
            self._say(footer(ending, self.most))

    def _failed(self, error: UserError) -> None:
        self.code = output.exit_code_of(error)
        if not self.interactive or self._depth:
            raise Quit

    def names(self) -> dict[str, Sequence[str]]:
        """Tables and their columns, asked for once after each statement."""
        if self._names is None:
            self._names = {o.name: [c.name for c in o.columns] for o in objects(self.connection, self.workspace)}
        return self._names

    # ---- commands ------------------------------------------------------------------------------------------------
    def dot(self, line: str) -> None:
        """Run one command; its errors are told like a statement's."""
        name, _, rest = line.strip().partition(" ")
        try:
            command = COMMANDS.get(name)
            if command is None:
                raise BadInput("ws.command", Text(f"没有命令 {neutral(name)}", f"there is no command {neutral(name)}"),
                               fix=Text("见 .help", "see .help"))
            command.run(self, rest.strip())
        except UserError as error:
            tell_failure(error, line)
            self._failed(error)

    def _say(self, text: Text) -> None:
        """To the person; never into the result."""
        print(say(text), file=sys.stdout if self.interactive else sys.stderr)

    def show_table(self, headers: Sequence[Text], rows: Sequence[Sequence[Any]]) -> None:
        output.table(headers, [[neutral(c) if isinstance(c, str) else c for c in row] for row in rows])


class Command(NamedTuple):
    """What a dot command takes, does, and says of itself."""

    run: Callable[[Shell, str], None]
    takes: str
    about: Text


def _tables(shell: Shell, pattern: str) -> None:
    found = [o for o in objects(shell.connection, shell.workspace) if pattern.lower() in o.name.lower()]
    shell.show_table([Text("名称", "name"), Text("类型", "kind"), Text("列数", "columns")],
                     [[o.name, o.kind, len(o.columns)] for o in found])


def _schema(shell: Shell, name: str) -> None:
    wanted = name.strip('"')
    found = [o for o in objects(shell.connection, shell.workspace) if not wanted or o.name == wanted]
    if not found:
        raise BadInput("ws.table", Text(f"没有表 {neutral(wanted)}", f"there is no table {neutral(wanted)}"),
                       fix=Text("见 .tables", "see .tables"))
    for entry in found:
        output.heading(f"{neutral(entry.name)}  ({neutral(entry.kind)})")
        shell.show_table([Text("列", "column"), Text("类型", "type"), Text("说明", "comment")],
                         [[c.name, c.type, c.comment] for c in entry.columns])


def _mode(shell: Shell, value: str) -> None:
    shell.look.mode = _one_of(value, MODES)


def _output(shell: Shell, value: str) -> None:
    shell.download = None if value in ("", "stdout") else Download.into(Path(value).expanduser())
    if shell.download:
        shell._say(Text(f"结果写入 {shell.download.path}（.output 恢复显示）",
                        f"results go to {shell.download.path} (.output shows them again)"))


def _read(shell: Shell, value: str) -> None:
    if shell._depth >= _DEEPEST:
        raise BadInput("ws.read_depth", Text("文件互相 .read，层数过多", "files .read each other too deeply"))
    shell._depth += 1
    try:
        with Path(value).expanduser().open(encoding="utf-8-sig") as lines:
            shell.feed(lines, place=value)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("ws.read", Text(f"不能读取 {neutral(value)}", f"cannot read {neutral(value)}"),
                       fix=Text("请检查路径；文件须为 UTF-8", "Check the path; the file must be UTF-8")) from error
    except Quit:  # an error in the file ends the file
        if not shell.interactive or shell._depth > 1:
            raise
    finally:
        shell._depth -= 1


def _param(shell: Shell, value: str) -> None:
    verb, _, rest = value.partition(" ")
    name, _, given = rest.strip().partition(" ")
    if verb == "set" and name.isidentifier() and given:
        shell.parameters[name] = scalar(given.strip())
    elif verb == "unset" and name:
        shell.parameters.pop(name, None)
    elif verb == "clear":
        shell.parameters.clear()
    elif verb in ("", "list"):
        shell.show_table([Text("参数", "parameter"), Text("值", "value")],
                         [[f"${n}", _shown_scalar(v)] for n, v in shell.parameters.items()])
    else:
        raise _usage(".param set|unset|clear|list …")


def _shown_scalar(value: Any) -> str:
    """A parameter as the person may type it again."""
    return json.dumps(value, ensure_ascii=False)


def scalar(text: str) -> Any:
    """JSON where it is a scalar of JSON, else the text itself: `7`, `2.5`, `true`, `null`, `"7"`, 示范区."""
    try:
        value = json.loads(text)
    except ValueError:
        return text.strip("'")
    return text if isinstance(value, list | dict) else value


def _plan(shell: Shell, sql: str) -> None:
    found = shell.connection.post(path_to("workspaces", shell.workspace, "query", "plan"), {"sql": sql})
    steps = list(_steps(found["root"], 0))
    shell.show_table([Text("步骤", "step"), Text("预计行数", "rows"), Text("说明", "detail")], steps)


def _steps(step: dict[str, Any], depth: int) -> Iterator[list[Any]]:
    """A plan's steps, indented as they hang together; costly ones are marked with the reason."""
    costly = f"⚠ {say(Text(**step['costly']))} " if step["costly"] else ""
    detail = "; ".join(f"{k}: {v}" for k, v in step["detail"].items())
    yield [f"{'· ' * depth}{say(Text(**step['word']))}", step["rows"], costly + detail]
    for child in step["children"]:
        yield from _steps(child, depth + 1)


def _saved(shell: Shell, name: str) -> None:
    found = shell.connection.get(path_to("workspaces", shell.workspace, "queries"))
    if not name:
        shell.show_table([Text("名称", "name"), Text("语句", "statement")], [[q["name"], q["sql"]] for q in found])
        return
    chosen = next((q for q in found if name in (q["name"], q["id"])), None)
    if chosen is None:
        raise BadInput("ws.saved", Text(f"没有收藏 {neutral(name)}", f"there is no saved query {neutral(name)}"))
    for statement in everything(chosen["sql"]):
        shell.statement(statement.text, before=statement.line - 1)


def _history(shell: Shell, text: str) -> None:
    found = shell.connection.get(path_to("workspaces", shell.workspace, "history"), **({"q": text} if text else {}))
    show_history(found["entries"])


def _help(shell: Shell, _value: str) -> None:
    rows = [[f"{name} {command.takes}".rstrip(), command.about] for name, command in COMMANDS.items()]
    output.table([Text("命令", "command"), Text("作用", "what it does")], rows)


def _quit(_shell: Shell, _value: str) -> None:
    raise Quit


def _timer(shell: Shell, value: str) -> None:
    shell.timer = _switch(value)


def _headers(shell: Shell, value: str) -> None:
    shell.look.headers = _switch(value)


def _nullvalue(shell: Shell, value: str) -> None:
    shell.look.nullvalue = neutral(value)


def _maxrows(shell: Shell, value: str) -> None:
    if not value.isdecimal():
        raise _usage(".maxrows N")
    shell.most = int(value)


def _switch(value: str) -> bool:
    return _one_of(value, ("on", "off")) == "on"


def _one_of(value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise _usage(" | ".join(allowed))
    return value


def _usage(words: str) -> BadInput:
    return BadInput("ws.usage", Text(f"用法：{words}", f"usage: {words}"))


_WELCOME = Text(
    "开发空间 · 结果均为仿真数据，非真实记录。语句以分号结束；.help 查看命令；Ctrl-C 取消语句；.quit 离开。",
    "Workspace · every result is simulated data. Statements end with ; and .help lists commands; Ctrl-C cancels.",
)
COMMANDS: dict[str, Command] = {
    ".tables": Command(_tables, "[TEXT]", Text("列出表和视图", "tables and views")),
    ".schema": Command(_schema, "[TABLE]", Text("列名和类型", "columns and types")),
    ".mode": Command(_mode, "|".join(MODES), Text("结果的样式", "how results look")),
    ".output": Command(_output, "[FILE]", Text("结果写入带仿真标识的 csv、xlsx、parquet 文件", "into marked files")),
    ".read": Command(_read, "FILE", Text("执行文件中的语句", "run a file's statements")),
    ".param": Command(_param, "set|unset|clear|list", Text("语句中 $名称 的值", "values of $names in statements")),
    ".timer": Command(_timer, "on|off", Text("显示用时", "tell the time taken")),
    ".headers": Command(_headers, "on|off", Text("显示列名", "show column names")),
    ".nullvalue": Command(_nullvalue, "TEXT", Text("NULL 显示为", "what stands for NULL")),
    ".maxrows": Command(_maxrows, "N", Text("最多显示行数，0 为不限", "rows shown, 0 for all")),
    ".plan": Command(_plan, "SQL", Text("查询计划", "the query's plan")),
    ".saved": Command(_saved, "[NAME]", Text("收藏的语句；给出名称则执行", "saved queries; a name runs it")),
    ".history": Command(_history, "[TEXT]", Text("本空间执行过的语句", "statements run in this workspace")),
    ".help": Command(_help, "", Text("本帮助", "this help")),
    ".quit": Command(_quit, "", Text("离开", "leave")),
    ".exit": Command(_quit, "", Text("离开", "leave")),
}
