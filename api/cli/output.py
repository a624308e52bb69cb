"""What commands print: one JSON document, or aligned tables in the person's language; and how errors are told."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from policies.text import Text, UserError

FINE, FINDING, WRONG_USE, COULD_NOT_RUN = 0, 1, 2, 3
_WIDEST_CELL = 60

AsJson = Annotated[bool, typer.Option("--json", help="只输出一个 JSON 文档 · print exactly one JSON document")]


class WrongUse(UserError):
    """The command was called in a way that cannot be meant; exit code 2."""


class CouldNotRun(UserError):
    """Something outside the question is missing, so there is no answer; exit code 3."""

    status = 503


def language() -> str:
    """The person's language: `PDS_LANG`, "zh" unless it says "en"."""
    return "en" if os.environ.get("PDS_LANG", "zh").lower().startswith("en") else "zh"


def say(text: Text) -> str:
    """The sentence in the person's language."""
    return text.of(language())


def answer(document: Mapping[str, Any], as_json: bool, show: Callable[[], None], *, finding: bool = False) -> None:
    """Print the document, or what `show` prints; then end with 1 where there is a finding. Never returns on one."""
    if as_json:
        print(json.dumps(document, ensure_ascii=False, default=_plain))
    else:
        show()
    if finding:
        raise typer.Exit(FINDING)


def _plain(value: Any) -> Any:
    """Dates, paths and the like as text; the project's bilingual text as its two sides."""
    return value.as_dict() if isinstance(value, Text) else str(value)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Whatever a library prints goes to standard error: standard output holds the answer only."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


# ---- tables -------------------------------------------------------------------------------------------------------
def width(text: str) -> int:
    """Columns the text takes on a terminal: Chinese characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )  # fmt: skip


def table(headers: Sequence[Text], rows: Sequence[Sequence[Any]]) -> None:
    """Print aligned columns, numbers to the right; nothing at all for no rows."""
    if not rows:
        return
    cells = [[_cell(value) for value in row] for row in rows]
    titles = [say(h) for h in headers]
    wide = [max(width(line[i]) for line in [titles, *cells]) for i in range(len(titles))]
    right = [all(_is_number(row[i]) for row in rows) for i in range(len(titles))]
    for line in [titles, ["─" * w for w in wide], *cells]:
        padded = [_pad(text, w, r) for text, w, r in zip(line, wide, right, strict=True)]
        print("  " + "  ".join(padded).rstrip())


def heading(text: str) -> None:
    """A line above a table."""
    print(f"\n{text}")


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: Any) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return say(Text("是", "yes") if value else Text("否", "no"))
    if isinstance(value, Text):
        value = say(value)
    if isinstance(value, float):
        value = f"{value:,.4f}".rstrip("0").rstrip(".")
    text = " ".join((f"{value:,}" if isinstance(value, int) else str(value)).split())
    while width(text) > _WIDEST_CELL:
        text = text[: -2 if text.endswith("…") else -1] + "…"
    return text


def _pad(text: str, wide: int, right: bool) -> str:
    space = " " * (wide - width(text))
    return space + text if right else text + space


# ---- errors -------------------------------------------------------------------------------------------------------
def exit_code_of(error: UserError) -> int:
    """2 for input that cannot be meant, 3 where something needed is away, 1 for every refusal."""
    from sandbox.kernel.errors import BadInput

    if isinstance(error, WrongUse | BadInput):
        return WRONG_USE
    return COULD_NOT_RUN if error.status == CouldNotRun.status else FINDING


def tell_error(error: UserError, as_json: bool) -> int:
    """Tell what happened, why and what to do; returns the exit code."""
    if as_json:
        told: dict[str, Any] = {"code": error.code, "text": error.text.as_dict()}
        told["fix"] = error.fix.as_dict() if error.fix else None
        print(json.dumps({"error": {**told, "detail": error.detail}}, ensure_ascii=False, default=_plain))
        return exit_code_of(error)
    print(f"✘ {say(error.text)}  [{error.code}]", file=sys.stderr)
    for problem in error.detail.get("problems", ()):
        print(f"  {problem}", file=sys.stderr)
    if error.fix:
        print(f"  {say(Text('怎么办', 'what to do'))}{say(Text('：', ': '))}{say(error.fix)}", file=sys.stderr)
    return exit_code_of(error)


def tell_usage(message: str, hint: str, as_json: bool) -> int:
    """A misspelt command or option: both languages, because the parser's own words are English."""
    text = Text(f"用法不对：{message}", f"wrong use: {message}")
    return tell_error(WrongUse("usage", text, fix=Text(f"见 {hint} --help", f"see {hint} --help")), as_json)


def tell_crash(error: BaseException, as_json: bool) -> int:
    """An error nobody foresaw: its kind and place only, because its words may repeat a value of a record."""
    if os.environ.get("PDS_DEBUG"):
        raise error
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_globals.get('__name__')}:{place.tb_lineno}" if place else "?"
    kind = type(error).__name__
    told = CouldNotRun(
        "internal",
        Text(f"程序出错（{kind}，{where}）", f"the program failed ({kind} at {where})"),
        fix=Text(
            "设置 PDS_DEBUG=1 重试可看到详情（可能含数据内容）",
            "try again with PDS_DEBUG=1 for details (may show data)",
        ),
    )
    return tell_error(told, as_json)
