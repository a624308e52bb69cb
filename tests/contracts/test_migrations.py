"""The migrations give exactly the schema that the models describe, on both databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from sandbox.kernel.clock import FixedClock
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from sandbox.migrations.tables import METADATA
from tests.conftest import MONDAY


def _schema(platform: Platform) -> dict[str, Any]:
    found = inspect(platform.database.engine)
    return {
        table: ([(c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(table)],
                sorted(str(i["name"]) for i in found.get_indexes(table)))
        for table in found.get_table_names()
    }  # fmt: skip


def test_migrated_schema_is_the_models_schema(any_platform: Platform) -> None:
    with any_platform.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []


def test_every_constraint_has_a_name(any_platform: Platform) -> None:
    found = inspect(any_platform.database.engine)
    for table in METADATA.tables:
        assert found.get_pk_constraint(table)["name"], table
        assert all(c["name"] for c in found.get_unique_constraints(table)), table


def test_migrating_again_changes_nothing(any_platform: Platform) -> None:
    before = _schema(any_platform)
    with any_platform.system() as unit:
        unit.audit("test:happen", "test", "before")
    any_platform.database.migrate()
    assert _schema(any_platform) == before
    with any_platform.database.transaction() as session:
        assert session.execute(text("SELECT count(*) FROM audit_event WHERE object_id = 'before'")).scalar() == 1


def test_fresh_home_is_migrated_from_nothing(tmp_path: Path) -> None:
    platform = Platform(Settings(home=tmp_path / "new"), FixedClock(MONDAY))
    platform.database.migrate()
    with platform.system() as unit:
        assert unit.audit("test:happen", "test", "first").seq == 1
    platform.database.dispose()


def test_both_databases_keep_the_same_tables_and_indexes(any_platform: Platform) -> None:
    kept = _schema(any_platform)
    assert set(kept) == {*METADATA.tables, "alembic_version"}
    for name, table in METADATA.tables.items():
        assert set(kept[name][1]) >= {str(i.name) for i in table.indexes}


def test_text_that_a_route_accepts_fits_its_column() -> None:
    """PostgreSQL measures text, SQLite does not: a longer input must be refused before it gets there."""
    from api.routes import shapes

    pairs = {
        (shapes.DecisionIn, "reason"): ("approval", "reason"),
        (shapes.OnboardingIn, "business"): ("onboarding", "business"),
        (shapes.OnboardingIn, "contact"): ("onboarding", "contact"),
        (shapes.RegistrationIn, "organisation"): ("organisation", "name"),
        (shapes.RegistrationIn, "login"): ("account", "login"),
        (shapes.RegistrationIn, "person"): ("account", "name"),
        (shapes.TokenIn, "label"): ("credential", "label"),
        (shapes.ResourceIn, "name"): ("resource", "name"),
        (shapes.ResourceIn, "description"): ("resource", "description"),
        (shapes.ResourceIn, "registration_code"): ("resource", "registration_code"),
        (shapes.ResourceIn, "update_cycle"): ("resource", "update_cycle"),
        (shapes.ApplicationIn, "scenario"): ("application", "scenario"),
        (shapes.ApplicationIn, "purpose"): ("application", "purpose"),
        (shapes.ExportIn, "title"): ("export_request", "title"),
        (shapes.ExportIn, "remark"): ("export_request", "remark"),
    }
    for (shape, field), (table, column) in pairs.items():
        limit = shape.model_json_schema()["properties"][field].get("maxLength")
        room = METADATA.tables[table].c[column].type.length  # type: ignore[attr-defined]
        assert limit is not None and limit <= room, f"{shape.__name__}.{field}: {limit} into {table}.{column}: {room}"


@pytest.mark.parametrize("table", sorted(METADATA.tables))
def test_every_table_has_a_primary_key(table: str) -> None:
    assert METADATA.tables[table].primary_key.columns
