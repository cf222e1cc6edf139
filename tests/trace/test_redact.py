from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.trace.redact import Redactor, looks_secret
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


@pytest.mark.parametrize(
    "name", ["PATH", "PWD", "OLDPWD", "KEYBOARD", "TOKENIZERS_PARALLELISM", "HOME", "PASSENGER"]
)
def test_other_names_are_left(name: str) -> None:
    assert not looks_secret(name)


def test_values_of_secret_variables_are_replaced_wherever_they_stand() -> None:
    redactor = Redactor({"MY_TOKEN": SECRET, "HOME": "/home/somebody"})
    assert (
        redactor.redact(f"a {SECRET}/{SECRET} b /home/somebody") == "a [redacted]/[redacted] b /home/somebody"
    )


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


@given(st.text(alphabet='abc {}":,.-\n', max_size=200))
def test_text_without_secrets_is_never_changed(text: str) -> None:
    assert Redactor({"A_KEY": SECRET}).redact(text) == text


def test_every_text_of_a_trajectory_is_redacted() -> None:
    def message(role: str) -> Message:
        return Message(role, SECRET, SECRET, (ToolCall("id", "f", SECRET, SECRET),), "id")

    call = Call(
        "key",
        "m",
        (message("user"),),
        message("assistant"),
        error=SECRET,
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
