"""A proof in its jail: the same evidence as without one, and every other end has a name and leaves nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from policies.verdict import Outcome
from sandbox.exports.gate import evaluate
from sandbox.products import proving
from sandbox.products.entities import EntityRegister, SessionCodes
from sandbox.products.evidence import Evidence, derive
from sandbox.products.evidence_files import Caps
from sandbox.products.proving import Asked, Place, Room
from sandbox.products.records import BITS
from sandbox.products.source import EntityKey, EvidenceError, Source, Through
from sandbox.products.spec import JobSpec, as_data, parse
from sandbox.workspaces import jail, selftest, snapshot
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import ProtocolError
from tests.export_subjects import CLINIC, clinic_sources, edition, job, source, subject_of, write

LIMITS = Limits(
    memory_mb=2048, cpu_seconds=60, wall_seconds=60, processes=64, file_mb=256, result_rows=1, result_mb=1, threads=2
)
ROOM = Room(LIMITS, 512, Caps(rows=10_000, cells=10_000, file_mb=64))
TWO_CUBES = """
job: two-cubes
edition: 2
inputs: {visit: {grant: G-1}, resident: {grant: G-2}}
reference:
  - {name: district, from: resident, dimensions: [区], measures: {人数: {op: count}}}
product: {from: visit, dimensions: [就诊日期], measures: {人次: {op: count}, 费用: {op: sum, of: 费用}}}
output: {kind: aggregate, format: csv}
"""
MARK = "绝不外泄"
"""part of every value of a hostile source; no error may hold it"""


@dataclass
class Seen:
    """Looks on: `act` is called when the proof reaches a step, and may ask to stop."""

    act: Callable[[str], object] = lambda _step: None
    stop: bool = False

    def __post_init__(self) -> None:
        self.steps: list[str] = []

    def progress(self, step: str, share: float) -> None:
        assert 0 <= share <= 1
        self.steps.append(step)
        self.act(step)

    def cancelled(self) -> bool:
        return self.stop


@pytest.fixture(scope="module")
def form() -> str:
    return selftest.selftest().form


@pytest.fixture
def place(tmp_path: Path, form: str) -> Place:
    work = tmp_path / "work"
    work.mkdir()
    return Place(form, ROOM, work)


def proved(spec: JobSpec, sources: dict[str, Source], place: Place, halves: int = 2, **more: Any) -> Evidence:
    return proving.prove(spec, sources, Asked(halves), codes=more.pop("codes", SessionCodes()), place=place)


def left(place: Place) -> list[Path]:
    return list(place.work.rglob("*"))


@pytest.fixture
def endless(tmp_path: Path) -> tuple[JobSpec, dict[str, Source]]:
    """A join of everybody with everybody: it would take minutes."""
    files = []
    for name in "tu":
        files.append(tmp_path / f"{name}.parquet")
        duckdb.sql(
            f"SELECT '{MARK}' || range AS 身份证号, 1 AS k, '东' AS 区, range * 1.5 AS 费用 FROM range(200000)"
        ).write_parquet(str(files[-1]))
    spec = parse(
        job(inputs={"t": {"grant": "G-1"}, "u": {"grant": "G-2"}}, join=[{"input": "u", "on": {"k": "k"}}],
            dimensions=["t.区"], measures={"次": {"op": "count"}, "和": {"op": "sum", "of": "t.费用"}})
    )  # fmt: skip
    return spec, {"t": source(files[0]), "u": source(files[1], ())}


# ---- the same evidence ----


@pytest.mark.parametrize("form", [f for f in jail.forms() if f != "limits-only"])
def test_the_jail_gives_what_derive_gives(form: str, tmp_path: Path) -> None:
    spec, sources = parse(CLINIC), clinic_sources(tmp_path)
    (tmp_path / "work").mkdir()
    expected = derive(spec, sources, codes=SessionCodes(), halves=2)
    found = proved(spec, sources, Place(form, ROOM, tmp_path / "work"))
    assert found.rows == expected.rows and found.job == expected.job and found.sources == expected.sources
    assert [k.proved for k in found.kinds] == [True]
    assert found.kinds[0].cells.equals(expected.kinds[0].cells)
    assert found.kinds[0].bitmaps == expected.kinds[0].bitmaps
    assert list((tmp_path / "work").rglob("*")) == []


def test_codes_come_from_the_register_and_its_secret_stays_outside(tmp_path: Path, place: Place) -> None:
    register = EntityRegister(tmp_path / "register", b"s" * 32)
    register.assign("person", [f"P{i:06d}" for i in reversed(range(400))])
    found = proved(parse(CLINIC), clinic_sources(tmp_path), place, codes=register)
    expected = derive(parse(CLINIC), clinic_sources(tmp_path), codes=register, halves=1)
    assert found.kinds[0].bitmaps == expected.kinds[0].bitmaps


# ---- seeds ----


S = "5" * 64
D = "d" * 64


def test_the_seed_is_drawn_once_and_after_the_values_are_frozen(tmp_path: Path, place: Place) -> None:
    told: list[str] = []
    asked = Asked(2, seed=lambda output: told.append(output) or S)
    found = proving.prove(parse(CLINIC), clinic_sources(tmp_path), asked, codes=SessionCodes(), place=place)
    assert told == [found.record.digests["frozen"]] and found.record.seed == S


@pytest.mark.parametrize("digest", ["not a digest", None, 7, "d" * 200], ids=str)
def test_a_seed_is_given_for_a_digest_only(digest: object) -> None:
    with pytest.raises(ProtocolError):
        proving.Seeds(lambda _output: S).draw(digest)


def test_a_second_seed_is_refused() -> None:
    seeds = proving.Seeds(lambda _output: S)
    seeds.draw(D)
    with pytest.raises(ProtocolError):
        seeds.draw(D)


def test_evidence_with_another_seed_or_other_values_does_not_fit(tmp_path: Path) -> None:
    found = derive(parse(TWO_CUBES), clinic_sources(tmp_path), codes=SessionCodes(), halves=1, seed=lambda _output: S)
    seeds = proving.Seeds(lambda _output: S)
    assert not seeds.fit(found)
    seeds.draw(found.record.digests["frozen"])
    assert seeds.fit(found)
    assert not seeds.fit(replace(found, record=replace(found.record, seed="6" * 64)))
    assert seeds.fit(replace(found, record=replace(found.record, digests={})))  # what it says of itself is not asked
    assert not seeds.fit(exchanged(found))
    assert not seeds.fit(replace(found, references=(exchanged(found.references[0]),)))
    assert not seeds.fit(replace(found, groupings=(1, *found.groupings[1:])))


def exchanged(evidence: Evidence) -> Evidence:
    """The same with one value that is another."""
    first, *rest = evidence.rows
    return replace(evidence, rows=((*first[:-1], first[-1] + 1), *rest))


# ---- twins ----


def test_a_twin_holds_granted_columns_and_codes_only(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"身份证号": ["A", "b", " B", None], "区": list("东东西西"), "秘": [MARK] * 4})
    one = replace(source(path), columns=("区",), rows="区 <> '北'")
    (tmp_path / "in").mkdir()
    made = proving.twin.made(one, SessionCodes(), tmp_path / "in" / "twins", proving.twin.Room(256, 1))
    rows = duckdb.sql(f"SELECT * FROM read_parquet('{made.files[0]}')")
    assert rows.columns == ["区", "__e_person", "__u_person"]
    assert list(map(str, rows.types[1:])) == ["UINTEGER", "UBIGINT"]
    assert rows.project("区, __e_person").fetchall()[:3] == [("东", 0), ("东", 1), ("西", 1)]
    assert MARK.encode() not in Path(made.files[0]).read_bytes()


def test_a_record_has_one_number_in_every_version_and_grant(tmp_path: Path) -> None:
    rows = {"身份证号": ["甲", "甲", "乙", None], "区": ["东", "西", "东", "东"], "费用": [1.0, 2.0, None, 3.0]}
    later = {name: [*reversed(cells), cells[0]] for name, cells in rows.items()} | {"费用": [3.0, None, 2.0, 1.0, 9.0]}
    codes, room = SessionCodes(), proving.twin.Room(256, 1)

    def numbered(name: str, table: dict[str, list[Any]], columns: tuple[str, ...]) -> dict[tuple[Any, ...], Any]:
        one = replace(source(write(tmp_path / name, table)), columns=columns)
        made = proving.twin.made(one, codes, tmp_path / f"{name}-twins", room)
        listed = f"SELECT {', '.join(columns)}, __e_person, __u_person FROM read_parquet('{made.files[0]}')"
        return {found[:-1]: found[-1] for found in duckdb.sql(listed).fetchall()}

    first = numbered("1.parquet", rows, ("区", "费用"))
    second = numbered("2.parquet", later, ("区", "费用"))
    narrow = numbered("3.parquet", rows, ("区",))
    assert first.items() <= second.items() and len(set(second.values())) == len(second) == 5
    assert set(narrow.values()) == set(first.values())
    assert all(number is None or number >> BITS == owner for (*_, owner), number in second.items())
    assert first["东", 3.0, None] is None, "nobody's"


def test_an_owner_is_followed_through_another_table_and_a_holding_is_numbered(tmp_path: Path) -> None:
    orders = write(tmp_path / "o.parquet", {"单": ["1", "2", "3"], "客": ["甲", "乙", None]})
    lines = write(
        tmp_path / "l.parquet", {"单": ["2", "1", "2", "9"], "集团": ["G", None, "G", "H"], "额": [1, 2, 3, 4]}
    )
    key = EntityKey("customer", "单", through=Through((str(orders),), "单", "客"), holding="集团")
    (tmp_path / "in").mkdir()
    made = proving.twin.made(
        replace(source(lines, (key,)), columns=("额",)),
        SessionCodes(),
        tmp_path / "in" / "t",
        proving.twin.Room(256, 1),
    )
    rows = duckdb.sql(
        f"SELECT 额, __e_customer, __h_customer FROM read_parquet('{made.files[0]}') ORDER BY 额"
    ).fetchall()
    first, second, third, fourth = rows
    assert first[1] == third[1] != second[1] and first[2] == third[2] != fourth[2] and second[2] is None


def test_a_key_with_two_owners_is_refused(tmp_path: Path, place: Place) -> None:
    orders = write(tmp_path / "o.parquet", {"单": ["1", "1"], "客": [f"{MARK}1", f"{MARK}2"]})
    lines = write(tmp_path / "l.parquet", {"单": ["1"], "区": ["东"], "费用": [1.0]})
    key = EntityKey("customer", "单", through=Through((str(orders),), "单", "客"))
    with pytest.raises(EvidenceError) as raised:
        proved(parse(job()), {"t": source(lines, (key,))}, place)
    assert raised.value.code == "evidence.two_owners"
    assert left(place) == [] and MARK not in words(raised.value)


def test_a_twin_is_made_once_and_goes_with_its_snapshot(tmp_path: Path, place: Place) -> None:
    root = tmp_path / "snapshots"
    root.mkdir()
    sources = {a: replace(s, digest=f"{n:064x}") for n, (a, s) in enumerate(clinic_sources(tmp_path).items())}
    kept = replace(place, twins=root)
    proved(parse(CLINIC), sources, kept)
    twins = {p: p.stat().st_mtime_ns for p in root.rglob("*.parquet")}
    assert len(twins) == 2 and all(p.stat().st_mode & 0o777 == 0o444 for p in twins)
    proved(parse(CLINIC), sources, kept)
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*.parquet")} == twins
    proved(
        parse(CLINIC), {a: replace(s, columns=("身份证号", "区", "费用", "就诊日期")) for a, s in sources.items()}, kept
    )
    assert len(list(root.rglob("*.parquet"))) == 2  # the same columns: the same twin
    assert all(snapshot.dispose(root, s.digest) for s in sources.values())
    assert list(root.iterdir()) == []


def test_no_folder_of_a_workspace_shows_a_twin(tmp_path: Path) -> None:
    """A snapshot is mounted by its one file, and a twin lies beside the snapshot's folder, not in it."""
    made = snapshot.twins_of(tmp_path, "a" * 64) / "x.parquet"
    mounted = jail.snapshot_file(tmp_path / ("a" * 64))
    assert made.parent != Path(mounted).parent and made.parent.parent == tmp_path


