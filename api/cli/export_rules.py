"""The page about the export rules: written from the edition, the checks' own words, and what no rule claims."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from policies.editions import load
from policies.text import Text
from sandbox.exports.checks import CHECKS
from sandbox.exports.gate import LATER_STAGES

if TYPE_CHECKING:
    from policies.schema.export import ExportEdition

EDITION = "2026-01"
COMMAND = "python -m api.cli.export_rules > docs/export-rules.md"

NOT_CLAIMED: dict[str, Text] = {
    "grant_and_lineage": Text(
        "不判断用途是否正当，那是审核的事", "Not whether the purpose is right: people approve that"
    ),
    "level_allowed": Text("不核对分级本身是否正确", "Not whether the grading itself is right"),
    "label": Text(
        "不判断仿真数据是否足够安全，那由仿真的闸门判断", "Not whether simulated data is safe: its own gates say"
    ),
    "identifiers_anywhere": Text(
        "不识别图片像素里的文字；没有校验位的写法只能怀疑",
        "No text in pixels; forms without a check digit are only suspected",
    ),
    "possible_identifiers": Text("不保证找全姓名和住址", "Not that every name and address is found"),
    "join_back": Text(
        "加盐散列、加密和自编代码连不回来，由不透明列规则处理",
        "Salted, keyed or private encodings: opaque columns are another rule's",
    ),
    "split_identifiers": Text(
        "只看相邻的两三列，且只看抽样的行；不相邻、倒序的拼接不查",
        "Two or three adjacent columns of sampled rows only; not pieces apart or in another order",
    ),
    "opaque_columns": Text("短代码和低熵编码看不出来", "Short codes and encodings of low entropy are not seen"),
    "free_text": Text("不读懂文字，只决定须由人读", "It does not understand the text; it says that a person has to"),
    "coordinates": Text(
        "不识别网格号、门牌号等其他形式的位置", "Not other forms of a place, such as codes of cells or doors"
    ),
    "cell_threshold": Text(
        "不看数值大小；脚本产物只有分桶试验的下界", "Not how large values are; of scripts only a lower bound by buckets"
    ),
    "dominance": Text("不知道外部已公开的信息", "Nothing of what is public elsewhere"),
    "p_percent": Text("不考虑三家以上的合谋", "No coalition of three or more"),
    "zero_cells": Text("不判断空白是否结构性，由人判断", "Not whether a gap is structural: a person does"),
    "residual_freedom": Text("只看标准差；模型另有规则", "Spreads only; models have a rule of their own"),
    "group_disclosure": Text("只看计数，不看度量的分布", "Counts only, not how amounts are spread"),
    "extremes": Text("不看由均值和离散推出的极值", "Not extremes that follow from mean and spread"),
    "charts": Text(
        "不看像素，不证明数据表就是图中所画；没有计数的点由人判断",
        "Not the pixels, nor that the table is what was drawn; points without a count are a person's",
    ),
    "models": Text(
        "不做成员推断攻击，不测泛化差距；JSON 以外的格式只认 ONNX；声明的叶子样本数照单接受",
        "No membership attack, no generalisation gap; beside JSON only ONNX; stated samples are taken as told",
    ),
    "differencing": Text(
        "只与台账中的产品比较；台账之外的公开资料不知道", "Only what the ledger holds; nothing published elsewhere"
    ),
    "linear_closure": Text(
        "只证明到所示深度；更深的组合、乘除关系不在内",
        "Decided to the depth it states; not deeper combinations, nor products",
    ),
    "suppression_audit": Text(
        "中位数、分位数、极值不由合计相连，分子或分母可能为负的比值没有界，送人工",
        "Medians, quantiles and extremes are tied by no sum, ratios of negative amounts have no bound: people decide",
    ),
    "rounding": Text("取整本身不是匿名化", "Rounding by itself makes nothing anonymous"),
    "evidence_proofs": Text(
        "随机删除是概率性的证明；精心构造的常数由扰动规则查",
        "Random deletion proves with a probability; constants are P3's",
    ),
    "perturbation": Text(
        "逐列扰动，查不出只在多列同时改变时才动的构造", "One column at a time: not what moves only when several do"
    ),
    "suspect_expressions": Text("不判断表达式的意图，由人读", "Not what an expression is for: a person reads it"),
    "no_evidence": Text("分桶试验只支持人，不作通过的依据", "Buckets support a person and never pass"),
    "record_level": Text("不判断接收方是否守约", "Not whether the recipient keeps the agreement"),
    "equivalence_classes": Text(
        "只算列出的准标识符；未定角色的列由人判断", "The quasi-identifiers that are known; other columns are a person's"
    ),
    "overall_risk": Text("环境风险是规则给定的数，不是测量值", "Context risk is given by policy, not measured"),
    "sensitive_diversity": Text("不懂取值的含义：近义的病名算不同值", "Not what values mean: near synonyms differ"),
    "sensitive_closeness": Text("不看多列合在一起的分布", "Each column by itself, not several together"),
    "firm_fields": Text("按表头判断，改了列名就看不出", "Told by headers: a renamed column is not seen"),
    "raw_rows": Text(
        "只比最大的一张表；加了噪声的行查不出", "The largest table by names and values; not rows with noise"
    ),
    "row_per_entity": Text("只比行数与主体数", "Numbers of rows and entities only"),
    "file_types": Text("不识别清单以外的格式，一律不收", "No other form is understood: none is accepted"),
    "archives": Text("不破解加密，一律不收", "Nothing encrypted is opened: none is accepted"),
    "hidden_content": Text(
        "不识别像素和空白中的隐写；最终文件由平台重写",
        "No steganography in pixels or blanks: the platform writes what leaves",
    ),
    "formula_cells": Text("不执行公式，只看开头", "Formulas are not run, only recognised"),
    "volume": Text("同一接收方的不同申请分别累计", "Each application by itself, not all of one recipient"),
    "reviewers": Text("由服务在复核时执行", "Enforced by the service when people review"),
    "release_terms": Text("由服务在放行时执行", "Enforced by the service when a product is released"),
}

HEAD = """# 出域核查规则 · Export rules

