"""Field plans of the simulation, and what operators answer (仿真方案)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "field_plan",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("resource_id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.String(length=32), nullable=False),
        sa.Column("entries", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_field_plan")),
        sa.UniqueConstraint("resource_id", "version", name=op.f("uq_field_plan_resource_id")),
    )
    op.create_table(
        "field_answer",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("resource_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("column_name", sa.String(length=200), nullable=False),
        sa.Column("column_type", sa.String(length=40), nullable=False),
        sa.Column("semantic", sa.String(length=40), nullable=False),
        sa.Column("by_default", sa.Boolean(), nullable=False),
        sa.Column("answered_by", sa.String(length=64), nullable=False),
        sa.Column("answered_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_field_answer")),
        sa.UniqueConstraint("resource_id", "number", name=op.f("uq_field_answer_resource_id")),
    )
    for table in ("field_plan", "field_answer"):
        op.create_index(op.f(f"ix_{table}_resource_id"), table, ["resource_id"], unique=False)
