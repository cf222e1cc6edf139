from __future__ import annotations

import string
from functools import cache

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_gepa.prompts.leaks import RUN, CaseText, Leaks, case_values, literals
from tests.example_desk import CASES, SEED, STAGES, DeskCase, conventions, mistakes, oracle, run_case

TODAY = "Extract the date from the text.\nOffices are in New Zealand.\n"
PLAIN = "Write the date with four digits for the year.\n"
DATES = [
    ("The meeting took place on March 4, 2021 in Lyon.", "2021-03-04"),
    ("Invoice INV-20441 issued 17 June 2019 to Sable & Finch plc.", "2019-06-17"),
    ("She was born on 2 November 1987 near the old mill.", "1987-11-02"),
    ("The contract of EUR 61,204.50 ends on December 31, 2024.", "2024-12-31"),
    ("My parcel never arrived anywhere", "none"),
]


def dates(held_out: int = 0) -> Leaks:
    """The first `held_out` cases are held out."""
    cases = [CaseText(f"c{at}", pair, at < held_out) for at, pair in enumerate(DATES)]
    return Leaks(cases, [TODAY])


@pytest.mark.parametrize(
    "copied",
    [
        "The meeting took place on March 4, 2021 in Lyon.",
        "If the MEETING took place on march 4...",
        "as on March 4, 2021",
        "like 2021-03-04",
        "like 2021/03/04",
        "such as INV-20441",
        "such as inv-20441",
        "such as INV\u201120441",
        "such as INV 20441",
        "invoice no. 20441",
        "like 20210304",
        "17 June 2019 is 2019-06-17",
        "of Sable & Finch plc",
        "of Sable Finch",
        "the amount of 61204.50",
        "the amount of 61,204.50 EUR",
        "- My parcel never arrived anywhere -> none",
    ],
)
def test_what_tells_one_case_from_others_is_a_leak(copied):
    assert (dates().find(f"{TODAY}{copied}\n") or "").startswith("leak: ")


@pytest.mark.parametrize(
    "rule",
    [
        PLAIN,
        "Dates look like 1999-12-24, months are written out: 24 December 1999.",
        "Answer with none if there is no date.",
        "The contract ends on the last day of the month.",
        "In 2019 and 2021 the form was another.",
        "She was born on the day that the text names.",
        "Offices are in New Zealand.",
        "Write 31 as two digits and 2,000 without a comma.",
        "A meeting took place on a day: give that day.",
    ],
)
def test_what_any_rule_may_say_is_none(rule):
    assert dates().find(TODAY + rule) is None


@pytest.mark.parametrize(
    ("own", "written"),
    [
        ("How many? 48213 units", '{"n":48213}'),
        ("48213", "n:48213"),
        ("48213", "数：48213"),
        ("48213", "48213.0 of them"),
        ("48213", "48,213.00"),
        ("Closing balance -48213", "where the balance is -48213"),
        ('{"balance":-48213}', "where the balance is 48213"),
        ("48213", "from \u221248,213 on"),
        ("1234", "-1,234"),
        ("Order 48213: it never came", "as with order 48213"),
        ("48213", '{"48213": 1}, 48213: 1'),
        ("125.00", "write 125.00"),
        ("12.5", "12.50"),
        ("1875.5", "1875.50"),
        ("1875.50", "1.875,5"),
    ],
)
def test_a_number_is_one_in_whatever_form_it_is_written(own, written):
    leaks = Leaks([CaseText("a", (own,)), CaseText("b", ("5",)), CaseText("c", ("7",))], [TODAY])
    assert (leaks.find(f"{TODAY}{written}\n") or "").startswith("leak: ")


@pytest.mark.parametrize(
    ("own", "written"),
    [
        ("12304", "12:30, 4"),
        ("at 12345", "10:12345"),
        ("at 12345", "12345:10"),
        ("48213", "1-48213"),
        ("125 pcs", "write 125.00"),
        ("125.00", "125 of them"),
        ("1500", "1.5"),
        ("2019.0", "In 2019 it was."),
        ("20201010", "version 2020.10.1"),
        ("480", "48.0"),
    ],
)
def test_what_is_another_number_is_none_of_a_case(own, written):
    leaks = Leaks([CaseText("a", (own,)), CaseText("b", ("5",)), CaseText("c", ("7",))], [TODAY])
    assert leaks.find(f"{TODAY}{written}\n") is None


