"""Words of deliveries, versions, recipes and grades."""

from __future__ import annotations

from policies.text import Text

DECISIONS: dict[str, Text] = {
    "format": Text("文件格式", "format"),
    "member": Text("压缩包内文件", "file in the archive"),
    "sheet": Text("工作表", "sheet"),
    "json_path": Text("数据所在路径", "path of the records"),
    "encoding": Text("文字编码", "encoding"),
    "delimiter": Text("分隔符", "delimiter"),
    "quote": Text("引号", "quote"),
    "escape": Text("转义符", "escape"),
    "header": Text("有无表头", "header"),
    "header_row": Text("表头所在行", "header row"),
    "skip": Text("首条记录前的行数", "lines before the first record"),
    "missing": Text("缺失值写法", "spellings of missing"),
    "names": Text("列名", "column names"),
}
LINE_ROLES: dict[str, Text] = {
    "preamble": Text("标题行", "title"),
    "header": Text("表头", "header"),
    "record": Text("记录", "record"),
    "aside": Text("分节或说明", "set aside"),
    "quarantined": Text("不合格", "refused"),
    "blank": Text("空行", "blank"),
}
FACTS: dict[str, Text] = {
    "type": Text("类型", "type"),
    "level": Text("级别", "level"),
    "sensitive": Text("敏感", "sensitive"),
    "identifier_role": Text("标识作用", "identifying role"),
    "category": Text("分类", "category"),
}
SENSITIVE: dict[bool, Text] = {True: Text("是", "yes"), False: Text("否", "no")}
RECIPE_HELP: dict[str, Text] = {
    "encoding": Text("如 utf-8、gb18030、big5、utf-16", "Such as utf-8, gb18030, big5, utf-16"),
    "delimiter": Text("如 , ; | ，制表符写作 \\t", "Such as , ; | and \\t for a tab"),
    "quote": Text('通常是 "', 'Usually "'),
    "header_row": Text("从 1 数起的行号", "Line number from 1"),
    "skip": Text("含表头和表头之前的标题行", "Header and title lines included"),
    "missing": Text("每行一种写法", "One spelling a line"),
}
HEADER_CHOICES: dict[str, Text] = {
    "": Text("由系统识别", "detect"),
    "yes": Text("有表头", "has a header"),
    "no": Text("没有表头", "has none"),
}
MODES: dict[str, Text] = {
    "replace": Text("整表替换", "Whole table"),
    "append": Text("追加", "Append"),
    "regrade": Text("重新分级", "Grades looked at again"),
}
MODE_HELP: dict[str, Text] = {
    "replace": Text("文件是完整的一张表，取代原有各行", "The file is the table; it replaces all rows"),
    "append": Text(
        "文件只含新增的行，列名和类型须与已发布版本一致", "Only new rows; columns and types as in the published version"
    ),
}
USES: dict[str, Text] = {
    "rows": Text("可读记录", "rows readable"),
    "pseudonyms": Text("可读记录，直接标识换成假名", "rows with pseudonyms"),
    "jobs": Text("不可见，只能运行作业", "jobs only, no rows"),
    "none": Text("不再提供", "no longer offered"),
}

