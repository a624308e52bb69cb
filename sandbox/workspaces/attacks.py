"""The attacks the platform runs against its own jail at start-up. Runs inside, with bait laid outside.

An attack is a function that returns normally when it **got through** and raises when something stopped it; what it
raised is the evidence. Targets come in `setting.extra` (see `selftest.py`).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from sandbox.workspaces.engine import literal, open_locked
from sandbox.workspaces.inside import LIMITS_ONLY, Setting
from sandbox.workspaces.protocol import Channel

GIGABYTE = 1 << 30
PLANTED = "planted-by-the-self-test"
_FORKS = 400
_CLONE_NEWUSER = 0x10000000


class Stopped(Exception):
    """The attack found nothing to take."""


Attempt = Callable[[Setting], object]
ATTACKS: list[tuple[str, Attempt]] = []
# Without walls (limits-only) nothing of the system may be touched: only these are tried, and weak is all it can be.
WITHOUT_WALLS = ("locked_duckdb_", "four_gigabytes_of_memory", "four_gigabytes_in_a_file", "raise_own_limits")


def attack(function: Attempt) -> Attempt:
    ATTACKS.append((function.__name__, function))
    return function


def run(setting: Setting, data: Channel, control: Channel) -> None:
    """Try everything, in order, and report what stopped each attempt."""
    attempts = [a for a in ATTACKS if setting.form != LIMITS_ONLY or a[0].startswith(WITHOUT_WALLS)]
    for name, function in attempts:
        try:
            function(setting)
            data.send({"is": "attack", "name": name, "stopped": False, "by": "nothing"})
        except (Exception, MemoryError) as error:
            data.send({"is": "attack", "name": name, "stopped": True, "by": _evidence(error)})
    data.send({"is": "end", "count": len(attempts)})


def _evidence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    if isinstance(error, Stopped | ValueError):
        return str(error)
    return type(error).__name__


def _libc(name: str, *arguments: Any) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(getattr(libc, name)(*arguments))
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


# --- files -----------------------------------------------------------------------------------------------------------


@attack
def read_other_workspace(setting: Setting) -> object:
    return Path(setting.extra["secret"]).read_text()


@attack
def read_etc_passwd(setting: Setting) -> object:
    return Path("/etc/passwd").read_text()


@attack
def read_etc_shadow(setting: Setting) -> object:
    return Path("/etc/shadow").read_text()


@attack
def symlink_out(setting: Setting) -> object:
    Path(setting.home, "innocent").symlink_to(setting.extra["secret"])
    return Path(f"{setting.home}/innocent").read_text()


@attack
def hard_link_to_grant(setting: Setting) -> None:
    os.link(setting.extra["grant"], f"{setting.home}/second-name")


@attack
def planted_symlink(setting: Setting) -> object:
    """A link that was already lying in the own folder, as an earlier weaker jail could have left it."""
    return Path(f"{setting.home}/planted").read_text()


@attack
def list_host_folders(setting: Setting) -> object:
    return list(Path(setting.extra["secret"]).parent.iterdir())


@attack
def write_system(setting: Setting) -> object:
    return _plant(f"/usr/{PLANTED}")


@attack
def write_granted_data(setting: Setting) -> object:
    grant = Path(setting.extra["grant"])
    grant.chmod(0o600)
    return grant.write_text("x")


@attack
def write_outside_own_folder(setting: Setting) -> object:
    refused = []
    for folder in ("", "/dev/shm", "/dev", "/var/tmp", "/platform"):  # noqa: S108 — targets, not used otherwise
        try:
            return _plant(f"{folder}/{PLANTED}")
        except OSError as error:
            refused.append(error)
    raise refused[0]


def _plant(place: str) -> str:
    """Write a file and take it away again: an attack that gets through must not damage the host."""
    handle = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    os.close(handle)
    Path(place).unlink()
    return place


# --- other processes -------------------------------------------------------------------------------------------------


@attack
def list_processes(setting: Setting) -> object:
    """Seeing bwrap (1) and itself is no finding; seeing the platform is."""
    seen = []
    for number in (p.name for p in Path("/proc").iterdir() if p.name.isdigit() and int(p.name) != os.getpid()):
        try:
            seen.append(Path(f"/proc/{number}/cmdline").read_bytes())
        except OSError:
            continue
    if not any(setting.extra["marker"].encode() in line for line in seen):
        raise Stopped(f"{len(seen)} other processes visible, none of the platform")
    return seen


@attack
def read_process_environment(setting: Setting) -> object:
    refused: list[OSError] = []
    for number in (1, os.getppid(), setting.extra["platform_pid"]):
        if number == os.getpid():
            continue
        try:
            content = Path(f"/proc/{number}/environ").read_bytes()
        except OSError as error:
            refused.append(error)
        else:
            if content:
                return content
    raise refused[0] if refused else Stopped("environment of the parent is empty")


@attack
def signal_platform(setting: Setting) -> None:
    os.kill(_not_me(setting.extra["platform_pid"]), 0)


@attack
def lower_platform_limits(setting: Setting) -> None:
    """Where the platform has the same user id, the kernel alone would allow it."""
    resource.prlimit(_not_me(setting.extra["platform_pid"]), resource.RLIMIT_CORE, (0, 0))


@attack
def trace_parent(setting: Setting) -> object:
    target = os.getppid() or setting.extra["platform_pid"]
    return _libc("ptrace", 0x4206, target, None, None)  # PTRACE_SEIZE: does not stop the target


@attack
def read_parent_memory(setting: Setting) -> object:
    handle = os.open(f"/proc/{os.getppid() or setting.extra['platform_pid']}/mem", os.O_RDONLY)
    os.close(handle)
    return handle


def _not_me(number: int) -> int:
    if number == os.getpid():
        raise Stopped("another process table")
    return number


# --- privileges and namespaces ---------------------------------------------------------------------------------------


@attack
def nested_user_namespace(setting: Setting) -> object:
    return _libc("unshare", _CLONE_NEWUSER)


@attack
def mount_something(setting: Setting) -> object:
    return _libc("mount", b"none", setting.temporary.encode(), b"tmpfs", 0, None)


@attack
def become_root(setting: Setting) -> object:
    os.setresuid(0, 0, 0)
    if Path("/proc/self/status").read_text().find("CapEff:\t00000000") > 0:
        raise Stopped("UID 0 without any capability")
    return os.getuid()


@attack
def raise_own_limits(setting: Setting) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@attack
def kernel_keyring(setting: Setting) -> object:
    return _libc("syscall", 250 if os.uname().machine == "x86_64" else 219, 0, -3, 1)


@attack
def async_io_ring(setting: Setting) -> object:
    return _libc("syscall", 425, 1, ctypes.create_string_buffer(256))


# --- network ---------------------------------------------------------------------------------------------------------


@attack
def tcp_to_host(setting: Setting) -> object:
    return socket.create_connection(("127.0.0.1", setting.extra["tcp_port"]), timeout=1)


@attack
def udp_to_host(setting: Setting) -> object:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.settimeout(0.5)
    sender.sendto(b"ping", ("127.0.0.1", setting.extra["udp_port"]))
    return sender.recv(4)


@attack
def host_abstract_socket(setting: Setting) -> None:
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    caller.settimeout(0.5)
    caller.connect("\0" + setting.extra["abstract"])


@attack
def datagrams_by_a_local_pair(setting: Setting) -> object:
    """An end of such a pair sends to any path or name outside, without ever having been connected."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)


