"""Three prompts in a row: classify the disclosure, extract the figure, normalise it to a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from openai import OpenAI

from desk.line import SpreadLine

PROMPTS = Path(__file__).resolve().parent.parent / "prompts"
DEFAULT_MODEL = "gpt-4.1-mini"


class DeskError(Exception):
    """A step's answer cannot be used; the message names the step and quotes the answer."""


class Desk:
    """Asks a model to turn excerpts into lines; each step sees the excerpt and the answer before it."""

    def __init__(self, client: OpenAI, model: str, prompts: Path = PROMPTS) -> None:
        self.client = client
        self.model = model
        self.prompts = prompts

    @classmethod
    def from_environment(cls) -> Desk:
        """Make a desk from `OPENAI_API_KEY`, `OPENAI_BASE_URL` and `DESK_MODEL`."""
        # A server of one's own often wants no key, but the SDK does.
        key = "no-key" if os.environ.get("OPENAI_BASE_URL") else None
        return cls(OpenAI(api_key=os.environ.get("OPENAI_API_KEY") or key), cls.model_name())

    @staticmethod
    def model_name() -> str:
        """The model that `DESK_MODEL` names, or the default one."""
        return os.environ.get("DESK_MODEL") or DEFAULT_MODEL

    def spread(self, item: str, excerpt: str) -> SpreadLine:
        """Find the figure for the line item `item` in `excerpt` and return it as a line of the sheet."""
        task = f"Line item: {item}\n\n<excerpt>\n{excerpt.strip()}\n</excerpt>"
        classified = self._ask("classify", task)
        extracted = self._ask("extract", f"{task}\n\nClassification: {_as_json(classified)}")
        normalised = self._ask("normalise", f"{task}\n\nExtraction: {_as_json(extracted)}")
        return SpreadLine(
            entity=_text("classify", classified, "entity"),
            status=_text("classify", classified, "status"),
            value=_number("normalise", normalised, "value"),
            currency=_text("normalise", normalised, "currency"),
            period=_text("normalise", normalised, "period"),
        )

    def _ask(self, step: str, message: str) -> dict[str, Any]:
        prompt = (self.prompts / f"{step}.md").read_text(encoding="utf-8")
        completion = self.client.chat.completions.create(
            model=self.model,
            temperature=0,
            messages=[{"role": "system", "content": prompt}, {"role": "user", "content": message}],
        )
        return _json_object(step, completion.choices[0].message.content or "")


def _as_json(answer: dict[str, Any]) -> str:
    return json.dumps(answer, ensure_ascii=False)


def _json_object(step: str, text: str) -> dict[str, Any]:
    """Read an answer that is one JSON object, with or without a Markdown fence around it."""
    bare = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        answer = json.loads(bare)
    except ValueError:
        raise DeskError(f"{step}: the answer is not JSON: {text[:200]!r}") from None
    if not isinstance(answer, dict):
        raise DeskError(f"{step}: the answer is not a JSON object: {text[:200]!r}")
    return answer


def _text(step: str, answer: dict[str, Any], key: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str):
        raise DeskError(f'{step}: "{key}" should be a text, got {_as_json(answer)}')
    return value.strip()


def _number(step: str, answer: dict[str, Any], key: str) -> float:
    value = answer.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DeskError(f'{step}: "{key}" should be a number, got {_as_json(answer)}')
    return round(float(value), 4)
