"""What others see of a case: nothing of a value that its parameter's name tells to be secret."""

from __future__ import annotations

import pytest

from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.shown_case import shown_case, shown_nodeid
from pytest_gepa.trace.redact import Redactor

redact = Redactor({}).redact
KEY = "ghp_Ab3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0fGxY12"


def test_a_value_goes_where_its_name_tells_that_it_is_secret() -> None:
    case = Case(
        "t.py::test_login[3]",
        "t.py::test_login[Jo-Hunter2-x]",
        source=f"def test_login(user, password):\n    key = '{KEY}'",
        parameters=(("user", "'Jo'"), ("password", "'Hunter2-x'")),
    )
    shown = shown_case(case, redact)

    assert shown.id == case.id
    assert shown.nodeid == "t.py::test_login[Jo-password3]"
    assert shown.parameters == (("user", "'Jo'"), ("password", "'[redacted]'"))
    assert KEY not in shown.source


@pytest.mark.parametrize(
    ("label", "name", "code", "expected"),
    [
        ("Hunter2-x", "password", "'Hunter2-x'", "password1.2"),
        ("Hunter2-x0", "password", "'Hunter2-x'", "password1.20"),
        ("a-xa-a", "password", "'a'", "password1.2-xa-password1.2"),
        (r"h\xfcnter-b", "password", "'hünter'", "password1.2-b"),
        ("hünter-b", "password", "'hünter'", "password1.2-b"),
        ("opensesame", "client_secret", "b'opensesame'", "client_secret1.2"),
        ("12345678", "api_key", "12345678", "api_key1.2"),
        ("password0", "password", "<Password object at 0x7f>", "password0"),
        ("of the bank", "password", "'Hunter2-x'", "of the bank"),
        ("Paris-London", "token", "'Paris'", "Paris-London"),
        (f"{KEY}-x", "key", f"'{KEY}'", "[redacted]-x"),
    ],
)
def test_a_nodeid_says_where_it_was(label: str, name: str, code: str, expected: str) -> None:
    shown = shown_nodeid("t.py::T::test[1.2]#2", f"t.py::T::test[{label}]", [(name, code)], redact)

    assert shown == f"t.py::T::test[{expected}]"


def test_a_nodeid_without_parameters_stays() -> None:
    assert shown_nodeid("t.py::test_password", "t.py::test_password", [], redact) == "t.py::test_password"
