from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest

from pytest_gepa.trace import renderings
from pytest_gepa.trace.renderings import MOST_CHARACTERS, MOST_RENDERINGS, Rendering

TEXT = "Summarise {{ text }} in {{ n }} words.\n"
OTHER = "{% for item in items %}- {{ item.name }}\n{% endfor %}"


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "prompts" / "sum.j2"
    path.parent.mkdir()
    path.write_text(TEXT, encoding="utf-8")
    renderings.install({"prompts/sum.j2": TEXT, "all.yaml::list": OTHER}, {str(path): "prompts/sum.j2"})
    yield path
    renderings.uninstall()


def taken() -> list[tuple[str, object]]:
    return [(one.component, json.loads(one.variables)) for one in renderings.taken(str)]


def test_a_template_of_a_file_is_known_by_its_path(watched: Path) -> None:
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(watched.parent))
    assert environment.get_template("sum.j2").render(text="a b c", n=2) == "Summarise a b c in 2 words."
    assert taken() == [("prompts/sum.j2", {"n": 2, "text": "a b c"})]


def test_a_template_made_of_a_string_is_known_by_its_text(watched: Path) -> None:
    jinja2.Template(OTHER.strip()).render({"items": [{"name": "x"}]})
    jinja2.Environment().from_string(f"---\nmodel: x\n---\n{TEXT}").render(text="t", n=1)
    jinja2.Environment(loader=jinja2.DictLoader({"s": TEXT})).get_template("s").render(text="u", n=1)
    jinja2.Template("Something else {{ text }}").render(text="t")
    assert taken() == [
        ("all.yaml::list", {"items": [{"name": "x"}]}),
        ("prompts/sum.j2", {"n": 1, "text": "t"}),
        ("prompts/sum.j2", {"n": 1, "text": "u"}),
    ]
    assert taken() == []


def test_every_way_of_rendering_is_seen_and_gives_what_it_gave(watched: Path) -> None:
    plain = jinja2.Template(TEXT)
    assert "".join(plain.generate(text="a", n=1)) == "Summarise a in 1 words."
    assert "".join(plain.stream(text="b", n=1)) == "Summarise b in 1 words."

    async def render() -> tuple[str, str]:
        template = jinja2.Environment(enable_async=True).from_string(TEXT)
        pieces = [str(piece) async for piece in template.generate_async(text="d", n=1)]
        return await template.render_async(text="c", n=1), "".join(pieces)

    assert asyncio.run(render()) == ("Summarise c in 1 words.", "Summarise d in 1 words.")
    assert [variables["text"] for _, variables in taken()] == ["a", "b", "d", "c"]  # type: ignore[index]


def test_what_a_template_is_given_as_globals_is_kept_too(watched: Path) -> None:
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(watched.parent))
    environment.globals["n"] = 7
    environment.get_template("sum.j2", globals={"text": "g"}).render()
    assert taken() == [("prompts/sum.j2", {"n": 7, "text": "g"})]


def test_values_are_kept_small_and_what_json_does_not_have_is_left_out(watched: Path) -> None:
    loop: list[object] = []
    loop.append(loop)
    jinja2.Template(TEXT).render(
        text="x" * 9_000,
        n=object(),
        items=list(range(99)),
        pair=(1, 2),
        few={3, 1},
        loop=loop,
        deep={"a": {"b": 1}},
    )
    ((_, variables),) = taken()
    assert variables == {
        "text": "x" * 400,
        "items": list(range(12)),
        "pair": [1, 2],
        "few": [1, 3],
        "deep": {"a": {"b": 1}},
    }


def test_a_rendering_and_a_case_have_their_bounds(watched: Path) -> None:
    template = jinja2.Template(TEXT)
    for number in range(MOST_RENDERINGS + 4):
        template.render(text="t", n=number)
    assert len(taken()) == MOST_RENDERINGS
    template.render(n=1, **{f"v{number}": "x" * 400 for number in range(50)})
    (one,) = renderings.taken(str)
    assert len(one.variables) <= MOST_CHARACTERS
    assert '"n": 1' in one.variables


def test_the_same_rendering_is_kept_once(watched: Path) -> None:
    for _ in range(3):
        jinja2.Template(TEXT).render(text="t", n=1)
    assert len(taken()) == 1


def test_secrets_are_taken_out_of_names_and_values(watched: Path) -> None:
    jinja2.Template(TEXT).render(text="the key is k-1", n={"k-1": ["k-1"]})
    (one,) = renderings.taken(lambda text: text.replace("k-1", "[redacted]"))
    assert one == Rendering("prompts/sum.j2", '{"n": {"[redacted]": ["[redacted]"]}, "text": "the key is [redacted]"}')


def test_arguments_that_can_be_read_once_reach_the_template(watched: Path) -> None:
    pairs = iter([("text", "once"), ("n", 1)])
    assert jinja2.Template(TEXT).render(pairs) == "Summarise once in 1 words."
    assert taken() == []


def test_errors_are_those_of_jinja2(watched: Path) -> None:
    with pytest.raises(jinja2.UndefinedError):
        jinja2.Template("{{ a.b }}").render()
    with pytest.raises(jinja2.TemplateSyntaxError):
        jinja2.Template("{% if %}")


def test_nothing_is_noted_or_patched_after_the_end(watched: Path) -> None:
    renderings.uninstall()
    jinja2.Template(TEXT).render(text="t", n=1)
    assert taken() == []
    assert jinja2.Template.render.__module__ == "jinja2.environment"
    assert "wrapped" not in repr(vars(jinja2.Template.render))


def test_jinja2_is_watched_for_and_not_imported() -> None:
    code = (
        "import sys\n"
        "from pytest_gepa.trace import renderings\n"
        f"renderings.install({{'p': {TEXT!r}}}, {{}})\n"
        "assert 'jinja2' not in sys.modules\n"
        "import jinja2\n"
        f"jinja2.Template({TEXT!r}).render(text='t', n=1)\n"
        "print(renderings.taken(str)[0].component)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "p\n"
