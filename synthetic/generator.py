"""What a generator plan may say of one column, as data: the same rules for our own catalogue rules and a model's plan.

A rule names no code and holds no expression: it is validated, then run by the vectorised pools.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from synthetic.fields import Field as Column

MOST = 9_999_999_999
"""numbers lie within ± this: below eleven digits, so that no mobile number, card or ID can be written as a number"""
Entry = Annotated[str, Field(min_length=1, max_length=40)]
Amount = Annotated[float, Field(ge=-MOST, le=MOST, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
ProviderName = Literal[
    "person_name", "organisation", "address", "district", "street", "remark", "resident_id", "uscc", "mobile",
    "landline", "email", "bank_card", "plate", "passport", "vin", "imei", "ip", "mac", "organisation_code",
    "medical_number",
]  # fmt: skip
PLACES = ("year", "month", "day", "hour", "count", "letter", "street", "district")
_DATE = re.compile(r"\{year\}([-/.年]?)\{month\}([-/.月]?)\{day\}")
_PLACE = re.compile(r"\{([^{}]*)\}")


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def column(self) -> str | None:
        """The other column of the row that the value depends on."""
        return getattr(self, "of", None)

    def texts(self) -> Iterator[str]:
        """Every text of the rule that can come out in a value."""
        yield from ()


class Vocabulary(_Rule):
    """One of the values, equally likely or in proportion to `weights`."""

    make: Literal["vocabulary"] = "vocabulary"
    values: tuple[Entry, ...] = Field(min_length=1)
    weights: tuple[Annotated[float, Field(gt=0, le=1e6)], ...] | None = None

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.values):
            raise ValueError("as many weights as values")
        return self

    def texts(self) -> Iterator[str]:
        yield from self.values


class Cases(_Rule):
    """One of the values listed under the value that the column `of` has in the same row, else one of `otherwise`."""

    make: Literal["cases"] = "cases"
    of: Name
    cases: dict[Entry, Annotated[tuple[Entry, ...], Field(min_length=1)]] = Field(min_length=1)
    otherwise: tuple[Entry, ...] = Field(min_length=1)

    def texts(self) -> Iterator[str]:
        for values in self.cases.values():
            yield from values
        yield from self.otherwise


class Number(_Rule):
    """A number of `low`…`high` (both included). normal: mean in the middle, four deviations wide; lognormal: the same
    on the logarithms, both ends above 0."""

    make: Literal["number"] = "number"
    low: Amount
    high: Amount
    distribution: Literal["uniform", "normal", "lognormal"] = "uniform"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        if self.distribution == "lognormal" and self.low <= 0:
            raise ValueError("lognormal needs numbers above 0")
        return self


class Portion(_Rule):
    """`low`…`high` times the number in the column `of` of the same row."""

    make: Literal["portion"] = "portion"
    of: Name
    low: Annotated[float, Field(ge=0, le=100)]
    high: Annotated[float, Field(ge=0, le=100)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Dates(_Rule):
    """A day, or a moment of a day, from `first` to `last`."""

    make: Literal["date"] = "date"
    first: Annotated[date, Field(ge=date(1900, 1, 1), le=date(2100, 12, 31))]
    last: Annotated[date, Field(ge=date(1900, 1, 1), le=date(2100, 12, 31))]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.first > self.last:
            raise ValueError("first is after last")
        return self


class After(_Rule):
    """`least`…`most` days after the date in the column `of` of the same row."""

    make: Literal["after"] = "after"
    of: Name
    least: Annotated[int, Field(ge=0, le=36_500)]
    most: Annotated[int, Field(ge=0, le=36_500)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least > self.most:
            raise ValueError("least is above most")
        return self


class Template(_Rule):
    """One of the texts, the places of `PLACES` and `{digits:1}` … `{digits:6}` in it filled in."""

    make: Literal["template"] = "template"
    templates: tuple[Annotated[str, Field(min_length=1, max_length=120)], ...] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _known(self) -> Self:
        for template in self.templates:
            for place in _PLACE.findall(template):
                if place not in PLACES and not re.fullmatch(r"digits:[1-6]", place):
                    raise ValueError("a place in braces that does not exist")
            if "{" in _PLACE.sub("", template) or "}" in _PLACE.sub("", template):
                raise ValueError("a brace without its partner")
        return self

    def texts(self) -> Iterator[str]:
        for template in self.templates:
            dated = _DATE.sub(r"2020\g<1>01\g<2>01", template)
            for filled in _FILLED:
                yield _PLACE.sub(lambda place, filled=filled: _at(place[1], filled), dated)  # type: ignore[misc]


class Provider(_Rule):
    """A value of one of the pools, which belong to nobody. A street lies in the district of the column `of`."""

    make: Literal["provider"] = "provider"
    provider: ProviderName
    of: Name | None = None

    @model_validator(mode="after")
    def _placed(self) -> Self:
        if self.of is not None and self.provider != "street":
            raise ValueError("only a street depends on another column")
        return self


Rule = Vocabulary | Cases | Number | Portion | Dates | After | Template | Provider
RULE: TypeAdapter[Rule] = TypeAdapter(Annotated[Rule, Field(discriminator="make")])


_FILLED: tuple[dict[str, str], ...] = (
    {"digits": "9", "letter": "A", "year": "9999", "month": "99", "day": "99", "hour": "99", "count": "9"},
    {"digits": "0", "letter": "X", "year": "0000", "month": "00", "day": "00", "hour": "00", "count": "0"},
)
"""What the places are filled with to judge a template by the widest that comes out of it: a hexadecimal letter and the
one that stands for a check digit, and digits that form a date with nothing beside them. Only year, month and day in a
row count as the date they are."""


def _at(place: str, filled: dict[str, str]) -> str:
    name, _, width = place.partition(":")
    return filled.get(name, "") * int(width or 1)


def parts(template: str) -> list[tuple[str, str]]:
    """A template as pairs of literal text and the place after it ("" at the end)."""
    split = _PLACE.split(template)
    return [(split[i], split[i + 1] if i + 1 < len(split) else "") for i in range(0, len(split), 2)]


def misfit(rule: Rule, column: Column, others: dict[str, Column]) -> str | None:
    """Why a rule cannot make the values of a column, as the code of a reason; None when it can.

    A numeric column takes numbers or dates as its type says, free text takes templates, and any other takes texts that
    its type, its length and its dictionary allow. A rule may lean only on columns that a rule makes too.
    """
    if rule.column is not None and (rule.column not in others or rule.column == column.name):
        return "unknown_column"
    if column.numeric:
        return _numeric_misfit(rule, column, others)
    if isinstance(rule, Number | Portion | Dates | After):
        return "type"
    if column.semantic == "free_text" and not isinstance(rule, Template) and rule != Provider(provider="remark"):
        return "type"
    if isinstance(rule, Provider | Template):
        return None if column.dtype == "text" and not column.codes else "type"
    return _label_misfit(list(rule.texts()), column)


def _numeric_misfit(rule: Rule, column: Column, others: dict[str, Column]) -> str | None:
    dated = column.dtype in ("date", "timestamp")
    if not isinstance(rule, (Dates | After) if dated else (Number | Portion)):
        return "type"
    if isinstance(rule, After) and others[rule.of].dtype not in ("date", "timestamp"):
        return "type"
    if isinstance(rule, Portion) and (not others[rule.of].numeric or others[rule.of].dtype in ("date", "timestamp")):
        return "type"
    return None


def _label_misfit(values: list[str], column: Column) -> str | None:
    if column.codes and not set(values) <= set(column.codes):
        return "not_in_dictionary"
    if column.length is not None and max(map(len, values)) > column.length:
        return "too_long"
    shape: dict[str, str] = {"boolean": r"true|false", "integer": r"-?\d{1,9}", "decimal": r"-?\d{1,9}(\.\d{1,6})?"}
    wanted = shape.get(column.dtype, r"[\s\S]*" if column.dtype == "text" else r"(?!)")
    return None if all(re.fullmatch(wanted, value) for value in values) else "type"


def as_dict(rules: dict[str, Rule]) -> dict[str, Any]:
    """The rules as JSON-able data, in the form `RULE` reads again."""
    return {name: rule.model_dump(mode="json", exclude_none=True) for name, rule in rules.items()}
