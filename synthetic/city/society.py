"""Everything the tables share: people, firms, clinics, transit stops, and the random streams."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synthetic.city.firms import Firms, found
from synthetic.city.population import Population, settle
from synthetic.city.streams import Streams
from synthetic.providers.gazetteer import CITY, DISTRICTS, STREETS

MATERNITY = "YL449901003"
"""The hospital for women and children: nobody else goes there."""


@dataclass(frozen=True, slots=True)
class Clinic:
    """A medical institution; `weight` is its share of visits, `fee` its price level."""

    code: str
    name: str
    district: int
    grade: str
    weight: float
    fee: float


class Society:
    """The city at one seed and scale. Its parts are drawn when first asked for and then kept."""

    def __init__(self, seed: int, scale: float) -> None:
        self.streams = Streams(seed)
        self.scale = scale

    def rng(self, table: str, column: str, chunk: int = 0) -> np.random.Generator:
        return self.streams.rng(table, column, chunk)

    def rows(self, base: int, least: int = 60) -> int:
        """Rows of a table that has `base` rows at scale 1."""
        return max(least, round(base * self.scale))

    @cached_property
    def people(self) -> Population:
        return settle(self.streams, self.rows(12_000, 400))

    @cached_property
    def firms(self) -> Firms:
        return found(self.streams, self.rows(2_000, 100))

    @cached_property
    def clinics(self) -> tuple[Clinic, ...]:
        return _clinics()


def _clinics() -> tuple[Clinic, ...]:
    """Three city hospitals, two in each district, and a health centre in each street."""
    plan = [
        ("YL449901001", f"{CITY}第一人民医院", 4, "三级", 9.0, 1.45),
        ("YL449901002", f"{CITY}中医院", 4, "三级", 5.0, 1.25),
        (MATERNITY, f"{CITY}妇幼保健院", 0, "三级", 5.0, 1.3),
    ]
    for place, district in enumerate(DISTRICTS):
        stem, share = f"{CITY}{district.name}", district.weight
        plan.append((f"YL{district.code}101", stem + "人民医院", place, "二级", 16 * share, 1.1))
        plan.append((f"YL{district.code}102", stem + "中医院", place, "二级", 8 * share, 1.0))
    for turn, (district, street) in enumerate(STREETS):
        short = street.name.removesuffix("街道")
        name = f"{district.name}{short}{'卫生院' if short.endswith('镇') else '社区卫生服务中心'}"
        code = f"YL{district.code}{201 + turn % 6}"
        plan.append((code, name, DISTRICTS.index(district), "一级", 4 * district.weight, 0.55))
    return tuple(Clinic(*entry) for entry in plan)
