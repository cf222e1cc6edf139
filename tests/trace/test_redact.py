from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.run.stand_ins import NO_KEY
from pytest_gepa.trace import embeddings
from pytest_gepa.trace.exchange import describe
from pytest_gepa.trace.fields import schema_text
from pytest_gepa.trace.protocols import FALLBACK
from pytest_gepa.trace.redact import Redactor, redact_named
from pytest_gepa.trace.rewrite import rewrite_tree
from pytest_gepa.trace.secret_values import looks_secret
from pytest_gepa.trace.trajectory import Call, Message, Step, ToolCall, Trajectory

SECRET = "correct-horse-battery"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY",
        "GITHUB_TOKEN",
        "PGPASSWORD",
        "DB_PASSWD",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "client_secret",
        "GOOGLE_CREDENTIALS",
        "GH_PAT",
        "MYSQL_PWD",
        "SECRETS",
        "APIKEY",
    ],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize("name", ["PATH", "PWD", "OLDPWD", "KEYBOARD", "TOKENIZERS_PARALLELISM", "HOME", "PASSENGER"])
def test_other_names_are_left(name: str) -> None:
    assert not looks_secret(name)


def test_values_of_secret_variables_are_replaced_wherever_they_stand() -> None:
    redactor = Redactor({"MY_TOKEN": SECRET, "HOME": "/home/somebody"})
    assert redactor.redact(f"a {SECRET}/{SECRET} b /home/somebody") == "a [redacted]/[redacted] b /home/somebody"


def test_short_values_are_left_alone() -> None:
    assert Redactor({"API_KEY": "test"}).redact("this is a test") == "this is a test"


def test_of_two_values_the_longer_one_goes_as_a_whole() -> None:
    assert Redactor({"A_KEY": "12345678", "B_KEY": "1234567890"}).redact("x1234567890x") == "x[redacted]x"


def test_values_are_found_in_json_too() -> None:
    value = 'line "one"\nline two'
    assert Redactor({"A_KEY": value}).redact(r'{"x": "line \"one\"\nline two"}') == '{"x": "[redacted]"}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc", "Authorization: Bearer [redacted]"),
        ('{"authorization": "Bearer abc"}', '{"authorization": "Bearer [redacted]"}'),
        ("bearer abcdef12345", "bearer [redacted]"),
        ("key sk-proj-abcDEF0123456789 end", "key [redacted] end"),
        ("ghp_abcdefghijklmnopqrst0123456789", "[redacted]"),
        ("github_pat_11ABCDEFG0abcdefghijkl", "[redacted]"),
        ("AKIAIOSFODNN7EXAMPLE", "[redacted]"),
        (f"token={JWT}.", "token=[redacted]."),
        (f"before\n{PEM}\nafter", "before\n[redacted]\nafter"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEow and cut", "[redacted]"),
        ('{"access_token": "abc", "n": 1}', '{"access_token": "[redacted]", "n": 1}'),
        (r"{\"api_key\": \"abc\"}", r"{\"api_key\": \"[redacted]\"}"),
    ],
)
def test_known_forms_of_secrets_are_replaced(text: str, expected: str) -> None:
    redactor = Redactor({})
    assert redactor.redact(text) == expected
    assert redactor.redact(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "the bearer of good news",
        "ask-me-anything-2024-edition",
        "sk-learn",
        "-----BEGIN CERTIFICATE-----",
        "eyJust a word",
        '"tokens": 12',
        "",
    ],
)
def test_ordinary_text_is_left_as_the_same_object(text: str) -> None:
    assert Redactor({"A_KEY": SECRET}).redact(text) is text


LONG = "qX7-vB2_nM9kL4jH1gF8dS5a"
"""A secret of no known form."""