# ---- other ends ----


def words(error: EvidenceError) -> str:
    fix = error.fix.as_dict() if error.fix else {}
    return f"{error} {error.text.as_dict()} {fix} {error.detail} {error.__cause__} {error.__context__}"


def test_endless_work_ends_at_its_time_limit(endless: Any, place: Place) -> None:
    room = replace(ROOM, limits=replace(LIMITS, wall_seconds=3))
    with pytest.raises(EvidenceError) as raised:
        proved(*endless, replace(place, room=room))
    assert raised.value.code == "evidence.time_limit" and left(place) == []
    assert MARK not in words(raised.value) and str(place.work) not in words(raised.value)


def test_processor_time_is_bounded_too(endless: Any, place: Place) -> None:
    room = replace(ROOM, limits=replace(LIMITS, cpu_seconds=3))
    with pytest.raises(EvidenceError) as raised:
        proved(*endless, replace(place, room=room))
    assert raised.value.code == "evidence.time_limit" and left(place) == []


def test_memory_that_is_not_there_is_named(endless: Any, place: Place) -> None:
    spec = parse(job(dimensions=["身份证号"], measures={"和": {"op": "sum", "of": "费用"}}))
    room = replace(ROOM, limits=replace(LIMITS, memory_mb=400), caps=replace(ROOM.caps, rows=10**6))
    with pytest.raises(EvidenceError) as raised:
        proved(spec, {"t": endless[1]["t"]}, replace(place, room=room))
    assert raised.value.code == "evidence.memory_limit" and left(place) == []
    assert MARK not in words(raised.value)


