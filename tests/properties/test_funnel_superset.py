"""The funnel and plain Presidio agree: nothing the judge would hit is filtered away, nothing else is added."""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.detection import canon, engine, funnel
from sandbox.detection.recognizers import TABLE, UNION
from synthetic import providers

_QUIET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
_AROUND = st.text(alphabet="0123456789ABXYZabcx号电话身份证护照卡,，。:：.-_ /%\n\t@", max_size=12)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_prefilter_keeps_every_text_the_judge_hits(row) -> None:
    @_QUIET
    @given(_AROUND, st.from_regex(row.core, fullmatch=True, alphabet=string.printable + _han(row.core)), _AROUND)
    def check(before: str, core: str, after: str) -> None:
        text = canon.canonical_cell(before + core + after)
        hits = engine.judge(text, list(row.context[:1]), accept=0.01)
        values = pl.Series([text])
        for hit in hits:
            found = next(r for r in TABLE if r.name == hit.row)
            assert values.str.contains(found.exists)[0], hit.row
            assert values.str.contains(UNION)[0], hit.row

    check()


def _han(core: str) -> str:
    return "".join(c for c in core if ord(c) > 127)


@pytest.fixture(scope="module")
def pool() -> list[str]:
    """Values of every kind, near misses, and identifiers inside other text."""
    rng, dice = np.random.default_rng(3), random.Random(3)
    ids = list(providers.people(rng, 40).resident_ids)
    kinds = [
        ids,
        providers.mobiles(rng, 40),
        providers.landlines(rng, 20),
        providers.usccs(rng, 30),
        providers.bank_cards(rng, 30),
        providers.plates(rng, 30),
        providers.vins(rng, 20),
        providers.emails(rng, 20),
        providers.passports(rng, 20),
        providers.organisation_codes(rng, 20),
        [f"{n:018d}" for n in rng.integers(10**17, 9 * 10**17, 60)],
        [
            f"4401062024{m:02d}{d:02d}{s:04d}"
            for m, d, s in zip(*(rng.integers(1, 12, 80) for _ in range(3)), strict=True)
        ],
        [f"2024-{m:02d}-{m:02d} 10:20:{m:02d}" for m in range(1, 13)],
        [f"192.168.1.{n}" for n in range(20)],
        ["A123456(3)", "G123456(A)", "A123456789", "微信号zhangsan_88", "QQ123456789", "WJ粤1234X", "使014578"],
        ["00:1A:2B:3C:4D:5E", "113.264385,23.129112", "无", "东城区", "12.50", "490154203237518", "110105491231002"],
    ]
    plain = [str(v) for kind in kinds for v in kind]
    joints = [" ", "，", ";", "", "号", "A", "\n"]
    mixed = [a + dice.choice(joints) + b for a, b in zip(plain, plain[37:], strict=False)]
    cut = [v[: dice.randint(1, len(v))] + dice.choice("0X-_./ ") + v[dice.randint(0, len(v)) :] for v in plain]
    context = [f"{dice.choice(['护照', '卡号', 'IMEI', '台胞证', '机构代码', '电话'])}{v}" for v in plain[::3]]
    disguised = [".".join((i[:6], i[6:14], i[14:])) for i in ids[:9]] + [i.encode().hex() for i in ids[9:15]]
    return plain + mixed + cut + context + disguised


@pytest.fixture(params=[(2000, 0.3), (3, 0.0)], ids=["nothing decided", "all decided"])
def thresholds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(funnel, "DECIDED_FROM", request.param[0])
    monkeypatch.setattr(funnel, "DECIDED_SHARE", request.param[1])
    monkeypatch.setattr(funnel, "CONFIRMED", 2)
    yield


@pytest.mark.parametrize("context", [[], ["联系电话"], ["护照号", "证件"]], ids=lambda c: "-".join(c) or "no context")
def test_funnel_equals_plain_presidio_on_a_mixed_column(pool: list[str], thresholds: None, context: list[str]) -> None:
    cells = list(dict.fromkeys(canon.canonical_cell(v) for v in pool))
    _agree([c for c in cells if c], context)


@_QUIET
@given(data=st.data())
def test_funnel_equals_plain_presidio_on_drawn_columns(pool: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(pool), min_size=1, max_size=12, unique=True))
    glued = data.draw(st.lists(st.tuples(_AROUND, st.sampled_from(pool), _AROUND), max_size=6))
    cells = {canon.canonical_cell(v) for v in [*chosen, *("".join(g) for g in glued)]} - {""}
    _agree(sorted(cells), [])


