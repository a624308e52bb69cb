"""Statements of use (用量账单): a month of one workspace's ledger with the prices in force when it was used.

A statement is computed, never kept: the same ledger gives the same figures to the last digit. Prices come from the
edition each entry names, and an edition has one list for everybody, so equal use costs every merchant the same.
It is a statement of use, not a demand for payment.
"""

from __future__ import annotations

import calendar
import csv
import io
import re
from dataclasses import dataclass
from datetime import date

from policies.schema.workspace import Prices
from policies.text import Text
from sandbox.kernel import editions, permissions
from sandbox.kernel.errors import BadInput
from sandbox.kernel.unit import Unit
from sandbox.workspaces import metering
from sandbox.workspaces.metering_record import Totals, totals
from sandbox.workspaces.repository import Workspace, every

_MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])\Z")


@dataclass(frozen=True, slots=True)
class Priced:
    """One priced measure: its column of the ledger, and how much of the ledger's unit one priced unit is."""

    column: str
    price: str
    size: int
    label: Text
    unit: Text


PRICED = (
    Priced("cpu_us", "cpu_hour_fen", 3_600_000_000, Text("处理器时间", "processor time"), Text("小时", "hours")),
    Priced("memory_mb_ms", "memory_gb_hour_fen", 1024 * 3_600_000, Text("内存时间", "memory-time"),
           Text("GB·小时", "GB hours")),
    Priced("storage_kb_s", "storage_gb_day_fen", 1024 * 1024 * 86_400, Text("存储", "storage"),
           Text("GB·天", "GB days")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """`quantity` in the ledger's unit, exact; `amount_fen` rounded half up once."""

    priced: Priced
    edition: str
    quantity: int
    price_fen: int

    @property
    def amount_fen(self) -> int:
        return (2 * self.quantity * self.price_fen + self.priced.size) // (2 * self.priced.size)

    @property
    def units(self) -> str:
        """The quantity in priced units, six digits after the point, rounded half up."""
        millionths = (2 * self.quantity * 1_000_000 + self.priced.size) // (2 * self.priced.size)
        return f"{millionths // 1_000_000}.{millionths % 1_000_000:06d}"


@dataclass(frozen=True, slots=True)
class Statement:
    """A month of one workspace."""

    workspace: Workspace
    month: str
    lines: tuple[Line, ...]
    days: dict[str, Totals]

    @property
    def total_fen(self) -> int:
        return sum(line.amount_fen for line in self.lines)

    @property
    def counts(self) -> dict[str, int]:
        """Kind → how often, without measures of storage, which are no acts of anybody."""
        found: dict[str, int] = {}
        for one in self.days.values():
            for kind, count in one.counts.items():
                if kind != "storage":
                    found[kind] = found.get(kind, 0) + count
        return found


def statement(unit: Unit, workspace_id: str, month: str) -> Statement:
    """The statement of `month` ("2026-03"). Raises `BadInput` for what is no month."""
    workspace = metering.readable(unit, workspace_id)
    first, last = period(month)
    by_edition = totals(unit.session, "edition", workspace_id=workspace_id, first=first, last=last)
    lines: list[Line] = []
    for edition, summed in by_edition.items():
        prices: Prices = editions.named(unit.session, "workspace", edition).by_check("prices").parameters
        for priced in PRICED:
            lines.append(Line(priced, edition, getattr(summed, priced.column), getattr(prices, priced.price)))
    days = totals(unit.session, "day", workspace_id=workspace_id, first=first, last=last)
    return Statement(workspace, month, tuple(lines), days)


def statements(unit: Unit, month: str) -> list[Statement]:
    """The month of every workspace within the actor's reach that used anything."""
    permissions.check(unit.actor, "usage:read")
    first, last = period(month)
    used = totals(unit.session, "workspace_id", first=first, last=last)
    mine = [w for w in every(unit.session) if permissions.permitted(unit.actor, "usage:read", owner=w.organisation_id)]
    return [statement(unit, w.id, month) for w in mine if w.id in used]


def price_list(unit: Unit) -> dict[Priced, int]:
    """Today's prices in fen, for everybody."""
    prices: Prices = editions.in_force(unit, "workspace").by_check("prices").parameters
    return {priced: getattr(prices, priced.price) for priced in PRICED}


def period(month: str) -> tuple[str, str]:
    """First and last day."""
    if not _MONTH.match(month):
        raise BadInput("usage.month", Text("月份应写作 2026-03", "Write the month as 2026-03"))
    year, number = int(month[:4]), int(month[5:])
    return f"{month}-01", date(year, number, calendar.monthrange(year, number)[1]).isoformat()


def as_csv(found: Statement) -> str:
    """Lines and days for a spreadsheet: UTF-8 with a mark, so that Chinese spreadsheets read it right."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["用量账单", found.month, found.workspace.id])
    table.writerow(["项目", "规则版本", "数量", "单位", "账本数量", "单价（分）", "金额（分）"])
    for line in found.lines:
        table.writerow([line.priced.label.zh, line.edition, line.units, line.priced.unit.zh, line.quantity,
                        line.price_fen, line.amount_fen])  # fmt: skip
    table.writerow(["合计", "", "", "", "", "", found.total_fen])
    table.writerow([])
    table.writerow(["日期", "处理器（微秒）", "内存（MB·毫秒）", "存储（KB·秒）", "查询", "读数", "脚本", "运行",
                    "下载", "返回行数", "下载字节"])  # fmt: skip
    for day, one in found.days.items():
        counts = [one.counts.get(kind, 0) for kind in ("query", "read", "script", "run", "download")]
        table.writerow([day, one.cpu_us, one.memory_mb_ms, one.storage_kb_s, *counts, one.rows, one.bytes])
    return "\ufeff" + out.getvalue()
