from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_gepa.prompts.edits import KINDS, Edit
from pytest_gepa.reflect.menu import FULL, PROGRAM, Menu, full_menu
from pytest_gepa.reflect.reply import Reply, ReplyError, parse_reply, read_object
from tests.reflect.exhibits import EXAMPLE, RULE

FULL_JSON = {
    "diagnoses": [
        {"case": "1", "problem": "A long name.", "cause": "No form is given."},
        {"case": "2", "problem": "A long name.", "cause": "No form is given."},
    ],
    "edits": [{"kind": "replace", "find": "Answer.", "text": "Answer in one word."}],
}
RULE_JSON = {"diagnosis": "A long name.", "rule": "The answer must be one word."}


def read(text: str, menu: Menu = FULL) -> Reply:
    return parse_reply(text, "stop", "", menu)


def reason(text: str, menu: Menu = FULL, finish_reason: str = "stop", refusal: str = "") -> str:
    with pytest.raises(ReplyError) as caught:
        parse_reply(text, finish_reason, refusal, menu)
    return caught.value.reason


@pytest.mark.parametrize(
    "form", ["{}", "\n {} \n", "```json\n{}\n```", "Here it is:\n```\n{}\n```\nDone.", "```JSON\n{}\n```"]
)
def test_the_full_menus_json_is_read_bare_or_in_the_only_fence(form: str) -> None:
    reply = read(form.replace("{}", json.dumps(FULL_JSON, indent=1)))
    assert reply.edits == (Edit("replace", "Answer.", "Answer in one word."),)
    assert reply.case_diagnoses == (
        ("1", "A long name.", "No form is given."),
        ("2", "A long name.", "No form is given."),
    )
    assert reply.diagnosis == "A long name. No form is given."


def test_the_rule_menus_json_is_one_line_to_add() -> None:
    reply = read(json.dumps(RULE_JSON), RULE)
    assert reply == Reply("A long name.", (), (Edit("add", "", "The answer must be one word."),))


@pytest.mark.parametrize(
    ("asked", "answer", "text"),
    [
        ("a", "b", "Example input: a\nExample answer: b"),
        (" a\n", "b", "Example input: a\nExample answer: b"),
        ("a\nb", "c", "Example input:\na\nb\nExample answer: c"),
    ],
)
def test_the_example_menus_json_is_one_example_to_add(asked: str, answer: str, text: str) -> None:
    found = read(json.dumps({"diagnosis": "d", "input": asked, "expected": answer}), EXAMPLE)
    assert found == Reply("d", (), (Edit("example", "", text),))


def test_an_example_without_words_is_none_and_half_of_one_is_rejected() -> None:
    blank = {"diagnosis": "not the prompt", "input": "", "expected": " "}
    assert read(json.dumps(blank), EXAMPLE).edits == ()
    assert reason(json.dumps({**blank, "input": "a"}), EXAMPLE).startswith("wrong shape")
    assert reason(json.dumps({**blank, "input": "a " * 900, "expected": "b"}), EXAMPLE).startswith("example too long")


def test_the_case_of_an_edit_is_read_of_examples_only() -> None:
    edits = [
        {"kind": "add", "find": "", "text": "a", "case": "1"},
        {"kind": "example", "find": "", "text": "b", "case": " 3 "},
        {"kind": "example", "find": "", "text": "c", "case": "none"},
        {"kind": "example", "find": "", "text": "d"},
        {"kind": "section", "find": "# A", "text": "e"},
    ]
    found = read(json.dumps({"diagnoses": [], "edits": edits})).edits
    assert [(edit.kind, edit.case) for edit in found] == [
        ("add", ""),
        ("example", "3"),
        ("example", ""),
        ("example", ""),
        ("section", ""),
    ]


def test_a_kind_that_is_not_allowed_is_rejected() -> None:
    narrow = full_menu(("add", "delete"))
    assert reason(json.dumps(FULL_JSON), narrow).startswith("kind not allowed: an edit of kind replace")
    assert reason("```\nAll new.\n```", narrow).startswith("kind not allowed: a whole new text")
    added = {**FULL_JSON, "edits": [{"kind": "add", "find": "", "text": "x"}]}
    assert read(json.dumps(added), narrow).edits == (Edit("add", "", "x"),)


