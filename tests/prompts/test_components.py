from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.components import Component, compose, encode, format_problem
from pytest_gepa.prompts.finding import find_components
from pytest_gepa.prompts.formats.setting import format_name
from pytest_gepa.prompts.patch import FileChange, PatchLine, check_patch, make_patch
from pytest_gepa.prompts.reading import SourceFile, plain, read_file
from tests.prompts.formats.round_trip import TEXTS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    return root


def write(path: Path, data: bytes = b"Be brief.\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "text", "newline", "bom"),
    [
        (b"", "", "\n", False),
        (b"a", "a", "\n", False),
        (b"a\nb\n", "a\nb\n", "\n", False),
        (b"a\r\nb", "a\nb", "\r\n", False),
        (b"a\r\nb\n", "a\r\nb\n", "", False),
        (b"a\rb", "a\rb", "", False),
        (b"a\r\r\nb", "a\r\r\nb", "", False),
        (b"\xef\xbb\xbfa\r\n", "a\n", "\r\n", True),
        (b"\xef\xbb\xbf\xef\xbb\xbfa", "\ufeffa", "\n", True),
        ("a\u2028b\x85c\x0c\n".encode(), "a\u2028b\x85c\x0c\n", "\n", False),
    ],
)
def test_line_ends_and_byte_order_mark_are_held_apart_from_the_text(root, data, text, newline, bom):
    component = plain(read_file(root, write(root / "a.md", data)))
    assert (component.text, component.newline, component.bom) == (text, newline, bom)
    assert encode(component, component.text) == data


@given(st.lists(st.sampled_from(["a", "ü", "\n", "\r\n", "\r", "\ufeff", "\u2028", " "]), max_size=10).map("".join))
def test_the_text_of_any_file_is_written_back_byte_for_byte(tmp_path_factory, content):
    root = tmp_path_factory.mktemp("root")
    component = plain(read_file(root, write(root / "a.md", content.encode())))
    assert encode(component, component.text) == content.encode()


@given(st.one_of(TEXTS, st.text()), st.sampled_from(["\n", "\r\n", ""]), st.booleans())
def test_a_new_text_is_written_as_it_is_or_refused(text, newline, bom):
    component = Component("a.md", Path("/a.md"), "old", newline, bom)
    try:
        data = encode(component, text)
    except PromptError:
        assert "\r" in text or text.startswith("\ufeff") or any("\ud800" <= one <= "\udfff" for one in text)
        return
    assert data.startswith(b"\xef\xbb\xbf") == bom or not data
    assert data.decode("utf-8-sig" if bom else "utf-8") == (text.replace("\n", newline) if newline else text)


@pytest.mark.parametrize(
    ("component", "text"),
    [
        (Component("a.md", Path("a.md"), ""), "a\r\nb"),
        (Component("a.md", Path("a.md"), "", "\r\n"), "a\rb"),
        (Component("a.md", Path("a.md"), ""), "\ufeffa"),
        (Component("a.md", Path("a.md"), ""), "a\ud800"),
    ],
)
def test_a_text_that_would_not_read_back_is_refused(component, text):
    with pytest.raises(PromptError, match=r"a\.md: the new text"):
        encode(component, text)


FILES = [b"Be brief.\nBe kind.\n", b"Be brief.", b"", b"\xef\xbb\xbfA\r\nB\r\n", "ümläut\r\nB".encode()]


@given(st.sampled_from(FILES), st.sampled_from(["a.txt", "a.j2", "a.md"]), TEXTS)
def test_any_text_can_be_set_in_a_file_of_text_and_reads_back(data, name, text):
    component = plain(SourceFile(name, Path("/", name), data, format_name(Path(name))))
    problem = format_problem(component, text)
    if problem is not None:
        is_block = text.startswith("---") and name == "a.md"
        assert "\r" in text or "\0" in text or text.startswith("\ufeff") or is_block
        return
    (made,) = compose([component], {component.id: text}).values()
    again = plain(SourceFile(name, Path("/", name), made, format_name(Path(name))))
    # A file without a line end does not tell what its line ends would be.
    assert (again.text, again.bom) == (text, component.bom and bool(made))
    assert again.newline == component.newline or "\n" not in text
    if made != data:
        changes = [FileChange(name, data, made)]
        check_patch(make_patch(changes, [PatchLine("x")]), changes)


ALL = b"""\
router:
  system: You route.
  user: |
    Here it is:
    {question}
messages:
  - {role: system, content: Be kind.}
"""


def found(root: Path, *patterns: str) -> dict[str, Component]:
    return {component.id: component for component in find_components(root, root, patterns)}


