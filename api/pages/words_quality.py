"""Words of quality and of correction slips."""

from __future__ import annotations

from policies.text import Text

REASONS: dict[str, Text] = {
    "too_few_columns": Text("列数不足", "too few columns"),
    "too_many_columns": Text("列数过多", "too many columns"),
    "broken_quote": Text("引号不成对", "a quote is not closed"),
    "bad_encoding": Text("文字编码有误", "bytes do not fit the encoding"),
    "line_too_long": Text("一行过长", "a line is too long"),
    "unreadable": Text("无法读取", "cannot be read"),
    "broken_json": Text("不是完整的对象", "not a whole object"),
    "not_an_object": Text("不是记录", "not a record"),
}
"""Why a record was set apart"""

_KINDS: dict[str, Text] = {
    "not_integer": Text("整数", "an integer"), "not_decimal": Text("数值", "a number"),
    "not_date": Text("日期", "a date"), "not_timestamp": Text("日期时间", "a date and time"),
    "not_boolean": Text("是否值", "yes or no"),
}  # fmt: skip


def why_apart(reason: str) -> Text:
    """Why a record was set apart, in words: it could not be parsed, or a value does not fit its column (one a line)."""
    if reason in REASONS:
        return REASONS[reason]
    said = [_misfit(*line.partition(":")[::2]) for line in reason.split("\n")]
    return Text("；".join(t.zh for t in said), "; ".join(t.en for t in said))


def _misfit(kind: str, column: str) -> Text:
    if kind not in _KINDS or not column:
        return Text(kind, kind)
    return Text(f"“{column}”不是有效的{_KINDS[kind].zh}", f"“{column}” is not {_KINDS[kind].en}")

WORDS: dict[str, Text] = {
    "quality.title": Text("质量指标", "Quality indicators"),
    "quality.note": Text(
        "指标按 GB/T 36344 计算，X = A / B；缺少输入的指标不评估，不按 100% 计",
        "Indicators of GB/T 36344, X = A / B; without its input an indicator is not assessed, never 100 %",
    ),
    "quality.indicator": Text("指标", "Indicator"),
    "quality.threshold": Text("发布要求", "Needed"),
    "quality.below": Text("未达到", "missed"),
    "quality.lacks": Text("缺少的输入", "Input it lacks"),
    "quality.not_assessed": Text("不评估", "not assessed"),
    "quality.none": Text("这个版本没有质量指标", "This version has no quality indicators"),
    "quality.low": Text("越低越好", "lower is better"),
    "quality.card": Text("质量记分卡", "Score card"),
    "quality.card_note": Text(
        "方向不同的指标不相加、不平均；灯号按各指标是否达到发布要求给出",
        "Indicators of different direction are never averaged; a light says whether requirements are met",
    ),
    "quality.dimension": Text("维度", "Dimension"),
    "quality.light": Text("结论", "Light"),
    "quality.light_good": Text("达到要求", "met"),
    "quality.light_bad": Text("有指标未达到", "a requirement is missed"),
    "quality.light_neutral": Text("无达标要求或未评估", "no requirement, or not assessed"),
    "quality.met": Text("达到", "Met"),
    "quality.missed": Text("未达到", "Missed"),
    "quality.reported": Text("只报告", "Reported"),
    "quality.unassessed": Text("未评估", "Not assessed"),
    "quality.failing": Text("不合格的行", "Rows that fail"),
    "quality.failing_note": Text(
        "每条规则最多列出十行；值已遮盖，直接标识个人的列不显示",
        "At most ten rows a rule; values are masked, columns that identify people are not shown",
    ),
    "quality.row": Text("数据行", "Row"),
    "quality.line": Text("文件行", "Line in the file"),
    "quality.empty_value": Text("空", "empty"),
    "quality.failed_count": Text("{count} 处不合格", "{count} fail"),
    "quality.trend": Text("各版本趋势", "Trend over versions"),
    "quality.trend_note": Text("每格为该版本的 X；空白表示未评估", "X in each version; blank where not assessed"),
    "quality.trend_line": Text("走势", "Line"),
    "quality.trend_of": Text("{name}在各版本中的走势", "{name} over the versions"),
    "quality.version": Text("第 {number} 版", "v{number}"),
    "correction.title": Text("整改单", "Correction slips"),
    "correction.lead": Text(
        "运营机构签发，数源部门改正后重新交付，新版本的规则全部达到才算办结",
        "Issued by the operator, answered by a delivery, settled when that delivery meets every rule",
    ),
    "correction.none": Text("没有整改单", "There are no correction slips"),
    "correction.none_next": Text(
        "在资源的“质量”页可以签发", "They are issued on the quality tab of a resource"
    ),
    "correction.issue": Text("签发整改单", "Issue a correction slip"),
    "correction.issue_lead": Text(
        "把未达到的要求、不合格的行和办理期限发给数源部门",
        "Sends the department what is missed, the rows that fail and the time limit",
    ),
    "correction.of_version": Text("第 {number} 版", "version {number}"),
    "correction.head": Text("数据质量整改单", "Correction of data quality"),
    "correction.department": Text("数源部门", "Department"),
    "correction.resource": Text("数据资源", "Resource"),
    "correction.file": Text("交付文件", "Delivered file"),
    "correction.issued": Text("签发时间", "Issued"),
    "correction.due": Text("整改期限", "Due"),
    "correction.due_note": Text("期限天数为本平台暂定", "the number of days is assumed"),
    "correction.policy": Text("依据的规则版本", "Edition"),
    "correction.missed": Text("未达到的要求", "Requirements missed"),
    "correction.no_indicator": Text("没有低于发布要求的指标", "No indicator is below its requirement"),
    "correction.rules": Text("需要改正的内容", "What is to be corrected"),
    "correction.no_rules": Text("没有声明的规则不合格", "No declared rule fails"),
    "correction.fix": Text("怎样改正", "What to do"),
    "correction.quarantine": Text("隔离的行", "Rows in quarantine"),
    "correction.reason": Text("原因", "Reason"),
    "correction.count": Text("行数", "Rows"),
    "correction.places": Text("文件行（前十处）", "Lines (first ten)"),
    "correction.no_quarantine": Text("没有被隔离的行", "No row is in quarantine"),
    "correction.answer": Text("怎样办结", "How it is settled"),
    "correction.answer_text": Text(
        "改正后在该资源页面重新交付完整文件。系统自动复核：上列要求在新版本中全部达到即办结，否则继续整改。",
        "Correct the file and deliver it whole. It is checked by itself: met in the new version, the slip is settled.",
    ),
    "correction.print": Text("下载可打印的整改单", "Download to print"),
    "correction.as_csv": Text("下载表格", "Download as a table"),
    "correction.as_json": Text("下载 JSON", "Download JSON"),
    "correction.open_resource": Text("打开数据资源", "Open the resource"),
    "correction.verified": Text("第 {number} 版已达到要求", "version {number} meets the requirements"),
    "correction.csv_kind": Text("指标", "indicator"),
    "correction.csv_want": Text("要求", "wanted"),
    "correction.csv_ab": Text("A/B 或行数", "A/B or rows"),
    "correction.csv_row": Text("数据行", "row"),
    "correction.csv_line": Text("文件行", "line"),
    "correction.csv_cell": Text("遮盖后的值", "masked values"),
    "correction.csv_fix": Text("怎样改正", "what to do"),
}
