"""Words of workspaces and runs."""

from __future__ import annotations

from policies.text import Text

OUTCOMES: dict[str, Text] = {
    "ok": Text("成功", "done"),
    "syntax": Text("语法错误", "syntax error"),
    "binding": Text("名称不存在", "unknown name"),
    "bad_value": Text("值无法转换", "bad value"),
    "constraint": Text("违反约束", "constraint"),
    "out_of_range": Text("超出范围", "out of range"),
    "refused": Text("未执行", "refused"),
    "not_allowed": Text("不允许", "not allowed"),
    "file": Text("文件不可访问", "no such file"),
    "file_size": Text("文件过大", "file too big"),
    "too_big": Text("结果过大", "too big"),
    "time_limit": Text("超过时限", "over the time limit"),
    "memory_limit": Text("超过内存", "over the memory limit"),
    "disk_full": Text("空间已满", "storage is full"),
    "worker_died": Text("进程中止", "the process ended"),
    "protocol": Text("通信中断", "broken off"),
    "cancelled": Text("已取消", "cancelled"),
    "failed": Text("未完成", "failed"),
    "ended": Text("授权已结束", "the grant had ended"),
    "rows_used_up": Text("行数已用完", "rows used up"),
    "schema_differs": Text("列与仿真数据不同", "other columns than on simulated data"),
}
"""What became of a statement or a run (the jail's error classes)."""

WORDS: dict[str, Text] = {
    "workspace.title": Text("开发空间", "Workspaces"),
    "workspace.lead": Text(
        "每份生效的申请一个隔离空间：在仿真数据上开发，在真实数据上运行但看不到结果",
        "One isolated place for each application in effect: develop on simulated data, run on real data unseen",
    ),
    "workspace.none": Text("还没有开发空间", "There are no workspaces"),
    "workspace.none_next": Text("使用申请生效后，在申请页面开通", "Open one on the page of an application in effect"),
    "workspace.to_applications": Text("查看使用申请", "Show applications"),
    "workspace.tab_query": Text("查询仿真数据", "Query simulated data"),
    "workspace.tab_runs": Text("真实数据运行", "Runs on real data"),
    "workspace.tab_history": Text("查询历史", "History"),
    "workspace.tab_about": Text("空间信息", "About"),
    "workspace.sql": Text("查询语句", "Statement"),
    "workspace.run_sql": Text("运行查询", "Run"),
    "workspace.sql_note": Text("只在仿真数据上运行，结果完整可见", "Runs on simulated data only; everything is shown"),
    "workspace.result": Text("查询结果", "Result"),
    "workspace.result_rows": Text("{rows} 行，用时 {time}", "{rows} rows in {time}"),
    "workspace.truncated": Text(
        "结果较多，只显示前 {rows} 行；请加条件或汇总", "Only the first {rows} rows are shown; filter or aggregate"
    ),
    "workspace.no_result": Text("运行查询后在这里显示结果", "The result will appear here"),
    "workspace.no_rows": Text("查询完成，没有返回行", "Done: no rows"),
    "workspace.place": Text("第 {line} 行第 {column} 列", "line {line}, column {column}"),
    "workspace.line": Text("第 {line} 行", "line {line}"),
    "workspace.engine_says": Text("查询引擎的原文", "The engine's own words"),
    "workspace.tree": Text("表和字段", "Tables and columns"),
    "workspace.tree_none": Text("还没有可用的表", "There are no tables yet"),
    "workspace.insert": Text("插入到查询语句", "Insert into the statement"),
    "workspace.history_none": Text("还没有查询记录", "No statement yet"),
    "workspace.history_none_next": Text(
        "在仿真数据上运行过的语句会保存在这里，结果不保存",
        "Statements run on simulated data are kept here, results are not",
    ),
    "workspace.at": Text("时间", "Time"),
    "workspace.outcome": Text("结果", "Outcome"),
    "workspace.rows": Text("行数", "Rows"),
    "workspace.time": Text("用时", "Duration"),
    "workspace.reuse": Text("再次使用", "Use again"),
    "workspace.application": Text("使用申请", "Application"),
    "workspace.tier": Text("开通时的隔离等级", "Isolation when opened"),
    "workspace.closed": Text("空间当前不可用", "This workspace cannot be used now"),
    "workspace.only_merchant": Text("只有数据商可以在空间内查询和运行", "Only the merchant works inside"),
    "run.title": Text("真实数据运行", "Runs on real data"),
    "run.lead": Text(
        "作业先在仿真数据上试运行，再在真实数据上运行；您只能看到状态和分档后的规模，看不到行和报错",
        "A job first runs on simulated data, then on real data; you see state and coarse sizes, never rows or messages",
    ),
    "run.spec": Text("作业说明", "Job specification"),
    "run.spec_help": Text(
        "已按本空间的授权填好示例，改成您需要的维度和指标即可",
        "An example for this workspace's grants is filled in; change dimensions and measures",
    ),
    "run.start": Text("提交运行", "Run on real data"),
    "run.none": Text("还没有运行", "No run yet"),
    "run.none_next": Text("提交作业说明后在这里查看进度", "Submit a specification and follow it here"),
    "run.job": Text("作业", "Job"),
    "run.twin": Text("运行请求", "run"),
    "run.dry": Text("仿真数据试运行", "Dry run on simulated data"),
    "run.dry_columns": Text("输出列", "Output columns"),
    "run.dry_none": Text("尚未试运行", "not run yet"),
    "run.real": Text("真实数据运行结果", "Run on real data"),
    "run.duration": Text("用时（秒，分档）", "Seconds, coarse"),
    "run.row_bucket": Text("行数（分档）", "Rows, coarse"),
    "run.failed_on": Text("停在", "Stopped on"),
    "run.on_simulated": Text("仿真数据", "simulated data"),
    "run.on_real": Text("真实数据", "real data"),
    "run.error": Text("错误类别", "Error class"),
    "run.digest": Text("作业指纹", "Job digest"),
    "run.tier": Text("隔离等级", "Isolation"),
    "run.artefact": Text("产品", "Product"),
    "run.artefact_note": Text(
        "产品保存在平台内，申请出域并放行后才能下载", "The product stays inside until an export is released"
    ),
    "run.file": Text("文件", "File"),
    "run.export": Text("申请出域", "Request export"),
    "run.waiting": Text("正在运行，页面会自动更新", "Running; this page updates itself"),
    "run.inside": Text(
        "结果不会显示在这里：真实数据可用不可见", "The result is not shown here: real data can be used, not seen"
    ),
}
