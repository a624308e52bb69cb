"""The catalogue beside a folder of tables: what it may say, and what is told when it cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sandbox.kernel.errors import BadInput
from sandbox.products.facts import FactsError, described, parse_catalogue, sources_in
from sandbox.products.source import EntityKey, Through
from sandbox.products.spec import JobSpec, parse

VISITS = {"vid": ["v1", "v2", "v3"], "pid": ["a", "a", "b"], "fee": [1, 2, 3], "code": ["001", "002", "003"]}
WHOLE = """
tables:
  visit:
    level: 2
    entities:
      person: {column: pid, determined_by: [pid, vid], missing_share_max: 0.01}
    columns:
      fee: {role: sensitive, perturb: shuffle}
      code: {role: quasi, identifier: true}
"""


def job(*aliases: str, uploads: tuple[str, ...] = ()) -> JobSpec:
    """A job of the second edition that reads these inputs."""
    inputs = {a: {"upload": "U-1"} if a in uploads else {"grant": f"G-{a}"} for a in aliases}
    return parse({
        "job": "j", "edition": 2, "inputs": inputs, "output": {"kind": "aggregate", "format": "csv"},
        "product": {"from": aliases[0], "dimensions": [], "measures": {"n": {"op": "count"}}},
    })  # fmt: skip


def folder(path: Path, catalogue: str | None, **tables: dict[str, list[Any]]) -> Path:
    """A folder of CSV files, with a catalogue."""
    for name, rows in tables.items():
        pl.DataFrame(rows).write_csv(path / f"{name}.csv")
    if catalogue is not None:
        (path / "catalog.yaml").write_text(catalogue, encoding="utf-8")
    return path


def scratch(path: Path) -> Path:
    made = path / "scratch"
    made.mkdir()
    return made


def test_a_catalogue_says_whose_records_a_table_holds(tmp_path: Path) -> None:
    data = folder(tmp_path, WHOLE, visit=VISITS)
    (visit,) = sources_in(data, job("visit"), scratch(tmp_path)).values()
    assert visit.keys == (EntityKey("person", "pid", {"vid": "visit.vid"}, missing_share_max=0.01),)
    assert visit.roles == {"fee": "sensitive", "code": "quasi"} and visit.perturb == {"fee": "shuffle"}
    assert visit.level == 2 and visit.identifiers == ("code",) and visit.digest.startswith("sha256:")
    typed = pl.read_parquet(visit.files[0])
    assert typed.schema == {"vid": pl.String, "pid": pl.String, "fee": pl.Int64, "code": pl.String}


def test_an_entity_may_be_known_by_another_table_of_the_folder(tmp_path: Path) -> None:
    text = """
tables:
  line:
    entities:
      customer: {column: order, determined_by: {order: order}, through: {table: orders, key: id, owner: cust}}
