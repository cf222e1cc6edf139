"""Rules that checks state: what is said of which answer, and where nothing is, as it might be false."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.trace.trajectory import Message, ToolCall
from tests.reflect.test_modelfree import case, compared, shown, suite, texts

LETTER = "Thank you for your letter.\nWe will look into it soon.\n\nYours, the desk"
FIELDS = {
    "mood": "Happy",
    "code": "ab",
    "note": "all is well",
    "tags": ["a", "b"],
    "invoice": {"total": 5, "cur": "EUR"},
    "cur": "EUR",
}
JSON = json.dumps(FIELDS)


def where(*lines: str) -> list[str]:
    return [f" +  {'  ' * depth}where {line}" for depth, line in enumerate(lines)]


def method(value: object, name: str, arguments: str = "", gave: object = False) -> list[str]:
    """How pytest shows a method of a text."""
    bound = f"<built-in method {name} of str object at 0x7f1d>"
    return where(f"{gave!r} = {bound}({arguments})", f"{bound} = {value!r}.{name}")


def length(value: object, most: int, sign: str = "<=") -> list[str]:
    number = len(value)  # type: ignore[arg-type]
    return [f"AssertionError: assert {number} {sign} {most}", *where(f"{number} = len({value!r})")]


def match(name: str, *arguments: object) -> list[str]:
    function, shown = f"<function {name} at 0x7f1d>", ", ".join(map(repr, arguments))
    return ["AssertionError: assert None", *where(f"None = {function}({shown})", f"{function} = re.{name}")]


def stated(statement: str, answer: str, printed: list[str], source: str = "") -> list[str]:
    """The rules of a failing case, to whose test there is another case."""
    source = source or f"def test(ticket):\n    out = ask(ticket)\n    {statement}\n"
    one, other = (case(number, ("ticket", f"t{number}"), source=source) for number in (1, 2))
    return texts([shown(one, answer, *printed, statement=statement)], [one, other])


@pytest.mark.parametrize(
    ("statement", "answer", "printed", "rule"),
    [
        (
            r'assert re.fullmatch(r"[A-Z]{2}\d", out)',
            "no",
            match("fullmatch", r"[A-Z]{2}\d", "no"),
            r"The answer as a whole matches the regular expression `[A-Z]{2}\d`.",
        ),
        (
            'assert re.match("[A-Z]", data["code"])',
            JSON,
            match("match", "[A-Z]", "ab"),
            "The value of `code` begins with a match of the regular expression `[A-Z]`.",
        ),
        (
            'assert out.startswith("Dear")',
            LETTER,
            ["assert False", *method(LETTER, "startswith", "'Dear'")],
            "The answer begins with `Dear`.",
        ),
        (
            'assert out.strip().endswith("regards"), f"no regards: {out}"',
            f"{LETTER}\n",
            ["AssertionError: no regards: ...", "assert False", *method(LETTER, "endswith", "'regards'")],
            "The answer ends with `regards`.",
        ),
        (
            'assert out.strip().lower().startswith("dear")',
            LETTER,
            ["assert False", *method(LETTER.lower(), "startswith", "'dear'")],
            "The answer begins with `dear`.",
        ),
        (
            "assert out.isdigit()",
            "no",
            ["assert False", *method("no", "isdigit")],
            "The answer consists of digits only.",
        ),
        (
            'assert data["code"].isupper()',
            JSON,
            ["AssertionError: assert False", *method("ab", "isupper")],
            "The value of `code` is in capital letters.",
        ),
        (
            'assert "refund" in out.lower()',
            LETTER,
            [f"AssertionError: assert 'refund' in {LETTER.lower()!r}"],
            "The answer holds `refund`.",
        ),
        (
            'assert "letter" not in out',
            LETTER,
            [f"assert 'letter' not in {LETTER!r}", "  ", "  'letter' is contained here:"],
            "The answer does not hold `letter`.",
        ),
        (
            'assert "Thank" in out and "http" in out',
            LETTER,
            [f"assert ('Thank' in {LETTER!r} and 'http' in {LETTER!r})"],
            "The answer holds `http`.",
        ),
        (
            'assert "refund" in out or "credit" in out',
            LETTER,
            [f"assert ('refund' in {LETTER!r} or 'credit' in {LETTER!r})"],
            "The answer holds at least one of `refund` and `credit`.",
        ),
        (
            'assert "sad" in data.get("mood", "")',
            JSON,
            ["assert 'sad' in 'Happy'"],
            "The value of `mood` holds `sad`.",
        ),
        (
            'assert "USD" in data["invoice"]["cur"]',
            JSON,
            ["assert 'USD' in 'EUR'"],
            "The value of `cur` in `invoice` holds `USD`.",
        ),
        ('assert "c" in data["tags"]', JSON, ["assert 'c' in ['a', 'b']"], "The value of `tags` holds `c`."),
        (
            'assert "total" in data',
            '{"sum": 5, "cur": "EUR"}',
            ["AssertionError: assert 'total' in {'sum': 5, 'cur': 'EUR'}"],
            "The answer is a JSON object with the key `total`.",
        ),
        (
            'assert "refund" in body',
            LETTER,
            ["assert 'refund' in 'We will look into it soon.'"],
            "The answer holds `refund`.",
        ),
        (
            'assert "`x`" in out',
            LETTER,
            [f"assert '`x`' in {LETTER!r}"],
            "The answer holds `` `x` ``.",
        ),
        (
            'assert "```" in out or "x" in out',
            "no",
            ["assert ('```' in 'no' or 'x' in 'no')"],
            "The answer holds at least one of ```` ``` ```` and `x`.",
        ),
        (
            'assert "x" in data["`a`"]',
            '{"`a`": "b"}',
            ["assert 'x' in 'b'"],
            "The value of `` `a` `` holds `x`.",
        ),
        (
            r'assert "\n" not in out',
            LETTER,
            [f"assert '\\n' not in {LETTER!r}"],
            "The answer is on one line.",
        ),
        ("assert len(out) < 20", LETTER, length(LETTER, 20, "<"), "The answer has at most 19 characters."),
        (
            "assert len(out.strip()) <= 20",
            LETTER,
            length(LETTER, 20),
            "The answer has at most 20 characters.",
        ),
        (
            'assert len(data["mood"]) <= 3',
            JSON,
            length("Happy", 3),
            "The value of `mood` has at most 3 characters.",
        ),
        (
            "assert len(out.split()) <= 12",
            LETTER,
            length(LETTER.split(), 12),
            "The answer has at most 12 words.",
        ),
        (
            "assert len(words) <= 12",
            LETTER,
            length(LETTER.lower().split(), 12),
            "The answer has at most 12 words.",
        ),
        (
            'assert len(data["note"].split()) <= 2',
            JSON,
            length(["all", "is", "well"], 2),
            "The value of `note` has at most 2 words.",
        ),
        (
            "assert len(out.splitlines()) <= 3",
            LETTER,
            length(LETTER.splitlines(), 3),
            "The answer has at most 3 lines.",
        ),
        (
            "assert len(lines) <= 2",
            LETTER,
            length([line for line in LETTER.splitlines() if line], 2),
            "The answer has at most 2 lines.",
        ),
        (
            'assert len(out.split("\\n\\n")) <= 1',
            LETTER,
            length(LETTER.split("\n\n"), 1),
            "The answer has at most 1 paragraph.",
        ),
        (
            'assert out in ("no", "yes")',
            "maybe",
            ["assert 'maybe' in ('no', 'yes')"],
            "Answer with exactly one of `no` and `yes`, spelt as here, and nothing else.",
        ),
        (
            "assert out.strip().lower() in OK",
            "Maybe.",
            ["assert 'maybe.' in frozenset({'no', 'yes'})"],
            "Answer with exactly one of `no` and `yes`, spelt as here, and nothing else.",
        ),
        (
            'assert data["mood"] in {"sad", "angry"}',
            JSON,
            ["AssertionError: assert 'Happy' in {'sad', ...}"],
            "The value of `mood` is exactly one of `angry` and `sad`, spelt as here.",
        ),
    ],
)
def test_what_an_assert_demands_of_the_answer(statement: str, answer: str, printed: list[str], rule: str):
    assert stated(statement, answer, printed) == [rule]


@pytest.mark.parametrize(
    ("statement", "answer", "printed"),
    [
        # Another condition than it seems.
        (
            'assert out.startswith("Dear", 3)',
            LETTER,
            ["assert False", *method(LETTER, "startswith", "'Dear', 3")],
        ),
        (
            'assert out.startswith(("Dear", "Hi"))',
            LETTER,
            ["assert False", *method(LETTER, "startswith", "('Dear', 'Hi')")],
        ),
        (
            'assert not out.startswith("Thank")',
            LETTER,
            ["assert not True", *method(LETTER, "startswith", "'Thank'", True)],
        ),
        ('assert not "letter" in out', LETTER, [f"assert not 'letter' in {LETTER!r}"]),
        ('assert ("refund" in out) == True', LETTER, [f"assert ('refund' in {LETTER!r}) == True"]),
        ('assert re.match("y", out, re.I)', "no", match("match", "y", "no", 2)),
        ('assert re.search("a", out) is None', "a", ["AssertionError: assert <re.Match object> is None"]),
        ('assert page.search("invoices")', LETTER, ["assert None"]),
        (
            'assert "Dear Sir".startswith(out)',
            LETTER,
            ["assert False", *method("Dear Sir", "startswith", repr(LETTER))],
        ),
        ('assert out.startswith("A") or out.startswith("B")', LETTER, ["assert (False or False)"]),
        ('assert len(out) <= 3 or "x" in out', LETTER, [f"assert (4 <= 3 or 'x' in {LETTER!r})"]),
        (
            "assert all(word in out for word in WORDS)",
            LETTER,
            ["assert False", " +  where False = all(<generator>)"],
        ),
        (
            "assert isinstance(out, dict)",
            LETTER,
            ["assert False", f" +  where False = isinstance({LETTER!r}, dict)"],
        ),
        ("assert 1 <= len(out) <= 3", LETTER, ["assert 74 <= 3", f" +  where 74 = len({LETTER!r})"]),
        ('assert out not in ("no", "yes")', "no", ["assert 'no' not in ('no', 'yes')"]),
        (
            'assert out == "b", "we assert 1 in (2,)"',
            "a",
            ["AssertionError: we assert 'a' in ('b', 'c')", "assert 'a' == 'b'"],
        ),
        # Another thing than the answer.
        ("assert len(calls) <= 2", LETTER, length(["a", "b", "c"], 2)),
        ('assert len(out.split(".")) <= 2', LETTER, length(LETTER.split("."), 2)),
        ('assert len(out.split(",")) <= 2', "a,b,c", length(["a", "b", "c"], 2)),
        ('assert len(data["tags"]) <= 1', JSON, length(["a", "b"], 1)),
        ("assert len(page) <= 10", LETTER, length(f"<p>{LETTER} And more.</p>", 10)),
        ('assert "search" in calls', LETTER, ["assert 'search' in ['lookup', 'reply']"]),
        ("assert wanted in calls", "I did a lookup", ["assert 'lookup' in ['search', 'reply']"]),
        ('assert "lookup" in calls', "lookup", ["assert 'lookup' in ['search', 'reply']"]),
        ("assert calls[0] in ALLOWED", LETTER, ["assert 'search' in ('lookup', 'reply')"]),
        ("assert out in PAGES", "maybe", ["assert 'maybe' in {'no': 1, 'yes': 2}"]),
        ('assert "refund" in out.split()', LETTER, [f"assert 'refund' in {LETTER.split()!r}"]),
        ("assert out[0].isupper()", LETTER, ["assert False", *method("t", "isupper")]),
        (
            'assert out.splitlines()[0].endswith("!")',
            LETTER,
            ["assert False", *method("Thank you for your letter.", "endswith", "'!'")],
        ),
        (
            'assert line.startswith("- ")',
            LETTER,
            ["assert False", *method("Yours, the desk", "startswith", "'- '")],
        ),
        (
            'assert os.environ["TENANT"].startswith("x")',
            LETTER,
            ["assert False", *method("acme", "startswith", "'x'")],
        ),
        (
            'assert CASES["first"].startswith("x")',
            LETTER,
            ["assert False", *method("hello", "startswith", "'x'")],
        ),
        (
            'assert out.endswith("%") and out.rstrip("%").isdigit()',
            "12.5%",
            ["assert (True and False)", *method("12.5", "isdigit")],
        ),
        (
            'assert data["share"].rstrip("%").isdigit()',
            '{"share": "12.5%"}',
            ["assert False", *method("12.5", "isdigit")],
        ),
        (r'assert re.fullmatch(r"\d+", out.strip("%"))', "12.5%", match("fullmatch", r"\d+", "12.5")),
        ('assert "." not in out.rstrip(".")', "a. b.", ["assert '.' not in 'a. b'"]),
        ('assert "Thank" in body', LETTER, ["assert 'Thank' in 'We will look into it soon.'"]),
        ('assert "x" in cur', JSON, ["assert 'x' in 'EUR'"]),  # which of the two?
        ('assert "x" in data["invoice"]', JSON, ["assert 'x' in {'total': 5, 'cur': 'EUR'}"]),
        # What no line can say.
        (r'assert "\n\n" not in out', LETTER, [f"assert '\\n\\n' not in {LETTER!r}"]),
        (r'assert "a\nb" in out', LETTER, [f"assert 'a\\nb' in {LETTER!r}"]),
        (r'assert "\n" in out', "one", [r"assert '\n' in 'one'"]),
        # Not shown.
        ('assert out.startswith("Dear")', LETTER, ["AssertionError"]),
        ("assert len(out) <= 3", LETTER, ["AssertionError: assert 74 <= 3"]),
        ('assert "refund" in out', "", ["assert 'refund' in 'Thank you'"]),
    ],
)
def test_where_something_else_is_checked_than_the_answer_nothing_is_said(
    statement: str, answer: str, printed: list[str]
):
    assert stated(statement, answer, printed) == []


def test_an_assert_on_several_lines_is_read_in_the_source():
    source = 'def test(out):\n    assert (\n        "refund" in out\n        or "credit" in out\n    )\n'
    printed = [f"AssertionError: assert ('refund' in {LETTER!r} or 'credit' in {LETTER!r})"]
    rule = "The answer holds at least one of `refund` and `credit`."
    assert stated("assert (", LETTER, printed, source) == [rule]
    assert stated("assert (", LETTER, printed, source + source) == []  # which of the two?


YES_NO = "Answer with exactly one of `no` and `yes`, spelt as here, and nothing else."


@pytest.mark.parametrize(
    ("body", "right", "rules"),
    [
        ("assert out in OK", "('no', 'yes')", [YES_NO]),
        ("ok = {'no', 'yes'}\n    assert out in ok", "{'no', 'yes'}", [YES_NO]),
        ("assert out in {one.lower() for one in OK}", "{'no', 'yes'}", [YES_NO]),
        ("assert out in same", "['no', 'yes']", [YES_NO]),
        ("assert out in (want, 'unknown')", "('no', 'unknown')", []),
        ("assert out in {want, want.upper()}", "{'no', 'NO'}", []),
        ("assert out in want.split('|')", "['no', 'yes']", []),
        ("ok = [want, want.upper()]\n    assert out in ok", "['no', 'NO']", []),
        ("ok = ['yes']\n    ok.append(want)\n    assert out in ok", "['yes', 'no']", []),
        ("ok = ['yes']\n    ok += [want]\n    assert out in ok", "['yes', 'no']", []),
        ("ok = ['yes', '']\n    ok[1] = want\n    assert out in ok", "['yes', 'no']", []),
        ("with known(want) as ok:\n        pass\n    assert out in ok", "['no', 'yes']", []),
        ("want = [want.lower(), 'yes']\n    assert out in want", "['no', 'yes']", []),
        ("assert out in fixture", "['no', 'yes']", []),
        ("assert out in want['accepted']", "['no', 'yes']", []),
        ("assert out in ACCEPTED[ticket]", "['no', 'yes']", []),
        ("one_of(out, [want, 'yes'])", "['no', 'yes']", []),
    ],
)
def test_labels_are_those_of_the_test_and_not_of_a_case(body: str, right: str, rules: list[str]):
    source = f"def test(ticket, want, same, fixture):\n    out = ask(ticket)\n    {body}\n"
    cases = [case(n, ("ticket", f"t{n}"), ("want", f"w{n}"), ("same", ["no", "yes"]), source=source) for n in range(2)]
    statement = body.split("\n")[-1].strip().replace("one_of(out, [want, 'yes'])", "assert out in options")
    failing = shown(cases[0], "maybe", f"assert 'maybe' in {right}", statement=statement)
    assert texts([failing], cases) == rules


@pytest.mark.parametrize(
    ("statement", "printed", "rule"),
    [
        ('assert "30 days" in out', ["assert '30 days' in 'In May'"], "The answer holds `30 days`."),
        (
            'assert out in ("Paris", "Paris.")',
            ["assert 'In May' in ('Paris', 'Paris.')"],
            "Answer with exactly one of `Paris` and `Paris.`, spelt as here, and nothing else.",
        ),
        (
            'assert out.startswith("Paris")',
            ["assert False", *method("In May", "startswith", "'Paris'")],
            "The answer begins with `Paris`.",
        ),
    ],
)
def test_the_text_that_one_case_wants_is_its_own_answer_unless_another_test_wants_it_too(
    statement: str, printed: list[str], rule: str
):
    def failing(name: str) -> Exhibit:
        source = f"def {name}():\n    out = ask('When?')\n    {statement}\n"
        one = case(1, source=source)
        return shown(replace(one, id=f"{one.id}{name}"), "In May", *printed, statement=statement)

    assert texts([failing("test_a")], []) == []
    assert texts([failing("test_a"), failing("test_a")], []) == []
    assert texts([failing("test_a"), failing("test_b")], []) == [rule]


def test_a_length_and_a_kind_of_signs_may_be_stated_by_one_case():
    for statement, printed in (
        ("assert len(out) <= 3", length("In May", 3)),
        ("assert out.isdigit()", ["assert False", *method("In May", "isdigit")]),
        (r'assert "\n" not in out', [r"assert '\n' not in 'In\nMay'"]),
    ):
        source = f"def test():\n    out = ask('When?')\n    {statement}\n"
        answer = "In\nMay" if "not in" in statement else "In May"
        assert len(texts([shown(case(1, source=source), answer, *printed, statement=statement)], [])) == 1


@pytest.mark.parametrize(
    ("body", "is_stated"),
    [
        ('assert "Sie" in out', True),
        ('if "x" in d:\n    pytest.fail("x")\nassert "Sie" in out', True),
        ('with gepa.check():\n    assert "Sie" in out', True),
        ('try:\n    assert "Sie" in out\nexcept ValueError:\n    pass', True),
        ('def key(one):\n    return one\nassert "Sie" in out', True),
        ('if lang == "de":\n    assert "Sie" in out\nelse:\n    assert "Sie" not in out', False),
        ('if lang == "de": assert "Sie" in out', False),
        ('if lang != "de":\n    return\nassert "Sie" in out', False),
        ('if lang != "de":\n    pytest.skip("no")\nassert "Sie" in out', False),
        ('for line in out.splitlines():\n    assert "Sie" in out', False),
        ('while True:\n    assert "Sie" in out', False),
        ('match lang:\n    case "de":\n        assert "Sie" in out', False),
        ('try:\n    assert "Sie" in out\nexcept AssertionError:\n    retry()', False),
        ('with pytest.raises(AssertionError):\n    assert "Sie" in out', False),
        ('def check():\n    assert "Sie" in out\ncheck()', False),
        ('assert "Sie" in out\nif lang == "de":\n    assert "Sie" in out', False),
    ],
)
def test_what_is_not_demanded_in_every_case_is_no_rule(body: str, is_stated: bool):
    source = "def test(ticket, lang):\n    out = ask(ticket)\n" + "".join(f"    {line}\n" for line in body.split("\n"))
    statement = next(line.strip() for line in body.split("\n") if "Sie" in line)
    found = stated(statement, LETTER, [f"assert 'Sie' in {LETTER!r}"], source)
    assert found == (["The answer holds `Sie`."] if is_stated else [])


@pytest.mark.parametrize(
    ("call", "head", "is_stated"),
    [
        ("check(out, lang)", "", True),
        ("check(out, lang)", "        with open(lang):\n", True),
        ("check(out, lang)", '        if lang == "de":\n', False),
        ("if lang: check(out, lang)", "", False),
    ],
)
def test_what_a_helper_demands_only_sometimes_is_no_rule(call: str, head: str, is_stated: bool):
    source = f"def test(ticket, lang):\n    out = ask(ticket)\n    {call}\n"
    one, other = (case(number, ("ticket", f"t{number}"), source=source) for number in (1, 2))
    failing = shown(one, LETTER, f"assert 'Sie' in {LETTER!r}", statement='    assert "Sie" in out')
    trajectory = failing.rollout.trajectory
    failure = (
        f"    def test(ticket, lang):\n        out = ask(ticket)\n>       {call}\n\n"
        f"test_route.py:9: \n_ _ _ _ _ _ _ _ _\n\nlang = 'x'\n\n    def check(out, lang):\n"
        f"{head}{trajectory.failure}"
    )
    trajectory = replace(trajectory, failure=failure)
    failing = replace(failing, rollout=replace(failing.rollout, trajectory=trajectory))
    assert texts([failing], [one, other]) == (["The answer holds `Sie`."] if is_stated else [])


# What the cases want


@pytest.mark.parametrize(
    ("got", "answer", "rules"),
    [
        (
            "Billing",
            "Queue: Billing\nReason: an invoice",
            ["Answer with exactly one of `billing` and `sales`, spelt as here."],
        ),
        ("other", "It is for billing.", ["Answer with exactly one of `billing` and `sales`, spelt as here."]),
        (
            "Billing",
            '{"result": {"queue": "Billing"}}',
            ["The value of `queue` in `result` is exactly one of `billing` and `sales`, spelt as here."],
        ),
        (
            "Billing",
            '```json\n{"queue": "Billing"}\n```',
            ["The value of `queue` is exactly one of `billing` and `sales`, spelt as here."],
        ),
        ("str", "Here you are.", []),
        ("unknown", '{"queue": "Billing"}', []),
    ],
)
def test_what_is_wanted_is_told_of_the_place_where_the_answer_has_it(got: str, answer: str, rules: list[str]):
    cases = suite("billing", "sales", "billing", "sales")
    assert texts([compared(cases[0], got, "billing", answer)], cases) == rules


def test_a_form_is_that_of_the_value_alone_only_where_the_answer_is_nothing_else():
    cases = suite("2024-05-01", "2023-12-24", "2022-01-31")
    failing = compared(cases[0], "1 May 2024", "2024-05-01", "Date: 1 May 2024\nPlace: Lyon")
    assert texts([failing], cases) == ["Give the value in the form YYYY-MM-DD."]


def answering(exhibit: Exhibit, answer: Message, *tools: str) -> Exhibit:
    """The run with another answer."""
    (call,) = exhibit.rollout.trajectory.calls
    calls = (replace(call, answer=answer, tools=tools),)
    return replace(
        exhibit, rollout=replace(exhibit.rollout, trajectory=replace(exhibit.rollout.trajectory, calls=calls))
    )


def test_the_name_of_a_tool_is_no_answer_and_its_arguments_may_be_one():
    cases = suite("search", "lookup", "search", "lookup")
    failing = compared(cases[0], "lookup", "search", "I shall search by a lookup")
    assert texts([failing], cases)
    offered = answering(failing, Message("assistant", "I shall search by a lookup"), "search", "lookup")
    assert texts([offered], cases) == []
    made = ToolCall("1", "final_result", '{"how": "lookup"}')
    rule = "The value of `how` is exactly one of `lookup` and `search`, spelt as here."
    assert texts([answering(failing, Message("assistant", "", tool_calls=(made,)))], cases) == [rule]


@pytest.mark.parametrize(
    ("earlier", "last", "got", "is_stated"),
    [
        ("Is this polite?", "It was passed to our Billing team.", "Billing team", True),
        ("Billing team", "It was passed to our billing team.", "Billing team", False),
        ('{"queue": "Billing"}', '{"queue": "Billing", "reply": "Soon."}', "Billing", False),
        ("For billing, I think", "It was passed to our billing team.", "other", False),
        ("Billing team", "Billing team", "Billing team", True),
    ],
)
def test_what_an_earlier_prompt_was_answered_with_is_no_label_of_the_last_answer(
    earlier: str, last: str, got: str, is_stated: bool
):
    cases = suite("billing", "sales", "billing", "sales")
    failing = compared(cases[0], got, "billing", last)
    (call,) = failing.rollout.trajectory.calls
    calls = (replace(call, answer=Message("assistant", earlier)), call)
    trajectory = replace(failing.rollout.trajectory, calls=calls)
    failing = replace(failing, rollout=replace(failing.rollout, trajectory=trajectory))
    assert any("exactly one of" in text for text in texts([failing], cases)) == is_stated


def test_long_texts_and_empty_ones_are_no_labels():
    for wanted in ("", "x" * 61, "a\nb"):
        cases = suite("billing", wanted, "billing", wanted)
        assert not any("exactly one of" in text for text in texts([compared(cases[0], "x", "billing")], cases))


def test_of_digits_nothing_is_said_about_capitals():
    cases = suite("12", "7", "9")
    rule = "Answer with the value alone, without a sentence around it, quotation marks or a full stop."
    assert rule in texts([compared(cases[0], "12.", "12")], cases)


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        (("APPROVED.", "DENIED."), "Approved."),
        (("APPROVED.", "DENIED."), "It is APPROVED."),
        (("'a b'", "'c d'"), "a b"),
        (("Guten Tag.", "Hallo"), "guten tag"),
        (("- a\n- b", "- c\n- d"), "a b"),
        (("a b", "c d"), "a-b"),
        (("a b", "c d"), "A, b"),
    ],
)
def test_signs_that_are_wanted_are_not_forbidden(wanted: tuple[str, str], got: str):
    cases = suite(*wanted)
    assert not [text for text in texts([compared(cases[0], got, wanted[0])], cases) if "value alone" in text]


# JSON

NO_JSON = "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)"
ORDER = {"amount": "1", "currency": "EUR"}
MAIL = {"subject": "A parcel", "body": "Where is it?"}


def form(noun: str = "one JSON object", keys: str = "") -> list[str]:
    return [f"Answer with {noun} and nothing else, no explanation and no code fence{keys and f', with {keys}'}."]


@pytest.mark.parametrize(
    ("body", "wanted", "rules"),
    [
        (
            "assert json.loads(ask(text)) == wanted",
            ORDER,
            form(keys="exactly the keys `amount` and `currency`"),
        ),
        (
            "data = json.loads(ask(text))\n    assert wanted == data",
            ORDER,
            form(keys="exactly the keys `amount` and `currency`"),
        ),
        (
            "data = json.loads(await ask(text))\n    assert set(data) == set(wanted)",
            ORDER,
            form(keys="exactly the keys `amount` and `currency`"),
        ),
        (
            "data = json.loads(ask(text))\n    for k, v in wanted.items():\n        assert data[k] == v",
            ORDER,
            form(keys="the keys `amount` and `currency`"),
        ),
        (
            "assert wanted.items() <= json.loads(ask(text)).items()",
            ORDER,
            form(keys="the keys `amount` and `currency`"),
        ),
        (
            "data = json.loads(ask(text))\n    gepa.score(sum(data.get(k) == v for k, v in wanted.items()) / 2)",
            ORDER,
            form(keys="the keys `amount` and `currency`"),
        ),
        (
            'data = json.loads(ask(text))\n    assert data["total"] == wanted',
            "5",
            form(keys="the key `total`"),
        ),
        (
            'data = json.loads(ask(text))\n    assert data["invoice"]["total"] == wanted',
            "5",
            form(keys="the key `invoice`"),
        ),
        ('assert json.loads(ask(text))["total"] == CASES["first"]', "5", form(keys="the key `total`")),
        (
            'data = json.loads(ask(os.environ["TENANT"], text))\n    assert data["total"]',
            "5",
            form(keys="the key `total`"),
        ),
        (
            'data = json.loads(ask(wanted["subject"]))\n    assert data["total"] == 5',
            MAIL,
            form(keys="the key `total`"),
        ),
        (
            'for name, part in wanted.items():\n        assert tell(part)\n    assert json.loads(ask(text))["total"]',
            MAIL,
            form(keys="the key `total`"),
        ),
        ("check(json.loads(ask(text)), wanted)", ORDER, form("JSON")),
        ("assert json.loads(ask(wanted)) == 5", MAIL, form("JSON")),
        ("assert json.loads(ask(text)) == wanted", 5, form("JSON")),
        ("assert json.loads(ask(text)) == wanted", ["a"], form("one JSON array")),
        ('assert json.loads(ask(text))["tags"] == wanted', ["a"], form(keys="the key `tags`")),
        ("assert [one.name for one in json.loads(ask(text))] == wanted", ["a"], form("JSON")),
    ],
)
def test_the_form_of_json_is_told_as_far_as_the_test_tells_it(body: str, wanted: object, rules: list[str]):
    source = f"async def test(text, wanted):\n    {body}\n"
    cases = [case(n, ("text", f"t{n}"), ("wanted", wanted), source=source) for n in range(3)]
    assert texts([shown(cases[0], "It is five.", NO_JSON, statement=body.split("\n")[0])], cases)[:1] == rules


READ = "data = json.loads(ask(text))"


@pytest.mark.parametrize(
    ("body", "rules"),
    [
        ('a = json.loads(f(text))\nb = json.loads(g(a))\nassert a["label"] and b["total"]', form("JSON")),
        (
            'out = f(text)\na = json.loads(out)["label"]\nout = g(a)\nassert json.loads(out)["b"]',
            form("JSON"),
        ),
        (
            'assert json.loads(out)["a"] == 1\nassert json.loads(out)["b"] == 2',
            form(keys="the keys `a` and `b`"),
        ),
        (
            'out = ask(text)\nout = out.strip()\nassert json.loads(out)["a"] == 1',
            form(keys="the key `a`"),
        ),
        ('out, cost = ask(text)\nassert json.loads(out)["a"] == 1', form(keys="the key `a`")),
        (f'{READ}\nif "error" in data:\n    pytest.fail(data["error"])', form("JSON")),
        (
            f'{READ}\nif "error" in data:\n    pytest.fail(data["error"])\nassert data["a"] == 1',
            form(keys="the key `a`"),
        ),
        (f'{READ}\nif "error" in data:\n    return\nassert data["a"] == 1', form("JSON")),
        (f'{READ}\nassert "a" not in data or data["a"] == 1', form("JSON")),
        (f'{READ}\nassert data["a"] and data["b"], data["why"]', form(keys="the keys `a` and `b`")),
        (f'{READ}\nwith pytest.raises(KeyError):\n    data["error"]', form("JSON")),
        (f'{READ}\ntry:\n    a = data["a"]\nexcept KeyError:\n    a = 1', form("JSON")),
        (f'{READ}\na = data["a"] if "a" in data else 1', form("JSON")),
        (f'{READ}\nassert data.get("total") == wanted', form(keys="the key `total`")),
        (f'{READ}\ntotal = data.get("total", "")\nassert wanted == total', form(keys="the key `total`")),
        (f'{READ}\nassert "x" in data.get("mood", "").lower()', form(keys="the key `mood`")),
        (f'{READ}\nassert data.get("a", {{}}).get("b") == wanted', form(keys="the key `a`")),
        (f'{READ}\ngepa.score(data.get("a") == wanted)', form(keys="the key `a`")),
        (f'{READ}\nif data.get("kind") == "refund":\n    assert data["sum"]', form()),
        (f'{READ}\nassert data.get("a") == 1 or data.get("b") == 2', form()),
        (f'{READ}\nassert data.get("a") in (None, 1)', form()),
        (f'{READ}\nassert data.get("error") == None', form()),
        (f'{READ}\nassert data.get("errors", []) == []', form()),
        (f'{READ}\nassert data.get("mood", "well") == "well"', form()),
        (f'{READ}\nassert not data.get("error")', form()),
        (f"{READ}\nassert isinstance(data, dict)", form()),
        (f"{READ}\nif isinstance(data, dict):\n    data = [data]", form("JSON")),
        (f"{READ}\nassert list(data.items())", form()),
        (f"{READ}\nassert sorted(data.keys())", form()),
        ("assert Invoice.model_validate_json(ask(text)).total == wanted", form()),
        ('for line in ask(text).splitlines():\n    row = json.loads(line)\n    assert row["id"]', []),
        ('rows = [json.loads(line.strip()) for line in ask(text).splitlines()]\nassert rows[0]["id"]', []),
        ("rows = list(map(json.loads, ask(text).splitlines()))", []),
    ],
)
def test_of_keys_only_those_are_told_that_every_answer_has(body: str, rules: list[str]):
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    source = f"def test(text, wanted):\n{lines}"
    cases = [case(n, ("text", f"t{n}"), ("wanted", f"w{n}"), source=source) for n in range(3)]
    failing = shown(cases[0], "It is five.", NO_JSON, statement=body.split("\n")[0])
    assert texts([failing], cases)[:1] == rules


@pytest.mark.parametrize(
    ("body", "answer", "printed", "rules"),
    [
        (
            f'{READ}\n    assert data.get("total") == wanted',
            "12.50",
            "AttributeError: 'float' object has no attribute 'get'",
            form(keys="the key `total`"),
        ),
        (f'{READ}\n    assert data["reply"] == wanted', '{"text": "x"}', "assert 'x' == 'y'", []),
        (f'{READ}\n    assert data["reply"] == wanted', '{"text": "x"}', "KeyError: 'text'", []),
        (f'{READ}\n    assert data["reply"] == wanted', "12", "assert '12' == 'y'", []),
        (f'{READ}\n    assert data.get("reply") == wanted', '{"text": "x"}', "assert None == 'y'", []),
        (
            'data = json.loads(client.post("/", json=text).data)\n    assert data["reply"]',
            "It is x",
            "KeyError: 'reply'",
            [],
        ),
    ],
)
def test_an_object_without_a_key_that_is_read_is_of_another_form_only_where_the_key_was_missed(
    body: str, answer: str, printed: str, rules: list[str]
):
    source = f"def test(text, wanted):\n    {body}\n"
    one = case(1, ("text", "t1"), ("wanted", 5), source=source)
    assert texts([shown(one, answer, printed, statement=body.split("\n")[-1].strip())], [one]) == rules


@pytest.mark.parametrize(
    ("body", "answer", "wanted"),
    [
        ("assert json.loads(ask(text)) == wanted", '["b"]', ["a"]),
        ('assert json.loads(ask(text))["amount"] == wanted', '{"amount": 1, "more": 2}', 2),
        ('expected = json.loads(Path("e.json").read_text())\n    assert ask(text) == expected[text]', "x", 2),
        ("assert ask(text) == json.loads(wanted)", "x", "[1]"),
        ('assert json.loads(calls[0].arguments)["a"] == wanted', "Done.", 2),
        (
            'data = {**json.loads(ask(text)), "at": 1}\n    assert data == wanted',
            '{"a": 2}',
            {"a": 1, "at": 1},
        ),
    ],
)
def test_an_answer_of_the_form_that_is_read_and_one_that_is_not_read_give_no_rule(
    body: str, answer: str, wanted: object
):
    source = f"def test(text, wanted):\n    {body}\n"
    one = case(1, ("text", "t1"), ("wanted", wanted), source=source)
    got = {**json.loads(answer), "at": 1} if isinstance(wanted, dict) else [1]
    assert texts([shown(one, answer, f"assert {got!r} == {wanted!r}", statement="assert data == wanted")], [one]) == []


def test_a_key_that_is_read_and_missing_is_told():
    source = 'def test(text):\n    assert json.loads(ask(text))["total"] == 5\n'
    failing = shown(case(1, ("text", "t"), source=source), '{"sum": 5}', "KeyError: 'total'")
    assert texts([failing], [failing.case]) == form(keys="the key `total`")


def test_a_helper_that_compares_the_whole_answer_tells_its_keys():
    source = "def test(text, wanted):\n    check(json.loads(ask(text)), wanted)\n"
    one = case(1, ("text", "t"), ("wanted", ORDER), source=source)
    failing = shown(one, '{"sum": "1"}', f"assert {{'sum': '1'}} == {ORDER!r}", statement="assert got == expected")
    assert texts([failing], [one])[:1] == form(keys="exactly the keys `amount` and `currency`")


def test_json_that_an_earlier_answer_was_is_no_form_of_the_last_one():
    reads = "try:\n        data = json.loads(ask(text))\n    except ValueError:\n        data = None"
    source = f'def test(text):\n    {reads}\n    assert tell(data) == "x"\n'
    failing = shown(case(1, ("text", "t"), source=source), "Dear Sir", "assert 'Dear Sir' == 'x'")
    assert texts([failing], [failing.case]) == form("JSON")
    (call,) = failing.rollout.trajectory.calls
    calls = (replace(call, answer=Message("assistant", '{"a": 1}')), call)
    earlier = replace(failing.rollout.trajectory, calls=calls)
    failing = replace(failing, rollout=replace(failing.rollout, trajectory=earlier))
    assert texts([failing], [failing.case]) == []
