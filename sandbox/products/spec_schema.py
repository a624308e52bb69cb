"""The JSON schema of a job, for editors: completion, a sentence in both languages for every field, errors in place."""

from __future__ import annotations

from typing import Any

from policies.text import Text
from sandbox.products.spec import CUBE, LATER, JobSpec

_FIELDS = {
    "job": Text("作业名，也是产品文件名", "name of the job and of its file"),
    "edition": Text("格式版本：1 只有声明的立方体，2 为完整形式", "1: a declared cube only; 2: the full form"),
    "inputs": Text("输入：别名 → 授权或上传", "inputs: alias → a grant or an upload"),
    "prepare": Text("聚合之前的步骤，每步一条 SELECT 或一个脚本", "steps before the cube: one SELECT or script each"),
    "reference": Text("作为常数使用的立方体，按发布核查", "cubes used as constants, judged as if released"),
    "product": Text("产品：一个声明的立方体", "the product: one declared cube"),
    "post": Text("只看抑制并取整后的 product 和参照的一条 SELECT", "one SELECT that sees only rounded numbers"),
    "output": Text("产品的种类、格式和行序", "kind, format and order of the product"),
    "from": Text("从哪张输入表、步骤或参照", "the input, step or reference it is made from"),
    "join": Text("与其他表按相等的列内连接", "inner joins on equal columns"),
    "where": Text(
        "筛选：条件列表，或列上的一个 SQL 表达式", "a list of conditions, or one SQL expression over columns"
    ),
    "derive": Text("派生列：名称 → 一个函数", "derived columns: name → one function"),
    "dimensions": Text("维度：按哪些列分组；空列表为全体一行", "columns it is grouped by; none: one row"),
    "margins": Text("合计行：维度的子集，[] 为总计", "totals: subsets of the dimensions, [] for the grand total"),
    "measures": Text("指标：名称 → 怎么算", "measures: name → how"),
    "suppress": Text("小格由平台抑制，门槛由政策定", "small cells are hidden by the platform, as policy says"),
    "name": Text("名称，后面的步骤据此引用", "the name that later parts refer to"),
    "sql": Text("一条 SELECT", "one SELECT"),
    "script": Text("Python 脚本；机器不能证明", "a Python script; no machine proves it"),
    "reads": Text("脚本读取的表", "tables the script reads"),
    "columns": Text("脚本输出的列和类型", "columns the script gives, with types"),
    "owners": Text("一行属于一个主体，或可属于多个", "a row belongs to one entity, or may to several"),
    "grant": Text("授权编号", "the grant"),
    "upload": Text("上传编号；其行不属于任何主体", "an upload; its rows belong to nobody"),
    "snapshot": Text("固定快照的摘要（可写开头加 …）", "digest of the snapshot it is pinned to"),
    "op": Text("运算", "what is done"),
    "of": Text("对哪一列", "of which column"),
    "per": Text("除以哪一列之和；count 为行数", "per the sum of which column; count: per row"),
    "weight": Text("权重列", "the column of weights"),
    "q": Text("分位，0 到 1 之间", "which quantile, between 0 and 1"),
    "margin": Text("占哪个合计行的份额，须在 margins 中", "the margin it is a share of, one of `margins`"),
    "round": Text("保留几位小数；负数为十、百", "decimals released; negative: tens, hundreds"),
    "input": Text("连接的表", "the table joined"),
    "on": Text("左列 → 右列", "left column → its column"),
    "column": Text("列名，或 别名.列名", "a column, or alias.column"),
    "value": Text("取值；in 和 between 用列表", "the value; a list for in and between"),
    "below": Text("低于政策门槛", "below the threshold of policy"),
    "as": Text("代替数值的标记，如 *", "the mark in place of a number, such as *"),
    "kind": Text("产品种类", "kind of product"),
    "format": Text("文件格式", "format of the file"),
    "order": Text("行序：按维度", "order of rows: by dimensions"),
    "width": Text("组距", "width of the bands"),
    "length": Text("取前几个字符", "how many characters"),
    "groups": Text("合并后的名称：并入的取值；未列出的取值不变", "group: the values it takes in; others stay"),
}


def json_schema() -> dict[str, Any]:
    """JSON schema of both editions; every field has a sentence in Chinese and English."""
    whole = JobSpec.model_json_schema(by_alias=True)
    shared, fields = whole.pop("$defs"), whole["properties"]
    both = {name: fields[name] for name in ("job", "inputs", "output")}
    cube = {name: fields[name] for name in CUBE}
    flat = {name: one for name, one in cube.items() if name not in LATER}
    needed = [name for name in CUBE if name in whole["required"]]
    product = {"type": "object", "additionalProperties": False, "properties": cube, "required": needed}
    full = {"prepare": fields["prepare"], "reference": fields["reference"], "product": product, "post": fields["post"]}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "作业说明 · job",
        "description": "一个数据产品：准备、参照、立方体、后处理 · a data product, from its inputs to its file",
        "oneOf": [_form("第一版 · edition 1", [1], both | flat, needed),
                  _form("完整形式 · full form", [1, 2], both | full, ["product"])],
        "$defs": shared,
    }  # fmt: skip
    _describe(schema)
    return schema


def _form(title: str, editions: list[int], properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object", "additionalProperties": False, "title": title,
        "properties": {"edition": {"enum": editions}, **properties},
        "required": ["job", "edition", "inputs", *required, "output"],
    }  # fmt: skip


def _describe(node: Any) -> None:
    """Put its sentence on every field, however deep; a field that is a reference keeps it beside the reference."""
    if isinstance(node, list):
        for one in node:
            _describe(one)
    elif isinstance(node, dict):
        named = node.get("properties")
        for name, one in named.items() if isinstance(named, dict) else ():
            if name in _FIELDS:
                one["description"] = f"{_FIELDS[name].zh} · {_FIELDS[name].en}"
        for one in node.values():
            _describe(one)
