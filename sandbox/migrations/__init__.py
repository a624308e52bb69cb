"""The metadata database's schema over time (Alembic)."""
