"""The lake: versions, one writer at a time, the same job only once, nothing lost when a writer is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from policies.text import UserError
from sandbox.lake import Lake

TABLE = "r-1/typed"


def batches(**columns: list[object]) -> pa.RecordBatchReader:
    return pa.table(columns).to_reader()


def write(lake: Lake, once: str, mode: str = "append", **columns: list[object]) -> int:
    return lake.write(TABLE, batches(**columns), mode=mode, facts={"job": once}, once=once)  # type: ignore[arg-type]


def values(lake: Lake, version: int | None = None) -> list[object]:
    paths = lake.files(TABLE, version)
    return [r[0] for r in duckdb.sql("SELECT n FROM read_parquet($p) ORDER BY n", params={"p": paths}).fetchall()]


def test_append_adds_and_overwrite_replaces_while_old_versions_stay(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert not lake.exists(TABLE)
    assert write(lake, "a", n=[1, 2]) == 0
    assert write(lake, "b", n=[3]) == 1
    assert write(lake, "c", "overwrite", n=[9]) == 2
    assert [values(lake, v) for v in (0, 1, 2, None)] == [[1, 2], [1, 2, 3], [9], [9]]
    assert [lake.rows(TABLE, v) for v in (0, 1, 2)] == [2, 3, 1]
    assert lake.versions(TABLE) == [0, 1, 2]
    assert lake.facts(TABLE, 1) == {"job": "b"}
    assert lake.exists(TABLE)


def test_the_same_job_writes_once_and_gets_the_earlier_version(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    first = write(lake, "job-7", n=[1])
    write(lake, "job-8", n=[2])
    assert write(lake, "job-7", n=[1]) == first
    assert values(lake) == [1, 2]
    assert len(list((tmp_path / TABLE).glob("*.parquet"))) == 2


def test_overwrite_may_change_columns_and_types_and_append_may_not(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write(lake, "a", n=[1])
    with pytest.raises(UserError) as refused:
        write(lake, "b", n=["x"])
    assert refused.value.code == "lake.other_columns"
    with pytest.raises(UserError):
        write(lake, "c", n=[1], m=[1])
    stamp = pa.array([0], pa.timestamp("us"))
    made = lake.write(
        TABLE, pa.table({"时间": stamp, "名 称": ["甲"]}).to_reader(), mode="overwrite", facts={}, once="d"
    )
    assert lake.schema(TABLE).names == ["时间", "名 称"]
    assert lake.versions(TABLE) == [0, made]
    assert lake.schema(TABLE, 0).names == ["n"]


def test_digest_is_of_a_version_and_repeatable(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write(lake, "a", n=[1])
    before = lake.digest(TABLE, 0)
    write(lake, "b", n=[2])
    assert lake.digest(TABLE, 0) == before == Lake(tmp_path).digest(TABLE, 0)
    assert lake.digest(TABLE) != before


def test_empty_tables_keep_their_columns(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    nothing = pa.schema([("n", pa.int64())]).empty_table
    assert lake.write(TABLE, nothing().to_reader(), mode="overwrite", facts={}, once="a") == 0
    assert lake.rows(TABLE) == 0
    assert lake.schema(TABLE).names == ["n"]
    write(lake, "b", n=[1])
    lake.write(TABLE, nothing().to_reader(), mode="overwrite", facts={}, once="c")
    assert lake.rows(TABLE) == 0


@pytest.mark.parametrize(
    "name",
    ["../x/raw", "r-1/other", "r_1/raw", "R/raw", "/abs/raw", "a/b/raw", "r-1/raw/", "r-1/raw\n", "./raw", "raw", ""],
)
def test_a_name_outside_the_alphabet_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError) as refused:
        Lake(tmp_path).write(name, batches(n=[1]), mode="append", facts={}, once="a")
    assert refused.value.code == "lake.bad_table_name"
    assert list(tmp_path.iterdir()) == []


def test_unknown_tables_and_versions_are_named(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with pytest.raises(UserError) as missing:
        lake.rows(TABLE)
    assert missing.value.status == 404
    write(lake, "a", n=[1])
    with pytest.raises(UserError) as later:
        lake.files(TABLE, 3)
    assert later.value.code == "lake.no_such_version"


def test_a_failing_stream_leaves_no_version_and_no_file(tmp_path: Path) -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield pa.record_batch({"n": [1] * 200_000})
        raise RuntimeError("source went away")

    lake = Lake(tmp_path)
    reader = pa.RecordBatchReader.from_batches(pa.schema([("n", pa.int64())]), broken())
    with pytest.raises(RuntimeError):
        lake.write(TABLE, reader, mode="append", facts={}, once="a")
    assert not lake.exists(TABLE)
    assert list((tmp_path / TABLE).glob("*.parquet")) == []


def test_a_table_with_deletion_vectors_is_refused(tmp_path: Path) -> None:
    from deltalake import DeltaTable, TableFeatures

    lake = Lake(tmp_path)
    write(lake, "a", n=[1])
    DeltaTable(str(tmp_path / TABLE)).alter.add_feature(
        TableFeatures.DeletionVectors, allow_protocol_versions_increase=True
    )
    for use in (lambda: lake.files(TABLE), lambda: write(lake, "b", n=[2])):
        with pytest.raises(UserError) as refused:
            use()
        assert refused.value.code == "lake.deletion_vectors"


def _append_many(root: str, name: str, count: int) -> None:
    lake = Lake(Path(root))
    for i in range(count):
        lake.write(TABLE, batches(n=[i]), mode="append", facts={}, once=f"{name}-{i}")


def test_two_processes_append_and_nothing_is_lost(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append_many, args=(str(tmp_path), name, 15)) for name in "xy"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [w.exitcode for w in workers] == [0, 0]
    lake = Lake(tmp_path)
    assert values(lake) == sorted([*range(15), *range(15)])
    assert len(lake.versions(TABLE)) == 30


def test_a_change_by_another_program_is_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program commits between our opening of the table and our commit, without taking our lock."""
    from deltalake import write_deltalake

    import sandbox.lake.lake as module

    lake = Lake(tmp_path)
    write(lake, "a", n=[1])
    real, calls = module._with_local_timestamps, []

    def interrupted(path: Path, opened: object, schema: pa.Schema) -> object:
        if not calls:
            write_deltalake(str(path), pa.table({"n": [5]}), mode="append")
        calls.append(1)
        return real(path, opened, schema)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_with_local_timestamps", interrupted)
    version = write(lake, "b", "overwrite", n=[2])
    assert values(lake, version) == [2]
    assert values(lake, version - 1) == [1, 5]
    assert write(lake, "b", "overwrite", n=[2]) == version