def test_what_stands_in_todays_prompts_may_stay():
    cases = [CaseText("c", ("the annual report of Pellworm Brauerei appeared on May 17, 2020",))]
    text = "For example: the annual report of Pellworm Brauerei appeared on May 17, 2020.\n"
    assert Leaks(cases, [TODAY]).find(text)
    assert Leaks(cases, [TODAY, text]).find(text + "Mind the date.\n") is None


def test_a_span_of_time_is_no_code_with_a_hyphen_either():
    texts = ["Is it within the 30-day window?", "x", "y", "z"]
    leaks = Leaks([CaseText(str(at), (text,)) for at, text in enumerate(texts)], [TODAY])
    assert leaks.find("Name the limit of 30 days.") is None
    assert leaks.find("Name the 30-day limit.") is None


def test_what_several_cases_share_may_be_named():
    label = "needs the attention of a human reviewer"
    cases = [CaseText(f"c{at}", (f"ticket {at}", label)) for at in range(6)]
    assert Leaks(cases[:1], [TODAY]).find(f"Answer '{label}'.")
    assert Leaks(cases, [TODAY]).find(f"Answer '{label}'.") is None
    codes = [CaseText(f"c{at}", (f"ticket {at}", "QUEUE-4711")) for at in range(3)]
    assert Leaks(codes, [TODAY]).find("Use QUEUE-4711.") is None
    assert Leaks([*codes[:2], *cases], [TODAY]).find("Use QUEUE-4711.")


def test_in_a_suite_of_two_what_both_have_is_shared():
    cases = [CaseText(f"c{at}", (f"ticket {at}", "QUEUE-4711")) for at in range(2)]
    assert Leaks(cases, [TODAY]).find("Use QUEUE-4711.") is None


@pytest.mark.parametrize("copied", ["The meeting took place in Lyon.", "the year 2021"])
def test_of_a_held_out_case_less_is_a_leak(copied):
    assert dates(held_out=0).find(copied) is None
    assert dates(held_out=1).find(copied)


def test_held_out_cases_may_share_what_they_like_and_it_is_a_leak_all_the_same():
    cases = [CaseText(f"h{at}", ("QUEUE-4711",), True) for at in range(9)]
    assert Leaks([*cases, CaseText("s", ("x",))], [TODAY]).find("Use QUEUE-4711.")


def test_what_a_search_case_has_too_is_no_secret_of_a_held_out_one():
    cases = [CaseText("h", ("in 2021", "ok"), True), *(CaseText(f"s{at}", ("also 2021",)) for at in range(3))]
    assert Leaks(cases, [TODAY]).find("As in 2021.") is None


def test_the_reason_does_not_say_whether_a_case_is_held_out():
    text = "like 2021-03-04"
    assert dates().find(text) == dates(held_out=1).find(text)


def test_an_example_is_let_off_for_its_own_case_alone():
    leaks = dates()
    example = f"{DATES[0][0]} -> {DATES[0][1]}"
    assert leaks.find(example, ["c0"]) is None
    assert leaks.find(example, ["c1"])
    assert leaks.find(f"{example}\n{DATES[1][0]}", ["c0"])
    assert leaks.find(f"{example}\n{DATES[1][0]}", ["c0", "c1"]) is None
    assert leaks.find(example, ["no such case"])


def test_what_the_cases_were_seen_to_send_counts_too():
    leaks = Leaks([CaseText("a", ("1",)), CaseText("b", ("2",)), CaseText("c", ("3",))], [TODAY])
    sent = "Ticket 17: the blue kettle of my aunt whistles"
    assert leaks.find(f"{TODAY}{sent}") is None
    leaks.learn({"a": [sent]})
    assert leaks.find(f"{TODAY}{sent}")
    assert leaks.find(f"{TODAY}{sent}", ["a"]) is None


def test_what_surrounds_every_input_is_no_leak():
    frame = "You are given one ticket of a customer, read it with care:"
    leaks = Leaks([CaseText(f"c{at}", (f"{at}",)) for at in range(4)], [TODAY])
    leaks.learn({f"c{at}": [f"{frame} ticket {at}"] for at in range(4)})
    assert leaks.find(f"{TODAY}{frame}") is None


