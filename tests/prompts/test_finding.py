from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.finding import DEFAULT_PATTERNS, find_components
from pytest_gepa.prompts.reading import read_file


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
    write(root / "prompts/h.yaml", b"system: Be brief.\n")
    names = [
        "a.md",
        "b.txt",
        "d.j2",
        "deep/er/c.jinja2",
        "e.PROMPT",
        "f.prompty",
        "g.jinja",
        "h.yaml::system",
    ]
    assert ids(root, *DEFAULT_PATTERNS) == [f"prompts/{name}" for name in names]


def test_hidden_files_and_folders_are_passed_over_unless_the_pattern_names_them(root):
    write(root / "prompts/.draft.md")
    write(root / "prompts/.old/x.md")
    assert ids(root, *DEFAULT_PATTERNS) == []
    assert ids(root, "prompts/.old/*.md", "prompts/.d*.md") == ["prompts/.draft.md", "prompts/.old/x.md"]


@pytest.mark.parametrize("pattern", ["prompts/**/*", "prompts", "prompts/*"])
def test_what_speaks_of_prompts_to_people_is_none_unless_asked_for(root, pattern):
    write(root / "prompts/README.md")
    write(root / "prompts/CHANGELOG.txt")
    write(root / "prompts/route.md")
    assert ids(root, pattern) == ["prompts/route.md"]
    assert ids(root, "prompts/README.md") == ["prompts/README.md"]
    assert ids(root, "prompts/*.md") == ["prompts/README.md", "prompts/route.md"]


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
        read_file(root, root / "gone.md")
    with pytest.raises(PromptError, match="not a regular file"):
        read_file(root, root)

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    path = write(root / "a.md")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PromptError, match=r"a\.md: cannot be read: Permission denied"):
        read_file(root, path)


def test_a_file_whose_name_is_not_utf_8_is_an_error(root):
    try:
        path = write(root / "prompts" / os.fsdecode(b"caf\xe9.md"))
    except OSError:
        pytest.skip("the file system takes only names in UTF-8")
    with pytest.raises(PromptError, match="name is not UTF-8"):
        read_file(root, path)


DATA = b"""\
system: Be brief.
note: |
  One.
  Two.
other: nothing of the kind
"""


def texts(root: Path, *patterns: str) -> dict[str, str]:
    return {component.id: component.text for component in find_components(root, root, patterns)}


def test_unasked_a_data_file_gives_the_texts_whose_keys_say_prompt(root):
    write(root / "prompts/a.yaml", DATA)
    write(root / "prompts/b.toml", b'[router]\nsystem_prompt = "Be kind."\nname = "x y"\n')
    write(
        root / "prompts/c.json",
        b'[{"role": "user", "content": "Hi {x}"}, {"role": "assistant", "content": "Yes, sir"}]',
    )
    write(root / "prompts/data.json", b'{"rows": ["a b", "c\\nd"]}')
    expected = {
        "prompts/a.yaml::system": "Be brief.",
        "prompts/b.toml::router.system_prompt": "Be kind.",
        "prompts/c.json::0.content": "Hi {x}",
    }
    assert texts(root, *DEFAULT_PATTERNS) == expected
    assert texts(root, "prompts") == expected


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.yaml", b"{{ x }}: {% y %}\nsystem: a b\n"),
        ("a.toml", b"system = "),
        ("a.json", b"\xff"),
        ("a.json", b'{"system": "a b", "data": "' + b"x" * 1_000_000 + b'"}'),
    ],
)
def test_unasked_a_data_file_that_is_none_or_large_is_left_alone(root, name, data):
    write(root / "prompts" / name, data)
    assert ids(root, *DEFAULT_PATTERNS) == []


def test_a_named_data_file_gives_texts_of_several_lines_too(root):
    write(root / "a.yaml", DATA)
    assert texts(root, "a.yaml") == {"a.yaml::system": "Be brief.", "a.yaml::note": "One.\nTwo.\n"}
    assert ids(root, "*.yaml") == ["a.yaml::note", "a.yaml::system"]
    assert ids(root, "*") == ["a.yaml::note", "a.yaml::system"]


