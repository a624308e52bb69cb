"""The life of a resource, as a table."""

from __future__ import annotations

from policies.text import Text
from sandbox.kernel.identity import Role
from sandbox.kernel.lifecycle import Lifecycle, State, Transition

RESOURCE = Lifecycle(
    noun="resource",
    title=Text("数据资源", "Resource"),
    initial="registered",
    states=(
        State("registered", Text("已登记，待交付", "registered, awaiting delivery"), Role.DEPARTMENT),
        State("delivered", Text("已交付，治理中", "delivered, in governance"), Role.SYSTEM, "active"),
        State("rejected", Text("交付被退回", "delivery sent back"), Role.DEPARTMENT, "bad"),
        State("proposed", Text("分级待确认", "grades await confirmation"), Role.DEPARTMENT, "warn"),
        State("confirmed", Text("分级已确认", "grades confirmed"), Role.OPERATOR, "active"),
        State("published", Text("已发布", "published"), None, "good"),
        State("withdrawn", Text("已下架", "withdrawn"), None, "neutral"),
    ),
    transitions=(
        Transition("deliver", ("registered", "rejected", "published", "proposed", "confirmed"), "delivered",
                   "resource:deliver", Text("交付数据", "deliver data")),
        Transition("ingest_failed", ("delivered",), "rejected", "resource:ingest",
                   Text("退回交付", "send delivery back")),
        Transition("retake", ("rejected",), "delivered", "resource:ingest",
                   Text("重新治理", "take it up again")),
        Transition("propose_grade", ("delivered",), "proposed", "resource:grade",
                   Text("提出分级建议", "propose grades")),
        Transition("confirm_grade", ("proposed",), "confirmed", "resource:confirm",
                   Text("确认分级", "confirm grades"), guards=("levels_hold",)),
        Transition("publish", ("confirmed",), "published", "resource:publish",
                   Text("发布目录", "publish in the catalogue"), guards=("quality_reached",)),
        Transition("withdraw", ("published",), "withdrawn", "resource:withdraw", Text("下架", "withdraw"), reason=True),
    ),
)  # fmt: skip
