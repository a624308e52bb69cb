"""What each rule says when it is missed, and the repair that helps: one source for officers and merchants.

The sentences name neither parameter nor value; officers get measured value and threshold from the finding beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

from policies.text import Text


@dataclass(frozen=True, slots=True)
class Wording:
    """What happened, and what helps."""

    text: Text
    repair: Text


def _w(zh: str, en: str, repair_zh: str, repair_en: str) -> Wording:
    return Wording(Text(zh, en), Text(repair_zh, repair_en))


_MERGE = (
    "请合并取值较少的分组，或减少维度，或放宽时间段",
    "Merge small groups, use fewer dimensions, or a longer period",
)
_WAIT = (
    "请使用与以往产品一致的分组，或改用更粗的分组后再申请",
    "Keep the groups of earlier products, or use coarser ones",
)
_SOURCE = (
    "请用作业说明提交，由平台在源数据上重算",
    "Submit a job specification so that the platform recomputes it on the source",
)

WORDINGS: dict[str, Wording] = {
    "grant_and_lineage": _w(
        "申请、协议或授权不覆盖本产品所用的输入",
        "Application, agreement or grant does not cover an input of this product",
        "请核对申请状态、产品形态和所用的表与列；超出部分须另行申请",
        "Check the application, the form and the tables and columns used; apply for what is missing",
    ),
    "level_allowed": _w(
        "输入数据的级别高于该形态产品的上限",
        "An input's level is above what this form of product may use",
        "请改用级别较低的列，或改为汇总形态",
        "Use columns of a lower level, or an aggregate form",
    ),
    "label": _w(
        "真实或仿真的标注与输入不符",
        "The label real or simulated does not fit the inputs",
        "请改正标注",
        "Correct the label",
    ),
    "identifiers_anywhere": _w(
        "发现直接标识符",
        "A direct identifier was found",
        "请去掉该列、表头、文件名或说明中的标识符",
        "Remove the identifier from the column, header, file name or text",
    ),
    "possible_identifiers": _w(
        "发现疑似个人信息，须人工确认",
        "Possible personal data: a person will look",
        "如非必要请去掉该列，或改用编码或分类",
        "Remove the column if it is not needed, or use codes or categories",
    ),
    "join_back": _w(
        "有值可连回源数据中的标识符",
        "A value leads back to an identifier of the source",
        "请去掉标识符及其编码、散列形式",
        "Remove identifiers, also encoded or hashed ones",
    ),
    "split_identifiers": _w(
        "相邻几列拼起来是源数据的标识符",
        "Adjacent columns make an identifier of the source when written together",
        "请去掉其中至少一列；需要分组时请改用较粗的分类",
        "Drop at least one of the columns; use coarser groups where you need groups",
    ),
    "opaque_columns": _w(
        "有无法检查的列（高熵、编码或加密内容）",
        "A column cannot be inspected: high-entropy, encoded or encrypted content",
        "请去掉该列，或改为可读的分类",
        "Remove the column or use readable categories",
    ),
    "free_text": _w(
        "含自由文本，须人工审阅",
        "Free text: a person will read it",
        "请改用分类或编码",
        "Use categories or codes instead",
    ),
    "coordinates": _w(
        "坐标过于精确",
        "Coordinates are too precise",
        "请改用网格或行政区",
        "Use a grid or districts",
    ),
    "cell_threshold": _w("有单元格依据的主体过少", "A cell rests on too few entities", *_MERGE),
    "cell_threshold/trials": _w(
        "试验未做完，尚不能确定单元格依据的主体是否足够，须人工判断",
        "The trials ended early: nobody knows yet whether enough entities are behind every cell, so a person decides",
        "请减少作业的计算量后重试",
        "Let the job do less and try again",
    ),
    "dominance": _w("有单元格由极少数主体主导", "A few entities make up most of a cell", *_MERGE),
    "p_percent": _w("可由合计推算出最大的主体", "The largest entity can be worked out from a total", *_MERGE),
    "zero_cells": _w(
        "存在空白组合，须判断是否为结构性空白",
        "Some combinations are empty: a person decides whether that is structural",
        *_MERGE,
    ),
    "residual_freedom": _w(
        "标准差或模型参数依据的主体不够多于其参数",
        "A spread or a model rests on hardly more entities than it has values",
        "请合并分组，或减少模型的参数",
        "Merge groups, or fit fewer parameters",
    ),
    "record_level": _w(
        "逐条数据不得面向该受众",
        "Records may not go to this audience",
        "请改为汇总产品，或缩小受众",
        "Aggregate, or choose a narrower audience",
    ),
    "equivalence_classes": _w(
        "准标识符相同的人太少，可能被认出",
        "Too few people share their quasi-identifiers: one could be recognised",
        "请合并取值（如年龄改为区间、街道改为区），或去掉部分准标识符列；重复同一人的行不会增加人数",
        "Merge values (bands of age, districts for streets) or drop columns; repeating a person's rows adds nobody",
    ),
    "equivalence_classes/roles": _w(
        "有的列未定角色，须人工判断是否为准标识符",
        "Nobody has graded a column: a person decides whether people can be recognised by it",
        "请沿用源数据的列名，或去掉该列",
        "Keep the source's name of the column, or drop it",
    ),
    "overall_risk": _w(
        "总体重标识风险过高",
        "The overall risk of re-identification is too high",
        "请进一步合并取值，或缩小受众",
        "Merge more values, or choose a narrower audience",
    ),
    "sensitive_diversity": _w(
        "同一类人的敏感属性过于一致",
        "People alike share (nearly) one sensitive value",
        "请合并类别，或去掉该敏感列",
        "Merge classes, or drop the sensitive column",
    ),
    "sensitive_closeness": _w(
        "某一类人的敏感属性分布与整体相差过大",
        "A class differs too much from the whole in a sensitive column",
        "请合并类别，或把敏感列改为较粗的分类",
        "Merge classes, or use coarser values of the sensitive column",
    ),
    "firm_fields": _w(
        "指名企业旁有未公开信息，须人工核对授权",
        "What is not public stands beside a firm's name: a person checks the authorisation",
        "请改为行业、区域汇总，或附企业授权",
        "Aggregate by sector or area, or attach the firm's authorisation",
    ),
    "charts": _w(
        "图表或报告中的数不符合汇总产品的要求",
        "A chart or report shows numbers that an aggregate may not show",
        "请合并取值较少的分组，计数按平台规则取整，不显示极值",
        "Merge small groups, round counts by the platform's rule, and show no extremes",
    ),
    "charts/data": _w(
        "图表没有附数据表",
        "The chart comes without its table",
        "请把绘图用的数据表写入图片（PNG 文本块 data），或与图片同名另附一份",
        "Put the table into the picture (PNG text `data`), or beside it under the same name",
    ),
    "charts/points": _w(
        "图表数据中没有计数，看不出一个点代表多少人，须人工判断",
        "The chart's table holds no count: how many are behind a point is for a person to decide",
        "请改画分组后的计数，或在数据表中加上各点的人数",
        "Draw counts of groups, or add the number of people to each point's row",
    ),
    "models": _w(
        "模型的参数相对其依据的主体过多",
        "The model has too many values for the entities it rests on",
        "请减少变量或树的数量",
        "Use fewer variables or fewer trees",
    ),
    "models/rows": _w(
        "此类模型保存着训练样本",
        "This kind of model keeps rows of the data it was fitted to",
        "请改用不保存样本的模型",
        "Use a model that keeps none",
    ),
    "models/leaf": _w(
        "树的叶子依据的主体过少",
        "A leaf of a tree rests on too few entities",
        "请提高叶子的最小样本数，或限制树的深度，并在每片叶子注明样本数",
        "Raise the smallest leaf or limit the depth, and state the samples of every leaf",
    ),
    "models/entities": _w(
        "不知道模型依据多少主体，须人工判断",
        "How many entities the model rests on is not known: a person decides",
        "请用作业说明提交，由平台核对源数据",
        "Submit it with its job, so that the platform looks at the source",
    ),
    "group_disclosure": _w("整组几乎都落在同一格", "Nearly a whole group falls into one cell", *_MERGE),
    "extremes": _w(
        "最小值、最大值或分位数依据的主体过少",
        "A minimum, maximum or quantile rests on too few entities",
        "请改用均值或分组区间，或合并分组",
        "Use means or bands, or merge groups",
    ),
    "differencing": _w(
        "与已放行产品相减可得到极少数主体", "Differs from a released product by a few entities only", *_WAIT
    ),
    "linear_closure": _w(
        "与历次放行组合后可能得到极少数主体",
        "Together with earlier releases it may isolate a few entities",
        *_WAIT,
    ),
    "differencing/dominance": _w(
        "与已放行金额相减，差额可能几乎全部属于一两个主体",
        "The difference from a released amount may belong to one or two entities nearly alone", *_WAIT,
    ),
    "differencing/elsewhere": _w(
        "与其他数据商已获放行的产品相减可得到极少数主体",
        "Differs by a few entities only from a product that another merchant received", *_WAIT,
    ),
    "differencing/pending": _w(
        "与正在复核的产品相减可得到极少数主体",
        "Differs by a few entities only from a product that is under review", *_WAIT,
    ),
    "differencing/together": _w(
        "与同组的另一个文件相减可得到极少数主体",
        "Differs by a few entities only from another file of the group",
        "请统一各文件的分组口径，或只申请其中一个", "Give the files the same groups, or ask for one of them only",
    ),
    "differencing/records": _w(
        "作业先把同一主体的多条记录合在一起，平台不能逐条与以往产品比较，须人工核对两者是否只差少数几条记录",
        "The job puts an entity's records together first, so that they cannot be compared one by one with earlier "
        "products: a person looks whether a few records are all that differs",
        "请直接按记录汇总，不要先按主体合并；或沿用以往产品的筛选条件",
        "Aggregate the records themselves instead of putting an entity's together first, or keep the filters of "
        "earlier products",
    ),
    "differencing/unread": _w(
        "以往产品涉及的记录太多，平台不能逐条比较，须人工核对本产品与以往产品是否只差少数几条记录",
        "Earlier products rest on too many records to be compared one by one: a person looks whether a few records are "
        "all that differs",
        "请沿用以往产品的筛选条件", "Keep the filters of earlier products",
    ),
    "differencing/lost": _w(
        "同一来源以前放行过产品，但该类主体查不到历史",
        "Products of the same tables were released before, but this kind of entity has no history",
        "请联系运营人员核对主体类别", "Ask the operator to check the kind of entity",
    ),
    "linear_closure/open": _w(
        "有组合未能证明是否安全", "Some combinations could not be shown to be safe", *_WAIT
    ),
    "suppression_audit": _w(
        "隐去的值可能被推出",
        "Hidden values may be worked out",
        "请合并分组，不要自行隐去单元格",
        "Merge groups instead of hiding cells",
    ),
    "suppression_audit/negative": _w(
        "比值的分子或分母可能为负，隐去的值能被推算到多窄无法由程序确定",
        "A ratio has amounts that may be negative: no program bounds what can be worked out about its hidden values",
        "请将正负金额分成两个度量，或改用计数、求和",
        "Make amounts above and below zero two measures, or use counts and sums",
    ),
    "rounding": _w(
        "文件与平台重算并取整的结果不一致",
        "The file differs from what the platform recomputed and rounded",
        "计数请按平台规则取整，其余按声明的小数位；最终文件由平台生成",
        "Round counts and keep declared decimals; the platform writes the final file",
    ),
    "evidence_proofs": _w(
        "平台未能证明每个数值的来源",
        "The platform could not prove what every value rests on",
        "请简化作业后重试；平台已记录此事",
        "Simplify the job and try again; the platform has recorded this",
    ),
    "evidence_proofs/mismatch": _w(
        "重算或删去一半主体后的结果与证据不一致，已作为事件上报",
        "Recomputing, or deleting half of the entities, did not give what the evidence predicts; filed as an incident",
        "请把有疑问的步骤改写为逐行或按主体的语句；平台会查明原因",
        "Rewrite the steps as row-wise or per-entity statements; the platform will look into the cause",
    ),
    "evidence_proofs/budget": _w(
        "证明用时超出预算，须人工判断",
        "The proof ran out of its budget: a person decides",
        "请减少分组或缩小范围后重试",
        "Use fewer groups or a smaller range and try again",
    ),
    "evidence_proofs/unsteady": _w(
        "同一数据上两次运行的结果不同，无法说明数值依据了谁",
        "Two runs on the same data differ: nothing can be said about who is behind the values",
        "请去掉随机数、当前时间和不确定的排序，或固定随机种子",
        "Remove random numbers, the clock and ties in sorting, or fix the seed",
    ),
    "evidence_proofs/trials_failed": _w(
        "移除或改动部分主体后作业不能完成，试验不足以说明数值依据了谁",
        "With some entities left out or changed the job does not finish: the trials cannot tell who is behind it",
        "请让脚本容许缺少记录和不同的取值，不要依赖特定的数据",
        "Let the script work with fewer records and other values; it must not hang on this very data",
    ),
    "evidence_proofs/trials_budget": _w(
        "分桶试验用时超出预算，未做完，须人工判断",
        "The trials ran out of their budget before all were made: a person decides",
        "请减少作业的计算量后重试",
        "Let the job do less and try again",
    ),
    "evidence_proofs/several": _w(
        "有步骤的记录同时属于多个主体，须人工判断",
        "A step's rows belong to several entities at once: a person decides",
        "如非必要，请去掉 owners: several，按同一主体连接各表",
        "If you can, drop `owners: several` and join the tables on one entity",
    ),
    "evidence_proofs/untouched": _w(
        "申请所列的某类主体没有进入任何单元格，须人工判断",
        "A kind of entity named for the inputs is reached by no cell: a person decides",
        "请去掉用不到的输入，或核对连接条件",
        "Remove inputs that are not used, or check the join",
    ),
    "evidence_proofs/perturbation": _w(
        "有取值无法做扰动试验，须人工判断",
        "Some values could not be perturbed: a person decides",
        "请避免用主键或只有一种取值的列作度量",
        "Do not measure keys, or columns with a single value",
    ),
    "perturbation": _w(
        "有单元格的数值实际上只取决于极少数主体",
        "A cell's value really depends on a few entities only",
        "请去掉挑选个别主体的条件和常数替换，或合并分组",
        "Remove conditions and constants that single entities out, or merge groups",
    ),
    "suspect_expressions": _w(
        "表达式涉及主键或准标识符，须人工审阅",
        "An expression mentions a key or a quasi-identifier: a person reads it",
        "如非必要，请在条件和度量中去掉这些列的比较与计算",
        "If you can, keep these columns out of comparisons and calculations",
    ),
    "no_evidence": _w("无法对应到源数据，转人工", "Not matched to the source: goes to a person", *_SOURCE),
    "no_evidence/script": _w(
        "含脚本或无法推导归属的语句，证据只有分桶试验，转人工",
        "A script, or SQL that owners cannot be carried through: only buckets were tried, so it goes to a person",
        "可行时请改写为平台可推导的 SQL 步骤",
        "Where possible, write SQL steps that the platform can carry owners through",
    ),
    "raw_rows": _w(
        "含与源数据相同的行",
        "Contains a row equal to one of the source",
        "请改为汇总，不输出逐条记录",
        "Aggregate instead of listing records",
    ),
    "row_per_entity": _w("行数与主体数相近，疑似逐条数据", "About one row per entity: looks like records", *_MERGE),
    "file_types": _w(
        "文件类型、名称或内容不符合要求",
        "The file's type, name or content is not accepted",
        "请提交内容与后缀一致、可完整读取的表格文件",
        "Submit a table file whose content fits its suffix and reads to the end",
    ),
    "archives": _w(
        "压缩包无法完整检查",
        "The archive cannot be searched completely",
        "请直接提交未压缩的文件",
        "Submit the files unpacked",
    ),
    "hidden_content": _w(
        "文件中有隐藏、嵌入或会自动运行的内容",
        "Something in the file is hidden, embedded or runs by itself",
        "请去掉批注、隐藏的表和行列、附件、脚本、外部链接和嵌入对象，另存后再提交",
        "Remove comments, hidden sheets, rows and columns, attachments, scripts, links and embedded objects",
    ),
    "formula_cells": _w(
        "含会被表格软件执行的单元格",
        "A cell would run as a formula in a spreadsheet",
        "请去掉单元格开头的 = + - @ 等符号",
        "Remove leading = + - @ from cells",
    ),
    "volume": _w(
        "数量超过或接近上限",
        "Volume is over or near its cap",
        "请进一步汇总，或分期申请",
        "Aggregate further, or spread the requests",
    ),
    "volume/together": _w(
        "同组文件合计数量超过上限", "The files of the group together are over the cap",
        "请进一步汇总，或减少同组文件", "Aggregate further, or ask for fewer files",
    ),
}

CANNOT_RUN = _w(
    "此项检查未能完成，按规定不予通过",
    "This check could not be completed, so it does not pass",
    "平台将处理；请勿修改后重复提交",
    "The platform will look into it; no change of yours is needed",
)
"""Said for any rule that raised, whatever the reason: the reason is in the run's measured value."""

NOT_ASSESSED = _w(
    "只凭文件无法核对此项，须由人判断", "A file alone does not show this: a person has to judge", *_SOURCE
)
"""Said for any rule that needs the source or the history and was asked about a file alone: nothing was found."""


def wording_of(check: str, about: str = "") -> Wording:
    """The words of a check; `about` names a case of it that has words of its own."""
    return WORDINGS[f"{check}/{about}" if about else check]
