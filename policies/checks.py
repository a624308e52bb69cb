"""The names of the predicates each kind of policy may use. The functions live beside what they judge."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

from policies.schema import KINDS, model_of


@cache
def names(kind: str) -> frozenset[str]:
    """Every `check:` a policy of `kind` can name, read off the model so that the two cannot part."""
    rule: Any = model_of(kind).model_fields["rules"].annotation
    found: set[str] = set()
    for model in _models(rule):
        found.update(get_args(model.model_fields["check"].annotation))
    return frozenset(found)


def registry() -> dict[str, frozenset[str]]:
    """Kind → predicate names, for all kinds."""
    return {kind: names(kind) for kind in KINDS}


def _models(annotation: Any) -> list[Any]:
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
