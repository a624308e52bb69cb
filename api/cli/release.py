"""`pds release verify`: is this package as it was signed, and by whom. Needs no platform."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.output import AsJson, answer, say
from api.cli.tables import require_file
from policies.text import Text


def command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="放行包 .zip · the release package")],
    key: Annotated[
        Path | None, typer.Option(metavar="PEM", help="平台公钥，取自可信来源 · the platform's public key")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """离线验证放行包（不可信时退出码 1）· Verify a release package offline; exit 1 when it cannot be trusted"""
    from sandbox.exports.release import verify

    require_file(path)
    if key is not None:
        require_file(key)
    problems = verify(path, key.read_bytes() if key else None)
    findings = [{"code": p.code, "member": p.member, "text": p.text.as_dict()} for p in problems]

    def show() -> None:
        for problem in problems:
            print(f"✘ {say(problem.text)}  [{problem.code}]")
        if not problems:
            print("✔ " + say(Text("签名成立，内容未被改动", "the signature holds and nothing was changed")))
        if key is None:
            print(
                "  "
                + say(
                    Text(
                        "未指定 --key：只证明内容与签名一致，不证明由谁签名",
                        "without --key this shows what was signed, not who signed it",
                    )
                )
            )

    document = {"trusted": not problems, "signer_checked": key is not None, "findings": findings}
    answer(document, as_json, show, finding=bool(problems))