WORDS: dict[str, Text] = {
    "delivery.number": Text("第 {number} 次交付", "Delivery {number}"),
    "delivery.list": Text("历次交付", "Deliveries"),
    "delivery.none": Text("还没有交付过数据", "Nothing has been delivered yet"),
    "delivery.mode": Text("交付方式", "How"),
    "delivery.mode_unknown": Text("请选择整表替换或追加", "Choose whole table or append"),
    "delivery.who": Text("交付人", "Delivered by"),
    "delivery.when": Text("交付时间", "Delivered"),
    "delivery.bytes": Text("文件大小", "Size"),
    "delivery.attempt": Text("读取次数", "Attempts"),
    "delivery.reason": Text("重新分级的理由", "Why the grades are looked at again"),
    "delivery.job": Text("任务编号", "Job"),
    "delivery.open": Text("查看本次交付", "Open this delivery"),
    "delivery.published_stays": Text(
        "办理期间，已发布的第 {number} 版照常使用", "Meanwhile version {number} stays published and in use"
    ),
    "delivery.asks": Text("读取方式需要确定", "It must be said how to read the file"),
    "delivery.asks_other": Text(
        "正在等待运营人员确定读取方式；也可以直接交付改好的文件",
        "An operator is to say how it is read; a repaired file may also be delivered",
    ),
    "delivery.difference": Text("具体情况", "What differs"),
    "preview.title": Text("文件开头与识别结果", "The head of the file and what was read"),
    "preview.line": Text("行号", "Line"),
    "preview.raw": Text("原始内容", "As delivered"),
    "preview.cells": Text("读出的各列", "As read"),
    "preview.kind": Text("判定为", "Taken as"),
    "preview.masked": Text(
        "内容已遮蔽：数字显示为 0，字母显示为 a，汉字显示为“某”，只保留分隔符和长度",
        "Values are masked: digits as 0, letters as a, characters by a stand-in; signs stay",
    ),
    "preview.shown": Text("正在显示原文，本次查看已留痕", "The text is shown; this look is on record"),
    "preview.show": Text("显示原文（将留痕）", "Show the text (goes on record)"),
    "preview.hide": Text("恢复遮蔽", "Mask again"),
    "recipe.title": Text("改正读取方式", "Correct how it is read"),
    "recipe.lead": Text(
        "留空的项由系统识别。提交后按新的方式重新读取已保存的文件，下次交付也沿用",
        "What is left empty is detected. The stored file is read again this way, and so is the next delivery",
    ),
    "recipe.types": Text("列的类型", "Types of columns"),
    "recipe.types_help": Text(
        "每行一列，写作“列名：类型”；类型为 文本、整数、小数、日期、时间、是否",
        "One column a line, as “column: type”; text, integer, decimal, date, timestamp or boolean",
    ),
    "recipe.type_line": Text("第 {line} 行应写作“列名：类型”", "Line {line} should read “column: type”"),
    "recipe.anew": Text("全部由系统重新识别", "Have everything detected anew"),
    "recipe.rest": Text("其余设置", "Everything else"),
    "recipe.rest_help": Text("读取方案的其余各项，JSON 对象", "The other decisions of the recipe, a JSON object"),
    "recipe.not_json": Text("不是有效的 JSON 对象", "This is not a JSON object"),
    "recipe.submit": Text("按此方式重新读取", "Read it again this way"),
    "version.lineage": Text("来源", "Lineage"),
    "version.rows": Text("总行数", "Rows"),
    "version.lake": Text("数据湖版本", "Lake version"),
    "version.lake_digest": Text("数据指纹", "Data digest"),
    "version.edition": Text("分级规则版本", "Grading edition"),
    "version.recipe": Text("读取方案", "Recipe"),
    "version.compared": Text("与第 {number} 版相比", "Compared with version {number}"),
    "version.same": Text("列、类型和级别都没有变化", "Columns, types and grades are the same"),
    "version.added": Text("新增列", "added"),
    "version.removed": Text("删除列", "removed"),
    "version.changed": Text("变化", "Change"),
    "version.before": Text("原来", "Before"),
    "version.after": Text("现在", "Now"),
    "version.rows_change": Text("总行数 {before} → {after}", "rows {before} → {after}"),
    "quarantine.title": Text("隔离行", "Rows in quarantine"),
    "quarantine.none": Text("没有隔离行", "No row is in quarantine"),
    "quarantine.lead": Text(
        "本次交付有 {count} 行没有入库，逐行列出原因；请数源部门按行号改正后重新交付，其余各行不受影响",
        "{count} rows of this delivery were not loaded, each with its reason. The department corrects them by "
        "their line and delivers again; all other rows are unaffected",
    ),
    "quarantine.place": Text("字节位置", "Byte"),
    "quarantine.reason": Text("原因", "Reason"),
    "quarantine.text": Text("内容", "Text"),
    "quarantine.more": Text("后面的行", "Further rows"),
    "grade.of_version": Text("第 {number} 版", "version {number}"),
    "grade.waiting": Text("第 {number} 版的分级建议", "Grades proposed for version {number}"),
    "grade.published": Text("已发布的第 {number} 版", "The published version {number}"),
    "grade.to_confirm": Text("有 {count} 列的分级需要确认", "{count} columns need their grades confirmed"),
    "grade.others_carried": Text("其余 {count} 列沿用已确认的级别", "The other {count} keep their confirmed levels"),
    "grade.all_carried": Text("各列沿用已确认的级别", "Every column keeps its confirmed level"),
    "grade.carried": Text("沿用", "carried over"),
    "grade.was": Text("原 {level} 级", "was level {level}"),
    "grade.new_column": Text("新增列", "new column"),
    "grade.machine": Text("机器建议：{fact} {value}", "the machine proposed: {fact} {value}"),
    "grade.history": Text("历史", "history"),
    "grade.history_of": Text("“{column}”的分级历史", "Grades of “{column}” over versions"),
    "grade.uplifts": Text("整表规则", "Rules for the whole table"),
    "grade.change": Text("调整分级", "Correct grades"),
    "grade.change_lead": Text(
        "从严和改分类立即生效；降低级别、取消敏感、减弱标识作用须由第二人核定，级别不得低于规则的底线。"
        "不改的项留空；列名中可用 * 代表任意字符，一次调整多列",
        "What is stricter, and a category, takes effect at once; a lower level, no longer sensitive or a weaker role "
        "needs a second person, and levels have a floor. Leave open what stays; * stands for any characters",
    ),
    "grade.keep": Text("不改", "as it is"),
    "grade.fact": Text("事项", "What"),
    "grade.typed": Text("准备调整", "About to be changed"),
    "grade.at_once": Text("立即生效", "at once"),
    "grade.waits": Text("待第二人核定", "waits for a second person"),
    "grade.effect": Text("生效", "Takes effect"),
    "grade.impact_first": Text("确定之前，请先看上方“影响”", "Look at what it does, above, before you decide"),
    "grade.look": Text("查看影响", "See what it does"),
    "grade.nothing": Text("这些列的分级已经如此", "These columns have this grade already"),
    "grade.submit": Text("确定调整", "Change them"),
    "grade.again": Text("重新分级", "Look at the grades again"),
    "grade.again_lead": Text(
        "发生安全事件、主管部门要求或场景变化时，对已发布的数据重新检测和分级；建议级别更高的列立即按较高级别执行",
        "After an incident, by order, or when the use changes: detect and grade the published rows again. Where the "
        "proposal is higher it takes effect at once",
    ),
    "comments.title": Text("来源自带的说明", "Comments of the source"),
    "comments.lead": Text(
        "数据库里写有以下说明，登记后用于目录展示；下次交付或重新分级时，也作为识别和分级的依据",
        "The database says the following. Registered, it is shown in the catalogue, and counts for detection and "
        "grading from the next delivery or regrading on",
    ),
    "comments.table": Text("表的说明（登记为资源说明）", "The table (as the resource's description)"),
    "comments.columns": Text("列的说明", "Columns"),
    "comments.register": Text("登记所选说明", "Register the chosen ones"),
    "impact.title": Text("对在用授权和开发空间的影响", "What it does to grants in effect and open workspaces"),
    "impact.none": Text("没有在用的授权受影响", "No grant in effect is touched"),
    "impact.scenario": Text("应用场景", "Scenario"),
    "impact.space": Text("开发空间", "Workspace"),
    "impact.space_none": Text("尚未开通开发空间", "No workspace is open"),
    "impact.jobs": Text("用到这些列的作业：{names}", "Its jobs on these columns: {names}"),
    "impact.jobs_none": Text("没有作业用到这些列", "None of its jobs uses these columns"),
    "impact.exports": Text("办理中的出域申请：{names}", "Its requests to export, on their way: {names}"),
    "impact.change": Text("分级", "Grade"),
    "impact.direct": Text("值不得进入产品", "values may not stand in a product"),
    "impact.use": Text("可以怎样使用", "What it may do"),
    "impact.gains": Text("放宽", "gains"),
    "impact.loses": Text("收紧", "loses"),
    "lowering.title": Text("降级申请", "Lowerings"),
    "lowering.author": Text("申请人", "Asked by"),
    "lowering.decision": Text("核定意见", "Decision"),
}
