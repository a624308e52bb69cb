"""Simulated twins as records of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "twin",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("resource_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("basis", sa.String(length=64), nullable=False),
        sa.Column("parents", sa.JSON(), nullable=False),
        sa.Column("lake_version", sa.Integer(), nullable=True),
        sa.Column("engine", sa.String(length=40), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("content_sha256", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("public", sa.JSON(), nullable=False),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=False),
        sa.Column("signature", sa.String(length=100), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("distributions", sa.JSON(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("made_by", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_twin")),
        sa.UniqueConstraint("resource_id", "number", name=op.f("uq_twin_resource_id")),
    )
    op.create_index(op.f("ix_twin_resource_id"), "twin", ["resource_id"], unique=False)
    _carry_over()
    with op.batch_alter_table("resource") as batch:
        batch.drop_column("simulation")


def _carry_over() -> None:
    """Published twins become records; of what they were made was not recorded, so they count as stale."""
    resource = sa.table(
        "resource", sa.column("id"), sa.column("current_version"), sa.column("simulated_version"),
        sa.column("state_since"), sa.column("simulation", sa.JSON()),
    )  # fmt: skip
    json = ("parents", "asked", "manifest", "public", "fields", "distributions", "files")
    plain = ("id", "resource_id", "number", "version", "basis", "lake_version", "engine", "seed", "rows",
             "content_sha256", "outcome", "manifest_sha256", "signature", "job_id", "made_by", "created_at")  # fmt: skip
    twin = sa.table("twin", *(sa.column(c) for c in plain), *(sa.column(c, sa.JSON()) for c in json))
    for row in op.get_bind().execute(sa.select(resource).where(resource.c.simulated_version.is_not(None))).all():
        manifest = (row.simulation or {}).get("manifest", {})
        public = (row.simulation or {}).get("public", {})
        op.get_bind().execute(
            twin.insert().values(
                id=f"twin-{row.id}", resource_id=row.id, number=1, version=row.current_version or 0, basis="",
                parents={}, lake_version=row.simulated_version, engine=manifest.get("engine", {}).get("used", ""),
                seed=manifest.get("seed", 0), rows=manifest.get("rows", 0),
                content_sha256=manifest.get("digest", ""),
                outcome=(row.simulation or {}).get("verdict", {}).get("outcome", "review"), asked={},
                manifest=manifest, public=public, manifest_sha256="", signature="", fields=[], distributions=[],
                files={}, job_id="", made_by="system", created_at=row.state_since,
            )
        )  # fmt: skip
