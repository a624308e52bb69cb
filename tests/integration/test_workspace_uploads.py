"""社会数据: what a merchant may bring into a workspace, what is refused, and who decides on the rest."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import openpyxl
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition, LimitExceeded, NotPermitted, OutOfReach
from sandbox.workspaces import develop, importing, repository, service, uploads
from sandbox.workspaces.broker import Broker
from sandbox.workspaces.selftest import selftest
from tests import workshop
from tests.factories import World
from tests.workshop import NOTHING_PERSONAL, PERSONAL, Workshop

pytestmark = pytest.mark.jail
PLAIN = "门店,金额,开业日,编号\n甲,1.5,2026-01-02,007\n乙,2,2026-02-03,008\n".encode()
IDS = "姓名,身份证号\n" + "".join("王某某,11010519491231002X\n" for _ in range(20))
PHONES = "店主电话\n" + "".join(f"1390000{n:04d}\n" for n in range(30))


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    made = workshop.broker()
    yield made
    made.close()


@pytest.fixture
def room(world: World, broker: Broker, tmp_path: Path) -> Workshop:
    return Workshop.open(world, broker, tmp_path)


def read(content: bytes, folder: Path, folder_mb: int = 512) -> importing.Checked:
    """The reading half of the check, in its jail."""
    (folder / "file").write_bytes(content)
    settings = importing.Settings(workshop.READING, folder_mb, rows=100_000, columns=100, unpacked_mb=256)
    return importing.read(folder / "file", folder / "out", settings, selftest().form, lambda: None)


def workbook(**sheets: list[list[object]]) -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(out)
    return out.getvalue()


def xlsx_bomb() -> bytes:
    """A workbook one of whose parts unfolds to a gigabyte."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as part:
            for _ in range(300):
                part.write(b"0" * (1 << 20))
    return out.getvalue()


def with_macros() -> bytes:
    out = io.BytesIO(workbook(表=[["列"], ["值"]]))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("xl/vbaProject.bin", b"macro")
    return out.getvalue()


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def poisoned_parquet() -> bytes:
    """Good ends, and a middle full of lies."""
    good = parquet(pa.table({"n": list(range(5000)), "t": ["x" * 20] * 5000}))
    middle = bytearray(good)
    for place in range(8, len(good) // 2, 3):
        middle[place] ^= 0xFF
    return bytes(middle)


def test_a_check_may_leave_no_more_on_the_disk_than_its_folder_holds(tmp_path: Path) -> None:
    content = "值\n" + "".join(f"{hashlib.md5(bytes([n % 256, n // 256])).hexdigest()}\n" for n in range(60_000))
    assert read(content.encode(), tmp_path, folder_mb=1).refused == "disk_full"


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("data.csv", "a,b\n1,2\n")
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "kind", "rows", "types"),
    [
        pytest.param(lambda: PLAIN, "csv", 2, ["String", "Float64", "Date", "String"], id="utf-8 csv; codes stay text"),
        pytest.param(lambda: PLAIN.decode().encode("gb18030"), "csv", 2, None, id="gb18030"),
        pytest.param(lambda: PLAIN.decode().encode("utf-16"), "csv", 2, None, id="utf-16"),
        pytest.param(lambda: PLAIN.replace(b",", b"\t"), "csv", 2, None, id="tab separated"),
        pytest.param(lambda: workbook(表=[["店", "额"], ["甲", 3]]), "xlsx", 1, ["String", "Int64"], id="xlsx"),
        pytest.param(lambda: b'[{"a": 1, "b": {"c": [1]}}]', "json", 1, ["Int64", "String"], id="json, nested"),
        pytest.param(lambda: b'{"a": 1}\n{"a": 2}\n', "json", 2, ["Int64"], id="json lines"),
        pytest.param(lambda: parquet(pa.table({"n": [1, 2]})), "parquet", 2, ["Int64"], id="parquet"),
        pytest.param(lambda: "店\n=SUM(A1)\n@cmd\n".encode(), "csv", 2, ["String"], id="formula cells stay text"),
    ],
)
def test_a_table_is_read_by_what_it_holds_and_ends_as_plain_parquet(
    tmp_path: Path, content: Callable[[], bytes], kind: str, rows: int, types: list[str] | None
) -> None:
    checked = read(content(), tmp_path)
    assert checked.report is not None, checked.refused
    assert (checked.report["kind"], checked.report["rows"]) == (kind, rows)
    assert types is None or [c["type"] for c in checked.report["columns"]] == types
    assert checked.path is not None
    assert pl.read_parquet(checked.path).height == rows
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["table.parquet"]


