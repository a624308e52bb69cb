"""A job of several jails: scripts and `post` see only their tables; on real data nothing comes back but buckets."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox.products import plan
from sandbox.products.spec import parse
from sandbox.workspaces import run, selftest, staged
from sandbox.workspaces.broker import Mode
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.run import Buckets, RunOrder, RunOutcome, State
from sandbox.workspaces.staged import StagedOrder

pytestmark = pytest.mark.jail
LIMITS = Limits(
    memory_mb=2048, cpu_seconds=60, wall_seconds=40, processes=64, file_mb=64, result_rows=1000, result_mb=16, threads=1
)
MARK = "真名"
"""part of every name in the real table, in no name of the twin"""
SCRIPT = """
import polars as pl
v = pl.read_parquet(tables["v"])
result = v.with_columns(pl.col("费用").rank().cast(pl.Float64).alias("名次")).select("区", "费用", "名次")
"""


def job(**changes: Any) -> dict[str, Any]:
    return {
        "job": "分步作业", "edition": 2, "inputs": {"就诊": {"grant": "G-1"}},
        "prepare": [{"name": "v", "sql": "SELECT 区, 费用 FROM 就诊 WHERE 费用 > 10"}],
        "product": {"from": "v", "dimensions": ["区"], "measures": {"人次": {"op": "count"}}},
        "output": {"kind": "aggregate", "format": "csv"},
    } | changes  # fmt: skip


@pytest.fixture(scope="module")
def tested() -> selftest.SelfTest:
    return selftest.selftest()


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The twin and the real table: equal columns, other values, other numbers of rows and districts."""
    folder = tmp_path_factory.mktemp("tables")
    for name, rows, districts, who in (("twin", 200, 4, "仿"), ("real", 900, 7, MARK)):
        duckdb.sql(
            f"SELECT '{who}' || range AS 姓名, '区' || (range % {districts}) AS 区, (range % 97)::DOUBLE AS 费用"
            f" FROM range({rows})"
        ).write_parquet(str(folder / f"{name}.parquet"))
    return {name: folder / f"{name}.parquet" for name in ("twin", "real")}


def order(spec: Mapping[str, Any], table: Path, folder: Path) -> StagedOrder:
    shared = RunOrder(
        steps=(), outputs=(), tables={"就诊": table}, output_folder=folder, limits=LIMITS,
        folder_mb=512,        buckets=Buckets((10, 60), (5, 100)), error_store=folder / "operator" / "reports.jsonl",
    )  # fmt: skip
    return StagedOrder(plan.stages(parse(dict(spec)), 5), folder, shared)


class Ran:
    """One job on the twin and, if that went well, on real data."""

    def __init__(self, spec: Mapping[str, Any], tables: Mapping[str, Path], folder: Path, tested: Any) -> None:
        self.spec = parse(dict(spec))
        self.twin = staged.execute(order(spec, tables["twin"], folder / "twin"), Mode.SIMULATED, tested)
        self.bound = replace(order(spec, tables["real"], folder / "real"), expected=dict(self.twin.schemas))
        self.real: RunOutcome | None = None
        if self.twin.state is State.DONE:
            self.real = staged.execute(self.bound, Mode.REAL, tested)
        self.store = folder / "real" / "operator" / "reports.jsonl"

    def rows(self) -> list[tuple[Any, ...]]:
        file = staged.product_file(self.bound)
        return duckdb.sql(f"FROM '{file}'").fetchall()


@pytest.fixture
def ran(tables: dict[str, Path], tmp_path: Path, tested: selftest.SelfTest) -> Any:
    places = (tmp_path / str(n) for n in count())
    return lambda **changes: Ran(job(**changes), tables, next(places), tested)


def said(outcome: RunOutcome) -> str:
    return repr(outcome) + json.dumps(outcome.as_dict(), ensure_ascii=False)


def test_a_sql_step_feeds_the_cube(ran: Any) -> None:
    done = ran()
    assert (done.twin.state, done.real.state) == (State.DONE, State.DONE)
    assert done.real.rows == {"product": "5-100"}
    truth = "SELECT '区' || (range % 7) AS 区, count(*) FROM range(900) WHERE range % 97 > 10 GROUP BY 1 ORDER BY 1"
    assert done.rows() == duckdb.sql(truth).fetchall()


