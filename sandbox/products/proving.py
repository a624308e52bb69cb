"""The proof in a jail: what derives evidence runs a merchant's own statements, so it runs where merchants' code runs.

The platform makes the twins (`twin`), starts the jail with nothing but them, hands over seeds once the product's result
was reported by its digest, watches time, memory and disk, and reads what was left (`evidence_files`). Whatever ends
early ends with a name and leaves nothing: half a proof is no evidence.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from policies.text import Text
from sandbox.products import evidence_files, twin
from sandbox.products import evidence_values as values
from sandbox.products.carrier import Refusal
from sandbox.products.entities import EntityCodes
from sandbox.products.evidence import Budget, Evidence, Watch, drawn
from sandbox.products.evidence_files import Caps, NotEvidence
from sandbox.products.source import EvidenceError, Source
from sandbox.products.spec import JobSpec, as_data
from sandbox.workspaces import disk, jail, snapshot
from sandbox.workspaces.broker import DEATHS, Mode
from sandbox.workspaces.limits import Limits, limits_of
from sandbox.workspaces.protocol import ChannelClosed, ProtocolError
from sandbox.workspaces.usage import Meter, meter

CODE = (
    "sandbox/products", "sandbox/catalog/keys.py", "sandbox/catalog/entityfacts.py", "sandbox/kernel/errors.py",
    "policies/text.py", "policies/problems.py", "policies/reading.py",
)  # fmt: skip
"""What the inside imports of the platform's own code, beside the jail's."""
_LONG, _MANY = 1000, 50
_ANSWER_SECONDS = 5.0
_CODE = re.compile(r"[a-z][a-z0-9_]{0,40}(\.[a-z][a-z0-9_]{0,40})?")
_HASH = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"(?!code$|text$|fix$|refusals$)[a-z_]{1,40}")
_STEP = re.compile(r"[^\x00-\x1f\x7f]{1,60}")

ENDINGS: dict[str, tuple[Text, Text]] = {
    "memory_limit": (
        Text("证明超出内存上限，已停止", "The proof went over its memory limit and was stopped"),
        Text("请减少维度、连接或准备步骤后重新运行", "Use fewer dimensions, joins or prepared steps and run it again"),
    ),
    "time_limit": (
        Text("证明超出时限，已停止", "The proof went over its time limit and was stopped"),
        Text("请减少维度、连接或准备步骤后重新运行", "Use fewer dimensions, joins or prepared steps and run it again"),
    ),
    "disk_full": (
        Text("证明占用的磁盘超出上限，已停止", "The proof took more of the disk than allowed and was stopped"),
        Text("请减少准备步骤产生的行后重新运行", "Let prepared steps give fewer rows and run it again"),
    ),
    "cancelled": (Text("证明已取消", "The proof was cancelled"), Text("需要时请重新提交", "Submit it again if needed")),
    "crashed": (
        Text("证明进程异常中止", "The proof's process broke down"),
        Text("请运营人员重试；仍失败时请简化作业", "An operator should retry it; if it fails again, simplify the job"),
    ),
    "protocol": (
        Text("证明的结果不可信，已丢弃", "What the proof left is not trustworthy; it was discarded"),
        Text("请运营人员查看并重试", "An operator should look into it and retry"),
    ),
}
"""How a proof can end without a result: what happened, what to do."""
BROKEN = frozenset({"evidence.crashed", "evidence.protocol", "evidence.cancelled"})
"""Ends that say nothing about the job: the proof has to be made again."""


@dataclass(frozen=True, slots=True)
class Room:
    """What one proof may use (policy values): the jail's limits, megabytes it may leave on the disk, and what the
    evidence itself may take."""

    limits: Limits
    folder_mb: int
    caps: Caps


def room_of(parameters: Any) -> Room:
    """What a proof may use, from the workspace policy's `proof_limits`."""
    caps = Caps(rows=parameters.result_rows, cells=parameters.measured_cells, file_mb=parameters.result_mb)
    return Room(limits_of(parameters), parameters.folder_mb, caps)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be proved (policy values): random halves of P2, and how long it may take before a person decides.

    `seed` is asked once, with the digest of the frozen values.
    """

    halves: int
    budget: Budget = field(default_factory=Budget)
    seed: Callable[[str], str] = drawn


class Unwatched:
    """Nobody looks on."""

    def progress(self, step: str, share: float) -> None:
        """Nothing is shown."""

    def cancelled(self) -> bool:
        """It goes on."""
        return False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proof runs: the jail's form and room, the caller's scratch folder `work`, and who looks on.

    Twins are kept below `twins` (the snapshots' root); without it, and for a source whose digest does not name bytes,
    they are made anew in `work`.
    """

    form: str
    room: Room
    work: Path
    twins: Path | None = None
    watch: Watch = field(default_factory=Unwatched)


