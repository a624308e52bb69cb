"""What is wrong with a statement and what to do about it, in people's words. Codes come from `diagnosis.py`."""

from __future__ import annotations

from collections.abc import Mapping

from policies.text import Text

_UPLOAD = Text(
    "工作空间内读不到外部文件：请在“文件”页上传，上传的数据会成为一张可查询的表。",
    "Nothing outside can be read here: upload the file under Files; it becomes a table you can query.",
)
_DOWNLOAD = Text(
    "请直接写 SELECT，然后在结果上方选择“下载”。", "Write the SELECT alone and use Download above its result."
)

# code → (what is wrong, what to do); {names} are facts of the diagnosis
EXPLAINED: dict[str, tuple[Text, Text]] = {
    "full_width": (
        Text("语句中有中文（全角）符号 {sign} ，SQL 只认半角符号。",
             "The statement has the full-width sign {sign}; SQL knows half-width signs only."),
        Text("请改成半角的 {plain} （切换到英文输入法）。", "Write {plain} instead (switch the input method)."),
    ),
    "unknown_column": (
        Text("没有名为“{name}”的列。", "There is no column “{name}”."),
        Text("最接近的列是：{near}。", "The nearest columns are: {near}."),
    ),
    "name_form": (
        Text("没有名为“{name}”的列；写法与已有的列略有不同（空格、全角或大小写）。",
             "There is no column “{name}”; one is written a little differently (blanks, width or case)."),
        Text("请照原样写：{near}。", "Write it as it is: {near}."),
    ),
    "quoted_value": (
        Text("双引号里的“{name}”被当作列名，而没有这一列。",
             "“{name}” in double quotes is read as a column, and there is none of that name."),
        Text("文本值请用单引号：'{name}'。双引号只用于表名和列名。",
             "Put a text value in single quotes: '{name}'. Double quotes are for names of tables and columns."),
    ),
    "other_table": (
        Text("查询的表里没有列“{name}”，它在表 {tables} 中。",
             "“{name}” is not in the tables queried; it is in {tables}."),
        Text("请在 FROM 中加入该表（JOIN … ON …），或改用本表的列。", "Join that table, or use a column of this one."),
    ),
    "no_column": (
        Text("没有名为“{name}”的列。", "There is no column “{name}”."),
        Text("可用的列：{known}。文本值请用单引号。", "Columns to use: {known}. Put text values in single quotes."),
    ),
    "unknown_in_table": (
        Text("“{table}”没有列“{name}”。", "“{table}” has no column “{name}”."),
        Text("最接近的列是：{near}。", "The nearest columns are: {near}."),
    ),
    "no_column_in_table": (
        Text("“{table}”没有列“{name}”。", "“{table}” has no column “{name}”."),
        Text("它的列有：{known}。", "Its columns are: {known}."),
    ),
    "unknown_table": (
        Text("没有名为“{name}”的表，或未授权给本工作空间。", "There is no table “{name}” here, or it is not granted."),
        Text("最接近的表是：{near}。", "The nearest tables are: {near}."),
    ),
    "no_table": (
        Text("没有名为“{name}”的表，或未授权给本工作空间。", "There is no table “{name}” here, or it is not granted."),
        Text("可用的表：{known}。需要其他数据请提交使用申请。", "Tables to use: {known}. Apply for other data."),
    ),
    "file_as_table": (Text("“{name}”是文件，不是表。", "“{name}” is a file, not a table."), _UPLOAD),
    "table_alias": (
        Text("语句中没有以“{name}”为名的表。", "No table of this statement goes by the name “{name}”."),
        Text("表起了别名后只能用别名；本语句中可用：{known}。",
             "Once a table has an alias, only that can be used; here: {known}."),
    ),
    "elsewhere": (
        Text("函数 {name} 是其他数据库的写法，这里没有。", "{name} is a function of another database."),
        Text("这里用 {here}。", "Here it is {here}."),
    ),
    "unknown_function": (
        Text("没有函数 {name}。", "There is no function {name}."),
        Text("最接近的函数是：{near}。", "The nearest functions are: {near}."),
    ),
    "no_function": (
        Text("没有函数 {name}。", "There is no function {name}."),
        Text("请检查拼写；可用的函数见 SELECT DISTINCT function_name FROM duckdb_functions()。",
             "Check the spelling; SELECT DISTINCT function_name FROM duckdb_functions() lists them."),
    ),
    "refused_function": (
        Text("函数 {name} 会读取会话而不是数据，工作空间内不可用。",
             "{name} reads the session and not the data; it is not available in a workspace."),
        Text("请把值直接写入语句，或使用参数（$名称）。", "Write the value itself, or use a parameter ($name)."),
    ),
    "missing": (
        Text("没有名为“{name}”的对象（{what}）。", "There is no {what} “{name}”."),
        Text("请检查名称，或加上 IF EXISTS。", "Check the name, or add IF EXISTS."),
    ),
    "exists": (
        Text("“{name}”已经存在。", "“{name}” exists already."),
        Text("请用 CREATE OR REPLACE，或先 DROP，或换个名称。",
             "Use CREATE OR REPLACE, drop it first, or choose another name."),
    ),
    "group_by": (
        Text("列“{name}”既没有分组，也没有汇总。", "Column “{name}” is neither grouped nor aggregated."),
        Text("请把它加入 GROUP BY，或用 GROUP BY ALL，或写成 any_value(…)、max(…) 之类的汇总。",
             "Add it to GROUP BY, use GROUP BY ALL, or aggregate it with any_value(…), max(…) and the like."),
    ),
    "aggregate_in_where": (
        Text("WHERE 里不能用汇总函数。", "WHERE cannot hold an aggregate."),
        Text("对汇总结果的条件请写在 HAVING 里。", "Put conditions on aggregates into HAVING."),
    ),
    "window_in_where": (
        Text("WHERE 里不能用窗口函数。", "WHERE cannot hold a window function."),
        Text("请改用 QUALIFY，或先放进子查询。", "Use QUALIFY, or a subquery."),
    ),
    "nested_aggregate": (
        Text("汇总函数不能嵌套。", "Aggregates cannot be nested."),
        Text("请先在子查询中汇总一次，再在外层汇总。", "Aggregate once in a subquery and again outside."),
    ),
    "ambiguous": (
        Text("列“{name}”在多个表中都有，不知道指哪一个。", "Column “{name}” is in several tables."),
        Text("请写明表名：{choices}。", "Name the table: {choices}."),
    ),
    "same_table_twice": (
        Text("同一个表在 FROM 中出现了两次而没有别名。", "The same table stands twice in FROM without an alias."),
        Text("请给每一个起别名，例如 FROM 表 AS a JOIN 表 AS b ON …。",
             "Give each an alias: FROM t AS a JOIN t AS b ON …."),
    ),
    "open_quote": (
        Text("从这里开始的引号 {sign} 没有结束。", "The quote {sign} opened here is never closed."),
        Text("请补上另一半；文本中的单引号写成两个 ''。",
             "Close it; a single quote inside a text is written twice: ''."),
    ),
    "open_comment": (
        Text("从这里开始的注释没有结束。", "The comment opened here is never closed."),
        Text("请补上 */。", "Add */."),
    ),
    "open_bracket": (
        Text("左括号比右括号多。", "A bracket is not closed."), Text("请补上缺少的 )。", "Add the missing )."),
    ),
    "extra_bracket": (
        Text("右括号比左括号多。",
             "There is a closing bracket too many."), Text("请删去多余的 )。", "Remove the extra )."),
    ),
    "keyword": (
        Text("“{name}”像是 {near} 的误写。", "“{name}” looks like a mistyped {near}."),
        Text("请改成 {near}。", "Write {near}."),
    ),
    "clause_order": (
        Text("{near} 不能写在 {after} 之后。", "{near} cannot come after {after}."),
        Text("顺序是 FROM → WHERE → GROUP BY → HAVING → ORDER BY → LIMIT。",
             "The order is FROM → WHERE → GROUP BY → HAVING → ORDER BY → LIMIT."),
    ),
    "join_on": (
        Text("JOIN 缺少连接条件。", "JOIN lacks its condition."),
        Text("请加上 ON a.列 = b.列 或 USING (列)。", "Add ON a.x = b.x or USING (x)."),
    ),
    "top": (
        Text("这里没有 TOP。", "There is no TOP here."),
        Text("请在语句末尾写 LIMIT {number}。", "Write LIMIT {number} at the end of the statement."),
    ),
    "limit_comma": (
        Text("这里的 LIMIT 不用逗号。", "LIMIT takes no comma here."),
        Text("请写成 LIMIT 行数 OFFSET {number}。", "Write LIMIT rows OFFSET {number}."),
    ),
    "unfinished": (
        Text("语句在“{near}”之后没有写完。", "The statement ends after “{near}”."),
        Text("请补上后面的内容，或删去它。", "Complete it, or remove that word."),
    ),
    "extra_comma": (
        Text("“{near}”之前多了一个逗号。", "There is a comma too many before “{near}”."),
        Text("请删去它。", "Remove it."),
    ),
    "syntax": (
        Text("“{near}”附近有语法错误。", "There is a syntax error near “{near}”."),
        Text("请检查它前面的逗号、括号、引号和关键词。", "Check commas, brackets, quotes and keywords before it."),
    ),
    "date_format": (
        Text("“{value}”不是可识别的日期写法。", "“{value}” is not a date as it is written here."),
        Text("请写成 '{like}'；其他写法用 strptime(文本, '%Y年%m月%d日')。",
             "Write '{like}'; for other forms use strptime(text, '%Y/%m/%d')."),
    ),
    "date_range": (
        Text("“{value}”不是存在的日期或时间。", "“{value}” is no day or time that exists."),
        Text("请检查年、月、日的顺序和大小。", "Check the order and the size of year, month and day."),
    ),
    "strptime": (
        Text("文本“{value}”与格式“{format}”不符。", "“{value}” does not fit the format “{format}”."),
        Text("请调整格式，或用 try_strptime 使不符的值为 NULL。",
             "Change the format, or use try_strptime for NULL instead."),
    ),
    "convert": (
        Text("文本“{value}”无法转换为 {type}。", "“{value}” cannot be converted to {type}."),
        Text("请用 TRY_CAST（转换不了的为 NULL），或先筛除这些值。",
             "Use TRY_CAST (NULL instead), or filter such values first."),
    ),
    "cast_range": (
        Text("数值 {value} 超出目标类型的范围。", "{value} is outside the range of the type wanted."),
        Text("请用更大的类型，例如 BIGINT、DECIMAL(38, 2) 或 DOUBLE。",
             "Use a larger type: BIGINT, DECIMAL(38, 2) or DOUBLE."),
    ),
    "overflow": (
        Text("计算结果超出类型的范围。", "A result is outside the range of its type."),
        Text("请先转换为 HUGEINT、DECIMAL(38, 2) 或 DOUBLE 再计算。",
             "Cast to HUGEINT, DECIMAL(38, 2) or DOUBLE first."),
    ),
    "division": (
        Text("整除或取余时除数为零。", "The divisor of // or % is zero."),
        Text("请写成 x % nullif(y, 0)，除数为零时结果为 NULL。",
             "Write x % nullif(y, 0): NULL where the divisor is zero."),
    ),
    "compare_types": (
        Text("不能直接比较 {left} 与 {right}。", "{left} cannot be compared with {right}."),
        Text("请把一方转换，例如 列 >= DATE '2024-01-01' 或 CAST(列 AS BIGINT)。",
             "Convert one side: x >= DATE '2024-01-01' or CAST(x AS BIGINT)."),
    ),
    "operator_types": (
        Text("运算 {name} 不适用于这些类型：{types}。", "{name} does not work on these types: {types}."),
        Text("请先转换，例如 TRY_CAST(列 AS DOUBLE)；连接文本用 ||。",
             "Convert first: TRY_CAST(x AS DOUBLE); texts are joined by ||."),
    ),
    "aggregate_text": (
        Text("{name} 只能用于数值，这一列是文本。", "{name} is for numbers; this column is text."),
        Text("请写成 {name}(TRY_CAST(列 AS DOUBLE))。", "Write {name}(TRY_CAST(x AS DOUBLE))."),
    ),
    "argument_types": (
        Text("函数 {name} 不接受这些参数：{types}。", "{name} does not take these arguments: {types}."),
        Text("请对照下方引擎给出的写法，检查参数的个数和类型。",
             "Compare number and types with the forms given below."),
    ),
    "over_missing": (
        Text("窗口函数缺少 OVER，或用在了不允许的位置。", "A window function lacks OVER, or stands where none may."),
        Text("请写成 row_number() OVER (PARTITION BY … ORDER BY …)。",
             "Write row_number() OVER (PARTITION BY … ORDER BY …)."),
    ),
    "subquery_rows": (
        Text("作为单个值使用的子查询返回了多行。", "A subquery used as one value gave several rows."),
        Text("请加汇总或 LIMIT 1；判断是否在其中用 IN。", "Aggregate it or add LIMIT 1; use IN to test membership."),
    ),
    "subquery_columns": (
        Text("子查询返回了 {count} 列，这里只能是 1 列。", "The subquery gives {count} columns where one is needed."),
        Text("请只选一列。", "Select one column."),
    ),
    "union_columns": (
        Text("UNION、INTERSECT、EXCEPT 两边的列数不同。",
             "Both sides of a set operation need the same number of columns."),
        Text("请让两边列数一致；按列名合并用 UNION BY NAME。", "Make them equal; UNION BY NAME matches by name."),
    ),
    "insert_columns": (
        Text("表“{name}”有 {count} 列，但给了 {given} 个值。",
             "Table “{name}” has {count} columns but {given} values are given."),
        Text("请补齐值，或写明列：INSERT INTO 表 (列1, 列2) …。",
             "Give all, or name the columns: INSERT INTO t (a, b) …."),
    ),
    "order_number": (
        Text("ORDER BY 的列序号超出范围（1 到 {count}）。", "ORDER BY names a column number beyond {count}."),
        Text("请用列名，或 1 到 {count} 的序号。", "Use a name, or a number from 1 to {count}."),
    ),
    "parameter_missing": (
        Text("参数 {name} 没有给值。", "Parameter {name} has no value."),
        Text("请在语句下方的“参数”中填写，或在接口的 parameters 中给出。",
             "Fill it in under Parameters, or give it in `parameters`."),
    ),
    "parameter_mixed": (
        Text("按名称（$名称）和按位置（?）的参数不能混用。",
             "Parameters by name ($name) and by place (?) cannot be mixed."),
        Text("请只用其中一种。", "Use one kind."),
    ),
    "no_transaction": (
        Text("当前没有进行中的事务。", "No transaction is under way."),
        Text("请先执行 BEGIN；出错的事务已自动撤销。",
             "BEGIN first; a transaction in which something failed was undone already."),
    ),
    "nested_transaction": (
        Text("事务已在进行中，不能再次开始。", "A transaction is under way already."),
        Text("请先 COMMIT 或 ROLLBACK。", "COMMIT or ROLLBACK first."),
    ),
    "duplicate_key": (
        Text("主键或唯一约束的值重复。", "A value of a primary key or unique constraint is there already."),
        Text("请先去重，或用 INSERT OR IGNORE / OR REPLACE。", "Remove repeats, or use INSERT OR IGNORE / OR REPLACE."),
    ),
    "not_null": (
        Text("列 {name} 不允许为空。", "Column {name} takes no NULL."),
        Text("请给值，或用 coalesce 补齐。", "Give a value, or fill it with coalesce."),
    ),
    "check_constraint": (
        Text("有值不满足表的 CHECK 约束。", "A value does not satisfy a CHECK constraint of the table."),
        Text("请先筛除这些值。", "Filter such values first."),
    ),
    "read_only": (
        Text("授权的仿真数据表只能读取，不能修改。", "Granted simulated tables can be read, not changed."),
        Text("请先复制一份：CREATE TABLE 我的表 AS SELECT * FROM …。",
             "Make a copy first: CREATE TABLE mine AS SELECT * FROM …."),
    ),
    "pattern": (
        Text("正则表达式写法有误。", "The regular expression is malformed."),
        Text("请检查括号和反斜杠；要查找普通文本可用 contains。",
             "Check brackets and backslashes; contains finds plain text."),
    ),
    "refused_statement": (
        Text("工作空间内不运行 {name} 语句。", "{name} statements are not run inside a workspace."),
        Text("请只用查询，以及建表、视图、宏和修改自己的表。",
             "Use queries, and create or change tables, views and macros of your own."),
    ),
    "refused_node": (
        Text("查询里不能嵌入 {name}。", "{name} cannot stand inside a query."),
        Text("请拆成两条语句：先修改，再查询。", "Make it two statements: change first, then query."),
    ),
    "refused_table_function": (
        Text("表函数 {name} 不可用。", "Table function {name} is not available."),
        Text("可用的表函数：range、generate_series、unnest、json_each。",
             "Available: range, generate_series, unnest, json_each."),
    ),
    "refused_unreadable": (
        Text("无法解析该语句，因此不予执行。", "The statement cannot be read, so it is not run."),
        Text("请检查语法；一次只写常用的 SQL 语句。", "Check the syntax; use ordinary SQL statements."),
    ),
}  # fmt: skip

