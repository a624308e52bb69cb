"""Deliveries of their own, columns for each version, requests to lower a level.

What is published stays published. A proposal that waited keeps waiting, now beside nothing; a file that was being read
when the program was changed has to be delivered again.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_STATES = {"proposed": "proposed", "confirmed": "confirmed", "published": "current", "withdrawn": "current"}
"""state of a resource before → state of the delivery that its last version came from"""


def upgrade() -> None:
    op.create_table(
        "delivery",
        sa.Column("resource_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("mode", sa.String(length=10), nullable=False),
        sa.Column("file_name", sa.String(length=300), nullable=False),
        sa.Column("file_sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("delivered_by", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=4000), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("recipe", sa.JSON(), nullable=True),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("preview", sa.JSON(), nullable=True),
        *_stateful(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("resource_id", "number", name=op.f("uq_delivery_resource_id")),
    )
    op.create_table(
        "lowering",
        sa.Column("resource_id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("column_name", sa.String(length=200), nullable=False),
        sa.Column("source", sa.Integer(), nullable=False),
        sa.Column("target", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=4000), nullable=False),
        sa.Column("author_id", sa.String(length=64), nullable=False),
        sa.Column("reviewer_id", sa.String(length=64), nullable=True),
        sa.Column("decision", sa.String(length=4000), nullable=False),
        *_stateful(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lowering")),
    )
    for table in ("delivery", "lowering"):
        for column in ("organisation_id", "resource_id", "state"):
            op.create_index(op.f(f"ix_{table}_{column}"), table, [column], unique=False)
    _change_versions()
    _change_columns()
    _make_deliveries()


def _stateful() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("organisation_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=30), nullable=False),
        sa.Column("state_since", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=False),
    ]


def _change_versions() -> None:
    with op.batch_alter_table("resource_version") as batch:
        batch.add_column(sa.Column("delivery_id", sa.String(length=64), nullable=True))
        batch.add_column(sa.Column("raw_version", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("quarantine_version", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("rows", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("level", sa.Integer(), nullable=True))
    op.execute("UPDATE resource_version SET rows = rows_loaded, delivery_id = 'dlv-' || id")
    op.execute(
        "UPDATE resource_version SET level = COALESCE("
        "(SELECT r.level FROM resource r WHERE r.id = resource_version.resource_id), 4)"
    )
    with op.batch_alter_table("resource_version") as batch:
        batch.alter_column("delivery_id", existing_type=sa.String(length=64), nullable=False)
        batch.alter_column("rows", existing_type=sa.BigInteger(), nullable=False)
        batch.alter_column("level", existing_type=sa.Integer(), nullable=False)


def _change_columns() -> None:
    with op.batch_alter_table("resource_column") as batch:
        batch.add_column(sa.Column("version", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("proposed_level", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("subject", sa.String(length=20), nullable=True))
    op.execute(
        "UPDATE resource_column SET proposed_level = level, subject = 'unknown', version = COALESCE("
        "(SELECT r.current_version FROM resource r WHERE r.id = resource_column.resource_id), 0)"
    )
    with op.batch_alter_table("resource_column") as batch:
        batch.alter_column("version", existing_type=sa.Integer(), nullable=False)
        batch.alter_column("proposed_level", existing_type=sa.Integer(), nullable=False)
        batch.alter_column("subject", existing_type=sa.String(length=20), nullable=False)
        batch.alter_column("missing", existing_type=sa.Integer(), type_=sa.BigInteger(), existing_nullable=False)
        batch.alter_column("distinct", existing_type=sa.Integer(), type_=sa.BigInteger(), existing_nullable=False)
        batch.drop_constraint(op.f("uq_resource_column_resource_id"), type_="unique")
        batch.create_unique_constraint(
            op.f("uq_resource_column_resource_id"), ["resource_id", "version", "name"]
        )  # fmt: skip


def _make_deliveries() -> None:
    """One delivery for every version there is; the last one stands where its resource stood."""
    found = op.get_bind().execute(
        sa.text(
            "SELECT v.id, v.resource_id, v.number, v.created_at, v.file_name, v.file_sha256, r.organisation_id, r.state, "
            "r.current_version FROM resource_version v JOIN resource r ON r.id = v.resource_id ORDER BY v.number"
        )
    )
    rows = [
        {
            "id": f"dlv-{row.id}", "resource_id": row.resource_id, "number": row.number, "mode": "replace",
            "file_name": row.file_name, "file_sha256": row.file_sha256, "bytes": 0, "delivered_by": "system",
            "reason": "", "attempt": 1, "version": row.number, "organisation_id": row.organisation_id,
            "state": _STATES.get(row.state, "superseded") if row.number == row.current_version else "superseded",
            "state_since": row.created_at, "created_at": row.created_at, "row_version": 0,
        }
        for row in found
    ]  # fmt: skip
    names = [*rows[0]] if rows else []
    table = sa.table("delivery", *(sa.column(name) for name in names))
    if rows:
        op.bulk_insert(table, rows)
    op.execute(
        "UPDATE resource SET current_version = NULL, level = NULL, state = 'registered' "
        "WHERE state NOT IN ('published', 'withdrawn')"
    )
