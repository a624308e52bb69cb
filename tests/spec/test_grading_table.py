"""The field table of the grading policy as a table: every kind of field, as departments spell it, decided as listed.

Columns: spellings, what detection says (none, or one entity), category, level, sensitive, role, record-level export.
"""

from __future__ import annotations

from itertools import product

import pytest

from pipelines.grading import ColumnGrade, ColumnInfo, TableGrade, grade, joined_level
from policies.editions import load
from policies.schema.grading import least_class
from policies.text import UserError
from sandbox.detection import ColumnScan, EntityShare, TableScan

ROWS = 1000
D, Q, A, N = "direct", "quasi", "sensitive", "none"

FIELDS: list[tuple[str, str, str, int, bool, str, str]] = [
    ("姓名 患者姓名 XINGMING name_cn full_name", "PERSON", "个人基本资料", 3, False, D, "drop"),
    ("曾用名 别名 签名 CYM former_name", "PERSON", "个人基本资料", 3, False, D, "drop"),
    ("性别 性别代码 XBDM sex gender", "", "个人基本资料", 2, False, Q, "generalise"),
    ("民族 国籍 政治面貌 婚姻状况 HYZK ZZMM nationality", "", "个人基本资料", 2, False, Q, "generalise"),
    ("出生日期 出生年月 CSRQ birth_date Date_Of_Birth dob", "", "个人基本资料", 3, False, Q, "generalise"),
    ("年龄 周岁 age", "", "个人基本资料", 2, False, Q, "generalise"),
    ("住址 家庭住址 现住址 JTZZ home_address", "ADDRESS", "个人基本资料", 3, False, D, "generalise"),
    ("户籍地 籍贯 邮编 postcode", "", "个人基本资料", 2, False, Q, "generalise"),
    ("手机号 手机号码 SJH mobile phone_no", "CN_MOBILE", "个人基本资料", 3, False, D, "drop"),
    ("联系电话 固定电话 LXDH tel", "CN_LANDLINE", "个人基本资料", 3, False, D, "drop"),
    ("电子邮箱 email", "EMAIL_ADDRESS", "网络与设备标识", 3, False, D, "drop"),
    ("微信号 QQ号 wechat_id", "", "网络与设备标识", 3, False, D, "drop"),
    ("IP地址 client_ip", "IP_ADDRESS", "网络与设备标识", 3, False, D, "drop"),
    ("MAC地址 设备串号 IMEI", "", "网络与设备标识", 3, False, D, "drop"),
    ("身份证号 公民身份号码 SFZH GMSFHM ID_NO id_card", "CN_RESIDENT_ID", "个人身份信息", 4, True, D, "drop"),
    ("护照号 军官证号 驾驶证号 社保卡号 居住证号 passport_no", "", "个人身份信息", 4, True, D, "drop"),
    ("港澳通行证 台胞证号 香港身份证号", "CN_TRAVEL_PERMIT", "个人身份信息", 4, True, D, "drop"),
    ("证件照片 人脸 指纹 虹膜 声纹 基因", "", "生物识别信息", 4, True, D, "never"),
    ("诊断 病情 检验结果 用药 手术 生育史 传染病 diagnosis", "", "健康生理信息", 4, True, A, "aggregates"),
    ("残疾类别 救助金额 特困 低保类别", "", "特定身份信息", 4, True, A, "aggregates"),
    ("身高 体重 BMI", "", "健康生理信息", 3, False, Q, "generalise"),
    ("缴费基数 个人缴费额 养老金 待遇金额 JFJS", "", "财产信息", 4, True, A, "aggregates"),
    ("银行卡号 银行账号 YHKH bank_card_no", "CN_BANK_CARD", "财产信息", 4, True, D, "never"),
    ("存款余额 贷款金额 征信", "", "财产信息", 4, True, A, "never"),
    ("房产 房屋坐落 房屋面积 产权人", "", "财产信息", 4, True, A, "aggregates"),
    ("个人所得税 公积金缴存额", "", "财产信息", 4, True, A, "generalise"),
    ("工资 月收入 salary", "", "财产信息", 3, False, A, "generalise"),
    ("号牌号码 车牌号 HPHM license_plate", "CN_PLATE", "财产信息", 3, False, D, "drop"),
    ("车架号 车辆识别代号 VIN", "VIN", "财产信息", 3, False, D, "drop"),
    ("学历 学位 职业 工作单位 职称 WHCD", "", "教育工作信息", 2, False, Q, "generalise"),
    ("成绩 处分 exam_score", "", "教育工作信息", 3, False, A, "aggregates"),
    ("行踪 轨迹 住宿 行程 刷卡时间 上车站点", "", "行踪轨迹信息", 4, True, D, "aggregates"),
    ("通话记录 通讯录 上网记录", "", "通信信息", 4, True, A, "never"),
    ("婚史 宗教信仰 性取向 犯罪记录", "", "其他敏感信息", 4, True, A, "never"),
    ("密码 验证码 密钥 登录口令 password", "", "身份鉴别信息", 4, True, N, "never"),
    ("个人标签 用户画像 信用分", "", "个人标签信息", 3, False, A, "aggregates"),
    ("企业名称 QYMC company_name", "ORGANIZATION", "组织公开登记信息", 1, False, N, "keep"),
    ("统一社会信用代码 TYSHXYDM uscc", "CN_USCC", "组织公开登记信息", 1, False, N, "keep"),
    ("注册资本 成立日期 经营范围 登记状态", "", "组织公开登记信息", 1, False, N, "keep"),
    ("个体工商户名称 sole_trader", "", "个体工商户信息", 2, False, D, "drop"),
    ("法定代表人 股东 高管姓名 经营者姓名 FDDBR", "PERSON", "公开登记中的个人信息", 2, False, D, "drop"),
    ("联系人电话 经办人电话", "CN_MOBILE", "个人基本资料", 3, False, D, "drop"),
    ("企业纳税额 企业用电量 社保人数 营业收入 合同金额", "", "组织经营信息", 3, False, A, "aggregates"),
    ("许可证号 许可事项 资质等级", "", "组织许可处罚信息", 1, False, N, "keep"),
    ("处罚种类 罚款金额 违法事实", "", "组织许可处罚信息", 1, False, N, "keep"),
    ("用水户号 用电量 月用水量", "", "个人生活信息", 3, False, D, "aggregates"),
    ("设施经度 学校纬度", "COORDINATES", "公共设施公开信息", 1, False, N, "keep"),
    ("管线走向 安防布点 监控点位", "", "公共安全信息", 4, False, N, "never"),
    ("PM2.5 AQI 降水量 水质类别", "", "环境气象公开数据", 1, False, N, "keep"),
    ("工号 警号 内部联系人 staff_no", "", "员工个人信息", 2, False, Q, "drop"),
]
SPELLED = [(name, *row[1:]) for row in FIELDS for name in row[0].split()]


