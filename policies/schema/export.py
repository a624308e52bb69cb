"""The export gate: what each automatic check compares with what. Floors are legal or statistical minimums.

Thresholds come from GB/T 42460-2023 annex D (record level) and from statistical disclosure control practice
(aggregates); no Chinese instrument names a smallest cell.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, Self

from pydantic import Field, model_validator

from policies.schema.base import (
    Audience,
    C,
    Edition,
    Judging,
    Name,
    NoParameters,
    P,
    Positive,
    Share,
    Strict,
    require_checks,
)
from policies.schema.files import Archives, FileTypes, Formulas
from policies.schema.people import Form, ReleaseTerms, Reviewers

Names = Annotated[tuple[Name, ...], Field(min_length=1)]
Threshold = Annotated[int, Field(ge=3)]


class Levels(Strict):
    """Highest level an input may have for each form; core and important data never leave."""

    max_level_aggregate: Annotated[int, Field(ge=1, le=4)]
    max_level_record: Annotated[int, Field(ge=1, le=3)]
    max_level_report: Annotated[int, Field(ge=1, le=4)]


class Identifiers(Strict):
    """Entities looked for in values, headers, names and metadata, and how many cells may hold one."""

    entities: Names
    max_hits: Literal[0]


_ALWAYS_BLOCKED = frozenset({"CN_RESIDENT_ID", "CN_MOBILE", "CN_BANK_CARD"})


class BlockedIdentifiers(Identifiers):
    """Direct identifiers with a form that can be proved; the three most dangerous are always on the list."""

    @model_validator(mode="after")
    def _always(self) -> Self:
        missing = sorted(_ALWAYS_BLOCKED - set(self.entities))
        if missing:
            raise ValueError(f"不得去掉 / must stay on the list: {', '.join(missing)}")
        return self


class JoinBack(Strict):
    """Encodings under which a value is compared with the source's identifiers; how many may be found is none."""

    encodings: Names
    max_values: Literal[0]

    @model_validator(mode="after")
    def _raw(self) -> Self:
        if "raw" not in self.encodings:
            raise ValueError("原值 raw 必须比对 / raw must be compared")
        return self


class SplitIdentifiers(Strict):
    """Rows in which adjacent columns, written together, are an identifier of the source: none."""

    max_rows: Literal[0]


class Opaque(Strict):
    """Long, distinct ASCII words without blanks and of high entropy (bits a character) cannot be inspected."""

    min_length: Annotated[int, Field(ge=8, le=64)]
    min_distinct_share: Share
    min_entropy_bits: Annotated[float, Field(ge=2, le=6)]


class FreeText(Strict):
    """A text column with a mean length and distinct share above these is free text."""

    mean_length: Annotated[int, Field(ge=5, le=100)]
    min_distinct_share: Share


class CellThreshold(Strict):
    """Distinct entities that must stand behind every cell that is not empty."""

    threshold: Threshold


class Largest(Strict):
    """A cell fails when its `n` largest entities give at least `k_percent` of it (absolute contributions)."""

    n: Annotated[int, Field(ge=1, le=2)]
    k_percent: Annotated[float, Field(ge=50, le=95)]


class Dominance(Strict):
    """(n,k) rules for every kind of entity, and stricter ones in their place for the kinds named."""

    every: Annotated[tuple[Largest, ...], Field(min_length=1)]
    kinds: dict[Name, Annotated[tuple[Largest, ...], Field(min_length=1)]]

    def of(self, kind: str) -> tuple[Largest, ...]:
        """The rules that judge contributions of `kind`."""
        return self.kinds.get(kind, self.every)


class PPercent(Strict):
    """A cell fails when what is left without its two largest is below `p_percent` of the largest.

    `q_percent`: how well anybody knows the others beforehand (pq rule); 100 is: not at all.
    """

    p_percent: Annotated[float, Field(ge=5, le=50)]
    q_percent: Annotated[float, Field(gt=0, le=100)]

    @property
    def of_largest(self) -> float:
        """Percent of the largest contribution that must be left: 100 p / q."""
        return 100 * self.p_percent / self.q_percent

    @model_validator(mode="after")
    def _prior(self) -> Self:
        if self.q_percent <= self.p_percent:
            raise ValueError("q 须大于 p / q must be above p")
        return self


class Extremes(Strict):
    """Entities that share a minimum or maximum, and that lie on each side of a quantile: below `threshold` it fails,
    below `review_below` a person looks."""

    threshold: Threshold
    review_below: Positive

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.review_below < self.threshold:
            raise ValueError("review_below 不应小于 threshold / review_below is below threshold")
        return self


