"""Check characters of Chinese identifiers, computed for whole columns at once.

Every function takes a byte matrix (`pools.matrix`) and returns one ASCII code a row. Rules: GB 11643-1999 (resident ID,
ISO 7064 MOD 11-2), GB 11714-1997 (organisation code), GB 32100-2015 (unified social credit code, MOD 31-3), GB/T 15694
(Luhn for cards), GB 16735 (VIN, MOD 11).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthetic.providers.pools import Bytes

RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # no I, O, S, V, Z (GB 32100 table 2)

_RESIDENT_CHECKS = np.frombuffer(b"10X98765432", dtype=np.uint8)
_ORGANISATION_CHECKS = np.frombuffer(b"0X987654321", dtype=np.uint8)  # at the remainder of the weighted sum by 11
_VIN_CHECKS = np.frombuffer(b"0123456789X", dtype=np.uint8)
_VIN_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_VIN_NUMBERS = (1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9)


def _value_table(alphabet: str, numbers: range | tuple[int, ...]) -> np.ndarray:
    table = np.full(256, -1, dtype=np.float32)
    for character, number in zip(alphabet, numbers, strict=True):
        table[ord(character)] = number
    return table


_DIGIT = _value_table("0123456789", range(10))
_ALPHANUMERIC = _value_table("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", range(36))
_USCC = _value_table(USCC_ALPHABET, range(31))
_USCC_CODES = np.frombuffer(USCC_ALPHABET.encode(), dtype=np.uint8)
_VIN = _value_table("0123456789" + _VIN_LETTERS, tuple(range(10)) + _VIN_NUMBERS)


def _numbers(body: Bytes, table: np.ndarray, width: int | None) -> np.ndarray:
    """The values of the characters, as 32-bit floats: products of them are exact below 2**24 and many times faster."""
    if width is not None and body.shape[1] != width:
        raise ValueError(f"{width} characters wanted before the check character, got {body.shape[1]}")
    numbers = table[body]
    if (numbers < 0).any():
        raise ValueError("a character outside the alphabet of the identifier")
    return numbers


def _weighed(numbers: np.ndarray, weights: Sequence[int]) -> np.ndarray:
    return (numbers @ np.array(weights, dtype=np.float32)).astype(np.int64)


def resident_id_check(body: Bytes) -> Bytes:
    """The 18th character of resident IDs whose first 17 digits are `body`."""
    return _RESIDENT_CHECKS[_weighed(_numbers(body, _DIGIT, 17), RESIDENT_WEIGHTS) % 11]


def organisation_code_check(body: Bytes) -> Bytes:
    """The 9th character of organisation codes whose first 8 characters are `body`."""
    return _ORGANISATION_CHECKS[_weighed(_numbers(body, _ALPHANUMERIC, 8), ORGANISATION_WEIGHTS) % 11]


def uscc_check(body: Bytes) -> Bytes:
    """The 18th character of unified social credit codes whose first 17 characters are `body`."""
    weights = [pow(3, place, 31) for place in range(17)]
    return _USCC_CODES[-_weighed(_numbers(body, _USCC, 17), weights) % 31]


def luhn_check(body: Bytes) -> Bytes:
    """The last digit of card numbers (any length) whose other digits are `body`."""
    numbers = _numbers(body, _DIGIT, None)
    doubled = numbers[:, ::-1][:, ::2] * 2  # the digit next to the check digit is doubled first
    total = (doubled - 9 * (doubled > 9)).sum(axis=1) + numbers[:, ::-1][:, 1::2].sum(axis=1)
    return (48 + -total.astype(np.int64) % 10).astype(np.uint8)


def vin_check(vin: Bytes) -> Bytes:
    """The 9th character of 17-character VINs; what `vin` holds there is ignored."""
    filled = vin.copy()
    if filled.shape[1] == 17:
        filled[:, 8] = ord("0")
    return _VIN_CHECKS[_weighed(_numbers(filled, _VIN, 17), VIN_WEIGHTS) % 11]
