"""What may be declared to hold in every simulated row, and how a department writes it down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import TYPE_CHECKING, Any

from policies.text import Text, UserError

if TYPE_CHECKING:
    from synthetic.fields import Field

Bound = float | int | date | None


@dataclass(frozen=True, slots=True)
class Order:
    """`low` is never greater than `high` in one row (null on either side is fine); `strict`: always smaller.

    A column of a parent is written `table.column`, or `link.column` where two columns of the table link to one parent.
    """

    low: str
    high: str
    strict: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return self.low, self.high

    def __str__(self) -> str:
        return f"{self.low} {'<' if self.strict else '≤'} {self.high}"


@dataclass(frozen=True, slots=True)
class Sum:
    """`total` equals the sum of `parts` in every row where none is null; it is recomputed, never drawn."""

    total: str
    parts: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return self.total, *self.parts

    def __str__(self) -> str:
        return f"{self.total} = {' + '.join(self.parts)}"


@dataclass(frozen=True, slots=True)
class Product:
    """`total` equals the product of `parts`, rounded to `digits` decimals, where none is null; recomputed."""

    total: str
    parts: tuple[str, ...]
    digits: int = 2

    @property
    def columns(self) -> tuple[str, ...]:
        return self.total, *self.parts

    def __str__(self) -> str:
        return f"{self.total} = {' × '.join(self.parts)}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """`total` equals `top` / `bottom`, rounded to `digits` decimals; recomputed, and null where `bottom` is 0."""

    total: str
    top: str
    bottom: str
    digits: int = 4

    @property
    def columns(self) -> tuple[str, ...]:
        return self.total, self.top, self.bottom

    def __str__(self) -> str:
        return f"{self.total} = {self.top} ÷ {self.bottom}"


@dataclass(frozen=True, slots=True)
class Together:
    """The values of `columns` occur together: a street lies in its district.

    `allowed` are the combinations (as text) with their weights. Left empty, the combinations of the real rows that
    enough people share are taken; an engine that reads no row then has none to keep to.
    """

    columns: tuple[str, ...]
    allowed: tuple[tuple[str, ...], ...] = ()
    weights: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"({', '.join(self.columns)})"


@dataclass(frozen=True, slots=True)
class Needs:
    """Where `column` has one of `values` (any value when empty), `then` has one of `then_values` (any when empty)."""

    column: str
    then: str
    values: tuple[str, ...] = ()
    then_values: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return self.column, self.then

    def __str__(self) -> str:
        return f"{self.column} → {self.then}"


@dataclass(frozen=True, slots=True)
class Range:
    """Values of `column` lie between `low` and `high`, both included; None leaves a side open."""

    column: str
    low: Bound = None
    high: Bound = None

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def __str__(self) -> str:
        return f"{self.column} ∈ [{'' if self.low is None else self.low}, {'' if self.high is None else self.high}]"


Constraint = Order | Sum | Product | Ratio | Together | Needs | Range
COMPUTED = Sum | Product | Ratio
"""Rules whose `total` is recomputed from the other columns."""


def chain(columns: Sequence[str], strict: bool = False) -> list[Order]:
    """Every pair of a chain, in the order in which exchanging the wrong ones sorts it (also around missing values)."""
    return [Order(low, high, strict) for low, high in combinations(columns, 2)]


def rules_of(declared: Mapping[str, Any], fields: Sequence[Field]) -> list[Constraint]:
    """The constraints of a table as its department declared them.

    Keys of `declared`: `sums`, `products`, `ratios`, `orders` (chains, or {columns, strict}), `combinations`,
    `conditions`, `ranges`, and `quality` (quality rules that state the same thing: date_order, total, condition,
    range, period). A quality rule about a column that simulated data makes up anew is left to the quality check.

    Raises:
        UserError: `plan.constraint` where an entry does not have the form of its kind.
    """
    found: list[Constraint] = []
    for kind, make in _FORMS.items():
        for entry in declared.get(kind) or ():
            try:
                found += make(entry)
            except (KeyError, TypeError, ValueError):
                raise _malformed(kind, entry) from None
    return list(dict.fromkeys([*found, *_of_quality(declared.get("quality") or (), fields)]))


def refuse_wrong_types(fields: Sequence[Field], constraints: Iterable[Constraint]) -> None:
    """Raises `plan.constraint` where a rule compares or computes columns whose types do not allow it, or orders turn
    in a circle."""
    kinds = {f.name: _KIND[f.dtype] for f in fields}
    for rule in constraints:
        present = {kinds[c] for c in rule.columns if c in kinds}
        wrong = {
            Order: len(present) > 1 or bool(present - {"number", "day"}),
            Sum: bool(present - {"number"}), Product: bool(present - {"number"}), Ratio: bool(present - {"number"}),
            Range: bool(present - {"number", "day"}), Together: len(rule.columns) < 2, Needs: False,
        }[type(rule)]  # fmt: skip
        if wrong:
            raise _unfit(rule)
    steps([r for r in constraints if isinstance(r, Order)])


def steps(orders: Sequence[Order]) -> dict[tuple[str, str], int]:
    """For every two columns of which one is said, directly or through others, not to exceed the other: over how many
    strict steps. Raises `plan.constraint` where the orders turn in a circle."""
    found = {(r.low, r.high): int(r.strict) for r in sorted(orders, key=lambda r: r.strict)}
    names = dict.fromkeys(c for r in orders for c in r.columns)
    for middle in names:
        for low in names:
            for high in names:
                if (low, middle) in found and (middle, high) in found:
                    through = found[low, middle] + found[middle, high]
                    found[low, high] = max(found.get((low, high), 0), through)
    circle = next((r for r in orders if (r.low, r.low) in found), None)
    if circle is not None:
        raise _unfit(circle)
    return found


_KIND = {
    "integer": "number", "decimal": "number", "date": "day", "timestamp": "day", "text": "label", "boolean": "label",
}  # fmt: skip


def _orders(entry: Any) -> list[Constraint]:
    columns, strict = (entry["columns"], bool(entry.get("strict"))) if isinstance(entry, Mapping) else (entry, False)
    if isinstance(columns, str) or len(columns) < 2:
        raise ValueError
    return [*chain([str(c) for c in columns], strict)]


def _names(entry: Any) -> tuple[str, ...]:
    if isinstance(entry, str):
        raise TypeError
    return tuple(str(v) for v in entry)


def _together(entry: Any) -> list[Constraint]:
    if not isinstance(entry, Mapping):
        return [Together(_names(entry))]
    allowed = tuple(_names(values) for values in entry["values"])
    return [Together(_names(entry["columns"]), allowed, (1,) * len(allowed))]


def _needs(entry: Mapping[str, Any]) -> list[Constraint]:
    values, then_values = (_names(entry.get(key) or ()) for key in ("values", "then_values"))
    return [Needs(str(entry["column"]), str(entry["then_column"]), values, then_values)]


def _range(low: str, high: str) -> Callable[[Mapping[str, Any]], list[Constraint]]:
    return lambda entry: [Range(str(entry["column"]), _bound(entry.get(low)), _bound(entry.get(high)))]


def _bound(value: Any) -> Bound:
    return date.fromisoformat(value) if isinstance(value, str) else value


_FORMS: Mapping[str, Callable[[Any], list[Constraint]]] = {
    "sums": lambda e: [Sum(str(e["total"]), _names(e["parts"]))],
    "products": lambda e: [Product(str(e["total"]), _names(e["parts"]), int(e.get("digits", 2)))],
    "ratios": lambda e: [Ratio(str(e["total"]), str(e["top"]), str(e["bottom"]), int(e.get("digits", 4)))],
    "orders": _orders,
    "combinations": _together,
    "conditions": _needs,
    "ranges": _range("min", "max"),
}
CONSTRAINTS = frozenset(_FORMS)
"""Keys of a declaration that state constraints."""
_QUALITY: Mapping[str, Callable[[Any], list[Constraint]]] = {
    "date_order": lambda e: _orders(e["columns"]),
    "total": lambda e: [Sum(str(e["column"]), _names(e["parts"]))],
    "condition": _needs,
    "range": _range("min", "max"),
    "period": _range("start", "end"),
}


def _of_quality(entries: Iterable[Mapping[str, Any]], fields: Sequence[Field]) -> list[Constraint]:
    found: list[Constraint] = []
    drawn = {f.name for f in fields if not f.generated and not f.references}
    for entry in entries:
        made = _QUALITY[entry["kind"]](entry) if entry["kind"] in _QUALITY else []
        for rule in made:
            try:
                refuse_wrong_types(fields, [rule])
            except UserError:
                continue
            if set(rule.columns) <= drawn:
                found.append(rule)
    return found


def _malformed(kind: str, entry: Any) -> UserError:
    return UserError(
        "plan.constraint",
        Text("字段说明 {k} 中的这一条写法不对:{e}。", "This entry of {k} does not have its form: {e}.").fill(
            k=kind, e=str(entry)[:80]
        ),
        fix=Text(
            "例如 orders: [[入院日期, 出院日期]];sums: [{total: 合计, parts: [甲, 乙]}];"
            "ranges: [{column: 年龄, min: 0, max: 120}]。",
            "For example orders: [[start, end]]; sums: [{total: t, parts: [a, b]}]; "
            "ranges: [{column: age, min: 0, max: 120}].",
        ),
        kind=kind,
    )


def _unfit(rule: Constraint) -> UserError:
    return UserError(
        "plan.constraint",
        Text("约束“{r}”不成立:列的类型不能这样比较或计算,或先后关系成了一圈。",
             "The constraint {r} cannot hold: its columns cannot be compared or computed so, or it closes a circle.")
        .fill(r=str(rule)),
        fix=Text("请在字段说明里改正这条约束,或改正列的类型。", "Correct the constraint, or the types of its columns."),
        columns=list(rule.columns),
    )  # fmt: skip
