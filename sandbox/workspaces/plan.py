"""The plan of a query as a readable tree, its costly steps marked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from policies.text import Text
from sandbox.kernel.errors import BadInput
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform
from sandbox.workspaces import develop
from sandbox.workspaces.lexing import plain, tokens

if TYPE_CHECKING:
    from sandbox.workspaces.broker import Broker
    from sandbox.workspaces.conversation import Parameters

COSTLY_SHARE = 0.3
"""of the whole time (measured), from which a step is marked"""
_SLOW = frozenset({"CROSS_PRODUCT", "NESTED_LOOP_JOIN", "BLOCKWISE_NL_JOIN"})
_HIDDEN = frozenset({"Filename(s)", "Total Files Read", "Function", "Type"})
_ROUTINE = frozenset({"RESULT_COLLECTOR", "EXPLAIN_ANALYZE", "QUERY", "QUERY_ROOT"})
STEPS: dict[str, Text] = {
    "SEQ_SCAN": Text("扫描表", "scan the table"),
    "TABLE_SCAN": Text("扫描表", "scan the table"),
    "READ_PARQUET": Text("读取数据", "read the data"),
    "PARQUET_SCAN": Text("读取数据", "read the data"),
    "FILTER": Text("筛选", "filter"),
    "PROJECTION": Text("计算列", "compute columns"),
    "HASH_GROUP_BY": Text("分组汇总", "group and aggregate"),
    "PERFECT_HASH_GROUP_BY": Text("分组汇总", "group and aggregate"),
    "UNGROUPED_AGGREGATE": Text("整体汇总", "aggregate all"),
    "HASH_JOIN": Text("哈希连接", "hash join"),
    "CROSS_PRODUCT": Text("笛卡尔积（没有连接条件）", "cross product (no join condition)"),
    "NESTED_LOOP_JOIN": Text("嵌套循环连接（非等值条件）", "nested loop join (no equality)"),
    "BLOCKWISE_NL_JOIN": Text("嵌套循环连接（非等值条件）", "nested loop join (no equality)"),
    "PIECEWISE_MERGE_JOIN": Text("范围连接", "range join"),
    "IE_JOIN": Text("范围连接", "range join"),
    "ORDER_BY": Text("排序", "sort"),
    "TOP_N": Text("取前几行", "top rows"),
    "LIMIT": Text("限制行数", "limit"),
    "STREAMING_LIMIT": Text("限制行数", "limit"),
    "WINDOW": Text("窗口计算", "window"),
    "STREAMING_WINDOW": Text("窗口计算", "window"),
    "UNION": Text("合并", "union"),
    "DISTINCT": Text("去重", "distinct"),
    "UNNEST": Text("展开列表", "unnest"),
    "CTE": Text("公共子查询", "common table"),
    "CTE_SCAN": Text("读公共子查询", "scan CTE"),
    "RECURSIVE_CTE": Text("递归", "recursion"),
    "DUMMY_SCAN": Text("单行", "one row"),
    "EMPTY_RESULT": Text("空结果", "nothing"),
    "COLUMN_DATA_SCAN": Text("读中间结果", "scan intermediate rows"),
    "PIVOT": Text("透视", "pivot"),
    "TABLE_FUNCTION": Text("表函数", "table function"),
    "FUNCTION": Text("表函数", "table function"),
    "INSERT": Text("写入", "insert"),
    "UPDATE": Text("修改", "update"),
    "DELETE": Text("删除", "delete"),
    "CREATE_TABLE_AS": Text("建表", "create the table"),
    "BATCH_CREATE_TABLE_AS": Text("建表", "create the table"),
    "LEFT_DELIM_JOIN": Text("关联子查询", "correlated subquery"),
    "RIGHT_DELIM_JOIN": Text("关联子查询", "correlated subquery"),
    "DELIM_SCAN": Text("读关联值", "scan correlated values"),
    "STREAMING_SAMPLE": Text("抽样", "sample"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One operator. `rows` estimated, or counted when measured; `milliseconds` only when measured; `share` of the
    whole time; `costly` with the reason in `why`."""

    name: str
    detail: tuple[tuple[str, str], ...]
    rows: int | None
    milliseconds: float | None
    children: tuple[Step, ...]
    share: float | None = None
    why: Text | None = None

    @property
    def word(self) -> Text:
        return STEPS.get(self.name, Text(self.name, self.name))

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Step]]:
        """Every step with its depth, the last operation first."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name, "word": self.word.as_dict(), "detail": dict(self.detail), "rows": self.rows,
            "milliseconds": self.milliseconds, "share": self.share, "costly": self.why.as_dict() if self.why else None,
            "children": [child.as_dict() for child in self.children],
        }  # fmt: skip


def explain(
    platform: Platform, broker: Broker, actor: Actor, workspace_id: str, sql: str, *,
    parameters: Parameters | None = None, measure: bool = False,
) -> Step:  # fmt: skip
    """The plan of the one statement in `sql`; `measure` runs it and times each step.

    Only a query is measured: a measured INSERT would insert. Raises as `develop.query` does, and BadInput.
    """
    first = plain(sql).split(maxsplit=1)[:1]
    if measure and (not first or first[0].upper() not in ("SELECT", "WITH", "FROM", "VALUES", "PIVOT")):
        raise BadInput("plan.only_queries", Text("只能实测查询语句", "Only a query can be measured"),
                       fix=Text("请去掉“实测”，只看预计", "Look at the estimate instead"))  # fmt: skip
    if _several(sql):
        raise BadInput("plan.one_statement", Text("执行计划一次只看一条语句", "A plan is of one statement"),
                       fix=Text("请选中其中一条再试", "Select one of them and try again"))  # fmt: skip
    with platform.begin(actor) as unit:
        mount = develop.mount_of(unit, workspace_id)
        unit.audit("workspace:query", "workspace", workspace_id, outcome="ok", simulated=True, plan=True)
    prefix = f"EXPLAIN ({'ANALYZE, ' if measure else ''}FORMAT json) "
    found = develop.ask(broker, mount, prefix + sql, parameters=parameters, before=len(prefix))
    text = str(found.rows.to_pylist()[0]["explain_value"])
    return marked(read(json.loads(text), measured=measure))


def _several(sql: str) -> bool:
    """Whether something follows the first semicolon: it would not be explained but run."""
    signs = [t.text for t in tokens(sql) if t.kind != "comment"]
    return ";" in signs and any(sign != ";" for sign in signs[signs.index(";") :])


def read(document: Any, *, measured: bool) -> Step:
    """The tree of DuckDB's JSON, without the steps that only hand rows on."""
    roots: list[Any] = document.get("operator", []) if isinstance(document, dict) else document
    steps = [_step(node, measured) for node in roots]
    step = steps[0] if len(steps) == 1 else Step("UNION", (), None, None, tuple(steps))
    while step.name in _ROUTINE and len(step.children) == 1:
        step = step.children[0]
    return step


