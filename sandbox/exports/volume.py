"""How much has left under an application, and how much is on its way: what caps and the number of officers hang on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.orm import Session

from sandbox.exports import repository
from sandbox.exports.repository import ExportRequest
from sandbox.exports.subject import VolumeFacts
from sandbox.products.repository import Artefact


def volume_of(session: Session, request: ExportRequest, since: datetime) -> VolumeFacts:
    """What was released for the request's application since then, and what waits beside it: neither several files of
    one act nor several acts at a time come below a limit that one file would reach."""
    every = repository.releases_of_application(session, request.application_id)
    found = [r for r in every if r.released_at >= since]
    rows = [int(r.manifest["rows"]) for r in found]
    cells = [n * len(r.manifest["schema"]) for n, r in zip(rows, found, strict=True)]
    waiting = repository.waiting_files(session, request)
    beside = [file for group, file in waiting if group == request.group_id]
    others = _held(file for group, file in waiting if group != request.group_id)
    return VolumeFacts(
        sum(rows), sum(cells), sum(r.bytes for r in found), _held(beside) if beside else None, others.rows
    )  # fmt: skip


def _held(files: Iterable[Artefact]) -> VolumeFacts:
    some = list(files)
    return VolumeFacts(
        sum(a.rows for a in some), sum(a.rows * len(a.columns) for a in some), sum(a.bytes for a in some)
    )  # fmt: skip
