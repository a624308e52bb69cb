"""The judge: one Presidio analyzer with our recognisers only. No stock recogniser, no language model, no network.

Presidio and spaCy are imported when there is first something to judge (a second): a text in which no recogniser finds
anything has no hit, whatever is made of hits. The analyzer is built once for the process.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sandbox.detection import checksums
from sandbox.detection import names as name_finder
from sandbox.detection.recognizers import (
    ACCEPT_IN_CELL,
    ALLOTTED_MOBILE,
    BARE_SHAPE_SCORE,
    CONTEXT_WINDOW,
    RANK,
    ROWS,
    STANDS_APART,
    TABLE,
    UNION,
    WHOLE_CELL_SCORE,
    Context,
    Recognizer,
    has_context,
)

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine

LANGUAGE: Final = "zh"
PACK_CHARACTERS: Final = 6000  # Presidio's cost is per call: cells are judged in texts of about this length
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Hit:
    """One match in canonical text: row of the table (or the entity, for names), half-open span, score 0–1."""

    row: str
    start: int
    end: int
    score: float

    @property
    def entity(self) -> str:
        return ROWS[self.row].entity if self.row in ROWS else self.row


def analyzer(names: str = "none") -> AnalyzerEngine:
    """The process-wide analyzer; safe to call from several threads.

    `names`: "none" has the patterns only (cells), "all" reads every sentence for names too, "some" a selection of
    sentences (very long texts).
    """
    with _LOCK:
        return _build(names)


@cache
def _build(names: str) -> AnalyzerEngine:
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    nlp = NoOpNlpEngine(models=[{"lang_code": LANGUAGE, "model_name": "none"}])
    nlp.load()
    recognizers = [_pattern_recognizer(row) for row in TABLE]
    if names != "none":
        recognizers.append(name_finder.recognizer(thorough=names == "all"))
    registry = RecognizerRegistry(supported_languages=[LANGUAGE], recognizers=recognizers)
    return AnalyzerEngine(
        nlp_engine=nlp,
        registry=registry,
        supported_languages=[LANGUAGE],
        context_aware_enhancer=_enhancer(),
        default_score_threshold=0,
    )


def _pattern_recognizer(row: Recognizer) -> Any:
    from presidio_analyzer import Pattern, PatternRecognizer

    class Checked(PatternRecognizer):
        """A pattern with our check: True keeps the match at the top score, False drops it."""

        def validate_result(self, pattern_text: str) -> bool | None:
            return checksums.CHECKS[row.check].scalar(pattern_text) if row.check else None

    return Checked(
        supported_entity=row.entity,
        name=row.name,
        supported_language=LANGUAGE,
        patterns=[Pattern(name=row.name, regex=row.pattern, score=row.score)],
        context=list(row.context),
    )


def _enhancer() -> Any:
    from presidio_analyzer import RecognizerResult
    from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer

    class LineContext(ContextAwareEnhancer):
        """Looks for context words beside the match on the same line, and in the words handed to `analyze`."""

        def __init__(self) -> None:
            super().__init__(0.35, 0.4, 0, 0)

        def enhance_using_context(
            self,
            text: str,
            raw_results: list[Any],
            nlp_artifacts: Any,
            recognizers: Any,
            context: list[str] | None = None,
        ) -> list[Any]:
            given = " ".join(context or ()).lower()
            for result in raw_results:
                row = ROWS.get(result.recognition_metadata[RecognizerResult.RECOGNIZER_NAME_KEY])
                if row is not None:
                    result.score = _score(row, text, result.start, result.end, result.score, given)
            return raw_results

    return LineContext()


def _score(row: Recognizer, text: str, start: int, end: int, score: float, given: str) -> float:
    """Score of a match once its surroundings are known."""
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", end)
    last = len(text) if last < 0 else last
    near = text[max(first, start - CONTEXT_WINDOW) : start] + " " + text[end : min(last, end + CONTEXT_WINDOW)]
    if has_context(row, given) or has_context(row, near.lower()):
        return max(score, min(1.0, row.score + 0.2))
    if row.need is Context.HELPS:
        return min(1.0, score + 0.1) if row.name == "CN_MOBILE" and _allotted(text[start:end]) else score
    whole = not text[first:start].strip() and not text[end:last].strip()
    return WHOLE_CELL_SCORE if whole and row.need is Context.NEEDED else BARE_SHAPE_SCORE


def _allotted(text: str) -> bool:
    import re

    return re.search(ALLOTTED_MOBILE + "$", "".join(c for c in text if c.isdigit())) is not None


def judge(text: str, context: Sequence[str] = (), accept: float = ACCEPT_IN_CELL, names: str = "none") -> list[Hit]:
    """Presidio's hits in one canonical text, overlaps resolved by precedence; `names` as for `analyzer`."""
    return resolve(_raw(text, context, accept, names))


def judge_packed(values: Sequence[str], context: Sequence[str] = (), accept: float = ACCEPT_IN_CELL) -> list[list[Hit]]:
    """As `judge` for every value, in few calls: values are packed into long texts and hits mapped back.

    A line break parts two values; no pattern and no context window goes across one.
    """
    found: list[list[Hit]] = [[] for _ in values]
    first = 0
    while first < len(values):
        starts, size, last = [], 0, first
        while last < len(values) and (size < PACK_CHARACTERS or last == first):
            starts.append(size)
            size += len(values[last]) + 1
            last += 1
        for hit in _raw("\n".join(values[first:last]), context, accept):
            at = bisect_right(starts, hit.start) - 1
            found[first + at].append(Hit(hit.row, hit.start - starts[at], hit.end - starts[at], hit.score))
        first = last
    return [resolve(hits) if len(hits) > 1 else hits for hits in found]


def _raw(text: str, context: Sequence[str], accept: float, names: str = "none") -> list[Hit]:
    if not _anything(text, names):
        return []
    results = analyzer(names).analyze(text, LANGUAGE, context=list(context), score_threshold=accept)
    row = lambda r: r.recognition_metadata["recognizer_name"]  # noqa: E731
    return [Hit(row(r) if row(r) in ROWS else r.entity_type, r.start, r.end, r.score) for r in results]


def _anything(text: str, names: str) -> bool:
    """Whether a recogniser may find something, before checks and scores: until the analyzer is there this is asked
    first, as to build it takes longer than to judge most texts."""
    import polars as pl

    if _build.cache_info().currsize or pl.Series([text]).str.contains(UNION)[0]:
        return True
    return names != "none" and bool(name_finder.mentions(text, names == "all"))


def resolve(hits: Iterable[Hit]) -> list[Hit]:
    """Drops a hit that overlaps one of higher precedence; in order of place."""
    rank = lambda h: RANK.get(h.row, len(RANK))  # noqa: E731
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda h: (rank(h), h.start)):
        apart = hit.row in STANDS_APART
        clash = any(h.start < hit.end and hit.start < h.end and h.row not in STANDS_APART for h in kept)
        if apart or not clash:
            kept.append(hit)
    return sorted(kept, key=lambda h: (h.start, rank(h)))
