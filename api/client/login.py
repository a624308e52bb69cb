"""Where a person is signed in: one file in their own configuration folder that nobody else can read.

The password is asked for and sent once; what is kept is the token it gave. A token goes to the address it came from
and nowhere else.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from api.client.connection import Connection, checked_url
from policies.text import Text
from sandbox.kernel.errors import BadInput, Unauthenticated


@dataclass(frozen=True, slots=True)
class Login:
    """A kept sign-in. `plain_http`: the person accepted an address without encryption."""

    url: str
    account: str
    token: str
    plain_http: bool = False


def folder() -> Path:
    """The person's own folder for this program: `PDS_CONFIG`, else below XDG_CONFIG_HOME or ~/.config."""
    chosen = os.environ.get("PDS_CONFIG")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "pds"


def private(path: Path) -> Path:
    """Make sure that `path` is a file that only its owner reads; it is created empty where it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(handle, 0o600)
    finally:
        os.close(handle)
    return path


def keep(login: Login) -> Path:
    """Write the sign-in; readers see the old one or the new one, never half of it."""
    place = folder() / "login.json"
    written = private(place.with_suffix(".part"))
    written.write_text(json.dumps(asdict(login), ensure_ascii=False), encoding="utf-8")
    written.replace(place)
    return place


def kept() -> Login | None:
    """The kept sign-in; None when there is none. Raises `BadInput` for one that cannot be read."""
    place = folder() / "login.json"
    try:
        return Login(**json.loads(place.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(
            "ws.login_file", Text("保存的登录信息不可读", "The kept sign-in cannot be read"),
            fix=Text("请重新执行 pds ws login", "Run pds ws login again"),
        ) from error  # fmt: skip


def forget() -> None:
    """Remove the kept sign-in."""
    (folder() / "login.json").unlink(missing_ok=True)


def connect(language: str) -> Connection:
    """A connection as the person is signed in: `PDS_URL` and `PDS_TOKEN` where they are set, else the kept ones.

    Raises `Unauthenticated` when nobody is signed in at that address.
    """
    stored = kept()
    wanted = os.environ.get("PDS_URL")
    url = checked_url(wanted, plain_http=bool(stored and stored.plain_http)) if wanted else stored.url if stored else ""
    token = os.environ.get("PDS_TOKEN") or (stored.token if stored and stored.url == url else "")
    if not url or not token:
        raise Unauthenticated(
            "ws.not_signed_in", Text("尚未登录平台", "Not signed in to a platform"),
            fix=Text("请先执行 pds ws login --url 地址 --as 账号", "Run pds ws login --url ADDRESS --as ACCOUNT first"),
        )  # fmt: skip
    return Connection(url, token, language)
