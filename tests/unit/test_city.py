"""The demonstration city: files hold exactly what the answer key says, tables fit together, nobody real is in it.

The files are read here by Python's csv and json and by openpyxl, line by line, so that neither the city's writers
nor the platform's readers vouch for themselves.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import Counter, defaultdict
from datetime import date, datetime
from pathlib import Path
from statistics import mean, median
from typing import Any

import openpyxl
import pytest
from stdnum import luhn
from stdnum.cn import ric, uscc

from synthetic.city import TABLES, CityManifest, build
from synthetic.city.dirt import MISSING

KEYS = [table.key for table in TABLES]
ROOT = Path(__file__).parents[2]
Rows = list[list[str | None]]
CHECKS = {
    "身份证号": lambda number: ric.calc_check_digit(number) == number[17],
    "统一社会信用代码": uscc.is_valid,
    "银行卡号": luhn.is_valid,
}


class City:
    """The built city with its answer key and every table read back as loadable rows of text."""

    def __init__(self, manifest: CityManifest) -> None:
        self.manifest = manifest
        self.truth = json.loads(manifest.truth.read_text(encoding="utf-8"))
        self.tables = {table["key"]: table for table in self.truth["tables"]}
        self.rows = {key: read(manifest.out, self.tables[key]) for key in KEYS}
        with manifest.cells.open(encoding="utf-8", newline="") as file:
            self.cells = list(csv.DictReader(file))

    def column(self, key: str, name: str) -> list[str | None]:
        place = [column["name"] for column in self.tables[key]["columns"]].index(name)
        return [row[place] for row in self.rows[key]]

    def corrected(self, key: str, name: str) -> list[str | None]:
        """The column with the wrong cells set right and missing values as None."""
        values = [None if value in MISSING else value for value in self.column(key, name)]
        for cell in self.cells:
            if cell["table"] == key and cell["column"] == name:
                values[int(cell["record"]) - 1] = cell["truth"] or None
        return values

    def numbers(self, key: str, name: str) -> list[float | None]:
        return [None if v is None else float(v.replace(",", "")) for v in self.corrected(key, name)]


def read(folder: Path, table: dict[str, Any]) -> Rows:
    path = folder / table["file"]
    if table["format"] == "xlsx":
        return read_sheet(path, table["layout"])
    lines = path.read_bytes().decode(table["layout"]["encoding"]).split("\n")
    assert lines.pop() == ""
    assert len(lines) == table["layout"]["physical_lines"]
    drop = {entry["line"] for entry in table["quarantined"]} | not_data(table["layout"])
    kept = [line for number, line in enumerate(lines, 1) if number not in drop]
    if table["format"] == "ndjson":
        objects = [json.loads(line) for line in kept]
        return [[None if v is None else shown(v) for v in entry.values()] for entry in objects]
    text = "\n".join(kept) + "\n"
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=table["layout"]["delimiter"], strict=True)
    return [[value or None for value in row] for row in reader]


def not_data(layout: dict[str, Any]) -> set[int]:
    names = ("preamble_lines", "repeated_header_lines", "footer_lines", "blank_lines", "section_lines")
    header = {layout["header_line"]} if layout["header_line"] else set()
    return header.union(*(layout[name] for name in names))


def read_sheet(path: Path, layout: dict[str, Any]) -> Rows:
    sheet = openpyxl.load_workbook(path).worksheets[0]
    drop = not_data(layout)
    rows = enumerate(sheet.iter_rows(values_only=True), 1)
    return [[None if v is None else shown(v) for v in row] for number, row in rows if number not in drop]


def shown(value: Any) -> str:
    """A cell as text: whole numbers without `.0`, dates in ISO form."""
    if isinstance(value, datetime | date):
        return value.isoformat()[:10]
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def same(written: str, found: str | None) -> bool:
    """Equal texts, or equal numbers where a workbook or JSON holds a number."""
    if written == found:
        return True
    try:
        return found is not None and float(written) == float(found)
    except ValueError:
        return False


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return City(build(tmp_path_factory.mktemp("city"), seed=11, scale=0.2))


@pytest.mark.parametrize("key", KEYS)
def test_loadable_rows_are_as_many_as_the_key_says_and_all_have_the_full_width(city: City, key: str) -> None:
    table = city.tables[key]
    assert len(city.rows[key]) == table["rows"] == city.manifest.file(key).rows
    assert {len(row) for row in city.rows[key]} == {len(table["columns"])}


@pytest.mark.parametrize("key", KEYS)
def test_exact_duplicates_are_as_many_as_the_key_says(city: City, key: str) -> None:
    rows = city.rows[key]
    assert len(rows) - len(set(map(tuple, rows))) == city.tables[key]["duplicate_rows"]


@pytest.mark.parametrize("key", KEYS)
def test_missing_cells_and_their_spellings_are_as_many_as_the_key_says(city: City, key: str) -> None:
    for column in city.tables[key]["columns"]:
        found = Counter(value or "" for value in city.column(key, column["name"]) if not value or value in MISSING)
        assert dict(found) == column["missing_spellings"], column["name"]
        assert found.total() == column["missing"]


@pytest.mark.parametrize("key", KEYS)
def test_every_wrong_cell_stands_where_the_list_says_and_is_counted(city: City, key: str) -> None:
    cells = [cell for cell in city.cells if cell["table"] == key]
    for cell in cells:
        assert same(cell["written"], city.column(key, cell["column"])[int(cell["record"]) - 1]), cell
    counted = Counter((cell["column"], cell["kind"]) for cell in cells)
    for column in city.tables[key]["columns"]:
        for kind in ("impossible", "bad_check_digit", "full_width", "trailing_blank"):
            assert counted[column["name"], kind] == column[kind]


@pytest.mark.parametrize("key", [key for key in KEYS if key not in ("enterprises", "schools")])
def test_refused_lines_are_broken_in_the_way_the_key_says(city: City, key: str) -> None:
    table = city.tables[key]
    lines = (city.manifest.out / table["file"]).read_bytes().decode(table["layout"]["encoding"]).splitlines()
    width, mark = len(table["columns"]), table["layout"]["delimiter"]
    assert len(table["quarantined"]) == table["rows_quarantined"] >= 2
    for entry in table["quarantined"]:
        line = lines[entry["line"] - 1]
        if entry["reason"] == "broken_json":
            with pytest.raises(json.JSONDecodeError):
                json.loads(line)
        elif entry["reason"] == "unescaped_quote":
            assert re.search('"[^"]+"[^"]+"[^"]+"', line)
        else:
            fields = line.count(mark) + 1
            assert fields < width if entry["reason"] == "short_row" else fields > width


def test_date_spellings_and_thousands_are_counted(city: City) -> None:
    for key in ("residents", "clinic_visits", "permits_penalties", "social_insurance"):
        for column in city.tables[key]["columns"]:
            values = [value for value in city.column(key, column["name"]) if value and value not in MISSING]
            if column["dtype"] == "date":
                slashed = sum(bool(re.fullmatch(r"\d{4}/\d{1,2}/\d{1,2}", value)) for value in values)
                assert column["date_spellings"].get("2025/3/1", 0) == slashed
                assert len(column["date_spellings"]) >= 2
            if column["dtype"] == "decimal":
                assert column["thousands"] == sum("," in value for value in values)


def test_identifiers_inside_free_text_are_counted(city: City) -> None:
    for key, name in (("residents", "备注"), ("clinic_visits", "备注"), ("permits_penalties", "决定内容")):
        truth = next(column for column in city.tables[key]["columns"] if column["name"] == name)
        texts = [value or "" for value in city.column(key, name)]
        assert truth["contains"]["CN_MOBILE"] == sum(bool(re.search(r"154\d{8}", text)) for text in texts) > 0
        assert truth["contains"]["CN_RESIDENT_ID"] == sum(bool(re.search(r"4499\d{13}[\dX]", t)) for t in texts) > 0


def test_every_foreign_key_resolves_once_wrong_cells_are_set_right(city: City) -> None:
    assert len(city.truth["relations"]) == 4
    for relation in city.truth["relations"]:
        (child, column), (parent, key) = relation["from"], relation["to"]
        wrong = {int(cell["record"]) for cell in city.cells if cell["table"] == child and cell["column"] == column}
        known = set(city.column(parent, key))
        assert set(city.corrected(child, column)) - {None} <= known
        plain = {
            v for number, v in enumerate(city.column(child, column), 1) if number not in wrong and v not in MISSING
        }
        assert plain - {None} <= known, "an untouched key must resolve without any repair"


def test_visits_refer_to_listed_clinics(city: City) -> None:
    names = {clinic["code"]: clinic["name"] for clinic in city.truth["code_lists"]["clinics"]}
    pairs = set(zip(city.column("clinic_visits", "机构编码"), city.column("clinic_visits", "机构名称"), strict=True))
    assert pairs <= set(names.items())
    assert len(pairs) > 30


def test_a_person_is_the_same_in_every_table(city: City) -> None:
    name = dict(zip(city.corrected("residents", "身份证号"), city.corrected("residents", "姓名"), strict=True))
    for key, column in (("clinic_visits", "患者姓名"), ("social_insurance", "姓名")):
        for number, written in zip(city.corrected(key, "身份证号"), city.corrected(key, column), strict=True):
            assert number is None or name[number] == written


def test_resident_ids_agree_with_sex_and_birth(city: City) -> None:
    columns = (city.corrected("residents", name) for name in ("身份证号", "性别", "出生日期", "年龄"))
    for number, sex, birth, age in zip(*columns, strict=True):
        assert number and birth and age
        assert number[17] == ric.calc_check_digit(number)
        assert (int(number[16]) % 2 == 1) == (sex == "男")
        parts = [f"{int(part):02d}" for part in re.findall(r"\d+", birth)]
        assert number[6:14] == "".join(parts)
        assert int(age) == 2025 - int(number[6:10])


def test_no_identifier_lies_outside_the_ranges_nobody_holds(city: City) -> None:
    for key in KEYS:
        for row in city.rows[key]:
            text = "\t".join(value for value in row if value)
            for number in re.findall(r"(?<![0-9A-Za-z])[1-9]\d{16}[\dXx](?![0-9A-Za-z])", text):
                assert number.startswith("4499"), key
            assert set(re.findall(r"(?<![0-9A-Za-z.])(1[3-9]\d)\d{8}(?![0-9A-Za-z])", text)) <= {"154"}
            assert set(re.findall(r"(?<!\d)(\d{6})\d{13}(?!\d)", text)) <= {"629999"}
            assert set(re.findall(r"(?<![0-9A-Za-z])9[12](\d{4})\d\dMA[0-9A-Z]{8}", text)) <= {"4499"}
            assert set(re.findall(r"@(\S+)", text)) <= {"example.com"}
            assert set(re.findall(r"(?<!\d)(0\d{2,3})-\d{7,8}", text)) <= {"0767"}
            assert set(re.findall(r"[京津沪渝粤][A-Z](?=[0-9A-Z]{5})", text)) <= {"粤O"}


def test_codes_are_valid_unless_the_key_calls_them_wrong(city: City) -> None:
    assert all(uscc.is_valid(code) for code in city.corrected("enterprises", "统一社会信用代码"))
    assert all(luhn.is_valid(card) for card in city.corrected("social_insurance", "银行卡号") if card)
    wrong = [cell for cell in city.cells if cell["kind"] == "bad_check_digit"]
    assert {cell["column"] for cell in wrong} == {"身份证号", "统一社会信用代码", "银行卡号"}
    assert not any(CHECKS[cell["column"]](cell["written"]) for cell in wrong)
    assert all(CHECKS[cell["column"]](cell["truth"]) for cell in wrong)


def test_sums_hold_once_wrong_cells_are_set_right(city: City) -> None:
    for key, parts, total in (
        ("clinic_visits", ("医保支付", "自付金额"), "费用"),
        ("social_insurance", ("单位缴费额", "个人缴费额"), "缴费合计"),
        ("transit_taps", ("优惠金额", "实收金额"), "应收金额"),
    ):
        columns = [city.numbers(key, name) for name in (*parts, total)]
        assert all(abs(a + b - c) < 0.006 for a, b, c in zip(*columns, strict=True) if None not in (a, b, c))


def test_registration_never_precedes_birth(city: City) -> None:
    def days(name: str) -> list[date]:
        values = [re.findall(r"\d+", value or "") for value in city.corrected("residents", name)]
        return [date(*map(int, v)) if len(v) == 3 else datetime.strptime(v[0], "%Y%m%d").date() for v in values]

    assert all(born <= registered for born, registered in zip(days("出生日期"), days("登记日期"), strict=True))


def grouped(keys: list[str | None], values: list[Any]) -> dict[str, list[Any]]:
    out = defaultdict(list)
    for key, value in zip(keys, values, strict=True):
        if key is not None and value is not None:
            out[key].append(value)
    return out


def test_education_depends_on_age_and_pay_on_education(city: City) -> None:
    ages = [int(age or 0) for age in city.corrected("residents", "年龄")]
    learned = city.corrected("residents", "文化程度")
    young = [level for age, level in zip(ages, learned, strict=True) if 26 <= age <= 40 and level]
    old = [level for age, level in zip(ages, learned, strict=True) if age >= 62 and level]
    high = {"大专", "本科", "研究生"}
    assert mean(level in high for level in young) > 3 * mean(level in high for level in old)
    level = dict(zip(city.corrected("residents", "身份证号"), learned, strict=True))
    ids = [level[number] for number in city.corrected("social_insurance", "身份证号") if number]
    pay = grouped(ids, city.numbers("social_insurance", "缴费基数"))
    assert median(pay["初中"]) < median(pay["大专"]) < median(pay["本科"])


def month_of(text: str) -> int:
    """The month of a date in any of the four spellings."""
    parts = re.findall(r"\d+", text)
    return int(parts[1]) if len(parts) == 3 else int(text[4:6])


def test_seasons_ages_and_sex_shape_the_visits(city: City) -> None:
    months = [month_of(value or "") for value in city.corrected("clinic_visits", "就诊日期")]
    by = grouped(city.corrected("clinic_visits", "诊断名称"), months)
    assert mean(month in (11, 12, 1, 2, 3) for month in by["流行性感冒"]) > 0.55
    assert mean(month in (5, 6, 7, 8, 9) for month in by["急性胃肠炎"]) > 0.5
    ages = grouped(
        city.corrected("clinic_visits", "科室"), [int(a or 0) for a in city.corrected("clinic_visits", "年龄")]
    )
    assert max(ages["儿科"]) < 14
    assert mean(ages["心血管内科"]) > 55
    sexes = grouped(city.corrected("clinic_visits", "科室"), city.corrected("clinic_visits", "性别"))
    assert set(sexes["产科"]) == {"女"}


def test_people_commute_and_pensioners_ride_free(city: City) -> None:
    stamps = [datetime.fromisoformat(value or "") for value in city.corrected("transit_taps", "交易时间")]
    kinds = city.corrected("transit_taps", "卡类型")
    hours = Counter(t.hour for t, kind in zip(stamps, kinds, strict=True) if t.weekday() < 5 and kind != "老年卡")
    assert min(hours[7], hours[8], hours[18]) > 2 * max(hours[10], hours[14])
    fares = grouped(kinds, city.numbers("transit_taps", "实收金额"))
    assert set(fares["老年卡"]) == {0.0}
    assert mean(fares["学生卡"]) < 0.6 * mean(fares["普通卡"])


def test_industry_decides_capital_and_district(city: City) -> None:
    capital = grouped(city.corrected("enterprises", "行业门类"), city.numbers("enterprises", "注册资本(万元)"))
    assert median(capital["建筑业"]) > 5 * median(capital["住宿和餐饮业"])
    places = grouped(city.corrected("enterprises", "行业门类"), city.corrected("enterprises", "所属区"))
    assert Counter(places["制造业"]).most_common(1)[0][0] == "南屏区"


def test_air_grade_follows_the_index_and_winter_is_dusty(city: City) -> None:
    index, grades = city.numbers("air_readings", "AQI"), city.corrected("air_readings", "空气质量等级")
    assert all((value <= 50) == (grade == "优") for value, grade in zip(index, grades, strict=True) if value and grade)
    months = [(value or "")[5:7] for value in city.corrected("air_readings", "监测时间")]
    dust = grouped(months, city.numbers("air_readings", "PM2.5"))
    assert mean(dust["01"] + dust["12"]) > 1.3 * mean(dust["06"] + dust["07"])


def test_layouts_are_the_promised_ones(city: City) -> None:
    form = {key: (table["format"], table["layout"]["encoding"]) for key, table in city.tables.items()}
    assert form["residents"] == ("csv", "gb18030")
    assert b"\r\n" in (city.manifest.out / city.tables["residents"]["file"]).read_bytes()[:400]
    assert form["enterprises"] == form["schools"] == ("xlsx", "xlsx")
    assert form["transit_taps"] == ("ndjson", "utf-8")
    raw = (city.manifest.out / city.tables["permits_penalties"]["file"]).read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    assert len(city.tables["permits_penalties"]["layout"]["repeated_header_lines"]) == 1
    sheet = openpyxl.load_workbook(city.manifest.out / city.tables["enterprises"]["file"]).worksheets[0]
    assert sheet["A1"].value == "附件1"
    assert {str(area) for area in sheet.merged_cells.ranges} >= {"A2:O2", "A3:O3"}
    assert len(city.tables["schools"]["layout"]["section_lines"]) == 6


def test_sections_of_the_school_sheet_name_the_district_of_the_rows_below(city: City) -> None:
    table = city.tables["schools"]
    sheet = openpyxl.load_workbook(city.manifest.out / table["file"]).worksheets[0]
    place = [column["name"] for column in table["columns"]].index("所属区") + 1
    for line in table["layout"]["section_lines"]:
        assert sheet.cell(line, 1).value == sheet.cell(line + 1, place).value


def test_levels_and_roles_of_the_key_are_complete(city: City) -> None:
    for table in city.tables.values():
        for column in table["columns"]:
            low, high = column["level"]
            assert 1 <= low <= high <= 4
            assert column["identifier_role"] in ("direct", "quasi", "sensitive", "none")
            assert column["entity"] != "CN_RESIDENT_ID" or column["level"] == [4, 4]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_same_seed_gives_the_same_bytes_in_every_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        build(tmp_path / name, seed=3, scale=0.03)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert len(digests(tmp_path / "a")) == 11
    build(tmp_path / "c", seed=4, scale=0.03)
    different = [name for name, digest in digests(tmp_path / "c").items() if digest != digests(tmp_path / "a")[name]]
    assert len(different) == 10, "all but the real reference table"


def test_a_table_built_alone_has_the_same_bytes(tmp_path: Path) -> None:
    whole = build(tmp_path / "whole", seed=3, scale=0.03)
    alone = build(tmp_path / "alone", seed=3, scale=0.03, tables=["clinic_visits"])
    assert alone.file("clinic_visits").paths[0].read_bytes() == whole.file("clinic_visits").paths[0].read_bytes()


def test_a_table_of_several_chunks_keeps_its_count(tmp_path: Path) -> None:
    manifest = build(tmp_path, seed=3, scale=2.6, tables=["transit_taps"])
    table = json.loads(manifest.truth.read_text(encoding="utf-8"))["tables"][0]
    rows = read(tmp_path, table)
    assert len(rows) == table["rows"] > 100_000
    assert len(rows) - len(set(map(tuple, rows))) == table["duplicate_rows"]
    with manifest.cells.open(encoding="utf-8", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    place = [column["name"] for column in table["columns"]].index(last["column"])
    assert int(last["record"]) > 100_000
    assert same(last["written"], rows[int(last["record"]) - 1][place])


def test_departments_and_the_one_real_table(city: City) -> None:
    assert len(city.manifest.departments) == 9
    assert [file.key for file in city.manifest.files if not file.simulated] == ["areas"]
    reference = ROOT / "synthetic" / "city" / "reference"
    assert city.manifest.file("areas").paths[0].read_bytes() == (reference / "areas_guangdong.csv").read_bytes()
    assert "WTFPL" in (reference / "ORIGIN.md").read_text(encoding="utf-8")
    codes = [row.split(",")[0] for row in (reference / "areas_guangdong.csv").read_text("utf-8").splitlines()]
    assert not any(code.startswith("4499") for code in codes)


def test_a_wrong_scale_or_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="positive"):
        build(tmp_path, seed=1, scale=0)
    with pytest.raises(ValueError, match="no such table"):
        build(tmp_path, seed=1, tables=["taxes"])
