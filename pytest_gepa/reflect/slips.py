"""What models get wrong in the form of a reply: signs that JSON reads otherwise, and a part where all is wanted."""

from __future__ import annotations

import re

from pytest_gepa.reflect.fence import Fence, UnclosedFenceError, find_fences

_TRAILING_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|(?<=[\w"\]}])\s*,(?=\s*[}\]])', re.DOTALL)
# `\times` in a string of JSON is a tab and letters. A line may well begin with "eq", but hardly behind a space.
_COMMAND = r"times|text|theta|tau|rho|right|frac|forall|beta|begin|bar|(?<=[ $({]\\)(?:neq|nabla|nu|not)"
# JSON has no escape for other signs than these: `\d` can only be meant as it stands.
_NO_ESCAPE = r"""[^\s"'\\/bfnrtu]"""
_LATEX = re.compile(rf"\\(?:(?P<command>(?:{_COMMAND})(?![A-Za-z])|{_NO_ESCAPE})|.)", re.DOTALL)
_DIFF_INFO = frozenset({"diff", "patch", "udiff"})
_DIFF = re.compile(r"\s*(?:diff --git |@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@|--- .*\n\+\+\+ )")
_ELISION = re.compile(
    r"^[ \t>*-]{0,10}(?:\.\.\.|…|\[|\(|<!--|//|#)\W{0,10}"
    r"(?:the )?(?:rest|remainder)(?: of (?:the )?(?P<of>[\w ]{1,40}?))?"
    r"(?: (?:is|are|stays?|remains?))? (?:unchanged|(?:the )?same|as before|as it is)\W{0,20}$",
    re.IGNORECASE | re.MULTILINE,
)
# What the rest is one of, by the last word: a "code review prompt" is a prompt, as a file may be.
_CODE = re.compile(
    r"(?!.*\b(?:prompt|instruction|rule|text|section)s?\b).*\b(?:code|function|class(?:es)?|method)s?",
    re.IGNORECASE,
)


def with_whole_commands(text: str) -> str:
    """JSON whose strings hold commands of LaTeX or of regular expressions with one backslash (`\\times`, `\\d`), with
    two."""
    return _LATEX.sub(lambda found: f"\\{found[0]}" if found["command"] else found[0], text)


def without_trailing_commas(text: str) -> str:
    """JSON with the commas left out that stand before a closing bracket: they mean nothing else."""
    return _TRAILING_COMMA.sub(lambda found: found[0] if found[0].startswith('"') else "", text)


def is_diff(text: str, info: str = "") -> bool:
    """Whether a text, from a fence with this info string, is a diff. A prompt may well show one as an example."""
    if (block := only_fence(text)) is not None:
        text, info = block.content, block.info
    return info.lower() in _DIFF_INFO or _DIFF.match(text) is not None


def leaves_parts_out(text: str, parent: str, *, is_code: bool) -> bool:
    """Whether a line that `parent` has not says that the rest stays as it is: of a prompt, not of the code that it
    speaks of or shows.
    """
    known = {"", *(line.strip() for line in parent.split("\n"))}
    found = [
        one
        for one in _ELISION.finditer(text if is_code else _without_fences(text))
        if not known.issuperset(line.strip() for line in one[0].split("\n"))
    ]
    return any(is_code or not _CODE.fullmatch(one["of"] or "") for one in found)


def only_fence(text: str) -> Fence | None:
    """The fenced block that is all of a text, None if there is more or no such block."""
    try:
        blocks = find_fences(text)
    except UnclosedFenceError:
        return None
    is_all = len(blocks) == 1 and not f"{text[: blocks[0].start]}{text[blocks[0].end :]}".strip()
    return blocks[0] if is_all else None


def _without_fences(text: str) -> str:
    block = only_fence(text)
    inner = text if block is None else block.content
    try:
        fences = find_fences(inner)
    except UnclosedFenceError:
        return inner
    for one in reversed(fences):
        inner = f"{inner[: one.start]}\n{inner[one.end :]}"
    return inner
