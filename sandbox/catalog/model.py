"""The lives of a resource, of a delivery to it, and of a request to lower a grade, as tables."""

from __future__ import annotations

from policies.text import Text
from sandbox.kernel.identity import Role
from sandbox.kernel.lifecycle import Lifecycle, State, Transition

RESOURCE = Lifecycle(
    noun="resource",
    title=Text("数据资源", "Resource"),
    initial="registered",
    states=(
        State("registered", Text("已登记，尚未发布", "registered, not published yet"), Role.DEPARTMENT),
        State("published", Text("已发布", "published"), None, "good"),
        State("withdrawn", Text("已下架", "withdrawn"), None, "neutral"),
    ),
    transitions=(
        Transition("publish", ("registered",), "published", "resource:publish",
                   Text("发布目录", "publish in the catalogue")),
        Transition("withdraw", ("published",), "withdrawn", "resource:withdraw", Text("下架", "withdraw"), reason=True),
    ),
)  # fmt: skip

DELIVERY = Lifecycle(
    noun="delivery",
    title=Text("数据交付", "Delivery"),
    initial="received",
    states=(
        State("received", Text("已收到，等待读取", "received, waiting to be read"), Role.SYSTEM, "active"),
        State("reading", Text("读取和检测中", "being read and measured"), Role.SYSTEM, "active"),
        State("needs_recipe", Text("读取方式待运营人员确定", "an operator must say how to read it"), Role.OPERATOR,
              "warn"),
        State("refused", Text("交付被退回", "sent back"), Role.DEPARTMENT, "bad"),
        State("proposed", Text("分级待确认", "grades await confirmation"), Role.DEPARTMENT, "warn"),
        State("confirmed", Text("分级已确认，待发布", "grades confirmed, awaiting publication"), Role.OPERATOR,
              "active"),
        State("current", Text("现行版本", "the published version"), None, "good"),
        State("superseded", Text("已被后续交付取代", "replaced by a later delivery"), None, "neutral"),
        State("withdrawn", Text("已撤回", "withdrawn"), None, "neutral"),
    ),
    transitions=(
        Transition("read", ("received", "reading", "needs_recipe", "refused"), "reading", "resource:ingest",
                   Text("开始读取", "begin reading"), guards=("alone",)),
        Transition("ask", ("received", "reading"), "needs_recipe", "resource:ingest",
                   Text("请运营人员确定读取方式", "ask how to read it")),
        Transition("refuse", ("received", "reading"), "refused", "resource:ingest",
                   Text("退回交付", "send the delivery back")),
        Transition("propose", ("reading",), "proposed", "resource:grade", Text("提出分级建议", "propose grades")),
        Transition("carry_over", ("reading",), "confirmed", "resource:grade",
                   Text("沿用已确认的分级", "carry the confirmed grades over")),
        Transition("correct", ("needs_recipe", "refused", "proposed"), "received", "delivery:correct",
                   Text("改正读取方式", "correct how it is read"), guards=("alone",)),
        Transition("confirm", ("proposed",), "confirmed", "resource:confirm", Text("确认分级", "confirm grades"),
                   guards=("levels_hold", "no_open_lowering")),
        Transition("publish", ("confirmed",), "current", "resource:publish",
                   Text("发布目录", "publish in the catalogue"), guards=("quality_reached",)),
        Transition("take_effect", ("confirmed",), "current", "resource:grade",
                   Text("沿用分级，自动生效", "take effect with the grades carried over"),
                   guards=("quality_reached",)),
        Transition("withdraw", ("needs_recipe", "proposed", "confirmed"), "withdrawn", "resource:deliver",
                   Text("撤回交付", "withdraw the delivery"), guards=("brought_data",)),
        Transition("supersede", ("needs_recipe", "proposed", "confirmed", "current"), "superseded", "resource:ingest",
                   Text("被后续交付取代", "be replaced by a later delivery")),
    ),
)  # fmt: skip
"""A delivery is governed beside the published version, which stays as it is until the delivery becomes current."""

OPEN = ("received", "reading", "needs_recipe", "proposed", "confirmed")
"""states of a delivery that is on its way; a resource has at most one"""
BUSY = ("received", "reading")
"""states in which the pipeline holds the delivery"""
SETTLED = ("refused", "withdrawn")
"""states after which the same bytes may be delivered again"""
MODES = ("replace", "append", "regrade")
"""what a delivery does: new rows instead of the old ones, rows added to them, or only the grades looked at again"""

LOWERING = Lifecycle(
    noun="lowering",
    title=Text("放宽保护", "Less protection"),
    initial="requested",
    states=(
        State("requested", Text("待第二人核定", "waits for a second person"), Role.DEPARTMENT, "warn"),
        State("approved", Text("已同意放宽", "lowered"), None, "good"),
        State("refused", Text("未同意放宽", "not lowered"), None, "bad"),
        State("withdrawn", Text("已撤回", "withdrawn"), None, "neutral"),
        State("dropped", Text("版本已被取代", "the version was replaced"), None, "neutral"),
    ),
    transitions=(
        Transition("approve", ("requested",), "approved", "lowering:decide", Text("同意放宽", "approve the lowering"),
                   guards=("second_person", "floor_kept"), reason=True),
        Transition("refuse", ("requested",), "refused", "lowering:decide", Text("不同意放宽", "refuse the lowering"),
                   guards=("second_person",), reason=True),
        Transition("withdraw", ("requested",), "withdrawn", "resource:confirm", Text("撤回", "withdraw")),
        Transition("drop", ("requested",), "dropped", "resource:ingest",
                   Text("随版本取代而作废", "lapse with its version")),
    ),
)  # fmt: skip
"""Taking a protection away (level, sensitivity, role as an identifier, whose records the rows are) needs a reason and a
second person (reference regulation.md §3 row 4). The row does not say who the second person is; assumed: anybody else
of the department, or a compliance officer, where a department has one account only."""
