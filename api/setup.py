"""What must be there before anything runs: schema, policies, keys."""

from __future__ import annotations

from sandbox.kernel import editions
from sandbox.kernel.unit import Platform


def prepare(platform: Platform) -> None:
    """Migrate the database and install the shipped policy editions. Safe to repeat."""
    import sandbox.migrations.tables  # noqa: F401

    platform.database.migrate()
    with platform.system() as unit:
        editions.install_shipped(unit)
    _ = platform.signing_key  # made on first use; better now than at the first release
