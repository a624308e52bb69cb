"""One closed DuckDB connection over exactly the files of a job, its inputs visible as views named by alias."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from policies.text import Text
from sandbox.catalog.entityfacts import Perturbation as Perturbation
from sandbox.catalog.entityfacts import Role as Role
from sandbox.catalog.keys import normal_key
from sandbox.kernel.errors import BadInput
from sandbox.workspaces.engine import identifier as quote
from sandbox.workspaces.engine import literal

if TYPE_CHECKING:
    import duckdb

MEMORY = "2GB"
THREADS = 2


@dataclass(frozen=True, slots=True)
class Through:
    """Another table of the lake that knows the owner: its column `key` is looked up, its column `owner` is the
    entity's key. It is read by the gate only and never seen by the job."""

    files: tuple[str, ...]
    key: str
    owner: str


@dataclass(frozen=True, slots=True)
class EntityKey:
    """A catalogue fact: rows of this table belong to the entity of `kind` whose key is in `column`.

    With `through`, `column` holds a key of the other table instead. `determined_by`: every further column whose value
    determines the entity → name of its domain; columns of one domain share their values. `column` itself is of the
    domain `kind`, unless it leads through another table. `holding`: the column that names the group of enterprises the
    entity belongs to. `missing_share_max`: the largest share of rows without an owner that a job may rest on.
    """

    kind: str
    column: str
    determined_by: Mapping[str, str] = field(default_factory=dict)
    through: Through | None = None
    holding: str | None = None
    missing_share_max: float = 1.0

    @property
    def domains(self) -> dict[str, str]:
        """Every column whose value determines the entity → its domain."""
        own = {} if self.through else {self.column: self.kind}
        return {**self.determined_by, **own}


@dataclass(frozen=True, slots=True)
class Source:
    """An input's parquet files (absolute paths), its digest, and whose records it holds.

    No `keys` means reference data: its rows belong to nobody. That is a catalogue fact and must be stated by the
    caller. `columns` are those granted (None: all of them): the job sees exactly what it saw when it ran, while keys
    reach the evidence under hidden names, granted or not.
    """

    files: tuple[str, ...]
    digest: str
    keys: tuple[EntityKey, ...] = ()
    identifiers: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    rows: str = ""
    """the grant's row rule as SQL that the platform wrote; empty for every row"""
    roles: Mapping[str, Role] = field(default_factory=dict)
    """column → role; what is not listed is sensitive, and key columns are keys whatever is listed"""
    perturb: Mapping[str, Perturbation] = field(default_factory=dict)
    """`domain`: a coded column, whose values are exchanged for other codes of it"""
    coded: bool = False
    """the file is a twin: the column of each key (and `holding`) holds codes of entities, not the keys themselves"""
    level: int = 1
    """the grade of the data (1–4): it decides how many halves are deleted"""

    def role(self, column: str) -> Role:
        """The role of a column in the proofs; `sensitive` where nobody has said otherwise."""
        keys = {c for key in self.keys for c in (key.column, *key.determined_by)}
        return "key" if column in keys else self.roles.get(column, "sensitive")

    @property
    def hidden_keys(self) -> tuple[EntityKey, ...]:
        """The keys under the names the evidence reads them by; no specification can name them."""
        return tuple(EntityKey(key.kind, f"__key_{key.kind}") for key in self.keys)

    @property
    def identifier_columns(self) -> tuple[str, ...]:
        """Key columns and the columns graded as direct identifiers: what a released value must not lead back to."""
        return tuple(dict.fromkeys([*(key.column for key in self.keys), *self.identifiers]))


class EvidenceError(BadInput):
    """The evidence could not be derived. The text never holds a database message: it could quote a record."""

    def __init__(self, code: str, text: Text, fix: Text | None = None, **detail: object) -> None:
        super().__init__(code, text, fix=fix, **detail)


@contextmanager
def opened(
    sources: Mapping[str, Source], only: Mapping[str, str] | None = None, *, whole: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that can read these files and nothing else.

    A view per alias has the granted columns and the hidden keys, or with `whole` every column of the files; `only`
    restricts an alias to rows of an SQL condition. Scratch files go to a private directory that is removed at the end.
    """
    import duckdb

    from sandbox.workspaces.engine import in_city_time

    files = [literal(f) for source in sources.values() for f in source.files]
    with tempfile.TemporaryDirectory(prefix="pds-evidence-") as scratch:
        options = {"threads": THREADS, "memory_limit": MEMORY, "temp_directory": scratch}
        con = duckdb.connect(":memory:", config=options)
        try:
            in_city_time(con)
            con.execute(f"SET allowed_paths=[{', '.join(files)}]")
            con.execute("SET enable_external_access=false")
            con.execute("SET lock_configuration=true")
            for alias, source in sources.items():
                paths = ", ".join(literal(f) for f in source.files)
                kept = [f"({c})" for c in (source.rows, (only or {}).get(alias)) if c]
                where = f" WHERE {' AND '.join(kept)}" if kept else ""
                columns = "*" if whole else _visible(source)
                con.execute(f"CREATE VIEW {quote(alias)} AS SELECT {columns} FROM read_parquet([{paths}]){where}")
            yield con
        except duckdb.Error as error:
            raise _refusal(error) from None
        finally:
            con.close()


def _visible(source: Source) -> str:
    keys = [
        f"{quote(key.column)} AS {quote(hidden.column)}"
        for key, hidden in zip(source.keys, source.hidden_keys, strict=True)
    ]
    return ", ".join([*map(quote, column_names(source)), *keys])


def _refusal(error: Exception) -> EvidenceError:
    if "mixed_owner" in str(error):
        return EvidenceError(
            "evidence.mixed_owner",
            Text("有记录同时属于两个不同的主体，无法确定归属", "Some rows belong to two different entities at once"),
            Text("请按主体标识连接各输入", "Join the inputs on the key of the entity"),
        )
    return EvidenceError(
        "evidence.not_derivable",
        Text("平台未能在源数据上重算该作业", "The platform could not recompute the job on the source data"),
        Text("请检查列名、类型和取值", "Check column names, types and values"),
        error_class=type(error).__name__,
    )


def half(column: str, seed: int) -> str:
    """Condition that keeps a random half of the entities (and every row without a key)."""
    key = normal_key(quote(column))
    return f"({key} IS NULL OR {kept(key, seed)})"


def kept(key: str, seed: int) -> str:
    """Whether the entity with this normalised key is in the half that `seed` keeps."""
    return f"hash({key} || ':{seed:x}') % 2 = 0"


def column_names(source: Source) -> list[str]:
    """Columns a job may read of an input: those granted, else all, in the order of the file."""
    names = file_columns(source)
    return names if source.columns is None else [name for name in names if name in source.columns]


def file_columns(source: Source) -> list[str]:
    """Every column of an input's files."""
    import pyarrow.parquet as pq

    return list(pq.read_schema(source.files[0]).names)
