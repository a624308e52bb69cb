"""What a scan says about columns of every kind, about needles, noise, types and text."""

from __future__ import annotations

import json
import pickle
import threading
from datetime import date

import numpy as np
import polars as pl
import pytest

from sandbox.detection import columns, funnel
from sandbox.detection.scan import ColumnScan, scan_table, scan_text, summarise, tally_column
from synthetic import providers

ROWS = 800


def _column(values: list, name: str = "c", comment: str = "") -> ColumnScan:
    return scan_table(pl.DataFrame({name: values}), {name: comment}).column(name)


def _decisions(column: ColumnScan) -> dict[str, str]:
    return {e.entity: e.decision for e in column.decided("is", "contains")}


@pytest.fixture(scope="module")
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture(scope="module")
def kinds(rng: np.random.Generator) -> dict[str, list[str]]:
    districts, streets = providers.places(rng, ROWS)
    made = {
        "CN_RESIDENT_ID": providers.people(rng, ROWS).resident_ids,
        "CN_MOBILE": providers.mobiles(rng, ROWS),
        "CN_LANDLINE": providers.landlines(rng, ROWS),
        "CN_USCC": providers.usccs(rng, ROWS),
        "CN_BANK_CARD": providers.bank_cards(rng, ROWS),
        "CN_PLATE": providers.plates(rng, ROWS),
        "VIN": providers.vins(rng, ROWS),
        "EMAIL_ADDRESS": providers.emails(rng, ROWS),
        "PERSON": providers.person_names(rng, ROWS),
        "ADDRESS": providers.addresses(rng, districts, streets),
        "ORGANIZATION": providers.company_names(rng, ROWS),
    }
    return {entity: [str(v) for v in values] for entity, values in made.items()}


def _noise(rng: np.random.Generator, n: int) -> list[str]:
    """Product codes, order numbers, dates, amounts, `无`, districts in equal parts."""
    makers = (
        lambda: f"SKU-D{rng.integers(10**7):07d}",
        lambda: f"{rng.integers(10**17, 9 * 10**17)}",
        lambda: f"2024-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}",
        lambda: f"{rng.random() * 1e5:.2f}",
        lambda: "无",
        lambda: str(rng.choice(["东城区", "西山区", "南湖区", "越秀区", "天河区"])),
    )
    return [makers[rng.integers(len(makers))]() for _ in range(n)]


_ENTITIES = (
    "CN_RESIDENT_ID", "CN_MOBILE", "CN_LANDLINE", "CN_USCC", "CN_BANK_CARD", "CN_PLATE", "VIN", "EMAIL_ADDRESS",
    "PERSON", "ADDRESS", "ORGANIZATION",
)  # fmt: skip


@pytest.mark.parametrize("entity", _ENTITIES)
@pytest.mark.parametrize(("noise", "decision"), [(0.0, "is"), (0.3, "is"), (0.7, "contains")])
def test_column_kind_is_told_through_noise(
    kinds: dict[str, list[str]], rng: np.random.Generator, entity: str, noise: float, decision: str
) -> None:
    dirty = round(ROWS * noise)
    values = kinds[entity][: ROWS - dirty] + _noise(rng, dirty)
    assert _decisions(_column(values)) == {entity: decision}


def _case_number(rng: np.random.Generator) -> str:
    day = date.fromordinal(int(rng.integers(date(2018, 1, 1).toordinal(), date(2024, 12, 31).toordinal())))
    return f"44990{rng.integers(1, 7)}{day:%Y%m%d}{rng.integers(10**4):04d}"


