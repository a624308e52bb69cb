"""The enterprises of 示范市 as arrays, and what depends on what: line of business, form, capital, age, staff, state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthetic import providers
from synthetic.city.schema import AS_OF
from synthetic.city.streams import Streams
from synthetic.providers.gazetteer import DISTRICTS, STREETS
from synthetic.providers.organisation import COMPANY, SOLE_TRADER
from synthetic.providers.pools import Words, pick, pick_index, words

FORMS = ("有限责任公司", "个体工商户", "股份有限公司", "个人独资企业", "合伙企业", "国有企业")
SOLE, PROPRIETOR, STATE_OWNED = 1, 3, 5
STATES = ("存续", "注销", "吊销", "迁出")
_ENDINGS = ("有限公司", "", "股份有限公司", "厂", "合伙企业（有限合伙）", "集团有限公司")
_SHOPS = ("店", "商行", "经营部")


@dataclass(frozen=True, slots=True)
class Sector:
    """A section of GB/T 4754: share of firms, of them sole traders, median capital (10,000 yuan), staff, wage level."""

    name: str
    weight: float
    sole: float
    capital: float
    staff: float
    wage: float
    districts: tuple[float, ...]  # pull of 东湖 西岭 南屏 北辰 中和 江口


SECTORS = (
    Sector("批发和零售业", 30, 0.55, 60, 5, 0.88, (1.0, 0.8, 1.0, 1.1, 1.4, 0.7)),
    Sector("制造业", 17, 0.10, 320, 48, 0.95, (0.5, 1.2, 2.6, 1.0, 0.2, 1.3)),
    Sector("住宿和餐饮业", 12, 0.72, 30, 8, 0.78, (1.2, 0.7, 0.8, 1.0, 1.7, 0.7)),
    Sector("租赁和商务服务业", 10, 0.15, 120, 9, 1.05, (1.8, 0.4, 0.7, 1.0, 1.5, 0.3)),
    Sector("信息传输、软件和信息技术服务业", 8, 0.05, 210, 22, 1.55, (3.0, 0.3, 0.8, 0.9, 0.7, 0.1)),
    Sector("居民服务、修理和其他服务业", 7, 0.70, 20, 4, 0.80, (1.0, 0.9, 1.0, 1.1, 1.2, 0.9)),
    Sector("建筑业", 5, 0.06, 820, 35, 0.98, (0.8, 1.1, 1.1, 1.3, 0.6, 1.1)),
    Sector("交通运输、仓储和邮政业", 4, 0.30, 150, 20, 0.97, (0.5, 0.9, 1.4, 1.8, 0.4, 1.4)),
    Sector("房地产业", 2, 0.02, 1500, 26, 1.10, (1.5, 0.8, 0.9, 1.1, 1.1, 0.7)),
    Sector("农、林、牧、渔业", 2, 0.35, 90, 11, 0.72, (0.1, 2.0, 0.5, 0.6, 0.1, 3.2)),
    Sector("教育", 1.5, 0.12, 70, 15, 1.08, (1.3, 0.8, 1.0, 1.0, 1.2, 0.7)),
    Sector("卫生和社会工作", 1, 0.20, 110, 19, 1.20, (1.1, 0.8, 1.0, 1.1, 1.3, 0.8)),
    Sector("金融业", 0.5, 0.0, 3800, 30, 1.75, (2.4, 0.2, 0.4, 0.6, 1.9, 0.1)),
)


@dataclass(frozen=True, slots=True)
class Firms:
    """One entry a firm in every array; capital in 10,000 yuan. `reserved` firms occur in no other table."""

    usccs: Words
    names: Words
    bosses: Words
    sectors: NDArray[np.int64]
    forms: NDArray[np.int64]
    streets: NDArray[np.int64]
    districts: NDArray[np.int64]
    capital: NDArray[np.float64]
    founded: NDArray[np.datetime64]
    states: NDArray[np.int64]
    staff: NDArray[np.int64]
    reserved: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.usccs)


def found(streams: Streams, n: int) -> Firms:
    """`n` firms ever registered in the city."""

    def rng(column: str) -> np.random.Generator:
        return streams.rng("firms", column)

    sectors = pick_index(rng("sector"), len(SECTORS), n, [sector.weight for sector in SECTORS])
    forms = _forms(rng("form"), sectors)
    streets = _streets(rng("street"), sectors)
    founded, states = _life(rng("life"), forms)
    districts = np.array([DISTRICTS.index(d) for d, _ in STREETS])[streets]
    regions = np.array([int(district.code) for district in DISTRICTS])[districts]
    kinds = np.where(forms == SOLE, SOLE_TRADER, COMPANY).astype(object)
    capital = _capital(rng("capital"), sectors, forms)
    return Firms(
        usccs=providers.usccs(rng("uscc"), n, kinds=kinds, regions=regions),
        names=_names(rng("name"), sectors, forms),
        bosses=providers.person_names(rng("boss"), n, None, _boss_births(rng("boss birth"), n)),
        sectors=sectors,
        forms=forms,
        streets=streets,
        districts=districts,
        capital=capital,
        founded=founded,
        states=states,
        staff=_staff(rng("staff"), sectors, forms, capital),
        reserved=np.arange(n) % 40 == 39,
    )


def _forms(rng: np.random.Generator, sectors: NDArray[np.int64]) -> NDArray[np.int64]:
    sole = np.array([sector.sole for sector in SECTORS])[sectors]
    other = np.array([0, 2, 3, 4, 5])[pick_index(rng, 5, len(sectors), (0.88, 0.025, 0.05, 0.03, 0.015))]
    return np.where(rng.random(len(sectors)) < sole, SOLE, other)


def _streets(rng: np.random.Generator, sectors: NDArray[np.int64]) -> NDArray[np.int64]:
    out = np.empty(len(sectors), dtype=np.int64)
    for place, sector in enumerate(SECTORS):
        rows = np.flatnonzero(sectors == place)
        weights = [
            district.weight * sector.districts[DISTRICTS.index(district)] * (1 + turn % 3)
            for turn, (district, _) in enumerate(STREETS)
        ]
        out[rows] = pick_index(rng, len(STREETS), len(rows), weights)
    return out


def _life(rng: np.random.Generator, forms: NDArray[np.int64]) -> tuple[NDArray[np.datetime64], NDArray[np.int64]]:
    """More firms are young than old; the older a sole trader, the likelier it is closed."""
    years = np.minimum(rng.exponential(np.where(forms == STATE_OWNED, 20.0, 7.0)), 44.0)
    founded = AS_OF - (years * 365).astype(np.int64).astype("timedelta64[D]") - np.timedelta64(20, "D")
    closed = rng.random(len(forms)) < 1 - np.exp(-years / np.where(forms == SOLE, 18.0, 35.0))
    gone = 1 + pick_index(rng, 3, len(forms), (0.8, 0.14, 0.06))
    return founded, np.where(closed, gone, 0)


def _capital(rng: np.random.Generator, sectors: NDArray[np.int64], forms: NDArray[np.int64]) -> NDArray[np.float64]:
    median = np.array([sector.capital for sector in SECTORS])[sectors]
    factor = np.array([1.0, 0.12, 14.0, 0.4, 1.5, 9.0])[forms]
    raw = median * factor * np.exp(rng.normal(0, 0.9, len(sectors)))
    step = np.select([raw < 10, raw < 100, raw < 1000], [1, 10, 50], 500)  # people register round sums
    return np.maximum(np.round(raw / step) * step, 0.5)


def _staff(
    rng: np.random.Generator, sectors: NDArray[np.int64], forms: NDArray[np.int64], capital: NDArray[np.float64]
) -> NDArray[np.int64]:
    typical = np.array([sector.staff for sector in SECTORS])
    money = np.array([sector.capital for sector in SECTORS])
    size = typical[sectors] * (capital / money[sectors]) ** 0.35 * np.exp(rng.normal(0, 0.6, len(sectors)))
    return np.maximum(np.where(forms == SOLE, np.minimum(size, 22), size).round(), 1).astype(np.int64)


def _boss_births(rng: np.random.Generator, n: int) -> NDArray[np.datetime64]:
    return providers.births(rng, n, first="1955-01-01", last="2001-12-31")


def _names(rng: np.random.Generator, sectors: NDArray[np.int64], forms: NDArray[np.int64]) -> Words:
    industries = words([sector.name for sector in SECTORS])[sectors]
    works = industries == "制造业"
    shops = np.where(works, "加工厂", pick(rng, _SHOPS, len(forms)))
    endings = np.where(forms == SOLE, shops, np.where((forms == PROPRIETOR) & ~works, "中心", words(_ENDINGS)[forms]))
    return providers.company_names(rng, len(sectors), industries=industries, forms=endings)
