"""The command line: help without weight, one JSON document, exit codes, errors in two languages."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from api.cli import main as cli
from api.cli.health import chinese_font
from api.cli.main import COMMANDS, Entry, run
from api.cli.output import table, width
from policies.editions import HOME
from policies.text import Text

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    "duckdb",
    "polars",
    "prefect",
    "fastapi",
    "sqlalchemy",
    "sdv",
    "presidio_analyzer",
    "pyarrow",
    "numpy",
    "httpx",
}
PASSWORD = "a long enough password"
Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of its own."""
    place = tmp_path / "home"
    monkeypatch.setenv("PDS_HOME", str(place))
    monkeypatch.delenv("PDS_DATABASE_URL", raising=False)
    monkeypatch.setenv("PDS_NEW_PASSWORD", PASSWORD)
    monkeypatch.setenv("PDS_PASSWORD", PASSWORD)
    return place


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run one command with `--json`: its exit code and its document."""

    def _call(*arguments: object) -> tuple[int, Any]:
        code = run([*map(str, arguments), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return _call


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Twelve people who do not exist; their numbers are in a region nobody holds."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    lines = ["姓名,身份证号,区,金额"]
    for i, given in enumerate("伟芳娜敏静丽强磊军洋勇艳"):
        body = f"4499011990{i % 12 + 1:02d}15{100 + i}"
        check = "10X98765432"[sum(int(d) * w for d, w in zip(body, weights, strict=True)) % 11]
        lines.append(f"王{given},{body}{check},{'东区' if i % 2 else '西区'},{i * 10}.50")
    file = tmp_path / "people.csv"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


def leaves(entries: Any = COMMANDS, before: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Entry]]:
    found: list[tuple[tuple[str, ...], Entry]] = []
    for name, entry in entries.items():
        path = (*before, name)
        found += leaves(entry.inside, path) if entry.inside is not None else [(path, entry)]
    return found


# ---- help ---------------------------------------------------------------------------------------------------------
def test_help_imports_nothing_heavy_and_lists_every_command() -> None:
    code = f"import sys; from api.cli.main import run; c = run(['--help']); print(c, {HEAVY!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "0 set()"
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ") and " · " in line]
    assert set(COMMANDS) <= set(listed)


@pytest.mark.parametrize(("path", "entry"), leaves(), ids=lambda v: " ".join(v) if isinstance(v, tuple) else "")
def test_every_command_exists_and_says_chinese_first(
    path: tuple[str, ...], entry: Entry, capsys: pytest.CaptureFixture[str]
) -> None:
    module, _, function = entry.target.partition(":")
    help_of = getattr(import_module(module), function).__doc__
    assert help_of and "\n" not in help_of.strip()
    chinese, _, english = help_of.partition("·")
    assert not chinese.isascii() and english.strip()[:1].isascii()
    assert run([*path, "--help"]) == 0
    assert "显示帮助" in capsys.readouterr().out


def test_no_arguments_show_help_and_a_group_alone_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "check-export" in capsys.readouterr().out
    assert run(["policy"]) == 2
    shown = capsys.readouterr()
    assert not shown.out and "propose" in shown.err


# ---- what it prints -----------------------------------------------------------------------------------------------
def test_inspect_tells_tables_columns_and_findings(call: Call, people: Path) -> None:
    code, document = call("inspect", people)
    one = document["tables"][0]
    assert code == 0
    assert {"name", "source", "rows", "rejected_rows", "columns", "findings"} <= set(one)
    assert {"file", "encoding", "delimiter", "sheet", "header_row"} <= set(one["source"])
    assert one["rows"] == 12
    assert [c["name"] for c in one["columns"]] == ["姓名", "身份证号", "区", "金额"]
    assert all({"name", "type", "missing", "distinct"} <= set(c) for c in one["columns"])
    assert all({"code", "detail"} <= set(f) for f in one["findings"])


def test_detect_finds_identifiers_in_tables_and_masks_them(call: Call, people: Path) -> None:
    code, document = call("detect", people)
    by_name = {c["name"]: c["entities"] for c in document["tables"][0]["columns"]}
    number = by_name["身份证号"][0]
    assert code == 1
    assert (number["entity"], number["decision"], number["hits"], number["share"]) == ("CN_RESIDENT_ID", "is", 12, 1.0)
    raw = people.read_text("utf-8").split("\n")[1].split(",")[1]
    assert raw not in json.dumps(document, ensure_ascii=False)
    assert document["texts"] == []


def test_detect_searches_running_text(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "note.txt"
    file.write_text("请联系王先生，手机15400001234。\n谢谢。\n", "utf-8")
    code, document = call("detect", file)
    mobile = next(h for h in document["texts"] if h["entity"] == "CN_MOBILE")
    assert code == 1
    assert {"place", "entity", "start", "end", "masked"} <= set(mobile)
    assert file.read_text("utf-8")[mobile["start"] : mobile["end"]] == "15400001234" != mobile["masked"]


def test_grade_gives_level_and_role_of_every_column(call: Call, people: Path) -> None:
    code, document = call("grade", people)
    one = document["tables"][0]
    assert code == 0
    assert one["level"] == 4
    assert all(
        {"name", "category", "level", "sensitive", "identifier_role", "rule"} <= set(c) for c in one["columns"]
    )  # fmt: skip


def test_quality_gives_a_b_and_x_of_every_indicator(call: Call, people: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "tables:\n  - table: people\n    rules:\n      - {kind: unique_key, columns: [身份证号]}\n", "utf-8"
    )
    code, document = call("quality", people, "--rules", rules)
    indicators = document["tables"][0]["indicators"]
    assert code in (0, 1)
    assert indicators
    assert all({"code", "name", "a", "b", "x", "assessed"} <= set(i) for i in indicators)
    assert all(i["x"] is None for i in indicators if not i["assessed"])


def test_quality_rules_that_do_not_fit_the_table_are_refused_with_line_and_field(
    call: Call, people: Path, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "tables:\n  - table: people\n    rules:\n      - {kind: unique_key, columns: [身份证号]}\n"
        "      - kind: date_order\n        columns:\n          - 出生日期\n          - 没有的列\n",
        "utf-8",
    )
    code, document = call("quality", people, "--rules", rules)
    assert code == 1
    assert f"{rules}:6 tables[1].rules[2].columns" in json.dumps(document, ensure_ascii=False)
    rules.write_text("tables:\n  - table: 别的表\n    rules:\n      - {kind: expected_rows, rows: 3}\n", "utf-8")
    code, document = call("quality", people, "--rules", rules)
    assert code == 1
    assert f"{rules}:2 tables[1].table" in json.dumps(document, ensure_ascii=False)


def test_simulate_writes_marked_files_without_a_real_row(call: Call, people: Path, tmp_path: Path) -> None:
    code, document = call("simulate", people, "--rows", 9, "--seed", 5, "--out", tmp_path / "out")
    one = document["tables"][0]
    assert code == 0
    assert (one["rows"], one["engine"], one["privacy"]["exact_copies"]) == (9, "schema", 0)
    assert "score" in one["fidelity"] and one["verdict"]["outcome"] == "pass"
    assert "仿真数据" in one["file"] and Path(one["file"]).exists()


def test_simulate_asks_about_unclassified_text_and_takes_the_default_from_the_plan(call: Call, tmp_path: Path) -> None:
    file, plan = tmp_path / "cases.csv", tmp_path / "plan.yaml"
    file.write_text("办件情形,数量\n" + "".join(f"情形{n}号院{n}栋,{n}\n" for n in range(260)), "utf-8")
    code, document = call("simulate", file, "--rows", 5, "--out", tmp_path / "out")
    assert code == 1
    assert "办件情形" in json.dumps(document, ensure_ascii=False)
    plan.write_text("unclassified: shape\n", "utf-8")
    code, document = call("simulate", file, "--rows", 5, "--out", tmp_path / "out", "--plan", plan)
    assert code == 0
    decided = {d["column"]: d for d in document["tables"][0]["plan"]}
    assert (decided["办件情形"]["semantic"], decided["办件情形"]["by"]) == ("shape", "default")
    assert "情形" not in Path(document["tables"][0]["file"]).read_text("utf-8-sig").partition("\n")[2]


def test_simulate_keeps_columns_of_the_same_name_apart(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "twice.csv"
    file.write_text("数量,数量,类别\n1,2,甲\n3,4,乙\n5,6,甲\n", "utf-8")
    code, document = call("simulate", file, "--rows", 5, "--out", tmp_path / "out")
    assert code == 0
    header = Path(document["tables"][0]["file"]).read_text("utf-8-sig").splitlines()[0].split(",")
    assert len(header) == len(set(header)) == 3


def test_check_export_gives_the_verdict_and_every_rule(call: Call, people: Path, tmp_path: Path) -> None:
    file = tmp_path / "remark.csv"
    file.write_text("区,备注\n东区,联系15400001234\n西区,无\n", "utf-8")
    code, document = call("check-export", file, "--audience", "public")
    assert code == 1
    assert document["outcome"] != "pass"
    assert {"policy", "edition", "digest", "findings", "rules_evaluated"} <= set(document)
    assert "EXP-PII-01" in {f["rule"] for f in document["findings"]}
    assert all({"rule", "severity", "place", "measured", "threshold"} <= set(f) for f in document["findings"])


@pytest.mark.skipif(shutil.which("fc-list") is None or chinese_font() is None, reason="fontconfig, Chinese fonts")
def test_doctor_says_whether_plots_have_chinese_and_what_mends_it(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = tmp_path / "fonts.conf"
    none.write_text(f"<fontconfig><dir>{tmp_path}</dir><cachedir>{tmp_path}</cachedir></fontconfig>")
    for configured, state in ((None, "ok"), (none, "warn")):
        if configured:
            monkeypatch.setenv("FONTCONFIG_FILE", str(configured))
        (found,) = [c for c in call("doctor")[1]["checks"] if c["name"] == "plot_font"]
        assert (found["state"], found["fix"]["zh"]) == (state, "apt-get install fonts-noto-cjk")
    assert "方块" in found["found"]["zh"]


def test_selftest_and_doctor_tell_tier_and_what_mends(call: Call, home: Path) -> None:
    code, document = call("jail", "selftest")
    assert code == (0 if document["tier"] == "strong" else 1)
    assert all({"name", "stopped", "by"} <= set(a) for a in document["attacks"])
    _, doctor = call("doctor")
    names = {c["name"] for c in doctor["checks"]}
    assert {"python", "packages", "isolation", "database", "port", "disk", "policies", "keys", "lake"} <= names
    assert all(c["fix"] for c in doctor["findings"])
    assert not home.exists() or not (home / "metadata.sqlite").exists()


def test_policy_lint_and_diff(call: Call, tmp_path: Path) -> None:
    assert call("policy", "lint") == (0, {"checked": 8, "findings": []})
    draft = tmp_path / "draft.yaml"
    draft.write_text(_next_edition().replace("policy: workspace", "policy: workspace\nmisspelt: 1"), "utf-8")
    code, document = call("policy", "lint", draft)
    assert code == 1
    assert document["findings"][0]["line"] > 0
    draft.write_text(_next_edition(), "utf-8")
    code, document = call("policy", "diff", "workspace:2026-01", draft)
    assert code == 1
    assert {"edition", "supersedes", "effective_from"} <= {f["field"] for f in document["findings"]}


def test_bench_lists_its_benchmarks(call: Call) -> None:
    code, document = call("bench")
    assert code == 0
    assert "startup" in document["benchmarks"]


def test_release_verify_refuses_what_is_no_package(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "package.zip"
    file.write_bytes(b"not a zip")
    code, document = call("release", "verify", file)
    assert code == 1
    assert not document["trusted"] and document["findings"][0]["code"] == "unreadable"


# ---- an installation ----------------------------------------------------------------------------------------------
def _next_edition() -> str:
    text = (HOME / "workspace" / "2026-01.yaml").read_text("utf-8")
    return (
        text.replace('edition: "2026-01"', 'edition: "2026-02"')
        .replace("supersedes: null", 'supersedes: "2026-01"')
        .replace("effective_from: 2026-01-01", "effective_from: 2026-02-01")
    )


def _account(call: Call, login: str, role: str, *more: str) -> tuple[int, Any]:
    return call(
        "account", "create", login, "--role", role, "--organisation", "运营公司", "--kind", "operator", "--name", login,
        *more,
    )  # fmt: skip


def test_accounts_policies_and_audit_from_an_empty_home(call: Call, home: Path, tmp_path: Path) -> None:
    assert call("audit", "verify")[0] == 3
    assert call("migrate")[1]["before"] == "absent"
    assert call("migrate")[1]["before"] == "current"
    assert _account(call, "op", "operator")[0] == 0
    assert _account(call, "two", "operator")[1]["error"]["code"] == "usage.login"
    for login in ("officer1", "officer2"):
        assert _account(call, login, "compliance", "--as", "op")[0] == 0
    assert _account(call, "x", "operator", "--as", "officer1")[0] == 1

    file = tmp_path / "workspace.yaml"
    file.write_text(_next_edition(), "utf-8")
    assert call("policy", "propose", file, "--as", "op")[0] == 1
    code, proposed = call("policy", "propose", file, "--as", "officer1")
    assert (code, proposed["state"]) == (0, "proposed")
    assert call("policy", "activate", proposed["id"], "--as", "officer1")[1]["error"]["code"] == "policy.same_person"
    assert call("policy", "activate", proposed["id"], "--as", "officer2")[1]["state"] == "active"

    assert call("isolation", "decide", "medium", "--reason", "试点", "--as", "op")[1]["accepted"] == [
        "medium",
        "strong",
    ]
    assert (
        call("isolation", "decide", "weak", "--reason", "试点", "--as", "op")[1]["error"]["code"]
        == "isolation.weak_refused"
    )
    assert call("audit", "verify")[0] == 0
    _tamper(home / "metadata.sqlite")
    code, document = call("audit", "verify")
    assert (code, document["first_bad"], document["reason"]) == (1, 3, "altered")


def test_a_job_is_shown_with_its_steps_attempts_and_log(
    call: Call, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipelines.registry import HANDLERS
    from sandbox.kernel import jobs
    from sandbox.kernel.settings import Settings
    from sandbox.kernel.unit import Platform

    call("migrate")
    _account(call, "op", "operator")
    _account(call, "co", "compliance", "--as", "op")
    platform = Platform(Settings())
    with platform.system() as unit:
        job = unit.enqueue("refresh", "resource", "res-nothere00000").id
    assert jobs.execute(platform, HANDLERS, job) == "failed"
    platform.database.dispose()
    code, shown = call("job", "show", job, "--as", "op")
    assert (code, shown["state"], shown["error_code"]) == (0, "failed", "resource.not_found")
    (attempt,) = shown["attempts"]
    assert [(s["name"], s["state"], s["error_code"]) for s in attempt["steps"]] == [
        ("fetch", "failed", "resource.not_found")
    ]
    assert [e["event"] for e in shown["events"]] == ["job:enqueue", "job:fail"]
    found = call("job", "show", job, "--as", "op", "--find", "fail")[1]
    assert [e["event"] for e in found["events"]] == ["job:fail"]
    assert call("job", "show", job, "--as", "co")[1]["error"]["code"] == "permission.denied"
    assert call("job", "show", "job-nothere00000", "--as", "op")[1]["error"]["code"] == "job.not_found"
    capsys.readouterr()
    assert run(["job", "show", job, "--as", "op"]) == 0
    told = capsys.readouterr().out
    assert "从来源取数" in told and "怎么办" in told and "任务失败" in told


def _tamper(database: Path) -> None:
    """What the database's owner could do: take the triggers away and change a row."""
    connection = sqlite3.connect(database)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("UPDATE audit_event SET actor_id = 'somebody' WHERE seq = 3")
    connection.commit()
    connection.close()


