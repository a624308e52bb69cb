"""What a simulated table says about itself."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import polars as pl

from policies.text import Text
from synthetic import usefulness
from synthetic.batches import Digest, NotRun
from synthetic.fidelity import Fidelity, Pair, in_words
from synthetic.fields import Field, entity_of
from synthetic.sidebyside import Groups, by_person, side_by_side, two_way
from synthetic.usefulness import choose_target

if TYPE_CHECKING:
    from synthetic.engines.schema_engine import SchemaEngine
    from synthetic.gates import Evidence
    from synthetic.protect import View
    from synthetic.simulate import Attempt

_WORST = 5
_MATRIX = 14
_OF_THE_SOURCE = frozenset(
    {"verdict", "source", "candidates", "k", "distributions", "pairs", "association", "maps", "usefulness"}
)
"""What only the operator's manifest holds; a page or answer for others takes it from `synthetic.report`."""
_NOT_PRESERVED = (
    Text("姓名、证件号、电话、地址、单位、自由文本均为虚构,与真实人员和单位无关。",
         "Names, numbers, phones, addresses, organisations and free text are invented."),
    Text("三列及以上的联合关系、行与行之间的先后和趋势未保留。",
         "Relations of three or more columns, and order or trend between rows, are not kept."),
    Text("极端值已收敛,少见类别已合并:不可用于异常检测和罕见情形分析。",
         "Extremes are trimmed and rare labels merged: not fit for outlier or rare-case analysis."),
)  # fmt: skip
_STRUCTURE_ONLY = Text(
    "只有结构:没有读取任何真实行,任何统计特征都不成立。", "Structure only: no real row was read and no statistic holds."
)


