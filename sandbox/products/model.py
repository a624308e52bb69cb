"""The life of a run on real data, as a table."""

from __future__ import annotations

from policies.text import Text
from sandbox.kernel.identity import Role
from sandbox.kernel.lifecycle import Lifecycle, State, Transition

RUN = Lifecycle(
    noun="run",
    title=Text("真实数据运行", "Run on real data"),
    initial="requested",
    states=(
        State("requested", Text("排队中", "queued"), Role.SYSTEM, "active"),
        State("succeeded", Text("已完成", "succeeded"), None, "good"),
        State("failed", Text("未完成", "failed"), None, "bad"),
        State("cancelled", Text("已取消", "cancelled")),
    ),
    transitions=(
        Transition("succeed", ("requested",), "succeeded", "run:execute", Text("完成", "succeed")),
        Transition("fail", ("requested",), "failed", "run:execute", Text("失败", "fail")),
        Transition("cancel", ("requested",), "cancelled", "run:cancel", Text("取消", "cancel")),
    ),
)