ENVIRONMENT = {"MY_TOKEN": LONG, "B_SECRET": 'p&ss w/rd+ümläut"x', "PLAIN": "nothing"}
NOISE = st.text(alphabet="ab =:\"'{}[]sk-\n\\@/.redactpowbğ1", max_size=60)
TEXTS = st.lists(
    st.one_of(
        NOISE,
        st.sampled_from(
            [
                "[redacted]",
                "password=",
                "bearer ",
                "Cookie: ",
                "://u:",
                "sk-",
                LONG,
                LONG[:14],
                *ENVIRONMENT.values(),
                "-----BEGIN PRIVATE KEY-----\n",
                '"token": "',
                JWT,
                "\ud800",
                "İ",
            ]
        ),
    ),
    max_size=12,
).map("".join)


@given(TEXTS)
def test_redacting_twice_is_redacting_once(text: str) -> None:
    redactor = Redactor(ENVIRONMENT, [r"b\w+", r"x(?P<secret>a+)"])
    once = redactor.redact(text)
    assert redactor.redact(once) is once


@given(TEXTS)
def test_no_value_of_the_environment_is_left(text: str) -> None:
    redacted = Redactor(ENVIRONMENT).redact(f"{text}{LONG}{text}")
    assert LONG[:12] not in redacted
    assert LONG[-12:] not in redacted


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from([LONG, ENVIRONMENT["B_SECRET"]]))
def test_values_are_found_however_they_are_spelled(before: str, after: str, secret: str) -> None:
    redactor = Redactor(ENVIRONMENT)
    data = (before + secret + after).encode("utf-8", "replace")
    text = data.decode()
    spelled = [
        json.dumps(text),
        json.dumps(text, ensure_ascii=False),
        json.dumps(json.dumps(text)),
        repr(text) if "'" not in text else text,
        html.escape(text),
        quote(text, safe=""),
        quote(text),
        quote_plus(text),
        quote(text, safe="").lower(),
        data.hex(),
        data.hex().upper(),
        base64.b64encode(data).decode(),
        base64.urlsafe_b64encode(data).decode().rstrip("="),
    ]
    if secret != secret.lower():
        del spelled[8]
    redacted = [redactor.redact(form) for form in spelled]

    assert all("[redacted]" in form for form in redacted)
    assert not any(secret in form or quote(secret) in form for form in redacted)
    for form in redacted[-2:]:
        # What is left of the base64 is not even a piece of the secret.
        left = [base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)) for piece in _pieces(form)]
        assert not any(secret.encode()[3:-3] in one for one in left)


def _pieces(form: str) -> list[str]:
    pieces = [piece.rstrip("=").translate(str.maketrans("+/", "-_")) for piece in form.split("[redacted]")]
    return [piece[: len(piece) - (len(piece) % 4 == 1)] for piece in pieces]


@given(st.text(max_size=300), st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=4))
def test_nothing_that_is_redacted_raises(text: str, environ: dict[str, str]) -> None:
    redactor = Redactor({f"{name}_KEY": value for name, value in environ.items()})
    assert isinstance(redactor.redact(text), str)


def test_as_much_as_is_left_of_a_value_that_was_cut_goes_too() -> None:
    redactor = Redactor({"A_KEY": LONG})
    assert redactor.redact(f"'{LONG[:17]}...{LONG[-15:]}' in x") == "'[redacted]...[redacted]' in x"


def test_each_line_of_a_value_is_a_secret() -> None:
    redactor = Redactor({"A_KEY": "-----BEGIN X-----\nfirst line of the key\nsecond line of the key\n"})
    assert redactor.redact("E  + first line of the key\nE  + -----BEGIN X-----") == (
        "E  + [redacted]\nE  + -----BEGIN X-----"
    )


def test_each_item_of_a_value_that_is_a_list_is_a_secret() -> None:
    redactor = Redactor({"API_KEYS": "alpha-one, beta-two;gamma-three", "A_PASSWORD": "it, and that"})
    assert redactor.redact("alpha-one beta-two gamma-three") == "[redacted] [redacted] [redacted]"
    assert redactor.redact("it, and that") == "[redacted]"
    assert redactor.redact("it and that") == "it and that"


