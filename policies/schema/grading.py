"""Grading by GB/T 43697-2024: a table of columns, the rules that lift a level, and the floors of its annex H.4."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from policies.schema.base import Assigning, Edition, Name, Share, Strict, require_checks

Level = Annotated[int, Field(ge=1, le=4)]
Names = tuple[Name, ...]
Role = Literal["direct", "quasi", "sensitive", "none"]
Subject = Literal["person", "organisation", "public"]
RecordExport = Literal["keep", "generalise", "drop", "aggregates", "never"]
Object = Literal["national_security", "economy", "social_order", "public_interest", "organisation", "person"]
Damage = Literal["especially_serious", "serious", "general"]
DataClass = Literal["core", "important", "general"]
# What the values of a column must be for an abbreviation to count; "none" where a rule has no abbreviations.
Agreement = Literal["entity", "few_values", "whole_number", "date", "none"]

_SEPARATORS = re.compile(r"[\s_\-./·()（）\[\]【】]+")
_BRACKETS = re.compile(r"[(（\[【].*$")
_COMMENT_END = re.compile(r"[,，;；:：。|、]")


def normalise(name: str) -> str:
    """A column name as it is compared: NFKC, lower case, without separators and brackets."""
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", name)).lower()


@lru_cache(maxsize=4096)
def _pattern(written: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(normalise(part)) for part in written.split("*")))


class Column(Strict):
    """How a column is recognised and what it then is.

    `names`: column names compared by `normalise`; `*` stands for any characters. `abbreviations`: short pinyin codes
    that mean other things as well (XM is 姓名 or 项目) and count only where the values agree: one of `entities` is
    detected, or they are few values, whole numbers or dates. `entities`: detected entities that are enough without a
    name. `explains`: entities a column of this name is expected to hold, which then lift nothing (a legal
    representative's column holds person names). `resembles`: entities its values merely look like here and there
    (names of places and firms), which lift only when the whole column is one. `level` 1–4; `record_export`: what a
    record-level product may do with the column.
    """

    names: Names
    abbreviations: Names
    agreement: Agreement
    entities: Names
    explains: Names
    resembles: Names
    subject: Subject
    category: Name
    level: Level
    sensitive: bool
    identifier_role: Role
    record_export: RecordExport

    @model_validator(mode="after")
    def _floors(self) -> Self:
        if not self.names and not self.entities:
            raise ValueError("至少写一个列名或一种识别结果 / at least one name or entity is needed")
        if self.sensitive and self.level < 4:
            raise ValueError("敏感个人信息不得低于 4 级（GB/T 43697 H.4） / sensitive personal data is level 4")
        if self.subject == "person" and self.level < 2:
            raise ValueError("个人信息不得低于 2 级（GB/T 43697 H.4） / personal data is at least level 2")
        if self.identifier_role == "direct" and self.record_export == "keep":
            raise ValueError("直接标识符不得原样出域 / a direct identifier cannot be kept in an export")
        if bool(self.abbreviations) == (self.agreement == "none"):
            raise ValueError("缩写须写明与何种内容相符 / abbreviations need an agreement, and nothing else has one")
        return self


class TextContains(Strict):
    """A text column that holds any of `entities` inside longer text gets at least `level`."""

    entities: Annotated[Names, Field(min_length=1)]
    level: Annotated[int, Field(ge=3, le=4)]
    category: Name


class Unmarked(Strict):
    """What a column is that no rule recognises: the highest level, never less."""

    level: Literal[4]
    category: Name
    identifier_role: Role
    record_export: Literal["drop", "never"]


class DatasetLevel(Strict):
    """A dataset is at least as high as its highest column (GB/T 43697 6.6)."""

    at_least: Literal["highest_column"]


class QuasiTogether(Strict):
    """From `count` quasi-identifiers in one table on, the dataset rises by `raise_by`, at most to 4.

    Columns of one of the rules `once` count as one: province, city and district are one place.
    """

    count: Annotated[int, Field(ge=2, le=3)]
    raise_by: Annotated[int, Field(ge=1, le=3)]
    once: Names


class NameWith(Strict):
    """A column of `names` beside one of `others` (rule ids of this edition) makes the dataset `level`."""

    names: Annotated[Names, Field(min_length=1)]
    others: Annotated[Names, Field(min_length=1)]
    level: Literal[4]


class Movements(Strict):
    """Columns of `places` (rule ids) in a table with a person's direct identifier are movements: `level`, sensitive."""

    places: Annotated[Names, Field(min_length=1)]
    level: Literal[4]


class PersonPenalties(Strict):
    """Columns of `places` (rule ids) about a natural person's penalty: at least `level`, a sensitive attribute.

    It is one where a row is about a person, or where columns of the rules `parties` hold names of persons.
    """

    places: Annotated[Names, Field(min_length=1)]
    parties: Annotated[Names, Field(min_length=1)]
    level: Annotated[int, Field(ge=3, le=4)]


class Unpublished(Strict):
    """Columns of `places` (rule ids) in a table whose name or comment says it is not published: `level`, and a person
    checks for important data (GB/T 43697 appendices F and G)."""

    places: Annotated[Names, Field(min_length=1)]
    table_words: Annotated[Names, Field(min_length=1)]
    level: Literal[4]


class Nobody(Strict):
    """Columns of `places` (rule ids) in a table without any column about a person: `level`, no identifier; and those
    of `companions` too where the table holds nothing but these (a code list of places)."""

    places: Annotated[Names, Field(min_length=1)]
    companions: Names
    level: Level


class PopulationScale(Strict):
    """Person-level rows from which a person must decide about important data, and from which its procedures hold."""

    from_level: Annotated[int, Field(ge=1, le=3)]
    review_rows: Annotated[int, Field(ge=1, le=100_000)]
    procedure_rows: Annotated[int, Field(ge=1, le=10_000_000)]


class FullCoverage(Strict):
    """Share of a city's population or firms from which a set of `from_level` or higher goes to a person."""

    from_level: Annotated[int, Field(ge=1, le=3)]
    share: Share


class JoinedLevel(Strict):
    """Two sets of `inputs` level joined on a person key are graded at least `level`."""

    inputs: Level
    level: Level


class Minors(Strict):
    """Personal columns of tables about children (age up to `max_age`), told by words in the table's name or comment."""

    max_age: Annotated[int, Field(ge=14)]
    table_words: Annotated[Names, Field(min_length=1)]
    level: Literal[4]


class Floors(Strict):
    """Lowest level of each kind of data (GB/T 43697 H.4); the model refuses anything below."""

    sensitive_personal: Literal[4]
    personal: Annotated[int, Field(ge=2, le=4)]
    employees: Annotated[int, Field(ge=2, le=4)]
    deidentified_personal: Annotated[int, Field(ge=2, le=4)]
    personal_tags: Annotated[int, Field(ge=2, le=4)]
    conditionally_shared_public: Annotated[int, Field(ge=2, le=4)]
    prohibited_public: Literal[4]


class Lowering(Strict):
    """A level is lowered only with a reason and by a second person."""

    reason_required: Literal[True]
    second_person_required: Literal[True]


class DamageCell(Strict):
    """One cell of the damage table: who is harmed, how badly, and the class that follows."""

    object: Object
    damage: Damage
    data_class: DataClass


_CLASS_BY_DAMAGE: dict[str, DataClass] = {"especially_serious": "core", "serious": "important", "general": "general"}


def least_class(harmed: str, damage: str) -> DataClass:
    """The class GB/T 43697-2024 table 1 gives: national security is one step stricter, private rights are general."""
    if harmed == "national_security":
        return "important" if damage == "general" else "core"
    return "general" if harmed in {"organisation", "person"} else _CLASS_BY_DAMAGE[damage]


class DamageTable(Strict):
    """Object × damage → class, all 18 cells, none below the standard."""

    cells: tuple[DamageCell, ...]

    @model_validator(mode="after")
    def _standard(self) -> Self:
        order = ("general", "important", "core")
        if len({(c.object, c.damage) for c in self.cells}) != 18 or len(self.cells) != 18:
            raise ValueError("应恰好有 18 格 / exactly 18 cells are needed")
        for cell in self.cells:
            if order.index(cell.data_class) < order.index(least_class(cell.object, cell.damage)):
                raise ValueError(f"{cell.object} × {cell.damage} 低于国家标准 / is below the standard")
        return self


ColumnRule = Assigning[Literal["column"], Column]
Rule = Annotated[
    ColumnRule
    | Assigning[Literal["text_contains"], TextContains]
    | Assigning[Literal["unmarked"], Unmarked]
    | Assigning[Literal["dataset_level"], DatasetLevel]
    | Assigning[Literal["quasi_identifiers_together"], QuasiTogether]
    | Assigning[Literal["name_with_other"], NameWith]
    | Assigning[Literal["movements"], Movements]
    | Assigning[Literal["person_penalties"], PersonPenalties]
    | Assigning[Literal["unpublished"], Unpublished]
    | Assigning[Literal["nobody"], Nobody]
    | Assigning[Literal["population_scale"], PopulationScale]
    | Assigning[Literal["full_coverage"], FullCoverage]
    | Assigning[Literal["joined_level"], JoinedLevel]
    | Assigning[Literal["minors"], Minors]
    | Assigning[Literal["floors"], Floors]
    | Assigning[Literal["lowering"], Lowering]
    | Assigning[Literal["damage_table"], DamageTable],
    Field(discriminator="check"),
]


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that applies to a column, and why: by its name, its comment, a detected entity, or by none of them."""

    rule: Any
    by: Literal["name", "comment", "entity", "unmarked"]
    evidence: str


class GradingEdition(Edition[Rule]):
    """The whole grading policy of one edition."""

    policy: Literal["grading"]

    def matches(
        self,
        name: str,
        entities: Iterable[str] = (),
        comment: str | None = None,
        shapes: Collection[Agreement] = (),
    ) -> tuple[Match, ...]:
        """The rules that apply to a column, the deciding one first; never empty (`unmarked` is level 4).

        `entities` are those that detection decided the column *is*, `shapes` what its values are like (for
        abbreviations). A name that says more beats one with `*` that it is a case of; after that the highest level
        wins (就高从严), and a name beats an entity of the same level.
        """
        entities = tuple(entities)
        named = self._by_words(name, comment or "")
        named = named or [m for m in (self._by_abbreviation(name, entities, shapes),) if m]
        explained = {e for m in named for e in (*m.rule.parameters.explains, *m.rule.parameters.entities)}
        found = [
            Match(rule, "entity", entity)
            for entity in dict.fromkeys(entities)
            if entity not in explained
            for rule in self.all_by_check("column")
            if entity in rule.parameters.entities
        ]
        every = sorted([*named, *found], key=lambda m: -m.rule.parameters.level)
        return tuple(every) or (Match(self.by_check("unmarked"), "unmarked", ""),)

    def _by_words(self, name: str, comment: str) -> list[Match]:
        """What the name and the first words of the comment say together.

        A written-out comment that ends with the name (地址: 学校地址) says the same more exactly and stands for both. A
        comment that matches only by `*` adds to a written-out name nothing but a finding about persons, and not one
        that the name explains (法定代表人: 企业法定代表人姓名).
        """
        head = _COMMENT_END.split(comment, maxsplit=1)[0]
        by_name = self._by_name(name, "name")
        by_comment = self._by_name(head, "comment") if head.strip() else None
        if by_name is None or by_comment is None or by_name.rule is by_comment.rule:
            return [m for m in (by_name or by_comment,) if m]
        if "*" not in by_comment.evidence and normalise(head).endswith(normalise(name)):
            return [by_comment]
        said = by_comment.rule.parameters
        explained = bool(said.entities) and set(said.entities) <= set(by_name.rule.parameters.explains)
        if "*" in by_comment.evidence and "*" not in by_name.evidence and (said.subject != "person" or explained):
            return [by_name]
        return [by_name, by_comment]

    def _by_name(self, name: str, by: Literal["name", "comment"]) -> Match | None:
        return self._named(normalise(name), by) or self._named(normalise(_BRACKETS.sub("", name)), by)

    def _named(self, wanted: str, by: Literal["name", "comment"]) -> Match | None:
        hits = {
            normalise(written): Match(rule, by, written)
            for rule in reversed(self.all_by_check("column"))
            for written in rule.parameters.names
            if _pattern(written).fullmatch(wanted)
        }
        # `*信用代码` says more than `*代码`: a name gives way to another that is a case of it.
        apt = [hits[h] for h in hits if not any(g != h and _pattern(h).fullmatch(g) for g in hits)]
        return max(reversed(apt), key=lambda match: match.rule.parameters.level, default=None)

    def _by_abbreviation(self, name: str, entities: Collection[str], shapes: Collection[Agreement]) -> Match | None:
        wanted = normalise(name)
        for rule in self.all_by_check("column"):
            column = rule.parameters
            agrees = column.agreement in shapes or (
                column.agreement == "entity" and not set(entities).isdisjoint({*column.entities, *column.explains})
            )
            if agrees and wanted in map(normalise, column.abbreviations):
                return Match(rule, "name", name)
        return None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        single = {"unmarked", "dataset_level", "quasi_identifiers_together", "name_with_other", "population_scale"}
        single |= {
            "movements",
            "person_penalties",
            "unpublished",
            "nobody",
            "full_coverage",
            "joined_level",
            "minors",
            "floors",
            "lowering",
            "damage_table",
        }
        require_checks(self, frozenset(single))
        require_checks(self, frozenset({"column", "text_contains"}), once=False)
        ids = {rule.id for rule in self.all_by_check("column")}
        named = self.by_check("name_with_other").parameters
        once = self.by_check("quasi_identifiers_together").parameters.once
        placing = ("movements", "person_penalties", "unpublished", "nobody")
        places = {place for check in placing for place in self.by_check(check).parameters.places}
        beside = self.by_check("nobody").parameters.companions
        parties = self.by_check("person_penalties").parameters.parties
        unknown = sorted({*named.names, *named.others, *once, *places, *beside, *parties} - ids)
        if unknown:
            raise ValueError(f"引用了不存在的规则 / unknown rule referred to: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        seen: dict[str, str] = {}
        twice: list[str] = []
        for rule in self.all_by_check("column"):
            for written in (*rule.parameters.names, *rule.parameters.abbreviations):
                first = seen.setdefault("*".join(normalise(part) for part in written.split("*")), rule.id)
                if first != rule.id:
                    twice.append(f"{written}（{first}、{rule.id}）")
        if twice:
            raise ValueError(f"同一列名写在两条规则里 / a name in two rules: {', '.join(twice)}")
        return self


EDITION: type[Edition[Any]] = GradingEdition
