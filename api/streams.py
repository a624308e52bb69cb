"""Work in a thread whose parts are handed to an asynchronous answer one by one.

The thread waits while the reader is slow, so memory stays flat; a reader that goes away, or takes nothing for a minute,
cancels the work.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

AHEAD = 2
"""parts that may wait for the reader"""
STALLED_SECONDS = 60.0
_LOOK = 0.5
_THREADS = ThreadPoolExecutor(256, "streamed-work")
"""more than the queue of the machine lets wait; kept, because the server would stand still while a thread starts"""

Put = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class End:
    """The last part: what the work returned, or the exception it ended with."""

    value: Any = None
    error: Exception | None = None


class Work:
    """`work(put, cancel)` in a thread that does nothing else meanwhile. Make it inside a running event loop."""

    def __init__(self, work: Callable[[Put, threading.Event], Any]) -> None:
        self.cancel = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._parts: asyncio.Queue[Any] = asyncio.Queue()
        self._room = threading.Semaphore(AHEAD)
        _THREADS.submit(self._run, work)

    async def next(self) -> Any:
        """The next part; an `End` when there is no more."""
        part = await self._parts.get()
        self._room.release()
        return part

    async def first(self, request: Request) -> Any:
        """The first part; a client that goes away meanwhile cancels the work (and gets no answer anyway)."""
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK):
                        return await self.next()
                if await request.is_disconnected():
                    self.cancel.set()
        except asyncio.CancelledError:
            self.cancel.set()
            raise

    async def whole(self, request: Request) -> Any:
        """What the work returned, for work that puts nothing. Raises what it raised."""
        end: End = await self.first(request)
        if end.error is not None:
            raise end.error
        return end.value

    def _run(self, work: Callable[[Put, threading.Event], Any]) -> None:
        try:
            end = End(work(self._put, self.cancel))
        except Exception as error:
            end = End(error=error)
        self._hand_over(end)

    def _put(self, part: Any) -> None:
        began = time.monotonic()
        while not (self.cancel.is_set() or self._room.acquire(timeout=_LOOK)):
            if time.monotonic() - began > STALLED_SECONDS:
                self.cancel.set()
        if not self.cancel.is_set():
            self._hand_over(part)

    def _hand_over(self, part: Any) -> None:
        self._loop.call_soon_threadsafe(self._parts.put_nowait, part)


class Streamed(StreamingResponse):
    """An answer made of a work's parts; however it ends, the work does not outlive it."""

    def __init__(self, work: Work, parts: AsyncIterator[bytes], media_type: str, headers: dict[str, str]) -> None:
        super().__init__(parts, media_type=media_type, headers=headers)
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._work.cancel.set()
