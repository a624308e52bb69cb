"""A small city to run carried texts on, and the one question that matters of each: is every removal predicted?

Two kinds of entity: persons (keys of persons, visits and taps) and clinics. Some keys are missing, some people have
nothing, some values are NULL: the corners are in the data, not in the tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb

from sandbox.products.carrier import Carried, Relation

Row = tuple[Any, ...]
Tables = Mapping[str, tuple[tuple[str, ...], list[Row]]]

MISSING = 2**32 - 1

CITY: Tables = {
    "person": (
        ("pid", "street", "age", "income"),
        [(1, "东街", 20, 100), (2, "东街", 30, 250), (3, "西街", 30, None), (4, "西街", 41, 400), (5, None, 70, 80),
         (6, "北街", 20, 100), (None, "东街", 33, 10), (None, "北街", 34, 20)],
    ),
    "visit": (
        ("vid", "pid", "cid", "d", "fee"),
        [(11, 1, 1, 3, 10), (12, 1, 2, 4, 20), (13, 2, 1, 3, 30), (14, 3, 1, 4, None), (15, 4, 2, 3, 50),
         (16, 4, 2, 3, 50), (17, None, 2, 4, 5), (18, 6, None, 4, 7), (19, 2, 3, 5, 30)],
    ),
    "tap": (("pid", "line"), [(1, "甲"), (1, "甲"), (2, "乙"), (3, "甲"), (4, "乙"), (None, "甲")]),
    "clinic": (("cid", "street", "beds"), [(1, "东街", 5), (2, "西街", 9), (4, "南街", 1)]),
    "street": (("street", "zone"), [("东街", "A"), ("西街", "B"), ("南街", "B")]),
    "weights": (("zone", "w", "who"), [("A", 2, 1), ("B", 3, 4), ("C", 5, 99)]),
}  # fmt: skip

DOMAINS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "person": {
        "person": {"pid": "person"}, "visit": {"pid": "person", "vid": "visit"}, "tap": {"pid": "person"},
    },
    "clinic": {"clinic": {"cid": "clinic"}, "visit": {"cid": "clinic"}},
}  # fmt: skip
KEYS = {"person": "pid", "clinic": "cid"}


def relations(kind: str, tables: Tables = CITY) -> dict[str, Relation]:
    """Every table as the carrier is told of it."""
    domains = DOMAINS[kind]
    return {
        name: Relation(columns, "one" if name in domains else "none", domains.get(name, {}))
        for name, (columns, _) in tables.items()
    }


@contextmanager
def city(kind: str, tables: Tables = CITY) -> Iterator[duckdb.DuckDBPyConnection]:
    """The tables as a job sees them (`main`), with owners (`k`), and without the entity in variable `gone` (`del`)."""
    with duckdb.connect(config={"threads": 1}) as con:
        con.execute("CREATE SCHEMA k; CREATE SCHEMA del; SET VARIABLE gone = -1")
        for name, (columns, rows) in tables.items():
            types = [_type([row[i] for row in rows]) for i in range(len(columns))]
            listed = ", ".join(f"{c} {t}" for c, t in zip(columns, types, strict=True))
            con.execute(f"CREATE TABLE main.{name} ({listed})")
            if rows:
                con.executemany(f"INSERT INTO main.{name} VALUES ({', '.join('?' * len(columns))})", rows)
            if name in DOMAINS[kind]:
                owner = f"coalesce({KEYS[kind]}, {MISSING})::UINTEGER"
                con.execute(f"CREATE TABLE k.{name} AS SELECT *, {owner} AS __e FROM main.{name}")
                con.execute(
                    f"CREATE VIEW del.{name} AS SELECT * EXCLUDE (__e) FROM k.{name} WHERE __e <> getvariable('gone')"
                )
            else:
                for schema in ("k", "del"):
                    con.execute(f"CREATE VIEW {schema}.{name} AS FROM main.{name}")
        yield con


def _type(values: list[Any]) -> str:
    return "VARCHAR" if any(isinstance(v, str) for v in values) else "INTEGER"


def rows(con: duckdb.DuckDBPyConnection, schema: str, text: str) -> Counter[Row]:
    """What a text gives over the tables of one schema, in no order; lists as tuples."""
    con.execute(f"SET search_path='{schema}'")
    try:
        found = con.execute(text).fetchall()
    finally:
        con.execute("SET search_path='main'")
    return Counter(tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in found)


def freeze(con: duckdb.DuckDBPyConnection, carried: Carried) -> None:
    """The frozen results, the same in every schema."""
    for frozen in carried.frozen:
        con.execute(f"CREATE OR REPLACE TABLE main.{frozen.name} AS {frozen.text}")
        for schema in ("k", "del"):
            con.execute(f"CREATE OR REPLACE VIEW {schema}.{frozen.name} AS FROM main.{frozen.name}")


def mistakes(con: duckdb.DuckDBPyConnection, text: str, carried: Carried, kind: str) -> list[str]:
    """Where the carried text is wrong: about the rows there are, or about what the removal of one entity does."""
    freeze(con, carried)
    owned = rows(con, "k", carried.sql)
    found = [] if strip(owned, carried, None) == rows(con, "main", text) else ["the rows themselves"]
    entities = {row[0] for name in DOMAINS[kind] for row in con.execute(f"SELECT __e FROM k.{name}").fetchall()}
    for entity in sorted(entities):
        con.execute(f"SET VARIABLE gone = {entity}")
        if strip(owned, carried, entity) != rows(con, "del", carried.text):
            found.append(f"without {entity}")
    return found


def strip(owned: Counter[Row], carried: Carried, gone: int | None) -> Counter[Row]:
    """The visible part of carried rows, without those of one entity."""
    if carried.relation.owner == "none":
        return owned
    kept: Counter[Row] = Counter()
    for row, count in owned.items():
        owners = row[-1] if isinstance(row[-1], tuple) else (row[-1],)
        if gone is None or gone not in owners:
            kept[row[:-1]] += count
    return kept