def test_a_script_step_gives_its_declared_columns_and_post_sees_the_rounded_cube(ran: Any) -> None:
    script = {"name": "s", "script": SCRIPT, "reads": ["v"], "columns": {"区": "text", "费用": "number"}}
    done = ran(
        prepare=[*job()["prepare"], script],
        product={"from": "s", "dimensions": ["区"], "measures": {"人次": {"op": "count"},
                 "均": {"op": "mean", "of": "费用", "round": 0}}},
        post={"sql": "SELECT *, rank() OVER (ORDER BY 人次 DESC) AS 名次 FROM product"},
    )  # fmt: skip
    assert done.twin.state is State.DONE, (done.twin, done.store.parent.parent.parent)
    assert done.real.state is State.DONE
    assert done.real.rows == {"post": "5-100"}
    assert all(row[1] % 5 == 0 and row[2] == int(row[2]) for row in done.rows())
    assert dict(done.twin.schemas["post"])["名次"] == "BIGINT"


@pytest.mark.parametrize(
    ("sees", "statement"),
    [
        ("an input", "SELECT * FROM 就诊"),
        ("an earlier step", "SELECT * FROM v"),
        ("the exact cube", "SELECT * FROM __cube"),
        ("a file", "SELECT * FROM '/granted/0.parquet'"),
        ("the catalogue", "SELECT * FROM duckdb_tables()"),
    ],
)
def test_post_sees_nothing_but_the_cube(ran: Any, sees: str, statement: str) -> None:
    done = ran(post={"sql": statement})
    assert (done.twin.state, done.twin.step) == (State.REFUSED, 3), sees
    assert done.real is None


def test_post_has_no_file_but_the_cube_in_its_jail() -> None:
    """The guard explains; what holds is that the other tables are not mounted."""
    script = {"name": "s", "script": SCRIPT, "reads": ["v"], "columns": {"区": "text"}}
    spec = parse(job(prepare=[*job()["prepare"], script], post={"sql": "SELECT * FROM product"}))
    by_reads = [stage.reads for stage in plan.stages(spec, 5)]
    assert by_reads == [("就诊",), ("v",), ("__raw",), ("就诊", "v", "s"), ("product",)]


def test_the_twin_says_where_a_statement_is_wrong(ran: Any) -> None:
    done = ran(prepare=[{"name": "v", "sql": "SELECT 区,\n  nope FROM 就诊"}])
    assert (done.twin.error_class, done.twin.step, done.twin.line, done.twin.column) == ("binding", 1, 2, 3)


@pytest.mark.parametrize(
    ("script", "kind", "line"),
    [
        ("x = 1\nraise ValueError('因为')", "script", 2),
        ("def f(:\n  pass", "script", 1),
        ("result = 3", "no_result", None),
        ("import sys; sys.exit(0)", "script", 1),
    ],
)
def test_the_twin_says_where_a_script_is_wrong(ran: Any, script: str, kind: str, line: int | None) -> None:
    step = {"name": "v", "script": script, "reads": ["就诊"], "columns": {"区": "text"}}
    done = ran(prepare=[step])
    assert (done.twin.error_class, done.twin.step, done.twin.line) == (kind, 1, line)


@pytest.mark.parametrize("columns", [{"没有": "text"}, {"区": "integer"}])
def test_what_a_script_leaves_must_fit_what_it_declared(ran: Any, columns: dict[str, str]) -> None:
    step = {"name": "v", "script": "import polars as pl\nresult = pl.read_parquet(tables['就诊'])", "reads": ["就诊"]}
    done = ran(prepare=[step | {"columns": columns}], product=job()["product"] | {"dimensions": list(columns)})
    assert (done.twin.state, done.twin.step, done.twin.error_class) == (State.FAILED, 1, "bad_value")
    assert "声明" in done.twin.text.zh and done.twin.fix


def test_types_with_names_inside_are_not_handed_on(ran: Any) -> None:
    script = {"name": "s", "script": SCRIPT, "reads": ["v"], "columns": {"区": "text"}}
    for kind in ("区::ENUM('区0', '区1', '区2', '区3')", "{'a': 区}", "map(['a'], [区])", "[区]"):
        done = ran(prepare=[{"name": "v", "sql": f"SELECT {kind} AS 区, 费用 FROM 就诊"}, script])
        assert (done.twin.state, done.twin.step) == (State.REFUSED, 1), kind