# --- what came in with the process -----------------------------------------------------------------------------------


@attack
def inherited_descriptors(setting: Setting) -> object:
    sockets = 0
    for number in range(3, 256):
        try:
            kind = os.fstat(number).st_mode
        except OSError:
            continue
        sockets += stat.S_ISSOCK(kind)
        if not stat.S_ISSOCK(kind) and not stat.S_ISCHR(kind):
            return number
    if sockets != 2:
        return sockets
    raise Stopped("only the two inherited sockets")


@attack
def secrets_in_environment(setting: Setting) -> object:
    ours = {b"HOME", b"TMPDIR", b"LANG", b"PATH", b"PWD", b"LC_CTYPE"}
    found = [e for e in Path("/proc/self/environ").read_bytes().split(b"\0") if e and e.split(b"=")[0] not in ours]
    if not found and not set(os.environb) - ours:
        raise Stopped("empty environment")
    return found


# --- programs --------------------------------------------------------------------------------------------------------


@attack
def run_system_program(setting: Setting) -> object:
    return subprocess.run(["/usr/bin/id"], capture_output=True, check=True)


@attack
def run_own_program(setting: Setting) -> object:
    program = Path(setting.home, "program")
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    return subprocess.run([str(program)], capture_output=True, check=True)


# --- DuckDB ----------------------------------------------------------------------------------------------------------


