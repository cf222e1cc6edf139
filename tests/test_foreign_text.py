"""What others wrote and we print: it steers no terminal, and gives no command to what runs a job and reads its log."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from pytest_gepa.cli import main
from pytest_gepa.front.session import print_lines
from pytest_gepa.report.section import encodable
from pytest_gepa.wording import for_log

HOSTILE = "\x1b]0;evil\x07 run\n::stop-commands::t\n  ::set-env name=A::b ##[error]x ##vso[task.setvariable]y"
HARMLESS = "\\x1b]0;evil\\x07 run\n\\::stop-commands::t\n  \\::set-env name=A::b ##\\[error]x "
HARMLESS += "##\\vso[task.setvariable]y"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HOSTILE, HARMLESS),
        ("::error::x", "\\::error::x"),
        ("\n\n\t ::error::x", "\n\n\t \\::error::x"),
        ("a\r::error::x", "a\\x0d::error::x"),
        ("test_a.py::test_b[1] is ##[", "test_a.py::test_b[1] is ##\\["),
        ("## A heading, [a link]: 50 %", "## A heading, [a link]: 50 %"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("", ""),
    ],
)
def test_no_line_is_a_command(text: str, expected: str) -> None:
    assert for_log(text) == expected


def test_lines_of_a_run_are_printed_so_and_our_own_commands_as_they_are() -> None:
    stream = io.StringIO()
    print_lines(stream, [f"gepa: replaying {HOSTILE}", "::error::x"])
    print_lines(stream, ["::error file=a.md::x"], are_commands=True)

    assert stream.getvalue() == f"gepa: replaying {HARMLESS}\n\\::error::x\n::error file=a.md::x\n"
    assert encodable(stream, HOSTILE) == HARMLESS


def test_so_are_the_errors_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / ".gepa/runs/2026-11-24-1/applied"
    kept.mkdir(parents=True)
    (kept / "0.before").write_bytes(b"other")
    entry = {"path": HOSTILE, "before": "0" * 40, "after": "0" * 40}
    (kept / "applied.json").write_text(json.dumps([entry]), encoding="utf-8")

    assert main(["undo", "--rootdir", str(tmp_path)]) == 1
    assert HARMLESS in capsys.readouterr().err


def test_so_is_what_a_recording_says_of_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / ".gepa/runs/2026-11-24-1/recording"
    (directory / "answers").mkdir(parents=True)
    head = {
        "form": 2,
        "run": HOSTILE,
        "reflection_model": "m",
        "mode": "check",
        "settings": {},
        "environment": {},
        "left_out": [HOSTILE],
    }
    (directory / "recording.json").write_text(json.dumps(head), encoding="utf-8")
    (directory / "order.json").write_text('{"order": []}', encoding="utf-8")
    (directory / "charged.jsonl").write_text("", encoding="utf-8")

    assert main(["record", "--rootdir", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.count("\\x1b]0;evil\\x07 run\n\\::stop-commands::t") == 2
    assert "\x1b" not in said
    assert "\n::" not in said


def test_commands_of_our_own_are_spelt_as_the_stream_can_hold_them() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\n")
    print_lines(stream, ["::error title=x::Größe"], are_commands=True)
    assert stream.buffer.getvalue() == b"::error title=x::Gr\\xf6\\xdfe\n"  # type: ignore[attr-defined]
