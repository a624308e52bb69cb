"""What people read when a script does not end well: by the way it ended, and by the class of Python's exception."""

from __future__ import annotations

from policies.text import Text

RUNNING = Text("脚本等待或运行中。", "The script waits or runs.")
DONE = Text("脚本运行完成。", "The script finished.")

# how it ended → what happened, what to do
_ENDS: dict[str, tuple[Text, Text | None]] = {
    "memory_limit": (
        Text("超出内存限额，脚本已停止。", "The memory limit was reached; the script was stopped."),
        Text("请只读需要的列（pl.scan_parquet 或 columns=），或分批处理。", "Read fewer columns, in parts."),
    ),
    "time_limit": (
        Text("超出时间限额，脚本已停止。", "The time limit was reached; the script was stopped."),
        Text("请先用少量行调试，再缩小范围或分步运行。", "Try it on few rows first, then narrow it or work in steps."),
    ),
    "cancelled": (Text("脚本已取消。", "The script was cancelled."), None),
    "busy": (
        Text("本机资源一直占满，脚本没有运行。", "The machine stayed full; the script was not run."),
        Text("请稍后再试。", "Try again later."),
    ),
    "disk_full": (
        Text("文件总量超出存储配额，脚本已停止。", "The files are over the storage quota; the script was stopped."),
        Text("请在“文件”页删除不需要的文件后重试。", "Delete files you no longer need on the files tab, then retry."),
    ),
    "file_size": (
        Text("单个文件超出大小限额，脚本已停止。", "One file went over the size limit; the script was stopped."),
        Text("请拆分输出，或用 Parquet 格式压缩保存。", "Split the output, or write compressed Parquet."),
    ),
    "worker_died": (
        Text("脚本进程意外终止。", "The script's process ended unexpectedly."),
        Text("请检查是否有崩溃的库调用；反复出现请联系运营机构。", "Look for a crashing call; else ask the operator."),
    ),
    "protocol": (
        Text("脚本进程发出了不可信的内容，已停止。", "The process sent what cannot be trusted; it was stopped."),
        Text("请勿写入继承的文件描述符。", "Do not write to inherited descriptors."),
    ),
}  # fmt: skip

# class of the exception → explanation, what to do
_ERRORS: dict[str, tuple[Text, Text | None]] = {
    "SyntaxError": (Text("脚本有语法错误。", "The script has a syntax error."),
                    Text("请检查该行及上一行的括号、引号和冒号。", "Check brackets, quotes and colons there.")),
    "IndentationError": (Text("缩进不正确。", "The indentation is wrong."),
                         Text("同一层代码请用相同数量的空格。", "Use the same number of spaces within a block.")),
    "TabError": (Text("缩进混用了制表符和空格。", "Tabs and spaces are mixed."), None),
    "NameError": (Text("用到了没有定义的名称。", "A name is used that was never defined."),
                  Text("请检查拼写，或先赋值、先导入。", "Check the spelling; assign or import it first.")),
    "ModuleNotFoundError": (
        Text("没有这个库。", "There is no such library."),
        Text("可用：polars、pandas、numpy、scikit-learn、matplotlib、duckdb、pyarrow；工作空间内不能安装其他库。",
             "There are polars, pandas, numpy, scikit-learn, matplotlib, duckdb, pyarrow and no others.")),
    "ImportError": (Text("库中没有要导入的内容。", "The library does not have what is imported."), None),
    "KeyError": (Text("没有这个键或列名。", "There is no such key or column."),
                 Text("可打印 df.columns 或 list(tables) 查看可用名称。", "Print df.columns or list(tables).")),
    "IndexError": (Text("下标超出范围。", "An index is out of range."), None),
    "ValueError": (Text("有值不符合要求。", "A value does not fit."), None),
    "TypeError": (Text("值的类型不符合要求。", "A value has the wrong type."), None),
    "AttributeError": (Text("对象没有这个属性或方法。", "The object has no such attribute or method."), None),
    "ZeroDivisionError": (Text("除数为零。", "Division by zero."), None),
    "AssertionError": (Text("断言不成立。", "An assertion did not hold."), None),
    "RecursionError": (Text("函数递归层数过多。", "A function calls itself too often."), None),
    "FileNotFoundError": (
        Text("文件不存在。", "The file does not exist."),
        Text("已授权的表请用 tables[\"表名\"] 取得路径；其他文件须先写入工作空间。",
             "Granted tables: tables[\"name\"]; other files have to be in the workspace's folder.")),
    "PermissionError": (Text("工作空间内不允许此操作。", "This is not allowed inside a workspace."),
                        Text("不能联网、启动程序或写入授权数据。", "No network, no programs, granted data read-only.")),
    "BlockingIOError": (Text("进程或线程数已达上限。", "The limit on processes and threads was reached."), None),
    "UnicodeDecodeError": (Text("文件编码不是所指定的编码。", "The file has another encoding."),
                           Text("可尝试 encoding=\"gb18030\"。", "Try encoding=\"gb18030\".")),
    "MemoryError": (_ENDS["memory_limit"][0], _ENDS["memory_limit"][1]),
    "ColumnNotFoundError": (Text("表中没有这一列。", "The table has no such column."),
                            Text("可打印 df.columns 查看列名。", "Print df.columns.")),
    "SchemaError": (Text("列的类型不符合要求。", "A column has the wrong type."), None),
    "InvalidOperationError": (Text("该类型的列不支持此操作。", "Columns of this type do not support that."), None),
    "ComputeError": (Text("计算失败。", "The computation failed."), None),
    "CatalogException": (Text("语句引用了不存在的表或函数。", "The SQL names a table or function that is not there."),
                         Text("请用 read_parquet(路径) 读取 tables 中的表。", "Use read_parquet on a path of tables.")),
    "BinderException": (Text("语句引用了不存在的列。", "The statement names a column that is not there."), None),
    "ParserException": (Text("SQL 语句有语法错误。", "The SQL statement has a syntax error."), None),
    "ConversionException": (Text("有值无法转换为所需类型。", "A value could not be converted."), None),
    "NotFittedError": (Text("模型还没有训练。", "The model has not been trained."), None),
    "SystemExit": (Text("脚本以非零状态退出。", "The script left with a status other than zero."), None),
    "KeyboardInterrupt": (Text("脚本被中断。", "The script was interrupted."), None),
}  # fmt: skip
_OTHER = (Text("脚本运行出错。", "The script raised an error."), None)


def of(kind: str, error: str) -> tuple[Text, Text | None]:
    """(what happened, what to do) for an outcome's kind and the class of its exception ("" for none)."""
    if kind == "done":
        return DONE, None
    return _ENDS.get(kind) or _ERRORS.get(error, _OTHER)
