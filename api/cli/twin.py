"""`pds twin …`: simulated twins of an installation: how they stand, make one again, feed one back to the catalogue."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.installation import Login, actor_of, installed
from api.cli.output import AsJson, answer, say, table
from policies.text import Text

if TYPE_CHECKING:
    from sandbox.catalog.repository import Resource
    from sandbox.kernel.unit import Unit

Table = Annotated[str, typer.Argument(metavar="RESOURCE", help="资源名称或编号 · name or id of the resource")]
_HEADERS = (
    Text("资源", "resource"), Text("编号", "id"), Text("仿真版本", "twin"), Text("模拟版本", "imitates"),
    Text("引擎", "engine"), Text("行数", "rows"), Text("状态", "standing"), Text("已公开", "releases"),
)  # fmt: skip


def show(login: Login, as_json: AsJson = False) -> None:
    """列出各资源的仿真数据：版本、是否过期、公开份数 · List twins: version, stale or not, differing sets published"""
    from sandbox.catalog import service

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        found = [_document(unit, r) for r in service.list_for(unit) if r.state == "published"]
    answer({"twins": found}, as_json, lambda: table(_HEADERS, [_line(one) for one in found]))


def make(
    resource: Table,
    login: Login,
    rows: Annotated[int | None, typer.Option(help="行数；不写则沿用上一版 · rows; none: as last time")] = None,
    seed: Annotated[int | None, typer.Option(help="种子；不写则沿用上一版 · seed; none: as last time")] = None,
    as_json: AsJson = False,
) -> None:
    """重新生成仿真数据，由运行中的平台执行（运营人员）· Make a twin; the running platform does it; an operator"""
    from sandbox.catalog import twins

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        job = twins.ask(unit, _id_of(unit, resource), rows=rows, seed=seed)
    answer({"job": job.id, "state": job.state}, as_json, lambda: print(f"✔ {job.id}"))


def feedback(
    resource: Table,
    login: Login,
    out: Annotated[Path, typer.Option(help="放置回流包的文件夹 · folder for the package")],
    number: Annotated[int | None, typer.Option(min=1, help="哪一版；不写则当前版 · which one; none: published")] = None,
    as_json: AsJson = False,
) -> None:
    """把仿真数据打成回流包，交政务共享目录（运营人员）· Package a twin for the sharing catalogue; an operator"""
    from sandbox.exports import feedback as packages

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        made = packages.package(unit, _id_of(unit, resource), number)
    out.mkdir(parents=True, exist_ok=True)
    target = out / made.name
    shutil.copyfile(made.path, target)
    checked = say(Text("可用 pds release verify 验证", "check it with pds release verify"))
    shown = f"✔ {target}\n  {made.sha256}  {checked}"
    answer({"file": str(target), "sha256": made.sha256}, as_json, lambda: print(shown))


def _id_of(unit: Unit, resource: str) -> str:
    """The resource of that name, else the one of that id (which may not exist: the use case says so)."""
    from sandbox.catalog import service

    return next((r.id for r in service.list_for(unit) if r.name == resource), resource)


def _document(unit: Unit, resource: Resource) -> dict[str, Any]:
    from sandbox.catalog import twins

    found = twins.standing(unit.session, resource)
    twin = found.current
    return {
        "resource": resource.name, "id": resource.id, "twin": twin.number if twin else None,
        "imitates": twin.version if twin else None, "published": resource.current_version,
        "engine": twin.engine if twin else None, "rows": twin.rows if twin else None, "stale": list(found.stale),
        "releases": found.releases, "job": found.job.id if found.job else None,
    }  # fmt: skip


def _line(one: dict[str, Any]) -> tuple[Any, ...]:
    standing = Text("一致", "fresh") if one["twin"] and not one["stale"] else Text("已过期", "stale")
    return (
        one["resource"], one["id"], one["twin"], one["imitates"], one["engine"], one["rows"],
        standing if one["twin"] else Text("未生成", "none"), one["releases"],
    )  # fmt: skip
