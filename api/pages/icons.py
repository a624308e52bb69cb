"""The portal's line icons: one path each on a 24 × 24 grid, drawn in the page: no request, no icon font."""

from __future__ import annotations

from markupsafe import Markup, escape

PATHS: dict[str, str] = {
    "check": "M5 12.5l4.5 4.5L19 7",
    "check-circle": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM8 12.3l2.8 2.8L16 9.6",
    "cross": "M6 6l12 12M18 6L6 18",
    "stop": "M8.3 3h7.4L21 8.3v7.4L15.7 21H8.3L3 15.7V8.3zM9 9l6 6M15 9l-6 6",
    "warning": "M12 4L2.5 20h19zM12 10v4.5M12 17.4v.1",
    "info": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 11v5.5M12 7.6v.1",
    "eye": ("M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z"),
    "clock": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5.3l3.4 2",
    "pause": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM10 9v6M14 9v6",
    "dots": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM8 12v.1M12 12v.1M16 12v.1",
    "pencil": "M4 20l1-4.5L16.5 4 20 7.5 8.5 19zM14 6.5l3.5 3.5",
    "send": "M21 3L3 10.5l7 3.5 3.5 7zM10 14L21 3",
    "return": "M9 5L4 10l5 5M4 10h10a5.5 5.5 0 0 1 0 11h-3",
    "undo": "M4 5v6h6M4.8 11a8 8 0 1 1-.5 4",
    "lock": "M6 11h12v9H6zM8.5 11V7.5a3.5 3.5 0 0 1 7 0V11",
    "shield": "M12 3l8 3v6c0 4.5-3.3 7.7-8 9-4.7-1.3-8-4.5-8-9V6z",
    "flask": "M9.5 3h5M10.5 3v6L4.5 19.5A1 1 0 0 0 5.4 21h13.2a1 1 0 0 0 .9-1.5L13.5 9V3M7.5 15h9",
    "play": "M7 4.5v15l12-7.5z",
    "file": "M6 3h8l4.5 4.5V21H6zM14 3v4.5h4.5",
    "inbox": "M3.5 13.5L6 5h12l2.5 8.5V19h-17zM3.5 13.5H8.5l1.5 2.5h4l1.5-2.5h5",
    "search": "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L20.5 20.5",
    "person": "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4.5 20.5c.6-4 3.6-6 7.5-6s6.9 2 7.5 6",
    "people": (
        "M9 5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7z"
        "M2.5 19.5c.5-3.5 3-5 6.5-5s6 1.5 6.5 5M16 5.3a3.5 3.5 0 0 1 0 6.4M18 15c2 .7 3.2 2.2 3.5 4.5"
    ),
    "building": "M4 21h16M6 21V4h12v17M9.5 8h1.5M13 8h1.5M9.5 12h1.5M13 12h1.5M10.5 21v-4.5h3V21",
    "database": (
        "M12 3.5c4.5 0 7.5 1.2 7.5 3s-3 3-7.5 3-7.5-1.2-7.5-3 3-3 7.5-3z"
        "M4.5 6.5v11c0 1.8 3 3 7.5 3s7.5-1.2 7.5-3v-11M4.5 12c0 1.8 3 3 7.5 3s7.5-1.2 7.5-3"
    ),
    "download": "M12 4v11M7.5 11l4.5 4.5L16.5 11M5 20h14",
    "archive": "M4 4.5h16V9H4zM5.5 9v10.5h13V9M10 13h4",
    "scale": "M12 4v16M7 20h10M5 7h14M5 7l-2.5 6.5h5zM19 7l-2.5 6.5h5z",
    "arrow": "M5 12h13.5M13 6.5l5.5 5.5-5.5 5.5",
    "copy": "M9 9h11v11H9zM5.5 15H4V4h11v1.5",
}


def icon(name: str, label: str = "") -> Markup:
    """Inline SVG of `name`. Without a label it is hidden from screen readers, because the word stands beside it."""
    meaning = Markup('role="img" aria-label="{}"').format(escape(label)) if label else Markup('aria-hidden="true"')
    return Markup('<svg class="icon" viewBox="0 0 24 24" {} focusable="false"><path d="{}"/></svg>').format(
        meaning, PATHS[name]
    )
