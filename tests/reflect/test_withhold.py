"""What the reflection model is not shown of held-out cases, and what it is shown all the same."""

from __future__ import annotations

import html
import json
import pprint
import re
from collections.abc import Callable, Sequence
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.reflect.partial import LEAST, Pieces
from pytest_gepa.reflect.tables import beside, python_nodes, tables
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.reflect.withhold import HELD_OUT, Withholder
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.suite.sources import Source
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.trace.spans import marked
from pytest_gepa.trace.trajectory import Call, Message, ToolCall, Trajectory


def case(name: str, split: str, source: str = "", **values: object) -> Case:
    parameters = tuple((key, repr(value)) for key, value in values.items())
    return Case(f"test_a.py::test_it[{name}]", f"test_a.py::test_it[{name}]", source, parameters, split)


def cut(text: str, *cases: Case, source: str = "", prompt: str = "") -> str:
    return Withholder(cases, [Source("test_a.py", source, is_test=True)], [prompt]).cut(text)


LONG = "The parcel for Aunt Petunia never came to Little Whinging."
SEARCH, HELD = (
    case("0", "search", text="An apple", label="fruit"),
    case("1", "holdout", text=LONG, label="post"),
)


class TestInsideOfWhatMayBeShown:
    """A held-out value may be a part of what a search case has."""

    held = case("1", "holdout", label="card", total=2000)

    @pytest.mark.parametrize(
        ("label", "text"),
        [
            ("gift card", "{'label': 'gift card'}"),
            ("gift\ncard", "E    - gift\nE    - card"),
            ("gift card für Zoe", r"gift card f\u00fcr Zoe"),
            ("Dear all,\nmy gift card is lost.", "E   + my gift card is lost."),
            (12000, "12000 of 20001 in a20001"),
            ("one of the cards that I own", "one of the cards that I own, 1 2 3"),
        ],
    )
    def test_it_stays(self, label: object, text: str):
        assert cut(text, case("0", "search", label=label), self.held) == text

    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("card", HELD_OUT),
            ("gift cards", f"gift {HELD_OUT}s"),
            ("my gift card, a card", f"my gift card, a {HELD_OUT}"),
            ("2000 x2000y 2000.", f"{HELD_OUT} x{HELD_OUT}y {HELD_OUT}."),
            ("gift card of Zoe", HELD_OUT),
            ("the gift card", HELD_OUT),
        ],
    )
    def test_by_itself_and_in_longer_ones_of_theirs_it_does_not(self, text: str, left: str):
        label = "gift" if text == "gift cards" else "gift card"
        held = case("2", "holdout", text="gift card of Zoe", other="the gift card", more="the gift")
        assert cut(text, case("0", "search", label=label), self.held, held) == left

    def test_a_line_that_is_the_value_itself_makes_it_no_part_of_another(self):
        listed = case("0", "search", text='Queues:\n  "card",\n  a gift card,\n')
        assert cut('a gift card, "card"', listed, self.held) == f'a gift card, "{HELD_OUT}"'

    def test_a_short_one_stays_too(self):
        cases = (case("0", "search", text="say 'Q7' or 42"), case("1", "holdout", grade="Q7", n=42, k="card"))
        assert cut("card: say 'Q7' or 42, not 'Q7'", *cases) == (f"{HELD_OUT}: say 'Q7' or 42, not {HELD_OUT}")

    def test_it_stays_in_a_prompt(self):
        prompt = "You are kind.\nDiscard what is old."
        assert cut(f"{prompt}\na card", SEARCH, self.held, prompt=prompt) == f"{prompt}\na {HELD_OUT}"
        assert cut("Discard what is old.", SEARCH, self.held, prompt=prompt) == "Discard what is old."

    def test_what_the_repr_of_an_object_shows_of_all_is_nobodys(self):
        shown = "<Row 'first' of ['first', 'Zoe waits']>"
        first = Case("t.py::t[0]", "t.py::t[0]", "", (("row", shown),))
        second = Case(
            "t.py::t[1]",
            "t.py::t[1]",
            "",
            (("row", shown.replace("'first' of", "'Zoe waits' of")),),
            "holdout",
        )
        texts = {first.id: ["first"], second.id: ["Zoe waits"]}
        left = Withholder([first, second], texts=texts).cut(shown)
        assert left == f"<Row 'first' of ['first', '{HELD_OUT}']>"

    def test_many_that_begin_alike_take_no_time(self):
        head = "Dear customer service team of the northern branch, please look into the following matter: "
        cases = [case(str(at), "holdout" if at % 2 else "search", text=f"{head}{at}!") for at in range(3_000)]
        text = "".join(f"{head}{at}!\n" for at in range(3_000))
        assert cut(text, *cases).count(HELD_OUT) == 1_500


