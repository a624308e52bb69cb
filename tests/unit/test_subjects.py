"""Facts about entities: what the rows of a table must bear out before a proof may rest on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.subjects import Around, Column, Other, Owner, findings, key_of, verify
from policies.text import UserError
from sandbox.catalog.entityfacts import ColumnFact, EntityFact, Facts, perturbations_of, roles_of, weakened
from sandbox.catalog.repository import ResourceColumn
from sandbox.catalog.subjects import Checked
from sandbox.products.budget import Cancelled

ID = "11010119900307{:04d}"
Rows = dict[str, list[Any]]


def written(path: Path, rows: Rows) -> tuple[str, ...]:
    pl.DataFrame(rows, schema_overrides=dict.fromkeys(rows, pl.String)).write_parquet(path)
    return (str(path),)


def checked(
    folder: Path, rows: Rows, entities: dict[str, Any], *, owners: dict[str, Owner | None] | None = None,
    others: tuple[Other, ...] = (), kinds: dict[str, str] | None = None,
) -> Checked:  # fmt: skip
    """`rows` verified against `entities` (kind → fact), as text columns."""
    files = written(folder / "own.parquet", rows)
    columns = [Column(n, (kinds or {}).get(n, "text"), len(set(v)), v.count(None)) for n, v in rows.items()]
    return verify(files, columns, Around("就诊", Facts.read({"entities": entities}), owners or {}, others), folder)


PERSON = {"person": {"column": "人"}}
VISITS: Rows = {"人": ["a", "a", "b", None], "号": ["1", "2", "3", "4"], "诊": ["x", "x", "x", "y"]}
CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("a key alone says nothing that could fail", PERSON, []),
    ("a column whose values have one entity each", {"person": {"column": "人", "determined_by": {"号": "就诊"}}}, []),
    ("a value of two entities", {"person": {"column": "人", "determined_by": {"诊": "诊所"}}}, ["determined_by"]),
    ("a key column that is not there", {"person": {"column": "谁"}}, ["column"]),
    ("a determining column that is not there", {"person": {"column": "人", "determined_by": {"无": "d"}}}, ["column"]),
    ("a holding column that is not there", {"person": {"column": "人", "holding": "集团"}}, ["column"]),
    ("a quarter lacks a key, a fifth may", {"person": {"column": "人", "missing_share_max": 0.2}}, ["missing"]),
    ("a quarter lacks a key, a quarter may", {"person": {"column": "人", "missing_share_max": 0.25}}, []),
    ("owners in a resource that was not taken in",
     {"person": {"column": "号", "through": {"resource": "无", "key": "k", "owner": "o"}}}, ["resource"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "entities", "codes"), CASES, ids=[c[0] for c in CASES])
def test_a_fact_holds_only_where_every_row_bears_it_out(
    name: str, entities: dict[str, Any], codes: list[str], tmp_path: Path
) -> None:
    assert [f["code"] for f in checked(tmp_path, VISITS, entities).failures] == codes


def test_rows_without_a_key_and_distinct_entities_are_counted_over_all_rows(tmp_path: Path) -> None:
    one = checked(tmp_path, {"人": ["ａ", "A ", "a", "", None, "b"]}, PERSON).kinds["person"]
    assert (one["rows"], one["missing"], one["entities"]) == (6, 2, 3)
    same = checked(tmp_path, {"人": ["11010119900307001x", "11010119900307001Ｘ", " 11010119900307001X"]}, PERSON)
    assert same.kinds["person"]["entities"] == 1


def test_columns_of_any_name_are_read(tmp_path: Path) -> None:
    """A table may call its columns as the verification calls its own."""
    rows: Rows = {"e": ["x", "y"], "k": ["1", "2"], 'a"b': ["p", "p"], "人": ["m", "n"]}
    facts = {"person": {"column": "人", "determined_by": {"e": "d", "k": "f", 'a"b': "g"}}}
    assert [f["column"] for f in checked(tmp_path, rows, facts).failures] == ['a"b']


def test_long_codes_that_differ_in_the_last_digit_are_two_values(tmp_path: Path) -> None:
    """18 digits are more than a float keeps: codes are compared as they are written."""
    codes = [ID.format(n) for n in range(2000)]
    facts = {"person": {"column": "人", "determined_by": {"证": "证件"}}}
    rows: Rows = {"人": [f"p{n}" for n in range(2000)], "证": codes}
    assert checked(tmp_path, rows, facts).failures == []
    rows["证"][1999] = codes[0]
    (failure,) = checked(tmp_path, rows, facts).failures
    assert (failure["code"], failure["count"]) == ("determined_by", 1)


def test_what_is_told_of_a_failure_shows_no_value(tmp_path: Path) -> None:
    code = ID.format(77)
    rows: Rows = {"人": ["甲", "乙"], "证": [code, code]}
    found = checked(tmp_path, rows, {"person": {"column": "人", "determined_by": {"证": "证件"}}})
    (told,) = findings(found)
    assert told["code"] == "subject_determined_by"
    assert "证" in told["detail"]["zh"]
    assert code not in str((found, told)) and "*" in told["detail"]["zh"]


def other(fact: EntityFact, files: tuple[str, ...]) -> Other:
    return Other("处方", "person", key_of("person", fact, ()), files)


def test_one_key_leads_to_one_entity_over_all_tables_of_a_domain(tmp_path: Path) -> None:
    theirs = written(tmp_path / "other.parquet", {"谁": ["A", "b", "z"], "单": ["1", "3", "9"]})
    fact = EntityFact(column="谁", determined_by={"单": "就诊"})
    mine = {"person": {"column": "人", "determined_by": {"号": "就诊"}}}
    assert checked(tmp_path, VISITS, mine, others=(other(fact, theirs),)).failures == []
    theirs = written(tmp_path / "other.parquet", {"谁": ["b"], "单": ["1"]})
    (failure,) = checked(tmp_path, VISITS, mine, others=(other(fact, theirs),)).failures
    assert (failure["code"], failure["column"], failure["resource"]) == ("domain", "号", "处方")
    apart = EntityFact(column="谁", determined_by={"单": "处方"})
    assert checked(tmp_path, VISITS, mine, others=(other(apart, theirs),)).failures == []


THROUGH = {"person": {"column": "号", "through": {"resource": "处方", "key": "单", "owner": "谁"}}}


def test_an_entity_known_by_another_table_is_looked_up_there(tmp_path: Path) -> None:
    files = written(tmp_path / "other.parquet", {"单": ["1", "2", "3"], "谁": ["a", "a", "b"]})
    one = checked(tmp_path, VISITS, THROUGH, owners={"person": Owner("res-1", 4, files)}).kinds["person"]
    assert (one["rows"], one["missing"], one["entities"], one["failures"]) == (4, 1, 2, [])
    assert one["through"] == {"resource": "res-1", "lake_version": 4}


@pytest.mark.parametrize(
    ("rows", "code"),
    [({"单": ["1", "1"], "谁": ["a", "a"]}, "through"), ({"单": ["1", "2"], "别": ["a", "b"]}, "column")],
    ids=["the key names two rows", "the owner's column is not there"],
)
def test_a_key_that_is_looked_up_names_one_row(rows: Rows, code: str, tmp_path: Path) -> None:
    files = written(tmp_path / "other.parquet", rows)
    (failure,) = checked(tmp_path, VISITS, THROUGH, owners={"person": Owner("res-1", 4, files)}).failures
    assert failure["code"] == code


def test_a_key_that_two_kinds_share_is_told_and_does_not_fail(tmp_path: Path) -> None:
    rows: Rows = {"人": ["a", "b"], "企": ["x", "B"]}
    found = checked(tmp_path, rows, {"person": {"column": "人"}, "enterprise": {"column": "企"}})
    assert found.failures == []
    assert found.kinds["person"]["notes"] == [{"code": "shared", "kind": "enterprise", "count": 1}]


def test_a_table_without_rows_has_nothing_that_could_fail(tmp_path: Path) -> None:
    beside = Around("就诊", Facts.read({"entities": PERSON}), {}, ())
    assert verify([], [Column("人", "text", 0, 0)], beside, tmp_path).failures == []
    assert [f["code"] for f in verify([], [], beside, tmp_path).failures] == ["column"]


def test_codes_that_determine_an_entity_are_proposed_and_free_text_is_not(tmp_path: Path) -> None:
    rows: Rows = {
        "人": ["a", "a", "b"], "流水号": ["K001", "K002", "K003"], "备注": ["甲 来过", "乙 来过", "丙"],
        "类": ["T001", "T001", "T001"],
    }  # fmt: skip
    (found,) = checked(tmp_path, rows, PERSON).proposals
    assert found == {"kind": "person", "column": "流水号", "domain": "就诊.流水号", "why": "determines"}


def test_a_column_named_like_a_key_elsewhere_is_proposed(tmp_path: Path) -> None:
    theirs = written(tmp_path / "other.parquet", {"人": ["a"]})
    known = Other("居民", "person", key_of("person", EntityFact(column="人"), ()), theirs)
    (found,) = checked(tmp_path, VISITS, {}, others=(known,)).proposals
    assert found == {"kind": "person", "column": "人", "why": "same_name", "resource": "居民"}


@pytest.mark.parametrize(
    "given",
    [
        {"entities": {"Person": {"column": "x"}}}, {"entities": {"person": {}}}, {"entities": {"person": "身份证号"}},
        {"entities": {"person": {"column": "x", "missing_share_max": 2}}}, {"columns": {"x": {"role": "secret"}}},
        {"entities": {"person": {"column": "x", "through": {"resource": "y"}}}}, {"kinds": {}},
    ],
)  # fmt: skip
def test_what_has_not_the_form_of_a_fact_is_refused_by_its_field(given: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"subject\.invalid|主体声明有误"):
        Facts.read(given)


ROLES = [
    # identifier role, level, sensitive → role
    ("direct", 3, True, "key"), ("quasi", 2, False, "quasi"), ("sensitive", 3, True, "sensitive"),
    ("none", 1, False, "open"), ("none", 2, False, "sensitive"), ("none", 1, True, "sensitive"),
]  # fmt: skip


def column(
    name: str, role: str = "none", level: int = 1, *, sensitive: bool = False, kind: str = "text", n: int = 5
) -> Any:
    return ResourceColumn(name=name, identifier_role=role, level=level, sensitive=sensitive, type=kind, distinct=n)


@pytest.mark.parametrize(("identifier", "level", "sensitive", "role"), ROLES)
def test_a_role_follows_from_the_grade(identifier: str, level: int, sensitive: bool, role: str) -> None:
    assert roles_of(Facts(), [column("c", identifier, level, sensitive=sensitive)]) == {"c": role}


def test_the_department_corrects_a_role_but_a_key_stays_a_key() -> None:
    said = {n: ColumnFact(role="open", perturb="shuffle", reason="公开") for n in ("人", "号", "区")}
    facts = Facts(entities={"person": EntityFact(column="人", determined_by={"号": "就诊"})}, columns=said)
    columns = [column("人", "direct"), column("号"), column("区", "quasi"), column("费", level=2)]
    assert roles_of(facts, columns) == {"人": "key", "号": "key", "区": "open", "费": "sensitive"}
    assert perturbations_of(facts, columns)["区"] == "shuffle"


@pytest.mark.parametrize(
    ("kind", "distinct", "mode"),
    [("text", 5, "domain"), ("text", 5000, "shuffle"), ("boolean", 2, "domain"), ("integer", 2, "shuffle")],
)
def test_codes_are_exchanged_and_amounts_are_shuffled(kind: str, distinct: int, mode: str) -> None:
    assert perturbations_of(Facts(), [column("c", kind=kind, n=distinct)]) == {"c": mode}


class Looker:
    """Looks on, and asks to stop at the step of that number."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.steps: list[tuple[str, float]] = []
        self.stop_at = stop_at

    def progress(self, step: str, share: float) -> None:
        self.steps.append((step, share))

    def cancelled(self) -> bool:
        return len(self.steps) == self.stop_at