_NEGATIVES = {
    "case numbers": _case_number,
    "18-digit orders": lambda rng: f"{rng.integers(10**17, 9 * 10**17)}",
    "19-digit snowflakes": lambda rng: str(1_700_000_000_000_000_000 + int(rng.integers(10**17))),
    "19-digit serials from 62": lambda rng: f"62{rng.integers(10**17):017d}",
    "time stamps": lambda rng: f"2024{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}{rng.integers(10**10):010d}",
    "random 11 digits": lambda rng: f"{rng.integers(10**11):011d}",
    "random 15 digits": lambda rng: f"{rng.integers(10**14, 10**15)}",
    "random 9 digits": lambda rng: f"{rng.integers(10**9):09d}",
    "dates as 8 digits": lambda rng: f"2024{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}",
    "product codes": lambda rng: f"SKU-D{rng.integers(10**7):07d}",
    "md5": lambda rng: rng.bytes(16).hex(),
    "amounts": lambda rng: f"{rng.random() * 1e6:.2f}",
    "date times": lambda rng: f"2024-01-{rng.integers(1, 29):02d} 10:{rng.integers(60):02d}:{rng.integers(60):02d}",
    "milliseconds": lambda rng: str(1_700_000_000_000 + int(rng.integers(10**10))),
    "towns": lambda rng: (
        str(rng.choice(["东城", "西山", "南湖", "黄埔", "白云"])) + str(rng.choice(["区", "街道", "镇"]))
    ),
    "diagnoses": lambda rng: str(rng.choice(["高血压", "糖尿病", "急性支气管炎", "胃炎", "骨折", "颈椎病"])),
}


@pytest.mark.parametrize("name", _NEGATIVES)
def test_look_alikes_stay_noise(name: str, rng: np.random.Generator) -> None:
    column = _column([_NEGATIVES[name](rng) for _ in range(4000)])
    assert _decisions(column) == {}


def test_case_number_column_keeps_its_accidental_hits_visible(rng: np.random.Generator) -> None:
    column = _column([_case_number(rng) for _ in range(4000)])
    ids = next(e for e in column.entities if e.entity == "CN_RESIDENT_ID")
    assert ids.decision == "noise" and 0.05 < ids.share < 0.13


@pytest.mark.parametrize("share", [1, 5, 40])
def test_needles_are_found_in_any_number_of_rows(kinds: dict[str, list[str]], share: int) -> None:
    codes = [f"SKU-D{n:07d}" for n in range(20_000)]
    column = _column(codes + kinds["CN_RESIDENT_ID"][:share])
    assert [(e.entity, e.hits, e.decision) for e in column.entities] == [("CN_RESIDENT_ID", share, "contains")]


def test_one_valid_number_among_random_18_digit_orders_is_not_a_needle(rng: np.random.Generator) -> None:
    orders = [f"{rng.integers(10**17, 9 * 10**17)}" for _ in range(4000)]
    assert _decisions(_column([*orders, "11010519491231002X"])) == {}


def test_remarks_that_mention_people_contain_them(kinds: dict[str, list[str]]) -> None:
    remarks = [f"联系人{n}，电话{m}，请尽快办理" for n, m in zip(kinds["PERSON"], kinds["CN_MOBILE"], strict=True)]
    remarks += [f"第{n}件，材料齐全予以受理" for n in range(ROWS)]
    decisions = _decisions(_column(remarks))
    assert decisions["CN_MOBILE"] == "contains" and decisions["PERSON"] == "contains"
    assert _decisions(_column(remarks[:ROWS]))["CN_MOBILE"] == "contains"  # even in every row: the cell is a remark


def test_large_decided_column_counts_every_cell_once(rng: np.random.Generator) -> None:
    ids = list(providers.people(rng, funnel.DECIDED_FROM + 500).resident_ids)
    column = _column(ids + ids[:100])
    assert [(e.entity, e.hits, e.share) for e in column.entities] == [("CN_RESIDENT_ID", len(ids) + 100, 1.0)]
    assert (column.rows, column.distinct) == (len(ids) + 100, len(ids))