def test_line_ends_inside_json_strings_are_understood() -> None:
    assert read('{"diagnosis": "a\nb", "rule": "c"}', RULE).diagnosis == "a\nb"


def test_no_edits_mean_not_to_blame() -> None:
    assert read(json.dumps({**FULL_JSON, "edits": []})).edits == ()
    assert read(json.dumps({**RULE_JSON, "rule": " "}), RULE).edits == ()


@pytest.mark.parametrize("menu", [FULL, RULE], ids=lambda menu: menu.name)
def test_one_fence_is_the_whole_new_text(menu: Menu) -> None:
    reply = read("The form is missing.\n\n```markdown\nRoute it.\nUse one word.\n```", menu)
    assert reply == Reply("The form is missing.", (), (Edit("rewrite", "", "Route it.\nUse one word."),))


@pytest.mark.parametrize(
    "reply",
    [
        "````\nAnswer so:\n```\nbilling\n```\nNo more.\n````",
        "```\nAnswer so:\n```text\nbilling\n```\nNo more.\n```",
        "~~~\nAnswer so:\n```\nbilling\n```\nNo more.\n~~~",
    ],
)
def test_a_fence_inside_the_new_text_is_part_of_it(reply: str) -> None:
    text = read(reply).edits[0].text
    assert text.startswith("Answer so:\n```")
    assert text.endswith("billing\n```\nNo more.")


def test_a_prompt_that_is_json_itself_is_a_text() -> None:
    assert read('```\n{"role": "router", "queues": ["a"]}\n```').edits[0].kind == "rewrite"
    assert read("```\n{{ ticket }}\nRoute it.\n```").edits[0].text == "{{ ticket }}\nRoute it."


@pytest.mark.parametrize(
    "thoughts",
    [
        "<think>\nPerhaps:\n```\na draft\n```\n</think>\n{}",
        "<think>{} or not</think>{}",
        "still thinking, {} perhaps\n</think>\n\n{}",
        "Well.\n<THINKING>a</THINKING>\n```json\n{}\n```",
    ],
)
def test_closed_thoughts_are_dropped(thoughts: str) -> None:
    before, _, after = thoughts.rpartition("{}")
    assert read(before + json.dumps(RULE_JSON) + after, RULE).edits[0].kind == "add"


DRAFT = json.dumps({**RULE_JSON, "rule": "A draft."})


@pytest.mark.parametrize(
    "reply",
    [
        f"First:\n{DRAFT}\nThat is too short.\n</think>\n\n{{}}",
        f"{DRAFT}\nNo.\n</thinking>{{}}",
        f"So:\n```json\n{DRAFT}\n```\n</think>\nHere it is:\n```json\n{{}}\n```",
        f"The text may hold </think>.\n{DRAFT}\n</think>{{}}",
    ],
)
@pytest.mark.parametrize("rule", ["The answer must be one word.", "Close with </think>."])
def test_a_draft_in_a_thought_without_its_opening_tag_is_not_the_answer(reply: str, rule: str) -> None:
    before, _, after = reply.rpartition("{}")
    answer = json.dumps({**RULE_JSON, "rule": rule})
    assert read(before + answer + after, RULE).edits == (Edit("add", "", rule),)
    found = read_object(before + answer + after, "stop", "", RULE)
    assert found["rule"] == rule


def test_behind_such_a_thought_a_whole_text_is_taken_too() -> None:
    reply = f"Perhaps\n{json.dumps(FULL_JSON)}\nor all of it.\n</think>\n```\nAnswer in one word.\n```"
    assert read(reply).edits == (Edit("rewrite", "", "Answer in one word."),)


def test_what_stands_behind_a_tag_and_is_no_answer_is_passed_over() -> None:
    assert read(f"{json.dumps(RULE_JSON)}\n</think>\nThat is all.", RULE).edits[0].text == RULE_JSON["rule"]
    text = "Think.\n</think>\n~~~\nbilling\n~~~"
    assert read(f"```\n{text}\n```").edits[0].text == text


def test_a_prompt_may_speak_of_thoughts() -> None:
    text = "Reason inside <think> first.\nClose it with </think>."
    assert read(f"```\n{text}\n```").edits[0].text == text
    assert read("```\nReason before </think>.\n```").edits[0].text == "Reason before </think>."
    rule = json.dumps({"diagnosis": "", "rule": "The answer must not open with <think>."})
    assert read(rule, RULE).edits[0].text == "The answer must not open with <think>."


