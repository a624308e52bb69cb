"""One HTML page about a simulated table: no script, no outside request, Chinese first."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Literal

from policies.text import Text

Audience = Literal["operator", "merchant"]

_LIGHTS = {
    "pass": ("通过", "pass", "#1a7f37"),
    "review": ("转人工", "review", "#9a6700"),
    "block": ("拦截", "block", "#b42318"),
    "error": ("无法计算", "error", "#b42318"),
    "not_run": ("未运行", "not run", "#57606a"),
}
_SOURCES = {
    "learned": Text("按真实分布学习", "learned"),
    "provider": Text("虚构值", "invented"),
    "pattern": Text("按编码样式生成", "from the shape of codes"),
    "parent": Text("取自父表仿真数据", "from the simulated parent"),
}
_STYLE = """
body{font:15px/1.6 system-ui,"PingFang SC","Microsoft YaHei",sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;
color:#1f2328}table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}td,th{border-bottom:1px solid #d0d7de;
padding:.3rem .6rem;text-align:left;vertical-align:top}th{font-weight:600}small{color:#59636e}
.light{color:#fff;border-radius:.3rem;padding:.1rem .5rem;white-space:nowrap}
.mark{border:2px solid #9a6700;color:#9a6700;padding:0 .5rem}
"""


def report(manifest: Mapping[str, Any], titles: Mapping[str, Text], audience: Audience = "operator") -> str:
    """The page as text.

    Args:
        manifest: of `Simulated`, in full.
        titles: rule id → title, from the policy edition.
        audience: a merchant sees lights and words, and real shares only of labels and deciles that rest on enough
            records; measured gate values and thresholds are for the operator.
    """
    full = audience == "operator"
    body = [
        f'<h1>{escape(manifest["table"])} <span class="mark">{escape(manifest["mark"])}</span></h1>',
        f"<p>{_light(manifest['verdict']['outcome'])} {_both(Text(**manifest['fidelity']['words']))}</p>",
        f"<p>{manifest['rows']:,} 行 · {escape(manifest['engine']['version'])} · 种子 {manifest['seed']} · "
        f"规则 {escape(manifest['verdict']['edition'])}</p>",
        "<h2>核查 <small>gates</small></h2>",
        _gates(manifest, titles, full),
        "<h2>逐列 <small>columns</small></h2>",
        _columns(manifest),
        _comparison(manifest),
        "<h2>没有保留什么 <small>not preserved</small></h2>",
        "<ul>" + "".join(f"<li>{_both(Text(**t))}</li>" for t in manifest["not_preserved"]) + "</ul>",
    ]
    if full:
        body.insert(5, _candidates(manifest))
    return (
        '<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">'
        f"<title>{escape(manifest['table'])} {escape(manifest['mark'])}</title><style>{_STYLE}</style></head><body>"
        + "".join(body)
        + "</body></html>"
    )


def _gates(manifest: Mapping[str, Any], titles: Mapping[str, Text], full: bool) -> str:
    rows = []
    for rule in manifest["verdict"]["rules"]:
        cells = [
            _light(rule["outcome"]),
            _both(titles[rule["rule"]]) if rule["rule"] in titles else escape(rule["rule"]),
        ]
        if full:
            cells += [escape(str(rule["measured"])), escape(str(rule["threshold"]))]
        rows.append(cells)
    head = ["", "规则 rule"] + (["实测 measured", "门槛 threshold"] if full else [])
    return _table(head, rows)


def _candidates(manifest: Mapping[str, Any]) -> str:
    rows = [
        [escape(c["version"]), _light(c["outcome"]), _number(c["fidelity"]), escape("、".join(c["failed"])) or _why(c)]
        for c in manifest["candidates"]
    ]
    return "<h2>引擎比较 <small>engines</small></h2>" + _table(["引擎", "结论", "逼真度(相对)", "未通过"], rows)


def _why(candidate: Mapping[str, Any]) -> str:
    """Why a candidate did not run."""
    return _both(Text(**candidate["reason"])) if "reason" in candidate else ""


def _columns(manifest: Mapping[str, Any]) -> str:
    rows = [
        [
            escape(c["name"]),
            escape(c["type"]),
            _both(_SOURCES[c["source"]]) if c["source"] in _SOURCES else f"按目录 <small>{escape(c['source'])}</small>",
            _number(c.get("fidelity")),
        ]
        for c in manifest["columns"]
    ]
    return _table(["列", "类型", "来源", "单列相似度"], rows)


def _comparison(manifest: Mapping[str, Any]) -> str:
    rows = []
    for column in manifest["comparison"]:
        name = escape(column["column"])
        rows.append([name, "缺失 missing", *(_number(v) for v in column["missing"])])
        rows += [
            ["", escape(str(label)), _number(real), _number(made)] for label, real, made in column.get("labels", [])
        ]
        for share, real, made in column.get("deciles", []):
            rows.append(["", f"P{round(share * 100)}", escape(str(real)), escape(str(made))])
    if not rows:
        return ""
    return "<h2>对照 <small>real and simulated</small></h2>" + _table(["列", "", "真实", "仿真"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    top = "".join(f"<th>{escape(h)}</th>" for h in head)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"


def _light(outcome: str) -> str:
    zh, en, colour = _LIGHTS[outcome]
    return f'<span class="light" style="background:{colour}">{zh} {en}</span>'


def _both(text: Text) -> str:
    return f"{escape(text.zh)} <small>{escape(text.en)}</small>"


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}"
