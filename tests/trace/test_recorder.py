from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from pytest_gepa.trace.record import Recorded, Score, as_text
from pytest_gepa.trace.recorder import FIRST_OF_FIXTURE, Recorder
from pytest_gepa.trace.trajectory import Call, Step


def call(name: str) -> Call:
    return Call(key=name, model="m", request=(), answer=None)


def test_a_case_collects_calls_steps_score_and_reads() -> None:
    recorder = Recorder()
    recorder.begin("a")
    recorder.add_call(call("1"))
    recorder.log("docs", ["x", "é"])
    recorder.score(0.25, "too long")
    recorder.add_read("prompts/b.md")
    recorder.add_read("prompts/a.md")
    recorder.add_read("prompts/b.md")
    assert recorder.end() == Recorded(
        calls=(call("1"),),
        steps=(Step("docs", '["x", "é"]'),),
        made=(call("1"),),
        scores=(Score("", 0.25, "too long"),),
        reads=("prompts/a.md", "prompts/b.md"),
    )


def test_the_next_case_starts_empty() -> None:
    recorder = Recorder()
    recorder.begin("a")
    recorder.add_call(call("1"))
    recorder.log("x", 1)
    recorder.score(1)
    recorder.add_read("p")
    recorder.end()
    recorder.begin("b")
    assert recorder.end() == Recorded(imported=("p",), carried=("p",))


def test_only_one_case_runs_at_a_time() -> None:
    recorder = Recorder()
    recorder.begin("a")
    with pytest.raises(RuntimeError, match="a is still running"):
        recorder.begin("b")
    recorder.end()
    with pytest.raises(RuntimeError, match="no case"):
        recorder.end()


def test_calls_of_no_case_are_stray_and_logs_of_no_case_are_dropped() -> None:
    recorder = Recorder()
    recorder.add_call(call("early"))
    recorder.log("x", 1)
    recorder.score(0.5)
    recorder.begin("a")
    assert recorder.end() == Recorded()
    recorder.add_call(call("late"))
    recorder.add_read("p")
    recorder.begin("b")
    assert recorder.end() == Recorded(imported=("p",), carried=("p",))
    assert [stray.call.key for stray in recorder.stray] == ["early", "late"]


def test_calls_keep_the_order_of_their_start_and_a_late_end_is_dropped() -> None:
    recorder = Recorder()
    recorder.begin("a")
    first, second = recorder.add_call(call("first")), recorder.add_call(call("second"))
    second.put(call("second, ended"))
    recorded = recorder.end()
    first.put(call("first, ended too late"))
    assert [item.key for item in recorded.calls] == ["first", "second, ended"]


def test_identical_requests_are_numbered_within_their_case() -> None:
    recorder = Recorder()
    recorder.begin("a")
    assert [recorder.claim(key).number for key in ("x", "x", "y", "x")] == [0, 1, 0, 2]
    recorder.end()
    recorder.begin("b")
    assert recorder.claim("x").number == 0


def test_a_number_that_is_released_goes_to_the_retry() -> None:
    recorder = Recorder()
    failed = recorder.claim("x")
    assert recorder.claim("x").number == 1
    recorder.release(failed)
    assert recorder.claim("x").number == 0
    assert recorder.claim("x").number == 2


def test_no_number_is_given_twice_to_concurrent_requests() -> None:
    recorder = Recorder()
    numbers: list[int] = []

    def claim() -> None:
        numbers.extend(recorder.claim("x").number for _ in range(50))

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(400))


def test_a_later_score_of_a_name_replaces_the_one_before_at_its_place() -> None:
    recorder = Recorder()
    recorder.begin("a")
    recorder.score(0.2, "early", "tone")
    recorder.score(0.5, "", "facts")
    recorder.score(0.8, name="tone")
    assert recorder.end().scores == (Score("tone", 0.8), Score("facts", 0.5))


def test_what_a_wider_fixture_did_belongs_to_each_case_that_uses_it_and_comes_first() -> None:
    recorder = Recorder()
    recorder.begin("a")
    recorder.add_call(call("before"))
    held = recorder.hold()
    recorder.add_call(call("fixture"))
    recorder.add_read("p")
    recorder.let_go(held)
    recorder.add_call(call("after"))
    first = recorder.end()
    recorder.begin("b")
    recorder.add_call(call("own"))
    second = recorder.end([held])
    recorder.begin("c")
    third = recorder.end()

    shared = replace(call("fixture"), shared=True)
    assert (first.calls, first.reads) == ((shared, call("before"), call("after")), ("p",))
    assert (second.calls, second.reads) == ((shared, call("own")), ("p",))
    assert (third.calls, third.reads) == ((), ())
    assert [[made.key for made in record.made] for record in (first, second)] == [
        ["fixture", "before", "after"],
        ["own"],
    ]


