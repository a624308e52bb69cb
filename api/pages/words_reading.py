"""Words of reading granted rows."""

from __future__ import annotations

from policies.text import Text

USES: dict[str, Text] = {
    "rows": Text("可读", "readable"),
    "pseudonyms": Text("化名可读", "readable as a pseudonym"),
    "jobs": Text("仅限作业", "jobs only"),
}
WHY: dict[str, Text] = {
    "rows": Text("{level} 级，按原值显示", "level {level}: shown as it is"),
    "pseudonyms": Text(
        "{level} 级直接标识，以本申请专用化名代替", "level {level} direct identifier: a pseudonym of this application"
    ),
    "jobs": Text("{level} 级，可用不可见，只能通过作业使用", "level {level}: never seen, used by jobs only"),
}
WORDS: dict[str, Text] = {
    "workspace.tab_data": Text("授权数据", "Granted data"),
    "reading.mark": Text("授权数据·不得出域", "granted data · must not leave"),
    "reading.rules": Text(
        "只能查看，不能下载；每次最多 {rows} 行，每表 24 小时内最多 {day} 行，每次读取都会记录",
        "To be looked at, not downloaded: {rows} rows at a time, {day} rows a table in 24 hours; all of it is recorded",
    ),
    "reading.limit_of_protection": Text(
        "化名只替换直接标识；年龄、地区、日期等仍是原值，请勿据此识别个人",
        "Pseudonyms replace direct identifiers only; age, area and dates are as they are: identify nobody by them",
    ),
    "reading.none": Text("还没有授权数据", "No granted data yet"),
    "reading.nothing": Text(
        "没有可读取的授权表；请在“真实数据运行”中用作业使用，先在“查询”中用仿真数据调试",
        "No granted table may be read: use them by jobs (Runs on real data), tried on simulated data first (Query)",
    ),
    "reading.none_next": Text("授权生效后显示在这里", "It appears once the grants take effect"),
    "reading.use": Text("读取方式", "How it is read"),
    "reading.why": Text("依据", "Why"),
    "reading.left": Text("今日还可读 {rows} 行", "{rows} rows left today"),
    "reading.withheld": Text("不可读取", "not readable"),
    "reading.conditions": Text("只含满足条件的行", "Only rows that meet"),
    "reading.run": Text("读取", "Read"),
    "reading.sql_note": Text("只接受查询语句，错误原文不显示", "SELECT only; the engine's own words are not shown"),
    "reading.result": Text("读取结果", "Rows"),
    "reading.rows": Text("{rows} 行，用时 {time}", "{rows} rows in {time}"),
    "reading.truncated": Text("已达显示上限，只显示前 {rows} 行", "The limit was reached: only the first {rows} rows"),
    "reading.no_result": Text("读取后在这里显示结果", "The rows will appear here"),
    "reading.history": Text("读取记录", "What was read"),
    "reading.tables": Text("涉及的表", "Tables"),
}
