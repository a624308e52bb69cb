"""What a workspace has to offer: its tables with their columns, and results as files that say they are simulated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from api.client.connection import Connection, path_to
from policies.text import Text
from sandbox.kernel.errors import BadInput

FORMATS = (".csv", ".xlsx", ".parquet")
MARK = "仿真数据"


@dataclass(frozen=True, slots=True)
class ObjectColumn:
    """One column of a table or view."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True, slots=True)
class Object:
    """A granted twin table, or something the merchant made. `kind` as the platform names it."""

    name: str
    kind: str
    columns: tuple[ObjectColumn, ...]


def objects(connection: Connection, workspace: str) -> list[Object]:
    """Everything that a statement may name."""
    found = connection.get(path_to("workspaces", workspace, "objects"))
    return [_object(entry) for entry in found]


def _object(entry: dict[str, Any]) -> Object:
    columns = tuple(ObjectColumn(c["name"], c["type"], c.get("comment") or "") for c in entry.get("columns", ()))
    return Object(entry["name"], entry["kind"], columns)


@dataclass(slots=True)
class Download:
    """Results as files the platform writes and marks; a second result gets a number, nothing is written over."""

    path: Path

    @classmethod
    def into(cls, path: Path) -> Download:
        """Raises `BadInput` for a format that cannot carry the mark. The name says that the data are simulated."""
        if path.suffix.lower() not in FORMATS:
            raise BadInput(
                "ws.format",
                Text("只能写入带仿真标识的格式", "only into a format that carries the mark of simulated data"),
                fix=Text(f"文件名以 {'、'.join(FORMATS)} 结尾", f"End the name in {', '.join(FORMATS)}"),
            )
        return cls(path)

    def write(self, connection: Connection, workspace: str, sql: str, parameters: dict[str, Any]) -> Text:
        """Write one result; says where. A file appears only whole."""
        path = path_to("workspaces", workspace, "query", "download") + f"?format={self.path.suffix[1:].lower()}"
        body = {"sql": sql} | ({"parameters": parameters} if parameters else {})
        place, size = whole_file(self.path, lambda out: connection.fetch("POST", path, out, body)[0])
        return Text(f"✔ {place}（{size:,} 字节，仿真数据）", f"✔ {place} ({size:,} bytes, simulated data)")


def whole_file(wanted: Path, fill: Callable[[BinaryIO], int]) -> tuple[Path, int]:
    """A file that appears only whole, whose name says that it is simulated; where it is, and its bytes.

    Nothing is written over: a name that is taken gets a number. Raises `BadInput` where it cannot be written.
    """
    place = wanted if MARK in wanted.name else wanted.with_name(f"{wanted.stem}.{MARK}{wanted.suffix}")
    stem, number = place.stem, 2
    while place.exists():
        place, number = place.with_name(f"{stem}-{number}{place.suffix}"), number + 1
    part = place.with_name(place.name + ".part")
    try:
        with part.open("xb") as out:
            size = fill(out)
        part.replace(place)
    except OSError as error:
        raise BadInput("ws.write", Text(f"不能写入 {place}", f"cannot write {place}")) from error
    finally:
        part.unlink(missing_ok=True)
    return place, size
