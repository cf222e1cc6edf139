"""What is told of a child session that has ended early: the end of its log, without secrets."""

from __future__ import annotations

from pathlib import Path

from pytest_gepa.suite.evaluate import LOG_CHARACTERS
from pytest_gepa.suite.job import Job
from pytest_gepa.suite.places import Limit
from pytest_gepa.suite.runner import Emit
from tests.suite.world import Build, evaluate

CASE = "test_one.py::test_one"
KEY = "ghp_Ab3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0fGxY12"


class LoggingRunner:
    """Runs nothing: its sessions leave a log, and no word of a case."""

    name = "logging"

    def __init__(self, log: str) -> None:
        self._log = log

    def run(self, job: Job, emit: Emit, limit: Limit) -> None:
        Path(job.temp).with_name(f"{job.id}.log").write_text(self._log, encoding="utf-8")

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


def last_words(build: Build, log: str) -> str:
    suite = build({}).suite(LoggingRunner(log), [CASE])
    return evaluate(suite).rollouts[CASE].trajectory.failure


def test_they_are_the_last_lines_of_its_log(build: Build) -> None:
    assert last_words(build, "one\ntwo\nthree\nfour\n") == (
        "the child session ended early; its last words: two / three / four"
    )


def test_of_a_key_that_the_cut_goes_through_nothing_is_told(build: Build) -> None:
    kept = 20
    after = ("word " * LOG_CHARACTERS)[: LOG_CHARACTERS - kept - 1]
    said = last_words(build, f"started\nthe key is {KEY} {after}")

    assert said.endswith(after[-100:].strip())
    assert KEY[-kept:] not in said
