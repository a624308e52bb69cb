"""示范市, a city that does not exist: six districts, thirty-six streets, and the roads and estates on them.

Beside it the districts of Guangzhou with some of their streets (public names of the administrative division, not
complete): tables that use these names get addresses that agree with them, on roads that do not exist there.

Region codes 4499xx are not assigned: no prefecture of Guangdong has the code 4499 in the statistics bureau's list
(`synthetic/city/reference/areas_guangdong.csv`). District names were invented; some happen to exist in other cities,
which is why an address always starts with 示范市.
"""

from __future__ import annotations

from dataclasses import dataclass

from synthetic.providers.pools import listed

CITY = "示范市"
CITY_CODE = "449900"


@dataclass(frozen=True, slots=True)
class Street:
    """A street office (街道) or town (镇) with roads that lie inside it and estates, each at one road and number."""

    code: str
    name: str
    roads: tuple[str, ...]
    estates: tuple[tuple[str, str], ...]  # (road and number, estate name)


@dataclass(frozen=True, slots=True)
class District:
    code: str
    name: str
    income: float  # average income relative to the city
    weight: float  # share of the population
    longitude: float
    latitude: float
    streets: tuple[Street, ...]


_STREETS = {  # street and the stem of its roads
    "东湖区": "云栖:学府 望湖:湖滨 科苑:创新 松涛:听松 桃园:桃源 临港:港湾",
    "西岭区": "翠岭:翠竹 石门:石门 梅溪:梅花 枫林:枫叶 青坑镇:青山 凤岗镇:凤凰",
    "南屏区": "南苑:南华 金屏:金桂 海棠:海棠 工业园:振兴 沙头:沙河 银滩镇:银海",
    "北辰区": "星河:星光 北站:站前 荣安:荣华 大埔岗:埔心 长庚:长乐 辰山镇:晨光",
    "中和区": "鼓楼:鼓楼 府前:府前 人和:人民 西关:宝华 文庙:文德 东堤:沿江",
    "江口区": "江湾:江湾 渡口:渡头 三洲镇:三洲 芦苇镇:芦花 平沙镇:平安 莲塘镇:莲花",
}
_GUANGZHOU = {  # residents in 10,000 (census of 2020, rounded; assumed), streets and towns
    "越秀区": (104, "北京 六榕 流花 东山 农林 梅花村 黄花岗 建设 登峰 珠光"),
    "海珠区": (182, "赤岗 新港 昌岗 江南中 滨江 沙园 凤阳 琶洲 南洲 官洲"),
    "荔湾区": (124, "沙面 华林 多宝 逢源 龙津 金花 西村 桥中 花地 白鹤洞"),
    "天河区": (224, "五山 员村 车陂 石牌 天河南 林和 棠下 猎德 冼村 龙洞"),
    "白云区": (374, "三元里 松洲 景泰 同德 棠景 新市 同和 永平 石井 太和镇 人和镇 江高镇"),
    "黄埔区": (126, "黄埔 鱼珠 大沙 文冲 穗东 南岗 夏港 萝岗 联和 新龙镇"),
    "番禺区": (266, "市桥 沙头 东环 桥南 小谷围 大石 洛浦 钟村 南村镇 石楼镇"),
    "花都区": (164, "新华 花城 秀全 新雅 狮岭镇 花东镇 炭步镇 赤坭镇 花山镇"),
    "南沙区": (85, "南沙 珠江 龙穴 黄阁镇 万顷沙镇 横沥镇 东涌镇 榄核镇 大岗镇"),
    "从化区": (72, "街口 城郊 江埔 温泉镇 良口镇 吕田镇 太平镇 鳌头镇"),
    "增城区": (147, "荔城 增江 朱村 永宁 荔湖 宁西 新塘镇 石滩镇 中新镇 派潭镇"),
}
_FACTS = {  # code, income, weight, longitude, latitude
    "东湖区": ("449902", 1.28, 0.22, 114.62, 22.61),
    "西岭区": ("449903", 0.86, 0.13, 114.38, 22.66),
    "南屏区": ("449904", 0.97, 0.19, 114.52, 22.49),
    "北辰区": ("449905", 1.03, 0.20, 114.55, 22.75),
    "中和区": ("449906", 1.12, 0.16, 114.51, 22.60),
    "江口区": ("449907", 0.79, 0.10, 114.74, 22.52),
}
_ESTATES = listed("锦绣花园 阳光小区 翠湖名苑 金域华府 和谐家园 丽景苑 康乐新村 滨江豪庭 龙腾雅苑 幸福里")
_TAILS = ("大道", "路", "一街", "中路", "东路", "二巷")


def _street(code: str, name: str, stem: str, place: int) -> Street:
    roads = tuple(stem + _TAILS[(place + turn) % len(_TAILS)] for turn in range(4))
    estates = tuple(
        (f"{roads[turn]}{(place * 37 + turn * 58) % 180 + 6}号", stem + _ESTATES[(place * 3 + turn) % len(_ESTATES)])
        for turn in range(3)
    )
    return Street(code, _full(name), roads, estates)


def _full(name: str) -> str:
    return name if name.endswith("镇") else name + "街道"


def _district(name: str, place: int) -> District:
    code, income, weight, longitude, latitude = _FACTS[name]
    streets = tuple(
        _street(f"{code}{turn + 1:03d}", short, stem, place * 6 + turn)
        for turn, (short, stem) in enumerate(pair.split(":") for pair in _STREETS[name].split())
    )
    return District(code, name, income, weight, longitude, latitude, streets)


DISTRICTS: tuple[District, ...] = tuple(_district(name, place) for place, name in enumerate(_STREETS))
STREETS: tuple[tuple[District, Street], ...] = tuple((d, s) for d in DISTRICTS for s in d.streets)
GUANGZHOU: dict[str, tuple[int, tuple[str, ...]]] = {
    name: (people, tuple(_full(street) for street in streets.split())) for name, (people, streets) in _GUANGZHOU.items()
}
"""district → its residents in 10,000 and its streets"""
STREETS_OF: dict[str, tuple[str, ...]] = {
    **{d.name: tuple(s.name for s in d.streets) for d in DISTRICTS},
    **{name: streets for name, (_, streets) in GUANGZHOU.items()},
}
