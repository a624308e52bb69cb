"""Simulated data: what is fitted, on how much, and the gates a simulated table must pass to be published."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from policies.schema.base import Edition, Judging, Name, NoParameters, Share, Strict, require_checks

Engine = Literal["sdv", "ctgan", "hma", "tree", "schema"]


class ExactRows(Strict):
    """Share of rows equal to a real training row, beyond the rate of the holdout against the training rows."""

    max_excess_share: Literal[0]


class NoValues(Strict):
    """How many values may be found; the model allows none."""

    max_values: Literal[0]


class RareCategories(Strict):
    """Categories with fewer than `k` real rows become 其他; the floor of `k` is 3."""

    k: Annotated[int, Field(ge=3)]


class CloserToTraining(Strict):
    """Share of simulated rows closer to a training row than to a holdout row: 0.5 is ideal.

    Allowed is the larger of `max_share` and 0.5 + `small_sample_z` · 0.5/√n, n being the independent comparisons that
    the share is worth (rows that have the same closest real row are not independent), so that a small table is not
    refused by chance.
    """

    max_share: Annotated[float, Field(ge=0.5, le=0.6)]
    small_sample_z: Annotated[float, Field(ge=0, le=4)]


class CopyControl(Strict):
    """A copy of the training rows, judged in the same run, scores at least this share; else the gate is broken."""

    min_share: Annotated[float, Field(ge=0.9, le=1)]


class SensitiveInference(Strict):
    """An attacker who knows quasi-identifiers guesses a sensitive value from the simulated rows.

    His success on fitted people less that on held-out people, as the mean over the values, is the advantage; the lower
    end of its interval, of `confidence_z` standard errors, may be `max_advantage` at most. `targets` people a side are
    attacked. The same attack on copies of the fitted rows must be noticed with `control_z` standard errors (1.645:
    one-sided, 95 %), or else gain no more than that itself.
    """

    max_advantage: Annotated[float, Field(ge=0, le=0.1)]
    confidence_z: Annotated[float, Field(ge=1.6, le=4)]
    control_z: Annotated[float, Field(ge=1.6, le=4)]
    targets: Annotated[int, Field(ge=1000, le=100_000)]


class FidelityRatio(Strict):
    """Q of the simulated rows over Q of the real holdout; engines in `report_only_for` are not judged by it."""

    min_ratio: Share
    report_only_for: tuple[Engine, ...]


class MinimumRows(Strict):
    """Below `rows` real rows only the engine that reads no row is used."""

    rows: Annotated[int, Field(ge=50)]
    engine: Literal["schema"]


class FitLimits(Strict):
    """Rows fitted at most, and the share of rows held out from fitting for evaluation."""

    fit_rows: Annotated[int, Field(ge=1000, le=200_000)]
    holdout_share: Annotated[float, Field(ge=0.1, le=0.5)]


class ModelledColumns(Strict):
    """Roles that are never fitted but drawn from pools, and the highest level that may be fitted at all."""

    generated_roles: Annotated[tuple[Literal["direct", "quasi", "sensitive"], ...], Field(min_length=1)]
    max_level: Annotated[int, Field(ge=1, le=4)]

    @model_validator(mode="after")
    def _direct(self) -> Self:
        if "direct" not in self.generated_roles:
            raise ValueError("直接标识符必须生成，不得拟合 / direct identifiers are always generated")
        return self


class EngineChoice(Strict):
    """Engines that may be used, and those `auto` compares, in this order."""

    allowed: Annotated[tuple[Engine, ...], Field(min_length=1)]
    auto: Annotated[tuple[Engine, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _subset(self) -> Self:
        if not set(self.auto) <= set(self.allowed):
            raise ValueError("auto 中的引擎须先列入 allowed / engines of auto must be allowed")
        return self


class Label(Strict):
    """The mark of simulated data and where it must stand."""

    zh: Name
    en: Name
    places: tuple[Literal["file_name", "metadata", "answer"], ...]

    @model_validator(mode="after")
    def _everywhere(self) -> Self:
        if set(self.places) != {"file_name", "metadata", "answer"}:
            raise ValueError("文件名、元数据、接口应答都须标注 / file name, metadata and answer all need the label")
        return self


Rule = Annotated[
    Judging[Literal["exact_rows"], ExactRows]
    | Judging[Literal["real_values"], NoValues]
    | Judging[Literal["rare_categories"], RareCategories]
    | Judging[Literal["unique_extremes"], NoValues]
    | Judging[Literal["closer_to_training"], CloserToTraining]
    | Judging[Literal["copy_control"], CopyControl]
    | Judging[Literal["sensitive_inference"], SensitiveInference]
    | Judging[Literal["orphans"], NoValues]
    | Judging[Literal["constraint_violations"], NoValues]
    | Judging[Literal["unclassified_columns"], NoParameters]
    | Judging[Literal["fidelity_ratio"], FidelityRatio]
    | Judging[Literal["minimum_rows"], MinimumRows]
    | Judging[Literal["fit_limits"], FitLimits]
    | Judging[Literal["modelled_columns"], ModelledColumns]
    | Judging[Literal["engines"], EngineChoice]
    | Judging[Literal["simulated_label"], Label],
    Field(discriminator="check"),
]

MUST_BLOCK = frozenset(
    {
        "exact_rows", "real_values", "rare_categories", "unique_extremes", "closer_to_training", "copy_control",
        "sensitive_inference", "orphans", "constraint_violations", "unclassified_columns", "minimum_rows",
        "modelled_columns", "simulated_label",
    }
)  # fmt: skip
"""Privacy and integrity gates: no person can wave a simulated table past one of them."""


class SimulationEdition(Edition[Rule]):
    """Every gate, each exactly once."""

    policy: Literal["simulation"]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        require_checks(self, MUST_BLOCK | {"fidelity_ratio", "fit_limits", "engines"})
        soft = [rule.id for rule in self.rules if rule.check in MUST_BLOCK and rule.on_fail != "block"]
        if soft:
            raise ValueError(f"这些门槛只能是 block / these gates can only block: {', '.join(soft)}")
        return self


EDITION: type[Edition[Any]] = SimulationEdition
