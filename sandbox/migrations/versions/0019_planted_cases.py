"""Planted cases say which rule they break."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    with op.batch_alter_table("export_request") as table:
        table.add_column(sa.Column("canary_rule", sa.String(length=40), nullable=True))
