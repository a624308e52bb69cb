"""The parts of the report page, from the verdict to the provenance; each takes what the page shows and gives HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from policies.text import Text
from synthetic import plots

_CLOSE, _FAIR = 0.95, 0.85


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows, and whether for those who govern the data (`full`) or for a merchant."""

    data: Mapping[str, Any]
    full: bool


def both(text: Text | Mapping[str, str]) -> str:
    """Chinese, and English smaller behind it."""
    zh, en = (text.zh, text.en) if isinstance(text, Text) else (text["zh"], text["en"])
    return escape(zh) if zh == en else f'{escape(zh)}<span class="en">{escape(en)}</span>'


def _light(outcome: str, text: Text | None = None) -> str:
    sign, word = _LIGHTS[outcome]
    return f'<span class="light {outcome}" data-sign="{sign}">{both(text or word)}</span>'


_LIGHTS = {
    "pass": ("✓", Text("通过", "pass")),
    "review": ("!", Text("转人工", "review")),
    "partly": ("!", Text("部分可用", "partly")),
    "block": ("✕", Text("拦截", "blocked")),
    "error": ("✕", Text("无法计算", "not computed")),
    "not_run": ("✕", Text("未能运行", "did not run")),
    "no": ("✕", Text("不可用", "not fit")),
}


def _head(shown: Shown) -> str:
    data = shown.data
    outcome = str(data["verdict"]["outcome"])
    facts = (
        f"<b>{data['rows']:,}</b> 行 rows · 引擎 engine <b>{escape(data['engine']['version'])}</b> · "
        f"规则 policy <b>{escape(data['verdict']['edition'])}</b>"
    )
    return (
        f'<h1>{escape(data["table"])}<span class="mark">{escape(data["mark"])}</span></h1>'
        f'<p class="facts">{facts}</p>'
        f'<div class="verdict {outcome}"><strong>{_light(outcome, _VERDICTS[outcome])}</strong>'
        f"<p>{both(data['fidelity']['words'])}</p></div>"
    )


_VERDICTS = {
    "pass": Text("可以提供", "may be given"),
    "review": Text("须人工决定", "a person decides"),
    "block": Text("不得提供", "may not be given"),
    "error": Text("不得提供", "may not be given"),
}


def _uses(shown: Shown) -> str:
    """What the rows are good for, in words."""
    ratio = shown.data["fidelity"]["ratio"] or 0.0
    share = (shown.data.get("usefulness") or {}).get("share")
    model = "partly" if share is None and ratio >= _CLOSE else _graded(share or 0.0, _FAIR, 0.5)
    uses = [
        (
            "pass",
            Text("编写、调试 SQL,检查字段、类型和关联", "writing and debugging SQL, checking fields and joins"),
        ),
        (_graded(ratio, _CLOSE, _FAIR), Text("看板和图表原型", "prototypes of dashboards and charts")),
        (model, Text("开发、联调模型流程", "developing the pipeline of a model")),
        ("no", Text("得出结论、对外引用数字", "conclusions, or figures quoted anywhere")),
        ("no", Text("异常检测、罕见情形、个案查询", "outliers, rare cases, single records")),
    ]
    words = {"pass": Text("可用", "fit"), "partly": Text("部分可用", "partly"), "no": Text("不可用", "not fit")}
    rows = [[_light(light, words[light]), both(use)] for light, use in uses]
    return _section(Text("能用来做什么", "what it is good for"), _table([], rows))


def _graded(value: float, well: float, partly: float) -> str:
    return "pass" if value >= well else "partly" if value >= partly else "no"


