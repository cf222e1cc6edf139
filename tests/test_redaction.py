"""Records of ours without secrets: what others have written is redacted, whatever we find things by is not."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.codec import to_json
from pytest_gepa.errors import HookError
from pytest_gepa.evolve.tasks import CaseResult, Decision, Evaluated, Reflected
from pytest_gepa.front import modes
from pytest_gepa.front.audit import _clean as without_secrets_by_line
from pytest_gepa.front.session import end_steps
from pytest_gepa.own import OwnName
from pytest_gepa.prompts.examples import Example
from pytest_gepa.redaction import _hints, redact_between, without_secrets
from pytest_gepa.reflect.propose import ProposedEdit
from pytest_gepa.report.audit_result import AuditResult, PromptCoverage
from pytest_gepa.run.journal import OWN_FIELDS, Journal, as_fields, read_journal, rollout_fields
from pytest_gepa.run.last_steps import LastSteps
from pytest_gepa.suite.rollout import Case, Grade, Outcome, Rollout
from pytest_gepa.trace.record import StrayCall
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.trace.trajectory import Call, Message, Trajectory

SECRET = "123456"
redact = Redactor({}, [r"\d{6}"]).redact


class Colour(str, Enum):
    red = "123456 red"


@dataclass(frozen=True)
class Record:
    ours: OwnName = SECRET
    theirs: str = SECRET
    either: OwnName | None = SECRET
    names: tuple[OwnName, ...] = (SECRET, SECRET)
    said: tuple[str, ...] = (SECRET,)
    pair: tuple[OwnName, str] = (SECRET, SECRET)
    texts: Mapping[OwnName, str] | None = None
    told: Mapping[str, OwnName] | None = None
    colour: Colour = Colour.red
    number: int = 123456
    untyped: object = None
    inner: Record | None = None


def test_the_types_tell_what_is_ours() -> None:
    record = Record(
        texts={SECRET: SECRET},
        told={SECRET: SECRET},
        untyped={"ours": [SECRET, {SECRET: 123456}]},
        inner=Record(),
    )
    hidden = "[redacted]"

    clean = without_secrets(record, redact)

    assert clean == Record(
        ours=SECRET,
        theirs=hidden,
        either=SECRET,
        names=(SECRET, SECRET),
        said=(hidden,),
        pair=(SECRET, hidden),
        texts={SECRET: hidden},
        told={hidden: SECRET},
        colour=Colour.red,
        number=123456,
        untyped={"ours": [hidden, {hidden: 123456}]},
        inner=Record(theirs=hidden, said=(hidden,), pair=(SECRET, hidden)),
    )


def test_what_holds_no_secret_is_the_same_object() -> None:
    message = Message("user", "hello")
    rollout = Rollout("c", "i", "t", Outcome.failed, 0.0, Trajectory((Call("k", "m", (message,), None),)))

    assert without_secrets(rollout, redact) is rollout


def test_names_of_ours_stand_in_a_sentence_as_they_are() -> None:
    sentence = "kept in frontier/123456abcdef.patch for customer 123456"

    assert redact_between(sentence, ["frontier/123456abcdef.patch"], redact) == (
        "kept in frontier/123456abcdef.patch for customer [redacted]"
    )
    assert redact_between(sentence, [], redact) == "kept in frontier/[redacted]abcdef.patch for customer [redacted]"


SAID = "Account 123456."
CASE = Case("t.py::test_111111[0]", "t.py::test_111111[123456]", SAID, (("who", SAID),))
CALL = Call("222222" * 8, "model-123456", (Message("user", SAID),), Message("assistant", SAID))
ROLLOUT = Rollout(
    "333333abcdef",
    CASE.id,
    "2026-11-24-1.444444ab/confirm/0",
    Outcome.failed,
    0.5,
    Trajectory((CALL,), failure=SAID),
    SAID,
    (Grade("name 123456", 0.5, SAID),),
    uses=("prompts/555555.md",),
)
RECORDS = {
    "run": {"run": "2026-11-24-1.444444ab", "cases": (CASE,), "components": {"prompts/555555.md": SAID}},
    "rollout": rollout_fields(ROLLOUT),
    "decision": as_fields(Decision("accepted", "333333abcdef", "666666abcdef", SAID)),
    "event": {
        "type": "Evaluated",
        "event": Evaluated("333333abcdef", {CASE.id: CaseResult(0.5, keys="777777", text=SAID)}),
    },
    "reply": {
        "type": "Reflected",
        "event": Reflected("888888-1", {"prompts/555555.md": SAID}, SAID, {"prompts/555555.md": SAID}, (SAID,)),
    },
    "reflect": {"proposal": "888888-1", "components": ("prompts/555555.md",), "failing": (CASE.id,)},
    "proposal": {
        "id": "888888-1",
        **as_fields(
            ProposedEdit(
                "prompts/555555.md",
                SAID,
                SAID,
                (("t.py::test_x[123456]", SAID, SAID),),
                examples=(Example(CASE.id, "prompts/555555.md", SAID),),
            )
        ),
    },
    "stray": {"calls": (StrayCall(CALL, CASE.id, CASE.id),)},
}
OURS = ("111111", "222222", "333333", "444444", "555555", "666666", "777777", "888888")


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("pattern", [r"\d{6}", r"[0-9a-f]+", r"\d", r"(?s).+"])
def test_a_journal_keeps_its_names_and_no_secret(tmp_path: Path, kind: str, pattern: str) -> None:
    """Whatever a user's pattern matches."""
    journal = Journal(tmp_path / "journal.jsonl", Redactor({}, [pattern]).redact)
    journal.write(kind, **RECORDS[kind])
    journal.close()

    (record,) = read_journal(tmp_path / "journal.jsonl")
    line, before = json.dumps(record), json.dumps(to_json(RECORDS[kind]))
    assert SECRET not in line
    told = {name for name in OURS if name in before}
    assert told
    # The name of the test is in the id and, as pytest prints it, in the nodeid.
    assert {name for name in OURS if name in line} == told


