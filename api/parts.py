"""What the supervisor last saw of each part of the platform, for the portal to say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

PARTS_FILE = "parts.json"


def write_parts(home: Path, states: Mapping[str, str]) -> None:
    """Publish the states, replacing the file in one step."""
    part = home / f"{PARTS_FILE}.part"
    part.write_text(json.dumps(dict(states)), encoding="utf-8")
    part.replace(home / PARTS_FILE)


def read_parts(home: Path) -> dict[str, str]:
    """State of each part; without a supervisor only the portal, which asks, is known to be up."""
    try:
        found = json.loads((home / PARTS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"portal": "up"}
    return {str(k): str(v) for k, v in found.items()} | {"portal": "up"}


def clear_parts(home: Path) -> None:
    (home / PARTS_FILE).unlink(missing_ok=True)
