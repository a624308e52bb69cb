"""`pds doctor`: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

from api.cli.output import AsJson, answer, quiet, say
from policies.text import Text

_MARKS = {"ok": "✔", "warn": "⚠", "missing": "✘"}


def command(as_json: AsJson = False) -> None:
    """检查环境与安装，说明如何补齐（缺必需部分时退出码 1）· What is missing here; exit 1 when it is needed"""
    from api.cli.health import examine

    with quiet():
        checks = examine()
    shown = [c.as_dict() for c in checks]
    missing = any(c.state == "missing" for c in checks)

    def show() -> None:
        for one in checks:
            print(f"{_MARKS[one.state]} {say(one.name)}  {say(one.found)}")
            if one.fix and one.state != "ok":
                print(f"    → {say(one.fix)}")
        words = Text("缺少必需部分，见上", "something needed is missing, see above") if missing else _FINE
        print(f"\n{say(words)}")

    document = {"checks": shown, "findings": [c for c in shown if c["state"] != "ok"]}
    answer(document, as_json, show, finding=missing)


_FINE = Text("可以运行", "ready to run")