@pytest.mark.parametrize("kind", [Rollout, Decision, ProposedEdit])
def test_what_a_record_is_spread_of_keeps_its_own_names(kind: type) -> None:
    """A journal knows the fields of these by their names alone."""
    hints = _hints(kind)
    ours = {one.name: hints[one.name] for one in fields(kind) if "own" in str(hints[one.name])}

    assert ours
    assert {name: OWN_FIELDS.get(name) for name in ours} == ours


@given(st.from_regex(r"\A[0-9a-f]{12}\Z"), st.sampled_from([r"\d", r"\d+", r"[a-f]", r"[0-9a-f]{2,}", "."]))
def test_an_id_stays_whatever_a_pattern_matches(name: str, pattern: str) -> None:
    hide = Redactor({}, [pattern]).redact
    decision = without_secrets(Decision("accepted", name, name, f"{name} did better"), hide)

    assert (decision.kind, decision.candidate, decision.parent) == ("accepted", name, name)
    assert decision.reason == hide(f"{name} did better")


def test_the_prompt_of_an_audit_keeps_its_lines() -> None:
    """Marks stand beside them."""
    text = "one\n<private>\nACME\n</private>\ntwo\n"
    prompt = PromptCoverage("prompts/123456.md", "prompts/123456.md", text, (1, 2, 3, 4, 5, 6), 0, 0)
    found = AuditResult("2026-11-24-1", True, 1, 1, 1, prompts=(prompt,))
    clean = without_secrets_by_line(found, Redactor({}, ["(?s)<private>.*?</private>", r"\d+"]).redact)

    hidden = "[redacted]\n"
    assert clean == replace(found, prompts=(replace(prompt, text=f"one\n{3 * hidden}two\n"),))


# What is printed

TOKEN = "t0pS3cret-of-billing"
PATTERNS = (r"(?s)<private>.*?</private>", r"\d{6}")


def fail(error: BaseException) -> None:
    raise error


def test_an_error_that_ends_a_run_is_told_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_TOKEN", TOKEN)
    monkeypatch.setattr(modes, "_run", lambda *_: fail(HookError(f"it raised KeyError: {TOKEN} of {SECRET}")))
    session: Any = None
    settings: Any = SimpleNamespace(redact=PATTERNS)

    with pytest.raises(pytest.UsageError) as caught:
        modes.run_mode(session, settings)

    assert str(caught.value) == "gepa: it raised KeyError: [redacted] of [redacted]"


def test_so_is_what_failed_at_its_end() -> None:
    """Looked at whole: what is between two marks of the user's is a secret over several lines."""
    steps, stream = LastSteps(), io.StringIO()
    steps.take(lambda: fail(ValueError("the first")))
    steps.take(lambda: fail(OSError(f"no\nspace for {TOKEN}, <private>\nACME\n</private>")))

    with pytest.raises(ValueError, match="the first"):
        end_steps(steps, stream, Redactor({"BILLING_TOKEN": TOKEN}, [r"(?s)<private>\n.*?\n</private>"]).redact)

    assert stream.getvalue() == ("gepa: also failed at the end: OSError: no space for [redacted], [redacted]\n")
