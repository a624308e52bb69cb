"""Self-checks of merchants."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    def text(name: str, length: int = 64, *, nullable: bool = False) -> sa.Column[str]:
        return sa.Column(name, sa.String(length=length), nullable=nullable)

    op.create_table(
        "self_check", text("id"), text("organisation_id"), text("workspace_id"), text("author_id"),
        text("created_at", 32), text("name", 300), text("sha256"), sa.Column("spec", sa.JSON(), nullable=True),
        text("after", nullable=True), text("outcome", 20, nullable=True), sa.Column("verdict", sa.JSON(), nullable=True),
        sa.Column("repairs", sa.JSON(), nullable=False), sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("milliseconds", sa.Integer(), nullable=True), sa.PrimaryKeyConstraint("id", name=op.f("pk_self_check")),
    )  # fmt: skip
    op.create_index(op.f("ix_self_check_workspace_id"), "self_check", ["workspace_id"], unique=False)
    op.create_index(op.f("ix_self_check_created_at"), "self_check", ["created_at"], unique=False)