def test_a_fixture_brings_those_that_it_is_built_on_and_those_that_it_asked_for() -> None:
    recorder = Recorder()
    recorder.begin("a")
    base = recorder.hold()
    recorder.add_call(call("base"))
    recorder.let_go(base)
    outer = recorder.hold([base])
    inner = recorder.hold()
    recorder.add_call(call("inner"))
    recorder.let_go(inner)
    recorder.add_call(call("outer"))
    recorder.let_go(outer)
    recorder.end()
    recorder.begin("b")
    assert [made.key for made in recorder.end([outer, base]).calls] == ["base", "inner", "outer"]
    recorder.begin("c")
    assert [made.key for made in recorder.end([inner]).calls] == ["inner"]


def test_the_numbers_of_a_fixture_s_requests_do_not_hang_on_the_case() -> None:
    recorder = Recorder()
    recorder.begin("a")
    numbers = [recorder.claim("x").number]
    held = recorder.hold()
    numbers.append(recorder.claim("x").number)
    recorder.let_go(held)
    numbers.append(recorder.claim("x").number)
    # Nor does a request of the case get the answer of one that the fixture made.
    assert numbers == [0, FIRST_OF_FIXTURE, 1]


def test_calls_in_the_teardown_of_a_wider_fixture_are_stray() -> None:
    recorder = Recorder()
    recorder.begin("a")
    recorder.leave()
    recorder.add_call(call("teardown"))
    recorder.return_to()
    recorder.add_call(call("own"))
    assert [made.key for made in recorder.end().calls] == ["own"]
    assert [stray.call.key for stray in recorder.stray] == ["teardown"]


def test_a_hold_that_outlives_its_case_leaves_the_next_one_alone() -> None:
    recorder = Recorder()
    recorder.begin("a")
    held = recorder.hold()
    recorder.end()
    recorder.begin("b")
    recorder.let_go(held)
    recorder.return_to()
    recorder.add_call(call("own"))
    assert recorder.end().calls == (call("own"),)


def test_what_a_process_has_read_may_be_known_to_every_later_case() -> None:
    recorder = Recorder()
    recorder.add_read("p")
    recorder.begin("a")
    recorder.add_read("q")
    first = recorder.end()
    recorder.begin("b")
    second = recorder.end()
    assert (first.reads, first.imported, first.carried) == (("q",), ("p",), ())
    assert (second.reads, second.imported, second.carried) == ((), ("p", "q"), ("q",))


def test_so_may_what_was_read_for_a_wider_fixture_or_between_cases() -> None:
    recorder = Recorder()
    recorder.begin("a")
    held = recorder.hold()
    recorder.add_read("fixture")
    recorder.let_go(held)
    recorder.end([held])
    recorder.add_read("between")
    recorder.begin("b")
    assert recorder.end().carried == ("between", "fixture")


def test_logged_values_become_text_whatever_they_are() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    loop: list[object] = []
    loop.append(loop)
    assert as_text("plain {}") == "plain {}"
    assert as_text({"a": [1, None]}) == '{"a": [1, null]}'
    assert (
        as_text(
            {
                1,
            }
        )
        == "{1}"
    )
    assert as_text(loop) == "[[...]]"
    assert as_text(Odd()) == "<Odd that has no repr>"


def test_only_the_first_problems_are_kept() -> None:
    recorder = Recorder()
    for number in range(100):
        recorder.add_problem(str(number))
    assert recorder.problems[0] == "0"
    assert len(recorder.problems) == 20


def test_a_tall_tower_of_fixtures_is_walked_once() -> None:
    recorder = Recorder()
    recorder.begin("a")
    top = recorder.hold()
    recorder.let_go(top)
    for number in range(60):
        top = recorder.hold([top, top])
        recorder.add_call(call(str(number)))
        recorder.let_go(top)
    recorder.end()
    recorder.begin("b")
    assert [made.key for made in recorder.end([top]).calls] == [str(number) for number in range(60)]
