from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.reflect.fence import UnclosedFenceError, fence, find_fences

LINES = st.lists(st.sampled_from(["", "a", "```", "````", "```json", "~~~", "  ```", "`````x", "\\"]), max_size=8)


@given(LINES.map("\n".join))
def test_no_text_gets_out_of_its_fence(text: str) -> None:
    blocks = find_fences(f"before\n{fence(text)}\nafter")
    assert [block.content for block in blocks] == [text if text.endswith("\n") or not text else text + "\n"]


@given(st.text(max_size=80))
def test_a_fence_is_longer_than_any_run_of_backticks_inside(text: str) -> None:
    fenced = fence(text)
    marks = fenced.split("\n", 1)[0]
    assert set(marks) == {"`"}
    assert marks not in text
    assert fenced.endswith("\n" + marks)


def test_blocks_are_found_in_order_with_their_info() -> None:
    blocks = find_fences("x\n```json\n{}\n```\ny\n~~~\nz\n~~~")
    assert [(block.info, block.content) for block in blocks] == [("json", "{}\n"), ("", "z\n")]


def test_a_block_nested_with_an_info_string_belongs_to_the_outer_one() -> None:
    (block,) = find_fences("```markdown\nAnswer like this:\n```json\n{}\n```\nNo more.\n```\n")
    assert block.content == "Answer like this:\n```json\n{}\n```\nNo more.\n"


def test_shorter_fences_are_content_of_a_longer_one() -> None:
    (block,) = find_fences("````\na\n```\nb\n```\n````")
    assert block.content == "a\n```\nb\n```\n"


def test_inline_code_is_no_fence() -> None:
    assert find_fences("```x``` is code") == ()


@pytest.mark.parametrize("text", ["```\na", "```\na\n```\nb\n```", "~~~~\na\n~~~"])
def test_an_unclosed_fence_is_an_error(text: str) -> None:
    with pytest.raises(UnclosedFenceError):
        find_fences(text)
