"""From graded columns to the field plan of the simulation: what each column means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.catalog.repository import ResourceColumn
from synthetic.fields import GENERATED, Field

SEMANTIC_OF_ENTITY = {
    "PERSON": "person_name",
    "CN_RESIDENT_ID": "resident_id",
    "CN_MOBILE": "mobile",
    "CN_LANDLINE": "landline",
    "CN_USCC": "uscc",
    "CN_BANK_CARD": "bank_card",
    "CN_PLATE": "plate",
    "EMAIL_ADDRESS": "email",
    "ADDRESS": "address",
    "ORGANIZATION": "organisation",
}
_AMOUNTS = ("金额", "费", "资本", "基数", "收入", "价", "万元")
_TEXTS = ("备注", "说明", "内容", "事由", "描述")
MOST_CATEGORIES = 200
"""distinct values up to which a text column counts as categories (assumed)"""
_NUMBERED = re.compile(r"(号|号码|编号|代码|编码|\b(id|no|number|code|key))$", re.IGNORECASE)
_SERIAL = 0.9
"""share of distinct values from which a column named like a number is a serial (assumed)"""


def plan(
    columns: Sequence[ResourceColumn], declared: Mapping[str, Any], references: Mapping[str, tuple[str, str]], rows: int
) -> list[Field]:
    """One field a column: what the department declared, else what detection found, else what type and name say.

    A text column that none of them explains gets the meaning "", which the plan check refuses with a question for the
    operator. `references`: column → (parent table, its column). `rows`: rows of the table.
    """
    said = {name: c.get("semantic", "") for name, c in declared.get("columns", {}).items()}
    meaning = {c.name: _never_modelled(c, said.get(c.name) or _meaning(c, rows)) for c in columns}
    return [_field(c, meaning, references, declared) for c in columns]


def _field(
    column: ResourceColumn, meaning: Mapping[str, str], references: Mapping[str, tuple[str, str]],
    declared: Mapping[str, Any],
) -> Field:  # fmt: skip
    described = declared.get("columns", {}).get(column.name, {})
    # A time or number that names somebody has no key's shape to imitate: it is drawn without looking at a row.
    blind = column.identifier_role == "direct" and meaning[column.name] not in GENERATED
    return Field(
        name=column.name, dtype=column.type, semantic=meaning[column.name],  # type: ignore[arg-type]
        role="sensitive" if blind else column.identifier_role, blind=blind, level=column.level,  # type: ignore[arg-type]
        unique=bool(described.get("unique", False)), comment=column.comment,
        codes=tuple(described.get("codes", ())), references=references.get(column.name),
        follows=dict(described.get("follows", {})),
    )  # fmt: skip


def _never_modelled(column: ResourceColumn, meaning: str) -> str:
    """A direct identifier is never learned: one that no provider knows is made up in the shape of a key."""
    named = column.identifier_role == "direct" and column.type in ("text", "integer")
    return "key" if named and meaning not in GENERATED else meaning


def _meaning(column: ResourceColumn, rows: int) -> str:
    """Meaning by detection, type and name; "" when nothing explains a text column."""
    if column.entity in SEMANTIC_OF_ENTITY:
        return SEMANTIC_OF_ENTITY[column.entity]
    if column.type in ("date", "timestamp"):
        return column.type
    if column.type in ("integer", "decimal"):
        return "amount" if any(word in column.name for word in _AMOUNTS) else "number"
    if column.type == "boolean":
        return "category"
    return _meaning_of_text(column, rows)


def _meaning_of_text(column: ResourceColumn, rows: int) -> str:
    if _NUMBERED.search(column.name) and column.distinct >= _SERIAL * max(1, rows - column.missing):
        return "key"
    if any(word in column.name for word in _TEXTS):
        return "free_text"
    if column.name in ("区", "区县", "行政区"):
        return "district"
    if "街道" in column.name:
        return "street"
    return "category" if 0 < column.distinct <= MOST_CATEGORIES else ""
