"""A rollout told in order, as the parts of one section: parameters, model calls, steps, output, failure.

What the request says elsewhere is replaced by a reference; how much of the rest fits is decided in `fit`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_gepa.prompts.programs import is_program
from pytest_gepa.prompts.summary import one_line
from pytest_gepa.reflect.calls import MOST_ALTERNATIVES, POSTED, manner, ran, said, vectors
from pytest_gepa.reflect.conversation import Conversation, collapsed, last_asked
from pytest_gepa.reflect.edited_prompt import EditedPrompt
from pytest_gepa.reflect.failure import Failure, read_failure
from pytest_gepa.reflect.fit import EvidencePart, Rank, Section
from pytest_gepa.reflect.nearby import nearby
from pytest_gepa.reflect.scrub import scrub, scrub_output
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.cut import MARK_ROOM, byte_length, cut_middle, cut_report, level
from pytest_gepa.trace.trajectory import Call, Message, answers_among

_REPEATED_LEAST = 200
"""A message shorter than this is rather shown again than referred to."""

_OFFERED = 2_000
"""Bytes of what is said of tools and fields."""

_TOLD_CALLS = 4
"""Of the calls that use the prompt to edit, so many, the last ones, keep their input and answer longest."""

_LAST_ANSWER = "Last answer of the program:"

_BRIEF = {"input": 900, "answer": 500, "failure": 1200}
"""Bytes of each text in a short section."""


_Offer = tuple[tuple[str, ...], str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A case and one rollout of it, shown to the reflection model.

    It `was_passing` if it passed under today's prompts and fails now. `expected` is the answer that it wants, where
    that is known; `other` is the same case under another version of the prompts.
    """

    case: Case
    rollout: Rollout
    was_passing: bool = False
    expected: str = ""
    other: Rollout | None = None


