"""Words of simulated twins: how they stand, how they are spread, what may be taken of them."""

from __future__ import annotations

from policies.text import Text

WORDS: dict[str, Text] = {
    "twin.title": Text("仿真数据", "Simulated data"),
    "twin.lead": Text(
        "与真实数据同名同列的仿真表：来历、检验结论、历次版本；商户只看通过检验的版本",
        "The simulated table of the same name and columns: origin, verdict, history; merchants see what passed only",
    ),
    "twin.fresh": Text("与已发布数据一致", "imitates what is published"),
    "twin.stale": Text("已过期，待更新", "stale, to be renewed"),
    "twin.stale_note": Text("{code} 仿真数据已过期", "{code} simulated data is stale"),
    "twin.none": Text("尚未生成", "not made yet"),
    "twin.making": Text("正在生成新一版", "a new one is being made"),
    "twin.stale_title": Text("这份仿真数据已过期", "This simulated data is stale"),
    "twin.stale_version": Text("真实数据已更新到新版本", "the real data has a newer version"),
    "twin.stale_grades": Text(
        "字段的分级、含义或关联已经改变", "grades, meanings or references of columns have changed"
    ),
    "twin.stale_parents": Text(
        "关联表换了仿真数据，按键关联会落空", "a related table has other simulated data: joins miss"
    ),
    "twin.stale_unbound": Text("生成时没有记录它依据的版本", "what it was made of was not recorded"),
    "twin.stale_next": Text(
        "结构仍可参考；请等新一版生成后再核对字段和取值",
        "Its structure is still of use; check fields and values again once the next one is there",
    ),
    "twin.earlier": Text("这是较早的第 {number} 版", "This is the earlier number {number}"),
    "twin.to_current": Text("查看最新一版", "See the current one"),
    "twin.number": Text("第 {number} 版", "No. {number}"),
    "twin.imitates": Text("模拟的真实版本", "Imitates version"),
    "twin.imitates_of": Text("第 {version} 版（现行第 {current} 版）", "{version} (published: {current})"),
    "twin.releases": Text("已公开的不同内容", "Differing sets published"),
    "twin.releases_count": Text("{count} 份", "{count}"),
    "twin.releases_note": Text(
        "每多公开一份，累计泄露风险就多一点", "each one tells a little more about the real rows"
    ),
    "twin.releases_many": Text(
        "同一张表已公开 {count} 份不同的仿真数据；非必要请沿用原种子和行数",
        "{count} differing sets of this table are public; keep seed and rows unless there is a need",
    ),
    "twin.made_at": Text("生成时间", "Made at"),
    "twin.made_by": Text("发起", "Asked by"),
    "twin.by_system": Text("系统（随发布）", "the system, on publication"),
    "twin.rows": Text("行数", "Rows"),
    "twin.seed": Text("种子", "Seed"),
    "twin.engine": Text("引擎", "Engine"),
    "twin.outcome": Text("检验结论", "Verdict"),
    "twin.digest": Text("内容摘要", "Content digest"),
    "twin.history": Text("历次版本", "History"),
    "twin.history_none": Text("还没有生成过仿真数据", "No simulated data has been made yet"),
    "twin.history_none_next": Text(
        "资源发布后自动生成；也可以在右侧立即生成", "It is made on publication, or by the form"
    ),
    "twin.not_published": Text("未公开", "not published"),
    "twin.is_current": Text("当前", "current"),
    "twin.look": Text("查看", "Look"),
    "twin.refused": Text("最近一次生成未通过检验，没有公开", "The latest one failed its gates and was not published"),
    "twin.refused_next": Text(
        "当前公开的仍是上一版。请看下面未通过的规则，调整字段方案、种子或引擎后重新生成",
        "What was published before stays. See which rules failed, change plan, seed or engine, and make it again",
    ),
    "twin.gates": Text("检验", "Gates"),
    "twin.gates_passed": Text("{count} 项检验，{passed} 项通过", "{passed} of {count} passed"),
    "twin.gates_show": Text("逐项查看", "Each of them"),
    "twin.gate": Text("规则", "Rule"),
    "twin.measured": Text("实测", "Measured"),
    "twin.threshold": Text("门槛", "Threshold"),
    "twin.candidates": Text("参与比较的引擎", "Engines that competed"),
    "twin.faithful": Text("逼真度", "Fidelity"),
    "twin.failed_rules": Text("未通过的规则", "Rules it failed"),
    "twin.taken": Text("采用", "taken"),
    "twin.make": Text("重新生成", "Make it again"),
    "twin.make_first": Text("立即生成", "Make it now"),
    "twin.make_lead": Text(
        "留空则沿用上一版的设置。换种子或行数会多公开一份不同的内容",
        "What is left empty is as it was for the last one. Another seed or number of rows publishes one more set",
    ),
    "twin.rows_help": Text(
        "默认与真实表同样多，最多 {default} 行；可到 {most} 行", "as the real table, at most {default}; up to {most}"
    ),
    "twin.seed_help": Text("同一种子、同一数据得到同样的内容", "the same seed and data give the same rows"),
    "twin.number_between": Text("请填 {least} 到 {most} 之间的整数", "a whole number from {least} to {most}"),
    "twin.cancel": Text("取消生成", "Cancel"),
    "twin.retry": Text("重试", "Retry"),
    "twin.waiting": Text("等待执行", "waiting"),
    "twin.failed": Text("最近一次生成没有完成", "The latest one did not finish"),
    "twin.all_jobs": Text("全部任务", "all jobs"),
    "twin.feedback": Text("回流共享目录", "Feed back to the sharing catalogue"),
    "twin.feedback_lead": Text(
        "把当前这一版连同目录元数据、清单、校验和与平台签名打成一个包，交政务共享目录；每次都会留痕",
        "The current one with catalogue metadata, manifest, checksums and the platform's signature; on record",
    ),
    "twin.feedback_make": Text("下载回流包", "Download the package"),
    "twin.feedback_stale": Text(
        "已过期的仿真数据不能回流，请先重新生成", "Stale data cannot be fed back; make it again first"
    ),
    "twin.report": Text("查看完整报告", "Open the full report"),
    "twin.in_catalogue": Text("商户看到的页面", "What merchants see"),
    "twin.manage": Text("管理仿真数据", "Manage simulated data"),
    "shape.lead": Text(
        "以下分布只由仿真数据算出，用来看取值范围和形状；与真实分布的接近程度见“仿真说明”",
        "Computed from the simulated rows alone: ranges and shapes. How close they are to the real ones: see About",
    ),
    "shape.missing": Text("缺失", "missing"),
    "shape.distinct": Text("不同取值", "distinct"),
    "shape.smallest": Text("最小", "smallest"),
    "shape.largest": Text("最大", "largest"),
    "shape.mean": Text("平均", "mean"),
    "shape.others": Text("其余取值", "other values"),
    "shape.examples": Text("虚构值示例", "examples of invented values"),
    "shape.described": Text("{name}的分布，共 {count} 段", "distribution of {name} in {count} bins"),
    "shape.none": Text("这一版没有保存分布", "No distributions were kept of this one"),
    "shape.bar": Text("取值", "value"),
    "shape.rows": Text("行数", "rows"),
    "file.format": Text("格式", "Format"),
    "file.name": Text("文件名", "File name"),
    "file.size": Text("大小", "Size"),
    "file.checksum": Text("校验和（SHA-256）", "Checksum (SHA-256)"),
    "file.get": Text("下载", "Download"),
    "file.lead": Text(
        "每个文件都标有“仿真数据”，下载会留痕。证号等长数字请用 Excel 工作簿：用 Excel 直接打开 CSV 会丢失末尾数字",
        "Every file is marked as simulated in name and content; downloads are on record. For long numbers take the "
        "workbook: a spreadsheet program drops their last digits from a CSV",
    ),
    "file.formulas": Text(
        "CSV 中以 = + - @ 开头的文本前加了单引号，防止被当作公式执行；数字不受影响",
        "In CSV, text that starts with = + - @ has an apostrophe in front so that it is no formula; numbers stay",
    ),
    "file.none": Text("这一版没有可下载的文件", "There are no files of this one"),
    "file.none_next": Text("请运营人员重新生成仿真数据", "Ask the operator to make the simulated data again"),
    "file.by_api": Text("用程序下载", "By program"),
}