class Perturbation(Strict):
    """With one column's values changed, none or at least `threshold` entities of a cell move, and no single one makes
    up `max_change_share` of all movement."""

    threshold: Threshold
    max_change_share: Annotated[float, Field(ge=0.3, le=0.9)]


class Structural(Strict):
    """Combinations of dimension values that cannot occur, each as column → value: their being empty tells nothing."""

    structural: tuple[Annotated[dict[Name, str], Field(min_length=1)], ...]


class MaxShare(Structural):
    """Share of its row or column total from which one cell tells about the whole group."""

    max_share: Annotated[float, Field(ge=0.5, le=0.99)]


class Differencing(Strict):
    """A difference of released cells is empty or rests on `threshold` entities, and no difference of amounts on one or
    two: what they leave is at least `p_percent` of the larger. `pair_budget` bounds the work."""

    threshold: Threshold
    p_percent: Annotated[float, Field(ge=1, le=50)]
    pair_budget: Positive


class Closure(Strict):
    """Linear combinations of all released cells, searched for `budget_seconds`; a spent budget goes to a person."""

    threshold: Threshold
    budget_seconds: Positive


class Suppression(Strict):
    """Interval a suppressed count keeps over the whole history, found by at most `program_budget` linear programs and
    in at most `budget_seconds`; a spent budget goes to a person."""

    min_interval_width: Threshold
    program_budget: Positive
    budget_seconds: Positive


class Rounding(Strict):
    """Released counts are multiples of `base`, totals too, each rounded by itself: each is an interval.
    Shares whose part and whole are released are computed from the rounded numbers and tell nothing more.

    An amount's step is at least `effect_percent` of the largest effect one entity has on any cell of its column, so
    that this effect spans at most 1 + 100 / `effect_percent` steps.
    """

    base: Annotated[int, Field(ge=3, le=100)]
    effect_percent: Annotated[float, Field(ge=5, le=100)]


class Proofs(Strict):
    """Proofs of the evidence table: random halves deleted (P2) and perturbations of sensitive values (P3).

    `halves`: how many, for data of level 1, 2, 3 and 4. A proof that takes longer than `budget_times` plain runs (of a
    second at least) or `budget_seconds` stops, and a person decides.
    """

    halves: Annotated[tuple[Annotated[int, Field(ge=2, le=20)], ...], Field(min_length=4, max_length=4)]
    perturbations: tuple[Literal["minimum", "maximum", "shuffle"], ...]
    float_tolerance: Annotated[float, Field(gt=0, le=1e-6)]
    budget_times: Annotated[float, Field(ge=5, le=1000)]
    budget_seconds: Positive

    def halves_for(self, level: int) -> int:
        """Halves for data whose highest level is `level` (1 to 4)."""
        return self.halves[level - 1]

    @model_validator(mode="after")
    def _no_fewer_above(self) -> Self:
        if list(self.halves) != sorted(self.halves):
            raise ValueError("级别越高，次数不应越少 / a higher level has no fewer halves")
        return self

    @model_validator(mode="after")
    def _all_three(self) -> Self:
        if set(self.perturbations) != {"minimum", "maximum", "shuffle"}:
            raise ValueError(
                "三种扰动缺一不可：只打乱查不出门限攻击 / all three are needed: shuffle alone misses attacks"
            )
        return self


class BlackBox(Strict):
    """What is tried where no evidence can be derived: `buckets` of entities left out and changed one after another, for
    at most `max_times` plain runs. It supports a person and never passes."""

    buckets: Annotated[int, Field(ge=8, le=256)]
    max_times: Annotated[float, Field(ge=10, le=2000)]


class RecordLevel(Strict):
    """Audiences to which rows about single persons or firms may go at all."""

    audiences: tuple[Literal["contract", "enclave"], ...]


class Classes(Strict):
    """Smallest class of equal quasi-identifiers by audience (GB/T 42460 D.1.5: 1/20, 1/5, 1/3): that many pass, for
    this test alone. `risk_compare` belongs to the overall risk."""

    public: Annotated[int, Field(ge=20)]
    contract: Annotated[int, Field(ge=5)]
    enclave: Annotated[int, Field(ge=3)]

    def of(self, audience: Audience) -> int:
        """Smallest class of `audience`."""
        return {"public": self.public, "contract": self.contract, "enclave": self.enclave}[audience]


