"""The rules by which the machine says what a column means: one readable table, the first rule that applies decides.

Order: what detection found in all rows, an explicit dictionary, the column's name or comment, then its type and how
often values repeat. Nothing here looks at a row; the catalogue's facts are enough. A text that no rule explains is a
question for the operator. Sources: GB 11643, GB 32100 and the like for the identifiers; the orders and thresholds are
assumed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from policies.text import Text

SEMANTIC_OF_ENTITY = {
    "PERSON": "person_name",
    "CN_RESIDENT_ID": "resident_id",
    "CN_RESIDENT_ID_15": "resident_id",
    "CN_HK_ID": "code",
    "CN_TW_ID": "code",
    "CN_WECHAT": "code",
    "CN_QQ": "code",
    "CN_PASSPORT": "passport",
    "CN_TRAVEL_PERMIT": "permit",
    "CN_MOBILE": "mobile",
    "CN_LANDLINE": "landline",
    "EMAIL_ADDRESS": "email",
    "CN_BANK_CARD": "bank_card",
    "CN_USCC": "uscc",
    "CN_SOLE_TRADER": "uscc",
    "CN_ORG_CODE": "organisation_code",
    "ORGANIZATION": "organisation",
    "CN_PLATE": "plate",
    "VIN": "vin",
    "IMEI": "imei",
    "IP_ADDRESS": "ip",
    "MAC_ADDRESS": "mac",
    "COORDINATES": "coordinates",
    "ADDRESS": "address",
}
"""What each kind that detection knows is simulated as; `code` = as new codes of the same shape."""
WORDS_ONLY = frozenset({"PERSON", "ADDRESS", "ORGANIZATION", "COORDINATES"})
"""Kinds that are told by words or ranges, not by a check digit or a fixed form: a person may find them wrong."""
MOST_CATEGORIES = 200
"""distinct values up to which a text column counts as categories (assumed)"""
FEW_ROWS = 200
"""rows below which values hardly repeat, so that repetition says nothing (assumed)"""
SERIAL = 0.9
"""share of distinct values from which a column named like a number is a serial (assumed)"""


class Graded(Protocol):
    """What a rule may know of a column: the catalogue's facts, never a value."""

    name: str
    type: str
    comment: str
    level: int
    identifier_role: str
    entity: str | None
    missing: int
    distinct: int


@dataclass(frozen=True, slots=True)
class Case:
    """A column with the rows of its table and its dictionary."""

    column: Graded
    rows: int
    codes: tuple[str, ...] = ()

    @property
    def filled(self) -> int:
        return max(0, self.rows - self.column.missing)

    @property
    def is_text(self) -> bool:
        return self.column.type == "text"

    @property
    def is_whole(self) -> bool:
        return self.column.type in ("text", "integer")

    @property
    def serial(self) -> bool:
        """Whether nearly every value occurs once."""
        return self.column.distinct >= SERIAL * max(1, self.filled)

    @property
    def repeats(self) -> bool:
        """Whether there are few values and each stands for several rows."""
        few = 0 < self.column.distinct <= MOST_CATEGORIES
        return few and (self.filled < FEW_ROWS or 2 * self.column.distinct <= self.filled)

    def named(self, pattern: re.Pattern[str]) -> bool:
        """Whether the name, or the first clause of the comment, ends in words of the pattern."""
        clause = re.split(r"[,，;；。(（:：]", self.column.comment, maxsplit=1)[0]
        return any(pattern.search(fold(words)) for words in (self.column.name, clause) if words)


def fold(words: str) -> str:
    """Full and half width, case, spaces and signs between words alike."""
    return re.sub(r"[\s\-.]+", "_", unicodedata.normalize("NFKC", words).strip().lower())


def _ending(chinese: str, latin: str = "") -> re.Pattern[str]:
    """Names that end in one of the Chinese words, or are one of the Latin ones as a whole."""
    parts = [f"(?:{chinese})$"] if chinese else []
    return re.compile("|".join([*parts, f"^(?:{latin})$"] if latin else parts))