def test_an_example_is_whole_that_holds_what_was_sent_and_what_was_expected():
    leaks = dates()
    assert leaks.is_whole(f"Input: {DATES[0][0]}\nAnswer: {DATES[0][1]}", "c0")
    assert not leaks.is_whole(f"Input: The meeting took place on March 4\nAnswer: {DATES[0][1]}", "c0")
    assert not leaks.is_whole(f"Input: {DATES[0][0]}\nAnswer: March 4, 2021", "c0")
    assert leaks.holds_input(f"Input: {DATES[0][0]}\nAnswer: March 4, 2021", "c0")
    assert not leaks.holds_input("The meeting took place on March 4", "c0")
    assert not leaks.is_whole("anything", "no such case")
    leaks.learn({"c0": [f"Read this:\n{DATES[0][0]}"]})
    assert leaks.is_whole(f"{DATES[0][0].upper()} {DATES[0][1]}", "c0")
    assert not leaks.is_whole(DATES[0][1], "c0")
    several = Leaks([CaseText("s", ("fruit", "apple", "red", "a note that nobody sends"))], [TODAY])
    several.learn({"s": ["fruit: apple"]})
    assert several.is_whole("fruit apple -> red", "s")
    assert not several.is_whole("fruit: pear -> red", "s")
    assert not several.is_whole("fruit: apple -> green", "s")


def test_input_and_answer_are_known_where_one_string_is_not_sent():
    leaks = dates()
    assert leaks.pair("c0") is None
    leaks.learn({"c0": [f"Read this: {DATES[0][0]}"], "c1": ["something else"], "c4": [DATES[4][0]]})
    assert leaks.pair("c0") == DATES[0]
    assert leaks.pair("c1") is None
    assert leaks.pair("c4") == DATES[4]
    several = Leaks([CaseText("s", ("fruit", "apple", "red")), CaseText("t", ("a b", "x", "y"))], [TODAY])
    several.learn({"s": ["fruit: apple\n"], "t": ["a b"]})
    assert several.pair("s") == ("fruit: apple", "red")
    assert several.pair("t") is None
    assert several.pair("no such case") is None


FILLED_IN = (
    "Answer the question from the context in one word, seine-river or billing.\n\n"
    "Context: {context}\n\nQuestion: {question}\nAnswer:"
)
CONTEXT, QUESTION = "The Seine flows through the old town.", "Which river is named?"
SENT = FILLED_IN.format(context=CONTEXT, question=QUESTION)


@pytest.mark.parametrize(
    ("values", "sent", "told"),
    [
        ((QUESTION, CONTEXT, "harbour"), SENT, f"{CONTEXT}\n{QUESTION}"),
        ((QUESTION, CONTEXT, "old town", "harbour"), SENT, f"{CONTEXT}\n{QUESTION}"),  # of the context
        ((QUESTION, CONTEXT, "Context: ", "harbour"), SENT, None),  # which of the two is the answer?
        ((CONTEXT, "harbour"), SENT, CONTEXT),
        (("nobody sends this",), SENT, None),
        ((QUESTION, CONTEXT, "harbour"), f"{CONTEXT} -- {QUESTION}", f"{CONTEXT} -- {QUESTION}"),
    ],
)
def test_the_input_of_a_case_is_no_prompt_that_it_was_filled_in_to(values, sent, told):
    leaks = Leaks([CaseText("c", values)], [TODAY, FILLED_IN])
    leaks.learn({"c": [sent]})
    pair = leaks.pair("c")
    assert pair == (told and (told, values[-1]))
    assert pair is None or leaks.is_whole("\n".join(pair), "c")


def test_an_answer_that_the_prompt_names_was_not_sent_by_the_case():
    leaks = Leaks([CaseText("c", (CONTEXT, QUESTION, "seine-river"))], [FILLED_IN])
    leaks.learn({"c": [SENT]})
    assert leaks.pair("c") == (f"{CONTEXT}\n{QUESTION}", "seine-river")
    leaks = Leaks([CaseText("c", (CONTEXT, "which nobody sends", "billing"))], [FILLED_IN])
    leaks.learn({"c": [SENT]})
    assert leaks.pair("c") is None


