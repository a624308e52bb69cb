"""What the place, the measured value and the threshold of a finding say in words.

Verdicts keep them as short codes in English, because a digest covers them; people read them through here.
"""

from __future__ import annotations

import re

from policies.text import Text
from sandbox.exports.places import parse

_MISSING = "missing: "
_HEADS = {
    "request": Text("本次申请", "the request"),
    "application": Text("本用途申请的累计", "all of this application"),
    "history": Text("已放行产品台账", "the ledger of released products"),
    "evidence": Text("推导证据", "the evidence"),
    "source": Text("源数据", "the source"),
    "values": Text("文件中的值", "the file's values"),
    "black box": Text("分桶试验", "trials by bucket"),
}
_DETAILS = {
    "sheet": Text("工作表“{}”", "sheet {}"),
    "page": Text("第 {} 页", "page {}"),
    "table": Text("第 {} 张表", "table {}"),
    "row": Text("第 {} 行", "row {}"),
    "line": Text("第 {} 行", "line {}"),
    "column": Text("“{}”列", "column {}"),
    "header": Text("第 {} 列表头", "header {}"),
    "offset": Text("第 {} 字节", "byte {}"),
    "step": Text("步骤 {}", "step {}"),
    "encoding": Text("写法 {}", "written as {}"),
}
_PARTS = {
    "metadata": Text("元数据", "metadata"),
    "comment": Text("批注", "a comment"),
    "comments": Text("批注", "comments"),
    "attributes": Text("标签属性", "attributes"),
    "dictionary": Text("列字典", "the column's dictionary"),
    "header": Text("文件头", "the header"),
    "names": Text("定义名称", "defined names"),
    "objects": Text("嵌入对象", "objects"),
    "trailing": Text("文件末尾之后的内容", "what follows the file's end"),
    "gap": Text("成员之间的内容", "what lies between members"),
    "extra": Text("附加字段", "extra fields"),
    "model": Text("模型", "the model"),
    "graph": Text("模型计算图", "the model's graph"),
    "functions": Text("模型函数", "the model's functions"),
    "data": Text("图中数据", "the chart's data"),
    "alpha": Text("不计透明度", "without transparency"),
    "files": Text("文件", "files"),
    "rows": Text("行数", "rows"),
    "cells": Text("单元格数", "cells"),
    "bytes": Text("字节数", "bytes"),
    "audience": Text("接收对象", "the audience"),
    "label": Text("标注", "the label"),
}
_VALUES = {
    "reproduced": Text("重现", "reproduced"),
    "True": Text("是", "yes"),
    "False": Text("否", "no"),
    "over budget|budget spent": Text("超出计算预算", "over budget"),
    "no entity kind": Text("没有主体类型", "no entity kind"),
    "black box": Text("只有分桶试验", "trials by bucket only"),
    "refused": Text("无法推导", "refused"),
    "no table": Text("没有对应的表", "no table"),
    "no count": Text("没有计数", "no count"),
    "no sum": Text("不是合计", "no sum"),
    "no bound": Text("没有上下限", "no bound"),
    "rows hidden in part": Text("有部分列被隐去的行", "rows hidden in part"),
    "entities not known": Text("主体数未知", "entities not known"),
    "not the platform's rendering": Text("与平台生成的文件不同", "not the platform's rendering"),
    "differs from the recomputed value": Text("与重算的值不同", "differs from the recomputed value"),
    "two runs differ": Text("两次运行结果不同", "two runs differ"),
    "(\\d+) of (\\d+) buckets(?: tried)?": Text("{1} 桶中试了 {0} 桶", "{0} of {1} buckets tried"),
    "(\\d+) runs failed, (\\d+) of (\\d+) buckets tried": Text(
        "{0} 次运行失败，{2} 桶中试了 {1} 桶", "{0} runs failed, {1} of {2} buckets tried"
    ),
    "P1 not tried": Text("重算未进行", "the recomputation was not tried"),
    "P1": Text("重算不符", "the recomputation differs"),
    "P2 (\\S+)": Text("删半试验 {}", "halves {}"),
    "P3 without (.+)": Text("扰动试验缺少 {}", "perturbation without {}"),
    "owners: several": Text("一行属于多个主体", "several owners of a row"),
    "no record reached": Text("没有记录进入结果", "no record reached"),
    "role (\\S+) guessed from the (.+)": Text("角色 {0}，由 {1} 推测", "role {0} guessed from the {1}"),
    "name used twice": Text("文件名重复", "name used twice"),
    "file name": Text("文件名不合要求", "file name"),
    "type (.+)": Text("类型 {}", "type {}"),
    "named (.+), is (.+)": Text("后缀 {0}，内容是 {1}", "named {0}, is {1}"),
    "hidden table": Text("隐藏的表", "hidden table"),
    "name": Text("名称", "name"),
    "formula": Text("公式", "formula"),
    "outside the grant": Text("授权之外", "outside the grant"),
}
_FACTS = {
    "evidence": Text("推导证据", "evidence"),
    "evidence of this job": Text("本作业的推导证据", "evidence of this job"),
    "entity kinds": Text("主体类型", "entity kinds"),
    "table": Text("可读的表", "table"),
    "csv file": Text("CSV 文件", "csv file"),
    "contributions": Text("各主体的贡献", "contributions"),
    "a finer comparison of floats": Text("更细的浮点比较", "a finer comparison of floats"),
    "n_informative": Text("有信息的主体数", "n_informative"),
    "change_share": Text("变化占比", "change_share"),
    "groupings of this job": Text("本作业的分组", "groupings of this job"),
    "no such check on this platform": Text("本平台没有这项检查", "no such check on this platform"),
    "rounding base": Text("取整基数", "rounding base"),
    "history": Text("已放行产品台账", "history"),
    "match with the source": Text("与源数据的比对", "match with the source"),
    "roles of the columns": Text("各列的标识角色", "roles of the columns"),
    "what post gives": Text("后处理的结果", "what post gives"),
    "level of the inputs": Text("输入的级别", "level of the inputs"),
    "volume released before": Text("以往放行的数量", "volume released before"),
    "application": Text("用途申请", "application"),
    "date": Text("日期", "date"),
    "job": Text("作业说明", "job"),
    "grant": Text("授权", "grant"),
    "grants": Text("授权", "grants"),
    "columns read": Text("读取的列", "columns read"),
    "kind of inputs": Text("输入是真实还是仿真", "kind of inputs"),
    "label": Text("标注", "label"),
    "encoding (.+)": Text("写法 {}", "encoding {}"),
}


