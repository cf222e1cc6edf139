"""The bodies of requests and answers: encoded, and cut into the pieces in which they may arrive."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any


def encode(data: Any) -> bytes:
    return json.dumps(data).encode()


def cut(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The data in pieces: `cuts` are places to cut it at, whatever its length."""
    bounds = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in pairwise(bounds)]
