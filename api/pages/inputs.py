"""Forms: typed values go through the same models as the JSON API; what does not hold is said beside its field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from api.pages import words
from policies.text import Text, UserError
from sandbox.kernel.errors import BadInput, Conflict

M = TypeVar("M", bound=BaseModel)


class FormProblem(BadInput):
    """Entries that do not hold; `fields` says why, by field name."""

    def __init__(self, fields: Mapping[str, Text]) -> None:
        super().__init__(
            "form.invalid", words.text("input.problems", names="、".join(fields)),
            fix=words.text("input.problems_fix"),
        )  # fmt: skip
        self.fields = dict(fields)


def checked(model: type[M], values: Mapping[str, object]) -> M:
    """`values` as `model`. Raises `FormProblem` naming every field that does not hold."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as wrong:
        raise FormProblem({str(e["loc"][0]): _sentence(e["type"], e.get("ctx", {})) for e in wrong.errors()}) from wrong


def _sentence(kind: str, context: Mapping[str, object]) -> Text:
    if kind in ("missing", "string_too_short") and context.get("min_length", 1) == 1:
        return words.text("input.missing")
    if kind == "string_too_short":
        return words.text("input.short", n=context["min_length"])
    if kind == "string_too_long":
        return words.text("input.long", n=context["max_length"])
    if kind == "string_pattern_mismatch":
        return words.text("input.pattern")
    known = kind.startswith(("int", "greater", "less"))
    return words.text("input.number" if known else "input.wrong")


def problems_of(error: UserError | None) -> dict[str, Text]:
    """Field → sentence, for a form that shows itself again."""
    return error.fields if isinstance(error, FormProblem) else {}


def refuse_twin(exists: bool, what: Text) -> None:
    """Raise `Conflict` when the very same draft is there already: a button pressed twice makes one object."""
    if exists:
        raise Conflict(
            "draft.exists",
            Text(f"刚才已经建立了同样的{what.zh}，没有重复建立", f"The same {what.en} exists; none was added"),
            fix=Text("请在列表中打开已有的记录继续办理", "Open the existing one from the list and go on with it"),
        )
