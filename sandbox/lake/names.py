"""Where a lake table lives, and the lock that makes its writers queue."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policies.text import Text
from sandbox.kernel.errors import BadInput

KINDS = ("raw", "typed", "quarantine", "simulated")
_NAME = re.compile(rf"[a-z0-9-]{{1,120}}/({'|'.join(KINDS)})", re.ASCII)


def table_path(root: Path, table: str) -> Path:
    """Folder of `<resource>/<kind>` under `root`.

    The name is matched as a whole against a closed alphabet without dots, so no name can point outside `root`.

    Raises:
        BadInput: the name has another form.
    """
    if not _NAME.fullmatch(table):
        raise BadInput(
            "lake.bad_table_name",
            Text("数据湖的表名格式不正确", "This is not a name of a lake table"),
            fix=Text(
                f"表名由资源编号（小写字母、数字、连字符）、斜杠和 {'、'.join(KINDS)} 之一组成",
                f"Use the resource id (lower-case letters, digits, hyphens), a slash and one of {', '.join(KINDS)}",
            ),
        )
    return root / table


@contextmanager
def locked(root: Path, table: str) -> Iterator[None]:
    """Hold the table's only writer lock; the kernel gives it back when the holder dies, however it dies."""
    folder = root / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / table.replace("/", "--")).open("a+b") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)
