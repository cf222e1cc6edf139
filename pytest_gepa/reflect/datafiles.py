"""Tables in files of data: JSON, JSON lines, YAML, TOML, CSV and lines of text, all as the nodes of `tables`."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tomlkit
import yaml
from tomlkit.exceptions import TOMLKitError

from pytest_gepa.reflect.tables import Node

_SEPARATORS = re.compile(r"\t|\s*\|\s*|(?<=[\w)]):\s")
_DELIMITERS = ",;\t|"
_FEW_NODES = 100_000
"""So many nodes any YAML file may have; beyond them, as many as it has characters: only aliases can make more."""


def data_nodes(suffix: str, text: str) -> list[Node]:
    """The tables of a file, by its suffix; [] for one of another kind, or that cannot be read."""
    read = _READERS.get(suffix)
    if read is None:
        return []
    try:
        return list(read(text))
    except (ValueError, RecursionError, MemoryError, yaml.YAMLError, TOMLKitError, csv.Error):
        return list(_lines(text))


def _from_json(text: str) -> Iterator[Node]:
    # Numbers as they are written: who prints them may print them so.
    data = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    yield from _roots(_plain(data))


def _json_lines(text: str) -> Iterator[Node]:
    rows = [json.loads(line, parse_int=str, parse_float=str) for line in text.splitlines() if line.strip()]
    yield from _roots(_plain(rows))


def _toml(text: str) -> Iterator[Node]:
    yield from _roots(_plain(tomlkit.parse(text).unwrap()))


def _roots(data: Node | str) -> Iterator[Node]:
    if isinstance(data, Node):
        yield data


def _plain(data: Any) -> Node | str:
    if isinstance(data, Mapping):
        return Node("dict", tuple((str(key), _plain(value)) for key, value in data.items()))
    if isinstance(data, list):
        return Node("list", tuple((str(at), _plain(value)) for at, value in enumerate(data)))
    return "" if data is None or isinstance(data, bool) else str(data)


def _yaml(text: str) -> Iterator[Node]:
    # Composed only: a tag of the project's own is no obstacle, and nothing is made of it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    left = [max(_FEW_NODES, len(text))]
    for document in yaml.compose_all(text, Loader=loader):
        yield from _roots(_composed(document, left))


def _composed(node: Any, left: list[int]) -> Node | str:
    left[0] -= 1
    if left[0] < 0:
        raise ValueError("too many nodes")
    if isinstance(node, yaml.MappingNode):
        return Node("dict", tuple((_scalar(key), _composed(value, left)) for key, value in node.value))
    if isinstance(node, yaml.SequenceNode):
        return Node("list", tuple((str(at), _composed(value, left)) for at, value in enumerate(node.value)))
    return _scalar(node)


def _scalar(node: Any) -> str:
    is_text = isinstance(node, yaml.ScalarNode) and not node.tag.endswith((":null", ":bool"))
    return str(node.value) if is_text else ""


def _comma_separated(text: str) -> Iterator[Node]:
    head = text[: text.find("\n")] if "\n" in text else text
    delimiter = max(_DELIMITERS, key=head.count)
    rows = [_record(row) for row in csv.reader(text.splitlines(keepends=True), delimiter=delimiter) if row]
    yield _list(rows)
    yield _list(rows[1:])  # whether the first line is a header is not known


def _lines(text: str) -> Iterator[Node]:
    lines = [line.strip() for line in text.splitlines()]
    yield _list([_record([line, *_SEPARATORS.split(line)]) for line in lines if line])


def _record(fields: list[str]) -> Node:
    return Node("record", tuple((str(at), field.strip()) for at, field in enumerate(fields)))


def _list(rows: list[Node]) -> Node:
    return Node("list", tuple((str(at), row) for at, row in enumerate(rows)))


_READERS: Mapping[str, Callable[[str], Iterator[Node]]] = {
    ".json": _from_json,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".toml": _toml,
    ".csv": _comma_separated,
    ".tsv": _comma_separated,
    ".txt": _lines,
}
