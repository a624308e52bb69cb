"""What simulated rows look like, column by column: computed from the simulated rows and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from synthetic.wording import meaning_of, source_of

if TYPE_CHECKING:
    import polars as pl

    from synthetic.fields import Field

MOST_LABELS = 12
BINS = 20
_EXAMPLES = 3


def field_dictionary(fields: Sequence[Field], public: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry a column: name, type, semantic type, comment, where its values come from, its declared codes; meaning
    and source in words too."""
    sources = {c["name"]: str(c["source"]) for c in public["columns"]}
    return [
        {
            "name": f.name, "type": f.dtype, "semantic": f.semantic, "comment": f.comment, "codes": list(f.codes),
            "source": sources[f.name], "meaning": meaning_of(f.semantic).as_dict(),
            "made": source_of(sources[f.name]).as_dict(),
        }
        for f in fields
    ]  # fmt: skip


def distributions(frame: pl.DataFrame, fields: Sequence[Field]) -> list[dict[str, Any]]:
    """One entry a column: rows, missing, distinct, and what fits its kind.

    "bins": equal widths between the smallest and the largest simulated value, as [from, to, count]. "labels": the
    most frequent ones with counts, and how many rows have another. "values": for what was invented, a few examples.
    """
    return [_of(frame.get_column(f.name), f) for f in fields]


def _of(column: pl.Series, field: Field) -> dict[str, Any]:
    known = column.drop_nulls()
    facts: dict[str, Any] = {
        "name": field.name, "type": field.dtype, "rows": len(column), "missing": len(column) - len(known),
        "distinct": known.n_unique(),
    }  # fmt: skip
    if field.generated or (field.blind and field.role == "direct"):
        examples = known.unique(maintain_order=True).head(_EXAMPLES)
        return facts | {"kind": "values", "examples": [_plain(v) for v in examples]}
    if _on_scale(column, facts["distinct"]):
        return facts | {"kind": "bins", **_bins(known)}
    return facts | {"kind": "labels", **_labels(known)}


def _on_scale(column: pl.Series, distinct: int) -> bool:
    """Whether the values lie on a scale; a handful of numbers are labels to the eye."""
    finite = column.filter(column.is_finite()).n_unique() if column.dtype.is_float() else distinct
    return (column.dtype.is_numeric() or column.dtype.is_temporal()) and finite > MOST_LABELS


def _labels(known: pl.Series) -> dict[str, Any]:
    counted = known.cast(str).alias("label").value_counts(name="rows").sort(["rows", "label"], descending=[True, False])
    top = counted.head(MOST_LABELS)
    return {
        "labels": [[label, rows] for label, rows in top.iter_rows()],
        "others": int(len(known) - top.get_column("rows").sum()),
    }


def _bins(known: pl.Series) -> dict[str, Any]:
    import numpy as np
    import polars as pl

    known = known.filter(known.is_finite()) if known.dtype.is_float() else known
    numbers = (known.to_physical() if known.dtype.is_temporal() else known).cast(pl.Float64).to_numpy()
    whole = known.dtype.is_integer() or known.dtype.is_temporal()
    low, high = float(numbers.min()), float(numbers.max())
    # Whole numbers get bins of whole width, so that none holds one value more than its neighbour.
    width = max(1.0, np.ceil((high - low + 1) / BINS)) if whole else (high - low) / BINS
    count = int(np.ceil((high - low + 1) / width)) if whole else BINS
    edges = low + width * np.arange(count + 1)
    found = np.clip(((numbers - low) / width).astype(np.int64), 0, count - 1)
    shown = [_edge(e, known.dtype) for e in edges]
    counts = np.bincount(found, minlength=count)
    return {
        "bins": [[a, b, int(n)] for a, b, n in zip(shown, shown[1:], counts, strict=False)],
        "smallest": _plain(known.min()), "largest": _plain(known.max()), "mean": _mean(known),
    }  # fmt: skip


def _edge(value: float, kind: pl.DataType) -> Any:
    import polars as pl

    if kind.is_temporal():
        return _plain(pl.Series([round(value)]).cast(pl.Int32 if kind == pl.Date else pl.Int64).cast(kind).item())
    return int(value) if kind.is_integer() else round(value, 6)


def _mean(known: pl.Series) -> Any:
    import polars as pl

    mean = None if known.dtype.is_temporal() else known.cast(pl.Float64).mean()
    return float(f"{mean:.6g}") if isinstance(mean, float) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
