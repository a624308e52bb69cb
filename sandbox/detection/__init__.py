"""识别: identifiers, names and addresses in tables and texts; the only importer of Presidio and of the name model."""

from __future__ import annotations

from sandbox.detection.decide import Decision
from sandbox.detection.scan import (
    ColumnLook,
    ColumnScan,
    EntityShare,
    TableScan,
    TextHit,
    join_columns,
    mask,
    scan_column,
    scan_table,
    scan_text,
)

__all__ = [
    "ColumnLook",
    "ColumnScan",
    "Decision",
    "EntityShare",
    "TableScan",
    "TextHit",
    "join_columns",
    "mask",
    "scan_column",
    "scan_table",
    "scan_text",
]
