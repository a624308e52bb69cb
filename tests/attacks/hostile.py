"""What a hostile script tries from inside the jail. Sent into it as a merchant's script; needs nothing but Python.

An attempt is a function that returns when it **got through** and raises when something stopped it. The decorator says
what is expected: stopped in every tier, unless `weak` says otherwise. OPEN: without walls it does get through, which is
why weak allows no scripts. NOT_TRIED: it would damage the machine that has no walls. `BAIT` comes with the source.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STOPPED, OPEN, NOT_TRIED = "stopped", "open", "not tried"
BAIT: dict[str, Any] = {}
HOME = Path.cwd()
GIGABYTE = 1 << 30
COLUMN = 0 if platform.machine() == "x86_64" else 1
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long


class Nothing(Exception):
    """There was nothing to take."""


Attempt = Callable[[], object]
ATTEMPTS: dict[str, tuple[Attempt, str]] = {}


def attempt(*, weak: str = STOPPED, name: str = "") -> Callable[[Attempt], Attempt]:
    def keep(function: Attempt) -> Attempt:
        ATTEMPTS[name or function.__name__] = (function, weak)
        return function

    return keep


def main(form: str) -> None:
    """Try everything and say line by line what came of it; the last one may end this process."""
    for name, (function, weak) in ATTEMPTS.items():
        if form == "limits-only" and weak == NOT_TRIED:
            continue
        print(json.dumps({"name": name, "stopped": None, "by": "the process ended"}), flush=True)
        try:
            got = function()
            outcome: dict[str, Any] = {"name": name, "stopped": False, "by": repr(got)[:200]}
        except BaseException as error:
            code = error.errno if isinstance(error, OSError) else None
            by = os.strerror(code) if code else f"{type(error).__name__}: {error}"
            outcome = {"name": name, "stopped": True, "by": by[:200]}
        print(json.dumps(outcome), flush=True)


@attempt()
def inherited_descriptors() -> list[str]:
    """First of all, before anything is opened: the channels, the pipe of what is printed, /dev/null, nothing else."""
    found = []
    for number in range(3, 256):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if not target.startswith(("socket:", "pipe:", "/dev/null", "/proc/")):
            found.append(target)
    return _some(found)


# --- system calls that the filter has to refuse before the kernel looks at their arguments ---------------------------
# name: (x86_64, aarch64, arguments). Every argument is nonsense, so a call that is let through fails with another code.

CALLS: dict[str, tuple[int | None, int | None, tuple[int, ...]]] = {
    "ptrace_seize": (101, 117, (0x4206, 0, 0, 0)),
    "process_vm_readv": (310, 270, (0, 0, 0, 0, 0, 0)),
    "process_vm_writev": (311, 271, (0, 0, 0, 0, 0, 0)),
    "pidfd_open": (434, 434, (-1, 0)),
    "pidfd_getfd": (438, 438, (-1, 0, 0)),
    "compare_kernel_objects": (312, 272, (0, 0, 99, 0, 0)),
    "advise_anothers_memory": (440, 440, (-1, 0, 0, 0, 0)),
    "reap_anothers_memory": (448, 448, (-1, 0)),
    "move_anothers_pages": (279, 239, (-1, 0, 0, 0, 0, 0)),
    "mount": (165, 40, (0, 0, 0, 0, 0)),
    "umount": (166, 39, (0, 0)),
    "pivot_root": (155, 41, (0, 0)),
    "chroot": (161, 51, (0,)),
    "open_tree": (428, 428, (-1, 0, 0)),
    "move_mount": (429, 429, (-1, 0, -1, 0, 0)),
    "fsopen": (430, 430, (0, 0)),
    "fsmount": (432, 432, (-1, 0, 0)),
    "fspick": (433, 433, (-1, 0, 0)),
    "mount_setattr": (442, 442, (-1, 0, 0, 0, 0)),
    "setns": (308, 268, (-1, 0)),
    "clone3": (435, 435, (0, 0)),
    "open_by_handle": (304, 265, (-1, 0, 0)),
    "name_to_handle": (303, 264, (-1, 0, 0, 0, 0)),
    "make_device": (259, 33, (-1, 0, 0o20666, 0x0103)),
    "bpf": (321, 280, (0, 0, 0)),
    "perf_event_open": (298, 241, (0, 0, -1, -1, 0)),
    "userfaultfd": (323, 282, (-1,)),
    "io_uring_setup": (425, 425, (0, 0)),
    "io_uring_enter": (426, 426, (-1, 0, 0, 0, 0, 0)),
    "add_key": (248, 217, (0, 0, 0, 0, 0)),
    "request_key": (249, 218, (0, 0, 0, 0)),
    "keyctl": (250, 219, (99, 0, 0, 0, 0)),
    "kexec_load": (246, 104, (0, 0, 0, 0)),
    "kexec_file_load": (320, 294, (-1, -1, 0, 0, 0)),
    "load_kernel_module": (175, 105, (0, 0, 0)),
    "load_kernel_module_by_file": (313, 273, (-1, 0, 0)),
    "remove_kernel_module": (176, 106, (0, 0)),
    "reboot": (169, 142, (0, 0, 0, 0)),
    "swapon": (167, 224, (0, 0)),
    "swapoff": (168, 225, (0,)),
    "quotactl": (179, 60, (0, 0, 0, 0)),
    "process_accounting": (163, 89, (1,)),
    "kernel_log": (103, 116, (3, 0, 0)),
    "set_time_of_day": (164, 170, (1, 1)),
    "set_clock": (227, 112, (99, 0)),
    "adjust_time": (159, 171, (1,)),
    "adjust_clock": (305, 266, (99, 0)),
    "set_host_name": (170, 161, (0, -1)),
    "set_domain_name": (171, 162, (0, -1)),
    "ports_privilege": (172, None, (9,)),
    "ports_permission": (173, None, (0, 0, 1)),
    "modify_descriptor_table": (154, None, (99, 0, 0)),
    "personality": (135, 92, (0xFFFFFFFF,)),
    "hang_up_terminal": (153, 58, ()),
    "watch_file_system": (300, 262, (-1, 0)),
    "mark_watched": (301, 263, (-1, 0, 0, -1, 0)),
    "splice_pages_in": (278, 75, (-1, 0, 0, 0)),
    "old_shared_library": (134, None, (0,)),
    "file_system_types": (139, None, (99, 0, 0)),
    "old_system_controls": (156, None, (0,)),
    "memory_as_a_file": (319, 279, (0, -1)),
    "secret_memory": (447, 447, (-1,)),
    "shared_memory_segment": (29, 194, (0, 0, 0)),
    "message_queue": (68, 186, (0, -1)),
    "named_message_queue": (240, 180, (0, 0, 0, 0)),
    "semaphores": (64, 190, (0, -1, 0)),
    "take_space_at_once": (285, 47, (-1, 0, 0, 1)),
    "priority_of_others": (141, 140, (99, 1, 0)),
    "io_priority_of_others": (251, 30, (99, 1, 0)),
    "scheduler_of_others": (144, 119, (1, -1, 0)),
    "affinity_of_others": (203, 122, (1, 0, 0)),
    "limits_of_others": (302, 261, (1, 99, 0, 0)),
    "newer_than_the_table_statmount": (457, 457, (0, 0, 0, 0)),
    "newer_than_the_table_listmount": (458, 458, (0, 0, 0, 0)),
    "newer_than_the_table_cachestat": (451, None, (-1, 0, 0, 0)),
    "newer_than_the_table_shadow_stack": (453, 453, (0, 0, 0)),
    "newer_than_the_table_futex": (454, 454, (0, 0, 0, 0)),
    "newer_than_the_table_open_tree_attr": (467, 467, (-1, 0, 0, 0, 0)),
    "not_yet_invented": (700, 700, ()),
    "second_table_x32": (0x40000000 | 39, None, ()),
}


def _raw(numbers: tuple[int | None, int | None], arguments: tuple[int, ...]) -> None:
    number = numbers[COLUMN]
    if number is None:
        raise Nothing("this processor has no such call")
    ctypes.set_errno(0)
    answer = LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in arguments))
    code = ctypes.get_errno()
    if answer == -1 and code in (errno.EPERM, errno.ENOSYS):
        raise OSError(code, os.strerror(code))


def _call(name: str) -> Attempt:
    x86, arm, arguments = CALLS[name]
    return lambda: _raw((x86, arm), arguments)


for _name in CALLS:
    attempt(name=f"call_{_name}")(_call(_name))

NAMESPACES = {"mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000,
              "pid": 0x20000000, "net": 0x40000000, "time": 0x80}  # fmt: skip
for _name, _flag in NAMESPACES.items():
    attempt(name=f"unshare_{_name}")(lambda flag=_flag: _raw((272, 97), (flag,)))  # type: ignore[misc]
    if _name != "time":  # clone has no room for it
        attempt(name=f"clone_{_name}", weak=NOT_TRIED)(lambda flag=_flag: _clone(flag))  # type: ignore[misc]


def _clone(flag: int) -> None:
    answer = LIBC.syscall(ctypes.c_long(56 if COLUMN == 0 else 220), ctypes.c_long(flag | 17), 0, 0, 0, 0)
    if answer == 0:
        os._exit(0)
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.waitpid(answer, 0)


# --- the network ---------------------------------------------------------------------------------------------------

FAMILIES = {"unix": 1, "inet": 2, "ax25": 3, "inet6": 10, "key": 15, "netlink": 16, "packet": 17, "llc": 26, "can": 29,
            "tipc": 30, "bluetooth": 31, "alg": 38, "vsock": 40, "xdp": 44, "smc": 43}  # fmt: skip
for _name, _family in FAMILIES.items():
    for _kind in (1, 2, 3):
        attempt(name=f"socket_{_name}_{('stream', 'datagram', 'raw')[_kind - 1]}")(
            lambda family=_family, kind=_kind: _raw((41, 198), (family, kind, 0))  # type: ignore[misc]
        )


@attempt()
def socket_pair_of_another_family() -> object:
    return socket.socketpair(socket.AF_INET, socket.SOCK_STREAM)


@attempt()
def connect_with_a_local_socket() -> None:
    """A socket pair is allowed; its ends must lead nowhere else."""
    first, _second = socket.socketpair()
    first.connect("\0" + BAIT["abstract"])


@attempt()
def send_to_an_abstract_address() -> None:
    """sendto has to be allowed for the inherited pair; an end of a datagram pair would send to any address."""
    first, _second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    first.sendto(b"x", "\0" + BAIT["datagrams"])


@attempt()
def send_to_the_path_of_a_socket() -> None:
    first, _second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    first.sendto(b"x", BAIT["datagram_path"])


@attempt()
def send_to_an_address_by_a_stream() -> None:
    first, _second = socket.socketpair()
    first.sendto(b"x", "\0" + BAIT["datagrams"])


@attempt()
def send_to_an_address_by_packets() -> None:
    """The kernel drops the address: the packet arrives at the other end of the pair and nowhere else."""
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    first.sendto(b"x", "\0" + BAIT["datagrams"])
    second.settimeout(1)
    if second.recv(1) == b"x":
        raise Nothing("it came back to ourselves")


@attempt()
def bind_a_local_socket() -> None:
    first, _second = socket.socketpair()
    first.bind(str(HOME / "door"))


@attempt()
def listen_on_the_inherited_socket() -> None:
    socket.socket(fileno=os.dup(3)).listen()


# --- files -----------------------------------------------------------------------------------------------------------


@attempt(weak=OPEN)
def read_another_workspace() -> str:
    return Path(BAIT["secret"]).read_text()


@attempt(weak=OPEN)
def read_another_workspace_by_dots() -> str:
    return Path(os.path.relpath(BAIT["secret"], HOME)).read_text()


@attempt(weak=OPEN)
def read_through_a_link_that_was_there() -> str:
    return (HOME / "planted").read_text()


@attempt(weak=OPEN)
def read_users() -> str:
    return Path("/etc/passwd").read_text()


@attempt(weak=OPEN)
def read_secrets_of_the_machine() -> list[str]:
    places = ("/root", "/home", "/etc/ssh", "/run/secrets", "/var/lib")
    ours = (sys.base_prefix, *sys.path)  # an interpreter in a home folder has its parents, and nothing beside them
    found = [f"{folder}/{name}" for folder in places for name in _list(folder)]
    return _some([path for path in found if not any(f"{own}/".startswith(f"{path}/") for own in ours)])


@attempt(weak=OPEN)
def read_the_platforms_other_code() -> list[str]:
    return _some(_list(f"{BAIT['package']}/../kernel") + _list("/platform/sandbox/kernel"))


@attempt(weak=OPEN)
def read_configuration_beside_the_interpreter() -> list[str]:
    names = {"pip.conf", ".env", ".netrc", ".pypirc", "pyvenv.cfg", "credentials"}
    places = {str(parent) for entry in (sys.executable, *sys.path) for parent in Path(entry or "/").parents}
    return _some([name for place in places for name in _list(place) if name in names])


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _some(found: list[str]) -> list[str]:
    if not found:
        raise Nothing("nothing of it is here")
    return found


@attempt()
def second_name_for_a_granted_file() -> None:
    os.link(BAIT["grant"], HOME / "second")


@attempt()
def second_name_by_descriptor() -> None:
    handle = os.open(BAIT["grant"], os.O_RDONLY)
    os.link(f"/proc/self/fd/{handle}", HOME / "second", follow_symlinks=True)


@attempt()
def symbolic_link() -> None:
    (HOME / "link").symlink_to("/etc")


@attempt(weak=NOT_TRIED)
def take_another_workspaces_file_away() -> None:
    Path(BAIT["secret"]).rename(HOME / "taken")


@attempt(weak=NOT_TRIED)
def change_rights_of_a_granted_file() -> None:
    Path(BAIT["grant"]).chmod(0o666)
    os.close(os.open(BAIT["grant"], os.O_WRONLY))


@attempt(weak=NOT_TRIED)
def write_to_a_granted_file_by_its_descriptor() -> None:
    handle = os.open(BAIT["grant"], os.O_RDONLY)
    os.close(os.open(f"/proc/self/fd/{handle}", os.O_RDWR))


@attempt(weak=NOT_TRIED)
def write_to_the_platforms_code() -> None:
    refused: OSError = FileNotFoundError(errno.ENOENT, "no code found")
    for folder in ("/platform/sandbox/workspaces", BAIT["package"]):
        try:
            os.close(os.open(f"{folder}/guard.py", os.O_RDWR))
        except OSError as error:
            refused = error
        else:
            return
    raise refused


@attempt(weak=NOT_TRIED)
def write_to_the_interpreter() -> None:
    os.close(os.open(os.__file__, os.O_RDWR))


@attempt(weak=NOT_TRIED)
def write_to_a_control_group() -> None:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _number, names, own = line.split(":", 2)
        place = f"/sys/fs/cgroup/{names}{own}/cgroup.procs"
        if os.path.exists(place):
            os.close(os.open(place, os.O_WRONLY))
            return
    raise Nothing("no control group is visible")


@attempt(weak=NOT_TRIED)
def write_settings_of_the_kernel() -> None:
    refused: OSError | None = None
    for place in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/overcommit_memory"):
        try:
            os.close(os.open(place, os.O_WRONLY))
        except OSError as error:
            refused = error
        else:
            return
    raise refused or Nothing("none")


@attempt(weak=NOT_TRIED)
def read_memory_of_the_kernel() -> int:
    refused: OSError | None = None
    for place in ("/proc/kcore", "/dev/mem", "/dev/kmem", "/dev/kmsg", "/proc/kmsg", "/dev/port"):
        try:
            return os.open(place, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            refused = error
    raise refused or Nothing("none")


@attempt()
def addresses_in_the_kernel() -> str:
    text = Path("/proc/kallsyms").read_text()
    if not text.strip("0123456789abcdefABCDEF \n\t").strip() or text.startswith("0000000000000000"):
        raise Nothing("addresses are hidden")
    return text[:100]


@attempt(weak=OPEN)
def devices() -> list[str]:
    harmless = {"null", "urandom", "random"}
    return _some([name for name in _list("/dev") if name not in harmless])


@attempt(weak=OPEN)
def terminal() -> int:
    refused: OSError | None = None
    for place in ("/dev/ptmx", "/dev/pts/ptmx", "/dev/tty", "/dev/console"):
        try:
            return os.open(place, os.O_RDWR | os.O_NOCTTY)
        except OSError as error:
            refused = error
    raise refused or Nothing("none")


@attempt(weak=OPEN)
def system_information() -> list[str]:
    return _some([name for name in _list("/sys") if name != "fs"])


@attempt()
def program_with_anothers_rights() -> None:
    subprocess.run(["/usr/bin/mount"], check=True)


@attempt(weak=NOT_TRIED)
def own_program_with_anothers_rights() -> None:
    program = HOME / "mine"
    program.write_bytes(Path(sys.executable).read_bytes()[: 1 << 16])
    program.chmod(0o6755)
    os.execv(program, [str(program)])


@attempt()
def program_in_memory() -> None:
    os.execve(os.open(sys.executable, os.O_RDONLY), ["python"], {})


@attempt()
def mount_table_names_others() -> str:
    """The own table of mounts names host paths: those of the own folder and grants only."""
    text = Path("/proc/self/mountinfo").read_text()
    if str(Path(BAIT["secret"]).parent) in text:
        return text
    raise Nothing("no other workspace in it")


# --- process 1 and the platform ------------------------------------------------------------------------------------

for _name, _place in {
    "root": "root", "cwd": "cwd", "descriptors": "fd", "memory": "mem", "mappings": "map_files",
    "environment": "environ", "executable": "exe", "namespaces": "ns/net", "system_call": "syscall", "stack": "stack",
}.items():  # fmt: skip
    for _whose in ("first_process", "parent", "platform"):
        attempt(weak=NOT_TRIED, name=f"proc_{_name}_of_{_whose}")(
            lambda whose=_whose, place=_place: _proc(whose, place)  # type: ignore[misc]
        )


def _proc(whose: str, place: str) -> object:
    pid = {"first_process": 1, "parent": os.getppid(), "platform": BAIT["platform_pid"]}[whose]
    if pid in (0, os.getpid()):
        raise Nothing("nobody in this table of processes")
    path = f"/proc/{pid}/{place}"
    if place in ("fd", "map_files"):
        found = [os.stat(f"{path}/{name}").st_ino for name in os.listdir(path)]
        return _some([str(n) for n in found])
    if place in ("root", "cwd"):
        return os.listdir(f"{path}/")
    if place in ("exe", "ns/net"):
        return os.stat(path).st_ino
    with open(path, "rb") as file:
        if place == "mem":
            return file  # opening it is all it takes
        content = file.read(100)
    if not content.strip(b"\0\n "):
        raise Nothing("it is empty")
    return content


@attempt(weak=NOT_TRIED)
def other_workspace_through_the_first_process() -> str:
    for pid in (1, os.getppid(), BAIT["platform_pid"]):
        try:
            return Path(f"/proc/{pid}/root{BAIT['secret']}").read_text()
        except OSError:
            continue
    raise Nothing("not through any of them")


@attempt(weak=NOT_TRIED)
def signal_everybody() -> None:
    """To -1: all one may signal. It answers well even when nobody was reached; the platform tells whether it was."""
    os.kill(-1, signal.SIGURG)
    raise Nothing("sent, to whomever it may have reached")


@attempt(weak=OPEN)
def signal_the_platform() -> None:
    os.kill(BAIT["platform_pid"], 0)


@attempt(weak=OPEN)
def signal_the_platforms_group() -> None:
    os.killpg(BAIT["platform_group"], 0)


@attempt(weak=OPEN)
def signal_a_thread_of_the_platform() -> None:
    _refused(234, 131, BAIT["platform_pid"], BAIT["platform_pid"], 0)  # tgkill


@attempt(weak=OPEN)
def queue_a_signal_to_the_platform() -> None:
    information = ctypes.create_string_buffer(struct.pack("=iii", 0, 0, -1) + bytes(116))  # SI_QUEUE
    _refused(129, 138, BAIT["platform_pid"], 0, information)


@attempt(weak=OPEN)
def signal_the_platform_by_its_folder() -> None:
    handle = os.open(f"/proc/{BAIT['platform_pid']}", os.O_RDONLY | os.O_DIRECTORY)
    _refused(424, 424, handle, 0, None, 0)  # pidfd_send_signal


@attempt()
def lower_the_platforms_limits() -> None:
    resource.prlimit(BAIT["platform_pid"], resource.RLIMIT_CORE, (0, 0))


@attempt()
def slow_the_platform_down() -> None:
    os.setpriority(os.PRIO_PROCESS, BAIT["platform_pid"], os.getpriority(os.PRIO_PROCESS, 0))


@attempt()
def bind_the_platform_to_one_core() -> None:
    os.sched_setaffinity(BAIT["platform_pid"], os.sched_getaffinity(0))


def _refused(x86: int, arm: int, *arguments: Any) -> None:
    if LIBC.syscall(ctypes.c_long((x86, arm)[COLUMN]), *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


# --- privileges ------------------------------------------------------------------------------------------------------


@attempt()
def capabilities() -> str:
    held = [line for line in _status() if line.startswith("Cap")]
    if all(int(line.split()[1], 16) == 0 for line in held if BAIT["root"] or not line.startswith("CapBnd")):
        raise Nothing("none")
    return str(held)


@attempt()
def new_privileges() -> None:
    if "NoNewPrivs:\t1" in _status() and "Seccomp:\t2" in _status():
        LIBC.prctl(38, 0, 0, 0, 0)
        raise Nothing("can never be had again")


@attempt()
def get_rid_of_the_filter() -> None:
    if LIBC.prctl(22, 0, None, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@attempt()
def raise_capabilities() -> None:
    everything = struct.pack("=6I", *([0xFFFFFFFF] * 2 + [0] + [0xFFFFFFFF] * 3))
    if LIBC.capset(struct.pack("=Ii", 0x20080522, 0), everything) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@attempt()
def keep_a_capability_for_programs() -> None:
    if LIBC.prctl(47, 2, 21, 0, 0) != 0:  # PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@attempt()
def become_another_user() -> None:
    _refused(117, 147, 12345, 12345, 12345)  # not by libc, which ends the process when its threads disagree


@attempt()
def join_other_groups() -> None:
    _refused(116, 159, 2, ctypes.create_string_buffer(struct.pack("=2I", 0, 42)))


@attempt()
def raise_every_limit() -> list[str]:
    raised = []
    for name in ("DATA", "FSIZE", "NPROC", "NOFILE", "CORE", "MEMLOCK", "CPU"):
        what = getattr(resource, f"RLIMIT_{name}")
        _soft, hard = resource.getrlimit(what)
        if hard == resource.RLIM_INFINITY:
            raised.append(f"{name} has no limit")
            continue
        try:
            resource.setrlimit(what, (hard + 1, hard + 1))
        except (OSError, ValueError):
            continue
        raised.append(name)
    return _some(raised)


@attempt()
def dump_core() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))


@attempt()
def lock_memory() -> None:
    if LIBC.mlockall(3) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _status() -> list[str]:
    return Path("/proc/self/status").read_text().splitlines()


# --- what came in with the process ---------------------------------------------------------------------------------


@attempt()
def environment() -> list[str]:
    """What the jail sets itself: places, and how many threads libraries may start."""
    ours = {"HOME", "TMPDIR", "LANG", "PATH", "LC_CTYPE", "PWD", "MPLCONFIGDIR", "MPLBACKEND"}
    tuning = ("_THREADS", "_CPU_COUNT", "_MULTIPROCESSING", "_CONF")
    return _some([f"{k}={v}" for k, v in os.environ.items() if k not in ours and not k.endswith(tuning)])


@attempt(weak=OPEN)
def command_line_of_the_platform() -> str:
    return Path(f"/proc/{BAIT['platform_pid']}/cmdline").read_text() or _some([])[0]


# --- using up the machine --------------------------------------------------------------------------------------------


@attempt()
def type_into_the_terminal() -> None:
    fcntl.ioctl(0, 0x5412, b"x")


@attempt()
def reserve_space_by_an_old_request() -> None:
    with open(HOME / "reserved", "wb") as file:
        fcntl.ioctl(file, 0x4030582A, struct.pack("=hhqqiI4i", 0, 0, 0, 1 << 24, 0, 0, 0, 0, 0, 0))


@attempt()
def reserve_space() -> None:
    with open(HOME / "reserved", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 1 << 24)


@attempt()
def memory_private() -> object:
    return bytearray(4 * GIGABYTE)


@attempt()
def memory_in_small_pieces() -> list[mmap.mmap]:
    return [mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE) for _ in range(4096)]


@attempt()
def memory_shared() -> object:
    return mmap.mmap(-1, 4 * GIGABYTE)


@attempt()
def memory_as_a_stack() -> object:
    """A mapping that grows downwards is counted as a stack, whatever its size."""
    return mmap.mmap(-1, 4 * GIGABYTE, flags=mmap.MAP_PRIVATE | 0x0100)


@attempt(weak=OPEN)
def memory_of_the_zero_device() -> object:
    return mmap.mmap(os.open("/dev/zero", os.O_RDONLY), 4 * GIGABYTE, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)


@attempt()
def memory_by_stacks_of_threads() -> None:
    threading.stack_size(GIGABYTE)
    try:
        _threads(8)
    finally:
        threading.stack_size(0)


@attempt()
def four_gigabytes_in_one_file() -> None:
    with open(HOME / "big", "wb") as file:
        file.truncate(4 * GIGABYTE)


@attempt(weak=NOT_TRIED)
def four_gigabytes_of_temporary_files() -> None:
    """Each below the limit of one file. Where /tmp is no sized file system the platform's bound ends it instead."""
    if BAIT["form"] == "landlock":
        raise Nothing("measured by the platform: see test_disk")
    block, folder = bytes(1 << 20), Path(tempfile.gettempdir())
    try:
        for number in range(4096):
            (folder / str(number)).write_bytes(block)
    finally:
        for file in folder.iterdir():
            file.unlink()