# --- a hostile job and its channels ----------------------------------------------------------------------------------

READ = "import polars as pl\nt = pl.read_parquet(tables['就诊'])\nname = t['姓名'][0]\n"
HOSTILE = {
    "stdout": READ + "print(name, flush=True)\nresult = t",
    "stderr": READ + "import sys; sys.stderr.write(name)\nresult = t",
    "descriptors 0-9": READ + "import os\nfor n in range(10):\n  try: os.write(n, name.encode())\n"
    "  except OSError: pass\nresult = t",
    "error text": READ + f"if name.startswith('{MARK}'): raise ValueError(name)\nresult = t",
    "error class": READ + f"if name.startswith('{MARK}'): raise type(name, (Exception,), {{}})(name)\nresult = t",
    "exit status": READ + f"import os\nif name.startswith('{MARK}'): os._exit(ord(name[0]) % 200 + 20)\nresult = t",
    "signal": READ + f"import os\nif name.startswith('{MARK}'): os.kill(os.getpid(), 15)\nresult = t",
    "column name": READ + "result = t.rename({'区': '区'}).with_columns(pl.lit(1).alias(name))",
    "file name": READ + "import os\nopen('/output/' + name, 'w').write(name)\nresult = t",
    "metadata": READ + "import pyarrow as pa\nresult = t.to_arrow().replace_schema_metadata({'x': name})",
    "type": READ + "result = t.with_columns(pl.col('区').cast(pl.Categorical))",
    "the report": READ + f"""
if name.startswith('{MARK}'):
    import gc, os
    from sandbox.workspaces.protocol import Channel
    for channel in [o for o in gc.get_objects() if isinstance(o, Channel)]:
        channel.send({{"is": "refused", "step": 1, "refusal": {{"code": "table", "subject": name}}}})
    os._exit(0)
result = t
""",
    "an error kind of its own": READ + f"""
if name.startswith('{MARK}'):
    import gc, os
    from sandbox.workspaces.protocol import Channel
    for channel in [o for o in gc.get_objects() if isinstance(o, Channel)]:
        channel.send({{"is": "failed", "step": 7, "error": {{"kind": "constraint", "text": name}},
                       "by the platform": True}})
    os._exit(0)
result = t
""",
    "a schema of its own": READ + f"""
if name.startswith('{MARK}'):
    import gc, os
    from sandbox.workspaces.protocol import Channel
    t.write_parquet('/output/0.parquet')
    for channel in [o for o in gc.get_objects() if isinstance(o, Channel)]:
        channel.send({{"is": "done", "step": 1, "outputs": [{{"name": "__raw", "schema": [[name, name]], "rows": 5}}]}})
    os._exit(0)
result = t
""",
}  # fmt: skip
FAILS = {"error text", "error class", "exit status", "signal", "the report", "an error kind of its own",
         "a schema of its own"}  # fmt: skip


@pytest.mark.parametrize("channel", HOSTILE)
def test_a_script_on_real_data_brings_no_value_back(
    channel: str, tables: dict[str, Path], tmp_path: Path, tested: Any
) -> None:
    """The script behaves on the twin and turns on real data; of what is said nothing holds one of its values."""
    step = {"name": "v", "script": HOSTILE[channel], "reads": ["就诊"], "columns": {"区": "text", "费用": "number"}}
    bound = order(job(prepare=[step]), tables["real"], tmp_path)
    bound = replace(bound, stages=bound.stages[:2], expected={"v": (("区", "VARCHAR"), ("费用", "DOUBLE"))})
    done = staged.execute(bound, Mode.REAL, tested)
    assert MARK not in said(done)
    assert (done.schemas, done.engine_text, done.line, done.column) == ({}, None, None, None)
    if channel in FAILS:
        assert done.state in (State.FAILED, State.SCHEMA_DIFFERS)
        assert done.error_class in ("failed", "worker_died", "schema_differs")
    else:
        assert done.state is State.DONE
        assert [p.name for p in (tmp_path / "1").iterdir()] == ["0.parquet"]
        assert MARK.encode() not in staged.product_file(bound).read_bytes()


