from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.components import Component, encode
from pytest_gepa.prompts.finding import DEFAULT_PATTERNS, find_components
from pytest_gepa.prompts.reading import read_component


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    return root


def write(path: Path, data: bytes = b"Be brief.\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def ids(root: Path, *patterns: str, base: Path | None = None) -> list[str]:
    return [component.id for component in find_components(root, base or root, patterns)]


def test_the_default_takes_prompt_files_at_any_depth_in_the_order_of_their_ids(root):
    for name in ("b.txt", "a.md", "deep/er/c.jinja2", "d.j2", "e.PROMPT", "f.prompty", "g.jinja"):
        write(root / "prompts" / name)
    for name in ("code.py", "data.json", "image.png", "none"):
        write(root / "prompts" / name, b"\xff\xfe")
    write(root / "other" / "x.md")
    names = ["a.md", "b.txt", "d.j2", "deep/er/c.jinja2", "e.PROMPT", "f.prompty", "g.jinja"]
    assert ids(root, *DEFAULT_PATTERNS) == [f"prompts/{name}" for name in names]


def test_hidden_files_and_folders_are_passed_over_unless_the_pattern_names_them(root):
    write(root / "prompts/.draft.md")
    write(root / "prompts/.old/x.md")
    assert ids(root, *DEFAULT_PATTERNS) == []
    assert ids(root, "prompts/.old/*.md", "prompts/.d*.md") == ["prompts/.draft.md", "prompts/.old/x.md"]


def test_no_folder_means_no_components(root):
    assert ids(root, *DEFAULT_PATTERNS) == []


def test_ids_are_relative_to_the_rootdir_and_patterns_to_their_base(root):
    write(root / "sub/texts/a.md")
    assert ids(root, "texts/*.md", base=root / "sub") == ["sub/texts/a.md"]
    assert ids(root, "../sub/texts/*.md", base=root / "sub") == ["sub/texts/a.md"]
    assert ids(root, str(root / "sub/texts/*.md"), base=root) == ["sub/texts/a.md"]


def test_a_pattern_that_says_its_suffix_takes_every_such_file(root):
    write(root / "texts/a.xml")
    write(root / "texts/b.xml")
    assert ids(root, "texts/*.xml", "texts/a.xml") == ["texts/a.xml", "texts/b.xml"]


def test_a_pattern_without_a_suffix_takes_what_is_text(root):
    write(root / "texts/a.yaml")
    write(root / "texts/b")
    write(root / "texts/logo.png", b"\x89PNG\xff")
    write(root / "texts/nul.bin", b"a\0b")
    write(root / "texts/load.py", b"import os\n")
    assert ids(root, "texts/*") == ["texts/a.yaml", "texts/b"]


def test_a_pattern_that_names_a_folder_takes_the_prompt_files_in_it(root):
    write(root / "texts/a.md")
    write(root / "texts/deep/b.txt")
    write(root / "texts/c.yaml")
    assert ids(root, "texts") == ["texts/a.md", "texts/deep/b.txt"]


@pytest.mark.parametrize("pattern", ["texts/*.py", "texts/*.sh"])
def test_a_program_is_no_component_unless_it_is_named_outright(root, pattern):
    write(root / "texts/load.py", b"import os\n")
    write(root / "texts/run.sh", b"ls\n")
    with pytest.raises(PromptError, match="is a program; name it outright"):
        ids(root, pattern)
    assert ids(root, "texts/load.py", "texts/run.sh") == ["texts/load.py", "texts/run.sh"]


def test_a_program_behind_the_name_of_a_prompt_is_none_either(root):
    write(root / "app.py", b"import os\n")
    (root / "prompts").mkdir()
    (root / "prompts/app.md").symlink_to(root / "app.py")
    with pytest.raises(PromptError, match=r"app\.md: is a program"):
        ids(root, *DEFAULT_PATTERNS)


def test_a_file_that_is_named_and_not_there_is_an_error(root):
    with pytest.raises(PromptError, match=r"gone\.md: no such file"):
        ids(root, "prompts/gone.md")


@pytest.mark.parametrize("data", [b"caf\xe9", b"a\0b", "x".encode("utf-16")])
def test_a_prompt_that_is_not_utf_8_is_an_error_that_names_it(root, data):
    write(root / "prompts/a.md", data)
    with pytest.raises(PromptError, match=r"prompts/a\.md: .*UTF-8"):
        ids(root, *DEFAULT_PATTERNS)


def test_a_symlink_stands_for_its_target_and_two_names_are_one_component(root):
    write(root / "prompts/a.md")
    (root / "prompts/b.md").symlink_to("a.md")
    (root / "alias").symlink_to("prompts")
    (component,) = find_components(root, root, ["prompts/*.md", "alias/*.md", "alias/**/*"])
    assert component.id == "prompts/a.md"
    assert component.path == (root / "prompts/a.md").resolve()


def test_a_symlinked_folder_is_followed_and_a_loop_is_no_trap(root):
    write(root / "shared/a.md")
    (root / "prompts").mkdir()
    (root / "prompts/shared").symlink_to("../shared")
    (root / "shared/loop").symlink_to("../prompts")
    (root / "prompts/self").symlink_to(".")
    assert ids(root, *DEFAULT_PATTERNS) == ["shared/a.md"]


def test_a_symlinked_rootdir_gives_the_same_ids(root, tmp_path):
    write(root / "prompts/a.md")
    link = tmp_path / "link"
    link.symlink_to(root)
    assert ids(link, *DEFAULT_PATTERNS) == ["prompts/a.md"]


def test_a_file_outside_the_rootdir_is_an_error(root, tmp_path):
    outside = write(tmp_path / "outside.md")
    (root / "prompts").mkdir()
    (root / "prompts/a.md").symlink_to(outside)
    with pytest.raises(PromptError, match="outside the rootdir"):
        ids(root, *DEFAULT_PATTERNS)
    with pytest.raises(PromptError, match="outside the rootdir"):
        ids(root, "../outside.md")


def test_only_regular_files_are_read(root):
    (root / "prompts/folder.md").mkdir(parents=True)
    (root / "prompts/gone.md").symlink_to("nowhere")
    (root / "prompts/round.md").symlink_to("round.md")
    os.mkfifo(root / "prompts/pipe.md")
    assert ids(root, *DEFAULT_PATTERNS) == []
    with pytest.raises(PromptError, match="not a regular file"):
        ids(root, "prompts/pipe.md")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_an_error_that_names_it(root):
    write(root / "prompts/a.md").chmod(0)
    with pytest.raises(PromptError, match=r"prompts/a\.md: cannot be read"):
        ids(root, *DEFAULT_PATTERNS)


def test_a_folder_that_may_not_be_listed_is_an_error_that_names_it(root, monkeypatch):
    write(root / "prompts/a.md")

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(PromptError, match="prompts: cannot be read: Permission denied"):
        ids(root, *DEFAULT_PATTERNS)


def test_an_empty_pattern_does_not_mean_everything(root):
    write(root / "README.md")
    with pytest.raises(PromptError, match="empty"):
        ids(root, "")


def test_reading_what_is_no_file_is_an_error(root, monkeypatch):
    with pytest.raises(PromptError, match="cannot be read"):
        read_component(root, root / "gone.md")
    with pytest.raises(PromptError, match="not a regular file"):
        read_component(root, root)

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    path = write(root / "a.md")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PromptError, match=r"a\.md: cannot be read: Permission denied"):
        read_component(root, path)


def test_a_file_whose_name_is_not_utf_8_is_an_error(root):
    try:
        path = write(root / "prompts" / os.fsdecode(b"caf\xe9.md"))
    except OSError:
        pytest.skip("the file system takes only names in UTF-8")
    with pytest.raises(PromptError, match="name is not UTF-8"):
        read_component(root, path)


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
    component = read_component(root, write(root / "a.md", data))
    assert (component.text, component.newline, component.bom) == (text, newline, bom)
    assert encode(component, component.text) == data


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["a", "ü", "\n", "\r\n", "\r", "\ufeff", "\u2028", " "]), max_size=10).map(
        "".join
    )
)
def test_the_text_of_any_file_is_written_back_byte_for_byte(tmp_path_factory, content):
    root = tmp_path_factory.mktemp("root")
    component = read_component(root, write(root / "a.md", content.encode()))
    assert encode(component, component.text) == content.encode()


@settings(deadline=None)
@given(st.text(), st.sampled_from(["\n", "\r\n", ""]), st.booleans())
def test_a_new_text_reads_back_as_it_is_or_is_refused(tmp_path_factory, text, newline, bom):
    root = tmp_path_factory.mktemp("root")
    component = Component("a.md", root / "a.md", "old", newline, bom)
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
