"""Why a text cannot be carried, where, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass

from policies.text import Text

_RENAME = Text("请换一个名称", "Choose another name")

# code → what happened, what to do; {subject} is a name or a word of the text
WORDING: dict[str, tuple[Text, Text]] = {
    "unreadable": (
        Text("这段文本不是一条可解析的 SELECT 语句", "The text is not one SELECT that can be read"),
        Text("每个步骤只写一条 SELECT，并检查语法", "Write exactly one SELECT a step and check its syntax"),
    ),
    "too_deep": (
        Text("语句嵌套过深", "The statement is nested too deeply"),
        Text("请拆成几个步骤", "Split it into several steps"),
    ),
    "node": (
        Text("受判定的步骤中不能使用 {subject}", "{subject} cannot be used in a judged step"),
        Text(
            "只使用 SELECT、连接、WHERE、GROUP BY 和普通表达式",
            "Use only SELECT, joins, WHERE, GROUP BY and plain expressions",
        ),
    ),
    "order": (
        Text("受判定的步骤中不能排序或截取（{subject}）", "A judged step can neither sort nor cut rows ({subject})"),
        Text("排序和取前 N 名请写在 post 中", "Sort and take the first N in post"),
    ),
    "set_operation": (
        Text("集合运算只允许 UNION ALL", "UNION ALL is the only set operation"),
        Text("请改用 UNION ALL，或用 EXISTS / NOT EXISTS 表达", "Use UNION ALL, or say it with EXISTS / NOT EXISTS"),
    ),
    "recursive": (
        Text("不能使用递归 CTE", "A recursive CTE cannot be used"),
        Text("请把层级展开成固定的几次连接", "Unroll the levels into a fixed number of joins"),
    ),
    "function": (
        Text("函数 {subject} 不在允许的清单内", "Function {subject} is not on the list"),
        Text(
            "请改用结果只取决于其参数的普通函数，或可判定的汇总函数",
            "Use a function that depends on its arguments alone, or a listed aggregate",
        ),
    ),
    "window_function": (
        Text("函数 {subject} 只能与 OVER 一起使用", "Function {subject} needs OVER"),
        Text("请补上 OVER (PARTITION BY 主体标识 …)", "Add OVER (PARTITION BY the key of the entity …)"),
    ),
    "table_function": (
        Text("不能使用表函数 {subject}", "Table function {subject} cannot be used"),
        Text("只读取已授权的表和前面的步骤", "Read only granted tables and earlier steps"),
    ),
    "name.hidden": (
        Text("名称 {subject} 以两个下划线开头，保留给平台", "{subject} starts with two underscores: ours alone"),
        _RENAME,
    ),
    "name.twice": (
        Text("名称 {subject} 在此处出现两次", "The name {subject} is used twice here"),
        Text("请给表或列起不同的别名", "Give tables and columns different aliases"),
    ),
    "name.unknown": (
        Text("此处没有名为 {subject} 的列", "There is no column {subject} here"),
        Text("请检查拼写；引用步骤的列请写 别名.列名", "Check the spelling, or write alias.column"),
    ),
    "name.ambiguous": (
        Text("列 {subject} 可能来自多张表", "Column {subject} could come from more than one table"),
        Text("请写成 别名.列名", "Write alias.column"),
    ),
    "name.missing": (
        Text("此处的计算列没有名称", "A computed column has no name here"),
        Text("请用 AS 起名", "Name it with AS"),
    ),
    "table.unknown": (
        Text("没有名为 {subject} 的输入或步骤", "No input or earlier step is called {subject}"),
        Text("请使用 inputs 中的别名或前面步骤的名称", "Use an alias of inputs or the name of an earlier step"),
    ),
    "table.qualified": (
        Text("表名不能带库名或模式名：{subject}", "A table cannot be named with a database or schema: {subject}"),
        Text("请只写输入的别名", "Write the alias of the input alone"),
    ),
    "join.kind": (
        Text("不能使用 {subject} 连接", "A {subject} join cannot be used"),
        Text(
            "请用 INNER、LEFT、RIGHT、FULL 或 CROSS 连接；半连接请写 EXISTS",
            "Use INNER, LEFT, RIGHT, FULL or CROSS; write a semi join as EXISTS",
        ),
    ),
    "join.comma": (
        Text("逗号连接之后不能再用外连接", "No outer join may follow a comma in FROM"),
        Text("请把逗号改写为 CROSS JOIN 或 JOIN … ON", "Write CROSS JOIN or JOIN … ON instead of the comma"),
    ),
    "join.outer": (
        Text(
            "外连接保留了不属于主体的行：某个主体离开后会多出空行，无法按记录核对",
            "The outer join keeps rows of nobody: without an entity new empty rows would appear",
        ),
        Text(
            "请把主体数据放在保留的一侧，或改用内连接；缺失的类别可在 post 中补零",
            "Put the entity's table on the kept side, or join inner; add empty categories in post",
        ),
    ),
    "join.full": (
        Text("FULL JOIN 两侧须按主体标识相等连接", "A FULL JOIN must join both sides on the key of the entity"),
        Text("请在 ON 中写两侧主体标识相等", "Write the equality of both keys in ON"),
    ),
    "join.lateral": (
        Text("FROM 中的子查询不能引用外层的列 {subject}", "A sub-query in FROM cannot use the outer column {subject}"),
        Text("请改为普通连接", "Write it as a plain join"),
    ),
    "aggregate.not_determined": (
        Text(
            "这里的汇总跨越多个主体，步骤结果的行不再属于单个主体",
            "This aggregate spans entities: its rows no longer belong to one of them",
        ),
        Text(
            "请按主体标识分组，或写成 reference（参照步骤），或交给产品自身的维度和指标",
            "Group by the key of the entity, or declare it under reference, or as the product's own measure",
        ),
    ),
    "distinct.not_determined": (
        Text("DISTINCT 去重跨越多个主体", "DISTINCT merges rows of different entities"),
        Text(
            "请在结果列中保留主体标识，或删去 DISTINCT",
            "Keep the entity's key among the columns, or drop DISTINCT",
        ),
    ),
    "window.not_determined": (
        Text("窗口函数跨越多个主体", "The window spans several entities"),
        Text(
            "请在 PARTITION BY 中写主体标识；排名、移动平均等请写在 post 中",
            "Put the key of the entity into PARTITION BY; ranks and moving averages belong in post",
        ),
    ),
    "several": (
        Text("这些行同属多个主体，不能再按主体汇总", "These rows belong to several entities: no groups of them"),
        Text("请在产品的维度和指标中汇总", "Aggregate them in the product's dimensions and measures"),
    ),
    "subquery.place": (
        Text("子查询不能写在这个位置（{subject}）", "A sub-query cannot stand here ({subject})"),
        Text("请写在 SELECT、WHERE 或 HAVING 中，或改为连接", "Put it into SELECT, WHERE or HAVING, or join"),
    ),
    "subquery.correlated": (
        Text(
            "子查询读取了其他主体的记录：它与外层没有按主体标识以 AND 相等关联",
            "The sub-query reads other entities: no AND-ed equality ties it to the outer row's entity",
        ),
        Text(
            "请在子查询的 WHERE 中用 AND 加上 主体标识 = 外层主体标识；跨主体的数值请写成 reference（参照步骤）",
            "AND the equality of both keys in its WHERE; make figures over other entities a reference step",
        ),
    ),
    "subquery.records": (
        Text("子查询把其他主体的逐条记录当作常量", "The sub-query uses other entities' records as constants"),
        Text(
            "请按主体标识用 IN 或 EXISTS 关联；跨主体的汇总数值请写成 reference（参照步骤）",
            "Tie it by the key of the entity with IN or EXISTS, or make the figure a reference step",
        ),
    ),
}

# what the carried text says at run time, by `error()`; it never names a value
RUNTIME: dict[str, tuple[Text, Text]] = {
    "mixed_owner": (
        Text("有记录同时属于两个不同的主体，无法确定归属", "Some rows belong to two different entities at once"),
        Text(
            "请按主体标识连接和分组；确需如此的步骤请声明 owners: several",
            "Join and group on the key of the entity; a step that needs it says owners: several",
        ),
    ),
    "missing_key": (
        Text("NOT IN 遇到空的主体标识，结果会取决于其他主体", "NOT IN met a missing key: its result hangs on others"),
        Text("请改写为 NOT EXISTS", "Write it as NOT EXISTS"),
    ),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing in a step's text. `line` and `column` count from 1; 0 where the place is the whole text."""

    code: str
    step: str
    line: int
    column: int
    text: Text
    repair: Text


class Refused(Exception):
    """The text is not carried; `refusals` names every reason found, in the order of the text."""

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        self.refusals = refusals
        super().__init__("; ".join(f"{r.step}:{r.line}:{r.column} {r.code}" for r in refusals))


def refusal(code: str, step: str, place: tuple[int, int] = (0, 0), subject: str = "") -> Refusal:
    """The refusal `code` of WORDING at (line, column)."""
    text, repair = WORDING[code]
    shown = subject if len(subject) <= 60 else subject[:59] + "…"
    return Refusal(code, step, place[0], place[1], text.fill(subject=shown), repair)


def runtime(message: str) -> tuple[Text, Text] | None:
    """What a database error of a carried text means and what to do; None if it is none of ours."""
    return next((words for code, words in RUNTIME.items() if code in message), None)
