"""`pds isolation decide`: an operator accepts a weaker tier in writing; the decision is on the audit chain."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from api.cli.installation import Login, actor_of, installed
from api.cli.output import AsJson, answer, say
from policies.text import Text


def decide(
    tier: Annotated[Literal["medium", "weak"], typer.Argument(help="接受的等级 · the tier accepted")],
    reason: Annotated[str, typer.Option(help="理由 · why")],
    login: Login,
    as_json: AsJson = False,
) -> None:
    """书面接受较弱的隔离等级（weak 仅限演示市）· Accept a weaker tier; weak only for the demonstration city"""
    from sandbox.workspaces import tiers

    with installed() as platform, platform.begin(actor_of(platform, login)) as unit:
        tiers.decide(unit, tier, reason)
        accepted = sorted(tiers.accepted(unit))
    words = Text("已记录；可在这些等级上运行真实数据：", "recorded; real data may be used on: ")
    answer({"tier": tier, "accepted": accepted}, as_json, lambda: print(f"✔ {say(words)}{', '.join(accepted)}"))
