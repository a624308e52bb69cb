"""The portal's own files under addresses that contain their digest: cached for a year, changed by a new address.

Style sheets and `portal.js` are hand-written and served from `assets/src`; the islands come from the build, and
without a build the portal does without them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from api.assets import build

SHEETS = ("tokens", "base", "shell", "pieces", "forms", "tables", "desk")
FOREVER = "public, max-age=31536000, immutable"
TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class StaticFiles:
    """Every servable file by its address, read once; `addresses` by plain name for templates."""

    content: Mapping[str, bytes]
    addresses: Mapping[str, str]

    @property
    def has_islands(self) -> bool:
        return "islands.js" in self.addresses

    def address(self, name: str) -> str:
        """Address of a file by name ("portal.css"). Raises KeyError for a file that is not there."""
        return self.addresses[name]


def collect() -> StaticFiles:
    """Read the hand-written files and, when a build is there, the islands."""
    source = build.ASSETS / "src"
    own = {
        "portal.css": b"\n".join((source / "css" / f"{name}.css").read_bytes() for name in SHEETS),
        "portal.js": (source / "portal.js").read_bytes(),
        "mark.svg": (source / "mark.svg").read_bytes(),
    }
    content: dict[str, bytes] = {}
    addresses: dict[str, str] = {}
    for name, data in own.items():
        addresses[name] = f"/assets/{_digest(data)}/{name}"
        content[addresses[name]] = data
    # Chunks import each other by relative name, so a whole build shares one digest folder.
    manifest = build.read_manifest() or {"files": []}
    built = {entry["file"]: (build.DIST / entry["file"]).read_bytes() for entry in manifest["files"]}
    folder = _digest(b"".join(built[name] for name in sorted(built)))
    for name, data in built.items():
        addresses[name] = f"/assets/{folder}/{name}"
        content[addresses[name]] = data
    return StaticFiles(content, addresses)


@router.get("/assets/{digest}/{name}")
def asset(request: Request, digest: str, name: str) -> Response:
    """One file by its exact address; any other digest is unknown."""
    files: StaticFiles = request.app.state.portal.files
    data = files.content.get(f"/assets/{digest}/{name}")
    if data is None:
        return PlainTextResponse("not found", status_code=404)
    headers = {"cache-control": FOREVER, "etag": f'"{digest}"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=TYPES[name.rpartition(".")[2]], headers=headers)


@router.get("/favicon.ico")
def favicon(request: Request) -> Response:
    """Browsers ask for this name whatever the page says."""
    files: StaticFiles = request.app.state.portal.files
    return Response(files.content[files.address("mark.svg")], media_type=TYPES["svg"])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
