"""One delimited text file: survey, encoding, dialect, layout, body, balance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.reading.dialect import NO_DELIMITER, Dialect, dialect
from pipelines.reading.findings import ReadFinding, finding, refusal
from pipelines.reading.kinds import main_kind
from pipelines.reading.landing import Shape, Sink
from pipelines.reading.layout import Layout, layout, unique_names
from pipelines.reading.recipe import Recipe
from pipelines.reading.records import Body, Refused, ghost_values, load, places_of, sort_out, suspicious
from pipelines.reading.source import Lines, Survey, with_encoding
from pipelines.reading.transcode import copy_as_utf8, needs_copy
from pipelines.reading.types import ColumnProfile, infer

_SAMPLE = 1 << 20
_LONGEST_SAMPLE = 8 << 20


@dataclass(frozen=True, slots=True)
class Landed:
    """A table in text form, with the recipe that was used; `columns` where their types are decided already."""

    name: str
    recipe: Recipe
    sink: Sink
    findings: list[ReadFinding]
    declared: dict[str, str]
    columns: list[ColumnProfile] | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the sample says the file is laid out. `head` bytes and lines come before the first record."""

    dialect: Dialect
    layout: Layout
    head: int
    head_lines: int
    head_blank: int
    header_line: int | None
    header_lines: int
    recipe: Recipe


def as_utf8(seen: Survey, folder: Path, encoding: str | None) -> tuple[Survey, Path, list[ReadFinding]]:
    """The survey with its encoding, and the file the parser can take: the source itself or a UTF-8 copy."""
    if seen.size == len(seen.bom):
        raise refusal("empty", name=seen.path.name)
    seen = with_encoding(seen, encoding)
    findings: list[ReadFinding] = []
    if not needs_copy(seen):
        return seen, seen.path, findings
    target = folder / "source.utf8"
    seen = replace(seen, copied=copy_as_utf8(seen, target))
    if seen.returns:
        findings.append(finding("line_ends_changed"))
    return seen, target, findings


def sample_of(utf8: Path, name: str) -> str:
    """The first megabyte up to a line end.

    Raises:
        UserError: nothing but blanks.
    """
    with utf8.open("rb") as handle:
        data = handle.read(_SAMPLE)
        while data and b"\n" not in data and len(data) < _LONGEST_SAMPLE and (more := handle.read(_SAMPLE)):
            data += more
        if handle.read(1):
            data = data[: data.rfind(b"\n") + 1] or data
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    if not text.strip():
        raise refusal("empty", name=name)
    return text


def read_text(seen: Survey, utf8: Path, name: str, hints: Recipe, folder: Path, found: list[ReadFinding]) -> Landed:
    """Read one delimited file; `found` are findings made on the way here."""
    plan = _plan(sample_of(utf8, seen.path.name), hints, seen)
    body = Body(utf8, plan.head, plan.head_lines, plan.dialect.delimiter, plan.dialect.quote, plan.dialect.escape)
    if plan.layout.ghost and (values := ghost_values(body, len(plan.layout.names) + 1)):
        plan = _without_ghost(plan, values)
    sink, refused, recipe, columns = _balanced(plan, body, seen, folder)
    _refuse_too_many(sink, plan.recipe)
    findings = [*found, *plan.layout.findings, *_layout_findings(plan), *_sink_findings(sink, seen, refused)]
    sink.accounting.balance()
    return Landed(name, recipe, sink, findings, {}, columns)


def _plan(text: str, hints: Recipe, seen: Survey) -> _Plan:
    chosen = dialect(text, hints)
    records = [r for r in chosen.records if any(c.strip() for c in r.cells)]
    if hints.skip is not None and hints.names is not None:
        return _as_told(chosen, text, hints, seen)
    laid = layout([r.cells for r in records], chosen.width, header=hints.header)
    body_from = laid.titles + laid.header
    headers = records[laid.titles : body_from]
    head_lines = records[body_from - 1].line + records[body_from - 1].lines - 1 if body_from else 0
    header_line = headers[-1].line if headers else None
    recipe = hints.model_copy(
        update={
            "format": "csv", "encoding": seen.encoding, "delimiter": _shown(chosen.delimiter), "quote": chosen.quote,
            "escape": chosen.escape, "header": bool(headers), "header_row": header_line, "skip": head_lines,
            "names": tuple(laid.names), "ghost_column": laid.ghost, "trim": hints.trim or laid.trim,
            "section_rows": laid.sections and hints.section_rows,
        }
    )  # fmt: skip
    return _Plan(chosen, laid, *_head(text, head_lines), header_line, sum(r.lines for r in headers), recipe)


def _as_told(chosen: Dialect, text: str, hints: Recipe, seen: Survey) -> _Plan:
    """The layout as the recipe has it; only the kind of the first column is looked at."""
    assert hints.names is not None and hints.skip is not None
    width = len(hints.names) + hints.ghost_column
    if width != chosen.width:
        raise refusal("recipe_mismatch", what=f"columns {chosen.width} ≠ {width}")
    body = [r.cells for r in chosen.records if r.line > hints.skip and len(r.cells) == width]
    header = [r for r in chosen.records if hints.header_row is not None and r.line == hints.header_row]
    cells = list(header[0].cells) if header and len(header[0].cells) == width else []
    names, _ = unique_names(list(hints.names), len(hints.names))
    laid = Layout(
        0, int(bool(header)), names, cells, hints.ghost_column, hints.trim, hints.section_rows,
        main_kind(c[0] for c in body),
    )  # fmt: skip
    recipe = hints.model_copy(
        update={"format": "csv", "encoding": seen.encoding, "delimiter": _shown(chosen.delimiter),
                "quote": chosen.quote, "escape": chosen.escape}
    )  # fmt: skip
    lines = sum(r.lines for r in header)
    return _Plan(chosen, laid, *_head(text, hints.skip), hints.header_row, lines, recipe)


