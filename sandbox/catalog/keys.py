"""How the key of an entity is compared, wherever entities are counted."""

from __future__ import annotations


def normal_key(column: str) -> str:
    """One spelling of a key, as SQL: width, case and outer blanks do not make a second person; empty is missing."""
    wide = "０１２３４５６７８９Ｘｘ"
    return f"nullif(upper(trim(translate(CAST({column} AS VARCHAR), '{wide}', '0123456789Xx'))), '')"