def test_numbers_are_read_as_text(kinds: dict[str, list[str]]) -> None:
    mobiles = [int(v) for v in kinds["CN_MOBILE"]]
    assert _decisions(_column(mobiles)) == {"CN_MOBILE": "is"}
    assert _decisions(_column([float(v) for v in mobiles])) == {"CN_MOBILE": "is"}
    assert _decisions(_column([f"{v}.0" for v in mobiles])) == {"CN_MOBILE": "is"}
    plain_ids = [int(v) for v in kinds["CN_RESIDENT_ID"] if v.isdigit()]
    assert _decisions(_column(plain_ids)) == {"CN_RESIDENT_ID": "is"}


def test_every_column_type_is_scanned_or_counted(kinds: dict[str, list[str]]) -> None:
    ids = kinds["CN_RESIDENT_ID"][:4]
    frame = pl.DataFrame(
        {
            "day": [date(2024, 1, d) for d in range(1, 5)],
            "flag": [True, False, None, True],
            "nothing": pl.Series([None] * 4, dtype=pl.Null),
            "list": [[v, "x"] for v in ids],
            "struct": [{"id": v} for v in ids],
            "binary": [v.encode() for v in ids],
            "category": pl.Series(ids, dtype=pl.Categorical),
        }
    )
    scan = scan_table(frame.lazy())
    assert {c.name: _decisions(c) for c in scan.columns} == {
        "day": {}, "flag": {}, "nothing": {},
        **{name: {"CN_RESIDENT_ID": "is"} for name in ("binary", "category")},
        **{name: {"CN_RESIDENT_ID": "contains"} for name in ("list", "struct")},
    }  # fmt: skip
    assert (scan.column("flag").missing, scan.column("nothing").missing, scan.column("day").distinct) == (1, 4, 4)


def test_missing_spellings_do_not_dilute_a_column(kinds: dict[str, list[str]]) -> None:
    column = _column(kinds["CN_MOBILE"][:50] + ["-", "NA", "无", "暂无", "", None] * 50)
    assert (column.missing, column.distinct, _decisions(column)) == (300, 50, {"CN_MOBILE": "is"})


def test_context_in_the_column_name_or_comment_lets_weak_shapes_speak() -> None:
    permits = [f"{n:08d}" for n in range(10_000_000, 10_000_050)]
    assert _decisions(_column(permits)) == {}
    assert _decisions(_column(permits, "台胞证号")) == {"CN_TRAVEL_PERMIT": "is"}
    assert _decisions(_column(permits, "zjhm", "台湾居民来往大陆通行证")) == {"CN_TRAVEL_PERMIT": "is"}


def test_position_in_two_columns_is_found_by_name_or_by_neighbourhood() -> None:
    lon = [f"113.{n:06d}" for n in range(200_000, 200_040)]
    lat = [f"23.{n:06d}" for n in range(100_000, 100_040)]
    named = scan_table(pl.DataFrame({"经度": lon, "x": range(40), "纬度": lat}))
    beside = scan_table(pl.DataFrame({"a": [float(v) for v in lon], "b": [float(v) for v in lat]}))
    assert [c.name for c in named.columns if _decisions(c)] == ["经度", "纬度"]
    assert [_decisions(c) for c in beside.columns] == [{"COORDINATES": "is"}] * 2
    assert _decisions(_column(lat)) == {}  # numbers of one column alone say nothing


def test_result_is_the_document_that_detect_prints(kinds: dict[str, list[str]]) -> None:
    scan = scan_table(pl.DataFrame({"号码": kinds["CN_RESIDENT_ID"][:20]}))
    entity = json.loads(json.dumps(scan.as_dict()))["columns"][0]["entities"][0]
    assert {"entity", "hits", "share", "decision", "examples"} <= entity.keys()
    shown = json.dumps(scan.as_dict(), ensure_ascii=False)
    assert not any(value in shown for value in kinds["CN_RESIDENT_ID"][:20])


def test_empty_table_and_empty_text() -> None:
    assert scan_table(pl.DataFrame({"a": pl.Series([], dtype=pl.String)})).column("a").entities == []
    assert scan_table(pl.DataFrame()).columns == []
    assert scan_text("", "t") == []


