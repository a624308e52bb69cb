"""Identifiers of every kind in one table: never learned, of the right form, agreeing within the row."""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import polars as pl
import pytest

from policies.text import UserError
from policies.verdict import Outcome
from synthetic import providers as p
from synthetic.fields import Field
from synthetic.providers import gazetteer, vocabulary
from synthetic.simulate import simulate

ROWS = 600
FORMS = {
    "passport": ("护照号", r"EZ\d{7}"),
    "permit": ("台湾居民来往大陆通行证", r"9\d{7}"),
    "vin": ("车架号", r"L00[0-9A-HJ-NPR-Z]{14}"),
    "organisation_code": ("组织机构代码", r"PDY\d{5}[0-9X]"),
    "medical_number": ("病案号", r"M4499\d{8}"),
    "school_number": ("学籍号", r"G4499\d{13}[0-9X]"),
    "imei": ("设备串号", r"00\d{13}"),
    "ip": ("登录IP", r"198\.1[89]\.\d+\.\d+"),
    "mac": ("网卡", r"06:44:99(?::[0-9A-F]{2}){3}"),
}


def _frame(seed: int = 3) -> pl.DataFrame:
    """Stand-ins for real values, outside the ranges of the providers."""
    rng = np.random.default_rng(seed)
    born, sexes = p.births(rng, ROWS, last="1985-12-31"), p.person_sexes(rng, ROWS)
    districts, streets = p.places(rng, ROWS, division="广州")
    return pl.DataFrame(
        {
            "身份证号": [f"110101{n:09d}" for n in rng.choice(10**9, ROWS, replace=False)],
            "性别": sexes,
            "出生日期": born,
            "行政区": districts,
            "街道": streets,
            "住址": [f"真实路{n}号" for n in rng.permutation(ROWS)],
            "诉求内容": [f"真实诉求{n}" for n in rng.permutation(ROWS)],
            **{name: [f"真{n}" for n in rng.permutation(ROWS)] for name, _ in FORMS.values()},
            "费用": np.round(rng.lognormal(4, 1, ROWS), 2),
        }
    )


FIELDS = (
    Field("身份证号", "text", "resident_id", "direct", 3, nullable=False, unique=True,
          follows={"sex": "性别", "birth": "出生日期"}),
    Field("性别", "text", "category", "quasi", 2),
    Field("出生日期", "date", "date", "quasi", 2),
    Field("行政区", "text", "district", "quasi", 2),
    Field("街道", "text", "street", "quasi", 2),
    Field("住址", "text", "address", "direct", 3, follows={"district": "行政区", "street": "街道"}),
    Field("诉求内容", "text", "free_text", "sensitive", 3),
    *(Field(name, "text", semantic, "direct", 3, nullable=False,
            follows={"entity": "身份证号"} if semantic == "school_number" else {})
      for semantic, (name, _) in FORMS.items()),
    Field("费用", "decimal", "amount", "none", 2),
)  # fmt: skip


@pytest.fixture(scope="module", params=["tree", "schema"])
def made(request: pytest.FixtureRequest) -> pl.DataFrame:
    simulated = simulate(_frame(), FIELDS, rows=500, seed=9, engine=request.param, name="登记")
    assert simulated.verdict.outcome in (Outcome.PASS, Outcome.REVIEW), simulated.verdict.findings
    return simulated.frame


@pytest.mark.parametrize("semantic", FORMS)
def test_every_identifier_has_its_form(made: pl.DataFrame, semantic: str) -> None:
    name, form = FORMS[semantic]
    values = made.get_column(name)
    assert all(re.fullmatch(form, value) for value in values)
    assert semantic == "ip" or values.n_unique() == len(values)


def test_a_pupil_number_holds_the_pupils_own_id() -> None:
    learned = [f for f in FIELDS if f.name not in ("出生日期", "性别")]
    plan = [Field("身份证号", "text", "resident_id", "direct", 3, nullable=False, unique=True), *learned[1:]]
    long = _frame().drop("出生日期", "性别")
    made = simulate(long, plan, rows=300, seed=1, engine="schema").frame
    assert (made.get_column("学籍号") == "G" + made.get_column("身份证号")).all()


def test_ids_of_fifteen_digits_stay_so_and_agree_with_birth_and_sex() -> None:
    made = simulate(_frame(), FIELDS, rows=500, seed=9, engine="tree").frame
    for number, sex, birth in made.select("身份证号", "性别", "出生日期").drop_nulls().iter_rows():
        assert re.fullmatch(r"4499\d{11}", number)
        assert number[6:12] == f"{birth:%y%m%d}"
        assert sex not in ("男", "女") or (int(number[14]) % 2 == 1) == (sex == "男")


def test_addresses_follow_the_tables_own_districts_and_streets(made: pl.DataFrame) -> None:
    seen = 0
    for district, street, address in made.select("行政区", "街道", "住址").drop_nulls().iter_rows():
        if district in gazetteer.GUANGZHOU and street.endswith(("街道", "镇")):
            assert address.startswith(f"示范市{district}{street}")
            seen += 1
        assert "其他" not in address
    assert seen or "东湖区" in set(made.get_column("行政区"))


def test_texts_are_of_the_kind_the_column_speaks_of(made: pl.DataFrame) -> None:
    items = vocabulary.REMARKS_BY_KIND["complaint"].items
    texts = made.get_column("诉求内容").drop_nulls()
    assert sum(any(item in text for item in items) for text in texts) > len(texts) // 2


def test_more_people_of_one_birthday_than_there_are_numbers_is_told_and_not_a_crash() -> None:
    """A placeholder date (1900-01-01) in every row: 99 regions hold 99,000 numbers of one day."""
    plan = [
        Field("身份证号", "text", "resident_id", "direct", 3, nullable=False, follows={"birth": "出生日期"}),
        Field("出生日期", "date", "date", "quasi", 2, nullable=False, codes=("1900-01-01",)),
    ]
    born = pl.Series("出生日期", [date(1900, 1, 1)] * 300)
    frame = pl.DataFrame([pl.Series("身份证号", [f"真{n}" for n in range(300)]), born])
    with pytest.raises(UserError) as caught:
        simulate(frame, plan, rows=150_000, seed=1, engine="tree")
    assert caught.value.code == "simulation.no_room"


def test_a_name_suits_the_sex_and_the_generation_that_its_id_number_says() -> None:
    plan = [
        Field("身份证号", "text", "resident_id", "direct", 3, nullable=False),
        Field("姓名", "text", "person_name", "direct", 3, nullable=False, follows={"entity": "身份证号"}),
    ]
    empty = pl.DataFrame(schema={"身份证号": pl.String, "姓名": pl.String})
    made = simulate(empty, plan, rows=3000, seed=1, engine="schema").frame
    vocabularies = [vocabulary.given_names(male, era) for male in (False, True) for era in range(4)]
    for number, name in made.iter_rows():
        era = int(np.searchsorted(vocabulary.ERA_STARTS, int(number[6:10]), side="right"))
        fitting = vocabularies[4 * (int(number[16]) % 2) + era]
        assert name.endswith(tuple(set(fitting)))
