"""Providers: valid form, ranges nobody holds, agreement of columns, same seed same values; python-stdnum as oracle."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn
from stdnum.cn import ric, uscc

from synthetic import providers
from synthetic.providers import checksums, gazetteer, pools

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


PATTERNS: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], str]] = {
    "mobiles": (providers.mobiles, r"154\d{8}"),
    "landlines": (providers.landlines, r"0767-[2-8]\d{7}"),
    "emails": (providers.emails, r"[a-z]+\d+@example\.com"),
    "usccs": (providers.usccs, r"914499\d\dMA[0-9A-HJ-NP-RTUWXY]{8}"),
    "organisation_codes": (providers.organisation_codes, r"MA[0-9A-HJ-NP-RTUWXY]{6}[0-9X]"),
    "plates": (providers.plates, r"粤O(?:[0-9A-HJ-NP-Z]{5}|[DABCEFGHJK][0-9A-HJ-NP-Z]\d{4})"),
    "bank_cards": (providers.bank_cards, r"629999\d{13}"),
    "vins": (providers.vins, r"L00[0-9A-HJ-NPR-Z]{5}[0-9X][0-9A-HJ-NPR-Z]{2}\d{6}"),
    "passports": (providers.passports, r"EZ\d{7}"),
    "medical_numbers": (providers.medical_numbers, r"M4499\d{8}"),
    "people": (lambda r, n: providers.people(r, n).resident_ids, r"4499(?!00)\d\d(?:19|20)\d{6}\d{3}[0-9X]"),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_identifiers_are_distinct_and_inside_the_range_nobody_holds(name: str) -> None:
    make, pattern = PATTERNS[name]
    values = make(rng(), N).tolist()
    assert len(set(values)) == len(values) == N
    assert all(type(value) is str and re.fullmatch(pattern, value) for value in values)


@pytest.mark.parametrize("name", [*PATTERNS, "names", "companies", "addresses", "remarks"])
def test_same_seed_gives_the_same_values_and_another_seed_does_not(name: str) -> None:
    others = {
        "names": providers.person_names,
        "companies": providers.company_names,
        "addresses": lambda r, n: providers.addresses(r, *providers.places(r, n)),
        "remarks": providers.remarks,
    }
    make = others[name] if name in others else PATTERNS[name][0]
    first = make(rng(5), 200).tolist()
    assert first == make(rng(5), 200).tolist()
    assert first != make(rng(6), 200).tolist()


@pytest.mark.parametrize("name", [*PATTERNS])
def test_no_values_wanted_gives_none(name: str) -> None:
    assert PATTERNS[name][0](rng(), 0).tolist() == []


def test_resident_ids_pass_stdnum_arithmetic_and_agree_with_birth_and_sex() -> None:
    people = providers.people(rng(), N)
    for number, sex, birth in zip(people.resident_ids, people.sexes, people.births, strict=True):
        assert number[17] == ric.calc_check_digit(number)
        assert number[6:14] == str(birth).replace("-", "")
        assert (int(number[16]) % 2 == 1) == (sex == "男")


def test_many_people_of_one_day_get_different_ids_until_the_sequence_is_used_up() -> None:
    def born_together(n: int) -> list[str]:
        births = np.full(n, np.datetime64("1990-05-17"))
        return providers.resident_ids(rng(), births, np.full(n, "女", dtype=object), np.full(n, 449902)).tolist()

    assert len(set(born_together(500))) == 500
    with pytest.raises(ValueError, match="more than 500"):
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


def test_company_names_fit_the_industry_and_the_city_does_not_exist() -> None:
    industries = np.array(["建筑业"] * 100, dtype=object)
    names = providers.company_names(rng(), 100, industries=industries)
    assert all(name.startswith("示范市") and re.search("建筑工程|装饰工程|市政工程|机电安装", name) for name in names)
    assert len(set(providers.company_names(rng(), N).tolist())) > 0.95 * N


def test_remarks_hold_no_identifier_and_no_unfilled_place() -> None:
    assert not any(re.search(r"\d{6}|[{}]", remark) for remark in providers.remarks(rng(), N))


def test_importing_the_providers_does_not_import_faker() -> None:
    code = "import sys, synthetic.providers; sys.exit('faker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
