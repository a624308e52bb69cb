"""Snapshots hold what was granted and no more: columns, rows, order, bytes; pseudonyms join in one application only."""

from __future__ import annotations

import hmac
import re
import stat
import unicodedata
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.text import UserError
from sandbox.workspaces import pseudonyms, snapshot
from sandbox.workspaces.snapshot import Content, Room

MARK = "真名"
ROOM = Room(512, 2)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "source.parquet"
    duckdb.sql(
        f"SELECT range AS id, '{MARK}' || (range * 7 % 1000) AS 姓名, (range % 7)::VARCHAR AS 区, range * 1.5 AS 费用,"
        " 'never granted' AS hidden FROM range(1000)"
    ).write_parquet(str(file))
    return file


def built(source: Path, content: Content | list[str], version: int = 1, room: Room = ROOM) -> snapshot.Snapshot:
    what = content if isinstance(content, Content) else Content(content)
    root = source.parent / "snapshots"
    return snapshot.build([str(source)], what, out_root=root, room=room, source={"version": version})


def rows(made: snapshot.Snapshot) -> list[tuple[object, ...]]:
    return duckdb.sql(f"FROM '{made.path}'").fetchall()


def test_columns_not_granted_are_not_in_the_bytes(source: Path) -> None:
    made = built(source, ["区", "费用"])
    assert made.columns == (("区", "VARCHAR"), ("费用", "DECIMAL(21,1)"))
    assert made.rows == 1000
    content = made.path.read_bytes()
    for unwanted in (MARK, "hidden", "never granted", "source.parquet"):
        assert unwanted.encode() not in content


def test_rows_not_granted_are_not_in_the_bytes(source: Path) -> None:
    made = built(source, Content(["姓名", "id"], where="\"区\" IN ('3')"))
    assert made.rows == len([n for n in range(1000) if n % 7 == 3])
    assert {row[1] for row in rows(made)} == {n for n in range(1000) if n % 7 == 3}  # type: ignore[comparison-overlap]
    low, high = duckdb.sql(f"SELECT min(stats_min::INT), max(stats_max::INT) FROM parquet_metadata('{made.path}')"
                           " WHERE path_in_schema = 'id'").fetchall()[0]  # fmt: skip
    assert (low, high) == (3, 997), "the statistics are of the granted rows"


def test_the_bytes_tell_nothing_of_the_order_of_the_source(tmp_path: Path) -> None:
    """Equal content in other orders of rows, built with other memory and threads: equal bytes.

    Among the values are those that compare equal and are not (0.0 and −0.0), the missing one and NaN; enough rows for
    several row groups.
    """
    values = (
        "SELECT range % 3 AS a, [0.0::DOUBLE, -0.0, 1.5, 'nan', NULL][1 + range % 5] AS b, (range % 700)::VARCHAR AS c"
    )
    seen = set()
    for seed, room in ((1, Room(512, 2)), (2, Room(128, 1)), (3, Room(256, 2))):
        file = tmp_path / f"{seed}.parquet"
        duckdb.sql(f"{values}, range AS position FROM range(300000) ORDER BY hash(range + {seed})").write_parquet(
            str(file)
        )
        seen.add(built(file, ["b", "a", "c"], room=room).sha256)
    assert len(seen) == 1


def test_rows_are_sorted_by_what_is_granted(source: Path) -> None:
    found = rows(built(source, ["姓名", "id"]))
    assert found == sorted(found, key=lambda row: int(str(row[1])))


@pytest.mark.parametrize("largest", ["0.01", "99.99", "9999999.99", "123456789012345.67", "9" * 30 + ".99"])
def test_decimals_of_any_size_come_out_as_they_went_in(tmp_path: Path, largest: str) -> None:
    """They are narrowed while they are sorted."""
    file = tmp_path / "amounts.parquet"
    values = [Decimal(largest), -Decimal(largest), Decimal("0"), None, Decimal("1.50"), None]
    con = duckdb.connect()
    con.execute("CREATE TABLE t (费用 DECIMAL(38, 2), 空 DECIMAL(20, 2))")
    con.executemany("INSERT INTO t VALUES (?, NULL)", [[v] for v in values])
    con.execute(f"COPY t TO '{file}' (FORMAT parquet)")
    made = built(file, ["空", "费用"])
    assert made.columns == (("空", "DECIMAL(20,2)"), ("费用", "DECIMAL(38,2)"))
    there = sorted(v for v in values if v is not None)
    assert [row[1] for row in rows(made)] == [*there, None, None]


