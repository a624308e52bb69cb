"""One table of recognisers. Presidio's pattern recognisers and the polars funnel are both built from it.

A row's `core` is a regular expression in the common subset of Python `regex`, RE2 and Rust: no look-around, no `\\b`
and no `\\w` (both take a Chinese character for a word character), no back-reference, never a line break. Boundaries are
given apart, as the characters that may not stand beside a match, so that each engine gets them in its own form.
Text is canonical (`canon.py`) before any row sees it. Shapes: reference standards named per row; where a form is
only believed and not read in a standard, the row says `assumed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Context(StrEnum):
    """What a context word (in the column's name or comment, or within 20 characters in text) does for a row."""

    HELPS = "helps"  # raises the score only
    NEEDED = "needed"  # without one, only a column that is mostly whole cells of this shape counts
    ALWAYS = "always"  # without one, nothing counts: the shape alone says nothing


@dataclass(frozen=True, slots=True)
class Recognizer:
    """One shape of one entity.

    `score` is what the bare shape earns in text; a passed `check` earns 1.0, a failed one drops the match.
    `floor` is the share of look-alikes (values matching `loose`, or `core` where there is no `loose`) that pass by
    accident (measured, reference figures). `needle`: a hit above the floor counts however rare it is in its column.
    """

    name: str
    entity: str
    core: str
    beside: str  # characters that may not touch a match: the inside of a character class
    context: tuple[str, ...]
    score: float = 0.6
    check: str | None = None
    need: Context = Context.HELPS
    floor: float = 0.0
    loose: str | None = None
    needle: bool = False
    not_after: str = ""  # one more look-behind for the judge
    through_disguise: bool = False  # strong enough to be looked for with separators between digits removed

    @property
    def pattern(self) -> str:
        """For Presidio: the core between look-arounds; a decimal point next to it means it is part of an amount."""
        edge = self.beside
        before = f"(?<!{self.not_after})" if self.not_after else ""
        return rf"(?<![{edge}])(?<![0-9]\.){before}(?:{self.core})(?![{edge}])(?!\.[0-9])"

    @property
    def exists(self) -> str:
        """For polars: matches at least every text in which `pattern` matches."""
        return rf"(?i)(?:^|[^{self.beside}])(?:{self.core})(?:[^{self.beside}]|$)"

    @property
    def whole(self) -> str:
        """For polars: the whole cell is this shape."""
        return rf"(?i)^(?:{self.core})$"

    @property
    def look_alike(self) -> str:
        """For polars: what the noise floor counts as a candidate."""
        return rf"(?i)(?:^|[^{self.beside}])(?:{self.loose})(?:[^{self.beside}]|$)" if self.loose else self.exists


def _spaced(core: str) -> str:
    """`~` stands for one optional space or hyphen between two digits, `d` for a digit."""
    return core.replace("~", r"[ \-]?").replace("d", "[0-9]")


_DIGIT: Final = "0-9"
_ALNUM: Final = "0-9A-Za-z"
_PROVINCE = "(?:1~[1-5]|2~[1-3]|3~[1-7]|4~[1-6]|5~[0-4]|6~[1-5]|7~1|8~[1-3]|9~[1-6])"
_MONTH_DAY = "(?:0~[1-9]|1~[0-2])~(?:0~[1-9]|[12]~d|3~[01])"
_REGION = f"{_PROVINCE}~d~d~d~d"
_AREA = "(?:10|2[0-9]|[3-9][0-9]{2})"
_USCC = "[0-9A-HJ-NPQRTUWXY]"
_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_PLATE = f"[{_PROVINCES}][A-HJ-Z]"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_HEX4 = "[0-9A-Fa-f]{1,4}"
_IPV6 = f"(?:{_HEX4}:){{7}}{_HEX4}|[0-9A-Fa-f]{{4}}(?::{_HEX4}){{0,6}}::(?:{_HEX4}(?::{_HEX4}){{0,6}})?"
_LONGITUDE = r"(?:7[3-9]|[89][0-9]|1[0-2][0-9]|13[0-5])\.[0-9]{4,}"
_LATITUDE = r"(?:[3-9]|[1-4][0-9]|5[0-3])\.[0-9]{4,}"
_BETWEEN = r"[ ]{0,2}[,; ][ ]{0,2}"

_ID_WORDS = ("身份证", "证件号", "公民身份", "身份号", "居住证", "idcard", "id_card", "id card", "identity", "sfz")
_PHONE_WORDS = ("手机", "电话", "联系", "移动", "mobile", "phone", "tel", "拨打", "来电", "微信")
_CARD_WORDS = ("银行卡", "卡号", "账号", "帐号", "账户", "储蓄卡", "信用卡", "card", "account", "开户")
_PERMIT_WORDS = ("通行证", "回乡证", "台胞证", "台湾居民", "港澳", "permit")

# In order of precedence: where two rows match overlapping characters the earlier one keeps them. A true resident ID
# passes as a bank card in 4.6 % and as a USCC in 0.17 % of cases (measured).
TABLE: Final[tuple[Recognizer, ...]] = (
    Recognizer(  # GB 11643-1999
        "CN_RESIDENT_ID",
        "CN_RESIDENT_ID",
        _spaced(f"{_REGION}~(?:1~[89]|2~0)~d~d~{_MONTH_DAY}~d~d~d~[0-9X]"),
        _DIGIT,
        _ID_WORDS,
        check="resident_id",
        floor=1 / 11,
        loose=_spaced("[1-9](?:~d){16}~[0-9X]"),
        needle=True,
        through_disguise=True,
    ),
    Recognizer(  # GB 32100-2015; MOD 31 and the inner organisation code must both hold
        "CN_USCC",
        "CN_USCC",
        rf"[1-9ANY]{_USCC}(?:1[0-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3])[0-9]{{4}}{_USCC}{{10}}",
        _ALNUM,
        ("信用代码", "社会信用", "uscc", "统一代码", "税号", "纳税人识别号"),
        check="uscc",
        floor=1 / 300,
        needle=True,
        through_disguise=True,
    ),
    Recognizer(  # wide shape on purpose: not-allotted segments are still somebody's after the next allotment
        "CN_MOBILE",
        "CN_MOBILE",
        r"(?:(?:\+|00)?86[ \-]?|\(\+?86\)[ ]?|tel|mobile|phone|wx|qq)?"
        + _spaced("1[3-9](?:d~d{4}~d{4}|dd~d{3}~d{4}|dd~d{4}~d{3}|d~d{3}~d{5}|ddd~d{6})")
        + r"|1[ \-][3-9](?:[ \-][0-9]){9}",
        _ALNUM,
        _PHONE_WORDS,
        score=0.6,
        floor=0.08,
        loose=r"[0-9]{11}|1[3-9][0-9 \-]{9,11}[0-9]",
        needle=True,
    ),
    Recognizer(
        "CN_BANK_CARD",
        "CN_BANK_CARD",  # ISO/IEC 7812; 62… and the older domestic prefixes (assumed complete enough)
        r"(?:62[0-9]{2}|9558|9559|4367|6013)[ \-]?[0-9]{4}[ \-]?[0-9]{4}[ \-]?[0-9]{4}(?:[ \-]?[0-9]{1,3})?",
        _DIGIT,
        _CARD_WORDS,
        check="bank_card",
        floor=0.1,
        needle=True,
    ),
    Recognizer(
        "CN_BANK_CARD:foreign",
        "CN_BANK_CARD",
        r"(?:4[0-9]{3}|5[1-5][0-9]{2}|35[0-9]{2})[ \-]?[0-9]{4}[ \-]?[0-9]{4}[ \-]?[0-9]{4}",
        _DIGIT,
        _CARD_WORDS,
        check="bank_card",
        need=Context.NEEDED,
        floor=0.1,
    ),
    Recognizer(  # GB 16735 / ISO 3779
        "VIN",
        "VIN",
        "[0-9A-HJ-NPR-Z]{17}",
        _ALNUM,
        ("车架号", "车辆识别", "vin", "底盘号"),
        check="vin",
        floor=1 / 11,
        needle=True,
    ),
    Recognizer(  # the form before 1999; no check digit
        "CN_RESIDENT_ID_15",
        "CN_RESIDENT_ID_15",
        _spaced(f"{_REGION}~d~d~{_MONTH_DAY}~d~d~d"),
        _ALNUM,
        _ID_WORDS,
        check="resident_id_15",
        need=Context.NEEDED,
        floor=0.02,
        loose="[0-9]{15}",
    ),
    Recognizer(
        "IMEI",
        "IMEI",
        "[0-9]{15}",
        _ALNUM,
        ("imei", "串号", "设备号", "设备标识"),
        check="imei",
        need=Context.NEEDED,
        floor=0.1,
    ),
    Recognizer(
        "CN_LANDLINE",
        "CN_LANDLINE",
        rf"(?:0{_AREA}[ \-]{{1,2}}|\(0{_AREA}\)[ \-]?|(?:\+|00)?86[ \-]{_AREA}[ \-])[2-8][0-9]{{6,7}}"
        r"(?:(?:[ \-]|转|分机|[ ]?ext\.?[ ]?)[0-9]{1,6})?",
        _ALNUM,
        (*_PHONE_WORDS, "传真", "fax", "热线"),
        score=0.6,
        needle=True,
    ),
    Recognizer(
        "CN_LANDLINE:joined",
        "CN_LANDLINE",
        rf"0{_AREA}[2-8][0-9]{{6,7}}",
        _ALNUM,
        (*_PHONE_WORDS, "传真", "fax", "热线"),
        need=Context.NEEDED,
        floor=0.06,
        loose="[0-9]{10,12}",
    ),
    Recognizer(  # GA 36-2018, with the new-energy and the special last characters
        "CN_PLATE",
        "CN_PLATE",
        rf"{_PLATE}[ ·.\-]{{0,2}}(?:[DABCEFGHJK][0-9A-HJ-NP-Z][0-9]{{4}}|[0-9]{{5}}[DABCEFGHJK]"
        rf"|[0-9A-HJ-NP-Z]{{4}}[0-9A-HJ-NP-Z挂学警港澳领使])|WJ[{_PROVINCES}]?[ ·.\-]{{0,2}}[0-9]{{4}}[0-9A-HJ-NP-Z]",
        _ALNUM,
        ("车牌", "号牌", "plate"),
        score=0.8,
        check="plate",
        needle=True,
    ),
    Recognizer(  # embassies and consulates (GA 36-2018), old and new order; the shape alone is also "领 100000 元"
        "CN_PLATE:embassy",
        "CN_PLATE",
        r"[使领][ ·.\-]?[0-9]{3}[ ·.\-]?[0-9]{3}|[0-9]{3}[ ·.\-]?[0-9]{3}[使领]",
        _ALNUM,
        ("车牌", "号牌", "plate"),
        need=Context.ALWAYS,
    ),
    Recognizer(  # Hong Kong identity card: check character in brackets
        "CN_HK_ID",
        "CN_HK_ID",
        r"[A-Z]{1,2}[0-9]{6}\([0-9A]\)",
        _ALNUM,
        ("香港", "身份证", "hkid"),
        check="hk_id",
        floor=1 / 11,
    ),
    Recognizer(  # Taiwan identity card and resident certificate
        "CN_TW_ID",
        "CN_TW_ID",
        r"[A-Z][1289][0-9]{8}",
        _ALNUM,
        ("台湾", "身份证", "身份證", "居留证"),
        check="tw_id",
        need=Context.NEEDED,
        floor=0.1,
    ),
    Recognizer(  # accounts have no form of their own, so the word before them is part of it (assumed)
        "CN_WECHAT",
        "CN_WECHAT",
        r"(?:微信|wechat|weixin|wxid|vx)(?:号码|号|id)?[ :=是为_]{0,3}[A-Za-z][0-9A-Za-z_\-]{5,19}",
        _ALNUM,
        ("微信", "wechat"),
        check="account",
        needle=True,
    ),
    Recognizer(
        "CN_QQ",
        "CN_QQ",
        r"qq(?:号码|号)?[ :=是为]{0,3}[1-9][0-9]{4,10}",
        _ALNUM,
        ("qq",),
        needle=True,
    ),
    Recognizer(
        "CN_PASSPORT",
        "CN_PASSPORT",  # no public check digit
        r"E[0-9A-HJ-NP-Z][0-9]{7}|G[0-9]{8}|[DSP]E[0-9]{7}|MA[0-9]{7}|K[0-9]{8}|[KH]J[0-9]{7}",
        _ALNUM,
        ("护照", "passport"),
        need=Context.NEEDED,
    ),
    Recognizer(
        "CN_TRAVEL_PERMIT",
        "CN_TRAVEL_PERMIT",
        r"[HM][0-9]{8}(?:[0-9]{2})?|C[0-9A-Z][0-9]{7}|[WLT][0-9]{8}",
        _ALNUM,
        _PERMIT_WORDS,
        need=Context.NEEDED,
    ),
    Recognizer(  # eight bare digits, as on the Taiwan residents' permit; a date looks the same
        "CN_TRAVEL_PERMIT:digits",
        "CN_TRAVEL_PERMIT",
        r"[0-9]{8}",
        _ALNUM,
        ("通行证", "台胞证", "台湾居民"),
        need=Context.ALWAYS,
    ),
    Recognizer(  # GB 11714-1997
        "CN_ORG_CODE",
        "CN_ORG_CODE",
        r"[0-9A-Z]{8}-?[0-9X]",
        _ALNUM + r"\-",
        ("机构代码", "组织代码", "org_code", "orgcode"),
        check="org_code",
        need=Context.NEEDED,
        floor=1 / 11,
    ),
    Recognizer(
        "EMAIL_ADDRESS",
        "EMAIL_ADDRESS",
        r"[0-9A-Za-z._%+\-]{1,64}@(?:[0-9A-Za-z\-]{1,63}\.){1,8}[A-Za-z]{2,24}",
        "@",
        ("邮箱", "邮件", "email", "mail"),
        score=0.9,
        needle=True,
    ),
    Recognizer(
        "IP_ADDRESS",
        "IP_ADDRESS",
        rf"(?:ip)?{_OCTET}(?:\.{_OCTET}){{3}}|{_IPV6}",
        _ALNUM + ":",
        ("ip", "地址", "主机", "host", "server"),
        score=0.6,
        check="network_address",
        needle=True,
        not_after="[A-Za-z]/|//",  # a browser's version; the host of a link is a server, not a person
    ),
    Recognizer(
        "MAC_ADDRESS",
        "MAC_ADDRESS",
        r"(?:[0-9A-Fa-f]{2}[:\-]){5}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}",
        _ALNUM + r":\-",
        ("mac", "物理地址", "网卡"),
        score=0.7,
        check="mac",
        needle=True,
    ),
    Recognizer(  # a pair inside China with four decimals or more (about 11 m)
        "COORDINATES",
        "COORDINATES",
        rf"{_LONGITUDE}{_BETWEEN}{_LATITUDE}|{_LATITUDE}{_BETWEEN}{_LONGITUDE}",
        _DIGIT,
        ("坐标", "经纬", "位置", "location", "经度", "纬度"),
        score=0.6,
        needle=True,
    ),
)

ROWS: Final[dict[str, Recognizer]] = {row.name: row for row in TABLE}
RANK: Final[dict[str, int]] = {row.name: rank for rank, row in enumerate(TABLE)}
# An e-mail address may well hold a telephone number, a postal address a plate: neither takes the other's characters.
STANDS_APART: Final = frozenset({"EMAIL_ADDRESS", "ADDRESS", "PERSON", "ORGANIZATION"})

# Superset of every row: a value this does not match can be no hit.
UNION: Final = "|".join(f"(?:{row.exists})" for row in TABLE)

# Share of uniformly random 18-digit strings that pass as resident IDs (measured: 2.3e-5 of a million).
RANDOM_ID_SHARE: Final = 2.5e-5

# Segments the regulator has allotted to subscribers; outside it a number is still reported, with a lower score.
ALLOTTED_MOBILE: Final = r"1(?:3[0-9]|4[5-9]|5[0-35-9]|6[2567]|7[0-8]|8[0-9]|9[0-35-9])[0-9]{8}"

CONTEXT_WINDOW: Final = 20
ACCEPT_IN_CELL: Final = 0.3  # whole cells of a shape that needs context count; the column's share decides
ACCEPT_IN_TEXT: Final = 0.5
WHOLE_CELL_SCORE: Final = 0.35
BARE_SHAPE_SCORE: Final = 0.15


def has_context(row: Recognizer, words: str) -> bool:
    """Whether any context word of the row is in `words` (lower case)."""
    return any(word in words for word in row.context)
