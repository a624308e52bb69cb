"""What crosses the wall: frames over an inherited socket pair.

A frame is four bytes (big-endian length of the header), a JSON object, and `size` bytes of payload when the header says
so. A result is `begin`, any number of `batch` frames (each a self-contained Arrow stream), then `done` with the row
count. A result without a good trailer is discarded: a query interrupted mid-stream must not look complete.
The other side is not trusted: lengths are capped before anything is read, Arrow is fully validated, compressed buffers
are refused (a small frame could unfold to any size), and nothing is ever unpickled.
Read on both sides: standard library and pyarrow only.
"""

from __future__ import annotations

import io
import json
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, TypeAlias, cast

import pyarrow as pa

HEADER_CAP = 1 << 20
PAYLOAD_CAP = 64 << 20
BATCH_BYTES = 8 << 20
_LENGTH = struct.Struct(">I")
_GATHERED = 1024  # pieces that one call may send: IOV_MAX of Linux


class ProtocolError(Exception):
    """The other side sent something that is not a frame, or not what the conversation allows. Never retried."""


class ChannelClosed(Exception):
    """The other side is gone."""


class Parts(io.RawIOBase):
    """A payload in pieces that lie where they were made: sent from there, joined only by `bytes`."""

    def __init__(self) -> None:
        self.pieces: list[memoryview] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Take the next piece; what gives a buffer must not change it any more."""
        self.pieces.append(memoryview(data).cast("B"))
        self._size += len(data)
        return len(data)

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces)


Payload: TypeAlias = "bytes | pa.Buffer | Parts"


def pack(header: dict[str, Any], payload: Payload = b"") -> bytes:
    """What comes before the payload of one frame. Raises ProtocolError over the caps."""
    if len(payload):
        header = {**header, "size": len(payload)}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    if len(text) > HEADER_CAP or len(payload) > PAYLOAD_CAP:
        raise ProtocolError("frame over the cap")
    return _LENGTH.pack(len(text)) + text


def unpack(data: bytes | bytearray) -> tuple[dict[str, Any], int, int] | None:
    """The first frame of `data` as (header, where its payload begins, size of the payload); None before it is there."""
    if len(data) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(data[: _LENGTH.size])
    if length > HEADER_CAP:
        raise ProtocolError("header over the cap")
    start = _LENGTH.size + length
    if len(data) < start:
        return None
    header = _header(bytes(data[_LENGTH.size : start]))
    size = header.get("size", 0)
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= PAYLOAD_CAP:
        raise ProtocolError("payload over the cap")
    return header, start, size


def _header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError("header is not JSON") from error
    if not isinstance(header, dict):
        raise ProtocolError("header is not an object")
    return header


class Channel:
    """Frames over one socket. One reader and one writer thread at most."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._buffer = bytearray()
        # the frame whose header is read: (header, its payload's room, how much of it has come)
        self._coming: tuple[dict[str, Any], memoryview, int] | None = None
        self._held: list[memoryview] = []

    def hold(self, header: dict[str, Any], payload: Payload = b"") -> None:
        """A frame that need not go alone: it leaves together with the next one, and wakes the other side once."""
        body = payload.pieces if isinstance(payload, Parts) else [memoryview(payload)]
        self._held += (memoryview(pack(header, payload)), *body)

    def send(self, header: dict[str, Any], payload: Payload = b"", *, timeout: float | None = None) -> None:
        """Raises ChannelClosed when the other side is gone or takes nothing for `timeout` seconds."""
        self.hold(header, payload)
        self.flush(timeout)

    def flush(self, timeout: float | None = None) -> None:
        """Send what is held. Raises as `send`."""
        parts, self._held = deque(self._held), []
        until = None if timeout is None else time.monotonic() + timeout
        while parts:
            try:
                sent = self.socket.sendmsg(
                    islice(parts, _GATHERED), (), socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT
                )  # fmt: skip
            except BlockingIOError:
                left = None if until is None else max(0.0, until - time.monotonic())
                if not self._ready(left, writing=True):
                    raise ChannelClosed("the other side does not read") from None
                continue
            except OSError as error:
                raise ChannelClosed(str(error)) from error
            while parts and sent >= len(parts[0]):
                sent -= len(parts.popleft())
            if parts:
                parts[0] = parts[0][sent:]

    def receive(self, timeout: float | None = None) -> tuple[dict[str, Any], bytes] | None:
        """The next frame; None when `timeout` seconds passed without one. Raises ChannelClosed, ProtocolError."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            frame = self._frame()
            if frame is not None:
                return frame
            left = None if until is None else max(0.0, until - time.monotonic())
            if not self._ready(left):
                return None
            try:
                got = self._read()
            except OSError as error:
                raise ChannelClosed(str(error)) from error
            if not got:
                raise ChannelClosed("end of stream")

    def _frame(self) -> tuple[dict[str, Any], bytes] | None:
        """A frame that is all there; its payload's bytes are never copied once they lie in their own room."""
        if self._coming is None:
            found = unpack(self._buffer)
            if found is None:
                return None
            header, start, size = found
            here = self._buffer[start : start + size]
            del self._buffer[: start + len(here)]
            if len(here) == size:
                return header, bytes(here)
            # Arrow's allocator keeps its pages, and a batch fills all of its room: nothing has to be zeroed first
            made = pa.allocate_buffer(size) if header.get("is") == "batch" else bytearray(size)
            room = memoryview(made).cast("B")
            room[: len(here)] = here
            self._coming = (header, room, len(here))
        header, payload, filled = self._coming
        if filled < len(payload):
            return None
        self._coming = None
        return header, cast(bytes, payload.obj)  # nobody writes to it any more

    def _read(self) -> int:
        # recv, never recvmsg: descriptors sent along are thereby dropped by the kernel
        if self._coming is None:
            data = self.socket.recv(1 << 16)
            self._buffer += data
            return len(data)
        header, payload, filled = self._coming
        got = self.socket.recv_into(payload[filled:])
        self._coming = (header, payload, filled + got)
        return got

    def drain(self, timeout: float) -> None:
        """Drop whatever still comes until the other side has let go, for at most `timeout` seconds."""
        until = time.monotonic() + timeout
        try:
            while self._ready(max(0.0, until - time.monotonic())) and self.socket.recv(1 << 20):
                pass
        except (OSError, ChannelClosed):
            return

    def _ready(self, seconds: float | None, *, writing: bool = False) -> bool:
        # poll, not select: a long-lived server has descriptors above 1023
        waiting = select.poll()
        try:
            waiting.register(self.socket, select.POLLOUT if writing else select.POLLIN)
        except ValueError as error:
            raise ChannelClosed("closed here") from error
        return bool(waiting.poll(None if seconds is None else seconds * 1000))

    def close(self) -> None:
        self.socket.close()


