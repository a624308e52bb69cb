"""Words of aggregate previews."""

from __future__ import annotations

from policies.text import Text

WORDS: dict[str, Text] = {
    "aggregate.title": Text("汇总预览", "Aggregate preview"),
    "aggregate.mark": Text("汇总预览·不得出域", "aggregate preview · must not leave"),
    "aggregate.rules": Text(
        "在真实数据上按分组看大致数量。小组不显示也不计入任何合计，计数和数值取整，"
        "某一主体占比过大的数值不显示；每表 24 小时内最多 {day} 次，每次都会记录",
        "Rough figures by group on the real data. Small groups are left out and enter no total, figures are rounded, "
        "values that one entity dominates are withheld; {day} questions a table in 24 hours, all of them recorded",
    ),
    "aggregate.limit_of_protection": Text(
        "每次结果单独受保护；两次结果相减可能透露更多，这只由次数限制。预览不是出域产品，不得带出",
        "Each answer is protected by itself; subtracting one from another may tell more, which only the number of "
        "questions bounds. A preview is no release and must not leave",
    ),
    "aggregate.table": Text("数据表", "Table"),
    "aggregate.left": Text("今日还可预览 {count} 次", "{count} left today"),
    "aggregate.none_left": Text("今日次数已用完", "none left today"),
    "aggregate.group": Text("分组列 {n}", "Group column {n}"),
    "aggregate.measure": Text("指标 {n}", "Measure {n}"),
    "aggregate.column": Text("条件 {n}：列", "Condition {n}: column"),
    "aggregate.op": Text("条件 {n}：比较", "Condition {n}: comparison"),
    "aggregate.values": Text("条件 {n}：取值", "Condition {n}: values"),
    "aggregate.values_help": Text("多个取值用顿号或逗号隔开", "Separate several values with commas"),
    "aggregate.run": Text("预览", "Preview"),
    "aggregate.result": Text("预览结果", "Preview"),
    "aggregate.rows": Text("显示 {rows} 组", "{rows} groups shown"),
    "aggregate.nothing": Text(
        "没有可显示的分组：每组的主体都太少，请减少分组列或放宽条件",
        "No group can be shown: each has too few entities. Use fewer group columns or wider conditions",
    ),
    "aggregate.more": Text("分组过多，只显示前 {rows} 组", "Too many groups: only the first {rows} are shown"),
    "aggregate.withheld_value": Text("不显示", "withheld"),
    "aggregate.history": Text("预览记录", "Which previews were asked"),
    "aggregate.asked": Text("问题", "Question"),
    "aggregate.by": Text("按 {groups}", "by {groups}"),
    "aggregate.shown": Text("显示组数", "Groups shown"),
    "aggregate.differs": Text("与上一次相比", "Against the one before"),
    "aggregate.same": Text("相同", "the same"),
    "aggregate.first": Text("首次", "the first"),
}