def prove(
    spec: JobSpec, sources: Mapping[str, Source], asked: Asked, *, codes: EntityCodes, place: Place
) -> Evidence:  # fmt: skip
    """Derive and prove the evidence of `spec` in a fresh jail.

    Raises `EvidenceError`: what `derive` refuses, and every way a jail can end (`evidence.memory_limit`,
    `…time_limit`, `…disk_full`, `…cancelled`, `…crashed`, `…protocol`). Nothing is left in either case.
    """
    with tempfile.TemporaryDirectory(prefix="proof-", dir=place.work) as folder:
        coded = _twins(sources, codes, place, Path(folder, "twins"))
        output = Path(folder, "output")
        output.mkdir(mode=0o700)
        seeds = Seeds(asked.seed)
        try:
            _in_jail(_order(spec, coded, asked, place.room, Path(folder, "home"), output), place, seeds)
            _take_back(output)
            return _checked(evidence_files.read(output, place.room.caps), spec, sources, seeds)
        except NotEvidence:
            raise ended("protocol") from None


def _twins(sources: Mapping[str, Source], codes: EntityCodes, place: Place, own: Path) -> dict[str, Source]:
    room = twin.Room(place.room.limits.duckdb_mb, place.room.limits.threads)
    coded = {}
    for n, (alias, source) in enumerate(sources.items()):
        place.watch.progress("twins", 0.05 * n / len(sources))
        _stop_if(place.watch.cancelled())
        kept = place.twins if _HASH.fullmatch(source.digest) else None
        folder = snapshot.twins_of(kept, source.digest) if kept else own
        coded[alias] = twin.made(source, codes, folder, room)
    return coded


def ended(kind: str, **detail: Any) -> EvidenceError:
    """The error for a proof that ended without a result; `kind` is one of ENDINGS."""
    text, fix = ENDINGS[kind]
    return EvidenceError(f"evidence.{kind}", text, fix, **detail)


def _order(
    spec: JobSpec, coded: Mapping[str, Source], asked: Asked, room: Room, home: Path, output: Path
) -> jail.Order:  # fmt: skip
    facts = {alias: asdict(replace(source, files=())) for alias, source in coded.items()}
    extra = {"spec": as_data(spec), "sources": facts, "halves": asked.halves, "budget": asdict(asked.budget)}
    tables = {alias: Path(source.files[0]) for alias, source in coded.items()}
    return jail.Order("proof", home, room.limits, Mode.REAL.value, tables, output=output, extra=extra, code=CODE)


class Seeds:
    """Hands the one seed to a proof in exchange for the digest of its frozen values. What was told and given is held
    against the evidence in the end."""

    def __init__(self, draw: Callable[[str], str]) -> None:
        self._draw = draw
        self._given: tuple[str, str] | None = None

    def draw(self, digest: object) -> str:
        """A new seed. Raises ProtocolError for what is no digest, and for a second one."""
        if self._given is not None or not isinstance(digest, str) or not _HASH.fullmatch(digest):
            raise ProtocolError("a seed out of turn")
        self._given = digest, self._draw(digest)
        return self._given[1]

    def fit(self, evidence: Evidence) -> bool:
        """Whether these are the values that were frozen, and proved with the seed that was given. Their digest is
        computed from the rows themselves: what the jail says of them is not asked."""
        cubes = (*evidence.references, evidence)
        frozen = values.digest_of((one.name, one.columns, one.rows, one.groupings) for one in cubes)
        return all((frozen, one.record.seed) == self._given for one in cubes)


def _in_jail(order: jail.Order, place: Place, seeds: Seeds) -> None:
    """Returns when the inside says that it is done. Raises EvidenceError; the jail has ended either way."""
    assert order.output is not None
    jailed = jail.start(order, place.form)
    measured, limits = meter(jailed), place.room.limits
    try:
        bound = disk.Bound([order.folder, order.output], place.room.folder_mb, jailed)
        _listen(jailed, limits.wall_seconds, bound, place.watch, measured, seeds)
    except (ProtocolError, TypeError):
        raise ended("protocol") from None
    except ChannelClosed:
        raise ended(_death(jailed, measured, limits)) from None
    finally:
        jailed.kill()