def test_a_case_of_which_only_the_input_is_known_is_whole_with_that():
    leaks = Leaks([CaseText("c", ("W1-003",))], [TODAY])
    leaks.learn({"c": ["Ticket W1-003: the kettle of my aunt"]})
    assert leaks.is_whole("Ticket W1-003: the kettle of my aunt -> repairs", "c")


@pytest.mark.parametrize(
    "text", ["日本の首都は東京であり、人口は約千四百万人です。", "ประเทศไทยมีเมืองหลวงชื่อกรุงเทพมหานคร"]
)
def test_scripts_without_spaces_have_runs_too(text):
    leaks = Leaks([CaseText("a", (text,)), CaseText("b", ("x",))], [TODAY])
    assert leaks.find(f"例えば：{text}")
    assert leaks.find("日本語で答えてください。") is None


WORDS = st.text(string.ascii_lowercase, min_size=4, max_size=9)


@given(st.lists(WORDS, min_size=RUN, max_size=30, unique=True), st.data())
def test_any_run_of_six_words_of_a_case_is_found_wherever_it_stands(words, data):
    assume(not {"that", "with", "from", "this"} & set(words))
    start = data.draw(st.integers(0, len(words) - RUN))
    run = words[start : start + RUN]
    separator = data.draw(st.sampled_from([" ", ", ", "\n", " -- ", "\t"]))
    before, after = data.draw(st.tuples(st.sampled_from(["", "Rule: "]), st.sampled_from(["", ".", " and so on"])))
    leaks = Leaks([CaseText("a", (" ".join(words),)), CaseText("b", ("other",))], [TODAY])
    common = {
        "that",
        "have",
        "when",
        "they",
        "them",
        "then",
        "than",
        "will",
        "been",
        "were",
        "your",
        "into",
        "what",
    }
    assume(len(set(run) - common) == RUN)
    text = TODAY + before + separator.join(word.capitalize() for word in run) + after
    assert (leaks.find(text) or "").startswith("leak: ")
    assert leaks.find(text, ["a"]) is None


@given(st.lists(WORDS, max_size=20), st.lists(WORDS, max_size=20))
def test_texts_that_share_no_word_never_leak(case, text):
    assume(not set(case) & set(text))
    assert Leaks([CaseText("a", (" ".join(case),))], [""]).find(" ".join(text)) is None


@given(
    st.lists(st.tuples(st.text(max_size=40), st.booleans()), max_size=5),
    st.text(max_size=60),
    st.text(max_size=60),
)
def test_any_strings_can_be_asked_about(cases, today, text):
    leaks = Leaks([CaseText(f"c{at}", (value,), held) for at, (value, held) in enumerate(cases)], [today])
    assert leaks.find(today) is None
    reason = leaks.find(text)
    assert reason is None or reason.startswith("leak: ")
    assert leaks.find(text, [f"c{at}" for at in range(len(cases))]) is None or any(held for _, held in cases)


def test_many_long_cases_are_searched():
    cases = [CaseText(f"c{at}", (" ".join(f"w{at}x{n}" for n in range(500)),)) for at in range(400)]
    leaks = Leaks(cases, [TODAY])
    text = " ".join(f"w{at}x7 and then" for at in range(400))
    assert leaks.find(text)


# The strings of a case


def test_the_values_of_a_case_are_those_inside_its_parameters():
    parameters = (
        ("ticket", "Ticket(id=5, text='My card', tags=['a', 'b'], amount=-12.5, open=True, owner=None)"),
        ("client", "<Client at 0x7f>"),
        ("n", "3"),
    )
    values = case_values(parameters, "")
    assert sorted(values) == ["12.5", "3", "5", "<Client at 0x7f>", "My card", "a", "b"]
    assert literals("not python(") == []
    assert literals("[" * 5_000) == []


def test_the_strings_of_a_test_are_its_inputs_and_what_it_compares_with():
    source = '''\
def test_reply(client, gepa, name="default"):
    """A docstring."""
    ticket = "My card was charged twice"
    answer = client.ask(f"Ticket: {ticket}", style="formal")
    gepa.score(0.5, feedback="not formal enough")
    gepa.log("the answer", answer)
    assert answer == "billing", "the answer must be a queue"
    assert "sorry" in answer.lower()
    if not answer:
        pytest.fail("nothing came")
        raise ValueError("no answer at all")
'''
    assert case_values((), source) == ("My card was charged twice", "Ticket: ", "formal", "billing", "sorry")
    assert case_values((), "def broken(") == ()


