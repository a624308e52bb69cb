"""The rows of a file that a merchant's process wrote: read in a jail of its own, handed over as validated Arrow.

The jail that wrote the file has run scripts and free SQL, so its bytes are the merchant's: the platform's own process
never parses them.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pyarrow as pa

from policies.text import Text
from sandbox.kernel.errors import LimitExceeded, Unavailable
from sandbox.workspaces import disk, jail
from sandbox.workspaces.conversation import Conversation, Mode, QueryResult, Question, Worker
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import ChannelClosed, ProtocolError
from sandbox.workspaces.usage import Usage, meter

_TABLE = "handed_over"


def rows_of(file: Path, limits: Limits, folder_mb: int, form: str) -> tuple[pa.Table, Usage]:
    """All rows of a Parquet file in its own order, and what reading them used; at most what one answer may carry.

    Nothing that the jail says about an error is passed on. Raises `LimitExceeded` for more rows or bytes than `limits`
    let an answer carry, `Unavailable` for a file that cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="handover-", dir=file.parent) as home:
        order = jail.Order("worker", Path(home), limits, Mode.REAL.value, {_TABLE: file})
        jailed = jail.start(order, form)
        try:
            worker = Worker(Mode.REAL, order.tables, limits, jailed, meter(jailed), time.monotonic())
            answer = _asked(worker, disk.Bound([Path(home)], folder_mb, jailed))
        finally:
            jailed.kill()
    if not isinstance(answer, QueryResult):
        raise Unavailable(
            "handover.unreadable", Text("产品数据无法读取", "The product's rows cannot be read"),
            fix=Text("请检查作业的输出列后重新运行", "Check the job's columns and run it again"),
        )  # fmt: skip
    if answer.truncated:
        text = Text("产品超过 {rows} 行或 {size} MB", "The product is over {rows} rows or {size} MB")
        raise LimitExceeded(
            "handover.too_large", text.fill(rows=f"{limits.result_rows:,}", size=str(limits.result_mb)),
            fix=Text("请减少维度或分成多个作业", "Use fewer dimensions, or several jobs"),
        )  # fmt: skip
    return answer.rows, answer.usage


def _asked(worker: Worker, bound: disk.Bound) -> QueryResult | None:
    try:
        opened = worker.jailed.data.receive(timeout=jail.START_SECONDS)
    except (ChannelClosed, ProtocolError):
        return None  # a file that is no Parquet: its view could not be made
    if opened is None or opened[0].get("is") != "open":
        return None
    outcome, _alive = Conversation(worker, Question(f"SELECT * FROM {_TABLE}"), bound).run()
    return outcome if isinstance(outcome, QueryResult) else None