def test_the_secrets_inside_a_value_in_json_are_secrets_too() -> None:
    account = {
        "type": "service_account",
        "private_key_id": "0a1b2c3d4e",
        "keys": [{"api_token": "t0kent0ken"}],
    }
    redactor = Redactor({"GOOGLE_CREDENTIALS": json.dumps(account)})
    assert redactor.redact("0a1b2c3d4e t0kent0ken service_account") == "[redacted] [redacted] service_account"


def test_the_password_in_an_address_of_the_environment_is_a_secret() -> None:
    redactor = Redactor({"DATABASE_URL": "postgres://app:swordfish@db/x"})
    assert redactor.redact("swordfish at db") == "[redacted] at db"


def test_a_value_that_is_part_of_the_mark_itself_is_left() -> None:
    assert Redactor({"A_KEY": "redacted"}).redact("redacted [redacted]") == "redacted [redacted]"


def test_secrets_that_touch_are_one_mark() -> None:
    assert Redactor({"A_KEY": LONG}).redact(f"({LONG}{LONG})") == "([redacted])"
    assert Redactor({"A_KEY": LONG}).redact(f"password={LONG}xyz end") == "password=[redacted] end"


def test_a_pattern_of_the_user_s_own_redacts_all_that_it_matches() -> None:
    redactor = Redactor({}, [r"(account) no\. \d+", r"(?i)codename \w+"])
    assert redactor.redact("my account no. 12345, Codename Zebra.") == "my [redacted], [redacted]."


def test_a_group_called_secret_says_what_goes() -> None:
    redactor = Redactor({}, [r"account (?P<secret>\d+)", r"(?P<secret>x)?y"])
    assert redactor.redact("account 12345, xy, y") == "account [redacted], [redacted]y, y"


def test_a_pattern_that_matches_nothing_somewhere_leaves_the_text() -> None:
    text = "some words"
    assert Redactor({}, [r"\b", r"$"]).redact(text) is text


def test_certain_secrets_are_shapes_values_and_patterns_of_the_user_s_own() -> None:
    redactor = Redactor({"A_KEY": LONG}, ["zebra"])
    text = f"password='hunter2' {JWT} {LONG} zebra"
    assert redactor.redact_certain(text) == "password='hunter2' [redacted] [redacted] [redacted]"


def test_a_tree_is_redacted_text_by_text_keys_too() -> None:
    redactor = Redactor({"A_KEY": LONG})
    tree = {"a": [LONG, 1, None, {"b": f"x {LONG}"}], LONG: ("y", LONG)}
    assert rewrite_tree(tree, redactor.redact) == {
        "a": ["[redacted]", 1, None, {"b": "x [redacted]"}],
        "[redacted]": ["y", "[redacted]"],
    }


@given(st.text(alphabet='abc {}":,.-\n', max_size=200))
def test_text_without_secrets_is_never_changed(text: str) -> None:
    assert Redactor({"A_KEY": SECRET}).redact(text) == text


def test_every_text_of_a_trajectory_is_redacted() -> None:
    def message(role: str) -> Message:
        return Message(role, SECRET, SECRET, (ToolCall(SECRET, SECRET, SECRET, SECRET),), SECRET)

    call = Call(
        "key",
        SECRET,
        (message("user"),),
        message("assistant"),
        error=SECRET,
        finish_reason=SECRET,
        tools=(SECRET,),
        seconds=1.5,
        alternatives=(message("assistant"),),
        other_texts=(SECRET,),
        answer_format=SECRET,
    )
    trajectory = Trajectory((call,), (Step(SECRET, SECRET),), ((SECRET, SECRET),), SECRET)
    redacted = Redactor({"A_KEY": SECRET}).redact_trajectory(trajectory)
    assert SECRET not in repr(redacted)
    assert repr(redacted) == repr(trajectory).replace(SECRET, "[redacted]")


