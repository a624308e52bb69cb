"""The evidence in a form to look at: proofs by kind, the worst cells first, expressions and references.

Made for officers and for whoever runs a job on data they may see: it holds dimension values and numbers of the cell
table, never an entity.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import polars as pl

from sandbox.exports.checks.cells import NOT_ADDED
from sandbox.exports.subject import ExportSubject, Judged
from sandbox.products.evidence import Evidence, KindEvidence

WORST = 30
"""Cells listed one by one for each kind."""


def summary(subject: ExportSubject, worst: int = WORST) -> dict[str, Any]:
    """What the verdict rests on, ready for JSON; a job without evidence has its refusals or its black-box bounds."""
    black_box = None if subject.black_box is None else [asdict(tried) for tried in subject.black_box]
    refusals = [
        {"step": r.step, "line": r.line, "column": r.column, "code": r.code, "text": r.text.as_dict(),
         "repair": r.repair.as_dict()}
        for r in subject.refusals
    ]  # fmt: skip
    tables = subject.judged() if subject.evidence is not None and subject.spec is not None else []
    return {
        "tables": [_table(judged, worst) for judged in tables], "refusals": refusals, "black_box": black_box,
    }  # fmt: skip


def record_of(evidence: Evidence) -> dict[str, Any]:
    """Everything a third party needs to repeat the proofs, references included. It holds the seeds: officers only."""
    return {**asdict(evidence.record), "name": evidence.name, "references": list(map(record_of, evidence.references))}


def _table(judged: Judged, worst: int) -> dict[str, Any]:
    evidence = judged.evidence
    return {
        "place": judged.place, "columns": list(evidence.columns), "dimensions": evidence.dimensions,
        "rows": len(evidence.rows), "hidden": len(judged.hidden), "over_budget": list(evidence.over_budget),
        "kinds": [_kind(judged, kind, worst) for kind in evidence.kinds],
        "suspects": [
            {"step": s.step, "expression": s.expression, "columns": list(s.columns)} for s in evidence.suspects
        ],
    }  # fmt: skip


def _kind(judged: Judged, kind: KindEvidence, worst: int) -> dict[str, Any]:
    cells = judged.shown(kind.cells).filter(pl.col("n_non_missing") > 0).with_columns(_share().alias("largest_share"))
    order = [_fewest(), pl.col("n"), pl.col("largest_share")]
    found = cells.sort(order, descending=[False, False, True], nulls_last=True).head(worst)
    return {
        "kind": kind.kind, "touched": kind.touched, "several": kind.several,
        "p1": {"reproduced": kind.reproduced},
        "p2": {"halves": kind.halves, "as_predicted": kind.halves_as_predicted},
        "p3": {"perturbed": list(kind.perturbed), "not_perturbed": list(kind.not_perturbed)},
        "rows": kind.rows_total, "ownerless_rows": kind.ownerless_rows,
        "cells": kind.cells.height, "entity_sets": len(kind.bitmaps),
        "record_sets": len(kind.records.sets), "records_followed": kind.records.followed, "smallest": _smallest(cells),
        "worst": [_cell(judged, row) for row in found.iter_rows(named=True)],
    }  # fmt: skip


def _fewest() -> pl.Expr:
    """The smallest number of entities that a cell rests on in any sense: with a value, not zero, moved by a change."""
    some = [pl.col(name).replace(0, None) for name in ("n", "n_non_zero", "n_informative")]
    return pl.min_horizontal(*some)


def _share() -> pl.Expr:
    """Percent of a cell that its largest entity gives, where contributions add up."""
    adds = ~pl.col("op").is_in(NOT_ADDED) & (pl.col("x_total") > 0)
    return pl.when(adds).then((100 * pl.col("x1") / pl.col("x_total")).round(2))


def _smallest(cells: pl.DataFrame) -> dict[str, Any]:
    """The least number of entities behind any cell, and the largest share that one entity has."""
    moved = pl.col("n_informative")
    return cells.select(
        n=pl.col("n").min(), n_non_zero=pl.col("n_non_zero").filter(pl.col("n_non_zero") > 0).min(),
        n_informative=moved.filter(moved > 0).min(), change_share=pl.col("change_share").max().round(3),
        largest_share=pl.col("largest_share").max(),
    ).row(0, named=True)  # fmt: skip


def _cell(judged: Judged, row: dict[str, Any]) -> dict[str, Any]:
    evidence = judged.evidence
    values = evidence.rows[row["cell"]]
    wanted = (
        "measure", "part", "op", "n", "n_non_missing", "n_non_zero", "n_informative", "change_share", "largest_share",
        "n_min", "n_max", "n_below", "n_above",
    )  # fmt: skip
    return {
        "place": judged.cell(row["cell"], row["measure"]), "row": row["cell"] + 2,
        "group": [None if v is None else str(v) for v in values[: evidence.dimensions]],
        "grouping": evidence.groupings[row["cell"]], **{name: row[name] for name in wanted},
    }  # fmt: skip
