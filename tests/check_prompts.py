"""The prompts of whole checks: one under which every case passes, and an edit of it that breaks those of one kind."""

from __future__ import annotations

from tests.harness import KINDS, rule

GOOD = "Answer with the word and its mark.\n" + "".join(f"- {rule(kind)}\n" for kind in KINDS)
BAD = GOOD.replace(f"- {rule('city')}\n", "- Be brief.\n")
