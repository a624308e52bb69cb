"""Runs know their grants and their family of near-equal jobs; runs that never left simulated data are not counted."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "run_grant",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("grant_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "grant_id", name=op.f("pk_run_grant")),
    )
    op.create_index(op.f("ix_run_grant_grant_id"), "run_grant", ["grant_id"], unique=False)
    with op.batch_alter_table("run") as table:
        table.add_column(sa.Column("family", sa.String(length=64), nullable=False, server_default=""))
        table.add_column(sa.Column("shape", sa.JSON(), nullable=False, server_default='{"parts": {}, "words": {}}'))
        table.add_column(sa.Column("counted", sa.Boolean(), nullable=False, server_default=sa.true()))
        table.create_index(op.f("ix_run_family"), ["family"], unique=False)
    # Runs of before: each a family of its own, with the grants its job names.
    connection = op.get_bind()
    connection.execute(sa.text("UPDATE run SET family = id"))
    grants = sa.table("run_grant", sa.column("run_id"), sa.column("grant_id"))
    for run_id, spec in connection.execute(sa.text("SELECT id, spec FROM run")).all():
        inputs = (json.loads(spec) if isinstance(spec, str) else spec)["inputs"]
        named = sorted({one["grant"] for one in inputs.values()})
        op.bulk_insert(grants, [{"run_id": run_id, "grant_id": grant} for grant in named])
    with op.batch_alter_table("run") as table:
        for name in ("family", "shape", "counted"):
            table.alter_column(name, server_default=None)
