"""JSON: one record a line, or a document that wraps a list of records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import polars as pl

from pipelines.reading.findings import ReadFinding, finding, refusal
from pipelines.reading.fit import Difference, column_names, refuse
from pipelines.reading.landing import Shape, Sink
from pipelines.reading.layout import unique_names
from pipelines.reading.limits import refuse_wide
from pipelines.reading.recipe import Recipe
from pipelines.reading.source import Survey
from pipelines.reading.textfile import Landed, counted_findings

_BATCH = 20_000
LARGEST_DOCUMENT = 256 * 1024**2
_HEAD = 16 << 20
_DEPTH = 4
Record = dict[str, str | None]


def opens_json(path: Path) -> bool:
    """Whether the text begins as JSON does, in any encoding that the reader knows."""
    with path.open("rb") as handle:
        head = handle.read(256)
    return head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1] in (b"{", b"[")


def json_kind(utf8: Path, suffix: str) -> Literal["ndjson", "json"] | None:
    """Of a text that `opens_json`: most of the first lines are objects, or it is a document; None for other text."""
    with utf8.open("rb") as handle:
        head = _first_lines(handle)
    if not head:
        return None
    objects = sum(isinstance(_parsed(line), dict) for line in head)
    if objects > len(head) / 2 and (len(head) > 1 or suffix.lower() != ".json" or not _holds_list(head[0])):
        return "ndjson"
    if suffix.lower().startswith(".json") or objects or _opens_document(utf8):
        return "json"
    return None


def _first_lines(handle: BinaryIO) -> list[bytes]:
    """Up to twenty lines with something in them, 16 MB of them if the first is not longer."""
    lines: list[bytes] = []
    size = 0
    for _ in range(20):
        line = handle.readline(LARGEST_DOCUMENT)
        size += len(line)
        if lines and size > _HEAD:
            break
        lines += [line] if line.strip() else []
    return lines


def _holds_list(line: bytes) -> bool:
    parsed = _parsed(line)
    return isinstance(parsed, dict) and any(isinstance(v, list | dict) for v in parsed.values())


def _opens_document(utf8: Path) -> bool:
    if utf8.stat().st_size > LARGEST_DOCUMENT:
        return False
    return _parsed(utf8.read_bytes()) is not None


def _parsed(data: bytes) -> Any:
    """Numbers stay as they are written; None when it is not JSON."""
    try:
        return json.loads(data.decode("utf-8"), parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None


def flat(value: dict[str, Any], prefix: str = "", depth: int = 0) -> Record:
    """One record with text values: objects become dotted names, lists and what is nested deeper JSON text."""
    out: Record = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict) and item and depth < _DEPTH:
            out.update(flat(item, f"{name}.", depth + 1))
        else:
            out[name] = _text(item)
    return out


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)


def read_lines(
    seen: Survey, utf8: Path, name: str, hints: Recipe, digest: str, folder: Path, found: list[ReadFinding]
) -> Landed:
    """NDJSON: a line that is not an object goes to quarantine with its place."""
    keys: dict[str, None] = {}
    for _, _, record in _lines(utf8):
        keys.update(dict.fromkeys(record or ()))
        refuse_wide(len(keys))
    if not keys:
        raise refusal("no_table", name=seen.path.name)
    recipe = hints.model_copy(update={"format": "ndjson", "encoding": seen.encoding})
    recipe, sink, adapted = _sink(keys, recipe, digest, folder)
    held: list[Record] = []
    for place, raw, record in _lines(utf8):
        sink.accounting.lines += 1
        if record is not None:
            held.append(record)
        elif not raw.strip():
            sink.accounting.blank += 1
        else:
            sink.refuse(sink.accounting.lines, place, "broken_json", raw.decode("utf-8", "replace").rstrip("\n"))
        if len(held) >= _BATCH:
            _add(sink, keys, held)
            held = []
    _add(sink, keys, held)
    return _landed(name, recipe, sink, [*found, *adapted])


def _lines(utf8: Path) -> Iterator[tuple[int, bytes, Record | None]]:
    place = 0
    with utf8.open("rb") as handle:
        for line in handle:
            parsed = _parsed(line.removeprefix(b"\xef\xbb\xbf")) if line.strip() else None
            yield place, line, flat(parsed) if isinstance(parsed, dict) else None
            place += len(line)


def read_document(
    seen: Survey, utf8: Path, name: str, hints: Recipe, digest: str, folder: Path, found: list[ReadFinding]
) -> Landed:
    """The largest list of objects of a document; lists under several parents are joined and carry the parents' fields.

    Raises:
        UserError: too large to hold in memory, not JSON, or without a list of objects.
    """
    if utf8.stat().st_size > LARGEST_DOCUMENT:
        raise refusal("too_large", name=seen.path.name, limit=f"{LARGEST_DOCUMENT >> 20} MB")
    parsed = _parsed(utf8.read_bytes())
    if parsed is None:
        raise refusal("broken_file", name=seen.path.name)
    lists: dict[str, int] = {}
    _count_lists(parsed, "$", 0, lists)
    path = hints.json_path or max(lists, key=lambda p: (lists[p], -len(p)), default=None)
    if path is None:
        raise refusal("no_table", name=seen.path.name)
    if path not in lists:
        if hints.binds(digest):
            refuse([Difference("json_path", path, ", ".join(lists) or "—")])
        raise refusal("no_work_left", what=path)
    items = list(_items(parsed, path.split(".")[1:], {}))
    if path.count("[*]") > 1:
        found = [*found, finding("nested_flattened", path=path)]
    recipe = hints.model_copy(update={"format": "json", "encoding": seen.encoding, "json_path": path})
    recipe, sink, adapted = _from_items(items, recipe, digest, folder)
    return _landed(name, recipe, sink, [*found, *adapted])


def _count_lists(value: Any, path: str, depth: int, lists: dict[str, int]) -> None:
    """How many objects stand in the lists at each path, such as `$.l[*].st[*]`."""
    if depth > _DEPTH:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if "." not in key:
                _count_lists(item, f"{path}.{key}", depth + 1, lists)
    elif isinstance(value, list) and any(isinstance(v, dict) for v in value):
        here = f"{path}[*]"
        lists[here] = lists.get(here, 0) + sum(isinstance(v, dict) for v in value)
        for item in value:
            _count_lists(item, here, depth, lists)


def _items(value: Any, steps: Sequence[str], inherited: Record) -> Iterator[tuple[Any, Record]]:
    """Elements of the lists at a path, with the plain fields of the list elements they stand in."""
    if not steps:
        elements = value if isinstance(value, list) else []
        yield from ((element, inherited) for element in elements)
        return
    key, many = steps[0].removesuffix("[*]"), steps[0].endswith("[*]")
    below = value.get(key) if isinstance(value, dict) else None
    if not many:
        yield from _items(below, steps[1:], inherited)
    elif len(steps) == 1:
        yield from ((element, inherited) for element in below or [])
    else:
        for parent in below or []:
            plain = parent if isinstance(parent, dict) else {}
            fields = {f"{key}.{k}": _text(v) for k, v in plain.items() if not isinstance(v, list | dict)}
            yield from _items(parent, steps[1:], {**inherited, **fields})


def _from_items(
    items: list[tuple[Any, Record]], recipe: Recipe, digest: str, folder: Path
) -> tuple[Recipe, Sink, list[ReadFinding]]:
    records = [{**inherited, **flat(item)} if isinstance(item, dict) else None for item, inherited in items]
    keys = dict.fromkeys(k for r in records if r for k in r)
    recipe, sink, adapted = _sink(keys, recipe, digest, folder)
    sink.accounting.lines = len(records)
    for number, (record, (item, _)) in enumerate(zip(records, items, strict=True), 1):
        if record is None:
            sink.refuse(number, None, "not_an_object", json.dumps(item, ensure_ascii=False))
    loaded = [r for r in records if r is not None]
    for start in range(0, len(loaded), _BATCH):
        _add(sink, keys, loaded[start : start + _BATCH])
    return recipe, sink, adapted


def _sink(keys: dict[str, None], recipe: Recipe, digest: str, folder: Path) -> tuple[Recipe, Sink, list[ReadFinding]]:
    refuse_wide(len(keys))
    theirs, _ = unique_names(list(keys), len(keys))
    names, adapted = column_names(recipe, Recipe(format=recipe.format, names=tuple(theirs)), digest)
    recipe = recipe.model_copy(update={"names": names, "header_names": tuple(theirs)})
    return recipe, Sink(folder, Shape(names, repeated_headers=False, footers=False)), adapted


def _add(sink: Sink, keys: dict[str, None], records: list[Record]) -> None:
    columns = {f"c{i}": [r.get(k) for r in records] for i, k in enumerate(keys)}
    if records:
        sink.add(pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)))


def _landed(name: str, recipe: Recipe, sink: Sink, found: list[ReadFinding]) -> Landed:
    sink.finish()
    sink.accounting.balance()
    return Landed(name, recipe, sink, [*found, *counted_findings(sink)], {})