def encode(batch: pa.RecordBatch) -> Parts:
    """A batch as a self-contained Arrow stream (its dictionaries travel with it). Its values are not copied."""
    parts = Parts()
    with pa.PythonFile(parts, mode="w") as sink, pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return parts


def pieces(batch: pa.RecordBatch) -> list[pa.RecordBatch]:
    """The batch cut so that each piece stays near BATCH_BYTES. Raises ProtocolError for one row over the cap."""
    if batch.nbytes <= BATCH_BYTES:
        return [batch]
    if batch.num_rows <= 1:
        if batch.nbytes > PAYLOAD_CAP // 2:
            raise ProtocolError("one row is over the cap")
        return [batch]
    half = batch.num_rows // 2
    return pieces(batch.slice(0, half)) + pieces(batch.slice(half))


def decode(payload: bytes, row_cap: int) -> pa.RecordBatch:
    """A batch from the other side, fully validated. Raises ProtocolError for anything doubtful."""
    try:
        _refuse_compression(payload)
        with pa.ipc.open_stream(payload) as reader:
            batch = reader.read_next_batch()
            if batch.num_rows > row_cap:
                raise ProtocolError("more rows than allowed")
            batch.validate(full=True)
            if _another(reader):
                raise ProtocolError("more than one batch in a frame")
    except (pa.ArrowException, StopIteration, OSError, ValueError, struct.error, IndexError) as error:
        raise ProtocolError(f"not a valid Arrow batch: {type(error).__name__}") from error
    return batch


