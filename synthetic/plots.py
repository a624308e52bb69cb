"""Inline SVG for the report: real is filled, simulated is drawn as an outline, so that both survive a grey printer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from synthetic.sidebyside import span

_WIDTH = 300
_ROW = 26
_NAME = 96
_HEIGHT = 120
_FEWEST = 2


def bars(groups: Sequence[Mapping[str, Any]], title: str) -> str:
    """Shares of labels: for each the real bar and below it the simulated one; of all the others only the figures, for
    together they may well be longer than the page."""
    most = max((max(g["real"], g["simulated"]) for g in groups if g["label"] is not None), default=1.0) or 1.0
    room, parts = _WIDTH - _NAME - 44, []
    for at, group in enumerate(groups):
        y = at * _ROW
        name = _OTHERS if group["label"] is None else str(group["label"])
        parts.append(
            f'<text class="name" x="{_NAME - 6}" y="{y + 14}" text-anchor="end">{escape(_short(name))}'
            f"<title>{escape(name)}</title></text>"
            f'<text class="num" x="{_WIDTH}" y="{y + 11}" text-anchor="end">{percent(group["real"])}</text>'
            f'<text class="num" x="{_WIDTH}" y="{y + 21}" text-anchor="end">{percent(group["simulated"])}</text>'
        )
        if group["label"] is not None:
            parts.append(
                f'<rect class="real" x="{_NAME}" y="{y + 2}" width="{room * group["real"] / most:.1f}" height="9"/>'
                f'<rect class="made" x="{_NAME}" y="{y + 12}" width="{room * group["simulated"] / most:.1f}" '
                f'height="8"/>'
            )
    return _svg(_WIDTH, len(groups) * _ROW + 2, title, "".join(parts))


def histogram(groups: Sequence[Mapping[str, Any]], title: str) -> str:
    """Shares of ranges: real as filled bars, simulated as a line of steps; a joined range is as wide as its parts."""
    steps = sum(g["wide"] for g in groups)
    # A joined range shows its share spread over its parts, so that areas stay comparable.
    dense = [(g["wide"], g["real"] / g["wide"], g["simulated"] / g["wide"]) for g in groups]
    most = max(max(real, made) for _, real, made in dense) or 1.0
    unit, x, filled, line = _WIDTH / steps, 0.0, [], []
    for group, (wide, real, made) in zip(groups, dense, strict=True):
        tall = _HEIGHT * real / most
        told = f"{span(group['from'], group['to'])} {percent(group['real'])} | {percent(group['simulated'])}"
        filled.append(
            f'<rect class="real" x="{x + 0.5:.1f}" y="{_HEIGHT - tall:.1f}" width="{unit * wide - 1:.1f}" '
            f'height="{tall:.1f}"><title>{escape(told)}</title></rect>'
        )
        y = _HEIGHT - _HEIGHT * made / most
        line.append(f"{x:.1f},{y:.1f} {x + unit * wide:.1f},{y:.1f}")
        x += unit * wide
    axis = f'<line class="axis" x1="0" y1="{_HEIGHT}" x2="{_WIDTH}" y2="{_HEIGHT}"/>'
    steps_line = f'<polyline class="line" points="0,{_HEIGHT} {" ".join(line)} {_WIDTH},{_HEIGHT}"/>'
    return _svg(_WIDTH, _HEIGHT + 18, title, "".join(filled) + steps_line + axis + _ticks(groups, unit))


def _ticks(groups: Sequence[Mapping[str, Any]], unit: float) -> str:
    """The cuts at the left, in the middle and at the right."""
    cuts, x = [], 0.0
    for group in groups[:-1]:
        x += group["wide"] * unit
        cuts.append((x, str(group["to"])))
    chosen = [cuts[0], cuts[len(cuts) // 2], cuts[-1]] if len(cuts) > _FEWEST else cuts
    anchors = ("start", "middle", "end") if len(chosen) > _FEWEST else ("middle",) * len(chosen)
    return "".join(
        f'<line class="axis" x1="{x:.1f}" y1="{_HEIGHT}" x2="{x:.1f}" y2="{_HEIGHT + 4}"/>'
        f'<text class="tick" x="{x:.1f}" y="{_HEIGHT + 15}" text-anchor="{anchor}">{escape(label)}</text>'
        for (x, label), anchor in zip(chosen, anchors, strict=True)
    )


def heat(
    table: Sequence[Sequence[float | None]], down: Sequence[str], across: Sequence[str], title: str, *, most: float
) -> str:
    """Cells shaded by value against `most`; None is hatched: hidden, or nothing to show."""
    size = max(20, min(44, 264 // max(len(across), 1)))
    left, top = 84, 62
    parts = []
    for i, line in enumerate(table):
        y = top + i * size
        parts.append(
            f'<text class="tick" x="{left - 5}" y="{y + size / 2 + 4:.0f}" text-anchor="end">{escape(_short(down[i]))}'
            f"<title>{escape(down[i])}</title></text>"
        )
        parts += [
            _cell(value, left + j * size, y, size, most, f"{down[i]} × {across[j]}") for j, value in enumerate(line)
        ]
    for j, name in enumerate(across):
        x = left + j * size + size / 2
        parts.append(
            f'<text class="tick" transform="translate({x + 3:.0f} {top - 5}) rotate(-40)">{escape(_short(name))}'
            f"<title>{escape(name)}</title></text>"
        )
    return _svg(left + len(across) * size + 44, top + len(table) * size + 4, title, "".join(parts))


def _cell(value: float | None, x: int, y: int, size: int, most: float, said: str) -> str:
    box = f'x="{x}" y="{y}" width="{size - 1}" height="{size - 1}"'
    if value is None:
        return f'<rect class="gone" {box}><title>{escape(said)}</title></rect>'
    shade = min(1.0, value / most) if most else 0.0
    drawn = (
        f'<rect class="cell" {box} fill-opacity="{0.04 + 0.96 * shade:.2f}">'
        f"<title>{escape(f'{said}: {value:.3f}')}</title></rect>"
    )
    if size < _ROOM_FOR_A_FIGURE:
        return drawn
    kind = "on" if shade > _DARK else "off"
    return (
        f'{drawn}<text class="{kind}" x="{x + size / 2:.0f}" y="{y + size / 2 + 4:.0f}" text-anchor="middle">'
        f"{value:.2f}</text>"
    )


_ROOM_FOR_A_FIGURE, _DARK = 30, 0.45


def scale(parts: Sequence[tuple[str, float, str]], title: str) -> str:
    """Scores in [0, 1] as bars under one another: (name, value, css class)."""
    room, rows = _WIDTH - _NAME - 44, []
    for at, (name, value, kind) in enumerate(parts):
        y = at * _ROW
        rows.append(
            f'<text class="name" x="{_NAME - 6}" y="{y + 16}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="track" x="{_NAME}" y="{y + 6}" width="{room}" height="12"/>'
            f'<rect class="{kind}" x="{_NAME}" y="{y + 6}" width="{room * min(1.0, max(0.0, value)):.1f}" height="12"/>'
            f'<text class="num" x="{_WIDTH}" y="{y + 16}" text-anchor="end">{value:.2f}</text>'
        )
    return _svg(_WIDTH, len(parts) * _ROW + 2, title, "".join(rows))


def percent(share: float) -> str:
    """A share as people read it: one decimal below ten percent, where it says something."""
    if 0 < share < _LEAST:
        return "<0.1%"
    return f"{share * 100:.1f}".removesuffix(".0") + "%" if share < _TENTH else f"{share * 100:.0f}%"


def _short(name: str) -> str:
    """As much of the name as there is room for; a Chinese character is as wide as two letters."""
    wide = 0
    for at, letter in enumerate(name):
        wide += 1 if letter.isascii() else 2
        if wide > _LONGEST:
            return f"{name[:at]}…"
    return name


_LONGEST = 16
_LEAST, _TENTH = 0.0005, 0.0995
_OTHERS = "其余 others"


def _svg(width: float, height: float, title: str, inside: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img" '
        f'aria-label="{escape(title)}">{inside}</svg>'
    )
