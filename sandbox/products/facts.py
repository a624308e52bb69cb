"""What a catalogue says about tables, written beside the files: for commands that work without a platform.

A folder holds one parquet or UTF-8 CSV file a table, named by its alias in the job, and `catalog.yaml`:

```yaml
tables:
  visit:
    file: visits-2026.csv        # left out: visit.parquet, else visit.csv
    level: 3                     # 1 to 4; left out: 4, as for anything unmarked
    entities:                    # whose records these are; {} says: nobody's
      person: {column: pid, determined_by: [pid, vid], missing_share_max: 0.01}
      clinic: {column: cid, holding: group}
    columns:                     # left out: sensitive
      fee: {role: sensitive, perturb: shuffle}
      district: {role: open}
      name: {role: quasi, identifier: true}
  lineitem:
    entities:
      customer: {column: l_orderkey, through: {table: orders, key: o_orderkey, owner: o_custkey}}
```

`determined_by` lists columns whose value determines the entity. In a list every column is a value space of its own; a
mapping names the space (`{l_orderkey: order}`), and columns of one name in several tables may then be compared. What is
claimed there is checked against the files. A granted input that the catalogue leaves out is an error: nobody has then
said whose records it holds.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationError, model_validator

from policies.text import Text
from sandbox.kernel.errors import BadInput
from sandbox.products import factcheck
from sandbox.products.source import (
    MEMORY,
    THREADS,
    EntityKey,
    Perturbation,
    Role,
    Source,
    Through,
    column_names,
    scan,
)
from sandbox.products.spec import JobSpec
from sandbox.products.spec_errors import SpecError, SpecProblem, as_problems, load_text
from sandbox.products.spec_parts import Alias, Name, Part, refuse

if TYPE_CHECKING:
    import duckdb
    import polars as pl

FILE = "catalog.yaml"
KIND = "entity"
"""The kind of a bare `--entity COLUMN`."""


class ThroughFact(Part):
    """The entity is known by another table of the folder: its column `key` is looked up, its column `owner` names the
    entity."""

    table: Name
    key: Name
    owner: Name


class EntityFact(Part):
    """Whose records the rows of a table are, for one kind of entity."""

    column: Name
    determined_by: Annotated[list[Name] | dict[Name, Name], Field(default_factory=list)]
    through: ThroughFact | None = None
    holding: Name | None = None
    missing_share_max: Annotated[float, Field(ge=0, le=1)] = 1.0


class ColumnFact(Part):
    """What a column is (`role`), how it may be perturbed, and whether it names people directly (`identifier`)."""

    role: Role | None = None
    perturb: Perturbation | None = None
    identifier: bool = False


class TableFact(Part):
    """One table. `entities` is never left out: nobody's records are `{}`."""

    file: Name | None = None
    level: Annotated[int, Field(ge=1, le=4)] = 4
    entities: Annotated[dict[Alias, EntityFact], Field(max_length=8)]
    columns: Annotated[dict[Name, ColumnFact], Field(default_factory=dict)]

    @model_validator(mode="after")
    def _file_stays_inside(self) -> TableFact:
        if self.file is not None and ("/" in self.file or "\\" in self.file or self.file.startswith(".")):
            raise refuse("file_name", "只写本文件夹内的文件名", "a bare file name of the same folder")
        return self


class Catalogue(Part):
    """The facts of every table in a folder."""

    tables: Annotated[dict[Alias, TableFact], Field(min_length=1, max_length=200)]