def test_equal_grants_share_one_snapshot_and_others_do_not(source: Path) -> None:
    first = built(source, ["区", "费用"])
    assert built(source, ["区", "费用"]) == first
    others = {
        built(source, ["费用", "区"]).digest, built(source, ["区", "费用"], version=2).digest,
        built(source, Content(["区", "费用"], where="id < 10")).digest,
    }  # fmt: skip
    assert len(others | {first.digest}) == 4
    assert [p.name for p in first.path.parents[1].iterdir() if p.name.startswith(".")] == []


def test_a_snapshot_cannot_be_changed_unnoticed(source: Path) -> None:
    made = built(source, ["区"])
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o444
    assert stat.S_IMODE(made.path.parent.stat().st_mode) == 0o555
    assert snapshot.verify(made)
    made.path.chmod(0o600)
    made.path.write_bytes(made.path.read_bytes() + b"x")
    assert not snapshot.verify(made)
    manifest = made.path.parent / snapshot.MANIFEST
    manifest.chmod(0o600)
    manifest.write_text(manifest.read_text().replace('"rows":1000', '"rows":9999'))
    with pytest.raises(UserError):
        snapshot.load(made.path.parents[1], made.digest)


@pytest.mark.parametrize("columns", [[], ["区", "区"], ["没有这列"]])
def test_columns_that_cannot_be_granted_are_refused(source: Path, columns: list[str]) -> None:
    with pytest.raises(UserError):
        built(source, columns)


def test_disposal_is_finished_wherever_it_was_broken_off(source: Path) -> None:
    root = source.parent / "snapshots"
    made = built(source, ["区"])
    snapshot.set_aside(root, made.digest)
    snapshot.set_aside(root, made.digest)
    (root / f"{snapshot.LEAVING}{made.digest}").chmod(0o700)
    (root / f"{snapshot.LEAVING}{made.digest}" / snapshot.MANIFEST).unlink()  # killed while deleting
    assert snapshot.dispose(root, made.digest)
    assert snapshot.dispose(root, made.digest)
    assert list(root.iterdir()) == []


def test_an_equal_grant_that_came_meanwhile_keeps_its_snapshot(source: Path) -> None:
    root = source.parent / "snapshots"
    made = built(source, ["区"])
    snapshot.set_aside(root, made.digest)
    snapshot.bring_back(root, made.digest)
    assert snapshot.load(root, made.digest) == made
    snapshot.set_aside(root, made.digest)
    built(source, ["区"])
    snapshot.bring_back(root, made.digest)
    assert [p.name for p in root.iterdir()] == [made.digest]


# --- pseudonyms ------------------------------------------------------------------------------------------------------

KEY, OTHER = pseudonyms.Key(b"a" * 32), pseudonyms.Key(b"b" * 32)
CON = duckdb.connect()


def pseudonym(value: object, kind: str = "CN_MOBILE", key: pseudonyms.Key = KEY) -> str | None:
    found = CON.execute(
        f"SELECT {pseudonyms.expression('v', kind)} FROM (SELECT $v AS v)", {**key.parameters(), "v": value}
    ).fetchall()[0][0]
    return None if found is None else str(found)


def expected(canonical: str, kind: str, key: pseudonyms.Key = KEY) -> str:
    """The definition, by Python's own HMAC."""
    digest = hmac.new(key.secret, f"{kind}\0{canonical}".encode(), "sha256").hexdigest()[: pseudonyms.LETTERS]
    return pseudonyms.PREFIX + digest.translate(str.maketrans("0123456789abcdef", "abcdefghijklmnop"))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30))
def test_a_pseudonym_is_the_hmac_of_the_canonical_value(value: str) -> None:
    found = pseudonym(value, "PERSON")
    canonical = CON.execute(f"SELECT {pseudonyms.canonical('v', 'PERSON')} FROM (SELECT $v AS v)", {"v": value})
    text = canonical.fetchall()[0][0]
    assert found == (None if text is None else expected(text, "PERSON"))
    assert found is None or re.fullmatch(pseudonyms.PATTERN, found)


