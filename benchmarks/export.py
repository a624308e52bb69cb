"""The export gate at size, in one run: a record-level file, the differencing ledger over two cities, the suppression
audit, the merchant's self-check. Each part in a process of its own, so that its memory is its own; each is a bench by
itself, too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib import import_module, util
from multiprocessing import get_context

from benchmarks.figures import Figure

PARTS: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("files", "benchmarks.export_files", {}),
    ("ledger_100k", "benchmarks.ledger", {"PDS_BENCH_ROWS": "100000"}),
    ("ledger_1m", "benchmarks.ledger", {"PDS_BENCH_ROWS": "1000000"}),
    ("suppression", "benchmarks.suppression", {}),
    ("selfcheck", "benchmarks.export_selfcheck", {}),
)


def run() -> list[Figure]:
    """All bars of the gate; a figure is called by its part."""
    figures: list[Figure] = []
    for part, module, settings in PARTS:
        if util.find_spec(module) is None:
            continue
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            found = alone.submit(_figures, module, dict(settings)).result()
        figures += [replace(figure, name=f"{part}:{figure.name}") for figure in found]
    return figures


def _figures(module: str, settings: dict[str, str]) -> list[Figure]:
    os.environ.update(settings)
    found: list[Figure] = import_module(module).run()
    return found
