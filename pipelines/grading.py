"""Classification and grading of a table (GB/T 43697-2024): the machine proposes, the department confirms.

Each column gets the strictest of all rules that apply to it (就高从严): by its name, its comment, what detection says
it is, and what it holds inside longer text. A column that no rule recognises is level 4. The table gets at least its
highest column, and more where the policy's uplift rules say so. Every step leaves a sentence of evidence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from policies.text import Text, UserError

if TYPE_CHECKING:
    from policies.schema.grading import Agreement, GradingEdition, Match
    from sandbox.detection.scan import ColumnScan, EntityShare, TableScan

Role = Literal["direct", "quasi", "sensitive", "none"]
HIGHEST: Final = 4
_ROLES: Final[tuple[Role, ...]] = ("none", "quasi", "sensitive", "direct")
# What the workspace and the export gate count people and firms by, best key first.
_PERSON_KEYS: Final = ("CN_RESIDENT_ID", "CN_RESIDENT_ID_15", "CN_PASSPORT", "CN_TRAVEL_PERMIT", "CN_HK_ID", "CN_TW_ID")
_WEAK_PERSON_KEYS: Final = ("CN_MOBILE", "CN_BANK_CARD", "CN_PLATE", "VIN", "IMEI", "EMAIL_ADDRESS")
_ENTERPRISE_KEYS: Final = ("CN_USCC", "CN_ORG_CODE")
_KEY_ORDER: Final[tuple[tuple[Literal["person", "enterprise"], tuple[str, ...]], ...]] = (
    ("person", _PERSON_KEYS),
    ("enterprise", _ENTERPRISE_KEYS),
    ("person", _WEAK_PERSON_KEYS),
)
_FEW_VALUES: Final = 100
_WHOLE: Final = re.compile("int|整数", re.IGNORECASE)
_SOLE_TRADER: Final = "CN_SOLE_TRADER"
_NO_KEY: Final = frozenset({"PERSON", "ADDRESS", "ORGANIZATION"})
_KEY_FILLED: Final = 0.5
_TEMPORAL: Final = re.compile("date|time", re.IGNORECASE)
_NUMBER_NAME: Final = re.compile(r"(?:号|号码|编号|代码|编码|id|no|number|code)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """A column as the catalogue knows it."""

    name: str
    type: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class ColumnGrade:
    """Proposal for one column. `rule` is the deciding one; `rules` all that apply, by id.

    `subject`: person | organisation | public | unknown. `record_export`: what a record-level product may do with it.
    """

    name: str
    category: str
    level: int
    sensitive: bool
    identifier_role: Role
    rule: str
    evidence: list[str]
    rules: list[str]
    subject: str
    record_export: str


@dataclass(frozen=True, slots=True)
class Uplift:
    """A table rule that applied: `level` it asks for (None: a person must decide), and why in words."""

    rule: str
    level: int | None
    evidence: str


@dataclass(frozen=True, slots=True)
class EntityKey:
    """The column that tells which person or enterprise a row is about."""

    column: str
    kind: Literal["person", "enterprise"]
    evidence: str


@dataclass(frozen=True, slots=True)
class TableGrade:
    """Proposal for a table under one policy edition."""

    level: int
    columns: list[ColumnGrade]
    uplifts: list[Uplift]
    entity_key: EntityKey | None
    policy: str
    edition: str
    digest: str

    def column(self, name: str) -> ColumnGrade:
        """The grade of that column; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def as_dict(self) -> dict[str, Any]:
        """The form `pds grade` prints for one table (without its name)."""
        return asdict(self)


def grade(scan: TableScan, columns: Sequence[ColumnInfo], policy: GradingEdition, *, table: str = "") -> TableGrade:
    """Grades of all `columns` and of the table.

    `scan` must come from all rows of the same table; `table` is its name and description (for rules about tables of
    children). Raises UserError when a column was never scanned: an unseen column cannot be graded.
    """
    scanned = {column.name: column for column in scan.columns}
    unseen = [info.name for info in columns if info.name not in scanned]
    if unseen:
        raise UserError(
            "grading.not_scanned",
            Text("有列未经识别，不能分级：{names}", "columns were never scanned and cannot be graded: {names}").fill(
                names="、".join(unseen)
            ),
            fix=Text("请对整张表重新识别后再分级", "scan the whole table again, then grade"),
        )
    grades = [_grade_column(scanned[info.name], info, policy) for info in columns]
    timed = {info.name for info in columns if _TEMPORAL.search(info.type)}
    key = _entity_key([g for g in grades if g.name not in timed], scanned, policy)
    grades = _personal_floor(_lift_columns(grades, key, scanned, policy, table), key, policy)
    uplifts = _uplifts(grades, scan.rows, policy)
    level = max([g.level for g in grades] + [u.level for u in uplifts if u.level] or [HIGHEST])
    return TableGrade(level, grades, uplifts, key, policy.policy, policy.edition, policy.digest)