def test_a_clean_table_comes_in_and_is_read_by_scripts_and_statements(room: Workshop) -> None:
    made = room.bring(PLAIN, "自有_1", file_name="../../店 \n.csv")
    assert (made.state, made.file_name) == ("accepted", "店 ⟨000A⟩.csv")
    place = room.world.platform.settings.uploads_root / made.id
    assert not (place / "original").exists(), "the file as it came is not kept"
    run, printed = room.run("import polars as pl\nprint(sorted(tables), pl.read_parquet(tables['自有_1'])['编号'][0])")
    assert (run.outcome, printed) == ("done", f"{sorted([room.table, '自有_1'])} 007\n")
    run, _printed = room.run("open(tables['自有_1'], 'ab').write(b'x')")
    assert run.outcome == "failed", "mounted read-only"
    found = develop.query(room.world.platform, room.broker, room.world.merchant, room.workspace_id,
                          'SELECT sum(金额) AS s FROM 自有_1')  # fmt: skip
    assert found.rows.to_pylist() == [{"s": 3.5}]
    kinds = {o.name: o.kind for o in develop.objects(
        room.world.platform, room.broker, room.world.merchant, room.workspace_id)}  # fmt: skip
    assert kinds == {room.table: "granted", "自有_1": "uploaded"}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(archive, "archive", id="an archive"),
        pytest.param(xlsx_bomb, "bomb", id="a workbook that unfolds to 300 MB"),
        pytest.param(with_macros, "macros", id="a workbook with macros"),
        pytest.param(poisoned_parquet, "unreadable", id="poisoned parquet"),
        pytest.param(lambda: b"PAR1" + b"\xff" * 300 + b"PAR1", "unreadable", id="parquet with a wild footer"),
        pytest.param(lambda: parquet(pa.table({"b": [b"x"]})), "binary", id="bytes"),
        pytest.param(lambda: b"\x89PNG\r\n\x1a\n", "kind", id="a picture"),
        pytest.param(lambda: b"\x00" * 100, "kind", id="nothing but zeros"),
        pytest.param(lambda: b"a,b\n\xff\xff\xff,1\n", "encoding", id="no encoding fits"),
        pytest.param(lambda: b"a,b\n1,2\n3,4,5\n", "delimiter", id="ragged from the start"),
        pytest.param(lambda: b"a,b\n" + b"1,2\n" * 300 + b"3,4,5\n", "ragged", id="ragged further down"),
        pytest.param(lambda: b"1,2\n3,4\n", "header", id="no header"),
        pytest.param(lambda: b"a,b\n", "empty", id="header only"),
        pytest.param(lambda: b"[1, 2]", "json", id="json that is no table"),
        pytest.param(lambda: b"[" * 100_000, "json", id="json nested without end"),
        pytest.param(lambda: workbook(甲=[["a"], [1]], 乙=[["a"], [1]]), "several_sheets", id="two sheets"),
        pytest.param(lambda: workbook(甲=[["报表", None], ["a", "b"]]), "header", id="merged title above the header"),
        pytest.param(lambda: b"PK\x03\x04" + b"\x00" * 60, "unreadable", id="half an archive"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(
    tmp_path: Path, content: Callable[[], bytes], code: str
) -> None:
    checked = read(content(), tmp_path)
    expected = {code, "crashed"} if code == "unreadable" else {code}
    assert checked.refused in expected
    text, _fix = importing.REFUSALS[checked.refused]
    assert "{" not in text.fill(**{k: str(v) for k, v in (checked.detail or {}).items()}).zh


def test_a_refused_file_tells_its_merchant_why_and_leaves_nothing(room: Workshop) -> None:
    made = room.bring(b"a,b\n" + b"1,2\n" * 300 + b"3,4,5\n")
    assert made.state == "refused"
    assert made.refusal is not None
    assert made.refusal["text"]["zh"] == "第 302 行的列数不是 2"
    assert not (room.world.platform.settings.uploads_root / made.id).exists()


def test_personal_data_declared_as_none_is_the_operators_decision(room: Workshop) -> None:
    made = room.bring(PHONES.encode(), "店主")
    assert (made.state, made.reasons) == ("needs_decision", ["contradiction"])
    (finding,) = made.found
    assert (finding["entity"], finding["cells"]) == ("CN_MOBILE", 30)
    assert all("*" in example for example in finding["examples"])
    assert "13900000001" not in str(made.report) + str(made.found), "evidence is masked; no value is kept"
    with room.world.system() as unit:
        assert uploads.tables(unit, repository.get(unit.session, room.workspace_id)) == {}
    for who in (room.world.merchant, room.world.officer):
        with pytest.raises(NotPermitted), room.world.by(who) as unit:
            uploads.decide(unit, made.id, "accept", "理由")
    with pytest.raises(BadInput), room.world.by(room.world.operator) as unit:
        uploads.decide(unit, made.id, "accept", " ")
    with room.world.by(room.world.operator) as unit:
        uploads.decide(unit, made.id, "refuse", "声明不实")
    assert room.upload(made.id).state == "refused"
    assert not (room.world.platform.settings.uploads_root / made.id).exists()


def test_identifiers_of_level_4_need_a_decision_even_when_declared(room: Workshop) -> None:
    made = room.bring(IDS.encode(), "会员", provenance=PERSONAL)
    assert (made.state, made.reasons) == ("needs_decision", ["identifiers"])
    with room.world.by(room.world.operator) as unit:
        uploads.decide(unit, made.id, "accept", "已核实同意书")
    assert room.upload(made.id).state == "accepted"
    with pytest.raises(InvalidTransition), room.world.by(room.world.operator) as unit:
        uploads.decide(unit, made.id, "refuse", "太迟")


def test_declared_personal_data_below_level_4_comes_in(room: Workshop) -> None:
    assert room.bring(PHONES.encode(), "店主", provenance=PERSONAL).state == "accepted"


def test_a_new_version_replaces_the_old_and_removal_deletes_the_bytes(room: Workshop) -> None:
    first = room.bring(PLAIN, "店")
    second = room.bring(PLAIN + b"\xe4\xb8\x99,3,2026-03-04,009\n", "店")
    assert (second.version, second.state, room.upload(first.id).state) == (2, "accepted", "replaced")
    for made in (first, second):
        uploads.remove(room.world.platform, room.broker, room.world.merchant, made.id)
        assert room.upload(made.id).state == "removed"
        assert not (room.world.platform.settings.uploads_root / made.id).exists()
    facts = room.world.events("upload:remove")[-1].facts
    assert (facts["sha256"], facts["gone"]) == (second.table_sha256, True)


@pytest.mark.parametrize(
    "name", ["", "1a", "a b", 'a"b', "a;drop", "../x", "a\nb", "a" * 64, "a" * 10_000, "表\u202e", "a.b", "-"]
)
def test_a_bad_name_is_refused_before_a_byte_is_stored(room: Workshop, name: str) -> None:
    with pytest.raises(BadInput, match=r"upload\.name"):
        room.bring(PLAIN, name)
    assert not room.world.platform.settings.uploads_root.exists()


def test_names_of_granted_tables_and_of_waiting_uploads_are_taken(room: Workshop) -> None:
    with pytest.raises(Conflict, match=r"upload\.name_taken"):
        room.bring(PLAIN, room.table)
    room.bring(PHONES.encode(), "店主")
    with pytest.raises(Conflict, match=r"upload\.waiting"):
        room.bring(PLAIN, "店主")


@pytest.mark.parametrize("field", ["source", "basis", "licence", "contact", "period"])
def test_every_entry_of_the_declaration_is_needed(room: Workshop, field: str) -> None:
    with pytest.raises(BadInput, match=r"upload\.provenance"):
        room.bring(PLAIN, provenance=replace(NOTHING_PERSONAL, **{field: "  "}))  # type: ignore[arg-type]


def test_the_statement_has_to_be_made(room: Workshop) -> None:
    with pytest.raises(BadInput, match=r"upload\.statement"):
        uploads.bring(room.world.platform, room.world.merchant, room.workspace_id, io.BytesIO(PLAIN), file_name="a",
                      name="a", provenance=NOTHING_PERSONAL, statement=False)  # fmt: skip


def test_a_file_over_the_limit_leaves_nothing(room: Workshop) -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return b"x" * size

    with pytest.raises(LimitExceeded, match=r"upload\.too_large"):
        uploads.bring(room.world.platform, room.world.merchant, room.workspace_id, Endless(), file_name="a",  # type: ignore[arg-type]
                      name="a", provenance=NOTHING_PERSONAL, statement=True)  # fmt: skip
    assert list(room.world.platform.settings.uploads_root.iterdir()) == []


def test_uploads_are_their_merchants_own(room: Workshop) -> None:
    made = room.bring(PLAIN)
    with pytest.raises(OutOfReach), room.world.by(room.world.stranger) as unit:
        uploads.get(unit, made.id)
    with pytest.raises(OutOfReach):
        uploads.remove(room.world.platform, room.broker, room.world.stranger, made.id)
    with room.world.by(room.world.stranger) as unit:
        assert uploads.queue(unit) == []
    with room.world.by(room.world.operator) as unit:
        assert [u.id for u in uploads.queue(unit)] == [made.id]


def test_closing_the_workspace_deletes_what_was_brought_into_it(room: Workshop) -> None:
    made = room.bring(PLAIN, "店")
    late = uploads.bring(room.world.platform, room.world.merchant, room.workspace_id, io.BytesIO(PLAIN),
                         file_name="a", name="晚", provenance=NOTHING_PERSONAL, statement=True)  # fmt: skip
    with room.world.by(room.world.merchant) as unit:
        service.change(unit, room.workspace_id, "close")
    room.check()
    assert (room.upload(made.id).state, room.upload(late.id).state) == ("removed", "refused")
    assert list(room.world.platform.settings.uploads_root.iterdir()) == []
