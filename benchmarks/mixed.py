"""A mixed table as departments deliver it: twenty columns of text, every kind of identifier beside its look-alikes.

Identifiers come from `synthetic.providers` (ranges nobody holds); the same rows and seed give the same table. Five
resident IDs hide in as many forms among the product codes; one remark in forty carries a mobile, one in two hundred an
ID.
"""

from __future__ import annotations

import base64

import numpy as np
import polars as pl

from synthetic import providers
from synthetic.providers.pools import Words, decimal_texts, pick, words

HIDDEN_IN = "产品编码"
_FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
_MISSING = words(["", "-", "无", "NULL"])


def table(rows: int, seed: int = 1) -> pl.DataFrame:
    """`rows` rows (at least 100) of twenty text columns."""
    rng = np.random.default_rng(seed)
    people = providers.people(rng, rows)
    districts, streets = providers.places(rng, rows)
    mobiles = providers.mobiles(rng, rows)
    columns: dict[str, Words] = {
        "身份证号": people.resident_ids,
        "姓名": people.names,
        "手机号": mobiles,
        "办公电话": providers.landlines(rng, rows),
        "统一社会信用代码": providers.usccs(rng, rows),
        "单位名称": providers.company_names(rng, rows),
        "住址": providers.addresses(rng, districts, streets),
        "银行卡号": providers.bank_cards(rng, rows),
        "号牌号码": providers.plates(rng, rows),
        "车架号": providers.vins(rng, rows),
        "电子邮箱": providers.emails(rng, rows),
        "登录IP": _addresses(rng, rows),
        "订单号": _numbers(rng, rows, 10**17, 10**18),
        "案件编号": _case_numbers(rng, rows),
        "业务流水号": _numbers(rng, rows, 17 * 10**17, 18 * 10**17),
        "交易时间戳": _stamps(rng, rows),
        HIDDEN_IN: _codes(rng, rows),
        "备注": _remarks(rng, rows, mobiles, people.resident_ids),
        "金额": decimal_texts(rng.integers(1, 10**6, rows)) + "." + _numbers(rng, rows, 10, 100),
        "登记日期": _days(rng, rows).astype(str).astype(object),
    }
    for values in columns.values():
        gone = np.flatnonzero(rng.random(rows) < 0.01)
        values[gone] = pick(rng, tuple(_MISSING), len(gone))
    frame = pl.DataFrame({name: values.tolist() for name, values in columns.items()})
    return frame.with_columns(_hidden(frame[HIDDEN_IN], people.resident_ids))


def disguises(resident_ids: Words) -> list[str]:
    """Five IDs in five forms: as it is, with hyphens, in full width, with dots, as base64."""
    plain, hyphens, wide, dots, packed = (str(v) for v in resident_ids[-5:])
    parts = lambda v: (v[:6], v[6:14], v[14:])  # noqa: E731
    return [
        plain, "-".join(parts(hyphens)), wide.translate(_FULL_WIDTH), ".".join(parts(dots)),
        base64.b64encode(packed.encode()).decode(),
    ]  # fmt: skip


def _hidden(codes: pl.Series, resident_ids: Words) -> pl.Series:
    places = np.linspace(7, len(codes) - 1, 5).astype(int)
    return codes.scatter(places.tolist(), disguises(resident_ids))


def _numbers(rng: np.random.Generator, n: int, low: int, high: int) -> Words:
    return decimal_texts(rng.integers(low, high, n))


def _days(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.datetime64("2018-01-01") + rng.integers(0, 2500, n).astype("timedelta64[D]")


def _compact_days(rng: np.random.Generator, n: int) -> Words:
    return words([day.replace("-", "") for day in _days(rng, n).astype(str).tolist()])


def _case_numbers(rng: np.random.Generator, n: int) -> Words:
    """Area, date and serial: 18 digits of which one in eleven passes every check of a resident ID."""
    return _numbers(rng, n, 440103, 440119) + _compact_days(rng, n) + _numbers(rng, n, 1000, 10_000)


def _stamps(rng: np.random.Generator, n: int) -> Words:
    clock = rng.integers(0, 86_400, n)
    seconds = clock // 3600 * 10_000 + clock // 60 % 60 * 100 + clock % 60
    return _compact_days(rng, n) + words([f"{s:06d}" for s in seconds.tolist()]) + _numbers(rng, n, 1000, 10_000)


def _addresses(rng: np.random.Generator, n: int) -> Words:
    parts = rng.integers(1, 255, (2, n))
    return "10." + _numbers(rng, n, 0, 256) + "." + decimal_texts(parts[0]) + "." + decimal_texts(parts[1])


def _codes(rng: np.random.Generator, n: int) -> Words:
    heads = pick(rng, ("SKU-D", "SKU-E", "PN-G", "GD-"), n)
    return heads + _numbers(rng, n, 10**6, 10**8)


def _remarks(rng: np.random.Generator, n: int, mobiles: Words, resident_ids: Words) -> Words:
    remarks = providers.remarks(rng, n) + "第" + decimal_texts(np.arange(n)) + "件"
    dice = rng.random(n)
    called, named = np.flatnonzero(dice < 1 / 40), np.flatnonzero(dice > 1 - 1 / 200)
    remarks[called] = remarks[called] + "，联系电话" + mobiles[called]
    remarks[named] = "本人身份证" + resident_ids[named] + "，" + remarks[named]
    return remarks


def tall(texts: int) -> pl.LazyFrame:
    """One column of `texts` different remarks of some fifty characters, made while it is written."""
    number = pl.int_range(texts, eager=False)
    said = pl.format(
        "第{}号来信反映小区停车难的问题，街道已派员核实，答复来信人并请其于{}日内补充材料", number, number % 90
    )
    return pl.select(备注=said, eager=False)
