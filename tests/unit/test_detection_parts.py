"""The parts under the scan: check digits in two forms, canonical text, masks, names and addresses."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.detection import canon, checksums, engine, names
from sandbox.detection.mask import mask
from sandbox.detection.recognizers import ROWS, TABLE, UNION
from synthetic import providers


@pytest.fixture(scope="module")
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# ---- check digits -------------------------------------------------------------------------------------------------
_ALPHABETS = {
    "resident_id": ("0123456789X", 18),
    "resident_id_15": ("0123456789", 15),
    "uscc": ("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", 18),
    "org_code": ("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", 9),
    "imei": ("0123456789", 15),
    "vin": ("0123456789ABCDEFGHJKLMNPRSTUVWXYZIOQ", 17),
}


@pytest.mark.parametrize("check", _ALPHABETS)
def test_vector_and_scalar_forms_agree_on_random_strings(check: str, rng: np.random.Generator) -> None:
    alphabet, length = _ALPHABETS[check]
    values = ["".join(rng.choice(list(alphabet), length)) for _ in range(3000)]
    expected = [checksums.CHECKS[check].scalar(v) for v in values]
    assert checksums.valid(check, values).tolist() == expected


def test_vector_and_scalar_forms_agree_on_ids_with_one_character_changed(rng: np.random.Generator) -> None:
    values = []
    for value in providers.people(rng, 500).resident_ids:
        place = int(rng.integers(0, 18))
        values += [value, value[:place] + str(rng.integers(0, 10)) + value[place + 1 :]]
    got = checksums.valid("resident_id", values)
    assert got.tolist() == [checksums.resident_id(v) for v in values]
    assert got[::2].all()


def test_generated_identifiers_pass_their_checks(rng: np.random.Generator) -> None:
    assert checksums.valid("uscc", list(providers.usccs(rng, 300))).all()
    assert checksums.valid("bank_card", list(providers.bank_cards(rng, 300))).all()
    assert checksums.valid("vin", list(providers.vins(rng, 300))).all()


@pytest.mark.parametrize(
    ("row", "alphabet"), [("IP_ADDRESS", "0123459.:afIip"), ("MAC_ADDRESS", "0Aaf9:-."), ("CN_PLATE", "粤AD0129港学·")]
)
def test_column_form_agrees_with_the_scalar_one_on_whole_cells(row: str, alphabet: str) -> None:
    found = ROWS[row]

    @settings(max_examples=80, deadline=None)
    @given(st.lists(st.from_regex(found.core, fullmatch=True, alphabet=alphabet), min_size=1, max_size=8))
    def check(cells: list[str]) -> None:
        assert found.check is not None
        assert checksums.valid(found.check, cells).tolist() == [checksums.CHECKS[found.check].scalar(c) for c in cells]

    check()


def test_separated_values_go_through_the_scalar_form() -> None:
    assert checksums.valid("resident_id", ["110105 19491231 002X", "110105-19491231-0021"]).tolist() == [True, False]


# ---- canonical text -----------------------------------------------------------------------------------------------
@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_canonical_text_points_back_into_the_original(text: str) -> None:
    reading = canon.canonical(text)
    assert len(reading.origin) == len(reading.text)
    assert list(reading.origin) == sorted(reading.origin)
    assert canon.canonical(reading.text).text == reading.text


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=20), max_size=5))
def test_column_form_equals_the_form_of_each_cell(values: list[str]) -> None:
    assert canon.canonical_values(pl.Series(values, dtype=pl.String)).to_list() == [
        canon.canonical_cell(v) for v in values
    ]


def test_column_form_leaves_the_column_as_it_was() -> None:
    values = pl.Series(["１３８", "138", "張​三"])
    canon.canonical_values(values)
    assert values.to_list() == ["１３８", "138", "張​三"]


def test_span_covers_the_characters_as_written() -> None:
    text = "号码：１３８\u200b００１３８０００。"
    reading = canon.canonical(text)
    start = reading.text.index("138")
    a, b = reading.span(start, start + 11)
    assert text[a:b] == "１３８\u200b００１３８０００"


def test_whole_float_reads_as_integer() -> None:
    assert canon.canonical_cell("13800138000.0") == "13800138000"
    assert canon.canonical_cell("12.0") == "12.0"


# ---- recogniser table ---------------------------------------------------------------------------------------------
def test_no_pattern_uses_word_boundaries_or_crosses_a_line() -> None:
    for row in TABLE:
        assert r"\b" not in row.core and r"\w" not in row.core and r"\s" not in row.core and "\n" not in row.core
        assert row.check is None or row.check in checksums.CHECKS
        assert row.need.value == "helps" or row.context


def test_every_designed_entity_has_a_row() -> None:
    assert {row.entity for row in ROWS.values()} == {
        "CN_RESIDENT_ID", "CN_RESIDENT_ID_15", "CN_MOBILE", "CN_LANDLINE", "CN_BANK_CARD", "CN_USCC", "CN_ORG_CODE",
        "CN_PLATE", "CN_PASSPORT", "CN_TRAVEL_PERMIT", "CN_HK_ID", "CN_TW_ID", "CN_WECHAT", "CN_QQ", "VIN", "IMEI",
        "EMAIL_ADDRESS", "IP_ADDRESS", "MAC_ADDRESS", "COORDINATES",
    }  # fmt: skip


# ---- masks --------------------------------------------------------------------------------------------------------
@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("0123456789ABCXYZabc@.-_ "), max_size=40))
def test_mask_shows_at_most_three_first_and_two_last_characters(value: str) -> None:
    masked, text = mask(value), value.strip()
    head, _, rest = masked.partition("*")
    tail = rest.lstrip("*")
    assert len(head) <= 3 and len(tail) <= 2
    assert len(head) + len(tail) <= len(text) / 3
    assert text.startswith(head) and text.endswith(tail)


def test_mask_of_a_name_is_the_surname_only() -> None:
    assert mask("张三") == "张*"
    assert mask("欧阳修文") == "欧***"
    assert mask("粤A12345") == "粤***"
    assert mask("abc，张三") == "***"


# ---- names, organisations, addresses ------------------------------------------------------------------------------
def test_name_columns_stand_out_from_places_and_jobs(rng: np.random.Generator) -> None:
    people = sorted(set(providers.person_names(rng, 300)))
    looked, found = names.persons_and_organisations(people)
    assert len(found["PERSON"]) / len(looked) >= 0.85
    others = ["越秀区", "石牌街道", "天河北", "会计", "司机", "高血压", "已办结", "材料齐全", "男", "汉族", "小型客车"]
    _, found = names.persons_and_organisations(others)
    assert found == {"PERSON": [], "ORGANIZATION": []}


def test_long_columns_are_sampled_the_same_way_each_time(rng: np.random.Generator) -> None:
    people = sorted(set(providers.person_names(rng, 2000)))
    first, second = (names.persons_and_organisations(people) for _ in range(2))
    assert first == second and len(first[0]) == names.SAMPLE


def test_names_with_a_middle_dot_are_names() -> None:
    assert names.persons_and_organisations(["阿卜杜拉·买买提"])[1]["PERSON"] == [0]


def test_companies_are_organisations_and_not_persons(rng: np.random.Generator) -> None:
    companies = sorted(set(providers.company_names(rng, 200)))
    looked, found = names.persons_and_organisations(companies)
    assert len(found["ORGANIZATION"]) / len(looked) >= 0.9 and not found["PERSON"]


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("示范市东湖区云栖街道学府路66号3栋502房", True),
        ("天河区体育西路103号维多利广场A座1201室", True),
        ("广东省广州市越秀区东风中路300号", True),
        ("越秀区", False),
        ("石牌街道", False),
        ("示范市恒信达电子有限公司", False),
        ("群众反映小区停车难", False),
        ("第3号来信反映小区停车难的问题，街道已派员核实并答复", False),
        ("3号线", False),
        ("示范市东湖区关于道路管理的通知（示府〔2020〕12号）", False),
    ],
)
def test_address_score(value: str, address: bool) -> None:
    assert (names.address_score(value) >= 3) is address
    assert names.addresses(pl.Series([value])).to_list() == [address]


def test_mentions_in_running_text() -> None:
    text = "联系人王小明，住示范市东湖区学府路66号3栋502房。"
    found = {(m.entity, text[m.start : m.end]) for m in names.mentions(text)}
    assert ("PERSON", "王小明") in found
    assert any(entity == "ADDRESS" and "学府路66号" in span for entity, span in found)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_where_no_recogniser_may_find_anything_the_analyzer_finds_nothing(data: st.DataObject) -> None:
    """Texts near to what the patterns take: one of their matches, with a piece of another text beside it."""
    row = data.draw(st.sampled_from(TABLE))
    match = data.draw(st.from_regex(row.core, fullmatch=True))
    beside = st.text(st.sampled_from("A1.@-市\n ") | st.characters(codec="utf-8"), max_size=4)
    text = canon.canonical(data.draw(beside) + match + data.draw(beside)).text
    if not pl.Series([text]).str.contains(UNION)[0]:
        assert not engine.analyzer("none").analyze(text, engine.LANGUAGE, score_threshold=0)


def test_a_text_of_nothing_is_judged_without_the_analyzer(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    monkeypatch.setattr(engine, "_build", cache(built.append))
    assert engine.judge("district", names="all") == [] and not built
