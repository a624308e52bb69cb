"""Review by votes, remarks and opinions; planted cases; notices of releases and recalls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def _text(name: str, length: int = 64) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), nullable=False)


def _index(table: str, column: str) -> None:
    op.create_index(op.f(f"ix_{table}_{column}"), table, [column], unique=False)


def upgrade() -> None:
    with op.batch_alter_table("export_request") as table:
        table.add_column(sa.Column("context", sa.JSON(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("stakes", sa.JSON(), nullable=True))
        table.add_column(sa.Column("canary", sa.String(length=80), nullable=True))
        table.alter_column("context", server_default=None)
        table.create_check_constraint(
            "canary_never_released", "canary IS NULL OR state NOT IN ('released', 'recalled', 'expired')"
        )
    with op.batch_alter_table("review") as table:
        table.add_column(sa.Column("verdict", sa.String(length=64), nullable=False, server_default=""))
        table.alter_column("verdict", server_default=None)
    op.create_table(
        "export_vote", _text("request_id"), sa.Column("round", sa.Integer(), nullable=False), _text("reviewer_id"),
        _text("artefact_id"), _text("vote", 20), _text("at", 32),
        sa.PrimaryKeyConstraint("request_id", "round", "reviewer_id", "artefact_id", name=op.f("pk_export_vote")),
    )  # fmt: skip
    op.create_table(
        "export_comment", _text("id"), _text("request_id"), sa.Column("round", sa.Integer(), nullable=False),
        _text("writer_id"), _text("organisation_id"), _text("audience", 20), _text("text", 4000), _text("at", 32),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export_comment")),
    )  # fmt: skip
    _index("export_comment", "request_id")
    op.create_table(
        "export_look", _text("id"), _text("request_id"), _text("officer_id"), _text("reason", 4000), _text("at", 32),
        _text("until", 32), sa.PrimaryKeyConstraint("id", name=op.f("pk_export_look")),
    )  # fmt: skip
    _index("export_look", "request_id")
    _notices()


def _notices() -> None:
    op.create_table(
        "release_notice", _text("release_id"), _text("organisation_id"), _text("kind", 20), _text("request_id"),
        sa.Column("resources", sa.JSON(), nullable=False), _text("at", 32),
        sa.Column("seen_at", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("release_id", "organisation_id", "kind", name=op.f("pk_release_notice")),
    )  # fmt: skip
    _index("release_notice", "organisation_id")
    _index("release_notice", "request_id")
    op.create_table(
        "recall_request", _text("request_id"), _text("reason", 4000), _text("answer", 4000), _text("id"),
        _text("organisation_id"), _text("state", 30), _text("state_since", 32), _text("created_at", 32),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recall_request")),
    )  # fmt: skip
    for column in ("request_id", "organisation_id", "state"):
        _index("recall_request", column)
