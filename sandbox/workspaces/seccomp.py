"""The system-call filter, assembled by hand so that running needs no libseccomp.

A classic BPF program over `struct seccomp_data` (nr at 0, arch at 4, args at 16). Everything is allowed except what
is listed; numbers newer than the tables answer ENOSYS, so a future call is not open by accident.
Read on both sides of the wall: standard library only. Source of numbers: Linux 6.1 unistd headers.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

# Classic BPF (linux/filter.h, linux/bpf_common.h)
LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
IF_ABOVE = 0x25  # BPF_JMP | BPF_JGT | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K

ALLOW = 0x7FFF0000
KILL = 0x80000000  # SECCOMP_RET_KILL_PROCESS
ERRNO = 0x00050000

NUMBER, ARCH = 0, 4
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2

# CLONE_NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET. CLONE_NEWTIME shares bits with the exit signal of clone
# and exists only for clone3 and unshare, both of which are denied whole.
NAMESPACE_FLAGS = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
CLONE_THREAD = 0x00010000
SHARED_ANONYMOUS = 0x01 | 0x20  # MAP_SHARED|MAP_ANONYMOUS: memory that RLIMIT_DATA does not count
GROWS_DOWN = 0x0100  # MAP_GROWSDOWN: counted as a stack, not as data, whatever its size
AF_UNIX = 1
SOCK_DGRAM = 2  # of a pair too such an end sends to any address outside, and Landlock does not see paths of sockets
# TIOCSTI, TIOCLINUX type into the terminal; FS_IOC_RESVSP, RESVSP64, ZERO_RANGE are further names of fallocate
REFUSED_REQUESTS = (0x5412, 0x541C, 0x40305828, 0x4030582A, 0x40305839)
SIGCHLD = 17  # the time of a child whose end its parent ignores is in nobody's account (usage.py)

# name: (x86_64, aarch64); None where the architecture lacks the call.
DENIED: dict[str, tuple[int | None, int | None]] = {
    # sockets: the inherited pair needs only read, write, sendto, recvfrom, sendmsg, recvmsg
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "process_mrelease": (448, 448),
    # limits and priorities of others: without an own UID the platform is one of them
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setscheduler": (144, 119), "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    # mounts and namespaces
    "mount": (165, 40), "umount2": (166, 39), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268),
    # a second name for a file outside would pass DuckDB's allowed_directories
    "link": (86, None), "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36),
    "mknod": (133, None), "mknodat": (259, 33), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    # kernel surface nobody needs here
    "bpf": (321, 280), "perf_event_open": (298, 241), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "create_module": (174, None),
    "query_module": (178, None), "get_kernel_syms": (177, None), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "lookup_dcookie": (212, 18), "vmsplice": (278, 75),
    "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "personality": (135, 92), "acct": (163, 89), "syslog": (103, 116),
    "nfsservctl": (180, 42), "uselib": (134, None), "iopl": (172, None), "ioperm": (173, None),
    "modify_ldt": (154, None), "vhangup": (153, 58), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162),
    "_sysctl": (156, None), "sysfs": (139, None), "ustat": (136, None), "vserver": (236, None),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    # takes a disk faster than anybody can look: writing is slow enough to be seen
    "fallocate": (285, 47),
    # memory that RLIMIT_DATA does not count, and channels that outlive the process
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
}  # fmt: skip
# The second filter, stacked once the platform's own code is running: no further program is started.
PROGRAMS: dict[str, tuple[int | None, int | None]] = {"execve": (59, 221), "execveat": (322, 281)}
FORKS: dict[str, tuple[int | None, int | None]] = {"fork": (57, None), "vfork": (58, None)}


@dataclass(frozen=True, slots=True)
class Machine:
    """What differs between processors. `extra_bit` marks x86's second table (x32), refused whole."""

    name: str
    column: int
    audit: int
    highest: int
    clone: int
    clone3: int
    mmap: int
    ioctl: int
    socketpair: int
    sigaction: int
    extra_bit: int
    own_only: tuple[int, ...]
    """prlimit64, sched_setaffinity: for oneself (0) only"""


MACHINES = {
    "x86_64": Machine("x86_64", 0, 0xC000003E, 450, 56, 435, 9, 16, 53, 13, 0x40000000, (302, 203)),
    "aarch64": Machine("aarch64", 1, 0xC00000B7, 451, 220, 435, 222, 29, 199, 134, 0, (261, 122)),
}


