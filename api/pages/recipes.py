"""The recipe's form: the decisions people make most, a line a column for types, and the rest as JSON."""

from __future__ import annotations

import json
from typing import Any

from api.pages.inputs import FormProblem
from api.pages.words import text
from api.pages.words_catalog import TYPES
from policies.text import Text

FIELDS: tuple[tuple[str, str], ...] = (
    ("encoding", "text"), ("delimiter", "text"), ("quote", "text"), ("header", "choice"), ("header_row", "number"),
    ("skip", "number"), ("missing", "lines"),
)  # fmt: skip
"""decisions with a field of their own, and how each is entered; an empty one is left to the reader"""
_TYPED = {label: name for name, text_ in TYPES.items() for label in (name, text_.zh, text_.en)}
_ESCAPES = {"\\t": "\t", "tab": "\t"}


def form_of(recipe: dict[str, Any]) -> dict[str, str]:
    """The form's entries for a recipe; `rest` holds what has no field of its own."""
    own = {name for name, _ in FIELDS}
    rest = {k: v for k, v in recipe.items() if k not in own}
    shown = {name: _entry(recipe.get(name)) for name in own}
    return shown | {"types": "", "rest": json.dumps(rest, ensure_ascii=False, indent=1) if rest else ""}


def _entry(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return "\n".join(map(str, value))
    return "\\t" if value == "\t" else str(value)


def recipe_from(typed: dict[str, str]) -> dict[str, Any]:
    """The recipe that the form says. Raises `FormProblem` naming each entry that does not hold."""
    problems: dict[str, Text] = {}
    recipe = _rest(typed["rest"], problems)
    for name, kind in FIELDS:
        whole = kind == "lines" or name == "delimiter"  # a space may be what separates
        entered = typed[name] if whole else typed[name].strip()
        if entered:
            _enter(recipe, name, kind, entered, problems)
    _retype(recipe, typed["types"], problems)
    if problems:
        raise FormProblem(problems)
    return recipe


def _rest(typed: str, problems: dict[str, Text]) -> dict[str, Any]:
    try:
        found = json.loads(typed) if typed.strip() else {}
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    problems["rest"] = text("recipe.not_json")
    return {}


def _enter(recipe: dict[str, Any], name: str, kind: str, entered: str, problems: dict[str, Text]) -> None:
    if kind == "number" and not entered.isdecimal():
        problems[name] = text("input.number")
    elif kind == "number":
        recipe[name] = int(entered)
    elif kind == "choice":
        recipe[name] = entered == "yes"
    elif kind == "lines":
        recipe[name] = entered.splitlines()
    else:
        recipe[name] = _ESCAPES.get(entered, entered)


def _retype(recipe: dict[str, Any], typed: str, problems: dict[str, Text]) -> None:
    """Lines "列名：类型"; a column gets its type anew, with the formats of the old one forgotten."""
    columns = {c["name"]: c for c in recipe.get("columns", []) if isinstance(c, dict) and "name" in c}
    for number, line in enumerate(typed.splitlines(), start=1):
        name, colon, kind = line.replace(":", "：", 1).partition("：")
        if line.strip() and (not colon or kind.strip() not in _TYPED):
            problems["types"] = text("recipe.type_line", line=number)
        elif line.strip():
            kept = {k: v for k, v in columns.get(name.strip(), {}).items() if k in ("missing", "fold_width")}
            columns[name.strip()] = {"name": name.strip(), "type": _TYPED[kind.strip()], **kept}
    if columns:
        recipe["columns"] = list(columns.values())
