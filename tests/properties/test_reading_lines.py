"""Whatever the dirt, every physical line of a text table is counted once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.reading import Recipe, read
from policies.text import UserError

PLAIN = st.text(alphabet="甲乙丙丁abc123 .;", min_size=0, max_size=6)
QUOTED = st.text(alphabet='甲乙,\n\r" a1', max_size=8).map(lambda t: '"' + t.replace('"', '""') + '"')
CELL = PLAIN | QUOTED
ROW = st.tuples(CELL, CELL, CELL).map(",".join)
BROKEN = st.sampled_from(
    [
        "a",
        "a,b",
        "a,b,c,d",
        "a,b,c,d,e",
        '"没,有,结束',
        '甲,"a"b"c",丙',
        '1,2,5"屏',
        "",
        "  ",
        ",,",
        "甲,\udcff,丙",
        '"',
    ]
)
LINES = st.lists(ROW | BROKEN, min_size=0, max_size=40)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([",,", '"', ",,", ',"1\n,1","\n"', ',,"1,"', ',,"1"'], "\n", False, "utf-8")
@given(LINES, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.sampled_from(["utf-8", "gb18030"]))
def test_loaded_quarantined_and_set_aside_lines_are_all_lines(
    lines: list[str], ending: str, closed: bool, encoding: str
) -> None:
    text = "编号,名称,数量\n" + "\n".join(lines) + ("\n" if closed else "")
    data = _encode(text.replace("\r\n", "\n").replace("\n", ending), encoding)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(data)
        recipe = Recipe(encoding=encoding, delimiter=",", quote='"', header=True, max_quarantined_share=1.0)
        try:
            (reading,) = read(path, work=Path(folder) / "work", recipe=recipe)
        except UserError as refused:
            named = {"one_column", "layout_uncertain", "empty", "short_header"}
            assert refused.code in {f"reading.{code}" for code in named}
            return
        account = reading.accounting
        physical = data.count(b"\n") + (not data.endswith(b"\n"))
        assert account.lines == physical
        assert account.balances
        assert pl.scan_parquet(reading.text_parquet).select(pl.len()).collect().item() == account.rows_loaded
        quarantined = pl.read_parquet(reading.quarantine_parquet).height if reading.quarantine_parquet else 0
        assert quarantined == account.rows_quarantined


def _encode(text: str, encoding: str) -> bytes:
    """With bytes no encoding knows where the generator wants them."""
    return b"\xff".join(part.encode(encoding) for part in text.split("\udcff"))
