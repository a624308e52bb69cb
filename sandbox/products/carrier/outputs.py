"""The columns of a SELECT: stars spelt out, names, and what it groups by."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from sandbox.products.carrier.grammar import fold, is_aggregate
from sandbox.products.carrier.scope import Fact, Ref, Scope, Source, Unresolved


@dataclass(frozen=True, slots=True)
class Output:
    """One column of a result. An empty name: the engine would invent one. `domain`: it determines the entity."""

    name: str
    node: exp.Expr
    domain: str | None = None


def expand(node: exp.Select, scope: Scope) -> None:
    """Write out `*` and `alias.*`, so that no hidden column of a source slips in."""
    columns: list[exp.Expr] = []
    for item in node.expressions:
        star = item.this if isinstance(item, exp.Column) and isinstance(item.this, exp.Star) else item
        if not isinstance(star, exp.Star):
            columns.append(item)
            continue
        table = fold(item.table) if isinstance(item, exp.Column) else ""
        columns += _spelt(star, scope, table)
    node.set("expressions", columns)


def _spelt(star: exp.Star, scope: Scope, table: str) -> list[exp.Expr]:
    sources = [s for s in scope.sources if not table or s.name == table]
    if not sources:
        raise Unresolved("name.unknown", f"{table}.*" if table else "*")
    left_out = {fold(e.name) for e in star.args.get("except_") or ()}
    instead = {fold(e.alias): e for e in star.args.get("replace") or ()}
    columns: list[exp.Expr] = []
    shown: set[str] = set()
    for source in sources:
        for folded, name in source.columns().items():
            merged = folded in scope.merged and not table
            if folded in left_out or (merged and folded in shown):
                continue
            shown.add(folded)
            columns.append(instead[folded].copy() if folded in instead else _column(source, name, merged))
    missing = (left_out | set(instead)) - {f for s in sources for f in s.columns()}
    if missing:
        raise Unresolved("name.unknown", min(missing))
    return columns


def _column(source: Source, name: str, merged: bool) -> exp.Expr:
    identifier = exp.to_identifier(name, quoted=True)
    return exp.Column(this=identifier) if merged else exp.Column(this=identifier, table=source.alias.copy())


def outputs(node: exp.Select, scope: Scope, facts: set[Fact]) -> list[Output]:
    """The visible columns in order; of plain columns the domain, where they determine the entity."""
    domains = dict(sorted(facts, key=lambda fact: fact[1], reverse=True))
    found = []
    for item in node.expressions:
        inner = item.this if isinstance(item, exp.Alias) else item
        plain = inner.unnest()
        ref = scope.resolve(plain) if isinstance(plain, exp.Column) else None
        name = item.alias if isinstance(item, exp.Alias) else plain.name if isinstance(plain, exp.Column) else ""
        if isinstance(plain, exp.Column) and not isinstance(item, exp.Alias):
            name = _spelling(scope, ref, plain.name)
        found.append(Output(name, item, domains.get(ref) if ref else None))
    return found


def _spelling(scope: Scope, ref: Ref | None, name: str) -> str:
    """A column keeps the spelling of its table, as DuckDB has it."""
    for source in scope.sources:
        if ref and ref[:2] == (scope.id, source.name):
            return source.columns()[ref[2]]
    return name


def grouping(node: exp.Select, scope: Scope) -> list[Ref]:
    """The source columns among what a SELECT groups by; expressions over columns are left out."""
    group = node.args.get("group")
    if group is None:
        return []
    keys = list(group.expressions)
    if group.args.get("all"):
        keys += [e for e in node.expressions if not any(map(is_aggregate, e.walk()))]
    refs = []
    for key in keys:
        item = _meant(node, key).unnest()
        item = item.this.unnest() if isinstance(item, exp.Alias) else item
        ref = scope.resolve(item) if isinstance(item, exp.Column) else None
        if ref:
            refs.append(ref)
    return refs


def _meant(node: exp.Select, key: exp.Expr) -> exp.Expr:
    """A position of GROUP BY as the column it counts to."""
    if isinstance(key, exp.Literal) and not key.is_string:
        place = int(key.name) if key.name.isdigit() else 0
        if not 1 <= place <= len(node.expressions):
            raise Unresolved("name.unknown", key.name)
        return node.expressions[place - 1]
    return key