class TestExhibits:
    held = case("1", "holdout", label="card", tool="cancel_plan")

    def shown(self, of: Case, *calls: Call, failure: str = "") -> Exhibit:
        rollout = Rollout("c", of.id, "t", Outcome.failed, 0.0, Trajectory(calls, failure=failure))
        return Withholder([of, self.held]).exhibit(Exhibit(of, rollout))

    def test_parameters_are_shown_no_more_of_than_the_source_and_the_failure_are(self):
        row = "<Row 'first' of ['first', 'card']>"
        of = Case("t.py::t[0]", "t.py::t[0]", "x = 'card'", (("row", row), ("label", "'gift card'")))
        left = self.shown(of, failure=f"not in {row}")
        assert left.case.source == f"x = {HELD_OUT}"
        assert left.rollout.trajectory.failure == f"not in <Row 'first' of ['first', {HELD_OUT}]>"
        assert dict(left.case.parameters) == {
            "row": f"<Row 'first' of ['first', {HELD_OUT}]>",
            "label": "'gift card'",
        }
        assert (left.case.id, left.case.nodeid) == (of.id, of.nodeid)

    def test_tools_keep_their_names_where_the_program_offers_them(self):
        made = [ToolCall(str(at), name, f'{{"why": "{name}"}}') for at, name in enumerate(["cancel_plan", "card"])]
        call = Call(
            "k",
            "card-1",
            (Message("tool", "cancel_plan: done", tool_call_id="card-call"),),
            Message("assistant", "", tool_calls=tuple(made)),
            tools=("refund_order", "cancel_plan"),
        )
        (left,) = self.shown(SEARCH, call, failure="wanted 'cancel_plan'").rollout.trajectory.calls
        assert left.tools == ("refund_order", "cancel_plan")
        assert left.answer is not None
        assert [(one.name, one.arguments) for one in left.answer.tool_calls] == [
            ("cancel_plan", f'{{"why": "{HELD_OUT}"}}'),
            (HELD_OUT, f'{{"why": "{HELD_OUT}"}}'),
        ]
        assert left.request[0].content == f"{HELD_OUT}: done"
        assert (left.model, left.request[0].tool_call_id) == ("card-1", "card-call")


def test_without_held_out_cases_nothing_is_cut():
    assert cut("An apple, a fruit, 7", SEARCH) == "An apple, a fruit, 7"


def test_values_and_ids_of_held_out_cases_are_cut():
    text = f"{LONG!r} went to 'post', in {HELD.nodeid}"
    assert cut(text, SEARCH, HELD) == f"{HELD_OUT} went to {HELD_OUT}, in {HELD_OUT}"


def test_what_a_search_case_or_a_prompt_has_too_is_no_secret():
    shared = case("2", "holdout", text="An apple", label="post")
    assert cut("An apple for the post", SEARCH, shared) == f"An apple for the {HELD_OUT}"
    assert cut("An apple for the post", SEARCH, shared, prompt="Say fruit or post.") == "An apple for the post"
    assert cut("postal", SEARCH, shared, prompt="Say fruit or post.") == "postal"
    assert cut("a post", SEARCH, shared, prompt="postal") == f"a {HELD_OUT}"