_SLOW_WRITER = """
import sys, time, pathlib, pyarrow as pa
from sandbox.lake import Lake
def slow():
    while True:
        yield pa.record_batch({"n": list(range(70_000))})
        time.sleep(0.02)
reader = pa.RecordBatchReader.from_batches(pa.schema([("n", pa.int64())]), slow())
Lake(pathlib.Path(sys.argv[1])).write("r-1/typed", reader, mode="append", facts={}, once="slow")
"""


def test_a_writer_killed_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write(lake, "a", n=[1])
    writer = subprocess.Popen([sys.executable, "-c", _SLOW_WRITER, str(tmp_path)], cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 60
    while len(list((tmp_path / TABLE).glob("*.parquet"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    assert lake.versions(TABLE) == [0]
    assert values(lake) == [1]
    assert len(list((tmp_path / TABLE).glob("*.parquet"))) == 2
    assert write(lake, "b", n=[2]) == 1
    assert values(lake) == [1, 2]


def test_adopted_files_of_other_columns_are_refused(tmp_path: Path) -> None:
    lake, made = Lake(tmp_path / "lake"), [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    pq.write_table(pa.table({"n": [1]}), made[0])
    pq.write_table(pa.table({"n": ["x"]}), made[1])
    with pytest.raises(UserError, match="other_columns"):
        lake.adopt(TABLE, made, mode="overwrite", facts={}, once="x")
    assert not lake.exists(TABLE)


def test_rows_of_a_version_are_paged_in_their_order(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    version = write(lake, "a", n=list(range(10)))
    assert [r["n"] for r in lake.rows_of(TABLE, version, limit=3, offset=4)] == [4, 5, 6]
    assert lake.rows_of(TABLE, version, limit=3, offset=10) == []


def test_complete_files_are_adopted_as_they_are_in_their_order(tmp_path: Path) -> None:
    lake, made = Lake(tmp_path / "lake"), [tmp_path / "b.parquet", tmp_path / "a.parquet"]
    for start, path in zip((0, 3), made, strict=True):
        pq.write_table(pa.table({"n": [start, start + 1, start + 2]}), path)
    assert lake.adopt(TABLE, made, mode="overwrite", facts={"job": "x"}, once="x") == 0
    assert lake.adopt(TABLE, made, mode="overwrite", facts={"job": "x"}, once="x") == 0
    assert [n for f in lake.files(TABLE) for n in pq.read_table(f)["n"].to_pylist()] == [0, 1, 2, 3, 4, 5]
    assert Path(lake.files(TABLE)[0]).samefile(made[0])
    for path in made:
        path.unlink()
    assert lake.rows(TABLE) == 6


def test_a_file_that_cannot_be_adopted_leaves_nothing_behind(tmp_path: Path) -> None:
    lake, there = Lake(tmp_path / "lake"), tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": [1]}), there)
    with pytest.raises(FileNotFoundError):
        lake.adopt(TABLE, [there, tmp_path / "gone.parquet"], mode="overwrite", facts={}, once="x")
    assert not lake.exists(TABLE)
    assert list((tmp_path / "lake").rglob("*.parquet")) == []
