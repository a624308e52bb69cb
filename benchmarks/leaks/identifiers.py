"""Leaks of identifiers: in every place of a file, under every disguise, and values that lead back to the source."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable
from random import Random

import polars as pl

from benchmarks.leaks.registry import Pair, case
from benchmarks.leaks.town import BY_HAND, Town, report

HARMLESS = "示范路"
Words = Callable[[Town, Random], str]


def people(town: Town) -> pl.DataFrame:
    """Residents as the source of the products here."""
    return town.residents.select("身份证号", "姓名", "手机号", "现住址", "性别", "所属区").filter(
        pl.col("手机号").is_not_null()
    )


def summary(town: Town) -> pl.DataFrame:
    """A small table of districts, with nobody in it."""
    counts = people(town).group_by("所属区").agg(人数=(pl.len() // 5) * 5).sort("所属区")
    return counts.with_columns(说明=pl.lit("常住人口"))


def _value(column: str) -> Words:
    return lambda town, rng: rng.choice(people(town)[column].to_list())


def _card(_: Town, rng: Random) -> str:
    head = "622202" + "".join(rng.choice("0123456789") for _ in range(9))
    total = sum(sum(divmod(int(c) * (2 - i % 2), 10)) for i, c in enumerate(head))
    return head + str(-total % 10)


def _plate(_: Town, rng: Random) -> str:
    return "粤A" + "".join(rng.choice("0123456789") for _ in range(3)) + rng.choice("BCDFG") + rng.choice("0123456789")


def _vin(_: Town, rng: Random) -> str:
    letters = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"
    values = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", (*range(1, 9), *range(1, 6), 7, 9, *range(2, 10)), strict=True))
    body = [rng.choice(letters) for _ in range(17)]
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    total = sum(w * values.get(c, int(c) if c.isdigit() else 0) for w, c in zip(weights, body, strict=True))
    body[8] = "0123456789X"[total % 11]
    return "".join(body)


def _email(_: Town, rng: Random) -> str:
    return f"user{rng.randint(1000, 9999)}@example.cn"


KINDS: dict[str, Words] = {
    "resident id": _value("身份证号"), "mobile": _value("手机号"), "bank card": _card, "plate": _plate, "vin": _vin,
    "email": _email,
}  # fmt: skip


def _wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


DISGUISES: dict[str, Callable[[str], str]] = {
    "spaced": lambda v: f"{v[:6]} {v[6:14]} {v[14:]}", "hyphens": lambda v: f"{v[:6]}-{v[6:14]}-{v[14:]}",
    "full width": _wide, "in a sentence": lambda v: f"经办人证件{v}已核", "with quotes": lambda v: f"'{v}'",
    "zero-width": lambda v: "\u200b".join((v[:9], v[9:])), "bracketed": lambda v: f"（{v}）",
}  # fmt: skip


def _csv(table: pl.DataFrame, note: str) -> bytes:
    row = pl.int_range(pl.len()) == 1
    return table.with_columns(说明=pl.when(row).then(pl.lit(note)).otherwise("说明")).write_csv().encode()


def _pair(town: Town, name: str, leak: bytes, twin: bytes, *, leak_name: str = "", **changes: object) -> Pair:
    sources = {"t": town.source(people(town), "身份证号", identifiers=("姓名", "手机号", "现住址"))}
    return Pair(report(sources, {leak_name or name: leak}, **changes), report(sources, {name: twin}))


def _plant_kinds() -> None:
    for kind, words in KINDS.items():

        @case(f"{kind} in a cell", "EXP-PII-01", "csv", BY_HAND)
        def in_cell(town: Town, kind: str = kind, words: Words = words) -> Pair:
            table = summary(town)
            value = words(town, town.rng(kind))
            return _pair(town, "区.csv", _csv(table, value), _csv(table, HARMLESS))

    for how, disguise in DISGUISES.items():

        @case(f"resident id {how}", "EXP-PII-01", "csv", BY_HAND)
        def disguised(town: Town, how: str = how, disguise: Callable[[str], str] = disguise) -> Pair:
            table = summary(town)
            value = disguise(KINDS["resident id"](town, town.rng(how)))
            return _pair(town, "区.csv", _csv(table, value), _csv(table, HARMLESS))

    for how, form in (("+86", "+86 {}"), ("86-", "86-{}"), ("spaced", "{:.3} {:.4s}")):

        @case(f"mobile written {how}", "EXP-PII-01", "csv", BY_HAND)
        def dialled(town: Town, how: str = how, form: str = form) -> Pair:
            value = KINDS["mobile"](town, town.rng(how))
            text = f"{value[:3]} {value[3:7]} {value[7:]}" if how == "spaced" else form.format(value)
            table = summary(town)
            return _pair(town, "区.csv", _csv(table, f"电话{text}"), _csv(table, HARMLESS))


_plant_kinds()


@case("resident id in a header", "EXP-PII-01", "csv", BY_HAND)
def header(town: Town) -> Pair:
    table = summary(town)
    value = KINDS["resident id"](town, town.rng("header"))
    return _pair(town, "区.csv", table.rename({"说明": value}).write_csv().encode(), table.write_csv().encode())


@case("resident id in the name of the file", "EXP-PII-01", "csv", BY_HAND)
def file_name(town: Town) -> Pair:
    raw = summary(town).write_csv().encode()
    return _pair(town, "区.csv", raw, raw, leak_name=f"{KINDS['resident id'](town, town.rng('name'))}.csv")


@case("mobile in the title", "EXP-PII-01", "request", BY_HAND)
def title(town: Town) -> Pair:
    raw = summary(town).write_csv().encode()
    return _pair(town, "区.csv", raw, raw, texts={"title": f"联系 {KINDS['mobile'](town, town.rng('title'))}"})


def _json(table: pl.DataFrame, **more: str) -> bytes:
    return json.dumps([row | more for row in table.iter_rows(named=True)], ensure_ascii=False).encode()


@case("resident id in json", "EXP-PII-01", "json", BY_HAND)
def in_json(town: Town) -> Pair:
    value = KINDS["resident id"](town, town.rng("json"))
    return _pair(town, "区.json", _json(summary(town), 备注=value), _json(summary(town), 备注=HARMLESS))


@case("mobile as a key of json", "EXP-PII-01", "json", BY_HAND)
def in_json_key(town: Town) -> Pair:
    value = KINDS["mobile"](town, town.rng("key"))
    return _pair(town, "区.json", _json(summary(town), **{value: "a"}), _json(summary(town), 备注="a"))


def _parquet(table: pl.DataFrame, note: str) -> bytes:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table.to_arrow().replace_schema_metadata({"来源": note}), buffer)
    return buffer.getvalue()


@case("resident id in the metadata of parquet", "EXP-PII-01", "parquet", BY_HAND)
def in_metadata(town: Town) -> Pair:
    value = KINDS["resident id"](town, town.rng("meta"))
    return _pair(town, "区.parquet", _parquet(summary(town), value), _parquet(summary(town), "统计"))


@case("mobile in a column of parquet", "EXP-PII-01", "parquet", BY_HAND)
def in_parquet(town: Town) -> Pair:
    table = summary(town)
    value = KINDS["mobile"](town, town.rng("parquet"))
    return _pair(town, "区.parquet", _parquet(table.with_columns(说明=pl.lit(value)), "统计"), _parquet(table, "统计"))


def _xlsx(table: pl.DataFrame, sheet: str = "汇总", comment: str = "", hidden: str = "", author: str = "") -> bytes:
    import xlsxwriter

    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer)
    page = book.add_worksheet(sheet)
    for number, row in enumerate([table.columns, *table.rows()]):
        page.write_row(number, 0, row)
    if comment:
        page.write_comment(1, 0, comment)
    if hidden:
        other = book.add_worksheet("h")
        other.write_column(0, 0, ["项", hidden])
        other.hide()
    if author:
        book.set_properties({"author": author})
    book.close()
    return buffer.getvalue()


XLSX = {"a comment": "comment", "a hidden sheet": "hidden", "the properties": "author"}


def _plant_xlsx() -> None:
    for where, argument in XLSX.items():

        @case(f"resident id in {where} of a workbook", "EXP-PII-01", "xlsx", BY_HAND)
        def in_workbook(town: Town, where: str = where, argument: str = argument) -> Pair:
            value = KINDS["resident id"](town, town.rng(where))
            return _pair(town, "区.xlsx", _xlsx(summary(town), **{argument: value}), _xlsx(summary(town)))


_plant_xlsx()


@case("mobile as the name of a sheet", "EXP-PII-01", "xlsx", BY_HAND)
def sheet_name(town: Town) -> Pair:
    value = KINDS["mobile"](town, town.rng("sheet"))
    return _pair(town, "区.xlsx", _xlsx(summary(town), sheet=value), _xlsx(summary(town)))


ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str, "md5": lambda v: hashlib.md5(v.encode(), usedforsecurity=False).hexdigest(),
    "sha1": lambda v: hashlib.sha1(v.encode(), usedforsecurity=False).hexdigest(),
    "sha256": lambda v: hashlib.sha256(v.encode()).hexdigest(),
    "sm3": lambda v: hashlib.new("sm3", v.encode()).hexdigest(),
    "base64": lambda v: base64.b64encode(v.encode()).decode(), "hex": lambda v: v.encode().hex(),
    "upper-case md5": lambda v: hashlib.md5(v.encode(), usedforsecurity=False).hexdigest().upper(),
    "upper-case sha256": lambda v: hashlib.sha256(v.encode()).hexdigest().upper(),
}  # fmt: skip


def _plant_encodings() -> None:
    for column in ("身份证号", "手机号"):
        for encoding, encode in ENCODINGS.items():

            @case(f"{column} as {encoding} leads back", "EXP-JOIN-01", "csv", BY_HAND)
            def leads_back(town: Town, column: str = column, encode: Callable[[str], str] = encode) -> Pair:
                table = summary(town)
                value = encode(KINDS["resident id" if column == "身份证号" else "mobile"](town, town.rng(column)))
                return _pair(town, "区.csv", _csv(table, value), _csv(table, HARMLESS))


_plant_encodings()


CUTS: dict[str, tuple[str, tuple[int, ...]]] = {
    "resident id in two columns": ("身份证号", (6, 18)), "resident id in three columns": ("身份证号", (6, 14, 18)),
    "mobile in two columns": ("手机号", (7, 11)), "mobile in three columns": ("手机号", (3, 7, 11)),
}  # fmt: skip


def _pieces(values: list[str], ends: tuple[int, ...]) -> bytes:
    starts = (0, *ends)
    columns = {f"段{i + 1}": [v[a:b] for v in values] for i, (a, b) in enumerate(zip(starts, ends, strict=False))}
    return pl.DataFrame({"序": [f"第{i}组" for i in range(len(values))], **columns}).write_csv().encode()


def _plant_cuts() -> None:
    for what, (column, ends) in CUTS.items():

        @case(what, "EXP-JOIN-02", "csv", BY_HAND)
        def cut(town: Town, column: str = column, ends: tuple[int, ...] = ends) -> Pair:
            values = _rows(town, column)
            # the twin says no more than where and how people are registered: the number that tells them apart is gone
            return _pair(town, "表.csv", _pieces(values, ends), _pieces([v[: ends[-2]] for v in values], ends[:-1]))


_plant_cuts()


def _column(town: Town, name: str, values: list[str], twin: list[str]) -> Pair:
    leak, clean = (pl.DataFrame({"序": [f"第{i}组" for i in range(len(values))], name: v}) for v in (values, twin))
    return _pair(town, "表.csv", leak.write_csv().encode(), clean.write_csv().encode())


def _rows(town: Town, column: str, n: int = 40) -> list[str]:
    return people(town)[column].drop_nulls().sample(n, seed=town.seed).to_list()


@case("names of residents", "EXP-PII-02", "csv", BY_HAND)
def names(town: Town) -> Pair:
    return _column(town, "名称", _rows(town, "姓名"), [f"网格{i % 9}" for i in range(40)])


@case("addresses of residents", "EXP-PII-02", "csv", BY_HAND)
def addresses(town: Town) -> Pair:
    return _column(town, "位置", _rows(town, "现住址"), [f"网格{i % 9}" for i in range(40)])


@case("landlines", "EXP-PII-02", "csv", BY_HAND)
def landlines(town: Town) -> Pair:
    rng = town.rng("landline")
    values = [f"020-8{rng.randint(1000000, 9999999)}" for _ in range(40)]
    return _column(town, "联系电话", values, [f"网格{i % 9}" for i in range(40)])


@case("network addresses", "EXP-PII-02", "csv", BY_HAND)
def networks(town: Town) -> Pair:
    rng = town.rng("ip")
    values = [".".join(str(rng.randint(11, 250)) for _ in range(4)) for _ in range(40)]
    return _column(town, "地址", values, [f"网格{i % 9}" for i in range(40)])


@case("keyed digests of residents", "EXP-OPAQUE-01", "csv", BY_HAND)
def digests(town: Town) -> Pair:
    values = [hashlib.sha256(f"salt{v}".encode()).hexdigest() for v in _rows(town, "身份证号")]
    return _column(town, "标识", values, [f"G{i % 9}" for i in range(40)])


@case("encrypted records", "EXP-OPAQUE-01", "csv", BY_HAND)
def encrypted(town: Town) -> Pair:
    rng = town.rng("bytes")
    values = [base64.b64encode(rng.randbytes(24)).decode() for _ in range(40)]
    return _column(town, "数据", values, [f"档位{i % 9}" for i in range(40)])


@case("random uuids", "EXP-OPAQUE-01", "csv", BY_HAND)
def uuids(town: Town) -> Pair:
    rng = town.rng("uuid")
    values = [f"{rng.getrandbits(32):08x}-{rng.getrandbits(16):04x}-{rng.getrandbits(48):012x}" for _ in range(40)]
    return _column(town, "编号", values, [f"档位{i % 9}" for i in range(40)])


@case("what people said", "EXP-TEXT-01", "csv", BY_HAND)
def prose(town: Town) -> Pair:
    parts = ("反复咳嗽数月后自行停药", "在外地务工期间摔伤右腿", "家属陪同前来并补交材料", "曾因同样症状在社区就诊")
    rng = town.rng("prose")
    values = [f"本人自述{i}年前{rng.choice(parts)}，{rng.choice(parts)}，现要求复查并开具证明" for i in range(40)]
    return _column(town, "情况", values, ["已办结"] * 40)


@case("where a person lives, to ten metres", "EXP-COORD-01", "csv", BY_HAND)
def points(town: Town) -> Pair:
    rng = town.rng("points")
    places = [(113 + rng.random(), 23 + rng.random()) for _ in range(40)]
    fine, coarse = (
        pl.DataFrame({"经度": [f"{x:.{d}f}" for x, _ in places], "纬度": [f"{y:.{d}f}" for _, y in places]})
        .write_csv().encode() for d in (5, 2)
    )  # fmt: skip
    return _pair(town, "点.csv", fine, coarse)


@case("coordinates in one column", "EXP-COORD-01", "csv", BY_HAND)
def pairs_of_numbers(town: Town) -> Pair:
    rng = town.rng("pair")
    values = [f"{113 + rng.random():.6f},{23 + rng.random():.6f}" for _ in range(40)]
    return _column(town, "落点", values, [f"网格{i % 9}" for i in range(40)])


FORMULAS = {"equals": "=1+1", "a link": '=HYPERLINK("http://example.cn","x")', "plus": "+1+cmd", "at": "@SUM(A1)",
            "full width": "＝1+1"}  # fmt: skip


def _plant_formulas() -> None:
    for how, text in FORMULAS.items():

        @case(f"a formula that starts with {how}", "EXP-FORMULA-01", "csv", BY_HAND)
        def formula(town: Town, text: str = text) -> Pair:
            return _pair(town, "区.csv", _csv(summary(town), text), _csv(summary(town), HARMLESS))


_plant_formulas()
