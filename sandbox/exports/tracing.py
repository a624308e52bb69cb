"""Whose copy is this: a found file compared with the marks and the rows of every release."""

from __future__ import annotations

import io
import zipfile
from dataclasses import asdict
from typing import Any

from sandbox.exports import marks, repository
from sandbox.exports.release import CRATE, MANIFEST, PUBLIC_KEY, README, SIGNATURE
from sandbox.kernel import accounts, permissions
from sandbox.kernel.keys import load_secret
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Unit

_OURS = {MANIFEST, SIGNATURE, PUBLIC_KEY, CRATE, README}


def marks_secret(settings: Settings) -> bytes:
    """The secret behind all marks; who has it can make and read them."""
    return load_secret(settings.keys_root / "marks.key")


def trace(unit: Unit, copy: bytes) -> list[dict[str, Any]]:
    """Releases that `copy` may come from, likeliest first, each with its recipient. Asking is on record."""
    permissions.check(unit.actor, "release:trace")
    secret, known = marks_secret(unit.settings), repository.releases(unit.session)
    candidates = []
    for made in known:
        path = unit.settings.releases_root / made.sha256
        files = _products(path.read_bytes()) if path.is_file() else {}
        candidates.append(marks.Released(made.id, marks.key_of(secret, made.id, made.organisation_id), files))
    by_id, names = {made.id: made for made in known}, accounts.names(unit.session)
    found = [
        asdict(match) | {"certain": match.certain, "request": by_id[match.release].request_id,
                         "recipient": names.get(by_id[match.release].organisation_id, "")}
        for match in marks.trace(copy, candidates)
    ]  # fmt: skip
    named = [m["release"] for m in found if m["certain"]]
    unit.audit("release:trace", "release", named[0] if named else "none", candidates=len(found), certain=len(named))
    return found


def _products(package: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(package)) as box:
            return {name: box.read(name) for name in box.namelist() if name not in _OURS}
    except zipfile.BadZipFile:
        return {}
