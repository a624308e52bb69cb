"""Who lives in the demonstration city, and how its departments describe their tables."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.kernel import accounts, demonstration
from sandbox.kernel.identity import OrganisationKind, Role
from sandbox.kernel.unit import Platform, Unit

CITY = "示范市"
SEED = 20260101
SCALE = 0.25
"""about 3,000 residents and 30,000 rows in all: quick to walk through, large enough for statistics"""

STARTS = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
"""the city's clock starts on this working Monday at nine, in a year whose calendar is published"""

OPERATOR = "示范市公共数据运营有限公司"
AUTHORITY = "示范市政务服务和数据管理局"

STAFF: tuple[tuple[str, OrganisationKind, Role, str, str], ...] = (
    (OPERATOR, OrganisationKind.OPERATOR, Role.OPERATOR, "operator", "运营专员"),
    (OPERATOR, OrganisationKind.OPERATOR, Role.COMPLIANCE, "officer1", "合规专员甲"),
    (OPERATOR, OrganisationKind.OPERATOR, Role.COMPLIANCE, "officer2", "合规专员乙"),
    (AUTHORITY, OrganisationKind.AUTHORITY, Role.AUDITOR, "auditor", "安全审计员"),
    ("示范市公安局", OrganisationKind.DEPARTMENT, Role.DEPARTMENT, "police", "公安局数据专员"),
    ("示范市卫生健康局", OrganisationKind.DEPARTMENT, Role.DEPARTMENT, "health", "卫健局数据专员"),
    ("示范市市场监督管理局", OrganisationKind.DEPARTMENT, Role.DEPARTMENT, "market", "市场监管局数据专员"),
    ("示范市人力资源和社会保障局", OrganisationKind.DEPARTMENT, Role.DEPARTMENT, "labour", "人社局数据专员"),
    ("示范市交通运输局", OrganisationKind.DEPARTMENT, Role.DEPARTMENT, "transport", "交通局数据专员"),
    ("示范市行政审批局", OrganisationKind.DEPARTMENT, Role.DEPARTMENT, "approval", "审批局数据专员"),
    ("示范市教育局", OrganisationKind.DEPARTMENT, Role.DEPARTMENT, "education", "教育局数据专员"),
    ("示范市生态环境局", OrganisationKind.DEPARTMENT, Role.DEPARTMENT, "environment", "生态局数据专员"),
    ("示范市民政局", OrganisationKind.DEPARTMENT, Role.DEPARTMENT, "civil", "民政局数据专员"),
)
"""organisation, kind, role, login, name of the person"""

LOGIN_OF_DEPARTMENT = {name: login for name, kind, _, login, _ in STAFF if kind is OrganisationKind.DEPARTMENT}
PROTECTED_KINDS = frozenset({"person", "organisation", "card"})
"""kinds of entities whose records need protection; public institutions (clinics, schools, stations) do not"""
KINDS = {"organisation": "enterprise"}
"""kind in the city's own records → as the platform calls it"""
DETERMINED: dict[str, dict[str, dict[str, Any]]] = {
    "门诊就诊": {"person": {"determined_by": {"就诊流水号": "就诊"}, "missing_share_max": 0.02}},
    "社保缴费": {
        "person": {"determined_by": {"缴费流水号": "缴费"}, "missing_share_max": 0.02},
        "enterprise": {"determined_by": {"缴费流水号": "缴费"}, "missing_share_max": 0.02},
    },
    "公交刷卡": {"card": {"determined_by": {"交易流水号": "乘车"}, "missing_share_max": 0.02}},
    "许可处罚": {"enterprise": {"determined_by": {"文书号": "文书"}, "missing_share_max": 0.1}},
    "居民登记": {"person": {"missing_share_max": 0.02}},
    "企业登记": {"enterprise": {"missing_share_max": 0.02}},
}
"""table → kind → what else determines its entities, and the share of rows that may lack a key"""

REFERENCES: dict[str, list[tuple[str, str, str]]] = {
    "门诊就诊": [
        ("身份证号", "居民登记", "身份证号"), ("患者姓名", "居民登记", "姓名"), ("性别", "居民登记", "性别"),
        ("联系电话", "居民登记", "手机号"),
    ],
    "社保缴费": [
        ("身份证号", "居民登记", "身份证号"), ("姓名", "居民登记", "姓名"),
        ("单位统一社会信用代码", "企业登记", "统一社会信用代码"), ("单位名称", "企业登记", "企业名称"),
    ],
    "许可处罚": [
        ("统一社会信用代码", "企业登记", "统一社会信用代码"), ("行政相对人名称", "企业登记", "企业名称"),
        ("法定代表人", "企业登记", "法定代表人"),
    ],
}  # fmt: skip
"""table → (column, other table, its column)"""