class FactsError(BadInput):
    """The catalogue cannot be used; `problems` lists every reason with its line and field."""

    def __init__(self, problems: Sequence[SpecProblem], name: str = FILE) -> None:
        self.problems = list(problems)
        zh = "；".join(f"{f'第 {p.line} 行 ' if p.line else ''}{p.path or '整体'}：{p.zh}" for p in problems)
        en = "; ".join(f"{f'line {p.line}, ' if p.line else ''}{p.path or 'whole file'}: {p.en}" for p in problems)
        super().__init__(
            "catalogue.invalid", Text(f"{name} 有误：{zh}", f"{name} is not valid: {en}"),
            fix=Text("请按提示逐项修改", "Correct each place named"),
            problems=[{"path": p.path, "line": p.line, "zh": p.zh, "en": p.en} for p in problems],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Declared:
    """A catalogue and the line of every place in its text."""

    catalogue: Catalogue
    lines: Mapping[tuple[str | int, ...], int] = field(default_factory=dict)

    def problem(self, place: tuple[str, ...], zh: str, en: str) -> SpecProblem:
        """A problem at `place`, with the line of the nearest place above it that the text has."""
        known = place
        while known and known not in self.lines:
            known = known[:-1]
        return SpecProblem(".".join(place), self.lines.get(known), zh, en)


def parse_catalogue(source: str | bytes) -> Declared:
    """Read a catalogue from YAML or JSON text. Raises `FactsError` with every problem at once."""
    try:
        data, lines = load_text(source)
    except SpecError as error:
        raise FactsError(error.problems) from None
    try:
        return Declared(Catalogue.model_validate(data), lines)
    except ValidationError as error:
        raise FactsError(as_problems(error, data, lines)) from None


def sources_in(folder: Path, spec: JobSpec, scratch: Path, entities: Sequence[str] = ()) -> dict[str, Source]:
    """The inputs of `spec` from the files of `folder`, with the facts of its catalogue or of `entities`.

    `entities`: `COLUMN` or `kind=alias.column`, in place of a catalogue. `scratch`: an existing folder for the typed
    copies, which the sources refer to. Raises `FactsError` for a catalogue that does not fit the files and `BadInput`
    where a file is missing or nothing says whose records the inputs hold.
    """
    text = folder / FILE
    declared = parse_catalogue(text.read_bytes()) if text.is_file() else None
    if (declared is None) == (not entities):
        raise BadInput(
            "facts.whose",
            Text(f"请用 {FILE} 或 --entity 之一说明表里是谁的记录", f"say whose records these are: {FILE} or --entity"),
            fix=Text("写成 --entity 种类=输入.列", "write --entity kind=alias.column"),
        )  # fmt: skip
    facts = declared.catalogue.tables if declared else {}
    files = {alias: _file_of(folder, alias, facts.get(alias)) for alias in spec.inputs}
    if declared is None:
        return described(files, scratch, entities)
    others = {e.through.table for t in facts.values() for e in t.entities.values() if e.through}
    files |= {name: _file_of(folder, name, facts.get(name)) for name in others - set(files)}
    return _Built(declared, spec, files, scratch).sources()


def described(files: Mapping[str, Path], scratch: Path, entities: Sequence[str] = ()) -> dict[str, Source]:
    """Named files as sources without a catalogue: each entity is `COLUMN`, of every input that has it, or
    `kind=alias.column`. Roles are not known, so every column counts as sensitive and every table as level 4."""
    sources = {a: _plain(path, scratch / f"{number}.parquet") for number, (a, path) in enumerate(files.items())}
    keys: dict[str, list[EntityKey]] = {alias: [] for alias in sources}
    for text in entities:
        kind, mark, place = text.partition("=")
        alias, dot, column = place.partition(".")
        named = {alias: column} if mark and dot else dict.fromkeys(sources, text)
        fitting = {a: c for a, c in named.items() if a in sources and c in column_names(sources[a])}
        if not fitting or (mark and not dot):
            raise BadInput("check.entity", Text(f"来源中没有主体列 {text}", f"no source has the entity column {text}"))
        for a, c in fitting.items():
            keys[a].append(EntityKey(kind if mark else KIND, c))
    return {alias: replace(source, keys=tuple(keys[alias])) for alias, source in sources.items()}


def _file_of(folder: Path, alias: str, fact: TableFact | None) -> Path:
    names = [fact.file] if fact and fact.file else [f"{alias}.parquet", f"{alias}.csv"]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    wanted = " / ".join(names)
    raise BadInput("facts.no_file", Text(f"缺少 {alias} 的文件（{wanted}）", f"no file for {alias} ({wanted})"))


def _plain(path: Path, target: Path) -> Source:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Source(files=(str(typed_copy(path, target)),), digest=f"sha256:{digest}", level=4)


class _Built:
    """The sources of one folder under one catalogue; finds every claim that the files do not bear out."""

    def __init__(self, declared: Declared, spec: JobSpec, files: Mapping[str, Path], scratch: Path) -> None:
        self._declared = declared
        self._spec = spec
        self._plain = {name: _plain(path, scratch / f"{n}.parquet") for n, (name, path) in enumerate(files.items())}
        self._problems: list[SpecProblem] = []

    def sources(self) -> dict[str, Source]:
        found = {alias: self._source(alias) for alias in self._spec.inputs}
        if not self._problems:
            self._verify(found)
        if self._problems:
            raise FactsError(sorted(self._problems, key=lambda p: (p.line or 0, p.path)))
        return found

    def _source(self, alias: str) -> Source:
        plain, fact = self._plain[alias], self._declared.catalogue.tables.get(alias)
        if self._spec.inputs[alias].upload:
            if fact and fact.entities:
                self._note(
                    ("tables", alias, "entities"),
                    "上传数据不属于任何主体，不能声明主体",
                    "an upload's rows belong to nobody",
                )
            return plain
        if fact is None:
            self._note(
                ("tables", alias), "作业用到此表，但目录没有说明", "the job reads it and nothing is said about it"
            )
            return plain
        names = column_names(plain)
        for name in set(fact.columns) - set(names):
            self._note(("tables", alias, "columns", name), "文件中没有这一列", "the file has no such column")
        return replace(
            plain,
            keys=tuple(self._key(alias, kind, one, names) for kind, one in fact.entities.items()),
            identifiers=tuple(n for n, c in fact.columns.items() if c.identifier),
            roles={n: c.role for n, c in fact.columns.items() if c.role},
            perturb={n: c.perturb for n, c in fact.columns.items() if c.perturb},
            level=fact.level,
        )

    def _key(self, alias: str, kind: str, fact: EntityFact, names: Sequence[str]) -> EntityKey:
        place = ("tables", alias, "entities", kind)
        own = {"column": [fact.column], "holding": [fact.holding] if fact.holding else [],
               "determined_by": list(fact.determined_by)}  # fmt: skip
        for what, columns in own.items():
            for name in set(columns) - set(names):
                self._note((*place, what), f"文件中没有列 {name}", f"the file has no column {name}")
        through = self._through(place, fact.through) if fact.through else None
        spaces = fact.determined_by
        if isinstance(spaces, list):
            spaces = {name: f"{alias}.{name}" for name in spaces}
        if through is None:
            spaces = {name: space for name, space in spaces.items() if name != fact.column}
        return EntityKey(kind, fact.column, spaces, through, fact.holding, fact.missing_share_max)

    def _through(self, place: tuple[str, ...], fact: ThroughFact) -> Through:
        other = self._plain[fact.table]
        for what in ("key", "owner"):
            if getattr(fact, what) not in column_names(other):
                name = getattr(fact, what)
                self._note((*place, "through", what), f"{fact.table} 中没有列 {name}", f"{fact.table} has no {name}")
        return Through(other.files, fact.key, fact.owner)

    def _verify(self, found: Mapping[str, Source]) -> None:
        """What ingestion verifies of a published table (`factcheck`): a column that is said to determine the entity
        does, in every table that shares its values; a key that is looked up names one row."""
        import duckdb

        with duckdb.connect(":memory:", config={"threads": THREADS, "memory_limit": MEMORY}) as con:
            keys = [(alias, source, key) for alias, source in found.items() for key in source.keys]
            views = {(alias, key.kind): _view(con, n, source, key) for n, (alias, source, key) in enumerate(keys)}
            for place, (alias, _source, key) in enumerate(keys):
                at = ("tables", alias, "entities", key.kind)
                if key.through and factcheck.repeated(con, key):
                    self._note((*at, "through"), "同一键值在对照表中出现多次", "a key stands in several rows there")
                for name in factcheck.determining(key):
                    if factcheck.several(con, views[alias, key.kind], name):
                        zh, en = f"{name} 的同一取值对应多个主体", f"one value of {name} has several entities"
                        self._note((*at, "determined_by"), zh, en)
                for other, _table, theirs in keys[:place]:
                    self._compare(con, at, (key, views[alias, key.kind]), (theirs, views[other, theirs.kind]), other)

    def _compare(
        self, con: duckdb.DuckDBPyConnection, at: tuple[str, ...], here: tuple[EntityKey, str],
        there: tuple[EntityKey, str], other: str,
    ) -> None:  # fmt: skip
        """A value space that two tables share leads to one entity in both."""
        if here[0].kind != there[0].kind:
            return
        for column, theirs in factcheck.shared(here[0], there[0]):
            if factcheck.elsewhere(con, here[1], column, there[1], theirs):
                zh = f"{column} 的同一取值在 {other} 中属于另一个主体"
                self._note((*at, "determined_by"), zh, f"a value of {column} is another entity's in {other}")

    def _note(self, place: tuple[str, ...], zh: str, en: str) -> None:
        self._problems.append(self._declared.problem(place, zh, en))


def _view(con: duckdb.DuckDBPyConnection, number: int, source: Source, key: EntityKey) -> str:
    """A view of the rows with their entity; its name."""
    known, rows = f"keys_{number}", f"rows_{number}"
    con.execute(f"CREATE TABLE {known} AS {factcheck.entities(scan(source), key)}")
    con.execute(f"CREATE VIEW {rows} AS {factcheck.with_entity(scan(source), key, known)}")
    return rows


def typed_copy(path: Path, target: Path) -> Path:
    """A copy of a table as parquet under a name of our own. CSV columns become numbers or dates only where every value
    is one; codes (leading zeros, more than 15 digits) stay text."""
    import polars as pl

    if path.suffix.lower() == ".parquet":
        shutil.copyfile(path, target)
        return target
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError):
        text = Text(f"来源 {path.name} 须是 parquet 或 UTF-8 CSV", f"source {path.name} must be parquet or UTF-8 CSV")
        raise BadInput("check.source", text) from None
    frame.select(_typed(frame[name]) for name in frame.columns).write_parquet(target)
    return target


def _typed(column: pl.Series) -> pl.Series:
    import polars as pl

    plain = column.str.strip_chars().replace("", None)
    forms = {
        r"^-?(0|[1-9][0-9]{0,14})$": pl.Int64,
        r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?$": pl.Float64,
        r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$": pl.Date,
    }
    for form, dtype in forms.items():
        if plain.len() > plain.null_count() and plain.str.contains(form).all():
            typed = plain.str.to_date(strict=False) if dtype == pl.Date else plain.cast(dtype)
            return typed if typed.null_count() == plain.null_count() else column
    return column
