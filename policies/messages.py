"""Turns what pydantic found into a sentence with file, line and field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.problems import Problem
from policies.reading import Document, Path, dotted
from policies.text import Text

_SAID = {
    "missing": Text("缺少这个字段", "this field is missing"),
    "extra_forbidden": Text("没有这个字段（是否拼错？）", "no such field (misspelt?)"),
    "greater_than_equal": Text("不得小于 {ge}", "should be >= {ge}"),
    "greater_than": Text("必须大于 {gt}", "should be > {gt}"),
    "less_than_equal": Text("不得大于 {le}", "should be <= {le}"),
    "less_than": Text("必须小于 {lt}", "should be < {lt}"),
    "literal_error": Text("只能是 {expected}", "should be {expected}"),
    "union_tag_invalid": Text("没有这种检查；可用的有 {expected_tags}", "no such check; known: {expected_tags}"),
    "union_tag_not_found": Text("缺少 check 字段", "the field check is missing"),
    "string_type": Text("应是加引号的文字", "should be text (in quotes)"),
    "string_pattern_mismatch": Text("格式不对，应符合 {pattern}", "should match {pattern}"),
    "string_too_short": Text("不能为空", "should not be empty"),
    "string_too_long": Text("文字过长", "text is too long"),
    "int_type": Text("应是整数", "should be a whole number"),
    "float_type": Text("应是数字", "should be a number"),
    "bool_type": Text("应是 true 或 false", "should be true or false"),
    "date_type": Text("应是不加引号的日期，如 2026-01-31", "should be an unquoted date such as 2026-01-31"),
    "tuple_type": Text("应是列表", "should be a list"),
    "model_type": Text("应是“字段: 值”", "should be 'field: value' lines"),
    "too_short": Text("至少要有 {min_length} 项", "needs at least {min_length} item(s)"),
    "too_long": Text("最多 {max_length} 项", "at most {max_length} item(s)"),
}
_NO_LINE_OF_ITS_OWN = {"union_tag_invalid": "check"}


def problem_of(document: Document, detail: Mapping[str, Any]) -> Problem:
    """One pydantic error as a `Problem` of that document."""
    path = _path(document.data, detail["loc"])
    field = _NO_LINE_OF_ITS_OWN.get(detail["type"])
    if field and "discriminator" in detail.get("ctx", {}):
        path = (*path, str(detail["ctx"]["discriminator"]).strip("'"))
    return Problem(document.file, document.line_of(path), dotted(path), _said(detail))


def _said(detail: Mapping[str, Any]) -> Text:
    said = _SAID.get(detail["type"])
    if said:
        return said.fill(**detail.get("ctx", {}))
    message = str(detail["msg"]).removeprefix("Value error, ")
    zh, _, en = message.partition(" / ")
    return Text(zh, en or zh)


def _path(data: Any, location: tuple[Any, ...]) -> Path:
    """The place in the file: pydantic's location without the names of models and tags it passed through."""
    path: list[str | int] = []
    here = data
    for position, part in enumerate(location):
        last = position == len(location) - 1
        known = isinstance(here, dict) and part in here
        if known or (isinstance(here, tuple) and isinstance(part, int) and part < len(here)):
            here = here[part]
            path.append(part)
        elif last and isinstance(here, dict) and isinstance(part, str):
            path.append(part)
    return tuple(path)