# what is refused by name → what to do instead
INSTEAD: dict[str, Text] = {
    **dict.fromkeys(("read_csv", "read_csv_auto", "read_parquet", "parquet_scan", "read_json", "read_json_auto",
                     "read_json_objects", "read_ndjson", "read_ndjson_auto", "read_ndjson_objects", "read_text",
                     "read_blob", "read_duckdb", "glob", "sniff_csv", "parquet_metadata", "parquet_schema",
                     "ATTACH", "IMPORT"), _UPLOAD),
    **dict.fromkeys(("COPY", "EXPORT"), _DOWNLOAD),
    **dict.fromkeys(("INSTALL", "LOAD"), Text(
        "工作空间没有网络，也不加载扩展；JSON、Parquet 和时区功能已经内置。其他处理请用 Python 脚本。",
        "There is no network and no extension here; JSON, Parquet and time zones are built in. Use a Python script.")),
    **dict.fromkeys(("SET", "RESET", "PRAGMA", "CALL", "CHECKPOINT"), Text(
        "引擎设置由平台统一管理。限额见“用量”页；表和列的信息可用 DESCRIBE、SUMMARIZE、SHOW TABLES。",
        "The platform manages the engine's settings. For tables and columns use DESCRIBE, SUMMARIZE, SHOW TABLES.")),
    "USE": Text("工作空间只有一个数据库，直接写表名即可。", "There is one database here; just write the table's name."),
    "DETACH": Text("工作空间只有一个数据库。", "There is one database here."),
    **dict.fromkeys(("PREPARE", "EXECUTE", "DEALLOCATE"), Text(
        "请直接在语句中写 $名称 或 ?，在“参数”中给值。",
        "Write $name or ? in the statement and give values as parameters.")),
    **dict.fromkeys(("query", "query_table", "json_execute_serialized_sql"), Text(
        "请把查询直接写出来。", "Write the query itself.")),
}  # fmt: skip


def explain(code: str, facts: Mapping[str, str]) -> tuple[Text, Text] | None:
    """What is wrong and what to do; None for a code without words. Facts come from the person's own text and the
    names of the workspace, are cut short, and cannot fill in anything of their own."""
    found = EXPLAINED.get(code)
    if found is None:
        return None
    shown = {k: v[:300].replace("{", "(").replace("}", ")") or "?" for k, v in facts.items()}
    what, fix = (text.fill(**{n: shown.get(n, "?") for n in _names(text)}) for text in found)
    return what, INSTEAD.get(facts.get("name", ""), fix) if code.startswith("refused_") else fix


def _names(text: Text) -> set[str]:
    from string import Formatter

    return {name for _, name, _, _ in Formatter().parse(text.zh + text.en) if name}
