"""GB18030 to UTF-8, byte for byte as Python's codec does it and at twice its speed.

The C library's table of GBK takes nearly all Chinese text. At the first byte that GBK does not know (characters of four
bytes, characters that came after GBK, broken bytes) Python's codec takes over to the end of that line. The C library's
GB18030 is of no use: editions of the standard differ in some characters, and so do libraries.
"""

from __future__ import annotations

import codecs
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

_FAILED = ctypes.c_void_p(-1).value
_EURO = "€".encode()
_MOST = 3  # bytes of UTF-8 that one byte becomes


class Decoder:
    """Takes a text in blocks, which may be cut anywhere; `errors` names the handler of what cannot be decoded."""

    def __init__(self, errors: str) -> None:
        self._python = codecs.getincrementaldecoder("gb18030")(errors)

    def decode(self, block: bytes, final: bool = False) -> bytes:
        """UTF-8 of the next block; what the handler leaves as lone surrogates are the bytes they stand for."""
        library = _library()
        if library is None:
            return self._slowly(block, final)
        out, at = [], 0
        has_0x80 = b"\x80" in block
        with _conversion(library) as conversion:
            room = ctypes.create_string_buffer(_MOST * len(block))
            while at < len(block):
                if not self._python.getstate()[0]:  # else the last block ends within a character
                    text, taken = conversion(block, at, room)
                    # GBK has no euro sign: it is the lone byte 0x80, which GB18030 does not have
                    lone = has_0x80 and _EURO in text
                    out.append(self._slowly(block[at : at + taken]) if lone else text)
                    at += taken
                end = block.find(b"\n", at) + 1 or len(block)
                out.append(self._slowly(block[at:end]))
                at = end
        return b"".join(filter(None, [*out, self._slowly(b"", final)]))

    def _slowly(self, block: bytes, final: bool = False) -> bytes:
        return self._python.decode(block, final).encode("utf-8", "surrogateescape")


@cache
def _library() -> ctypes.CDLL | None:
    """The C library, where it has a table of GBK that agrees with Python's in every character."""
    try:
        library = ctypes.CDLL(None)
        library.iconv_open.restype = ctypes.c_void_p
        library.iconv.argtypes, library.iconv.restype = [ctypes.c_void_p] * 5, ctypes.c_size_t
        library.iconv_close.argtypes = [ctypes.c_void_p]
        every = _characters()
        with _conversion(library) as convert:
            told = convert(every, 0, ctypes.create_string_buffer(_MOST * len(every)))
    except (AttributeError, LookupError, OSError):
        return None
    return library if told == (every.decode("gb18030").encode(), len(every)) else None


def _characters() -> bytes:
    """All characters of GBK, of one byte and of two."""
    pairs = b"".join(bytes((first, second, 10)) for first in range(0x81, 0xFF) for second in range(0x40, 0xFF))
    return bytes(range(128)) + pairs.decode("gbk", "ignore").encode("gbk")


_Convert = Callable[[bytes, int, "ctypes.Array[ctypes.c_char]"], tuple[bytes, int]]


@contextmanager
def _conversion(library: ctypes.CDLL) -> Iterator[_Convert]:
    """Gives a function of a block, a place in it and room for the text: the UTF-8 of the bytes from there on up to the
    first that GBK does not know, and how many they are.

    Raises:
        LookupError: the library does not convert GBK.
    """
    conversion = library.iconv_open(b"UTF-8", b"GBK")
    if conversion == _FAILED:
        raise LookupError("GBK")

    def convert(block: bytes, at: int, room: ctypes.Array[ctypes.c_char]) -> tuple[bytes, int]:
        begin = ctypes.cast(ctypes.c_char_p(block), ctypes.c_void_p).value or 0
        source, target = ctypes.c_void_p(begin + at), ctypes.c_void_p(ctypes.addressof(room))
        left, free = ctypes.c_size_t(len(block) - at), ctypes.c_size_t(len(room))
        library.iconv(conversion, *map(ctypes.byref, (source, left, target, free)))
        return ctypes.string_at(room, len(room) - free.value), len(block) - at - left.value

    try:
        yield convert
    finally:
        library.iconv_close(conversion)
