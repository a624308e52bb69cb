"""What each recogniser must and must not find, as tables: the published vectors, text around them, and disguises."""

from __future__ import annotations

import base64
from urllib.parse import quote

import polars as pl
import pytest

from sandbox.detection import canon, checksums, engine
from sandbox.detection.scan import scan_table, scan_text

ID = "11010519491231002X"  # published example of GB 11643-1999


def _entities(text: str, accept: float = 0.3) -> set[str]:
    return {hit.entity for hit in engine.judge(canon.canonical_cell(text), accept=accept)}


@pytest.mark.parametrize(
    ("check", "text", "valid"),
    [
        ("resident_id", "11010519491231002X", True),
        ("resident_id", "440524188001010014", True),
        ("resident_id", "830000199201300022", True),
        ("resident_id", "911124198108030024", True),  # permanent residence card of a foreigner, Beijing
        ("resident_id", "944115198501010013", True),  # the same, Guangdong
        ("resident_id", "810000199201300029", True),  # residence permit, Hong Kong
        ("resident_id", "820000199201300020", True),  # residence permit, Macau
        ("resident_id", "110105194912310021", False),  # wrong check character
        ("resident_id", "110105194902300020", False),  # right check character, 30 February
        ("resident_id_15", "110105491231002", True),
        ("resident_id_15", "110105490230002", False),
        ("uscc", "91110000600037341L", True),
        ("uscc", "91350100M000100Y43", True),
        ("uscc", "N2440100MF1234567Q", True),
        ("uscc", "91110000600037341M", False),
        ("org_code", "D2143569X", True),
        ("org_code", "D2143569-X", True),
        ("org_code", "M000100Y4", True),
        ("org_code", "D21435690", False),
        ("bank_card", "6228480402564890018", True),
        ("bank_card", "6217000010001234567", False),
        ("vin", "1M8GDM9AXKP042788", True),
        ("vin", "1M8GDM9A1KP042788", False),
        ("vin", "20240115103045678", False),  # a time stamp is no VIN
        ("imei", "490154203237518", True),
        ("imei", "490154203237519", False),
        ("hk_id", "A123456(3)", True),
        ("hk_id", "G123456(A)", True),
        ("hk_id", "A123456(4)", False),
        ("tw_id", "A123456789", True),
        ("tw_id", "A123456788", False),
    ],
)
def test_check_digit(check: str, text: str, valid: bool) -> None:
    assert checksums.CHECKS[check].scalar(text) is valid
    assert bool(checksums.valid(check, [text])[0]) is valid


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("身份证号11010519491231002X的居民", "CN_RESIDENT_ID"),
        ("１１０１０５１９４９１２３１００２ｘ", "CN_RESIDENT_ID"),
        ("440524188001010014", "CN_RESIDENT_ID"),
        ("830000199201300022", "CN_RESIDENT_ID"),
        ("身份证 110105491231002", "CN_RESIDENT_ID_15"),
        ("统一社会信用代码91110000600037341L。", "CN_USCC"),
        ("91350100M000100Y43", "CN_USCC"),
        ("N2440100MF1234567Q", "CN_USCC"),
        ("组织机构代码D2143569-X", "CN_ORG_CODE"),
        ("卡号6228480402564890018", "CN_BANK_CARD"),
        ("6228 4804 0256 4890 018", "CN_BANK_CARD"),
        ("19212345678", "CN_MOBILE"),
        ("+8613800138000", "CN_MOBILE"),
        ("电话13800138000联系", "CN_MOBILE"),
        ("电话：138-0013-8000", "CN_MOBILE"),
        ("TEL13800138000", "CN_MOBILE"),
        # Not allotted, yet the wide shape on purpose: a segment may be allotted tomorrow.
        ("15400000000", "CN_MOBILE"),
        ("广州020-83123456转801", "CN_LANDLINE"),
        ("(020)83123456", "CN_LANDLINE"),
        ("粤A12345", "CN_PLATE"),
        ("粤AD12345", "CN_PLATE"),
        ("粤ADA1234", "CN_PLATE"),
        ("粤A12345D", "CN_PLATE"),
        ("粤Z1234港", "CN_PLATE"),
        ("粤A1234学", "CN_PLATE"),
        ("京O12345", "CN_PLATE"),
        ("粤B·12345", "CN_PLATE"),
        ("WJ粤1234X", "CN_PLATE"),
        ("京A1234领", "CN_PLATE"),
        ("车牌使014578", "CN_PLATE"),
        ("车牌014578使", "CN_PLATE"),
        ("粤B1234挂", "CN_PLATE"),
        ("粤B1234警", "CN_PLATE"),
        ("粤Z1234澳", "CN_PLATE"),
        ("香港身份证A123456(3)", "CN_HK_ID"),
        ("G123456(A)", "CN_HK_ID"),
        ("台湾身份证A123456789", "CN_TW_ID"),
        ("微信号：zhangsan_88", "CN_WECHAT"),
        ("加微信wx123456详谈", "CN_WECHAT"),
        ("QQ：123456789", "CN_QQ"),
        ("护照E12345678", "CN_PASSPORT"),
        ("护照号：EA1234567", "CN_PASSPORT"),
        ("港澳通行证H12345678", "CN_TRAVEL_PERMIT"),
        ("台胞证12345678", "CN_TRAVEL_PERMIT"),
        ("车架号1M8GDM9AXKP042788", "VIN"),
        ("串号 490154203237518", "IMEI"),
        ("邮箱a.b@example.com联系", "EMAIL_ADDRESS"),
        ("IP地址192.168.1.10正常", "IP_ADDRESS"),
        ("主机2001:0db8:85a3:0000:0000:8a2e:0370:7334", "IP_ADDRESS"),
        ("地址fe80::1ff:fe23:4567:890a", "IP_ADDRESS"),
        ("MAC地址00:1A:2B:3C:4D:5E", "MAC_ADDRESS"),
        ("坐标113.264385,23.129112", "COORDINATES"),
        ("23.129112, 113.264385", "COORDINATES"),
    ],
)
def test_found_in_chinese_text(text: str, entity: str) -> None:
    assert entity in _entities(text)


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("110105194912310021", "CN_RESIDENT_ID"),
        ("110105194902300020", "CN_RESIDENT_ID"),
        ("111010519491231002X", "CN_RESIDENT_ID"),  # one digit in front
        ("6217000010001234567", "CN_BANK_CARD"),
        ("粤AI2345", "CN_PLATE"),
        ("粤I12345", "CN_PLATE"),
        ("粤AD1234A", "CN_PLATE"),
        ("粤A123456", "CN_PLATE"),
        ("113800138000", "CN_MOBILE"),
        ("13800138000.55", "CN_MOBILE"),  # an amount
        ("20240115103045", "CN_MOBILE"),
        ("SKU-D9799026", "CN_PASSPORT"),
        ("于20240115办理", "CN_TRAVEL_PERMIT"),
        ("A123456(4)", "CN_HK_ID"),
        ("台湾身份证A123456788", "CN_TW_ID"),
        ("微信支付failed", "CN_WECHAT"),
        ("申领100000元", "CN_PLATE"),
        ("http://1.2.3.4/a", "IP_ADDRESS"),  # a server, not a person
        ("12:30:45", "IP_ADDRESS"),
        ("版本1.2.3", "IP_ADDRESS"),
        ("Chrome/86.0.42.19", "IP_ADDRESS"),
        ("999.1.1.1", "IP_ADDRESS"),
        ("2024.0101.1234", "MAC_ADDRESS"),
        ("合计 113.26, 23.12", "COORDINATES"),
    ],
)
def test_not_found(text: str, entity: str) -> None:
    assert entity not in _entities(text)


