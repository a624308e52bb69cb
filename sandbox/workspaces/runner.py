"""The inside of a run: prepared steps over mounted tables, outputs to a folder, and almost nothing said.

Runs inside the jail. The platform builds `CREATE TABLE name AS (step)` itself; a step is one SELECT over the granted
tables and earlier steps. What is sent goes to the platform's process only; `run.py` decides what people see.
"""

from __future__ import annotations

import traceback
from typing import Any

import duckdb

from sandbox.workspaces import guard
from sandbox.workspaces.diagnosis import describe
from sandbox.workspaces.engine import identifier, literal, open_locked
from sandbox.workspaces.inside import Setting
from sandbox.workspaces.protocol import Channel


def run(setting: Setting, data: Channel, control: Channel) -> None:
    """Run `extra["steps"]` ([name, sql]…), write `extra["outputs"]`, report once."""
    step, prefix = 0, ""
    try:
        assert setting.output is not None
        con = open_locked(
            ":memory:",
            home=setting.home,
            temporary=setting.temporary,
            limits=setting.limits,
            tables=setting.tables,
            writable=[setting.output],
        )
        known = set(setting.tables)
        for step, (name, sql) in enumerate(setting.extra["steps"], start=1):
            prefix = ""
            con.extract_statements(sql)  # a syntax error is told as one, before the guard refuses what it cannot read
            checked = guard.check_select(con, sql, granted=frozenset(known))
            if checked.refusal is not None:
                refused = {"code": checked.refusal.code, "subject": checked.refusal.subject}
                data.send({"is": "refused", "step": step, "refusal": refused})
                return
            prefix = f"CREATE TABLE {identifier(name)} AS ("
            con.execute(f"{prefix}{sql.rstrip().rstrip(';')}\n)")
            known.add(name)
        data.send({"is": "done", "step": step, "outputs": _write(con, setting)})
    except (duckdb.Error, MemoryError, AssertionError, RuntimeError, ValueError) as error:
        sql = setting.extra["steps"][step - 1][1] if step else ""
        told = describe(error, sql, setting.mode, prefix=prefix)
        full = "".join(traceback.format_exception(error))[-60_000:]
        data.send({"is": "failed", "step": step, "error": told, "class": type(error).__name__}, full.encode())


def _write(con: duckdb.DuckDBPyConnection, setting: Setting) -> list[dict[str, Any]]:
    """Outputs as numbered Parquet files (a name may hold any character), rows in the order of their columns."""
    written = []
    for place, name in enumerate(setting.extra["outputs"]):
        table = identifier(name)
        file = f"{setting.output}/{place}.parquet"
        schema = [[str(r[0]), str(r[1])] for r in con.execute(f"DESCRIBE {table}").fetchall()]
        rows = con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
        con.execute(f"COPY (SELECT * FROM {table} ORDER BY ALL) TO {literal(file)} (FORMAT parquet, COMPRESSION zstd)")
        written.append({"name": name, "schema": schema, "rows": int(rows)})
    return written