def rewrite(text: str) -> str:
    return json.dumps({"diagnoses": [], "edits": [{"kind": "rewrite", "find": "", "text": text}]})


@pytest.mark.parametrize(
    "text",
    [
        "Review it.\n\n```diff\n--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,3 @@\n-a\n+b\n```\nVerdict: ok",
        "```\ndiff --git a/x b/x\n```\nVerdict: ok",
        "Write what a commit does.\n\ndiff --git a/x b/x",
        "Shorten code with comments such as\n# rest of the code unchanged",
        "Shorten code with comments such as\n// ... rest of the parser class unchanged",
        "Shorten it:\n```python\n# rest of the file unchanged\n```\nOr not.",
        "Shorten it:\n```python\n# ... rest unchanged\n```\nOr not.",
    ],
)
def test_a_prompt_may_show_a_diff_and_speak_of_code_that_is_left_out(text: str) -> None:
    edits = (Edit("rewrite", "", text),)
    assert read(rewrite(text)).edits == edits
    assert read(f"Here:\n````\n{text}\n````").edits == edits


def test_a_program_may_leave_nothing_out() -> None:
    assert reason("```python\na = 1\n# rest of the code unchanged\n```", PROGRAM).startswith("parts of the text")


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (
            r"Write $a \times b$, $a \neq b$, \text{kg}, \frac{a}{b}.",
            r"Write $a \times b$, $a \neq b$, \text{kg}, \frac{a}{b}.",
        ),
        (r"Write \\times, \\\\times and \\neq.", r"Write \times, \\times and \neq."),
        (r"Match \d{4}-\d{2}, or \_none\_.", r"Match \d{4}-\d{2}, or \_none\_."),
        (r"gt\neq\nnot\tab", "gt\neq\nnot\tab"),
        (r"a:\n\textual\rights", "a:\n\textual\rights"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "Here it is:\n{}", "```json\n{}\n```"])
def test_a_command_of_latex_with_one_backslash_is_no_tab(said: str, text: str, around: str) -> None:
    reply = read(around.replace("{}", f'{{"diagnosis": "", "rule": "{said}"}}'), RULE)
    assert reply.edits == (Edit("add", "", text),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty reply"),
        (" \n", "empty reply"),
        ("<think>done</think>", "empty reply"),
        ("<think>The prompt should say\n```\na draft\n```", "unclosed <think>"),
        ("I would add a rule.", "no JSON and no single fence"),
        ("[]", "no JSON and no single fence"),
        ("```\na\n```\nor\n```\nb\n```", "several fences"),
        ("```\na\n```\nb\n```\nc\n```", "several fences"),
        ("```\nRoute the tick", "unclosed fence"),
        ("```\nAnswer so:\n```json\n{}\n```", "unclosed fence"),
        ("```\n \n```", "empty fence"),
        ("```diff\n-a\n+b\n```", "a diff instead of the text"),
        ("```\n--- a/prompts/x.md\n+++ b/prompts/x.md\n-a\n+b\n```", "a diff instead of the text"),
        ("```\n@@ -1,2 +1,3 @@\n-a\n+b\n```", "a diff instead of the text"),
        ("```\n```diff\n-a\n+b\n```\n```", "a diff instead of the text"),
        ("```\n# rest unchanged\n```", "parts of the text left out"),
        ("```\nRoute it.\n[... rest of the prompt unchanged ...]\n```", "parts of the text left out"),
        ("```\nRoute it.\n... (the rest stays the same)\n```", "parts of the text left out"),
        (
            "```\nReview it.\n... rest of the code review prompt remains the same ...\n```",
            "parts of the text",
        ),
        ("```\nReview it.\n[the rest of the code review instructions unchanged]\n```", "parts of the text"),
        ("```\nReview it.\n[rest of the file unchanged]\n```", "parts of the text"),
        ("```\nReview it.\n# rest of the prompt code unchanged\n```", "parts of the text"),
        ("```\nReview it.\n# rest of the prompt file unchanged\n```", "parts of the text"),
        ('{"diagnoses": [', "malformed JSON"),
        ('{"diagnoses": [] "edits": []}', "malformed JSON"),
        ("```json\n{,}\n```", "malformed JSON"),
        ('{"diagnoses": [], "edits": [], "edits": []}', "malformed JSON"),
        ('{"a":' * 100_000, "malformed JSON"),
        ("```json\n[1]\n```", "wrong shape"),
        ("{}", "wrong shape"),
        ('{"edits": []}', "wrong shape"),
        ('{"diagnoses": [1], "edits": []}', "wrong shape"),
        ('{"diagnoses": [{"case": {}, "problem": "", "cause": ""}], "edits": []}', "wrong shape"),
        ('{"diagnoses": [], "edits": [{"kind": "append", "find": "", "text": "x"}]}', "wrong shape"),
        ('{"diagnoses": [], "edits": [{"kind": "replace", "text": "x"}]}', "wrong shape"),
        ('{"diagnoses": [], "edits": [{"kind": "rewrite", "find": "", "text": "@@ -1 +1 @@"}]}', "a diff"),
        (rewrite("```diff\n--- a/p.md\n+++ b/p.md\n-a\n+b\n```"), "a diff"),
        (rewrite("Route it.\n(the rest of the rules stays the same)"), "parts of the text left out"),
        (rewrite("```\nRoute it.\n... rest of the prompt unchanged\n```"), "parts of the text left out"),
        ('{"diagnoses": [], "edits": [{"kind": "add", "find": "", "text": "\\ud83d"}]}', "broken characters"),
        (json.dumps(RULE_JSON), "wrong shape"),
    ],
)
def test_what_is_not_plainly_an_edit_is_rejected(text: str, words: str) -> None:
    assert reason(text).startswith(words)