def _another(reader: pa.RecordBatchReader) -> bool:
    try:
        reader.read_next_batch()
    except StopIteration:
        return False
    return True


def schema_of(payload: bytes) -> pa.Schema:
    """A schema from the other side. Raises ProtocolError."""
    try:
        return pa.ipc.read_schema(pa.py_buffer(payload))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ProtocolError("not a valid Arrow schema") from error


def _refuse_compression(payload: bytes) -> None:
    for message in pa.ipc.MessageReader.open_stream(payload):
        if message.type in ("record batch", "dictionary") and _compressed(bytes(message.metadata), message.type):
            raise ProtocolError("compressed buffers")


def _compressed(metadata: bytes, kind: str) -> bool:
    """Does the flatbuffer `Message` hold a RecordBatch with its `compression` field set (format/Message.fbs)?"""
    message = struct.unpack_from("<I", metadata, 0)[0]
    batch = _field(metadata, message, 2)
    if batch is not None and kind == "dictionary":
        batch = _field(metadata, batch, 1)
    if batch is None:
        raise ProtocolError("a batch without a body")
    return _field(metadata, batch, 3) is not None


def _field(data: bytes, table: int, index: int) -> int | None:
    """Where the table field `index` (an offset to another table) points; None when it is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    entry = 4 + 2 * index
    if vtable < 0 or entry + 2 > struct.unpack_from("<H", data, vtable)[0]:
        return None
    offset = struct.unpack_from("<H", data, vtable + entry)[0]
    if offset == 0:
        return None
    place = table + offset
    return int(place + struct.unpack_from("<I", data, place)[0])


class Collector:
    """Puts a result together from frames, or hands its parts on to `sink`, and refuses every lie it can see."""

    def __init__(
        self, row_cap: int, byte_cap: int, sink: Callable[[pa.Schema | pa.RecordBatch], None] | None = None
    ) -> None:
        self.row_cap, self.byte_cap = row_cap, byte_cap
        self.schema: pa.Schema | None = None
        self.batches: list[pa.RecordBatch] = []
        self.sink = sink
        self.rows = self.bytes = 0

    def feed(self, header: dict[str, Any], payload: bytes) -> bool:
        """Take one frame; True when the trailer was good. Raises ProtocolError."""
        kind = header.get("is")
        if kind == "begin" and self.schema is None:
            self.schema = schema_of(payload)
            if self.sink is not None:
                self.sink(self.schema)
            return False
        if kind == "batch" and self.schema is not None:
            self._add(payload)
            return False
        if kind == "done" and (self.schema is not None or header.get("rows") == 0):
            rows = header.get("rows")
            if type(rows) is not int or rows != self.rows or not isinstance(header.get("truncated"), bool):
                raise ProtocolError("the trailer does not match what was sent")
            return True
        raise ProtocolError("a frame out of turn")

    def _add(self, payload: bytes) -> None:
        self.bytes += len(payload)
        if self.bytes > self.byte_cap:
            raise ProtocolError("more bytes than allowed")
        batch = decode(payload, self.row_cap - self.rows)
        if not batch.schema.equals(self.schema):
            raise ProtocolError("a batch of another schema")
        self.rows += batch.num_rows
        if self.sink is None:
            self.batches.append(batch)
        else:
            self.sink(batch)

    def table(self) -> pa.Table:
        """What was collected; only meaningful after a good trailer."""
        return pa.Table.from_batches(self.batches, schema=self.schema) if self.schema is not None else pa.table({})
