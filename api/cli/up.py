"""`pds up`: prepare, then run portal, scheduler and worker as one supervised group."""

from __future__ import annotations

import shutil
import socket
import sys
from typing import Annotated

import typer

NEED_MB = 500


def command(
    host: Annotated[str | None, typer.Option(help="监听地址 · address to listen on")] = None,
    port: Annotated[int | None, typer.Option(help="门户端口 · port of the portal")] = None,
    prefect_port: Annotated[int | None, typer.Option(help="调度服务端口 · port of the scheduler")] = None,
    empty: Annotated[bool, typer.Option("--empty", help="不创建演示市 · no demonstration city")] = False,
    settle: Annotated[bool, typer.Option(help="后台填充演示市的表 · fill the city's tables in the background")] = True,
) -> None:
    """启动平台（Ctrl-C 停止）· Run the platform until Ctrl-C"""
    from api.supervisor import Supervisor, parts_of
    from sandbox.kernel.settings import Settings

    chosen = {"host": host, "port": port, "prefect_port": prefect_port}
    settings = Settings(**{k: v for k, v in chosen.items() if v is not None})  # type: ignore[arg-type]
    settings.home.mkdir(parents=True, exist_ok=True)
    _check_host(settings.host, settings.port, settings.prefect_port, str(settings.home))
    city = _prepare(settings, empty, settle)
    parts = parts_of(settings, with_city=city and settle)
    Supervisor(settings, parts, lambda line: print(line, flush=True)).run()


def _check_host(host: str, port: int, prefect_port: int, home: str) -> None:
    """Stop with clear words when a port is taken or the disk is full."""
    for number, option in ((port, "--port"), (prefect_port, "--prefect-port")):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host if option == "--port" else "127.0.0.1", number))
            except OSError:
                _stop(
                    f"端口 {number} 已被占用，请换一个：pds up {option} {number + 1}",
                    f"port {number} is taken; choose another: pds up {option} {number + 1}",
                )
    free = shutil.disk_usage(home).free >> 20
    if free < NEED_MB:
        _stop(f"磁盘剩余 {free} MB，至少需要 {NEED_MB} MB：请清理 {home} 所在磁盘或设置 PDS_HOME",
              f"{free} MB of disk are left, {NEED_MB} are needed: clean up, or set PDS_HOME")  # fmt: skip


def _stop(zh: str, en: str) -> None:
    print(f"✘ {zh}\n  {en}", file=sys.stderr)
    raise typer.Exit(3)


def _prepare(settings: object, empty: bool, settle: bool) -> bool:
    """Migrate, create the city on the first start, say where everything is; returns whether a city is to be settled."""
    from api.demo import city
    from api.setup import prepare
    from sandbox.kernel import accounts, state
    from sandbox.kernel.settings import Settings
    from sandbox.kernel.unit import Platform
    from sandbox.workspaces.selftest import selftest

    assert isinstance(settings, Settings)
    platform = Platform(settings)
    prepare(platform)
    with platform.system() as unit:
        name = state.read(unit.session, state.DEMONSTRATION)
        if not name and not empty and not accounts.names(unit.session):
            city.found(unit, city.password_of(platform))
            name = city.CITY
    tested = selftest()
    print(f"公共数据沙箱 · public data sandbox\n  门户 portal     http://{settings.host}:{settings.port}/")
    print(f"  接口 API        http://{settings.host}:{settings.port}/api/v1/openapi.json")
    print(f"  调度 scheduler  http://127.0.0.1:{settings.prefect_port}/api   数据 home  {settings.home.resolve()}")
    print(f"  隔离等级 isolation tier  {tested.tier}")
    if tested.tier != "strong":
        print(
            "  ⚠ 隔离等级不足：真实数据的作业将被拒绝，除非运营人员书面决定\n"
            "    real data is refused without an operator's decision"
        )
    if name:
        logins = [login for *_, login, _ in city.STAFF] + (["merchant"] if settle else [])
        print(f"  演示市 {name}（没有真实个人 · no real person）\n  账号 accounts   {'、'.join(logins)}")
        print(f"  口令 password   {city.password_of(platform)}")
    platform.database.dispose()
    return bool(name)