def test_the_texts_of_one_file_are_set_together_and_the_rest_stays(root):
    write(root / "a.yaml", ALL)
    write(root / "b.md")
    components = found(root, "a.yaml::router.*", "a.yaml::messages.system", "b.md")
    texts = {
        "a.yaml::router.system": "You: route.\nWell.",
        "a.yaml::messages.0.content": "Be",
        "b.md": "New.\n",
    }
    assert compose(components.values(), texts) == {
        root / "a.yaml": ALL.replace(b"You route.", b"|-\n    You: route.\n    Well.").replace(b"Be kind.", b"Be"),
        root / "b.md": b"New.\n",
    }
    assert compose(components.values(), {}) == {root / "a.yaml": ALL, root / "b.md": b"Be brief.\n"}


def test_fifty_texts_of_one_file_change_at_once(root):
    write(root / "p.py", b"".join(b'P%d = """\nOne.\nTwo.\n"""\n' % number for number in range(50)))
    components = found(root, "p.py::*")
    texts = {id: f"{id}\n{component.text}" for id, component in components.items()}
    ((path, data),) = compose(components.values(), texts).items()
    path.write_bytes(data)
    assert {id: component.text for id, component in found(root, "p.py::*").items()} == texts


def test_a_whole_file_and_a_text_inside_it_cannot_both_be_components(root):
    write(root / "a.yaml", ALL)
    with pytest.raises(
        PromptError, match=r"a\.yaml::: the whole file is a component, and so is a\.yaml::router\.system"
    ):
        found(root, "a.yaml::", "a.yaml::router.system")
    write(root / "a.md", b"---\nname: x\n---\nBody\n")
    assert list(found(root, "a.md", "a.md::name")) == ["a.md", "a.md::name"]
    with pytest.raises(PromptError, match="the whole file is a component"):
        found(root, "a.md", "a.md::")


def test_a_file_that_changes_between_two_reads_is_an_error(root):
    write(root / "a.yaml", ALL)
    first = found(root, "a.yaml::router.system")
    write(root / "a.yaml", ALL + b"# more\n")
    second = found(root, "a.yaml::router.user")
    with pytest.raises(PromptError, match="has changed between"):
        compose([*first.values(), *second.values()], {})


@pytest.mark.parametrize(
    ("name", "data", "pattern", "text", "problem"),
    [
        ("a.yaml", ALL, "a.yaml::router.system", "x\ud800", "holds half of a surrogate pair"),
        (
            "a.py",
            b'from textwrap import dedent\nS = dedent("""a\n""")',
            "a.py::S",
            "  a\n",
            "dedent() around",
        ),
        ("a.md", b"x\n", "a.md", "---\nname: x\n---\n", "would be read as front matter"),
        ("a.md", b"---\na: b\n---\nx\n", "a.md", "a\rb", "holds a carriage return"),
        ("a.md", b"x\n", "a.md", "a\0b", "holds a NUL character"),
        ("a.py", b"x = 1\n", "a.py", "x = \n", "the new text is not Python: invalid syntax (line 1)"),
        ("a.json", b"[1]\n", "a.json::", "[1", "the new text is not JSON"),
        ("a.toml", b"a = 1\n", "a.toml::", "a = ", "the new text is not TOML"),
        ("a.yaml", ALL, "a.yaml::", "a: [", "the new text is not YAML"),
    ],
)
def test_a_text_that_the_file_cannot_hold_has_the_same_reason_before_and_in_composing(
    root, name, data, pattern, text, problem
):
    write(root / name, data)
    ((id, component),) = found(root, pattern).items()
    reason = format_problem(component, text)
    assert problem in reason
    with pytest.raises(PromptError) as error:
        compose([component], {id: text})
    assert str(error.value) == f"{id}: {reason}"


@pytest.mark.parametrize(
    ("name", "data", "pattern", "text"),
    [
        ("a.py", b"x = 1\n", "a.py", "x = 2\n"),
        ("a.py", b"x = {{ y }}:\n", "a.py", "x = {{ z }}:\n"),  # a template of a program, not a program
        ("a.md", b"---\na: b\n---\nx\n", "a.md::", "No block.\n"),
        ("run.sh", b"ls\n", "run.sh", "if\n"),
    ],
)
def test_a_whole_file_is_only_asked_to_stay_what_it_is(root, name, data, pattern, text):
    write(root / name, data)
    (component,) = found(root, pattern).values()
    assert format_problem(component, text) is None
    assert compose([component], {component.id: text}) == {root / name: text.encode()}


def test_a_read_only_file_is_a_component_like_any(root):
    write(root / "a.md").chmod(0o400)
    (component,) = found(root, "a.md").values()
    assert compose([component], {"a.md": "New.\n"}) == {root / "a.md": b"New.\n"}
