"""Python: string constants at module and class level, also inside the dicts, lists and calls that are assigned there.

Found by the positions of `ast`. How a literal is written anew is in `python_strings`."""

from __future__ import annotations

import ast
import re
import threading
import tokenize
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO

from pytest_gepa.prompts.addresses import FieldPath, write_address
from pytest_gepa.prompts.formats.document import (
    Document,
    Encoding,
    Field,
    FormatError,
    Refusal,
    forget,
    has_surrogate,
    line_end_of,
    roles_of,
)
from pytest_gepa.prompts.formats.python_bindings import DOCSTRING, Binding, bindings, imported_names, key_of
from pytest_gepa.prompts.formats.python_calls import STRIPS, CleanDoc, Dedent, Strip, Wrapper
from pytest_gepa.prompts.formats.python_strings import Writing, read_literals, spellings

_LINE_END = re.compile(r"\r\n|\r|\n")
# What the parser may warn of: escapes that it does not know, numbers that run into a word.
_ODD = re.compile(r"\\[^\r\n\\'\"abfnrtvx0-3]|\d(?:and|else|for|if|in|is|not|or)\b")
_WRAPPERS: Mapping[str, Wrapper] = {"textwrap.dedent": Dedent(), "inspect.cleandoc": CleanDoc()}
_ROLES = frozenset({"system", "developer", "user", "human", "assistant", "ai"})
_warnings_lock = threading.Lock()


def parse(data: bytes) -> Document:
    """Take a Python file apart."""
    content, encoding = _decoded(data)
    try:
        tree = _tree(content)
        walk = _Walk(content, encoding, tree)
        rest = ast.dump(tree)
    except SyntaxError as error:
        raise FormatError(f"not Python: {error.msg} (line {error.lineno})") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise FormatError(f"not Python: {error or 'nested too deep'}") from None
    roles = roles_of(walk.fields, walk.refused) | _roles_of_pairs(walk.fields)
    return Document(content, encoding, walk.fields, walk.refused, roles, rest)


def _decoded(data: bytes) -> tuple[str, Encoding]:
    """Read a source as Python does: UTF-8, or what its coding line says."""
    try:
        codec, _ = tokenize.detect_encoding(BytesIO(data).readline)
        encoding = Encoding("utf-8", data[:3]) if codec == "utf-8-sig" else Encoding(codec)
        content = data[len(encoding.bom) :].decode(encoding.codec)
        is_kept = encoding.encode(content) == data
    except (SyntaxError, UnicodeError, FormatError) as error:
        raise FormatError(f"cannot be decoded: {error}") from None
    if not is_kept:
        raise FormatError(f"its encoding, {encoding.codec}, would not give every byte back; save it as UTF-8")
    return content, encoding


def _tree(content: str) -> ast.Module:
    """Parse; what the parser warns of is the author's business, and not to be told again."""
    if _ODD.search(content) is None:
        return ast.parse(content)
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(content)


def _roles_of_pairs(fields: Mapping[FieldPath, Field]) -> dict[FieldPath, str]:
    """The roles of chat messages that are pairs, `("system", "...")`."""
    return {
        path[:-1]: field.text
        for path, field in fields.items()
        if path[-2:-1] and path[-1] == 0 and field.text in _ROLES and (*path[:-1], 1) in fields
    }