def _death(jailed: jail.Jailed, measured: Meter, limits: Limits) -> str:
    """Why a jail went away. The kernel's last word on processor time is the same signal as anybody's, and a library
    that is refused memory may abort: what was used tells them apart."""
    reason = jailed.death()
    if reason == "killed" and measured.read().cpu_seconds >= 0.9 * limits.cpu_seconds:  # the last tick may be missed
        return "time_limit"
    if reason == "crashed" and 2 * measured.held_mb >= limits.memory_mb:
        return "memory_limit"
    kind = DEATHS.get(reason, "crashed")
    return kind if kind in ENDINGS else "crashed"


def _listen(
    jailed: jail.Jailed, seconds: float, bound: disk.Bound, watch: Watch, measured: Meter, seeds: Seeds
) -> None:  # fmt: skip
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        frame = jailed.data.receive(timeout=0.2)
        measured.tick()
        _stop_if(watch.cancelled())
        if bound.passed() if frame is None else bound.exceeded():
            raise ended("disk_full")
        if frame is None:
            continue
        if frame[0].get("is") == "seed":
            jailed.data.send({"is": "seed", "value": seeds.draw(frame[0].get("frozen"))}, timeout=_ANSWER_SECONDS)
        elif _heard(frame[0], watch):
            return
    raise ended("time_limit")


def _heard(header: Mapping[str, Any], watch: Watch) -> bool:
    """Take one frame; True for the last one. Raises EvidenceError, ProtocolError."""
    kind = header.get("is")
    if kind == "progress":
        step, share = header.get("step"), header.get("share")
        if not isinstance(step, str) or not _STEP.fullmatch(step) or not isinstance(share, int | float):
            raise ProtocolError("progress")
        watch.progress(step, min(1.0, max(0.0, float(share))))
        return False
    if kind == "refused":
        raise _refusal(header)
    if kind == "failed":
        raise ended("crashed", error_class=str(header.get("class"))[:60])
    if kind != "done":
        raise ProtocolError("no such frame")
    return True


def _refusal(told: Mapping[str, Any]) -> EvidenceError:
    """What the inside refused, in its own words, cut to size and to plain values."""
    code, fix, detail = _code(told.get("code")), told.get("fix"), told.get("detail")
    if isinstance(detail, dict) and detail.get("error_class") == "OutOfMemoryException":
        return ended("memory_limit")
    named = {k: v for k, v in detail.items() if _NAME.fullmatch(k)} if isinstance(detail, dict) else {}
    plain: dict[str, Any] = {k: str(v)[:_LONG] if isinstance(v, str) else v for k, v in list(named.items())[:_MANY]}
    if refusals := told.get("refusals"):
        plain["refusals"] = tuple(_one_refusal(*one) for one in refusals[:_MANY])
    return EvidenceError(code, _text(told.get("text")), _text(fix) if fix else None, **plain)


def _one_refusal(code: str, step: str, line: int, column: int, text: Any, repair: Any) -> Refusal:
    if not isinstance(step, str) or type(line) is not int or type(column) is not int:
        raise ProtocolError("refusal")
    return Refusal(_code(code), _line(step)[:_LONG], line, column, _text(text), _text(repair))


def _code(told: Any) -> str:
    if not isinstance(told, str) or not _CODE.fullmatch(told):
        raise ProtocolError("code of a refusal")
    return told


def _text(told: Any) -> Text:
    if not isinstance(told, dict):
        raise ProtocolError("text of a refusal")
    zh, en = (_line(str(told.get(side, "")))[:_LONG] for side in ("zh", "en"))
    return Text(zh, en)


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _stop_if(cancelled: bool) -> None:
    if cancelled:
        raise ended("cancelled")


def _checked(evidence: Evidence, spec: JobSpec, sources: Mapping[str, Source], seeds: Seeds) -> Evidence:
    """What the platform knows itself is not taken from the jail."""
    from sandbox.products.spec import digest

    used = {alias: source.digest for alias, source in sources.items()}
    kinds = {key.kind for source in sources.values() for key in source.keys}
    told = [kind.kind for kind in evidence.kinds]
    if evidence.job != digest(spec) or dict(evidence.sources) != used or not seeds.fit(evidence):
        raise ended("protocol")
    if set(told) != kinds or len(told) != len(kinds):
        raise ended("protocol")
    return evidence


def _take_back(folder: Path) -> None:
    """The folder was the jail's; from here on it is the platform's alone. Files are judged when they are read."""
    os.chown(folder, os.geteuid(), os.getegid())
    folder.chmod(0o700)
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
            raise ended("protocol")
        os.chown(entry, os.geteuid(), os.getegid(), follow_symlinks=False)
        if not entry.is_symlink():
            entry.chmod(0o400)
