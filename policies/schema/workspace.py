"""Workspaces: limits of a jail, what a level may be read as, the tier real data needs, and what a run tells."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from policies.schema.base import Edition, Judging, Name, Strict, require_checks


class Limits(Strict):
    """Limits of one process tree. Megabytes are 2²⁰ bytes.

    `memory_mb` is the hard limit on data (RLIMIT_DATA), three to four times `duckdb_memory_mb`; `cpu_seconds` counts
    over all threads; `folder_mb` is measured before and after a run; `result_rows` and `result_mb` bound one answer.
    """

    memory_mb: Annotated[int, Field(ge=256)]
    duckdb_memory_mb: Annotated[int, Field(ge=64)]
    threads: Annotated[int, Field(ge=1, le=64)]
    cpu_seconds: Annotated[int, Field(ge=1)]
    wall_seconds: Annotated[int, Field(ge=1)]
    processes: Annotated[int, Field(ge=1, le=512)]
    file_mb: Annotated[int, Field(ge=1)]
    folder_mb: Annotated[int, Field(ge=1)]
    result_rows: Annotated[int, Field(ge=1)]
    result_mb: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.memory_mb < 2 * self.duckdb_memory_mb:
            raise ValueError("memory_mb 至少应为 duckdb_memory_mb 的两倍 / at least twice duckdb_memory_mb")
        if self.file_mb > self.folder_mb:
            raise ValueError("单个文件上限不应大于目录上限 / file_mb above folder_mb")
        return self


class ProofLimits(Limits):
    """Limits of the proof of a product: it runs the job some twenty times over, in a jail of its own.

    `result_rows` are the cells of a product and `result_mb` any one file of its evidence; `measured_cells` the rows of
    a cell table (cells times measures).
    """

    measured_cells: Annotated[int, Field(ge=1)]


class Bounds(Strict):
    """Rising edges between the coarse buckets a run reports, six at most. What lies on an edge belongs to the bucket
    above it; below the first and from the last on there is one bucket each."""

    bounds: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=6)]

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if list(self.bounds) != sorted(set(self.bounds)):
            raise ValueError("分档界限应由小到大 / bounds must rise")
        return self


class RowBuckets(Bounds):
    """Buckets of row counts; a first bucket below ten would tell small groups."""

    @model_validator(mode="after")
    def _coarse(self) -> Self:
        if self.bounds[0] < 10:
            raise ValueError("第一档不得小于 10 行 / the first bucket is at least 10 rows")
        return self


class Modes(Strict):
    """How each level may be used: rows readable, rows with pseudonyms, or only jobs that show no row."""

    level_1: Literal["rows", "pseudonyms", "jobs"]
    level_2: Literal["rows", "pseudonyms", "jobs"]
    level_3: Literal["pseudonyms", "jobs"]
    level_4: Literal["jobs"]

    def of(self, level: int) -> Literal["rows", "pseudonyms", "jobs"]:
        """The mode of `level`; any level that is not 1–3 is treated as 4."""
        return {1: self.level_1, 2: self.level_2, 3: self.level_3}.get(level, self.level_4)


class Tier(Strict):
    """Isolation needed for real data. A medium tier needs the operator's written decision, or is refused."""

    real_data: Literal["strong"]
    medium: Literal["operator_decision", "refused"]
    weak: Literal["simulated_only"]


class Runs(Strict):
    """Runs on real data a grant allows in one day: each tells about one bit, so they are counted."""

    per_grant_per_day: Annotated[int, Field(ge=1, le=200)]





class Families(Strict):
    """Near-equal jobs: at most `near_parts` declared parts apart (constants never count), looked for among the last
    `window_days` days, and at most `per_family_per_day` runs of them in 24 hours."""

    near_parts: Annotated[int, Field(ge=0, le=10)]
    window_days: Annotated[int, Field(ge=1, le=366)]
    per_family_per_day: Annotated[int, Field(ge=1, le=200)]


class Retention(Strict):
    """Days for which the full text of a real run's errors is kept for operators."""

    days: Annotated[int, Field(ge=1, le=1096)]


class Scripts(Strict):
    """Python scripts of a workspace: `source_kb` a script's text, `output_kb` kept of what a run prints, `saved`
    scripts and `kept` runs on record a workspace, `files` entries in the folder."""

    source_kb: Annotated[int, Field(ge=1, le=512)]
    output_kb: Annotated[int, Field(ge=1, le=4096)]
    saved: Annotated[int, Field(ge=1, le=1000)]
    kept: Annotated[int, Field(ge=1, le=1000)]
    files: Annotated[int, Field(ge=10, le=20_000)]


class Uploads(Strict):
    """A merchant's own data: `file_mb` as it comes, `unpacked_mb` what it may unfold to, `rows`, `columns`, `tables` a
    workspace. `personal` are the detector's entities that make data personal information; `decision` those that no
    machine lets in: the operator decides. `contradiction` is what becomes of personal data declared as none."""

    file_mb: Annotated[int, Field(ge=1)]
    unpacked_mb: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=1)]
    columns: Annotated[int, Field(ge=1, le=1000)]
    tables: Annotated[int, Field(ge=1, le=200)]
    personal: Annotated[tuple[Name, ...], Field(min_length=1)]
    decision: Annotated[tuple[Name, ...], Field(min_length=1)]
    contradiction: Literal["decision", "refused"]

    @model_validator(mode="after")
    def _floor(self) -> Self:
        if not {"CN_RESIDENT_ID", "CN_BANK_CARD"} <= set(self.decision) <= set(self.personal):
            raise ValueError(
                "身份证号、银行卡号必须由人决定，且须决定的都是个人信息 / decision needs these, within personal"
            )
        return self


