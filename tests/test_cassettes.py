"""Projects whose answers come from cassettes: no prompt has an effect there, and every mode says so."""

from __future__ import annotations

import pytest

from tests.harness import PROMPT, SDK_APP, TODAY, Project, Run

CASSETTE = """\
import httpx2

ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 0,
    "model": "task",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "one-FRU"}, "finish_reason": "stop"}],
}


def answer(request):
    return httpx2.Response(200, json=ANSWER, request=request)


# A function of vcrpy stands in the place of the transport's.
played = {"__name__": "vcr.stubs.httpx_stubs", "answer": answer}
exec("def play(self, request): return answer(request)", played)
httpx2.HTTPTransport.handle_request = played["play"]
"""


@pytest.fixture
def played(project: Project) -> Project:
    project.write({"app.py": SDK_APP, "conftest.py": CASSETTE})
    return project


def tells(run: Run) -> None:
    assert run.code == 4, run.everything
    assert "every answer was played from a cassette (vcrpy)" in run.everything
    assert "--disable-recording" in run.everything
    assert run.task_requests == []


@pytest.mark.thorough
def test_no_reflection_is_paid_for_a_prompt_that_no_answer_goes_by(played: Project) -> None:
    run = played.optimize()
    tells(run)
    assert run.reflections == []


def test_a_check_does_not_say_that_nothing_is_worse(played: Project) -> None:
    played.commit()
    played.write({PROMPT: TODAY + "Be brief.\n"})
    run = played.pytest("--gepa-check")
    tells(run)
    run.matches("verdict * not finished: nothing was compared, as every answer was played from a cassette *")


@pytest.mark.thorough
def test_an_audit_does_not_say_that_no_case_notices(played: Project) -> None:
    tells(played.pytest("--gepa-audit"))
