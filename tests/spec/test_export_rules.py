"""The export rules as a table: what goes in, what each rule says, on both sides of every threshold."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from policies import checks as policy_checks
from policies.verdict import Outcome, Verdict
from sandbox.exports.checks import CHECKS
from sandbox.exports.contents import Contents, read_all
from sandbox.exports.finishing import finished
from sandbox.exports.gate import LATER_STAGES, evaluate, run_rule, terms, verdict_for
from sandbox.exports.history import RECORDS, ReleasedCell, cells_of, without_plain
from sandbox.exports.subject import SIMULATED_LABEL, ExportFile, ExportSubject, VolumeFacts, bounds_of
from sandbox.exports.wording import WORDINGS
from sandbox.products.artefact import read_csv
from sandbox.products.cells import packed
from sandbox.products.matching import SharedRows, SourceMatch, Split
from sandbox.products.records import BITS, LOST, Records, named
from sandbox.products.spec import parse
from tests.export_subjects import clean, edition, job, subject_with, with_kind

FAKE_ID = "11010519491231002X"  # the worked example of GB 11643; nobody holds it
PASS, REVIEW, BLOCK, ERROR = Outcome.PASS, Outcome.REVIEW, Outcome.BLOCK, Outcome.ERROR


def outcome(subject: ExportSubject, rule: str) -> Outcome:
    return run_rule(edition().rule(rule), subject).run.outcome


def people(n: int, each: float = 100.0) -> list[float]:
    return [each + i for i in range(n)]


@dataclass(frozen=True)
class Line:
    """One cell of a table: the contributions of its people."""

    rule: str
    name: str
    contributions: list[float]
    expected: Outcome


CELLS = [
    Line("EXP-CELL-01", "nine people", people(9), BLOCK),
    Line("EXP-CELL-01", "ten people", people(10), PASS),
    Line("EXP-CELL-01", "one person", people(1), BLOCK),
    Line("EXP-CELL-01", "nine of fifty not zero", people(9) + [0.0] * 41, BLOCK),
    Line("EXP-CELL-01", "ten of fifty not zero", people(10) + [0.0] * 40, PASS),
    Line("EXP-CELL-01", "all zero", [0.0] * 20, PASS),
    Line("EXP-DOM-01", "two give 89 %", [50, 39] + [1.0] * 11, PASS),
    Line("EXP-DOM-01", "two give exactly 90 %", [50, 40] + [1.0] * 10, BLOCK),
    Line("EXP-DOM-01", "two give 91 %", [50, 41] + [0.9] * 10, BLOCK),
    Line("EXP-DOM-01", "negative amounts count by size", [-50, 41] + [0.9] * 10, BLOCK),
    Line("EXP-DOM-02", "rest is 9 % of the largest", [100, 50] + [0.9] * 10, BLOCK),
    Line("EXP-DOM-02", "rest is exactly 10 % of the largest", [100, 50] + [1.0] * 10, PASS),
    Line("EXP-DOM-02", "rest is 11 % of the largest", [100, 50] + [1.1] * 10, PASS),
    Line("EXP-DOM-02", "nothing but zeros", [0.0] * 12, PASS),
    Line("EXP-GROUP-01", "90 % of the whole table", people(990), REVIEW),
    Line("EXP-GROUP-01", "half of the table", people(110), PASS),
]


@pytest.mark.parametrize("line", CELLS, ids=lambda line: f"{line.rule} {line.name}")
def test_cells(line: Line) -> None:
    subject = subject_with([("东区", line.contributions), ("西区", people(110))])
    assert outcome(subject, line.rule) is line.expected


def released(members: range, *, low: float | None = None, high: float | None = None, op: str = "count") -> ReleasedCell:
    name, raw = packed(list(members))
    return ReleasedCell("R-1", "old.csv#row=1;column=人次", "person", "count", op, len(members), name, raw, low, high)


# people 0–19 are in 东区 of the new product, whose count is released as 20 (18…22)
HISTORY = [
    ("same set", released(range(20), low=18, high=22), PASS),
    ("ten more", released(range(30), low=28, high=32), PASS),
    ("nine more, exact", released(range(29)), BLOCK),
    ("one fewer, exact", released(range(19)), BLOCK),
    ("one more, rounded alike", released(range(21), low=18, high=22), REVIEW),
    ("nine more, rounded, surely some", released(range(29), low=28, high=32), BLOCK),
    ("one left and one came", released(range(1, 21), low=18, high=22), REVIEW),
    ("other people", released(range(1000, 1020)), PASS),
]


@pytest.mark.parametrize(("name", "old", "expected"), HISTORY, ids=[h[0] for h in HISTORY])
def test_differencing(name: str, old: ReleasedCell, expected: Outcome) -> None:
    assert outcome(clean(history=(old,)), "EXP-DIFF-01") is expected


def test_recalled_or_not_the_history_is_what_was_seen_and_a_small_budget_is_review() -> None:
    rule = edition().rule("EXP-DIFF-01")
    tight = rule.model_copy(update={"parameters": rule.parameters.model_copy(update={"pair_budget": 0})})
    assert run_rule(tight, clean(history=(released(range(5, 30)),))).run.outcome is REVIEW


def visited(members: Sequence[tuple[int, int]], **told: Any) -> ReleasedCell:
    """A sum over visits, each a person and its number."""
    name, raw = named(np.array([who << BITS | n for who, n in members], dtype=np.uint64))
    people = len({who for who, _ in members})
    return ReleasedCell("R-1", "old.csv#row=1;column=金额", "person", f"{RECORDS}amount:费用", "sum", people, name, raw,
                        unit="record", **told)  # fmt: skip


TWICE = [(who, n) for who in range(20) for n in range(2)]
"""everybody of 东区 comes twice"""
VISITS: list[tuple[str, Sequence[tuple[int, int]], Outcome]] = [
    ("the same visits", TWICE, PASS),
    ("without both visits of nine people", TWICE[18:], BLOCK),
    ("without the second visit of nine people", [v for v in TWICE if v[0] >= 9 or not v[1]], BLOCK),
    ("without the second visit of ten people", [v for v in TWICE if v[0] >= 10 or not v[1]], PASS),
    ("a third visit of one person", [*TWICE, (3, 2)], BLOCK),
    ("another second visit of nine people", [(who, 2 if n and who < 9 else n) for who, n in TWICE], BLOCK),
    ("first visits only", TWICE[::2], PASS),
    ("all other visits", [(who, n + 2) for who, n in TWICE], PASS),
]


@pytest.mark.parametrize(("name", "old", "expected"), VISITS, ids=[v[0] for v in VISITS])
def test_differencing_of_records(name: str, old: Sequence[tuple[int, int]], expected: Outcome) -> None:
    digest, raw = named(np.array([who << BITS | n for who, n in TWICE], dtype=np.uint64))
    behind = Records({(0, "金额", "value"): digest}, {digest: raw})
    assert outcome(with_kind(clean(history=(visited(old),)), records=behind), "EXP-DIFF-01") is expected


def shown(sets: dict[str, Sequence[int]], **told: Any) -> list[ReleasedCell]:
    """Counts of records; the first digit of a name is the grouping."""
    found = []
    for name, numbers in sets.items():
        one = visited([(n % 7, n) for n in numbers], **told)
        found.append(replace(one, place=name, grouping=int(name[0]), variable=f"{RECORDS}count"))
    return found


PARTS = {"0 东": range(10), "0 西": range(10, 30)}
PLAIN: list[tuple[str, list[ReleasedCell], bool]] = [
    ("parts alone", shown(PARTS), True),
    ("parts and their total", shown(PARTS | {"1": range(30)}), True),
    ("parts and what each is divided by", shown(PARTS | {"0 全市": range(30)}), True),
    ("parts and coarser ones",
     shown(PARTS | {"0 北": range(30, 40), "1 东西": range(30), "1 北": range(30, 40)}), True),
    ("one cell", shown({"0": range(10)}), True),
    ("two measures of the same records", [*shown(PARTS), *shown(PARTS, table="mean")], True),
    ("a part that is hidden",
     [*shown(PARTS | {"1": range(40)}), *shown({"0": range(30, 40)}, value="suppressed")], False),
    ("a total of more than its parts", shown(PARTS | {"1": range(33)}), False),
    ("a figure over more than the parts", shown(PARTS | {"0 全市": range(33)}), False),
    ("a measure that some records lack", shown(PARTS | {"0 有费用": range(9)}), False),
    ("parts by something else", shown(PARTS | {"0 内科": range(0, 30, 2), "0 外科": range(1, 30, 2)}), False),
    ("records that are in two parts", shown({"0 甲": range(20), "0 乙": range(10, 30), "1": range(30)}), False),
    ("parts that overlap and leave some out",
     shown({"0 甲": range(20), "0 乙": range(10, 20), "0 全": range(30)}), False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "cells", "plain"), PLAIN, ids=[p[0] for p in PLAIN])
def test_only_what_can_tell_nothing_by_its_records_is_left_out(
    name: str, cells: list[ReleasedCell], plain: bool
) -> None:
    assert (without_plain(cells, ()) == ()) is plain
    assert without_plain(cells, shown({"0": range(90, 99)})) == tuple(cells), "there is a history"


def test_records_that_nobody_could_follow_go_to_people_once_there_is_a_history() -> None:
    lost = with_kind(clean(), records=LOST)
    assert outcome(lost, "EXP-DIFF-01") is PASS
    assert outcome(replace(lost, history=(released(range(1000, 1020)),)), "EXP-DIFF-01") is REVIEW
    assert outcome(clean(unread_kinds=("person",)), "EXP-DIFF-01") is REVIEW


def test_three_safe_releases_that_isolate_one_person_together() -> None:
    # 东区 ∪ 北区 ∪ {one} is 41 people: no pair of cells differs by few, the combination does
    subject = clean(history=(released(range(40)), released(range(41))))
    assert outcome(subject, "EXP-DIFF-01") is PASS  # the pair of old cells is not this request's fault
    subject = clean(history=(released(range(1000, 1020)), released(range(21)), released(range(20, 40))))
    assert outcome(subject, "EXP-DIFF-02") is BLOCK


VALUES = dict.fromkeys(("raw", "md5", "sha1", "sha256", "sm3", "base64", "hex"), 0)
FACTS: list[tuple[str, str, dict[str, Any], Outcome]] = [
    ("EXP-LABEL-01", "real, called simulated", {"label": SIMULATED_LABEL}, BLOCK),
    ("EXP-LABEL-01", "simulated, called so", {"label": SIMULATED_LABEL, "real_inputs": False}, PASS),
    ("EXP-JOIN-01", "one value leads back", {"match": SourceMatch({**VALUES, "sm3": 1}, ())}, BLOCK),
    ("EXP-JOIN-01", "an encoding not compared", {"match": SourceMatch({"raw": 0}, ())}, ERROR),
    ("EXP-RAW-01", "a raw row", {"match": SourceMatch(VALUES, (SharedRows("t", 3, 1),))}, BLOCK),
    ("EXP-RAW-01", "equal on two columns only", {"match": SourceMatch(VALUES, (SharedRows("t", 2, 9),))}, PASS),
    ("EXP-VOL-01", "below the warning", {"volume": VolumeFacts(39_995, 0, 0)}, PASS),
    ("EXP-VOL-01", "at the warning", {"volume": VolumeFacts(39_996, 0, 0)}, REVIEW),
    ("EXP-VOL-01", "at the cap", {"volume": VolumeFacts(49_996, 0, 0)}, REVIEW),
    ("EXP-VOL-01", "over the cap", {"volume": VolumeFacts(49_997, 0, 0)}, BLOCK),
    ("EXP-VOL-01", "cells below the warning", {"volume": VolumeFacts(0, 799_987, 0)}, PASS),
    ("EXP-VOL-01", "cells at the warning", {"volume": VolumeFacts(0, 799_988, 0)}, REVIEW),
    ("EXP-VOL-01", "cells over the cap", {"volume": VolumeFacts(0, 999_989, 0)}, BLOCK),
    ("EXP-VOL-01", "bytes near the cap", {"volume": VolumeFacts(0, 0, 150 << 20)}, REVIEW),
    ("EXP-VOL-01", "beside other files at the cap", {"volume": VolumeFacts(0, 0, 0, VolumeFacts(4_996, 0, 0))}, PASS),
    ("EXP-VOL-01", "beside other files over it", {"volume": VolumeFacts(0, 0, 0, VolumeFacts(4_997, 0, 0))}, BLOCK),
    ("EXP-VOL-01", "beside other files near the cap of all",
     {"volume": VolumeFacts(39_000, 0, 0, VolumeFacts(996, 0, 0))}, REVIEW),
    ("EXP-VOL-01", "bytes over the cap", {"volume": VolumeFacts(0, 0, 160 << 20)}, BLOCK),
    ("EXP-JOIN-02", "two columns make an identifier", {"match": SourceMatch(VALUES, (), (Split(0, (0, 1), 3, 4),))},
     BLOCK),
    ("EXP-JOIN-02", "nothing in pieces", {"match": SourceMatch(VALUES, ())}, PASS),
    ("EXP-JOIN-02", "not looked for", {"match": None}, ERROR),
    ("EXP-GRANT-01", "another day", {"today": date(2099, 1, 1)}, PASS),
    ("EXP-GRANT-01", "a column outside", {"columns_read": {"t": frozenset({"区", "费用", "姓名"})}}, BLOCK),
    ("EXP-GRANT-01", "columns unknown", {"columns_read": {}}, BLOCK),
    ("EXP-GRANT-01", "no grant", {"grants": {}}, BLOCK),
    ("EXP-ROUND-01", "other base", {"rounding_base": 1}, BLOCK),
    ("EXP-PII-01", "in the title", {"texts": {"title": f"联系 {FAKE_ID}"}}, BLOCK),
]


@pytest.mark.parametrize(("rule", "name", "change", "expected"), FACTS, ids=[f"{f[0]} {f[1]}" for f in FACTS])
def test_facts(rule: str, name: str, change: dict[str, Any], expected: Outcome) -> None:
    assert outcome(clean(**change), rule) is expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [({}, PASS), ({"active": False}, BLOCK), ({"level": 4}, PASS), ({"important": True}, PASS), ({"snapshot": "x"},
    BLOCK),
     ({"application": "A-2"}, BLOCK), ({"id": "G-9"}, BLOCK)],
)  # fmt: skip
def test_grants(change: dict[str, Any], expected: Outcome) -> None:
    subject = clean()
    assert subject.grants is not None
    changed = replace(subject, grants={"t": replace(subject.grants["t"], **change)})
    assert outcome(changed, "EXP-GRANT-01") is expected
    assert outcome(changed, "EXP-LEVEL-01") is (BLOCK if change.get("important") else PASS)


@pytest.mark.parametrize(
    "change",
    [{"active": False}, {"forms": frozenset({"report"})}, {"agreement_until": date(2026, 5, 31)},
     {"registered_until": date(2026, 5, 31)}],
)  # fmt: skip
def test_an_application_out_of_force_blocks(change: dict[str, Any]) -> None:
    subject = clean()
    assert subject.application is not None
    assert outcome(replace(subject, application=replace(subject.application, **change)), "EXP-GRANT-01") is BLOCK


def test_evidence_that_leaves_a_kind_out_is_an_error() -> None:
    subject = clean(entity_kinds=frozenset({"person", "clinic"}))
    assert outcome(subject, "EXP-CELL-01") is ERROR


def test_inputs_about_nobody_go_to_a_person() -> None:
    subject = clean()
    assert subject.evidence is not None
    nobody = replace(subject, evidence=replace(subject.evidence, kinds=()), entity_kinds=frozenset(), files=())
    nobody = finished(nobody, edition())
    assert evaluate(nobody, edition()).outcome is REVIEW


def alone(content: str | bytes, name: str = "table.csv", **changes: Any) -> ExportSubject:
    raw = content if isinstance(content, bytes) else content.encode()
    return ExportSubject(files=(ExportFile(name, raw),), audience="contract", lane="file", **changes)


def zipped(members: dict[str, bytes], **info: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as box:
        for name, content in members.items():
            box.writestr(name, content)
    return buffer.getvalue()


def picture() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), "white").save(buffer, "PNG")
    return buffer.getvalue()


PICTURE = picture()
TOKENS = "\n".join(base64.b64encode(hashlib.sha256(bytes([i])).digest()).decode() for i in range(20))
PROSE = "\n".join(f"患者自述{i}年前开始出现反复咳嗽，曾在外地就医并自行停药，家属陪同前来复诊" for i in range(20))
FILES: list[tuple[str, str, str | bytes, str, Outcome]] = [
    ("EXP-FILE-01", "csv", "区,人次\n东,20\n", "t.csv", PASS),
    ("EXP-FILE-01", "ragged csv", "区,人次\n东,20,7\n", "t.csv", BLOCK),
    ("EXP-FILE-01", "empty csv", "", "t.csv", BLOCK),
    ("EXP-FILE-01", "unreadable json", '{"a": ', "t.json", BLOCK),
    ("EXP-FILE-01", "parquet called csv", b"PAR1" + bytes(20), "t.csv", BLOCK),
    ("EXP-FILE-01", "broken parquet", b"PAR1" + bytes(20), "t.parquet", BLOCK),
    ("EXP-FILE-01", "html called csv", "<html><script>1</script>", "t.csv", BLOCK),
    ("EXP-FILE-01", "pickle", b"\x80\x04\x95", "t.pkl", BLOCK),
    ("EXP-FILE-01", "svg", "<svg xmlns='x'/>", "t.svg", BLOCK),
    ("EXP-FILE-01", "binary called csv", bytes(range(32)), "t.csv", BLOCK),
    ("EXP-FILE-01", "path in the name", "a\n1\n", "../t.csv", BLOCK),
    ("EXP-FILE-01", "control character in the name", "a\n1\n", "t\n.csv", BLOCK),
    ("EXP-FILE-01", "picture", PICTURE, "t.png", REVIEW),
    ("EXP-FILE-01", "broken picture", b"\x89PNG\r\n\x1a\n" + bytes(9), "t.png", BLOCK),
    ("EXP-FILE-01", "macro workbook", zipped({"xl/workbook.xml": b"", "xl/vbaProject.bin": b""}), "t.xlsx", BLOCK),
    ("EXP-ARCHIVE-01", "zip bomb", zipped({"a.csv": bytes(10**6)}), "t.zip", BLOCK),
    ("EXP-ARCHIVE-01", "nested too deep", zipped({"a": zipped({"b": zipped({"c": zipped({})})})}), "t.zip", BLOCK),
    ("EXP-ARCHIVE-01", "path out of the archive", zipped({"../a.csv": b"1"}), "t.zip", BLOCK),
    ("EXP-ARCHIVE-01", "gzip", b"\x1f\x8b\x08", "t.csv.gz", BLOCK),
    ("EXP-ARCHIVE-01", "plain file", "a\n1\n", "t.csv", PASS),
    ("EXP-FORMULA-01", "formula", "区\n=1+1\n", "t.csv", BLOCK),
    ("EXP-FORMULA-01", "full-width formula", "区\n＝HYPERLINK(1)\n", "t.csv", BLOCK),
    ("EXP-FORMULA-01", "behind blanks", "区\n  @SUM(A1)\n", "t.csv", BLOCK),
    ("EXP-FORMULA-01", "in the header", "+区\n1\n", "t.csv", BLOCK),
    ("EXP-FORMULA-01", "negative number", "区\n-12.5\n", "t.csv", PASS),
    ("EXP-FORMULA-01", "negative infinity", "区\n-inf\n", "t.csv", BLOCK),
    ("EXP-FORMULA-01", "neutralised", "区\n'=1+1\n", "t.csv", PASS),
    ("EXP-OPAQUE-01", "base64 digests", "标识\n" + TOKENS, "t.csv", BLOCK),
    ("EXP-OPAQUE-01", "plain words", "区\nGuangdong\nGuangxi\n", "t.csv", PASS),
    ("EXP-TEXT-01", "prose", "备注\n" + PROSE, "t.csv", REVIEW),
    ("EXP-TEXT-01", "report", "全市就诊总体平稳。", "t.txt", REVIEW),
    ("EXP-COORD-01", "four decimals", "经度,纬度\n113.2644,23.1291\n", "t.csv", REVIEW),
    ("EXP-COORD-01", "two decimals", "经度,纬度\n113.26,23.12\n", "t.csv", PASS),
    ("EXP-PII-01", "cell", f"区\n东\n{FAKE_ID}\n", "t.csv", BLOCK),
    ("EXP-PII-01", "header", f"{FAKE_ID},人次\n东,20\n", "t.csv", BLOCK),
    ("EXP-PII-01", "file name", "区\n东\n", f"{FAKE_ID}.csv", BLOCK),
    ("EXP-PII-01", "beyond the header", f"区\n东,{FAKE_ID}\n", "t.csv", BLOCK),
    ("EXP-PII-01", "nothing", "区,人次\n东,20\n", "t.csv", PASS),
    ("EXP-CELL-01", "file alone: count of nine", "区,人数\n东,9\n", "t.csv", BLOCK),
    ("EXP-CELL-01", "file alone: count of ten", "区,人数\n东,10\n", "t.csv", PASS),
    ("EXP-CELL-01", "file alone: small whole number", "区,值\n东,9\n", "t.csv", REVIEW),
    ("EXP-CELL-01", "file alone: months are no counts", "月份,人数\n3,20\n", "t.csv", PASS),
    ("EXP-ROUND-01", "file alone: 23", "区,人数\n东,23\n", "t.csv", BLOCK),
    ("EXP-ROUND-01", "file alone: 25", "区,人数\n东,25\n", "t.csv", PASS),
    ("EXP-SUPP-01", "file alone: stars", "区,人数\n东,*\n", "t.csv", REVIEW),
    ("EXP-EXTREME-01", "file alone: maximum", "区,最大值\n东,25\n", "t.csv", REVIEW),
    ("EXP-VOL-01", "5000 rows", "a\n" + "1\n" * 5000, "t.csv", PASS),
    ("EXP-VOL-01", "5001 rows", "a\n" + "1\n" * 5001, "t.csv", BLOCK),
    ("EXP-VOL-01", "100000 cells", ",".join(map(str, range(100))) + ("\n" + "1," * 99 + "1") * 1000, "t.csv", PASS),
    ("EXP-VOL-01", "100100 cells", ",".join(map(str, range(100))) + ("\n" + "1," * 99 + "1") * 1001, "t.csv", BLOCK),
    ("EXP-JOIN-02", "file alone", "a,b\n1,2\n", "t.csv", REVIEW),
]  # fmt: skip


@pytest.fixture(scope="module")
def opened() -> tuple[Contents, ...]:
    """All files of the table read in one jail: what is in use is not read again."""
    return read_all([alone(content, name).files[0] for _, _, content, name, _ in FILES], bounds_of(edition()))


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize(("rule", "what", "content", "name", "expected"), FILES, ids=[f"{f[0]} {f[1]}" for f in FILES])
def test_files(rule: str, what: str, content: str | bytes, name: str, expected: Outcome) -> None:
    assert outcome(alone(content, name), rule) is expected


def test_a_workbook_is_searched_to_its_comments_and_formulas() -> None:
    import xlsxwriter

    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer)
    sheet = book.add_worksheet("汇总")
    sheet.write_row(0, 0, ["区", "人次"])
    sheet.write_row(1, 0, ["东", 20])
    sheet.write_comment(1, 0, f"原表 {FAKE_ID}")
    sheet.write_formula(2, 1, "=SUM(B2:B2)")
    book.close()
    subject = alone(buffer.getvalue(), "t.xlsx")
    assert outcome(subject, "EXP-FILE-01") is PASS
    assert outcome(subject, "EXP-ARCHIVE-01") is PASS
    assert outcome(subject, "EXP-PII-01") is BLOCK
    assert outcome(subject, "EXP-FORMULA-01") is BLOCK


def test_the_clean_product_passes_every_rule() -> None:
    verdict = evaluate(clean(), edition())
    assert verdict.outcome is PASS and not verdict.findings


def test_every_rule_of_the_form_is_evaluated() -> None:
    ran = {run.rule for run in evaluate(clean(), edition()).rules}
    assert ran == {r.id for r in edition().for_form("aggregate") if r.check not in LATER_STAGES}


def test_records_whose_columns_were_not_looked_at_in_the_source_stop() -> None:
    verdict = evaluate(replace(clean(), form="record"), edition())
    assert verdict.outcome is ERROR
    wanted = {"EXP-KANON-01", "EXP-RISK-01", "EXP-LDIV-01", "EXP-TCLOSE-01"}
    assert {r.rule for r in verdict.rules if r.outcome is ERROR} == wanted


def test_every_check_has_a_policy_name_and_a_wording() -> None:
    assert set(CHECKS) <= policy_checks.names("export")
    assert set(CHECKS) == {name.partition("/")[0] for name in WORDINGS}


def test_a_file_alone_is_review_at_best() -> None:
    assert evaluate(alone("区,人数\n东,25\n"), edition()).outcome is REVIEW


def blocked() -> Verdict:
    return evaluate(subject_with([("东区", people(3)), ("南区", people(4)), ("西区", people(110))]), edition())


def test_officers_read_values_and_merchants_a_repair() -> None:
    officer, merchant = verdict_for(blocked(), "officer"), verdict_for(blocked(), "merchant")
    assert any("实测 3，阈值 10" in f.text.zh for f in officer.findings)
    assert all(f.measured is None and f.threshold is None and f.evidence is None for f in merchant.findings)
    assert all(r.measured is None and r.threshold is None for r in merchant.rules)
    assert all(f.repair and "row=" not in f.place for f in merchant.findings)
    keys = [(f.rule, f.severity, f.place) for f in merchant.findings]
    assert len(set(keys)) == len(keys)  # two small cells look like one: their number says nothing
    assert merchant.outcome is officer.outcome and [r.rule for r in merchant.rules] == [r.rule for r in officer.rules]


def test_verdicts_survive_storage_in_both_wordings() -> None:
    import json

    stored = Verdict.from_dict(json.loads(json.dumps(blocked().as_dict(), default=str)))
    assert verdict_for(stored, "merchant").findings == verdict_for(blocked(), "merchant").findings


@pytest.mark.parametrize("where", ["cell", "header", "name", "title"])
def test_no_finding_holds_the_identifier_it_found(where: str) -> None:
    header, cell = (FAKE_ID if where == "header" else "区"), (FAKE_ID if where == "cell" else "东")
    texts = {"title": FAKE_ID if where == "title" else "汇总"}
    name = f"{FAKE_ID}.csv" if where == "name" else "t.csv"
    verdict = evaluate(alone(f"{header},人数\n{cell},7\n", name, texts=texts), edition())
    assert verdict.outcome is BLOCK and FAKE_ID not in str(verdict.as_dict())


def test_the_released_file_is_only_ever_the_platforms() -> None:
    subject = clean()
    tampered = subject.files[0].content.replace(b"20,", b"25,", 1)
    assert tampered != subject.files[0].content
    for content in (tampered, subject.files[0].content + b"\n", subject.files[0].content.removeprefix(b"\xef\xbb\xbf")):
        file = ExportFile(subject.files[0].name, content)
        assert outcome(replace(subject, files=(file,)), "EXP-ROUND-01") is BLOCK


def test_terms_of_review_and_release() -> None:
    rule = edition().by_check("reviewers").parameters
    assert rule.two_from_level <= 3 and "record" in rule.two_for_forms and rule.two_above_volume_percent <= 50
    assert terms(edition()).max_downloads > 0 and terms(edition()).expires_days > 0


def test_released_cells_carry_the_interval_of_their_rounding() -> None:
    subject = clean()
    assert subject.spec is not None and subject.evidence is not None
    cells = cells_of(subject.spec, subject.evidence, release="R-9", base=5)
    counts = [c for c in cells if c.variable == "count"]
    assert {(c.low, c.high) for c in counts} == {(18, 22)} and len(cells) == 8
    assert all(c.low is None for c in cells if c.variable == "amount:费用")
    assert read_csv(subject.files[0].content)[1][1] == "20"


def test_hostile_words_in_a_job_reach_the_file_neutralised() -> None:
    from sandbox.products import artefact, releasing

    spec = parse(job(dimensions=["=区"], measures={"@数": {"op": "count"}}))
    rows = [("=cmd|' /C calc'!A0", 20), ('a"b\n,c', 20), ("-5", 20), (None, 20)]
    made = artefact.write(spec.file_name, releasing.declared(spec, rows, base=5, groupings=(0, 0, 0, 0)))
    assert read_csv(made.content) == [
        ["'=区", "'@数"], ["'=cmd|' /C calc'!A0", "20"], ['a"b\n,c', "20"], ["-5", "20"], ["（缺失）", "20"]
    ]  # fmt: skip
    assert made.content.startswith(b"\xef\xbb\xbf") and b"\r" not in made.content
