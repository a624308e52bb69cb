"""Text from elsewhere, made safe for a terminal: data must not move the cursor, set a title or turn lines around."""

from __future__ import annotations

import unicodedata

_SHOWN = {"\n": "↵", "\t": "␉", "\x7f": "␡"}


def neutral(text: str) -> str:
    """The text on one line. C0 is shown as pictures (␛); the rest of what is unseen as \\u…: C1, lone surrogates,
    line separators, and marks of writing direction, which make a line read backwards.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_safe, text))


def neutral_lines(text: str) -> str:
    """The same for text of several lines: line breaks stay."""
    return "\n".join(neutral(line) for line in text.splitlines())


def _safe(character: str) -> str:
    if character in _SHOWN:
        return _SHOWN[character]
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    number = ord(character)
    if number < 0x20:
        return chr(0x2400 + number)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def width(text: str) -> int:
    """Columns the text takes on a terminal: Chinese characters take two, combining and joining marks none."""
    if text.isascii():
        return len(text)
    return sum(_wide(c) for c in text)


def _wide(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """The text within so many columns, with … where something was left off."""
    if width(text) <= columns:
        return text
    kept, room = [], columns - 1
    for character in text:
        room -= _wide(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """The text filled with spaces to so many columns; `right` puts it at the right end."""
    space = " " * max(0, columns - width(text))
    return space + text if right else text + space
