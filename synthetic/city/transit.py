"""公交刷卡: one JSON object a card tap of November 2025."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synthetic import providers
from synthetic.city.columns import chunked, money, named, serial, shuffled_serial, stamps, without
from synthetic.city.dirt import JSON, Soiler
from synthetic.city.schema import TRANSPORT, Column, Frame, Layout, Table
from synthetic.city.society import Society
from synthetic.providers.gazetteer import DISTRICTS, STREETS
from synthetic.providers.pools import Words, pick_index

CARDS = ("普通卡", "手机二维码", "学生卡", "老年卡", "爱心卡")
_CARD_WEIGHTS = (0.5, 0.24, 0.11, 0.13, 0.02)
_DISCOUNT = np.array([0.05, 0.0, 0.5, 1.0, 1.0])
_BUS_LINES, _METRO_LINES, _BUSES_A_LINE = 20, 2, 9
_JOBS = {"东湖区": 2.6, "中和区": 2.0, "南屏区": 1.6}  # workplaces for each resident, elsewhere 0.6
_HOURS = {  # taps by hour of the day
    "work": "0 0 0 0 0 0.3 2.2 7.5 8.6 3.4 2.0 2.2 2.8 2.2 1.9 2.1 3.2 6.6 8.4 4.2 2.2 1.6 1.0 0.2",
    "free": "0 0 0 0 0 0.2 0.8 1.8 3.0 4.2 4.8 4.6 4.0 4.2 4.6 4.8 4.8 4.6 4.0 3.2 2.6 1.8 0.9 0.2",
    "old": "0 0 0 0 0 0.8 4.5 5.5 6.5 6.8 5.6 3.6 2.0 2.2 3.4 3.8 3.0 2.0 1.2 0.8 0.4 0.2 0.1 0",
}

COLUMNS = (
    Column("交易流水号", "text", "key", "交易流水号", "none", None, "公共数据", (1, 4)),
    Column("卡号", "text", "code", "交通卡号", "direct", None, "个人身份信息", (3, 4)),
    Column("卡类型", "text", "category", "交通卡类型", "quasi", None, "个人基本资料", (1, 3)),
    Column("交易时间", "timestamp", "timestamp", "刷卡时间", "quasi", None, "个人位置信息", (2, 4)),
    Column("交易类型", "text", "category", "公交刷卡、地铁出站", "none", None, "公共数据", (1, 4)),
    Column("线路名称", "text", "category", "线路名称", "none", None, "公共数据", (1, 4)),
    Column("站点编码", "text", "code", "站点编码", "none", None, "公共数据", (1, 4)),
    Column("站点名称", "text", "category", "站点名称", "quasi", None, "个人位置信息", (1, 4)),
    Column("所属区", "text", "district", "站点所属区", "quasi", None, "个人位置信息", (1, 3)),
    Column("经度", "decimal", "number", "站点经度（CGCS2000）", "none", "COORDINATES", "个人位置信息", (1, 4)),
    Column("纬度", "decimal", "number", "站点纬度（CGCS2000）", "none", "COORDINATES", "个人位置信息", (1, 4)),
    Column("车牌号", "text", "plate", "营运车辆号牌", "none", "CN_PLATE", "公共数据", (1, 3)),
    Column("应收金额", "decimal", "amount", "应收票款，元", "none", None, "公共数据", (1, 4)),
    Column("优惠金额", "decimal", "amount", "优惠金额，元", "none", None, "公共数据", (1, 4)),
    Column("实收金额", "decimal", "amount", "实收票款，元", "none", None, "公共数据", (1, 4)),
)


def stops() -> tuple[tuple[str, str, int, float, float], ...]:
    """All stops: code, name, district, longitude, latitude. Two on each street."""
    out = []
    for turn, (district, street) in enumerate(STREETS):
        for side, road in enumerate(street.roads[:2]):
            angle = (turn * 2 + side) * 2.4
            reach = 0.012 + 0.006 * (turn % 6)
            east, north = district.longitude + reach * np.cos(angle), district.latitude + reach * np.sin(angle)
            place = DISTRICTS.index(district)
            out.append((f"ZD{street.code}{side + 1}", f"{road}站", place, float(east), float(north)))
    return tuple(out)


STOPS = stops()
LINES = (*(f"{100 + k}路" for k in range(_BUS_LINES)), *(f"地铁{k + 1}号线" for k in range(_METRO_LINES)))


def chunks(city: Society, rows: int) -> Iterator[Frame]:
    """`rows` taps; times ascend within a chunk."""
    for number, part in chunked(rows):
        yield _chunk(city, number, part)


def _chunk(city: Society, number: int, part: slice) -> Frame:
    n, cards = part.stop - part.start, _Cards(city)

    def rng(column: str) -> np.random.Generator:
        return city.rng("transit_taps", column, number)

    card = pick_index(rng("卡号"), len(cards.kind), n, cards.use)
    times = _times(rng("交易时间"), cards.kind[card])
    card, times = card[np.argsort(times, kind="stable")], np.sort(times)
    stop = _stop(rng("站点"), cards, card, times)
    metro = rng("交易类型").random(n) < 0.28
    line, bus = _line(rng("线路"), stop, metro)
    fare = np.where(metro, rng("票价").choice([2.0, 3.0, 4.0, 5.0, 6.0], n, p=[0.22, 0.31, 0.25, 0.15, 0.07]), 2.0)
    saved = np.round(fare * _DISCOUNT[cards.kind[card]], 2)
    return {
        "交易流水号": serial("T2511", part.start + np.arange(n) + 1, 9),
        "卡号": serial("4499", shuffled_serial(card, 10**8), 8),
        "卡类型": named(CARDS, cards.kind[card]),
        "交易时间": stamps(times),
        "交易类型": named(("公交刷卡", "地铁出站"), metro.astype(np.int64)),
        "线路名称": named(LINES, line),
        "站点编码": named([entry[0] for entry in STOPS], stop),
        "站点名称": without(named([entry[1] for entry in STOPS], stop), rng("站名空").random(n) < 0.008),
        "所属区": named([DISTRICTS[entry[2]].name for entry in STOPS], stop),
        "经度": named([f"{entry[3]:.6f}" for entry in STOPS], stop),
        "纬度": named([f"{entry[4]:.6f}" for entry in STOPS], stop),
        "车牌号": without(_fleet(city)[np.where(metro, 0, line * _BUSES_A_LINE + bus)], metro),
        "应收金额": money(fare),
        "优惠金额": money(saved),
        "实收金额": money(fare - saved),
    }


class _Cards:
    """The cards in use: kind, stop near home, stop near work, how often used."""

    def __init__(self, city: Society) -> None:
        n = max(150, len(city.people) // 2)

        def rng(column: str) -> np.random.Generator:
            return city.rng("transit_cards", column)

        homes = [DISTRICTS[entry[2]].weight for entry in STOPS]
        works = [DISTRICTS[entry[2]].weight * _JOBS.get(DISTRICTS[entry[2]].name, 0.6) for entry in STOPS]
        self.kind = pick_index(rng("kind"), len(CARDS), n, _CARD_WEIGHTS)
        self.home = pick_index(rng("home"), len(STOPS), n, homes)
        self.work = pick_index(rng("work"), len(STOPS), n, works)
        self.use = rng("use").gamma(0.9, 1.0, n)


def _times(rng: np.random.Generator, kind: np.ndarray) -> np.ndarray:
    """Seconds: workdays have a morning and an evening peak, weekends and pensioners do not."""
    days = np.arange(np.datetime64("2025-11-01"), np.datetime64("2025-12-01"))
    weekend = (days.astype(np.int64) + 3) % 7 >= 5
    day = pick_index(rng, len(days), len(kind), np.where(weekend, 0.72, 1.0))
    hour = np.empty(len(kind), dtype=np.int64)
    group = np.where(kind == 3, 2, weekend[day].astype(np.int64))
    for place, profile in enumerate(("work", "free", "old")):
        rows = np.flatnonzero(group == place)
        hour[rows] = pick_index(rng, 24, len(rows), [float(share) for share in _HOURS[profile].split()])
    seconds = hour * 3600 + rng.integers(0, 3600, len(kind))
    return days[day].astype("datetime64[s]") + seconds.astype("timedelta64[s]")


def _stop(rng: np.random.Generator, cards: _Cards, card: np.ndarray, times: np.ndarray) -> np.ndarray:
    """In the morning people board near home, in the evening near work, in between anywhere."""
    hour = (times.astype(np.int64) // 3600) % 24
    usual = np.where(hour < 12, cards.home[card], cards.work[card])
    elsewhere = rng.random(len(card)) < np.where((hour < 10) | ((hour > 16) & (hour < 20)), 0.18, 0.5)
    return np.where(elsewhere, rng.integers(0, len(STOPS), len(card)), usual)


def _line(rng: np.random.Generator, stop: np.ndarray, metro: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Three bus lines serve a stop; the metro line follows from the district."""
    turn = rng.integers(0, 3, len(stop))
    bus_line = (stop * (2 * turn + 1) + turn * 7) % _BUS_LINES
    return np.where(metro, _BUS_LINES + stop // 12 % _METRO_LINES, bus_line), rng.integers(0, _BUSES_A_LINE, len(stop))


def _fleet(city: Society) -> Words:
    return providers.plates(city.rng("transit_fleet", "plate"), _BUS_LINES * _BUSES_A_LINE, new_energy=0.9)


def soil(soiler: Soiler) -> None:
    """Broken JSON lines, resent taps, clocks that were wrong, negative fares."""
    soiler.break_rows(0.0005, reasons=(JSON,))
    soiler.impossible("交易时间", ("2025-11-31 08:15:00", "2025-11-12 25:10:00"), 0.0004)
    soiler.negative("实收金额", 0.0005)
    soiler.full_width("卡号", 0.0005)
    soiler.duplicate(0.004)
    soiler.spell_missing(("站点名称", "车牌号"), empty=0.8)


TABLE = Table(
    key="transit_taps",
    title="公交刷卡",
    department=TRANSPORT,
    grain="每行一次刷卡",
    columns=COLUMNS,
    layout=Layout("ndjson", "utf-8", kind="ndjson"),
    entities={"card": "卡号"},
    base_rows=40_000,
    chunks=chunks,
    soil=soil,
)
