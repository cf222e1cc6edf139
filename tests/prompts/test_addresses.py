from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.addresses import parse_address, split_pattern, write_address

MESSAGES = {("m", 0): "system", ("m", 1): "user", ("m", 2): "user"}
KEYS = st.one_of(st.text(max_size=6), st.sampled_from(["a.b", '"', "*", "**", "a[0]", "[", "::", "\n", "\ud800", "7"]))


@given(st.lists(st.one_of(KEYS, st.integers(0, 99)), min_size=1, max_size=4).map(tuple))
def test_the_address_of_a_path_means_that_path_and_hardly_any_other(path):
    address = parse_address(write_address(path))
    assert not address.has_wildcard
    assert address.matches(path, {})
    assert not address.matches((*path, "x"), {})
    assert not address.matches(path[:-1], {})
    assert not address.matches((*path[:-1], f"{path[-1]}."), {})
    assert split_pattern(f"file::{write_address(path)}") == ("file", write_address(path))


@pytest.mark.parametrize(
    ("address", "path", "is_met"),
    [
        ("a.b", ("a", "b"), True),
        ("a.b", ("a.b",), False),
        ('"a.b"', ("a.b",), True),
        ('"a\\"\\u00e9".c', ('a"é', "c"), True),
        ("a.0", ("a", 0), True),
        ("a.0", ("a", "0"), True),
        ("a[0][12].b", ("a", 0, 12, "b"), True),
        ("[0].b", (0, "b"), True),
        ('"a[0]"', ("a[0]",), True),
        ("*", ("a",), True),
        ("*", ("a", "b"), False),
        ('"*"', ("a",), False),
        ("a.*", ("a", 3), True),
        ("sys*.t?xt", ("system", "text"), True),
        ("[ab]", ("b",), True),
        ("**", ("a", 0, "b"), True),
        ("**.b", ("b",), True),
        ("**.b", ("a", 1, "b"), True),
        ("a.**", ("a", "b", "c"), True),
        ("a.**.c", ("a", "c"), True),
        ("a.**.c", ("x", "c"), False),
        ("m.system.content", ("m", 0, "content"), True),
        ("m.system", ("m", 0, "content"), True),
        ("m.system", ("m", 0, 1), True),
        ("m.system", ("m", 0, "role"), False),
        ("m.user", ("m", 2, "content"), True),
        ("m.0", ("m", 0, "content"), False),
        ("**.system", ("m", 0, "content"), True),
        ("m.*", ("m", 0, "content"), False),
        ("m.assistant", ("m", 0, "content"), False),
    ],
)
def test_an_address_means_the_texts_that_its_keys_lead_to(address, path, is_met):
    assert parse_address(address).matches(path, MESSAGES) is is_met


@pytest.mark.parametrize("address", ["a..b", ".a", "a.", '"a', 'a"b"', '"a"b', '"\\x"'])
def test_what_is_no_address_is_an_error_that_says_where(address):
    with pytest.raises(PromptError, match="is no address"):
        parse_address(address)


def test_only_stars_name_nothing():
    assert [parse_address(one).names_nothing for one in ("*", "**", "*.**", "a.*", '"*"', "*x")] == [True] * 3 + [
        False
    ] * 3


def test_a_pattern_is_parted_at_its_only_colons():
    assert split_pattern("a/b.md") == ("a/b.md", None)
    assert split_pattern("a.yaml::") == ("a.yaml", "")
    assert split_pattern('a.yaml::"x::y".z') == ("a.yaml", '"x::y".z')
    with pytest.raises(PromptError, match="`::` stands there twice"):
        split_pattern("a::b::c")