def test_the_same_table_gives_the_same_result(kinds: dict[str, list[str]]) -> None:
    frame = pl.DataFrame({k: v for k, v in kinds.items() if k in ("PERSON", "CN_MOBILE", "ADDRESS")})
    assert scan_table(frame) == scan_table(frame.lazy())


# ---- texts --------------------------------------------------------------------------------------------------------
def test_text_hits_point_at_the_original_and_are_masked() -> None:
    text = "患者王小明，手机１３８００１３８０００，邮箱a.b@example.com，住示范市东湖区学府路66号3栋502房。"
    hits = {h.entity: h for h in scan_text(text, "notes.txt:1")}
    assert hits.keys() == {"PERSON", "CN_MOBILE", "EMAIL_ADDRESS", "ADDRESS"}
    assert text[hits["CN_MOBILE"].start : hits["CN_MOBILE"].end] == "１３８００１３８０００"
    assert hits["CN_MOBILE"].view == "folded" and hits["PERSON"].masked == "王**"
    assert all(h.place == "notes.txt:1" for h in hits.values())


def test_weak_shapes_in_text_need_a_context_word() -> None:
    assert not scan_text("批次E12345678已入库", "t")
    assert [h.entity for h in scan_text("护照号E12345678", "t")] == ["CN_PASSPORT"]


def test_long_text_without_line_breaks_loses_no_hit() -> None:
    text = ("甲" * 99_990 + "，11010519491231002X，") * 3
    hits = [h for h in scan_text(text, "t") if h.entity == "CN_RESIDENT_ID"]
    assert [text[h.start : h.end] for h in hits] == ["11010519491231002X"] * 3


def test_scans_from_several_threads_agree() -> None:
    text, answers = "联系人王小明，电话13800138000，身份证11010519491231002X", []
    threads = [threading.Thread(target=lambda: answers.append(scan_text(text, "t"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4 and all(a == answers[0] and a for a in answers)


# ---- parts --------------------------------------------------------------------------------------------------------
def test_a_column_in_parts_is_told_the_same_as_in_one(
    kinds: dict[str, list[str]], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patterns, addresses and positions to the last cell; names from one part's sample, with the same decision."""
    cases = [_case_number(rng) for _ in range(3 * ROWS)]
    frame = pl.DataFrame(
        {
            "号码": kinds["CN_RESIDENT_ID"] + kinds["CN_RESIDENT_ID"][:100] + cases[: 2 * ROWS - 100],
            "案号": cases,
            "码": [f"SKU-D{n:07d}" for n in range(3 * ROWS - 2)]
            + ["１１０１０５１９４９１２３１００２ｘ", "1101051949.1231.002X"],
            "地址": kinds["ADDRESS"] * 3,
            "姓名": [*(kinds["PERSON"] * 3)[: 3 * ROWS - 3], "-", "", "无"],
            "经度": [f"113.{n:06d}" for n in range(3 * ROWS)],
        }
    )
    whole = scan_table(frame)
    monkeypatch.setattr(columns, "PART_BYTES", 20_000)
    parts = scan_table(frame)
    plain = lambda scan: [  # noqa: E731
        (c.name, c.rows, c.missing, c.distinct, e.entity, e.hits, e.share, e.decision, e.disguised)
        for c in scan.columns
        for e in c.entities
        if e.entity not in ("PERSON", "ORGANIZATION")
    ]
    assert plain(parts) == plain(whole)
    assert [_decisions(c) for c in parts.columns] == [_decisions(c) for c in whole.columns]


def test_tallies_of_columns_taken_elsewhere_make_the_same_scan(kinds: dict[str, list[str]]) -> None:
    frame = pl.DataFrame({"号码": kinds["CN_USCC"], "姓名": kinds["PERSON"], "数": range(ROWS)})
    comments = {"姓名": "法定代表人"}
    tallies = {name: tally_column(frame.lazy(), name, comments.get(name, "")) for name in frame.columns}
    assert summarise(pickle.loads(pickle.dumps(tallies)), comments) == scan_table(frame, comments)
