"""Which tier this machine reaches: found by attacking the jail, not by looking up features.

strong: bubblewrap, filter, limits and (own UID or an ordinary user), every attack stopped: real data allowed.
medium: Landlock (ABI 4 or later), filter, limits, every attack stopped: real data only by a written decision.
weak: limits and the locked DuckDB: simulated data only, no scripts.
"""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from policies.text import Text
from sandbox.workspaces import cgroup, jail, landlock
from sandbox.workspaces.inside import LANDLOCK, LIMITS_ONLY, OWN_UID, USER_NAMESPACE
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import ChannelClosed, ProtocolError

STRONG, MEDIUM, WEAK = "strong", "medium", "weak"
_LIMITS = Limits(
    memory_mb=768, cpu_seconds=30, wall_seconds=30, processes=64, file_mb=256, result_rows=1000, result_mb=16, threads=1
)
TIERS = {
    STRONG: Text("强隔离：可运行真实数据", "Strong isolation: real data may be used"),
    MEDIUM: Text(
        "中等隔离：真实数据须有运营机构书面决定", "Medium isolation: real data only by the operator's written decision"
    ),
    WEAK: Text("弱隔离：仅限仿真数据，不运行脚本", "Weak isolation: simulated data only, no scripts"),
}


@dataclass(frozen=True, slots=True)
class Attack:
    """One attempt from inside the jail, and what stopped it ("nothing" when it got through)."""

    name: str
    stopped: bool
    by: str


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The tier and its evidence. `rejected` names stronger forms that were tried and why they do not hold."""

    tier: str
    form: str
    attacks: tuple[Attack, ...]
    seconds: float
    rejected: tuple[str, ...] = ()
    in_force: Mapping[str, bool | int] = field(default_factory=dict)
    """what else holds each jail, for the operator to read; the tier comes from the attacks alone"""

    @property
    def text(self) -> Text:
        return TIERS[self.tier]

    def as_dict(self) -> dict[str, Any]:
        return {
            "tier": self.tier,
            "form": self.form,
            "seconds": round(self.seconds, 3),
            "rejected": list(self.rejected),
            "in_force": dict(self.in_force),
            "attacks": [{"name": a.name, "stopped": a.stopped, "by": a.by} for a in self.attacks],
        }


_kept: SelfTest | None = None
_lock = threading.Lock()


def selftest(*, again: bool = False) -> SelfTest:
    """Attack the jail in each form this host offers, strongest first, and keep the best tier (once a process).

    Takes about a second. Raises JailFailed when not even the limits-only form starts.
    """
    global _kept
    with _lock:
        if _kept is None or again:
            _kept = _best(jail.forms())
        return _kept


def _best(forms: list[str]) -> SelfTest:
    rejected: list[str] = []
    best: SelfTest | None = None
    failure: jail.JailFailed | None = None
    for form in forms:
        try:
            found = attack(form)
        except jail.JailFailed as error:
            failure = error
            rejected.append(f"{form}: {error.detail.get('log') or 'did not start'}")
            continue
        if best is None or _rank(found.tier) > _rank(best.tier):
            best = found
        if best.tier == STRONG or (best.tier == MEDIUM and form == LANDLOCK):
            break
        got_through = ", ".join(a.name for a in found.attacks if not a.stopped)
        rejected.append(f"{form}: {got_through or 'no stronger than ' + found.tier}")
    if best is None:
        assert failure is not None
        raise failure
    return replace(best, rejected=tuple(rejected))


def _rank(tier: str) -> int:
    return (WEAK, MEDIUM, STRONG).index(tier)


def attack(form: str, start: Callable[[jail.Order, str], jail.Jailed] = jail.start) -> SelfTest:
    """Run all attacks from inside a jail of `form` that `start` gives. Raises JailFailed when it does not start."""
    began = time.monotonic()
    with _bait() as (folder, grant, extra):
        order = jail.Order("attacks", folder, _LIMITS, "simulated", {"grant": grant}, extra=extra)
        # the grant's place as seen from inside is known only here
        inside = grant if form in (LANDLOCK, LIMITS_ONLY) else Path(jail.GRANTED, "0.parquet")
        order.extra["grant"] = str(inside)  # type: ignore[index]
        jailed = start(order, form)
        try:
            attacks, in_force = _collect(jailed), _in_force(jailed)
        finally:
            jailed.kill()
    if form == LIMITS_ONLY and not all(a.stopped for a in attacks):
        raise jail.failed(
            form, "the locked DuckDB did not hold: " + ", ".join(a.name for a in attacks if not a.stopped)
        )
    return SelfTest(_tier(form, attacks), form, attacks, time.monotonic() - began, in_force=in_force)


def _in_force(jailed: jail.Jailed) -> dict[str, bool | int]:
    groups = jailed.group.controllers if jailed.group is not None else ()
    return {
        "own_uid": jailed.form == OWN_UID,
        "own_namespaces": jailed.form in (OWN_UID, USER_NAMESPACE),
        "system_call_filter": jailed.notes["seccomp"] is True,
        "landlock_abi": int(jailed.notes["landlock"]),
        "memory_group": cgroup.MEMORY in groups,
        "process_group": cgroup.PROCESSES in groups,
        "processor_group": cgroup.PROCESSOR in groups,
        "scripts_may_fork": jail.may_fork(jailed.form, jailed.group),
    }


def _collect(jailed: jail.Jailed) -> tuple[Attack, ...]:
    """What the jail reports; an end without the closing frame counts as an attack that got through."""
    found: list[Attack] = []
    while True:
        try:
            frame = jailed.data.receive(timeout=20)
        except (ChannelClosed, ProtocolError):
            frame = None
        if frame is None:
            return (*found, Attack("report_complete", False, f"the process {jailed.death()}"))
        header = frame[0]
        if header.get("is") == "end":
            complete = header.get("count") == len(found) > 0
            return (*found, Attack("report_complete", complete, "every attack reported"))
        found.append(Attack(str(header.get("name")), header.get("stopped") is True, str(header.get("by"))[:200]))


def _tier(form: str, attacks: tuple[Attack, ...]) -> str:
    if not all(a.stopped for a in attacks):
        return WEAK
    if form in (OWN_UID, USER_NAMESPACE):
        return STRONG
    return MEDIUM if form == LANDLOCK and landlock.abi() >= landlock.NEEDED else WEAK


@contextmanager
def _bait() -> Iterator[tuple[Path, Path, dict[str, Any]]]:
    """Things worth taking, laid outside: another workspace, listening sockets, an open file, a secret variable."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="selftest-") as place, socket.socket() as tcp:
        root = Path(place)
        secret = root / "other" / "secret.txt"
        secret.parent.mkdir()
        secret.write_text("of another workspace")
        secret.chmod(0o644)
        (root / "own").mkdir()
        (root / "own" / "planted").symlink_to(secret)
        grant = root / "grant.parquet"
        pq.write_table(pa.table({"n": [1]}), grant)
        grant.chmod(0o444)
        tcp.bind(("127.0.0.1", 0))
        tcp.listen(1)
        with (
            _udp_echo() as port, _marked_process() as marker, socket.socket(socket.AF_UNIX) as abstract,
            secret.open() as opened,
        ):  # fmt: skip
            os.set_inheritable(opened.fileno(), True)
            abstract.bind("\0" + name)
            abstract.listen(1)
            yield root / "own", grant, {
                "secret": str(secret), "tcp_port": tcp.getsockname()[1], "udp_port": port, "abstract": name,
                "platform_pid": os.getpid(), "marker": marker,
            }  # fmt: skip


@contextmanager
def _marked_process() -> Iterator[str]:
    """A process outside with a word in its command line that no other process has.

    It speaks first: for a moment after exec the kernel shows an empty command line.
    """
    marker = secrets.token_hex(16)
    with Popen(["/bin/sh", "-c", "echo here; read -r _", marker], stdin=PIPE, stdout=PIPE) as outside:
        assert outside.stdout is not None
        outside.stdout.readline()
        yield marker
        outside.kill()


@contextmanager
def _udp_echo() -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0.2)
        over = threading.Event()

        def answer() -> None:
            while not over.is_set():
                try:
                    data, sender = listener.recvfrom(16)
                    listener.sendto(data, sender)
                except TimeoutError:
                    continue

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()
