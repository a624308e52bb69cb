"""Checking a file without a platform: the same rules on the same bytes, for the command line and for self-checks.

With a job the cells are recomputed on the source. Without one, columns are matched to the source by name and by
value: a table whose every number equals a count, a distinct count, a sum or a mean over the named source columns is
judged as that job. What cannot be matched is judged on the file alone, and then goes to review at best. Rules about
applications and grants need the platform and are not part of the answer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, cast

from policies.text import Text
from sandbox.exports.contents import Table, read_all
from sandbox.exports.finishing import Post, finished
from sandbox.exports.gate import Checked, evaluate
from sandbox.exports.history import ReleasedCell, cells_of
from sandbox.exports.isolated import Prover, in_this_process, prove
from sandbox.exports.subject import Audience, ExportFile, ExportSubject, bounds_of, matched, refusals_of
from sandbox.kernel.errors import BadInput
from sandbox.products import facts
from sandbox.products.artefact import differences, neutral
from sandbox.products.compile import columns_read
from sandbox.products.compile import compile as compile_job
from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import Budget, Evidence
from sandbox.products.proving import BROKEN, Asked
from sandbox.products.releasing import declared
from sandbox.products.source import EvidenceError, Source, column_names, opened
from sandbox.products.spec import JobSpec, parse
from sandbox.products.spec_errors import SpecError

if TYPE_CHECKING:
    from policies.schema.export import ExportEdition
    from policies.verdict import Verdict
    from sandbox.exports.repairs import Repair


def check_files(
    path: Path | Sequence[Path],
    source: Path | Mapping[str, Path] | None = None,
    entity: str | Sequence[str] = (),
    job: Path | str | JobSpec | None = None,
    audience: Audience = "contract",
    history: Path | None = None,
    on: date | None = None,
    data: Path | None = None,
) -> Verdict:
    """Verdict on a file (or files) under the export edition in force on `on` (today when left out).

    `source`: a parquet or UTF-8 CSV file, or one per input alias of the job; or `data`, a folder of them as
    `sandbox.products.facts` describes it. `entity`: the column whose distinct values are the protected entities, or
    `kind=alias.column`. `history`: a directory of earlier released CSV files; a job beside one (`name.yaml`) is used,
    others are matched by value. Raises `BadInput` where an argument cannot be used.
    """
    paths = [path] if isinstance(path, Path) else list(path)
    entities = [entity] if isinstance(entity, str) else list(entity)
    edition = _edition(on)
    subject = ExportSubject(
        files=tuple(ExportFile(p.name, p.read_bytes()) for p in paths), audience=audience, lane="file",
        rounding_base=edition.by_check("rounding").parameters.base, bounds=bounds_of(edition),
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="pds-check-") as scratch:
        spec = _job(job)
        if data is not None and spec is None:
            raise BadInput("check.no_job", Text("用数据文件夹核查时须给出作业", "a data folder is read for a job"),
                           fix=Text("请加 --job", "add --job"))  # fmt: skip
        if data is not None and spec is not None:
            sources: Mapping[str, Source] = facts.sources_in(data, spec, Path(scratch), entities)
        elif source is not None:
            sources = _sources(source, spec, entities, Path(scratch))
        else:
            return evaluate(subject, edition)
        stated = data is not None
        return evaluate(Matcher(sources, edition).described(subject, spec, history, stated=stated), edition)


def run_job(
    spec: JobSpec,
    data: Path,
    entities: Sequence[str] = (),
    audience: Audience = "contract",
    history: Path | None = None,
    on: date | None = None,
    post: Post | None = None,
) -> Checked:
    """Run a job on a folder of tables, write its file as the platform would, and judge that file. `post` runs the
    job's last statement; without it a job that has one gets no file, and that is an error of the verdict.

    Raises `BadInput` where the folder does not hold what the job needs. A job whose evidence cannot be derived is no
    error: the verdict says why, with the place and a repair.
    """
    edition = _edition(on)
    base = edition.by_check("rounding").parameters.base
    with tempfile.TemporaryDirectory(prefix="pds-run-") as scratch:
        matcher = Matcher(facts.sources_in(data, spec, Path(scratch), entities), edition)
        subject = ExportSubject(files=(), audience=audience, lane="file", rounding_base=base, bounds=bounds_of(edition))
        subject = matcher.described(subject, spec, history, stated=True, post=post)
        return Checked(subject, evaluate(subject, edition))


def repairs(
    before: Checked,
    data: Path,
    entities: Sequence[str] = (),
    history: Path | None = None,
    on: date | None = None,
    post: Callable[[JobSpec], Post] | None = None,
) -> tuple[Repair, ...]:
    """Changes of the job of `before`, which `run_job` gave, that get it further; each has been run and judged on the
    same folder. `post` makes what runs a job's last statement. Raises as `run_job`."""
    from sandbox.exports.repairs import suggest

    audience = before.subject.audience

    def again(spec: JobSpec) -> Checked:
        return run_job(spec, data, entities, audience, history, on, post(spec) if post else None)

    return suggest(before, again, _edition(on))


