"""The small town that attacks on evidence are tried in: 300 persons, one of whom (number 42) is the target."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from sandbox.products.source import EntityKey, Role, Source, Through

PERSONS, TARGET, VISITS, CLINICS, FIRMS = 300, 42, 600, 60, 120
DISTRICTS = ("东", "西", "南")
QUASI: dict[str, Role] = dict.fromkeys(("district", "street", "age", "sex"), "quasi")
UPLOADS = ("extra", "lookup", "weights", "even")


def income(pid: int) -> int:
    """Yuan a year; different for everybody."""
    return 30_000 + pid * 7919 % 60_000


def tables() -> dict[str, list[dict[str, Any]]]:
    """Every table as rows; those named in `UPLOADS` are the merchant's own."""
    resident = [
        {
            "pid": p, "district": DISTRICTS[p % 3], "street": f"S{p % 6}", "age": 20 + (p * p * 13 + p // 7) % 60,
            "sex": "男女"[p // 3 % 2], "income": income(p),
        }
        for p in range(1, PERSONS + 1)
    ]  # fmt: skip
    visit = [
        {
            "vid": 1000 + v, "pid": v % PERSONS + 1, "cid": v * 17 % CLINICS + 1,
            "day": date(2025, 1, 1) + timedelta(days=v * 13 % 365), "fee": 50 + v * 37 % 300,
        }
        for v in range(VISITS)
    ]  # fmt: skip
    firm = [
        {
            "eid": f"E{i:03d}", "district": DISTRICTS[i % 3], "holding": "H1" if i in (0, 3, 6) else None,
            "revenue": 3000 if i in (0, 3, 6) else 100 + i, "staff": 20 + i % 7,
        }
        for i in range(FIRMS)
    ]  # fmt: skip
    return {
        "resident": resident,
        "visit": visit,
        "clinic": [{"cid": c, "level": "甲乙"[c % 2], "beds": 20 + c} for c in range(1, CLINICS + 1)],
        "firm": firm,
        "card": [{"card": f"K{p:04d}", "pid": p} for p in range(1, PERSONS + 1)],
        "tap": [
            {"tid": t, "card": f"K{t % PERSONS + 1:04d}", "station": f"站{t % 5}", "fare": 2 + t % 4}
            for t in range(2 * PERSONS)
        ],
        "extra": [{"pid": 9000 + i, "district": DISTRICTS[i % 3], "income": 50_000} for i in range(60)],
        "lookup": [{"pid": p, "grp": "他" if p == TARGET else "众", "w": float(p == TARGET)} for p in range(1, 301)],
        "even": [{"pid": p, "grp": "甲乙"[p % 2], "w": 1.0 + p % 3} for p in range(1, 301)],
        "weights": [{"district": d, "w": 1.0 + i / 10} for i, d in enumerate(DISTRICTS)],
    }  # fmt: skip


def sources(folder: Path, **other: list[dict[str, Any]]) -> dict[str, Source]:
    """The town as sources; `other` replaces tables by name."""
    files = {}
    for name, rows in (tables() | other).items():
        files[name] = folder / f"{name}.parquet"
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(files[name])
    return {
        name: Source((str(path),), f"sha256:{name}", _keys(files).get(name, ()), roles=QUASI)
        for name, path in files.items()
    }


def _keys(files: Mapping[str, Path]) -> dict[str, tuple[EntityKey, ...]]:
    of_card = Through((str(files["card"]),), "card", "pid")
    return {
        "resident": (EntityKey("person", "pid"),),
        "visit": (EntityKey("person", "pid", determined_by={"vid": "visit"}),),
        "clinic": (EntityKey("clinic", "cid"),),
        "firm": (EntityKey("enterprise", "eid", holding="holding"),),
        "card": (EntityKey("person", "pid", determined_by={"card": "card"}),),
        "tap": (EntityKey("person", "card", determined_by={"card": "card", "tid": "tap"}, through=of_card),),
    }


def job(
    *steps: str | tuple[str, str],
    inputs: str = "resident",
    from_: str | None = None,
    by: tuple[str, ...] = ("district",),
    measures: Mapping[str, Mapping[str, Any]] | None = None,
    reference: tuple[Mapping[str, Any], ...] = (),
    post: str | None = None,
    name: str = "town",
    **cube: Any,
) -> dict[str, Any]:
    """A specification: steps are called s1, s2, … (or as the pair says), and the last one is what the cube reads."""
    made = [(f"s{i}", step) if isinstance(step, str) else step for i, step in enumerate(steps, start=1)]
    product = {
        "from": from_ or (made[-1][0] if made else inputs.split()[0]),
        "dimensions": list(by),
        "measures": dict(measures or {"人数": {"op": "count"}, "和": {"op": "sum", "of": "x", "round": -3}}),
        **cube,
    }
    whole = {
        "job": name, "edition": 2,
        "inputs": {a: {"upload": "U-1"} if a in UPLOADS else {"grant": f"G-{a}"} for a in inputs.split()},
        "prepare": [{"name": n, "sql": sql} for n, sql in made], "reference": list(map(dict, reference)),
        "product": product, "output": {"kind": "aggregate", "format": "csv"},
    }  # fmt: skip
    whole |= {"post": {"sql": post}} if post else {}
    return {key: value for key, value in whole.items() if value != []}