@given(st.from_regex(r"[0-9A-Za-z]{1,20}", fullmatch=True), st.sampled_from(["CN_RESIDENT_ID", "CN_BANK_CARD", "VIN"]))
def test_a_value_written_in_other_ways_has_the_same_pseudonym(value: str, kind: str) -> None:
    wide = "".join(chr(ord(c) + 0xFEE0) for c in value)
    assert unicodedata.normalize("NFKC", wide) == value
    spellings = [value, value.lower(), value.upper(), wide, f"  {value}\u3000", " ".join(value), f"\u200b{value}"]
    assert {pseudonym(s, kind) for s in spellings} == {expected(value.upper(), kind)}


@given(
    st.text(alphabet="0123456789X张王", min_size=1, max_size=18),
    st.text(alphabet="0123456789X张王", min_size=1, max_size=18),
)
def test_two_values_never_share_a_pseudonym(one: str, two: str) -> None:
    assert (pseudonym(one) == pseudonym(two)) == (one == two)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (("138-0013-8000", "CN_MOBILE"), ("+86 13800138000", "CN_MOBILE"), True),
        ((13800138000, "CN_MOBILE"), ("13800138000", "CN_MOBILE"), True),
        (("13800138000", "CN_MOBILE"), ("13800138000", "identifier"), False),
        (("13800138000", "CN_MOBILE"), ("13800138000", "CN_BANK_CARD"), False),
        (("张 三", "PERSON"), ("张三", "PERSON"), True),
    ],
)
def test_what_joins_is_the_same_value_of_the_same_kind(
    left: tuple[object, str], right: tuple[object, str], same: bool
) -> None:
    assert (pseudonym(*left) == pseudonym(*right)) == same


@pytest.mark.parametrize("nothing", [None, "", "  ", "\u3000"])
def test_nothing_stays_nothing(nothing: str | None) -> None:
    assert pseudonym(nothing) is None


def test_two_applications_cannot_join(tmp_path: Path) -> None:
    """Two tables that hold the same people under other names, granted to two applications of one merchant."""
    duckdb.sql("SELECT (13800000000 + range)::VARCHAR AS 电话, range AS n FROM range(500)").write_parquet(
        f"{tmp_path}/a.parquet"
    )
    duckdb.sql("SELECT '+86 ' || (13800000000 + range) AS 手机, range * 2 AS m FROM range(500)").write_parquet(
        f"{tmp_path}/b.parquet"
    )
    keys = [pseudonyms.key_of(tmp_path / "keys", application) for application in ("app-1", "app-2")]
    visits = [built(tmp_path / "a.parquet", Content(["电话", "n"], kinds={"电话": "CN_MOBILE"}, key=k)) for k in keys]
    fees = [built(tmp_path / "b.parquet", Content(["手机", "m"], kinds={"手机": "CN_MOBILE"}, key=k)) for k in keys]

    def joined(left: snapshot.Snapshot, right: snapshot.Snapshot) -> int:
        return int(
            duckdb.sql(f"SELECT count(*) FROM '{left.path}' a JOIN '{right.path}' b ON a.电话 = b.手机").fetchall()[0][
                0
            ]
        )

    assert [joined(visits[0], fees[0]), joined(visits[1], fees[1])] == [500, 500]
    assert [joined(visits[0], fees[1]), joined(visits[1], fees[0])] == [0, 0]
    assert all(dict(s.columns)["电话"] == "VARCHAR" for s in visits)
    assert b"138000" not in visits[0].path.read_bytes()


def test_rows_are_in_the_order_of_the_pseudonyms(tmp_path: Path) -> None:
    """In the order of the numbers behind them the rank would give a number away."""
    duckdb.sql("SELECT (13800000000 + range)::VARCHAR AS 电话 FROM range(500)").write_parquet(f"{tmp_path}/a.parquet")
    made = built(tmp_path / "a.parquet", Content(["电话"], kinds={"电话": "CN_MOBILE"}, key=KEY))
    found = [str(row[0]) for row in rows(made)]
    assert found == sorted(found)
    assert found != [expected(str(13800000000 + n), "CN_MOBILE") for n in range(500)]


def test_a_destroyed_key_is_gone_and_cannot_come_back(tmp_path: Path) -> None:
    first = pseudonyms.key_of(tmp_path, "app-1")
    assert pseudonyms.key_of(tmp_path, "app-1") == first
    place = pseudonyms.key_file(tmp_path, "app-1")
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert first.secret.hex() not in repr(first) and str(first.secret) not in repr(first)
    assert pseudonyms.destroy(tmp_path, "app-1") and pseudonyms.destroy(tmp_path, "app-1")
    assert not place.exists()
    assert pseudonyms.key_of(tmp_path, "app-1") != first
