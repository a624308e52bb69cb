"""整改单: correction slips of data quality."""

from __future__ import annotations

from typing import Annotated, Any, Self

from fastapi import APIRouter

from api.deps import Acting
from api.routes.shapes import ReasonIn, Standing
from sandbox.catalog import corrections
from sandbox.catalog.corrections import CORRECTION, Correction
from sandbox.kernel.unit import Unit

router = APIRouter(tags=["catalogue"])


class CorrectionOut(Standing):
    resource_id: str
    version_number: int
    verified_version: int | None
    content: dict[str, Any]
    """what the slip says: counts, thresholds, places and masked values, never a value of a record"""

    @classmethod
    def from_record(cls, unit: Unit, record: Correction) -> Self:
        return cls.of(unit, record, CORRECTION)


@router.get("/corrections", summary="整改单列表 · Correction slips")
def list_corrections(unit: Annotated[Unit, Acting("correction:read")]) -> list[CorrectionOut]:
    return [CorrectionOut.from_record(unit, slip) for slip in corrections.list_for(unit)]


@router.post("/resources/{resource_id}/corrections", status_code=201, summary="签发整改单 · Issue a correction slip")
def issue(resource_id: str, unit: Annotated[Unit, Acting("correction:issue")]) -> CorrectionOut:
    """For the current version of the resource; a version that meets every requirement has nothing to correct."""
    return CorrectionOut.from_record(unit, corrections.issue(unit, resource_id))


@router.get("/corrections/{slip_id}", summary="整改单 · One correction slip")
def read(slip_id: str, unit: Annotated[Unit, Acting("correction:read")]) -> CorrectionOut:
    return CorrectionOut.from_record(unit, corrections.read(unit, slip_id))


@router.post("/corrections/{slip_id}/withdraw", summary="撤回整改单 · Withdraw a correction slip")
def withdraw(slip_id: str, body: ReasonIn, unit: Annotated[Unit, Acting("correction:withdraw")]) -> CorrectionOut:
    return CorrectionOut.from_record(unit, corrections.withdraw(unit, slip_id, body.reason))
