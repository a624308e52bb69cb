"""Carries a hidden owner column through merchants' SQL, or refuses with a repair. Pure: no table is ever read."""

from sandbox.products.carrier.allowlist import allowed, repeatable
from sandbox.products.carrier.carry import carry
from sandbox.products.carrier.grammar import fold
from sandbox.products.carrier.lineage import Lineage, Program, Suspect, lineage
from sandbox.products.carrier.model import HIDDEN, Carried, Frozen, Relation
from sandbox.products.carrier.refusals import Refusal, Refused

__all__ = [
    "HIDDEN",
    "Carried",
    "Frozen",
    "Lineage",
    "Program",
    "Refusal",
    "Refused",
    "Relation",
    "Suspect",
    "allowed",
    "carry",
    "fold",
    "lineage",
    "repeatable",
]