def joined_level(left: int, right: int, policy: GradingEdition) -> int:
    """Level of two sets joined on a person key: at least the higher one, and the policy's join rule."""
    rule = policy.by_check("joined_level").parameters
    lifted = rule.level if min(left, right) >= rule.inputs else 1
    return min(HIGHEST, max(left, right, lifted))


# ---- one column ---------------------------------------------------------------------------------------------------
def _grade_column(scan: ColumnScan, info: ColumnInfo, policy: GradingEdition) -> ColumnGrade:
    entities = [e.entity for e in scan.decided("is")]
    matches = policy.matches(info.name, entities, info.comment or None, _shapes(scan, info))
    first = matches[0]
    rule = first.rule.parameters
    evidence = [*(_say_match(match, scan) for match in matches), *_say_seen(matches, scan)]
    subject = "unknown" if first.by == "unmarked" else rule.subject
    proposal = ColumnGrade(
        name=info.name,
        category=rule.category,
        level=max(m.rule.parameters.level for m in matches),
        sensitive=any(getattr(m.rule.parameters, "sensitive", False) for m in matches),
        identifier_role=_strictest(m.rule.parameters.identifier_role for m in matches),
        rule=first.rule.id,
        evidence=evidence,
        rules=list(dict.fromkeys(m.rule.id for m in matches)),
        subject=subject,
        record_export=rule.record_export,
    )
    proposal = _lift_by_traders(_lift_by_content(proposal, matches, scan, policy), scan, policy)
    return replace(proposal, evidence=[*proposal.evidence, *_say_noise(scan)])


def _shapes(scan: ColumnScan, info: ColumnInfo) -> list[Agreement]:
    """What the values are like, for abbreviations that mean several things."""
    shapes: list[Agreement] = []
    if 0 < scan.distinct <= _FEW_VALUES:
        shapes.append("few_values")
    if _WHOLE.search(info.type):
        shapes.append("whole_number")
    if _TEMPORAL.search(info.type):
        shapes.append("date")
    return shapes


def _lift_by_content(
    grade_: ColumnGrade, matches: Sequence[Match], scan: ColumnScan, policy: GradingEdition
) -> ColumnGrade:
    """Text that holds identifiers: the level rises, and the column is to be treated as a direct identifier."""
    named = [m.rule.parameters for m in matches if m.by in ("name", "comment")]
    expected = {entity for rule in named for entity in (*rule.explains, *rule.entities, *rule.resembles)}
    held = [e for e in scan.decided("contains") if e.entity not in expected]
    for rule in policy.all_by_check("text_contains"):
        inside = [e for e in held if e.entity in rule.parameters.entities]
        if not inside:
            continue
        higher = rule.parameters.level > grade_.level
        grade_ = replace(
            grade_,
            category=rule.parameters.category if higher else grade_.category,
            level=max(grade_.level, rule.parameters.level),
            rule=rule.id if higher else grade_.rule,
            rules=[*grade_.rules, rule.id],
            identifier_role="direct",
            subject="person",
            record_export="drop" if higher else grade_.record_export,
            evidence=[*grade_.evidence, *(_say(rule.id, _HOLDS, e) for e in inside)],
        )
    return grade_


def _lift_by_traders(g: ColumnGrade, scan: ColumnScan, policy: GradingEdition) -> ColumnGrade:
    """Firms' codes with sole traders' among them: these are one person's each, so the floor of personal data holds."""
    floors = policy.by_check("floors")
    traders = [e for e in scan.decided("contains") if e.entity == _SOLE_TRADER]
    if not traders or g.level >= floors.parameters.personal:
        return g
    evidence = [*g.evidence, _say(floors.id, _HOLDS, traders[0])]
    return replace(g, level=floors.parameters.personal, rule=floors.id, rules=[*g.rules, floors.id], evidence=evidence)