# How often it is wrong: the example project's conventions as careful editors put them, and its cases


@cache
def sent(case: DeskCase) -> list[str]:
    return [user for _, user, _ in run_case(SEED, case).calls]


def desk(held_out: frozenset[str] = frozenset()) -> Leaks:
    cases, inputs = [], {}
    for case in CASES:
        values = (("item", case.item), ("excerpt", case.excerpt), ("line", case.expected), ("why", case.why))
        parameters = [(name, repr(value)) for name, value in values]
        cases.append(CaseText(case.id, case_values(parameters, ""), case.id in held_out))
        if case.id not in held_out:
            inputs[case.id] = sent(case)
    leaks = Leaks(cases, SEED.values())
    leaks.learn(inputs)
    return leaks


WORDINGS = [
    (convention.stage, wording)
    for convention in (*conventions.CONVENTIONS, *mistakes.MISTAKES)
    for wording in (*convention.wordings, *convention.careful_wordings)
]


def test_no_wording_of_a_convention_is_taken_for_a_leak():
    leaks = desk()
    assert [wording for stage, wording in WORDINGS if leaks.find(f"{SEED[stage]}- {wording}\n")] == []
    assert [stage for stage, text in oracle().items() if leaks.find(text)] == []


def test_hardly_a_wording_is_one_when_a_fifth_of_the_cases_is_held_out():
    refused = []
    for start in range(5):
        leaks = desk(frozenset(case.id for case in CASES[start::5]))
        refused += [wording for stage, wording in WORDINGS if leaks.find(f"{SEED[stage]}- {wording}\n")]
    assert len(refused) <= 0.02 * 5 * len(WORDINGS)


@pytest.mark.parametrize("stage", STAGES)
def test_every_pasted_case_is_caught(stage):
    leaks = desk()
    pasted = {
        "whole": lambda case: f"{case.item}: {case.excerpt} -> {case.expected}",
        "excerpt": lambda case: case.excerpt,
        "expected": lambda case: repr(case.expected),
        "beginning": lambda case: " ".join(case.excerpt.split()[:8]),
        "middle": lambda case: " ".join(case.excerpt.split()[6:14]),
    }
    for form, paste in pasted.items():
        missed = [case.id for case in CASES if leaks.find(f"{SEED[stage]}{paste(case)}\n") is None]
        assert missed == [], form


def test_a_pasted_case_is_let_off_where_it_is_marked_as_an_example():
    leaks = desk()
    for case in CASES:
        example = f"{case.excerpt}\n{case.expected}"
        assert leaks.is_whole(f"{case.item}\n{example}", case.id)
        assert leaks.find(f"{SEED['extract']}{example}", [case.id]) is None, case.id


def test_of_several_leaks_the_first_few_are_told_and_a_sentence_is_told_once():
    case = "Invoice INV-20441 for Marta Kowalski lists EUR 61,204.50 and the code QX-77310 of the harbour office."
    leaks = Leaks([CaseText("a", (case,)), CaseText("b", ("x",)), CaseText("c", ("y",))], [TODAY])
    both = leaks.find(f"{TODAY}As INV-20441 says, greet Marta Kowalski.\n") or ""
    assert both.startswith("leak: each of 'inv-20441', 'marta kowalski' belongs to one case, ")
    one = leaks.find(f"{TODAY}As with Marta Kowalski.\n") or ""
    assert one.startswith("leak: 'marta kowalski' belongs to one case, ")
    many = leaks.find(f"{TODAY}QX-77310? INV-20441! Marta Kowalski; 61204.50.\n") or ""
    assert many.count("'") == 6
    sentence = "nobody walks barefoot across frozen meadows while seven herons circle above silver birches"
    leaks = Leaks([CaseText("a", (sentence,)), CaseText("b", ("x",)), CaseText("c", ("y",))], [TODAY])
    whole = leaks.find(f"{TODAY}{sentence}\n") or ""
    assert whole.startswith("leak: 'nobody walks barefoot across frozen meadows' belongs to one case, ")
