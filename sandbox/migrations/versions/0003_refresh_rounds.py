"""Refresh rounds and schedules: whose limit a job counts against, the round it belongs to, and when a round is due."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("department_id", sa.String(length=64), nullable=True))
        job.add_column(sa.Column("round_id", sa.String(length=64), nullable=True))
        job.add_column(sa.Column("waits", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("job") as job:
        job.alter_column("waits", server_default=None)
    op.create_index(op.f("ix_job_department_id"), "job", ["department_id"], unique=False)
    op.create_index(op.f("ix_job_round_id"), "job", ["round_id"], unique=False)
    op.create_table(
        "refresh_schedule",
        sa.Column("organisation_id", sa.String(length=64), nullable=False),
        sa.Column("cron", sa.String(length=80), nullable=True),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("set_by", sa.String(length=64), nullable=False),
        sa.Column("set_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", name=op.f("pk_refresh_schedule")),
    )
