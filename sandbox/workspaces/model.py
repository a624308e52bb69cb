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

QUOTA = Lifecycle(
    noun="quota",
    title=Text("配额追加申请", "Request for a higher quota"),
    initial="submitted",
    states=(
        State("submitted", Text("待办理", "waiting"), Role.OPERATOR, "active"),
        State("granted", Text("已追加", "granted"), None, "good"),
        State("rejected", Text("未同意", "refused"), None, "bad"),
        State("withdrawn", Text("已撤回", "withdrawn")),
        State("revoked", Text("已收回", "taken back"), None, "bad"),
    ),
    transitions=(
        Transition("grant", ("submitted",), "granted", "quota:decide", Text("同意追加", "grant")),
        Transition("reject", ("submitted",), "rejected", "quota:decide", Text("不同意", "refuse"), reason=True),
        Transition("withdraw", ("submitted",), "withdrawn", "quota:request", Text("撤回", "withdraw")),
        Transition("revoke", ("granted",), "revoked", "quota:decide", Text("收回", "take back"), reason=True),
    ),
)
