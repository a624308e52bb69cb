"""A real Chromium for tests: it may talk to loopback only, and everything else it tried is on record.

Serve the application with `serving(app)`, open pages with `Browser().page(address)`, then look at `browser.outside` and
`browser.complaints`: both stay empty on a sound page.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import uvicorn
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Playwright, Route, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@contextmanager
def serving(app: Any, port: int = 0, seconds: float = 20.0) -> Iterator[str]:
    """Serve an ASGI application from a thread and give its address; a free port unless one is named."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + seconds
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError("the application did not start")
        time.sleep(0.02)
    try:
        bound = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{bound}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@dataclass
class Browser:
    """One Chromium; `outside`: every address beyond loopback it tried; `complaints`: console errors and page errors."""

    outside: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._playwright: Playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._chromium.close()
        self._playwright.stop()

    def context(
        self,
        address: str,
        *,
        scheme: Literal["light", "dark"] = "light",
        width: int = 1360,
        height: int = 900,
        zoom: float = 1.0,
        language: str = "zh-CN",
        **options: Any,
    ) -> BrowserContext:
        """A fresh profile (own cookies). `zoom` 2.0 is a browser's 200 %: half the CSS pixels, drawn double."""
        context = self._chromium.new_context(
            base_url=address,
            color_scheme=scheme,
            viewport={"width": round(width / zoom), "height": round(height / zoom)},
            device_scale_factor=zoom,
            locale=language,
            timezone_id="Asia/Shanghai",
            **options,
        )
        context.route("**/*", self._guard)
        return context

    def page(self, address: str, **options: Any) -> Page:
        """A page of a fresh profile; options as for `context`."""
        page = self.context(address, **options).new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def _guard(self, route: Route) -> None:
        parts = urlsplit(route.request.url)
        if parts.scheme in ("data", "blob") or parts.hostname in LOOPBACK:
            route.continue_()
            return
        self.outside.append(route.request.url)
        route.abort()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


def sign_in(page: Page, account: str, password: str) -> None:
    """Sign in through the form; returns on the page it leads to."""
    page.goto("/login")
    page.locator("#f-account").fill(account)
    page.locator("#f-password").fill(password)
    page.locator("form[action='/login'] button[type=submit]").click()
    page.wait_for_url(lambda url: "/login" not in url)


def picture(page: Page, path: Path, *, whole: bool = True) -> Path:
    """Screenshot of the page into `path`."""
    page.screenshot(path=path, full_page=whole)
    return path