def _scores(shown: Shown) -> str:
    found = shown.data["fidelity"]
    if found["ratio"] is None:
        return ""
    parts = [("单列 shapes", found["shapes"], "given"), ("两列 pairs", found["pairs"], "given")]
    lines = [(n, v, k) for n, v, k in (*parts, ("真实留出", found["holdout"], "real")) if v is not None]
    relative = Text("相对得分 {r:.2f}", "relative score").fill(r=found["ratio"])
    cards = [
        f"<h3>{both(Text('像不像真实数据', 'likeness'))}"
        f'<span class="score">{both(relative)}</span></h3>'
        f"{plots.scale(lines, 'fidelity')}<p>{both(_RELATIVE)}</p>"
    ]
    use = shown.data.get("usefulness")
    if use:
        bars = [
            ("随便猜", use["guess"], "guess"),
            ("仿真训练", use["simulated"], "real"),
            ("真实训练", use["real"], "real"),
        ]
        cards.append(
            f"<h3>{both(Text('仿真上训练,真实上检验', 'train on simulated, test on real'))}"
            f'<span class="score">{escape(use["target"])}</span></h3>{plots.scale(bars, "usefulness")}'
            f"<p>{both(use['words'])}</p><p>{both(_tested(use))}</p>"
        )
    body = "".join(f'<div class="card">{card}</div>' for card in cards)
    return _section(Text("得分", "scores"), f'<div class="grid two">{body}</div>')


_RELATIVE = Text(
    "1 为完全一致。留出的真实行与拟合所用的真实行相比也到不了 1,相对得分以它为准。",
    "1 is identical. Held-out real rows do not reach 1 either; the relative score is measured against theirs.",
)


def _tested(use: Mapping[str, Any]) -> Text:
    measure = Text("平衡准确率", "balanced accuracy") if use["kind"] == "label" else Text("R²(按名次)", "R² of ranks")
    chosen = (
        Text("指定的目标列", "declared target")
        if use["declared"]
        else Text("自动选择的目标列", "target chosen by rule")
    )
    return Text(
        f"{measure.zh};{chosen.zh};误差约 ±{use['margin']:.2f}。",
        f"{measure.en}; {chosen.en}; about ±{use['margin']:.2f}.",
    )


def _gates(shown: Shown) -> str:
    rows = []
    for gate in shown.data["gates"]:
        cells = [_light(gate["outcome"]), f"{both(gate['title'])} <small>{escape(gate['rule'])}</small>"]
        if shown.full:
            cells += [_value(gate["measured"]), _value(gate["threshold"])]
        rows.append(cells)
    head = [Text("结论", "outcome"), Text("规则", "rule")]
    head += [Text("实测", "measured"), Text("门槛", "threshold")] if shown.full else []
    repairs = "".join(f"<li>{both(text)}</li>" for text in shown.data["repairs"])
    return _section(Text("核查", "gates"), _table(head, rows) + (f"<ul>{repairs}</ul>" if repairs else ""))


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        parts = (both(_MEASURES[k]) if k in _MEASURES else escape(str(k)) for k in value)
        return "<br>".join(f"{name} {_value(v)}" for name, v in zip(parts, value.values(), strict=True))
    if isinstance(value, list | tuple):
        return escape("、".join(str(v) for v in value))
    if value == "no_row_read":
        return both(Text("未读取真实行", "no real row was read"))
    return "–" if value is None else escape(f"{value:,}" if isinstance(value, int) else str(value))


_MEASURES = {
    "advantage": Text("优势", "advantage"), "low": Text("下限", "low"), "high": Text("上限", "high"),
    "copies": Text("照抄对照", "copies"),
}  # fmt: skip


def _engines(shown: Shown) -> str:
    used = shown.data["engine"]["used"]
    rows = []
    for one in shown.data["candidates"]:
        chosen = f" {both(Text('← 采用', 'chosen'))}" if one["engine"] == used else ""
        cells = [escape(one["version"]) + chosen, _light(one["outcome"]), _number(one["fidelity"])]
        if shown.full:
            reason = one.get("reason")
            cells.append(both(reason) if reason else escape("、".join(one["failed"])))
        rows.append(cells)
    head = [Text("引擎", "engine"), Text("结论", "outcome"), Text("相对得分", "relative score")]
    head += [Text("未通过", "failed")] if shown.full else []
    return _section(Text("引擎比较", "engines compared"), _table(head, rows))


