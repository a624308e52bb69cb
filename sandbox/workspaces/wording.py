"""What people read when a query or a run does not end well. Codes come from inside the jail, words from here."""

from __future__ import annotations

from policies.text import Text

# kind → what happened
FAILURES: dict[str, Text] = {
    "syntax": Text("语句有语法错误。", "The statement has a syntax error."),
    "binding": Text(
        "语句引用了不存在的表、列或函数。", "The statement names a table, column or function that does not exist."
    ),
    "bad_value": Text("有值无法转换为所需类型。", "A value could not be converted to the required type."),
    "constraint": Text("违反了表的约束。", "A constraint of the table was violated."),
    "out_of_range": Text("计算结果超出类型范围。", "A result is outside the range of its type."),
    "memory_limit": Text("超出内存限额，语句已停止。", "The memory limit was reached; the statement was stopped."),
    "time_limit": Text("超出时间限额，语句已停止。", "The time limit was reached; the statement was stopped."),
    "cancelled": Text("语句已取消。", "The statement was cancelled."),
    "file": Text("文件不存在或不可访问。", "The file does not exist or cannot be reached."),
    "file_size": Text("超出单个文件大小限额。", "The limit on the size of one file was reached."),
    "not_allowed": Text("工作空间内不允许此操作。", "This is not allowed inside a workspace."),
    "too_big": Text("单行结果过大，无法返回。", "One row of the result is too big to be returned."),
    "refused": Text("语句未执行。", "The statement was not run."),
    "disk_full": Text("工作空间的存储配额已用完。", "The workspace's storage quota is used up."),
    "worker_died": Text(
        "查询进程意外终止，工作空间将在下次查询时重新打开。",
        "The query process ended unexpectedly; the workspace reopens with the next query.",
    ),
    "protocol": Text(
        "查询进程返回的数据不完整或不可信，已丢弃。",
        "What the query process returned was incomplete or not trustworthy; it was discarded.",
    ),
    "failed": Text("语句执行失败。", "The statement failed."),
    "script": Text("脚本出错，已停止。", "The script stopped with an error."),
    "no_result": Text("脚本没有把结果表放进 result。", "The script left no table in `result`."),
    "declared": Text(
        "脚本的结果表与声明的列或类型不符。", "The script's table does not have the declared columns and types."
    ),
}

# kind → what to do; a kind without an entry explains itself by its engine text
REPAIRS: dict[str, Text] = {
    "memory_limit": Text("请缩小范围、先聚合或分步计算。", "Narrow the range, aggregate first or work in steps."),
    "time_limit": Text("请缩小范围或分步计算。", "Narrow the range or work in steps."),
    "disk_full": Text("请删除不需要的表，或重置工作空间。", "Drop tables you no longer need, or reset the workspace."),
    "too_big": Text("请截短长文本列后再查询。", "Shorten the long text columns and query again."),
    "file_size": Text("请拆分输出。", "Split the output."),
    "no_result": Text(
        "请令 result 为 polars、pandas 或 Arrow 表。", "Set `result` to a polars, pandas or Arrow table."
    ),
    "declared": Text("请核对 columns 中的列名和类型。", "Check names and types under `columns`."),
    "bad_value": Text("请用 TRY_CAST，或先筛除无法转换的值。", "Use TRY_CAST, or filter such values first."),
    "worker_died": Text(
        "请再试一次；反复出现请联系运营机构。", "Try again; if it happens again, contact the operator."
    ),
    "protocol": Text("请再试一次；反复出现请联系运营机构。", "Try again; if it happens again, contact the operator."),
}

# guard code → why a statement is not run; {subject} is a name from the statement itself
REFUSALS: dict[str, Text] = {
    "statement": Text("工作空间内不运行 {subject} 语句。", "{subject} statements are not run inside a workspace."),
    "only_select": Text(
        "在真实数据上只运行 SELECT 查询，此处为 {subject}。", "Only SELECT runs on real data; this is {subject}."
    ),
    "one_statement": Text("每个步骤只能有一条 SELECT。", "Each step is exactly one SELECT."),
    "node": Text("查询中不允许使用 {subject}。", "{subject} is not allowed in a query."),
    "table": Text(
        "表 {subject} 不存在，或未授权给本工作空间。", "Table {subject} does not exist here or is not granted."
    ),
    "function": Text("函数 {subject} 不可用。", "Function {subject} is not available."),
    "table_function": Text("表函数 {subject} 不可用。", "Table function {subject} is not available."),
    "unreadable": Text("无法解析该语句，因此不予执行。", "The statement cannot be read, so it is not run."),
}

