"""Words of runs on real data."""

from __future__ import annotations

from policies.text import Text

WORDS: dict[str, Text] = {
    "run.examples": Text("从示例开始：", "Start from an example:"),
    "run.example_declared": Text("声明式作业（机器可证明）", "declared job, provable by machine"),
    "run.example_stepwise": Text("分步作业（SQL、后处理）", "steps in SQL and a post statement"),
    "run.editions_note": Text(
        "分步作业的产品目前不能由机器证明，出域核查不会通过；不含步骤和后处理的声明式作业可以",
        "Products of jobs with steps cannot be proved by machine yet and do not pass an export; declared jobs can",
    ),
    "run.steps": Text("步骤", "Steps"),
    "run.step_sql": Text("SQL 步骤", "SQL step"),
    "run.step_script": Text("脚本步骤（单独隔离）", "script, in a jail of its own"),
    "run.step_cube": Text("产品", "the product"),
    "run.step_post": Text("后处理（只见取整后的产品）", "sees the rounded product only"),
    "run.stopped_here": Text("停在这里", "stopped here"),
    "run.stopped_at": Text("停在步骤", "Stopped at step"),
    "run.beyond": Text("以下部分机器不能证明，出域须走黑盒核查，由人决定", "No machine proves these: people decide"),
    "run.cancel": Text("取消运行", "Cancel the run"),
    "run.cancel_note": Text("取消后不留下任何结果，仍计一次", "Nothing is kept; it counts as a run"),
    "run.near": Text("相近作业", "Near-equal jobs"),
    "run.near_short": Text("24 小时内第 {number} 次", "no. {number} in 24 h"),
    "run.near_number": Text(
        "这是 24 小时内第 {number} 次相近作业，规则期内共 {total} 次",
        "Number {number} of near-equal jobs within 24 h, {total} within the policy's window",
    ),
    "run.near_why": Text(
        "只改常数反复运行可以逐步逼近个别数值，所以相近作业合并计数",
        "The same job with a moving constant closes in on single values, so near-equal jobs are counted together",
    ),
    "run.near_first": Text("没有相近的作业", "No near-equal job"),
    "run.near_same": Text("与上一次完全相同", "Exactly as the one before"),
    "run.near_before": Text("与上一次的差别", "Differs from the one before by"),
    "run.reports": Text("报错原文（仅运营人员）", "The engine's own words (operators only)"),
    "run.reports_note": Text(
        "原文可能引用真实数据。每次查看须写明理由并记入审计，数据商、审计人员能看到有人查看过",
        "It may quote real data. Each look needs a reason and is recorded; merchant and auditor see that it happened",
    ),
    "run.reports_reason": Text("查看理由", "Reason"),
    "run.reports_look": Text("查看并记录", "Look, on record"),
    "run.reports_seconds": Text("{on}，用时 {seconds} 秒", "{on}, {seconds} s"),
    "run.reports_silent": Text("引擎没有报错", "No error"),
}
