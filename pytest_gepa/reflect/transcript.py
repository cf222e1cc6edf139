"""A rollout told in order, as the parts of one section: parameters, model calls, logged steps, output,
failure.

What the request says elsewhere is replaced by a reference; how much of the rest fits is decided in `fit`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_gepa.prompts.placeholders import literal_segments
from pytest_gepa.reflect.failure import Failure, read_failure
from pytest_gepa.reflect.fit import Part, Rank, Section, cut_middle
from pytest_gepa.reflect.scrub import scrub, scrub_output
from pytest_gepa.suite.rollout import Case, Rollout
from pytest_gepa.trace.trajectory import Call, Message, ToolCall

_INLINE_LEAST = 80
"""A shorter prompt is not looked for inside longer messages: it may stand there by chance."""

_REPEATED_LEAST = 200
"""A message shorter than this is rather shown again than referred to."""

_TOLD_CALLS = 4
"""Of the calls that use the prompt in question, so many, the last ones, keep their input and answer
longest.
"""

_BRIEF = {"input": 900, "answer": 500, "failure": 1200}
"""Bytes of each text in a short section."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A case and one rollout of it, shown to the reflection model."""

    case: Case
    rollout: Rollout


class Narrator:
    """Tells rollouts for one request; remembers which long messages earlier sections have shown already."""

    def __init__(self, component: str, components: Mapping[str, str]) -> None:
        """`component` is the id of the prompt to edit, `components` every prompt's text under the candidate
        shown.
        """
        self._texts: dict[str, str] = {}
        for name, text in sorted(components.items(), key=lambda item: (item[0] != component, item[0])):
            if text.strip():
                self._texts.setdefault(text.strip(), name)
        self._target = next((text for text, name in self._texts.items() if name == component), "")
        self._target_name = component
        self._segments = (
            sorted(literal_segments(self._target), key=len, reverse=True)[:8] if self._target else []
        )
        self._shown: dict[str, str] = {}

    def failing(self, exhibit: Exhibit, number: int) -> Section:
        """All that is known of a failing rollout, in order."""
        failure = _read_failure(exhibit)
        parts = [
            *self._parameters(exhibit.case),
            *self._calls(exhibit.rollout.trajectory.calls, number),
            *(
                self._block(f"Logged {one_line(step.name)!r}:", scrub(step.value), Rank.middle)
                for step in exhibit.rollout.trajectory.steps
            ),
            *(
                self._block(f"{one_line(title)}:", told, Rank.output)
                for title, text in exhibit.rollout.trajectory.output
                if (told := scrub_output(text).strip("\n"))
            ),
            *(
                [Part("Code on the way to the failure:", failure.around, Rank.output)]
                if failure.around
                else []
            ),
            Part("Failure:", _said(failure.said, exhibit.rollout), Rank.failure),
        ]
        return Section(one_line(exhibit.case.nodeid), tuple(parts))

    def failing_briefly(self, exhibit: Exhibit) -> Section:
        """The input, the answer and the failure, for a model that takes in little."""
        shown = self._input_and_answer(exhibit, (Rank.input, Rank.answer))
        said = _said(_read_failure(exhibit).printed, exhibit.rollout)
        failure = Part("Failure:", cut_middle(said, _BRIEF["failure"]), Rank.failure)
        return Section(one_line(exhibit.case.nodeid), (*shown, failure))

    def passing(self, exhibit: Exhibit) -> Section:
        """The input and the answer that the check accepted."""
        return Section(
            one_line(exhibit.case.nodeid), tuple(self._input_and_answer(exhibit, (Rank.middle, Rank.middle)))
        )

    def _input_and_answer(self, exhibit: Exhibit, ranks: tuple[Rank, Rank]) -> Iterator[Part]:
        answered = [call for call in exhibit.rollout.trajectory.calls if call.answer is not None]
        call = next(
            (call for call in reversed(answered) if self._uses_target(call)),
            answered[-1] if answered else None,
        )
        asked = _last_asked(call) if call else None
        if call is None or asked is None or self._reference(asked):
            yield from (
                Part(part.label, cut_middle(part.text, _BRIEF["input"]), ranks[0], part.info)
                for part in self._parameters(exhibit.case)
            )
        else:
            text = self._without_target(scrub(asked.content))
            yield Part("Input:", cut_middle(text, _BRIEF["input"]), ranks[0])
        if call is not None and call.answer is not None:
            text = _words(call.answer)
            yield self._block("Answer:", cut_middle(text, _BRIEF["answer"]), ranks[1])
            if answered[-1] is not call and answered[-1].answer is not None:
                text = _words(answered[-1].answer)
                yield self._block("Last answer of the program:", cut_middle(text, _BRIEF["answer"]), ranks[1])

    def _parameters(self, case: Case) -> Iterator[Part]:
        if case.parameters:
            lines = (f"{name} = {scrub(value)}" for name, value in case.parameters)
            yield Part("Parameters:", "\n".join(lines), Rank.input)

    def _calls(self, calls: Sequence[Call], number: int) -> Iterator[Part]:
        groups = _collapsed(calls)
        if not groups:
            yield Part("No call to a model was seen.", "", Rank.input)
        answered = [index for index, (call, _) in enumerate(groups) if call.answer is not None]
        using = [index for index in answered if self._uses_target(groups[index][0])][-_TOLD_CALLS:]
        conversation = _Conversation()
        tools: tuple[str, ...] = ()
        for index, (call, times) in enumerate(groups):
            prefix = f"Call {index + 1}, " if len(groups) > 1 else ""
            if call.tools and call.tools != tools:
                tools = call.tools
                yield Part(f"{prefix}tools offered: {one_line(', '.join(tools), 400)}", "", Rank.middle)
            is_told = index in using or (index == 0 and not using)
            known = conversation.known(call)
            yield from self._request(call, prefix, known, Rank.input if is_told else Rank.middle, number)
            conversation.add(call)
            rank = (
                Rank.answer if answered and index == answered[-1] else Rank.input if is_told else Rank.middle
            )
            yield from self._outcome(call, prefix, times, rank)

    def _request(self, call: Call, prefix: str, known: int, rank: Rank, number: int) -> Iterator[Part]:
        if known:
            several = "message" if known == 1 else f"{known} messages"
            yield Part(f"{prefix}begins with {several} shown above.", "", Rank.middle)
        asked = _last_asked(call)
        names = {made.id: made.name for message in call.request for made in message.tool_calls}
        for message in call.request[known:]:
            yield from self._message(
                message, prefix, rank if message is asked else Rank.middle, names, number
            )

    def _message(
        self, message: Message, prefix: str, rank: Rank, names: Mapping[str, str], number: int
    ) -> Iterator[Part]:
        label = f"{prefix}{one_line(message.role, 40)}"
        if message.role == "tool" and message.tool_call_id in names:
            label += f" (result of {one_line(names[message.tool_call_id], 80)})"
        if message.role != "assistant" and (reference := self._reference(message)):
            yield Part(f"{label}: {reference}", "", Rank.middle)
            return
        if len(message.content) >= _REPEATED_LEAST and not message.tool_calls:
            where = self._shown.setdefault(message.content, f"failing case {number}")
            if where != f"failing case {number}":
                yield Part(f"{label}: (the same text as in {where})", "", Rank.middle)
                return
        if message.reasoning:
            yield self._block(f"{label}, reasoning:", scrub(message.reasoning), Rank.reasoning)
        yield self._block(f"{label}:", self._without_target(_words(message)), rank)

    def _outcome(self, call: Call, prefix: str, times: int, rank: Rank) -> Iterator[Part]:
        again = f" ({times} times the same)" if times > 1 else ""
        if call.answer is not None:
            if call.answer.reasoning:
                yield self._block(f"{prefix}reasoning:", scrub(call.answer.reasoning), Rank.reasoning)
            cut = " (it was cut off at the token limit)" if call.finish_reason == "length" else ""
            label = f"{prefix}answer{again}{cut}:"
            yield self._block(label[:1].upper() + label[1:], _words(call.answer), rank)
        if call.error or call.answer is None:
            status = f" with status {call.status}" if call.status not in (None, 200) else ""
            label = (
                f"{prefix}no complete answer came{status}{again}:"
                if call.answer is None
                else f"{prefix}error:"
            )
            yield self._block(
                label[:1].upper() + label[1:], scrub(call.error) or "(no reason given)", Rank.middle
            )

    def _block(self, label: str, text: str, rank: Rank) -> Part:
        if name := self._texts.get(text.strip()):
            return Part(f"{label} (the text of {name})", "", rank)
        return Part(label, text, rank)

    def _reference(self, message: Message) -> str:
        name = self._texts.get(message.content.strip())
        return f"(the text of {name})" if name else ""

    def _without_target(self, text: str) -> str:
        """A message that holds the whole of the prompt to edit: its text stands in the request already."""
        if len(self._target) < _INLINE_LEAST:
            return text
        return text.replace(self._target, f"(the text of {self._target_name})")

    def _uses_target(self, call: Call) -> bool:
        """Whether the prompt to edit, placeholders filled, is likely in the request: half of its longest
        pieces are.
        """
        if not self._segments:
            return False
        contents = [message.content for message in call.request if message.role not in ("assistant", "tool")]
        seen = sum(any(segment in content for content in contents) for segment in self._segments)
        return 2 * seen >= len(self._segments)