def test_a_disk_that_is_filled_is_named(endless: Any, place: Place) -> None:
    changes = {"dimensions": ["t.身份证号", "u.费用"], "measures": {"次": {"op": "count"}}}
    spec = parse({**as_data(endless[0]), **changes})
    room = replace(ROOM, folder_mb=40, limits=replace(LIMITS, memory_mb=768))
    with pytest.raises(EvidenceError) as raised:
        proved(spec, endless[1], replace(place, room=room))
    assert raised.value.code == "evidence.disk_full" and left(place) == []


def test_evidence_over_its_size_is_refused(place: Place, tmp_path: Path) -> None:
    room = replace(ROOM, caps=replace(ROOM.caps, rows=1))
    with pytest.raises(EvidenceError) as raised:
        proved(parse(CLINIC), clinic_sources(tmp_path), replace(place, room=room), halves=1)
    assert raised.value.code == "evidence.protocol" and left(place) == []


def test_a_proof_that_is_cancelled_stops(endless: Any, place: Place) -> None:
    seen = Seen()
    seen.act = lambda step: setattr(seen, "stop", step != "twins")
    watched = replace(place, watch=seen)
    with pytest.raises(EvidenceError) as raised:
        proved(*endless, watched)
    assert raised.value.code == "evidence.cancelled" and left(place) == []


