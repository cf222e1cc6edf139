from __future__ import annotations

import threading
from fractions import Fraction

import pytest

from pytest_gepa.trace.recorder import Recorded, Recorder, as_text
from pytest_gepa.trace.trajectory import Call, Step


def call(name: str) -> Call:
    return Call(key=name, model="m", request=(), answer=None)


def test_a_case_collects_calls_steps_score_and_reads() -> None:
    recorder = Recorder()
    recorder.begin("a")
    assert recorder.current == "a"
    recorder.add_call(call("1"))
    recorder.log("docs", ["x", "é"])
    recorder.score(0.25, "too long")
    recorder.add_read("prompts/b.md")
    recorder.add_read("prompts/a.md")
    recorder.add_read("prompts/b.md")
    assert recorder.end() == Recorded(
        calls=(call("1"),),
        steps=(Step("docs", '["x", "é"]'),),
        score=0.25,
        feedback="too long",
        reads=("prompts/a.md", "prompts/b.md"),
    )
    assert recorder.current is None


def test_the_next_case_starts_empty() -> None:
    recorder = Recorder()
    recorder.begin("a")
    recorder.add_call(call("1"))
    recorder.log("x", 1)
    recorder.score(1)
    recorder.add_read("p")
    recorder.end()
    recorder.begin("b")
    assert recorder.end() == Recorded()


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
    recorder.add_read("p")
    recorder.begin("a")
    assert recorder.end() == Recorded()
    recorder.add_call(call("late"))
    assert [stray.key for stray in recorder.stray] == ["early", "late"]


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


@pytest.mark.parametrize("value", [0, 1, 0.5, True, Fraction(1, 3)])
def test_numbers_from_0_to_1_are_scores(value: object) -> None:
    recorder = Recorder()
    recorder.begin("a")
    recorder.score(value)
    assert recorder.end().score == pytest.approx(float(value))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan"), float("inf"), "0.5", None, [1], 1j])
def test_other_values_are_no_scores(value: object) -> None:
    recorder = Recorder()
    with pytest.raises(ValueError, match="number from 0 to 1"):
        recorder.score(value)


def test_a_later_score_replaces_the_one_before() -> None:
    recorder = Recorder()
    recorder.begin("a")
    recorder.score(0.2, "early")
    recorder.score(0.8)
    recorded = recorder.end()
    assert (recorded.score, recorded.feedback) == (0.8, "")


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