def test_blanks_at_the_ends_of_a_value_are_no_part_of_what_makes_it_known():
    read = case("2", "holdout", author="Kim Mayer of Ulm\n", other="  Zoe Quist ", kind=" Q7\n")
    assert cut("for Kim Mayer of Ulm, and 'Zoe Quist', a 'Q7'", SEARCH, read) == (
        f"for {HELD_OUT}, and '{HELD_OUT}', a '{HELD_OUT}'"
    )
    shared = case("3", "holdout", text="An apple\n", label="fruit")
    assert cut("An apple\nis 'fruit'", SEARCH, shared) == "An apple\nis 'fruit'"
    assert cut("a post", case("0", "search", label="post\n"), HELD) == "a post"


@pytest.mark.parametrize("spell", [repr, json.dumps, str])
def test_a_value_is_known_in_every_spelling(spell):
    value = 'Zoë says:\n"no"\tway'
    assert cut(f"x {spell(value)} y", SEARCH, case("2", "holdout", text=value)) in (
        f"x {HELD_OUT} y",
        f"x '{HELD_OUT}' y",
        f'x "{HELD_OUT}" y',
    )


SPELLINGS: list[Callable[[str], str]] = [
    repr,
    ascii,
    json.dumps,
    lambda text: json.dumps(text, ensure_ascii=False),
    html.escape,
    quote,
    lambda text: text.encode("ascii", "xmlcharrefreplace").decode("ascii"),
]


def cut_as(value: str, spellings: Sequence[Callable[[str], str]]) -> str:
    """What is left of a held-out value that is written so, the quotes around it taken off."""
    told = value
    for spell in spellings:
        told = spell(told)
    left = cut(f"said {told} today", SEARCH, case("2", "holdout", text=value))
    for _ in range(4):
        left = unquote(html.unescape(left))
    return re.sub(r"""["'\\]""", "", left)


@pytest.mark.parametrize("first", SPELLINGS)
@pytest.mark.parametrize("second", SPELLINGS)
def test_a_value_is_known_in_spellings_of_spellings(first, second):
    for value in ("Где мой заказ 😀?", """She said "5' wide", it's \\off <now>""", "C:\\new\\table"):
        assert cut_as(value, [first, second]) == f"said {HELD_OUT} today"


@given(st.text(min_size=1).map("Zoe{}Quist".format), st.lists(st.sampled_from(SPELLINGS), max_size=3))
def test_no_spelling_hides_a_value(value: str, spellings: list[Callable[[str], str]]):
    assert cut_as(value, spellings) == f"said {HELD_OUT} today"


def test_what_a_report_leaves_of_a_value_in_escapes_is_cut_and_chance_is_not():
    value, other = "Привет, где мой заказ номер сорок два?", "Привет, а где мой?"
    told = json.dumps([f"{value[:30]}...", other])
    assert cut(told, SEARCH, case("2", "holdout", text=value)) == json.dumps([f"{HELD_OUT}...", other])


def test_lines_around_a_piece_stay_lines():
    value = "The parcel for Aunt Petunia never came.\nIt was sent to Little Whinging in March."
    told = "E   The parcel for Aunt Petunia never came.\nE   Nor mine.\nE   at last\nE   It was sent to Little Whinging"
    assert cut(told, SEARCH, case("2", "holdout", text=value)) == (
        f"E   {HELD_OUT}\nE   Nor mine.\nE   at last\nE   {HELD_OUT}"
    )


def test_around_a_value_in_an_address_everything_stays():
    told = f"GET /find?q={quote('мой Kim Mayer заказ')}&n=100%"
    kept = told.replace("Kim%20Mayer", HELD_OUT)
    assert cut(told, SEARCH, case("2", "holdout", text="Kim Mayer")) == kept


def test_what_a_report_leaves_of_a_long_value_is_cut():
    shortened = f"assert 'b' in ['{LONG[:30]}...{LONG[-28:]}']"
    assert cut(shortened, SEARCH, HELD) == f"assert 'b' in [{HELD_OUT}...{HELD_OUT}]"
    assert cut(LONG[:20], SEARCH, HELD) == LONG[:20]