def test_whoever_looks_on_may_end_it_with_an_error_of_its_own(endless: Any, place: Place) -> None:
    def lost(step: str) -> None:
        if step != "twins":
            raise KeyboardInterrupt

    before = children()  # other tests' servers may keep jails of their own in this process
    with pytest.raises(KeyboardInterrupt):
        proved(*endless, replace(place, watch=Seen(lost)))
    assert left(place) == [] and set(children()) <= set(before)


def test_a_killed_jail_is_told_as_one(endless: Any, place: Place) -> None:
    before = children()

    def kill(step: str) -> None:
        if step != "twins":
            for pid in set(children()) - set(before):
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(EvidenceError) as raised:
        proved(*endless, replace(place, watch=Seen(kill)))
    assert raised.value.code == "evidence.crashed" and left(place) == []


def test_after_a_bomb_the_next_proof_goes_on(endless: Any, place: Place, tmp_path: Path) -> None:
    with pytest.raises(EvidenceError):
        proved(*endless, replace(place, room=replace(ROOM, limits=replace(LIMITS, wall_seconds=2))))
    folder = tmp_path / "next"
    folder.mkdir()
    assert proved(parse(CLINIC), clinic_sources(folder), place).kinds[0].proved


def children() -> list[int]:
    """Child processes of this one that are still there."""
    found = []
    for thread in Path("/proc/self/task").iterdir():
        found += [int(pid) for pid in (thread / "children").read_text().split()]
    return [pid for pid in found if "bwrap" in (Path(f"/proc/{pid}/comm").read_text())]