class Narrator:
    """Tells rollouts for one request; remembers which long messages earlier sections have shown already."""

    def __init__(self, targets: Sequence[str], components: Mapping[str, str]) -> None:
        """`targets` are the prompts to edit, `components` every prompt's text under the candidate shown."""
        self._texts: dict[str, str] = {}
        for name, text in sorted(components.items(), key=lambda item: (item[0] not in targets, item[0])):
            if text.strip():
                self._texts.setdefault(text.strip(), name)
        self._edited = [EditedPrompt(name, text) for text, name in self._texts.items() if name in targets]
        self._is_program = any(map(is_program, targets))
        self._shown: dict[str, str] = {}
        self._telling: dict[str, str] = {}

    def failing(self, exhibit: Exhibit, number: int) -> Section:
        """All that is known of a failing rollout, in order."""
        failure = _read_failure(exhibit)
        trajectory = exhibit.rollout.trajectory
        about = "\n".join((*(value for _, value in exhibit.case.parameters), failure.printed))
        self._telling = _telling_results(trajectory.calls, about)
        steps = ((f"Logged {one_line(step.name)!r}:", scrub(step.value)) for step in trajectory.steps)
        outputs = ((f"{one_line(title)}:", scrub_output(text).strip("\n")) for title, text in trajectory.output)
        around = [("Code on the way to the failure:", failure.around)]
        before = EvidencePart("It passed under today's prompts, before they were changed.", "", Rank.middle)
        parts = [
            *([before] if exhibit.was_passing else []),
            *self._parameters(exhibit.case),
            *self._calls(trajectory.calls, number),
            *(self._block(label, text, Rank.middle) for label, text in steps),
            *(self._block(label, text, Rank.output) for label, text in (*outputs, *around) if text),
            EvidencePart("Failure:", _said(failure.said, exhibit.rollout), Rank.failure),
            *self._under_other(exhibit),
        ]
        return Section(one_line(exhibit.case.nodeid), tuple(parts))

    def failing_briefly(self, exhibit: Exhibit) -> Section:
        """The input, the answer, what is expected and the failure, for a model that takes in little."""
        shown = [*self._input_and_answer(exhibit, (Rank.input, Rank.answer))]
        # Of a prompt in the middle of a pipeline the test expects no answer.
        if exhibit.expected and not any(part.label == _LAST_ANSWER for part in shown):
            shown.append(
                EvidencePart("Expected answer:", cut_middle(scrub(exhibit.expected), _BRIEF["answer"]), Rank.answer)
            )
        said = _said(_read_failure(exhibit).printed, exhibit.rollout)
        failure = EvidencePart("Failure:", _in_short(said, _BRIEF["failure"]), Rank.failure)
        return Section(one_line(exhibit.case.nodeid), (*shown, failure))

    def passing(self, exhibit: Exhibit) -> Section:
        """The input and the answer that the check accepted."""
        shown = [*self._input_and_answer(exhibit, (Rank.middle, Rank.middle)), *self._under_other(exhibit)]
        called = [
            made.name for call in exhibit.rollout.trajectory.calls if call.answer for made in call.answer.tool_calls
        ]
        if called:
            shown.append(EvidencePart(f"Tools called: {one_line(', '.join(called), 400)}", "", Rank.middle))
        return Section(one_line(exhibit.case.nodeid), tuple(shown))

    def _under_other(self, exhibit: Exhibit) -> Iterator[EvidencePart]:
        """What the program answers under another version of the prompts."""
        if exhibit.other is not None:
            how = "passes" if exhibit.other.outcome is Outcome.passed else "fails"
            answer = cut_middle(scrub(exhibit.other.trajectory.answer), _BRIEF["answer"])
            yield EvidencePart(f"Under the other version it {how}, with the answer:", answer, Rank.middle)

    def _input_and_answer(self, exhibit: Exhibit, ranks: tuple[Rank, Rank]) -> Iterator[EvidencePart]:
        calls = exhibit.rollout.trajectory.calls
        answered = [calls[at] for at in answers_among(calls)]
        call = next(
            (call for call in reversed(answered) if self._uses_edited(call)),
            answered[-1] if answered else None,
        )
        asked = last_asked(call) if call else None
        if call is None or asked is None or self._reference(asked):
            yield from (
                EvidencePart(part.label, cut_middle(part.text, _BRIEF["input"]), ranks[0], part.info)
                for part in self._parameters(exhibit.case)
            )
        else:
            text = self._without_edited(scrub(asked.content))
            yield EvidencePart("Input:", cut_middle(text, _BRIEF["input"]), ranks[0])
        if call is not None and call.answer is not None:
            text = said(call.answer)
            yield self._block("Answer:", cut_middle(text, _BRIEF["answer"]), ranks[1])
            if answered[-1] is not call and answered[-1].answer is not None:
                text = said(answered[-1].answer)
                yield self._block(_LAST_ANSWER, cut_middle(text, _BRIEF["answer"]), ranks[1])

    def _parameters(self, case: Case) -> Iterator[EvidencePart]:
        if case.parameters:
            lines = (f"{name} = {scrub(value)}" for name, value in case.parameters)
            yield EvidencePart("Parameters:", "\n".join(lines), Rank.input)

    def _calls(self, calls: Sequence[Call], number: int) -> Iterator[EvidencePart]:
        groups = collapsed(calls)
        if not groups and not self._is_program:
            yield EvidencePart("No call to a model was seen.", "", Rank.input)
        answered = answers_among([call for call, _ in groups])
        using = [index for index in answered if self._uses_edited(groups[index][0])][-_TOLD_CALLS:]
        first = next((index for index, (call, _) in enumerate(groups) if call.kind != "embedding"), 0)
        conversation = Conversation()
        offered: _Offer = ((), "", ())
        for index, (call, times) in enumerate(groups):
            prefix = f"Call {index + 1}, " if len(groups) > 1 else ""
            prefix += "made once for several cases, " if call.shared else ""
            if call.kind == "embedding":
                yield EvidencePart(_label(prefix, vectors(call)), "", Rank.middle)
                continue
            offer = (call.tools, call.answer_format, call.other_texts)
            yield from self._offer(offer, offered, prefix)
            offered = (
                call.tools or offered[0],
                call.answer_format or offered[1],
                call.other_texts or offered[2],
            )
            is_told = index in using or (index == first and not using)
            known = conversation.known(call)
            yield from self._request(call, prefix, known, Rank.input if is_told else Rank.middle, number)
            conversation.add(call)
            rank = Rank.input if is_told else Rank.middle
            yield from self._outcome(call, prefix, times, Rank.answer if index in answered[-1:] else rank)

    def _offer(self, offer: _Offer, before: _Offer, prefix: str) -> Iterator[EvidencePart]:
        """What a request brings along beside its messages, where it is not as it was before."""
        tools, form, texts = offer
        if tools and tools != before[0]:
            yield EvidencePart(f"{prefix}tools offered: {one_line(', '.join(tools), 400)}", "", Rank.middle)
        names = dict.fromkeys(self._texts[text.strip()] for text in texts if text.strip() in self._texts)
        if names and texts != before[2]:
            where = "in the description of a tool or field"
            yield EvidencePart(f"{prefix}{where}: (the text of {', '.join(names)})", "", Rank.middle)
        unknown = [text for text in texts if text.strip() and text.strip() not in self._texts]
        if unknown and texts != before[2]:
            told = cut_middle(scrub("\n".join(unknown)), _OFFERED)
            if told not in self._shown:
                self._shown[told] = "the descriptions of tools above"
                yield EvidencePart(f"{prefix}descriptions of tools and fields:", told, Rank.middle)
        if form and form != before[1]:
            yield EvidencePart(f"{prefix}form that the answer must have:", scrub(form), Rank.middle)

    def _request(self, call: Call, prefix: str, known: int, rank: Rank, number: int) -> Iterator[EvidencePart]:
        asked = last_asked(call)
        names = {made.id: made.name for message in call.request for made in message.tool_calls}
        # A reference is as short as a word on what was shown, and says more.
        shown = sum(not self._reference(message) for message in call.request[:known])
        if shown:
            several = "message" if shown == 1 else f"{shown} messages"
            yield EvidencePart(f"{prefix}sends {several} shown above again.", "", Rank.middle)
        for at, message in enumerate(call.request):
            if at >= known or self._reference(message):
                its_rank = rank if message is asked else Rank.middle
                told = message if call.kind == "chat" else replace(message, role=POSTED)
                yield from self._message(told, prefix, its_rank, names, number)

    def _message(
        self, message: Message, prefix: str, rank: Rank, names: Mapping[str, str], number: int
    ) -> Iterator[EvidencePart]:
        if message.role == "note":
            yield EvidencePart(f"{prefix}{one_line(scrub(message.content), 400)}", "", Rank.middle)
            return
        label = f"{prefix}{one_line(message.role, 40)}"
        if message.role == "tool" and message.tool_call_id in names:
            label += f" (result of {one_line(names[message.tool_call_id], 80)})"
        if message.role != "assistant" and (reference := self._reference(message)):
            yield EvidencePart(f"{label}: {reference}", "", Rank.middle)
            return
        if len(message.content) >= _REPEATED_LEAST and not message.tool_calls:
            where = self._shown.setdefault(message.content, f"failing case {number}")
            if where != f"failing case {number}":
                yield EvidencePart(f"{label}: (the same text as in {where})", "", Rank.middle)
                return
        if message.reasoning:
            yield self._block(f"{label}, reasoning:", scrub(message.reasoning), Rank.reasoning)
        yield from (EvidencePart(f"{label}, the server ran {name}:", text, Rank.middle) for name, text in ran(message))
        text = said(message)
        if passages := self._telling.get(text):
            yield EvidencePart(f"{label}, what is in it about this case:", passages, Rank.input)
        yield self._block(f"{label}:", self._without_edited(text), rank)

    def _outcome(self, call: Call, prefix: str, times: int, rank: Rank) -> Iterator[EvidencePart]:
        again = f" ({times} times the same)" if times > 1 else ""
        if call.answer is not None:
            if call.answer.reasoning:
                yield self._block(_label(prefix, "reasoning:"), scrub(call.answer.reasoning), Rank.reasoning)
            for name, text in ran(call.answer):
                yield EvidencePart(_label(prefix, f"the server ran {name}:"), text, Rank.middle)
            answer = "answer" if call.kind == "chat" else "response"
            yield self._block(_label(prefix, f"{answer}{again}{manner(call)}:"), said(call.answer), rank)
            yield from self._alternatives(call, prefix)
        if call.answer is None or call.error:
            trouble = "error" if call.answer is not None else "no complete answer came"
            status = f" with status {call.status}" if call.status not in (None, 200) else ""
            reason = scrub(call.error) or "(no reason given)"
            yield self._block(_label(prefix, f"{trouble}{status}{again}:"), reason, Rank.middle)

    def _alternatives(self, call: Call, prefix: str) -> Iterator[EvidencePart]:
        number = len(call.alternatives)
        for at, message in enumerate(call.alternatives[:MOST_ALTERNATIVES], start=1):
            label = _label(prefix, f"further answer to the same request ({at} of {number}):")
            yield self._block(label, said(message), Rank.middle)
        if number > MOST_ALTERNATIVES:
            left = number - MOST_ALTERNATIVES
            yield EvidencePart(_label(prefix, f"[... {left} further answers not shown ...]"), "", Rank.middle)

    def _block(self, label: str, text: str, rank: Rank) -> EvidencePart:
        if name := self._texts.get(text.strip()):
            return EvidencePart(f"{label} (the text of {name})", "", rank)
        return EvidencePart(label, text, rank)

    def _reference(self, message: Message) -> str:
        name = self._texts.get(message.content.strip())
        return f"(the text of {name})" if name else ""

    def _without_edited(self, text: str) -> str:
        """A message without what it has of a prompt to edit: that stands in the request already."""
        for prompt in self._edited:
            text = prompt.taken_from(text)
        return text

    def _uses_edited(self, call: Call) -> bool:
        """Whether the request is likely to hold a prompt to edit."""
        contents = [message.content for message in call.request if message.role not in ("assistant", "tool")]
        return any(prompt.is_in((*contents, *call.other_texts)) for prompt in self._edited)


