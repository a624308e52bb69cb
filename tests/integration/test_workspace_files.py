"""The folder of a workspace belongs to hostile programs: what the platform lists, opens, deletes and calls it."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.kernel.errors import Conflict, NotFound
from sandbox.workspaces import files
from sandbox.workspaces.files import contents, delete, disposition, download_name, file_id, open_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one of everything, and a secret beside it."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("geheim")
    made = tmp_path / "simulated"
    (made / "sub").mkdir(parents=True)
    (made / "plain.csv").write_text("a,b\n1,2\n")
    (made / "sub" / "plot.png").write_bytes(b"\x89PNG\r\n\x1a\n123")
    (made / "fake.png").write_text("<svg onload=alert(1)>")
    (made / "link").symlink_to(tmp_path / "secret" / "key")
    (made / "up").symlink_to(tmp_path / "secret", target_is_directory=True)
    os.link(tmp_path / "secret" / "key", made / "hard")
    os.mkfifo(made / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(made / "sock"))
    with (made / "sparse").open("wb") as out:
        out.truncate(1 << 40)
    (made / "workspace.duckdb").write_bytes(b"db")
    (made / "workspace.duckdb.wal").write_bytes(b"wal")
    return made


KINDS = {
    "plain.csv": "table", "sub/plot.png": "picture", "fake.png": "text", "link": "not_a_file", "up": "not_a_file",
    "hard": "not_a_file", "pipe": "not_a_file", "sock": "not_a_file", "sparse": "other", "workspace.duckdb": "database",
    "workspace.duckdb.wal": "database",
}  # fmt: skip


def test_every_entry_is_listed_as_what_it_is_without_waiting_for_any(folder: Path) -> None:
    held = contents(folder)
    assert {f.path: f.kind for f in held.files} == KINDS
    sparse = next(f for f in held.files if f.path == "sparse")
    assert sparse.size == 1 << 40
    assert held.on_disk < 1 << 20, "the quota counts what lies on the disk"


@pytest.mark.parametrize("path", [p for p, kind in KINDS.items() if kind in ("not_a_file", "database")])
def test_nothing_but_an_ordinary_file_with_one_name_is_opened(folder: Path, path: str) -> None:
    with pytest.raises(NotFound):
        open_file(folder, file_id(path.encode()))


@pytest.mark.parametrize(
    "path",
    [
        b"../secret/key", b"sub/../../secret/key", b"/etc/passwd", b"up/key", b"sub/./plot.png", b"", b"/", b"a//b",
        b"plain.csv\0.png", b"plain.csv/", b"plain.csv/x", b"x" * 10_000, b"a/" * 5000 + b"b", b"\xff\xfe", b".", b"..",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_folder(folder: Path, path: bytes) -> None:
    for step in (open_file, delete):
        with pytest.raises(NotFound):
            step(folder, file_id(path))


@pytest.mark.parametrize("name", ["", "=", "!!", "ÄÄ", "a", "A" * 9999, "../..", "\n"])
def test_what_is_no_number_of_a_file_is_not_found(folder: Path, name: str) -> None:
    with pytest.raises(NotFound):
        open_file(folder, name)


def test_a_link_or_pipe_is_deleted_itself(folder: Path, tmp_path: Path) -> None:
    for path in ("link", "up", "hard", "pipe", "sock", "sparse", "plain.csv", "sub/plot.png"):
        delete(folder, file_id(path.encode()))
    assert (tmp_path / "secret" / "key").read_text() == "geheim"
    assert {f.path for f in contents(folder).files} == {"fake.png", "workspace.duckdb", "workspace.duckdb.wal"}


def test_the_database_is_not_deleted_under_a_worker(folder: Path) -> None:
    with pytest.raises(Conflict):
        delete(folder, file_id(b"workspace.duckdb"))
    with pytest.raises(NotFound):
        delete(folder, file_id(b"sub"))


def test_content_is_read_to_the_size_at_opening(folder: Path) -> None:
    opened = open_file(folder, file_id(b"plain.csv"))
    with (folder / "plain.csv").open("a") as more:
        more.write("3,4\n")
    assert b"".join(opened.blocks()) == b"a,b\n1,2\n"
    assert opened.stream.closed


def test_a_picture_is_one_by_its_bytes(folder: Path) -> None:
    for path, expected in ((b"sub/plot.png", True), (b"fake.png", False)):
        opened = open_file(folder, file_id(path))
        opened.stream.close()
        assert opened.is_png is expected


def test_a_folder_swapped_for_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "sub").rename(tmp_path / "away")
    (folder / "sub").symlink_to(tmp_path / "away", target_is_directory=True)
    with pytest.raises(NotFound):
        open_file(folder, file_id(b"sub/plot.png"))
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert contents(folder).files == ()


def test_looking_is_bounded(tmp_path: Path) -> None:
    deep = tmp_path
    for n in range(30):
        deep = deep / f"d{n}"
    deep.mkdir(parents=True)
    (deep / "file").touch()
    assert contents(tmp_path).files == (), "deeper than anybody looks"
    for n in range(50):
        (tmp_path / f"{n}").touch()
    limit, files._LOOKED_AT = files._LOOKED_AT, 20
    try:
        held = contents(tmp_path)
    finally:
        files._LOOKED_AT = limit
    assert not held.complete
    assert len(held.files) <= 20


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert contents(tmp_path / "none") == files.Contents((), 0, True)


OWN = (b"workspace.duckdb", b"workspace.duckdb.wal")
"""the workspace's database is its own case: it is never deleted"""
NAMES = st.binary(min_size=1, max_size=255).filter(lambda n: not set(n) & {0, 47} and n not in (b".", b"..", *OWN))


@settings(deadline=None)
@given(NAMES)
def test_any_name_can_be_shown_addressed_and_saved(tmp_path_factory: pytest.TempPathFactory, name: bytes) -> None:
    place = tmp_path_factory.mktemp("names")
    handle = os.open(os.path.join(os.fsencode(place), name), os.O_CREAT | os.O_WRONLY)
    os.write(handle, b"x")
    os.close(handle)
    (entry,) = contents(place).files
    assert entry.path.isprintable()
    if entry.readable:
        assert b"".join(open_file(place, entry.id).blocks()) == b"x"
    header = disposition(entry.path)
    assert header.isascii() and header.isprintable()
    assert header.count('"') == 2
    saved = download_name(entry.path)
    assert saved.startswith("仿真数据_") and len(saved) <= 140
    assert not set(saved) & set('/\\:*?"<>|\r\n')
    delete(place, entry.id)
    assert stat.S_ISDIR(place.stat().st_mode)


@pytest.mark.parametrize(
    ("path", "saved"),
    [
        ("图.png", "仿真数据_图.png"), ("a/b/结果.csv", "仿真数据_结果.csv"), ("CON", "仿真数据__CON"),
        ("nul.txt", "仿真数据__nul.txt"), ("..", "仿真数据_file"), ("a⟨202E⟩gnp.exe", "仿真数据_a_202E_gnp.exe"),
        ('x";\r\nSet-Cookie: a=b', "仿真数据_x_;__Set-Cookie_ a=b"), ("x" * 10_000, "仿真数据_" + "x" * 119),
    ],
)  # fmt: skip
def test_saved_names_are_marked_and_harmless(path: str, saved: str) -> None:
    assert download_name(path) == saved