# kind of statement → what it did; the rest is worded by whether it changed rows
_DONE: dict[str, Text] = {
    "CREATE TABLE": Text("已创建表 {subject}", "created table {subject}"),
    "CREATE VIEW": Text("已创建视图 {subject}", "created view {subject}"),
    "CREATE MACRO": Text("已创建宏 {subject}", "created macro {subject}"),
    "CREATE FUNCTION": Text("已创建宏 {subject}", "created macro {subject}"),
    "CREATE SEQUENCE": Text("已创建序列 {subject}", "created sequence {subject}"),
    "CREATE SCHEMA": Text("已创建模式 {subject}", "created schema {subject}"),
    "CREATE TYPE": Text("已创建类型 {subject}", "created type {subject}"),
    "CREATE INDEX": Text("已创建索引 {subject}", "created index {subject}"),
    "INSERT": Text("已写入 {subject}", "inserted into {subject}"),
    "UPDATE": Text("已修改 {subject}", "updated {subject}"),
    "DELETE": Text("已从 {subject} 删除", "deleted from {subject}"),
    "MERGE": Text("已合并到 {subject}", "merged into {subject}"),
    "BEGIN": Text("事务已开始", "the transaction began"),
    "START": Text("事务已开始", "the transaction began"),
    "COMMIT": Text("事务已提交", "the transaction was committed"),
    "END": Text("事务已提交", "the transaction was committed"),
    "ROLLBACK": Text("事务已撤销", "the transaction was rolled back"),
    "ABORT": Text("事务已撤销", "the transaction was rolled back"),
    "SELECT": Text("查询完成", "queried"),
    "EXPLAIN": Text("已给出执行计划", "explained"),
    "MULTI": Text("查询完成", "queried"),
}
_OTHER = {"DROP": Text("已删除 {subject}", "dropped {subject}"), "ALTER": Text("已修改 {subject}", "altered {subject}")}


def done(kind: str, subject: str, rows: int | None) -> Text:
    """What one statement did, with the rows it gave or changed."""
    text = _DONE.get(kind) or _OTHER.get(kind.split(" ")[0]) or Text("已执行", "done")
    shown = subject[:80].replace("{", "(").replace("}", ")")
    text = Text(text.zh.replace("{subject}", shown), text.en.replace("{subject}", shown))
    if rows is None:
        return text
    return Text(f"{text.zh}，{rows:,} 行", f"{text.en}, {rows:,} row{'' if rows == 1 else 's'}")


def left_behind(done_before: int, failed: int, *, rolled_back: bool) -> Text | None:
    """What a query that failed in its statement `failed` (from 1) left; None for a single statement."""
    if failed < 2 and not rolled_back:
        return None
    if rolled_back:
        return Text(
            f"第 {failed} 条语句未成功，进行中的事务已整体撤销：事务内的更改没有保留。",
            f"Statement {failed} did not succeed and the open transaction was undone: nothing inside it was kept.",
        )
    zh = "前一条语句已经执行，其结果保留" if done_before == 1 else f"前 {done_before} 条语句已经执行，其结果保留"
    en = "the statement before it was executed" if done_before == 1 else f"the first {done_before} were executed"
    return Text(f"第 {failed} 条语句未成功；{zh}。", f"Statement {failed} did not succeed; {en} and stand.")


def failure(kind: str) -> Text:
    """The sentence for a kind; an unknown kind is worded as "failed"."""
    return FAILURES.get(kind, FAILURES["failed"])


def refusal(code: str, subject: str) -> Text:
    """Why the guard refused; `subject` comes from the person's own statement and is cut short."""
    text = REFUSALS.get(code, REFUSALS["unreadable"])
    shown = subject[:80].replace("{", "(").replace("}", ")") or "?"
    return text.fill(subject=shown)
