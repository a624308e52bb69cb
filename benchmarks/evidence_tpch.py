"""The 22 questions of TPC-H as products: free steps, a declared cube, and in `post` what orders, limits and selects.

Each says the same as its text in `tpch`. Customers and suppliers are the protected entities, one kind at a time: 39 of
the 44 cases touch the kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from benchmarks.tpch import TABLES
from sandbox.products.source import EntityKey, Source, Through

Kind = Literal["customer", "supplier"]
KINDS: tuple[Kind, ...] = ("customer", "supplier")
UNTOUCHED: Mapping[Kind, tuple[int, ...]] = {"customer": (2, 11, 16), "supplier": (13, 22)}

_NET = "l_extendedprice * (1 - l_discount)"
_COUNT = {"op": "count"}


def _sum(of: str) -> dict[str, str]:
    return {"op": "sum", "of": of}


def _mean(of: str) -> dict[str, str]:
    return {"op": "mean", "of": of}


def _job(
    number: int, *steps: str | tuple[str, str], by: str = "", measures: Mapping[str, Mapping[str, Any]],
    reference: tuple[Mapping[str, Any], ...] = (), post: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    made = [(f"s{i}", step) if isinstance(step, str) else step for i, step in enumerate(steps, start=1)]
    used = [t for t in TABLES if any(re.search(rf"\b{t}\b", text) for _, text in made)]
    whole = {
        "job": f"tpch-{number}", "edition": 2, "inputs": {t: {"grant": f"G-{t}"} for t in used},
        "prepare": [{"name": n, "sql": text} for n, text in made], "reference": list(reference),
        "product": {"from": made[-1][0], "dimensions": by.split(), "measures": dict(measures)},
        "output": {"kind": "aggregate", "format": "csv"},
    }  # fmt: skip
    whole |= {"post": {"sql": post}} if post else {}
    return {k: v for k, v in whole.items() if v != []}


_LAST_ORDERED = "SELECT * FROM product ORDER BY {} LIMIT {}"
_EUROPEAN = """SELECT s_suppkey, s_acctbal, s_name, n_name, s_address, s_phone, s_comment FROM supplier
    JOIN nation ON n_nationkey = s_nationkey JOIN region ON r_regionkey = n_regionkey AND r_name = 'EUROPE'"""

PRODUCTS: dict[int, dict[str, Any]] = {
    1: _job(1, f"""SELECT l_returnflag, l_linestatus, l_quantity, l_extendedprice, l_discount, {_NET} AS disc,
            {_NET} * (1 + l_tax) AS charge FROM lineitem WHERE l_shipdate <= DATE '1998-09-02'""",
            by="l_returnflag l_linestatus", measures={
                "sum_qty": _sum("l_quantity"), "sum_base_price": _sum("l_extendedprice"),
                "sum_disc_price": _sum("disc"),
                "sum_charge": _sum("charge"), "avg_qty": _mean("l_quantity"), "avg_price": _mean("l_extendedprice"),
                "avg_disc": _mean("l_discount"), "count_order": _COUNT}),
    2: _job(2, ("european", _EUROPEAN), """
            SELECT s_acctbal, s_name, n_name, p_partkey, p_mfgr, s_address, s_phone, s_comment FROM part
            JOIN partsupp ON ps_partkey = p_partkey JOIN european ON s_suppkey = ps_suppkey
            WHERE p_size = 15 AND p_type LIKE '%BRASS' AND ps_supplycost = (
                SELECT min(c.ps_supplycost) FROM partsupp AS c JOIN european AS e ON e.s_suppkey = c.ps_suppkey
                WHERE c.ps_partkey = p_partkey)""",
            by="s_acctbal s_name n_name p_partkey p_mfgr s_address s_phone s_comment", measures={"n": _COUNT}),
    3: _job(3, f"""SELECT l_orderkey, o_orderdate, o_shippriority, {_NET} AS net FROM customer
            JOIN orders ON o_custkey = c_custkey AND o_orderdate < DATE '1995-03-15'
            JOIN lineitem ON l_orderkey = o_orderkey AND l_shipdate > DATE '1995-03-15'
            WHERE c_mktsegment = 'BUILDING'""",
            by="l_orderkey o_orderdate o_shippriority", measures={"revenue": _sum("net")},
            post=_LAST_ORDERED.format("revenue DESC, o_orderdate, l_orderkey", 10)),
    4: _job(4, """SELECT o_orderpriority FROM orders
            WHERE o_orderdate >= DATE '1993-07-01' AND o_orderdate < DATE '1993-10-01' AND EXISTS (
                SELECT 1 FROM lineitem WHERE l_orderkey = o_orderkey AND l_commitdate < l_receiptdate)""",
            by="o_orderpriority", measures={"order_count": _COUNT}),
    5: _job(5, f"""SELECT n_name, {_NET} AS net FROM region JOIN nation ON n_regionkey = r_regionkey
            JOIN customer ON c_nationkey = n_nationkey JOIN orders ON o_custkey = c_custkey
            JOIN lineitem ON l_orderkey = o_orderkey
            JOIN supplier ON s_suppkey = l_suppkey AND s_nationkey = c_nationkey
            WHERE r_name = 'ASIA' AND o_orderdate >= DATE '1994-01-01' AND o_orderdate < DATE '1995-01-01'""",
            by="n_name", measures={"revenue": _sum("net")}),
    6: _job(6, """SELECT l_extendedprice * l_discount AS won FROM lineitem
            WHERE l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01'
              AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24""", measures={"revenue": _sum("won")}),
    7: _job(7, f"""SELECT seller.n_name AS supp_nation, buyer.n_name AS cust_nation, year(l_shipdate) AS l_year,
                   {_NET} AS net FROM supplier
            JOIN lineitem ON l_suppkey = s_suppkey AND l_shipdate BETWEEN DATE '1995-01-01' AND DATE '1996-12-31'
            JOIN orders ON o_orderkey = l_orderkey JOIN customer ON c_custkey = o_custkey
            JOIN nation AS seller ON seller.n_nationkey = s_nationkey
            JOIN nation AS buyer ON buyer.n_nationkey = c_nationkey
            WHERE (seller.n_name = 'FRANCE' AND buyer.n_name = 'GERMANY')
               OR (seller.n_name = 'GERMANY' AND buyer.n_name = 'FRANCE')""",
            by="supp_nation cust_nation l_year", measures={"revenue": _sum("net")}),
    8: _job(8, f"""SELECT year(o_orderdate) AS o_year,
                   CASE WHEN seller.n_name = 'BRAZIL' THEN {_NET} ELSE 0 END AS theirs,
                   {_NET} AS net FROM part
            JOIN lineitem ON l_partkey = p_partkey JOIN supplier ON s_suppkey = l_suppkey
            JOIN orders ON o_orderkey = l_orderkey AND o_orderdate BETWEEN DATE '1995-01-01' AND DATE '1996-12-31'
            JOIN customer ON c_custkey = o_custkey JOIN nation AS buyer ON buyer.n_nationkey = c_nationkey
            JOIN region ON r_regionkey = buyer.n_regionkey AND r_name = 'AMERICA'
            JOIN nation AS seller ON seller.n_nationkey = s_nationkey WHERE p_type = 'ECONOMY ANODIZED STEEL'""",
            by="o_year", measures={"mkt_share": {"op": "ratio", "of": "theirs", "per": "net"}}),
    9: _job(9, f"""SELECT n_name AS nation, year(o_orderdate) AS o_year, {_NET} - ps_supplycost * l_quantity AS profit
            FROM part JOIN lineitem ON l_partkey = p_partkey
            JOIN partsupp ON ps_partkey = l_partkey AND ps_suppkey = l_suppkey
            JOIN supplier ON s_suppkey = l_suppkey JOIN nation ON n_nationkey = s_nationkey
            JOIN orders ON o_orderkey = l_orderkey WHERE p_name LIKE '%green%'""",
            by="nation o_year", measures={"sum_profit": _sum("profit")}),
    10: _job(10, f"""SELECT c_custkey, c_name, {_NET} AS net, c_acctbal, n_name, c_address, c_phone, c_comment
            FROM customer JOIN nation ON n_nationkey = c_nationkey JOIN orders ON o_custkey = c_custkey
            JOIN lineitem ON l_orderkey = o_orderkey
            WHERE o_orderdate >= DATE '1993-10-01' AND o_orderdate < DATE '1994-01-01' AND l_returnflag = 'R'""",
            by="c_custkey c_name c_acctbal n_name c_address c_phone c_comment", measures={"revenue": _sum("net")},
            post=_LAST_ORDERED.format("revenue DESC, c_custkey", 20)),
    11: _job(11, """SELECT ps_partkey, ps_supplycost * ps_availqty AS value FROM partsupp
            JOIN supplier ON s_suppkey = ps_suppkey JOIN nation ON n_nationkey = s_nationkey AND n_name = 'GERMANY'""",
            by="ps_partkey", measures={"total": _sum("value")},
            reference=({"name": "german", "from": "s1", "dimensions": [], "measures": {"whole": _sum("value")}},),
            post="SELECT p.* FROM product p CROSS JOIN german g WHERE p.total > g.whole * 0.0001"),
    12: _job(12, """SELECT l_shipmode, CASE WHEN o_orderpriority IN ('1-URGENT', '2-HIGH') THEN 1 END AS high,
                   CASE WHEN o_orderpriority NOT IN ('1-URGENT', '2-HIGH') THEN 1 END AS low
            FROM orders JOIN lineitem ON l_orderkey = o_orderkey
            WHERE l_shipmode IN ('MAIL', 'SHIP') AND l_shipdate < l_commitdate AND l_commitdate < l_receiptdate
              AND l_receiptdate >= DATE '1994-01-01' AND l_receiptdate < DATE '1995-01-01'""",
            by="l_shipmode", measures={"high_line_count": {"op": "count", "of": "high"},
                                       "low_line_count": {"op": "count", "of": "low"}}),
    13: _job(13, """SELECT c_custkey, count(o_orderkey) AS c_count FROM customer
            LEFT JOIN orders ON o_custkey = c_custkey AND o_comment NOT LIKE '%special%requests%'
            GROUP BY c_custkey""", by="c_count", measures={"custdist": _COUNT}),
    14: _job(14, f"""SELECT CASE WHEN p_type LIKE 'PROMO%' THEN 100.00 * {_NET} ELSE 0 END AS promo, {_NET} AS net
            FROM lineitem JOIN part ON p_partkey = l_partkey
            WHERE l_shipdate >= DATE '1995-09-01' AND l_shipdate < DATE '1995-10-01'""",
            measures={"promo_revenue": {"op": "ratio", "of": "promo", "per": "net"}}),
    15: _job(15, ("earned", f"""SELECT l_suppkey, sum({_NET}) AS total_revenue FROM lineitem
            WHERE l_shipdate >= DATE '1996-01-01' AND l_shipdate < DATE '1996-04-01' GROUP BY l_suppkey"""),
            """SELECT s_suppkey, s_name, s_address, s_phone, total_revenue FROM supplier
            JOIN earned ON l_suppkey = s_suppkey WHERE total_revenue = (SELECT max(total_revenue) FROM earned)""",
            by="s_suppkey s_name s_address s_phone", measures={"total": _sum("total_revenue")}),
    16: _job(16, """SELECT p_brand, p_type, p_size, ps_suppkey FROM partsupp JOIN part ON p_partkey = ps_partkey
            WHERE p_brand <> 'Brand#45' AND p_type NOT LIKE 'MEDIUM POLISHED%'
              AND p_size IN (49, 14, 23, 45, 19, 3, 36, 9)
              AND ps_suppkey NOT IN (SELECT s_suppkey FROM supplier WHERE s_comment LIKE '%Customer%Complaints%')""",
            by="p_brand p_type p_size", measures={"supplier_cnt": {"op": "count_distinct", "of": "ps_suppkey"}}),
    17: _job(17, """SELECT l_extendedprice / 7.0 AS weekly FROM lineitem JOIN part ON p_partkey = l_partkey
            WHERE p_brand = 'Brand#23' AND p_container = 'MED BOX' AND l_quantity < (
                SELECT 0.2 * avg(o.l_quantity) FROM lineitem AS o WHERE o.l_partkey = p_partkey)""",
            measures={"avg_yearly": _sum("weekly")}),
    18: _job(18, """SELECT c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice, l_quantity FROM customer
            JOIN orders ON o_custkey = c_custkey JOIN lineitem ON l_orderkey = o_orderkey
            WHERE o_orderkey IN (SELECT l_orderkey FROM lineitem GROUP BY l_orderkey HAVING sum(l_quantity) > 300)""",
            by="c_name c_custkey o_orderkey o_orderdate o_totalprice", measures={"quantity": _sum("l_quantity")},
            post=_LAST_ORDERED.format("o_totalprice DESC, o_orderdate, o_orderkey", 100)),
    19: _job(19, f"""SELECT {_NET} AS net FROM lineitem JOIN part ON p_partkey = l_partkey
            WHERE l_shipmode IN ('AIR', 'AIR REG') AND l_shipinstruct = 'DELIVER IN PERSON' AND (
                (p_brand = 'Brand#12' AND p_container IN ('SM CASE', 'SM BOX', 'SM PACK', 'SM PKG')
                 AND l_quantity BETWEEN 1 AND 11 AND p_size BETWEEN 1 AND 5)
                OR (p_brand = 'Brand#23' AND p_container IN ('MED BAG', 'MED BOX', 'MED PKG', 'MED PACK')
                    AND l_quantity BETWEEN 10 AND 20 AND p_size BETWEEN 1 AND 10)
                OR (p_brand = 'Brand#34' AND p_container IN ('LG CASE', 'LG BOX', 'LG PACK', 'LG PKG')
                    AND l_quantity BETWEEN 20 AND 30 AND p_size BETWEEN 1 AND 15))""",
            measures={"revenue": _sum("net")}),
    20: _job(20, """SELECT s_name, s_address FROM supplier
            JOIN nation ON n_nationkey = s_nationkey AND n_name = 'CANADA' WHERE s_suppkey IN (
                SELECT ps_suppkey FROM partsupp
                WHERE ps_partkey IN (SELECT p_partkey FROM part WHERE p_name LIKE 'forest%') AND ps_availqty > (
                    SELECT 0.5 * sum(l_quantity) FROM lineitem
                    WHERE l_partkey = ps_partkey AND l_suppkey = ps_suppkey
                      AND l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01'))""",
            by="s_name s_address", measures={"n": _COUNT}),
    21: _job(21, """SELECT s_name FROM supplier
            JOIN nation ON n_nationkey = s_nationkey AND n_name = 'SAUDI ARABIA'
            JOIN lineitem AS late ON late.l_suppkey = s_suppkey AND late.l_receiptdate > late.l_commitdate
            JOIN orders ON o_orderkey = late.l_orderkey AND o_orderstatus = 'F'
            WHERE EXISTS (SELECT 1 FROM lineitem AS other
                          WHERE other.l_orderkey = late.l_orderkey AND other.l_suppkey <> late.l_suppkey)
              AND NOT EXISTS (SELECT 1 FROM lineitem AS other
                              WHERE other.l_orderkey = late.l_orderkey AND other.l_suppkey <> late.l_suppkey
                                AND other.l_receiptdate > other.l_commitdate)""",
            by="s_name", measures={"numwait": _COUNT}, post=_LAST_ORDERED.format("numwait DESC, s_name", 100)),
    22: _job(22, ("rich", """SELECT c_custkey, c_acctbal, substring(c_phone, 1, 2) AS cntrycode FROM customer
            WHERE substring(c_phone, 1, 2) IN ('13', '31', '23', '29', '30', '18', '17')"""),
            """SELECT cntrycode, c_acctbal FROM rich
            WHERE c_acctbal > (SELECT avg(r.c_acctbal) FROM rich AS r WHERE r.c_acctbal > 0)
              AND NOT EXISTS (SELECT 1 FROM orders WHERE o_custkey = c_custkey)""",
            by="cntrycode", measures={"numcust": _COUNT, "totacctbal": _sum("c_acctbal")}),
}  # fmt: skip
"""Question → product. Where the question keeps groups by a total (11), orders and limits, `post` does."""


def sources(number: int, kind: Kind, files: Mapping[str, Path]) -> dict[str, Source]:
    """The inputs of a product with the facts about one kind."""
    through = Through((str(files["orders"]),), "o_orderkey", "o_custkey")
    keys: dict[str, EntityKey] = {
        "customer": EntityKey("customer", "c_custkey"),
        "orders": EntityKey("customer", "o_custkey", determined_by={"o_orderkey": "order"}),
        "lineitem": EntityKey("customer", "l_orderkey", determined_by={"l_orderkey": "order"}, through=through),
    } if kind == "customer" else {
        "supplier": EntityKey("supplier", "s_suppkey"),
        "partsupp": EntityKey("supplier", "ps_suppkey"),
        "lineitem": EntityKey("supplier", "l_suppkey"),
    }  # fmt: skip
    return {
        alias: Source((str(files[alias]),), f"sha256:{alias}", (keys[alias],) if alias in keys else ())
        for alias in PRODUCTS[number]["inputs"]
    }
