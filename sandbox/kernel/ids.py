"""Identifiers of records: short, readable, unguessable."""

from __future__ import annotations

import secrets

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


def new_id(prefix: str) -> str:
    """`prefix-` and twelve random characters without look-alikes (59 bits)."""
    return f"{prefix}-{''.join(secrets.choice(_ALPHABET) for _ in range(12))}"