@pytest.fixture(scope="module")
def policy():
    return load("grading", "2026-01")


def _scan(name: str, *entities: EntityShare, distinct: int = ROWS) -> ColumnScan:
    return ColumnScan(name, ROWS, 0, distinct, list(entities))


def _is(entity: str) -> EntityShare:
    return EntityShare(entity, ROWS, 1.0, "is", ["x**"])


def _holds(entity: str, share: float = 0.02) -> EntityShare:
    return EntityShare(entity, 20, share, "contains", ["x**"])


def _table(policy, *columns: ColumnScan, table: str = "", rows: int = ROWS, **types: str) -> TableGrade:
    infos = [ColumnInfo(c.name, types.get(c.name, "VARCHAR")) for c in columns]
    return grade(TableScan(rows, list(columns)), infos, policy, table=table)


def _one(policy, name: str, *entities: EntityShare, table: str = "") -> ColumnGrade:
    return _table(policy, _scan(name, *entities), table=table).columns[0]


@pytest.mark.parametrize(("name", "entity", "category", "level", "sensitive", "role", "export"), SPELLED)
@pytest.mark.parametrize("seen", [False, True], ids=["by name", "by name and content"])
def test_field_is_decided_as_listed(
    policy, seen: bool, name: str, entity: str, category: str, level: int, sensitive: bool, role: str, export: str
) -> None:
    g = _one(policy, name, *([_is(entity)] if seen and entity else []))
    assert (g.category, g.level, g.sensitive, g.identifier_role, g.record_export) == (
        category, level, sensitive, role, export,
    )  # fmt: skip
    assert g.rule and g.evidence


