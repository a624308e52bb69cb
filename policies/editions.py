"""Reads policy editions: strict, locked by digest, cached; says file, line and field when something is wrong.

A published file is never edited. `editions.lock` holds the sha256 of each one in the form `sha256sum -c` reads; a
shipped file that differs from its line, or has none, is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from policies.problems import CalendarMissing, PolicyError, Problem
from policies.schema import KINDS, model_of
from policies.schema.base import Edition, Strict
from policies.text import Text

if TYPE_CHECKING:
    from policies.reading import Document
    from policies.schema.quality import ResourceRules

__all__ = [
    "HOME", "KINDS", "CalendarMissing", "Change", "Edition", "PolicyError", "Problem", "check_resource_rules", "diff",
    "load", "load_file", "load_resource_rules", "load_text", "locked", "publish", "shipped",
]  # fmt: skip

HOME = Path(__file__).parent
LOCK = "editions.lock"
_M = TypeVar("_M", bound=Strict)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two editions; `rule` is empty for the header."""

    rule: str
    field: str
    kind: Literal["added", "removed", "changed"]
    before: Any
    after: Any


def load(kind: str, edition: str | None = None, on: date | None = None, *, root: Path = HOME) -> Edition[Any]:
    """The shipped edition with that name, or the newest in force on `on` (today when left out).

    The result is the typed model of its kind (`policies.schema.<kind>`). Raises `PolicyError`: unknown kind or edition,
    nothing in force on that day, a file that does not fit its model, or one that differs from `editions.lock`.
    """
    model_of(kind)
    if edition is None:
        return _in_force(kind, on or date.today(), root)
    if edition not in shipped(kind, root=root):
        raise PolicyError(
            "policy.unknown_edition",
            Text(f"没有 {kind} 规则的 {edition} 版", f"policy {kind} has no edition '{edition}'"),
            fix=Text(
                f"现有：{'、'.join(shipped(kind, root=root))}", f"there are: {', '.join(shipped(kind, root=root))}"
            ),
        )
    return _shipped_edition(kind, edition, root)


def load_file(path: Path | str) -> Edition[Any]:
    """The edition in any file, published or draft; the lock is not asked."""
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError:
        text = Text(f"读不到规则文件 {path}", f"cannot read policy file {path}")
        raise PolicyError("policy.unreadable", text) from None
    return load_text(raw, str(path))


def load_text(raw: bytes | str, file: str = "-") -> Edition[Any]:
    """The edition in `raw`, as stored at activation; `file` is the name used in messages."""
    from policies.reading import read

    data = raw.encode() if isinstance(raw, str) else raw
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        problem = Problem(file, line, "-", Text("文件不是 UTF-8 编码", "the file is not UTF-8"))
        raise _invalid(file, [problem]) from None
    document = read(text, file)
    kind = document.data.get("policy")
    if kind not in KINDS:
        text_ = Text(f"policy 应为以下之一：{'、'.join(KINDS)}", f"policy should be one of: {', '.join(KINDS)}")
        raise _invalid(file, [Problem(file, document.line_of(("policy",)), "policy", text_)])
    edition = _fit(model_of(kind), document)
    edition._digest = sha256(data).hexdigest()
    edition._full_text = text
    return edition


def load_resource_rules(path: Path | str) -> ResourceRules:
    """A department's declared quality rules. Raises `PolicyError` with lines, as for an edition."""
    from policies.reading import read
    from policies.schema.quality import ResourceRules

    return _fit(ResourceRules, read(Path(path).read_text("utf-8"), str(path)))


def check_resource_rules(path: Path | str, tables: Mapping[str, Collection[str]]) -> None:
    """Hold a department's rules against the tables they are for (name → columns).

    Raises `PolicyError` with file, line and field for every column that its table lacks, and for a file that names none
    of the tables: rules that no table takes up would pass in silence.
    """
    from policies.reading import dotted, read

    document = read(Path(path).read_text("utf-8"), str(path))
    rules = load_resource_rules(path)
    problems = [
        Problem(str(path), document.line_of(place), dotted(place), Text(f"没有列 {column}", f"no column {column}"))
        for place, column in _unknown_columns(rules, tables)
    ]
    if not any(entry.table in tables for entry in rules.tables):
        there = Text("、".join(tables), ", ".join(tables))
        text = Text(f"没有一张表叫这个名字；现有：{there.zh}", f"no table is called so; there are: {there.en}")
        problems.append(Problem(str(path), document.line_of(("tables", 0, "table")), "tables[1].table", text))
    if problems:
        raise _invalid(str(path), problems)


def _unknown_columns(
    rules: ResourceRules, tables: Mapping[str, Collection[str]]
) -> Iterable[tuple[tuple[str | int, ...], str]]:
    """Where a rule names a column that its table lacks: the place in the file, and the column."""
    from policies.schema.quality import columns_of

    for at, entry in enumerate(rules.tables):
        for number, rule in enumerate(entry.rules if entry.table in tables else ()):
            unknown = set(columns_of(rule)) - set(tables[entry.table])
            for field, written in rule.model_dump().items():
                named = written if isinstance(written, tuple) else (written,)
                yield from ((("tables", at, "rules", number, field), c) for c in named if c in unknown)