def test_a_named_data_file_that_gives_nothing_is_an_error_that_shows_how_to_go_on(root):
    write(root / "a.yaml", b"x: {y: z}\n")
    with pytest.raises(PromptError, match=r"no text in it looks like a prompt; address one \(a\.yaml::x\.y\) or"):
        ids(root, "a.yaml")
    assert ids(root, "*.yaml") == []
    write(root / "b.yaml", b"a: [\n")
    with pytest.raises(PromptError, match=r"b\.yaml: not YAML: .*take all of it as one text: b\.yaml::"):
        ids(root, "*.yaml")
    assert ids(root, "b.*") == ["b.yaml"]
    assert ids(root, "b.yaml::") == ["b.yaml::"]


def test_an_address_takes_texts_inside_a_file_whatever_they_are_called(root):
    write(root / "a.yaml", DATA)
    write(root / "b.yaml", b"other: b b\nlist: [x, y]\n")
    assert texts(root, "a.yaml::other") == {"a.yaml::other": "nothing of the kind"}
    assert ids(root, "*.yaml::other") == ["a.yaml::other", "b.yaml::other"]
    assert ids(root, "b.yaml::list.*", "a.yaml::o*") == ["a.yaml::other", "b.yaml::list.0", "b.yaml::list.1"]
    assert ids(root, "a.yaml::*") == ["a.yaml::note", "a.yaml::system"]
    assert ids(root, "a.yaml::") == ["a.yaml::"]


def test_a_chat_message_is_addressed_by_place_or_by_role(root):
    chat = b"chat:\n- {role: system, content: a b}\n- {role: user, content: c d}\n- {role: user, content: e f}\n"
    write(root / "a.yaml", chat)
    for address in ("chat.0.content", "chat[0].content", "chat.system.content", "chat.system"):
        assert texts(root, f"a.yaml::{address}") == {"a.yaml::chat.0.content": "a b"}
    with pytest.raises(PromptError, match=r"several messages .*: chat\.1\.content, chat\.2\.content"):
        ids(root, "a.yaml::chat.user")
    assert ids(root, "a.yaml::**.user") == ["a.yaml::chat.1.content", "a.yaml::chat.2.content"]


def test_odd_keys_are_quoted_in_ids(root):
    write(root / "a.json", b'{"a.b": {"c d": "x y", "": ["z z"]}}')
    assert ids(root, "a.json::**.*d", 'a.json::"a.b"."".0') == ['a.json::"a.b"."".0', 'a.json::"a.b"."c d"']


def test_an_address_that_leads_nowhere_is_an_error_that_shows_what_is_there(root):
    write(root / "a.yaml", DATA)
    write(root / "b.md")
    with pytest.raises(PromptError, match=r"a\.yaml::sytem: no text is there; a\.yaml has system$"):
        ids(root, "a.yaml::sytem")
    with pytest.raises(PromptError, match=r"no text is there; a\.yaml has system, note, other"):
        ids(root, "a.yaml::zzz")
    with pytest.raises(PromptError, match="no text is there"):
        ids(root, "a.yaml::z*")
    write(root / "p.py", b"GREETING = 'Hello there'\n")
    with pytest.raises(PromptError, match=r"no text there looks like a prompt; p\.py has GREETING"):
        ids(root, "p.py::*")
    with pytest.raises(PromptError, match=r"b\.md is a text without fields"):
        ids(root, "b.md::x")
    assert ids(root, "*::zzz", "*.yaml::zzz", "*::x.*") == []


def test_a_text_that_is_refused_says_why(root):
    write(root / "a.yaml", b"x: &a Be brief.\ny: *a\nz: {k: *a}\n")
    write(root / "p.py", b'N = 1\n\nSYSTEM = f"{N}"\nD = {"a": SYSTEM}\n')
    for address in ("y", "z.k"):
        with pytest.raises(PromptError, match=rf"^a\.yaml::{address}: it is an alias of .* line 1; address x$"):
            ids(root, f"a.yaml::{address}")
    with pytest.raises(PromptError, match=r"^p\.py::SYSTEM: an f-string \(line 3\) cannot be changed safely; keep"):
        ids(root, "*.py::SYSTEM")
    with pytest.raises(PromptError, match=r"^p\.py::D\.a: it is another name for SYSTEM"):
        ids(root, "p.py::D.a")
    with pytest.raises(PromptError, match=r"D\.b: no text is there"):
        ids(root, "p.py::D.b")


PROGRAM = b'''"""Module."""
SYSTEM = "Be brief."
SQL_NAME = "a b"
HELP = """
One.
Two.
"""
class Router:
    """Routes.

    Well.
    """
    TEMPLATE = "Say {x}."
PROMPTS = {"a": "A a.", "b": 1}
F = f"{SYSTEM}"
'''


