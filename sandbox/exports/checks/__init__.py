"""Named predicates of the export gate; importing this package registers all of them."""

from __future__ import annotations

from sandbox.exports.checks import (
    cells,
    columns,
    files,
    groups,
    history,
    identifiers,
    lineage,
    proofs,
    records,
    shown,
    suppression,
)
from sandbox.exports.checks.base import CHECKS, Measured, Miss, Registered

__all__ = [
    "CHECKS", "Measured", "Miss", "Registered", "cells", "columns", "files", "groups", "history", "identifiers",
    "lineage", "proofs", "records", "shown", "suppression",
]  # fmt: skip