NAMES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("resident_id", _ending("身份证号?码?|身份证件号码?|公民身份号码|身份号码|证件号码?",
                            "id_?card(_?no)?|id_?(number|no)|resident_id|citizen_id|sfzhm?|gmsfhm|zjhm")),
    ("passport", _ending("护照号?码?", "passport(_?(no|number))?|hzhm?")),
    ("permit", _ending("通行证号?码?|回乡证号?|台胞证号?", "travel_permit(_?(no|number))?")),
    ("medical_number", _ending("病案号|病历号|住院号|门诊号|就诊卡号|健康卡号|患者编号",
                               "mrn|medical_record_no|patient_(id|no)")),
    ("school_number", _ending("学籍号")),
    ("mobile", _ending("手机号?码?|移动电话|联系电话|联系方式", "(mobile|phone)(_?(no|number))?|sjhm?|lxdh")),
    ("landline", _ending("固定电话|座机|办公电话|传真", "fax|landline|tel(ephone)?")),
    ("email", _ending("邮箱|电子邮件|邮件地址", "e_?mail(_address)?")),
    ("ip", _ending("ip地址|登录ip", "ip|(client_|remote_)?ip_address|(client|remote)_ip")),
    ("mac", _ending("mac地址|设备mac", "mac(_address)?")),
    ("imei", _ending("设备串号|手机串号|imei")),
    ("bank_card", _ending("银行卡号|银行账号|银行帐号", "bank_(card|account)(_?(no|number))?")),
    ("uscc", _ending("信用代码", "uscc|(unified_)?social_credit_code|credit_code|tyshxydm")),
    ("organisation_code", _ending("组织机构代码", "organi[sz]ation_code|zzjgdm")),
    ("plate", _ending("车牌|车牌号码?|号牌号码|号牌", "(license_|licence_)?plate(_?(no|number))?|cphm?|hphm")),
    ("vin", _ending("车架号|车辆识别代号|车辆识别代码|车辆识别码", "vin|clsbdm")),
    ("person_name", _ending("姓名|曾用名|联系人|经办人|负责人|法定代表人|法人代表|户主|申请人|当事人|监护人|收件人",
                            "xm|(full|person|real|patient|student|contact|applicant)_?name")),
    ("address", _ending("住址|地址|住所|详址|经营场所|门牌号", "(home_|detailed_|mailing_)?addr(ess)?|jtzz|txdz")),
    ("organisation", _ending("单位名称|企业名称|公司名称|机构名称|单位全称|用人单位|市场主体名称",
                             "(company|enterprise|employer|organi[sz]ation|org)_name|dwmc|qymc")),
)  # fmt: skip
"""Kinds that a name or comment says, for columns whose values detection could not judge; the first match counts."""
_NUMBERED = re.compile(r"(?:(?<![型称符信])号|码|(?:^|_)(?:id|no|number|code|key|uuid|guid))$")
_KIND = re.compile("(?:类型|类别|种类|分类|性质|状态|等级|方式|(?:^|_)(?:type|kind|class|category|status|level))$")
_AMOUNT = re.compile("金额|费|资本|基数|收入|价|万元|amount|fare|price|cost|salary")
_TEXT = re.compile(
    "备注|说明|内容|事由|描述|意见|留言|摘要|详情|(?:经营|业务)范围|(?:^|_)(?:remarks?|notes?|comments?|description|memo|content)$"
)
_DATED = re.compile("日期$|年月日$|(?:^|_)date$")
_PERIOD = re.compile("年月$|账期$|所属期$|(?:^|_)(?:yyyymm|year_month|month|period)$")
_DISTRICT = re.compile("^(?:.*(?:行政区|区县|县区|所属区|所在区)|[^\\w]*区|district(?:_name)?)$")
_STREET = re.compile("街道$|镇街$|街镇$|街道名称$|^(?:street|subdistrict)(?:_name)?$")


@dataclass(frozen=True, slots=True)
class Rule:
    """`meaning` gives the semantic where the rule applies, None where it does not; `reason` may name {facts}."""

    id: str
    reason: Text
    meaning: Callable[[Case], str | None]


def _by_entity(case: Case) -> str | None:
    found = SEMANTIC_OF_ENTITY.get(case.column.entity or "")
    numeric = case.column.type not in ("text", "integer")
    return None if numeric else found


def _by_name(case: Case) -> str | None:
    if not case.is_text:
        return None
    return next((semantic for semantic, pattern in NAMES if case.named(pattern)), None)


def _when(semantic: str, applies: Callable[[Case], bool]) -> Callable[[Case], str | None]:
    return lambda case: semantic if applies(case) else None


