"""Identifiers of records: short, readable, unguessable."""

from __future__ import annotations

import secrets

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


def new_id(prefix: str) -> str:
    """`prefix-` and twelve random characters without look-alikes (59 bits)."""
    number, letters = secrets.randbelow(len(_ALPHABET) ** 12), []  # one question to the system, not twelve
    for _ in range(12):
        number, letter = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[letter])
    return f"{prefix}-{''.join(letters)}"