@attempt()
def descriptors_without_end() -> None:
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(1)]
    try:
        while len(held) < 5000:
            held.append(os.dup(held[0]))
    finally:
        for handle in held:
            os.close(handle)


@attempt(weak=NOT_TRIED)
def threads_without_end() -> None:
    """Bounded by the limit on processes, which for root binds only where there is a control group or an own UID."""
    _threads(2000)


def _threads(wanted: int) -> None:
    over, started = threading.Event(), []
    try:
        for _ in range(wanted):
            thread = threading.Thread(target=over.wait, daemon=True)
            thread.start()
            started.append(thread)
    finally:
        over.set()
        for thread in started:
            thread.join()


@attempt(weak=NOT_TRIED)
def processes_without_end() -> None:
    children = []
    try:
        for _ in range(2000):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


@attempt(weak=NOT_TRIED)
def processes_by_vfork() -> None:
    """vfork and posix_spawn start programs; there is none to start."""
    os.posix_spawn(sys.executable, [sys.executable, "-c", "0"], {})


@attempt(weak=NOT_TRIED)
def call_by_the_32_bit_gate() -> None:
    """int 0x80: another table of calls, numbered differently. Ends the process, so it is the last one."""
    if COLUMN == 1:
        raise Nothing("this processor has no such gate")
    left = ctypes.c_int(1)
    while left.value:  # what was printed so far is still on its way
        fcntl.ioctl(1, termios.FIONREAD, left)
    time.sleep(0.2)
    gate = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | 0x20, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    gate.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20 (getpid); int 0x80; ret
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(gate)))()