本页由规则版本 {edition} 生成，手工修改会被检查发现：`{command}`。
阈值供合规官和运营方查阅，不向数据商展示；数据商只看到哪条规则、怎样修改。
Generated from edition {edition}; a check finds edits by hand. Thresholds are for officers and operators; merchants are
shown which rule and what helps.

`verified` 的依据已对照官方文本核对；`assumed` 为平台自定或待核。
The basis of `verified` rules was checked against the official text; `assumed` ones are the platform's own or open.
"""


def render() -> str:
    """The whole page: a section for every rule of the edition, in its order."""
    edition = cast("ExportEdition", load("export", EDITION))
    return HEAD.format(edition=EDITION, command=COMMAND) + "".join(map(_section, edition.rules))


def _section(rule: Any) -> str:
    claim = NOT_CLAIMED[rule.check]
    facts = {
        "测量 · measures": _measures(rule.check),
        "阈值 · threshold": _parameters(rule.parameters),
        "不满足时 · on failing": f"`{rule.on_fail}`",
        "适用形态 · forms": "、".join(rule.forms),
        "依据 · basis": rule.basis,
        "状态 · status": f"`{rule.status}`",
        "不作的声明 · not claimed": f"{claim.zh}。{claim.en}.",
    }
    lines = "\n".join(f"- **{name}**：{text}" for name, text in facts.items())
    return f"\n## {rule.id} · {rule.title.zh} · {rule.title.en}\n\n{rule.why.zh}。{rule.why.en}.\n\n{lines}\n"


def _measures(check: str) -> str:
    """The check's own words."""
    if check in LATER_STAGES:
        return "人工阶段 · a later stage"
    return " ".join((inspect.getdoc(CHECKS[check].run) or "").split())


def _parameters(parameters: Any) -> str:
    told = parameters.model_dump(mode="json")
    return "；".join(f"`{name}` = {_value(value)}" for name, value in told.items()) or "—"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "、".join(f"{name}: {_value(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return f"`{value!r}`" if isinstance(value, str) and not value.isprintable() else f"`{value}`"


if __name__ == "__main__":
    print(render(), end="")