@pytest.mark.parametrize(
    "margin", ["", "    ", "E     ", "> ", "  | ", "# ", "- ", "E     - ", "E     + ", "E   | > ", ">> "]
)
def test_a_value_of_several_short_lines_is_cut_with_any_margin(margin: str):
    value = "refund 4711\n\nKim Mayer"
    said = "E   AssertionError: " + value.replace("\n", f"\n{margin}")
    assert cut(f"{said}\nE   again", SEARCH, case("2", "holdout", text=value)) == (
        f"E   AssertionError: {HELD_OUT}\nE   again"
    )
    assert cut("refund 4711\nfor Kim Mayer", SEARCH, case("2", "holdout", text=value)) == ("refund 4711\nfor Kim Mayer")


LINES = "Hi Bob\n- parcel lost\nE-mail: Zoe\n"


@pytest.mark.parametrize(
    "tell",
    [
        lambda text: pprint.pformat(["other " * 3, text], width=20),
        lambda text: "E   assert x\n" + "".join(f"E     - {line}\n" for line in text.splitlines()),
        lambda text: text.replace("\n", "\n?     ^^^ -\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: json.dumps(pprint.pformat([text], width=20)),
    ],
)
def test_no_line_of_a_value_of_short_lines_is_left(tell: Callable[[str], str]):
    left = cut(tell(LINES), SEARCH, case("2", "holdout", text=LINES))
    assert left.count(HELD_OUT) == 1
    assert not re.search("Bob|parcel|lost|mail|Zoe", left)


def test_a_line_that_is_wrapped_is_known_and_its_neighbours_stay():
    held = case("2", "holdout", text="a parcel for Zoe Quist of Ulm")
    assert cut("E  so a parcel for\nE  > Zoe Quist  of\n  Ulm - not yet", SEARCH, held) == (
        f"E  so {HELD_OUT} - not yet"
    )
    assert cut(pprint.pformat(["a parcel for Zoe Quist of Ulm"], width=16), SEARCH, held) == f"[{HELD_OUT}]"
    assert cut("a parcel for\n\nE Kim", SEARCH, held) == "a parcel for\n\nE Kim"


def test_a_text_of_blanks_takes_no_time():
    assert cut(" " * 300_000 + LONG, SEARCH, HELD) == " " * 300_000 + HELD_OUT


def test_words_that_search_cases_have_too_are_no_piece_of_a_held_out_value():
    greeting = "Dear customer service team of the northern branch, "
    cases = (case("0", "search", text=f"{greeting}hello"), case("1", "holdout", text=f"{greeting}goodbye"))
    assert cut(f"{greeting}what?", *cases) == f"{greeting}what?"
    assert cut(f"{greeting}goodbye", *cases) == HELD_OUT


class TestShortValues:
    """Short enough to stand in other words."""

    cases = (case("0", "search", grade="A", count=1), case("1", "holdout", grade="Q7", count=42))

    @pytest.mark.parametrize(
        "text",
        [
            "the Q7x and AQ7",
            "line 42: one of 142",
            "{'n': 42}",
            "EQ7: it's",
            "1",
            "'A' and 'Q' and '7'",
            "test_a.py:42: in x",
        ],
    )
    def test_stay_inside_of_other_words_and_where_a_number_is_anybodys(self, text: str):
        assert cut(text, *self.cases) == text

    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("in ['A', 'Q7']", f"in ['A', {HELD_OUT}]"),
            ('in ["A", "Q7"]', f'in ["A", "{HELD_OUT}"]'),
            ("Q7", HELD_OUT),
            ("Q7\n", HELD_OUT),
            ("A,1\nQ7,42", "A,1\nQ7,42"),
            ("('Q7', 42)\n(A, 42)", f"({HELD_OUT}, {HELD_OUT})\n(A, 42)"),
        ],
    )
    def test_are_cut_where_they_stand_as_a_whole_value(self, text: str, left: str):
        assert cut(text, *self.cases) == left

    def test_that_search_cases_have_are_no_secret(self):
        assert cut("'A' 1 '1'", *self.cases, case("2", "holdout", grade="A", count=1)) == "'A' 1 '1'"

    def test_that_are_everybodys_are_no_secret(self):
        flags = case("2", "holdout", yes=True, no=False, none=None)
        assert cut("True, False and None", *self.cases, flags) == "True, False and None"


