"""Isolation tiers: what the start-up self-test found, and what may be done on it. Nothing degrades silently."""

from __future__ import annotations

from typing import Any

from policies.text import Text
from sandbox.kernel import permissions, state
from sandbox.kernel.errors import BadInput, Unavailable
from sandbox.kernel.unit import Unit

STRONG, MEDIUM, WEAK = "strong", "medium", "weak"


def record(unit: Unit, selftest: dict[str, Any]) -> None:
    """Keep the result of the start-up self-test and write it to the audit log."""
    state.write(unit.session, state.ISOLATION, {**selftest, "at": unit.now.isoformat()})
    open_attacks = [a["name"] for a in selftest["attacks"] if not a["stopped"]]
    unit.audit("isolation:selftest", "platform", "isolation", tier=selftest["tier"], open=open_attacks)


def current(unit: Unit) -> str:
    """The tier of the last self-test; none recorded counts as weak."""
    return str(state.read(unit.session, state.ISOLATION, {"tier": WEAK})["tier"])


def decide(unit: Unit, tier: str, reason: str) -> None:
    """An operator's written decision to run real data on a weaker tier, or (strong) to take such a decision back.

    Medium may be accepted anywhere. Weak may be accepted only for the demonstration city, which holds no real person.
    """
    permissions.check(unit.actor, "isolation:decide")
    if tier not in (STRONG, MEDIUM, WEAK) or not reason.strip():
        raise BadInput(
            "isolation.decision",
            Text("请写明隔离等级（strong、medium 或 weak）和理由", "Name the tier and give a reason"),
        )
    if tier == WEAK and not state.read(unit.session, state.DEMONSTRATION):
        raise Unavailable(
            "isolation.weak_refused",
            Text("弱隔离环境不得处理真实数据", "Real data is refused on a weak tier"),
            fix=Text("请在支持用户命名空间的 Linux 主机上运行", "Run on a Linux host that allows user namespaces"),
        )
    decision = {"tier": tier, "by": unit.actor.id, "reason": reason.strip(), "at": unit.now.isoformat()}
    state.write(unit.session, state.ISOLATION_DECISION, decision)
    unit.audit("isolation:decide", "platform", "isolation", tier=tier, reason=reason)


def standing(unit: Unit) -> dict[str, Any]:
    """What is known of this machine's isolation: `tested` (the last self-test), `decision` and the `accepted` tiers."""
    permissions.check(unit.actor, "isolation:read")
    return {
        "tested": state.read(unit.session, state.ISOLATION),
        "decision": state.read(unit.session, state.ISOLATION_DECISION),
        "accepted": sorted(accepted(unit)), "real_data": current(unit) in accepted(unit),
    }  # fmt: skip


def accepted(unit: Unit) -> frozenset[str]:
    """Tiers on which real data may be touched: strong, and what an operator decided in writing.

    Weak counts only while this installation holds the demonstration city.
    """
    decided = (state.read(unit.session, state.ISOLATION_DECISION) or {}).get("tier")
    tiers = {STRONG} | ({MEDIUM} if decided in (MEDIUM, WEAK) else set())
    if decided == WEAK and state.read(unit.session, state.DEMONSTRATION):
        tiers.add(WEAK)
    return frozenset(tiers)


def require_for_real_data(unit: Unit) -> str:
    """The tier, if real data may be touched on it now. Raises `Unavailable`."""
    tier = current(unit)
    if tier in accepted(unit):
        return tier
    raise Unavailable(
        "isolation.too_weak",
        Text(f"当前隔离等级为 {tier}，不能在真实数据上运行", f"The isolation tier is {tier}: real data is refused"),
        fix=Text(
            "请在支持用户命名空间的主机上运行；中等级须由运营人员书面决定（pds isolation decide）",
            "Run on a host that allows user namespaces; medium needs an operator's decision (pds isolation decide)",
        ),
        tier=tier,
    )
