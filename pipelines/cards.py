"""What Prefect shows of a table or a round: the facts of the platform's own tables, in Prefect's forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.catalog import repository, twins
from sandbox.kernel.jobs import Job
from sandbox.kernel.unit import Unit


@dataclass(frozen=True, slots=True)
class TableCards:
    """Grading sheet (a row a column), quality card (Markdown) and address of one version of one resource."""

    key: str
    title: str
    grading: list[dict[str, Any]]
    quality: str
    link: str


@dataclass(frozen=True, slots=True)
class TwinCards:
    """Engines that competed for a twin (a row an engine), and the address of the twin."""

    key: str
    title: str
    candidates: list[dict[str, Any]]
    link: str


def twin_cards(unit: Unit, job: Job) -> TwinCards:
    """The cards of the twin that a simulation has made."""
    resource = repository.get(unit.session, job.subject_id)
    twin = twins.chosen(unit.session, resource, int((job.result or {})["twin"]))
    rows = [
        {"引擎": c["engine"], "结论": c["outcome"], "逼真度": c["fidelity"], "未通过": "、".join(c["failed"])}
        for c in twin.manifest.get("candidates", [])
    ]
    link = f"http://{unit.settings.host}:{unit.settings.port}/resources/{resource.id}/twins"
    return TwinCards(resource.id, f"{resource.name} 仿真数据 {twin.number}", rows, link)


def ingest_cards(unit: Unit, job: Job) -> TableCards:
    """The cards of the version that an ingest job has made."""
    resource = repository.get(unit.session, job.subject_id)
    number = int((job.result or {})["version"])
    made = repository.version(unit.session, resource.id, number)
    rows = [
        {"列": c.name, "类别": c.category, "级别": c.level, "角色": c.identifier_role, "规则": c.rule}
        for c in repository.columns(unit.session, resource.id)
    ]
    title = f"{resource.name} v{number}"
    link = f"http://{unit.settings.host}:{unit.settings.port}/resources/{resource.id}"
    return TableCards(resource.id, title, rows, quality_card(title, made.quality), link)


def quality_card(title: str, report: dict[str, Any]) -> str:
    """Indicators with A, B and X; what lacks an input is said to be not assessed."""
    lines = [f"# {_plain(title)}", "", "| 指标 | A | B | X |", "|---|---:|---:|---:|"]
    for found in report.get("indicators", []):
        x = f"{found['x']:.4f}" if found["assessed"] else "未评估"
        a, b = (found[k] if found["assessed"] else "—" for k in ("a", "b"))
        lines.append(f"| {found['code']} {_plain(found['name']['zh'])} | {a} | {b} | {x} |")
    outcome = report.get("verdict", {}).get("outcome", "—")
    return "\n".join([*lines, "", f"结论 {outcome}"])


def round_card(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a table: what came of it, and why not."""
    return [
        {"表": t["name"], "结果": t["outcome"], "原因": t.get("code") or "", "任务": t.get("job", "")}
        for t in summary.get("tables", [])
    ]


def _plain(text: str) -> str:
    """Names are people's words: they must not become Markdown or end a table's cell."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+!|" else c for c in text if c.isprintable())