def _strictest(roles: Iterable[Role]) -> Role:
    return max(roles, key=_ROLES.index)


# ---- evidence in words --------------------------------------------------------------------------------------------
_BY_NAME: Final = Text("{rule}：列名或说明符合“{words}”", "{rule}: the name or comment matches “{words}”")
_UNMARKED: Final = Text(
    "{rule}：没有规则认得这一列，按最高级对待", "{rule}: no rule recognises this column; it counts as the highest level"
)
_IS: Final = Text(
    "{rule}：识别为 {entity}，占不同取值的 {share}，共 {hits} 个单元格，例 {examples}",
    "{rule}: recognised as {entity}, {share} of distinct values, {hits} cells, e.g. {examples}",
)
_HOLDS: Final = Text(
    "{rule}：内容里夹带 {entity}，占不同取值的 {share}，共 {hits} 个单元格，例 {examples}",
    "{rule}: holds {entity}, {share} of distinct values, {hits} cells, e.g. {examples}",
)
_SEEN: Final = Text(
    "识别结果 {entity}：占不同取值的 {share}，共 {hits} 个单元格，例 {examples}",
    "detected {entity}: {share} of distinct values, {hits} cells, e.g. {examples}",
)
_NOISE: Final = Text(
    "{entity}：有 {hits} 个单元格形似且校验通过，但未超过偶然水平（占 {share}），未据此升级，请人工留意",
    "{entity}: {hits} cells look like it and pass its check, no more than chance gives ({share}); not graded by it, "
    "worth a look",
)


_MOVEMENTS: Final = Text("与个人标识同表，构成行踪", "beside a person's identifier it tells movements")
_MINORS: Final = Text("表名或说明含“{word}”，属未成年人信息", "the table's name or comment says “{word}”: children")
_FINED: Final = Text("受处罚的是自然人", "a natural person was fined")
_CLOSED: Final = Text(
    "表名或说明含“{word}”：未公开，须按重要数据核查",
    "the table's name or comment says “{word}”: unpublished, to be checked as important data",
)
_NOBODY: Final = Text(
    "表中没有关于个人的列，区划不是任何人的位置", "no column is about a person: areas are nobody's place"
)
_FLOOR: Final = Text("每行记录一个人，个人信息不低于 2 级", "each row is about a person: personal data is at least 2")
_QUASI: Final = Text("{n} 个准标识符同表：{names}", "{n} quasi-identifiers together: {names}")
_NAME_BESIDE: Final = Text("姓名（{names}）与{others}同表", "a name ({names}) beside {others}")
_SCALE: Final = Text(
    "{rows} 行个人级记录，须由人判断是否重要数据",
    "{rows} person-level rows: a person decides if they are important data",
)
_PROCEDURES: Final = Text(
    "{rows} 行个人级记录，适用重要数据程序", "{rows} person-level rows: the procedures for important data apply"
)


def _bilingual(text: Text) -> str:
    return f"{text.zh} / {text.en}"


def _say(rule: str, words: Text, share: EntityShare) -> str:
    numbers = {"share": f"{share.share:.1%}", "hits": share.hits, "examples": "、".join(share.examples) or "—"}
    return _bilingual(words.fill(rule=rule, entity=share.entity, **numbers))


def _say_match(match: Match, scan: ColumnScan) -> str:
    if match.by == "entity":
        return _say(match.rule.id, _IS, next(e for e in scan.entities if e.entity == match.evidence))
    words = _UNMARKED if match.by == "unmarked" else _BY_NAME
    return _bilingual(words.fill(rule=match.rule.id, words=match.evidence))


def _say_seen(matches: Sequence[Match], scan: ColumnScan) -> list[str]:
    """What detection says beside a rule that decided by name."""
    told = {m.evidence for m in matches if m.by == "entity"}
    return [_say("", _SEEN, e) for e in scan.decided("is") if e.entity not in told]


def _say_noise(scan: ColumnScan) -> list[str]:
    return [_say("", _NOISE, e) for e in scan.decided("noise") if e.entity == "CN_RESIDENT_ID"]


