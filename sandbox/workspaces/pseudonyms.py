"""Pseudonyms of direct identifiers: keyed, one key an application, so that they join inside it and nowhere else.

pseudonym = "psn-" + 24 letters a–p: 96 bits of HMAC-SHA-256(key, domain ‖ 0x00 ‖ canonical value). Letters only, so
that none ever looks like a number, a telephone or a card. Among a thousand million values two meet by chance with
probability below 10⁻¹¹.

- One random key an application, a file of its own (mode 0600) beside the installation's other secrets, made with the
  first grant and destroyed with the last: after that nobody can compute a pseudonym again, the platform included.
- The domain is the kind of identifier that detection found (a telephone number and an account with equal digits do
  not join), not the column's name; identifiers of no known kind share one domain, so that they join as well.
- Canonical: full-width as half-width, upper case, no blanks and invisible characters; hyphens and the country code
  +86 do not count where the kind is a number. Empty and NULL stay NULL. A 15-digit identity number is another value
  than the 18-digit one of the same person.

What is not protected: quasi-identifiers (age, area, dates) stay as they are, so people may be recognised by what is
known of them; equal pseudonyms link the rows of one person inside the application; how often a value occurs shows.
The engine computes the HMAC itself (RFC 2104 out of its sha256), a vector of rows at a time on every thread.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sandbox.kernel.keys import load_secret

PREFIX = "psn-"
LETTERS = 24
PATTERN = rf"{PREFIX}[a-p]{{{LETTERS}}}"
UNKNOWN_KIND = "identifier"
"""domain of identifiers whose kind detection did not name"""
_BLOCK = 64
_WIDE = "".join(map(chr, range(0xFF01, 0xFF5F))) + "\u3000"
_NARROW = "".join(map(chr, range(0x21, 0x7F))) + " "
_BLANKS = r"[\s\x{85}\x{A0}\x{AD}\x{1680}\x{180E}\x{2000}-\x{200F}\x{2028}-\x{202F}\x{205F}-\x{2064}\x{FEFF}]+"
_DASHES = r"[-\x{2010}-\x{2015}\x{2212}]+"
_NUMBERS = frozenset({"CN_RESIDENT_ID", "CN_RESIDENT_ID_15", "CN_MOBILE", "CN_LANDLINE", "CN_BANK_CARD", "IMEI"})
_TELEPHONES = frozenset({"CN_MOBILE", "CN_LANDLINE"})


@dataclass(frozen=True, slots=True)
class Key:
    """The key of one application. It is in no log, no manifest and no statement's text."""

    secret: bytes

    def __repr__(self) -> str:
        return "Key(…)"

    def parameters(self) -> dict[str, bytes]:
        """The two padded keys of HMAC, bound to a statement that uses `expression`."""
        padded = self.secret.ljust(_BLOCK, b"\0")
        return {"inner": bytes(b ^ 0x36 for b in padded), "outer": bytes(b ^ 0x5C for b in padded)}


def key_file(keys_root: Path, application_id: str) -> Path:
    return keys_root / "pseudonyms" / application_id


def key_of(keys_root: Path, application_id: str) -> Key:
    """The application's key, made on first use."""
    return Key(load_secret(key_file(keys_root, application_id)))


def destroy(keys_root: Path, application_id: str) -> bool:
    """Overwrite and remove the key; True when it is gone (repeating does no harm)."""
    place = key_file(keys_root, application_id)
    if place.exists():
        with place.open("r+b") as file:  # on a copy-on-write disk the block may survive: encryption is the disk's
            file.write(os.urandom(place.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        place.unlink()
        folder = os.open(place.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    return not place.exists()


def domain(entity: str | None) -> str:
    """What joins with what: the kind of identifier, or the one domain of all that have no kind."""
    return entity or UNKNOWN_KIND


def expression(column: str, kind: str) -> str:
    """SQL of the pseudonym of a column; `column` is a quoted name, `kind` a domain. Needs `Key.parameters` bound."""
    said = f"encode('{_plain(kind)}' || chr(0) || {canonical(column, kind)})"
    digest = f"sha256($outer::BLOB || unhex(sha256($inner::BLOB || {said})))"
    letters = f"translate(substr({digest}, 1, {LETTERS}), '0123456789abcdef', 'abcdefghijklmnop')"
    return f"'{PREFIX}' || {letters}"


def canonical(column: str, kind: str) -> str:
    """SQL of the value that counts; NULL for an empty one. Values that are canonical already take the short way."""
    text = f"CAST({column} AS VARCHAR)"
    folded = f"regexp_replace(upper(translate({text}, '{_quoted(_WIDE)}', '{_quoted(_NARROW)}')), '{_BLANKS}', '', 'g')"
    if kind in _NUMBERS:
        folded = f"regexp_replace({folded}, '{_DASHES}', '', 'g')"
    if kind in _TELEPHONES:
        folded = f"regexp_replace({folded}, '^(\\+|00)86', '')"
        return f"nullif({folded}, '')"
    return f"CASE WHEN regexp_full_match({text}, '[0-9A-Z]+') THEN {text} ELSE nullif({folded}, '') END"


def _plain(kind: str) -> str:
    if not kind.isidentifier():
        raise ValueError("a kind of identifier is one word")
    return kind


def _quoted(text: str) -> str:
    return text.replace("'", "''")
