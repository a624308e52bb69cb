"""The recipient's mark: no value changes, it comes off again, and a part of a copy in any order names the recipient."""

from __future__ import annotations

import csv
import io
import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.exports.marks import CERTAIN, Released, _tail, key_of, marked, trace, unmarked

SECRET = b"s" * 32
RECIPIENTS = [f"rel-{n}" for n in range(40)]


def table(rows: int = 60, seed: int = 1) -> bytes:
    dice = random.Random(seed)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["所属区", "月份", "人次", "次均费用"])
    for n in range(rows):
        writer.writerow([f"第{n % 12}区", f"2025-{n % 12 + 1:02d}", 5 * dice.randrange(4, 4000),
                         f"{dice.randrange(1000, 90000) / 10:.2f}"])  # fmt: skip
    return b"\xef\xbb\xbf" + buffer.getvalue().encode()


def released(name: str, content: bytes) -> dict[str, Released]:
    keys = {r: key_of(SECRET, r, "org-1") for r in RECIPIENTS}
    return {r: Released(r, k, {name: marked(name, content, k)}) for r, k in keys.items()}


TABLE = table()
COPIES = released("a.csv", TABLE)


def test_no_value_and_no_type_changes() -> None:
    ours = pl.read_csv(TABLE)
    for one in COPIES.values():
        assert pl.read_csv(one.files["a.csv"]).equals(ours)
        assert one.files["a.csv"] != TABLE and unmarked("a.csv", one.files["a.csv"]) == TABLE


def test_every_recipient_gets_other_bytes_and_the_same_ones_again() -> None:
    assert len({one.files["a.csv"] for one in COPIES.values()}) == len(COPIES)
    again = released("a.csv", TABLE)
    assert all(again[r].files == COPIES[r].files for r in RECIPIENTS)


@given(
    st.lists(st.lists(st.text(alphabet="0123456789.-,\"区甲 x\n", max_size=8), min_size=2, max_size=4), max_size=20)
)
@settings(max_examples=150, deadline=None)
def test_whatever_a_table_holds_its_mark_comes_off_and_its_cells_stay(rows: list[list[str]]) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    content = buffer.getvalue().encode()
    made = marked("t.csv", content, b"k")
    assert unmarked("t.csv", made) == content
    same = zip(csv.reader(io.StringIO(content.decode(), newline="")),
               csv.reader(io.StringIO(made.decode(), newline="")), strict=True)  # fmt: skip
    for before, after in same:
        assert [c.rstrip("0") for c in before] == [c.rstrip("0") for c in after]


def lines(content: bytes) -> list[list[str]]:
    """The raw cells, quotes and all (no cell of the table holds a comma)."""
    return [line.split(",") for line in content.decode("utf-8-sig").splitlines()]


def altered(content: bytes, columns: list[int], share: float, seed: int) -> bytes:
    """Some columns in another order, some rows in another order, by text tools."""
    dice = random.Random(seed)
    head, *body = lines(content)
    body = dice.sample(body, max(1, int(share * len(body))))
    return "\n".join(",".join(row[c] for c in columns) for row in [head, *body]).encode()


@pytest.mark.parametrize("columns", [[0, 1, 2, 3], [3, 2], [2], [3, 0]])
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_columns_and_rows_deleted_and_moved_leave_the_recipient(columns: list[int], share: float) -> None:
    for number, one in enumerate(list(COPIES.values())[::8]):
        best = trace(altered(one.files["a.csv"], columns, share, number), list(COPIES.values()))[0]
        assert best.release == one.release and best.certain and best.agreeing == best.compared


def test_a_copy_read_and_written_as_text_keeps_the_mark_of_its_decimals() -> None:
    for one in list(COPIES.values())[:4]:
        rows = list(csv.reader(io.StringIO(one.files["a.csv"].decode("utf-8-sig"), newline="")))
        buffer = io.StringIO()
        csv.writer(buffer).writerows([row[3], row[1]] for row in rows)
        best = trace(buffer.getvalue().encode(), list(COPIES.values()))[0]
        assert best.release == one.release and best.certain


def test_a_table_written_anew_names_every_release_with_these_rows_and_nobody_for_certain() -> None:
    other = Released("rel-other", key_of(SECRET, "rel-other", "org-2"), {"b.csv": table(seed=9)})
    copy = pl.read_csv(COPIES["rel-3"].files["a.csv"]).select("人次", "次均费用").sample(shuffle=True, n=40, seed=1)
    found = trace(copy.write_csv().encode(), [*COPIES.values(), other])
    assert {m.release for m in found} == set(RECIPIENTS) and not any(m.certain for m in found)
    assert all(m.rows == 1.0 for m in found)


def test_error_rates_over_subsets_are_what_the_documentation_says() -> None:
    """40 recipients, random subsets of rows of one column: who is named, and is it ever a wrong one."""
    named, wrong = {}, 0
    for size in (10, 20, 30, 45):
        hits = 0
        for number, one in enumerate(list(COPIES.values())[::4]):
            found = trace(altered(one.files["a.csv"], [2], size / 60, number), list(COPIES.values()))
            certain = [m.release for m in found if m.certain]
            hits += certain == [one.release]
            wrong += any(r != one.release for r in certain)
        named[size] = hits / 10
    assert wrong == 0
    assert named[10] == 0 and named[30] == named[45] == 1.0, named


def test_a_mixture_of_two_copies_accuses_nobody_else() -> None:
    two = [lines(COPIES[r].files["a.csv"]) for r in ("rel-1", "rel-2")]
    dice = random.Random(3)
    mixed = "\n".join(",".join(dice.choice(two)[n]) for n in range(61)).encode()
    assert {m.release for m in trace(mixed, list(COPIES.values())) if m.certain} <= {"rel-1", "rel-2"}


def test_documents_carry_the_mark_in_their_lines() -> None:
    content = "\n".join(f"第 {n} 条说明，共 {n * 7} 项。" for n in range(40)).encode()
    copies = released("说明.md", content)
    one = copies["rel-5"].files["说明.md"]
    assert unmarked("说明.md", one) == content and one != content
    half = b"\n".join(sorted(one.split(b"\n"), key=lambda line: line[::-1])[:35])
    assert [m.release for m in trace(half, list(copies.values())) if m.certain] == ["rel-5"]


def test_chance_is_that_of_fair_coins() -> None:
    assert _tail(20, 20) == 2**-20 and _tail(4, 2) == 11 / 16 and _tail(0, 0) == 1.0
    assert 40 * _tail(24, 24) > CERTAIN > 40 * _tail(26, 26)


@pytest.mark.parametrize("name", ["a.png", "a.pdf", "a.xlsx", "a.onnx", "a.parquet"])
def test_forms_without_spellings_stay_as_they_are(name: str) -> None:
    assert marked(name, b"\x00\x01,2\n", b"k") == b"\x00\x01,2\n"
