"""What an edit may not do to a template: lose or add a placeholder, or break or add template code.

Nothing here knows how the application fills a prompt in; `within` are the syntaxes that a file's type admits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from jinja2 import Environment, TemplateSyntaxError

from pytest_gepa.cut import cut
from pytest_gepa.prompts.format_fields import fields_of, is_for_format
from pytest_gepa.prompts.formats.front_matter import has_block
from pytest_gepa.prompts.placeholders import (
    ANGLE,
    CAPITALS,
    EVERY,
    FORMAT,
    JINJA,
    SQUARE,
    placeholders,
    syntax,
)

_SHOWN = 80
_FRONT_MATTER = re.compile(r"\A---[ \t\r]*\n(?:.*?\n)??---[ \t\r]*(?=\n|\Z)", re.DOTALL)
# The name of a field that reaches into what it is given: `{x.y}`, `{0[key]}`.
_REACHING_NAME = re.compile(r"\w*(?:\.\w+|\[[^\[\]]*\])+")
_NESTED_FIELDS = re.compile(r"\{[^\W\d]\w*[^{}\s]{0,40}:\{[^\W\d]\w*[^{}\s]{0,40}:\{")
_FORMS = frozenset({ANGLE, SQUARE, CAPITALS})


def template_problems(
    parent: str, text: str, within: frozenset[str] = EVERY, *, is_replaced: bool = False
) -> Iterator[str]:
    """Yield what `text`, made by editing `parent`, does to the template that `parent` may be.

    Where it `is_replaced`, its `{x}` are filled in by `str.replace`, and `str.format` never sees it.
    """
    yield from _front_matter(parent, text)
    yield from _placeholder_changes(parent, text, within, is_replaced=is_replaced)
    if FORMAT in within and not is_replaced:
        yield from _format_changes(parent, text)
    if JINJA in within:
        yield from _jinja_changes(parent, text)


def _front_matter(parent: str, text: str) -> Iterator[str]:
    """Keep the front matter of a file that is one text with it; that it gets none is the format's to see to. Lines
    between rules of dashes without a key are text.
    """
    if not has_block(parent):
        return
    before, after = _FRONT_MATTER.match(parent), _FRONT_MATTER.match(text)
    if before is not None and (after is None or before.group() != after.group()):
        yield "front matter: what stands between the --- lines at the top is configuration, it must stay as it is"


def _placeholder_changes(parent: str, text: str, within: frozenset[str], *, is_replaced: bool) -> Iterator[str]:
    fields = placeholders(parent, within)
    is_filled = not is_replaced and is_for_format(parent) and any(syntax(name) == FORMAT for name in fields)
    if is_filled and not _has_jinja_fields(parent):
        # Where it is known how the text is filled in, tags and capitals are a form for the answer.
        within = within - _FORMS
    before, after = placeholders(parent, within), placeholders(text, within)
    for lost in sorted(before - after):
        # A tag that is closed now is markup, and stands there as it did.
        if syntax(lost) != ANGLE or lost not in text:
            yield _lost(lost)
    syntaxes = {FORMAT} if is_filled else {syntax(placeholder) for placeholder in before}
    for new in sorted(after - before):
        if syntax(new) in syntaxes and not _is_spoken_of(new, text):
            yield (
                f"new placeholder: {_shown(new)} would be a new placeholder, which nothing fills in; write it in "
                "other words"
            )


def _is_spoken_of(tag: str, text: str) -> bool:
    """Whether a text names a tag as one: `<answer> tags`."""
    named = re.escape(tag) + "[ `'\"]*(?:tags?|elements?|blocks?)\\b"
    return syntax(tag) == ANGLE and re.search(named, text) is not None


def _lost(placeholder: str) -> str:
    return (
        f"placeholder lost: the placeholder {_shown(placeholder)} is lost; the text is filled in there, keep it as "
        "it is"
    )


def _format_changes(parent: str, text: str) -> Iterator[str]:
    """Refuse what `str.format` would stumble over, or would use to read what the prompt was never given."""
    before, after = fields_of(parent), fields_of(text)
    if before is None:
        return
    has_escapes = ("{{" in parent or "}}" in parent) and not _has_jinja_fields(parent)
    if after is None and not is_for_format(parent) and not has_escapes:
        # Nothing is filled in by it here, as far as the text tells: braces are code, JSON (whose keys are no names of
        # fields), or a brace.
        if _NESTED_FIELDS.search(text):
            yield "template broken: fields of str.format are nested too deep; leave them out"
        return
    if after is None:
        yield (
            "template broken: curly braces stand alone or are nested too deep, so str.format can no longer fill in the "
            "text"
        )
        return
    for field in sorted((after - before).elements()):
        if _REACHING_NAME.fullmatch(field.name):
            yield f"template code: the field {_shown(field.written)} reaches into its value; leave it out"
    if not is_for_format(parent):
        return
    for field in sorted((before - after).elements()):
        if field not in after or not field.name:
            yield _lost(field.written)
    for field in sorted((after - before).elements()):
        if field not in before or not field.name:
            yield (
                f"new placeholder: {_shown(field.written)} would be a new placeholder, and nothing would fill it in; "
                "double the braces, {{ and }}, or do without"
            )


def _has_jinja_fields(text: str) -> bool:
    return any(syntax(name) == JINJA for name in placeholders(text))


def _jinja_changes(parent: str, text: str) -> Iterator[str]:
    """Refuse template code that a model has written: it would run before anyone has reviewed it.

    A file without a tag may be a template all the same. Only doubled braces in a text for `str.format` are
    let through, as long as they call nothing and reach into nothing.
    """
    before, after = _jinja_tags(parent), _jinja_tags(text)
    if before is None:
        return
    has_escapes = is_for_format(parent) and not _has_jinja_fields(parent)
    if after is None:
        if before and not has_escapes:
            yield "template broken: the text is no longer well-formed Jinja2, a tag is broken or not closed"
        return
    for tag in sorted(after.keys() - before.keys()):
        # Of `{{ "a": b | c }}` Jinja2 makes an error of syntax, and no code.
        if not has_escapes or (after[tag] and (not tag.startswith("{{") or _parses(tag))):
            yield f"template code: {_shown(tag)} would be new template code; leave it out"
    if has_escapes:
        return
    for tag in sorted(before.keys() - after.keys()):
        yield f"placeholder lost: the template tag {_shown(tag)} is lost; keep it as it is"
    if before and _parses(parent) and not _parses(text):
        yield "template broken: the text is no longer well-formed Jinja2, its blocks do not match"


def _jinja_tags(text: str) -> dict[str, bool] | None:
    """Return the tags of `text` as Jinja2 sees them, and whether each can call or reach into something.

    None if Jinja2 would refuse the text, which therefore is no template of its.
    """
    tags: dict[str, bool] = {}
    values: list[str] = []
    kinds: list[str] = []
    try:
        for _, kind, value in _environment().lex(text):
            if kind in ("variable_begin", "block_begin", "raw_begin"):
                values, kinds = [], []
            if kind in ("data", "whitespace") or kind.startswith("comment"):
                continue
            values.append(value.strip("-+ \n\t") if kind.endswith(("_begin", "_end")) else value)
            kinds.append(kind)
            if kind in ("variable_end", "block_end", "raw_begin"):
                tags[" ".join(values)] = _is_active(kinds, values)
    except TemplateSyntaxError:
        return None
    return tags


def _is_active(kinds: list[str], values: list[str]) -> bool:
    if kinds[0] != "variable_begin":
        return True
    return any(
        _acts(value, kinds[at - 1], values[at - 1], kinds[at + 1] if at + 1 < len(kinds) else "")
        for at, value in enumerate(values)
        if kinds[at] == "operator"
    )


def _acts(operator: str, kind_before: str, before: str, kind_after: str) -> bool:
    """Whether an operator calls, filters or reaches into something; alternatives in a format (`"a" | "b"`) do not."""
    if operator in ("|", "."):
        return kind_after == "name"
    if operator == "(":
        return kind_before == "name" or before in (")", "]")
    return operator == "[" and (kind_before in ("name", "string") or before in (")", "]", "}"))


def _parses(text: str) -> bool:
    try:
        _environment().parse(text)
    except (TemplateSyntaxError, RecursionError, ValueError):  # the last for numbers of too many digits
        return False
    return True


@cache
def _environment() -> Environment:
    return Environment(autoescape=True)


def _shown(passage: str) -> str:
    return repr(cut(passage, _SHOWN))
