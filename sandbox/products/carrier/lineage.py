"""Which source columns reach a product, and which expressions a person must see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """The texts of one cube: inputs and their visible columns, steps in order (name → text), and the cube's text.

    `cube` is one SELECT … GROUP BY as `compile.cube_sql` writes it: an output column with an aggregate in it is a
    measure, every other one a dimension.
    """

    tables: Mapping[str, tuple[str, ...]]
    steps: Mapping[str, str]
    cube: str
    name: str = "product"


@dataclass(frozen=True, slots=True)
class Lineage:
    """Source columns (input, column) by the way they reach the product.

    `values`: a measure is computed from them. `conditions`: they decide which rows enter, or which value a row gives.
    `dimensions`: they decide the cell.
    """

    values: frozenset[tuple[str, str]]
    conditions: frozenset[tuple[str, str]]
    dimensions: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Suspect:
    """An expression that treats entities apart by who they are, as the merchant wrote it."""

    step: str
    expression: str
    columns: tuple[str, ...]


def lineage(program: Program, roles: Mapping[str, Mapping[str, str]]) -> tuple[Lineage, tuple[Suspect, ...]]:
    """Lineage of the cube and the suspect expressions on its way; `roles`: input → column → role."""
    raise NotImplementedError
