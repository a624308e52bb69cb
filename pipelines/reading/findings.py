"""What the reader tells people: findings (the table was read, but look here) and refusals (it was not read)."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any

from policies.text import Text, UserError


@dataclass(frozen=True, slots=True)
class ReadFinding:
    """Something worth a person's look. `detail` holds names and counts, never a value of a record."""

    code: str
    detail: Text
    column: str | None = None

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"code": self.code, "detail": self.detail.as_dict()}
        return {**found, "column": self.column} if self.column is not None else found


_FINDINGS: dict[str, Text] = {
    "header_only": Text("只有表头，没有数据行：按空表读入", "A header and no records: read as an empty table"),
    "no_header": Text("没有表头：列名按位置编号", "No header: columns are numbered by position"),
    "header_uncertain": Text(
        "首行是否为表头无法确定，已按表头处理", "Unclear whether the first row is a header; taken as one"
    ),
    "header_of_values": Text(
        "指定为表头的行看起来是数据：请核对，必要时在读取方案中写 header: false",
        "The row taken as the header looks like a record: check, and write header: false in the recipe if so",
    ),
    "two_line_header": Text("表头占两行，已用斜杠合并", "The header takes two rows; they were joined with a slash"),
    "title_rows": Text("表头之前有 {n} 行标题，未计入数据", "{n} title rows before the header were set aside"),
    "section_rows": Text("数据中有 {n} 行分节标题，单独存放", "{n} section rows between the records were set aside"),
    "repeated_headers": Text(
        "表头重复出现 {n} 次，单独存放", "The header is repeated {n} times; the repeats were set aside"
    ),
    "footer_rows": Text("末尾有 {n} 行合计或说明，单独存放", "{n} total or note rows at the end were set aside"),
    "blank_rows": Text("有 {n} 行空行", "{n} blank lines"),
    "ghost_column_kept": Text(
        "最后一列没有列名但有 {n} 个值，已保留", "The last column has no name but {n} values; it was kept"
    ),
    "ghost_column": Text(
        "每行末尾多一个分隔符，空列已去掉", "Every line ends with a delimiter; the empty column was dropped"
    ),
    "renamed_columns": Text(
        "有 {n} 个列名为空或重复，已改名", "{n} column names were empty or repeated and got new ones"
    ),
    "short_header": Text(
        "表头比数据少一列，首列按位置命名", "The header is one name short; the first column got a number"
    ),
    "uneven_width": Text(
        "有 {percent}% 的行与多数行的列数不同", "{percent}% of the rows have another number of columns than most"
    ),
    "rows_refused": Text("有 {n} 行不合格，已隔离，未丢弃", "{n} records were refused and kept in quarantine"),
    "many_rows_refused": Text(
        "被隔离的行占 {percent}%，超过 1%：请核对读取方案",
        "{percent}% of the records went to quarantine, more than 1%: check the recipe",
    ),
    "bad_bytes": Text("有 {n} 行含有无法按 {encoding} 解码的字节", "{n} lines hold bytes that are not {encoding}"),
    "line_ends_changed": Text("换行符已统一为 LF", "Line ends were made LF throughout"),
    "swallowed_rows": Text("有 {n} 个单元格可能吞入了整行", "{n} cells may have swallowed whole rows"),
    "hidden_sheet": Text("隐藏的工作表“{sheet}”未读入", "The hidden sheet {sheet} was not read"),
    "empty_sheet": Text("工作表“{sheet}”是空的", "The sheet {sheet} is empty"),
    "damaged_long_number": Text(
        "有 {n} 个 15 位以上的号码存成了数值，末位已失真：保留为文本，不能用作标识",
        "{n} long numbers were stored as floats and lost their last digits: kept as text, no identifier",
    ),
    "restored_zeros": Text("按单元格格式补回了前导零", "Leading zeros were restored from the cell format"),
    "merged_filled": Text(
        "有 {n} 个纵向合并的单元格，已把值补到每一行", "{n} cells merged downwards were filled into every row"
    ),
    "dates_and_numbers": Text(
        "日期列中有 {n} 个数值，未当作日期", "{n} numbers stand in a column of dates and were not taken as dates"
    ),
    "nested_flattened": Text("嵌套内容已展开：{path}", "Nested content was flattened: {path}"),
    "parts_not_read": Text("未读入的部分：{parts}", "Parts that were not read: {parts}"),
    "control_characters": Text(
        "有 {n} 个控制字符（如 NUL、垂直制表符），已原样保留", "{n} control characters (NUL, vertical tab, …) were kept"
    ),
    "formulas_without_value": Text(
        "有 {n} 个公式没有保存计算结果，读出为空：请用表格软件打开并另存后重新提供",
        "{n} formulas were saved without their result and read as empty: open and save the workbook, then provide it",
    ),
    "other_format": Text(
        "扩展名是 {suffix}，内容是 {kind}：已按内容读入",
        "The name ends in {suffix}, the content is {kind}: read as such",
    ),
    "source_comments": Text(
        "来源带有说明（{n} 列）：可在资源页登记为本资源的说明",
        "The source has comments ({n} columns): they can be registered on the resource's page",
    ),
    "source_without_key": Text(
        "来源表没有主键：行序不固定，内容相同的两次抽取可能被当作不同的交付",
        "The source has no primary key: rows come in no fixed order, so equal content may count as a new delivery",
    ),
    "source_account_can_write": Text(
        "所用数据库账号能修改来源表：请改用只读账号",
        "The account may change the source table: use one that can only read",
    ),
    "source_kept_as_text": Text(
        "列中有 NaN、无穷或公元 1—9999 年以外的值：保留为文本",
        "The column has NaN, infinity or years outside 1–9999: kept as text",
    ),
    "error_cells": Text(
        "有 {n} 个单元格是公式错误（如 #DIV/0!、#N/A），读出为空",
        "{n} cells hold a formula's error (#DIV/0!, #N/A, …) and read as empty",
    ),
    "wrapped_values": Text(
        '有 {n} 个值写成 ="…" 或以单引号开头（为防表格软件改写）：已原样保留，请让来源单位导出纯文本',
        'About {n} values are written ="…" or with a leading apostrophe: kept as they are; ask for plain text',
    ),
    "maybe_serial_dates": Text(
        "日期列全是 {n} 个整数，像 Excel 的日期序号：未当作日期，请让来源单位按日期格式导出",
        "{n} whole numbers in a column of dates look like Excel's day numbers: not taken as dates; ask for real dates",
    ),
    "mixed_values": Text(
        "{share}% 的值是{kind}，其余 {n} 个不是：保留为文本",
        "{share}% of the values are {kind}, {n} are not: kept as text",
    ),
    "values_refused": Text("有 {n} 个值不是有效的{kind}", "{n} values are not valid {kind}"),
    "mixed_date_spellings": Text("日期有 {n} 种写法，均无歧义", "Dates are spelled in {n} ways, none ambiguous"),
    "ambiguous_dates": Text(
        "无法判断日期是日/月还是月/日：保留为文本", "Day/month or month/day cannot be told: kept as text"
    ),
    "partial_dates": Text("有 {n} 个日期只到年或月", "{n} dates stop at the year or month"),
    "full_width_values": Text(
        "有 {n} 个值用了全角字符，已按半角识别", "{n} values use full-width characters and were folded"
    ),
    "missing_spellings": Text("缺失值有多种写法：{spellings}", "Missing values are spelled: {spellings}"),
    "maybe_missing": Text(
        "“{spelling}”出现 {n} 次，可能是缺失也可能是取值：按取值保留",
        "{spelling} occurs {n} times and may mean missing or be a value: kept as a value",
    ),
    "unit_in_values": Text(
        "数值带单位“{unit}”，单位已移到列信息", "Values carry the unit {unit}; it moved to the column"
    ),
    "mixed_units": Text("数值的单位不一致：保留为文本", "Values carry different units: kept as text"),
    "exponent_numbers": Text(
        "有 {n} 个值用科学记数或非有限数：按浮点数", "{n} values use exponents or are not finite: floating"
    ),
    "code_kept_as_text": Text("代码列：保留为文本", "A column of codes: kept as text"),
    "utc_timestamps": Text("带时区的时间已换算为 UTC", "Times with an offset were converted to UTC"),
}

