"""Leaks of charts and reports: pictures without their table, points of single persons, counts of a few."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import polars as pl

from benchmarks.leaks.cells import base
from benchmarks.leaks.files import jpeg, png, zipped
from benchmarks.leaks.forms import LOOKED_AT
from benchmarks.leaks.registry import Pair, case
from benchmarks.leaks.town import Town, report
from sandbox.exports.subject import ExportSubject

Frame = pl.DataFrame
Files = Mapping[str, bytes]


def counts(town: Town, **more: pl.Expr) -> Frame:
    """People by district, rounded as aggregates are."""
    return base(town).group_by("所属区").agg(人数=(pl.len() // 5) * 5).sort("所属区").with_columns(**more)


def few(town: Town, n: int) -> Frame:
    """The same with a district of `n`."""
    rows = counts(town)
    return pl.concat([rows, pl.DataFrame({"所属区": ["离岛区"], "人数": [n]}, schema=rows.schema)])


def drawn(table: Frame) -> bytes:
    """A picture that carries the table it was drawn from."""
    return png((b"iTXt", b"data\0\0\0\0\0" + table.write_csv().encode()), bare=True)


def judged(town: Town, files: Files) -> ExportSubject:
    source = {"t": town.source(base(town), "身份证号", roles={"所属区": "open", "性别": "open", "月份": "open"})}
    return report(source, files)


def points(town: Town) -> Frame:
    """One point a person: age of the visit against its price."""
    return town.visits.select("年龄", "费用").head(80).with_columns(费用=pl.col("费用") + 0.37)


Leak = Callable[[Town], Files]
LEAKS: dict[str, tuple[str, Leak]] = {
    "a chart without its table": ("png", lambda town: {"图.png": png(bare=True)}),
    "a photograph of a chart": ("jpg", lambda town: {"图.jpg": jpeg()}),
    "a chart in an archive, without its table": ("zip", lambda town: {"图.zip": zipped({"图.png": png(bare=True)})}),
    "the table of another chart":
        ("png", lambda town: {"图.png": png(bare=True), "表.csv": counts(town).write_csv().encode()}),
    "a bar of three persons": ("png", lambda town: {"图.png": drawn(few(town, 3))}),
    "a bar of nine persons": ("png", lambda town: {"图.png": drawn(few(town, 9))}),
    "bars that are not rounded": ("png", lambda town: {"图.png": drawn(few(town, 123))}),
    "a point for every person": ("png", lambda town: {"图.png": drawn(points(town))}),
    "whiskers of a box": ("png", lambda town: {"图.png": drawn(counts(town, 最大值=pl.lit(870.5)))}),
    "four persons in the table beside a photograph":
        ("jpg", lambda town: {"图.jpg": jpeg(), "图.csv": few(town, 4).write_csv().encode()}),
    "a table of a report with two persons": ("csv", lambda town: {"表.csv": few(town, 2).write_csv().encode()}),
    "a table of a page with six persons": ("html", lambda town: {"报告.html": page(few(town, 6))}),
    "at risk: five persons": ("png", lambda town: {"图.png": drawn(at_risk(town, 5))}),
}  # fmt: skip


def at_risk(town: Town, last: int) -> Frame:
    """The numbers under a curve of survival."""
    return pl.DataFrame({"时点": [0, 30, 60, 90], "在险人数": [400, 250, 90, last]})


def page(table: Frame) -> bytes:
    rows = "".join("<tr>" + "".join(f"<td>{value}</td>" for value in row) + "</tr>" for row in table.rows())
    head = "".join(f"<th>{name}</th>" for name in table.columns)
    return f"<html><body><table><tr>{head}</tr>{rows}</table></body></html>".encode()


TWINS: dict[str, Leak] = {
    "png": lambda town: {"图.png": drawn(counts(town))},
    "jpg": lambda town: {"图.jpg": jpeg(), "图.csv": counts(town).write_csv().encode()},
    "zip": lambda town: {"图.zip": zipped({"图.png": png(bare=True), "图.csv": counts(town).write_csv().encode()})},
    "csv": lambda town: {"表.csv": counts(town).write_csv().encode()},
    "html": lambda town: {"报告.html": page(counts(town))},
}


def _plant() -> None:
    for name, (form, leak) in LEAKS.items():

        @case(name, "EXP-CHART-01", form, LOOKED_AT)
        def chart(town: Town, form: str = form, leak: Leak = leak) -> Pair:
            return Pair(judged(town, leak(town)), judged(town, TWINS[form](town)))


_plant()
