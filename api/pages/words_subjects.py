"""Words of the tab on entities and roles."""

from __future__ import annotations

from policies.text import Text

KINDS: dict[str, Text] = {
    "person": Text("个人", "person"),
    "household": Text("住户", "household"),
    "enterprise": Text("企业", "enterprise"),
    "clinic": Text("医疗机构", "clinic"),
    "school": Text("学校", "school"),
    "card": Text("卡", "card"),
    "vehicle": Text("车辆", "vehicle"),
}


def kind_words(kind: str) -> Text:
    """What people call a kind of entity; one that a department named itself goes by that name."""
    return KINDS.get(kind, Text(kind, kind))


ROLES: dict[str, Text] = {
    "key": Text("主体标识", "key"),
    "quasi": Text("准标识", "quasi-identifier"),
    "sensitive": Text("敏感值", "sensitive"),
    "open": Text("公开值", "open"),
}
ROLE_HELP: dict[str, Text] = {
    "key": Text("能确定主体", "determines the entity"),
    "quasi": Text("与其他列一起可能认出主体", "may tell an entity together with others"),
    "sensitive": Text("证明时会被扰动，看谁影响了结果", "changed by the proof, to see who moves a figure"),
    "open": Text("证明时不改动", "left as it is by the proof"),
}
PERTURBATIONS: dict[str, Text] = {
    "shuffle": Text("打乱并取两端", "shuffled, and set to its ends"),
    "domain": Text("换成同列的其他代码", "exchanged for other codes of the column"),
}

WORDS: dict[str, Text] = {
    "subject.lead": Text(
        "这张表是谁的记录、由哪些列决定，平台在全部行上校验；校验成立后，产品才能从源数据得到证明",
        "Whose records these are and which columns determine it, verified over every row; only then can a product be "
        "proved from them",
    ),
    "subject.title": Text("主体", "Entities"),
    "subject.less": Text("申请放宽保护", "Asked for: less protection"),
    "subject.less_waits": Text("待第二人核定，尚未生效", "waits for a second person; nothing has changed"),
    "subject.kind": Text("主体种类", "Kind of entity"),
    "subject.key": Text("标识列", "Key column"),
    "subject.determined": Text("另由其决定", "Also determined by"),
    "subject.through_said": Text(
        "查 {resource} 的“{key}”，取“{owner}”", "“{key}” of {resource}, which names “{owner}”"
    ),
    "subject.holding": Text("控股集团列", "Column of the holding"),
    "subject.missing": Text("缺标识的行", "Rows without a key"),
    "subject.missing_said": Text("{share}%，上限 {most}%", "{share}%, at most {most}%"),
    "subject.entities": Text("主体数", "Entities"),
    "subject.verified": Text("校验", "Verified"),
    "subject.rows": Text("{rows} 行", "{rows} rows"),
    "subject.holds": Text("成立", "holds"),
    "subject.fails": Text("不成立", "not borne out"),
    "subject.waits": Text("尚未校验，暂不采用", "not verified, so not used"),
    "subject.shared": Text("有 {count} 个标识同时属于“{kind}”", "{count} keys are of “{kind}” as well"),
    "subject.none": Text("没有声明主体", "No entities are declared"),
    "subject.none_next": Text(
        "不属于任何主体的表（如区划代码）无需声明；含有个人或企业记录的表必须声明",
        "Reference data belongs to nobody; a table about people or firms must say whose it is",
    ),
    "subject.failed": Text("声明与数据不符，这个版本不能用于可证明的作业", "The rows do not bear out what is declared"),
    "subject.proposals": Text("系统建议", "Proposals"),
    "subject.proposals_lead": Text(
        "全部行都支持以下声明，由部门确认后生效", "Every row bears these out; they count once the department agrees"
    ),
    "subject.offer_determines": Text(
        "“{column}”的每个取值只对应一个{kind}", "every value of “{column}” has one {kind}"
    ),
    "subject.offer_same_name": Text(
        "资源“{resource}”以同名列“{column}”标识{kind}", "“{resource}” names its {kind} by a column “{column}”"
    ),
    "subject.accept": Text("采纳", "Accept"),
    "subject.accepted": Text("采纳系统建议", "the proposal was accepted"),
    "subject.change": Text("声明主体", "Declare an entity"),
    "subject.kind_help": Text("如 person、enterprise、household，用小写英文", "Such as person, enterprise, household"),
    "subject.determined_help": Text(
        "每行一列，写作“列名：值域”；多张表值域同名，表示取值是同一套",
        "One column a line, as “column: domain”; one domain name in several tables says that their values are the same",
    ),
    "subject.determined_line": Text(
        "第 {line} 行应写作“列名：值域”", "Line {line} should read “column: domain”"
    ),
    "subject.most": Text("缺标识的行上限（%）", "At most so many rows without a key (%)"),
    "subject.most_bad": Text("请填 0 到 100 的数字", "A number from 0 to 100"),
    "subject.elsewhere": Text("主体记在另一张表里", "The entity is known by another table"),
    "subject.other": Text("那张表（资源名称）", "That resource"),
    "subject.other_key": Text("其中与标识列相同的列", "Its column that the key column leads to"),
    "subject.other_owner": Text("其中标识主体的列", "Its column that names the entity"),
    "subject.save": Text("保存并校验", "Save and verify"),
    "subject.remove": Text("不再声明", "Declare no longer"),
    "subject.edit": Text("修改", "Change"),
    "subject.roles": Text("列的角色", "Roles of the columns"),
    "subject.roles_lead": Text(
        "由分级的标识作用得出；部门可写明理由后更正", "They follow from the grades; the department may correct them"
    ),
    "subject.column": Text("列", "Column"),
    "subject.role": Text("角色", "Role"),
    "subject.perturb": Text("证明时", "In the proof"),
    "subject.why": Text("依据", "Grounds"),
    "subject.by_grade": Text("按分级", "by its grade"),
    "subject.as_declared": Text("按声明的主体", "by the entity declared"),
    "subject.corrected": Text("部门更正：{reason}", "corrected: {reason}"),
    "subject.correct": Text("更正一列", "Correct a column"),
    "subject.as_grade": Text("按分级", "As its grade has it"),
}