def shipped(kind: str, *, root: Path = HOME) -> tuple[str, ...]:
    """Names of the editions of `kind` that are on disk, in order of their names."""
    model_of(kind)
    return tuple(sorted(path.stem for path in (root / kind).glob("*.yaml")))


def locked(*, root: Path = HOME) -> dict[str, str]:
    """`kind/edition.yaml` → sha256 of every published file."""
    path = root / LOCK
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines if line.strip())}


def publish(*, root: Path = HOME) -> tuple[str, ...]:
    """Locks every edition that is not locked yet and returns their names; a changed published file is refused."""
    known = locked(root=root)
    new: list[str] = []
    for kind in KINDS:
        for edition in shipped(kind, root=root):
            name = f"{kind}/{edition}.yaml"
            digest = load_file(root / name).digest
            if known.setdefault(name, digest) != digest:
                raise _changed(name)
            new.append(name)
    fresh = tuple(name for name in new if name not in locked(root=root))
    (root / LOCK).write_text("".join(f"{known[name]}  {name}\n" for name in sorted(known)), "utf-8")
    _lock_of.cache_clear()
    _shipped_edition.cache_clear()
    return fresh


def diff(a: Edition[Any], b: Edition[Any]) -> tuple[Change, ...]:
    """What changes from `a` to `b`: header fields first, then rules added, removed and changed field by field."""
    if a.kind != b.kind:
        text = Text(f"{a.kind} 与 {b.kind} 不是同一种规则", f"{a.kind} and {b.kind} are different kinds")
        raise PolicyError("policy.different_kinds", text)
    before, after = ({rule.id: _flat(rule.model_dump()) for rule in edition.rules} for edition in (a, b))
    changes = list(_changes("", _flat(a.model_dump(exclude={"rules"})), _flat(b.model_dump(exclude={"rules"}))))
    for rule_id in dict.fromkeys((*before, *after)):
        if rule_id not in after:
            changes.append(Change(rule_id, "", "removed", before[rule_id], None))
        elif rule_id not in before:
            changes.append(Change(rule_id, "", "added", None, after[rule_id]))
        else:
            changes.extend(_changes(rule_id, before[rule_id], after[rule_id]))
    return tuple(changes)


def _in_force(kind: str, on: date, root: Path) -> Edition[Any]:
    editions = [_shipped_edition(kind, name, root) for name in shipped(kind, root=root)]
    current = [edition for edition in editions if edition.effective_from <= on]
    if not current:
        raise PolicyError(
            "policy.none_in_force",
            Text(f"{on} 没有生效的 {kind} 规则", f"no edition of policy {kind} is in force on {on}"),
            fix=Text("请由合规官发布并激活一版规则", "have a compliance officer publish and activate one"),
        )
    return max(current, key=lambda edition: (edition.effective_from, edition.edition))


@lru_cache(maxsize=256)
def _shipped_edition(kind: str, edition: str, root: Path) -> Edition[Any]:
    name = f"{kind}/{edition}.yaml"
    raw = (root / name).read_bytes()
    known = _lock_of(root).get(name)
    if known is None:
        raise PolicyError(
            "policy.not_published",
            Text(f"规则文件 {name} 尚未登记摘要", f"policy file {name} is not in {LOCK}"),
            fix=Text("先检查，再发布登记", "lint it, then publish it"),
        )
    if known != sha256(raw).hexdigest():
        raise _changed(name)
    found = load_text(raw, f"policies/{name}")
    if (found.kind, found.edition) != (kind, edition):
        text = Text(
            f"文件 {name} 里写的是 {found.kind} {found.edition}", f"{name} says it is {found.kind} {found.edition}"
        )
        raise PolicyError("policy.wrong_place", text)
    return found


@lru_cache(maxsize=8)
def _lock_of(root: Path) -> dict[str, str]:
    return locked(root=root)


def _changed(name: str) -> PolicyError:
    return PolicyError(
        "policy.changed",
        Text(f"已发布的规则文件 {name} 被改动", f"published policy file {name} was changed"),
        fix=Text("恢复原文件；要改规则请另发新版", "restore it; to change a rule, publish a new edition"),
        problems=[Problem(f"policies/{name}", 0, "-", Text("摘要与登记不符", f"digest differs from {LOCK}"))],
    )


def _invalid(file: str, problems: list[Problem]) -> PolicyError:
    return PolicyError(
        "policy.invalid",
        Text(f"规则文件 {file} 有 {len(problems)} 处错误", f"{len(problems)} mistake(s) in policy file {file}"),
        fix=Text("按所列行号逐处改正后再检查", "correct each listed line and check again"),
        problems=problems,
    )


def _fit(model: type[_M], document: Document) -> _M:
    from pydantic import ValidationError

    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        from policies.messages import problem_of

        found = [problem_of(document, detail) for detail in error.errors(include_url=False, include_input=False)]
        raise _invalid(document.file, list(dict.fromkeys(found))) from None


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Text):
        value = value.as_dict()
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat.update(_flat(inner, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def _changes(rule: str, before: dict[str, Any], after: dict[str, Any]) -> Iterable[Change]:
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            yield Change(rule, name, "removed", before[name], None)
        elif name not in before:
            yield Change(rule, name, "added", None, after[name])
        elif before[name] != after[name]:
            yield Change(rule, name, "changed", before[name], after[name])
