from __future__ import annotations

import textwrap

import pytest

from pytest_gepa.trace.attribution import components_arrived, components_touched, components_used
from pytest_gepa.trace.trajectory import Call, Message, ToolCall

ROUTE = """\
You sort support tickets into queues.
The queues are billing, shipping and other.

Customer: {customer}
Ticket:
{ticket}

Answer with the name of the queue and nothing else.
"""
REPLY = """\
    You write a friendly reply to a customer.
    Keep it under {words} words, and sign it with "The team".
"""


def calls(*contents: str) -> list[Call]:
    return [Call("k", "m", (Message("system", "Be safe."), Message("user", content)), None) for content in contents]


def test_a_template_that_was_filled_in_is_found() -> None:
    filled = ROUTE.format(customer="Ann", ticket="Where is my parcel?\nIt is late.")
    assert components_used({"reply": REPLY, "route": ROUTE}, calls(filled)) == ("route",)


def test_components_of_several_calls_are_found_in_the_order_given() -> None:
    sent = calls(ROUTE.format(customer="a", ticket="b"), REPLY.format(words=5))
    assert components_used({"reply": REPLY, "route": ROUTE}, sent) == ("reply", "route")


@pytest.mark.parametrize(
    "change",
    [
        str.strip,
        textwrap.dedent,
        lambda text: "\n\n".join(text.split("\n")),
        lambda text: textwrap.fill(text, 40),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: f"Rules: <rules>{text}</rules>",
    ],
)
def test_white_space_and_surroundings_do_not_matter(change: object) -> None:
    assert callable(change)
    assert components_used({"reply": REPLY}, calls(change(REPLY.format(words=5)))) == ("reply",)


def test_a_template_is_found_when_a_third_of_it_was_rendered() -> None:
    branches = [f"This is what to do in case number {n}, and no other." for n in range(6)]
    text = "\n".join(f"{{% if case == {n} %}}\n{branch}\n{{% endif %}}" for n, branch in enumerate(branches))
    assert components_used({"t": text}, calls("\n".join(branches[:2]))) == ("t",)
    assert components_used({"t": text}, calls(branches[0])) == ()


def test_text_in_common_with_another_component_is_not_enough() -> None:
    shared = "Answer in English.\nBe brief and polite."
    long = shared + "\n" + "\n".join(f"Rule {n}: {word} is never to be mentioned." for n, word in enumerate("abcdefgh"))
    assert components_used({"long": long}, calls(shared)) == ()


def test_a_very_short_component_must_be_a_message_of_its_own() -> None:
    assert components_used({"s": "Be brief.\n"}, calls("Be brief. And be kind to others.")) == ()
    assert components_used({"s": "Be brief.\n"}, calls("  Be brief.")) == ("s",)


def test_short_pieces_count_only_together_and_in_order() -> None:
    text = "Question: {q}\nAnswer: {a}\nVerdict:"
    assert components_used({"t": text}, calls(text.format(q="1 + 1", a="2"))) == ("t",)
    assert components_used({"t": text}, calls("Verdict: Answer: Question:")) == ()
    assert components_used({"t": text}, calls("Question: why?", "Answer: so. Verdict: no")) == ()


def test_answers_do_not_count_and_blank_components_are_never_found() -> None:
    answered = Call("k", "m", (Message("user", "hello"),), Message("assistant", REPLY))
    assert components_used({"reply": REPLY, "blank": " \n"}, [answered]) == ()
    assert components_used({"reply": REPLY}, []) == ()


def test_text_is_not_matched_across_two_messages() -> None:
    text = "Sort this ticket into a queue."
    messages = (Message("system", "Sort this ticket"), Message("user", "into a queue."))
    assert components_used({"t": text}, [Call("k", "m", messages, None)]) == ()


def test_a_prompt_that_is_the_description_of_a_tool_or_of_an_answers_field_is_found() -> None:
    tools = ("Looks a ticket up by its number.", ROUTE.format(customer="a", ticket="b"))
    call = Call("k", "m", (Message("user", "hello"),), None, other_texts=tools)
    assert components_used({"reply": REPLY, "route": ROUTE}, [call]) == ("route",)
    assert components_touched({"reply": REPLY, "route": ROUTE}, [call]) == ("route",)
    assert components_used({"s": "Looks a ticket up by its number."}, [call]) == ("s",)


def test_a_prompt_in_an_example_of_a_tools_call_is_found() -> None:
    example = Message("assistant", "", tool_calls=(ToolCall("c", "ask", f'{{"how": "{REPLY.strip()}"}}'),))
    assert components_used({"reply": REPLY}, [Call("k", "m", (example,), None)]) == ("reply",)


def test_what_arrives_although_nobody_has_opened_anything_is_unopened() -> None:
    arrived = components_arrived({"reply": REPLY, "route": ROUTE}, calls(ROUTE), frozenset())
    assert (arrived.used, arrived.unopened) == (("route",), ("route",))


