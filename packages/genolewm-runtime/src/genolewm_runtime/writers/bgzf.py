"""Blocked gzip, as bgzip writes it (SAM specification, section 4.1).

Written here because pysam's writer ends the whole process when a full disk makes its last write fail.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

__all__ = ["BgzfWriter"]

_BLOCK_BYTES = 0xFF00
_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
# No name and no time: the same text gives the same bytes.
_HEADER = struct.Struct("<4BI2BH2B2H")


class BgzfWriter:
    """Compresses what is written to it into an open file; `finish` writes the end marker."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._held = bytearray()

    def write(self, data: bytes) -> None:
        """Add bytes; whole blocks go to the file."""
        self._held += data
        while len(self._held) >= _BLOCK_BYTES:
            self._block(bytes(self._held[:_BLOCK_BYTES]))
            del self._held[:_BLOCK_BYTES]

    def finish(self) -> None:
        """Write what is held, and the marker by which readers know that nothing is missing."""
        if self._held:
            self._block(bytes(self._held))
            self._held.clear()
        self._file.write(_END)

    def _block(self, data: bytes) -> None:
        packed = _deflate(data, 6)
        if len(packed) + 26 > 1 << 16:
            packed = _deflate(data, 0)
        size = len(packed) + 26
        self._file.write(_HEADER.pack(31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, size - 1))
        self._file.write(packed)
        self._file.write(struct.pack("<2I", zlib.crc32(data), len(data)))


def _deflate(data: bytes, level: int) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()
