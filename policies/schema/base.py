"""What every policy edition and every rule has, whatever its kind."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, PrivateAttr, model_validator

from policies.problems import PolicyError
from policies.text import Text
from policies.verdict import Outcome

Name = Annotated[str, Field(min_length=1, max_length=400)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Audience = Literal["public", "contract", "enclave"]


def _bilingual(value: Any) -> Text:
    if isinstance(value, Text):
        return value
    if not isinstance(value, dict) or set(value) != {"zh", "en"}:
        raise ValueError("需要且只能有 zh 与 en 两项 / exactly zh and en are needed")
    if not all(isinstance(side, str) and side.strip() for side in value.values()):
        raise ValueError("zh 与 en 都要有文字 / both zh and en need words")
    return Text(value["zh"], value["en"])


Bilingual = Annotated[Text, PlainValidator(_bilingual), PlainSerializer(Text.as_dict, return_type=dict[str, str])]


def _judgement(value: Any) -> Outcome:
    if value not in (Outcome.BLOCK, Outcome.REVIEW):
        raise ValueError("只能是 block（拦截）或 review（转人工） / only block or review")
    return Outcome(value)


Judgement = Annotated[Outcome, PlainValidator(_judgement)]


class Strict(BaseModel):
    """Frozen, strictly typed, no unknown keys, no defaults: a field that is not written is an error."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class NoParameters(Strict):
    """For a predicate that has nothing to set; the file says `parameters: {}`."""


C = TypeVar("C", bound=str)
P = TypeVar("P", bound=Strict)
R = TypeVar("R", bound="Assigning[Any, Any]")


class Assigning(Strict, Generic[C, P]):
    """A rule that sets values (a deadline, a grade, a holiday). `id` is never reused with another meaning.

    `basis` names the article or standard, or says that the value is this platform's own; `status` is `verified` only
    when somebody has read the value in the text named by `basis`.
    """

    id: Annotated[str, Field(pattern=r"^[A-Z]{3}(-[A-Z0-9]+)+-[0-9]{2,4}$")]
    title: Bilingual
    why: Bilingual
    check: C
    parameters: P
    basis: Name
    status: Literal["assumed", "verified"]


class Judging(Assigning[C, P], Generic[C, P]):
    """A rule that judges: `on_fail` says what a miss leads to. A rule that cannot run is an error, whatever it says."""

    on_fail: Judgement


class Edition(Strict, Generic[R]):
    """One edition of one kind: header and rules. `digest` and `full_text` come from the bytes it was read from."""

    policy: str
    edition: Annotated[str, Field(pattern=r"^[0-9]{4}(-[0-9]{2})?[a-z]?$")]
    title: Bilingual
    basis: Name
    applies_at: Literal["submitted", "checked", "used"]
    effective_from: date
    supersedes: Annotated[str, Field(min_length=4)] | None
    prepared_by: Name
    approved_by: Name
    note: Bilingual
    rules: Annotated[tuple[R, ...], Field(min_length=1)]

    _digest: str = PrivateAttr(default="")
    _full_text: str = PrivateAttr(default="")

    @property
    def kind(self) -> str:
        return self.policy

    @property
    def digest(self) -> str:
        """sha256 of the file's bytes, in hexadecimal."""
        return self._digest

    @property
    def full_text(self) -> str:
        """The file as written, so that an old verdict can be re-read without the repository."""
        return self._full_text

    def rule(self, rule_id: str) -> Any:
        """The rule with that id; `PolicyError` when the edition has none."""
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        raise self._no_rule(rule_id)

    def by_check(self, check: str) -> Any:
        """The only rule with that predicate name; `PolicyError` when there is none or more than one."""
        found = self.all_by_check(check)
        if len(found) != 1:
            raise self._no_rule(check)
        return found[0]

    def all_by_check(self, check: str) -> tuple[Any, ...]:
        """Every rule with that predicate name, in the order of the file."""
        return tuple(rule for rule in self.rules if rule.check == check)

    def _no_rule(self, wanted: str) -> PolicyError:
        return PolicyError(
            "policy.no_rule",
            Text(
                f"规则 {self.policy} {self.edition} 中没有（或不止一条）{wanted}",
                f"policy {self.policy} {self.edition} has no single rule {wanted}",
            ),
        )

    @model_validator(mode="after")
    def _ids_once(self) -> Self:
        ids = [rule.id for rule in self.rules]
        twice = sorted({i for i in ids if ids.count(i) > 1})
        if twice:
            raise ValueError(f"规则编号重复 / rule id used twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _two_people(self) -> Self:
        if self.prepared_by == self.approved_by:
            raise ValueError("编制人与批准人不能是同一人 / prepared_by and approved_by must differ")
        return self


def require_checks(edition: Edition[Any], needed: frozenset[str], *, once: bool = True) -> None:
    """Refuses an edition that leaves a rule out: taking a line away must not switch a protection off."""
    found = [rule.check for rule in edition.rules]
    missing = sorted(needed - set(found))
    if missing:
        raise ValueError(f"缺少规则 / rules missing: {', '.join(missing)}")
    twice = sorted(c for c in needed if found.count(c) > 1) if once else []
    if twice:
        raise ValueError(f"同一检查出现两次 / check written twice: {', '.join(twice)}")