# ---- the table ----------------------------------------------------------------------------------------------------
def _lift_columns(
    grades: list[ColumnGrade], key: EntityKey | None, scanned: dict[str, ColumnScan], policy: GradingEdition, table: str
) -> list[ColumnGrade]:
    """Rules by which a column's company or the table's name changes its level."""
    minors, unpublished = policy.by_check("minors"), policy.by_check("unpublished")
    child, closed = (_word(rule.parameters.table_words, table) for rule in (minors, unpublished))
    people = _about_people(grades, key, policy)
    parties = policy.by_check("person_penalties").parameters.parties
    fined = people or any(_is_person(scanned[g.name]) for g in grades if not set(g.rules).isdisjoint(parties))
    nobody = _nobody(grades, policy)
    lifted = []
    for g in grades:
        if people and _placed(g, policy, "movements"):
            g = _lift(g, policy.by_check("movements"), _MOVEMENTS)
        if fined and _placed(g, policy, "person_penalties"):
            g = replace(_lift(g, policy.by_check("person_penalties"), _FINED, sensitive=False), subject="person")
        if child and g.subject == "person":
            g = _lift(g, minors, _MINORS.fill(word=child))
        if closed and _placed(g, policy, "unpublished"):
            g = _lift(g, unpublished, _CLOSED.fill(word=closed), sensitive=False)
        if g.rule in nobody:
            g = _about_nobody(g, policy)
        lifted.append(g)
    return lifted


def _word(words: Iterable[str], table: str) -> str | None:
    return next((word for word in words if word.lower() in table.lower()), None)


def _placed(g: ColumnGrade, policy: GradingEdition, check: str) -> bool:
    return not set(g.rules).isdisjoint(policy.by_check(check).parameters.places)


def _about_people(grades: list[ColumnGrade], key: EntityKey | None, policy: GradingEdition) -> bool:
    """Whether a row is about a person: by its key, or by a name where nothing else tells rows apart. The head of a
    school or the contact of a firm does not make the row theirs."""
    if key is not None:
        return key.kind == "person"
    names = policy.by_check("name_with_other").parameters.names
    return any(not set(g.rules).isdisjoint(names) for g in grades)


def _is_person(scan: ColumnScan) -> bool:
    return any(e.entity == "PERSON" for e in scan.decided("is", "contains"))


def _nobody(grades: list[ColumnGrade], policy: GradingEdition) -> set[str]:
    """The deciding rules whose columns say nothing about anybody in this table."""
    limits = policy.by_check("nobody").parameters
    places, all_ = set(limits.places), {*limits.places, *limits.companions}
    if any(g.subject in ("person", "unknown") and g.rule not in places for g in grades):
        return set()
    listed = any(g.rule in places for g in grades) and all(g.rule in all_ for g in grades)
    return all_ if listed else places


def _about_nobody(g: ColumnGrade, policy: GradingEdition) -> ColumnGrade:
    rule = policy.by_check("nobody")
    said = [*g.evidence, f"{rule.id}：{_NOBODY.zh} / {rule.id}: {_NOBODY.en}"]
    return replace(
        g, level=rule.parameters.level, rule=rule.id, rules=[*g.rules, rule.id], subject="public",
        identifier_role="none", record_export="keep", evidence=said,
    )  # fmt: skip


def _lift(g: ColumnGrade, rule: Any, why: Text, *, sensitive: bool = True) -> ColumnGrade:
    """`g` at the rule's level at least; `sensitive`: it becomes sensitive personal data, else only an attribute."""
    decides = rule.parameters.level > g.level
    return replace(
        g,
        level=max(g.level, rule.parameters.level),
        sensitive=g.sensitive or sensitive,
        identifier_role=_strictest((g.identifier_role, "sensitive")),
        record_export="aggregates" if decides and g.record_export in ("keep", "generalise") else g.record_export,
        rule=rule.id if decides else g.rule,
        rules=[*g.rules, rule.id],
        evidence=[*g.evidence, f"{rule.id}：{why.zh} / {rule.id}: {why.en}"],
    )


def _personal_floor(grades: list[ColumnGrade], key: EntityKey | None, policy: GradingEdition) -> list[ColumnGrade]:
    """In a table of rows about people every column is information about a person (GB/T 43697 H.4: at least 2)."""
    if key is None or key.kind != "person":
        return grades
    rule = policy.by_check("floors")
    floor, said = rule.parameters.personal, f"{rule.id}：{_FLOOR.zh} / {rule.id}: {_FLOOR.en}"
    return [
        replace(g, level=floor, rule=rule.id, rules=[*g.rules, rule.id], evidence=[*g.evidence, said])
        if g.level < floor
        else g
        for g in grades
    ]


