"""The filter's bytes, judged by an independent interpreter of classic BPF."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.workspaces import seccomp
from sandbox.workspaces.seccomp import ALLOW, DENIED, ERRNO, KILL, MACHINES, Machine, program

EPERM, ENOSYS = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS
X86, ARM = MACHINES["x86_64"], MACHINES["aarch64"]


def verdict(filters: bytes, number: int, arguments: tuple[int, ...] = (), arch: int = X86.audit) -> int:
    """What the kernel would answer (Documentation/networking/filter.rst, BPF over struct seccomp_data)."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    code = [struct.unpack_from("<HBBI", filters, at) for at in range(0, len(filters), 8)]
    place = held = 0
    for _step in range(10_000):
        operation, yes, no, value = code[place]
        place += 1
        if operation == 0x20:
            held = struct.unpack_from("<I", data, value)[0]
        elif operation == 0x54:
            held &= value
        elif operation == 0x15:
            place += yes if held == value else no
        elif operation == 0x25:
            place += yes if held > value else no
        elif operation == 0x06:
            return value
        else:
            raise AssertionError(f"unknown operation {operation:#x}")
    raise AssertionError("the program does not end")


@pytest.mark.parametrize("machine", MACHINES.values(), ids=lambda m: m.name)
def test_every_listed_call_is_refused_on_every_processor(machine: Machine) -> None:
    filters = program(machine, programs=True)
    for name, numbers in DENIED.items():
        number = numbers[machine.column]
        if number is not None:
            assert verdict(filters, number, arch=machine.audit) == EPERM, name


@pytest.mark.parametrize("machine", MACHINES.values(), ids=lambda m: m.name)
def test_ordinary_work_is_allowed(machine: Machine) -> None:
    reading = {"x86_64": (0, 1, 3, 9, 56, 231), "aarch64": (63, 64, 57, 222, 220, 94)}[machine.name]
    for number in reading:
        assert verdict(program(machine, programs=True), number, arch=machine.audit) == ALLOW


def test_another_architecture_is_killed() -> None:
    filters = program(X86, programs=True)
    assert verdict(filters, 0, arch=ARM.audit) == KILL
    assert verdict(filters, 0, arch=0x40000003) == KILL  # 32-bit x86 through int 0x80


@given(st.integers(0, 600))
def test_the_x32_table_is_refused_whole(number: int) -> None:
    assert verdict(program(X86, programs=True), 0x40000000 | number) == EPERM


@given(st.integers(X86.highest + 1, 0x3FFFFFFF))
def test_calls_newer_than_the_table_do_not_exist(number: int) -> None:
    assert verdict(program(X86, programs=True), number) == ENOSYS


@given(st.integers(0, 2**32 - 1))
def test_clone_is_judged_by_its_namespace_flags(flags: int) -> None:
    answer = verdict(program(X86, programs=True), X86.clone, (flags,))
    assert answer == (EPERM if flags & seccomp.NAMESPACE_FLAGS else ALLOW)


def test_clone3_makes_libc_fall_back_to_clone() -> None:
    assert verdict(program(X86, programs=True), X86.clone3) == ENOSYS


@given(st.integers(0, 2**32 - 1))
def test_memory_that_the_limit_does_not_count_is_refused(flags: int) -> None:
    answer = verdict(program(X86, programs=True), X86.mmap, (0, 4096, 3, flags))
    assert answer == (EPERM if flags & 0x21 == 0x21 or flags & 0x100 else ALLOW)  # shared anonymous, or a "stack"


@given(st.integers(0, 50), st.integers(0, 10), st.sampled_from([0, 0o2000000, 0o4000, 0o2004000]))
def test_only_a_local_socket_pair_without_datagrams_is_allowed(family: int, kind: int, flags: int) -> None:
    answer = verdict(program(X86, programs=True), X86.socketpair, (family, kind | flags))
    assert answer == (ALLOW if family == 1 and kind != 2 else EPERM)


@pytest.mark.parametrize(
    ("request_code", "answer"),
    [(0x5412, EPERM), (0x541C, EPERM), (0x40305828, EPERM), (0x4030582A, EPERM), (0x40305839, EPERM), (0x5401, ALLOW)],
)
def test_typing_into_the_terminal_and_hidden_names_of_fallocate_are_refused(request_code: int, answer: int) -> None:
    assert verdict(program(X86, programs=True), X86.ioctl, (1, request_code)) == answer


@pytest.mark.parametrize("machine", MACHINES.values(), ids=lambda m: m.name)
@pytest.mark.parametrize("pid", [0, 1, 4242, 2**32])
def test_limits_are_set_on_oneself_only(machine: Machine, pid: int) -> None:
    for number in machine.own_only:
        answer = verdict(program(machine, programs=True), number, (pid,), arch=machine.audit)
        assert answer == (ALLOW if pid % 2**32 == 0 else EPERM)  # the kernel reads an int


def test_the_second_filter_refuses_programs_and_where_asked_processes_but_not_threads() -> None:
    first = program(X86, programs=True)
    second = program(X86, programs=False)
    third = program(X86, programs=False, forks=False)
    assert [verdict(f, 59) for f in (first, second, third)] == [ALLOW, EPERM, EPERM]
    assert [verdict(f, 57) for f in (first, second, third)] == [ALLOW, ALLOW, EPERM]
    assert verdict(third, X86.clone, (17,)) == EPERM
    assert verdict(third, X86.clone, (0x3D0F00,)) == ALLOW  # what pthread_create asks for


@pytest.mark.parametrize("machine", MACHINES.values(), ids=lambda m: m.name)
def test_the_program_fits_the_kernels_limit(machine: Machine) -> None:
    assert len(program(machine, programs=False, forks=False)) // 8 <= 4096
