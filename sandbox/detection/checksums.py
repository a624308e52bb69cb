"""Check digits of Chinese and international identifiers: a scalar form (the judge) and a numpy form (the funnel).

Every vector function takes a 1-D numpy array of ASCII strings of one length (`dtype="S…"`, upper case, separators
removed) and answers a boolean array. All forms of a check must agree; a test holds them to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from ipaddress import ip_address
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"
_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_WEIGHTS = tuple(pow(3, i, 31) for i in range(17))
_ORG_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_VIN_VALUES = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", (*range(1, 9), *range(1, 6), 7, 9, *range(2, 10)), strict=True))
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
# Province codes of GB/T 2260; 81–83 are the residence permits of Hong Kong, Macau and Taiwan residents. Counties are
# not tested: districts are abolished, numbers stay. The permanent residence card of foreigners has a 9, then the
# province (assumed from the published specimen).
PROVINCES = frozenset(
    (*range(11, 16), 21, 22, 23, *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82, 83)
)
_SEPARATORS = re.compile(r"[\s\-.·()]+")


def squeeze(text: str) -> str:
    """Upper case without separators: the form every check works on."""
    return _SEPARATORS.sub("", text).upper()


_BLOCK = 200_000  # values checked at once: a check holds some 300 bytes for each
_FIRST_YEAR = 1850  # published test numbers of GB 11643 have births in 1880


def _calendar(year: int, month: int, day: int) -> bool:
    try:
        return year >= _FIRST_YEAR and date(year, month, day) <= date.today()
    except ValueError:
        return False


def resident_id(text: str) -> bool:
    """GB 11643-1999: known province, a birth date from 1850 to today, ISO 7064 MOD 11-2 check character."""
    s = squeeze(text)
    if not re.fullmatch(r"[0-9]{17}[0-9X]", s) or int(s[1:3] if s[0] == "9" else s[:2]) not in PROVINCES:
        return False
    if not _calendar(int(s[6:10]), int(s[10:12]), int(s[12:14])):
        return False
    return _ID_CHECKS[sum(int(c) * w for c, w in zip(s[:17], _ID_WEIGHTS, strict=True)) % 11] == s[17]


def resident_id_15(text: str) -> bool:
    """The 15-digit form used before 1999: known province and a calendar date in 19yy; it has no check digit."""
    s = squeeze(text)
    if not re.fullmatch(r"[0-9]{15}", s) or int(s[:2]) not in PROVINCES:
        return False
    return _calendar(1900 + int(s[6:8]), int(s[8:10]), int(s[10:12]))


def org_code(text: str) -> bool:
    """GB 11714-1997: eight characters (A=10 … Z=35) and a MOD 11 check character."""
    s = squeeze(text)
    if not re.fullmatch(r"[0-9A-Z]{8}[0-9X]", s):
        return False
    check = 11 - sum(int(c, 36) * w for c, w in zip(s[:8], _ORG_WEIGHTS, strict=True)) % 11
    return s[8] == ("X" if check == 10 else "0" if check == 11 else str(check))


def uscc(text: str) -> bool:
    """GB 32100-2015: MOD 31-3 over the alphabet without I O S V Z, and positions 9–17 a valid GB 11714 code."""
    s = squeeze(text)
    if len(s) != 18 or any(c not in _USCC_ALPHABET for c in s):
        return False
    total = sum(_USCC_ALPHABET.index(c) * w for c, w in zip(s[:17], _USCC_WEIGHTS, strict=True))
    return _USCC_ALPHABET[(31 - total % 31) % 31] == s[17] and org_code(s[8:17])


def luhn(text: str) -> bool:
    """ISO/IEC 7812-1 Annex B over all digits."""
    s = squeeze(text)
    if not (s.isascii() and s.isdigit()):
        return False
    return sum(sum(divmod(int(c) * (1 + i % 2), 10)) for i, c in enumerate(s[::-1])) % 10 == 0


def bank_card(text: str) -> bool:
    """16 to 19 digits with a right Luhn digit; a short number after a 16-digit card is not part of the card."""
    s = squeeze(text)
    if 16 <= len(s) <= 19 and luhn(s):
        return True
    head = re.split(r"[ \-]", text)
    return len(head) > 1 and len(squeeze("".join(head[:-1]))) == 16 and luhn("".join(head[:-1]))


def vin(text: str) -> bool:
    """GB 16735 / ISO 3779: 17 characters with letters and digits, check character at position 9 (MOD 11)."""
    s = squeeze(text)
    if len(s) != 17 or s.isdigit() or s.isalpha() or any(not c.isdigit() and c not in _VIN_VALUES for c in s):
        return False
    points = (int(c) if c.isdigit() else _VIN_VALUES[c] for c in s)
    total = sum(p * w for p, w in zip(points, _VIN_WEIGHTS, strict=True)) % 11
    return s[8] == ("X" if total == 10 else str(total))


def hk_id(text: str) -> bool:
    """Hong Kong identity card: one or two letters, six digits, check character (MOD 11; a missing letter counts 36)."""
    s = squeeze(text)
    if not re.fullmatch(r"[A-Z]{1,2}[0-9]{6}[0-9A]", s):
        return False
    values = [36 if c == " " else int(c, 36) for c in s[:-1].rjust(8)]
    check = -sum(v * w for v, w in zip(values, (9, 8, 7, 6, 5, 4, 3, 2), strict=True)) % 11
    return s[-1] == ("A" if check == 10 else str(check))


_TW_LETTERS = "ABCDEFGHJKLMNPQRSTUVXYWZIO"  # in the order of their values from 10 on


def tw_id(text: str) -> bool:
    """Taiwan identity card or resident certificate: letter as two digits, weights 1 9 8 … 1 1, sum divisible by 10."""
    s = squeeze(text)
    if not re.fullmatch(r"[A-Z][1289][0-9]{8}", s):
        return False
    tens, ones = divmod(_TW_LETTERS.index(s[0]) + 10, 10)
    digits = [tens, ones, *map(int, s[1:])]
    return sum(d * w for d, w in zip(digits, (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1), strict=True)) % 10 == 0


def account(text: str) -> bool:
    """A social account and not merely a word: it holds a digit, an underscore or a hyphen."""
    return re.search(r"[0-9_\-]", text) is not None


def plate(text: str) -> bool:
    """GA 36-2018 numbers carry at least two digits; the rest of the form is in the pattern."""
    return sum(c.isdigit() for c in text) >= 2


def network_address(text: str) -> bool:
    """An IPv4 or IPv6 address as Python's `ipaddress` reads it; 0.x.x.x is nobody's (RFC 1122) but many a version."""
    bare = re.sub(r"^ip", "", text, flags=re.IGNORECASE)
    try:
        ip_address(bare)
    except ValueError:
        return False
    return not bare.startswith("0.")


def mac(text: str) -> bool:
    """IEEE 802 address; the dotted form needs a letter, else version numbers and dates pass."""
    return "." not in text or any(c in "ABCDEF" for c in text.upper())


# ---- vector forms -------------------------------------------------------------------------------------------------
def _bytes(values: np.ndarray) -> np.ndarray:
    width = values.dtype.itemsize
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), width)


def _table(alphabet: str, values: dict[str, int] | None = None) -> np.ndarray:
    table = np.full(256, -1, dtype=np.int64)
    for index, char in enumerate(alphabet):
        table[ord(char)] = index if values is None else values[char]
    return table


_DIGITS = _table("0123456789")
_BASE36 = _table("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_BASE31 = _table(_USCC_ALPHABET)
_VIN_TABLE = _table("0123456789" + "".join(_VIN_VALUES), {**{str(d): d for d in range(10)}, **_VIN_VALUES})
_PROVINCE_TABLE = np.array([code in PROVINCES for code in range(100)])
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def _dates(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> np.ndarray:
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    inside = (month >= 1) & (month <= 12)
    last = _MONTH_DAYS[np.where(inside, month, 0)] + ((month == 2) & leap)
    today = date.today()
    number = year * 10000 + month * 100 + day
    past = number <= today.year * 10000 + today.month * 100 + today.day
    return inside & (day >= 1) & (day <= last) & (year >= _FIRST_YEAR) & past


def _number(digits: np.ndarray, start: int, stop: int) -> np.ndarray:
    return digits[:, start:stop] @ (10 ** np.arange(stop - start - 1, -1, -1))


def resident_ids(values: np.ndarray) -> np.ndarray:
    """Vector form of `resident_id` (18 characters each)."""
    raw = _bytes(values)
    digits = _DIGITS[raw[:, :17]]
    clean = (digits >= 0).all(axis=1)
    digits = np.where(clean[:, None], digits, 0)
    checks = np.frombuffer(_ID_CHECKS.encode(), dtype=np.uint8)[digits @ np.array(_ID_WEIGHTS) % 11]
    born = _dates(_number(digits, 6, 10), _number(digits, 10, 12), _number(digits, 12, 14))
    province = np.where(digits[:, 0] == 9, _number(digits, 1, 3), _number(digits, 0, 2))
    return clean & _PROVINCE_TABLE[province] & born & (checks == raw[:, 17])


def resident_ids_15(values: np.ndarray) -> np.ndarray:
    """Vector form of `resident_id_15` (15 characters each)."""
    digits = _DIGITS[_bytes(values)]
    clean = (digits >= 0).all(axis=1)
    digits = np.where(clean[:, None], digits, 0)
    born = _dates(1900 + _number(digits, 6, 8), _number(digits, 8, 10), _number(digits, 10, 12))
    return clean & _PROVINCE_TABLE[_number(digits, 0, 2)] & born


def org_codes(values: np.ndarray) -> np.ndarray:
    """Vector form of `org_code` (9 characters each)."""
    raw = _bytes(values)
    points = _BASE36[raw[:, :8]]
    clean = (points >= 0).all(axis=1)
    remainder = np.where(clean[:, None], points, 0) @ np.array(_ORG_WEIGHTS) % 11
    check = np.frombuffer(b"0X987654321", dtype=np.uint8)[remainder]
    return clean & (check == raw[:, 8])


def usccs(values: np.ndarray) -> np.ndarray:
    """Vector form of `uscc` (18 characters each)."""
    raw = _bytes(values)
    points = _BASE31[raw]
    clean = (points >= 0).all(axis=1)
    points = np.where(clean[:, None], points, 0)
    check = (31 - points[:, :17] @ np.array(_USCC_WEIGHTS) % 31) % 31
    inner = org_codes(np.ascontiguousarray(raw[:, 8:17]).view("S9").ravel())
    return clean & (check == points[:, 17]) & inner


def luhns(values: np.ndarray) -> np.ndarray:
    """Vector form of `luhn` (all values of one length)."""
    digits = _DIGITS[_bytes(values)][:, ::-1]
    clean = (digits >= 0).all(axis=1)
    doubled = digits.copy()
    doubled[:, 1::2] = digits[:, 1::2] * 2 - 9 * (digits[:, 1::2] > 4)
    return clean & (doubled.sum(axis=1) % 10 == 0)


def vins(values: np.ndarray) -> np.ndarray:
    """Vector form of `vin` (17 characters each)."""
    raw = _bytes(values)
    points = _VIN_TABLE[raw]
    clean = (points >= 0).all(axis=1)
    numeric = _DIGITS[raw] >= 0
    total = np.where(clean[:, None], points, 0) @ np.array(_VIN_WEIGHTS) % 11
    check = np.frombuffer(b"0123456789X", dtype=np.uint8)[total]
    return clean & numeric.any(axis=1) & ~numeric.all(axis=1) & (check == raw[:, 8])


# ---- forms of whole columns ---------------------------------------------------------------------------------------
def _plates(values: pl.Series) -> NDArray[np.bool_]:
    return (values.str.count_matches("[0-9]") >= 2).to_numpy()


def _network_addresses(values: pl.Series) -> NDArray[np.bool_]:
    """Whole cells of the pattern's shape: four octets are right but for the first, the rest goes to `ipaddress`."""
    answer = (~values.str.contains(r"(?i)^(?:ip)?0\.")).to_numpy().copy()
    other = np.flatnonzero(values.str.contains(":", literal=True).to_numpy())
    answer[other] = [network_address(v) for v in values.gather(other)]
    return answer


