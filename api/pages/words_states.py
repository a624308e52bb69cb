"""How a state looks. Words and tone of a lifecycle's states are in its table; here are the shapes, and the states that
belong to no lifecycle. Colour is never the only sign: each badge has a word and an icon."""

from __future__ import annotations

from policies.text import Text
from sandbox.kernel.lifecycle import State

ICON_OF_STATE: dict[str, str] = {
    "draft": "pencil",
    "registered": "file",
    "received": "inbox",
    "reading": "search",
    "needs_recipe": "pencil",
    "refused": "return",
    "confirmed": "check",
    "superseded": "archive",
    "submitted": "send",
    "frozen": "lock",
    "checking": "search",
    "in_review": "eye",
    "review": "eye",
    "second_review": "people",
    "discussion": "people",
    "third_review": "people",
    "measured": "archive",
    "asked": "eye",
    "granted": "undo",
    "approving": "people",
    "pending": "eye",
    "proposed": "eye",
    "returned": "return",
    "approved_by_lapse": "clock",
    "agreement_signed": "file",
    "released": "download",
    "recalled": "undo",
    "withdrawn": "undo",
    "suspended": "pause",
    "expired": "clock",
    "closed": "archive",
    "requested": "dots",
    "queued": "dots",
    "running": "play",
    "failed": "cross",
    "cancelling": "dots",
    "cancelled": "stop",
    "error": "warning",
    "strong": "shield",
    "medium": "shield",
    "weak": "shield",
}
ICON_OF_TONE: dict[str, str] = {
    "neutral": "info",
    "active": "dots",
    "good": "check-circle",
    "warn": "warning",
    "bad": "stop",
}


def icon_of(state: State) -> str:
    """The shape of a state: its own where it has one, else its tone's."""
    return ICON_OF_STATE.get(state.name) or ICON_OF_TONE[state.tone]


_FIXED: dict[str, tuple[State, ...]] = {
    "job": (
        State("queued", Text("排队中", "queued")),
        State("running", Text("运行中", "running"), tone="active"),
        State("succeeded", Text("已完成", "done"), tone="good"),
        State("failed", Text("已失败", "failed"), tone="bad"),
        State("cancelling", Text("正在取消", "cancelling"), tone="warn"),
        State("cancelled", Text("已取消", "cancelled")),
    ),
    "attempt": (
        State("running", Text("运行中", "running"), tone="active"),
        State("succeeded", Text("已完成", "done"), tone="good"),
        State("failed", Text("已失败", "failed"), tone="bad"),
        State("cancelled", Text("已取消", "cancelled")),
        State("lost", Text("已中断", "broke off"), tone="warn"),
    ),
    "step": (
        State("running", Text("进行中", "under way"), tone="active"),
        State("done", Text("已完成", "done"), tone="good"),
        State("reused", Text("沿用", "reused"), tone="good"),
        State("failed", Text("失败", "failed"), tone="bad"),
        State("stopped", Text("中止", "stopped")),
    ),
    "verdict": (
        State("pass", Text("通过", "pass"), tone="good"),
        State("review", Text("需人工复核", "needs review"), tone="warn"),
        State("block", Text("阻断", "block"), tone="bad"),
        State("error", Text("未能核查", "could not be checked"), tone="bad"),
    ),
    "tier": (
        State("strong", Text("强隔离", "strong isolation"), tone="good"),
        State("medium", Text("中等隔离", "medium isolation"), tone="warn"),
        State("weak", Text("弱隔离", "weak isolation"), tone="bad"),
    ),
    "policy": (
        State("proposed", Text("待启用", "proposed"), tone="warn"),
        State("active", Text("已启用", "active"), tone="good"),
    ),
    "grade": (
        State("1", Text("1 级", "level 1")),
        State("2", Text("2 级", "level 2"), tone="active"),
        State("3", Text("3 级", "level 3"), tone="warn"),
        State("4", Text("4 级", "level 4"), tone="bad"),
    ),
}
FIXED_STATES: dict[str, dict[str, State]] = {kind: {s.name: s for s in states} for kind, states in _FIXED.items()}


def fixed_state(kind: str, name: object) -> State:
    """A state outside the lifecycles: kind "job", "verdict", "tier" or "grade". Raises KeyError for an unknown one."""
    return FIXED_STATES[kind][str(name)]


POLICY_NAMES: dict[str, Text] = {
    "grading": Text("分级规则", "grading policy"),
    "quality": Text("质量规则", "quality policy"),
    "simulation": Text("仿真规则", "simulation policy"),
    "workspace": Text("工作空间规则", "workspace policy"),
    "export": Text("出域规则", "export policy"),
    "deadlines": Text("办理时限规则", "deadline policy"),
    "calendar": Text("工作日历", "working calendar"),
}


def policy_name(kind: str) -> Text | str:
    """The name of a policy kind in words; one that has none shows as written."""
    return POLICY_NAMES.get(kind, kind)