def _edition(on: date | None) -> ExportEdition:
    from policies.editions import load

    return cast("ExportEdition", load("export", on=on))


def rules_out_of_scope() -> tuple[str, ...]:
    """Checks of the gate that only the platform can run, by name."""
    from sandbox.exports.checks import CHECKS

    return tuple(sorted(name for name, check in CHECKS.items() if "file" not in check.lanes))


def _job(job: Path | str | JobSpec | None) -> JobSpec | None:
    if job is None or isinstance(job, JobSpec):
        return job
    return parse(job.read_bytes() if isinstance(job, Path) else job)


def _sources(
    source: Path | Mapping[str, Path], spec: JobSpec | None, entities: Sequence[str], scratch: Path
) -> dict[str, Source]:
    if isinstance(source, Path):
        aliases = list(spec.inputs) if spec else ["source"]
        if len(aliases) > 1:
            text = Text(
                f"作业有 {len(aliases)} 个输入，请逐一给出来源",
                f"the job has {len(aliases)} inputs: name a file for each",
            )
            raise BadInput("check.sources", text, fix=Text("写成 别名=文件", "write alias=file"))
        source = {aliases[0]: source}
    if spec and set(source) != set(spec.inputs):
        raise BadInput("check.sources", Text("来源的别名与作业不一致", "the source aliases differ from the job's"))
    return facts.described(source, scratch, entities)


