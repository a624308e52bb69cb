"""A merchant's self-check of a 10,000-row CSV over HTTP: upload, reading in a jail, every rule, metering, audit.

The server is made ready as `pds up` makes it. Every file differs in its bytes, so that nothing is remembered; the
first one is told apart, because whoever comes first after a start waits for what is not warm yet.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.workspace_http import http_client, served
from policies.text import Text

ROWS = 10_000
BAR_SECONDS = 2.0
REPEATS = 7
_BOUNDARY = "----pds-bench"


def run(rows: int = ROWS, repeats: int = REPEATS) -> list[Figure]:
    """Seconds of the first self-check and the middle one of the others, each beside the bar."""
    from api.server import ready_self_checks

    with tempfile.TemporaryDirectory(prefix="pds-bench-") as place, served(Path(place)) as (port, workspace, token):
        ready_self_checks()
        connection = http_client(port)
        path = f"/api/v1/workspaces/{workspace}/self-checks"
        first = _ask(connection, path, token, table(rows, 0))
        others = []
        for seed in range(1, repeats + 1):
            content = table(rows, seed)
            time.sleep(2.0)  # people do not ask without a pause, and the spare is made anew meanwhile
            others.append(_ask(connection, path, token, content))
    middle = statistics.median(others)
    return [
        Figure("self_check_first", first, BAR_SECONDS, "s",
               Text(f"启动后第一次自查 {rows:,} 行 CSV（经 HTTP）", f"first self-check of {rows:,} rows over HTTP")),
        Figure("self_check", middle, BAR_SECONDS, "s",
               Text(f"自查 {rows:,} 行 CSV 的中位用时（经 HTTP，最长 {max(others):.2f} 秒）",
                    f"self-check of a {rows:,}-row CSV over HTTP, p50 (longest {max(others):.2f} s)")),
    ]  # fmt: skip


def table(rows: int, seed: int) -> bytes:
    """A table as a merchant might want to take out, of invented values."""
    rng = random.Random(seed)
    lines = ["编号,区,年龄段,诊断,费用,日期,备注"]
    lines += [
        f"K{n:06d},{rng.choice('东西南北')}区,{rng.randint(1, 9) * 10},D{rng.randint(1, 60):03d},"
        f"{rng.randint(10, 999)}.{rng.randint(10, 99)},2026-{rng.randint(1, 9):02d}-{rng.randint(1, 28):02d},"
        f"{rng.choice(('无', '复诊', '初诊'))}"
        for n in range(rows)
    ]
    return "\n".join(lines).encode()


def _ask(connection: HTTPConnection, path: str, token: str, content: bytes) -> float:
    body = b"\r\n".join([
        f"--{_BOUNDARY}".encode(), b'Content-Disposition: form-data; name="file"; filename="table.csv"',
        b"Content-Type: text/csv", b"", content, f"--{_BOUNDARY}--".encode(), b"",
    ])  # fmt: skip
    headers = {"Authorization": f"Bearer {token}", "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    start = time.perf_counter()
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    seconds = time.perf_counter() - start
    if answer.status != 201:
        raise RuntimeError(f"HTTP {answer.status}: {told.get('code')}")
    runs = {run["rule"]: run["outcome"] for run in told["verdict"]["rules"]}
    if runs["EXP-FILE-01"] != "pass" or "error" in runs.values():  # a file that is not read is judged fast
        raise RuntimeError(f"not read: {runs}")
    return seconds
