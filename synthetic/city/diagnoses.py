"""What people go to the clinic for: department, ICD-10 code, when, at what age, at what price. Weights are assumed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SEASONS = {
    "冬": (2.2, 1.9, 1.4, 0.9, 0.6, 0.5, 0.5, 0.5, 0.7, 0.9, 1.4, 2.0),
    "夏": (0.5, 0.5, 0.7, 0.9, 1.2, 1.6, 1.8, 1.8, 1.5, 1.0, 0.7, 0.5),
    "春秋": (0.7, 0.9, 1.6, 1.7, 1.2, 0.7, 0.6, 0.6, 1.1, 1.5, 1.3, 0.8),
    "蚊": (0.05, 0.05, 0.1, 0.2, 0.5, 0.9, 1.4, 2.0, 2.8, 3.0, 1.2, 0.2),  # dengue follows mosquitoes
    "平": (1.0,) * 12,
}
AGE_GROUPS = (0, 14, 36, 60, 200)  # child, young, middle, old
_CHILD, _YOUNG, _MIDDLE, _OLD, _ADULT, _ALL = (
    (1, 0, 0, 0), (0, 1, 0.35, 0.05), (0, 0.35, 1, 0.7), (0, 0.05, 0.5, 1.4), (0, 0.9, 1, 1), (1, 1, 1, 1),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Diagnosis:
    department: str
    code: str
    name: str
    weight: float
    season: str
    ages: tuple[float, ...]
    sex: str  # 男, 女, or empty for both
    fee: float  # median in yuan


DIAGNOSES = tuple(
    Diagnosis(*entry)
    for entry in (
        ("呼吸内科", "J06.900", "急性上呼吸道感染", 11, "冬", _ADULT, "", 145),
        ("呼吸内科", "J20.900", "急性支气管炎", 4, "冬", _ADULT, "", 260),
        ("呼吸内科", "J10.101", "流行性感冒", 4, "冬", _ADULT, "", 210),
        ("呼吸内科", "J44.900", "慢性阻塞性肺疾病", 2.5, "冬", _OLD, "", 420),
        ("呼吸内科", "J45.900", "支气管哮喘", 1.2, "春秋", _ALL, "", 330),
        ("消化内科", "K29.700", "胃炎", 5, "平", _ADULT, "", 310),
        ("消化内科", "A09.000", "急性胃肠炎", 4, "夏", _ADULT, "", 220),
        ("消化内科", "K21.900", "胃食管反流病", 1.6, "平", _MIDDLE, "", 360),
        ("心血管内科", "I10.x00", "高血压病", 9, "冬", _OLD, "", 240),
        ("心血管内科", "I25.101", "冠状动脉粥样硬化性心脏病", 3.2, "冬", _OLD, "", 520),
        ("内分泌科", "E11.900", "2型糖尿病", 6, "平", _OLD, "", 330),
        ("内分泌科", "E03.900", "甲状腺功能减退症", 1.2, "平", _MIDDLE, "女", 280),
        ("内分泌科", "M10.900", "痛风", 1.8, "夏", _MIDDLE, "男", 260),
        ("神经内科", "G43.900", "偏头痛", 1.6, "平", _YOUNG, "", 300),
        ("神经内科", "I63.900", "脑梗死", 1.6, "冬", _OLD, "", 880),
        ("骨科", "M47.800", "颈椎病", 3.2, "平", _MIDDLE, "", 290),
        ("骨科", "M51.202", "腰椎间盘突出", 3, "平", _MIDDLE, "", 380),
        ("骨科", "S93.401", "踝关节扭伤", 1.6, "平", _YOUNG, "", 240),
        ("皮肤科", "L20.900", "特应性皮炎", 2, "夏", _ALL, "", 170),
        ("皮肤科", "L50.900", "荨麻疹", 2.2, "春秋", _ALL, "", 160),
        ("皮肤科", "L70.000", "寻常痤疮", 1.4, "夏", _YOUNG, "", 190),
        ("儿科", "J06.903", "小儿急性上呼吸道感染", 42, "冬", _CHILD, "", 165),
        ("儿科", "B08.401", "手足口病", 12, "夏", _CHILD, "", 230),
        ("儿科", "A08.001", "轮状病毒性肠炎", 9, "冬", _CHILD, "", 250),
        ("儿科", "J18.001", "小儿支气管肺炎", 8, "冬", _CHILD, "", 480),
        ("妇科", "N76.000", "阴道炎", 3.4, "夏", _YOUNG, "女", 260),
        ("妇科", "N92.600", "月经不调", 2.2, "平", _YOUNG, "女", 240),
        ("产科", "Z34.900", "正常妊娠监督", 4.5, "平", (0, 1, 0.08, 0), "女", 420),
        ("泌尿外科", "N40.x00", "前列腺增生", 3, "平", (0, 0, 0.25, 1.4), "男", 340),
        ("泌尿外科", "N20.000", "肾结石", 1.4, "夏", _MIDDLE, "", 620),
        ("眼科", "H10.900", "结膜炎", 2, "春秋", _ALL, "", 130),
        ("眼科", "H25.900", "老年性白内障", 1.8, "平", (0, 0, 0.05, 1.4), "", 680),
        ("耳鼻喉科", "J30.400", "过敏性鼻炎", 3, "春秋", _ALL, "", 200),
        ("耳鼻喉科", "H66.900", "中耳炎", 1.2, "冬", _ALL, "", 230),
        ("口腔科", "K02.900", "龋齿", 3.4, "平", _ALL, "", 360),
        ("口腔科", "K05.300", "慢性牙周炎", 2, "平", _MIDDLE, "", 410),
        ("中医科", "U50.100", "失眠（不寐）", 2.2, "平", _MIDDLE, "", 280),
        ("感染科", "A90.x00", "登革热", 0.9, "蚊", _ADULT, "", 540),
        ("感染科", "B18.106", "慢性乙型病毒性肝炎", 1.2, "平", _MIDDLE, "", 450),
        ("精神心理科", "F41.101", "广泛性焦虑障碍", 1.3, "平", _YOUNG, "", 350),
    )
)


def draw(
    rng: np.random.Generator, months: NDArray[np.int64], ages: NDArray[np.int64], male: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """A diagnosis for each visit, given its month (0–11) and the patient's age and sex."""
    groups = np.searchsorted(AGE_GROUPS, ages, side="right") - 1
    situation = (months * 4 + groups) * 2 + male
    out = np.empty(len(months), dtype=np.int64)
    for value in np.unique(situation):
        rows = np.flatnonzero(situation == value)
        month, group, sex = value // 8, value // 2 % 4, "男" if value % 2 else "女"
        weights = np.array([_weight(d, month, group, sex) for d in DIAGNOSES])
        edges = np.cumsum(weights)
        out[rows] = np.searchsorted(edges, rng.random(len(rows)) * edges[-1], side="right")
    return out


def _weight(diagnosis: Diagnosis, month: int, group: int, sex: str) -> float:
    if diagnosis.sex not in ("", sex):
        return 0.0
    return diagnosis.weight * SEASONS[diagnosis.season][month] * diagnosis.ages[group]
