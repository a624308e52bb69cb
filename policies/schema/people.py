"""What an export edition says about people: who has to agree, and on what terms a product leaves."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from policies.schema.base import Strict

Form = Literal["aggregate", "record", "report"]


class Reviewers(Strict):
    """How many different officers must agree: `ordinary`, and two from a level of the inputs on, for forms of product,
    above a percentage of the volume allowed, for models and whenever the machine left anything to people.

    `look_minutes`: how long unmasked content stays visible after its reason was written.
    """

    ordinary: Annotated[int, Field(ge=1, le=2)]
    two_from_level: Annotated[int, Field(ge=1, le=3)]
    two_for_forms: Annotated[tuple[Form, ...], Field(min_length=1)]
    two_above_volume_percent: Annotated[float, Field(ge=0, le=50)]
    look_minutes: Annotated[int, Field(ge=1, le=120)]

    @model_validator(mode="after")
    def _records(self) -> Self:
        if "record" not in self.two_for_forms:
            raise ValueError("逐条数据须双人复核 / record-level products need two reviewers")
        return self


class ReleaseTerms(Strict):
    """Downloads a recipient has and days until a release expires."""

    max_downloads: Annotated[int, Field(ge=1, le=100)]
    expires_days: Annotated[int, Field(ge=1, le=366)]
