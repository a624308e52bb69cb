"""Files that leave together: a request belongs to a group, which holds purpose, population and controls once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

OF_EVERY_REQUEST = sa.text(
    "INSERT INTO export_group (id, organisation_id, application_id, author_id, context, created_at) "
    "SELECT 'grp-' || id, organisation_id, application_id, author_id, context, created_at FROM export_request"
)
"""What was asked for before was asked for alone."""


def upgrade() -> None:
    def text(name: str, length: int = 64, *, nullable: bool = False) -> sa.Column[str]:
        return sa.Column(name, sa.String(length=length), nullable=nullable)

    op.create_table(
        "export_group", text("id"), text("organisation_id"), text("application_id"), text("author_id"),
        sa.Column("context", sa.JSON(), nullable=False), text("created_at", 32),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export_group")),
    )  # fmt: skip
    for column in ("organisation_id", "application_id"):
        op.create_index(op.f(f"ix_export_group_{column}"), "export_group", [column], unique=False)
    op.execute(OF_EVERY_REQUEST)
    with op.batch_alter_table("export_request") as table:
        table.add_column(text("group_id", nullable=True))
        table.add_column(sa.Column("number", sa.Integer(), nullable=False, server_default="1"))
    op.execute(sa.text("UPDATE export_request SET group_id = 'grp-' || id"))
    with op.batch_alter_table("export_request") as table:
        table.alter_column("group_id", existing_type=sa.String(length=64), nullable=False)
        table.alter_column("number", existing_type=sa.Integer(), server_default=None)
        table.create_foreign_key(op.f("fk_export_request_group_id"), "export_group", ["group_id"], ["id"])
        table.create_index(op.f("ix_export_request_group_id"), ["group_id"], unique=False)
        table.drop_column("context")
