"""Deadlines: the five working-day clocks and the terms that outlive a request."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from policies.schema.base import Assigning, Edition, Strict, require_checks

WorkingDays = Annotated[int, Field(ge=1, le=60)]


class AlarmClock(Strict):
    """A clock whose lapse only alarms: nobody's silence lets a merchant in, a check pass or data out.

    `reminders` are shares of the running time (0–1, rising) at which the one who has to act is reminded.
    """

    working_days: WorkingDays
    on_lapse: Literal["alarm"]
    reminders: tuple[Annotated[float, Field(gt=0, lt=1)], ...]

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if list(self.reminders) != sorted(set(self.reminders)):
            raise ValueError("提醒时点应由小到大且不重复 / reminders must rise")
        return self


class ApprovalClock(AlarmClock):
    """The departments' approval: the only clock whose lapse may mean consent (官方问答：逾期未审视为同意)."""

    on_lapse: Literal["alarm", "consent"]  # type: ignore[assignment]  # wider on purpose, for this clock alone


class AgreementTerm(Strict):
    """Longest agreement, in years; the legal ceiling is five (发改数据规〔2025〕27号第十四条)."""

    max_years: Annotated[int, Field(ge=1, le=5)]


class RegistrationTerm(Strict):
    """Validity of a registration in years (at most 3) and the days before its end in which it may be renewed."""

    max_years: Annotated[int, Field(ge=1, le=3)]
    renewal_window_days: Annotated[int, Field(ge=1, le=60)]


class FirstRegistration(Strict):
    """Working days within which a delivered resource or product is to be registered (at most 20)."""

    working_days: Annotated[int, Field(ge=1, le=20)]


class YearlyDisclosure(Strict):
    """The day by which the previous year is disclosed; not later than 31 March."""

    month: Annotated[int, Field(ge=1, le=3)]
    day: Annotated[int, Field(ge=1, le=31)]


class Retention(Strict):
    """How long evidence (at least 3 years) and logs (at least 6 months) are kept."""

    evidence_years: Annotated[int, Field(ge=3)]
    log_months: Annotated[int, Field(ge=6)]


Alarm = Assigning[
    Literal["onboarding_check", "application_check", "export_review", "quality_correction"], AlarmClock
]
Approval = Assigning[Literal["application_approval"], ApprovalClock]

Rule = Annotated[
    Alarm
    | Approval
    | Assigning[Literal["agreement_term"], AgreementTerm]
    | Assigning[Literal["registration_term"], RegistrationTerm]
    | Assigning[Literal["first_registration"], FirstRegistration]
    | Assigning[Literal["yearly_disclosure"], YearlyDisclosure]
    | Assigning[Literal["retention"], Retention],
    Field(discriminator="check"),
]

CLOCKS = ("onboarding_check", "application_check", "application_approval", "export_review", "quality_correction")


class DeadlinesEdition(Edition[Rule]):
    """All clocks and terms, each exactly once."""

    policy: Literal["deadlines"]

    def clock(self, name: str) -> AlarmClock:
        """The clock with that name (one of `CLOCKS`); `PolicyError` otherwise."""
        clock: AlarmClock = self.by_check(name).parameters
        return clock

    @model_validator(mode="after")
    def _complete(self) -> Self:
        terms = {"agreement_term", "registration_term", "first_registration", "yearly_disclosure", "retention"}
        require_checks(self, frozenset({*CLOCKS, *terms}))
        return self


EDITION: type[Edition[Any]] = DeadlinesEdition
