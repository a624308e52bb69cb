"""What cannot be simulated, in words: too many rows, an engine that is missing, forbidden or breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from policies.text import Text, UserError
from synthetic.batches import NotRun
from synthetic.engines.base import engine_named

if TYPE_CHECKING:
    from synthetic.engines.base import Engine
    from synthetic.links import Family

MAX_ROWS = 10_000_000
"""Rows of a table that is handed back as one frame; `simulate_into` has no such bound."""

_T = TypeVar("_T")


def guarded(used: Engine, work: Callable[[], _T]) -> _T:
    """An engine that breaks is named; what it said is dropped, for it may quote a value of a real row."""
    try:
        return work()
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            "engine.failed",
            Text("引擎 {e} 出错:{k}。", "The engine {e} failed: {k}.").fill(e=used.name, k=type(error).__name__),
            fix=Text("请改用 tree 引擎,或用 auto 比较。", "Use the tree engine, or let auto compare."),
            engine=used.name,
            error=type(error).__name__,
        ) from None


def none_ran(tried: Sequence[NotRun]) -> UserError:
    """The error for candidates none of which could run, with each one's reason."""
    return UserError(
        "engine.none",
        Text("没有一个引擎能运行:{r}", "No engine could run: {e}").fill(
            r=" ".join(f"{n.engine}:{n.reason.zh}" for n in tried),
            e=" ".join(f"{n.engine}: {n.reason.en}" for n in tried),
        ),
        fix=Text("请指定 tree 引擎。", "Ask for the tree engine."),
        engines=[n.engine for n in tried],
    )


def check_rows(rows: int, most: int | None) -> None:
    """Raises `simulation.rows` unless `rows` is positive and at most `most`."""
    if rows < 1 or (most is not None and rows > most):
        raise UserError(
            "simulation.rows",
            Text("行数须为正数,一次取回的不超过 {m}。", "Rows must be positive, at most {m} in one frame.").fill(
                m=MAX_ROWS
            ),
            fix=Text("请改小行数,或写入文件。", "Ask for fewer rows, or write them to a file."),
            rows=rows,
        )


def check_engine(asked: str, edition: Any, family: Family) -> None:
    """Raises `engine.unknown`, `engine.unavailable` or `engine.not_allowed`; "auto" is always fine."""
    if asked == "auto":
        return
    if family.engine is None:
        engine_named(asked)
    if asked not in edition.by_check("engines").parameters.allowed:
        raise UserError(
            "engine.not_allowed",
            Text("规则不允许使用引擎 {e}。", "The policy does not allow the engine {e}.").fill(e=asked),
            fix=Text("请用 auto,或由合规官发布新规则。", "Use auto, or have a new edition published."),
            engine=asked,
        )