class Matcher:
    """One source, looked at for a file and for every file of its history, with one numbering of the entities.

    `given` proves the jobs that somebody wrote; one that was guessed here holds no statement of anybody's.
    """

    def __init__(self, sources: Mapping[str, Source], edition: ExportEdition, given: Prover = prove) -> None:
        self._sources = sources
        self._given = given
        self._edition = edition
        self._base = edition.by_check("rounding").parameters.base
        self._level = max((s.level for s in sources.values()), default=4)
        self._codes = SessionCodes()

    def described(
        self, subject: ExportSubject, spec: JobSpec | None, history: Path | None, *, stated: bool = False,
        post: Post | None = None,
    ) -> ExportSubject:  # fmt: skip
        """`subject` with job, evidence, matches and history as far as the source gives them. `stated`: somebody has
        said whose records these are, even if it is nobody's. A subject without files gets the platform's own."""
        kinds = frozenset(key.kind for source in self._sources.values() for key in source.keys)
        if not kinds and not stated:
            return matched(subject, self._sources)
        prover = self._given if spec else in_this_process
        spec = spec or (self.guess(subject.files[0]) if len(subject.files) == 1 else None)
        if spec is None:
            return matched(subject, self._sources)
        subject = replace(subject, spec=spec, entity_kinds=kinds, level=self._level)
        try:
            evidence = self.evidence(spec, prover)
        except EvidenceError as error:
            if error.code in BROKEN:
                raise
            return matched(replace(subject, refusals=refusals_of(error)), self._sources)
        subject = replace(subject, evidence=evidence, history=self._history(history) if history else ())
        return matched(finished(subject, self._edition, post), self._sources)

    def evidence(self, spec: JobSpec, prover: Prover) -> Evidence:
        """The evidence of a job on this source. Raises `SpecError` for columns that are not there."""
        if not spec.prepare:
            columns_read(spec, {alias: column_names(source) for alias, source in self._sources.items()})
        proofs = self._edition.by_check("evidence_proofs").parameters
        budget = Budget(seconds=proofs.budget_seconds, times=proofs.budget_times)
        return prover(spec, self._sources, Asked(proofs.halves_for(self._level), budget), self._codes)

    def _history(self, directory: Path) -> tuple[ReleasedCell, ...] | None:
        """Cells of every CSV in the directory; None (not established) where one of them cannot be matched."""
        cells: list[ReleasedCell] = []
        for path in sorted(directory.glob("*.csv")):
            beside = path.with_suffix(".yaml")
            given = parse(beside.read_bytes()) if beside.exists() else None
            spec = given or self.guess(ExportFile(path.name, path.read_bytes()))
            if spec is None:
                return None
            try:
                evidence = self.evidence(spec, self._given if given else in_this_process)
            except EvidenceError as error:
                if error.code in BROKEN:
                    raise
                return None
            cells += cells_of(spec, evidence, release=path.stem, base=self._base)
        return tuple(cells)

    def guess(self, file: ExportFile) -> JobSpec | None:
        """The job that gives exactly this table, if dimensions are named as in the source and every other column is a
        count, a distinct count of entities, or a sum or mean of a numeric source column."""
        tables = read_all([file], bounds_of(self._edition))[0].tables
        if len(self._sources) != 1 or len(tables) != 1:
            return None
        alias, source = next(iter(self._sources.items()))
        names = column_names(source)
        dimensions = [h for h in tables[0].header if h in names and not self._is_measure(tables[0], h, names)]
        measures = [h for h in tables[0].header if h not in dimensions]
        if not measures or list(tables[0].header[: len(dimensions)]) != dimensions:
            return None
        options = self._options(alias, source)
        found = {name: self._fitting(alias, dimensions, name, options, tables[0]) for name in measures}
        if any(option is None for option in found.values()):
            return None
        return _spec(alias, dimensions, {n: dict(o) for n, o in found.items() if o})

    def _is_measure(self, table: Table, name: str, names: Sequence[str]) -> bool:
        """A source column's name over a measure of it (fee for its sum): the last columns, all distinct decimals."""
        cells = _column(table, name)
        return bool(cells) and all("." in c and c.replace(".", "", 1).lstrip("-").isdigit() for c in cells)

    def _options(self, alias: str, source: Source) -> list[dict[str, object]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        options: list[dict[str, object]] = [{"op": "count"}]
        options += [{"op": "count_distinct", "of": f"{alias}.{key.column}"} for key in source.keys]
        for column in pq.read_schema(source.files[0]):
            kind = column.type
            if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
                options += [{"op": op, "of": f"{alias}.{column.name}"} for op in ("sum", "mean")]
        return options

    def _fitting(
        self, alias: str, dimensions: Sequence[str], name: str, options: Sequence[dict[str, object]], table: Table
    ) -> dict[str, object] | None:
        """The first measure whose recomputed values are the column's, rounded to the policy's base or exact."""
        digits = max((len(c.partition(".")[2]) for c in _column(table, name)), default=0)
        for option, base in product(options, (self._base, 1)):
            is_count = str(option["op"]).startswith("count")
            if base == 1 and not is_count:
                continue
            measure = option if is_count else {**option, "round": min(digits, 6)}
            try:
                spec = _spec(alias, dimensions, {name: measure})
                with opened(self._sources) as con:
                    rows = con.execute(compile_job(spec)[-1].sql).fetchall()
            except (SpecError, EvidenceError):
                continue
            found = differences(declared(spec, rows, base=base), _projection(table, [*dimensions, name]))
            if all(m.what == "order" for m in found):
                return measure
        return None


def _column(table: Table, name: str) -> list[str]:
    return [cell or "" for cell in table.column(table.header.index(name))]


def _projection(table: Table, names: Sequence[str]) -> bytes:
    import csv
    import io

    places = [table.header.index(n) for n in names]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([neutral(n) for n in names])
    writer.writerows([row[p] for p in places] for _, row in table.lines())
    return buffer.getvalue().encode()


def _spec(alias: str, dimensions: Sequence[str], measures: Mapping[str, Mapping[str, object]]) -> JobSpec:
    return parse({
        "job": "file-check", "edition": 1, "inputs": {alias: {"grant": "file"}}, "from": alias,
        "dimensions": [f"{alias}.{d}" for d in dimensions], "measures": {n: dict(m) for n, m in measures.items()},
        "output": {"kind": "aggregate", "format": "csv"},
    })  # fmt: skip
