"""What the first editions say: calendar facts, coverage of the grading table, a basis for every value."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, timedelta
from itertools import product

import pytest

from policies import checks, editions
from policies.calendar import CalendarMissing, holidays, is_working_day
from policies.editions import HOME, KINDS
from policies.schema.grading import GradingEdition, least_class
from policies.schema.quality import INDICATORS

# Working weekends and weekdays off as a public holiday library (chinesecalendar 1.11.0, 2004-2026) lists them.
LIBRARY = {
    2025: (
        "0101 0128 0129 0130 0131 0203 0204 0404 0501 0502 0505 0602 1001 1002 1003 1006 1007 1008",
        "0126 0208 0427 0928 1011",
    ),
    2026: (
        "0101 0102 0216 0217 0218 0219 0220 0223 0406 0501 0504 0505 0619 0925 1001 1002 1005 1006 1007",
        "0104 0214 0228 0509 0920 1010",
    ),
}


def days(year: int) -> list[date]:
    return [date(year, 1, 1) + timedelta(n) for n in range((date(year + 1, 1, 1) - date(year, 1, 1)).days)]


@pytest.mark.parametrize("year", sorted(LIBRARY))
def test_the_calendar_agrees_with_a_public_library_on_every_day(year: int) -> None:
    off, work = LIBRARY[year]
    ours = holidays(year)
    assert " ".join(f"{d:%m%d}" for d in days(year) if d.weekday() < 5 and not ours.is_working_day(d)) == off
    assert " ".join(f"{d:%m%d}" for d in days(year) if d.weekday() >= 5 and ours.is_working_day(d)) == work
    assert sum(map(ours.is_working_day, days(year))) == 248


@pytest.mark.parametrize(
    ("start", "working_days", "end"),
    [(date(2026, 2, 6), 10, date(2026, 2, 27)), (date(2026, 9, 28), 5, date(2026, 10, 10))],
)
def test_working_days_are_counted_with_exchanged_weekends(start: date, working_days: int, end: date) -> None:
    day, left = start, working_days
    while left:
        day += timedelta(1)
        left -= is_working_day(day)
    assert day == end


def test_a_year_without_calendar_is_never_guessed() -> None:
    with pytest.raises(CalendarMissing):
        holidays(2030)
    with pytest.raises(CalendarMissing):
        is_working_day(date(2024, 6, 3))
    with pytest.raises(CalendarMissing):
        holidays(2026).is_working_day(date(2027, 1, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_every_shipped_value_has_a_basis_a_status_and_both_languages(kind: str) -> None:
    for name in editions.shipped(kind):
        edition = editions.load(kind, name)
        assert edition.basis and edition.prepared_by != edition.approved_by
        for rule in edition.rules:
            assert rule.basis.strip() and rule.status in {"assumed", "verified"}, rule.id
            for text in (rule.title, rule.why):
                assert text.zh.strip() and text.en.strip(), rule.id
                assert any("\u4e00" <= c <= "\u9fff" or c.isdigit() for c in text.zh), rule.id


def test_guangzhou_day_counts_are_marked_assumed() -> None:
    deadlines = editions.load("deadlines", "2026-01")
    clocks = [rule for rule in deadlines.rules if hasattr(rule.parameters, "on_lapse")]
    assert {rule.check: rule.parameters.working_days for rule in clocks} == {
        "onboarding_check": 5,
        "application_check": 5,
        "application_approval": 10,
        "export_review": 10,
        "quality_correction": 10,
    }
    assert {rule.status for rule in clocks} == {"assumed"}


def test_every_check_name_of_a_kind_is_used_by_its_first_edition() -> None:
    for kind, names in checks.registry().items():
        used = {rule.check for edition in editions.shipped(kind) for rule in editions.load(kind, edition).rules}
        assert used == names, kind


def test_quality_has_the_twenty_indicators_of_the_standard() -> None:
    quality = editions.load("quality", "2026-01")
    codes = [rule.parameters.code for rule in quality.rules if rule.check in INDICATORS]
    assert codes == sorted(INDICATORS.values()) and len(codes) == 20
    low = {rule.parameters.code for rule in quality.rules if getattr(rule.parameters, "direction", "") == "low"}
    assert low == {"0303", "0305"}


TABLES = {
    "居民登记": (
        "居民编号 身份证号 姓名 性别 民族 出生日期 年龄 婚姻状况 政治面貌 文化程度 职业 工作单位 户籍地址 "
        "居住地址 区 街道 社区 手机号 联系电话 电子邮箱 户号 与户主关系 户口性质 籍贯 国籍 邮编 登记日期 "
        "迁入日期 更新时间 备注"
    ),
    "企业登记": (
        "统一社会信用代码 企业名称 法定代表人 法定代表人身份证号 注册资本 注册资本(万元) 实缴资本 "
        "成立日期 经营范围 企业类型 行业门类 行业代码 登记状态 登记机关 住所 联系人 联系电话 从业人数 "
        "营业期限 核准日期 注销日期 区"
    ),
    "社保缴费": (
        "个人编号 身份证号 姓名 单位名称 单位编号 统一社会信用代码 险种 缴费基数 缴费月份 个人缴费 "
        "单位缴费 缴费金额 缴费状态 参保日期 累计缴费月数 经办机构"
    ),
    "门诊就诊": (
        "就诊流水号 门诊号 身份证号 患者姓名 性别 年龄 医院名称 医疗机构编码 科室 就诊日期 诊断编码 "
        "诊断名称 费用 总费用 医保支付 自付金额 医生姓名 主诉 药品名称 医保类型 区"
    ),
    "公交刷卡": (
        "卡号 卡类型 线路 车辆编号 车牌号 刷卡时间 上车站点 下车站点 站点名称 票价 交易金额 交易类型 "
        "设备号 经度 纬度 方向"
    ),
    "许可处罚": (
        "许可证号 许可事项 许可内容 许可机关 许可日期 有效期至 行政相对人名称 统一社会信用代码 法定代表人 "
        "处罚决定书文号 违法事实 处罚依据 处罚种类 处罚结果 罚款金额（万元） 处罚日期 处罚机关 公示日期 "
        "案由"
    ),
    "学校": (
        "学校标识码 学校名称 学校类型 办学类型 办学层次 主管部门 所在地 校长 学校地址 联系电话 在校生数 "
        "教职工数 班级数 建校时间 经度 纬度 序号"
    ),
    "空气监测": (
        "监测站 站点编码 站点名称 监测时间 PM2.5 PM2.5(μg/m³) PM10 SO2 NO2 O3 CO AQI 空气质量等级 "
        "首要污染物 温度 湿度 风速 风向 气压 区"
    ),
    "english": (
        "resident_id name sex ethnicity birth_date age marital_status education address district street "
        "mobile phone email uscc company_name legal_representative registered_capital established_date "
        "business_scope industry employees person_id insurance_type contribution_base contribution_month "
        "personal_contribution visit_id patient_name hospital visit_date diagnosis diagnosis_code fee "
        "doctor card_no route vehicle_no tap_time boarding_station fare permit_no penalty_type "
        "fine_amount penalty_date school_name school_type students teachers principal station pm25 pm10 "
        "so2 no2 o3 co aqi longitude latitude remark"
    ),
}


@pytest.fixture(scope="module")
def grading() -> GradingEdition:
    edition = editions.load("grading", "2026-01")
    assert isinstance(edition, GradingEdition)
    return edition


@pytest.mark.parametrize("table", sorted(TABLES))
def test_grading_knows_every_expected_column(grading: GradingEdition, table: str) -> None:
    assert [name for name in TABLES[table].split() if grading.matches(name)[0].by == "unmarked"] == []


@pytest.mark.parametrize(
    ("column", "level", "role", "sensitive"),
    [
        ("身份证号", 4, "direct", True),
        ("姓名", 3, "direct", False),
        ("性别", 2, "quasi", False),
        ("出生日期", 3, "quasi", False),
        ("年龄", 2, "quasi", False),
        ("家庭住址", 3, "direct", False),
        ("手机号码", 3, "direct", False),
        ("诊断", 4, "sensitive", True),
        ("缴费基数", 4, "sensitive", True),
        ("银行卡号", 4, "direct", True),
        ("车牌号", 3, "direct", False),
        ("学历", 2, "quasi", False),
        ("刷卡时间", 4, "direct", True),
        ("所在区", 2, "quasi", False),
        ("企业名称", 1, "none", False),
        ("统一社会信用代码", 1, "none", False),
        ("法定代表人", 2, "direct", False),
        ("纳税额", 3, "sensitive", False),
        ("处罚结果", 1, "none", False),
        ("ＰＭ２．５", 1, "none", False),
        ("Birth Date", 3, "quasi", False),
        ("ID_CARD_NO", 4, "direct", True),
        ("谁也不认识的列", 4, "quasi", False),
    ],
)
def test_grading_follows_the_field_table(
    grading: GradingEdition, column: str, level: int, role: str, sensitive: bool
) -> None:
    found = grading.matches(column)[0].rule.parameters
    assert (found.level, found.identifier_role, getattr(found, "sensitive", False)) == (level, role, sensitive)


def test_detected_entities_lift_a_column_unless_its_name_explains_them(grading: GradingEdition) -> None:
    assert grading.matches("列7", ["CN_RESIDENT_ID"])[0].rule.id == "GRD-ID-01"
    assert grading.matches("name", ["PERSON"])[0].rule.id == "GRD-NAME-01"
    assert grading.matches("行政相对人名称", ["PERSON"])[0].rule.id == "GRD-NAME-01"
    assert grading.matches("法定代表人", ["PERSON"])[0].rule.id == "GRD-ORG-03"
    assert grading.matches("企业名称", ["CN_MOBILE"])[0].rule.id == "GRD-PHONE-01"


def test_a_comment_counts_and_the_higher_level_wins(grading: GradingEdition) -> None:
    assert grading.matches("col_7", comment="患者姓名，取自挂号系统")[0].by == "comment"
    assert grading.matches("name", comment="身份证号码")[0].rule.id == "GRD-ID-01"


def test_more_evidence_never_lowers_a_level(grading: GradingEdition) -> None:
    entities = sorted({e for rule in grading.all_by_check("column") for e in rule.parameters.entities})
    names = [name for table in TABLES.values() for name in table.split()]
    before = {name: grading.matches(name)[0] for name in names}
    for (name, alone), entity in product(before.items(), entities):
        both = grading.matches(name, [entity])[0]
        assert both.rule.parameters.level >= alone.rule.parameters.level or alone.by == "unmarked", (name, entity)


def test_the_damage_table_is_the_national_one(grading: GradingEdition) -> None:
    cells = {(c.object, c.damage): c.data_class for c in grading.by_check("damage_table").parameters.cells}
    assert len(cells) == 18
    assert all(least_class(*cell) == data_class for cell, data_class in cells.items())
    assert cells["national_security", "general"] == "important"
    assert cells["economy", "especially_serious"] == "core"
    assert cells["person", "especially_serious"] == "general"


def test_the_export_gate_names_every_form_for_each_rule_that_protects_persons() -> None:
    export = editions.load("export", "2026-01")
    for form in ("aggregate", "record", "report"):
        found = {rule.id for rule in export.for_form(form)}
        assert {"EXP-GRANT-01", "EXP-PII-01", "EXP-JOIN-01", "EXP-FILE-01", "EXP-REVIEW-01"} <= found
    assert "EXP-CELL-01" not in {rule.id for rule in export.for_form("record")}


def test_a_workspace_mode_is_known_for_every_level_and_unknown_levels_are_strictest() -> None:
    workspace = editions.load("workspace", "2026-01")
    modes = workspace.by_check("mode_by_level").parameters
    assert [modes.of(level) for level in (1, 2, 3, 4, 0, 9)] == ["rows", "rows", "pseudonyms", "jobs", "jobs", "jobs"]


def test_importing_policies_needs_no_heavy_library() -> None:
    code = (
        "import sys, policies.editions, policies.calendar, policies.lint\n"
        "from policies.editions import load\nload('export', '2026-01')\n"
        "heavy = {'polars', 'duckdb', 'numpy', 'sqlalchemy', 'prefect', 'sdv', 'sandbox', 'fastapi'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=HOME.parent)
    assert run.returncode == 0, run.stderr
