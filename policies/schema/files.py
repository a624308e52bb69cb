"""What an export edition says about files: types that may leave, what reading one may take, archives, formulas."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from policies.schema.base import Strict

Suffix = Annotated[str, Field(pattern=r"^[a-z0-9]{1,8}$")]

CARRIES_CODE = frozenset(
    {
        "svg", "svgz", "gph", "pkl", "pickle", "joblib", "dill", "pt", "pth", "bin", "exe", "dll", "so", "sh", "bat",
        "ps1", "py", "js", "xhtml", "xml", "xls", "xlsm", "xlsb", "docm", "pptm", "jar", "class", "whl",
        "rds", "rdata", "npy", "npz",
    }
)  # fmt: skip
"""Types that can carry code, hidden layers or raw rows: no edition may let them out."""


class Reading(Strict):
    """How much one file may take to be read, in a jail: seconds, memory, megabytes it unfolds to and of all its texts;
    sheets and the like, and columns of one table."""

    seconds: Annotated[int, Field(ge=5, le=3600)]
    memory_mb: Annotated[int, Field(ge=512, le=16384)]
    unpacked_mb: Annotated[int, Field(ge=16, le=16384)]
    tables: Annotated[int, Field(ge=1, le=1000)]
    columns: Annotated[int, Field(ge=10, le=16384)]
    text_mb: Annotated[int, Field(ge=1, le=32)]


class FileTypes(Strict):
    """Suffixes that may leave, told by content; `review` ones only after a person has looked at them. A file that
    cannot be read to its end within `reading` does not leave."""

    allowed: Annotated[tuple[Suffix, ...], Field(min_length=1)]
    review: tuple[Suffix, ...]
    reading: Reading

    @model_validator(mode="after")
    def _no_code(self) -> Self:
        both = set(self.allowed) & set(self.review)
        if both:
            raise ValueError(f"不能同时列在两处 / listed twice: {', '.join(sorted(both))}")
        bad = sorted({*self.allowed, *self.review} & CARRIES_CODE)
        if bad:
            raise ValueError(f"可夹带代码或隐藏内容，不得出域 / can carry code, never leaves: {', '.join(bad)}")
        return self


class Archives(Strict):
    """Limits of an archive; an encrypted one, or one with links, is always refused."""

    max_depth: Annotated[int, Field(ge=0, le=3)]
    max_ratio: Annotated[int, Field(ge=1, le=200)]
    max_members: Annotated[int, Field(ge=1, le=10_000)]


class Formulas(Strict):
    """First characters that make a spreadsheet run a cell; plain numbers are not meant."""

    prefixes: tuple[Annotated[str, Field(min_length=1, max_length=1)], ...]

    @model_validator(mode="after")
    def _known(self) -> Self:
        missing = sorted(set("=+-@") - set(self.prefixes))
        if missing:
            raise ValueError(f"不得去掉 / must stay on the list: {' '.join(missing)}")
        return self