TABLE = """
CASES = [
    ("An apple", "fruit"),
    ("A letter", "the gold reason of the letter"),
]
GOLD = {"An apple": {"why": "it grows", "n": 31415}, "A letter": {"why": "it is sent", "n": 27182}}
OTHER = {"colour": "red and green"}
"""


def test_what_stands_in_one_row_with_a_held_out_value_is_cut():
    cases = (case("0", "search", text="An apple"), case("1", "holdout", text="A letter"))
    told = "it grows, it is sent, the gold reason of the letter, 31415, 27182, why, red and green, fruit"
    assert cut(told, *cases, source=TABLE) == (
        f"it grows, {HELD_OUT}, {HELD_OUT}, 31415, {HELD_OUT}, why, red and green, fruit"
    )


def test_the_rows_of_numbered_cases_are_theirs():
    cases = [case(str(n), "holdout" if n == 1 else "search", at=n) for n in range(2)]
    told = "An apple, fruit; A letter; it is sent"
    assert cut(told, *cases, source=TABLE) == f"An apple, fruit; {HELD_OUT}; {HELD_OUT}"
    # Three cases cannot number the rows of a table of two.
    assert cut(told, *cases, case("2", "search", at=2), source=TABLE) == told


def test_a_row_in_which_both_have_something_is_cut_no_further_than_their_values():
    cases = (case("0", "search", text="An apple"), case("1", "holdout", text="A letter"))
    source = 'PAIRS = [("An apple", "A letter", "both of them")]'
    assert cut("A letter, both of them", *cases, source=source) == f"{HELD_OUT}, both of them"


def test_sentences_of_a_test_that_is_held_out_whole_are_cut_and_names_are_not():
    body = (
        'def test_other():\n    """Only the judge may read this."""\n'
        '    assert ask("Where is the moon now?")["answer"] == "up"\n'
    )
    held = Case("t.py::test_other", "t.py::test_other", body, (), "holdout")
    told = 'Only the judge may read this. Where is the moon now? {"answer": "up"}'
    assert cut(told, SEARCH, held) == f'{HELD_OUT} {HELD_OUT} {{"answer": "up"}}'
    shared = case("2", "search", body, text="x")
    assert cut(told, shared, held) == told


def test_a_source_that_python_cannot_read_has_no_tables():
    assert python_nodes("def (") == []
    assert cut(LONG, SEARCH, HELD, source="def (") == HELD_OUT


def test_rows_are_found_at_every_depth():
    found = tables(python_nodes('X = {"train": [("a", 1, True), {"in": "b", "out": "c"}]}'))
    assert beside(found, {"a"}, {"b"}) == {"a", "1"}
    assert beside(found, {"b"}, {"a"}) == {"b", "in", "out", "c"}


texts = st.text(alphabet="abc ", min_size=1, max_size=60)
long_texts = st.lists(st.text("abc ", min_size=2 * LEAST, max_size=4 * LEAST), min_size=1, max_size=3)
places = st.integers(0, 4 * LEAST)


def without_pieces(secrets: list[str], text: str) -> str:
    return marked(text, Pieces(secrets, []).find(text), "\0")


@given(long_texts, texts, texts, places, places)
def test_no_long_run_of_a_withheld_text_is_left(secrets: list[str], before: str, after: str, start: int, end: int):
    text = before + "".join(secret[start:end] for secret in secrets) + after
    left = without_pieces(secrets, text)
    for secret in secrets:
        for at in range(len(secret) - 2 * LEAST + 1):
            assert secret[at : at + 2 * LEAST] not in left


@given(long_texts, texts, texts, places, st.integers(0, LEAST - 1))
def test_a_text_without_such_a_run_stays_as_it_is(secrets: list[str], before: str, after: str, start: int, length: int):
    text = before + secrets[0][start : start + length] + after
    runs = {secret[at : at + LEAST] for secret in secrets for at in range(len(secret) - LEAST + 1)}
    if not any(run in text for run in runs):
        assert without_pieces(secrets, text) == text