@attack
def unlocked_duckdb_reads_other_workspace(setting: Setting) -> object:
    """Even with DuckDB's protection off, the file must not be there."""
    con = duckdb.connect(config={"threads": 1, "async_threads": 1})
    return _found(con, f"SELECT * FROM read_text({literal(setting.extra['secret'])})")


def _locked(setting: Setting, sql: str) -> object:
    con = open_locked(
        ":memory:", home=setting.home, temporary=setting.temporary, limits=setting.limits, tables=setting.tables
    )
    return _found(con, sql)


def _found(con: duckdb.DuckDBPyConnection, sql: str) -> object:
    """Rows are a success; so is a statement that is none of a question and raises nothing."""
    try:
        found = con.execute(sql).fetchall()
    finally:
        con.close()
    if not found and sql.startswith("SELECT"):
        raise Stopped("nothing found")
    return found


@attack
def locked_duckdb_reads_other_workspace(setting: Setting) -> object:
    return _locked(setting, f"SELECT * FROM read_text({literal(setting.extra['secret'])})")


@attack
def locked_duckdb_reads_environment(setting: Setting) -> object:
    return _locked(setting, "SELECT * FROM read_blob('/proc/self/environ')")


@attack
def locked_duckdb_lists_files(setting: Setting) -> object:
    return _locked(setting, "SELECT * FROM glob('/usr/*')")


@attack
def locked_duckdb_attaches_elsewhere(setting: Setting) -> object:
    return _locked(setting, "ATTACH '/var/tmp/elsewhere.duckdb' AS elsewhere")


@attack
def locked_duckdb_writes_elsewhere(setting: Setting) -> object:
    return _locked(setting, "COPY (SELECT 1) TO '/var/tmp/elsewhere.csv'")


@attack
def locked_duckdb_unlocks(setting: Setting) -> object:
    return _locked(setting, "SET enable_external_access = true")


@attack
def locked_duckdb_loads_extension(setting: Setting) -> object:
    return _locked(setting, f"LOAD {literal(setting.home + '/planted.duckdb_extension')}")


# --- using up the machine; last, because these leave traces ----------------------------------------------------------


@attack
def four_gigabytes_of_memory(setting: Setting) -> object:
    return bytearray(4 * GIGABYTE)


@attack
def four_gigabytes_of_shared_memory(setting: Setting) -> object:
    return mmap.mmap(-1, 4 * GIGABYTE)


@attack
def four_gigabytes_of_stack(setting: Setting) -> object:
    """A mapping that grows downwards is counted as a stack, whatever its size."""
    return mmap.mmap(-1, 4 * GIGABYTE, flags=mmap.MAP_PRIVATE | 0x0100)


@attack
def four_gigabytes_of_zero_device(setting: Setting) -> object:
    handle = os.open("/dev/zero", os.O_RDONLY)
    return mmap.mmap(handle, 4 * GIGABYTE, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)


@attack
def space_without_writing(setting: Setting) -> None:
    with Path(setting.home, "reserved").open("wb") as out:
        os.posix_fallocate(out.fileno(), 0, 1 << 20)


@attack
def memory_as_a_file(setting: Setting) -> object:
    return os.memfd_create("room")


@attack
def four_gigabytes_in_a_file(setting: Setting) -> object:
    place = Path(setting.home, "big")
    try:
        with place.open("wb") as out:
            return out.truncate(4 * GIGABYTE)
    finally:
        place.unlink(missing_ok=True)


@attack
def fork_bomb(setting: Setting) -> object:
    children: list[int] = []
    try:
        for _ in range(_FORKS):
            children.append(_fork())
    except OSError as error:
        raise Stopped(f"{os.strerror(error.errno or 0)} after {len(children)}") from error
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
    return children


def _fork() -> int:
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)
    return child
