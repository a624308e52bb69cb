"""Words of exports."""

from __future__ import annotations

from policies.text import Text

WORDS: dict[str, Text] = {
    "export.title": Text("出域", "Export"),
    "export.lead": Text(
        "产品先由机器按规则核查，再由合规人员复核，风险较高的由两人互不知情分别复核；机器阻断的任何人都不能放行，逾期不视为同意",
        "Machine checks first, then officers, two of them blind where more is at stake; nobody overrides a block"
        ", and silence is never consent",
    ),
    "export.new": Text("申请出域", "Request export"),
    "export.none": Text("还没有出域申请", "There are no export requests"),
    "export.none_next": Text(
        "在开发空间运行作业得到产品后，从运行页面申请出域",
        "Run a job in a workspace, then request export on the run's page",
    ),
    "export.none_next_other": Text("数据商提交后显示在这里", "They appear once merchants submit"),
    "export.artefact": Text("产品", "Product"),
    "export.artefact_help": Text("本单位已完成运行的产品", "Products of your finished runs"),
    "export.no_artefact": Text("还没有可以申请出域的产品", "There is no product to request export for"),
    "export.no_artefact_next": Text("先在开发空间的真实数据上运行作业", "Run a job on real data in a workspace first"),
    "export.name": Text("标题", "Title"),
    "export.name_help": Text("随产品一起出域，不得含个人信息", "Leaves with the product; no personal data"),
    "export.remark": Text("说明", "Remark"),
    "export.remark_help": Text("口径、范围、用途；同样随产品出域", "Definitions, scope, use; leaves too"),
    "export.audience": Text("使用范围", "Audience"),
    "export.audience_note": Text("按已批准的使用申请", "as approved in the application"),
    "export.save": Text("保存草稿", "Save the draft"),
    "export.twin": Text("出域申请草稿", "draft request"),
    "export.round": Text("轮次", "Round"),
    "export.steps": Text("出域进度", "Progress"),
    "export.step_draft": Text("起草", "Draft"),
    "export.step_check": Text("机器核查", "Machine checks"),
    "export.step_review": Text("人工复核", "Review"),
    "export.step_release": Text("放行", "Release"),
    "export.checking": Text("机器核查正在进行，页面会自动更新", "Machine checks are running; this page updates itself"),
    "export.not_checked": Text("提交后由机器核查", "Checked by the machine after submission"),
    "export.file": Text("出域文件", "The file"),
    "export.file_note": Text("{name}，共 {rows} 行，显示前 {shown} 行", "{name}, {rows} rows, first {shown} shown"),
    "export.file_unchecked": Text("检查完成后才能查看文件内容", "What the file holds is shown once it was checked"),
    "export.file_nothing": Text("文件里没有可以显示的内容", "Nothing in the file can be shown"),
    "export.hidden_table": Text("打开文件的人看不到这张表", "Whoever opens the file does not see this table"),
    "export.model_table": Text("平台读出的模型内容", "What the platform reads of the model"),
    "export.texts": Text("文字", "Texts"),
    "export.pictures": Text("图片", "Pictures"),
    "export.parts": Text("内含文件", "Files inside"),
    "export.covered_text": Text(
        "{texts} 段文字共 {count} 个字符，查看未遮盖内容后显示", "{texts} texts, {count} characters, shown after a look"
    ),
    "export.covered_picture": Text(
        "{width} × {height} 像素，查看未遮盖内容后显示", "{width} × {height} pixels, shown after a look"
    ),
    "export.more_text": Text("共 {count} 个字符，只显示开头", "{count} characters, the beginning is shown"),
    "export.left_out": Text(
        "另有 {tables} 张表、{texts} 段文字未显示", "{tables} more tables and {texts} texts not shown"
    ),
    "export.size": Text("大小", "Size"),
    "export.digest": Text("文件指纹", "File digest"),
    "evidence.title": Text("证据与证明", "Evidence and proofs"),
    "evidence.of": Text("证据：{place}", "Evidence: {place}"),
    "evidence.lead": Text(
        "平台在源数据上推导每个数值依据了哪些主体，并用三种试验验证：重算、随机删去一半主体、改动取值",
        "The platform derives from the source whose records each number rests on, and tries it three ways: "
        "recomputing, deleting random halves of the entities, changing values",
    ),
    "evidence.reference_lead": Text(
        "参照步骤的结果作为常数使用，按对外发布的标准核查",
        "A reference step: its result is used as a constant and judged as if it were released",
    ),
    "evidence.proofs": Text("证明", "Proofs"),
    "evidence.kind": Text("主体", "Entity"),
    "evidence.p1": Text("重算一致", "Recomputed"),
    "evidence.p2": Text("删半符合预测", "Halves as predicted"),
    "evidence.p3": Text("扰动试验", "Perturbed"),
    "evidence.tried": Text("{count} 种", "{count} tried"),
    "evidence.not_tried": Text("未能试验：{names}", "not tried: {names}"),
    "evidence.several": Text("一行属于多个主体", "several owners a row"),
    "evidence.untouched": Text("未进入任何单元格", "reached by no cell"),
    "evidence.least": Text("最少主体数", "Fewest entities"),
    "evidence.least_moved": Text("最少有影响的主体", "Fewest that matter"),
    "evidence.share": Text("最大一家占比", "Largest share"),
    "evidence.nobody": Text("缺主体的行", "Rows without owner"),
    "evidence.over_budget": Text("因超出预算未完成：{names}", "Not finished, the budget was spent: {names}"),
    "evidence.hidden": Text("平台隐去了 {count} 个单元格", "The platform hides {count} cells"),
    "evidence.cells_of": Text(
        "“{kind}”依据最弱的 {shown} 格（共 {cells} 格）", "The weakest {shown} of {cells} cells, by {kind}"
    ),
    "evidence.worst": Text("依据最弱的在前", "Weakest first"),
    "evidence.cell": Text("单元格", "Cell"),
    "evidence.cells": Text("单元格数", "Cells"),
    "evidence.row": Text("第 {row} 行", "row {row}"),
    "evidence.missing": Text("（缺失或合计）", "(missing or total)"),
    "evidence.measure": Text("度量", "Measure"),
    "evidence.part_numerator": Text("分子", "numerator"),
    "evidence.part_denominator": Text("分母", "denominator"),
    "evidence.n": Text("主体数", "Entities"),
    "evidence.non_zero": Text("非零主体", "Not zero"),
    "evidence.moved": Text("有影响的主体", "That matter"),
    "evidence.change": Text("最大变动占比", "Largest change"),
    "evidence.suspects": Text("需要人看的表达式", "Expressions to read"),
    "evidence.suspects_lead": Text(
        "下列表达式涉及主键或准标识符，请判断是否在挑选个别主体",
        "They mention a key or a quasi-identifier: do they single anybody out?",
    ),
    "evidence.suspect": Text("步骤 {step}，涉及 {columns}", "step {step}, about {columns}"),
    "evidence.incident": Text(
        "证明与结果不一致，已列为事件，请运营人员查明", "A proof contradicted the evidence: an incident to look into"
    ),
    "evidence.refused": Text("步骤 {step} 第 {line} 行第 {column} 列", "Step {step}, line {line}, column {column}"),
    "evidence.black_box": Text("分桶试验", "Trials by buckets"),
    "evidence.black_box_lead": Text(
        "作业含脚本或平台无法推导归属的语句，只能逐桶移除和改动主体看结果怎样变。"
        "能改变单元格的桶数是其所依据主体数的下限。结论供人判断，机器不会据此放行",
        "A script, or SQL that owners cannot be carried through: buckets of entities were left out and changed one by "
        "one. How many move a cell is the least number of entities behind it. This supports a person, and never passes",
    ),
    "evidence.buckets": Text("已试 / 共有桶数", "Buckets tried / in all"),
    "evidence.removed": Text("移除：最少几桶有影响", "Left out: fewest that matter"),
    "evidence.perturbed": Text("改动：最少几桶有影响", "Changed: fewest that matter"),
    "evidence.unsteady": Text("同一数据两次运行结果不同", "two runs on the same data differ"),
    "evidence.trials_budget": Text("预算用尽，未试完", "the budget ended before all were tried"),
    "evidence.trials_failed": Text("{count} 次试验未完成", "{count} runs did not finish"),
    "evidence.largest": Text("单桶最大变化", "Largest change by a bucket"),
    "export.lineage": Text("来源", "Lineage"),
    "export.lineage_input": Text("{table} 第 {version} 版", "{table}, version {version}"),
    "export.spec": Text("作业说明", "Job specification"),
    "export.revise": Text("修改后重新提交", "Revise and submit again"),
    "export.revise_lead": Text(
        "可以换一个产品，或修改标题和说明；修改后回到草稿",
        "Choose another product or change title and remark; it becomes a draft again",
    ),
    "export.revise_do": Text("保存修改", "Save the changes"),
    "export.release": Text("放行结果", "Release"),
    "export.released_at": Text("放行时间", "Released"),
    "export.expires_at": Text("有效期至", "Valid until"),
    "export.downloads": Text("下载次数", "Downloads"),
    "export.download": Text("下载放行包", "Download the package"),
    "export.download_used": Text("下载次数已用完", "The download limit is reached"),
    "export.package": Text("放行包指纹", "Package digest"),
    "export.download_note": Text(
        "放行包附有签名清单，可离线验证；每次下载都会留痕",
        "The package carries a signed manifest and can be verified offline; each download is recorded",
    ),
    "export.returned": Text("申请被退回，请按意见修改", "Returned: change it as asked"),
    "export.recalled": Text("已召回，不能再下载", "Recalled: no more downloads"),
    "export.recall_lead": Text(
        "召回后停止下载；已放出的数字仍计入差分核查",
        "Downloads stop; the released numbers stay in the differencing ledger",
    ),
    "export.application": Text("使用申请", "Application"),
}
