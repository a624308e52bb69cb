"""Alembic's entry: runs the revisions on the engine that the platform hands over."""

from __future__ import annotations

from alembic import context

from sandbox.migrations.tables import METADATA

with context.config.attributes["engine"].begin() as connection:
    context.configure(connection=connection, target_metadata=METADATA, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()
