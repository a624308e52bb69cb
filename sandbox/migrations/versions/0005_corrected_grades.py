"""People correct category, sensitivity and role as well as the level; what the machine proposed is kept beside it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    with op.batch_alter_table("resource_column") as batch:
        batch.add_column(sa.Column("proposed_category", sa.String(length=80), nullable=True))
        batch.add_column(sa.Column("proposed_sensitive", sa.Boolean(), nullable=True))
        batch.add_column(sa.Column("proposed_role", sa.String(length=20), nullable=True))
    op.execute(
        "UPDATE resource_column SET proposed_category = category, proposed_sensitive = sensitive, "
        "proposed_role = identifier_role"
    )
    with op.batch_alter_table("resource_column") as batch:
        batch.alter_column("proposed_category", existing_type=sa.String(length=80), nullable=False)
        batch.alter_column("proposed_sensitive", existing_type=sa.Boolean(), nullable=False)
        batch.alter_column("proposed_role", existing_type=sa.String(length=20), nullable=False)
    _change_lowerings()


def _change_lowerings() -> None:
    """A request named one level and another; it names every fact that is to be weaker now."""
    with op.batch_alter_table("lowering") as batch:
        batch.add_column(sa.Column("before", sa.JSON(), nullable=True))
        batch.add_column(sa.Column("after", sa.JSON(), nullable=True))
    table = sa.table(
        "lowering", sa.column("id"), sa.column("source"), sa.column("target"), sa.column("before", sa.JSON()),
        sa.column("after", sa.JSON()),
    )  # fmt: skip
    connection = op.get_bind()
    for row in connection.execute(sa.select(table.c.id, table.c.source, table.c.target)).all():
        kept = {"before": {"level": row.source}, "after": {"level": row.target}}
        connection.execute(table.update().where(table.c.id == row.id).values(**kept))
    with op.batch_alter_table("lowering") as batch:
        batch.alter_column("before", existing_type=sa.JSON(), nullable=False)
        batch.alter_column("after", existing_type=sa.JSON(), nullable=False)
        batch.drop_column("source")
        batch.drop_column("target")