class _Walk:
    """One pass over what is assigned. The constants in the tree are emptied: what is left of it is the rest."""

    def __init__(self, content: str, encoding: Encoding, tree: ast.Module) -> None:
        self.fields: dict[FieldPath, Field] = {}
        self.refused: dict[FieldPath, Refusal] = {}
        self._content = content
        self._writing = Writing(line_end_of(content), encoding.can_hold)
        self._line_starts = [0, *(end.end() for end in _LINE_END.finditer(content))]
        self._imported = imported_names(tree)
        self._bound = bindings(tree)
        for path, ways in self._bound.items():
            self._binding(path, ways)
        for path in self.refused:
            self.fields.pop(path, None)

    def _binding(self, path: FieldPath, ways: Sequence[Binding]) -> None:
        lines = sorted({way.line for way in ways})
        if len(ways) > 1:
            places = " and ".join(map(str, lines))
            self._refuse(path, lines[-1], f"it is set more than once (lines {places}); set it in one place")
        elif ways[0].same_as is not None:
            where = write_address(ways[0].same_as)
            self._refuse(path, lines[0], f"it is another name for the text in line {lines[0]}; address {where}")
        elif ways[0].value is not None:
            self._value(path, ways[0].value)

    def _value(self, path: FieldPath, node: ast.expr) -> None:
        constants = _constants(node)
        others = [way.line for way in self._bound.get(path, []) if way.value is not node]
        if others:
            self._refuse(path, node.lineno, f"it is set more than once (lines {node.lineno} and {others[0]})")
        elif constants is not None:
            self._field(path, node, constants, [CleanDoc()] if path[-1] == DOCSTRING else [])
        elif isinstance(node, ast.Dict):
            self._dict(path, node)
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            for place, item in enumerate(node.elts):
                self._value((*path, place), item)
        elif isinstance(node, ast.Call):
            self._call(path, node)
        elif not isinstance(node, ast.Constant) or isinstance(node.value, bytes):
            self._refuse(path, node.lineno, _why_not(node))

    def _dict(self, path: FieldPath, node: ast.Dict) -> None:
        seen: dict[str, int] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                continue
            name = key_of(key)
            if name in seen:
                forget(self.fields, (*path, name))
                self._refuse((*path, name), key.lineno, f"the key stands twice in one dict (line {key.lineno})")
                continue
            seen[name] = key.lineno
            self._value((*path, name), value)

    def _call(self, path: FieldPath, node: ast.Call) -> None:
        wrappers, inner = self._unwrapped(node)
        constants = _constants(inner) if wrappers else None
        if constants is not None:
            self._field(path, inner, constants, wrappers)
        elif wrappers and not isinstance(inner, ast.Call):
            self._refuse(path, inner.lineno, _why_not(inner))
        elif isinstance(node.func, ast.Attribute) and _constants(node.func.value) is not None:
            self._refuse(
                path,
                node.lineno,
                f"what .{node.func.attr}() makes of a text (line {node.lineno}) cannot be changed safely; keep the "
                "fixed text in a constant of its own",
            )
        else:
            for place, argument in enumerate(node.args):
                self._value((*path, place), argument)
            for keyword in node.keywords:
                if keyword.arg is not None:
                    self._value((*path, keyword.arg), keyword.value)

    def _unwrapped(self, node: ast.expr) -> tuple[list[Wrapper], ast.expr]:
        """The calls around a text in the order in which they are made, and what is in them."""
        if not isinstance(node, ast.Call) or node.keywords:
            return [], node
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in STRIPS and len(node.args) <= 1:
            characters = [getattr(argument, "value", argument) for argument in node.args] or [None]
            if characters[0] is None or isinstance(characters[0], str):
                wrappers, inner = self._unwrapped(function.value)
                return [*wrappers, Strip(function.attr, characters[0])], inner
        wrapper = _WRAPPERS.get(self._full_name(function))
        if wrapper is not None and len(node.args) == 1:
            wrappers, inner = self._unwrapped(node.args[0])
            return [*wrappers, wrapper], inner
        return [], node

    def _full_name(self, function: ast.expr) -> str:
        if isinstance(function, ast.Name):
            return self._imported.get(function.id, "")
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            return f"{self._imported.get(function.value.id, '')}.{function.attr}"
        return ""

    def _field(
        self, path: FieldPath, node: ast.expr, constants: Sequence[ast.Constant], wrappers: Sequence[Wrapper]
    ) -> None:
        text = "".join(str(constant.value) for constant in constants)
        if has_surrogate(text):
            self._refuse(
                path,
                node.lineno,
                f"half of a surrogate pair (line {node.lineno}) cannot be encoded",
            )
            return
        spans = [self._span(constant) for constant in constants]
        for wrapper in wrappers:
            text = wrapper.apply(text)
        for constant in constants:
            constant.value = ""
        write = partial(_spellings, self._content, spans, wrappers, self._writing)
        self.fields[path] = Field(path, text, spans[0][0], spans[-1][1], node.lineno, write)

    def _span(self, node: ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._place(node.lineno, node.col_offset), self._place(node.end_lineno, node.end_col_offset)

    def _place(self, line: int, column: int) -> int:
        """Turn a line and a column in bytes of UTF-8 into a place in the content."""
        start = self._line_starts[line - 1]
        head = self._content[start : start + column]
        if head.isascii():
            return start + column
        return start + len(head.encode()[:column].decode())

    def _refuse(self, path: FieldPath, line: int, reason: str) -> None:
        self.refused.setdefault(path, Refusal(reason, line))


def _spellings(
    content: str, spans: Sequence[tuple[int, int]], wrappers: Sequence[Wrapper], writing: Writing, text: str
) -> Iterator[str]:
    literals = [literal for span in spans for literal in read_literals(content, *span)]
    texts = ["".join(literal.spelled.text for literal in literals)]
    for wrapper in wrappers:
        texts.append(wrapper.apply(texts[-1]))
    for wrapper, old in zip(reversed(wrappers), reversed(texts[:-1]), strict=True):
        text = wrapper.undo(old, text)
    yield from spellings(content, literals, text, writing)


def _constants(node: ast.expr) -> list[ast.Constant] | None:
    """The constants that a text consists of, side by side or joined by `+`; None if there is anything else."""
    if isinstance(node, ast.Constant):
        return [node] if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _constants(node.left), _constants(node.right)
        return [*left, *right] if left is not None and right is not None else None
    return None


def _why_not(node: ast.expr) -> str:
    """Why a value is no text that can be set."""
    line = f"(line {node.lineno})"
    mend = "keep the fixed text in a constant of its own"
    if isinstance(node, ast.JoinedStr):
        return f"an f-string {line} cannot be changed safely; {mend}"
    if type(node).__name__ == "TemplateStr":
        return f"a template string {line} cannot be changed safely; {mend}"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return f"a text that % fills in {line} cannot be changed safely; {mend}"
    if isinstance(node, ast.BinOp):
        return f"a text put together with what is no constant {line} cannot be changed safely; {mend}"
    if isinstance(node, ast.Name | ast.Attribute):
        return f"it is another name for {ast.unparse(node)} {line}; address that one"
    if isinstance(node, ast.Constant):
        return f"it is bytes {line}, no text"
    return f"it is computed {line}, no constant; {mend}"
