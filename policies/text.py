"""Bilingual text, and the error that people can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence in Chinese (first) and English."""

    zh: str
    en: str

    def of(self, language: str) -> str:
        """The sentence in `language` ("zh" or "en"); anything else gives Chinese."""
        return self.en if language == "en" else self.zh

    def fill(self, **values: object) -> Text:
        """The same sentence with `{name}` places filled on both sides."""
        return Text(self.zh.format(**values), self.en.format(**values))

    def as_dict(self) -> dict[str, str]:
        return {"zh": self.zh, "en": self.en}


class UserError(Exception):
    """An error a person can act on: what happened and why (`text`), what to do (`fix`).

    `code` is stable and machine-readable (`noun.problem`). `detail` holds names, counts and places, never a value
    taken from a record.
    """

    status: ClassVar[int] = 422

    def __init__(self, code: str, text: Text, *, fix: Text | None = None, **detail: Any) -> None:
        super().__init__(f"{code}: {text.en}")
        self.code = code
        self.text = text
        self.fix = fix
        self.detail = detail
