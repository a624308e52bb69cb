"""Identifiers of a source among the words of a file, in any encoding: the same as of comparing every word with every
key."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.catalog.keys import normal_key
from sandbox.products import matching
from sandbox.products.matching import SHORTEST, match
from sandbox.products.source import EntityKey, Source

TEXTS = st.lists(
    st.text("abXY019 Kſéß", min_size=5, max_size=9)
    | st.sampled_from(["ABC123456", "abc123456", " abc 12345", "张三李四"]),
    min_size=1, max_size=5,
)  # fmt: skip
NUMBERS = st.lists(st.integers(-(2**40), 2**40) | st.sampled_from([12345678, 0]), min_size=1, max_size=5)
FORMS = ["plain", "lower", "upper", "base64", "lower base64", "hex", "0xhex", "url", "padded"]


def written(key: str, form: str) -> str:
    raw = (key.lower() if form.startswith("lower") else key).encode()
    coded = {
        "base64": base64.b64encode(raw).decode(), "lower base64": base64.b64encode(raw).decode().rstrip("="),
        "url": base64.urlsafe_b64encode(raw).decode(), "padded": base64.b64encode(raw).decode() + "=",
        "hex": raw.hex(), "0xhex": f"0X{raw.hex().upper()}", "upper": key.upper(), "lower": key.lower(),
    }  # fmt: skip
    return coded.get(form, key)


def expected(keys: Sequence[tuple[str, str]], words: Sequence[str]) -> dict[str, int]:
    """By encoding the words that are one of the `keys`, which are given as they are and in small letters."""
    texts = {text for pair in keys for text in pair}
    encoded = {
        "base64": {base64.b64encode(text.encode()).decode().rstrip("=") for text in texts},
        "hex": {text.encode().hex() for text in texts},
    }
    shaped = {
        "base64": {w: w.rstrip("=").translate(str.maketrans("-_", "+/")) for w in words
                   if re.fullmatch("[A-Za-z0-9+/_-]{8,}={0,2}", w)},
        "hex": {w: re.sub("^0x", "", w.lower()) for w in words if re.fullmatch("(0[xX])?([0-9a-fA-F]{2}){6,}", w)},
    }  # fmt: skip
    return {name: sum(d in encoded[name] for d in shaped[name].values()) for name in encoded}


@settings(max_examples=40, deadline=None)
@given(
    texts=TEXTS, numbers=NUMBERS, chosen=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(FORMS)), max_size=8),
    others=st.lists(st.text("abAB01+/=", min_size=6, max_size=12), max_size=3), few=st.sampled_from([0, 20_000]),
)  # fmt: skip
def test_identifiers_in_any_encoding_are_those_of_comparing_all(
    texts: list[str], numbers: list[int], chosen: list[tuple[int, str]], others: list[str], few: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    folder: Path = tmp_path_factory.mktemp("k")
    with duckdb.connect() as con:
        for name, kind, values in (("a", "VARCHAR", texts), ("b", "BIGINT", numbers)):
            con.execute(f'CREATE TABLE {name} ("n" {kind})')
            con.executemany(f"INSERT INTO {name} VALUES (?)", [[v] for v in values])
            con.execute(f"COPY {name} TO '{folder / name}.parquet'")
        query = f'SELECT k, lower(k) FROM (SELECT {normal_key("n")} AS k FROM (SELECT "n" FROM a UNION ALL FROM b))'
        keys = con.execute(f"{query} WHERE k IS NOT NULL").fetchall()
    raw = [*texts, *map(str, numbers)]
    words = {written(raw[i % len(raw)], form) for i, form in chosen}
    words = {word.strip(" ") for word in [*words, *others] if len(word.strip(" ")) >= SHORTEST}
    sources = {
        name: Source((f"{folder}/{name}.parquet",), f"sha256:{name}", (EntityKey("person", "n"),)) for name in "ab"
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "_SAMPLE", few)
        found = match(sources, [], sorted(words)).identifiers
    mine = {key for key, _ in keys}
    assert found["raw"] >= sum(word in mine for word in words)
    assert {name: found[name] for name in ("base64", "hex")} == expected(keys, sorted(words))
