"""The state diagrams of the documentation, drawn from the lifecycle tables."""

from __future__ import annotations

from sandbox.applications.model import APPLICATION, APPROVAL
from sandbox.catalog.corrections import CORRECTION
from sandbox.catalog.model import DELIVERY, LOWERING, RESOURCE
from sandbox.exports.model import EXPORT, RECALL
from sandbox.kernel.identity import ROLE_NAMES
from sandbox.kernel.lifecycle import Lifecycle, Transition
from sandbox.kernel.permissions import PERMISSIONS
from sandbox.merchants.model import MERCHANT, ONBOARDING
from sandbox.products.model import RUN
from sandbox.workspaces.model import QUOTA, UPLOAD, WORKSPACE

LIFECYCLES = (
    RESOURCE, DELIVERY, LOWERING, CORRECTION, ONBOARDING, MERCHANT, APPLICATION, APPROVAL, WORKSPACE, QUOTA,
    UPLOAD, RUN, EXPORT, RECALL,
)  # fmt: skip

HEAD = """# 状态与流转 · Lifecycles

本页由代码中的状态表生成（`python -m api.cli.diagrams > docs/lifecycles.md`），手工修改会被检查发现。
Generated from the tables in the code (`python -m api.cli.diagrams > docs/lifecycles.md`); a check finds edits by hand.

⏱ 表示到达该状态时启动的办理时限（工作日）。只有部门审核的时限会“超期视为同意”。
⏱ marks a clock in working days that starts with the step. Only the departments' approval may lapse into consent.
"""


def render() -> str:
    """The whole page: a diagram and a table for every lifecycle."""
    return HEAD + "".join(_section(lifecycle) for lifecycle in LIFECYCLES)


def _section(lifecycle: Lifecycle) -> str:
    rows = "\n".join(_row(lifecycle, t) for t in lifecycle.transitions)
    return (
        f"\n## {lifecycle.title.zh} · {lifecycle.title.en}\n\n```mermaid\n{lifecycle.mermaid()}\n```\n\n"
        "| 步骤 · step | 从 · from | 到 · to | 谁 · who | 条件 · guards | 时限 · clock "
        "| 理由 · reason | 审计事件 · event |\n"
        f"|---|---|---|---|---|---|---|---|\n{rows}\n"
    )


def _row(lifecycle: Lifecycle, row: Transition) -> str:
    def label(name: str) -> str:
        return lifecycle.state(name).label.zh

    cells = (
        f"{row.label.zh} · {row.label.en}", "、".join(map(label, row.sources)), label(row.target),
        "、".join(ROLE_NAMES[role].zh for role in PERMISSIONS[row.action]), ", ".join(f"`{g}`" for g in row.guards),
        f"`{row.clock}`" if row.clock else "", "必填" if row.reason else "", f"`{lifecycle.noun}:{row.name}`",
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    print(render(), end="")