def test_wrong_password_is_refused(call: Call, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("migrate")
    _account(call, "op", "operator")
    monkeypatch.setenv("PDS_PASSWORD", "something else")
    code, document = call("isolation", "decide", "medium", "--reason", "试点", "--as", "op")
    assert (code, document["error"]["code"]) == (1, "account.wrong_password")


# ---- errors -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["inspect", "/no/such/file.csv"], 2),
        (["inspect"], 2),
        (["nonsense"], 2),
        (["bench", "nonsense"], 2),
        (["simulate", "x.csv", "--rows", "none", "--out", "."], 2),
        (["policy", "diff", "export:1999-01", "export:2026-01"], 1),
    ],
)
def test_errors_are_one_document_in_both_languages(call: Call, arguments: list[str], code: int) -> None:
    found, document = call(*arguments)
    assert found == code
    assert set(document) == {"error"}
    assert document["error"]["text"]["zh"] and document["error"]["text"]["en"]


@pytest.mark.parametrize(("language", "words"), [("zh", "是空的"), ("en", "is empty"), ("", "是空的")])
def test_errors_speak_the_persons_language(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, language: str, words: str
) -> None:
    monkeypatch.setenv("PDS_LANG", language)
    file = tmp_path / "empty.csv"
    file.touch()
    assert run(["inspect", str(file)]) == 1
    shown = capsys.readouterr()
    assert words in shown.err and "reading.empty" in shown.err
    assert not shown.out


def test_a_crash_tells_its_kind_and_place_but_no_value(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, people: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret value")

    monkeypatch.setattr("pipelines.reading.read", fail)
    monkeypatch.delenv("PDS_DEBUG", raising=False)
    assert run(["inspect", str(people)]) == 3
    shown = capsys.readouterr()
    assert "RuntimeError" in shown.err and "secret" not in shown.err + shown.out


def test_tables_align_chinese_and_latin(capsys: pytest.CaptureFixture[str]) -> None:
    table((Text("列", "column"), Text("数", "n")), [("身份证号", 1), ("id", 1000)])
    lines = capsys.readouterr().out.splitlines()
    assert len({width(line) for line in lines}) == 1
    assert cli.WRONG_USE == 2
