"""What officers see of a product's file, whatever its form: read in the jail, shown as plain data."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from api.pages import sheets
from benchmarks.leaks.files import document, hidden_sheet, onnx_model, png, run_of, workbook
from sandbox.exports.contents import Contents, read_all
from sandbox.exports.reading.jailed import NotPlain, _picture
from sandbox.exports.sight import MOST_ROWS, sight_of
from sandbox.exports.subject import ExportFile, bounds_of
from tests.export_subjects import edition

LONG = "区,人数\n" + "".join(f"街{n},{n + 20}\n" for n in range(MOST_ROWS + 50))


def see_through() -> bytes:
    """Black words nobody sees on a page: transparent above, opaque blue below."""
    picture = Image.new("RGBA", (2, 2), (0, 0, 255, 255))
    picture.putpixel((0, 0), (0, 0, 0, 0))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def read() -> tuple[Contents, ...]:
    wide = io.BytesIO()
    Image.new("RGB", (3200, 800), "red").save(wide, "JPEG")
    files = {
        "年报.xlsx": workbook(hidden_sheet, "底稿里的话"), "报告.docx": document(run_of("本季度人次上升")),
        "图.png": png(), "透明.png": see_through(), "宽.jpg": wide.getvalue(), "模型.onnx": onnx_model("", "plain"),
        "长.csv": LONG.encode(),
    }  # fmt: skip
    return read_all([ExportFile(name, content) for name, content in files.items()], bounds_of(edition()))


@pytest.fixture(scope="module")
def sight(read: tuple[Contents, ...]) -> dict[str, Any]:
    return sight_of(read, frozenset())


def colours(picture: dict[str, Any]) -> list[tuple[int, int, int]]:
    with Image.open(io.BytesIO(base64.b64decode(picture["png"]))) as image:
        raw = image.convert("RGB").tobytes()
    return list(zip(raw[::3], raw[1::3], raw[2::3], strict=True))


def test_every_table_is_shown_with_what_a_reader_of_the_file_would_not_see(sight: dict[str, Any]) -> None:
    shown = {t["place"]: t for t in sight["tables"]}
    assert shown["年报.xlsx#sheet=底稿"]["hidden"] and not shown["年报.xlsx#sheet=汇总"]["hidden"]
    assert shown["年报.xlsx#sheet=底稿"]["rows"] == [["底稿里的话"]]
    assert [t["place"] for t in sight["tables"] if t["model"]] == ["模型.onnx#part=model"]
    assert shown["图.png#part=data"]["header"] == ["区", "人数"]


def test_a_long_table_is_shown_in_part_and_says_how_long_it_is(sight: dict[str, Any]) -> None:
    (table,) = (t for t in sight["tables"] if t["place"] == "长.csv")
    assert (len(table["rows"]), table["of"], table["first_row"]) == (MOST_ROWS, MOST_ROWS + 50, 2)


def test_texts_are_shown(sight: dict[str, Any]) -> None:
    assert any("本季度人次上升" in t["text"] and t["place"].startswith("报告.docx") for t in sight["texts"])


def test_pictures_are_written_anew_and_hide_nothing_behind_transparency(sight: dict[str, Any]) -> None:
    shown = {p["place"]: p for p in sight["pictures"]}
    assert colours(shown["透明.png"])[:2] == [(128, 128, 128), (0, 0, 255)]
    assert colours(shown["透明.png#part=alpha"])[:2] == [(0, 0, 0), (0, 0, 255)]
    assert colours(shown["图.png"]) == [(255, 255, 255)] * 16
    assert (shown["宽.jpg"]["width"], shown["宽.jpg"]["height"]) == (1600, 400)


def test_names_that_hold_personal_data_are_covered_in_every_place(read: tuple[Contents, ...]) -> None:
    told = sight_of(read, frozenset({"年报.xlsx", "报告.docx"}))
    places = [one["place"] for key in ("tables", "texts", "pictures") for one in told[key]]
    assert "***#sheet=汇总" in places and not any("年报" in p or "报告" in p for p in places)


def test_of_too_much_the_beginning_is_kept_and_what_is_left_out_is_counted(read: tuple[Contents, ...]) -> None:
    (long,) = (one for one in read if one.name == "长.csv")
    table = replace(long.tables[0], header=long.tables[0].header)
    told = sight_of([replace(long, tables=(table,) * 60, texts={f"长.csv#row={n}": "字" * 900 for n in range(40)})],
                    frozenset())  # fmt: skip
    assert told["left_out"] == {"tables": 10, "texts": 17}
    assert sum(len(t["rows"]) * len(t["header"]) for t in told["tables"]) == 50_000
    assert sum(len(t["text"]) for t in told["texts"]) == 20_000


@pytest.mark.parametrize("masked", ["all", "marked"])
def test_texts_and_pictures_stay_covered_until_somebody_looks(sight: dict[str, Any], masked: str) -> None:
    covered, looked = sheets.preview(sight, [], masked), sheets.preview(sight, [])
    assert all(text is None and length for _, text, length in covered.texts)
    assert all(address is None for _, address, _, _ in covered.pictures)
    assert all(text for _, text, _ in looked.texts)
    assert all(address and address.startswith("data:image/png;base64,") for _, address, _, _ in looked.pictures)


@pytest.mark.parametrize(
    "lie",
    [{"width": 3}, {"height": 0}, {"width": True}, {"width": 5000, "height": 1}, {"file": "../0-1.rgb"},
     {"file": "none.rgb"}, {"file": "link.rgb"}, {"place": "other.png"}],
    ids=str,
)  # fmt: skip
def test_a_picture_that_is_not_what_the_jail_says_is_refused(tmp_path: Path, lie: dict[str, Any]) -> None:
    (tmp_path / "read").mkdir()
    (tmp_path / "read" / "0-1.rgb").write_bytes(bytes(12))
    (tmp_path / "read" / "link.rgb").symlink_to(tmp_path / "read" / "0-1.rgb")
    honest = {"place": "图.png", "file": "0-1.rgb", "width": 2, "height": 2}
    assert _picture(honest, tmp_path / "read", "图.png", None).width == 2
    if lie == {"file": "../0-1.rgb"}:  # only the name counts: it leads nowhere else
        assert _picture(honest | lie, tmp_path / "read", "图.png", None).path.parent == tmp_path / "read"
        return
    with pytest.raises(NotPlain):
        _picture(honest | lie, tmp_path / "read", "图.png", None)
