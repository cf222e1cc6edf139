from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.reflect.fit import EvidencePart, Rank, Section, fit, least_size, thin
from pytest_gepa.trace.cut import byte_length, cut_middle

PARTS = st.builds(
    EvidencePart,
    label=st.sampled_from(["user:", "Answer:", ""]),
    text=st.one_of(st.text(max_size=60), st.integers(0, 5000).map(lambda n: "ab é\n" * n)),
    rank=st.sampled_from(Rank),
)
SECTIONS = st.lists(st.builds(Section, st.just("case"), st.lists(PARTS, max_size=6).map(tuple)), max_size=4)


def size(sections: list[Section]) -> int:
    return sum(byte_length(part.label) + byte_length(part.text) + 12 for s in sections for part in s.parts) + sum(
        30 + byte_length(s.title) for s in sections
    )


@given(SECTIONS, st.integers(0, 60_000))
def test_parts_fit_the_limit_or_stand_at_their_floors(sections: list[Section], limit: int) -> None:
    fitted = fit(sections, limit)
    assert size(fitted) <= max(limit, sum(map(least_size, sections)))


@given(SECTIONS, st.integers(0, 60_000))
def test_a_failure_is_cut_only_when_nothing_else_can_be(sections: list[Section], limit: int) -> None:
    fitted = fit(sections, limit)
    pairs = [pair for s, f in zip(sections, fitted, strict=True) for pair in zip(s.parts, f.parts, strict=True)]
    if any(before != after for before, after in pairs if before.rank is Rank.failure):
        floors = {Rank.input: 160, Rank.answer: 240}
        rest = [after for before, after in pairs if before.rank is not Rank.failure]
        assert all(byte_length(part.text) <= floors.get(part.rank, 48) for part in rest)


@given(st.text(max_size=3000), st.integers(0, 3000))
def test_a_cut_text_keeps_both_ends_and_counts_the_rest(text: str, limit: int) -> None:
    cut = cut_middle(text, limit)
    if cut == text:
        return
    assert byte_length(cut) <= max(limit, 48)
    head, _, rest = cut.partition("[... ")
    count, _, tail = rest.partition(" characters cut ...]")
    head, tail = head.removesuffix("\n"), tail.removeprefix("\n")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head) + len(tail) + int(count.replace(",", "")) == len(text)


def test_a_short_text_is_not_touched() -> None:
    assert cut_middle("short", 5) == "short"


def test_cuts_fall_on_line_ends_where_one_is_near() -> None:
    assert cut_middle("a line of words\n" * 100, 200) == (
        "a line of words\n" * 4 + "[... 1,473 characters cut ...]\n" + "a line of words\n" * 4
    )


def test_the_least_telling_parts_are_cut_first() -> None:
    section = Section("s", tuple(EvidencePart(rank.name, "word " * 400, rank) for rank in Rank))
    fitted = fit([section], 8_500)[0]
    cut = {part.label.split()[0] for part, old in zip(fitted.parts, section.parts, strict=True) if part != old}
    assert cut == {"output", "reasoning"}


def test_thinning_keeps_inputs_answers_failures_and_both_ends() -> None:
    middle = [EvidencePart(f"step {n}", "x" * 10, Rank.middle) for n in range(30)]
    section = Section("s", (EvidencePart("in", "x", Rank.input), *middle, EvidencePart("failure", "x", Rank.failure)))
    labels = [part.label for part in thin(section, 11).parts]
    assert labels == [
        "in",
        *(f"step {n}" for n in range(3)),
        "[... 21 parts of this run, 210 characters, cut ...]",
        *(f"step {n}" for n in range(24, 30)),
        "failure",
    ]
    assert thin(section, 100) is section
