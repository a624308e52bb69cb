"""`pds export submit | show`: a merchant asks for one product or several in one act, and sees where they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.export_desk import described
from api.cli.installation import Login, actor_of, installed
from api.cli.output import AsJson, answer, say
from policies.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.exports.repository import ExportRequest
    from sandbox.kernel.unit import Unit


def submit(
    artefacts: Annotated[list[str], typer.Argument(metavar="ARTEFACT…", help="产品编号，可写多个 · products")],
    title: Annotated[str, typer.Option(help="标题，随产品出域 · title, leaves with it")],
    purpose: Annotated[str, typer.Option(help="用途 · purpose")],
    population: Annotated[str, typer.Option(help="统计人群与范围 · population")],
    controls: Annotated[str, typer.Option(help="已采取的保护措施 · controls applied")],
    login: Login,
    remark: Annotated[str, typer.Option(help="说明，随产品出域 · remark, leaves with it")] = "",
    draft: Annotated[bool, typer.Option("--draft", help="只存草稿 · keep it as a draft")] = False,
    as_json: AsJson = False,
) -> None:
    """申请一个或几个产品出域：共用用途、人群和措施，一并核查，逐个复核和放行（数据商）· Ask for products in one act"""
    from sandbox.exports import drafting, groups

    context = {"purpose": purpose, "population": population, "controls": controls}
    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        made = drafting.draft_together(unit, drafting.several(unit, artefacts, title, remark), context=context)
        if not draft:
            groups.submit(unit, made[0].group_id)
        document = _document(unit, made)
    answer(document, as_json, lambda: _print(document))


def show(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="组编号 · grp-…")], login: Login, as_json: AsJson = False
) -> None:
    """一组申请各文件的状态与机器结论 · State and machine's outcome of each file of a group"""
    from sandbox.exports import groups

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        document = _document(unit, groups.read(unit, group))
    answer(document, as_json, lambda: _print(document))


def _document(unit: Unit, records: Sequence[ExportRequest]) -> dict[str, Any]:
    files = [described(unit, r) | {"outcome": (r.verdict or {}).get("outcome")} for r in records]
    return {"group": records[0].group_id, "files": files}


def _print(document: dict[str, Any]) -> None:
    print(document["group"])
    for file in document["files"]:
        print(f"  {file['id']}  {say(Text(**file['state']))}  {file['outcome'] or '—'}  {say(Text(**file['title']))}")
