"""Simulated rows as files that cannot be taken for real ones: the mark is in the name and in the metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from policies.text import Text, UserError
from policies.verdict import Outcome
from synthetic.formats import MOMENT, neutral_frame
from synthetic.manifest import public
from synthetic.report import report, report_data

_REFUSED = frozenset({Outcome.BLOCK, Outcome.ERROR})


def write_published(
    frame: pl.DataFrame, manifest: Mapping[str, Any], titles: Mapping[str, Text], out: Path
) -> dict[str, Path]:
    """Write `<table>_仿真数据.parquet` (manifest as key-value metadata), the same as CSV, the manifest as JSON, and the
    report as a page and as JSON.

    In the CSV no cell is a formula to a spreadsheet program.

    What travels is the public manifest and the merchant's report: outcome and scores, no measured gate value, no figure
    of few real rows.

    Args:
        titles: rule id → title, from the policy edition.

    Returns:
        Paths under the keys "parquet", "csv", "manifest", "report" and "report_data".

    Raises:
        UserError: `simulation.blocked` when the verdict blocks or is an error; nothing is written then.
    """
    import pyarrow.parquet as pq

    _refuse_failed(manifest["verdict"])
    out.mkdir(parents=True, exist_ok=True)
    stem, shown = f"{manifest['table']}_{manifest['mark']}", public(manifest)
    text = json.dumps(shown, ensure_ascii=False, sort_keys=True)
    paths = {kind: out / f"{stem}.{end}" for kind, end in _ENDINGS.items()}
    table = frame.to_arrow()
    metadata = {"mark": manifest["mark"], "simulated": "true", "manifest": text}
    pq.write_table(table.replace_schema_metadata(metadata), paths["parquet"])
    # The byte order mark lets spreadsheet programs read Chinese.
    neutral_frame(frame).write_csv(paths["csv"], include_bom=True, datetime_format=MOMENT)
    paths["manifest"].write_text(_readable(shown), "utf-8")
    paths["report"].write_text(report(manifest, titles, "merchant"), "utf-8")
    paths["report_data"].write_text(_readable(report_data(manifest, titles, "merchant")), "utf-8")
    return paths


def _refuse_failed(verdict: Mapping[str, Any]) -> None:
    if Outcome(verdict["outcome"]) in _REFUSED:
        failed = [r["rule"] for r in verdict["rules"] if r["outcome"] != Outcome.PASS]
        raise UserError(
            "simulation.blocked",
            Text("仿真数据没有通过核查({r}),不予写出。", "The simulated rows failed {r}; nothing is written.").fill(
                r="、".join(failed)
            ),
            fix=Text(
                "请查看核查报告,调整字段方案、种子或引擎后重试。", "See the report; adjust the plan, seed or engine."
            ),
            rules=failed,
        )


def _readable(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


_ENDINGS = {
    "parquet": "parquet", "csv": "csv", "manifest": "manifest.json", "report": "report.html",
    "report_data": "report.json",
}  # fmt: skip
