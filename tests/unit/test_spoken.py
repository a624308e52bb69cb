"""What officers and merchants read in place of the codes of a finding."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sandbox.exports
from sandbox.exports.spoken import place_text, value_text

EXPORTS = Path(sandbox.exports.__path__[0])


@pytest.mark.parametrize(
    ("place", "chinese", "english"),
    [
        ("门诊.csv", "门诊.csv", "门诊.csv"),
        ("门诊.csv#row=3;column=人次", "门诊.csv，第 3 行，“人次”列", "门诊.csv, row 3, column 人次"),
        ("门诊.csv#column=4", "门诊.csv，第 4 列", "门诊.csv, column 4"),
        ("门诊.csv#header=2", "门诊.csv，第 2 列表头", "门诊.csv, header 2"),
        ("年报.xlsx#sheet=汇总;row=3", "年报.xlsx，工作表“汇总”，第 3 行", "年报.xlsx, sheet 汇总, row 3"),
        ("一季度.zip!表/区.csv#row=2", "一季度.zip 中的 表/区.csv，第 2 行", "表/区.csv in 一季度.zip, row 2"),
        ("报告.pdf#page=7;part=comments", "报告.pdf，第 7 页，批注", "报告.pdf, page 7, comments"),
        ("a%3Bb.csv#row=1", "a;b.csv，第 1 行", "a;b.csv, row 1"),
        ("history", "已放行产品台账", "the ledger of released products"),
        ("source", "源数据", "the source"),
        ("request#files", "本次申请，文件", "the request, files"),
        ("application#rows", "本用途申请的累计，行数", "all of this application, rows"),
        ("black box#person", "分桶试验，person", "trials by bucket, person"),
        ("values#encoding=sm3", "文件中的值，写法 sm3", "the file's values, written as sm3"),
        ("input=visits", "输入 visits", "input visits"),
        ("step:prepare#line=2;column=7", "步骤 prepare，第 2 行，第 7 列", "step prepare, line 2, column 7"),
    ],
)
def test_a_place_is_told_in_words(place: str, chinese: str, english: str) -> None:
    told = place_text(place)
    assert (told.zh, told.en) == (chinese, english)


@pytest.mark.parametrize(
    ("value", "chinese"),
    [
        (None, "—"), (3, "3"), (0.85, "0.85"), (True, "是"), ((1, "name"), "1、名称"),
        ("missing: rounding base", "缺少取整基数"), ("missing: encoding sm3", "缺少写法 sm3"),
        ("3 of 8 buckets tried", "8 桶中试了 3 桶"),
        ("2 runs failed, 3 of 8 buckets tried", "2 次运行失败，8 桶中试了 3 桶"),
        ("named csv, is xlsx", "后缀 csv，内容是 xlsx"), ("KeyError", "KeyError"),
    ],
)  # fmt: skip
def test_a_value_is_told_in_words(value: object, chinese: str) -> None:
    assert value_text(value).zh == chinese


def codes() -> Iterator[tuple[str, str, str]]:
    """Every code in English that a check can give: file, what it is, and the code with 1 for what is filled in."""
    for path in sorted(EXPORTS.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args:
                name = call.func.id
                if name in {"CannotRun", "NoEvidence"}:
                    yield path.name, name, _plain(call.args[0])
                elif name in {"need", "Miss"} and len(call.args) > 1:
                    yield path.name, name, _plain(call.args[1])


def _plain(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(p.value) if isinstance(p, ast.Constant) else "1" for p in node.values)
    return ""


SAID = sorted({(what, code) for _, what, code in codes() if code})


@pytest.mark.parametrize(("what", "code"), SAID)
def test_every_code_of_a_check_has_its_words(what: str, code: str) -> None:
    told = value_text(code if what in {"Miss", "NoEvidence"} else f"missing: {code}")
    assert told.zh != told.en and not told.zh.endswith(code)


def test_the_codes_were_found() -> None:
    assert len(SAID) > 40
