"""仿真数据: what merchants see and take of a table's simulated twin, and the operator's hand on it."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from pydantic import Field

from api.deps import Acting
from api.routes.shapes import In, JobOut, Out
from policies.text import Text
from sandbox.catalog import browsing, service, twins
from sandbox.catalog.browsing import TwinFile
from sandbox.catalog.repository import Resource
from sandbox.catalog.twins import MOST_ROWS, MOST_SEED, Twin
from sandbox.exports import feedback
from sandbox.kernel import editions, permissions
from sandbox.kernel.unit import Unit

router = APIRouter(tags=["simulated"])
LABEL = "仿真数据，非真实记录"
Number = Annotated[
    int | None, Query(ge=1, le=2**31 - 1, description="an earlier twin by its number; left out: the published one")
]


class Simulated(Out):
    """Every answer about a twin says what it is and whether it still imitates what is published."""

    label: str = Field(default=LABEL)
    resource_id: str
    twin: int = Field(description="number of the twin")
    version: int = Field(description="number of the real version it imitates")
    stale: list[str] = Field(
        description="why it no longer imitates what is published: version, grades, parents, unbound"
    )


class SimulatedRowsOut(Simulated):
    """Simulated rows. Nothing here was ever true of anybody."""

    total: int
    columns: list[str]
    rows: list[list[Any]]


class SimulatedFieldOut(Out):
    name: str
    type: str = Field(examples=["text"])
    semantic: str = Field(examples=["resident_id"])
    comment: str
    source: str = Field(description="how its values were made: learned, provider, pattern, parent or catalogue (rule)")
    codes: list[str] = Field(description="the declared dictionary, where there is one")
    meaning: dict[str, str] = Field(description="`semantic` in words")
    made: dict[str, str] = Field(description="`source` in words")


class SimulatedFieldsOut(Simulated):
    fields: list[SimulatedFieldOut]


class DistributionsOut(Simulated):
    """Per column: rows, missing, distinct, and `bins` [from, to, rows], `labels` [label, rows] or `examples`."""

    columns: list[dict[str, Any]]


class GateOut(Out):
    rule: str
    title: dict[str, str]
    outcome: str
    measured: Any = Field(default=None, description="for those who govern the data only")
    threshold: Any = None


class ReportOut(Simulated):
    """Scores in words and figures, lights of the gates, what is not preserved."""

    outcome: str
    manifest: dict[str, Any] = Field(description="the public one; in full for those who govern the data")
    manifest_sha256: str
    signature: str = Field(description="Ed25519 by the platform over that digest in hexadecimal letters, base64")
    gates: list[GateOut]


class FileOut(Out):
    format: str = Field(examples=["csv"])
    name: str = Field(examples=["门诊就诊_仿真数据_第1版.csv"])
    bytes: int
    sha256: str


class FilesOut(Simulated):
    files: list[FileOut]


class TwinOut(Out):
    number: int
    version: int
    engine: str
    seed: int
    rows: int
    outcome: str
    published: bool = Field(description="false: it did not pass its gates, and there are no rows")
    content_sha256: str
    manifest_sha256: str
    created_at: datetime


class GovernedTwinOut(TwinOut):
    job_id: str
    made_by: str
    asked: dict[str, Any]
    parents: dict[str, Any]
    candidates: list[dict[str, Any]]


class TwinsOut(Out):
    """All twins of a table, newest first, and how they stand."""

    resource_id: str
    current: int | None
    stale: list[str]
    releases: int = Field(description="differing sets of rows published from this table; each tells a little more")
    job: JobOut | None = Field(description="the one that is under way, or that did not go well")
    twins: list[GovernedTwinOut | TwinOut]


class TwinIn(In):
    rows: int | None = Field(default=None, ge=1, le=MOST_ROWS, examples=[20000], description="as for the last one")
    seed: int | None = Field(default=None, ge=0, le=MOST_SEED, examples=[7], description="as for the last one")


class FeedbackIn(In):
    number: int | None = Field(default=None, ge=1, le=2**31 - 1, description="the published twin when left out")


# ---- for everybody who browses ----


@router.get("/catalogue/{resource_id}/simulated", summary="仿真样例行 · Simulated rows")
def rows(
    resource_id: str, unit: Annotated[Unit, Acting("simulated:browse")], number: Number = None,
    limit: Annotated[int, Query(ge=1, le=browsing.MAX_ROWS)] = 100, offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> SimulatedRowsOut:  # fmt: skip
    """Rows of a simulated twin, paged. They were never true of anybody."""
    resource = service.entry(unit, resource_id)
    found = browsing.simulated_rows(unit, resource, limit, offset, number)
    facts = _head(unit, resource, found.twin)
    return SimulatedRowsOut(**facts, total=found.twin.rows, columns=found.columns, rows=found.rows)


@router.get("/catalogue/{resource_id}/simulated/fields", summary="字段字典 · Field dictionary")
def fields(
    resource_id: str, unit: Annotated[Unit, Acting("simulated:browse")], number: Number = None
) -> SimulatedFieldsOut:  # fmt: skip
    resource, twin = _chosen(unit, resource_id, number)
    return SimulatedFieldsOut(**_head(unit, resource, twin), fields=[SimulatedFieldOut(**f) for f in twin.fields])


@router.get("/catalogue/{resource_id}/simulated/distributions", summary="仿真数据分布 · Distributions")
def distributions(
    resource_id: str, unit: Annotated[Unit, Acting("simulated:browse")], number: Number = None
) -> DistributionsOut:  # fmt: skip
    """Computed from the simulated rows alone."""
    resource, twin = _chosen(unit, resource_id, number)
    return DistributionsOut(**_head(unit, resource, twin), columns=twin.distributions)


@router.get("/catalogue/{resource_id}/simulated/report", summary="仿真报告 · Report")
def report(resource_id: str, unit: Annotated[Unit, Acting("simulated:browse")], number: Number = None) -> ReportOut:
    """Measured gate values and figures of the real table go to those who govern the data only.

    The same as a page: the formats `report-merchant` and `report-operator` of the downloads.
    """
    resource, twin = _chosen(unit, resource_id, number)
    governs = permissions.permitted(unit.actor, "simulated:evidence")
    return ReportOut(
        **_head(unit, resource, twin), outcome=twin.outcome, manifest=twin.manifest if governs else twin.public,
        manifest_sha256=twin.manifest_sha256, signature=twin.signature, gates=gates(unit, twin, governs),
    )  # fmt: skip


@router.get("/catalogue/{resource_id}/simulated/files", summary="可下载的文件 · Files to download")
def files(resource_id: str, unit: Annotated[Unit, Acting("simulated:browse")], number: Number = None) -> FilesOut:
    """Name, size and SHA-256 of every file of the twin."""
    resource, twin = _chosen(unit, resource_id, number)
    found = [FileOut.model_validate(f) for f in browsing.downloads(unit, resource, twin)]
    return FilesOut(**_head(unit, resource, twin), files=found)


@router.get("/catalogue/{resource_id}/simulated/files/{format}", response_class=FileResponse, summary="下载 · Download")
def download(
    resource_id: str, format: str, unit: Annotated[Unit, Acting("simulated:download")], number: Number = None
) -> FileResponse:  # fmt: skip
    """The file, with its SHA-256 in the headers; each download is on record."""
    return handed_out(browsing.download(unit, service.entry(unit, resource_id), format, number))


@router.get("/catalogue/{resource_id}/twins", summary="历次仿真数据 · All twins")
def list_twins(resource_id: str, unit: Annotated[Unit, Acting("simulated:browse")]) -> TwinsOut:
    """Merchants see those that were published; those who govern the data also the ones that were refused."""
    resource = service.entry(unit, resource_id)
    governs = permissions.permitted(unit.actor, "simulated:evidence")
    found, every = twins.standing(unit.session, resource), twins.every(unit.session, resource.id)
    shown = [_governed(t) if governs else TwinOut.model_validate(t) for t in every if governs or t.published]
    return TwinsOut(
        resource_id=resource.id, current=found.current.number if found.current else None, stale=list(found.stale),
        releases=found.releases, twins=shown,
        job=JobOut.model_validate(found.job) if found.job and permissions.permitted(unit.actor, "job:read") else None,
    )  # fmt: skip


# ---- for the operator ----


@router.post("/resources/{resource_id}/twins", status_code=202, summary="重新生成仿真数据 · Make simulated data")
def make(resource_id: str, body: TwinIn, unit: Annotated[Unit, Acting("simulated:generate")]) -> JobOut:
    """What is left out is as it was for the last twin. Another seed, or other rows, is one more release to count."""
    return JobOut.model_validate(twins.ask(unit, resource_id, rows=body.rows, seed=body.seed))


@router.post("/resources/{resource_id}/feedback", response_class=FileResponse, summary="回流共享目录 · Feed back")
def feed_back(
    resource_id: str, body: FeedbackIn, unit: Annotated[Unit, Acting("simulated:share")]
) -> FileResponse:  # fmt: skip
    """The published twin as a signed package for the sharing catalogue; on record."""
    return fed_back(feedback.package(unit, resource_id, body.number))


# ---- what routes and pages share ----


def gates(unit: Unit, twin: Twin, governs: bool) -> list[GateOut]:
    """The lights of the gates; measured values and thresholds only for those who govern the data."""
    titles = {rule.id: rule.title for rule in editions.in_force(unit, "simulation").rules}
    return [
        GateOut(
            rule=run["rule"], outcome=run["outcome"],
            title=titles.get(run["rule"], Text(run["rule"], run["rule"])).as_dict(),
            measured=run["measured"] if governs else None, threshold=run["threshold"] if governs else None,
        )
        for run in twin.manifest.get("verdict", {}).get("rules", [])
    ]  # fmt: skip


def handed_out(found: TwinFile) -> FileResponse:
    """A twin's file as an answer: marked in its name, with its digest, streamed."""
    headers = _headers(found.name, found.sha256) | {"X-Simulated": "true"}
    return FileResponse(found.path, media_type=found.media, headers=headers)


def fed_back(made: feedback.Package) -> FileResponse:
    """A package for the sharing catalogue as an answer."""
    return FileResponse(made.path, media_type="application/zip", headers=_headers(made.name, made.sha256))


def _headers(name: str, sha256: str) -> dict[str, str]:
    """The name in RFC 5987 form, with a plain one for old programs; the digest as in RFC 9530, and in hexadecimal."""
    plain = f"simulated{name[name.rfind('.'):]}"
    return {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:", "X-Checksum-Sha256": sha256,
    }  # fmt: skip


def _chosen(unit: Unit, resource_id: str, number: int | None) -> tuple[Resource, Twin]:
    resource = service.entry(unit, resource_id)
    return resource, twins.chosen(unit.session, resource, number)


def _head(unit: Unit, resource: Resource, twin: Twin) -> dict[str, Any]:
    return {
        "resource_id": resource.id, "twin": twin.number, "version": twin.version,
        "stale": list(twins.stale(unit.session, resource, twin)),
    }  # fmt: skip


def _governed(twin: Twin) -> GovernedTwinOut:
    facts = {name: getattr(twin, name) for name in GovernedTwinOut.model_fields if name != "candidates"}
    return GovernedTwinOut(**facts, candidates=twin.manifest.get("candidates", []))
