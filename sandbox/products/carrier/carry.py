"""The hidden owner column through one SELECT, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.products.carrier.model import Carried, Relation


def carry(text: str, tables: Mapping[str, Relation], *, step: str, several: bool = False) -> Carried:
    """The step's text so that the owner of every row comes along, for one kind of entity.

    `tables` are all relations the text may read, by name. With `several` a row may belong to more than one entity.
    Raises `Refused` with every reason found.
    """
    raise NotImplementedError