def is_identifier(column: Graded) -> bool:
    """Whether the values point at somebody, by the grade or by what detection found: such a column is never learned."""
    found = column.entity in SEMANTIC_OF_ENTITY and column.entity not in WORDS_ONLY
    return column.identifier_role == "direct" or found


def _direct(case: Case) -> bool:
    return case.column.identifier_role == "direct"


def _number(case: Case) -> str | None:
    return "number" if case.column.type in ("integer", "decimal") else None


RULES: tuple[Rule, ...] = (
    Rule("PLAN-KIND", Text("列名是类型、状态一类，取值少且重复：类别", "named a kind or state, few values: categories"),
         _when("category", lambda c: c.is_text and c.named(_KIND) and c.repeats and not is_identifier(c.column))),
    Rule("PLAN-ENTITY", Text("识别结果为{entity}", "detection says {entity}"), _by_entity),
    Rule("PLAN-AREA", Text("列名是区县", "named a district"),
         _when("district", lambda c: c.is_text and c.named(_DISTRICT))),
    Rule("PLAN-STREET", Text("列名是街道", "named a street"),
         _when("street", lambda c: c.is_text and c.named(_STREET))),
    Rule("PLAN-CODES", Text("登记了代码表，取值只从代码表中来", "a code list is declared: values come from it alone"),
         _when("category", lambda c: bool(c.codes) and c.is_whole and not _direct(c))),
    Rule("PLAN-NAME", Text("列名或说明表明是这一类", "the name or the comment says so"), _by_name),
    Rule("PLAN-TEXT", Text("列名是备注、说明一类的自由文本", "named a remark: free text"),
         _when("free_text", lambda c: c.is_text and c.named(_TEXT))),
    Rule("PLAN-EMPTY", Text("整列没有值，仿真后也为空", "no value at all: it stays empty"),
         _when("category", lambda c: c.is_text and c.rows > 0 and c.filled == 0 and not _direct(c))),
    Rule("PLAN-DIRECT-KEY", Text("直接标识符，几乎每行不同：按编码规律另编，互不重复",
                                 "a direct identifier, different in nearly every row: new keys of its shape"),
         _when("key", lambda c: _direct(c) and c.is_whole and c.serial)),
    Rule("PLAN-DIRECT-CODE", Text("直接标识符，同一值对应多行：按编码规律另编，重复次数相仿",
                                  "a direct identifier that repeats: new codes of its shape, as often repeated"),
         _when("code", lambda c: _direct(c) and c.is_whole)),
    Rule("PLAN-DATE", Text("日期类型", "its type is a date"), _when("date", lambda c: c.column.type == "date")),
    Rule("PLAN-TIME", Text("时间类型", "its type is a time"),
         _when("timestamp", lambda c: c.column.type == "timestamp")),
    Rule("PLAN-FLAG", Text("是否类型，按类别处理", "yes or no: a category"),
         _when("category", lambda c: c.column.type == "boolean")),
    Rule("PLAN-DATE-NUMBER", Text("列名是日期，值是整数：按年月日读取（如 20260101）",
                                  "named a date and written as a number: read as year, month, day"),
         _when("date", lambda c: c.column.type == "integer" and c.named(_DATED))),
    Rule("PLAN-PERIOD", Text("列名是年月，按类别处理，不会出现不存在的月份",
                             "a year and month: categories, so that no month appears that does not exist"),
         _when("category", lambda c: c.column.type == "integer" and c.named(_PERIOD) and c.repeats)),
    Rule("PLAN-SERIAL", Text("列名是编号，几乎每行不同：主键", "named a number, different in nearly every row: a key"),
         _when("key", lambda c: c.is_whole and c.named(_NUMBERED) and c.serial)),
    Rule("PLAN-CODE", Text("列名是编码，取值重复：编码", "named a code and repeating: a code"),
         _when("code", lambda c: c.is_whole and c.named(_NUMBERED) and not (c.is_text and c.repeats))),
    Rule("PLAN-AMOUNT", Text("数值，列名是金额", "a number, named an amount"),
         _when("amount", lambda c: c.column.type in ("integer", "decimal") and c.named(_AMOUNT))),
    Rule("PLAN-NUMBER", Text("数值类型", "its type is a number"), _number),
    Rule("PLAN-CATEGORY", Text("不同取值少且重复出现：类别", "few values that repeat: categories"),
         _when("category", lambda c: c.repeats)),
)  # fmt: skip
"""The first rule that applies decides; a text that none explains is a question (PLAN-ASK)."""