@pytest.mark.parametrize(
    ("entity", "level", "role"),
    [(row[1], row[3], row[5]) for row in FIELDS if (row[1] and row[4]) or row[1] in ("PERSON", "CN_MOBILE", "ADDRESS")],
)
def test_content_alone_decides_a_column_whose_name_says_nothing(policy, entity: str, level: int, role: str) -> None:
    g = _one(policy, "f17", _is(entity))
    assert g.level >= level and g.identifier_role == D and g.rule != "GRD-UNMARKED-01"


@pytest.mark.parametrize(
    ("code", "type_", "distinct", "entity", "rule"),
    [
        ("XM", "VARCHAR", ROWS, "PERSON", "GRD-NAME-01"),
        ("XM", "VARCHAR", ROWS, "", "GRD-UNMARKED-01"),  # 项目?
        ("XB", "VARCHAR", 3, "", "GRD-SEX-01"),
        ("XB", "VARCHAR", ROWS, "", "GRD-UNMARKED-01"),
        ("MZ", "VARCHAR", 40, "", "GRD-ETHNIC-01"),
        ("NL", "BIGINT", 90, "", "GRD-AGE-01"),
        ("NL", "VARCHAR", 90, "", "GRD-UNMARKED-01"),
        ("ZZ", "VARCHAR", ROWS, "ADDRESS", "GRD-ADDR-01"),
        ("ZZ", "VARCHAR", ROWS, "ORGANIZATION", "GRD-ORG-01"),  # 组织: what it is decides
        ("DH", "VARCHAR", ROWS, "CN_LANDLINE", "GRD-PHONE-01"),
        ("KS", "VARCHAR", 30, "", "GRD-HEALTH-02"),
        ("KS", "VARCHAR", ROWS, "", "GRD-UNMARKED-01"),  # 开始?
    ],
)
def test_short_pinyin_codes_need_content_that_agrees(
    policy, code: str, type_: str, distinct: int, entity: str, rule: str
) -> None:
    scan = _scan(code, *([_is(entity)] if entity else []), distinct=distinct)
    assert _table(policy, scan, **{code: type_}).columns[0].rule == rule


@pytest.mark.parametrize(
    ("name", "comment", "rule", "level"),
    [
        ("地址", "学校地址", "GRD-FACILITY-01", 1),  # the comment spells the name out
        ("法定代表人", "企业法定代表人姓名", "GRD-ORG-03", 2),  # the name explains whose name it is
        ("name", "被救助人姓名", "GRD-NAME-01", 3),
        ("col_7", "身份证号码，15 或 18 位", "GRD-ID-01", 4),
        ("企业名称", "登记的完整名称", "GRD-ORG-01", 1),
        ("单位统一社会信用代码", "", "GRD-ORG-01", 1),  # `*信用代码` says more than `*代码`
        ("被监护人出生日期", "", "GRD-BIRTH-01", 3),
    ],
)
def test_name_and_comment_are_read_together(policy, name: str, comment: str, rule: str, level: int) -> None:
    g = grade(TableScan(ROWS, [_scan(name)]), [ColumnInfo(name, "VARCHAR", comment)], policy).columns[0]
    assert (g.rule, g.level) == (rule, level)


# ---- tables -------------------------------------------------------------------------------------------------------
def test_published_series_are_open_and_unpublished_ones_level_four(policy) -> None:
    assert _one(policy, "PM2.5", table="空气质量日报").level == 1
    closed = _one(policy, "PM2.5", table="空气质量监测（未公开）")
    assert (closed.level, closed.rule, closed.sensitive) == (4, "GRD-UNPUBLISHED-01", False)


def test_a_penalty_of_a_person_is_more_than_one_of_a_firm(policy) -> None:
    firm = _table(policy, _scan("行政相对人名称", _is("ORGANIZATION")), _scan("处罚种类")).column("处罚种类")
    mixed = _table(policy, _scan("行政相对人名称", _holds("PERSON", 0.2)), _scan("处罚种类")).column("处罚种类")
    person = _table(policy, _scan("身份证号", _is("CN_RESIDENT_ID")), _scan("处罚种类")).column("处罚种类")
    assert (firm.level, firm.record_export) == (1, "keep")
    assert [(g.level, g.identifier_role, g.record_export) for g in (mixed, person)] == [(3, A, "aggregates")] * 2


