"""The form of an aggregate preview: which tables and columns it offers, and the question that was sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastapi import Request

from api.pages.views import Choice, Sheet
from api.pages.words import text
from sandbox.applications.rowrule import OPERATORS
from sandbox.kernel.unit import Unit
from sandbox.workspaces import preview
from sandbox.workspaces.preview import PreviewTable, Wanted
from sandbox.workspaces.preview_rules import VALUES, Measure, Shown
from sandbox.workspaces.repository import Workspace

GROUPS, MEASURES, CONDITIONS = (1, 2, 3), (1, 2), (1, 2)
_BETWEEN_VALUES = re.compile(r"[、，,;；\n]")
_NONE = Choice("", "—")


def context(request: Request, unit: Unit, workspace: Workspace, sent: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the tab shows of previews. `sent`: typed, result and error of a form that was sent."""
    tables = {t.name: t for t in preview.tables(unit, workspace.id)}
    typed = dict(sent["typed"]) if sent else {}
    named = tables.get(typed.get("table") or request.query_params.get("about", ""))
    about = named or next((t for t in tables.values() if t.withheld is None), next(iter(tables.values()), None))
    return {
        "tables": list(tables), "about": about, "typed": typed, "columns": _columns(about),
        "measures": _measures(about), "operators": [_NONE, *(Choice(op, word) for op, word in OPERATORS.items())],
        "places": {"groups": GROUPS, "measures": MEASURES, "conditions": CONDITIONS}, "limits": preview.limits(unit),
        "records": preview.history(unit, workspace.id), "result": sent["result"] if sent else None,
        "error": sent["error"] if sent else None,
    }  # fmt: skip


def _columns(about: PreviewTable | None) -> list[Choice]:
    return [_NONE, *(Choice(c.name, c.name) for c in (about.columns if about else ()))]


def _measures(about: PreviewTable | None) -> list[Choice]:
    if about is None:
        return [_NONE]
    counts = [Measure("rows"), *([Measure("entities")] if about.keys else [])]
    values = [Measure(kind, c.name) for c in about.numbers for kind in VALUES]
    return [_NONE, *(Choice(f"{m.kind}:{m.column}", m.text) for m in (*counts, *values))]


def wanted(typed: Mapping[str, str]) -> Wanted:
    """The question of a sent form; what was left empty is not asked."""
    measures = [typed.get(f"measure_{n}", "").partition(":") for n in MEASURES]
    conditions = []
    for n in CONDITIONS:
        column, op, values = (typed.get(f"{part}_{n}", "") for part in ("column", "op", "values"))
        if column or op or values:
            listed = [v.strip() for v in _BETWEEN_VALUES.split(values) if v.strip()]
            conditions.append({"column": column, "op": op, "values": listed})
    groups = [typed.get(f"group_{n}", "") for n in GROUPS]
    return Wanted(
        typed.get("table", ""), [g for g in groups if g], [(kind, column) for kind, _, column in measures if kind],
        conditions,
    )  # fmt: skip


def sheet(found: Shown, language: str) -> Sheet:
    """The figures as they are shown: a value withheld says so, which is not the same as a missing one."""
    withheld, width = getattr(text("aggregate.withheld_value"), language), len(found.groups)
    columns = (*found.groups, *(getattr(m.text, language) for m in found.measures))
    rows = ((*row[:width], *(withheld if value is None else value for value in row[width:])) for row in found.rows)
    return Sheet(columns, tuple(rows))
