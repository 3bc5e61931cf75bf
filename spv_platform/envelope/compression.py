"""Compression inside sealed payloads, and its bounded undoing.

What belongs here: whole payloads in memory, with limits on size and ratio that hold against an evil sender.
"""

import io
from typing import Protocol

import zstandard
from isal import igzip_lib, isal_zlib

from spv_platform.errors import PermanentError, UsageError

COMPRESSIONS = ("zstd", "gzip", "none")

_PIECE_MIN_BYTES = 2**10
_PIECE_MAX_BYTES = 2**16
#: A zstd block of 4 bytes can stand for 128 KiB (RFC 8878, RLE_Block), which no other block exceeds.
_ZSTD_WORST_RATIO = 2**15
#: Windows above this are refused; `zstd --long=27` and every level without `--long` stay within it.
_ZSTD_WINDOW_MAX_BYTES = 2**27
_GZIP_STEP_BYTES = 2**20
_GZIP_WINDOW_BITS = 31


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


def compress(plain: bytes, compression: str) -> bytes:
    """Compress a whole payload.

    Args:
        plain: the payload.
        compression: one of `COMPRESSIONS`.

    Raises:
        UsageError: no such compression.
    """
    if compression == "zstd":
        return zstandard.ZstdCompressor(level=3).compress(plain)
    if compression == "gzip":
        return isal_zlib.compress(plain, 2, _GZIP_WINDOW_BITS)
    if compression == "none":
        return plain
    raise UsageError(f"compression {compression!r}: use one of {', '.join(COMPRESSIONS)}")


def decompress(data: bytes, compression: str, *, max_bytes: int, max_ratio: int, sealed_bytes: int) -> bytes:
    """Undo a compression: all frames or members, nothing after them, never more than the limits.

    Memory stays below the limit plus 160 MiB (one piece of the worst kind, and the window), whatever the data says.

    Args:
        data: the compressed payload.
        compression: how it was compressed.
        max_bytes: most bytes of the result.
        max_ratio: most bytes of the result per sealed byte.
        sealed_bytes: size of the sealed object that `data` came in.

    Raises:
        PermanentError: `bad_compression` (unknown, damaged, cut off, or followed by something else), `too_large`,
            `ratio_exceeded`.
    """
    out = _Bounded(max_bytes, max_ratio * sealed_bytes)
    if compression == "none":
        out.reserve(len(data))
        return data
    if compression not in COMPRESSIONS or not data:
        raise PermanentError("bad_compression")
    try:
        if compression == "zstd":
            _zstd(memoryview(data), out)
        else:
            _gzip(memoryview(data), out)
    # isal's stub declares the class as a value.
    except (zstandard.ZstdError, igzip_lib.IsalError, EOFError):  # type: ignore[misc]
        raise PermanentError("bad_compression") from None
    return out.value()


class _Bounded:
    """A buffer that refuses to grow beyond the stricter of two limits."""

    def __init__(self, max_bytes: int, max_expanded_bytes: int) -> None:
        self._reason = "too_large" if max_bytes <= max_expanded_bytes else "ratio_exceeded"
        self._stream = io.BytesIO()
        self.room_bytes = min(max_bytes, max_expanded_bytes)

    def reserve(self, size_bytes: int) -> None:
        self.room_bytes -= size_bytes
        if self.room_bytes < 0:
            raise PermanentError(self._reason)

    def write(self, data: bytes) -> None:
        self.reserve(len(data))
        self._stream.write(data)

    def value(self) -> bytes:
        return self._stream.getvalue()


def _zstd(data: memoryview, out: _Bounded) -> None:
    # decompressobj has no bound on its output: small pieces of input bound it. Its reader, which has one, does not
    # tell a frame that was cut off from one that ended.
    while data:
        frame = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_MAX_BYTES).decompressobj()
        while data and not frame.eof:
            piece = max(_PIECE_MIN_BYTES, min(_PIECE_MAX_BYTES, out.room_bytes // _ZSTD_WORST_RATIO))
            out.write(frame.decompress(data[:piece]))
            data = _rest(frame, data, piece)
        _expect_end(frame)


def _gzip(data: memoryview, out: _Bounded) -> None:
    while data:
        member = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP)
        while data and not member.eof:
            out.write(member.decompress(data[:_PIECE_MAX_BYTES], _GZIP_STEP_BYTES))
            while not member.eof and not member.needs_input:
                out.write(member.decompress(b"", _GZIP_STEP_BYTES))
            data = _rest(member, data, _PIECE_MAX_BYTES)
        _expect_end(member)


def _rest(stream: _Decompressor, data: memoryview, piece: int) -> memoryview:
    """What is left of the data after a piece, with the part of the piece that the stream did not use."""
    used = min(piece, len(data)) - (len(stream.unused_data) if stream.eof else 0)
    return data[used:]


def _expect_end(stream: _Decompressor) -> None:
    if not stream.eof:
        raise PermanentError("bad_compression")
