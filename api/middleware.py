"""Middleware: a number for every request, and a limit for every body."""

from __future__ import annotations

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors
from policies.text import Text
from sandbox.kernel.errors import LimitExceeded
from sandbox.kernel.ids import new_id

SMALL_BODY = 1 << 20
"""bytes a body may have where no file is uploaded"""


class RequestNumber:
    """Gives each request a number, on `request.state.request_id` and in the answer, whatever the answer is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        number = new_id("req")
        scope.setdefault("state", {})["request_id"] = number

        started = False

        async def numbered(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], (b"x-request-id", number.encode())]
            await send(message)

        try:
            await self.app(scope, receive, numbered)
        except Exception as error:
            fault = errors.unexpected(Request(scope), error)
            if started:  # too late for another answer: break off, without the exception's text
                raise ConnectionAbortedError(f"request {number} broke off") from None
            await fault(scope, receive, numbered)


class BodyLimit:
    """Stops reading a body at the limit, whatever its length header claims."""

    def __init__(self, app: ASGIApp, upload_limit: int) -> None:
        self.app = app
        self.upload_limit = upload_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.upload_limit if scope["path"].endswith(("/deliveries", "/uploads", "/self-checks")) else SMALL_BODY
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise LimitExceeded(
                    "request.too_large",
                    Text(f"请求内容超过 {limit >> 20} MB 上限", f"The body is over the limit of {limit >> 20} MB"),
                    fix=Text(
                        "请分批提交，或请运营机构调整上限", "Send it in parts, or ask the operator for a higher limit"
                    ),
                )
            return message

        await self.app(scope, counted, send)