FACTS = {"person": {"column": "人", "determined_by": {"号": "就诊"}}}


def watched(folder: Path, looker: Looker) -> Checked:
    files = written(folder / "own.parquet", VISITS)
    columns = [Column(n, "text", len(set(v)), v.count(None)) for n, v in VISITS.items()]
    return verify(files, columns, Around("就诊", Facts.read({"entities": FACTS}), {}, ()), folder, looker)


def test_a_verification_tells_how_far_it_is(tmp_path: Path) -> None:
    looker = Looker()
    assert watched(tmp_path, looker).failures == []
    assert [step for step, _ in looker.steps] == ["person:owners", "person:号", "shared", "proposals"]
    shares = [share for _, share in looker.steps]
    assert shares == sorted(shares) and 0 == shares[0] < shares[-1] <= 1


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_verification_that_is_cancelled_stops_at_the_step_it_is_in(tmp_path: Path, step: int) -> None:
    looker = Looker(step)
    with pytest.raises(Cancelled):
        watched(tmp_path, looker)
    assert len(looker.steps) == step


# ---- what protects less ----

BOTH: dict[str, dict[str, Any]] = {
    "person": {"column": "人", "determined_by": {"号": "就诊"}, "missing_share_max": 0.1},
    "enterprise": {"column": "企", "holding": "集团"},
}


