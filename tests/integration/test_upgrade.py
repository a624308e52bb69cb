"""An installation of the first schema is brought to the present one with everything it held."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import sandbox.migrations
from sandbox.catalog import repository, subjects, twins
from sandbox.catalog.entityfacts import EntityFact, Facts
from sandbox.exports import ledger
from sandbox.exports import repository as exports
from sandbox.exports.differencing import near_pairs
from sandbox.exports.history import ReleasedCell
from sandbox.exports.repository import ExportRequest
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from sandbox.products.cells import packed
from tests.conftest import MONDAY
from tests.postgres import PostgresServer

AT = "2026-03-02T01:00:00.000000+00:00"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Platform:
    """A platform on an empty database of the first schema."""
    url = None
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.fresh_database()
    made = Platform(Settings(home=tmp_path / "home", database_url=url), FixedClock(MONDAY))
    migrate(made, "0001")
    return made


def migrate(platform: Platform, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(sandbox.migrations.__file__).parent))
    config.attributes["engine"] = platform.database.engine
    command.upgrade(config, revision)


def insert(platform: Platform, table: str, **values: Any) -> None:
    names = ", ".join(f'"{n}"' for n in values)
    places = ", ".join(f":{n}" for n in values)
    with platform.database.transaction() as session:
        session.execute(sa.text(f'INSERT INTO "{table}" ({names}) VALUES ({places})'), values)


def resource(platform: Platform, name: str, state: str, versions: int) -> None:
    """A resource as the first schema kept it, its columns those of the last version."""
    insert(
        platform, "resource", id=name, name=name, description="", registration_code="", update_cycle="",
        entity_keys="{}", declared="{}", current_version=versions or None, level=3 if versions else None,
        simulated_version=None, simulation=None, organisation_id="org-a", state=state, state_since=AT, created_at=AT,
        row_version=0,
    )  # fmt: skip
    for number in range(1, versions + 1):
        insert(
            platform, "resource_version", id=f"{name}-{number}", resource_id=name, number=number, created_at=AT,
            file_name="x.csv", file_sha256=f"{number}", lake_version=number - 1, lake_digest="d", rows_in=10,
            rows_loaded=9, rows_quarantined=1, recipe="{}", accounting="{}", findings="[]", quality="{}", grading="{}",
        )  # fmt: skip
    if versions:
        insert(
            platform, "resource_column", id=f"{name}-c", resource_id=name, position=0, name="区", type="text",
            comment="", category="B", level=3, sensitive=False, identifier_role="none", entity=None, rule="R",
            evidence="[]", confirmed=state == "published", missing=0, distinct=4,
        )  # fmt: skip


def test_what_was_published_stays_and_what_waited_waits(old: Platform) -> None:
    for name, state, versions in (("published", "published", 2), ("proposed", "proposed", 1), ("new", "registered", 0),
                                  ("sent-back", "rejected", 1)):  # fmt: skip
        resource(old, name, state, versions)
    old.database.migrate()
    with old.system() as unit:
        session = unit.session
        found = {r.id: (r.state, r.current_version, r.level) for r in repository.every(session)}
        states = {r: [d.state for d in repository.deliveries(session, r)] for r in found}
        columns = {r: [(c.level, c.version) for c in repository.columns(session, r)] for r in found}
        waiting = repository.pending(session, "proposed")
        assert waiting is not None
        proposed = repository.columns(session, "proposed", waiting.version)
    assert found == {
        "published": ("published", 2, 3), "proposed": ("registered", None, None), "new": ("registered", None, None),
        "sent-back": ("registered", None, None),
    }  # fmt: skip
    assert states == {
        "published": ["current", "superseded"], "proposed": ["proposed"], "new": [], "sent-back": ["superseded"]
    }  # fmt: skip
    assert columns == {"published": [(3, 2)], "proposed": [], "new": [], "sent-back": []}
    assert [(c.name, c.level, c.proposed_level) for c in proposed] == [("区", 3, 3)]
    old.database.dispose()


def test_a_published_twin_becomes_a_record_that_counts_as_stale(old: Platform) -> None:
    """Of what it was made was not recorded, so nobody may take it for up to date."""
    resource(old, "with", "published", 2)
    resource(old, "without", "published", 1)
    manifest = {"engine": {"used": "tree"}, "seed": 5, "rows": 40, "digest": "d" * 64}
    kept = {"manifest": manifest, "public": manifest, "verdict": {"outcome": "review"}}
    with old.database.transaction() as session:
        session.execute(
            sa.text("UPDATE resource SET simulated_version = 3, simulation = :kept WHERE id = 'with'"),
            {"kept": json.dumps(kept)},
        )
    old.database.migrate()
    with old.system() as unit:
        one, other = (twins.standing(unit.session, repository.get(unit.session, r)) for r in ("with", "without"))
    assert one.current is not None
    assert (one.current.number, one.current.version, one.current.lake_version) == (1, 2, 3)
    assert (one.current.engine, one.current.seed, one.current.rows, one.current.outcome) == ("tree", 5, 40, "review")
    assert (one.current.public, one.stale, one.releases) == (manifest, ("unbound",), 1)
    assert (other.current, other.stale, other.releases) == (None, (), 0)
    old.database.dispose()


def test_a_key_column_becomes_a_fact_that_is_not_verified_yet(old: Platform) -> None:
    """What was registered as a name of a column is declared from now on; nobody has looked at the rows for it."""
    resource(old, "visits", "published", 1)
    keys = json.dumps({"person": "身份证号"})
    with old.database.transaction() as session:
        session.execute(sa.text("UPDATE resource SET entity_keys = :keys"), {"keys": keys})
    old.database.migrate()
    with old.system() as unit:
        found = repository.get(unit.session, "visits")
        assert found.facts == Facts(entities={"person": EntityFact(column="身份证号")})
        assert subjects.verified(unit.session, found, repository.version(unit.session, "visits", 1)) is None
    old.database.dispose()


def test_a_lowering_that_waits_names_its_levels_as_before(old: Platform) -> None:
    """It was asked for when only levels could be changed; the grade there was is what the machine proposed."""
    resource(old, "published", "published", 1)
    migrate(old, "0004")
    insert(
        old, "lowering", id="low-1", organisation_id="org-a", state="requested", state_since=AT, created_at=AT,
        row_version=0, resource_id="published", version=1, column_name="区", source=3, target=2, reason="核实",
        author_id="acc-a", reviewer_id=None, decision="",
    )  # fmt: skip
    old.database.migrate()
    with old.system() as unit:
        found = repository.lowering(unit.session, "low-1")
        (column,) = repository.columns(unit.session, "published")
        assert (found.state, found.before, found.after) == ("requested", {"level": 3}, {"level": 2})
        assert (column.proposed_category, column.proposed_sensitive, column.proposed_role) == ("B", False, "none")
    old.database.dispose()


def test_cells_that_had_left_are_in_the_ledger_with_their_sets_and_its_index(old: Platform) -> None:
    sets = {"person": [range(40), range(100, 160)], "firm": [range(40)]}
    kept = [(kind, packed(list(members)), len(members)) for kind, some in sets.items() for members in some]
    for number, (kind, (name, raw), n) in enumerate([*kept, kept[0]]):
        insert(
            old, "ledger_cell", id=f"c{number}", release_id=f"rel-{number}", organisation_id="m-1", audience="contract",
            place=f"a.csv#row={number}", kind=kind, variable="count", op="count_distinct", n=n, bitmap=name,
            members=raw, low=n - 2.0, high=n + (2.0 if number else -2.0),
        )  # fmt: skip
    old.database.migrate()
    name, raw = packed(list(range(39)))
    asked = ReleasedCell("this", "b.csv#row=1", "person", "count", "count_distinct", 39, name, raw)
    with old.system() as unit:
        session = unit.session
        request = ExportRequest(id="e", organisation_id="m-1", audience="contract")
        seen = ledger.seen(session, request, [asked], (), "k", 10)
        assert {(c.release, c.n, c.value, c.status) for c in seen.history} == {
            ("rel-0", 40, "exact", "released"), ("rel-1", 60, "rounded", "released"),
            ("rel-3", 40, "rounded", "released"),
        }  # fmt: skip
        assert [p.distance for p in near_pairs([asked], seen.history, threshold=10, near=seen.near).found] == [1]
        assert session.scalar(sa.text("SELECT count(*) FROM ledger_set")) == 3  # one of them was released twice
        indexed = [name for (names,) in session.query(ledger.LedgerBlock.digests) for name in names.split()]
        assert len(indexed) == 3


def test_a_request_of_before_is_a_group_of_its_own_with_its_words(old: Platform) -> None:
    migrate(old, "0020")
    said = {"purpose": "排班", "population": "全部门诊", "controls": "取整"}
    for name in ("exp-1", "exp-2"):
        insert(
            old, "export_request", id=name, organisation_id="m-1", state="in_review", state_since=AT, created_at=AT,
            row_version=3, application_id="app-1", artefact_id="art-1", title="t", remark="", audience="public",
            author_id="acc-1", context=json.dumps(said | {"purpose": name}), frozen=None, verdict=None, stakes=None,
            round=2, canary=None, canary_rule=None,
        )  # fmt: skip
    old.database.migrate()
    with old.system() as unit:
        found = [exports.get(unit.session, name) for name in ("exp-1", "exp-2")]
        assert [r.context for r in found] == [said | {"purpose": r.id} for r in found]
        assert [exports.together(unit.session, r.group_id) for r in found] == [[r] for r in found]
        assert [(r.number, r.round, r.group.author_id, r.group.created_at.isoformat()) for r in found] == [
            (1, 2, "acc-1", "2026-03-02T01:00:00+00:00")
        ] * 2  # fmt: skip
    old.database.dispose()
