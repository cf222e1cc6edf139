"""A file of lines to which several processes write and that one reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_gepa.shared_lines import NewLines, append


def test_what_is_new_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    lines = NewLines(path)
    assert lines.take() == []
    append(path, {"a": [1, "é\n"]})
    append(path, None)
    assert lines.take() == [{"a": [1, "é\n"]}, None]
    assert lines.take() == []
    append(path, 2)
    assert lines.take() == [2]


def test_a_line_is_read_when_it_has_its_end(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    lines = NewLines(path)
    path.write_bytes(b"[1]\n[2")
    assert lines.take() == [[1]]
    with path.open("ab") as stream:
        stream.write(b", 3]\n")
    assert lines.take() == [[2, 3]]


def test_where_the_disk_has_no_room_for_a_line_it_is_said_on_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "lines", os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:3]))
        with pytest.raises(OSError, match="No space left"):
            append(path, "a long text")
    append(path, "another")
    append(path, "a third")
    assert NewLines(path).take() == [None, "a third"]