def _distributions(shown: Shown) -> str:
    columns = shown.data["distributions"]
    if not columns:
        return ""
    scores = {c["name"]: c.get("fidelity") for c in shown.data["columns"]}
    cards = "".join(f'<div class="card">{_plot(c, scores.get(c["column"]))}</div>' for c in columns)
    return _section(
        Text("真实与仿真对照", "real beside simulated"), f"{_LEGEND}<div class='grid'>{cards}</div>", both(_HIDDEN)
    )


def _plot(column: Mapping[str, Any], score: float | None) -> str:
    draw = plots.bars if column["kind"] == "label" else plots.histogram
    name = column["column"]
    real, made = column["missing"]
    known = "人数过少,不显示" if real is None else plots.percent(real)
    missing = "" if real == 0 and made == 0 else f"<p>缺失 missing:真实 {known} · 仿真 {plots.percent(made)}</p>"
    badge = "" if score is None else f'<span class="score">{both(Text(f"相似 {score:.2f}", "alike"))}</span>'
    return f"<h3>{badge}{escape(name)}</h3>{draw(column['groups'], name)}{missing}"


_LEGEND = (
    '<p class="legend"><span><i class="real"></i>真实 real</span><span><i class="made"></i>仿真 simulated</span></p>'
)
_HIDDEN = Text(
    "人数过少的组已并入“其余”或相邻区间,真实的最大、最小值不显示。",
    "Groups of too few people are merged into the others or the next range; real extremes are not shown.",
)


def _relations(shown: Shown) -> str:
    parts = []
    table = shown.data["association"]
    if table:
        sides = [(Text("真实", "real"), table["real"]), (Text("仿真", "simulated"), table["simulated"])]
        names = table["columns"]
        parts.append(_pair_of_maps(_STRENGTH, sides, names, names, 1.0))
    for one in shown.data["maps"]:
        cells = [v for side in ("real", "simulated") for line in one[side] for v in line if v is not None]
        sides = [(Text("真实", "real"), one["real"]), (Text("仿真", "simulated"), one["simulated"])]
        title = Text(f"{one['columns'][0]} × {one['columns'][1]}:人数占比", "share of people")
        parts.append(_pair_of_maps(title, sides, one["down"], one["across"], max(cells, default=1.0)))
    rows = [
        [escape(" × ".join(p["columns"])), _number(p["score"]), _number(p["holdout"]), both(_kept(p))]
        for p in shown.data["pairs"]
    ]
    if rows:
        head = [Text("两列", "pair"), Text("仿真", "simulated"), Text("真实留出", "holdout"), Text("说明", "in words")]
        parts.append(f"<h3>{both(Text('保留得最差的关系', 'relations kept worst'))}</h3>{_table(head, rows)}")
    return _section(Text("列与列的关系", "relations between columns"), "".join(parts)) if parts else ""


_STRENGTH = Text("关系强弱(0 无关,1 由一列可定另一列)", "strength of relation: 0 none, 1 one decides the other")


def _pair_of_maps(
    title: Text, sides: Sequence[tuple[Text, Any]], down: Sequence[str], across: Sequence[str], most: float
) -> str:
    figures = "".join(
        f"<figure><figcaption>{both(name)}</figcaption>{plots.heat(table, down, across, name.zh, most=most)}</figure>"
        for name, table in sides
    )
    hidden = any(
        value is None for _, table in sides for i, line in enumerate(table) for j, value in enumerate(line)
        if down is not across or i != j
    )  # fmt: skip
    note = f'<p class="legend"><span><i class="gone"></i>{both(_TOO_FEW)}</span></p>' if hidden else ""
    return f'<div class="card wide"><h3>{both(title)}</h3><div class="pair">{figures}</div>{note}</div>'


_TOO_FEW = Text("人数过少,不显示(为免倒推,相关格一并隐藏)", "hidden: too few people, or beside such a cell")


