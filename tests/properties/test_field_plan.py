"""Whatever a catalogue says: no text stays unclassified in silence, no identifier is ever learned, every plan holds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.fieldplan import Answer, choices, entries, learnable, open_questions, plan
from pipelines.planrules import SEMANTIC_OF_ENTITY, is_identifier
from policies.text import UserError
from synthetic.fields import check_plan, kept

ROWS = 5_000
WORDS = (
    "姓名", "身份证号", "性别", "出生日期", "手机号", "住址", "区", "街道", "单位名称", "代码", "备注", "日期", "金额",
    "联系人", "学籍号", "x",
)  # fmt: skip
TYPES = ("text", "integer", "decimal", "date", "timestamp", "boolean")
SAID = st.sampled_from(
    ["", "category", "code", "key", "shape", "drop", "free_text", "number", "date", "district", "magic"]
)


@st.composite
def columns(draw: st.DrawFn) -> list[Any]:
    """Columns with any combination of name, type, entity, role and counts, contradictory ones included."""
    name_ = st.sampled_from(WORDS) | st.text(min_size=1, max_size=8)
    names = draw(st.lists(name_, min_size=1, max_size=9, unique=True))
    made = []
    for name in names:
        missing = draw(st.sampled_from([0, 10, ROWS]))
        made.append(
            SimpleNamespace(
                name=name, type=draw(st.sampled_from(TYPES)),
                comment=draw(st.sampled_from(["", "患者姓名", "说明，见附表"])),
                level=draw(st.integers(1, 4)), missing=missing, distinct=draw(st.integers(0, ROWS - missing)),
                identifier_role=draw(st.sampled_from(["direct", "quasi", "sensitive", "none"])),
                entity=draw(st.none() | st.sampled_from(sorted(SEMANTIC_OF_ENTITY))),
            )
        )  # fmt: skip
    return made


@settings(max_examples=150, deadline=None)
@given(columns(), st.data())
def test_no_text_is_unclassified_in_silence_and_no_identifier_learned(table: list[Any], data: st.DataObject) -> None:
    said = {c.name: {"semantic": data.draw(SAID)} for c in table if data.draw(st.booleans())}
    asked = [c.name for c in table if data.draw(st.booleans())]
    answers = {name: Answer(data.draw(SAID), "operator", "acc-1", "2026-01-01") for name in asked}
    fields = plan(table, {"columns": said}, {}, ROWS, answers)
    assert [f.name for f in fields] == [c.name for c in table]
    assert all(f.decision is not None and f.decision.reason.zh and f.decision.reason.en for f in fields)
    for column, field in zip(table, fields, strict=True):
        if is_identifier(column) and column.type in ("text", "integer"):
            assert field.generated or field.semantic == "drop"
        if column.identifier_role == "direct":
            assert not field.learned or field.semantic == "drop"
    waiting = open_questions(fields)
    assert set(waiting) == {f.name for f in fields if not f.semantic}
    assert all(c.type == "text" for c in table if c.name in waiting)
    if waiting:
        with pytest.raises(UserError) as caught:
            check_plan(fields, [c.name for c in table])
        assert caught.value.detail["columns"] == waiting
    elif kept(fields):
        check_plan(fields, [c.name for c in table])


@settings(max_examples=80, deadline=None)
@given(columns())
def test_the_default_answers_every_question_and_the_plan_holds(table: list[Any]) -> None:
    fields = plan(table, {"unclassified": "shape"}, {}, ROWS)
    assert open_questions(fields) == []
    check_plan(fields, [c.name for c in table])
    assert all(f.decision is not None and f.decision.by == "default" for f in fields if f.semantic == "shape")


@settings(max_examples=80, deadline=None)
@given(columns())
def test_choices_of_an_identifier_are_never_learned_and_the_present_meaning_is_among_them(table: list[Any]) -> None:
    for entry, column in zip(entries(table, plan(table, {}, {}, ROWS)), table, strict=True):
        assert set(entry["learned"]) == set(learnable(column)) <= set(entry["choices"]) == set(choices(column))
        assert not (is_identifier(column) and entry["learned"])
        assert entry["open"] or entry["semantic"] in entry["choices"]
