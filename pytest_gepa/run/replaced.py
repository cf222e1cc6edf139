"""Prompts that the application fills in by `str.replace`, as its own sources tell: in these a brace is only a brace."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pytest_gepa.prompts.placeholders import FORMAT, declared, placeholders, syntax
from pytest_gepa.suite.modules import environment_roots

MOST_BYTES = 1_000_000
"""A longer module is data."""

_ANY = re.compile(r"""\.replace\(\s*(?:["']\{["']\s*\+|[fF]["']\{\{\{)""")
"""Replaces what stands between braces, whatever its name: `text.replace("{" + name + "}", value)`."""


def filled_in_by_replace(texts: Mapping[str, str], sources: Iterable[str]) -> frozenset[str]:
    """Return the components, of these `texts` by id, whose `{x}` one of the `sources` replaces."""
    fields = {
        name: [field for field in placeholders(text, declared(name)) if syntax(field) == FORMAT]
        for name, text in texts.items()
    }
    open_, found = {name for name in fields if fields[name]}, set[str]()
    for source in sources:
        if ".replace(" not in source:
            continue
        is_any = _ANY.search(source) is not None and ".format" not in source
        found |= {name for name in open_ if is_any or any(_replaces(source, field) for field in fields[name])}
    return frozenset(found)


def _replaces(source: str, field: str) -> bool:
    plain, doubled = re.escape(field), re.escape(f"{{{field}}}")
    return (
        re.search(rf"""\.replace\(\s*(?:[rRuU]?(["']){plain}\1|[fF](["']){doubled}\2)""", source) is not None
    )


def project_sources() -> Iterator[str]:
    """The text of every loaded module that is not installed."""
    roots = tuple(environment_roots())
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py") or os.path.realpath(file).startswith(roots):
            continue
        try:
            if os.path.getsize(file) <= MOST_BYTES:
                yield Path(file).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
