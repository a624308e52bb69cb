"""`pds policy propose | activate`: an edition becomes binding through two people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.installation import Login, actor_of, installed
from api.cli.output import AsJson, answer, say
from api.cli.tables import require_file
from policies.text import Text

if TYPE_CHECKING:
    from sandbox.kernel.editions import PolicyEdition


def propose(
    file: Annotated[Path, typer.Argument(help="规则文件 · the policy file")], login: Login, as_json: AsJson = False
) -> None:
    """提出一版规则（合规人员）· Propose an edition; a compliance officer"""
    from sandbox.kernel import editions

    require_file(file)
    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        document = _document(editions.propose(unit, file.read_text("utf-8")))
    _answer(document, Text("已提出，须由另一位合规人员启用", "proposed; another officer must activate it"), as_json)


def activate(
    edition: Annotated[str, typer.Argument(metavar="ID", help="提出时得到的编号 · the id that propose gave")],
    login: Login,
    as_json: AsJson = False,
) -> None:
    """启用一版规则（提出人以外的合规人员）· Activate an edition; an officer other than the proposer"""
    from sandbox.kernel import editions

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        document = _document(editions.activate(unit, edition))
    _answer(document, Text("已启用，自生效日起执行", "active from its date on"), as_json)


def _document(row: PolicyEdition) -> dict[str, Any]:
    return {
        "id": row.id, "policy": row.kind, "edition": row.edition, "digest": row.digest, "state": row.state,
        "effective_from": row.effective_from, "proposed_by": row.proposed_by, "activated_by": row.activated_by,
    }  # fmt: skip


def _answer(document: dict[str, Any], words: Text, as_json: bool) -> None:
    def show() -> None:
        print(f"✔ {document['policy']} {document['edition']}  {document['id']}  {document['effective_from']}")
        print(f"  {say(words)}")

    answer({**document, "findings": []}, as_json, show)