_DISGUISES: dict[str, Callable[[str], str]] = {
    "dots": lambda v: ".".join((v[:6], v[6:14], v[14:])),
    "underscores": lambda v: "_".join(v),
    "two spaces": lambda v: "  ".join((v[:6], v[6:])),
    "slashes": lambda v: "/".join((v[:4], v[4:])),
    "numerals": lambda v: v.translate(str.maketrans("0123456789", "〇一二三四五六七八九")),
    "banker's numerals": lambda v: v.translate(str.maketrans("0123456789", "零壹贰叁肆伍陆柒捌玖")),
    "full width": lambda v: v.translate(str.maketrans("0123456789", "０１２３４５６７８９")),
    "zero width": "\u200b".join,
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "hexadecimal": lambda v: v.encode().hex(),
    "URL": lambda v: "".join(f"%{byte:02x}" for byte in v.encode()),
    "after %3D": lambda v: f"id%3D{v}",
}


@_QUIET
@given(data=st.data())
def test_funnel_equals_plain_presidio_on_disguised_values(pool: list[str], data: st.DataObject) -> None:
    drawn = st.tuples(st.sampled_from(sorted(_DISGUISES)), st.sampled_from(pool), _AROUND)
    cells = {
        canon.canonical_cell(around + _DISGUISES[name](v))
        for name, v, around in data.draw(st.lists(drawn, min_size=1, max_size=8))
    }
    _agree(sorted(cells - {""}), data.draw(st.sampled_from([[], ["联系电话"]])))


@pytest.mark.parametrize("name", _DISGUISES)
def test_a_disguise_is_told_as_one_unless_folding_undoes_it(pool: list[str], name: str) -> None:
    cell = canon.canonical_cell(_DISGUISES[name](pool[0]))
    found = funnel.scan_values(pl.Series([cell]), pl.Series([1]))
    assert list(found.hits["CN_RESIDENT_ID"]) == [0]
    folded = name in ("full width", "zero width", "after %3D")
    assert (found.disguised["CN_RESIDENT_ID"] == {0}) is not folded


def _agree(cells: list[str], context: list[str]) -> None:
    found = funnel.scan_values(pl.Series(cells), pl.Series([1] * len(cells)), context)
    got: list[set[str]] = [set() for _ in cells]
    for row, places in found.hits.items():
        for place in places:
            got[place].add(row)
    expected = funnel.plain(cells, context)
    assert [(c, g) for c, g, e in zip(cells, got, expected, strict=True) if g != e] == []


def test_a_disagreement_in_the_sample_sends_the_column_to_the_judge(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A validator that says yes to everything must not outvote Presidio."""
    cells = [f"440106198{n % 10}0101{n:04d}" for n in range(400)]
    expected = funnel.plain(cells)
    monkeypatch.setattr(funnel, "DECIDED_FROM", 3)
    monkeypatch.setattr(funnel, "CONFIRMED", 50)
    monkeypatch.setattr(funnel.checksums, "passes", lambda _, values: np.ones(len(values), dtype=bool))
    found = funnel.scan_values(pl.Series(cells), pl.Series([1] * len(cells)))
    assert set(found.hits.get("CN_RESIDENT_ID", {})) == {
        i for i, rows in enumerate(expected) if "CN_RESIDENT_ID" in rows
    }
    assert "disagree" in caplog.text and not any(cell in caplog.text for cell in cells)


def test_a_rare_id_keeps_its_precedence_in_a_decided_card_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ID that also passes as a card stays an ID, though the column's cards are settled without Presidio."""
    bodies = (f"62999919{year}0101{serial:03d}" for year in range(40, 99) for serial in range(1000))
    numbers = (body + digit for body in bodies for digit in string.digits)
    both = next(n for n in numbers if funnel.checksums.resident_id(n) and funnel.checksums.luhn(n))
    cards = [str(card) for card in providers.bank_cards(np.random.default_rng(1), 60)]
    monkeypatch.setattr(funnel, "DECIDED_FROM", 3)
    monkeypatch.setattr(funnel, "CONFIRMED", 2)
    _agree([*cards, both], [])
    found = funnel.scan_values(pl.Series([*cards, both]), pl.Series([1] * 61))
    assert list(found.hits["CN_RESIDENT_ID"]) == [60] and 60 not in found.hits["CN_BANK_CARD"]
