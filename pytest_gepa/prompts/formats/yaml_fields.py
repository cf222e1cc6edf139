"""YAML: every scalar that is a string, however it is written, is a text. Found by the marks of PyYAML's nodes.

How a scalar is written anew is in `yaml_scalars`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import yaml

from pytest_gepa.prompts.addresses import FieldPath, write_address
from pytest_gepa.prompts.formats.document import (
    Document,
    Field,
    FormatError,
    Refusal,
    decoded,
    forget,
    has_surrogate,
    roles_of,
)
from pytest_gepa.prompts.formats.yaml_blocks import block_end
from pytest_gepa.prompts.formats.yaml_scalars import Scalar, spellings

_STRING = "tag:yaml.org,2002:str"
# To YAML 1.1 they end lines; to most editors, and to YAML 1.2, they do not.
_ODD_LINE_END = re.compile("[\x85\u2028\u2029]")
_MERGE = "tag:yaml.org,2002:merge"
# Anchor and tag before a scalar; they may stand on a line of their own.
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*(?:[ \t]+|[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n)\s*))*")


def parse(data: bytes) -> Document:
    """Take a YAML file apart. In a file of several documents a path begins with the number of the document."""
    content, encoding = decoded(data)
    try:
        roots = list(yaml.compose_all(content, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise FormatError(f"not YAML: {_problem(error)}") from None
    walk = _Walk(content)
    for number, root in enumerate(roots):
        walk.node(root, (number,) if len(roots) > 1 else (), _Place())
    walk.refuse_merged()
    return Document(content, encoding, walk.fields, walk.refused, roles_of(walk.fields, walk.refused), tuple(walk.rest))


def _problem(error: Exception) -> str:
    """What is wrong, and in which line. Not the line itself, which PyYAML quotes: it may hold a secret."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        return f"{error.problem} (line {error.problem_mark.line + 1})"
    return " ".join(str(error).split())


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node stands: the column of the collection that holds it, and whether that is inside brackets."""

    column: int | None = None
    is_flow: bool = False


class _Walk:
    """One pass over the nodes of a file."""

    def __init__(self, content: str) -> None:
        self.fields: dict[FieldPath, Field] = {}
        self.refused: dict[FieldPath, Refusal] = {}
        self.rest: list[object] = []
        self._content = content
        self._places: dict[int, FieldPath] = {}  # of the nodes, by identity: an alias is the same node again
        self._merges: list[tuple[FieldPath, yaml.Node, int]] = []

    def node(self, node: yaml.Node, path: FieldPath, place: _Place) -> None:
        """Take in a node and what is below it."""
        known = self._places.get(id(node))
        if known is not None:
            self.rest.append(("alias", known))
            return
        self._places[id(node)] = path
        if isinstance(node, yaml.ScalarNode):
            self._scalar(node, path, place)
        elif isinstance(node, yaml.SequenceNode):
            self._sequence(node, path, place)
        elif isinstance(node, yaml.MappingNode):
            self._mapping(node, path, place)

    def refuse_merged(self) -> None:
        """Refuse the keys that a mapping has by a merge only, and say where they stand."""
        for path, source, line in self._merges:
            for key, origin in self._merged_keys(source, set()):
                here = (*path, key)
                if not any(known[: len(here)] == here for known in (*self.fields, *self.refused)):
                    self._refuse(
                        here,
                        line,
                        f"it comes by the merge (<<) in line {line}; address {write_address(origin)}",
                    )

    def _sequence(self, node: yaml.SequenceNode, path: FieldPath, place: _Place) -> None:
        self.rest.append(("list", node.tag, len(node.value)))
        # Before a list with an anchor the mark stands at the anchor, not at the first dash.
        start = node.start_mark
        is_at_dash = self._content.startswith("-", start.index)
        is_flow = place.is_flow or bool(node.flow_style)
        inner = _Place(start.column if is_at_dash else None, is_flow)
        for number, item in enumerate(node.value):
            self._child(item, (*path, number), inner)

    def _mapping(self, node: yaml.MappingNode, path: FieldPath, place: _Place) -> None:
        self.rest.append(("mapping", node.tag, len(node.value)))
        is_flow = place.is_flow or bool(node.flow_style)
        column = node.value[0][0].start_mark.column if node.value else None
        inner = _Place(column, is_flow)
        met: set[str] = set()
        for key, value in node.value:
            if key.tag == _MERGE:
                self._merges.append((path, value, key.start_mark.line + 1))
                self._child(value, (*path, "<<"), inner)
                continue
            self.rest.append(_dump(key))
            if not isinstance(key, yaml.ScalarNode):
                self.rest.append(_dump(value))  # what has no name cannot be addressed
                continue
            here = (*path, key.value)
            if key.value in met:
                self.rest.append(_dump(value))
                line = key.start_mark.line + 1
                forget(self.fields, here)
                self._refuse(here, line, f"the key stands twice in one mapping (again in line {line})")
                continue
            met.add(key.value)
            self._child(value, here, inner)

    def _child(self, node: yaml.Node, path: FieldPath, place: _Place) -> None:
        known = self._places.get(id(node))
        if known is not None:
            line = node.start_mark.line + 1
            self._refuse(
                path,
                line,
                f"it is an alias of the text anchored in line {line}; address {write_address(known)}",
            )
        self.node(node, path, place)

    def _scalar(self, node: yaml.ScalarNode, path: FieldPath, place: _Place) -> None:
        line = node.start_mark.line + 1
        if node.tag != _STRING:
            self.rest.append((node.tag, node.value))
            if not node.tag.startswith("tag:yaml.org,2002:"):
                self._refuse(path, line, f"it has the tag {node.tag}, so it is no text but what the tag makes")
            return
        self.rest.append((node.tag, ""))
        scalar = _located(self._content, node, place)
        if scalar is None or has_surrogate(node.value) or not path:
            self._refuse(path, line, f"the text in line {line} is written in a way that cannot be changed safely")
            return
        self.fields[path] = Field(path, node.value, scalar.start, scalar.end, line, partial(spellings, scalar))

    def _refuse(self, path: FieldPath, line: int, reason: str) -> None:
        self.refused.setdefault(path, Refusal(reason, line))

    def _merged_keys(self, source: yaml.Node, seen: set[int]) -> Iterator[tuple[str, FieldPath]]:
        if id(source) in seen:
            return
        seen.add(id(source))
        if isinstance(source, yaml.SequenceNode):
            for one in source.value:
                yield from self._merged_keys(one, seen)
        if not isinstance(source, yaml.MappingNode):
            return
        for key, value in source.value:
            if key.tag == _MERGE:
                yield from self._merged_keys(value, seen)
            elif isinstance(key, yaml.ScalarNode) and id(value) in self._places:
                yield key.value, self._places[id(value)]


def _located(content: str, node: yaml.ScalarNode, place: _Place) -> Scalar | None:
    """Find the scalar itself behind its anchor and tag; None if it does not stand there as it should."""
    start = node.start_mark.index
    properties = _PROPERTIES.match(content, start, node.end_mark.index)
    if properties is not None:
        start = properties.end()
    style = node.style or ""
    end = node.end_mark.index
    if style in ("|", ">"):
        end = block_end(content, start, end, node.value)
        if _ODD_LINE_END.search(content, start, end) is not None:
            return None
    is_there = content.startswith(style, start) if style else start < end and content[start] not in "&!"
    if not is_there or (style in ("'", '"') and not content.endswith(style, start + 1, end)):
        return None
    column = None if place.is_flow else place.column
    return Scalar(content, start, end, node.value, style, column)


def _dump(node: yaml.Node) -> object:
    """What a node says, for comparing; it is no text that can be set."""
    return yaml.serialize(node, Dumper=yaml.SafeDumper)
