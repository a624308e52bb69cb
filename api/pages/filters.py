"""How values are written on pages: times in Asia/Shanghai, grouped numbers, decimal sizes, bilingual text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from api.pages.views import Column
from api.pages.words_quality import why_apart
from policies.text import Text
from policies.verdict import Finding
from sandbox.exports.spoken import place_text, value_text

SHANGHAI = ZoneInfo("Asia/Shanghai")
DASH = "—"


def when(value: datetime | None) -> Markup | str:
    """`2026-11-23 09:41` in Asia/Shanghai inside a <time>; one without zone counts as UTC, as the database keeps it."""
    if value is None:
        return DASH
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    shown = aware.astimezone(SHANGHAI)
    machine = shown.isoformat(timespec="seconds")
    return Markup('<time class="time" datetime="{}">{}</time>').format(machine, shown.strftime("%Y-%m-%d %H:%M"))


def clock_time(value: datetime) -> Markup:
    """`09:41:07` in Asia/Shanghai inside a <time>: for what follows one another within minutes."""
    shown = value.astimezone(SHANGHAI)
    machine = shown.isoformat(timespec="seconds")
    return Markup('<time class="time" datetime="{}">{}</time>').format(machine, shown.strftime("%H:%M:%S"))


def day(value: date | datetime | None) -> Markup | str:
    """`2026-11-23`; of a datetime, its day in Asia/Shanghai."""
    if value is None:
        return DASH
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(SHANGHAI).date()
    return Markup('<time class="time" datetime="{0}">{0}</time>').format(value.isoformat())


def number(value: float | None, places: int = 0) -> str:
    """`12,345`; `places` digits after the point where the value is not whole."""
    if value is None:
        return DASH
    whole = isinstance(value, int) or places == 0
    return f"{value:,.0f}" if whole else f"{value:,.{places}f}"


def share(value: float | None, places: int = 1) -> str:
    """A proportion 0…1 as `12.3%`."""
    return DASH if value is None else f"{value * 100:.{places}f}%"


def size(value: int | None) -> str:
    """Bytes as `3.4 MB`, in decimal units."""
    if value is None:
        return DASH
    amount = float(value)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


@pass_context
def duration(context: Context, value: timedelta | float | None) -> str:
    """Seconds or a timedelta as `3 分 20 秒` or `3 min 20 s`, the two largest units."""
    if value is None:
        return DASH
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    units = ("天", "小时", "分", "秒") if context["lang"] == "zh" else ("d", "h", "min", "s")
    if seconds < 10:
        return f"{seconds:.1f} {units[3]}"
    parts: list[str] = []
    rest = round(seconds)
    for length, unit in zip((86400, 3600, 60, 1), units, strict=True):
        amount, rest = divmod(rest, length)
        if amount or parts:
            parts.append(f"{amount} {unit}" if amount else "")
    return " ".join(part for part in parts[:2] if part)


@pass_context
def tr(context: Context, value: object) -> object:
    """A `Text`, or one that was stored, in the page's language; anything else (a name, a number, rendered markup) as it
    is; None as nothing."""
    if isinstance(value, Mapping):
        value = Text(value["zh"], value["en"])
    if isinstance(value, Text):
        return value.of(context["lang"])
    return "" if value is None else value


def first_upper(value: str) -> str:
    """A label of a state table as a button says it: "freeze and submit" → "Freeze and submit"."""
    return value[:1].upper() + value[1:]


@pass_context
def one_language(context: Context, value: str) -> str:
    """The page's half of a sentence that a pipeline wrote in both languages, "中文 / English"."""
    halves = value.split(" / ")
    return halves[context["lang"] == "en"] if len(halves) == 2 else value


@pass_context
def place(context: Context, value: str) -> str:
    """A finding's place in words: "门诊.csv#row=3;column=人次" as `门诊.csv，第 3 行，“人次”列`."""
    return place_text(value).of(context["lang"])


@pass_context
def measure(context: Context, value: object) -> str:
    """A measured value or a threshold: numbers as they are, several things side by side, nothing as a dash."""
    return value_text(value).of(context["lang"])


def together(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Findings in their order, those with nothing but the same words (no value, no evidence) in one list."""
    found: dict[object, list[Finding]] = {}
    for place, one in enumerate(findings):
        bare = one.measured is None and one.threshold is None and one.evidence is None
        found.setdefault((one.severity, one.text, one.repair) if bare else place, []).append(one)
    return list(found.values())


def number_column(label: Text | str) -> Column:
    """A right-aligned column of this label."""
    return Column(label, "number")


FILTERS = {
    "number_column": number_column,
    "when": when,
    "clock_time": clock_time,
    "day": day,
    "number": number,
    "measure": measure,
    "share": share,
    "size": size,
    "duration": duration,
    "tr": tr,
    "first_upper": first_upper,
    "place": place,
    "together": together,
    "one_language": one_language,
    "why_apart": why_apart,
}
