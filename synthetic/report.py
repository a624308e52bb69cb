"""What a simulated table is good for, as one page and as JSON: no script, no outside request, Chinese first."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Literal

from policies.text import Text
from synthetic.report_sections import SECTIONS, Shown, both
from synthetic.report_style import STYLE

Audience = Literal["operator", "merchant"]

_FOR_EVERYBODY = (
    "mark", "table", "rows", "seed", "engine", "fidelity", "usefulness", "columns", "distributions", "association",
    "maps", "pairs", "not_preserved", "decisions", "digest", "compared_rows", "given",
)  # fmt: skip
_FOR_OPERATORS = ("candidates", "source", "software", "plan_digest", "k")


def report(manifest: Mapping[str, Any], titles: Mapping[str, Text], audience: Audience = "operator") -> str:
    """The page as text.

    Args:
        manifest: of `Simulated`, in full.
        titles: rule id → title, from the policy edition.
        audience: a merchant sees lights and words, and real shares in whole percents of groups that hold enough people;
            measured gate values, thresholds and figures of the source are for the operator and the officer.
    """
    shown = Shown(report_data(manifest, titles, audience), audience == "operator")
    name, mark = escape(shown.data["table"]), escape(shown.data["mark"])
    body = "".join(section(shown) for section in SECTIONS)
    return (
        '<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name} · {mark}</title><style>{STYLE}</style></head><body><main>{body}</main>"
        f"<footer>{mark} · {name} · {both(_FOOTER)}</footer></body></html>"
    )


def report_data(
    manifest: Mapping[str, Any], titles: Mapping[str, Text], audience: Audience = "operator"
) -> dict[str, Any]:
    """What the page shows, JSON-able; see `report`. Real shares of a merchant's are whole percents."""
    operator = audience == "operator"
    kept = _FOR_EVERYBODY + (_FOR_OPERATORS if operator else ())
    data = {key: manifest[key] for key in kept if key in manifest}
    verdict = manifest["verdict"]
    data["audience"] = audience
    data["verdict"] = {k: verdict[k] for k in ("outcome", "policy", "edition", "digest")}
    data["gates"] = [_gate(rule, titles, operator) for rule in verdict["rules"]]
    data["repairs"] = [f["repair"] for f in verdict["findings"] if f["repair"]]
    if not operator:
        data["distributions"] = [_coarse(column) for column in manifest["distributions"]]
        data["maps"] = [_coarse_map(table) for table in manifest["maps"]]
        data["candidates"] = [
            {k: c.get(k) for k in ("engine", "version", "outcome", "fidelity")} for c in manifest["candidates"]
        ]
    return data


def _gate(rule: Mapping[str, Any], titles: Mapping[str, Text], operator: bool) -> dict[str, Any]:
    title = titles.get(rule["rule"], Text(rule["rule"], rule["rule"]))
    shown = {"rule": rule["rule"], "title": title.as_dict(), "outcome": str(rule["outcome"])}
    return shown | ({"measured": rule["measured"], "threshold": rule["threshold"]} if operator else {})


def _coarse(column: Mapping[str, Any]) -> dict[str, Any]:
    """Real shares in whole percents."""
    groups = [group | {"real": _percent(group["real"])} for group in column["groups"]]
    real, made = column["missing"]
    return {**column, "groups": groups, "missing": [_percent(real), made]}


def _coarse_map(table: Mapping[str, Any]) -> dict[str, Any]:
    return {**table, "real": [[_percent(share) for share in line] for line in table["real"]]}


def _percent(share: float | None) -> float | None:
    return None if share is None else round(share, 2)


_FOOTER = Text(
    "本页每一行仿真数据都不对应任何真实的人或单位", "no simulated row stands for a real person or organisation"
)
