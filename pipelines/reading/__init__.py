"""Reading files of unknown make: every line accounted for, every decision in a recipe, everything as text first."""

from __future__ import annotations

from pipelines.reading.reader import Inspection, TableReading, inspect, quarantined, read, typed
from pipelines.reading.recipe import ColumnRecipe, Recipe

__all__ = ["ColumnRecipe", "Inspection", "Recipe", "TableReading", "inspect", "quarantined", "read", "typed"]
