"""Python scripts in a workspace: what a merchant sees, and what a hostile script cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.applications import service as applications
from sandbox.kernel.errors import BadInput, Conflict, LimitExceeded, NotPermitted, OutOfReach
from sandbox.kernel.identity import Actor
from sandbox.workspaces import ending, folder, importing, repository, script, scripts, service
from sandbox.workspaces.broker import Broker, Mode, WorkspaceMount
from sandbox.workspaces.inside import LANDLOCK
from sandbox.workspaces.selftest import selftest
from tests import workshop
from tests.factories import World
from tests.workshop import Workshop

pytestmark = pytest.mark.jail


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    made = workshop.broker()
    yield made
    made.close()


@pytest.fixture
def room(world: World, broker: Broker, tmp_path: Path) -> Workshop:
    return Workshop.open(world, broker, tmp_path)


def test_a_script_reads_granted_tables_writes_files_and_is_on_record(room: Workshop) -> None:
    source = f"""import polars as pl
frame = pl.read_parquet(tables[{room.table!r}])
print(frame.group_by("区").agg(pl.col("n").sum()).sort("区").rows())
frame.write_csv("结果.csv")
"""
    run, printed = room.run(source)
    assert (run.outcome, printed) == ("done", "[('天河', 5), ('越秀', 1)]\n")
    assert [(f["path"], f["kind"]) for f in run.files] == [("结果.csv", "table")]
    events = [e.event for e in room.world.events("script:start") + room.world.events("script:end")]
    assert events == ["script:start", "script:end"]
    with room.world.by(room.world.merchant) as unit:
        assert [r.id for r in scripts.history(unit, room.workspace_id)] == [run.id]


def test_every_promised_library_works_and_plots_have_chinese_letters(room: Workshop) -> None:
    source = """import warnings; warnings.simplefilter("error")