class _Conversation:
    """The messages told so far, as a tree: where a later request begins as an earlier one did, only the rest
    is new.
    """

    def __init__(self) -> None:
        self._children: dict[tuple[int, str, str, tuple[tuple[str, str], ...]], int] = {}

    def known(self, call: Call) -> int:
        """How many of the request's first messages were told before."""
        node = 0
        for count, message in enumerate(call.request):
            child = self._children.get(self._key(node, message))
            if child is None:
                return count
            node = child
        return len(call.request)

    def add(self, call: Call) -> None:
        """Remember a call's request and answer."""
        node = 0
        for message in (*call.request, *((call.answer,) if call.answer else ())):
            node = self._children.setdefault(self._key(node, message), len(self._children) + 1)

    @staticmethod
    def _key(node: int, message: Message) -> tuple[int, str, str, tuple[tuple[str, str], ...]]:
        return (
            node,
            message.role,
            message.content,
            tuple((made.name, made.arguments) for made in message.tool_calls),
        )


def one_line(text: str, most: int = 300) -> str:
    """The text for a heading or label: printable, on one line, not longer than `most` characters."""
    flat = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: 2 * most]).split())
    return flat if len(flat) <= most else f"{flat[: most - 3]}..."


def _read_failure(exhibit: Exhibit) -> Failure:
    case = exhibit.case
    known = [*case.source.split("\n"), *(f"{name} = {value}" for name, value in case.parameters)]
    return read_failure(scrub(exhibit.rollout.trajectory.failure), known)


