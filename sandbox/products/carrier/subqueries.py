"""Sub-queries in SELECT, WHERE and HAVING: harmless, tied to the entity of the outer row, constant, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlglot import exp

from sandbox.products.carrier import owners
from sandbox.products.carrier.scope import Scope

if TYPE_CHECKING:
    from sandbox.products.carrier.carry import Entry, Found, Walker

_PLACES = ("expressions", "where", "having")


def judge(walker: Walker, node: exp.Select, scope: Scope, known: Mapping[str, Entry]) -> None:
    """Every sub-query of one SELECT, each replaced by what the carried text runs in its place."""
    for part in ("joins", "group", *_PLACES):
        value = node.args.get(part)
        for item in value if isinstance(value, list) else [value] if value else ():
            start = item.args.get("on") if isinstance(item, exp.Join) else item
            for query in _inside(start) if start is not None else ():
                if part not in _PLACES:
                    raise walker.refuse("subquery.place", query, "ON" if part == "joins" else "GROUP BY")
                one(walker, query, scope, known)


def _inside(item: exp.Expr) -> list[exp.Query]:
    """The outermost queries below an expression."""
    return [
        n.this if isinstance(n, exp.Subquery) and isinstance(n.this, exp.Query) else n
        for n in item.walk(prune=lambda n: isinstance(n, exp.Query))
        if isinstance(n, exp.Query)
    ]


def one(walker: Walker, query: exp.Query, scope: Scope, known: Mapping[str, Entry]) -> None:
    """Decide what one sub-query is, by the first rule that fits."""
    before = walker.mark()
    found = walker.query(query.copy(), known, scope)
    if is_harmless(found) or found.tied:
        query.replace(found.node)
    elif is_member_test(query, found, scope):
        if not is_positive(query):
            never_null(query, found)
        query.replace(found.node)
    elif not found.correlated and is_figure(found):
        walker.forget(before)
        query.replace(walker.freeze(query, known))
    else:
        code = "subquery.correlated" if found.correlated else "subquery.records"
        raise walker.refuse(code, query)


def is_harmless(found: Found) -> bool:
    """Whether a sub-query reads no row of this kind."""
    return found.form == "none"


def is_figure(found: Found) -> bool:
    """Whether a query is a plain aggregate over entities, which may be frozen and judged as if it were released."""
    return found.aggregate and all(p.code == "aggregate.not_determined" for p in found.problems)


def is_member_test(query: exp.Query, found: Found, scope: Scope) -> bool:
    """Whether it is the list of an IN whose values say, row by row, the entity that the tested column says."""
    test = _in(query)
    if test is None or found.correlated or found.problems or not found.static or found.form != "one":
        return False
    tested = test.this.unnest()
    ref = scope.resolve(tested) if isinstance(tested, exp.Column) else None
    domain = found.outputs[0].domain if len(found.outputs) == 1 else None
    return ref is not None and domain is not None and (ref, domain) in scope.facts()


def _in(query: exp.Query) -> exp.In | None:
    inner, holder = query, query.parent
    while isinstance(holder, exp.Subquery):
        inner, holder = holder, holder.parent
    return holder if isinstance(holder, exp.In) and holder.args.get("query") is inner else None


def is_positive(query: exp.Query) -> bool:
    """Whether the test stands in WHERE or HAVING under AND and OR alone: there NULL and FALSE are the same."""
    holder = _in(query)
    above = holder.parent if holder else None
    while isinstance(above, exp.And | exp.Or | exp.Paren):
        above = above.parent
    return isinstance(above, exp.Where | exp.Having)


def never_null(query: exp.Query, found: Found) -> None:
    """NOT IN with a missing key on either side hangs on the rows of other entities: at run time it is an error."""
    test = _in(query)
    if test is not None:
        test.set("this", owners.never_null(test.this))
    for select in found.selects():
        select.set("expressions", [owners.never_null(select.expressions[0].unalias())])
