"""The files of a check, in its run directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_gepa.codec import to_json
from pytest_gepa.redaction import without_secrets
from pytest_gepa.report.check_formats import code_quality
from pytest_gepa.report.check_markdown import render_check_markdown
from pytest_gepa.report.check_result import CheckResult
from pytest_gepa.run.directory import write_text


def write_check(directory: Path, result: CheckResult, redact: Callable[[str], str] = str) -> CheckResult:
    """Write `check.json`, `check.md` and `gl-code-quality.json`, for the user's eyes only.

    The result comes back without secrets: it is what may be printed, too.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    result = without_secrets(result, redact)
    write_text(directory / "check.json", _json(to_json(result)))
    write_text(directory / "check.md", render_check_markdown(result))
    write_text(directory / "gl-code-quality.json", _json(code_quality(result)))
    return result


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
