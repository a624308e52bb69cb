"""Answers queries inside the jail: one connection, one query at a time, many statements a query.

Simulated data: full results and full errors. Real data: results of a plain SELECT, and of an error only its class,
because messages of CAST, `error()`, duplicate keys and others carry row values. Runs inside the jail.
"""

from __future__ import annotations

import threading
from typing import Any

import duckdb

from sandbox.workspaces.engine import open_locked
from sandbox.workspaces.execution import Executor
from sandbox.workspaces.inside import Setting
from sandbox.workspaces.limits import renew_cpu
from sandbox.workspaces.protocol import Channel, ChannelClosed


def run(setting: Setting, data: Channel, control: Channel) -> None:
    """Serve until the platform hangs up."""
    con = open_locked(
        f"{setting.home}/workspace.duckdb",
        home=setting.home,
        temporary=setting.temporary,
        limits=setting.limits,
        tables=setting.tables,
    )
    state = _State(con, Executor(setting, con))
    threading.Thread(target=_control, args=(state, control), daemon=True).start()
    data.send({"is": "open"})
    while True:
        try:
            received = data.receive()
        except ChannelClosed:
            return
        if received is not None:
            _answer(setting, state, data, received[0], received[1].decode())


class _State:
    def __init__(self, con: duckdb.DuckDBPyConnection, executor: Executor) -> None:
        self.con, self.executor = con, executor
        self.query: int | None = None
        self.lock = threading.Lock()


def _control(state: _State, control: Channel) -> None:
    """The second pair of sockets: interrupts in, progress out. SIGINT does not stop a streaming result; this does."""
    said = -1
    while True:
        try:
            received = control.receive(timeout=0.25)
            with state.lock:
                running = state.query
                if received and running is not None and received[0].get("interrupt") == running:
                    state.con.interrupt()
            percent = int(state.con.query_progress()) if running is not None else -1
            if 0 <= percent != said:
                control.send({"progress": min(percent, 100), "query": running}, timeout=1)
            said = percent
        except ChannelClosed:
            return
        except duckdb.Error:
            continue


def _answer(setting: Setting, state: _State, data: Channel, header: dict[str, Any], sql: str) -> None:
    renew_cpu(setting.limits)
    with state.lock:
        state.query = header.get("query")
    try:
        trailer = state.executor.run(data, sql, header.get("parameters"))
    finally:
        with state.lock:
            state.query = None
    data.send({**trailer, "query": header.get("query")})
