"""`pds jail selftest`: attack the jail from inside and tell the tier this machine reaches."""

from __future__ import annotations

from api.cli.output import AsJson, answer, say, table
from policies.text import Text

_HEADERS = (Text("攻击", "attack"), Text("已拦住", "stopped"), Text("由何拦住", "by"))


def command(as_json: AsJson = False) -> None:
    """攻击自检，得出隔离等级（不是 strong 即退出码 1）· Attack the jail, get its tier; exit 1 unless strong"""
    from sandbox.workspaces.selftest import STRONG, selftest

    tested = selftest(again=True)

    def show() -> None:
        stopped = sum(a.stopped for a in tested.attacks)
        held = f"{tested.form}, {stopped}/{len(tested.attacks)}, {tested.seconds:.1f} s"
        print(f"{tested.tier}  {say(tested.text)}  ({held})")
        table(_HEADERS, [(a.name, a.stopped, a.by) for a in tested.attacks])
        for reason in tested.rejected:
            print(f"  · {reason}")

    answer(tested.as_dict(), as_json, show, finding=tested.tier != STRONG)
