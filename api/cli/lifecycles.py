"""`pds diagrams`: the lifecycle tables as the page `docs/lifecycles.md` shows them."""

from __future__ import annotations

from api.cli.output import AsJson, answer


def command(as_json: AsJson = False) -> None:
    """由状态表生成状态图（写入 docs/lifecycles.md）· Draw the lifecycle tables, for docs/lifecycles.md"""
    from api.cli.diagrams import LIFECYCLES, render

    page = render()
    nouns = [lifecycle.noun for lifecycle in LIFECYCLES]
    answer({"lifecycles": nouns, "page": page}, as_json, lambda: print(page, end=""))
