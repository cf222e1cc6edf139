"""Components that are programs: which they are, and what is asked of a new text of one."""

from __future__ import annotations

from pathlib import PurePosixPath

CODE_SUFFIXES = frozenset(
    {".py", ".pyi", ".pyw", ".pyx", ".pth", ".ipynb", ".sh", ".bash", ".zsh", ".js", ".mjs", ".cjs", ".ts"}
)
"""A text from a language model becomes a program that the tests run only where someone has asked for just that."""

_PYTHON = frozenset({".py", ".pyw"})


def is_program(component: str) -> bool:
    """Whether a component, by its id, is a whole program: code, and no text that is shown to a model."""
    file, _, address = component.partition("::")
    return not address and _suffix(file) in CODE_SUFFIXES


def program_problem(component: str, text: str) -> str | None:
    """Why a text is no program of the component's language, None if it is one or its language is not known here."""
    if _suffix(component.partition("::")[0]) not in _PYTHON:
        return None
    try:
        compile(text, component, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        where = f"line {error.lineno}, " if isinstance(error, SyntaxError) and error.lineno else ""
        return f"no program: Python says of the edited text: {where}{error.args[0]}"
    except (RecursionError, MemoryError):
        return "no program: the edited text is nested too deep for Python"
    return None


def _suffix(file: str) -> str:
    return PurePosixPath(file).suffix.lower()
