"""`pds`: the table of commands. Nothing of a command is imported before it is called."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from policies.text import Text, UserError

WRONG_USE = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One command (`target` = module:function) or group (`inside`), and its line of help."""

    help: Text
    target: str = ""
    inside: Mapping[str, Entry] | None = None

    @property
    def line(self) -> str:
        return f"{self.help.zh} · {self.help.en}"


def _command(module: str, zh: str, en: str, function: str = "command") -> Entry:
    return Entry(Text(zh, en), f"api.cli.{module}:{function}")


def _group(zh: str, en: str, **inside: Entry) -> Entry:
    return Entry(Text(zh, en), inside={name.replace("_", "-"): entry for name, entry in inside.items()})


COMMANDS: dict[str, Entry] = {
    "up": _command("up", "启动平台（Ctrl-C 停止）", "run the platform until Ctrl-C"),
    "demo": _command("demo", "走完一个完整的故事", "walk the whole story once"),
    "doctor": _command("doctor", "检查环境与安装，说明如何补齐", "what is installed, what is missing, how to mend it"),
    "inspect": _command("inspect", "查看文件里有哪些表", "what tables a file holds"),
    "detect": _command("detect", "识别个人与企业标识", "find identifiers, names and addresses"),
    "quality": _command("quality", "按 GB/T 36344 度量质量", "measure quality by GB/T 36344"),
    "grade": _command("grade", "分类分级建议", "propose category and level of every column"),
    "simulate": _command("simulate", "生成仿真数据", "make simulated data"),
    "check-export": _command("check_export", "出域文件自查", "check a file against the export rules"),
    "release": _group("放行包", "release packages",
                      verify=_command("release", "离线验证签名与内容", "verify signature and content offline"),
                      trace=_command("export_desk", "由流出的副本查找接收方", "whose copy is this", "trace")),
    "export": _group("出域申请与复核", "export requests and their review",
                     submit=_command("export_request", "申请一个或几个产品出域", "ask for products", "submit"),
                     show=_command("export_request", "查看一组申请的进展", "where a group stands", "show"),
                     queue=_command("export_desk", "待复核队列", "what waits for officers", "queue"),
                     canary=_group(
                         "检验件", "planted cases",
                         add=_command("export_desk", "放入检验件", "plant a known leak in the queue", "plant"),
                         report=_command("export_desk", "检验件识别率", "how reviewers did", "catches"))),
    "policy": _group(
        "规则", "policies",
        lint=_command("policy", "检查规则文件", "check policy files", "lint"),
        diff=_command("policy", "比较两版规则", "compare two editions", "diff"),
        propose=_command("policy_activation", "提出一版规则", "propose an edition", "propose"),
        activate=_command("policy_activation", "第二人启用规则", "a second person activates it", "activate"),
    ),
    "audit": _group("审计", "audit log", verify=_command("audit", "校验审计链", "verify the audit chain")),
    "jail": _group("隔离", "isolation jail", selftest=_command("jail", "攻击自检，得出等级", "attack it")),
    "isolation": _group(
        "隔离等级", "isolation tier",
        decide=_command("isolation", "书面接受较弱等级", "accept a weaker tier in writing", "decide"),
    ),
    "subjects": _group(
        "主体与角色", "entities and roles",
        show=_command("subjects", "查看声明与校验结果", "what is declared and borne out", "show"),
        declare=_command("subjects", "按文件声明", "declare them from a file", "declare"),
    ),
    "schedule": _group(
        "更新计划", "refresh schedules",
        list=_command("schedule", "列出", "list them", "show"),
        set=_command("schedule", "设定时间", "set the time", "set_cron"),
        pause=_command("schedule", "暂停", "pause", "pause"),
        resume=_command("schedule", "恢复", "resume", "resume"),
        run=_command("schedule", "立即更新", "refresh now", "run"),
    ),
    "job": _group(
        "任务与作业说明", "jobs and job specifications",
        show=_command("job", "查看步骤、历次执行和留痕", "steps, attempts and log of a job", "show"),
        cancel=_command("job", "取消任务", "cancel a job", "cancel"),
        retry=_command("job", "重试任务", "retry a job", "retry"),
        schema=_command("job_spec", "作业说明的 JSON Schema", "JSON schema of a job", "schema"),
        lint=_command("job_spec", "检查作业说明", "check a job", "lint"),
        explain=_command("job_spec", "说明作业会怎样运行", "what a job will do", "explain"),
        from_select=_command("job_spec", "由一条 SELECT 写出作业说明", "make a job from a SELECT", "from_select"),
        run=_command("job_run", "运行作业：证据与核查，或仿真试运行", "run a job with its evidence, or try it", "run"),
        repeat=_command("job_repeat", "重做已保存的证明", "repeat a kept proof", "repeat"),
    ),
    "twin": _group(
        "已发布资源的仿真数据", "simulated twins of published resources",
        list=_command("twin", "列出", "list them", "show"),
        make=_command("twin", "重新生成", "make one again", "make"),
        feedback=_command("twin", "回流共享目录", "package one for the sharing catalogue", "feedback"),
    ),
    "ws": _group(
        "开发空间（经 HTTP 接口）", "workspaces, over the HTTP API",
        login=_command("ws", "登录平台", "sign in to a platform", "login"),
        logout=_command("ws", "退出", "sign out", "logout"),
        list=_command("ws", "列出", "list them", "show"),
        open=_command("ws", "开通", "open one", "open_workspace"),
        query=_command("ws", "执行 SQL（仿真数据）", "run SQL on simulated data", "query"),
        shell=_command("ws", "交互式 SQL", "an SQL shell", "shell"),
        history=_command("ws", "执行过的语句", "statements that were run", "history"),
        saved=_command("ws_files", "收藏的语句", "saved queries", "saved"),
        script=_command("ws_files", "运行 Python 脚本（仿真数据）", "run a Python script on simulated data", "script"),
        files=_command("ws_files", "空间内的文件", "files of a workspace", "files"),
        download=_command("ws_files", "下载文件（仿真数据）", "download a file", "download"),
        upload=_command("ws_files", "引入自有数据", "bring in own data", "upload"),
        usage=_command("ws_files", "用量和配额", "use and quotas", "usage"),
        runs=_command("ws_runs", "真实数据上的运行", "runs on real data", "runs"),
    ),
    "account": _group("账号", "accounts", create=_command("account", "创建账号", "create an account", "create")),
    "migrate": _command("migrate", "建库或升级数据库", "create or upgrade the database"),
    "bench": _command("bench", "运行基准测试", "run a benchmark"),
    "assets": _command("assets", "构建门户增强组件", "build the portal's islands"),
    "diagrams": _command("lifecycles", "由状态表生成状态图", "draw the lifecycle tables"),
}  # fmt: skip
_TITLE = Text("公共数据沙箱", "public data sandbox")
_EPILOG = (
    "退出码 0 正常 · 1 有发现或被拒绝 · 2 用法不对 · 3 无法运行\n"
    "exit codes 0 fine · 1 a finding or refusal · 2 wrong use · 3 could not run\n"
    "语言 PDS_LANG=zh|en · 测试 ./pds test · 只准备环境 ./pds setup"
)