def test_a_call_without_an_answer_stays_without_one() -> None:
    trajectory = Trajectory((Call("key", "m", (), None, None, "boom"),))
    assert Redactor({}).redact_trajectory(trajectory) == trajectory


def test_keys_that_are_set_later_are_learnt_and_stay_known() -> None:
    redactor = Redactor({"HOME": "/home/somebody"})
    redactor.learn({"LATE_API_KEY": SECRET})
    redactor.learn({})
    assert redactor.redact(SECRET) == "[redacted]"


def _told_short(text: str) -> dict[str, str]:
    """A long text wherever it is cut before anything is redacted, by where that is."""
    embedded = embeddings.read_request(json.dumps({"input": text}).encode())
    answer = FALLBACK.read_answer(text.encode(), "text/plain")
    assert embedded is not None
    assert answer is not None
    assert answer.message is not None
    return {
        "exception": describe(RuntimeError(text)),
        "embedding": embedded.messages[0].content,
        "response": answer.message.content,
        "schema": schema_text({"description": text}),
    }


@pytest.mark.parametrize(
    ("where", "limit"), [("exception", 1986), ("embedding", 2_000), ("response", 20_000), ("schema", 3983)]
)
@pytest.mark.parametrize("over", range(1, 18))
def test_no_part_of_a_secret_is_left_where_a_text_was_cut(where: str, limit: int, over: int) -> None:
    secret = "zq8hunter2canary77"
    before = "word " * 5_000
    told = _told_short(f"{before[: limit - over - 1]} {secret} {before}")[where]
    left = Redactor({"A_SECRET": secret}).redact(told)
    assert secret[: max(over, 4)] not in left
    assert len(told) > limit - 40


@pytest.mark.parametrize(
    "environ",
    [
        {"DB_PASSWORD": "password"},
        {"DB_PASSWORD": "changeme"},
        {"POSTGRES_PASSWORD": "postgres"},
        {"DATABASE_URL": "postgresql://postgres:postgres@localhost/app"},
        {"CREDENTIALS": '{"password": "password", "user_secret": "postgres"}'},
    ],
    ids=str,
)
def test_a_password_that_no_one_keeps_secret_is_a_word_like_any_other(environ: dict[str, str]) -> None:
    redactor = Redactor(environ)
    said = "Never ask for a password; changeme is none. We run postgres and postgresql."
    assert redactor.redact(said) == redactor.redact_certain(said) == said


@pytest.mark.parametrize("value", ["Password", "postgres1", "changeme-please", "correcthorse"])
def test_what_is_merely_like_one_is_a_secret(value: str) -> None:
    assert value not in Redactor({"DB_PASSWORD": value}).redact(f"it is {value} here")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("password", "swordfish", "[redacted]"),
        ("db_password", "correct horse 42 battery", "[redacted]"),
        ("apiKey", "it's mine", "[redacted]"),
        ("password", '{"user": "Jo", "code": "tulips"}', "[redacted]"),
        ("password", "null", "null"),
        ("password", "", ""),
        ("answer", "the password is swordfish", "the password is swordfish"),
        ("answer", f"it is {SECRET}", "it is [redacted]"),
        ("token", "Paris", "Paris"),
    ],
)
def test_a_step_without_what_its_name_tells_to_be_secret(name: str, value: str, expected: str) -> None:
    told = Redactor({"A_KEY": SECRET}).redact_trajectory(Trajectory(steps=(Step(name, value),)))

    assert told.steps == (Step(name, expected),)


def test_a_pattern_that_begins_in_the_name_takes_the_whole_value() -> None:
    redact = Redactor({}, [r"client = .*"]).redact

    assert redact_named("client", "'Jo & Co'", redact, is_code=True) == ("client", "[redacted]")


def test_what_stands_for_a_key_in_a_replay_is_a_word_like_any_other() -> None:
    said = "Count how often the song was replayed."
    assert Redactor({"OPENAI_API_KEY": NO_KEY}).redact(said) == said
