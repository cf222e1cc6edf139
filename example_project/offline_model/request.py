"""A reflection request as the simulated reflector reads it: the prompt to edit, and the failing cases."""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import dedent

from offline_model.evidence import Failure

_FENCE = re.compile(r"^(?P<marks>`{3,}|~{3,})[^\n]*\n(?P<text>.*?)^(?P=marks)[ \t]*$", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"[\w./-]*\b(classify|extract|normalise)\.\w+")
_CASE = re.compile(r"^#+ *(?P<kind>Failing|Passing) case\b[^\n:]*:?(?P<name>[^\n]*)$", re.MULTILINE | re.IGNORECASE)
_HEADING = re.compile(r"^#{1,2} \S", re.MULTILINE)
_EXCERPT = re.compile(r"<excerpt>(?P<text>(?:(?!<excerpt>).)*?)</excerpt>", re.DOTALL)
_ITEM = re.compile(r"Line item:[ \t]*(?P<item>[^\n\\]+)")
_FIGURE = re.compile(r'\\?"figure\\?":\s*\\?"(?P<figure>.*?)\\?"[,}]')
_WRONG = re.compile(
    r"^\W*(?:E\s+)?(?P<field>entity|status|value|currency|period): "
    r"expected (?P<expected>.*?), got (?P<got>.*?)\s*$",
    re.MULTILINE,
)
_KEYS = (("normalise", '"value"'), ("extract", '"figure"'), ("classify", '"status"'))


@dataclass(frozen=True, slots=True)
class Request:
    """`stage` is that of the prompt to edit, "" when there is none; `others` is all but that prompt.

    `neighbours` are the excerpts of the passing cases.
    """

    text: str
    stage: str
    prompt: str
    failures: tuple[Failure, ...]
    neighbours: tuple[str, ...]
    others: str


def read_request(text: str) -> Request:
    """Read a request in Markdown: a fenced prompt under its path, sections of failing and passing cases."""
    stage, prompt, others = _prompt_to_edit(text)
    sections = list(_sections(text))
    failures = tuple(_failure(name, body) for kind, name, body in sections if kind == "failing")
    return Request(
        text=text,
        stage=stage,
        prompt=prompt,
        failures=failures,
        neighbours=tuple(_excerpt(body) for kind, _, body in sections if kind == "passing"),
        others=others,
    )


def _prompt_to_edit(text: str) -> tuple[str, str, str]:
    """The stage and text of the first fenced prompt, by the path before it or the keys that it asks for."""
    spans = _spans(text)
    for fence in _FENCE.finditer(text):
        if any(start <= fence.start() < end for start, end in spans):
            continue
        paths = _PATH.findall(text[max(0, fence.start() - 300) : fence.start()])
        stage = paths[-1] if paths else ""
        stage = stage or next((name for name, key in _KEYS if key in fence["text"]), "")
        if stage:
            return stage, fence["text"], text[: fence.start()] + text[fence.end() :]
    return "", "", text


def _spans(text: str) -> list[tuple[int, int]]:
    """Where the sections of cases begin and end."""
    starts = [found.start() for found in _CASE.finditer(text)]
    headings = sorted({found.start() for found in _HEADING.finditer(text)} | set(starts))
    return [(start, next((end for end in headings if end > start), len(text))) for start in starts]


def _sections(text: str) -> list[tuple[str, str, str]]:
    found = list(_CASE.finditer(text))
    return [
        (mark["kind"].lower(), mark["name"].strip(" `"), text[mark.end() : end])
        for mark, (_, end) in zip(found, _spans(text), strict=True)
    ]


def _failure(name: str, body: str) -> Failure:
    item, figures = _ITEM.search(body), _FIGURE.findall(body)
    wrong = {found["field"]: (found["expected"], found["got"]) for found in _WRONG.finditer(body)}
    return Failure(name, item["item"].strip() if item else "", _excerpt(body), wrong, figures[-1] if figures else "")


def _excerpt(body: str) -> str:
    """The excerpt that a section shows, without its margin; a whole one, where it is shown cut as well."""
    shown = [found["text"] for found in _EXCERPT.finditer(body)]
    text = next((each for each in shown if "characters cut" not in each), "")
    if "\n" not in text:
        text = text.replace("\\n", "\n")
    lines = [line.removeprefix("> ") for line in text.strip("\n").splitlines()]
    return dedent("\n".join(lines)).strip()
