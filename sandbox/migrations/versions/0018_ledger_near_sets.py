"""The index of near sets is ordered by size within a rank: sets too large or too small are not even looked at."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    with op.batch_alter_table("ledger_prefix") as table:
        table.drop_constraint("pk_ledger_prefix", type_="primary")
        table.create_primary_key("pk_ledger_prefix", ["lineage_id", "rank", "n", "digest"])