def _said(text: str, rollout: Rollout) -> str:
    """A failure's text with the score and the feedback that the test itself gave."""
    lines = [text] if text else []
    if rollout.score is not None and 0 < rollout.score < 1:
        lines.append(f"Score: {rollout.score:.3g} of 1")
    if rollout.feedback and rollout.feedback not in text:
        lines.append(scrub(rollout.feedback))
    return "\n".join(lines) or "The case failed without a message."


def _collapsed(calls: Sequence[Call]) -> list[tuple[Call, int]]:
    """Calls with the number of times that each was made in a row with the same request and the same
    outcome.
    """
    groups: list[tuple[Call, int]] = []
    for call in calls:
        if groups and _alike(groups[-1][0], call):
            groups[-1] = (call, groups[-1][1] + 1)
        else:
            groups.append((call, 1))
    return groups


def _alike(one: Call, other: Call) -> bool:
    if (one.error, one.status, one.answer is None) != (other.error, other.status, other.answer is None):
        return False
    if one.answer is not None and other.answer is not None and _words(one.answer) != _words(other.answer):
        return False
    return one.request == other.request


def _last_asked(call: Call) -> Message | None:
    """The last user message, or the last of all that is not the model's."""
    messages = [message for message in call.request if message.role != "assistant"]
    return next(
        (message for message in reversed(messages) if message.role == "user"),
        messages[-1] if messages else None,
    )


def _words(message: Message) -> str:
    """What a message says, tool calls included."""
    lines = [scrub(message.content)] if message.content or not message.tool_calls else []
    return "\n".join([*lines, *map(_tool_call, message.tool_calls)])


def _tool_call(made: ToolCall) -> str:
    return f"calls {made.name}({scrub(made.arguments)})"