def changed(kind: str, **fields: Any) -> dict[str, Any]:
    return BOTH | {kind: BOTH[kind] | fields}


LOOKED_UP = {"resource": "户籍", "key": "户号", "owner": "户主"}
LESS: list[tuple[str, dict[str, Any], dict[str, str], list[str]]] = [
    ("nothing changes", BOTH, {}, []),
    ("one kind more", BOTH | {"household": {"column": "户"}}, {}, []),
    ("a kind is taken back", {"person": BOTH["person"]}, {}, ["kind"]),
    ("another key", changed("person", column="号"), {}, ["key"]),
    ("owners looked up elsewhere", changed("person", through=LOOKED_UP), {}, ["key"]),
    ("enterprises no longer grouped", changed("enterprise", holding=None), {}, ["holding"]),
    ("enterprises grouped otherwise", changed("enterprise", holding="户"), {}, ["holding"]),
    ("people grouped where they were not", changed("person", holding="户"), {}, []),
    ("more rows may lack an owner", changed("person", missing_share_max=0.2), {}, ["missing"]),
    ("fewer rows may lack an owner", changed("person", missing_share_max=0.0), {}, []),
    ("a column determines nobody any more", changed("person", determined_by={}), {}, []),
    ("a further column determines", changed("person", determined_by={"号": "就诊", "户": "户"}), {}, []),
    ("a sensitive column is called open", BOTH, {"费": "open"}, ["role"]),
    ("a sensitive column is called quasi", BOTH, {"费": "quasi"}, []),
    ("an open column is called sensitive", BOTH, {"区": "sensitive"}, []),
    ("two at once", {"person": BOTH["person"]}, {"费": "open"}, ["kind", "role"]),
]


@pytest.mark.parametrize(("entities", "roles", "codes"), [c[1:] for c in LESS], ids=[c[0] for c in LESS])
def test_what_protects_less_is_told_from_what_protects_as_much(
    entities: dict[str, Any], roles: dict[str, str], codes: list[str]
) -> None:
    levels = {"人": 3, "号": 2, "企": 2, "集团": 2, "户": 2, "费": 2, "区": 1}
    columns = [
        ResourceColumn(name=n, type="text", level=v, sensitive=False, identifier_role="none", distinct=5)
        for n, v in levels.items()
    ]  # fmt: skip
    after = Facts.read({"entities": entities, "columns": {n: {"role": r, "reason": "x"} for n, r in roles.items()}})
    assert [w.code for w in weakened(Facts.read({"entities": BOTH}), after, columns)] == codes
