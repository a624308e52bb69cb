"""Answers queries inside the jail: one connection, one query at a time, many statements a query.

Simulated data: full results and full errors. Real data: results of a plain SELECT, and of an error only its class,
because messages of CAST, `error()`, duplicate keys and others carry row values. Runs inside the jail.
"""

from __future__ import annotations

import json
import threading
from typing import Any

import duckdb
import pyarrow as pa

from sandbox.workspaces import guard
from sandbox.workspaces.engine import batches, open_locked
from sandbox.workspaces.inside import Setting
from sandbox.workspaces.limits import MEGABYTE, renew_cpu
from sandbox.workspaces.protocol import Channel, ChannelClosed, ProtocolError, encode, pieces

# The only classes that leave the jail on real data; everything else is "failed".
PUBLIC = {
    "OutOfMemoryException": "memory_limit",
    "MemoryError": "memory_limit",
    "InterruptException": "time_limit",
    "ConversionException": "bad_value",
    "ConstraintException": "constraint",
    "OutOfRangeException": "out_of_range",
}
_OPEN = {**PUBLIC, "ParserException": "syntax", "BinderException": "binding", "CatalogException": "binding",
         "IOException": "file", "PermissionException": "not_allowed", "ProtocolError": "too_big"}  # fmt: skip
BATCH_ROWS = 65_536


def run(setting: Setting, data: Channel, control: Channel) -> None:
    """Serve until the platform hangs up."""
    con = open_locked(
        f"{setting.home}/workspace.duckdb",
        home=setting.home,
        temporary=setting.temporary,
        limits=setting.limits,
        tables=setting.tables,
    )
    state = _State(con)
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
    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
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
        trailer = _execute(setting, state.con, data, sql, header.get("parameters"))
    except (duckdb.Error, MemoryError, ProtocolError, pa.ArrowException, RuntimeError, ValueError) as error:
        trailer = {"is": "failed", "error": describe(error, sql, setting.mode)}
    finally:
        with state.lock:
            state.query = None
    data.send({**trailer, "query": header.get("query")})


def _execute(
    setting: Setting, con: duckdb.DuckDBPyConnection, data: Channel, sql: str, parameters: Any = None
) -> dict[str, Any]:
    try:
        statements = con.extract_statements(sql)
    except duckdb.ParserException:
        raise
    except Exception:  # the binding stumbles over statements it does not know: deny
        return {"is": "refused", "code": "unreadable", "subject": "", "tables": []}
    tables: set[str] = set()
    rows, truncated = 0, False
    for place, statement in enumerate(statements):
        checked = guard.check(con, statement, granted=frozenset(setting.tables), mode=setting.mode)
        tables.update(checked.tables)
        if checked.refusal is not None:
            code, subject = checked.refusal.code, checked.refusal.subject
            return {"is": "refused", "code": code, "subject": subject, "tables": sorted(tables)}
        last = place == len(statements) - 1
        rows, truncated = _statement(setting, con, data if last else None, statement, parameters if last else None)
    return {"is": "done", "rows": rows, "truncated": truncated, "tables": sorted(tables), "statements": len(statements)}


def _statement(
    setting: Setting, con: duckdb.DuckDBPyConnection, data: Channel | None, statement: Any, parameters: Any
) -> tuple[int, bool]:
    try:
        relation = con.sql(statement, params=parameters)
    except (duckdb.BinderException, duckdb.CatalogException):
        con.execute(statement, parameters)  # raises the same error with the place in the text, which `sql` leaves out
        raise
    if relation is None:
        return 0, False
    reader = relation.to_arrow_reader(BATCH_ROWS)
    try:
        if data is not None:
            return _stream(setting, reader, data)
        for _batch in batches(reader):  # an earlier statement's rows go nowhere, but it has to run to its end
            pass
        return 0, False
    finally:
        reader.close()


def _stream(setting: Setting, reader: pa.RecordBatchReader, data: Channel) -> tuple[int, bool]:
    data.send({"is": "begin"}, reader.schema.serialize().to_pybytes())
    rows = size = 0
    allowed = setting.limits.result_mb * MEGABYTE
    for batch in batches(reader):
        for piece in pieces(batch):
            room = setting.limits.result_rows - rows
            if room <= 0 and piece.num_rows:
                return rows, True
            kept = piece.slice(0, room)
            payload = encode(kept)
            while size + len(payload) > allowed and kept.num_rows > 1:
                kept = kept.slice(0, kept.num_rows // 2)
                payload = encode(kept)
            if size + len(payload) > allowed:
                return rows, True
            data.send({"is": "batch"}, payload)
            size += len(payload)
            rows += kept.num_rows
            if kept.num_rows < piece.num_rows:
                return rows, True
    return rows, False


def describe(error: BaseException, sql: str, mode: str, *, prefix: str = "") -> dict[str, Any]:
    """An error for the other side: everything on simulated data, the class alone on real data.

    `prefix` is what the platform put before `sql`, so that places are counted in the person's own text.
    """
    name = type(error).__name__
    if mode != guard.SIMULATED:
        return {"kind": PUBLIC.get(name, "failed")}
    text, offset = _message(error)
    line, column = _place(sql, None if offset is None else max(0, offset - len(prefix.encode())))
    return {"kind": _OPEN.get(name, "failed"), "class": name, "text": text[:4000], "line": line, "column": column}


def _message(error: BaseException) -> tuple[str, int | None]:
    """The engine's sentence and the byte offset in the text it points at (`errors_as_json`)."""
    head, _, rest = str(error).partition(": ")
    try:
        content = json.loads(rest)
        text = f"{head}: {content['exception_message']}"
    except (ValueError, TypeError, KeyError):
        return str(error), None
    position = content.get("position")
    return text, int(position) if isinstance(position, str) and position.isdigit() else None


def _place(sql: str, offset: int | None) -> tuple[int | None, int | None]:
    """Line and column, both from 1, counted in characters."""
    if offset is None:
        return None, None
    before = sql.encode("utf-8")[:offset].decode("utf-8", "replace")
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