ASK = Rule(
    "PLAN-ASK",
    Text(
        "没有规则认得这一列：是姓名、地址、单位、编码、类别，还是自由文本？未归类的文本里可能有真实个人信息，不会拿来建模",
        "no rule knows this column: does it hold names, addresses, organisations, codes, categories or free text? "
        "Unclassified text may hold real personal data and is never modelled",
    ),
    lambda _case: "",
)


def meaning_of(case: Case) -> tuple[str, Rule]:
    """The semantic of a column and the rule that says so; "" with `ASK` where nothing explains it."""
    for rule in RULES:
        semantic = rule.meaning(case)
        if semantic is not None:
            return semantic, rule
    return "", ASK


# ---- columns of one row that belong together ----


@dataclass(frozen=True, slots=True)
class Tie:
    """Columns of `semantics` follow, in `relation`, a column of the same row that `leads` recognises."""

    relation: str
    semantics: tuple[str, ...]
    leads: Callable[[Any], bool]
    reason: Text
    alike: bool = False
    """only a column of the same stem leads; else the only one of the table may, too"""


_SEX = _ending("性别|性别代码|性别名称", "sex|gender|sex_code|xb|xbdm")
_BIRTH = _ending("出生日期|出生年月日|生日", "birth_?date|date_of_birth|dob|birthday|csrq")


def _is(*semantics: str) -> Callable[[Any], bool]:
    return lambda field: field.semantic in semantics


def _is_code(field: Any) -> bool:
    return field.semantic in ("code", "category") and bool(_NUMBERED.search(fold(field.name)))


TIES: tuple[Tie, ...] = (
    Tie("sex", ("resident_id", "person_name"),
        lambda f: f.semantic in ("category", "code", "constant") and bool(_SEX.search(fold(f.name))),
        Text("与“{lead}”一致", "agrees with “{lead}”")),
    Tie("birth", ("resident_id",),
        lambda f: f.dtype in ("date", "timestamp") and not f.blind and bool(_BIRTH.search(fold(f.name))),
        Text("与“{lead}”一致", "agrees with “{lead}”")),
    Tie("entity", ("person_name", "mobile", "bank_card", "medical_number", "school_number"), _is("resident_id"),
        Text("同一“{lead}”不变", "the same for one “{lead}”")),
    Tie("entity", ("organisation",), _is("uscc", "organisation_code"),
        Text("同一“{lead}”不变", "the same for one “{lead}”")),
    Tie("entity", ("organisation",), _is_code, Text("同一“{lead}”不变", "the same for one “{lead}”"), alike=True),
    Tie("district", ("address",), _is("district"), Text("落在“{lead}”内", "lies in “{lead}”")),
    Tie("street", ("address",), _is("street"), Text("落在“{lead}”内", "lies in “{lead}”")),
)  # fmt: skip
_STEM = re.compile(
    "(?:姓名|居民身份证号码|居民身份证号|身份证号码|身份证号|身份证|公民身份号码|证件号码|证件号|性别代码|性别|出生日期|出生年月日|生日|"
    "手机号码|手机号|手机|联系电话|移动电话|住址|地址|行政区|区县|区|街道名称|街道|镇街|名称|全称|统一社会信用代码|信用代码|组织机构代码|"
    "编码|代码|编号|学籍号|_?(?:name|code|id|no|number|sex|gender|birth_?date|dob|phone|mobile|address|district|street))$"
)


def stem(name: str) -> str:
    """Whose column it is: what is left of 监护人身份证号, 监护人姓名 or mother_name without the kind of value."""
    return _STEM.sub("", fold(name)).strip("_的")


def lead_for(follower: Any, tie: Tie, fields: Sequence[Any]) -> str | None:
    """The column that `follower` follows: the one of the same stem, else the only one where nobody else asks."""
    leads = [f for f in fields if tie.leads(f) and f.name != follower.name]
    alike = [f for f in leads if stem(f.name) == stem(follower.name)]
    if len(alike) == 1:
        return str(alike[0].name)
    asking = sum(f.semantic == follower.semantic for f in fields)
    return str(leads[0].name) if not tie.alike and not alike and len(leads) == asking == 1 else None
