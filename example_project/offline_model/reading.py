"""Reading a prompt: which of the conventions and of the mistaken ideas it states, and in what form."""

from __future__ import annotations

from offline_model.conventions import CONVENTIONS
from offline_model.mistakes import MISTAKES
from offline_model.statements import attended, form_in, statements


def stated(prompt: str, stage: str) -> dict[str, str]:
    """The conventions and mistaken ideas for a stage that a prompt states: key to form, "plain" or "careful".

    Where two statements contradict each other the later one stands.
    """
    forms: dict[str, str] = {}
    for statement in statements(prompt):
        forms.update(stated_by(statement, stage))
    return forms


def followed(prompt: str, stage: str) -> dict[str, str]:
    """As `stated`, without what lies beyond the model's attention."""
    return stated(attended(prompt), stage)


def stated_by(statement: str, stage: str) -> dict[str, str]:
    '""What one statement says for a stage. A mistaken idea speaks of the same things, so it is looked for'
    ' first.""'
    for group in (MISTAKES, CONVENTIONS):
        found = {
            convention.key: form
            for convention in group
            if convention.stage == stage and (form := form_in(convention, statement))
        }
        if found:
            return found
    return {}
