from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.prompts.edits import KINDS
from pytest_gepa.reflect.fence import find_fences
from pytest_gepa.reflect.fit import estimate_tokens
from pytest_gepa.reflect.menu import FULL, PROGRAM, Menu, full_menu
from pytest_gepa.reflect.request import Situation, Version, build_request, correction, longest_reply
from pytest_gepa.suite.rollout import Outcome
from tests.reflect.exhibits import (
    COMPONENTS,
    EXAMPLE,
    FAILURE,
    ROUTE,
    ROUTE_TEXT,
    RULE,
    call,
    exhibit,
    passing,
    route_call,
)

MENUS = pytest.mark.parametrize("menu", [FULL, RULE, EXAMPLE], ids=lambda menu: menu.name)


def user_message(menu: Menu = FULL, **changes: object) -> str:
    arguments: dict[str, object] = {
        "component_id": ROUTE,
        "text": ROUTE_TEXT,
        "failing": [exhibit()],
        "neighbours": [passing()],
        "discarded": [],
        "menu": menu,
        "components": COMPONENTS,
    }
    messages = build_request(**{**arguments, **changes})  # type: ignore[arg-type]
    assert [message["role"] for message in messages] == ["system", "user"]
    return messages[1]["content"]


@MENUS
def test_the_prompt_is_the_first_block_and_stands_in_no_other(menu: Menu) -> None:
    text = user_message(menu)
    assert text.startswith("# Prompt to edit: prompts/route.md\n```\n")
    blocks = [block.content.strip() for block in find_fences(text)]
    assert blocks[0] == ROUTE_TEXT.strip()
    assert blocks.count(ROUTE_TEXT.strip()) == 1
    assert text.count("You route tickets") == 1


@MENUS
@given(prompt=st.text(alphabet=st.sampled_from("ab{}% `#\n"), min_size=1, max_size=80))
def test_any_prompt_is_shown_exactly(menu: Menu, prompt: str) -> None:
    run = exhibit(call(("system", prompt), ("user", "ticket 5")))
    text = user_message(menu, text=prompt, failing=[run], components={ROUTE: prompt})
    first, *others = find_fences(text)
    assert first.content == (prompt if prompt.endswith("\n") else prompt + "\n")
    assert prompt not in [block.content.removesuffix("\n") for block in others] or not prompt.strip()


@MENUS
def test_every_failure_line_is_whole(menu: Menu) -> None:
    text = user_message(menu)
    assert "## Failing case 1: tests/test_route.py::test_route[double-charge]" in text
    lines = text.partition("Failure:")[2].split("\n")
    printed = [line[1:].strip() for line in FAILURE.split("\n") if line.startswith("E")]
    assert set(printed) <= {line.strip() for line in lines}
    assert not any(line.startswith("E ") for line in lines)


def test_other_prompts_are_only_named() -> None:
    text = user_message()
    assert "not to be edited now: prompts/reply.md" in text
    assert "kind reply" not in text


def test_passing_cases_and_discarded_edits_are_shown_in_short() -> None:
    text = user_message(discarded=[("+ Answer in one word.\n- Answer with the queue's name.", "no gain")])
    assert "## Passing case: tests/test_route.py::test_route[lost-parcel]" in text
    assert "Discarded: no gain\n```\n+ Answer in one word.\n- Answer with the queue's name.\n```" in text


def test_the_shrunken_menus_show_no_passing_case() -> None:
    assert "lost-parcel" not in user_message(RULE)
    assert "lost-parcel" not in user_message(EXAMPLE)


def system_message(menu: Menu) -> str:
    return build_request(ROUTE, ROUTE_TEXT, [exhibit()], [], [], menu, COMPONENTS)[0]["content"]


def test_the_instruction_tells_of_the_kinds_that_are_allowed_and_of_no_other() -> None:
    assert all(f'- "{kind}": ' in system_message(FULL) for kind in KINDS)
    for kind in KINDS:
        text = system_message(full_menu((kind,)))
        assert [one for one in KINDS if f'- "{one}": ' in text] == [kind]
        assert ('"case": ""' in text) is (kind == "example")


def test_protected_lines_are_told_where_there_are_some() -> None:
    marked = f"{ROUTE_TEXT}<!-- gepa: keep -->\nNever a refund.\n<!-- gepa: end -->\nBe kind.\n# gepa: keep\nx\n"
    assert "to stay as they are to the letter: lines 3 to 5 and 7 to 8." in user_message(text=marked)
    assert "Protected" not in user_message()


def test_of_many_discarded_edits_a_shrunken_menu_shows_the_latest() -> None:
    nine = [(f"+ rule {n}", "no gain") for n in range(9)]
    text = user_message(RULE, discarded=nine)
    assert "rule 5" not in text
    assert "rule 6" in text
    assert all(f"+ rule {n}" in user_message(discarded=nine) for n in range(9))


def test_a_weak_model_is_told_only_of_additions_that_did_not_help() -> None:
    tried = [("+ rule 1", "no gain"), ("- rule 2", "taken back in vain"), ("- a\n+ b", "no gain")]
    text = user_message(RULE, discarded=tried)
    assert "+ rule 1" in text
    assert "rule 2" not in text
    assert "- a" not in text


