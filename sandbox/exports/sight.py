"""What a person may look at of a file: the beginnings of its tables and texts, and its pictures.

Taken when the file is read in its jail and kept as plain data, so that neither the service nor an officer's browser
ever opens the merchant's own bytes. It holds what the file holds: for the platform and for officers only.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sandbox.exports.contents import is_model
from sandbox.exports.gate import covered

if TYPE_CHECKING:
    from sandbox.exports.contents import Contents, Picture, Table

MOST_ROWS = 500
MOST_TABLES = 50
MOST_CELLS = 50_000
"""Of all tables together: a person does not read more, and a page does not carry it."""
MOST_CHARACTERS = 20_000
_LONGEST_CELL = 300
_BLANK = re.compile(r"\s*\n\s*")


def sight_of(contents: Sequence[Contents], hidden: frozenset[str]) -> dict[str, Any]:
    """Tables (place, header, first row's number, rows, how many there are, hidden or not, model or not), texts (place,
    beginning, length; the longest first), pictures (place, sides, PNG as base64) and what lies inside (place, kind), in
    the order of the files; with how many tables and texts were left out. `hidden`: names that no place may show."""
    tables = [table for one in contents for table in one.tables]
    read = [(place, _BLANK.sub("\n", text.strip())) for one in contents for place, text in one.texts.items()]
    texts = sorted(read, key=lambda told: len(told[1]), reverse=True)
    shown, room = [], MOST_CELLS
    for table in tables[:MOST_TABLES]:
        rows = max(0, min(MOST_ROWS, room // max(1, len(table.header))))
        shown.append(_table(table, rows) | {"place": covered(table.place, hidden)})
        room -= rows * len(table.header)
    told, left = [], MOST_CHARACTERS
    for place, text in texts:
        if left <= 0:
            break
        told.append({"place": covered(place, hidden), "text": text[:left], "length": len(text)})
        left -= len(text)
    return {
        "tables": shown, "texts": told,
        "pictures": [_picture(p) | {"place": covered(p.place, hidden)} for one in contents for p in one.pictures],
        "parts": [[covered(place, hidden), kind] for one in contents for place, kind in one.parts.items()],
        "left_out": {"tables": len(tables) - len(shown), "texts": len(texts) - len(told)},
    }  # fmt: skip


def _table(table: Table, rows: int) -> dict[str, Any]:
    found = table.frame().head(rows).collect() if rows else None
    cells = [[_cut(cell) for cell in row] for row in found.iter_rows()] if found is not None else []
    return {
        "header": [_cut(name) for name in table.header], "first_row": table.first_row,
        "rows": cells, "of": table.rows, "hidden": table.hidden, "model": is_model(table),
    }  # fmt: skip


def _cut(cell: str | None) -> str | None:
    return cell if cell is None or len(cell) <= _LONGEST_CELL else f"{cell[:_LONGEST_CELL]}…"


def _picture(picture: Picture) -> dict[str, Any]:
    """As PNG written here from bare pixels: whatever the merchant's bytes would do to a decoder is gone."""
    from PIL import Image

    image = Image.frombytes("RGB", (picture.width, picture.height), picture.path.read_bytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    png = base64.b64encode(buffer.getvalue()).decode()
    return {"width": picture.width, "height": picture.height, "png": png}
