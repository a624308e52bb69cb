"""One signed-in connection to a platform that sits elsewhere; its problems come back as errors a person can read.

Standard library and httpx only, so that commands start at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

import httpx

from api.client.terminal import neutral
from policies.text import Text, UserError
from sandbox.kernel.errors import BadInput, Unavailable

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0


class Refused(UserError):
    """The platform refused, or the statement failed; `detail` holds line and column where there are any."""


def path_to(*segments: str) -> str:
    """`/a/b` with every segment quoted. Raises `BadInput` for a segment that would climb."""
    for segment in segments:
        if segment in ("", ".", ".."):
            raise BadInput("ws.name", Text(f"“{segment}”不能作名称", f"“{segment}” is no name"))
    return "/" + "/".join(quote(s, safe="") for s in segments)


def checked_url(url: str, *, plain_http: bool) -> str:
    """The platform's address without a trailing slash. Raises `BadInput` for one that would send secrets in clear."""
    parts = urlsplit(url if "://" in url else f"https://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise BadInput("ws.url", Text(f"平台地址不对：{neutral(url)}", f"not an address of a platform: {neutral(url)}"),
                       fix=Text("例如 https://sandbox.example.gov.cn", "for example https://sandbox.example.gov.cn"))
    if parts.scheme == "http" and not plain_http and not _this_machine(parts.hostname):
        raise BadInput(
            "ws.plain_http",
            Text("http 会明文传送口令与令牌", "http would send password and token in clear"),
            fix=Text("请使用 https；受控专网内可加 --plain-http", "Use https; in a closed network add --plain-http"),
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Connection:
    """Calls `/api/v1` with one token. Thread-safe: a cancel may be sent while another thread reads a result."""

    def __init__(self, url: str, token: str = "", language: str = "zh") -> None:
        headers = {"accept-language": language, "user-agent": "pds-ws"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self.url, self.language = url, language
        self._http = httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=timeout)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        return self._ask("GET", path, params=query)

    def post(self, path: str, body: Any = None) -> Any:
        return self._ask("POST", path, json=body)

    def put(self, path: str, body: Any) -> Any:
        return self._ask("PUT", path, json=body)

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path)

    def upload(self, path: str, file: Path, fields: dict[str, str]) -> Any:
        """Send a file as a form, streamed from the disk."""
        with file.open("rb") as stream:
            return self._ask("POST", path, files={"file": (file.name, stream)}, data=fields, timeout=None)

    def fetch(self, method: str, path: str, out: BinaryIO, body: Any = None) -> tuple[int, httpx.Headers]:
        """Write an answer's bytes to `out` as they come; the number of bytes and the headers."""
        size = 0
        with self.open(method, path, body, "*/*") as answer, _telling():
            for piece in answer.iter_bytes():
                out.write(piece)
                size += len(piece)
        return size, answer.headers

    @contextmanager
    def open(self, method: str, path: str, body: Any, accept: str) -> Iterator[httpx.Response]:
        """An answer whose body is read by the caller, piece by piece; a running statement may be silent for long."""
        patient = httpx.Timeout(None, connect=CONNECT_SECONDS)
        options: dict[str, Any] = {"headers": {"accept": accept}, "timeout": patient}
        if body is not None:
            options["json"] = body
        with _telling(), self._http.stream(method, path, **options) as answer:
            if answer.is_error:
                answer.read()
                raise problem_of(answer)
            yield answer

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        if options.get("json", ...) is None:
            del options["json"]
        with _telling():
            answer = self._http.request(method, path, **options)
        if answer.is_error or answer.is_redirect:
            raise problem_of(answer)
        return answer.json() if answer.content else None


@contextmanager
def _telling() -> Iterator[None]:
    """What can go wrong on the way, in words; the library's own text may name more than the person asked."""
    try:
        yield
    except (httpx.RemoteProtocolError, httpx.ReadError) as broken:
        raise Unavailable(
            "ws.broken_off",
            Text("连接中断，结果不完整，不能使用", "The connection broke; what came is not a result"),
            fix=Text("请重新执行", "Run it again"),
        ) from broken
    except (httpx.HTTPError, httpx.InvalidURL) as away:
        raise Unavailable(
            "ws.away",
            Text(f"连接不到平台（{type(away).__name__}）", f"the platform cannot be reached ({type(away).__name__})"),
            fix=Text("请检查地址（PDS_URL 或 pds ws login）与网络", "Check the address (PDS_URL or pds ws login)"),
        ) from away


def problem_of(answer: httpx.Response) -> UserError:
    """The error of an answer; words of the platform are shown without control characters."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "code" not in body:
        name = f"HTTP {answer.status_code}"
        text = Text(f"该地址不像公共数据沙箱（{name}）", f"this does not look like the platform ({name})")
        return Unavailable("ws.not_the_platform", text, fix=Text("请检查平台地址", "Check the address"))
    return error_of(body, answer.status_code)


def error_of(body: dict[str, Any], status: int) -> UserError:
    """A problem document as the error of its exit code: 2 what cannot be meant, 3 what is away, 1 the rest."""
    code, title = str(body.get("code", "")), neutral(str(body.get("title", "")))
    fix = neutral(str(body["fix"])) if body.get("fix") else None
    family: type[UserError] = Refused
    if status in (400, 422) and not code.startswith("query."):
        family = BadInput
    elif status >= 500:
        family = Unavailable
    detail = body.get("detail") if isinstance(body.get("detail"), dict) else {}
    told = json.loads(json.dumps(detail))
    return family(neutral(code), Text(title, title), fix=Text(fix, fix) if fix else None, **_plain_keys(told))


def _plain_keys(detail: dict[str, Any]) -> dict[str, Any]:
    taken = {"code", "text", "fix"}
    return {k: v for k, v in detail.items() if k.isidentifier() and k not in taken}
