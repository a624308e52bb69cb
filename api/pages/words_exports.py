"""Words of exports."""

from __future__ import annotations

from policies.text import Text

DECISIONS: dict[str, Text] = {
    "approve": Text("同意", "approved"),
    "return": Text("退回修改", "returned"),
    "reject": Text("不予出域", "rejected"),
}

WORDS: dict[str, Text] = {
    "export.title": Text("出域", "Export"),
    "export.lead": Text(
        "产品先由机器按规则核查，再由两位合规人员复核；机器阻断的任何人都不能放行，逾期不视为同意",
        "Machine checks first, then two officers; nobody overrides a block, and silence never counts as consent",
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
    "export.step_first": Text("第一人复核", "First review"),
    "export.step_second": Text("第二人复核", "Second review"),
    "export.step_release": Text("放行", "Release"),
    "export.checking": Text("机器核查正在进行，页面会自动更新", "Machine checks are running; this page updates itself"),
    "export.not_checked": Text("提交后由机器核查", "Checked by the machine after submission"),
    "export.file": Text("出域文件", "The file"),
    "export.file_note": Text("{name}，共 {rows} 行，显示前 {shown} 行", "{name}, {rows} rows, first {shown} shown"),
    "export.file_unreadable": Text("文件不能按表格显示", "The file cannot be shown as a table"),
    "export.size": Text("大小", "Size"),
    "export.digest": Text("文件指纹", "File digest"),
    "export.lineage": Text("来源", "Lineage"),
    "export.lineage_input": Text("{table} 第 {version} 版", "{table}, version {version}"),
    "export.spec": Text("作业说明", "Job specification"),
    "export.reviews": Text("复核意见", "Reviews"),
    "export.reviews_hidden": Text(
        "第一位复核人已提交意见，您提交后可以看到", "The first reviewer has decided; you see it after your own decision"
    ),
    "export.reviews_two": Text(
        "须由两位不同的合规人员复核，提交人及其单位的人员不能复核",
        "Two different officers review; neither the author nor the author's organisation may",
    ),
    "export.reviews_count": Text("本轮已有 {count} 位合规人员提交意见", "{count} officers have decided in this round"),
    "export.approve_reason": Text("复核意见", "Your grounds"),
    "export.approve_help": Text("写明您核对了什么，将留痕", "Say what you checked; it stays on record"),
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
