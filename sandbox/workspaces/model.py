"""The life of a workspace, as a table."""

from __future__ import annotations

from policies.text import Text
from sandbox.kernel.identity import Role
from sandbox.kernel.lifecycle import Lifecycle, State, Transition

WORKSPACE = Lifecycle(
    noun="workspace",
    title=Text("开发空间", "Workspace"),
    initial="open",
    states=(
        State("open", Text("使用中", "open"), Role.MERCHANT, "good"),
        State("frozen", Text("已冻结", "frozen"), Role.OPERATOR, "bad"),
        State("closed", Text("已关闭", "closed")),
    ),
    transitions=(
        Transition("freeze", ("open",), "frozen", "workspace:freeze", Text("冻结", "freeze"), reason=True),
        Transition("unfreeze", ("frozen",), "open", "workspace:freeze", Text("解冻", "unfreeze"), reason=True),
        Transition("close", ("open", "frozen"), "closed", "workspace:close", Text("关闭", "close")),
    ),
)
