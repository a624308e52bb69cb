"""The 22 questions of TPC-H, as data and as SQL.

The data comes from `tpchgen-cli` (PyPI, Apache-2.0). The SQL is our own wording of the specification's questions with
its validation parameters, in the order of its columns: the same joins, filters and aggregates, but not the official
texts, so that times are comparable with each other and with nothing that was published. Where the question needs a
view, a common table expression stands.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")

_NET = "l_extendedprice * (1 - l_discount)"


def generate(folder: Path, scale: float) -> dict[str, Path]:
    """Write the eight tables as Parquet; name → file. Raises FileNotFoundError where tpchgen-cli is not installed."""
    program = Path(sys.executable).with_name("tpchgen-cli")
    command = [str(program), "parquet", f"--scale-factor={scale}", f"--output-dir={folder}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return {name: folder / f"{name}.parquet" for name in TABLES}


QUERIES = {
    1: f"""
        SELECT l_returnflag, l_linestatus,
               sum(l_quantity) AS sum_qty, sum(l_extendedprice) AS sum_base_price,
               sum({_NET}) AS sum_disc_price, sum({_NET} * (1 + l_tax)) AS sum_charge,
               avg(l_quantity) AS avg_qty, avg(l_extendedprice) AS avg_price, avg(l_discount) AS avg_disc,
               count(*) AS count_order
        FROM lineitem
        WHERE l_shipdate <= DATE '1998-09-02'
        GROUP BY ALL ORDER BY ALL""",
    2: """
        WITH european AS (
            SELECT s_suppkey, s_acctbal, s_name, n_name, s_address, s_phone, s_comment
            FROM supplier
            JOIN nation ON n_nationkey = s_nationkey
            JOIN region ON r_regionkey = n_regionkey AND r_name = 'EUROPE')
        SELECT s_acctbal, s_name, n_name, p_partkey, p_mfgr, s_address, s_phone, s_comment
        FROM part
        JOIN partsupp ON ps_partkey = p_partkey
        JOIN european ON s_suppkey = ps_suppkey
        WHERE p_size = 15 AND p_type LIKE '%BRASS' AND ps_supplycost = (
            SELECT min(cheapest.ps_supplycost) FROM partsupp AS cheapest
            JOIN european AS seller ON seller.s_suppkey = cheapest.ps_suppkey
            WHERE cheapest.ps_partkey = p_partkey)
        ORDER BY s_acctbal DESC, n_name, s_name, p_partkey LIMIT 100""",
    3: f"""
        SELECT l_orderkey, sum({_NET}) AS revenue, o_orderdate, o_shippriority
        FROM customer
        JOIN orders ON o_custkey = c_custkey AND o_orderdate < DATE '1995-03-15'
        JOIN lineitem ON l_orderkey = o_orderkey AND l_shipdate > DATE '1995-03-15'
        WHERE c_mktsegment = 'BUILDING'
        GROUP BY l_orderkey, o_orderdate, o_shippriority
        ORDER BY revenue DESC, o_orderdate, l_orderkey LIMIT 10""",
    4: """
        SELECT o_orderpriority, count(*) AS order_count
        FROM orders
        WHERE o_orderdate >= DATE '1993-07-01' AND o_orderdate < DATE '1993-10-01' AND EXISTS (
            FROM lineitem WHERE l_orderkey = o_orderkey AND l_commitdate < l_receiptdate)
        GROUP BY o_orderpriority ORDER BY o_orderpriority""",
    5: f"""
        SELECT n_name, sum({_NET}) AS revenue
        FROM region
        JOIN nation ON n_regionkey = r_regionkey
        JOIN customer ON c_nationkey = n_nationkey
        JOIN orders ON o_custkey = c_custkey
        JOIN lineitem ON l_orderkey = o_orderkey
        JOIN supplier ON s_suppkey = l_suppkey AND s_nationkey = c_nationkey
        WHERE r_name = 'ASIA' AND o_orderdate >= DATE '1994-01-01' AND o_orderdate < DATE '1995-01-01'
        GROUP BY n_name ORDER BY revenue DESC""",
    6: """
        SELECT sum(l_extendedprice * l_discount) AS revenue
        FROM lineitem
        WHERE l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01'
          AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24""",
    7: f"""
        SELECT seller.n_name AS supp_nation, buyer.n_name AS cust_nation, year(l_shipdate) AS l_year,
               sum({_NET}) AS revenue
        FROM supplier
        JOIN lineitem ON l_suppkey = s_suppkey AND l_shipdate BETWEEN DATE '1995-01-01' AND DATE '1996-12-31'
        JOIN orders ON o_orderkey = l_orderkey
        JOIN customer ON c_custkey = o_custkey
        JOIN nation AS seller ON seller.n_nationkey = s_nationkey
        JOIN nation AS buyer ON buyer.n_nationkey = c_nationkey
        WHERE (seller.n_name, buyer.n_name) IN (('FRANCE', 'GERMANY'), ('GERMANY', 'FRANCE'))
        GROUP BY ALL ORDER BY supp_nation, cust_nation, l_year""",
    8: f"""
        SELECT year(o_orderdate) AS o_year,
               sum(CASE WHEN seller.n_name = 'BRAZIL' THEN {_NET} ELSE 0 END) / sum({_NET}) AS mkt_share
        FROM part
        JOIN lineitem ON l_partkey = p_partkey
        JOIN supplier ON s_suppkey = l_suppkey
        JOIN orders ON o_orderkey = l_orderkey AND o_orderdate BETWEEN DATE '1995-01-01' AND DATE '1996-12-31'
        JOIN customer ON c_custkey = o_custkey
        JOIN nation AS buyer ON buyer.n_nationkey = c_nationkey
        JOIN region ON r_regionkey = buyer.n_regionkey AND r_name = 'AMERICA'
        JOIN nation AS seller ON seller.n_nationkey = s_nationkey
        WHERE p_type = 'ECONOMY ANODIZED STEEL'
        GROUP BY o_year ORDER BY o_year""",
    9: f"""
        SELECT n_name AS nation, year(o_orderdate) AS o_year,
               sum({_NET} - ps_supplycost * l_quantity) AS sum_profit
        FROM part
        JOIN lineitem ON l_partkey = p_partkey
        JOIN partsupp ON ps_partkey = l_partkey AND ps_suppkey = l_suppkey
        JOIN supplier ON s_suppkey = l_suppkey
        JOIN nation ON n_nationkey = s_nationkey
        JOIN orders ON o_orderkey = l_orderkey
        WHERE p_name LIKE '%green%'
        GROUP BY ALL ORDER BY nation, o_year DESC""",
    10: f"""
        SELECT c_custkey, c_name, sum({_NET}) AS revenue, c_acctbal, n_name, c_address, c_phone, c_comment
        FROM customer
        JOIN nation ON n_nationkey = c_nationkey
        JOIN orders ON o_custkey = c_custkey
        JOIN lineitem ON l_orderkey = o_orderkey
        WHERE o_orderdate >= DATE '1993-10-01' AND o_orderdate < DATE '1994-01-01' AND l_returnflag = 'R'
        GROUP BY ALL ORDER BY revenue DESC, c_custkey LIMIT 20""",
    11: """
        WITH german AS (
            SELECT ps_partkey, ps_supplycost * ps_availqty AS value
            FROM partsupp
            JOIN supplier ON s_suppkey = ps_suppkey
            JOIN nation ON n_nationkey = s_nationkey AND n_name = 'GERMANY')
        SELECT ps_partkey, sum(value) AS total
        FROM german
        GROUP BY ps_partkey
        HAVING sum(value) > (SELECT sum(value) * 0.0001 FROM german)
        ORDER BY total DESC, ps_partkey""",
    12: """
        SELECT l_shipmode,
               count(*) FILTER (o_orderpriority IN ('1-URGENT', '2-HIGH')) AS high_line_count,
               count(*) FILTER (o_orderpriority NOT IN ('1-URGENT', '2-HIGH')) AS low_line_count
        FROM orders
        JOIN lineitem ON l_orderkey = o_orderkey
        WHERE l_shipmode IN ('MAIL', 'SHIP') AND l_shipdate < l_commitdate AND l_commitdate < l_receiptdate
          AND l_receiptdate >= DATE '1994-01-01' AND l_receiptdate < DATE '1995-01-01'
        GROUP BY l_shipmode ORDER BY l_shipmode""",
    13: """
        WITH ordered AS (
            SELECT c_custkey, count(o_orderkey) AS c_count
            FROM customer
            LEFT JOIN orders ON o_custkey = c_custkey AND o_comment NOT LIKE '%special%requests%'
            GROUP BY c_custkey)
        SELECT c_count, count(*) AS custdist FROM ordered
        GROUP BY c_count ORDER BY custdist DESC, c_count DESC""",
    14: f"""
        SELECT 100.00 * sum(CASE WHEN p_type LIKE 'PROMO%' THEN {_NET} ELSE 0 END) / sum({_NET}) AS promo_revenue
        FROM lineitem
        JOIN part ON p_partkey = l_partkey
        WHERE l_shipdate >= DATE '1995-09-01' AND l_shipdate < DATE '1995-10-01'""",
    15: f"""
        WITH earned AS (
            SELECT l_suppkey, sum({_NET}) AS total_revenue
            FROM lineitem
            WHERE l_shipdate >= DATE '1996-01-01' AND l_shipdate < DATE '1996-04-01'
            GROUP BY l_suppkey)
        SELECT s_suppkey, s_name, s_address, s_phone, total_revenue
        FROM supplier
        JOIN earned ON l_suppkey = s_suppkey
        WHERE total_revenue = (SELECT max(total_revenue) FROM earned)
        ORDER BY s_suppkey""",
    16: """
        SELECT p_brand, p_type, p_size, count(DISTINCT ps_suppkey) AS supplier_cnt
        FROM partsupp
        JOIN part ON p_partkey = ps_partkey
        WHERE p_brand <> 'Brand#45' AND p_type NOT LIKE 'MEDIUM POLISHED%'
          AND p_size IN (49, 14, 23, 45, 19, 3, 36, 9)
          AND ps_suppkey NOT IN (SELECT s_suppkey FROM supplier WHERE s_comment LIKE '%Customer%Complaints%')
        GROUP BY ALL ORDER BY supplier_cnt DESC, p_brand, p_type, p_size""",
    17: """
        SELECT sum(l_extendedprice) / 7.0 AS avg_yearly
        FROM lineitem
        JOIN part ON p_partkey = l_partkey
        WHERE p_brand = 'Brand#23' AND p_container = 'MED BOX' AND l_quantity < (
            SELECT 0.2 * avg(other.l_quantity) FROM lineitem AS other WHERE other.l_partkey = p_partkey)""",
    18: """
        SELECT c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice, sum(l_quantity) AS quantity
        FROM customer
        JOIN orders ON o_custkey = c_custkey
        JOIN lineitem ON l_orderkey = o_orderkey
        WHERE o_orderkey IN (SELECT l_orderkey FROM lineitem GROUP BY l_orderkey HAVING sum(l_quantity) > 300)
        GROUP BY c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice
        ORDER BY o_totalprice DESC, o_orderdate, o_orderkey LIMIT 100""",
    19: f"""
        SELECT sum({_NET}) AS revenue
        FROM lineitem
        JOIN part ON p_partkey = l_partkey
        WHERE l_shipmode IN ('AIR', 'AIR REG') AND l_shipinstruct = 'DELIVER IN PERSON' AND (
            (p_brand = 'Brand#12' AND p_container IN ('SM CASE', 'SM BOX', 'SM PACK', 'SM PKG')
             AND l_quantity BETWEEN 1 AND 11 AND p_size BETWEEN 1 AND 5)
            OR (p_brand = 'Brand#23' AND p_container IN ('MED BAG', 'MED BOX', 'MED PKG', 'MED PACK')
                AND l_quantity BETWEEN 10 AND 20 AND p_size BETWEEN 1 AND 10)
            OR (p_brand = 'Brand#34' AND p_container IN ('LG CASE', 'LG BOX', 'LG PACK', 'LG PKG')
                AND l_quantity BETWEEN 20 AND 30 AND p_size BETWEEN 1 AND 15))""",
    20: """
        SELECT s_name, s_address
        FROM supplier
        JOIN nation ON n_nationkey = s_nationkey AND n_name = 'CANADA'
        WHERE s_suppkey IN (
            SELECT ps_suppkey FROM partsupp
            WHERE ps_partkey IN (SELECT p_partkey FROM part WHERE p_name LIKE 'forest%') AND ps_availqty > (
                SELECT 0.5 * sum(l_quantity) FROM lineitem
                WHERE l_partkey = ps_partkey AND l_suppkey = ps_suppkey
                  AND l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01'))
        ORDER BY s_name""",
    21: """
        SELECT s_name, count(*) AS numwait
        FROM supplier
        JOIN nation ON n_nationkey = s_nationkey AND n_name = 'SAUDI ARABIA'
        JOIN lineitem AS late ON late.l_suppkey = s_suppkey AND late.l_receiptdate > late.l_commitdate
        JOIN orders ON o_orderkey = late.l_orderkey AND o_orderstatus = 'F'
        WHERE EXISTS (
                FROM lineitem AS other WHERE other.l_orderkey = late.l_orderkey AND other.l_suppkey <> late.l_suppkey)
          AND NOT EXISTS (
                FROM lineitem AS other WHERE other.l_orderkey = late.l_orderkey AND other.l_suppkey <> late.l_suppkey
                  AND other.l_receiptdate > other.l_commitdate)
        GROUP BY s_name ORDER BY numwait DESC, s_name LIMIT 100""",
    22: """
        WITH rich AS (
            SELECT c_custkey, c_acctbal, substring(c_phone, 1, 2) AS cntrycode
            FROM customer
            WHERE substring(c_phone, 1, 2) IN ('13', '31', '23', '29', '30', '18', '17'))
        SELECT cntrycode, count(*) AS numcust, sum(c_acctbal) AS totacctbal
        FROM rich
        WHERE c_acctbal > (SELECT avg(c_acctbal) FROM rich WHERE c_acctbal > 0)
          AND NOT EXISTS (FROM orders WHERE o_custkey = c_custkey)
        GROUP BY cntrycode ORDER BY cntrycode""",
}
