"""Row rules of grants, what went with an ended application, and what was read of granted rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    with op.batch_alter_table("grant") as grant:
        grant.add_column(sa.Column("rows", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("grant") as grant:
        grant.alter_column("rows", server_default=None)
    with op.batch_alter_table("application") as application:
        application.add_column(sa.Column("disposal", sa.JSON(), nullable=True))
    op.create_table(
        "row_read",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=False),
        sa.Column("tables", sa.JSON(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_row_read")),
    )
    op.create_index(op.f("ix_row_read_workspace_id"), "row_read", ["workspace_id"], unique=False)
    op.create_table(
        "row_read_grant",
        sa.Column("read_id", sa.String(length=64), nullable=False),
        sa.Column("grant_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("read_id", "grant_id", name=op.f("pk_row_read_grant")),
    )
    op.create_index(op.f("ix_row_read_grant_grant_id"), "row_read_grant", ["grant_id"], unique=False)