@pytest.mark.parametrize(
    ("text", "kept", "dropped"),
    [
        # Overlapping shapes: the resident ID keeps the characters that also pass as a card or a code.
        ("身份证11010519491231002X", "CN_RESIDENT_ID", "CN_USCC"),
        ("电话13800138000", "CN_MOBILE", "CN_LANDLINE"),
    ],
)
def test_one_span_has_one_owner(text: str, kept: str, dropped: str) -> None:
    found = _entities(text)
    assert kept in found and dropped not in found


def test_a_mobile_inside_an_email_is_told_beside_it() -> None:
    assert _entities("13800138000@example.com") == {"EMAIL_ADDRESS", "CN_MOBILE"}


def test_the_disguises_of_one_id_are_thirty_and_none_is_given_up() -> None:
    assert len(_DISGUISES) == 30


def test_not_allotted_segments_score_lower() -> None:
    scores = {t: engine.judge(t)[0].score for t in ("13800138000", "15400000000")}
    assert scores["13800138000"] > scores["15400000000"]


def _digits(alphabet: str) -> str:
    return ID.translate(str.maketrans("0123456789", alphabet))


_PARTS = (ID[:6], ID[6:14], ID[14:])
_DISGUISES = {
    "as it is": (ID, "plain"),
    "spaces 6-8-4": (" ".join(_PARTS), "plain"),
    "hyphens 6-8-4": ("-".join(_PARTS), "plain"),
    "JSON value": ('{"id":"' + ID + '"}', "plain"),
    "URL parameter": (f"https://example.com/?id={ID}&a=1", "plain"),
    "leading apostrophe": ("'" + ID, "plain"),
    "letters glued": (f"ID{ID}NO", "plain"),
    "after %3D": (f"id%3D{ID}", "plain"),
    "zero-width space": ("\u200b".join(ID), "folded"),
    "full-width": (_digits("０１２３４５６７８９"), "folded"),
    "circled digits": (_digits("⓪①②③④⑤⑥⑦⑧⑨"), "folded"),
    "mathematical digits": (_digits("𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗"), "folded"),
    "Arabic-Indic digits": (_digits("٠١٢٣٤٥٦٧٨٩"), "folded"),
    "word joiner": ("\u2060".join(ID), "folded"),
    "soft hyphen": ("\u00ad".join(ID), "folded"),
    "Cyrillic Х": (ID.replace("X", "Х"), "folded"),
    "en dashes": ("–".join(_PARTS), "folded"),
    "dots 6-8-4": (".".join(_PARTS), "joined"),
    "dots everywhere": (".".join(ID), "joined"),
    "underscores": ("_".join(_PARTS), "joined"),
    "slashes": ("/".join(_PARTS), "joined"),
    "two spaces": ("  ".join(_PARTS), "joined"),
    "line breaks": ("\n".join(_PARTS), "joined"),
    "Chinese numerals": (_digits("〇一二三四五六七八九"), "numerals"),
    "banker's numerals": (_digits("零壹贰叁肆伍陆柒捌玖"), "numerals"),
    "base64": (base64.b64encode(ID.encode()).decode(), "base64"),
    "base64 of a sentence": ("v=" + base64.b64encode(f"号码{ID}。".encode()).decode(), "base64"),
    "hexadecimal": (ID.encode().hex(), "hex"),
    "URL-encoded": ("".join(f"%{ord(c):02X}" for c in ID), "url"),
    "URL-encoded sentence": (quote(f"号码{ID}。"), "url"),
}