def test_other_prompts_that_the_cases_used_are_shown_and_cut_to_their_share_of_the_room() -> None:
    reply, other = "prompts/reply.md", "prompts/other.md"
    one = exhibit()
    one = replace(one, rollout=replace(one.rollout, uses=(ROUTE, reply)))
    known = {**COMPONENTS, reply: "You reply.\n" + "Be kind to all of them. " * 400, other: "Unused.\n"}
    text = user_message(failing=[one], components=known)
    _, _, siblings = text.partition("# Other prompts of the same program, to read only")
    siblings, _, _ = siblings.partition("# Tests")
    assert "prompts/reply.md\n```\nYou reply.\nBe kind" in siblings
    assert "characters cut" in siblings
    assert len(siblings) < 2_000
    assert "not to be edited now: prompts/other.md" in siblings
    assert "Unused." not in text
    assert "Be kind to all" not in user_message(failing=[one], components=known, token_budget=100)
    assert "Be kind to all" not in user_message(RULE, failing=[one], components=known)


def test_how_the_search_stands_with_a_prompt_is_told() -> None:
    situation = Situation(1_700, "+ Answer in one word.", 28, 12)
    text = user_message(situation=situation)
    assert f"It has {len(ROUTE_TEXT)} characters, and may have at most 1700 after your edits." in text
    assert "What has been changed in it so far, and has helped:\n```\n+ Answer in one word.\n```" in text
    assert "Of 40 cases that are known to use this prompt 28 pass. Shown are 1 of the 12 others." in text
    assert "so far" not in user_message(situation=replace(situation, changed=""))
    assert "are known to use" not in user_message(situation=replace(situation, fails=1))


def test_of_two_versions_to_be_united_the_other_ones_answers_are_told() -> None:
    one, two = exhibit(), passing()
    failing = replace(one, other=replace(two.rollout, outcome=Outcome.passed))
    version = Version(ROUTE_TEXT, "+ theirs", "+ ours")
    text = user_message(failing=[failing], neighbours=[replace(two, other=one.rollout)], other=version)
    assert "Under the other version it passes, with the answer:\n```\nshipping\n```" in text
    assert "Under the other version it fails, with the answer:\n```\nBilling team\n```" in text
    assert "# Failing cases, in which the other version does better" in text
    assert "# Passing cases, to be kept passing, in which this version does better" in text


def test_a_case_that_passed_before_the_prompts_were_changed_is_told_so() -> None:
    words = "It passed under today's prompts, before they were changed."
    assert words in user_message(failing=[replace(exhibit(), was_passing=True)])
    assert words not in user_message()


@pytest.mark.parametrize("menu", [RULE, EXAMPLE], ids=lambda menu: menu.name)
def test_a_weak_model_is_told_the_expected_answer_where_the_answer_is_the_programs(menu: Menu) -> None:
    told = "Expected answer:\n```\nbilling\n```"
    assert told in user_message(menu, failing=[replace(exhibit(), expected="billing")])
    pipeline = exhibit(route_call(), call(("system", "You reply."), ("user", "x"), answer="Dear customer"))
    assert told not in user_message(menu, failing=[replace(pipeline, expected="billing")])


@MENUS
def test_a_further_attempt_reads_differently(menu: Menu) -> None:
    texts = [user_message(menu, attempt=attempt) for attempt in range(3)]
    assert len(set(texts)) == 3


def test_the_rule_menu_fits_a_small_context_whatever_the_evidence() -> None:
    long = [exhibit(route_call("word " * 9_000, "answer " * 900), failure="x\n" * 9_000, name=f"{n}") for n in range(9)]
    messages = build_request(ROUTE, ROUTE_TEXT, long, [passing()], [("+ x" * 999, "no gain")] * 9, RULE, COMPONENTS)
    assert messages[1]["content"].count("## Failing case") == 3
    assert sum(estimate_tokens(message["content"]) for message in messages) < 2_600


def test_it_is_said_that_a_section_takes_its_deeper_headings_along() -> None:
    said = system_message(FULL)
    assert 'stands under the heading "find"' in said
    assert "deeper headings included, is replaced" in said


def test_a_correction_quotes_the_reply_and_gives_the_reason() -> None:
    reply, wish = correction("{}", 'wrong shape: "edits" is missing')
    assert reply == {"role": "assistant", "content": "{}"}
    assert 'wrong shape: "edits" is missing' in wish["content"]
    assert correction("", "empty reply")[0]["content"] == "(nothing)"
    assert len(correction("x" * 90_000, "truncated")[0]["content"]) < 7_000
    whole = correction("x" * 90_000, "truncated", longest_reply(["y" * 20_000, "z" * 10_000]))
    assert whole[0]["content"] == "x" * 90_000
    assert longest_reply(["short"]) == 6_000


def test_a_program_is_asked_for_whole_and_in_words_for_code():
    kernel = "def double(n):\n    return n\n"
    system, user = build_request("kernel.py", kernel, [], [], [], PROGRAM, {"kernel.py": kernel}, attempt=1)
    assert "whole new file in one fence" in system["content"]
    assert user["content"].startswith(f"# File to edit: kernel.py\n```\n{kernel}```\n")
    assert "about this version of the file" in user["content"]
    assert user["content"].endswith("write the whole of kernel.py anew, in one fence.")
    assert "prompt" not in (system["content"] + user["content"]).lower()


def test_another_version_is_shown_after_the_cases_with_what_it_changed() -> None:
    text = user_message(
        other=Version(
            "You route tickets well.\n",
            "- You route tickets.\n+ You route tickets well.",
            "+ Be brief.",
        )
    )
    failing, _, version = text.partition("# Another version of prompts/route.md")
    assert "## Failing case 1" in failing
    changed, own, whole = find_fences(version)
    assert changed.content == "- You route tickets.\n+ You route tickets well.\n"
    assert own.content == "+ Be brief.\n"
    assert whole.content == "You route tickets well.\n"
    assert "Unite the two" in version


def test_without_another_version_nothing_is_said_of_one() -> None:
    assert "version" not in user_message()