def _telling_results(calls: Sequence[Call], about: str) -> dict[str, str]:
    """What long results of tools say about a case, by the result: of the last few that say something."""
    # An agent's every request has all results so far again.
    results = dict.fromkeys(message for call in calls for message in call.request if message.role == "tool")
    found: dict[str, str] = {}
    for message in reversed(results):
        if len(found) == _TOLD_CALLS:
            break
        result = said(message)
        if result not in found and (passages := nearby(result, about)):
            found[result] = passages
    return found


def _label(prefix: str, words: str) -> str:
    return f"{prefix}{words}" if prefix else words[:1].upper() + words[1:]


def _read_failure(exhibit: Exhibit) -> Failure:
    case = exhibit.case
    names = [name for name, _ in case.parameters]
    return read_failure(scrub(exhibit.rollout.trajectory.failure), case.source.split("\n"), names)


def _in_short(text: str, limit: int) -> str:
    """A failure with its long lines cut first: beside a long answer, what it was compared with would be gone."""
    lines = text.split("\n")
    most = max(4 * MARK_ROOM, level([byte_length(line) for line in lines], limit - len(lines)))
    return cut_report("\n".join(cut_middle(line, most) for line in lines), limit)


def _said(text: str, rollout: Rollout) -> str:
    """A failure's text with the score and the feedback that the test itself gave."""
    lines = [text] if text else []
    # A zero goes without saying, unless every assert held.
    least = -1 if rollout.outcome is Outcome.passed else 0
    if rollout.score is not None and least < rollout.score < 1:
        lines.append(f"Score: {rollout.score:.3g} of 1")
    if rollout.feedback and rollout.feedback not in text:
        lines.append(scrub(rollout.feedback))
    return "\n".join(lines) or "The case failed without a message."