_REFUSALS: dict[str, tuple[Text, Text]] = {
    "not_a_file": (
        Text("没有找到文件 {name}", "There is no file {name}"),
        Text("请检查路径；文件夹请逐个文件读取", "Check the path; read a folder file by file"),
    ),
    "empty": (
        Text("文件 {name} 是空的", "The file {name} is empty"),
        Text("请让来源单位重新导出", "Ask the source to export it again"),
    ),
    "unsupported": (
        Text("不支持这种文件：{kind}", "This kind of file is not supported: {kind}"),
        Text(
            "请另存为 CSV（UTF-8 或 GB18030）、XLSX、JSON 或 Parquet",
            "Save it as CSV (UTF-8 or GB18030), XLSX, JSON or Parquet",
        ),
    ),
    "encrypted": (
        Text("文件 {name} 已加密，无法读取", "The file {name} is encrypted and cannot be read"),
        Text("请去掉密码后重新提供", "Remove the password and provide it again"),
    ),
    "broken_file": (
        Text("文件 {name} 已损坏或与扩展名不符", "The file {name} is damaged or not what its name says"),
        Text("请让来源单位重新导出", "Ask the source to export it again"),
    ),
    "unknown_encoding": (
        Text(
            "无法识别文字编码：既不是 UTF-8、GB18030，也不是 UTF-16",
            "The text encoding is not UTF-8, GB18030 or UTF-16",
        ),
        Text(
            "请在读取方案中写明 encoding，或另存为 UTF-8", "Name the encoding in the recipe, or save the file as UTF-8"
        ),
    ),
    "ambiguous_encoding": (
        Text(
            "文字编码有多种可能，猜错会产生乱码，因此没有读入",
            "More than one text encoding fits; a wrong guess would garble names, so nothing was read",
        ),
        Text(
            "请在读取方案中写明 encoding（如 gb18030、big5）", "Name the encoding in the recipe (such as gb18030, big5)"
        ),
    ),
    "encoding_mismatch": (
        Text("文件内容不是所指定的编码 {encoding}", "The file is not {encoding} as the recipe says"),
        Text("请改正 encoding，或删除它由系统识别", "Correct the encoding, or leave it out to have it detected"),
    ),
    "one_column": (
        Text(
            "只识别出一列：找不到能把多数行分成同样列数的分隔符",
            "Only one column: no delimiter splits most rows into the same number of columns",
        ),
        Text(
            "请在读取方案中写明 delimiter；确实只有一列时写空文本",
            "Name the delimiter in the recipe; if there really is one column, give an empty text",
        ),
    ),
    "ambiguous_delimiter": (
        Text("有多个分隔符同样合适：{choices}", "Several delimiters fit equally well: {choices}"),
        Text("请在读取方案中写明 delimiter", "Name the delimiter in the recipe"),
    ),
    "layout_uncertain": (
        Text(
            "只有 {percent}% 的行列数一致，版面无法确定",
            "Only {percent}% of the rows agree in their number of columns; the layout is unclear",
        ),
        Text("请检查分隔符与引号，或在读取方案中写明", "Check delimiter and quotes, or name them in the recipe"),
    ),
    "too_many_refused": (
        Text(
            "{percent}% 的行不合格，超过上限 {limit}%：没有读入",
            "{percent}% of the records are unfit, above the ceiling of {limit}%: nothing was read",
        ),
        Text(
            "请核对分隔符、引号与列数；确认无误时在读取方案中提高 max_quarantined_share",
            "Check delimiter, quotes and columns; if right, raise max_quarantined_share in the recipe",
        ),
    ),
    "quarantine_too_large": (
        Text(
            "不合格的行共 {size} MB，超过可隔离的上限 {limit} MB：没有读入",
            "The unfit records have {size} MB, more than the {limit} MB that quarantine takes: nothing was read",
        ),
        Text("请检查分隔符、未闭合的引号与换行", "Look at delimiter, quotes that never close and line ends"),
    ),
    "quarantine_too_many": (
        Text(
            "不合格的行有 {limit} 处以上的错误，超过可隔离的上限：没有读入",
            "The unfit records have {limit} errors or more, which quarantine does not take: nothing was read",
        ),
        Text(
            "请检查分隔符、未闭合的引号与跨很多行的单元格",
            "Look at delimiter, open quotes and cells of very many lines",
        ),
    ),
    "changed_while_reading": (
        Text("读取期间文件 {name} 被改动，结果作废", "The file {name} changed while it was read; the result is void"),
        Text("请等写入完成后重新读取", "Wait until it is complete and read it again"),
    ),
    "unbalanced": (
        Text(
            "行数对不上：文件有 {lines} 行，读出、隔离与其他合计 {counted} 行，因此没有读入",
            "Lines do not add up: {lines} in the file, {counted} read or set aside; nothing was loaded",
        ),
        Text(
            "请检查未闭合的引号，或把文件交给运维核对", "Look for quotes that never close, or hand the file to support"
        ),
    ),
    "short_header": (
        Text(
            "表头有 {names} 个列名，数据有 {cells} 列：可能某个单元格内含未加引号的分隔符，为避免错位没有读入",
            "The header has {names} names, the records {cells} cells: a cell may hold the delimiter without quotes;"
            " nothing was read, so that no value lands in the wrong column",
        ),
        Text(
            "请让来源单位给含分隔符的单元格加引号；若确有一列没有列名，在读取方案中用 names 写出全部列名",
            "Ask the source to quote cells that hold the delimiter; if one column really has no name, give all names"
            " in the recipe",
        ),
    ),
    "unreadable": (
        Text("按读取方案无法读取此文件", "The file cannot be read by this recipe"),
        Text("请检查分隔符、引号与编码", "Check delimiter, quotes and encoding"),
    ),
    "recipe_mismatch": (
        Text("读取方案与文件不符：{what}", "The recipe does not fit the file: {what}"),
        Text(
            "若变化属实：修改读取方案（列名改 header_names），或不带读取方案重新读取；否则请来源单位更正后重新交付",
            "If the change is meant: edit the recipe (header_names for names) or read without one; else ask the source"
            " for a corrected file",
        ),
    ),
    "no_table": (
        Text("文件 {name} 中没有找到表格", "No table was found in {name}"),
        Text(
            "请确认文件含有记录列表或非空的工作表", "Make sure it holds a list of records or a sheet that is not empty"
        ),
    ),
    "no_space": (
        Text("磁盘空间不足，没有读入任何内容", "The disk is full; nothing was read"),
        Text(
            "请清理磁盘或把工作目录移到更大的磁盘，然后重试", "Free some space or move the work folder, then try again"
        ),
    ),
    "source_url": (
        Text("数据库地址写法不对", "The address of the database is not well formed"),
        Text(
            "写法：postgresql://账号@主机:端口/库名，密码放在 PGPASSWORD",
            "Write postgresql://account@host:port/name and put the password into PGPASSWORD",
        ),
    ),
    "source_driver": (
        Text("没有安装这种数据库的驱动：{kind}", "There is no driver for this kind of database: {kind}"),
        Text("请使用 PostgreSQL 或 SQLite，或导出为文件", "Use PostgreSQL or SQLite, or export the table to a file"),
    ),
    "source_unreachable": (
        Text("连不上数据库 {where}", "The database {where} cannot be reached"),
        Text(
            "请检查地址、端口、账号与密码，以及网络是否放行",
            "Check address, port, account and password, and the network",
        ),
    ),
    "source_no_table": (
        Text("数据库中没有表或视图 {table}，或账号看不到它", "There is no table or view {table}, or it is not visible"),
        Text("请检查模式（schema）与表名的大小写", "Check the schema, and upper and lower case of the name"),
    ),
    "source_denied": (
        Text("账号无权读取 {table}", "The account may not read {table}"),
        Text("请让数源部门授予只读（SELECT）权限", "Ask the department to grant SELECT"),
    ),
    "source_lost": (
        Text(
            "读取 {table} 途中数据库连接中断，已读部分全部作废",
            "The connection was lost while {table} was read; what had been read is void",
        ),
        Text("请稍后重试", "Try again later"),
    ),
    "source_unreadable": (
        Text("表 {table} 中有无法读取的内容", "The table {table} holds something that cannot be read"),
        Text(
            "请检查字符编码与视图定义，或把表导出为文件",
            "Check the encoding and the view, or export the table to a file",
        ),
    ),
    "too_many_columns": (
        Text("表有 {n} 列，超过上限 {limit} 列", "The table has {n} columns, more than {limit}"),
        Text(
            "请核对分隔符与引号；若确有这么多列，请转为“名称—值”两列的长表",
            "Check delimiter and quotes; if right, turn the columns into rows of name and value",
        ),
    ),
    "line_too_long": (
        Text("有一行长 {size} MB，超过单行上限 {limit} MB", "One line has {size} MB; a line may have {limit} MB"),
        Text("请检查换行符与未闭合的引号，或拆分单元格", "Look for lost line ends and open quotes, or split the cell"),
    ),
    "too_many_cells": (
        Text(
            "工作表“{sheet}”从首格到末格有 {n} 格，超过上限 {limit} 格",
            "The sheet {sheet} spans {n} cells from first to last, more than {limit}",
        ),
        Text("请删除远处的空白区域，或另存为 CSV", "Delete cells far from the table, or save it as CSV"),
    ),
    "too_large": (
        Text(
            "文件 {name} 超过可安全读取的大小（{limit}）",
            "The file {name} is above the size that is safe to read ({limit})",
        ),
        Text("请拆分，或改为 CSV、NDJSON、Parquet", "Split it, or provide CSV, NDJSON or Parquet"),
    ),
    "archive_limits": (
        Text(
            "压缩包超出限制（文件数、总大小或压缩比），可能是压缩炸弹",
            "The archive is above the limits (members, size or ratio) and may be a bomb",
        ),
        Text("请直接提供解压后的文件", "Provide the unpacked files"),
    ),
    "no_work_left": (
        Text("读取方案指定的部分不存在：{what}", "The part that the recipe names is not there: {what}"),
        Text("请检查 member、sheet 或 json_path", "Check member, sheet or json_path"),
    ),
}


def _sides(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values for the Chinese and the English sentence; a `Text` among them gives each its own side."""
    zh, en = ({k: v.of(side) if isinstance(v, Text) else v for k, v in values.items()} for side in ("zh", "en"))
    return zh, en


def finding(code: str, *, column: str | None = None, **values: object) -> ReadFinding:
    """The finding `code` with its places filled."""
    zh, en = _sides(values)
    template = _FINDINGS[code]
    return ReadFinding(code, Text(template.zh.format(**zh), template.en.format(**en)), column)


def refusal(code: str, **values: Any) -> UserError:
    """The error `reading.<code>` with its places filled; the values also go into its detail."""
    zh, en = _sides(values)
    text, fix = _REFUSALS[code]
    detail = {k: v.as_dict() if isinstance(v, Text) else v for k, v in values.items()}
    return UserError(f"reading.{code}", Text(text.zh.format(**zh), text.en.format(**en)), fix=fix, **detail)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = ("No space left on device", "Disk quota exceeded", "File too large")


def no_space(error: BaseException | None) -> bool:
    """Whether a failure, or the one behind it, means that the disk or the quota is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if not isinstance(error, UserError) and any(words in str(error) for words in _FULL_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
