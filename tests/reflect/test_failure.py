from __future__ import annotations

import pytest

from pytest_gepa.reflect.failure import read_failure
from tests.reflect.exhibits import FAILURE, SOURCE


def test_a_report_is_divided_into_what_was_printed_and_where() -> None:
    failure = read_failure(FAILURE, SOURCE.split("\n"), ["ticket", "queue"])
    assert failure.printed == "AssertionError: assert 'Billing team' == 'billing'\n  \n  - billing\n  + Billing team"
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


COMPARED = """
    import pytest

    def test_short():
        assert {"name": "Bob", "city": "Rome"} == {"name": "Ann", "city": "Rome"}

    def test_long():
        said = [{"name": "x" * 40, "at": at} for at in range(9)]
        assert {"all": said, "city": "Rome"} == {"all": [*said[:8], {"name": "y"}], "city": "Rome"}

    def test_other_keys():
        assert {"name": "Ann", "town": "Rome"} == {"name": "Ann", "city": "Rome"}

    def test_sets():
        assert {1, 2} == {2, 3}

    def test_lists():
        assert ["a", "b"] == ["a", "c"]
"""


def test_what_differs_is_told_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(COMPARED)
    recorder = pytester.inline_run("-vvv", "-p", "no:cacheprovider", "-p", "no:asyncio")
    failures = recorder.getfailures()
    said = {
        one.location[2]: [line.strip() for line in read_failure(one.longreprtext).printed.split("\n")]
        for one in failures
    }
    told = {name: [line for line in lines[1:] if line] for name, lines in said.items()}
    assert told["test_short"] == ["Differing items:", "{'name': 'Bob'} != {'name': 'Ann'}"]
    assert told["test_other_keys"] == [
        "Left contains 1 more item:",
        "{'town': 'Rome'}",
        "Right contains 1 more item:",
        "{'city': 'Rome'}",
    ]
    assert told["test_sets"] == ["Extra items in the left set:", "1", "Extra items in the right set:", "3"]
    # Items that are long tell less than the diff, a list tells nothing but its first difference.
    assert "-             'name': 'y'," in told["test_long"]
    assert "Common items:" not in told["test_long"]
    assert told["test_lists"][0] == "At index 1 diff: 'b' != 'c'"
    assert "-     'c'," in told["test_lists"]
    assert not any(line.startswith("?") for lines in told.values() for line in lines)
