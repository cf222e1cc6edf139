"""Frozen dataclasses to plain JSON values and back; the one serialisation of the package (never pickle)."""

from __future__ import annotations

import hashlib
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import Any, TypeVar

T = TypeVar("T")


def short_digest(text: str) -> str:
    """Names a text by what it is: the first 12 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def to_json(value: Any) -> Any:
    """Turn a dataclass, enum, path, tuple or mapping, nested at will, into JSON values (dict, list, str, number,
    None)."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        form = getattr(value, "to_json_form", None)
        return fields_to_json(value) if form is None else form()
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value.as_posix() if isinstance(value, PurePath) else value


def fields_to_json(value: Any) -> dict[str, Any]:
    """A dataclass field by field, also one that has a form of its own (`to_json_form`, `from_json_form`)."""
    return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}


def from_json(kind: type[T], data: Any) -> T:
    """Rebuild a value of type `kind` from what `to_json` made of it.

    Unknown keys are ignored and missing ones take the field's default, so that records of an older or a newer
    version can be read. Raises `TypeError`, `ValueError` or `KeyError` on data of another shape.
    """
    return typing.cast("T", _decode(kind, data))


@cache
def _field_types(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode(kind: Any, data: Any) -> Any:
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        return _decode(next(option for option in arguments if option is not type(None)), data)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_decode(arguments[0], item) for item in data)
        return tuple(_decode(option, item) for option, item in zip(arguments, data, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        return {key: _decode(arguments[1], item) for key, item in data.items()}
    if is_dataclass(kind):
        form = getattr(kind, "from_json_form", None)
        return fields_from_json(typing.cast("type", kind), data) if form is None else form(data)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    return data


def fields_from_json(kind: type[T], data: Mapping[str, Any]) -> T:
    """A dataclass from what `fields_to_json` made of it."""
    hints = _field_types(typing.cast("typing.Any", kind))
    known = {name: data[name] for name in hints if name in data}
    return kind(**{name: _decode(hints[name], item) for name, item in known.items()})