class OverallRisk(Strict):
    """Data risk × context risk (0–1) must stay below `max_risk` (GB/T 42460: 0.05); public context risk is always 1.

    `risk_compare: lt` demands a risk below it, so that public needs classes of 21; `le` takes 20.
    """

    max_risk: Annotated[float, Field(gt=0, le=0.05)]
    risk_compare: Literal["lt", "le"]
    context_public: Literal[1]
    context_contract: Annotated[float, Field(gt=0, le=1)]
    context_enclave: Annotated[float, Field(gt=0, le=1)]

    def context(self, audience: Audience) -> float:
        """Context risk of `audience`."""
        risks: dict[str, float] = {"contract": self.context_contract, "enclave": self.context_enclave}
        return risks.get(audience, float(self.context_public))


class Diversity(Strict):
    """In every class a sensitive column has `min_distinct` values, none of them with more than `max_top_share`, an
    entropy of at least ln `entropy_l`, and a commonest value with fewer than `recursive_c` times the rows of the
    `recursive_l`-th commonest and rarer ones together."""

    min_distinct: Annotated[int, Field(ge=2)]
    max_top_share: Annotated[float, Field(ge=0.3, le=0.9)]
    entropy_l: Annotated[float, Field(ge=1, le=20)]
    recursive_c: Annotated[float, Field(gt=0, le=10)]
    recursive_l: Annotated[int, Field(ge=2, le=20)]


class Closeness(Strict):
    """Largest earth mover's distance (0–1) between a class and the whole table."""

    max_distance: Annotated[float, Field(gt=0, le=0.5)]


class Charts(Strict):
    """Smallest count that a chart or a report may show, and the base that its counts are rounded to."""

    threshold: Threshold
    base: Annotated[int, Field(ge=3, le=100)]


class Models(Strict):
    """Fitted values of a model for the entities of its source: at most this share of them (0–1), leaving
    `min_residual`; entities that every leaf of a tree has."""

    max_share: Annotated[float, Field(gt=0, le=0.33)]
    min_residual: Annotated[int, Field(ge=5)]
    min_leaf: Annotated[int, Field(ge=5)]


class Freedom(Strict):
    """Residual degrees of freedom that a spread or a model must leave: entities less fitted values."""

    min_residual: Annotated[int, Field(ge=5)]


class FirmFields(Strict):
    """Words in headers that name an enterprise, and words of what is not public about one."""

    names: Names
    not_public: Names


class RawRows(Strict):
    """Output rows equal to a source row that is unique on the shared columns, from `min_columns` shared columns on."""

    min_columns: Annotated[int, Field(ge=2, le=5)]
    max_rows: Literal[0]


class EntityRatio(Strict):
    """Output rows per source entity from which a table is one row per person in disguise."""

    max_ratio: Annotated[float, Field(gt=0, lt=1)]


class Coordinates(Strict):
    """Decimals of degrees from which a coordinate names a place (4 ≈ 11 m)."""

    max_decimals: Annotated[int, Field(ge=0, le=3)]


class Volume(Strict):
    """Rows, cells and megabytes (2²⁰ bytes) of one export, and of all exports of an application in a window of days;
    from `warn_share` of what all may have on, a person looks."""

    max_rows: Positive
    max_cells: Positive
    max_mb: Positive
    cumulative_rows: Positive
    cumulative_cells: Positive
    cumulative_mb: Positive
    window_days: Annotated[int, Field(ge=1, le=366)]
    warn_share: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _order(self) -> Self:
        pairs = ((self.max_rows, self.cumulative_rows), (self.max_cells, self.cumulative_cells),
                 (self.max_mb, self.cumulative_mb))  # fmt: skip
        if any(every < single for single, every in pairs):
            raise ValueError("累计上限不应小于单次上限 / cumulative below single")
        return self


class Gate(Judging[C, P], Generic[C, P]):
    """An export rule also says which forms of product it judges."""

    forms: Annotated[tuple[Form, ...], Field(min_length=1)]


