"""Cells of the ledger keep the labels of their dimensions, so that parts are found that make up a whole."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("ledger_cell", sa.Column("labels", sa.JSON(), nullable=True))
