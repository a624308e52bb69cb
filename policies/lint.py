"""Checks all editions together: what one file alone cannot show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from policies.editions import HOME, KINDS, LOCK, Edition, load_file, locked
from policies.problems import PolicyError, Problem
from policies.text import Text

PREFIXES = {
    "grading": "GRD", "quality": "QUA", "simulation": "SIM", "workspace": "WSP", "export": "EXP", "deadlines": "DDL",
    "calendar": "CAL",
}  # fmt: skip
"""The first letters of every rule id of a kind."""

_OWN_PROPOSAL = "本平台"


def lint(paths: Sequence[Path | str] | None = None, *, root: Path = HOME) -> list[Problem]:
    """Every problem found; an empty list means clean.

    Without `paths` all editions under `root` are checked, with the lock and the chain of editions. With `paths` the
    given drafts are checked, and compared with the published editions of their kind for reused rule ids.
    """
    if paths is not None:
        return _drafts([Path(path) for path in paths], root)
    editions, problems = _read(_published(root))
    problems += _lock(root)
    for kind in KINDS:
        of_kind = [(path, edition) for path, edition in editions if edition.kind == kind]
        problems += _names(of_kind) + _ids(of_kind) + _chain(of_kind)
    return problems


def _drafts(paths: list[Path], root: Path) -> list[Problem]:
    drafts, problems = _read(paths)
    published, _ = _read(_published(root))
    for path, draft in drafts:
        earlier = [(p, e) for p, e in published if e.kind == draft.kind and p.resolve() != path.resolve()]
        problems += _own(path, draft) + _ids([*earlier, (path, draft)])
        known = {edition.edition for _, edition in earlier}
        if draft.supersedes is not None and draft.supersedes not in known:
            problems.append(_at(path, draft, "supersedes", _NO_SUCH.fill(edition=draft.supersedes)))
    return problems


def _published(root: Path) -> list[Path]:
    return [path for kind in KINDS for path in sorted((root / kind).glob("*.yaml"))]


def _read(paths: Iterable[Path]) -> tuple[list[tuple[Path, Edition[Any]]], list[Problem]]:
    editions: list[tuple[Path, Edition[Any]]] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            editions.append((path, load_file(path)))
        except PolicyError as error:
            problems += error.problems or (Problem(str(path), 0, "-", error.text),)
    return editions, problems


_NO_SUCH = Text("取代的 {edition} 版不存在", "there is no edition {edition} to supersede")


def _lock(root: Path) -> list[Problem]:
    known = locked(root=root)
    there = {f"{path.parent.name}/{path.name}": path for path in _published(root)}
    problems = [
        Problem(str(root / name), 0, "-", Text(f"{LOCK} 中有此文件，但文件不在了", f"in {LOCK}, but the file is gone"))
        for name in known
        if name not in there
    ]
    for name, path in there.items():
        if name not in known:
            problems.append(Problem(str(path), 0, "-", Text("尚未登记摘要", f"not in {LOCK}")))
        elif known[name] != sha256(path.read_bytes()).hexdigest():
            problems.append(Problem(str(path), 0, "-", Text("已发布的文件被改动", "a published file was changed")))
    return problems


def _own(path: Path, edition: Edition[Any]) -> list[Problem]:
    """Faults one edition shows by itself, beyond its model."""
    problems = []
    for number, rule in enumerate(edition.rules):
        if not rule.id.startswith(f"{PREFIXES[edition.kind]}-"):
            text = Text(f"编号应以 {PREFIXES[edition.kind]}- 开头", f"ids start with {PREFIXES[edition.kind]}-")
            problems.append(_at(path, edition, f"rules[{number + 1}].id", text, rule.id))
        if rule.status == "verified" and rule.basis.startswith(_OWN_PROPOSAL):
            text = Text("自定的取值不能标为已核实", "a value of our own cannot be marked verified")
            problems.append(_at(path, edition, f"rules[{number + 1}].status", text, rule.id))
    return problems


def _names(editions: list[tuple[Path, Edition[Any]]]) -> list[Problem]:
    problems = []
    for path, edition in editions:
        problems += _own(path, edition)
        if path.stem != edition.edition or path.parent.name != edition.kind:
            text = Text("文件名与内容中的种类或版次不符", "the file's name differs from its kind or edition")
            problems.append(_at(path, edition, "edition", text))
    return problems


def _ids(editions: list[tuple[Path, Edition[Any]]]) -> list[Problem]:
    """A rule id means one predicate for ever; reused for another it would make old verdicts unreadable."""
    meaning: dict[str, tuple[str, str]] = {}
    problems = []
    for path, edition in sorted(editions, key=lambda item: (item[1].effective_from, item[1].edition)):
        for number, rule in enumerate(edition.rules):
            check, first = meaning.setdefault(rule.id, (rule.check, edition.edition))
            if check != rule.check:
                text = Text(
                    f"编号 {rule.id} 在 {first} 版表示 {check}，不得改作他用",
                    f"id {rule.id} means {check} since edition {first}",
                )
                problems.append(_at(path, edition, f"rules[{number + 1}].id", text, rule.id))
    return problems


def _chain(editions: list[tuple[Path, Edition[Any]]]) -> list[Problem]:
    """Each edition but the first supersedes one earlier edition, and no two the same (a calendar: within its year)."""
    by_name = {edition.edition: edition for _, edition in editions}
    roots: dict[str, str] = {}
    taken: dict[str, str] = {}
    problems = []
    for path, edition in editions:
        line = edition.edition[:4] if edition.kind == "calendar" else edition.kind
        before = edition.supersedes
        if before is None:
            if roots.setdefault(line, edition.edition) != edition.edition:
                problems.append(_at(path, edition, "supersedes", _TWO_FIRST.fill(edition=roots[line])))
            continue
        if before not in by_name:
            problems.append(_at(path, edition, "supersedes", _NO_SUCH.fill(edition=before)))
        elif by_name[before].effective_from > edition.effective_from or before >= edition.edition:
            problems.append(_at(path, edition, "supersedes", _NOT_EARLIER.fill(edition=before)))
        elif taken.setdefault(before, edition.edition) != edition.edition:
            problems.append(_at(path, edition, "supersedes", _TAKEN.fill(edition=before, other=taken[before])))
    return problems


_TWO_FIRST = Text(
    "{edition} 已是首版，本版须写明取代哪一版", "{edition} is the first edition; say which one this supersedes"
)
_NOT_EARLIER = Text("被取代的 {edition} 版并不更早", "edition {edition} is not earlier")
_TAKEN = Text("{edition} 版已被 {other} 版取代", "edition {edition} is superseded by {other} already")


def _at(path: Path, edition: Edition[Any], field: str, text: Text, rule: str | None = None) -> Problem:
    """The problem with the line where `field` (or the rule with that id) is written."""
    wanted = f"id: {rule}" if rule else f"{field}:"
    written = edition.full_text.splitlines()
    line = next((n for n, content in enumerate(written, 1) if content.lstrip(" -").startswith(wanted)), 0)
    return Problem(str(path), line, field, text)
