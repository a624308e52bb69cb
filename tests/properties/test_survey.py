"""What the survey says of a file is what Python says of its bytes, wherever the blocks are cut."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from pipelines.reading import source

TEXT = st.text(alphabet="a,\n\r中é😀\x00", max_size=40).map(str.encode)
SPOILT = st.tuples(TEXT, st.binary(max_size=2), TEXT).map(b"".join)


@given(TEXT | SPOILT | st.binary(max_size=40), st.integers(5, 16))
def test_lines_bytes_and_encoding_are_those_of_the_file(data: bytes, block: int) -> None:
    with tempfile.NamedTemporaryFile() as file, patch.object(source, "BLOCK", block):
        Path(file.name).write_bytes(data)
        seen = source.survey(Path(file.name))
    pieces = data.split(b"\n")
    ended, open_line = pieces[:-1], pieces[-1]
    assert seen.digest == hashlib.sha256(data).hexdigest()
    assert seen.utf8 == source.is_utf8(data) == decodes(data)
    assert seen.low == tuple(data.count(n) for n in range(32))
    assert seen.lines.newlines == len(ended)
    assert seen.lines.empty == sum(not line for line in ended)
    assert seen.lines.longest == max(map(len, pieces), default=0)
    assert seen.lines.open_end == bool(open_line)


def decodes(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
