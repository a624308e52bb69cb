"""`pds audit verify`: recompute the whole chain, without a server and without a sign-in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.cli.installation import installed
from api.cli.output import AsJson, answer, say
from policies.text import Text

if TYPE_CHECKING:
    from sandbox.kernel.unit import Platform

_REASONS = {
    "missing": Text("此处缺少记录", "a row is missing here"),
    "altered": Text("此行被改动", "this row was altered"),
    "checkpoint": Text("与已签名的检查点不符", "it differs from a signed checkpoint"),
    "truncated": Text("链的末尾被截断", "the end of the chain was cut off"),
}


def command(as_json: AsJson = False) -> None:
    """校验审计链（不完整时退出码 1，指出第一处）· Verify the audit chain; exit 1 with the first bad row"""
    from sandbox.kernel import audit
    from sandbox.kernel.oversight import checkpoints_path

    with installed() as platform, platform.database.transaction() as session:
        report = audit.verify(session, checkpoints_path(platform.settings), _public_key(platform))
    finding = {"row": report.first_bad, "reason": report.reason}
    document: dict[str, Any] = {
        "intact": report.intact,
        "rows": report.rows,
        "checkpoints": report.checkpoints,
        "first_bad": report.first_bad,
        "reason": report.reason,
        "findings": [] if report.intact else [finding],
    }

    def show() -> None:
        if report.intact:
            words = Text(
                "审计链完整：{rows:,} 条，{points} 个检查点", "the chain is whole: {rows:,} rows, {points} checkpoints"
            )
            print(f"✔ {say(words.fill(rows=report.rows, points=report.checkpoints))}")
        else:
            why = say(_REASONS.get(report.reason, Text(report.reason, report.reason)))
            print(
                f"✘ {say(Text('审计链在第 {n} 条中断', 'the chain breaks at row {n}').fill(n=report.first_bad))}: {why}"
            )

    answer(document, as_json, show, finding=not report.intact)


def _public_key(platform: Platform) -> bytes | None:
    """The platform's key as it is; a missing one is not made here, because looking must not change anything."""
    from sandbox.kernel.keys import SigningKey

    path = platform.settings.keys_root / "platform.pem"
    return SigningKey.load_or_create(path).public_pem if path.exists() else None
