from __future__ import annotations

import pytest

from pytest_gepa.reflect.failure import read_failure
from tests.reflect.exhibits import FAILURE, SOURCE


def test_a_report_is_divided_into_what_was_printed_and_where() -> None:
    failure = read_failure(
        FAILURE, ["ticket = 'My card was charged twice', queue = 'billing'", *SOURCE.split("\n")]
    )
    assert (
        failure.printed
        == "AssertionError: assert 'Billing team' == 'billing'\n  \n  - billing\n  + Billing team"
    )
    assert failure.said.split("\n")[0] == "> assert route(ticket) == queue"
    assert failure.said.split("\n")[-1] == "tests/test_route.py:12: AssertionError"
    assert failure.around == ""


def test_code_of_a_helper_on_the_way_is_kept_apart() -> None:
    text = """\
    def test_a():
>       check('x')

tests/test_a.py:9:
_ _ _ _ _ _ _ _ _ _ _ _ _

answer = 'x'

    def check(answer):
        # at most two words, in lower case
>       assert answer in ALLOWED
E       AssertionError: assert 'x' in {'y'}

tests/checks.py:4: AssertionError"""
    failure = read_failure(text, ["def test_a():"])
    assert failure.printed == "AssertionError: assert 'x' in {'y'}"
    assert "# at most two words, in lower case" in failure.around
    assert "_ _" not in failure.around


@pytest.mark.parametrize(
    "text",
    ["AssertionError: E = mc2\nline two", "Traceback (most recent call last):\n  File 'x'\nValueError", ""],
)
def test_a_text_of_another_format_is_kept_whole(text: str) -> None:
    assert read_failure(text).said == read_failure(text).printed == text


def test_indentation_inside_a_message_survives() -> None:
    assert read_failure("E   first\nE     second\nE   third").printed == "first\n  second\nthird"


@pytest.mark.parametrize("style", ["long", "short", "line", "native"])
def test_what_pytest_prints_is_never_lost(pytester: pytest.Pytester, style: str) -> None:
    pytester.makepyfile("""
        def check(answer):
            assert answer == {"queue": "billing"}, f"ticket 17 went to {answer['queue']}"

        def test_route():
            check({"queue": "sales"})
    """)
    recorder = pytester.inline_run(f"--tb={style}", "-p", "no:cacheprovider", "-p", "no:asyncio")
    (report,) = recorder.getfailures()
    assert "ticket 17 went to sales" in read_failure(report.longreprtext).printed
