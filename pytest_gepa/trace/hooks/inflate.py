"""Content encodings that the standard library can undo, for libraries that hand bodies out as they came."""

from __future__ import annotations

import zlib


def inflate(raw: bytes) -> bytes:
    """The body behind `gzip` or `deflate`. Raises `zlib.error` for anything else."""
    return zlib.decompress(raw, wbits=zlib.MAX_WBITS | 32)
