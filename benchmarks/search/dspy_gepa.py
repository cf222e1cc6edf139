"""DSPy's GEPA on a simulated world: each component is a `dspy.Predict` whose instructions are the prompt.

DSPy's own request for a new instruction goes to the simulated reflection model as it stands, but for two things
that the simulation needs: the headings `[[ ## name ## ]]` become `### name`, which it knows as the end of a prompt,
and the text in the fence of its answer is handed back as the JSON object that DSPy asks for. The task model is sent
the bare instruction and the bare input, as by every other method.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
from typing import Any

import dspy
from dspy.lm15 import Message, Response, TextPart, Usage

MODELS = ("sim-task", "sim-reflect")
_HEADING = re.compile(r"\[\[ ## (\w+) ## \]\]")
_FENCE = re.compile(r"```\w*\n(.*?)```", re.S)


class Engine:
    """A model of the simulation in the shape of a DSPy engine."""

    def __init__(self, model: str, bench: Any) -> None:
        self._model, self._bench = model, bench

    def complete(self, request: Any) -> Response:
        messages = [{"role": one.role, "content": one.text or ""} for one in request.messages]
        if request.system:
            messages.insert(0, {"role": "system", "content": request.system})
        text = self._reflect(messages) if self._model == "sim-reflect" else self._task(messages)
        usage = Usage(input_tokens=0, output_tokens=0, total_tokens=0)
        message = Message.assistant([TextPart(text)])
        return Response(id=None, model=self._model, message=message, finish_reason="stop", usage=usage)

    def close(self) -> None: ...

    def _task(self, messages: list[dict[str, str]]) -> str:
        answer: str = self._bench.backend.chat(self._model, messages)
        return answer

    def _reflect(self, messages: list[dict[str, str]]) -> str:
        for message in messages:
            message["content"] = _HEADING.sub(r"### \1", message["content"])
        found = _FENCE.search(self._bench.reflect(messages))
        return json.dumps({"new_instruction": found.group(1).strip() if found else ""})


class Bare(dspy.ChatAdapter):
    """Sends the instructions and the input without DSPy's frame; the whole answer is the output."""

    def __call__(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> list[dict[str, Any]]:
        messages = [
            {"role": "system", "content": signature.instructions},
            {"role": "user", "content": inputs["request"]},
        ]
        return [{"answer": lm(messages=messages)[0]}]


class Desk(dspy.Module):
    """The components one after the other, as the world runs them."""

    def __init__(self, bench: Any) -> None:
        super().__init__()
        self.names = list(bench.world.components)
        self.bench = bench
        for name in self.names:
            setattr(self, name, dspy.Predict(dspy.Signature("request -> answer", bench.seed_prompts[name])))

    def forward(self, ticket: str) -> dspy.Prediction:
        answer = ""
        for name in self.names:
            request = f"Stage: {name}\n{ticket}" if len(self.names) > 1 else ticket
            if answer:
                request += f"\nSo far: {answer}"
            answer = getattr(self, name)(request=request).answer
        self.bench.calls += 1
        return dspy.Prediction(answer=answer)

    def deepcopy(self) -> Desk:
        copy = Desk(self.bench)
        for (_, mine), (_, theirs) in zip(copy.named_predictors(), self.named_predictors(), strict=True):
            mine.signature = theirs.signature
        return copy


class Watch:
    """Tells the bench which candidate DSPy would return."""

    def __init__(self, bench: Any) -> None:
        self._bench = bench

    def on_valset_evaluated(self, event: Any) -> None:
        if event["is_best_program"]:
            self._bench.incumbent(dict(event["candidate"]), event["average_score"])


def run(bench: Any, seed: int, limit: int, **settings: Any) -> None:
    """Run DSPy's GEPA; `settings` are those of `dspy.GEPA` that are not the default."""
    from simbench.bench import problems

    cases = {case.id: case for case in bench.cases}

    def metric(gold: Any, pred: Any, *_: Any) -> dspy.Prediction:
        wrong = problems(cases[gold.case], pred.answer)
        feedback = "The test failed:\n" + "\n".join(wrong) if wrong else "The test passed."
        return dspy.Prediction(score=0.0 if wrong else 1.0, feedback=feedback)

    logging.getLogger("dspy").setLevel(logging.ERROR)
    examples = [dspy.Example(case=case.id, ticket=case.input).with_inputs("ticket") for case in bench.cases]
    task, reflection = (dspy.LM(name, engine=Engine(name, bench), cache=False) for name in MODELS)
    optimizer = dspy.GEPA(
        metric=metric,
        reflection_lm=reflection,
        max_metric_calls=limit,
        num_threads=1,
        seed=seed,
        gepa_kwargs={"callbacks": [Watch(bench)]},
        **settings,
    )
    # Its progress bars cannot be switched off.
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        dspy.context(lm=task, adapter=Bare(), disable_history=True),
    ):
        optimizer.compile(Desk(bench), trainset=examples, valset=examples)