def _macs(values: pl.Series) -> NDArray[np.bool_]:
    return values.str.contains("(?i)^[^.]*$|[a-f]").to_numpy()


@dataclass(frozen=True, slots=True)
class Check:
    """One validation in two forms: `vector` for values of one length without separators, or `column` for whole cells
    that already have the recogniser's shape."""

    scalar: Callable[[str], bool]
    vector: Callable[[np.ndarray], np.ndarray] | None = None
    column: Callable[[pl.Series], NDArray[np.bool_]] | None = None


CHECKS: dict[str, Check] = {
    "resident_id": Check(resident_id, resident_ids),
    "resident_id_15": Check(resident_id_15, resident_ids_15),
    "uscc": Check(uscc, usccs),
    "org_code": Check(org_code, org_codes),
    "bank_card": Check(bank_card, luhns),
    "imei": Check(luhn, luhns),
    "vin": Check(vin, vins),
    "hk_id": Check(hk_id),
    "tw_id": Check(tw_id),
    "account": Check(account),
    "plate": Check(plate, column=_plates),
    "network_address": Check(network_address, column=_network_addresses),
    "mac": Check(mac, column=_macs),
}


def valid(name: str, values: list[str]) -> NDArray[np.bool_]:
    """Which of the whole-cell `values` pass check `name`."""
    import polars as pl

    return passes(name, pl.Series(values, dtype=pl.String))


