"""Data quality by GB/T 36344-2018: `summarise` a table or its parts, `merge`, `conclude`; `measure` does all three."""

from pipelines.quality.measuring import Around, conclude, measure
from pipelines.quality.report import QualityReport
from pipelines.quality.summary import Summary, merge, summarise

__all__ = ["Around", "QualityReport", "Summary", "conclude", "measure", "merge", "summarise"]
