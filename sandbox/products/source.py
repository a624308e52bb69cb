"""One closed DuckDB connection over exactly the files of a job, its inputs visible as views named by alias."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from policies.text import Text
from sandbox.kernel.errors import BadInput
from sandbox.workspaces.engine import identifier as quote
from sandbox.workspaces.engine import literal

if TYPE_CHECKING:
    import duckdb

MEMORY = "2GB"
THREADS = 2
_room: dict[str, str | int] = {"memory_limit": MEMORY, "threads": THREADS}

Role = Literal["key", "quasi", "sensitive", "open"]
Perturbation = Literal["shuffle", "domain"]


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
    def identifier_columns(self) -> tuple[str, ...]:
        """Key columns and the columns graded as direct identifiers: what a released value must not lead back to."""
        return tuple(dict.fromkeys([*(key.column for key in self.keys), *self.identifiers]))


class EvidenceError(BadInput):
    """The evidence could not be derived. The text never holds a database message: it could quote a record."""

    def __init__(self, code: str, text: Text, fix: Text | None = None, **detail: object) -> None:
        super().__init__(code, text, fix=fix, **detail)


def within(memory_mb: int, threads: int) -> None:
    """What each connection that this process opens from now on may use; a proof's jail has a process of its own."""
    _room.update(memory_limit=f"{memory_mb}MB", threads=threads)


@contextmanager
def opened(sources: Mapping[str, Source], *, whole: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that can read these files and nothing else.

    A view per alias has the granted columns, or with `whole` every column of the files. Scratch files go to a private
    directory that is removed at the end.
    """
    import duckdb

    from sandbox.workspaces.engine import in_city_time

    through = [f for s in sources.values() for key in s.keys if key.through for f in key.through.files]
    files = [literal(f) for f in [*(f for s in sources.values() for f in s.files), *through]]
    with tempfile.TemporaryDirectory(prefix="pds-evidence-") as scratch:
        con = duckdb.connect(":memory:", config={**_room, "async_threads": 1, "temp_directory": scratch})
        try:
            in_city_time(con)
            con.execute(f"SET allowed_paths=[{', '.join(files)}]")
            con.execute("SET enable_external_access=false")
            con.execute("SET lock_configuration=true")
            for alias, source in sources.items():
                where = f" WHERE {source.rows}" if source.rows else ""
                columns = "*" if whole else ", ".join(map(quote, column_names(source)))
                con.execute(f"CREATE VIEW {quote(alias)} AS SELECT {columns} FROM {scan(source)}{where}")
            yield con
        except duckdb.Error as error:
            raise _refusal(error) from None
        finally:
            con.close()


def scan(source: Source | Through) -> str:
    """The files as a table function."""
    return f"read_parquet([{', '.join(map(literal, source.files))}])"


def _refusal(error: Exception) -> EvidenceError:
    import duckdb

    from sandbox.products.carrier.refusals import runtime

    known = runtime(str(error))
    if known is not None:
        code = "evidence.mixed_owner" if "mixed_owner" in str(error) else "evidence.refused_at_run_time"
        return EvidenceError(code, *known)
    if isinstance(error, duckdb.OutOfRangeException) or "DECIMAL" in str(error).upper():
        return EvidenceError(
            "evidence.out_of_range",
            Text(
                "有数值超出可以精确计算的范围（38 位）", "A number is beyond what can be computed exactly (38 digits)"
            ),
            Text("请先换算成较大的单位", "Convert to a larger unit first"),
        )
    return EvidenceError(
        "evidence.not_derivable",
        Text("平台未能在源数据上重算该作业", "The platform could not recompute the job on the source data"),
        Text("请检查列名、类型和取值", "Check column names, types and values"),
        error_class=type(error).__name__,
    )


def column_names(source: Source) -> list[str]:
    """Columns a job may read of an input: those granted, else all, in the order of the file."""
    names = file_columns(source)
    return names if source.columns is None else [name for name in names if name in source.columns]


def file_columns(source: Source) -> list[str]:
    """Every column of an input's files."""
    import pyarrow.parquet as pq

    return list(pq.read_schema(source.files[0]).names)
