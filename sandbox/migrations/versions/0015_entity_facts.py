"""Facts about entities replace the mere names of key columns; what their verification found is kept."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "subject_check",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("resource_id", sa.String(length=64), nullable=False),
        sa.Column("lake_version", sa.Integer(), nullable=False),
        sa.Column("facts", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("kinds", sa.JSON(), nullable=False),
        sa.Column("proposals", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subject_check")),
        sa.UniqueConstraint(
            "resource_id", "lake_version", "facts", name=op.f("uq_subject_check_resource_id")
        ),
    )
    op.create_index(op.f("ix_subject_check_resource_id"), "subject_check", ["resource_id"], unique=False)
    with op.batch_alter_table("resource") as table:
        table.add_column(sa.Column("subjects", sa.JSON(), nullable=False, server_default='{"entities": {}}'))
    connection = op.get_bind()
    resources = sa.table("resource", sa.column("id"), sa.column("subjects", sa.JSON()))
    for resource_id, keys in connection.execute(sa.text("SELECT id, entity_keys FROM resource")).all():
        known = json.loads(keys) if isinstance(keys, str) else keys
        facts = {"entities": {kind: {"column": column} for kind, column in known.items()}}
        connection.execute(resources.update().where(resources.c.id == resource_id).values(subjects=facts))
    with op.batch_alter_table("resource") as table:
        table.drop_column("entity_keys")
        table.alter_column("subjects", server_default=None)