class Quotas(Strict):
    """What one workspace may use, the same for each: a day is a calendar day of the city; storage is a level.

    Gigabytes are 2³⁰, megabytes 2²⁰ bytes. `warn_percent` of a quota warns, the whole of it refuses.
    """

    cpu_minutes_per_day: Annotated[int, Field(ge=1)]
    memory_gb_hours_per_day: Annotated[int, Field(ge=1)]
    storage_mb: Annotated[int, Field(ge=64)]
    queries_per_day: Annotated[int, Field(ge=1)]
    reads_per_day: Annotated[int, Field(ge=1)]
    scripts_per_day: Annotated[int, Field(ge=1)]
    warn_percent: Annotated[int, Field(ge=50, le=99)]


class Prices(Strict):
    """One list for everybody, in whole fen: there is no place in it for a merchant's name."""

    cpu_hour_fen: Annotated[int, Field(ge=0)]
    memory_gb_hour_fen: Annotated[int, Field(ge=0)]
    storage_gb_day_fen: Annotated[int, Field(ge=0)]


class SavedQueries(Strict):
    """How many queries a workspace keeps under a name."""

    per_workspace: Annotated[int, Field(ge=1, le=10_000)]


class Reading(Strict):
    """What one workspace may read of granted real rows: `rows_per_answer` and `kilobytes_per_answer` what is shown at
    once; `statements_per_day` of the workspace and `rows_per_day` of each grant, both within 24 hours."""

    rows_per_answer: Annotated[int, Field(ge=1, le=1000)]
    kilobytes_per_answer: Annotated[int, Field(ge=1, le=1024)]
    statements_per_day: Annotated[int, Field(ge=1, le=1000)]
    rows_per_day: Annotated[int, Field(ge=1, le=100_000)]


class SelfChecks(Strict):
    """Self-checks of one workspace within 24 hours: they touch no real data, but many of them map the limits."""

    per_day: Annotated[int, Field(ge=1, le=2000)]


class AggregatePreview(Strict):
    """What a question about a granted table may show before a job is written: columns of `levels` only (empty: no
    preview at all; level 4 only where it is listed), groups of `min_group` distinct entities or more, counts to
    multiples of `base`, means and sums to `digits` significant digits and only where no entity has more than
    `dominance_percent` of them, `groups` at most, `per_day` questions a grant within 24 hours."""

    levels: tuple[Annotated[int, Field(ge=1, le=4)], ...]
    min_group: Annotated[int, Field(ge=10)]
    base: Annotated[int, Field(ge=5)]
    digits: Annotated[int, Field(ge=1, le=4)]
    dominance_percent: Annotated[int, Field(ge=1, le=90)]
    per_day: Annotated[int, Field(ge=1, le=200)]
    groups: Annotated[int, Field(ge=1, le=5000)]


Rule = Annotated[
    Judging[Literal["develop_limits", "run_limits", "inspect_limits", "script_limits", "import_limits"], Limits]
    | Judging[Literal["proof_limits"], ProofLimits]
    | Judging[Literal["row_buckets"], RowBuckets]
    | Judging[Literal["duration_buckets"], Bounds]
    | Judging[Literal["mode_by_level"], Modes]
    | Judging[Literal["isolation_tier"], Tier]
    | Judging[Literal["runs_per_day"], Runs]
    | Judging[Literal["job_families"], Families]
    | Judging[Literal["report_retention"], Retention]
    | Judging[Literal["scripts"], Scripts]
    | Judging[Literal["uploads"], Uploads]
    | Judging[Literal["quotas"], Quotas]
    | Judging[Literal["prices"], Prices]
    | Judging[Literal["saved_queries"], SavedQueries]
    | Judging[Literal["row_reading"], Reading]
    | Judging[Literal["self_checks"], SelfChecks]
    | Judging[Literal["aggregate_preview"], AggregatePreview],
    Field(discriminator="check"),
]


class WorkspaceEdition(Edition[Rule]):
    """Every limit, each exactly once."""

    policy: Literal["workspace"]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {"develop_limits", "run_limits", "inspect_limits", "row_buckets", "duration_buckets"}
        needed |= {"mode_by_level", "isolation_tier", "runs_per_day", "quotas", "prices"}
        needed |= {"saved_queries", "proof_limits"}
        needed |= {"mode_by_level", "isolation_tier", "runs_per_day", "quotas", "prices", "saved_queries"}
        needed |= {"job_families", "report_retention"}
        needed |= {"script_limits", "scripts", "import_limits", "uploads"}
        needed |= {"mode_by_level", "isolation_tier", "runs_per_day", "row_reading", "aggregate_preview"}
        needed |= {"self_checks"}
        require_checks(self, frozenset(needed))
        soft = [rule.id for rule in self.rules if rule.on_fail != "block"]
        if soft:
            raise ValueError(f"工作区的限制只能是 block / workspace limits can only block: {', '.join(soft)}")
        return self


EDITION: type[Edition[Any]] = WorkspaceEdition