def test_a_program_gives_its_constants_by_name_and_those_like_prompts_by_a_star(root):
    write(root / "app.py", PROGRAM)
    assert ids(root, "app.py::*") == ["app.py::HELP", "app.py::SYSTEM"]
    assert ids(root, "app.py::**") == [
        *["app.py::HELP", "app.py::PROMPTS.a", "app.py::Router.TEMPLATE", "app.py::SYSTEM"]
    ]
    assert ids(root, "app.py::Router.*", "*.py::SQL*") == [
        *["app.py::Router.TEMPLATE", "app.py::Router.__doc__", "app.py::SQL_NAME"]
    ]
    assert texts(root, "app.py::Router.__doc__") == {"app.py::Router.__doc__": "Routes.\n\nWell."}
    assert ids(root, "app.py") == ["app.py"]
    assert ids(root, "*.py::") == ["app.py"]


def test_a_program_with_a_call_shows_the_texts_in_it(root):
    write(root / "app.py", b'SYSTEM = Template("Be brief.", name="x")\n')
    with pytest.raises(PromptError, match=r"app\.py::SYSTEM: no text is there; app\.py has SYSTEM\.0, SYSTEM\.name"):
        ids(root, "app.py::SYSTEM")


def test_front_matter_gives_its_body_and_fields_only_when_addressed(root):
    data = b"---\nname: a b\nsystem: c d\n---\nBe brief.\n"
    for name in ("a.prompty", "b.prompt", "c.md"):
        write(root / "prompts" / name, data)
    write(root / "prompts/d.txt", data)
    found = texts(root, *DEFAULT_PATTERNS)
    assert found["prompts/a.prompty"] == found["prompts/b.prompt"] == found["prompts/c.md"] == "Be brief.\n"
    assert found["prompts/d.txt"] == data.decode()
    assert texts(root, "prompts/c.md::name") == {"prompts/c.md::name": "a b"}
    assert texts(root, "prompts/c.md::") == {"prompts/c.md::": data.decode()}
    assert ids(root, "prompts/*.md::*") == ["prompts/c.md::system"]


def test_a_folder_with_an_address_takes_every_file_that_has_such_texts(root):
    write(root / "app/a.py", PROGRAM)
    write(root / "app/b.yaml", b"SYSTEM: x\n")
    write(root / "app/c.md")
    assert ids(root, "app::SYSTEM") == ["app/a.py::SYSTEM", "app/b.yaml::SYSTEM"]


def test_a_name_with_colons_is_refused(root):
    write(root / "prompts/a::b.md")
    with pytest.raises(PromptError, match=r"prompts/a::b\.md: :: in a file's name"):
        ids(root, *DEFAULT_PATTERNS)
    with pytest.raises(PromptError, match="stands there twice"):
        ids(root, "prompts/a::b.md::x")


def test_data_outside_the_rootdir_is_refused_like_any_file(root, tmp_path):
    write(tmp_path / "all.yaml", DATA)
    (root / "all.yaml").symlink_to(tmp_path / "all.yaml")
    with pytest.raises(PromptError, match="outside the rootdir"):
        ids(root, "all.yaml::system")


def test_a_symlinked_data_file_is_read_as_what_it_leads_to(root):
    write(root / "real/all.yaml", DATA)
    (root / "prompts").mkdir()
    (root / "prompts/linked.yaml").symlink_to("../real/all.yaml")
    assert ids(root, "prompts/*.yaml::system", "real/all.yaml::system") == ["real/all.yaml::system"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.py", "# coding: latin-1\nS = 'é'\n".encode("latin-1"), "UTF-8"),
        ("a.py", b"# coding: latin-1\nS = 'e'\n", "declare another encoding"),
        ("a.sh", b"\xff", "UTF-8"),
    ],
)
def test_code_as_a_whole_must_be_utf_8(root, name, data, message):
    write(root / name, data)
    with pytest.raises(PromptError, match=rf"{name}: .*{message}"):
        ids(root, name)


def test_parsers_are_imported_only_for_files_that_need_them(root):
    write(root / "prompts/a.md")
    write(root / "prompts/b.txt")
    script = (
        "import sys; from pathlib import Path; from pytest_gepa.prompts.finding import find_components;"
        "root = Path(sys.argv[1]); found = find_components(root, root, ['prompts']);"
        "print(len(found), {'yaml', 'tomlkit'} & {*sys.modules} - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; before = {{*sys.modules}}; {script}", str(root)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["2", "set()"]
