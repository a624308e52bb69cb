"""The script `pds`: plain POSIX, at home from everywhere, sets up only what changed, says what is missing."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHELLS = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]
STAMPED = ("pds", "pyproject.toml", "requirements.lock", "requirements-test.lock", "package.json", ".npmrc")
FAKE_PYTHON = """#!/bin/sh
# Stands in for the interpreter of the environment: tells how it was called.
case "$*" in
  *"config get"*) exit 1 ;;
  *compileall*) exit 0 ;;
esac
printf '%s\\n' "$PWD" "$PDS_HOME" "$*"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with the script and an environment whose parts only tell how they are called."""
    place = tmp_path / "a project"
    binaries = place / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in STAMPED:
        shutil.copy(ROOT / name, place / name)
    (place / ".venv" / "pyvenv.cfg").write_text("version = 3.11.0\n")
    (place / ".venv" / ".pds-root").write_text(f"{place.resolve()}\n")
    _program(binaries / "python", FAKE_PYTHON)
    _program(binaries / "uv", f'#!/bin/sh\necho "uv $*" >>"{tmp_path}/uv.log"\n')
    return place


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _run(command: list[object], **options: object) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PDS_", "UV_"))}
    environment.update(options.pop("env", {}))  # type: ignore[call-overload]
    return subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, check=False, env=environment, timeout=60, **options
    )  # type: ignore[call-overload,no-any-return]


def _installs(project: Path) -> int:
    log = project.parent / "uv.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_can_read_it(shell: str) -> None:
    for script in ("pds", "deploy/relock.sh"):
        assert _run([shell, "-n", ROOT / script]).returncode == 0
        assert (ROOT / script).stat().st_mode & stat.S_IXUSR


def test_it_holds_nothing_that_only_bash_knows() -> None:
    text = (ROOT / "pds").read_text("utf-8")
    assert text.startswith("#!/bin/sh\n")
    for word in ("[[", "]]", "function ", "local ", "source ", "<<<", "pipefail", "$'", "&>"):
        assert word not in text, word


@pytest.mark.parametrize("shell", SHELLS)
def test_it_installs_once_and_again_only_after_a_change(project: Path, shell: str) -> None:
    first = _run([shell, project / "pds", "doctor"])
    assert first.returncode == 0, first.stderr
    assert _installs(project) == 1
    second = _run([shell, project / "pds", "doctor"])
    assert (second.returncode, second.stderr, _installs(project)) == (0, "", 1)
    with (project / "requirements.lock").open("a") as lock:
        lock.write("one-more==1.0\n")
    _run([shell, project / "pds", "doctor"])
    assert _installs(project) == 2
    (project / ".venv" / "pyvenv.cfg").write_text("version = 3.12.1\n")
    _run([shell, project / "pds", "doctor"])
    assert _installs(project) == 3


def test_it_works_from_any_folder_and_through_links(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "link").symlink_to(project / "pds")
    (elsewhere / "relative").symlink_to("link")
    for name in ("link", "relative"):
        done = _run([f"./{name}", "inspect", "a b.csv"], cwd=elsewhere)
        assert done.stdout.splitlines()[-3:] == [
            str(elsewhere),
            str(project / "var"),
            "-m api.cli.main inspect a b.csv",
        ]
    named = _run(["relative", "doctor"], cwd=tmp_path, env={"PATH": f"{elsewhere}:{os.environ['PATH']}"})
    assert named.stdout.splitlines()[-1] == "-m api.cli.main doctor"


def test_it_keeps_the_home_it_is_given_and_hands_tests_to_the_runner(project: Path, tmp_path: Path) -> None:
    done = _run([project / "pds", "doctor"], env={"PDS_HOME": "/srv/pds"})
    assert done.stdout.splitlines()[-2] == "/srv/pds"
    tests = _run([project / "pds", "test", "-k", "one thing"], cwd=tmp_path)
    assert tests.stdout.splitlines()[-1] == "-m tests.run -k one thing"
    assert tests.stdout.splitlines()[-3] == str(project)
    assert "requirements-test.lock" in (project.parent / "uv.log").read_text().splitlines()[-1]


def test_two_at_once_install_once(project: Path) -> None:
    _program(project / ".venv" / "bin" / "uv", f'#!/bin/sh\nsleep 1\necho "uv $*" >>"{project.parent}/uv.log"\n')
    both = [subprocess.Popen([project / "pds", "doctor"], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [one.communicate(timeout=60)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert _installs(project) == 1
    assert sum("waiting" in words for words in told) == 1


def test_a_failed_installation_leaves_no_stamp(project: Path) -> None:
    _program(project / ".venv" / "bin" / "uv", "#!/bin/sh\nexit 1\n")
    _program(project / ".venv" / "bin" / "python", '#!/bin/sh\ncase "$*" in *"pip install"*) exit 1 ;; esac\n')
    done = _run([project / "pds", "doctor"])
    assert done.returncode == 3
    assert "软件源" in done.stderr and "index" in done.stderr
    assert not (project / ".venv" / ".pds-runtime").exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"PIP_INDEX_URL": "https://mirror.example/simple"}, "https://mirror.example/simple"),
        ({"PIP_INDEX_URL": "https://a.example", "UV_INDEX_URL": "https://b.example"}, "https://b.example"),
        ({}, "https://configured.example/simple"),
    ],
)
def test_pips_index_is_uvs_index(project: Path, given: dict[str, str], expected: str) -> None:
    tell = '#!/bin/sh\ncase "$*" in *"config get global.index-url"*) echo https://configured.example/simple ;; esac\n'
    _program(project / ".venv" / "bin" / "python", tell)
    _program(project / ".venv" / "bin" / "uv", f'#!/bin/sh\necho "$UV_INDEX_URL" >"{project.parent}/index"\n')
    environment = {k: v for k, v in os.environ.items() if k != "PIP_INDEX_URL"}
    subprocess.run([project / "pds", "doctor"], env={**environment, **given}, check=True, capture_output=True)
    assert (project.parent / "index").read_text().strip() == expected


def test_without_python_it_says_what_to_install(project: Path, tmp_path: Path) -> None:
    shutil.rmtree(project / ".venv")
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in ("sh", "cat", "sha256sum", "dirname", "readlink", "rm", "mkdir", "mv"):
        (bare / tool).symlink_to(shutil.which(tool) or "")
    _program(bare / "python3", "#!/bin/sh\nexit 1\n")
    done = _run([shutil.which("sh") or "sh", project / "pds", "doctor"], env={"PATH": str(bare)})
    assert done.returncode == 3
    assert (
        "没有找到 Python 3.11" in done.stderr and "No Python 3.11" in done.stderr and "apt-get install" in done.stderr
    )


def test_without_ensurepip_it_says_what_mends_it(project: Path, tmp_path: Path) -> None:
    shutil.rmtree(project / ".venv")
    bare = tmp_path / "bin"
    bare.mkdir()
    _program(bare / "python3", f'#!/bin/sh\ncase "$*" in "-m venv"*) exit 1 ;; esac\nexec "{sys.executable}" "$@"\n')
    _program(bare / "uv", "#!/bin/sh\nexit 1\n")
    done = _run([project / "pds", "doctor"], env={"PATH": f"{bare}:{os.environ['PATH']}"})
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert done.returncode == 3
    assert "ensurepip" in done.stderr and version in done.stderr
    assert not (project / ".venv" / ".pds-runtime").exists()


def test_without_room_it_says_so_before_installing(project: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    _program(bare / "df", "#!/bin/sh\necho 'Filesystem 1024-blocks Used Available'; echo '/dev/x 9 9 1024000 9% /'\n")
    done = _run([project / "pds", "doctor"], env={"PATH": f"{bare}:{os.environ['PATH']}"})
    assert done.returncode == 3
    assert "1000 MB" in done.stderr and "磁盘" in done.stderr
    assert _installs(project) == 0


def test_locks_name_no_host_and_the_test_lock_holds_the_other() -> None:
    runtime, tests = (
        (ROOT / name).read_text().splitlines() for name in ("requirements.lock", "requirements-test.lock")
    )
    assert not [line for line in (*runtime, *tests) if "://" in line or line.startswith(("-", "torch"))]
    assert set(runtime) < set(tests)
    assert any(line.startswith("pytest==") for line in tests) and not any(line.startswith("pytest") for line in runtime)


@pytest.mark.parametrize(
    ("passed", "complete", "some", "code", "words"),
    [
        (True, True, False, 0, "ALL PASSED"),
        (True, True, True, 0, "chosen tests"),
        (True, False, False, 3, "PARTIAL"),
        (False, False, False, 1, "FAILED"),
    ],
)
def test_a_run_without_all_parts_is_no_full_pass(
    capsys: pytest.CaptureFixture[str], passed: bool, complete: bool, some: bool, code: int, words: str
) -> None:
    from tests.run import Part, summary

    missing = [] if complete else [Part("chromium", False, "the browser story")]
    assert summary([("pytest", passed, 1.0)], missing, some) == code
    shown = capsys.readouterr().out
    assert words in shown
    if not complete:
        assert "the browser story" in shown
    assert ("apt-get install -y --no-install-recommends chromium" in shown) == (code == 3)


def test_arguments_that_choose_tests_leave_the_other_checks_out() -> None:
    from tests.run import steps

    every = ["ruff", "mypy", "import-linter", "pytest side by side", "pytest one by one"]
    assert [name for name, _ in steps([])] == every
    assert [name for name, _ in steps(["-q"])] == every
    assert [name for name, _ in steps(["-k", "jail"])] == ["pytest"]


def test_every_folder_of_tests_is_run() -> None:
    from tests.run import ONE_BY_ONE, ROOT, SIDE_BY_SIDE

    folders = {str(file.parent.relative_to(ROOT)) for file in ROOT.glob("tests/**/test_*.py")}
    assert folders == {*SIDE_BY_SIDE, *ONE_BY_ONE}
