"""Declared rules in words: what a rule wants, and what a department can do about rows that fail it."""

from __future__ import annotations

from typing import Any

from policies.text import Text

_WANTED: dict[str, Text] = {
    "regex": Text("“{column}”应符合格式 {pattern}", "“{column}” matches {pattern}"),
    "code_list": Text("“{column}”应取自代码表（{count} 个值）", "“{column}” is one of {count} codes"),
    "unique_key": Text("“{columns}”齐全且不重复", "“{columns}” is complete and never repeated"),
    "reference": Text("“{columns}”应在“{to_table}”中存在", "“{columns}” is found in “{to_table}”"),
    "date_order": Text("日期先后：{order}", "dates in order: {order}"),
    "required": Text("“{columns}”必须填写", "“{columns}” is filled in"),
    "expected_rows": Text("应有 {rows} 条记录", "{rows} records are expected"),
    "column_type": Text("“{column}”的类型应为 {type}", "“{column}” is of type {type}"),
    "fresh_within": Text("“{column}”最新日期距今不超过 {days} 天", "newest “{column}” at most {days} days old"),
    "period": Text("“{column}”应在 {start} 至 {end} 之间", "“{column}” lies between {start} and {end}"),
    "dictionary": Text("列与数据字典一致（{count} 列）", "columns agree with the dictionary ({count} columns)"),
    "condition": Text("“{column}”为指定值时，“{then_column}”应填写且合规", "“{then_column}” follows from “{column}”"),
    "masked": Text("“{column}”至少遮盖 {hidden} 个字符", "at least {hidden} characters of “{column}” are masked"),
    "truth": Text("“{column}”应与权威表“{to_table}”相同", "“{column}” agrees with the authority “{to_table}”"),
    "encoded": Text("“{column}”应与“{id_column}”所含信息相同", "“{column}” agrees with what “{id_column}” encodes"),
    "same_data": Text("“{column}”应与“{to_table}”中的相同", "“{column}” is the same in “{to_table}”"),
    "total": Text("“{column}”应等于 {sum}", "“{column}” is {sum}"),
    "update_cycle": Text("每 {days} 天内更新一次", "updated every {days} days"),
}
_SCHEMES: dict[str, Text] = {
    "resident_id": Text("公民身份号码", "resident ID"),
    "uscc": Text("统一社会信用代码", "unified social credit code"),
    "org_code": Text("组织机构代码", "organisation code"),
    "luhn": Text("卡号", "number with a Luhn digit"),
    "vin": Text("车辆识别代号", "vehicle identification number"),
}
_ADVICE: dict[str, Text] = {
    "regex": Text("按格式改正所列各行", "Correct the listed rows to the format"),
    "code_list": Text("改为代码表中的值；代码表有变请更新登记", "Use a code of the list, or register the new list"),
    "unique_key": Text("删去重复记录，补齐为空的键", "Remove repeated records, fill in empty keys"),
    "reference": Text("核对编码，或先交付被引用的表", "Check the codes, or deliver the table referred to first"),
    "date_order": Text("核对日期录入的先后", "Check which of the dates is wrong"),
    "check_digit": Text("对照原始证件改正编码", "Correct the number from the original document"),
    "required": Text("补填为空的值", "Fill in what is empty"),
    "expected_rows": Text("核对导出范围，补交缺少的记录", "Check the export's scope, deliver what is missing"),
    "column_type": Text("改正类型或长度不符的值", "Correct values of another type or length"),
    "range": Text("核对超出范围的值", "Check the values outside the range"),
    "fresh_within": Text("导出最新数据后重新交付", "Export current data and deliver again"),
    "period": Text("删去或改正时段以外的记录", "Remove or correct records outside the period"),
    "dictionary": Text("补充登记的字段含义，或改正列名", "Describe the columns, or correct their names"),
    "condition": Text("按业务规则补填或改正", "Fill in or correct by the business rule"),
    "masked": Text("在导出前脱敏", "Mask before exporting"),
    "truth": Text("以权威表为准改正", "Correct by the authoritative table"),
    "encoded": Text("核对身份证号与该列", "Check the ID and this column"),
    "same_data": Text("查明哪一处为准，改正另一处", "Find which place is right, correct the other"),
    "total": Text("核对合计与各分项", "Check the total and its parts"),
    "update_cycle": Text("按承诺周期交付", "Deliver within the promised cycle"),
}


def advice(rule: Any) -> Text:
    """What the department can do about rows that fail."""
    return _ADVICE[rule.kind]


def wanted(rule: Any) -> Text:
    """What the rule wants, in words."""
    if rule.kind == "range":
        return _range(rule)
    if rule.kind == "check_digit":
        said = _SCHEMES[rule.scheme]
        return Text(
            f"“{rule.column}”应是有效的{said.zh}（校验位正确）", f"“{rule.column}” is a valid {said.en} (check digit)"
        )
    values = {name: getattr(rule, name) for name in type(rule).model_fields}
    columns = tuple(values.get("columns", ()))
    values["count"] = len(values.get("values", columns))
    values["columns"] = "、".join(columns)
    values["order"], values["sum"] = " ≤ ".join(columns), " + ".join(values.get("parts", ()))
    return _WANTED[rule.kind].fill(**values)


def _range(rule: Any) -> Text:
    if rule.min is None:
        return Text(f"“{rule.column}”不大于 {_number(rule.max)}", f"“{rule.column}” is at most {_number(rule.max)}")
    if rule.max is None:
        return Text(f"“{rule.column}”不小于 {_number(rule.min)}", f"“{rule.column}” is at least {_number(rule.min)}")
    low, high = _number(rule.min), _number(rule.max)
    return Text(f"“{rule.column}”应在 {low} 至 {high} 之间", f"“{rule.column}” is between {low} and {high}")


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