"""
    data = folder(tmp_path, text, line={"order": [1, 2, 2]}, orders={"id": [1, 2], "cust": [7, 8]})
    (line,) = sources_in(data, job("line"), scratch(tmp_path)).values()
    (key,) = line.keys
    assert key.through is not None and (key.through.key, key.through.owner) == ("id", "cust")
    assert isinstance(key.through, Through) and pl.read_parquet(key.through.files[0])["cust"].to_list() == [7, 8]
    assert key.determined_by == {"order": "order"}


def test_nobodys_records_are_said_so_and_unmarked_data_is_of_the_highest_level(tmp_path: Path) -> None:
    data = folder(tmp_path, "tables: {clinic: {entities: {}}}", clinic={"cid": [1], "street": ["x"]})
    (clinic,) = sources_in(data, job("clinic"), scratch(tmp_path)).values()
    assert clinic.keys == () and clinic.level == 4


# what is wrong, catalogue, where it is told (line, field)
WRONG: list[tuple[str, str, int, str]] = [
    ("unknown field", "tables:\n  visit:\n    entities: {}\n    colour: red\n", 4, "tables.visit.colour"),
    ("nobody said whose", "tables:\n  visit:\n    level: 2\n", 2, "tables.visit.entities"),
    ("no such column", "tables:\n  visit:\n    entities:\n      person: {column: nobody}\n", 4,
     "tables.visit.entities.person.column"),
    ("no such determining column", "tables:\n  visit:\n    entities:\n      person:\n        column: pid\n"
     "        determined_by: [nope]\n", 6, "tables.visit.entities.person.determined_by"),
    ("does not determine", "tables:\n  visit:\n    entities:\n      visit: {column: vid, determined_by: [pid]}\n", 4,
     "tables.visit.entities.visit.determined_by"),
    ("unknown role", "tables:\n  visit:\n    entities: {}\n    columns:\n      fee: {role: secret}\n", 5,
     "tables.visit.columns.fee.role"),
    ("facts about no column", "tables:\n  visit:\n    entities: {}\n    columns:\n      cost: {role: open}\n", 5,
     "tables.visit.columns.cost"),
    ("share above one", "tables:\n  visit:\n    entities:\n      person: {column: pid, missing_share_max: 2.0}\n", 4,
     "tables.visit.entities.person.missing_share_max"),
    ("file outside", "tables:\n  visit:\n    file: ../visit.csv\n    entities: {}\n", 2, "tables.visit"),
    ("a table left out", "tables:\n  other:\n    entities: {}\n", 1, "tables.visit"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "text", "line", "field"), WRONG, ids=[w[0] for w in WRONG])
def test_what_is_wrong_is_told_with_line_and_field(tmp_path: Path, what: str, text: str, line: int, field: str) -> None:
    data = folder(tmp_path, text, visit=VISITS)
    with pytest.raises(FactsError) as told:
        sources_in(data, job("visit"), scratch(tmp_path))
    (problem,) = told.value.problems
    assert (problem.line, problem.path) == (line, field) and problem.zh and problem.en


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(FactsError) as told:
        parse_catalogue("tables:\n  visit:\n    level: 9\n    entities: {person: {}}\n")
    assert [p.path for p in told.value.problems] == ["tables.visit.level", "tables.visit.entities.person.column"]


def test_an_upload_belongs_to_nobody(tmp_path: Path) -> None:
    text = "tables:\n  visit: {entities: {}}\n  mine:\n    entities: {person: {column: pid}}\n"
    data = folder(tmp_path, text, visit=VISITS, mine=VISITS)
    with pytest.raises(FactsError, match="nobody"):
        sources_in(data, job("visit", "mine", uploads=("mine",)), scratch(tmp_path))


def test_without_a_catalogue_the_entity_is_named_or_nothing_runs(tmp_path: Path) -> None:
    data = folder(tmp_path, None, visit=VISITS, clinic={"cid": [1]})
    made = scratch(tmp_path)
    with pytest.raises(BadInput) as told:
        sources_in(data, job("visit"), made)
    assert told.value.code == "facts.whose"
    found = sources_in(data, job("visit", "clinic"), made, ["person=visit.pid", "clinic=clinic.cid"])
    assert found["visit"].keys == (EntityKey("person", "pid"),) and found["clinic"].keys[0].kind == "clinic"
    (plain,) = described({"visit": data / "visit.csv"}, made, ["pid"]).values()
    assert plain.keys == (EntityKey("entity", "pid"),) and plain.level == 4
    for wrong in ("nope", "person=visit.nope", "person=pid", "person=other.pid"):
        with pytest.raises(BadInput):
            described({"visit": data / "visit.csv"}, made, [wrong])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as told:
        sources_in(folder(tmp_path, WHOLE), job("visit"), scratch(tmp_path))
    assert told.value.code == "facts.no_file" and "visit" in told.value.text.zh


TWO = """
tables:
  visit:
    entities: {person: {column: pid, determined_by: {vid: visit}}}
  claim:
    entities: {person: {column: who, determined_by: {no: visit}}}
"""


@pytest.mark.parametrize(("who", "fine"), [(["a", "a", "b"], True), (["a", "b", "b"], False)], ids=["same", "another"])
def test_a_value_space_of_two_tables_leads_to_one_entity_in_both(tmp_path: Path, who: list[str], fine: bool) -> None:
    """What ingestion verifies over published tables holds for a folder of files as well."""
    claims = {"no": ["v1", "v2", "v3"], "who": who}
    data = folder(tmp_path, TWO, visit={n: VISITS[n] for n in ("vid", "pid")}, claim=claims)
    if fine:
        assert len(sources_in(data, job("visit", "claim"), scratch(tmp_path))) == 2
        return
    with pytest.raises(FactsError, match=r"visit") as refused:
        sources_in(data, job("visit", "claim"), scratch(tmp_path))
    (problem,) = refused.value.problems
    assert problem.path == "tables.claim.entities.person.determined_by" and "visit" in problem.zh and problem.line == 6
