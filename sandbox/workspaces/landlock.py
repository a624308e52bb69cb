"""Landlock by ctypes: the second form of the jail, for hosts where user namespaces are closed.

Numbers and structures: linux/landlock.h (ABI 1 to 6). Standard library only; used inside the jail.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

CREATE, ADD_RULE, RESTRICT = 444, 445, 446
VERSION_QUESTION = 1
PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_DIR, MAKE_REG = 1 << 7, 1 << 8
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE

TCP_BIND_CONNECT = 0b11
SCOPE_ABSTRACT_AND_SIGNAL = 0b11
NEEDED = 4  # below ABI 4 the network is not covered, so the form does not count as medium


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    result = int(libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"landlock: {os.strerror(code)}")
    return result


def abi() -> int:
    """The kernel's Landlock version, 0 where there is none."""
    try:
        return _call(CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION_QUESTION))
    except OSError:
        return 0


def _handled(version: int) -> tuple[int, int, int]:
    files = (1 << 13) - 1
    for since, right in ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)):
        if version >= since:
            files |= right
    return files, TCP_BIND_CONNECT if version >= 4 else 0, SCOPE_ABSTRACT_AND_SIGNAL if version >= 6 else 0


def restrict(*, read: Iterable[str], write: Iterable[str]) -> int:
    """Leave this process only `read` and `write` (files or folders, with all below); no program, no TCP.

    Returns the ABI version in force. A path that does not exist is skipped. Raises OSError where Landlock is missing.
    no_new_privs must be set before.
    """
    version = abi()
    files, net, scoped = _handled(version)
    attributes = struct.pack("=QQQ", files, net, scoped)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _call(CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for paths, rights in ((read, READ), (write, WRITE)):
            for path in paths:
                _add(ruleset, path, rights & files)
        _call(RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return version


def _add(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= ON_FILES
        rule = struct.pack("=Qi", rights, handle)
        _call(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(PATH_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(handle)