def test_a_text_that_another_opened_one_explains_is_not_unopened() -> None:
    newer = ROUTE.replace("and other.", "refunds and other.")
    arrived = components_arrived({"v1": ROUTE, "v2": newer}, calls(newer), frozenset({"v2"}))
    assert arrived.unopened == ()


def test_a_text_of_its_own_beside_an_opened_one_is_unopened() -> None:
    arrived = components_arrived({"reply": REPLY, "route": ROUTE}, calls(ROUTE, REPLY), frozenset({"reply"}))
    assert arrived.unopened == ("route",)


def test_where_reads_are_not_known_nothing_is_unopened() -> None:
    arrived = components_arrived({"route": ROUTE}, calls(ROUTE), None)
    assert (arrived.used, arrived.unopened) == (("route",), ())


PREAMBLE = "You work for the house of Ann and Bob.\nNever promise a refund of any kind.\n"
AGENTS = {
    name: f"{PREAMBLE}Your desk is that of {name}, and no other.\n" for name in ("billing", "shipping", "returns")
}


@pytest.mark.parametrize("opened", [set(AGENTS), {"billing", "returns"}, {"shipping"}])
def test_of_prompts_with_one_preamble_the_one_that_was_sent_is_used(opened: set[str]) -> None:
    arrived = components_arrived(AGENTS, calls(AGENTS["shipping"]), frozenset({*opened, "shipping"}))
    assert (arrived.used, arrived.unopened) == (("shipping",), ())


def test_a_former_version_that_nobody_opens_is_not_used() -> None:
    newer = ROUTE.replace("and other.", "refunds and other.")
    arrived = components_arrived({"v1": ROUTE, "v2": newer}, calls(newer), frozenset({"v2"}))
    assert arrived.used == ("v2",)


def test_a_preamble_that_is_a_prompt_of_its_own_stays_used() -> None:
    texts = {"preamble": PREAMBLE, **AGENTS}
    arrived = components_arrived(texts, calls(AGENTS["billing"]), frozenset(texts))
    assert arrived.used == ("preamble", "billing")


def test_templates_of_which_only_what_they_share_was_rendered_are_all_used() -> None:
    texts = {name: f"{PREAMBLE}{{% if vip %}}The {name} has gold in it{{% endif %}}" for name in ("cup", "plate")}
    arrived = components_arrived(texts, calls(PREAMBLE), frozenset(texts))
    assert arrived.used == ("cup", "plate")


def test_where_nothing_was_opened_the_text_alone_counts() -> None:
    arrived = components_arrived(AGENTS, calls(AGENTS["shipping"]), frozenset())
    assert set(arrived.used) == set(AGENTS)


SECTIONS = """\
# Billing
Say what the bill is made of, and when it is due.

# Shipping
Say on which day the parcel comes, and who brings it.

# Returns
Say where the parcel is to be sent, and who pays for that.
Ask for the number of the order if the customer has not told it.
"""
SHIPPING = "Say on which day the parcel comes, and who brings it."


def test_a_section_of_an_opened_file_is_enough() -> None:
    texts = {"sections": SECTIONS, "route": ROUTE}
    opened = frozenset({"sections", "route"})
    assert components_arrived(texts, calls(SHIPPING), opened).used == ("sections",)
    assert components_arrived(texts, calls(SHIPPING), frozenset({"route"})).used == ()
    assert components_arrived(texts, calls("Say on which day."), opened).used == ()


def test_a_section_that_another_prompt_says_too_proves_nothing() -> None:
    texts = {
        "sections": SECTIONS,
        "shipping": f"You are a courier.\n{SHIPPING}\nBe quick and be kind to all of them.\n",
    }
    assert components_arrived(texts, calls(SHIPPING), frozenset(texts)).used == ("shipping",)


TONES = "## long\nAnswer with the word and its mark.\n## tone\nSay YY.\nBe kind.\n"


@pytest.mark.parametrize("said", ["Say YY.", " Say  YY.\n", "Say YY.\nBe kind.", "Be kind."])
@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_short_section_that_is_a_whole_instruction_is_touched(role: str, said: str) -> None:
    call = Call("k", "m", (Message(role, said), Message("user", "tone: x")), None)
    assert components_touched({"sections": TONES}, [call]) == ("sections",)


@pytest.mark.parametrize(("role", "said"), [("system", " \n"), ("system", "kind."), ("system", "Say YY. Be")])
def test_a_blank_message_and_a_part_of_a_line_touch_nothing(role: str, said: str) -> None:
    call = Call("k", "m", (Message(role, said),), None)
    assert components_touched({"sections": f"{TONES}\n\n"}, [call]) == ()


@pytest.mark.parametrize("role", ["user", "tool", "assistant"])
def test_what_others_say_touches_nothing_where_it_equals_a_short_line(role: str) -> None:
    call = Call("k", "m", (Message("system", "Answer."), Message(role, "Say YY.")), None)
    assert components_touched({"sections": TONES}, [call]) == ()