def describe(
    *, table: str, frame: pl.DataFrame, seed: int, asked: str, best: Attempt, tried: Sequence[Attempt | NotRun],
    view: View | None, formats: Mapping[str, str], k: int, target: str | None = None,
    structure: SchemaEngine | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The operator's manifest, JSON-able. Figures of real rows in it rest on at least the policy's k people each.

    `target`: the column that a model is to learn on simulated rows; chosen by rule when left out.
    """
    evidence = best.evidence
    return {
        "mark": evidence.mark,
        "table": table,
        "rows": frame.height,
        "seed": seed,
        "engine": {"asked": asked, "used": best.engine.name, "version": best.engine.version()},
        "candidates": [_candidate(a) for a in tried],
        "software": {p: version(p) for p in ("numpy", "polars")} | {"python": platform.python_version()},
        "source": {
            "people": evidence.people,
            "fitted": evidence.real.fitted.height if evidence.real else 0,
            "holdout": evidence.real.holdout.height if evidence.real else 0,
            "digest": digest(evidence.real.every) if evidence.real else None,
        },
        "plan_digest": plan_digest(evidence.fields),
        "digest": digest(frame),
        "columns": [_column(f, evidence, view, formats, structure) for f in evidence.fields],
        "generator": structure.planned.as_dict() if structure else None,
        "fidelity": _scores(evidence.fidelity),
        "not_preserved": [t.as_dict() for t in ((_STRUCTURE_ONLY,) if view is None else _NOT_PRESERVED)],
        "k": k,
        **_beside_real(evidence, k, target),
        "verdict": best.verdict.as_dict(),
    }


def _scores(fidelity: Fidelity) -> dict[str, Any]:
    names = ("score", "shapes", "pairs", "holdout", "ratio")
    return {n: _rounded(getattr(fidelity, n)) for n in names} | {"words": in_words(fidelity).as_dict()}


def _candidate(attempt: Attempt | NotRun) -> dict[str, Any]:
    if isinstance(attempt, NotRun):
        return attempt.as_dict()
    return {
        "engine": attempt.engine.name,
        "version": attempt.engine.version(),
        "outcome": attempt.verdict.outcome.value,
        "failed": [r.rule for r in attempt.verdict.rules if r.outcome.value != "pass"],
        "fidelity": _rounded(attempt.evidence.fidelity.ratio),
    }


def public(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest that travels with the file: no measured gate value, no figure of the source beyond the scores."""
    kept = {k: v for k, v in manifest.items() if k not in _OF_THE_SOURCE}
    kept["decisions"] = [
        {k: d[k] for k in ("column", "semantic", "rule", "reason", "by")} for d in manifest.get("decisions", ())
    ]
    verdict = manifest["verdict"]
    kept["verdict"] = {k: verdict[k] for k in ("outcome", "policy", "edition", "digest")}
    return kept


def digest(frame: pl.DataFrame) -> str:
    """sha256 of the table's CSV form (UTF-8, header, LF)."""
    told = Digest()
    told.add(frame)
    return told.hex()


def plan_digest(fields: Sequence[Field]) -> str:
    """sha256 of the field plan in canonical JSON; who decided it, and when, does not change it."""
    plan = [{s: _plain(getattr(f, s)) for s in f.__dataclass_fields__ if s != "decision"} for f in fields]
    return hashlib.sha256(json.dumps(plan, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _column(
    field: Field, evidence: Any, view: View | None, formats: Mapping[str, str], structure: SchemaEngine | None
) -> dict[str, Any]:
    drawn = structure.sources.get(field.name) if structure and (view is None or field.blind) else None
    if field.references:
        source = "parent"
    elif drawn:
        source = drawn
    elif field.name in evidence.patterned or (field.shaped and field.generated):
        source = "pattern"
    else:
        source = "provider" if field.generated else "learned"
    column: dict[str, Any] = {"name": field.name, "type": field.dtype, "semantic": field.semantic, "source": source}
    if field.name in formats:
        column["format"] = formats[field.name]
    if view is not None and view.pooled.get(field.name):
        column["labels_merged"] = view.pooled[field.name]
    if field.name in evidence.fidelity.columns:
        column["fidelity"] = _rounded(evidence.fidelity.columns[field.name])
    return column


def _beside_real(evidence: Evidence, k: int, target: str | None) -> dict[str, Any]:
    """Real and simulated side by side in groups of at least k people, pairs of columns, and what a model learns."""
    if evidence.real is None:
        return {"distributions": [], "pairs": [], "association": None, "maps": [], "usefulness": None}
    learned, owner = evidence.learned, entity_of(evidence.fields)
    shown = side_by_side(learned, evidence.real.every, evidence.simulated, owner, k)
    people = by_person(evidence.real.every, owner), by_person(evidence.simulated, owner)
    return {
        "distributions": [groups.as_dict() for groups in shown.values()],
        "pairs": [_pair(p) for p in evidence.fidelity.worst(_WORST)],
        "association": _association(evidence.fidelity),
        "maps": [two_way(shown[a], shown[b], people, k) for a, b in _mapped(evidence, shown)],
        "usefulness": _usefulness(evidence, target),
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "columns": list(pair.columns), "score": _rounded(pair.score, 3), "holdout": _rounded(pair.holdout, 3),
        "real": _rounded(pair.real, 3), "simulated": _rounded(pair.made, 3),
    }  # fmt: skip


def _association(fidelity: Fidelity) -> dict[str, Any] | None:
    """How strongly columns hang together, real and simulated, for those with the strongest relations."""
    ranked = sorted(fidelity.pairwise, key=lambda p: (-p.real, p.columns))
    names = list(dict.fromkeys(name for pair in ranked for name in pair.columns))[:_MATRIX]
    place = {name: at for at, name in enumerate(sorted(names, key=list(fidelity.columns).index))}
    if len(place) < 2:
        return None
    tables: list[list[list[float | None]]] = [[[None] * len(place) for _ in place] for _ in range(2)]
    for pair in (p for p in ranked if set(p.columns) <= set(place)):
        left, right = (place[name] for name in pair.columns)
        for table, value in zip(tables, (pair.real, pair.made), strict=True):
            table[left][right] = table[right][left] = _rounded(value, 3)
    return {"columns": list(place), "real": tables[0], "simulated": tables[1]}


def _mapped(evidence: Evidence, shown: Mapping[str, Groups]) -> list[tuple[str, str]]:
    """Pairs to draw: the strongest relation and the one kept worst, among columns that are shown and not sensitive."""
    usable = {f.name for f in evidence.learned if f.role != "sensitive"} & set(shown)
    pairs = [p for p in evidence.fidelity.pairwise if set(p.columns) <= usable]
    if not pairs:
        return []
    strongest = max(pairs, key=lambda p: (p.real, p.columns))
    worst = min(pairs, key=lambda p: (p.score - p.holdout, p.columns))
    return list(dict.fromkeys((strongest.columns, worst.columns)))


def _usefulness(evidence: Evidence, target: str | None) -> dict[str, Any] | None:
    learned, real = evidence.learned, evidence.real
    goal = target or choose_target(learned, evidence.fidelity)
    if goal is None or real is None:
        return None
    found = usefulness.measure(evidence.simulated, real.fitted, real.holdout, learned, goal)
    if found is None:
        return None
    scores = {name: _rounded(getattr(found, name)) for name in ("simulated", "real", "guess", "margin", "share")}
    return scores | {
        "target": goal, "declared": target is not None, "kind": found.kind, "tested": found.tested,
        "words": found.words().as_dict(),
    }  # fmt: skip


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(float(value), digits)