class _OwnHelp:
    """The help option's own line in both languages."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.help = "显示帮助 · show this help"
        return option


class Command(_OwnHelp, TyperCommand):
    """One command."""


class Group(_OwnHelp, TyperGroup):
    """Commands by name, imported when they are called."""

    def __init__(self, name: str, entries: Mapping[str, Entry], help: str, epilog: str = "") -> None:
        super().__init__(name=name, help=help, rich_markup_mode=None)
        self.entries, self.closing = entries, epilog

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """A group alone cannot be meant: its help, and the exit code of wrong use."""
        if not args:
            print(self.get_help(ctx), file=sys.stderr)
            raise typer.Exit(WRONG_USE)
        return list(super().parse_args(ctx, args))

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        if entry.inside is not None:
            return Group(cmd_name, entry.inside, entry.line)
        return _built(cmd_name, entry)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        wide = max(map(len, self.entries))
        formatter.write("\n命令 · Commands:\n")
        for name, entry in self.entries.items():
            formatter.write(f"  {name:<{wide}}  {entry.line}\n")

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if self.closing:
            formatter.write(f"\n{self.closing}\n")


def _built(name: str, entry: Entry) -> Any:
    module, _, function = entry.target.partition(":")
    callback: Callable[..., None] = getattr(import_module(module), function)
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name, cls=Command)(callback)
    return typer.main.get_command(app)


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    from api.cli import output

    as_json = "--json" in arguments
    try:
        group = Group("pds", COMMANDS, f"{_TITLE.zh} · {_TITLE.en}", _EPILOG)
        code = group.main(args=arguments or ["--help"], prog_name="pds", standalone_mode=False)
        return code if isinstance(code, int) else output.FINE
    except TyperException as error:
        context = getattr(error, "ctx", None)
        hint = context.command_path if context else "pds"
        return output.tell_usage(error.format_message(), hint, as_json)
    except UserError as error:
        return output.tell_error(error, as_json)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        # The reader has left (`| head`): nothing more can be told to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return output.FINE
    except Exception as error:
        return output.tell_crash(error, as_json)


def main() -> None:
    """The program `pds`."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()