def place_text(place: str) -> Text:
    """A place in words: `一季度.zip!a.csv#row=3;column=人次` as `一季度.zip 中的 a.csv，第 3 行，“人次”列`."""
    found = parse(place)
    head = _head(found.file)
    if found.members:
        inside = " / ".join(found.members)
        head = Text(f"{head.zh} 中的 {inside}", f"{inside} in {head.en}")
    parts = [head, *(_detail(key, value) for key, value in found.detail)]
    return Text("，".join(p.zh for p in parts), ", ".join(p.en for p in parts))


def value_text(value: object) -> Text:
    """A measured value or a threshold in words; what has none (a number, a name) stands as it is, nothing as a dash."""
    if value is None:
        return Text("—", "—")
    if isinstance(value, list | tuple):
        parts = [value_text(one) for one in value]
        return Text("、".join(p.zh for p in parts), ", ".join(p.en for p in parts))
    plain = str(value)
    if plain.startswith(_MISSING):
        fact = _said(plain.removeprefix(_MISSING), _FACTS)
        return Text(f"缺少{fact.zh}", f"missing: {fact.en}")
    return _said(plain, _VALUES)


def _head(name: str) -> Text:
    alias, step = re.fullmatch("input=(.+)", name), re.fullmatch("step:(.+)", name)
    if alias:
        return Text(f"输入 {alias[1]}", f"input {alias[1]}")
    if step:
        return Text(f"步骤 {step[1]}", f"step {step[1]}")
    return _HEADS.get(name) or Text(name, name)


def _detail(key: str, value: str) -> Text:
    if not value:
        return _PARTS.get(key) or Text(key, key)
    if key == "part":
        return _PARTS.get(value) or Text(value, value)
    if key == "column" and value.isdecimal():
        return Text(f"第 {value} 列", f"column {value}")
    words = _DETAILS.get(key)
    return Text(words.zh.format(value), words.en.format(value)) if words else Text(f"{key}={value}", f"{key}={value}")


def _said(code: str, table: dict[str, Text]) -> Text:
    for pattern, words in table.items():
        if found := re.fullmatch(pattern, code):
            return Text(words.zh.format(*found.groups()), words.en.format(*found.groups()))
    return Text(code, code)