# ---- what a merchant's step may try ----

FAT = "SELECT repeat(身份证号, 4000) AS 区, 费用 FROM t"
"""two hundred thousand groups, each named by a text of a hundred thousand letters"""
CONCATENATED = "SELECT CASE WHEN k = 1 THEN repeat(repeat(身份证号, 40000), 40000) END AS 区, 费用 FROM t"
MANY = ", ".join(f"({n})" for n in range(60))
WIDE = f"SELECT md5(身份证号 || n) || md5(n || 身份证号) AS 区, 费用 FROM t CROSS JOIN (VALUES {MANY}) AS v(n)"
"""twelve million rows of one owner each"""
ENDLESS = "SELECT a.区, a.费用 + b.费用 AS 费用 FROM t AS a JOIN u AS b ON a.k = b.k"


@pytest.mark.parametrize(
    ("text", "room", "code"),
    [
        (
            "SELECT 区, 身份证号, sum(费用) OVER (ORDER BY 费用) AS 费用 FROM t WHERE error('绝不外泄') IS NULL",
            {},
            "evidence.refused",
        ),
        (ENDLESS, {"wall_seconds": 4}, "evidence.time_limit"),
        (FAT, {"memory_mb": 600}, "evidence.memory_limit"),
        (CONCATENATED, {"memory_mb": 600}, "evidence.memory_limit"),
        (WIDE, {"memory_mb": 700, "folder_mb": 40}, "evidence.disk_full"),
    ],
    ids=["an error on purpose", "a time bomb", "a cube of texts", "one huge text", "a huge intermediate result"],
)
def test_a_hostile_step_ends_by_name_and_leaves_nothing(
    text: str, room: dict[str, int], code: str, endless: Any, place: Place
) -> None:
    cube = {"from": "s", "dimensions": ["区"], "measures": {"和": {"op": "sum", "of": "费用"}}}
    whole = {
        "job": "hostile", "edition": 2, "inputs": {"t": {"grant": "G-1"}, "u": {"grant": "G-2"}},
        "prepare": [{"name": "s", "sql": text}],
        "product": cube, "output": {"kind": "aggregate", "format": "csv"},
    }  # fmt: skip
    limits = replace(LIMITS, **{n: v for n, v in room.items() if n != "folder_mb"})
    limited = replace(place, room=replace(ROOM, limits=limits, folder_mb=room.get("folder_mb", ROOM.folder_mb)))
    with pytest.raises(EvidenceError) as raised:
        proved(parse(whole), endless[1], limited)
    assert raised.value.code == code
    assert left(place) == [] and MARK not in words(raised.value)


def test_over_budget_comes_out_of_the_jail_as_what_a_person_decides(tmp_path: Path, place: Place) -> None:
    spec, sources = parse(CLINIC), clinic_sources(tmp_path)
    asked = Asked(1000, proving.Budget(times=1.0))  # of a second, in which a thousand halves are not made
    found = proving.prove(spec, sources, asked, codes=SessionCodes(), place=place)
    assert found.over_budget and found.rows
    verdict = evaluate(replace(subject_of(spec, sources), evidence=found), edition())
    assert [run.outcome for run in verdict.rules if run.rule == "EXP-PROOF-01"] == [Outcome.REVIEW]