def _step(node: Mapping[str, Any], measured: bool) -> Step:
    name = str(node.get("type" if "type" in node else "name", "")).strip().upper().replace(" ", "_")
    info = dict(node.get("extra_info") or {})
    estimate = str(info.pop("Estimated Cardinality", ""))
    rows = node.get("intermediate_rows") if measured else int(estimate) if estimate.isdigit() else None
    detail = tuple((str(k), _shown(v)) for k, v in info.items() if k not in _HIDDEN and v not in ("", [], None))
    seconds = node.get("timing")
    children = tuple(_step(child, measured) for child in node.get("children", ()))
    return Step(name, detail, rows, round(seconds * 1000, 3) if measured and seconds is not None else None, children)


def _shown(value: Any) -> str:
    return "、".join(map(str, value)) if isinstance(value, list) else str(value)


def marked(step: Step) -> Step:
    """The tree with its costly steps marked: by time where it was measured, else by kind and by estimated rows."""
    every = [s for _, s in step.walk()]
    whole = sum(s.milliseconds or 0 for s in every)
    most = max((s.rows or 0 for s in every), default=0)
    return _marked(step, whole, most)


def _marked(step: Step, whole: float, most: int) -> Step:
    share = step.milliseconds / whole if whole and step.milliseconds is not None else None
    why = None
    if share is not None and share >= COSTLY_SHARE:
        why = Text(f"占总用时 {share:.0%}", f"{share:.0%} of the whole time")
    elif step.name in _SLOW:
        why = Text("逐对比较，行数相乘：请加等值连接条件", "compares every pair: add an equality to the join")
    elif share is None and most >= 100_000 and (step.rows or 0) == most and step.name not in ("PROJECTION", "FILTER"):
        why = Text("预计行数最多", "the most rows expected")
    children = tuple(_marked(child, whole, most) for child in step.children)
    return replace(step, share=share, why=why, children=children)