@pytest.mark.parametrize("table", ["小学生学籍", "新生儿登记", "未成年人救助"])
def test_every_personal_column_about_children_is_sensitive(policy, table: str) -> None:
    g = _one(policy, "性别", table=table)
    assert (g.level, g.sensitive, g.rule) == (4, True, "GRD-MINOR-01")


def test_coordinates_of_a_school_are_not_its_headmasters_movements(policy) -> None:
    school = _table(policy, _scan("学校名称"), _scan("校长姓名", _is("PERSON")), _scan("经度", _is("COORDINATES")))
    courier = _table(policy, _scan("姓名", _is("PERSON")), _scan("经度", _is("COORDINATES")))
    assert (school.column("经度").level, courier.column("经度").level) == (2, 4)


def test_areas_are_one_quasi_identifier_and_nobodys_in_a_table_about_nobody(policy) -> None:
    people = _table(policy, _scan("性别"), _scan("省份"), _scan("城市"), _scan("所属区"))
    assert people.level == 2 and people.column("城市").identifier_role == Q
    codes = _table(policy, _scan("code"), _scan("name"), _scan("所属区"))
    assert (codes.level, codes.column("所属区").identifier_role) == (1, N)


def test_names_of_places_that_look_like_peoples_lift_nothing_unless_all_do(policy) -> None:
    assert _one(policy, "省份", _holds("PERSON", 0.14)).rule != "GRD-CONTAINS-02"
    assert _one(policy, "省份", _is("PERSON")).rule == "GRD-NAME-01"


def test_quasi_identifiers_name_and_contact_joins_and_scale(policy) -> None:
    two, three = ([_scan(n) for n in names] for names in (("性别", "年龄"), ("性别", "年龄", "民族")))
    assert (_table(policy, *two).level, _table(policy, *three).level) == (2, 3)
    named = _scan("姓名", _is("PERSON"))
    assert _table(policy, named).level == 3
    for name, entity in (("手机号", "CN_MOBILE"), ("住址", "ADDRESS"), ("身份证号", "CN_RESIDENT_ID")):
        assert _table(policy, named, _scan(name, _is(entity))).level == 4
    assert [joined_level(a, b, policy) for a, b in ((1, 1), (1, 2), (2, 2), (2, 3), (3, 4))] == [1, 2, 3, 3, 4]
    large = _table(policy, named, rows=100_000).uplifts
    assert [u.rule for u in large] == ["GRD-SCALE-01"]


def test_a_dataset_is_never_below_any_of_its_columns_whatever_stands_together(policy) -> None:
    columns = [_scan(row[0].split()[0], *([_is(row[1])] if row[1] else [])) for row in FIELDS]
    for left, right in product(columns[::3], columns[::4]):
        if left.name != right.name:
            result = _table(policy, left, right)
            assert result.level >= max(g.level for g in result.columns)


def test_floors_hold_for_every_proposal(policy) -> None:
    for name, entity, *_ in SPELLED:
        for entities in ([], [_is(entity)] if entity else [], [_holds("CN_RESIDENT_ID")]):
            g = _one(policy, name, *entities)
            assert not g.sensitive or g.level == 4, name
            assert g.subject != "person" or g.level >= 2, name
            assert g.identifier_role != D or g.record_export != "keep", name


def test_a_column_that_nobody_knows_is_level_four_and_says_so(policy) -> None:
    g = _one(policy, "qwx")
    assert (g.level, g.subject, g.rule, g.record_export) == (4, "unknown", "GRD-UNMARKED-01", "never")
    with pytest.raises(UserError):
        grade(TableScan(ROWS, []), [ColumnInfo("qwx", "VARCHAR")], policy)


_HARMED = ("national_security", "economy", "social_order", "public_interest", "organisation", "person")


@pytest.mark.parametrize("harmed", _HARMED)
@pytest.mark.parametrize("damage", ["especially_serious", "serious", "general"])
def test_object_and_damage_give_the_class_of_the_national_table(policy, harmed: str, damage: str) -> None:
    order = ("especially_serious", "serious", "general")
    listed = {
        "national_security": ("core", "core", "important"),
        "organisation": ("general",) * 3,
        "person": ("general",) * 3,
    }.get(harmed, ("core", "important", "general"))
    cells = {(c.object, c.damage): c.data_class for c in policy.by_check("damage_table").parameters.cells}
    assert cells[harmed, damage] == least_class(harmed, damage) == listed[order.index(damage)]
