"""The working calendar of one year: the State Council's holidays and the weekend days worked in exchange (调休)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from policies.schema.base import Assigning, Edition, Strict

STATUTORY = ("元旦", "春节", "清明节", "劳动节", "端午节", "中秋节", "国庆节")
Statutory = Literal["元旦", "春节", "清明节", "劳动节", "端午节", "中秋节", "国庆节"]
_SATURDAY = 5


class Holiday(Strict):
    """Days off from `off_from` to `off_to` (both included), and the weekend days worked in exchange."""

    holidays: Annotated[tuple[Statutory, ...], Field(min_length=1)]
    off_from: date
    off_to: date
    workdays: tuple[date, ...]

    @property
    def off(self) -> frozenset[date]:
        return frozenset(self.off_from + timedelta(n) for n in range((self.off_to - self.off_from).days + 1))

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not 0 <= (self.off_to - self.off_from).days < 31:
            raise ValueError("放假起止日期颠倒或过长 / holiday ends before it starts or is too long")
        for day in self.workdays:
            if day.weekday() < _SATURDAY:
                raise ValueError(f"{day} 不是周末，不能作为调休上班日 / is no weekend day")
            if day in self.off:
                raise ValueError(f"{day} 既放假又上班 / is both off and worked")
        return self


Rule = Annotated[Assigning[Literal["holiday"], Holiday], Field()]


class CalendarEdition(Edition[Rule]):
    """One whole year; all seven statutory holidays must be there, so a forgotten one cannot count as working days."""

    policy: Literal["calendar"]

    @property
    def year(self) -> int:
        return int(self.edition[:4])

    @model_validator(mode="after")
    def _complete(self) -> Self:
        named = [name for rule in self.rules for name in rule.parameters.holidays]
        if sorted(named) != sorted(STATUTORY):
            raise ValueError(f"七个法定节日须各出现一次 / each statutory holiday exactly once: {'、'.join(STATUTORY)}")
        off = [day for rule in self.rules for day in rule.parameters.off]
        work = [day for rule in self.rules for day in rule.parameters.workdays]
        if len(set(off)) != len(off) or len(set(work)) != len(work) or set(off) & set(work):
            raise ValueError("同一天出现两次 / a day is written twice")
        if {day.year for day in (*off, *work)} != {self.year}:
            raise ValueError(f"日期须都在 {self.year} 年；跨年部分写入另一年的新版 / every day must be in {self.year}")
        return self


EDITION: type[Edition[Any]] = CalendarEdition
