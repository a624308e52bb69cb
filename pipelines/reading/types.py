"""The type of every column, decided over all rows: a sample gives the hypothesis, one full pass proves or drops it.

Shapes are exact: what has the shape of a type converts to it (a property test holds this), so counting shapes over all
rows is the proof, and nothing has to be converted to know whether it would.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from pipelines.reading.digits import Digits, digits, only_unit
from pipelines.reading.findings import ReadFinding, finding
from pipelines.reading.recipe import DOUBTFUL, ColumnRecipe, Recipe
from pipelines.reading.tallies import number_of, tallies
from pipelines.reading.values import (
    DATES,
    DIGITS_ONLY,
    EITHER_ORDER,
    FULL_WIDTH,
    INEXACT,
    MIDNIGHT,
    NUMBERS,
    PARTIAL_DATE,
    conversion,
    date_text,
    folded,
    parsed_dates,
    present,
    trimmed,
)
from policies.text import Text

Family = Literal["text", "number", "date", "boolean"]
_SAMPLE = 10_000
_COLUMNS_AT_ONCE = 50
_PLACES = 5  # where in a large table the sample is taken
_ENOUGH = 2_000  # distinct values that tell what most of them look like
_EXACT_DISTINCT_ROWS = 200_000
_PROBABLE = 0.9  # share of the sample that must fit for a family to be tested on all rows
_FITS, _FITS_BY_NAME = 0.995, 0.9  # share of all values that must fit; lower where the column's name says so
_CODE = re.compile(r"(代码|编码|邮编|(?i:(?<![a-z])code))$|[a-z_]Code$|(?i:^code(?![a-z]))")
_NUMBERED = re.compile(r"(号|码|证|编号)$|(?i:(^|[_ \-.])(id|no|num))$|[a-z]I[dD]$")
_DATED = re.compile(r"日期|时间|日$|出生|年月|(?i:date|time|day$|_at$|birth)")
_FURTHER = ("whole", "fraction", "of_unit", "wide", "first", "second", "partial", "midnight")
_PERIOD = re.compile(r"年月|月份|所属期|(?i:month|period)")
_DATE_KIND, _BOOLEAN_KIND, _NUMBER_KIND = Text("日期", "dates"), Text("是否值", "yes or no"), Text("数值", "numbers")


@dataclass(slots=True)
class ColumnProfile:
    """What is known of one column over all loaded rows. `distinct` counts values other than missing ones.

    `breaks` counts line breaks inside cells. `clean`: no cell has blanks at its ends or spells a missing value; `sure`:
    every value there is fits the type.
    """

    name: str
    type: str
    role: str
    rows: int
    missing: int
    distinct: int
    distinct_exact: bool
    breaks: int = 0
    clean: bool = False
    sure: bool = False
    refused: int = 0
    findings: list[ReadFinding] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "type": self.type, "role": self.role, "missing": self.missing, "distinct": self.distinct,
            "distinct_exact": self.distinct_exact,
        }  # fmt: skip


def infer(text: Path, recipe: Recipe, declared: Mapping[str, str]) -> tuple[Recipe, list[ColumnProfile]]:
    """Decide the types of the columns the recipe leaves open, and profile all of them.

    Args:
        text: Parquet file with every column as text.
        recipe: decisions already taken are kept.
        declared: types the source itself states (Parquet files), by column.
    """
    frame = pl.scan_parquet(text)
    names = frame.collect_schema().names()
    rows = int(frame.select(pl.len()).collect().item())
    sample = _sample(frame, rows)
    columns: list[ColumnRecipe] = []
    profiles: list[ColumnProfile] = []
    tally = tallies(text, names)
    for start in range(0, len(names), _COLUMNS_AT_ONCE):
        now = names[start : start + _COLUMNS_AT_ONCE]
        part = [_Column(n, sample[n], recipe, declared.get(n), rows, tally.get(n)) for n in now]
        counts, chosen, bad = _decided(frame, part, {})
        # Values that the sample did not foresee: ask these columns for every shape, and decide anew.
        unforeseen = [c for c in part if c.surprised(bad, counts)]
        if unforeseen:
            again = _decided(frame, unforeseen, counts)
            counts, chosen, bad = again[0], {**chosen, **again[1]}, {**bad, **again[2]}
        for column in part:
            final, profile = column.settle(chosen[column.name], counts, bad[column.name])
            columns.append(final)
            profiles.append(profile)
    return recipe.model_copy(update={"columns": tuple(columns)}), profiles


def _sample(frame: pl.LazyFrame, rows: int) -> pl.DataFrame:
    """Rows from several places of the table: files are often sorted."""
    if rows <= _SAMPLE:
        return frame.collect()
    size = _SAMPLE // _PLACES
    starts = [(rows - size) * k // (_PLACES - 1) for k in range(_PLACES)]
    return pl.concat(pl.collect_all([frame.slice(start, size) for start in starts]))


def _asked(
    frame: pl.LazyFrame, columns: Sequence[_Column], questions: Callable[[_Column], list[pl.Expr]]
) -> dict[str, Any]:
    """The answers: over all rows together, or over the values of a column that is stored by code."""
    plain = [c for c in columns if c.tally is None]
    alone = [(c.tally.lazy(), [c]) for c in columns if c.tally is not None]
    asked = [(source, some, [e for c in some for e in questions(c)]) for source, some in [(frame, plain), *alone]]
    frames = [_prepared(source, some).select(wanted) for source, some, wanted in asked if wanted]
    answers = pl.collect_all(frames, engine="streaming") if frames else []
    return {what: told for answer in answers for what, told in answer.row(0, named=True).items()}


def _prepared(frame: pl.LazyFrame, columns: Sequence[_Column]) -> pl.LazyFrame:
    """Per column its text, its trimmed text (`s`), that without spellings of missing (`v`) where it is wanted, and the
    text in which shapes are looked for (`t`)."""
    given = [e for c in columns for e in (pl.col(c.name), trimmed(c.name).alias(f"{c.name}\0s"))]
    numbers = [pl.col(number_of(c.name)) for c in columns if c.tally is not None]
    masked = [present(pl.col(f"{c.name}\0s"), c.missing).alias(f"{c.name}\0v") for c in columns if c.masked]
    forms = [form for c in columns if (form := c.form()) is not None]
    return frame.select(*given, *numbers).with_columns(masked).with_columns(forms)


def _decided(
    frame: pl.LazyFrame, columns: Sequence[_Column], known: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, ColumnRecipe], dict[str, int]]:
    """Count shapes over all rows, choose the types, and say how many values the chosen ones refuse.

    `known` are the answers of an earlier round; what it asked of all columns is not asked again.
    """
    counts = {**known, **_asked(frame, columns, lambda c: [*([] if known else c.questions()), *c.shape_questions()])}
    chosen = {c.name: c.decide(counts) for c in columns}
    unsure = [c for c in columns if not c.is_exact(chosen[c.name])]
    counts |= _asked(frame, unsure, lambda c: c.conversion_questions(chosen[c.name]))
    return counts, chosen, {c.name: c.refused(chosen[c.name], counts) for c in columns}


class _Column:
    """One column on its way from sample to decision. `tally`: its values, where it is stored by code."""

    def __init__(
        self, name: str, sample: pl.Series, recipe: Recipe, declared: str | None, rows: int, tally: pl.DataFrame | None
    ) -> None:
        self.name, self.rows, self.tally = name, rows, tally
        self.given = recipe.column(name)
        self.findings: list[ReadFinding] = []
        present = sample.str.strip_chars().drop_nulls()
        self.missing = self.given.missing if self.given else _missing_spellings(present, recipe.missing)
        self.doubtful = [s for s in recipe.missing if s in DOUBTFUL and s not in self.missing]
        known = present.is_in(list(self.missing))
        self.spelled = sorted(s for s in present.filter(known).unique() if s)
        values = present.filter(~known).unique(maintain_order=True)
        self.declared = declared
        self.family: Family = "text" if self.given else _family(name, values.head(_ENOUGH))
        self.open = self.given is None and declared is None and self.family in ("number", "date")
        self.shapes = _seen_shapes(values, self.family) if self.open else {}
        self.unit = only_unit(values) if self.open else None
        self.wide = self.open and bool(values.str.contains(FULL_WIDTH).any())
        self.digits = Digits.of(values, self.unit) if self.open and self.family == "number" else None

    def _key(self, what: str) -> str:
        return f"{self.name}\0{what}"

    @property
    def exact(self) -> bool:
        """Whether distinct values are counted one by one."""
        return self.rows <= _EXACT_DISTINCT_ROWS

    @property
    def masked(self) -> bool:
        """Whether spellings of missing must be taken out before values are counted: one looks like a value, or the
        distinct ones are counted. Otherwise no shape takes them for a value, and the copy is saved."""
        return self.exact or any(re.search(shape, m) for m in self.missing for shape in self.shapes.values())

    @property
    def value(self) -> pl.Expr:
        """The trimmed text that values are looked for in."""
        return pl.col(self._key("v" if self.masked else "s"))

    def _sum(self, found: pl.Expr) -> pl.Expr:
        """The sum over all cells of a number or of a yes (1) or no; of a tally's values each counts as often as it is
        there."""
        return found.sum() if self.tally is None else (found.cast(pl.Int64) * pl.col(number_of(self.name))).sum()

    def questions(self) -> list[pl.Expr]:
        """What one pass over all rows has to count for this column.

        Sums and maxima only: filters and lists of values would take the engine off its stream and into memory.
        """
        raw, text = pl.col(self.name), pl.col(self._key("s"))
        absent = text.is_in(list(self.missing))
        distinct = self.value.n_unique() if self.exact else self.value.approx_n_unique()
        nothing = (self.value.null_count() > 0).cast(pl.UInt32) + (0 if self.exact else len(self.spelled))
        asked = {
            "missing": self._sum(absent) + self._sum(raw.is_null()),
            "empty": self._sum(raw.is_null()),
            "breaks": self._sum(raw.str.count_matches("\n", literal=True)),
            "blanks": self._sum(raw.str.len_bytes()) - self._sum(text.str.len_bytes()),
            "distinct": distinct - nothing,
            "doubtful": self._sum(text.is_in(self.doubtful)) if self.doubtful else pl.lit(0),
            **{f"spelled {s}": self._sum(text == s) for s in self.spelled},
        }
        if self.open and self.family == "number":
            length = pl.when(absent).then(None).otherwise(text.str.len_chars())
            asked |= {"longest": length.max(), "shortest": length.min()}
        return [e.alias(self._key(what)) for what, e in asked.items()]

    def surprised(self, bad: Mapping[str, int], counts: Mapping[str, Any]) -> bool:
        """Whether values did not fit and shapes were left out, or have more digits than those of the sample; if so, all
        is asked for from now on."""
        everything = dict(NUMBERS) if self.family == "number" else {f: d.shape for f, d in DATES.items()}
        longer = self.digits is not None and counts.get(self._key("beyond"), 0) > 0
        if not self.open or not (bad[self.name] or longer) or (self.wide and len(self.shapes) == len(everything)):
            return False
        self.shapes, self.wide, self.digits, self.findings = everything, True, None, []
        return True

    def is_exact(self, chosen: ColumnRecipe) -> bool:
        """Whether the shapes tell what the chosen type refuses; else values have to be converted to know."""
        return chosen.type == "text" or (self.open and not INEXACT & set(chosen.formats))

    def conversion_questions(self, chosen: ColumnRecipe) -> list[pl.Expr]:
        """How many values the chosen type refuses, and for dates whether any has a time of day."""
        value = present(pl.col(self._key("s")), self.missing)
        done = conversion(value, chosen)
        asked = {"bad": self._sum(value.is_not_null() & done.is_null())}
        if any(DATES[f].time for f in chosen.formats):
            asked["timed"] = self._sum(done.dt.time() != pl.time(0, 0, 0))
        return [e.alias(self._key(what)) for what, e in asked.items()]

    def refused(self, chosen: ColumnRecipe, counts: Mapping[str, Any]) -> int:
        """How many values the chosen type refuses."""
        if chosen.type == "text":
            return 0
        if not self.is_exact(chosen):
            return int(counts[self._key("bad")])
        there = self.rows - int(counts[self._key("missing")])
        return there - sum(int(counts.get(self._key(shape), 0)) for shape in _accepted(chosen))

    def form(self) -> pl.Expr | None:
        """The text in which shapes are looked for, as column `t`."""
        if not self.open:
            return None
        value = self.value
        if self.family == "date":
            return date_text(value, self.shapes, fold=self.wide).alias(self._key("t"))
        return (folded(value) if self.wide else value).alias(self._key("t"))

    def shape_questions(self) -> list[pl.Expr]:
        """How many values have each shape, and what the decision on type, scale, unit and order needs besides."""
        if not self.open:
            return []
        text = pl.col(self._key("t"))
        asked = {name: self._sum(text.str.contains(shape)) for name, shape in self.shapes.items()}
        asked |= self._number_questions(text) if self.family == "number" else self._date_questions(text)
        if self.wide:
            asked["wide"] = self._sum(text != self.value)
        return [e.alias(self._key(what)) for what, e in asked.items()]

    def _number_questions(self, text: pl.Expr) -> dict[str, pl.Expr]:
        if self.shapes.keys() <= {"integer", "leading_zero", "long", "phone", "year_month"}:
            return {}
        of_unit = {} if self.unit is None else {"of_unit": self._sum(text.str.ends_with(self.unit))}
        if self.digits is not None:
            return {"beyond": self._sum(text.str.contains(self.digits.beyond)), **of_unit}
        whole, behind = digits(text, self.unit)
        return {"whole": whole.max(), "fraction": behind.max(), **of_unit}

    def _date_questions(self, text: pl.Expr) -> dict[str, pl.Expr]:
        asked: dict[str, pl.Expr] = {}
        if any(DATES[f].time for f in self.shapes):
            asked["midnight"] = self._sum(text.str.contains(MIDNIGHT))
        if "d/m/Y" in self.shapes or self.wide:
            parts = (r"^([0-9]{1,2})/[0-9]{1,2}/[0-9]{4}$", r"^[0-9]{1,2}/([0-9]{1,2})/[0-9]{4}$")
            first, second = (text.str.extract(p).cast(pl.Int32) for p in parts)
            partial = self._sum(text.str.contains(PARTIAL_DATE))
            asked |= {"first": first.max(), "second": second.max(), "partial": partial}
        return asked

    def decide(self, counts: Mapping[str, Any]) -> ColumnRecipe:
        """The hypothesis in full: type, formats, scale, unit."""
        got: dict[str, Any] = dict.fromkeys((*NUMBERS, *DATES, *_FURTHER), 0)
        if self.digits is not None:
            got |= {"whole": self.digits.whole, "fraction": self.digits.fraction}
        got |= {what: counts[self._key(what)] for what in self._asked(counts)}
        base = ColumnRecipe(name=self.name, missing=self.missing)
        if self.given is not None:
            return self.given
        if self.declared is not None:
            return base.model_copy(update=_declared(self.declared))
        if self.family == "number":
            return base.model_copy(update=self._number(got))
        if self.family == "date":
            return base.model_copy(update=self._date(got))
        return base.model_copy(update={"type": "boolean"}) if self.family == "boolean" else base

    def _asked(self, counts: Mapping[str, Any]) -> list[str]:
        prefix = f"{self.name}\0"
        return [key.removeprefix(prefix) for key in counts if key.startswith(prefix)]

    def _number(self, got: Mapping[str, Any]) -> dict[str, Any]:
        """Codes stay text; integers to 14 digits; decimals with the scale seen; one unit or none."""
        values = sum(got[k] for k in NUMBERS if k not in ("phone", "year_month"))
        if self._is_code(got, values):
            self.findings.append(finding("code_kept_as_text", column=self.name))
            return {"role": "code"}
        if got["unit"] or got["percent"]:
            return self._with_unit(got)
        if got["exponent"]:
            self.findings.append(finding("exponent_numbers", column=self.name, n=got["exponent"]))
            return {"type": "decimal", "thousands": got["thousands"] > 0, "fold_width": bool(got["wide"])}
        return self._plain_number(got)

    def _plain_number(self, got: Mapping[str, Any]) -> dict[str, Any]:
        scale, whole = got["fraction"] or 0, len(str(int(got["whole"] or 0)))
        shared = {"thousands": got["thousands"] > 0, "fold_width": bool(got["wide"])}
        if not scale and not got["decimal"]:
            return {"type": "integer", **shared}
        if whole + scale > 38:
            return {"type": "decimal", **shared}
        return {"type": "decimal", "precision": whole + scale, "scale": scale, **shared}

    def _with_unit(self, got: Mapping[str, Any]) -> dict[str, Any]:
        plain = got["integer"] + got["decimal"] + got["thousands"]
        if self.unit is None or plain or got["of_unit"] != got["unit"] + got["percent"]:
            self.findings.append(finding("mixed_units", column=self.name))
            return {}
        self.findings.append(finding("unit_in_values", column=self.name, unit=self.unit))
        return {**self._plain_number({**got, "thousands": 1}), "unit": self.unit}

    def _is_code(self, got: Mapping[str, Any], values: int) -> bool:
        if got["leading_zero"] or got["long"]:
            return True
        if got["decimal"] or got["thousands"] or got["unit"] or got["percent"] or got["exponent"]:
            return False
        if values and got["phone"] == values:
            return True
        if _PERIOD.search(self.name) and got["year_month"] >= _PROBABLE * values:
            return True
        one_length = got["longest"] == got["shortest"]
        length = got["longest"] or 0
        return one_length and (
            (length >= 2 and _CODE.search(self.name) is not None)
            or (length >= 6 and _NUMBERED.search(self.name) is not None)
        )

    def _date(self, got: Mapping[str, Any]) -> dict[str, Any]:
        used = [f for f in DATES if got[f] and f not in EITHER_ORDER]
        if got["d/m/Y"]:
            order = "d/m/Y" if (got["first"] or 0) > 12 else "m/d/Y" if (got["second"] or 0) > 12 else None
            if order is None or ((got["first"] or 0) > 12 and (got["second"] or 0) > 12):
                self.findings.append(finding("ambiguous_dates", column=self.name))
                return {}
            used.append(order)
        if got["partial"]:
            self.findings.append(finding("partial_dates", column=self.name, n=got["partial"]))
        if len({f.split(" ")[0] for f in used}) > 1:
            self.findings.append(finding("mixed_date_spellings", column=self.name, n=len(used)))
        if any(DATES[f].offset for f in used):
            self.findings.append(finding("utc_timestamps", column=self.name))
        return {"type": "date", "formats": tuple(used), "fold_width": bool(got["wide"])}

    def settle(self, chosen: ColumnRecipe, counts: Mapping[str, Any], bad: int) -> tuple[ColumnRecipe, ColumnProfile]:
        """Keep the hypothesis if all rows bear it out, else leave the column text; and profile it."""
        missing = int(counts[self._key("missing")])
        there = self.rows - missing
        if chosen.type == "date" and self._has_times(chosen, counts):
            chosen = chosen.model_copy(update={"type": "timestamp"})
        limit = _FITS_BY_NAME if self.family == "date" and _DATED.search(self.name) else _FITS
        if bad and self.given is None and there - bad < limit * there:
            share = round(100 * (there - bad) / there, 1)
            self.findings = [finding("mixed_values", column=self.name, share=share, kind=_kind(chosen.type), n=bad)]
            chosen, bad = ColumnRecipe(name=self.name, missing=self.missing), 0
        elif bad:
            self.findings.append(finding("values_refused", column=self.name, n=bad, kind=_kind(chosen.type)))
        if counts.get(self._key("wide")) and chosen.fold_width:
            wide = counts[self._key("wide")]
            self.findings.append(finding("full_width_values", column=self.name, n=wide))
        self._spellings(counts)
        clean = not counts[self._key("blanks")] and missing == counts[self._key("empty")]
        profile = ColumnProfile(
            self.name, chosen.type, chosen.role, self.rows, missing, max(0, int(counts[self._key("distinct")])),
            self.exact, int(counts[self._key("breaks")] or 0), clean, bad == 0, bad, self.findings,
        )  # fmt: skip
        return chosen, profile

    def _has_times(self, chosen: ColumnRecipe, counts: Mapping[str, Any]) -> bool:
        """Whether any value has a time of day other than midnight."""
        timed = [f for f in chosen.formats if DATES[f].time]
        if not timed or self._key("timed") in counts:
            return bool(timed and counts[self._key("timed")])
        return sum(int(counts[self._key(f)]) for f in timed) > int(counts[self._key("midnight")])

    def _spellings(self, counts: Mapping[str, Any]) -> None:
        if self.spelled:
            shown = "、".join(f"{s} × {counts[self._key(f'spelled {s}')]}" for s in self.spelled)
            self.findings.append(finding("missing_spellings", column=self.name, spellings=shown))
        if counts[self._key("doubtful")]:
            n = counts[self._key("doubtful")]
            self.findings.append(finding("maybe_missing", column=self.name, spelling="、".join(self.doubtful), n=n))


def _accepted(chosen: ColumnRecipe) -> tuple[str, ...]:
    """The shapes that the chosen type takes; they do not overlap."""
    if chosen.type in ("date", "timestamp"):
        return chosen.formats
    if chosen.unit is not None:
        return ("percent", "unit")
    grouped = ("thousands",) if chosen.thousands else ()
    if chosen.type == "integer":
        return ("integer", *grouped)
    return ("integer", "decimal", *grouped, *(("exponent",) if chosen.scale is None else ()))


def _kind(type_: str) -> Text:
    if type_ in ("date", "timestamp"):
        return _DATE_KIND
    return _BOOLEAN_KIND if type_ == "boolean" else _NUMBER_KIND


def _missing_spellings(present: pl.Series, spellings: tuple[str, ...]) -> tuple[str, ...]:
    """Without those that are values here: `无` and `未知` among a few short codes, `NA` among two-letter codes."""
    values = present.filter(~present.is_in(list(spellings))).unique()
    few = 2 <= values.len() <= 12 and bool((values.str.len_chars() <= 6).all())
    two_letters = values.len() > 2 and bool(values.str.contains(r"^[A-Z]{2}$").all())
    kept = {"NA"} if two_letters else set()
    if few and not bool(values.str.contains(r"^[\d.,%-]+$").all()):
        kept |= {"无", "未知", "不详"}
    return tuple(s for s in spellings if s not in kept)


def _seen_shapes(values: pl.Series, family: Family) -> dict[str, str]:
    """The shapes the sample has; few columns ever need the others."""
    frame = pl.DataFrame({"v": values})
    if family == "number":
        text, shapes = folded(pl.col("v")), dict(NUMBERS)
    else:
        text, shapes = date_text(pl.col("v"), DATES, fold=True), {f: d.shape for f, d in DATES.items()}
    found = frame.select(text.alias("t")).select(pl.col("t").str.contains(s).any().alias(n) for n, s in shapes.items())
    return {name: shapes[name] for name, there in found.row(0, named=True).items() if there}


def _family(name: str, values: pl.Series) -> Family:
    """What most distinct values of the sample look like."""
    if not values.len():
        return "text"
    low = set(values.str.to_lowercase().head(3).to_list())
    if values.len() == 2 and low in ({"是", "否"}, {"y", "n"}, {"true", "false"}):
        return "boolean"
    frame = pl.DataFrame({"v": values})
    dates = frame.select(date_text(pl.col("v"), DATES, fold=True).alias("v"))
    shapes = {f: dates.select(pl.col("v").str.contains(d.shape).sum()).item() for f, d in DATES.items()}
    dated = sum(n for f, n in shapes.items() if f != "m/d/Y")
    spelled = dated - sum(shapes[f] for f in DIGITS_ONLY)
    if dated >= _PROBABLE * values.len() and (spelled or _digits_are_dates(name, dates)):
        return "date"
    number = frame.select(pl.any_horizontal(folded(pl.col("v")).str.contains(s) for s in NUMBERS.values()).sum()).item()
    return "number" if number >= _PROBABLE * values.len() else "text"


def _digits_are_dates(name: str, dates: pl.DataFrame) -> bool:
    """Eight digits are dates when every one is a real date and either the name says so or there are many."""
    real = dates.select(parsed_dates(pl.col("v"), ("Ymd", "YmdHMS")).is_not_null().sum()).item()
    if _CODE.search(name) or _NUMBERED.search(name):
        return False
    return real == dates.height and (bool(_DATED.search(name)) or real >= 20)


def _declared(kind: str) -> dict[str, Any]:
    """The recipe of a column whose type the source states."""
    if kind == "date":
        return {"type": "date", "formats": ("Y-m-d",)}
    if kind == "timestamp":
        return {"type": "timestamp", "formats": ("Y-m-d H:M:S", "Y-m-d")}
    return {"type": kind}