@pytest.mark.parametrize("name", _DISGUISES)
def test_disguised_id_is_found_in_text_where_it_stands(name: str) -> None:
    text, view = _DISGUISES[name]
    hits = [h for h in scan_text(f"第一行\n{text}\n末行", "t") if h.entity == "CN_RESIDENT_ID"]
    assert [h.view for h in hits] == [view]
    assert 4 <= hits[0].start < hits[0].end <= 4 + len(text)


@pytest.mark.parametrize("name", _DISGUISES)
def test_one_disguised_id_among_codes_is_found_in_a_column(name: str) -> None:
    text, _ = _DISGUISES[name]
    column = scan_table(pl.DataFrame({"c": [f"SKU-D{n:07d}" for n in range(500)] + [text]})).column("c")
    assert [(e.entity, e.hits, e.decision) for e in column.decided("is", "contains")] == [
        ("CN_RESIDENT_ID", 1, "contains")
    ]


@pytest.mark.parametrize(
    "text", [ID[::-1], "7" + ID, ID.replace("0", "O"), "1.10105194912310E+17", "110***********002X"], ids=str
)
def test_known_limits_are_not_read_as_ids(text: str) -> None:
    assert "CN_RESIDENT_ID" not in {h.entity for h in scan_text(text, "t")}