FOLLOWS: dict[str, dict[str, dict[str, str]]] = {
    "居民登记": {
        "身份证号": {"sex": "性别", "birth": "出生日期"},
        "现住址": {"district": "所属区", "street": "所属街道"},
    },
    "企业登记": {"住所": {"district": "所属区", "street": "所属街道"}},
    "学校": {"地址": {"district": "所属区", "street": "所属街道"}},
}
SUMS: dict[str, list[tuple[str, list[str]]]] = {
    "门诊就诊": [("费用", ["医保支付", "自付金额"])],
    "社保缴费": [("缴费合计", ["单位缴费额", "个人缴费额"])],
}
QUALITY: dict[str, list[dict[str, Any]]] = {
    "居民登记": [
        {"kind": "unique_key", "columns": ["身份证号"]},
        {"kind": "required", "columns": ["身份证号", "姓名", "性别", "出生日期"]},
        {"kind": "check_digit", "column": "身份证号", "scheme": "resident_id"},
        {"kind": "range", "column": "年龄", "min": 0.0, "max": 120.0},
        {"kind": "code_list", "column": "性别", "values": ["男", "女"]},
        {"kind": "date_order", "columns": ["出生日期", "登记日期"]},
        {"kind": "encoded", "column": "出生日期", "id_column": "身份证号", "part": "birth"},
        {"kind": "update_cycle", "days": 31},
    ],
    "门诊就诊": [
        {"kind": "unique_key", "columns": ["就诊流水号"]},
        {"kind": "required", "columns": ["就诊流水号", "身份证号", "就诊日期", "费用"]},
        {"kind": "range", "column": "费用", "min": 0.0, "max": 1_000_000.0},
        {"kind": "total", "column": "费用", "parts": ["医保支付", "自付金额"], "tolerance": 0.005},
        {"kind": "reference", "columns": ["身份证号"], "to_table": "居民登记", "to_columns": ["身份证号"]},
    ],
    "企业登记": [
        {"kind": "unique_key", "columns": ["统一社会信用代码"]},
        {"kind": "check_digit", "column": "统一社会信用代码", "scheme": "uscc"},
    ],
}


@dataclass(frozen=True, slots=True)
class CityTable:
    """One table of the city as its department registers and delivers it."""

    key: str
    name: str
    department: str
    login: str
    path: Path
    registration: dict[str, Any]


def build_files(folder: Path, *, scale: float = SCALE) -> list[CityTable]:
    """Write the city's files (once) and describe each the way its department would."""
    import json

    from synthetic.city.build import build

    marker = folder / "truth.json"
    if not marker.exists():
        part = folder.with_name(folder.name + ".part")
        build(part, seed=SEED, scale=scale)
        part.rename(folder)
    truth = json.loads(marker.read_text(encoding="utf-8"))
    return [_table(folder, entry) for entry in truth["tables"]]


def _table(folder: Path, entry: dict[str, Any]) -> CityTable:
    name = entry["title"]
    return CityTable(
        key=entry["key"], name=name, department=entry["department"], login=LOGIN_OF_DEPARTMENT[entry["department"]],
        path=folder / entry["files"][0],
        registration={
            "name": name, "description": f"{entry['department']}{name}，{entry['grain']}", "update_cycle": "每月",
            "registration_code": f"SF-2026-{entry['key'].upper()}",
            "entities": _entities(name, entry["entities"]),
            "declared": _declared(name, entry["columns"]),
        },
    )  # fmt: skip


def _entities(name: str, keys: dict[str, str]) -> dict[str, Any]:
    """Whose records a table holds, as its department declares it: protected kinds with what else determines them."""
    kinds = {KINDS.get(kind, kind): column for kind, column in keys.items() if kind in PROTECTED_KINDS}
    further = DETERMINED.get(name, {})
    return {kind: {"column": column, **further.get(kind, {})} for kind, column in kinds.items()}


def _declared(name: str, columns: list[dict[str, Any]]) -> dict[str, Any]:
    """What the department says about its columns: meaning, ties within a row, references, sums, quality rules."""
    follows = FOLLOWS.get(name, {})
    return {
        "columns": {
            c["name"]: {"comment": c["comment"], "semantic": c["semantic"], "follows": follows.get(c["name"], {})}
            for c in columns
        },
        "references": [{"column": c, "resource": t, "to": o} for c, t, o in REFERENCES.get(name, [])],
        "sums": [{"total": total, "parts": parts} for total, parts in SUMS.get(name, [])],
        "quality": QUALITY.get(name, []),
    }


def password_of(platform: Platform) -> str:
    """The demonstration accounts' password: made once for this installation, readable by its owner only."""
    path = platform.settings.keys_root / "demo-password"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(f"demo-{secrets.token_hex(4)}", encoding="utf-8")
    return path.read_text(encoding="utf-8")


def found(unit: Unit, password: str) -> None:
    """Create the city's institutions and accounts, once, and mark the installation as a demonstration."""
    demonstration.mark(unit, CITY, STARTS)
    organisations: dict[str, accounts.Organisation] = {}
    for organisation, kind, role, login, person in STAFF:
        if organisation not in organisations:
            organisations[organisation] = accounts.create_organisation(unit, kind, organisation)
        accounts.create_account(unit, organisations[organisation], role, login, person, password)
