"""识别: identifiers, names and addresses in tables and texts; the only importer of Presidio and of the name model."""

from __future__ import annotations

from sandbox.detection.decide import Decision
from sandbox.detection.mask import mask
from sandbox.detection.scan import (
    ColumnScan,
    EntityShare,
    TableScan,
    TextHit,
    scan_column,
    scan_table,
    scan_text,
    summarise,
    tally_column,
)
from sandbox.detection.tally import ColumnTally

__all__ = [
    "ColumnScan", "ColumnTally", "Decision", "EntityShare", "TableScan", "TextHit", "mask", "scan_column", "scan_table",
    "scan_text", "summarise", "tally_column",
]  # fmt: skip
