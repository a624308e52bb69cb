"""Dense numbers for entities: sets of people are kept as sets of numbers, never as identifiers.

A number is given once and never reused, so that cells released years apart can be compared. The register knows an
entity only by a keyed hash; without the key nobody can look a person up in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

DIGEST_BYTES = 16
LIMIT = 2**32 - 1
"""Codes are unsigned 32-bit numbers; the last one is no entity."""
MISSING_KEY = LIMIT
"""The owner of rows of an entity table whose key is missing: no entity for a threshold, one for dominance."""

Codes = npt.NDArray[np.uint32]


class EntityCodes(Protocol):
    """Gives every key of a kind its number; the same key always gets the same one. `salt` is a secret text that the
    numbers of records are made with."""

    def assign(self, kind: str, keys: Sequence[str]) -> Codes: ...

    @property
    def salt(self) -> str: ...


class SessionCodes:
    """Numbers that last as long as this object: for one-shot checks, where the history is read in the same breath."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, int]] = {}
        self.salt = secrets.token_hex(16)

    def assign(self, kind: str, keys: Sequence[str]) -> Codes:
        known = self._known.setdefault(kind, {})
        return np.fromiter((known.setdefault(k, len(known)) for k in keys), dtype=np.uint32, count=len(keys))


class EntityRegister:
    """Numbers kept in append-only files, one a kind: record i of the file is the keyed hash of the entity numbered i.

    Several processes may assign at once; a lock file orders them.
    """

    def __init__(self, root: Path, secret: bytes) -> None:
        if len(secret) < 32:
            raise ValueError("the register's key needs at least 32 bytes")
        self._root = root
        self._secret = secret

    @property
    def salt(self) -> str:
        return hmac.digest(self._secret, b"records", "sha256").hex()

    def assign(self, kind: str, keys: Sequence[str]) -> Codes:
        """The number of each key, new ones appended. Units: dense, from 0, in order of first sight."""
        digests = [self._digest(kind, key) for key in keys]
        path = self._root / hashlib.sha256(kind.encode()).hexdigest()[:32]
        with self._locked(path):
            raw = path.read_bytes() if path.exists() else b""
            if len(raw) % DIGEST_BYTES:
                raise ValueError(f"the register of {kind} is damaged: {len(raw)} bytes")
            known = {raw[i : i + DIGEST_BYTES]: i // DIGEST_BYTES for i in range(0, len(raw), DIGEST_BYTES)}
            before = len(known)
            codes = np.fromiter((known.setdefault(d, len(known)) for d in digests), dtype=np.uint64, count=len(digests))
            if len(known) > LIMIT:
                raise ValueError(f"the register of {kind} is full")
            self._append(path, list(known)[before:])
        return codes.astype(np.uint32)

    def _digest(self, kind: str, key: str) -> bytes:
        return hmac.digest(self._secret, f"{kind}\x00{key}".encode(), "sha256")[:DIGEST_BYTES]

    @staticmethod
    def _append(path: Path, digests: list[bytes]) -> None:
        if not digests:
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(b"".join(digests))
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
