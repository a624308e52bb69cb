"""Frames and results over the wall: what survives, and which lies are caught."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.workspaces.protocol import (
    HEADER_CAP,
    PAYLOAD_CAP,
    Channel,
    ChannelClosed,
    Collector,
    ProtocolError,
    decode,
    encode,
    pack,
    pieces,
    unpack,
)

HEADERS = st.dictionaries(st.text(max_size=8).filter(lambda k: k != "size"), st.integers() | st.text(max_size=20))
SIZES = [json.dumps({"size": size}).encode() for size in (-1, True, "9", PAYLOAD_CAP + 1)]
DISHONEST_SIZES = [struct.pack(">I", len(text)) + text for text in SIZES]
BATCH = pa.record_batch({"n": [1, 2, 3], "名": ["甲", None, "丙"]})


@given(HEADERS, st.binary(max_size=2000))
def test_a_frame_survives_the_way(header: dict[str, Any], payload: bytes) -> None:
    sent = pack(header, payload) + payload
    frame = unpack(sent + b"the next frame")
    assert frame is not None
    received, start, size = frame
    assert {k: v for k, v in received.items() if k != "size"} == header
    assert sent[start : start + size] == payload
    assert start + size == len(sent)


@given(HEADERS, st.binary(max_size=200), st.data())
def test_a_part_of_a_header_is_never_taken_for_one(header: dict[str, Any], payload: bytes, data: st.DataObject) -> None:
    head = pack(header, payload)
    assert unpack(head[: data.draw(st.integers(0, len(head) - 1))]) is None


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=300)), max_size=5), st.data())
def test_frames_come_whole_however_the_bytes_are_cut(frames: list[Any], data: st.DataObject) -> None:
    stream = b"".join(pack(header, payload) + payload for header, payload in frames)
    left, right = socket.socketpair()
    with left, right:
        there, got = Channel(right), []
        while stream:
            cut = data.draw(st.integers(1, len(stream)))
            left.sendall(stream[:cut])
            stream = stream[cut:]
            while (frame := there.receive(timeout=0)) is not None:
                got.append(frame)
        assert [({k: v for k, v in h.items() if k != "size"}, bytes(p)) for h, p in got] == frames


@given(st.binary(max_size=300))
def test_noise_gives_a_frame_nothing_or_a_protocol_error(noise: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        unpack(noise)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">I", HEADER_CAP + 1),
        struct.pack(">I", 4) + b"[1]]",
        struct.pack(">I", 2) + b"[]",
        *DISHONEST_SIZES,
    ],
)  # fmt: skip
def test_a_dishonest_header_is_refused_before_anything_is_read(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack(data)


def test_held_frames_leave_in_order_with_the_next_one() -> None:
    left, right = socket.socketpair()
    with left, right:
        here, there = Channel(left), Channel(right)
        for number in range(3):
            here.hold({"n": number}, b"h" * number)
        assert there.receive(timeout=0) is None
        here.send({"n": 3}, b"last")
        got = [there.receive(timeout=1) for _ in range(4)]
        assert [(f[0]["n"], bytes(f[1])) for f in got if f] == [(0, b""), (1, b"h"), (2, b"hh"), (3, b"last")]
        here.flush()
        assert there.receive(timeout=0) is None


def test_frames_arrive_in_order_over_a_real_socket_whatever_their_size() -> None:
    left, right = socket.socketpair()
    here, there = Channel(left), Channel(right)
    bodies = [b"", b"x" * 10, b"y" * 3_000_000, b"z"]
    sender = threading.Thread(target=lambda: [here.send({"n": n}, b) for n, b in enumerate(bodies)])
    sender.start()
    for number, body in enumerate(bodies):
        frame = there.receive(timeout=5)
        assert frame is not None
        assert (frame[0]["n"], frame[1]) == (number, body)
    sender.join()
    assert there.receive(timeout=0) is None
    here.close()
    with pytest.raises(ChannelClosed):
        there.receive(timeout=5)
    there.close()


def test_a_side_that_does_not_read_is_given_up() -> None:
    left, right = socket.socketpair()
    with pytest.raises(ChannelClosed):
        Channel(left).send({}, b"x" * 5_000_000, timeout=0.2)
    left.close()
    right.close()


@given(st.lists(st.one_of(st.none(), st.text()), max_size=50), st.lists(st.floats(allow_nan=False), max_size=5))
@settings(max_examples=30)
def test_a_batch_survives_the_way(texts: list[str | None], floats: list[float]) -> None:
    usable = [None if t is None else t.encode("utf-8", "ignore").decode() for t in texts]
    batch = pa.record_batch({"t": pa.array(usable, pa.string()), "f": pa.array([floats] * len(usable))})
    assert decode(bytes(encode(batch)), 1000).equals(batch)


@given(st.integers(1, 40_000))
@settings(max_examples=10, deadline=None)
def test_cutting_a_batch_loses_nothing(rows: int) -> None:
    batch = pa.record_batch({"t": ["x" * 1000] * rows, "n": list(range(rows))})
    cut = pieces(batch)
    assert [n for p in cut for n in p.column("n").to_pylist()] == list(range(rows))
    assert all(p.nbytes <= 9 << 20 for p in cut)


def _compressed() -> bytes:
    sink = pa.BufferOutputStream()
    batch = pa.record_batch({"t": ["x"] * 10_000})
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _two() -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, BATCH.schema) as writer:
        writer.write_batch(BATCH)
        writer.write_batch(BATCH)
    return bytes(sink.getvalue())


def _invalid_text() -> bytes:
    column = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(struct.pack("<ii", 0, 2)), pa.py_buffer(b"\xff\xfe")]
    )
    return bytes(encode(pa.record_batch({"t": column})))


def _offsets_outside() -> bytes:
    honest = bytes(encode(pa.record_batch({"t": ["ab"]})))
    before, _, between = honest.rpartition(struct.pack("<ii", 0, 2))
    return before + struct.pack("<ii", 0, 2_000_000) + between


@pytest.mark.parametrize(
    "payload",
    [b"", b"not arrow", bytes(encode(BATCH))[:-40], _compressed(), _two(), _invalid_text(), _offsets_outside()],
    ids=["empty", "noise", "cut", "compressed", "two batches", "invalid text", "offsets outside"],
)
def test_a_dishonest_batch_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(payload, 100_000)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_batch_never_crashes_the_reader(data: st.DataObject) -> None:
    payload = bytearray(bytes(encode(BATCH)))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        decode(bytes(payload), 1000)


def _begin() -> tuple[dict[str, Any], bytes]:
    return {"is": "begin"}, BATCH.schema.serialize().to_pybytes()


def test_a_result_is_complete_only_with_a_matching_trailer() -> None:
    collector = Collector(1000, 1 << 20)
    assert not collector.feed(*_begin())
    assert not collector.feed({"is": "batch"}, bytes(encode(BATCH)))
    with pytest.raises(ProtocolError):
        collector.feed({"is": "done", "rows": 2, "truncated": False}, b"")
    assert collector.feed({"is": "done", "rows": 3, "truncated": False}, b"")
    assert collector.table().num_rows == 3


@pytest.mark.parametrize(
    "frames",
    [
        [({"is": "batch"}, bytes(encode(BATCH)))],
        [_begin(), _begin()],
        [_begin(), ({"is": "batch"}, bytes(encode(pa.record_batch({"other": [1]}))))],
        [_begin(), *[({"is": "batch"}, bytes(encode(BATCH)))] * 3],
        [({"is": "done", "rows": 5, "truncated": False}, b"")],
        [_begin(), ({"is": "done", "rows": 0}, b"")],
        [({"is": "pickle"}, b"\x80\x04.")],
        [({}, b"")],
    ],
    ids=["no schema", "two schemas", "another schema", "too many rows", "rows of none", "no flag", "pickle", "empty"],
)  # fmt: skip
def test_frames_out_of_turn_are_refused(frames: list[tuple[dict[str, Any], bytes]]) -> None:
    collector = Collector(row_cap=8, byte_cap=1 << 20)
    with pytest.raises(ProtocolError):
        for header, payload in frames:
            collector.feed(header, payload)


def test_more_bytes_than_allowed_are_refused() -> None:
    collector = Collector(row_cap=1000, byte_cap=10)
    collector.feed(*_begin())
    with pytest.raises(ProtocolError):
        collector.feed({"is": "batch"}, bytes(encode(BATCH)))
