"""The ledger of use, sealed against changes; measures of storage; requests for a higher quota."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_NUMBERS = ("cpu_us", "memory_mb_ms", "storage_kb_s", "rows", "bytes", "measured_cpu_us", "measured_memory_mb_ms")


def upgrade() -> None:
    op.create_table(
        "use_entry",
        sa.Column("id", sa.String(length=120), nullable=False),
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("organisation_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("edition", sa.String(length=40), nullable=False),
        *[sa.Column(name, sa.BigInteger(), nullable=False) for name in _NUMBERS],
        sa.PrimaryKeyConstraint("id", name=op.f("pk_use_entry")),
    )
    op.create_table(
        "use_day",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("cpu_us", sa.BigInteger(), nullable=False),
        sa.Column("memory_mb_ms", sa.BigInteger(), nullable=False),
        *[sa.Column(name, sa.Integer(), nullable=False) for name in ("queries", "reads", "scripts")],
        sa.PrimaryKeyConstraint("workspace_id", "day", name=op.f("pk_use_day")),
    )
    op.create_table(
        "storage_mark",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("kb", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_storage_mark")),
    )
    op.create_table(
        "quota_request",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("author_id", sa.String(length=64), nullable=False),
        sa.Column("measure", sa.String(length=10), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("granted", sa.Integer(), nullable=True),
        sa.Column("until", sa.String(length=10), nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("organisation_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=30), nullable=False),
        sa.Column("state_since", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quota_request")),
    )
    op.create_index("ix_use_entry_workspace_id", "use_entry", ["workspace_id", "day"], unique=False)
    op.create_index(op.f("ix_use_entry_day"), "use_entry", ["day"], unique=False)
    for column in ("workspace_id", "organisation_id", "state"):
        op.create_index(op.f(f"ix_quota_request_{column}"), "quota_request", [column], unique=False)
    _seal()


def _seal() -> None:
    """Refuse UPDATE and DELETE on the ledger, whoever asks."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER use_entry_no_{verb.lower()} BEFORE {verb} ON use_entry "
                "BEGIN SELECT RAISE(ABORT, 'the ledger of use is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION use_entry_sealed() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger of use is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER use_entry_sealed BEFORE UPDATE OR DELETE ON use_entry "
        "FOR EACH ROW EXECUTE FUNCTION use_entry_sealed()"
    )
    op.execute(
        "CREATE TRIGGER use_entry_untruncated BEFORE TRUNCATE ON use_entry "
        "FOR EACH STATEMENT EXECUTE FUNCTION use_entry_sealed()"
    )
