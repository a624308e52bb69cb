"""One strict model per kind of policy, imported only when that kind is read."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from policies.problems import PolicyError
from policies.schema.base import Edition
from policies.text import Text

KINDS = ("grading", "quality", "simulation", "workspace", "export", "deadlines", "calendar")
"""Every kind there is; each has a module of that name here and a folder of editions beside this package."""


def model_of(kind: str) -> type[Edition[Any]]:
    """The edition model of `kind`; `PolicyError` for a kind that does not exist."""
    if kind not in KINDS:
        raise PolicyError(
            "policy.unknown_kind",
            Text(f"没有名为“{kind}”的规则", f"there is no policy kind '{kind}'"),
            fix=Text(f"可用的有：{'、'.join(KINDS)}", f"known kinds: {', '.join(KINDS)}"),
        )
    model: type[Edition[Any]] = import_module(f"policies.schema.{kind}").EDITION
    return model