import numpy as np, pandas as pd, duckdb, pyarrow as pa
from sklearn.linear_model import LinearRegression
import matplotlib.pyplot as plt
from matplotlib import font_manager
model = LinearRegression().fit(np.arange(10).reshape(-1, 1), np.arange(10) * 2)
print(round(float(model.coef_[0]), 6), duckdb.sql("SELECT sum(n) FROM (VALUES (1), (2)) t(n)").fetchall()[0][0])
plt.bar(["越秀", "天河"], [3, -1]); plt.title("就诊人次"); plt.savefig("图.png")
print(pd.DataFrame({"a": [1]}).shape, pa.table({"a": [1]}).num_rows)
"""
    run, printed = room.run(source)
    assert (run.outcome, printed) == ("done", "2.0 3\n(1, 1) 1\n"), run.error
    (picture,) = run.files
    with room.world.by(room.world.merchant) as unit:
        shown = folder.open_picture(unit, room.workspace_id, picture["id"])
    assert b"".join(shown.blocks()).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("source", "kind", "line", "code"),
    [
        ("x = {}\n\ndef f(k):\n    return x[k]\n\nf('甲')", "KeyError", 4, "return x[k]"),
        ("print('a')\nprint(1", "SyntaxError", 2, "print(1"),
        ("import polars as pl\npl.DataFrame({'a': [1]}).select('b')", "ColumnNotFoundError", 2, None),
        ("import no_such", "ModuleNotFoundError", 1, "import no_such"),
        ("open('/etc/shadow')", "FileNotFoundError", 1, None),
        ("import sys\nsys.exit('没有数据')", "SystemExit", None, None),
        ("class E(Exception):\n    def __str__(self): raise ValueError\nraise E", "E", 3, "raise E"),
    ],
)
def test_an_error_is_told_by_the_persons_own_line(
    room: Workshop, source: str, kind: str, line: int | None, code: str | None
) -> None:
    run, _printed = room.run(source)
    assert run.outcome == "failed"
    assert run.error is not None
    assert run.error["class"] == kind
    last = run.error["frames"][-1] if run.error["frames"] else {}
    assert last.get("line") == line
    assert code is None or last["code"] == code
    assert all(f["file"] == "script.py" for f in run.error["frames"]), "the libraries' inside is left out"


def test_output_comes_while_the_script_runs_and_cancel_stops_it(room: Workshop) -> None:
    run_id = room.start("import time\nprint('开始')\ntime.sleep(60)")
    room.printed(run_id, "开始")
    with pytest.raises(Conflict, match=r"script\.running"):
        room.start("print(1)")
    with room.world.by(room.world.merchant) as unit:
        scripts.cancel(unit, room.broker, run_id)
    run, printed = room.ended(run_id)
    assert (run.outcome, printed) == ("cancelled", "开始\n")


def test_freezing_the_workspace_ends_a_running_script(room: Workshop) -> None:
    run_id = room.start("import time\nprint('开始')\ntime.sleep(60)")
    room.printed(run_id, "开始")
    with room.world.by(room.world.operator) as unit:
        service.change(unit, room.workspace_id, "freeze", "疑似违规")
    assert ending.stop_ended(room.world.platform, room.broker) == 1
    assert room.ended(run_id)[0].outcome == "cancelled"


def test_the_end_of_the_grant_ends_a_script_that_runs_alone_and_removes_what_was_brought(room: Workshop) -> None:
    made = room.bring(b"a,b\n1,x\n")
    run_id = room.start(f"import time\nprint(tables['{made.name}'] and '开始')\ntime.sleep(60)")
    room.printed(run_id, "开始")
    with room.world.system() as unit:
        application = repository.get(unit.session, room.workspace_id).application_id
    with room.world.by(room.world.operator) as unit:
        applications.stand(unit, application, "revoke", "查实违规")
    assert ending.stop_ended(room.world.platform, room.broker) == 1
    assert room.ended(run_id)[0].outcome == "cancelled"
    room.check()
    assert room.upload(made.id).state == "removed"
    assert list(room.world.platform.settings.uploads_root.iterdir()) == []


def test_a_script_whose_grant_ended_while_it_waited_never_starts(room: Workshop) -> None:
    ask = ending.permit(room.world.platform)

    def freeze_first(workspace_id: str) -> None:
        with room.world.by(room.world.operator) as unit:
            service.change(unit, workspace_id, "freeze", "疑似违规")
        ask(workspace_id)

    room.broker.permit = freeze_first
    try:
        run, printed = room.run("print('开始')")
    finally:
        room.broker.permit = None
    assert (run.outcome, printed) == ("cancelled", "")


_FORGE = "import os\nfor fd in range(3, 64):\n    try: os.write(fd, {frame})\n    except OSError: pass\n"


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        pytest.param(_FORGE.format(frame="b'\\xff' * 64"), "protocol", id="garbage into every descriptor"),
        pytest.param(
            "import struct, json\nh = json.dumps({'is': 'end', 'status': 'root', 'error': {'class': 'x' * 9999, "
            "'frames': [{'line': True, 'code': 7}, 3] * 50, 'column': -1}}).encode()\n"
            + _FORGE.format(frame="struct.pack('>I', len(h)) + h") + "import time; time.sleep(60)",
            "failed", id="a forged end with nonsense",
        ),
        pytest.param(
            "import struct, json\nh = json.dumps({'is': 'out', 'size': 2 << 20}).encode()\n"
            "import os\nd = struct.pack('>I', len(h)) + h + b'x' * (2 << 20)\n"
            "while d:\n    d = d[os.write(3, d):] if True else b''\n",
            None, id="more output than the cap",
        ),
        pytest.param("import os\nos.closerange(0, 64)\nwhile True: pass", "worker_died", id="closes everything"),
        pytest.param("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "worker_died", id="kills itself"),
        pytest.param("import os\nos._exit(0)", "worker_died", id="leaves without the trailer"),
        pytest.param("x = bytearray(8 << 30)", "memory_limit", id="memory bomb"),
        pytest.param("f = open('a', 'wb')\nwhile True: f.write(b'x' * (1 << 20))", "file_size", id="one endless file"),
    ],
)  # fmt: skip
def test_a_hostile_script_gets_a_named_outcome(room: Workshop, source: str, outcome: str | None) -> None:
    run, _printed = room.run(source)
    assert run.outcome != "done" or outcome is None
    assert outcome is None or run.outcome in (outcome, "failed"), (run.outcome, run.error)
    if run.error:
        assert len(run.error["class"]) <= 100
        assert all(f["line"] is None or isinstance(f["line"], int) for f in run.error["frames"])
    after, printed = room.run("print('还在')")
    assert (after.outcome, printed) == ("done", "还在\n")


def test_a_script_that_ends_its_pump_is_stopped_by_the_time_limit_or_the_person(room: Workshop) -> None:
    """The pump reads the pipe behind descriptor 1: with the reader gone, printing blocks or breaks, nothing else."""
    source = "import os\nfor fd in range(3, 64):\n    try: os.close(fd)\n    except OSError: pass\nprint('x' * 100)"
    run, _printed = room.run(source)
    assert run.outcome in ("worker_died", "failed", "protocol")


def test_what_is_printed_over_the_cap_is_cut_and_the_script_still_ends(room: Workshop) -> None:
    run, printed = room.run("for _ in range(40): print('字' * 30000)\nopen('fertig.txt', 'w').write('x')")
    assert (run.outcome, run.truncated) == ("done", True)
    assert len(printed.encode("utf-8", "replace")) <= (1 << 20) + 3
    assert [f["path"] for f in run.files] == ["fertig.txt"]


def test_too_many_files_stop_the_script_and_the_next_one(room: Workshop) -> None:
    source = "import time\nfor n in range(2500): open(f'{n}', 'w').close()\ntime.sleep(60)"
    run, _printed = room.run(source)
    assert run.outcome == "disk_full"
    with pytest.raises(LimitExceeded, match=r"script\.disk_full"):
        room.start("print(1)")


def test_output_is_read_on_from_an_offset_in_whole_characters(room: Workshop) -> None:
    run, printed = room.run("print('甲乙')")
    with room.world.by(room.world.merchant) as unit:
        first, there = scripts.output(unit, run, 0)
        assert (first, there) == (printed, len(printed.encode()))
        assert scripts.output(unit, run, there) == ("", there)
        assert scripts.output(unit, run, 10**9) == ("", 10**9)
        run.outcome = None
        log = room.world.platform.settings.workspaces_root / room.workspace_id / "scripts" / f"{run.id}.log"
        log.write_bytes("甲乙".encode()[:-1])
        assert scripts.output(unit, run, 0) == ("甲", 3)
        unit.session.rollback()


def test_saved_scripts_are_the_workspaces_own(room: Workshop) -> None:
    with room.world.by(room.world.merchant) as unit:
        first = scripts.save(unit, room.workspace_id, "汇总", "print(1)")
        assert scripts.save(unit, room.workspace_id, " 汇总 ", "print(2)").id == first.id
    with room.world.by(room.world.merchant) as unit:
        assert [(s.name, s.source) for s in scripts.saved(unit, room.workspace_id)] == [("汇总", "print(2)")]
    with pytest.raises(OutOfReach), room.world.by(room.world.stranger) as unit:
        scripts.delete(unit, first.id)
    with room.world.by(room.world.merchant) as unit:
        scripts.delete(unit, first.id)
        assert scripts.saved(unit, room.workspace_id) == []


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 81, "\u202e"])
def test_names_of_scripts_are_visible_and_short(room: Workshop, name: str) -> None:
    with pytest.raises(BadInput, match=r"script\.name"), room.world.by(room.world.merchant) as unit:
        scripts.save(unit, room.workspace_id, name, "print(1)")


def test_scripts_are_for_their_own_merchant_only(room: Workshop) -> None:
    run, _printed = room.run("print('秘密')")
    people: list[tuple[Actor, type[Exception]]] = [(room.world.stranger, OutOfReach)]
    people += [(who, NotPermitted) for who in (room.world.operator, room.world.officer, room.world.auditor)]
    for who, refusal in people:
        with pytest.raises(refusal), room.world.by(who) as unit:
            scripts.read(unit, run.id)
        with pytest.raises(refusal), room.world.by(who) as unit:
            folder.list_files(unit, room.workspace_id)
        with pytest.raises(refusal):
            scripts.start(room.world.platform, room.broker, who, room.workspace_id, "print(1)")


@pytest.mark.landlock
def test_scripts_and_imports_work_in_the_second_form_too(tmp_path: Path) -> None:
    """The medium tier may run scripts; one thread pool more than its limits allow would show here."""
    (tmp_path / "file").write_bytes(b"a,b\n1,x\n")
    settings = importing.Settings(workshop.READING, 512, rows=100, columns=10, unpacked_mb=64)
    table = importing.read(tmp_path / "file", tmp_path / "out", settings, LANDLOCK, lambda: None)
    assert table.path is not None, table.refused
    assert importing.detect(table.path, settings, LANDLOCK, lambda: None).found == ()
    medium = replace(selftest(), tier="medium", form=LANDLOCK)
    mount = WorkspaceMount("w", Mode.SIMULATED, tmp_path / "w", {"t": table.path}, quota_mb=512)
    source = "import os, polars as pl, sklearn.linear_model\nprint(pl.read_parquet(tables['t']).rows())"
    source += "\nprint(len(os.sched_getaffinity(0)), pl.thread_pool_size())"
    outcome = script.execute(mount, source, workshop.READING, medium)
    assert (outcome.kind, outcome.output) == ("done", "[(1, 'x')]\n1 1\n"), outcome.error
