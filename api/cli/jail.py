"""`pds jail selftest`: attack the jail from inside and tell the tier this machine reaches."""

from __future__ import annotations

from api.cli.output import AsJson, answer, say, table
from policies.text import Text

_IN_FORCE = {
    "own_uid": Text("独立用户号", "own user id"),
    "own_namespaces": Text("独立命名空间", "own namespaces"),
    "system_call_filter": Text("系统调用过滤", "system call filter"),
    "landlock_abi": Text("Landlock 版本", "Landlock ABI"),
    "memory_group": Text("内存控制组", "memory cgroup"),
    "process_group": Text("进程数控制组", "pids cgroup"),
    "processor_group": Text("处理器计量组", "cpu accounting cgroup"),
    "scripts_may_fork": Text("脚本可派生进程", "scripts may fork"),
}
_HEADERS = (Text("攻击", "attack"), Text("已拦住", "stopped"), Text("由何拦住", "by"))


def _word(value: bool | int) -> str:
    return ("✔" if value else "✘") if isinstance(value, bool) else str(value)


def command(as_json: AsJson = False) -> None:
    """攻击自检，得出隔离等级（不是 strong 即退出码 1）· Attack the jail, get its tier; exit 1 unless strong"""
    from sandbox.workspaces.selftest import STRONG, selftest

    tested = selftest(again=True)

    def show() -> None:
        stopped = sum(a.stopped for a in tested.attacks)
        held = f"{tested.form}, {stopped}/{len(tested.attacks)}, {tested.seconds:.1f} s"
        print(f"{tested.tier}  {say(tested.text)}  ({held})")
        table(_HEADERS, [(a.name, a.stopped, a.by) for a in tested.attacks])
        print("  " + " · ".join(f"{say(_IN_FORCE[name])} {_word(value)}" for name, value in tested.in_force.items()))
        for reason in tested.rejected:
            print(f"  · {reason}")

    answer(tested.as_dict(), as_json, show, finding=tested.tier != STRONG)