def file(path: str, text: str, *names: str) -> Source:
    return Source(path, text, (path, *names))


class TestSources:
    """Rows and files that are a held-out case's, besides the tables of test files."""

    cases = (case("one", "search", id="one"), case("held-one", "holdout", id="held-one"))

    def cut(self, text: str, *sources: Source, **texts: tuple[str, ...]) -> str:
        ids = {"search": self.cases[0].id, "held": self.cases[1].id}
        return Withholder(self.cases, sources, texts={ids[name]: values for name, values in texts.items()}).cut(text)

    def test_a_file_that_is_called_like_a_case_is_its_own(self):
        sources = [
            file("data/held-one.md", "# Invoices\nThe invoice of March is wrong.\n", "held-one"),
            file("data/one.md", "# Invoices\nThe first invoice is right, so we see.\n", "one"),
            file("data/others.md", "Nobody is called like this file of ours.", "others"),
        ]
        told = "The invoice of March is wrong. The first invoice is right, so we see. Nobody is called like this"
        assert (
            self.cut(told, *sources) == f"{HELD_OUT} The first invoice is right, so we see. Nobody is called like this"
        )

    def test_words_of_a_row_are_cut_where_they_are_no_part_of_others(self):
        source = file("gold.json", '{"one": {"queue": "sales"}, "held-one": {"queue": "billing"}}')
        told = "billing, rebilling, billings, 'billing', x\\nbilling, billing_team"
        left = f"{HELD_OUT}, rebilling, billings, '{HELD_OUT}', x\\n{HELD_OUT}, billing_team"
        assert self.cut(told, source) == left

    def test_words_of_a_row_that_search_cases_have_too_are_nobodys(self):
        source = file("gold.json", '{"one": {"note": "no billing team"}, "held-one": {"queue": "billing team"}}')
        assert self.cut("a billing team", source) == "a billing team"
        assert self.cut("a billing team", file("gold.json", '{"held-one": ["billing team"]}')) == f"a {HELD_OUT}"

    def test_what_redaction_has_left_of_a_text_is_known(self):
        redact = Redactor({}, [r"\d{4}-\d{2}"]).redact
        source = file("gold.csv", "id,text\none,key 4710-11\none,to Kim: 4710-11\nheld-one,to Zoe: 4711-22\n")
        texts = {self.cases[1].id: ("pay 4711-22 to Max", "4711-23", "key 4711-22", "meet 1234-56")}
        search = (*self.cases, case("2", "search", text="meet 4711-22", more="say [redacted] twice"))
        told = redact("to Zoe: 4711-22; to Kim: 4711-22; pay 4711-22 to Max; meet 1234-56; key 4711-22; 4711-23")
        left = Withholder(search, [source], texts=texts, redact=redact).cut(told)
        assert left == (f"{HELD_OUT}; to Kim: [redacted]; {HELD_OUT}; meet [redacted]; key [redacted]; [redacted]")

    def test_texts_of_objects_are_their_cases(self):
        told = "the first text of all, the second text of all, 'A7', 'B8'"
        texts = {"search": ("the first text of all", "A7"), "held": ("the second text of all", "B8")}
        assert self.cut(told, **texts) == f"the first text of all, {HELD_OUT}, 'A7', '{HELD_OUT}'"
        shared = {"search": texts["search"], "held": texts["search"]}
        assert self.cut(told, **shared) == told

    def test_the_tail_of_a_long_text_is_known(self):
        long = " ".join(f"word{n}" for n in range(9_000))
        assert self.cut(f"...{long[-300:]}", held=(long,)) == f"...{HELD_OUT}"

    def test_rows_are_theirs_by_ids_in_other_alphabets(self):
        name = "test_it[f\\xfcr-dich]"
        held = Case(f"t.py::{name}", f"t.py::{name}", split="holdout")
        source = file("gold.csv", "id,text\nfür-dich,the answer in March\none,the answer in April\n")
        left = Withholder((self.cases[0], held), [source]).cut("the answer in March, the answer in April")
        assert left == f"{HELD_OUT}, the answer in April"