def _shown(delimiter: str) -> str:
    return "" if delimiter == NO_DELIMITER else delimiter


def _head(text: str, lines: int) -> tuple[int, int, int]:
    """The first `lines` lines: their bytes, their number, and how many are empty."""
    head = text.split("\n", lines)[:lines]
    at = sum(len(line.encode()) + 1 for line in head)
    return min(at, len(text.encode())), lines, sum(not line for line in head)


def _shape(plan: _Plan, seen: Survey) -> Shape:
    laid, recipe = plan.layout, plan.recipe
    return Shape(
        names=tuple(laid.names), header_cells=tuple(laid.header_cells) if laid.header < 2 else (),
        first_kind=laid.first_kind, sections=recipe.section_rows, repeated_headers=recipe.repeated_headers,
        footers=recipe.footer_rows, ghost=recipe.ghost_column, trim=recipe.trim,
        returns=seen.returns, delimiter=plan.dialect.delimiter,
    )  # fmt: skip


def _balanced(
    plan: _Plan, body: Body, seen: Survey, folder: Path
) -> tuple[Sink, list[Refused], Recipe, list[ColumnProfile]]:
    """Read, and look at all cells once: for the types and for the line breaks inside them. Where quotes are broken or
    lines do not add up, read again carefully; the second answer stands."""
    text = seen.text_lines
    lines = _lines(seen, text)
    for careful in (False, True):
        sink = Sink(folder, _shape(plan, seen))
        refused = load(body, sink, folder, careful=careful)
        sink.finish()
        if not careful and suspicious(refused):
            continue
        recipe, columns = infer(sink.text_path, plan.recipe, {})
        sink.count_breaks({c.name: c.breaks for c in columns})
        if not careful and sink.swallowed:
            continue
        places = places_of(refused, body.path, seen.path, seen.encoding, len(seen.bom))
        inside = sink.empty_lines + sort_out(refused, sink, body, places, lines)
        sink.list_refused()
        _count(sink, plan, refused, lines, text.empty - plan.head_blank - inside if sink.shape.width > 1 else 0)
        if careful or sink.accounting.balances:
            break
    return sink, refused, recipe, columns


def _lines(seen: Survey, text: Lines) -> int:
    """Lines of the file; where possible from the bytes of the source, so that a lossy copy cannot hide."""
    if seen.encoding in ("utf-8", "gb18030") and seen.lines.newlines:
        return seen.lines.count
    return text.count


def _count(sink: Sink, plan: _Plan, refused: list[Refused], lines: int, blank: int) -> None:
    account = sink.accounting
    account.lines = lines
    account.header = plan.header_lines
    account.preamble = plan.head_lines - plan.header_lines - plan.head_blank
    account.blank += blank + plan.head_blank
    account.continuation = sink.newlines + sum(r.lines - 1 for r in refused)


def _without_ghost(plan: _Plan, values: int) -> _Plan:
    laid = plan.layout
    names, _ = unique_names([*laid.names, ""], len(laid.names) + 1)
    kept = replace(laid, ghost=False, names=names, findings=[*laid.findings, finding("ghost_column_kept", n=values)])
    return replace(
        plan, layout=kept, recipe=plan.recipe.model_copy(update={"ghost_column": False, "names": tuple(names)})
    )


def _refuse_too_many(sink: Sink, recipe: Recipe) -> None:
    account = sink.accounting
    if account.rows_quarantined > 3 and account.rows_quarantined > recipe.max_quarantined_share * account.rows_in:
        percent = round(100 * account.rows_quarantined / account.rows_in, 1)
        raise refusal("too_many_refused", percent=percent, limit=round(100 * recipe.max_quarantined_share, 1))


def _layout_findings(plan: _Plan) -> list[ReadFinding]:
    out = []
    if plan.layout.titles:
        out.append(finding("title_rows", n=plan.layout.titles))
    if plan.layout.ghost:
        out.append(finding("ghost_column"))
    if plan.dialect.agreement < 0.98:
        out.append(finding("uneven_width", percent=round(100 * (1 - plan.dialect.agreement), 1)))
    return out


def _sink_findings(sink: Sink, seen: Survey, refused: list[Refused]) -> list[ReadFinding]:
    out = list(counted_findings(sink))
    bad = sum(r.reason == "bad_encoding" for r in refused)
    if bad:
        out.append(finding("bad_bytes", n=bad, encoding=seen.encoding))
    if sink.swallowed:
        out.append(finding("swallowed_rows", n=sink.swallowed))
    return out


def counted_findings(sink: Sink) -> list[ReadFinding]:
    """Findings that follow from the accounting, for any format."""
    account = sink.accounting
    counts = {
        "section_rows": account.section, "repeated_headers": account.repeated_header, "footer_rows": account.footer,
        "blank_rows": account.blank, "rows_refused": account.rows_quarantined,
    }  # fmt: skip
    out = [finding(code, n=n) for code, n in counts.items() if n]
    if not account.rows_in:
        out.append(finding("header_only"))
    if account.rows_quarantined > 0.01 * account.rows_in:
        percent = round(100 * account.rows_quarantined / account.rows_in, 1)
        out.append(finding("many_rows_refused", percent=percent))
    return out
