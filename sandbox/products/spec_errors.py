"""Reading job text safely, and saying what is wrong with it: field path, line, both languages."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import ValidationError

from policies.problems import PolicyError
from policies.reading import dotted, read
from policies.text import Text
from sandbox.kernel.errors import BadInput

MAX_TEXT = 64 * 1024
"""Bytes of job text accepted; a declared job is a page long."""

MAX_DEPTH = 20
"""Levels of nesting read; a job has eight."""

Path = tuple[str | int, ...]

_MESSAGES = {
    "missing": ("缺少此项", "this field is required"),
    "extra_forbidden": ("不认识的字段", "unknown field"),
    "literal_error": ("只能取：{expected}", "must be one of: {expected}"),
    "string_type": ("须是文本", "must be text"),
    "int_type": ("须是整数", "must be a whole number"),
    "float_type": ("须是数值", "must be a number"),
    "bool_type": ("须是 true 或 false", "must be true or false"),
    "dict_type": ("须是一组键值", "must be a mapping of keys"),
    "model_type": ("须是一组键值", "must be a mapping of keys"),
    "list_type": ("须是列表", "must be a list"),
    "too_short": ("至少要有 {min_length} 项", "needs at least {min_length}"),
    "too_long": ("最多 {max_length} 项", "at most {max_length} allowed"),
    "string_too_short": ("不能为空", "must not be empty"),
    "string_too_long": ("最多 {max_length} 个字符", "at most {max_length} characters"),
    "greater_than": ("须大于 {gt}", "must be greater than {gt}"),
    "less_than": ("须小于 {lt}", "must be less than {lt}"),
    "greater_than_equal": ("不能小于 {ge}", "must be at least {ge}"),
    "less_than_equal": ("不能大于 {le}", "must be at most {le}"),
}


@dataclass(frozen=True, slots=True)
class SpecProblem:
    """One thing wrong: `path` such as measures.人次.op, `line` counted from 1 (None where the job was not text)."""

    path: str
    line: int | None
    zh: str
    en: str


class SpecError(BadInput):
    """The job specification cannot be used; `problems` lists every reason found."""

    def __init__(self, problems: list[SpecProblem]) -> None:
        self.problems = problems
        super().__init__(
            "job.invalid",
            Text(
                "作业说明有误：" + "；".join(map(_zh, problems)),
                "The job is not valid: " + "; ".join(map(_en, problems)),
            ),
            fix=Text("请按提示逐项修改后重新提交", "Correct each place named and submit again"),
            problems=[{"path": p.path, "line": p.line, "zh": p.zh, "en": p.en} for p in problems],
        )


def _zh(problem: SpecProblem) -> str:
    line = f"第 {problem.line} 行 " if problem.line else ""
    return f"{line}{problem.path or '整体'}：{problem.zh}"


def _en(problem: SpecProblem) -> str:
    line = f"line {problem.line}, " if problem.line else ""
    return f"{line}{problem.path or 'whole job'}: {problem.en}"


def as_problems(
    error: ValidationError, data: object, lines: dict[Path, int], inside: Collection[str] = ()
) -> list[SpecProblem]:
    """One problem a place, in the order of the text; the branches of a union count as one.

    `inside`: fields that the model has at the top and the text has under `product`.
    """
    written = set(_paths(data, ()))
    grouped: dict[Path, list[Any]] = {}
    for item in error.errors(include_url=False):
        item["loc"] += tuple(item.get("ctx", {}).get("place", ()))
        if item["loc"] and item["loc"][0] in inside:
            item["loc"] = ("product", *item["loc"])
        grouped.setdefault(_place(item, written), []).append(item)
    found = [SpecProblem(dotted(p) if p else "", _line(p, lines), *_message(items)) for p, items in grouped.items()]
    return sorted(found, key=lambda p: (p.line or 0, p.path))


def _paths(node: object, place: Path) -> Iterator[Path]:
    yield place
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from _paths(value, (*place, key))


def _place(item: Any, written: set[Path]) -> Path:
    """Pydantic adds union branches and `[key]` to a location; people look for what they wrote, or forgot to."""
    place: Path = ()
    for step in item["loc"]:
        if (*place, step) in written or (item["type"] == "missing" and step is item["loc"][-1]):
            place = (*place, step)
    return place


def _line(place: Path, lines: dict[Path, int]) -> int | None:
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place)


def line_of(path: str, lines: dict[Path, int]) -> int | None:
    """The line of a dotted path, or of the nearest place above it that the text has."""
    return _line(tuple(path.split(".")), lines)


def _message(items: list[Any]) -> tuple[str, str]:
    ours = [item["ctx"] for item in items if "zh" in item.get("ctx", {})]
    if ours:
        return ours[0]["zh"], ours[0]["en"]
    pair = _MESSAGES.get(items[0]["type"])
    if pair is None or len(items) > 1:
        return "类型或取值不符合要求", "wrong kind of value"
    context = items[0].get("ctx", {})
    return pair[0].format(**context), pair[1].format(**context)


def load_text(source: str | bytes) -> tuple[Any, dict[Path, int]]:
    """Plain data from YAML or JSON text and the line of each place.

    Read with the policy files' reader: anchors, aliases, tags, duplicate keys and ambiguous scalars are refused.
    """
    try:
        text = source.decode("utf-8-sig") if isinstance(source, bytes) else source.removeprefix("\ufeff")
        size = len(text.encode())
    except UnicodeError:
        raise SpecError([SpecProblem("", None, "文件须是 UTF-8 编码", "the file must be UTF-8")]) from None
    if size > MAX_TEXT:
        raise SpecError([SpecProblem("", None, f"超过 {MAX_TEXT} 字节", f"longer than {MAX_TEXT} bytes")])
    try:
        _refuse_nesting(text)
        document = read(text, "job", colons=True)
    except PolicyError as error:
        raise SpecError(
            [SpecProblem("" if p.field == "-" else p.field, p.line, p.text.zh, p.text.en) for p in error.problems]
        ) from None
    return _plain(document.data), document.lines


def _refuse_nesting(text: str) -> None:
    """Aliases are followed, and depth is paid for, before the reader can refuse them: nested ones would never end."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    depth = 0
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            kind = type(event).__name__
            depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
            line = event.start_mark.line + 1
            if kind == "AliasEvent":
                raise SpecError([SpecProblem("", line, "不允许使用 YAML 别名", "YAML aliases are not allowed")])
            if depth > MAX_DEPTH:
                raise SpecError([SpecProblem("", line, "嵌套过深", "nested too deep")])
    except YAMLError:
        return  # the reader says what is wrong with it, and where


def _plain(node: Any) -> Any:
    """Lists for tuples; dates as ISO text, so that the YAML and the JSON of one job have one digest."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, tuple):
        return [_plain(value) for value in node]
    return node.isoformat() if isinstance(node, date) else node
