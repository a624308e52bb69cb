"""识别: identifiers, names and addresses in tables and texts; the only importer of Presidio and of the name model."""

from __future__ import annotations

from sandbox.detection.decide import Decision
from sandbox.detection.scan import (
    ColumnScan,
    EntityShare,
    TableScan,
    TextHit,
    mask,
    scan_table,
    scan_text,
)

__all__ = ["ColumnScan", "Decision", "EntityShare", "TableScan", "TextHit", "mask", "scan_table", "scan_text"]
