"""Providers: valid form, ranges nobody holds, agreement of columns, same seed same values; python-stdnum as oracle."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import imei, luhn, mac
from stdnum.cn import ric, uscc

from sandbox.detection import scan_table
from synthetic import providers
from synthetic.providers import checksums, documents, gazetteer, pools, vocabulary

N = 3000
ROOT = Path(__file__).parents[2]
ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)


def rng(seed: int = 20260131) -> np.random.Generator:
    return np.random.default_rng(seed)


def organisation_check(body: str) -> str:
    """GB 11714 as the standard words it, one code at a time."""
    rest = 11 - sum(int(c, 36) * w for c, w in zip(body, ORGANISATION_WEIGHTS, strict=True)) % 11
    return {10: "X", 11: "0"}.get(rest, str(rest))


def one(check: Callable[[pools.Bytes], pools.Bytes], body: str) -> str:
    return chr(int(check(pools.matrix([body]))[0]))


@given(st.text("0123456789", min_size=17, max_size=17))
def test_resident_check_character_agrees_with_stdnum(body: str) -> None:
    assert one(checksums.resident_id_check, body) == ric.calc_check_digit(body + "0")


@given(st.text(checksums.USCC_ALPHABET, min_size=17, max_size=17))
def test_uscc_check_character_agrees_with_stdnum(body: str) -> None:
    assert one(checksums.uscc_check, body) == uscc.calc_check_digit(body)


@given(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=8, max_size=8))
def test_organisation_check_character_follows_the_standard(body: str) -> None:
    assert one(checksums.organisation_code_check, body) == organisation_check(body)


@given(st.text("0123456789", min_size=1, max_size=24))
def test_luhn_digit_agrees_with_stdnum(body: str) -> None:
    assert one(checksums.luhn_check, body) == luhn.calc_check_digit(body)


@pytest.mark.parametrize("code", ["D2143569X", "M000100Y4"])
def test_known_organisation_codes(code: str) -> None:
    assert one(checksums.organisation_code_check, code[:8]) == code[8]


@pytest.mark.parametrize("vin", ["1M8GDM9AXKP042788", "11111111111111111", "LJCPCBLCX11000237"])
def test_known_vins(vin: str) -> None:
    assert one(checksums.vin_check, vin) == vin[8]


def test_a_character_outside_the_alphabet_is_refused() -> None:
    with pytest.raises(ValueError, match="alphabet"):
        checksums.uscc_check(pools.matrix(["9144990OMA0000000"]))


@given(st.integers(0, 60), st.integers(1, 80), st.integers(0, 2**31))
def test_distinct_integers_never_repeat(n: int, limit: int, seed: int) -> None:
    if n > limit:
        with pytest.raises(ValueError, match="distinct"):
            pools.distinct_integers(rng(seed), n, limit)
        return
    values = pools.distinct_integers(rng(seed), n, limit)
    assert len(set(values.tolist())) == n
    assert all(0 <= value < limit for value in values.tolist())


@given(st.lists(st.integers(0, 10**9 - 1), min_size=1, max_size=30))
def test_digits_are_the_padded_decimal_form(values: list[int]) -> None:
    assert pools.texts(pools.digits(np.array(values), 9)).tolist() == [f"{value:09d}" for value in values]


def old_ids(r: np.random.Generator, n: int, last: str) -> np.ndarray:
    return providers.old_resident_ids(r, providers.births(r, n, last=last), providers.person_sexes(r, n))


PATTERNS: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], str]] = {
    "mobiles": (providers.mobiles, r"154\d{8}"),
    "landlines": (providers.landlines, r"0767-[2-8]\d{7}"),
    "emails": (providers.emails, r"[a-z]+\d+@example\.com"),
    "usccs": (providers.usccs, r"914499\d\dMA[0-9A-HJ-NP-RTUWXY]{8}"),
    "organisation_codes": (providers.organisation_codes, r"PDY\d{5}[0-9X]"),
    "plates": (providers.plates, r"粤O(?:[0-9A-HJ-NP-Z]{5}|[DABCEFGHJK][0-9A-HJ-NP-Z]\d{4})"),
    "bank_cards": (providers.bank_cards, r"629999\d{13}"),
    "vins": (providers.vins, r"L00[0-9A-HJ-NPR-Z]{5}[0-9X][0-9A-HJ-NPR-Z]{2}\d{6}"),
    "passports": (providers.passports, r"EZ\d{7}"),
    "medical_numbers": (providers.medical_numbers, r"M4499\d{8}"),
    "imeis": (providers.imeis, r"00\d{13}"),
    "macs": (providers.macs, r"06:44:99(?::[0-9A-F]{2}){3}"),
    "permits of Hong Kong and Macau": (lambda r, n: providers.permits(r, n, kind="hong_kong_macau"), r"CO\d{7}"),
    "permits of Taiwan": (lambda r, n: providers.permits(r, n, kind="taiwan"), r"L9\d{7}"),
    "home return permits": (lambda r, n: providers.permits(r, n, kind="home_return"), r"[HM]9\d{7}\d\d"),
    "compatriots' permits": (lambda r, n: providers.permits(r, n, kind="compatriot"), r"9\d{7}"),
    "residence permits": (lambda r, n: providers.permits(r, n, kind="residence"), r"8[123]9999(?:19|20)\d{9}[0-9X]"),
    "foreigners' cards": (lambda r, n: providers.permits(r, n, kind="foreigner"), r"944999(?:19|20)\d{9}[0-9X]"),
    "people": (lambda r, n: providers.people(r, n).resident_ids, r"4499(?!00)\d\d(?:19|20)\d{6}\d{3}[0-9X]"),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_identifiers_are_distinct_and_inside_the_range_nobody_holds(name: str) -> None:
    make, pattern = PATTERNS[name]
    values = make(rng(), N).tolist()
    assert len(set(values)) == len(values) == N
    assert all(type(value) is str and re.fullmatch(pattern, value) for value in values)


OTHERS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "names": providers.person_names,
    "companies": providers.company_names,
    "addresses": lambda r, n: providers.addresses(r, *providers.places(r, n)),
    "addresses in Guangzhou": lambda r, n: providers.addresses(r, *providers.places(r, n, division="广州")),
    "remarks": providers.remarks,
    "complaints": lambda r, n: providers.remarks(r, n, kind="complaint"),
    "old resident IDs": lambda r, n: old_ids(r, n, last="2024-12-31"),
    "IPv4": providers.ips,
    "IPv6": lambda r, n: providers.ips(r, n, version=6),
    "longitudes": lambda r, n: providers.coordinates(r, n)[0],
}


@pytest.mark.parametrize("name", [*PATTERNS, *OTHERS])
def test_same_seed_gives_the_same_values_and_another_seed_does_not(name: str) -> None:
    make = OTHERS[name] if name in OTHERS else PATTERNS[name][0]
    first = make(rng(5), 200).tolist()
    assert first == make(rng(5), 200).tolist()
    assert first != make(rng(6), 200).tolist()


_DIGESTS = """
import hashlib, json
import numpy as np
from tests.unit import test_providers as t
makers = {**t.OTHERS, **{name: make for name, (make, _) in t.PATTERNS.items()}}
texts = {name: "\\n".join(map(str, make(np.random.default_rng(11), 2000).tolist())) for name, make in makers.items()}
print(json.dumps({name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}))
"""


def test_same_seed_gives_the_same_bytes_in_two_processes_with_other_hash_seeds() -> None:
    def digests(hash_seed: str) -> bytes:
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", _DIGESTS]
        return subprocess.run(command, env=env, cwd=ROOT, check=True, capture_output=True).stdout

    first = digests("1")
    assert len(json.loads(first)) == len(PATTERNS) + len(OTHERS)
    assert first == digests("2")


@pytest.mark.parametrize("name", [*PATTERNS])
def test_no_values_wanted_gives_none(name: str) -> None:
    assert PATTERNS[name][0](rng(), 0).tolist() == []


def test_resident_ids_pass_stdnum_arithmetic_and_agree_with_birth_and_sex() -> None:
    people = providers.people(rng(), N)
    for number, sex, birth in zip(people.resident_ids, people.sexes, people.births, strict=True):
        assert number[17] == ric.calc_check_digit(number)
        assert number[6:14] == str(birth).replace("-", "")
        assert (int(number[16]) % 2 == 1) == (sex == "男")


def test_old_resident_ids_have_fifteen_digits_for_whoever_was_born_before_2000() -> None:
    births, sexes = providers.births(rng(), N), providers.person_sexes(rng(), N)
    for number, sex, birth in zip(providers.old_resident_ids(rng(), births, sexes), sexes, births, strict=True):
        old = birth < np.datetime64("2000-01-01")
        assert re.fullmatch(r"4499\d{11}" if old else r"4499\d{13}[0-9X]", number)
        assert number[6:12] == str(birth).replace("-", "")[2:] if old else number[6:14] == str(birth).replace("-", "")
        assert (int(number[14 if old else 16]) % 2 == 1) == (sex == "男")


@pytest.mark.parametrize("kind", ["residence", "foreigner"])
def test_permits_like_a_resident_id_follow_birth_and_sex(kind: documents.PermitKind) -> None:
    births, sexes = providers.births(rng(), N), providers.person_sexes(rng(), N)
    numbers = providers.permits(rng(), N, kind=kind, born=births, sexes=sexes)
    for number, sex, birth in zip(numbers, sexes, births, strict=True):
        assert number[17] == ric.calc_check_digit(number)
        assert number[6:14] == str(birth).replace("-", "")
        assert (int(number[16]) % 2 == 1) == (sex == "男")


@pytest.mark.parametrize(
    ("column", "kind"),
    [("往来港澳通行证号", "hong_kong_macau"), ("往来台湾通行证", "taiwan"), ("港澳居民来往内地通行证", "home_return"),
     ("台胞证号", "compatriot"), ("台湾居民来往大陆通行证号码", "compatriot"), ("港澳台居民居住证", "residence"),
     ("外国人永久居留证", "foreigner"), ("通行证号", "hong_kong_macau")],
)  # fmt: skip
def test_the_column_says_which_permit_it_holds(column: str, kind: str) -> None:
    assert providers.permit_kind(column) == kind


def test_an_unknown_kind_of_permit_is_refused() -> None:
    with pytest.raises(ValueError, match="kind"):
        providers.permits(rng(), 1, kind="zebra")  # type: ignore[arg-type]


def test_imeis_pass_stdnum_and_start_with_the_code_of_test_equipment() -> None:
    assert all(imei.is_valid(number) and number.startswith("00") for number in providers.imeis(rng(), N))


def test_network_addresses_lie_in_ranges_that_are_routed_to_nobody() -> None:
    tests_only, examples = ip_network("198.18.0.0/15"), ip_network("2001:db8::/32")
    assert all(ip_address(text) in tests_only for text in providers.ips(rng(), N))
    assert all(ip_address(text) in examples for text in providers.ips(rng(), N, version=6))


def test_mac_addresses_are_local_and_belong_to_one_station() -> None:
    assert all(mac.is_valid(text) and mac.is_locally_administered(text) for text in providers.macs(rng(), N))
    assert not any(mac.is_multicast(text) for text in providers.macs(rng(), N))


def test_coordinates_lie_in_their_district() -> None:
    districts, _ = providers.places(rng(), N)
    centre = {d.name: (d.longitude, d.latitude) for d in gazetteer.DISTRICTS}
    for name, east, north in zip(districts, *providers.coordinates(rng(), N, districts), strict=True):
        assert abs(east - centre[name][0]) < 0.055
        assert abs(north - centre[name][1]) < 0.055


def test_organisation_codes_beyond_the_range_of_own_use_hold_a_letter_no_credit_code_has() -> None:
    codes = providers.organisation_codes(rng(), 60_000).tolist()
    assert len(set(codes)) == 60_000
    assert "Z" not in checksums.USCC_ALPHABET
    assert all(code[:2] == "MZ" and code[8] == organisation_check(code[:8]) for code in codes)
    assert all(c[8] == organisation_check(c[:8]) for c in providers.organisation_codes(rng(), N))


def test_many_people_of_one_day_get_different_ids_until_the_sequence_is_used_up() -> None:
    def born_together(n: int) -> list[str]:
        births = np.full(n, np.datetime64("1990-05-17"))
        return providers.resident_ids(rng(), births, np.full(n, "女", dtype=object), np.full(n, 449902)).tolist()

    assert len(set(born_together(500))) == 500
    with pytest.raises(providers.Exhausted, match="more than 500"):
        born_together(501)


def test_an_assigned_region_is_refused() -> None:
    birth, sex = np.array(["1990-05-17"], dtype="datetime64[D]"), np.array(["男"], dtype=object)
    with pytest.raises(ValueError, match="4499"):
        providers.resident_ids(rng(), birth, sex, np.array([440106]))
    with pytest.raises(ValueError, match="4499"):
        providers.usccs(rng(), 1, regions=np.array([440106]))


def test_names_follow_sex_and_generation() -> None:
    old = providers.person_names(rng(), N, "女", np.full(N, np.datetime64("1950-01-01")))
    young = providers.person_names(rng(), N, "男", np.full(N, np.datetime64("2015-01-01")))
    assert any(name.endswith("秀英") for name in old)
    assert not any(name.endswith("梓涵") for name in old)
    assert any(name.endswith("梓轩") for name in young)
    assert not any(name.endswith("秀英") for name in young)
    assert all(re.fullmatch(r"[\u4e00-\u9fff]{2,4}", name) for name in [*old, *young])


def test_usccs_pass_stdnum_and_hold_a_valid_organisation_code() -> None:
    for code in providers.usccs(rng(), N):
        assert uscc.is_valid(code)
        assert code[16] == organisation_check(code[8:16])


def test_sole_traders_have_their_own_prefix() -> None:
    kinds = np.array(["91", "92"] * 50, dtype=object)
    assert [code[:2] for code in providers.usccs(rng(), 100, kinds=kinds)] == kinds.tolist()


def test_bank_cards_pass_luhn() -> None:
    assert all(luhn.is_valid(card) for card in providers.bank_cards(rng(), N))


def test_plates_have_the_wanted_share_of_new_energy_vehicles() -> None:
    share = sum(len(plate) == 8 for plate in providers.plates(rng(), 20_000, new_energy=0.3)) / 20_000
    assert 0.28 < share < 0.32


def test_plates_last_for_a_million_vehicles() -> None:
    assert len(set(providers.plates(rng(), 1_000_000).tolist())) == 1_000_000


def test_school_numbers_follow_from_the_resident_id() -> None:
    ids = providers.people(rng(), 10).resident_ids
    assert providers.school_numbers(rng(), ids).tolist() == ["G" + number for number in ids]


def test_addresses_agree_in_district_street_road_and_number() -> None:
    districts, streets = providers.places(rng(), N)
    roads = {s.name: s.roads for _, s in gazetteer.STREETS}
    home = {s.name: d.name for d, s in gazetteer.STREETS}
    for district, street, text in zip(districts, streets, providers.addresses(rng(), districts, streets), strict=True):
        assert home[street] == district
        rest = text.removeprefix(f"示范市{district}{street}")
        assert re.match(rf"(?:{'|'.join(roads[street])})\d+号", rest)


def test_an_estate_has_one_road_and_number() -> None:
    districts, streets = providers.places(rng(), N)
    seen: dict[tuple[str, str], set[str]] = {}
    for text in providers.addresses(rng(), districts, streets):
        if found := re.fullmatch(r"(.+?\d+号)([^\d]+?)\d+栋\d+房", text):
            street = re.match(r"示范市..区.+?(?:街道|镇)", text)
            assert street is not None
            seen.setdefault((street.group(), found.group(2)), set()).add(found.group(1))
    assert len(seen) > 50
    assert all(len(places) == 1 for places in seen.values())


def test_a_place_the_city_does_not_have_keeps_its_name_and_its_roads() -> None:
    place = np.array(["某区"] * 300, dtype=object), np.array(["某街道"] * 300, dtype=object)
    texts = providers.addresses(rng(), *place, kind="site").tolist()
    assert all(text.startswith("示范市某区某街道") for text in texts)
    assert len({re.sub(r"\d+号", "", text) for text in texts}) == 4


def test_places_of_guangzhou_agree_and_lie_in_the_city_that_does_not_exist() -> None:
    districts, streets = providers.places(rng(), N, division="广州")
    assert set(districts) == set(gazetteer.GUANGZHOU)
    for district, street, text in zip(districts, streets, providers.addresses(rng(), districts, streets), strict=True):
        assert street in gazetteer.STREETS_OF[district]
        assert re.match(rf"示范市{district}{street}[^\d]+\d+号", text)


def test_an_address_takes_the_labels_that_are_there_and_finds_what_agrees_with_them() -> None:
    districts = np.array(["天河区", "天河区", "其他", None, "某县", "东湖区"], dtype=object)
    streets = np.array(["石牌街道", "其他", "云栖街道", None, None, ""], dtype=object)
    near, street = providers.whereabouts(rng(), 6, districts, streets)
    assert (near[0], street[0]) == ("天河区", "石牌街道")
    assert near[1] == "天河区"
    assert street[1] in gazetteer.STREETS_OF["天河区"]
    assert (near[2], street[2]) == ("东湖区", "云栖街道")
    assert street[3] in gazetteer.STREETS_OF[near[3]]
    assert near[4] == "某县"
    assert street[5] in gazetteer.STREETS_OF["东湖区"]


def test_a_district_of_no_known_division_has_the_same_few_streets_every_time() -> None:
    names = np.full(200, "某县", dtype=object)
    assert set(providers.streets_in(rng(1), names)) == set(providers.streets_in(rng(2), names))
    assert len(set(providers.streets_in(rng(1), names))) == 6


def test_company_names_fit_the_industry_and_the_city_does_not_exist() -> None:
    industries = np.array(["建筑业"] * 100, dtype=object)
    names = providers.company_names(rng(), 100, industries=industries)
    assert all(name.startswith("示范市") and re.search("建筑工程|装饰工程|市政工程|机电安装", name) for name in names)
    assert len(set(providers.company_names(rng(), N).tolist())) > 0.95 * N


def test_remarks_hold_no_identifier_and_no_unfilled_place() -> None:
    assert not any(re.search(r"\d{6}|[{}]", remark) for remark in providers.remarks(rng(), N))


@pytest.mark.parametrize("kind", sorted(vocabulary.REMARKS_BY_KIND))
def test_remarks_of_every_kind_hold_no_identifier_and_speak_of_their_things(kind: str) -> None:
    texts = providers.remarks(rng(), N, kind=kind)
    assert not any(re.search(r"\d{5}|[{}]", text) for text in texts)
    assert len(set(texts)) > 100
    assert sum(any(item in text for item in vocabulary.REMARKS_BY_KIND[kind].items) for text in texts) > N // 2


@pytest.mark.parametrize(
    ("column", "table", "kind"),
    [("诉求内容", "", "complaint"), ("备注", "投诉编号 来电时间", "complaint"), ("主诉", "", "medical"),
     ("备注", "就诊日期 科室", "medical"), ("办理说明", "", "service"), ("备注", "企业名称 注册资本", "enterprise"),
     ("检查情况", "企业名称", "inspection"), ("备注", "学籍号 班级", "school"), ("备注", "", "office")],
)  # fmt: skip
def test_the_columns_words_choose_the_remarks_before_the_tables(column: str, table: str, kind: str) -> None:
    assert providers.remark_kind(column, table) == kind


ENTITIES: dict[str, tuple[str, Callable[[np.random.Generator, int], np.ndarray]]] = {
    "护照号": ("CN_PASSPORT", providers.passports),
    "往来港澳通行证号": ("CN_TRAVEL_PERMIT", lambda r, n: providers.permits(r, n, kind="hong_kong_macau")),
    "往来台湾通行证号": ("CN_TRAVEL_PERMIT", lambda r, n: providers.permits(r, n, kind="taiwan")),
    "港澳居民来往内地通行证": ("CN_TRAVEL_PERMIT", lambda r, n: providers.permits(r, n, kind="home_return")),
    "台胞证号": ("CN_TRAVEL_PERMIT", lambda r, n: providers.permits(r, n, kind="compatriot")),
    "港澳台居民居住证": ("CN_RESIDENT_ID", lambda r, n: providers.permits(r, n, kind="residence")),
    "永久居留身份证": ("CN_RESIDENT_ID", lambda r, n: providers.permits(r, n, kind="foreigner")),
    "旧身份证号": (
        "CN_RESIDENT_ID_15",
        lambda r, n: old_ids(r, n, last="1999-12-31"),
    ),
    "组织机构代码": ("CN_ORG_CODE", providers.organisation_codes),
    "IMEI": ("IMEI", providers.imeis),
    "IP": ("IP_ADDRESS", providers.ips),
    "IPv6地址": ("IP_ADDRESS", lambda r, n: providers.ips(r, n, version=6)),
    "MAC": ("MAC_ADDRESS", providers.macs),
    "车架号": ("VIN", providers.vins),
}  # fmt: skip


@pytest.mark.parametrize("column", ENTITIES)
def test_detection_calls_generated_identifiers_what_they_are(column: str) -> None:
    entity, make = ENTITIES[column]
    scan = scan_table(pl.DataFrame({column: make(rng(), 400).tolist()})).column(column)
    assert [found.entity for found in scan.decided("is")] == [entity]


def test_importing_the_providers_does_not_import_faker() -> None:
    code = "import sys, synthetic.providers; sys.exit('faker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
