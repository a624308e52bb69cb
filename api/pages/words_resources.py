"""Words of a department's resources."""

from __future__ import annotations

from policies.text import Text

ACCOUNTING: dict[str, Text] = {
    "lines": Text("文件总行数", "lines of the file"),
    "preamble": Text("表头前的标题行", "title lines before the header"),
    "header": Text("表头行", "header lines"),
    "blank": Text("空行", "blank lines"),
    "section": Text("分节行", "section rows"),
    "footer": Text("末尾合计或说明行", "footer rows"),
    "repeated_header": Text("重复表头行", "repeated headers"),
    "continuation": Text("跨行记录的续行", "continuation lines of records"),
    "rows_in": Text("记录数", "records"),
    "rows_loaded": Text("入库行数", "rows loaded"),
    "rows_quarantined": Text("隔离行数", "rows in quarantine"),
}
RECIPE: dict[str, Text] = {
    "format": Text("文件格式", "format"),
    "encoding": Text("文字编码", "encoding"),
    "delimiter": Text("分隔符", "delimiter"),
    "sheet": Text("工作表", "sheet"),
    "member": Text("压缩包内文件", "file in the archive"),
    "header_row": Text("表头所在行", "header row"),
}

WORDS: dict[str, Text] = {
    "resource.title": Text("数据资源", "Resources"),
    "resource.lead": Text(
        "部门登记、交付、确认分级，运营机构发布；数据不合要求时退回并说明原因",
        "Departments register, deliver and confirm grades, the operator publishes; what does not hold goes back",
    ),
    "resource.new": Text("登记资源", "Register a resource"),
    "resource.none": Text("还没有数据资源", "There are no resources yet"),
    "resource.none_next": Text("登记后即可交付数据文件", "Register one, then deliver its file"),
    "resource.none_next_operator": Text("等待数源部门登记和交付", "Departments register and deliver them"),
    "resource.code": Text("登记编号", "Registration code"),
    "resource.name_help": Text("发布后在目录中显示，如“门诊就诊”", "Shown in the catalogue, such as “Clinic visits”"),
    "resource.description": Text("说明", "Description"),
    "resource.description_help": Text(
        "这张表记录什么、范围和口径", "What the table records, its scope and definitions"
    ),
    "resource.cycle_help": Text("如：每日、每月、每年", "Such as daily, monthly, yearly"),
    "resource.person_key": Text("标识个人的列", "Column that names the person"),
    "resource.enterprise_key": Text("标识企业的列", "Column that names the enterprise"),
    "resource.key_help": Text(
        "没有请留空；用于统计人数并保护小样本", "Leave empty if none; used to count entities and protect small groups"
    ),
    "resource.comments": Text("字段含义", "Meaning of the fields"),
    "resource.comments_help": Text("每行一个字段，写作“列名：含义”", "One field a line, as “column: meaning”"),
    "resource.comment_line": Text(
        "第 {line} 行缺少冒号，应写作“列名：含义”", "Line {line} has no colon; write “column: meaning”"
    ),
    "resource.create": Text("登记", "Register"),
    "resource.tab_overview": Text("概况", "Overview"),
    "resource.tab_columns": Text("列与分级", "Columns and grades"),
    "resource.tab_subjects": Text("主体与角色", "Entities and roles"),
    "resource.tab_quality": Text("质量", "Quality"),
    "resource.tab_plan": Text("仿真方案", "Simulation plan"),
    "resource.tab_versions": Text("交付与版本", "Deliveries"),
    "resource.tab_trail": Text("留痕", "Record"),
    "resource.withdraw_title": Text("下架", "Withdraw"),
    "resource.rows_in": Text("本次记录数", "Records delivered"),
    "resource.rows_loaded": Text("本次入库", "Loaded"),
    "resource.rows_quarantined": Text("本次隔离", "In quarantine"),
    "resource.in_catalogue": Text("查看目录条目", "Catalogue entry"),
    "resource.version": Text("当前版本", "Present version"),
    "resource.version_number": Text("第 {number} 版", "version {number}"),
    "resource.twin": Text("仿真数据", "Simulated data"),
    "resource.twin_ready": Text("已发布", "published"),
    "resource.twin_missing": Text("尚未生成", "not made yet"),
    "resource.deliver": Text("交付数据文件", "Deliver a file"),
    "resource.deliver_lead": Text(
        "上传后自动读取、核对行数、检测个人信息并提出分级建议；新版本确认前，已发布的版本照常使用",
        "The file is read, rows accounted for, personal data detected, grades proposed; what is published stays",
    ),
    "resource.file": Text("数据文件", "File"),
    "resource.file_help": Text(
        "支持 CSV、TSV、TXT、XLSX、XLS、JSON、Parquet 和 ZIP，最大 {size} MB；一个文件一张表",
        "CSV, TSV, TXT, XLSX, XLS, JSON, Parquet or ZIP, up to {size} MB; one table a file",
    ),
    "resource.upload": Text("上传并交付", "Upload and deliver"),
    "resource.accounting": Text("行数核对", "Accounting of rows"),
    "resource.accounting_note": Text(
        "每一行都有归属，合计与文件总行数相等", "Every line is under one heading; the sum is the file"
    ),
    "resource.reading": Text("读取方式", "How the file was read"),
    "resource.findings": Text("读取时发现的情况", "What the reader noticed"),
    "resource.no_findings": Text("没有需要留意的情况", "Nothing to note"),
    "resource.no_version": Text("还没有入库的版本", "No version has been taken in yet"),
    "resource.no_version_next": Text("交付数据文件并入库后显示", "Deliver a file; this appears once it is taken in"),
    "resource.in_work": Text(
        "正在读取和检测，通常在几分钟内完成", "Reading and detection are under way, usually minutes"
    ),
    "resource.sent_back": Text("交付被退回", "The delivery was sent back"),
    "resource.column": Text("列", "Column"),
    "resource.role": Text("标识作用", "Identifying role"),
    "resource.entity": Text("识别为", "Recognised as"),
    "resource.missing": Text("缺失", "Missing"),
    "resource.distinct": Text("不同值", "Distinct"),
    "resource.evidence": Text("分级依据", "Grounds"),
    "resource.confirmed": Text("已确认", "confirmed"),
    "resource.not_confirmed": Text("待确认", "to be confirmed"),
    "resource.confirm_lead": Text(
        "请在“列与分级”中核对每一列的级别、依据和影响；沿用的列无需再确认",
        "Check grade, grounds and impact of every column; those carried over need no new confirmation",
    ),
    "version.number": Text("版本", "Version"),
    "version.file": Text("文件", "File"),
    "version.at": Text("入库时间", "Taken in"),
    "version.digest": Text("文件指纹", "File digest"),
}
