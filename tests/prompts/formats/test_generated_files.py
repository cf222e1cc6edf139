"""Files as libraries write them, of any data: every string is found, and can be set."""

from __future__ import annotations

import json

import tomlkit
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_gepa.prompts.formats.setting import PYTHON
from tests.prompts.formats import test_json_fields, test_toml_fields, test_yaml_fields
from tests.prompts.formats.round_trip import TEXTS, check_set, fields_of, leaves

KEYS = st.sampled_from(["a", "b.c", "system", "0", "x y", 'q"', "é", "", "~", "- k"])
LEAVES = st.one_of(st.booleans(), st.integers(-5, 5), TEXTS, TEXTS)


def trees(leaves):
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
        max_leaves=10,
    )


DATA = st.dictionaries(KEYS, trees(LEAVES | st.none()), min_size=1, max_size=4)


@given(DATA, st.booleans(), st.sampled_from([None, 2]), TEXTS, st.randoms(use_true_random=False))
def test_a_json_file_of_any_data(data, is_ascii, indent, text, chance):
    file = json.dumps(data, ensure_ascii=is_ascii, indent=indent).encode()
    assert fields_of("JSON", file) == leaves(data)
    if leaves(data):
        check_set("JSON", file, {chance.choice(list(leaves(data))): text}, test_json_fields.read)


@given(
    DATA,
    st.fixed_dictionaries(
        {
            "default_style": st.sampled_from([None, '"', "'", "|", ">"]),
            "default_flow_style": st.sampled_from([None, True, False]),
            "allow_unicode": st.booleans(),
            "width": st.sampled_from([5, 20, 80]),
            "indent": st.sampled_from([None, 4]),
        }
    ),
    TEXTS,
    st.randoms(use_true_random=False),
)
def test_a_yaml_file_of_any_data(data, style, text, chance):
    content = yaml.safe_dump(data, **style)
    assume(not any(character in content for character in "\x85\u2028\u2029"))  # line ends to some readers only
    try:
        assume(leaves(yaml.safe_load(content)) == leaves(data))
    except yaml.YAMLError:  # what the library writes it cannot always read
        assume(False)
    assert fields_of("YAML", content.encode()) == leaves(data)
    if leaves(data):
        check_set("YAML", content.encode(), {chance.choice(list(leaves(data))): text}, test_yaml_fields.read)


@given(st.dictionaries(KEYS, trees(LEAVES), min_size=1, max_size=4), TEXTS, st.randoms(use_true_random=False))
def test_a_toml_file_of_any_data(data, text, chance):
    file = tomlkit.dumps(data).encode()
    try:
        assume(test_toml_fields.read(file) == leaves(data))
    except (ValueError, AssertionError):  # what the library writes it cannot always read
        assume(False)
    assert fields_of("TOML", file) == leaves(data)
    if leaves(data):
        check_set("TOML", file, {chance.choice(list(leaves(data))): text}, test_toml_fields.read)


@given(
    st.dictionaries(st.sampled_from("ABCD"), trees(LEAVES | st.none()), min_size=1, max_size=3),
    TEXTS,
    st.randoms(use_true_random=False),
)
def test_a_python_file_of_any_constants(data, text, chance):
    file = "".join(f"{name} = {value!r}\n" for name, value in data.items()).encode()

    def read(made: bytes):
        names: dict[str, object] = {}
        exec(compile(made, "names", "exec"), names)
        return leaves({name: names[name] for name in data})

    assert fields_of(PYTHON, file) == leaves(data)
    if leaves(data):
        check_set(PYTHON, file, {chance.choice(list(leaves(data))): text}, read)