def test_what_a_hostile_script_said_is_the_operators(ran: Any) -> None:
    columns = {"区": "text", "费用": "number"}
    step = {"name": "v", "script": HOSTILE["error text"], "reads": ["就诊"], "columns": columns}
    assert MARK in (done := ran(prepare=[step])).store.read_text()
    assert done.real.error_class == "failed"


def test_a_script_sees_only_what_it_reads(ran: Any) -> None:
    """Neither other inputs nor other steps nor the network: what is not declared is not mounted."""
    look = (
        "import glob, polars as pl, socket\n"
        "seen = sorted(tables) + [str(len(glob.glob('/granted/*')))]\n"
        "try:\n  socket.create_connection(('127.0.0.1', 1)); seen.append('net')\n"
        "except OSError as e: seen.append('no net')\n"
        "result = pl.DataFrame({'区': seen})"
    )
    steps = [*job()["prepare"], {"name": "s", "script": look, "reads": ["v"], "columns": {"区": "text"}}]
    done = ran(prepare=steps, product=job()["product"] | {"from": "s"})
    assert [row[0] for row in done.rows()] == ["1", "no net", "v"]


SQL_CHANNELS = {
    "an enum made from data": "SELECT (SELECT min(姓名) FROM 就诊)::ENUM('仿0') AS 区, 费用 FROM 就诊",
    "a conversion": "SELECT 区, CAST(replace(姓名, '仿', '') AS DOUBLE) AS 费用 FROM 就诊",
    "a regular expression": "SELECT 区, 费用 FROM 就诊 WHERE regexp_matches('仿1', replace(姓名, '真名', '('))",
    "a date part": "SELECT 区, 费用 FROM 就诊 WHERE date_part(if(姓名 LIKE '仿%', 'day', 姓名), DATE '2026-01-01') > 0",
}


@pytest.mark.parametrize("channel", SQL_CHANNELS)
def test_a_statement_on_real_data_brings_no_value_back(ran: Any, channel: str) -> None:
    done = ran(prepare=[{"name": "v", "sql": SQL_CHANNELS[channel]}])
    outcomes = [o for o in (done.real,) if o is not None]
    assert all(MARK not in said(outcome) for outcome in outcomes)
    if channel != "an enum made from data":
        assert done.real.state is State.FAILED, done.twin


def test_every_outcome_of_a_real_run_is_of_a_small_alphabet_known_beforehand(ran: Any) -> None:
    """Ten steps: 12 bits at most, whatever the data hold, and one bit and the time for an honest job."""
    spec = parse(job())
    assert run.alphabet(len(plan.step_names(spec)), Buckets((10, 60, 600), (100, 10_000, 1_000_000))) < 2**8
    words = {ran(prepare=[{"name": "v", "sql": "SELECT 区, 1/0 AS 费用 FROM 就诊 LIMIT " + n}]).real.as_dict()["rows"]
             .get("product") for n in ("90", "1")}  # fmt: skip
    assert words <= {"<5", "5-100", ">=100"}


def test_a_job_can_be_stopped_in_any_of_its_jails(tables: dict[str, Path], tmp_path: Path, tested: Any) -> None:
    forever = {"name": "s", "script": "while True: pass", "reads": ["v"], "columns": {"区": "text"}}
    bound = order(job(prepare=[*job()["prepare"], forever]), tables["twin"], tmp_path / "x")
    stop = threading.Event()
    threading.Timer(3, stop.set).start()
    outcome = staged.execute(bound, Mode.SIMULATED, tested, cancel=stop)
    assert (outcome.error_class, outcome.step) == ("cancelled", 2)
    assert list((tmp_path / "x").rglob("run-*")) == []


def test_what_is_run_is_the_same_text_on_both_sides_and_changes_with_the_job() -> None:
    one, other = (parse(job(prepare=[{"name": "v", "sql": f"SELECT {n} AS 区"}])) for n in (1, 2))
    assert plan.digest_of(plan.stages(one, 5)) == plan.digest_of(plan.stages(parse(job(prepare=[
        {"name": "v", "sql": "SELECT 1 AS 区"}])), 5))  # fmt: skip
    assert plan.digest_of(plan.stages(one, 5)) != plan.digest_of(plan.stages(other, 5))
