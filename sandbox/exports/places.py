"""Where something is: in a file, in a member of it, in a part of that, in a cell.

`{file}[!{member}…][#{key}={value}[;{key}={value}…]]`, for example `一季度.zip!表/区.xlsx#sheet=汇总;row=3;column=2`. Keys are
`sheet`, `page`, `part` (of a document, picture or model), `data` (a chart's own), `row` and `column` (numbers in the
file, from 1), `header`, `offset` (bytes). The characters `! # ; = %` of a name, and those that cannot be seen, are written `%21` and so on.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

_TAKEN = frozenset("%!#;=")


@dataclass(frozen=True, slots=True)
class Place:
    """A place taken apart: the file, members from outside in, and what the `#` says, in its order."""

    file: str
    members: tuple[str, ...] = ()
    detail: tuple[tuple[str, str], ...] = ()

    def get(self, key: str) -> str | None:
        """The value of `key`, None where the place does not say."""
        return dict(self.detail).get(key)


def escaped(name: str) -> str:
    """A name as it is written in a place."""
    return "".join(quote(c, safe="", errors="replace") if c in _TAKEN or not c.isprintable() else c for c in name)


def member(outer: str, name: str) -> str:
    """The place of a member of an archive or document; `outer` is the place of what holds it."""
    file, mark, detail = outer.partition("#")
    return f"{file}!{escaped(name)}{mark}{detail}" if not mark else f"{outer};part={escaped(name)}"


def within(outer: str, **detail: str | int) -> str:
    """A place inside `outer`: `within("t.xlsx#sheet=汇总", row=3, column=2)`."""
    told = ";".join(f"{key}={escaped(str(value))}" for key, value in detail.items())
    return f"{outer}{';' if '#' in outer else '#'}{told}"


def parse(place: str) -> Place:
    """The parts of a place."""
    path, _, detail = place.partition("#")
    file, *members = [_plain(part) for part in path.split("!")]
    told = [part.partition("=") for part in detail.split(";") if part]
    return Place(file, tuple(members), tuple((key, _plain(value)) for key, _, value in told))


def file_of(place: str) -> str:
    """The name of the file of the request in which the place is."""
    return parse(place).file


def _plain(text: str) -> str:
    return unquote(text)