def _kept(pair: Mapping[str, Any]) -> Text:
    behind = pair["holdout"] - pair["score"]
    if behind <= _NEAR:
        return Text("与真实留出相当", "as good as the holdout")
    if pair["simulated"] < pair["real"] * _WEAKER:
        return Text("关系明显减弱,不要据此判断二者是否相关", "clearly weaker: do not judge the relation by these rows")
    return Text("大体保留,细节有出入", "kept in the main, not in detail")


_NEAR, _WEAKER = 0.03, 0.5


def _columns(shown: Shown) -> str:
    rows = [
        [escape(c["name"]), escape(c["type"]), _source(c["source"]), _number(c.get("fidelity"))]
        for c in shown.data["columns"]
    ]
    head = [Text("列", "column"), Text("类型", "type"), Text("来源", "made by"), Text("单列相似", "alike")]
    return _section(Text("逐列", "columns"), _table(head, rows))


def _source(source: str) -> str:
    kind, _, rule = source.partition(" ")
    text = both(_SOURCES[kind]) if kind in _SOURCES else escape(source)
    return f"{text} <small>{escape(rule)}</small>" if rule and kind in _SOURCES else text


_SOURCES = {
    "learned": Text("按真实分布学习", "learned from real shares"),
    "provider": Text("虚构值", "invented"),
    "pattern": Text("按编码样式生成", "from the shape of codes"),
    "parent": Text("取自父表仿真数据", "from the simulated parent"),
    "catalogue": Text("按目录生成,未读真实值", "from the catalogue, no real value read"),
}


def _not_preserved(shown: Shown) -> str:
    items = "".join(f"<li>{both(text)}</li>" for text in shown.data["not_preserved"])
    return _section(Text("没有保留什么", "not preserved"), f"<ul>{items}</ul>")


def _decisions(shown: Shown) -> str:
    """Answers that nobody gave and the default stood in for."""
    assumed = [d for d in shown.data.get("decisions", ()) if d["by"] == "default"]
    if not assumed:
        return ""
    rows = [[escape(d["column"]), escape(d["semantic"]), both(d["reason"])] for d in assumed]
    head = [Text("列", "column"), Text("按此处理", "treated as"), Text("理由", "why")]
    return _section(Text("按默认处理的列", "columns treated by default"), _table(head, rows))


def _provenance(shown: Shown) -> str:
    data = shown.data
    rows = [
        [both(Text("仿真数据摘要", "digest of the data")), f"<code>{escape(data['digest'])}</code>"],
        [both(Text("随机种子", "seed")), escape(str(data["seed"]))],
        [both(Text("规则摘要", "digest of the policy")), f"<code>{escape(data['verdict']['digest'])}</code>"],
    ]
    if shown.full:
        source = data["source"]
        counts = "people {people:,} · fitted {fitted:,} · holdout {holdout:,}".format(**source)
        rows += [
            [both(Text("真实数据", "source")), escape(counts)],
            [both(Text("真实数据摘要", "digest of the source")), f"<code>{escape(str(source['digest']))}</code>"],
            [both(Text("字段方案摘要", "digest of the plan")), f"<code>{escape(data['plan_digest'])}</code>"],
            [both(Text("软件", "software")), escape(" · ".join(f"{k} {v}" for k, v in data["software"].items()))],
            [both(Text("显示所需的最少人数", "fewest people shown")), escape(str(data["k"]))],
        ]
    return _section(Text("来历", "provenance"), _table([], rows))


def _section(title: Text, body: str, note: str = "") -> str:
    return f"<section><h2>{both(title)}</h2>{f'<p><small>{note}</small></p>' if note else ''}{body}</section>"


def _table(head: Sequence[Text], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{both(h)}</th>' for h in head)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<thead><tr>{top}</tr></thead>' if head else ''}<tbody>{lines}</tbody></table>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


SECTIONS: tuple[Callable[[Shown], str], ...] = (
    _head, _uses, _scores, _gates, _engines, _distributions, _relations, _not_preserved, _decisions, _columns,
    _provenance,
)  # fmt: skip
"""In the order of the page."""
