"""The application: one prompt, one call to whatever model `OPENAI_BASE_URL` and `TASK_MODEL` name."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from openai import OpenAI

PROMPT = Path(__file__).parent / "prompts" / "date.md"


@cache
def client() -> OpenAI:
    return OpenAI(timeout=1800)


def chat(messages: list[dict[str, str]]) -> str:
    reply = client().chat.completions.create(
        model=os.environ.get("TASK_MODEL", "local"), temperature=0, max_tokens=40, messages=messages
    )
    return (reply.choices[0].message.content or "").strip()


def answer(text: str) -> str:
    """The date that the text names, as the model gives it."""
    prompt = PROMPT.read_text(encoding="utf-8")
    return chat([{"role": "system", "content": prompt}, {"role": "user", "content": text}])