def test_a_reply_that_the_server_marks_as_refused_or_cut_is_rejected() -> None:
    assert reason(json.dumps(FULL_JSON), finish_reason="length").startswith("truncated")
    assert reason(json.dumps(FULL_JSON), finish_reason="content_filter").startswith("refused")
    assert reason(json.dumps(FULL_JSON), refusal="I cannot\nhelp.") == "refused: I cannot help."


def test_a_rule_of_many_sentences_is_rejected() -> None:
    assert reason(json.dumps({**RULE_JSON, "rule": "word " * 200}), RULE).startswith("rule too long")


PIECES = st.sampled_from(
    [
        "{",
        "}",
        '"edits"',
        ": [",
        "]",
        "```",
        "````",
        "```json",
        "\n",
        "<think>",
        "</think>",
        "a",
        '"diagnoses": []',
        ",",
    ]
)

EDITS = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from([*KINDS, "mend"]),
            "find": st.sampled_from(["", "Answer.", "# Rules"]),
            "text": st.sampled_from(["", "Use one word."]),
        }
    ),
    min_size=1,
    max_size=3,
)
ANSWERS = st.builds(lambda edits: json.dumps({"diagnoses": [], "edits": edits}), EDITS)


@given(
    st.one_of(
        ANSWERS,
        st.text(alphabet=st.characters(exclude_categories=()), max_size=60),
        st.lists(PIECES, max_size=14).map("".join),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(st.sampled_from(["diagnoses", "edits", "kind", "find", "text", "rule"]), inner),
            ),
            max_leaves=8,
        ).map(json.dumps),
    ),
    st.sampled_from(["stop", "length", "", "tool_calls"]),
    st.sampled_from([FULL, RULE, EXAMPLE, full_menu(("add",))]),
)
@example("```\n" + "<think>" * 50 + "\n```", "stop", FULL)
@example('{"rule": ' + "9" * 5_000 + "}", "stop", RULE)
def test_any_text_is_a_reply_or_a_reply_error(text: str, finish_reason: str, menu: Menu) -> None:
    with suppress(ReplyError):
        parse_reply(text, finish_reason, "", menu)


@given(ANSWERS, st.sampled_from([FULL, full_menu(("add",))]))
def test_no_edit_of_a_kind_that_the_menu_does_not_allow_is_read(text: str, menu: Menu) -> None:
    try:
        edits = read(text, menu).edits
    except ReplyError:
        return
    assert all(edit.kind in menu.kinds for edit in edits)