def _uplifts(grades: list[ColumnGrade], rows: int, policy: GradingEdition) -> list[Uplift]:
    """Table rules that apply; those that lift carry a level, those that call a person carry none."""
    highest = max((g.level for g in grades), default=HIGHEST)
    uplifts: list[Uplift] = []
    quasi = policy.by_check("quasi_identifiers_together")
    together = [g.name for g in _apart(grades, quasi.parameters.once)]
    if len(together) >= quasi.parameters.count:
        level = min(HIGHEST, highest + quasi.parameters.raise_by)
        uplifts.append(_uplift(quasi, level, _QUASI.fill(n=len(together), names="、".join(together))))
    pair = policy.by_check("name_with_other")
    names = [g.name for g in grades if set(g.rules) & set(pair.parameters.names)]
    others = [g.name for g in grades if set(g.rules) & set(pair.parameters.others)]
    if names and others:
        said = _NAME_BESIDE.fill(names="、".join(names), others="、".join(others))
        uplifts.append(_uplift(pair, pair.parameters.level, said))
    return uplifts + _scale(grades, rows, max([highest, *(u.level or 0 for u in uplifts)]), policy)


def _apart(grades: list[ColumnGrade], once: Collection[str]) -> list[ColumnGrade]:
    """The quasi-identifiers of persons; of each rule in `once` only the first."""
    quasi = [g for g in grades if g.identifier_role == "quasi" and g.subject == "person"]
    first = {rule: next((g for g in quasi if rule in g.rules), None) for rule in once}
    return [g for g in quasi if all(rule not in g.rules or g is first[rule] for rule in once)]


def _scale(grades: list[ColumnGrade], rows: int, level: int, policy: GradingEdition) -> list[Uplift]:
    rule = policy.by_check("population_scale")
    limits = rule.parameters
    personal = any(g.subject in ("person", "unknown") for g in grades)
    if not personal or level < limits.from_level or rows < limits.review_rows:
        return []
    said = _PROCEDURES if rows >= limits.procedure_rows else _SCALE
    return [_uplift(rule, None, said.fill(rows=rows))]


def _uplift(rule: Any, level: int | None, said: Text) -> Uplift:
    return Uplift(rule.id, level, f"{rule.id}：{said.zh} / {rule.id}: {said.en}")


# ---- whom a row is about ------------------------------------------------------------------------------------------
def _entity_key(grades: list[ColumnGrade], scanned: dict[str, ColumnScan], policy: GradingEdition) -> EntityKey | None:
    """The column to count people or enterprises by: a person's document number, else a firm's code, else a weaker
    personal identifier. A column that is mostly empty identifies nothing."""
    filled = [g for g in grades if _filled(scanned[g.name])]
    for kind, entities in _KEY_ORDER:
        for entity in entities:
            holders = [
                (g, e)
                for g in filled
                for e in scanned[g.name].decided("is")
                if e.entity == entity and (kind != "person" or g.subject == "person")
            ]
            if holders:
                column, share = max(holders, key=lambda h: (h[1].share, scanned[h[0].name].distinct))
                return EntityKey(column.name, kind, _say(column.rule, _IS, share))
        if entities is _PERSON_KEYS and (key := _named_key(filled, scanned, policy)):
            return key
    return None


def _named_key(grades: list[ColumnGrade], scanned: dict[str, ColumnScan], policy: GradingEdition) -> EntityKey | None:
    """A personal number known by its column's name only (student number, patient number, travel card)."""
    numbers = [
        g
        for g in grades
        if (g.identifier_role, g.subject, g.level) == ("direct", "person", HIGHEST)
        and g.record_export != "never"
        and policy.rule(g.rule).check == "column"
        and not {e.entity for e in scanned[g.name].decided("is", "contains")} & _NO_KEY
    ]
    if not numbers:
        return None
    best = max(numbers, key=lambda g: (bool(_NUMBER_NAME.search(g.name)), scanned[g.name].distinct))
    return EntityKey(best.name, "person", best.evidence[0])


def _filled(scan: ColumnScan) -> bool:
    return scan.rows > 0 and scan.rows - scan.missing >= _KEY_FILLED * scan.rows
