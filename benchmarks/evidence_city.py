"""A made-up city for the evidence of aggregate products: seven tables, their entity facts, and ten products.

Every value is a hash of its row number, so the same size gives the same files, and DuckDB streams them to Parquet in
bounded memory. No name or number belongs to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from sandbox.products.source import EntityKey, Role, Source, Through
from sandbox.workspaces.engine import literal

DISTRICTS, STREETS_EACH, STATIONS, INDUSTRIES = 22, 8, 120, 10
MEMORY = "1GB"


def sizes(rows: int) -> dict[str, int]:
    """Rows per table of a city with `rows` visits and as many taps."""
    persons = max(rows // 5, 100)
    return {
        "resident": persons, "clinic": 880, "visit": rows, "enterprise": max(rows // 20, 100),
        "tax_return": max(rows // 20, 100) * 2, "card": persons, "tap": rows,
    }  # fmt: skip


def _one_of(salt: int, count: int) -> str:
    return f"CAST(hash(i, {salt}) % {count} AS INTEGER)"


def _share(salt: int) -> str:
    return f"((hash(i, {salt}) % 1000000 + 1) / 1000001.0)"


def _normal(salt: int) -> str:
    return f"(sqrt(-2 * ln({_share(salt)})) * cos(2 * pi() * {_share(salt + 1)}))"


def _district(number: str) -> str:
    return f"'D' || lpad(CAST({number} AS VARCHAR), 2, '0')"


def _texts(n: Mapping[str, int]) -> dict[str, str]:
    """One SELECT a table over `r(i)`, the row numbers."""
    street = _one_of(1, DISTRICTS * STREETS_EACH)
    person = f"1 + CAST(hash(i, 21) % {n['resident']} AS BIGINT)"
    quarter = n["enterprise"] // 4
    return {
        "resident": f"""
            SELECT i + 1 AS pid, {_district(f"{street} // {STREETS_EACH}")} AS district,
                   'S' || lpad(CAST({street} AS VARCHAR), 3, '0') AS street, 1940 + {_one_of(2, 70)} AS born,
                   CASE {_one_of(3, 2)} WHEN 0 THEN '男' ELSE '女' END AS sex,
                   CASE WHEN {_one_of(4, 50)} > 0
                        THEN CAST(exp(10.8 + 0.5 * {_normal(5)}) AS INTEGER) END AS income FROM r""",
        "clinic": f"""
            SELECT i + 1 AS cid, {_district(f"i % {DISTRICTS * STREETS_EACH} // {STREETS_EACH}")} AS district,
                   'S' || lpad(CAST(i % {DISTRICTS * STREETS_EACH} AS VARCHAR), 3, '0') AS street,
                   20 + {_one_of(11, 200)} AS beds FROM r""",
        "visit": f"""
            SELECT i + 1 AS vid, {person} AS pid, 1 + {_one_of(22, n["clinic"])} AS cid,
                   DATE '2025-01-01' + {_one_of(23, 365)} AS day,
                   CAST(exp(5 + {_normal(24)}) AS INTEGER) AS fee FROM r""",
        "enterprise": f"""
            SELECT 'E' || lpad(CAST(i + 1 AS VARCHAR), 8, '0') AS eid, {_district(_one_of(31, DISTRICTS))} AS district,
                   'I' || {_one_of(32, INDUSTRIES)} AS industry,
                   CASE WHEN {_one_of(33, 20)} = 0 THEN 'H' || {_one_of(34, max(n["enterprise"] // 100, 1))} END
                       AS holding,
                   round(50 + 15 * {_normal(35)}, 1) AS score FROM r""",
        "tax_return": f"""
            SELECT i + 1 AS rid, 'E' || lpad(CAST(i // 2 + 1 AS VARCHAR), 8, '0') AS eid,
                   CAST(2024 + i % 2 AS INTEGER) AS year,
                   CAST(exp(13 + {_normal(41)}) AS DECIMAL(18, 2)) AS revenue
            FROM r WHERE NOT (i % 2 = 1 AND i // 2 % 4 = 0 AND i // 8 < {quarter})""",
        "card": "SELECT 'C' || lpad(CAST(i + 1 AS VARCHAR), 9, '0') AS card, i + 1 AS pid FROM r",
        "tap": f"""
            SELECT i + 1 AS tid, 'C' || lpad(CAST({person} AS VARCHAR), 9, '0') AS card,
                   {_one_of(51, STATIONS)} AS o, {_one_of(52, STATIONS)} AS d,
                   TIMESTAMP '2025-06-02 00:00:00' + INTERVAL (hash(i, 53) % 86400) SECOND AS at FROM r""",
    }  # fmt: skip


def generate(folder: Path, rows: int) -> dict[str, Path]:
    """Write the city's tables as Parquet; name → file."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    with duckdb.connect(config={"memory_limit": MEMORY, "threads": 2, "temp_directory": str(folder / "tmp")}) as con:
        counts = sizes(rows)
        for name, text in _texts(counts).items():
            files[name] = folder / f"{name}.parquet"
            rows_of = f"WITH r AS (SELECT range AS i FROM range({counts[name]}))"
            con.execute(f"COPY ({rows_of} {text}) TO {literal(str(files[name]))} (FORMAT parquet)")
        files["weights"] = folder / "weights.parquet"
        numbers = f"(SELECT range AS i FROM range({DISTRICTS}))"
        weights = f"SELECT {_district('i')} AS district, 1 + i % 3 / 10.0 AS w FROM {numbers}"
        con.execute(f"COPY ({weights}) TO {literal(str(files['weights']))} (FORMAT parquet)")
    return files


def sources(files: Mapping[str, Path]) -> dict[str, Source]:
    """The tables with what the catalogue knows of them; `weights` is a merchant's upload and belongs to nobody.

    Clinics are entities of the register of clinics: a visit is a person's.
    """
    quasi: dict[str, Role] = dict.fromkeys(("district", "street", "born", "sex", "industry"), "quasi")
    keys = {
        "resident": (EntityKey("person", "pid"),),
        "clinic": (EntityKey("clinic", "cid"),),
        "visit": (EntityKey("person", "pid", determined_by={"vid": "visit"}),),
        "enterprise": (EntityKey("enterprise", "eid", holding="holding"),),
        "tax_return": (EntityKey("enterprise", "eid", determined_by={"rid": "return"}),),
        "card": (EntityKey("person", "pid", determined_by={"card": "card"}),),
        "tap": (
            EntityKey(
                "person", "card", determined_by={"card": "card", "tid": "tap"},
                through=Through((str(files["card"]),), "card", "pid"),
            ),
        ),
        "weights": (),
    }  # fmt: skip
    return {
        name: Source((str(path),), f"sha256:{name}", keys[name], roles=quasi, level=3 if keys[name] else 1)
        for name, path in files.items()
    }


def _job(name: str, inputs: str, product: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {
        "job": name, "edition": 2,
        "inputs": {a: {"upload": "U-1"} if a == "weights" else {"grant": f"G-{a}"} for a in inputs.split()},
        **parts, "product": {"suppress": {"below": "policy", "as": "*"}} | product,
        "output": {"kind": "aggregate", "format": "csv", "order": "dimensions"},
    }  # fmt: skip


_COUNT = {"op": "count"}
_VISITS_OF_STREETS = {
    "name": "v", "owners": "one",
    "sql": "SELECT c.street, CAST(month(v.day) AS INTEGER) AS m, v.pid, v.fee FROM visit v JOIN clinic c USING (cid)",
}  # fmt: skip
PRODUCTS: dict[str, dict[str, Any]] = {
    "health-index": _job("health-index", "enterprise", {
        "from": "enterprise", "dimensions": ["district", "industry"],
        "measures": {"家数": _COUNT, "健康指数": {"op": "mean", "of": "score", "round": 1}},
    }),
    "visits-by-street": _job("visits-by-street", "visit clinic", {
        "from": "v", "dimensions": ["street", "m"], "margins": [["street"], []],
        "measures": {
            "人次": _COUNT, "人数": {"op": "count_distinct", "of": "pid"},
            "次均费用": {"op": "ratio", "of": "fee", "per": "count", "round": 1},
        },
    }, prepare=[_VISITS_OF_STREETS], post={
        "sql": "SELECT *, avg(次均费用) OVER (PARTITION BY street ORDER BY m ROWS 2 PRECEDING) AS 三月均 FROM product",
    }),
    "od-by-hour": _job("od-by-hour", "tap", {
        "from": "t", "dimensions": ["o", "d", "h"], "measures": {"人次": _COUNT},
    }, prepare=[{"name": "t", "sql": "SELECT o, d, CAST(hour(at) AS INTEGER) AS h FROM tap"}]),
    "visits-per-person": _job("visits-per-person", "visit resident", {
        "from": "n", "dimensions": ["sex", "visits"], "measures": {"人数": _COUNT},
    }, prepare=[
        {"name": "p", "sql": "SELECT pid, count(*) AS visits FROM visit GROUP BY pid"},
        {"name": "n", "sql": "SELECT r.sex, p.visits FROM p JOIN resident r USING (pid)"},
    ]),
    "income-quantiles": _job("income-quantiles", "resident", {
        "from": "resident", "dimensions": ["district"], "measures": {
            "中位收入": {"op": "median", "of": "income", "round": -2},
            "九成收入": {"op": "quantile", "of": "income", "q": 0.9, "round": -2},
        },
    }),
    "growth": _job("growth", "enterprise tax_return", {
        "from": "g", "dimensions": ["industry"], "measures": {
            "家数": {"op": "count_distinct", "of": "eid"},
            "比上年": {"op": "ratio", "of": "now", "per": "before", "round": 3},
        },
    }, prepare=[{
        "name": "g",
        "sql": "SELECT e.industry, e.eid, CASE WHEN t.year = 2025 THEN t.revenue END AS now, "
               "CASE WHEN t.year = 2024 THEN t.revenue END AS before FROM tax_return t JOIN enterprise e USING (eid)",
    }]),
    "top-districts": _job("top-districts", "resident", {
        "from": "resident", "dimensions": ["district"],
        "measures": {"人数": _COUNT, "人均收入": {"op": "mean", "of": "income", "round": 0}},
    }, post={"sql": "SELECT * FROM product ORDER BY 人均收入 DESC NULLS LAST LIMIT 10"}),
    "without-return": _job("without-return", "enterprise tax_return", {
        "from": "w", "dimensions": ["industry"],
        "measures": {"家数": _COUNT, "未申报率": {"op": "mean", "of": "without", "round": 3}},
    }, prepare=[
        {"name": "r", "sql": "SELECT eid, 1 AS filed FROM tax_return WHERE year = 2025"},
        {"name": "w",
         "sql": "SELECT e.industry, CAST(r.filed IS NULL AS INTEGER) AS without FROM enterprise e "
                "LEFT JOIN r ON e.eid = r.eid"},
    ]),
    "street-over-city": _job("street-over-city", "visit clinic", {
        "from": "v", "dimensions": ["street"],
        "measures": {"人次": _COUNT, "次均费用": {"op": "mean", "of": "fee", "round": 1}},
    }, prepare=[_VISITS_OF_STREETS], reference=[
        {"name": "city", "from": "v", "dimensions": [], "measures": {"全市": {"op": "mean", "of": "fee", "round": 1}}},
    ], post={"sql": "SELECT p.street, p.人次, p.次均费用 / c.全市 AS 比全市 FROM product p CROSS JOIN city c"}),
    "weighted-income": _job("weighted-income", "resident weights", {
        "from": "x", "dimensions": ["sex"],
        "measures": {"人数": _COUNT, "加权收入": {"op": "weighted_mean", "of": "income", "weight": "w", "round": 0}},
    }, prepare=[{
        "name": "x", "sql": "SELECT r.sex, r.income, CAST(w.w AS DOUBLE) AS w FROM resident r JOIN weights w USING "
            "(district)",
    }]),
}  # fmt: skip
"""The products: name → specification as data."""
