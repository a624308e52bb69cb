"""空气监测: one row a station and time. Tab-delimited UTF-8."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from synthetic.city.columns import money, named, stamps, whole, without
from synthetic.city.dirt import Soiler
from synthetic.city.schema import ENVIRONMENT, Column, Frame, Layout, Table
from synthetic.city.society import Society
from synthetic.providers.gazetteer import STREETS

STATIONS = 22
_HOURS = 8760  # hours of 2025; a larger table gets more stations
_LIMITS = ((0, 50, 100, 150, 200, 300), (0, 35, 75, 115, 150, 250), (0, 100, 160, 215, 265, 800))  # IAQI, PM2.5, O3
GRADES = ("优", "良", "轻度污染", "中度污染", "重度污染", "严重污染")

COLUMNS = (
    Column("站点编码", "text", "code", "监测站点编码", "none", None, "公共数据", (1, 2)),
    Column("站点名称", "text", "category", "监测站点名称", "none", None, "公共数据", (1, 2)),
    Column("所属区", "text", "district", "站点所属区", "none", None, "公共数据", (1, 2)),
    Column("监测时间", "timestamp", "timestamp", "监测时间（均值起点）", "none", None, "公共数据", (1, 2)),
    Column("PM2.5", "integer", "number", "细颗粒物浓度，μg/m³", "none", None, "公共数据", (1, 2)),
    Column("PM10", "integer", "number", "可吸入颗粒物浓度，μg/m³", "none", None, "公共数据", (1, 2)),
    Column("SO2", "integer", "number", "二氧化硫浓度，μg/m³", "none", None, "公共数据", (1, 2)),
    Column("NO2", "integer", "number", "二氧化氮浓度，μg/m³", "none", None, "公共数据", (1, 2)),
    Column("O3", "integer", "number", "臭氧浓度，μg/m³", "none", None, "公共数据", (1, 2)),
    Column("CO", "decimal", "number", "一氧化碳浓度，mg/m³", "none", None, "公共数据", (1, 2)),
    Column("AQI", "integer", "number", "空气质量指数（按PM2.5与O3）", "none", None, "公共数据", (1, 2)),
    Column("空气质量等级", "text", "category", "优、良、轻度污染等", "none", None, "公共数据", (1, 2)),
)


def grid(rows: int) -> tuple[int, np.ndarray]:
    """Stations and the times each of them reports, so that stations × times is about `rows`."""
    times = max(1, round(rows / STATIONS))
    stations = STATIONS if times <= _HOURS else -(-rows // _HOURS)
    times = round(rows / stations)
    step = next(hours for hours in (24, 12, 8, 6, 4, 3, 2, 1) if _HOURS // hours >= times)
    slots = np.linspace(0, _HOURS // step - 1, times).round().astype(np.int64) * step
    first = "2025-01-01T08" if step == 24 else "2025-01-01T00"  # daily readings are taken at eight
    return stations, np.datetime64(first, "h") + slots.astype("timedelta64[h]")


def chunks(city: Society, rows: int) -> Iterator[Frame]:
    """All stations at one time, then the next time; about `rows` in all."""
    stations, times = grid(rows)
    step = max(1, 100_000 // stations)
    for number, start in enumerate(range(0, len(times), step)):
        yield _chunk(city, number, stations, times[start : start + step])


def _chunk(city: Society, number: int, stations: int, times: np.ndarray) -> Frame:
    def rng(column: str) -> np.random.Generator:
        return city.rng("air_readings", column, number)

    station = np.tile(np.arange(stations), len(times))
    when = np.repeat(times, stations)
    home = station * 5 % len(STREETS)
    dust, ozone, traffic = _weather(city, rng, times, stations)
    pm25 = np.round(dust * _pull(home, 0)).astype(np.int64) + 2
    o3 = np.round(ozone * _pull(home, 2)).astype(np.int64) + 4
    pm10 = np.round(pm25 * (1.55 + rng("PM10").normal(0, 0.16, len(station)))).clip(3).astype(np.int64)
    index = np.maximum(np.interp(pm25, _LIMITS[1], _LIMITS[0]), np.interp(o3, _LIMITS[2], _LIMITS[0]))
    aqi = np.ceil(index).astype(np.int64)
    offline = rng("离线").random(len(station)) < 0.012
    return {
        "站点编码": named([f"AQ4499{k + 1:04d}" for k in range(stations)], station),
        "站点名称": named([f"{s.roads[0]}监测站" for _, s in STREETS], home),
        "所属区": named([d.name for d, _ in STREETS], home),
        "监测时间": stamps(when),
        "PM2.5": without(whole(pm25), offline),
        "PM10": without(whole(pm10), offline),
        "SO2": without(whole((traffic * 0.3).clip(3).astype(np.int64)), offline),
        "NO2": without(whole((traffic * _pull(home, 1)).clip(4).astype(np.int64)), offline),
        "O3": without(whole(o3), offline),
        "CO": without(money((traffic / 45 + rng("CO").normal(0.2, 0.06, len(station))).clip(0.2), 1), offline),
        "AQI": without(whole(aqi), offline),
        "空气质量等级": without(named(GRADES, np.searchsorted((50, 100, 150, 200, 300), aqi)), offline),
    }


def _pull(home: np.ndarray, kind: int) -> np.ndarray:
    """Dust, traffic and ozone by district: industry in 南屏, traffic in 中和, clean hills in 西岭."""
    table = {"东湖区": (0.95, 1.1, 1.0), "西岭区": (0.78, 0.6, 1.15), "南屏区": (1.25, 1.15, 1.0),
             "北辰区": (1.05, 1.1, 0.97), "中和区": (1.08, 1.3, 0.9), "江口区": (0.88, 0.7, 1.1)}  # fmt: skip
    return np.array([table[d.name][kind] for d, _ in STREETS])[home]


def _weather(
    city: Society, rng: Callable[[str], np.random.Generator], times: np.ndarray, stations: int
) -> tuple[np.ndarray, ...]:
    """Dry winters are dusty, bright summers and afternoons have ozone, rush hours have traffic; weather lasts."""
    day = (times.astype("datetime64[D]") - np.datetime64("2025-01-01")).astype(np.int64)
    hour = times.astype(np.int64) % 24
    winter = np.cos((day - 10) / 365 * 2 * np.pi)
    spell = _persistent(city.rng("air_readings", "天气"), day)  # one weather for all chunks
    dust = (24 + 11 * winter) * np.exp(0.42 * spell)
    ozone = (92 - 26 * winter) * (1 + 0.45 * np.sin((hour - 9) / 24 * 2 * np.pi) * (hour > 0)) * np.exp(-0.22 * spell)
    traffic = (26 + 7 * winter) * np.where(np.isin(hour, (7, 8, 9, 17, 18, 19)), 1.35, 1.0) * np.exp(0.25 * spell)
    noise = rng("测量").normal(0, 0.13, (3, len(times) * stations))
    return tuple(np.repeat(part, stations) * np.exp(noise[k]) for k, part in enumerate((dust, ozone, traffic)))


def _persistent(rng: np.random.Generator, day: np.ndarray) -> np.ndarray:
    """A daily weather index in which today resembles yesterday."""
    shocks = rng.standard_normal(366)
    index = np.empty(366)
    index[0] = shocks[0]
    for place in range(1, 366):
        index[place] = 0.72 * index[place - 1] + 0.69 * shocks[place]
    return index[day]


def soil(soiler: Soiler) -> None:
    """Instruments that report -999, and a reading sent twice."""
    soiler.impossible("PM2.5", ("-999",), 0.0012)
    soiler.impossible("O3", ("-999", "9999"), 0.0012)
    soiler.break_rows(0.0008, reasons=("short_row", "long_row"))
    soiler.duplicate(0.003)
    soiler.spell_missing(empty=0.3)


TABLE = Table(
    key="air_readings",
    title="空气监测",
    department=ENVIRONMENT,
    grain="每行一个站点一个时次的均值",
    columns=COLUMNS,
    layout=Layout("tsv", "utf-8", delimiter="\t"),
    entities={"station": "站点编码"},
    base_rows=8_000,
    chunks=chunks,
    soil=soil,
)