def passes(name: str, values: pl.Series) -> NDArray[np.bool_]:
    """Which of the whole-cell `values` (String, none missing) pass check `name`: one numpy batch a length, the scalar
    form for values with separators in them."""
    check = CHECKS[name]
    if check.column is not None:
        return check.column(values)
    lengths = np.where(values.str.contains("^[0-9A-Za-z]+$"), values.str.len_bytes(), 0)
    answer = np.zeros(len(values), dtype=bool)
    for length in np.unique(lengths).tolist():
        places = np.flatnonzero(lengths == length)
        for first in range(0, len(places), _BLOCK):
            at = places[first : first + _BLOCK]
            chosen = values.gather(at)
            if length and check.vector is not None:
                answer[at] = check.vector(_fixed_width(chosen.str.to_uppercase(), length))
            else:
                answer[at] = [check.scalar(v) for v in chosen]
    return answer


def _fixed_width(values: pl.Series, length: int) -> np.ndarray:
    """ASCII values of one length as an array of `S{length}`, without a Python string for each."""
    import pyarrow as pa

    packed = values.to_arrow().cast(pa.large_string())
    start = np.frombuffer(packed.buffers()[1], dtype=np.int64)[packed.offset]
    data = np.frombuffer(packed.buffers()[2], dtype=np.uint8, count=length * len(values), offset=int(start))
    return data.view(f"S{length}")