Rule = Annotated[
    Gate[Literal["grant_and_lineage"], NoParameters]
    | Gate[Literal["level_allowed"], Levels]
    | Gate[Literal["identifiers_anywhere"], BlockedIdentifiers]
    | Gate[Literal["possible_identifiers"], Identifiers]
    | Gate[Literal["join_back"], JoinBack]
    | Gate[Literal["split_identifiers"], SplitIdentifiers]
    | Gate[Literal["opaque_columns"], Opaque]
    | Gate[Literal["free_text"], FreeText]
    | Gate[Literal["cell_threshold"], CellThreshold]
    | Gate[Literal["dominance"], Dominance]
    | Gate[Literal["p_percent"], PPercent]
    | Gate[Literal["zero_cells"], Structural]
    | Gate[Literal["residual_freedom"], Freedom]
    | Gate[Literal["group_disclosure"], MaxShare]
    | Gate[Literal["charts"], Charts]
    | Gate[Literal["models"], Models]
    | Gate[Literal["extremes"], Extremes]
    | Gate[Literal["differencing"], Differencing]
    | Gate[Literal["linear_closure"], Closure]
    | Gate[Literal["suppression_audit"], Suppression]
    | Gate[Literal["rounding"], Rounding]
    | Gate[Literal["evidence_proofs"], Proofs]
    | Gate[Literal["perturbation"], Perturbation]
    | Gate[Literal["suspect_expressions"], NoParameters]
    | Gate[Literal["no_evidence"], BlackBox]
    | Gate[Literal["record_level"], RecordLevel]
    | Gate[Literal["equivalence_classes"], Classes]
    | Gate[Literal["overall_risk"], OverallRisk]
    | Gate[Literal["sensitive_diversity"], Diversity]
    | Gate[Literal["sensitive_closeness"], Closeness]
    | Gate[Literal["firm_fields"], FirmFields]
    | Gate[Literal["raw_rows"], RawRows]
    | Gate[Literal["row_per_entity"], EntityRatio]
    | Gate[Literal["coordinates"], Coordinates]
    | Gate[Literal["file_types"], FileTypes]
    | Gate[Literal["archives"], Archives]
    | Gate[Literal["hidden_content"], NoParameters]
    | Gate[Literal["formula_cells"], Formulas]
    | Gate[Literal["volume"], Volume]
    | Gate[Literal["label"], NoParameters]
    | Gate[Literal["reviewers"], Reviewers]
    | Gate[Literal["release_terms"], ReleaseTerms],
    Field(discriminator="check"),
]

ALWAYS = frozenset({"grant_and_lineage", "level_allowed", "identifiers_anywhere", "join_back", "split_identifiers",
                    "file_types", "volume"})  # fmt: skip
"""Checks that judge every form of product; together with `reviewers` and `label` no form can leave without them."""

MUST_BLOCK = ALWAYS | {
    "opaque_columns", "cell_threshold", "dominance", "p_percent", "differencing", "linear_closure",
    "suppression_audit", "rounding", "evidence_proofs", "extremes", "perturbation", "residual_freedom",
    "record_level", "equivalence_classes", "overall_risk", "charts", "models",
    "raw_rows", "archives", "hidden_content", "formula_cells", "label", "reviewers", "release_terms",
}  # fmt: skip

MAY_REVIEW = frozenset(
    {
        "possible_identifiers", "free_text", "zero_cells", "group_disclosure", "suspect_expressions", "no_evidence",
        "sensitive_diversity", "sensitive_closeness", "row_per_entity", "coordinates", "firm_fields",
    }
)  # fmt: skip


class ExportEdition(Edition[Rule]):
    """Every export check, each exactly once; those that protect a person can only block."""

    policy: Literal["export"]

    def for_form(self, form: Form) -> tuple[Any, ...]:
        """The rules that judge a product of `form`, in the order of the file."""
        return tuple(rule for rule in self.rules if form in rule.forms)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        require_checks(self, MUST_BLOCK | MAY_REVIEW)
        soft = [rule.id for rule in self.rules if rule.check in MUST_BLOCK and rule.on_fail != "block"]
        if soft:
            raise ValueError(f"这些规则只能是 block / these rules can only block: {', '.join(soft)}")
        every = ALWAYS | {"label", "reviewers"}
        partial = [rule.id for rule in self.rules if rule.check in every and len(set(rule.forms)) < 3]
        if partial:
            raise ValueError(f"这些规则须适用于全部形态 / these rules judge every form: {', '.join(partial)}")
        charts, cells, base = (self.by_check(n).parameters for n in ("charts", "cell_threshold", "rounding"))
        if charts.threshold < cells.threshold or charts.base != base.base:
            raise ValueError("图表的门限与取整须与汇总一致 / charts are judged as aggregates are")
        zeros, groups = (self.by_check(name).parameters for name in ("zero_cells", "group_disclosure"))
        if zeros.structural != groups.structural:
            raise ValueError("两处结构性空白须一致 / both lists of structural zeros must be the same")
        return self


EDITION: type[Edition[Any]] = ExportEdition
