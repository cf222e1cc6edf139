"""Improve LLM prompts with the pytest cases you already have. What users import lives here, loaded when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_gepa.errors import GepaError as GepaError
    from pytest_gepa.fixture import Gepa as Gepa

__all__ = ["Gepa", "GepaError"]
__version__ = "0.1.0"

_HOMES = {"Gepa": "pytest_gepa.fixture", "GepaError": "pytest_gepa.errors"}


def __getattr__(name: str) -> Any:
    """Import on first use (PEP 562): this package is loaded with every pytest session."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
