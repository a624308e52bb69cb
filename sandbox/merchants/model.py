"""The lives of an onboarding application and of a merchant, as tables."""

from __future__ import annotations

from policies.text import Text
from sandbox.kernel.identity import Role
from sandbox.kernel.lifecycle import Lifecycle, State, Transition

MATERIALS: dict[str, Text] = {
    "licence": Text("营业执照", "business licence"),
    "security_capability": Text("数据安全能力证明", "proof of data-security capability"),
    "commitment": Text("诚信与合规承诺书", "integrity and compliance commitment"),
    "credit": Text("无严重失信记录证明", "proof of no serious breach of trust"),
}
"""What an onboarding file contains (reference regulation.md §3 row 6; assumed)."""

ONBOARDING = Lifecycle(
    noun="onboarding",
    title=Text("进驻申请", "Onboarding application"),
    initial="draft",
    states=(
        State("draft", Text("草稿", "draft"), Role.MERCHANT),
        State("checking", Text("核查中", "being checked"), Role.OPERATOR, "active"),
        State("returned", Text("退回补正", "returned for completion"), Role.MERCHANT, "warn"),
        State("rejected", Text("不予进驻", "rejected"), None, "bad"),
        State("admitted", Text("准予进驻", "admitted"), None, "good"),
    ),
    transitions=(
        Transition("submit", ("draft", "returned"), "checking", "onboarding:submit", Text("提交", "submit"),
                   guards=("materials_complete",), clock="onboarding_check"),
        Transition("return", ("checking",), "returned", "onboarding:check", Text("退回补正", "return"), reason=True),
        Transition("reject", ("checking",), "rejected", "onboarding:check", Text("不予进驻", "reject"), reason=True),
        Transition("admit", ("checking",), "admitted", "onboarding:check", Text("准予进驻", "admit")),
    ),
)  # fmt: skip

MERCHANT = Lifecycle(
    noun="merchant",
    title=Text("数据商", "Merchant"),
    initial="active",
    states=(
        State("active", Text("正常", "active"), None, "good"),
        State("suspended", Text("暂停", "suspended"), Role.OPERATOR, "bad"),
    ),
    transitions=(
        Transition("suspend", ("active",), "suspended", "merchant:suspend", Text("暂停", "suspend"), reason=True),
        Transition("resume", ("suspended",), "active", "merchant:suspend", Text("恢复", "resume"), reason=True),
    ),
)  # fmt: skip