def this_machine() -> Machine | None:
    """The running processor's table, or None where there is none (then no tier above weak is possible)."""
    return MACHINES.get(platform.machine())


def program(machine: Machine, *, programs: bool, forks: bool = True) -> bytes:
    """The filter as bytes of `struct sock_filter[]`.

    `programs` False also refuses starting programs, `forks` False also refuses new processes (threads stay allowed).
    Refused calls answer EPERM; clone3 answers ENOSYS so that libc falls back to clone, whose flags can be read here.
    """
    refuse = ERRNO | errno.EPERM
    code = [
        _op(LOAD, ARCH), _op(IF_EQUAL, machine.audit, 1, 0), _op(RETURN, KILL),
        _op(LOAD, NUMBER),
    ]  # fmt: skip
    if machine.extra_bit:
        code += [_op(IF_ABOVE, machine.extra_bit - 1, 0, 1), _op(RETURN, refuse)]
    code += [_op(IF_ABOVE, machine.highest, 0, 1), _op(RETURN, ERRNO | errno.ENOSYS)]
    code += [_op(IF_EQUAL, machine.clone3, 0, 1), _op(RETURN, ERRNO | errno.ENOSYS)]
    tables = [DENIED] + ([] if programs else [PROGRAMS]) + ([] if forks else [FORKS])
    for table in tables:
        for numbers in table.values():
            number = numbers[machine.column]
            if number is not None:
                code += [_op(IF_EQUAL, number, 0, 1), _op(RETURN, refuse)]
    code += _by_arguments(machine, refuse, forks)
    code.append(_op(RETURN, ALLOW))
    return b"".join(code)


def _by_arguments(machine: Machine, refuse: int, forks: bool) -> list[bytes]:
    """Calls that are refused only with certain arguments. Each block ends the program for its own number."""
    # An int argument is judged by its low word, which is all the kernel looks at; both processors are little-endian.
    blocks = [
        (machine.clone, 0, [_op(AND, NAMESPACE_FLAGS), _op(IF_EQUAL, 0, 1, 0), _op(RETURN, refuse)]),
        (machine.mmap, 3, [_op(AND, GROWS_DOWN), _op(IF_EQUAL, 0, 1, 0), _op(RETURN, refuse), _op(LOAD, 16 + 8 * 3),
                           _op(AND, SHARED_ANONYMOUS), _op(IF_EQUAL, SHARED_ANONYMOUS, 0, 1), _op(RETURN, refuse)]),
        (machine.socketpair, 0, [_op(IF_EQUAL, AF_UNIX, 1, 0), _op(RETURN, refuse), _op(LOAD, 16 + 8 * 1),
                                 _op(AND, 0xF), _op(IF_EQUAL, SOCK_DGRAM, 0, 1), _op(RETURN, refuse)]),
        (machine.ioctl, 1, [step for request in REFUSED_REQUESTS
                            for step in (_op(IF_EQUAL, request, 0, 1), _op(RETURN, refuse))]),
        # reading the action (a null pointer, in both its words) stays allowed
        (machine.sigaction, 0, [_op(IF_EQUAL, SIGCHLD, 0, 5), _op(LOAD, 24), _op(IF_EQUAL, 0, 0, 2),
                                _op(LOAD, 28), _op(IF_EQUAL, 0, 1, 0), _op(RETURN, refuse)]),
    ]  # fmt: skip
    blocks += [(number, 0, [_op(IF_EQUAL, 0, 1, 0), _op(RETURN, refuse)]) for number in machine.own_only]
    code: list[bytes] = []
    for number, argument, body in blocks:
        if number == machine.clone and not forks:
            body = [*body, _op(LOAD, 16), _op(AND, CLONE_THREAD), _op(IF_EQUAL, 0, 0, 1), _op(RETURN, refuse)]
        body = [_op(LOAD, 16 + 8 * argument), *body, _op(RETURN, ALLOW)]
        code += [_op(IF_EQUAL, number, 0, len(body)), *body]
    return code


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def install(filters: bytes) -> None:
    """Put the filter on this process and all it starts, for good. Raises OSError where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges()
    kept = ctypes.create_string_buffer(filters, len(filters))

    class SockFprog(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    prog = SockFprog(len(filters) // 8, ctypes.cast(kept, ctypes.c_void_p))
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(prog), 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp: {os.strerror(code)}")


def no_new_privileges() -> None:
    """Set-user-ID programs and file capabilities no longer work from here on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"no_new_privs: {os.strerror(code)}")
