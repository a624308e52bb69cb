"""What a simulated table says about itself."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from policies.text import Text
from synthetic.batches import Digest, NotRun
from synthetic.columns import Scale
from synthetic.fidelity import in_words
from synthetic.fields import Field

if TYPE_CHECKING:
    from synthetic.engines.schema_engine import SchemaEngine
    from synthetic.protect import View
    from synthetic.simulate import Attempt

_TOP = 6
_WINDOW = 5
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
    view: View | None, formats: Mapping[str, str], structure: SchemaEngine | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The operator's manifest, JSON-able. Figures of real rows in it rest on at least the policy's k records each."""
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
        "fidelity": {
            "score": _rounded(evidence.fidelity.score),
            "shapes": _rounded(evidence.fidelity.shapes),
            "pairs": _rounded(evidence.fidelity.pairs),
            "holdout": _rounded(evidence.fidelity.holdout),
            "ratio": _rounded(evidence.fidelity.ratio),
            "words": in_words(evidence.fidelity).as_dict(),
        },
        "not_preserved": [t.as_dict() for t in ((_STRUCTURE_ONLY,) if view is None else _NOT_PRESERVED)],
        "comparison": _comparison(evidence, view) if view else [],
        "verdict": best.verdict.as_dict(),
    }


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
    kept = {k: v for k, v in manifest.items() if k not in ("verdict", "comparison", "source", "candidates")}
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


def _comparison(evidence: Any, view: View) -> list[dict[str, Any]]:
    """Real and simulated side by side: shares of frequent labels, and deciles averaged over neighbouring records."""
    out = []
    for field in evidence.learned:
        scale = Scale.of(field)
        real, made = (scale.encode(f.get_column(field.name)) for f in (evidence.real.every, evidence.simulated))
        row: dict[str, Any] = {
            "column": field.name,
            "missing": [_rounded(s.null_count() / max(1, len(s)), 3) for s in (real, made)],
        }
        if scale.kind == "label":
            kept = view.frame.get_column(field.name).unique()
            top = real.filter(real.is_in(kept.implode())).drop_nulls().value_counts().sort(
                ["count", field.name], descending=[True, False])[field.name].head(_TOP)  # fmt: skip
            row["labels"] = [
                [label, *(_rounded(float((s == label).sum()) / max(1, len(s)), 3) for s in (real, made))]
                for label in top
            ]
        else:
            row["deciles"] = [[q, *(_around(s, q, scale, field) for s in (real, made))] for q in (0.1, 0.5, 0.9)]
        out.append(row)
    return out


def _around(series: pl.Series, share: float, scale: Scale, field: Field) -> Any:
    """The mean of the records next to a quantile, so that no single record is shown."""
    values = np.sort(series.drop_nulls().to_numpy())
    if len(values) < 2 * _WINDOW + 1:
        return None
    place = int(share * (len(values) - 1))
    mean = values[max(0, place - _WINDOW) : place + _WINDOW + 1].mean()
    shown = scale.decode(pl.Series(field.name, [mean])).item()
    return shown if isinstance(shown, int | float) else str(shown)


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(float(value), digits)