@given(st.lists(st.sampled_from(["Route it.", "", "- one word", "```json", "{}", "````", "# x", "<b>"]), min_size=1))
def test_a_text_in_a_long_enough_fence_comes_back_exactly(lines: list[str]) -> None:
    text = "\n".join(lines)
    if text.strip() and not text.strip().startswith("{"):
        assert read(f"Here:\n``````\n{text}\n``````").edits == (Edit("rewrite", "", text),)


def test_a_program_is_the_only_fence_and_the_diagnosis_what_stands_around_it():
    said = "The loop runs twice.\n\n```python\n{'a': 1}\n```\nThat is all."
    reply = parse_reply(said, "stop", "", PROGRAM)
    assert reply.edits == (Edit("rewrite", "", "{'a': 1}"),)
    assert reply.diagnosis == "The loop runs twice.\n\n\nThat is all."


def test_json_is_no_program():
    with pytest.raises(ReplyError, match=r"^no fence: "):
        parse_reply('{"diagnosis": "slow", "rule": "be fast"}', "stop", "", PROGRAM)


@pytest.mark.parametrize(
    "form",
    [
        "The label is given in two spellings.\n\n{}",
        "{}\nThis keeps what passes.",
        "The answer was:\n```\nBilling team\n```\nSo:\n```json\n{}\n```\n",
        "<answer>\n{}\n</answer>",
        "<answer>{}</answer>",
        "{}\n\n{}",
    ],
)
def test_the_only_object_of_the_menus_keys_is_the_reply_whatever_stands_around_it(form: str) -> None:
    reply = read(form.replace("{}", json.dumps(FULL_JSON, indent=1)))
    assert reply.edits == (Edit("replace", "Answer.", "Answer in one word."),)


def test_two_different_objects_leave_it_open_which_is_meant() -> None:
    other = {**FULL_JSON, "edits": []}
    assert reason(f"{json.dumps(FULL_JSON)}\n{json.dumps(other)}").startswith("malformed JSON")


def test_null_is_as_good_as_left_out_where_a_kind_of_edit_needs_no_such_field() -> None:
    edit = {"kind": "add", "find": None, "text": "Be brief.", "case": None}
    assert read(json.dumps({"diagnoses": [], "edits": [edit]})).edits == (Edit("add", "", "Be brief."),)


SPEAKS_OF_TAGS = "Put your reasoning between <thinking> and </thinking>, then the label."


@pytest.mark.parametrize("before", ["<think>The tags are missing.</think>\n", "Tags </think>\n", "Here:\n"])
@pytest.mark.parametrize("rule", [SPEAKS_OF_TAGS, "Open with <thinking>.", "Close with </think>."])
def test_an_answer_that_speaks_of_thoughts_loses_nothing(before: str, rule: str) -> None:
    edits = [{"kind": "add", "find": "", "text": rule}]
    reply = parse_reply(before + json.dumps({"diagnoses": [], "edits": edits}), "stop", "", FULL)
    assert reply.edits == (Edit("add", "", rule),)


@pytest.mark.parametrize("around", ["{}", "Here it is:\n{}", "```json\n{}\n```"])
def test_a_comma_before_a_closing_bracket_means_nothing(around: str) -> None:
    said = '{"diagnoses": [], "edits": [{"kind": "add", "find": "", "text": "Be brief,]"},],}'
    reply = parse_reply(around.replace("{}", said), "stop", "", FULL)
    assert reply.edits == (Edit("add", "", "Be brief,]"),)


def test_json_that_is_malformed_behind_a_sentence_is_called_so() -> None:
    with pytest.raises(ReplyError, match="malformed JSON"):
        parse_reply('My proposal:\n{"diagnoses": [], "edits": [{"kind": "add" "text": "x"}]}', "stop", "", FULL)


def test_a_line_of_the_prompt_itself_leaves_no_part_out() -> None:
    prompt = "Shorten code, with comments such as\n# ... rest of the prompt unchanged\nin it."
    for said in (rewrite(f"{prompt} Be brief."), f"````\n{prompt} Be brief.\n````"):
        assert reason(said).startswith("parts of the text left out")
        (edit,) = parse_reply(said, "stop", "", FULL, prompt).edits
        assert edit == Edit("rewrite", "", f"{prompt} Be brief.")
    with pytest.raises(ReplyError, match="parts of the text left out"):
        parse_reply(rewrite("Shorten code.\n# the rest is unchanged"), "stop", "", FULL, prompt)
